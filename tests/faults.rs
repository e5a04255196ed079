//! What machines and disks do to a collector: it is killed inside any call of the system, its disk fails or is slow,
//! its files are damaged. Nothing that was acknowledged is lost, and every start succeeds.
//!
//! The calls of the real executable are tampered with by `strace`, which needs no privileges. The short forms sample;
//! `HODOSCOPE_LONG=1` goes through every call.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::harness::otlp::Client;
use crate::harness::{Collector, Request, Server, Stopped, Transport, generate, sql, tools, wait_for};

/// Spans per request.
const SPANS: u64 = 3;

fn is_long() -> bool {
    std::env::var("HODOSCOPE_LONG").is_ok_and(|value| value == "1")
}

fn request(number: u64) -> Request {
    let span = |item| generate::span(u128::from(number), item, "fault");
    Request::Traces(generate::request("faults", (1..=SPANS).map(span).collect()))
}

/// Requests by number: sent, and acknowledged.
#[derive(Debug, Default)]
struct Ledger {
    sent: u64,
    acknowledged: BTreeSet<u64>,
}

impl Ledger {
    /// Sends one request once. True when it was acknowledged.
    async fn send(&mut self, client: &Client, transport: Transport) -> bool {
        self.sent += 1;
        let is_acknowledged = client.send(transport, &request(self.sent)).await.is_ok();
        if is_acknowledged {
            self.acknowledged.insert(self.sent);
        }
        is_acknowledged
    }

    /// What was acknowledged is stored, whole; what is stored was sent, whole, and once (each was sent once).
    async fn check(&self, server: &Server, what: &str) {
        wait_for("replay to end", Duration::from_secs(300), async || {
            (!status(server).await.storage.replaying).then_some(())
        })
        .await;
        let text = "SELECT encode(trace_id, 'hex') AS id, count(*) AS n, count(DISTINCT span_id) AS n_distinct \
                    FROM spans WHERE service_name = 'faults' GROUP BY trace_id";
        let rows = sql::query(server, text).await;
        let mut stored = BTreeSet::new();
        for row in 0..rows.len() {
            let number = u64::from_str_radix(rows.text(row, "id").trim_start_matches('0'), 16).expect("a number");
            let counts = (rows.int(row, "n"), rows.int(row, "n_distinct"));
            let whole = i64::try_from(SPANS).expect("few");
            assert_eq!(counts, (whole, whole), "{what}: request {number} is whole and there once");
            stored.insert(number);
        }
        let lost: Vec<_> = self.acknowledged.difference(&stored).collect();
        assert!(lost.is_empty(), "{what}: acknowledged and lost: {lost:?}");
        assert!(stored.iter().all(|number| (1..=self.sent).contains(number)), "{what}: stored and never sent");
    }
}

async fn status(server: &Server) -> api::StatusAnswer {
    let answer = reqwest::get(server.api("/api/status")).await.expect("an answer").bytes().await.expect("a body");
    serde_json::from_slice(&answer).expect("a status")
}

/// Runs the collector under `strace` with this tampering; `None` when there is no strace.
fn tampered(calls: &str, injection: &str) -> Option<Vec<String>> {
    tools::program("strace", "-V")?;
    let words = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={calls}")];
    let words = words.into_iter().map(str::to_owned);
    Some(words.chain(["-e".to_owned(), format!("inject={calls}:{injection}")]).collect())
}

/// A buffer that becomes segments every second.
fn quick() -> Collector {
    Collector::with_fast_flush()
}

/// F3: killed inside the n-th call of each kind, over one cycle of ingest, flush and a polite end. One directory goes
/// through all the kills.
#[tokio::test]
async fn f03_a_kill_inside_any_call_loses_nothing() {
    let calls = ["writev", "write", "fdatasync", "fsync", "rename", "linkat", "unlink", "openat", "mkdir"];
    let mut random = StdRng::seed_from_u64(3);
    let mut ledger = Ledger::default();
    let mut stopped = quick().start().kill();
    let (mut n_kills, mut n_survived) = (0, 0);
    for call in calls {
        // The first calls of most kinds are those of the loader; the cycle has tens to hundreds of them.
        let numbers: Vec<u32> = match (is_long(), call) {
            (true, "write" | "writev" | "openat") => (1..400).step_by(3).collect(),
            (true, _) => (1..=120).collect(),
            (false, "write" | "writev" | "openat") => vec![random.random_range(10..80)],
            (false, _) => vec![random.random_range(1..6)],
        };
        let mut survived_in_a_row = 0;
        for n in numbers {
            let Some(wrapper) = tampered(call, &format!("signal=KILL:when={n}")) else { return };
            let (next, was_killed) = cycle(stopped, wrapper, &mut ledger).await;
            stopped = next;
            n_kills += u32::from(was_killed);
            n_survived += u32::from(!was_killed);
            survived_in_a_row = if was_killed { 0 } else { survived_in_a_row + 1 };
            if survived_in_a_row == 3 {
                // A cycle has fewer calls of this kind.
                break;
            }
            if is_long() && n_kills % 20 == 0 {
                let server = stopped.start_as(quick());
                ledger.check(&server, &format!("killed in {call} number {n}")).await;
                stopped = server.kill();
            }
        }
    }
    let server = stopped.start_as(quick());
    ledger.check(&server, "after all kills").await;
    println!(
        "kills inside calls: {n_kills} kills, {n_survived} cycles without one, {} requests acknowledged of {}, 0 lost",
        ledger.acknowledged.len(),
        ledger.sent
    );
    assert!(n_kills > 0, "nothing was killed");
}

/// Starts, ingests, waits for a flush, ends politely; the kill may come anywhere. Says whether it came.
async fn cycle(stopped: Stopped, wrapper: Vec<String>, ledger: &mut Ledger) -> (Stopped, bool) {
    let server = match stopped.try_start_as(Collector { wrapper, ..quick() }) {
        Ok(server) => server,
        Err(stopped) => return (stopped, true),
    };
    let client = Client::new(&server);
    for transport in Transport::ALL.repeat(2) {
        ledger.send(&client, transport).await;
    }
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(2500) && server.wrapped_pid().is_some() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let Some(pid) = server.wrapped_pid() else { return (server.kill_wrapped(), true) };
    let _ = std::process::Command::new("kill").args(["-TERM", &pid.to_string()]).status();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) && server.wrapped_pid().is_some() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (server.kill_wrapped(), false)
}

/// F8: a sync that fails is never acknowledged, whichever it is; the process goes on with a fresh file.
#[tokio::test]
async fn f08_a_failed_sync_is_never_acknowledged() {
    let mut ledger = Ledger::default();
    let mut stopped = quick().start().kill();
    let cases: &[(&str, &str)] = if is_long() {
        &[
            ("fdatasync", "error=EIO:when=1"),
            ("fdatasync", "error=EIO:when=10"),
            ("fdatasync", "error=EIO:when=100"),
            ("fdatasync", "error=EIO:when=3+5"),
            ("fsync", "error=EIO:when=3+4"),
            ("writev", "error=EIO:when=20+15"),
            ("rename", "error=EIO:when=1+2"),
            ("pread64", "error=EIO:when=50+20"),
        ]
    } else {
        &[("fdatasync", "error=EIO:when=4+3"), ("fsync", "error=EIO:when=5+4")]
    };
    let mut n_refused = 0;
    for (call, injection) in cases {
        let Some(wrapper) = tampered(call, injection) else { return };
        // The very first calls may fail at the start, which is then refused: that is an answer too.
        let server = match stopped.try_start_as(Collector { wrapper, ..quick() }) {
            Ok(server) => server,
            Err(again) => {
                stopped = again;
                continue;
            }
        };
        let client = Client::new(&server);
        for transport in Transport::ALL.repeat(5) {
            n_refused += u32::from(!ledger.send(&client, transport).await);
            // Longer than the pause before a fresh file is tried.
            tokio::time::sleep(Duration::from_millis(80)).await;
        }
        assert!(server.wrapped_pid().is_some(), "{call} {injection}: the process lives:\n{}", server.stderr());
        let server = server.kill_wrapped().start_as(quick());
        ledger.check(&server, &format!("{call} {injection}")).await;
        stopped = server.kill();
    }
    println!("failing disk: {n_refused} requests refused, {} acknowledged, 0 lost", ledger.acknowledged.len());
    assert!(n_refused > 0 && !ledger.acknowledged.is_empty(), "some fail and some do not");
}

/// F9: a disk that takes long makes answers late, up to a refusal within 5 s; health is not its business.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f09_a_slow_disk_refuses_in_time_and_stays_healthy() {
    let delays: &[u64] = if is_long() { &[200, 3_000, 30_000] } else { &[30_000] };
    for millis in delays {
        // The first syncs belong to the start.
        let Some(wrapper) = tampered("fdatasync", &format!("delay_enter={}:when=3+1", millis * 1000)) else { return };
        let server = Collector { wrapper, ..Collector::default() }.start();
        let client = Client::new(&server);
        let mut ledger = Ledger::default();
        let asking = async {
            let mut slowest = Duration::ZERO;
            for transport in Transport::ALL {
                let begun = Instant::now();
                ledger.send(&client, transport).await;
                slowest = slowest.max(begun.elapsed());
            }
            slowest
        };
        let health = async {
            let mut slowest = Vec::new();
            for _ in 0..40 {
                let begun = Instant::now();
                let answer = reqwest::get(server.api("/healthz")).await.expect("an answer");
                assert!(answer.status().is_success());
                slowest.push(begun.elapsed());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            slowest.sort_unstable();
            slowest[slowest.len() * 9 / 10]
        };
        let (slowest, p90) = tokio::join!(asking, health);
        println!("slow disk: {millis} ms per sync: slowest answer {slowest:?}, p90 of health {p90:?}");
        assert!(
            slowest >= Duration::from_millis(*millis.min(&3_500)),
            "{millis} ms: the disk was not slow: {slowest:?}"
        );
        assert!(slowest < Duration::from_secs(6), "{millis} ms: an answer took {slowest:?}");
        assert!(p90 < Duration::from_millis(500), "{millis} ms: health took {p90:?}");
        let server = server.kill_wrapped().start_as(Collector::default());
        ledger.check(&server, "after a slow disk").await;
    }
}

/// Bytes of the WAL as they are in files, synced or not.
fn wal_bytes(server: &Server) -> u64 {
    let files = std::fs::read_dir(server.data().join("_wal")).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}

/// A16: who goes away while its request is being written undoes nothing; a retry is stored beside it (V14).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a16_who_goes_away_undoes_nothing() {
    // The first syncs belong to the start.
    let Some(wrapper) = tampered("fdatasync", "delay_enter=1000000:when=3+1") else { return };
    let server = Collector { wrapper, ..Collector::default() }.start();
    let client = Client::new(&server);
    let mut number = 0;
    for transport in Transport::ALL {
        let abandoned = loop {
            number += 1;
            let (before, asked) = (wal_bytes(&server), request(number));
            let written = async {
                while wal_bytes(&server) == before {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::select! {
                () = written => break number,
                // This machine was too busy to look in time.
                _ = client.send(transport, &asked) => {}
            }
        };
        let text = format!("SELECT count(*) FROM spans WHERE encode(trace_id, 'hex') = '{abandoned:032x}'");
        let whole = i64::try_from(SPANS).expect("few");
        for (what, n_times) in [("sent", 1), ("sent again", 2)] {
            wait_for(what, Duration::from_secs(60), async || {
                let n = sql::number(&server, &text).await;
                assert!(n % whole == 0, "{transport:?}: {n} spans of {whole}");
                (n == whole * n_times).then_some(())
            })
            .await;
            if n_times == 1 {
                let answer = client.send(transport, &request(abandoned)).await;
                assert!(answer.is_ok(), "{transport:?}: {answer:?}");
            }
        }
    }
    drop(server.kill_wrapped());
}

/// D5: when no WAL file can be made for long, the process ends with 75, so that whoever watches it can act.
#[tokio::test]
async fn d5_a_disk_that_never_heals_ends_the_process_with_75() {
    let Some(wrapper) = tampered("fdatasync", "error=EIO:when=6+1") else { return };
    let config = "[storage]\ngive_up_after_s = 1\n".to_owned();
    let server = Collector { wrapper, config, ..Collector::default() }.start();
    let client = Client::new(&server);
    let mut ledger = Ledger::default();
    let begun = Instant::now();
    while server.wrapped_pid().is_some() {
        ledger.send(&client, Transport::HttpProtobuf).await;
        assert!(begun.elapsed() < Duration::from_secs(180), "it still runs:\n{}", server.stderr());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(server.stderr().contains("no WAL file could be written for 1 s"), "{}", server.stderr());
    let (status, stopped) = server.ended();
    assert_eq!(status.code(), Some(75));
    ledger.check(&stopped.start_as(Collector::default()), "after giving up").await;
}

/// F22: a second process on the same directory ends soon with a clear message; the first goes on.
#[tokio::test]
async fn f22_a_second_writer_is_turned_away() {
    let server = Server::start();
    let data = server.data().display().to_string();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let second = Collector { args: vec!["--data".to_owned(), data.clone()], ..Collector::default() };
    let begun = Instant::now();
    let ended = second.run_to_end(folder.path(), Duration::from_secs(10));
    println!("second writer: turned away after {:?}", begun.elapsed());
    assert!(!ended.status.success() && ended.stderr.contains(&data) && ended.stderr.contains("in use"), "{ended:?}");
    let client = Client::new(&server);
    let mut ledger = Ledger::default();
    assert!(ledger.send(&client, Transport::Grpc).await, "the first goes on");
    ledger.check(&server, "beside a second writer").await;
}

/// F25: SIGTERM under load: exit code 0 in time, what was acknowledged is there, and nobody waits for an answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f25_sigterm_under_load_loses_nothing() {
    let cycles = if is_long() { 50 } else { 3 };
    let mut ledger = Ledger::default();
    let mut server = quick().start();
    let mut slowest = Duration::ZERO;
    for _ in 0..cycles {
        let client = Client::new(&server);
        let pid = server.pid();
        let term = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(400)).await;
            std::process::Command::new("kill").args(["-TERM", &pid.to_string()]).status().expect("kill runs")
        });
        let mut n_failed = 0;
        let mut transports = Transport::ALL.into_iter().cycle();
        while n_failed < 5 {
            let transport = transports.next().expect("endless");
            n_failed += u32::from(!ledger.send(&client, transport).await);
        }
        assert!(term.await.expect("no panic").success());
        let begun = Instant::now();
        let (status, stopped) = server.ended();
        slowest = slowest.max(begun.elapsed());
        assert_eq!(status.code(), Some(0), "a polite end");
        server = stopped.start();
        ledger.check(&server, "after SIGTERM under load").await;
    }
    println!("SIGTERM: {cycles} cycles, {} acknowledged, 0 lost, slowest end {slowest:?}", ledger.acknowledged.len());
    assert!(slowest < Duration::from_secs(25), "{slowest:?}");
}

/// F10: no descriptors are left for connections: it lives, what was acknowledged stays, and it recovers soon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f10_without_descriptors_it_lives_and_recovers() {
    if tools::program("prlimit", "-V").is_none() {
        return;
    }
    let wrapper = ["prlimit", "--nofile=64:64"].map(str::to_owned).to_vec();
    let mut server = Collector { wrapper, ..quick() }.start();
    let mut ledger = Ledger::default();
    assert!(ledger.send(&Client::new(&server), Transport::Grpc).await);
    let address: std::net::SocketAddr = server.otlp_http.parse().expect("an address");
    let connecting = move || {
        let connect = |_| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(50)).ok();
        (0..500).filter_map(connect).collect::<Vec<_>>()
    };
    let held = tokio::task::spawn_blocking(connecting).await.expect("no panic");
    assert!(held.len() > 64, "{} connections", held.len());
    // Flushes go on meanwhile, or wait.
    tokio::time::sleep(Duration::from_secs(3)).await;
    server.assert_alive();
    drop(held);
    let begun = Instant::now();
    let client = Client::new(&server);
    while !ledger.send(&client, Transport::HttpProtobuf).await {
        assert!(begun.elapsed() < Duration::from_secs(20), "it does not recover:\n{}", server.stderr());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("descriptors: normal {:?} after they were given back", begun.elapsed());
    for transport in Transport::ALL {
        assert!(ledger.send(&Client::new(&server), transport).await);
    }
    ledger.check(&server, "after descriptors were short").await;
}

/// F16: a trace of very many spans: taken, counted, opened, searched; memory stays within what the settings say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f16_a_trace_of_very_many_spans() {
    let (n_requests, n_spans): (u64, u64) = if is_long() { (1_000, 1_000) } else { (40, 500) };
    let server = Collector::default().start();
    let client = Client::new(&server);
    for request in 0..n_requests {
        let span = |n| generate::span(77, request * n_spans + n + 1, "many");
        let spans = (0..n_spans).map(span).collect();
        client.send_all(Transport::Grpc, &Request::Traces(generate::request("many", spans))).await;
    }
    let total = n_requests * n_spans;
    assert_eq!(sql::number(&server, "SELECT count(*) FROM spans").await, i64::try_from(total).expect("few"));
    let begun = Instant::now();
    let answer = reqwest::get(server.api(&format!("/api/traces/{:032x}/timeline", 77))).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let bytes = answer.bytes().await.expect("a body").len();
    let took = begun.elapsed();
    let search = reqwest::get(server.api("/api/search")).await.expect("an answer");
    assert_eq!(search.status(), 200);
    let usage = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("alive");
    let peak = usage.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says it");
    let mib: u64 = peak.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") >> 10;
    println!("many spans: {total} in one trace, its timeline is {bytes} bytes after {took:?}, {mib} MiB at most");
    assert!(mib < 1_200, "{mib} MiB");
}

/// F26: killed again and again while a long WAL is replayed: ingest is open soon each time, and nothing is doubled.
#[tokio::test]
async fn f26_kills_during_replay_double_nothing() {
    // Nothing is flushed before the first kill, so that all of it is in the WAL.
    let big = || Collector { config: "[storage]\nbuffer_bytes_max = 64000000\n".to_owned(), ..Collector::default() };
    let small = || Collector { config: "[storage]\nbuffer_bytes_max = 2000000\n".to_owned(), ..Collector::default() };
    let server = big().start();
    let client = Client::new(&server);
    let mut ledger = Ledger::default();
    let n_requests = if is_long() { 20_000 } else { 600 };
    for _ in 0..n_requests {
        assert!(ledger.send(&client, Transport::HttpProtobuf).await);
    }
    let mut stopped = server.kill();
    let mut slowest = Duration::ZERO;
    for round in 0..4_u64 {
        let server = stopped.start_as(small());
        slowest = slowest.max(server.ready_after);
        assert!(ledger.send(&Client::new(&server), Transport::Grpc).await, "ingest is open");
        tokio::time::sleep(Duration::from_millis(round * 100)).await;
        stopped = server.kill();
    }
    let server = stopped.start_as(small());
    ledger.check(&server, "after kills during replay").await;
    println!("replay: {} requests, 4 kills, slowest start {slowest:?}, none lost, none doubled", ledger.sent);
}

/// Segments below a directory.
fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).expect("a directory").flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("_delta_log") && !path.ends_with("_log_copy") {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// F5: a damaged segment costs its own rows: SQL and the trace answer with the rest and say `incomplete`, also after a
/// restart; `verify` names the file.
#[tokio::test]
async fn f05_a_damaged_segment_costs_its_own_rows() {
    let mut ledger = Ledger::default();
    let mut server = quick().start();
    for _ in 0..3 {
        assert!(ledger.send(&Client::new(&server), Transport::HttpProtobuf).await);
        let (status, stopped) = server.stop(Duration::from_secs(120));
        assert_eq!(status.code(), Some(0));
        server = stopped.start();
    }
    let files = segments(&server.data().join("tenants/default/spans"));
    assert!(files.len() >= 3, "one per polite end: {files:?}");
    let count = "SELECT count(DISTINCT trace_id) * 3 AS n, min(name) FROM spans WHERE service_name = 'faults'";
    assert_eq!(sql::number(&server, count).await, 9);
    let mut left = 9;
    for (file, kind) in files.iter().zip(["bit", "cut", "gone"]) {
        let bytes = std::fs::read(file).expect("readable");
        match kind {
            "bit" => {
                // Inside the values of the first column: nothing but a checksum can tell.
                let mut damaged = bytes.clone();
                damaged[40] ^= 0x10;
                std::fs::write(file, damaged).expect("writable");
            }
            "cut" => std::fs::write(file, &bytes[..bytes.len() / 2]).expect("writable"),
            _ => std::fs::remove_file(file).expect("removable"),
        }
        left -= 3;
        // Nothing that was read before may hide it.
        server = server.kill().start();
        let (code, answer) = sql::ask(&server, count).await;
        assert_eq!(code, 200, "{kind}: {answer}");
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer["rows"][0][0].to_string().trim_matches('"'), left.to_string(), "{kind}: {answer}");
        assert_eq!(answer["incomplete"], true, "{kind}: {answer}");
        assert!(answer["incomplete_reason"].to_string().contains("damaged segments"), "{kind}: {answer}");
        server.assert_alive();
    }
}

/// Numbers that change when a row of the fixture is lost, doubled or read wrongly.
const CHECKSUMS: &[&str] = &[
    "SELECT count(*) AS n FROM spans",
    "SELECT count(DISTINCT span_id) AS n FROM spans",
    "SELECT sum(duration_nanos) AS n FROM spans",
    "SELECT max(CAST(start_time AS BIGINT)) AS n FROM spans",
    "SELECT count(DISTINCT name) AS n FROM spans",
    "SELECT count(*) AS n FROM logs",
    "SELECT count(*) AS n FROM number_points",
];

async fn checksums(server: &Server) -> Vec<i64> {
    let mut numbers = Vec::new();
    for text in CHECKSUMS {
        numbers.push(sql::number(server, text).await);
    }
    numbers
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("writable");
    for entry in std::fs::read_dir(from).expect("a directory").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("writable");
        }
    }
}

/// F24: a data directory of each format that was ever written opens, is read whole, and takes new rows. With
/// `UPDATE_FIXTURES=1` the fixture of today's format is written anew: segments of a polite end, a WAL of a kill.
#[tokio::test]
async fn f24_data_of_every_format_opens() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let keep = || Collector { config: "[storage]\nretention_days = 36500\n".to_owned(), ..Collector::default() };
    if std::env::var("UPDATE_FIXTURES").is_ok() {
        let server = keep().start();
        let client = Client::new(&server);
        for fixture in crate::harness::fixtures::requests() {
            client.send_all(Transport::HttpProtobuf, &fixture.request).await;
        }
        let (_, stopped) = server.stop(Duration::from_secs(120));
        let server = stopped.start();
        let mut ledger = Ledger::default();
        for _ in 0..3 {
            assert!(ledger.send(&Client::new(&server), Transport::Grpc).await);
        }
        let numbers = checksums(&server).await;
        let stopped = server.kill();
        let target = fixtures.join("data-v1");
        let _ = std::fs::remove_dir_all(&target);
        copy_dir(&stopped.data(), &target.join("data"));
        std::fs::remove_file(target.join("data/LOCK")).expect("it was there");
        std::fs::write(target.join("checksums.json"), serde_json::to_string(&numbers).expect("JSON"))
            .expect("writable");
    }
    let mut n_formats = 0;
    for entry in std::fs::read_dir(&fixtures).expect("fixtures").flatten() {
        if !entry.file_name().to_string_lossy().starts_with("data-v") {
            continue;
        }
        n_formats += 1;
        let expected = std::fs::read_to_string(entry.path().join("checksums.json")).expect("beside the data");
        let expected: Vec<i64> = serde_json::from_str(&expected).expect("JSON");
        let folder = tempfile::tempdir().expect("a folder");
        copy_dir(&entry.path().join("data"), &folder.path().join("data"));
        let server = keep().start_in(folder);
        wait_for("replay", Duration::from_secs(300), async || (!status(&server).await.storage.replaying).then_some(()))
            .await;
        assert_eq!(checksums(&server).await, expected, "{:?}", entry.path());
        let mut ledger = Ledger { sent: 1_000, ..Ledger::default() };
        assert!(ledger.send(&Client::new(&server), Transport::HttpJson).await, "it takes new rows");
        let (code, stopped) = server.stop(Duration::from_secs(120));
        assert_eq!(code.code(), Some(0));
        let server = stopped.start();
        let more = checksums(&server).await;
        assert_eq!(more[0], expected[0] + i64::try_from(SPANS).expect("few"));
    }
    assert!(n_formats > 0, "there is at least today's");
}
