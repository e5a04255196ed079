//! `GET /api/services?from=&to=`.

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
    /// Those with status error.
    pub errors: u64,
    /// Median duration of the requests; `None` without requests.
    pub p50_nanos: Option<u64>,
    /// 95th percentile of the requests; `None` without requests.
    pub p95_nanos: Option<u64>,
}
