//! Data points that say nothing, or contradict themselves (V17, V19, V20).

use model::{Repairs, Temporality};

use crate::otlp::message::{Buckets, ExponentialHistogramPoint, HistogramPoint, NumberPoint};
use crate::outcome::Reason;

/// OTLP's `NO_RECORDED_VALUE`: the series went away; stored as a staleness mark.
const NO_RECORDED_VALUE: u32 = 1;
/// Buckets on one side of an exponential histogram.
const EXP_BUCKETS_MAX: usize = 1024;
/// Scales of an exponential histogram.
const EXP_SCALES: std::ops::RangeInclusive<i32> = -20..=20;

/// V17: without a temporality nobody can add two points up.
pub(crate) const fn temporality(code: i32) -> Result<(), Reason> {
    if code == Temporality::Unspecified.code() { Err(Reason::NoTemporality) } else { Ok(()) }
}

/// V20.
pub(crate) fn number(point: &NumberPoint<'_>) -> Result<(), Reason> {
    if point.value.is_none() && point.flags & NO_RECORDED_VALUE == 0 { Err(Reason::NoValue) } else { Ok(()) }
}

/// V19: bounds rise, and there is one bucket more than bounds, or neither.
pub(crate) fn histogram(point: &HistogramPoint<'_>) -> Result<Repairs, Reason> {
    let (bounds, counts) = (&point.bounds, &point.bucket_counts);
    let is_empty = bounds.is_empty() && counts.is_empty();
    let is_rising = bounds.is_sorted_by(|low, high| low < high) && !bounds.iter().any(|bound| bound.is_nan());
    if !is_rising || (counts.len() != bounds.len() + 1 && !is_empty) {
        return Err(Reason::BadHistogram);
    }
    let sum = sum(counts);
    Ok(if is_empty || sum == Some(point.count) { Repairs::NONE } else { Repairs::COUNT_MISMATCH })
}

/// V19 for exponential histograms.
pub(crate) fn exponential_histogram(point: &ExponentialHistogramPoint<'_>) -> Result<Repairs, Reason> {
    let (positive, negative) = (counts(point.positive.as_ref()), counts(point.negative.as_ref()));
    if !EXP_SCALES.contains(&point.scale) || positive.len().max(negative.len()) > EXP_BUCKETS_MAX {
        return Err(Reason::BadHistogram);
    }
    let total = sum(positive).zip(sum(negative)).and_then(|(p, n)| p.checked_add(n)?.checked_add(point.zero_count));
    Ok(if total == Some(point.count) { Repairs::NONE } else { Repairs::COUNT_MISMATCH })
}

fn counts<'a>(side: Option<&'a Buckets<'_>>) -> &'a [u64] {
    side.map_or(&[], |buckets| &buckets.counts)
}

/// `None` when the sum does not fit.
fn sum(counts: &[u64]) -> Option<u64> {
    counts.iter().try_fold(0u64, |sum, count| sum.checked_add(*count))
}
