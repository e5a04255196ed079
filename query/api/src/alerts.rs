//! Alert rules, silences and what became of alerts: `/api/alert-rules`, `/api/silences`, `/api/alerts`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Every rule in force, with how it fares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AlertRulesAnswer {
    /// By file, group and place.
    pub rules: Vec<AlertRuleAnswer>,
    /// Rule files that cannot be used at the moment, with the reason; the rules they had before stay in force.
    pub broken_files: BTreeMap<String, String>,
}

/// One rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AlertRuleAnswer {
    /// Name under which the API keeps it; `None` for rules from files and built-in ones.
    pub id: Option<String>,
    /// Its `alert` or `record`.
    pub name: String,
    /// File it stands in; `api` or `built-in`.
    pub file: String,
    /// Its group.
    pub group: String,
    /// `alerting` or `recording`.
    pub kind: String,
    /// The condition as text.
    pub query: String,
    /// The rule as YAML: as it was written when the API keeps it, else written anew from the file's. `None` for the
    /// collector's own rules, whose condition nobody else can ask.
    pub text: Option<String>,
    /// `inactive`, `pending` or `firing`: the worst of its alerts.
    pub state: String,
    /// `ok`, `err` or `unknown`.
    pub health: String,
    /// Why its health is `err`.
    pub last_error: Option<String>,
    /// Seconds between evaluations.
    pub interval_seconds: f64,
    /// Seconds that its condition must hold until it fires.
    #[serde(default)]
    pub for_seconds: f64,
    /// Seconds that it keeps firing after its condition ended.
    #[serde(default)]
    pub keep_firing_seconds: f64,
    /// Labels as they were written, templates among them; those of its group too.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Annotations as they were written.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Moment of the newest evaluation.
    pub last_evaluation_unix_nano: Option<String>,
    /// Seconds that the newest evaluation took.
    pub evaluation_seconds: f64,
    /// Evaluations left out since the start: the one before had not ended, or the process was busy or stopped.
    pub missed: u64,
    /// Alerts that are pending or firing.
    pub alerts: u64,
}

/// A rule that was kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertRuleKept {
    /// Its name in the API.
    pub id: String,
    /// As it is kept.
    pub text: String,
}

/// `POST /api/alert-rules/preview`: what a rule would have done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreviewRequest {
    /// The rule, as YAML or JSON text.
    pub rule: String,
    /// Begin of the range; an hour ago by default.
    #[serde(default)]
    pub from: Option<String>,
    /// End of the range; now by default.
    #[serde(default)]
    pub to: Option<String>,
}

/// What a rule would have done in a range.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PreviewAnswer {
    /// Evaluations made.
    pub evaluations: u64,
    /// Seconds between them; longer than the rule's interval when the range is wide.
    pub step_seconds: f64,
    /// Times an alert would have begun to fire.
    pub fired: u64,
    /// Alerts that would have fired, oldest first, at most 1,000.
    pub alerts: Vec<PreviewAlert>,
    /// Why the answer is not the whole one.
    pub incomplete_reason: Option<String>,
}

/// One alert that would have fired.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PreviewAlert {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations when it began to fire.
    pub annotations: BTreeMap<String, String>,
    /// The value when it began to fire.
    pub value: f64,
    /// Since when.
    pub fired_unix_nano: String,
    /// Until when; `None` when it would still fire at the end.
    pub resolved_unix_nano: Option<String>,
}

/// Rules that the server proposes from data seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposedRulesAnswer {
    /// Most useful first.
    pub rules: Vec<ProposedRule>,
}

/// One proposal. `PUT /api/alert-rules/{id}` with `rule` accepts it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProposedRule {
    /// Name for it.
    pub id: String,
    /// One sentence: what it watches.
    pub title: String,
    /// One sentence: what was seen that makes it worth having.
    pub why: String,
    /// The rule as YAML.
    pub rule: String,
}

/// A silence that is asked for; the form of Alertmanager's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SilenceRequest {
    /// All must hold.
    pub matchers: Vec<SilenceMatcher>,
    /// When it begins; now by default.
    #[serde(default)]
    pub starts_at: Option<String>,
    /// When it ends.
    #[serde(default)]
    pub ends_at: Option<String>,
    /// Who asked.
    #[serde(default)]
    pub created_by: String,
    /// Why.
    #[serde(default)]
    pub comment: String,
}

/// One condition of a silence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SilenceMatcher {
    /// Name of a label.
    pub name: String,
    /// Its value, or a pattern for the whole of it.
    pub value: String,
    /// `value` is a pattern.
    #[serde(default)]
    pub is_regex: bool,
    /// The value must be so; false: must not.
    #[serde(default = "yes")]
    pub is_equal: bool,
}

fn yes() -> bool {
    true
}

/// A silence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SilenceAnswer {
    /// Its name.
    pub id: String,
    /// `pending`, `active` or `expired`.
    pub state: String,
    /// All must hold.
    pub matchers: Vec<SilenceMatcher>,
    /// When it begins.
    pub starts_at: String,
    /// When it ends.
    pub ends_at: String,
    /// Who asked.
    pub created_by: String,
    /// Why.
    pub comment: String,
}

/// `GET /api/silences`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilencesAnswer {
    /// Newest end first.
    pub silences: Vec<SilenceAnswer>,
}

/// `GET /api/alerts`: what is pending or firing, and whether targets hear of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AlertsAnswer {
    /// Firing first, then by name and labels.
    pub alerts: Vec<AlertAnswer>,
    /// Where notifications go.
    pub targets: Vec<AlertTarget>,
    /// Transitions that wait to be stored because storage refuses them.
    pub unsaved: u64,
    /// Evaluations left out since the start.
    pub missed: u64,
    /// Times the clock jumped since the start.
    pub clock_jumps: u64,
}

/// One alert.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AlertAnswer {
    /// Its labels, `alertname` among them.
    pub labels: BTreeMap<String, String>,
    /// Texts and links.
    pub annotations: BTreeMap<String, String>,
    /// `pending` or `firing`.
    pub state: String,
    /// Newest value.
    pub value: f64,
    /// Since when its condition holds.
    pub active_unix_nano: String,
    /// Since when it fires.
    pub fired_unix_nano: Option<String>,
    /// A silence holds it back.
    pub silenced: bool,
    /// Group of its rule.
    pub group: String,
    /// File of its rule.
    pub file: String,
    /// Hash of the labels, as the Alertmanager computes it.
    pub fingerprint: String,
}

/// A target of notifications.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AlertTarget {
    /// Where, without a password.
    pub url: String,
    /// `alertmanager` or `webhook`.
    pub kind: String,
    /// Transitions that wait to be delivered.
    pub waiting: u64,
    /// Seconds that the oldest of them has waited.
    pub waiting_seconds: f64,
    /// Notifications taken since the start, repeated ones too.
    pub delivered: u64,
    /// Notifications given up since the start: refused for good, or too many waited.
    pub dropped: u64,
    /// Attempts that failed since the start.
    pub failures: u64,
    /// Why the newest attempt failed; `None` when it did not.
    pub last_error: Option<String>,
}

/// `GET /api/alerts/history`: past transitions, newest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AlertHistoryAnswer {
    /// At most 1,000.
    pub transitions: Vec<AlertTransition>,
    /// There are more in the range.
    pub incomplete: bool,
}

/// A past transition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AlertTransition {
    /// Evaluation that it belongs to.
    pub time_unix_nano: String,
    /// State before.
    pub before: String,
    /// State after.
    pub state: String,
    /// Why.
    pub reason: String,
    /// Newest value.
    pub value: f64,
    /// A silence held it back.
    pub silenced: bool,
    /// Group of its rule.
    #[serde(default)]
    pub group: String,
    /// File of its rule.
    #[serde(default)]
    pub file: String,
    /// Labels, `alertname` among them.
    pub labels: BTreeMap<String, String>,
    /// Texts and links.
    pub annotations: BTreeMap<String, String>,
}
