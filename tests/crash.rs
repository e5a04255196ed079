//! What was acknowledged survives kill -9 under load.
//!
//! Senders over every transport write into a ledger after each acknowledgement and send again what was not
//! acknowledged, as SDKs do. The collector is killed at random moments and started again on the same data, with a
//! write buffer so young that flushes, commits, merges and replays happen in every cycle (F1 and F23). Afterwards:
//!
//! - acknowledged minus stored is empty, stored minus sent is empty;
//! - a request is there whole or not at all, and not more often than it was sent.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use rand::Rng as _;

use crate::harness::fixtures::now_nanos;
use crate::harness::otlp::Client;
use crate::harness::{Collector, Request, Server, Transport, generate, sql, wait_for};

/// Kills; `HODOSCOPE_KILL_CYCLES` sets another number.
const CYCLES: u32 = 20;

/// Something must happen within this time, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(300);
/// A replay of what a few kills left ends within this time: minutes in a debug build beside others.
const REPLAY_PATIENCE: Duration = Duration::from_secs(1800);

/// How the senders travel; each entry is one sender.
const SENDERS: [Transport; 5] =
    [Transport::Grpc, Transport::Grpc, Transport::HttpProtobuf, Transport::HttpProtobuf, Transport::HttpJson];

/// What is known about one request.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// Items in it.
    items: u64,
    /// How often it was sent.
    attempts: u64,
    /// It was acknowledged.
    is_acknowledged: bool,
}

/// Requests by number; the number is the trace id of its spans and the body of its log records.
type Ledger = Arc<Mutex<BTreeMap<u128, Entry>>>;

/// Where the collector is at the moment; `None` while it is down.
type Place = Arc<RwLock<Option<Client>>>;

fn note(ledger: &Ledger, number: u128, change: impl FnOnce(&mut Entry)) {
    change(ledger.lock().unwrap_or_else(PoisonError::into_inner).entry(number).or_default());
}

fn spans(number: u128, items: u64) -> Request {
    let span = |item| generate::span(number, item + 1, "load");
    Request::Traces(generate::request("crash", (0..items).map(span).collect()))
}

fn logs(number: u128, items: u64) -> Request {
    let now = now_nanos();
    let body = || Some(AnyValue { value: Some(Any::StringValue(format!("{number:032x}"))) });
    let record =
        |_| LogRecord { time_unix_nano: now, observed_time_unix_nano: now, body: body(), ..Default::default() };
    let scope_logs = ScopeLogs { log_records: (0..items).map(record).collect(), ..Default::default() };
    let resource = Some(generate::service("crash"));
    Request::Logs(ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { resource, scope_logs: vec![scope_logs], schema_url: String::new() }],
    })
}

/// Sends numbered requests until told to stop; the last one is sent until it is acknowledged or the end comes.
async fn send(
    sender: usize,
    is_logs: bool,
    place: Place,
    ledger: Ledger,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
) {
    for serial in 1_u64.. {
        let number = u128::from(serial) << 64 | u128::try_from(sender + 1).expect("few senders");
        let items = 1 + serial % 64;
        let request = if is_logs { logs(number, items) } else { spans(number, items) };
        loop {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let client = place.read().unwrap_or_else(PoisonError::into_inner).clone();
            let Some(client) = client else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            // Written before it is sent: stored minus sent must be empty.
            note(&ledger, number, |entry| {
                entry.items = items;
                entry.attempts += 1;
            });
            match client.send(SENDERS[sender], &request).await {
                Ok(accepted) => {
                    assert_eq!((accepted.rejected, accepted.message.as_str()), (0, ""), "sender {sender}");
                    note(&ledger, number, |entry| entry.is_acknowledged = true);
                    acknowledged.fetch_add(items, Ordering::Relaxed);
                    break;
                }
                // Refused with a wish to try again, or no answer: the connection broke or was never made.
                Err(refused) => {
                    let may_retry = matches!(refused.code, 0 | 1 | 4 | 14 | 429 | 502 | 503 | 504);
                    assert!(may_retry, "sender {sender}: {refused:?}");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }
}

/// Waits for the end of the replay; answers how many segments there are.
async fn replayed(server: &Server) -> u64 {
    wait_for("replay to end", REPLAY_PATIENCE, async || {
        let answer = reqwest::get(server.api("/api/status")).await.ok()?.bytes().await.ok()?;
        let status: api::StatusAnswer = serde_json::from_slice(&answer).ok()?;
        (!status.storage.replaying).then_some(status.storage.segments)
    })
    .await
}

/// Items per request as stored: all of them, and distinct ones.
async fn stored(server: &Server, text: &str) -> BTreeMap<u128, (u64, u64)> {
    let rows = sql::query(server, text).await;
    let number = |row, column| u64::try_from(rows.int(row, column)).expect("a count");
    let one = |row| {
        let id = u128::from_str_radix(rows.text(row, "id"), 16).expect("a number");
        (id, (number(row, "n"), number(row, "n_distinct")))
    };
    (0..rows.len()).map(one).collect()
}

/// Checks one signal's ledger against its rows; answers (requests, items acknowledged, items stored, sent again).
#[track_caller]
fn check(
    what: &str,
    ledger: &Ledger,
    stored: &BTreeMap<u128, (u64, u64)>,
    is_distinct: bool,
) -> (usize, u64, u64, usize) {
    let ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    let lost: Vec<_> =
        ledger.iter().filter(|(number, entry)| entry.is_acknowledged && !stored.contains_key(number)).collect();
    assert!(lost.is_empty(), "{what}: {} acknowledged requests are lost: {:?}", lost.len(), &lost[..lost.len().min(5)]);
    let made_up: Vec<_> = stored.keys().filter(|number| !ledger.contains_key(number)).collect();
    assert!(made_up.is_empty(), "{what}: stored but never sent: {made_up:?}");
    for (number, (n, n_distinct)) in stored {
        let entry = ledger[number];
        assert_eq!(n % entry.items, 0, "{what}: request {number:x} is not whole: {n} rows, {entry:?}");
        assert!(n / entry.items <= entry.attempts, "{what}: request {number:x} is doubled: {n} rows, {entry:?}");
        assert!(!is_distinct || *n_distinct == entry.items, "{what}: request {number:x}: {n_distinct} ids, {entry:?}");
    }
    let acknowledged = ledger.values().filter(|entry| entry.is_acknowledged).map(|entry| entry.items).sum();
    let again = ledger.values().filter(|entry| entry.attempts > 1).count();
    (ledger.len(), acknowledged, stored.values().map(|(n, _)| n).sum(), again)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f01_acknowledged_survives_kill_9_under_load() {
    let cycles = std::env::var("HODOSCOPE_KILL_CYCLES").map_or(CYCLES, |text| text.parse().expect("a number of kills"));
    let begun = Instant::now();
    // So small a buffer that it is written to segments several times in each cycle.
    let mut config = Collector::with_fast_flush();
    config.config.push_str("buffer_bytes_max = 300000\n");
    // The last questions are about everything that was ever sent, perhaps to a debug build on a busy machine.
    config.config.push_str("[query]\nseconds_max = 600\nrows_max = 10000000\nresult_bytes_max = 1073741824\n");
    let mut server = config.start();
    let place: Place = Arc::new(RwLock::new(None));
    let set_place = |client| *place.write().unwrap_or_else(PoisonError::into_inner) = client;
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(AtomicU64::new(0));
    let (span_ledger, log_ledger) = (Ledger::default(), Ledger::default());
    let senders: Vec<_> = (0..SENDERS.len())
        .map(|sender| {
            // One gRPC and one HTTP sender send logs; so both tables are flushed and committed.
            let is_logs = sender == 1 || sender == 3;
            let ledger = Arc::clone(if is_logs { &log_ledger } else { &span_ledger });
            let (place, stop, acknowledged) = (Arc::clone(&place), Arc::clone(&stop), Arc::clone(&acknowledged));
            tokio::spawn(send(sender, is_logs, place, ledger, stop, acknowledged))
        })
        .collect();

    let acknowledges_more = async || {
        let before = acknowledged.load(Ordering::Relaxed);
        let has_more = async || (acknowledged.load(Ordering::Relaxed) > before).then_some(());
        wait_for("an acknowledgement after a start", PATIENCE, has_more).await;
    };
    let mut slowest_start = Duration::ZERO;
    for cycle in 1..=cycles {
        set_place(Some(Client::new(&server)));
        // The time counts from the first acknowledgement: on a busy machine that may take longer than all the rest.
        acknowledges_more().await;
        let millis = rand::rng().random_range(100..1_900);
        tokio::time::sleep(Duration::from_millis(millis)).await;
        // Killed in the middle of things: the senders learn it from broken connections.
        let stopped = server.kill();
        set_place(None);
        server = stopped.start();
        slowest_start = slowest_start.max(server.ready_after);
        if cycle % 10 == 0 {
            // Kills that follow each other faster than a replay is long would only make the next one longer.
            replayed(&server).await;
            println!("kill -9: {cycle} of {cycles} cycles, {:?}", begun.elapsed());
        }
    }
    set_place(Some(Client::new(&server)));
    acknowledges_more().await;
    stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.await.expect("no sender failed");
    }

    let segments = replayed(&server).await;
    assert!(segments > 0, "flushes and commits happened under load");
    let text = "SELECT encode(trace_id, 'hex') AS id, count(*) AS n, count(DISTINCT span_id) AS n_distinct \
                FROM spans GROUP BY trace_id";
    let span_rows = stored(&server, text).await;
    let text = "SELECT body AS id, count(*) AS n, count(*) AS n_distinct FROM logs GROUP BY body";
    let log_rows = stored(&server, text).await;
    for (what, ledger, rows) in [("spans", &span_ledger, &span_rows), ("logs", &log_ledger, &log_rows)] {
        let (requests, acknowledged, stored, again) = check(what, ledger, rows, what == "spans");
        println!(
            "kill -9: {what}: {requests} requests, {again} of them sent again, {acknowledged} items acknowledged, \
             {stored} stored, 0 lost, none more often than sent"
        );
    }
    println!(
        "kill -9: {cycles} cycles in {:?}, slowest start {slowest_start:?}, {segments} segments at the end",
        begun.elapsed()
    );
}

/// SIGTERM finishes what was begun: exit code 0, and every row is there after the next start.
#[tokio::test]
async fn d11_a_polite_stop_leaves_with_0_and_loses_nothing() {
    let server = Server::start();
    let client = Client::new(&server);
    for (number, transport) in (1_u128..).zip(SENDERS) {
        client.send_all(transport, &spans(number, 10)).await;
    }
    let (status, stopped) = server.stop(Duration::from_secs(25));
    assert_eq!(status.code(), Some(0), "a polite stop");
    let server = stopped.start();
    assert_eq!(sql::number(&server, "SELECT count(*) FROM spans").await, 10 * 5);
    let rows = sql::number(&server, "SELECT count(DISTINCT trace_id) FROM spans").await;
    assert_eq!(rows, 5);
}
