//! `GET /api/red?from=&to=&step=&by=service|operation|edge&node=&limit=`: rate, errors and durations over time, from the
//! sums per minute of settled journeys.

use serde::{Deserialize, Serialize};

/// Rate, errors and durations of services, operations or edges, step by step.
///
/// Value `i` of a series belongs to the step that begins `i * step_nanos` after `from_unix_nano`. Percentiles are within
/// 1 %, whatever was put together, and `null` in steps without calls.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RedAnswer {
    /// Begin of the first step.
    pub from_unix_nano: String,
    /// End of the last step.
    pub to_unix_nano: String,
    /// Length of a step: whole minutes.
    pub step_nanos: i64,
    /// Values of each series.
    pub steps: u64,
    /// `service`, `operation` or `edge`.
    pub by: String,
    /// Those with the most calls first.
    pub series: Vec<RedSeries>,
    /// Series found; more than `series` when the answer was cut.
    pub n_series: u64,
    /// The answer does not hold everything.
    pub incomplete: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete_reason: Option<String>,
    /// Time spent by the server.
    pub elapsed_ms: f64,
}

/// A service, an operation or an edge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RedSeries {
    /// Where an edge starts; empty for services and operations, which are called from anywhere.
    pub source: String,
    /// The service (or other node of the map) that was called.
    pub target: String,
    /// Family, of edges and operations.
    pub protocol: String,
    /// Product, of edges.
    pub system: String,
    /// What was asked for, of operations.
    pub operation: String,
    /// The whole range.
    pub total: crate::MapFigures,
    /// Calls, messages or deliveries per step.
    pub calls: Vec<u64>,
    /// Those that failed.
    pub errors: Vec<u64>,
    /// Median of what the caller perceived.
    pub p50_nanos: Vec<Option<i64>>,
    /// 95th percentile.
    pub p95_nanos: Vec<Option<i64>>,
    /// 99th percentile.
    pub p99_nanos: Vec<Option<i64>>,
}
