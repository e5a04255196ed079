//! `GET /api/metrics` and `/api/metrics/{name}`: what metrics there are, and one of them over time.
//!
//! ```text
//!   rows of one metric, sorted by series and time
//!     series   what it grew by, or what it was, from point to point           change.rs
//!     step     one value per series and step                                  steps.rs
//!     group    series that share the labels asked for, put together           steps.rs, buckets.rs
//! ```
//!
//! | file           | knows                                                            |
//! |----------------|------------------------------------------------------------------|
//! | `question.rs`  | parameters, functions by kind of metric, steps                   |
//! | `list.rs`      | metrics with a point in a range                                  |
//! | `read.rs`      | rows of a table of points to points                              |
//! | `change.rs`    | delta and cumulative, resets, marks, repeats: pure               |
//! | `buckets.rs`   | histograms: differences, sums, quantiles: pure                   |
//! | `steps.rs`     | points to values per step and group: pure                        |
//! | `labels.rs`    | what groups share; attributes of series: pure                    |
//! | `exemplars.rs` | measurements that lead to a trace                                |
//!
//! Nothing is invented: a step in which no point came has no value, a counter is not extrapolated, and a first value of
//! unknown start adds nothing.

mod buckets;
mod change;
mod exemplars;
mod labels;
mod list;
mod question;
mod read;
mod steps;

use std::ops::ControlFlow;
use std::time::Instant;

use api::{MetricAnswer, MetricItem, MetricsAnswer};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::prelude::{Expr, ident, lit};
use model::{MetricKind, TenantId};
use storage::table::{EXP_HISTOGRAM_POINTS, HISTOGRAM_POINTS, NUMBER_POINTS, SUMMARY_POINTS, Table};

use crate::engine::Engine;
use crate::engine::session::{Session, incomplete};
use crate::error::{Error, Result, nearest};
use crate::search::compile::compile_points;
use crate::trace::moment;
use question::Asked;
pub use question::{MetricQuestion, MetricsQuestion};
use steps::Steps;

/// Where the points of a kind of metric stand.
const fn table_of(kind: MetricKind) -> &'static Table {
    match kind {
        MetricKind::Gauge | MetricKind::Sum => &NUMBER_POINTS,
        MetricKind::Histogram => &HISTOGRAM_POINTS,
        MetricKind::ExponentialHistogram => &EXP_HISTOGRAM_POINTS,
        MetricKind::Summary => &SUMMARY_POINTS,
    }
}

impl Engine {
    /// Metrics of which a point lies in a range; one page.
    ///
    /// # Errors
    /// The limits of the configuration.
    pub async fn metrics(&self, tenant: &TenantId, question: MetricsQuestion) -> Result<MetricsAnswer> {
        let started = Instant::now();
        let answer = self.run(tenant, move |session| async move { list::page(&session, &question).await }).await?;
        Ok(MetricsAnswer { elapsed_ms: started.elapsed().as_secs_f64() * 1e3, ..answer })
    }

    /// One metric over time.
    ///
    /// # Errors
    /// [`Error::NotFound`] without a point in the range; [`Error::Invalid`] when the metric has no such function, kind or
    /// unit.
    pub async fn metric(&self, tenant: &TenantId, question: MetricQuestion) -> Result<MetricAnswer> {
        let started = Instant::now();
        let answer = self.run(tenant, move |session| async move { metric(&session, &question).await }).await?;
        Ok(MetricAnswer { elapsed_ms: started.elapsed().as_secs_f64() * 1e3, ..answer })
    }
}

/// The one metric that is meant.
async fn find(session: &Session, question: &MetricQuestion) -> Result<MetricItem> {
    let named = ident("metric_name").eq(lit(question.name.as_str()));
    let (found, _) = list::found(session, question.range, None, Some(named)).await?;
    if found.is_empty() {
        let (all, _) = list::found(session, question.range, None, None).await?;
        let meant = nearest(&question.name, all.iter().map(|item| item.name.as_str()));
        let meant = meant.map(|name| format!("did you mean {name}? ")).unwrap_or_default();
        return Err(Error::NotFound(format!(
            "no point of the metric {} lies in this range; {meant}GET /api/metrics lists those that have some",
            question.name
        )));
    }
    let is_meant = |item: &&MetricItem| {
        question.kind.is_none_or(|kind| item.kind == kind.as_str())
            && question.unit.as_ref().is_none_or(|unit| item.unit == *unit)
    };
    let meant: Vec<&MetricItem> = found.iter().filter(is_meant).collect();
    let forms = |items: &[&MetricItem]| {
        let forms: Vec<_> = items.iter().map(|item| format!("kind={} unit={}", item.kind, item.unit)).collect();
        forms.join(", ")
    };
    match meant.as_slice() {
        [item] => Ok((*item).clone()),
        [] => Err(Error::invalid(format!(
            "{} is not sent like this; it is sent as {}",
            question.name,
            forms(&found.iter().collect::<Vec<_>>())
        ))),
        several => {
            Err(Error::invalid(format!("{} is sent in several forms; add one of {}", question.name, forms(several))))
        }
    }
}

async fn metric(session: &Session, question: &MetricQuestion) -> Result<MetricAnswer> {
    let item = find(session, question).await?;
    let asked = question.asked(&item)?;
    let table = table_of(asked.kind);
    let filter = question.filter.as_ref().map(|filter| compile_points(filter, table)).transpose()?;
    let mut frame = session
        .table(table)?
        .filter(ident("metric_name").eq(lit(question.name.as_str())))?
        .filter(ident("metric_unit").eq(lit(item.unit.as_str())))?
        .filter(ident("time").gt_eq(moment(asked.read_from())).and(ident("time").lt(moment(asked.steps.end()))))?;
    if table.column("metric_kind").is_some() {
        frame = frame.filter(ident("metric_kind").eq(lit(asked.kind.code())))?;
    }
    if let Some(filter) = filter.clone() {
        frame = frame.filter(filter)?;
    }
    let columns: Vec<Expr> = read::columns(asked.kind).iter().map(|name| ident(*name)).collect();
    let order = ["series_id", "time", "start_time", "arrival_time"].map(|name| ident(name).sort(true, false));
    let frame = frame.select(columns)?.sort(order.to_vec())?;
    let plan = session.plan(frame.logical_plan()).await?;
    let pool = std::sync::Arc::clone(&session.context.runtime_env().memory_pool);
    let mut steps = Steps::new(asked.clone(), MemoryConsumer::new("metric steps").register(&pool));
    let cost = session
        .fold(plan, |batch| {
            read::each(&batch, asked.kind, |row| steps.add(row))?;
            Ok(ControlFlow::Continue(()))
        })
        .await?;
    let drawn = steps.finish();
    let exemplars = match question.exemplars {
        0 => Vec::new(),
        n => exemplars::read(session, question, &asked, &drawn, n).await?,
    };
    Ok(answer(session, item, &asked, drawn, exemplars, cost.rows_read))
}

fn answer(
    session: &Session,
    item: MetricItem,
    asked: &Asked,
    drawn: steps::Drawn,
    exemplars: Vec<api::MetricExemplar>,
    rows_read: u64,
) -> MetricAnswer {
    let (incomplete, incomplete_reason) = incomplete(&session.snapshot, drawn.cut);
    MetricAnswer {
        name: item.name,
        kind: item.kind,
        unit: item.unit,
        description: item.description,
        is_monotonic: item.is_monotonic,
        temporality: item.temporality,
        from_unix_nano: asked.steps.start.to_string(),
        to_unix_nano: asked.steps.end().to_string(),
        step_nanos: asked.steps.step,
        steps: asked.steps.n as u64,
        function: asked.function.as_str().to_owned(),
        across: asked.across.map_or("", |across| across.as_str()).to_owned(),
        functions: asked.functions.iter().map(|function| function.as_str().to_owned()).collect(),
        by: asked.by.spelled(),
        series: drawn.series,
        n_groups: drawn.n_groups,
        n_series: drawn.n_series,
        resets: drawn.resets,
        attributes: drawn.attributes,
        exemplars,
        incomplete,
        incomplete_reason,
        rows_read,
        elapsed_ms: 0.0,
    }
}
