//! A view over spans, grouped by trace, that reads only the time range that a query names.
//!
//! The start of a trace is the smallest start of its spans, so a filter on it cannot be handed to the scan as it is: a
//! trace whose first span lies before the range would seem to start later. The scan therefore reads
//! [`AROUND_NANOS`] more on both sides, and the filter above decides. Spans further away than that are not counted.
//!
//! A filter on the trace's id is handed down whole: it holds for every span of the trace or for none.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::common::tree_node::{Transformed, TreeNode as _};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::ident;
use model::{TimeRange, UnixNanos};
use storage::table::SPANS;

use super::prune::{Bounds, is_about};
use super::scan::{Asked, Scanned, projected};
use crate::digest::stored::moment;

/// How far outside the asked range the spans of a trace are looked for.
const AROUND_NANOS: i64 = 3_600 * UnixNanos::SECOND;

/// The view `traces`.
#[derive(Debug)]
pub(super) struct PrunedView {
    plan: LogicalPlan,
    schema: SchemaRef,
}

impl PrunedView {
    pub(super) fn new(plan: LogicalPlan) -> Self {
        let schema = Arc::new(plan.schema().as_arrow().clone());
        Self { plan, schema }
    }

    /// The plan over the spans that the filters may need.
    fn narrowed(&self, filters: &[Expr]) -> Result<LogicalPlan> {
        let range = Bounds::from_filters("start_time", filters).time;
        let mut below: Vec<Expr> = filters.iter().filter(|filter| is_about(filter, "trace_id")).cloned().collect();
        if range != TimeRange::ALL {
            let (start, end) = (range.start.0.saturating_sub(AROUND_NANOS), range.end.0.saturating_add(AROUND_NANOS));
            below.push(ident(SPANS.time).gt_eq(moment(start)));
            below.push(ident(SPANS.time).lt(moment(end)));
        }
        let Some(below) = below.into_iter().reduce(Expr::and) else { return Ok(self.plan.clone()) };
        let narrowed = self.plan.clone().transform_up(|plan| match plan {
            scan @ LogicalPlan::TableScan(_) => {
                LogicalPlanBuilder::from(scan).filter(below.clone())?.build().map(Transformed::yes)
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(narrowed.data)
    }
}

#[async_trait]
impl Scanned for PrunedView {
    const TYPE: TableType = TableType::View;

    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    async fn scan(&self, asked: Asked<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        projected(LogicalPlanBuilder::from(self.narrowed(asked.filters)?), &self.schema, asked).await
    }
}
