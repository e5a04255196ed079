//! The newest traces: exact, and no more is read than decides.
//!
//! Traces stand by their earliest start, which no filter on a span can ask for. Matching spans are read from the newest on, a
//! round at a time; each names a *candidate*. A trace without a candidate yet has its matching spans before the last one
//! read (the *floor*) and so starts before it.
//!
//! ```text
//!   candidates by what is known of their start      settled, newest first        floor
//!   ───●──●●─●───●●●──●────●──●────────────────▶    ■ ■ ■ ■ | page | ■ ■          |
//!      known start is never earlier than the start: when `limit` settled ones stand before every
//!      candidate that is not settled, and before the floor, they are the page
//! ```
//!
//! Where many requests run at once, the newest spans belong to traces that began long before: of a thousand candidates
//! twenty are on the page. Passes over ids and moments of the last second, or seconds, tell what most of them are (`tighten`);
//! only those that still may be on the page are looked up by their ids, and only those on it are read whole.
//!
//! Spans of candidates are not read again: a hundred traces that go on all day are read once, and the short ones between them
//! are found by the next round.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use datafusion::functions_aggregate::expr_fn::min;
use datafusion::prelude::ident;
use hashbrown::{HashMap, HashSet};
use model::{TimeRange, TraceId, UnixNanos};
use storage::table::SPANS;

use super::summary::Summaries;
use super::traces::{around, items, summarize};
use super::{Page, Question, moment};
use crate::engine::session::{Cost, Session};
use crate::error::Result;
use crate::functions::none_of;
use crate::rows::{Bytes, Ints};
use crate::tables::direct::Room;
use crate::trace::literal;

/// Matching spans read in the first round for each trace of the page; how many times as many in each further one; and at most.
/// Two columns of them are read.
const ROUND_SPANS: usize = 100;
const ROUND_GROWTH: usize = 8;
const ROUND_SPANS_MAX: usize = 50_000;
const ROUNDS_MAX: u32 = 6;
/// Traces of which the start is looked up by their ids, for one page, and at once: twice as many each time.
const SETTLED_MAX: usize = 5_000;
const SETTLED_AT_ONCE: usize = 64;
/// What two columns of looked up traces may take.
const STARTS_ROOM: Room = Room { rows: 200_000, bytes: 16 << 20 };
/// With more candidates than this, the spans around them are passed over, from the newest on: back to so long before the
/// candidate of this rank at most. The first pass takes about so many rows, each further one four times as many. So many rows
/// are less work than looking up the first candidates; when these did not decide, so many are. No pass reads more.
const TIGHTEN_MIN: usize = 64;
const TIGHTEN_RANK: usize = 512;
const TIGHTEN_NANOS: i64 = 5 * UnixNanos::SECOND;
const TIGHTEN_ROWS_AT_ONCE: u64 = 250_000;
const TIGHTEN_GROWTH: u64 = 4;
const TIGHTEN_ROWS_FIRST: u64 = 1_500_000;
const TIGHTEN_ROWS_MAX: u64 = 5_000_000;
const TIGHTEN_PASSES_MAX: u32 = 6;
/// A pass begins at the moment that fits its rows, to this.
const TIGHTEN_NANOS_MIN: i64 = UnixNanos::SECOND / 1_000;

/// A trace with a matching span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Candidate {
    /// Start of its newest matching span.
    newest: i64,
    /// Earliest start of a span that is known.
    start: i64,
    /// No span of it starts earlier.
    is_settled: bool,
}

/// Traces found so far. Pure.
#[derive(Debug, Default)]
struct Candidates(HashMap<TraceId, Candidate>);

/// What a round brought.
#[derive(Debug, Default, PartialEq)]
struct Round {
    n_rows: usize,
    /// Start and trace of the last span.
    last: Option<(i64, TraceId)>,
}

impl Candidates {
    /// Takes the spans of a round, newest first.
    fn take(&mut self, batches: &[RecordBatch]) -> Round {
        let mut round = Round::default();
        for batch in batches {
            let (ids, starts) = (Bytes::of(batch, "trace_id"), Ints::of(batch, "start_time"));
            for row in 0..batch.num_rows() {
                round.n_rows += 1;
                let Some(trace) = ids.get(row).and_then(TraceId::from_bytes) else { continue };
                self.add(trace, starts.int(row));
                round.last = Some((starts.int(row), trace));
            }
        }
        round
    }

    fn add(&mut self, trace: TraceId, start: i64) {
        let new = Candidate { newest: start, start, is_settled: false };
        let known = self.0.entry(trace).or_insert(new);
        known.newest = known.newest.max(start);
        known.start = known.start.min(start);
    }

    /// Candidates that may start after the floor and are not settled, newest first.
    fn open(&self, floor: i64) -> Vec<(i64, TraceId)> {
        let is_open = |known: &Candidate| !known.is_settled && known.start > floor;
        let mut open: Vec<_> = self.0.iter().filter(|(_, k)| is_open(k)).map(|(id, k)| (k.start, *id)).collect();
        open.sort_unstable_by_key(|(start, id)| (Reverse(*start), *id));
        open
    }

    /// All of them, so that no further round reads their spans: what these would tell is looked up when it matters.
    fn known(&self) -> Arc<HashSet<TraceId>> {
        Arc::new(self.0.keys().copied().collect())
    }

    fn n_settled(&self) -> usize {
        self.0.values().filter(|known| known.is_settled).count()
    }

    /// Settled candidates after a place in the list, in its order.
    fn settled(&self, after: Option<(i64, TraceId)>) -> Vec<(i64, TraceId)> {
        let is_after =
            |start: i64, id: TraceId| after.is_none_or(|(from, than)| start < from || start == from && id > than);
        let settled = self.0.iter().filter(|(_, known)| known.is_settled).map(|(id, known)| (known.start, *id));
        let mut settled: Vec<_> = settled.filter(|(start, id)| is_after(*start, *id)).collect();
        settled.sort_unstable_by_key(|(start, id)| (Reverse(*start), *id));
        settled
    }
}

/// How far a page has come.
#[derive(Debug, Default)]
struct Standing {
    /// Traces after the cursor, in the order of the list.
    order: Vec<(i64, TraceId)>,
    /// As many of them stand before everything else.
    n_sure: usize,
    /// Nothing that can matter is left to look up.
    is_settled: bool,
}

/// A page under construction.
struct Newest<'a> {
    session: &'a Session,
    question: &'a Question,
    candidates: Candidates,
    cost: Cost,
}

/// # Errors
/// What went wrong while reading.
pub(super) async fn page(session: &Session, question: &Question) -> Result<Page> {
    let mut newest = Newest { session, question, candidates: Candidates::default(), cost: Cost::default() };
    let mut upper = question.cursor.as_ref().map_or(question.scope.range.end.0, |cursor| cursor.resume);
    let mut last = None;
    let (mut is_exhausted, mut standing) = (false, Standing::default());
    for number in 0..ROUNDS_MAX {
        let n = round_spans(question, number, session.config.rows_max);
        let round = newest.read(upper, last, n).await?;
        is_exhausted = round.is_exhausted;
        if let Some((start, trace)) = round.found.last {
            (upper, last) = (start, Some(trace));
        }
        standing = newest.settle(if is_exhausted { i64::MIN } else { upper }).await?;
        // One row that is larger than an answer may be would be read again and again.
        let is_stuck = !is_exhausted && round.found.n_rows == 0;
        if is_exhausted || standing.n_sure > question.limit || !standing.is_settled || is_stuck {
            break;
        }
    }
    let Standing { mut order, n_sure, is_settled } = standing;
    let is_all = is_exhausted && is_settled;
    let is_cut = n_sure <= question.limit && !is_all;
    // Traces that may not be the newest are still better than nothing. Nobody can go on behind them: a trace that was not found
    // may stand before the last of them.
    let is_guess = is_cut && n_sure == 0;
    if is_guess {
        order = newest.settle(i64::MIN).await?.order;
    }
    let n_shown = if is_guess { order.len() } else { n_sure }.min(question.limit);
    let shown = &order[..n_shown];
    let has_next = !is_guess && (shown.len() < order.len() || !is_all);
    let next = shown.last().filter(|_| has_next).map(|(start, id)| {
        let mut cursor = question.cursor_at(*start, *id);
        // Matching spans after this moment belong to traces that were shown.
        let place = (Reverse(*start), *id);
        let is_pending =
            |(id, known): &(&TraceId, &Candidate)| !known.is_settled || (Reverse(known.start), **id) > place;
        let pending = newest.candidates.0.iter().filter(is_pending).map(|(_, known)| known.newest).max();
        cursor.resume = pending.map_or(upper, |newest| newest.max(upper));
        cursor
    });
    let cut = is_cut.then(|| cut_text(newest.candidates.0.len(), is_guess));
    let ids: Vec<TraceId> = shown.iter().map(|(_, id)| *id).collect();
    let mut summaries = Summaries::default();
    newest.cost += summarize(session, question.scope.range, &ids, &mut summaries).await?;
    Ok(Page { items: items(&summaries, ids.into_iter()), next, cost: newest.cost, cut })
}

/// Why a page is shorter than asked for, or not sure.
fn cut_text(n_found: usize, is_guess: bool) -> String {
    let looked = format!("only the newest {n_found} matching traces were looked at");
    if is_guess {
        format!(
            "{looked}, all of which began long before their newest spans: others may be newer than these, and there is no next \
             page; narrow the time range or add conditions"
        )
    } else {
        format!("{looked}; narrow the time range or add conditions")
    }
}

/// Spans to read in a round: at 20 traces a page 2,000, 16,000, then 50,000, never more than an answer may have.
fn round_spans(question: &Question, round: u32, rows_max: u64) -> usize {
    let n = (question.limit.max(20) * ROUND_SPANS).saturating_mul(ROUND_GROWTH.saturating_pow(round));
    n.min(ROUND_SPANS_MAX).min(usize::try_from(rows_max).unwrap_or(usize::MAX))
}

/// A round that was read.
struct Read {
    found: Round,
    /// There are no more matching spans.
    is_exhausted: bool,
}

/// How far the spans around candidates were passed over.
#[derive(Clone, Copy, Debug)]
struct Passed {
    /// The next pass ends before this moment.
    until: Option<i64>,
    /// About so many rows are read by it.
    rows_at_once: u64,
    /// Rows read so far.
    n_rows: u64,
    /// Passes so far.
    n_passes: u32,
}

impl Default for Passed {
    fn default() -> Self {
        Self { until: None, rows_at_once: TIGHTEN_ROWS_AT_ONCE, n_rows: 0, n_passes: 0 }
    }
}

impl Newest<'_> {
    /// Reads the newest matching spans of traces that are not known yet, from a moment on, after the spans of trace `last` at that
    /// moment.
    async fn read(&mut self, upper: i64, last: Option<TraceId>, n: usize) -> Result<Read> {
        let start = || ident("start_time");
        let mut frame = self.question.matching(self.session)?.filter(start().lt_eq(moment(upper)))?;
        if let Some(last) = last {
            let same = start().eq(moment(upper)).and(ident("trace_id").gt(literal(last.as_bytes())));
            frame = frame.filter(start().lt(moment(upper)).or(same))?;
        }
        if !self.candidates.0.is_empty() {
            frame = frame.filter(none_of(ident("trace_id"), self.candidates.known()))?;
        }
        let frame = frame
            .select(vec![ident("trace_id"), start()])?
            .sort(vec![start().sort(false, false), ident("trace_id").sort(true, false)])?
            .limit(0, Some(n))?;
        let collected = self.session.collect(frame, n as u64).await?;
        self.cost += collected.cost;
        let found = self.candidates.take(&collected.batches);
        Ok(Read { is_exhausted: collected.cut.is_none() && found.n_rows < n, found })
    }

    /// The place in the list after which the page begins.
    fn after(&self) -> Option<(i64, TraceId)> {
        self.question.cursor.as_ref().map(|cursor| (cursor.start, cursor.trace_id))
    }

    /// Looks candidates up, newest first, until the page stands before those that are left, or they are too many.
    async fn settle(&mut self, floor: i64) -> Result<Standing> {
        let (mut at_once, mut rows_max, mut passed) = (SETTLED_AT_ONCE, TIGHTEN_ROWS_FIRST, Passed::default());
        loop {
            let open = self.candidates.open(floor);
            let order = self.candidates.settled(self.after());
            let before_all = open.first().map_or(floor, |(start, _)| floor.max(*start));
            let n_sure = order.partition_point(|(start, _)| *start > before_all);
            if open.is_empty() || n_sure > self.question.limit || self.candidates.n_settled() >= SETTLED_MAX {
                return Ok(Standing { order, n_sure, is_settled: open.is_empty() || n_sure > self.question.limit });
            }
            let window = (open.len() > TIGHTEN_MIN).then(|| self.window(&open, &passed, rows_max)).flatten();
            if let Some(window) = window {
                self.tighten(&open, window, TIGHTEN_ROWS_MAX, &mut passed).await?;
                continue;
            }
            let traces: BTreeSet<TraceId> = open.into_iter().take(at_once).map(|(_, id)| id).collect();
            self.look_up(traces).await?;
            at_once = (2 * at_once).min(8 * SETTLED_AT_ONCE);
            rows_max = TIGHTEN_ROWS_MAX;
        }
    }

    /// The spans around the newest candidates that are passed over next; `None` when that is no longer worth it.
    fn window(&self, open: &[(i64, TraceId)], passed: &Passed, rows_max: u64) -> Option<TimeRange> {
        // A pass has a price before its first row: what is left for fewer rows is not worth one.
        let n_left = rows_max.saturating_sub(passed.n_rows);
        if n_left < TIGHTEN_ROWS_AT_ONCE || passed.n_passes >= TIGHTEN_PASSES_MAX {
            return None;
        }
        let (ranked, _) = open.get(TIGHTEN_RANK).or(open.last())?;
        let newest = || open.iter().filter_map(|(_, id)| Some(self.candidates.0.get(id)?.newest)).max();
        let until = passed.until.or_else(|| Some(newest()?.saturating_add(1)))?;
        let since = ranked.saturating_sub(TIGHTEN_NANOS).max(around(self.question.scope.range).start.0);
        reach(since, until, passed.rows_at_once.min(n_left), |range| rows_within(self.session, range))
    }

    /// Passes over the spans of a window: what of the candidates starts earlier is known then. Ends when more than `rows_max` were
    /// read by this pass and those before it: how many there are is an estimate, and one wrong clock stretches it.
    async fn tighten(
        &mut self,
        open: &[(i64, TraceId)],
        window: TimeRange,
        rows_max: u64,
        passed: &mut Passed,
    ) -> Result<()> {
        let numbers: HashMap<TraceId, usize> = open.iter().enumerate().map(|(at, (_, id))| (*id, at)).collect();
        let (n_open, numbers) = (open.len(), Arc::new(numbers));
        let frame = self.session.table(&SPANS)?;
        let frame = frame.filter(ident("start_time").gt_eq(moment(window.start.0)))?;
        let frame = frame.filter(ident("start_time").lt(moment(window.end.0)))?;
        let frame = frame.select(vec![ident("trace_id"), ident("start_time")])?;
        let plan = self.session.plan(frame.logical_plan()).await?;
        let n_rows = Arc::new(AtomicU64::new(passed.n_rows));
        let counted = Arc::clone(&n_rows);
        let each = move |earliest: &mut Vec<i64>, batch: RecordBatch| {
            let (ids, starts) = (Bytes::of(&batch, "trace_id"), Ints::of(&batch, "start_time"));
            for row in 0..batch.num_rows() {
                let number = ids.get(row).and_then(TraceId::from_bytes).and_then(|id| numbers.get(&id));
                if let Some(earliest) = number.and_then(|at| earliest.get_mut(*at)) {
                    *earliest = starts.int(row).min(*earliest);
                }
            }
            let n_here = batch.num_rows() as u64;
            let is_over = counted.fetch_add(n_here, Ordering::Relaxed).saturating_add(n_here) > rows_max;
            Ok(if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        };
        let (parts, cost) = self.session.fold_parts(plan, || vec![i64::MAX; n_open], each).await?;
        self.cost += cost;
        passed.n_rows = n_rows.load(Ordering::Relaxed);
        passed.until = Some(window.start.0);
        passed.n_passes += 1;
        passed.rows_at_once = passed.rows_at_once.saturating_mul(TIGHTEN_GROWTH);
        for (at, (_, id)) in open.iter().enumerate() {
            let earliest = parts.iter().filter_map(|part| part.get(at)).min().copied().unwrap_or(i64::MAX);
            if let Some(known) = self.candidates.0.get_mut(id) {
                known.start = known.start.min(earliest);
            }
        }
        Ok(())
    }

    /// Looks up when some candidates start.
    async fn look_up(&mut self, traces: BTreeSet<TraceId>) -> Result<()> {
        let asked = around(self.question.scope.range);
        let columns = ["trace_id", "start_time"];
        let stored = &self.session.derived.stored;
        let rows = stored.rows_within(&SPANS, &traces, &columns, STARTS_ROOM, asked).await?;
        let batches = match rows {
            Some(found) => {
                self.cost += found.cost;
                found.batches
            }
            None => {
                let frame = super::traces::spans_around(self.session, self.question.scope.range, traces.iter())?;
                let earliest = min(ident("start_time")).alias("start_time");
                let plan = frame.aggregate(vec![ident("trace_id")], vec![earliest])?;
                let plan = self.session.plan(plan.logical_plan()).await?;
                let mut batches = Vec::new();
                let folded = self.session.fold(plan, |batch| {
                    batches.push(batch);
                    Ok(ControlFlow::Continue(()))
                });
                self.cost += folded.await?;
                batches
            }
        };
        for batch in &batches {
            let (ids, starts) = (Bytes::of(batch, "trace_id"), Ints::of(batch, "start_time"));
            for row in 0..batch.num_rows() {
                let known = ids.get(row).and_then(TraceId::from_bytes).and_then(|id| self.candidates.0.get_mut(&id));
                let start = starts.int(row);
                if let Some(known) = known.filter(|_| asked.contains(UnixNanos(start))) {
                    known.start = known.start.min(start);
                }
            }
        }
        for trace in &traces {
            if let Some(known) = self.candidates.0.get_mut(trace) {
                known.is_settled = true;
            }
        }
        Ok(())
    }
}

/// The end of a stretch of time in which about so many rows start; `None` when there is none left, or too many start at once.
fn reach(since: i64, until: i64, n_rows: u64, rows_within: impl Fn(TimeRange) -> u64) -> Option<TimeRange> {
    let from = |start: i64| TimeRange::new(UnixNanos(start), UnixNanos(until));
    let fits = |start: i64| rows_within(from(start)) <= n_rows;
    if since >= until {
        return None;
    }
    if fits(since) {
        return Some(from(since));
    }
    let (mut too_far, mut near) = (since, until);
    while near.saturating_sub(too_far) > TIGHTEN_NANOS_MIN {
        let middle = i64::midpoint(too_far, near);
        if fits(middle) { near = middle } else { too_far = middle }
    }
    (near < until).then(|| from(near))
}

/// About how many spans start in a range, as if those of a segment were spread evenly.
fn rows_within(session: &Session, range: TimeRange) -> u64 {
    let Some(table) = session.snapshot.table(&SPANS) else { return 0 };
    let segments = table.segments.iter().map(|segment| (segment.time_range, segment.n_rows));
    let buffered = table.buffer.iter().map(|rows| (rows.time_range, rows.records.num_rows() as u64));
    let within = |(of, n): (TimeRange, u64)| {
        let (start, end) = (of.start.0.max(range.start.0), of.end.0.min(range.end.0));
        let share = end.saturating_sub(start).max(0) as f64 / of.end.0.saturating_sub(of.start.0).max(1) as f64;
        n as f64 * share
    };
    segments.chain(buffered).map(within).sum::<f64>().ceil() as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::testing::{Fixture, NOW, TestSpan, span, spans_batch, tenant, trace_id};

    /// ```text
    ///   trace   1    2    3    4            spans 90 80 | 70 65 | 60 | 50, floor 50
    ///   known   80   65   60   50           1 is settled at 75, 3 at 40
    /// ```
    #[test]
    fn candidates_stand_by_what_is_known() {
        let mut candidates = Candidates::default();
        for (trace, start) in [(1, 90), (1, 80), (2, 70), (2, 65), (3, 60), (4, 50)] {
            candidates.add(trace_id(trace), start);
        }
        assert_eq!(candidates.open(50), [(80, trace_id(1)), (65, trace_id(2)), (60, trace_id(3))]);
        for (trace, start) in [(1, 75), (3, 40)] {
            let known = candidates.0.get_mut(&trace_id(trace)).expect("it was added");
            (known.start, known.is_settled) = (start, true);
        }
        assert_eq!(candidates.open(50), [(65, trace_id(2))]);
        assert_eq!(candidates.open(i64::MIN), [(65, trace_id(2)), (50, trace_id(4))]);
        assert_eq!(candidates.settled(None), [(75, trace_id(1)), (40, trace_id(3))]);
        assert_eq!(candidates.settled(Some((75, trace_id(1)))), [(40, trace_id(3))]);
        assert_eq!(candidates.settled(Some((75, trace_id(0x7f)))), [(40, trace_id(3))]);
    }

    /// A pass is planned and opened whatever it reads, so there are few of them, however thinly rows are spread.
    #[tokio::test]
    async fn passes_are_few() {
        let spans: Vec<TestSpan> = (0..200).map(|n| span(n + 1, n + 1, None, "work", -(n as i64), 1)).collect();
        let fixture = Fixture::new(vec![spans_batch(&spans)]).await;
        let session = fixture.engine.session(fixture.engine.snapshot(&tenant())).expect("a session");
        let question = Question::from_params(&BTreeMap::new(), NOW).expect("a question");
        let candidates = Candidates::default();
        let mut newest = Newest { session: &session, question: &question, candidates, cost: Cost::default() };
        for n in 0..200 {
            newest.candidates.add(trace_id(n + 1), NOW.0 - n as i64 * UnixNanos::SECOND / 1_000);
        }
        let open = newest.candidates.open(i64::MIN);
        let another = |passed: Passed| newest.window(&open, &passed, TIGHTEN_ROWS_MAX).is_some();
        let enough = TIGHTEN_ROWS_MAX - TIGHTEN_ROWS_AT_ONCE;
        assert!(another(Passed::default()) && another(Passed { n_rows: enough, ..Passed::default() }));
        assert!(!another(Passed { n_rows: enough + 1, ..Passed::default() }), "a few rows are not worth it");
        assert!(!another(Passed { n_passes: TIGHTEN_PASSES_MAX, ..Passed::default() }));
    }

    /// ```text
    ///   rows      one each second from 0 to 99
    ///   window    [since, until)
    /// ```
    #[test]
    fn a_pass_reaches_as_far_as_its_rows() {
        let second = UnixNanos::SECOND;
        let rows =
            |range: TimeRange| (range.end.0.min(100 * second) - range.start.0.max(0)).max(0) as u64 / second as u64;
        let seconds = |range: TimeRange| (range.start.0 as f64 / second as f64, range.end.0 / second);
        assert_eq!(reach(50 * second, 80 * second, 30, rows).map(seconds), Some((50.0, 80)), "all of it");
        let (start, end) = reach(50 * second, 80 * second, 10, rows).map(seconds).expect("some");
        assert!((start - 69.0).abs() < 0.01 && end == 80, "{start}");
        assert_eq!(reach(80 * second, 80 * second, 10, rows), None, "nothing is left");
        assert_eq!(reach(0, 80 * second, 0, |_| 1), None, "too many at one moment");
        assert_eq!(reach(i64::MIN, i64::MAX, 0, |range| u64::from(range.end.0 > range.start.0)), None);
    }

    /// However many rows there really are, a pass ends soon after its bound: each thread with the batch it has at hand.
    #[tokio::test]
    async fn a_pass_is_bounded() {
        let spans: Vec<TestSpan> = (0..30_000).map(|n| span(n / 2 + 1, n + 1, None, "work", -(n as i64), 1)).collect();
        let fixture = Fixture::new(vec![spans_batch(&spans)]).await.flushed().await;
        let session = fixture.engine.session(fixture.engine.snapshot(&tenant())).expect("a session");
        let question = Question::from_params(&BTreeMap::new(), NOW).expect("a question");
        let window = TimeRange::new(UnixNanos(NOW.0 - 3_600 * UnixNanos::SECOND), NOW);
        for (rows_max, at_most) in [(1, 2 * 8_192), (100_000, 30_000)] {
            let candidates = Candidates::default();
            let mut newest = Newest { session: &session, question: &question, candidates, cost: Cost::default() };
            newest.candidates.add(trace_id(1), NOW.0);
            let (open, mut passed) = (newest.candidates.open(i64::MIN), Passed::default());
            newest.tighten(&open, window, rows_max, &mut passed).await.expect("a pass");
            assert!(passed.n_rows > 0 && passed.n_rows <= at_most, "{passed:?}");
            assert_eq!((passed.n_rows == 30_000, passed.until), (rows_max == 100_000, Some(window.start.0)));
            assert!(newest.cost.bytes_read > 0, "{:?}", newest.cost);
        }
    }
}
