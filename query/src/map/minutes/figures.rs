//! What is remembered of sums: what is drawn of them, and counts with the histogram of durations in few bytes. Pure.
//!
//! ```text
//!   count errors faults bytes bytes | 0 620 | 3 | 1 | 7 | 0 2 | 1 ...     numbers of 7 bits
//!                                     from bucket 620 on: 3, 1, 7, none in two of them, 1 ...
//! ```
//!
//! Most buckets have neighbours, and most counts a byte.

use crate::map::totals::Totals;

/// What is drawn of a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) calls: i64,
    pub(crate) errors: i64,
    /// Of durations in nanoseconds: the median, 95 and 99 of 100.
    pub(crate) percentiles: Option<[i64; 3]>,
}

impl Point {
    pub(crate) fn of(totals: &Totals) -> Self {
        let percentiles = totals.durations.percentiles([0.5, 0.95, 0.99]);
        Self { calls: totals.count, errors: totals.errors, percentiles }
    }
}

/// A line of points, by number of their span, and the sums of all of them.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Series {
    pub(crate) points: Vec<(i64, Point)>,
    pub(crate) total: Totals,
}

impl Series {
    pub(crate) fn add(&mut self, span: i64, totals: &Totals) {
        self.points.push((span, Point::of(totals)));
        self.total.add(totals);
    }
}

/// Counts, and the histogram of durations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Figures(Box<[u8]>);

impl Figures {
    pub(super) fn of(totals: &Totals) -> Self {
        let mut bytes = Vec::new();
        totals.numbers().into_iter().for_each(|number| write(&mut bytes, number));
        let mut next = 0;
        for (bucket, count) in totals.durations.buckets() {
            if bucket != next {
                write(&mut bytes, 0);
                write(&mut bytes, bucket - next);
            }
            write(&mut bytes, count);
            next = bucket + 1;
        }
        Self(bytes.into_boxed_slice())
    }

    pub(super) fn add_to(&self, totals: &mut Totals) {
        let mut bytes = &*self.0;
        totals.add_numbers(std::array::from_fn(|_| read(&mut bytes)));
        let mut bucket = 0;
        while !bytes.is_empty() {
            match read(&mut bytes) {
                0 => bucket += read(&mut bytes),
                count => {
                    totals.durations.add_one(bucket, count);
                    bucket += 1;
                }
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.len()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::statistics::ZERO_BUCKET;
    use proptest::prelude::*;

    fn totals(numbers: [i64; 5], buckets: &[(i64, i64)]) -> Totals {
        let mut totals = Totals::default();
        totals.add_numbers(numbers);
        buckets.iter().for_each(|(bucket, count)| totals.durations.add_one(*bucket, *count));
        totals
    }

    fn parts(totals: &Totals) -> ([i64; 5], Vec<(i64, i64)>) {
        (totals.numbers(), totals.durations.buckets().collect())
    }

    proptest! {
        /// Packing and adding is adding: any numbers, buckets in any order, the bucket of zero.
        #[test]
        fn packed_figures_add_up_to_the_same(
            numbers in prop::array::uniform5(any::<i64>()),
            buckets in prop::collection::vec(
                (prop_oneof![Just(i64::from(ZERO_BUCKET)), -900_i64..1_500], -3_i64..5_000_000_000), 0..40,
            ),
        ) {
            let whole = totals(numbers, &buckets);
            let mut found = Totals::default();
            Figures::of(&whole).add_to(&mut found);
            prop_assert_eq!(parts(&found), parts(&whole));
            let (left, right) = buckets.split_at(buckets.len() / 2);
            let mut sum = totals([0; 5], left);
            Figures::of(&totals(numbers, right)).add_to(&mut sum);
            prop_assert_eq!(parts(&sum), parts(&whole));
        }
    }

    /// Ends of the ranges of numbers, buckets far from all others, and counts below zero of parts that correct others.
    #[test]
    fn figures_come_back() {
        let far = i64::from(i32::MAX);
        let buckets = [(far, i64::MIN), (-7, -1), (-6, 63), (-1, 64), (0, 1), (1, i64::MAX), (900, 8_191), (-far, 2)];
        let whole = totals([5, -3, 0, i64::MAX, i64::MIN], &buckets);
        let mut found = Totals::default();
        Figures::of(&whole).add_to(&mut found);
        assert_eq!(parts(&found), parts(&whole));
        assert!(whole.durations.buckets().is_sorted());
        let corrected = totals([0; 5], &[(3, 1), (1, 2), (3, -1), (2, 0), (1, 4)]);
        assert_eq!(parts(&corrected).1, [(1, 6)]);
    }

    #[test]
    fn points_have_percentiles_of_what_is_counted() {
        assert_eq!(Point::of(&totals([2, 1, 0, 0, 0], &[])), Point { calls: 2, errors: 1, percentiles: None });
        let [p50, p95, p99] = Point::of(&totals([4; 5], &[(700, 98), (650, -2), (800, 2)])).percentiles.expect("some");
        assert!(p50 == p95 && p99 > p95, "{p50} {p95} {p99}");
    }
}
