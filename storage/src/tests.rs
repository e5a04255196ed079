//! The promises of storage, as someone at its front door notices them.

use std::sync::Arc;

use arrow::array::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

use super::*;
use crate::table::SPANS;

mod crash;
mod damage;
pub(crate) mod rows;
mod simulation;
mod upkeep;
use rows::{logs, span_ids, spans};

fn tenant() -> TenantId {
    TenantId::default_tenant()
}

fn config(dir: &TempDir) -> Config {
    Config { data: dir.path().join("data"), ..Config::default() }
}

/// A place in a folder, without its lock.
pub(crate) fn place_in(dir: &TempDir) -> place::Place {
    directory::open(Arc::new(disk::LocalDisk), dir.path()).expect("it can be made").place
}

async fn open(config: &Config) -> Storage {
    loop {
        match Storage::open(config.clone(), Arc::new(SystemClock)).await {
            Ok(storage) => return storage,
            // The threads of one that was dropped are about to end: it was this process, so the system keeps its lock.
            Err(Error::InUse { .. }) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(error) => panic!("the directory can be opened: {error}"),
        }
    }
}

/// Waits until replay has ended.
async fn settled(storage: &Storage) {
    while storage.reader().status().replaying {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Appends `n` spans from this number on, again while there is no room: flushes may be late.
async fn append_patiently(storage: &Storage, first: u64, n: u64) {
    let patience = tokio::time::Instant::now() + Duration::from_secs(60);
    while let Err(error) = storage.appender().append(&tenant(), vec![spans(first..first + n)]).await {
        assert!(matches!(error, Error::Full { .. }) && tokio::time::Instant::now() < patience, "no room: {error}");
        tokio::time::sleep(Duration::from_millis(5)).await;
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
    let yesterday = rows::DAY_START - UnixNanos::DAY;
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
    // The reader, or the flusher, may come late: rows are written until it has seen what it is here for.
    let has_seen = Arc::new(AtomicBool::new(false));
    let writing = {
        let (acknowledged, has_seen) = (Arc::clone(&acknowledged), Arc::clone(&has_seen));
        tokio::spawn(async move {
            let mut n = 0;
            while n < 60 || !has_seen.load(Ordering::SeqCst) {
                let batch = || vec![spans(n * 10..n * 10 + 10)];
                while let Err(error) = appender.append(&tenant(), batch()).await {
                    assert!(matches!(error, Error::Full { .. }), "{error}");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                n += 1;
                acknowledged.store(n * 10, Ordering::SeqCst);
            }
            n * 10
        })
    };
    let mut n_with_both = 0;
    let patience = tokio::time::Instant::now() + Duration::from_secs(60);
    while !writing.is_finished() {
        let before = acknowledged.load(Ordering::SeqCst);
        let snapshot = reader.snapshot(&tenant());
        let ids = visible(&snapshot, &config);
        assert_eq!(ids, (0..ids.len() as u64).collect::<Vec<_>>(), "each number once, without gaps");
        assert!(ids.len() as u64 >= before, "acknowledged rows are visible: {} of {before}", ids.len());
        let both = snapshot.table(&SPANS).is_some_and(|table| !table.segments.is_empty() && !table.buffer.is_empty());
        n_with_both += u32::from(both);
        let is_enough = n_with_both > 0 && reader.status().counts.flushes > 2;
        has_seen.store(is_enough || tokio::time::Instant::now() > patience, Ordering::SeqCst);
        tokio::task::yield_now().await;
    }
    let n_rows = writing.await.expect("the writer did not panic");
    assert!(n_with_both > 0, "the test saw rows on both sides");
    assert!(reader.status().counts.flushes > 2, "{:?}", reader.status().counts);
    storage.close().await.expect("closes");
    let storage = open(&config).await;
    assert_eq!(visible(&storage.reader().snapshot(&tenant()), &config), (0..n_rows).collect::<Vec<_>>());
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
    // Open, although replay may have filled the buffer for a moment: it holds less than there is to replay.
    append_patiently(&storage, 400, 10).await;
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

async fn refusal(config: &Config) -> String {
    loop {
        match Storage::open(config.clone(), Arc::new(SystemClock)).await.expect_err("it is refused") {
            error @ Error::Open { .. } => return error.to_string(),
            // As in `open`: the threads of one that was dropped may be late.
            Error::InUse { .. } => tokio::time::sleep(Duration::from_millis(5)).await,
            error => panic!("refused for another reason: {error}"),
        }
    }
}

/// Everything below a directory with its length, to prove that nothing was touched.
fn listing(dir: &std::path::Path) -> Vec<(std::path::PathBuf, u64)> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        // Files may go while we look.
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                dirs.push(entry.path());
            }
            found.push((entry.path(), meta.len()));
        }
    }
    found.sort();
    found
}

/// A directory that cannot be ours is refused with what to do, and left as it is.
#[tokio::test]
async fn directories_of_others_are_refused_untouched() {
    let dir = TempDir::new().expect("a folder");
    let at = |name: &str| Config { data: dir.path().join(name), ..Config::default() };
    std::fs::write(dir.path().join("file"), "x").expect("writable");
    std::fs::create_dir_all(dir.path().join("other/pg_wal")).expect("writable");
    std::fs::create_dir(dir.path().join("foreign")).expect("writable");
    let foreign = r#"{"product":"somebody","format":1,"writer":"x"}"#;
    std::fs::write(dir.path().join("foreign/hodoscope.json"), foreign).expect("writable");
    let before = listing(dir.path());
    for (name, hint) in [
        ("file", "it is a file"),
        ("file/below", "a file"),
        ("other", "files of something else"),
        ("foreign", "belongs to somebody"),
    ] {
        let text = refusal(&at(name)).await;
        assert!(text.contains(hint), "{name}: {text}");
    }
    let text = refusal(&Config { data: "ftp://host/folder".into(), ..Config::default() }).await;
    assert!(text.contains("no store of data"), "{text}");
    // Linux has no directory there, whoever asks.
    let text = refusal(&Config { data: "/proc/hodoscope-data".into(), ..Config::default() }).await;
    assert!(text.contains("/proc/hodoscope-data"), "{text}");
    assert_eq!(listing(dir.path()), before);
}

/// D10: what a newer release wrote is not touched.
#[tokio::test]
async fn d10_newer_formats_are_refused_untouched() {
    let dir = TempDir::new().expect("a folder");
    let config = config(&dir);
    let storage = open(&config).await;
    storage.appender().append(&tenant(), vec![spans(0..3)]).await.expect("it is taken");
    drop(storage);
    drop(open(&config).await);
    let format_file = config.data.join("hodoscope.json");
    let format = std::fs::read_to_string(&format_file).expect("it is there");
    std::fs::write(&format_file, format.replace("\"format\": 1", "\"format\": 2")).expect("writable");
    let before = listing(&config.data);
    let text = refusal(&config).await;
    assert!(text.contains("format 2") && text.contains("newer release"), "{text}");
    assert_eq!(listing(&config.data), before);

    std::fs::write(&format_file, format).expect("writable");
    let newer = wal::record::FileHeader { version: 2, salt: 1, first_sequence: 1 << 40 };
    std::fs::write(config.data.join(format!("_wal/{:020}.wal", 1_u64 << 40)), newer.to_head()).expect("writable");
    let before = listing(&config.data);
    let text = refusal(&config).await;
    assert!(text.contains("WAL version 2"), "{text}");
    assert_eq!(listing(&config.data), before);
}

/// F6: segments that cannot be written leave the rows in WAL and buffer; it goes on by itself when they can.
#[tokio::test]
async fn d6_a_failed_flush_loses_nothing_and_is_tried_again() {
    let dir = TempDir::new().expect("a folder");
    let config = Config { buffer_bytes_max: 20_000, ..config(&dir) };
    let storage = open(&config).await;
    // A file where the table's directory should be.
    std::fs::create_dir_all(config.data.join("tenants/default")).expect("writable");
    let obstacle = config.data.join("tenants/default/spans");
    std::fs::write(&obstacle, "").expect("writable");
    storage.appender().append(&tenant(), vec![spans(0..50)]).await.expect("it is taken");
    while storage.reader().status().counts.flush_failures < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(buffered(&storage), (0..50).collect::<Vec<_>>());
    let error = loop {
        if let Err(error) = storage.appender().append(&tenant(), vec![spans(50..60)]).await {
            break error;
        }
    };
    assert!(matches!(error, Error::Full { .. }), "the buffer has an end: {error}");
    std::fs::remove_file(&obstacle).expect("removable");
    while storage.reader().status().counts.flushes == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let ids = visible(&storage.reader().snapshot(&tenant()), &config);
    assert_eq!(ids[..50], (0..50).collect::<Vec<_>>());
    // The rows that came meanwhile are the next generation; its flush makes room.
    append_patiently(&storage, 60, 10).await;
    storage.close().await.expect("closes");
}

/// Closing on a disk that refuses says so and keeps the WAL.
#[tokio::test]
async fn d6_closing_on_a_full_disk_keeps_the_wal() {
    let dir = TempDir::new().expect("a folder");
    let config = config(&dir);
    let storage = open(&config).await;
    storage.appender().append(&tenant(), vec![spans(0..50)]).await.expect("it is taken");
    std::fs::write(config.data.join("tenants"), "").expect("writable");
    let error = storage.close().await.expect_err("no segments can be written");
    assert!(error.to_string().contains("tenants"), "{error}");
    std::fs::remove_file(config.data.join("tenants")).expect("removable");
    let storage = open(&config).await;
    settled(&storage).await;
    assert_eq!(visible(&storage.reader().snapshot(&tenant()), &config), (0..50).collect::<Vec<_>>());
}

/// Batches written before a column existed come back with nulls in it.
#[test]
fn d10_older_schemas_are_read() {
    let batch = spans(0..4);
    let all = batch.records();
    let keep: Vec<usize> =
        (0..all.num_columns()).filter(|index| all.schema().field(*index).name() != "http_route").collect();
    assert!(keep.len() < all.num_columns(), "the column exists");
    let older = all.project(&keep).expect("these exist");
    let read = wal::payload::conform(&SPANS, &older).expect("it can be read");
    assert_eq!(span_ids(read.records()), [0, 1, 2, 3]);
    assert_eq!(read.records().column_by_name("http_route").map(arrow::array::Array::null_count), Some(4));
    let newer = arrow::compute::concat_batches(&older.schema(), [&older]).expect("one schema");
    let (index, _) = older.schema().column_with_name("span_id").expect("spans have ids");
    let without_id: Vec<usize> = (0..newer.num_columns()).filter(|other| *other != index).collect();
    wal::payload::conform(&SPANS, &newer.project(&without_id).expect("these exist")).expect_err("ids are needed");
}

/// A batch of another table's shape never reaches the WAL.
#[test]
fn batches_must_match_their_table() {
    let error = Batch::new(&SPANS, logs(1).records().clone()).expect_err("these are logs");
    assert!(matches!(error, Error::BatchMismatch { table: "spans", .. }), "{error}");
}

/// After close, everybody is told.
#[tokio::test]
async fn closed_is_said() {
    let dir = TempDir::new().expect("a folder");
    let storage = open(&config(&dir)).await;
    let (appender, reader) = (storage.appender(), storage.reader());
    let mut watch = reader.watch();
    appender.append(&tenant(), vec![spans(0..1)]).await.expect("it is taken");
    assert!(watch.has_changed().expect("storage lives"), "watchers hear of new rows");
    watch.mark_unchanged();
    storage.close().await.expect("closes");
    let error = appender.append(&tenant(), vec![spans(1..2)]).await.expect_err("closed");
    assert!(matches!(error, Error::Closed), "{error}");
    assert_eq!(reader.snapshot(&tenant()).table(&SPANS).map(|table| table.segments.len()), Some(1));
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

/// A batch of the digest with this number.
fn progress(number: i64) -> Batch {
    let one = || Arc::new(arrow::array::Int64Array::from(vec![number])) as arrow::array::ArrayRef;
    let columns = table::DIGEST_PROGRESS.columns().iter().map(|column| (column.name, one()));
    Batch::from_columns(&table::DIGEST_PROGRESS, 1, columns).expect("all columns are numbers")
}

/// Telemetry cannot be written as derived rows, nor the other way round.
#[tokio::test]
async fn derived_tables_have_a_writer_of_their_own() {
    let dir = TempDir::new().expect("a folder");
    let storage = open(&config(&dir)).await;
    let refused = storage.appender().append(&tenant(), vec![spans(0..1), progress(1)]).await;
    assert!(matches!(refused, Err(Error::BatchMismatch { table: "digest_progress", .. })), "{refused:?}");
    let refused = storage.derived_writer().append(&tenant(), vec![progress(1), spans(0..1)]).await;
    assert!(matches!(refused, Err(Error::BatchMismatch { table: "spans", .. })), "{refused:?}");
    storage.derived_writer().append(&tenant(), vec![progress(1)]).await.expect("it is taken");
    storage.derived_writer().append(&tenant(), Vec::new()).await.expect("nothing is fine");
    drop(storage);

    let storage = open(&config(&dir)).await;
    settled(&storage).await;
    let snapshot = storage.reader().snapshot(&tenant());
    let rows = snapshot.table(&table::DIGEST_PROGRESS).map(|table| table.buffer.len());
    assert_eq!((rows, buffered(&storage)), (Some(1), Vec::new()), "it survives a crash, and nothing was half written");
    assert_eq!(storage.reader().tenants(), vec![tenant()]);
}

/// A follower is handed every row once, after it became visible; one that never looks costs a bounded queue.
#[tokio::test]
async fn a_follower_sees_rows_once() {
    let dir = TempDir::new().expect("a folder");
    let storage = open(&config(&dir)).await;
    let appender = storage.appender();
    appender.append(&tenant(), vec![spans(0..10)]).await.expect("it is taken");
    let mut follower = storage.reader().follow(&SPANS);
    let other = storage.reader().follow(&SPANS);
    appender.append(&tenant(), vec![spans(10..20), logs(2)]).await.expect("it is taken");
    appender.append(&tenant(), vec![logs(2)]).await.expect("it is taken");
    appender.append(&tenant(), vec![spans(20..30)]).await.expect("it is taken");
    tokio::time::timeout(Duration::from_secs(60), follower.changed()).await.expect("something was published");
    let followed = follower.take();
    let mut ids: Vec<u64> = followed.rows.iter().flat_map(|(_, rows)| span_ids(&rows.records)).collect();
    ids.sort_unstable();
    assert_eq!((ids, followed.has_gap), ((10..30).collect(), false), "none twice, none of before");
    assert!(follower.take().rows.is_empty());
    let also: usize = other.take().rows.iter().map(|(_, rows)| rows.records.num_rows()).sum();
    assert_eq!(also, 20, "every follower is handed every row");
    drop(other);

    for n in 0..800 {
        append_patiently(&storage, n * 1000, 1000).await;
    }
    assert!(follower.take().has_gap, "it came too late, and is told");
}
