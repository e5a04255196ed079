//! Leaves out rows that were erased and are still in segments or buffer.
//!
//! Stands above a scan only while the tenant has erasures, which is minutes after someone asked for one. The scan
//! then also reads the columns by which erased rows are known; they end here.

use std::fmt;
use std::sync::Arc;

use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use futures::StreamExt;
use storage::Erasures;
use storage::table::Table;

/// The visible rows of a scan, with its first columns.
#[derive(Debug)]
pub(super) struct VisibleExec {
    input: Arc<dyn ExecutionPlan>,
    erasures: Erasures,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

/// Columns to scan so that erased rows can be told: those asked for, then the others that are needed.
pub(super) fn columns(erasures: &Erasures, table: &'static Table, asked: Option<&Vec<usize>>) -> Vec<usize> {
    let mut columns = asked.cloned().unwrap_or_else(|| (0..table.columns().len()).collect());
    for needed in erasures.columns(table) {
        if !columns.contains(&needed) {
            columns.push(needed);
        }
    }
    columns
}

impl VisibleExec {
    /// `n_shown` columns of `input` are shown; the others are only needed to tell.
    pub(super) fn new(input: Arc<dyn ExecutionPlan>, erasures: Erasures, n_shown: usize) -> Result<Self> {
        let schema = Arc::new(input.schema().project(&(0..n_shown).collect::<Vec<_>>())?);
        let of_input = input.properties();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            of_input.output_partitioning().clone(),
            of_input.emission_type,
            of_input.boundedness,
        );
        Ok(Self { input, erasures, schema, properties: Arc::new(properties) })
    }
}

impl DisplayAs for VisibleExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VisibleExec: erasures={}", self.erasures.list().count())
    }
}

impl ExecutionPlan for VisibleExec {
    fn name(&self) -> &'static str {
        "VisibleExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self::new(input, self.erasures.clone(), self.schema.fields().len())?)),
            _ => Err(DataFusionError::Internal("VisibleExec has one child".to_owned())),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        self.replace_children(children, options)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = self.input.execute(partition, context)?;
        let erasures = self.erasures.clone();
        let shown: Vec<usize> = (0..self.schema.fields().len()).collect();
        let visible = rows.map(move |rows| {
            let rows = rows?;
            let kept = match erasures.visible(&rows) {
                Some(visible) => filter_record_batch(&rows, &visible)?,
                None => rows,
            };
            Ok(kept.project(&shown)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), visible)))
    }
}
