//! `GET /api/status`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// State of the collector.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatusAnswer {
    /// Version of the program.
    pub version: String,
    /// Since when it runs.
    pub started_unix_nano: String,
    /// Address telemetry is sent to over gRPC.
    pub otlp_grpc: String,
    /// Address telemetry is sent to over HTTP.
    pub otlp_http: String,
    /// `sync`: an acknowledgement means the data is on disk.
    pub durability: String,
    /// What came in since the start.
    pub ingest: IngestStatus,
    /// What is kept.
    pub storage: StorageStatus,
    /// Limits in force.
    pub limits: Limits,
}

/// What came in since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IngestStatus {
    /// Items taken, by signal (`traces`, `metrics`, `logs`).
    pub accepted: BTreeMap<String, u64>,
    /// Items refused, by `signal/reason`.
    pub rejected: BTreeMap<String, u64>,
    /// Items mended, by `signal/repair`.
    pub repaired: BTreeMap<String, u64>,
    /// Requests answered, by `transport/status`.
    pub requests: BTreeMap<String, u64>,
}

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StorageStatus {
    /// Where.
    pub data: String,
    /// Bytes waiting to be written to the WAL.
    pub append_queue_bytes: u64,
    /// Bytes in the write buffer.
    pub buffer_bytes: u64,
    /// Rows in the write buffer.
    pub buffer_rows: u64,
    /// Bytes in WAL files.
    pub wal_bytes: u64,
    /// Live segments.
    pub segments: u64,
    /// Bytes of live segments.
    pub segment_bytes: u64,
    /// Rows of live segments.
    pub segment_rows: u64,
    /// Free bytes on the disk; `None` when unknown.
    pub disk_free_bytes: Option<u64>,
    /// Why writes are refused at the moment.
    pub refusing: Option<String>,
    /// Old WAL files are still being replayed.
    pub replaying: bool,
    /// Days until data is removed.
    pub retention_days: u32,
}

/// Limits in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Largest OTLP request on the wire and decoded, in bytes.
    pub otlp_request_bytes: u64,
    /// Longest SQL query, in seconds.
    pub query_seconds: u64,
    /// Memory of all queries, in bytes.
    pub query_memory_bytes: u64,
    /// Rows of an answer.
    pub query_rows: u64,
}
