//! The cases that can be run against any collector, run against ours: `runner/`.

use crate::conformance::runner;
use crate::harness::Collector;
use runner::wire::{Target, Transport};

/// Every case over every transport that can say it; at least 150 of them over all three.
#[tokio::test]
async fn every_published_case_is_as_specified() {
    // A debug build on a busy machine may take longer to inflate 64 MiB than a collector should let anybody wait.
    let config = "[collector]\nanswer_within_ms = 60000\n".to_owned();
    let mut server = Collector { config, ..Collector::default() }.start();
    let target = Target { grpc: server.otlp_grpc.clone(), http: server.otlp_http.clone(), headers: Vec::new() };
    let cases = runner::cases::all();
    let n_everywhere = cases.iter().filter(|case| case.on.len() == Transport::ALL.len()).count();
    assert!(n_everywhere >= 150, "{n_everywhere} of {} cases over all three transports", cases.len());
    let begun = std::time::Instant::now();
    let report = runner::run(&target, |_| true).await;
    println!("{} cases, {n_everywhere} over all three transports, {:?}", cases.len(), begun.elapsed());
    println!("{report}");
    let failed: Vec<String> = report.failed().map(ToString::to_string).collect();
    assert!(failed.is_empty(), "{} are not as specified:\n{}", failed.len(), failed.join("\n"));
    server.assert_alive();
}

/// The runner notices what is wrong: a peer that takes everything and says so has failed wherever something must be refused.
#[tokio::test]
async fn the_runner_sees_what_is_wrong() {
    let takes_all = axum::Router::new().fallback(async || ([("content-type", "application/json")], "{}"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let serving = tokio::spawn(async move { axum::serve(listener, takes_all).await });
    let target = Target { grpc: address.clone(), http: address, headers: Vec::new() };
    let report = runner::run(&target, |rule| ["A1", "A5", "V1", "T6"].contains(&rule)).await;
    serving.abort();
    for verdict in &report.verdicts {
        let is_right = verdict.transport == Transport::HttpJson && verdict.rule == "A1";
        assert_eq!(verdict.outcome.is_ok(), is_right, "{verdict}");
    }
    assert!(report.to_string().contains(" 0 of "), "{report}");
}
