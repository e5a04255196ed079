//! Row groups in which a text stands nowhere are not decoded: for filters that want an attribute to be shown as this text.
//!
//! A condition on the attribute list is tried while a segment is decoded, for which the Parquet reader decodes the whole list: keys and
//! six kinds of values of every entry. Most of that is not needed to know that a row group holds no such row. Before DataFusion
//! sees the footer of a segment, these readers look through the pages of the one leaf that holds texts (`page_texts.rs`; and through
//! those of other types that may be shown as this one, as far as they have values), and leave the row groups without it out of the footer.
//!
//! ```text
//!   row groups          |  a b c  |  a c  |  b a  |  c   |     wanted: b, in the last three
//!   outside the bounds  |    x    |       |       |      |     not looked at, left out
//!   without the text    |         |   x   |       |   x  |     left out
//!   what is left                          |  b a  |            decoded and filtered as ever
//! ```
//!
//! An attribute that may also stand on the resource is looked for there by its keys, which are few texts in each row group.
//!
//! A row group that holds the text is read up to there, and then once more by the scan. Segments that the scan does not open, because
//! it has newer rows enough, are not looked at either.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::ArrayRef;
use bytes::Bytes;
use datafusion::datasource::listing::{FileRange, PartitionedFile};
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetFileReaderFactory};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::TryStreamExt as _;
use futures::future::BoxFuture;
use memchr::memmem;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;

use super::page_texts;
use super::prune::Bounds;
use super::readers::IndexedReader;
use crate::functions::{any_may_hold, leaves_shown_as, may_show};

/// What a row group must hold to be decoded.
#[derive(Debug)]
pub(super) struct Needed {
    /// The column of attributes.
    pub(super) column: &'static str,
    /// What one of them is shown as.
    pub(super) text: String,
    /// Or a column of OTLP/JSON text in which an entry has one of these keys.
    pub(super) elsewhere: Option<(&'static str, Vec<String>)>,
    /// The column of moments.
    pub(super) time: &'static str,
    pub(super) bounds: Bounds,
}

/// Makes readers that leave out row groups.
#[derive(Debug)]
pub(super) struct LeafReaders {
    pub(super) readers: Arc<CachedParquetFileReaderFactory>,
    pub(super) needed: Arc<Needed>,
}

impl ParquetFileReaderFactory for LeafReaders {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> datafusion::error::Result<Box<dyn AsyncFileReader + Send>> {
        let range = file.range.clone();
        let (readers, needed, metrics) = (Arc::clone(&self.readers), Arc::clone(&self.needed), metrics.clone());
        let open = move || readers.create_reader(partition_index, file.clone(), metadata_size_hint, &metrics);
        Ok(Box::new(LeafReader { reader: open()?, open: Box::new(open), needed, range, narrowed: None }))
    }
}

/// Opens the segment once more.
type Open = dyn Fn() -> datafusion::error::Result<Box<dyn AsyncFileReader + Send>> + Send + Sync;

/// Reads a segment of which some row groups are left out.
struct LeafReader {
    reader: Box<dyn AsyncFileReader + Send>,
    open: Box<Open>,
    needed: Arc<Needed>,
    /// The part of the file that this reader is for.
    range: Option<FileRange>,
    narrowed: Option<Arc<ParquetMetaData>>,
}

impl AsyncFileReader for LeafReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        self.reader.get_bytes(range)
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        self.reader.get_byte_ranges(ranges)
    }

    /// Without options the cached factory reads the page index too.
    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        Box::pin(async move {
            if let Some(known) = &self.narrowed {
                return Ok(Arc::clone(known));
            }
            let whole = self.reader.get_metadata(None).await?;
            let arrow = ArrowReaderMetadata::try_new(Arc::clone(&whole), ArrowReaderOptions::new())?;
            let (needed, mut kept) = (Arc::clone(&self.needed), Vec::new());
            for (number, group) in whole.row_groups().iter().enumerate() {
                let is_ours = self.range.as_ref().is_none_or(|range| is_within(group, range));
                if !is_ours || !needed.may_lie_in(&whole, group) {
                    continue;
                }
                if needed.may_be_in(&*self.open, &arrow, number).await? {
                    kept.push(number);
                }
            }
            let narrowed = Arc::new(only(&whole, &kept));
            self.narrowed = Some(Arc::clone(&narrowed));
            Ok(narrowed)
        })
    }
}

/// Rows that are looked at together.
const BATCH_ROWS: usize = 8_192;

impl Needed {
    /// False when no row of the row group has what is needed.
    async fn may_be_in(&self, open: &Open, arrow: &ArrowReaderMetadata, group: usize) -> Result<bool> {
        let metadata = arrow.metadata();
        let row_group = metadata.row_group(group);
        let is_text =
            |leaf: &usize| row_group.column(*leaf).column_path().parts().last().is_some_and(|name| name == "str");
        let (texts, others): (Vec<usize>, Vec<usize>) = self.leaves(metadata, row_group).into_iter().partition(is_text);
        let reader = || open().map_err(|error| ParquetError::External(Box::new(error)));
        let text = memmem::Finder::new(&self.text);
        for leaf in texts {
            if page_texts::may_hold(&mut *reader()?, row_group, leaf, |bytes| text.find(bytes).is_some()).await? {
                return Ok(true);
            }
        }
        if any(open, arrow, group, others, |lists| may_show(lists, &self.text)).await? {
            return Ok(true);
        }
        let Some((column, keys)) = &self.elsewhere else { return Ok(false) };
        let Some(leaf) = leaf_of(metadata, column) else { return Ok(false) };
        page_texts::may_hold(&mut *reader()?, row_group, leaf, |bytes| any_may_hold(bytes, keys)).await
    }

    /// The leaves that may be shown as the text and have values.
    fn leaves(&self, metadata: &ParquetMetaData, group: &RowGroupMetaData) -> Vec<usize> {
        let schema = metadata.file_metadata().schema_descr();
        let names = leaves_shown_as(&self.text);
        let is_needed = |leaf: &usize| {
            let column = schema.column(*leaf);
            let path = column.path().parts();
            let is_shown = path.len() > 1
                && path.first().is_some_and(|root| root == self.column)
                && path.last().is_some_and(|name| names.contains(&name.as_str()));
            let chunk = group.column(*leaf);
            let n_nulls = chunk.statistics().and_then(Statistics::null_count_opt);
            // Entries that are of another type, and rows without entries, are all null here.
            let is_empty = n_nulls.is_some_and(|n| i64::try_from(n) == Ok(chunk.num_values()));
            is_shown && !is_empty
        };
        (0..schema.num_columns()).filter(is_needed).collect()
    }

    /// True when the row group may have rows within the bounds.
    fn may_lie_in(&self, metadata: &ParquetMetaData, group: &RowGroupMetaData) -> bool {
        let statistics = |name: &str| group.column(leaf_of(metadata, name)?).statistics();
        let is_in_time = match statistics(self.time) {
            Some(Statistics::Int64(values)) => {
                let (start, end) = (self.bounds.time.start.0, self.bounds.time.end.0);
                values.min_opt().is_none_or(|min| *min < end) && values.max_opt().is_none_or(|max| *max >= start)
            }
            _ => true,
        };
        // Long texts are cut: the smallest to something smaller, the largest to something larger.
        let is_of_service = match (&self.bounds.services, statistics("service_name")) {
            (Some(services), Some(Statistics::ByteArray(values))) => services.iter().any(|service| {
                values.min_opt().is_none_or(|min| min.data() <= service.as_bytes())
                    && values.max_opt().is_none_or(|max| max.data() >= service.as_bytes())
            }),
            _ => true,
        };
        is_in_time && is_of_service
    }
}

/// The leaf of a column that is no list.
pub(super) fn leaf_of(metadata: &ParquetMetaData, name: &str) -> Option<usize> {
    let schema = metadata.file_metadata().schema_descr();
    (0..schema.num_columns()).find(|leaf| schema.column(*leaf).path().parts() == [name])
}

/// Whether values of a row group pass a test; false without leaves.
async fn any(
    open: &Open,
    arrow: &ArrowReaderMetadata,
    group: usize,
    leaves: Vec<usize>,
    passes: impl Fn(&ArrayRef) -> bool,
) -> Result<bool> {
    if leaves.is_empty() {
        return Ok(false);
    }
    let reader = open().map_err(|error| ParquetError::External(Box::new(error)))?;
    let mask = ProjectionMask::leaves(arrow.metadata().file_metadata().schema_descr(), leaves);
    let mut batches = ParquetRecordBatchStreamBuilder::new_with_metadata(IndexedReader(reader), arrow.clone())
        .with_row_groups(vec![group])
        .with_projection(mask)
        .with_batch_size(BATCH_ROWS)
        .build()?;
    while let Some(batch) = batches.try_next().await? {
        if batch.columns().iter().any(&passes) {
            return Ok(true);
        }
        // Files on a disk never make anybody wait, and others want their turn.
        tokio::task::yield_now().await;
    }
    Ok(false)
}

/// The row group belongs to this part of its file, as DataFusion sees it.
fn is_within(group: &RowGroupMetaData, range: &FileRange) -> bool {
    let first = group.column(0);
    range.contains(first.dictionary_page_offset().unwrap_or_else(|| first.data_page_offset()))
}

/// A footer with only these row groups.
fn only(whole: &ParquetMetaData, kept: &[usize]) -> ParquetMetaData {
    let groups = kept.iter().map(|number| whole.row_group(*number).clone()).collect();
    let columns = whole.column_index().map(|index| kept.iter().map(|number| index[*number].clone()).collect());
    let offsets = whole.offset_index().map(|index| kept.iter().map(|number| index[*number].clone()).collect());
    ParquetMetaData::new(whole.file_metadata().clone(), groups)
        .into_builder()
        .set_column_index(columns)
        .set_offset_index(offsets)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Fixture, MS, TestSpan, at, span, spans_batch, tenant};
    use model::{AttributeValue, TimeRange, UnixNanos};
    use storage::table::SPANS;

    /// ```text
    ///   rows        0 .................. 32,767 | 32,768 .... 39,999     two row groups, by time
    ///   order.id    0                           |             39,999     number 33 is an integer
    /// ```
    #[tokio::test]
    async fn only_row_groups_with_the_text_are_decoded() {
        let spans: Vec<TestSpan> = (0..40_000u64)
            .map(|n| {
                let order = AttributeValue::String(format!("order-{n}"));
                let number = if n == 33 { AttributeValue::Int(33) } else { AttributeValue::Bool(n % 2 == 0) };
                let attributes = vec![("order.id", order), ("number", number)];
                let resource = if n == 39_999 { vec![("team", "x")] } else { Vec::new() };
                TestSpan { attributes, resource, ..span(n + 1, n + 1, None, "work", n as i64 - 40_000, 1) }
            })
            .collect();
        let fixture = Fixture::new(vec![spans_batch(&spans)]).await.flushed().await;
        let snapshot = fixture.engine.snapshot(&tenant());
        let session = fixture.engine.session(Arc::clone(&snapshot)).expect("a session");
        let state = session.context.state();
        let readers = Arc::new(crate::tables::footers::readers(state.runtime_env(), &snapshot));
        let segments = &snapshot.table(&SPANS).expect("spans").segments;
        assert_eq!(segments.len(), 1);
        let file = PartitionedFile::new(segments[0].path.to_string(), segments[0].size_bytes);
        let kept = async |text: &str, key: Option<&str>, bounds: Bounds, range: Option<(i64, i64)>| {
            let elsewhere = key.map(|key| ("resource", vec![key.to_owned()]));
            let needed = Needed { column: "attributes", text: text.to_owned(), elsewhere, time: SPANS.time, bounds };
            let readers = LeafReaders { readers: Arc::clone(&readers), needed: Arc::new(needed) };
            let mut file = file.clone();
            file.range = range.map(|(start, end)| FileRange { start, end });
            let metrics = ExecutionPlanMetricsSet::new();
            let mut reader = readers.create_reader(0, file, None, &metrics).expect("a reader");
            let metadata = reader.get_metadata(None).await.expect("a footer");
            let rows: Vec<i64> = metadata.row_groups().iter().map(RowGroupMetaData::num_rows).collect();
            let n_indexes = metadata.offset_index().map(Vec::len);
            assert!(n_indexes.is_none_or(|n| n == rows.len()), "pages of the row groups that are left");
            rows
        };
        let groups =
            async |text: &str, bounds: Bounds, range: Option<(i64, i64)>| kept(text, None, bounds, range).await;
        // What `query.metadata_cache_bytes` says: a million spans are 31 row groups, and take about 3 MiB.
        let whole = readers.create_reader(0, file.clone(), None, &ExecutionPlanMetricsSet::new()).expect("a reader");
        let whole = IndexedReader(whole).get_metadata(None).await.expect("a footer");
        let group_bytes = whole.memory_size() / whole.num_row_groups();
        assert!((40 << 10..160 << 10).contains(&group_bytes), "{group_bytes}");
        let all = || Bounds::ALL;
        let (first, second) = (32_768, 7_232);
        assert_eq!(groups("order-", all(), None).await, [first, second]);
        assert!(groups("none", all(), None).await.is_empty());
        assert_eq!(groups("order-5", all(), None).await, [first], "the beginning of others");
        assert_eq!(groups("order-39999", all(), None).await, [second]);
        assert_eq!(groups("order-32767", all(), None).await, [first]);
        assert_eq!(groups("33", all(), None).await, [first, second], "as a number, and inside of texts");
        assert_eq!(groups("34567890", all(), None).await, [first], "no such text, but there is a number");
        assert_eq!(groups("true", all(), None).await, [first, second]);
        assert_eq!(kept("none", Some("team"), all(), None).await, [second], "its resource may have it");
        assert!(kept("none", Some("order.id"), all(), None).await.is_empty());
        let moment = |n: i64| UnixNanos(at((n - 40_000) * MS));
        let late = Bounds { time: TimeRange::new(moment(32_768), moment(40_000)), ..all() };
        assert_eq!(groups("order-3", late.clone(), None).await, [second]);
        assert!(groups("order-32767", late, None).await.is_empty());
        for (service, n) in [("shop", 2), ("zoo", 0), ("bar", 0)] {
            let bounds = Bounds { services: Some([service.to_owned()].into()), ..all() };
            assert_eq!(groups("order-", bounds, None).await.len(), n, "{service}");
        }
        let end = i64::try_from(segments[0].size_bytes).expect("small");
        let parts =
            [groups("order-", all(), Some((0, end / 2))).await, groups("order-", all(), Some((end / 2, end))).await];
        assert_eq!(parts.concat(), [first, second], "each in one part");
    }
}
