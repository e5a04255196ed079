//! How long does it take to turn the bytes of a request into columns, on one core and nothing else?
//!
//! Everything around it is replaced by nothing: no transport, no WAL, no Parquet. `to_batches` decodes, sanitizes
//! and writes Arrow columns; the baseline in the same run only decodes the same bytes into prost's structs and
//! drops them, which gives no columns yet.
//!
//! Expected for spans (512 a request, 490 bytes and 10 attributes each): prost 1.4 us a span, nearly all of it some
//! thirty allocations. The walker: 490 bytes in about 75 fields at 2 ns each 150 ns, checking text 30 ns, keys by
//! one comparison each 30 ns, four labels to look up 60 ns, values copied twice (builder, then array of exact size)
//! 60 ns, some 60 arrays a batch 30 ns: 0.36 us a span, 2.8 M spans/s, 4 x prost. Goals: 4 x prost, 1 M spans/s.
//!
//! Number points (4 attributes): the attributes are written as text (about 200 bytes, 120 ns), hashed byte by byte
//! into the number of their series (200 ns) and looked up (50 ns), fields 100 ns: 0.5 us, 2 M points/s. Goal: 500,000.
//!
//! Times are CPU times of the process; `BENCH_SECONDS` (3) sets the length of each run, the best of five counts, because
//! the machine may be shared. `BENCH_ONLY=spans` picks lines, `BENCH_PROFILE=1` leaves the baseline out.

#![expect(clippy::print_stdout, reason = "a bench prints its results")]
#![allow(clippy::disallowed_methods, reason = "a bench runs in the world's time")]

#[allow(dead_code, unreachable_pub, reason = "each bench uses the part it needs")]
mod load;

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use collector::{Encoding, Signal, to_batches};
use model::UnixNanos;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use load::requests::EncodedRequest;
use load::{logs, own_cpu_seconds, points, setting, spans, unix_nanos};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const ROUNDS: usize = 5;

fn main() {
    compare::<ExportTraceServiceRequest>("spans", Signal::Traces, &spans::encode(24, 512));
    compare::<ExportTraceServiceRequest>("spans, 32 a request", Signal::Traces, &spans::encode(384, 32));
    compare::<ExportMetricsServiceRequest>("number points", Signal::Metrics, &points::encode(24, 1000));
    compare::<ExportLogsServiceRequest>("log records", Signal::Logs, &logs::encode(24, 512));
}

/// Prints what the same bytes cost prost and us; best of [`ROUNDS`], taken in turns.
fn compare<M: Message + Default>(what: &str, signal: Signal, requests: &[EncodedRequest]) {
    if !what.starts_with(&std::env::var("BENCH_ONLY").unwrap_or_default()) {
        return;
    }
    let with_baseline = setting("BENCH_PROFILE", 0) == 0;
    let oldest = UnixNanos(0);
    let now = UnixNanos(unix_nanos() as i64);
    let n_items: usize = requests.iter().map(|request| request.n_items).sum();
    let requests: Vec<Bytes> =
        (0..).zip(requests).map(|(serial, request)| request.message(serial, unix_nanos())).collect();
    let n_bytes: usize = requests.iter().map(Bytes::len).sum();
    let (mut prost, mut ours) = (0f64, 0f64);
    for _ in 0..ROUNDS {
        if with_baseline {
            let prost_rate = rate(&requests, n_items, |request| {
                black_box(M::decode(request.clone()).expect("encoded above"));
            });
            prost = prost.max(prost_rate);
        }
        let our_rate = rate(&requests, n_items, |request| {
            black_box(to_batches(signal, Encoding::Protobuf, request, now, oldest).expect("encoded above"));
        });
        ours = ours.max(our_rate);
    }
    let bytes_per_item = n_bytes as f64 / n_items as f64;
    println!(
        "{what:<22} {bytes_per_item:>4.0} B each   prost into structs {prost:>9.0}/s   into columns {ours:>9.0}/s, \
         {:.3} us, {:.0} MB/s   {:.2} x",
        1e6 / ours,
        ours * bytes_per_item / 1e6,
        ours / prost
    );
}

/// Items per CPU second; `n_items` stand in all requests together.
fn rate(requests: &[Bytes], n_items: usize, mut take: impl FnMut(&Bytes)) -> f64 {
    let length = Duration::from_secs(setting("BENCH_SECONDS", 3)) / ROUNDS as u32;
    let (begin, cpu_before, mut items) = (Instant::now(), own_cpu_seconds(), 0);
    while begin.elapsed() < length {
        requests.iter().for_each(&mut take);
        items += n_items;
    }
    items as f64 / (own_cpu_seconds() - cpu_before)
}
