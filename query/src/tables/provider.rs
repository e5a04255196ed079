//! One table of one snapshot as DataFusion sees it: live segments, then buffered rows.
//!
//! ```text
//!   UnionExec
//!     DataSourceExec   segments that prune.rs kept, newest first, Parquet
//!     DataSourceExec   buffered batches that overlap the time range, in memory
//! ```
//!
//! In SQL, moments are `Timestamp(ns, UTC)`; at rest they are 64-bit integers. The scan reads integers and
//! gives them another name for the same bits, so comparisons with moments still prune row groups and pages:
//! DataFusion turns the comparison round instead of casting the column.
//!
//! Rows that were erased are left out on top (`visible.rs`).
//!
//! When a query names its traces, the trace index says which rows of which segments to decode. [`Located`] does the
//! same for links and messages, which no filter on a column can name.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::parquet::{ParquetFileReaderFactory, ParquetRowSelection};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use model::TraceId;
use parquet::arrow::arrow_reader::RowSelection;
use storage::table::{Kind, SPANS, Table};
use storage::{SegmentMeta, SegmentRows, Snapshot, TableSnapshot};

use super::footers::readers;
use super::leaves::{LeafReaders, Needed};
use super::prune::Bounds;
use super::readers::IndexedReaders;
use super::scan::{Asked, Scanned};
use super::visible::{self, VisibleExec};
use crate::functions::shown_text;

/// Look-ups in the trace index for one scan: traces times segments. Each is less than a microsecond while the filters are
/// in memory and a small read of about 10 us otherwise; with more than this a scan is as fast.
pub(crate) const LOOK_UPS_MAX: usize = 50_000;

/// A segment to read and, when the trace index knows, which of its rows.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) segment: Arc<SegmentMeta>,
    pub(super) rows: Option<Vec<Range<usize>>>,
}

/// A batch of the write buffer, and which of its rows are read; `None` for all.
struct Buffered<'a> {
    records: &'a RecordBatch,
    rows: Option<UInt32Array>,
}

/// The column that names a row's trace.
pub(super) const TRACE_COLUMN: &str = "trace_id";

/// Where every session finds the segments of its snapshot.
pub(crate) const STORE_URL: &str = "hodoscope://segments/";

/// The time zone of every moment in SQL.
pub(crate) const UTC: &str = "UTC";

/// The Arrow type of a moment in SQL.
pub(crate) fn moment_type() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some(UTC.into()))
}

/// The schema of a table in SQL: as at rest, with moments as timestamps.
pub(crate) fn sql_schema(table: &Table) -> SchemaRef {
    let field = |column: &storage::table::Column| -> Field {
        match column.kind {
            Kind::UnixNanos => column.field().with_data_type(moment_type()),
            _ => column.field(),
        }
    };
    Arc::new(Schema::new(table.columns().iter().map(field).collect::<Vec<_>>()))
}

/// Spans that may link to certain traces or carry certain messages. Others are among them: whoever reads the rows
/// compares.
#[derive(Debug)]
pub(crate) struct Located {
    pub(super) parts: Vec<Part>,
    pub(super) buffer: Vec<RecordBatch>,
}

impl Located {
    /// Looks into the indexes and the buffer; `None` when there are certainly none.
    pub(crate) async fn find(snapshot: &Snapshot, targets: &[TraceId], messages: &[String]) -> Option<Self> {
        let entry = snapshot.table(&SPANS)?;
        let mut rows_of: HashMap<object_store::path::Path, Part> = HashMap::new();
        let mut buffer: Vec<RecordBatch> = Vec::new();
        for target in targets {
            add_parts(&mut rows_of, entry.locate_links_to(*target).await);
        }
        for message in messages {
            add_parts(&mut rows_of, entry.locate_message_id(message).await);
        }
        if !targets.is_empty() {
            buffer.extend(entry.buffered_links_to(targets));
        }
        if !messages.is_empty() {
            buffer.extend(entry.buffered_message_ids(messages));
        }
        let parts = rows_of.into_values().map(|part| Part { rows: part.rows.map(joined), ..part });
        let located = Self { parts: newest_first(parts.collect()), buffer };
        (!located.parts.is_empty() || !located.buffer.is_empty()).then_some(located)
    }
}

/// One table of one snapshot.
#[derive(Debug)]
pub(crate) struct SnapshotTable {
    table: &'static Table,
    schema: SchemaRef,
    snapshot: Arc<Snapshot>,
    /// Only these rows.
    only: Option<Located>,
}

impl SnapshotTable {
    pub(crate) fn new(table: &'static Table, snapshot: Arc<Snapshot>) -> Self {
        Self { table, schema: sql_schema(table), snapshot, only: None }
    }

    /// The located spans and no others.
    pub(crate) fn located(snapshot: Arc<Snapshot>, located: Located) -> Self {
        Self { only: Some(located), ..Self::new(&SPANS, snapshot) }
    }

    fn entry(&self) -> Option<&TableSnapshot> {
        self.snapshot.table(self.table)
    }

    /// Segments that may hold wanted rows, newest first.
    async fn parts(&self, bounds: &Bounds) -> Vec<Part> {
        let Some(entry) = self.entry() else { return Vec::new() };
        let wanted: Vec<Arc<SegmentMeta>> =
            entry.segments.iter().filter(|segment| bounds.may_hold(segment)).cloned().collect();
        match &bounds.traces {
            Some(traces) if traces.len().saturating_mul(wanted.len()) <= LOOK_UPS_MAX => {
                parts_of(entry, &wanted, traces).await
            }
            _ => newest_first(wanted.into_iter().map(|segment| Part { segment, rows: None }).collect()),
        }
    }

    /// Buffered batches that may hold wanted rows; only these rows when the query names its traces.
    fn buffered(&self, bounds: &Bounds) -> Vec<Buffered<'_>> {
        let Some(entry) = self.entry() else { return Vec::new() };
        if let Some(traces) = bounds.traces.as_ref().filter(|_| self.table.column(TRACE_COLUMN).is_some()) {
            let traces: Vec<TraceId> = traces.iter().copied().collect();
            let found = entry.buffered_rows(&traces).into_iter();
            return found.map(|(records, rows)| Buffered { records, rows: Some(rows) }).collect();
        }
        let wanted = entry.buffer.iter().filter(|rows| bounds.may_hold_time(rows.time_range));
        wanted.map(|rows| Buffered { records: &rows.records, rows: None }).collect()
    }

    fn scan_both(&self, asked: Asked<'_>, parts: &[Part], batches: &[Buffered<'_>]) -> Result<Arc<dyn ExecutionPlan>> {
        match (parts.is_empty(), batches.is_empty()) {
            (false, true) => self.scan_segments(asked, parts),
            (true, _) => self.scan_buffer(asked, batches),
            (false, false) => {
                UnionExec::try_new(vec![self.scan_segments(asked, parts)?, self.scan_buffer(asked, batches)?])
            }
        }
    }

    fn scan_segments(&self, asked: Asked<'_>, parts: &[Part]) -> Result<Arc<dyn ExecutionPlan>> {
        let state = asked.state;
        let readers = readers(state.runtime_env(), &self.snapshot);
        let is_located = parts.iter().any(|part| part.rows.is_some());
        let readers: Arc<dyn ParquetFileReaderFactory> = match self.needed(asked.filters) {
            _ if is_located => Arc::new(IndexedReaders(readers)),
            Some(needed) => Arc::new(LeafReaders { readers: Arc::new(readers), needed: Arc::new(needed) }),
            None => Arc::new(readers),
        };
        let options = TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        let source = ParquetSource::new(Arc::clone(&self.schema))
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(readers);
        let files: Vec<_> = parts.iter().map(|part| self.file(part)).collect();
        let n_groups = state.config_options().execution.target_partitions.min(files.len()).max(1);
        let mut groups: Vec<Vec<PartitionedFile>> = vec![Vec::new(); n_groups];
        for (index, file) in files.into_iter().enumerate() {
            groups[index % n_groups].push(file);
        }
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::parse(STORE_URL)?, Arc::new(source))
            .with_file_groups(groups.into_iter().map(FileGroup::new).collect())
            .with_projection_indices(asked.projection.cloned())?
            .with_limit(asked.limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// What a row group must hold, when a filter wants an attribute of a certain text.
    fn needed(&self, filters: &[Expr]) -> Option<Needed> {
        let shown = filters.iter().find_map(shown_text)?;
        let column = |name: &str| self.table.column(name).map(|(_, column)| column.name);
        let elsewhere = match shown.elsewhere {
            Some((name, keys)) => Some((column(name)?, keys.into_iter().map(str::to_owned).collect())),
            None => None,
        };
        let bounds = Bounds::from_filters(self.table.time, filters);
        let text = shown.text.to_owned();
        Some(Needed { column: column(shown.column)?, text, elsewhere, time: self.table.time, bounds })
    }

    /// A segment with what is known about its rows, so that DataFusion can skip it while it runs.
    fn file(&self, Part { segment, rows }: &Part) -> PartitionedFile {
        let mut statistics = Statistics::new_unknown(&self.schema);
        let n_rows = usize::try_from(segment.n_rows).unwrap_or(usize::MAX);
        statistics.num_rows = match rows {
            None => Precision::Exact(n_rows),
            Some(rows) => Precision::Inexact(rows.iter().map(ExactSizeIterator::len).sum()),
        };
        if let Some((index, _)) = self.table.column(self.table.time) {
            let moment = |nanos: i64| Precision::Exact(ScalarValue::TimestampNanosecond(Some(nanos), Some(UTC.into())));
            statistics.column_statistics[index] = ColumnStatistics {
                null_count: Precision::Exact(0),
                min_value: moment(segment.time_range.start.0),
                max_value: moment(segment.time_range.end.0.saturating_sub(1)),
                ..ColumnStatistics::new_unknown()
            };
        }
        let statistics = if rows.is_some() { statistics.to_inexact() } else { statistics };
        let file =
            PartitionedFile::new(segment.path.to_string(), segment.size_bytes).with_statistics(Arc::new(statistics));
        match rows {
            None => file,
            Some(rows) => {
                let selection = RowSelection::from_consecutive_ranges(rows.iter().cloned(), n_rows);
                file.with_extension(ParquetRowSelection::new(selection))
            }
        }
    }

    fn scan_buffer(&self, asked: Asked<'_>, batches: &[Buffered<'_>]) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = asked.schema(&self.schema)?;
        let n_partitions = asked.state.config_options().execution.target_partitions.min(batches.len()).max(1);
        let mut partitions: Vec<Vec<RecordBatch>> = vec![Vec::new(); n_partitions];
        for (index, batch) in batches.iter().enumerate() {
            let shown = as_sql(batch.records, asked.projection, &schema)?;
            partitions[index % n_partitions].push(match &batch.rows {
                Some(rows) => take_record_batch(&shown, rows)?,
                None => shown,
            });
        }
        Ok(MemorySourceConfig::try_new_exec(&partitions, schema, None)?)
    }
}

/// Those of these segments with rows of some traces, newest first, and which of their rows.
pub(super) async fn parts_of(
    entry: &TableSnapshot,
    segments: &[Arc<SegmentMeta>],
    traces: &BTreeSet<TraceId>,
) -> Vec<Part> {
    let mut rows_of: HashMap<object_store::path::Path, Part> = HashMap::new();
    for trace in traces {
        add_parts(&mut rows_of, entry.locate_trace_among(segments, *trace).await);
    }
    newest_first(rows_of.into_values().map(|part| Part { rows: part.rows.map(joined), ..part }).collect())
}

/// Adds rows of one look-up to those of others.
fn add_parts(rows_of: &mut HashMap<object_store::path::Path, Part>, located: Vec<SegmentRows>) {
    for located in located {
        let ranges = located.rows.map(|rows| rows.ranges().iter().map(as_usize).collect::<Vec<_>>());
        let part = rows_of
            .entry(located.segment.path.clone())
            .or_insert_with(|| Part { segment: Arc::clone(&located.segment), rows: Some(Vec::new()) });
        part.rows = part.rows.take().zip(ranges).map(|(mut known, mut more)| {
            known.append(&mut more);
            known
        });
    }
}

fn newest_first(mut parts: Vec<Part>) -> Vec<Part> {
    parts.sort_by(|a, b| {
        let (a, b) = (&a.segment, &b.segment);
        b.time_range.end.cmp(&a.time_range.end).then_with(|| a.path.cmp(&b.path))
    });
    parts
}

fn as_usize(range: &Range<u64>) -> Range<usize> {
    let number = |row: u64| usize::try_from(row).unwrap_or(usize::MAX);
    number(range.start)..number(range.end)
}

/// Ranges in order, those that overlap or touch made one.
fn joined(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    let mut joined: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

/// The projected columns with moments as timestamps; no bytes are copied.
pub(crate) fn as_sql(batch: &RecordBatch, projection: Option<&Vec<usize>>, schema: &SchemaRef) -> Result<RecordBatch> {
    let batch = match projection {
        Some(indices) => batch.project(indices)?,
        None => batch.clone(),
    };
    let n_rows = batch.num_rows();
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| {
        if column.data_type() == field.data_type() { Ok(Arc::clone(column)) } else { cast(column, field.data_type()) }
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(n_rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

#[async_trait]
impl Scanned for SnapshotTable {
    const TYPE: TableType = TableType::Base;

    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    async fn scan(&self, asked: Asked<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let erasures = self.entry().map(|entry| &entry.erasures).filter(|erasures| !erasures.is_empty());
        if let Some(erasures) = erasures {
            let n_shown = asked.projection.map_or(self.schema.fields().len(), Vec::len);
            let columns = visible::columns(erasures, self.table, asked.projection);
            // Rows are left out above: the scan cannot know when it has enough.
            let rows = self.scan_all(Asked { projection: Some(&columns), limit: None, ..asked }).await?;
            return Ok(Arc::new(VisibleExec::new(rows, erasures.clone(), n_shown)?));
        }
        self.scan_all(asked).await
    }
}

impl SnapshotTable {
    /// Segments and buffer, with rows that are erased.
    async fn scan_all(&self, asked: Asked<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(Located { parts, buffer }) = &self.only {
            let whole = |records| Buffered { records, rows: None };
            return self.scan_both(asked, parts, &buffer.iter().map(whole).collect::<Vec<_>>());
        }
        let bounds = Bounds::from_filters(self.table.time, asked.filters);
        let parts = self.parts(&bounds).await;
        self.scan_both(asked, &parts, &self.buffered(&bounds))
    }
}
