//! Sums per minute of services and their operations that were asked for before: rate, errors and durations of a day read
//! what came since, not the day.
//!
//! Rows of sums are only ever added, each with the number of its batch (`remembered.rs` says why that is enough). Half hours
//! are read and forgotten as a whole; a question takes the minutes it needs of them.
//!
//! ```text
//!   half hour     | service 1: minutes 0, 1, 2 ... 29 | service 2: ... |     sorted by service, then minute
//!   a minute      what is drawn of it, and its sums: packed (figures.rs)
//!   its sums      service 1, service 2 ...                                    packed as well, once somebody asked
//! ```
//!
//! Memory: 104 bytes a minute and service, and 1 to 3 for each bucket of its histogram; a day of 100 services with 11 calls a
//! minute is 144,000 of them, 19 MB. [`BYTES_MAX`] for a tenant and kind, and thrice that for all of them (`owners.rs`); what was not
//! asked for longest goes first.
//!
//! Cost, minute by minute: what is drawn is copied, 10 ns a minute and service, and a total of the range adds up half hours, 2 ns
//! a bucket. Longer steps add up each bucket of their minutes. Reading the rows takes 0.3 us for each row of each edge and batch.

pub(crate) mod figures;

use std::collections::BTreeMap;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{ident, lit};
use model::{TenantId, TimeRange};

use self::figures::{Figures, Point, Series};
use super::environment::Environment;
use super::owners::Owners;
use super::remembered::{Edges, minutes, stored_part};
use super::totals::{By, BySpan, Edge, MINUTE, Totals, read_up_to};
use crate::digest::stored::within;
use crate::engine::session::Session;
use crate::error::Result;

/// Minutes of a half hour.
const MINUTES: i64 = 30;
/// Bytes that are remembered of one kind, and so at most of one question.
const BYTES_MAX: usize = 32 << 20;
/// Sums that are read at once: 3 KB each at worst until they are packed.
const SUMS_MAX: usize = 200_000;
/// A tenant with too many services is not tried again for so many questions.
const PAUSE_QUESTIONS: u32 = 100;

/// Sums of every tenant, environment and kind. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Minutes(Owners<(TenantId, Environment, bool), HalfHours>);

/// Sums of one tenant, environment and kind, up to one batch of the digest.
#[derive(Debug, Default)]
struct HalfHours {
    /// Number of the newest batch that is in the sums.
    batch: i64,
    /// By number of the half hour since 1970.
    known: BTreeMap<i64, HalfHour>,
    edges: Edges,
    /// Counts questions, to know what was not asked for longest.
    turn: u64,
    /// Questions until it is tried again.
    pause: u32,
}

#[derive(Debug, Default)]
struct HalfHour {
    /// Sorted by edge and minute.
    sums: Vec<Sum>,
    /// Those of all minutes of an edge, sorted by edge; none until they are wanted.
    whole: Option<Vec<(u32, Figures)>>,
    asked: u64,
}

/// An edge in a minute.
#[derive(Debug)]
struct Sum {
    edge: u32,
    minute: i64,
    point: Point,
    figures: Figures,
}

impl Minutes {
    /// Hands each service (each operation with [`By::TargetOperation`]) by spans of time to `each`: `span_nanos` long, whole
    /// minutes, numbered from 1970, ascending, with the sums of `more` added. False when there are too many of them to remember, and for
    /// a snapshot from before what is remembered: they must be read.
    ///
    /// # Errors
    /// What went wrong while reading.
    pub(crate) async fn by_span(
        &self,
        (tenant, environment): (&TenantId, &Environment),
        session: &Session,
        by: By,
        (range, span_nanos): (TimeRange, i64),
        more: &BySpan,
        each: impl FnMut(&Edge, Series),
    ) -> Result<bool> {
        let key = (tenant.clone(), environment.clone(), by == By::TargetOperation);
        let own = self.0.of(key);
        let newest = session.derived.stored.progress().await?.map_or(0, |progress| progress.batch);
        // As for the map: outside of it there are no rows, or they were removed.
        let stored = super::whole_minutes(stored_part(session, range));
        let mut known = own.kept.lock().await;
        let is_brought = known.bring(session, (by, environment), newest, stored).await?;
        if is_brought {
            known.give(stored, span_nanos, more, each);
            known.forget();
        }
        own.takes(known.bytes());
        Ok(is_brought)
    }
}

/// What is summed up together, and in which environment.
type Of<'a> = (By, &'a Environment);

/// The half hours that a range of whole minutes touches.
fn half_hours(range: TimeRange) -> std::ops::Range<i64> {
    let length = MINUTES * MINUTE;
    range.start.0.div_euclid(length)..range.end.0.saturating_add(length - 1).div_euclid(length)
}

impl HalfHours {
    /// Reads what is missing; false when that cannot be.
    async fn bring(&mut self, session: &Session, of: Of<'_>, newest: i64, range: TimeRange) -> Result<bool> {
        if newest < self.batch {
            return Ok(false);
        }
        if self.pause > 0 {
            self.pause -= 1;
            return Ok(false);
        }
        self.turn += 1;
        let wanted = half_hours(range);
        let is_brought =
            self.catch_up(session, of, newest).await? && self.read_missing(session, of, wanted.clone()).await?;
        if !is_brought {
            *self = Self { batch: newest, pause: PAUSE_QUESTIONS, ..Self::default() };
            return Ok(false);
        }
        self.known.range_mut(wanted).for_each(|(_, known)| known.asked = self.turn);
        Ok(true)
    }

    /// Adds the batches after those that are in the sums.
    async fn catch_up(&mut self, session: &Session, (by, environment): Of<'_>, newest: i64) -> Result<bool> {
        let ends = [self.known.first_key_value(), self.known.last_key_value()];
        if let [Some((first, _)), Some((last, _))] = ends
            && self.batch < newest
        {
            let newer = ident("batch").gt(number(self.batch)).and(ident("batch").lt_eq(number(newest)));
            let rows = within("time", minutes(first * MINUTES, (last + 1) * MINUTES)).and(newer);
            let Some(found) = read_up_to(session, environment.sums(rows.and(services())), by, MINUTE, SUMS_MAX).await?
            else {
                return Ok(false);
            };
            self.add(found);
        }
        self.batch = newest;
        Ok(true)
    }

    /// Reads the half hours that are not remembered, neighbours at once.
    async fn read_missing(
        &mut self,
        session: &Session,
        (by, environment): Of<'_>,
        wanted: std::ops::Range<i64>,
    ) -> Result<bool> {
        // A range as long as that has too many sums in any case, and the numbers of its half hours alone would fill memory.
        if wanted.end - wanted.start > BYTES_MAX as i64 / 1_024 {
            return Ok(false);
        }
        let missing: Vec<i64> = wanted.clone().filter(|half_hour| !self.known.contains_key(half_hour)).collect();
        for run in missing.chunk_by(|half_hour, next| half_hour + 1 == *next) {
            let (first, after) = (run[0], run[run.len() - 1] + 1);
            let rows = within("time", minutes(first * MINUTES, after * MINUTES));
            let rows = rows.and(ident("batch").lt_eq(number(self.batch))).and(services());
            let rows = environment.sums(rows);
            let Some(found) = read_up_to(session, rows, by, MINUTE, SUMS_MAX).await? else { return Ok(false) };
            run.iter().for_each(|half_hour| drop(self.known.insert(*half_hour, HalfHour::default())));
            for ((minute, edge), totals) in found {
                let edge = self.edges.number(edge);
                if let Some(known) = self.known.get_mut(&minute.div_euclid(MINUTES)) {
                    known.sums.push(Sum::new(edge, minute, &totals));
                }
            }
            let read = self.known.range_mut(first..after);
            read.for_each(|(_, known)| known.sums.sort_unstable_by_key(Sum::place));
        }
        Ok(self.known.range(wanted).map(|(_, known)| known.bytes()).sum::<usize>() <= BYTES_MAX)
    }

    /// Adds sums by minute to the half hours that are remembered.
    fn add(&mut self, found: BySpan) {
        for ((minute, edge), totals) in found {
            let Some(known) = self.known.get_mut(&minute.div_euclid(MINUTES)) else { continue };
            let edge = self.edges.number(edge);
            known.whole = None;
            match known.sums.binary_search_by_key(&(edge, minute), Sum::place) {
                Ok(at) => {
                    let mut totals = totals;
                    known.sums[at].figures.add_to(&mut totals);
                    known.sums[at] = Sum::new(edge, minute, &totals);
                }
                Err(at) => known.sums.insert(at, Sum::new(edge, minute, &totals)),
            }
        }
    }

    /// Edge by edge, in no order; edges of `more` that nothing is remembered of last.
    fn give(&mut self, range: TimeRange, span_nanos: i64, more: &BySpan, mut each: impl FnMut(&Edge, Series)) {
        let mut more_by_edge: BTreeMap<&Edge, BTreeMap<i64, &Totals>> = BTreeMap::new();
        for ((span, edge), totals) in more {
            more_by_edge.entry(edge).or_default().insert(*span, totals);
        }
        let (first, after) = (range.start.0.div_euclid(MINUTE), range.end.0.div_euclid(MINUTE));
        let span_minutes = span_nanos / MINUTE;
        let span = |sum: &Sum| sum.minute.div_euclid(span_minutes);
        self.known.range_mut(half_hours(range)).for_each(|(_, known)| known.add_up());
        let wanted: Vec<(i64, &HalfHour)> =
            self.known.range(half_hours(range)).map(|(at, known)| (*at, known)).collect();
        for (edge, own) in (0u32..).zip(self.edges.all()) {
            let mut drawing = Drawing::new(more_by_edge.remove(own).unwrap_or_default());
            for (at, known) in &wanted {
                let covers = |first: i64, after: i64| first <= at * MINUTES && (at + 1) * MINUTES <= after;
                let sums = known.of(edge, first, after);
                known.add_to(edge, sums, covers(first, after), &mut drawing.series.total);
                for sums in sums.chunk_by(|a, b| span(a) == span(b)) {
                    let number = span(&sums[0]);
                    if span_minutes == 1 && !drawing.more.contains_key(&number) {
                        drawing.close();
                        drawing.series.points.push((number, sums[0].point));
                    } else {
                        let begin = number * span_minutes;
                        let is_whole = covers(begin.max(first), (begin + span_minutes).min(after));
                        known.add_to(edge, sums, is_whole, drawing.open(number));
                    }
                }
            }
            drawing.finish(|series| each(own, series));
        }
        for (edge, more) in more_by_edge {
            Drawing::new(more).finish(|series| each(edge, series));
        }
    }

    fn bytes(&self) -> usize {
        self.known.values().map(HalfHour::bytes).sum()
    }

    /// Forgets what was not asked for longest, until there is room.
    fn forget(&mut self) {
        let mut n_bytes = self.bytes();
        let mut by_age: Vec<(u64, i64)> = self.known.iter().map(|(at, known)| (known.asked, *at)).collect();
        by_age.sort_unstable();
        for (_, half_hour) in by_age {
            if n_bytes <= BYTES_MAX {
                break;
            }
            n_bytes -= self.known.remove(&half_hour).map_or(0, |known| known.bytes());
        }
        // Names that came and went would pile up.
        if self.edges.all().len() > SUMS_MAX {
            (self.known, self.edges) = Default::default();
        }
    }
}

impl HalfHour {
    /// Sums of an edge in minutes of the half hour.
    fn of(&self, edge: u32, first: i64, after: i64) -> &[Sum] {
        let begin = self.sums.partition_point(|sum| sum.place() < (edge, first));
        let end = begin + self.sums[begin..].partition_point(|sum| sum.place() < (edge, after));
        &self.sums[begin..end]
    }

    /// Adds all minutes of an edge together, unless that is done.
    fn add_up(&mut self) {
        let sums = &self.sums;
        self.whole.get_or_insert_with(|| {
            let whole = |sums: &[Sum]| {
                let mut totals = Totals::default();
                sums.iter().for_each(|sum| sum.figures.add_to(&mut totals));
                (sums[0].edge, Figures::of(&totals))
            };
            sums.chunk_by(|a, b| a.edge == b.edge).map(whole).collect()
        });
    }

    /// Adds sums of an edge: at once when they are those of the whole half hour.
    fn add_to(&self, edge: u32, sums: &[Sum], is_whole: bool, totals: &mut Totals) {
        let whole = self.whole.as_ref().filter(|_| is_whole && sums.len() > 1);
        let found = whole.and_then(|whole| Some(&whole[whole.binary_search_by_key(&edge, |(edge, _)| *edge).ok()?].1));
        match found {
            Some(figures) => figures.add_to(totals),
            None => sums.iter().for_each(|sum| sum.figures.add_to(totals)),
        }
    }

    fn bytes(&self) -> usize {
        let whole: usize = self.whole.iter().flatten().map(|(_, figures)| 40 + figures.bytes()).sum();
        64 + whole + self.sums.iter().map(|sum| 104 + sum.figures.bytes()).sum::<usize>()
    }
}

impl Sum {
    fn new(edge: u32, minute: i64, totals: &Totals) -> Self {
        Self { edge, minute, point: Point::of(totals), figures: Figures::of(totals) }
    }

    fn place(&self) -> (u32, i64) {
        (self.edge, self.minute)
    }
}

/// A series under way, spans of time in ascending order.
struct Drawing<'a> {
    series: Series,
    /// By span: what is not remembered.
    more: BTreeMap<i64, &'a Totals>,
    open: Option<(i64, Totals)>,
}

impl<'a> Drawing<'a> {
    fn new(more: BTreeMap<i64, &'a Totals>) -> Self {
        Self { series: Series::default(), more, open: None }
    }

    /// The sums of a span, for more.
    fn open(&mut self, span: i64) -> &mut Totals {
        if self.open.as_ref().is_some_and(|(open, _)| *open != span) {
            self.close();
        }
        let (series, more) = (&mut self.series, &mut self.more);
        let (_, totals) = self.open.get_or_insert_with(|| {
            let own = more.remove(&span).cloned().unwrap_or_default();
            series.total.add(&own);
            (span, own)
        });
        totals
    }

    fn close(&mut self) {
        if let Some((span, totals)) = self.open.take() {
            self.series.points.push((span, Point::of(&totals)));
        }
    }

    /// Hands the series on, unless it is empty.
    fn finish(mut self, each: impl FnOnce(Series)) {
        self.close();
        for (span, totals) in std::mem::take(&mut self.more) {
            self.series.add(span, totals);
        }
        self.series.points.sort_by_key(|(span, _)| *span);
        if !self.series.points.is_empty() {
            each(self.series);
        }
    }
}

/// Sums of what goes to a service.
fn services() -> Expr {
    ident("dst").like(lit("service:%"))
}

fn number(n: i64) -> Expr {
    Expr::Literal(ScalarValue::from(n), None)
}

#[cfg(test)]
mod tests;
