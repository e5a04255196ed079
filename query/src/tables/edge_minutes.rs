//! Sums of edges per minute in SQL: those at rest and those on demand added up, with percentiles.
//!
//! ```text
//!   rows at rest   |████▅▅███▂|███|▅▅▅▅▅▅▅▅▅▅▅▅▅|      pieces of time with at most so many rows
//!                    piece     piece  piece  ...       one in memory at a time
//! ```
//!
//! Filters on an edge and its operation are handed down; moments choose the pieces.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::{StreamExt as _, TryStreamExt as _};
use model::{TimeRange, UnixNanos};

use super::provider::moment_type;
use super::prune::Bounds;
use super::relations::internal;
use super::scan::{Asked, Scanned};
use crate::digest::on_demand::Derived;
use crate::digest::rollup::{Counts, MINUTE, Parts, SumKey};

/// What of an edge can be asked for at rest too.
const KEYS: [&str; 6] = ["src", "dst", "protocol", "system", "op", "environment"];

/// Name of the sums per minute.
pub(super) const NAME: &str = "edge_minutes";

/// One line for people about the sums per minute.
pub(super) const HELP: &str =
    "one row per edge of the service map, operation, environment and minute: rate, errors and durations";

/// Columns of the sums per minute with a line for people each; the first is the time column.
const COLUMNS: &[(&str, &str)] = &[
    ("time", "begin of the minute in which the calls began; filter by it to read fewer segments"),
    ("minute", "the same as minutes since 1970"),
    ("src", "where the edge starts, as a node of the service map"),
    ("dst", "where the edge ends"),
    ("protocol", "http, grpc, db, messaging, route, ..."),
    ("system", "product"),
    ("op", "what was asked for"),
    ("count", "calls, messages or deliveries"),
    ("errors", "those that failed"),
    ("faults", "those that failed and were not merely refused"),
    ("p50", "median of the nanoseconds perceived, within 1 %"),
    ("p95", "95th percentile of the nanoseconds perceived, within 1 %"),
    ("p99", "99th percentile of the nanoseconds perceived, within 1 %"),
    ("network_p50", "median of the nanoseconds outside the server; null when unknown"),
    ("network_p95", "95th percentile of the nanoseconds outside the server; null when unknown"),
    ("lag_p50", "median of the nanoseconds in the broker; null for calls"),
    ("lag_p95", "95th percentile of the nanoseconds in the broker; null for calls"),
    ("request_bytes", "bytes of requests and messages"),
    ("response_bytes", "bytes of answers"),
    ("first_seen", "earliest start, nanoseconds since 1970"),
    ("last_seen", "latest start, nanoseconds since 1970"),
    ("slowest", "nanoseconds of the slowest"),
    ("slowest_journey", "a journey to look at: that of the slowest"),
    ("failed_journey", "a journey to look at: that of the first that failed"),
    ("environment", "deployment environment, such as production; null when nobody said it"),
];

/// What a column of the sums per minute holds.
pub(super) fn help(column: &str) -> &'static str {
    COLUMNS.iter().find(|(name, _)| *name == column).map_or("", |(_, help)| help)
}

/// Sums of edges per minute.
#[derive(Clone, Debug)]
pub(super) struct EdgeMinutes {
    schema: SchemaRef,
    derived: Arc<Derived>,
}

impl EdgeMinutes {
    pub(super) fn new(derived: &Arc<Derived>) -> Self {
        Self { schema: schema(), derived: Arc::clone(derived) }
    }
}

fn schema() -> SchemaRef {
    let field = |(name, _): &(&str, &str)| match *name {
        "time" => Field::new(*name, moment_type(), false),
        "src" | "dst" | "protocol" | "system" | "op" => Field::new(*name, DataType::Utf8, false),
        "slowest_journey" | "failed_journey" => Field::new(*name, DataType::Binary, true),
        "environment" => Field::new(*name, DataType::Utf8, true),
        name if name.starts_with("lag_") || name.starts_with("network_") => Field::new(name, DataType::Int64, true),
        name => Field::new(name, DataType::Int64, false),
    };
    Arc::new(Schema::new(COLUMNS.iter().map(field).collect::<Vec<_>>()))
}

/// The sums as rows of the relation; edges of which nothing is left are left out.
fn rows(parts: &Parts, schema: &SchemaRef) -> Result<RecordBatch> {
    let rows: Vec<_> = parts.0.iter().filter(|(_, sums)| sums.count > 0).collect();
    let ints = |value: &dyn Fn(usize) -> Option<i64>| -> ArrayRef {
        Arc::new((0..rows.len()).map(value).collect::<Int64Array>())
    };
    let texts = |value: &dyn Fn(&SumKey) -> &str| -> ArrayRef {
        Arc::new(rows.iter().map(|(key, _)| Some(value(key))).collect::<StringArray>())
    };
    let percentile = |counts: &Counts, q: f64| {
        let sketch = counts.sketch();
        (sketch.count() > 0).then(|| sketch.percentile(q))
    };
    let (key, sums) = (|row: usize| rows[row].0, |row: usize| rows[row].1);
    let duration = |q: f64| ints(&|row| Some(percentile(&sums(row).durations, q).unwrap_or_default()));
    let network = |q: f64| ints(&|row| percentile(&sums(row).networks, q));
    let lag = |q: f64| ints(&|row| percentile(&sums(row).lags, q));
    let journey = |of: &dyn Fn(usize) -> Option<model::TraceId>| -> ArrayRef {
        let ids: Vec<Option<model::TraceId>> = (0..rows.len()).map(of).collect();
        let bytes: Vec<Option<&[u8]>> = ids.iter().map(|id| id.as_ref().map(|id| &id.as_bytes()[..])).collect();
        Arc::new(BinaryArray::from(bytes))
    };
    let column = |(name, _): &(&str, &str)| -> Result<ArrayRef> {
        Ok(match *name {
            "time" => cast(&ints(&|row| Some(key(row).minute.saturating_mul(MINUTE))), &moment_type())?,
            "minute" => ints(&|row| Some(key(row).minute)),
            "src" => texts(&|key| &key.src),
            "dst" => texts(&|key| &key.dst),
            "protocol" => texts(&|key| &key.protocol),
            "system" => texts(&|key| &key.system),
            "op" => texts(&|key| &key.op),
            "environment" => {
                let said = rows.iter().map(|(key, _)| Some(&*key.environment).filter(|text| !text.is_empty()));
                Arc::new(said.collect::<StringArray>())
            }
            "count" => ints(&|row| Some(sums(row).count)),
            "errors" => ints(&|row| Some(sums(row).errors)),
            "faults" => ints(&|row| Some(sums(row).faults)),
            "p50" => duration(0.50),
            "p95" => duration(0.95),
            "p99" => duration(0.99),
            "network_p50" => network(0.50),
            "network_p95" => network(0.95),
            "lag_p50" => lag(0.50),
            "lag_p95" => lag(0.95),
            "request_bytes" => ints(&|row| Some(sums(row).request_bytes)),
            "response_bytes" => ints(&|row| Some(sums(row).response_bytes)),
            "first_seen" => ints(&|row| Some(sums(row).first_seen.unwrap_or_default())),
            "last_seen" => ints(&|row| Some(sums(row).last_seen.unwrap_or_default())),
            "slowest" => ints(&|row| Some(sums(row).slowest.map_or(0, |(nanos, _)| nanos))),
            "slowest_journey" => journey(&|row| sums(row).slowest.map(|(_, journey)| journey)),
            "failed_journey" => journey(&|row| sums(row).failed.map(|(_, journey)| journey)),
            other => return Err(DataFusionError::Internal(format!("edge_minutes has no column {other}"))),
        })
    };
    let columns = COLUMNS.iter().map(column).collect::<Result<Vec<_>>>()?;
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

#[async_trait]
impl Scanned for EdgeMinutes {
    const TYPE: TableType = TableType::View;

    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    async fn scan(&self, asked: Asked<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let range = Bounds::from_filters("time", asked.filters).time;
        let is_key = |filter: &&Expr| {
            let columns = filter.column_refs();
            !columns.is_empty() && columns.iter().all(|column| KEYS.contains(&column.name.as_str()))
        };
        let filters: Vec<Expr> = asked.filters.iter().filter(is_key).cloned().collect();
        let pieces = self.derived.pieces(range, &filters).await.map_err(internal)?;
        let partition: Arc<dyn PartitionStream> = Arc::new(Pieces { relation: self.clone(), range, filters, pieces });
        let schema = Arc::clone(&self.schema);
        Ok(Arc::new(StreamingTableExec::try_new(schema, vec![partition], asked.projection, [], false, asked.limit)?))
    }
}

/// The pieces of one scan, one after the other.
#[derive(Debug)]
struct Pieces {
    relation: EdgeMinutes,
    range: TimeRange,
    filters: Vec<Expr>,
    pieces: Vec<TimeRange>,
}

impl PartitionStream for Pieces {
    fn schema(&self) -> &SchemaRef {
        &self.relation.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (relation, range, filters) = (self.relation.clone(), self.range, self.filters.clone());
        let schema = Arc::clone(&relation.schema);
        let batches = futures::stream::iter(self.pieces.clone()).then(move |piece| {
            let (relation, filters) = (relation.clone(), filters.clone());
            async move {
                let mut parts = relation.derived.parts_of(piece, range, &filters).await.map_err(internal)?;
                // Minutes that touch an end of the range may begin before it.
                parts.0.retain(|key, _| range.contains(UnixNanos(key.minute.saturating_mul(MINUTE))));
                rows(&parts, &relation.schema)
            }
        });
        let batches = batches.try_filter(|batch| std::future::ready(batch.num_rows() > 0));
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }
}
