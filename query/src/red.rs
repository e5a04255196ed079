//! `GET /api/red`: rate, errors and durations over time of services, operations and edges, from the sums per minute.
//!
//! Reads the rows at rest of the range once, and computes what is not at rest yet; spans are not read. The figures of one
//! service with versions and neighbours are at `/api/services/{name}`, those of a whole range at `/api/map`.

use std::collections::BTreeMap;
use std::time::Instant;

use api::{RedAnswer, RedSeries};
use datafusion::logical_expr::Expr;
use datafusion::prelude::{ident, lit};
use model::{TenantId, TimeRange, UnixNanos};

use crate::digest::stored::within;
use crate::engine::Engine;
use crate::engine::session::{Session, incomplete};
use crate::error::{Error, Result};
use crate::map::totals::{By, Edge, MINUTE, Totals, add_on_demand_by_span, read_up_to};
use crate::map::{figures, whole_minutes};
use crate::times::{parse_duration, parse_range};

/// Steps when nobody says, and at most: a day of minutes.
const STEPS: (i64, i64) = (120, 1_500);
/// Series when nobody says, and at most.
const SERIES: (usize, usize) = (100, 1_000);
/// Sums that are held at the same time: 3 KB each at worst.
const SUMS_MAX: usize = 200_000;

/// What is drawn, checked.
#[derive(Clone, Debug)]
pub struct RedQuestion {
    range: TimeRange,
    step: i64,
    by: By,
    node: Option<String>,
    limit: usize,
}

impl RedQuestion {
    /// Reads the parameters of a request; those it does not know are passed over.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn from_params(params: &BTreeMap<String, String>, now: UnixNanos) -> Result<Self> {
        let text = |name: &str| params.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
        let range = whole_minutes(parse_range(text("from"), text("to"), now)?);
        let length = range.end.0.saturating_sub(range.start.0);
        let step = match text("step") {
            None => (length / STEPS.0 / MINUTE + 1).saturating_mul(MINUTE),
            Some(text) => match parse_duration(text) {
                Some(step) if step >= MINUTE && step % MINUTE == 0 => step,
                _ => return Err(Error::invalid("step is a number of whole minutes, such as 1m or 1h")),
            },
        };
        if length / step > STEPS.1 {
            let shortest = length / STEPS.1 / MINUTE + 1;
            return Err(Error::invalid(format!(
                "this step makes more than {} values for a series; the shortest for this range is {shortest}m",
                STEPS.1
            )));
        }
        let by = match text("by").unwrap_or("service") {
            "service" => By::Target,
            "operation" => By::TargetOperation,
            "edge" => By::Edge,
            _ => return Err(Error::invalid("by is service, operation or edge")),
        };
        let limit = match text("limit").map(str::parse) {
            None => SERIES.0,
            Some(Ok(limit)) if (1..=SERIES.1).contains(&limit) => limit,
            Some(_) => return Err(Error::invalid(format!("limit is a number from 1 to {}", SERIES.1))),
        };
        // A name alone is that of a service.
        let node = |name: &str| if name.contains(':') { name.to_owned() } else { format!("service:{name}") };
        Ok(Self { range, step, by, node: text("node").map(node), limit })
    }

    /// Steps begin at multiples of their length.
    fn grid(&self) -> (i64, usize) {
        let first = self.range.start.0.div_euclid(self.step);
        let last = (self.range.end.0 - 1).div_euclid(self.step);
        (first, usize::try_from(last - first + 1).unwrap_or(1))
    }

    fn is_wanted(&self, edge: &Edge) -> bool {
        match &self.node {
            Some(node) if self.by == By::Edge => edge.source == *node || edge.target == *node,
            Some(node) => edge.target == *node,
            None => self.by == By::Edge || edge.target.starts_with("service:"),
        }
    }

    /// The rows at rest that can matter.
    fn filter(&self) -> Expr {
        let (first, n) = self.grid();
        let begin = first.saturating_mul(self.step);
        let end = begin.saturating_add(self.step.saturating_mul(n as i64));
        let rows = within("time", TimeRange::new(UnixNanos(begin), UnixNanos(end)));
        let is = |end: &str, node: &str| ident(end).eq(lit(node));
        match &self.node {
            Some(node) if self.by == By::Edge => rows.and(is("src", node).or(is("dst", node))),
            Some(node) => rows.and(is("dst", node)),
            None if self.by == By::Edge => rows,
            None => rows.and(ident("dst").like(lit("service:%"))),
        }
    }
}

impl Engine {
    /// Rate, errors and durations over time.
    ///
    /// # Errors
    /// The limits of the configuration; [`Error::TooLarge`] when there are too many series for such short steps.
    pub async fn red(&self, tenant: &TenantId, question: RedQuestion) -> Result<RedAnswer> {
        let started = Instant::now();
        let answer = self.run(tenant, move |session| async move { red(&session, &question).await }).await?;
        Ok(RedAnswer { elapsed_ms: started.elapsed().as_secs_f64() * 1e3, ..answer })
    }
}

async fn red(session: &Session, question: &RedQuestion) -> Result<RedAnswer> {
    let (first, n_steps) = question.grid();
    let begin = first.saturating_mul(question.step);
    let end = begin.saturating_add(question.step.saturating_mul(n_steps as i64));
    let range = TimeRange::new(UnixNanos(begin), UnixNanos(end));
    let too_many = || {
        Error::TooLarge(format!(
            "more than {SUMS_MAX} sums would be held at once; take a longer step, or one node with node="
        ))
    };
    let sums = read_up_to(session, question.filter(), question.by, question.step, SUMS_MAX).await?;
    let mut sums = sums.ok_or_else(too_many)?;
    add_on_demand_by_span(session, range, question.by, question.step, &mut sums).await?;
    if sums.len() > SUMS_MAX {
        return Err(too_many());
    }
    let mut by_edge: BTreeMap<Edge, Vec<(usize, Totals)>> = BTreeMap::new();
    for ((span, edge), totals) in sums {
        if totals.count > 0
            && question.is_wanted(&edge)
            && let Some(step) = usize::try_from(span - first).ok().filter(|step| *step < n_steps)
        {
            by_edge.entry(edge).or_default().push((step, totals));
        }
    }
    let mut series: Vec<RedSeries> =
        by_edge.into_iter().map(|(edge, steps)| one(edge, &steps, n_steps, range)).collect();
    series.sort_by(|a, b| {
        let name =
            |one: &RedSeries| [&one.source, &one.target, &one.protocol, &one.system, &one.operation].map(String::clone);
        b.total.calls.cmp(&a.total.calls).then_with(|| name(a).cmp(&name(b)))
    });
    let n_series = series.len();
    let cut = (n_series > question.limit)
        .then(|| format!("the {} with the most calls of {n_series}; limit={} shows more", question.limit, SERIES.1));
    series.truncate(question.limit);
    let reasons: Vec<String> = cut.into_iter().chain(session.derived.reason()).collect();
    let (incomplete, incomplete_reason) =
        incomplete(&session.snapshot, (!reasons.is_empty()).then(|| reasons.join("; ")));
    Ok(RedAnswer {
        from_unix_nano: begin.to_string(),
        to_unix_nano: end.to_string(),
        step_nanos: question.step,
        steps: n_steps as u64,
        by: match question.by {
            By::Target => "service",
            By::TargetOperation => "operation",
            By::Edge | By::Operation => "edge",
        }
        .to_owned(),
        series,
        n_series: n_series as u64,
        incomplete,
        incomplete_reason,
        elapsed_ms: 0.0,
    })
}

/// A series of its sums by step.
fn one(edge: Edge, steps: &[(usize, Totals)], n_steps: usize, range: TimeRange) -> RedSeries {
    let mut total = Totals::default();
    let count = |n: i64| u64::try_from(n).unwrap_or_default();
    let (mut calls, mut errors) = (vec![0; n_steps], vec![0; n_steps]);
    let mut percentiles: [Vec<Option<i64>>; 3] = std::array::from_fn(|_| vec![None; n_steps]);
    for (step, sums) in steps {
        total.add(sums);
        calls[*step] = count(sums.count);
        errors[*step] = count(sums.errors);
        let durations = sums.durations.counts();
        if durations.count() > 0 {
            for (values, q) in percentiles.iter_mut().zip([0.5, 0.95, 0.99]) {
                values[*step] = Some(durations.percentile(q));
            }
        }
    }
    let [p50_nanos, p95_nanos, p99_nanos] = percentiles;
    RedSeries {
        total: figures(&total, range),
        source: edge.source,
        target: edge.target,
        protocol: edge.protocol,
        system: edge.system,
        operation: edge.op,
        calls,
        errors,
        p50_nanos,
        p95_nanos,
        p99_nanos,
    }
}
