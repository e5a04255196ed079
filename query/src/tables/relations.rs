//! The relations of settled journeys in SQL: rows at rest, newest revisions only, and those of traces that are not at
//! rest yet.
//!
//! ```text
//!   calls, hops, segments, journeys, findings     at rest ∪ on demand, one row per thing
//!   edge_minutes                                  sums of both per minute, with percentiles
//! ```
//!
//! A query that names a time range reads and computes that range only.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use datafusion::prelude::ident;
use model::{TimeRange, UnixNanos};
use storage::table::{CALLS, FINDINGS, HOPS, JOURNEYS, SEGMENTS, Table};

use super::provider::{as_sql, moment_type, sql_schema};
use super::prune::Bounds;
use super::scan::{Asked, Scanned, projected};
use crate::digest::on_demand::Derived;
use crate::digest::rollup::{Counts, MINUTE, Parts};
use crate::trace::literal;

/// Relations with a table of their own at rest, and the column that says whose rows they are.
const RELATIONS: &[(&Table, &str)] =
    &[(&JOURNEYS, "journey"), (&CALLS, "trace"), (&HOPS, "trace"), (&SEGMENTS, "journey"), (&FINDINGS, "journey")];

/// Name of the sums per minute.
pub(super) const EDGE_MINUTES: &str = "edge_minutes";

/// One line for people about the sums per minute.
pub(super) const EDGE_MINUTES_HELP: &str =
    "one row per edge of the service map, operation and minute: rate, errors and durations";

/// Columns of the sums per minute with a line for people each; the first is the time column.
pub(super) const EDGE_MINUTE_COLUMNS: &[(&str, &str)] = &[
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
];

/// What a column of the sums per minute holds.
pub(super) fn edge_minutes_help(column: &str) -> &'static str {
    EDGE_MINUTE_COLUMNS.iter().find(|(name, _)| *name == column).map_or("", |(_, help)| help)
}

/// The relation with this name over the snapshot of `derived`; `None` when it is no derived one.
pub(super) fn by_name(name: &str, derived: &Arc<Derived>) -> Option<Arc<dyn TableProvider>> {
    if name == EDGE_MINUTES {
        return Some(EdgeMinutes { schema: edge_minutes_schema(), derived: Arc::clone(derived) }.provider());
    }
    let (table, owner) = RELATIONS.iter().find(|(table, _)| table.name == name)?;
    Some(Relation { table, owner, schema: sql_schema(table), derived: Arc::clone(derived) }.provider())
}

fn internal(error: crate::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// One relation at rest and on demand.
#[derive(Debug)]
struct Relation {
    table: &'static Table,
    owner: &'static str,
    schema: SchemaRef,
    derived: Arc<Derived>,
}

impl Relation {
    /// Rows of the newest revision of their owner; `None` when every row is.
    async fn is_newest(&self, range: TimeRange) -> Result<Option<Expr>> {
        // A trace is looked at after its spans have begun; an hour is for clocks that are ahead.
        let since = range.start.0.saturating_sub(60 * MINUTE);
        let revised = self.derived.stored.revised_since(since).await.map_err(internal)?;
        let revision = |n: i32| Expr::Literal(ScalarValue::Int32(Some(n)), None);
        let mut by_revision: std::collections::BTreeMap<i32, Vec<Expr>> = std::collections::BTreeMap::new();
        for (trace, newest) in &revised {
            by_revision.entry(*newest).or_default().push(literal(trace.as_bytes()));
        }
        let all = revised.keys().map(|trace| literal(trace.as_bytes())).collect();
        let untouched = (!revised.is_empty()).then(|| ident(self.owner).in_list(all, true));
        let newest = by_revision
            .into_iter()
            .map(|(n, traces)| ident("revision").eq(revision(n)).and(ident(self.owner).in_list(traces, false)));
        Ok(untouched.map(|untouched| newest.fold(untouched, Expr::or)))
    }

    async fn at_rest(&self, asked: Asked<'_>, range: TimeRange) -> Result<Arc<dyn ExecutionPlan>> {
        let mut frame = self.derived.stored.table(self.table).map_err(internal)?;
        for filter in asked.filters {
            frame = frame.filter(filter.clone())?;
        }
        if let Some(newest) = self.is_newest(range).await? {
            frame = frame.filter(newest)?;
        }
        projected(LogicalPlanBuilder::from(frame.into_unoptimized_plan()), &self.schema, asked).await
    }
}

#[async_trait]
impl Scanned for Relation {
    const TYPE: TableType = TableType::View;

    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    async fn scan(&self, asked: Asked<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let range = Bounds::from_filters(self.table.time, asked.filters).time;
        let at_rest = self.at_rest(asked, range).await?;
        let on_demand = self.derived.on_demand(range).await.map_err(internal)?;
        let Some(rows) = on_demand.rows(self.table) else { return Ok(at_rest) };
        let schema = asked.schema(&self.schema)?;
        let rows = as_sql(rows, asked.projection, &schema)?;
        UnionExec::try_new(vec![at_rest, MemorySourceConfig::try_new_exec(&[vec![rows]], schema, None)?])
    }
}

/// Sums of edges per minute.
#[derive(Debug)]
struct EdgeMinutes {
    schema: SchemaRef,
    derived: Arc<Derived>,
}

fn edge_minutes_schema() -> SchemaRef {
    let field = |(name, _): &(&str, &str)| match *name {
        "time" => Field::new(*name, moment_type(), false),
        "src" | "dst" | "protocol" | "system" | "op" => Field::new(*name, DataType::Utf8, false),
        "slowest_journey" | "failed_journey" => Field::new(*name, DataType::Binary, true),
        name if name.starts_with("lag_") || name.starts_with("network_") => Field::new(name, DataType::Int64, true),
        name => Field::new(name, DataType::Int64, false),
    };
    Arc::new(Schema::new(EDGE_MINUTE_COLUMNS.iter().map(field).collect::<Vec<_>>()))
}

/// The sums as rows of the relation; edges of which nothing is left are left out.
fn edge_minutes_rows(parts: &Parts, schema: &SchemaRef) -> Result<RecordBatch> {
    let rows: Vec<_> = parts.0.iter().filter(|(_, sums)| sums.count > 0).collect();
    let ints = |value: &dyn Fn(usize) -> Option<i64>| -> ArrayRef {
        Arc::new((0..rows.len()).map(value).collect::<Int64Array>())
    };
    let texts = |value: &dyn Fn(usize) -> String| -> ArrayRef {
        Arc::new((0..rows.len()).map(|row| Some(value(row))).collect::<StringArray>())
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
            "src" => texts(&|row| key(row).src.clone()),
            "dst" => texts(&|row| key(row).dst.clone()),
            "protocol" => texts(&|row| key(row).protocol.clone()),
            "system" => texts(&|row| key(row).system.clone()),
            "op" => texts(&|row| key(row).op.clone()),
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
    let columns = EDGE_MINUTE_COLUMNS.iter().map(column).collect::<Result<Vec<_>>>()?;
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
        let mut parts = self.derived.parts(range).await.map_err(internal)?;
        // On demand, minutes around the range are computed too.
        let inside = |minute: i64| range.contains(UnixNanos(minute.saturating_mul(MINUTE)));
        parts.0.retain(|key, _| inside(key.minute));
        let rows = edge_minutes_rows(&parts, &self.schema)?;
        Ok(MemorySourceConfig::try_new_exec(&[vec![rows]], Arc::clone(&self.schema), asked.projection.cloned())?)
    }
}
