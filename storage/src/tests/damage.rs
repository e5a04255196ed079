//! Damaged, cut and lost files: what they cost, and that it is said.

use std::sync::Arc;

use arrow::array::RecordBatch;
use object_store::{ObjectStore, ObjectStoreExt};
use rand::{Rng, SeedableRng};
use tempfile::TempDir;

use super::*;

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
