//! What do many spans cost at rest: bytes, merges, look-ups, memory, a start? And what does ingest notice of merges?
//!
//! Two parts, each in a folder of its own:
//!
//! 1. Two minutes at `BENCH_PER_SECOND` (100) requests of 512 spans a second, half a minute of warming before each: first
//!    with merges and retention off, then on, with retention and vacuum looking every second and dropping the oldest
//!    segments all the time. The p99 of the acknowledgements of both, in one run.
//! 2. `BENCH_MILLION_SPANS` (5) million spans as fast as they are taken, without merges; then `hodoscope storage compact`
//!    merges all of them, which gives spans per second and core; `ls --columns` says where the bytes are; then look-ups
//!    by trace id and journeys, warm, and cold: after a restart, with every file dropped from the page cache before each; the
//!    very first one apart, because footers are being read then.
//!    Reverse look-ups of links run in this process, on the index alone and on rows.
//!
//! `BENCH_SPANS=engine` takes the spans that spec/ENGINE.md section 6 describes in place of the usual ones, whose ids take 31.2 bytes
//! in place of 22: a trace of theirs lies in 8 services.
//!
//! Expected: 60 bytes a span (spec/ENGINE.md section 6: ids, moments and random values are 38 of them and do not
//! compress). A merge decodes, gathers and encodes a span in 1.6 + 0.6 us: 400,000 spans/s on one core, twice per span,
//! because 4 flushes of 150,000 rows are merged at once (32 MiB), and 4 of those are a full segment: one core keeps up with
//! 200,000 spans/s. A look-up asks the filters of every segment in memory, reads one
//! bucket and decodes a page of 70 columns in up to 8 places: 5 to 10 ms warm. Memory and start depend on the number
//! of segments only: 50 million spans are 25.
//!
//! `BENCH_DATA=/folder` keeps what part 2 loaded, or asks what is there from an earlier run with as many spans.
//!
//! Time: part 1 takes 2.5 times `BENCH_SECONDS`. Part 2 with 50 million spans: 3 to 4 minutes to load, 4 to 5 to merge, 2 for
//! the look-ups, and 8 GB of disk.

#![expect(clippy::print_stdout, reason = "a bench prints its results")]
#![allow(clippy::disallowed_methods, reason = "a bench runs in the world's time")]

#[allow(dead_code, unreachable_pub, reason = "each bench uses the part it needs")]
mod load;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use load::requests::EncodedRequest;
use load::sender::{self, Plan, Until};
use load::server::{self, Server};
use load::spans::Load;
use load::{percentile, setting};

/// Look-ups of each kind with everything warm.
const WARM: usize = 500;
/// Look-ups of each kind with nothing in the page cache.
const COLD: usize = 60;

/// Time to read footers after a start, with nothing in the page cache.
const FOOTERS: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() {
    let kind = Load::asked();
    let requests: Arc<[EncodedRequest]> = kind.encode().into();
    println!("spans: {kind:?}");
    if setting("BENCH_PACED", 1) == 1 {
        beside_merges(&requests).await;
    }
    let n_millions = setting("BENCH_MILLION_SPANS", 5);
    if n_millions > 0 {
        at_rest(kind, &requests, n_millions).await;
    }
}

/// Part 1.
async fn beside_merges(requests: &Arc<[EncodedRequest]>) {
    let (per_second, seconds) = (setting("BENCH_PER_SECOND", 100), setting("BENCH_SECONDS", 120));
    let data = tempfile::tempdir().expect("a temporary folder");
    let mut first_serial = 0;
    let mut p99 = Vec::new();
    for is_on in [false, true] {
        let settings = data.path().join("settings.toml");
        let text = if is_on {
            "[storage]\ncompaction_wait_s = 1\nmaintenance_every_s = 1\nvacuum_grace_s = 1\nretention_table_bytes_max = 300000000\n"
        } else {
            "[storage]\ncompaction = false\nmaintenance_every_s = 100000\n"
        };
        std::fs::write(&settings, text).expect("writable");
        let server = start(data.path(), &settings);
        for (seconds, is_measured) in [(seconds / 4, false), (seconds, true)] {
            let before = server.usage().cpu_seconds;
            let plan = Plan {
                per_second: Some(per_second),
                first_serial,
                ..Plan::new(&server.otlp_grpc, Until::Elapsed(Duration::from_secs(seconds)))
            };
            let run = sender::send(&plan, requests).await;
            first_serial = run.serials.iter().max().map_or(first_serial, |last| (last / 8 + 1) * 8);
            let cpu = server.usage().cpu_seconds - before;
            if is_measured {
                let figures = maintenance(&server).await;
                println!(
                    "paced, maintenance {:<3} {:>8.0} spans/s {:>7.1} ms p50 {:>7.1} ms p99 {:>7.1} ms p99.9, {:.2} CPU s per \
                     million, {figures}",
                    if is_on { "on" } else { "off" },
                    run.rate(),
                    percentile(&run.ack_ms, 0.5),
                    percentile(&run.ack_ms, 0.99),
                    percentile(&run.ack_ms, 0.999),
                    cpu / run.accepted as f64 * 1e6,
                );
                p99.push(percentile(&run.ack_ms, 0.99));
            }
        }
        server.stop();
    }
    println!("p99 with maintenance / without: {:.2}", p99[1] / p99[0]);
}

fn start(data: &Path, settings: &Path) -> Server {
    Server::start_with(&data.join("data"), &["--config", settings.to_str().expect("UTF-8")])
}

async fn maintenance(server: &Server) -> String {
    let answer = reqwest::get(format!("http://{}/api/status", server.http)).await.expect("it answers");
    let answer: serde_json::Value = serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON");
    let storage = &answer["storage"];
    let upkeep = &storage["maintenance"];
    format!(
        "{} segments {}, {} merges, {} segments expired, {} files vacuumed",
        storage["segments"],
        storage["segments_by_level"],
        upkeep["merges"],
        upkeep["expired_segments"],
        upkeep["vacuumed_files"]
    )
}

/// Part 2.
async fn at_rest(kind: Load, requests: &Arc<[EncodedRequest]>, n_millions: u64) {
    let temporary = tempfile::Builder::new().prefix("hodoscope-at-rest-").tempdir().expect("a temporary folder");
    let folder = std::env::var_os("BENCH_DATA").map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let (folder, data, settings) = (folder.as_path(), folder.join("data"), folder.join("settings.toml"));
    let n_requests = n_millions * 1_000_000 / 512;
    let merged = if data.exists() {
        None
    } else {
        std::fs::create_dir_all(folder).expect("writable");
        std::fs::write(&settings, "[storage]\ncompaction = false\n[query]\ndigest = false\n").expect("writable");
        let server = start(folder, &settings);
        let run = sender::send(&Plan::new(&server.otlp_grpc, Until::Sent(n_requests)), requests).await;
        println!(
            "loaded {} spans in {:.0} s, {:.0} spans/s; peak memory {:.0} MiB",
            run.accepted,
            run.elapsed.as_secs_f64(),
            run.rate(),
            server.usage().peak_rss_mib
        );
        let cpu = server.stop();
        println!("ingest: {:.2} CPU s per million spans, flush included", cpu / run.accepted as f64 * 1e6);
        std::fs::write(&settings, "[storage]\nvacuum_grace_s = 0\n[query]\ndigest = false\n").expect("writable");
        Some(compact(folder, &settings))
    };
    storage_command(&data, &settings, &["ls", "--columns"]);

    let mut random = StdRng::seed_from_u64(11);
    let mut id = || {
        let serial = random.random_range(0..n_requests);
        hex(&kind.trace_id(serial, random.random_range(0..512)))
    };
    let server = start(folder, &settings);
    let start_ms = server.ready_after.as_secs_f64() * 1e3;
    println!("start after {start_ms:.0} ms, {:.0} MiB", server.usage().rss_mib);
    let stored = server.sql_number("SELECT count(*) FROM spans").await;
    if let Some(merged) = merged {
        merged.at_1e9(start_ms);
        println!("{:.1} bytes a span", merged.bytes / merged.rows.max(1.0));
    }
    println!("stored {stored} of {} acknowledged spans", n_requests * 512);
    assert!(stored >= n_requests * 512, "acknowledged spans are missing");
    // Footers are read in the background meanwhile, which a collector that runs for longer has done.
    tokio::time::sleep(FOOTERS).await;
    // One client for all: making one reads the certificates of the system, which takes longer than a look-up.
    let client = reqwest::Client::new();
    let mut baseline = Vec::new();
    for _ in 0..WARM {
        let begin = Instant::now();
        client.get(format!("http://{}/healthz", server.http)).send().await.expect("it answers");
        baseline.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    report("baseline /healthz", &mut baseline);
    for view in [("traces", ""), ("traces", "/timeline"), ("journeys", "")] {
        let mut times = Vec::new();
        let cpu_before = server.usage().cpu_seconds;
        for turn in 0..WARM + 20 {
            let took = ask(&client, &server, view, &id()).await;
            // The first ones warm the caches of metadata and indexes.
            if turn >= 20 {
                times.push(took);
            }
        }
        report(&format!("warm {}/id{}", view.0, view.1), &mut times);
        println!("  {:.2} ms of CPU each", (server.usage().cpu_seconds - cpu_before) / (WARM + 20) as f64 * 1e3);
    }
    println!("memory after these {:.0} MiB", server.usage().rss_mib);
    server.stop();
    forget(&data);
    let server = start(folder, &settings);
    println!("the first look-up after a start {:.0} ms", ask(&client, &server, ("traces", ""), &id()).await);
    tokio::time::sleep(FOOTERS).await;
    println!("memory {:.0} MiB", server.usage().rss_mib);
    for view in [("traces", ""), ("traces", "/timeline"), ("journeys", "")] {
        let mut times = Vec::new();
        for _ in 0..COLD {
            forget(&data);
            times.push(ask(&client, &server, view, &id()).await);
        }
        report(&format!("cold {}/id{}", view.0, view.1), &mut times);
    }
    println!("peak memory of this process {:.0} MiB", server.usage().peak_rss_mib);
    let text = "SELECT encode(links[1]['trace_id'], 'hex') FROM spans WHERE array_length(links) > 0 LIMIT 400";
    let targets = sql_texts(&server, text).await;
    assert!(!targets.is_empty(), "2 % of the spans have a link");
    server.stop();
    links(&data, &targets).await;
}

/// Reverse look-ups of links, on the index of storage.
async fn links(data: &Path, targets: &[String]) {
    let config = storage::Config { data: data.to_owned(), compaction: false, ..storage::Config::default() };
    let open = async || {
        storage::Storage::open(config.clone(), Arc::new(storage::SystemClock)).await.expect("nobody else has it")
    };
    for is_warm in [true, false] {
        let storage = open().await;
        let (mut found, mut absent, mut n_candidates) = (Vec::new(), Vec::new(), 0);
        let targets = if is_warm { targets } else { &targets[..targets.len().min(COLD)] };
        for target in targets {
            let target = model::TraceId::from_hex(target).expect("an id");
            let nobody = model::TraceId::from_bytes(&target.as_bytes().map(|byte| byte ^ 0x55)).expect("not zero");
            for (id, times) in [(target, &mut found), (nobody, &mut absent)] {
                if !is_warm {
                    forget(data);
                }
                let snapshot = storage.reader().snapshot(&model::TenantId::default_tenant());
                let table = snapshot.table(&storage::table::SPANS).expect("spans");
                let begin = Instant::now();
                let located = table.locate_links_to(id).await;
                times.push(begin.elapsed().as_secs_f64() * 1e3);
                n_candidates += located.len();
                assert!(id != target || !located.is_empty(), "a link that is stored is not found");
            }
        }
        let name = if is_warm { "warm" } else { "cold" };
        report(&format!("{name} who links to: found"), &mut found);
        report(&format!("{name} who links to: nobody"), &mut absent);
        println!("  {:.2} segments to read per link that is there", n_candidates as f64 / targets.len().max(1) as f64);
        storage.close().await.expect("it closes");
    }
}

async fn ask(client: &reqwest::Client, server: &Server, (kind, view): (&str, &str), id: &str) -> f64 {
    let begin = Instant::now();
    let url = format!("http://{}/api/{kind}/{id}{view}", server.http);
    let answer = client.get(url).send().await.expect("it answers");
    let status = answer.status();
    let body = answer.bytes().await.expect("a body");
    assert_eq!(status, 200, "an acknowledged trace is missing: {id}: {}", String::from_utf8_lossy(&body));
    begin.elapsed().as_secs_f64() * 1e3
}

async fn sql_texts(server: &Server, sql: &str) -> Vec<String> {
    let answer = reqwest::Client::new()
        .post(format!("http://{}/api/sql", server.http))
        .header("content-type", "application/json")
        .body(serde_json::json!({ "sql": sql }).to_string())
        .send()
        .await
        .expect("it answers");
    let answer: serde_json::Value = serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON");
    let rows = answer["rows"].as_array().unwrap_or_else(|| panic!("{sql}: {answer}"));
    rows.iter().filter_map(|row| Some(row[0].as_str()?.to_owned())).collect()
}

/// What lies there after merging everything.
struct Merged {
    segments: f64,
    bytes: f64,
    rows: f64,
}

impl Merged {
    /// What a thousand million spans would take, if everything grows with the spans. A look-up asks one filter block (64
    /// bytes, 0.1 us in memory) per segment, and reads rows of as many segments as today: a trace lies in the one or
    /// two of its moment.
    fn at_1e9(&self, start_ms: f64) {
        let times = 1e9 / self.rows.max(1.0);
        let segments = self.segments * times;
        println!(
            "at 1e9 spans: {segments:.0} segments, {:.1} GB, filters of a look-up {:.1} ms, start {start_ms:.0} ms plus {:.0} ms to \
             read the log (0.1 ms a segment)",
            self.bytes * times / 1e9,
            segments * 1e-4,
            (segments - self.segments).max(0.0) * 0.1,
        );
    }
}

/// Merges everything, and says what it cost.
fn compact(folder: &Path, settings: &Path) -> Merged {
    let begin = Instant::now();
    let mut process = command(&folder.join("data"), settings, &["compact", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary was built with this bench");
    let id = process.id().to_string();
    let (mut cpu, mut peak) = (0.0, 0.0);
    while process.try_wait().expect("a child").is_none() {
        cpu = server::cpu_seconds(&id).unwrap_or(cpu);
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let kib =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")).map(|text| text.trim().trim_end_matches(" kB"));
        peak = kib.and_then(|kib| kib.parse::<f64>().ok()).map_or(peak, |kib| kib / 1024.0);
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = process.wait_with_output().expect("it has ended");
    let done: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{}: {error}: {}", output.status, String::from_utf8_lossy(&output.stdout)));
    let merged = done["merged_rows"].as_f64().unwrap_or_default();
    println!(
        "compact: {} segments -> {}, {} -> {} bytes, {} merges, {merged} rows in {:.1} s and {cpu:.1} CPU s: {:.0} spans/s per core; \
         peak memory {peak:.0} MiB; every row was written {:.2} times after its flush, {} bytes: one core keeps up with {:.0} \
         spans/s; problems: {}",
        done["segments"][0],
        done["segments"][1],
        done["bytes"][0],
        done["bytes"][1],
        done["merges"],
        begin.elapsed().as_secs_f64(),
        merged / cpu,
        merged / done["rows"].as_f64().unwrap_or(f64::NAN),
        done["written_bytes"],
        done["rows"].as_f64().unwrap_or(f64::NAN) / cpu,
        done["problems"],
    );
    let number = |value: &serde_json::Value| value.as_f64().unwrap_or(f64::NAN);
    Merged { segments: number(&done["segments"][1]), bytes: number(&done["bytes"][1]), rows: number(&done["rows"]) }
}

fn storage_command(data: &Path, settings: &Path, words: &[&str]) {
    let output = command(data, settings, words).output().expect("the binary was built with this bench");
    println!("{}", String::from_utf8_lossy(&output.stdout));
}

fn command(data: &Path, settings: &Path, words: &[&str]) -> Command {
    let binary = std::env::var_os("BENCH_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_hodoscope").into());
    let mut command = Command::new(binary);
    command.args(["storage", "--config"]).arg(settings).arg("--data").arg(data).args(words);
    command
}

/// Drops every segment with its index and checksums from the page cache: what was written was synced. Table logs are read
/// at a start only, and there are thousands of their files.
fn forget(data: &Path) {
    let mut dirs = vec![data.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                let is_log = ["_delta_log", "_log_copy"].iter().any(|name| entry.file_name() == *name);
                if !is_log {
                    dirs.push(entry.path());
                }
                continue;
            }
            let mut target = std::ffi::OsString::from("of=");
            target.push(entry.path());
            let dropped = Command::new("dd")
                .arg(target)
                .args(["oflag=nocache", "conv=nocreat,notrunc,fdatasync", "count=0", "if=/dev/null", "status=none"])
                .stderr(Stdio::null())
                .status();
            // Vacuum may have been faster.
            let is_gone = !entry.path().exists();
            assert!(is_gone || dropped.is_ok_and(|status| status.success()), "dd can drop a file from the page cache");
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn report(what: &str, times: &mut [f64]) {
    times.sort_by(f64::total_cmp);
    println!(
        "{what:<30} {:>7.2} ms p50 {:>7.2} ms p99 {:>7.2} ms max  ({} look-ups)",
        percentile(times, 0.5),
        percentile(times, 0.99),
        percentile(times, 1.0),
        times.len()
    );
}
