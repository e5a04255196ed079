//! Commands as CI runs them.

use super::*;

const RULES: &str = "\
groups:
- name: shop
  interval: 1m
  rules:
  - alert: Errors
    sql: |
      SELECT service_name AS service, count(*) AS value, min(trace_id) AS trace_id
      FROM spans WHERE start_time >= $from AND start_time < $to AND status_code = 2 GROUP BY 1
    for: 2m
    labels: {severity: page}
    annotations: {summary: '{{ $labels.service }} failed {{ $value }} times'}
  - alert: Poison
    finding: {id: poison_message, at_least: 3}
    keep_firing_for: 5m
";

const TESTS: &str = "\
rule_files: [rules.yml]
tests:
- name: errors page after two minutes
  interval: 1m
  input:
  - table: spans
    from: 3m
    to: 9m
    every: 30s
    rows:
    - {service_name: shop, name: GET /, status_code: 2, trace_id: 4bf92f3577b34da6a3ce929d0e0e4736}
    - {service_name: ok, name: GET /, status_code: 0}
  answers:
  - {alert: Poison, labels: {service: billing}, values: '_x3 5 _x20'}
  alert_rule_test:
  - {eval_time: 5m, alertname: Errors}
  - eval_time: 6m
    alertname: Errors
    exp_alerts:
    - exp_labels: {severity: page, service: shop}
      exp_annotations:
        summary: shop failed 6 times
        journey_url: http://127.0.0.1:4319/j/4bf92f3577b34da6a3ce929d0e0e4736
  - {eval_time: 20m, alertname: Errors}
  - {eval_time: 7m30s, alertname: Poison, exp_alerts: [{exp_labels: {service: billing}}]}
  - {eval_time: 9m, alertname: Poison}
";

async fn test(tests: &str) -> Report {
    let files = [("tests.yml".to_owned(), tests.to_owned())];
    let read = |_: &str, wanted: &str| match wanted {
        "rules.yml" => Ok(RULES.to_owned()),
        other => Err(format!("there is no {other}")),
    };
    test_rules(&files, read).await.expect("an engine")
}

/// Real queries over rows of the file, and answers told instead.
#[tokio::test]
async fn tests_pass_and_fail() {
    let report = test(TESTS).await;
    assert_eq!((report.problems, report.text.as_str()), (0, "tests.yml: 1 tests passed\n"));
    for (from, to, told) in [
        ("failed 6 times", "failed 7 times", "has the annotations"),
        (
            "eval_time: 5m, alertname: Errors",
            "eval_time: 7m, alertname: Errors",
            "line 16: FAILED \"errors page after two minutes\": at 7m Errors fires with {alertname=",
        ),
        (
            "severity: page, service: shop",
            "severity: page, service: other",
            "expected: {alertname=\"Errors\", service=\"other\"",
        ),
        ("alertname: Poison}", "alertname: Poisn}", "line 26: no rule is called Poisn"),
        ("status_code: 2,", "status: 2,", "line 11: a row of spans has no field status"),
        ("[rules.yml]", "[other.yml]", "line 1: there is no other.yml"),
        ("interval: 1m", "input_series: []", "needs PromQL"),
    ] {
        let broken = TESTS.replacen(from, to, 1);
        assert_ne!(broken, TESTS, "{from} stands in the file");
        let report = test(&broken).await;
        assert!(report.problems > 0 && report.text.contains(told), "{to}: {}", report.text);
    }
}

/// What only planning finds is found without data, at its line.
#[tokio::test]
async fn checks_plan_every_query() {
    let check = async |rules: String| check_rules(&[("rules.yml".to_owned(), rules)]).await.expect("an engine").text;
    assert_eq!(check(RULES.to_owned()).await, "rules.yml: 2 rules in 1 groups are right\n");
    for (from, to, told) in [
        ("status_code = 2", "status_cod = 2", "rules.yml: line 8: there is no column status_cod; did you mean"),
        ("FROM spans", "FROM span", "rules.yml: line 8: there is no table span; did you mean spans?"),
        ("count(*) AS value", "count(*) AS n", "no column value"),
        ("count(*) AS value", "min(name) AS value", "the column value must be a number"),
        ("service_name AS service", "span_id AS span_id", "put it into annotations"),
        ("service_name AS service", "service_name || 'x'", "name it with AS"),
    ] {
        let broken = RULES.replacen(from, to, 1);
        let said = check(broken).await;
        assert!(said.contains(told), "{to}: {said}");
    }
}
