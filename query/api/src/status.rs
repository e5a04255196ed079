//! `GET /api/status`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// State of the collector.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatusAnswer {
    /// The key that asks may read and no more: figures of the whole collector (`ingest`, `storage` but for the days it keeps,
    /// `queries`, `limits`) are left at 0 and empty; `admin` sees them.
    #[serde(default)]
    pub is_reduced: bool,
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
    /// What is at rest of it.
    #[serde(default)]
    pub digest: DigestStatus,
    /// What is being asked at the moment.
    #[serde(default)]
    pub queries: QueryStatus,
    /// Limits in force.
    pub limits: Limits,
}

impl StatusAnswer {
    /// What a key that may only read is told: versions, addresses, how fresh and how long data is, whether it is refused.
    #[must_use]
    pub fn reduced(self) -> Self {
        Self {
            is_reduced: true,
            ingest: IngestStatus::default(),
            storage: StorageStatus {
                retention_days: self.storage.retention_days,
                replaying: self.storage.replaying,
                refusing: self.storage.refusing,
                ..StorageStatus::default()
            },
            digest: DigestStatus {
                is_on: self.digest.is_on,
                catching_up: self.digest.catching_up,
                behind_seconds: self.digest.behind_seconds,
                at_rest_until_unix_nano: self.digest.at_rest_until_unix_nano,
                ..DigestStatus::default()
            },
            queries: QueryStatus::default(),
            limits: Limits::default(),
            ..self
        }
    }
}

/// Questions at the moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct QueryStatus {
    /// Being answered, or kept by a reader who has not read all of the answer.
    pub running: u64,
    /// Waiting for a place.
    pub waiting: u64,
    /// Memory that they hold in sorts, joins and groups.
    pub memory_bytes: u64,
    /// The newest of the caller's tenant that took more than a second until their answer began, the newest first.
    pub slow: Vec<SlowQuestion>,
}

/// A question that took long.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SlowQuestion {
    /// When it was asked.
    pub asked_unix_nano: String,
    /// Statement, or address with its parameters; cut after 2,000 letters.
    pub question: String,
    /// Until its answer began.
    pub elapsed_ms: f64,
    /// HTTP status of the answer: 200, or what ended it.
    pub status: u16,
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
    /// Rules of redaction in force, such as `mask key *password*`; how often they did something is `repaired` by `signal/redacted`.
    #[serde(default)]
    pub redaction: Vec<String>,
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
    /// Whole days until the disk is full at the pace of the busiest of the last seven days; as many as data is kept when then as much goes as
    /// comes. `null` before there is a pace.
    pub disk_days_left: Option<u32>,
    /// Why writes are refused at the moment.
    pub refusing: Option<String>,
    /// Old WAL files are still being replayed.
    pub replaying: bool,
    /// Days until data is removed.
    pub retention_days: u32,
    /// Live segments by level: as flushed, merged once, merged twice or more.
    #[serde(default)]
    pub segments_by_level: [u64; 3],
    /// What merges, retention and erasure do.
    #[serde(default)]
    pub maintenance: MaintenanceStatus,
}

/// What merges, retention and erasure do. Counts are since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceStatus {
    /// Segments that wait for merges that are due now.
    pub merge_backlog_segments: u64,
    /// Why nothing is merged although it is due.
    pub merges_waiting: Option<String>,
    /// Merges committed.
    pub merges: u64,
    /// Merges not begun or given up because the disk is nearly full.
    pub merges_refused: u64,
    /// When the last merge was committed.
    pub last_merge_unix_nano: Option<String>,
    /// When retention last looked.
    pub last_retention_unix_nano: Option<String>,
    /// Segments dropped by retention.
    pub expired_segments: u64,
    /// When files that are not needed any more were last looked for.
    pub last_vacuum_unix_nano: Option<String>,
    /// Such files removed.
    pub vacuumed_files: u64,
    /// Erasures that are hidden and not rewritten yet.
    pub erasures: u64,
    /// Rows erased on request.
    pub erased_rows: u64,
}

/// How far settled journeys are at rest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DigestStatus {
    /// The settings ask for it.
    pub is_on: bool,
    /// It reads spans that arrived before it started, or faster than it took them.
    pub catching_up: bool,
    /// Seconds that the earliest span that is not at rest has waited longer than a trace takes to settle (30 s); 0 when
    /// it is in time. Traces that wait for others they are joined to make it up to a minute.
    pub behind_seconds: f64,
    /// Traces that have not settled.
    pub open_traces: u64,
    /// Their spans.
    pub open_spans: u64,
    /// Memory these take.
    pub memory_bytes: u64,
    /// Spans that arrived earlier are at rest; 0 before the first batch.
    pub at_rest_until_unix_nano: String,
    /// Batches written since the start.
    pub batches: u64,
    /// Traces looked at.
    pub traces: u64,
    /// Spans looked at.
    pub spans: u64,
    /// Traces looked at again because more of their spans came.
    pub late_traces: u64,
    /// Traces looked at before they had settled.
    pub early_traces: u64,
    /// Traces that were taken for new ones without a look at what is at rest: too many at once looked as if they were not.
    pub unchecked_traces: u64,
    /// Spans that were not looked at because their trace is too large: it has more than 100,000, or they take more than 8 MiB
    /// when packed, or 20,000 are at rest already. They are in the trace, but not in sums per minute.
    #[serde(default)]
    pub left_out_spans: u64,
    /// Times that spans came faster than they were taken and were read again from storage.
    pub gaps: u64,
    /// Attempts that failed; they are repeated.
    pub failures: u64,
}

/// Limits in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Largest OTLP request on the wire and decoded, in bytes.
    pub otlp_request_bytes: u64,
    /// Bytes of all OTLP requests that are being taken.
    #[serde(default)]
    pub otlp_in_flight_bytes: u64,
    /// Bytes a tenant may send per second; 0 for any number.
    #[serde(default)]
    pub tenant_bytes_per_second: u64,
    /// Items a tenant may send per second; 0 for any number.
    #[serde(default)]
    pub tenant_items_per_second: u64,
    /// Series a tenant may have active; 0 for any number.
    #[serde(default)]
    pub tenant_series: u64,
    /// Longest SQL query, in seconds.
    pub query_seconds: u64,
    /// Memory of all queries, in bytes.
    pub query_memory_bytes: u64,
    /// Rows of an answer.
    pub query_rows: u64,
}
