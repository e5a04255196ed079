//! Damaged WAL files.

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
    let opening = crate::wal::opening_bytes();
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
