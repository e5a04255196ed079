//! `GET /api/compare?a=&b=` (journey ids, or `b=usual`) and `GET /api/compare/styles?from=&to=&by=family|edge`.

use model::{SpanId, TraceId};
use serde::{Deserialize, Serialize};

/// Two journeys side by side, or one against the usual.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompareAnswer {
    /// The journey asked about.
    pub a: CompareSide,
    /// The other one, or the usual.
    pub b: CompareSide,
    /// What each looked at, matched by from, to, operation and order; in the order of `a`, then what only `b` has.
    pub steps: Vec<CompareStep>,
    /// Settled-path time by kind of segment, both sides.
    pub path: Vec<ComparePart>,
    /// Resource and root attributes that differ.
    pub attributes: Vec<CompareAttribute>,
    /// Names of findings only `a` has.
    pub findings_only_a: Vec<String>,
    /// Names of findings only `b` has; empty against the usual.
    pub findings_only_b: Vec<String>,
    /// The answer does not hold everything.
    pub incomplete: bool,
    /// Why.
    pub incomplete_reason: Option<String>,
    /// Time spent by the server.
    pub elapsed_ms: f64,
}

/// One side of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompareSide {
    /// `journey` or `usual`.
    pub kind: String,
    /// The journey; `null` for the usual.
    pub id: Option<TraceId>,
    /// Operation of its root.
    pub name: String,
    /// Node that took the request.
    pub entry: String,
    /// Start; empty for the usual.
    pub start_unix_nano: String,
    /// Until the answer; `null` when the usual does not know.
    pub response_nanos: Option<i64>,
    /// Until the last effect; `null` when the usual does not know.
    pub settled_nanos: Option<i64>,
    /// In queues; `null` when the usual does not know.
    pub wait_nanos: Option<i64>,
    /// Spans of the journey; journeys the usual was computed from.
    pub n: u64,
    /// Failed spans.
    pub errors: u64,
    /// For the usual: over which range and from what it was computed, in a sentence.
    pub basis: Option<String>,
}

/// One step of both sides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CompareStep {
    /// `call` or `message`.
    pub kind: String,
    /// Node it starts at.
    pub from: String,
    /// Node it leads to.
    pub to: String,
    /// Family.
    pub protocol: String,
    /// Product.
    pub system: String,
    /// Operation, or queue.
    pub op: String,
    /// Which one of its like, from 1.
    pub order: u64,
    /// On side `a`; `null` when only `b` has it.
    pub a: Option<CompareTimes>,
    /// On side `b`; `null` when only `a` has it.
    pub b: Option<CompareTimes>,
    /// `a` minus `b`, for calls their duration, for messages lag plus handling; `null` when one side lacks it.
    pub difference_nanos: Option<i64>,
}

/// Times of a step on one side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CompareTimes {
    /// The span that shows it; `null` for the usual.
    pub span_id: Option<SpanId>,
    /// From the journey's start; `null` for the usual.
    pub offset_nanos: Option<i64>,
    /// Call as the caller saw it; handling of a message.
    pub duration_nanos: i64,
    /// Wait in the broker, for messages.
    pub lag_nanos: Option<i64>,
    /// It failed; for the usual: more than half do.
    pub error: bool,
    /// For the usual: how many were seen.
    pub n: Option<u64>,
}

/// Time of one kind on the settled path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparePart {
    /// Node the time was spent at.
    pub node: String,
    /// `self`, `network`, `remote`, `queue`, `backoff` or `gap`.
    pub kind: String,
    /// On side `a`.
    pub a_nanos: Option<i64>,
    /// On side `b`; `null` for the usual.
    pub b_nanos: Option<i64>,
}

/// An attribute that differs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompareAttribute {
    /// Node it was read at.
    pub node: String,
    /// Key.
    pub key: String,
    /// On side `a`; `null` when absent.
    pub a: Option<String>,
    /// On side `b`; `null` when absent.
    pub b: Option<String>,
}

/// REST, gRPC and messaging put side by side from what was seen in a time range.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StylesAnswer {
    /// Start of the range.
    pub from_unix_nano: String,
    /// End of the range.
    pub to_unix_nano: String,
    /// By family or by edge, most used first.
    pub rows: Vec<StyleRow>,
    /// The answer does not hold everything.
    pub incomplete: bool,
    /// Why.
    pub incomplete_reason: Option<String>,
    /// Time spent by the server.
    pub elapsed_ms: f64,
}

/// One way of communicating. Percentiles are `null` below 30 calls: too few say nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StyleRow {
    /// `http`, `graphql`, `grpc`, `rpc`, `websocket`, `messaging`, ...
    pub protocol: String,
    /// Product, for messaging and web sockets.
    pub system: String,
    /// Where the edge starts; empty for families.
    pub source: String,
    /// Where the edge ends; empty for families.
    pub target: String,
    /// Communication type: `sync` or `async`.
    pub style: String,
    /// Calls, or the larger of sends and deliveries.
    pub count: u64,
    /// The same per minute.
    pub per_minute: f64,
    /// Calls with a client span.
    pub calls: u64,
    /// Messages handed to a broker.
    pub sends: u64,
    /// Messages that reached a consumer.
    pub deliveries: u64,
    /// Share that failed.
    pub error_share: f64,
    /// Perceived by the caller: of calls, else of sends.
    pub p50_nanos: Option<i64>,
    /// 95th percentile of the same.
    pub p95_nanos: Option<i64>,
    /// 99th percentile of the same.
    pub p99_nanos: Option<i64>,
    /// Median wait in the broker.
    pub lag_p50_nanos: Option<i64>,
    /// 95th percentile of the wait in the broker.
    pub lag_p95_nanos: Option<i64>,
    /// Median from the producer's end to the consumer's end.
    pub end_to_end_p50_nanos: Option<i64>,
    /// 95th percentile of the same.
    pub end_to_end_p95_nanos: Option<i64>,
    /// Share of the perceived time spent outside the server.
    pub network_share: Option<f64>,
    /// Median size of requests or messages.
    pub request_bytes_p50: Option<i64>,
    /// Median size of answers.
    pub response_bytes_p50: Option<i64>,
    /// Most frequent captured format.
    pub content_type: Option<String>,
    /// Can a person read it? `null` when nothing tells.
    pub human_readable: Option<bool>,
    /// Share of the callee's faults that became the caller's.
    pub failure_coupling: f64,
    /// Consumers per destination.
    pub fan_out: Option<f64>,
    /// Nodes on the way, brokers and proxies counted: complexity.
    pub moving_parts: u64,
    /// Fewer than 30: shown without percentiles.
    pub too_few: bool,
    /// What it suits, in a sentence: advice, not measured.
    pub best_for: String,
}
