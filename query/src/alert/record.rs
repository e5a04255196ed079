//! Makes transitions and recorded samples durable, then lets the targets know.
//!
//! Transitions of all rules that wait are written as one record: one sync for all. When storage refuses them (a full disk is
//! what people must hear of), targets are told all the same, and the rows are written as soon as storage takes them again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use model::{UnixNanos, semconv};
use serde_json::json;
use storage::Batch;
use storage::table::NUMBER_POINTS;

use super::condition::Labels;
use super::desk::Desk;
use super::transition::{Transition, batch, hash};
use crate::error::{Error, Result};

/// Transitions that wait for storage to take them again; beyond, the oldest are not written.
const UNSAVED_MAX: usize = 10_000;
/// Transitions of one record.
const RECORD_MAX: usize = 2_000;
/// Pause after storage refused.
const PAUSE: Duration = Duration::from_secs(2);

/// Writes what comes.
pub(crate) async fn run(desk: Arc<Desk>, mut last_seq: i64) {
    let mut queue = desk.queue.lock().await;
    let mut unsaved: VecDeque<Transition> = VecDeque::new();
    loop {
        let mut waiting = tokio::select! {
            got = queue.recv() => match got {
                Some(transitions) => transitions,
                None => return,
            },
            () = tokio::time::sleep(PAUSE), if !unsaved.is_empty() => Vec::new(),
        };
        while waiting.len() < RECORD_MAX
            && let Ok(more) = queue.try_recv()
        {
            waiting.extend(more);
        }
        for transition in &mut waiting {
            last_seq += 1;
            transition.seq = last_seq;
        }
        unsaved.extend(waiting.iter().cloned());
        while unsaved.len() > UNSAVED_MAX {
            unsaved.pop_front();
        }
        let written = write(&desk, &mut unsaved).await;
        desk.figures.unsaved.store(unsaved.len() as u64, Ordering::Relaxed);
        if let Err(error) = written {
            tracing::error!(%error, transitions = unsaved.len(), "transitions of alerts could not be stored; they are tried again");
        }
        desk.notify(&waiting);
    }
}

async fn write(desk: &Desk, unsaved: &mut VecDeque<Transition>) -> Result<()> {
    while !unsaved.is_empty() {
        let rows: Vec<Transition> = unsaved.iter().take(RECORD_MAX).cloned().collect();
        let written = desk.writer.append(&desk.tenant, vec![batch(&rows)?]).await;
        written.map_err(|error| Error::Unavailable(error.to_string()))?;
        unsaved.drain(..rows.len());
    }
    Ok(())
}

/// A sample of a recording rule.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) labels: Labels,
    pub(crate) value: f64,
}

/// Service that recorded samples seem to come from.
const SERVICE: &str = "hodoscope";

/// Samples of a recording rule as rows of `number_points`, so that they are metrics like any other.
///
/// # Errors
/// When storage does not take them.
pub(crate) async fn samples(desk: &Desk, name: &str, at: UnixNanos, samples: &[Recorded]) -> Result<()> {
    if samples.is_empty() {
        return Ok(());
    }
    let rows = rows(name, at, desk.now(), samples)?;
    let written = desk.writer.append(&desk.tenant, vec![rows]).await;
    written.map_err(|error| Error::Unavailable(error.to_string()))
}

fn rows(name: &str, at: UnixNanos, now: UnixNanos, samples: &[Recorded]) -> Result<Batch> {
    let n = samples.len();
    let ints = |value: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![value; n])) };
    let shorts = |value: i32| -> ArrayRef { Arc::new(Int32Array::from(vec![value; n])) };
    let coded = |texts: Vec<String>| -> Result<ArrayRef> {
        let texts: ArrayRef = Arc::new(StringArray::from(texts));
        let kind = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        cast(&texts, &kind).map_err(|error| Error::Internal(error.to_string()))
    };
    let label = |text: &str| coded(vec![text.to_owned(); n]);
    let attribute = |(key, value): (&String, &String)| json!({"key": key, "value": {"stringValue": value}});
    let attributes = |sample: &Recorded| json!(sample.labels.iter().map(attribute).collect::<Vec<_>>()).to_string();
    let attributes: Vec<String> = samples.iter().map(attributes).collect();
    let series = attributes.iter().map(|text| hash(&format!("{name}\n{text}")) as i64).collect::<Int64Array>();
    let resource = json!({"attributes": [{"key": semconv::key::SERVICE_NAME, "value": {"stringValue": SERVICE}}]});
    let columns: Vec<(&'static str, ArrayRef)> = vec![
        ("time", ints(at.0)),
        ("start_time", ints(0)),
        ("arrival_time", ints(now.0)),
        ("metric_name", label(name)?),
        ("metric_unit", label("")?),
        ("metric_description", label("recorded by a rule")?),
        ("service_name", label(SERVICE)?),
        ("series_id", Arc::new(series)),
        ("metric_kind", shorts(1)),
        ("temporality", shorts(0)),
        ("is_monotonic", Arc::new(BooleanArray::from(vec![false; n]))),
        ("value_double", Arc::new(samples.iter().map(|sample| Some(sample.value)).collect::<Float64Array>())),
        ("flags", ints(0)),
        ("attributes", coded(attributes)?),
        ("resource", coded(vec![resource.to_string(); n])?),
        ("scope_name", label("")?),
        ("scope", label("{}")?),
        ("repairs", shorts(0)),
    ];
    let made = Batch::from_columns(&NUMBER_POINTS, n, columns);
    made.map_err(|error| Error::Internal(format!("recorded samples do not fit their table: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_samples_are_points() {
        let one = |service: &str| Recorded { labels: [("service".to_owned(), service.to_owned())].into(), value: 1.5 };
        let rows = rows("shop:errors", UnixNanos(5), UnixNanos(7), &[one("a"), one("b")]).expect("they fit");
        assert_eq!(rows.n_rows(), 2);
    }
}
