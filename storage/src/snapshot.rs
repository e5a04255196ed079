//! Table version and buffer pinned together for one reader.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use model::{TimeRange, TraceId, UnixNanos};
use object_store::ObjectStore;
use object_store::path::Path;

use crate::batch::Batch;
use crate::buffer;
use crate::erasure::Erasures;
use crate::index::{By, Indexes, SegmentRows, rows_with};
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
    /// What must not be shown although it is still in segments or buffer: whoever reads rows leaves out those that
    /// [`Erasures::visible`] does not name.
    pub erasures: Erasures,
    pub(crate) indexes: Arc<Indexes>,
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
    /// How often its rows were merged: 0 as flushed, at most 2.
    pub level: u8,
    /// When it was made, by the clock of the machine; the beginning of time when its name does not say.
    pub created: UnixNanos,
    /// Checksum of the file; `None` for those of older releases and of other writers.
    pub crc32c: Option<u32>,
    /// From the earliest to just after the latest row.
    pub time_range: TimeRange,
    /// Smallest and largest service name (text may be cut, then the largest is rounded up); `None` when unknown.
    pub service_range: Option<(String, String)>,
}

impl TableSnapshot {
    /// Segments that may hold rows of a trace, with their candidate rows; other segments certainly do not.
    ///
    /// Cheap: most segments are ruled out in memory, each other one costs one or two small reads. For a table without
    /// a `trace_id` column every segment is a candidate with all its rows. The buffer is not searched: see
    /// [`Self::buffered_trace`].
    pub async fn locate_trace(&self, trace_id: TraceId) -> Vec<SegmentRows> {
        self.locate(&self.segments, By::Trace, trace_id.as_bytes()).await
    }

    /// As [`Self::locate_trace`], in some segments of this table.
    pub async fn locate_trace_among(&self, segments: &[Arc<SegmentMeta>], trace_id: TraceId) -> Vec<SegmentRows> {
        self.locate(segments, By::Trace, trace_id.as_bytes()).await
    }

    /// The same for rows with a link to a trace, from whatever trace. A table without links has no such rows.
    pub async fn locate_links_to(&self, trace_id: TraceId) -> Vec<SegmentRows> {
        self.locate(&self.segments, By::LinkTarget, trace_id.as_bytes()).await
    }

    /// The same for rows that carry a message, by `messaging.message.id`. Empty ids are not looked up.
    pub async fn locate_message_id(&self, message_id: &str) -> Vec<SegmentRows> {
        self.locate(&self.segments, By::Message, message_id.as_bytes()).await
    }

    /// The same for rows that carry a message of a conversation, by `messaging.message.conversation_id`.
    pub async fn locate_conversation_id(&self, conversation_id: &str) -> Vec<SegmentRows> {
        self.locate(&self.segments, By::Conversation, conversation_id.as_bytes()).await
    }

    async fn locate(&self, segments: &[Arc<SegmentMeta>], by: By, id: &[u8]) -> Vec<SegmentRows> {
        if self.table.column(by.column()).is_some() {
            return if id.is_empty() { Vec::new() } else { self.indexes.locate(self.table, segments, by, id).await };
        }
        match by {
            By::Trace => {
                let all = segments.iter().map(|segment| SegmentRows { segment: Arc::clone(segment), rows: None });
                all.collect()
            }
            By::LinkTarget | By::Message | By::Conversation => Vec::new(),
        }
    }

    /// Rows of a trace in the write buffer, in order of arrival. Compares every buffered id: less than a
    /// millisecond per 200,000 rows.
    pub fn buffered_trace(&self, trace_id: TraceId) -> Vec<RecordBatch> {
        self.buffered(By::Trace, |ids| match ids.as_binary_opt::<i32>() {
            Some(ids) => positions(ids, trace_id.as_bytes()),
            None => Vec::new(),
        })
    }

    /// Rows in the write buffer with a link to a trace, in order of arrival.
    pub fn buffered_links_to(&self, trace_id: TraceId) -> Vec<RecordBatch> {
        self.buffered(By::LinkTarget, |links| rows_with(By::LinkTarget, links, trace_id.as_bytes()))
    }

    /// Rows in the write buffer that carry a message, in order of arrival.
    pub fn buffered_message_id(&self, message_id: &str) -> Vec<RecordBatch> {
        self.buffered(By::Message, |ids| rows_with(By::Message, ids, message_id.as_bytes()))
    }

    /// Rows in the write buffer that carry a message of a conversation, in order of arrival.
    pub fn buffered_conversation_id(&self, conversation_id: &str) -> Vec<RecordBatch> {
        self.buffered(By::Conversation, |ids| rows_with(By::Conversation, ids, conversation_id.as_bytes()))
    }

    fn buffered(&self, by: By, wanted: impl Fn(&ArrayRef) -> Vec<u32>) -> Vec<RecordBatch> {
        let Some((column, _)) = self.table.column(by.column()) else { return Vec::new() };
        let found = self.buffer.iter().filter_map(|rows| {
            let wanted = wanted(rows.records.column(column));
            if wanted.is_empty() {
                return None;
            }
            // Fails for row numbers that do not exist only.
            let found = take_record_batch(&rows.records, &UInt32Array::from(wanted)).ok()?;
            let found = self.erasures.keep(found)?;
            (found.num_rows() > 0).then_some(found)
        });
        found.collect()
    }
}

/// Rows with this id.
fn positions(ids: &BinaryArray, id: &[u8; TraceId::BYTES]) -> Vec<u32> {
    let offsets = ids.value_offsets();
    let is_dense = ids.null_count() == 0 && offsets.windows(2).all(|pair| pair[1] - pair[0] == TraceId::BYTES as i32);
    if is_dense {
        // All ids in one stretch: compared as numbers, without looking at offsets.
        let start = offsets.first().map_or(0, |first| *first as usize);
        let (all, _) = ids.value_data()[start..].as_chunks::<{ TraceId::BYTES }>();
        let id = u128::from_ne_bytes(*id);
        let rows = all[..ids.len()].iter().zip(0..);
        return rows.filter(|(other, _)| u128::from_ne_bytes(**other) == id).map(|(_, row)| row).collect();
    }
    ids.iter().zip(0..).filter(|(other, _)| *other == Some(id)).map(|(_, row)| row).collect()
}

impl Snapshot {
    /// A snapshot of rows that are stored nowhere, for rehearsing queries.
    pub fn of(batches: Vec<Batch>) -> Self {
        let store: Arc<dyn ObjectStore> = Arc::new(object_store::memory::InMemory::new());
        let mut tables: Vec<TableSnapshot> = Vec::new();
        for batch in batches {
            let Some(rows) = buffer::rows(batch.records().clone(), batch.time_range(), batch.bytes()) else { continue };
            let table = batch.table();
            let known = tables.iter_mut().find(|entry| entry.table == table);
            match known {
                Some(entry) => entry.buffer = entry.buffer.iter().cloned().chain([rows]).collect(),
                None => tables.push(TableSnapshot {
                    table,
                    version: -1,
                    segments: Arc::new([]),
                    buffer: Arc::new([rows]),
                    erasures: Erasures::default(),
                    indexes: Arc::new(Indexes::new(Arc::clone(&store), 0)),
                }),
            }
        }
        Self { tables, store, incomplete: None }
    }

    /// The table's entry; `None` while it has no rows.
    pub fn table(&self, table: &Table) -> Option<&TableSnapshot> {
        self.tables.iter().find(|entry| entry.table == table)
    }
}
