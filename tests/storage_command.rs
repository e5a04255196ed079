//! `hodoscope storage`: people look into the data, check it, copy it out and mend it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::Value as Json;

use crate::harness::otlp::Client;
use crate::harness::{Collector, Request, Server, Transport, fixtures, generate};

fn storage(data: &Path, words: &[&str]) -> Output {
    let built = env!("CARGO_BIN_EXE_hodoscope").to_owned();
    let binary = std::env::var("HODOSCOPE_TEST_BINARY").unwrap_or(built);
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("HODOSCOPE_")) {
        command.env_remove(name);
    }
    command.args(["storage", "--data"]).arg(data).args(words).output().expect("it can be started")
}

/// Exit code, stdout and stderr.
fn run(data: &Path, words: &[&str]) -> (Option<i32>, String, String) {
    let output = storage(data, words);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn json(data: &Path, words: &[&str]) -> (Option<i32>, Json) {
    let (code, out, error) = run(data, &[words, &["--json"]].concat());
    (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("JSON: {out}{error}")))
}

/// Spans of one moment, so that all of them are of one day.
async fn send(server: &Server, trace: u128, n_spans: u64, now: u64) {
    let span =
        |n| Span { start_time_unix_nano: now - 1_000_000, end_time_unix_nano: now, ..generate::span(trace, n, "look") };
    let spans = (1..=n_spans).map(span).collect();
    Client::new(server)
        .send_all(Transport::HttpProtobuf, &Request::Traces(generate::request("looked at", spans)))
        .await;
}

/// What is stored is listed and checked while the collector runs, copied out, and mended when it is stopped.
#[tokio::test]
async fn people_look_into_the_data() {
    // Nothing is written but by whom the test asks: what is counted below must not depend on how long its steps take.
    let config = "[storage]\nbuffer_age_max_s = 3600\n[query]\ndigest = false\nalerts = false\n".to_owned();
    let server = Collector { config, ..Collector::default() }.start();
    let now = fixtures::now_nanos();
    send(&server, 1, 40, now).await;
    let (status, stopped) = server.stop(Duration::from_secs(120));
    assert_eq!(status.code(), Some(0));
    let server = stopped.start();
    send(&server, 2, 2, now).await;
    let data = server.data();

    let (code, listing) = json(&data, &["ls"]);
    assert_eq!(code, Some(0));
    let table = |listing: &Json, name: &str| {
        let tables = listing["tables"].as_array().expect("tables").clone();
        tables.into_iter().find(|table| table["table"] == name).unwrap_or_else(|| panic!("{name} in {listing}"))
    };
    assert_eq!(table(&listing, "spans")["rows"], 40, "{listing}");
    let (_, text, _) = run(&data, &["ls"]);
    assert!(text.contains("default / spans: 40 rows in 1 segments"), "{text}");

    let (code, seen) = json(&data, &["verify"]);
    assert_eq!((code, &seen["problems"]), (Some(0), &Json::Array(vec![])), "{seen}");
    assert_eq!((&seen["wal_records"], &seen["indexes_to_build"]), (&Json::from(1), &Json::from(0)), "{seen}");

    let out = tempfile::tempdir().expect("a folder");
    let to = out.path().join("copy").display().to_string();
    let (code, done) = json(&data, &["export", "--table", "spans", "--to", &to]);
    assert_eq!((code, &done["rows"]), (Some(0), &Json::from(40)));
    assert_eq!(std::fs::read_dir(&to).expect("made").count(), 1);
    let (code, _, error) = run(&data, &["export", "--table", "spans", "--to", &to]);
    assert!(code == Some(1) && error.contains("exists"), "never overwritten: {error}");
    let (code, _, error) = run(&data, &["export", "--table", "span", "--to", &to]);
    assert!(code == Some(1) && error.contains("spans"), "{error}");

    for words in ["rebuild-index", "compact"] {
        let (code, _, error) = run(&data, &[words]);
        assert!(code == Some(1) && error.contains("in use"), "a collector runs: {error}");
    }
    let stopped = server.kill();
    let index_dir = stopped.data().join("tenants/default/spans/_idx");
    let index = std::fs::read_dir(&index_dir).expect("indexes").flatten().next().expect("one").path();
    std::fs::remove_file(&index).expect("removable");
    assert_eq!(json(&data, &["verify"]).1["indexes_to_build"], 1);
    let (code, done) = json(&data, &["rebuild-index"]);
    assert_eq!((code, &done["built"]), (Some(0), &Json::from(1)), "{done}");
    assert!(index.exists());

    // What the WAL holds and what was flushed become one segment, with the same rows.
    let (code, done) = json(&data, &["compact"]);
    assert_eq!((code, &done["segments"], &done["rows"]), (Some(0), &Json::from([2, 1]), &Json::from(42)), "{done}");
    let (_, text, _) = run(&data, &["ls", "--columns"]);
    assert!(text.contains("42 rows in 1 segments") && text.contains("trace_id") && text.contains("indexes"), "{text}");
    assert_eq!(json(&data, &["compact"]).1["merges"], 0, "nothing is left to merge");

    // One flipped byte anywhere in the rows is found, and its file is named.
    let day = std::fs::read_dir(stopped.data().join("tenants/default/spans")).expect("a table").flatten();
    let day = day.map(|entry| entry.path()).find(|path| path.to_string_lossy().contains("date=")).expect("a day");
    let segments = std::fs::read_dir(day).expect("a day").flatten().map(|entry| entry.path());
    // What was merged stays for a while. The path above may have any letters.
    let is_merged = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().contains("-L"));
    let mut merged = segments.filter(is_merged);
    let segment = merged.next().expect("one");
    let mut bytes = std::fs::read(&segment).expect("readable");
    bytes.truncate(bytes.len() - 1);
    std::fs::write(&segment, bytes).expect("writable");
    let (code, text, _) = run(&data, &["verify"]);
    let name = segment.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(code == Some(2) && text.contains(&name) && text.contains("42 rows"), "{text}");
}

/// Looking at what is no data directory says so and makes nothing.
#[test]
fn nothing_is_made_by_looking() {
    let folder = tempfile::tempdir().expect("a folder");
    for words in [&["ls"][..], &["verify"], &["compact"], &["rebuild-index"]] {
        let (code, _, error) = run(folder.path(), words);
        assert!(code == Some(1) && error.contains("--data") && error.contains("no data directory"), "{error}");
        let (code, _, error) = run(&folder.path().join("nowhere"), words);
        assert!(code == Some(1) && error.contains("does not exist"), "{error}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("it is there").count(), 0);
}
