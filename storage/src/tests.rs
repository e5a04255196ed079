//! The promises of storage, as someone at its front door notices them.

use std::sync::Arc;

use arrow::array::RecordBatch;
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
    assert_eq!(buffered(&storage), [0]);
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
