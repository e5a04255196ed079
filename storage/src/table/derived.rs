//! What is known about settled journeys: communications, paths, findings and sums per minute at rest.
//!
//! Rows come from the digest only ([`crate::DerivedWriter`]), all tables of one batch in one WAL record. A row
//! belongs to one trace (`trace`, or the journey's origin trace `journey`); when late spans change a trace, its
//! rows are written again with a higher `revision`, and readers see the newest revision only. Sums per minute
//! have no revision: a correction is a row that takes away and one that adds.
//!
//! The columns are those of docs/spec/JOURNEYS.md, section 6: `time` is the moment by which rows are pruned, the
//! other moments are plain nanoseconds, so that they can be subtracted and compared with numbers.

use super::Table;
use super::column::{Column, Kind};

/// One row per synchronous step between two nodes.
pub static CALLS: Table = Table::derived(
    "calls",
    "one row per synchronous call: who asked whom, and how it ended",
    &["src", "dst", "time"],
    &[
        Column::always("time", Kind::UnixNanos, "when it began; filter by it to read fewer segments"),
        Column::always("journey", Kind::Id16, "origin trace of its journey"),
        Column::always("trace", Kind::Id16, "trace it belongs to"),
        Column::always("revision", Kind::Int32, "how often its trace was looked at; late spans make it larger"),
        Column::optional("client_span", Kind::Id8, "caller's span; null when it was never received"),
        Column::optional("server_span", Kind::Id8, "callee's span; null when it sends no spans"),
        Column::optional("entry_span", Kind::Id8, "nearest server, consumer or first span of the caller's service"),
        Column::optional("parent_span", Kind::Id8, "parent of the first of the two spans, sidecars passed over"),
        Column::always("src", Kind::Label, "caller, as a node of the service map: service:order, client, unknown"),
        Column::always("dst", Kind::Label, "callee: service:payment, db:postgresql/orders, ext:api.bank.example"),
        Column::always("style", Kind::Label, "sync, async or internal"),
        Column::always("protocol", Kind::Label, "http, grpc, graphql, db, cache, dns, discovery, ..."),
        Column::always("system", Kind::Label, "product: grpc, postgresql, redis, ..."),
        Column::always("op", Kind::Label, "what was asked for: route, method, query summary"),
        Column::always("start", Kind::Int64, "nanoseconds since 1970, by the caller's clock"),
        Column::always("end", Kind::Int64, "nanoseconds since 1970, by the caller's clock"),
        Column::always("dur", Kind::Int64, "nanoseconds the caller perceived"),
        Column::optional("srv_end", Kind::Int64, "end of the server span, nanoseconds since 1970"),
        Column::optional("srv_dur", Kind::Int64, "nanoseconds of the server span"),
        Column::optional("network", Kind::Int64, "dur minus srv_dur, when both spans are there"),
        Column::always("error", Kind::Bool, "it failed for the caller or the callee"),
        Column::always("fault", Kind::Bool, "it failed and was not merely refused"),
        Column::always("timeout", Kind::Bool, "it ended because time ran out"),
        Column::always("contract_fail", Kind::Bool, "the two sides do not agree about the format"),
        Column::optional("status", Kind::Label, "HTTP status or RPC status name"),
        Column::always("resend", Kind::Int64, "how often the request was sent before"),
        Column::always(
            "attempts",
            Kind::Int64,
            "times it reached a server: 1, or more when the client span covers retries",
        ),
        Column::optional("scheme", Kind::Label, "http, https, ws, wss"),
        Column::optional("secure", Kind::Bool, "protected on the way; null when nothing tells"),
        Column::always("mesh", Kind::Bool, "a sidecar stands between"),
        Column::always("loopback", Kind::Bool, "the callee's address is this machine"),
        Column::optional("client_ver", Kind::Label, "service.version of the caller"),
        Column::optional("server_ver", Kind::Label, "service.version of the callee"),
        Column::optional("request_bytes", Kind::Int64, "bytes of the request"),
        Column::optional("response_bytes", Kind::Int64, "bytes of the answer"),
        Column::optional("flags", Kind::Label, "what proxies say about the end: UO, UT, URX"),
        Column::always("missing", Kind::Label, "which half is missing: nothing, server, client, caller, entry"),
        Column::always("inferred", Kind::Bool, "the callee was found by its address, not by a span"),
        Column::always("weight", Kind::Float64, "calls of the source it stands for, by the sampling threshold"),
        Column::optional("environment", Kind::Label, "deployment environment of the callee, else of the caller"),
    ],
);

/// One row per message and delivery.
pub static HOPS: Table = Table::derived(
    "hops",
    "one row per message's way from the span that sent it to one delivery",
    &["queue", "dst", "time"],
    &[
        Column::always("time", Kind::UnixNanos, "when the consumer had it; filter by it to read fewer segments"),
        Column::always("journey", Kind::Id16, "origin trace of the consumer's journey"),
        Column::always("trace", Kind::Id16, "trace of the consumer"),
        Column::always("revision", Kind::Int32, "how often its trace was looked at; late spans make it larger"),
        Column::always("send_trace", Kind::Id16, "trace that sent it"),
        Column::optional("send_span", Kind::Id8, "span that sent it; null when it was never received"),
        Column::always("consumer_span", Kind::Id8, "process or receive span"),
        Column::optional("prev_span", Kind::Id8, "delivery that failed before and made the broker deliver again"),
        Column::always("src", Kind::Label, "sending service as a node; unknown when its span was never received"),
        Column::always("dst", Kind::Label, "consuming service as a node"),
        Column::always("queue", Kind::Label, "queue or topic it was read from: queue:kafka/order-created"),
        Column::optional("sent_queue", Kind::Label, "queue it was sent to, when that is another one"),
        Column::always("system", Kind::Label, "broker: kafka, rabbitmq, sqs, ..."),
        Column::always("op", Kind::Label, "what the consumer did"),
        Column::optional("grp", Kind::Label, "consumer group or subscription"),
        Column::always("message", Kind::Text, "names the message: equal for all deliveries of one message"),
        Column::optional("sent", Kind::Int64, "end of the sending span, nanoseconds since 1970"),
        Column::always("received", Kind::Int64, "when the consumer had it, nanoseconds since 1970"),
        Column::always("finished", Kind::Int64, "end of the consumer span, nanoseconds since 1970"),
        Column::always("lag", Kind::Int64, "nanoseconds from sent, or from the failed delivery before, until received"),
        Column::always("overlap", Kind::Bool, "received before the sending span ended"),
        Column::optional("broker_wait", Kind::Int64, "wait by the broker's own clock, nanoseconds"),
        Column::always("attempt", Kind::Int64, "which delivery to this service, group and queue, from 1"),
        Column::always("attempts", Kind::Int64, "how many there are"),
        Column::always("error", Kind::Bool, "the delivery failed"),
        Column::always("fault", Kind::Bool, "it failed and was not merely refused"),
        Column::always("joined_by", Kind::Label, "parent, link, both or message_id"),
        Column::optional("producer_ver", Kind::Label, "service.version of the sender"),
        Column::optional("consumer_ver", Kind::Label, "service.version of the consumer"),
        Column::optional("body_bytes", Kind::Int64, "bytes of the message"),
        Column::always("contract_fail", Kind::Bool, "the consumer could not read it"),
        Column::optional("environment", Kind::Label, "deployment environment of the consumer"),
    ],
);

/// One row per piece of a critical path.
///
/// Sorted by time alone, so that the pieces of one journey stand together and its id once in the dictionary of a row group: sorted by
/// node a row took 37 bytes, 21 of them for the two ids.
pub static SEGMENTS: Table = Table::derived(
    "segments",
    "one row per piece of a critical path: where the time to the answer and to the last effect went",
    &["time"],
    &[
        Column::always("time", Kind::UnixNanos, "when it began, clocks corrected; filter by it to read fewer segments"),
        Column::always("journey", Kind::Id16, "origin trace of the journey"),
        Column::always("trace", Kind::Id16, "trace of the span"),
        Column::always("revision", Kind::Int32, "how often the journey was looked at; late spans make it larger"),
        Column::always("path", Kind::Label, "response: until the answer; settled: until the last effect"),
        Column::always("span", Kind::Id8, "span it is attributed to; for waits the one that waited to begin"),
        Column::always("node", Kind::Label, "where the time went, as a node of the service map"),
        Column::always("kind", Kind::Label, "self, network, remote, queue, backoff or gap"),
        Column::always("protocol", Kind::Label, "protocol of the span"),
        Column::always("op", Kind::Label, "operation of the span"),
        Column::always("start", Kind::Int64, "nanoseconds since 1970, clocks corrected"),
        Column::always("end", Kind::Int64, "nanoseconds since 1970, clocks corrected"),
    ],
);

/// One row per journey.
pub static JOURNEYS: Table = Table::derived(
    "journeys",
    "one row per journey: one business request over all its traces",
    &["service", "name", "time"],
    &[
        Column::always("time", Kind::UnixNanos, "start of its main root; filter by it to read fewer segments"),
        Column::always("journey", Kind::Id16, "origin trace; also the journey's id"),
        Column::always("revision", Kind::Int32, "how often it was looked at; late spans make it larger"),
        Column::always("name", Kind::Label, "operation of the main root"),
        Column::always("service", Kind::Label, "service of the main root"),
        Column::always("root_span", Kind::Id8, "the main root"),
        Column::always(
            "kind",
            Kind::Int32,
            "span kind of the main root: 1 internal, 2 server, 3 client, 4 producer, 5 consumer",
        ),
        Column::always("protocol", Kind::Label, "protocol of the main root"),
        Column::optional("status", Kind::Label, "HTTP status or RPC status name of the main root"),
        Column::always("start", Kind::Int64, "start of the main root, nanoseconds since 1970"),
        Column::always("end", Kind::Int64, "last effect: start plus settled, nanoseconds since 1970"),
        Column::always("response", Kind::Int64, "nanoseconds to the answer: duration of the main root"),
        Column::always("settled", Kind::Int64, "nanoseconds to the last effect"),
        Column::always(
            "wait",
            Kind::Int64,
            "nanoseconds of the way to the last effect spent in queues and before redelivery",
        ),
        Column::always("error", Kind::Bool, "the main root failed"),
        Column::always("fault", Kind::Bool, "the main root failed and was not merely refused"),
        Column::always("spans", Kind::Int64, "spans in all its traces"),
        Column::always("errors", Kind::Int64, "spans that failed"),
        Column::always("traces", Kind::Int64, "traces"),
        Column::always("calls", Kind::Int64, "synchronous calls"),
        Column::always("hops", Kind::Int64, "messages delivered"),
        Column::always("n_services", Kind::Int64, "services touched"),
        Column::always("services", Kind::Label, "services touched as a JSON list, by name"),
        Column::always("queues", Kind::Label, "queues touched as a JSON list of nodes, by name"),
        Column::always("findings", Kind::Int64, "findings of any severity"),
        Column::optional("worst_finding", Kind::Label, "name of the worst finding"),
        Column::optional("worst_severity", Kind::Label, "error, warning or information"),
        Column::always(
            "confidence",
            Kind::Label,
            "lowest confidence of the joins between its traces: high, medium, low",
        ),
        Column::always("other_inputs", Kind::Int64, "joins that lead into it from other journeys"),
        Column::optional("truncated", Kind::Label, "bound that cut it: depth, members, deliveries, time, spans"),
        Column::always(
            "early",
            Kind::Bool,
            "looked at before it had settled, because memory was short or it went on for long",
        ),
        Column::always("members", Kind::JsonText, "ids of its traces as a JSON list, origin first"),
        Column::optional("environment", Kind::Label, "deployment environment of the main root"),
    ],
);

/// One row per finding.
pub static FINDINGS: Table = Table::derived(
    "findings",
    "one row per communication problem found in a journey, with its evidence",
    &["id", "time"],
    &[
        Column::always("time", Kind::UnixNanos, "start of its first span; filter by it to read fewer segments"),
        Column::always("journey", Kind::Id16, "origin trace of the journey"),
        Column::always("revision", Kind::Int32, "how often the journey was looked at; late spans make it larger"),
        Column::always("id", Kind::Label, "name: chatty_calls, queue_wait, ..."),
        Column::always("severity", Kind::Label, "error, warning or information"),
        Column::always("scope", Kind::Label, "journey, or window for what only many journeys together show"),
        Column::optional("service", Kind::Label, "service of its first span"),
        Column::optional("op", Kind::Label, "operation of its first span"),
        Column::always("summary", Kind::Text, "one sentence"),
        Column::always("spans", Kind::JsonText, "ids of the spans it rests on as a JSON list"),
        Column::always(
            "numbers",
            Kind::JsonText,
            "numbers it was computed from as a JSON object; durations in nanoseconds",
        ),
    ],
);

/// Sums of edges per minute, in parts that add up.
pub static EDGE_MINUTE_PARTS: Table = Table::derived(
    "edge_minute_parts",
    "sums per edge, operation, environment and minute in parts that add up; ask edge_minutes for the sums",
    &["src", "dst", "op", "time"],
    &[
        Column::always("time", Kind::UnixNanos, "begin of the minute in which the calls began"),
        Column::always("batch", Kind::Int64, "batch of the digest that wrote it"),
        Column::always("src", Kind::Label, "where the edge starts, as a node of the service map"),
        Column::always("dst", Kind::Label, "where the edge ends"),
        Column::always("protocol", Kind::Label, "http, grpc, db, messaging, route, ..."),
        Column::always("system", Kind::Label, "product"),
        Column::always("op", Kind::Label, "what was asked for"),
        Column::always("count", Kind::Int64, "calls, messages or deliveries; negative in a correction"),
        Column::always("errors", Kind::Int64, "those that failed"),
        Column::always("faults", Kind::Int64, "those that failed and were not merely refused"),
        Column::always("request_bytes", Kind::Int64, "bytes of requests and messages"),
        Column::always("response_bytes", Kind::Int64, "bytes of answers"),
        Column::always(
            "durations",
            Kind::Ints,
            "histogram of nanoseconds perceived: bucket, count, bucket, count, ...",
        ),
        Column::always("networks", Kind::Ints, "histogram of nanoseconds outside the server"),
        Column::always("lags", Kind::Ints, "histogram of nanoseconds in the broker"),
        Column::always("first_seen", Kind::Int64, "earliest start, nanoseconds since 1970; 0 in a correction"),
        Column::always("last_seen", Kind::Int64, "latest start, nanoseconds since 1970; 0 in a correction"),
        Column::always("slowest", Kind::Int64, "nanoseconds of the slowest"),
        Column::optional("slowest_journey", Kind::Id16, "journey of the slowest"),
        Column::optional("failed", Kind::Int64, "start of the first that failed, nanoseconds since 1970"),
        Column::optional("failed_journey", Kind::Id16, "journey of the first that failed"),
        Column::optional("environment", Kind::Label, "deployment environment, such as production"),
    ],
);

/// One row per trace and revision that is at rest.
pub static DIGEST_TRACES: Table = Table::derived(
    "digest_traces",
    "one row per look at a trace: until when its spans were counted, and what it added to the sums per minute",
    &["time"],
    &[
        Column::always("time", Kind::UnixNanos, "when it was looked at, by the collector's clock"),
        Column::always("trace_id", Kind::Id16, "the trace"),
        Column::always("journey", Kind::Id16, "origin trace of its journey"),
        Column::always("revision", Kind::Int32, "how often it was looked at; the largest one counts"),
        Column::always("batch", Kind::Int64, "batch of the digest that wrote it"),
        Column::always("spans", Kind::Int64, "distinct spans counted"),
        Column::always("arrival_max", Kind::Int64, "arrival of the newest span counted, nanoseconds since 1970"),
        Column::always("start", Kind::Int64, "earliest start, nanoseconds since 1970"),
        Column::always("end", Kind::Int64, "latest end, nanoseconds since 1970"),
        Column::always("early", Kind::Bool, "looked at before it had settled"),
        Column::always(
            "sums",
            Kind::JsonText,
            "what it added to edge_minute_parts, as JSON: a correction takes it away",
        ),
        Column::optional(
            "awaits",
            Kind::JsonText,
            "what may join it to traces that come later, as a JSON list: names of messages of which the other end was not known, status addresses it was given",
        ),
    ],
);

/// One row per batch of the digest.
pub static DIGEST_PROGRESS: Table = Table::derived(
    "digest_progress",
    "one row per batch of the digest: how far spans are at rest",
    &["time"],
    &[
        Column::always(
            "time",
            Kind::UnixNanos,
            "until when what had become visible was taken, by the collector's clock",
        ),
        Column::always("batch", Kind::Int64, "number of the batch, from 1"),
        Column::always("arrival_low", Kind::Int64, "spans that arrived earlier are at rest; nanoseconds since 1970"),
        Column::always("traces", Kind::Int64, "traces looked at"),
        Column::always("spans", Kind::Int64, "spans looked at"),
        Column::always("late", Kind::Int64, "traces that were at rest before"),
        Column::always("early", Kind::Int64, "traces looked at before they had settled"),
    ],
);
