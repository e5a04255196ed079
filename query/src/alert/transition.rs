//! Transitions of alerts as rows of the table `alerts`, and back.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, StringDictionaryBuilder,
};
use arrow::datatypes::Int32Type;
use model::{TraceId, UnixNanos};
use storage::Batch;
use storage::table::ALERTS;

use super::condition::Labels;
use super::instances::Alert;
use super::state::Standing;
use crate::engine::session::Session;
use crate::error::{Error, Result};
use crate::rows::{Bytes, Ints, Texts};

/// Where an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Inactive,
    Pending,
    Firing,
}

impl Phase {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }

    pub(crate) fn of(alert: &Alert) -> Self {
        if alert.standing.is_firing() { Self::Firing } else { Self::Pending }
    }

    fn from_word(word: &str) -> Self {
        [Self::Pending, Self::Firing].into_iter().find(|phase| phase.as_str() == word).unwrap_or(Self::Inactive)
    }
}

/// Why a row was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The condition did it.
    Condition,
    /// Nothing changed; the row before is old.
    Again,
    /// The silence that held it back has ended.
    Unsilenced,
    /// The rule is gone.
    Removed,
}

impl Reason {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Condition => "condition",
            Self::Again => "again",
            Self::Unsilenced => "unsilenced",
            Self::Removed => "removed",
        }
    }
}

/// Which rule it is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RuleKey {
    pub(crate) file: String,
    pub(crate) group: String,
    pub(crate) name: String,
}

/// One transition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Transition {
    /// 0 until it is written.
    pub(crate) seq: i64,
    pub(crate) time: UnixNanos,
    pub(crate) rule: RuleKey,
    pub(crate) before: Phase,
    pub(crate) state: Phase,
    pub(crate) reason: Reason,
    /// As it stands afterwards, or stood when it ended.
    pub(crate) alert: Alert,
    /// Targets are told.
    pub(crate) told: bool,
}

/// Hash of a label set, as Prometheus and the Alertmanager compute it: FNV-1a over names and values.
pub(crate) fn fingerprint(labels: &Labels) -> String {
    const SEPARATOR: u8 = 0xff;
    let mut sum = FNV_START;
    for (name, value) in labels {
        let bytes = name.bytes().chain([SEPARATOR]).chain(value.bytes()).chain([SEPARATOR]);
        sum = bytes.fold(sum, fnv);
    }
    format!("{sum:016x}")
}

/// FNV-1a, 64 bits.
pub(crate) fn hash(text: &str) -> u64 {
    text.bytes().fold(FNV_START, fnv)
}

const FNV_START: u64 = 14_695_981_039_346_656_037;

fn fnv(sum: u64, byte: u8) -> u64 {
    (sum ^ u64::from(byte)).wrapping_mul(1_099_511_628_211)
}

/// Rows of the table.
///
/// # Errors
/// When the columns here and those of the table differ: a bug.
pub(crate) fn batch(rows: &[Transition]) -> Result<Batch> {
    let labels = |value: &dyn Fn(&Transition) -> String| -> ArrayRef {
        let mut builder = StringDictionaryBuilder::<Int32Type>::new();
        rows.iter().for_each(|row| builder.append_value(value(row)));
        Arc::new(builder.finish())
    };
    let ints = |value: &dyn Fn(&Transition) -> Option<i64>| -> ArrayRef {
        Arc::new(rows.iter().map(value).collect::<Int64Array>())
    };
    let flags = |value: &dyn Fn(&Transition) -> bool| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(value(row))).collect::<BooleanArray>())
    };
    let json = |value: &dyn Fn(&Transition) -> String| -> ArrayRef {
        Arc::new(rows.iter().map(|row| Some(value(row))).collect::<StringArray>())
    };
    let mut traces = BinaryBuilder::new();
    rows.iter().for_each(|row| traces.append_option(row.alert.trace.as_ref().map(|id| &id.as_bytes()[..])));
    let text = |labels: &Labels| serde_json::to_string(labels).unwrap_or_default();
    let columns: Vec<(&'static str, ArrayRef)> = vec![
        ("time", ints(&|row| Some(row.time.0))),
        ("seq", ints(&|row| Some(row.seq))),
        ("alertname", labels(&|row| row.rule.name.clone())),
        ("rule_group", labels(&|row| row.rule.group.clone())),
        ("rule_file", labels(&|row| row.rule.file.clone())),
        ("fingerprint", labels(&|row| fingerprint(&row.alert.labels))),
        ("state", labels(&|row| row.state.as_str().to_owned())),
        ("before", labels(&|row| row.before.as_str().to_owned())),
        ("reason", labels(&|row| row.reason.as_str().to_owned())),
        ("value", Arc::new(rows.iter().map(|row| Some(row.alert.standing.value)).collect::<Float64Array>())),
        ("active_at", ints(&|row| Some(row.alert.standing.active_at.0))),
        ("fired_at", ints(&|row| row.alert.standing.fired_at.map(|at| at.0))),
        ("kept_since", ints(&|row| row.alert.standing.kept_since.map(|at| at.0))),
        ("silenced", flags(&|row| if row.state == Phase::Firing { !row.alert.is_told } else { row.alert.is_silenced })),
        ("told", flags(&|row| row.told)),
        ("trace", Arc::new(traces.finish())),
        ("labels", json(&|row| text(&row.alert.labels))),
        ("annotations", json(&|row| text(&row.alert.annotations))),
    ];
    let made = Batch::from_columns(&ALERTS, rows.len(), columns);
    made.map_err(|error| Error::Internal(format!("transitions do not fit their table: {error}")))
}

/// What the table knows.
#[derive(Debug, Default)]
pub(crate) struct Restored {
    /// Alerts that are pending or firing, by rule.
    pub(crate) standing: BTreeMap<RuleKey, Vec<Alert>>,
    /// The newest number.
    pub(crate) last_seq: i64,
    /// Moment of the newest row.
    pub(crate) last_time: Option<UnixNanos>,
    /// Transitions that targets are told, after a number, oldest first.
    pub(crate) told: Vec<Transition>,
}

/// Reads the table: the newest row of each alert, and what targets may not have been told yet (`after`), up to `told_max`.
///
/// # Errors
/// When stored rows cannot be read.
pub(crate) async fn restore(session: &Session, after: i64, told_max: usize) -> Result<Restored> {
    let plan = session.plan(session.table(&ALERTS)?.logical_plan()).await?;
    let (mut newest, mut told): (HashMap<(RuleKey, Labels), Transition>, BTreeMap<i64, Transition>) =
        Default::default();
    session
        .fold(plan, |batch| {
            for row in read(&batch) {
                if row.told && row.seq > after {
                    told.insert(row.seq, row.clone());
                    if told.len() > told_max {
                        told.pop_first();
                    }
                }
                let key = (row.rule.clone(), row.alert.labels.clone());
                if newest.get(&key).is_none_or(|known| known.seq < row.seq) {
                    newest.insert(key, row);
                }
            }
            Ok(std::ops::ControlFlow::Continue(()))
        })
        .await?;
    let mut restored = Restored { told: told.into_values().collect(), ..Restored::default() };
    for row in newest.into_values() {
        restored.last_seq = restored.last_seq.max(row.seq);
        restored.last_time = restored.last_time.max(Some(row.time));
        if row.state != Phase::Inactive {
            restored.standing.entry(row.rule).or_default().push(row.alert);
        }
    }
    Ok(restored)
}

/// Rows of the table as transitions.
pub(crate) fn read(batch: &RecordBatch) -> Vec<Transition> {
    let (ints, texts) = (|name| Ints::of(batch, name), |name| Texts::of(batch, name));
    let [time, seq, active, fired, kept] = ["time", "seq", "active_at", "fired_at", "kept_since"].map(ints);
    let [name, group, file, state, before] = ["alertname", "rule_group", "rule_file", "state", "before"].map(texts);
    let [reason, labels, annotations] = ["reason", "labels", "annotations"].map(texts);
    let flag = |name: &str| {
        let column =
            batch.column_by_name(name).and_then(|column| arrow::array::AsArray::as_boolean_opt(column)).cloned();
        move |row: usize| column.as_ref().is_some_and(|column| column.value(row))
    };
    let (silenced, told, trace) = (flag("silenced"), flag("told"), Bytes::of(batch, "trace"));
    let value = batch
        .column_by_name("value")
        .and_then(|column| arrow::array::AsArray::as_primitive_opt::<arrow::datatypes::Float64Type>(column).cloned());
    let moment = |ints: &Ints, row: usize| ints.get(row).map(UnixNanos);
    let object = |texts: &Texts, row: usize| serde_json::from_str::<Labels>(texts.text(row)).unwrap_or_default();
    let reasons = [Reason::Again, Reason::Unsilenced, Reason::Removed];
    let one = |row: usize| {
        let state = Phase::from_word(state.text(row));
        let standing = Standing {
            active_at: UnixNanos(active.int(row)),
            fired_at: moment(&fired, row),
            kept_since: moment(&kept, row),
            value: value.as_ref().map_or(0.0, |values| values.value(row)),
        };
        let alert = Alert {
            labels: object(&labels, row),
            annotations: object(&annotations, row),
            standing,
            trace: trace.get(row).and_then(TraceId::from_bytes),
            is_silenced: silenced(row),
            is_told: state == Phase::Firing && !silenced(row),
            written_at: UnixNanos(time.int(row)),
        };
        Transition {
            seq: seq.int(row),
            time: UnixNanos(time.int(row)),
            rule: RuleKey {
                file: file.text(row).to_owned(),
                group: group.text(row).to_owned(),
                name: name.text(row).to_owned(),
            },
            before: Phase::from_word(before.text(row)),
            state,
            reason: reasons.into_iter().find(|known| known.as_str() == reason.text(row)).unwrap_or(Reason::Condition),
            alert,
            told: told(row),
        }
    };
    (0..batch.num_rows()).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back() {
        let labels: Labels =
            [("alertname".to_owned(), "A".to_owned()), ("service".to_owned(), "shop".to_owned())].into();
        // As `prometheus/common` computes it for {alertname="A", service="shop"}: FNV-1a with 0xff between.
        assert_eq!(fingerprint(&labels).len(), 16);
        assert_eq!(fingerprint(&Labels::new()), "cbf29ce484222325");
        let row = Transition {
            seq: 7,
            time: UnixNanos(1_000),
            rule: RuleKey { file: "f".to_owned(), group: "g".to_owned(), name: "A".to_owned() },
            before: Phase::Pending,
            state: Phase::Firing,
            reason: Reason::Condition,
            alert: Alert {
                labels,
                annotations: [("summary".to_owned(), "a \"b\"".to_owned())].into(),
                standing: Standing {
                    active_at: UnixNanos(5),
                    fired_at: Some(UnixNanos(1_000)),
                    kept_since: None,
                    value: 2.5,
                },
                trace: TraceId::from_hex("4bf92f3577b34da6a3ce929d0e0e4736"),
                is_silenced: false,
                is_told: true,
                written_at: UnixNanos(1_000),
            },
            told: true,
        };
        let made = batch(std::slice::from_ref(&row)).expect("it fits the table");
        assert_eq!(read(made.records()), [row]);
    }
}
