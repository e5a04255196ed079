//! A statement that is asked again and again about other moments: parsed, checked and optimized once.
//!
//! ```text
//!   text ──parse, check, optimize──▶ plan with open moments, tables by name     once
//!                                       │ moments, tables of today's snapshot
//!                                       ▼
//!                                    physical plan                              every time
//! ```
//!
//! What is kept holds no snapshot, so that segments and buffers it was made over can go. The moments `$from`, `$to`, ... are
//! given a type, which is all that optimizing needs to know of them; when they are filled in, expressions are simplified
//! once more, so that `$to - INTERVAL '5 minutes'` prunes as a literal does.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef};
use datafusion::catalog::{SchemaProvider as _, TableProvider};
use datafusion::common::tree_node::{Transformed, TreeNode as _, TreeNodeRecursion};
use datafusion::common::{ScalarValue, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::builder::LogicalTableSource;
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, TableSource, Volatility};
use datafusion::optimizer::optimizer::Optimizer;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::physical_plan::ExecutionPlan;
use model::UnixNanos;

use super::label_groups::by_codes;
use super::pauses::with_pauses;
use super::session::Session;
use crate::error::Result;
use crate::tables::{PUBLIC, RAW, RawSchema, UTC, moment_type, with_sources};

/// An optimized plan whose moments are open and whose tables are names.
#[derive(Debug)]
pub(crate) struct Prepared {
    plan: LogicalPlan,
}

impl Prepared {
    /// Optimizes a plan in which values stand as `$name`: `fixed` ones are filled in, moments (`open`) stay open. `None` when
    /// the answer depends on more than these and tables (`now()`, `random()`), or on relations that have no name of their own
    /// (`trace('...')`).
    ///
    /// # Errors
    /// What is wrong with the plan, in words for its author.
    pub(crate) async fn new(
        session: &Session,
        plan: LogicalPlan,
        fixed: &[(&str, ScalarValue)],
        open: &[&str],
    ) -> Result<Option<Self>> {
        let field: FieldRef = Arc::new(Field::new("moment", moment_type(), true));
        let value = |id: &str| {
            let name = id.strip_prefix('$')?;
            match fixed.iter().find(|(fixed, _)| *fixed == name) {
                Some((_, value)) => Some(Expr::Literal(value.clone(), None)),
                None if open.contains(&name) => {
                    Some(Expr::Placeholder(Placeholder::new_with_field(id.to_owned(), Some(Arc::clone(&field)))))
                }
                None => None,
            }
        };
        if !is_settled(&plan, &value)? {
            return Ok(None);
        }
        let plan = session.context.state().optimize(&filled(plan, &value)?)?;
        let Some(tables) = tables_of(&plan, session).await? else { return Ok(None) };
        let named = |name: &TableReference| {
            let provider = tables.get(name)?;
            Some(Arc::new(LogicalTableSource::new(provider.schema())) as Arc<dyn TableSource>)
        };
        Ok(Some(Self { plan: with_sources(plan, named)? }))
    }

    /// The plan over the tables of a session, with these moments. `None` when a table is not what it was.
    ///
    /// # Errors
    /// A moment that is open and not given: a bug.
    pub(crate) async fn plan(
        &self,
        session: &Session,
        moments: &[(&str, UnixNanos)],
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(tables) = tables_of(&self.plan, session).await? else { return Ok(None) };
        let sourced = with_sources(self.plan.clone(), |name| Some(provider_as_source(Arc::clone(tables.get(name)?))))?;
        let moment = |id: &str| {
            let (_, at) = moments.iter().find(|(name, _)| id.strip_prefix('$') == Some(*name))?;
            Some(Expr::Literal(ScalarValue::TimestampNanosecond(Some(at.0), Some(UTC.into())), None))
        };
        let plan = filled(sourced, &moment)?;
        let state = session.context.state();
        let plan =
            Optimizer::with_rules(vec![Arc::new(SimplifyExpressions::new())]).optimize(plan, &state, |_, _| {})?;
        Ok(Some(with_pauses(by_codes(state.query_planner().create_physical_plan(&plan, &state).await?)?)?))
    }
}

/// True when tables and known values alone decide the answer.
fn is_settled(plan: &LogicalPlan, value: &dyn Fn(&str) -> Option<Expr>) -> Result<bool, DataFusionError> {
    let mut is_settled = true;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            is_settled &= !expr.exists(|expr| {
                Ok(match expr {
                    Expr::ScalarFunction(call) => call.func.signature().volatility != Volatility::Immutable,
                    Expr::Placeholder(open) => value(&open.id).is_none(),
                    _ => false,
                })
            })?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(is_settled)
}

/// Puts `value` in place of every `$name`.
fn filled(plan: LogicalPlan, value: &dyn Fn(&str) -> Option<Expr>) -> Result<LogicalPlan, DataFusionError> {
    let of_expr = |expr: Expr| match expr {
        Expr::Placeholder(open) => match value(&open.id) {
            Some(value) => Ok(Transformed::yes(value)),
            None => Err(DataFusionError::Internal(format!("{} was not given", open.id))),
        },
        other => Ok(Transformed::no(other)),
    };
    let filled = plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        let node = node.map_expressions(|expr| {
            if !expr.exists(|expr| Ok(matches!(expr, Expr::Placeholder(_))))? {
                return Ok(Transformed::no(expr));
            }
            let name = names.save(&expr);
            Ok(expr.transform_up(of_expr)?.update_data(|expr| name.restore(expr)))
        })?;
        if node.transformed { node.map_data(LogicalPlan::recompute_schema) } else { Ok(node) }
    })?;
    Ok(filled.data)
}

/// The tables that a plan names; `None` when one of them is not known by its name, or is not what it was.
async fn tables_of(
    plan: &LogicalPlan,
    session: &Session,
) -> Result<Option<HashMap<TableReference, Arc<dyn TableProvider>>>, DataFusionError> {
    let mut scans = HashMap::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            scans.insert(scan.table_name.clone(), scan.source.schema());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let mut tables = HashMap::with_capacity(scans.len());
    for (name, schema) in scans {
        let table = match name.schema() {
            Some(RAW) => RawSchema(Arc::clone(&session.snapshot)).provider(name.table()),
            None | Some(PUBLIC) => session.public.table(name.table()).await?,
            Some(_) => None,
        };
        let Some(table) = table.filter(|table| table.schema() == schema) else { return Ok(None) };
        tables.insert(name, table);
    }
    Ok(Some(tables))
}
