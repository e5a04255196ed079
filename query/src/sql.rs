//! A read-only statement and its answer.
//!
//! | file        | knows                                                                       |
//! |-------------|-----------------------------------------------------------------------------|
//! | `encode.rs` | rows as JSON, CSV, newline-delimited JSON and Arrow IPC, piece by piece     |
//! | `body.rs`   | an answer on its way: limits, the end, readers that go away                 |
//! | `explain.rs` | what is wrong with a statement, in words that help its author              |

pub(crate) mod body;
pub(crate) mod encode;
mod explain;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use api::{SqlRequest, TablesAnswer};
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::ExecutionPlan;
use model::{TenantId, UnixNanos};
use serde_json::Value as Json;

use crate::engine::session::Session;
use crate::engine::{Engine, growth, read_only};
use crate::error::{Error, Result};
use crate::tables::UTC;
use crate::{functions, tables, times};
pub use body::SqlBody;
use body::{Head, Pending};
pub use encode::Format;
pub(crate) use explain::explain;

impl Engine {
    /// Starts one read-only statement over the tenant's tables. What is wrong with it, and what happens until its
    /// first rows, is answered here; the rest while the body is read.
    ///
    /// # Errors
    /// [`Error::Invalid`] for texts that are not one query, with a position where the parser knows it; the
    /// limits of the configuration otherwise.
    pub async fn sql(&self, tenant: &TenantId, request: SqlRequest, format: Format) -> Result<SqlBody> {
        let started = Instant::now();
        let head = self.run_keeping(tenant, move |session| async move {
            let sql = request.sql.clone();
            begin(session, request, format, started).await.map_err(|error| explain(&sql, error))
        });
        let (head, place) = head.await?;
        Ok(head.into_body(self, place))
    }

    /// Everything that can be named in SQL.
    ///
    /// # Errors
    /// When a view cannot be planned: a bug.
    pub async fn tables(&self, tenant: &TenantId) -> Result<TablesAnswer> {
        self.run(tenant, |session| async move {
            let tables = tables::describe(session.public.as_ref(), &session.snapshot).await?;
            let functions = functions::describe().into_iter().chain(tables::by_id::describe());
            Ok(TablesAnswer { tables, functions: functions.collect() })
        })
        .await
    }
}

async fn begin(session: Session, request: SqlRequest, format: Format, started: Instant) -> Result<Head> {
    let rows_max = request.limit.map_or(u64::MAX, |limit| limit as u64);
    let plan = planned(&session, &request).await?;
    Pending::start(session, plan, format, rows_max, started).await
}

/// The plan of a statement that may run.
pub(crate) async fn planned(session: &Session, request: &SqlRequest) -> Result<Arc<dyn ExecutionPlan>> {
    let params = params(request, session.now)?;
    let statement = read_only::parse(&request.sql)?;
    let plan = session.context.state().statement_to_plan(statement).await?;
    read_only::verify(&plan)?;
    let plan = plan.with_param_values(params)?;
    // Once more, with what the parameters are.
    growth::verify(&plan)?;
    let plan = match (&plan, request.limit) {
        (LogicalPlan::Explain(_), _) | (_, None) => plan,
        (_, Some(limit)) => LogicalPlanBuilder::from(plan).limit(0, Some(limit))?.build()?,
    };
    session.plan(&plan).await
}

fn params(request: &SqlRequest, now: UnixNanos) -> Result<ParamValues> {
    let mut values = HashMap::new();
    for (name, value) in &request.params {
        let value = match value {
            Json::Null => ScalarValue::Null,
            Json::Bool(value) => ScalarValue::Boolean(Some(*value)),
            Json::String(value) => ScalarValue::Utf8(Some(value.clone())),
            Json::Number(value) => match value.as_i64() {
                Some(value) => ScalarValue::Int64(Some(value)),
                None => ScalarValue::Float64(value.as_f64()),
            },
            Json::Array(_) | Json::Object(_) => {
                return Err(Error::invalid(format!("parameter {name} must be text, a number, a boolean or null")));
            }
        };
        values.insert(name.clone(), ScalarAndMetadata::new(value, None));
    }
    for (name, moment) in [("from", &request.from), ("to", &request.to)] {
        let text = match moment {
            None | Some(Json::Null) => continue,
            Some(Json::String(text)) => text.clone(),
            Some(Json::Number(number)) => number.to_string(),
            Some(_) => return Err(Error::invalid(format!("{name} must be a time"))),
        };
        let nanos = times::parse_moment(&text, now)?.0;
        let value = ScalarValue::TimestampNanosecond(Some(nanos), Some(UTC.into()));
        values.insert(name.to_owned(), ScalarAndMetadata::new(value, None));
    }
    Ok(ParamValues::Map(values))
}
