//! `GET /api/findings?from=&to=`: what only many journeys together show.

use serde::{Deserialize, Serialize};

use crate::JourneyFinding;

/// Findings over a time range: contract drift, circles of services, caches that do not help, spikes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FindingsAnswer {
    /// Start of what was looked at.
    pub from_unix_nano: String,
    /// End of what was looked at.
    pub to_unix_nano: String,
    /// Spans that were looked at.
    pub spans: u64,
    /// Worst first; `scope` is `window`. At most 100 spans of the evidence each; `numbers.evidence` says how many there
    /// are.
    pub findings: Vec<JourneyFinding>,
    /// The answer does not hold everything.
    pub incomplete: bool,
    /// Why.
    pub incomplete_reason: Option<String>,
    /// Time spent by the server.
    pub elapsed_ms: f64,
}
