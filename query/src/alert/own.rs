//! The collector's own health: what built-in rules look at, and those rules.
//!
//! | rule                       | fires when                                                        |
//! |----------------------------|-------------------------------------------------------------------|
//! | `HodoscopeRefusesWrites`   | appends are refused: the disk is full or failing                  |
//! | `HodoscopeDiskLow`         | less than 1 GiB is free on the disk of the data                   |
//! | `HodoscopeRejectsTelemetry`| items were rejected since the evaluation before                   |
//! | `HodoscopeDigestBehind`    | settled journeys are at rest more than two minutes late           |
//! | `HodoscopeDigestFails`     | batches of the digest failed since the evaluation before          |
//! | `HodoscopeRulesMissed`     | evaluations of rules were left out since the evaluation before    |
//! | `HodoscopeRuleFileBroken`  | a rule file cannot be used; its rules before the change are kept  |
//! | `HodoscopeAlertsUndelivered`| a target has not taken an alert for two minutes                   |
//!
//! They need no stored data, so they also fire when nothing can be stored.

use std::collections::BTreeMap;

use super::condition::{Labels, Sample};
use super::rule::{Condition, Group, INSTANCES_MAX, Kind, Rule, Text};
use super::state::Hold;
use super::template::Template;

/// Name of the group of built-in rules, and of the file they seem to stand in.
pub(crate) const BUILT_IN: &str = "built-in";

/// Items that ingest rejected since the look before, by signal and reason.
pub(crate) const REJECTED_ITEMS: &str = "hodoscope:rejected_items";

const DISK_FREE_BYTES_MIN: u64 = 1 << 30;
const DIGEST_BEHIND_SECONDS_MAX: f64 = 120.0;
const UNDELIVERED_SECONDS_MAX: f64 = 120.0;
const MINUTE: i64 = 60_000_000_000;

/// A question about the collector's own health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Own {
    Refusing,
    DiskLow,
    Rejects,
    DigestBehind,
    DigestFails,
    RulesMissed,
    RuleFileBroken,
    Undelivered,
}

/// What the answers are made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health {
    pub(crate) status: api::StatusAnswer,
    pub(crate) missed: u64,
    /// Files that cannot be used, with the reason.
    pub(crate) broken_files: BTreeMap<String, String>,
    /// Seconds that the oldest undelivered alert of each target has waited.
    pub(crate) undelivered: BTreeMap<String, f64>,
}

struct Row {
    own: Own,
    word: &'static str,
    alert: &'static str,
    for_nanos: i64,
    keep_nanos: i64,
    severity: &'static str,
    summary: &'static str,
}

const ROWS: &[Row] = &[
    Row {
        own: Own::Refusing,
        word: "refuses_writes",
        alert: "HodoscopeRefusesWrites",
        for_nanos: 0,
        keep_nanos: MINUTE,
        severity: "critical",
        summary: "Telemetry is refused: {{ $labels.reason }}",
    },
    Row {
        own: Own::DiskLow,
        word: "disk_low",
        alert: "HodoscopeDiskLow",
        for_nanos: MINUTE,
        keep_nanos: 0,
        severity: "critical",
        summary: "{{ $value | humanize1024 }}B are free on the disk of the data; ingest stops when it is full",
    },
    Row {
        own: Own::Rejects,
        word: "rejects_telemetry",
        alert: "HodoscopeRejectsTelemetry",
        for_nanos: 0,
        keep_nanos: 10 * MINUTE,
        severity: "warning",
        summary: "{{ $value }} items of {{ $labels.signal }} were rejected lately: {{ $labels.reason }}",
    },
    Row {
        own: Own::DigestBehind,
        word: "digest_behind",
        alert: "HodoscopeDigestBehind",
        for_nanos: 5 * MINUTE,
        keep_nanos: 0,
        severity: "warning",
        summary: "Settled journeys are at rest {{ $value | humanizeDuration }} late; alerts on findings come late too",
    },
    Row {
        own: Own::DigestFails,
        word: "digest_fails",
        alert: "HodoscopeDigestFails",
        for_nanos: 0,
        keep_nanos: 10 * MINUTE,
        severity: "warning",
        summary: "{{ $value }} batches of settled journeys could not be written lately; the log says why",
    },
    Row {
        own: Own::RulesMissed,
        word: "rules_missed",
        alert: "HodoscopeRulesMissed",
        for_nanos: 0,
        keep_nanos: 10 * MINUTE,
        severity: "warning",
        summary: "{{ $value }} evaluations of rules were left out lately: they take longer than their interval",
    },
    Row {
        own: Own::RuleFileBroken,
        word: "rule_file_broken",
        alert: "HodoscopeRuleFileBroken",
        for_nanos: 0,
        keep_nanos: 0,
        severity: "warning",
        summary: "{{ $labels.file }} cannot be used: {{ $labels.reason }}",
    },
    Row {
        own: Own::Undelivered,
        word: "alerts_undelivered",
        alert: "HodoscopeAlertsUndelivered",
        for_nanos: 0,
        keep_nanos: 0,
        severity: "critical",
        summary: "{{ $labels.target }} has taken no alerts for {{ $value | humanizeDuration }}; they are kept and sent again",
    },
];

impl Own {
    fn row(self) -> &'static Row {
        ROWS.iter().find(|row| row.own == self).unwrap_or(&ROWS[0])
    }

    pub(crate) fn as_str(self) -> &'static str {
        self.row().word
    }

    /// The metric that its samples are kept as, so that rules and people can ask for them.
    pub(crate) const fn series(self) -> Option<&'static str> {
        match self {
            Self::Rejects => Some(REJECTED_ITEMS),
            _ => None,
        }
    }

    /// Samples by what changed between two looks; `before` is `None` at the first.
    pub(crate) fn ask(self, now: &Health, before: Option<&Health>) -> Vec<Sample> {
        let one = |labels: Vec<(&str, String)>, value: f64| Sample {
            labels: labels.into_iter().map(|(name, text)| (name.to_owned(), text)).collect::<Labels>(),
            value,
            ..Sample::default()
        };
        let grown = |of: fn(&Health) -> u64| {
            let more = before.map_or(0, |before| of(now).saturating_sub(of(before)));
            if more > 0 { vec![one(Vec::new(), more as f64)] } else { Vec::new() }
        };
        let (storage, digest) = (&now.status.storage, &now.status.digest);
        match self {
            Self::Refusing => storage.refusing.iter().map(|why| one(vec![("reason", why.clone())], 1.0)).collect(),
            Self::DiskLow => {
                let low = storage.disk_free_bytes.filter(|free| *free < DISK_FREE_BYTES_MIN);
                low.into_iter().map(|free| one(Vec::new(), free as f64)).collect()
            }
            Self::Rejects => {
                let Some(before) = before else { return Vec::new() };
                let known = &before.status.ingest.rejected;
                let more = now.status.ingest.rejected.iter().filter_map(|(name, n)| {
                    let more = n.saturating_sub(known.get(name).copied().unwrap_or_default());
                    let (signal, reason) = name.split_once('/').unwrap_or((name, ""));
                    let labels = vec![("signal", signal.to_owned()), ("reason", reason.to_owned())];
                    (more > 0).then(|| one(labels, more as f64))
                });
                more.collect()
            }
            Self::DigestBehind if digest.is_on && digest.behind_seconds > DIGEST_BEHIND_SECONDS_MAX => {
                vec![one(Vec::new(), digest.behind_seconds)]
            }
            Self::DigestBehind => Vec::new(),
            Self::DigestFails => grown(|health| health.status.digest.failures),
            Self::RulesMissed => grown(|health| health.missed),
            Self::RuleFileBroken => {
                let broken = now.broken_files.iter();
                broken.map(|(file, why)| one(vec![("file", file.clone()), ("reason", why.clone())], 1.0)).collect()
            }
            Self::Undelivered => {
                let late = now.undelivered.iter().filter(|(_, seconds)| **seconds > UNDELIVERED_SECONDS_MAX);
                late.map(|(target, seconds)| one(vec![("target", target.clone())], *seconds)).collect()
            }
        }
    }
}

/// The built-in rules, evaluated as often as rules are that do not say.
pub(crate) fn group() -> Group {
    let text = |raw: &str| {
        let template = Template::parse(raw).expect("built-in templates are tested");
        Text { raw: raw.to_owned(), template }
    };
    let rules = ROWS.iter().map(|row| Rule {
        line: 0,
        name: row.alert.to_owned(),
        kind: Kind::Alerting(Hold { for_nanos: row.for_nanos, keep_nanos: row.keep_nanos }),
        condition: Condition::Own(row.own),
        labels: [("severity".to_owned(), text(row.severity)), ("job".to_owned(), text("hodoscope"))]
            .into_iter()
            .collect(),
        annotations: [("summary".to_owned(), text(row.summary))].into_iter().collect(),
    });
    Group {
        name: BUILT_IN.to_owned(),
        interval_nanos: None,
        offset_nanos: Some(0),
        limit: INSTANCES_MAX,
        rules: rules.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_has_a_rule() {
        assert_eq!(group().rules.len(), ROWS.len());
        for row in ROWS {
            assert_eq!(row.own.row().word, row.word);
        }
    }

    #[test]
    fn health_is_asked() {
        let mut now = Health { missed: 7, ..Health::default() };
        let before = Health { missed: 5, ..Health::default() };
        assert_eq!(Own::RulesMissed.ask(&now, None), [], "the first look knows no growth");
        assert_eq!(Own::RulesMissed.ask(&now, Some(&before))[0].value, 2.0);
        now.status.ingest.rejected.insert("traces/too_old".to_owned(), 3);
        let rejected = Own::Rejects.ask(&now, Some(&before));
        assert_eq!((rejected[0].value, rejected[0].labels["reason"].as_str()), (3.0, "too_old"));
        now.status.storage.disk_free_bytes = Some(5);
        now.status.storage.refusing = Some("the disk is full".to_owned());
        now.undelivered.insert("http://a".to_owned(), 121.0);
        now.broken_files.insert("a.yml".to_owned(), "line 1: x".to_owned());
        for own in [Own::DiskLow, Own::Refusing, Own::Undelivered, Own::RuleFileBroken] {
            assert_eq!((own.ask(&now, Some(&before)).len(), own.ask(&before, None).len()), (1, 0), "{own:?}");
        }
    }
}
