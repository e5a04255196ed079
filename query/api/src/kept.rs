//! What readers keep on the server beside telemetry: which colour a service has, and statements worth asking again.
//! `GET`, `POST`, `PUT /api/colors`; `GET /api/queries`, `PUT` and `DELETE /api/queries/{name}`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Colours of services: slots 1 to 8 in the order in which services were first seen by a reader.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColorsAnswer {
    /// First seen first: the place of a service, counted in eights, is its slot.
    pub services: Vec<String>,
    /// Services whose slot somebody chose, 1 to 8.
    #[serde(default)]
    pub pinned: BTreeMap<String, u8>,
}

/// Services that a reader sees; those that are unknown get their slots in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColorsRequest {
    /// In the order in which they were seen.
    #[serde(default)]
    pub services: Vec<String>,
    /// Slots chosen by hand, 1 to 8; 0 gives a service its own slot back. Only `PUT` takes them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pinned: BTreeMap<String, u8>,
}

/// `GET /api/queries`: statements that were kept, by title.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueriesAnswer {
    /// At most 1,000.
    pub queries: Vec<SavedQuery>,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedQuery {
    /// Its name in addresses: `/sql/{id}`.
    pub id: String,
    /// What people call it.
    pub title: String,
    /// The statement.
    pub sql: String,
}

/// `PUT /api/queries/{name}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryRequest {
    /// What people call it; the name when empty.
    #[serde(default)]
    pub title: String,
    /// The statement; it is kept as it is, also when it cannot be run yet.
    pub sql: String,
}
