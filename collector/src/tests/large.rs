//! Large requests wait for each other, and for nobody else (`decoders.rs`).

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use storage::table::SPANS;

use super::world::*;
use crate::decoders::LARGE_BYTES_MIN;
use crate::{Config, Signal};

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const GZIP: (&str, &str) = ("content-encoding", "gzip");

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn small() -> Vec<u8> {
    to_protobuf(Signal::Traces, good(Signal::Traces).to_string().as_bytes())
}

/// The same in so many bytes: a field that nobody knows comes after it.
fn padded(n_bytes: usize) -> Vec<u8> {
    let mut body = small();
    body.extend([15 << 3 | 2]);
    prost::encoding::encode_varint(n_bytes as u64, &mut body);
    body.resize(body.len() + n_bytes, 0);
    body
}

/// Waits until so many bytes are in flight.
async fn until_in_flight(world: &World, n_bytes: usize) {
    let waiting = async {
        while world.collector.metrics().snapshot().in_flight_bytes < n_bytes as u64 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("they are taken");
}

/// Waits until nothing is in flight.
async fn until_nothing_in_flight(world: &World) {
    let waiting = async {
        while world.collector.metrics().snapshot().in_flight_bytes > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it is given back");
}

/// Many large requests, plain ones and ones that are large only when they are decompressed, wait in the lane; small ones go past them,
/// compressed ones too.
#[tokio::test]
async fn large_requests_hold_up_no_small_ones() {
    let world = World::new().await;
    let alone = world.collector.ingest.decoders.enter_lane().await.expect("free");
    let plain = padded(LARGE_BYTES_MIN);
    let packed = gzip(&plain);
    assert!(packed.len() < LARGE_BYTES_MIN / 10);
    let n_each = 2 * std::thread::available_parallelism().map_or(2, usize::from).min(8);
    let large = futures::future::join_all((0..2 * n_each).map(|n| {
        let (headers, body) = if n % 2 == 0 { (&[PROTOBUF][..], &plain) } else { (&[PROTOBUF, GZIP][..], &packed) };
        world.post(Signal::Traces, headers, body.clone())
    }));
    let small = async {
        until_in_flight(&world, n_each * (plain.len() + packed.len())).await;
        for _ in 0..3 {
            let answer = world.post(Signal::Traces, &[PROTOBUF, GZIP], gzip(&small())).await;
            assert_eq!(answer.status, 200, "while large ones wait");
        }
        assert_eq!(world.rows(&SPANS), 3, "and none of those was decoded yet");
        drop(alone);
    };
    let small = tokio::time::timeout(Duration::from_secs(60), small);
    let (large, small) = tokio::join!(large, small);
    small.expect("small ones are not held up");
    assert!(large.iter().all(|answer| answer.status == 200), "large ones had their turn");
    assert_eq!(world.rows(&SPANS), 3 + 2 * n_each);
    assert_eq!(world.collector.metrics().snapshot().in_flight_bytes, 0);
}

/// Who goes away while its request waits in the lane leaves nothing behind: no work, no bytes in flight.
#[tokio::test]
async fn what_nobody_waits_for_is_not_decoded() {
    let world = World::new().await;
    let alone = world.collector.ingest.decoders.enter_lane().await.expect("free");
    let body = gzip(&padded(LARGE_BYTES_MIN));
    let n_bytes = body.len();
    tokio::select! {
        answer = world.post(Signal::Traces, &[PROTOBUF, GZIP], body) => panic!("{answer:?}"),
        () = until_in_flight(&world, n_bytes) => {}
    }
    drop(alone);
    let small = world.post(Signal::Traces, &[PROTOBUF, GZIP], gzip(&padded(LARGE_BYTES_MIN))).await;
    assert_eq!((small.status, world.rows(&SPANS)), (200, 1), "the one after it");
    until_nothing_in_flight(&world).await;
}

/// The limit counts for what is large when it is decompressed, and so does the lane's second reading of it.
#[tokio::test]
async fn what_is_inflated_twice_is_taken_once() {
    let world =
        World::with(Config { request_bytes_max: 3 << 20, in_flight_bytes_max: 4 << 20, ..Config::default() }).await;
    for (n_bytes, expected) in [(LARGE_BYTES_MIN, 200), (3 << 20, 413)] {
        let answer = world.post(Signal::Traces, &[PROTOBUF, GZIP], gzip(&padded(n_bytes))).await;
        assert_eq!(answer.status, expected, "{n_bytes} bytes");
        assert_eq!(world.collector.metrics().snapshot().in_flight_bytes, 0, "what was reserved is given back");
    }
    assert_eq!(world.rows(&SPANS), 1);
}

/// Bombs are refused for what they are while the lane is taken, and what is only packed well waits for it.
#[tokio::test]
async fn f13_bombs_do_not_wait_in_the_lane() {
    let world =
        World::with(Config { answer_within_ms: 120_000, request_bytes_max: 8 << 20, ..Config::default() }).await;
    let alone = world.collector.ingest.decoders.enter_lane().await.expect("free");
    let bomb = gzip(&padded(64 << 20));
    let bombs = futures::future::join_all((0..8).map(|_| world.post(Signal::Traces, &[PROTOBUF, GZIP], bomb.clone())));
    let bombs = tokio::time::timeout(Duration::from_secs(60), bombs).await.expect("nobody waits for the lane");
    assert!(
        bombs.iter().all(|answer| answer.status == 413),
        "{:?}",
        bombs.iter().map(|answer| answer.status).collect::<Vec<_>>()
    );
    let packed = world.post(Signal::Traces, &[PROTOBUF, GZIP], gzip(&padded(4 << 20)));
    let waits = async {
        until_in_flight(&world, 1).await;
        assert_eq!(world.rows(&SPANS), 0);
        drop(alone);
    };
    let (packed, ()) = tokio::join!(packed, waits);
    assert_eq!((packed.status, world.rows(&SPANS)), (200, 1));
    until_nothing_in_flight(&world).await;
}
