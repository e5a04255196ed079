//! The alerts of one rule: samples of a moment in, alerts and what changed out. Pure.
//!
//! Labels are those of the row, then those of the rule, then `alertname`: the later ones win, as in Prometheus. What
//! identifies one request (`trace_id`, the link to its journey, examples) stands in annotations and never in labels, so that
//! an alert stays one alert.

use std::collections::BTreeMap;

use model::{TraceId, UnixNanos};

use super::condition::{Labels, Sample, shown};
use super::rule::{Kind, Rule, Text};
use super::state::{Hold, Move, Standing, step};
use super::template::Fill;

/// Annotations that are added to those of the rule.
pub(crate) const ADDED: &[&str] = &["trace_id", "journey_url", "example_journeys", "finding"];

/// An instance that is pending or firing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Alert {
    pub(crate) labels: Labels,
    pub(crate) annotations: Labels,
    pub(crate) standing: Standing,
    /// Leads to the newest example.
    pub(crate) trace: Option<TraceId>,
    /// A silence holds it back.
    pub(crate) is_silenced: bool,
    /// Targets know that it fires.
    pub(crate) is_told: bool,
    /// When its newest row was written.
    pub(crate) written_at: UnixNanos,
}

/// What happened to an alert; it is as it stands afterwards, or as it stood when it ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) change: Move,
    pub(crate) alert: Alert,
}

/// Alerts of one rule by their labels.
pub(crate) type Alerts = BTreeMap<Labels, Alert>;

/// One evaluation.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) alerts: Alerts,
    pub(crate) changes: Vec<Change>,
    /// A template that could not be filled; the alerts count all the same.
    pub(crate) complaint: Option<String>,
}

/// Labels of a sample: those of the row, then of the rule.
///
/// The second value is a template that could not be filled.
pub(crate) fn labels_of(rule: &Rule, sample: &Sample, external_url: &str) -> (Labels, Option<String>) {
    let fill = Fill { labels: &sample.labels, value: sample.value, external_url };
    let (mut labels, mut complaint) = (sample.labels.clone(), None);
    for (name, text) in &rule.labels {
        match filled(name, text, &fill, &mut complaint) {
            text if text.is_empty() => drop(labels.remove(name)),
            text => drop(labels.insert(name.clone(), text)),
        }
    }
    (labels, complaint)
}

/// The text; what Prometheus writes in its stead when it cannot be made, so that the alert is not lost with it.
fn filled(name: &str, text: &Text, fill: &Fill<'_>, complaint: &mut Option<String>) -> String {
    text.template.fill(fill).unwrap_or_else(|error| {
        complaint.get_or_insert_with(|| format!("template {name}: {error}"));
        format!("<error expanding template: {error}>")
    })
}

/// Takes the samples of an evaluation.
///
/// # Errors
/// When two instances have the same labels; nothing changes then.
pub(crate) fn evaluate(
    rule: &Rule,
    known: &Alerts,
    samples: &[Sample],
    now: UnixNanos,
    external_url: &str,
) -> Result<Outcome, String> {
    let Kind::Alerting(hold) = rule.kind else { return Ok(Outcome::default()) };
    let mut outcome = Outcome::default();
    for sample in samples {
        let (mut labels, complaint) = labels_of(rule, sample, external_url);
        outcome.complaint = outcome.complaint.or(complaint);
        labels.insert("alertname".to_owned(), rule.name.clone());
        let annotations = annotations_of(rule, sample, external_url, &mut outcome.complaint);
        if outcome.alerts.contains_key(&labels) {
            let shown = shown(&labels);
            return Err(format!(
                "two instances have the same labels {shown}; a label of the rule hides one of the rows"
            ));
        }
        let before = known.get(&labels);
        let (standing, change) = step(hold, before.map(|alert| alert.standing), Some(sample.value), now);
        let Some(standing) = standing else { continue };
        let alert = Alert {
            labels: labels.clone(),
            annotations,
            standing,
            trace: sample.traces.first().copied(),
            is_silenced: before.is_some_and(|alert| alert.is_silenced),
            is_told: before.is_some_and(|alert| alert.is_told),
            written_at: before.map_or(now, |alert| alert.written_at),
        };
        outcome.changes.extend(change.map(|change| Change { change, alert: alert.clone() }));
        outcome.alerts.insert(labels, alert);
    }
    for (labels, alert) in known {
        if !outcome.alerts.contains_key(labels) {
            without_value(hold, alert, now, &mut outcome);
        }
    }
    Ok(outcome)
}

fn without_value(hold: Hold, alert: &Alert, now: UnixNanos, outcome: &mut Outcome) {
    let (standing, change) = step(hold, Some(alert.standing), None, now);
    outcome.changes.extend(change.map(|change| Change { change, alert: alert.clone() }));
    if let Some(standing) = standing {
        outcome.alerts.insert(alert.labels.clone(), Alert { standing, ..alert.clone() });
    }
}

fn annotations_of(rule: &Rule, sample: &Sample, external_url: &str, complaint: &mut Option<String>) -> Labels {
    // Templates of annotations see the labels of the row, as in Prometheus.
    let fill = Fill { labels: &sample.labels, value: sample.value, external_url };
    let journey = |trace: &TraceId| format!("{}/j/{}", external_url.trim_end_matches('/'), trace.to_hex());
    let mut annotations = Labels::new();
    if let Some(trace) = sample.traces.first() {
        annotations.insert("trace_id".to_owned(), trace.to_hex());
        annotations.insert("journey_url".to_owned(), journey(trace));
        let all: Vec<String> = sample.traces.iter().map(journey).collect();
        annotations.insert("example_journeys".to_owned(), all.join(" "));
    }
    if let Some(note) = &sample.note {
        annotations.insert("finding".to_owned(), note.clone());
    }
    for (name, text) in &rule.annotations {
        annotations.insert(name.clone(), filled(name, text, &fill, complaint));
    }
    annotations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::rule::read_file;

    fn rule(fields: &str) -> Rule {
        let text = format!("groups:\n- name: g\n  rules:\n  - alert: A\n    sql: SELECT 1 AS value\n{fields}");
        read_file(&text).expect("a rule file").remove(0).rules.remove(0)
    }

    fn sample(service: &str, value: f64) -> Sample {
        let labels = [("service".to_owned(), service.to_owned())].into_iter().collect();
        let trace = TraceId::from_hex("4bf92f3577b34da6a3ce929d0e0e4736");
        Sample { labels, value, traces: trace.into_iter().collect(), note: None }
    }

    #[test]
    fn labels_of_the_rule_win_and_ids_are_annotations() {
        let rule = rule(
            "    labels: {severity: 'p{{ $value }}', service: ''}\n    annotations: {summary: '{{ $labels.service }}'}\n",
        );
        let outcome =
            evaluate(&rule, &Alerts::new(), &[sample("shop", 2.0)], UnixNanos(0), "http://h/").expect("evaluated");
        let alert = outcome.alerts.values().next().expect("one alert");
        let labels: Vec<_> = alert.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(labels, ["alertname=A", "severity=p2"]);
        assert_eq!(alert.annotations["summary"], "shop");
        assert_eq!(alert.annotations["journey_url"], "http://h/j/4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(outcome.changes.len(), 1);
    }

    #[test]
    fn what_is_gone_resolves_and_the_rest_stays() {
        let rule = rule("");
        let both = [sample("a", 1.0), sample("b", 1.0)];
        let first = evaluate(&rule, &Alerts::new(), &both, UnixNanos(0), "").expect("evaluated");
        let second = evaluate(&rule, &first.alerts, &both[..1], UnixNanos(1), "").expect("evaluated");
        assert_eq!((second.alerts.len(), second.changes.len(), second.changes[0].change), (1, 1, Move::Resolved));
        assert_eq!(second.changes[0].alert.labels["service"], "b");
    }

    /// A broken template does not lose the alert; labels that become equal do not lose a row silently.
    #[test]
    fn errors_are_told() {
        let broken = rule("    annotations: {summary: '{{ printf \"%d\" $labels.service }}'}\n");
        let outcome = evaluate(&broken, &Alerts::new(), &[sample("x", 1.0)], UnixNanos(0), "").expect("evaluated");
        assert_eq!(outcome.alerts.len(), 1);
        assert!(outcome.complaint.expect("told").contains("is not a number"));
        let hiding = rule("    labels: {service: all}\n");
        let both = [sample("a", 1.0), sample("b", 1.0)];
        assert!(evaluate(&hiding, &Alerts::new(), &both, UnixNanos(0), "").expect_err("twice").contains("same labels"));
    }
}
