//! Samples that rules make, as rows of `number_points`: metrics like any other. Pure.
//!
//! | series                                      | value                                              | points                                    |
//! |---------------------------------------------|----------------------------------------------------|-------------------------------------------|
//! | as `record` says                            | as the rule's condition says                       | one per evaluation                        |
//! | `ALERTS{alertname, alertstate, ...}`        | 1                                                  | at every transition, and once a minute    |
//! | `ALERTS_FOR_STATE{alertname, ...}`          | since when the alert is active, unix seconds       | as those of `ALERTS`                      |
//!
//! The last two are Prometheus'. Where an alert leaves a state, its series ends with a point that has no value and the flag "no
//! recorded value", which is what OTLP has for Prometheus' stale markers.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use model::{UnixNanos, semconv};
use serde_json::json;
use storage::Batch;
use storage::table::NUMBER_POINTS;

use super::condition::Labels;
use super::instances::Alert;
use super::transition::{Phase, Transition, hash};
use crate::error::{Error, Result};

/// Series of alerts: which state they are in.
const ALERTS: &str = "ALERTS";
/// Series of alerts: since when they are active.
const ALERTS_FOR_STATE: &str = "ALERTS_FOR_STATE";
/// Label of [`ALERTS`] that holds the state.
const STATE_LABEL: &str = "alertstate";
/// Service that the samples seem to come from.
const SERVICE: &str = "hodoscope";
/// OTLP's flag for a point without a value: the series ends.
const NO_RECORDED_VALUE: i64 = 1;

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) name: String,
    pub(crate) at: UnixNanos,
    pub(crate) labels: Labels,
    /// `None`: the series ends here.
    pub(crate) value: Option<f64>,
}

/// The series of an alert as it stands.
pub(crate) fn of_alert(alert: &Alert, at: UnixNanos) -> [Point; 2] {
    let since = alert.standing.active_at.0.div_euclid(UnixNanos::SECOND);
    [in_state(alert, Phase::of(alert), at, Some(1.0)), active_since(alert, at, Some(since as f64))]
}

/// What transitions mean for the series: the one of the state before ends, the one of the state now goes on.
pub(crate) fn of_transitions(transitions: &[Transition]) -> Vec<Point> {
    let mut points = Vec::new();
    for Transition { alert, before, state, time, .. } in transitions {
        if before != state && *before != Phase::Inactive {
            points.push(in_state(alert, *before, *time, None));
        }
        match state {
            Phase::Inactive => points.push(active_since(alert, *time, None)),
            Phase::Pending | Phase::Firing => points.extend(of_alert(alert, *time)),
        }
    }
    points
}

fn in_state(alert: &Alert, state: Phase, at: UnixNanos, value: Option<f64>) -> Point {
    let mut labels = alert.labels.clone();
    labels.insert(STATE_LABEL.to_owned(), state.as_str().to_owned());
    Point { name: ALERTS.to_owned(), at, labels, value }
}

fn active_since(alert: &Alert, at: UnixNanos, value: Option<f64>) -> Point {
    Point { name: ALERTS_FOR_STATE.to_owned(), at, labels: alert.labels.clone(), value }
}

/// Points as rows; `None` when there are none.
///
/// # Errors
/// When the columns here and those of the table differ: a bug.
pub(crate) fn rows(now: UnixNanos, points: &[Point]) -> Result<Option<Batch>> {
    if points.is_empty() {
        return Ok(None);
    }
    let n = points.len();
    let ints = |value: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![value; n])) };
    let shorts = |value: i32| -> ArrayRef { Arc::new(Int32Array::from(vec![value; n])) };
    let coded = |texts: Vec<String>| -> Result<ArrayRef> {
        let texts: ArrayRef = Arc::new(StringArray::from(texts));
        let kind = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        cast(&texts, &kind).map_err(|error| Error::Internal(error.to_string()))
    };
    let label = |text: &str| coded(vec![text.to_owned(); n]);
    let attribute = |(key, value): (&String, &String)| json!({"key": key, "value": {"stringValue": value}});
    let attributes = |point: &Point| json!(point.labels.iter().map(attribute).collect::<Vec<_>>()).to_string();
    let attributes: Vec<String> = points.iter().map(attributes).collect();
    let series = |(point, text): (&Point, &String)| hash(&format!("{}\n{text}", point.name)) as i64;
    let series = points.iter().zip(&attributes).map(series).collect::<Int64Array>();
    let flags = |point: &Point| if point.value.is_some() { 0 } else { NO_RECORDED_VALUE };
    let resource = json!({"attributes": [{"key": semconv::key::SERVICE_NAME, "value": {"stringValue": SERVICE}}]});
    let columns: Vec<(&'static str, ArrayRef)> = vec![
        ("time", Arc::new(points.iter().map(|point| point.at.0).collect::<Int64Array>())),
        ("start_time", ints(0)),
        ("arrival_time", ints(now.0)),
        ("metric_name", coded(points.iter().map(|point| point.name.clone()).collect())?),
        ("metric_unit", label("")?),
        ("metric_description", label("made by a rule")?),
        ("service_name", label(SERVICE)?),
        ("series_id", Arc::new(series)),
        ("metric_kind", shorts(1)),
        ("temporality", shorts(0)),
        ("is_monotonic", Arc::new(BooleanArray::from(vec![false; n]))),
        ("value_double", Arc::new(points.iter().map(|point| point.value).collect::<Float64Array>())),
        ("flags", Arc::new(points.iter().map(flags).collect::<Int64Array>())),
        ("attributes", coded(attributes)?),
        ("resource", coded(vec![resource.to_string(); n])?),
        ("scope_name", label("")?),
        ("scope", label("{}")?),
        ("repairs", shorts(0)),
    ];
    let made = Batch::from_columns(&NUMBER_POINTS, n, columns);
    made.map(Some).map_err(|error| Error::Internal(format!("samples do not fit their table: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::state::Standing;
    use crate::alert::transition::{Reason, RuleKey};

    fn transition(before: Phase, state: Phase, second: i64) -> Transition {
        let time = UnixNanos(second * UnixNanos::SECOND);
        let fired_at = (state == Phase::Firing || before == Phase::Firing).then_some(time);
        let standing = Standing { active_at: UnixNanos(5 * UnixNanos::SECOND), fired_at, kept_since: None, value: 7.0 };
        let alert = Alert {
            labels: [("alertname".to_owned(), "A".to_owned())].into(),
            annotations: Labels::new(),
            standing,
            trace: None,
            is_silenced: false,
            is_told: true,
            written_at: time,
        };
        let rule = RuleKey { file: "f".to_owned(), group: "g".to_owned(), name: "A".to_owned() };
        Transition { seq: 1, time, rule, before, state, reason: Reason::Condition, alert, told: true }
    }

    /// `name state value` of each point, `-` where a series ends.
    fn drawn(points: &[Point]) -> Vec<String> {
        let one = |point: &Point| {
            let state = point.labels.get(STATE_LABEL).map(String::as_str).unwrap_or_default();
            format!("{} {state} {}", point.name, point.value.map_or("-".to_owned(), |value| value.to_string()))
        };
        points.iter().map(one).collect()
    }

    #[test]
    fn series_of_alerts_are_those_of_prometheus() {
        let points = |before, state| drawn(&of_transitions(&[transition(before, state, 9)]));
        assert_eq!(points(Phase::Inactive, Phase::Pending), ["ALERTS pending 1", "ALERTS_FOR_STATE  5"]);
        assert_eq!(
            points(Phase::Pending, Phase::Firing),
            ["ALERTS pending -", "ALERTS firing 1", "ALERTS_FOR_STATE  5"]
        );
        assert_eq!(points(Phase::Firing, Phase::Inactive), ["ALERTS firing -", "ALERTS_FOR_STATE  -"]);
        assert_eq!(points(Phase::Firing, Phase::Firing), ["ALERTS firing 1", "ALERTS_FOR_STATE  5"]);
    }

    #[test]
    fn samples_are_points() {
        let one = |service: &str, value: Option<f64>| Point {
            name: "shop:errors".to_owned(),
            at: UnixNanos(5),
            labels: [("service".to_owned(), service.to_owned())].into(),
            value,
        };
        let made = rows(UnixNanos(7), &[one("a", Some(1.5)), one("b", None)]).expect("they fit");
        assert_eq!(made.map(|made| made.n_rows()), Some(2));
        assert!(rows(UnixNanos(7), &[]).expect("nothing fits").is_none());
    }
}
