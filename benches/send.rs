//! The load sender by itself: `cargo bench --bench send -- --to 127.0.0.1:4317 --seconds 60`.
//!
//! | option          | value                                                                       | without it     |
//! |-----------------|-----------------------------------------------------------------------------|----------------|
//! | `--to`          | host and port of a collector (any that speaks OTLP)                          | 127.0.0.1:4317 |
//! | `--signal`      | traces, metrics, logs                                                        | traces         |
//! | `--transport`   | grpc, http                                                                   | grpc           |
//! | `--coding`      | none, gzip, zstd                                                             | none           |
//! | `--connections` | connections at once, each with one request on its way                        | 8              |
//! | `--rate`        | requests a second, due at fixed moments; as fast as acknowledged without it  |                |
//! | `--seconds`     | length of the run                                                            | 10             |
//! | `--items`       | spans, points (a multiple of 50) or records in a request                     | 512            |
//! | `--check`       | host and port of Hodoscope's API: counts at the end, so that a loss shows    |                |
//! | `--pid`         | process of the collector: tells its CPU time and memory (Linux)              |                |
//!
//! Expected: encoding is done before the clock starts, so that a span costs the sender a copy of 490 B, ten values
//! overwritten (0.1 us) and its share of a `write`: 0.3 to 0.4 us.

#![expect(clippy::print_stdout, reason = "a bench prints its results")]
#![allow(clippy::disallowed_methods, reason = "a bench runs in the world's time")]

#[allow(dead_code, unreachable_pub, reason = "each bench uses the part it needs")]
mod load;

use std::sync::Arc;
use std::time::Duration;

use load::requests::Coding;
use load::sender::{self, Plan, Signal, Transport, Until};
use load::{logs, own_cpu_seconds, percentile, points, server, spans, unix_nanos};

#[tokio::main]
async fn main() {
    let options = Options(std::env::args().skip(1).filter(|argument| argument != "--bench").collect());
    if options.0.is_empty() {
        println!("nothing to send: say where to, for example -- --to 127.0.0.1:4317 --seconds 60");
        return;
    }
    let n_items: usize = options.number("--items").unwrap_or(512);
    let signal =
        options.choice("--signal", &[("traces", Signal::Traces), ("metrics", Signal::Metrics), ("logs", Signal::Logs)]);
    let requests: Arc<[_]> = match signal {
        Signal::Traces => spans::encode(96, n_items).into(),
        Signal::Metrics => points::encode(96, n_items.next_multiple_of(50)).into(),
        Signal::Logs => logs::encode(96, n_items).into(),
    };
    let seconds = Duration::from_secs(options.number("--seconds").unwrap_or(10));
    let plan = Plan {
        signal,
        transport: options.choice("--transport", &[("grpc", Transport::Grpc), ("http", Transport::Http)]),
        coding: options.choice("--coding", &[("none", Coding::None), ("gzip", Coding::Gzip), ("zstd", Coding::Zstd)]),
        connections: options.number("--connections").unwrap_or(8),
        per_second: options.number("--rate"),
        // Another run on the same data sends other ids.
        first_serial: (unix_nanos() / 1_000_000_000) << 24,
        ..Plan::new(options.value("--to").unwrap_or("127.0.0.1:4317"), Until::Elapsed(seconds))
    };
    let (check, process) = (options.value("--check"), options.value("--pid"));
    let table = match signal {
        Signal::Traces => "spans",
        Signal::Metrics => "number_points",
        Signal::Logs => "logs",
    };
    let count = format!("SELECT count(*) FROM {table}");
    let before = match check {
        Some(http) => server::sql_number(http, &count).await,
        None => 0,
    };
    let (own, theirs) = (own_cpu_seconds(), process.and_then(server::cpu_seconds));
    let run = sender::send(&plan, &requests).await;
    let millions = run.accepted as f64 / 1e6;
    println!(
        "{} items acknowledged in {:.1} s: {:.0} items/s, {:.1} MB/s, {} requests sent again",
        run.accepted,
        run.elapsed.as_secs_f64(),
        run.rate(),
        run.body_bytes as f64 / 1e6 / run.elapsed.as_secs_f64(),
        run.retried
    );
    println!(
        "acknowledged after {:.1} ms p50, {:.1} ms p99, {:.1} ms max",
        percentile(&run.ack_ms, 0.5),
        percentile(&run.ack_ms, 0.99),
        percentile(&run.ack_ms, 1.0)
    );
    println!("CPU s per million items: sender {:.2}", (own_cpu_seconds() - own) / millions);
    if let (Some(before), Some(after)) = (theirs, process.and_then(server::cpu_seconds)) {
        println!("CPU s per million items: collector {:.2} so far", (after - before) / millions);
    }
    if let Some(http) = check {
        let stored = server::sql_number(http, &count).await - before;
        println!("stored {stored} of {} acknowledged, {} lost", run.accepted, run.accepted.saturating_sub(stored));
    }
}

struct Options(Vec<String>);

impl Options {
    fn value(&self, name: &str) -> Option<&str> {
        let at = self.0.iter().position(|argument| argument == name)?;
        self.0.get(at + 1).map(String::as_str)
    }

    fn number<N: std::str::FromStr>(&self, name: &str) -> Option<N> {
        let text = self.value(name)?;
        Some(text.parse().unwrap_or_else(|_| panic!("{name} wants a number, not {text:?}")))
    }

    /// The first choice is the default.
    fn choice<C: Copy>(&self, name: &str, choices: &[(&str, C)]) -> C {
        let Some(text) = self.value(name) else { return choices[0].1 };
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        let found = choices.iter().find(|(name, _)| *name == text);
        found.unwrap_or_else(|| panic!("{name} is one of {}, not {text:?}", names.join(", "))).1
    }
}
