//! Does the collector keep its pace when segments are written and merged behind it, and how much memory does it take?
//!
//! `BENCH_SECONDS` (60) of 512-span requests over 16 gRPC connections, 400 requests/s due at fixed moments (204,800
//! spans/s; `BENCH_REQUESTS_PER_SECOND`), while the write buffer goes to segments about once a second. Every 5
//! seconds a line: what was acknowledged, CPU of the collector, memory.
//!
//! Expected: 3.7 us of CPU a span (see ingest.rs) is 0.76 s of CPU a second, plus 2 to 3 us a span where segments
//! are merged: 1.3 of 2 cores, next to a sender that takes 0.1. An acknowledgement waits for its group (2 ms), for a
//! sync (1 to 5 ms) and for its turn on a core: p99 below 50 ms. Memory: 192 MiB of buffer at most, one row group
//! being encoded, requests on their way: below 512 MiB, and not growing.
//!
//! Baseline in the same run: the first five seconds.

#![expect(clippy::print_stdout, reason = "a bench prints its results")]
#![allow(clippy::disallowed_methods, reason = "a bench runs in the world's time")]

#[allow(dead_code, unreachable_pub, reason = "each bench uses the part it needs")]
mod load;

use std::sync::Arc;
use std::time::Duration;

use load::sender::{self, Outcome, Plan, Until};
use load::server::{self, Server};
use load::{percentile, setting, spans};

/// Length of one line.
const STEP: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() {
    let n_steps = setting("BENCH_SECONDS", 60).div_ceil(STEP.as_secs());
    let requests: Arc<[_]> = spans::encode(96, 512).into();
    let data = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(data.path());
    let mut plan = Plan {
        per_second: Some(setting("BENCH_REQUESTS_PER_SECOND", 400)),
        connections: 16,
        ..Plan::new(&server.otlp_grpc, Until::Elapsed(STEP))
    };
    println!("{:>9} {:>9} {:>7} {:>22} {:>11}", "", "spans/s", "CPU s/M", "ack p50/p99/max ms", "RSS now/max");
    let mut all = Outcome::default();
    for step in 1..=n_steps {
        let before = server.usage();
        let run = sender::send(&plan, &requests).await;
        plan.first_serial = run.serials.iter().max().map_or(plan.first_serial, |last| (last / 8 + 1) * 8);
        let after = server.usage();
        let cpu = (after.cpu_seconds - before.cpu_seconds) / (run.accepted as f64 / 1e6);
        let second = step * STEP.as_secs();
        line(&format!("{second:>7} s"), &run, cpu, &format!("{:.0} / {:.0}", after.rss_mib, after.peak_rss_mib));
        all.add(run);
    }
    all.ack_ms.sort_by(f64::total_cmp);
    let stored = server.sql_number("SELECT count(*) FROM spans").await;
    let peak_rss_mib = server.usage().peak_rss_mib;
    let cpu = server.stop() / (all.accepted as f64 / 1e6);
    line("all", &all, cpu, &format!("{peak_rss_mib:.0}"));
    let bytes = server::folder_bytes(data.path());
    println!(
        "stored {stored} of {} acknowledged; {:.1} bytes a span at rest",
        all.accepted,
        bytes as f64 / stored as f64
    );
    assert!(stored >= all.accepted, "acknowledged spans are missing");
}

fn line(name: &str, run: &Outcome, cpu: f64, memory: &str) {
    println!(
        "{name:>9} {:>9.0} {cpu:>7.2} {:>6.1} / {:>5.1} / {:>5.1} {memory:>11}",
        run.rate(),
        percentile(&run.ack_ms, 0.5),
        percentile(&run.ack_ms, 0.99),
        percentile(&run.ack_ms, 1.0),
    );
}
