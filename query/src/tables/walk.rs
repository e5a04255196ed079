//! Rows of a time range, row group by row group, without a statement: for questions that count them in many columns.
//!
//! A scan opens each column of each row group it touches, 50 us at least, and a question about every attribute has sixty of them, half
//! without a value in most row groups. As in `direct.rs`, only columns with values of their own are opened here, and of a row
//! group that begins or ends outside of the range only the pages within. Where conditions must hold (`conditions.rs`), their columns
//! are read first, and of the others only rows that are left; the last condition is tried while the others are read where it left most
//! rows before, so that no column is decoded twice for nothing.
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
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use model::TimeRange;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;
use storage::table::Table;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use super::conditions::Condition;
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
    /// What must hold of them.
    pub(crate) conditions: &'a [Expr],
}

/// A condition that does not hold or fail for a row group as a whole.
struct Tried {
    /// Its number.
    condition: usize,
    /// What is read of its columns.
    mask: ProjectionMask,
    /// Those that need not be read.
    constants: Constants,
}

/// How many rows the last condition of row groups left so far.
#[derive(Debug, Default)]
struct Left {
    n_tried: usize,
    n_held: usize,
}

impl Left {
    fn add(&mut self, holding: &BooleanArray) {
        self.n_tried += holding.len();
        self.n_held += holding.true_count();
    }

    fn is_most(&self) -> bool {
        2 * self.n_held > self.n_tried
    }
}

/// Some rows, not read yet.
enum Piece {
    /// Rows of a row group.
    Group {
        reader: Box<dyn AsyncFileReader + Send>,
        file: ArrowReaderMetadata,
        selected: Selected,
        constants: Constants,
        /// Conditions to be tried row by row.
        tried: Vec<Tried>,
    },
    Buffered(RecordBatch),
}

/// Hands batches with all rows of a range to `each`, several at the same time, each with a state of its own; gives the states.
/// A column that stands nowhere in a batch is null there. `None` when a statement is the better way: rows are being erased,
/// row groups are very large, or conditions are better tried by a statement.
///
/// # Errors
/// The first that went wrong while reading, or in `each`.
pub(crate) async fn fold<T: Send + 'static>(
    session: &Session,
    walk: Walk<'_>,
    start: impl Fn() -> T,
    each: impl Fn(&mut T, RecordBatch) -> Result<()> + Clone + Send + Sync + 'static,
) -> Result<Option<(Vec<T>, Cost)>> {
    let Some(conditions) = Condition::all(session, walk.table, walk.conditions)? else { return Ok(None) };
    let conditions: Arc<[Condition]> = conditions.into();
    let state = session.context.state();
    let n_workers = state.config_options().execution.target_partitions.max(1);
    let (pieces, waiting) = mpsc::channel::<Piece>(n_workers);
    let waiting = Arc::new(Mutex::new(waiting));
    let mut workers = JoinSet::new();
    for _ in 0..n_workers {
        let (mut state, each, waiting, time) = (start(), each.clone(), Arc::clone(&waiting), walk.table.time);
        let conditions = Arc::clone(&conditions);
        workers.spawn(async move {
            let (mut n_rows, mut left) = (0, Left::default());
            loop {
                // Held until a piece has come, so that one worker waits for it and the others wait for that one.
                let Some(piece) = waiting.lock().await.recv().await else { return Ok((state, n_rows)) };
                let read = of_piece(piece, (time, walk.range), &conditions, &mut left, |batch| each(&mut state, batch));
                match read.await {
                    Ok(n_looked_at) => n_rows += n_looked_at,
                    Err(error) => {
                        // Nobody needs what else was to be read.
                        waiting.lock().await.close();
                        return Err(error);
                    }
                }
            }
        });
    }
    let metrics = ExecutionPlanMetricsSet::new();
    let is_walked = send_pieces(session, walk, &conditions, &metrics, &pieces).await?;
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
    conditions: &[Condition],
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
        let mut names: Vec<&str> = walk.columns.to_vec();
        names.extend(conditions.iter().flat_map(Condition::columns));
        names.sort_unstable();
        names.dedup();
        let positions: Vec<usize> = names.iter().filter_map(|name| schema.index_of(name).ok()).collect();
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
            // Thousands of row groups may be passed over: who gave up is noticed here too.
            tokio::task::consume_budget().await;
            let Some(tried) = tried_in(&file, row_group, conditions)? else { continue };
            let constants = Constants::of(&file, row_group, &skippable).map_err(parquet)?;
            let mask = with_values(&metadata, row_group, walk.columns, &constants);
            let selected = Selected { metadata: Arc::clone(&metadata), group, mask, rows };
            let piece = Piece::Group { reader: Box::new(open()?), file: file.clone(), selected, constants, tried };
            if pieces.send(piece).await.is_err() {
                return Ok(true);
            }
        }
    }
    Ok(true)
}

/// Conditions that must be tried row by row in a row group; `None` when one holds for no row of it.
fn tried_in(
    file: &ArrowReaderMetadata,
    row_group: &RowGroupMetaData,
    conditions: &[Condition],
) -> Result<Option<Vec<Tried>>> {
    let mut tried = Vec::new();
    for (number, condition) in conditions.iter().enumerate() {
        let names = condition.columns().iter().copied().collect();
        let constants = Constants::of(file, row_group, &names).map_err(parquet)?;
        let mut mask = with_values(file.metadata(), row_group, condition.columns(), &constants);
        mask.union(&condition.whole(file.metadata()));
        if (0..row_group.num_columns()).any(|leaf| mask.leaf_included(leaf)) {
            tried.push(Tried { condition: number, mask, constants });
        } else if !condition.holds_for(&constants)? {
            return Ok(None);
        }
    }
    Ok(Some(tried))
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

/// Hands the rows of a piece that lie in the range and fulfil conditions to `each`; says how many were looked at.
async fn of_piece(
    piece: Piece,
    (time, range): (&str, TimeRange),
    conditions: &[Condition],
    left: &mut Left,
    mut each: impl FnMut(RecordBatch) -> Result<()>,
) -> Result<u64> {
    let (mut reader, file, mut selected, constants, mut tried) = match piece {
        Piece::Buffered(rows) => {
            let mut rows = in_range(rows, time, range)?;
            let n_rows = rows.num_rows() as u64;
            for condition in conditions {
                rows = filter_record_batch(&rows, &condition.holding(&rows)?).map_err(arrow)?;
            }
            each(rows)?;
            return Ok(n_rows);
        }
        Piece::Group { reader, file, selected, constants, tried } => (reader, file, selected, constants, tried),
    };
    let n_selected = selected.rows.row_count() as u64;
    let is_tried = !tried.is_empty();
    let last = if left.is_most() { tried.pop() } else { None };
    let n_before = tried.len();
    for (at, Tried { condition, mask, constants }) in tried.into_iter().enumerate() {
        let (metadata, group, rows) = (Arc::clone(&selected.metadata), selected.group, selected.rows.clone());
        let fetched = Selected { metadata, group, mask, rows }.fetch(&mut *reader).await.map_err(parquet)?;
        let mut holding = Vec::new();
        for batch in fetched.decode(&file, BATCH_ROWS).map_err(parquet)? {
            let batch = constants.beside(&batch.map_err(arrow)?).map_err(parquet)?;
            let holds = conditions[condition].holding(&batch)?;
            if last.is_none() && at + 1 == n_before {
                left.add(&holds);
            }
            holding.push(holds);
            tokio::task::yield_now().await;
        }
        selected.rows = selected.rows.and_then(&RowSelection::from_filters(&holding));
        if !selected.rows.selects_any() {
            return Ok(n_selected);
        }
    }
    if let Some(last) = &last {
        selected.mask.union(&last.mask);
    }
    let mut n_in_range = 0;
    let fetched = selected.fetch(&mut *reader).await.map_err(parquet)?;
    for batch in fetched.decode(&file, BATCH_ROWS).map_err(parquet)? {
        let mut batch = in_range(batch.map_err(arrow)?, time, range)?;
        n_in_range += batch.num_rows() as u64;
        if let Some(Tried { condition, constants, .. }) = &last {
            let holds = conditions[*condition].holding(&constants.beside(&batch).map_err(parquet)?)?;
            left.add(&holds);
            batch = filter_record_batch(&batch, &holds).map_err(arrow)?;
        }
        if batch.num_rows() > 0 {
            each(constants.beside(&batch).map_err(parquet)?)?;
        }
        // Decoding never waits: others get their turn here, and who gave up is noticed.
        tokio::task::yield_now().await;
    }
    Ok(if is_tried { n_selected } else { n_in_range })
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
    use crate::testing::{Fixture, TestSpan, span, spans_batch, tenant};
    use datafusion::prelude::{ident, lit};
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
            let walk = Walk { table: &SPANS, range, columns: &columns, conditions: &[] };
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

    /// Conditions leave the same rows as a statement's: on columns of one value, of many, of none in most rows, and of none at all.
    #[tokio::test]
    async fn conditions_leave_what_a_statement_leaves() {
        let text = |text: &str| AttributeValue::String(text.to_owned());
        let spans: Vec<TestSpan> = (0..9_000)
            .map(|n| TestSpan {
                service: ["web", "shop", "stock"][n as usize * 3 / 9_000],
                status: if n % 50 == 0 { 2 } else { 0 },
                columns: match n % 3 {
                    0 => vec![
                        ("http_status_code", AttributeValue::Int(200 + n as i64 % 7)),
                        ("url_path", text(&format!("/{n}"))),
                    ],
                    _ => Vec::new(),
                },
                ..span(n + 1, n + 1, None, ["work", "rest"][usize::from(n % 2 == 0)], n as i64, 1 + n as i64 % 100)
            })
            .collect();
        // Several row groups: what the last condition left of one says how the next is read.
        let mut fixture = Fixture::new(Vec::new()).await;
        for some in spans.chunks(2_000) {
            fixture = fixture.flushed().await;
            fixture.append(spans_batch(some)).await;
        }
        let session = fixture.engine.session(fixture.engine.snapshot(&tenant())).expect("a session");
        let (service, code) = (|| ident("service_name"), || ident("http_status_code"));
        let number = crate::functions::attribute_number("http.response.status_code", &SPANS).expect("a key");
        let conditions: [&[Expr]; 13] = [
            &[crate::functions::attribute_text("order.id", &SPANS).expect("a key").eq(lit("none")).is_not_true()],
            &[ident("duration_nanos").gt(lit(10_000_000i64))],
            &[number.gt(lit(204.5))],
            &[
                crate::functions::attribute_text("order.id", &SPANS).expect("a key").eq(lit("none")).is_not_true(),
                service().eq(lit("web")),
            ],
            &[service().eq(lit("shop"))],
            &[service().eq(lit("nobody"))],
            &[service().not_eq(lit("shop")), ident("name").eq(lit("work"))],
            &[ident("duration_nanos").gt(lit(50_000_000i64))],
            &[code().eq(lit(203i64))],
            &[code().eq(lit(203i64)).is_not_true(), ident("status_code").eq(lit(2))],
            &[ident("db_system").is_null()],
            &[ident("db_system").eq(lit("redis"))],
            &[ident("url_path").like(lit("/1%")).or(service().eq(lit("stock")).and(ident("status_code").eq(lit(2))))],
        ];
        for conditions in conditions {
            for range in [TimeRange::ALL, fixture_range(&session, 4_000, 7_000).await] {
                let walk = Walk { table: &SPANS, range, columns: &["start_time", "span_id"], conditions };
                let each = |all: &mut Vec<i64>, batch: RecordBatch| {
                    let moments = Ints::of(&batch, "start_time");
                    all.extend((0..batch.num_rows()).map(|row| moments.int(row)));
                    Ok(())
                };
                let (parts, _) = fold(&session, walk, Vec::new, each).await.expect("rows").expect("plain columns");
                let mut found = parts.concat();
                found.sort_unstable();
                assert_eq!(found, by_statement(&session, range, conditions).await, "{conditions:?} in {range:?}");
            }
        }
        // Ids have an index, and texts are looked for before lists are decoded.
        let text = crate::functions::attribute_is("order.id", "none", &SPANS).expect("no column of its own");
        for left in [ident("span_id").eq(lit(vec![1u8; 8])), ident("events").is_not_null(), text] {
            let walk = Walk { table: &SPANS, range: TimeRange::ALL, columns: &["start_time"], conditions: &[left] };
            assert!(fold(&session, walk, || (), |(), _| Ok(())).await.expect("no error").is_none());
        }
    }

    /// Starts of the spans that a statement finds, in order.
    async fn by_statement(session: &Session, range: TimeRange, conditions: &[Expr]) -> Vec<i64> {
        let mut frame = session.table(&SPANS).expect("a table");
        for condition in conditions {
            frame = frame.filter(condition.clone()).expect("it fits");
        }
        let collected = session.collect(frame.select(vec![ident("start_time")]).expect("a column"), 10_000).await;
        let batches = collected.expect("rows").batches;
        let starts = |batch: &RecordBatch| {
            let moments = Ints::of(batch, "start_time");
            (0..batch.num_rows()).map(|row| moments.int(row)).collect::<Vec<_>>()
        };
        let mut found: Vec<i64> = batches.iter().flat_map(starts).filter(|at| range.contains(UnixNanos(*at))).collect();
        found.sort_unstable();
        found
    }

    /// From the start of one span to that of another, by their order.
    async fn fixture_range(session: &Session, first: usize, after: usize) -> TimeRange {
        let all = by_statement(session, TimeRange::ALL, &[]).await;
        TimeRange::new(UnixNanos(all[first]), UnixNanos(all[after]))
    }

    /// What goes wrong in a worker ends the walk with its reason.
    #[tokio::test]
    async fn an_error_ends_the_walk() {
        let spans: Vec<TestSpan> = (1..=100).map(|n| span(n, n, None, "work", n as i64, 1)).collect();
        let fixture = Fixture::mixed(&spans).await;
        let session = fixture.engine.session(fixture.engine.snapshot(&tenant())).expect("a session");
        let walk = Walk { table: &SPANS, range: TimeRange::ALL, columns: &["start_time"], conditions: &[] };
        let fails = |(): &mut (), _: RecordBatch| Err(Error::Internal("on purpose".to_owned()));
        let error = fold(&session, walk, || (), fails).await.expect_err("each fails");
        assert!(error.to_string().contains("on purpose"), "{error}");
    }
}
