//! The task: hands spans to the open traces of their tenant, and looks at those that are at rest.
//!
//! ```text
//!   replay ends ──▶ catch up from arrival_low ──▶ follow the writer ──▶ ...
//!                          ▲                            │ too slow: a gap
//!                          └────────────────────────────┘
//! ```
//!
//! One thread of its own, one batch at a time. What is open is in memory only: after a restart it is read again, from
//! the moment that the newest row of the progress names. A batch is written as one record, so it counts wholly or
//! not at all, and a trace whose newest span is counted already is passed over.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::{TenantId, TimeRange, TraceId, UnixNanos};
use storage::table::{DIGEST_TRACES, SPANS};
use storage::{Batch, DerivedWriter, Reader};
use tokio_util::sync::CancellationToken;

use super::columns::{self, Progress};
use super::look::{Look, Owner, Told, extent};
use super::rollup::Parts;
use super::settled::{OpenTraces, RECENT_LEADS_MAX, Taken};
use super::stored::{AtRest, Stored, with_arrival};
use crate::analysis::journey::{journey, origin};
use crate::analysis::thresholds::Bounds;
use crate::analysis::{Analysis, analyze};
use crate::breakers::open_breakers;
use crate::engine::Engine;
use crate::engine::session::Session;
use crate::error::{Error, Result};
use crate::journey::gather::gather;
use crate::trace::plain;

/// Pause between two looks when nothing waits.
const TICK: Duration = Duration::from_millis(250);
/// Longest a trace may take to settle.
pub(crate) const SETTLE_NANOS_MAX: i64 = 3_600 * UnixNanos::SECOND;
/// Pause after a failure.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);
/// First pause after a gap; doubles while gaps come soon after each other.
const GAP_PAUSE: Duration = Duration::from_secs(5);
/// Longest pause after a gap.
const GAP_PAUSE_MAX: Duration = Duration::from_secs(60);
/// Spans of one batch: about 60 MiB as plain values.
const BATCH_SPANS_MAX: usize = 20_000;
/// Looks at what has settled in the time a trace takes to settle.
const LOOKS_PER_SETTLING: i64 = 3;
/// Late traces of one batch: each is gathered from storage.
const LATE_MAX: usize = 64;
/// Other ends of joins that are gathered for one late trace.
const JOINED_MAX: usize = 16;
/// Traces read because an owner links to them.
const CAUSES_MAX: usize = 256;
/// Times that more of them are read.
const ROUNDS_MAX: usize = 3;
/// Spans read before what has settled is looked at, while catching up: about 60 MB packed. Each segment is read once
/// for each window that it touches.
const WINDOW_SPANS_MAX: usize = 200_000;
/// Segments times traces looked up to find out whether traces were looked at before.
const LOOK_UPS_MAX: usize = 10_000;
/// Deliveries that are older than this when the digest begins are not corrected by a sender that comes later.
const AWAITED_NANOS_MAX: i64 = 6 * 3_600 * UnixNanos::SECOND;
/// Resources that the reader remembers before it begins anew.
const READS_MAX: usize = 10_000;

/// Figures of the task, for `/api/status` and `/metrics`.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) batches: AtomicU64,
    pub(crate) traces: AtomicU64,
    pub(crate) spans: AtomicU64,
    pub(crate) late: AtomicU64,
    pub(crate) early: AtomicU64,
    pub(crate) gaps: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) unchecked: AtomicU64,
    pub(crate) open_traces: AtomicU64,
    pub(crate) open_spans: AtomicU64,
    pub(crate) memory_bytes: AtomicU64,
    /// Nanoseconds since 1970; 0 before the first batch.
    pub(crate) arrival_low: AtomicU64,
    pub(crate) is_catching_up: AtomicBool,
    pub(crate) behind_ms: AtomicU64,
}

/// The task's state.
pub(crate) struct Task {
    pub(crate) engine: Engine,
    pub(crate) reader: Reader,
    pub(crate) writer: DerivedWriter,
    pub(crate) stop: CancellationToken,
    pub(crate) figures: Arc<Figures>,
    pub(crate) memory_bytes_max: usize,
    /// A trace settles so long after its last span.
    pub(crate) settle_nanos: i64,
}

/// What the task knows about one tenant.
pub(crate) struct Desk {
    tenant: TenantId,
    open: OpenTraces,
    reader: plain::Reader,
    n_reads: usize,
    /// Number of the newest batch.
    batch: i64,
    /// Arrival of the newest span that was handed over.
    newest_arrival: i64,
    /// Until when what had become visible was handed over.
    pub(crate) taken_until: i64,
    /// Until when everything that had settled was looked at.
    looked: i64,
    /// What had settled at this moment is being looked at.
    due: Option<i64>,
}

impl Desk {
    fn new(tenant: TenantId, now: i64, settle_nanos: i64) -> Self {
        Self {
            tenant,
            open: OpenTraces::new(now, settle_nanos),
            reader: plain::Reader::default(),
            n_reads: 0,
            batch: 0,
            newest_arrival: 0,
            taken_until: now,
            looked: now,
            due: None,
        }
    }

    fn add(&mut self, spans: &[(crate::analysis::span::Span, i64)]) {
        self.newest_arrival = spans.iter().map(|(_, arrival)| *arrival).fold(self.newest_arrival, i64::max);
        self.open.add(spans);
    }

    /// The moment as of which what has settled is to be looked at now; `None` when there is time.
    ///
    /// Seldom and much at once: a batch costs as much as a thousand spans, and sums of a minute come to rest in few
    /// parts. What settles while this is done waits for the next time, so that it ends.
    fn due(&mut self, now: i64, every_nanos: i64, bytes_max: usize) -> Option<i64> {
        if self.due.is_none() && (now - self.looked).abs() >= every_nanos {
            self.due = Some(now);
        }
        self.due.or_else(|| (self.open.bytes() > bytes_max).then_some(now))
    }

    /// Takes rows of spans.
    pub(crate) fn read(&mut self, records: &arrow::array::RecordBatch) {
        self.n_reads += 1;
        if self.n_reads > READS_MAX {
            (self.reader, self.n_reads) = (plain::Reader::default(), 0);
        }
        let spans = with_arrival(&mut self.reader, records);
        self.add(&spans);
    }

    /// Spans that arrived before are at rest.
    fn arrival_low(&self, pending: Option<i64>) -> i64 {
        let open = self.open.arrival_min();
        open.into_iter().chain(pending).min().unwrap_or_else(|| self.newest_arrival.saturating_add(1))
    }
}

/// Ranges of arrival with about [`WINDOW_SPANS_MAX`] spans each, from the number of spans of each second; a second with
/// more is cut evenly.
fn windows(seconds: &BTreeMap<i64, usize>) -> Vec<TimeRange> {
    let moment = |second: i64| second.saturating_mul(UnixNanos::SECOND);
    let range = |start: i64, end: i64| TimeRange::new(UnixNanos(start), UnixNanos(end));
    let mut windows = Vec::new();
    let mut seconds = seconds.iter().peekable();
    while let Some((&first, &n)) = seconds.next() {
        let n_parts = i64::try_from(n.div_ceil(WINDOW_SPANS_MAX)).unwrap_or(1).max(1);
        if n_parts > 1 {
            let end_of = |part| moment(first).saturating_add(UnixNanos::SECOND * part / n_parts);
            windows.extend((0..n_parts).map(|part| range(end_of(part), end_of(part + 1))));
            continue;
        }
        let (mut after, mut n_spans) = (first + 1, n);
        while let Some((&second, &n)) = seconds.next_if(|(_, n)| n_spans + **n <= WINDOW_SPANS_MAX) {
            (after, n_spans) = (second + 1, n_spans + n);
        }
        windows.push(range(moment(first), moment(after)));
    }
    windows
}

impl Task {
    /// Works until told to stop.
    pub(crate) async fn run(&self) {
        while self.reader.is_replaying() {
            if self.pause(TICK).await {
                return;
            }
        }
        let (mut gaps, mut last_gap) = (0, Instant::now());
        loop {
            let follower = self.reader.follow(&SPANS);
            let mut desks: HashMap<TenantId, Desk> = HashMap::new();
            self.figures.is_catching_up.store(true, Ordering::Relaxed);
            for tenant in self.reader.tenants() {
                match self.catch_up(&tenant).await {
                    Ok(desk) => drop(desks.insert(tenant, desk)),
                    Err(error) => {
                        self.figures.failures.fetch_add(1, Ordering::Relaxed);
                        tracing::error!(%tenant, %error, "the digest cannot read what it has not seen; it tries again");
                    }
                }
                if self.stop.is_cancelled() {
                    return;
                }
            }
            self.figures.is_catching_up.store(false, Ordering::Relaxed);
            loop {
                let taken_until = self.engine.now().0;
                let followed = follower.take();
                if followed.has_gap {
                    self.figures.gaps.fetch_add(1, Ordering::Relaxed);
                    // Whoever sends so much needs the cores more; what was missed is in storage.
                    let pause = (GAP_PAUSE * 2_u32.saturating_pow(gaps)).min(GAP_PAUSE_MAX);
                    gaps = if last_gap.elapsed() > 2 * GAP_PAUSE_MAX { 0 } else { gaps.saturating_add(1) };
                    last_gap = Instant::now();
                    tracing::warn!(
                        ?pause,
                        "spans came faster than the digest took them; it reads them later from storage"
                    );
                    drop(follower);
                    if self.pause(pause).await {
                        return;
                    }
                    break;
                }
                for (tenant, rows) in followed.rows {
                    let desk = match desks.entry(tenant.clone()) {
                        std::collections::hash_map::Entry::Occupied(desk) => desk.into_mut(),
                        std::collections::hash_map::Entry::Vacant(place) => match self.catch_up(&tenant).await {
                            Ok(desk) => place.insert(desk),
                            Err(error) => {
                                self.figures.failures.fetch_add(1, Ordering::Relaxed);
                                tracing::error!(%tenant, %error, "the digest cannot begin with a tenant; it tries again");
                                continue;
                            }
                        },
                    };
                    desk.read(&rows.records);
                }
                desks.values_mut().for_each(|desk| desk.taken_until = taken_until);
                let n_desks = desks.len().max(1);
                let mut is_busy = false;
                for desk in desks.values_mut() {
                    let (now, bytes_max) = (self.engine.now().0, self.memory_bytes_max / n_desks);
                    let Some(then) = desk.due(now, self.settle_nanos / LOOKS_PER_SETTLING, bytes_max) else { continue };
                    match self.step(desk, then, bytes_max).await {
                        Ok(true) => is_busy = true,
                        Ok(false) => (desk.due, desk.looked) = (None, then),
                        Err(error) => {
                            self.figures.failures.fetch_add(1, Ordering::Relaxed);
                            tracing::warn!(tenant = %desk.tenant, %error, "a batch of the digest failed; it is tried again");
                            self.pause(FAILURE_PAUSE).await;
                        }
                    }
                }
                self.tell(&desks);
                let pause = if is_busy { Duration::ZERO } else { TICK };
                if self.pause(pause).await {
                    return;
                }
            }
        }
    }

    /// True when told to stop.
    async fn pause(&self, pause: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => true,
            () = tokio::time::sleep(pause) => false,
        }
    }

    fn tell(&self, desks: &HashMap<TenantId, Desk>) {
        let figures = &self.figures;
        let sum = |of: &dyn Fn(&Desk) -> usize| desks.values().map(of).sum::<usize>() as u64;
        figures.open_traces.store(sum(&|desk| desk.open.n_traces()), Ordering::Relaxed);
        figures.open_spans.store(sum(&|desk| desk.open.n_spans()), Ordering::Relaxed);
        figures.memory_bytes.store(sum(&|desk| desk.open.bytes()), Ordering::Relaxed);
        let low = desks.values().filter_map(|desk| desk.open.arrival_min()).min();
        let waited = low.map_or(0, |low| self.engine.now().0.saturating_sub(low).saturating_sub(self.settle_nanos));
        figures.behind_ms.store(u64::try_from(waited / 1_000_000).unwrap_or_default(), Ordering::Relaxed);
    }

    fn session(&self, tenant: &TenantId) -> Result<Session> {
        self.engine.session(self.reader.snapshot(tenant))
    }

    fn stored(&self, tenant: &TenantId) -> Result<Stored> {
        Ok(self.session(tenant)?.derived.stored.clone())
    }

    /// Reads what arrived since the newest batch, in windows, and looks at what has settled within them.
    pub(crate) async fn catch_up(&self, tenant: &TenantId) -> Result<Desk> {
        let now = self.engine.now().0;
        let stored = self.stored(tenant)?;
        let progress = stored.progress().await?;
        let mut desk = Desk {
            batch: progress.map_or(0, |progress| progress.batch),
            newest_arrival: progress.map_or(0, |progress| progress.arrival_low),
            ..Desk::new(tenant.clone(), now, self.settle_nanos)
        };
        let low = progress.map_or(i64::MIN, |progress| progress.counted_until());
        let counted = stored.looked_at_since(low).await?;
        counted.keys().for_each(|trace| desk.open.remember(*trace, now));
        let since = now.saturating_sub(AWAITED_NANOS_MAX);
        for (cause, by) in stored.awaited_since(since, RECENT_LEADS_MAX).await? {
            desk.open.remember_awaited(cause, by);
        }
        let windows = windows(&stored.arrivals(low).await?);
        drop(stored);
        for window in windows {
            let from_low = TimeRange::new(UnixNanos(window.start.0.max(low)), window.end);
            // A snapshot keeps the write buffer of its moment in memory: a new one for each window.
            let stored = self.stored(tenant)?;
            let taking = stored.each_arrived(from_low, |spans| {
                spans.retain(|(span, arrival)| counted.get(&span.trace_id).is_none_or(|counted| arrival > counted));
                desk.add(spans);
            });
            taking.await?;
            drop(stored);
            // As it would have been looked at then. Traces that are open at the end of the window wait for the next.
            let then = window.end.0.min(now);
            while self.step(&mut desk, then, self.memory_bytes_max).await? {
                if self.stop.is_cancelled() {
                    return Ok(desk);
                }
            }
        }
        Ok(desk)
    }

    /// Looks at one batch of traces that are at rest at this moment. False when there are none.
    pub(crate) async fn step(&self, desk: &mut Desk, now: i64, bytes_max: usize) -> Result<bool> {
        let chosen = desk.open.settled(now, BATCH_SPANS_MAX, bytes_max);
        if chosen.is_empty() {
            return Ok(false);
        }
        let mut taken: Vec<Taken> = chosen.iter().filter_map(|trace| desk.open.take(*trace, now)).collect();
        let result = self.look(desk, &mut taken).await;
        // Whatever was not written is open again.
        desk.open.put_back(&taken);
        result.map(|()| true)
    }

    /// Looks at traces; those that were written are taken out of the list.
    async fn look(&self, desk: &mut Desk, taken: &mut Vec<Taken>) -> Result<()> {
        let stored = self.stored(&desk.tenant)?;
        let late = self.late(desk, &stored, taken).await?;
        let mut left: Vec<Taken> = Vec::new();
        let mut fresh: Vec<Taken> = Vec::new();
        for trace in taken.drain(..) {
            if late.contains(&trace.trace) { left.push(trace) } else { fresh.push(trace) }
        }
        let pending = left.iter().map(|taken| taken.arrival_min).min();
        if !fresh.is_empty()
            && let Err(error) = self.look_at_fresh(desk, &mut fresh, pending).await
        {
            taken.extend(fresh.into_iter().chain(left));
            return Err(error);
        }
        let mut failed = None;
        for _ in 0..LATE_MAX {
            let Some(trace) = left.pop() else { break };
            let pending = left.iter().chain(&*taken).map(|taken| taken.arrival_min).min();
            // One that cannot be gathered does not hold up the others.
            if let Err(error) = self.look_again(desk, &trace, pending).await {
                taken.push(trace);
                failed = Some(error);
            }
        }
        taken.extend(left);
        failed.map_or(Ok(()), Err)
    }

    /// Traces that must be looked at together with what is at rest: they were looked at before, or are joined to one
    /// that was, or to one of those.
    async fn late(&self, desk: &Desk, stored: &Stored, taken: &[Taken]) -> Result<BTreeSet<TraceId>> {
        let here: BTreeSet<TraceId> = taken.iter().map(|taken| taken.trace).collect();
        let is_outside = |trace: &&TraceId| !here.contains(trace) && !desk.open.is_open(**trace);
        let mut doubtful: BTreeSet<TraceId> = BTreeSet::new();
        for trace in taken {
            doubtful.extend(trace.is_doubtful.then_some(trace.trace));
            let outside = trace.links.iter().filter(is_outside);
            doubtful.extend(outside.filter(|link| !desk.open.is_remembered(**link)));
        }
        let n_look_ups = doubtful.len().saturating_mul(stored.n_segments(&DIGEST_TRACES).max(1));
        let known = if n_look_ups <= LOOK_UPS_MAX {
            stored.at_rest(&doubtful).await?
        } else {
            self.figures.unchecked.fetch_add(doubtful.len() as u64, Ordering::Relaxed);
            HashMap::new()
        };
        let is_known = |trace: &TraceId| known.contains_key(trace) || desk.open.is_remembered(*trace);
        let mut late: BTreeSet<TraceId> = BTreeSet::new();
        for trace in taken {
            let joins_known = trace.links.iter().filter(is_outside).any(is_known);
            if trace.is_known || known.contains_key(&trace.trace) || joins_known {
                late.insert(trace.trace);
            }
        }
        loop {
            let before = late.len();
            for trace in taken {
                if late.contains(&trace.trace) {
                    late.extend(trace.links.iter().filter(|link| here.contains(link)));
                } else if trace.links.iter().any(|link| late.contains(link)) {
                    late.insert(trace.trace);
                }
            }
            if late.len() == before {
                return Ok(late);
            }
        }
    }

    /// Looks at traces that nothing at rest is joined to, all in one analysis. They have their spans again when that fails.
    async fn look_at_fresh(&self, desk: &mut Desk, fresh: &mut [Taken], pending: Option<i64>) -> Result<()> {
        let owner = |taken: &Taken| Owner { revision: 1, arrival_max: taken.arrival_max, early: taken.early };
        let owners: BTreeMap<TraceId, Owner> = fresh.iter().map(|taken| (taken.trace, owner(taken))).collect();
        let spans = fresh.iter_mut().flat_map(|taken| std::mem::take(&mut taken.spans)).collect();
        let config = self.engine.config();
        let analysis = analyze(spans, &config.options());
        let written = async {
            let breakers = open_breakers(&self.stored(&desk.tenant)?, extent(&analysis)).await?;
            let told = Told { thresholds: &config.findings, breakers: &breakers };
            let look = Look::new(&analysis, &owners, &told);
            self.write(desk, &look, &HashMap::new(), pending).await
        };
        let written = written.await;
        if written.is_err() {
            for taken in fresh {
                let known = &analysis.graph.spans[analysis.graph.trace(taken.trace)];
                taken.spans = known.iter().map(|known| known.span.clone()).collect();
            }
        }
        written
    }

    /// Looks at a trace together with what is at rest around it, and corrects that.
    async fn look_again(&self, desk: &mut Desk, taken: &Taken, pending: Option<i64>) -> Result<()> {
        let session = self.session(&desk.tenant)?;
        let stored = &session.derived.stored;
        let config = self.engine.config();
        let (options, bounds) = (config.options(), Bounds::default());
        let mut spans = gather(&session, taken.trace, None, &bounds, &options).await?.spans;
        // Its causes' journeys, of which it is a part whatever its own; and joins that only the other end tells.
        for other in taken.links.iter().take(JOINED_MAX) {
            spans.extend(gather(&session, *other, None, &bounds, &options).await?.spans);
        }
        self.figures.unchecked.fetch_add(taken.links.len().saturating_sub(JOINED_MAX) as u64, Ordering::Relaxed);
        let seed = BTreeSet::from([taken.trace]);
        let before = stored.at_rest(&seed).await?.remove(&taken.trace);
        // Its journey at rest may hold traces that nothing leads to any more.
        if let Some(AtRest { journey, start, .. }) = before {
            let loaded: BTreeSet<TraceId> = spans.iter().map(|span| span.trace_id).collect();
            let members: BTreeSet<TraceId> =
                stored.members(journey, start).await?.into_iter().filter(|trace| !loaded.contains(trace)).collect();
            spans.extend(stored.spans_of(&members, bounds.spans_max).await?.into_iter().map(|(span, _)| span));
        }
        if !spans.iter().any(|span| span.trace_id == taken.trace) {
            spans.extend(taken.spans.iter().cloned());
        }
        let (mut known, mut asked, mut fetched) = (HashMap::new(), BTreeSet::new(), BTreeSet::new());
        let mut round = 0;
        let (analysis, owners) = loop {
            let analysis = analyze(spans.clone(), &options);
            let traces = analysis.graph.traces.iter().map(|(trace, _)| *trace);
            let new: BTreeSet<TraceId> = traces.filter(|trace| asked.insert(*trace)).collect();
            known.extend(stored.at_rest(&new).await?);
            let owners = owners(&analysis, taken, before.as_ref(), &known, &bounds);
            // What an owner links to decides about its hops, also where it does not decide about the journey.
            let spans_of = |trace: &TraceId| analysis.graph.trace(*trace).map(|at| &analysis.graph.spans[at].span);
            let links = owners.keys().flat_map(spans_of).flat_map(|span| &span.links);
            let unseen = links.filter(|link| analysis.graph.find(link.trace_id, link.span_id).is_none());
            let missing: BTreeSet<TraceId> =
                unseen.map(|link| link.trace_id).filter(|trace| fetched.insert(*trace)).take(CAUSES_MAX).collect();
            round += 1;
            if missing.is_empty() || round > ROUNDS_MAX {
                break (analysis, owners);
            }
            let more = stored.spans_of(&missing, bounds.spans_max).await?;
            if more.is_empty() {
                break (analysis, owners);
            }
            spans.extend(more.into_iter().map(|(span, _)| span));
        };
        let breakers = open_breakers(stored, extent(&analysis)).await?;
        let told = Told { thresholds: &config.findings, breakers: &breakers };
        let look = Look::new(&analysis, &owners, &told);
        self.write(desk, &look, &known, pending).await
    }

    /// Writes a look as one batch; sums of owners that were at rest are corrected.
    async fn write(
        &self,
        desk: &mut Desk,
        look: &Look<'_>,
        known: &HashMap<TraceId, AtRest>,
        pending: Option<i64>,
    ) -> Result<()> {
        let now = self.engine.now().0;
        let number = desk.batch + 1;
        let mut parts = Parts::default();
        look.traces.iter().for_each(|trace| parts.add(&trace.parts));
        let corrected: Vec<&AtRest> = look.traces.iter().filter_map(|trace| known.get(&trace.trace)).collect();
        corrected.iter().for_each(|at_rest| parts.take_away(&at_rest.parts));
        let n_spans: usize = look.traces.iter().map(|trace| trace.spans).sum();
        let n_early = look.traces.iter().filter(|trace| trace.owner.early).count();
        let progress = Progress {
            time: desk.taken_until,
            batch: number,
            arrival_low: desk.arrival_low(pending),
            traces: look.traces.len() as i64,
            spans: n_spans as i64,
            late: corrected.len() as i64,
            early: n_early as i64,
        };
        let mut batches: Vec<Batch> = columns::relations(look)?;
        batches.extend(columns::minute_parts(&parts.without_nothing(), number)?);
        batches.extend(columns::trace_rows(look, number, now)?);
        batches.extend(columns::progress(progress)?);
        let written = self.writer.append(&desk.tenant, batches).await;
        written.map_err(|error| Error::Internal(format!("the batch was not written: {error}")))?;
        desk.batch = number;
        look.traces.iter().for_each(|trace| desk.open.remember(trace.trace, now));
        let figures = &self.figures;
        let count = |counter: &AtomicU64, n: usize| {
            counter.fetch_add(n as u64, Ordering::Relaxed);
        };
        count(&figures.batches, 1);
        count(&figures.traces, look.traces.len());
        count(&figures.spans, n_spans);
        count(&figures.late, corrected.len());
        count(&figures.early, n_early);
        figures.arrival_low.store(u64::try_from(progress.arrival_low).unwrap_or_default(), Ordering::Relaxed);
        Ok(())
    }
}

/// Traces whose rows change because of late spans of one: itself, the origins of its journeys before and now and of
/// those it is another input of, the consumers of its messages, and those whose origin is another now.
fn owners(
    analysis: &Analysis,
    taken: &Taken,
    before: Option<&AtRest>,
    known: &HashMap<TraceId, AtRest>,
    bounds: &Bounds,
) -> BTreeMap<TraceId, Owner> {
    let home_of = |trace: TraceId| origin(analysis, trace, None).0;
    let old_home = before.map(|before| before.journey);
    let mut touched: BTreeSet<TraceId> = old_home.into_iter().chain([home_of(taken.trace)]).collect();
    touched.extend(analysis.causes(taken.trace).map(|join| home_of(join.from)));
    touched.extend(analysis.effects(taken.trace).map(|join| join.to));
    let members = journey(analysis, taken.trace, None, bounds).map(|journey| journey.members).unwrap_or_default();
    let members: BTreeSet<TraceId> = members.iter().map(|member| member.trace).collect();
    let mut owners: BTreeMap<TraceId, Owner> = BTreeMap::new();
    for (trace, at_rest) in known {
        let was_near = members.contains(trace) || Some(at_rest.journey) == old_home;
        let is_touched = touched.contains(trace) || was_near && home_of(*trace) != at_rest.journey;
        // A trace that is not wholly here keeps its rows.
        let is_whole = analysis.graph.trace(*trace).len() as i64 >= at_rest.spans;
        if is_touched && is_whole {
            let owner = Owner { revision: at_rest.revision + 1, arrival_max: at_rest.arrival_max, early: false };
            owners.insert(*trace, owner);
        }
    }
    let own = known.get(&taken.trace);
    let owner = Owner {
        revision: own.map_or(1, |own| own.revision + 1),
        arrival_max: own.map_or(taken.arrival_max, |own| own.arrival_max.max(taken.arrival_max)),
        early: taken.early,
    };
    owners.insert(taken.trace, owner);
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ```text
    ///   second   10      11      12            20          21
    ///   spans    80 k    120 k   1             480 k       5
    ///   windows  [10         12) [12     13)   [20 | | 21) [21 22)
    /// ```
    #[test]
    fn windows_are_small_however_many_spans_a_second_has() {
        let seconds = BTreeMap::from([(10, 80_000), (11, 120_000), (12, 1), (20, 480_000), (21, 5)]);
        let second = UnixNanos::SECOND;
        let ends: Vec<(i64, i64)> = windows(&seconds).iter().map(|window| (window.start.0, window.end.0)).collect();
        let third = 20 * second + second / 3;
        let two_thirds = 20 * second + second * 2 / 3;
        let expected = [
            (10 * second, 12 * second),
            (12 * second, 13 * second),
            (20 * second, third),
            (third, two_thirds),
            (two_thirds, 21 * second),
            (21 * second, 22 * second),
        ];
        assert_eq!(ends, expected);
    }

    /// One look is over what had settled when it began, however much settles meanwhile.
    #[test]
    fn a_look_has_an_end() {
        let tenant = crate::testing::tenant();
        let mut desk = Desk::new(tenant, 100, 30);
        let mut due = |now| {
            let due = desk.due(now, 10, usize::MAX);
            if now == 115 {
                (desk.due, desk.looked) = (None, 110);
            }
            due
        };
        let found: Vec<_> = [105, 110, 112, 115, 116, 119, 121].map(&mut due).to_vec();
        assert_eq!(found, [None, Some(110), Some(110), Some(110), None, None, Some(121)]);
        assert_eq!(Desk::new(crate::testing::tenant(), 100, 30).due(101, 10, 0), None, "nothing is open");
    }
}
