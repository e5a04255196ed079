//! How fast does a journey over three traces come back, with millions of spans stored?
//!
//! Loads `BENCH_MILLION_SPANS` (5) million spans through the front door in four parts, and after each part 50 journeys
//! of 40 spans in 3 traces (the second and third joined by span links) and one of 10,000 spans: some rest in segments,
//! the latest in the write buffer. When the digest and the merges have nothing left to do, asks for each journey once by
//! any of its three traces, then for 500 at random, one after another, and for the large ones ten times each.
//!
//! Expected, for 40 spans: four look-ups by id (seed, up, two levels down, each through the indexes of about 8
//! segments) of 2 to 3 ms, as one trace by id takes 5 ms as a timeline; analysis 40 x 5 us = 0.2 ms; 60 KB of JSON
//! 0.3 ms: 10 to 15 ms. For 10,000 spans: decoding 15 ms, analysis twice (once while gathering) 100 ms, 12 MB of JSON
//! 40 ms, sending it 10 ms: below 200 ms.
//!
//! Goals: p99 <= 25 ms for 40 spans, <= 300 ms for 10,000. CPU time per answer is printed beside: on a machine that
//! does other things too, it is the number that can be compared.
//!
//! Baseline in the same run: `/healthz`, the same round trip with nothing behind it.

#![expect(clippy::print_stdout, reason = "a bench prints its results")]
#![allow(clippy::disallowed_methods, reason = "a bench runs in the world's time")]

#[allow(dead_code, unreachable_pub, reason = "each bench uses the part it needs")]
mod load;

use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use load::made::{self, CLIENT, CONSUMER, Made, PRODUCER, SERVER, Trace};
use load::sender::{self, Plan, Until};
use load::server::Server;
use load::spans::{self, int, text};
use load::{percentile, setting, unix_nanos};

/// Parts of the load.
const PARTS: u64 = 4;
/// Journeys of 40 spans sent after each part.
const JOURNEYS: u64 = 50;

#[tokio::main]
async fn main() {
    let n_requests = setting("BENCH_MILLION_SPANS", 5) * 1_000_000 / 512 / PARTS / 8 * 8;
    let requests = spans::encode(96, 512).into();
    let data = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(data.path());
    let client = reqwest::Client::new();
    let (mut small, mut large, mut n_spans) = (Vec::new(), Vec::new(), 0);
    let begin = Instant::now();
    for part in 0..PARTS {
        let plan = Plan::new(&server.otlp_grpc, Until::Sent(n_requests));
        let plan = Plan { first_serial: part * (n_requests + 1_024) / 8 * 8, ..plan };
        n_spans += sender::send(&plan, &requests).await.accepted;
        for number in 0..JOURNEYS {
            small.push(send_journey(&client, &server, part * 1_000 + number, 40).await);
        }
        large.push(send_journey(&client, &server, part * 1_000 + 999, 10_000).await);
    }
    println!("loaded {n_spans} spans in {:.0} s", begin.elapsed().as_secs_f64());
    let begin = Instant::now();
    let digest = made::at_rest(&server.http, 400).await;
    println!(
        "at rest {:.0} s later: {} spans, {} open, {} gaps",
        begin.elapsed().as_secs_f64(),
        digest.spans,
        digest.open_spans,
        digest.gaps
    );

    let seconds = merged(&client, &server, 180).await;
    println!("merged {seconds:.0} s later");

    let mut random = StdRng::seed_from_u64(11);
    let mut baseline = Vec::new();
    for _ in 0..500 {
        let begin = Instant::now();
        client.get(format!("http://{}/healthz", server.http)).send().await.expect("the collector answers");
        baseline.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    report("baseline /healthz", &mut baseline, 0.0, 0);
    for (what, journeys, n_spans, n_times) in
        [("journey of 40 spans", &small, 40, 500), ("journey of 10,000 spans", &large, 10_000, 40)]
    {
        // Each once: nobody has asked for these parts of the segments before.
        let (mut times, mut n_bytes) = (Vec::new(), 0);
        let cpu_before = server.usage().cpu_seconds;
        for journey in journeys {
            let id = made::hex(journey[random.random_range(0..3)]);
            let (millis, body) = ask(&client, &server, &id).await;
            times.push(millis);
            n_bytes = body.len();
            let answer: api::JourneyAnswer = serde_json::from_slice(&body).expect("a journey");
            assert_eq!((answer.spans.len(), answer.members.len()), (n_spans, 3), "{id} is not whole");
            assert!(!answer.incomplete, "{:?}", answer.incomplete_reason);
        }
        let cpu = (server.usage().cpu_seconds - cpu_before) / journeys.len() as f64;
        report(&format!("{what}, each once"), &mut times, cpu, n_bytes);
        let (mut times, cpu_before) = (Vec::new(), server.usage().cpu_seconds);
        for _ in 0..n_times {
            let journey: &[[u8; 16]; 3] = &journeys[random.random_range(0..journeys.len())];
            let id = made::hex(journey[random.random_range(0..3)]);
            times.push(ask(&client, &server, &id).await.0);
        }
        let cpu = (server.usage().cpu_seconds - cpu_before) / f64::from(n_times);
        report(what, &mut times, cpu, n_bytes);
    }
    println!("resident memory {:.0} MiB at most", server.usage().peak_rss_mib);
    server.stop();
}

/// Milliseconds until the journey of a trace is here, and its body.
async fn ask(client: &reqwest::Client, server: &Server, id: &str) -> (f64, bytes::Bytes) {
    let begin = Instant::now();
    let answer = client.get(format!("http://{}/api/journeys/{id}", server.http)).send().await;
    let answer = answer.expect("the collector answers");
    assert_eq!(answer.status(), 200, "an acknowledged journey is missing: {id}");
    let body = answer.bytes().await.expect("the body arrives");
    (begin.elapsed().as_secs_f64() * 1e3, body)
}

/// Waits until no segment waits for a merge, at most so many seconds; gives how long it took.
async fn merged(client: &reqwest::Client, server: &Server, seconds_max: u64) -> f64 {
    let begin = Instant::now();
    loop {
        let answer = client.get(format!("http://{}/api/status", server.http)).send().await.expect("an answer");
        let body = answer.bytes().await.expect("a body");
        let status: serde_json::Value = serde_json::from_slice(&body).expect("a status");
        let is_over = begin.elapsed().as_secs() > seconds_max;
        if is_over || status["storage"]["maintenance"]["merge_backlog_segments"] == 0 {
            return begin.elapsed().as_secs_f64();
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
}

/// A journey of `n_spans` spans in three traces; gives their ids.
///
/// ```text
/// shop    GET /checkout |==================================|
///           GET /items/{id}   |=| |=| |=| ...                     calls shop → stock, one after another
/// stock       GET /items/{id}  |                                  each with a query
///               SELECT         |
///           send orders                                 |=|
/// mailer  process orders                                    |===|  a trace of its own, linked
///           SELECT                                           |
///           send mails                                        |=|
/// post    process mails                                           |==|  the third trace, linked
/// ```
async fn send_journey(client: &reqwest::Client, server: &Server, number: u64, n_spans: usize) -> [[u8; 16]; 3] {
    // 2 + 3 a + 2 + b + 1 + c = n
    let n_calls = n_spans / 5;
    let n_rest = n_spans - 5 - 3 * n_calls;
    let (n_second, n_third) = (n_rest / 2, n_rest - n_rest / 2);
    let start = unix_nanos() - 20_000_000_000;
    let mut made = Made::default();
    let number = number * 4;
    let [mut first, mut second, mut third] = [0, 1, 2].map(|member| Trace::new(number + member, start));
    let http = |route: &str| {
        vec![text("http.request.method", "GET"), text("http.route", route), int("http.response.status_code", 200)]
    };
    let query = || {
        vec![
            text("db.system.name", "postgresql"),
            text("db.namespace", "shop"),
            text("db.query.summary", "SELECT items"),
        ]
    };
    let message = |queue: &str, operation: &str| {
        let attributes = [("messaging.system", "kafka"), ("messaging.destination.name", queue)];
        let operation = ("messaging.operation.type", operation);
        attributes.into_iter().chain([operation]).map(|(key, value)| text(key, value)).collect::<Vec<_>>()
    };
    let whole = 2 * n_calls as u64 + 10;
    let root = first.add(&mut made, "shop", (SERVER, 0), (0, whole), ("GET /checkout", http("/checkout")));
    for call in 0..n_calls as u64 {
        let at = 1 + 2 * call;
        let asked = first.add(&mut made, "shop", (CLIENT, root), (at, 2), ("GET", http("/items/{id}")));
        let asked = first.add(&mut made, "stock", (SERVER, asked), (at, 1), ("GET /items/{id}", http("/items/{id}")));
        first.add(&mut made, "stock", (CLIENT, asked), (at, 1), ("SELECT items", query()));
    }
    let sent =
        first.add(&mut made, "shop", (PRODUCER, root), (whole - 2, 1), ("send orders", message("orders", "send")));
    let at = whole + 5;
    let took = 2 + n_second as u64;
    let handled =
        second.add(&mut made, "mailer", (CONSUMER, 0), (at, took), ("process orders", message("orders", "process")));
    made.link("mailer", first.id, sent);
    for query_at in 0..n_second as u64 {
        second.add(&mut made, "mailer", (CLIENT, handled), (at + query_at, 1), ("SELECT items", query()));
    }
    let sent = second.add(
        &mut made,
        "mailer",
        (PRODUCER, handled),
        (at + took - 1, 1),
        ("send mails", message("mails", "send")),
    );
    let at = at + took + 5;
    let handled = third.add(
        &mut made,
        "post",
        (CONSUMER, 0),
        (at, 1 + n_third as u64),
        ("process mails", message("mails", "process")),
    );
    made.link("post", second.id, sent);
    for query_at in 0..n_third as u64 {
        third.add(&mut made, "post", (CLIENT, handled), (at + query_at, 1), ("SELECT items", query()));
    }
    assert_eq!(made.n_spans, n_spans, "the drawing above is wrong");
    made::send(client, &server.otlp_http, made.take_request()).await;
    [first.id, second.id, third.id]
}

fn report(what: &str, times: &mut [f64], cpu_seconds: f64, n_bytes: usize) {
    times.sort_by(f64::total_cmp);
    println!(
        "{what:<24} {:>7.1} ms p50 {:>7.1} ms p99 {:>7.1} ms max, {:.1} ms of CPU, {} KB",
        percentile(times, 0.5),
        percentile(times, 0.99),
        percentile(times, 1.0),
        cpu_seconds * 1e3,
        n_bytes / 1000
    );
}
