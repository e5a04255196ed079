//! A collector on a real storage in a temporary folder, spoken to without sockets.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::util::display::array_value_to_string;
use axum::body::Body;
use axum::{Extension, Router};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use model::{Identity, TenantId, UnixNanos};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use serde_json::{Value as Json, json};
use storage::table::Table;
use storage::{Batch, Clock, Storage};
use tower::ServiceExt as _;

use crate::otlp::structs;
use crate::receiver::test_status::Status;
use crate::{Collector, Config, Encoding, Outcome, Signal, to_batches};

/// 2026-01-15 12:00 UTC.
pub(super) const NOW: UnixNanos = UnixNanos(1_768_478_400_000_000_000);
/// Retention of the tests.
pub(super) const RETENTION: Duration = Duration::from_secs(30 * 86_400);

/// Always the same moment.
#[derive(Debug)]
struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> UnixNanos {
        NOW
    }
}

/// How a request travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Grpc,
    Protobuf,
    Json,
}

impl Wire {
    pub(super) const ALL: [Self; 3] = [Self::Grpc, Self::Protobuf, Self::Json];
}

/// What came back over any wire, in the same words.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answer {
    /// HTTP status, or the one that belongs to the gRPC status.
    pub(super) http_status: u16,
    /// gRPC status of the call, or the code in the body of a refusal; 0 when all is well.
    pub(super) code: i32,
    /// `rejected_*` of the partial success.
    pub(super) rejected: i64,
    /// Message of the partial success or the refusal.
    pub(super) message: String,
    /// Seconds to wait, from wherever this wire says it.
    pub(super) retry_seconds: Option<i64>,
}

/// A raw answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trailers: HeaderMap,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    pub(super) fn grpc_status(&self) -> i32 {
        let value = self.trailers.get("grpc-status").or_else(|| self.headers.get("grpc-status"));
        value.and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(-1)
    }
}

/// A collector to talk to.
pub(crate) struct World {
    _data: tempfile::TempDir,
    pub(super) storage: Storage,
    pub(super) collector: Collector,
    http: Router,
    grpc: Router,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Config::default()).await
    }

    /// With these settings. Answers come as late as a busy machine makes them, unless a test says when they are due.
    pub(super) async fn with(mut config: Config) -> Self {
        if config.answer_within_ms == Config::default().answer_within_ms {
            config.answer_within_ms = 120_000;
        }
        let data = tempfile::tempdir().expect("a temporary folder");
        // Rows are counted in the buffer: they stay there, however long a test takes.
        let settings =
            storage::Config { data: data.path().to_owned(), buffer_age_max_s: 3600, ..storage::Config::default() };
        let storage = Storage::open(settings, Arc::new(StoppedClock)).await.expect("storage opens");
        let collector =
            Collector::new(config, RETENTION, storage.appender(), Arc::new(StoppedClock)).expect("a collector");
        let identity = Extension(Identity { tenant: TenantId::default_tenant(), is_admin: true });
        let http = collector.http_routes().layer(identity.clone());
        let grpc = collector.grpc_routes().layer(identity);
        Self { _data: data, storage, collector, http, grpc }
    }

    /// Any request to the HTTP routes.
    pub(super) async fn http(&self, request: Request<Body>) -> Reply {
        reply(self.http.clone(), request).await
    }

    /// Any request to the gRPC routes.
    pub(super) async fn grpc(&self, request: Request<Body>) -> Reply {
        reply(self.grpc.clone(), request).await
    }

    /// Posts a body with these headers.
    pub(super) async fn post(&self, signal: Signal, headers: &[(&str, &str)], body: impl Into<Body>) -> Reply {
        self.http(post(&format!("/v1/{}", signal.as_str()), headers, body)).await
    }

    /// Calls an export method with these headers and one frame.
    pub(super) async fn call(&self, signal: Signal, headers: &[(&str, &str)], frame: impl Into<Body>) -> Reply {
        let mut all = vec![("content-type", "application/grpc"), ("te", "trailers")];
        all.extend(headers);
        self.grpc(post(grpc_path(signal), &all, frame)).await
    }

    /// Sends a request, given as OTLP/JSON, over a wire.
    pub(super) async fn send(&self, wire: Wire, signal: Signal, request: &Json) -> Answer {
        let json = request.to_string();
        match wire {
            Wire::Json => {
                let reply = self.post(signal, &[("content-type", "application/json")], json).await;
                http_answer(signal, Encoding::Json, &reply)
            }
            Wire::Protobuf => self.send_protobuf(wire, signal, to_protobuf(signal, json.as_bytes())).await,
            Wire::Grpc => self.send_protobuf(wire, signal, to_protobuf(signal, json.as_bytes())).await,
        }
    }

    /// Sends a protobuf body over a wire that can carry it.
    pub(super) async fn send_protobuf(&self, wire: Wire, signal: Signal, body: Vec<u8>) -> Answer {
        if wire == Wire::Grpc {
            return grpc_answer(signal, &self.call(signal, &[], frame(false, &body)).await);
        }
        let reply = self.post(signal, &[("content-type", "application/x-protobuf")], body).await;
        http_answer(signal, Encoding::Protobuf, &reply)
    }

    /// The gRPC routes with an identity.
    pub(crate) fn grpc_routes(&self) -> Router {
        self.grpc.clone()
    }

    /// Rows of a table, buffered or not yet flushed.
    pub(crate) fn rows(&self, table: &Table) -> usize {
        let snapshot = self.storage.reader().snapshot(&TenantId::default_tenant());
        snapshot.table(table).map_or(0, |table| table.buffer.iter().map(|rows| rows.records.num_rows()).sum())
    }
}

async fn reply(routes: Router, request: Request<Body>) -> Reply {
    let response = routes.oneshot(request).await.expect("routes are infallible");
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("a whole body");
    let trailers = body.trailers().cloned().unwrap_or_default();
    Reply { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes(), trailers }
}

pub(super) fn post(path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).expect("a valid request")
}

pub(super) fn grpc_path(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    }
}

pub(super) fn frame(is_compressed: bool, message: &[u8]) -> Vec<u8> {
    let mut frame = vec![u8::from(is_compressed)];
    frame.extend((message.len() as u32).to_be_bytes());
    frame.extend(message);
    frame
}

/// The same request in protobuf.
pub(super) fn to_protobuf(signal: Signal, json: &[u8]) -> Vec<u8> {
    let mut outcome = Outcome::default();
    match signal {
        Signal::Traces => structs::traces_from_json(json, &mut outcome).expect("valid OTLP/JSON").encode_to_vec(),
        Signal::Metrics => structs::metrics_from_json(json, &mut outcome).expect("valid OTLP/JSON").encode_to_vec(),
        Signal::Logs => structs::logs_from_json(json, &mut outcome).expect("valid OTLP/JSON").encode_to_vec(),
    }
}

pub(super) fn http_answer(signal: Signal, encoding: Encoding, reply: &Reply) -> Answer {
    let retry_seconds = reply.header("retry-after").parse().ok();
    let mut answer = Answer { http_status: reply.status, retry_seconds, ..Answer::default() };
    match encoding {
        Encoding::Json => {
            let body: Json = serde_json::from_slice(&reply.body).expect("JSON in, JSON out");
            if reply.status == 200 {
                let partial = &body["partialSuccess"];
                let rejected = ["rejectedSpans", "rejectedDataPoints", "rejectedLogRecords"];
                answer.rejected =
                    rejected.iter().find_map(|name| partial[name].as_str()?.parse().ok()).unwrap_or_default();
                answer.message = partial["errorMessage"].as_str().unwrap_or_default().to_owned();
            } else {
                answer.code = body["code"].as_i64().expect("a code") as i32;
                answer.message = body["message"].as_str().expect("a message").to_owned();
            }
        }
        Encoding::Protobuf if reply.status == 200 => partial_success(signal, &reply.body, &mut answer),
        Encoding::Protobuf => {
            let status = Status::decode(&reply.body[..]).expect("a Status");
            (answer.code, answer.message) = (status.code, status.message);
        }
    }
    answer
}

pub(super) fn grpc_answer(signal: Signal, reply: &Reply) -> Answer {
    let mut answer = Answer { code: reply.grpc_status(), ..Answer::default() };
    if answer.code == 0 {
        partial_success(signal, &reply.body[5..], &mut answer);
    } else {
        let status = tonic::Status::from_header_map(&reply.headers).expect("a status in the headers");
        answer.message = status.message().to_owned();
        let details = Status::decode(status.details()).expect("a Status in the details");
        assert_eq!((details.code, &details.message), (answer.code, &answer.message), "the details say the same");
        answer.retry_seconds = crate::receiver::test_status::retry_seconds(&details);
    }
    answer.http_status = match answer.code {
        0 => 200,
        3 => 400,
        8 if answer.retry_seconds.is_some() => 429,
        8 => 413,
        12 => 404,
        14 => 503,
        _ => 500,
    };
    answer
}

fn partial_success(signal: Signal, body: &[u8], answer: &mut Answer) {
    let partial = match signal {
        Signal::Traces => ExportTraceServiceResponse::decode(body)
            .expect("a response")
            .partial_success
            .map(|partial| (partial.rejected_spans, partial.error_message)),
        Signal::Metrics => ExportMetricsServiceResponse::decode(body)
            .expect("a response")
            .partial_success
            .map(|partial| (partial.rejected_data_points, partial.error_message)),
        Signal::Logs => ExportLogsServiceResponse::decode(body)
            .expect("a response")
            .partial_success
            .map(|partial| (partial.rejected_log_records, partial.error_message)),
    };
    (answer.rejected, answer.message) = partial.unwrap_or_default();
}

/// The batches of a request given as OTLP/JSON; the same over protobuf, which is checked (J15).
#[track_caller]
pub(super) fn map(signal: Signal, request: &Json) -> (Vec<Batch>, Outcome) {
    let json = request.to_string();
    let oldest = NOW - RETENTION.as_nanos() as i64;
    let from_json = to_batches(signal, Encoding::Json, json.as_bytes(), NOW, oldest).expect("readable");
    let protobuf = to_protobuf(signal, json.as_bytes());
    let from_protobuf = to_batches(signal, Encoding::Protobuf, &protobuf, NOW, oldest).expect("readable");
    let records = |batches: &[Batch]| batches.iter().map(|batch| batch.records().clone()).collect::<Vec<_>>();
    assert_eq!(records(&from_json.0), records(&from_protobuf.0), "JSON and protobuf give the same rows");
    from_json
}

/// A cell as text; nothing for null.
#[track_caller]
pub(super) fn cell(records: &RecordBatch, column: &str, row: usize) -> String {
    let array = records.column_by_name(column).unwrap_or_else(|| panic!("no column {column}"));
    array_value_to_string(array, row).expect("a printable value")
}

/// A span with nothing odd about it; members of `edit` replace its own.
pub(super) fn span(edit: Json) -> Json {
    let mut span = json!({
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": "eee19b7ec3c1b174",
        "name": "GET /orders",
        "kind": 2,
        "startTimeUnixNano": (NOW.0 - 2_000_000_000).to_string(),
        "endTimeUnixNano": (NOW.0 - 1_000_000_000).to_string(),
    });
    merge(&mut span, edit);
    span
}

/// A log record with nothing odd about it.
pub(super) fn log(edit: Json) -> Json {
    let mut log = json!({
        "timeUnixNano": (NOW.0 - 2_000_000_000).to_string(),
        "severityNumber": 9,
        "body": { "stringValue": "hello" },
    });
    merge(&mut log, edit);
    log
}

/// A data point with nothing odd about it.
pub(super) fn point(edit: Json) -> Json {
    let mut point = json!({ "timeUnixNano": (NOW.0 - 2_000_000_000).to_string() });
    merge(&mut point, edit);
    point
}

fn merge(into: &mut Json, edit: Json) {
    let (Json::Object(into), Json::Object(edit)) = (into, edit) else { panic!("objects") };
    into.extend(edit);
}

pub(super) fn traces(spans: &[Json]) -> Json {
    json!({ "resourceSpans": [{ "resource": resource(), "scopeSpans": [{ "scope": { "name": "test" }, "spans": spans }] }] })
}

pub(super) fn logs(records: &[Json]) -> Json {
    json!({ "resourceLogs": [{ "resource": resource(), "scopeLogs": [{ "scope": { "name": "test" }, "logRecords": records }] }] })
}

pub(super) fn metrics(metrics: &[Json]) -> Json {
    json!({ "resourceMetrics": [{ "resource": resource(), "scopeMetrics": [{ "scope": { "name": "test" }, "metrics": metrics }] }] })
}

fn resource() -> Json {
    json!({ "attributes": [attribute("service.name", json!({ "stringValue": "shop" }))] })
}

pub(super) fn attribute(key: &str, value: Json) -> Json {
    json!({ "key": key, "value": value })
}

/// One item of each signal with nothing odd about it.
pub(super) fn good(signal: Signal) -> Json {
    match signal {
        Signal::Traces => traces(&[span(json!({}))]),
        Signal::Metrics => {
            metrics(&[json!({ "name": "m", "gauge": { "dataPoints": [point(json!({ "asInt": "7" }))] } })])
        }
        Signal::Logs => logs(&[log(json!({}))]),
    }
}
