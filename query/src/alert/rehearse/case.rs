//! Test files, in the form of promtool's: rules, inputs, and what must fire when.
//!
//! The input is rows of tables (`input`), over which the real queries run, or what a rule's condition answers (`answers`), in
//! Prometheus' notation of series: `1 0x3 5+1x10 _x2`.

use std::collections::BTreeMap;
use std::fmt;

use model::{TenantId, UnixNanos};
use storage::{Batch, Snapshot};

use super::tables;
use crate::alert::condition::{self, Labels, Sample, shown};
use crate::alert::duration;
use crate::alert::instances::{ADDED, Alerts, evaluate};
use crate::alert::rule::{Group, Kind, Rule, read_file};
use crate::alert::yaml::{Node, Wrong};
use crate::error::Result;

const MINUTE: i64 = 60_000_000_000;
/// Evaluations of one case.
const EVALUATIONS_MAX: i64 = 100_000;
/// Values of one series.
const VALUES_MAX: usize = 100_000;
/// Where the collector is reached unless the case says.
const EXTERNAL_URL: &str = "http://127.0.0.1:4319";

/// One entry of `tests`.
pub(super) struct Case {
    name: String,
    line: usize,
    interval: i64,
    evaluation_interval: i64,
    external_url: String,
    groups: Vec<Group>,
    input: Vec<Batch>,
    answers: Vec<Answers>,
    expected: Vec<Expected>,
}

/// What the condition of a rule answers over time, for one instance.
struct Answers {
    rule: String,
    labels: Labels,
    trace: Option<model::TraceId>,
    values: Vec<Option<f64>>,
}

/// What fires at a moment.
struct Expected {
    line: usize,
    at: i64,
    alert: String,
    alerts: Vec<(Labels, Labels)>,
}

/// A test that failed.
#[derive(Debug)]
pub(super) struct Failure {
    line: usize,
    case: String,
    detail: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: FAILED{}: {}", self.line, self.case, self.detail)
    }
}

/// Reads a test file; `read` gives the text of a rule file that it names.
pub(super) fn read(
    text: &str,
    read: impl Fn(&str) -> std::result::Result<String, String>,
) -> std::result::Result<Vec<Case>, Wrong> {
    let root = Node::read(text)?;
    root.only(&["rule_files", "evaluation_interval", "group_eval_order", "tests"], "a test file")?;
    let mut groups = Vec::new();
    for file in root.get("rule_files").map(Node::list).transpose()?.unwrap_or_default() {
        let name = file.text()?;
        let text = read(name).map_err(|error| Wrong::at(file.line, error))?;
        groups.extend(read_file(&text).map_err(|wrong| Wrong::at(file.line, format!("{name}: {wrong}")))?);
    }
    let every = root.get("evaluation_interval").map(span).transpose()?.filter(|nanos| *nanos > 0).unwrap_or(MINUTE);
    let cases = root.get("tests").map(Node::list).transpose()?.unwrap_or_default();
    cases.iter().map(|node| case(node, &groups, every)).collect()
}

fn span(node: &Node) -> std::result::Result<i64, Wrong> {
    duration::parse(node.text()?).map_err(|detail| Wrong::at(node.line, detail))
}

const CASE_FIELDS: &[&str] =
    &["name", "interval", "input", "answers", "alert_rule_test", "external_url", "input_series", "promql_expr_test"];

fn case(node: &Node, groups: &[Group], evaluation_interval: i64) -> std::result::Result<Case, Wrong> {
    node.only(CASE_FIELDS, "a test")?;
    for name in ["input_series", "promql_expr_test"] {
        if let Some(field) = node.get(name) {
            return Err(Wrong::at(
                field.line,
                format!("{name} needs PromQL, which is not there yet; use input or answers"),
            ));
        }
    }
    let list = |name: &str| Ok::<_, Wrong>(node.get(name).map(Node::list).transpose()?.unwrap_or_default());
    let text = |name: &str| Ok::<_, Wrong>(node.get(name).map(Node::text).transpose()?.map(str::to_owned));
    let mut input = Vec::new();
    for entry in list("input")? {
        input.extend(tables::read(entry)?);
    }
    let answers = list("answers")?.iter().map(|node| answers(node, groups)).collect::<std::result::Result<_, _>>()?;
    let expected =
        list("alert_rule_test")?.iter().map(|node| expected(node, groups)).collect::<std::result::Result<_, _>>()?;
    Ok(Case {
        name: text("name")?.map(|name| format!(" {name:?}")).unwrap_or_default(),
        line: node.line,
        interval: node.get("interval").map(span).transpose()?.filter(|nanos| *nanos > 0).unwrap_or(evaluation_interval),
        evaluation_interval,
        external_url: text("external_url")?.unwrap_or_else(|| EXTERNAL_URL.to_owned()),
        groups: groups.to_vec(),
        input,
        answers,
        expected,
    })
}

fn answers(node: &Node, groups: &[Group]) -> std::result::Result<Answers, Wrong> {
    node.only(&["alert", "labels", "trace_id", "values"], "an answer")?;
    let rule = named(node, "alert", groups)?;
    let trace = node.get("trace_id").map(|field| {
        model::TraceId::from_hex(field.text()?).ok_or_else(|| Wrong::at(field.line, "trace_id has 32 hex digits"))
    });
    let values = node.get("values").ok_or_else(|| Wrong::at(node.line, "an answer needs values such as 0x3 5x10"))?;
    let values = series(values.text()?).map_err(|detail| Wrong::at(values.line, detail))?;
    Ok(Answers { rule, labels: labels(node.get("labels"))?, trace: trace.transpose()?, values })
}

/// The name of an alert that exists.
fn named(node: &Node, field: &str, groups: &[Group]) -> std::result::Result<String, Wrong> {
    let field = node.get(field).ok_or_else(|| Wrong::at(node.line, format!("{field} is missing")))?;
    let name = field.text()?;
    let names: Vec<&str> = groups.iter().flat_map(|group| &group.rules).map(|rule| rule.name.as_str()).collect();
    if names.contains(&name) {
        return Ok(name.to_owned());
    }
    let meant = crate::error::nearest(name, names.into_iter()).map(|name| format!("; did you mean {name}?"));
    Err(Wrong::at(field.line, format!("no rule is called {name}{}", meant.unwrap_or_default())))
}

fn labels(node: Option<&Node>) -> std::result::Result<Labels, Wrong> {
    let entries = node.map(Node::map).transpose()?.unwrap_or_default();
    entries.iter().map(|(name, value)| Ok((name.text()?.to_owned(), value.text()?.to_owned()))).collect()
}

fn expected(node: &Node, groups: &[Group]) -> std::result::Result<Expected, Wrong> {
    node.only(&["eval_time", "alertname", "exp_alerts", "name"], "an alert_rule_test")?;
    let at = node.get("eval_time").ok_or_else(|| Wrong::at(node.line, "eval_time is missing"))?;
    let alert = named(node, "alertname", groups)?;
    let mut alerts = Vec::new();
    for entry in node.get("exp_alerts").map(Node::list).transpose()?.unwrap_or_default() {
        entry.only(&["exp_labels", "exp_annotations"], "an expected alert")?;
        alerts.push((labels(entry.get("exp_labels"))?, labels(entry.get("exp_annotations"))?));
    }
    Ok(Expected { line: node.line, at: span(at)?, alert, alerts })
}

/// Prometheus' notation: `1 2 _ 3x4 0+5x10 10-1x3 _x5`.
fn series(text: &str) -> std::result::Result<Vec<Option<f64>>, String> {
    let mut values = Vec::new();
    for word in text.split_whitespace() {
        let wrong = || format!("{word:?} is no value: write 5, _ for none, 5x3 for four times 5, 0+2x3 for 0 2 4 6");
        let (start, times) = match word.split_once('x') {
            Some((start, times)) => (start, times.parse::<usize>().map_err(|_| wrong())?),
            None => (word, 0),
        };
        if values.len().saturating_add(times) > VALUES_MAX {
            return Err(format!("a series has at most {VALUES_MAX} values"));
        }
        if start == "_" {
            values.extend(std::iter::repeat_n(None, if word == "_" { 1 } else { times }));
            continue;
        }
        let sign =
            start.char_indices().skip(1).find(|(at, c)| matches!(c, '+' | '-') && !start[..*at].ends_with(['e', 'E']));
        let (first, step) = match sign {
            Some((at, _)) => (&start[..at], start[at..].parse::<f64>().map_err(|_| wrong())?),
            None => (start, 0.0),
        };
        let first: f64 = first.parse().map_err(|_| wrong())?;
        values.extend((0..=times).map(|n| Some(first + step * n as f64)));
    }
    Ok(values)
}

impl Case {
    /// Runs it; gives what failed.
    pub(super) async fn run(self) -> Result<Vec<Failure>> {
        let engine = super::engine(Snapshot::of(self.input.clone()))?;
        let Some(last) = self.expected.iter().map(|expected| expected.at).max() else { return Ok(Vec::new()) };
        let mut failures = Vec::new();
        let mut fail = |line: usize, detail: String| failures.push(Failure { line, case: self.name.clone(), detail });
        for group in &self.groups {
            let every = group.interval_nanos.unwrap_or(self.evaluation_interval);
            if last / every > EVALUATIONS_MAX {
                fail(self.line, format!("more than {EVALUATIONS_MAX} evaluations are needed"));
                continue;
            }
            for rule in group.rules.iter().filter(|rule| matches!(rule.kind, Kind::Alerting(_))) {
                let mut wanted: Vec<&Expected> =
                    self.expected.iter().filter(|wanted| wanted.alert == rule.name).collect();
                wanted.sort_by_key(|wanted| wanted.at);
                let Some(end) = wanted.last().map(|wanted| wanted.at) else { continue };
                let (mut alerts, mut at) = (Alerts::new(), 0);
                while at <= end {
                    let samples = match self.answers(rule, at) {
                        Some(samples) => Ok(samples),
                        None => self.ask(&engine, rule, at, group.limit).await,
                    };
                    let outcome = samples
                        .map_err(|error| error.to_string())
                        .and_then(|samples| evaluate(rule, &alerts, &samples, UnixNanos(at), &self.external_url));
                    match outcome {
                        Ok(outcome) => {
                            alerts = outcome.alerts;
                            if let Some(complaint) = outcome.complaint {
                                fail(rule.line, format!("{} at {}: {complaint}", rule.name, duration::format(at)));
                                break;
                            }
                        }
                        Err(error) => {
                            fail(rule.line, format!("{} at {}: {error}", rule.name, duration::format(at)));
                            break;
                        }
                    }
                    let next = at + every;
                    for wanted in wanted.iter().filter(|wanted| (at..next).contains(&wanted.at)) {
                        wanted.compare(&alerts).into_iter().for_each(|detail| fail(wanted.line, detail));
                    }
                    at = next;
                }
            }
        }
        Ok(failures)
    }

    /// What the file says that the condition answers; `None` when it says nothing about the rule.
    fn answers(&self, rule: &Rule, at: i64) -> Option<Vec<Sample>> {
        let about: Vec<&Answers> = self.answers.iter().filter(|answers| answers.rule == rule.name).collect();
        let place = usize::try_from(at / self.interval).unwrap_or(usize::MAX);
        let sample = |answers: &&Answers| {
            let value = answers.values.get(place).copied().flatten()?;
            let traces = answers.trace.into_iter().collect();
            Some(Sample { labels: answers.labels.clone(), value, traces, note: None })
        };
        (!about.is_empty()).then(|| about.iter().filter_map(sample).collect())
    }

    async fn ask(&self, engine: &crate::Engine, rule: &Rule, at: i64, limit: usize) -> Result<Vec<Sample>> {
        let condition = rule.condition.clone();
        let kept = condition::KeptPlan::default();
        let ask = move |session| async move { condition::ask(&session, &condition, &kept, UnixNanos(at), limit).await };
        engine.run(&TenantId::default_tenant(), ask).await
    }
}

impl Expected {
    /// What differs from the alerts that fire.
    fn compare(&self, alerts: &Alerts) -> Option<String> {
        let mut expected: BTreeMap<Labels, &Labels> = BTreeMap::new();
        for (labels, annotations) in &self.alerts {
            let mut labels = labels.clone();
            labels.insert("alertname".to_owned(), self.alert.clone());
            expected.insert(labels, annotations);
        }
        let at = duration::format(self.at);
        let firing: BTreeMap<&Labels, &Labels> = alerts
            .values()
            .filter(|alert| alert.standing.is_firing())
            .map(|alert| (&alert.labels, &alert.annotations))
            .collect();
        let list = |all: Vec<&Labels>| match all.is_empty() {
            true => "nothing".to_owned(),
            false => all.iter().map(|labels| shown(labels)).collect::<Vec<_>>().join(", "),
        };
        if !expected.keys().eq(firing.keys().copied()) {
            let (wanted, found) = (list(expected.keys().collect()), list(firing.keys().copied().collect()));
            return Some(format!("at {at} {} fires with {found}; expected: {wanted}", self.alert));
        }
        for (labels, wanted) in expected {
            // What is added to every alert counts when the test names it.
            let mut found = firing.get(&labels).map(|found| (*found).clone()).unwrap_or_default();
            found.retain(|name, _| wanted.contains_key(name) || !ADDED.contains(&name.as_str()));
            if found != *wanted {
                let (found, wanted) = (shown(&found), shown(wanted));
                return Some(format!("at {at} {} has the annotations {found}; expected: {wanted}", shown(&labels)));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_prometheus() {
        let shown = |given: &str| -> String {
            let values = series(given).expect(given);
            values
                .iter()
                .map(|value| value.map_or("_".to_owned(), |value| value.to_string()))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(shown("1 _ 2x2 0+5x3 10-1x2 _x2 1e2 -3"), "1 _ 2 2 2 0 5 10 15 10 9 8 _ _ 100 -3");
        assert!(series("a").is_err() && series("1x").is_err() && series("1x99999999").is_err());
    }
}
