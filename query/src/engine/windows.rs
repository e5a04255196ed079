//! Refuses window functions that look at every row of their frame again for each row.
//!
//! A sum over a frame that moves from row to row takes the new row in and lets the old one go. A median cannot: for each row it
//! goes through all rows of the frame, which for a million rows are 10^12 steps, in which nobody is asked whether to go on.
//! Over a whole partition (`OVER (PARTITION BY ...)` without `ORDER BY`) it is computed once, and allowed.

use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, WindowFunctionDefinition};

use crate::error::{Error, Result};

/// Aggregates that take a row in and let one go without looking at the others.
const MOVING: &[&str] = &[
    "any_value",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "first_value",
    "last_value",
    "max",
    "min",
    "nth_value",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "stddev",
    "stddev_pop",
    "sum",
    "var",
    "var_pop",
];

/// # Errors
/// [`Error::Invalid`] that names the function and what to write instead.
pub(crate) fn verify(plan: &LogicalPlan) -> Result<()> {
    let mut refused = None;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Window(window) = node {
            for expr in &window.window_expr {
                expr.apply(|part| {
                    refused = refused.take().or_else(|| looks_again(part));
                    Ok(TreeNodeRecursion::Continue)
                })?;
            }
        }
        Ok(if refused.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    match refused {
        None => Ok(()),
        Some(name) => Err(Error::invalid(format!(
            "{name} would look at all rows of its frame again for each row; take OVER (PARTITION BY ...) without ORDER BY, \
             or GROUP BY a bucket of time"
        ))),
    }
}

/// The name of a function that does.
fn looks_again(expr: &Expr) -> Option<String> {
    let Expr::WindowFunction(window) = expr else { return None };
    let WindowFunctionDefinition::AggregateUDF(function) = &window.fun else { return None };
    let frame = &window.params.window_frame;
    let is_whole = frame.start_bound.is_unbounded() && frame.end_bound.is_unbounded();
    // How many different values there are is kept beside the values; their sum is made of all of them.
    let is_kept = !window.params.distinct || function.name() == "count";
    let is_moving = MOVING.contains(&function.name()) && is_kept;
    let distinct = if window.params.distinct { "(DISTINCT ...)" } else { "(...)" };
    (!is_whole && !is_moving).then(|| format!("{}{distinct}", function.name()))
}
