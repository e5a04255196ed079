//! Nanoseconds since 1970 and ranges of them.

use std::fmt;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// A moment: nanoseconds since 1970-01-01 UTC, by whoever's clock it was taken.
///
/// Covers the years 1677 to 2262. OTLP's unsigned moments past 2262 keep their bits and read as
/// negative; they are garbage clocks, kept only so that nothing sent is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixNanos(pub i64);

impl UnixNanos {
    /// Nanoseconds in a second.
    pub const SECOND: i64 = 1_000_000_000;
    /// Nanoseconds in a UTC day.
    pub const DAY: i64 = 86_400 * Self::SECOND;

    /// Days since 1970 of the UTC day that holds this moment; segments are partitioned by it.
    pub const fn day(self) -> i32 {
        self.0.div_euclid(Self::DAY) as i32
    }
}

impl Add<i64> for UnixNanos {
    type Output = Self;
    /// Saturates: a moment never wraps around.
    fn add(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }
}

impl Sub<i64> for UnixNanos {
    type Output = Self;
    fn sub(self, nanos: i64) -> Self {
        Self(self.0.saturating_sub(nanos))
    }
}

impl Sub for UnixNanos {
    type Output = i64;
    fn sub(self, other: Self) -> i64 {
        self.0.saturating_sub(other.0)
    }
}

impl fmt::Display for UnixNanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Moments from `start` (inside) to `end` (outside).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// First moment inside.
    pub start: UnixNanos,
    /// First moment after.
    pub end: UnixNanos,
}

impl TimeRange {
    /// Holds every moment but the very last nanosecond of 2262.
    pub const ALL: Self = Self { start: UnixNanos(i64::MIN), end: UnixNanos(i64::MAX) };

    /// From `start` (inside) to `end` (outside); empty when `end <= start`.
    pub const fn new(start: UnixNanos, end: UnixNanos) -> Self {
        Self { start, end }
    }

    /// True when no moment is inside.
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }

    /// True when `moment` is inside.
    pub fn contains(self, moment: UnixNanos) -> bool {
        self.start <= moment && moment < self.end
    }

    /// True when some moment is inside both; an empty range overlaps nothing.
    pub fn overlaps(self, other: Self) -> bool {
        self.start.max(other.start) < self.end.min(other.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_half_open() {
        let range = TimeRange::new(UnixNanos(10), UnixNanos(20));
        assert!(range.contains(UnixNanos(10)) && !range.contains(UnixNanos(20)));
        assert!(!range.overlaps(TimeRange::new(UnixNanos(20), UnixNanos(30))));
        assert!(!range.overlaps(TimeRange::new(UnixNanos(15), UnixNanos(15))));
    }

    #[test]
    fn days_before_1970_round_down() {
        assert_eq!(UnixNanos(-1).day(), -1);
        assert_eq!(UnixNanos(UnixNanos::DAY).day(), 1);
    }
}
