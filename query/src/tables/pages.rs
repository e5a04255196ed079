//! A few rows of one row group, of whose columns only the pages with these rows are fetched and decompressed.
//!
//! ```text
//!   row group   trace_id  |page 0|page 1|page 2|…        rows 2,050 and 2,051 are asked for:
//!               name |dict|page 0|page 1|page 2|…        page 1 of each column, and the dictionaries
//! ```
//!
//! That much any reader of Parquet does. But arrow-rs makes a decompressor for every column of every row group, 160 KB each
//! that are asked of the allocator, set up and given back: for the one row of a trace in each of eight row groups of fifty columns
//! that is most of the work. Here each thread has one ([`decompressed`]), and pages reach arrow-rs as if they had never been
//! compressed: [`Pages`]. Everything else, from page headers to nested lists, is arrow-rs. See docs/decisions/41-reads-by-id.md.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReader, RowGroups, RowSelection};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::{ProjectionMask, parquet_to_arrow_field_levels};
use parquet::basic::Compression;
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::reader::{ChunkReader, Length, SerializedPageReader};
use zstd::bulk::Decompressor;
use zstd::zstd_safe::get_frame_content_size;

/// When selected and left out rows take turns more often than this, on average, arrow-rs reads what lies between them too, and
/// then those pages have to be there. It does so below 32.
const ROWS_PER_TURN_MIN: usize = 64;

/// Rows of a row group that are to be read.
#[derive(Debug)]
pub(super) struct Selected {
    pub(super) metadata: Arc<ParquetMetaData>,
    /// Number of the row group.
    pub(super) group: usize,
    /// Leaves to read.
    pub(super) mask: ProjectionMask,
    /// Rows, counted in the row group.
    pub(super) rows: RowSelection,
}

/// The pages of a row group that hold selected rows, as they are in the file.
#[derive(Debug)]
pub(super) struct Fetched {
    selected: Selected,
    /// By leaf; none for leaves that are not asked for.
    chunks: Vec<Option<Arc<Chunk>>>,
}

impl Selected {
    /// Bytes of the file that [`Self::fetch`] holds.
    pub(super) fn n_bytes(&self) -> u64 {
        self.ranges().iter().flatten().map(|range| range.end - range.start).sum()
    }

    /// One request for everything: neighbouring pages are joined further down.
    ///
    /// # Errors
    /// What the reader said.
    pub(super) async fn fetch(self, reader: &mut dyn AsyncFileReader) -> Result<Fetched> {
        let ranges = self.ranges();
        let mut bytes = reader.get_byte_ranges(ranges.iter().flatten().cloned().collect()).await?.into_iter();
        let columns = self.metadata.row_group(self.group).columns();
        let chunk = |(ranges, column): (&Vec<Range<u64>>, &ColumnChunkMetaData)| {
            let parts = ranges.iter().map(|range| range.start).zip(bytes.by_ref()).collect();
            (!ranges.is_empty()).then(|| Arc::new(Chunk { length: column.byte_range().1, parts }))
        };
        let chunks = ranges.iter().zip(columns).map(chunk).collect();
        Ok(Fetched { selected: self, chunks })
    }

    /// What is read of each leaf: its dictionary and the pages with selected rows, or those between the first and the last.
    fn ranges(&self) -> Vec<Vec<Range<u64>>> {
        let row_group = self.metadata.row_group(self.group);
        let n_rows = usize::try_from(row_group.num_rows()).unwrap_or_default();
        let n_turns = self.rows.iter().count();
        let is_sparse = n_turns.saturating_mul(ROWS_PER_TURN_MIN) <= n_rows;
        let between = (!is_sparse).then(|| between(&self.rows, n_rows));
        let of_leaf = |(leaf, column): (usize, &ColumnChunkMetaData)| {
            if !self.mask.leaf_included(leaf) {
                return Vec::new();
            }
            let (start, length) = column.byte_range();
            let Some(pages) = self.locations(leaf) else { return std::iter::once(start..start + length).collect() };
            let first = pages.first().and_then(|page| u64::try_from(page.offset).ok());
            let dictionary = first.filter(|first| *first > start).map(|first| start..first);
            dictionary.into_iter().chain(between.as_ref().unwrap_or(&self.rows).scan_ranges(pages)).collect()
        };
        row_group.columns().iter().enumerate().map(of_leaf).collect()
    }

    /// Where the pages of a leaf begin; `None` when the file does not say.
    fn locations(&self, leaf: usize) -> Option<&[PageLocation]> {
        let locations = self.metadata.offset_index()?.get(self.group)?.get(leaf)?.page_locations();
        (!locations.is_empty()).then_some(locations.as_slice())
    }
}

/// From the first selected row to the last one.
fn between(rows: &RowSelection, n_rows: usize) -> RowSelection {
    let (mut at, mut first, mut end) = (0, None, 0);
    for turn in rows.iter() {
        if !turn.skip && turn.row_count > 0 {
            first = first.or(Some(at));
            end = at + turn.row_count;
        }
        at += turn.row_count;
    }
    RowSelection::from_consecutive_ranges(first.map(|first| first..end).into_iter(), n_rows)
}

impl Fetched {
    /// The rows, `batch_rows` at a time. `arrow` is what the file says about its columns.
    ///
    /// # Errors
    /// What cannot be decoded.
    pub(super) fn decode(&self, arrow: &ArrowReaderMetadata, batch_rows: usize) -> Result<ParquetRecordBatchReader> {
        let schema = self.selected.metadata.file_metadata().schema_descr();
        let levels = parquet_to_arrow_field_levels(schema, self.selected.mask.clone(), Some(arrow.schema().fields()))?;
        let rows = Some(self.selected.rows.clone());
        ParquetRecordBatchReader::try_new_with_row_groups(&levels, self, batch_rows, rows)
    }
}

impl RowGroups for Fetched {
    fn num_rows(&self) -> usize {
        usize::try_from(self.selected.metadata.row_group(self.selected.group).num_rows()).unwrap_or_default()
    }

    fn column_chunks(&self, leaf: usize) -> Result<Box<dyn PageIterator>> {
        let chunk = self.chunks.get(leaf).and_then(Option::as_ref);
        let chunk = chunk.ok_or_else(|| ParquetError::General(format!("leaf {leaf} was not fetched")))?;
        let column = self.selected.metadata.row_group(self.selected.group).column(leaf);
        let locations = self.selected.locations(leaf).map(<[_]>::to_vec);
        let pages = Pages::new(Arc::clone(chunk), column, self.num_rows(), locations)?;
        Ok(Box::new(OneChunk(Some(pages))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.selected.metadata.row_group(self.selected.group)))
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.selected.metadata
    }
}

/// The pages of the only column chunk there is.
struct OneChunk(Option<Pages>);

impl Iterator for OneChunk {
    type Item = Result<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(|pages| Ok(Box::new(pages) as Box<dyn PageReader>))
    }
}

impl PageIterator for OneChunk {}

/// Parts of a column chunk.
#[derive(Debug)]
struct Chunk {
    /// Bytes of the whole chunk.
    length: u64,
    /// Where each begins in the file, in that order.
    parts: Vec<(u64, Bytes)>,
}

impl Chunk {
    /// Everything that is there from `start` on, up to the next gap.
    fn rest(&self, start: u64) -> Result<Bytes> {
        let at = self.parts.partition_point(|(first, _)| *first <= start);
        let part = at.checked_sub(1).and_then(|at| self.parts.get(at));
        let found = part.and_then(|(first, bytes)| {
            let skipped = usize::try_from(start - first).ok().filter(|skipped| *skipped <= bytes.len())?;
            Some(bytes.slice(skipped..))
        });
        found.ok_or_else(|| ParquetError::EOF(format!("the page at byte {start} was not fetched")))
    }
}

impl Length for Chunk {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Chunk {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(self.rest(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let bytes = self.rest(start)?;
        if bytes.len() < length {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} were not all fetched")));
        }
        Ok(bytes.slice(..length))
    }
}

/// Pages of a column chunk, decompressed on the way.
struct Pages {
    inner: SerializedPageReader<Chunk>,
    /// Largest page there can be, in bytes, when `inner` hands pages out as they are in the file.
    bytes_max: Option<usize>,
}

impl Pages {
    fn new(
        chunk: Arc<Chunk>,
        column: &ColumnChunkMetaData,
        n_rows: usize,
        locations: Option<Vec<PageLocation>>,
    ) -> Result<Self> {
        if !matches!(column.compression(), Compression::ZSTD(_)) {
            let inner = SerializedPageReader::new(chunk, column, n_rows, locations)?;
            return Ok(Self { inner, bytes_max: None });
        }
        let as_is = column.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build()?;
        let inner = SerializedPageReader::new(chunk, &as_is, n_rows, locations)?;
        Ok(Self { inner, bytes_max: Some(usize::try_from(column.uncompressed_size()).unwrap_or_default()) })
    }
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        match (self.inner.get_next_page()?, self.bytes_max) {
            (Some(page), Some(bytes_max)) => unpacked(page, bytes_max).map(Some),
            (page, _) => Ok(page),
        }
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.inner.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.inner.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.inner.at_record_boundary()
    }
}

/// A page as if it had never been compressed.
fn unpacked(mut page: Page, bytes_max: usize) -> Result<Page> {
    match &mut page {
        Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => *buf = decompressed(&[], buf, bytes_max)?,
        Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, is_compressed, .. } => {
            // Levels stand before the values and are never compressed.
            let n_levels = *def_levels_byte_len as usize + *rep_levels_byte_len as usize;
            let (levels, values) = buf
                .split_at_checked(n_levels)
                .ok_or_else(|| ParquetError::EOF("a page ends within its levels".to_owned()))?;
            if *is_compressed && !values.is_empty() {
                *buf = decompressed(levels, values, bytes_max)?;
            }
        }
    }
    Ok(page)
}

thread_local! {
    /// The decompressor of this thread, 160 KB, once it was needed.
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// `before`, then what `compressed` holds, which must not be more than `bytes_max`.
fn decompressed(before: &[u8], compressed: &[u8], bytes_max: usize) -> Result<Bytes> {
    let wrong = |detail: String| ParquetError::General(format!("a page cannot be decompressed: {detail}"));
    // Frames name their size; one that does not is cut where its column ends.
    let n_bytes = get_frame_content_size(compressed).map_err(|error| wrong(error.to_string()))?;
    let n_bytes = n_bytes.map_or(Some(bytes_max), |n| usize::try_from(n).ok()).filter(|n| *n <= bytes_max);
    let n_bytes = n_bytes.ok_or_else(|| wrong(format!("it would be larger than its column, {bytes_max} bytes")))?;
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(decompressor) => decompressor,
            None => kept.insert(Decompressor::new().map_err(|error| wrong(error.to_string()))?),
        };
        let values = decompressor.decompress(compressed, n_bytes).map_err(|error| wrong(error.to_string()))?;
        Ok(if before.is_empty() { values.into() } else { [before, &values].concat().into() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, AsArray as _, Int64Array, ListArray, RecordBatch, StringArray, StructArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::compute::concat_batches;
    use arrow::datatypes::{DataType, Field, Fields, Int64Type};
    use futures::FutureExt as _;
    use futures::future::BoxFuture;
    use parquet::arrow::ArrowWriter;
    use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
    use parquet::file::metadata::PageIndexPolicy;
    use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};

    const ROWS: usize = 6_000;
    const GROUP_ROWS: usize = 4_000;

    /// A number, a text that repeats, one that does not and is sometimes null, and a list of 0 to 3 pairs.
    fn records() -> RecordBatch {
        let number: ArrayRef = Arc::new(Int64Array::from_iter_values(0..ROWS as i64));
        let label: ArrayRef =
            Arc::new((0..ROWS).map(|n| Some(format!("label {}", n / 50 % 7))).collect::<StringArray>());
        let text: ArrayRef =
            Arc::new((0..ROWS).map(|n| (n % 3 > 0).then(|| format!("{n} {}", n * n))).collect::<StringArray>());
        let n_pairs = |row: usize| row % 4;
        let rows: Vec<usize> = (0..ROWS).flat_map(|row| std::iter::repeat_n(row, n_pairs(row))).collect();
        let keys: ArrayRef = Arc::new(rows.iter().map(|row| Some(format!("key {}", row % 5))).collect::<StringArray>());
        let values: ArrayRef =
            Arc::new(rows.iter().map(|row| (row % 2 == 0).then_some(*row as i64)).collect::<Int64Array>());
        let fields =
            Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Int64, true)]);
        let pairs = StructArray::new(fields.clone(), vec![keys, values], None);
        let item = Arc::new(Field::new("element", DataType::Struct(fields), false));
        let lengths = OffsetBuffer::from_lengths((0..ROWS).map(n_pairs));
        let pairs: ArrayRef = Arc::new(ListArray::new(item, lengths, Arc::new(pairs), None));
        RecordBatch::try_from_iter([("number", number), ("label", label), ("text", text), ("pairs", pairs)])
            .expect("columns of one length")
    }

    fn file(properties: WriterPropertiesBuilder) -> Bytes {
        let properties = properties
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_data_page_row_count_limit(200)
            .set_write_batch_size(100)
            .build();
        let (mut bytes, records) = (Vec::new(), records());
        let mut writer = ArrowWriter::try_new(&mut bytes, records.schema(), Some(properties)).expect("a schema");
        writer.write(&records).expect("memory takes everything");
        writer.close().expect("memory takes everything");
        bytes.into()
    }

    /// A file in memory, and what was read of it.
    struct Counting {
        bytes: Bytes,
        n_read: u64,
    }

    impl AsyncFileReader for Counting {
        fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
            self.n_read += range.end - range.start;
            let bytes = self.bytes.slice(range.start as usize..range.end as usize);
            std::future::ready(Ok(bytes)).boxed()
        }

        fn get_metadata<'a>(
            &'a mut self,
            _: Option<&'a ArrowReaderOptions>,
        ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
            std::future::ready(Err(ParquetError::General("nobody asks for it".to_owned()))).boxed()
        }
    }

    /// Rows by [`Selected`] with what was read for them, and by arrow-rs alone.
    async fn read(file: &Bytes, group: usize, mask: &[usize], rows: &RowSelection) -> (RecordBatch, RecordBatch, u64) {
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let arrow = ArrowReaderMetadata::load(file, options).expect("it is Parquet");
        let metadata = Arc::clone(arrow.metadata());
        let mask = ProjectionMask::leaves(metadata.file_metadata().schema_descr(), mask.iter().copied());
        let expected = ParquetRecordBatchReaderBuilder::new_with_metadata(file.clone(), arrow.clone())
            .with_row_groups(vec![group])
            .with_projection(mask.clone())
            .with_row_selection(rows.clone())
            .build()
            .expect("it can be read");
        let mut reader = Counting { bytes: file.clone(), n_read: 0 };
        let selected = Selected { metadata, group, mask, rows: rows.clone() };
        let fetched = selected.fetch(&mut reader).await.expect("it is in memory");
        let found = fetched.decode(&arrow, 64).expect("it can be read");
        let [found, expected] = [found, expected].map(|reader| {
            let batches: Vec<RecordBatch> = reader.map(|batch| batch.expect("whole")).collect();
            concat_batches(&batches[0].schema(), &batches).expect("one schema")
        });
        (found, expected, reader.n_read)
    }

    fn zstd() -> WriterPropertiesBuilder {
        WriterProperties::builder().set_compression(Compression::ZSTD(Default::default()))
    }

    /// Where pages begin stands in the headers of the pages only.
    fn without_index() -> WriterPropertiesBuilder {
        zstd().set_statistics_enabled(EnabledStatistics::None).set_offset_index_disabled(true)
    }

    /// Whatever the file is like and however rows lie, they are those that arrow-rs reads by itself.
    #[tokio::test]
    async fn rows_are_those_of_any_reader() {
        let files = [
            file(zstd()),
            file(zstd().set_writer_version(WriterVersion::PARQUET_2_0)),
            file(zstd().set_dictionary_enabled(false)),
            file(without_index()),
            file(WriterProperties::builder().set_compression(Compression::UNCOMPRESSED)),
            file(WriterProperties::builder().set_compression(Compression::LZ4_RAW)),
        ];
        for (number, file) in files.iter().enumerate() {
            for (group, n_rows) in [(0, GROUP_ROWS), (1, ROWS - GROUP_ROWS)] {
                let few = RowSelection::from_consecutive_ranges([7..8, 199..203, 1_500..1_501].into_iter(), n_rows);
                let last = RowSelection::from_consecutive_ranges(std::iter::once(n_rows - 1..n_rows), n_rows);
                let every_other = (0..n_rows / 2).map(|n| 2 * n..2 * n + 1);
                let many = RowSelection::from_consecutive_ranges(every_other, n_rows);
                let all = RowSelection::from_consecutive_ranges(std::iter::once(0..n_rows), n_rows);
                let every_third = (0..150).map(|n| 900 + 3 * n..901 + 3 * n);
                let close = RowSelection::from_consecutive_ranges(every_third, n_rows);
                for rows in [few, last, many, close, all] {
                    for mask in [&[0, 1, 2, 3, 4][..], &[0], &[1, 4]] {
                        let (found, expected, _) = read(file, group, mask, &rows).await;
                        assert_eq!(found, expected, "file {number}, row group {group}, leaves {mask:?}, {rows:?}");
                        assert_eq!(found.num_rows(), rows.row_count());
                    }
                }
            }
        }
    }

    /// One row costs one page of 200 rows of each column, not the 4,000 rows of the row group.
    #[tokio::test]
    async fn only_pages_with_rows_are_read() {
        let rows = RowSelection::from_consecutive_ranges(std::iter::once(1_234..1_235), GROUP_ROWS);
        let leaves = [0, 1, 2, 3, 4];
        let (found, _, n_read) = read(&file(zstd().set_dictionary_enabled(false)), 0, &leaves, &rows).await;
        assert_eq!(found.column(0).as_primitive::<Int64Type>().value(0), 1_234);
        let (.., n_all) = read(&file(without_index().set_dictionary_enabled(false)), 0, &leaves, &rows).await;
        assert!(n_read * 4 < n_all, "{n_read} bytes of {n_all}");
        let close = RowSelection::from_consecutive_ranges((0..150).map(|n| 900 + 3 * n..901 + 3 * n), GROUP_ROWS);
        let (.., n_read) = read(&file(zstd().set_dictionary_enabled(false)), 0, &leaves, &close).await;
        assert!(n_read * 4 < n_all, "{n_read} bytes of {n_all}: the pages between the first and the last");
    }

    /// A frame that lies about its size, or is none, is an error and takes no memory.
    #[test]
    fn damaged_pages_are_errors() {
        let page = zstd::bulk::compress(&[7; 1_000], 1).expect("memory takes everything");
        assert_eq!(decompressed(&[], &page, 1_000).expect("whole"), [7; 1_000][..]);
        assert_eq!(decompressed(&[1, 2], &page, 1_000).expect("whole").len(), 1_002);
        assert!(decompressed(&[], &page, 999).is_err(), "more than the column holds");
        assert!(decompressed(&[], &page[..page.len() - 1], 1_000).is_err(), "cut");
        assert!(decompressed(&[], b"no frame at all", 1_000).is_err());
        let chunk = Chunk { length: 100, parts: vec![(10, Bytes::from_static(&[0; 20]))] };
        assert_eq!(chunk.get_bytes(15, 15).expect("there").len(), 15);
        for (start, length) in [(9, 1), (15, 16), (31, 1)] {
            assert!(chunk.get_bytes(start, length).is_err(), "{length} bytes at {start}");
        }
    }
}
