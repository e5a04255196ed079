//! Rows of a segment, batch by batch, through the object store.
//!
//! Reads what is wanted of a row group in few, large pieces and keeps those of the row group at hand. Within a batch some
//! columns reach into the next row group before others: then both are in memory, until the batch is complete. For tasks
//! on threads of their own: every call blocks.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{RecordBatch, new_null_array};
use arrow::compute::cast;
use bytes::{Buf, Bytes};
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, SortingColumn};
use parquet::file::reader::{ChunkReader, Length};
use tokio::runtime::Handle;

use super::layout::{Shape, sorting};
use crate::error::{Error, Result};
use crate::snapshot::SegmentMeta;
use crate::table::{Need, Table};

/// Bytes at the end of a file that are read first: the footer of nearly every segment.
const TAIL_BYTES: u64 = 128 << 10;
/// Pieces with less between them are read as one.
const GAP_BYTES: u64 = 64 << 10;

/// Reads a segment from its first row to its last.
pub(crate) struct SegmentScan {
    table: &'static Table,
    /// Positions in the table of the columns that are read.
    columns: Vec<usize>,
    file: Arc<File>,
    rows: ParquetRecordBatchReader,
    is_sorted: bool,
    shape: Shape,
}

impl std::fmt::Debug for SegmentScan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SegmentScan").field("table", &self.table.name).field("columns", &self.columns).finish()
    }
}

impl SegmentScan {
    /// Opens a segment for these columns of its table, by position, in batches of at most `batch_rows` rows.
    ///
    /// # Errors
    /// [`Error::ObjectStore`] when the file cannot be read, others when it is no Parquet.
    pub(crate) fn open(
        store: &Arc<dyn ObjectStore>,
        runtime: &Handle,
        table: &'static Table,
        segment: &SegmentMeta,
        columns: Vec<usize>,
        batch_rows: usize,
    ) -> Result<Self> {
        let file = Arc::new(File {
            store: Arc::clone(store),
            runtime: runtime.clone(),
            path: segment.path.clone(),
            size: segment.size_bytes,
            pieces: Mutex::default(),
            refused: Mutex::default(),
        });
        let opened = Self::open_file(&file, table, columns, batch_rows);
        opened.map_err(|error| file.refused().unwrap_or(error))
    }

    fn open_file(file: &Arc<File>, table: &'static Table, columns: Vec<usize>, batch_rows: usize) -> Result<Self> {
        let chunks = Chunks(Arc::clone(file));
        file.plan_tail();
        let metadata = ArrowReaderMetadata::load(&chunks, Default::default())?;
        let names = columns.iter().map(|column| table.columns()[*column].name);
        let mask = ProjectionMask::columns(metadata.parquet_schema(), names);
        file.plan(plan(metadata.metadata(), &mask));
        let is_sorted = is_sorted(table, metadata.metadata());
        let shape = Shape::of_file(table, metadata.metadata());
        let rows = ParquetRecordBatchReaderBuilder::new_with_metadata(chunks, metadata)
            .with_projection(mask)
            .with_batch_size(batch_rows)
            .build()?;
        Ok(Self { table, columns, file: Arc::clone(file), rows, is_sorted, shape })
    }

    /// Whether the file says that it has the table's sort order.
    pub(crate) const fn is_sorted(&self) -> bool {
        self.is_sorted
    }

    /// What its rows are like.
    pub(crate) const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The next rows, with the asked columns in the table's types: columns that the file does not have are null.
    ///
    /// # Errors
    /// [`Error::ObjectStore`] when the file cannot be read, others when it is damaged.
    pub(crate) fn next(&mut self) -> Result<Option<RecordBatch>> {
        let Some(rows) = self.rows.next() else { return Ok(None) };
        // Decoders wrap what the store said in words of their own.
        let rows = rows.map_err(|error| self.file.refused().unwrap_or(error.into()))?;
        self.file.drop_passed();
        let schema = Arc::new(self.table.schema().project(&self.columns)?);
        let arrays = self.columns.iter().zip(schema.fields()).map(|(column, field)| {
            let declared = &self.table.columns()[*column];
            match rows.column_by_name(declared.name) {
                Some(array) if array.data_type() == field.data_type() => Ok(Arc::clone(array)),
                Some(array) => Ok(cast(array, field.data_type())?),
                None if declared.need == Need::Optional => Ok(new_null_array(field.data_type(), rows.num_rows())),
                None => Err(ParquetError::General(format!("the file has no column {}", declared.name)).into()),
            }
        });
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(Some(RecordBatch::try_new_with_options(schema, arrays, &options)?))
    }
}

/// Bytes of a segment by top-level column, compressed and not, in the order of the file.
///
/// # Errors
/// As [`SegmentScan::open`].
pub(crate) fn column_bytes(
    store: &Arc<dyn ObjectStore>,
    runtime: &Handle,
    segment: &SegmentMeta,
) -> Result<Vec<(String, u64, u64)>> {
    let file = Arc::new(File {
        store: Arc::clone(store),
        runtime: runtime.clone(),
        path: segment.path.clone(),
        size: segment.size_bytes,
        pieces: Mutex::default(),
        refused: Mutex::default(),
    });
    file.plan_tail();
    let loaded = ArrowReaderMetadata::load(&Chunks(Arc::clone(&file)), Default::default());
    let metadata = loaded.map_err(|error| file.refused().unwrap_or(error.into()))?;
    let mut columns: Vec<(String, u64, u64)> = Vec::new();
    for leaf in metadata.metadata().row_groups().iter().flat_map(|group| group.columns()) {
        let name = leaf.column_path().parts().first().cloned().unwrap_or_default();
        let bytes = [leaf.compressed_size(), leaf.uncompressed_size()].map(|n| u64::try_from(n).unwrap_or_default());
        match columns.iter_mut().find(|(other, ..)| *other == name) {
            Some((_, compressed, plain)) => {
                *compressed += bytes[0];
                *plain += bytes[1];
            }
            None => columns.push((name, bytes[0], bytes[1])),
        }
    }
    Ok(columns)
}

fn is_sorted(table: &'static Table, metadata: &ParquetMetaData) -> bool {
    let expected = sorting(table);
    metadata.row_groups().iter().all(|group| {
        let declared = group.sorting_columns().map(Vec::as_slice).unwrap_or_default();
        let name = |position: i32| Some(group.columns().get(usize::try_from(position).ok()?)?.column_path().string());
        let same = |(declared, expected): (&SortingColumn, &SortingColumn)| {
            let expected = usize::try_from(expected.column_idx).ok().and_then(|index| table.columns().get(index));
            !declared.descending && name(declared.column_idx).as_deref() == expected.map(|column| column.name)
        };
        declared.len() == expected.len() && declared.iter().zip(&expected).all(same)
    })
}

/// Pieces to read, by row group: the wanted columns, neighbours together.
fn plan(metadata: &ParquetMetaData, mask: &ProjectionMask) -> Vec<Vec<Range<u64>>> {
    let groups = metadata.row_groups().iter().map(|group| {
        let wanted = group.columns().iter().enumerate().filter(|(leaf, _)| mask.leaf_included(*leaf));
        let mut ranges: Vec<Range<u64>> = wanted
            .map(|(_, column)| {
                let (start, length) = column.byte_range();
                start..start + length
            })
            .collect();
        ranges.sort_by_key(|range| range.start);
        let mut pieces: Vec<Range<u64>> = Vec::new();
        for range in ranges {
            match pieces.last_mut() {
                Some(last) if range.start <= last.end + GAP_BYTES => last.end = last.end.max(range.end),
                _ => pieces.push(range),
            }
        }
        pieces
    });
    groups.collect()
}

#[derive(Debug)]
struct File {
    store: Arc<dyn ObjectStore>,
    runtime: Handle,
    path: Path,
    size: u64,
    pieces: Mutex<Pieces>,
    /// What the store said when it did not give bytes: then nothing is known about the file.
    refused: Mutex<Option<object_store::Error>>,
}

/// Pieces by row group, and those in memory.
#[derive(Debug, Default)]
struct Pieces {
    planned: Vec<(usize, Range<u64>)>,
    read: Vec<(usize, Range<u64>, Bytes)>,
}

impl File {
    fn plan(&self, groups: Vec<Vec<Range<u64>>>) {
        let numbered = groups.into_iter().enumerate();
        let planned =
            numbered.flat_map(|(group, pieces)| pieces.into_iter().map(move |piece| (group, piece))).collect();
        *self.pieces() = Pieces { planned, read: Vec::new() };
    }

    /// The footer comes first.
    fn plan_tail(&self) {
        self.plan(vec![vec![self.size.saturating_sub(TAIL_BYTES)..self.size]]);
    }

    /// The piece around `start`, from there on: at least `length` bytes, more when there are.
    fn from(&self, start: u64, length: u64) -> Result<Bytes, ParquetError> {
        let covers = |range: &Range<u64>| range.start <= start && start + length <= range.end;
        let planned = {
            let pieces = self.pieces();
            if let Some((_, range, bytes)) = pieces.read.iter().find(|(_, range, _)| covers(range)) {
                return Ok(bytes.slice((start - range.start) as usize..));
            }
            pieces.planned.iter().find(|(_, range)| covers(range)).cloned()
        };
        let range = planned.as_ref().map_or(start..start + length, |(_, range)| range.clone());
        let reading = self.store.get_ranges(&self.path, std::slice::from_ref(&range));
        let read = self.runtime.block_on(reading).map_err(|error| {
            let told = ParquetError::General(error.to_string());
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            told
        })?;
        let bytes = read.into_iter().next().unwrap_or_default();
        if (bytes.len() as u64) < range.end - range.start {
            return Err(ParquetError::EOF(format!("{}: fewer bytes than expected", self.path)));
        }
        if let Some((group, range)) = planned {
            let mut pieces = self.pieces();
            pieces.read.retain(|(other, ..)| other.abs_diff(group) <= 1);
            pieces.read.push((group, range.clone(), bytes.clone()));
        }
        Ok(bytes.slice((start - range.start) as usize..))
    }

    /// Forgets the row groups before the newest one that was read: every column has given its rows of them. A column that
    /// wants more of them after all makes them be read again.
    fn drop_passed(&self) {
        let mut pieces = self.pieces();
        let newest = pieces.read.iter().map(|(group, ..)| *group).max().unwrap_or_default();
        pieces.read.retain(|(group, ..)| *group == newest);
    }

    /// The error of the store that made reading fail; `None` when the store gave everything.
    fn refused(&self) -> Option<Error> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).take().map(Error::ObjectStore)
    }

    /// Held for list accesses, never across reads.
    fn pieces(&self) -> std::sync::MutexGuard<'_, Pieces> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Debug)]
struct Chunks(Arc<File>);

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.0.size
    }
}

impl ChunkReader for Chunks {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(self.0.from(start, 1)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        Ok(self.0.from(start, length as u64)?.slice(..length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::{self, Target};
    use crate::table::SPANS;
    use crate::tests::rows::spans;

    /// Row groups that were read do not stay in memory: there are dozens of inputs in a merge.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn only_the_row_group_at_hand_is_in_memory() {
        let store: Arc<dyn ObjectStore> = Arc::new(object_store::memory::InMemory::new());
        let runtime = Handle::current();
        let reading = tokio::task::spawn_blocking(move || {
            let table = Path::from("tenants/t/spans");
            let target = Target { store, table, runtime: runtime.clone(), in_flight: Default::default() };
            let batch = spans(0..70_000);
            let rows = crate::buffer::rows(batch.records().clone(), batch.time_range(), batch.bytes()).expect("rows");
            let written = segment::write(&target, &SPANS, &[rows], 30).expect("written");
            let columns = (0..SPANS.columns().len()).collect();
            let meta = &written[0].meta;
            let mut scan = SegmentScan::open(&target.store, &runtime, &SPANS, meta, columns, 2048).expect("readable");
            let mut n_rows = 0;
            while let Some(batch) = scan.next().expect("readable") {
                n_rows += batch.num_rows();
                let groups: Vec<usize> = scan.file.pieces().read.iter().map(|(group, ..)| *group).collect();
                assert!(groups.windows(2).all(|pair| pair[0] == pair[1]), "after {n_rows} rows: {groups:?}");
            }
            assert_eq!(n_rows, 70_000);
        });
        reading.await.expect("no panic");
    }
}
