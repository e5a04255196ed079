//! Every row of a time range, row group by row group, without a statement: for questions that count all of them in many columns.
//!
//! A scan opens each column of each row group it touches, 50 us at least, and a question about every attribute has sixty of them, half
//! without a value in most row groups. As in `direct.rs`, only columns with values of their own are opened here, and of a row
//! group that begins or ends outside of the range only the pages within.
//!
//! ```text
//!   segments, buffer --> pieces: row groups, batches --> | few waiting | --> a worker for each thread, with a state of its own
//! ```

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetFileReaderFactory as _;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use model::TimeRange;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;
use storage::table::Table;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use super::constants::Constants;
use super::direct::{arrow, parquet, with_values};
use super::footers::readers;
use super::leaves::leaf_of;
use super::pages::Selected;
use super::readers::IndexedReader;
use crate::engine::session::{Cost, Session};
use crate::error::{Error, Result};
use crate::rows::Ints;

/// Rows of a batch.
const BATCH_ROWS: usize = 8_192;
/// Bytes of a row group beyond which a statement reads it in smaller pieces.
const GROUP_BYTES_MAX: i64 = 32 << 20;

/// What is walked through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk<'a> {
    pub(crate) table: &'static Table,
    /// Rows whose moment lies in here.
    pub(crate) range: TimeRange,
    pub(crate) columns: &'a [&'static str],
}

/// Some rows, not read yet.
enum Piece {
    /// Rows of a row group.
    Group {
        reader: Box<dyn AsyncFileReader + Send>,
        file: ArrowReaderMetadata,
        selected: Selected,
        constants: Constants,
    },
    Buffered(RecordBatch),
}

/// Hands batches with all rows of a range to `each`, several at the same time, each with a state of its own; gives the states.
/// A column that stands nowhere in a batch is null there. `None` when a statement is the better way: rows are being erased, or
/// row groups are very large.
///
/// # Errors
/// The first that went wrong while reading, or in `each`.
pub(crate) async fn fold<T: Send + 'static>(
    session: &Session,
    walk: Walk<'_>,
    start: impl Fn() -> T,
    each: impl Fn(&mut T, RecordBatch) -> Result<()> + Clone + Send + Sync + 'static,
) -> Result<Option<(Vec<T>, Cost)>> {
    let state = session.context.state();
    let n_workers = state.config_options().execution.target_partitions.max(1);
    let (pieces, waiting) = mpsc::channel::<Piece>(n_workers);
    let waiting = Arc::new(Mutex::new(waiting));
    let mut workers = JoinSet::new();
    for _ in 0..n_workers {
        let (mut state, each, waiting, time) = (start(), each.clone(), Arc::clone(&waiting), walk.table.time);
        workers.spawn(async move {
            let mut n_rows = 0;
            loop {
                // Held until a piece has come, so that one worker waits for it and the others wait for that one.
                let Some(piece) = waiting.lock().await.recv().await else { return Ok((state, n_rows)) };
                let read = of_piece(piece, time, walk.range, |batch| {
                    n_rows += batch.num_rows() as u64;
                    each(&mut state, batch)
                });
                if let Err(error) = read.await {
                    // Nobody needs what else was to be read.
                    waiting.lock().await.close();
                    return Err(error);
                }
            }
        });
    }
    let metrics = ExecutionPlanMetricsSet::new();
    let is_walked = send_pieces(session, walk, &metrics, &pieces).await?;
    drop(pieces);
    if !is_walked {
        return Ok(None);
    }
    let (mut states, mut rows_read) = (Vec::new(), 0);
    while let Some(worker) = workers.join_next().await {
        match worker {
            Ok(ended) => {
                let (state, n_rows) = ended?;
                states.push(state);
                rows_read += n_rows;
            }
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => return Err(Error::Internal(error.to_string())),
        }
    }
    let bytes_read = metrics.clone_inner().sum_by_name("bytes_scanned").map_or(0, |value| value.as_usize() as u64);
    Ok(Some((states, Cost { rows_read, bytes_read })))
}

/// Sends what is to be read while workers take it; false when a statement is the better way.
async fn send_pieces(
    session: &Session,
    walk: Walk<'_>,
    metrics: &ExecutionPlanMetricsSet,
    pieces: &mpsc::Sender<Piece>,
) -> Result<bool> {
    let Some(entry) = session.snapshot.table(walk.table) else { return Ok(true) };
    if !entry.erasures.is_empty() {
        return Ok(false);
    }
    // A worker that failed has closed the way; it says why.
    for rows in entry.buffer.iter().filter(|rows| rows.time_range.overlaps(walk.range)) {
        let schema = rows.records.schema();
        let positions: Vec<usize> = walk.columns.iter().filter_map(|name| schema.index_of(name).ok()).collect();
        let piece = Piece::Buffered(rows.records.project(&positions).map_err(arrow)?);
        if pieces.send(piece).await.is_err() {
            return Ok(true);
        }
    }
    let readers = readers(session.context.state().runtime_env(), &session.snapshot);
    // Moments are always read, so that batches have rows.
    let skippable: HashSet<&str> = walk.columns.iter().copied().filter(|name| *name != walk.table.time).collect();
    for segment in entry.segments.iter().filter(|segment| segment.time_range.overlaps(walk.range)) {
        let file = PartitionedFile::new(segment.path.to_string(), segment.size_bytes);
        let open = || readers.create_reader(0, file.clone(), None, metrics).map(IndexedReader);
        let metadata = open()?.get_metadata(None).await.map_err(parquet)?;
        let file = ArrowReaderMetadata::try_new(Arc::clone(&metadata), ArrowReaderOptions::new()).map_err(parquet)?;
        for (group, row_group) in metadata.row_groups().iter().enumerate() {
            let rows = rows_within(&metadata, group, walk.table.time, walk.range);
            if !rows.selects_any() {
                continue;
            }
            if row_group.total_byte_size() > GROUP_BYTES_MAX {
                return Ok(false);
            }
            let constants = Constants::of(&file, row_group, &skippable).map_err(parquet)?;
            let mask = with_values(&metadata, row_group, walk.columns, &constants);
            let selected = Selected { metadata: Arc::clone(&metadata), group, mask, rows };
            let piece = Piece::Group { reader: Box::new(open()?), file: file.clone(), selected, constants };
            if pieces.send(piece).await.is_err() {
                return Ok(true);
            }
        }
    }
    Ok(true)
}

/// Rows of a row group that lie in pages with moments of a range; all of them when the file does not say.
fn rows_within(metadata: &ParquetMetaData, group: usize, time: &str, range: TimeRange) -> RowSelection {
    let n_rows = usize::try_from(metadata.row_group(group).num_rows()).unwrap_or_default();
    let of = |ranges: Vec<Range<usize>>| RowSelection::from_consecutive_ranges(ranges.into_iter(), n_rows);
    let all = || of(std::iter::once(0..n_rows).collect());
    let overlaps = |min: Option<&i64>, max: Option<&i64>| {
        min.is_none_or(|min| *min < range.end.0) && max.is_none_or(|max| *max >= range.start.0)
    };
    let Some(leaf) = leaf_of(metadata, time) else { return all() };
    if let Some(Statistics::Int64(values)) = metadata.row_group(group).column(leaf).statistics()
        && !overlaps(values.min_opt(), values.max_opt())
    {
        return of(Vec::new());
    }
    let locations = metadata.offset_index().and_then(|index| index.get(group)?.get(leaf));
    let moments = metadata.column_index().and_then(|index| index.get(group)?.get(leaf));
    let (Some(locations), Some(ColumnIndexMetaData::INT64(moments))) = (locations, moments) else { return all() };
    let first = |page: usize| {
        let row = locations.page_locations().get(page).map(|page| usize::try_from(page.first_row_index));
        row.map_or(n_rows, |row| row.unwrap_or_default())
    };
    let pages = (0..locations.page_locations().len())
        .filter(|page| overlaps(moments.min_values().get(*page), moments.max_values().get(*page)))
        .map(|page| first(page)..first(page + 1));
    of(pages.collect())
}

/// Hands the rows of a piece that lie in the range to `each`.
async fn of_piece(
    piece: Piece,
    time: &str,
    range: TimeRange,
    mut each: impl FnMut(RecordBatch) -> Result<()>,
) -> Result<()> {
    let (mut reader, file, selected, constants) = match piece {
        Piece::Buffered(rows) => return each(in_range(rows, time, range)?),
        Piece::Group { reader, file, selected, constants } => (reader, file, selected, constants),
    };
    let fetched = selected.fetch(&mut *reader).await.map_err(parquet)?;
    for batch in fetched.decode(&file, BATCH_ROWS).map_err(parquet)? {
        let batch = in_range(batch.map_err(arrow)?, time, range)?;
        if batch.num_rows() > 0 {
            each(constants.beside(&batch).map_err(parquet)?)?;
        }
        // Decoding never waits: others get their turn here, and who gave up is noticed.
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// Rows whose moment lies in the range.
fn in_range(batch: RecordBatch, time: &str, range: TimeRange) -> Result<RecordBatch> {
    if range == TimeRange::ALL {
        return Ok(batch);
    }
    let moments = Ints::of(&batch, time);
    let is_in = |row: usize| moments.get(row).is_some_and(|at| (range.start.0..range.end.0).contains(&at));
    let is_in: BooleanArray = (0..batch.num_rows()).map(|row| Some(is_in(row))).collect();
    if is_in.true_count() == batch.num_rows() {
        return Ok(batch);
    }
    filter_record_batch(&batch, &is_in).map_err(arrow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Fixture, TestSpan, span, tenant};
    use model::{AttributeValue, UnixNanos};
    use storage::table::SPANS;

    /// Rows in segments and buffer, and a part of them: each row of the range once, with its columns.
    #[tokio::test]
    async fn every_row_of_the_range_comes_once() {
        let spans: Vec<TestSpan> = (0..9_000)
            .map(|n| TestSpan {
                columns: if n % 3 == 0 {
                    vec![("http_status_code", AttributeValue::Int(n as i64 % 7))]
                } else {
                    Vec::new()
                },
                ..span(n + 1, n + 1, None, ["work", "rest"][usize::from(n % 2 == 0)], n as i64, 1)
            })
            .collect();
        let fixture = Fixture::mixed(&spans).await;
        let session = fixture.engine.session(fixture.engine.snapshot(&tenant())).expect("a session");
        let columns = ["start_time", "span_id", "name", "http_status_code", "service_name"];
        let rows = async |range: TimeRange| {
            let walk = Walk { table: &SPANS, range, columns: &columns };
            let each = |all: &mut Vec<RecordBatch>, batch: RecordBatch| {
                all.push(batch);
                Ok(())
            };
            let (parts, cost) = fold(&session, walk, Vec::new, each).await.expect("rows").expect("nothing is erased");
            let (mut found, mut n_codes) = (Vec::new(), 0);
            for batch in parts.iter().flatten() {
                let (moments, codes) = (Ints::of(batch, "start_time"), Ints::of(batch, "http_status_code"));
                assert!(batch.column_by_name("service_name").is_some(), "also where it is one value");
                n_codes += (0..batch.num_rows()).filter(|row| codes.get(*row).is_some()).count();
                found.extend((0..batch.num_rows()).map(|row| moments.int(row)));
            }
            assert_eq!(cost.rows_read as usize, found.len());
            found.sort_unstable();
            (found, n_codes)
        };
        let (all, n_codes) = rows(TimeRange::ALL).await;
        assert_eq!((all.len(), n_codes), (9_000, 3_000));
        assert!(all.is_sorted_by(|a, b| a < b), "each once");
        for (first, after) in [(0, 1), (10, 4_000), (3_000, 8_999), (8_990, 9_000)] {
            let end = all.get(after).map_or(all[after - 1] + 1, |end| *end);
            let range = TimeRange::new(UnixNanos(all[first]), UnixNanos(end));
            assert_eq!(rows(range).await.0, all[first..after], "{first} to {after}");
        }
        let after = TimeRange::new(UnixNanos(all[8_999] + 1), UnixNanos(all[8_999] + 2));
        assert_eq!(rows(after).await.0, [0i64; 0]);
    }

    /// What goes wrong in a worker ends the walk with its reason.
    #[tokio::test]
    async fn an_error_ends_the_walk() {
        let spans: Vec<TestSpan> = (1..=100).map(|n| span(n, n, None, "work", n as i64, 1)).collect();
        let fixture = Fixture::mixed(&spans).await;
        let session = fixture.engine.session(fixture.engine.snapshot(&tenant())).expect("a session");
        let walk = Walk { table: &SPANS, range: TimeRange::ALL, columns: &["start_time"] };
        let fails = |(): &mut (), _: RecordBatch| Err(Error::Internal("on purpose".to_owned()));
        let error = fold(&session, walk, || (), fails).await.expect_err("each fails");
        assert!(error.to_string().contains("on purpose"), "{error}");
    }
}
