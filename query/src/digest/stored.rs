//! What the digest and the relations read: spans by arrival or trace, and what is at rest about them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::datasource::provider_as_source;
use datafusion::execution::{SessionState, TaskContext};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, UNNAMED_TABLE};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::{DataFrame, ident};
use futures::StreamExt;
use model::{TimeRange, TraceId, UnixNanos};
use storage::Snapshot;
use storage::table::{DIGEST_PROGRESS, DIGEST_TRACES, EDGE_MINUTE_PARTS, HOPS, JOURNEYS, SPANS, Table};

use super::columns::Progress;
use super::look::LooseEnd;
use super::rollup::{Counts, MINUTE, Parts, SumKey, Sums};
use crate::analysis::span::Span;
use crate::analysis::thresholds::Bounds;
use crate::error::Result;
use crate::rows::{Bytes, Ints, Texts};
use crate::tables::direct::{self, Found, Room, Wanted};
use crate::tables::scan::Scanned as _;
use crate::tables::{Located, SnapshotTable, UTC};
use crate::trace::{literal, plain};

/// Rows that are read without a statement: those of the largest group of late traces, and some more.
const DIRECT_ROOM: Room = Room { rows: 50_000, bytes: 64 << 20 };

/// The main root of a journey starts at most so long after the first span of its trace.
const ROOT_NANOS_MAX: i64 = 3_600 * UnixNanos::SECOND;

/// The newest row of the progress stands this close to the end of its table.
const PROGRESS_NANOS: i64 = 3_600 * UnixNanos::SECOND;

/// Sums of one edge, operation and minute that are held at once: about 600 bytes each, a day of a thousand edges.
pub(crate) const PARTS_MAX: usize = 1_500_000;

/// Reads one snapshot.
#[derive(Clone)]
pub(crate) struct Stored {
    state: Arc<SessionState>,
    pub(crate) snapshot: Arc<Snapshot>,
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored").finish_non_exhaustive()
    }
}

/// What is at rest about a trace.
#[derive(Clone, Debug)]
pub(crate) struct AtRest {
    pub(crate) revision: i32,
    pub(crate) journey: TraceId,
    pub(crate) arrival_max: i64,
    pub(crate) spans: i64,
    /// Start of its earliest span.
    pub(crate) start: i64,
    pub(crate) parts: Parts,
}

/// A moment as a literal.
pub(crate) fn moment(nanos: i64) -> Expr {
    Expr::Literal(ScalarValue::TimestampNanosecond(Some(nanos), Some(UTC.into())), None)
}

/// The column lies in the range.
pub(crate) fn within(column: &str, range: TimeRange) -> Expr {
    ident(column).gt_eq(moment(range.start.0)).and(ident(column).lt(moment(range.end.0)))
}

fn ids<'a>(traces: impl IntoIterator<Item = &'a TraceId>) -> Vec<Expr> {
    traces.into_iter().map(|trace| literal(trace.as_bytes())).collect()
}

impl Stored {
    pub(crate) const fn new(state: Arc<SessionState>, snapshot: Arc<Snapshot>) -> Self {
        Self { state, snapshot }
    }

    /// All rows of a table; nothing is read yet.
    pub(crate) fn table(&self, table: &'static Table) -> Result<DataFrame> {
        self.frame(SnapshotTable::new(table, Arc::clone(&self.snapshot)))
    }

    /// Located spans; nothing is read yet.
    pub(crate) fn located(&self, located: Located) -> Result<DataFrame> {
        self.frame(SnapshotTable::located(Arc::clone(&self.snapshot), located))
    }

    fn frame(&self, rows: SnapshotTable) -> Result<DataFrame> {
        let plan = LogicalPlanBuilder::scan(UNNAMED_TABLE, provider_as_source(rows.provider()), None)?.build()?;
        Ok(DataFrame::new(self.state.as_ref().clone(), plan))
    }

    /// Rows of some traces without a statement; `None` when one is the better way. See [`direct::of_traces`].
    ///
    /// # Errors
    /// What went wrong while reading.
    pub(crate) async fn rows_of(
        &self,
        table: &'static Table,
        traces: &BTreeSet<TraceId>,
        columns: &[&'static str],
        room: Room,
    ) -> Result<Option<Vec<RecordBatch>>> {
        Ok(self.rows_within(table, traces, columns, room, TimeRange::ALL).await?.map(|found| found.batches))
    }

    /// As [`Self::rows_of`], and what it took; of segments with rows in a range of time, and of the whole buffer: rows outside of
    /// the range may be among them.
    ///
    /// # Errors
    /// What went wrong while reading.
    pub(crate) async fn rows_within(
        &self,
        table: &'static Table,
        traces: &BTreeSet<TraceId>,
        columns: &[&'static str],
        room: Room,
        within: TimeRange,
    ) -> Result<Option<Found>> {
        let wanted = Wanted { table, traces, within };
        direct::of_traces(&self.state, &self.snapshot, &wanted, columns, room).await
    }

    /// Located spans without a statement; `None` when one is the better way. See [`direct::located`].
    ///
    /// # Errors
    /// What went wrong while reading.
    pub(crate) async fn located_rows(
        &self,
        located: &Located,
        columns: &[&'static str],
        room: Room,
    ) -> Result<Option<Vec<RecordBatch>>> {
        let found = direct::located(&self.state, &self.snapshot, located, columns, room).await?;
        Ok(found.map(|found| found.batches))
    }

    /// Hands rows of some traces to `each` until it breaks. `trace_id` must be one of the columns.
    async fn fold_traces(
        &self,
        table: &'static Table,
        traces: &BTreeSet<TraceId>,
        columns: &[&'static str],
        mut each: impl FnMut(&RecordBatch) -> ControlFlow<()>,
    ) -> Result<()> {
        if traces.is_empty() || self.snapshot.table(table).is_none() {
            return Ok(());
        }
        if let Some(batches) = self.rows_of(table, traces, columns, DIRECT_ROOM).await? {
            let _ = batches.iter().try_for_each(each);
            return Ok(());
        }
        let frame = self.table(table)?.filter(ident("trace_id").in_list(ids(traces), false))?;
        let frame = frame.select(columns.iter().map(|name| ident(*name)).collect::<Vec<_>>())?;
        self.fold(frame, &mut each).await
    }

    /// Live segments of a table: an upper bound for look-ups of one trace.
    pub(crate) fn n_segments(&self, table: &'static Table) -> usize {
        self.snapshot.table(table).map_or(0, |entry| entry.segments.len())
    }

    /// An upper bound of the rows of a table in a range: those of segments and buffered batches that touch it.
    fn rows_max_within(&self, table: &'static Table, range: TimeRange) -> usize {
        let Some(entry) = self.snapshot.table(table) else { return 0 };
        let segments = entry.segments.iter().filter(|segment| segment.time_range.overlaps(range));
        let buffered = entry.buffer.iter().filter(|rows| rows.time_range.overlaps(range));
        let n_rows = segments.map(|segment| usize::try_from(segment.n_rows).unwrap_or(usize::MAX));
        n_rows.chain(buffered.map(|rows| rows.records.num_rows())).fold(0, usize::saturating_add)
    }

    /// Hands every batch of a frame to `each` until it breaks or the rows end.
    ///
    /// # Errors
    /// What went wrong while reading.
    pub(crate) async fn fold(
        &self,
        frame: DataFrame,
        mut each: impl FnMut(&RecordBatch) -> ControlFlow<()>,
    ) -> Result<()> {
        let plan = self.state.create_physical_plan(frame.logical_plan()).await?;
        let mut stream = execute_stream(plan, Arc::new(TaskContext::from(&*self.state)))?;
        while let Some(batch) = stream.next().await {
            if each(&batch?).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The newest batch of the digest; `None` before the first.
    pub(crate) async fn progress(&self) -> Result<Option<Progress>> {
        let Some(entry) = self.snapshot.table(&DIGEST_PROGRESS) else { return Ok(None) };
        let ends = entry.segments.iter().map(|segment| segment.time_range.end);
        let newest = ends.chain(entry.buffer.iter().map(|rows| rows.time_range.end)).max();
        let since = newest.map_or(i64::MIN, |newest| newest.0.saturating_sub(PROGRESS_NANOS));
        let frame = self.table(&DIGEST_PROGRESS)?.filter(ident("time").gt_eq(moment(since)))?;
        let mut found: Option<Progress> = None;
        self.fold(frame, |batch| {
            let ints = |name| Ints::of(batch, name);
            let (time, number, low) = (ints("time"), ints("batch"), ints("arrival_low"));
            let rows = (0..batch.num_rows()).map(|row| Progress {
                time: time.int(row),
                batch: number.int(row),
                arrival_low: low.int(row),
                ..Progress::default()
            });
            found = found.into_iter().chain(rows).max_by_key(|progress| progress.batch);
            ControlFlow::Continue(())
        })
        .await?;
        Ok(found)
    }

    /// What is at rest about these traces; those that are not at rest are left out.
    pub(crate) async fn at_rest(&self, traces: &BTreeSet<TraceId>) -> Result<HashMap<TraceId, AtRest>> {
        let mut found: HashMap<TraceId, AtRest> = HashMap::new();
        let columns = ["trace_id", "journey", "revision", "arrival_max", "spans", "start", "sums"];
        self.fold_traces(&DIGEST_TRACES, traces, &columns, |batch| {
            let (trace, journey) = (Bytes::of(batch, "trace_id"), Bytes::of(batch, "journey"));
            let (revision, arrival) = (Ints::of(batch, "revision"), Ints::of(batch, "arrival_max"));
            let (spans, start, sums) = (Ints::of(batch, "spans"), Ints::of(batch, "start"), Texts::of(batch, "sums"));
            for row in 0..batch.num_rows() {
                let id = |column: &Bytes| column.get(row).and_then(TraceId::from_bytes);
                let (Some(trace), Some(journey)) = (id(&trace), id(&journey)) else { continue };
                let revision = revision.int32(row);
                if traces.contains(&trace) && found.get(&trace).is_none_or(|known| known.revision < revision) {
                    let parts = Parts::from_text(sums.text(row)).unwrap_or_default();
                    let (arrival_max, spans, start) = (arrival.int(row), spans.int(row), start.int(row));
                    found.insert(trace, AtRest { revision, journey, arrival_max, spans, start, parts });
                }
            }
            ControlFlow::Continue(())
        })
        .await?;
        Ok(found)
    }

    /// Those of these traces that are at rest.
    pub(crate) async fn are_at_rest(&self, traces: &BTreeSet<TraceId>) -> Result<HashSet<TraceId>> {
        let mut found = HashSet::new();
        self.fold_traces(&DIGEST_TRACES, traces, &["trace_id"], |batch| {
            let trace = Bytes::of(batch, "trace_id");
            found.extend((0..batch.num_rows()).filter_map(|row| TraceId::from_bytes(trace.get(row)?)));
            ControlFlow::Continue(())
        })
        .await?;
        Ok(found)
    }

    /// Traces looked at since a moment, each with the arrival of its newest span that was counted.
    pub(crate) async fn looked_at_since(&self, since: i64) -> Result<HashMap<TraceId, i64>> {
        let mut found: HashMap<TraceId, i64> = HashMap::new();
        if self.snapshot.table(&DIGEST_TRACES).is_none() {
            return Ok(found);
        }
        let frame = self.table(&DIGEST_TRACES)?.filter(ident("time").gt_eq(moment(since)))?;
        let frame = frame.select(vec![ident("trace_id"), ident("arrival_max")])?;
        self.fold(frame, |batch| {
            let (trace, arrival) = (Bytes::of(batch, "trace_id"), Ints::of(batch, "arrival_max"));
            for row in 0..batch.num_rows() {
                if let Some(trace) = trace.get(row).and_then(TraceId::from_bytes) {
                    let known = found.entry(trace).or_insert(i64::MIN);
                    *known = (*known).max(arrival.int(row));
                }
            }
            ControlFlow::Continue(())
        })
        .await?;
        Ok(found)
    }

    /// Deliveries since a moment of which the sender was not known when they were looked at, up to a bound: the trace
    /// that they wait for, and their own. Those that were corrected meanwhile may be among them.
    pub(crate) async fn awaited_since(&self, since: i64, rows_max: usize) -> Result<Vec<(TraceId, TraceId)>> {
        let mut found = Vec::new();
        if self.snapshot.table(&HOPS).is_none() {
            return Ok(found);
        }
        let frame = self.table(&HOPS)?.filter(ident("time").gt_eq(moment(since)).and(ident("send_span").is_null()))?;
        self.fold(frame.select(vec![ident("send_trace"), ident("trace")])?, |batch| {
            let (cause, trace) = (Bytes::of(batch, "send_trace"), Bytes::of(batch, "trace"));
            let id = |column: &Bytes, row| column.get(row).and_then(TraceId::from_bytes);
            found.extend((0..batch.num_rows()).filter_map(|row| Some((id(&cause, row)?, id(&trace, row)?))));
            if found.len() >= rows_max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .await?;
        found.truncate(rows_max);
        Ok(found)
    }

    /// What may join traces that were looked at to others, since a moment and up to a bound, each with its trace. Those
    /// that were corrected meanwhile may be among them.
    pub(crate) async fn loose_ends_since(&self, since: i64, rows_max: usize) -> Result<Vec<(LooseEnd, TraceId)>> {
        let mut found = Vec::new();
        if self.snapshot.table(&DIGEST_TRACES).is_none() {
            return Ok(found);
        }
        let awaiting = ident("time").gt_eq(moment(since)).and(ident("awaits").is_not_null());
        let frame = self.table(&DIGEST_TRACES)?.filter(awaiting)?;
        self.fold(frame.select(vec![ident("trace_id"), ident("awaits")])?, |batch| {
            let (trace, awaits) = (Bytes::of(batch, "trace_id"), Texts::of(batch, "awaits"));
            for row in 0..batch.num_rows() {
                let Some(trace) = trace.get(row).and_then(TraceId::from_bytes) else { continue };
                let ends: Vec<LooseEnd> = serde_json::from_str(awaits.text(row)).unwrap_or_default();
                found.extend(ends.into_iter().map(|end| (end, trace)));
            }
            if found.len() >= rows_max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .await?;
        found.truncate(rows_max);
        Ok(found)
    }

    /// Traces that were looked at more than once, since a moment, each with its newest revision: rows of lower ones
    /// do not count.
    pub(crate) async fn revised_since(&self, since: i64) -> Result<HashMap<TraceId, i32>> {
        let mut found: HashMap<TraceId, i32> = HashMap::new();
        if self.snapshot.table(&DIGEST_TRACES).is_none() {
            return Ok(found);
        }
        let revised = ident("revision").gt_eq(Expr::Literal(ScalarValue::Int32(Some(2)), None));
        let frame = self.table(&DIGEST_TRACES)?.filter(ident("time").gt_eq(moment(since)).and(revised))?;
        let frame = frame.select(vec![ident("trace_id"), ident("revision")])?;
        self.fold(frame, |batch| {
            let (trace, revision) = (Bytes::of(batch, "trace_id"), Ints::of(batch, "revision"));
            for row in 0..batch.num_rows() {
                if let Some(trace) = trace.get(row).and_then(TraceId::from_bytes) {
                    let known = found.entry(trace).or_insert(0);
                    *known = (*known).max(revision.int32(row));
                }
            }
            ControlFlow::Continue(())
        })
        .await?;
        Ok(found)
    }

    /// Spans by second of arrival, from a moment on.
    pub(crate) async fn arrivals(&self, low: i64) -> Result<BTreeMap<i64, usize>> {
        let mut seconds: BTreeMap<i64, usize> = BTreeMap::new();
        if self.snapshot.table(&SPANS).is_none() {
            return Ok(seconds);
        }
        let frame = self.table(&SPANS)?.filter(ident("arrival_time").gt_eq(moment(low)))?;
        self.fold(frame.select(vec![ident("arrival_time")])?, |batch| {
            let arrival = Ints::of(batch, "arrival_time");
            for row in 0..batch.num_rows() {
                *seconds.entry(arrival.int(row).div_euclid(UnixNanos::SECOND)).or_default() += 1;
            }
            ControlFlow::Continue(())
        })
        .await?;
        Ok(seconds)
    }

    /// Traces of spans that arrived from a moment on and started in a range: spans, and newest arrival.
    pub(crate) async fn arrived(
        &self,
        low: i64,
        started: TimeRange,
        rows_max: usize,
    ) -> Result<(HashMap<TraceId, (usize, i64)>, bool)> {
        let mut found: HashMap<TraceId, (usize, i64)> = HashMap::new();
        let (mut n_rows, mut is_cut) = (0, false);
        if self.snapshot.table(&SPANS).is_none() {
            return Ok((found, is_cut));
        }
        let arrived = ident("arrival_time").gt_eq(moment(low));
        let frame = self.table(&SPANS)?.filter(arrived.and(within("start_time", started)))?;
        self.fold(frame.select(vec![ident("trace_id"), ident("arrival_time")])?, |batch| {
            let (trace, arrival) = (Bytes::of(batch, "trace_id"), Ints::of(batch, "arrival_time"));
            for row in 0..batch.num_rows() {
                if let Some(trace) = trace.get(row).and_then(TraceId::from_bytes) {
                    let known = found.entry(trace).or_insert((0, i64::MIN));
                    *known = (known.0 + 1, known.1.max(arrival.int(row)));
                }
            }
            n_rows += batch.num_rows();
            is_cut = n_rows > rows_max;
            if is_cut { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .await?;
        Ok((found, is_cut))
    }

    /// Hands over the spans that arrived in a range, a batch at a time, each with the moment of its arrival.
    pub(crate) async fn each_arrived(
        &self,
        arrived: TimeRange,
        mut each: impl FnMut(&mut Vec<(Span, i64)>),
    ) -> Result<()> {
        if self.snapshot.table(&SPANS).is_none() {
            return Ok(());
        }
        let mut reader = plain::Reader::lean();
        let frame = self.table(&SPANS)?.filter(within("arrival_time", arrived))?.select(columns())?;
        self.fold(frame, |batch| {
            each(&mut with_arrival(&mut reader, batch));
            ControlFlow::Continue(())
        })
        .await
    }

    /// All spans of some traces, up to a bound.
    pub(crate) async fn spans_of(&self, traces: &BTreeSet<TraceId>, spans_max: usize) -> Result<Vec<(Span, i64)>> {
        let columns: Vec<&'static str> = plain::column_names().chain(["arrival_time"]).collect();
        let (mut reader, mut spans) = (plain::Reader::lean(), Vec::new());
        self.fold_traces(&SPANS, traces, &columns, |batch| {
            spans.extend(with_arrival(&mut reader, batch));
            if spans.len() > spans_max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .await?;
        Ok(spans)
    }

    /// Traces of some journeys as they stand at rest. Each journey comes with the start of its origin's earliest span.
    pub(crate) async fn members(&self, journeys: &HashMap<TraceId, i64>) -> Result<BTreeSet<TraceId>> {
        let starts = || journeys.values();
        let (Some(first), Some(last)) = (starts().min(), starts().max()) else { return Ok(BTreeSet::new()) };
        if self.snapshot.table(&JOURNEYS).is_none() {
            return Ok(BTreeSet::new());
        }
        // A journey's moment is the start of its main root, clocks corrected.
        let around = TimeRange::new(
            UnixNanos(first.saturating_sub(Bounds::default().shift_max_nanos)),
            UnixNanos(last.saturating_add(ROOT_NANOS_MAX)),
        );
        let wanted = ident("journey").in_list(ids(journeys.keys()), false).and(within("time", around));
        let frame = self.table(&JOURNEYS)?.filter(wanted)?;
        let mut newest: HashMap<TraceId, (i64, String)> = HashMap::new();
        self.fold(frame.select(vec![ident("journey"), ident("revision"), ident("members")])?, |batch| {
            let (journey, revision) = (Bytes::of(batch, "journey"), Ints::of(batch, "revision"));
            let members = Texts::of(batch, "members");
            for row in 0..batch.num_rows() {
                let Some(journey) = journey.get(row).and_then(TraceId::from_bytes) else { continue };
                let known = newest.entry(journey).or_default();
                if revision.int(row) > known.0 {
                    *known = (revision.int(row), members.text(row).to_owned());
                }
            }
            ControlFlow::Continue(())
        })
        .await?;
        let lists =
            newest.values().map(|(_, members)| serde_json::from_str::<Vec<String>>(members).unwrap_or_default());
        Ok(lists.flatten().filter_map(|id| TraceId::from_hex(&id)).collect())
    }

    /// Pieces of a range, each with about `rows_max` sums at rest that pass the filters, or one minute.
    pub(crate) async fn pieces(&self, range: TimeRange, filters: &[Expr], rows_max: usize) -> Result<Vec<TimeRange>> {
        // Few rows fit into one piece wherever they lie: no need to look.
        if self.rows_max_within(&EDGE_MINUTE_PARTS, range) <= rows_max {
            return Ok(vec![range]);
        }
        let mut minutes: BTreeMap<i64, usize> = BTreeMap::new();
        if let Some(frame) = self.sums(range, filters)? {
            self.fold(frame.select(vec![ident("time")])?, |batch| {
                let time = Ints::of(batch, "time");
                for row in 0..batch.num_rows() {
                    *minutes.entry(time.int(row).div_euclid(MINUTE)).or_default() += 1;
                }
                ControlFlow::Continue(())
            })
            .await?;
        }
        let (mut pieces, mut start, mut n_rows) = (Vec::new(), range.start, 0);
        for (minute, n) in minutes {
            let begin = UnixNanos(minute.saturating_mul(MINUTE));
            if n_rows > 0 && n_rows + n > rows_max && begin > start {
                pieces.push(TimeRange::new(start, begin));
                (start, n_rows) = (begin, 0);
            }
            n_rows += n;
        }
        pieces.push(TimeRange::new(start, range.end));
        Ok(pieces)
    }

    /// Sums at rest of the minutes that touch a range and pass the filters, and whether there are more than fit in
    /// memory: some are missing then, and others may be too small.
    pub(crate) async fn parts(&self, range: TimeRange, filters: &[Expr]) -> Result<(Parts, bool)> {
        let mut parts = Parts::default();
        let Some(frame) = self.sums(range, filters)? else { return Ok((parts, false)) };
        let mut is_cut = false;
        self.fold(frame, |batch| {
            add_parts(&mut parts, batch);
            is_cut = parts.0.len() > PARTS_MAX;
            if is_cut { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .await?;
        Ok((parts, is_cut))
    }

    fn sums(&self, range: TimeRange, filters: &[Expr]) -> Result<Option<DataFrame>> {
        if self.snapshot.table(&EDGE_MINUTE_PARTS).is_none() {
            return Ok(None);
        }
        let start = range.start.0.div_euclid(MINUTE).saturating_mul(MINUTE);
        let minutes = TimeRange::new(UnixNanos(start), range.end);
        let wanted = filters.iter().cloned().fold(within("time", minutes), Expr::and);
        Ok(Some(self.table(&EDGE_MINUTE_PARTS)?.filter(wanted)?))
    }
}

/// What is read of a span.
fn columns() -> Vec<Expr> {
    plain::columns().into_iter().chain([ident("arrival_time")]).collect()
}

/// Spans of a batch that has the columns of [`plain::columns`] and `arrival_time`.
pub(crate) fn with_arrival(reader: &mut plain::Reader, batch: &RecordBatch) -> Vec<(Span, i64)> {
    let arrival = Ints::of(batch, "arrival_time");
    // Storage holds no span without ids, so that no row is passed over.
    reader.read(batch).into_iter().enumerate().map(|(row, span)| (span, arrival.int(row))).collect()
}

/// Adds the rows of a batch of [`EDGE_MINUTE_PARTS`].
fn add_parts(parts: &mut Parts, batch: &RecordBatch) {
    let (ints, texts) = (|name| Ints::of(batch, name), |name| Texts::of(batch, name));
    let [time, count, errors, faults] = ["time", "count", "errors", "faults"].map(ints);
    let [request_bytes, response_bytes] = ["request_bytes", "response_bytes"].map(ints);
    let [first_seen, last_seen, slowest, failed] = ["first_seen", "last_seen", "slowest", "failed"].map(ints);
    let [src, dst, protocol, system, op, environment] =
        ["src", "dst", "protocol", "system", "op", "environment"].map(texts);
    let [slowest_journey, failed_journey] = ["slowest_journey", "failed_journey"].map(|name| Bytes::of(batch, name));
    let [durations, networks, lags] = ["durations", "networks", "lags"].map(|name| histograms(batch, name));
    for row in 0..batch.num_rows() {
        let text = |texts: &Texts| texts.text(row).to_owned();
        let key = SumKey {
            minute: time.int(row).div_euclid(MINUTE),
            src: text(&src),
            dst: text(&dst),
            protocol: text(&protocol),
            system: text(&system),
            op: text(&op),
            environment: text(&environment),
        };
        let moment = |ints: &Ints| Some(ints.int(row)).filter(|moment| *moment != 0);
        let trace = |ids: &Bytes| ids.get(row).and_then(TraceId::from_bytes);
        let sums = Sums {
            count: count.int(row),
            errors: errors.int(row),
            faults: faults.int(row),
            request_bytes: request_bytes.int(row),
            response_bytes: response_bytes.int(row),
            durations: durations(row),
            networks: networks(row),
            lags: lags(row),
            first_seen: moment(&first_seen),
            last_seen: moment(&last_seen),
            slowest: trace(&slowest_journey).map(|journey| (slowest.int(row), journey)),
            failed: failed.get(row).zip(trace(&failed_journey)),
        };
        parts.add_sums(&key, &sums);
    }
}

/// Histograms in a list column.
fn histograms(batch: &RecordBatch, name: &str) -> impl Fn(usize) -> Counts {
    let lists =
        batch.column_by_name(name).and_then(|column| arrow::array::AsArray::as_list_opt::<i32>(column)).cloned();
    move |row| {
        let mut counts = Counts::default();
        let Some(lists) = lists.as_ref() else { return counts };
        let values = Ints::from_array(&lists.value(row));
        let n_values = usize::try_from(lists.value_length(row)).unwrap_or_default();
        for at in (0..n_values / 2).map(|pair| pair * 2) {
            counts.add_one(values.int32(at), values.int(at + 1));
        }
        counts
    }
}
