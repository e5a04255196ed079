//! T1-T13, T19: how requests may come.

use std::io::Write as _;

use axum::body::Body;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::{Method, Request};

use storage::table::SPANS;

use super::world::*;
use crate::{Config, Encoding, Signal};

const JSON: (&str, &str) = ("content-type", "application/json");
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("memory")
}

fn body(signal: Signal) -> Vec<u8> {
    to_protobuf(signal, good(signal).to_string().as_bytes())
}

/// The paths can be changed. (The ports and loopback are the door's test.)
#[tokio::test]
async fn t1_paths_are_configurable() {
    let world = World::with(Config { traces_path: "/otlp/t".to_owned(), ..Config::default() }).await;
    let json = good(Signal::Traces).to_string();
    assert_eq!(world.http(post("/otlp/t", &[JSON], json.clone())).await.status, 200);
    assert_eq!(world.http(post("/v1/traces", &[JSON], json)).await.status, 404);
    assert!(Config { logs_path: "/v1/traces".to_owned(), ..Config::default() }.validate().is_err());
    assert!(Config { logs_path: "logs".to_owned(), ..Config::default() }.validate().is_err());
}

/// One port takes protobuf and JSON, and gRPC too.
#[tokio::test]
async fn t2_one_port_takes_every_encoding() {
    let world = World::new().await;
    for signal in Signal::ALL {
        let json = good(signal).to_string();
        assert_eq!(world.post(signal, &[JSON], json).await.status, 200);
        assert_eq!(world.post(signal, &[PROTOBUF], body(signal)).await.status, 200);
        let grpc = post(grpc_path(signal), &[("content-type", "application/grpc")], frame(false, &body(signal)));
        assert_eq!(world.http(grpc).await.grpc_status(), 0);
    }
    assert_eq!(world.rows(&SPANS), 3);
}

/// Any case, any parameters; what is missing, repeated or unreadable is 415.
#[tokio::test]
async fn t4_content_type_is_matched_loosely() {
    let world = World::new().await;
    let json = good(Signal::Traces).to_string();
    for name in ["APPLICATION/JSON", "application/json; charset=utf-8", " Application/Json ;x=y"] {
        assert_eq!(world.post(Signal::Traces, &[("content-type", name)], json.clone()).await.status, 200, "{name}");
    }
    for name in ["application/x-protobuf", "application/protobuf", "Application/X-Protobuf;q=1"] {
        let reply = world.post(Signal::Traces, &[("content-type", name)], body(Signal::Traces)).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, "application/x-protobuf"), "{name}");
    }
    for name in ["text/plain", "application/jsonx", ";", "", "application/\u{e4}"] {
        let reply = world.post(Signal::Traces, &[("content-type", name)], json.clone()).await;
        assert_eq!(reply.status, 415, "{name:?}");
        assert!(http_answer(Signal::Traces, Encoding::Json, &reply).message.contains("application/x-protobuf"));
    }
    assert_eq!(world.post(Signal::Traces, &[], json.clone()).await.status, 415);
    assert_eq!(world.post(Signal::Traces, &[JSON, JSON], json).await.status, 415);
}

/// Answers and refusals are written like the request; JSON when it did not say.
#[tokio::test]
async fn t5_answers_have_the_content_type_of_the_request() {
    let world = World::new().await;
    for (name, canonical) in [
        ("application/json", "application/json"),
        ("application/x-protobuf", "application/x-protobuf"),
        ("application/protobuf", "application/x-protobuf"),
    ] {
        let good = if canonical == "application/json" {
            good(Signal::Logs).to_string().into_bytes()
        } else {
            body(Signal::Logs)
        };
        for body in [good, b"\xff\xff garbage".to_vec()] {
            let reply = world.post(Signal::Logs, &[("content-type", name)], body).await;
            assert_eq!(reply.header("content-type"), canonical, "{}", reply.status);
        }
    }
    assert_eq!(world.post(Signal::Logs, &[], "").await.header("content-type"), "application/json");
}

/// Only POST, only known paths; each refusal is a Status that says what to do.
#[tokio::test]
async fn t6_only_post_and_known_paths() {
    let world = World::new().await;
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let request = Request::builder().method(method).uri("/v1/traces").header(JSON.0, JSON.1).body(Body::empty());
        let reply = world.http(request.expect("a request")).await;
        assert_eq!((reply.status, reply.header("allow")), (405, "POST"));
        assert!(http_answer(Signal::Traces, Encoding::Json, &reply).message.contains("POST"));
    }
    let reply = world.http(post("/v1/trace", &[PROTOBUF], "")).await;
    let answer = http_answer(Signal::Traces, Encoding::Protobuf, &reply);
    assert_eq!(answer.http_status, 404);
    assert!(answer.message.contains("/v1/traces, /v1/metrics, /v1/logs"), "{}", answer.message);
    let reply = world.grpc(post("/x.Y/Export", &[("content-type", "application/grpc")], "")).await;
    assert_eq!(grpc_answer(Signal::Traces, &reply).code, 12);
    let reply = world.grpc(post("/v1/traces", &[JSON], "{}")).await;
    assert!(http_answer(Signal::Traces, Encoding::Json, &reply).message.contains("4318"), "the port of HTTP is told");
}

/// gzip, zstd and deflate on both transports; others and stacked ones are refused with what we read.
#[tokio::test]
async fn t7_compressions() {
    let world = World::new().await;
    let plain = body(Signal::Traces);
    for (name, packed) in [
        ("gzip", gzip(&plain)),
        ("zstd", zstd(&plain)),
        ("deflate", deflate(&plain)),
        ("identity", plain.clone()),
        ("GZIP", gzip(&plain)),
    ] {
        let reply = world.post(Signal::Traces, &[PROTOBUF, ("content-encoding", name)], packed.clone()).await;
        assert_eq!(reply.status, 200, "{name}");
        let framed = frame(name != "identity", &packed);
        let reply = world.call(Signal::Traces, &[("grpc-encoding", name)], framed).await;
        assert_eq!(reply.grpc_status(), 0, "{name}");
    }
    assert_eq!(world.rows(&SPANS), 10);
    for name in ["br", "snappy", "gzip, gzip", "gzip,zstd"] {
        let reply = world.post(Signal::Traces, &[PROTOBUF, ("content-encoding", name)], plain.clone()).await;
        assert_eq!((reply.status, reply.header("accept-encoding")), (415, "gzip, zstd, deflate, identity"), "{name}");
        let reply = world.call(Signal::Traces, &[("grpc-encoding", name)], frame(true, &plain)).await;
        assert_eq!((reply.grpc_status(), reply.header("grpc-accept-encoding")), (12, "gzip, zstd, deflate, identity"));
    }
    let twice = [PROTOBUF, ("content-encoding", "gzip"), ("content-encoding", "gzip")];
    assert_eq!(world.post(Signal::Traces, &twice, gzip(&gzip(&plain))).await.status, 415);
}

/// A body that is not what its header says, is cut short, or fails its checksum.
#[tokio::test]
async fn t8_broken_compression_is_refused() {
    let world = World::new().await;
    let plain = body(Signal::Traces);
    let mut bad_checksum = gzip(&plain);
    let at = bad_checksum.len() - 6;
    bad_checksum[at] ^= 0xff;
    let mut after_deflate = deflate(&plain);
    after_deflate.extend(b"more");
    let cut = |packed: Vec<u8>| packed[..packed.len() - 4].to_vec();
    for (name, broken) in [
        ("gzip", plain.clone()),
        ("gzip", cut(gzip(&plain))),
        ("gzip", bad_checksum),
        ("zstd", plain.clone()),
        ("zstd", cut(zstd(&plain))),
        ("deflate", plain.clone()),
        ("deflate", cut(deflate(&plain))),
        ("deflate", after_deflate),
    ] {
        let reply = world.post(Signal::Traces, &[PROTOBUF, ("content-encoding", name)], broken.clone()).await;
        let answer = http_answer(Signal::Traces, Encoding::Protobuf, &reply);
        assert_eq!((answer.http_status, answer.code), (400, 3), "{name}");
        assert!(answer.message.contains(name), "{}", answer.message);
        let reply = world.call(Signal::Traces, &[("grpc-encoding", name)], frame(true, &broken)).await;
        assert_eq!(reply.grpc_status(), 3, "{name}");
    }
    assert_eq!(world.rows(&SPANS), 0);
}

/// gzip members follow each other; what is no member is refused.
#[tokio::test]
async fn t9_gzip_members() {
    let world = World::new().await;
    let plain = body(Signal::Traces);
    let (first, second) = plain.split_at(plain.len() / 2);
    let mut members = gzip(first);
    members.extend(gzip(second));
    let headers = [PROTOBUF, ("content-encoding", "gzip")];
    assert_eq!(world.post(Signal::Traces, &headers, members.clone()).await.status, 200);
    members.extend(b"no member");
    assert_eq!(world.post(Signal::Traces, &headers, members).await.status, 400);
}

/// The limit holds for what comes and for what it becomes; no hint to retry.
#[tokio::test]
async fn t10_size_limit_on_the_wire_and_decoded() {
    let world = World::with(Config { request_bytes_max: 10_000, ..Config::default() }).await;
    let large = vec![b' '; 10_001];
    let bomb = vec![0; 50_000_000];
    for (headers, body) in [
        (vec![JSON], large.clone()),
        (vec![JSON, ("content-length", "10001")], large.clone()),
        (vec![JSON, ("content-encoding", "gzip")], gzip(&large)),
        (vec![JSON, ("content-encoding", "gzip")], gzip(&bomb)[..10_000].to_vec()),
        (vec![JSON, ("content-encoding", "zstd")], zstd(&bomb)),
        (vec![JSON, ("content-encoding", "deflate")], deflate(&large)),
    ] {
        let reply = world.post(Signal::Traces, &headers, body).await;
        let answer = http_answer(Signal::Traces, Encoding::Json, &reply);
        assert_eq!((answer.http_status, answer.code, answer.retry_seconds), (413, 8, None), "{headers:?}");
        assert!(answer.message.contains("10000 bytes"), "{}", answer.message);
    }
    for (coding, framed) in
        [("identity", frame(false, &large)), ("gzip", frame(true, &gzip(&large))), ("zstd", frame(true, &zstd(&bomb)))]
    {
        let reply = world.call(Signal::Traces, &[("grpc-encoding", coding)], framed).await;
        let answer = grpc_answer(Signal::Traces, &reply);
        assert_eq!((answer.code, answer.retry_seconds), (8, None), "{coding}");
        assert!(!reply.headers.contains_key("google.rpc.retryinfo-bin"));
    }
    assert_eq!(world.collector.metrics().snapshot().in_flight_bytes, 0, "what was reserved is given back");
}

/// What rows of a request may take is bounded, too; nothing of one that is over it is kept, and half of it is taken.
#[tokio::test]
async fn t10_what_a_request_becomes_is_bounded() {
    let world = World::with(Config { in_flight_bytes_max: 16 << 20, request_bytes_max: 16 << 20, ..Config::default() });
    let world = world.await;
    let field = |number: u8, bytes: &[u8]| {
        let mut out = vec![number << 3 | 2];
        prost::encoding::encode_varint(bytes.len() as u64, &mut out);
        [&out, bytes].concat()
    };
    let at = |number: u8| [&[number << 3 | 1][..], &NOW.0.to_le_bytes()].concat();
    let span = |n: u64| field(2, &[field(1, &[7; 16]), field(2, &(n + 1).to_be_bytes()), at(7), at(8)].concat());
    let spans = |n: u64| field(1, &field(2, &(0..n).flat_map(span).collect::<Vec<u8>>()));
    for (n, status) in [(160_000, 413), (40_000, 200)] {
        let answer = world.send_protobuf(Wire::Protobuf, Signal::Traces, spans(n)).await;
        assert_eq!((answer.http_status, answer.retry_seconds), (status, None), "{n}: {}", answer.message);
        assert_eq!(status == 413, answer.message.contains("16777216 bytes as rows"), "{n}: {}", answer.message);
    }
    assert_eq!(world.collector.metrics().snapshot().in_flight_bytes, 0);
}

/// Two bytes of a list can be 48 in memory, one of a text three: an item that becomes too large is refused on every wire, like a request that is, and the
/// collector goes on.
#[tokio::test]
async fn t10_what_an_item_becomes_is_bounded() {
    let world = World::with(Config { in_flight_bytes_max: 16 << 20, ..Config::default() }).await;
    let field = |number: u8, bytes: &[u8]| {
        let mut out = vec![number << 3 | 2];
        prost::encoding::encode_varint(bytes.len() as u64, &mut out);
        [&out, bytes].concat()
    };
    let nothing = |n: usize, number: u8| [number << 3 | 2, 0].repeat(n);
    let attribute = |value: &[u8]| field(9, &field(2, value));
    let in_span = |inside: &[u8]| field(1, &field(2, &field(2, inside)));
    let of = |inside: &[u8]| in_span(&[&field(1, &[7; 16])[..], &field(2, &[7; 8]), inside].concat());
    for (what, body) in [
        ("a map", of(&attribute(&field(6, &nothing(1 << 20, 1))))),
        ("a list", of(&attribute(&field(5, &nothing(1 << 20, 1))))),
        ("attributes", of(&nothing(1 << 20, 9))),
        ("events", of(&nothing(1 << 20, 11))),
        ("links", of(&nothing(1 << 20, 13))),
    ] {
        for wire in [Wire::Grpc, Wire::Protobuf] {
            let answer = world.send_protobuf(wire, Signal::Traces, body.clone()).await;
            assert_eq!((answer.http_status, answer.code, answer.retry_seconds), (413, 8, None), "{what} {wire:?}");
            assert!(answer.message.contains("in one item"), "{what}: {}", answer.message);
        }
    }
    // Each byte that is not UTF-8 becomes three; a value that is a list, a map, a list takes room each time.
    let text = |n: usize| attribute(&field(1, &vec![0xff; n]));
    let turns = of(&attribute(&[5 << 3 | 2, 0, 6 << 3 | 2, 0].repeat(1 << 20)));
    for (what, body) in [("a text to be mended", of(&text(6 << 20))), ("a value of two minds", turns)] {
        let answer = world.send_protobuf(Wire::Protobuf, Signal::Traces, body).await;
        assert_eq!((answer.http_status, answer.retry_seconds), (413, None), "{what}: {}", answer.message);
    }
    let mended = world.send_protobuf(Wire::Protobuf, Signal::Traces, of(&text(1 << 20))).await;
    assert_eq!((mended.http_status, mended.message.contains("invalid_utf8")), (200, true), "{}", mended.message);
    let points = field(1, &field(2, &field(2, &field(5, &nothing(1 << 20, 1)))));
    let counts = field(10, &field(1, &field(8, &field(2, &[0; 4 << 20]))));
    let counts = field(1, &field(2, &field(2, &counts)));
    for (what, body) in [("points", points), ("packed counts", counts)] {
        let answer = world.send_protobuf(Wire::Protobuf, Signal::Metrics, body).await;
        assert_eq!((answer.http_status, answer.retry_seconds), (413, None), "{what}: {}", answer.message);
    }
    let json = format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{{"kvlistValue":{{"values":[{}{{}}]}}}}}}]}}]}}]}}"#,
        "{},".repeat(1 << 20)
    );
    let reply = world.post(Signal::Logs, &[("content-type", "application/json")], json).await;
    assert_eq!(reply.status, 413, "{reply:?}");
    // Large, and still an item.
    let large = of(&nothing(10_000, 9));
    assert_eq!(world.send_protobuf(Wire::Protobuf, Signal::Traces, large).await.http_status, 200);
}

/// A frame that says it is over the limit is RESOURCE_EXHAUSTED, never OUT_OF_RANGE, which clients retry.
#[tokio::test]
async fn t11_long_frames_are_resource_exhausted() {
    let world = World::new().await;
    let mut framed = vec![0];
    framed.extend(u32::MAX.to_be_bytes());
    assert_eq!(world.call(Signal::Traces, &[], framed).await.grpc_status(), 8);
}

/// What cannot be decoded is INVALID_ARGUMENT, never INTERNAL.
#[tokio::test]
async fn t12_undecodable_is_invalid_argument() {
    let world = World::new().await;
    for signal in Signal::ALL {
        for framed in [
            frame(false, b"\xff\xff\xff garbage"),
            frame(true, b"x"),
            vec![],
            vec![0, 0],
            vec![0, 0, 0, 0, 9, 1],
            vec![7, 0, 0, 0, 0],
            [frame(false, b""), frame(false, b"")].concat(),
        ] {
            let answer = grpc_answer(signal, &world.call(signal, &[], framed.clone()).await);
            assert_eq!((answer.code, answer.retry_seconds), (3, None), "{framed:?}");
            assert!(answer.message.contains("cannot decode"), "{}", answer.message);
        }
    }
}

/// Messages are cut to 1 KiB.
#[tokio::test]
async fn t13_messages_are_short() {
    let world = World::new().await;
    let reply = world.http(post(&format!("/{}", "x".repeat(4000)), &[JSON], "")).await;
    assert!(http_answer(Signal::Traces, Encoding::Json, &reply).message.len() <= 1024);
    let name = format!("\"{}\": 1", "\u{e4}".repeat(3000));
    let reply = world.post(Signal::Traces, &[JSON], format!("{{\"resourceSpans\": [{{{name}}}, 7]}}")).await;
    let answer = http_answer(Signal::Traces, Encoding::Json, &reply);
    assert!(answer.http_status == 400 && answer.message.len() <= 1024, "{}", answer.message);
}

/// A signal that we do not take is "not there", which nobody retries.
#[tokio::test]
async fn t19_profiles_are_not_taken() {
    let world = World::new().await;
    assert_eq!(world.http(post("/v1development/profiles", &[JSON], "{}")).await.status, 404);
    let path = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export";
    let reply = world.grpc(post(path, &[("content-type", "application/grpc")], frame(false, b""))).await;
    let answer = grpc_answer(Signal::Traces, &reply);
    assert_eq!((answer.code, answer.retry_seconds), (12, None));
}
