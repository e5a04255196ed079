//! A generation of the buffer into files, durable under their names.
//!
//! Rows are copied a row group at a time: the memory needed beside the buffer is one row group in Arrow and
//! the pages of one row group, whatever the size of the generation.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path as FilePath;
use std::sync::Arc;

use arrow::array::RecordBatch;
use object_store::path::Path;
use parquet::arrow::ArrowWriter;

use super::gather::Gather;
use super::layout::{ROW_GROUP_ROWS, properties};
use super::order::{self, DayRows};
use super::stats::{self, FileStats};
use crate::durable_local::{Placing, create_dir_durably, write_durably};
use crate::error::{Error, Result};
use crate::index::{INDEXED_COLUMN, IndexBuilder};
use crate::paths::{self, sync_dir};
use crate::snapshot::{BufferedRows, SegmentMeta};
use crate::table::Table;

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

/// Writes rows of one table into one file per day. `table_dir` is the table's directory and `prefix` its
/// object path. On an error the files that were made are removed again.
///
/// # Errors
/// [`Error::Write`] with what the system said, or what could not be encoded.
pub(crate) fn write(
    table: &'static Table,
    rows: &[Arc<BufferedRows>],
    table_dir: &FilePath,
    prefix: &Path,
    retention_days: u32,
) -> Result<Vec<Written>> {
    let batches: Vec<&RecordBatch> = rows.iter().map(|rows| &rows.records).collect();
    let gather = Gather::new(&table.schema(), &batches);
    let mut written: Vec<Written> = Vec::new();
    for day in order::by_day(table, &batches, retention_days) {
        match write_day(table, &gather, &day, table_dir, prefix) {
            Ok(file) => written.push(file),
            Err(error) => {
                for file in written {
                    let _ = std::fs::remove_file(table_dir.join(&file.path_in_table));
                }
                return Err(error);
            }
        }
    }
    Ok(written)
}

fn write_day(
    table: &'static Table,
    gather: &Gather<'_>,
    day: &DayRows,
    table_dir: &FilePath,
    prefix: &Path,
) -> Result<Written> {
    let partition = paths::partition(day.day);
    let name = format!("{}.parquet", uuid::Uuid::now_v7());
    let dir = table_dir.join(&partition);
    let path = dir.join(&name);
    let temporary = path.with_extension("parquet.tmp");
    let failed = |source: io::Error| Error::Write { path: path.clone(), source };
    create_dir_durably(&dir).map_err(failed)?;
    let mut index = table.column(INDEXED_COLUMN).map(|_| IndexBuilder::default());
    let result = write_file(table, gather, day, &temporary, index.as_mut()).and_then(|(stats, size_bytes)| {
        std::fs::rename(&temporary, &path).and_then(|()| sync_dir(&dir)).map_err(failed)?;
        Ok((stats, size_bytes))
    });
    let (stats, size_bytes) = result.inspect_err(|_| {
        let _ = std::fs::remove_file(&temporary);
    })?;
    let path_in_table = format!("{partition}/{name}");
    let object_path = Path::from(format!("{prefix}/{path_in_table}"));
    if let Some(index) = index {
        let index_path = table_dir.join("_idx").join(&name).with_extension("tix");
        if let Err(error) = write_durably(&index_path, &[&index.finish()], Placing::Replace) {
            // It is built again when someone asks for it.
            tracing::warn!(path = %index_path.display(), %error, "a trace index could not be written");
        }
    }
    Ok(Written { meta: stats::meta(object_path, size_bytes, day.day, &stats), stats: stats.to_json(), path_in_table })
}

fn write_file(
    table: &'static Table,
    gather: &Gather<'_>,
    day: &DayRows,
    path: &FilePath,
    mut index: Option<&mut IndexBuilder>,
) -> Result<(FileStats, u64)> {
    let failed = |source: io::Error| Error::Write { path: path.to_owned(), source };
    let file = File::create(path).map_err(failed)?;
    let mut writer = ArrowWriter::try_new(BufWriter::new(file), table.schema(), Some(properties(table)))?;
    let mut stats = FileStats::new(table);
    for places in day.places.chunks(ROW_GROUP_ROWS) {
        let rows = gather.take(places)?;
        stats.add(&rows);
        if let (Some(index), Some(ids)) = (index.as_deref_mut(), rows.column_by_name(INDEXED_COLUMN)) {
            index.add(ids);
        }
        writer.write(&rows)?;
        drop(rows);
        writer.flush()?;
    }
    let file = writer.into_inner()?.into_inner().map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)?;
    let size_bytes = file.metadata().map_err(failed)?.len();
    Ok((stats, size_bytes))
}
