//! Power cuts at random steps: a seed is a world with its own disk, load and crashes, and every acknowledged row
//! must be there once, whatever happened.
//!
//! Each seed runs several processes on one [`SimulatedDisk`]. A process opens storage, must show everything that was
//! acknowledged before, takes appends of several tenants and tables while the buffer is flushed, segments are merged,
//! old days expire, traces are erased and files vacuumed again and again, and is ended by a crash at a random call of the
//! disk, or in order. In some processes the disk also fails or is full.
//!
//! | rows                | must be there                                                          |
//! |---------------------|------------------------------------------------------------------------|
//! | acknowledged        | whole and once                                                         |
//! | not acknowledged    | whole and once, or not at all                                          |
//! | of an expired day   | the same, or gone for good                                             |
//! | of an erased trace  | hidden from the moment that erasing was acknowledged, and never back   |
//!
//! The threads of storage are real, so that a seed decides what happens at which call of the disk, not which thread
//! makes the call: a failure prints the seed and the last calls, and the other worlds go on. `HODOSCOPE_SEEDS` sets the
//! number of seeds, `HODOSCOPE_FIRST_SEED` the first one, so that runs add up. After `HODOSCOPE_SECONDS_MAX` no further world begins: what
//! was run until then counts, and is said.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{ArrayRef, Int64Array};
use futures::StreamExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::disk::simulated::{Faults, SimulatedDisk};
use crate::segment::SegmentScan;
use crate::table::LOGS;

mod every_call;

/// Seeds of the short form.
const SEEDS: u64 = 60;
/// Worlds at the same time: a good part of one's time is waiting.
const WORLDS_AT_ONCE: usize = 4;
/// Distance between the first numbers of two batches.
const BATCH: u64 = 1000;
/// An append that takes so long has been forgotten.
const PATIENCE: Duration = Duration::from_secs(300);

/// The first rows of an append, which are one trace and can be erased.
const TRACE: u64 = 10;
/// Days after which rows expire.
const RETENTION_DAYS: u32 = 30;

/// One append: rows of both tables, or of one.
#[derive(Clone, Debug)]
struct Entry {
    tenant: TenantId,
    n_spans: u64,
    n_logs: u64,
    is_acknowledged: bool,
    /// Its spans are of a day that may expire.
    is_old: bool,
    /// They were seen to have expired.
    is_expired: bool,
    erased: Erased,
}

/// Whether the spans of an append's first trace are erased.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Erased {
    No,
    /// The answer never came.
    Perhaps,
    Yes,
}

impl Entry {
    /// Rows that may be found in a table; `None` for no rows at all when `rows` is empty.
    fn may_be(&self, table: &table::Table, rows: &[u64]) -> bool {
        let n = if table == &SPANS { self.n_spans } else { self.n_logs };
        let is_from = |first: u64| rows.iter().copied().eq(first.min(n)..n);
        if table != &SPANS {
            return is_from(0);
        }
        match self.erased {
            Erased::No => is_from(0),
            Erased::Perhaps => is_from(0) || is_from(TRACE),
            Erased::Yes => is_from(TRACE),
        }
    }

    /// True when rows must be found in a table.
    fn must_be(&self, table: &table::Table) -> bool {
        let n = if table == &SPANS { self.n_spans } else { self.n_logs };
        let may_be_gone = table == &SPANS && (self.is_old || (self.erased != Erased::No && n <= TRACE));
        self.is_acknowledged && n > 0 && !may_be_gone
    }
}

/// Appends by number.
type Ledger = BTreeMap<u64, Entry>;

struct World {
    seed: u64,
    rng: StdRng,
    disk: SimulatedDisk,
    ledger: Ledger,
    next: u64,
    /// Most worlds are small, so that there can be many.
    has_other_tenant: bool,
    n_crashes: u64,
    n_merges: u64,
    n_expired: u64,
    n_erased: u64,
    n_vacuumed: u64,
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Whether another world may begin in a run that began then.
fn is_time_left(begun: std::time::Instant) -> bool {
    setting("HODOSCOPE_SECONDS_MAX").is_none_or(|seconds| begun.elapsed() < Duration::from_secs(seconds))
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let has_other_tenant = rng.random_bool(0.25);
        let disk = SimulatedDisk::new(seed);
        Self {
            seed,
            rng,
            disk,
            ledger: Ledger::new(),
            next: 1,
            has_other_tenant,
            n_crashes: 0,
            n_merges: 0,
            n_expired: 0,
            n_erased: 0,
            n_vacuumed: 0,
        }
    }

    /// Small limits, so that a process sees flushes, many WAL files and refused appends.
    fn config(&mut self) -> Config {
        Config {
            data: "/var/data".into(),
            group_commit_ms: 0,
            wal_file_bytes: [3_000, 20_000, 128 << 20][self.rng.random_range(0..3)],
            buffer_bytes_max: [10_000, 40_000, 400_000][self.rng.random_range(0..3)],
            retention_days: RETENTION_DAYS,
            compaction_wait_s: 0,
            vacuum_grace_s: 0,
            erasure_hold_s: 0,
            disk_reserve_bytes: [0, 0, 20_000][self.rng.random_range(0..3)],
            ..Config::default()
        }
    }

    /// Panics with everything one needs to look into it.
    fn fail(&self, what: &str) -> ! {
        panic!("seed {}: {what}\nlast calls of the disk:\n{}", self.seed, self.disk.trace());
    }

    async fn run(&mut self) {
        let n_processes = self.rng.random_range(2..6);
        for _ in 0..n_processes {
            self.process().await;
            self.disk = self.disk.restart();
        }
        self.find_everything().await;
    }

    /// In the end nothing goes wrong, and everything is there; after an orderly end too.
    async fn find_everything(&mut self) {
        for _ in 0..2 {
            let Some(storage) = self.open(None).await else { self.fail("the last start failed") };
            self.check(&storage).await;
            if let Err(error) = storage.close().await {
                self.fail(&format!("a healthy disk, and closing failed: {error}"));
            }
            self.disk = self.disk.restart();
        }
        let wal = self.disk.files().into_keys().filter(|path| path.starts_with("/var/data/_wal")).count();
        assert_eq!(wal, 0, "seed {}: an orderly end leaves no WAL", self.seed);
        let temporary = self.disk.files().into_keys().find(|path| path.to_string_lossy().ends_with(".tmp"));
        assert_eq!(temporary, None, "seed {}", self.seed);
    }

    /// One process: from open to a crash or an orderly end.
    async fn process(&mut self) {
        let n_calls = match self.rng.random_range(0..4) {
            0 => Some(self.rng.random_range(0..60)),
            1 => Some(self.rng.random_range(0..150)),
            2 => Some(self.rng.random_range(0..500)),
            _ => None,
        };
        let faults = if self.rng.random_bool(0.2) { self.faults() } else { Faults::default() };
        let Some(storage) = self.open(n_calls).await else {
            self.n_crashes += 1;
            return;
        };
        self.disk.pause(true);
        self.check(&storage).await;
        self.disk.pause(false);
        self.disk.set_faults(faults);
        let n_appends = self.rng.random_range(1..25);
        let stop = CancellationToken::new();
        let upkeep = tokio::spawn(keep_up(storage.maintainer(), self.rng.random(), stop.clone()));
        self.load(&storage, n_appends).await;
        stop.cancel();
        // Also after a crash: who waits for maintenance hears from it.
        if tokio::time::timeout(PATIENCE, upkeep).await.is_err() {
            let status = storage.reader().status();
            self.fail(&format!("maintenance does not answer: {:?}, {:?}", status.maintenance, status.counts));
        }
        self.note_counts(&storage);
        if self.rng.random_bool(0.3) {
            self.disk.pause(true);
            self.check(&storage).await;
            self.disk.pause(false);
        }
        if self.disk.is_crashed() || self.rng.random_bool(0.5) {
            // A power cut at this very moment, when none came yet.
            self.disk.crash();
            self.n_crashes += 1;
            drop(storage);
            return;
        }
        // May meet the crash on its way.
        if let Err(error) = storage.close().await
            && !self.disk.is_crashed()
            && faults == Faults::default()
        {
            self.fail(&format!("closing failed: {error}"));
        }
        self.n_crashes += u64::from(self.disk.is_crashed());
    }

    fn note_counts(&mut self, storage: &Storage) {
        let counts = storage.reader().status().counts;
        self.n_merges += counts.merges;
        self.n_expired += counts.expired_segments;
        self.n_erased += counts.erased_rows;
        self.n_vacuumed += counts.vacuumed_files;
    }

    fn faults(&mut self) -> Faults {
        let rate = [0.01, 0.05][self.rng.random_range(0..2)];
        match self.rng.random_range(0..5) {
            0 => Faults { write: rate, ..Faults::default() },
            1 => Faults { sync: rate, ..Faults::default() },
            2 => Faults { read: rate, ..Faults::default() },
            3 => Faults { sync_delay: Duration::from_millis(3), ..Faults::default() },
            _ => {
                let used: u64 = self.disk.files().values().map(|bytes| bytes.len() as u64).sum();
                Faults { capacity: used + self.rng.random_range(5_000..200_000), ..Faults::default() }
            }
        }
    }

    /// Opens storage and waits for replay; `None` when the crash came meanwhile.
    async fn open(&mut self, crash_after: Option<u64>) -> Option<Storage> {
        let config = self.config();
        self.open_with(config, crash_after).await
    }

    /// The same with these settings.
    async fn open_with(&mut self, config: Config, crash_after: Option<u64>) -> Option<Storage> {
        if let Some(n_calls) = crash_after {
            self.disk.crash_after(n_calls);
        }
        let disk = self.disk.clone();
        let opening = tokio::task::spawn_blocking(move || {
            let owned = directory::open(Arc::new(disk), Path::new("/var/data"))?;
            Storage::open_at(&config, Arc::new(SystemClock), owned)
        });
        let storage = match opening.await.expect("storage does not panic") {
            Ok(storage) => storage,
            Err(_) if self.disk.is_crashed() => return None,
            Err(error) => self.fail(&format!("a start failed: {error}")),
        };
        let begun = std::time::Instant::now();
        while storage.reader().status().replaying {
            if self.disk.is_crashed() {
                return None;
            }
            if begun.elapsed() > PATIENCE {
                self.fail("replay does not end");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Some(storage)
    }

    /// Some appends, several at once; keeps the ledger.
    async fn load(&mut self, storage: &Storage, n_appends: u64) {
        let mut left = n_appends;
        while left > 0 && !self.disk.is_crashed() {
            let n_at_once = self.rng.random_range(1..=left.min(6));
            left -= n_at_once;
            if self.rng.random_bool(0.15) {
                self.erase(storage).await;
            }
            let appends: Vec<_> = (0..n_at_once).map(|_| self.append(storage)).collect();
            for (number, result) in futures::future::join_all(appends).await {
                let entry = self.ledger.get_mut(&number).expect("it was written down");
                match result {
                    Ok(Ok(())) => entry.is_acknowledged = true,
                    Ok(Err(_)) => {}
                    Err(_) => self.fail(&format!("append {number} is never answered")),
                }
            }
        }
    }

    /// Erases the first trace of an append that was acknowledged.
    async fn erase(&mut self, storage: &Storage) {
        let known: Vec<u64> = self
            .ledger
            .iter()
            .filter(|(_, entry)| entry.is_acknowledged && entry.n_spans > 0 && entry.erased == Erased::No)
            .map(|(number, _)| *number)
            .collect();
        if known.is_empty() {
            return;
        }
        let number = known[self.rng.random_range(0..known.len())];
        let entry = self.ledger.get_mut(&number).expect("it was chosen from there");
        entry.erased = Erased::Perhaps;
        let trace = model::TraceId::from_bytes(&rows::trace_id(number * BATCH / TRACE)).expect("not zero");
        if storage.maintainer().erase(&entry.tenant, Erase::trace(trace)).await.is_ok() {
            entry.erased = Erased::Yes;
        }
    }

    /// Writes an append down and begins it.
    fn append(
        &mut self,
        storage: &Storage,
    ) -> impl Future<Output = (u64, Result<Result<()>, tokio::time::error::Elapsed>)> + use<> {
        let number = self.next;
        self.next += 1;
        let is_other = self.has_other_tenant && self.rng.random_bool(0.5);
        let tenant = TenantId::new(if is_other { "other" } else { "default" }).expect("legal");
        let large = self.rng.random_bool(0.1);
        let n_spans = self.rng.random_range(0..if large { 300 } else { 12 });
        let n_logs = if n_spans == 0 { 3 } else { self.rng.random_range(0_u64..8).saturating_sub(4) };
        let first = number * BATCH;
        // Some rows of yesterday, some of a day that expires: other partitions.
        let days_ago = match self.rng.random_range(0..20) {
            0 => 1,
            1 | 2 => i64::from(RETENTION_DAYS) + 10,
            _ => 0,
        };
        let today = i64::from(SystemClock.now().day()) * UnixNanos::DAY;
        // An append's spans are of one day: they are there together, or not.
        let day = today - days_ago * UnixNanos::DAY;
        let spans = rows::spans_at(first..first + n_spans, day);
        let logs = rows::numbered_logs(first..first + n_logs);
        let batches = vec![at(&SPANS, &spans, day), at(&LOGS, &logs, today)];
        let is_old = days_ago > i64::from(RETENTION_DAYS);
        let (erased, is_expired, is_acknowledged) = (Erased::No, false, false);
        let entry = Entry { tenant: tenant.clone(), n_spans, n_logs, is_acknowledged, is_old, is_expired, erased };
        self.ledger.insert(number, entry);
        let appender = storage.appender();
        async move { (number, tokio::time::timeout(PATIENCE, appender.append(&tenant, batches)).await) }
    }

    /// Every acknowledged append is there, whole and once; others whole and once, or not at all.
    async fn check(&mut self, storage: &Storage) {
        if self.disk.is_crashed() {
            return;
        }
        for tenant in ["default", "other"].map(|name| TenantId::new(name).expect("legal")) {
            let snapshot = storage.reader().snapshot(&tenant);
            if let Some(reason) = &snapshot.incomplete {
                self.fail(&format!("a snapshot is incomplete, and nothing was damaged: {reason}"));
            }
            for table in [&SPANS, &LOGS] {
                let ids = match stored(&snapshot, table).await {
                    Ok(ids) => ids,
                    Err(error) => self.fail(&format!("{} of {tenant} cannot be read: {error}", table.name)),
                };
                let mut found: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
                ids.into_iter().for_each(|id| found.entry(id / BATCH).or_default().push(id % BATCH));
                for (number, rows) in &mut found {
                    rows.sort_unstable();
                    let Some(entry) = self.ledger.get(number).filter(|entry| entry.tenant == tenant) else {
                        self.fail(&format!("{} of append {number} were never sent by {tenant}", table.name));
                    };
                    if !entry.may_be(table, rows) {
                        self.fail(&format!("{} of append {number}: {entry:?} and stored {rows:?}", table.name));
                    }
                    if entry.is_expired && table == &SPANS {
                        self.fail(&format!("{} of append {number} had expired and are back: {entry:?}", table.name));
                    }
                }
                let missing: Vec<u64> = self
                    .ledger
                    .iter()
                    .filter(|(number, entry)| entry.tenant == tenant && !found.contains_key(*number))
                    .map(|(number, _)| *number)
                    .collect();
                for number in missing {
                    let Some(entry) = self.ledger.get_mut(&number) else { continue };
                    // Gone for good: before, what was acknowledged was there.
                    let is_plain = entry.is_acknowledged && entry.erased == Erased::No && entry.n_spans > 0;
                    entry.is_expired |= table == &SPANS && entry.is_old && is_plain;
                    if entry.must_be(table) {
                        let entry = entry.clone();
                        self.fail(&format!("{} of append {number} are lost: {entry:?}", table.name));
                    }
                }
            }
            // What is visible before a crash may be gone after it, unless it was acknowledged: nothing to keep.
        }
    }
}

/// Numbers of all rows of a table.
pub(super) async fn stored(snapshot: &Snapshot, table: &'static table::Table) -> Result<Vec<u64>> {
    let Some(entry) = snapshot.table(table) else { return Ok(Vec::new()) };
    let erasures = entry.erasures.clone();
    let buffered = entry.buffer.iter().filter_map(|rows| erasures.keep(rows.records.clone()));
    let mut ids: Vec<u64> = buffered.flat_map(|rows| span_ids(&rows)).collect();
    let (store, segments, runtime) = (Arc::clone(&snapshot.store), Arc::clone(&entry.segments), Handle::current());
    let columns = ["trace_id", "span_id"].map(|name| table.column(name).expect("both tables have it").0);
    let reading = tokio::task::spawn_blocking(move || {
        let mut ids = Vec::new();
        for segment in segments.iter() {
            let mut n_rows = 0;
            let mut scan = SegmentScan::open(&store, &runtime, table, segment, columns.to_vec(), 10_000)?;
            while let Some(rows) = scan.next()? {
                n_rows += rows.num_rows() as u64;
                ids.extend(erasures.keep(rows).iter().flat_map(span_ids));
            }
            assert_eq!(n_rows, segment.n_rows, "{}", segment.path);
        }
        Ok::<_, Error>(ids)
    });
    ids.extend(reading.await.expect("reading does not panic")?);
    Ok(ids)
}

/// Gives orders to maintenance, as fast as it follows them, or with pauses.
async fn keep_up(maintainer: Maintainer, seed: u64, stop: CancellationToken) {
    let mut rng = StdRng::seed_from_u64(seed);
    while !stop.is_cancelled() {
        match rng.random_range(0..4) {
            0 => {
                // Nothing expires before two readings of the clock agree.
                maintainer.look_around().await;
                maintainer.look_around().await;
            }
            1 | 2 => maintainer.compact().await,
            _ => tokio::time::sleep(Duration::from_millis(rng.random_range(0..8))).await,
        }
    }
}

/// The same rows, a millisecond apart from this moment on, each arrived when it was made: then its day is that of its
/// time.
fn at(table: &'static table::Table, batch: &Batch, start: i64) -> Batch {
    let times = (0..batch.n_rows() as i64).map(|n| start + n * 1_000_000);
    let times: ArrayRef = Arc::new(times.collect::<Int64Array>());
    rows::batch(table, batch.n_rows(), |column| {
        let is_time = column.name == table.time || column.name == "arrival_time";
        if is_time { Some(Arc::clone(&times)) } else { batch.records().column_by_name(column.name).cloned() }
    })
}

/// What worlds did, added up.
#[derive(Debug, Default)]
struct Sums {
    n_crashes: u64,
    n_acknowledged: u64,
    n_merges: u64,
    n_expired: u64,
    n_erased: u64,
    n_vacuumed: u64,
}

impl Sums {
    fn add(&mut self, world: &World) {
        self.n_crashes += world.n_crashes;
        self.n_acknowledged += world.ledger.values().filter(|entry| entry.is_acknowledged).count() as u64;
        self.n_merges += world.n_merges;
        self.n_expired += world.n_expired;
        self.n_erased += world.n_erased;
        self.n_vacuumed += world.n_vacuumed;
    }
}

impl std::fmt::Display for Sums {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { n_crashes, n_acknowledged, n_merges, n_expired, n_erased, n_vacuumed } = self;
        write!(
            f,
            "{n_crashes} crashes, {n_acknowledged} acknowledged appends, {n_merges} merges, {n_expired} segments expired, \
             {n_erased} rows erased, {n_vacuumed} files vacuumed"
        )
    }
}

/// F2: see above.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f02_power_cuts_lose_nothing_that_was_acknowledged() {
    let first = setting("HODOSCOPE_FIRST_SEED").unwrap_or(1);
    let n_seeds = setting("HODOSCOPE_SEEDS").unwrap_or(SEEDS);
    let begun = std::time::Instant::now();
    let seeds = (first..first + n_seeds).take_while(|_| is_time_left(begun));
    let worlds = futures::stream::iter(seeds).map(|seed| async move {
        let running = tokio::spawn(async move {
            let mut world = World::new(seed);
            world.run().await;
            world
        });
        (seed, running.await)
    });
    let mut worlds = std::pin::pin!(worlds.buffer_unordered(WORLDS_AT_ONCE));
    let (mut sums, mut n_done, mut failed) = (Sums::default(), 0_u64, Vec::new());
    while let Some((seed, world)) = worlds.next().await {
        n_done += 1;
        match world {
            Ok(world) => sums.add(&world),
            // It has said why; in a long run the others are worth knowing too.
            Err(_) => failed.push(seed),
        }
        if n_seeds > SEEDS && n_done % 100 == 0 {
            println!("power cuts: {n_done} seeds, {sums}, failed: {failed:?}, {:?}", begun.elapsed());
        }
    }
    let (n_seeds, last) = (n_done, first + n_done - 1);
    println!("power cuts: {n_seeds} seeds ({first} to {last}), {sums}, failed: {failed:?}, {:?}", begun.elapsed());
    assert!(failed.is_empty(), "something was lost, or a start failed, in the worlds of these seeds: {failed:?}");
    assert!(sums.n_acknowledged > n_seeds, "the worlds did too little to prove anything");
    if n_seeds >= SEEDS {
        let done = [sums.n_merges, sums.n_expired, sums.n_erased, sums.n_vacuumed];
        assert!(done.iter().all(|n| *n > 0), "maintenance did too little to prove anything: {sums}");
    }
}
