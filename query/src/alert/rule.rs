//! Rules in Prometheus' rule-file form, with our conditions. Read once, checked once, trusted afterwards.
//!
//! | field             | of    | means                                                                              |
//! |-------------------|-------|------------------------------------------------------------------------------------|
//! | `sql`             | rule  | a query: one row per instance, its columns are labels, `value`, perhaps `trace_id` |
//! | `range`           | rule  | how far `$from` lies before `$to` in `sql`; 5m                                     |
//! | `finding`         | rule  | a communication finding with its filters                                           |
//! | `expr`            | rule  | reserved for PromQL; refused with a sentence until that exists                     |
//! | all others        |       | as Prometheus documents them                                                       |
//!
//! Every error names the line. Unknown fields, functions and labels are errors here, not at the first alarm.

use std::collections::{BTreeMap, BTreeSet};

use super::duration;
use super::own::Own;
use super::state::Hold;
use super::template::Template;
use super::yaml::{Node, Value, Wrong};
use crate::analysis::findings::FindingName;
use crate::engine::read_only;
use crate::error::nearest;

/// Instances of one rule unless its group says fewer.
pub(crate) const INSTANCES_MAX: usize = 1_000;
/// Groups of one file, and rules of one group.
const RULES_MAX: usize = 5_000;
/// How far back a rule looks that does not say: five minutes.
pub(crate) const RANGE_NANOS: i64 = 300_000_000_000;
/// Furthest a rule may look back: 31 days.
const RANGE_NANOS_MAX: i64 = 31 * 86_400_000_000_000;
/// Shortest interval: one second.
const INTERVAL_NANOS_MIN: i64 = 1_000_000_000;

/// Labels that identify one thing and so would make an alert per request (they belong into annotations).
const IDS: &[&str] = &["trace_id", "span_id", "journey", "journey_id", "journey_url"];

/// Rules that are evaluated at the same moments.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    pub(crate) name: String,
    /// `None`: as the settings say.
    pub(crate) interval_nanos: Option<i64>,
    /// How long rows are waited for; `None`: as the settings say.
    pub(crate) offset_nanos: Option<i64>,
    /// Most instances of one rule; at most [`INSTANCES_MAX`].
    pub(crate) limit: usize,
    pub(crate) rules: Vec<Rule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rule {
    pub(crate) line: usize,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) condition: Condition,
    /// Those of its group are among them.
    pub(crate) labels: BTreeMap<String, Text>,
    pub(crate) annotations: BTreeMap<String, Text>,
}

/// What a rule makes of its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Alerting(Hold),
    Recording,
}

/// A template and how it was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Text {
    pub(crate) raw: String,
    pub(crate) template: Template,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    Sql(Sql),
    Finding(Finding),
    /// The collector's own health; only built-in rules have it.
    Own(Own),
}

/// A query, with `$from` and `$to` filled in at each evaluation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sql {
    pub(crate) text: String,
    /// The line its text begins in.
    pub(crate) line: usize,
    pub(crate) range_nanos: i64,
}

/// Journeys with a finding, counted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) id: FindingName,
    pub(crate) service: Option<String>,
    pub(crate) op: Option<String>,
    /// Only where its spans sent or took a message of this queue: a node such as `queue:kafka/orders`, or its last part.
    pub(crate) queue: Option<String>,
    pub(crate) at_least: u64,
    pub(crate) within_nanos: i64,
    /// One instance per value of these columns.
    pub(crate) by: Vec<By>,
}

/// What findings are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Service,
    Op,
}

impl By {
    pub(crate) const fn column(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Op => "op",
        }
    }
}

impl Condition {
    /// How far back it looks.
    pub(crate) const fn range_nanos(&self) -> i64 {
        match self {
            Self::Sql(sql) => sql.range_nanos,
            Self::Finding(finding) => finding.within_nanos,
            Self::Own(_) => 0,
        }
    }

    /// The condition in one text, for people and for `query` in Prometheus' answers.
    pub(crate) fn query(&self) -> String {
        match self {
            Self::Sql(sql) => sql.text.trim().to_owned(),
            Self::Finding(finding) => {
                let filters = [("service", &finding.service), ("op", &finding.op), ("queue", &finding.queue)];
                let filters = filters.iter().filter_map(|(name, value)| Some(format!("{name}={:?}", value.as_ref()?)));
                let filters: Vec<String> = filters.collect();
                let filters = if filters.is_empty() { String::new() } else { format!("{{{}}}", filters.join(", ")) };
                let within = duration::format(finding.within_nanos);
                format!("finding {}{filters} >= {} within {within}", finding.id.as_str(), finding.at_least)
            }
            Self::Own(own) => format!("own {}", own.as_str()),
        }
    }
}

/// Every group of a rule file.
///
/// # Errors
/// The first thing that is wrong.
pub(crate) fn read_file(text: &str) -> Result<Vec<Group>, Wrong> {
    let root = Node::read(text)?;
    root.only(&["groups"], "a rule file")?;
    let Some(groups) = root.get("groups") else {
        return Err(Wrong::at(root.line, "a rule file begins with groups:"));
    };
    let (mut found, mut names): (Vec<Group>, BTreeSet<String>) = (Vec::new(), BTreeSet::new());
    for node in groups.list()? {
        let group = read_group(node)?;
        if !names.insert(group.name.clone()) {
            return Err(Wrong::at(node.line, format!("the group {:?} stands twice in this file", group.name)));
        }
        found.push(group);
    }
    if found.len() > RULES_MAX {
        return Err(Wrong::at(groups.line, format!("at most {RULES_MAX} groups stand in one file")));
    }
    Ok(found)
}

/// Fields of a group but its rules.
const GROUP_FIELDS: &[&str] = &["name", "interval", "query_offset", "limit", "labels", "rules"];

fn read_group(node: &Node) -> Result<Group, Wrong> {
    node.only(GROUP_FIELDS, "a group")?;
    let name = match node.get("name") {
        Some(name) if !name.text()?.trim().is_empty() => name.text()?.to_owned(),
        _ => return Err(Wrong::at(node.line, "a group needs a name")),
    };
    let rules = node.get("rules").map(Node::list).transpose()?.unwrap_or_default();
    let mut group = group_settings(node, name)?;
    let shared = node.get("labels").map(read_labels).transpose()?.unwrap_or_default();
    let mut known: BTreeSet<(String, Vec<(String, String)>)> = BTreeSet::new();
    for node in rules {
        let mut rule = read_rule(node)?;
        for (name, text) in &shared {
            rule.labels.entry(name.clone()).or_insert_with(|| text.clone());
        }
        let labels = rule.labels.iter().map(|(name, text)| (name.clone(), text.raw.clone())).collect();
        if !known.insert((rule.name.clone(), labels)) {
            let detail = format!(
                "{} with the same labels stands twice in this group: their alerts could not be told apart",
                rule.name
            );
            return Err(Wrong::at(node.line, detail));
        }
        group.rules.push(rule);
    }
    if group.rules.len() > RULES_MAX {
        return Err(Wrong::at(node.line, format!("at most {RULES_MAX} rules stand in one group")));
    }
    Ok(group)
}

fn group_settings(node: &Node, name: String) -> Result<Group, Wrong> {
    let interval = node.get("interval").map(read_duration).transpose()?.filter(|nanos| *nanos > 0);
    if let Some(field) = node.get("interval").filter(|_| interval.is_some_and(|nanos| nanos < INTERVAL_NANOS_MIN)) {
        return Err(Wrong::at(field.line, "the shortest interval is 1s"));
    }
    let limit = match node.get("limit") {
        Some(field) => match field.count()? {
            0 => INSTANCES_MAX,
            n if n <= INSTANCES_MAX as u64 => n as usize,
            n => return Err(Wrong::at(field.line, format!("limit is at most {INSTANCES_MAX}, not {n}"))),
        },
        None => INSTANCES_MAX,
    };
    let offset = node.get("query_offset").map(read_duration).transpose()?;
    Ok(Group { name, interval_nanos: interval, offset_nanos: offset, limit, rules: Vec::new() })
}

/// A rule kept by the API: a rule with the fields of its group beside it.
///
/// # Errors
/// The first thing that is wrong.
pub(crate) fn read_single(text: &str, name: &str) -> Result<Group, Wrong> {
    let node = Node::read(text)?;
    let mut group = group_settings(&node, name.to_owned())?;
    let entries = node
        .map()?
        .iter()
        .filter(|(key, _)| key.text().is_ok_and(|key| !["interval", "query_offset", "limit"].contains(&key)));
    let rule = Node { line: node.line, value: Value::Map(entries.cloned().collect()) };
    group.rules.push(read_rule(&rule)?);
    Ok(group)
}

const RULE_FIELDS: &[&str] =
    &["alert", "record", "sql", "range", "finding", "expr", "for", "keep_firing_for", "labels", "annotations"];

fn read_rule(node: &Node) -> Result<Rule, Wrong> {
    node.only(RULE_FIELDS, "a rule")?;
    let (field, is_alert) = match (node.get("alert"), node.get("record")) {
        (Some(alert), None) => (alert, true),
        (None, Some(record)) => (record, false),
        (Some(_), Some(record)) => return Err(Wrong::at(record.line, "a rule has alert or record, not both")),
        (None, None) => return Err(Wrong::at(node.line, "a rule begins with alert: NAME or record: NAME")),
    };
    let name = field.text()?.to_owned();
    if name.trim().is_empty() || name.len() > 256 || name.contains(char::is_control) {
        return Err(Wrong::at(field.line, "a name has 1 to 256 letters"));
    }
    if !is_alert && !is_metric_name(&name) {
        let detail = format!("{name:?} is no name of a series: letters, digits, _ and :, not a digit first");
        return Err(Wrong::at(field.line, detail));
    }
    let condition = read_condition(node)?;
    let labels = node.get("labels").map(read_labels).transpose()?.unwrap_or_default();
    let annotations =
        node.get("annotations").map(|node| read_texts(node, "annotation")).transpose()?.unwrap_or_default();
    let kind = if is_alert {
        let nanos = |name: &str| Ok::<_, Wrong>(node.get(name).map(read_duration).transpose()?.unwrap_or(0));
        Kind::Alerting(Hold { for_nanos: nanos("for")?, keep_nanos: nanos("keep_firing_for")? })
    } else {
        for name in ["for", "keep_firing_for", "annotations"] {
            if let Some(field) = node.get(name) {
                return Err(Wrong::at(field.line, format!("{name} belongs to alerts; a recording rule has none")));
            }
        }
        Kind::Recording
    };
    Ok(Rule { line: node.line, name, kind, condition, labels, annotations })
}

fn read_condition(node: &Node) -> Result<Condition, Wrong> {
    let (sql, finding, expr) = (node.get("sql"), node.get("finding"), node.get("expr"));
    if let (Some(range), None) = (node.get("range"), sql) {
        return Err(Wrong::at(range.line, "range belongs to sql; a finding has within"));
    }
    match (sql, finding, expr) {
        (None, None, Some(expr)) => Err(Wrong::at(
            expr.line,
            "expr is reserved for PromQL, which is not there yet; write the condition as sql: or finding:",
        )),
        (Some(sql), None, None) => read_sql(sql, node.get("range")),
        (None, Some(finding), None) => read_finding(finding),
        (None, None, None) => Err(Wrong::at(node.line, "a rule needs a condition: sql or finding")),
        _ => Err(Wrong::at(node.line, "a rule has exactly one condition: sql or finding or expr")),
    }
}

fn read_sql(node: &Node, range: Option<&Node>) -> Result<Condition, Wrong> {
    let text = node.text()?.to_owned();
    let range_nanos = range.map(read_duration).transpose()?.unwrap_or(RANGE_NANOS);
    if !(1..=RANGE_NANOS_MAX).contains(&range_nanos) {
        return Err(Wrong::at(range.map_or(node.line, |range| range.line), "range is more than 0 and at most 31d"));
    }
    let sql = Sql { text, line: node.line, range_nanos };
    read_only::parse(&sql.text).map_err(|error| sql.wrong(&error))?;
    Ok(Condition::Sql(sql))
}

impl Sql {
    /// An error of the query room at the line of the file.
    pub(crate) fn wrong(&self, error: &crate::Error) -> Wrong {
        let position = match error {
            crate::Error::Invalid { position, .. } => position.unwrap_or(0),
            _ => 0,
        };
        let before = self.text.get(..position).unwrap_or_default();
        Wrong::at(self.line + before.matches('\n').count(), error.to_string())
    }
}

fn read_finding(node: &Node) -> Result<Condition, Wrong> {
    const FIELDS: &[&str] = &["id", "service", "op", "queue", "at_least", "within", "by"];
    let is_short = matches!(node.value, Value::Text { .. });
    let id = if is_short {
        node
    } else {
        node.only(FIELDS, "finding")?;
        node.get("id").ok_or_else(|| Wrong::at(node.line, "finding needs an id such as poison_message"))?
    };
    let text = id.text()?;
    let id = FindingName::ALL.iter().copied().find(|name| name.as_str() == text).ok_or_else(|| {
        let names: Vec<&str> = FindingName::ALL.iter().map(|name| name.as_str()).collect();
        let meant = nearest(text, names.iter().copied()).map(|name| format!("; did you mean {name}?"));
        let detail =
            format!("there is no finding {text:?}{} (findings: {})", meant.unwrap_or_default(), names.join(", "));
        Wrong::at(id.line, detail)
    })?;
    let filter = |name: &str| {
        let text = node.get(name).map(Node::text).transpose()?;
        Ok::<_, Wrong>(text.filter(|text| !text.is_empty()).map(str::to_owned))
    };
    let at_least = node.get("at_least").map(Node::count).transpose()?.unwrap_or(1).max(1);
    let within_nanos = node.get("within").map(read_duration).transpose()?.unwrap_or(RANGE_NANOS);
    if !(1..=RANGE_NANOS_MAX).contains(&within_nanos) {
        return Err(Wrong::at(
            node.get("within").map_or(node.line, |field| field.line),
            "within is more than 0 and at most 31d",
        ));
    }
    let by = match node.get("by") {
        None => vec![By::Service],
        Some(field) => {
            let one = |node: &Node| match node.text()? {
                "service" => Ok(By::Service),
                "op" => Ok(By::Op),
                other => Err(Wrong::at(node.line, format!("by takes service and op, not {other:?}"))),
            };
            field.list()?.iter().map(one).collect::<Result<Vec<_>, _>>()?
        }
    };
    let (service, op, queue) = (filter("service")?, filter("op")?, filter("queue")?);
    Ok(Condition::Finding(Finding { id, service, op, queue, at_least, within_nanos, by }))
}

fn read_duration(node: &Node) -> Result<i64, Wrong> {
    duration::parse(node.text()?).map_err(|detail| Wrong::at(node.line, detail))
}

fn read_labels(node: &Node) -> Result<BTreeMap<String, Text>, Wrong> {
    for (name, _) in node.map()? {
        let text = name.text()?;
        if let Some(detail) = refuse_label(text) {
            return Err(Wrong::at(name.line, detail));
        }
    }
    read_texts(node, "label")
}

/// Why a name cannot be a label's; `None` when it can.
pub(crate) fn refuse_label(name: &str) -> Option<String> {
    if !is_label_name(name) {
        return Some(format!("{name:?} is no name of a label: letters, digits and _, not a digit first"));
    }
    if name == "__name__" || name == "alertname" {
        return Some(format!("the label {name} is set by the rule's own name"));
    }
    IDS.contains(&name).then(|| format!("{name} differs in every request: put it into annotations, not into labels"))
}

fn read_texts(node: &Node, what: &str) -> Result<BTreeMap<String, Text>, Wrong> {
    let mut texts = BTreeMap::new();
    for (name, value) in node.map()? {
        let key = name.text()?.to_owned();
        if !is_label_name(&key) {
            return Err(Wrong::at(name.line, format!("{key:?} is no name of a {what}: letters, digits and _")));
        }
        let raw = value.text()?.to_owned();
        let template =
            Template::parse(&raw).map_err(|detail| Wrong::at(value.line, format!("{what} {key}: {detail}")))?;
        texts.insert(key, Text { raw, template });
    }
    Ok(texts)
}

pub(crate) fn is_label_name(name: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.len() <= 256 && name.starts_with(is_first) && name.chars().all(|c| is_first(c) || c.is_ascii_digit())
}

fn is_metric_name(name: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    name.starts_with(is_first) && name.chars().all(|c| is_first(c) || c.is_ascii_digit())
}

#[cfg(test)]
mod tests;
