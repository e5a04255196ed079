//! `GET /api/red`: rate, errors and durations over time of services, operations and edges, from the sums per minute.
//!
//! Takes sums per minute of all services and operations from memory, reads the rows at rest of one node and of edges, and computes
//! what is not at rest yet; spans are not read. Where there are too many series for memory, those with the most calls are found
//! first and read then. The figures of one service with versions and neighbours are at `/api/services/{name}`, those of a whole range at `/api/map`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use api::{RedAnswer, RedSeries};
use datafusion::logical_expr::Expr;
use datafusion::prelude::{ident, lit};
use model::{TenantId, TimeRange, UnixNanos};

use crate::digest::stored::within;
use crate::engine::Engine;
use crate::engine::session::{Session, incomplete};
use crate::error::{Error, Result};
use crate::map::environment::Environment;
use crate::map::minutes::Minutes;
use crate::map::minutes::figures::Series;
use crate::map::totals::{By, BySpan, Edge, MINUTE, add_on_demand_by_span, count_up_to, read_some, read_up_to};
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
    environment: Environment,
    limit: usize,
    sums_max: usize,
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
        let environment = Environment::from_params(params);
        Ok(Self { range, step, by, node: text("node").map(node), environment, limit, sums_max: SUMS_MAX })
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

    fn too_many(&self) -> Error {
        let text = format!("more than {} series; take a shorter range, or one node with node=", self.sums_max);
        Error::TooLarge(text)
    }

    /// Those are remembered.
    fn is_of_all_services(&self) -> bool {
        self.node.is_none() && matches!(self.by, By::Target | By::TargetOperation)
    }

    /// The rows at rest that can matter.
    fn filter(&self) -> Expr {
        let (first, n) = self.grid();
        let begin = first.saturating_mul(self.step);
        let end = begin.saturating_add(self.step.saturating_mul(n as i64));
        let rows = self.environment.sums(within("time", TimeRange::new(UnixNanos(begin), UnixNanos(end))));
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
        let (minutes, own) = (self.minutes().clone(), tenant.clone());
        let work = move |session| async move { red(&session, &minutes, &own, &question).await };
        let answer = self.run(tenant, work).await?;
        Ok(RedAnswer { elapsed_ms: started.elapsed().as_secs_f64() * 1e3, ..answer })
    }
}

async fn red(session: &Session, minutes: &Minutes, tenant: &TenantId, question: &RedQuestion) -> Result<RedAnswer> {
    let (first, n_steps) = question.grid();
    let begin = first.saturating_mul(question.step);
    let end = begin.saturating_add(question.step.saturating_mul(n_steps as i64));
    let range = TimeRange::new(UnixNanos(begin), UnixNanos(end));
    let mut more = BySpan::new();
    add_on_demand_by_span(session, range, question.by, &question.environment, question.step, &mut more).await?;
    more.retain(|(_, edge), _| question.is_wanted(edge));
    let mut n_all = None;
    let mut drawn = Drawn { series: Vec::new(), n_series: 0, limit: question.limit };
    let mut draw = |edge: &Edge, mut found: Series| {
        found.points.retain(|(span, point)| (first..first + n_steps as i64).contains(span) && point.calls > 0);
        if !found.points.is_empty() {
            drawn.add(one(edge, &found, (first, n_steps), range));
        }
    };
    let is_done = question.is_of_all_services()
        && minutes
            .by_span((tenant, &question.environment), session, question.by, (range, question.step), &more, &mut draw)
            .await?;
    if !is_done {
        let sums = read_up_to(session, question.filter(), question.by, question.step, question.sums_max).await?;
        let mut sums = match sums {
            Some(sums) if sums.len() + more.len() <= question.sums_max => sums,
            _ => {
                let (busiest, n_series) = busiest(session, question, &more).await?;
                n_all = Some(n_series);
                more.retain(|(_, edge), _| busiest.contains(edge));
                let of = (question.by, question.step, question.sums_max);
                read_some(session, question.filter(), of, busiest).await?.ok_or_else(|| question.too_many())?
            }
        };
        for (key, totals) in more {
            sums.entry(key).or_default().add(&totals);
        }
        let mut by_edge: BTreeMap<Edge, Series> = BTreeMap::new();
        for ((span, edge), totals) in sums {
            if question.is_wanted(&edge) {
                by_edge.entry(edge).or_default().add(span, &totals);
            }
        }
        by_edge.into_iter().for_each(|(edge, series)| draw(&edge, series));
    }
    let (series, n_drawn) = drawn.finish();
    let n_series = n_all.unwrap_or(n_drawn);
    let more = match series.len() < question.limit {
        true => "a longer step".to_owned(),
        false => format!("limit={}", SERIES.1),
    };
    let cut = (n_series > series.len())
        .then(|| format!("the {} with the most calls of {n_series}; {more} shows more", series.len()));
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

/// Those that will be drawn, as many as fit, and how many there are.
async fn busiest(session: &Session, question: &RedQuestion, more: &BySpan) -> Result<(BTreeSet<Edge>, usize)> {
    let calls = count_up_to(session, question.filter(), question.by, question.sums_max).await?;
    let mut calls = calls.ok_or_else(|| question.too_many())?;
    for ((_, edge), totals) in more {
        *calls.entry(edge.clone()).or_default() += totals.count;
    }
    let mut calls: Vec<(Edge, i64)> =
        calls.into_iter().filter(|(edge, calls)| *calls > 0 && question.is_wanted(edge)).collect();
    let n_series = calls.len();
    // As they are drawn: the most calls first, then by name.
    calls.sort_by_key(|(_, calls)| std::cmp::Reverse(*calls));
    let n_drawn = question.limit.min(question.sums_max / question.grid().1).max(1);
    Ok((calls.into_iter().take(n_drawn).map(|(edge, _)| edge).collect(), n_series))
}

/// The series with the most calls; no more than twice as many as are wanted are in memory.
struct Drawn {
    series: Vec<RedSeries>,
    n_series: usize,
    limit: usize,
}

impl Drawn {
    fn add(&mut self, series: RedSeries) {
        self.series.push(series);
        self.n_series += 1;
        if self.series.len() >= 2 * self.limit {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.series.sort_by(|a, b| {
            let name = |one: &RedSeries| {
                [&one.source, &one.target, &one.protocol, &one.system, &one.operation].map(String::clone)
            };
            b.total.calls.cmp(&a.total.calls).then_with(|| name(a).cmp(&name(b)))
        });
        self.series.truncate(self.limit);
    }

    /// In order, and how many there were.
    fn finish(mut self) -> (Vec<RedSeries>, usize) {
        self.cut();
        (self.series, self.n_series)
    }
}

/// A series of points by number of their step.
fn one(edge: &Edge, found: &Series, (first, n_steps): (i64, usize), range: TimeRange) -> RedSeries {
    let count = |n: i64| u64::try_from(n).unwrap_or_default();
    let (mut calls, mut errors) = (vec![0; n_steps], vec![0; n_steps]);
    let mut percentiles: [Vec<Option<i64>>; 3] = std::array::from_fn(|_| vec![None; n_steps]);
    for (span, point) in &found.points {
        let step = (span - first) as usize;
        calls[step] = count(point.calls);
        errors[step] = count(point.errors);
        for (values, percentile) in percentiles.iter_mut().zip(point.percentiles.into_iter().flatten()) {
            values[step] = Some(percentile);
        }
    }
    let [p50_nanos, p95_nanos, p99_nanos] = percentiles;
    RedSeries {
        total: figures(&found.total, range),
        source: edge.source.clone(),
        target: edge.target.clone(),
        protocol: edge.protocol.clone(),
        system: edge.system.clone(),
        operation: edge.op.clone(),
        calls,
        errors,
        p50_nanos,
        p95_nanos,
        p99_nanos,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use storage::Snapshot;

    use super::*;
    use crate::digest::columns::{Progress, minute_parts, progress};
    use crate::digest::rollup::{Counts, Parts, SumKey, Sums};
    use crate::testing::{Fixture, tenant};

    const FIRST: i64 = 29_000_000;

    /// Ten minutes of nine operations over three services, more calls of the later ones.
    fn parts() -> Parts {
        let mut parts = Parts::default();
        for (minute, n) in (0..10).flat_map(|minute| (0..9).map(move |n| (minute, n))) {
            let [src, protocol, system] = ["client", "http", ""].map(str::to_owned);
            let (dst, op) = (format!("service:{}", n % 3), format!("GET /{}", n / 3));
            let key = SumKey { minute: FIRST + minute, src, dst, protocol, system, op, ..SumKey::default() };
            let mut durations = Counts::default();
            durations.add_one(600 + n as i32, n + 1);
            parts.add_sums(&key, &Sums { count: n + 1, durations, ..Sums::default() });
        }
        parts
    }

    /// When all of them do not fit, those with the most calls are drawn as they are when they do.
    #[tokio::test]
    async fn of_too_many_series_the_busiest_are_drawn() {
        let fixture = Fixture::new(Vec::new()).await;
        let at_rest = progress(Progress { time: 1, batch: 1, ..Progress::default() }).expect("rows").expect("some");
        let rows = vec![minute_parts(&parts(), 1).expect("rows").expect("some"), at_rest];
        let session = fixture.engine.session(Arc::new(Snapshot::of(rows))).expect("a session");
        let [from, to] = [FIRST, FIRST + 10].map(|minute| (minute * MINUTE).to_string());
        let ask = async |limit: &str, node: &str, sums_max| {
            let words = [("from", from.as_str()), ("to", &to), ("step", "1m"), ("by", "operation"), ("limit", limit)];
            let params =
                words.into_iter().chain([("node", node)]).map(|(name, text)| (name.to_owned(), text.to_owned()));
            let question = RedQuestion::from_params(&params.collect(), UnixNanos(0)).expect("a question");
            red(&session, &Minutes::default(), &tenant(), &RedQuestion { sums_max, ..question }).await
        };
        let whole = ask("2", "service:2", SUMS_MAX).await.expect("an answer");
        let of = |answer: &RedAnswer| answer.series.iter().map(|one| one.operation.clone()).collect::<Vec<_>>();
        assert_eq!((of(&whole), whole.n_series), (vec!["GET /2".to_owned(), "GET /1".to_owned()], 3));
        assert_eq!(whole.series[0].calls, [9; 10]);
        let found = ask("2", "service:2", 20).await.expect("an answer");
        assert_eq!((&found.series, found.n_series), (&whole.series, 3), "{found:?}");
        assert!(found.incomplete_reason.is_some_and(|reason| reason.starts_with("the 2 with the most calls of 3")));
        // Three series of ten steps do not fit into twenty sums, and three operations not into two.
        let fewer = ask("3", "service:2", 20).await.expect("an answer");
        assert_eq!((&fewer.series, fewer.n_series), (&whole.series, 3));
        assert!(fewer.incomplete_reason.is_some_and(|reason| reason.contains("of 3; a longer step shows more")));
        let error = ask("2", "service:2", 2).await.expect_err("they do not fit");
        assert!(matches!(&error, Error::TooLarge(text) if text.contains("more than 2 series")), "{error}");
    }
}
