//! Rows of a trace out of a snapshot: by the trace index where they are few, by a statement where they are many or being erased. See
//! docs/decisions/41-reads-by-id.md.

use std::collections::{BTreeSet, HashMap};

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{DataFrame, ident};
use model::{SpanId, TraceId};
use storage::table::SPANS;

use super::row::{self, SpanRow};
use super::{not_stored, span};
use crate::engine::session::{Session, TRACE_BYTES_MAX, incomplete};
use crate::error::Result;
use crate::tables::UTC;
use crate::tables::direct::Room;

/// Spans of a trace that are read without a statement at most; a statement reads more of them on all threads and may spill.
const DIRECT_SPANS_MAX: usize = 20_000;

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

/// Spans of a trace with these columns, and why others are missing.
async fn rows(
    session: &Session,
    trace_id: TraceId,
    columns: &[&'static str],
) -> Result<(Vec<arrow::array::RecordBatch>, Option<String>)> {
    let max = usize::try_from(session.config.trace_spans_max).unwrap_or(usize::MAX);
    let room = Room { rows: DIRECT_SPANS_MAX.min(max), bytes: TRACE_BYTES_MAX };
    let trace = BTreeSet::from([trace_id]);
    if let Some(batches) = session.derived.stored.rows_of(&SPANS, &trace, columns, room).await? {
        return Ok((batches, None));
    }
    by_statement(session, trace_id, columns).await
}

async fn by_statement(
    session: &Session,
    trace_id: TraceId,
    columns: &[&'static str],
) -> Result<(Vec<arrow::array::RecordBatch>, Option<String>)> {
    let columns: Vec<Expr> = columns.iter().map(|column| ident(*column)).collect();
    bounded(session, of_trace(session, trace_id)?.select(columns)?).await
}

/// # Errors
/// Not found when no span of the trace is stored.
pub(super) async fn whole(session: &Session, trace_id: TraceId) -> Result<Whole> {
    let columns: Vec<&'static str> = span::column_names().collect();
    let (batches, cut) = rows(session, trace_id, &columns).await?;
    let spans: Vec<_> = batches.iter().flat_map(span::read).collect();
    if spans.is_empty() {
        return Err(not_stored(trace_id));
    }
    Ok(Whole { spans, incomplete: incomplete(&session.snapshot, cut) })
}

/// # Errors
/// Not found when no span of the trace is stored.
pub(super) async fn light(session: &Session, trace_id: TraceId) -> Result<Light> {
    let columns: Vec<&'static str> = row::column_names().collect();
    let (batches, cut) = rows(session, trace_id, &columns).await?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::testing::{Fixture, TestSpan, span, spans_batch, tenant, trace_id};
    use model::{AttributeValue, TenantId};

    /// 40 spans of three traces: with and without columns, attributes, events and links, some sent twice, in several services.
    fn spans() -> Vec<TestSpan> {
        let text = |text: &str| AttributeValue::String(text.to_owned());
        let one = |n: u64| TestSpan {
            service: ["shop", "web", "stock"][n as usize / 3 % 3],
            columns: if n.is_multiple_of(4) { vec![("http_route", text("/a"))] } else { Vec::new() },
            attributes: if n.is_multiple_of(5) { vec![("n", AttributeValue::Int(n as i64))] } else { Vec::new() },
            events: if n.is_multiple_of(7) { vec![(n as i64, "event")] } else { Vec::new() },
            links: if n.is_multiple_of(6) { vec![(9, n + 1)] } else { Vec::new() },
            ..span(n % 3 + 1_001, n % 36 + 1_000, (n > 2).then_some(n % 3 + 1_000), "work", n as i64 % 36, 1)
        };
        (0..40).map(one).collect()
    }

    /// In segments and in the buffer: without a statement the same spans come back as with one, whole and as a list, and nothing of
    /// other traces or tenants.
    #[tokio::test]
    async fn both_ways_give_the_same_spans() {
        let fixture = Fixture::mixed(&spans()).await;
        let session = fixture.engine.session(fixture.engine.snapshot(&tenant())).expect("a session");
        let columns: Vec<&'static str> = span::column_names().collect();
        let few: Vec<&'static str> = row::column_names().collect();
        let room = Room { rows: DIRECT_SPANS_MAX, bytes: TRACE_BYTES_MAX };
        for (n, n_spans) in [(1_001, 14), (1_002, 13), (1_003, 13), (1_004, 0)] {
            let id = trace_id(n);
            let direct = async |columns: &[&'static str]| {
                let found = session.derived.stored.rows_of(&SPANS, &BTreeSet::from([id]), columns, room).await;
                found.expect("readable").expect("few, and the index can be used")
            };
            let spans = |batches: &[arrow::array::RecordBatch]| {
                let mut spans: Vec<String> =
                    batches.iter().flat_map(span::read).map(|span| format!("{span:?}")).collect();
                spans.sort_unstable();
                spans
            };
            let rows = |batches: &[arrow::array::RecordBatch]| {
                let mut rows: Vec<String> = batches.iter().flat_map(row::read).map(|row| format!("{row:?}")).collect();
                rows.sort_unstable();
                rows
            };
            let expected = by_statement(&session, id, &columns).await.expect("readable");
            assert_eq!(expected.1, None);
            assert_eq!(spans(&direct(&columns).await), spans(&expected.0), "trace {n}");
            let expected = by_statement(&session, id, &few).await.expect("readable").0;
            assert_eq!(rows(&direct(&few).await), rows(&expected), "trace {n}");
            assert_eq!(expected.iter().map(arrow::array::RecordBatch::num_rows).sum::<usize>(), n_spans);
        }
        let others = TenantId::new("others").expect("a name");
        let session = fixture.engine.session(fixture.engine.snapshot(&others)).expect("a session");
        assert!(matches!(whole(&session, trace_id(1_001)).await, Err(crate::Error::NotFound(_))));
    }

    /// A trace that is larger than an answer may be: its earliest spans, how many there are, and a reason.
    #[tokio::test]
    async fn a_trace_beyond_the_bound_is_cut() {
        let spans: Vec<TestSpan> = (0..8).map(|n| span(1_001, n + 1, None, "work", 8 - n as i64, 1)).collect();
        for trace_spans_max in [7, 8] {
            let config = Config { threads: 2, trace_spans_max, ..Config::default() };
            let fixture = Fixture::with_config(config, vec![spans_batch(&spans)]).await.flushed().await;
            let session = fixture.engine.session(fixture.engine.snapshot(&tenant())).expect("a session");
            let whole = whole(&session, trace_id(1_001)).await.expect("stored");
            let light = light(&session, trace_id(1_001)).await.expect("stored");
            let is_cut = trace_spans_max < 8;
            assert_eq!(whole.spans.len() as u64, trace_spans_max);
            assert_eq!((light.rows.len() as u64, light.total), (trace_spans_max, 8));
            assert_eq!((whole.incomplete.0, light.incomplete.0), (is_cut, is_cut), "{:?}", whole.incomplete);
            let is_latest = |start: i64| start == crate::testing::at(8 * crate::testing::MS);
            assert_eq!(whole.spans.iter().any(|span| is_latest(span.start)), !is_cut, "the earliest are shown");
        }
    }
}
