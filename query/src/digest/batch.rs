//! One batch: traces that are at rest, looked at and written as one record.
//!
//! ```text
//!   settled ──▶ late?  no ──▶ all in one analysis ──▶ one record
//!                 └── yes ──▶ open again ──▶ again.rs, many at once with what is at rest around them
//! ```
//!
//! Whatever is being written is taken out of the open traces and put back when that fails, so that the earliest open
//! span always says how far the digest has come.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};

use model::TraceId;
use storage::Batch;
use storage::table::DIGEST_TRACES;

use super::columns::{self, Progress};
use super::desk::Desk;
use super::look::{Look, Owner, Told, extent};
use super::rollup::Parts;
use super::run::Task;
use super::settled::Taken;
use super::stored::{AtRest, Stored};
use crate::analysis::analyze;
use crate::breakers::open_breakers;
use crate::error::{Error, Result};
use crate::tables::LOOK_UPS_MAX;

/// Spans of one batch: about 60 MiB as plain values.
const BATCH_SPANS_MAX: usize = 20_000;

impl Task {
    /// Looks at one batch of traces that are at rest at this moment. False when there are none.
    pub(crate) async fn step(&self, desk: &mut Desk, now: i64, bytes_max: usize) -> Result<bool> {
        let chosen = desk.open.settled(now, BATCH_SPANS_MAX, bytes_max);
        if chosen.is_empty() {
            return Ok(false);
        }
        let taken = desk.open.take_some(&chosen, now);
        let n_left_out: usize = taken.iter().map(|taken| taken.n_left_out).sum();
        self.figures.left_out.fetch_add(n_left_out as u64, Ordering::Relaxed);
        let late = match self.late(desk, &self.stored(&desk.tenant)?, &taken).await {
            Ok(late) => late,
            Err(error) => {
                desk.open.put_back(&taken);
                return Err(error);
            }
        };
        let (again, mut fresh): (Vec<Taken>, Vec<Taken>) =
            taken.into_iter().partition(|taken| late.contains(&taken.trace));
        // Packed again until their turn comes: plain values take five times as much.
        desk.open.put_back(&again);
        drop(again);
        if !fresh.is_empty()
            && let Err(error) = self.look_at_fresh(desk, &mut fresh).await
        {
            desk.open.put_back(&fresh);
            return Err(error);
        }
        drop(fresh);
        self.look_again(desk, late, now).await.map(|()| true)
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
            stored.are_at_rest(&doubtful).await?
        } else {
            self.figures.unchecked.fetch_add(doubtful.len() as u64, Ordering::Relaxed);
            Default::default()
        };
        let is_known = |trace: &TraceId| known.contains(trace) || desk.open.is_remembered(*trace);
        let mut late: BTreeSet<TraceId> = BTreeSet::new();
        for trace in taken {
            let joins_known = trace.links.iter().filter(is_outside).any(is_known);
            if trace.is_known || known.contains(&trace.trace) || joins_known {
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
    async fn look_at_fresh(&self, desk: &mut Desk, fresh: &mut [Taken]) -> Result<()> {
        let owner = |taken: &Taken| Owner { revision: 1, arrival_max: taken.arrival_max, early: taken.early };
        let owners: BTreeMap<TraceId, Owner> = fresh.iter().map(|taken| (taken.trace, owner(taken))).collect();
        let spans = fresh.iter_mut().flat_map(|taken| std::mem::take(&mut taken.spans)).collect();
        let config = self.engine.config();
        let analysis = analyze(spans, &config.options());
        let written = async {
            let breakers = open_breakers(&self.stored(&desk.tenant)?, extent(&analysis)).await?;
            let told = Told { thresholds: &config.findings, breakers: &breakers };
            let look = Look::new(&analysis, &owners, &told);
            self.write(desk, &look, &HashMap::new()).await
        };
        let written = written.await;
        match &written {
            Ok(()) => desk.open.remember_leads(fresh),
            Err(_) => {
                for taken in fresh {
                    let known = &analysis.graph.spans[analysis.graph.trace(taken.trace)];
                    taken.spans = known.iter().map(|known| known.span.clone()).collect();
                }
            }
        }
        written
    }

    /// Writes a look as one batch; sums of owners that were at rest are corrected.
    pub(super) async fn write(&self, desk: &mut Desk, look: &Look<'_>, known: &HashMap<TraceId, AtRest>) -> Result<()> {
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
            arrival_low: desk.arrival_low(),
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
