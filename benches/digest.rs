//! Does the digest keep up with 50,000 spans/s on one core, and in how much memory?
//!
//! The whole collector over loopback: 98 requests/s of 512 spans, a trace of 8 spans over 8 requests, for
//! `BENCH_SECONDS` (90), then nothing until everything is at rest. The digest has one thread, whose CPU time is read
//! from the kernel: that it keeps up on one core is that its thread took less time than the load lasted, and that at
//! the end of the load nothing waits but what has not settled.
//!
//! Expected, in us of that thread per span: rows to spans 5 + leads and packing 1.5 + unpacking 1.5 + analysis 5 + rows,
//! sums and WAL record 4 = 17, so 0.85 of a core at 50,000 spans/s. Memory: traces settle 30 s after their last span,
//! 1.5 million open spans of about 250 B would be 375 MB; `digest_memory_bytes_max` (128 MiB) makes it look at them
//! about 10 s after, early and marked. It may hold half as much again while the machine is busy; with a batch of 20,000
//! spans as plain values (60 MiB) that is 256 MiB.
//!
//! Goals: keeps up, <= 256 MiB, 0 gaps, no trace at rest twice.
//!
//! `BENCH_RATE` (98) sets the requests per second. `BENCH_BINARY` names another build of the collector.

#![expect(clippy::print_stdout, reason = "a bench prints its results")]
#![allow(clippy::disallowed_methods, reason = "a bench runs in the world's time")]

#[allow(dead_code, unreachable_pub, reason = "each bench uses the part it needs")]
mod load;

use std::sync::Arc;
use std::time::{Duration, Instant};

use load::sender::{self, Plan, Until};
use load::server::{Server, cpu_seconds};
use load::{setting, spans};

#[tokio::main]
async fn main() {
    let (seconds, rate) = (setting("BENCH_SECONDS", 90), setting("BENCH_RATE", 98));
    let data = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(data.path());
    let requests: Arc<[_]> = spans::encode(96, 512).into();
    let plan =
        Plan { per_second: Some(rate), ..Plan::new(&server.otlp_grpc, Until::Elapsed(Duration::from_secs(seconds))) };
    let watch = tokio::spawn(watch(server.http.clone()));
    let run = sender::send(&plan, &requests).await;
    let (status, cpu_at_end) = (status(&server.http).await, digest_cpu_seconds(&server));
    let largest = watch.await.expect("it only watches");
    println!(
        "load: {:.0} spans/s for {:.0} s; the digest's thread took {cpu_at_end:.1} s of CPU, {:.2} of a core",
        run.rate(),
        run.elapsed.as_secs_f64(),
        cpu_at_end / run.elapsed.as_secs_f64()
    );
    println!(
        "at the end of the load: {} spans at rest, {} open, {:.1} s behind, largest memory {:.0} MiB, {} gaps",
        status.spans,
        status.open_spans,
        status.behind_seconds,
        largest as f64 / f64::from(1 << 20),
        status.gaps
    );
    let begun = Instant::now();
    while self::status(&server.http).await.open_spans > 0 && begun.elapsed() < Duration::from_secs(300) {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let status = self::status(&server.http).await;
    let cpu = digest_cpu_seconds(&server);
    let at_rest = server.sql_number("SELECT count(DISTINCT trace_id) FROM digest_traces").await;
    println!(
        "at rest {:.1} s later: {at_rest} traces in {} batches, {} early, {} corrected, {} unchecked; {:.1} us of CPU per span",
        begun.elapsed().as_secs_f64(),
        status.batches,
        status.early_traces,
        status.late_traces,
        status.unchecked_traces,
        cpu * 1e6 / status.spans.max(1) as f64
    );
    println!(
        "the whole process: peak {:.0} MiB, {:.1} s of CPU",
        server.usage().peak_rss_mib,
        server.usage().cpu_seconds
    );
}

async fn status(http: &str) -> api::DigestStatus {
    let answer =
        reqwest::get(format!("http://{http}/api/status")).await.expect("an answer").bytes().await.expect("a body");
    serde_json::from_slice::<api::StatusAnswer>(&answer).expect("a status").digest
}

/// The largest memory of open traces seen until the load ends and they get fewer.
async fn watch(http: String) -> u64 {
    let (mut largest, mut falling) = (0, 0);
    while falling < 20 {
        let memory = status(&http).await.memory_bytes;
        falling = if memory * 2 < largest { falling + 1 } else { 0 };
        largest = largest.max(memory);
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    largest
}

/// CPU time of the digest's thread so far (Linux).
fn digest_cpu_seconds(server: &Server) -> f64 {
    let id = server.id();
    let tasks = std::fs::read_dir(format!("/proc/{id}/task")).expect("alive").flatten();
    let digest = tasks.map(|task| task.file_name().to_string_lossy().into_owned()).find(|task| {
        std::fs::read_to_string(format!("/proc/{id}/task/{task}/comm")).is_ok_and(|name| name.trim() == "digest")
    });
    digest.and_then(|task| cpu_seconds(&format!("{id}/task/{task}"))).unwrap_or_default()
}
