//! Commits that win, lose, and are read again.

use super::*;
use crate::buffer;
use crate::clock::{Clock, SystemClock};
use crate::directory;
use crate::disk::simulated::{Call, SimulatedDisk};
use crate::segment;
use crate::table::SPANS;
use crate::tests::place_in;
use crate::tests::rows::spans;
use tempfile::TempDir;

async fn append_one(log: &mut TableLog, place: &Place, tenant: &TenantId, n: u64) -> bool {
    let files = write_one(place, tenant, n).await;
    log.append(&files, n + 1, SystemClock.now()).await.expect("committed")
}

/// A segment with one row.
async fn write_one(place: &Place, tenant: &TenantId, n: u64) -> Vec<Written> {
    let batch = spans(n..n + 1);
    let rows = buffer::rows(batch.records().clone(), batch.time_range(), batch.bytes()).expect("a row");
    let (store, runtime) = (Arc::clone(&place.store), tokio::runtime::Handle::current());
    let target = segment::Target { store, table: paths::table(tenant, &SPANS), runtime, in_flight: Default::default() };
    let writing = tokio::task::spawn_blocking(move || segment::write(&target, &SPANS, &[rows], 30));
    writing.await.expect("no panic").expect("written")
}

/// F8: a commit got its name, and the sync of its directory failed. The next attempt finds it made and goes on: it must stay
/// made. Before, the log was read through another view of the disk than it was written through, and that one knew
/// nothing of the doubt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f08_a_commit_that_counts_as_made_stays_made() {
    let tenant = TenantId::default_tenant();
    for seed in 0..20 {
        let disk = SimulatedDisk::new(seed);
        let open = |disk: &SimulatedDisk| directory::open(Arc::new(disk.clone()), std::path::Path::new("/var/data"));
        let place = open(&disk).expect("it can be made").place;
        let mut log = TableLog::open(&place, &tenant, &SPANS).await.expect("a new log");
        assert!(append_one(&mut log, &place, &tenant, 0).await);
        let files = write_one(&place, &tenant, 1).await;
        disk.refuse_calls(Call::SyncDir, "spans/_delta_log", 1);
        log.append(&files, 2, SystemClock.now()).await.expect_err("the sync of the log's directory fails");
        // Its WAL records may go now.
        assert!(!log.append(&files, 2, SystemClock.now()).await.expect("the disk works again"), "it was made");
        assert_eq!((log.covered, log.segments.len()), (2, 2));
        disk.crash();
        let place = open(&disk.restart()).expect("it can be opened").place;
        let log = TableLog::open(&place, &tenant, &SPANS).await.expect("readable");
        assert_eq!((log.covered, log.segments.len()), (2, 2), "seed {seed}");
    }
}

/// Many commits: the log is shortened, and a new start finds the same segments, statistics and WAL position.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_shortened() {
    let dir = TempDir::new().expect("a folder");
    let (place, tenant) = (place_in(&dir), TenantId::default_tenant());
    let mut log = TableLog::open(&place, &tenant, &SPANS).await.expect("a new log");
    for n in 0..101 {
        assert!(append_one(&mut log, &place, &tenant, n).await);
        if log.wants_checkpoint() {
            log.checkpoint().await.expect("shortened");
        }
    }
    assert!(!append_one(&mut log, &place, &tenant, 100).await, "the same position twice");
    assert!(dir.path().join("tenants/default/spans/_delta_log/_last_checkpoint").exists());
    let again = TableLog::open(&place, &tenant, &SPANS).await.expect("readable");
    assert_eq!((again.version, again.covered), (101, 101));
    let sorted = |log: &TableLog| {
        let mut segments: Vec<SegmentMeta> = log.segments.iter().map(|segment| SegmentMeta::clone(segment)).collect();
        segments.sort_by(|a, b| a.path.cmp(&b.path));
        segments
    };
    assert_eq!(sorted(&again), sorted(&log));
}

/// However young they are, only so many commits are kept, and everything from the checkpoint before them on: a log of fifty
/// thousand commits a day is listed with every one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_keeps_so_many_commits() {
    let dir = TempDir::new().expect("a folder");
    let (place, tenant) = (place_in(&dir), TenantId::default_tenant());
    let mut log = TableLog::open(&place, &tenant, &SPANS).await.expect("a new log");
    for n in 0..10 {
        assert!(append_one(&mut log, &place, &tenant, n).await);
        if n == 4 {
            log.checkpoint().await.expect("shortened");
        }
    }
    let commits = |dir_name: &str| {
        let files = std::fs::read_dir(dir.path().join("tenants/default/spans").join(dir_name)).expect("it is there");
        let names = files.flatten().map(|file| file.file_name().to_string_lossy().into_owned());
        let mut versions: Vec<i64> = names.filter_map(|name| name.strip_suffix(".json")?.parse().ok()).collect();
        versions.sort_unstable();
        versions
    };
    assert_eq!(commits("_delta_log"), (0..=10).collect::<Vec<_>>());
    log.checkpoint_keeping(3).await.expect("shortened");
    for dir_name in ["_delta_log", "_log_copy"] {
        assert_eq!(commits(dir_name), (5..=10).collect::<Vec<_>>(), "{dir_name}");
    }
    let again = TableLog::open(&place, &tenant, &SPANS).await.expect("readable");
    assert_eq!((again.version, again.covered, again.segments.len()), (10, 10, 10));
}

/// A release with more columns says so to the log with its first commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d10_new_columns_reach_the_log() {
    let dir = TempDir::new().expect("a folder");
    let (place, tenant) = (place_in(&dir), TenantId::default_tenant());
    let mut log = TableLog::open(&place, &tenant, &SPANS).await.expect("a new log");
    let mut columns = delta_fields(&SPANS).expect("legal types");
    let newest = columns.pop().expect("spans have columns");
    log.create(columns).await.expect("an older release");
    drop(log);
    let mut log = TableLog::open(&place, &tenant, &SPANS).await.expect("readable");
    assert!(append_one(&mut log, &place, &tenant, 0).await);
    let again = TableLog::open(&place, &tenant, &SPANS).await.expect("readable");
    let schema = again.delta.snapshot().expect("loaded").schema();
    assert_eq!(schema.field(newest.name()), Some(&newest));
    assert_eq!((again.segments.len(), again.covered), (1, 1));
}

/// The defect this log is built around: without the mark, both of two racing removals would win.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_marked_removals_one_wins() {
    let dir = TempDir::new().expect("a folder");
    let (place, tenant) = (place_in(&dir), TenantId::default_tenant());
    let mut log = TableLog::open(&place, &tenant, &SPANS).await.expect("a new log");
    append_one(&mut log, &place, &tenant, 0).await;
    let state = log.delta.snapshot().expect("loaded").clone();
    let store = log.delta.log_store();
    let file = state.snapshot().file_views(store.as_ref(), None).try_next().await.expect("readable").expect("one");
    let remove = async || {
        let mark = Transaction::new("maintenance", 1);
        CommitBuilder::from(CommitProperties::default().with_application_transaction(mark))
            .with_actions(vec![Action::Remove(file.remove_action(false))])
            .build(Some(&state as &dyn TableReference), Arc::clone(&store), DeltaOperation::Delete { predicate: None })
            .await
    };
    remove().await.expect("the first wins");
    remove().await.expect_err("the second is refused");
}

/// A merge is one fact: before it the old files, after it the new one; and an outdated one changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d8_a_replacement_is_one_commit_and_done_once() {
    let dir = TempDir::new().expect("a folder");
    let (place, tenant) = (place_in(&dir), TenantId::default_tenant());
    let mut log = TableLog::open(&place, &tenant, &SPANS).await.expect("a new log");
    for n in 0..3 {
        append_one(&mut log, &place, &tenant, n).await;
    }
    let old: Vec<Path> = log.segments.iter().map(|segment| segment.path.clone()).collect();
    let merged = async || {
        let (store, runtime) = (Arc::clone(&place.store), tokio::runtime::Handle::current());
        let target =
            segment::Target { store, table: paths::table(&tenant, &SPANS), runtime, in_flight: Default::default() };
        let batch = spans(0..3);
        let rows = buffer::rows(batch.records().clone(), batch.time_range(), batch.bytes()).expect("rows");
        let writing = tokio::task::spawn_blocking(move || segment::write(&target, &SPANS, &[rows], 30));
        writing.await.expect("no panic").expect("written")
    };
    let (merged, too_late) = (merged().await, merged().await);
    let now = SystemClock.now();
    let mut other = TableLog::open(&place, &tenant, &SPANS).await.expect("readable");
    assert!(log.replace(&old, &merged, Change::Compaction, now).await.expect("committed"));
    assert!(!log.replace(&old, &merged, Change::Compaction, now).await.expect("nothing to do"), "outdated");
    // Somebody else who planned the same from the version before.
    other.replace(&old, &too_late, Change::Compaction, now).await.expect_err("of two merges one wins");
    let again = TableLog::open(&place, &tenant, &SPANS).await.expect("readable");
    assert_eq!(again.segments.iter().map(|segment| segment.n_rows).sum::<u64>(), 3);
    assert_eq!((again.segments.len(), again.covered), (1, 3), "the WAL position stays");
    // Appends before and after do not mind.
    assert!(append_one(&mut log, &place, &tenant, 3).await);
    let last: Vec<Path> = log.segments.iter().take(1).map(|segment| segment.path.clone()).collect();
    assert!(log.replace(&last, &[], Change::Removal, now).await.expect("committed"));
    assert_eq!(log.segments.len(), 1);
}
