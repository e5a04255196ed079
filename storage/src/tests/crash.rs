//! kill -9 while appends, flushes and replay are under way: what was acknowledged is there, once.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicU64;

use super::*;

/// Directory for the child; without it the child's test has nothing to do.
const DIR: &str = "HODOSCOPE_CRASH_TEST_DIR";
/// First batch the child sends.
const START: &str = "HODOSCOPE_CRASH_TEST_START";
/// Spans per batch: batch n holds the numbers from n * 10.
const BATCH: u64 = 10;
/// Batches that a child acknowledges at least, however slow the disk.
const BATCHES_MIN: usize = 3;

/// Small limits, so that a second sees many flushes and WAL files.
fn small(data: &std::path::Path) -> Config {
    Config { data: data.to_owned(), buffer_bytes_max: 600_000, wal_file_bytes: 60_000, ..Config::default() }
}

/// The process that is killed: four appenders without pause; each acknowledged batch is a line on stdout.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let start: u64 = std::env::var(START).expect("the parent sets both").parse().expect("a number");
    let storage = open(&small(std::path::Path::new(&dir))).await;
    let next = Arc::new(AtomicU64::new(start));
    let appenders = (0..4).map(|_| {
        let (appender, next) = (storage.appender(), Arc::clone(&next));
        tokio::spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::SeqCst);
                while appender.append(&tenant(), vec![spans(n * BATCH..(n + 1) * BATCH), logs(1)]).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                // One write per line, past the test harness: it must be out before the next kill.
                io::stdout().write_all(format!("acknowledged {n}\n").as_bytes()).expect("the parent listens");
            }
        })
    });
    futures::future::join_all(appenders).await;
}

/// Runs the child on `dir` for so long, kills it, and gives the batches it saw acknowledged.
fn run_and_kill(dir: &std::path::Path, start: u64, milliseconds: u64) -> Vec<u64> {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["tests::crash::child", "--exact", "--nocapture"])
        .env(DIR, dir)
        .env(START, start.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it can be started");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let (sender, receiver) = std::sync::mpsc::sync_channel(BATCHES_MIN);
    let reading = std::thread::spawn(move || {
        let numbers = lines.map_while(Result::ok).filter_map(|line| line.rsplit("acknowledged ").next()?.parse().ok());
        let announced = numbers.inspect(|_| {
            // Only the first ones are waited for.
            let _ = sender.try_send(());
        });
        announced.collect::<Vec<u64>>()
    });
    // The time counts from the first acknowledgements: starting takes long on a busy machine.
    for _ in 0..BATCHES_MIN {
        receiver.recv_timeout(Duration::from_secs(60)).expect("the child acknowledges something");
    }
    std::thread::sleep(Duration::from_millis(milliseconds));
    child.kill().expect("it runs");
    child.wait().expect("it has ended");
    reading.join().expect("lines were read")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d2_acknowledged_rows_survive_kill_9() {
    let dir = TempDir::new().expect("a folder");
    let data = dir.path().join("data");
    let mut acknowledged: BTreeSet<u64> = BTreeSet::new();
    let mut start = 0;
    for milliseconds in [3, 400, 40, 150, 800, 0, 90, 250] {
        let data_dir = data.clone();
        let running = tokio::task::spawn_blocking(move || run_and_kill(&data_dir, start, milliseconds));
        acknowledged.extend(running.await.expect("the child ran"));

        let config = small(&data);
        let storage = open(&config).await;
        settled(&storage).await;
        let snapshot = storage.reader().snapshot(&tenant());
        assert_eq!(snapshot.incomplete, None);
        let ids = visible(&snapshot, &config);
        let batches: BTreeSet<u64> = ids.iter().map(|id| id / BATCH).collect();
        let whole: Vec<u64> = batches.iter().flat_map(|n| n * BATCH..(n + 1) * BATCH).collect();
        assert_eq!(ids, whole, "batches are whole and each row is there once");
        let lost: Vec<_> = acknowledged.difference(&batches).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        // Rows that were not acknowledged may be there; their numbers are not used again.
        start = batches.last().map_or(0, |last| last + 5);
        drop(storage);
    }
    // Eight runs of at least three; usually hundreds.
    assert!(acknowledged.len() > 20, "{} batches are too few to prove anything", acknowledged.len());
}
