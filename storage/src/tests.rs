//! The promises of storage, as someone at its front door notices them.

use std::sync::Arc;

use arrow::array::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

use super::*;
use crate::table::SPANS;

pub(crate) mod rows;
use rows::{logs, span_ids, spans};

fn tenant() -> TenantId {
    TenantId::default_tenant()
}

fn config(dir: &TempDir) -> Config {
    Config { data: dir.path().join("data"), ..Config::default() }
}

async fn open(config: &Config) -> Storage {
    Storage::open(config.clone(), Arc::new(SystemClock)).await.expect("the directory can be opened")
}

/// Waits until replay has ended.
async fn settled(storage: &Storage) {
    while storage.reader().status().replaying {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Numbers of the spans in the buffer, sorted.
fn buffered(storage: &Storage) -> Vec<u64> {
    let snapshot = storage.reader().snapshot(&tenant());
    let mut ids: Vec<u64> = snapshot
        .table(&SPANS)
        .map_or_else(Vec::new, |table| table.buffer.iter().flat_map(|b| span_ids(&b.records)).collect());
    ids.sort_unstable();
    ids
}

/// Acknowledged means visible, and still there after a crash.
#[tokio::test]
async fn d2_acknowledged_rows_survive_a_crash() {
    let dir = TempDir::new().expect("a folder");
    let storage = open(&config(&dir)).await;
    let appender = storage.appender();
    for n in 0..20 {
        appender.append(&tenant(), vec![spans(n * 10..n * 10 + 10), logs(3)]).await.expect("it is taken");
        assert_eq!(buffered(&storage).len() as u64, (n + 1) * 10, "visible at once");
    }
    drop((storage, appender));

    let storage = open(&config(&dir)).await;
    settled(&storage).await;
    assert_eq!(buffered(&storage), (0..200).collect::<Vec<_>>());
    let snapshot = storage.reader().snapshot(&tenant());
    assert_eq!(snapshot.incomplete, None);
    let logs = snapshot.table(&table::LOGS).expect("logs came back too");
    assert_eq!(logs.buffer.iter().map(|b| b.records.num_rows()).sum::<usize>(), 60);
    let first: &RecordBatch = &snapshot.table(&SPANS).expect("spans").buffer[0].records;
    assert_eq!(first.schema(), SPANS.schema());
}

/// A second opener is told who has the directory; the first goes on.
#[tokio::test]
async fn d9_one_writer_per_directory() {
    let dir = TempDir::new().expect("a folder");
    let storage = open(&config(&dir)).await;
    let error = Storage::open(config(&dir), Arc::new(SystemClock)).await.expect_err("it is in use");
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    storage.appender().append(&tenant(), vec![spans(0..1)]).await.expect("the first goes on");
    storage.close().await.expect("closes");
    let storage = open(&config(&dir)).await;
    settled(&storage).await;
    assert_eq!(visible(&storage.reader().snapshot(&tenant()), &config(&dir)), [0]);
}

/// Numbers of all spans a snapshot shows, from segments and buffer, sorted.
fn visible(snapshot: &Snapshot, config: &Config) -> Vec<u64> {
    let Some(table) = snapshot.table(&SPANS) else { return Vec::new() };
    let mut ids: Vec<u64> = table.buffer.iter().flat_map(|rows| span_ids(&rows.records)).collect();
    for segment in table.segments.iter() {
        let rows = read_segment(segment, config);
        assert_eq!(rows.iter().map(|rows| rows.num_rows() as u64).sum::<u64>(), segment.n_rows);
        ids.extend(rows.iter().flat_map(span_ids));
    }
    ids.sort_unstable();
    ids
}

fn read_segment(segment: &SegmentMeta, config: &Config) -> Vec<RecordBatch> {
    let file = std::fs::File::open(config.data.join(segment.path.as_ref())).expect("a live segment exists");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("it is Parquet").build().expect("readable");
    reader.collect::<Result<_, _>>().expect("all rows can be read")
}

fn n_wal_files(config: &Config) -> usize {
    std::fs::read_dir(config.data.join("_wal")).expect("there is a WAL").count()
}

/// An orderly end leaves segments and no WAL; the next start finds everything.
#[tokio::test]
async fn d6_closing_moves_rows_to_segments() {
    let dir = TempDir::new().expect("a folder");
    let config = config(&dir);
    let storage = open(&config).await;
    let yesterday = rows::DAY_START - model::UnixNanos::DAY;
    let batches = vec![spans(0..700), logs(3), rows::spans_at(700..800, yesterday)];
    storage.appender().append(&tenant(), batches).await.expect("it is taken");
    storage.close().await.expect("closes");
    assert_eq!(n_wal_files(&config), 0);

    let storage = open(&config).await;
    let snapshot = storage.reader().snapshot(&tenant());
    assert_eq!(snapshot.incomplete, None);
    assert_eq!(visible(&snapshot, &config), (0..800).collect::<Vec<_>>());
    let spans = snapshot.table(&SPANS).expect("spans");
    assert!(spans.buffer.is_empty());
    let mut days: Vec<_> = spans.segments.iter().map(|segment| (segment.day, segment.n_rows)).collect();
    days.sort_unstable();
    assert_eq!(days, [(20_776, 100), (20_777, 700)]);
    let today = spans.segments.iter().find(|segment| segment.day == 20_777).expect("one segment per day");
    assert_eq!(today.time_range.start.0, rows::DAY_START);
    assert_eq!(today.time_range.end.0, rows::DAY_START + 699 * 1_000_000 + 1);
    assert_eq!(today.service_range, Some(("service-0".to_owned(), "service-2".to_owned())));
    let status = storage.reader().status();
    assert_eq!((status.segments, status.segment_rows), (3, 803));
    assert!(status.disk_free_bytes.is_some());
}

/// Rows move from the buffer to segments under the eyes of readers: none is missed, none is seen twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d8_each_row_is_seen_once_while_it_moves() {
    let dir = TempDir::new().expect("a folder");
    let config = Config { buffer_bytes_max: 40_000, ..config(&dir) };
    let storage = open(&config).await;
    let (appender, reader) = (storage.appender(), storage.reader());
    let acknowledged = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let writing = {
        let acknowledged = Arc::clone(&acknowledged);
        tokio::spawn(async move {
            for n in 0..60 {
                let batch = || vec![spans(n * 10..n * 10 + 10)];
                while let Err(error) = appender.append(&tenant(), batch()).await {
                    assert!(matches!(error, Error::Full { .. }), "{error}");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                acknowledged.store((n + 1) * 10, Ordering::SeqCst);
            }
        })
    };
    let mut n_with_both = 0;
    while !writing.is_finished() {
        let before = acknowledged.load(Ordering::SeqCst);
        let snapshot = reader.snapshot(&tenant());
        let ids = visible(&snapshot, &config);
        assert_eq!(ids, (0..ids.len() as u64).collect::<Vec<_>>(), "each number once, without gaps");
        assert!(ids.len() as u64 >= before, "acknowledged rows are visible: {} of {before}", ids.len());
        let both = snapshot.table(&SPANS).is_some_and(|table| !table.segments.is_empty() && !table.buffer.is_empty());
        n_with_both += u32::from(both);
        tokio::task::yield_now().await;
    }
    writing.await.expect("the writer did not panic");
    assert!(n_with_both > 0, "the test saw rows on both sides");
    assert!(reader.status().counts.flushes > 2, "{:?}", reader.status().counts);
    storage.close().await.expect("closes");
    let storage = open(&config).await;
    assert_eq!(visible(&storage.reader().snapshot(&tenant()), &config), (0..600).collect::<Vec<_>>());
}

/// A crash between flushes: what is in segments is not replayed, what is not is. Twice is like once.
#[tokio::test]
async fn d2_replay_is_idempotent() {
    let dir = TempDir::new().expect("a folder");
    let config = Config { buffer_bytes_max: 300_000, ..config(&dir) };
    let all: Vec<u64> = (0..600).collect();
    let storage = open(&config).await;
    for n in 0..60 {
        storage.appender().append(&tenant(), vec![spans(n * 10..n * 10 + 10)]).await.expect("it is taken");
    }
    drop(storage);
    for _ in 0..3 {
        let storage = open(&config).await;
        settled(&storage).await;
        let snapshot = storage.reader().snapshot(&tenant());
        assert_eq!(snapshot.incomplete, None);
        assert_eq!(visible(&snapshot, &config), all);
        drop(storage);
    }
}

/// Replay of more than the buffer may hold writes segments on the way.
#[tokio::test]
async fn d12_replay_is_bounded_and_behind_an_open_ingest() {
    let dir = TempDir::new().expect("a folder");
    let storage = open(&config(&dir)).await;
    for n in 0..40 {
        storage.appender().append(&tenant(), vec![spans(n * 10..n * 10 + 10)]).await.expect("it is taken");
    }
    drop(storage);
    let config = Config { buffer_bytes_max: 30_000, ..config(&dir) };
    let storage = open(&config).await;
    storage.appender().append(&tenant(), vec![spans(400..410)]).await.expect("ingest is open");
    settled(&storage).await;
    assert_eq!(visible(&storage.reader().snapshot(&tenant()), &config), (0..410).collect::<Vec<_>>());
    storage.close().await.expect("closes");
    let storage = open(&config).await;
    assert_eq!(visible(&storage.reader().snapshot(&tenant()), &config), (0..410).collect::<Vec<_>>());
}

/// Numbers of the spans that the index gives for a trace, after comparing whole ids.
async fn located(storage: &Storage, config: &Config, trace: u64) -> Vec<u64> {
    let snapshot = storage.reader().snapshot(&tenant());
    let table = snapshot.table(&SPANS).expect("spans");
    let id = model::TraceId::from_bytes(&rows::trace_id(trace)).expect("not zero");
    let mut found: Vec<u64> = table.buffered_trace(id).iter().flat_map(span_ids).collect();
    for candidate in table.locate_trace(id).await {
        let wanted = candidate.rows.expect("the index can be used");
        let all: Vec<u64> = read_segment(&candidate.segment, config).iter().flat_map(span_ids).collect();
        for range in wanted.ranges() {
            found.extend(&all[range.start as usize..range.end as usize]);
        }
    }
    found.sort_unstable();
    found
}

/// A trace is found by its rows in segments and in the buffer; an index that was lost or damaged comes back.
#[tokio::test]
async fn a_trace_is_located_whatever_happens_to_the_index() {
    let dir = TempDir::new().expect("a folder");
    let config = config(&dir);
    let storage = open(&config).await;
    storage.appender().append(&tenant(), vec![spans(0..5_005)]).await.expect("it is taken");
    storage.close().await.expect("closes");
    let storage = open(&config).await;
    storage.appender().append(&tenant(), vec![spans(5_005..5_020)]).await.expect("it is taken");

    let indexes = || std::fs::read_dir(config.data.join("tenants/default/spans/_idx")).expect("indexes").flatten();
    let trace = (5_000..5_010).collect::<Vec<_>>();
    assert_eq!(located(&storage, &config, 500).await, trace);
    assert_eq!(located(&storage, &config, 0).await, (0..10).collect::<Vec<_>>());
    assert!(located(&storage, &config, 9_999).await.is_empty());

    for path in indexes().map(|entry| entry.path()) {
        let mut bytes = std::fs::read(&path).expect("readable");
        for byte in bytes.iter_mut().skip(40) {
            *byte ^= 0x55;
        }
        std::fs::write(&path, bytes).expect("writable");
    }
    assert_eq!(located(&storage, &config, 500).await, trace, "damaged");
    indexes().for_each(|entry| std::fs::remove_file(entry.path()).expect("removable"));
    assert_eq!(located(&storage, &config, 499).await, (4_990..5_000).collect::<Vec<_>>(), "missing");
    assert_eq!(indexes().count(), 1);
}

/// Tenants do not see each other.
#[tokio::test]
async fn tenants_are_places() {
    let dir = TempDir::new().expect("a folder");
    let storage = open(&config(&dir)).await;
    let other = TenantId::new("other").expect("a legal name");
    storage.appender().append(&other, vec![spans(0..5)]).await.expect("it is taken");
    assert!(buffered(&storage).is_empty());
    assert_eq!(storage.reader().snapshot(&other).tables.len(), 1);
}

/// One-row requests do not leave one batch each to every reader.
#[tokio::test]
async fn small_batches_are_merged() {
    let dir = TempDir::new().expect("a folder");
    let storage = open(&config(&dir)).await;
    let appender = storage.appender();
    let appends = (0..600).map(|n| {
        let appender = appender.clone();
        async move { appender.append(&tenant(), vec![spans(n..n + 1)]).await }
    });
    futures::future::try_join_all(appends).await.expect("all are taken");
    assert_eq!(buffered(&storage), (0..600).collect::<Vec<_>>());
    let snapshot = storage.reader().snapshot(&tenant());
    let n_batches = snapshot.table(&SPANS).expect("spans").buffer.len();
    assert!(n_batches < 50, "{n_batches} batches");
}
