//! Rules, their last day, silences and drafts.

use std::collections::BTreeMap;

use api::{AlertAnswer, AlertHistoryAnswer, AlertRuleAnswer, AlertTransition, AlertsAnswer};

use super::day::{Cell, Day};
use super::draft::{Column, RANGE_MINUTES, draft, id_of, range_minutes};
use super::matchers::{matchers_text, read_matchers};
use super::*;

fn labels(text: &str) -> BTreeMap<String, String> {
    text.split_whitespace().filter_map(|pair| pair.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

fn rule(name: &str, health: &str) -> AlertRuleAnswer {
    AlertRuleAnswer {
        name: name.to_owned(),
        kind: "alerting".to_owned(),
        health: health.to_owned(),
        ..AlertRuleAnswer::default()
    }
}

fn alert(text: &str, state: &str, active: i64, fired: Option<i64>) -> AlertAnswer {
    AlertAnswer {
        labels: labels(text),
        state: state.to_owned(),
        active_unix_nano: active.to_string(),
        fired_unix_nano: fired.map(|at| at.to_string()),
        ..AlertAnswer::default()
    }
}

/// What fires stands first; a rule that cannot run is not "ok"; what silences hold back is muted.
#[test]
fn the_most_urgent_stands_first() {
    let rules =
        [rule("A", "ok"), rule("B", "ok"), rule("C", "err"), rule("D", "ok"), rule("E", "unknown"), rule("A", "ok")];
    let mut alerts = vec![alert("alertname=B x=1", "firing", 5, Some(9)), alert("alertname=D", "firing", 1, Some(2))];
    alerts[1].silenced = true;
    let rows = rows(&rules, &alerts);
    let short: Vec<_> = rows.iter().map(|row| (row.key.as_str(), row.state.name())).collect();
    assert_eq!(
        short,
        [("B", "firing"), ("C", "failing"), ("D", "muted"), ("E", "unknown"), ("A", "ok"), ("A~2", "ok")]
    );
    assert_eq!(rows[0].since, Some(9));
}

/// One letter a cell.
fn drawn(day: &Day) -> String {
    let letter = |cell: &Cell| match cell {
        Cell::Quiet => '.',
        Cell::Unknown => '?',
        Cell::Pending => 'p',
        Cell::Firing => 'F',
    };
    day.cells.iter().map(letter).collect()
}

/// Nothing is called quiet that was not answered: neither what is older than the oldest answered transition, nor a whole
/// day whose question failed. What stands now is known all the same.
#[test]
fn what_was_not_answered_is_unknown() {
    let rows = rows(&[rule("B", "ok")], &[alert("alertname=B x=2", "firing", 80, Some(90))]);
    let of = |name: &str, at: i64, before: &str, state: &str| AlertTransition {
        time_unix_nano: at.to_string(),
        before: before.to_owned(),
        state: state.to_owned(),
        labels: labels(&format!("alertname={name} x=1")),
        ..AlertTransition::default()
    };
    let transitions = vec![of("Other", 20, "inactive", "firing"), of("B", 40, "firing", "inactive")];
    let past = AlertHistoryAnswer { transitions, incomplete: true };
    let rest = format!("{}{}{}", ".".repeat(40), "p".repeat(10), "F".repeat(6));
    let day = Day::new(&rows[0], Some(&past), 0, 96);
    assert_eq!(drawn(&day), format!("{}{}{rest}", "?".repeat(20), "F".repeat(20)));
    assert_eq!(day.known_from, Some(20));
    let failed = Day::new(&rows[0], None, 0, 96);
    assert_eq!(drawn(&failed), format!("{}{}{}", "?".repeat(80), "p".repeat(10), "F".repeat(6)));
}

#[test]
fn a_day_is_as_bad_as_its_worst_moments() {
    let rows = rows(&[rule("B", "ok")], &[alert("alertname=B x=2", "firing", 80, Some(90))]);
    let past = |at: i64, before: &str, state: &str| AlertTransition {
        time_unix_nano: at.to_string(),
        before: before.to_owned(),
        state: state.to_owned(),
        labels: labels("alertname=B x=1"),
        ..AlertTransition::default()
    };
    let history = [past(30, "firing", "inactive"), past(20, "pending", "firing"), past(10, "inactive", "pending")];
    let past = AlertHistoryAnswer { transitions: history.to_vec(), incomplete: false };
    let drawn = drawn(&Day::new(&rows[0], Some(&past), 0, 96));
    assert_eq!(
        drawn,
        format!(
            "{}{}{}{}{}{}",
            ".".repeat(10),
            "p".repeat(10),
            "F".repeat(10),
            ".".repeat(50),
            "p".repeat(10),
            "F".repeat(6)
        )
    );
}

#[test]
fn matchers_are_read_as_they_are_written() {
    let text = "alertname=\"A b\" service=~\"shop.*\" x!=\"a\\\"b\" y!~\"z\"";
    let matchers = read_matchers(text).expect("they can be read");
    assert_eq!(matchers_text(&matchers), text);
    assert_eq!(read_matchers("{a=b, c=d}").expect("short form").len(), 2);
    for wrong in ["", "a", "a=\"b", "=b", "a="] {
        assert!(read_matchers(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn templates_are_left_open() {
    assert_eq!(without_templates("{{ $labels.x }} waits {{ $value }} s {{"), "… waits … s …");
}

#[test]
fn examples_are_ids_only() {
    let id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let annotations = BTreeMap::from([
        ("journey_url".to_owned(), format!("http://h/j/{id}")),
        ("example_journeys".to_owned(), format!("http://h/j/{id} javascript:alert(1)")),
    ]);
    assert_eq!(examples(&annotations), [id]);
}

#[test]
fn a_statement_becomes_a_rule() {
    let columns = [
        Column { name: "service_name", is_number: false, is_text: true },
        Column { name: "Slowest ms", is_number: true, is_text: false },
    ];
    let rule = draft("SELECT 1;", &columns, Some(7.5), RANGE_MINUTES);
    assert!(rule.contains("  SELECT service_name, \"Slowest ms\" AS value\n  FROM (\n    SELECT 1\n  )\n  WHERE \"Slowest ms\" > 7.5\n"), "{rule}");
    let as_is = draft("SELECT 1 AS value", &[Column { name: "value", is_number: true, is_text: false }], None, 65);
    assert!(as_is.contains("sql: |\n  SELECT 1 AS value\nrange: 65m\n"), "{as_is}");
    assert_eq!(id_of(&rule).as_deref(), Some("FromQuery"));
    assert_eq!(id_of("alert: 'a b/ü'").as_deref(), Some("a-b--"));
}

#[test]
fn labels_lead_to_their_service() {
    assert_eq!(filter_of(&labels("dst=service:order")), "service=order");
    assert_eq!((service_of(&labels("service_name=a")), service_of(&labels("alertname=x"))), (Some("a"), None));
    assert_eq!(filter_of(&labels("dst=queue:kafka/x")), "");
}

/// A rule on long hits looks back to where they began; one that cannot is not offered.
#[test]
fn rules_look_back_to_where_long_hits_began() {
    const HOUR: u64 = 3_600_000_000_000;
    assert_eq!(range_minutes(0, u64::MAX), Some(RANGE_MINUTES));
    assert_eq!(range_minutes(2_000_000, 900_000_000), Some(RANGE_MINUTES + 1));
    assert_eq!(range_minutes(HOUR, u64::MAX), Some(65), "at least an hour");
    assert_eq!(range_minutes(0, 2 * HOUR), Some(125), "up to two hours");
    assert_eq!(range_minutes(31 * 24 * HOUR, u64::MAX), None);
    assert_eq!(range_minutes(u64::MAX - 1, u64::MAX), None);
}

/// What the rail counts and Home lists: what fires and is told.
#[test]
fn what_is_silenced_or_pending_does_not_fire() {
    let silenced = AlertAnswer { silenced: true, ..alert("alertname=b", "firing", 0, Some(1)) };
    let alerts = vec![alert("alertname=a", "firing", 0, Some(1)), silenced, alert("alertname=c", "pending", 0, None)];
    let told = firing(&AlertsAnswer { alerts, ..AlertsAnswer::default() });
    assert_eq!(told.iter().map(|alert| alert.labels["alertname"].as_str()).collect::<Vec<_>>(), ["a"]);
}
