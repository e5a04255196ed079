//! The server proposes rules from what it saw, and one request accepts one.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::trace::v1::span::Link;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use serde_json::{Value as Json, json};

use crate::harness::alerts::{PATIENCE, call, collector, get};
use crate::harness::generate::{attribute, request, service, span};
use crate::harness::otlp::Client;
use crate::harness::{Request, Server, Transport, fixtures, wait_for};

const MINUTE: u64 = 60_000_000_000;

/// Orders that began a second apart, the last one `ago` nanoseconds ago: web calls pay, and sends a message that mailer takes.
async fn orders(client: &Client, first: u128, n: u128, ago: u64, is_faulty: bool) {
    let (mut web, mut pay, mut mailer) = (Vec::new(), Vec::new(), Vec::new());
    for number in first..first + n {
        let at = fixtures::now_nanos() - ago - u64::try_from(first + n - number).expect("few") * 1_000_000_000;
        let (trace, other) = (number << 8 | 1, number << 8 | 2);
        let one = |trace, id, name: &str, kind, parent: u64| {
            let parent_span_id = if parent > 0 { parent.to_be_bytes().to_vec() } else { Vec::new() };
            let (start_time_unix_nano, end_time_unix_nano) = (at, at + 20_000_000);
            Span { kind, parent_span_id, start_time_unix_nano, end_time_unix_nano, ..span(trace, id, name) }
        };
        let message = |operation: &str| {
            [
                ("messaging.system", "kafka"),
                ("messaging.destination.name", "orders"),
                ("messaging.operation.type", operation),
            ]
            .map(|(key, value)| attribute(key, value))
            .to_vec()
        };
        let status = is_faulty.then(|| Status { code: 2, ..Status::default() });
        let failed = |span: Span| Span { status: status.clone(), ..span };
        web.push(one(trace, 1, "GET /orders", 2, 0));
        web.push(failed(one(trace, 2, "POST", 3, 1)));
        web.push(Span { attributes: message("send"), ..one(trace, 4, "send orders", 4, 1) });
        pay.push(failed(one(trace, 3, "POST /pay", 2, 2)));
        let links = vec![Link {
            trace_id: trace.to_be_bytes().to_vec(),
            span_id: 4_u64.to_be_bytes().to_vec(),
            ..Link::default()
        }];
        mailer.push(Span { attributes: message("process"), links, ..one(other, 1, "process orders", 5, 0) });
    }
    for (name, spans) in [("web", web), ("pay", pay), ("mailer", mailer)] {
        client.send_all(Transport::Grpc, &Request::Traces(request(name, spans))).await;
    }
}

/// Ten points of a consumer group's lag.
fn lag() -> Request {
    let point = |number: u64| NumberDataPoint {
        time_unix_nano: fixtures::now_nanos() - number * 1_000_000_000,
        attributes: vec![attribute("topic", "orders"), attribute("group", "mailers")],
        value: Some(Value::AsInt(12)),
        ..NumberDataPoint::default()
    };
    let metric = Metric {
        name: "kafka.consumer_group.lag".to_owned(),
        data: Some(Data::Gauge(Gauge { data_points: (1..=10).map(point).collect() })),
        ..Metric::default()
    };
    let scope = ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() };
    let resource =
        ResourceMetrics { resource: Some(service("broker")), scope_metrics: vec![scope], ..ResourceMetrics::default() };
    Request::Metrics(ExportMetricsServiceRequest { resource_metrics: vec![resource] })
}

async fn proposed(server: &Server) -> Vec<Json> {
    get(server, "/api/alert-rules/proposed").await["rules"].as_array().expect("a list").clone()
}

fn of_kind<'a>(rules: &'a [Json], kind: &str) -> Option<&'a Json> {
    rules.iter().find(|rule| rule["id"].as_str().is_some_and(|id| id.starts_with(kind)))
}

async fn preview(server: &Server, rule: &Json) -> Json {
    let asked = json!({"rule": rule["rule"], "from": "now-15m", "to": "now"}).to_string();
    let (status, body) = call(server, "POST", "/api/alert-rules/preview", &asked).await;
    assert_eq!(status, 200, "{body}\n{rule}");
    serde_json::from_str(&body).expect("JSON")
}

/// Every kind of starter rule is proposed once its data was seen, runs over that data without an error, and is accepted by one request;
/// the one about errors would have fired when errors came.
#[tokio::test]
async fn every_kind_is_proposed_and_accepted() {
    const KINDS: [&str; 8] = [
        "errors-",
        "slow-",
        "wait-",
        "lag-",
        "finding-poison_message",
        "finding-broken_context",
        "refusals",
        "telemetry-stops",
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let mut how = collector(folder.path(), "groups: []\n", &[], &[]);
    how.config.push_str("digest_settle_seconds = 1\n");
    let server = how.start();
    assert_eq!(proposed(&server).await.len(), 1, "nothing was seen yet");
    let client = Client::new(&server);
    orders(&client, 1, 120, MINUTE / 2, false).await;
    client.send_all(Transport::Grpc, &lag()).await;
    for scenario in ["02_", "12_"] {
        client.send_all(Transport::Grpc, &fixtures::journey(scenario).request).await;
    }
    let rules = wait_for("every kind to be proposed", PATIENCE * 3, || async {
        // A span without ids is rejected; the first look at the counters knows no growth, so it is sent again.
        let bad = Span { trace_id: vec![0; 16], ..span(1, 1, "bad") };
        let answer = client.send(Transport::Grpc, &Request::Traces(request("shop", vec![bad]))).await;
        assert!(answer.is_err_and(|refused| refused.message.contains("invalid_trace_id")));
        let rules = proposed(&server).await;
        KINDS.iter().all(|kind| of_kind(&rules, kind).is_some()).then_some(rules)
    })
    .await;
    for kind in KINDS {
        let rule = of_kind(&rules, kind).expect("it was there");
        assert!(["title", "why", "rule"].iter().all(|field| rule[field].as_str().is_some_and(|text| !text.is_empty())));
        let answer = preview(&server, rule).await;
        assert!(answer["evaluations"].as_u64() > Some(0), "{answer}\n{rule}");
    }
    let to_pay = |rule: &&Json| {
        let text = rule["rule"].as_str().expect("text");
        rule["id"].as_str().expect("an id").starts_with("errors-") && text.contains("'service:pay'")
    };
    let errors = rules.iter().find(to_pay).expect("web calls pay");
    assert_eq!(preview(&server, errors).await["fired"], 0);
    orders(&client, 1_001, 240, MINUTE, true).await;
    wait_for("the rule about errors to fire over the past", PATIENCE, || async {
        (preview(&server, errors).await["fired"].as_u64() >= Some(1)).then_some(())
    })
    .await;

    let mut accepted = BTreeSet::new();
    for rule in &rules {
        let id = rule["id"].as_str().expect("an id");
        let (status, body) = call(&server, "POST", &format!("/api/alert-rules/proposed/{id}"), "").await;
        assert_eq!(status, 200, "{body}");
        accepted.insert(id.to_owned());
    }
    let in_force = get(&server, "/api/alert-rules").await;
    let in_force: BTreeSet<String> = in_force["rules"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|rule| Some(rule["id"].as_str()?.to_owned()))
        .collect();
    assert_eq!(in_force, accepted);
    let left = proposed(&server).await;
    assert!(left.iter().all(|rule| !accepted.contains(rule["id"].as_str().expect("an id"))), "{left:?}");
    let (status, body) = call(&server, "POST", "/api/alert-rules/proposed/nothing-of-this-name", "").await;
    assert!(status == 404 && body.contains("GET /api/alert-rules/proposed"), "{status} {body}");
}
