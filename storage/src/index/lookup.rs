//! Looking up a trace in many segments.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use model::TraceId;
use object_store::path::Path;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::format::{HEAD_BYTES, IndexBuilder, Top, top_bytes};
use super::ranges::RowRanges;
use super::{INDEXED_COLUMN, prefix};
use crate::durable_local::{Placing, write_durably};
use crate::error::{Error, Result};
use crate::paths::index_file;
use crate::snapshot::SegmentMeta;

/// Memory for tops of index files. A top takes about 6 bytes per 1000 bytes of index: thousands of segments fit.
const CACHE_BYTES_MAX: usize = 16 << 20;

/// Rows of one segment that may belong to a trace.
#[derive(Clone, Debug)]
pub struct TraceRows {
    /// The segment.
    pub segment: Arc<SegmentMeta>,
    /// Candidates: every row of the trace is among them, and hardly any other. Whoever reads them compares whole
    /// ids. `None` when the index could not be used: then any row may belong to the trace.
    pub rows: Option<RowRanges>,
}

/// Index files of a data directory.
#[derive(Debug)]
pub(crate) struct TraceIndexes {
    root: PathBuf,
    tops: Mutex<Tops>,
}

/// Tops that were read, oldest out first.
#[derive(Debug, Default)]
struct Tops {
    by_path: HashMap<Path, Arc<Top>>,
    order: VecDeque<Path>,
    bytes: usize,
}

impl TraceIndexes {
    pub(crate) fn new(root: &FilePath) -> Self {
        Self { root: root.to_owned(), tops: Mutex::default() }
    }

    /// Segments that may hold the trace, with their candidate rows; those that certainly do not are left out.
    ///
    /// Blocking. One small read per segment; building a missing index reads one column of its segment.
    pub(crate) fn locate(&self, segments: &[Arc<SegmentMeta>], trace_id: TraceId) -> Vec<TraceRows> {
        let Some(prefix) = prefix(trace_id.as_bytes()) else { return Vec::new() };
        let located = segments.iter().filter_map(|segment| {
            let rows = match self.rows(segment, prefix) {
                Ok(rows) => Some(rows),
                Err(error) => {
                    tracing::warn!(segment = %segment.path, %error, "the trace index cannot be used; all rows are read");
                    None
                }
            };
            let is_candidate = rows.as_ref().is_none_or(|rows| !rows.is_empty());
            is_candidate.then(|| TraceRows { segment: Arc::clone(segment), rows })
        });
        located.collect()
    }

    fn rows(&self, segment: &SegmentMeta, prefix: u64) -> Result<RowRanges> {
        match self.read(segment, prefix) {
            Ok(Some(rows)) => return Ok(rows),
            Ok(None) => tracing::debug!(segment = %segment.path, "its trace index is missing or damaged: built again"),
            Err(error) => {
                tracing::debug!(segment = %segment.path, %error, "its trace index cannot be read: built again");
            }
        }
        self.forget(&segment.path);
        self.build(segment)?;
        let rebuilt = self.read(segment, prefix);
        let path = self.index_path(&segment.path);
        rebuilt
            .map_err(|error| Error::Damaged { path: path.clone(), detail: error.to_string() })?
            .ok_or_else(|| Error::Damaged { path, detail: "it was just written and is damaged".to_owned() })
    }

    /// From the index file; `None` when it is missing or damaged.
    fn read(&self, segment: &SegmentMeta, prefix: u64) -> io::Result<Option<RowRanges>> {
        let file = match File::open(self.index_path(&segment.path)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let cached = self.tops().by_path.get(&segment.path).cloned();
        let top = match cached {
            Some(top) => top,
            None => match read_top(&file, segment.n_rows)? {
                Some(top) => self.remember(&segment.path, top),
                None => return Ok(None),
            },
        };
        let Some(block) = top.block(prefix) else { return Ok(Some(RowRanges::default())) };
        let mut bytes = vec![0; block.length as usize];
        file.read_exact_at(&mut bytes, block.offset)?;
        Ok(block.rows(&bytes, prefix))
    }

    /// Makes the index of a segment from the segment.
    fn build(&self, segment: &SegmentMeta) -> Result<()> {
        let path = self.root.join(segment.path.as_ref());
        let failed = |source: io::Error| Error::Damaged { path: path.clone(), detail: source.to_string() };
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).map_err(failed)?)?;
        let mask = ProjectionMask::columns(reader.parquet_schema(), [INDEXED_COLUMN]);
        let mut index = IndexBuilder::default();
        for rows in reader.with_projection(mask).build()? {
            if let Some(ids) = rows?.column_by_name(INDEXED_COLUMN) {
                index.add(ids);
            }
        }
        write_durably(&self.index_path(&segment.path), &[&index.finish()], Placing::Replace).map_err(failed)
    }

    fn index_path(&self, segment: &Path) -> PathBuf {
        index_file(&self.root, segment)
    }

    fn remember(&self, path: &Path, top: Top) -> Arc<Top> {
        let top = Arc::new(top);
        let mut tops = self.tops();
        if let Some(known) = tops.by_path.insert(path.clone(), Arc::clone(&top)) {
            tops.bytes -= known.bytes();
        } else {
            tops.order.push_back(path.clone());
        }
        tops.bytes += top.bytes();
        while tops.bytes > CACHE_BYTES_MAX
            && let Some(oldest) = tops.order.pop_front()
        {
            let bytes = tops.by_path.remove(&oldest).map_or(0, |top| top.bytes());
            tops.bytes -= bytes;
        }
        top
    }

    fn forget(&self, path: &Path) {
        let mut tops = self.tops();
        if let Some(top) = tops.by_path.remove(path) {
            tops.bytes -= top.bytes();
            tops.order.retain(|known| known != path);
        }
    }

    /// Held for a map access, never across reads.
    fn tops(&self) -> std::sync::MutexGuard<'_, Tops> {
        self.tops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_top(file: &File, n_rows: u64) -> io::Result<Option<Top>> {
    let mut head = [0; HEAD_BYTES];
    file.read_exact_at(&mut head, 0)?;
    let Some(n_bytes) = top_bytes(&head, n_rows) else { return Ok(None) };
    if (n_bytes + HEAD_BYTES) as u64 > file.metadata()?.len() {
        return Ok(None);
    }
    let mut top = vec![0; n_bytes];
    file.read_exact_at(&mut top, HEAD_BYTES as u64)?;
    Ok(Top::parse(&head, &top))
}
