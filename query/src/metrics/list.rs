//! Metrics with a point in a range.

use std::collections::{BTreeMap, BTreeSet};

use api::{MetricItem, MetricsAnswer};
use datafusion::functions_aggregate::expr_fn::{count, count_distinct, max, min};
use datafusion::logical_expr::Expr;
use datafusion::prelude::{DataFrame, ident, lit};
use model::{MetricKind, Temporality, TimeRange};
use storage::table::{EXP_HISTOGRAM_POINTS, HISTOGRAM_POINTS, NUMBER_POINTS, SUMMARY_POINTS, Table};

use super::MetricsQuestion;
use crate::digest::stored::within;
use crate::engine::session::{Session, incomplete};
use crate::error::Result;
use crate::rows::{Ints, Texts};
use crate::search::compile::compile_points;
use crate::search::filter::Filter;

/// Pairs of a metric and a service that are looked at.
const ROWS_MAX: u64 = 100_000;
/// Services of a metric that are named.
const SERVICES_MAX: usize = 20;

/// Tables of points; the kind of those that say none.
const TABLES: [(&Table, MetricKind); 4] = [
    (&NUMBER_POINTS, MetricKind::Gauge),
    (&HISTOGRAM_POINTS, MetricKind::Histogram),
    (&EXP_HISTOGRAM_POINTS, MetricKind::ExponentialHistogram),
    (&SUMMARY_POINTS, MetricKind::Summary),
];

/// What is known of a metric while its rows are read.
#[derive(Debug, Default)]
struct Metric {
    description: String,
    is_counter: bool,
    temporalities: BTreeSet<i32>,
    services: BTreeSet<String>,
    series: u64,
    points: u64,
    first: Option<i64>,
    last: Option<i64>,
}

/// Points of a table by metric and service.
fn grouped(session: &Session, table: &'static Table, range: TimeRange, filters: Vec<Expr>) -> Result<DataFrame> {
    let mut frame = session.table(table)?.filter(within("time", range))?;
    for filter in filters {
        frame = frame.filter(filter)?;
    }
    let column = |name: &'static str, other: Expr| {
        if table.column(name).is_some() { ident(name) } else { other.alias(name) }
    };
    let is_counter = match table.column("is_monotonic") {
        Some(_) => datafusion::logical_expr::cast(ident("is_monotonic"), arrow::datatypes::DataType::Int32),
        None => lit(0i32),
    };
    let frame = frame.select(vec![
        ident("metric_name"),
        ident("metric_unit"),
        ident("metric_description"),
        ident("service_name"),
        ident("series_id"),
        ident("time"),
        column("metric_kind", lit(0i32)),
        column("temporality", lit(0i32)),
        is_counter.alias("is_counter"),
    ])?;
    let by = ["metric_name", "metric_unit", "metric_kind", "temporality", "service_name"].map(ident).to_vec();
    let figures = vec![
        max(ident("metric_description")).alias("description"),
        min(ident("is_counter")).alias("is_counter"),
        count(lit(1i64)).alias("points"),
        count_distinct(ident("series_id")).alias("series"),
        min(ident("time")).alias("first"),
        max(ident("time")).alias("last"),
    ];
    Ok(frame.aggregate(by, figures)?)
}

/// Every metric with a point in the range, by name, kind and unit; and why some may be missing.
///
/// # Errors
/// [`crate::Error::Invalid`] when the filter asks for something that points do not have.
pub(super) async fn found(
    session: &Session,
    range: TimeRange,
    filter: Option<&Filter>,
    named: Option<Expr>,
) -> Result<(Vec<MetricItem>, Option<String>)> {
    let mut metrics: BTreeMap<(String, &'static str, String), Metric> = BTreeMap::new();
    let mut cut = None;
    for (table, kind_of_table) in TABLES {
        let filter = filter.map(|filter| compile_points(filter, table)).transpose()?;
        let filters = filter.into_iter().chain(named.clone()).collect();
        let collected = session.collect(grouped(session, table, range, filters)?, ROWS_MAX).await?;
        if collected.cut.is_some() {
            cut = Some(format!("more than {ROWS_MAX} pairs of a metric and a service; filter by name or service"));
        }
        for batch in &collected.batches {
            let texts = |name| Texts::of(batch, name);
            let (names, units, services) = (texts("metric_name"), texts("metric_unit"), texts("service_name"));
            let descriptions = texts("description");
            let ints = |name| Ints::of(batch, name);
            let (kinds, temporalities, counters) = (ints("metric_kind"), ints("temporality"), ints("is_counter"));
            let (points, series) = (ints("points"), ints("series"));
            let (first, last) = (ints("first"), ints("last"));
            for row in 0..batch.num_rows() {
                let kind = MetricKind::from_code(kinds.int32(row)).unwrap_or(kind_of_table);
                let key = (names.text(row).to_owned(), kind.as_str(), units.text(row).to_owned());
                let metric = metrics.entry(key).or_insert_with(|| Metric { is_counter: true, ..Metric::default() });
                if descriptions.text(row) > metric.description.as_str() {
                    metric.description = descriptions.text(row).to_owned();
                }
                metric.is_counter &= counters.int(row) == 1;
                metric.temporalities.insert(temporalities.int32(row));
                metric.services.insert(services.text(row).to_owned());
                metric.series += series.int(row).unsigned_abs();
                metric.points += points.int(row).unsigned_abs();
                metric.first = [metric.first, first.get(row)].into_iter().flatten().min();
                metric.last = metric.last.max(last.get(row));
            }
        }
    }
    let items = metrics.into_iter().map(|((name, kind, unit), metric)| item(name, kind, unit, metric)).collect();
    Ok((items, cut))
}

fn item(name: String, kind: &str, unit: String, metric: Metric) -> MetricItem {
    let temporalities: Vec<i32> = metric.temporalities.into_iter().filter(|code| *code != 0).collect();
    let temporality = match temporalities.as_slice() {
        [] => "",
        [one] => Temporality::word(*one),
        _ => "mixed",
    };
    let (first, last) = (metric.first.unwrap_or_default(), metric.last.unwrap_or_default());
    // Each series has one pause less than it has points.
    let pauses = metric.points.saturating_sub(metric.series);
    let interval =
        (pauses > 0 && last > first).then(|| last.saturating_sub(first) as f64 * metric.series as f64 / pauses as f64);
    MetricItem {
        name,
        kind: kind.to_owned(),
        unit,
        description: metric.description,
        is_monotonic: metric.is_counter,
        temporality: temporality.to_owned(),
        n_services: metric.services.len() as u64,
        services: metric.services.into_iter().take(SERVICES_MAX).collect(),
        series: metric.series,
        points: metric.points,
        interval_nanos: interval.map(|nanos| nanos as i64),
        first_unix_nano: first.to_string(),
        last_unix_nano: last.to_string(),
    }
}

/// One page.
///
/// # Errors
/// The limits of the configuration.
pub(super) async fn page(session: &Session, question: &MetricsQuestion) -> Result<MetricsAnswer> {
    let (mut metrics, cut) = found(session, question.range, question.filter.as_ref(), None).await?;
    if let Some(kind) = question.kind {
        metrics.retain(|item| item.kind == kind.as_str());
    }
    if let Some(after) = &question.after {
        let key = (after.name.as_str(), after.kind.as_str(), after.unit.as_str());
        metrics.retain(|item| (item.name.as_str(), item.kind.as_str(), item.unit.as_str()) > key);
    }
    let has_more = metrics.len() > question.limit;
    metrics.truncate(question.limit);
    let next_cursor = metrics.last().filter(|_| has_more).map(|last| question.cursor(last));
    let (incomplete, incomplete_reason) = incomplete(&session.snapshot, cut);
    Ok(MetricsAnswer {
        from_unix_nano: question.range.start.0.to_string(),
        to_unix_nano: question.range.end.0.to_string(),
        metrics,
        next_cursor,
        incomplete,
        incomplete_reason,
        elapsed_ms: 0.0,
    })
}
