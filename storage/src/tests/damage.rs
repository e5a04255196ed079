//! Damaged, cut and lost files: what they cost, and that it is said.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use object_store::{ObjectStore, ObjectStoreExt};
use rand::{Rng, SeedableRng};
use tempfile::TempDir;

use super::*;
use crate::disk::Disk;
use crate::disk::simulated::{Call, SimulatedDisk};

/// D4: a damaged record is lost, counted and said; everything else comes back, and the file is kept for people.
#[tokio::test]
async fn d4_damage_is_counted_and_quarantined() {
    let dir = TempDir::new().expect("a folder");
    let config = config(&dir);
    let storage = open(&config).await;
    let mut sizes = Vec::new();
    for n in 0..5 {
        storage.appender().append(&tenant(), vec![spans(n * 10..n * 10 + 10)]).await.expect("it is taken");
        sizes.push(storage.reader().status().wal_bytes);
    }
    drop(storage);
    let file = std::fs::read_dir(config.data.join("_wal")).expect("a WAL").flatten().next().expect("a file").path();
    let mut bytes = std::fs::read(&file).expect("readable");
    // In the middle of the third record.
    bytes[(sizes[1] + sizes[2]) as usize / 2] ^= 0xff;
    std::fs::write(&file, bytes).expect("writable");

    let storage = open(&config).await;
    settled(&storage).await;
    let snapshot = storage.reader().snapshot(&tenant());
    assert_eq!(visible(&snapshot, &config), (0..20).chain(30..50).collect::<Vec<_>>());
    let incomplete = snapshot.incomplete.as_deref().expect("rows are missing");
    assert!(incomplete.contains("1 records were lost"), "{incomplete}");
    assert_eq!(storage.reader().status().counts.damaged_records, 1);
    assert!(file.exists(), "its rows are in no segment yet");
    storage.close().await.expect("closes");
    assert!(!file.exists());
    assert_eq!(std::fs::read_dir(config.data.join("quarantine")).expect("made at open").count(), 1);
    // The loss is said until someone has looked at it.
    let storage = open(&config).await;
    let snapshot = storage.reader().snapshot(&tenant());
    assert_eq!(visible(&snapshot, &config), (0..20).chain(30..50).collect::<Vec<_>>());
    assert_eq!(snapshot.incomplete.as_deref(), Some("1 damaged WAL files are in quarantine/"));
    storage.close().await.expect("closes");
    let kept = std::fs::read_dir(config.data.join("quarantine")).expect("made at open").flatten().next();
    std::fs::remove_file(kept.expect("one file").path()).expect("removable");
    assert_eq!(open(&config).await.reader().snapshot(&tenant()).incomplete, None);
}

/// D4: who wants to know before anything goes on is told, and nothing is touched.
#[tokio::test]
async fn d4_strict_recovery_refuses_damage_untouched() {
    let dir = TempDir::new().expect("a folder");
    let config = Config { strict_recovery: true, ..config(&dir) };
    let storage = open(&config).await;
    for n in 0..3 {
        storage.appender().append(&tenant(), vec![spans(n * 10..n * 10 + 10)]).await.expect("it is taken");
    }
    let size = storage.reader().status().wal_bytes;
    drop(storage);
    drop(open(&config).await);
    let files = std::fs::read_dir(config.data.join("_wal")).expect("a WAL").flatten();
    let file = files.map(|entry| entry.path()).min().expect("a file");
    let whole = std::fs::read(&file).expect("readable");
    let mut bytes = whole.clone();
    // In the second of three records.
    let opening = wal::opening_bytes();
    bytes[(opening + (size - opening) / 2) as usize] ^= 0xff;
    std::fs::write(&file, &bytes).expect("writable");
    let before = listing(&config.data);
    let text = refusal(&config).await;
    assert!(text.contains("1 records") && text.contains("--strict-recovery"), "{text}");
    assert_eq!(listing(&config.data), before);
    std::fs::write(&file, whole).expect("writable");
    let storage = open(&config).await;
    settled(&storage).await;
    assert_eq!(visible(&storage.reader().snapshot(&tenant()), &config), (0..30).collect::<Vec<_>>());
}

/// D7: a damaged segment costs its own rows, is found when reading fails, and stays known over a restart.
#[tokio::test]
async fn d7_a_damaged_segment_is_left_out_and_said() {
    let dir = TempDir::new().expect("a folder");
    let config = config(&dir);
    let storage = open(&config).await;
    let yesterday = rows::DAY_START - UnixNanos::DAY;
    storage.appender().append(&tenant(), vec![spans(0..50), rows::spans_at(50..80, yesterday)]).await.expect("taken");
    storage.close().await.expect("closes");
    let storage = open(&config).await;
    let snapshot = storage.reader().snapshot(&tenant());
    assert_eq!(storage.reader().find_damage(&snapshot).await, 0, "all is well");
    let segments = Arc::clone(&snapshot.table(&SPANS).expect("spans").segments);
    let victim = segments.iter().find(|segment| segment.n_rows == 30).expect("yesterday's");
    let path = config.data.join(victim.path.as_ref());
    let mut bytes = std::fs::read(&path).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 40].fill(0xa5);
    std::fs::write(&path, bytes).expect("writable");
    assert_eq!(storage.reader().find_damage(&snapshot).await, 1);
    assert_eq!(storage.reader().find_damage(&snapshot).await, 1, "it is known, and this snapshot holds it");
    assert_eq!(storage.reader().find_damage(&storage.reader().snapshot(&tenant())).await, 0, "a new one does not");
    assert_eq!(storage.reader().status().counts.damaged_segments, 1, "counted once");
    let reason = "1 damaged segments with 30 rows are left out; see quarantine/segments/";
    let check = |storage: &Storage| {
        let snapshot = storage.reader().snapshot(&tenant());
        assert_eq!(snapshot.incomplete.as_deref(), Some(reason));
        assert_eq!(visible(&snapshot, &config), (0..50).collect::<Vec<_>>());
    };
    check(&storage);
    storage.close().await.expect("closes");
    check(&open(&config).await);
}

/// A segment and the bytes of its file, with those beside it.
async fn one_segment(dir: &TempDir, n_rows: u64) -> (Arc<SegmentMeta>, Vec<u8>, Vec<u8>) {
    let config = config(dir);
    let storage = open(&config).await;
    storage.appender().append(&tenant(), vec![spans(0..n_rows)]).await.expect("it is taken");
    storage.close().await.expect("closes");
    let storage = open(&config).await;
    let segment = Arc::clone(&storage.reader().snapshot(&tenant()).table(&SPANS).expect("spans").segments[0]);
    storage.close().await.expect("closes");
    let read = |path: &object_store::path::Path| std::fs::read(config.data.join(path.as_ref())).expect("readable");
    let (bytes, sums) = (read(&segment.path), read(&paths::sums(&segment.path)));
    assert_eq!(segment.crc32c, Some(crc32c::crc32c(&bytes)), "the log says what the file is");
    (segment, bytes, sums)
}

/// A store that knows what the segment must be, over one that holds these bytes; with the sums of its blocks, or
/// without.
fn store_of(segment: &Arc<SegmentMeta>, bytes: Vec<u8>, sums: Option<&[u8]>) -> checked::Checked {
    let memory = object_store::memory::InMemory::new();
    let put = async |path: &object_store::path::Path, bytes: Vec<u8>| {
        memory.put(path, bytes.into()).await.expect("memory");
    };
    futures::executor::block_on(async {
        put(&segment.path, bytes).await;
        if let Some(sums) = sums {
            put(&paths::sums(&segment.path), sums.to_vec()).await;
        }
    });
    let store = checked::Checked::new(Arc::new(memory), false);
    store.expect([segment]);
    store
}

/// F5: one flipped bit, in every third byte of a segment: whoever reads the byte is told, and never sees it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f05_a_flipped_bit_is_never_served() {
    let dir = TempDir::new().expect("a folder");
    let (segment, whole, sums) = one_segment(&dir, 30).await;
    let store = store_of(&segment, whole.clone(), Some(&sums));
    for at in [0, 1, whole.len() as u64 / 2] {
        let parts = [at..at + 1, at / 2..whole.len() as u64, at..at];
        let read = store.get_ranges(&segment.path, &parts).await.expect("it is whole");
        for (part, read) in parts.iter().zip(read) {
            assert_eq!(read, whole[part.start as usize..part.end as usize]);
        }
        let read = store.get_range(&segment.path, at..at + 1).await.expect("it is whole");
        assert_eq!(read, whole[at as usize..=at as usize]);
    }
    for at in (0..whole.len()).step_by(3) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        let store = store_of(&segment, bytes, Some(&sums));
        let part = at as u64..at as u64 + 1;
        let parts = store.get_ranges(&segment.path, std::slice::from_ref(&part)).await;
        let error = parts.expect_err("the byte is wrong");
        assert!(checked::damage(&error).is_some(), "byte {at}: {error}");
        let error = store.get_range(&segment.path, part).await.expect_err("the byte is wrong");
        assert!(checked::damage(&error).is_some(), "byte {at}: {error}");
    }
}

/// F5: without the sums of its blocks, and with damaged ones, a segment is compared whole, and whole ones are served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f05_sums_that_are_lost_or_damaged_are_made_again() {
    let dir = TempDir::new().expect("a folder");
    let (segment, whole, sums) = one_segment(&dir, 30).await;
    let mut damaged_sums = sums.clone();
    damaged_sums[30] ^= 4;
    let mut damaged = whole.clone();
    damaged[whole.len() - 3] ^= 1;
    for sums in [None, Some(&damaged_sums[..])] {
        let read = store_of(&segment, whole.clone(), sums).get_range(&segment.path, 4..9).await.expect("it is whole");
        assert_eq!(read, whole[4..9]);
        let store = store_of(&segment, damaged.clone(), sums);
        let error = store.get_range(&segment.path, 4..9).await.expect_err("the file is not what the log says");
        assert!(checked::damage(&error).is_some(), "{error}");
    }
}

/// F5: a segment with flipped, cut, zeroed or foreign bytes never brings the process down, and reading it gives the rows
/// that were written or an error: never another value.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f05_mutations_of_a_segment_are_contained() {
    let n_cases = if std::env::var("HODOSCOPE_LONG").is_ok_and(|value| value == "1") { 10_000 } else { 150 };
    let dir = TempDir::new().expect("a folder");
    let (segment, whole, sums) = one_segment(&dir, 500).await;
    let runtime = Handle::current();
    let mutating = tokio::task::spawn_blocking(move || {
        let mut random = rand::rngs::StdRng::seed_from_u64(5);
        let scan = |store: &Arc<dyn ObjectStore>| -> Result<Vec<RecordBatch>> {
            let columns = (0..SPANS.columns().len()).collect();
            let mut scan = segment::SegmentScan::open(store, &runtime, &SPANS, &segment, columns, 1000)?;
            let mut rows = Vec::new();
            while let Some(batch) = scan.next()? {
                rows.push(batch);
            }
            Ok(rows)
        };
        let store = |bytes: Vec<u8>| -> Arc<dyn ObjectStore> { Arc::new(store_of(&segment, bytes, Some(&sums))) };
        let right = scan(&store(whole.clone())).expect("it is whole");
        examine::read_whole(&store(whole.clone()), &runtime, &SPANS, &segment).expect("it is whole");
        let (mut n_changed, mut n_untouched) = (0, 0);
        for case in 0..n_cases {
            let mut bytes = whole.clone();
            let at = random.random_range(0..bytes.len());
            match random.random_range(0..4) {
                0 => bytes[at] ^= 1 << random.random_range(0..8),
                1 => bytes.truncate(at),
                2 => {
                    let end = (at + 512).min(bytes.len());
                    bytes[at..end].fill(0);
                }
                _ => {
                    // The footer of another length in front of the magic.
                    let length_at = bytes.len() - 8;
                    bytes[length_at..length_at + 4].copy_from_slice(&random.random::<u32>().to_le_bytes());
                }
            }
            if bytes == whole {
                continue;
            }
            n_changed += 1;
            let store = store(bytes);
            // What was hit may be nothing that rows are made of: then they are right.
            if let Ok(rows) = scan(&store) {
                n_untouched += 1;
                assert_eq!(rows, right, "case {case}");
            }
            let fault = examine::read_whole(&store, &runtime, &SPANS, &segment).expect_err("somewhere it is wrong");
            assert!(matches!(fault, examine::Fault::Damaged(_)), "case {case}: {fault}");
        }
        (n_changed, n_untouched)
    });
    let (n_changed, n_untouched) = mutating.await.expect("no panic leaves the reader");
    println!("damaged segments: {n_changed} mutations, all noticed, 0 wrong values; {n_untouched} touched no row");
    assert!(n_changed > n_cases / 2);
}

/// F5: a flipped bit anywhere in a file of the table log is answered from the copy, and written again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f05_a_flipped_bit_in_the_table_log_is_put_right() {
    let dir = TempDir::new().expect("a folder");
    let config = config(&dir);
    let storage = open(&config).await;
    storage.appender().append(&tenant(), vec![spans(0..50)]).await.expect("it is taken");
    storage.close().await.expect("closes");
    let commit = config.data.join("tenants/default/spans/_delta_log/00000000000000000001.json");
    let whole = std::fs::read(&commit).expect("the first flush");
    for at in (0..whole.len()).step_by(whole.len() / 12) {
        let mut bytes = whole.clone();
        bytes[at] ^= 2;
        std::fs::write(&commit, bytes).expect("writable");
        let storage = open(&config).await;
        let snapshot = storage.reader().snapshot(&tenant());
        assert_eq!((visible(&snapshot, &config).len(), &snapshot.incomplete), (50, &None), "byte {at}");
        assert_eq!(std::fs::read(&commit).expect("readable"), whole, "byte {at}");
        storage.close().await.expect("closes");
    }
}

/// A table log that was lost, whole or its newest commit only, comes back from its copy: nothing is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d7_a_lost_table_log_comes_back() {
    let dir = TempDir::new().expect("a folder");
    let config = config(&dir);
    let log = config.data.join("tenants/default/spans/_delta_log");
    for n in 0..3 {
        let storage = open(&config).await;
        storage.appender().append(&tenant(), vec![spans(n * 10..n * 10 + 10)]).await.expect("it is taken");
        storage.close().await.expect("closes");
    }
    let losses: [&dyn Fn() -> io::Result<()>; 4] = [
        &|| std::fs::remove_dir_all(&log),
        &|| std::fs::remove_file(log.join("00000000000000000003.json")),
        &|| std::fs::remove_file(log.join("00000000000000000001.json")),
        &|| std::fs::write(log.join("00000000000000000002.json"), "{"),
    ];
    let before = listing(&log);
    for (n, lose) in losses.iter().enumerate() {
        lose().expect("it can be lost");
        let storage = open(&config).await;
        let snapshot = storage.reader().snapshot(&tenant());
        assert_eq!((visible(&snapshot, &config), &snapshot.incomplete), ((0..30).collect(), &None), "loss {n}");
        for _ in 0..2 {
            storage.maintainer().look_around().await;
        }
        storage.close().await.expect("closes");
        assert_eq!(listing(&log), before, "loss {n}");
    }
}

/// A log that is lost with its copies costs its table, which is said, and no file, however young the table is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d7_a_log_lost_with_its_copies_costs_no_file() {
    let dir = TempDir::new().expect("a folder");
    let config = Config { vacuum_grace_s: 0, ..config(&dir) };
    let storage = open(&config).await;
    storage.appender().append(&tenant(), vec![spans(0..50)]).await.expect("it is taken");
    storage.close().await.expect("closes");
    let table = config.data.join("tenants/default/spans");
    let segments =
        || listing(&config.data).into_iter().filter(|(path, _)| path.to_string_lossy().ends_with(".parquet"));
    assert_eq!(segments().count(), 1);
    for log in ["_delta_log", "_log_copy"] {
        std::fs::remove_dir_all(table.join(log)).expect("removable");
    }
    let strict = Config { strict_recovery: true, ..config.clone() };
    Storage::open(strict, Arc::new(SystemClock)).await.expect_err("strict");
    for n in 1..3 {
        let storage = open(&config).await;
        storage.appender().append(&tenant(), vec![spans(n * 100..n * 100 + 10)]).await.expect("ingest is open");
        let snapshot = storage.reader().snapshot(&tenant());
        let incomplete = snapshot.incomplete.clone().expect("rows are missing");
        assert!(incomplete.contains("spans were set aside"), "{incomplete}");
        for _ in 0..3 {
            storage.maintainer().look_around().await;
        }
        storage.close().await.expect("closes");
        assert_eq!(segments().count(), 1 + n as usize, "what was set aside is kept");
    }
    assert!(segments().any(|(path, _)| path.to_string_lossy().contains("quarantine/tables")));
}

/// A table whose log is damaged, and its copy too, is set aside; the other tables and ingest go on.
#[tokio::test]
async fn d7_a_damaged_table_log_is_set_aside() {
    let dir = TempDir::new().expect("a folder");
    let config = config(&dir);
    let storage = open(&config).await;
    storage.appender().append(&tenant(), vec![spans(0..50), logs(3)]).await.expect("it is taken");
    storage.close().await.expect("closes");
    for log in ["_delta_log", "_log_copy"] {
        let commit = format!("tenants/default/spans/{log}/00000000000000000000.json");
        std::fs::write(config.data.join(commit), "{").expect("writable");
    }
    let strict = Config { strict_recovery: true, ..config.clone() };
    let before = listing(&config.data);
    Storage::open(strict, Arc::new(SystemClock)).await.expect_err("strict");
    assert_eq!(listing(&config.data), before, "nothing is touched");

    let storage = open(&config).await;
    storage.appender().append(&tenant(), vec![spans(100..110)]).await.expect("ingest is open");
    storage.close().await.expect("closes");
    let storage = open(&config).await;
    let snapshot = storage.reader().snapshot(&tenant());
    assert_eq!(visible(&snapshot, &config), (100..110).collect::<Vec<_>>());
    let incomplete = snapshot.incomplete.as_deref().expect("rows are missing");
    assert!(incomplete.contains("spans were set aside"), "{incomplete}");
    assert_eq!(snapshot.table(&table::LOGS).expect("logs").segments[0].n_rows, 3);
    let aside = std::fs::read_dir(config.data.join("quarantine/tables")).expect("made").flatten().next().expect("one");
    assert!(aside.path().join("date=2026-11-20").is_dir(), "its segments are kept");
}

/// Storage on a simulated disk.
async fn open_on(disk: &SimulatedDisk) -> Storage {
    open_with(disk, Config::default()).await
}

/// The same with these settings.
async fn open_with(disk: &SimulatedDisk, config: Config) -> Storage {
    let (disk, config) = (disk.clone(), Config { data: "/var/data".into(), ..config });
    let opening = tokio::task::spawn_blocking(move || {
        let owned = directory::open(Arc::new(disk), Path::new("/var/data"))?;
        Storage::open_at(&config, Arc::new(SystemClock), owned)
    });
    opening.await.expect("no panic").expect("it opens")
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
    let aside = disk.files().into_keys().find(|path| path.starts_with("/var/data/quarantine/tables"));
    assert_eq!(aside, None);
}

/// A folder with three flushes of ten spans each.
async fn three_flushes_in(config: &Config) {
    for n in 0..3 {
        let storage = open(config).await;
        storage.appender().append(&tenant(), vec![spans(n * 10..n * 10 + 10)]).await.expect("it is taken");
        storage.close().await.expect("closes");
    }
}

/// Names of segments, wherever they lie.
fn segment_files(config: &Config) -> Vec<PathBuf> {
    let files = listing(&config.data).into_iter().map(|(path, _)| path);
    files.filter(|path| path.to_string_lossy().ends_with(".parquet")).collect()
}

/// A checkpoint hint that leads nowhere, although it is what its copy says, keeps no table closed; and one that is not what
/// its copy says keeps no damaged table from being set aside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d7_a_stale_checkpoint_hint_blocks_nothing() {
    let dir = TempDir::new().expect("a folder");
    let config = config(&dir);
    three_flushes_in(&config).await;
    let write = |dir: &str, name: &str, bytes: &[u8]| {
        std::fs::write(config.data.join("tenants/default/spans").join(dir).join(name), bytes).expect("writable");
    };
    let hint = br#"{"version":900,"size":12}"#;
    let copy = [hint, &crc32c::crc32c(hint).to_le_bytes()[..], b"HLC1"].concat();
    write("_delta_log", "_last_checkpoint", hint);
    write("_log_copy", "_last_checkpoint", &copy);
    let storage = open(&config).await;
    assert_eq!(visible(&storage.reader().snapshot(&tenant()), &config), (0..30).collect::<Vec<_>>());
    storage.close().await.expect("closes");

    write("_delta_log", "_last_checkpoint", br#"{"version":800,"size":12}"#);
    write("_log_copy", "_last_checkpoint", &copy);
    for dir in ["_delta_log", "_log_copy"] {
        write(dir, "00000000000000000001.json", b"{");
    }
    let storage = open(&config).await;
    let incomplete = storage.reader().snapshot(&tenant()).incomplete.clone().expect("rows are missing");
    assert!(incomplete.contains("spans were set aside"), "{incomplete}");
    storage.close().await.expect("closes");
}

/// The newest commit is lost, and its copy is damaged: going on with the commit before it would give the segment of the lost
/// one to vacuum. The table is set aside, with all files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d7_a_newest_commit_lost_with_its_copy_costs_no_file() {
    let dir = TempDir::new().expect("a folder");
    let config = Config { vacuum_grace_s: 0, ..config(&dir) };
    three_flushes_in(&config).await;
    let table = config.data.join("tenants/default/spans");
    std::fs::remove_file(table.join("_delta_log/00000000000000000003.json")).expect("it was there");
    std::fs::write(table.join("_log_copy/00000000000000000003.json"), "damaged").expect("writable");
    let storage = open(&config).await;
    let incomplete = storage.reader().snapshot(&tenant()).incomplete.clone().expect("rows are missing");
    assert!(incomplete.contains("spans were set aside"), "{incomplete}");
    for _ in 0..3 {
        storage.maintainer().look_around().await;
    }
    storage.close().await.expect("closes");
    assert_eq!(segment_files(&config).len(), 3);
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
    let patience = std::time::Instant::now() + Duration::from_secs(60);
    while in_dir("_log_copy/") < n_files {
        assert!(std::time::Instant::now() < patience, "{} of {n_files} copies", in_dir("_log_copy/"));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    storage.close().await.expect("closes");
}

/// Five segments of ten rows each, by path.
async fn five_segments(config: &Config) -> (Storage, Arc<Snapshot>, Vec<Arc<SegmentMeta>>) {
    for n in 0..5 {
        let storage = open(config).await;
        storage.appender().append(&tenant(), vec![spans(n * 10..n * 10 + 10)]).await.expect("it is taken");
        storage.close().await.expect("closes");
    }
    let storage = open(config).await;
    let snapshot = storage.reader().snapshot(&tenant());
    let mut segments = snapshot.table(&SPANS).expect("spans").segments.to_vec();
    segments.sort_by(|a, b| a.path.cmp(&b.path));
    assert_eq!(segments.len(), 5);
    (storage, snapshot, segments)
}

fn flip(config: &Config, segment: &SegmentMeta) {
    let path = config.data.join(segment.path.as_ref());
    let mut bytes = std::fs::read(&path).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).expect("writable");
}

/// D7: whoever met the damage told where. Before, the search began at the first segment each time and ended after 20 s,
/// so that among very many segments a damaged one was never found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d7_damage_is_looked_for_where_it_was_met() {
    let dir = TempDir::new().expect("a folder");
    let config = Config { compaction: false, ..config(&dir) };
    let (storage, snapshot, segments) = five_segments(&config).await;
    for n in [4, 2] {
        flip(&config, &segments[n]);
        let middle = segments[n].size_bytes / 2;
        let read = snapshot.store.get_range(&segments[n].path, middle..middle + 1).await;
        assert!(checked::damage(&read.expect_err("the byte is wrong")).is_some());
        let found = examine::find_damage_within(&storage.published, &snapshot, Duration::ZERO).await;
        assert!(storage.published.damage.known().holds(&segments[n].path), "{found} found, not segment {n}");
    }
    assert_eq!(storage.published.search.n_walks.load(Ordering::SeqCst), 0, "nobody had to look for them");
    assert_eq!(storage.reader().status().counts.damaged_segments, 2);
}

/// D7: a search that ran out of time is gone on with, and one search serves all who wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d7_a_search_for_damage_goes_on_where_it_stopped() {
    let dir = TempDir::new().expect("a folder");
    let config = Config { compaction: false, ..config(&dir) };
    let (storage, snapshot, segments) = five_segments(&config).await;
    flip(&config, &segments[4]);
    // Time for one segment each.
    let look = || examine::find_damage_within(&storage.published, &snapshot, Duration::ZERO);
    let mut found = Vec::new();
    for _ in 0..5 {
        found.push(look().await);
    }
    assert_eq!(found, [0, 0, 0, 0, 1]);

    flip(&config, &segments[1]);
    let n_walks = || storage.published.search.n_walks.load(Ordering::SeqCst);
    let (before, fresh) = (n_walks(), storage.reader().snapshot(&tenant()));
    let reader = storage.reader();
    let together = futures::future::join_all((0..8).map(|_| reader.find_damage(&fresh))).await;
    assert_eq!(together, [1; 8]);
    assert_eq!(n_walks(), before + 1);
}

/// D8: a commit is made, and the disk says that it failed. Until the flush finds out, its rows are in the buffer; a merge
/// that comes in between reads the log, and showed the rows a second time (seed 10,030 of the simulation).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d8_a_commit_that_was_reported_as_failed_is_seen_once() {
    let disk = SimulatedDisk::new(1);
    let settings = || Config { compaction: false, disk_reserve_bytes: 0, buffer_bytes_max: 1000, ..Config::default() };
    let storage = open_with(&disk, settings()).await;
    let in_segments = |n_rows: u64| {
        let reader = storage.reader();
        async move {
            let patience = std::time::Instant::now() + Duration::from_secs(60);
            while reader.status().segment_rows < n_rows || reader.status().buffer_rows > 0 {
                assert!(std::time::Instant::now() < patience, "{:?}", reader.status());
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
    let patience = std::time::Instant::now() + Duration::from_secs(60);
    while storage.reader().status().counts.flush_failures < 2 {
        assert!(std::time::Instant::now() < patience, "the commit fails");
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
