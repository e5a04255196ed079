//! What the writer answers when the disk does not.

use model::TenantId;
use tempfile::TempDir;

use super::file::PROBE_PAUSE;
use super::*;
use crate::batch::Batch;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::tests::rows::{logs, spans};
use crate::{buffer, place};

/// A writer without its task, and its queue.
struct Bench {
    _dir: TempDir,
    writer: Writer,
    published: Arc<Published>,
}

impl Bench {
    fn new() -> Self {
        let dir = TempDir::new().expect("a folder");
        let config = Config { data: dir.path().join("data"), ..Config::default() };
        let place::Owned { place, hold } =
            crate::directory::open(Arc::new(crate::disk::LocalDisk), &config.data).expect("it can be made");
        let runtime = tokio::runtime::Runtime::new().expect("threads");
        let damage = std::thread::scope(|scope| {
            let loading = || runtime.block_on(crate::damage::Damage::load(&place.store));
            scope.spawn(loading).join().expect("no panic").expect("readable")
        });
        runtime.shutdown_background();
        let published = Arc::new(Published::new(config, Arc::new(SystemClock), place, damage));
        let (_, appends) = mpsc::channel(1);
        let (_, commands) = mpsc::channel(1);
        let (jobs, _) = std::sync::mpsc::sync_channel(1);
        let stop = CancellationToken::new();
        let writer = Writer::open(Arc::clone(&published), hold, 1, appends, commands, jobs, stop).expect("a file");
        Self { _dir: dir, writer, published }
    }

    /// Commits these appends as one group and gives the answers.
    fn commit(&mut self, appends: Vec<Vec<Batch>>) -> Vec<Result<()>> {
        let tenant = TenantId::default_tenant();
        let (group, answers): (Vec<_>, Vec<_>) = appends
            .into_iter()
            .map(|batches| {
                let (reply, answer) = oneshot::channel();
                let record = Encoded::append(&tenant, &batches, 1 << 20).expect("small");
                let rows = batches.iter().filter_map(|batch| {
                    let rows = buffer::rows(batch.records().clone(), batch.time_range(), batch.bytes())?;
                    Some((batch.table(), rows))
                });
                let rows = rows.collect();
                let reservation = Reservation::take(&self.published, record.len()).expect("there is room");
                let deadline = Instant::now() + Duration::from_secs(60);
                (Append { tenant: tenant.clone(), record, rows, reservation, deadline, reply }, answer)
            })
            .unzip();
        self.writer.commit(group);
        answers.into_iter().map(|mut answer| answer.try_recv().expect("everybody is answered")).collect()
    }
}

/// D5: after a failed write nobody of the group is acknowledged, nothing of it is visible, and the file is never
/// used again; a fresh one takes what comes next.
#[tokio::test]
async fn d5_a_failed_write_ends_its_file() {
    let mut bench = Bench::new();
    assert!(bench.commit(vec![vec![spans(0..3)]])[0].is_ok());
    let first = bench.writer.wal.as_ref().expect("open").name();
    bench.writer.wal.as_mut().expect("open").break_disk();

    let before = Instant::now();
    let answers = bench.commit(vec![vec![spans(3..6)], vec![logs(1)]]);
    assert!(
        answers.iter().all(|answer| matches!(answer, Err(Error::Write { path, .. }) if *path == first)),
        "{answers:?}"
    );
    assert_eq!(bench.published.buffer_rows.load(Ordering::Acquire), 3, "nothing became visible");
    let refusing = bench.published.refusing.load_full().expect("people can see why");
    assert!(refusing.contains("cannot write"), "{refusing}");

    // At once: refused without trying the disk again and again. After a pause: a fresh file. The moments are set, as this
    // thread may itself be late by more than the pause.
    assert!(bench.writer.next_probe >= before + PROBE_PAUSE);
    bench.writer.next_probe = Instant::now() + Duration::from_secs(3600);
    assert!(bench.commit(vec![vec![logs(1)]])[0].is_err());
    bench.writer.next_probe = Instant::now();
    assert!(bench.commit(vec![vec![spans(6..9)]])[0].is_ok());
    assert!(bench.published.refusing.load().is_none());
    assert_ne!(bench.writer.wal.as_ref().expect("open").name(), first);
    assert_eq!(bench.published.buffer_rows.load(Ordering::Acquire), 6);
    let counts = bench.published.counters.read();
    assert_eq!((counts.wal_failures, counts.refused_appends, counts.appended_records), (1, 3, 2));
}

/// One sync serves everybody who waits.
#[tokio::test]
async fn one_sync_for_a_group() {
    let mut bench = Bench::new();
    let answers = bench.commit((0..50).map(|n| vec![spans(n..n + 1)]).collect());
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(bench.published.counters.read().wal_syncs, 1);
    assert_eq!(bench.published.queue_bytes.load(Ordering::Acquire), 0, "room is given back");
}

/// Who has given up is not written: it was told that nothing would be.
#[tokio::test]
async fn a_cancelled_append_is_not_written() {
    let mut bench = Bench::new();
    let tenant = TenantId::default_tenant();
    let batches = [spans(0..3)];
    let (reply, answer) = oneshot::channel();
    drop(answer);
    let append = Append {
        record: Encoded::append(&tenant, &batches, 1 << 20).expect("small"),
        tenant,
        rows: Vec::new(),
        deadline: Instant::now() + Duration::from_secs(60),
        reservation: Reservation::take(&bench.published, 10).expect("there is room"),
        reply,
    };
    bench.writer.commit(vec![append]);
    assert_eq!(bench.published.counters.read().wal_syncs, 0);
}
