//! Sums per edge, operation and minute that add up and can be taken away again: pure.
//!
//! What a trace adds is kept with it as text. When late spans change it, the old sums are taken away and the new
//! ones added; nothing else has to be read. Readers add the parts of a minute in any order.

use std::collections::BTreeMap;

use model::{TraceId, UnixNanos};
use serde::{Deserialize, Serialize};

use crate::analysis::map::{Minute, MinuteKey};
use crate::analysis::statistics::Sketch;

/// Nanoseconds of a minute.
pub(crate) const MINUTE: i64 = 60 * UnixNanos::SECOND;

/// One edge and operation in one minute and environment, as text all through: what stands at rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct SumKey {
    /// Minutes since 1970.
    pub(crate) minute: i64,
    pub(crate) src: String,
    pub(crate) dst: String,
    pub(crate) protocol: String,
    pub(crate) system: String,
    pub(crate) op: String,
    /// Empty when nobody says, and in sums from before it was kept.
    #[serde(default)]
    pub(crate) environment: String,
}

impl From<&MinuteKey> for SumKey {
    fn from(key: &MinuteKey) -> Self {
        Self {
            minute: key.minute,
            src: key.edge.source.as_str().to_owned(),
            dst: key.edge.target.as_str().to_owned(),
            protocol: key.edge.protocol.as_str().to_owned(),
            system: key.edge.system.clone(),
            op: key.op.to_string(),
            environment: key.environment.to_string(),
        }
    }
}

/// Counts by bucket of a [`Sketch`]; negative ones take away.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counts(pub(crate) BTreeMap<i32, i64>);

impl Counts {
    fn of(sketch: &Sketch) -> Self {
        Self(sketch.buckets().map(|(bucket, count)| (bucket, signed(count))).collect())
    }

    fn add(&mut self, other: &Self, sign: i64) {
        for (bucket, count) in &other.0 {
            self.add_one(*bucket, sign * count);
        }
    }

    /// Adds to one bucket; empty buckets do not stay.
    pub(crate) fn add_one(&mut self, bucket: i32, count: i64) {
        let entry = self.0.entry(bucket).or_default();
        *entry += count;
        if *entry == 0 {
            self.0.remove(&bucket);
        }
    }

    /// As percentiles are asked of; buckets that are below zero because their other part is not there yet are empty.
    pub(crate) fn sketch(&self) -> Sketch {
        Sketch::from_buckets(self.0.iter().map(|(bucket, count)| (*bucket, u64::try_from(*count).unwrap_or_default())))
    }
}

/// A value and the journey it was seen in.
pub(crate) type Exemplar = (i64, TraceId);

/// What went over an edge; every number may be negative in a part that corrects another.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sums {
    pub(crate) count: i64,
    pub(crate) errors: i64,
    pub(crate) faults: i64,
    pub(crate) request_bytes: i64,
    pub(crate) response_bytes: i64,
    pub(crate) durations: Counts,
    pub(crate) networks: Counts,
    pub(crate) lags: Counts,
    /// Earliest start; `None` in a correction.
    pub(crate) first_seen: Option<i64>,
    /// Latest start.
    pub(crate) last_seen: Option<i64>,
    /// Nanoseconds and journey of the slowest. A correction does not take it away.
    pub(crate) slowest: Option<Exemplar>,
    /// Start and journey of the first that failed. A correction does not take it away.
    pub(crate) failed: Option<Exemplar>,
}

impl From<&Minute> for Sums {
    fn from(minute: &Minute) -> Self {
        Self {
            count: signed(minute.count),
            errors: signed(minute.errors),
            faults: signed(minute.faults),
            request_bytes: signed(minute.request_bytes),
            response_bytes: signed(minute.response_bytes),
            durations: Counts::of(&minute.durations),
            networks: Counts::of(&minute.network),
            lags: Counts::of(&minute.lags),
            first_seen: minute.first_seen,
            last_seen: minute.last_seen,
            slowest: minute.slowest,
            failed: minute.failed,
        }
    }
}

impl Sums {
    /// Adds another part.
    pub(crate) fn add(&mut self, other: &Self) {
        self.change(other, 1);
        self.first_seen = [self.first_seen, other.first_seen].into_iter().flatten().min();
        self.last_seen = self.last_seen.max(other.last_seen);
        self.slowest = self.slowest.max(other.slowest);
        self.failed = [self.failed, other.failed].into_iter().flatten().min();
    }

    fn change(&mut self, other: &Self, sign: i64) {
        self.count += sign * other.count;
        self.errors += sign * other.errors;
        self.faults += sign * other.faults;
        self.request_bytes += sign * other.request_bytes;
        self.response_bytes += sign * other.response_bytes;
        self.durations.add(&other.durations, sign);
        self.networks.add(&other.networks, sign);
        self.lags.add(&other.lags, sign);
    }

    /// Nothing is left to count.
    pub(crate) fn is_nothing(&self) -> bool {
        let counts = [self.count, self.errors, self.faults, self.request_bytes, self.response_bytes];
        counts.iter().all(|n| *n == 0) && [&self.durations, &self.networks, &self.lags].iter().all(|c| c.0.is_empty())
    }
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Parts by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Parts(pub(crate) BTreeMap<SumKey, Sums>);

impl Parts {
    /// What a trace adds.
    pub(crate) fn of(minutes: &BTreeMap<MinuteKey, Minute>) -> Self {
        Self(minutes.iter().map(|(key, minute)| (SumKey::from(key), Sums::from(minute))).collect())
    }

    /// Adds everything of another.
    pub(crate) fn add(&mut self, other: &Self) {
        for (key, sums) in &other.0 {
            self.add_sums(key, sums);
        }
    }

    /// Adds to one key.
    pub(crate) fn add_sums(&mut self, key: &SumKey, sums: &Sums) {
        match self.0.get_mut(key) {
            Some(known) => known.add(sums),
            None => {
                self.0.insert(key.clone(), sums.clone());
            }
        }
    }

    /// Takes away what a trace added before.
    pub(crate) fn take_away(&mut self, other: &Self) {
        for (key, sums) in &other.0 {
            self.0.entry(key.clone()).or_default().change(sums, -1);
        }
    }

    /// Without keys that add nothing: a correction that changed nothing of an edge leaves no row.
    pub(crate) fn without_nothing(mut self) -> Self {
        self.0.retain(|_, sums| !sums.is_nothing());
        self
    }

    /// As text, to be taken away later: exemplars and moments are left out.
    pub(crate) fn to_text(&self) -> String {
        let rows: Vec<_> = self
            .0
            .iter()
            .map(|(key, s)| {
                let numbers = [s.count, s.errors, s.faults, s.request_bytes, s.response_bytes];
                (key, numbers, &s.durations, &s.networks, &s.lags)
            })
            .collect();
        serde_json::to_string(&rows).unwrap_or_default()
    }

    /// Reads [`Self::to_text`]; `None` when it is something else.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let rows: Vec<(SumKey, [i64; 5], Counts, Counts, Counts)> = serde_json::from_str(text).ok()?;
        let part = |row: (SumKey, [i64; 5], Counts, Counts, Counts)| {
            let (key, [count, errors, faults, request_bytes, response_bytes], durations, networks, lags) = row;
            let sums = Sums {
                count,
                errors,
                faults,
                request_bytes,
                response_bytes,
                durations,
                networks,
                lags,
                ..Sums::default()
            };
            (key, sums)
        };
        Some(Self(rows.into_iter().map(part).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(minute: i64, dst: usize) -> SumKey {
        let text = |text: &str| text.to_owned();
        let dst = format!("service:{dst}");
        SumKey {
            minute,
            src: text("client"),
            dst,
            protocol: text("http"),
            system: text("http"),
            op: text("GET /"),
            ..SumKey::default()
        }
    }

    fn parts(values: &[(i64, usize, i64, bool)]) -> Parts {
        let mut parts = Parts::default();
        for (minute, dst, nanos, is_error) in values {
            let mut sketch = Sketch::default();
            sketch.add(*nanos);
            let sums = Sums {
                count: 1,
                errors: i64::from(*is_error),
                durations: Counts::of(&sketch),
                first_seen: Some(minute * MINUTE),
                ..Sums::default()
            };
            parts.add_sums(&key(*minute, *dst), &sums);
        }
        parts
    }

    /// Without what a correction cannot take away.
    fn counted(parts: &Parts) -> Parts {
        let plain =
            |sums: &Sums| Sums { first_seen: None, last_seen: None, slowest: None, failed: None, ..sums.clone() };
        Parts(parts.0.iter().map(|(key, sums)| (key.clone(), plain(sums))).collect()).without_nothing()
    }

    proptest! {
        /// Adding new sums and taking the old ones away, through their text, is counting the new ones only.
        #[test]
        fn a_correction_leaves_what_is_true(
            old in prop::collection::vec((0_i64..3, 0_usize..3, -5_i64..1_000_000, any::<bool>()), 0..20),
            new in prop::collection::vec((0_i64..3, 0_usize..3, -5_i64..1_000_000, any::<bool>()), 0..20),
            other in prop::collection::vec((0_i64..3, 0_usize..3, -5_i64..1_000_000, any::<bool>()), 0..20),
        ) {
            let mut correction = parts(&new);
            correction.take_away(&Parts::from_text(&parts(&old).to_text()).expect("our own text"));
            let mut at_rest = parts(&old);
            at_rest.add(&parts(&other));
            at_rest.add(&correction.without_nothing());
            let mut expected = parts(&new);
            expected.add(&parts(&other));
            prop_assert_eq!(counted(&at_rest), counted(&expected));
        }
    }
}
