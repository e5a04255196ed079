//! Measurements in buckets: what came since an earlier point, several put together, and quantiles. Pure.
//!
//! ```text
//!   explicit      bounds 1 5 10   counts (..1] (1..5] (5..10] (10..)
//!   exponential   scale 0         bucket i holds (2^i, 2^(i+1)]; scale s: base 2^(2^-s); two buckets of scale s are one of s-1
//! ```
//!
//! Together means: explicit buckets on the bounds that all of them have, exponential ones on the coarsest scale. Both lose
//! resolution and never a measurement. Inside of a bucket measurements are taken as spread evenly (explicit) or evenly on
//! the logarithmic scale (exponential).

use std::collections::BTreeMap;

use super::change::{Counted, Since};

/// Exponential buckets that are kept apart; more are put together by a coarser scale.
const BUCKETS_MAX: usize = 640;
/// Bands of a heatmap; more are put together.
const BANDS_MAX: usize = 60;
/// Scales that OTLP's senders use; beyond them doubles have no more buckets.
const SCALES: std::ops::RangeInclusive<i32> = -10..=20;

/// Measurements of an interval, or of several together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measured {
    /// How many.
    pub(crate) count: u64,
    /// Their sum; `None` when one of the senders did not say.
    pub(crate) sum: Option<f64>,
    /// Where they lie.
    pub(crate) buckets: Buckets,
}

/// Where measurements lie.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Buckets {
    /// Nobody says: a summary, or a histogram without buckets.
    None,
    /// Upper bounds of all buckets but the last, and counts of all.
    Explicit(Explicit),
    /// Buckets of a growing base, on both sides of zero.
    Exponential(Exponential),
}

/// Buckets with bounds of the sender's.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Explicit {
    /// Rising.
    pub(crate) bounds: Vec<f64>,
    /// One more than bounds.
    pub(crate) counts: Vec<u64>,
}

/// Buckets with bounds that are powers of a base.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Exponential {
    /// The base is 2^(2^-scale).
    pub(crate) scale: i32,
    /// Measurements so close to zero that they have no bucket.
    pub(crate) zeros: u64,
    /// How close.
    pub(crate) zero_threshold: f64,
    /// By index.
    pub(crate) positive: BTreeMap<i32, u64>,
    /// By index of the absolute value.
    pub(crate) negative: BTreeMap<i32, u64>,
}

impl Explicit {
    /// `None` when bounds do not rise, or counts do not fit them.
    pub(crate) fn new(bounds: Vec<f64>, counts: Vec<u64>) -> Option<Self> {
        let rises = bounds.windows(2).all(|pair| pair[0] < pair[1]) && bounds.iter().all(|bound| !bound.is_nan());
        (rises && counts.len() == bounds.len() + 1).then_some(Self { bounds, counts })
    }

    /// The same measurements in the buckets of `bounds`, which are some of its own.
    fn on(&self, bounds: &[f64]) -> Self {
        let mut counts = vec![0u64; bounds.len() + 1];
        for (index, count) in self.counts.iter().enumerate() {
            let at = match self.bounds.get(index) {
                Some(upper) => bounds.partition_point(|bound| bound < upper),
                None => bounds.len(),
            };
            counts[at] = counts[at].saturating_add(*count);
        }
        Self { bounds: bounds.to_vec(), counts }
    }

    fn add(&mut self, other: &Self) {
        if self.bounds != other.bounds {
            let common: Vec<f64> = self.bounds.iter().copied().filter(|bound| other.bounds.contains(bound)).collect();
            *self = self.on(&common);
            return self.add(&other.on(&common));
        }
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum = sum.saturating_add(*count);
        }
    }

    fn since(&self, earlier: &Self) -> Since<Self> {
        if self.bounds != earlier.bounds {
            return Since::Unknown;
        }
        let counts = self.counts.iter().zip(&earlier.counts).map(|(now, before)| now.checked_sub(*before));
        match counts.collect::<Option<Vec<u64>>>() {
            Some(counts) => Since::Grown(Self { bounds: self.bounds.clone(), counts }),
            None => Since::Anew,
        }
    }

    /// `None` without measurements. The last bucket has no upper bound: its lower bound is the answer, as in PromQL.
    pub(crate) fn quantile(&self, q: f64) -> Option<f64> {
        let (bucket, part) = place(q, self.counts.iter().copied())?;
        let Some(upper) = self.bounds.get(bucket) else { return self.bounds.last().copied() };
        // The first bucket begins at zero, unless it holds what is below zero.
        let lower = if bucket > 0 { self.bounds[bucket - 1] } else { upper.min(0.0) };
        Some(if upper.is_infinite() { lower } else { lower + (upper - lower) * part })
    }
}

/// The same buckets on a scale that is `levels` coarser.
fn coarser(buckets: &BTreeMap<i32, u64>, levels: u32) -> BTreeMap<i32, u64> {
    let mut sums = BTreeMap::new();
    for (index, count) in buckets {
        // An index rounds down, below zero too.
        let sum: &mut u64 = sums.entry(index >> levels.min(31)).or_default();
        *sum = sum.saturating_add(*count);
    }
    sums
}

impl Exponential {
    /// On a coarser scale; a finer one is not possible.
    fn at_scale(&self, scale: i32) -> Self {
        let levels = u32::try_from(self.scale.saturating_sub(scale)).unwrap_or(0);
        if levels == 0 {
            return self.clone();
        }
        let (positive, negative) = (coarser(&self.positive, levels), coarser(&self.negative, levels));
        Self { scale, positive, negative, ..self.clone() }
    }

    fn add(&mut self, other: &Self) {
        let scale = self.scale.min(other.scale);
        let (mut sum, other) = (self.at_scale(scale), other.at_scale(scale));
        sum.zeros = sum.zeros.saturating_add(other.zeros);
        sum.zero_threshold = sum.zero_threshold.max(other.zero_threshold);
        for (mine, theirs) in [(&mut sum.positive, &other.positive), (&mut sum.negative, &other.negative)] {
            for (index, count) in theirs {
                let entry = mine.entry(*index).or_default();
                *entry = entry.saturating_add(*count);
            }
        }
        while sum.positive.len() + sum.negative.len() > BUCKETS_MAX && sum.scale > *SCALES.start() {
            sum = sum.at_scale(sum.scale - 1);
        }
        *self = sum;
    }

    fn since(&self, earlier: &Self) -> Since<Self> {
        let scale = self.scale.min(earlier.scale);
        let (now, before) = (self.at_scale(scale), earlier.at_scale(scale));
        let minus = |now: &BTreeMap<i32, u64>, before: &BTreeMap<i32, u64>| {
            let mut left = now.clone();
            for (index, count) in before.iter().filter(|(_, count)| **count > 0) {
                let entry = left.get_mut(index)?;
                *entry = entry.checked_sub(*count)?;
            }
            left.retain(|_, count| *count > 0);
            Some(left)
        };
        let parts = (
            now.zeros.checked_sub(before.zeros),
            minus(&now.positive, &before.positive),
            minus(&now.negative, &before.negative),
        );
        match parts {
            (Some(zeros), Some(positive), Some(negative)) => {
                Since::Grown(Self { scale, zeros, zero_threshold: now.zero_threshold, positive, negative })
            }
            // The sender has made the zero bucket wider: what was counted elsewhere is in it now.
            _ if now.zero_threshold > before.zero_threshold => Since::Unknown,
            _ => Since::Anew,
        }
    }

    /// `None` without measurements. Those in the zero bucket are taken as zero.
    pub(crate) fn quantile(&self, q: f64) -> Option<f64> {
        let width = (-f64::from(self.scale.clamp(*SCALES.start(), *SCALES.end()))).exp2();
        let below = self.negative.iter().rev().map(|(index, count)| (Some((-1.0, *index)), *count));
        let zero = std::iter::once((None, self.zeros));
        let above = self.positive.iter().map(|(index, count)| (Some((1.0, *index)), *count));
        let all: Vec<(Option<(f64, i32)>, u64)> = below.chain(zero).chain(above).collect();
        let (bucket, part) = place(q, all.iter().map(|(_, count)| *count))?;
        let Some((sign, index)) = all[bucket].0 else { return Some(0.0) };
        // Below zero a bucket is walked from its far end towards zero.
        let part = if sign < 0.0 { 1.0 - part } else { part };
        Some(sign * ((f64::from(index) + part) * width).exp2())
    }
}

/// The bucket in which the measurement of rank `q` lies, and how far in it (0 to 1); `None` without measurements.
fn place(q: f64, counts: impl Iterator<Item = u64> + Clone) -> Option<(usize, f64)> {
    let total: f64 = counts.clone().map(|count| count as f64).sum();
    let (rank, mut before, mut last) = (q.clamp(0.0, 1.0) * total, 0.0, None);
    for (index, count) in counts.enumerate().filter(|(_, count)| *count > 0) {
        let count = count as f64;
        if before + count >= rank {
            return Some((index, ((rank - before) / count).clamp(0.0, 1.0)));
        }
        before += count;
        last = Some((index, 1.0)); // rounding may leave the last rank over
    }
    last
}

impl Measured {
    /// Puts other measurements to these. Buckets of different families do not go together: then there are none.
    pub(crate) fn add(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.zip(other.sum).map(|(a, b)| a + b);
        match (&mut self.buckets, &other.buckets) {
            (Buckets::Explicit(mine), Buckets::Explicit(theirs)) => mine.add(theirs),
            (Buckets::Exponential(mine), Buckets::Exponential(theirs)) => mine.add(theirs),
            (mine, _) => *mine = Buckets::None,
        }
    }

    /// A quantile; `None` without measurements or buckets.
    pub(crate) fn quantile(&self, q: f64) -> Option<f64> {
        match &self.buckets {
            Buckets::None => None,
            Buckets::Explicit(buckets) => buckets.quantile(q),
            Buckets::Exponential(buckets) => buckets.quantile(q),
        }
    }

    /// Memory that it takes, about, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let buckets = match &self.buckets {
            Buckets::None => 0,
            Buckets::Explicit(buckets) => 16 * buckets.counts.len(),
            Buckets::Exponential(buckets) => 32 * (buckets.positive.len() + buckets.negative.len()),
        };
        size_of::<Self>() + buckets
    }
}

/// Edges of a band, from and to, and its measurements of each step; `None` where nothing came.
pub(crate) type Band = ((Option<f64>, Option<f64>), Vec<Option<f64>>);

/// The measurements of several steps on the same buckets, at most [`BANDS_MAX`], from the lowest to the highest that holds any.
/// Empty without measurements, or when their buckets are of different families.
pub(crate) fn bands(steps: &[Option<&Measured>]) -> Vec<Band> {
    let mut total: Option<Measured> = None;
    for step in steps.iter().flatten().filter(|step| step.count > 0) {
        match &mut total {
            None => total = Some((*step).clone()),
            Some(total) => total.add(step),
        }
    }
    match total.map(|total| total.buckets) {
        None | Some(Buckets::None) => Vec::new(),
        Some(Buckets::Explicit(total)) => {
            let mut bounds = total.bounds;
            while bounds.len() >= BANDS_MAX {
                bounds = bounds.into_iter().skip(1).step_by(2).collect();
            }
            let at = |edge: Option<usize>| edge.and_then(|edge| bounds.get(edge)).copied();
            let edges = (0..=bounds.len()).map(|bucket| (at(bucket.checked_sub(1)), at(Some(bucket)))).collect();
            trimmed(edges, steps, |step| match step {
                Buckets::Explicit(step) => step.on(&bounds).counts,
                _ => Vec::new(),
            })
        }
        Some(Buckets::Exponential(mut total)) => {
            let n_buckets = |all: &Exponential| all.positive.len() + all.negative.len() + 1;
            while n_buckets(&total) > BANDS_MAX && total.scale > *SCALES.start() {
                total = total.at_scale(total.scale - 1);
            }
            let scale = total.scale;
            let width = (-f64::from(scale.clamp(*SCALES.start(), *SCALES.end()))).exp2();
            let edge = |index: i32| (f64::from(index) * width).exp2();
            let below = total.negative.keys().rev().map(|at| (Some(-edge(at.saturating_add(1))), Some(-edge(*at))));
            let zero = (Some(0.0 - total.zero_threshold), Some(total.zero_threshold));
            let above = total.positive.keys().map(|at| (Some(edge(*at)), Some(edge(at.saturating_add(1)))));
            let edges = below.chain(std::iter::once(zero)).chain(above).collect();
            trimmed(edges, steps, |step| match step {
                Buckets::Exponential(step) => {
                    let step = step.at_scale(scale);
                    let count = |side: &BTreeMap<i32, u64>, at: &i32| side.get(at).copied().unwrap_or_default();
                    let below = total.negative.keys().rev().map(|at| count(&step.negative, at));
                    let above = total.positive.keys().map(|at| count(&step.positive, at));
                    below.chain(std::iter::once(step.zeros)).chain(above).collect()
                }
                _ => Vec::new(),
            })
        }
    }
}

/// Bands with the counts of each step, without the empty ones below the lowest and above the highest.
fn trimmed(
    edges: Vec<(Option<f64>, Option<f64>)>,
    steps: &[Option<&Measured>],
    counts: impl Fn(&Buckets) -> Vec<u64>,
) -> Vec<Band> {
    let of_step = |step: &Option<&Measured>| step.filter(|step| step.count > 0).map(|step| counts(&step.buckets));
    let by_step: Vec<Option<Vec<u64>>> = steps.iter().map(of_step).collect();
    let mut bands: Vec<Band> = edges
        .into_iter()
        .enumerate()
        .map(|(band, edges)| {
            let count = |step: &Vec<u64>| step.get(band).copied().unwrap_or_default() as f64;
            (edges, by_step.iter().map(|step| step.as_ref().map(count)).collect())
        })
        .collect();
    let is_empty = |band: &Band| band.1.iter().flatten().all(|count| *count == 0.0);
    let last = bands.iter().rposition(|band| !is_empty(band)).map_or(0, |last| last + 1);
    bands.truncate(last);
    let first = bands.iter().position(|band| !is_empty(band)).unwrap_or(bands.len());
    bands.drain(..first);
    bands
}

impl Counted for Measured {
    fn since(&self, earlier: &Self) -> Since<Self> {
        let Some(count) = self.count.checked_sub(earlier.count) else { return Since::Anew };
        let buckets = match (&self.buckets, &earlier.buckets) {
            (Buckets::None, Buckets::None) => Since::Grown(Buckets::None),
            (Buckets::Explicit(now), Buckets::Explicit(before)) => now.since(before).map(Buckets::Explicit),
            (Buckets::Exponential(now), Buckets::Exponential(before)) => now.since(before).map(Buckets::Exponential),
            _ => Since::Unknown,
        };
        let sum = self.sum.zip(earlier.sum).map(|(now, before)| now - before);
        buckets.map(|buckets| Self { count, sum, buckets })
    }
}

impl<T> Since<T> {
    fn map<U>(self, to: impl FnOnce(T) -> U) -> Since<U> {
        match self {
            Self::Grown(by) => Since::Grown(to(by)),
            Self::Anew => Since::Anew,
            Self::Unknown => Since::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn explicit(bounds: &[f64], counts: &[u64]) -> Explicit {
        Explicit::new(bounds.to_vec(), counts.to_vec()).expect("they fit")
    }

    fn exponential(scale: i32, zeros: u64, positive: &[(i32, u64)], negative: &[(i32, u64)]) -> Exponential {
        let map = |pairs: &[(i32, u64)]| pairs.iter().copied().collect();
        Exponential { scale, zeros, zero_threshold: 0.0, positive: map(positive), negative: map(negative) }
    }

    /// 20 of 25 measurements lie up to 3; the last 5 somewhere above 7.
    #[test]
    fn quantiles_of_explicit_buckets() {
        let buckets = explicit(&[1.0, 3.0, 7.0], &[10, 10, 0, 5]);
        for (q, expected) in [(0.0, 0.0), (0.2, 0.5), (0.4, 1.0), (0.6, 2.0), (0.8, 3.0), (0.9, 7.0), (1.0, 7.0)] {
            assert_eq!(buckets.quantile(q), Some(expected), "{q}");
        }
        assert_eq!(explicit(&[1.0], &[0, 0]).quantile(0.5), None, "no measurements");
        assert_eq!(explicit(&[-5.0], &[2, 0]).quantile(0.5), Some(-5.0), "nothing is known below the first bound");
        assert_eq!(explicit(&[], &[3]).quantile(0.5), None, "one bucket without bounds");
        assert_eq!(Explicit::new(vec![1.0], vec![1]), None);
        assert_eq!(Explicit::new(vec![2.0, 1.0], vec![1, 1, 1]), None);
    }

    /// Scale 0: (1, 2], (2, 4], (4, 8]; below zero their mirror.
    #[test]
    fn quantiles_of_exponential_buckets() {
        assert_eq!(exponential(0, 0, &[(0, 1), (2, 1)], &[]).quantile(0.5), Some(2.0));
        assert_eq!(exponential(0, 0, &[(0, 1), (2, 1)], &[]).quantile(1.0), Some(8.0));
        assert_eq!(exponential(0, 8, &[(0, 1)], &[]).quantile(0.5), Some(0.0));
        assert_eq!(exponential(0, 0, &[], &[]).quantile(0.5), None);
        let both = exponential(0, 2, &[(1, 2)], &[(0, 2), (2, 2)]);
        // -8..-4, -2..-1, 0, 2..4: two in each.
        for (q, expected) in [(0.0, -8.0), (0.25, -4.0), (0.5, -1.0), (0.75, 0.0), (1.0, 4.0)] {
            assert_eq!(both.quantile(q), Some(expected), "{q}");
        }
        // Scale 5 has buckets of 2.2 %.
        let fine = exponential(5, 0, &[(320, 2)], &[]).quantile(0.5).expect("a value");
        assert!((1_024.0..1_047.0).contains(&fine), "{fine}");
        // Scale -1: (1, 4], (4, 16].
        assert_eq!(exponential(-1, 0, &[(1, 4)], &[]).quantile(1.0), Some(16.0));
    }

    fn measured(buckets: Buckets) -> Measured {
        Measured { count: 1, sum: None, buckets }
    }

    /// Steps whose senders have other bounds stand on those that all have; empty bands at the ends are left out.
    #[test]
    fn a_heatmap_has_the_same_bands_in_each_step() {
        let one = measured(Buckets::Explicit(explicit(&[1.0, 5.0, 10.0], &[0, 2, 3, 0])));
        let other = measured(Buckets::Explicit(explicit(&[1.0, 10.0], &[0, 4, 0])));
        let found = bands(&[Some(&one), None, Some(&other)]);
        assert_eq!(found, [((Some(1.0), Some(10.0)), vec![Some(5.0), None, Some(4.0)])]);
        let high = measured(Buckets::Explicit(explicit(&[1.0], &[2, 7])));
        let edges: Vec<_> = bands(&[Some(&high)]).into_iter().map(|band| band.0).collect();
        assert_eq!(edges, [(None, Some(1.0)), (Some(1.0), None)]);
        assert!(bands(&[]).is_empty() && bands(&[None]).is_empty());
        let wave = measured(Buckets::Exponential(exponential(0, 1, &[(0, 1)], &[])));
        assert!(bands(&[Some(&one), Some(&wave)]).is_empty(), "two families do not go together");
    }

    #[test]
    fn a_heatmap_of_exponential_buckets_stands_on_the_coarsest_scale() {
        let fine = measured(Buckets::Exponential(exponential(1, 0, &[(0, 1), (1, 2)], &[])));
        let coarse = measured(Buckets::Exponential(exponential(0, 3, &[(1, 4)], &[(0, 5)])));
        let found = bands(&[Some(&fine), Some(&coarse)]);
        let edges: Vec<_> = found.iter().map(|band| (band.0.0.expect("an edge"), band.0.1.expect("an edge"))).collect();
        assert_eq!(edges, [(-2.0, -1.0), (0.0, 0.0), (1.0, 2.0), (2.0, 4.0)]);
        let counts: Vec<_> = found.iter().map(|band| band.1.clone()).collect();
        assert_eq!(counts, [[0.0, 5.0], [0.0, 3.0], [3.0, 0.0], [0.0, 4.0]].map(|pair| pair.map(Some).to_vec()));
    }

    /// However fine its buckets are, a heatmap has no more bands than can be drawn, and holds every measurement.
    #[test]
    fn a_heatmap_is_never_too_fine() {
        let bounds: Vec<f64> = (0..500).map(f64::from).collect();
        let many = measured(Buckets::Explicit(explicit(&bounds, &[2; 501])));
        let positive: Vec<(i32, u64)> = (0..500).map(|index| (index, 2)).collect();
        let waves = measured(Buckets::Exponential(exponential(8, 2, &positive, &[])));
        for (step, all) in [(many, 1_002.0), (waves, 1_002.0)] {
            let found = bands(&[Some(&step)]);
            assert!(found.len() <= BANDS_MAX, "{} bands", found.len());
            assert_eq!(found.iter().flat_map(|band| band.1.iter().flatten()).sum::<f64>(), all);
        }
    }

    #[test]
    fn explicit_buckets_meet_on_common_bounds() {
        let mut sum = explicit(&[1.0, 5.0, 10.0], &[1, 2, 3, 4]);
        sum.add(&explicit(&[2.0, 5.0, 10.0, 50.0], &[10, 20, 30, 40, 50]));
        assert_eq!(sum, explicit(&[5.0, 10.0], &[33, 33, 94]));
        sum.add(&explicit(&[7.0], &[1, 1]));
        assert_eq!(sum, explicit(&[], &[162]));
    }

    #[test]
    fn exponential_buckets_meet_on_the_coarsest_scale() {
        // Scale 1 has (1, 1.41], (1.41, 2], (2, 2.83], ...: two of them are one of scale 0, below 1 too.
        let mut sum = exponential(1, 1, &[(-3, 1), (-2, 1), (-1, 1), (0, 1), (1, 1), (2, 1)], &[]);
        sum.add(&exponential(0, 2, &[(0, 10)], &[(3, 7)]));
        assert_eq!(sum, exponential(0, 3, &[(-2, 1), (-1, 2), (0, 12), (1, 1)], &[(3, 7)]));
    }

    #[test]
    fn differences_of_cumulative_points() {
        let measured = |count, sum, buckets| Measured {
            count,
            sum: Some(sum),
            buckets: Buckets::Explicit(explicit(&[1.0], buckets)),
        };
        let (first, second) = (measured(5, 7.0, &[2, 3]), measured(9, 10.0, &[4, 5]));
        assert_eq!(second.since(&first), Since::Grown(measured(4, 3.0, &[2, 2])));
        assert_eq!(first.since(&second), Since::Anew);
        // More in all, fewer in one bucket: it began anew and has overtaken itself.
        assert_eq!(measured(9, 10.0, &[1, 8]).since(&first), Since::Anew);
        let other = Measured { buckets: Buckets::Explicit(explicit(&[2.0], &[4, 5])), ..second.clone() };
        assert_eq!(other.since(&first), Since::Unknown, "other bounds");
        // The sender has lowered its scale in between.
        let (fine, coarse) =
            (exponential(1, 0, &[(0, 1), (1, 1), (2, 1)], &[]), exponential(0, 0, &[(0, 3), (1, 1)], &[]));
        assert_eq!(coarse.since(&fine), Since::Grown(exponential(0, 0, &[(0, 1)], &[])));
    }

    fn counts() -> impl Strategy<Value = BTreeMap<i32, u64>> {
        proptest::collection::btree_map(-200i32..200, 1u64..100, 0..30)
    }

    proptest! {
        /// Put together in any order, every measurement is still there, and counts up to a common bound are exact.
        #[test]
        fn no_measurement_is_lost(
            a in proptest::collection::vec(0u64..50, 9),
            b in proptest::collection::vec(0u64..50, 9),
            of_a in proptest::collection::btree_set(0i32..20, 8),
            of_b in proptest::collection::btree_set(0i32..20, 8),
        ) {
            let make = |bounds: &std::collections::BTreeSet<i32>, counts: &[u64]| {
                explicit(&bounds.iter().map(|bound| f64::from(*bound)).collect::<Vec<_>>(), counts)
            };
            let (a, b) = (make(&of_a, &a), make(&of_b, &b));
            let (mut ab, mut ba) = (a.clone(), b.clone());
            ab.add(&b);
            ba.add(&a);
            prop_assert_eq!(&ab, &ba);
            let up_to = |buckets: &Explicit, bound: f64| {
                let n = buckets.bounds.partition_point(|upper| *upper <= bound);
                buckets.counts[..n].iter().sum::<u64>()
            };
            for bound in &ab.bounds {
                prop_assert_eq!(up_to(&ab, *bound), up_to(&a, *bound) + up_to(&b, *bound));
            }
            prop_assert_eq!(ab.counts.iter().sum::<u64>(), a.counts.iter().chain(&b.counts).sum::<u64>());
        }

        /// What came since an earlier point, put to the earlier point, is the later one; quantiles rise and stay within the
        /// bucket of the measurement.
        #[test]
        fn differences_add_up(
            before in counts(), added in counts(), negative in counts(), scale in -2i32..6, q in 0.0f64..1.0,
        ) {
            let earlier = Exponential { scale, positive: before, ..Exponential::default() };
            let since = Exponential { scale, positive: added, negative, zeros: 3, ..Exponential::default() };
            let mut later = earlier.clone();
            later.add(&since);
            prop_assert_eq!(later.since(&earlier), Since::Grown(since.clone()));
            let (low, high) = (later.quantile(q * 0.5).expect("some"), later.quantile(q).expect("some"));
            prop_assert!(low <= high, "{} {}", low, high);
            let coarse = later.at_scale(scale - 1);
            let n = |buckets: &Exponential| buckets.positive.values().chain(buckets.negative.values()).sum::<u64>();
            prop_assert_eq!(n(&coarse), n(&later));
        }

        #[test]
        fn many_buckets_become_coarser(buckets in proptest::collection::btree_map(any::<i32>(), 1u64..9, 0..3_000)) {
            let wide = Exponential { scale: 20, positive: buckets, ..Exponential::default() };
            let mut sum = Exponential { scale: 20, ..Exponential::default() };
            sum.add(&wide);
            prop_assert!(sum.positive.len() <= BUCKETS_MAX || sum.scale == *SCALES.start());
            prop_assert_eq!(sum.positive.values().sum::<u64>(), wide.positive.values().sum::<u64>());
            let _ = sum.quantile(0.5);
        }
    }
}
