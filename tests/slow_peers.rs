//! Peers that connect and say nothing, or a byte now and then, hold nobody up and are gone after a while (F14, T15).

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::otlp::Client;
use crate::harness::{Collector, Request, Transport, generate};

/// For a busy machine; what is waited for takes ten seconds.
const PATIENCE: Duration = Duration::from_secs(120);
/// Slow peers of each kind, on each port: together below what the doors take at the usual limit of 1,024 open files.
const PEERS: usize = 16;

/// What a slow peer sends at once, and what it then sends again and again.
const KINDS: [(&str, &[u8], &[u8]); 4] = [
    ("silence", b"", b""),
    ("a head, byte by byte", b"P", b"O"),
    ("half a head", b"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\n", b"x: y\r\n"),
    (
        "a body, byte by byte",
        b"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n",
        b" ",
    ),
];

/// F14: while slow peers of every kind hold connections on both OTLP ports, an honest client is served; and then they are gone, whatever
/// they go on sending.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f14_slow_peers_hold_nobody_up() {
    // Long enough that an honest client on a busy machine is never a slow peer itself.
    let config = "[door]\nfirst_byte_timeout_s = 10\nidle_timeout_s = 10\n".to_owned();
    let mut server = Collector { config, ..Collector::default() }.start();
    let mut slow = Vec::new();
    for address in [&server.otlp_grpc, &server.otlp_http] {
        for (kind, first, again) in KINDS {
            for _ in 0..PEERS {
                let mut socket = TcpStream::connect(address).await.expect("connects");
                socket.write_all(first).await.expect("written");
                slow.push(tokio::spawn(async move {
                    let (mut reading, mut writing) = socket.split();
                    let dripping = async {
                        // Fails when the other side is gone, and then reading has ended, too.
                        while writing.write_all(again).await.is_ok() {
                            tokio::time::sleep(Duration::from_millis(200)).await;
                        }
                        std::future::pending::<()>().await;
                    };
                    let mut heard = Vec::new();
                    let ended = tokio::time::timeout(PATIENCE, async {
                        tokio::select! { () = dripping => {}, _ = reading.read_to_end(&mut heard) => {} }
                    });
                    assert!(ended.await.is_ok(), "{kind}: the connection is still there");
                }));
            }
        }
    }
    let honest = Client::new(&server);
    for number in 0..20 {
        let request = generate::request("honest", vec![generate::span(1, number + 1, "served")]);
        honest.send_all(Transport::ALL[number as usize % Transport::ALL.len()], &Request::Traces(request)).await;
    }
    for peer in slow {
        peer.await.expect("it is gone");
    }
    server.assert_alive();
}
