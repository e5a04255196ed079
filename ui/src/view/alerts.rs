//! Alerts as the page lists them: rules with what became of them.
//!
//! | file          | knows                                                     |
//! |---------------|-----------------------------------------------------------|
//! | `day.rs`      | the last day of a rule in cells, unknown ones among them  |
//! | `matchers.rs` | which alerts a silence holds back, as text and back       |
//! | `draft.rs`    | rules as text: blank, from a statement                    |

pub(crate) mod day;
pub(crate) mod draft;
pub(crate) mod matchers;

use std::collections::{BTreeMap, HashMap};

use api::{AlertAnswer, AlertRuleAnswer, AlertTransition, AlertsAnswer};

use crate::client::Fires;

/// What fires and is told, in the order of the answer.
pub(crate) fn firing(answer: &AlertsAnswer) -> Vec<Fires> {
    let told = answer.alerts.iter().filter(|alert| alert.state == "firing" && !alert.silenced);
    told.map(|alert| Fires {
        labels: alert.labels.clone(),
        annotations: alert.annotations.clone(),
        state: alert.state.clone(),
        value: alert.value,
        fired_unix_nano: alert.fired_unix_nano.clone(),
        silenced: alert.silenced,
    })
    .collect()
}

/// How a rule stands, the most urgent first: what it finds, and whether it can look at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum State {
    /// At least one alert fires and is told.
    Firing,
    /// The condition holds, but not long enough.
    Pending,
    /// It cannot be evaluated.
    Failing,
    /// It would fire, but silences hold all of it back.
    Muted,
    /// Not evaluated yet.
    Unknown,
    /// Evaluated, and nothing found.
    Ok,
}

impl State {
    /// All, with their names in the URL and words on the page.
    pub(crate) const ALL: [(Self, &str, &str); 6] = [
        (Self::Firing, "firing", "Firing"),
        (Self::Pending, "pending", "Pending"),
        (Self::Failing, "failing", "Cannot run"),
        (Self::Muted, "muted", "Muted"),
        (Self::Unknown, "unknown", "Not yet run"),
        (Self::Ok, "ok", "Ok"),
    ];

    fn entry(self) -> (Self, &'static str, &'static str) {
        Self::ALL.into_iter().find(|(state, ..)| *state == self).unwrap_or(Self::ALL[5])
    }

    /// As the URL and class names call it.
    pub(crate) fn name(self) -> &'static str {
        self.entry().1
    }

    /// The word beside its shape.
    pub(crate) fn word(self) -> &'static str {
        self.entry().2
    }

    /// Class of the colour of its word.
    pub(crate) const fn tone(self) -> &'static str {
        match self {
            Self::Firing | Self::Failing => "bad",
            Self::Pending => "hot",
            Self::Muted | Self::Unknown | Self::Ok => "dim",
        }
    }
}

/// Which rule, as an alert or transition names it.
type RuleKey<'a> = (&'a str, &'a str, &'a str);

/// One rule with everything known about it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// Distinct, stays the same while the rule does; stands in the URL.
    pub(crate) key: String,
    /// As the server answers it.
    pub(crate) rule: AlertRuleAnswer,
    /// The worst of it.
    pub(crate) state: State,
    /// What is pending or firing, firing first.
    pub(crate) alerts: Vec<AlertAnswer>,
    /// Since when it stands so; `None` when nothing is wrong.
    pub(crate) since: Option<i64>,
}

impl Row {
    /// What it looks for, in a line: its summary or description as written, else the first line of its query.
    pub(crate) fn about(&self) -> String {
        let written = |name: &str| self.rule.annotations.get(name).filter(|text| !text.trim().is_empty());
        let first = || self.rule.query.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = self.alerts.first().and_then(|alert| alert.annotations.get("summary"));
        text.cloned()
            .or_else(|| written("summary").or_else(|| written("description")).map(|text| without_templates(text)))
            .unwrap_or_else(first)
    }

    /// The largest value of its alerts.
    pub(crate) fn worst(&self) -> Option<f64> {
        self.alerts.iter().map(|alert| alert.value).reduce(f64::max)
    }

    /// All words that a search may hit, in lower case.
    pub(crate) fn has(&self, text: &str) -> bool {
        let wanted = text.to_lowercase();
        let labels = self.rule.labels.iter().chain(self.alerts.iter().flat_map(|alert| &alert.labels));
        let mut all = vec![self.rule.name.to_lowercase(), self.rule.group.to_lowercase(), self.about().to_lowercase()];
        all.extend(labels.map(|(name, value)| format!("{name}={value}").to_lowercase()));
        wanted.split_whitespace().all(|word| all.iter().any(|text| text.contains(word)))
    }
}

/// A text with `…` where a template stands: nothing fills it while nothing fires.
fn without_templates(text: &str) -> String {
    let mut parts = text.split("{{");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push('…');
        plain.push_str(part.split_once("}}").map_or("", |(_, rest)| rest));
    }
    plain
}

fn rule_key(rule: &AlertRuleAnswer) -> RuleKey<'_> {
    (&rule.file, &rule.group, &rule.name)
}

/// Moments as nanoseconds; texts that are none are zero.
fn nanos(text: &str) -> i64 {
    text.parse().unwrap_or(0)
}

/// Alerting rules with their alerts, the most urgent first, then by name. Recording rules find nothing and are left out.
pub(crate) fn rows(rules: &[AlertRuleAnswer], alerts: &[AlertAnswer]) -> Vec<Row> {
    let mut of: HashMap<RuleKey<'_>, Vec<AlertAnswer>> = HashMap::new();
    for alert in alerts {
        let name = alert.labels.get("alertname").map_or("", String::as_str);
        of.entry((&alert.file, &alert.group, name)).or_default().push(alert.clone());
    }
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut rows: Vec<Row> = rules
        .iter()
        .filter(|rule| rule.kind == "alerting")
        .map(|rule| {
            let mut alerts = of.get(&rule_key(rule)).cloned().unwrap_or_default();
            alerts.sort_by(|a, b| a.state.cmp(&b.state).then_with(|| b.value.total_cmp(&a.value)));
            let is = |state: &str| alerts.iter().any(|alert| alert.state == state && !alert.silenced);
            let state = match () {
                () if is("firing") => State::Firing,
                () if rule.health == "err" => State::Failing,
                () if is("pending") => State::Pending,
                () if !alerts.is_empty() => State::Muted,
                () if rule.health == "unknown" => State::Unknown,
                () => State::Ok,
            };
            let begun = |alert: &AlertAnswer| nanos(alert.fired_unix_nano.as_ref().unwrap_or(&alert.active_unix_nano));
            let since = alerts.iter().map(begun).min();
            // Rules may share a name: the second one gets a number.
            let number = seen.entry(rule.name.as_str()).and_modify(|count| *count += 1).or_insert(1);
            let key = if *number == 1 { rule.name.clone() } else { format!("{}~{number}", rule.name) };
            Row { key, rule: rule.clone(), state, alerts, since }
        })
        .collect();
    rows.sort_by(|a, b| {
        a.state.cmp(&b.state).then_with(|| a.rule.name.cmp(&b.rule.name)).then_with(|| a.key.cmp(&b.key))
    });
    rows
}

/// True when a transition is about this rule.
pub(crate) fn is_of(row: &Row, transition: &AlertTransition) -> bool {
    let name = transition.labels.get("alertname").map_or("", String::as_str);
    rule_key(&row.rule) == (transition.file.as_str(), transition.group.as_str(), name)
}

/// The labels that tell an alert from others of its rule: all but its name and what the rule itself sets for all.
pub(crate) fn own_labels(alert: &BTreeMap<String, String>, rule: &AlertRuleAnswer) -> Vec<(String, String)> {
    let is_own =
        |name: &str, value: &str| name != "alertname" && rule.labels.get(name).map(String::as_str) != Some(value);
    alert
        .iter()
        .filter(|(name, value)| is_own(name, value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Ids of journeys that show an alert, the newest first, at most four.
pub(crate) fn examples(annotations: &BTreeMap<String, String>) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    let texts = ["trace_id", "journey_url", "example_journeys"].iter().filter_map(|name| annotations.get(*name));
    for word in texts.flat_map(|text| text.split_whitespace()) {
        let id = word.rsplit('/').next().unwrap_or_default();
        let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id && !ids.iter().any(|known| known == id) && ids.len() < 4 {
            ids.push(id.to_owned());
        }
    }
    ids
}

/// The filter of Explore that an alert's labels ask for: its service, as far as labels name one.
pub(crate) fn filter_of(labels: &BTreeMap<String, String>) -> String {
    service_of(labels).map(|name| crate::view::condition::write("service", "=", name)).unwrap_or_default()
}

/// The service that labels name.
pub(crate) fn service_of(labels: &BTreeMap<String, String>) -> Option<&str> {
    ["service", "service_name", "dst", "src"].iter().find_map(|name| {
        let value = labels.get(*name)?;
        let kind = value.split_once(':');
        match kind {
            Some(("service", name)) => Some(name),
            Some(("queue" | "db" | "external" | "cache", _)) => None,
            _ => Some(value.as_str()),
        }
    })
}

#[cfg(test)]
mod tests;
