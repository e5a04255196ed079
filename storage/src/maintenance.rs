//! What keeps a data directory small, fast and lawful over months: merges, retention, erasure, vacuum.
//!
//! One thread with a runtime of its own, one thing at a time. It decides on what is published, works on files nobody
//! sees, and hands what it wants changed to the flusher, which makes every commit; the writer publishes it. Ingest and
//! readers never wait for it: after every 8 k rows it gives way while ingest is busy, as long as few segments wait.
//!
//! | step        | decides                          | does                                             |
//! |-------------|----------------------------------|--------------------------------------------------|
//! | erasure     | which segments hold erased rows  | a rewrite of each, then the mark goes            |
//! | compaction  | `compaction/plan.rs`             | `compaction/run.rs`, then one replacement        |
//! | retention   | `retention.rs`                   | a commit that drops whole segments               |
//! | vacuum      | `vacuum.rs`                      | removes files                                    |
//!
//! A failure leaves everything as it was and is tried again later. A disk with less than its reserve left gets no merges.

mod erase;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use futures::TryStreamExt;
use model::{TenantId, UnixNanos};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::compaction::plan::{self, Merge, Policy};
use crate::compaction::run;
use crate::error::{Error, Result};
use crate::examine::{self, Fault};
use crate::flush::{Job, Replacement};
use crate::paths;
use crate::published::Published;
use crate::retention::{self, ClockGuard};
use crate::segment::{Target, Written};
use crate::snapshot::SegmentMeta;
use crate::table::{TABLES, Table};
use crate::table_log::{Change, TableLog};
use crate::vacuum::Vacuum;

use erase::Erasing;

/// Pause between looks for something to merge or erase.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// Pause after a merge that failed or had no space.
const FAILURE_PAUSE: Duration = Duration::from_secs(20);
/// With more segments waiting than this, merges do not give way any more.
const BACKLOG_MAX: u64 = 48;
/// The longest rest after 8 k rows.
const REST_MAX: Duration = Duration::from_millis(250);
/// The writer takes a command within this time, however slow the disk: a round of it is one sync.
const PUBLISH_PATIENCE: Duration = Duration::from_secs(120);
/// Memory of a merge whatever its inputs: 8 k rows twice, pages and a part of the output.
const MERGE_BASE_BYTES: u64 = 16 << 20;
/// Memory of one input of a merge.
const MERGE_INPUT_BYTES: u64 = 4 << 20;
/// Inputs of a merge, however much memory there is.
const MERGE_INPUTS_MAX: u64 = 64;
/// Rows read at once while looking for erased ones.
const LOOK_ROWS: usize = 8 << 10;
/// A segment that the disk did not give is left alone for so long, so that others get their turn.
const UNREADABLE_PAUSE: Duration = Duration::from_secs(600);

/// What maintenance says about itself, and what it is asked.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    /// Segments that wait for merges that are due.
    pub backlog: AtomicU64,
    /// Everything that can be merged should be, now.
    pub compact_all: AtomicBool,
    /// Retention and vacuum should look around, now.
    pub look_now: AtomicBool,
    /// When it last ended, in nanoseconds since 1970; 0 when never.
    pub merged_at: AtomicI64,
    pub expired_at: AtomicI64,
    pub vacuumed_at: AtomicI64,
    /// Why nothing is merged although it is due.
    pub waiting: ArcSwapOption<String>,
}

/// A table of a tenant and its live segments.
type LiveTable = (TenantId, &'static Table, Arc<[Arc<SegmentMeta>]>);

/// The thread's state.
#[derive(Debug)]
pub(crate) struct Maintenance {
    published: Arc<Published>,
    jobs: SyncSender<Job>,
    runtime: Runtime,
    stop: CancellationToken,
    started: Instant,
    guard: ClockGuard,
    vacuum: Vacuum,
    /// Per tenant with erasures: what is known about them.
    erasing: HashMap<TenantId, Erasing>,
    /// Segments that the disk did not give, and when.
    unreadable: HashMap<Path, Instant>,
    merge_from: Instant,
    next_look_around: Instant,
}

impl Maintenance {
    /// # Errors
    /// When the system gives no threads.
    pub(crate) fn new(published: Arc<Published>, jobs: SyncSender<Job>, stop: CancellationToken) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("storage-upkeep-io")
            .on_thread_start(crate::let_ingest_go_first)
            .enable_all()
            .build()?;
        let now = Instant::now();
        Ok(Self {
            published,
            jobs,
            runtime,
            stop,
            started: now,
            guard: ClockGuard::default(),
            vacuum: Vacuum::default(),
            erasing: HashMap::new(),
            unreadable: HashMap::new(),
            merge_from: now,
            next_look_around: now,
        })
    }

    /// Works until storage closes.
    pub(crate) fn run(mut self) {
        while !self.is_ending() {
            if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.round())).is_err() {
                tracing::error!("maintenance panicked, which is a bug; nothing was changed, and it is tried again");
                self.published.counters.merge_failures.add(1);
                // Whoever waits is not left waiting.
                self.published.upkeep.look_now.store(false, Ordering::Release);
                self.published.upkeep.compact_all.store(false, Ordering::Release);
                self.merge_from = Instant::now() + FAILURE_PAUSE;
                self.rest(FAILURE_PAUSE);
            }
        }
    }

    /// Everything once, then a rest when there was nothing to do.
    fn round(&mut self) {
        if let Err(error) = self.erase() {
            tracing::warn!(%error, "erased rows could not be rewritten; they stay hidden, and it is tried again");
            self.rest(FAILURE_PAUSE.min(LOOK_PAUSE * 4));
        }
        let is_asked = self.published.upkeep.look_now.load(Ordering::Acquire);
        if is_asked || self.next_look_around <= Instant::now() {
            let every = Duration::from_secs(self.published.config.maintenance_every_s);
            self.next_look_around = Instant::now() + every;
            self.expire();
            self.vacuum();
        }
        if is_asked {
            self.published.upkeep.look_now.store(false, Ordering::Release);
        }
        if !self.compact() {
            self.rest(LOOK_PAUSE);
        }
    }

    fn is_ending(&self) -> bool {
        self.stop.is_cancelled() || self.published.is_closed.load(Ordering::Acquire)
    }

    /// True when someone waits for something that can be done now.
    fn is_asked(&self) -> bool {
        let (upkeep, is_replaying) = (&self.published.upkeep, &self.published.is_replaying);
        upkeep.look_now.load(Ordering::Acquire)
            || (upkeep.compact_all.load(Ordering::Acquire) && !is_replaying.load(Ordering::Acquire))
    }

    /// Sleeps, but not when storage closes or someone waits.
    fn rest(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while Instant::now() < until && !self.is_ending() && !self.is_asked() {
            std::thread::sleep(Duration::from_millis(10).min(until.saturating_duration_since(Instant::now())));
        }
    }

    fn target(&self, tenant: &TenantId, table: &'static Table) -> Target {
        Target {
            store: Arc::clone(&self.published.place.store),
            table: paths::table(tenant, table),
            runtime: self.runtime.handle().clone(),
            in_flight: self.published.in_flight.clone(),
        }
    }

    /// Live segments of every table.
    fn tables(&self) -> Vec<LiveTable> {
        let mut tables = Vec::new();
        for (tenant, cell) in self.published.tenants().iter() {
            let view = cell.load();
            for table in view.tables.iter().filter(|table| !table.segments.is_empty()) {
                tables.push((tenant.clone(), table.table, Arc::clone(&table.segments)));
            }
        }
        tables
    }

    // Compaction.

    fn policy(&self, is_asked: bool) -> Policy {
        let config = &self.published.config;
        let inputs = config.compaction_memory_bytes_max.saturating_sub(MERGE_BASE_BYTES) / MERGE_INPUT_BYTES;
        let wait_nanos = i64::try_from(config.compaction_wait_s).unwrap_or(i64::MAX).saturating_mul(UnixNanos::SECOND);
        let inputs_max = inputs.clamp(2, MERGE_INPUTS_MAX) as usize;
        let usual = Policy { inputs_max, wait_nanos, ..Policy::default() };
        if is_asked {
            return Policy { some: 2, wait_nanos: i64::MIN, settled_nanos: i64::MIN, ..usual };
        }
        usual
    }

    /// Does the most urgent merge. False when there was nothing to do, or it could not be done.
    fn compact(&mut self) -> bool {
        let is_asked = self.published.upkeep.compact_all.load(Ordering::Acquire);
        let is_due = self.published.config.compaction && self.merge_from <= Instant::now();
        if !(is_asked || is_due) || self.published.is_replaying.load(Ordering::Acquire) {
            return false;
        }
        // Whoever asks from here on gets a look of its own: this one may be by the usual policy.
        let answer = |upkeep: &Upkeep| {
            if is_asked {
                upkeep.compact_all.store(false, Ordering::Release);
            }
        };
        let (policy, now) = (self.policy(is_asked), self.published.clock.now());
        let mut due: Vec<(TenantId, &'static Table, Merge)> = Vec::new();
        let skip = self.left_alone();
        for (tenant, table, segments) in self.tables() {
            let merges = plan::plan(&segments, now, &policy, &skip);
            due.extend(merges.into_iter().map(|merge| (tenant.clone(), table, merge)));
        }
        let backlog = due.iter().map(|(.., merge)| merge.n_waiting as u64).sum();
        self.published.upkeep.backlog.store(backlog, Ordering::Release);
        let Some((tenant, table, merge)) = due.into_iter().max_by_key(|(.., merge)| merge.n_waiting) else {
            answer(&self.published.upkeep);
            self.set_waiting(None);
            return false;
        };
        if !self.has_space(merge.bytes()) {
            self.published.counters.merges_refused.add(1);
            self.set_waiting(Some(format!(
                "a merge of {} bytes would leave less than storage.disk_reserve_bytes ({}) free",
                merge.bytes(),
                self.published.config.disk_reserve_bytes
            )));
            self.merge_from = Instant::now() + FAILURE_PAUSE;
            answer(&self.published.upkeep);
            return false;
        }
        self.set_waiting(None);
        match self.merge(&tenant, table, &merge, backlog) {
            Ok(()) => true,
            Err(_) if self.is_ending() => false,
            Err(error) => {
                self.published.counters.merge_failures.add(1);
                if may_be_in_a_file(&error) {
                    self.examine(table, &merge.inputs);
                }
                tracing::warn!(%tenant, table = table.name, %error, "a merge failed; nothing was changed");
                self.merge_from = Instant::now() + FAILURE_PAUSE;
                answer(&self.published.upkeep);
                false
            }
        }
    }

    /// Rewrites segments without what is erased, and replaces them.
    fn merge(&mut self, tenant: &TenantId, table: &'static Table, merge: &Merge, backlog: u64) -> Result<()> {
        let started = Instant::now();
        let target = self.target(tenant, table);
        let erasures = self.published.erasures(tenant);
        let mut step_started = Instant::now();
        let mut pause = || {
            if self.is_ending() {
                return Err(Error::Closed);
            }
            if !self.has_space(0) {
                self.published.counters.merges_refused.add(1);
                let source = io::Error::new(io::ErrorKind::StorageFull, "the disk is nearly full; ingest comes first");
                return Err(Error::Write { path: self.published.config.data.clone(), source });
            }
            // Half of the time is ingest's while it has something to do and the backlog is short.
            if backlog <= BACKLOG_MAX && self.published.queue_bytes.load(Ordering::Acquire) > 0 {
                std::thread::sleep(step_started.elapsed().min(REST_MAX));
            }
            step_started = Instant::now();
            Ok(())
        };
        let running = std::panic::AssertUnwindSafe(|| run::run(&target, table, merge, &erasures, &mut pause));
        // A damaged file can make a decoder panic (arrow-rs#9742): a failure like any other.
        let merged = std::panic::catch_unwind(running).unwrap_or_else(|_| {
            let path = merge.inputs.first().map(|input| input.path.to_string()).unwrap_or_default().into();
            Err(Error::Damaged { path, detail: "the decoder panicked".to_owned() })
        })?;
        let inputs = merged.inputs;
        let change = if merged.n_erased > 0 { Change::Removal } else { Change::Compaction };
        let (n_rows, bytes) = merged
            .outputs
            .iter()
            .fold((0, 0), |(n_rows, bytes), output| (n_rows + output.meta.n_rows, bytes + output.meta.size_bytes));
        self.replace(tenant, table, &inputs, merged.outputs, change)?;
        let counters = &self.published.counters;
        counters.merges.add(1);
        counters.merged_segments.add(inputs.len() as u64);
        counters.merged_rows.add(n_rows);
        counters.merge_read_bytes.add(inputs.iter().map(|input| input.size_bytes).sum());
        counters.merge_written_bytes.add(bytes);
        counters.erased_rows.add(merged.n_erased);
        self.published.upkeep.merged_at.store(self.published.clock.now().0, Ordering::Release);
        tracing::debug!(
            %tenant, table = table.name, inputs = inputs.len(), level = merge.level, rows = n_rows, bytes,
            elapsed_ms = started.elapsed().as_millis() as u64, "segments were merged"
        );
        Ok(())
    }

    /// Commits a replacement through the flusher and waits until it is published.
    fn replace(
        &mut self,
        tenant: &TenantId,
        table: &'static Table,
        old: &[Arc<SegmentMeta>],
        added: Vec<Written>,
        change: Change,
    ) -> Result<()> {
        let removed: Vec<Path> = old.iter().map(|segment| segment.path.clone()).collect();
        let flights: Vec<_> = added.iter().map(|output| output.in_flight.clone()).collect();
        let outputs: Vec<Path> = added.iter().map(|output| output.meta.path.clone()).collect();
        let (reply, answer) = sync_channel(1);
        let replacement = Replacement { tenant: tenant.clone(), table, removed: removed.clone(), added, change, reply };
        self.jobs.send(Job::Replace(replacement)).map_err(|_| Error::Closed)?;
        // Without an answer nobody knows: the outputs stay until vacuum sees whether a version names them.
        let answer = answer.recv().map_err(|_| Error::Closed)?;
        if let Err(error @ Error::TakenOver { .. }) = answer {
            // Found out before anything was committed.
            crate::segment::remove(&self.target(tenant, table), outputs.into_iter());
            return Err(error);
        }
        let is_done = answer?;
        drop(flights);
        if !is_done {
            crate::segment::remove(&self.target(tenant, table), outputs.into_iter());
            return Err(Error::TableLog { table: table.name, detail: "the segments changed meanwhile".to_owned() });
        }
        self.vacuum.replaced(old);
        // The commit is made; it is seen as soon as the writer gets to it.
        let until = Instant::now() + PUBLISH_PATIENCE;
        while !self.is_ending() && self.is_published(tenant, table, &removed) {
            if Instant::now() > until {
                let detail = "a commit was made and is not published: the writer does not answer".to_owned();
                return Err(Error::TableLog { table: table.name, detail });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.published.indexes.forget(&removed);
        Ok(())
    }

    fn is_published(&self, tenant: &TenantId, table: &'static Table, segments: &[Path]) -> bool {
        let view = self.published.view(tenant);
        let live = view.as_ref().map(|view| &view.tables[table.index()].segments);
        live.is_some_and(|live| live.iter().any(|segment| segments.contains(&segment.path)))
    }

    /// True when so many bytes more leave the reserve free.
    fn has_space(&self, bytes: u64) -> bool {
        let free = self.published.place.free_bytes();
        free.is_none_or(|free| free >= bytes.saturating_add(self.published.config.disk_reserve_bytes))
    }

    fn set_waiting(&self, why: Option<String>) {
        let before = self.published.upkeep.waiting.swap(why.clone().map(Arc::new));
        match (before, why) {
            (None, Some(why)) => tracing::warn!(why, "segments are not merged"),
            (Some(_), None) => tracing::info!("segments are merged again"),
            _ => {}
        }
    }

    /// Segments that nobody reads for now: damaged ones, and those that the disk did not give a while ago.
    fn left_alone(&mut self) -> HashSet<Path> {
        self.unreadable.retain(|_, since| since.elapsed() < UNREADABLE_PAUSE);
        let mut segments = self.published.damage.known().segments();
        segments.extend(self.unreadable.keys().cloned());
        segments
    }

    /// Reads segments one by one after something with them failed: those that are damaged or missing are left out of
    /// snapshots from now on, those that the disk does not give are left alone for a while.
    fn examine(&mut self, table: &'static Table, segments: &[Arc<SegmentMeta>]) {
        for segment in segments {
            match examine::read_whole(&self.published.place.store, self.runtime.handle(), table, segment) {
                Ok(_) => {}
                Err(fault @ (Fault::Missing | Fault::Damaged(_))) => {
                    let is_new = self.runtime.block_on(self.published.damage.add(segment, fault.to_string()));
                    self.published.counters.damaged_segments.add(u64::from(is_new));
                    self.published.place.checked.clear(&segment.path);
                }
                Err(Fault::Unreadable(error)) => {
                    tracing::error!(segment = %segment.path, error, "a segment cannot be read; it is left alone for a while");
                    self.unreadable.insert(segment.path.clone(), Instant::now());
                }
            }
        }
    }

    // Retention and vacuum.

    /// Drops segments that are too old or too many.
    fn expire(&mut self) {
        let now = self.published.clock.now();
        let tables = self.tables();
        let newest = tables.iter().flat_map(|(.., segments)| segments.iter()).map(|segment| segment.created).max();
        let today = self.guard.read(now, self.started.elapsed(), newest);
        for (tenant, table, segments) in tables {
            let config = &self.published.config;
            let policy = retention::Policy { days: config.days(table), bytes_max: config.bytes_max(table) };
            let expired = retention::expired(&segments, policy, today);
            if expired.is_empty() || self.is_ending() {
                continue;
            }
            let n_rows = expired.iter().map(|segment| segment.n_rows).sum();
            match self.replace(&tenant, table, &expired, Vec::new(), Change::Removal) {
                Ok(()) => {
                    self.published.counters.expired_segments.add(expired.len() as u64);
                    self.published.counters.expired_rows.add(n_rows);
                    tracing::info!(%tenant, table = table.name, segments = expired.len(), rows = n_rows, "segments expired");
                }
                Err(error) => {
                    tracing::warn!(%tenant, table = table.name, %error, "expired segments could not be dropped");
                }
            }
        }
        self.published.upkeep.expired_at.store(now.0, Ordering::Release);
    }

    /// Removes files that nobody needs any more.
    fn vacuum(&mut self) {
        let tenants: Vec<TenantId> = self.published.tenants().keys().cloned().collect();
        for tenant in tenants {
            for table in TABLES.iter().copied() {
                if self.is_ending() {
                    return;
                }
                if let Err(error) = self.vacuum_table(&tenant, table) {
                    tracing::warn!(%tenant, table = table.name, %error, "files that are not needed could not be removed");
                }
            }
        }
        self.published.upkeep.vacuumed_at.store(self.published.clock.now().0, Ordering::Release);
    }

    fn vacuum_table(&mut self, tenant: &TenantId, table: &'static Table) -> Result<()> {
        let prefix = paths::table(tenant, table);
        let place = &self.published.place;
        let listing = place.store.list(Some(&prefix)).map_ok(|object| object.location);
        let mut listed: Vec<Path> = self.runtime.block_on(listing.try_collect())?;
        listed.retain(paths::is_of_a_segment);
        if listed.is_empty() {
            return Ok(());
        }
        // In this order: a file that is committed meanwhile is in one of the two.
        let in_flight = self.published.in_flight.now();
        let view = self.published.view(tenant);
        let live = view.iter().flat_map(|view| view.tables[table.index()].segments.iter());
        let mut named: HashSet<Path> = live.map(|segment| segment.path.clone()).collect();
        let needed: HashSet<Path> = named.iter().chain(&in_flight).flat_map(paths::with_companions).collect();
        if !listed.iter().all(|file| needed.contains(file)) {
            // What the log says, not only what this process believes.
            let log = self.runtime.block_on(TableLog::open(place, tenant, table))?;
            named.extend(log.segments.iter().map(|segment| segment.path.clone()));
            // What is older than the log is not known to be needless: the log was lost, or not copied with it.
            // A log is begun before its first segment.
            listed.retain(|file| paths::parse_segment(file).0 >= log.begun);
        }
        let grace = Duration::from_secs(self.published.config.vacuum_grace_s);
        let due = self.vacuum.due(&prefix, &listed, &in_flight, &named, self.started.elapsed(), grace);
        if let Some(ownership) = place.ownership.as_ref().filter(|_| !due.is_empty()) {
            self.runtime.block_on(ownership.verify())?;
        }
        for file in due {
            match self.runtime.block_on(place.store.delete(&file)) {
                Ok(()) => self.published.counters.vacuumed_files.add(1),
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Errors that may come from what stands in a file, or from a file that is not there.
const fn may_be_in_a_file(error: &Error) -> bool {
    matches!(error, Error::Damaged { .. } | Error::Parquet(_) | Error::Arrow(_) | Error::ObjectStore(_))
}
