//! Bind, accept, HTTP/1.1 and HTTP/2 (prior knowledge) on one socket, close in good order.
//!
//! One task accepts and owns the tasks of its connections. What a single connection does wrong ends that
//! connection; what the system refuses (no more files, aborted handshakes) is waited out: the accept loop
//! only ends when the door closes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tower_http::catch_panic::CatchPanicLayer;

use crate::config::{Config, Listener};
use crate::cors;
use crate::error::{Error, Result};
use crate::hosts::Hosts;
use crate::identity::{Access, Needs, Peer, identified};
use crate::pace::{Coming, Going, Pace, Paced, Patience, Verdict};
use crate::proxies::Proxies;
use crate::tls::{self, Tls};

/// Streams a peer may have open on one HTTP/2 connection.
const STREAMS_MAX: u32 = 256;
/// Bytes of a request's headers over HTTP/2.
const HEADER_LIST_BYTES_MAX: u32 = 16 << 10;
/// Streams a peer may have reset before we looked at them.
const PENDING_RESETS_MAX: usize = 64;
/// Bytes a peer may send on one HTTP/2 stream, and on one connection, before we read them.
const WINDOW_BYTES: (u32, u32) = (1 << 20, 4 << 20);
/// How long a peer that is told to go may take.
const GOING: Duration = Duration::from_secs(5);
/// Doors of a process: gRPC, OTLP over HTTP, the desk.
const DOORS: usize = 3;
/// Pause after the system refused to accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An open door. Closes its socket when dropped; [`Door::close`] lets requests finish first.
#[derive(Debug)]
pub struct Door {
    local_addr: SocketAddr,
    setting: &'static str,
    close_timeout: Duration,
    stop: CancellationToken,
    accepting: JoinHandle<JoinSet<()>>,
}

/// Binds the listener's address and serves `routes` there.
///
/// Every request that reaches the routes carries an `Identity` in its extensions; `access` and `needs` say which ones do. A handler that panics answers 500; the
/// connection and the process live on.
///
/// # Errors
/// [`Error::InUse`] when the port is taken, [`Error::Insecure`] when the address is not loopback, nobody needs a key and
/// `allow_insecure` is off, [`Error::Bind`] for what else the system says.
pub async fn open(config: &Config, listener: Listener, routes: Router, access: &Access, needs: Needs) -> Result<Door> {
    let (address, setting, flag) = (config.address(listener), listener.setting(), listener.flag());
    if !address.ip().is_loopback() && !config.allow_insecure && !access.is_guarded() {
        return Err(Error::Insecure { address, setting });
    }
    let tls = Tls::load(config, listener).map_err(Error::Tls)?;
    let bind_error = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::AddrInUse => Error::InUse { address, setting, flag },
        _ => Error::Bind { address, setting, flag, source },
    };
    let socket = TcpListener::bind(address).await.map_err(bind_error)?;
    let local_addr = socket.local_addr().map_err(bind_error)?;

    let checks_host = address.ip().is_loopback() && !access.is_guarded();
    let hosts = checks_host.then(|| Hosts::new(listener, config.hosts.clone()));
    let routes =
        identified(routes, listener, access.clone(), needs, hosts).layer(CatchPanicLayer::custom(panic_answer));
    let routes = cors::allowing(routes, config, listener);
    let stop = CancellationToken::new();
    let accepting = tokio::spawn(accept(socket, config.clone(), tls, routes, stop.clone()));
    Ok(Door { local_addr, setting, close_timeout: config.close_timeout(), stop, accepting })
}

impl Door {
    /// Where it listens; the port that was found when port 0 was asked for.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Takes no more connections, lets the requests that are here finish, and cuts those that take longer
    /// than the close timeout.
    pub async fn close(mut self) {
        self.stop.cancel();
        let Ok(mut connections) = (&mut self.accepting).await else { return };
        let all_gone = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(self.close_timeout, all_gone).await.is_err() {
            tracing::warn!(door = self.setting, connections = connections.len(), "cut connections that did not finish");
            connections.shutdown().await;
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Accepts until stopped; gives back the connections that are still at work.
async fn accept(
    socket: TcpListener,
    config: Config,
    tls: Option<Arc<Tls>>,
    routes: Router,
    stop: CancellationToken,
) -> JoinSet<()> {
    let permits = Arc::new(Semaphore::new(connections_max(config.connections_max)));
    let protocol = Arc::new(protocol(&config));
    // The settings have been looked at: this cannot fail any more, and if it did nobody would be believed.
    let proxies = Proxies::parse(&config.trusted_proxies).unwrap_or_default();
    let patience = Patience { first_head: config.first_byte_timeout(), idle: config.idle_timeout() };
    let mut connections = JoinSet::new();
    loop {
        let permit = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            permit = Arc::clone(&permits).acquire_owned() => permit,
        };
        let Ok(permit) = permit else { break };
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (protocol, tls, routes, stop) = (Arc::clone(&protocol), tls.clone(), routes.clone(), stop.clone());
                let pace = Pace::new(patience, Instant::now());
                let peer = Origin { peer: peer.ip(), proxies: proxies.clone() };
                let newcomer = Newcomer { stream, peer, pace, patience };
                connections.spawn(async move {
                    newcomer.serve(&protocol, tls.as_deref(), routes, stop).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    connections
}

/// Where the requests of a connection come from.
#[derive(Clone, Debug)]
struct Origin {
    peer: IpAddr,
    proxies: Proxies,
}

/// A connection that was accepted just now.
struct Newcomer {
    stream: TcpStream,
    peer: Origin,
    pace: Arc<Pace>,
    patience: Patience,
}

impl Newcomer {
    /// One connection from its first byte to its end.
    async fn serve(
        self,
        protocol: &Builder<TokioExecutor>,
        tls: Option<&Tls>,
        routes: Router,
        stop: CancellationToken,
    ) {
        let Self { mut stream, peer, pace, patience } = self;
        let _ = stream.set_nodelay(true);
        // From accept to the first head, the handshake included.
        let until = Instant::now() + patience.first_head;
        let mut first_byte = [0];
        let spoke = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            spoke = tokio::time::timeout_at(until, stream.peek(&mut first_byte)) => spoke,
        };
        if !matches!(spoke, Ok(Ok(n)) if n > 0) {
            return;
        }
        let Some(tls) = tls else { return talk(stream, peer, pace, protocol, routes, stop).await };
        if first_byte[0] != tls::FIRST_BYTE {
            // What was sent is read first: a socket that closes over unread bytes takes its answer along.
            let answer = async {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(tls::PLAIN_ANSWER).await;
                let _ = stream.shutdown().await;
            };
            let _ = tokio::time::timeout_at(until, answer).await;
            return;
        }
        let shaken = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            shaken = tokio::time::timeout_at(until, tls.accept(stream)) => shaken,
        };
        match shaken {
            Ok(Ok(stream)) => talk(stream, peer, pace, protocol, routes, stop).await,
            Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
            Err(_) => tracing::debug!("a handshake took too long"),
        }
    }
}

/// Answers requests until the connection ends, keeps us waiting too long, or the door closes.
async fn talk<S>(
    socket: S,
    peer: Origin,
    pace: Arc<Pace>,
    protocol: &Builder<TokioExecutor>,
    routes: Router,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let paced = Arc::clone(&pace);
    let service = service_fn(move |request: Request<Incoming>| {
        let open = paced.begin();
        let is_shared = request.version() == Version::HTTP_2;
        let mut request = request.map(|body| Body::new(Coming::new(body, Arc::clone(&paced), is_shared)));
        let client = peer.proxies.client(peer.peer, request.headers());
        request.extensions_mut().insert(Peer(client));
        let answer = routes.clone().oneshot(request);
        async move { answer.await.map(|answer| answer.map(|body| Going::new(body, open))) }
    });
    let socket = TokioIo::new(Paced { socket, pace: Arc::clone(&pace) });
    let connection = protocol.serve_connection_with_upgrades(socket, service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        verdict = pace.watch() => {
            tracing::debug!(?verdict, "a connection keeps us waiting");
            if let Verdict::Cut(_) = verdict {
                return;
            }
            connection.as_mut().graceful_shutdown();
            // A request that came meanwhile is answered, if it does not take long.
            let Ok(ended) = tokio::time::timeout(GOING, connection).await else { return };
            ended
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}

fn protocol(config: &Config) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(config.idle_timeout());
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .initial_stream_window_size(WINDOW_BYTES.0)
        .initial_connection_window_size(WINDOW_BYTES.1)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// What a peer hears when a handler panicked. Rooms that have their own phrase catch it themselves.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
fn panic_answer(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("unknown"), "a request handler panicked");
    let body = r#"{"type":"about:blank","title":"Internal error","status":500,"detail":"This is a bug: please report it with the server's log."}"#;
    let head = [(http::header::CONTENT_TYPE, "application/problem+json")];
    (http::StatusCode::INTERNAL_SERVER_ERROR, head, body).into_response()
}

/// The setting, but never more than half of the files the process may open for all doors together.
fn connections_max(setting: usize) -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files =
        limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok());
    of_files(setting, files)
}

/// `files`: how many the process may open, if that is known.
fn of_files(setting: usize, files: Option<usize>) -> usize {
    files.map_or(setting, |files| setting.min((files / 2 / DOORS).max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T16: segments, the WAL and queries keep half of the files, whatever the doors are told.
    #[test]
    fn t16_doors_leave_half_of_the_files() {
        for (setting, files, expected) in [
            (4096, Some(64), 10),
            (4096, Some(1024), 170),
            (4096, Some(32_768), 4096),
            (8, Some(1024), 8),
            (4096, Some(3), 1),
            (4096, None, 4096),
        ] {
            assert_eq!(of_files(setting, files), expected, "{files:?}");
            assert!(files.is_none_or(|files| files < 6 || DOORS * expected <= files / 2), "{files:?}");
        }
    }
}
