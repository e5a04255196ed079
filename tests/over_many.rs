//! What is said over many journeys, and what answers are careful about: bounds, marks, comparisons over time.
//!
//! ```text
//! shop  GET /orders |==========|        one order: shop asks pay (a call), which may fail
//!         POST        |=====|
//! pay     POST /pay    |===|
//! ```

use std::time::Duration;

use api::{CompareAnswer, FindingsAnswer, JourneyAnswer, MapAnswer};
use opentelemetry_proto::tonic::trace::v1::span::Link;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use serde::de::DeserializeOwned;

use crate::harness::fixtures::now_nanos;
use crate::harness::generate::{attribute, big_trace, request, span};
use crate::harness::otlp::Client;
use crate::harness::{Collector, Request, Server, Transport, fixtures, sql, wait_for};

const MS: u64 = 1_000_000;
const MINUTE: u64 = 60_000 * MS;

async fn get<T: DeserializeOwned>(server: &Server, path: &str) -> T {
    let (status, body) = ask(server, path).await;
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}"))
}

async fn ask(server: &Server, path: &str) -> (u16, String) {
    let response = reqwest::get(server.api(path)).await.expect("an answer");
    (response.status().as_u16(), response.text().await.expect("a body"))
}

/// A span of `millis` milliseconds that began `ago` nanoseconds ago.
fn at(span: Span, kind: i32, parent: u64, ago: u64, millis: u64) -> Span {
    from(span, kind, parent, now_nanos() - ago, millis)
}

/// A span of `millis` milliseconds that began at `start`, nanoseconds since 1970.
fn from(mut span: Span, kind: i32, parent: u64, start: u64, millis: u64) -> Span {
    span.kind = kind;
    if parent > 0 {
        span.parent_span_id = parent.to_be_bytes().to_vec();
    }
    span.start_time_unix_nano = start;
    span.end_time_unix_nano = span.start_time_unix_nano + millis * MS;
    span
}

/// An order over two services; `to` answers.
async fn order(client: &Client, trace: u128, to: &str, ago: u64, millis: u64, is_failed: bool) {
    let failed = |mut span: Span| {
        if is_failed {
            span.status = Some(Status { code: 2, ..Default::default() });
            span.attributes.push(attribute("error.type", "timeout"));
        }
        span
    };
    // One moment for all: between two looks at the clock a busy machine may do something else.
    let start = now_nanos() - ago;
    let web = vec![
        from(span(trace, 1, "GET /orders"), 2, 0, start, millis + 10),
        failed(from(span(trace, 2, "POST"), 3, 1, start, millis)),
    ];
    let answered = vec![failed(from(span(trace, 3, "POST /pay"), 2, 2, start, millis))];
    client.send_all(Transport::Grpc, &Request::Traces(request("shop", web))).await;
    client.send_all(Transport::Grpc, &Request::Traces(request(to, answered))).await;
}

/// What differs between two hours: an edge that fails now, one that is new, one that is gone.
#[tokio::test]
async fn the_map_marks_what_changed() {
    let server = Server::start();
    let client = Client::new(&server);
    for number in 0..4 {
        order(&client, 100 + number, "pay", 90 * MINUTE, 50, false).await;
        order(&client, 200 + number, "pay", 20 * MINUTE, 50, true).await;
    }
    order(&client, 300, "old", 90 * MINUTE, 50, false).await;
    order(&client, 400, "new", 20 * MINUTE, 50, false).await;
    let map: MapAnswer = get(&server, "/api/map?from=now-1h&vs=previous").await;
    let again: MapAnswer = get(&server, "/api/map?from=now-1h&vs=now-2h").await;
    for map in [&map, &again] {
        let mut marked: Vec<String> = map
            .edges
            .iter()
            .filter(|edge| edge.source == "service:shop")
            .map(|edge| format!("{} {:?} {}", edge.target, edge.changes, edge.now.calls))
            .collect();
        marked.sort();
        let expected = ["service:new [\"appeared\"] 1", "service:old [\"vanished\"] 0", "service:pay [\"errors\"] 4"];
        assert_eq!(marked, expected);
    }
    let alone: MapAnswer = get(&server, "/api/map?from=now-1h").await;
    assert!(alone.edges.iter().all(|edge| edge.changes.is_empty() && edge.before.is_none()));
    assert!(alone.edges.iter().all(|edge| edge.target != "service:old"), "it is not of this hour");
    let nothing: MapAnswer = get(&server, "/api/map?from=2001-01-01&to=2001-01-02&vs=previous").await;
    assert!(nothing.edges.is_empty() && nothing.nodes.is_empty() && !nothing.incomplete);
}

/// The usual is the median of the day before, without the journey itself; steps and totals.
#[tokio::test]
async fn a_slow_journey_stands_out_against_the_usual() {
    let server = Server::start();
    let client = Client::new(&server);
    for number in 0..5 {
        order(&client, 100 + number, "pay", (60 + number as u64) * MINUTE, 90, false).await;
    }
    order(&client, 1, "pay", MINUTE / 2, 290, false).await;
    let answer: CompareAnswer = get(&server, "/api/compare?a=1&b=usual").await;
    assert_eq!((answer.b.kind.as_str(), answer.b.n), ("usual", 5), "{:?}", answer.b);
    let near = |found: Option<i64>, millis: i64| {
        let found = found.expect("it is known");
        assert!((found - millis * 1_000_000).abs() <= millis * 20_000, "{found} is not about {millis} ms");
    };
    near(answer.b.response_nanos, 100);
    near(answer.a.response_nanos, 300);
    let step = answer.steps.iter().find(|step| step.to == "service:pay").expect("the call");
    let usual = step.b.as_ref().expect("it is usual");
    assert_eq!((usual.n, usual.error), (Some(5), false));
    near(Some(usual.duration_nanos), 90);
    near(step.difference_nanos, 200);
    assert!(answer.b.basis.as_ref().is_some_and(|basis| basis.contains("5 journeys")), "{:?}", answer.b.basis);
}

/// A trace larger than the bound, and a message with more consumers than are followed: cut, counted, and said.
#[tokio::test]
async fn bounds_are_told() {
    let server = Server::start();
    let client = Client::new(&server);
    client.send_all(Transport::Grpc, &Request::Traces(big_trace(7, 20_300, 60))).await;
    let answer: JourneyAnswer = get(&server, "/api/journeys/7").await;
    assert_eq!(answer.spans.len(), 20_000);
    let truncated = answer.truncated.expect("it is cut");
    assert_eq!((truncated.reason.as_str(), truncated.left_out), ("spans", 300));
    assert!(answer.incomplete && answer.incomplete_reason.is_some());
    // A reader who asks for more has it, and is told when that is more than is given.
    let answer: JourneyAnswer = get(&server, "/api/journeys/7?wider=2").await;
    assert_eq!((answer.spans.len(), answer.truncated), (20_300, None));
    for wrong in ["0", "9", "x", ""] {
        let place = format!("http://{}/api/journeys/7?wider={wrong}", server.http);
        assert_eq!(reqwest::get(place).await.expect("an answer").status(), 400, "{wrong}");
    }

    let queue = || vec![attribute("messaging.system", "kafka"), attribute("messaging.destination.name", "orders")];
    let send = Span { attributes: queue(), ..at(span(8, 1, "send orders"), 4, 0, MINUTE, 5) };
    client.send_all(Transport::Grpc, &Request::Traces(request("shop", vec![send]))).await;
    let consumer = |number: u128| {
        let link = Link {
            trace_id: 8_u128.to_be_bytes().to_vec(),
            span_id: 1_u64.to_be_bytes().to_vec(),
            ..Default::default()
        };
        let mut attributes = queue();
        attributes.push(attribute("messaging.operation.type", "process"));
        let span = at(span(1_000 + number, 1, "process orders"), 5, 0, MINUTE / 2, 5);
        Span { attributes, links: vec![link], ..span }
    };
    let consumers: Vec<Span> = (0..100).map(consumer).collect();
    client.send_all(Transport::Grpc, &Request::Traces(request("mailer", consumers))).await;
    let answer: JourneyAnswer = get(&server, "/api/journeys/8").await;
    assert_eq!((answer.members.len(), answer.hops.len()), (64, 63));
    let truncated = answer.truncated.expect("it is cut");
    assert_eq!((truncated.reason.as_str(), truncated.left_out), ("members", 37));
    // Any of the consumers leads to the same journey, also one that the bound would leave out.
    let from_below: JourneyAnswer = get(&server, "/api/journeys/44b").await;
    assert_eq!((from_below.origin, from_below.truncated.is_some()), (answer.origin, true));
}

/// Orphans, skewed clocks, other inputs and excluded spans are marked.
#[tokio::test]
async fn partial_data_is_marked() {
    let server = Server::start();
    let client = Client::new(&server);
    let (mut orphans, mut shifted, mut inputs, mut excluded) = (0, 0, 0, 0);
    for fixture in fixtures::journeys() {
        client.send_all(Transport::HttpJson, &fixture.request).await;
        let Request::Traces(request) = &fixture.request else { continue };
        let mut traces: Vec<String> = Vec::new();
        for span in request.resource_spans.iter().flat_map(|group| &group.scope_spans).flat_map(|group| &group.spans) {
            let id: String = span.trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
            if !traces.contains(&id) {
                traces.push(id);
            }
        }
        for trace in traces {
            let answer: JourneyAnswer = get(&server, &format!("/api/journeys/{trace}")).await;
            orphans += answer.orphans;
            shifted += answer.clocks.iter().filter(|clock| clock.shift_nanos != 0).count();
            inputs += answer.other_inputs;
            excluded += answer.excluded.len();
            assert_eq!(answer.orphans as usize, answer.spans.iter().filter(|span| span.orphan).count());
        }
    }
    order(&client, 500, "pay", 1_000 * MS, 50, false).await;
    let fresh: JourneyAnswer = get(&server, "/api/journeys/1f4").await;
    assert!(!fresh.settled, "more may come");
    assert!(orphans > 0 && shifted > 0 && inputs > 0 && excluded > 0, "{orphans} {shifted} {inputs} {excluded}");
}

/// What only many journeys show is found in a range, and nowhere else.
#[tokio::test]
async fn window_findings_are_told() {
    let server = Server::start();
    let client = Client::new(&server);
    let drift = fixtures::journeys().into_iter().find(|fixture| fixture.name.starts_with("11")).expect("a drift");
    client.send_all(Transport::Grpc, &drift.request).await;
    let answer: FindingsAnswer = get(&server, "/api/findings").await;
    assert!(!answer.incomplete && answer.spans > 10, "{answer:?}");
    let drifts: Vec<_> = answer.findings.iter().filter(|finding| finding.id == "contract_drift").collect();
    assert!(!drifts.is_empty(), "{answer:?}");
    for finding in &answer.findings {
        assert_eq!(finding.scope, "window");
        assert!(!finding.evidence.is_empty() && finding.numbers.contains_key("evidence"), "{finding:?}");
        let (status, body) = sql::ask(&server, &finding.sql).await;
        assert_eq!(status, 200, "{}: {body}", finding.sql);
    }
    let failing = drifts.iter().find(|finding| finding.numbers["kind"] == "failures").expect("a break");
    let edge = failing.numbers["edge"].as_str().expect("an edge");
    let (_, rows) = sql::ask(&server, &failing.sql).await;
    assert!(edge.split(" -> ").all(|end| rows.contains(end)), "{edge} is not in {rows}");
    let before: FindingsAnswer = get(&server, "/api/findings?from=2001-01-01&to=2001-01-02").await;
    assert!(before.findings.is_empty() && before.spans == 0);
    let day: FindingsAnswer = get(&server, "/api/findings?from=now-1d").await;
    assert!(day.incomplete_reason.is_some_and(|reason| reason.contains("three hours")));
}

/// Questions that make no sense are answered with what to do.
#[tokio::test]
async fn nonsense_is_explained() {
    let server = Server::start();
    let routes = ["/api/map", "/api/findings", "/api/compare/styles", "/api/services", "/api/services/shop"];
    let wrong = ["from=now&to=now-1h", "from=yesterday", "to=99999999999999999999", "from=%00", "from=now-1x"];
    for (route, params) in routes.iter().flat_map(|route| wrong.map(|params| (route, params))) {
        let (status, body) = ask(&server, &format!("{route}?{params}")).await;
        assert_eq!(status, 400, "{route}?{params}: {body}");
        assert!(body.contains("\"detail\"") && body.len() > 60, "{route}?{params}: {body}");
    }
    for (path, status) in [
        ("/api/map?vs=-1x", 400),
        ("/api/map?vs=%F0%9F%92%A9", 400),
        ("/api/map?from=1970-01-01&vs=previous", 200),
        ("/api/map?from=0&to=9000000000", 200),
        ("/api/map?vs=", 200),
        ("/api/compare?a=1", 400),
        ("/api/compare?b=usual", 400),
        ("/api/compare?a=1&b=unusual", 400),
        ("/api/compare?a=1&b=1", 404),
        ("/api/compare?a=0&b=usual", 400),
        ("/api/compare/styles?by=", 200),
        ("/api/compare/styles?by=Family", 400),
        ("/api/services/%20", 404),
        ("/api/services/a%2Fb", 404),
        ("/api/services/'%3B%20DROP%20TABLE%20spans", 404),
        ("/api/findings/x", 404),
    ] {
        let (found, body) = ask(&server, path).await;
        assert_eq!(found, status, "{path}: {body}");
    }
}

/// An open breaker that only a metric shows is told on the journey that failed meanwhile; thresholds are settings.
#[tokio::test]
async fn settings_and_metrics_speak() {
    let config =
        "[query]\ndigest_settle_seconds = 1\n[query.findings]\nslowest_hop_nanos = 1\nslowest_hop_share = 0.0\n";
    let server = Collector { config: config.to_owned(), ..Collector::default() }.start();
    let client = Client::new(&server);
    let root = Span {
        status: Some(Status { code: 2, ..Default::default() }),
        ..at(span(5, 1, "GET /orders"), 2, 0, 30_000 * MS, 20)
    };
    client.send_all(Transport::Grpc, &Request::Traces(request("shop", vec![root]))).await;
    let calm: JourneyAnswer = get(&server, "/api/journeys/5").await;
    assert!(calm.findings.iter().all(|finding| finding.id != "circuit_open"));
    assert!(
        calm.findings.iter().any(|finding| finding.id == "slowest_hop"),
        "a threshold of 1 ns: {:?}",
        calm.findings
    );

    client.send_all(Transport::Grpc, &Request::Metrics(breaker("shop", "pay", now_nanos() - 40_000 * MS))).await;
    let answer: JourneyAnswer = get(&server, "/api/journeys/5").await;
    let open = answer.findings.iter().find(|finding| finding.id == "circuit_open").expect("the breaker is open");
    assert_eq!((&open.numbers["kind"], &open.numbers["breaker"]), (&"metric".into(), &"pay".into()));

    wait_for("the digest", Duration::from_secs(180), async || {
        let status: api::StatusAnswer = get(&server, "/api/status").await;
        (status.digest.open_traces == 0 && status.digest.traces >= 1 && status.digest.behind_seconds < 30.0)
            .then_some(())
    })
    .await;
    assert_eq!(
        sql::number(&server, "SELECT count(*) FROM findings WHERE id = 'slowest_hop' AND service = 'shop'").await,
        1
    );
    let status: api::StatusAnswer = get(&server, "/api/status").await;
    assert_ne!(status.digest.at_rest_until_unix_nano, "0", "it says how far it is");
}

/// One point of Resilience4j's gauge: the breaker is open.
fn breaker(
    service: &str,
    name: &str,
    at: u64,
) -> opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest {
    use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
    use opentelemetry_proto::tonic::metrics::v1::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric,
    };
    let point = |state: &str, value: f64| NumberDataPoint {
        attributes: vec![attribute("name", name), attribute("state", state)],
        time_unix_nano: at,
        value: Some(Value::AsDouble(value)),
        ..Default::default()
    };
    let metric = Metric {
        name: "resilience4j.circuitbreaker.state".to_owned(),
        data: Some(metric::Data::Gauge(Gauge { data_points: vec![point("open", 1.0), point("closed", 0.0)] })),
        ..Default::default()
    };
    opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(crate::harness::generate::service(service)),
            scope_metrics: vec![ScopeMetrics { metrics: vec![metric], ..Default::default() }],
            ..Default::default()
        }],
    }
}
