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
    /// Largest resident size so far.
    pub peak_rss_mib: f64,
}

impl Server {
    /// Starts the collector on free ports and waits for its ready line.
    pub fn start(data: &Path) -> Self {
        let begin = Instant::now();
        let mut process = Command::new(env!("CARGO_BIN_EXE_hodoscope"))
            .args(["--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data"])
            .arg(data)
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
        Self { ready_after: begin.elapsed(), otlp_grpc: field("otlp_grpc"), http: field("http"), process }
    }

    /// CPU time and memory of the process so far (Linux).
    pub fn usage(&self) -> Usage {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", self.process.id())).expect("alive");
        let stat = read("stat");
        let after_name = stat.rsplit_once(')').expect("the name stands in brackets").1;
        // Fields 14 and 15 of proc(5), counted in ticks of 10 ms.
        let ticks: u64 = after_name.split_whitespace().skip(11).take(2).map(|t| t.parse::<u64>().expect("ticks")).sum();
        let status = read("status");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux reports the peak");
        let kib: f64 = peak.trim().trim_end_matches(" kB").parse().expect("a number of KiB");
        Usage { cpu_seconds: ticks as f64 / 100.0, peak_rss_mib: kib / 1024.0 }
    }

    /// The single number that a SQL query answers.
    pub async fn sql_number(&self, sql: &str) -> u64 {
        let answer = reqwest::Client::new()
            .post(format!("http://{}/api/sql", self.http))
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

    /// Stops as a service manager would, and waits for the end.
    pub fn stop(mut self) {
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
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
