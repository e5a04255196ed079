//! The real binary in a folder of its own; its CPU time and memory.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running collector; killed when dropped.
pub struct Server {
    process: Child,
    /// Where telemetry goes over gRPC.
    pub otlp_grpc: String,
    /// Where telemetry goes over HTTP.
    pub otlp_http: String,
    /// Where questions go.
    pub http: String,
    /// From start to the ready line.
    pub ready_after: Duration,
}

/// What a process has used so far.
#[derive(Clone, Copy)]
pub struct Usage {
    /// User and system time.
    pub cpu_seconds: f64,
    /// Resident size now.
    pub rss_mib: f64,
    /// Largest resident size so far.
    pub peak_rss_mib: f64,
}

impl Server {
    /// Starts the collector on free ports and waits for its ready line.
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// The same with further arguments.
    pub fn start_with(data: &Path, arguments: &[&str]) -> Self {
        Self::start_set(data, arguments, &[])
    }

    /// The same with further arguments and settings as variables. `BENCH_BINARY` names another build to compare with.
    pub fn start_set(data: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let begin = Instant::now();
        let binary = std::env::var_os("BENCH_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_hodoscope").into());
        let mut process = Command::new(binary)
            .args(["--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(arguments)
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the binary was built with this bench");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("stdout can be read");
        let field = |name: &str| {
            let value = line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            value.unwrap_or_else(|| panic!("no {name} in the ready line: {line:?}")).to_owned()
        };
        Self {
            ready_after: begin.elapsed(),
            otlp_grpc: field("otlp_grpc"),
            otlp_http: field("otlp_http"),
            http: field("http"),
            process,
        }
    }

    /// Id of the process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// CPU time and memory of the process so far (Linux).
    pub fn usage(&self) -> Usage {
        let id = self.process.id().to_string();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("alive");
        let mib = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux reports its memory");
            let kib: f64 = value.trim().trim_end_matches(" kB").parse().expect("a number of KiB");
            kib / 1024.0
        };
        Usage { cpu_seconds: cpu_seconds(&id).expect("alive"), rss_mib: mib("VmRSS:"), peak_rss_mib: mib("VmHWM:") }
    }

    /// The single number that a SQL query answers.
    pub async fn sql_number(&self, sql: &str) -> u64 {
        sql_number(&self.http, sql).await
    }

    /// Stops as a service manager would, waits for the end, and gives the CPU time of the whole life: what was
    /// still in the write buffer is in segments then.
    pub fn stop(mut self) -> f64 {
        let id = self.process.id().to_string();
        let _ = Command::new("kill").arg(&id).status();
        // Ended, and not yet waited for: the figures are still there.
        let is_over = || std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| stat.contains(") Z "));
        let deadline = Instant::now() + Duration::from_secs(60);
        while !is_over() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let cpu_seconds = cpu_seconds(&id).expect("it was not waited for yet");
        let _ = self.process.wait();
        cpu_seconds
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The single number that a SQL query answers, asked of the API at this address.
pub async fn sql_number(http: &str, sql: &str) -> u64 {
    let answer = reqwest::Client::new()
        .post(format!("http://{http}/api/sql"))
        .header("content-type", "application/json")
        .body(serde_json::json!({ "sql": sql }).to_string())
        .send()
        .await
        .expect("the collector answers");
    let answer: serde_json::Value =
        serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("the answer is JSON");
    let value = &answer["rows"][0][0];
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.parse().unwrap_or_else(|_| panic!("{sql}: {answer}"))
}

/// User and system time of a process, in seconds (Linux); `None` when there is no such process.
pub fn cpu_seconds(process: &str) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    // Fields 14 and 15 of proc(5), counted in ticks of 10 ms.
    let ticks = after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().ok());
    Some(ticks.sum::<Option<u64>>()? as f64 / 100.0)
}

/// Bytes of all files below a folder.
pub fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => folder_bytes(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}
