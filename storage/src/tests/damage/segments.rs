//! Segments with wrong bytes: nobody sees them, and they cost their own rows.

use arrow::array::RecordBatch;
use object_store::{ObjectStore, ObjectStoreExt};
use rand::{Rng, SeedableRng};

use super::*;

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
