//! Pages of traces, found through their matching spans.
//!
//! **Newest** is exact: traces stand by their earliest start. Matching spans are read from the newest on. When
//! all that start after a moment `x` were read, a trace not found yet has its matching spans before `x` and
//! therefore started before `x`: the found traces that started after `x` are final. A page ends with the moment
//! from which the next one has to read again.
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
use datafusion::prelude::{ident, lit};
use model::{TimeRange, TraceId, UnixNanos};
use storage::table::SPANS;

use super::summary::Summaries;
use super::{Page, Question, Sort, moment};
use crate::engine::session::{Cost, Session};
use crate::error::Result;
use crate::rows::{Bytes, Ints};
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

/// # Errors
/// What went wrong while reading.
pub(super) async fn page(session: &Session, question: &Question) -> Result<Page> {
    match question.sort {
        Sort::Newest => newest(session, question).await,
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

/// Spans to read in a round: at 20 traces a page 100, 300, ... 72,900.
fn round_spans(question: &Question, round: u32) -> usize {
    (question.limit.max(20) * ROUND_SPANS).saturating_mul(ROUND_GROWTH.pow(round))
}

async fn newest(session: &Session, question: &Question) -> Result<Page> {
    let (mut found, mut summaries, mut cost) = (Found::default(), Summaries::default(), Cost::default());
    let mut upper = question.cursor.as_ref().map_or(question.scope.range.end.0, |cursor| cursor.resume);
    let mut is_exhausted = false;
    // Traces after the cursor, in the order of the list, and how many of them are final.
    let (mut order, mut n_final): (Vec<(i64, TraceId)>, usize) = (Vec::new(), 0);
    for round in 0..ROUNDS_MAX {
        let n = round_spans(question, round);
        let mut frame = question.matching(session)?.filter(ident("start_time").lt_eq(moment(upper)))?;
        if !found.value_of.is_empty() {
            frame = frame.filter(ident("trace_id").in_list(found.ids(), true))?;
        }
        let frame = frame
            .select(vec![ident("trace_id"), ident("start_time")])?
            .sort(vec![ident("start_time").sort(false, false), ident("trace_id").sort(true, false)])?
            .limit(0, Some(n))?;
        let collected = session.collect(frame, n as u64).await?;
        cost += collected.cost;
        let (fresh, n_rows, last) = found.take(&collected.batches, "start_time");
        cost += summarize(session, question.scope.range, &fresh, &mut summaries).await?;
        is_exhausted = n_rows < n;
        upper = last.unwrap_or(upper);

        let starts = found.value_of.keys().filter_map(|id| Some((summaries.get(*id)?.start, *id)));
        let is_after = |(start, id): &(i64, TraceId)| {
            question
                .cursor
                .as_ref()
                .is_none_or(|cursor| *start < cursor.start || (*start == cursor.start && *id > cursor.trace_id))
        };
        order = starts.filter(is_after).collect();
        order.sort_by_key(|(start, id)| (std::cmp::Reverse(*start), *id));
        n_final = if is_exhausted { order.len() } else { order.iter().filter(|(start, _)| *start > upper).count() };
        if is_exhausted || n_final > question.limit || found.is_full() {
            break;
        }
    }
    let cut = (n_final <= question.limit && !is_exhausted).then(|| {
        format!(
            "only the newest {} matching traces were looked at; narrow the time range or add conditions",
            found.value_of.len()
        )
    });
    // When the search was cut, traces that are not final are still better than nothing.
    let n_shown = if cut.is_some() && n_final == 0 { order.len() } else { n_final }.min(question.limit);
    let (shown, pending) = order.split_at(n_shown);
    let has_more = !pending.is_empty() || !is_exhausted;
    let next = shown.last().filter(|_| has_more).map(|(start, id)| {
        let mut cursor = question.cursor_at(*start, *id);
        let newest_pending = pending.iter().filter_map(|(_, id)| found.value_of.get(id)).copied().max();
        cursor.resume = newest_pending.map_or(upper, |newest| newest.max(upper));
        cursor
    });
    let items = items(&summaries, shown.iter().map(|(_, id)| *id));
    Ok(Page { items, next, cost, cut })
}

async fn slowest(session: &Session, question: &Question) -> Result<Page> {
    let (mut found, mut earlier, mut cost) = (Found::default(), HashSet::new(), Cost::default());
    let mut upper = question.cursor.as_ref().map_or(i64::MAX, |cursor| cursor.duration);
    let mut is_exhausted = false;
    let mut order: Vec<(i64, TraceId)> = Vec::new();
    for round in 0..ROUNDS_MAX {
        let n = round_spans(question, round);
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
        is_exhausted = n_rows < n;
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
        if is_exhausted || n_final > question.limit || found.is_full() {
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

fn items(summaries: &Summaries, ids: impl Iterator<Item = TraceId>) -> Vec<SearchItem> {
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

/// Sums up the spans of the traces, those around the range included.
async fn summarize(session: &Session, range: TimeRange, ids: &[TraceId], summaries: &mut Summaries) -> Result<Cost> {
    if ids.is_empty() {
        return Ok(Cost::default());
    }
    let list = ids.iter().map(|id| literal(id.as_bytes())).collect();
    let mut frame = session.table(&SPANS)?;
    if range != TimeRange::ALL {
        frame = frame.filter(ident("start_time").gt_eq(moment((range.start - AROUND_NANOS).0)))?;
        frame = frame.filter(ident("start_time").lt(moment((range.end + AROUND_NANOS).0)))?;
    }
    let frame = frame.filter(ident("trace_id").in_list(list, false))?.select(row::columns())?;
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
