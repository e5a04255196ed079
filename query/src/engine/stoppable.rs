//! Joins that end with an error when nobody waits for them any more.
//!
//! Two of their steps have no pause. A nested loop join compares one row of its right side with all of its left side: 50 million
//! rows take it a second. A hash join makes its table of all rows at once: two seconds and a half. Both ask an expression for
//! each 8,192 of them, the condition and the keys, and these look whether anybody still waits.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{FieldRef, Schema};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, NestedLoopJoinExecBuilder};

use super::runtime::GivenUp;

/// The plan, when it is a join, with expressions that end it when the work that plans it is given up.
///
/// # Errors
/// When the join cannot be put together again: a bug.
pub(super) fn stoppable(plan: Arc<dyn ExecutionPlan>) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let given_up = GivenUp::of_this_work();
    let looks = |asked: &Arc<dyn PhysicalExpr>| -> Arc<dyn PhysicalExpr> {
        Arc::new(Stoppable { asked: Arc::clone(asked), given_up: given_up.clone() })
    };
    if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        let filter = join.filter().map(|filter| {
            let (columns, schema) = (filter.column_indices().to_vec(), Arc::clone(filter.schema()));
            JoinFilter::new(looks(filter.expression()), columns, schema)
        });
        return Ok(Arc::new(NestedLoopJoinExecBuilder::from(join).with_filter(filter).build()?));
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        let keys = join.on().iter().map(|(build, probe)| (looks(build), Arc::clone(probe))).collect();
        return join.builder().with_on(keys).build_exec();
    }
    Ok(plan)
}

#[derive(Debug)]
struct Stoppable {
    asked: Arc<dyn PhysicalExpr>,
    given_up: GivenUp,
}

impl PhysicalExpr for Stoppable {
    fn evaluate(&self, rows: &RecordBatch) -> DataFusionResult<ColumnarValue> {
        if self.given_up.is_true() {
            return Err(DataFusionError::Execution("the question was given up".to_owned()));
        }
        self.asked.evaluate(rows)
    }

    fn return_field(&self, schema: &Schema) -> DataFusionResult<FieldRef> {
        self.asked.return_field(schema)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.asked]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> DataFusionResult<Arc<dyn PhysicalExpr>> {
        match (children.pop(), children.is_empty()) {
            (Some(asked), true) => Ok(Arc::new(Self { asked, given_up: self.given_up.clone() })),
            _ => Err(DataFusionError::Internal("Stoppable has one child".to_owned())),
        }
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.asked.fmt_sql(f)
    }
}

impl fmt::Display for Stoppable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.asked.fmt(f)
    }
}

impl PartialEq for Stoppable {
    fn eq(&self, other: &Self) -> bool {
        self.asked.eq(&other.asked)
    }
}

impl Eq for Stoppable {}

impl Hash for Stoppable {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.asked.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use datafusion::physical_plan::displayable;
    use model::{TimeRange, UnixNanos};

    use crate::testing::{Fixture, tenant};

    /// How long a statement that takes a second at least goes on after nobody waits for it any more, `waited` after its begin.
    async fn goes_on(text: &'static str, join: &str, waited: Duration) -> Duration {
        let fixture = Fixture::new(Vec::new()).await;
        let session = fixture.engine.session(fixture.engine.snapshot(&tenant())).expect("a session");
        let (at_work, (tell, shown)) = (Arc::new(()), tokio::sync::oneshot::channel());
        let kept = Arc::clone(&at_work);
        let running = fixture.engine.spawn(async move {
            let _kept = kept;
            let range = TimeRange::new(UnixNanos(0), UnixNanos(1));
            let plan = session.plan(session.query(text, range).await?.logical_plan()).await?;
            let _ = tell.send(displayable(plan.as_ref()).indent(false).to_string());
            session.collect_plan(plan, 1).await
        });
        let plan = shown.await.expect("a plan");
        assert!(plan.contains(join), "{plan}");
        tokio::time::sleep(waited).await;
        assert_eq!(Arc::strong_count(&at_work), 2, "it is under way");
        let given_up = Instant::now();
        drop(running);
        while Arc::strong_count(&at_work) > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        given_up.elapsed()
    }

    /// Each row is compared with ten million others, which no pause interrupts.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_nested_loop_ends_when_nobody_waits_for_it() {
        let text = "SELECT count(*) FROM generate_series(1, 10000000) a(n), generate_series(1, 10000000) b(m) WHERE n + m = -1";
        let longer = goes_on(text, "NestedLoopJoinExec: join_type=Inner, filter=", Duration::from_secs(6)).await;
        assert!(longer < Duration::from_millis(500), "{longer:?}");
    }

    /// The table of ten million rows is made at once.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_table_of_a_join_ends_when_nobody_waits_for_it() {
        let text = "SELECT count(*) FROM generate_series(1, 10000000) a(n) JOIN generate_series(1, 10000000) b(m) ON n * 7 = m % 3";
        for waited in [1, 2, 3, 4] {
            let longer = goes_on(text, "HashJoinExec", Duration::from_secs(waited)).await;
            assert!(longer < Duration::from_millis(500), "after {waited} s: {longer:?}");
        }
    }
}
