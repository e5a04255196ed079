//! Every item sent by a real SDK is found, over every transport the SDK has. More of them, with the collector started anew in
//! between: `senders.rs`.
//!
//! The scripts in `tests/clients/` send with the released SDKs and print what the SDK held in memory. Spans, log
//! records and metric points are then looked up by SQL and compared field by field.

use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;

use crate::harness::{Server, json, sql, tools};

/// How a script is told to send; also the last part of the service's name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Protocol {
    Grpc,
    HttpProtobuf,
    HttpJson,
}

impl Protocol {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http-protobuf",
            Self::HttpJson => "http-json",
        }
    }

    fn endpoint(self, server: &Server) -> String {
        match self {
            Self::Grpc => format!("http://{}", server.otlp_grpc),
            Self::HttpProtobuf | Self::HttpJson => format!("http://{}", server.otlp_http),
        }
    }
}

pub(crate) fn script(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(path).display().to_string()
}

fn python(protocol: Protocol, server: &Server) -> Option<Json> {
    let python = tools::installed("the Python SDK", "python/bin/python")?;
    let mut command = Command::new(python);
    command.arg(script("python/send.py"));
    Some(run(command, "python", protocol, &protocol.endpoint(server)))
}

fn node(protocol: Protocol, server: &Server) -> Option<Json> {
    let modules = tools::installed("the Node SDK", "node/node_modules")?;
    let mut command = Command::new(tools::program("node", "--version")?);
    command.arg(script("node/send.js")).env("NODE_PATH", modules);
    Some(run(command, "node", protocol, &protocol.endpoint(server)))
}

/// Variables that must not reach an SDK: a proxy of the machine must not stand between it and loopback, and Java says on
/// stderr that it was given options.
pub(crate) const FOREIGN: [&str; 9] = [
    "http_proxy",
    "https_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "grpc_proxy",
    "all_proxy",
    "ALL_PROXY",
    "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS",
];

/// Runs a script; answers its ledger.
pub(crate) fn run(mut command: Command, sender: &str, protocol: Protocol, endpoint: &str) -> Json {
    let service = format!("{sender}-{}", protocol.name());
    command.args([protocol.name(), endpoint, &service]);
    for variable in FOREIGN {
        command.env_remove(variable);
    }
    let output = command.output().expect("the script can be started");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{service}: {}: {stderr}", output.status);
    assert_eq!(stderr, "", "{service}: the SDK complained");
    serde_json::from_slice(&output.stdout).expect("the script prints its ledger")
}

/// Looks up everything in the ledger.
pub(crate) async fn check(server: &Server, service: &str, ledger: &Json) {
    let n_spans = check_spans(server, service, ledger).await;
    let n_logs = check_logs(server, service, ledger).await;
    check_metrics(server, service, ledger).await;
    println!("sdk: {service}: {n_spans} spans and {n_logs} log records found field by field, 3 instruments found");
}

async fn check_spans(server: &Server, service: &str, ledger: &Json) -> usize {
    let text = format!(
        "SELECT trace_id, span_id, parent_span_id, name, kind, arrow_cast(start_time, 'Int64') AS start, \
         arrow_cast(start_time, 'Int64') + duration_nanos AS end, status_code, status_message, event_count, link_count, \
         scope_name, resource_attr('service.version') AS version, attr('http.route') AS route, \
         attr('http.response.status_code') AS http_status, attr('order.number') AS number, attr('order.weight') AS weight, \
         attr('order.express') AS express, attr('order.items') AS items, attr('db.system.name') AS db \
         FROM spans WHERE service_name = '{service}' ORDER BY span_id"
    );
    let rows = sql::query(server, &text).await;
    let mut sent: Vec<&Json> = ledger["spans"].as_array().expect("spans").iter().collect();
    sent.sort_by_key(|span| span["span_id"].as_str());
    assert_eq!(sent.len(), 40, "{service}: the script sends 20 traces of 2 spans");
    assert_eq!(rows.len(), sent.len(), "{service}: spans stored");
    for (row, span) in sent.iter().enumerate() {
        let what = format!("{service}: {span}");
        for (column, field) in [("trace_id", "trace_id"), ("span_id", "span_id"), ("parent_span_id", "parent_span_id")]
        {
            assert_eq!(rows.get(row, column), &span[field], "{what}");
        }
        assert_eq!(rows.get(row, "name"), &span["name"], "{what}");
        for (column, field) in
            [("kind", "kind"), ("start", "start_unix_nano"), ("end", "end_unix_nano"), ("status_code", "status_code")]
        {
            assert_eq!(rows.int(row, column), json::integer(&span[field]), "{column} of {what}");
        }
        assert_eq!(rows.get(row, "status_message").as_str().unwrap_or_default(), span["status_message"], "{what}");
        let n = |field: &str| i64::try_from(span[field].as_array().expect("a list").len()).expect("small");
        assert_eq!((rows.int(row, "event_count"), rows.int(row, "link_count")), (n("events"), n("links")), "{what}");
        assert_eq!((rows.text(row, "scope_name"), rows.text(row, "version")), ("hodoscope.test", "1.2.3"), "{what}");
        for (column, key) in [
            ("route", "http.route"),
            ("http_status", "http.response.status_code"),
            ("number", "order.number"),
            ("weight", "order.weight"),
            ("express", "order.express"),
            ("items", "order.items"),
            ("db", "db.system.name"),
        ] {
            assert!(
                is_same(rows.get(row, column), &span["attributes"][key]),
                "{key} of {what}: {}",
                rows.get(row, column)
            );
        }
    }
    check_events_and_links(server, service, &sent).await;
    sent.len()
}

/// An attribute as SQL gives it (text) and as the SDK held it.
fn is_same(stored: &Json, held: &Json) -> bool {
    match (stored, held) {
        (Json::Null, Json::Null) => true,
        (Json::String(stored), Json::String(held)) => stored == held,
        (Json::String(stored), Json::Number(held)) => stored.parse().ok() == held.as_f64(),
        (Json::String(stored), held) => serde_json::from_str::<Json>(stored).is_ok_and(|stored| stored == *held),
        _ => false,
    }
}

async fn check_events_and_links(server: &Server, service: &str, sent: &[&Json]) {
    let list = |span: &Json, field: &str, item: fn(&Json) -> String| -> Vec<String> {
        let own = span["span_id"].as_str().expect("an id").to_owned();
        span[field].as_array().expect("a list").iter().map(|entry| format!("{own} {}", item(entry))).collect()
    };
    let text = |json: &Json| json.as_str().expect("text").to_owned();
    let mut events: Vec<_> = sent
        .iter()
        .flat_map(|span| list(span, "events", |event| format!("{} {}", event["name"], event["time_unix_nano"])))
        .collect();
    let mut links: Vec<_> = sent
        .iter()
        .flat_map(|span| list(span, "links", |link| format!("{} {}", link["trace_id"], link["span_id"])))
        .collect();
    let events_sql = format!(
        "SELECT span_id, name, arrow_cast(time, 'Int64') AS nanos, event_attr(attributes, 'rows') AS rows FROM events \
         WHERE service_name = '{service}'"
    );
    let rows = sql::query(server, &events_sql).await;
    let mut stored: Vec<_> = (0..rows.len())
        .map(|row| {
            assert_eq!(rows.text(row, "rows"), "1", "{service}: attribute of an event");
            let nanos = Json::String(rows.int(row, "nanos").to_string());
            format!("{} {} {nanos}", text(rows.get(row, "span_id")), rows.get(row, "name"))
        })
        .collect();
    events.sort();
    stored.sort();
    assert_eq!(stored, events, "{service}: events");
    let links_sql = format!(
        "SELECT span_id, linked_trace_id, linked_span_id, event_attr(attributes, 'link.reason') AS reason FROM links \
         WHERE service_name = '{service}'"
    );
    let rows = sql::query(server, &links_sql).await;
    let mut stored: Vec<_> = (0..rows.len())
        .map(|row| {
            assert_eq!(rows.text(row, "reason"), "previous", "{service}: attribute of a link");
            let (trace, span) = (rows.get(row, "linked_trace_id"), rows.get(row, "linked_span_id"));
            format!("{} {trace} {span}", text(rows.get(row, "span_id")))
        })
        .collect();
    links.sort();
    stored.sort();
    assert_eq!(stored, links, "{service}: links");
}

async fn check_logs(server: &Server, service: &str, ledger: &Json) -> usize {
    let text = format!(
        "SELECT body, trace_id, span_id, severity_number, severity_text, attr('order.number') AS number FROM logs \
         WHERE service_name = '{service}' ORDER BY body"
    );
    let rows = sql::query(server, &text).await;
    let mut sent: Vec<&Json> = ledger["logs"].as_array().expect("logs").iter().collect();
    sent.sort_by_key(|record| record["body"].as_str());
    assert_eq!((rows.len(), sent.len()), (20, 20), "{service}: log records");
    for (row, record) in sent.iter().enumerate() {
        for field in ["body", "trace_id", "span_id"] {
            assert_eq!(rows.get(row, field), &record[field], "{service}: {field} of {record}");
        }
        assert_eq!(rows.int(row, "severity_number"), json::integer(&record["severity_number"]), "{service}: {record}");
        assert_eq!(rows.text(row, "severity_text"), "INFO", "{service}: {record}");
        let number = record["body"].as_str().and_then(|body| body.split(' ').nth(1));
        assert_eq!(rows.get(row, "number").as_str(), number, "{service}: {record}");
    }
    sent.len()
}

async fn check_metrics(server: &Server, service: &str, ledger: &Json) {
    // The SDKs may export the same cumulative point twice while they shut down: the latest counts.
    let latest = |column: &str, name: &str| {
        format!(
            "SELECT sum(value) AS value, count(*) AS series, min(unit) AS unit FROM (SELECT series_id, \
             last_value({column} ORDER BY time) AS value, min(metric_unit) AS unit FROM metrics \
             WHERE service_name = '{service}' AND metric_name = '{name}' GROUP BY series_id)"
        )
    };
    let orders = sql::query(server, &latest("value", "orders")).await;
    assert_eq!(orders.get(0, "value").as_f64(), ledger["orders_total"].as_f64(), "{service}: orders");
    assert_eq!((orders.int(0, "series"), orders.text(0, "unit")), (2, "{order}"), "{service}: orders per shop");
    let stock = sql::query(server, &latest("value", "stock.level")).await;
    assert_eq!(stock.get(0, "value").as_f64(), ledger["stock_level"].as_f64(), "{service}: stock");
    let text = format!(
        "SELECT count, sum, min, max, metric_description FROM histogram_points WHERE service_name = '{service}' AND \
         metric_name = 'order.weight' ORDER BY time DESC LIMIT 1"
    );
    let weight = sql::query(server, &text).await;
    assert_eq!(weight.int(0, "count"), json::integer(&ledger["weight_count"]), "{service}: order.weight");
    assert_eq!(Some(weight.double(0, "sum")), ledger["weight_sum"].as_f64(), "{service}: order.weight");
    assert_eq!((weight.double(0, "min"), weight.double(0, "max")), (0.5, 19.5), "{service}: order.weight");
    assert_eq!(weight.text(0, "metric_description"), "weight of an order", "{service}");
}

#[tokio::test]
async fn the_python_sdk() {
    let mut server = Server::start();
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        let Some(ledger) = python(protocol, &server) else { return };
        check(&server, &format!("python-{}", protocol.name()), &ledger).await;
    }
    server.assert_alive();
}

#[tokio::test]
async fn the_node_sdk() {
    let mut server = Server::start();
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf, Protocol::HttpJson] {
        let Some(ledger) = node(protocol, &server) else { return };
        check(&server, &format!("node-{}", protocol.name()), &ledger).await;
    }
    server.assert_alive();
}
