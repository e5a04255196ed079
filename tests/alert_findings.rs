//! Rules over findings: telemetry that really holds the problem makes them fire, and what fires leads to three journeys that show it.

use std::collections::BTreeSet;
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use serde_json::{Value as Json, json};

use crate::harness::alerts::{Hook, collector, get};
use crate::harness::otlp::Client;
use crate::harness::{Request, Server, Transport, fixtures, sql, wait_for};

/// Long enough for what happened to leave the window of a rule, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// Each rule counts three journeys; the last two must never fire.
const RULES: &str = "\
groups:
- name: findings
  interval: 1s
  rules:
  - alert: Poison
    finding: {id: poison_message, queue: email.send, at_least: 3, within: 50s}
    labels: {severity: page}
    annotations: {summary: '{{ $value }} messages of {{ $labels.service }} are poison'}
  - alert: Storm
    finding: {id: retry_storm, at_least: 3, within: 50s, by: [service, op]}
  - alert: Broken
    finding: {id: broken_context, at_least: 3, within: 50s}
  - alert: OtherQueue
    finding: {id: poison_message, queue: orders, within: 50s}
  - alert: TooFew
    finding: {id: poison_message, at_least: 4, within: 50s}
";

/// A scenario as it could happen once more just now: with ids of its own, also those of its messages.
fn again(scenario: &str, number: u8) -> Request {
    let Request::Traces(mut request) = fixtures::journey(scenario).request else { panic!("a scenario holds spans") };
    let other = |id: &mut Vec<u8>| {
        if let Some(first) = id.first_mut() {
            *first ^= number << 5;
        }
    };
    let message = |attribute: &mut KeyValue| {
        if attribute.key.starts_with("messaging.message.")
            && let Some(Any::StringValue(text)) = attribute.value.as_mut().and_then(|value| value.value.as_mut())
        {
            text.push_str(&format!("-{number}"));
        }
    };
    let scopes = request.resource_spans.iter_mut().flat_map(|group| &mut group.scope_spans);
    for span in scopes.flat_map(|group| &mut group.spans) {
        other(&mut span.trace_id);
        span.attributes.iter_mut().for_each(message);
        for link in &mut span.links {
            other(&mut link.trace_id);
            link.attributes.iter_mut().for_each(message);
        }
    }
    fixtures::to_moment(Request::Traces(request), fixtures::now_nanos())
}

/// What stands behind the alert: three journeys, each of which holds the finding.
async fn check_examples(server: &Server, alert: &Json, finding: &str) {
    let text = |name: &str| alert["annotations"][name].as_str().unwrap_or_else(|| panic!("no {name} in {alert}"));
    assert_eq!(text("journey_url"), format!("http://hodoscope.test:4319/j/{}", text("trace_id")));
    assert!(!text("finding").is_empty());
    let examples: BTreeSet<&str> = text("example_journeys").split(' ').collect();
    assert_eq!(examples.len(), 3, "{alert}");
    assert!(examples.contains(text("journey_url")), "{alert}");
    for link in examples {
        let id = link.strip_prefix("http://hodoscope.test:4319/j/").expect("a link to a journey");
        let journey = get(server, &format!("/api/journeys/{id}")).await;
        let found = journey["findings"].as_array().expect("a list");
        assert!(found.iter().any(|found| found["id"] == finding), "{id} holds no {finding}");
    }
    let labels = alert["labels"].as_object().expect("labels");
    let is_id =
        |value: &Json| value.as_str().is_some_and(|text| text.len() >= 16 && u128::from_str_radix(text, 16).is_ok());
    assert!(!labels.values().any(is_id), "ids make an alert of each request: {alert}");
}

/// Poison messages, retry storms and broken contexts, three times each: every rule fires, leads to its journeys, and is over when
/// they lie outside its window; a webhook hears of both, once.
#[tokio::test]
async fn findings_fire_resolve_and_show_their_journeys() {
    let (folder, hook) = (tempfile::tempdir().expect("a folder"), Hook::default());
    let mut how = collector(folder.path(), RULES, &[], &[hook.open().await]);
    how.config.push_str("digest_settle_seconds = 1\n");
    let server = how.start();
    let client = Client::new(&server);
    for scenario in ["02_", "07_", "12_"] {
        for number in 1..=3 {
            client.send_all(Transport::Grpc, &again(scenario, number)).await;
        }
    }
    for (name, finding) in [("Poison", "poison_message"), ("Storm", "retry_storm"), ("Broken", "broken_context")] {
        let told = || async { hook.alerts(name).into_iter().next() };
        let alert = wait_for(&format!("{name} to be told"), PATIENCE, told).await;
        assert_eq!((&alert["status"], &alert["labels"]["finding"]), (&json!("firing"), &json!(finding)), "{alert}");
        check_examples(&server, &alert, finding).await;
    }
    let poison = hook.alerts("Poison").remove(0);
    let service = poison["labels"]["service"].as_str().expect("counted by service");
    assert_eq!(poison["annotations"]["summary"], format!("3 messages of {service} are poison"));
    let names: Vec<&String> = poison["labels"].as_object().expect("labels").keys().collect();
    assert_eq!(names, ["alertname", "finding", "service", "severity"]);
    assert!(hook.alerts("Storm")[0]["labels"]["op"].is_string());

    for name in ["Poison", "Storm", "Broken"] {
        let of = |alert: &Json, status: &str| (alert["status"] == status).then(|| alert["labels"].to_string());
        let over = || async {
            let told = hook.alerts(name);
            let fired: Vec<String> = told.iter().filter_map(|alert| of(alert, "firing")).collect();
            let ended: Vec<String> = told.iter().filter_map(|alert| of(alert, "resolved")).collect();
            (fired.len() == ended.len()).then_some(fired)
        };
        let fired = wait_for(&format!("{name} to be over"), PATIENCE, over).await;
        assert_eq!(fired.iter().collect::<BTreeSet<_>>().len(), fired.len(), "{name} fired twice: {fired:?}");
    }
    let never = "SELECT count(*) FROM alerts WHERE alertname IN ('OtherQueue', 'TooFew')";
    assert_eq!(sql::number(&server, never).await, 0);
    let ids = "SELECT count(*) FROM alerts WHERE strpos(labels, encode(trace, 'hex')) > 0";
    assert_eq!(sql::number(&server, ids).await, 0, "no label of the table holds an id");
}
