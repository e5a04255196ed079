//! T2 to T13 and T19: media types, methods, paths, codings, sizes, framing.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use hyper::Method;

use super::super::case::{BAD, CODING, Case, Expect, LARGE, MEDIA, Signal, UNKNOWN, frame};
use super::super::make::{good, request};
use super::super::schema;
use super::super::wire::Transport;

const HTTP: [Transport; 2] = [Transport::HttpProtobuf, Transport::HttpJson];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).expect("memory takes everything")
}

fn plain(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

fn shortened(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len() / 2].to_vec()
}

/// The last eight bytes of gzip are its checksum and length.
fn damaged(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = bytes.len() - 6;
    bytes[at] ^= 0x55;
    bytes
}

/// 65 MiB of white space, which both encodings would refuse only after reading it.
fn bomb(coded: fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    coded(&vec![b' '; 65 << 20])
}

pub(super) fn add(cases: &mut Vec<Case>) {
    for signal in Signal::ALL {
        media(cases, signal);
        codings(cases, signal);
        framing(cases, signal);
    }
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
        for signal in Signal::ALL {
            let name = format!("{method} is not allowed");
            let case = Case::new("T6", name, signal, &request(signal, vec![]), Expect::Refused(405, 0));
            cases.push(case.method(method.clone()).only(&HTTP));
        }
    }
    let unknown = |rule, name: &str, http, grpc| {
        Case::new(rule, name, Signal::Traces, &request(Signal::Traces, vec![]), UNKNOWN).path(http, grpc)
    };
    cases.push(unknown("T6", "an unknown path", "/nowhere", "/nowhere.Service/Export"));
    let method = "/opentelemetry.proto.collector.trace.v1.TraceService/Import";
    cases.push(unknown("T6", "an unknown method", "/v1/traces/more", method));
    let profiles = "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export";
    cases.push(unknown("T19", "profiles", "/v1development/profiles", profiles));
}

fn media(cases: &mut Vec<Case>, signal: Signal) {
    let one = || request(signal, vec![good(signal)]);
    let case = |rule, name: &str, expect| Case::new(rule, name, signal, &one(), expect);
    let forms: [(Transport, &[&'static [u8]]); 2] = [
        (
            Transport::HttpProtobuf,
            &[b"APPLICATION/X-Protobuf", b"application/x-protobuf; charset=utf-8", b"application/protobuf"],
        ),
        (
            Transport::HttpJson,
            &[b"Application/JSON", b"application/json; charset=utf-8", b"application/json;a=\"b;c\""],
        ),
    ];
    for (transport, spellings) in forms {
        for spelling in spellings {
            let name = format!("content type {}", String::from_utf8_lossy(spelling));
            cases.push(case("T4", &name, Expect::Taken).media(&[spelling]).only(&[transport]));
        }
    }
    let json: &[&'static [u8]] = &[b"application/json", b"application/json"];
    let odd: [(&str, &[&'static [u8]]); 6] = [
        ("no content type", &[]),
        ("two content types", json),
        ("an empty content type", &[b""]),
        ("text/plain", &[b"text/plain"]),
        ("no media type", &[b"json"]),
        ("a content type that is not ASCII", &[b"application/j\xe4son"]),
    ];
    for (name, media) in odd {
        cases.push(case("T4", name, MEDIA).media(media).only(&HTTP));
    }
    cases.push(case("T2", "protobuf and JSON at one path", Expect::Taken));
}

fn codings(cases: &mut Vec<Case>, signal: Signal) {
    let one = || request(signal, vec![good(signal)]);
    let mut case = |rule, name: &str, expect, coding, pack: fn(&[u8]) -> Vec<u8>| {
        cases.push(Case::new(rule, name, signal, &one(), expect).coded(coding, pack));
    };
    case("T7", "identity", Expect::Taken, "identity", plain);
    case("T7", "gzip", Expect::Taken, "gzip", gzip);
    case("T7", "zstd", Expect::Taken, "zstd", zstd);
    case("T7", "deflate", Expect::Taken, "deflate", zlib);
    for coding in ["br", "nonsense", "gzip, gzip"] {
        case("T7", &format!("coding {coding}"), CODING, coding, gzip);
    }
    case("T8", "plain bytes called gzip", BAD, "gzip", plain);
    case("T8", "plain bytes called zstd", BAD, "zstd", plain);
    case("T8", "plain bytes called deflate", BAD, "deflate", plain);
    case("T8", "half a gzip body", BAD, "gzip", |bytes| shortened(&gzip(bytes)));
    case("T8", "half a zstd body", BAD, "zstd", |bytes| shortened(&zstd(bytes)));
    case("T8", "half a deflate body", BAD, "deflate", |bytes| shortened(&zlib(bytes)));
    case("T8", "gzip with a wrong checksum", BAD, "gzip", |bytes| damaged(gzip(bytes)));
    case("T9", "gzip in two members", Expect::Taken, "gzip", |bytes| {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        [gzip(first), gzip(second)].concat()
    });
    case("T9", "gzip with something behind it", BAD, "gzip", |bytes| [&gzip(bytes)[..], b"behind"].concat());
    if signal == Signal::Traces {
        case("T10", "65 MiB in gzip", LARGE, "gzip", |_| bomb(gzip));
        case("T10", "65 MiB in zstd", LARGE, "zstd", |_| bomb(zstd));
        case("T10", "65 MiB in deflate", LARGE, "deflate", |_| bomb(zlib));
    }
}

fn framing(cases: &mut Vec<Case>, signal: Signal) {
    let message = schema::to_protobuf(&request(signal, vec![good(signal)]));
    let whole = frame(0, &message);
    let longer = [&[0][..], &(message.len() as u32 + 10).to_be_bytes(), &message].concat();
    for (name, frames) in [
        ("no message", Vec::new()),
        ("half a frame head", whole[..3].to_vec()),
        ("a frame longer than the body", longer),
        ("a flag that does not exist", frame(2, &message)),
        ("two messages", [whole.clone(), whole].concat()),
        ("compressed without a coding", frame(1, &gzip(&message))),
    ] {
        cases.push(Case::new("T12", name, signal, &request(signal, vec![]), BAD).frames(frames));
    }
    let huge = [&[0][..], &u32::MAX.to_be_bytes(), b"little"].concat();
    let case = Case::new("T11", "a frame that says 4 GiB", signal, &request(signal, vec![]), LARGE);
    cases.push(case.frames(huge));
}
