//! Looking up a trace in many segments.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt, TryStreamExt};
use model::TraceId;
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt};
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::ProjectionMask;

use super::format::{HEAD_BYTES, IndexBuilder, Top, top_bytes};
use super::ranges::RowRanges;
use super::{INDEXED_COLUMN, prefix};
use crate::error::{Error, Result};
use crate::paths;
use crate::segment::SegmentReader;
use crate::snapshot::SegmentMeta;

/// Index files read at the same time for one trace.
const READS_AT_ONCE: usize = 16;
/// Memory for tops of index files. A top takes about 6 bytes per 1000 bytes of index: thousands of segments fit.
const CACHE_BYTES_MAX: usize = 16 << 20;
/// Bytes read to learn an index file's top.
const TOP_READ_BYTES: u64 = 4096;

/// Rows of one segment that may belong to a trace.
#[derive(Clone, Debug)]
pub struct TraceRows {
    /// The segment.
    pub segment: Arc<SegmentMeta>,
    /// Candidates: every row of the trace is among them, and hardly any other. Whoever reads them compares whole
    /// ids. `None` when the index could not be used: then any row may belong to the trace.
    pub rows: Option<RowRanges>,
}

/// Index files of a place.
#[derive(Debug)]
pub(crate) struct TraceIndexes {
    store: Arc<dyn ObjectStore>,
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
    pub(crate) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, tops: Mutex::default() }
    }

    /// Segments that may hold the trace, with their candidate rows, in order; those that certainly do not are left
    /// out.
    ///
    /// One small read per segment, several at once; building a missing index reads one column of its segment.
    pub(crate) async fn locate(&self, segments: &[Arc<SegmentMeta>], trace_id: TraceId) -> Vec<TraceRows> {
        let Some(prefix) = prefix(trace_id.as_bytes()) else { return Vec::new() };
        let looking = segments.to_vec().into_iter().map(async |segment: Arc<SegmentMeta>| {
            let rows = match self.rows(&segment, prefix).await {
                Ok(rows) => Some(rows),
                Err(error) => {
                    tracing::warn!(segment = %segment.path, %error, "the trace index cannot be used; all rows are read");
                    None
                }
            };
            let is_candidate = rows.as_ref().is_none_or(|rows| !rows.is_empty());
            is_candidate.then_some(TraceRows { segment, rows })
        });
        let looking = futures::stream::iter(looking).buffered(READS_AT_ONCE);
        looking.filter_map(futures::future::ready).collect().await
    }

    async fn rows(&self, segment: &SegmentMeta, prefix: u64) -> Result<RowRanges> {
        match self.read(segment, prefix).await {
            Ok(Some(rows)) => return Ok(rows),
            Ok(None) => tracing::debug!(segment = %segment.path, "its trace index is missing or damaged: built again"),
            Err(error) => {
                tracing::debug!(segment = %segment.path, %error, "its trace index cannot be read: built again");
            }
        }
        self.forget(&segment.path);
        self.build(segment).await?;
        let path = || paths::index(&segment.path).to_string().into();
        let rebuilt = self.read(segment, prefix).await;
        rebuilt
            .map_err(|error| Error::Damaged { path: path(), detail: error.to_string() })?
            .ok_or_else(|| Error::Damaged { path: path(), detail: "it was just written and is damaged".to_owned() })
    }

    /// From the index file; `None` when it is missing or damaged.
    async fn read(&self, segment: &SegmentMeta, prefix: u64) -> object_store::Result<Option<RowRanges>> {
        let path = paths::index(&segment.path);
        let cached = self.tops().by_path.get(&segment.path).cloned();
        let top = match cached {
            Some(top) => top,
            None => match self.read_top(&path, segment.n_rows).await {
                Ok(Some(top)) => self.remember(&segment.path, top),
                Ok(None) | Err(object_store::Error::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        let Some(block) = top.block(prefix) else { return Ok(Some(RowRanges::default())) };
        let bytes = self.store.get_range(&path, block.offset..block.offset + u64::from(block.length)).await?;
        Ok(block.rows(&bytes, prefix))
    }

    async fn read_top(&self, path: &Path, n_rows: u64) -> object_store::Result<Option<Top>> {
        // One read for head and top of almost every file; a second one for a very long top.
        let options = GetOptions { range: Some((0..TOP_READ_BYTES).into()), ..GetOptions::default() };
        let found = self.store.get_opts(path, options).await?;
        let size = found.meta.size;
        let mut bytes = found.bytes().await?;
        let Some(head) = bytes.first_chunk::<HEAD_BYTES>().copied() else { return Ok(None) };
        let Some(n_bytes) = top_bytes(&head, n_rows) else { return Ok(None) };
        let end = HEAD_BYTES + n_bytes;
        if end as u64 > size {
            return Ok(None);
        }
        if end > bytes.len() {
            bytes = self.store.get_range(path, 0..end as u64).await?;
        }
        Ok(bytes.get(HEAD_BYTES..end).and_then(|top| Top::parse(&head, top)))
    }

    /// Makes the index of a segment from the segment.
    async fn build(&self, segment: &SegmentMeta) -> Result<()> {
        let reader = ParquetRecordBatchStreamBuilder::new(SegmentReader::new(&self.store, segment)).await?;
        let mask = ProjectionMask::columns(reader.parquet_schema(), [INDEXED_COLUMN]);
        let mut batches = reader.with_projection(mask).build()?;
        let mut index = IndexBuilder::default();
        while let Some(rows) = batches.try_next().await? {
            if let Some(ids) = rows.column_by_name(INDEXED_COLUMN) {
                index.add(ids);
            }
        }
        self.store.put(&paths::index(&segment.path), index.finish().into()).await?;
        Ok(())
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
