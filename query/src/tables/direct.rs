//! Rows found by an id, read without a statement: for questions of our own that are asked many times a second, or once
//! for each of many traces.
//!
//! Planning a statement over a table of fifty columns takes longer than reading a few of its rows, and a list of a
//! thousand ids passes through every rule of the optimizer. Here the scan is asked itself, and what the indexes found
//! too much is filtered.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::expressions::{col, in_list, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::prelude::ident;
use model::TraceId;
use storage::Snapshot;
use storage::table::Table;

use super::provider::{LOOK_UPS_MAX, Located, SnapshotTable, TRACE_COLUMN};
use super::scan::{Asked, Scanned as _};
use crate::error::{Error, Result};

/// The rows of some traces, with these columns, of which `trace_id` must be one. `None` when so many look-ups in the
/// index would be slower than a statement.
///
/// # Errors
/// A column that does not exist: a bug.
pub(crate) async fn of_traces(
    state: &SessionState,
    snapshot: &Arc<Snapshot>,
    table: &'static Table,
    traces: &BTreeSet<TraceId>,
    columns: &[&str],
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let n_segments = snapshot.table(table).map_or(0, |entry| entry.segments.len());
    if traces.len().saturating_mul(n_segments) > LOOK_UPS_MAX {
        return Ok(None);
    }
    let ids = || traces.iter().map(|trace| ScalarValue::Binary(Some(trace.as_bytes().to_vec())));
    let named = ident(TRACE_COLUMN).in_list(ids().map(|id| Expr::Literal(id, None)).collect(), false);
    let projection = positions(table, columns)?;
    let rows = SnapshotTable::new(table, Arc::clone(snapshot));
    let rows = rows.scan(Asked { state, projection: Some(&projection), filters: &[named], limit: None }).await?;
    let schema = rows.schema();
    let is_wanted = in_list(col(TRACE_COLUMN, &schema)?, ids().map(lit).collect(), &false, &schema)?;
    Ok(Some(Arc::new(FilterExec::try_new(is_wanted, rows)?)))
}

/// Located spans, with these columns.
///
/// # Errors
/// A column that does not exist: a bug.
pub(crate) async fn located(
    state: &SessionState,
    snapshot: &Arc<Snapshot>,
    located: Located,
    columns: &[&str],
) -> Result<Arc<dyn ExecutionPlan>> {
    let projection = positions(&storage::table::SPANS, columns)?;
    let rows = SnapshotTable::located(Arc::clone(snapshot), located);
    Ok(rows.scan(Asked { state, projection: Some(&projection), filters: &[], limit: None }).await?)
}

fn positions(table: &'static Table, columns: &[&str]) -> Result<Vec<usize>> {
    let position = |name: &&str| {
        let missing = || Error::from(DataFusionError::Internal(format!("{} has no column {name}", table.name)));
        table.column(name).map(|(at, _)| at).ok_or_else(missing)
    };
    columns.iter().map(position).collect()
}
