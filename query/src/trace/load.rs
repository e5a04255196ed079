//! Rows of a trace out of a snapshot.

use std::collections::{BTreeSet, HashMap};

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{DataFrame, ident};
use model::{SpanId, TraceId};
use storage::table::SPANS;

use super::row::{self, SpanRow};
use super::{not_stored, span};
use crate::engine::session::{Session, incomplete};
use crate::error::Result;
use crate::tables::UTC;

/// Spans of a trace with all their columns; never empty.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) spans: Vec<span::Span>,
    pub(super) incomplete: (bool, Option<String>),
}

/// Spans of a trace with the columns of a list; never empty.
#[derive(Debug)]
pub(super) struct Light {
    /// By start, then id. Spans that were sent twice stand once.
    pub(super) rows: Vec<SpanRow>,
    /// Ids that stand more than once, with different content.
    pub(super) twice: BTreeSet<SpanId>,
    /// Spans stored.
    pub(super) total: u64,
    pub(super) incomplete: (bool, Option<String>),
}

/// An id as a literal.
pub(crate) fn literal(bytes: &[u8]) -> Expr {
    Expr::Literal(ScalarValue::Binary(Some(bytes.to_vec())), None)
}

/// A moment as a literal.
pub(crate) fn moment(nanos: i64) -> Expr {
    Expr::Literal(ScalarValue::TimestampNanosecond(Some(nanos), Some(UTC.into())), None)
}

fn of_trace(session: &Session, trace_id: TraceId) -> Result<DataFrame> {
    Ok(session.table(&SPANS)?.filter(ident("trace_id").eq(literal(trace_id.as_bytes())))?)
}

/// The earliest spans up to the limit, and why others are missing.
async fn bounded(session: &Session, frame: DataFrame) -> Result<(Vec<arrow::array::RecordBatch>, Option<String>)> {
    let max = session.config.trace_spans_max;
    let collected = session.collect_trace(frame.clone(), max).await?;
    if collected.cut.is_none() {
        return Ok((collected.batches, None));
    }
    // Larger than the limit: the earliest spans are the useful ones. Sorting spills when it has to.
    let limit = usize::try_from(max).unwrap_or(usize::MAX);
    let earliest = frame.sort(vec![ident("start_time").sort(true, false), ident("span_id").sort(true, false)])?;
    let collected = session.collect_trace(earliest.limit(0, Some(limit))?, max).await?;
    Ok((
        collected.batches,
        Some(format!("the trace is larger than one answer may be; the earliest spans are shown, at most {max}")),
    ))
}

/// # Errors
/// Not found when no span of the trace is stored.
pub(super) async fn whole(session: &Session, trace_id: TraceId) -> Result<Whole> {
    let frame = of_trace(session, trace_id)?.select(span::columns())?;
    let (batches, cut) = bounded(session, frame).await?;
    let spans: Vec<_> = batches.iter().flat_map(span::read).collect();
    if spans.is_empty() {
        return Err(not_stored(trace_id));
    }
    Ok(Whole { spans, incomplete: incomplete(&session.snapshot, cut) })
}

/// # Errors
/// Not found when no span of the trace is stored.
pub(super) async fn light(session: &Session, trace_id: TraceId) -> Result<Light> {
    let frame = of_trace(session, trace_id)?.select(row::columns())?;
    let (batches, cut) = bounded(session, frame).await?;
    let mut rows: Vec<SpanRow> = batches.iter().flat_map(row::read).collect();
    if rows.is_empty() {
        return Err(not_stored(trace_id));
    }
    rows.sort_by_key(|row| (row.start, row.span_id));

    let mut counts: HashMap<SpanId, usize> = HashMap::with_capacity(rows.len());
    for row in &rows {
        *counts.entry(row.span_id).or_default() += 1;
    }
    let repeated: Vec<SpanId> = counts.into_iter().filter(|(_, n)| *n > 1).map(|(id, _)| id).collect();
    let twice =
        if repeated.is_empty() { BTreeSet::new() } else { collapse(session, trace_id, &repeated, &mut rows).await? };

    let total = match cut {
        None => rows.len() as u64,
        Some(_) => {
            let count = of_trace(session, trace_id)?.count().await?;
            count as u64
        }
    };
    Ok(Light { rows, twice, total, incomplete: incomplete(&session.snapshot, cut) })
}

/// Leaves one row per different content of the repeated ids; gives the ids that still stand more than once.
///
/// Two rows may differ in columns that a list does not show, so the whole spans are compared.
async fn collapse(
    session: &Session,
    trace_id: TraceId,
    repeated: &[SpanId],
    rows: &mut Vec<SpanRow>,
) -> Result<BTreeSet<SpanId>> {
    let ids = repeated.iter().map(|id| literal(id.as_bytes())).collect();
    let frame = of_trace(session, trace_id)?.filter(ident("span_id").in_list(ids, false))?.select(span::columns())?;
    let (batches, _) = bounded(session, frame).await?;
    let distinct = span::distinct(batches.iter().flat_map(span::read).collect());

    // Per id and start: how many rows of this kind may stay.
    let mut left: HashMap<(SpanId, i64, i64), usize> = HashMap::new();
    for span in &distinct {
        *left.entry((span.span_id, span.start, span.duration)).or_default() += 1;
    }
    let repeated: BTreeSet<SpanId> = repeated.iter().copied().collect();
    rows.retain(|row| {
        if !repeated.contains(&row.span_id) {
            return true;
        }
        match left.get_mut(&(row.span_id, row.start, row.duration)) {
            Some(n) if *n > 0 => {
                *n -= 1;
                true
            }
            _ => false,
        }
    });
    Ok(distinct.into_iter().filter(|span| span.same_id > 0).map(|span| span.span_id).collect())
}
