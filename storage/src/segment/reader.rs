//! Reading a segment from its object store.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};

use crate::snapshot::SegmentMeta;

/// Bytes read at the end of a file to learn its layout: footer and page index of most segments.
const TAIL_BYTES: usize = 64 << 10;

/// One segment, read in ranges; for `ParquetRecordBatchStreamBuilder`.
#[derive(Clone, Debug)]
pub(crate) struct SegmentReader {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size_bytes: u64,
}

impl SegmentReader {
    pub(crate) fn new(store: &Arc<dyn ObjectStore>, segment: &SegmentMeta) -> Self {
        Self { store: Arc::clone(store), path: segment.path.clone(), size_bytes: segment.size_bytes }
    }
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for SegmentReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        async move { self.store.get_range(&self.path, range).await.map_err(external) }.boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        async move { self.store.get_ranges(&self.path, &ranges).await.map_err(external) }.boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        let column_index = options.map_or(PageIndexPolicy::Skip, ArrowReaderOptions::column_index_policy);
        let offset_index = options.map_or(PageIndexPolicy::Skip, ArrowReaderOptions::offset_index_policy);
        async move {
            let reader = ParquetMetaDataReader::new()
                .with_metadata_options(options.map(|options| options.metadata_options().clone()))
                .with_column_index_policy(column_index)
                .with_offset_index_policy(offset_index)
                .with_prefetch_hint(Some(TAIL_BYTES));
            let size_bytes = self.size_bytes;
            Ok(Arc::new(reader.load_and_finish(self, size_bytes).await?))
        }
        .boxed()
    }
}
