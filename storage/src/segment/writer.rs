//! A generation of the buffer into files, durable under their names.
//!
//! Rows are copied a few thousand at a time: the memory needed beside the buffer is these and the pages of one row
//! group, whatever the size of the generation.

use std::collections::HashSet;
use std::io::BufWriter;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use tokio::runtime::Handle;

use super::gather::Gather;
use super::layout::{Shape, properties};
use super::order::{self, DayRows};
use super::stats::{self, FileStats};
use crate::error::Result;
use crate::index::IndexBuilder;
use crate::object_writer::ObjectWriter;
use crate::paths;
use crate::snapshot::{BufferedRows, SegmentMeta};
use crate::table::Table;

/// Rows that are taken out of the buffer at once.
const TAKE_ROWS: usize = 8 << 10;

/// Where segments of one table of one tenant go.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub store: Arc<dyn ObjectStore>,
    /// Path of the table.
    pub table: Path,
    /// Runs the store's work; writers are on threads that may block.
    pub runtime: Handle,
    /// Where files that are not committed yet are noted.
    pub in_flight: InFlight,
}

/// A file that is durable, but not yet part of its table.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// What readers will know about it.
    pub meta: Arc<SegmentMeta>,
    /// Path inside the table's directory.
    pub path_in_table: String,
    /// Statistics for the table log.
    pub stats: String,
    /// Keeps vacuum away from it until it is committed, or given up.
    pub in_flight: Option<Arc<Flight>>,
}

/// Writes rows of one table into one file per day. On an error the files that were made are removed again.
///
/// # Errors
/// What the store said, or what could not be encoded.
pub(crate) fn write(
    target: &Target,
    table: &'static Table,
    rows: &[Arc<BufferedRows>],
    retention_days: u32,
) -> Result<Vec<Written>> {
    let batches: Vec<&RecordBatch> = rows.iter().map(|rows| &rows.records).collect();
    let gather = Gather::new(&table.schema(), &batches);
    let mut written: Vec<Written> = Vec::new();
    for day in order::by_day(table, &batches, retention_days) {
        match write_day(target, table, &gather, &day) {
            Ok(file) => written.push(file),
            Err(error) => {
                remove(target, written.into_iter().map(|file| file.meta.path.clone()));
                return Err(error);
            }
        }
    }
    Ok(written)
}

/// Removes segments that no version of the table names, with what belongs to them.
pub(crate) fn remove(target: &Target, segments: impl Iterator<Item = Path>) {
    for segment in segments {
        if let Err(error) = target.runtime.block_on(target.store.delete(&segment)) {
            tracing::warn!(%segment, %error, "a segment that was not committed cannot be removed");
        }
        // There may be none.
        for companion in [paths::index(&segment), paths::sums(&segment)] {
            let _ = target.runtime.block_on(target.store.delete(&companion));
        }
    }
}

fn write_day(target: &Target, table: &'static Table, gather: &Gather<'_>, day: &DayRows) -> Result<Written> {
    // Neighbours from the middle stand for all.
    let middle = day.places.len().saturating_sub(TAKE_ROWS) / 2;
    let some = &day.places[middle..(middle + TAKE_ROWS).min(day.places.len())];
    let shape = Shape::of(table, &gather.take(some)?);
    let mut writer = SegmentWriter::create(target, table, day.day, 0, &shape)?;
    for places in day.places.chunks(TAKE_ROWS) {
        writer.write(&gather.take(places)?)?;
    }
    writer.finish()
}

/// A segment on its way. In memory are the encoded pages of one row group. One that is not finished leaves nothing behind.
pub(crate) struct SegmentWriter {
    target: Target,
    path: Path,
    path_in_table: String,
    day: i32,
    parquet: ArrowWriter<BufWriter<ObjectWriter>>,
    stats: FileStats,
    index: Option<IndexBuilder>,
    /// Until it is finished.
    in_flight: Option<Flight>,
}

impl std::fmt::Debug for SegmentWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SegmentWriter").field("path", &self.path).field("n_rows", &self.stats.n_rows()).finish()
    }
}

impl SegmentWriter {
    /// Begins a segment of one day, for rows of this shape. Rows must come sorted.
    ///
    /// # Errors
    /// What could not be encoded.
    pub(crate) fn create(target: &Target, table: &'static Table, day: i32, level: u8, shape: &Shape) -> Result<Self> {
        let path_in_table = paths::new_segment(day, level);
        let path = Path::from(format!("{}/{path_in_table}", target.table));
        let flight = target.in_flight.begin(path.clone());
        let object = ObjectWriter::new(&target.store, path.clone(), target.runtime.clone());
        let parquet =
            ArrowWriter::try_new(BufWriter::new(object), table.schema(), Some(properties(table, level, shape)))?;
        Ok(Self {
            target: target.clone(),
            path,
            path_in_table,
            day,
            parquet,
            stats: FileStats::new(table),
            index: IndexBuilder::new(table),
            in_flight: Some(flight),
        })
    }

    /// Takes the next rows; 32 k of them become a row group, however many come at once.
    ///
    /// # Errors
    /// What the store said, or what could not be encoded.
    pub(crate) fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.stats.add(rows);
        if let Some(index) = &mut self.index {
            index.add(rows);
        }
        self.parquet.write(rows)?;
        Ok(())
    }

    pub(crate) fn n_rows(&self) -> u64 {
        self.stats.n_rows()
    }

    /// Bytes of the row groups so far.
    pub(crate) fn n_bytes(&self) -> u64 {
        self.parquet.bytes_written() as u64
    }

    /// Makes the segment durable under its name, then its index and its checksums.
    ///
    /// # Errors
    /// What the store said.
    pub(crate) fn finish(self) -> Result<Written> {
        let object = self.parquet.into_inner()?.into_inner();
        let object = object
            .map_err(|error| object_store::Error::Generic { store: "segment", source: Box::new(error.into_error()) })?;
        let sums = object.finish()?;
        let index = self.index.and_then(IndexBuilder::finish).map(|bytes| (paths::index(&self.path), bytes));
        for (path, bytes) in index.into_iter().chain([(paths::sums(&self.path), sums.encode())]) {
            if let Err(error) = self.target.runtime.block_on(self.target.store.put(&path, bytes.into())) {
                // It is made again when someone asks for it.
                tracing::warn!(%path, %error, "what belongs to a segment could not be written");
            }
        }
        Ok(Written {
            meta: stats::meta(self.path, &sums, self.day, &self.stats),
            path_in_table: self.path_in_table,
            stats: self.stats.to_json(),
            in_flight: self.in_flight.map(Arc::new),
        })
    }
}

/// Segments that are being written or committed: no table names them yet, and still they must not be removed.
#[derive(Clone, Debug, Default)]
pub(crate) struct InFlight(Arc<Mutex<HashSet<Path>>>);

/// One of them; no longer when dropped.
#[derive(Debug)]
pub(crate) struct Flight {
    all: InFlight,
    path: Path,
}

impl InFlight {
    fn begin(&self, path: Path) -> Flight {
        self.paths().insert(path.clone());
        Flight { all: self.clone(), path }
    }

    /// Those of this moment.
    pub(crate) fn now(&self) -> HashSet<Path> {
        self.paths().clone()
    }

    /// Held for set accesses only.
    fn paths(&self) -> std::sync::MutexGuard<'_, HashSet<Path>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.all.paths().remove(&self.path);
    }
}
