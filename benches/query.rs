//! How long do questions take, and how do plain scans compare with DuckDB on the same files?
//!
//! Loads `BENCH_MILLION_SPANS` (10) million spans of 24 services through the front door, waits until all of them are in
//! segments, and asks over HTTP, 20 times each after 3 to warm up. `BENCH_DATA=/folder` keeps the data and uses it again.
//! DuckDB (as `tests/setup.sh` installs it) answers the same statements over the Parquet files of the table log, in the
//! same run, both with all cores.
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
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

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

#[tokio::main]
async fn main() {
    let kept = std::env::var_os("BENCH_DATA").map(PathBuf::from);
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let data = kept.unwrap_or_else(|| temporary.path().to_owned());
    let is_loaded = data.join("loaded").exists();
    let server = Server::start(&data);
    if !is_loaded {
        let n_requests = setting("BENCH_MILLION_SPANS", 10) * 1_000_000 / 512;
        let run =
            sender::send(&Plan::new(&server.otlp_grpc, Until::Sent(n_requests)), &spans::encode(96, 512).into()).await;
        println!("loaded {} spans in {:.0} s", run.accepted, run.elapsed.as_secs_f64());
    }
    let asked = Asked { http: server.http.clone(), client: reqwest::Client::new() };
    // The digest and the merges of segments are done when nothing is left in the buffer and the backlog.
    let deadline = Instant::now() + Duration::from_secs(600);
    loop {
        let status: Json = asked.get("/api/status").await;
        let (storage, digest) = (&status["storage"], &status["digest"]);
        let is_quiet = storage["buffer_rows"] == 0 && storage["maintenance"]["merges_waiting"] == 0;
        if is_quiet || Instant::now() > deadline {
            println!("segments {}, digest {digest}", storage["segments_by_level"]);
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    std::fs::write(data.join("loaded"), "").expect("the folder can be written to");
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{} spans; load of the machine {}", server.sql_number("SELECT count(*) FROM spans").await, load.trim());

    let range = "from=now-24h&to=now";
    for (what, path) in [
        ("last 20 traces of a service", format!("/api/search?q=service%3Dservice-07&limit=20&{range}")),
        ("last 20 traces, no service", format!("/api/search?limit=20&{range}")),
        ("slowest 20 spans", format!("/api/search?unit=spans&sort=slowest&limit=20&{range}")),
        ("slowest 20 traces", format!("/api/search?unit=traces&sort=slowest&limit=20&{range}")),
        ("promoted attribute equals", format!("/api/search?unit=spans&q=http.route%3D/login&limit=20&{range}")),
        ("listed attribute equals, none", format!("/api/search?unit=spans&q=span.order.id%3Dnone&limit=20&{range}")),
        ("service map, 24 h, roll-ups", format!("/api/map?{range}")),
        ("histogram of spans", format!("/api/search/histogram?unit=spans&{range}")),
        ("histogram of traces", format!("/api/search/histogram?unit=traces&{range}")),
        ("facets of spans", format!("/api/search/facets?unit=spans&{range}")),
    ] {
        asked.report(what, async || drop(asked.get(&path).await)).await;
    }
    let red = "SELECT dst, time, sum(count), sum(errors), max(p99) FROM edge_minutes WHERE time >= $from GROUP BY 1, 2";
    asked.report("RED per node and minute, 24 h", async || asked.sql(red).await).await;
    let newest = "SELECT arrow_cast(start_time, 'Int64') FROM spans ORDER BY start_time DESC LIMIT 1 OFFSET 1000000";
    let since = server.sql_number(newest).await;
    let differs =
        json!({ "unit": "spans", "from": since.to_string(), "to": "now", "brush": { "min_nanos": 1_000_000_000u64 } });
    let answer = asked.post("/api/search/differs", &differs).await;
    println!("what differs: {} selected, {} outside", answer["selected"], answer["outside"]);
    asked.report("what differs, 1 M spans", async || drop(asked.post("/api/search/differs", &differs).await)).await;

    let theirs = duckdb(&data);
    println!("{:<34} {:>10} {:>10} {:>7}", "statement (p50 of 10)", "ours ms", "DuckDB ms", "ratio");
    for (what, statement) in SHARED {
        let ours = asked.time(10, async || asked.sql(statement).await).await;
        let theirs = theirs.as_ref().and_then(|times| times[what].as_f64());
        let (theirs, ratio) = theirs.map_or(("-".to_owned(), "-".to_owned()), |ms| {
            (format!("{ms:.1}"), format!("{:.2}", percentile(&ours, 0.5) / ms))
        });
        println!("{what:<34} {:>10.1} {theirs:>10} {ratio:>7}", percentile(&ours, 0.5));
    }
    println!("resident memory {:.0} MiB at most", server.usage().peak_rss_mib);
    server.stop();
}

struct Asked {
    http: String,
    client: reqwest::Client,
}

impl Asked {
    async fn get(&self, path: &str) -> Json {
        let answer = self.client.get(format!("http://{}{path}", self.http)).send().await.expect("an answer");
        let (status, body) = (answer.status(), answer.bytes().await.expect("a body"));
        assert!(status.is_success(), "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).expect("JSON")
    }

    async fn post(&self, path: &str, body: &Json) -> Json {
        let request = self.client.post(format!("http://{}{path}", self.http)).body(body.to_string());
        let answer = request.send().await.expect("an answer");
        let (status, body) = (answer.status(), answer.bytes().await.expect("a body"));
        assert!(status.is_success(), "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).expect("JSON")
    }

    async fn sql(&self, sql: &str) {
        let request = self
            .client
            .post(format!("http://{}/api/sql", self.http))
            .header("accept", "application/vnd.apache.arrow.stream");
        let request = request.body(json!({ "sql": sql, "from": "now-24h", "to": "now" }).to_string());
        let answer = request.send().await.expect("an answer");
        let (status, body) = (answer.status(), answer.bytes().await.expect("a body"));
        assert!(status.is_success(), "{sql}: {}", String::from_utf8_lossy(&body));
    }

    /// Milliseconds of each of `n` turns, sorted; three more before them warm up.
    async fn time(&self, n: usize, mut ask: impl AsyncFnMut()) -> Vec<f64> {
        let mut times = Vec::new();
        for turn in 0..n + 3 {
            let begin = Instant::now();
            ask().await;
            if turn >= 3 {
                times.push(begin.elapsed().as_secs_f64() * 1e3);
            }
        }
        times.sort_by(f64::total_cmp);
        times
    }

    async fn report(&self, what: &str, ask: impl AsyncFnMut()) {
        let times = self.time(20, ask).await;
        println!("{what:<34} {:>8.1} ms p50 {:>8.1} ms max", percentile(&times, 0.5), percentile(&times, 1.0));
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
    let log = walk(data, "spans")?;
    let shared: serde_json::Map<String, Json> = SHARED
        .iter()
        .map(|(what, sql)| {
            (
                (*what).to_owned(),
                json!(sql.replace("arrow_cast(start_time, 'Int64')", "start_time").replace(" / ", " // ")),
            )
        })
        .collect();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/duckdb.py");
    let mut child =
        Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python starts");
    let asked = json!({ "table": log, "queries": shared }).to_string();
    child.stdin.take().expect("piped").write_all(asked.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "DuckDB failed");
    serde_json::from_slice(&output.stdout).ok()
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
