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

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, Int64Array, RecordBatch, StringViewArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type, SchemaRef, TimeUnit};
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

/// Groups that are kept until they are handed on.
const GROUPS_MAX: usize = if cfg!(test) { 1_000 } else { 65_536 };
/// Rows of a run, on average, from which on it is counted as a whole: an accumulator for each costs about a microsecond.
const RUN_ROWS_MIN: usize = if cfg!(test) { 8 } else { 256 };
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

/// What was seen of a key: each value has a number, in the order in which they came.
enum Column {
    Label { of: Arc<dyn PhysicalExpr>, numbers: HashMap<Option<Box<str>>, u32>, known: Option<Known>, bytes: usize },
    Number { of: Arc<dyn PhysicalExpr>, numbers: HashMap<Option<i64>, u32> },
}

/// The dictionary of the batch before, and the number of each of its texts that a row has had.
struct Known {
    texts: ArrayRef,
    numbers: Vec<Option<u32>>,
}

impl Column {
    fn of(key: &Key) -> Self {
        match key {
            Key::Label(of) => Self::Label { of: Arc::clone(of), numbers: HashMap::new(), known: None, bytes: 0 },
            Key::Number(of) => Self::Number { of: Arc::clone(of), numbers: HashMap::new() },
        }
    }

    /// The number of the value in each row.
    fn numbers(&mut self, batch: &RecordBatch) -> Result<Numbers> {
        let (Self::Label { of, .. } | Self::Number { of, .. }) = &*self;
        let array = of.evaluate(batch)?.into_array(batch.num_rows())?;
        match self {
            Self::Label { numbers, known, bytes, .. } => {
                let labels = array.as_dictionary::<Int32Type>();
                let texts = labels.values().as_string::<i32>();
                let known = match known {
                    Some(known) if Arc::ptr_eq(&known.texts, labels.values()) => known,
                    known => {
                        known.insert(Known { texts: Arc::clone(labels.values()), numbers: vec![None; texts.len()] })
                    }
                };
                let mut number_of = |text: Option<&str>| {
                    let next = numbers.len() as u32;
                    *numbers.entry(text.map(Box::from)).or_insert_with(|| {
                        *bytes += text.map_or(0, str::len) + GROUP_BYTES;
                        next
                    })
                };
                let mut number_of = |code: i32, is_null: bool| {
                    let Some(place) = known.numbers.get_mut(code as usize).filter(|_| !is_null) else {
                        return number_of(None);
                    };
                    *place.get_or_insert_with(|| {
                        let code = code as usize;
                        number_of(texts.is_valid(code).then(|| texts.value(code)))
                    })
                };
                let (codes, nulls) = (labels.keys().values(), labels.keys().nulls());
                if let Some(code) = only_one(codes, nulls) {
                    return Ok(Numbers::Same(number_of(code, false)));
                }
                let is_null = |row: usize| nulls.is_some_and(|nulls| nulls.is_null(row));
                let numbers = codes.iter().enumerate().map(|(row, code)| number_of(*code, is_null(row)));
                Ok(Numbers::Each(numbers.collect()))
            }
            Self::Number { numbers, .. } => {
                let array = cast(&array, &DataType::Int64)?;
                let mut before = None;
                let mut number = |value: Option<i64>| match before {
                    Some((known, number)) if known == value => number,
                    _ => {
                        let next = numbers.len() as u32;
                        let number = *numbers.entry(value).or_insert(next);
                        before = Some((value, number));
                        number
                    }
                };
                let array = array.as_primitive::<Int64Type>();
                if let Some(value) = only_one(array.values(), array.nulls()) {
                    return Ok(Numbers::Same(number(Some(value))));
                }
                Ok(Numbers::Each(array.iter().map(number).collect()))
            }
        }
    }

    /// The values with these numbers, as they are handed on; the numbers begin anew.
    fn take(&mut self, wanted: impl Iterator<Item = u32>, of: &DataType) -> Result<ArrayRef> {
        match self {
            Self::Label { numbers, known, bytes, .. } => {
                let mut texts = vec![None; numbers.len()];
                numbers.drain().for_each(|(text, number)| texts[number as usize] = text);
                (*known, *bytes) = (None, 0);
                let texts = &texts;
                Ok(Arc::new(wanted.map(|number| texts[number as usize].as_deref()).collect::<StringViewArray>()))
            }
            Self::Number { numbers, .. } => {
                let mut values = vec![None; numbers.len()];
                numbers.drain().for_each(|(value, number)| values[number as usize] = value);
                let values: Int64Array = wanted.map(|number| values[number as usize]).collect();
                Ok(cast(&values, of)?)
            }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Label { bytes, known, .. } => bytes + known.as_ref().map_or(0, |known| 8 * known.numbers.len()),
            Self::Number { numbers, .. } => GROUP_BYTES * numbers.len(),
        }
    }
}

/// The number of the value of a key in each row of a batch.
#[derive(Clone)]
enum Numbers {
    /// The same in all rows.
    Same(u32),
    Each(Vec<u32>),
}

impl Numbers {
    fn of(&self, row: usize) -> u32 {
        match self {
            Self::Same(number) => *number,
            Self::Each(numbers) => numbers[row],
        }
    }
}

/// The only value there is; `None` when there are several, or nulls, or no rows.
fn only_one<T: Copy + PartialEq>(values: &[T], nulls: Option<&NullBuffer>) -> Option<T> {
    let first = *values.first()?;
    let has_nulls = nulls.is_some_and(|nulls| nulls.null_count() > 0);
    // In pieces that are compared at once: most batches are of one value, or are seen not to be in the first piece.
    let is_only =
        !has_nulls && values.chunks(256).all(|piece| piece.iter().fold(true, |same, value| same & (*value == first)));
    is_only.then_some(first)
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

    /// Rows by the group of each.
    fn add(&mut self, batch: &RecordBatch, groups: &[usize], runs: Option<&Runs>, n_groups: usize) -> Result<()> {
        let values = self.arguments.iter().map(|argument| argument.evaluate(batch)?.into_array(batch.num_rows()));
        let values = values.collect::<Result<Vec<_>>>()?;
        // A run of nulls only has a state that groups take for one with values.
        let has_nulls = || values.iter().any(|values| values.logical_null_count() > 0);
        let Some(runs) = runs.filter(|_| self.goes_by_runs && !has_nulls()) else {
            return self.accumulator.update_batch(&values, groups, None, n_groups);
        };
        let mut states: Vec<Vec<ScalarValue>> = Vec::new();
        for rows in &runs.rows {
            let of_run: Vec<ArrayRef> = values.iter().map(|array| array.slice(rows.start, rows.len())).collect();
            let mut run = self.function.create_accumulator()?;
            run.update_batch(&of_run)?;
            let state = run.state()?;
            states.resize_with(state.len(), Vec::new);
            states.iter_mut().zip(state).for_each(|(states, state)| states.push(state));
        }
        let states = states.into_iter().map(ScalarValue::iter_to_array).collect::<Result<Vec<_>>>()?;
        self.accumulator.merge_batch(&states, &runs.groups, n_groups)
    }
}

/// Rows of one group that follow each other.
struct Runs {
    rows: Vec<Range<usize>>,
    groups: Vec<usize>,
}

impl Runs {
    /// `None` when they are short, or there are none.
    fn of(groups: &[usize]) -> Option<Self> {
        if groups.is_empty() {
            return None;
        }
        let n_runs_max = groups.len() / RUN_ROWS_MIN;
        let mut runs = Self { rows: Vec::new(), groups: Vec::new() };
        let mut at = 0;
        for run in groups.chunk_by(|a, b| a == b) {
            if runs.rows.len() == n_runs_max {
                return None;
            }
            runs.rows.push(at..at + run.len());
            runs.groups.push(run[0]);
            at += run.len();
        }
        Some(runs)
    }
}

impl Groups {
    fn len(&self) -> usize {
        self.members.len() / self.columns.len()
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let numbers = self.columns.iter_mut().map(|column| column.numbers(batch)).collect::<Result<Vec<_>>>()?;
        let mut groups = numbers[0].clone();
        for (pairs, numbers) in self.pairs.iter_mut().zip(&numbers[1..]) {
            let mut before = None;
            let mut group_of = |group: u32, number: u32| {
                let pair = u64::from(group) << 32 | u64::from(number);
                match before {
                    Some((known, group)) if known == pair => group,
                    _ => {
                        let next = pairs.len() as u32;
                        let group = *pairs.entry(pair).or_insert(next);
                        before = Some((pair, group));
                        group
                    }
                }
            };
            groups = match (groups, numbers) {
                (Numbers::Same(group), Numbers::Same(number)) => Numbers::Same(group_of(group, *number)),
                (groups, numbers) => {
                    Numbers::Each((0..batch.num_rows()).map(|row| group_of(groups.of(row), numbers.of(row))).collect())
                }
            };
        }
        // Groups are numbered in the order in which they come.
        let mut n_groups = self.len();
        let n_looked_at = if matches!(groups, Numbers::Same(_)) { 1 } else { batch.num_rows() };
        for row in 0..n_looked_at.min(batch.num_rows()) {
            if groups.of(row) as usize == n_groups {
                self.members.extend(numbers.iter().map(|numbers| numbers.of(row)));
                n_groups += 1;
            }
        }
        let groups = match groups {
            Numbers::Same(group) => vec![group as usize; batch.num_rows()],
            Numbers::Each(groups) => groups.into_iter().map(|group| group as usize).collect(),
        };
        let runs = Runs::of(&groups);
        self.counted.iter_mut().try_for_each(|counted| counted.add(batch, &groups, runs.as_ref(), n_groups))
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

    /// Batches without rows have no states to put together.
    #[test]
    fn runs_are_long() {
        assert!(Runs::of(&[]).is_none());
        assert!(Runs::of(&[7; RUN_ROWS_MIN - 1]).is_none());
        let two = [[3; RUN_ROWS_MIN], [5; RUN_ROWS_MIN]].concat();
        let runs = Runs::of(&two).expect("two of them");
        assert_eq!((runs.rows, runs.groups), (vec![0..RUN_ROWS_MIN, RUN_ROWS_MIN..2 * RUN_ROWS_MIN], vec![3, 5]));
        assert!(Runs::of(&(0..100).collect::<Vec<_>>()).is_none());
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
