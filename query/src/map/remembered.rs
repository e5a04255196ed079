//! Sums of minutes and half hours that were asked for before: the map of a day reads what came since, not the day.
//!
//! Rows of sums are only ever added, each with the number of its batch, so what is remembered stays true up to that
//! number, and newer batches are added to it wherever in time their rows lie.
//!
//! ```text
//!   range        |--------------------------------------------------|
//!   half hours      [ remembered ][ remembered ][ read, remembered ]
//!   minutes      [][]                                              [][][]
//! ```
//!
//! Memory: about 300 bytes an edge and piece of time, [`ENTRIES_MAX`] of them for a tenant and environment: 45 MB, and twice that for all of them
//! (`owners.rs`). What was not asked for longest goes first.
//!
//! Cost: a map of a day of 1,100 edges adds 47 half hours and 30 minutes, 85,000 sums of about 0.3 us: 25 ms.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::prelude::ident;
use model::{TenantId, TimeRange, UnixNanos};
use storage::table::EDGE_MINUTE_PARTS;

use super::environment::Environment;
use super::owners::Owners;
use super::packed::Packed;
use super::totals::{By, BySpan, Edge, MINUTE, Totals, add_on_demand, read};
use crate::digest::stored::within;
use crate::engine::session::Session;
use crate::error::Result;

/// Minutes of a half hour.
const MINUTES: i64 = 30;
/// Half hours of one question: six weeks. Longer ranges are read as they stand.
const HALF_HOURS_MAX: i64 = 2_016;
/// Pieces that are read and summed up at once: a day and the minutes at its ends.
const PIECES_AT_ONCE: usize = 108;
/// Edges times minutes and half hours that are remembered.
const ENTRIES_MAX: usize = 150_000;
/// Bytes of each, about.
const ENTRY_BYTES: usize = 300;

/// Whose sums.
type Owner = (TenantId, Environment);

/// Sums of every tenant and environment. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remembered(Owners<Owner, Pieces>);

/// A piece of time: the minutes from `.0`, as many as `.1`.
type Piece = (i64, i64);

/// Sums of one tenant and environment, up to one batch of the digest.
#[derive(Debug, Default)]
struct Pieces {
    /// Number of the newest batch that is in the sums.
    batch: i64,
    pieces: BTreeMap<Piece, Sums>,
    edges: Edges,
    /// Counts questions, to know what was not asked for longest.
    turn: u64,
}

/// Sums of one piece by number of the edge, and when it was asked for.
#[derive(Debug, Default)]
struct Sums {
    totals: Vec<(u32, Packed)>,
    asked: u64,
}

/// Edges by number.
#[derive(Debug, Default)]
pub(super) struct Edges {
    numbers: HashMap<Edge, u32>,
    edges: Vec<Edge>,
}

impl Edges {
    pub(super) fn number(&mut self, edge: Edge) -> u32 {
        *self.numbers.entry(edge).or_insert_with_key(|edge| {
            self.edges.push(edge.clone());
            (self.edges.len() - 1) as u32
        })
    }

    /// By number.
    pub(super) fn all(&self) -> &[Edge] {
        &self.edges
    }
}

/// The pieces of a range of whole minutes: half hours, and minutes at its ends.
fn pieces(range: TimeRange) -> Vec<Piece> {
    let (start, end) = (range.start.0.div_euclid(MINUTE), range.end.0.div_euclid(MINUTE));
    let (first, after) = ((start + MINUTES - 1).div_euclid(MINUTES), end.div_euclid(MINUTES));
    if first >= after {
        return (start..end).map(|minute| (minute, 1)).collect();
    }
    let minutes = (start..first * MINUTES).chain(after * MINUTES..end).map(|minute| (minute, 1));
    minutes.chain((first..after).map(|half_hour| (half_hour * MINUTES, MINUTES))).collect()
}

impl Remembered {
    /// Sums of every edge over the minutes of a range, all operations together.
    ///
    /// # Errors
    /// What went wrong while reading.
    pub(crate) async fn totals(
        &self,
        owner: &Owner,
        session: &Session,
        range: TimeRange,
    ) -> Result<BTreeMap<Edge, Totals>> {
        let own = self.0.of(owner.clone());
        let environment = &owner.1;
        let newest = session.derived.stored.progress().await?.map_or(0, |progress| progress.batch);
        // What is older than the oldest rows was removed, and is not asked for from memory; nothing is newer than
        // the newest.
        let stored = super::whole_minutes(stored_part(session, range));
        let n_half_hours = stored.end.0.saturating_sub(stored.start.0) / (MINUTES * MINUTE);
        let remembered = if n_half_hours > HALF_HOURS_MAX {
            None
        } else {
            let mut pieces = own.kept.lock().await;
            let totals = pieces.totals(session, environment, newest, stored).await?;
            own.takes(pieces.n_entries() * ENTRY_BYTES);
            totals
        };
        let mut totals = match remembered {
            Some(totals) => totals,
            None => {
                let found = read(session, environment.sums(within("time", range)), By::Edge, i64::MAX).await?;
                found.into_iter().map(|((_, edge), sums)| (edge, sums)).collect()
            }
        };
        add_on_demand(session, range, By::Edge, environment, &mut totals).await?;
        Ok(totals)
    }
}

/// The part of a range in which there may be rows.
pub(super) fn stored_part(session: &Session, range: TimeRange) -> TimeRange {
    let Some(table) = session.snapshot.table(&EDGE_MINUTE_PARTS) else {
        return TimeRange::new(range.start, range.start);
    };
    let segments = table.segments.iter().map(|segment| segment.time_range);
    let ranges = || segments.clone().chain(table.buffer.iter().map(|rows| rows.time_range));
    let first = ranges().map(|range| range.start).min().unwrap_or(range.end);
    let last = ranges().map(|range| range.end).max().unwrap_or(range.start);
    let start = range.start.max(first);
    TimeRange::new(start, range.end.min(last).max(start))
}

impl Pieces {
    /// Sums of a range of whole minutes, a day of it in memory at a time. `None` for a snapshot from before the newest
    /// batch that is remembered: it must read everything itself.
    async fn totals(
        &mut self,
        session: &Session,
        environment: &Environment,
        newest: i64,
        range: TimeRange,
    ) -> Result<Option<BTreeMap<Edge, Totals>>> {
        if newest < self.batch {
            return Ok(None);
        }
        self.catch_up(session, environment, newest).await?;
        let mut totals: BTreeMap<Edge, Totals> = BTreeMap::new();
        for wanted in pieces(range).chunks(PIECES_AT_ONCE) {
            self.read_missing(session, environment, wanted).await?;
            for (edge, sums) in self.sum(wanted) {
                match totals.entry(edge) {
                    Entry::Vacant(place) => drop(place.insert(sums)),
                    Entry::Occupied(mut known) => known.get_mut().add(&sums),
                }
            }
            self.forget();
        }
        Ok(Some(totals))
    }

    /// Adds the batches after those that are in the sums.
    async fn catch_up(&mut self, session: &Session, environment: &Environment, newest: i64) -> Result<()> {
        let first = self.pieces.keys().map(|(minute, _)| *minute).min();
        let after = self.pieces.keys().map(|(minute, n)| minute + n).max();
        if let (Some(first), Some(after)) = (first, after)
            && self.batch < newest
        {
            let newer = ident("batch").gt(number(self.batch)).and(ident("batch").lt_eq(number(newest)));
            let rows = environment.sums(within("time", minutes(first, after)).and(newer));
            self.add(read(session, rows, By::Edge, MINUTE).await?, |_, _| true);
        }
        self.batch = newest;
        Ok(())
    }

    /// Reads the pieces that are not remembered, neighbours at once.
    async fn read_missing(&mut self, session: &Session, environment: &Environment, wanted: &[Piece]) -> Result<()> {
        let missing: BTreeSet<Piece> =
            wanted.iter().copied().filter(|piece| !self.pieces.contains_key(piece)).collect();
        let missing: Vec<Piece> = missing.into_iter().collect();
        for run in missing.chunk_by(|(minute, n), (next, n_next)| minute + n == *next && n == n_next) {
            let (first, length, after) = (run[0].0, run[0].1, run[run.len() - 1].0 + run[run.len() - 1].1);
            let rows = within("time", minutes(first, after)).and(ident("batch").lt_eq(number(self.batch)));
            let found = read(session, environment.sums(rows), By::Edge, length * MINUTE).await?;
            run.iter().for_each(|piece| drop(self.pieces.insert(*piece, Sums::default())));
            let found = found.into_iter().map(|((at, edge), sums)| ((at * length, edge), sums)).collect();
            self.add(found, |piece, minute| piece == (minute, length));
        }
        Ok(())
    }

    /// Adds sums by minute, or by first minute of a half hour, to the pieces that hold that minute and that `is_wanted`
    /// picks.
    fn add(&mut self, found: BySpan, is_wanted: impl Fn(Piece, i64) -> bool) {
        for ((minute, edge), sums) in found {
            let number = self.edges.number(edge);
            for piece in [(minute, 1), (minute.div_euclid(MINUTES) * MINUTES, MINUTES)] {
                if let Some(known) = self.pieces.get_mut(&piece).filter(|_| is_wanted(piece, minute)) {
                    match known.totals.binary_search_by_key(&number, |(edge, _)| *edge) {
                        Ok(at) => {
                            let mut all = sums.clone();
                            known.totals[at].1.add_to(&mut all);
                            known.totals[at].1 = Packed::of(&all);
                        }
                        Err(at) => known.totals.insert(at, (number, Packed::of(&sums))),
                    }
                }
            }
        }
    }

    /// Sums of some pieces, all of which are remembered.
    fn sum(&mut self, wanted: &[Piece]) -> BTreeMap<Edge, Totals> {
        self.turn += 1;
        let mut totals: Vec<Option<Box<Totals>>> = vec![None; self.edges.edges.len()];
        for piece in wanted {
            let Some(known) = self.pieces.get_mut(piece) else { continue };
            known.asked = self.turn;
            for (edge, sums) in &known.totals {
                sums.add_to(totals[*edge as usize].get_or_insert_default());
            }
        }
        let of_edge = |(edge, sums): (&Edge, Option<Box<Totals>>)| Some((edge.clone(), *sums?));
        self.edges.edges.iter().zip(totals).filter_map(of_edge).collect()
    }

    /// Edges times pieces of time.
    fn n_entries(&self) -> usize {
        self.pieces.values().map(|known| known.totals.len() + 1).sum()
    }

    /// Forgets what was not asked for longest, until there is room.
    fn forget(&mut self) {
        let mut n_entries = self.n_entries();
        let mut by_age: Vec<(u64, Piece)> = self.pieces.iter().map(|(piece, known)| (known.asked, *piece)).collect();
        by_age.sort_unstable();
        for (_, piece) in by_age {
            if n_entries <= ENTRIES_MAX {
                break;
            }
            n_entries -= self.pieces.remove(&piece).map_or(0, |known| known.totals.len() + 1);
        }
        // Names that came and went would pile up.
        if self.edges.edges.len() > ENTRIES_MAX {
            (self.pieces, self.edges) = Default::default();
        }
    }
}

/// The minutes from one to another, as moments.
pub(super) fn minutes(first: i64, after: i64) -> TimeRange {
    TimeRange::new(UnixNanos(first.saturating_mul(MINUTE)), UnixNanos(after.saturating_mul(MINUTE)))
}

fn number(n: i64) -> Expr {
    Expr::Literal(ScalarValue::from(n), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(n: usize) -> Edge {
        Edge { source: n.to_string(), ..Edge::default() }
    }

    /// ```text
    ///   range        28 29 | 30 ........ 60 ........ 90 | 90 91
    /// ```
    #[test]
    fn a_range_is_cut_into_half_hours_and_minutes() {
        assert_eq!(pieces(minutes(28, 92)), [(28, 1), (29, 1), (90, 1), (91, 1), (30, 30), (60, 30)]);
        assert_eq!(pieces(minutes(58, 61)), [(58, 1), (59, 1), (60, 1)]);
        assert_eq!(pieces(minutes(-30, 0)), [(-30, 30)]);
        assert!(pieces(minutes(5, 5)).is_empty());
    }

    /// What comes later is added to the minute and to the half hour, as far as they are remembered, and once each.
    #[test]
    fn what_comes_later_is_added() {
        let calls = |count| Totals { count, ..Totals::default() };
        let known = [(30, MINUTES), (40, 1)].map(|piece| (piece, Sums::default()));
        let mut pieces = Pieces { pieces: BTreeMap::from(known), ..Pieces::default() };
        let found = [((40, edge(1)), calls(3)), ((41, edge(1)), calls(5)), ((61, edge(2)), calls(7))];
        pieces.add(BTreeMap::from(found), |_, _| true);
        pieces.add(BTreeMap::from([((40, edge(1)), calls(1))]), |_, _| true);
        let count = |sums: BTreeMap<Edge, Totals>| sums.into_values().map(|totals| totals.count).collect::<Vec<_>>();
        assert_eq!(count(pieces.sum(&[(30, MINUTES)])), [9]);
        assert_eq!(count(pieces.sum(&[(40, 1)])), [4]);
    }

    /// The oldest questions go first, and what is left fits.
    #[test]
    fn memory_is_bounded() {
        let sums = |asked: u64| {
            let totals = (0..(ENTRIES_MAX / 2 - 10) as u32).map(|n| (n, Packed::default())).collect();
            Sums { totals, asked }
        };
        let pieces = BTreeMap::from([((30, 30), sums(5)), ((60, 30), sums(3)), ((90, 1), sums(9))]);
        let mut pieces = Pieces { pieces, ..Pieces::default() };
        pieces.forget();
        assert_eq!(pieces.pieces.keys().copied().collect::<Vec<_>>(), [(30, 30), (90, 1)]);
    }
}
