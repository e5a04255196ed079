//! Errors as RFC 9457 problem documents.

use serde::{Deserialize, Serialize};

/// What went wrong and what to do about it; media type `application/problem+json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// Stable name of the kind of problem, such as `invalid-query`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// This occurrence: what was wrong and what would be right.
    pub detail: String,
    /// For query texts: byte offset of the first wrong token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<usize>,
}
