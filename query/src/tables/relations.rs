//! The relations of settled journeys in SQL: rows at rest, newest revisions only, and those of traces that are not at
//! rest yet.
//!
//! Calls, hops, segments, journeys, findings: one row per thing. The sums per minute are in `edge_minutes.rs`.
//!
//! A query that names a time range reads and computes that range only.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use datafusion::prelude::ident;
use model::TimeRange;
use storage::table::{CALLS, FINDINGS, HOPS, JOURNEYS, SEGMENTS, Table};

use super::edge_minutes::{self, EdgeMinutes};
use super::provider::{as_sql, sql_schema};
use super::prune::Bounds;
use super::scan::{Asked, Scanned, projected};
use crate::digest::on_demand::Derived;
use crate::digest::rollup::MINUTE;
use crate::trace::literal;

/// Relations with a table of their own at rest, and the column that says whose rows they are.
const RELATIONS: &[(&Table, &str)] =
    &[(&JOURNEYS, "journey"), (&CALLS, "trace"), (&HOPS, "trace"), (&SEGMENTS, "journey"), (&FINDINGS, "journey")];

/// The relation with this name over the snapshot of `derived`; `None` when it is no derived one.
pub(super) fn by_name(name: &str, derived: &Arc<Derived>) -> Option<Arc<dyn TableProvider>> {
    if name == edge_minutes::NAME {
        return Some(EdgeMinutes::new(derived).provider());
    }
    let (table, owner) = RELATIONS.iter().find(|(table, _)| table.name == name)?;
    Some(Relation { table, owner, schema: sql_schema(table), derived: Arc::clone(derived) }.provider())
}

pub(super) fn internal(error: crate::Error) -> DataFusionError {
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
