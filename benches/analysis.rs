//! What does it cost to analyse a journey, from spans to findings, on one core?
//!
//! Journeys of 10, 1,000 and 100,000 spans: a gateway calls an order service, which asks a database and a cache, calls
//! a payment service and sends a message that a mailer handles in a trace of its own; repeated until there are enough
//! spans. Timed is everything `/api/journeys/{id}` does after its spans are loaded: classification, calls, hops, joins,
//! members, clocks, both critical paths, steps and findings. Cloning the spans is not timed. Time is CPU time of the
//! one thread, the mean of all rounds.
//!
//! Expected: at most 5 us a span at each size. Classification reads about 8 attributes (1 us), facts as many again
//! (1 us), calls, hops and graph are a handful of hash look-ups (0.5 us), a scene with both paths and steps about 1 us,
//! and sorting adds log n: 2 to 4 us a span, and 100,000 spans cost per span no more than twice what 1,000 cost.

#![expect(clippy::print_stdout, reason = "a bench prints its results")]
#![allow(clippy::disallowed_methods, reason = "a bench runs in the world's time")]

use std::hint::black_box;
use std::sync::Arc;

use model::{Attribute, AttributeValue, SpanId, SpanKind, StatusCode, TraceId, UnixNanos};
use query::analysis::findings::findings;
use query::analysis::journey::journey;
use query::analysis::span::{Link, Resource, Span};
use query::analysis::thresholds::{Bounds, Thresholds};
use query::analysis::{Options, analyze};

const MS: i64 = 1_000_000;
/// 2026-01-15T10:00:00Z.
const BASE: i64 = 1_768_471_200_000_000_000;
/// Spans of one round, in two traces.
const ROUND: usize = 10;
/// What a span may cost, in microseconds.
const GOAL_MICROS: f64 = 5.0;

fn main() {
    println!("{:>9} {:>12} {:>12} {:>9}", "spans", "us/span", "total ms", "findings");
    let mut costs = Vec::new();
    for n_spans in [10, 1_000, 100_000] {
        let spans = spans(n_spans);
        let rounds = (200_000 / n_spans).clamp(3, 10_000);
        let copies: Vec<Vec<Span>> = (0..rounds).map(|_| spans.clone()).collect();
        let mut n_findings = 0;
        let begin = thread_seconds();
        for copy in copies {
            n_findings = whole(copy);
        }
        let mean = (thread_seconds() - begin) / rounds as f64;
        let micros = mean * 1e6 / n_spans as f64;
        println!("{n_spans:>9} {micros:>12.2} {:>12.2} {n_findings:>9}", mean * 1e3);
        costs.push(micros);
    }
    let is_fast = costs.iter().all(|micros| *micros <= GOAL_MICROS);
    println!("at most {GOAL_MICROS} us a span: {}", if is_fast { "yes" } else { "NO" });
    println!("100,000 against 1,000 spans: x {:.2} per span", costs[2] / costs[1]);
}

/// CPU time of this thread so far, known to a few milliseconds (Linux): on a machine that does other things too, a second
/// of work is still a second.
fn thread_seconds() -> f64 {
    let figures = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux says what a thread used");
    let nanos: f64 = figures.split_whitespace().next().and_then(|text| text.parse().ok()).expect("nanoseconds");
    nanos / 1e9
}

/// Analyses a set of spans; gives the number of findings of its journey.
fn whole(spans: Vec<Span>) -> usize {
    let analysis = analyze(spans, &Options::default());
    let bounds = Bounds { spans_max: usize::MAX, deliveries_per_send_max: usize::MAX, ..Bounds::default() };
    let journey = journey(&analysis, trace(1), None, &bounds).expect("the first trace is in the set");
    let found = findings(&analysis, &journey, &Thresholds::default(), &[]);
    black_box(&journey);
    found.len()
}

fn trace(n: u64) -> TraceId {
    TraceId::from_hex(&format!("{:032x}", 0x4bf9_0000_0000_0000_u128 << 64 | u128::from(n))).expect("not zero")
}

fn span_id(n: u64) -> SpanId {
    SpanId::from_hex(&format!("{:016x}", n + 1)).expect("not zero")
}

fn text(key: &str, value: &str) -> Attribute {
    Attribute { key: key.to_owned(), value: AttributeValue::String(value.to_owned()) }
}

fn int(key: &str, value: i64) -> Attribute {
    Attribute { key: key.to_owned(), value: AttributeValue::Int(value) }
}

/// At least `n` spans of one journey: a trace of calls and a trace of deliveries.
fn spans(n: usize) -> Vec<Span> {
    let resources = ["gateway", "order", "payment", "mailer"].map(|service| {
        let instance = format!("{service}-1");
        Arc::new(Resource {
            attributes: vec![
                text("service.name", service),
                text("service.version", "1.4.2"),
                text("service.instance.id", &instance),
                text("k8s.namespace.name", "shop"),
            ],
        })
    });
    let mut spans = Vec::with_capacity(n + ROUND);
    let n_rounds = n.div_ceil(ROUND) as u64;
    let end = (n_rounds as i64 + 1) * 20;
    spans.push(span(
        (1, 0, None),
        "POST /checkout",
        SpanKind::Server,
        (0, end),
        &resources[0],
        http("POST", "/checkout"),
    ));
    for round in 0..n_rounds {
        let at = round as i64 * 20;
        let id = |k: u64| round * ROUND as u64 + k;
        let orders = || http("POST", "/orders");
        let database = vec![
            text("db.system.name", "postgresql"),
            text("db.namespace", "orders"),
            text("db.operation.name", "INSERT"),
            text("db.collection.name", "orders"),
            text("db.query.text", "INSERT INTO orders VALUES ($1, $2, $3)"),
            text("server.address", "db.shop"),
        ];
        let cache = vec![
            text("db.system.name", "redis"),
            text("db.operation.name", "GET"),
            text("server.address", "redis.shop"),
        ];
        let grpc = || {
            vec![
                text("rpc.system", "grpc"),
                text("rpc.service", "pay.Payment"),
                text("rpc.method", "Charge"),
                int("rpc.grpc.status_code", 0),
                text("server.address", "payment"),
            ]
        };
        let message = |operation: &str| {
            vec![
                text("messaging.system", "kafka"),
                text("messaging.destination.name", "order-created"),
                text("messaging.operation.type", operation),
                text("messaging.destination.partition.id", "3"),
                int("messaging.kafka.offset", round as i64),
                text("messaging.client.id", "c-1"),
            ]
        };
        let [gateway, order, payment, mailer] = &resources;
        spans.push(span((1, id(1), Some(0)), "POST", SpanKind::Client, (at, at + 18), gateway, orders()));
        spans.push(span((1, id(2), Some(id(1))), "POST /orders", SpanKind::Server, (at + 1, at + 17), order, orders()));
        spans.push(span((1, id(3), Some(id(2))), "INSERT", SpanKind::Client, (at + 2, at + 5), order, database));
        spans.push(span((1, id(4), Some(id(2))), "GET", SpanKind::Client, (at + 5, at + 6), order, cache));
        spans.push(span((1, id(5), Some(id(2))), "Charge", SpanKind::Client, (at + 6, at + 14), order, grpc()));
        spans.push(span((1, id(6), Some(id(5))), "Charge", SpanKind::Server, (at + 7, at + 13), payment, grpc()));
        spans.push(span((1, id(7), Some(id(6))), "score", SpanKind::Internal, (at + 8, at + 12), payment, Vec::new()));
        spans.push(span(
            (1, id(8), Some(id(2))),
            "order-created publish",
            SpanKind::Producer,
            (at + 14, at + 15),
            order,
            message("send"),
        ));
        let mut delivery = span(
            (2, id(9), None),
            "order-created process",
            SpanKind::Consumer,
            (at + 30, at + 34),
            mailer,
            message("process"),
        );
        delivery.links.push(Link { trace_id: trace(1), span_id: span_id(id(8)), attributes: Vec::new() });
        spans.push(delivery);
    }
    spans.truncate(n);
    spans
}

fn http(method: &str, route: &str) -> Vec<Attribute> {
    vec![
        text("http.request.method", method),
        text("http.route", route),
        text("url.path", route),
        text("url.scheme", "https"),
        text("server.address", "orders.shop"),
        int("server.port", 443),
        int("http.response.status_code", 200),
        text("network.protocol.version", "1.1"),
        text("user_agent.original", "okhttp/4.12.0"),
    ]
}

/// A span by trace, id and parent; times in milliseconds after the base.
fn span(
    (trace_id, id, parent): (u64, u64, Option<u64>),
    name: &str,
    kind: SpanKind,
    (start, end): (i64, i64),
    resource: &Arc<Resource>,
    attributes: Vec<Attribute>,
) -> Span {
    Span {
        trace_id: trace(trace_id),
        span_id: span_id(id),
        parent_span_id: parent.map(span_id),
        name: name.to_owned(),
        kind,
        start: UnixNanos(BASE + start * MS),
        end: UnixNanos(BASE + end * MS),
        status: StatusCode::Unset,
        flags: 0x101,
        trace_state: String::new(),
        attributes,
        events: Vec::new(),
        links: Vec::new(),
        resource: Arc::clone(resource),
        scope: "io.opentelemetry".to_owned(),
        schema_url: String::new(),
    }
}
