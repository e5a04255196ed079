//! Peers that are slow, many or hostile lose their connection, and nobody else does.

use std::time::Duration;

use axum::Router;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{config, open, routes};
use crate::{Config, Listener};

/// T15: a connection that never speaks is closed, and does not keep the door from closing.
#[tokio::test]
async fn t15_silent_connections_are_closed() {
    let door =
        open(&Config { first_byte_timeout_s: 1, ..config() }, Listener::Http, routes()).await.expect("a free port");
    let mut silent = TcpStream::connect(door.local_addr()).await.expect("connects");
    let read = tokio::time::timeout(Duration::from_secs(60), silent.read(&mut [0; 8])).await;
    assert_eq!(read.expect("closed in time").expect("no error"), 0);
    door.close().await;
}

/// T16: over the limit, connections wait and are served when another one leaves.
#[tokio::test]
async fn t16_connections_over_the_limit_wait() {
    let door = open(&Config { connections_max: 1, ..config() }, Listener::Http, routes()).await.expect("a free port");
    let ask = b"GET /who HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut first = TcpStream::connect(door.local_addr()).await.expect("connects");
    first.write_all(ask).await.expect("written");
    let n = first.read(&mut [0; 512]).await.expect("answered");
    assert!(n > 0, "the first connection is served");
    let mut second = TcpStream::connect(door.local_addr()).await.expect("waits in the backlog");
    second.write_all(ask).await.expect("written");
    let mut buffer = [0; 512];
    assert!(tokio::time::timeout(Duration::from_millis(200), second.read(&mut buffer)).await.is_err(), "waits");
    drop(first);
    let n =
        tokio::time::timeout(Duration::from_secs(60), second.read(&mut buffer)).await.expect("served").expect("read");
    assert!(buffer[..n].starts_with(b"HTTP/1.1 200"));
    drop(second);
    door.close().await;
}

/// What comes back until the other side ends the connection.
async fn rest(socket: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(60), socket.read_to_end(&mut all)).await;
    // A reset is an end, too.
    let _ = read.expect("the connection ends");
    all
}

/// T15: half a preface of HTTP/2, half a head of HTTP/1.1 and a connection without requests all end.
#[tokio::test]
async fn t15_half_sent_beginnings_are_ended() {
    let patience = Config { first_byte_timeout_s: 1, ..config() };
    let door = open(&patience, Listener::Http, routes()).await.expect("a free port");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for begun in [&b"P"[..], &preface[..23], b"GET /who HTTP/1.1\r\nhost: localhost\r\n"] {
        let mut socket = TcpStream::connect(door.local_addr()).await.expect("connects");
        socket.write_all(begun).await.expect("written");
        assert!(!rest(&mut socket).await.starts_with(b"HTTP/1.1 200"), "{begun:?}");
    }
    door.close().await;
    let patience = Config { idle_timeout_s: 1, ..config() };
    let door = open(&patience, Listener::Http, routes()).await.expect("a free port");
    let mut idle = TcpStream::connect(door.local_addr()).await.expect("connects");
    idle.write_all(preface).await.expect("written");
    let frames = rest(&mut idle).await;
    assert!(frames.windows(9).any(|head| head[3] == 7), "it is told to go (GOAWAY): {frames:?}");
    door.close().await;
}

/// T15: a body that comes slower than 1 KiB/s ends its connection without an answer; others do not notice.
#[tokio::test]
async fn t15_a_slow_body_ends_its_connection() {
    let patience = Config { first_byte_timeout_s: 1, ..config() };
    let taking = Router::new()
        .route("/take", axum::routing::post(|body: axum::body::Bytes| async move { body.len().to_string() }));
    let door = open(&patience, Listener::Http, taking.clone()).await.expect("a free port");
    let mut slow = TcpStream::connect(door.local_addr()).await.expect("connects");
    slow.write_all(b"POST /take HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nabc").await.expect("written");
    assert_eq!(rest(&mut slow).await, b"", "it ends without an answer");
    door.close().await;
    let door = open(&config(), Listener::Http, taking).await.expect("a free port");
    let answer = reqwest::Client::new().post(format!("http://{}/take", door.local_addr())).body(vec![0; 100_000]);
    assert_eq!(answer.send().await.expect("answer").text().await.expect("body"), "100000");
    door.close().await;
}

/// A frame of HTTP/2.
fn h2_frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `GET / HTTP/2` to localhost.
const H2_HEAD: &[u8] = b"\x82\x84\x86\x41\x09localhost";
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// T14: the server says how many streams and how much of a head it takes; floods of resets and of pieces of a head end their connection and
/// nobody else's.
#[tokio::test]
async fn t14_floods_end_their_connection() {
    let door = open(&config(), Listener::Http, routes()).await.expect("a free port");
    let mut peer = TcpStream::connect(door.local_addr()).await.expect("connects");
    peer.write_all(H2_PREFACE).await.expect("written");
    let mut head = [0; 9];
    peer.read_exact(&mut head).await.expect("a frame");
    assert_eq!(head[3], 4, "SETTINGS");
    let mut settings = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
    peer.read_exact(&mut settings).await.expect("its settings");
    let said = |number: u16| {
        let mut all = settings
            .chunks_exact(6)
            .map(|one| (u16::from_be_bytes([one[0], one[1]]), u32::from_be_bytes([one[2], one[3], one[4], one[5]])));
        all.find(|(id, _)| *id == number).map(|(_, value)| value)
    };
    assert_eq!((said(3), said(6)), (Some(256), Some(16 << 10)), "streams, bytes of a head");
    drop(peer);

    let resets: Vec<u8> = (0..5_000_u32)
        .flat_map(|n| {
            let stream = 2 * n + 1;
            [h2_frame(1, 0x5, stream, H2_HEAD), h2_frame(3, 0, stream, &8_u32.to_be_bytes())].concat()
        })
        .collect();
    let pieces = [h2_frame(1, 0x1, 1, H2_HEAD), h2_frame(9, 0, 1, b"\x00\x01a\x01b").repeat(100_000)].concat();
    for (what, flood) in [("resets", resets), ("pieces of a head", pieces)] {
        let mut peer = TcpStream::connect(door.local_addr()).await.expect("connects");
        peer.write_all(H2_PREFACE).await.expect("written");
        let (mut reading, mut writing) = peer.split();
        let flooding = async {
            // Ends early when the other side has had enough.
            let _ = writing.write_all(&flood).await;
            std::future::pending::<()>().await;
        };
        let mut heard = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(60), async {
            tokio::select! { () = flooding => {}, _ = reading.read_to_end(&mut heard) => {} }
        });
        assert!(ended.await.is_ok(), "{what}: the connection goes on");
    }
    let answer = reqwest::get(format!("http://{}/who", door.local_addr())).await.expect("answer");
    assert_eq!(answer.status().as_u16(), 200, "others are served");
    door.close().await;
}
