//! What a series grew by from point to point, whatever its temporality, over resets, pauses and repeats: pure.
//!
//! ```text
//!   delta        5      3      4            grew by 5, 3, 4: each point tells its own interval
//!   cumulative   5      8     12   3        grew by (5), 3, 4, 3: the last one began anew
//!                |      |          |
//!                |      |          lower than before, or it says that it started after the last point
//!                |      since the point before
//!                counts when the series says that it started inside of what is looked at; unknown otherwise
//! ```
//!
//! A point is a repeat when the series has one of that moment already: a request was sent twice. A cumulative series counts
//! the first of them, a delta series every one that differs.
//!
//! Source: OpenTelemetry metrics data model, "Temporality", "Resets and gaps" and "Cumulative streams: handling unknown start
//! time". Unlike PromQL nothing is extrapolated to the edges of a range.

/// What can be counted on.
pub(crate) trait Counted: Clone + PartialEq {
    /// What was added since `earlier`.
    fn since(&self, earlier: &Self) -> Since<Self>;
}

/// How a cumulative value stands to an earlier one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Since<T> {
    /// It grew by this.
    Grown(T),
    /// It is lower, so it was counted anew.
    Anew,
    /// The two cannot be compared.
    Unknown,
}

/// One data point.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Point<T> {
    /// Begin of its interval; 0 when not said.
    pub(crate) start: i64,
    /// Its moment.
    pub(crate) time: i64,
    /// `None` for a staleness mark: the series says that it has no value.
    pub(crate) value: Option<T>,
    /// It tells the change since the point before, not since its start.
    pub(crate) is_delta: bool,
}

/// What a point added.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Grown<T> {
    /// By how much.
    pub(crate) by: T,
    /// In how many nanoseconds; `None` when nobody says.
    pub(crate) nanos: Option<i64>,
}

/// The points of one series, in the order of their moments.
#[derive(Clone, Debug)]
pub(crate) struct Sequence<T> {
    /// Earliest moment that is looked at.
    begin: i64,
    last: Option<(i64, i64, T)>,
    /// How often it was counted anew.
    pub(crate) resets: u64,
}

impl<T: Counted> Sequence<T> {
    /// A series of which nothing before `begin` is known.
    pub(crate) const fn new(begin: i64) -> Self {
        Self { begin, last: None, resets: 0 }
    }

    /// What the next point added; `None` when that is unknown, or nothing: a mark, a repeat, a first value whose start is
    /// not known.
    pub(crate) fn next(&mut self, point: Point<T>) -> Option<Grown<T>> {
        let Point { start, time, value, is_delta } = point;
        let value = value?;
        let said = |nanos: i64| (nanos > 0).then_some(nanos);
        let own = if start > 0 { said(time.saturating_sub(start)) } else { None };
        let last = self.last.replace((start, time, value.clone()));
        if is_delta {
            let nanos = match &last {
                Some((last_start, last_time, last)) => {
                    if (*last_start, *last_time, last) == (start, time, &value) {
                        return None;
                    }
                    // Time that a point before tells of too is counted once: two processes may share a series.
                    let from = if own.is_some() { start.max(*last_time) } else { *last_time };
                    if own.is_some() { Some(time.saturating_sub(from).max(0)) } else { said(time.saturating_sub(from)) }
                }
                None => own,
            };
            return Some(Grown { by: value, nanos });
        }
        let Some((last_start, last_time, last)) = last else {
            // All of it was counted since a start that is looked at.
            return (own.is_some() && start >= self.begin).then_some(Grown { by: value, nanos: own });
        };
        if time <= last_time {
            self.last = Some((last_start, last_time, last));
            return None;
        }
        let since = value.since(&last);
        let is_new_start = start > 0 && last_start > 0 && start > last_start && start >= last_time;
        if is_new_start || since == Since::Anew {
            self.resets += 1;
            // A start that is the point's own moment says that the true one is not known.
            if start == time {
                return None;
            }
            let from = if is_new_start { start } else { last_time };
            return Some(Grown { by: value, nanos: said(time.saturating_sub(from)) });
        }
        match since {
            Since::Grown(by) => Some(Grown { by, nanos: said(time.saturating_sub(last_time)) }),
            Since::Anew | Since::Unknown => None,
        }
    }
}

/// A number as it was sent: integers stay exact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    /// Sent as an integer.
    Int(i64),
    /// Sent as a double.
    Double(f64),
}

impl Number {
    /// As a double; integers from 2^53 on are rounded.
    pub(crate) const fn as_f64(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Double(value) => value,
        }
    }

    /// How much more than `earlier`; exact for integers.
    fn minus(self, earlier: Self) -> f64 {
        match (self, earlier) {
            (Self::Int(a), Self::Int(b)) => (i128::from(a) - i128::from(b)) as f64,
            (a, b) => a.as_f64() - b.as_f64(),
        }
    }
}

/// A sum that never falls but at resets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Counter(pub(crate) Number);

impl Counted for Counter {
    fn since(&self, earlier: &Self) -> Since<Self> {
        let by = self.0.minus(earlier.0);
        if by.is_nan() {
            Since::Unknown
        } else if by < 0.0 {
            Since::Anew
        } else {
            Since::Grown(Self(Number::Double(by)))
        }
    }
}

/// A sum that rises and falls: a lower value is no reset.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct UpDown(pub(crate) Number);

impl Counted for UpDown {
    fn since(&self, earlier: &Self) -> Since<Self> {
        let by = self.0.minus(earlier.0);
        if by.is_nan() { Since::Unknown } else { Since::Grown(Self(Number::Double(by))) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: i64 = 1_000_000_000;

    /// What a point added, and in how many seconds.
    type Step = Option<(f64, Option<i64>)>;

    /// Points as (start, time, value) in seconds from the begin of what is looked at; `None` is a mark.
    fn grown(points: &[(i64, i64, Option<i64>)], is_delta: bool) -> (Vec<Step>, u64) {
        let mut sequence = Sequence::new(100 * S);
        let seconds = |moment: i64| if moment == 0 { 0 } else { (moment + 100) * S };
        let steps = points.iter().map(|(start, time, value)| {
            let value = value.map(|value| Counter(Number::Int(value)));
            let point = Point { start: seconds(*start), time: seconds(*time), value, is_delta };
            sequence.next(point).map(|grown| (grown.by.0.as_f64(), grown.nanos.map(|nanos| nanos / S)))
        });
        let steps = steps.collect();
        (steps, sequence.resets)
    }

    #[track_caller]
    fn cumulative(points: &[(i64, i64, Option<i64>)], expected: &[Option<(f64, i64)>], resets: u64) {
        let expected: Vec<_> = expected.iter().map(|step| step.map(|(by, nanos)| (by, Some(nanos)))).collect();
        assert_eq!(grown(points, false), (expected, resets));
    }

    #[test]
    fn a_counter_is_told_by_differences() {
        // It started long before: what the first point holds was counted at an unknown moment.
        cumulative(
            &[(-50, 10, Some(500)), (-50, 20, Some(507)), (-50, 40, Some(507))],
            &[None, Some((7.0, 10)), Some((0.0, 20))],
            0,
        );
        // It started inside of what is looked at: all of the first point counts.
        cumulative(&[(5, 10, Some(4)), (5, 20, Some(6))], &[Some((4.0, 5)), Some((2.0, 10))], 0);
        // The start is not said at all.
        cumulative(&[(0, 10, Some(4)), (0, 20, Some(6))], &[None, Some((2.0, 10))], 0);
    }

    #[test]
    fn a_counter_that_begins_anew_counts_from_zero() {
        // Seen by the value alone; the time since the last point is all that is known.
        cumulative(&[(0, 10, Some(9)), (0, 20, Some(3))], &[None, Some((3.0, 10))], 1);
        // Seen by the start, although the value is higher.
        cumulative(&[(-50, 10, Some(9)), (15, 20, Some(11))], &[None, Some((11.0, 5))], 1);
        // Twice.
        cumulative(
            &[(-50, 10, Some(9)), (12, 20, Some(4)), (22, 30, Some(1))],
            &[None, Some((4.0, 8)), Some((1.0, 8))],
            2,
        );
        // A start that moves back and forth below the last point is a sender's habit, no reset.
        cumulative(&[(5, 10, Some(9)), (6, 20, Some(12))], &[Some((9.0, 5)), Some((3.0, 10))], 0);
        // An unknown start: the first value is where it begins to be known.
        cumulative(&[(-50, 10, Some(9)), (20, 20, Some(100)), (20, 30, Some(104))], &[None, None, Some((4.0, 10))], 1);
    }

    #[test]
    fn marks_and_repeats_add_nothing() {
        cumulative(&[(-5, 10, Some(9)), (-5, 20, None), (-5, 30, Some(12))], &[None, None, Some((3.0, 20))], 0);
        cumulative(
            &[(-5, 10, Some(9)), (-5, 20, Some(12)), (-5, 20, Some(12)), (-5, 30, Some(13))],
            &[None, Some((3.0, 10)), None, Some((1.0, 10))],
            0,
        );
        let (steps, _) = grown(&[(10, 20, Some(4)), (10, 20, Some(4)), (20, 30, Some(4)), (20, 30, Some(5))], true);
        assert_eq!(steps, [Some((4.0, Some(10))), None, Some((4.0, Some(10))), Some((5.0, Some(0)))]);
    }

    #[test]
    fn delta_points_tell_their_own_interval() {
        let (steps, resets) = grown(&[(0, 10, Some(5)), (0, 30, Some(3)), (30, 40, Some(0))], true);
        assert_eq!(steps, [Some((5.0, None)), Some((3.0, Some(20))), Some((0.0, Some(10)))]);
        assert_eq!(resets, 0);
    }

    /// Two processes that send one series: each tells its own minute, and the minute is counted once.
    ///
    /// ```text
    ///   a   |--- 6 ---|--- 6 ---|
    ///   b       |--- 3 ---|--- 3 ---|
    /// ```
    #[test]
    fn overlapping_delta_intervals_count_their_time_once() {
        let (steps, _) = grown(&[(10, 70, Some(6)), (40, 100, Some(3)), (70, 130, Some(6)), (100, 160, Some(3))], true);
        let nanos: Vec<_> = steps.iter().flatten().map(|(_, nanos)| *nanos).collect();
        assert_eq!(nanos, [Some(60), Some(30), Some(30), Some(30)]);
    }

    #[test]
    fn large_integers_are_subtracted_exactly() {
        let big = i64::MAX - 1;
        let since = Counter(Number::Int(big)).since(&Counter(Number::Int(big - 3)));
        assert_eq!(since, Since::Grown(Counter(Number::Double(3.0))));
        assert_eq!(Counter(Number::Double(f64::NAN)).since(&Counter(Number::Int(1))), Since::Unknown);
        let fallen = UpDown(Number::Int(2)).since(&UpDown(Number::Int(5)));
        assert_eq!(fallen, Since::Grown(UpDown(Number::Double(-3.0))));
    }

    proptest! {
        /// Whatever was added, in whatever steps, and with resets in between: the same comes out of delta and cumulative
        /// points, and it is the sum of what was added.
        #[test]
        fn temporality_does_not_matter(added in proptest::collection::vec((0i64..1_000, any::<bool>()), 1..40)) {
            let (mut cumulative, mut delta) = (Sequence::new(1), Sequence::new(1));
            let (mut start, mut sum, mut totals) = (1, 0, [0.0, 0.0]);
            for (index, (by, is_reset)) in added.iter().enumerate() {
                let time = (index as i64 + 1) * 10;
                if *is_reset && index > 0 {
                    (start, sum) = (time - 5, 0);
                }
                sum += by;
                let value = |value| Some(Counter(Number::Int(value)));
                let whole = Point { start, time, value: value(sum), is_delta: false };
                let part = Point { start: time - 9, time, value: value(*by), is_delta: true };
                totals[0] += cumulative.next(whole).map_or(0.0, |grown| grown.by.0.as_f64());
                totals[1] += delta.next(part).map_or(0.0, |grown| grown.by.0.as_f64());
            }
            let expected: i64 = added.iter().map(|(by, _)| by).sum();
            prop_assert_eq!(totals, [expected as f64; 2]);
        }
    }
}
