//! Rows found by an id, read without a statement: for questions of our own that are asked many times a second, or once
//! for each of hundreds of traces.
//!
//! Planning a statement over a table of fifty columns takes longer than reading a few of its rows, and a list of a
//! thousand ids passes through every rule of the optimizer. And a scan opens every column of every row group that it
//! touches, 30 us each for the decompressor alone, although a row group has values in half of them: rows are sorted by
//! service and name, so that a column of databases is empty in most, and another says the same in each row (`constants.rs`). Here
//! only columns with values of their own are opened; whoever reads the rows takes a missing column for null, as with older segments. See docs/decisions/41-reads-by-id.md.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, take_record_batch};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetFileReaderFactory as _;
use datafusion::execution::SessionState;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::{Stream, TryStreamExt as _};
use model::{TimeRange, TraceId};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection};
use parquet::arrow::async_reader::AsyncFileReader as _;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use storage::table::Table;
use storage::{SegmentMeta, Snapshot};
use tokio::task::JoinSet;

use super::constants::Constants;
use super::footers::readers;
use super::pages::Selected;
use super::provider::{LOOK_UPS_MAX, Located, Part, TRACE_COLUMN, parts_of};
use super::readers::IndexedReader;
use crate::engine::session::{Cost, sliced_bytes};
use crate::error::{Error, Result};
use crate::rows::Bytes;

/// Rows that are read without a statement, and the bytes they may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) rows: usize,
    pub(crate) bytes: u64,
}

/// Rows of some traces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) table: &'static Table,
    pub(crate) traces: &'a BTreeSet<TraceId>,
    /// Segments without rows in here are not read.
    pub(crate) within: TimeRange,
}

/// Rows that were read without a statement, and what that took.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) batches: Vec<RecordBatch>,
    /// Rows that were decoded or taken from the buffer: also those that only share a hash with what was wanted.
    pub(crate) cost: Cost,
}

/// Row groups read at the same time.
const AT_ONCE: usize = 8;
/// Rows of a batch, unless they are long.
const BATCH_ROWS: usize = 1_024;

/// The rows of some traces, with these columns, of which `trace_id` must be one. `None` when a statement is the better way:
/// there are too many, an index cannot be used, or rows are being erased.
///
/// A column stands as `name`, or as `name.leaf` for a leaf of a list of structs.
///
/// # Errors
/// What went wrong while reading.
pub(crate) async fn of_traces(
    state: &SessionState,
    snapshot: &Arc<Snapshot>,
    wanted: &Wanted<'_>,
    columns: &[&'static str],
    room: Room,
) -> Result<Option<Found>> {
    let traces = wanted.traces;
    let Some(entry) = snapshot.table(wanted.table) else { return Ok(Some(Found::default())) };
    let segments: Vec<Arc<SegmentMeta>> =
        entry.segments.iter().filter(|segment| segment.time_range.overlaps(wanted.within)).cloned().collect();
    if !entry.erasures.is_empty() || traces.len().saturating_mul(segments.len()) > LOOK_UPS_MAX {
        return Ok(None);
    }
    let parts = parts_of(entry, &segments, traces).await;
    let ids: Vec<TraceId> = traces.iter().copied().collect();
    let mut buffered = Vec::new();
    for (records, rows) in entry.buffered_rows(&ids) {
        buffered.push(take_record_batch(&projected(records, columns)?, &rows).map_err(arrow)?);
    }
    let Some(Found { batches, cost }) = read(state, snapshot, &parts, buffered, columns, room).await? else {
        return Ok(None);
    };
    let batches = batches.into_iter().filter_map(|batch| of_these(batch, traces).transpose());
    Ok(Some(Found { batches: batches.collect::<Result<_>>()?, cost }))
}

/// Located spans, with these columns; `None` as with [`of_traces`].
///
/// # Errors
/// What went wrong while reading.
pub(crate) async fn located(
    state: &SessionState,
    snapshot: &Arc<Snapshot>,
    located: &Located,
    columns: &[&'static str],
    room: Room,
) -> Result<Option<Found>> {
    if snapshot.table(&storage::table::SPANS).is_some_and(|entry| !entry.erasures.is_empty()) {
        return Ok(None);
    }
    let buffered = located.buffer.iter().map(|records| projected(records, columns)).collect::<Result<Vec<_>>>()?;
    read(state, snapshot, &located.parts, buffered, columns, room).await
}

/// The name of the column that a leaf belongs to.
fn root(column: &'static str) -> &'static str {
    column.split_once('.').map_or(column, |(root, _)| root)
}

/// The columns of buffered rows, whole where a leaf is asked for.
fn projected(records: &RecordBatch, columns: &[&'static str]) -> Result<RecordBatch> {
    let schema = records.schema();
    let positions: Vec<usize> =
        columns.iter().filter_map(|column| schema.column_with_name(root(column)).map(|(at, _)| at)).collect();
    records.project(&positions).map_err(arrow)
}

/// Rows of these traces; whoever shares a hash with them is left out.
fn of_these(batch: RecordBatch, traces: &BTreeSet<TraceId>) -> Result<Option<RecordBatch>> {
    let ids = Bytes::of(&batch, TRACE_COLUMN);
    let is_wanted = |row| ids.get(row).and_then(TraceId::from_bytes).is_some_and(|id| traces.contains(&id));
    let wanted: BooleanArray = (0..batch.num_rows()).map(|row| Some(is_wanted(row))).collect();
    Ok(match wanted.true_count() {
        0 => None,
        n if n == batch.num_rows() => Some(batch),
        _ => Some(filter_record_batch(&batch, &wanted).map_err(arrow)?),
    })
}

async fn read(
    state: &SessionState,
    snapshot: &Arc<Snapshot>,
    parts: &[Part],
    buffered: Vec<RecordBatch>,
    columns: &[&'static str],
    room: Room,
) -> Result<Option<Found>> {
    let mut n_rows: usize = buffered.iter().map(RecordBatch::num_rows).sum();
    for part in parts {
        let Some(rows) = &part.rows else { return Ok(None) };
        n_rows = n_rows.saturating_add(rows.iter().map(ExactSizeIterator::len).sum());
    }
    if n_rows > room.rows {
        return Ok(None);
    }
    let n_bytes: u64 = buffered.iter().map(sliced_bytes).sum();
    if n_bytes > room.bytes {
        return Ok(None);
    }
    let readers = readers(state.runtime_env(), snapshot);
    // One column at least is read, so that batches have rows.
    let skippable: HashSet<&str> = columns.iter().copied().filter(|column| *column != TRACE_COLUMN).collect();
    let (mut reading, mut batches, mut number) = (JoinSet::new(), vec![(0, buffered)], 0);
    // Readers count in here what they fetch.
    let metrics = ExecutionPlanMetricsSet::new();
    let n_bytes = Arc::new(AtomicU64::new(n_bytes));
    for part in parts {
        let file = PartitionedFile::new(part.segment.path.to_string(), part.segment.size_bytes);
        let open = || readers.create_reader(0, file.clone(), None, &metrics).map(IndexedReader);
        let metadata = open()?.get_metadata(None).await.map_err(parquet)?;
        let schema = ArrowReaderMetadata::try_new(Arc::clone(&metadata), ArrowReaderOptions::new()).map_err(parquet)?;
        let groups = metadata.row_groups().iter().map(|group| usize::try_from(group.num_rows()).unwrap_or_default());
        for (group, rows) in by_group(groups, part.rows.as_deref().unwrap_or_default()) {
            let constants = Constants::of(&schema, metadata.row_group(group), &skippable).map_err(parquet)?;
            let mask = with_values(&metadata, metadata.row_group(group), columns, &constants);
            let batch_rows = batch_rows(metadata.row_group(group), &mask, room);
            let selected = Selected { metadata: Arc::clone(&metadata), group, mask, rows };
            if selected.n_bytes() > room.bytes / AT_ONCE as u64 {
                return Ok(None);
            }
            number += 1;
            let (at, n_bytes, schema, mut reader) = (number, Arc::clone(&n_bytes), schema.clone(), open()?);
            reading.spawn(async move {
                let fetched = selected.fetch(&mut reader).await.map_err(parquet)?;
                let rows = fetched.decode(&schema, batch_rows).map_err(parquet)?;
                let rows = rows.map(|batch| constants.beside(&batch.map_err(arrow)?).map_err(parquet));
                let rows = futures::stream::iter(rows);
                let batches = up_to(rows, &n_bytes, room.bytes).await?;
                Ok::<_, Error>(batches.map(|batches| (at, batches)))
            });
            if reading.len() >= AT_ONCE && !take_one(&mut reading, &mut batches).await? {
                return Ok(None);
            }
        }
    }
    while !reading.is_empty() {
        if !take_one(&mut reading, &mut batches).await? {
            return Ok(None);
        }
    }
    // In the order of segments and rows, whoever was read first.
    batches.sort_by_key(|(number, _)| *number);
    let batches: Vec<RecordBatch> = batches.into_iter().flat_map(|(_, batches)| batches).collect();
    let rows_read = batches.iter().map(|batch| batch.num_rows() as u64).sum();
    let bytes_read = metrics.clone_inner().sum_by_name("bytes_scanned").map_or(0, |value| value.as_usize() as u64);
    Ok(Some(Found { batches, cost: Cost { rows_read, bytes_read } }))
}

/// Batches of one row group with what all of them together hold, batch by batch; `None` as soon as that is more than
/// `bytes_max`.
async fn up_to(
    batches: impl Stream<Item = Result<RecordBatch>>,
    n_bytes: &AtomicU64,
    bytes_max: u64,
) -> Result<Option<Vec<RecordBatch>>> {
    let (mut batches, mut read) = (std::pin::pin!(batches), Vec::new());
    while let Some(batch) = batches.try_next().await? {
        let here = sliced_bytes(&batch);
        if n_bytes.fetch_add(here, Ordering::Relaxed).saturating_add(here) > bytes_max {
            return Ok(None);
        }
        read.push(batch);
        // Decoding never waits: others get their turn here.
        tokio::task::consume_budget().await;
    }
    Ok(Some(read))
}

/// Rows of a batch: fewer where they are so long that a batch of each reader would not fit. Texts in a dictionary are longer than
/// they are stored.
fn batch_rows(group: &RowGroupMetaData, mask: &ProjectionMask, room: Room) -> usize {
    let read = group.columns().iter().enumerate().filter(|(leaf, _)| mask.leaf_included(*leaf));
    let n_bytes = read.map(|(_, column)| u64::try_from(column.uncompressed_size()).unwrap_or_default()).sum::<u64>();
    let n_rows = u64::try_from(group.num_rows()).unwrap_or_default().max(1);
    let fitting = room.bytes / AT_ONCE as u64 / (n_bytes / n_rows).max(1);
    usize::try_from(fitting).unwrap_or(usize::MAX).clamp(1, BATCH_ROWS)
}

/// Rows of a row group with its place in the order; `None` when there was no room for them.
type Read = Option<(usize, Vec<RecordBatch>)>;

/// Waits for one of the row groups that are being read; false when there is no room for it.
async fn take_one(reading: &mut JoinSet<Result<Read>>, batches: &mut Vec<(usize, Vec<RecordBatch>)>) -> Result<bool> {
    match reading.join_next().await {
        None => Ok(true),
        Some(Ok(read)) => Ok(match read? {
            Some(read) => {
                batches.push(read);
                true
            }
            None => false,
        }),
        Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Some(Err(error)) => Err(Error::Internal(error.to_string())),
    }
}

/// Which rows of which row groups, of which the numbers of rows are given; row groups without any are left out.
fn by_group(groups: impl Iterator<Item = usize>, rows: &[Range<usize>]) -> Vec<(usize, RowSelection)> {
    let (mut found, mut start) = (Vec::new(), 0);
    for (number, n_rows) in groups.enumerate() {
        let end = start + n_rows;
        let first = rows.partition_point(|range| range.end <= start);
        let here = rows[first..].iter().take_while(|range| range.start < end);
        let within = |range: &Range<usize>| range.start.max(start) - start..range.end.min(end) - start;
        let here: Vec<Range<usize>> = here.map(within).collect();
        if !here.is_empty() {
            found.push((number, RowSelection::from_consecutive_ranges(here.into_iter(), n_rows)));
        }
        start = end;
    }
    found
}

/// The leaves of the columns that have values of their own in a row group, or of which that is not known.
pub(super) fn with_values(
    metadata: &ParquetMetaData,
    group: &RowGroupMetaData,
    columns: &[&'static str],
    constants: &Constants,
) -> ProjectionMask {
    let schema = metadata.file_metadata().schema_descr();
    let mut wanted: HashMap<&str, Option<&str>> = HashMap::new();
    for column in columns {
        wanted.insert(root(column), column.split_once('.').map(|(_, leaf)| leaf));
    }
    let is_wanted = |leaf: &usize| {
        let parts = schema.column(*leaf);
        let parts = parts.path().parts();
        let Some(only) = parts.first().and_then(|root| wanted.get(root.as_str())) else { return false };
        if constants.has(parts[0].as_str()) {
            return false;
        }
        let is_asked = only.is_none_or(|only| parts.last().is_some_and(|last| last == only));
        let column = group.column(*leaf);
        let n_nulls = column.statistics().and_then(|statistics| statistics.null_count_opt());
        // A list without entries counts as a null in each of its leaves, and as a value that is there.
        let is_empty = n_nulls.is_some_and(|n| i64::try_from(n) == Ok(column.num_values()));
        is_asked && !is_empty
    };
    ProjectionMask::leaves(schema, (0..schema.num_columns()).filter(is_wanted))
}

pub(super) fn arrow(error: arrow::error::ArrowError) -> Error {
    datafusion::error::DataFusionError::from(error).into()
}

pub(super) fn parquet(error: parquet::errors::ParquetError) -> Error {
    datafusion::error::DataFusionError::from(error).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::span::Span;
    use crate::testing::{Fixture, TestSpan, span, spans_batch, tenant, trace_id};
    use crate::trace::plain;
    use datafusion::prelude::ident;
    use futures::StreamExt as _;
    use model::AttributeValue;
    use storage::table::SPANS;

    /// ```text
    ///   row groups  |0..........10|10..........20|20..........30|30..35|
    ///   rows           2-3  8---------12             25            34
    /// ```
    #[test]
    fn rows_are_those_of_their_row_group() {
        let groups = || [10, 10, 10, 5].into_iter();
        let rows = [2..4, 8..13, 25..26, 34..35];
        let found = by_group(groups(), &rows);
        let selected = |n: usize, ranges: &[(usize, usize)]| {
            RowSelection::from_consecutive_ranges(ranges.iter().map(|(start, end)| *start..*end), n)
        };
        let expected = [
            (0, selected(10, &[(2, 4), (8, 10)])),
            (1, selected(10, &[(0, 3)])),
            (2, selected(10, &[(5, 6)])),
            (3, selected(5, &[(4, 5)])),
        ];
        assert_eq!(found, expected);
        assert_eq!(by_group(groups(), &[10..20, 20..30]).len(), 2);
        assert!(by_group(groups(), &[]).is_empty());
    }

    /// Reading ends with the batch that no longer fits, whoever read the others; what comes after it is not decoded.
    #[tokio::test]
    async fn reading_ends_where_the_room_does() {
        let batch = spans_batch(&[span(1, 1, None, "work", 0, 1)]).records().clone();
        let (n_bytes, n_polled) = (AtomicU64::new(0), AtomicU64::new(0));
        let batches = || {
            futures::stream::iter(0..100).map(|_| {
                n_polled.fetch_add(1, Ordering::Relaxed);
                Ok(batch.clone())
            })
        };
        let room = 10 * sliced_bytes(&batch);
        assert_eq!(up_to(batches().take(6), &n_bytes, room).await.expect("rows").map(|read| read.len()), Some(6));
        assert!(
            up_to(batches(), &n_bytes, room).await.expect("rows").is_none(),
            "six and four fit, the fifth does not"
        );
        assert_eq!(n_polled.load(Ordering::Relaxed), 6 + 5);
    }

    /// Rows of 100 KB come a few at a time, short ones by the thousand.
    #[tokio::test]
    async fn long_rows_come_in_small_batches() {
        let long = |n: u64| TestSpan {
            attributes: vec![("text", AttributeValue::String(char::from(b'a' + n as u8).to_string().repeat(100_000)))],
            ..span(n, n, None, "long", n as i64, 1)
        };
        let spans: Vec<TestSpan> = (1..=20).map(long).collect();
        let fixture = Fixture::new(vec![spans_batch(&spans)]).await.flushed().await;
        let session = fixture.engine.session(fixture.engine.snapshot(&tenant())).expect("a session");
        let traces: BTreeSet<TraceId> = (1..=20).map(trace_id).collect();
        let room = Room { rows: 100, bytes: 4 << 20 };
        let rows_of = async |columns: &[&'static str]| {
            session.derived.stored.rows_of(&SPANS, &traces, columns, room).await.expect("rows").expect("they fit")
        };
        let n_rows = |batches: Vec<RecordBatch>| batches.iter().map(RecordBatch::num_rows).collect::<Vec<_>>();
        assert_eq!(n_rows(rows_of(&["trace_id", "start_time"]).await), [20]);
        let long = n_rows(rows_of(&["trace_id", "attributes"]).await);
        assert!(long.iter().sum::<usize>() == 20 && long.iter().all(|n| *n <= 5), "{long:?}");
    }

    /// Rows of some traces in segments and buffer, columns with values in some rows only or in none: the same spans as by a
    /// statement.
    #[tokio::test]
    async fn the_rows_are_those_of_a_statement() {
        let text = |text: &str| AttributeValue::String(text.to_owned());
        let spans: Vec<TestSpan> = (0..600)
            .map(|n| {
                let mut span = span(n % 50 + 1_001, n + 1_000, None, "work", n as i64, 1);
                if n % 3 == 0 {
                    span.columns = vec![("http_route", text("/a")), ("http_status_code", AttributeValue::Int(500))];
                    span.links = vec![(n % 7 + 1, 1)];
                }
                span.attributes = vec![("number", AttributeValue::Int(n as i64))];
                span
            })
            .collect();
        let fixture = Fixture::mixed(&spans).await;
        fixture.append(spans_batch(&[span(1_001, 1, None, "late", 5, 1)])).await;
        let session = fixture.engine.session(fixture.engine.snapshot(&tenant())).expect("a session");
        let stored = &session.derived.stored;
        let sorted = |batches: &[RecordBatch]| {
            let mut reader = plain::Reader::default();
            let mut spans: Vec<Span> = batches.iter().flat_map(|batch| reader.read(batch)).collect();
            spans.sort_by_key(|span| (span.trace_id, span.span_id));
            spans
        };
        let columns: Vec<&'static str> = plain::column_names().collect();
        for (traces, n_spans) in
            [(vec![1_001], 13), (vec![1_002, 1_050], 24), ((1_001..1_051).collect(), 601), (vec![7], 0)]
        {
            let traces: BTreeSet<TraceId> = traces.into_iter().map(trace_id).collect();
            let room = |rows| Room { rows, bytes: 1 << 20 };
            let rows = stored.rows_of(&SPANS, &traces, &columns, room(n_spans)).await.expect("rows").expect("few");
            let ids = traces.iter().map(|trace| crate::trace::literal(trace.as_bytes())).collect();
            let frame = session.table(&SPANS).expect("a frame").filter(ident("trace_id").in_list(ids, false));
            let frame = frame.and_then(|frame| frame.select(plain::columns())).expect("a frame");
            let expected = session.collect(frame, 1_000).await.expect("rows");
            assert_eq!(sorted(&rows), sorted(&expected.batches));
            assert_eq!(sorted(&rows).len(), n_spans);
            if n_spans > 0 {
                let rows = stored.rows_of(&SPANS, &traces, &columns, room(n_spans - 1)).await.expect("rows");
                assert!(rows.is_none(), "one more than there is room for");
                let room = Room { rows: n_spans, bytes: 10 };
                let rows = stored.rows_of(&SPANS, &traces, &columns, room).await.expect("rows");
                assert!(rows.is_none(), "more bytes than there is room for");
            }
        }
    }

    /// What reading took is told: rows of segments and buffer, bytes of segments only.
    #[tokio::test]
    async fn the_cost_is_that_of_the_columns() {
        let spans: Vec<TestSpan> = (1..=500).map(|n| span(n % 50 + 1, n, None, "work", n as i64, 1)).collect();
        let fixture = Fixture::new(vec![spans_batch(&spans)]).await.flushed().await;
        fixture.append(spans_batch(&[span(7, 1_000, None, "late", 600, 1)])).await;
        let session = fixture.engine.session(fixture.engine.snapshot(&tenant())).expect("a session");
        let cost = async |trace: u64, columns: &[&'static str]| {
            let (traces, room) = (BTreeSet::from([trace_id(trace)]), Room { rows: 100, bytes: 1 << 20 });
            let found = session.derived.stored.rows_within(&SPANS, &traces, columns, room, TimeRange::ALL).await;
            found.expect("rows").expect("they fit").cost
        };
        let few = cost(7, &["trace_id", "start_time"]).await;
        let more = cost(7, &["trace_id", "start_time", "name", "span_id", "duration_nanos"]).await;
        assert_eq!((few.rows_read, more.rows_read), (11, 11));
        assert!(0 < few.bytes_read && few.bytes_read < more.bytes_read, "{few:?}, {more:?}");
        let nothing = Cost::default();
        assert_eq!(cost(77, &["trace_id"]).await, nothing, "the index knows that there are none");
    }
}
