//! How long do questions take, and how do plain scans compare with DuckDB on the same files?
//!
//! Loads `BENCH_MILLION_SPANS` (10) million spans of 24 services through the front door, which tell of the last `BENCH_HOURS`
//! (24; 0: all of them of now), waits until all of them are in segments, and asks over HTTP, 20 times each after 3 to warm up. `BENCH_DATA=/folder` keeps the data and uses it again.
//! DuckDB (as `tests/setup.sh` installs it) answers the same statements over the Parquet files of the table log, in the
//! same run, both with all cores. Last, spans are sent at a fixed pace alone, and beside eight hostile statements.
//! `BENCH_SETTLE_SECONDS` (1,800) is how long the digest and the merges may take before the first question.
//!
//! Expected, for 50 M spans in about 60 segments of a million: the last 20 traces of a service decode one row group of
//! two segments (20 ms); the slowest 20 read one column of 8 bytes a row, 400 MB/s and core (150 ms); equality of a
//! promoted attribute reads codes (100 ms); the sums per minute are thousands of rows (50 ms); a GROUP BY reads 2 to 4
//! columns at about 100 M values a second and core.

#![expect(clippy::print_stdout, reason = "a bench prints its results")]
#![allow(clippy::disallowed_methods, reason = "a bench runs in the world's time")]

#[allow(dead_code, unreachable_pub, reason = "each bench uses the part it needs")]
mod load;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value as Json, json};

use load::requests::EncodedRequest;
use load::sender::{self, Plan, Until};
use load::server::Server;
use load::{percentile, setting, spans};

/// Statements that both engines understand.
const SHARED: [(&str, &str); 6] = [
    (
        "count and mean by service",
        "SELECT service_name, count(*), avg(duration_nanos), max(duration_nanos) FROM spans GROUP BY 1",
    ),
    ("by name and status", "SELECT name, status_code, count(*), sum(duration_nanos) FROM spans GROUP BY 1, 2"),
    (
        "by service and second",
        "SELECT service_name, arrow_cast(start_time, 'Int64') / 1000000000, count(*), sum(CASE WHEN status_code = 2 THEN 1 ELSE 0 END) \
         FROM spans GROUP BY 1, 2",
    ),
    (
        "filter by two numbers",
        "SELECT count(*) FROM spans WHERE duration_nanos > 1500000000 AND http_status_code >= 500",
    ),
    (
        "top 10 of a text of many values",
        "SELECT url_path, count(*) AS n FROM spans GROUP BY 1 ORDER BY n DESC, 1 LIMIT 10",
    ),
    ("distinct traces", "SELECT count(DISTINCT trace_id) FROM spans"),
];

/// Statements that want more than they may have, each in its way: joins without end, sorts and groups of everything, texts that
/// grow, walks through every attribute.
const HOSTILE: [&str; 8] = [
    "SELECT count(*) FROM spans a, spans b WHERE a.duration_nanos + b.duration_nanos = 7",
    "SELECT trace_id, name, url_path FROM spans ORDER BY url_path, duration_nanos, trace_id LIMIT 90000",
    "SELECT trace_id, count(DISTINCT span_id), count(DISTINCT url_path) FROM spans GROUP BY 1",
    "SELECT max(length(repeat(url_path, 200))) FROM spans",
    "SELECT count(*) FROM spans WHERE attr('nothing.like.this') = 'x' OR resource_attr('nor.this') ~ '(a|b|c)*d{5}'",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_nanos) FROM spans",
    "SELECT a.name, count(*) FROM spans a JOIN spans b ON a.name = b.name GROUP BY 1",
    "SELECT count(*) FROM generate_series(1, 10000000) a, generate_series(1, 1000000) b",
];

#[tokio::main]
async fn main() {
    let kept = std::env::var_os("BENCH_DATA").map(PathBuf::from);
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let data = kept.unwrap_or_else(|| temporary.path().to_owned());
    let is_loaded = data.join("loaded").exists();
    let server = Server::start(&data);
    let requests: Arc<[_]> = spans::encode(96, 512).into();
    let mut first_serial = 0;
    if !is_loaded {
        let n_requests = setting("BENCH_MILLION_SPANS", 10) * 1_000_000 / 512;
        let plan = Plan::new(&server.otlp_grpc, Until::Sent(n_requests));
        let plan = Plan { spread: Duration::from_secs(setting("BENCH_HOURS", 24) * 3600), ..plan };
        let run = sender::send(&plan, &requests).await;
        first_serial = run.serials.iter().max().map_or(0, |last| (last / 8 + 1) * 8);
        println!("loaded {} spans in {:.0} s", run.accepted, run.elapsed.as_secs_f64());
    }
    let asked = Asked { http: server.http.clone(), client: reqwest::Client::new() };
    asked.until_quiet(setting("BENCH_SETTLE_SECONDS", 1_800)).await;
    std::fs::write(data.join("loaded"), "").expect("the folder can be written to");
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{} spans; load of the machine {}", server.sql_number("SELECT count(*) FROM spans").await, load.trim());

    // Data that was kept is older than now: its last hour and its last day.
    let last = server.sql_number("SELECT max(arrow_cast(start_time, 'Int64')) FROM spans").await + 1;
    let hour = format!("from={}&to={last}", last - HOUR);
    let day = format!("from={}&to={last}", last - 24 * HOUR);
    println!("{:<34} {:>8} {:>8} {:>8}", "question (20 times, ms)", "p50", "max", "goal");
    for (what, path, goal) in [
        ("last 20 traces of a service", format!("/api/search?q=service%3Dservice-07&limit=20&{day}"), "50"),
        ("last 20 traces, no service", format!("/api/search?limit=20&{day}"), ""),
        ("slowest 20 spans in an hour", format!("/api/search?unit=spans&sort=slowest&limit=20&{hour}"), "150"),
        ("slowest 20 traces in an hour", format!("/api/search?unit=traces&sort=slowest&limit=20&{hour}"), "150"),
        (
            "column equals, newest 20, an hour",
            format!("/api/search?unit=spans&q=http.route%3D/login&limit=20&{hour}"),
            "200",
        ),
        (
            "column equals, no hit, an hour",
            format!("/api/search?unit=spans&q=http.route%3D/none&limit=20&{hour}"),
            "200",
        ),
        (
            "attribute equals, no hit, an hour",
            format!("/api/search?unit=spans&q=span.order.id%3Dnone&limit=20&{hour}"),
            "200",
        ),
        ("RED per service and minute, 24 h", format!("/api/red?by=service&step=1m&{day}"), "100"),
        ("RED per operation and minute, 24 h", format!("/api/red?by=operation&step=1m&limit=1000&{day}"), ""),
        ("service map, 24 h", format!("/api/map?{day}"), "100"),
        ("histogram of spans, an hour", format!("/api/search/histogram?unit=spans&{hour}"), ""),
        ("histogram of traces, an hour", format!("/api/search/histogram?unit=traces&{hour}"), ""),
        ("facets of spans, an hour", format!("/api/search/facets?unit=spans&{hour}"), ""),
    ] {
        asked.report(what, goal, async || asked.get(&path).await.map(drop)).await;
    }
    let newest = "SELECT arrow_cast(start_time, 'Int64') FROM spans ORDER BY start_time DESC LIMIT 1 OFFSET 1000000";
    let since = server.sql_number(newest).await;
    let differs = json!({
        "unit": "spans", "from": since.to_string(), "to": last.to_string(), "brush": { "min_nanos": 1_000_000_000u64 },
    });
    match asked.post("/api/search/differs", &differs).await {
        Ok(answer) => println!("what differs: {} selected, {} outside", answer["selected"], answer["outside"]),
        Err(refusal) => println!("what differs: {refusal}"),
    }
    asked
        .report("what differs, 1 M spans", "700", async || asked.post("/api/search/differs", &differs).await.map(drop))
        .await;

    let theirs = duckdb(&data);
    println!("{:<34} {:>10} {:>10} {:>7}  (goal 1.2)", "statement (p50 of 10)", "ours ms", "DuckDB ms", "ratio");
    for (what, statement) in SHARED {
        let ours = asked.time(10, async || asked.sql(statement).await).await;
        let theirs = theirs.as_ref().and_then(|times| times[what].as_f64());
        match ours {
            Ok(ours) => {
                let ms = percentile(&ours, 0.5);
                let ratio = theirs.map_or_else(|| "-".to_owned(), |theirs| format!("{:.2}", ms / theirs));
                let theirs = theirs.map_or_else(|| "-".to_owned(), |theirs| format!("{theirs:.1}"));
                println!("{what:<34} {ms:>10.1} {theirs:>10} {ratio:>7}");
            }
            Err(refusal) => println!("{what:<34} {refusal}"),
        }
    }
    println!("resident memory {:.0} MiB at most", server.usage().peak_rss_mib);
    under_attack(&server, &asked, &requests, first_serial).await;
    given_up(&asked).await;
    server.stop();
}

/// Nanoseconds of an hour.
const HOUR: u64 = 3_600_000_000_000;

/// Sends at a fixed pace alone, and again while eight hostile statements run all the time: what does ingest notice? Goals:
/// p99 below twice what it is alone, memory within the budget, the process lives.
async fn under_attack(server: &Server, asked: &Asked, requests: &Arc<[EncodedRequest]>, first_serial: u64) {
    let elapsed = Duration::from_secs(setting("BENCH_SECONDS", 20));
    let mut plan = Plan {
        per_second: Some(setting("BENCH_REQUESTS_PER_SECOND", 100)),
        first_serial,
        ..Plan::new(&server.otlp_grpc, Until::Elapsed(elapsed))
    };
    println!("{:<34} {:>9} {:>18} {:>10}", "ingest", "spans/s", "ack p50 / p99 ms", "RSS MiB");
    for name in ["alone", "beside 8 hostile statements"] {
        let is_attacked = name != "alone";
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let attackers: Vec<_> = HOSTILE
            .iter()
            .filter(|_| is_attacked)
            .map(|sql| {
                let (asked, mut stopped) = (asked.clone(), stopped.clone());
                tokio::spawn(async move {
                    let (mut answered, mut refused) = (0, 0);
                    loop {
                        tokio::select! {
                            _ = stopped.changed() => return (answered, refused),
                            answer = asked.sql(sql) => {
                                if answer.is_ok() { answered += 1 } else { refused += 1 }
                                // A refusal that comes at once is asked again after a breath.
                                tokio::time::sleep(Duration::from_millis(20)).await;
                            }
                        }
                    }
                })
            })
            .collect();
        let mut run = sender::send(&plan, requests).await;
        run.ack_ms.sort_by(f64::total_cmp);
        plan.first_serial = run.serials.iter().max().map_or(plan.first_serial, |last| (last / 8 + 1) * 8);
        let usage = server.usage();
        let status = asked.get("/api/status").await.unwrap_or_default();
        let _ = stop.send(true);
        let (mut answered, mut refused) = (0, 0);
        for attacker in attackers {
            let (more, less) = attacker.await.expect("it only asks");
            (answered, refused) = (answered + more, refused + less);
        }
        println!(
            "{name:<34} {:>9.0} {:>8.1} / {:>7.1} {:>10.0}",
            run.rate(),
            percentile(&run.ack_ms, 0.5),
            percentile(&run.ack_ms, 0.99),
            usage.rss_mib
        );
        if is_attacked {
            println!(
                "hostile statements: {answered} answered, {refused} refused or cut; at most {:.0} MiB (budget {:.0}: 512 and \
                 query.memory_bytes_max); sorts, joins and groups held {:.0} MiB of them at the end",
                usage.peak_rss_mib,
                512.0 + mib(&status["limits"]["query_memory_bytes"]),
                mib(&status["queries"]["memory_bytes"])
            );
        }
    }
    // What was given up is given back: the next question is as fast as ever.
    let begin = Instant::now();
    let still = asked.get("/api/search?limit=1").await;
    println!(
        "afterwards a search takes {:.1} ms ({})",
        begin.elapsed().as_secs_f64() * 1e3,
        if still.is_ok() { "answered" } else { "refused" }
    );
}

fn mib(bytes: &Json) -> f64 {
    bytes.as_f64().unwrap_or_default() / f64::from(1 << 20)
}

/// How long after their reader has gone statements still work: each is left alone after a second. Goal: 500 ms.
async fn given_up(asked: &Asked) {
    let mut times = Vec::new();
    for sql in HOSTILE {
        if tokio::time::timeout(Duration::from_secs(1), asked.sql(sql)).await.is_ok() {
            continue;
        }
        let begin = Instant::now();
        loop {
            let status = asked.get("/api/status").await.expect("the collector lives");
            let is_idle = ["running", "waiting", "memory_bytes"].iter().all(|what| status["queries"][*what] == 0);
            if is_idle || begin.elapsed() > Duration::from_secs(60) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let ms = begin.elapsed().as_secs_f64() * 1e3;
        println!("given up after {ms:>6.0} ms: {sql}");
        times.push(ms);
    }
    let slowest = times.iter().copied().fold(0.0, f64::max);
    println!("{} hostile statements were given up, the slowest after {slowest:.0} ms (goal 500)", times.len());
}

#[derive(Clone)]
struct Asked {
    http: String,
    client: reqwest::Client,
}

/// Why there is no answer.
type Refusal = String;

impl Asked {
    async fn answer(&self, what: &str, request: reqwest::RequestBuilder) -> Result<Bytes, Refusal> {
        let answer = request.send().await.map_err(|error| format!("no answer: {error}"))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| format!("broken off: {error}"))?;
        if status.is_success() {
            return Ok(body);
        }
        let problem: Json = serde_json::from_slice(&body).unwrap_or_default();
        Err(format!("{what}: {status} {}", problem["detail"].as_str().unwrap_or_default()))
    }

    async fn get(&self, path: &str) -> Result<Json, Refusal> {
        let body = self.answer(path, self.client.get(format!("http://{}{path}", self.http))).await?;
        serde_json::from_slice(&body).map_err(|error| error.to_string())
    }

    async fn post(&self, path: &str, body: &Json) -> Result<Json, Refusal> {
        let request = self.client.post(format!("http://{}{path}", self.http)).body(body.to_string());
        let body = self.answer(path, request).await?;
        serde_json::from_slice(&body).map_err(|error| error.to_string())
    }

    async fn sql(&self, sql: &str) -> Result<(), Refusal> {
        let request = self
            .client
            .post(format!("http://{}/api/sql", self.http))
            .header("accept", "application/vnd.apache.arrow.stream")
            .body(json!({ "sql": sql }).to_string());
        self.answer(sql, request).await.map(drop)
    }

    /// Waits until everything is in segments, merged, and looked at by the digest.
    async fn until_quiet(&self, seconds: u64) {
        let begin = Instant::now();
        loop {
            let status = self.get("/api/status").await.expect("the collector lives");
            let (storage, digest) = (&status["storage"], &status["digest"]);
            let is_quiet = storage["buffer_rows"] == 0
                && storage["maintenance"]["merges_waiting"].is_null()
                && storage["maintenance"]["merge_backlog_segments"] == 0
                && (digest["is_on"] == false || (digest["open_spans"] == 0 && digest["catching_up"] == false));
            if is_quiet || begin.elapsed().as_secs() > seconds {
                let state = if is_quiet { "quiet" } else { "NOT quiet" };
                println!(
                    "{state} after {:.0} s: segments {}, digest {} spans, {} s behind",
                    begin.elapsed().as_secs_f64(),
                    storage["segments_by_level"],
                    digest["spans"],
                    digest["behind_seconds"]
                );
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Milliseconds of each of `n` turns, sorted; three more before them warm up.
    async fn time(&self, n: usize, mut ask: impl AsyncFnMut() -> Result<(), Refusal>) -> Result<Vec<f64>, Refusal> {
        let mut times = Vec::new();
        for turn in 0..n + 3 {
            let begin = Instant::now();
            ask().await?;
            if turn >= 3 {
                times.push(begin.elapsed().as_secs_f64() * 1e3);
            }
        }
        times.sort_by(f64::total_cmp);
        Ok(times)
    }

    async fn report(&self, what: &str, goal: &str, ask: impl AsyncFnMut() -> Result<(), Refusal>) {
        match self.time(20, ask).await {
            Ok(times) => {
                println!("{what:<34} {:>8.1} {:>8.1} {goal:>8}", percentile(&times, 0.5), percentile(&times, 1.0))
            }
            Err(refusal) => println!("{what:<34} {refusal}"),
        }
    }
}

/// Milliseconds of DuckDB by statement; `None` when it is not installed.
fn duckdb(data: &Path) -> Option<Json> {
    let cache = std::env::var_os("HODOSCOPE_CACHE").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/hodoscope")))?;
    let python = cache.join("tests/open-data/bin/python");
    if !python.exists() {
        println!("DuckDB is not installed (tests/setup.sh): no comparison");
        return None;
    }
    let Some(log) = walk(data, "spans") else {
        println!("no Delta log of spans below {}: no comparison", data.display());
        return None;
    };
    let shared: serde_json::Map<String, Json> = SHARED
        .iter()
        .map(|(what, sql)| {
            (
                (*what).to_owned(),
                json!(sql.replace("arrow_cast(start_time, 'Int64')", "start_time").replace(" / ", " // ")),
            )
        })
        .collect();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/time_duckdb.py");
    let mut child =
        Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python starts");
    let asked = json!({ "table": log, "queries": shared }).to_string();
    child.stdin.take().expect("piped").write_all(asked.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    if !output.status.success() {
        println!("DuckDB failed ({}): no comparison", output.status);
        return None;
    }
    let times = serde_json::from_slice(&output.stdout);
    times.inspect_err(|error| println!("DuckDB's times cannot be read ({error}): no comparison")).ok()
}

/// The folder of a table: the one with this name that has a Delta log.
fn walk(folder: &Path, table: &str) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).ok()?.flatten().filter(|entry| entry.path().is_dir()) {
        let path = entry.path();
        if entry.file_name() == table && path.join("_delta_log").exists() {
            return Some(path);
        }
        if let Some(found) = walk(&path, table) {
            return Some(found);
        }
    }
    None
}
