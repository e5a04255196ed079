//! Runs the conformance cases against any OTLP endpoint: docs/conformance.md.

#![allow(clippy::disallowed_methods, reason = "a command lives in the world's time")]
#![allow(clippy::print_stdout, reason = "a command prints")]
#![allow(clippy::needless_pass_by_value, reason = "json!(...) as an argument reads better without a mark")]
#![allow(unreachable_pub, dead_code, reason = "the runner is a library inside this binary")]

mod runner;

use std::process::ExitCode;

use clap::Parser;
use runner::wire::Target;

/// Sends OTLP in every form, good and bad, over gRPC, HTTP/protobuf and HTTP/JSON, and says which answers are not as specified.
#[derive(Debug, Parser)]
struct Told {
    /// Where OTLP over gRPC is taken, without TLS.
    #[arg(long, default_value = "127.0.0.1:4317", value_name = "HOST:PORT")]
    grpc: String,
    /// Where OTLP over HTTP is taken, without TLS.
    #[arg(long, default_value = "127.0.0.1:4318", value_name = "HOST:PORT")]
    http: String,
    /// Sent with every request, such as `authorization=Bearer KEY`; may be given again.
    #[arg(long, value_name = "NAME=VALUE")]
    header: Vec<String>,
    /// Only rules that begin with this, such as V or J12; may be given again.
    #[arg(long, value_name = "RULE")]
    only: Vec<String>,
    /// Also says what is as specified.
    #[arg(long)]
    verbose: bool,
}

fn main() -> ExitCode {
    let told = Told::parse();
    let header = |text: &String| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let target = Target { grpc: told.grpc, http: told.http, headers: told.header.iter().filter_map(header).collect() };
    let Ok(runtime) = tokio::runtime::Runtime::new() else { return ExitCode::FAILURE };
    let is_wanted = |rule: &str| told.only.is_empty() || told.only.iter().any(|only| rule.starts_with(only.as_str()));
    let report = runtime.block_on(runner::run(&target, is_wanted));
    for verdict in report.verdicts.iter().filter(|verdict| told.verbose || verdict.outcome.is_err()) {
        println!("{verdict}");
    }
    println!("{report}");
    if report.failed().next().is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
