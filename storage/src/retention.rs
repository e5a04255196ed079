//! Which segments are too old or too many. Pure: readings of clocks are arguments.
//!
//! A clock that jumps must not cost data (F11). Before anything goes by age, the time of day has to agree with the
//! steady clock since the reading before, and with the data: a jump, or a clock that is far from the newest rows,
//! makes age wait. What goes in one run is capped, so that there is time to notice.

use std::sync::Arc;
use std::time::Duration;

use model::UnixNanos;

use crate::snapshot::SegmentMeta;

/// Part of a table's segments that one run may drop, at least one segment: a tenth.
const RUN_PART: usize = 10;
/// Time of day and steady clock may drift apart by so much between two readings.
const DRIFT_MAX: Duration = Duration::from_secs(60);
/// A jump is believed after the clock was steady for its own length, at most so long.
const DOUBT_MAX: Duration = Duration::from_secs(86_400);
/// The clock is in doubt when the newest data is further away than this.
const DATA_DISTANCE_MAX: Duration = Duration::from_secs(86_400);

/// How much may stay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Policy {
    /// Days that are kept.
    pub days: u32,
    /// Bytes that are kept; 0: as many as there are.
    pub bytes_max: u64,
}

/// Segments to drop in this run, oldest first: whole days that are over for a day longer than the policy says (when `today` is
/// known for sure), then as many of the oldest as are too many. At most a tenth of all, but one at least; the rest
/// follows with the next run.
pub(crate) fn expired(segments: &[Arc<SegmentMeta>], policy: Policy, today: Option<i32>) -> Vec<Arc<SegmentMeta>> {
    let mut oldest_first: Vec<&Arc<SegmentMeta>> = segments.iter().collect();
    oldest_first.sort_by(|a, b| (a.day, a.time_range.end, &a.path).cmp(&(b.day, b.time_range.end, &b.path)));
    // A day more than promised: an hour's jump over midnight must not take a day with it.
    let days = i32::try_from(policy.days).unwrap_or(i32::MAX).saturating_add(1);
    let first_kept = today.map(|today| today.saturating_sub(days));
    let mut bytes: u64 = segments.iter().map(|segment| segment.size_bytes).sum();
    let cap = (segments.len() / RUN_PART).max(1);
    let too_much = oldest_first.into_iter().take_while(|segment| {
        let is_old = first_kept.is_some_and(|first| segment.day < first);
        let is_over = policy.bytes_max > 0 && bytes > policy.bytes_max;
        bytes -= segment.size_bytes;
        is_old || is_over
    });
    too_much.take(cap).cloned().collect()
}

/// Whether the time of day can be believed.
#[derive(Debug, Default)]
pub(crate) struct ClockGuard {
    last: Option<(UnixNanos, Duration)>,
    /// Steady time from which on the clock is believed.
    believed_from: Duration,
    n_agreeing: u32,
}

impl ClockGuard {
    /// Takes a reading: the time of day, the steady time since the process started, and the newest moment that the data
    /// knows (by the clock at its arrival). Gives the UTC day, when two readings agree and nothing speaks against it.
    pub(crate) fn read(&mut self, now: UnixNanos, steady: Duration, newest: Option<UnixNanos>) -> Option<i32> {
        let jump = match self.last.replace((now, steady)) {
            None => newest.map_or(Duration::ZERO, |newest| {
                let distance = Duration::from_nanos(now.0.abs_diff(newest.0));
                if distance > DATA_DISTANCE_MAX { distance } else { Duration::ZERO }
            }),
            Some((before, steady_before)) => {
                let passed = i128::try_from(steady.saturating_sub(steady_before).as_nanos()).unwrap_or(i128::MAX);
                let told = i128::from(now.0) - i128::from(before.0);
                Duration::from_nanos(u64::try_from((told - passed).unsigned_abs()).unwrap_or(u64::MAX))
            }
        };
        if jump > DRIFT_MAX {
            tracing::warn!(
                jump_s = jump.as_secs(),
                "the clock jumped, or is far from the data: nothing expires for a while"
            );
            self.n_agreeing = 0;
            self.believed_from = steady + jump.min(DOUBT_MAX);
        }
        self.n_agreeing = self.n_agreeing.saturating_add(1);
        (self.n_agreeing >= 2 && steady >= self.believed_from).then(|| now.day())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::TimeRange;
    use object_store::path::Path;
    use proptest::prelude::*;

    const TODAY: i32 = 20_777;
    const HOUR: u64 = 3600;

    fn segment(day: i32, n: usize) -> Arc<SegmentMeta> {
        Arc::new(SegmentMeta {
            path: Path::from(format!("{day}-{n}")),
            size_bytes: 100,
            n_rows: 1,
            day,
            level: 2,
            created: UnixNanos(0),
            crc32c: None,
            time_range: TimeRange::ALL,
            service_range: None,
        })
    }

    fn days(dropped: &[Arc<SegmentMeta>]) -> Vec<i32> {
        dropped.iter().map(|segment| segment.day).collect()
    }

    #[test]
    fn old_days_go_a_tenth_at_a_time() {
        let segments: Vec<_> = (0..40).map(|n| segment(TODAY - 40 + n, 0)).collect();
        let policy = Policy { days: 30, bytes_max: 0 };
        assert_eq!(days(&expired(&segments, policy, Some(TODAY))), [-40, -39, -38, -37].map(|n| TODAY + n));
        assert_eq!(days(&expired(&segments[9..], policy, Some(TODAY))), [] as [i32; 0], "31 days stay");
        assert_eq!(days(&expired(&segments, policy, None)), [] as [i32; 0], "not without a clock");
        assert_eq!(days(&expired(&segments[..3], policy, Some(TODAY))), [TODAY - 40], "one goes at least");
    }

    #[test]
    fn too_many_bytes_go_oldest_first_whatever_the_clock() {
        let segments: Vec<_> = (0..30).map(|n| segment(TODAY - n, 0)).collect();
        let policy = Policy { days: 100, bytes_max: 2_850 };
        assert_eq!(days(&expired(&segments, policy, None)), [TODAY - 29, TODAY - 28]);
        assert_eq!(expired(&segments, Policy { bytes_max: 3_000, ..policy }, None).len(), 0);
    }

    proptest! {
        /// F11: no jump of the clock, whenever it comes and wherever it goes, makes data of the last days expire
        /// within a day. And a clock that goes right is believed from the second reading on.
        #[test]
        fn f11_a_jump_deletes_nothing(
            jump_h in prop_oneof![Just(0i64), Just(1), Just(-1), Just(87_600), Just(-87_600), Just(-498_648), -9_000i64..9_000],
            at in 0u64..48,
        ) {
            let start = i64::from(TODAY) * UnixNanos::DAY;
            let mut guard = ClockGuard::default();
            for hour in 0..60u64 {
                let right = start + hour as i64 * 3600 * UnixNanos::SECOND;
                let wrong = if hour >= at { right + jump_h * 3600 * UnixNanos::SECOND } else { right };
                let today = guard.read(UnixNanos(wrong), Duration::from_secs(hour * HOUR), Some(UnixNanos(start)));
                let right_day = UnixNanos(right).day();
                if hour < at + 24 {
                    prop_assert!(today.is_none_or(|today| today <= right_day + 1), "hour {}: {:?}", hour, today);
                }
                if jump_h == 0 {
                    prop_assert_eq!(today.is_some(), hour >= 1);
                }
            }
        }

        /// A process that starts with a clock far from its data waits.
        #[test]
        fn f11_a_wrong_clock_at_start_deletes_nothing(years in prop_oneof![-60i64..-1, 1i64..60]) {
            let start = i64::from(TODAY) * UnixNanos::DAY;
            let now = UnixNanos(start.saturating_add(years * 365 * UnixNanos::DAY));
            let mut guard = ClockGuard::default();
            for hour in 0..24u64 {
                let told = UnixNanos(now.0.saturating_add((hour * HOUR) as i64 * UnixNanos::SECOND));
                prop_assert_eq!(guard.read(told, Duration::from_secs(hour * HOUR), Some(UnixNanos(start))), None);
            }
        }
    }
}
