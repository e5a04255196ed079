//! Sums of one edge in few bytes, for those that are kept: pure.

use model::TraceId;

use super::totals::Totals;

/// [`Totals`] with the counts of its three histograms in one row: about 200 bytes and 8 for each bucket.
#[derive(Clone, Debug, Default)]
pub(super) struct Packed {
    /// Count, errors, faults, bytes of requests and answers.
    numbers: [i64; 5],
    first_seen: Option<i64>,
    last_seen: Option<i64>,
    slowest: Option<(i64, TraceId)>,
    failed: Option<(i64, TraceId)>,
    /// Buckets with counts: of durations, then of networks, then of lags. A count beyond 32 bits takes several.
    buckets: Box<[(i32, i32)]>,
    n_durations: u32,
    n_networks: u32,
}

impl Packed {
    pub(super) fn of(totals: &Totals) -> Self {
        let mut buckets: Vec<(i32, i32)> = Vec::new();
        let [n_durations, n_networks, _] = [&totals.durations, &totals.networks, &totals.lags].map(|histogram| {
            let before = buckets.len();
            for (bucket, mut count) in histogram.buckets() {
                // Buckets of a sketch have 32 bits.
                let Ok(bucket) = i32::try_from(bucket) else { continue };
                while count != 0 {
                    let part = count.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
                    buckets.push((bucket, part as i32));
                    count -= part;
                }
            }
            (buckets.len() - before) as u32
        });
        Self {
            numbers: totals.numbers(),
            first_seen: totals.first_seen,
            last_seen: totals.last_seen,
            slowest: totals.slowest,
            failed: totals.failed,
            buckets: buckets.into_boxed_slice(),
            n_durations,
            n_networks,
        }
    }

    /// Adds these sums to others.
    pub(super) fn add_to(&self, totals: &mut Totals) {
        totals.add_numbers(self.numbers);
        let (durations, rest) = self.buckets.split_at(self.n_durations as usize);
        let (networks, lags) = rest.split_at(self.n_networks as usize);
        for (buckets, histogram) in
            [(durations, &mut totals.durations), (networks, &mut totals.networks), (lags, &mut totals.lags)]
        {
            buckets.iter().for_each(|(bucket, count)| histogram.add_one(i64::from(*bucket), i64::from(*count)));
        }
        totals.first_seen = [totals.first_seen, self.first_seen].into_iter().flatten().min();
        totals.last_seen = totals.last_seen.max(self.last_seen);
        totals.slowest = totals.slowest.max(self.slowest);
        totals.failed = [totals.failed, self.failed].into_iter().flatten().min();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packing and adding is adding: also negative counts, those beyond 32 bits, and the bucket of zero.
    #[test]
    fn packed_sums_add_up_to_the_same() {
        let journey = TraceId::from_bytes(&[7; 16]).expect("an id");
        let mut totals = Totals {
            count: 12,
            errors: -1,
            request_bytes: i64::MAX / 2,
            first_seen: Some(3),
            slowest: Some((9, journey)),
            ..Totals::default()
        };
        totals.durations.add_one(700, 5_000_000_000);
        totals.durations.add_one(650, -2);
        totals.networks.add_one(i64::from(crate::analysis::statistics::ZERO_BUCKET), 4);
        totals.lags.add_one(10, 1);
        let mut sum = Totals::default();
        Packed::of(&totals).add_to(&mut sum);
        let buckets = |totals: &Totals| {
            [&totals.durations, &totals.networks, &totals.lags].map(|histogram| histogram.buckets().collect::<Vec<_>>())
        };
        assert_eq!(buckets(&sum), buckets(&totals));
        assert_eq!((sum.count, sum.errors, sum.request_bytes), (12, -1, i64::MAX / 2));
        assert_eq!((sum.first_seen, sum.slowest), (Some(3), Some((9, journey))));
    }
}
