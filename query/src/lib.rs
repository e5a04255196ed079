//! Snapshot in, answer out: SQL, traces, search, journeys, the HTTP API.

pub mod analysis;
