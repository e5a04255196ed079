//! How long does a trace take to come back by its id, and how soon is a full data directory ready?
//!
//! Loads `BENCH_MILLION_SPANS` (5) million spans through the front door, then asks for 500 random traces of
//! 8 spans of 8 services by id over HTTP, one after another: some rest in segments, the latest in the write buffer.
//! Then the collector is killed (not closed) and started again on the same folder.
//!
//! Expected: 5 M spans are about 8 segments. The index of a segment names the row groups that hold a trace;
//! decoding a page of each of 70 columns in one or two row groups is 5 to 10 ms, the buffer is searched in
//! 3 ms: p99 below 30 ms. Start: the table logs are read (10 ms each) and the WAL behind the last commit is
//! replayed in the background: ready in less than 1 s.
//!
//! Baseline in the same run: `/healthz`, the same round trip with nothing behind it.

#![expect(clippy::print_stdout, reason = "a bench prints its results")]
#![allow(clippy::disallowed_methods, reason = "a bench runs in the world's time")]

#[allow(dead_code, unreachable_pub, reason = "each bench uses the part it needs")]
mod load;

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use load::sender::{self, Plan, Until};
use load::server::{self, Server};
use load::{percentile, requests, setting, spans};

#[tokio::main]
async fn main() {
    let n_requests = setting("BENCH_MILLION_SPANS", 5) * 1_000_000 / 512;
    let requests = spans::encode(96, 512).into();
    let data = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(data.path());
    let run = sender::send(&Plan::new(&server.otlp_grpc, Until::Sent(n_requests)), &requests).await;
    println!("loaded {} spans in {:.0} s", run.accepted, run.elapsed.as_secs_f64());

    let client = reqwest::Client::new();
    let mut random = StdRng::seed_from_u64(11);
    let mut baseline = Vec::new();
    for _ in 0..500 {
        let begin = Instant::now();
        client.get(format!("http://{}/healthz", server.http)).send().await.expect("the collector answers");
        baseline.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    for view in ["", "/timeline"] {
        let mut times = Vec::new();
        for turn in 0..520 {
            let serial = run.serials[random.random_range(0..run.serials.len())];
            let span = random.random_range(0..512);
            let id: String = requests::trace_id(serial, span).iter().map(|byte| format!("{byte:02x}")).collect();
            let begin = Instant::now();
            let answer =
                client.get(format!("http://{}/api/traces/{id}{view}", server.http)).send().await.expect("answers");
            assert_eq!(answer.status(), 200, "an acknowledged trace is missing: {id}");
            let body = answer.bytes().await.expect("the body arrives");
            // The first twenty warm the metadata cache.
            if turn >= 20 {
                times.push(begin.elapsed().as_secs_f64() * 1e3);
            }
            std::hint::black_box(body);
        }
        report(&format!("trace by id{view}"), &mut times);
    }
    report("baseline /healthz", &mut baseline);

    // Dropping kills: the start below finds a WAL to replay.
    drop(server);
    println!("data directory: {} MiB", server::folder_bytes(data.path()) >> 20);
    let server = Server::start(data.path());
    println!("ready again after {:.0} ms", server.ready_after.as_secs_f64() * 1e3);
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut stored = 0;
    while stored < run.accepted && Instant::now() < deadline {
        stored = server.sql_number("SELECT count(*) FROM spans").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("stored after the kill: {stored} of {} acknowledged", run.accepted);
    assert!(stored >= run.accepted, "acknowledged spans are missing");
    println!("resident memory {:.0} MiB at most after the start", server.usage().peak_rss_mib);
    server.stop();
}

fn report(what: &str, times: &mut [f64]) {
    times.sort_by(f64::total_cmp);
    println!(
        "{what:<24} {:>7.1} ms p50 {:>7.1} ms p99 {:>7.1} ms max",
        percentile(times, 0.5),
        percentile(times, 0.99),
        percentile(times, 1.0)
    );
}
