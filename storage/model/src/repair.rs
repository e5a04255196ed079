//! What was mended on entry. Each repair is one bit in a row's `repairs` column and one counter.

use std::ops::{BitOr, BitOrAssign};

/// A set of repairs of one row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Repairs(u32);

impl Repairs {
    /// Nothing was mended.
    pub const NONE: Self = Self(0);
    /// V2: parent id of wrong length or equal to the own id; parent cleared.
    pub const PARENT: Self = Self(1);
    /// V5: the span ended before it began; duration 0.
    pub const NEGATIVE_DURATION: Self = Self(1 << 1);
    /// V6: more than 24 h ahead of the server's clock; filed by arrival time.
    pub const CLOCK_SKEW: Self = Self(1 << 2);
    /// V6: a timestamp was missing; another one was used.
    pub const NO_TIMESTAMP: Self = Self(1 << 3);
    /// V10, V11: a value was cut or items beyond a limit were left out.
    pub const TRUNCATED: Self = Self(1 << 4);
    /// V9: a key stood twice; the last value won.
    pub const DUPLICATE_KEY: Self = Self(1 << 5);
    /// V3: a link with invalid ids was left out, or an exemplar lost its ids.
    pub const LINK_IDS: Self = Self(1 << 6);
    /// V4: a log record had invalid ids; not tied to a trace.
    pub const LOG_IDS: Self = Self(1 << 7);
    /// V19: the bucket counts do not add up to the count.
    pub const COUNT_MISMATCH: Self = Self(1 << 8);
    /// J12: a value nested too deep was emptied.
    pub const NESTING: Self = Self(1 << 9);
    /// J13: bytes that are not UTF-8 became U+FFFD.
    pub const INVALID_UTF8: Self = Self(1 << 10);

    /// S16: something that must not be kept was dropped, hashed or masked.
    pub const REDACTED: Self = Self(1 << 11);

    /// Name and bit of each repair, for documents, counters and the page.
    pub const NAMED: &'static [(&'static str, Self)] = &[
        ("parent", Self::PARENT),
        ("negative_duration", Self::NEGATIVE_DURATION),
        ("clock_skew", Self::CLOCK_SKEW),
        ("no_timestamp", Self::NO_TIMESTAMP),
        ("truncated", Self::TRUNCATED),
        ("duplicate_key", Self::DUPLICATE_KEY),
        ("link_ids", Self::LINK_IDS),
        ("log_ids", Self::LOG_IDS),
        ("count_mismatch", Self::COUNT_MISMATCH),
        ("nesting", Self::NESTING),
        ("invalid_utf8", Self::INVALID_UTF8),
        ("redacted", Self::REDACTED),
    ];

    /// The stored form.
    pub const fn bits(self) -> i32 {
        self.0 as i32
    }

    /// From the stored form; unknown bits are kept.
    pub const fn from_bits(bits: i32) -> Self {
        Self(bits as u32)
    }

    /// True when every repair of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// True when nothing was mended.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Names of the repairs in this set, in bit order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMED.iter().filter(move |(_, bit)| self.contains(*bit)).map(|(name, _)| *name)
    }
}

impl BitOr for Repairs {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Repairs {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}
