//! What is asked about a place, and what people are told; as JSON with the same names.

use std::path::PathBuf;

use model::{TenantId, TimeRange};
use serde::Serialize;

use crate::table::Table;

/// What lies in a place.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Listing {
    /// The place, as given.
    pub data: String,
    /// Name of its writer in the table logs.
    pub writer: String,
    /// WAL files.
    pub wal: Files,
    /// Damaged files, kept for people.
    pub quarantine: Files,
    /// Tables by tenant and name.
    pub tables: Vec<TableListing>,
}

/// How many files, and how large.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Files {
    /// Number of files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One table of one tenant.
#[derive(Clone, Debug, Serialize)]
pub struct TableListing {
    /// Whose it is.
    pub tenant: String,
    /// Its name.
    pub table: String,
    /// Version of its log.
    pub version: i64,
    /// Live segments.
    pub segments: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// By UTC day, oldest first.
    pub days: Vec<DayListing>,
    /// Bytes of the segments by column, largest first; empty when nobody asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnListing>,
    /// Bytes of the indexes beside the segments; 0 when nobody asked for columns.
    pub index_bytes: u64,
}

/// One column of a table over all its live segments.
#[derive(Clone, Debug, Serialize)]
pub struct ColumnListing {
    /// Its name; what belongs to no column (footers, page indexes, bloom filters) comes as `(footers)`.
    pub column: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes after encoding, before compression.
    pub encoded_bytes: u64,
}

/// What merging everything did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Compacted {
    /// Live segments before and after.
    pub segments: [u64; 2],
    /// Their bytes before and after.
    pub bytes: [u64; 2],
    /// Their rows.
    pub rows: u64,
    /// Merges made.
    pub merges: u64,
    /// Rows written by them; a row can be merged more than once.
    pub merged_rows: u64,
    /// Bytes written by them.
    pub written_bytes: u64,
    /// Files that nobody needs any more, removed.
    pub vacuumed_files: u64,
    /// Why not everything was merged; empty when it was.
    pub problems: Vec<Problem>,
}

/// One day of a table.
#[derive(Clone, Debug, Serialize)]
pub struct DayListing {
    /// `YYYY-MM-DD`.
    pub day: String,
    /// Live segments.
    pub segments: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// What reading everything showed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verification {
    /// WAL files read.
    pub wal_files: u64,
    /// Whole appends in them.
    pub wal_records: u64,
    /// Files that end in the middle of a record, as after a crash or while a collector writes: no problem.
    pub torn_tails: u64,
    /// Tables whose logs were read.
    pub tables: u64,
    /// Segments read.
    pub segments: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Indexes that hold exactly what their segments hold.
    pub indexes: u64,
    /// Indexes that are missing or of another release: they are built when they are asked for, no problem.
    pub indexes_to_build: u64,
    /// What is not as it should be; empty when all is well.
    pub problems: Vec<Problem>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file or table.
    pub path: String,
    /// What is wrong and what it costs.
    pub detail: String,
}

/// What to export.
#[derive(Clone, Debug)]
pub struct Export {
    /// Whose rows.
    pub tenant: TenantId,
    /// Which table.
    pub table: &'static Table,
    /// Segments with rows in this range are taken, whole.
    pub range: TimeRange,
    /// Directory for the files; made when missing.
    pub to: PathBuf,
}

/// What was exported.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Exported {
    /// Files written.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// What rebuilding did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Rebuilt {
    /// Indexes that were right.
    pub kept: u64,
    /// Indexes written.
    pub built: u64,
    /// Segments that cannot be read.
    pub problems: Vec<Problem>,
}
