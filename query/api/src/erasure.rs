//! `POST /api/erasures` and `GET /api/erasures`.

use serde::{Deserialize, Serialize};

/// What is to be erased: one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErasureRequest {
    /// Every row of this trace, in every table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Every row with this attribute, on itself, its resource, events or links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<ErasureAttribute>,
}

/// An attribute and its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErasureAttribute {
    /// Its key; older names count as today's.
    pub key: String,
    /// Its value; other types than text as text.
    pub value: String,
}

/// An erasure that is hidden and not rewritten yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureAnswer {
    /// Its name.
    pub id: String,
    /// When it was asked for.
    pub asked_unix_nano: String,
    /// The trace that is erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The attribute whose rows are erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<ErasureAttribute>,
}

/// Erasures of the tenant that are not rewritten yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasuresAnswer {
    /// In the order in which they were asked for.
    pub erasures: Vec<ErasureAnswer>,
}
