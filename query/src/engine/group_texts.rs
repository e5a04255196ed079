//! Groups by texts in place of their codes, because DataFusion groups texts much faster.
//!
//! Labels (`service_name`, `name`, `http_route`, ...) are dictionaries, and those of two batches differ. DataFusion 55 has no
//! way of its own to group by dictionaries: it writes the key of every row in a form of its own and compares those, which
//! takes most of the time of a `GROUP BY service_name`. It has a fast one for views of texts, and to make these of codes and
//! a dictionary takes little. So `Aggregate: group by [label]` becomes
//!
//! ```text
//!   Projection: cast(label as Dictionary) as label      as many rows as there are groups
//!     Aggregate: group by [cast(label as Utf8View)]
//! ```
//!
//! Names and types of the columns stay what they were. The rule comes after all others, so that what others push down has
//! gone through.

use arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable as _, LogicalPlan, Projection, cast};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// The rule.
#[derive(Debug)]
pub(super) struct GroupTexts;

impl OptimizerRule for GroupTexts {
    fn name(&self) -> &'static str {
        "group_texts"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = plan else { return Ok(Transformed::no(plan)) };
        let types = aggregate.group_expr.iter().map(|key| key.get_type(aggregate.input.schema()));
        let types = types.collect::<Result<Vec<_>>>()?;
        let is_set = aggregate.group_expr.iter().any(|key| matches!(key, Expr::GroupingSet(_)));
        if is_set || !types.iter().any(is_label) {
            return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
        }
        let before = aggregate.schema;
        let keys = aggregate.group_expr.into_iter().zip(&types);
        // A cast has the name of what it casts, which may be a key beside it; so each has one of its own.
        let keys = keys.enumerate().map(|(at, (key, of))| match is_label(of) {
            true => cast(key.unalias(), DataType::Utf8View).alias(format!("__group_{at}")),
            false => key,
        });
        let grouped = Aggregate::try_new(aggregate.input, keys.collect(), aggregate.aggr_expr)?;
        let columns = before.iter().zip(grouped.schema.iter()).enumerate().map(|(at, (shown, made))| {
            let column = Expr::Column(Column::from(made));
            match types.get(at) {
                Some(of) if is_label(of) => {
                    cast(column, of.clone()).alias_qualified(shown.0.cloned(), shown.1.name().clone())
                }
                _ => column,
            }
        });
        let columns = columns.collect();
        let grouped = LogicalPlan::Aggregate(grouped);
        Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(columns, grouped.into())?)))
    }
}

/// Whether values of this type are codes of texts.
fn is_label(of: &DataType) -> bool {
    matches!(of, DataType::Dictionary(_, values) if matches!(values.as_ref(), DataType::Utf8))
}
