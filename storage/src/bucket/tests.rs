//! A prefix with one writer, over a bucket in memory that fails by script.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions, PutOptions,
    PutPayload, PutResult,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::table::SPANS;
use crate::table_log::{Change, TableLog};
use crate::tests::rows::{span_ids, spans};
use crate::{Storage, SystemClock, TenantId};

/// What happens to the next PUT of a WAL object.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// 503: nothing is stored.
    Refused,
    /// It is stored, and the answer is lost.
    AnswerLost,
    /// It hangs, and is stored when the test lets it through, whoever waits.
    Late,
}

/// A bucket whose WAL objects meet faults.
#[derive(Clone, Debug, Default)]
struct Faulty {
    bucket: Arc<InMemory>,
    faults: Arc<Mutex<VecDeque<Fault>>>,
    /// Lets a late one through.
    lets_through: Arc<tokio::sync::Notify>,
    /// Creating an object twice works, as in stores without conditional writes.
    is_careless: bool,
    /// The next commit of a table log is made, and its answer is lost: who asks again hears that it is there.
    loses_a_commit: Arc<AtomicBool>,
}

impl std::fmt::Display for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Faulty")
    }
}

fn lost() -> object_store::Error {
    object_store::Error::Generic { store: "Faulty", source: "connection reset".into() }
}

#[async_trait::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, at: &Path, payload: PutPayload, mut opts: PutOptions) -> object_store::Result<PutResult> {
        if self.is_careless {
            opts.mode = PutMode::Overwrite;
        }
        let is_group = at.as_ref().contains("_wal/") && payload.content_length() > 1000;
        let fault = if is_group { self.faults.lock().expect("a lock").pop_front() } else { None };
        let is_commit = at.as_ref().contains("_delta_log/") && at.as_ref().ends_with(".json");
        if is_commit && self.loses_a_commit.swap(false, Ordering::Relaxed) {
            self.bucket.put_opts(at, payload, opts).await?;
            return Err(object_store::Error::AlreadyExists { path: at.to_string(), source: "412".into() });
        }
        match fault {
            None => self.bucket.put_opts(at, payload, opts).await,
            Some(Fault::Refused) => Err(lost()),
            Some(Fault::AnswerLost) => {
                self.bucket.put_opts(at, payload, opts).await?;
                Err(lost())
            }
            Some(Fault::Late) => {
                let (bucket, at, gate) = (Arc::clone(&self.bucket), at.clone(), Arc::clone(&self.lets_through));
                tokio::spawn(async move {
                    gate.notified().await;
                    let _ = bucket.put_opts(&at, payload, opts).await;
                });
                std::future::pending().await
            }
        }
    }
    async fn put_multipart_opts(
        &self,
        at: &Path,
        opts: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.bucket.put_multipart_opts(at, opts).await
    }
    async fn get_opts(&self, at: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.bucket.get_opts(at, options).await
    }
    fn delete_stream(
        &self,
        at: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.bucket.delete_stream(at)
    }
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.bucket.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.bucket.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.bucket.copy_opts(from, to, options).await
    }
}

fn config() -> Config {
    Config { data: "s3://bucket/prefix".into(), bucket_commit_ms: 0, ..Config::default() }
}

async fn take_in(store: &Faulty) -> Result<Owned> {
    let store: Arc<dyn ObjectStore> = Arc::new(store.clone());
    let stores = Stores { opening: Arc::clone(&store), data: Arc::clone(&store), wal: store };
    let address = Address::parse("s3://bucket/prefix").expect("a good address");
    take(&config(), &address, stores, &Handle::current()).await
}

async fn open_with(store: &Faulty, config: Config) -> Storage {
    let owned = take_in(store).await.expect("it can be taken");
    let opening = tokio::task::spawn_blocking(move || Storage::open_at(&config, Arc::new(SystemClock), owned));
    let storage = opening.await.expect("no panic").expect("it opens");
    while storage.reader().status().replaying {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    storage
}

async fn open(store: &Faulty) -> Storage {
    open_with(store, config()).await
}

fn tenant() -> TenantId {
    TenantId::default_tenant()
}

async fn append(storage: &Storage, numbers: std::ops::Range<u64>) -> Result<()> {
    storage.appender().append(&tenant(), vec![spans(numbers)]).await
}

/// Numbers of all spans that a new reader sees, in segments and buffer, sorted.
async fn visible(storage: &Storage) -> Vec<u64> {
    let snapshot = storage.reader().snapshot(&tenant());
    assert_eq!(snapshot.incomplete, None);
    let Some(table) = snapshot.table(&SPANS) else { return Vec::new() };
    let mut ids: Vec<u64> = table.buffer.iter().flat_map(|rows| span_ids(&rows.records)).collect();
    for segment in table.segments.iter() {
        let bytes = snapshot.store.get(&segment.path).await.expect("it is there").bytes().await.expect("readable");
        let rows = ParquetRecordBatchReaderBuilder::try_new(bytes).expect("it is Parquet").build().expect("readable");
        ids.extend(rows.flat_map(|rows| span_ids(&rows.expect("readable"))));
    }
    ids.sort_unstable();
    ids
}

async fn names(store: &Faulty, below: &str) -> Vec<String> {
    let listed = store.bucket.list(Some(&Path::from(format!("prefix/{below}"))));
    let mut names: Vec<String> = listed.map(|object| object.expect("listed").location.to_string()).collect().await;
    names.sort();
    names
}

/// Acknowledged rows survive a crash without any disk; after an orderly end they are in segments, and of the WAL only
/// what keeps others out is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d2_acknowledged_rows_are_in_the_bucket() {
    let store = Faulty::default();
    let storage = open(&store).await;
    for n in 0..20 {
        append(&storage, n * 10..n * 10 + 10).await.expect("it is taken");
        assert_eq!(visible(&storage).await.len() as u64, (n + 1) * 10, "visible at once");
    }
    // An opening, and one object per append.
    assert_eq!(names(&store, "_wal").await.len(), 21);
    drop(storage);

    let storage = open(&store).await;
    assert_eq!(visible(&storage).await, (0..200).collect::<Vec<_>>());
    append(&storage, 200..210).await.expect("it is taken");
    storage.close().await.expect("it closes");
    // Two openings and the newest object.
    assert_eq!(names(&store, "_wal").await.len(), 3);
    let storage = open(&store).await;
    assert_eq!(visible(&storage).await, (0..210).collect::<Vec<_>>());
    assert_eq!(storage.reader().status().buffer_rows, 0);
}

/// D9: the older of two writers acknowledges nothing and commits nothing from the moment the newer one has opened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d9_a_writer_that_was_taken_over_writes_nothing() {
    let store = Faulty::default();
    let paused = open(&store).await;
    append(&paused, 0..10).await.expect("it is taken");
    let newer = open(&store).await;
    assert_eq!(visible(&newer).await, (0..10).collect::<Vec<_>>(), "what was acknowledged came along");
    append(&newer, 10..20).await.expect("it is taken");

    let error = append(&paused, 900..910).await.expect_err("it is no longer the writer");
    assert_eq!(error.kind(), model::ErrorKind::Overloaded, "whoever sends again reaches the newer one: {error}");
    let why = paused.taken_over().await;
    assert!(matches!(why, Error::TakenOver { .. }), "{why}");
    paused.close().await.expect_err("its rows cannot be committed by it");
    assert_eq!(names(&store, "tenants").await, Vec::<String>::new(), "nothing was committed");

    newer.close().await.expect("it closes");
    let last = open(&store).await;
    assert_eq!(visible(&last).await, (0..20).collect::<Vec<_>>(), "each row once");
}

/// The same with tables that exist, when the older one had rows to commit and never looked at the lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d9_a_commit_prepared_before_the_takeover_is_refused() {
    let store = Faulty::default();
    let first = open(&store).await;
    append(&first, 0..10).await.expect("it is taken");
    first.close().await.expect("it closes");

    let owned = take_in(&store).await.expect("it can be taken");
    let place = Place { ownership: None, ..owned.place.clone() };
    let mut prepared = TableLog::open(&place, &tenant(), &SPANS).await.expect("there is a log");
    let newer = open(&store).await;
    let error = prepared.append(&[], 1 << 40, model::UnixNanos(0)).await.expect_err("a newer mark came in between");
    assert!(error.to_string().to_lowercase().contains("concurrent"), "{error}");
    assert_eq!(visible(&newer).await, (0..10).collect::<Vec<_>>());
}

/// F21: a commit of a flush was made although its answer was lost, and a merge comes before the flush tries again. What the log holds is our
/// own. Before, it was taken for a former writer's, and the collector ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f21_a_merge_after_a_lost_answer_knows_our_own_commit() {
    let store = Faulty::default();
    let first = open(&store).await;
    append(&first, 0..10).await.expect("it is taken");
    first.close().await.expect("it closes");

    let owned = take_in(&store).await.expect("it can be taken");
    let mut log = TableLog::open(&owned.place, &tenant(), &SPANS).await.expect("there is a log");
    let (sequence, now) = (1 << 40, model::UnixNanos(0));
    store.loses_a_commit.store(true, Ordering::Relaxed);
    let error = log.append(&[], sequence, now).await.expect_err("its answer is lost");
    assert!(error.to_string().to_lowercase().contains("concurrent"), "{error}");
    assert!(log.replace(&[], &[], Change::Compaction, now).await.expect("nobody has taken over"));
    assert_eq!(log.covered, sequence);
    assert!(!log.append(&[], sequence, now).await.expect("it was made"));
    owned.place.ownership.as_ref().expect("a bucket has an owner").check().expect("still ours");
}

/// Merges, erasure and vacuum work without a disk. A writer that was taken over merges nothing and removes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d9_maintenance_of_a_bucket_ends_with_the_right_to_write() {
    let store = Faulty::default();
    let config = Config {
        compaction: false,
        vacuum_grace_s: 0,
        erasure_hold_s: 0,
        compaction_memory_bytes_max: 80 << 20,
        maintenance_every_s: 1000,
        retention_days: 20_000,
        ..config()
    };
    let parquet = async || {
        let names = names(&store, "tenants").await;
        names.into_iter().filter(|name| name.ends_with(".parquet") && !name.contains("_delta_log")).count()
    };
    for n in 0..5 {
        let storage = open_with(&store, config.clone()).await;
        append(&storage, n * 10..n * 10 + 10).await.expect("it is taken");
        storage.close().await.expect("it closes");
    }
    let storage = open_with(&store, config.clone()).await;
    assert_eq!(storage.reader().status().segments_by_level, [5, 0, 0]);
    storage.maintainer().compact().await;
    assert_eq!(storage.reader().status().segments_by_level, [0, 1, 0]);
    let patience = std::time::Instant::now() + Duration::from_secs(60);
    storage.maintainer().look_around().await;
    // The writer's thread may still be about to let go of the view that had the old segments.
    while parquet().await > 1 && std::time::Instant::now() < patience {
        storage.maintainer().look_around().await;
    }
    assert_eq!((visible(&storage).await, parquet().await), ((0..50).collect::<Vec<_>>(), 1));
    let trace = model::TraceId::from_bytes(&crate::tests::rows::trace_id(3)).expect("not zero");
    storage.maintainer().erase(&tenant(), crate::Erase::trace(trace)).await.expect("it is marked");
    while storage.reader().status().maintenance.erasures > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let left: Vec<u64> = (0..30).chain(40..50).collect();
    assert_eq!(visible(&storage).await, left);
    storage.close().await.expect("it closes");

    for n in 5..8 {
        let storage = open_with(&store, config.clone()).await;
        append(&storage, n * 10..n * 10 + 10).await.expect("it is taken");
        storage.close().await.expect("it closes");
    }
    let paused = open_with(&store, config.clone()).await;
    let newer = open_with(&store, config.clone()).await;
    // What the erasure left behind goes with the first look of whoever comes to it: not while it is compared.
    newer.maintainer().look_around().await;
    let before = names(&store, "tenants").await;
    paused.maintainer().compact().await;
    paused.maintainer().look_around().await;
    assert_eq!(paused.reader().status().counts.merges, 0);
    assert_eq!(names(&store, "tenants").await, before, "nothing was committed, left or removed");
    assert_eq!(visible(&newer).await, left.into_iter().chain(50..80).collect::<Vec<_>>());
}

/// A refusal is tried again, a lost answer is found out: one acknowledgement, one copy of the rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f21_lost_answers_and_refusals_are_sorted_out() {
    let store = Faulty::default();
    let storage = open(&store).await;
    for (n, faults) in (0..).zip([
        vec![Fault::Refused],
        vec![Fault::AnswerLost],
        vec![Fault::Refused, Fault::AnswerLost],
        vec![Fault::Refused, Fault::Refused, Fault::Refused],
    ]) {
        store.faults.lock().expect("a lock").extend(faults.iter().copied());
        append(&storage, n * 10..n * 10 + 10).await.unwrap_or_else(|error| panic!("{faults:?}: {error}"));
    }
    drop(storage);
    assert_eq!(visible(&open(&store).await).await, (0..40).collect::<Vec<_>>());
}

/// A request that comes through after its senders were refused leaves no rows behind: they send again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f21_what_was_given_up_does_not_come_back() {
    let store = Faulty::default();
    let storage = open(&store).await;
    store.faults.lock().expect("a lock").push_back(Fault::Late);
    append(&storage, 0..10).await.expect_err("the store does not answer");
    assert!(storage.reader().status().refusing.is_some(), "people can see why");
    let n_before = names(&store, "_wal").await.len();
    store.lets_through.notify_one();
    let patience = std::time::Instant::now() + Duration::from_secs(60);
    while names(&store, "_wal").await.len() == n_before {
        assert!(std::time::Instant::now() < patience, "it never came through");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // The writer tries again after 200 ms.
    tokio::time::sleep(Duration::from_millis(300)).await;
    append(&storage, 0..10).await.expect("sent again");
    append(&storage, 10..20).await.expect("it goes on");
    assert!(storage.reader().status().refusing.is_none());
    drop(storage);
    assert_eq!(visible(&open(&store).await).await, (0..20).collect::<Vec<_>>());
}

/// Somebody removed the WAL by hand: positions go on behind those of the tables, and nothing counts as covered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wal_that_was_removed_by_hand_begins_behind_the_tables() {
    let store = Faulty::default();
    let storage = open(&store).await;
    for n in 0..5 {
        append(&storage, n..n + 1).await.expect("it is taken");
    }
    storage.close().await.expect("it closes");
    for name in names(&store, "_wal").await {
        store.bucket.delete(&Path::from(name)).await.expect("removed");
    }
    let storage = open(&store).await;
    append(&storage, 5..6).await.expect("it is taken");
    drop(storage);
    let storage = open(&store).await;
    assert_eq!(visible(&storage).await, (0..6).collect::<Vec<_>>());
}

/// What is not ours, too new, or not safe is refused, and nothing changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prefixes_that_cannot_be_used_are_left_alone() {
    let refusal = async |store: &Faulty| take_in(store).await.map(drop).expect_err("it cannot be used").to_string();
    let put = async |store: &Faulty, name: &str, text: &str| {
        let path = Path::from(format!("prefix/{name}"));
        store.bucket.put(&path, text.to_owned().into()).await.expect("stored");
    };
    for (name, text, told) in [
        ("backup/dump.sql", "select 1", "it holds something else"),
        ("hodoscope.json", r#"{"product":"somebody","format":1,"writer":"x"}"#, "belongs to somebody"),
        ("hodoscope.json", r#"{"product":"hodoscope","format":99,"writer":"x"}"#, "format 99"),
        ("hodoscope.json", "{", "is damaged"),
    ] {
        let store = Faulty::default();
        put(&store, name, text).await;
        let said = refusal(&store).await;
        assert!(said.contains(told), "{said}");
        assert_eq!(names(&store, "").await, [format!("prefix/{name}")]);
    }
    let careless = Faulty { is_careless: true, ..Faulty::default() };
    let said = refusal(&careless).await;
    assert!(said.contains("does not support conditional writes"), "{said}");
    assert_eq!(names(&careless, "").await, Vec::<String>::new());
}
