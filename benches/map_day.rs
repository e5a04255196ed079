//! How fast is the service map of a day with a thousand edges, and what else is asked of a day's sums?
//!
//! 100 services take a request every minute of the last 24 hours and ask 10 others meanwhile: 1,100 edges, 1,440
//! minutes, 1.6 million spans sent through the front door. The digest brings them to rest as 1.6 million sums of a
//! minute; then the map and its neighbours are asked, `BENCH_TIMES` (30) times each, one after another.
//!
//! Expected, for the map: the first question reads 1.3 to 1.6 million rows of 20 columns, about 300 ns each, 0.45 s of
//! CPU on two cores (425 ms were measured before sums were remembered). From then on 48 half hours of 1,100 edges are
//! added up from memory, 53,000 x 0.2 us = 10 ms, and at most an hour of rows at both ends of the range is read as it stands,
//! 66,000 x 0.3 us = 20 ms; 650 KB of JSON take 3 ms: 20 to 40 ms. The five warming turns hold the first question, which is
//! printed for itself. The usual of one journey reads the rows of its edges only: 11 edges x 1,440 = 16,000 rows.
//!
//! RED per service and minute reads the same 1.4 million rows with 12 of 20 columns the first time. From then on 144,000 sums of 11 buckets are
//! unpacked, 0.3 us each, and written as JSON: 40 to 80 ms.
//!
//! Goals: `/api/map` for 24 h of 1,000 edges <= 100 ms; RED per service and minute over 24 h <= 100 ms.

#![expect(clippy::print_stdout, reason = "a bench prints its results")]
#![allow(clippy::disallowed_methods, reason = "a bench runs in the world's time")]

#[allow(dead_code, unreachable_pub, reason = "each bench uses the part it needs")]
mod load;

use std::time::Instant;

use load::made::{self, CLIENT, Made, SERVER, Trace};
use load::server::{self, Server};
use load::spans::{int, text};
use load::{percentile, setting, unix_nanos};

/// Services, each asking as many others as [`TARGETS`].
const SERVICES: u64 = 100;
/// Services that one service asks.
const TARGETS: u64 = 10;
/// Minutes of a day.
const MINUTES: u64 = 1_440;

#[tokio::main]
async fn main() {
    let data = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(data.path());
    let client = reqwest::Client::new();
    let begin = Instant::now();
    let mut n_spans = 0;
    let day_ago = unix_nanos() - 86_390_000_000_000;
    for minute in 0..MINUTES {
        let mut made = Made::default();
        for service in 0..SERVICES {
            request(&mut made, minute, service, day_ago + minute * 60_000_000_000);
        }
        n_spans += made.n_spans;
        made::send(&client, &server.otlp_http, made.take_request()).await;
    }
    println!("sent {n_spans} spans in {:.0} s", begin.elapsed().as_secs_f64());
    let begin = Instant::now();
    let digest = made::at_rest(&server.http, 600).await;
    println!(
        "at rest {:.0} s later: {} traces in {} batches, {} open; {} MiB on disk",
        begin.elapsed().as_secs_f64(),
        digest.traces,
        digest.batches,
        digest.open_traces,
        server::folder_bytes(data.path()) >> 20
    );
    let rows = server.sql_number("SELECT count(*) FROM edge_minutes").await;
    println!("{rows} rows in edge_minutes");

    let journey = made::hex(made::trace_id((MINUTES - 1) * SERVICES + 7));
    let mut first_map: Option<api::MapAnswer> = None;
    for (what, path) in [
        ("map of 24 h", "/api/map?from=now-24h".to_owned()),
        ("map of 12 h against 12 h", "/api/map?from=now-12h&vs=previous".to_owned()),
        ("map of 1 h", "/api/map?from=now-1h".to_owned()),
        ("RED per service and minute", "/api/red?by=service&step=1m&limit=1000&from=now-24h".to_owned()),
        ("RED per edge and half hour", "/api/red?by=edge&step=30m&limit=1000&from=now-24h".to_owned()),
        ("one service, 24 h", "/api/services/service-007?from=now-24h".to_owned()),
        ("one journey against usual", format!("/api/compare?a={journey}&b=usual")),
        ("styles, 1 h", "/api/compare/styles?from=now-1h".to_owned()),
    ] {
        let mut times = Vec::new();
        let n_times = setting("BENCH_TIMES", 30);
        let (mut cpu_before, mut n_bytes) = (0.0, 0);
        for turn in 0..n_times + 5 {
            if turn == 5 {
                cpu_before = server.usage().cpu_seconds;
            }
            let begin = Instant::now();
            let answer = client.get(format!("http://{}{path}", server.http)).send().await.expect("an answer");
            let status = answer.status();
            let body = answer.bytes().await.expect("a body");
            assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
            if turn == 0 {
                println!("{what:<28} {:>7.1} ms for the first time", begin.elapsed().as_secs_f64() * 1e3);
            }
            if turn >= 5 {
                times.push(begin.elapsed().as_secs_f64() * 1e3);
            }
            if first_map.is_none() {
                first_map = Some(serde_json::from_slice(&body).expect("a map"));
            }
            n_bytes = body.len();
        }
        times.sort_by(f64::total_cmp);
        println!(
            "{what:<28} {:>7.1} ms p50 {:>7.1} ms p99, {:>7.1} ms of CPU, {} KB",
            percentile(&times, 0.5),
            percentile(&times, 0.99),
            (server.usage().cpu_seconds - cpu_before) * 1e3 / n_times as f64,
            n_bytes / 1000
        );
    }
    let map = first_map.expect("it was asked first");
    let n_calls: u64 = map.edges.iter().map(|edge| edge.now.calls).sum();
    println!("the map of 24 h has {} nodes, {} edges, {n_calls} calls", map.nodes.len(), map.edges.len());
    assert!(!map.incomplete, "{:?}", map.incomplete_reason);
    // Each client span is answered by a service that is not traced: one edge of its own. Sent a minute at the edge of
    // the range may fall out of it by now.
    assert!(n_calls as usize >= n_spans - 3 * n_spans / MINUTES as usize, "calls are missing");
    println!("resident memory {:.0} MiB at most", server.usage().peak_rss_mib);
    server.stop();
}

/// A request of a service at a minute, and what it asks of others meanwhile.
fn request(made: &mut Made, minute: u64, service: u64, start: u64) {
    let name = format!("service-{service:03}");
    let jitter = (minute * 31 + service * 17) % 50;
    let mut trace = Trace::new(minute * SERVICES + service, start + jitter * 1_000_000_000);
    let http = |route: &str| {
        vec![text("http.request.method", "GET"), text("http.route", route), int("http.response.status_code", 200)]
    };
    let took = 60 + jitter;
    let root = trace.add(made, &name, (SERVER, 0), (0, took), ("GET /work", http("/work")));
    for target in 0..TARGETS {
        let mut attributes = http("/part");
        attributes.push(text("service.peer.name", &format!("service-{:03}", (service + 1 + target * 7) % SERVICES)));
        let part = ("GET", attributes);
        trace.add(made, &name, (CLIENT, root), (1 + 5 * target, 3 + (jitter + target) % 20), part);
    }
}
