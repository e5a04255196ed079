//! Sums of edges over a range: rows per minute at rest, and those of traces that are not at rest yet.
//!
//! A day of a thousand edges is more than a million rows. They are read as they stand: neighbours share their edge, so
//! an edge is looked up once per run of rows, and histograms are added into arrays.

mod adding;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::logical_expr::Expr;
use datafusion::physical_plan::{ExecutionPlan, execute_stream_partitioned};
use datafusion::prelude::{ident, lit};
use model::{TimeRange, TraceId, UnixNanos};
use storage::table::EDGE_MINUTE_PARTS;

use self::adding::{Adding, Bounds, add_up};
use super::environment::Environment;
use crate::analysis::statistics::percentiles;
use crate::digest::rollup::{Counts, Sums};
use crate::digest::stored::within;
use crate::engine::session::Session;
use crate::error::Result;

/// Nanoseconds of a minute.
pub(crate) const MINUTE: i64 = 60 * UnixNanos::SECOND;

/// Who, whom, over what; nodes and words as they stand at rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Edge {
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) protocol: String,
    pub(crate) system: String,
    /// What was asked for; empty when all operations are together.
    pub(crate) op: String,
}

/// What is summed up together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// All operations of an edge.
    Edge,
    /// Each operation for itself.
    Operation,
    /// Everything that goes to a node.
    Target,
    /// Each operation of a node, wherever it is asked for.
    TargetOperation,
}

impl By {
    /// What of an edge tells sums apart: source, target, protocol, system, operation.
    fn key(self, [source, target, protocol, system, op]: [&str; 5]) -> [&str; 5] {
        match self {
            Self::Edge => [source, target, protocol, system, ""],
            Self::Operation => [source, target, protocol, system, op],
            Self::Target => ["", target, "", "", ""],
            Self::TargetOperation => ["", target, protocol, "", op],
        }
    }

    /// Times outside of the server and in the broker are told of edges only.
    const fn has_waits(self) -> bool {
        matches!(self, Self::Edge | Self::Operation)
    }

    /// A column of the rows at rest that sums of this kind take from. Histograms are nearly all of their bytes.
    fn takes(self, column: &str) -> bool {
        match column {
            "networks" | "lags" | "src" | "system" => self.has_waits(),
            "protocol" => self != Self::Target,
            "op" => matches!(self, Self::Operation | Self::TargetOperation),
            _ => true,
        }
    }
}

/// What of the sums is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    /// Also when it was seen first and last, and which journeys were slowest and failed.
    Everything,
    /// Counts and histograms.
    Figures,
    /// Counts only: histograms are nearly all of the bytes.
    Counts,
}

impl Of {
    fn takes(self, column: &str) -> bool {
        let is_figure =
            !matches!(column, "first_seen" | "last_seen" | "slowest" | "slowest_journey" | "failed" | "failed_journey");
        let is_histogram = matches!(column, "durations" | "networks" | "lags");
        match self {
            Self::Everything => true,
            Self::Figures => is_figure,
            Self::Counts => is_figure && !is_histogram,
        }
    }
}

impl Edge {
    fn new(parts: [&str; 5]) -> Self {
        let [source, target, protocol, system, op] = parts.map(str::to_owned);
        Self { source, target, protocol, system, op }
    }
}

/// What went over an edge. Parts that correct others are negative.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Totals {
    pub(crate) count: i64,
    pub(crate) errors: i64,
    pub(crate) faults: i64,
    pub(crate) request_bytes: i64,
    pub(crate) response_bytes: i64,
    pub(crate) durations: Histogram,
    pub(crate) networks: Histogram,
    pub(crate) lags: Histogram,
    pub(crate) first_seen: Option<i64>,
    pub(crate) last_seen: Option<i64>,
    /// Nanoseconds and journey.
    pub(crate) slowest: Option<(i64, TraceId)>,
    /// Start and journey.
    pub(crate) failed: Option<(i64, TraceId)>,
}

impl Totals {
    /// What is counted: calls, errors, faults, bytes of requests and answers.
    pub(super) const fn numbers(&self) -> [i64; 5] {
        [self.count, self.errors, self.faults, self.request_bytes, self.response_bytes]
    }

    /// Adds to what is counted.
    pub(super) fn add_numbers(&mut self, [count, errors, faults, request_bytes, response_bytes]: [i64; 5]) {
        self.count += count;
        self.errors += errors;
        self.faults += faults;
        self.request_bytes += request_bytes;
        self.response_bytes += response_bytes;
    }

    /// Adds what another part saw.
    pub(crate) fn add(&mut self, other: &Self) {
        self.add_numbers(other.numbers());
        self.durations.add(&other.durations);
        self.networks.add(&other.networks);
        self.lags.add(&other.lags);
        self.first_seen = [self.first_seen, other.first_seen].into_iter().flatten().min();
        self.last_seen = self.last_seen.max(other.last_seen);
        self.slowest = self.slowest.max(other.slowest);
        self.failed = [self.failed, other.failed].into_iter().flatten().min();
    }

    fn add_sums(&mut self, sums: &Sums) {
        self.add(&Self {
            count: sums.count,
            errors: sums.errors,
            faults: sums.faults,
            request_bytes: sums.request_bytes,
            response_bytes: sums.response_bytes,
            durations: Histogram::of(&sums.durations),
            networks: Histogram::of(&sums.networks),
            lags: Histogram::of(&sums.lags),
            first_seen: sums.first_seen,
            last_seen: sums.last_seen,
            slowest: sums.slowest,
            failed: sums.failed,
        });
    }
}

/// Counts by bucket of a [`Sketch`](crate::analysis::statistics::Sketch), as an array that grows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Histogram {
    /// Bucket of the first count.
    first: i64,
    counts: Vec<i64>,
    /// Values at or below zero: their bucket is far from all others.
    far: BTreeMap<i64, i64>,
}

impl Histogram {
    /// Buckets of real nanoseconds: 64 bits need less than 2,300.
    const BUCKET_MAX: i64 = 4_096;

    fn of(counts: &Counts) -> Self {
        let mut histogram = Self::default();
        counts.0.iter().for_each(|(bucket, count)| histogram.add_one(i64::from(*bucket), *count));
        histogram
    }

    fn add(&mut self, other: &Self) {
        if let (Some(first), Some(last)) = (other.counts.first(), other.counts.len().checked_sub(1)) {
            // Makes room for all of them.
            self.add_one(other.first, *first);
            self.add_one(other.first + last as i64, 0);
            let begin = usize::try_from(other.first - self.first).unwrap_or_default();
            let places = self.counts[begin..].iter_mut().skip(1);
            places.zip(&other.counts[1..]).for_each(|(sum, count)| *sum += count);
        }
        for (bucket, count) in &other.far {
            self.add_one(*bucket, *count);
        }
    }

    /// Adds to one bucket.
    pub(super) fn add_one(&mut self, bucket: i64, count: i64) {
        if bucket.abs() > Self::BUCKET_MAX {
            *self.far.entry(bucket).or_default() += count;
            return;
        }
        if self.counts.is_empty() {
            self.first = bucket;
        }
        if bucket < self.first {
            let n_more = usize::try_from(self.first - bucket).unwrap_or_default();
            self.counts.splice(..0, std::iter::repeat_n(0, n_more));
            self.first = bucket;
        }
        let at = usize::try_from(bucket - self.first).unwrap_or_default();
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += count;
    }

    /// Buckets with a count, ascending; that of values at or below zero is the first.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (i64, i64)> + Clone {
        let near = self.counts.iter().enumerate().map(|(at, count)| (self.first + at as i64, *count));
        let far = |(bucket, count): (&i64, &i64)| (*bucket, *count);
        let (below, above) = (self.far.range(..0).map(far), self.far.range(0..).map(far));
        below.chain(near).chain(above).filter(|(_, count)| *count != 0)
    }

    /// Nearest-rank percentiles for ascending `qs`, within 1 %; `None` when nothing is counted.
    pub(crate) fn percentiles<const N: usize>(&self, qs: [f64; N]) -> Option<[i64; N]> {
        let small = |(bucket, count)| Some((i32::try_from(bucket).ok()?, u64::try_from(count).ok()?));
        percentiles(self.buckets().filter_map(small), qs)
    }
}

/// Sums of the edges of an environment over the minutes of a range; of those that `filter` picks among the rows at rest, and all of
/// those that are not at rest yet.
///
/// # Errors
/// What went wrong while reading.
pub(crate) async fn totals(
    session: &Session,
    range: TimeRange,
    by: By,
    environment: &Environment,
    filter: Option<Expr>,
) -> Result<BTreeMap<Edge, Totals>> {
    let rows = environment.sums(within("time", range));
    let rows = filter.into_iter().fold(rows, Expr::and);
    let found = read(session, rows, by, i64::MAX).await?;
    let mut totals: BTreeMap<Edge, Totals> = found.into_iter().map(|((_, edge), sums)| (edge, sums)).collect();
    add_on_demand(session, range, by, environment, &mut totals).await?;
    Ok(totals)
}

/// Adds what is not at rest of an environment, and leaves out edges of which nothing is left.
///
/// # Errors
/// What went wrong while reading.
pub(super) async fn add_on_demand(
    session: &Session,
    range: TimeRange,
    by: By,
    environment: &Environment,
    totals: &mut BTreeMap<Edge, Totals>,
) -> Result<()> {
    let mut found = BySpan::new();
    add_on_demand_by_span(session, range, by, environment, i64::MAX, &mut found).await?;
    for ((_, edge), sums) in found {
        totals.entry(edge).or_default().add(&sums);
    }
    totals.retain(|_, totals| totals.count > 0);
    Ok(())
}

/// Adds what is not at rest of an environment, by span of time as [`read`] does.
///
/// # Errors
/// What went wrong while reading.
pub(crate) async fn add_on_demand_by_span(
    session: &Session,
    range: TimeRange,
    by: By,
    environment: &Environment,
    span_nanos: i64,
    totals: &mut BySpan,
) -> Result<()> {
    let on_demand = session.derived.on_demand(range).await?;
    for (key, sums) in on_demand.parts.0.iter().filter(|(key, _)| environment.takes(key)) {
        let time = key.minute.saturating_mul(MINUTE);
        if range.contains(UnixNanos(time)) {
            let edge = Edge::new(by.key([&key.src, &key.dst, &key.protocol, &key.system, &key.op]));
            totals.entry((time.div_euclid(span_nanos), edge)).or_default().add_sums(sums);
        }
    }
    Ok(())
}

/// Sums of the rows at rest that `filter` picks, by edge and by span of time: `span_nanos` long, numbered from 1970.
///
/// # Errors
/// What went wrong while reading.
pub(super) async fn read(session: &Session, filter: Expr, by: By, span_nanos: i64) -> Result<BySpan> {
    let bounds = Bounds { sums_max: usize::MAX, only: None };
    Ok(read_columns(session, filter, by, Of::Everything, span_nanos, bounds).await?.unwrap_or_default())
}

/// As [`read`], figures only (no moments, no journeys), and with at most `sums_max` sums in memory. `None` when there are more,
/// however many threads there are.
///
/// # Errors
/// What went wrong while reading.
pub(crate) async fn read_up_to(
    session: &Session,
    filter: Expr,
    by: By,
    span_nanos: i64,
    sums_max: usize,
) -> Result<Option<BySpan>> {
    read_columns(session, filter, by, Of::Figures, span_nanos, Bounds { sums_max, only: None }).await
}

/// How much went over each edge, whenever; `None` when there are more than `edges_max`.
///
/// # Errors
/// What went wrong while reading.
pub(crate) async fn count_up_to(
    session: &Session,
    filter: Expr,
    by: By,
    edges_max: usize,
) -> Result<Option<BTreeMap<Edge, i64>>> {
    let bounds = Bounds { sums_max: edges_max, only: None };
    let found = read_columns(session, filter, by, Of::Counts, i64::MAX, bounds).await?;
    Ok(found.map(|found| found.into_iter().map(|((_, edge), sums)| (edge, sums.count)).collect()))
}

/// As [`read_up_to`], of some edges only.
///
/// # Errors
/// What went wrong while reading.
pub(crate) async fn read_some(
    session: &Session,
    filter: Expr,
    (by, span_nanos, sums_max): (By, i64, usize),
    only: BTreeSet<Edge>,
) -> Result<Option<BySpan>> {
    let is_one = |column: &str, end: fn(&Edge) -> &String| {
        let names: BTreeSet<&String> = only.iter().map(end).collect();
        ident(column).in_list(names.into_iter().map(lit).collect(), false)
    };
    // Their ends leave most rows out, together with their operations they may still be those of others.
    let mut filter = filter.and(is_one("dst", |edge| &edge.target));
    if by.takes("op") {
        filter = filter.and(is_one("op", |edge| &edge.op));
    }
    let bounds = Bounds { sums_max, only: Some(Arc::new(only)) };
    read_columns(session, filter, by, Of::Figures, span_nanos, bounds).await
}

async fn read_columns(
    session: &Session,
    filter: Expr,
    by: By,
    of: Of,
    span_nanos: i64,
    bounds: Bounds,
) -> Result<Option<BySpan>> {
    if session.snapshot.table(&EDGE_MINUTE_PARTS).is_none() {
        return Ok(Some(BySpan::new()));
    }
    let parts = session.spread(plan(session, filter, by, of).await?)?;
    let streams = execute_stream_partitioned(parts, session.context.task_ctx())?;
    Ok(add_up(streams, by, span_nanos, bounds).await?.map(Adding::finish))
}

/// Reads the rows at rest that `filter` picks.
async fn plan(session: &Session, filter: Expr, by: By, of: Of) -> Result<Arc<dyn ExecutionPlan>> {
    let is_wanted = |name: &&&str| by.takes(name) && of.takes(name);
    let columns: Vec<Expr> = COLUMNS.iter().filter(is_wanted).map(|name| ident(*name)).collect();
    let frame = session.table(&EDGE_MINUTE_PARTS)?.filter(filter)?.select(columns)?;
    session.plan(frame.logical_plan()).await
}

/// Sums by number of the span of time, and edge.
pub(crate) type BySpan = BTreeMap<(i64, Edge), Totals>;

const COLUMNS: [&str; 20] = [
    "time",
    "src",
    "dst",
    "protocol",
    "system",
    "op",
    "count",
    "errors",
    "faults",
    "request_bytes",
    "response_bytes",
    "durations",
    "networks",
    "lags",
    "first_seen",
    "last_seen",
    "slowest",
    "slowest_journey",
    "failed",
    "failed_journey",
];

#[cfg(test)]
mod tests;
