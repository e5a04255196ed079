//! Settled journeys are at rest exactly once, whatever kills the collector meanwhile.
//!
//! A sender makes orders: two traces each, joined by a message, in three parts; now and then a part comes much later or
//! twice, and each is sent until it is acknowledged. Traces settle after a second here, so the digest writes, corrects
//! and is killed all the time. Afterwards the relations at rest hold what the raw spans say, no more and no less.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::Link;
use rand::Rng as _;

use crate::harness::generate::{attribute, request, span};
use crate::harness::otlp::Client;
use crate::harness::{Collector, Request, Server, Transport, sql, wait_for};

/// Kills; `HODOSCOPE_KILL_CYCLES` sets another number.
const CYCLES: u32 = 4;

/// The four parts of an order, each sent by another service.
///
/// ```text
/// web    GET /orders/7 |============================|      call client → web
///          POST pay       |=====|                          call web → pay
/// pay        POST pay      |===|
///          send orders             |=|                     message to the queue
/// mailer                                  process |==|     in a trace of its own, linked
/// ```
fn order(number: u128) -> [ExportTraceServiceRequest; 3] {
    let (first, second) = (number << 8 | 1, number << 8 | 2);
    let with = |mut span: Span, kind: i32, parent: u64, attributes: &[(&str, &str)]| {
        span.kind = kind;
        if parent > 0 {
            span.parent_span_id = parent.to_be_bytes().to_vec();
        }
        if !attributes.is_empty() {
            span.attributes = attributes.iter().map(|(key, value)| attribute(key, value)).collect();
        }
        span
    };
    let queue = [("messaging.system", "kafka"), ("messaging.destination.name", "orders")];
    let send = [&queue[..], &[("messaging.operation.type", "send")]].concat();
    let process = [&queue[..], &[("messaging.operation.type", "process")]].concat();
    let mut consumer = with(span(second, 1, "process orders"), 5, 0, &process);
    consumer.links = vec![Link {
        trace_id: first.to_be_bytes().to_vec(),
        span_id: 4_u64.to_be_bytes().to_vec(),
        ..Default::default()
    }];
    [
        request(
            "web",
            vec![
                span(first, 1, "GET /orders"),
                with(span(first, 2, "POST"), 3, 1, &[]),
                with(span(first, 4, "send orders"), 4, 1, &send),
            ],
        ),
        request("pay", vec![with(span(first, 3, "POST /pay"), 2, 2, &[])]),
        request("mailer", vec![consumer]),
    ]
}

async fn status(server: &Server) -> api::StatusAnswer {
    let answer = reqwest::get(server.api("/api/status")).await.expect("an answer").bytes().await.expect("a body");
    serde_json::from_slice(&answer).expect("a status")
}

/// Waits until nothing is open and everything that was sent so far was looked at.
async fn is_caught_up(server: &Server) {
    wait_for("the digest to catch up", Duration::from_secs(600), async || {
        let status = status(server).await;
        if status.storage.replaying || status.digest.catching_up || status.digest.open_traces > 0 {
            // An answer given during replay is incomplete, and says so.
            return None;
        }
        let at_rest = sql::number(server, "SELECT count(DISTINCT trace_id) FROM digest_traces").await;
        let sent = sql::number(server, "SELECT count(DISTINCT trace_id) FROM spans").await;
        (at_rest == sent).then_some(())
    })
    .await;
}

/// Waits until nothing is open and everything was looked at.
async fn at_rest(server: &Server, spans: i64) -> api::DigestStatus {
    wait_for("the digest to be in time", Duration::from_secs(600), async || {
        let status = status(server).await.digest;
        let rows = sql::query(
            server,
            "SELECT coalesce(sum(n), 0) AS n FROM (SELECT max(spans) AS n FROM digest_traces GROUP BY trace_id)",
        );
        let counted = rows.await.int(0, "n");
        (!status.catching_up && status.open_traces == 0 && counted == spans).then_some(status)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn journeys_are_at_rest_once_over_kill_9() {
    let cycles = std::env::var("HODOSCOPE_KILL_CYCLES").map_or(CYCLES, |text| text.parse().expect("a number of kills"));
    let begun = Instant::now();
    let mut config = Collector::with_fast_flush();
    config.config.push_str("\n[query]\ndigest_settle_seconds = 1\n");
    let mut server = config.start();
    let mut waiting: Vec<ExportTraceServiceRequest> = Vec::new();
    // What pay did in the first order always waits, so that something is late whatever the dice say.
    let mut late = None;
    let mut n_orders = 0_u128;
    for _ in 0..cycles {
        let client = Client::new(&server);
        let until = Instant::now() + Duration::from_millis(rand::rng().random_range(1_500..4_000));
        while Instant::now() < until {
            n_orders += 1;
            let mut at = waiting.len();
            waiting.extend(order(n_orders));
            if n_orders == 1 {
                late = Some(waiting.remove(1));
            }
            // A few parts wait for seconds, while the others of their order settle.
            while at < waiting.len() {
                if rand::rng().random_range(0..20) == 0 {
                    at += 1;
                    continue;
                }
                let part = waiting.swap_remove(at);
                client.send_all(Transport::Grpc, &Request::Traces(part.clone())).await;
                // An SDK that missed the answer sends again.
                if rand::rng().random_range(0..10) == 0 {
                    client.send_all(Transport::Grpc, &Request::Traces(part)).await;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Killed in the middle of things: the digest writes several times a second.
        server = server.kill().start();
    }
    let client = Client::new(&server);
    // What is late from here on corrects what is at rest, however far the kills let the digest come.
    is_caught_up(&server).await;
    for part in waiting.drain(..).chain(late) {
        client.send_all(Transport::Grpc, &Request::Traces(part)).await;
    }
    let orders = i64::try_from(n_orders).expect("few orders");
    let status = at_rest(&server, 5 * orders).await;

    let number = async |text: &str| sql::number(&server, text).await;
    assert_eq!(
        number("SELECT count(DISTINCT (trace_id, span_id)) FROM spans").await,
        5 * orders,
        "every span is there"
    );
    for (what, text, expected) in [
        ("calls", "SELECT count(*) FROM calls", 2 * orders),
        ("distinct calls", "SELECT count(DISTINCT coalesce(client_span, server_span) || trace) FROM calls", 2 * orders),
        (
            "paired calls",
            "SELECT count(*) FROM calls WHERE client_span IS NOT NULL AND server_span IS NOT NULL",
            orders,
        ),
        ("hops", "SELECT count(*) FROM hops WHERE send_span IS NOT NULL AND joined_by = 'link'", orders),
        ("journeys", "SELECT count(*) FROM journeys", orders),
        ("whole journeys", "SELECT count(*) FROM journeys WHERE traces = 2 AND spans = 5", orders),
        ("consumers in their journey", "SELECT count(*) FROM hops WHERE journey = send_trace", orders),
        ("calls in minutes", "SELECT sum(count) FROM edge_minutes WHERE dst = 'service:pay'", orders),
        ("entries in minutes", "SELECT sum(count) FROM edge_minutes WHERE src = 'client'", orders),
        ("sends in minutes", "SELECT sum(count) FROM edge_minutes WHERE dst = 'queue:kafka/orders'", orders),
        ("deliveries in minutes", "SELECT sum(count) FROM edge_minutes WHERE src = 'queue:kafka/orders'", orders),
        ("everything in minutes", "SELECT sum(count) FROM edge_minutes", 4 * orders),
    ] {
        assert_eq!(number(text).await, expected, "{what}: {text}");
    }
    let corrected = number("SELECT count(*) FROM digest_traces WHERE revision > 1").await;
    println!(
        "digest: {cycles} kills in {:?}, {orders} orders, {corrected} corrections, {} batches since the last start",
        begun.elapsed(),
        status.batches
    );
    assert!(corrected > 0, "late spans corrected something");
}
