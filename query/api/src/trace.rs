//! A trace for the page: structure first and in columns, details of one span on demand.
//!
//! `GET /api/traces/{trace_id}` itself answers OTLP and needs no types of ours.

use model::{SpanId, TraceId};
use serde::{Deserialize, Serialize};

/// Bits of [`TimelineSpans::flags`].
pub mod span_flag {
    /// Status is error.
    pub const ERROR: u8 = 1;
    /// Has events.
    pub const EVENTS: u8 = 1 << 1;
    /// Has links to other spans.
    pub const LINKS: u8 = 1 << 2;
    /// Names a parent that is not stored.
    pub const ORPHAN: u8 = 1 << 3;
    /// Another span has the same id and different content.
    pub const ID_TWICE: u8 = 1 << 4;
    /// Was mended on entry; the detail says how.
    pub const REPAIRED: u8 = 1 << 5;
}

/// `GET /api/traces/{trace_id}/timeline`: what the waterfall needs to draw its rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// The trace.
    pub trace_id: TraceId,
    /// Earliest start.
    pub start_unix_nano: String,
    /// From the earliest start to the latest end.
    pub duration_nanos: u64,
    /// Services by first appearance; columns name them by index.
    pub services: Vec<String>,
    /// Distinct texts (span names, badges, details); columns name them by index. Index 0 is empty text.
    pub texts: Vec<String>,
    /// Spans in tree order: depth first, siblings by start, then span id.
    pub spans: TimelineSpans,
    /// Spans stored; more than `spans` holds when the answer was cut.
    pub spans_total: u64,
    /// What to know about this trace: missing parents, clocks that disagree, repairs.
    pub warnings: Vec<String>,
    /// The answer does not hold everything.
    pub incomplete: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete_reason: Option<String>,
}

/// One entry per span in each column.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TimelineSpans {
    /// Span ids.
    pub span_id: Vec<SpanId>,
    /// Index of the parent in these columns; -1 for roots and orphans. Always smaller than the own index.
    pub parent: Vec<i32>,
    /// Levels below the root.
    pub depth: Vec<u32>,
    /// Start after the trace's start.
    pub start_nanos: Vec<u64>,
    /// Duration.
    pub duration_nanos: Vec<u64>,
    /// Index into `services`.
    pub service: Vec<u32>,
    /// Name: index into `texts`.
    pub name: Vec<u32>,
    /// Protocol badge (`HTTP`, `gRPC`, `Kafka`, `PostgreSQL` ...): index into `texts`.
    pub badge: Vec<u32>,
    /// Short addition to the name (peer, status, destination): index into `texts`.
    pub detail: Vec<u32>,
    /// OTLP kind.
    pub kind: Vec<u8>,
    /// Bits of [`span_flag`].
    pub flags: Vec<u8>,
}

/// `GET /api/traces/{trace_id}/spans/{span_id}`: everything about one span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpanDetail {
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
    /// Why it failed, as sent.
    pub status_message: String,
    /// Start.
    pub start_unix_nano: String,
    /// Duration.
    pub duration_nanos: u64,
    /// Time not covered by children.
    pub self_nanos: u64,
    /// Instrumentation library, name and version.
    pub scope: String,
    /// W3C trace state, as sent.
    pub trace_state: String,
    /// OTLP span flags.
    pub flags: u32,
    /// Attributes in sent order.
    pub attributes: Vec<AttributeText>,
    /// Attributes of its resource in sent order.
    pub resource: Vec<AttributeText>,
    /// Events by time.
    pub events: Vec<EventText>,
    /// Spans this one points to.
    pub links: Vec<LinkText>,
    /// Spans that point to this one (for a producer: who picked the message up).
    pub linked_from: Vec<LinkText>,
    /// Log records of this span by time; at most 200.
    pub logs: Vec<LogText>,
    /// Attributes, events and links left out by the sender or a limit.
    pub dropped: u64,
    /// Names of repairs made on entry.
    pub repairs: Vec<String>,
    /// Further spans with the same id and different content.
    pub same_id: u32,
}

/// An attribute to be read by people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttributeText {
    /// Key as sent.
    pub key: String,
    /// `string`, `bool`, `int`, `double`, `bytes`, `array`, `map` or `empty`.
    #[serde(rename = "type")]
    pub value_type: String,
    /// Value as text; lists and maps as plain JSON.
    pub value: String,
}

/// An event of a span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventText {
    /// Moment.
    pub time_unix_nano: String,
    /// Name.
    pub name: String,
    /// Attributes in sent order.
    pub attributes: Vec<AttributeText>,
}

/// The other end of a link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkText {
    /// Trace at the other end.
    pub trace_id: TraceId,
    /// Span at the other end.
    pub span_id: SpanId,
    /// The span is stored; the fields below are empty otherwise.
    pub is_stored: bool,
    /// Its service.
    pub service: String,
    /// Its name.
    pub name: String,
    /// Its start; empty when not stored.
    pub start_unix_nano: String,
    /// From the end of the earlier span to the start of the later one: the wait in between. Negative when
    /// they overlap; `None` when not stored.
    pub wait_nanos: Option<i64>,
    /// Attributes of the link in sent order.
    pub attributes: Vec<AttributeText>,
}

/// A log record of a span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogText {
    /// Moment.
    pub time_unix_nano: String,
    /// `trace`, `debug`, `info`, `warn`, `error`, `fatal`, or empty.
    pub level: String,
    /// The message.
    pub body: String,
    /// Attributes in sent order.
    pub attributes: Vec<AttributeText>,
}

/// `GET /api/traces/{trace_id}/find?q=`: spans of a trace that hold a text in name, service, id,
/// attributes, events or status message, any case.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FindAnswer {
    /// Ids of the spans that match, in tree order; at most 10,000.
    pub span_ids: Vec<SpanId>,
    /// There are more.
    pub incomplete: bool,
}
