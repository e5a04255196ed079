//! Figures about storage.

use model::UnixNanos;

use crate::metrics::Counts;

/// Figures about storage for `/api/status` and `/metrics`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Bytes waiting to be written to the WAL.
    pub append_queue_bytes: u64,
    /// Bytes and rows in the write buffer.
    pub buffer_bytes: u64,
    /// Rows in the write buffer.
    pub buffer_rows: u64,
    /// Bytes in WAL files.
    pub wal_bytes: u64,
    /// Live segments over all tables and tenants.
    pub segments: u64,
    /// Bytes of live segments.
    pub segment_bytes: u64,
    /// Rows of live segments.
    pub segment_rows: u64,
    /// Free bytes on the disk of the data directory; `None` when unknown.
    pub disk_free_bytes: Option<u64>,
    /// Why writes are refused at the moment; `None` when they are taken.
    pub refusing: Option<String>,
    /// Old WAL files still being replayed.
    pub replaying: bool,
    /// Live segments by level: as flushed, merged once, merged twice or more.
    pub segments_by_level: [u64; 3],
    /// What maintenance does.
    pub maintenance: MaintenanceStatus,
    /// Counters since the process started.
    pub counts: Counts,
}

/// Figures about compaction, retention, erasure and vacuum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaintenanceStatus {
    /// Segments that wait for merges that are due now.
    pub merge_backlog_segments: u64,
    /// Why nothing is merged although it is due; `None` when merges go on.
    pub merges_waiting: Option<String>,
    /// When the last merge was committed.
    pub last_merge: Option<UnixNanos>,
    /// When retention last looked.
    pub last_retention: Option<UnixNanos>,
    /// When vacuum last looked.
    pub last_vacuum: Option<UnixNanos>,
    /// Erasures that are hidden and not rewritten yet.
    pub erasures: u64,
}
