//! Batches in, durable columns out.
//!
//! An acknowledged batch is in the WAL (synced) or in a committed segment at any moment, and a reader
//! sees it exactly once. Storage does not know what a trace is: it knows tables, time ranges and ids.
//!
//! Four handles keep the walls: [`Appender`] (telemetry in), [`Reader`] (snapshots out), [`DerivedWriter`] (what
//! the digest makes from them, into tables of its own), and the owner [`Storage`] (open, close).
//!
//! | file           | knows                                                                    |
//! |----------------|--------------------------------------------------------------------------|
//! | `table.rs`     | THE schema                                                               |
//! | `batch.rs`     | rows that are proven to match it                                         |
//! | `place.rs`     | where the data lives: objects, WAL, the right to write                   |
//! | `bucket.rs`    | a prefix of a bucket as that place                                       |
//! | `directory.rs` | whose data directory it is, its format, the lock                         |
//! | `documents.rs` | small documents that people keep here: alert rules, silences             |
//! | `disk.rs`      | the few things storage asks of a disk                                    |
//! | `wal.rs`       | the log that makes an acknowledgement true                               |
//! | `writer.rs`    | the only task that changes anything                                      |
//! | `buffer.rs`    | accepted rows that are in no segment yet                                 |
//! | `flush.rs`     | sealed generations of the buffer into segments                           |
//! | `segment.rs`   | a Parquet file: order, layout, statistics                                |
//! | `index.rs`     | which rows of a segment may carry an id; a cache                         |
//! | `table_log.rs` | which segments are alive: a Delta log per table                          |
//! | `checked.rs`   | proves every byte of segments and table logs before it is seen           |
//! | `durable_local.rs` | local disk as an object store that syncs                             |
//! | `object_writer.rs` | an object written as a stream of bytes                               |
//! | `maintenance.rs` | merges, retention, erasure, vacuum: one thread, one thing at a time      |
//! | `compaction.rs` | which segments to merge, and the merge                                   |
//! | `retention.rs` | which segments are too old or too many                                   |
//! | `erasure.rs`   | rows that must go: hidden at once, rewritten later                       |
//! | `vacuum.rs`    | which files nobody needs any more                                        |
//! | `damage.rs`    | what cannot be read, remembered over restarts                            |
//! | `examine.rs`   | reading a segment whole, to know whether it is what it should be         |
//! | `inspect.rs`   | looking into a place from outside, for people                            |
//! | `recovery.rs`  | replay of old WAL files behind an open ingest                            |
//! | `published.rs` | what readers see, swapped as one value                                   |
//! | `background.rs` | threads that let ingest go first                                        |
//! | `follow.rs`    | rows as they become visible, for the digest and live streams             |
//! | `derived.rs`   | the write side of the digest                                             |
//! | `snapshot.rs`  | table version and buffer pinned for one reader                           |
//! | `id_set.rs`    | comparing many rows with many trace ids                                  |
//! | `paths.rs`     | every name in the data directory                                         |
//! | `status.rs`    | figures for `/api/status` and `/metrics`                                 |
//! | `metrics.rs`   | what is counted                                                          |
//! | `fuzz.rs`      | ways in for fuzzing, and for nothing else                                |

mod background;
mod batch;
mod bucket;
mod buffer;
mod checked;
mod clock;
mod compaction;
mod config;
mod damage;
mod derived;
mod directory;
mod disk;
mod documents;
mod durable_local;
mod erasure;
mod error;
mod examine;
mod flush;
mod follow;
#[doc(hidden)]
pub mod fuzz;
mod id_set;
mod index;
pub mod inspect;
mod maintenance;
mod metrics;
mod object_writer;
mod paths;
mod place;
mod published;
mod recovery;
mod retention;
mod segment;
mod snapshot;
mod status;
pub mod table;
mod table_log;
mod vacuum;
mod wal;
mod writer;

pub use background::let_ingest_go_first;
pub use batch::Batch;
pub use clock::{Clock, SystemClock};
pub use config::Config;
pub use derived::DerivedWriter;
pub use documents::{Documents, Shelf};
pub use erasure::{Erase, Erasure, Erasures};
pub use error::{Error, Result};
pub use follow::{Followed, Follower};
pub use index::{RowRanges, SegmentRows};
pub use metrics::Counts;
pub use snapshot::{BufferedRows, SegmentMeta, Snapshot, TableSnapshot};
pub use status::{MaintenanceStatus, Status};
pub use table::TABLES;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use model::{TenantId, UnixNanos};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use buffer::TenantView;
use damage::Damage;
use flush::{Flusher, Logs};
use maintenance::Maintenance;
use place::Owned;
use published::{Published, Reservation};
use recovery::Replay;
use wal::Encoded;
use writer::{Append, Command, Writer};

/// Appends that may wait, whatever their size.
const QUEUE_APPENDS_MAX: usize = 4096;
/// Commands on their way to the writer.
const COMMANDS_MAX: usize = 4;
/// Jobs on their way to the flusher: one generation at a time, and files to remove.
const JOBS_MAX: usize = 64;
/// Unflushed rows may take this many times `buffer_bytes_max` before appends are refused: one part being
/// written to segments, one filling up, one for a flush that is late.
const UNFLUSHED_FACTOR: u64 = 3;
/// Larger appends are encoded on a blocking thread; up to here it takes a few milliseconds.
const INLINE_BYTES_MAX: u64 = 4 << 20;
/// An append is answered within this time, however slow the disk (A17 leaves 5 s to the whole request). Tests wait longer: what
/// they claim of appends must not depend on how busy the machine is.
const APPEND_PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 120 } else { 4 });

/// Owner of the data directory. Dropping it without [`Storage::close`] is like a crash: nothing acknowledged is lost.
#[derive(Debug)]
pub struct Storage {
    published: Arc<Published>,
    appends: mpsc::Sender<Append>,
    commands: mpsc::Sender<Command>,
    stop: CancellationToken,
    threads: Vec<JoinHandle<()>>,
}

/// The write side: telemetry in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Appender {
    published: Arc<Published>,
    appends: mpsc::Sender<Append>,
}

/// The read side: snapshots out. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reader {
    published: Arc<Published>,
}

/// Orders to maintenance: erase, merge everything. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Maintainer {
    published: Arc<Published>,
}

impl Maintainer {
    /// Erases rows of a tenant. When this returns, a durable mark says so and no new snapshot shows them; within
    /// minutes they are rewritten away, and after `vacuum_grace_s` the old files are gone.
    ///
    /// # Errors
    /// [`Error::Write`] for something that cannot be erased (the text says why); what the store said.
    pub async fn erase(&self, tenant: &TenantId, erase: Erase) -> Result<Erasure> {
        erase.validate().map_err(|detail| Error::Write {
            path: "erasure".into(),
            source: io::Error::new(io::ErrorKind::InvalidInput, detail),
        })?;
        let now = self.published.clock.now();
        let erasure = erasure::save(&*self.published.place.store, tenant, erase, now).await?;
        self.published.change_erasures(tenant, |list| list.push(erasure.clone()));
        Ok(erasure)
    }

    /// What the tenant has erased and storage still holds.
    pub fn erasures(&self, tenant: &TenantId) -> Vec<Erasure> {
        self.published.erasures(tenant).list().cloned().collect()
    }

    /// Merges whatever can be merged, now. Returns when nothing is left to merge, or storage closes.
    pub async fn compact(&self) {
        let wanted = &self.published.upkeep.compact_all;
        wanted.store(true, Ordering::Release);
        self.wait_for(wanted).await;
    }

    /// Drops what has expired and removes files that nobody needs, now. Returns when that was done, or storage closes.
    pub async fn look_around(&self) {
        let wanted = &self.published.upkeep.look_now;
        wanted.store(true, Ordering::Release);
        self.wait_for(wanted).await;
    }

    async fn wait_for(&self, wanted: &AtomicBool) {
        while wanted.load(Ordering::Acquire) && !self.published.is_closed.load(Ordering::Acquire) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Storage {
    /// Opens or creates the data directory. Ingest is open when this returns; old WAL files may still be
    /// replaying behind it (snapshots then say `incomplete`).
    ///
    /// # Errors
    /// [`Error::InUse`] when another process holds the directory, [`Error::Open`] when it cannot be used.
    pub async fn open(config: Config, clock: Arc<dyn Clock>) -> Result<Self> {
        let path = config.data.clone();
        let network = Handle::current();
        let opening = tokio::task::spawn_blocking(move || Self::open_blocking(&config, clock, &network));
        opening.await.unwrap_or_else(|error| Err(Error::Open { path, detail: error.to_string() }))
    }

    fn open_blocking(config: &Config, clock: Arc<dyn Clock>, network: &Handle) -> Result<Self> {
        let refuse = |detail: String| Error::Open { path: config.data.clone(), detail };
        config.validate().map_err(refuse)?;
        Self::open_at(config, clock, place::open(config, network)?)
    }

    /// Opens what lies in a place. Blocks; must not be called on a runtime's worker.
    fn open_at(config: &Config, clock: Arc<dyn Clock>, owned: Owned) -> Result<Self> {
        let refuse = |detail: String| Error::Open { path: config.data.clone(), detail };
        let Owned { place, hold } = owned;
        let old = recovery::look(&place)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("storage-log")
            .enable_all()
            .build()
            .map_err(|error| refuse(error.to_string()))?;
        if config.strict_recovery {
            recovery::insist_on_whole(&place)?;
        }
        let (logs, unsettled) = runtime.block_on(recovery::open_logs(&place, config.strict_recovery))?;
        let damage = runtime.block_on(Damage::load(&place.store))?;
        let published = Arc::new(Published::new(config.clone(), clock, place, damage));
        published.wal_bytes.store(old.files.iter().map(|file| file.bytes).sum(), Ordering::Release);
        let covered: HashMap<(TenantId, usize), u64> =
            logs.iter().map(|(key, log)| (key.clone(), log.covered)).collect();
        publish_logs(&published, &logs);

        let next_sequence = covered.values().fold(old.next_sequence, |next, covered| next.max(covered + 1));
        published.accepted_sequence.store(next_sequence - 1, Ordering::Release);
        // Also those whose rows are in the WAL only.
        for tenant in runtime.block_on(recovery::tenants(&published.place))? {
            let marks = runtime.block_on(published.place.settle_names(&paths::erasures(&tenant)));
            marks.map_err(|error| refuse(format!("the names of its erasures cannot be made durable: {error}")))?;
            let found = runtime.block_on(erasure::load(&*published.place.store, &tenant))?;
            published.change_erasures(&tenant, |list| list.extend(found));
        }
        let (appends, append_queue) = mpsc::channel(QUEUE_APPENDS_MAX);
        let (commands, command_queue) = mpsc::channel(COMMANDS_MAX);
        let (jobs, job_queue) = std::sync::mpsc::sync_channel(JOBS_MAX);
        let stop = CancellationToken::new();
        let upkeep = Maintenance::new(Arc::clone(&published), jobs.clone(), stop.clone())
            .map_err(|error| refuse(error.to_string()))?;
        // Ends with the flusher's runtime, at the latest.
        runtime.spawn(unsettled.settle(published.place.checked.clone()));
        let flusher = Flusher {
            published: Arc::clone(&published),
            logs,
            at_hand: None,
            doubtful: Vec::new(),
            jobs: job_queue,
            waiting: VecDeque::new(),
            runtime,
            commands: commands.clone(),
            stop: stop.clone(),
            hold: Arc::clone(&hold),
        };
        let has_old_files = !old.files.is_empty();
        published.is_replaying.store(has_old_files, Ordering::Release);
        if has_old_files {
            published.incomplete.store(Some(Arc::new("the WAL is still being replayed".to_owned())));
        }
        let writer =
            Writer::open(Arc::clone(&published), hold, next_sequence, append_queue, command_queue, jobs, stop.clone())?;
        let mut threads = vec![
            spawn("storage-writer", move || run_writer(writer)),
            spawn("storage-flush", move || flusher.run()),
            spawn("storage-upkeep", move || {
                let_ingest_go_first();
                upkeep.run()
            }),
        ];
        if has_old_files {
            let replay = Replay {
                published: Arc::clone(&published),
                commands: commands.clone(),
                stop: stop.clone(),
                files: old.files,
            };
            let run = move || {
                replay.run(&|tenant, table, sequence| {
                    covered.get(&(tenant.clone(), table.index())).is_some_and(|covered| sequence <= *covered)
                });
            };
            threads.push(spawn("storage-replay", run));
        }
        let threads = threads.into_iter().collect::<io::Result<Vec<_>>>().map_err(|error| refuse(error.to_string()))?;
        Ok(Self { published, appends, commands, stop, threads })
    }

    /// A handle for telemetry in.
    pub fn appender(&self) -> Appender {
        Appender { published: Arc::clone(&self.published), appends: self.appends.clone() }
    }

    /// A handle for what is made from telemetry: into derived tables only.
    pub fn derived_writer(&self) -> DerivedWriter {
        DerivedWriter::new(self.appender())
    }

    /// A handle for small documents.
    pub fn documents(&self) -> Documents {
        Documents::new(Arc::clone(&self.published))
    }

    /// A handle for orders to maintenance.
    pub fn maintainer(&self) -> Maintainer {
        Maintainer { published: Arc::clone(&self.published) }
    }

    /// A handle for snapshots out.
    pub fn reader(&self) -> Reader {
        Reader { published: Arc::clone(&self.published) }
    }

    /// Waits until another process has become the writer of this place, and says so. Never ends for a directory: its
    /// lock cannot be taken over.
    pub fn taken_over(&self) -> impl Future<Output = Error> + Send + use<> {
        let published = Arc::clone(&self.published);
        async move {
            let Some(ownership) = &published.place.ownership else { return std::future::pending().await };
            let detail = ownership.lost().await;
            Error::TakenOver { place: published.config.data.display().to_string(), detail }
        }
    }

    /// Takes no more appends, writes the buffer to segments, syncs, and lets the directory go.
    ///
    /// # Errors
    /// What could not be written; acknowledged rows stay in the WAL in that case.
    pub async fn close(mut self) -> Result<()> {
        let (reply, closed) = oneshot::channel();
        let sent = self.commands.send(Command::Close { reply }).await;
        let result = if sent.is_ok() { closed.await.unwrap_or(Err(Error::Closed)) } else { Err(Error::Closed) };
        self.stop.cancel();
        let threads = std::mem::take(&mut self.threads);
        // Whoever opens the directory next must find it free.
        let _ = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join()))).await;
        result
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

/// Shows the segments that were there at open.
fn publish_logs(published: &Published, logs: &Logs) {
    let mut views: HashMap<&TenantId, TenantView> = HashMap::new();
    for ((tenant, table), log) in logs {
        let view = views.entry(tenant).or_insert_with(TenantView::new);
        let mut changed = view.tables[*table].change();
        changed.version = log.version;
        changed.segments = Arc::clone(&log.segments);
        view.tables[*table] = Arc::new(changed);
    }
    for (tenant, view) in views {
        published.publish(tenant, view);
    }
}

/// The writer's thread has a runtime of its own: it must outlive the one that opened storage.
fn run_writer(writer: Writer) {
    match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime.block_on(writer.run()),
        Err(error) => tracing::error!(%error, "the writer cannot start"),
    }
}

impl Appender {
    /// Makes the batches durable as one record: all of them or none. Returns after the sync; the rows
    /// are then visible to every new snapshot.
    ///
    /// # Errors
    /// [`Error::Full`] and [`Error::Write`] are worth a retry after a pause; nothing was acknowledged.
    /// [`Error::TooLarge`]: send less at once. [`Error::BatchMismatch`] for rows of a derived table.
    pub async fn append(&self, tenant: &TenantId, batches: Vec<Batch>) -> Result<()> {
        only(&batches, false)?;
        let answer = self.send(tenant, batches).await?;
        match tokio::time::timeout(APPEND_PATIENCE, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Error::Closed),
            Err(_) => {
                self.published.counters.refused_appends.add(1);
                let source = io::Error::new(io::ErrorKind::TimedOut, "the disk did not answer in time");
                Err(Error::Write { path: self.published.config.data.join("_wal"), source })
            }
        }
    }

    /// Puts the batches into the queue; the answer comes after the sync.
    async fn send(&self, tenant: &TenantId, batches: Vec<Batch>) -> Result<oneshot::Receiver<Result<()>>> {
        let (reply, answer) = oneshot::channel();
        let n_bytes: u64 = batches.iter().map(Batch::bytes).sum();
        let prepared = if n_bytes <= INLINE_BYTES_MAX {
            self.prepare(tenant, batches, reply)
        } else {
            let (appender, tenant) = (self.clone(), tenant.clone());
            let preparing = tokio::task::spawn_blocking(move || appender.prepare(&tenant, batches, reply));
            preparing.await.unwrap_or(Err(Error::Closed))
        };
        if let Some(append) = prepared? {
            self.appends.try_send(append).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => self.full(self.published.queue_bytes.load(Ordering::Acquire)),
                mpsc::error::TrySendError::Closed(_) => Error::Closed,
            })?;
        }
        Ok(answer)
    }

    /// Takes room in the queue and encodes; `None`, and the reply given, when there are no rows.
    fn prepare(
        &self,
        tenant: &TenantId,
        mut batches: Vec<Batch>,
        reply: oneshot::Sender<Result<()>>,
    ) -> Result<Option<Append>> {
        if self.published.is_closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        batches.retain(|batch| batch.n_rows() > 0);
        if batches.is_empty() {
            let _ = reply.send(Ok(()));
            return Ok(None);
        }
        let limit_bytes = self.published.config.buffer_bytes_max.saturating_mul(UNFLUSHED_FACTOR);
        let used_bytes = self.published.buffer_bytes.load(Ordering::Acquire);
        if used_bytes >= limit_bytes {
            self.published.counters.refused_appends.add(1);
            return Err(Error::Full { used_bytes, limit_bytes });
        }
        let n_bytes = batches.iter().map(Batch::bytes).sum();
        let reservation = Reservation::take(&self.published, n_bytes).map_err(|used_bytes| self.full(used_bytes))?;
        let record = Encoded::append(tenant, &batches, self.published.config.wal_record_bytes_max)?;
        let rows = batches.into_iter().filter_map(|batch| {
            let rows = buffer::rows(batch.records().clone(), batch.time_range(), batch.bytes())?;
            Some((batch.table(), rows))
        });
        let deadline = tokio::time::Instant::now() + APPEND_PATIENCE;
        Ok(Some(Append { tenant: tenant.clone(), record, rows: rows.collect(), reservation, deadline, reply }))
    }

    fn full(&self, used_bytes: u64) -> Error {
        self.published.counters.refused_appends.add(1);
        Error::Full { used_bytes, limit_bytes: self.published.config.append_queue_bytes_max }
    }
}

/// Refuses rows of tables that are (or are not) derived.
fn only(batches: &[Batch], derived: bool) -> Result<()> {
    // Recording rules make points that are metrics like any other.
    let may =
        |batch: &&Batch| batch.table().is_derived == derived || (derived && *batch.table() == table::NUMBER_POINTS);
    match batches.iter().find(|batch| !may(batch)) {
        None => Ok(()),
        Some(batch) => {
            let who = if derived { "telemetry" } else { "what is derived here" };
            Err(Error::BatchMismatch { table: batch.table().name, detail: format!("only {who} writes this table") })
        }
    }
}

impl Reader {
    /// The tenant's tables at this moment: table versions and write buffer pinned together. Never waits.
    pub fn snapshot(&self, tenant: &TenantId) -> Arc<Snapshot> {
        Arc::new(self.published.snapshot(tenant))
    }

    /// Looks for damage among the segments of a snapshot that could not be read, for 20 s at most: those that were not what
    /// the table log says when they were read, or else all, from where the last search stopped. Damaged ones are left
    /// out of later snapshots, which then say `incomplete`. Gives how many segments of this snapshot later ones leave
    /// out. Must be called on a runtime; the search goes on when nobody waits for it any more.
    pub async fn find_damage(&self, snapshot: &Snapshot) -> u64 {
        examine::find_damage(&self.published, snapshot).await
    }

    /// Returns when writing has failed for so long that only another process or a person can help
    /// (`give_up_after_s`), with what to tell the person.
    pub async fn failed(&self) -> String {
        let mut failure = self.published.failure.subscribe();
        match failure.wait_for(Option::is_some).await {
            Ok(text) => text.clone().unwrap_or_default(),
            // Storage has gone in order.
            Err(_) => std::future::pending().await,
        }
    }

    /// A number that grows whenever new rows or segments became visible.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.published.watch()
    }

    /// Rows of a table as they become visible from now on, of every tenant; those of old WAL files, which are still
    /// being replayed, are not among them. Every follower has a queue of its own.
    pub fn follow(&self, table: &'static table::Table) -> Follower {
        self.published.follow(table)
    }

    /// Tenants that have or had rows, by name.
    pub fn tenants(&self) -> Vec<TenantId> {
        let mut tenants: Vec<TenantId> = self.published.tenants().keys().cloned().collect();
        tenants.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        tenants
    }

    /// Old WAL files are still being replayed: their rows are in no snapshot yet, or not all of them.
    pub fn is_replaying(&self) -> bool {
        self.published.is_replaying.load(Ordering::Acquire)
    }

    /// Figures about storage.
    pub fn status(&self) -> Status {
        let published = &self.published;
        let read = |value: &std::sync::atomic::AtomicU64| value.load(Ordering::Acquire);
        let views: Vec<_> = published.tenants().values().map(|cell| cell.load_full()).collect();
        let tables = views.iter().flat_map(|view| &view.tables);
        let segments: Vec<&Arc<SegmentMeta>> = tables.flat_map(|table| table.segments.iter()).collect();
        let disk_free_bytes = published.place.free_bytes();
        Status {
            append_queue_bytes: read(&published.queue_bytes),
            buffer_bytes: read(&published.buffer_bytes),
            buffer_rows: read(&published.buffer_rows),
            wal_bytes: read(&published.wal_bytes),
            segments: segments.len() as u64,
            segment_bytes: segments.iter().map(|segment| segment.size_bytes).sum(),
            segment_rows: segments.iter().map(|segment| segment.n_rows).sum(),
            disk_free_bytes,
            disk_days_left: status::days_left(
                &segments,
                disk_free_bytes,
                published.config.retention_days,
                published.clock.now(),
            ),
            refusing: published.refusing.load().as_deref().cloned(),
            replaying: published.is_replaying.load(Ordering::Acquire),
            segments_by_level: segments.iter().fold([0; 3], |mut n, segment| {
                n[usize::from(segment.level.min(2))] += 1;
                n
            }),
            maintenance: {
                let upkeep = &published.upkeep;
                let moment = |value: &std::sync::atomic::AtomicI64| {
                    let nanos = value.load(Ordering::Acquire);
                    (nanos != 0).then_some(UnixNanos(nanos))
                };
                let erasing = published.erasing_tenants();
                MaintenanceStatus {
                    merge_backlog_segments: read(&upkeep.backlog),
                    merges_waiting: upkeep.waiting.load().as_deref().cloned(),
                    last_merge: moment(&upkeep.merged_at),
                    last_retention: moment(&upkeep.expired_at),
                    last_vacuum: moment(&upkeep.vacuumed_at),
                    erasures: erasing.iter().map(|tenant| published.erasures(tenant).list().count() as u64).sum(),
                }
            },
            counts: published.counters.read(),
        }
    }
}

#[cfg(test)]
#[expect(clippy::print_stdout, reason = "long tests print what they did")]
mod tests;
