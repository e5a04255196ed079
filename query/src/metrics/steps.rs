//! Points to values: per series and step first, then per group and step. Pure but for the memory it accounts for.
//!
//! Rows come by series and time. A point belongs to the step in which its moment lies, with all that it added: a counter
//! that pauses for an hour and comes back shows what it grew by in the step in which it came back. Its `rate` divides by
//! the time that the growth really took, so a pause is no peak.

use std::collections::{BTreeMap, HashMap};

use api::{MetricAttribute, MetricBand, MetricSeries};
use datafusion::execution::memory_pool::MemoryReservation;
use model::MetricKind;

use super::buckets::{Measured, bands};
use super::change::{Counter, Grown, Point, Sequence, UpDown};
use super::labels::{By, Labels, Seen, without_common};
use super::question::{Across, Asked, Function};
use super::read::{Row, Value};
use crate::error::Result;

/// Groups that are looked at.
const GROUPS_MAX: usize = 10_000;
/// Values of all groups together: about 100 MB.
const VALUES_MAX: usize = 1_000_000;
/// Series whose group is remembered, for exemplars.
const MEMBERS_MAX: usize = 100_000;

/// Quantile, band, and a value per step.
type Values = (Option<f64>, Option<MetricBand>, Vec<Option<f64>>);

/// What came of a series in a step.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    n: u32,
    last: Option<f64>,
    sum: f64,
    min: Option<f64>,
    max: Option<f64>,
    /// What it grew by, and in how many nanoseconds.
    grown: Option<(f64, f64)>,
    /// Sum of the measurements that came; `None` when not all of them say.
    measured: Option<f64>,
}

impl Cell {
    fn level(&mut self, value: f64) {
        self.n += 1;
        self.last = Some(value);
        self.sum += value;
        self.min = Some(self.min.map_or(value, |min| min.min(value)));
        self.max = Some(self.max.map_or(value, |max| max.max(value)));
    }

    fn grow(&mut self, by: f64, nanos: Option<i64>, step: i64) {
        let (sum, took) = self.grown.unwrap_or_default();
        self.grown = Some((sum + by, took + nanos.unwrap_or(step) as f64));
    }

    /// Growth per second.
    fn rate(&self) -> Option<f64> {
        self.grown.filter(|(_, nanos)| *nanos > 0.0).map(|(by, nanos)| by / (nanos / 1e9))
    }

    /// The value of a series of numbers.
    fn value(&self, function: Function) -> Option<f64> {
        match function {
            // Quantiles of summaries are levels.
            Function::Last | Function::Quantile => self.last,
            Function::Avg => (self.n > 0).then(|| self.sum / f64::from(self.n)),
            Function::Min => self.min,
            Function::Max => self.max,
            Function::Sum => (self.n > 0).then_some(self.sum),
            Function::Count => (self.n > 0).then(|| f64::from(self.n)),
            Function::Rate => self.rate(),
            Function::Increase => self.grown.map(|(by, _)| by),
            Function::Heatmap => None,
        }
    }
}

/// What came of a group in a step.
#[derive(Clone, Debug, Default)]
struct Together {
    /// Series that had a value.
    n: u32,
    sum: f64,
    min: Option<f64>,
    max: Option<f64>,
    /// Sum of the measurements; `None` when not all of them say.
    measured: Option<f64>,
    rate: f64,
    buckets: Option<Box<Measured>>,
}

impl Together {
    fn add(&mut self, value: f64) {
        self.n += 1;
        self.sum += value;
        self.ends(Some(value), Some(value));
    }

    fn ends(&mut self, min: Option<f64>, max: Option<f64>) {
        self.min = [self.min, min].into_iter().flatten().reduce(f64::min);
        self.max = [self.max, max].into_iter().flatten().reduce(f64::max);
    }

    /// The measurements of a series.
    fn add_measured(&mut self, cell: &Cell) {
        let Some((count, _)) = cell.grown else { return };
        self.measured = if self.n == 0 { cell.measured } else { self.measured.zip(cell.measured).map(|(a, b)| a + b) };
        self.n += 1;
        self.sum += count;
        self.rate += cell.rate().unwrap_or_default();
        self.ends(cell.min, cell.max);
    }

    fn of_numbers(&self, across: Across) -> Option<f64> {
        let n = f64::from(self.n);
        let value = match across {
            Across::Sum => self.sum,
            Across::Avg => self.sum / n,
            Across::Min => self.min?,
            Across::Max => self.max?,
            Across::Count => n,
        };
        (self.n > 0).then_some(value)
    }

    fn of_measurements(&self, function: Function) -> Option<f64> {
        if self.n == 0 {
            return None;
        }
        match function {
            Function::Rate => Some(self.rate),
            Function::Increase => Some(self.sum),
            Function::Sum => self.measured,
            Function::Avg => self.measured.filter(|_| self.sum > 0.0).map(|sum| sum / self.sum),
            Function::Min => self.min,
            Function::Max => self.max,
            Function::Last | Function::Count | Function::Quantile | Function::Heatmap => None,
        }
    }
}

#[derive(Debug)]
struct Group {
    labels: Labels,
    n_series: u64,
    /// Track by track, each with all steps. Only summaries have several tracks: one per quantile.
    steps: Vec<Together>,
}

/// How the points of the current series hang together.
#[derive(Debug)]
enum Track {
    Counter(Sequence<Counter>),
    UpDown(Sequence<UpDown>),
    Measured(Sequence<Measured>),
}

impl Track {
    /// Those so far were before the first step.
    fn forget_resets(&mut self) {
        match self {
            Self::Counter(sequence) => sequence.resets = 0,
            Self::UpDown(sequence) => sequence.resets = 0,
            Self::Measured(sequence) => sequence.resets = 0,
        }
    }
}

#[derive(Debug)]
struct Current {
    series: i64,
    /// `None` when there are too many groups.
    group: Option<usize>,
    track: Track,
    /// A step had a value.
    has_points: bool,
}

/// What a row says of its series. Summaries are cumulative, and their rows do not say so.
fn point<T>(row: &Row<'_>, value: T) -> Point<T> {
    Point { start: row.start, time: row.time, value: Some(value), is_delta: row.is_delta }
}

/// Points in, groups out.
#[derive(Debug)]
pub(super) struct Steps {
    asked: Asked,
    n_tracks: usize,
    groups_max: usize,
    groups: Vec<Group>,
    index: HashMap<Labels, usize>,
    current: Option<Current>,
    /// Of the current series.
    cells: Vec<Cell>,
    seen: Seen,
    members: HashMap<i64, usize>,
    n_series: u64,
    resets: u64,
    memory: MemoryReservation,
    left_out: bool,
    has_odd_ends: bool,
    has_odd_buckets: bool,
}

/// What came out.
#[derive(Debug, Default)]
pub(super) struct Drawn {
    pub(super) series: Vec<MetricSeries>,
    pub(super) n_groups: u64,
    pub(super) n_series: u64,
    pub(super) resets: u64,
    pub(super) attributes: Vec<MetricAttribute>,
    /// Labels of the groups of `members`.
    pub(super) labels: Vec<Labels>,
    /// The group of each series.
    pub(super) members: HashMap<i64, usize>,
    /// Why the answer does not hold everything.
    pub(super) cut: Option<String>,
}

impl Steps {
    pub(super) fn new(asked: Asked, memory: MemoryReservation) -> Self {
        let is_summary_quantile = asked.kind == MetricKind::Summary && asked.function == Function::Quantile;
        let n_tracks = if is_summary_quantile { asked.quantiles.len() } else { 1 };
        let n_values = n_tracks * asked.steps.n;
        Self {
            groups_max: (VALUES_MAX / n_values.max(1)).clamp(1, GROUPS_MAX),
            cells: vec![Cell::default(); n_values],
            asked,
            n_tracks,
            groups: Vec::new(),
            index: HashMap::new(),
            current: None,
            seen: Seen::default(),
            members: HashMap::new(),
            n_series: 0,
            resets: 0,
            memory,
            left_out: false,
            has_odd_ends: false,
            has_odd_buckets: false,
        }
    }

    /// Takes the next row.
    ///
    /// # Errors
    /// When the memory of all queries is used up.
    pub(super) fn add(&mut self, row: &Row<'_>) -> Result<()> {
        if self.current.as_ref().is_none_or(|current| current.series != row.series) {
            self.end_series();
            self.begin_series(row)?;
        }
        let Some(current) = &mut self.current else { return Ok(()) };
        let step = self.asked.steps.at(row.time);
        current.has_points |= step.is_some();
        let length = self.asked.steps.step;
        // What came before the first step only tells what the first step begins with.
        let grown = match (&mut current.track, &row.value) {
            (Track::Counter(sequence), Value::Number(number)) => {
                sequence.next(point(row, Counter(*number))).map(|grown| (grown.by.0.as_f64(), grown.nanos))
            }
            (Track::UpDown(sequence), Value::Number(number)) => {
                sequence.next(point(row, UpDown(*number))).map(|grown| (grown.by.0.as_f64(), grown.nanos))
            }
            (Track::Measured(sequence), Value::Measured(measured, _) | Value::Summary(measured, _)) => {
                let grown = sequence.next(point(row, measured.clone()));
                if let (Some(step), Some(Grown { by, nanos })) = (step, grown) {
                    let cell = &mut self.cells[step];
                    let sum = |sum: f64| by.sum.map(|more| sum + more);
                    cell.measured = if cell.grown.is_none() { by.sum } else { cell.measured.and_then(sum) };
                    cell.grow(by.count as f64, nanos, length);
                    if let Some(group) = current.group
                        && matches!(self.asked.function, Function::Quantile | Function::Heatmap)
                        && self.asked.kind != MetricKind::Summary
                    {
                        self.put_together(group, step, &by)?;
                    }
                }
                None
            }
            _ => None,
        };
        if step.is_none()
            && let Some(current) = &mut self.current
        {
            current.track.forget_resets();
        }
        if let (Some(step), Some((by, nanos))) = (step, grown.filter(|(by, _)| by.is_finite())) {
            self.cells[step].grow(by, nanos, length);
        }
        self.level(row, step);
        Ok(())
    }

    /// Takes what a point is, beside what it added.
    fn level(&mut self, row: &Row<'_>, step: Option<usize>) {
        let Some(step) = step else { return };
        match &row.value {
            Value::Nothing => {
                for track in 0..self.n_tracks {
                    self.cells[track * self.asked.steps.n + step].last = None;
                }
            }
            Value::Number(number) => {
                let value = number.as_f64();
                if value.is_finite() {
                    self.cells[step].level(value);
                }
            }
            Value::Measured(_, ends) => {
                // Ends of cumulative points are those since their start.
                if row.is_delta {
                    let cell = &mut self.cells[step];
                    cell.min = [cell.min, ends[0]].into_iter().flatten().reduce(f64::min);
                    cell.max = [cell.max, ends[1]].into_iter().flatten().reduce(f64::max);
                } else if matches!(self.asked.function, Function::Min | Function::Max) {
                    self.has_odd_ends = true;
                }
            }
            Value::Summary(_, quantiles) if self.asked.function == Function::Quantile => {
                for (track, wanted) in self.asked.quantiles.iter().enumerate() {
                    let found = quantiles.iter().find(|(q, value)| (q - wanted).abs() < 1e-9 && value.is_finite());
                    if let Some((_, value)) = found {
                        self.cells[track * self.asked.steps.n + step].level(*value);
                    }
                }
            }
            Value::Summary(..) => {}
        }
    }

    fn put_together(&mut self, group: usize, step: usize, by: &Measured) -> Result<()> {
        let together = &mut self.groups[group].steps[step];
        let (before, after) = match &mut together.buckets {
            Some(buckets) => {
                let before = buckets.bytes();
                buckets.add(by);
                (before, buckets.bytes())
            }
            empty => {
                *empty = Some(Box::new(by.clone()));
                (0, by.bytes())
            }
        };
        self.memory.try_grow(after.saturating_sub(before))?;
        Ok(())
    }

    fn begin_series(&mut self, row: &Row<'_>) -> Result<()> {
        let identity = row.identity();
        self.seen.add(&identity);
        let labels = identity.labels(&self.asked.by);
        let known = if self.asked.by == By::Series { None } else { self.index.get(&labels).copied() };
        let group = match known {
            Some(group) => Some(group),
            None if self.groups.len() == self.groups_max => {
                self.left_out = true;
                None
            }
            None => {
                let n_values = self.n_tracks * self.asked.steps.n;
                self.memory.try_grow(n_values * size_of::<Together>())?;
                self.groups.push(Group {
                    labels: labels.clone(),
                    n_series: 0,
                    steps: vec![Together::default(); n_values],
                });
                if self.asked.by != By::Series {
                    self.index.insert(labels, self.groups.len() - 1);
                }
                Some(self.groups.len() - 1)
            }
        };
        let begin = self.asked.read_from();
        let track = match self.asked.kind {
            MetricKind::Sum if row.is_monotonic => Track::Counter(Sequence::new(begin)),
            MetricKind::Sum | MetricKind::Gauge => Track::UpDown(Sequence::new(begin)),
            MetricKind::Histogram | MetricKind::ExponentialHistogram | MetricKind::Summary => {
                Track::Measured(Sequence::new(begin))
            }
        };
        self.current = Some(Current { series: row.series, group, track, has_points: false });
        Ok(())
    }

    /// Puts the steps of the current series to its group.
    fn end_series(&mut self) {
        let Some(current) = self.current.take() else { return };
        if !current.has_points {
            return; // it was only there before the first step
        }
        self.n_series += 1;
        self.resets += match &current.track {
            Track::Counter(sequence) => sequence.resets,
            Track::UpDown(_) => 0,
            Track::Measured(sequence) => sequence.resets,
        };
        let Some(at) = current.group else { return self.cells.fill(Cell::default()) };
        if self.members.len() < MEMBERS_MAX {
            self.members.insert(current.series, at);
        }
        let group = &mut self.groups[at];
        group.n_series += 1;
        let is_level = self.asked.kind == MetricKind::Summary && self.asked.function == Function::Quantile;
        let is_measured = matches!(current.track, Track::Measured(_)) && !is_level;
        for (cell, together) in self.cells.iter().zip(&mut group.steps) {
            if is_measured {
                together.add_measured(cell);
            } else if let Some(value) = cell.value(self.asked.function) {
                together.add(value);
            }
        }
        self.cells.fill(Cell::default());
    }

    /// Ends the last series; the largest groups first.
    pub(super) fn finish(mut self) -> Drawn {
        self.end_series();
        let asked = self.asked.clone();
        let mut groups: Vec<(usize, Group)> = self.groups.drain(..).enumerate().collect();
        groups.retain(|(_, group)| group.n_series > 0);
        if asked.by == By::Series {
            let mut labels: Vec<&mut Labels> = groups.iter_mut().map(|(_, group)| &mut group.labels).collect();
            without_common(&mut labels);
        }
        let mut labels: BTreeMap<usize, Labels> = BTreeMap::new();
        let mut series = Vec::new();
        for (at, group) in groups {
            for (quantile, band, values) in self.values(&group) {
                let size: f64 = values.iter().flatten().map(|value| value.abs()).sum();
                let labels = group.labels.clone();
                let entry = MetricSeries { labels, quantile, band, n_series: group.n_series, values };
                series.push((at, size, entry));
            }
            labels.insert(at, group.labels);
        }
        let n_groups = labels.len();
        // Quantiles of a group stand together, by the size of the largest.
        let mut size_of: BTreeMap<usize, f64> = BTreeMap::new();
        for (at, size, _) in &series {
            let largest = size_of.entry(*at).or_default();
            *largest = largest.max(*size);
        }
        let rank = |at: &usize| size_of.get(at).copied().unwrap_or_default();
        series.sort_by(|(a, _, left), (b, _, right)| {
            let quantile = |entry: &MetricSeries| entry.quantile.unwrap_or_default();
            rank(b)
                .total_cmp(&rank(a))
                .then_with(|| left.labels.cmp(&right.labels))
                .then_with(|| a.cmp(b))
                .then_with(|| quantile(left).total_cmp(&quantile(right)))
        });
        // A heatmap is one group, whole.
        let is_heatmap = asked.function == Function::Heatmap;
        let n_kept = if is_heatmap { series.len() } else { asked.limit * asked.quantiles.len().max(1) };
        let mut reasons = Vec::new();
        if self.left_out {
            reasons.push(format!(
                "only the first {} groups were looked at; filter more, group by less or take a longer step",
                self.groups_max
            ));
        }
        if series.len() > n_kept {
            reasons.push(format!("the largest {} of {n_groups} groups; limit=1000 shows more", asked.limit));
        }
        if self.has_odd_ends {
            reasons.push(
                "smallest and largest of cumulative histograms are since their start and no part of a step; \
                 ask quantile=0,1 for the edges of their buckets"
                    .to_owned(),
            );
        }
        if self.has_odd_buckets {
            reasons.push(
                "some histograms have no buckets, or none in common: they have no quantiles and stand in no heatmap"
                    .to_owned(),
            );
        }
        if self.seen.is_cut {
            reasons.push("not all attributes were counted: there are too many series or attributes".to_owned());
        }
        series.truncate(n_kept);
        let n_slots = labels.keys().next_back().map_or(0, |last| last + 1);
        Drawn {
            series: series.into_iter().map(|(.., entry)| entry).collect(),
            n_groups: n_groups as u64,
            n_series: self.n_series,
            resets: self.resets,
            attributes: self.seen.attributes(),
            labels: (0..n_slots).map(|at| labels.remove(&at).unwrap_or_default()).collect(),
            members: self.members,
            cut: (!reasons.is_empty()).then(|| reasons.join("; ")),
        }
    }

    /// The values of a group, by quantile or by band.
    fn values(&mut self, group: &Group) -> Vec<Values> {
        let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
        let asked = &self.asked;
        if asked.function == Function::Heatmap {
            let steps: Vec<Option<&Measured>> = group.steps.iter().map(|step| step.buckets.as_deref()).collect();
            let found = bands(&steps);
            self.has_odd_buckets |= found.is_empty() && steps.iter().flatten().any(|step| step.count > 0);
            let band = |(from, to)| Some(MetricBand { from, to });
            return found.into_iter().map(|(edges, counts)| (None, band(edges), counts)).collect();
        }
        if asked.function == Function::Quantile {
            let (mut found, mut has_odd_buckets) = (Vec::new(), false);
            for (track, q) in asked.quantiles.iter().enumerate() {
                let values = if asked.kind == MetricKind::Summary {
                    let steps = &group.steps[track * asked.steps.n..(track + 1) * asked.steps.n];
                    steps.iter().map(|step| finite(step.of_numbers(Across::Avg))).collect()
                } else {
                    let mut values = Vec::with_capacity(asked.steps.n);
                    for step in &group.steps {
                        let buckets = step.buckets.as_ref().filter(|buckets| buckets.count > 0);
                        let value = finite(buckets.and_then(|buckets| buckets.quantile(*q)));
                        has_odd_buckets |= buckets.is_some() && value.is_none();
                        values.push(value);
                    }
                    values
                };
                found.push((Some(*q), None, values));
            }
            self.has_odd_buckets |= has_odd_buckets;
            return found;
        }
        let values = group.steps.iter().map(|step| match asked.across {
            Some(across) => finite(step.of_numbers(across)),
            None => finite(step.of_measurements(asked.function)),
        });
        vec![(None, None, values.collect())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_divides_by_the_time_that_passed() {
        let mut cell = Cell::default();
        cell.grow(30.0, Some(10_000_000_000), 60_000_000_000);
        cell.grow(30.0, Some(20_000_000_000), 60_000_000_000);
        assert_eq!((cell.value(Function::Rate), cell.value(Function::Increase)), (Some(2.0), Some(60.0)));
        // Nobody says how long it took: the step.
        let mut cell = Cell::default();
        cell.grow(30.0, None, 60_000_000_000);
        assert_eq!(cell.value(Function::Rate), Some(0.5));
        assert_eq!(Cell::default().value(Function::Rate), None);
    }

    #[test]
    fn levels_of_a_step() {
        let mut cell = Cell::default();
        for value in [3.0, -1.0, 4.0] {
            cell.level(value);
        }
        let values = [Function::Last, Function::Avg, Function::Min, Function::Max, Function::Sum, Function::Count];
        let values = values.map(|function| cell.value(function).expect("a value"));
        assert_eq!(values, [4.0, 2.0, -1.0, 4.0, 6.0, 3.0]);
        assert_eq!(Cell::default().value(Function::Sum), None, "nothing came");
    }

    #[test]
    fn series_of_a_group_are_put_together() {
        let mut together = Together::default();
        assert_eq!(together.of_numbers(Across::Sum), None);
        for value in [3.0, 5.0] {
            together.add(value);
        }
        assert_eq!(together.of_numbers(Across::Sum), Some(8.0));
        assert_eq!(together.of_numbers(Across::Avg), Some(4.0));
        assert_eq!(together.of_numbers(Across::Count), Some(2.0));
        assert_eq!((together.of_numbers(Across::Min), together.of_numbers(Across::Max)), (Some(3.0), Some(5.0)));
    }
}
