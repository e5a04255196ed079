//! Rule files as people write them, right and wrong.

use super::*;

const GOOD: &str = "\
groups:
- name: checkout
  interval: 15s
  query_offset: 10s
  limit: 10
  labels: {team: shop}
  rules:
  - alert: CheckoutErrors
    sql: |
      SELECT service_name, count(*) AS value
      FROM spans WHERE start_time >= $from AND start_time < $to GROUP BY 1
    range: 10m
    for: 2m
    keep_firing_for: 1h30m
    labels: {severity: page, team: payments}
    annotations:
      summary: '{{ $labels.service_name }} fails: {{ $value | humanize }}'
  - alert: Poison
    finding: {id: poison_message, queue: orders, at_least: 3, within: 5m, by: [service, op]}
  - record: shop:requests
    sql: SELECT count(*) AS value FROM spans
- name: short
  rules:
  - alert: Broken
    finding: broken_context
";

#[test]
fn a_file_is_read() {
    let groups = read_file(GOOD).expect("a rule file");
    let group = &groups[0];
    let second = 1_000_000_000;
    assert_eq!((group.interval_nanos, group.offset_nanos, group.limit), (Some(15 * second), Some(10 * second), 10));
    let rule = &group.rules[0];
    assert_eq!(rule.kind, Kind::Alerting(Hold { for_nanos: 120 * second, keep_nanos: 5_400 * second }));
    assert_eq!(rule.labels["team"].raw, "payments", "a rule's label stands above its group's");
    assert_eq!((rule.line, rule.condition.range_nanos()), (8, 600 * second));
    assert_eq!(group.rules[1].condition.query(), "finding poison_message{queue=\"orders\"} >= 3 within 5m");
    assert_eq!(group.rules[1].labels["team"].raw, "shop");
    assert_eq!(group.rules[2].kind, Kind::Recording);
    assert_eq!(groups[1].rules[0].condition.query(), "finding broken_context >= 1 within 5m");
    assert_eq!((groups[1].interval_nanos, groups[1].limit), (None, INSTANCES_MAX));
}

#[test]
fn every_error_names_its_line() {
    let rule =
        |text: &str| format!("groups:\n- name: g\n  rules:\n  - alert: A\n    {}\n", text.replace('\n', "\n    "));
    for (text, told) in [
        (rule("sql: SELECT 1 AS value\nfor: 5"), "line 6: \"5\" is not a duration such as 30s"),
        (rule("expr: up == 0"), "line 5: expr is reserved for PromQL"),
        (rule("sql: SELECT 1 AS value\nfinding: retry_storm"), "exactly one condition"),
        (rule("for: 1m"), "line 4: a rule needs a condition"),
        (rule("finding: poison"), "line 5: there is no finding \"poison\"; did you mean poison_message?"),
        (rule("finding: {id: redelivery, by: [trace]}"), "by takes service and op"),
        (rule("sql: |\n  SELECT 1 AS value\n  FROM spans WHERE )"), "line 7: "),
        (rule("sql: DROP TABLE spans"), "line 5: "),
        (rule("sql: SELECT 1 AS value\nlabels: {trace_id: x}"), "line 6: trace_id differs in every request"),
        (rule("sql: SELECT 1 AS value\nlabels: {a-b: x}"), "no name of a label"),
        (rule("sql: SELECT 1 AS value\nlabels: {alertname: x}"), "set by the rule's own name"),
        (rule("sql: SELECT 1 AS value\nannotations:\n  a: '{{ $vale }}'"), "line 7: annotation a: $vale is not known"),
        (rule("sql: SELECT 1 AS value\nsevrity: page"), "line 6: a rule has no field sevrity"),
        (rule("sql: SELECT 1 AS value\nrecord: b"), "alert or record, not both"),
        (rule("finding: redelivery\nrange: 5m"), "range belongs to sql"),
        ("groups:\n- rules: []\n".to_owned(), "line 2: a group needs a name"),
        ("groups:\n- name: a\n- name: a\n".to_owned(), "line 3: the group \"a\" stands twice"),
        ("groups:\n- name: a\n  interval: 10ms\n".to_owned(), "line 3: the shortest interval is 1s"),
        ("groups:\n- name: a\n  limit: 100000\n".to_owned(), "line 3: limit is at most 1000"),
        (
            "groups:\n- name: a\n  rules:\n  - record: a-b\n    sql: SELECT 1 AS value\n".to_owned(),
            "no name of a series",
        ),
        (
            format!("{}  - alert: A\n    finding: redelivery\n", rule("finding: retried")),
            "line 6: A with the same labels stands twice",
        ),
        ("group: []\n".to_owned(), "line 1: a rule file has no field group; did you mean groups?"),
        ("groups: [\n".to_owned(), "this is not YAML"),
    ] {
        let error = read_file(&text).expect_err(&text).to_string();
        assert!(error.contains(told), "{text}\n{error}\nwanted: {told}");
    }
}

#[test]
fn a_single_rule_has_the_fields_of_its_group() {
    let json = r#"{"alert": "Slow", "interval": "30s", "sql": "SELECT 1.0 AS value", "labels": {"severity": "page"}}"#;
    let group = read_single(json, "slow").expect("a rule");
    assert_eq!((group.name.as_str(), group.interval_nanos, group.rules.len()), ("slow", Some(30_000_000_000), 1));
    assert!(read_single("{\"alert\": \"x\"}", "x").is_err());
    assert!(read_single("[]", "x").is_err());
}
