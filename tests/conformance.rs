//! Rules of docs/spec/CONFORMANCE.md, section 1, held against the real executable; each test is named by its rule.
//!
//! | file           | rules                                                                          |
//! |----------------|--------------------------------------------------------------------------------|
//! | `transport.rs` | T2, T3, T5 to T9, A1, A11, A13: sockets, encodings, compression, answers         |
//! | `decoding.rs`  | J1 to J12: what OTLP/JSON and protobuf may look like                           |
//! | `values.rs`    | V1 to V23: what odd values become                                              |
//! | `published.rs` | the cases of `runner/`, which can be run against any collector                 |
//!
//! The other rules are told elsewhere: T4, T10 to T12, A3, A5, A6 in `bad_input.rs`, A8 and A12 in `bad_start.rs`,
//! A14 in `crash.rs` and `visible.rs`, J15 and J16 in `in_out.rs`.

mod decoding;
mod published;
mod runner;
mod transport;
mod values;

use serde_json::{Value as Json, json};

use crate::harness::fixtures::now_nanos;
use crate::harness::{Server, sql};

/// A span as OTLP/JSON with its own ids, that ended just now; `more` adds or replaces members.
fn span_json(number: u64, more: Json) -> Json {
    let now = now_nanos();
    let mut span = json!({
        "traceId": format!("{number:032x}"),
        "spanId": format!("{number:016x}"),
        "name": format!("span {number}"),
        "startTimeUnixNano": (now - 5_000_000).to_string(),
        "endTimeUnixNano": now.to_string(),
    });
    if let Json::Object(members) = more {
        members.into_iter().for_each(|(key, value)| span[key] = value);
    }
    span
}

/// A request with one resource, one scope and these spans.
fn request_json(spans: &[Json]) -> Json {
    json!({ "resourceSpans": [{
        "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": "rules" } }] },
        "scopeSpans": [{ "scope": { "name": "rules" }, "spans": spans }],
    }] })
}

/// Posts a text as OTLP/JSON; answers status and body.
async fn post_text(server: &Server, signal: &str, text: impl Into<String>) -> (u16, Json) {
    let url = format!("http://{}/v1/{signal}", server.otlp_http);
    let request = reqwest::Client::new().post(url).header("content-type", "application/json").body(text.into());
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&response.bytes().await.expect("a body")).expect("an answer in JSON"))
}

/// Posts spans and expects that all are taken without a word.
async fn post_spans(server: &Server, spans: &[Json]) {
    let (status, answer) = post_text(server, "traces", request_json(spans).to_string()).await;
    assert_eq!((status, &answer), (200, &json!({})), "{spans:?}");
}

/// One value of the stored span with this number.
async fn stored(server: &Server, number: u64, expression: &str) -> Json {
    let text = format!("SELECT {expression} AS value FROM spans WHERE span_id = X'{number:016x}'");
    let rows = sql::query(server, &text).await;
    assert_eq!(rows.len(), 1, "span {number} is stored once");
    rows.get(0, "value").clone()
}

/// The span with this number as the trace API gives it.
async fn given_back(server: &Server, number: u64) -> Json {
    let answer = reqwest::get(server.api(&format!("/api/traces/{number:032x}"))).await.expect("an answer");
    assert_eq!(answer.status(), 200, "trace {number}");
    let trace: Json = serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON");
    trace["resourceSpans"][0]["scopeSpans"][0]["spans"][0].clone()
}
