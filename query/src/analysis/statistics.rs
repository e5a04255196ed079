//! Percentiles: exact for small sets, a mergeable sketch with 1 % relative error above 10,000 values.
//!
//! The sketch counts values in buckets whose bounds grow by `gamma = 1.01 / 0.99`, so the middle of a
//! bucket is within 1 % of anything in it. 64-bit nanoseconds need at most about 2,200 buckets.
//!
//! Source: Masson, Rim, Lee, "DDSketch", VLDB 2019. Merging and the order of values never change a result.

use std::collections::BTreeMap;

/// Up to this many values are kept as they are.
pub const EXACT_VALUES_MAX: usize = 10_000;

/// The bucket of values at or below zero; real ones are far from it.
pub const ZERO_BUCKET: i32 = i32::MIN;

const RELATIVE_ERROR: f64 = 0.01;

/// The nearest-rank percentile of sorted values: `sorted[ceil(q * n) - 1]`; `None` when there are none.
pub fn nearest_rank(sorted: &[i64], q: f64) -> Option<i64> {
    sorted.get(rank(q, sorted.len() as u64)? as usize).copied()
}

fn rank(q: f64, n: u64) -> Option<u64> {
    (n > 0).then(|| ((q * n as f64).ceil() as u64).clamp(1, n) - 1)
}

/// A set of values of which percentiles are asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Distribution {
    /// At most [`EXACT_VALUES_MAX`] values, in any order.
    Exact(Vec<i64>),
    /// More than that.
    Sketch(Sketch),
}

impl Default for Distribution {
    fn default() -> Self {
        Self::Exact(Vec::new())
    }
}

impl Distribution {
    /// Adds a value.
    pub fn add(&mut self, value: i64) {
        match self {
            Self::Exact(values) if values.len() < EXACT_VALUES_MAX => values.push(value),
            Self::Exact(values) => {
                let mut sketch = Sketch::default();
                values.iter().chain([&value]).for_each(|value| sketch.add(*value));
                *self = Self::Sketch(sketch);
            }
            Self::Sketch(sketch) => sketch.add(value),
        }
    }

    /// Adds every value of another set.
    pub fn merge(&mut self, other: &Self) {
        match other {
            Self::Exact(values) => values.iter().for_each(|value| self.add(*value)),
            Self::Sketch(theirs) => {
                let mut ours = match std::mem::take(self) {
                    Self::Exact(values) => {
                        let mut sketch = Sketch::default();
                        values.iter().for_each(|value| sketch.add(*value));
                        sketch
                    }
                    Self::Sketch(sketch) => sketch,
                };
                ours.merge(theirs);
                *self = Self::Sketch(ours);
            }
        }
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        match self {
            Self::Exact(values) => values.len() as u64,
            Self::Sketch(sketch) => sketch.count,
        }
    }

    /// Percentiles for several `q` between 0 and 1, nearest rank; `None` when there are no values.
    pub fn percentiles<const N: usize>(&self, qs: [f64; N]) -> Option<[i64; N]> {
        match self {
            Self::Exact(values) => {
                let mut sorted = values.clone();
                sorted.sort_unstable();
                let found = qs.map(|q| nearest_rank(&sorted, q));
                found[..].iter().all(Option::is_some).then(|| found.map(Option::unwrap_or_default))
            }
            Self::Sketch(sketch) => Some(qs.map(|q| sketch.percentile(q))),
        }
    }

    /// One percentile.
    pub fn percentile(&self, q: f64) -> Option<i64> {
        self.percentiles([q]).map(|[value]| value)
    }
}

/// Counts by logarithmic bucket; values at or below zero share one bucket.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sketch {
    buckets: BTreeMap<i32, u64>,
    at_most_zero: u64,
    count: u64,
}

impl Sketch {
    /// Adds a value.
    pub fn add(&mut self, value: i64) {
        self.count += 1;
        if value <= 0 {
            self.at_most_zero += 1;
        } else {
            *self.buckets.entry(bucket(value)).or_default() += 1;
        }
    }

    /// Adds every value of another sketch.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.at_most_zero += other.at_most_zero;
        for (bucket, count) in &other.buckets {
            *self.buckets.entry(*bucket).or_default() += count;
        }
    }

    /// Buckets with the values in each, ascending; [`ZERO_BUCKET`] holds those at or below zero.
    pub fn buckets(&self) -> impl Iterator<Item = (i32, u64)> + Clone {
        let zero = (self.at_most_zero > 0).then_some((ZERO_BUCKET, self.at_most_zero));
        zero.into_iter().chain(self.buckets.iter().map(|(bucket, count)| (*bucket, *count)))
    }

    /// The sketch with these buckets; equal buckets add up.
    pub fn from_buckets(buckets: impl IntoIterator<Item = (i32, u64)>) -> Self {
        let mut sketch = Self::default();
        for (bucket, count) in buckets.into_iter().filter(|(_, count)| *count > 0) {
            sketch.count += count;
            match bucket {
                ZERO_BUCKET => sketch.at_most_zero += count,
                _ => *sketch.buckets.entry(bucket).or_default() += count,
            }
        }
        sketch
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The nearest-rank percentile, within 1 %; 0 when there are no values.
    pub fn percentile(&self, q: f64) -> i64 {
        percentiles(self.buckets(), [q]).map_or(0, |[value]| value)
    }
}

/// Nearest-rank percentiles, within 1 %, of a sketch's buckets in ascending order, each once; `qs` ascend too. `None` when they
/// count nothing. Two passes, and no memory.
pub fn percentiles<const N: usize>(
    buckets: impl Iterator<Item = (i32, u64)> + Clone,
    qs: [f64; N],
) -> Option<[i64; N]> {
    let count: u64 = buckets.clone().map(|(_, count)| count).sum();
    let ranks = qs.map(|q| rank(q, count));
    let mut found = [0; N];
    let mut wanted = ranks.iter().zip(&mut found).peekable();
    let mut seen = 0;
    for (bucket, count) in buckets {
        seen += count;
        while let Some((_, found)) = wanted.next_if(|(rank, _)| rank.is_some_and(|rank| rank < seen)) {
            *found = if bucket == ZERO_BUCKET { 0 } else { middle(bucket) };
        }
        if wanted.peek().is_none() {
            break;
        }
    }
    (count > 0).then_some(found)
}

fn gamma() -> f64 {
    (1.0 + RELATIVE_ERROR) / (1.0 - RELATIVE_ERROR)
}

fn bucket(value: i64) -> i32 {
    ((value as f64).ln() / gamma().ln()).ceil() as i32
}

fn middle(bucket: i32) -> i64 {
    (2.0 * gamma().powi(bucket) / (gamma() + 1.0)).round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nearest_rank_takes_a_value_that_exists() {
        assert_eq!(nearest_rank(&[70, 140, 332], 0.5), Some(140));
        assert_eq!(nearest_rank(&[1, 2, 3, 4], 0.5), Some(2));
        assert_eq!(nearest_rank(&[1, 2, 3, 4], 1.0), Some(4));
        assert_eq!(nearest_rank(&[], 0.5), None);
    }

    proptest! {
        /// The sketch is within 1 % of the exact answer (and a nanosecond of rounding).
        #[test]
        fn sketch_is_close(mut values in proptest::collection::vec(0_i64..10_i64.pow(13), 1..200), q in 0.0..=1.0) {
            let mut sketch = Sketch::default();
            values.iter().for_each(|value| sketch.add(*value));
            values.sort_unstable();
            let exact = nearest_rank(&values, q).expect("not empty") as f64;
            prop_assert!((sketch.percentile(q) as f64 - exact).abs() <= exact * 0.0101 + 1.0);
            let qs = [0.0, q, q, 1.0];
            prop_assert_eq!(percentiles(sketch.buckets(), qs), Some(qs.map(|q| sketch.percentile(q))));
            prop_assert_eq!(percentiles(std::iter::empty(), [q]), None);
        }

        /// Merging parts in any way is adding all values.
        #[test]
        fn merging_is_adding(values in proptest::collection::vec(0_i64..1_000_000, 0..300), cut in 0_usize..300) {
            let add = |values: &[i64]| {
                let mut sketch = Sketch::default();
                values.iter().for_each(|value| sketch.add(*value));
                sketch
            };
            let (left, right) = values.split_at(cut.min(values.len()));
            let mut merged = add(right);
            merged.merge(&add(left));
            prop_assert_eq!(&merged, &add(&values));
            prop_assert_eq!(Sketch::from_buckets(merged.buckets()), merged);
        }
    }
}
