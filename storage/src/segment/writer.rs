//! A generation of the buffer into files, durable under their names.
//!
//! Rows are copied a row group at a time: the memory needed beside the buffer is one row group in Arrow and
//! the pages of one row group, whatever the size of the generation.

use std::io::BufWriter;
use std::sync::Arc;

use arrow::array::RecordBatch;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use tokio::runtime::Handle;

use super::gather::Gather;
use super::layout::{ROW_GROUP_ROWS, properties};
use super::order::{self, DayRows};
use super::stats::{self, FileStats};
use crate::error::Result;
use crate::index::IndexBuilder;
use crate::object_writer::ObjectWriter;
use crate::paths;
use crate::snapshot::{BufferedRows, SegmentMeta};
use crate::table::Table;

/// Where segments of one table of one tenant go.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub store: Arc<dyn ObjectStore>,
    /// Path of the table.
    pub table: Path,
    /// Runs the store's work; writers are on threads that may block.
    pub runtime: Handle,
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

/// Removes segments that no version of the table names, with their indexes.
pub(crate) fn remove(target: &Target, segments: impl Iterator<Item = Path>) {
    for segment in segments {
        if let Err(error) = target.runtime.block_on(target.store.delete(&segment)) {
            tracing::warn!(%segment, %error, "a segment that was not committed cannot be removed");
        }
        // There may be none.
        let _ = target.runtime.block_on(target.store.delete(&paths::index(&segment)));
    }
}

fn write_day(target: &Target, table: &'static Table, gather: &Gather<'_>, day: &DayRows) -> Result<Written> {
    let path_in_table = format!("{}/{}.parquet", paths::partition(day.day), uuid::Uuid::now_v7());
    let path = Path::from(format!("{}/{path_in_table}", target.table));
    let mut index = IndexBuilder::new(table);
    let (stats, size_bytes) = write_file(target, table, gather, day, &path, index.as_mut())?;
    if let Some(bytes) = index.and_then(IndexBuilder::finish) {
        let index_path = paths::index(&path);
        if let Err(error) = target.runtime.block_on(target.store.put(&index_path, bytes.into())) {
            // It is built again when someone asks for it.
            tracing::warn!(segment = %path, %error, "an index could not be written");
        }
    }
    Ok(Written { meta: stats::meta(path, size_bytes, day.day, &stats), stats: stats.to_json(), path_in_table })
}

fn write_file(
    target: &Target,
    table: &'static Table,
    gather: &Gather<'_>,
    day: &DayRows,
    path: &Path,
    mut index: Option<&mut IndexBuilder>,
) -> Result<(FileStats, u64)> {
    let object = ObjectWriter::new(&target.store, path.clone(), target.runtime.clone());
    let mut writer = ArrowWriter::try_new(BufWriter::new(object), table.schema(), Some(properties(table)))?;
    let mut stats = FileStats::new(table);
    for places in day.places.chunks(ROW_GROUP_ROWS) {
        let rows = gather.take(places)?;
        stats.add(&rows);
        if let Some(index) = index.as_deref_mut() {
            index.add(&rows);
        }
        writer.write(&rows)?;
        drop(rows);
        writer.flush()?;
    }
    let object = writer.into_inner()?.into_inner();
    let object = object
        .map_err(|error| object_store::Error::Generic { store: "segment", source: Box::new(error.into_error()) })?;
    Ok((stats, object.finish()?))
}
