//! Settings of the query room: plain values with a unit and both directions of the trade.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::analysis::Options;
use crate::analysis::thresholds::Thresholds;

/// Settings of the query room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Threads that run query plans; 0 takes one per core. They are not the threads of ingest and health,
    /// so a heavy query makes other queries slower and nothing else.
    pub threads: usize,
    /// Memory of all running queries together, in bytes. A query that needs more spills or is ended.
    pub memory_bytes_max: u64,
    /// Bytes that running queries may write to temporary files. 0: never spill.
    pub spill_bytes_max: u64,
    /// Footers and page indexes of segments kept in memory, in bytes.
    /// Larger: fewer reads before the first row; those of a million spans take about 3 MiB.
    pub metadata_cache_bytes: u64,
    /// Rows of an answer; what is beyond is left out and the answer says so.
    pub rows_max: u64,
    /// Bytes of an answer, as columns in memory.
    pub result_bytes_max: u64,
    /// A query is ended after this time, in seconds.
    pub seconds_max: u64,
    /// Queries that run at the same time; others wait.
    pub concurrent_max: usize,
    /// Queries that may wait for a place; others are told to come back.
    pub waiting_max: usize,
    /// Spans of one trace that are put together; what is beyond is left out and the answer says so.
    pub trace_spans_max: u64,
    /// Write settled journeys, calls, hops, findings and sums per minute to tables of their own, in the background, on
    /// one thread. Without it, every question about them analyses raw spans, within bounds.
    pub digest: bool,
    /// A trace settles so long after its last span, in seconds. Less: it is at rest sooner, and more of them are written
    /// again because a span came later.
    pub digest_settle_seconds: u64,
    /// Memory for traces that have not settled, in bytes. With less than they need, traces are analysed before they
    /// have settled and again when more of their spans come.
    pub digest_memory_bytes_max: u64,
    /// Evaluate alert rules, the built-in ones about this collector too.
    pub alerts: bool,
    /// Rule files; `*` in the last part of a path stands for any letters. Read again when they change.
    pub alert_rule_files: Vec<String>,
    /// Alertmanagers that are told, by their URLs; all of them are.
    pub alert_managers: Vec<String>,
    /// URLs that are told as webhooks, with the body of Alertmanager's (version 4).
    pub alert_webhooks: Vec<String>,
    /// Hosts, addresses and blocks such as `10.0.0.0/8` that may be told although they lie inside: loopback, private,
    /// link-local and the like are refused otherwise, so that nobody reaches them through this collector.
    pub alert_private_targets: Vec<String>,
    /// Where people reach this collector: links in notifications begin with it.
    pub alert_external_url: String,
    /// How often rules are evaluated that do not say, in seconds.
    pub alert_interval_seconds: u64,
    /// How far behind the moment of an evaluation its rows end, in seconds, so that late ones count. Larger: fewer
    /// alerts on half of the data, and later ones.
    pub alert_offset_seconds: u64,
    /// Rules that are evaluated at the same time; half as many more that take longer than a second.
    pub alert_concurrent_max: usize,
    /// How often Alertmanagers are told what fires, in seconds: they forget what they do not hear of.
    pub alert_resend_seconds: u64,
    /// How often webhooks are told what still fires, in seconds.
    pub alert_repeat_seconds: u64,
    /// JMS brokers that are really another product, as ADDRESS=activemq or ADDRESS=ibmmq, with the address as spans
    /// name it: the Java agent says jms whatever the broker.
    pub jms_brokers: Vec<String>,
    /// When something found in a journey is worth telling.
    pub findings: Thresholds,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            threads: 0,
            memory_bytes_max: 2 << 30,
            spill_bytes_max: 4 << 30,
            metadata_cache_bytes: 256 << 20,
            rows_max: 100_000,
            result_bytes_max: 64 << 20,
            seconds_max: 30,
            concurrent_max: 8,
            waiting_max: 64,
            trace_spans_max: 100_000,
            digest: true,
            digest_settle_seconds: 30,
            digest_memory_bytes_max: 128 << 20,
            alerts: true,
            alert_rule_files: Vec::new(),
            alert_managers: Vec::new(),
            alert_webhooks: Vec::new(),
            alert_private_targets: Vec::new(),
            alert_external_url: "http://127.0.0.1:4319".to_owned(),
            alert_interval_seconds: 60,
            alert_offset_seconds: 15,
            alert_concurrent_max: 4,
            alert_resend_seconds: 60,
            alert_repeat_seconds: 14_400,
            jms_brokers: Vec::new(),
            findings: Thresholds::default(),
        }
    }
}

impl Config {
    /// What the operator knows and spans do not say.
    pub(crate) fn options(&self) -> Options {
        let brokers = self.jms_brokers.iter().filter_map(|entry| entry.rsplit_once('='));
        let jms_brokers: BTreeMap<String, String> =
            brokers.map(|(address, system)| (address.trim().to_owned(), system.trim().to_owned())).collect();
        Options { jms_brokers, ..Options::default() }
    }

    /// Names the first setting that cannot work.
    ///
    /// # Errors
    /// One sentence for the person who wrote the configuration.
    pub fn validate(&self) -> Result<(), String> {
        let positive = [
            ("memory_bytes_max", self.memory_bytes_max),
            ("rows_max", self.rows_max),
            ("result_bytes_max", self.result_bytes_max),
            ("seconds_max", self.seconds_max),
            ("concurrent_max", self.concurrent_max as u64),
            ("trace_spans_max", self.trace_spans_max),
            ("digest_settle_seconds", self.digest_settle_seconds),
            ("digest_memory_bytes_max", self.digest_memory_bytes_max),
            ("alert_interval_seconds", self.alert_interval_seconds),
            ("alert_concurrent_max", self.alert_concurrent_max as u64),
            ("alert_resend_seconds", self.alert_resend_seconds),
            ("alert_repeat_seconds", self.alert_repeat_seconds),
        ];
        match positive.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(format!("query.{name} must be greater than 0")),
            None if self.memory_bytes_max < 64 << 20 => {
                Err("query.memory_bytes_max must be at least 67108864 (64 MiB): planning and scanning need that much"
                    .to_owned())
            }
            None => self.validate_findings().and_then(|()| crate::alert::validate(self)),
        }
    }
}

impl Config {
    fn validate_findings(&self) -> Result<(), String> {
        let is_broker = |entry: &&String| {
            let (address, system) = entry.rsplit_once('=').unwrap_or_default();
            !address.trim().is_empty() && matches!(system.trim(), "activemq" | "ibmmq")
        };
        if let Some(wrong) = self.jms_brokers.iter().find(|entry| !is_broker(entry)) {
            return Err(format!(
                "query.jms_brokers lists ADDRESS=activemq or ADDRESS=ibmmq, such as broker.example=activemq, not {wrong}"
            ));
        }
        let numbers = serde_json::to_value(&self.findings).unwrap_or_default();
        let is_wrong = |(_, value): &(&String, &serde_json::Value)| value.as_f64().is_none_or(|value| value < 0.0);
        match numbers.as_object().into_iter().flatten().find(is_wrong) {
            Some((name, _)) => Err(format!("query.findings.{name} must not be negative")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_zeros_are_named() {
        assert_eq!(Config::default().validate(), Ok(()));
        let broken = Config { rows_max: 0, ..Config::default() };
        assert_eq!(broken.validate(), Err("query.rows_max must be greater than 0".to_owned()));
        let negative = Thresholds { queue_lag_nanos: -1, ..Thresholds::default() };
        let broken = Config { findings: negative, ..Config::default() };
        assert_eq!(broken.validate(), Err("query.findings.queue_lag_nanos must not be negative".to_owned()));
        let broken = Config { jms_brokers: vec!["broker.example".to_owned()], ..Config::default() };
        assert!(broken.validate().is_err_and(|error| error.contains("ADDRESS=activemq")));
        let known = Config { jms_brokers: vec!["tcp://b:61616 = activemq".to_owned()], ..Config::default() };
        assert_eq!(known.validate(), Ok(()));
        assert_eq!(known.options().jms_brokers["tcp://b:61616"], "activemq");
    }
}
