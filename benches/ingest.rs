//! How many spans per second does the collector take, make durable and acknowledge, and at what cost?
//!
//! Whole path over loopback: 512-span requests (490 B a span, 10 attributes) over 8 gRPC connections, the
//! sender on the same cores; nothing is left out: decode, sanitize, map, WAL, fsync, buffer, sort, Parquet.
//!
//! Expected: prost decode 2.4 us + columns 0.5 us + IPC and WAL 0.5 us + sort and Parquet 2 us = 5.4 us a
//! span, so two cores that also carry the sender (about 0.5 us a span) end near 2 / 5.9 us = 340,000
//! spans/s; with HTTP/2, scheduling and syncs, 150,000 to 250,000. Goal: 100,000, RSS <= 512 MiB, 0 lost.
//! At 200 requests/s (102,400 spans/s) an acknowledgement is a group wait (2 ms), a sync (1 to 5 ms) and
//! 2 ms of work: p99 below 25 ms.
//!
//! Baseline in the same run: prost decoding of the same bytes into structs, on one core, and nothing else.
//!
//! `BENCH_SECONDS` (20) sets the length of each run.

#![expect(clippy::print_stdout, reason = "a bench prints its results")]
#![allow(clippy::disallowed_methods, reason = "a bench runs in the world's time")]

#[allow(dead_code, unreachable_pub, reason = "each bench uses the part it needs")]
mod load;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

use load::requests::{self, EncodedRequest};
use load::sender::{self, Until};
use load::server::{self, Server};
use load::{percentile, setting};

#[tokio::main]
async fn main() {
    let seconds = Duration::from_secs(setting("BENCH_SECONDS", 20));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    let mut requests = requests::encode(96, 512, now);
    let baseline = decode_only(&mut requests);
    println!(
        "baseline: prost decode only      {:>9.0} spans/s on one core, {:.2} CPU s per million",
        baseline,
        1e6 / baseline
    );

    let data = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(data.path());
    let before = server.usage();
    let run = sender::send(&server.otlp_grpc, &requests, 8, None, Until::Elapsed(seconds), 1).await;
    let after = server.usage();
    let rate = run.accepted_spans as f64 / run.elapsed.as_secs_f64();
    let cpu_per_million = (after.cpu_seconds - before.cpu_seconds) / (run.accepted_spans as f64 / 1e6);
    println!(
        "accepted and durable             {rate:>9.0} spans/s over {:.0} s, {} retried requests",
        run.elapsed.as_secs_f64(),
        run.retried
    );
    println!(
        "cost                             {cpu_per_million:>9.2} CPU s per million spans, {:.1} x the baseline",
        cpu_per_million * baseline / 1e6
    );
    println!(
        "acknowledged after               {:>9.1} ms p50, {:.1} ms p99",
        percentile(&run.ack_ms, 0.5),
        percentile(&run.ack_ms, 0.99)
    );
    println!("resident memory                  {:>9.0} MiB at most", after.peak_rss_mib);
    let stored = server.sql_number("SELECT count(*) FROM spans").await;
    println!("stored                           {stored:>9} of {} acknowledged", run.accepted_spans);
    assert!(stored >= run.accepted_spans, "acknowledged spans are missing");
    server.stop();
    println!(
        "at rest                          {:>9.1} bytes per span",
        server::folder_bytes(data.path()) as f64 / stored as f64
    );

    let data = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(data.path());
    let run = sender::send(&server.otlp_grpc, &requests, 8, Some(200), Until::Elapsed(seconds), 1).await;
    println!(
        "at 200 requests/s acknowledged   {:>9.1} ms p50, {:.1} ms p99, {:.1} ms max ({:.0} spans/s)",
        percentile(&run.ack_ms, 0.5),
        percentile(&run.ack_ms, 0.99),
        percentile(&run.ack_ms, 1.0),
        run.accepted_spans as f64 / run.elapsed.as_secs_f64()
    );
    server.stop();
}

/// Spans per second that one core decodes into structs, and drops.
fn decode_only(requests: &mut [EncodedRequest]) -> f64 {
    let bytes: Vec<_> = requests.iter_mut().map(|request| request.with_serial(1)).collect();
    let (begin, mut spans) = (Instant::now(), 0);
    while begin.elapsed() < Duration::from_secs(2) {
        for (request, bytes) in requests.iter().zip(&bytes) {
            let decoded = ExportTraceServiceRequest::decode(bytes.clone()).expect("encoded above");
            std::hint::black_box(&decoded);
            spans += request.n_spans;
        }
    }
    spans as f64 / begin.elapsed().as_secs_f64()
}
