//! Refuses plans whose expressions make values many times as long as what is stored.
//!
//! Memory of expressions is not counted by the pool of queries: `SELECT a || a AS a FROM (SELECT a || a AS a FROM ...)`
//! doubles with every level and would end the process before any limit is asked. Each expression therefore has a
//! weight, an upper bound of how many times it repeats what it is made of:
//!
//! ```text
//!   column                 as in the input; 1 where it is stored
//!   literal                its bytes / 256
//!   f(a, b), a || b        a + b
//!   replace(a, .., b)      a x bytes of b
//!   array_agg(a), ...      a x 1,000: many rows in one value (their sum is counted by the pool)
//!   CASE                   the largest branch
//! ```

use datafusion::common::Column;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, LogicalPlan, Operator};

use crate::error::{Error, Result};

/// Largest weight of an expression.
const WEIGHT_MAX: f64 = 10_000.0;
/// Weight of a value that is made of many rows.
const MANY_ROWS: f64 = 1_000.0;

/// # Errors
/// [`Error::Invalid`] for a plan that can make values of more than [`WEIGHT_MAX`] times the length of stored ones.
pub(crate) fn verify(plan: &LogicalPlan) -> Result<()> {
    let mut heaviest = 0.0f64;
    weights(plan, &mut heaviest)?;
    if heaviest > WEIGHT_MAX {
        return Err(Error::invalid(format!(
            "an expression can make text or lists more than {WEIGHT_MAX} times as long as what is stored; put long text \
             together outside of SQL"
        )));
    }
    Ok(())
}

/// The weight of each column of a plan; `heaviest` becomes the largest seen anywhere in it.
fn weights(plan: &LogicalPlan, heaviest: &mut f64) -> DataFusionResult<Vec<f64>> {
    let n_columns = plan.schema().fields().len();
    let mut inputs = Vec::new();
    for input in plan.inputs() {
        inputs.push((input.schema(), weights(input, heaviest)?));
    }
    let mut found = Vec::new();
    let column = |column: &Column| {
        inputs
            .iter()
            .find_map(|(schema, weights)| weights.get(schema.maybe_index_of_column(column)?).copied())
            .unwrap_or(1.0)
    };
    // Every expression counts, also those of filters and joins, which no column shows.
    let mut expressions = Vec::new();
    plan.apply_expressions(|expr| {
        expressions.push(weight(expr, &column, heaviest)?);
        Ok(TreeNodeRecursion::Continue)
    })?;
    *heaviest = expressions.iter().copied().fold(*heaviest, f64::max);
    let of_inputs = || inputs.iter().flat_map(|(_, weights)| weights.iter().copied()).collect::<Vec<_>>();
    match plan {
        LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_) => found = expressions,
        LogicalPlan::Window(_) => {
            found = of_inputs();
            found.extend(expressions);
        }
        LogicalPlan::Union(_) => {
            let widest = |index: usize| {
                let column = inputs.iter().filter_map(|(_, weights)| weights.get(index).copied());
                column.fold(1.0, f64::max)
            };
            found = (0..n_columns).map(widest).collect();
        }
        _ => {
            let inputs = of_inputs();
            if inputs.len() == n_columns {
                found = inputs;
            }
        }
    }
    if found.len() != n_columns {
        let widest = of_inputs().into_iter().chain(found).fold(1.0, f64::max);
        found = vec![widest; n_columns];
    }
    Ok(found)
}

/// The weight of an expression.
fn weight(expr: &Expr, column: &dyn Fn(&Column) -> f64, heaviest: &mut f64) -> DataFusionResult<f64> {
    let bytes = |expr: &Expr| match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten().map_or(8, str::len) as f64,
        // What is not known is taken for a long one.
        _ => 1_000.0,
    };
    let mut sum =
        |exprs: &[Expr]| -> DataFusionResult<f64> { exprs.iter().map(|expr| weight(expr, column, heaviest)).sum() };
    Ok(match expr {
        Expr::Column(name) => column(name),
        Expr::Literal(..) => (bytes(expr) / 256.0).max(0.01),
        Expr::Alias(alias) => weight(&alias.expr, column, heaviest)?,
        Expr::Cast(cast) => weight(&cast.expr, column, heaviest)?,
        Expr::TryCast(cast) => weight(&cast.expr, column, heaviest)?,
        Expr::BinaryExpr(binary) => {
            let (left, right) = (weight(&binary.left, column, heaviest)?, weight(&binary.right, column, heaviest)?);
            if binary.op == Operator::StringConcat { left + right } else { left.max(right) }
        }
        Expr::ScalarFunction(call) => {
            let inner = sum(&call.args)?;
            match (call.func.name(), call.args.as_slice()) {
                ("replace" | "regexp_replace" | "translate" | "overlay" | "array_to_string", [_, .., last]) => {
                    // The flags of regexp_replace are no replacement.
                    let replacement = if call.args.len() > 3 { &call.args[2] } else { last };
                    inner * bytes(replacement).max(1.0)
                }
                _ => inner,
            }
        }
        Expr::AggregateFunction(call) => {
            let inner = sum(&call.params.args)?;
            if makes_one_of_many(call.func.name()) { inner.max(1.0) * MANY_ROWS } else { inner }
        }
        Expr::WindowFunction(call) => {
            let inner = sum(&call.params.args)?;
            if makes_one_of_many(call.fun.name()) { inner.max(1.0) * MANY_ROWS } else { inner }
        }
        Expr::Case(case) => {
            let branches = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
            let branches = branches.chain(case.else_expr.iter().map(AsRef::as_ref));
            let mut widest = 0.0f64;
            for branch in branches {
                widest = widest.max(weight(branch, column, heaviest)?);
            }
            widest
        }
        Expr::ScalarSubquery(subquery) => weights(&subquery.subquery, heaviest)?.first().copied().unwrap_or(1.0),
        Expr::Exists(exists) => {
            weights(&exists.subquery.subquery, heaviest)?;
            0.01
        }
        Expr::InSubquery(inside) => {
            weights(&inside.subquery.subquery, heaviest)?;
            weight(&inside.expr, column, heaviest)?
        }
        other => {
            use datafusion::common::tree_node::TreeNode as _;
            let mut widest = 0.01f64;
            other.apply_children(|child| {
                widest = widest.max(weight(child, column, heaviest)?);
                Ok(TreeNodeRecursion::Continue)
            })?;
            widest
        }
    })
}

fn makes_one_of_many(function: &str) -> bool {
    matches!(function, "array_agg" | "string_agg")
}
