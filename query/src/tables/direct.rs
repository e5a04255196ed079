//! Rows found by an id, read without a statement: for questions of our own that are asked many times a second, or once
//! for each of hundreds of traces.
//!
//! Planning a statement over a table of fifty columns takes longer than reading a few of its rows, and a list of a
//! thousand ids passes through every rule of the optimizer. And a scan opens every column of every row group that it
//! touches, 30 us each for the decompressor alone, although a row group has values in half of them: rows are sorted by
//! service and name, so that a column of databases is empty in most. Here only columns with values are opened; whoever
//! reads the rows takes a missing column for null, as with older segments. See docs/decisions/41-reads-by-id.md.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, take_record_batch};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetFileReaderFactory as _};
use datafusion::execution::SessionState;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::TryStreamExt as _;
use model::TraceId;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection};
use parquet::arrow::async_reader::{AsyncFileReader as _, ParquetRecordBatchStreamBuilder};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use storage::Snapshot;
use storage::table::Table;
use tokio::task::JoinSet;

use super::provider::{LOOK_UPS_MAX, Located, Part, TRACE_COLUMN, parts_of};
use super::readers::IndexedReader;
use crate::engine::session::sliced_bytes;
use crate::error::{Error, Result};
use crate::rows::Bytes;

/// Rows that are read without a statement, and the bytes they may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) rows: usize,
    pub(crate) bytes: u64,
}

/// Row groups read at the same time.
const AT_ONCE: usize = 8;

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
    table: &'static Table,
    traces: &BTreeSet<TraceId>,
    columns: &[&'static str],
    room: Room,
) -> Result<Option<Vec<RecordBatch>>> {
    let Some(entry) = snapshot.table(table) else { return Ok(Some(Vec::new())) };
    if !entry.erasures.is_empty() || traces.len().saturating_mul(entry.segments.len()) > LOOK_UPS_MAX {
        return Ok(None);
    }
    let parts = parts_of(entry, &entry.segments, traces).await;
    let ids: Vec<TraceId> = traces.iter().copied().collect();
    let mut buffered = Vec::new();
    for (records, rows) in entry.buffered_rows(&ids) {
        buffered.push(take_record_batch(&projected(records, columns)?, &rows).map_err(arrow)?);
    }
    let Some(batches) = read(state, snapshot, &parts, buffered, columns, room).await? else { return Ok(None) };
    Ok(Some(batches.into_iter().filter_map(|batch| of_these(batch, traces)).collect()))
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
) -> Result<Option<Vec<RecordBatch>>> {
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
fn of_these(batch: RecordBatch, traces: &BTreeSet<TraceId>) -> Option<RecordBatch> {
    let ids = Bytes::of(&batch, TRACE_COLUMN);
    let is_wanted = |row| ids.get(row).and_then(TraceId::from_bytes).is_some_and(|id| traces.contains(&id));
    let wanted: BooleanArray = (0..batch.num_rows()).map(|row| Some(is_wanted(row))).collect();
    match wanted.true_count() {
        0 => None,
        n if n == batch.num_rows() => Some(batch),
        _ => filter_record_batch(&batch, &wanted).ok(),
    }
}

async fn read(
    state: &SessionState,
    snapshot: &Arc<Snapshot>,
    parts: &[Part],
    buffered: Vec<RecordBatch>,
    columns: &[&'static str],
    room: Room,
) -> Result<Option<Vec<RecordBatch>>> {
    let mut n_rows: usize = buffered.iter().map(RecordBatch::num_rows).sum();
    for part in parts {
        let Some(rows) = &part.rows else { return Ok(None) };
        n_rows = n_rows.saturating_add(rows.iter().map(ExactSizeIterator::len).sum());
    }
    if n_rows > room.rows {
        return Ok(None);
    }
    let mut n_bytes: u64 = buffered.iter().map(sliced_bytes).sum();
    if n_bytes > room.bytes {
        return Ok(None);
    }
    let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
    let readers = CachedParquetFileReaderFactory::new(Arc::clone(&snapshot.store), cache);
    let columns: Arc<[&'static str]> = columns.into();
    let (mut reading, mut batches, mut number) = (JoinSet::new(), vec![(0, buffered)], 0);
    for part in parts {
        let file = PartitionedFile::new(part.segment.path.to_string(), part.segment.size_bytes);
        let metrics = ExecutionPlanMetricsSet::new();
        let open = || readers.create_reader(0, file.clone(), None, &metrics).map(IndexedReader);
        let metadata = open()?.get_metadata(None).await.map_err(parquet)?;
        let arrow = ArrowReaderMetadata::try_new(Arc::clone(&metadata), ArrowReaderOptions::new()).map_err(parquet)?;
        let groups = metadata.row_groups().iter().map(|group| usize::try_from(group.num_rows()).unwrap_or_default());
        for (group, rows) in by_group(groups, part.rows.as_deref().unwrap_or_default()) {
            let mask = with_values(&metadata, metadata.row_group(group), &columns);
            let stream = ParquetRecordBatchStreamBuilder::new_with_metadata(open()?, arrow.clone())
                .with_row_groups(vec![group])
                .with_row_selection(rows)
                .with_projection(mask)
                .build()
                .map_err(parquet)?;
            number += 1;
            let at = number;
            reading.spawn(async move { Ok::<_, Error>((at, stream.try_collect::<Vec<_>>().await.map_err(parquet)?)) });
            if reading.len() >= AT_ONCE && !take_one(&mut reading, &mut batches, &mut n_bytes, room).await? {
                return Ok(None);
            }
        }
    }
    while !reading.is_empty() {
        if !take_one(&mut reading, &mut batches, &mut n_bytes, room).await? {
            return Ok(None);
        }
    }
    // In the order of segments and rows, whoever was read first.
    batches.sort_by_key(|(number, _)| *number);
    Ok(Some(batches.into_iter().flat_map(|(_, batches)| batches).collect()))
}

/// Waits for one of the row groups that are being read; false when there is no room for it.
async fn take_one(
    reading: &mut JoinSet<Result<(usize, Vec<RecordBatch>)>>,
    batches: &mut Vec<(usize, Vec<RecordBatch>)>,
    n_bytes: &mut u64,
    room: Room,
) -> Result<bool> {
    match reading.join_next().await {
        None => {}
        Some(Ok(read)) => {
            let read = read?;
            *n_bytes += read.1.iter().map(sliced_bytes).sum::<u64>();
            batches.push(read);
        }
        Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Some(Err(error)) => return Err(Error::Internal(error.to_string())),
    }
    Ok(*n_bytes <= room.bytes)
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

/// The leaves of the columns that have a value in a row group, or of which that is not known.
fn with_values(metadata: &ParquetMetaData, group: &RowGroupMetaData, columns: &[&'static str]) -> ProjectionMask {
    let schema = metadata.file_metadata().schema_descr();
    let mut wanted: HashMap<&str, Option<&str>> = HashMap::new();
    for column in columns {
        wanted.insert(root(column), column.split_once('.').map(|(_, leaf)| leaf));
    }
    let is_wanted = |leaf: &usize| {
        let parts = schema.column(*leaf);
        let parts = parts.path().parts();
        let Some(only) = parts.first().and_then(|root| wanted.get(root.as_str())) else { return false };
        let is_asked = only.is_none_or(|only| parts.last().is_some_and(|last| last == only));
        let n_nulls = group.column(*leaf).statistics().and_then(|statistics| statistics.null_count_opt());
        // Of lists, null counts say something else.
        let is_empty = parts.len() == 1 && n_nulls.is_some_and(|n| i64::try_from(n) == Ok(group.num_rows()));
        is_asked && !is_empty
    };
    ProjectionMask::leaves(schema, (0..schema.num_columns()).filter(is_wanted))
}

fn arrow(error: arrow::error::ArrowError) -> Error {
    datafusion::error::DataFusionError::from(error).into()
}

fn parquet(error: parquet::errors::ParquetError) -> Error {
    datafusion::error::DataFusionError::from(error).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::span::Span;
    use crate::testing::{Fixture, TestSpan, span, spans_batch, tenant, trace_id};
    use crate::trace::plain;
    use datafusion::prelude::ident;
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
}
