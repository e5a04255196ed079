//! The last day of a rule in cells.

use std::collections::BTreeMap;

use api::{AlertHistoryAnswer, AlertTransition};

use super::{Row, is_of, nanos};

/// Cells of a rule's last day.
pub(crate) const CELLS: usize = 96;

/// What a part of the last day was like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cell {
    /// No alert is known: nothing was found, or the rule did not run.
    Quiet,
    /// The past was not answered so far back.
    Unknown,
    /// Pending at some time of it.
    Pending,
    /// Firing at some time of it.
    Firing,
}

impl Cell {
    fn of(state: &str) -> Self {
        match state {
            "firing" => Self::Firing,
            "pending" => Self::Pending,
            _ => Self::Quiet,
        }
    }
}

/// The cells of one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Day {
    /// [`CELLS`] equal parts of the range, each as bad as its worst moment.
    pub(crate) cells: Vec<Cell>,
    /// Before this moment only alerts that last until now are known; `None`: all is known.
    pub(crate) known_from: Option<i64>,
}

/// The moment since which transitions are known, when the answer leaves older ones of the range out.
pub(crate) fn known_from(past: &AlertHistoryAnswer) -> Option<i64> {
    let oldest = || past.transitions.iter().map(|one| nanos(&one.time_unix_nano)).min();
    past.incomplete.then(oldest).flatten()
}

impl Day {
    /// The range from `from` to `to`. `past` holds transitions of all rules in any order; `None` when it was not answered.
    pub(crate) fn new(row: &Row, past: Option<&AlertHistoryAnswer>, from: i64, to: i64) -> Self {
        let known_from = match past {
            None => Some(to),
            Some(past) => known_from(past).filter(|known| *known > from),
        };
        let begin = known_from.unwrap_or(from);
        let mut cells = vec![Cell::Quiet; CELLS];
        let place = |at: i64| ((at - from) as f64 / (to - from).max(1) as f64 * CELLS as f64).clamp(0.0, CELLS as f64);
        let mut paint = |begin: i64, end: i64, cell: Cell| {
            let (first, last) = (place(begin).floor() as usize, place(end).ceil() as usize);
            for at in first..last.max(first + 1).min(CELLS) {
                if let Some(known) = cells.get_mut(at) {
                    *known = (*known).max(cell);
                }
            }
        };
        if known_from.is_some() {
            paint(from, begin, Cell::Unknown);
        }
        let mut lives: BTreeMap<&BTreeMap<String, String>, Vec<&AlertTransition>> = BTreeMap::new();
        let transitions = past.map_or(&[][..], |past| &past.transitions);
        for transition in transitions.iter().filter(|transition| is_of(row, transition)) {
            lives.entry(&transition.labels).or_default().push(transition);
        }
        for life in lives.values_mut() {
            life.sort_by_key(|transition| nanos(&transition.time_unix_nano));
            let mut begun = begin;
            for transition in &*life {
                let at = nanos(&transition.time_unix_nano);
                let before = Cell::of(&transition.before);
                if before > Cell::Quiet {
                    paint(begun, at, before);
                }
                begun = at;
            }
        }
        // What stands now reaches until now, also when its transition lies before the range.
        for alert in &row.alerts {
            let active = nanos(&alert.active_unix_nano);
            match alert.fired_unix_nano.as_ref().map(|at| nanos(at)) {
                Some(fired) => {
                    paint(active, fired, Cell::Pending);
                    paint(fired, to, Cell::Firing);
                }
                None => paint(active, to, Cell::Pending),
            }
        }
        Self { cells, known_from }
    }
}
