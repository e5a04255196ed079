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

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::{TenantId, UnixNanos};
use storage::table::SPANS;
use storage::{DerivedWriter, Reader};
use tokio_util::sync::CancellationToken;

use super::desk::Desk;
use super::stored::Stored;
use crate::analysis::thresholds::Bounds;
use crate::engine::Engine;
use crate::engine::session::Session;
use crate::error::Result;

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
/// Looks at what has settled in the time a trace takes to settle.
const LOOKS_PER_SETTLING: i64 = 3;

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
    pub(crate) left_out: AtomicU64,
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
    /// How much is read around late traces at once, and around one that is more than that.
    pub(crate) bounds: Bounds,
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

    pub(super) fn session(&self, tenant: &TenantId) -> Result<Session> {
        self.engine.session(self.reader.snapshot(tenant))
    }

    pub(super) fn stored(&self, tenant: &TenantId) -> Result<Stored> {
        Ok(self.session(tenant)?.derived.stored.clone())
    }
}
