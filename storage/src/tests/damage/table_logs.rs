//! Table logs that are damaged, cut or lost, with their copies or without.

use std::path::PathBuf;

use super::*;

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
