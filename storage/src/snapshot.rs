//! Table version and buffer pinned together for one reader.

use std::sync::Arc;

use arrow::array::RecordBatch;
use model::TimeRange;
use object_store::ObjectStore;
use object_store::path::Path;

use crate::table::Table;

/// What one reader sees: each acknowledged row exactly once, whatever the writer does meanwhile.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// One entry per table of [`crate::TABLES`] that holds rows, in no particular order.
    pub tables: Vec<TableSnapshot>,
    /// Where the segments' paths lead.
    pub store: Arc<dyn ObjectStore>,
    /// Why answers from this snapshot may miss rows (replay still running, damaged files); `None` when whole.
    pub incomplete: Option<String>,
}

/// One table as one reader sees it.
#[derive(Clone, Debug)]
pub struct TableSnapshot {
    /// The table.
    pub table: &'static Table,
    /// Version of the table log; -1 before the first commit.
    pub version: i64,
    /// Segments that are alive in that version.
    pub segments: Arc<[Arc<SegmentMeta>]>,
    /// Accepted rows that are in no segment of that version.
    pub buffer: Arc<[Arc<BufferedRows>]>,
}

/// Rows in the write buffer.
#[derive(Clone, Debug)]
pub struct BufferedRows {
    /// The rows, with the table's schema.
    pub records: RecordBatch,
    /// From the earliest to just after the latest row.
    pub time_range: TimeRange,
    /// Memory they take, in bytes.
    pub bytes: u64,
}

/// A segment and what can be known without opening it.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentMeta {
    /// Object path of the Parquet file.
    pub path: Path,
    /// Size of the file.
    pub size_bytes: u64,
    /// Rows in it.
    pub n_rows: u64,
    /// UTC day of its rows, in days since 1970.
    pub day: i32,
    /// From the earliest to just after the latest row.
    pub time_range: TimeRange,
    /// Smallest and largest service name (text may be cut, then the largest is rounded up); `None` when unknown.
    pub service_range: Option<(String, String)>,
}

impl Snapshot {
    /// The table's entry; `None` while it has no rows.
    pub fn table(&self, table: &Table) -> Option<&TableSnapshot> {
        self.tables.iter().find(|entry| entry.table == table)
    }
}
