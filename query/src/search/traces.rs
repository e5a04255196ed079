//! Pages of traces, found through their matching spans.
//!
//! **Newest** is exact: see `newest.rs`.
//!
//! **Slowest** stands by the longest matching span of each trace, because the duration of a whole trace is only
//! known when all spans of the range were grouped. Inside a page, traces stand by their own duration.
//!
//! Spans outside the range by more than [`AROUND_NANOS`] are not counted in a list; the trace's own page shows
//! them.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use api::SearchItem;
use arrow::array::RecordBatch;
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{DataFrame, ident, lit};
use model::{TimeRange, TraceId, UnixNanos};
use storage::table::SPANS;

use super::summary::Summaries;
use super::{Page, Question, Sort, moment, newest};
use crate::engine::session::{Cost, Session};
use crate::error::Result;
use crate::rows::{Bytes, Ints};
use crate::tables::direct::Room;
use crate::trace::literal;
use crate::trace::row;

/// How far outside the range the spans of a found trace are looked for.
const AROUND_NANOS: i64 = 3_600 * UnixNanos::SECOND;
/// Matching spans read in the first round for each trace of the page; each further round reads three times as many, up to
/// [`TRACES_MAX`] traces. A trace has ten spans or so, of which few match, and every trace found is read whole.
const ROUND_SPANS: usize = 5;
const ROUND_GROWTH: usize = 3;
const ROUNDS_MAX: u32 = 7;
/// Traces looked at for one page.
const TRACES_MAX: usize = 2_000;
/// What the spans of a page's traces may take to be read by their ids.
const SUMMARY_ROOM: Room = Room { rows: 50_000, bytes: 32 << 20 };

/// # Errors
/// What went wrong while reading.
pub(super) async fn page(session: &Session, question: &Question) -> Result<Page> {
    match question.sort {
        Sort::Newest => newest::page(session, question).await,
        Sort::Slowest | Sort::Errors => slowest(session, question).await,
    }
}

/// Traces found so far with the order value of their first matching span.
#[derive(Debug, Default)]
struct Found {
    value_of: HashMap<TraceId, i64>,
}

impl Found {
    /// Takes the traces of a round; gives those that are new.
    fn take(&mut self, batches: &[RecordBatch], value: &str) -> (Vec<TraceId>, usize, Option<i64>) {
        let (mut fresh, mut n_rows, mut last) = (Vec::new(), 0, None);
        for batch in batches {
            let (ids, values) = (Bytes::of(batch, "trace_id"), Ints::of(batch, value));
            for row in 0..batch.num_rows() {
                n_rows += 1;
                let value = values.int(row);
                last = Some(value);
                let Some(id) = ids.get(row).and_then(TraceId::from_bytes) else { continue };
                self.value_of.entry(id).or_insert_with(|| {
                    fresh.push(id);
                    value
                });
            }
        }
        (fresh, n_rows, last)
    }

    fn is_full(&self) -> bool {
        self.value_of.len() >= TRACES_MAX
    }

    fn ids(&self) -> Vec<Expr> {
        let mut ids: Vec<&TraceId> = self.value_of.keys().collect();
        ids.sort();
        ids.into_iter().map(|id| literal(id.as_bytes())).collect()
    }
}

/// Spans to read in a round: at 20 traces a page 100, 300, ... 72,900, never more than an answer may have.
fn round_spans(question: &Question, round: u32, rows_max: u64) -> usize {
    let n = (question.limit.max(20) * ROUND_SPANS).saturating_mul(ROUND_GROWTH.pow(round));
    n.min(usize::try_from(rows_max).unwrap_or(usize::MAX))
}

async fn slowest(session: &Session, question: &Question) -> Result<Page> {
    let (mut found, mut earlier, mut cost) = (Found::default(), HashSet::new(), Cost::default());
    let mut upper = question.cursor.as_ref().map_or(i64::MAX, |cursor| cursor.duration);
    let mut is_exhausted = false;
    let mut order: Vec<(i64, TraceId)> = Vec::new();
    for round in 0..ROUNDS_MAX {
        let n = round_spans(question, round, session.config.rows_max);
        let mut frame = question.matching(session)?.filter(ident("duration_nanos").lt_eq(lit(upper)))?;
        if !found.value_of.is_empty() {
            frame = frame.filter(ident("trace_id").in_list(found.ids(), true))?;
        }
        let frame = frame
            .select(vec![ident("trace_id"), ident("duration_nanos")])?
            .sort(vec![ident("duration_nanos").sort(false, false), ident("trace_id").sort(true, false)])?
            .limit(0, Some(n))?;
        let collected = session.collect(frame, n as u64).await?;
        cost += collected.cost;
        let (fresh, n_rows, last) = found.take(&collected.batches, "duration_nanos");
        let is_cut = collected.cut.is_some();
        is_exhausted = !is_cut && n_rows < n;
        upper = last.unwrap_or(upper);
        if let Some(cursor) = &question.cursor {
            let longest = longest_matching(session, question, &fresh).await?;
            let was_shown = |id: &&TraceId| {
                let longest = longest.get(id).copied().unwrap_or(i64::MIN);
                longest > cursor.duration || (longest == cursor.duration && **id <= cursor.trace_id)
            };
            earlier.extend(fresh.iter().filter(was_shown).copied());
        }
        let fits = |(id, duration): (&TraceId, &i64)| (!earlier.contains(id)).then_some((*duration, *id));
        order = found.value_of.iter().filter_map(fits).collect();
        order.sort_by_key(|(duration, id)| (std::cmp::Reverse(*duration), *id));
        // Ties with the last span read may still be missing.
        let n_final = order.iter().filter(|(duration, _)| *duration > upper).count();
        if is_exhausted || n_final > question.limit || found.is_full() || is_cut && n_rows == 0 {
            break;
        }
    }
    let has_more = order.len() > question.limit || !is_exhausted;
    let cut = (order.len() <= question.limit && !is_exhausted).then(|| {
        format!("only {} matching traces were looked at; narrow the time range or add conditions", found.value_of.len())
    });
    order.truncate(question.limit);
    let mut summaries = Summaries::default();
    let ids: Vec<TraceId> = order.iter().map(|(_, id)| *id).collect();
    cost += summarize(session, question.scope.range, &ids, &mut summaries).await?;
    let next = order.last().filter(|_| has_more).map(|(duration, id)| {
        let mut cursor = question.cursor_at(0, *id);
        cursor.duration = *duration;
        cursor
    });
    let mut ids = ids;
    ids.sort_by_key(|id| (std::cmp::Reverse(summaries.get(*id).map(super::summary::Summary::duration)), *id));
    Ok(Page { items: items(&summaries, ids.into_iter()), next, cost, cut })
}

pub(super) fn items(summaries: &Summaries, ids: impl Iterator<Item = TraceId>) -> Vec<SearchItem> {
    ids.filter_map(|id| Some(SearchItem::Trace(summaries.get(id)?.item(id)))).collect()
}

/// Traces of which only the root spans are known, in batches with all columns; each with its start.
pub(crate) fn items_of_roots(batches: &[RecordBatch]) -> Vec<(i64, SearchItem)> {
    let of_root = |row: row::SpanRow| {
        let (start, trace_id) = (row.start, row.trace_id);
        let mut summaries = Summaries::default();
        summaries.add(row);
        Some((start, SearchItem::Trace(summaries.get(trace_id)?.item(trace_id))))
    };
    batches.iter().flat_map(row::read).filter_map(of_root).collect()
}

/// The range in which spans of found traces are looked for.
pub(super) fn around(range: TimeRange) -> TimeRange {
    if range == TimeRange::ALL {
        return range;
    }
    let moved = |moment: UnixNanos, nanos: i64| UnixNanos(moment.0.saturating_add(nanos));
    TimeRange::new(moved(range.start, -AROUND_NANOS), moved(range.end, AROUND_NANOS))
}

/// All spans of some traces, those around the range included; nothing is read yet.
pub(super) fn spans_around<'a>(
    session: &Session,
    range: TimeRange,
    ids: impl Iterator<Item = &'a TraceId>,
) -> Result<DataFrame> {
    let mut frame = session.table(&SPANS)?;
    if range != TimeRange::ALL {
        let around = around(range);
        frame = frame.filter(ident("start_time").gt_eq(moment(around.start.0)))?;
        frame = frame.filter(ident("start_time").lt(moment(around.end.0)))?;
    }
    Ok(frame.filter(ident("trace_id").in_list(ids.map(|id| literal(id.as_bytes())).collect(), false))?)
}

/// Sums up the spans of the traces, those around the range included. Few are read by their ids, without a statement.
pub(super) async fn summarize(
    session: &Session,
    range: TimeRange,
    ids: &[TraceId],
    summaries: &mut Summaries,
) -> Result<Cost> {
    if ids.is_empty() {
        return Ok(Cost::default());
    }
    let (columns, wanted): (Vec<&'static str>, _) = (row::column_names().collect(), ids.iter().copied().collect());
    let stored = &session.derived.stored;
    let asked = around(range);
    if let Some(found) = stored.rows_within(&SPANS, &wanted, &columns, SUMMARY_ROOM, asked).await? {
        for row in found.batches.iter().flat_map(row::read) {
            if asked.contains(UnixNanos(row.start)) {
                summaries.add(row);
            }
        }
        return Ok(found.cost);
    }
    let frame = spans_around(session, range, ids.iter())?.select(row::columns())?;
    let plan = session.plan(frame.logical_plan()).await?;
    session
        .fold(plan, |batch| {
            row::read(&batch).into_iter().for_each(|row| summaries.add(row));
            Ok(ControlFlow::Continue(()))
        })
        .await
}

/// The longest matching span of each trace.
async fn longest_matching(session: &Session, question: &Question, ids: &[TraceId]) -> Result<HashMap<TraceId, i64>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let list = ids.iter().map(|id| literal(id.as_bytes())).collect();
    let frame = question
        .matching(session)?
        .filter(ident("trace_id").in_list(list, false))?
        .aggregate(vec![ident("trace_id")], vec![max(ident("duration_nanos")).alias("longest")])?;
    let collected = session.collect(frame, ids.len() as u64).await?;
    let mut longest = HashMap::with_capacity(ids.len());
    for batch in &collected.batches {
        let (trace_ids, values) = (Bytes::of(batch, "trace_id"), Ints::of(batch, "longest"));
        let entry = |row: usize| Some((TraceId::from_bytes(trace_ids.get(row)?)?, values.int(row)));
        longest.extend((0..batch.num_rows()).filter_map(entry));
    }
    Ok(longest)
}
