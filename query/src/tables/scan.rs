//! What every table of ours has in common towards DataFusion: filters that prune, and columns that are asked for.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::projection::ProjectionExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::prelude::ident;

/// What a plan asks a table for.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) state: &'a dyn Session,
    /// Columns by index; `None` for all.
    pub(crate) projection: Option<&'a Vec<usize>>,
    /// Rows that do not pass may be left out; those that stay are filtered above.
    pub(crate) filters: &'a [Expr],
    /// More rows are not looked at.
    pub(crate) limit: Option<usize>,
}

/// A table that reads what a filter cannot exclude.
#[async_trait]
pub(crate) trait Scanned: Debug + Send + Sync + 'static {
    /// What DataFusion is told that it is.
    const TYPE: TableType;

    fn schema(&self) -> &SchemaRef;

    async fn scan(&self, asked: Asked<'_>) -> Result<Arc<dyn ExecutionPlan>>;

    /// As DataFusion takes it.
    fn provider(self) -> Arc<dyn TableProvider>
    where
        Self: Sized,
    {
        Arc::new(Provider(self))
    }
}

#[derive(Debug)]
struct Provider<S>(S);

#[async_trait]
impl<S: Scanned> TableProvider for Provider<S> {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.0.schema())
    }

    fn table_type(&self) -> TableType {
        S::TYPE
    }

    /// Filters prune; the rows themselves are filtered above or, in segments, while they are decoded.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.0.scan(Asked { state, projection, filters, limit }).await
    }
}

impl Asked<'_> {
    /// The columns that are asked for.
    pub(crate) fn schema(&self, all: &SchemaRef) -> Result<SchemaRef> {
        Ok(match self.projection {
            Some(indices) => Arc::new(all.project(indices)?),
            None => Arc::clone(all),
        })
    }
}

/// The columns of `schema` that are asked for, out of `plan`.
pub(super) async fn projected(
    plan: LogicalPlanBuilder,
    schema: &SchemaRef,
    asked: Asked<'_>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let column = |index: &usize| ident(schema.field(*index).name());
    let plan = match asked.projection {
        None => plan.project(schema.fields().iter().map(|field| ident(field.name())))?,
        // A count of rows needs none of the columns.
        Some(indices) if indices.is_empty() => plan.project([column(&0)])?,
        Some(indices) => plan.project(indices.iter().map(column))?,
    };
    let plan = asked.state.create_physical_plan(&plan.build()?).await?;
    if asked.projection.is_some_and(Vec::is_empty) {
        let none: Vec<ProjectionExpr> = Vec::new();
        return Ok(Arc::new(ProjectionExec::try_new(none, plan)?));
    }
    Ok(plan)
}
