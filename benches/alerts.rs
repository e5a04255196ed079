//! What do 1,000 alert rules at an interval of 15 s cost?
//!
//! The whole collector with 1,000 rules in 20 groups: 850 queries over the spans of the last five minutes, 100 over the sums per
//! minute, 50 findings. 49,152 spans are sent before; then nothing, so that the CPU time of the process is that of the rules. It is
//! read from the kernel over `BENCH_SECONDS` (90).
//!
//! Expected: 67 evaluations a second at 2 ms each (a physical plan 1, a scan of few rows 1; statements are optimized once) = 0.14 of a core.
//!
//! Goal: <= 0.30 of a core, no evaluation missed.

#![expect(clippy::print_stdout, reason = "a bench prints its results")]
#![allow(clippy::disallowed_methods, reason = "a bench runs in the world's time")]

#[allow(dead_code, unreachable_pub, reason = "each bench uses the part it needs")]
mod load;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use load::sender::{self, Plan, Until};
use load::server::Server;
use load::{setting, spans};

#[tokio::main]
async fn main() {
    let seconds = setting("BENCH_SECONDS", 90);
    let data = tempfile::tempdir().expect("a temporary folder");
    let file = data.path().join("rules.yml");
    std::fs::write(&file, rules()).expect("the rules can be written");
    let files = file.display().to_string();
    let server = Server::start_set(&data.path().join("data"), &[], &[("HODOSCOPE_QUERY_ALERT_RULE_FILES", &files)]);
    let requests: Arc<[_]> = spans::encode(96, 512).into();
    let plan = Plan { per_second: Some(96), ..Plan::new(&server.otlp_grpc, Until::Elapsed(Duration::from_secs(1))) };
    sender::send(&plan, &requests).await;
    // Traces settle, and every rule has been evaluated once.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let (before, missed) = (server.usage().cpu_seconds, missed(&server).await);
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let used = server.usage().cpu_seconds - before;
    let (rules, slowest, errors) = fare(&server).await;
    println!(
        "{rules} rules every 15 s: {:.1} % of one core (goal 30), {:.2} ms of CPU per evaluation; slowest evaluation {:.0} ms, {} missed (goal 0), {errors} with errors, {:.0} MiB",
        used / begun.elapsed().as_secs_f64() * 100.0,
        used * 1e3 / (rules as f64 * begun.elapsed().as_secs_f64() / 15.0),
        slowest * 1e3,
        self::missed(&server).await - missed,
        server.usage().rss_mib,
    );
}

/// 20 groups of 50 rules.
fn rules() -> String {
    let mut text = "groups:\n".to_owned();
    for group in 0..20 {
        let _ = write!(text, "- name: g{group}\n  interval: 15s\n  rules:\n");
        for rule in 0..50 {
            let n = group * 50 + rule;
            let condition = match n % 20 {
                0 => "finding: {id: retry_storm, at_least: 3, within: 5m}".to_owned(),
                1 | 2 => format!(
                    "sql: SELECT src, dst, CAST(sum(faults) AS DOUBLE) / sum(count) AS value FROM edge_minutes WHERE time >= $from AND \
                     time < $to AND dst = 'service:s{n}' GROUP BY src, dst HAVING sum(faults) > 0"
                ),
                _ => format!(
                    "sql: SELECT service_name, count(*) AS value, max(trace_id) AS trace_id FROM spans WHERE start_time >= $from AND \
                     start_time < $to AND service_name = 'service-{}' AND status_code = 2 GROUP BY 1 HAVING count(*) > 100000",
                    n % 12
                ),
            };
            let _ = write!(text, "  - alert: A{n}\n    {condition}\n    for: 1m\n");
        }
    }
    text
}

async fn ask(server: &Server, path: &str) -> serde_json::Value {
    let response = reqwest::get(format!("http://{}{path}", server.http)).await.expect("the collector answers");
    serde_json::from_slice(&response.bytes().await.expect("a body")).expect("the answer is JSON")
}

async fn missed(server: &Server) -> u64 {
    ask(server, "/api/alerts").await["missed"].as_u64().expect("a number")
}

/// Rules of ours, the longest evaluation in seconds, and how many have errors.
async fn fare(server: &Server) -> (usize, f64, usize) {
    let answer = ask(server, "/api/alert-rules").await;
    let rules = answer["rules"].as_array().expect("a list");
    let ours: Vec<_> = rules.iter().filter(|rule| rule["file"] != "built-in").collect();
    let slowest = ours.iter().filter_map(|rule| rule["evaluation_seconds"].as_f64()).fold(0.0, f64::max);
    (ours.len(), slowest, ours.iter().filter(|rule| rule["health"] != "ok").count())
}
