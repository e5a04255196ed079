//! `GET /api/journeys/{trace_id}?span=&cut=`: one business request over all its traces.
//!
//! Every member is always present. Moments are decimal text (nanoseconds since 1970), durations are numbers of
//! nanoseconds, ids are lower-case hex, nodes are written as `service:order`, `queue:kafka/order-created`,
//! `db:postgresql/orders`, `client`, `unknown`.
//!
//! Times of steps, paths, hops and calls are shifted by what [`JourneySpan::shift_nanos`] says about their spans;
//! times in `spans` are the sender's: add `shift_nanos` to draw them.

use std::collections::BTreeMap;

use model::{SpanId, TraceId};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// One business request: its origin trace and every trace it caused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JourneyAnswer {
    /// The journey: id of the trace it starts in.
    pub id: TraceId,
    /// The same trace, as a member.
    pub origin: TraceId,
    /// Operation of the main root.
    pub name: String,
    /// Start of the main root.
    pub start_unix_nano: String,
    /// End of the last span.
    pub end_unix_nano: String,
    /// Origin first, then in the order in which they were found.
    pub members: Vec<JourneyMember>,
    /// Until the caller had its answer: duration of the main root.
    pub response_nanos: i64,
    /// Until the last effect: origin start to the end of the settled path.
    pub settled_nanos: i64,
    /// Part of the settled path spent in queues and before redelivery.
    pub wait_nanos: i64,
    /// Joins that lead into members from traces outside the journey.
    pub other_inputs: u64,
    /// Consumer spans of members that handled other journeys' messages; left out with what they caused.
    pub excluded: Vec<SpanId>,
    /// Batches handled as one span that are only partly ours.
    pub shared: Vec<SharedBatch>,
    /// What a bound left out; `null` when nothing was.
    pub truncated: Option<Truncated>,
    /// `high`, `medium` or `low`: the least of its joins.
    pub confidence: String,
    /// Causes of an ambiguous seed: `?span=` picks the cause of one span. Empty when there is one origin.
    pub candidates: Vec<TraceId>,
    /// Nothing more is expected: 30 s have passed since the last span ended. Later spans still change the answer.
    pub settled: bool,
    /// Spans whose parent was named and never received.
    pub orphans: u64,
    /// Processes whose clock was corrected.
    pub clocks: Vec<ClockShift>,
    /// Nodes in order of first appearance.
    pub lanes: Vec<JourneyLane>,
    /// What happened, cause before effect.
    pub steps: Vec<JourneyStep>,
    /// What held up the answer, and what held up the last effect.
    pub paths: JourneyPaths,
    /// Synchronous steps by start.
    pub calls: Vec<JourneyCall>,
    /// Ways of messages through brokers, by delivery.
    pub hops: Vec<JourneyHop>,
    /// Calls and hops added up.
    pub edges: Vec<JourneyEdge>,
    /// Communication problems, worst first.
    pub findings: Vec<JourneyFinding>,
    /// Its spans by trace in the order of `members`, then by start, then id.
    pub spans: Vec<JourneySpan>,
    /// Oddities, in sentences.
    pub warnings: Vec<String>,
    /// The answer does not hold everything that is stored, or storage does not hold everything.
    pub incomplete: bool,
    /// Why; `null` when complete.
    pub incomplete_reason: Option<String>,
    /// Time spent by the server.
    pub elapsed_ms: f64,
}

/// One trace of a journey.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JourneyMember {
    /// The trace.
    pub trace_id: TraceId,
    /// Joins between it and the origin.
    pub depth: u32,
    /// `link`, `message_id`, `poll`, `key`; `null` for the origin.
    pub joined_by: Option<String>,
    /// `high`, `medium` or `low`: how sure the join is.
    pub confidence: String,
    /// The trace it was joined from; `null` for the origin.
    pub joined_from: Option<TraceId>,
    /// Service of its first root, else of its earliest span.
    pub service: String,
    /// Operation of that span.
    pub name: String,
    /// Spans of it in the journey.
    pub spans: u64,
    /// Shifted start of its earliest span in the journey.
    pub start_unix_nano: String,
    /// Shifted end of its last span in the journey.
    pub end_unix_nano: String,
}

/// What bounds left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Truncated {
    /// Which bounds: `depth`, `members`, `deliveries`, `time`, `spans`, `bytes`; several with commas between.
    pub reason: String,
    /// Traces, deliveries and spans left out, as far as they were counted.
    pub left_out: u64,
    /// Each bound with its share.
    pub cuts: Vec<TruncatedPart>,
}

/// What one bound left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TruncatedPart {
    /// Which bound.
    pub reason: String,
    /// Traces (`depth`, `members`, `time`, `bytes`), deliveries or spans.
    pub left_out: u64,
}

/// A batch handled as one span that is only partly ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SharedBatch {
    /// Trace of the delivery.
    pub trace_id: TraceId,
    /// The delivery.
    pub span_id: SpanId,
    /// Messages of this journey.
    pub ours: u64,
    /// All its messages.
    pub total: u64,
}

/// A process whose clock was corrected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClockShift {
    /// Service and instance.
    pub process: String,
    /// Its service.
    pub service: String,
    /// Added to the process's times.
    pub shift_nanos: i64,
    /// Its spans.
    pub spans: u64,
}

/// One line of the drawing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JourneyLane {
    /// Who, e.g. `queue:kafka/order-created`.
    pub node: String,
    /// The part behind the colon.
    pub label: String,
    /// The part before the colon: `service`, `queue`, `db`, `cache`, `ext`, `store`, `discovery`, `genai`, `dns`,
    /// `client`, `unknown`.
    pub kind: String,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JourneyStep {
    /// Position, from 1.
    pub seq: u64,
    /// Shifted moment.
    pub at: String,
    /// Node it starts at.
    pub from: String,
    /// Node it leads to.
    pub to: String,
    /// `call`, `return`, `send`, `deliver`, `poll` or `internal`.
    pub kind: String,
    /// Family: `http`, `grpc`, `messaging`, ...
    pub protocol: String,
    /// Product: `kafka`, `postgresql`, ...
    pub system: String,
    /// Operation, or name of the span.
    pub label: String,
    /// Spans that show it.
    pub spans: Vec<SpanId>,
    /// It failed.
    pub error: bool,
    /// Nanoseconds in the broker, for deliveries.
    pub lag: Option<i64>,
    /// Attempt, for deliveries.
    pub attempt: Option<u64>,
    /// One of its spans is on the settled path.
    pub critical: bool,
    /// One of its spans has corrected times.
    pub shifted: bool,
}

/// Both critical paths. Segments touch, never overlap and add up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JourneyPaths {
    /// What held up the answer.
    pub response: Vec<PathSegment>,
    /// What held up the last effect.
    pub settled: Vec<PathSegment>,
}

/// A piece of a path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathSegment {
    /// Trace of the span.
    pub trace_id: TraceId,
    /// The span it is attributed to; for waits the one that waited to begin.
    pub span_id: SpanId,
    /// Where the time went: a service, the queue of a wait, the peer of a call that sends no spans.
    pub node: String,
    /// `self`, `network`, `remote`, `queue`, `backoff` or `gap`.
    pub kind: String,
    /// Shifted start.
    pub start_unix_nano: String,
    /// Shifted end.
    pub end_unix_nano: String,
}

/// One synchronous step: a row of the relation `calls`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JourneyCall {
    /// Trace it belongs to.
    pub trace: TraceId,
    /// Caller's span; `null` when it was never received.
    pub client_span: Option<SpanId>,
    /// Callee's span; `null` when it sends none.
    pub server_span: Option<SpanId>,
    /// Nearest server, consumer or first span of the caller's service.
    pub entry_span: Option<SpanId>,
    /// What the call was made in.
    pub parent_span: Option<SpanId>,
    /// Caller.
    pub src: String,
    /// Callee.
    pub dst: String,
    /// `sync` or `async`.
    pub style: String,
    /// Family.
    pub protocol: String,
    /// Product.
    pub system: String,
    /// What was asked for.
    pub op: String,
    /// Shifted start as the caller saw it.
    pub start: String,
    /// Shifted end as the caller saw it.
    pub end: String,
    /// Nanoseconds between.
    pub dur: i64,
    /// Shifted end at the server; `null` without one.
    pub srv_end: Option<String>,
    /// Nanoseconds at the server.
    pub srv_dur: Option<i64>,
    /// Nanoseconds outside the server: client minus server.
    pub network: Option<i64>,
    /// Either side failed.
    pub error: bool,
    /// Either side failed and was not merely refused.
    pub fault: bool,
    /// The caller ran out of time.
    pub timeout: bool,
    /// RPC status or HTTP status.
    pub status: Option<String>,
    /// How often the request was sent before.
    pub resend: i64,
    /// Times it went over the wire.
    pub attempts: u64,
    /// Scheme of the request, lower case.
    pub scheme: Option<String>,
    /// Protected on the way; `null` when nothing tells.
    pub secure: Option<bool>,
    /// Version of the caller.
    pub client_ver: Option<String>,
    /// Version of the callee.
    pub server_ver: Option<String>,
    /// The two sides do not agree about the format.
    pub contract_fail: bool,
    /// What proxies say about the end.
    pub flags: Option<String>,
    /// Bytes of the request.
    pub request_bytes: Option<i64>,
    /// Bytes of the answer.
    pub response_bytes: Option<i64>,
    /// Which half was not received: `server`, `client`, `caller`, `entry` (from outside); `null` when both were.
    pub missing: Option<String>,
    /// The callee was found by its address, not by a span.
    pub inferred: bool,
}

/// One message's way to one delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JourneyHop {
    /// Trace of the producer, also when its span was not received.
    pub send_trace_id: TraceId,
    /// The producer; `null` when it was not received or is not in the journey.
    pub send_span_id: Option<SpanId>,
    /// Trace of the delivery.
    pub consumer_trace_id: TraceId,
    /// The delivery.
    pub consumer_span_id: SpanId,
    /// Node that sent it; `null` without producer.
    pub source: Option<String>,
    /// Node that handled it.
    pub target: String,
    /// Queue it was read from, as a node.
    pub queue: String,
    /// Queue it was sent to, when that is another one (a topic, an exchange).
    pub sent_to: Option<String>,
    /// Product.
    pub system: String,
    /// Consumer group.
    pub group: Option<String>,
    /// Names the message among those of one batch; empty when the producer sent one.
    pub message: String,
    /// `parent`, `link`, `both` or `message_id`.
    pub joined_by: String,
    /// Shifted end of the producer; `null` without one.
    pub sent_unix_nano: Option<String>,
    /// Shifted moment the consumer had it.
    pub received_unix_nano: String,
    /// Shifted end of the delivery.
    pub finished_unix_nano: String,
    /// From the end of the producer, or of the failed delivery before, until received; at least 0.
    pub lag_nanos: i64,
    /// Received before the producer ended: the broker acknowledged later.
    pub overlap: bool,
    /// Wait by the broker's own clock.
    pub broker_wait_nanos: Option<i64>,
    /// Which delivery to this service, group and queue this is, from 1.
    pub attempt: u64,
    /// How many there are.
    pub attempts: u64,
    /// The delivery that failed before and made the broker deliver again.
    pub prev_span_id: Option<SpanId>,
    /// Handling it failed.
    pub error: bool,
    /// Version of the producer.
    pub producer_ver: Option<String>,
}

/// Calls and hops added up by who talks to whom over what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JourneyEdge {
    /// Where it starts.
    pub source: String,
    /// Where it ends.
    pub target: String,
    /// `sync` or `async`.
    pub style: String,
    /// Family; `route` between two queues.
    pub protocol: String,
    /// Product.
    pub system: String,
    /// Calls, messages sent, or deliveries.
    pub calls: u64,
    /// Those that failed.
    pub errors: u64,
}

/// A communication problem with its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JourneyFinding {
    /// Its name, such as `chatty_calls`.
    pub id: String,
    /// `error`, `warning` or `information`.
    pub severity: String,
    /// `journey`, or `window` when only many journeys together show it.
    pub scope: String,
    /// What happened here, in a sentence.
    pub summary: String,
    /// What the name means, in a sentence.
    pub help: String,
    /// The spans it rests on.
    pub spans: Vec<SpanId>,
    /// The same spans with their traces.
    pub evidence: Vec<SpanRef>,
    /// What it was computed from; keys of durations end in `_nanos` or are `nanos`.
    pub numbers: BTreeMap<String, Json>,
    /// SQL that finds its like.
    pub sql: String,
}

/// A span with its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanRef {
    /// The trace.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
}

/// A span of a journey: what a drawing needs. `GET /api/traces/{trace}/spans/{span}` has the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JourneySpan {
    /// Its trace.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
    /// The parent it names; `null` for a root.
    pub parent_span_id: Option<SpanId>,
    /// Where it hangs in the journey: its parent, or for an orphan the span of its process that encloses it.
    pub shown_under: Option<SpanId>,
    /// The named parent was never received.
    pub orphan: bool,
    /// Name as sent.
    pub name: String,
    /// Kind in words.
    pub kind: String,
    /// Service.
    pub service: String,
    /// Lane it stands in.
    pub node: String,
    /// Start by the sender's clock.
    pub start_unix_nano: String,
    /// Duration.
    pub duration_nanos: i64,
    /// Time in which none of its children ran.
    pub self_nanos: i64,
    /// Add this to the sender's times.
    pub shift_nanos: i64,
    /// `unset`, `ok` or `error`, as sent.
    pub status: String,
    /// It failed, by status or by the rules of its protocol.
    pub error: bool,
    /// It failed and was not merely refused.
    pub fault: bool,
    /// `error.type`, or the type of the last exception.
    pub error_type: Option<String>,
    /// `sync`, `async` or `internal`.
    pub style: String,
    /// Family.
    pub protocol: String,
    /// Product.
    pub system: String,
    /// `server`, `client`, `producer`, `consumer`, `gateway`, `proxy` or `internal`.
    pub role: String,
    /// Operation.
    pub op: String,
    /// Queue or topic, for messaging.
    pub destination: Option<String>,
    /// Version of the service.
    pub version: Option<String>,
    /// On the response path.
    pub on_response_path: bool,
    /// On the settled path.
    pub on_settled_path: bool,
    /// Moments inside it; at most 32.
    pub events: Vec<JourneyEvent>,
    /// Spans it points to; at most 32.
    pub links: Vec<SpanRef>,
    /// Events and links beyond these.
    pub more: u64,
}

/// A moment inside a span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JourneyEvent {
    /// When, by the sender's clock.
    pub time_unix_nano: String,
    /// What.
    pub name: String,
}
