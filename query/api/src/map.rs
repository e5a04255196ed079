//! `GET /api/map?from=&to=&vs=`: who talks to whom in a time range, and what changed against an earlier one.

use model::TraceId;
use serde::{Deserialize, Serialize};

/// The service map of a time range.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MapAnswer {
    /// Start of the range, rounded down to a minute.
    pub from_unix_nano: String,
    /// End of the range, rounded up to a minute.
    pub to_unix_nano: String,
    /// Start of the range compared with; `null` without `vs`.
    pub vs_from_unix_nano: Option<String>,
    /// End of the range compared with.
    pub vs_to_unix_nano: Option<String>,
    /// Every end of an edge, by name.
    pub nodes: Vec<MapNode>,
    /// By source, target, protocol, system. Edges that vanished since the earlier range stand here too, with no
    /// calls and `changes` holding `vanished`.
    pub edges: Vec<MapEdge>,
    /// The answer does not hold everything.
    pub incomplete: bool,
    /// Why.
    pub incomplete_reason: Option<String>,
    /// Time spent by the server.
    pub elapsed_ms: f64,
}

/// Sums over a range. Percentiles are within 1 % and `null` when nothing was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MapFigures {
    /// Calls, messages sent or deliveries.
    pub calls: u64,
    /// Those that failed.
    pub errors: u64,
    /// Those that failed and were not merely refused.
    pub faults: u64,
    /// Calls per minute of the range.
    pub per_minute: f64,
    /// Median of what the caller perceived; of handling, for deliveries.
    pub p50_nanos: Option<i64>,
    /// 95th percentile.
    pub p95_nanos: Option<i64>,
    /// 99th percentile.
    pub p99_nanos: Option<i64>,
    /// Median wait in the broker, for deliveries.
    pub lag_p50_nanos: Option<i64>,
    /// 95th percentile of the wait in the broker.
    pub lag_p95_nanos: Option<i64>,
    /// Median time outside the server, for paired calls.
    pub network_p50_nanos: Option<i64>,
    /// Bytes of requests and messages.
    pub request_bytes: u64,
    /// Bytes of answers.
    pub response_bytes: u64,
}

/// An end of edges. Its figures are the sum of its incoming edges, entries included.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MapNode {
    /// Who, e.g. `service:order`.
    pub node: String,
    /// The part behind the colon.
    pub label: String,
    /// The part before the colon.
    pub kind: String,
    /// In the range.
    pub now: MapFigures,
    /// In the range compared with; `null` without `vs` or when it was not there.
    pub before: Option<MapFigures>,
}

/// Everything that went from one node to another over one protocol.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MapEdge {
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
    /// How it is drawn: `solid`, `dashed`, `dotted` or `thin`.
    pub line: String,
    /// In the range.
    pub now: MapFigures,
    /// In the range compared with; `null` without `vs` or when it was not there.
    pub before: Option<MapFigures>,
    /// `appeared`, `vanished`, `errors` or `p95` (changed at least twofold); empty without `vs`.
    pub changes: Vec<String>,
    /// First seen in the range.
    pub first_seen_unix_nano: Option<String>,
    /// Last seen in the range.
    pub last_seen_unix_nano: Option<String>,
    /// Journey of the slowest.
    pub slowest_journey: Option<TraceId>,
    /// Journey of one that failed.
    pub failed_journey: Option<TraceId>,
}
