//! What a condition answers at a moment: samples, one per instance.
//!
//! A row of `sql` is an instance: the column `value` is its value, `trace_id` (an id, or a list of them) leads to examples,
//! every other column is a label. Rows whose `value` is null count as absent, so that an average over nothing is nothing.
//! Findings are counted by service and operation, with the newest journeys as examples.
//!
//! `$from` and `$to` are the rule's range up to the moment; `now()` is the moment too, so that a rule answers about the past
//! what it would have answered then. A condition that does not ask for `now()` is parsed and optimized once ([`KeptPlan`]).

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::ExecutionPlan;
use model::{TimeRange, TraceId, UnixNanos};

use super::rule::{By, Condition, Finding, Sql, refuse_label};
use crate::engine::prepared::Prepared;
use crate::engine::read_only;
use crate::engine::session::Session;
use crate::error::{Error, Result};
use crate::rows::{Bytes, Texts};
use crate::tables::UTC;

/// Labels by name.
pub(crate) type Labels = BTreeMap<String, String>;

/// Journeys told with an alert.
pub(crate) const EXAMPLES_MAX: usize = 3;
/// Longest label, in bytes; longer ones are cut.
const LABEL_BYTES_MAX: usize = 1_024;
/// Messages of a finding's journey are looked for so far around it.
const NEAR_NANOS: i64 = 3_600 * UnixNanos::SECOND;
/// The spans of a finding sent or took a message of a queue: the whole node, its last part, or RabbitMQ's routing key.
const OF_QUEUE: &str = " AND EXISTS (SELECT 1 FROM hops WHERE hops.journey = found.journey \
     AND hops.time >= $before AND hops.time < $after \
     AND (hops.queue = $queue OR hops.sent_queue = $queue OR ends_with(hops.queue, $name) OR ends_with(hops.queue, $key)) \
     AND (strpos(found.spans, encode(hops.consumer_span, 'hex')) > 0 OR strpos(found.spans, encode(hops.send_span, 'hex')) > 0))";
/// Findings that are counted at once.
const FINDINGS_MAX: u64 = 100_000;

/// One instance at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    pub(crate) labels: Labels,
    pub(crate) value: f64,
    /// Traces that show it, at most [`EXAMPLES_MAX`].
    pub(crate) traces: Vec<TraceId>,
    /// The finding in one sentence.
    pub(crate) note: Option<String>,
}

/// What is kept of a condition between its evaluations: its plan, optimized; `None` inside when it cannot be kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeptPlan(Arc<OnceLock<Option<Prepared>>>);

/// Asks a condition over a snapshot. `at` is the moment up to which rows count.
///
/// # Errors
/// What the query got wrong or exceeded; more instances than `limit`; labels that stand twice; values that are no numbers.
pub(crate) async fn ask(
    session: &Session,
    condition: &Condition,
    kept: &KeptPlan,
    at: UnixNanos,
    limit: usize,
) -> Result<Vec<Sample>> {
    let range = TimeRange::new(at - condition.range_nanos(), at);
    let samples = match condition {
        Condition::Sql(sql) => ask_sql(session, sql, kept, range, limit).await?,
        Condition::Finding(finding) => ask_finding(session, finding, kept, range, limit).await?,
        Condition::Own(_) => Vec::new(),
    };
    let mut known = std::collections::BTreeSet::new();
    match samples.iter().find(|sample| !known.insert(&sample.labels)) {
        Some(twice) => Err(Error::invalid(format!(
            "two rows have the same labels {}; group by what tells them apart",
            shown(&twice.labels)
        ))),
        None => Ok(samples),
    }
}

/// Checks what can be known of a condition without running it: tables, columns, types.
///
/// # Errors
/// What is wrong.
pub(crate) async fn check(session: &Session, condition: &Condition) -> Result<()> {
    let Condition::Sql(sql) = condition else { return Ok(()) };
    let range = TimeRange::new(session.now - sql.range_nanos, session.now);
    check_columns(filled(open_plan(session, sql).await?, range)?.schema().as_arrow())
}

/// A label set for people.
pub(crate) fn shown(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", pairs.join(", "))
}

impl KeptPlan {
    /// The plan that is kept, over the tables of a session.
    async fn plan(&self, session: &Session, moments: &[(&str, UnixNanos)]) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        match self.0.get() {
            Some(Some(prepared)) => prepared.plan(session, moments).await,
            _ => Ok(None),
        }
    }

    /// Keeps a plan that was asked for the first time and found right.
    async fn keep(&self, session: &Session, plan: LogicalPlan, fixed: &[(&str, ScalarValue)], open: &[&str]) {
        if self.0.get().is_none() {
            let prepared = Prepared::new(session, plan, fixed, open).await;
            let prepared = prepared.inspect_err(|error| tracing::debug!(%error, "the plan of a rule is not kept"));
            let _ = self.0.set(prepared.unwrap_or_default());
        }
    }
}

/// The condition as a plan in which `$from` and `$to` are open.
async fn open_plan(session: &Session, sql: &Sql) -> Result<LogicalPlan> {
    let statement = read_only::parse(&sql.text)?;
    let plan = session.context.state().statement_to_plan(statement).await.map_err(Error::from);
    let plan = plan.map_err(|error| crate::sql::explain(&sql.text, error))?;
    if matches!(plan, LogicalPlan::Explain(_)) {
        return Err(Error::invalid("a rule's condition is a query, not an EXPLAIN"));
    }
    read_only::verify(&plan)?;
    Ok(plan)
}

fn filled(plan: LogicalPlan, range: TimeRange) -> Result<LogicalPlan> {
    let moment = |moment: UnixNanos| {
        ScalarAndMetadata::new(ScalarValue::TimestampNanosecond(Some(moment.0), Some(UTC.into())), None)
    };
    let params = [("from".to_owned(), moment(range.start)), ("to".to_owned(), moment(range.end))];
    Ok(plan.with_param_values(ParamValues::Map(params.into_iter().collect()))?)
}

fn check_columns(schema: &Schema) -> Result<()> {
    let mut has_value = false;
    for field in schema.fields() {
        match field.name().as_str() {
            "value" if field.data_type().is_numeric() || field.data_type() == &DataType::Null => has_value = true,
            "value" => return Err(Error::invalid("the column value must be a number")),
            "trace_id" => {}
            name => {
                if let Some(detail) = refuse_label(name) {
                    return Err(Error::invalid(format!("a column becomes a label; {detail} (name it with AS)")));
                }
            }
        }
    }
    if has_value { Ok(()) } else { Err(Error::invalid("the query has no column value: name the number with AS value")) }
}

async fn ask_sql(session: &Session, sql: &Sql, kept: &KeptPlan, range: TimeRange, limit: usize) -> Result<Vec<Sample>> {
    let physical = match kept.plan(session, &[("from", range.start), ("to", range.end)]).await? {
        Some(physical) => physical,
        None => {
            let open = open_plan(session, sql).await?;
            let physical = first_plan(session, sql, open.clone(), range, limit).await?;
            kept.keep(session, limited(open, limit)?, &[], &["from", "to"]).await;
            physical
        }
    };
    let collected = session.collect_plan(physical, u64::MAX).await?;
    let mut samples = Vec::new();
    for batch in &collected.batches {
        read_rows(batch, &mut samples)?;
        if samples.len() > limit {
            return Err(too_many(limit));
        }
    }
    Ok(samples)
}

/// One row more than may be, so that too many are noticed.
fn limited(plan: LogicalPlan, limit: usize) -> Result<LogicalPlan> {
    Ok(LogicalPlanBuilder::from(plan).limit(0, Some(limit + 1))?.build()?)
}

/// The plan of a condition that is asked for the first time, or whose plan cannot be kept, with every check.
async fn first_plan(
    session: &Session,
    sql: &Sql,
    open: LogicalPlan,
    range: TimeRange,
    limit: usize,
) -> Result<Arc<dyn ExecutionPlan>> {
    let logical = filled(open, range)?;
    check_columns(logical.schema().as_arrow())?;
    let mut state = session.context.state();
    if let Some(now) = arrow::temporal_conversions::timestamp_ns_to_datetime(range.end.0) {
        state.execution_props_mut().query_execution_start_time = Some(now.and_utc());
    }
    let physical = session.plan_as(&state, &limited(logical, limit)?).await;
    physical.map_err(|error| crate::sql::explain(&sql.text, error))
}

fn too_many(limit: usize) -> Error {
    Error::TooLarge(format!("the condition gives more than {limit} instances; group by fewer labels or narrow it"))
}

fn read_rows(batch: &RecordBatch, samples: &mut Vec<Sample>) -> Result<()> {
    let Some(values) = batch.column_by_name("value") else { return Ok(()) };
    let values = cast(values, &DataType::Float64).map_err(|error| Error::invalid(error.to_string()))?;
    let values = values.as_primitive::<Float64Type>();
    let options = FormatOptions::default();
    let mut columns = Vec::new();
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if !matches!(field.name().as_str(), "value" | "trace_id") {
            let formatter = ArrayFormatter::try_new(column, &options);
            columns.push((field.name(), column, formatter.map_err(|error| Error::invalid(error.to_string()))?));
        }
    }
    for row in 0..batch.num_rows() {
        if values.is_null(row) {
            continue;
        }
        let text = |(name, column, formatter): &(&String, &arrow::array::ArrayRef, ArrayFormatter<'_>)| {
            let text = if column.is_valid(row) { formatter.value(row).to_string() } else { String::new() };
            ((*name).clone(), cut(&text))
        };
        // As in Prometheus, an empty label is no label.
        let labels: Labels = columns.iter().map(text).filter(|(_, text)| !text.is_empty()).collect();
        let value = values.value(row);
        if !value.is_finite() {
            let shown = shown(&labels);
            return Err(Error::invalid(format!("the value of {shown} is {value}, not a number: a division by zero?")));
        }
        samples.push(Sample { labels, value, traces: traces(batch, row), note: None });
    }
    Ok(())
}

/// At most [`LABEL_BYTES_MAX`] bytes, on a border of letters, without control characters.
fn cut(text: &str) -> String {
    let mut end = text.len().min(LABEL_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Ids in the column `trace_id`: bytes, hex, or lists of either.
fn traces(batch: &RecordBatch, row: usize) -> Vec<TraceId> {
    let Some(column) = batch.column_by_name("trace_id") else { return Vec::new() };
    let (ids, rows) = match column.as_list_opt::<i32>() {
        Some(lists) if lists.is_valid(row) => {
            let ids = lists.value(row);
            let n = ids.len();
            (ids, 0..n)
        }
        Some(_) => return Vec::new(),
        None => (Arc::clone(column), row..row + 1),
    };
    let mut found: Vec<TraceId> = Vec::new();
    let is_text = !matches!(ids.data_type(), DataType::Binary | DataType::LargeBinary | DataType::BinaryView);
    let (texts, bytes) = (is_text.then(|| Texts::from_array(&ids)), (!is_text).then(|| Bytes::from_array(&ids)));
    for row in rows {
        let from_text = texts.as_ref().and_then(|texts| TraceId::from_hex(texts.get(row)?));
        let id = from_text.or_else(|| bytes.as_ref().and_then(|bytes| TraceId::from_bytes(bytes.get(row)?)));
        if let Some(id) = id.filter(|id| !found.contains(id) && found.len() < EXAMPLES_MAX) {
            found.push(id);
        }
    }
    found
}

async fn ask_finding(
    session: &Session,
    finding: &Finding,
    kept: &KeptPlan,
    range: TimeRange,
    limit: usize,
) -> Result<Vec<Sample>> {
    let near = TimeRange::new(range.start - NEAR_NANOS, range.end + NEAR_NANOS);
    let moments = [("from", range.start), ("to", range.end), ("before", near.start), ("after", near.end)];
    let physical = match kept.plan(session, &moments).await? {
        Some(physical) => physical,
        None => {
            let (sql, fixed) = finding_sql(finding);
            let open = session.context.state().create_logical_plan(&sql).await?;
            let moment = |at: UnixNanos| ScalarValue::TimestampNanosecond(Some(at.0), Some(UTC.into()));
            let values = moments.iter().map(|(name, at)| (*name, moment(*at))).chain(fixed.iter().cloned());
            let values = values.map(|(name, value)| (name.to_owned(), ScalarAndMetadata::new(value, None)));
            let filled = open.clone().with_param_values(ParamValues::Map(values.collect()))?;
            let physical = session.plan(&filled).await?;
            kept.keep(session, open, &fixed, &moments.map(|(name, _)| name)).await;
            physical
        }
    };
    let collected = session.collect_plan(physical, FINDINGS_MAX).await?;
    let mut counted: BTreeMap<Labels, Sample> = BTreeMap::new();
    for batch in &collected.batches {
        let (journey, summary) = (Bytes::of(batch, "journey"), Texts::of(batch, "summary"));
        let columns: Vec<(By, Texts)> = finding.by.iter().map(|by| (*by, Texts::of(batch, by.column()))).collect();
        for row in 0..batch.num_rows() {
            let label = |(by, texts): &(By, Texts)| Some((by.column().to_owned(), cut(texts.get(row)?)));
            let mut labels: Labels = columns.iter().filter_map(label).filter(|(_, text)| !text.is_empty()).collect();
            labels.insert("finding".to_owned(), finding.id.as_str().to_owned());
            let sample = counted.entry(labels.clone()).or_insert_with(|| Sample { labels, ..Sample::default() });
            sample.value += 1.0;
            if let Some(id) = journey.get(row).and_then(TraceId::from_bytes)
                && sample.traces.len() < EXAMPLES_MAX
                && !sample.traces.contains(&id)
            {
                sample.traces.push(id);
            }
            sample.note.get_or_insert_with(|| summary.text(row).to_owned());
        }
    }
    let samples: Vec<Sample> = counted.into_values().filter(|sample| sample.value >= finding.at_least as f64).collect();
    if samples.len() > limit { Err(too_many(limit)) } else { Ok(samples) }
}

/// The newest of the findings that are asked for, and the values of its `$name`s that are no moments.
fn finding_sql(finding: &Finding) -> (String, Vec<(&'static str, ScalarValue)>) {
    let mut sql = "SELECT journey, service, op, summary FROM findings AS found \
                   WHERE id = $id AND time >= $from AND time < $to"
        .to_owned();
    let text = |text: &str| ScalarValue::Utf8(Some(text.to_owned()));
    let mut fixed = vec![("id", text(finding.id.as_str()))];
    if let Some(service) = &finding.service {
        sql.push_str(" AND service = $service");
        fixed.push(("service", text(service)));
    }
    if let Some(op) = &finding.op {
        sql.push_str(" AND op = $op");
        fixed.push(("op", text(op)));
    }
    if let Some(queue) = &finding.queue {
        // A journey lasts up to a day, but its messages are near: an hour around finds them and reads little.
        sql.push_str(OF_QUEUE);
        fixed.extend([
            ("queue", text(queue)),
            ("name", text(&format!("/{queue}"))),
            ("key", text(&format!(":{queue}"))),
        ]);
    }
    sql.push_str(" ORDER BY time DESC");
    (sql, fixed)
}

#[cfg(test)]
mod tests;
