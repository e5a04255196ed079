//! A disk that fails now and then, or for good: it proves nothing about what lies on it.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::*;
use crate::disk::simulated::{Call, Faults, SimulatedDisk};
use crate::disk::{Disk, Placing, write_durably};

/// Storage on a simulated disk.
async fn open_on(disk: &SimulatedDisk) -> Storage {
    open_with(disk, Config::default()).await.expect("it opens")
}

/// The same with these settings.
async fn open_with(disk: &SimulatedDisk, config: Config) -> Result<Storage> {
    let (disk, config) = (disk.clone(), Config { data: "/var/data".into(), ..config });
    let opening = tokio::task::spawn_blocking(move || {
        let owned = directory::open(Arc::new(disk), Path::new("/var/data"))?;
        Storage::open_at(&config, Arc::new(SystemClock), owned)
    });
    opening.await.expect("no panic")
}

/// A disk with three flushes of ten spans each.
async fn three_flushes() -> SimulatedDisk {
    let mut disk = SimulatedDisk::new(1);
    for n in 0..3 {
        let storage = open_on(&disk).await;
        storage.appender().append(&tenant(), vec![spans(n * 10..n * 10 + 10)]).await.expect("it is taken");
        storage.close().await.expect("closes");
        disk = disk.restart();
    }
    disk
}

/// Rows of all segments, read through what the snapshot gives.
async fn n_rows(storage: &Storage) -> u64 {
    let snapshot = storage.reader().snapshot(&tenant());
    assert_eq!(snapshot.incomplete, None);
    let (store, segments) = (Arc::clone(&snapshot.store), Arc::clone(&snapshot.table(&SPANS).expect("spans").segments));
    let runtime = Handle::current();
    let reading = tokio::task::spawn_blocking(move || {
        let read = |segment: &Arc<SegmentMeta>| examine::read_whole(&store, &runtime, &SPANS, segment);
        segments.iter().map(|segment| read(segment).map(|_| segment.n_rows)).sum::<Result<u64, _>>()
    });
    reading.await.expect("no panic").expect("readable")
}

/// F7: the disk is full in the middle of a merge, which nobody could foresee. Half an output goes, sources stay and are read, and with room
/// again they are merged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f07_a_disk_that_fills_up_during_a_merge_costs_nothing() {
    // Merges only when they are asked for.
    let config = || Config { compaction: false, disk_reserve_bytes: 0, retention_days: 20_000, ..Config::default() };
    let open = async |disk: &SimulatedDisk| open_with(disk, config()).await.expect("it opens");
    let mut disk = SimulatedDisk::new(7);
    for n in 0..6 {
        let storage = open(&disk).await;
        storage.appender().append(&tenant(), vec![spans(n * 100..n * 100 + 100)]).await.expect("it is taken");
        storage.close().await.expect("closes");
        disk = disk.restart();
    }
    let is_data = |path: &&PathBuf| path.to_string_lossy().contains("/spans/date=");
    let before = disk.files();
    // Segments; what belongs to them lies in folders of its own.
    let sources: Vec<&PathBuf> = before.keys().filter(is_data).collect();
    assert_eq!(sources.len(), 6, "{sources:?}");

    let storage = open(&disk).await;
    let used: u64 = disk.files().values().map(|bytes| bytes.len() as u64).sum();
    disk.set_faults(Faults { capacity: used + 2_000, is_quota: true, ..Faults::default() });
    storage.maintainer().compact().await;
    assert_eq!(storage.reader().status().counts.merge_failures, 1, "it came upon the end of the disk");
    assert_eq!(n_rows(&storage).await, 600);
    let after = disk.files();
    assert_eq!(after.keys().filter(is_data).collect::<Vec<_>>(), sources, "nothing is left of it");
    assert_eq!(storage.reader().status().counts.merges, 0);
    drop(storage);

    let disk = disk.restart();
    let storage = open(&disk).await;
    storage.maintainer().compact().await;
    assert_eq!((storage.reader().status().segments_by_level, n_rows(&storage).await), ([0, 0, 1], 600));
}

/// F8: a disk that does not give something once, or never again, at a start costs nothing that is there twice, and no
/// healthy table. Before, one failed read of a log set its table aside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f08_failed_reads_at_a_start_set_no_healthy_table_aside() {
    let mut disk = three_flushes().await;
    let cases =
        [("_delta_log/00000000000000000001", u32::MAX), ("_log_copy/", u32::MAX), ("_sum/", u32::MAX), ("_idx/", 9)];
    // A file and its copy.
    let both = [1, 2, 3, 4, 5, 6].map(|times| ("00000000000000000002.json", times));
    for (part, times) in cases.into_iter().chain(both) {
        disk.refuse_reads(part, times);
        let storage = open_on(&disk).await;
        assert_eq!(n_rows(&storage).await, 30, "{part} cannot be read {times} times");
        storage.close().await.expect("closes");
        disk = disk.restart();
    }
    assert_eq!(set_aside(&disk), None);
}

/// Something of a table that was set aside.
fn set_aside(disk: &SimulatedDisk) -> Option<PathBuf> {
    disk.files().into_keys().find(|path| path.starts_with("/var/data/quarantine/tables"))
}

/// Where a commit of spans is.
fn commit(version: u64) -> PathBuf {
    format!("/var/data/tenants/default/spans/_delta_log/{version:020}.json").into()
}

/// Removes commits of spans whose copies are whole.
fn lose(disk: &SimulatedDisk, versions: &[u64]) {
    versions.iter().for_each(|version| disk.remove(&commit(*version)).expect("it was there"));
}

/// F8: commits were lost, and the disk does not give their copies, or does not take what is restored (it is full, say): that
/// proves nothing. The start is refused with the reason, nothing is touched, and a better disk has everything. Before, the
/// table was set aside, or opened without its newest rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f08_what_cannot_be_restored_at_a_start_costs_no_table() {
    let mut disk = three_flushes().await;
    for versions in [&[3][..], &[1], &[0, 1, 2, 3]] {
        let last = versions.last().expect("one");
        let copy = format!("_log_copy/{last:020}");
        for (call, part) in [(Call::Open, copy.as_str()), (Call::Create, "_delta_log/"), (Call::List, "_log_copy")] {
            lose(&disk, versions);
            let before = disk.files();
            disk.refuse_calls(call, part, u32::MAX);
            for strict_recovery in [true, false] {
                let config = Config { strict_recovery, ..Config::default() };
                let error = open_with(&disk, config).await.expect_err("nobody knows the whole log");
                assert!(error.to_string().contains("injected"), "without {versions:?}, {call:?} {part}: {error}");
            }
            assert_eq!(set_aside(&disk), None, "without {versions:?}, {call:?} {part}");
            let after = disk.files();
            let is_kept = |(path, bytes): (&PathBuf, &Vec<u8>)| after.get(path) == Some(bytes);
            assert!(before.iter().all(is_kept), "without {versions:?}, {call:?} {part}");
            disk = disk.restart();
            let storage = open_on(&disk).await;
            assert_eq!(n_rows(&storage).await, 30, "without {versions:?}, {call:?} {part}");
            storage.close().await.expect("closes");
            disk = disk.restart();
        }
    }
}

/// F8: the newest commit was cut behind its first line, so that it reads like a commit, and its copy cannot be read: the rows
/// of its segment must not be given up for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f08_a_cut_commit_is_not_taken_for_a_commit() {
    let disk = three_flushes().await;
    let path = commit(3);
    let whole = disk.files().remove(&path).expect("it was there");
    let first_line = whole.split_inclusive(|byte| *byte == b'\n').next().expect("a line");
    assert!(first_line.len() < whole.len() && first_line.ends_with(b"\n"));
    write_durably(&disk, &path, &[first_line], Placing::Replace).expect("room");
    disk.refuse_reads("_log_copy/00000000000000000003", u32::MAX);
    let error = open_with(&disk, Config::default()).await.expect_err("nobody knows the commit");
    assert!(error.to_string().contains("injected"), "{error}");
    let disk = disk.restart();
    let storage = open_on(&disk).await;
    assert_eq!(n_rows(&storage).await, 30);
    storage.close().await.expect("closes");
}

/// F8: the same, and the disk heals while the start tries again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f08_a_start_waits_for_a_disk_that_heals() {
    let mut disk = three_flushes().await;
    for (call, part, times) in
        [(Call::Open, "_log_copy/", 7), (Call::Create, "_delta_log/", 2), (Call::List, "spans/_log_copy", 5)]
    {
        lose(&disk, &[2, 3]);
        disk.refuse_calls(call, part, times);
        let storage = open_on(&disk).await;
        assert_eq!(n_rows(&storage).await, 30, "{call:?} of {part} fails {times} times");
        storage.close().await.expect("closes");
        disk = disk.restart();
    }
    assert_eq!(set_aside(&disk), None);
}

/// D12: an older release left no copies. Ingest opens without them, and they are there soon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d12_missing_copies_are_made_behind_an_open_ingest() {
    let disk = three_flushes().await;
    let in_dir = |dir: &str| disk.files().into_keys().filter(|path| path.to_string_lossy().contains(dir)).count();
    let n_files = in_dir("_delta_log/");
    let copies = disk.files().into_keys().filter(|path| path.to_string_lossy().contains("_log_copy/"));
    copies.for_each(|copy| disk.remove(&copy).expect("it was there"));
    let storage = open_on(&disk).await;
    storage.appender().append(&tenant(), vec![spans(30..40)]).await.expect("ingest is open");
    let patience = Instant::now() + Duration::from_secs(60);
    while in_dir("_log_copy/") < n_files {
        assert!(Instant::now() < patience, "{} of {n_files} copies", in_dir("_log_copy/"));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    storage.close().await.expect("closes");
}

/// F8: a commit and the mark of an erasure got their names, the syncs of their directories failed, and the process was killed
/// (which loses nothing). The next one takes both as made, lets the WAL go, and the power is cut: both are still made. Before,
/// a doubt ended with its process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f08_what_a_former_process_left_in_doubt_is_settled_at_a_start() {
    for seed in 0..12 {
        let disk = SimulatedDisk::new(seed);
        let storage = open_on(&disk).await;
        storage.appender().append(&tenant(), vec![spans(0..10)]).await.expect("it is taken");
        // Of rows that nobody has, so that nothing is rewritten: every commit syncs its directory.
        let first = storage.maintainer().erase(&tenant(), Erase::trace(trace(1_000))).await;
        first.expect("the disk works");
        storage.close().await.expect("closes");
        let disk = disk.restart();
        let config = Config { buffer_bytes_max: 1000, compaction: false, ..Config::default() };
        let storage = open_with(&disk, config).await.expect("it opens");
        disk.refuse_calls(Call::SyncDir, "spans/_delta_log", u32::MAX);
        storage.appender().append(&tenant(), vec![spans(10..30)]).await.expect("it is taken");
        let patience = Instant::now() + Duration::from_secs(60);
        while storage.reader().status().counts.flush_failures == 0 {
            assert!(Instant::now() < patience, "the commit fails");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        disk.refuse_calls(Call::SyncDir, "_erasures", u32::MAX);
        let erased = storage.maintainer().erase(&tenant(), Erase::trace(trace(2_000))).await;
        erased.expect_err("the sync of its directory fails");
        // Killed: nothing is lost, and nothing is more durable than before.
        let disk = disk.restart();
        drop(storage);
        // A copy of the commit would bring it back.
        disk.refuse_calls(Call::Create, "spans/_log_copy", u32::MAX);
        let storage = open_on(&disk).await;
        settled(&storage).await;
        let hidden: Vec<String> = storage.maintainer().erasures(&tenant()).into_iter().map(|mark| mark.id).collect();
        assert_eq!(hidden.len(), 2);
        storage.close().await.expect("closes");
        disk.crash();
        let storage = open_on(&disk.restart()).await;
        settled(&storage).await;
        assert_eq!(storage.maintainer().erasures(&tenant()).len(), 2, "seed {seed}");
        let mut ids = simulation::stored(&storage.reader().snapshot(&tenant()), &SPANS).await.expect("readable");
        ids.sort_unstable();
        assert_eq!(ids, (0..30).collect::<Vec<_>>(), "seed {seed}");
        storage.close().await.expect("closes");
    }
}

fn trace(n: u64) -> model::TraceId {
    model::TraceId::from_bytes(&rows::trace_id(n)).expect("not zero")
}

/// A start syncs the directory of each table log once, and that of each tenant's erasures: a few milliseconds. A disk that
/// cannot do it at first is asked again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f08_a_start_syncs_each_log_once() {
    let mut disk = three_flushes().await;
    for n_failures in [0, 2] {
        let synced: Arc<Mutex<Vec<PathBuf>>> = Arc::default();
        let (noted, mut left) = (Arc::clone(&synced), n_failures);
        disk.refuse(move |call, path| {
            let is_log = call == Call::SyncDir && path.ends_with("spans/_delta_log");
            if call == Call::SyncDir && path.starts_with("/var/data/tenants") {
                noted.lock().expect("no panic").push(path.to_owned());
            }
            let is_refused = is_log && left > 0;
            left -= u32::from(is_refused);
            is_refused
        });
        let storage = open_on(&disk).await;
        let found = synced.lock().expect("no panic").clone();
        assert_eq!(found, vec![PathBuf::from("/var/data/tenants/default/spans/_delta_log"); 1 + n_failures as usize]);
        storage.close().await.expect("closes");
        disk = disk.restart();
    }
}

/// D8: a commit is made, and the disk says that it failed. Until the flush finds out, its rows are in the buffer; a merge
/// that comes in between reads the log, and showed the rows a second time (seed 10,030 of the simulation).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d8_a_commit_that_was_reported_as_failed_is_seen_once() {
    let disk = SimulatedDisk::new(1);
    let settings = || Config { compaction: false, disk_reserve_bytes: 0, buffer_bytes_max: 1000, ..Config::default() };
    let storage = open_with(&disk, settings()).await.expect("it opens");
    let in_segments = |n_rows: u64| {
        let reader = storage.reader();
        async move {
            let patience = Instant::now() + Duration::from_secs(60);
            while reader.status().segment_rows < n_rows || reader.status().buffer_rows > 0 {
                assert!(Instant::now() < patience, "{:?}", reader.status());
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    };
    for n in 0..2 {
        storage.appender().append(&tenant(), vec![spans(n * 10..n * 10 + 10)]).await.expect("it is taken");
        in_segments(n * 10 + 10).await;
    }
    // The next commit is made and reported as failed; then no flush can write, until it is let.
    let (is_let, mut has_failed) = (Arc::new(AtomicBool::new(false)), false);
    let is_let_now = Arc::clone(&is_let);
    disk.refuse(move |call, path| {
        let path = path.to_string_lossy();
        let fails_now = call == Call::SyncDir && !has_failed && path.ends_with("spans/_delta_log");
        has_failed |= fails_now;
        let is_flush = call == Call::Create && path.contains("spans/date=") && !path.contains("-L");
        fails_now || (is_flush && has_failed && !is_let_now.load(Ordering::SeqCst))
    });
    storage.appender().append(&tenant(), vec![spans(20..30)]).await.expect("it is taken");
    let patience = Instant::now() + Duration::from_secs(60);
    while storage.reader().status().counts.flush_failures < 2 {
        assert!(Instant::now() < patience, "the commit fails");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    storage.maintainer().compact().await;
    assert!(storage.reader().status().counts.merges > 0);
    let all: Vec<u64> = (0..30).collect();
    let shown = async || {
        let mut ids = simulation::stored(&storage.reader().snapshot(&tenant()), &SPANS).await.expect("readable");
        ids.sort_unstable();
        ids
    };
    assert_eq!(shown().await, all);
    is_let.store(true, Ordering::SeqCst);
    in_segments(30).await;
    assert_eq!(shown().await, all);
    storage.close().await.expect("closes");
}
