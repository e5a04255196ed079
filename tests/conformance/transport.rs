//! T2, T3, T5 to T9, A1, A11, A13: sockets, encodings, compression, the form of answers.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Request, Server, generate, raw, sql};

fn good(number: u64) -> Vec<u8> {
    Request::Traces(generate::request("rules", vec![generate::span(u128::from(number), number, &"good ".repeat(60))]))
        .encode()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

async fn post(server: &Server, headers: &[(&str, &str)], body: Vec<u8>) -> reqwest::Response {
    let url = format!("http://{}/v1/traces", server.otlp_http);
    let mut request = reqwest::Client::new().post(url).header("content-type", "application/x-protobuf").body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.expect("an answer")
}

/// HTTP/1.1 written by hand: one connection serves several requests, with a length and in chunks.
#[tokio::test]
async fn t3_http_1_1_keeps_the_connection() {
    let server = Server::start();
    let mut socket = TcpStream::connect(&server.otlp_http).await.expect("the collector listens");
    for number in 1..=3_u64 {
        let body = good(number);
        let head = "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\n";
        let message = if number == 2 {
            let (first, second) = body.split_at(10);
            let mut chunks = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
            for chunk in [first, second, &[]] {
                chunks.extend(format!("{:x}\r\n", chunk.len()).bytes());
                chunks.extend(chunk);
                chunks.extend(b"\r\n");
            }
            chunks
        } else {
            [format!("{head}Content-Length: {}\r\n\r\n", body.len()).into_bytes(), body].concat()
        };
        socket.write_all(&message).await.expect("the connection is open");
        let mut answer = vec![0; 4096];
        let n = socket.read(&mut answer).await.expect("an answer");
        let answer = String::from_utf8_lossy(&answer[..n]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 200"), "request {number}: {answer}");
        // A1: an empty message is an empty body; T5: in the request's encoding.
        assert!(answer.to_lowercase().contains("content-type: application/x-protobuf"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "an empty body: {answer}");
    }
    assert_eq!(sql::number(&server, "SELECT count(*) FROM spans").await, 3);
}

/// A cleartext HTTP/2 preface on the HTTP port is answered with HTTP/2 settings (T3).
#[tokio::test]
async fn t3_http_2_with_prior_knowledge() {
    let server = Server::start();
    let mut socket = TcpStream::connect(&server.otlp_http).await.expect("the collector listens");
    socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("the connection is open");
    let mut frame = [0; 9];
    socket.read_exact(&mut frame).await.expect("a frame");
    assert_eq!(frame[3], 4, "the first frame is SETTINGS: {frame:?}");
}

/// The answer speaks the encoding of the request, errors included; without one it is JSON.
#[tokio::test]
async fn t5_the_answer_speaks_the_encoding_of_the_request() {
    let server = Server::start();
    let url = format!("http://{}/v1/traces", server.otlp_http);
    let cases = [
        ("application/json", "application/json"),
        ("application/JSON; charset=utf-8", "application/json"),
        ("application/x-protobuf", "application/x-protobuf"),
        ("application/X-Protobuf", "application/x-protobuf"),
        ("text/plain", "application/json"),
    ];
    for (asked, answered) in cases {
        for body in ["{}", "garbage \u{1}"] {
            let request = reqwest::Client::new().post(&url).header("content-type", asked).body(body);
            let answer = request.send().await.expect("an answer");
            assert_eq!(answer.headers()["content-type"], answered, "{asked}, {body}: {}", answer.status());
        }
    }
}

/// Only POST; unknown paths are 404 with a Status body (A11).
#[tokio::test]
async fn t6_only_post() {
    let server = Server::start();
    for method in ["GET", "PUT", "DELETE", "PATCH"] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let url = format!("http://{}/v1/logs", server.otlp_http);
        let answer = reqwest::Client::new().request(method.clone(), url).send().await.expect("an answer");
        assert_eq!(answer.status(), 405, "{method}");
        assert_eq!(answer.headers()["allow"], "POST", "{method}");
        let body: serde_json::Value =
            serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("a Status in JSON");
        assert!(body["message"].is_string(), "{method}: {body}");
    }
}

/// identity, gzip, deflate and zstd are understood; stacked and unknown codings are 415 with what is accepted.
#[tokio::test]
async fn t7_codings() {
    let server = Server::start();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(&good(3)).expect("memory takes everything");
    let deflated = zlib.finish().expect("memory takes everything");
    let cases =
        [("identity", good(1)), ("gzip", gzip(&good(2))), ("deflate", deflated), ("zstd", zstd_stored(&good(4)))];
    for (coding, body) in cases {
        let answer = post(&server, &[("content-encoding", coding)], body).await;
        assert_eq!(answer.status(), 200, "{coding}: {:?}", answer.text().await);
    }
    assert_eq!(sql::number(&server, "SELECT count(*) FROM spans").await, 4);
    for coding in ["gzip, gzip", "br", "nonsense"] {
        let answer = post(&server, &[("content-encoding", coding)], gzip(&good(5))).await;
        assert_eq!(answer.status(), 415, "{coding}");
        let accepted = answer.headers()["accept-encoding"].to_str().expect("text").to_owned();
        assert!(accepted.contains("gzip") && accepted.contains("zstd"), "{coding}: {accepted}");
    }
}

/// A zstd frame that stores its bytes as they are: magic, one segment with a 2-byte size, one raw block.
fn zstd_stored(bytes: &[u8]) -> Vec<u8> {
    let size = u16::try_from(bytes.len() - 256).expect("between 256 and 65,791 bytes");
    let block = u32::try_from(bytes.len()).expect("small") << 3 | 1;
    [&[0x28, 0xb5, 0x2f, 0xfd, 0x60][..], &size.to_le_bytes(), &block.to_le_bytes()[..3], bytes].concat()
}

/// Several gzip members are one body; what follows and is no member is refused.
#[tokio::test]
async fn t9_gzip_members() {
    let server = Server::start();
    let body = good(1);
    let (first, second) = body.split_at(20);
    let members = [gzip(first), gzip(second)].concat();
    let coding = [("content-encoding", "gzip")];
    assert_eq!(post(&server, &coding, members.clone()).await.status(), 200, "two members");
    assert_eq!(sql::number(&server, "SELECT count(*) FROM spans").await, 1);
    let trailing = [members, b"trailing".to_vec()].concat();
    assert_eq!(post(&server, &coding, trailing).await.status(), 400, "bytes that are no member");
}

/// An unknown gRPC method is UNIMPLEMENTED, never UNAVAILABLE (T19).
#[tokio::test]
async fn t19_unknown_services_are_unimplemented() {
    let server = Server::start();
    let refused =
        raw::call(&server, "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export", Vec::new())
            .await
            .expect_err("profiles are not taken");
    assert_eq!(refused.code(), tonic::Code::Unimplemented, "{refused:?}");
}

/// A message of many resources with nothing in them is fine (A2).
#[tokio::test]
async fn a2_empty_envelopes_are_fine() {
    let server = Server::start();
    let empty = generate::request("rules", Vec::new());
    let answer = post(&server, &[], empty.encode_to_vec()).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.bytes().await.expect("a body").len(), 0);
}
