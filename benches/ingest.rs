//! How many spans, points and log records a second does the collector take, make durable and acknowledge, and at
//! what cost?
//!
//! Whole path over loopback: 512-span requests (490 B a span, 10 attributes) over 8 connections, the sender on the
//! same cores; nothing is left out: decode, sanitize, map, WAL, fsync, buffer, sort, Parquet. Each line is a run of
//! its own with a collector and a folder of its own; CPU time is that of the collector's whole life, so that the
//! last rows are in segments too.
//!
//! Expected, in us of CPU per span: HTTP/2 and reading 0.3 + walker 0.7 + IPC and WAL 0.5 + sort and copy 0.6 +
//! Parquet 1.6 = 3.7; the sender needs 0.4 beside it, so two cores end near 2 / 4.1 us = 480,000 spans/s, and
//! with waiting for syncs at half of that. gzip adds what inflating costs: 490 B at about 400 MB/s = 1.2 us; zstd at
//! 1 GB/s 0.5 us. At 400 requests/s (204,800 spans/s) an acknowledgement is a group wait (2 ms), a sync (1 to 5 ms)
//! and 2 ms of work, next to a flush that takes a core: p99 below 50 ms. Points carry 6 values in place of 25: a
//! third of a span's cost.
//!
//! The lines measure ingest, down to segments: merging them and the digest are off. Two lines have them on again, so
//! that what they add can be read: a merge copies each row about twice (2 to 3 us), the digest takes 17 us for each
//! span that it gets to (benches/digest.rs), and what it does not get to it reads later.
//!
//! Goals: <= 4 CPU s per million spans (<= 7 with merges), >= 200,000 spans/s, p99 <= 50 ms at that rate, RSS <= 512 MiB, >= 500,000
//! points/s, 0 lost. Baseline in the same run: prost decoding of the same bytes into structs, on one core, and
//! nothing else.
//!
//! `BENCH_SECONDS` (10) sets the length of each run. `BENCH_BINARY` names another build of the collector.

#![expect(clippy::print_stdout, reason = "a bench prints its results")]
#![allow(clippy::disallowed_methods, reason = "a bench runs in the world's time")]

#[allow(dead_code, unreachable_pub, reason = "each bench uses the part it needs")]
mod load;

use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

use load::requests::{Coding, EncodedRequest};
use load::sender::{self, Plan, Signal, Transport, Until};
use load::server::{self, Server};
use load::{logs, own_cpu_seconds, percentile, points, setting, spans, unix_nanos};

/// The digest is off.
const NO_DIGEST: (&str, &str) = ("HODOSCOPE_QUERY_DIGEST", "false");
/// What works in the background with what was taken is off.
const INGEST_ALONE: &[(&str, &str)] = &[NO_DIGEST, ("HODOSCOPE_STORAGE_COMPACTION", "false")];

#[tokio::main]
async fn main() {
    let until = Until::Elapsed(Duration::from_secs(setting("BENCH_SECONDS", 10)));
    let traces: Arc<[_]> = spans::encode(96, 512).into();
    let baseline = decode_only(&traces);
    println!("baseline: prost decode only {baseline:.0} spans/s on one core, {:.2} CPU s per million", 1e6 / baseline);
    println!(
        "{:<26} {:>9} {:>7} {:>7} {:>22} {:>7} {:>6}",
        "", "items/s", "CPU s/M", "sender", "ack p50/p99/max ms", "RSS MiB", "B/item"
    );
    let plan = Plan::new("", until);
    measure("spans, merging", plan.clone(), &traces, &[NO_DIGEST]).await;
    measure("spans, merging and digest", plan.clone(), &traces, &[]).await;
    for (transport, name) in [(Transport::Grpc, "gRPC"), (Transport::Http, "HTTP")] {
        for coding in [Coding::None, Coding::Gzip, Coding::Zstd] {
            let plan = Plan { transport, coding, ..plan.clone() };
            measure(&format!("spans, {name}, {coding:?}"), plan, &traces, INGEST_ALONE).await;
        }
    }
    let paced = |per_second| Plan { per_second: Some(per_second), connections: 16, ..plan.clone() };
    measure("spans, gRPC, 200 requests/s", paced(200), &traces, INGEST_ALONE).await;
    measure("spans, gRPC, 400 requests/s", paced(400), &traces, INGEST_ALONE).await;
    drop(traces);
    let metrics: Arc<[_]> = points::encode(96, 1000).into();
    measure("points, gRPC, None", Plan { signal: Signal::Metrics, ..plan.clone() }, &metrics, INGEST_ALONE).await;
    drop(metrics);
    let records: Arc<[_]> = logs::encode(96, 512).into();
    measure("log records, gRPC, None", Plan { signal: Signal::Logs, ..plan.clone() }, &records, INGEST_ALONE).await;
}

/// One run and one line.
async fn measure(name: &str, mut plan: Plan, requests: &Arc<[EncodedRequest]>, settings: &[(&str, &str)]) {
    let wanted = std::env::var("BENCH_ONLY").unwrap_or_default();
    if !name.contains(&wanted) {
        return;
    }
    let data = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start_set(data.path(), &[], settings);
    plan.address = match plan.transport {
        Transport::Grpc => server.otlp_grpc.clone(),
        Transport::Http => server.otlp_http.clone(),
    };
    let own_before = own_cpu_seconds();
    let run = sender::send(&plan, requests).await;
    let million = run.accepted as f64 / 1e6;
    let own = (own_cpu_seconds() - own_before) / million;
    let table = match plan.signal {
        Signal::Traces => "spans",
        Signal::Metrics => "number_points",
        Signal::Logs => "logs",
    };
    let stored = server.sql_number(&format!("SELECT count(*) FROM {table}")).await;
    assert!(stored >= run.accepted, "{} of {} acknowledged items are missing", run.accepted - stored, run.accepted);
    let peak_rss_mib = server.usage().peak_rss_mib;
    let cpu = server.stop() / million;
    // What was sent twice takes less room: no honest number.
    let at_rest = match plan.coding {
        Coding::None => format!("{:.1}", server::folder_bytes(data.path()) as f64 / stored as f64),
        _ => "-".to_owned(),
    };
    println!(
        "{name:<26} {:>9.0} {cpu:>7.2} {own:>7.2} {:>6.1} / {:>5.1} / {:>5.1} {peak_rss_mib:>7.0} {at_rest:>6}{}",
        run.rate(),
        percentile(&run.ack_ms, 0.5),
        percentile(&run.ack_ms, 0.99),
        percentile(&run.ack_ms, 1.0),
        if run.retried > 0 { format!("  {} requests were sent again", run.retried) } else { String::new() },
    );
}

/// Spans per second that one core decodes into structs, and drops.
fn decode_only(requests: &[EncodedRequest]) -> f64 {
    let bytes: Vec<_> = requests.iter().map(|request| request.message(1, unix_nanos())).collect();
    let (begin, mut spans) = (Instant::now(), 0);
    while begin.elapsed() < Duration::from_secs(2) {
        for (request, bytes) in requests.iter().zip(&bytes) {
            let decoded = ExportTraceServiceRequest::decode(bytes.clone()).expect("encoded above");
            std::hint::black_box(&decoded);
            spans += request.n_items;
        }
    }
    spans as f64 / begin.elapsed().as_secs_f64()
}
