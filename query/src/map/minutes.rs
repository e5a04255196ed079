//! Sums per minute of services and their operations that were asked for before: rate, errors and durations of a day read
//! what came since, not the day.
//!
//! Rows of sums are only ever added, each with the number of its batch (`remembered.rs` says why that is enough). Half hours
//! are read and forgotten as a whole; a question takes the minutes it needs of them.
//!
//! ```text
//!   half hour     | service 1: minutes 0, 1, 2 ... 29 | service 2: ... |     sorted by service, then minute
//!   a minute      count errors faults bytes bytes, bucket count bucket count ...     numbers of 7 bits, differences of buckets
//! ```
//!
//! Memory: 56 bytes a minute and service, and 2 to 3 for each bucket of its histogram; a day of 100 services with 11 calls a
//! minute is 144,000 of them, 12 MB. [`BYTES_MAX`] for a tenant and kind, and thrice that for all of them (`owners.rs`); what was not
//! asked for longest goes first.
//!
//! Cost: 0.3 us a minute and service, where reading the rows takes 0.3 us for each row of each edge and batch.

use std::collections::BTreeMap;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{ident, lit};
use model::{TenantId, TimeRange};

use super::environment::Environment;
use super::owners::Owners;
use super::remembered::{Edges, minutes, stored_part};
use super::totals::{By, BySpan, Edge, MINUTE, Totals, read_up_to};
use crate::analysis::statistics::Ascending;
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
    sums: Vec<(u32, i64, Box<[u8]>)>,
    asked: u64,
}

/// Figures of a span of time: what is drawn of [`Totals`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    /// Count, errors, faults, bytes of requests and answers.
    pub(crate) numbers: [i64; 5],
    /// Buckets of durations with a count; ascending and each once after [`Self::ascend`].
    pub(crate) durations: Vec<(i32, i64)>,
}

impl Figures {
    pub(crate) fn of(totals: &Totals) -> Self {
        // Buckets of a sketch have 32 bits.
        let small = |(bucket, count)| Some((i32::try_from(bucket).ok()?, count));
        Self { numbers: totals.numbers(), durations: totals.durations.buckets().filter_map(small).collect() }
    }

    /// Adds to others.
    pub(crate) fn add(&mut self, other: &Self) {
        self.numbers.iter_mut().zip(other.numbers).for_each(|(sum, number)| *sum += number);
        self.durations.extend(&other.durations);
    }

    /// Puts buckets in order, equal ones together; those that nothing is left of go.
    pub(crate) fn ascend(&mut self) {
        // What comes from one minute does.
        let is_in_order = self.durations.is_sorted_by(|a, b| a.0 < b.0);
        if is_in_order && self.durations.iter().all(|(_, count)| *count != 0) {
            return;
        }
        self.durations.sort_unstable_by_key(|(bucket, _)| *bucket);
        self.durations.dedup_by(|next, kept| {
            let is_same = next.0 == kept.0;
            kept.1 += if is_same { next.1 } else { 0 };
            is_same
        });
        self.durations.retain(|(_, count)| *count != 0);
    }

    /// As percentiles are asked of, once in order.
    pub(crate) fn durations(self) -> Ascending {
        let count = |(bucket, count)| Some((bucket, u64::try_from(count).ok()?));
        Ascending::new(self.durations.into_iter().filter_map(count).collect())
    }

    /// Adds all of it to sums.
    pub(crate) fn add_to(&self, totals: &mut Totals) {
        totals.add_numbers(self.numbers);
        self.durations.iter().for_each(|(bucket, count)| totals.durations.add_one(i64::from(*bucket), *count));
    }

    fn pack(&mut self) -> Box<[u8]> {
        self.ascend();
        let mut bytes = Vec::new();
        self.numbers.iter().for_each(|number| write(&mut bytes, *number));
        let mut before = 0;
        for (bucket, count) in &self.durations {
            write(&mut bytes, i64::from(*bucket) - before);
            write(&mut bytes, *count);
            before = i64::from(*bucket);
        }
        bytes.into_boxed_slice()
    }

    /// Adds what was packed.
    fn add_packed(&mut self, mut bytes: &[u8]) {
        self.numbers.iter_mut().for_each(|number| *number += read(&mut bytes));
        let mut bucket = 0;
        // Most differences and counts take a byte each.
        self.durations.reserve(bytes.len() / 2);
        while !bytes.is_empty() {
            bucket += read(&mut bytes);
            self.durations.push((bucket as i32, read(&mut bytes)));
        }
    }
}

/// Seven bits a byte, small ones first; the sign is the lowest bit.
fn write(bytes: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest >= 0x80 {
        bytes.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

fn read(bytes: &mut &[u8]) -> i64 {
    if let Some((byte, rest)) = bytes.split_first()
        && byte & 0x80 == 0
    {
        *bytes = rest;
        let number = u64::from(*byte);
        return (number >> 1) as i64 ^ -((number & 1) as i64);
    }
    let (mut number, mut shift) = (0u64, 0);
    while let Some((byte, rest)) = bytes.split_first() {
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

impl Minutes {
    /// Hands the figures of each service (of each operation with [`By::TargetOperation`]) by spans of time to `each`: `span_nanos`
    /// long, numbered from 1970, ascending, with those of `more` added. False when there are too many of them to remember, and for
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
        each: impl FnMut(&Edge, Vec<(i64, Figures)>),
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
                    known.sums.push((edge, minute, Figures::of(&totals).pack()));
                }
            }
            let read = self.known.range_mut(first..after);
            read.for_each(|(_, known)| known.sums.sort_unstable_by_key(|(edge, minute, _)| (*edge, *minute)));
        }
        Ok(self.known.range(wanted).map(|(_, known)| known.bytes()).sum::<usize>() <= BYTES_MAX)
    }

    /// Adds sums by minute to the half hours that are remembered.
    fn add(&mut self, found: BySpan) {
        for ((minute, edge), totals) in found {
            let Some(known) = self.known.get_mut(&minute.div_euclid(MINUTES)) else { continue };
            let edge = self.edges.number(edge);
            let mut figures = Figures::of(&totals);
            let place = known.sums.binary_search_by_key(&(edge, minute), |(edge, minute, _)| (*edge, *minute));
            match place {
                Ok(at) => {
                    figures.add_packed(&known.sums[at].2);
                    known.sums[at].2 = figures.pack();
                }
                Err(at) => known.sums.insert(at, (edge, minute, figures.pack())),
            }
        }
    }

    /// Edge by edge, in no order; edges of `more` that nothing is remembered of last.
    fn give(&self, range: TimeRange, span_nanos: i64, more: &BySpan, mut each: impl FnMut(&Edge, Vec<(i64, Figures)>)) {
        let mut more_by_edge: BTreeMap<&Edge, Vec<(i64, Figures)>> = BTreeMap::new();
        for ((span, edge), totals) in more {
            more_by_edge.entry(edge).or_default().push((*span, Figures::of(totals)));
        }
        let (first, after) = (range.start.0.div_euclid(MINUTE), range.end.0.div_euclid(MINUTE));
        let wanted: Vec<&HalfHour> = self.known.range(half_hours(range)).map(|(_, known)| known).collect();
        for (edge, own) in (0u32..).zip(self.edges.all()) {
            let mut spans: Vec<(i64, Figures)> = Vec::new();
            for known in &wanted {
                let begin = known.sums.partition_point(|(number, minute, _)| (*number, *minute) < (edge, first));
                for (_, minute, packed) in
                    known.sums[begin..].iter().take_while(|(number, minute, _)| *number == edge && *minute < after)
                {
                    let span = minute.saturating_mul(MINUTE).div_euclid(span_nanos);
                    if spans.last().is_none_or(|(last, _)| *last != span) {
                        spans.push((span, Figures::default()));
                    }
                    if let Some((_, figures)) = spans.last_mut() {
                        figures.add_packed(packed);
                    }
                }
            }
            merge(&mut spans, more_by_edge.remove(own).unwrap_or_default());
            if !spans.is_empty() {
                each(own, spans);
            }
        }
        for (edge, more) in more_by_edge {
            let mut spans = Vec::new();
            merge(&mut spans, more);
            each(edge, spans);
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
    fn bytes(&self) -> usize {
        64 + self.sums.iter().map(|(_, _, packed)| 56 + packed.len()).sum::<usize>()
    }
}

/// Adds further spans to some; buckets are in order afterwards.
fn merge(spans: &mut Vec<(i64, Figures)>, more: Vec<(i64, Figures)>) {
    for (span, figures) in more {
        match spans.binary_search_by_key(&span, |(span, _)| *span) {
            Ok(at) => spans[at].1.add(&figures),
            Err(at) => spans.insert(at, (span, figures)),
        }
    }
    spans.iter_mut().for_each(|(_, figures)| figures.ascend());
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
