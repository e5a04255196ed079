//! `GET /api/services?from=&to=` and `GET /api/services/{name}?from=&to=`.

use serde::{Deserialize, Serialize};

/// Services seen in the range, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServicesAnswer {
    /// One entry per service.
    pub services: Vec<ServiceItem>,
    /// The answer does not hold everything.
    pub incomplete: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete_reason: Option<String>,
}

/// One service in the range.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceItem {
    /// The service.
    pub name: String,
    /// Its spans.
    pub spans: u64,
    /// Requests it took: server and consumer spans.
    pub requests: u64,
    /// Those that failed, as the column `error` of `spans` says.
    pub errors: u64,
    /// Median duration of the requests; `None` without requests.
    pub p50_nanos: Option<u64>,
    /// 95th percentile of the requests; `None` without requests.
    pub p95_nanos: Option<u64>,
}

/// `GET /api/services/{name}?from=&to=`: one service in a time range.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceAnswer {
    /// The service.
    pub name: String,
    /// Start of the range.
    pub from_unix_nano: String,
    /// End of the range.
    pub to_unix_nano: String,
    /// The whole range.
    pub total: ServiceItem,
    /// Length of one point in `points`.
    pub step_nanos: i64,
    /// Rate, errors and durations over time, by start; steps without requests are left out.
    pub points: Vec<ServicePoint>,
    /// What it was asked to do, most frequent first.
    pub operations: Vec<ServiceOperation>,
    /// Who calls it or sends it messages, most frequent first.
    pub upstream: Vec<ServiceDependency>,
    /// What it calls or sends to, most frequent first.
    pub downstream: Vec<ServiceDependency>,
    /// Versions by first appearance.
    pub versions: Vec<ServiceVersion>,
    /// The answer does not hold everything.
    pub incomplete: bool,
    /// Why.
    pub incomplete_reason: Option<String>,
    /// Time spent by the server.
    pub elapsed_ms: f64,
}

/// A service in one step of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServicePoint {
    /// Start of the step.
    pub start_unix_nano: String,
    /// Requests it took.
    pub requests: u64,
    /// Those that failed, as the column `error` of `spans` says.
    pub errors: u64,
    /// Median duration.
    pub p50_nanos: Option<u64>,
    /// 95th percentile.
    pub p95_nanos: Option<u64>,
    /// 99th percentile.
    pub p99_nanos: Option<u64>,
}

/// Something a service is asked to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceOperation {
    /// Name of the server or consumer span.
    pub name: String,
    /// `server` or `consumer`.
    pub kind: String,
    /// How often.
    pub requests: u64,
    /// Those that failed, as the column `error` of `spans` says.
    pub errors: u64,
    /// Median duration.
    pub p50_nanos: Option<u64>,
    /// 95th percentile.
    pub p95_nanos: Option<u64>,
    /// 99th percentile.
    pub p99_nanos: Option<u64>,
}

/// A neighbour of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceDependency {
    /// Who, e.g. `db:postgresql/orders`.
    pub node: String,
    /// `sync` or `async`.
    pub style: String,
    /// Family.
    pub protocol: String,
    /// Product.
    pub system: String,
    /// Figures of the edge.
    pub figures: crate::MapFigures,
}

/// A version of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceVersion {
    /// `service.version`; empty when not sent.
    pub version: String,
    /// First span in the range.
    pub first_seen_unix_nano: String,
    /// Last span in the range.
    pub last_seen_unix_nano: String,
    /// Its spans.
    pub spans: u64,
    /// Requests it took.
    pub requests: u64,
    /// Those that failed, as the column `error` of `spans` says.
    pub errors: u64,
    /// 95th percentile of the requests.
    pub p95_nanos: Option<u64>,
}
