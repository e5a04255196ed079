//! Anyone's Delta reader opens the live tables and finds what our SQL finds.
//!
//! The collector is written to and flushes every second the whole time. DuckDB, delta-rs and Polars (see
//! `tests/clients/open-data/read.py`) read the folder behind its back. What arrived before a moment, and is in
//! segments, must be the same for everybody: counts, sums, distinct ids, single values.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::harness::fixtures::{self, now_nanos};
use crate::harness::otlp::Client;
use crate::harness::{Collector, Request, Server, Transport, generate, sql, tools, wait_for};

/// What everybody is asked: name, table, SQL. `{before}` keeps to rows that arrived before a moment;
/// `{nanos:COLUMN}` is a moment as 64-bit integer, as it stands on disk.
const QUESTIONS: &[(&str, &str, &str)] = &[
    (
        "spans",
        "spans",
        "SELECT count(*), sum(duration_nanos), count(DISTINCT trace_id), min({nanos:start_time}), max({nanos:start_time}), \
         count(parent_span_id), count(http_request_method) FROM spans WHERE {before}",
    ),
    (
        "spans by service",
        "spans",
        "SELECT service_name, kind, count(*), max(duration_nanos) FROM spans WHERE {before} \
         GROUP BY service_name, kind ORDER BY service_name, kind",
    ),
    (
        "one span",
        "spans",
        "SELECT service_name, name, {nanos:start_time}, duration_nanos, kind, url_path, event_count FROM spans \
         WHERE name = 'open data 3' ORDER BY 3 LIMIT 1",
    ),
    (
        "logs",
        "logs",
        "SELECT count(*), count(DISTINCT body), sum(severity_number), max({nanos:time}) FROM logs WHERE {before}",
    ),
    (
        "points",
        "number_points",
        "SELECT metric_name, count(*), count(DISTINCT series_id), min(value_int), max(value_int), max({nanos:time}) FROM number_points \
         WHERE {before} GROUP BY metric_name ORDER BY metric_name",
    ),
];

/// A question with its placeholders filled in.
fn spell(question: &str, before: u64, nanos: impl Fn(&str) -> String) -> String {
    let mut text = question.replace("{before}", &format!("{{nanos:arrival_time}} < {before}"));
    while let Some(from) = text.find("{nanos:") {
        let to = from + text[from..].find('}').expect("a closed placeholder");
        text.replace_range(from..=to, &nanos(&text[from + "{nanos:".len()..to]));
    }
    text
}

/// The readers' answers; `None` when they are not installed or when a table is not there yet.
///
/// `root` is the folder or URL of a tenant's tables, `options` are settings of the object store.
pub fn read(root: &str, options: &Json, before: u64) -> Option<Json> {
    let python = tools::installed("readers of Delta tables", "open-data/bin/python")?;
    let query = |(name, table, question): &(&str, &str, &str)| {
        ((*name).to_owned(), json!([table, spell(question, before, str::to_owned)]))
    };
    let queries: serde_json::Map<String, Json> = QUESTIONS.iter().map(query).collect();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/open-data/read.py");
    let mut reader = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python starts");
    let asked = json!({ "root": root, "options": options, "queries": queries });
    serde_json::to_writer(reader.stdin.take().expect("stdin is piped"), &asked).expect("the script reads");
    let output = reader.wait_with_output().expect("the script ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).expect("the script prints its answers"))
}

/// Our own SQL's answers, by question.
pub async fn ask(server: &Server, before: u64) -> Json {
    let mut answers = serde_json::Map::new();
    for (name, _, question) in QUESTIONS {
        let text = spell(question, before, |column| format!("arrow_cast({column}, 'Int64')"));
        let rows = sql::query(server, &text).await.to_texts();
        answers.insert((*name).to_owned(), json!(rows));
    }
    Json::Object(answers)
}

/// Rows as texts, as our SQL's answers are.
fn texts(rows: &Json) -> Json {
    let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let row = |row: &Json| row.as_array().expect("a row").iter().map(text).collect::<Vec<_>>();
    json!(rows.as_array().expect("rows").iter().map(row).collect::<Vec<_>>())
}

/// Fails where a reader's answers differ from our SQL's.
#[track_caller]
pub fn compare(reader: &str, theirs: &Json, ours: &Json) {
    for (name, _, _) in QUESTIONS {
        assert_eq!(texts(&theirs[name]), ours[name], "{name}: {reader} and our SQL");
    }
}

/// Spans, logs and points without end; answers how many requests were acknowledged.
pub fn write_on(client: Client, stop: Arc<AtomicBool>) -> tokio::task::JoinHandle<u64> {
    let mut recorded = fixtures::requests();
    recorded.retain(|fixture| !matches!(fixture.request, Request::Traces(_)) || fixture.name.contains("checkout"));
    let sent = AtomicU64::new(0);
    tokio::spawn(async move {
        while !stop.load(Ordering::Relaxed) {
            let number = sent.fetch_add(1, Ordering::Relaxed);
            let name = format!("open data {number}");
            let service = format!("open-{}", number % 3);
            let spans = (1..=1 + number % 40).map(|span| generate::span(u128::from(number) + 1, span, &name)).collect();
            let made = Request::Traces(generate::request(&service, spans));
            let fixture = &recorded[usize::try_from(number).expect("small") % recorded.len()];
            for request in [&made, &fixture.request] {
                // Partial successes are fine: some recorded requests hold items that must be refused.
                // A store or a disk that is slow for a moment refuses: then once more, as SDKs do.
                while let Err(refused) = client.send(Transport::Grpc, request).await {
                    assert!(matches!(refused.code, 0 | 14), "{refused:?}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        sent.into_inner()
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_readers_find_what_our_sql_finds_while_we_write() {
    if tools::installed("readers of Delta tables", "open-data/bin/python").is_none() {
        return;
    }
    // Readers may hold a version for as long as the machine makes them wait: what was merged away stays.
    let mut collector = Collector::with_fast_flush();
    collector.config = collector.config.replace("vacuum_grace_s = 2", "vacuum_grace_s = 3600");
    let server = collector.start();
    let tables = server.data().join("tenants/default").display().to_string();
    let stop = Arc::new(AtomicBool::new(false));
    let writing = write_on(Client::new(&server), Arc::clone(&stop));
    let is_there = async || {
        let log = |table: &str| Path::new(&tables).join(table).join("_delta_log/00000000000000000002.json").exists();
        (log("spans") && log("logs") && log("number_points")).then_some(())
    };
    wait_for("two commits of each table", Duration::from_secs(240), is_there).await;

    let mut versions = Vec::new();
    for round in 0..2 {
        // Everything that arrived before now is in segments soon; what the writer goes on to send is left out.
        let before = now_nanos();
        let ours = ask(&server, before).await;
        assert_ne!(ours["spans"][0][0], "0", "nothing was compared");
        let theirs = wait_for("the buffer to be in segments", Duration::from_secs(240), async || {
            let tables = tables.clone();
            let reading = tokio::task::spawn_blocking(move || read(&tables, &json!({}), before));
            let theirs = reading.await.expect("the readers answer").expect("they are installed");
            let counts = |reader: &Json| texts(&reader["spans"])[0][0].clone();
            let is_flushed = theirs["answers"].as_object()?.values().all(|reader| {
                counts(reader) == ours["spans"][0][0]
                    && texts(&reader["logs"])[0][0] == ours["logs"][0][0]
                    && texts(&reader["points"]).as_array().map(Vec::len) == ours["points"].as_array().map(Vec::len)
            });
            is_flushed.then_some(theirs)
        })
        .await;
        let readers = theirs["answers"].as_object().expect("answers by reader");
        assert_eq!(readers.len(), 3, "{readers:?}");
        for (reader, answers) in readers {
            compare(reader, answers, &ours);
        }
        println!(
            "open data: round {round}: {} answer {} questions as our SQL does, over versions {}",
            readers.keys().cloned().collect::<Vec<_>>().join(", "),
            QUESTIONS.len(),
            theirs["versions"]
        );
        versions.push(theirs["versions"]["spans"].as_i64().expect("a version"));
    }
    assert!(versions[0] < versions[1], "the collector committed in between: {versions:?}");
    stop.store(true, Ordering::Relaxed);
    let n_sent = writing.await.expect("the sender was never refused");
    println!("open data: {n_sent} requests of each kind were acknowledged meanwhile");
}
