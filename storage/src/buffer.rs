//! Write buffer: accepted rows that are in no segment yet, queryable at once.
//!
//! Only the writer changes it, by publishing a new [`TenantView`]; readers hold what they loaded. A view
//! shares nearly everything with the one before: an append copies at most [`CHUNK_BATCHES`] pointers, never rows.
//!
//! ```text
//! TenantView ── TableView ──┬─ segments, version        what the table log says
//!                           ├─ sealed                   being written to a segment
//!                           ├─ replayed                 from old WAL files, while replay runs
//!                           └─ fresh                    everything since
//! ```
//!
//! Many small batches become few: 16 batches of the same order of size are merged by the writer, so a row
//! is copied at most three times and one-row requests do not cost a reader one batch each.

use std::sync::{Arc, OnceLock};

use arrow::array::{Array, RecordBatch};
use arrow::compute::concat;
use model::TimeRange;

use crate::batch::{held_bytes, nulls};
use crate::erasure::Erasures;
use crate::index::Indexes;
use crate::snapshot::{BufferedRows, SegmentMeta, TableSnapshot};
use crate::table::{TABLES, Table};

/// Batches per shared chunk of a list.
const CHUNK_BATCHES: usize = 64;
/// So many small neighbours are merged into one.
const MERGE_BATCHES: usize = 16;
/// Batches of at least so many rows are left as they are.
const MERGE_ROWS_MAX: usize = 512;

/// Batches in order of arrival. Cheap to clone: the batches are shared, in chunks.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowList {
    chunks: Vec<Arc<[Arc<BufferedRows>]>>,
    tail: Vec<Arc<BufferedRows>>,
    n_rows: u64,
    bytes: u64,
}

impl RowList {
    pub(crate) fn n_rows(&self) -> u64 {
        self.n_rows
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.n_rows == 0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<BufferedRows>> {
        self.chunks.iter().flat_map(|chunk| chunk.iter()).chain(&self.tail)
    }

    /// Adds rows; merges small neighbours now and then (at most 16 x 512 rows at once).
    pub(crate) fn push(&mut self, rows: Arc<BufferedRows>) {
        self.n_rows += rows.records.num_rows() as u64;
        self.bytes += rows.bytes;
        self.tail.push(rows);
        self.merge_small();
        if self.tail.len() >= CHUNK_BATCHES + MERGE_BATCHES {
            // The youngest stay: they may still be merged with those to come.
            let chunk: Arc<[_]> = self.tail.drain(..CHUNK_BATCHES).collect();
            self.chunks.push(chunk);
        }
    }

    /// Adds the rows of another list behind its own.
    pub(crate) fn append(&mut self, other: &Self) {
        for rows in other.iter() {
            self.n_rows += rows.records.num_rows() as u64;
            self.bytes += rows.bytes;
            self.tail.push(Arc::clone(rows));
        }
        while self.tail.len() >= CHUNK_BATCHES + MERGE_BATCHES {
            self.chunks.push(self.tail.drain(..CHUNK_BATCHES).collect());
        }
    }

    fn merge_small(&mut self) {
        while let Some(start) = self.tail.len().checked_sub(MERGE_BATCHES) {
            let last = &self.tail[start..];
            let level = level(last[0].records.num_rows());
            if level.is_none() || !last.iter().all(|rows| self::level(rows.records.num_rows()) == level) {
                return;
            }
            // Merging can only fail on batches of different schemas, and these have their table's.
            let Some(merged) = merge(last) else { return };
            self.bytes = self.bytes + merged.bytes - last.iter().map(|rows| rows.bytes).sum::<u64>();
            self.tail.truncate(start);
            self.tail.push(Arc::new(merged));
        }
    }
}

/// Order of size of a small batch; `None` when it is large enough.
fn level(n_rows: usize) -> Option<u32> {
    (n_rows < MERGE_ROWS_MAX).then(|| n_rows.max(1).ilog2() / 4)
}

/// One batch with the rows of all, in order; `None` when their schemas differ.
pub(crate) fn merge(batches: &[Arc<BufferedRows>]) -> Option<BufferedRows> {
    let first = batches.first()?;
    let schema = first.records.schema();
    let n_rows = batches.iter().map(|rows| rows.records.num_rows()).sum();
    let columns = schema.fields().iter().enumerate().map(|(index, field)| {
        let arrays = batches.iter().map(|rows| rows.records.columns().get(index).map(AsRef::as_ref));
        let arrays: Vec<&dyn Array> = arrays.collect::<Option<_>>()?;
        if arrays.iter().all(|array| array.null_count() == array.len() && array.data_type() == field.data_type()) {
            return Some(nulls(field.data_type(), n_rows));
        }
        concat(&arrays).ok()
    });
    let records = RecordBatch::try_new(Arc::clone(&schema), columns.collect::<Option<_>>()?).ok()?;
    let time_range = batches.iter().fold(first.time_range, |range, rows| cover(range, rows.time_range));
    Some(BufferedRows { bytes: held_bytes(&records), records, time_range })
}

fn cover(a: TimeRange, b: TimeRange) -> TimeRange {
    TimeRange::new(a.start.min(b.start), a.end.max(b.end))
}

/// One table of one tenant as published.
#[derive(Clone, Debug)]
pub(crate) struct TableView {
    pub table: &'static Table,
    /// Version of the table log; -1 before the first commit.
    pub version: i64,
    /// Segments alive in that version.
    pub segments: Arc<[Arc<SegmentMeta>]>,
    /// Rows being written to a segment.
    pub sealed: RowList,
    /// Rows of old WAL files, while replay runs.
    pub replayed: RowList,
    /// Rows accepted since.
    pub fresh: RowList,
    /// The buffer as readers see it; made by the first reader of this view.
    flat: OnceLock<Arc<[Arc<BufferedRows>]>>,
}

impl TableView {
    pub(crate) fn new(table: &'static Table) -> Self {
        Self {
            table,
            version: -1,
            segments: Arc::from([]),
            sealed: RowList::default(),
            replayed: RowList::default(),
            fresh: RowList::default(),
            flat: OnceLock::new(),
        }
    }

    /// A copy to be changed and published.
    pub(crate) fn change(&self) -> Self {
        Self { flat: OnceLock::new(), ..self.clone() }
    }

    /// All lists of the buffer.
    pub(crate) fn lists(&self) -> [&RowList; 3] {
        [&self.sealed, &self.replayed, &self.fresh]
    }

    /// As a reader sees it; `None` without any rows.
    pub(crate) fn snapshot(&self, indexes: &Arc<Indexes>, erasures: &Erasures) -> Option<TableSnapshot> {
        let buffer = self.flat.get_or_init(|| self.lists().into_iter().flat_map(RowList::iter).cloned().collect());
        if buffer.is_empty() && self.segments.is_empty() {
            return None;
        }
        Some(TableSnapshot {
            table: self.table,
            version: self.version,
            segments: Arc::clone(&self.segments),
            buffer: Arc::clone(buffer),
            erasures: erasures.clone(),
            indexes: Arc::clone(indexes),
        })
    }
}

/// All tables of one tenant as published: one value, so that no reader sees a row twice or misses it.
#[derive(Clone, Debug)]
pub(crate) struct TenantView {
    /// In the order of [`TABLES`].
    pub tables: Vec<Arc<TableView>>,
}

impl TenantView {
    pub(crate) fn new() -> Self {
        Self { tables: TABLES.iter().map(|table| Arc::new(TableView::new(table))).collect() }
    }
}

/// Rows ready for the buffer; `None` for a batch without rows.
pub(crate) fn rows(records: RecordBatch, time_range: Option<TimeRange>, bytes: u64) -> Option<Arc<BufferedRows>> {
    Some(Arc::new(BufferedRows { time_range: time_range?, records, bytes }))
}
