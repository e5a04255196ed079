//! The first half of a `GROUP BY` over labels: rows find their group by the code of their label, not by its text.
//!
//! Labels are dictionaries (`group_texts.rs` says why DataFusion gets them as texts). To make texts of codes, hash them and
//! compare them takes 40 % of a `GROUP BY service_name`. Here each text of a batch's dictionary gets a number once, and a row's number is
//! that of its code. A number or moment beside it is looked up, unless it is that of the row before: rows are sorted by service,
//! name and start. What is counted is counted by DataFusion's own accumulators: of long runs of one group by those for no groups at all,
//! which add up eight values at a time, and otherwise row by row.
//!
//! ```text
//!   AggregateExec: Final                     AggregateExec: Final
//!     RepartitionExec                          RepartitionExec
//!       AggregateExec: Partial        -->        LabelGroupsExec        the same columns, in the same form
//!         rows                                     rows
//! ```
//!
//! Groups beyond [`GROUPS_MAX`], or beyond the memory there is, are handed on early: the second half puts them together.

mod column;
mod runs;

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TreeNode as _, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::CastExpr;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode, PlanProperties,
    ReplaceChildrenOptions,
};
use futures::StreamExt as _;
use hashbrown::HashMap;

use self::column::Column;
use self::runs::Runs;

/// Groups that are kept until they are handed on.
const GROUPS_MAX: usize = if cfg!(test) { 1_000 } else { 65_536 };
/// Functions whose states are the same for a group among others and for all rows.
const BY_RUNS: [&str; 5] = ["count", "sum", "min", "max", "avg"];
/// Bytes of a group beside its texts and what is counted.
const GROUP_BYTES: usize = 64;

/// The plan with codes in place of texts where that can be.
///
/// # Errors
/// When a plan cannot be put together again: a bug.
pub(super) fn by_codes(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let replace = |plan: Arc<dyn ExecutionPlan>| match plan.downcast_ref::<AggregateExec>().and_then(keys_of) {
        Some(keys) => Ok(Transformed::yes(Arc::new(LabelGroupsExec { partial: plan, keys: keys.into() }) as _)),
        None => Ok(Transformed::no(plan)),
    };
    Ok(plan.transform_up(replace)?.data)
}

/// What rows are grouped by.
#[derive(Clone, Debug)]
enum Key {
    /// A dictionary of texts.
    Label(Arc<dyn PhysicalExpr>),
    /// An integer or a moment.
    Number(Arc<dyn PhysicalExpr>),
}

/// The keys of a first half that can be done here; `None` for every other plan.
fn keys_of(aggregate: &AggregateExec) -> Option<Vec<Key>> {
    let counts_plainly = aggregate.aggr_expr().iter().all(|counted| {
        !counted.is_distinct() && counted.order_bys().is_empty() && counted.groups_accumulator_supported()
    });
    let is_ours = *aggregate.mode() == AggregateMode::Partial
        && aggregate.group_expr().is_single()
        && *aggregate.input_order_mode() == InputOrderMode::Linear
        && aggregate.limit_options().is_none()
        && aggregate.filter_expr().iter().all(Option::is_none)
        && counts_plainly;
    let schema = aggregate.input_schema();
    let key = |(expr, _): &(Arc<dyn PhysicalExpr>, String)| {
        if let Some(text) = expr.downcast_ref::<CastExpr>()
            && *text.cast_type() == DataType::Utf8View
            && is_label(&text.expr().data_type(&schema).ok()?)
        {
            return Some(Key::Label(Arc::clone(text.expr())));
        }
        match expr.data_type(&schema).ok()? {
            DataType::Int32 | DataType::Int64 | DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                Some(Key::Number(Arc::clone(expr)))
            }
            _ => None,
        }
    };
    let keys = is_ours.then(|| aggregate.group_expr().expr().iter().map(key).collect::<Option<Vec<_>>>())??;
    keys.iter().any(|key| matches!(key, Key::Label(_))).then_some(keys)
}

fn is_label(of: &DataType) -> bool {
    matches!(of, DataType::Dictionary(codes, texts) if **codes == DataType::Int32 && **texts == DataType::Utf8)
}

/// The first half of an aggregation, by codes.
#[derive(Debug)]
pub(super) struct LabelGroupsExec {
    /// What it stands for.
    partial: Arc<dyn ExecutionPlan>,
    keys: Arc<[Key]>,
}

impl LabelGroupsExec {
    fn aggregate(&self) -> Result<&AggregateExec> {
        let aggregate = self.partial.downcast_ref::<AggregateExec>();
        aggregate.ok_or_else(|| DataFusionError::Internal("LabelGroupsExec stands for an aggregation".to_owned()))
    }
}

impl DisplayAs for LabelGroupsExec {
    fn fmt_as(&self, form: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LabelGroupsExec: ")?;
        self.partial.fmt_as(form, f)
    }
}

impl ExecutionPlan for LabelGroupsExec {
    fn name(&self) -> &'static str {
        "LabelGroupsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.partial.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.partial.children()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.partial.apply_expressions(f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let partial = Arc::clone(&self.partial).replace_children(children, options)?;
        Ok(Arc::new(Self { partial, keys: Arc::clone(&self.keys) }))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let aggregate = self.aggregate()?;
        let rows = aggregate.input().execute(partition, Arc::clone(&context))?;
        let counted = aggregate.aggr_expr().iter();
        let schema = self.partial.schema();
        let groups = Groups {
            schema: Arc::clone(&schema),
            columns: self.keys.iter().map(Column::of).collect(),
            pairs: vec![HashMap::new(); self.keys.len() - 1],
            members: Vec::new(),
            counted: counted.map(Counted::of).collect::<Result<_>>()?,
            memory: MemoryConsumer::new("groups of labels").register(context.memory_pool()),
        };
        let stream = futures::stream::try_unfold(Some((rows, groups)), |state| async move {
            let Some((mut rows, mut groups)): Option<(SendableRecordBatchStream, Groups)> = state else {
                return Ok(None);
            };
            while let Some(batch) = rows.next().await {
                groups.add(&batch?)?;
                if groups.len() > GROUPS_MAX || !groups.has_room() {
                    return Ok(Some((groups.hand_on()?, Some((rows, groups)))));
                }
            }
            match groups.len() {
                0 => Ok(None),
                _ => Ok(Some((groups.hand_on()?, None))),
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }
}

/// Groups that are not handed on yet.
struct Groups {
    schema: SchemaRef,
    columns: Vec<Column>,
    /// For each key after the first: the group that a group by the keys before it and a number make.
    pairs: Vec<HashMap<u64, u32>>,
    /// Numbers of the values of each group, key by key.
    members: Vec<u32>,
    counted: Vec<Counted>,
    memory: MemoryReservation,
}

/// What is counted of each group.
struct Counted {
    function: Arc<AggregateFunctionExpr>,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    accumulator: Box<dyn GroupsAccumulator>,
    /// Its states are the same with groups and without, where there are no nulls.
    goes_by_runs: bool,
}

impl Counted {
    fn of(function: &Arc<AggregateFunctionExpr>) -> Result<Self> {
        Ok(Self {
            arguments: function.expressions(),
            accumulator: function.create_groups_accumulator()?,
            goes_by_runs: BY_RUNS.contains(&function.fun().name()),
            function: Arc::clone(function),
        })
    }

    /// Rows by the runs of their groups, which are numbered by their rows, too, where something needs that.
    fn add(&mut self, batch: &RecordBatch, runs: &Runs, each: &mut Option<Vec<usize>>, n_groups: usize) -> Result<()> {
        let values = self.arguments.iter().map(|argument| argument.evaluate(batch)?.into_array(batch.num_rows()));
        let values = values.collect::<Result<Vec<_>>>()?;
        // A run of nulls only has a state that groups take for one with values.
        let has_nulls = || values.iter().any(|values| values.logical_null_count() > 0);
        if !runs.are_long() || !self.goes_by_runs || has_nulls() {
            let groups = each.get_or_insert_with(|| runs.of_each_row());
            return self.accumulator.update_batch(&values, groups, None, n_groups);
        }
        let groups: Vec<usize> = runs.numbers().iter().map(|group| *group as usize).collect();
        if self.function.fun().name() == "count" {
            let lengths: Int64Array = runs.rows().map(|rows| rows.len() as i64).collect();
            return self.accumulator.merge_batch(&[Arc::new(lengths)], &groups, n_groups);
        }
        let mut states: Vec<Vec<ScalarValue>> = Vec::new();
        for rows in runs.rows() {
            let of_run: Vec<ArrayRef> = values.iter().map(|array| array.slice(rows.start, rows.len())).collect();
            let mut run = self.function.create_accumulator()?;
            run.update_batch(&of_run)?;
            let state = run.state()?;
            states.resize_with(state.len(), Vec::new);
            states.iter_mut().zip(state).for_each(|(states, state)| states.push(state));
        }
        let states = states.into_iter().map(ScalarValue::iter_to_array).collect::<Result<Vec<_>>>()?;
        self.accumulator.merge_batch(&states, &groups, n_groups)
    }
}

impl Groups {
    fn len(&self) -> usize {
        self.members.len() / self.columns.len()
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let numbers = self.columns.iter_mut().map(|column| column.numbers(batch)).collect::<Result<Vec<_>>>()?;
        let mut joined: Option<Runs> = None;
        for (pairs, further) in self.pairs.iter_mut().zip(&numbers[1..]) {
            let left = joined.as_ref().unwrap_or(&numbers[0]);
            joined = Some(left.with(further, |group, number| {
                let next = pairs.len() as u32;
                *pairs.entry(u64::from(group) << 32 | u64::from(number)).or_insert(next)
            }));
        }
        let groups = joined.as_ref().unwrap_or(&numbers[0]);
        // Groups are numbered in the order in which they come.
        let mut n_groups = self.len();
        for (group, rows) in groups.numbers().iter().zip(groups.rows()) {
            if *group as usize == n_groups {
                self.members.extend(numbers.iter().map(|numbers| numbers.at(rows.start)));
                n_groups += 1;
            }
        }
        let mut each = None;
        self.counted.iter_mut().try_for_each(|counted| counted.add(batch, groups, &mut each, n_groups))
    }

    /// Reserves what they take; false when there is not so much.
    fn has_room(&self) -> bool {
        let columns: usize = self.columns.iter().map(Column::bytes).sum();
        let counted: usize = self.counted.iter().map(|counted| counted.accumulator.size()).sum();
        let pairs = self.pairs.iter().map(|pairs| pairs.len() * GROUP_BYTES).sum::<usize>();
        self.memory.try_resize(columns + counted + pairs + 4 * self.members.len()).is_ok()
    }

    /// All groups with what was counted of them, in the form of a first half; none are left.
    fn hand_on(&mut self) -> Result<RecordBatch> {
        let n_keys = self.columns.len();
        let mut arrays = Vec::new();
        for (at, column) in self.columns.iter_mut().enumerate() {
            let members = self.members.iter().skip(at).step_by(n_keys).copied();
            arrays.push(column.take(members, self.schema.field(at).data_type())?);
        }
        for counted in &mut self.counted {
            arrays.extend(counted.accumulator.state(EmitTo::All)?);
        }
        self.members.clear();
        self.pairs.iter_mut().for_each(HashMap::clear);
        self.memory.free();
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), arrays)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Fixture, TestSpan, span, tenant};
    use datafusion::physical_plan::displayable;
    use model::AttributeValue;

    const STATEMENTS: [&str; 9] = [
        "SELECT service_name, count(*), avg(duration_nanos), max(duration_nanos) FROM spans GROUP BY 1",
        "SELECT name, status_code, count(*), sum(duration_nanos) FROM spans GROUP BY 1, 2",
        "SELECT http_route, count(*), min(start_time) FROM spans GROUP BY 1",
        "SELECT service_name, name, http_status_code, time_bucket('1s', start_time) AS t, count(http_status_code) FROM spans GROUP BY 1, 2, 3, 4",
        "SELECT http_route, name FROM spans GROUP BY 1, 2",
        "SELECT name, stddev(duration_nanos) FROM spans GROUP BY 1",
        "SELECT name, duration_nanos, count(*) FROM spans GROUP BY 1, 2",
        "SELECT service_name, avg(messaging_batch_count), sum(messaging_offset), max(server_port), count(server_port) FROM spans GROUP BY 1",
        "SELECT name, avg(http_status_code), sum(http_status_code), min(http_status_code) FROM spans GROUP BY 1",
    ];

    /// Two services, routes that are sometimes missing, 10,000 different durations: more groups than tests keep.
    async fn fixture() -> Fixture {
        let text = |text: String| AttributeValue::String(text);
        let spans: Vec<TestSpan> = (0..10_000u64)
            .map(|n| TestSpan {
                service: if n % 5 == 0 { "shop" } else { "web" },
                status: if n % 7 == 0 { 2 } else { 0 },
                columns: match n % 3 {
                    0 => vec![
                        ("http_route", text(format!("/{}", n % 11))),
                        ("http_status_code", AttributeValue::Int(200 + n as i64 % 4)),
                    ],
                    _ => Vec::new(),
                },
                ..span(n + 1, n + 1, None, ["a", "b", "c", "d"][n as usize / 3 % 4], n as i64, n as i64 + 1)
            })
            .collect();
        Fixture::mixed(&spans).await
    }

    #[tokio::test]
    async fn groups_are_those_of_the_engine() {
        let fixture = fixture().await;
        let session = fixture.engine.session(fixture.engine.snapshot(&tenant())).expect("a session");
        for sql in STATEMENTS {
            // Plans remember what they have read, so each is made anew.
            let planned = async || {
                let frame = session.context.sql(sql).await.expect(sql);
                session.context.state().create_physical_plan(frame.logical_plan()).await.expect(sql)
            };
            let (plan, ours) = (planned().await, by_codes(planned().await).expect(sql));
            let shown = displayable(ours.as_ref()).indent(false).to_string();
            assert!(shown.contains("LabelGroupsExec"), "{sql}: {shown}");
            let rows = async |plan| {
                let batches = datafusion::physical_plan::collect(plan, session.context.task_ctx()).await.expect(sql);
                let text = arrow::util::pretty::pretty_format_batches(&batches).expect("texts").to_string();
                let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                lines.sort_unstable();
                lines
            };
            let (found, expected) = (rows(ours).await, rows(plan).await);
            assert_eq!(found.len(), expected.len(), "{sql}");
            // Sums of floating-point numbers depend on the order.
            if !sql.contains("stddev") {
                assert_eq!(found, expected, "{sql}");
            }
        }
    }

    /// Whatever is no plain first half over labels stays as it is.
    #[tokio::test]
    async fn other_groups_are_left_alone() {
        let fixture = fixture().await;
        let session = fixture.engine.session(fixture.engine.snapshot(&tenant())).expect("a session");
        for sql in [
            "SELECT count(*) FROM spans",
            "SELECT name, approx_percentile_cont(duration_nanos, 0.5) FROM spans GROUP BY 1",
            "SELECT status_code, count(*) FROM spans GROUP BY 1",
            "SELECT service_name, count(DISTINCT name) , count(DISTINCT kind) FROM spans GROUP BY 1",
            "SELECT name, count(*) FILTER (WHERE kind = 2) FROM spans GROUP BY 1",
            "SELECT service_name, name, count(*) FROM spans GROUP BY ROLLUP (service_name, name)",
        ] {
            let frame = session.context.sql(sql).await.expect(sql);
            let plan = session.context.state().create_physical_plan(frame.logical_plan()).await.expect(sql);
            let shown = displayable(by_codes(plan).expect(sql).as_ref()).indent(false).to_string();
            assert!(!shown.contains("LabelGroupsExec"), "{sql}: {shown}");
        }
    }
}
