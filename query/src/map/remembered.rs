//! Sums of half hours that were asked for before: the map of a day reads what came since, not the day.
//!
//! Rows of sums are only ever added, each with the number of its batch, so what is remembered stays true up to that
//! number, and newer batches are added to it wherever in time their rows lie. Minutes at the ends of a range that are
//! no whole half hour are read as they stand.
//!
//! ```text
//!   range        |------------------------------------------------|
//!   half hours      [ remembered ][ remembered ][ read, remembered ]
//!   read as is   |--|                                              |--|
//! ```
//!
//! Memory: about 430 bytes an edge and half hour, [`ENTRIES_MAX`] of them for all tenants together: 45 MB. What was
//! not asked for longest goes first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::prelude::ident;
use model::{TenantId, TimeRange, UnixNanos};
use storage::table::EDGE_MINUTE_PARTS;

use super::totals::{By, Edge, MINUTE, Totals, add_on_demand, read};
use crate::digest::stored::within;
use crate::engine::session::Session;
use crate::error::Result;

/// What is remembered together.
const SPAN_NANOS: i64 = 30 * MINUTE;
/// Half hours of one question: six weeks. Longer ranges are read as they stand.
const SPANS_MAX: i64 = 2_016;
/// Edges times half hours that are remembered.
const ENTRIES_MAX: usize = 100_000;

/// Sums of every tenant. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remembered(Arc<Mutex<HashMap<TenantId, Arc<tokio::sync::Mutex<Spans>>>>>);

/// Sums of one tenant, up to one batch of the digest.
#[derive(Debug, Default)]
struct Spans {
    /// Number of the newest batch that is in the sums.
    batch: i64,
    spans: BTreeMap<i64, Span>,
    /// Counts questions, to know what was not asked for longest.
    turn: u64,
}

#[derive(Debug, Default)]
struct Span {
    totals: BTreeMap<Edge, Totals>,
    asked: u64,
}

impl Remembered {
    /// Sums of every edge over the minutes of a range, all operations together.
    ///
    /// # Errors
    /// What went wrong while reading.
    pub(crate) async fn totals(
        &self,
        tenant: &TenantId,
        session: &Session,
        range: TimeRange,
    ) -> Result<BTreeMap<Edge, Totals>> {
        let own = Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(tenant.clone()).or_default());
        let newest = session.derived.stored.progress().await?.map_or(0, |progress| progress.batch);
        let mut totals = BTreeMap::new();
        {
            let mut spans = own.lock().await;
            // What is older than the oldest rows was removed, and is not asked for from memory.
            let oldest = session.snapshot.table(&EDGE_MINUTE_PARTS).and_then(|table| {
                let segments = table.segments.iter().map(|segment| segment.time_range.start);
                segments.chain(table.buffer.iter().map(|rows| rows.time_range.start)).min()
            });
            let from = range.start.max(oldest.unwrap_or(range.end)).0;
            let (first, after) = (ceil(from), range.end.0.div_euclid(SPAN_NANOS));
            // A snapshot from before the newest batch that is remembered reads everything itself.
            if newest < spans.batch || !(1..=SPANS_MAX).contains(&(after - first)) {
                add(&mut totals, read(session, within("time", range), By::Edge, i64::MAX).await?);
            } else {
                spans.catch_up(session, newest).await?;
                spans.read_missing(session, first..after).await?;
                spans.turn += 1;
                let turn = spans.turn;
                for (_, span) in spans.spans.range_mut(first..after) {
                    span.asked = turn;
                    for (edge, sums) in &span.totals {
                        match totals.get_mut(edge) {
                            Some(known) => Totals::add(known, sums),
                            None => drop(totals.insert(edge.clone(), sums.clone())),
                        }
                    }
                }
                spans.forget();
                let moment = |span: i64| UnixNanos(span.saturating_mul(SPAN_NANOS));
                let ends = [TimeRange::new(range.start, moment(first)), TimeRange::new(moment(after), range.end)];
                for end in ends.into_iter().filter(|end| end.start < end.end) {
                    add(&mut totals, read(session, within("time", end), By::Edge, i64::MAX).await?);
                }
            }
        }
        add_on_demand(session, range, By::Edge, &mut totals).await?;
        Ok(totals)
    }
}

/// Number of the first half hour that begins at or after a moment.
fn ceil(nanos: i64) -> i64 {
    nanos.saturating_add(SPAN_NANOS - 1).div_euclid(SPAN_NANOS)
}

fn add(totals: &mut BTreeMap<Edge, Totals>, found: BTreeMap<(i64, Edge), Totals>) {
    for ((_, edge), sums) in found {
        totals.entry(edge).or_default().add(&sums);
    }
}

impl Spans {
    /// Adds the batches after those that are in the sums.
    async fn catch_up(&mut self, session: &Session, newest: i64) -> Result<()> {
        if let (Some(first), Some(last)) = (self.spans.keys().next(), self.spans.keys().next_back())
            && self.batch < newest
        {
            let moment = |span: i64| UnixNanos(span.saturating_mul(SPAN_NANOS));
            let known = within("time", TimeRange::new(moment(*first), moment(last + 1)));
            let newer = known.and(ident("batch").gt(number(self.batch))).and(ident("batch").lt_eq(number(newest)));
            let found = read(session, newer, By::Edge, SPAN_NANOS).await?;
            for ((span, edge), sums) in found {
                if let Some(known) = self.spans.get_mut(&span) {
                    known.totals.entry(edge).or_default().add(&sums);
                }
            }
        }
        self.batch = newest;
        Ok(())
    }

    /// Reads the half hours that are not remembered, neighbours at once.
    async fn read_missing(&mut self, session: &Session, wanted: std::ops::Range<i64>) -> Result<()> {
        let missing: BTreeSet<i64> = wanted.filter(|span| !self.spans.contains_key(span)).collect();
        let missing: Vec<i64> = missing.into_iter().collect();
        for run in missing.chunk_by(|before, after| before + 1 == *after) {
            let (first, last) = (run[0], run[run.len() - 1]);
            let moment = |span: i64| UnixNanos(span.saturating_mul(SPAN_NANOS));
            let rows = within("time", TimeRange::new(moment(first), moment(last + 1)));
            let rows = rows.and(ident("batch").lt_eq(number(self.batch)));
            let found = read(session, rows, By::Edge, SPAN_NANOS).await?;
            run.iter().for_each(|span| drop(self.spans.insert(*span, Span::default())));
            for ((span, edge), sums) in found {
                self.spans.entry(span).or_default().totals.insert(edge, sums);
            }
        }
        Ok(())
    }

    /// Forgets what was not asked for longest, until there is room.
    fn forget(&mut self) {
        let mut n_entries: usize = self.spans.values().map(|span| span.totals.len() + 1).sum();
        let mut by_age: Vec<(u64, i64)> = self.spans.iter().map(|(number, span)| (span.asked, *number)).collect();
        by_age.sort_unstable();
        for (_, number) in by_age {
            if n_entries <= ENTRIES_MAX {
                return;
            }
            n_entries -= self.spans.remove(&number).map_or(0, |span| span.totals.len() + 1);
        }
    }
}

fn number(n: i64) -> Expr {
    Expr::Literal(ScalarValue::from(n), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The oldest questions go first, and what is left fits.
    #[test]
    fn memory_is_bounded() {
        let edge = |n: usize| Edge { source: n.to_string(), ..Edge::default() };
        let span = |asked: u64| {
            let totals = (0..ENTRIES_MAX / 2 - 10).map(|n| (edge(n), Totals::default())).collect();
            Span { totals, asked }
        };
        let mut spans = Spans { spans: BTreeMap::from([(1, span(5)), (2, span(3)), (3, span(9))]), ..Spans::default() };
        spans.forget();
        assert_eq!(spans.spans.keys().copied().collect::<Vec<_>>(), [1, 3]);
        assert_eq!((ceil(0), ceil(1), ceil(SPAN_NANOS), ceil(-1)), (0, 1, 1, 0));
    }
}
