//! A way to the collector that stays the same while the collector is started anew: senders are told their endpoint once.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::copy;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Takes connections on a port of its own and leads each to where the collector is at that moment. A connection ends as
/// soon as one of its sides does, so that senders notice when the collector is gone.
#[derive(Debug)]
pub struct Way {
    /// Where senders go.
    pub address: SocketAddr,
    to: Arc<Mutex<String>>,
    leading: JoinHandle<()>,
}

impl Way {
    /// Leads to `to`, such as `127.0.0.1:4317`.
    pub async fn to(to: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let to = Arc::new(Mutex::new(to.to_owned()));
        let leading = tokio::spawn(lead(listener, Arc::clone(&to)));
        Self { address, to, leading }
    }

    /// From now on new connections are led to `to`.
    pub fn turn(&self, to: &str) {
        to.clone_into(&mut self.to.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Refuses connections, as the port of a collector that is down does: some senders try again after that and not after a
    /// connection that ends.
    pub async fn shut(&mut self) {
        self.leading.abort();
        // The port is closed with the task.
        let _ = (&mut self.leading).await;
    }

    /// Takes connections again and leads them to `to`.
    pub async fn open(&mut self, to: &str) {
        self.turn(to);
        let listener = TcpListener::bind(self.address).await.expect("nobody took the port meanwhile");
        self.leading = tokio::spawn(lead(listener, Arc::clone(&self.to)));
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.leading.abort();
    }
}

async fn lead(listener: TcpListener, to: Arc<Mutex<String>>) {
    while let Ok((sender, _)) = listener.accept().await {
        let to = to.lock().unwrap_or_else(PoisonError::into_inner).clone();
        tokio::spawn(async move {
            // Nobody there: the sender's connection ends at once.
            let Ok(collector) = TcpStream::connect(to).await else { return };
            let (mut from_sender, mut to_sender) = sender.into_split();
            let (mut from_collector, mut to_collector) = collector.into_split();
            tokio::select! {
                _ = copy(&mut from_sender, &mut to_collector) => {}
                _ = copy(&mut from_collector, &mut to_sender) => {}
            }
        });
    }
}
