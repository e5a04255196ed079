//! Measurements that lead to a trace: the largest of each step, so that a peak can be followed.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use api::MetricExemplar;
use datafusion::prelude::{ident, lit};
use model::{SpanId, TraceId};
use storage::table::EXEMPLARS;

use super::question::{Asked, MetricQuestion};
use super::steps::Drawn;
use crate::engine::session::Session;
use crate::error::Result;
use crate::functions::json_attributes;
use crate::rows::{Bytes, Floats, Ints, Texts};
use crate::trace::moment;

const COLUMNS: [&str; 7] = ["time", "series_id", "trace_id", "span_id", "value_double", "value_int", "attributes"];

/// Exemplars of the series of an answer, by time; `n` at most, those with a trace first.
///
/// # Errors
/// What went wrong while reading.
pub(super) async fn read(
    session: &Session,
    question: &MetricQuestion,
    asked: &Asked,
    drawn: &Drawn,
    n: usize,
) -> Result<Vec<MetricExemplar>> {
    let steps = asked.steps;
    let frame = session
        .table(&EXEMPLARS)?
        .filter(ident("metric_name").eq(lit(question.name.as_str())))?
        .filter(ident("time").gt_eq(moment(steps.start)).and(ident("time").lt(moment(steps.end()))))?
        .select(COLUMNS.map(ident).to_vec())?;
    let plan = session.plan(frame.logical_plan()).await?;
    // As many as can be answered in all, whatever the steps that they lie in.
    let per_step = n.div_ceil(steps.n).max(1);
    let mut best: BTreeMap<usize, Vec<MetricExemplar>> = BTreeMap::new();
    session
        .fold(plan, |batch| {
            let ints = |name| Ints::of(&batch, name);
            let (times, series, value_int) = (ints("time"), ints("series_id"), ints("value_int"));
            let (traces, spans) = (Bytes::of(&batch, "trace_id"), Bytes::of(&batch, "span_id"));
            let (value_double, attributes) = (Floats::of(&batch, "value_double"), Texts::of(&batch, "attributes"));
            for row in 0..batch.num_rows() {
                let Some(labels) = drawn.members.get(&series.int(row)).and_then(|group| drawn.labels.get(*group))
                else {
                    continue;
                };
                let Some(step) = steps.at(times.int(row)) else { continue };
                let value = value_double.get(row).or_else(|| value_int.get(row).map(|value| value as f64));
                let trace_id = traces.get(row).and_then(TraceId::from_bytes);
                let kept = best.entry(step).or_default();
                let is_less =
                    |last: &MetricExemplar| last.trace_id.is_some() && (trace_id.is_none() || value < last.value);
                if kept.len() == per_step && kept.last().is_some_and(is_less) {
                    continue;
                }
                let attributes = json_attributes(attributes.text(row)).into_iter();
                kept.push(MetricExemplar {
                    time_unix_nano: times.int(row).to_string(),
                    value: value.filter(|value| value.is_finite()),
                    trace_id,
                    span_id: spans.get(row).and_then(SpanId::from_bytes),
                    labels: labels.clone(),
                    attributes: attributes.map(|entry| (entry.key, entry.value.to_display())).collect(),
                });
                kept.sort_by(compare);
                kept.truncate(per_step);
            }
            Ok(ControlFlow::Continue(()))
        })
        .await?;
    // The best of each step, then the second best of each.
    let mut ranked: Vec<(usize, MetricExemplar)> =
        best.into_values().flat_map(|kept| kept.into_iter().enumerate()).collect();
    ranked.sort_by(|(a, left), (b, right)| a.cmp(b).then_with(|| compare(left, right)));
    ranked.truncate(n);
    let mut exemplars: Vec<MetricExemplar> = ranked.into_iter().map(|(_, exemplar)| exemplar).collect();
    exemplars.sort_by(|a, b| time_of(a).cmp(&time_of(b)).then_with(|| compare(a, b)));
    Ok(exemplars)
}

/// Those with a trace first, then the largest; everything else only makes the order certain.
fn compare(a: &MetricExemplar, b: &MetricExemplar) -> Ordering {
    let value = |exemplar: &MetricExemplar| exemplar.value.unwrap_or(f64::NEG_INFINITY);
    let rest = |exemplar: &MetricExemplar| (time_of(exemplar), exemplar.trace_id, exemplar.span_id);
    let has_trace = b.trace_id.is_some().cmp(&a.trace_id.is_some());
    has_trace.then_with(|| value(b).total_cmp(&value(a))).then_with(|| rest(a).cmp(&rest(b)))
}

fn time_of(exemplar: &MetricExemplar) -> i64 {
    exemplar.time_unix_nano.parse().unwrap_or_default()
}
