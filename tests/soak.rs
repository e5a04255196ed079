//! Nothing grows (F28): files, memory and lines of errors under a mixed load that goes on and on.
//!
//! The short form is a few rounds and looks at files and errors. `HODOSCOPE_SOAK_S=86400` goes on for so many seconds and prints
//! resident memory and open files every minute; from three hours on it holds the slope of memory after the first two against 1 % an hour.

use std::time::{Duration, Instant};

use crate::harness::otlp::Client;
use crate::harness::{Collector, Request, Server, Transport, generate, sql, wait_for};

/// Files beyond those after the first rounds: segments that are being written or read when one looks.
const FILES_MORE: usize = 32;

/// Open files of the process.
fn n_files(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("alive").count()
}

/// Resident memory of the process, in MiB.
fn resident_mib(server: &Server) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("alive");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux says it");
    resident.trim().trim_end_matches(" kB").trim().parse::<f64>().expect("a number") / 1024.0
}

/// Every transport, a refusal, a question, and a reader who goes away. Clients are new each time: their connections end with them.
async fn round(server: &Server, number: u64) {
    let client = Client::new(server);
    for (n, transport) in Transport::ALL.into_iter().enumerate() {
        let trace = u128::from(number) * 10 + n as u128 + 1;
        let spans = (1..=20).map(|item| generate::span(trace, item, "soak")).collect();
        client.send_all(transport, &Request::Traces(generate::request("soak", spans))).await;
    }
    let asking = reqwest::Client::new();
    let odd = asking.post(format!("http://{}/v1/traces", server.otlp_http)).body("odd").send().await;
    assert_eq!(odd.expect("an answer").status().as_u16(), 415);
    sql::query(server, "SELECT service_name, count(*) AS n FROM spans GROUP BY 1").await;
    let going = asking.get(server.api("/api/services")).send();
    let _ = tokio::time::timeout(Duration::from_millis(1), going).await;
}

/// F28: files and memory stay, and nothing is logged as an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f28_nothing_grows() {
    let mut server = Collector::with_fast_flush().start();
    for number in 0..5 {
        round(&server, number).await;
    }
    let files_before = n_files(&server);
    let (begun, mut told) = (Instant::now(), Instant::now());
    let long = std::env::var("HODOSCOPE_SOAK_S").ok().and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let mut memory = Vec::new();
    for number in 5.. {
        round(&server, number).await;
        match long {
            None if number >= 40 => break,
            Some(limit) if begun.elapsed() >= limit => break,
            Some(_) if told.elapsed() >= Duration::from_secs(60) => {
                let hours = begun.elapsed().as_secs_f64() / 3600.0;
                memory.push((hours, resident_mib(&server)));
                println!("{hours:.2} h: {:.0} MiB, {} files", resident_mib(&server), n_files(&server));
                told = Instant::now();
            }
            _ => {}
        }
    }
    server.assert_alive();
    wait_for("files to be closed", Duration::from_secs(120), async || {
        (n_files(&server) <= files_before + FILES_MORE).then_some(())
    })
    .await;
    let said = server.stderr();
    let errors: Vec<_> = said.lines().filter(|line| line.contains(" ERROR ")).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let settled: Vec<_> = memory.into_iter().filter(|(hours, _)| *hours >= 2.0).collect();
    if settled.last().is_some_and(|(hours, _)| *hours >= 3.0) {
        let slope = slope(&settled);
        assert!(slope < 0.01, "memory grows by {:.1} % an hour", slope * 100.0);
    }
}

/// By how much of its mean a line through these points rises in an hour (least squares).
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let rise: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let run: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    rise / run / y
}
