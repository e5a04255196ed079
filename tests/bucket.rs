//! The data in a bucket: the real binary against a real S3 server, and what must hold for other stores against theirs, through a
//! proxy that makes faults.
//!
//! Nothing is kept locally: each start gets an empty folder and finds everything in the bucket. What was acknowledged is
//! there once, whatever the network, the store or kill -9 did (F21); of two collectors on one prefix, one writes (F22).

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::otlp::Client;
use crate::harness::stores::{BUCKET, Fault, Kind, Store};
use crate::harness::{Collector, Request, Server, Transport, generate, server, sql, wait_for};
use crate::open_data;

/// A collector on a prefix; flushes every second.
fn collector(store: &Store, prefix: &str) -> Collector {
    let mut collector = Collector::with_fast_flush();
    collector.args = vec!["--data".to_owned(), store.url(prefix)];
    collector.env = store.environment();
    collector
}

fn spans(number: u64, items: u64) -> Request {
    let span = |item| generate::span(u128::from(number), item, "bucket");
    Request::Traces(generate::request("bucket", (1..=items).map(span).collect()))
}

/// What happened to the numbered requests.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    items: u64,
    attempts: u64,
    is_acknowledged: bool,
}

/// What a test tells its senders, and what they tell it while they send.
#[derive(Debug, Default)]
struct Load {
    is_over: AtomicBool,
    acknowledged: AtomicU64,
}

impl Load {
    fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Waits until so many requests were acknowledged: how long that takes is the machine's business.
    async fn acknowledges(&self, n: u64) {
        wait_for("acknowledgements", Duration::from_secs(240), async || {
            (self.acknowledged.load(Ordering::Relaxed) >= n).then_some(())
        })
        .await;
    }
}

/// Sends numbered requests from one sender until told to stop; a refused one is sent again, as SDKs do.
async fn send(client: Client, first: u64, load: Arc<Load>) -> (BTreeMap<u64, Sent>, Vec<f64>) {
    let (mut ledger, mut millis) = (BTreeMap::new(), Vec::new());
    for number in first.. {
        let items = 1 + number % 20;
        let request = spans(number, items);
        let transport = Transport::ALL[usize::try_from(number % 3).expect("small")];
        let entry: &mut Sent = ledger.entry(number).or_default();
        entry.items = items;
        loop {
            if load.is_over.load(Ordering::Relaxed) {
                return (ledger, millis);
            }
            let begun = Instant::now();
            entry.attempts += 1;
            match client.send(transport, &request).await {
                Ok(_) => {
                    entry.is_acknowledged = true;
                    load.acknowledged.fetch_add(1, Ordering::Relaxed);
                    millis.push(begun.elapsed().as_secs_f64() * 1e3);
                    break;
                }
                Err(refused) => {
                    let may_retry = matches!(refused.code, 0 | 14 | 503);
                    assert!(may_retry, "{refused:?}");
                    assert!(begun.elapsed() < Duration::from_secs(6), "A17: answered after {:?}", begun.elapsed());
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
    (ledger, millis)
}

/// Compares a ledger with what is stored: 0 lost, and not more often than sent. Answers rows stored in excess of one copy.
async fn check(server: &Server, ledger: &BTreeMap<u64, Sent>) -> u64 {
    let text = "SELECT encode(trace_id, 'hex') AS id, count(*) AS n, count(DISTINCT span_id) AS n_distinct FROM spans \
                WHERE service_name = 'bucket' GROUP BY trace_id";
    let rows = sql::query(server, text).await;
    let number = |row, column| u64::try_from(rows.int(row, column)).expect("a count");
    let stored: BTreeMap<u64, (u64, u64)> = (0..rows.len())
        .map(|row| {
            let id = u128::from_str_radix(rows.text(row, "id"), 16).expect("a number");
            (u64::try_from(id).expect("small"), (number(row, "n"), number(row, "n_distinct")))
        })
        .collect();
    let lost: Vec<_> =
        ledger.iter().filter(|(number, sent)| sent.is_acknowledged && !stored.contains_key(number)).collect();
    assert!(lost.is_empty(), "{} acknowledged requests are lost: {:?}", lost.len(), &lost[..lost.len().min(5)]);
    let mut in_excess = 0;
    for (number, (n, n_distinct)) in &stored {
        let sent = ledger.get(number).unwrap_or_else(|| panic!("{number} was never sent"));
        assert_eq!(*n_distinct, sent.items, "request {number} is whole: {sent:?}");
        assert!(n / sent.items <= sent.attempts, "request {number}: {n} rows, {sent:?}");
        in_excess += n - n_distinct;
    }
    in_excess
}

/// So many per cent of them are not larger.
fn percentile(millis: &mut [f64], percent: usize) -> f64 {
    millis.sort_by(f64::total_cmp);
    millis.get(millis.len() * percent / 100).copied().unwrap_or_default()
}

async fn status(server: &Server) -> api::StatusAnswer {
    let answer = reqwest::get(server.api("/api/status")).await.expect("an answer").bytes().await.expect("a body");
    serde_json::from_slice(&answer).expect("a status")
}

async fn settled(server: &Server) {
    wait_for("replay to end", Duration::from_secs(120), async || {
        (!status(server).await.storage.replaying).then_some(())
    })
    .await;
}

/// Sent, acknowledged, killed, started from nothing local: the same counts. The latency of an acknowledgement is the
/// store's, plus the wait for the PUT under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f21_a_bucket_alone_keeps_what_was_acknowledged() {
    let Some(s3) = Store::start(Kind::S3).await else { return };
    let mut running = Some(collector(&s3, "prod/eu").start());
    let (mut ledger, mut millis) = (BTreeMap::new(), Vec::new());
    for cycle in 0..3_u64 {
        let server = running.take().expect("it was started");
        let load = Arc::new(Load::default());
        let senders: Vec<_> = (0..3)
            .map(|sender| {
                let first = (cycle * 3 + sender + 1) * 1_000_000;
                tokio::spawn(send(Client::new(&server), first, Arc::clone(&load)))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        load.acknowledges(12).await;
        // In the middle of things; the last one politely.
        let server = if cycle < 2 {
            server.kill();
            None
        } else {
            Some(server)
        };
        load.end();
        for sender in senders {
            let (sent, times) = sender.await.expect("no sender failed");
            ledger.extend(sent);
            millis.extend(times);
        }
        if let Some(server) = server {
            let (status, _) = server.stop(Duration::from_secs(25));
            assert_eq!(status.code(), Some(0), "a polite stop");
        }
        let server = collector(&s3, "prod/eu").start();
        assert!(!server.data().exists(), "nothing is kept locally");
        settled(&server).await;
        let in_excess = check(&server, &ledger).await;
        println!("bucket: start {cycle}: ready after {:?}, {in_excess} rows twice", server.ready_after);
        running = Some(server);
    }
    let server = running.expect("it was started");
    let acknowledged = ledger.values().filter(|sent| sent.is_acknowledged).count();
    assert!(acknowledged > 30, "only {acknowledged} requests were acknowledged");
    assert!(status(&server).await.storage.segments > 0, "flushes and commits happened");
    // The middle of each: the slowest ones tell of the machine. How many PUTs an acknowledgement takes is the next test's question.
    let (ack, put) = (percentile(&mut millis, 50), percentile(&mut s3.put_millis(), 50));
    check_reads(&server, &s3).await;
    println!(
        "bucket: {acknowledged} requests acknowledged, 0 lost over 3 ends; acknowledgement p50 {ack:.0} ms, \
         the store's PUT p50 {put:.0} ms"
    );
    assert!(
        ack < 200.0 + 2.0 * put + 1_000.0,
        "an acknowledgement takes the distance of commits and two PUTs: {ack} ms"
    );

    // By trace id: the index and ranged reads.
    let some = ledger.iter().find(|(_, sent)| sent.is_acknowledged).map(|(number, sent)| (*number, sent.items));
    let (number, items) = some.expect("something was acknowledged");
    let answer = reqwest::get(server.api(&format!("/api/traces/{number:032x}"))).await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 200);
    let text = answer.text().await.expect("a body");
    assert!(text.matches("\"spanId\"").count() as u64 >= items, "{text}");
}

/// Queries read what they need: nothing of segments that statistics rule out, ranges of the others, footers once.
async fn check_reads(server: &Server, s3: &Store) {
    // What the digest has to read after a start is not what is counted here.
    wait_for("a second without reads", Duration::from_secs(60), async || {
        s3.segment_reads();
        tokio::time::sleep(Duration::from_secs(1)).await;
        s3.segment_reads().is_empty().then_some(())
    })
    .await;
    let nothing = "SELECT count(*) FROM spans WHERE start_time < '2020-01-01'";
    // A merge that begins just now reads, too, and has ended by the next try.
    wait_for("statistics in the table log to rule every segment out", Duration::from_secs(120), async || {
        s3.segment_reads();
        assert_eq!(sql::number(server, nothing).await, 0);
        s3.segment_reads().is_empty().then_some(())
    })
    .await;
    let text = "SELECT sum(duration_nanos) FROM spans";
    let first = sql::number(server, text).await;
    let cold = s3.segment_reads();
    let warm = wait_for("one column to be one range of each segment", Duration::from_secs(120), async || {
        s3.segment_reads();
        assert_eq!(sql::number(server, text).await, first);
        let warm = s3.segment_reads();
        // Footers are read once, and are in memory now.
        let n_segments = status(server).await.storage.segments;
        (warm.len() <= cold.len() && warm.len() as u64 <= n_segments).then_some(warm)
    })
    .await;
    let bytes = |reads: &[usize]| reads.iter().sum::<usize>();
    println!(
        "bucket: a sum over one column reads {} bytes in {} requests, then {} bytes in {}",
        bytes(&cold),
        cold.len(),
        bytes(&warm),
        warm.len()
    );
}

/// With no distance between commits, an acknowledgement takes the PUT under way and its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d1_an_acknowledgement_takes_two_puts_at_most() {
    let Some(s3) = Store::start(Kind::S3).await else { return };
    let mut collector = collector(&s3, "fast");
    collector.config.push_str("bucket_commit_ms = 0\n");
    let server = collector.start();
    // A store so slow that a third PUT is more than the machine's noise, and a third of what a PUT is waited for.
    s3.rule("/_wal/", Fault::Delay(Duration::from_millis(500)), 1, u32::MAX);
    let load = Arc::new(Load::default());
    let senders: Vec<_> = (0..8)
        .map(|sender| tokio::spawn(send(Client::new(&server), (sender + 1) * 1_000_000, Arc::clone(&load))))
        .collect();
    tokio::time::sleep(Duration::from_secs(5)).await;
    load.acknowledges(24).await;
    load.end();
    let mut millis = Vec::new();
    for sender in senders {
        millis.extend(sender.await.expect("no sender failed").1);
    }
    let n = millis.len();
    let (ack, put) = (percentile(&mut millis, 99), percentile(&mut s3.put_millis(), 99) + 500.0);
    println!("bucket: {n} acknowledgements, p99 {ack:.0} ms, the store's PUT p99 {put:.0} ms: {:.1} times", ack / put);
    assert!(ack < 2.0 * put + 400.0, "more than two PUTs and the machine's noise: {ack} ms, PUT {put} ms");
}

/// Other readers open the tables in the bucket.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_readers_open_the_tables_in_a_bucket() {
    let Some(s3) = Store::start(Kind::S3).await else { return };
    // The whole bucket, without a prefix.
    let mut collector = collector(&s3, "");
    collector.config.push_str("bucket_commit_ms = 0\n");
    let server = collector.start();
    let client = Client::new(&server);
    let stop = Arc::new(AtomicBool::new(false));
    let writing = open_data::write_on(client, Arc::clone(&stop));
    tokio::time::sleep(Duration::from_secs(3)).await;
    wait_for("something in each table that is read", Duration::from_secs(240), async || {
        let text = "SELECT (SELECT count(*) FROM spans WHERE name = 'open data 3') AS spans, (SELECT count(*) FROM logs) AS logs, \
                    (SELECT count(*) FROM number_points) AS points";
        let rows = sql::query(&server, text).await;
        ["spans", "logs", "points"].iter().all(|column| rows.int(0, column) > 0).then_some(())
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    writing.await.expect("the sender was never refused");
    let before = crate::harness::fixtures::now_nanos();
    let ours = open_data::ask(&server, before).await;
    let (stopped, _) = server.stop(Duration::from_secs(120));
    assert_eq!(stopped.code(), Some(0), "everything is in segments");
    let mut options: serde_json::Map<String, serde_json::Value> =
        s3.environment().into_iter().map(|(name, value)| (name, json!(value))).collect();
    options.insert("AWS_ALLOW_HTTP".to_owned(), json!("true"));
    let root = format!("s3://{BUCKET}/tenants/default");
    let reading = tokio::task::spawn_blocking(move || open_data::read(&root, &json!(options), before));
    let Some(theirs) = reading.await.expect("the readers answer") else { return };
    for (reader, answers) in theirs["answers"].as_object().expect("answers by reader") {
        open_data::compare(reader, answers, &ours);
    }
    println!("open data: in a bucket, over versions {}", theirs["versions"]);
}

/// F21: an hour of a bad store, in seconds. 0 lost, 0 twice, and the backlog drains.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f21_a_bad_store_loses_and_doubles_nothing() {
    let Some(s3) = Store::start(Kind::S3).await else { return };
    let mut server = collector(&s3, "bad").start();
    let load = Arc::new(Load::default());
    let senders: Vec<_> = (0..3)
        .map(|sender| tokio::spawn(send(Client::new(&server), (sender + 1) * 1_000_000, Arc::clone(&load))))
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let all = u32::MAX;
    for (what, rules) in [
        ("503 SlowDown, one in three", vec![("", Fault::Status(503, "SlowDown"), 3, all)]),
        ("500 InternalError, one in three", vec![("", Fault::Status(500, "InternalError"), 3, all)]),
        ("answers lost, one in four", vec![("PUT", Fault::AnswerLost, 4, all)]),
        ("answers cut, one in four", vec![("GET", Fault::AnswerCut, 4, all), ("PUT", Fault::AnswerCut, 4, all)]),
        ("uploads cut, one in three", vec![("PUT", Fault::RequestCut, 3, all)]),
        ("412 where nothing is, one in four", vec![("PUT", Fault::Status(412, "PreconditionFailed"), 4, all)]),
        ("slow: 400 ms each", vec![("", Fault::Delay(Duration::from_millis(400)), 1, all)]),
        ("WAL hangs", vec![("/_wal/", Fault::Delay(Duration::from_secs(4)), 1, 3)]),
        ("nothing but 503", vec![("", Fault::Status(503, "SlowDown"), 1, all)]),
    ] {
        for (to, fault, one_in, times) in rules {
            s3.rule(to, fault, one_in, times);
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        server.assert_alive();
        println!("bad store: {what}: {} faults", s3.heal());
    }
    let healed = Instant::now();
    let client = Client::new(&server);
    let request = Request::Traces(generate::request("after", vec![generate::span(77, 1, "after")]));
    wait_for("writes to be taken after the store came back", Duration::from_secs(10), async || {
        client.send(Transport::Grpc, &request).await.ok()
    })
    .await;
    println!("bad store: writes taken {:?} after it came back", healed.elapsed());
    tokio::time::sleep(Duration::from_secs(1)).await;
    load.end();
    let mut ledger = BTreeMap::new();
    for sender in senders {
        ledger.extend(sender.await.expect("no sender failed").0);
    }
    let in_excess = check(&server, &ledger).await;
    assert_eq!(in_excess, 0, "nothing is there twice");
    wait_for("the backlog to be in segments", Duration::from_secs(240), async || {
        (status(&server).await.storage.buffer_rows == 0).then_some(())
    })
    .await;
    println!("bad store: backlog drained {:?} after it came back", healed.elapsed());
    drop(server);
    // A start from nothing finds the same: segments, commits and what is left of the WAL agree.
    let server = collector(&s3, "bad").start();
    settled(&server).await;
    assert_eq!(check(&server, &ledger).await, 0, "nothing is there twice after a start either");
    let n: usize = ledger.values().filter(|sent| sent.is_acknowledged).count();
    let again = ledger.values().filter(|sent| sent.attempts > 1).count();
    println!("bad store: {n} requests acknowledged, {again} of them sent more than once, 0 lost, 0 twice");
}

/// Google's interface: objects are created by `x-goog-if-generation-match: 0`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f21_google_cloud_storage_keeps_what_was_acknowledged() {
    let Some(store) = Store::start(Kind::Google).await else { return };
    another_store_keeps_what_was_acknowledged(&store).await;
}

/// Azure's interface: objects are created by `If-None-Match: *`, in blocks when they are large, and removed in batches.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f21_azure_blob_storage_keeps_what_was_acknowledged() {
    let Some(store) = Store::start(Kind::Azure).await else { return };
    another_store_keeps_what_was_acknowledged(&store).await;
}

/// Sent through faults, acknowledged, killed, started from nothing local, taken over by a second collector: 0 lost, and
/// nothing more often than it was sent.
async fn another_store_keeps_what_was_acknowledged(store: &Store) {
    let mut server = collector(store, "prod/eu").start();
    assert!(store.refused_creations() > 0, "a start proves that what is there is not created again");
    let mut ledger = BTreeMap::new();
    for cycle in 0..2_u64 {
        let load = Arc::new(Load::default());
        let senders: Vec<_> = (0..3)
            .map(|sender| {
                let first = (cycle * 3 + sender + 1) * 1_000_000;
                tokio::spawn(send(Client::new(&server), first, Arc::clone(&load)))
            })
            .collect();
        let before = status(&server).await.storage.segment_rows;
        wait_for("a flush", Duration::from_secs(120), async || {
            (status(&server).await.storage.segment_rows > before).then_some(())
        })
        .await;
        store.rule("PUT", Fault::AnswerLost, 7, u32::MAX);
        store.rule("", Fault::Status(503, "ServerBusy"), 5, u32::MAX);
        wait_for("some faults", Duration::from_secs(300), async || (store.faults() > 30).then_some(())).await;
        let n_faults = store.heal();
        println!("another store: {n_faults} faults");
        load.acknowledges(12).await;
        // In the middle of things.
        server.kill();
        load.end();
        for sender in senders {
            ledger.extend(sender.await.expect("no sender failed").0);
        }
        server = collector(store, "prod/eu").start();
        assert!(!server.data().exists(), "nothing is kept locally");
        settled(&server).await;
        check(&server, &ledger).await;
    }
    let acknowledged = ledger.values().filter(|sent| sent.is_acknowledged).count();
    assert!(acknowledged > 20, "only {acknowledged} requests were acknowledged");

    // Of two, one writes.
    let newer = collector(store, "prod/eu").start();
    settled(&newer).await;
    let refused = Client::new(&server).send(Transport::HttpProtobuf, &spans(3, 10)).await;
    refused.expect_err("it is no longer the writer");
    wait_for("the older one to notice", Duration::from_secs(120), async || {
        server.stderr().contains("another collector has taken over").then_some(())
    })
    .await;
    check(&newer, &ledger).await;
    let (ended, _) = newer.stop(Duration::from_secs(120));
    assert_eq!(ended.code(), Some(0), "everything is in segments");
    let last = collector(store, "prod/eu").start();
    settled(&last).await;
    check(&last, &ledger).await;
    println!("another store: {acknowledged} requests acknowledged, 0 lost");

    let mut missing = collector(store, "x");
    missing.args[1] = store.url("x").replace(BUCKET, "nobody-made-this");
    let at = tempfile::tempdir().expect("a folder");
    let ended = tokio::task::spawn_blocking(move || missing.run_to_end(at.path(), Duration::from_secs(120)));
    let said = ended.await.expect("it ends").stderr;
    assert!(said.contains("no bucket `nobody-made-this`") && said.contains("--data"), "{said}");
}

/// F22: one of two collectors on a prefix is paused (SIGSTOP) while the other takes over. Woken up, it acknowledges
/// nothing and commits nothing, and ends with a message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f22_a_paused_writer_commits_nothing() {
    let Some(s3) = Store::start(Kind::S3).await else { return };
    let paused = collector(&s3, "two").start();
    let client = Client::new(&paused);
    client.send_all(Transport::Grpc, &spans(1, 10)).await;
    signal(&paused, "-STOP");
    // The newer one commits nothing while one looks, so that every commit would be the paused one's.
    let mut newer = collector(&s3, "two");
    newer.config = newer.config.replace("buffer_age_max_s = 1\n", "buffer_age_max_s = 3600\ncompaction = false\n");
    newer.config.push_str("[query]\ndigest = false\nalerts = false\n");
    let newer = newer.start();
    settled(&newer).await;
    assert_eq!(sql::number(&newer, "SELECT count(*) FROM spans").await, 10, "what was acknowledged came along");
    Client::new(&newer).send_all(Transport::Grpc, &spans(2, 10)).await;
    // Long enough for the paused one's buffer to be due.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = s3.names("two/tenants").await;
    signal(&paused, "-CONT");
    let refused = client.send(Transport::HttpProtobuf, &spans(3, 10)).await.expect_err("it is no longer the writer");
    assert!(matches!(refused.code, 0 | 503), "{refused:?}");
    let stderr = wait_for("the older one to notice", Duration::from_secs(120), async || {
        let said = paused.stderr();
        said.contains("another collector has taken over").then_some(said)
    })
    .await;
    assert!(stderr.contains("s3://telemetry/two"), "{stderr}");
    let log = |names: &[String]| names.iter().filter(|name| name.contains("_delta_log")).count();
    assert_eq!(log(&s3.names("two/tenants").await), log(&before), "the paused one committed nothing");
    drop(paused);
    client_sees(&newer, 20).await;
    drop(newer);
    let last = collector(&s3, "two").start();
    settled(&last).await;
    client_sees(&last, 20).await;
}

async fn client_sees(server: &Server, n: i64) {
    assert_eq!(sql::number(server, "SELECT count(*) FROM spans").await, n);
    assert_eq!(sql::number(server, "SELECT count(DISTINCT span_id) FROM spans").await, 10);
}

fn signal(server: &Server, name: &str) {
    let sent = Command::new("kill").args([name, &server.pid().to_string()]).status().expect("kill runs");
    assert!(sent.success(), "the collector had already ended:\n{}", server.stderr());
}

/// A start on a bucket that cannot work ends soon, names the cause and the setting, and touches nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_cannot_be_used_is_explained() {
    let Some(s3) = Store::start(Kind::S3).await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let refuse = async |collector: Collector| {
        let at = folder.path().to_owned();
        let ended = tokio::task::spawn_blocking(move || {
            let begun = Instant::now();
            let ended = collector.run_to_end(&at, Duration::from_secs(120));
            (ended, begun.elapsed())
        });
        let (ended, took) = ended.await.expect("it ends");
        assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
        let last = ended.stderr.lines().last().unwrap_or_default().to_owned();
        println!("bucket: refused after {took:?}: {last}");
        last
    };
    let mut missing = collector(&s3, "x");
    missing.args[1] = "s3://nobody-made-this/x".to_owned();
    let said = refuse(missing).await;
    assert!(said.contains("no bucket `nobody-made-this`") && said.contains("--data"), "{said}");
    for (status, code, told) in [
        (403, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
        (403, "AccessDenied", "below the prefix `x`"),
        (403, "RequestTimeTooSkewed", "clock"),
        (503, "SlowDown", "SlowDown"),
        (301, "PermanentRedirect", "AWS_REGION"),
    ] {
        s3.rule("", Fault::Status(status, code), 1, u32::MAX);
        let said = refuse(collector(&s3, "x")).await;
        assert!(said.contains(told), "{code}: {said}");
        s3.heal();
    }
    let mut nobody = collector(&s3, "x");
    nobody.env[0].1 = "http://127.0.0.1:1".to_owned();
    let said = refuse(nobody).await;
    assert!(said.contains("AWS_ENDPOINT_URL") && said.contains("http://127.0.0.1:1"), "{said}");
    assert_eq!(s3.names("").await, Vec::<String>::new(), "nothing was touched");

    let foreign = reqwest::Client::new().put(format!("{}/{BUCKET}/x/dump.sql", s3.endpoint)).body("select 1").send();
    assert!(foreign.await.expect("stored").status().is_success());
    let said = refuse(collector(&s3, "x")).await;
    assert!(said.contains("dump.sql"), "{said}");
    assert_eq!(s3.names("").await, ["x/dump.sql"], "nothing was touched");
}

/// `hodoscope storage` looks into a bucket while a collector writes to it, copies out of it, and merges what a stopped
/// collector left; the one thing that would end a collector wants to be asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_look_into_a_bucket() {
    let Some(s3) = Store::start(Kind::S3).await else { return };
    let run = |words: &[&str]| {
        let Collector { args, env, .. } = collector(&s3, "looked/at");
        let mut command = Command::new(server::binary());
        command.envs(env).arg("storage").args(args).args(words).arg("--json");
        let output = command.output().expect("it can be started");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code(), answer, error)
    };
    let (code, _, error) = run(&["ls"]);
    assert!(code == Some(1) && error.contains("hodoscope.json"), "nothing is there yet: {error}");

    let server = collector(&s3, "looked/at").start();
    let client = Client::new(&server);
    client.send_all(Transport::Grpc, &spans(1, 20)).await;
    wait_for("a flush", Duration::from_secs(120), async || (status(&server).await.storage.segments > 0).then_some(()))
        .await;
    let rows = |answer: &serde_json::Value| {
        let tables = answer["tables"].as_array().cloned().unwrap_or_default();
        tables.iter().find(|table| table["table"] == "spans").map(|table| table["rows"].clone()).unwrap_or_default()
    };
    let (code, listing, error) = run(&["ls"]);
    assert_eq!((code, rows(&listing)), (Some(0), json!(20)), "{listing}{error}");
    let (code, seen, error) = run(&["verify"]);
    assert_eq!((code, &seen["problems"]), (Some(0), &json!([])), "{seen}{error}");
    assert!(seen["rows"].as_u64() >= Some(20), "{seen}");
    for words in [["compact"], ["rebuild-index"]] {
        let (code, _, error) = run(&words);
        assert!(code == Some(1) && error.contains("--take-over"), "{words:?}: {error}");
    }
    // Looking took nothing from the collector.
    client.send_all(Transport::HttpProtobuf, &spans(2, 20)).await;
    assert_eq!(sql::number(&server, "SELECT count(*) FROM spans WHERE service_name = 'bucket'").await, 40);
    let (exit, _) = server.stop(Duration::from_secs(120));
    assert_eq!(exit.code(), Some(0));

    let out = tempfile::tempdir().expect("a folder");
    let to = out.path().join("copy").display().to_string();
    let (code, done, error) = run(&["export", "--table", "spans", "--to", &to]);
    assert_eq!((code, &done["rows"]), (Some(0), &json!(40)), "{done}{error}");
    let (code, done, error) = run(&["rebuild-index", "--take-over"]);
    assert_eq!((code, &done["problems"]), (Some(0), &json!([])), "{done}{error}");
    let (code, done, error) = run(&["compact", "--take-over"]);
    assert_eq!((code, &done["problems"]), (Some(0), &json!([])), "{done}{error}");
    assert!(done["segments"][1].as_u64() <= done["segments"][0].as_u64(), "{done}");
    let (code, seen, error) = run(&["verify"]);
    assert_eq!((code, &seen["problems"]), (Some(0), &json!([])), "{seen}{error}");
}
