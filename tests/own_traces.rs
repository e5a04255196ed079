//! The collector keeps traces of itself when it is told to, one for each request of others and none for keeping them.

use std::time::Duration;

use crate::harness::otlp::Client;
use crate::harness::{Collector, Request, Server, Transport, generate, sql, wait_for};

const PATIENCE: Duration = Duration::from_secs(120);
const OWN: &str = "FROM spans WHERE service_name = 'hodoscope'";

/// How often each name stands in the collector's own spans.
async fn counted(server: &Server, name: &str) -> i64 {
    sql::number(server, &format!("SELECT count(*) {OWN} AND name = '{name}'")).await
}

#[tokio::test]
async fn own_traces_make_none_of_their_own() {
    let config = "[collector]\nown_traces_per_s = 100000\n".to_owned();
    let server = Collector { config, ..Collector::default() }.start();
    let client = Client::new(&server);
    for (n, transport) in Transport::ALL.into_iter().enumerate() {
        let spans = vec![generate::span(n as u128 + 1, 1, "somebody's")];
        client.send_all(transport, &Request::Traces(generate::request("shop", spans))).await;
    }
    let grpc = "POST /opentelemetry.proto.collector.trace.v1.TraceService/Export";
    for (name, expected) in [("POST /v1/traces", 2), (grpc, 1), ("append", 3)] {
        wait_for(name, PATIENCE, async || (counted(&server, name).await >= expected).then_some(())).await;
    }
    // Each question is one request, and by now its trace is one of those that are counted. Twenty of them show twenty rounds of storing.
    let before = counted(&server, "POST /api/sql").await;
    for _ in 0..20 {
        counted(&server, "no such name").await;
    }
    wait_for("traces of the questions", PATIENCE, async || {
        (counted(&server, "POST /api/sql").await >= before + 20).then_some(())
    })
    .await;
    for (name, expected) in [("POST /v1/traces", 2), (grpc, 1), ("decode", 3), ("append", 3)] {
        assert_eq!(counted(&server, name).await, expected, "{name}: of others' requests and of nothing else");
    }
    let joined = "SELECT count(*) FROM spans step JOIN spans root ON step.parent_span_id = root.span_id AND step.trace_id = root.trace_id \
         WHERE step.service_name = 'hodoscope' AND step.name IN ('decode', 'append') AND root.name LIKE 'POST /%' \
         AND root.http_request_method = 'POST' AND root.http_status_code = 200 AND root.http_route = substr(root.name, 6)";
    assert_eq!(sql::number(&server, joined).await, 6, "steps belong to their requests");
    // What it was asked for last is stored before it ends.
    assert_eq!(client.send_all(Transport::HttpJson, &Request::Traces(generate::request("shop", vec![]))).await, ());
    let (status, stopped) = server.stop(PATIENCE);
    assert!(status.success(), "{status}");
    let quiet = stopped.start_as(Collector::default());
    wait_for("replay to end", PATIENCE, async || (counted(&quiet, "POST /v1/traces").await == 3).then_some(())).await;
    let before = sql::number(&quiet, &format!("SELECT count(*) {OWN}")).await;
    let spans = vec![generate::span(9, 1, "somebody's")];
    Client::new(&quiet).send_all(Transport::Grpc, &Request::Traces(generate::request("shop", spans))).await;
    assert_eq!(sql::number(&quiet, &format!("SELECT count(*) {OWN}")).await, before, "off unless the settings say so");
}
