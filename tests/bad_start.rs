//! A start that cannot work ends with a clear message and a code that is not 0; a disk that gets full or read-only
//! refuses writes politely and heals without a restart.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::otlp::{Client, Refused};
use crate::harness::{Collector, Request, Server, Stopped, Transport, generate, sql, tools, wait_for};

/// A process that cannot work says so within this time.
const SOON: Duration = Duration::from_secs(10);

fn with_args(args: &[&str]) -> Collector {
    Collector { args: args.iter().map(|arg| (*arg).to_owned()).collect(), ..Collector::default() }
}

/// Starts it and expects an end with words for the person; answers what it said.
#[track_caller]
fn assert_refuses(collector: &Collector, words: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ended = collector.run_to_end(folder.path(), SOON);
    assert!(!ended.status.success(), "ended with {}: {}", ended.status, ended.stderr);
    assert!(ended.status.code().is_some(), "ended by a signal: {}: {}", ended.status, ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "does not say {word:?}:\n{}", ended.stderr);
    }
    assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    ended.stderr
}

#[test]
fn a_data_directory_in_use() {
    let first = Server::start();
    let data = first.data().display().to_string();
    assert_refuses(&with_args(&["--data", &data]), &[&data, "in use", "--data"]);
}

/// kill -9 leaves no lock behind.
#[test]
fn a_killed_process_gives_its_directory_back() {
    let stopped = Server::start().kill();
    let again = stopped.start();
    assert!(again.data().exists());
}

#[test]
fn a_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    for flag in ["--otlp-grpc", "--otlp-http", "--http"] {
        assert_refuses(&with_args(&[flag, &address]), &[&address, flag]);
    }
}

#[test]
fn settings_that_do_not_exist() {
    let config = |text: &str| Collector { config: text.to_owned(), ..Collector::default() };
    assert_refuses(&config("[storage]\nbuffer_age = 3\n"), &["buffer_age", "buffer_age_max_s"]);
    assert_refuses(&config("[storage]\nretention_days = 0\n"), &["retention_days"]);
    assert_refuses(&config("[storage\n"), &["config.toml"]);
    assert_refuses(&with_args(&["--config", "/nowhere/hodoscope.toml"]), &["/nowhere/hodoscope.toml"]);
    assert_refuses(&with_args(&["--http", "everywhere"]), &["everywhere", "--http"]);
    assert_refuses(&with_args(&["--frobnicate"]), &["--frobnicate"]);
}

/// Without anybody who has to sign in, only loopback is served (S1).
#[test]
fn an_address_for_everybody() {
    assert_refuses(&with_args(&["--http", "0.0.0.0:0"]), &["0.0.0.0", "allow_insecure"]);
}

#[test]
fn a_directory_that_cannot_be_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("a-file");
    std::fs::write(&file, "not a directory").expect("a file");
    let file = file.display().to_string();
    assert_refuses(&with_args(&["--data", &file]), &[&file, "--data"]);
    let below = format!("{file}/data");
    assert_refuses(&with_args(&["--data", &below]), &[&below, "--data"]);
    assert_refuses(&with_args(&["--data", "/proc/hodoscope"]), &["/proc/hodoscope", "--data"]);
}

/// Names, sizes and contents below a folder.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut dirs = vec![folder.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).expect("a directory").flatten() {
            if entry.path().is_dir() {
                dirs.push(entry.path());
                found.push((entry.path(), Vec::new()));
            } else {
                found.push((entry.path(), std::fs::read(entry.path()).expect("readable")));
            }
        }
    }
    found.sort();
    found
}

/// A stopped collector's directory with some rows in it.
async fn filled() -> Stopped {
    let server = Server::start();
    Client::new(&server).send_all(Transport::HttpProtobuf, &spans(1)).await;
    server.stop(Duration::from_secs(120)).1
}

/// Written by a newer release (D10), by another product, or copied without its beginning: the cause and the setting are
/// named, and not a byte is touched.
#[tokio::test]
async fn d10_a_directory_of_somebody_else_is_left_alone() {
    let stopped = filled().await;
    let data = stopped.data();
    let format = data.join("hodoscope.json");
    let ours = std::fs::read_to_string(&format).expect("it is there");
    assert!(ours.contains("\"format\": 1"), "{ours}");
    let cases = [
        (Some(ours.replace("\"format\": 1", "\"format\": 99")), "format 99"),
        (Some(ours.replace("\"hodoscope\"", "\"somebody\"")), "somebody"),
        (Some("{".to_owned()), "hodoscope.json"),
        // The copy is not finished, or left something out.
        (None, "no hodoscope.json"),
    ];
    for (text, told) in cases {
        match &text {
            Some(text) => std::fs::write(&format, text).expect("writable"),
            None => std::fs::remove_file(&format).expect("removable"),
        }
        let before = contents(&data);
        let shown = data.display().to_string();
        assert_refuses(&with_args(&["--data", &shown]), &[&shown, told]);
        assert_eq!(contents(&data), before, "{told}: nothing is touched");
    }
}

/// Copied without some of its files: it starts, says what is missing, shows the rest, and removes nothing.
#[tokio::test]
async fn a_half_copied_directory_shows_what_is_there() {
    let stopped = filled().await;
    let table = stopped.data().join("tenants/default/spans");
    let files = || contents(&table).into_iter().map(|(path, _)| path);
    let is_segment = |path: &PathBuf| path.to_string_lossy().contains("date=") && path.is_file();
    for segment in files().filter(is_segment) {
        std::fs::remove_file(segment).expect("removable");
    }
    let server = stopped.start();
    let (code, answer) = sql::ask(&server, "SELECT count(DISTINCT trace_id) AS n, min(name) FROM spans").await;
    assert!(code == 200 && answer.contains("\"incomplete\":true") && answer.contains("damaged segments"), "{answer}");
    let stopped = server.kill();

    // The log comes back from its copy. Without both, nobody knows which segments are alive: the table begins anew, and
    // takes new rows.
    std::fs::remove_dir_all(table.join("_delta_log")).expect("removable");
    let server = stopped.start();
    let (code, answer) = sql::ask(&server, "SELECT count(DISTINCT trace_id) AS n, min(name) FROM spans").await;
    assert!(code == 200 && answer.contains("damaged segments with 10 rows"), "{answer}");
    let stopped = server.kill();
    for log in ["_delta_log", "_log_copy"] {
        std::fs::remove_dir_all(table.join(log)).expect("removable");
    }
    let mut server = stopped.start();
    Client::new(&server).send_all(Transport::HttpProtobuf, &spans(2)).await;
    assert_eq!(sql::number(&server, "SELECT count(*) FROM spans").await, 10);
    server.assert_alive();
}

/// A directory of another user: who must be changed is said. Root may do everything, so root becomes somebody else.
#[tokio::test]
async fn a_directory_without_permissions() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("writable");
    let closed: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o555);
    std::fs::set_permissions(&data, closed).expect("it is ours");
    let shown = data.display().to_string();
    let args = vec!["--data".to_owned(), shown.clone()];
    let is_root = std::fs::File::create(data.join("probe")).is_ok();
    let mut wrapper = Vec::new();
    if is_root {
        std::fs::remove_file(data.join("probe")).expect("removable");
        // Without the right to pass over permissions, root is like others here.
        let words = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"];
        let works = Command::new(words[0]).args(&words[1..]).args(["touch", &format!("{shown}/probe")]).output();
        if works.is_ok_and(|output| output.status.success() || output.status.code().is_none()) {
            return tools::cannot::<()>("a user without rights", "setpriv does not take root's away").unwrap_or(());
        }
        wrapper = words.map(str::to_owned).to_vec();
    }
    assert_refuses(&Collector { wrapper, args, ..Collector::default() }, &[&shown, "may not write", "--data"]);
    assert_eq!(std::fs::read_dir(&data).expect("readable").count(), 0);
}

/// A disk that is full from the beginning.
#[test]
fn a_full_disk_at_the_start() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = folder.path().display().to_string();
    let script = format!(
        "mount -t tmpfs -o size=64k tmpfs {place} && (cat /dev/zero > {place}/lost 2>/dev/null; \
                          mkdir {place}/data)"
    );
    let Some(wrapper) = behind(&script) else { return };
    let data = format!("{place}/data");
    let args = vec!["--data".to_owned(), data.clone()];
    assert_refuses(&Collector { wrapper, args, ..Collector::default() }, &[&data, "full", "--data"]);
}

/// Runs the collector behind mounts of its own: no privileges are needed where user namespaces are allowed.
fn behind(script: &str) -> Option<Vec<String>> {
    // Root may also have namespaces of its own where others may not.
    let works = |flags: &&&str| {
        let probe = "mount -t tmpfs tmpfs /mnt && touch /mnt/probe";
        let output = Command::new("unshare").args([flags, "sh", "-c", probe]).output();
        output.is_ok_and(|output| output.status.success())
    };
    let Some(flags) = ["-Urm", "-m"].iter().find(works) else {
        return tools::cannot("mounts of its own", "this machine allows no user namespaces");
    };
    let words = ["unshare", flags, "sh", "-c", &format!("{script} && exec \"$@\""), "sh"];
    Some(words.iter().map(|word| (*word).to_owned()).collect())
}

#[test]
fn a_read_only_disk() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = folder.path().display().to_string();
    let Some(wrapper) = behind(&format!("mount -t tmpfs -o ro,size=1m tmpfs {place}")) else { return };
    let data = format!("{place}/data");
    let args = vec!["--data".to_owned(), data.clone()];
    assert_refuses(&Collector { wrapper, args, ..Collector::default() }, &[&data, "ead-only", "--data"]);
}

fn spans(number: u64) -> Request {
    let filler = "x".repeat(2_000);
    let span = |item| {
        let mut span = generate::span(u128::from(number), item, "fill");
        // Text that does not compress well would be honest too; the WAL is not compressed.
        span.attributes.push(generate::attribute("filler", &filler));
        span
    };
    Request::Traces(generate::request("full disk", (1..=10).map(span).collect()))
}

/// F6: the disk gets full, writes are refused with a wish to try again, space comes back, writes are taken again: without
/// a restart, three times, and nothing that was acknowledged is lost.
#[tokio::test]
async fn f06_a_full_disk_refuses_and_heals() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let shown = place.path().display().to_string();
    let Some(wrapper) = behind(&format!("mount -t tmpfs -o size=64m tmpfs {shown}")) else { return };
    let config = "[storage]\nbuffer_age_max_s = 1\nwal_file_bytes = 1048576\n".to_owned();
    let args = vec!["--data".to_owned(), format!("{shown}/data")];
    let mut server = Collector { wrapper, config, args, ..Collector::default() }.start();
    // The mount is seen through the process that lives in it.
    let inside = PathBuf::from(format!("/proc/{}/root{shown}", server.pid()));
    let client = Client::new(&server);
    let mut acknowledged = 0_u64;
    let mut number = 0_u64;
    for round in 1..=3 {
        for transport in Transport::ALL.repeat(10) {
            number += 1;
            client.send_all(transport, &spans(number)).await;
            acknowledged += 1;
        }
        let filler = inside.join("filler");
        fill(&filler);
        // What is open may still have room: a refusal comes after a few megabytes at most.
        let refusals = refusals(&client, &mut number, &mut acknowledged).await;
        for (transport, refused) in refusals {
            let expected = if transport == Transport::Grpc { 14 } else { 503 };
            assert_eq!(refused.code, expected, "round {round}, {transport:?}: {refused:?}");
        }
        // A flush that had begun before may still give a file of the WAL back: then there is room once more.
        let answer = loop {
            number += 1;
            let answer = post_plain(&server, number).await;
            if !answer.status().is_success() {
                break answer;
            }
            acknowledged += 1;
        };
        let hint = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        assert!(hint.is_some_and(|seconds| (1..=5).contains(&seconds)), "A12: {:?}", answer.headers());
        server.assert_alive();
        // Reading goes on.
        assert!(
            sql::number(&server, "SELECT count(*) FROM spans").await
                >= i64::try_from(acknowledged * 10).expect("small")
        );

        std::fs::remove_file(&filler).expect("the filler can be removed");
        let freed = Instant::now();
        number += 1;
        let request = spans(number);
        wait_for("writes to be taken after space came back", Duration::from_secs(10), async || {
            client.send(Transport::Grpc, &request).await.ok()
        })
        .await;
        acknowledged += 1;
        println!("full disk: round {round}: writes taken {:?} after space came back", freed.elapsed());
    }
    let text = "SELECT count(DISTINCT trace_id) FROM spans WHERE service_name = 'full disk'";
    let stored = sql::number(&server, text).await;
    assert!(stored >= i64::try_from(acknowledged).expect("small"), "{acknowledged} acknowledged, {stored} stored");
    println!("full disk: {acknowledged} requests acknowledged, {stored} stored");
}

/// Sends until each transport was refused once.
async fn refusals(client: &Client, number: &mut u64, acknowledged: &mut u64) -> Vec<(Transport, Refused)> {
    let mut refusals = Vec::new();
    for transport in Transport::ALL {
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < Duration::from_secs(120), "{transport:?} is never refused on a full disk");
            *number += 1;
            match client.send(transport, &spans(*number)).await {
                Ok(_) => *acknowledged += 1,
                Err(refused) => {
                    refusals.push((transport, refused));
                    break;
                }
            }
        }
    }
    refusals
}

async fn post_plain(server: &Server, number: u64) -> reqwest::Response {
    let url = format!("http://{}/v1/traces", server.otlp_http);
    let request = reqwest::Client::new().post(url).header("content-type", "application/x-protobuf");
    request.body(spans(number).encode()).send().await.expect("an answer")
}

/// Writes zeros until nothing fits any more.
fn fill(path: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).expect("the mount can be reached through /proc");
    let mut block = vec![0_u8; 1 << 20];
    while !block.is_empty() {
        if file.write_all(&block).is_err() {
            let smaller = block.len() / 2;
            block.truncate(if smaller < 512 { 0 } else { smaller });
        }
    }
}
