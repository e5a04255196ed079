//! Power cuts at random steps: a seed is a world with its own disk, load and crashes, and every acknowledged row
//! must be there once, whatever happened.
//!
//! Each seed runs several processes on one [`SimulatedDisk`]. A process opens storage, must show everything that was
//! acknowledged before, takes appends of several tenants and tables while the buffer is flushed again and again, and
//! is ended by a crash at a random call of the disk, or in order. In some processes the disk also fails or is full.
//!
//! The threads of storage are real, so that a seed decides what happens at which call of the disk, not which thread
//! makes the call: a failure prints the seed and the last calls. `HODOSCOPE_SEEDS` sets the number of seeds,
//! `HODOSCOPE_FIRST_SEED` the first one.

use std::collections::BTreeMap;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::disk::simulated::{Faults, SimulatedDisk};
use crate::segment::SegmentScan;
use crate::table::LOGS;

/// Seeds of the short form.
const SEEDS: u64 = 60;
/// Distance between the first numbers of two batches.
const BATCH: u64 = 1000;
/// An append that takes so long has been forgotten.
const PATIENCE: Duration = Duration::from_secs(60);

/// One append: rows of both tables, or of one.
#[derive(Clone, Debug)]
struct Entry {
    tenant: TenantId,
    n_spans: u64,
    n_logs: u64,
    is_acknowledged: bool,
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
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let has_other_tenant = rng.random_bool(0.25);
        let disk = SimulatedDisk::new(seed);
        Self { seed, rng, disk, ledger: Ledger::new(), next: 1, has_other_tenant, n_crashes: 0 }
    }

    /// Small limits, so that a process sees flushes, many WAL files and refused appends.
    fn config(&mut self) -> Config {
        Config {
            data: "/var/data".into(),
            group_commit_ms: 0,
            wal_file_bytes: [3_000, 20_000, 128 << 20][self.rng.random_range(0..3)],
            buffer_bytes_max: [10_000, 40_000, 400_000][self.rng.random_range(0..3)],
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
        // In the end nothing goes wrong, and everything is there; after an orderly end too.
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
        self.load(&storage, n_appends).await;
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
        // Some rows of yesterday: another partition.
        let day = rows::DAY_START - i64::from(self.rng.random_bool(0.05)) * UnixNanos::DAY;
        let batches = vec![rows::spans_at(first..first + n_spans, day), rows::numbered_logs(first..first + n_logs)];
        self.ledger.insert(number, Entry { tenant: tenant.clone(), n_spans, n_logs, is_acknowledged: false });
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
            for (table, n) in [(&SPANS, (|entry| entry.n_spans) as fn(&Entry) -> u64), (&LOGS, |entry| entry.n_logs)] {
                let ids = match self.stored(&snapshot, table).await {
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
                    if *rows != (0..n(entry)).collect::<Vec<_>>() {
                        self.fail(&format!("{} of append {number}: {entry:?} and stored {rows:?}", table.name));
                    }
                }
                let wanted = self.ledger.iter().filter(|(_, entry)| entry.tenant == tenant && n(entry) > 0);
                for (number, entry) in wanted.filter(|(_, entry)| entry.is_acknowledged) {
                    if !found.contains_key(number) {
                        self.fail(&format!("{} of append {number} are lost: {entry:?}", table.name));
                    }
                }
            }
            // What is visible before a crash may be gone after it, unless it was acknowledged: nothing to keep.
        }
    }

    /// Numbers of all rows of a table.
    async fn stored(&self, snapshot: &Snapshot, table: &'static table::Table) -> Result<Vec<u64>> {
        let Some(entry) = snapshot.table(table) else { return Ok(Vec::new()) };
        let mut ids: Vec<u64> = entry.buffer.iter().flat_map(|rows| span_ids(&rows.records)).collect();
        let (store, segments, runtime) = (Arc::clone(&snapshot.store), Arc::clone(&entry.segments), Handle::current());
        let (column, _) = table.column("span_id").expect("both tables have it");
        let reading = tokio::task::spawn_blocking(move || {
            let mut ids = Vec::new();
            for segment in segments.iter() {
                let before = ids.len();
                let mut scan = SegmentScan::open(&store, &runtime, table, segment, vec![column], 10_000)?;
                while let Some(rows) = scan.next()? {
                    ids.extend(span_ids(&rows));
                }
                assert_eq!((ids.len() - before) as u64, segment.n_rows, "{}", segment.path);
            }
            Ok::<_, Error>(ids)
        });
        ids.extend(reading.await.expect("reading does not panic")?);
        Ok(ids)
    }
}

/// F2: see above.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f02_power_cuts_lose_nothing_that_was_acknowledged() {
    let first = setting("HODOSCOPE_FIRST_SEED").unwrap_or(1);
    let n_seeds = setting("HODOSCOPE_SEEDS").unwrap_or(SEEDS);
    let begun = std::time::Instant::now();
    let (mut n_crashes, mut n_acknowledged) = (0, 0);
    for seed in first..first + n_seeds {
        let mut world = World::new(seed);
        world.run().await;
        n_crashes += world.n_crashes;
        n_acknowledged += world.ledger.values().filter(|entry| entry.is_acknowledged).count();
        if n_seeds > SEEDS && seed % 100 == 0 {
            println!("power cuts: seed {seed}, {n_crashes} crashes, {n_acknowledged} appends, {:?}", begun.elapsed());
        }
    }
    println!(
        "power cuts: {n_seeds} seeds, {n_crashes} crashes, {n_acknowledged} acknowledged appends, 0 lost, 0 failed \
         starts, {:?}",
        begun.elapsed()
    );
    assert!(n_acknowledged as u64 > n_seeds, "the worlds did too little to prove anything");
}
