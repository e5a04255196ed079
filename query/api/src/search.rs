//! `GET /api/search?unit=journeys|traces|spans&q=&from=&to=&sort=newest|slowest|errors&limit=&cursor=`.

use model::{SpanId, TraceId};
use serde::{Deserialize, Serialize};

/// One page of hits. The same query on unchanged data gives the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SearchAnswer {
    /// Hits in the asked order.
    pub items: Vec<SearchItem>,
    /// Pass as `cursor` for the next page; `None` on the last one.
    pub next_cursor: Option<String>,
    /// The answer does not hold everything.
    pub incomplete: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete_reason: Option<String>,
    /// Time spent by the server.
    pub elapsed_ms: f64,
    /// Rows read from segments and buffer.
    pub rows_read: u64,
    /// Segments opened, of how many there are.
    pub segments_read: u64,
    /// Segments there are.
    pub segments_total: u64,
}

/// A hit: a journey, a whole trace or one span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "unit", rename_all = "lowercase")]
pub enum SearchItem {
    /// With `unit=traces`: a trace of which at least one span matches.
    Trace(TraceItem),
    /// With `unit=spans`: a span that matches.
    Span(SpanItem),
    /// With `unit=journeys`: a journey of which at least one span matches.
    Journey(JourneyItem),
}

/// A journey in a list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JourneyItem {
    /// Its id: the origin trace, lower-case hex.
    pub id: String,
    /// Service of the main root.
    pub service: String,
    /// Operation of the main root.
    pub name: String,
    /// Protocol of the main root.
    pub protocol: String,
    /// HTTP status or RPC status name of the main root; empty when unknown.
    pub result: String,
    /// Start of the main root.
    pub start_unix_nano: String,
    /// To the answer: duration of the main root.
    pub response_nanos: u64,
    /// To the last effect.
    pub settled_nanos: u64,
    /// On the way to the last effect spent in queues and before redelivery.
    pub wait_nanos: u64,
    /// The main root failed.
    pub error: bool,
    /// Spans in all its traces.
    pub spans: u64,
    /// Spans that failed.
    pub errors: u64,
    /// Traces.
    pub traces: u64,
    /// Messages delivered.
    pub hops: u64,
    /// Services touched, by name.
    pub services: Vec<String>,
    /// Queues and topics touched, as nodes of the service map, by name.
    pub queues: Vec<String>,
    /// Name of the worst finding; empty without findings.
    pub worst_finding: String,
    /// Its severity: error, warning or information; empty without findings.
    pub worst_severity: String,
}

/// A trace in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceItem {
    /// The trace.
    pub trace_id: TraceId,
    /// Service of the root span, or of the earliest span when the root never arrived.
    pub service: String,
    /// Name of that span.
    pub name: String,
    /// Protocol badge of that span, such as `HTTP`, `gRPC`, `Kafka`; empty when unknown.
    pub badge: String,
    /// The root span arrived.
    pub has_root: bool,
    /// Earliest start.
    pub start_unix_nano: String,
    /// From the earliest start to the latest end.
    pub duration_nanos: u64,
    /// Duration of the root span; `None` without root.
    pub root_duration_nanos: Option<u64>,
    /// Spans stored.
    pub spans: u64,
    /// Spans that failed, as the column `error` of `spans` says.
    pub errors: u64,
    /// HTTP status or error type of the root, or empty; what the Result column says.
    pub result: String,
    /// Services by first appearance.
    pub services: Vec<ServiceShare>,
    /// A true-scale picture of the trace: at most 32 bars, by start.
    pub shape: Vec<ShapeBar>,
}

/// A service's part in a trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceShare {
    /// The service.
    pub name: String,
    /// Its spans.
    pub spans: u64,
    /// Those that failed.
    pub errors: u64,
}

/// One bar of a trace's picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShapeBar {
    /// Index into `services`.
    pub service: u32,
    /// From the trace's start.
    pub offset_nanos: u64,
    /// Length.
    pub duration_nanos: u64,
    /// Row of the picture, 0 at the top.
    pub row: u8,
    /// A span in it failed.
    pub error: bool,
}

/// A span in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpanItem {
    /// Its trace.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
    /// Its parent.
    pub parent_span_id: Option<SpanId>,
    /// Service.
    pub service: String,
    /// Name.
    pub name: String,
    /// Protocol badge; empty when unknown.
    pub badge: String,
    /// Kind in words.
    pub kind: String,
    /// Status in words.
    pub status: String,
    /// Start.
    pub start_unix_nano: String,
    /// Duration.
    pub duration_nanos: u64,
}
