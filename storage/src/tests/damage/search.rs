//! The search for the segment that made a query fail.

use futures::FutureExt;
use object_store::ObjectStoreExt;

use super::*;

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

/// D7: queries that run out of time leave their search where it is: it goes on without them, and the next one behind it.
/// Before, such searches began at the same segment for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d7_a_search_goes_on_without_its_query() {
    let dir = TempDir::new().expect("a folder");
    let config = Config { compaction: false, ..config(&dir) };
    let (storage, snapshot, segments) = five_segments(&config).await;
    flip(&config, &segments[4]);
    let patience = std::time::Instant::now() + Duration::from_secs(60);
    let wait_for = async |is_so: &dyn Fn() -> bool| {
        while !is_so() {
            assert!(std::time::Instant::now() < patience, "{:?}", storage.published.search);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    for n in 1..=5 {
        let search = examine::find_damage_within(&storage.published, &snapshot, Duration::ZERO);
        // What the search waits for: it cannot have ended before its query goes.
        let held = storage.published.search.after.lock().await;
        assert_eq!(search.now_or_never(), None, "its query is gone");
        drop(held);
        wait_for(&|| storage.published.search.n_walks.load(Ordering::SeqCst) == n).await;
    }
    wait_for(&|| storage.published.damage.known().holds(&segments[4].path)).await;
    assert_eq!(storage.reader().find_damage(&snapshot).await, 1);
}
