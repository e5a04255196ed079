//! Merges, retention, erasure and vacuum, as someone notices them who reads meanwhile.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use arrow::array::Array as _;
use arrow::array::{BinaryArray, ListArray, StringArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use model::TraceId;

use super::rows::{batch, spans_at, trace_id};
use super::*;

/// Flushes every few hundred rows, merges at once, keeps files of the past for a moment only.
fn busy(dir: &TempDir) -> Config {
    Config {
        buffer_bytes_max: 20_000,
        compaction_wait_s: 0,
        maintenance_every_s: 1,
        vacuum_grace_s: 0,
        erasure_hold_s: 0,
        disk_reserve_bytes: 0,
        // 16 segments at once.
        compaction_memory_bytes_max: 80 << 20,
        // Test rows lie wherever their test needs them.
        retention_days: 20_000,
        ..config(dir)
    }
}

/// Waits for something that comes soon.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < patience, "never came: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Appends rows n * 100 to n * 100 + 99, again while storage says that it is busy.
async fn append(storage: &Storage, n: u64) {
    loop {
        match storage.appender().append(&tenant(), vec![spans(n * 100..n * 100 + 100)]).await {
            Ok(()) => return,
            Err(Error::Full { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(error) => panic!("it is refused: {error}"),
        }
    }
}

/// Appends rows n * 100 to n * 100 + 99 and waits until they are in a segment.
async fn append_and_flush(storage: &Storage, n: u64) {
    storage.appender().append(&tenant(), vec![spans(n * 100..n * 100 + 100)]).await.expect("it is taken");
    until("the flush", || storage.reader().status().buffer_rows == 0).await;
}

/// Numbers of all spans a snapshot shows, without what is erased.
fn shown(snapshot: &Snapshot, config: &Config) -> Vec<u64> {
    let Some(table) = snapshot.table(&SPANS) else { return Vec::new() };
    let segments = table.segments.iter().flat_map(|segment| read_segment(segment, config));
    let buffered = table.buffer.iter().map(|rows| rows.records.clone());
    let kept = segments.chain(buffered).filter_map(|rows| table.erasures.keep(rows));
    let mut ids: Vec<u64> = kept.flat_map(|rows| span_ids(&rows)).collect();
    ids.sort_unstable();
    ids
}

/// Every value of every span, by its number: a checksum of the columns that are not null, whatever their order and encoding.
fn checksums(all: impl IntoIterator<Item = RecordBatch>) -> BTreeMap<u64, u64> {
    let mut sums = BTreeMap::new();
    for rows in all {
        let options = FormatOptions::default();
        let schema = rows.schema();
        let columns: BTreeMap<&str, _> =
            schema.fields().iter().map(|field| field.name().as_str()).zip(rows.columns()).collect();
        let shown: Vec<_> = columns
            .into_iter()
            .map(|(name, column)| (name, column, ArrayFormatter::try_new(column, &options).expect("it has a text")))
            .collect();
        for (row, id) in span_ids(&rows).into_iter().enumerate() {
            let mut sum = DefaultHasher::new();
            for (name, column, text) in &shown {
                if !column.is_null(row) {
                    (name, text.value(row).to_string()).hash(&mut sum);
                }
            }
            sums.insert(id, sum.finish());
        }
    }
    sums
}

/// Files below a folder whose names end so.
fn files(config: &Config, ending: &str) -> usize {
    listing(&config.data).iter().filter(|(path, _)| path.to_string_lossy().ends_with(ending)).count()
}

/// D8: many flushes become few segments; every reader sees each row once, before, during and after; a snapshot of the
/// past can still be read, and what it holds goes when it goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d8_merges_change_nothing_a_reader_sees() {
    let dir = TempDir::new().expect("a folder");
    let config = Config { compaction: false, ..busy(&dir) };
    let storage = open(&config).await;
    for n in 0..20 {
        append_and_flush(&storage, n).await;
    }
    let all: Vec<u64> = (0..2000).collect();
    let before = storage.reader().snapshot(&tenant());
    assert_eq!(storage.reader().status().segments_by_level, [20, 0, 0]);
    storage.maintainer().compact().await;

    let status = storage.reader().status();
    assert_eq!(status.segments_by_level, [0, 0, 1], "{status:?}");
    assert_eq!((status.counts.merge_failures, status.counts.merged_rows >= 2000), (0, true));
    let after = storage.reader().snapshot(&tenant());
    assert_eq!(shown(&after, &config), all);
    let merged = &after.table(&SPANS).expect("spans").segments[0];
    assert_eq!(merged.n_rows, 2000);
    assert_eq!(located(&storage, &config, 77).await, (770..780).collect::<Vec<_>>(), "the index came with it");

    // Its files are kept for the snapshot, however long vacuum looks.
    until("vacuum", || storage.reader().status().maintenance.last_vacuum.is_some()).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(shown(&before, &config), all, "a reader of the past is not disturbed");
    drop(before);
    until("the old files go", || files(&config, ".parquet") == 1 && files(&config, ".tix") == 1).await;
    assert_eq!(shown(&after, &config), all);
    storage.close().await.expect("closes");
    let storage = open(&config).await;
    assert_eq!(shown(&storage.reader().snapshot(&tenant()), &config), all);
}

/// F23, short: ended without a word again and again while merges, flushes and vacuum run; nothing is lost or doubled, and
/// what was left half-done goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f23_ended_during_merges() {
    let dir = TempDir::new().expect("a folder");
    let config = busy(&dir);
    let mut n = 0;
    for cycle in 0..12u64 {
        let storage = open(&config).await;
        for _ in 0..6 {
            append(&storage, n).await;
            n += 1;
            tokio::time::sleep(Duration::from_millis(cycle * 7 % 30)).await;
            settled(&storage).await;
            let snapshot = storage.reader().snapshot(&tenant());
            assert_eq!(shown(&snapshot, &config), (0..n * 100).collect::<Vec<_>>(), "cycle {cycle}");
        }
        drop(storage);
    }
    let storage = open(&config).await;
    settled(&storage).await;
    storage.maintainer().compact().await;
    let all: Vec<u64> = (0..n * 100).collect();
    let snapshot = storage.reader().snapshot(&tenant());
    assert_eq!(shown(&snapshot, &config), all);
    let segments = &snapshot.table(&SPANS).expect("spans").segments;
    let kept = checksums(segments.iter().flat_map(|segment| read_segment(segment, &config)));
    let sent = checksums([spans(0..n * 100).records().clone()]);
    assert!(kept.iter().all(|(id, sum)| sent[id] == *sum), "every value is as it was sent");
    let live = || storage.reader().status().segments as usize;
    let segment_files = || files(&config, ".parquet") - files(&config, ".checkpoint.parquet");
    // A flush or a merge may be under way still: its files are no left-overs.
    until("left-overs go", || segment_files() == live() && files(&config, ".tmp") == 0).await;
    assert_eq!(shown(&storage.reader().snapshot(&tenant()), &config), all);
}

/// F7: a merge that would take ingest's reserve is not begun; sources stay, nothing is left, and it says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f07_merges_leave_the_reserve_alone() {
    let dir = TempDir::new().expect("a folder");
    let config = Config { disk_reserve_bytes: u64::MAX / 2, ..busy(&dir) };
    let storage = open(&config).await;
    for n in 0..6 {
        append_and_flush(&storage, n).await;
    }
    until("the refusal", || storage.reader().status().maintenance.merges_waiting.is_some()).await;
    let status = storage.reader().status();
    assert!(status.maintenance.merges_waiting.expect("it waits").contains("disk_reserve_bytes"));
    assert!(status.counts.merges_refused > 0);
    assert_eq!((status.segments_by_level, status.counts.merges), ([6, 0, 0], 0));
    assert_eq!(files(&config, ".tmp"), 0);
    assert_eq!(shown(&storage.reader().snapshot(&tenant()), &config), (0..600).collect::<Vec<_>>());
    // There is room again.
    storage.close().await.expect("closes");
    let config = Config { disk_reserve_bytes: 0, ..config };
    let storage = open(&config).await;
    until("the merge", || storage.reader().status().segments_by_level == [0, 1, 0]).await;
    assert_eq!(shown(&storage.reader().snapshot(&tenant()), &config), (0..600).collect::<Vec<_>>());
}

/// What is erased is hidden at once, from buffer and segments, survives a crash hidden, and is rewritten away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn erased_rows_are_hidden_at_once_and_rewritten() {
    let dir = TempDir::new().expect("a folder");
    let config = Config { compaction: false, buffer_bytes_max: 1 << 30, ..busy(&dir) };
    let storage = open(&config).await;
    // Half of trace 3 is in a segment, half in the buffer.
    storage.appender().append(&tenant(), vec![spans(0..35)]).await.expect("it is taken");
    storage.close().await.expect("closes");
    let storage = open(&config).await;
    storage.appender().append(&tenant(), vec![spans(35..60)]).await.expect("it is taken");

    let id = TraceId::from_bytes(&trace_id(3)).expect("not zero");
    let maintainer = storage.maintainer();
    maintainer.erase(&tenant(), Erase::Trace("xyz".to_owned())).await.expect_err("that is no trace id");
    maintainer.erase(&tenant(), Erase::trace(id)).await.expect("it is marked");
    let left: Vec<u64> = (0..30).chain(40..60).collect();
    assert_eq!(shown(&storage.reader().snapshot(&tenant()), &config), left);
    assert!(storage.reader().snapshot(&tenant()).table(&SPANS).expect("spans").buffered_trace(id).is_empty());
    let service = Erase::Attribute { key: "service.name".to_owned(), value: "service-1".to_owned() };
    maintainer.erase(&tenant(), service).await.expect("it is marked");
    let left: Vec<u64> = left.into_iter().filter(|n| n % 3 != 1).collect();
    assert_eq!(shown(&storage.reader().snapshot(&tenant()), &config), left);
    drop((storage, maintainer));

    let storage = open(&config).await;
    settled(&storage).await;
    assert_eq!(shown(&storage.reader().snapshot(&tenant()), &config), left, "hidden after a crash too");
    assert_eq!(storage.reader().status().maintenance.erasures, 2);
    storage.close().await.expect("closes: the buffer is in a segment now");
    let storage = open(&config).await;
    until("the rewrite", || storage.reader().status().maintenance.erasures == 0).await;
    let snapshot = storage.reader().snapshot(&tenant());
    assert!(snapshot.table(&SPANS).expect("spans").erasures.is_empty());
    assert_eq!(visible(&snapshot, &config), left, "no segment holds them");
    until("the old files go", || files(&config, ".parquet") == snapshot.table(&SPANS).expect("spans").segments.len())
        .await;
    assert!(!listing(&config.data).iter().any(|(path, _)| path.parent().is_some_and(|dir| dir.ends_with("_erasures"))));
}

/// What came while a mark was there and is still in the buffer when its hold is over stays erased: the mark goes with those rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_waits_for_the_rows_that_came_under_it() {
    let dir = TempDir::new().expect("a folder");
    let config = Config { compaction: false, buffer_age_max_s: 3600, ..busy(&dir) };
    let storage = open(&config).await;
    append_and_flush(&storage, 0).await;
    let id = TraceId::from_bytes(&trace_id(3)).expect("not zero");
    storage.maintainer().erase(&tenant(), Erase::trace(id)).await.expect("it is marked");
    // Some of trace 3 comes once more, and is too little to be flushed.
    storage.appender().append(&tenant(), vec![spans(30..40)]).await.expect("it is taken");
    assert_eq!(storage.reader().status().buffer_rows, 10);
    let left: Vec<u64> = (0..30).chain(40..100).collect();
    for _ in 0..4 {
        storage.maintainer().look_around().await;
        assert_eq!(shown(&storage.reader().snapshot(&tenant()), &config), left);
    }
    assert_eq!(storage.reader().status().maintenance.erasures, 1);
    storage.close().await.expect("closes: the buffer is in a segment now");
    let storage = open(&config).await;
    until("the rewrite", || storage.reader().status().maintenance.erasures == 0).await;
    assert_eq!(visible(&storage.reader().snapshot(&tenant()), &config), left, "no segment holds them");
}

/// Segments of the spans, oldest first.
fn segments(storage: &Storage) -> Vec<Arc<SegmentMeta>> {
    let mut segments = storage.reader().snapshot(&tenant()).table(&SPANS).expect("spans").segments.to_vec();
    segments.sort_by(|a, b| a.path.cmp(&b.path));
    segments
}

/// Rows that are erased and lie in a damaged segment do not come back with its file: the mark stays as long as nobody
/// can know, others are rewritten meanwhile, and the restored file is rewritten too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d7_an_erasure_outlives_a_damaged_segment() {
    let dir = TempDir::new().expect("a folder");
    let config = Config { compaction: false, ..busy(&dir) };
    let storage = open(&config).await;
    append_and_flush(&storage, 0).await;
    append_and_flush(&storage, 1).await;
    let lost = config.data.join(segments(&storage)[0].path.as_ref());
    storage.close().await.expect("closes");
    let kept_elsewhere = dir.path().join("backup");
    std::fs::rename(&lost, &kept_elsewhere).expect("movable");

    let storage = open(&config).await;
    for n in [3, 13] {
        let id = TraceId::from_bytes(&trace_id(n)).expect("not zero");
        storage.maintainer().erase(&tenant(), Erase::trace(id)).await.expect("it is marked");
    }
    let left: Vec<u64> = (100..130).chain(140..200).collect();
    until("the other one is rewritten", || storage.reader().status().counts.erased_rows == 10).await;
    until("the lost one is noticed", || storage.reader().status().counts.damaged_segments == 1).await;
    let snapshot = storage.reader().snapshot(&tenant());
    assert_eq!(shown(&snapshot, &config), left);
    let why = snapshot.incomplete.clone().expect("rows are missing");
    assert!(why.contains("1 damaged segments with 100 rows"), "{why}");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(storage.reader().status().maintenance.erasures, 2, "the lost rows may come back");
    drop(snapshot);
    storage.close().await.expect("closes");

    std::fs::rename(&kept_elsewhere, &lost).expect("movable");
    std::fs::remove_dir_all(config.data.join("quarantine/segments")).expect("the note");
    let storage = open(&config).await;
    let left: Vec<u64> = (0..30).chain(40..130).chain(140..200).collect();
    let snapshot = storage.reader().snapshot(&tenant());
    assert_eq!(snapshot.incomplete, None, "whole again");
    assert_eq!(shown(&snapshot, &config), left, "and still hidden");
    until("the rewrite", || storage.reader().status().maintenance.erasures == 0).await;
    assert_eq!(visible(&storage.reader().snapshot(&tenant()), &config), left, "no segment holds them");
}

/// A segment that is gone costs its own rows: the others are merged, and when its day has expired, nothing is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d7_a_missing_segment_does_not_stop_merges() {
    let dir = TempDir::new().expect("a folder");
    let config = Config { compaction: false, ..busy(&dir) };
    let storage = open(&config).await;
    for n in 0..6 {
        append_and_flush(&storage, n).await;
    }
    std::fs::remove_file(config.data.join(segments(&storage)[2].path.as_ref())).expect("removable");
    storage.maintainer().compact().await;
    let status = storage.reader().status();
    assert_eq!((status.counts.merge_failures, status.counts.damaged_segments, status.counts.merges), (1, 1, 0));
    storage.maintainer().compact().await;
    assert_eq!(storage.reader().status().segments_by_level, [1, 1, 0], "the missing one and the merged one");
    let left: Vec<u64> = (0..200).chain(300..600).collect();
    let snapshot = storage.reader().snapshot(&tenant());
    assert_eq!(shown(&snapshot, &config), left);
    assert!(snapshot.incomplete.is_some());
    storage.close().await.expect("closes");

    let storage = open(&Config { retention_table_bytes_max: 1, ..config.clone() }).await;
    until("everything expires", || storage.reader().status().segments == 0).await;
    assert_eq!(storage.reader().snapshot(&tenant()).incomplete, None, "what has expired is not missed");
}

/// Rows derived from a trace go with it, also those that only name it, and those that come while it is being erased.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn derived_rows_of_an_erased_trace_go_too() {
    use crate::table::{HOPS, JOURNEYS};
    let dir = TempDir::new().expect("a folder");
    let config = Config { compaction: false, buffer_bytes_max: 1 << 20, buffer_age_max_s: 1, ..busy(&dir) };
    // The mark stays until everything was looked at, however late this test is.
    let storage = open(&Config { erasure_hold_s: 3600, ..config.clone() }).await;
    let id = TraceId::from_bytes(&trace_id(3)).expect("not zero");
    let hex = id.to_hex();
    let ids = |own: bool| Arc::new(BinaryArray::from_iter_values([if own { trace_id(3) } else { trace_id(9) }]));
    let derived = || {
        let journey = |own: bool, members: &str| {
            batch(&JOURNEYS, 1, |column| match column.name {
                "journey" => Some(ids(own)),
                "members" => Some(Arc::new(StringArray::from(vec![members]))),
                _ => None,
            })
        };
        let hop = |own: bool| {
            batch(&HOPS, 1, |column| match column.name {
                "send_trace" => Some(ids(own)),
                "journey" | "trace" => Some(ids(false)),
                _ => None,
            })
        };
        let named = format!("[\"aa\",\"{hex}\"]");
        vec![journey(true, "[]"), journey(false, &named), journey(false, "[]"), hop(true), hop(false)]
    };
    let rows = |storage: &Storage, table: &'static table::Table| {
        let snapshot = storage.reader().snapshot(&tenant());
        let Some(entry) = snapshot.table(table) else { return 0 };
        let buffered = entry.buffer.iter().filter_map(|rows| entry.erasures.keep(rows.records.clone()));
        let stored = entry.segments.iter().flat_map(|segment| read_segment(segment, &config));
        buffered.chain(stored.filter_map(|rows| entry.erasures.keep(rows))).map(|rows| rows.num_rows()).sum::<usize>()
    };
    let writer = storage.derived_writer();
    writer.append(&tenant(), derived()).await.expect("they are taken");
    assert_eq!((rows(&storage, &JOURNEYS), rows(&storage, &HOPS)), (3, 2));
    storage.maintainer().erase(&tenant(), Erase::trace(id)).await.expect("it is marked");
    assert_eq!((rows(&storage, &JOURNEYS), rows(&storage, &HOPS)), (1, 1), "hidden at once");
    writer.append(&tenant(), derived()).await.expect("what is left of them is taken");
    assert_eq!((rows(&storage, &JOURNEYS), rows(&storage, &HOPS)), (2, 2));
    until("the flush", || storage.reader().status().buffer_rows == 0).await;
    let stored = |table: &'static table::Table| {
        let snapshot = storage.reader().snapshot(&tenant());
        snapshot.table(table).map_or(0, |entry| entry.segments.iter().map(|segment| segment.n_rows).sum::<u64>())
    };
    until("the rewrite", || (stored(&JOURNEYS), stored(&HOPS)) == (2, 2)).await;
    assert_eq!((rows(&storage, &JOURNEYS), rows(&storage, &HOPS)), (2, 2));
    storage.close().await.expect("closes");
    let storage = open(&config).await;
    until("the mark goes", || storage.reader().status().maintenance.erasures == 0).await;
    assert_eq!((rows(&storage, &JOURNEYS), rows(&storage, &HOPS)), (2, 2), "they are in no segment");
}

/// Too many bytes: the oldest go, a few at a time, and stay gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_by_size_drops_the_oldest() {
    let dir = TempDir::new().expect("a folder");
    let config = Config { compaction: false, ..busy(&dir) };
    let storage = open(&config).await;
    for n in 0..10 {
        append_and_flush(&storage, n).await;
    }
    let bytes = storage.reader().status().segment_bytes;
    storage.close().await.expect("closes");
    let config = Config { retention_table_bytes_max: bytes * 65 / 100, ..config };
    let storage = open(&config).await;
    // Counted after they went.
    until("the oldest go", || storage.reader().status().counts.expired_segments >= 4).await;
    assert_eq!(storage.reader().status().segments, 6);
    let left = shown(&storage.reader().snapshot(&tenant()), &config);
    assert_eq!(left, (400..1000).collect::<Vec<_>>());
    assert_eq!(storage.reader().status().counts.expired_segments, 4);
    storage.close().await.expect("closes");
    assert_eq!(shown(&open(&config).await.reader().snapshot(&tenant()), &config), left);
}

/// A clock that tests turn.
#[derive(Debug)]
struct Turned(AtomicI64);

impl Clock for Turned {
    fn now(&self) -> UnixNanos {
        UnixNanos(SystemClock.now().0 + self.0.load(Ordering::Acquire))
    }
}

/// F11: a clock that jumps ten years ahead, or back to 1970, costs nothing; one that is right lets old days go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f11_a_jumping_clock_drops_nothing() {
    let dir = TempDir::new().expect("a folder");
    let config = Config { retention_days: 30, compaction: false, ..busy(&dir) };
    let clock = Arc::new(Turned(AtomicI64::new(0)));
    let open = async || Storage::open(config.clone(), Arc::<Turned>::clone(&clock)).await.expect("it opens");
    let storage = open().await;
    let today = SystemClock.now().0.div_euclid(UnixNanos::DAY) * UnixNanos::DAY;
    let at = |days: i64, n: u64| vec![arrived(n, today - days * UnixNanos::DAY)];
    storage.appender().append(&tenant(), at(2, 0)).await.expect("it is taken");
    until("the flush", || storage.reader().status().buffer_rows == 0).await;
    let looked = |since: Option<UnixNanos>| {
        let reader = storage.reader();
        async move { until("a look", || reader.status().maintenance.last_retention != since).await }
    };
    for years in [10, -10, -57] {
        clock.0.store(years * 365 * UnixNanos::DAY, Ordering::Release);
        for _ in 0..3 {
            looked(storage.reader().status().maintenance.last_retention).await;
        }
        assert_eq!(storage.reader().status().counts.expired_segments, 0, "{years} years");
    }
    clock.0.store(0, Ordering::Release);
    storage.close().await.expect("closes");

    // A right clock, and a day that is over for long.
    let storage = open().await;
    storage.appender().append(&tenant(), at(40, 1)).await.expect("it is taken");
    until("the flush", || storage.reader().status().buffer_rows == 0).await;
    until("the old day goes", || storage.reader().status().counts.expired_segments == 1).await;
    assert_eq!(visible(&storage.reader().snapshot(&tenant()), &config).len(), 600);
}

/// Six hundred spans that began and arrived at this moment: more than the buffer holds.
fn arrived(n: u64, moment: i64) -> Batch {
    use arrow::array::{ArrayRef, Int64Array};
    let rows = spans_at(n * 1000..n * 1000 + 600, moment - n as i64 * 1_000_000_000);
    batch(&SPANS, 600, |column| match column.name {
        "arrival_time" => Some(Arc::new(Int64Array::from(vec![moment; 600])) as ArrayRef),
        name => rows.records().column_by_name(name).cloned(),
    })
}

/// Links and messages are found the other way round, in the buffer, in segments and after a merge.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_and_messages_are_found() {
    let dir = TempDir::new().expect("a folder");
    let config = Config { compaction: false, ..busy(&dir) };
    let storage = open(&config).await;
    let linking = |numbers: std::ops::Range<u64>| {
        let rows = spans(numbers.clone());
        batch(&SPANS, rows.n_rows(), |column| match column.name {
            // Every span links to the trace of its number, every tenth twice.
            "links" => Some(Arc::new(links(numbers.clone().map(|n| if n % 10 == 0 { vec![n, n] } else { vec![n] })))),
            "messaging_message_id" => {
                let ids = numbers.clone().map(|n| (n % 2 == 0).then(|| format!("message-{n}")));
                Some(Arc::new(ids.collect::<StringArray>()))
            }
            "messaging_conversation_id" => {
                let ids = numbers.clone().map(|n| Some(format!("talk-{}", n / 50)));
                Some(Arc::new(ids.collect::<StringArray>()))
            }
            name => rows.records().column_by_name(name).cloned(),
        })
    };
    let check = async |storage: &Storage, n_segments: usize| {
        let snapshot = storage.reader().snapshot(&tenant());
        let table = snapshot.table(&SPANS).expect("spans").clone();
        assert_eq!(table.segments.len(), n_segments);
        let target = |n: u64| TraceId::from_bytes(&trace_id(n)).expect("not zero");
        let found = |rows: Vec<RecordBatch>, located: Vec<SegmentRows>| {
            let mut found: Vec<u64> = rows.iter().flat_map(span_ids).collect();
            for candidate in located {
                let all: Vec<u64> = read_segment(&candidate.segment, &config).iter().flat_map(span_ids).collect();
                for range in candidate.rows.expect("the index can be used").ranges() {
                    found.extend(&all[range.start as usize..range.end as usize]);
                }
            }
            found.sort_unstable();
            found
        };
        for n in [20, 431, 999] {
            let rows = found(table.buffered_links_to(&[target(n)]), table.locate_links_to(target(n)).await);
            assert_eq!(rows, [n]);
        }
        assert!(
            found(table.buffered_links_to(&[target(7_000)]), table.locate_links_to(target(7_000)).await).is_empty()
        );
        let message = async |id: &str| found(table.buffered_message_ids(&[id]), table.locate_message_id(id).await);
        assert_eq!(message("message-430").await, [430]);
        assert_eq!(message("message-998").await, [998]);
        assert!(message("message-431").await.is_empty() && message("").await.is_empty());
        let talk = found(table.buffered_conversation_id("talk-3"), table.locate_conversation_id("talk-3").await);
        assert_eq!(talk, (150..200).collect::<Vec<_>>());
    };
    storage.appender().append(&tenant(), vec![linking(0..500)]).await.expect("it is taken");
    until("the flush", || storage.reader().status().buffer_rows == 0).await;
    storage.appender().append(&tenant(), vec![linking(500..990)]).await.expect("it is taken");
    until("the flush", || storage.reader().status().buffer_rows == 0).await;
    storage.appender().append(&tenant(), vec![linking(990..1000)]).await.expect("it is taken");
    check(&storage, 2).await;
    storage.maintainer().compact().await;
    check(&storage, 1).await;

    // The index is a cache: lost, cut or damaged, it is built again, and the answers are the same.
    storage.close().await.expect("closes");
    let damage = |how: &str, index: &Path| match how {
        "lost" => std::fs::remove_file(index),
        "cut" => std::fs::write(index, b"no index"),
        _ => {
            let mut bytes = std::fs::read(index)?;
            bytes.iter_mut().for_each(|byte| *byte ^= 0x10);
            std::fs::write(index, bytes)
        }
    };
    for how in ["lost", "cut", "flipped"] {
        let indexes: Vec<_> = listing(&config.data)
            .into_iter()
            .map(|(path, _)| config.data.join(path))
            .filter(|path| path.extension().is_some_and(|end| end == "tix"))
            .collect();
        assert!(!indexes.is_empty());
        indexes.iter().for_each(|index| damage(how, index).expect("writable"));
        let storage = open(&config).await;
        check(&storage, storage.reader().status().segments as usize).await;
        storage.close().await.expect("closes");
    }
}

/// Per span, links to these traces.
fn links(targets: impl Iterator<Item = Vec<u64>>) -> ListArray {
    use arrow::array::{ArrayRef, Int64Array};
    use arrow::datatypes::DataType;
    let targets: Vec<Vec<u64>> = targets.collect();
    let offsets = OffsetBuffer::from_lengths(targets.iter().map(Vec::len));
    let flat: Vec<u64> = targets.concat();
    let text = || Arc::new(StringArray::from(vec!["[]"; flat.len()])) as ArrayRef;
    let number = || Arc::new(Int64Array::from(vec![0; flat.len()])) as ArrayRef;
    let columns = vec![
        Arc::new(BinaryArray::from_iter_values(flat.iter().map(|n| trace_id(*n)))) as ArrayRef,
        Arc::new(BinaryArray::from_iter_values(flat.iter().map(|n| n.to_be_bytes()))) as ArrayRef,
        text(),
        text(),
        number(),
        number(),
    ];
    let items = StructArray::new(table::links_fields(), columns, None);
    let (_, column) = SPANS.column("links").expect("spans have links");
    let DataType::List(field) = column.kind.arrow() else { panic!("links are a list") };
    ListArray::new(field, offsets, Arc::new(items), None)
}
