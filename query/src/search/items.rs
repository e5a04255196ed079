//! Items: what histogram, facets and "what differs" count, as one frame per unit.
//!
//! | unit     | one item per                          | starts at      | plotted value                             | failed          |
//! |----------|---------------------------------------|----------------|-------------------------------------------|-----------------|
//! | spans    | matching span                         | `start_time`   | `duration_nanos`                          | status error    |
//! | traces   | root span of a trace with a match     | `start_time`   | `duration_nanos`: until the answer        | status error    |
//! | journeys | journey with a match in its traces    | `time`         | `response`, `settled` or `wait`           | main root failed |
//!
//! A trace whose root was never received has no item; a trace or journey counts when it starts in the range.

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use datafusion::common::JoinType;
use datafusion::functions_aggregate::expr_fn::{max, min};
use datafusion::logical_expr::Expr;
use datafusion::prelude::{DataFrame, ident, lit};
use model::{SpanId, TimeRange, TraceId, UnixNanos};
use storage::table::{DIGEST_TRACES, JOURNEYS, SPANS};

use super::{Scope, Unit, moment};
use crate::engine::session::Session;
use crate::error::{Error, Result};
use crate::rows::{Bytes, Ints};

/// How long before a range the digest may have looked at its traces: clocks that are ahead.
const LOOKED_AROUND_NANOS: i64 = 3_600 * UnixNanos::SECOND;

/// Which value is plotted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Plot {
    /// Until the answer: duration of the span, root span or main root.
    Answer,
    /// Until the last effect. Journeys only.
    LastEffect,
    /// In queues and before redelivery. Journeys only.
    Wait,
}

impl Plot {
    /// # Errors
    /// When the unit has no such value.
    pub(super) fn read(text: Option<&str>, unit: Unit) -> Result<Self> {
        let plot = match text {
            None if unit == Unit::Journeys => Self::LastEffect,
            None | Some("answer" | "duration") => Self::Answer,
            Some("last_effect") => Self::LastEffect,
            Some("wait") => Self::Wait,
            Some(_) => return Err(Error::invalid("plot is answer, last_effect or wait")),
        };
        if plot != Self::Answer && unit != Unit::Journeys {
            return Err(Error::invalid("last_effect and wait are known of journeys only: ask with unit=journeys"));
        }
        Ok(plot)
    }

    const fn column(self, unit: Unit) -> &'static str {
        match (unit, self) {
            (Unit::Journeys, Self::Answer) => "response",
            (Unit::Journeys, Self::LastEffect) => "settled",
            (Unit::Journeys, Self::Wait) => "wait",
            (Unit::Traces | Unit::Spans, _) => "duration_nanos",
        }
    }
}

/// Every item of a question, all columns of its row; nothing is read yet.
///
/// # Errors
/// When a table cannot be planned: a bug.
pub(super) async fn frame(session: &Session, scope: &Scope) -> Result<DataFrame> {
    Ok(match scope.unit {
        Unit::Spans => scope.matching(session)?,
        Unit::Traces => {
            let roots = within(session.table(&SPANS)?, "start_time", scope.range)?;
            let roots = roots.filter(ident("parent_span_id").is_null())?;
            if scope.is_everything() {
                return Ok(roots);
            }
            let matching = scope.matching(session)?.select(vec![ident("trace_id").alias("matching_trace")])?;
            roots.join(matching, JoinType::LeftSemi, &["trace_id"], &["matching_trace"], None)?
        }
        Unit::Journeys => journeys(session, scope).await?,
    })
}

/// Journeys that start in the range and of which a span matches.
///
/// # Errors
/// When a table cannot be planned: a bug.
pub(crate) async fn journeys(session: &Session, scope: &Scope) -> Result<DataFrame> {
    let mut journeys = within(session.context.table(JOURNEYS.name).await?, "time", scope.range)?;
    for condition in &scope.of_journeys {
        journeys = journeys.filter(condition.clone())?;
    }
    if scope.is_everything() {
        return Ok(journeys);
    }
    // A trace is the origin of its journey, or the digest has said whose member it is.
    let matching = || Ok::<_, Error>(scope.matching(session)?.select(vec![ident("trace_id").alias("matching_trace")])?);
    let mut looked_at = session.table(&DIGEST_TRACES)?;
    if scope.range != TimeRange::ALL {
        let since = scope.range.start.0.saturating_sub(LOOKED_AROUND_NANOS);
        looked_at = looked_at.filter(ident("time").gt_eq(moment(since)))?;
    }
    let members = looked_at
        .join(matching()?, JoinType::LeftSemi, &["trace_id"], &["matching_trace"], None)?
        .select(vec![ident("journey").alias("matching_trace")])?;
    let wanted = matching()?.union(members)?;
    Ok(journeys.join(wanted, JoinType::LeftSemi, &["journey"], &["matching_trace"], None)?)
}

fn within(frame: DataFrame, time: &str, range: TimeRange) -> Result<DataFrame> {
    if range == TimeRange::ALL {
        return Ok(frame);
    }
    Ok(frame.filter(ident(time).gt_eq(moment(range.start.0)))?.filter(ident(time).lt(moment(range.end.0)))?)
}

/// The range of a question that names none: from the earliest item to just after the latest one.
///
/// # Errors
/// What went wrong while reading.
pub(super) async fn found_range(session: &Session, scope: &Scope) -> Result<TimeRange> {
    let time = ident(time_column(scope.unit));
    let frame = frame(session, scope).await?;
    let frame = frame.aggregate(vec![], vec![min(time.clone()).alias("first"), max(time).alias("last")])?;
    let collected = session.collect(frame, 1).await?;
    let ends = collected.batches.iter().find(|batch| batch.num_rows() > 0);
    let ends = ends.and_then(|batch| Some((Ints::of(batch, "first").get(0)?, Ints::of(batch, "last").get(0)?)));
    let (first, last) = ends.unwrap_or((session.now.0, session.now.0));
    Ok(TimeRange::new(UnixNanos(first), UnixNanos(last.saturating_add(1))))
}

const fn time_column(unit: Unit) -> &'static str {
    match unit {
        Unit::Journeys => "time",
        Unit::Traces | Unit::Spans => "start_time",
    }
}

/// Columns to select for [`Items`].
pub(super) fn columns(unit: Unit, plot: Plot) -> Vec<Expr> {
    let error = if unit == Unit::Journeys { ident("error") } else { ident("status_code").eq(lit(2)) };
    vec![
        ident(time_column(unit)).alias("item_start"),
        ident(plot.column(unit)).alias("item_value"),
        error.alias("item_error"),
    ]
}

/// Columns for [`Items::of_spans`].
pub(super) const fn span_columns() -> [&'static str; 3] {
    ["start_time", "duration_nanos", "status_code"]
}

/// Columns to select for [`Items::trace_id`] and [`Items::span_id`].
pub(super) fn id_columns(unit: Unit) -> Vec<Expr> {
    let (trace, span) = match unit {
        Unit::Journeys => ("journey", "root_span"),
        Unit::Traces | Unit::Spans => ("trace_id", "span_id"),
    };
    vec![ident(trace).alias("item_trace"), ident(span).alias("item_span")]
}

/// Items of a batch that has [`columns`].
#[derive(Debug)]
pub(super) struct Items {
    starts: Ints,
    values: Ints,
    errors: Option<BooleanArray>,
    traces: Bytes,
    spans: Bytes,
    n_rows: usize,
}

impl Items {
    pub(super) fn of(batch: &RecordBatch) -> Self {
        let errors = batch.column_by_name("item_error").and_then(|column| column.as_boolean_opt().cloned());
        Self {
            starts: Ints::of(batch, "item_start"),
            values: Ints::of(batch, "item_value"),
            errors,
            traces: Bytes::of(batch, "item_trace"),
            spans: Bytes::of(batch, "item_span"),
            n_rows: batch.num_rows(),
        }
    }

    /// Items of a batch with the columns of spans as they are stored: [`span_columns`].
    pub(super) fn of_spans(batch: &RecordBatch) -> Self {
        let status = Ints::of(batch, "status_code");
        let errors = (0..batch.num_rows()).map(|row| status.get(row).map(|status| status == 2)).collect();
        Self {
            starts: Ints::of(batch, "start_time"),
            values: Ints::of(batch, "duration_nanos"),
            errors: Some(errors),
            traces: Bytes::of(batch, "trace_id"),
            spans: Bytes::of(batch, "span_id"),
            n_rows: batch.num_rows(),
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.n_rows
    }

    /// Nanoseconds since 1970.
    pub(super) fn start(&self, row: usize) -> i64 {
        self.starts.int(row)
    }

    /// The plotted value in nanoseconds, never negative.
    pub(super) fn value(&self, row: usize) -> u64 {
        u64::try_from(self.values.int(row)).unwrap_or_default()
    }

    pub(super) fn is_error(&self, row: usize) -> bool {
        self.errors.as_ref().is_some_and(|errors| errors.is_valid(row) && errors.value(row))
    }

    pub(super) fn trace_id(&self, row: usize) -> Option<TraceId> {
        self.traces.get(row).and_then(TraceId::from_bytes)
    }

    pub(super) fn span_id(&self, row: usize) -> Option<SpanId> {
        self.spans.get(row).and_then(SpanId::from_bytes)
    }
}
