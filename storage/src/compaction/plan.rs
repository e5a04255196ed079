//! Which segments to merge next. Looks at what the table log knows; does nothing.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use model::UnixNanos;
use object_store::path::Path;

use crate::snapshot::SegmentMeta;

/// The highest level.
pub(crate) const LEVEL_MAX: u8 = 2;

/// When a merge is worth its work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Policy {
    /// A segment of so many bytes is full: it is never an input again, except to erase rows.
    pub full_bytes: u64,
    /// A segment of so many rows is full.
    pub full_rows: u64,
    /// Inputs of one merge: what its memory allows.
    pub inputs_max: usize,
    /// So many segments of one level are merged however small they are.
    pub many: usize,
    /// So many segments of one level are merged when the oldest has waited for `wait_nanos`.
    pub some: usize,
    /// How long small segments wait for others.
    pub wait_nanos: i64,
    /// A day is settled so long after its end: whatever small segments it has are merged.
    pub settled_nanos: i64,
}

impl Default for Policy {
    fn default() -> Self {
        const MINUTE: i64 = 60 * UnixNanos::SECOND;
        Self {
            full_bytes: 128 << 20,
            full_rows: 4_000_000,
            inputs_max: 16,
            many: 16,
            some: 4,
            wait_nanos: 10 * MINUTE,
            settled_nanos: 120 * MINUTE,
        }
    }
}

/// Segments of one day that become one (or several, when there are many rows).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Merge {
    /// UTC day, in days since 1970.
    pub day: i32,
    /// Level of the outputs.
    pub level: u8,
    /// At least two, in the order in which they were made.
    pub inputs: Vec<Arc<SegmentMeta>>,
    /// Segments that wait for this merge or the ones after it: the inputs, and those like them that one merge does not take.
    pub n_waiting: usize,
}

impl Merge {
    pub(crate) fn bytes(&self) -> u64 {
        self.inputs.iter().map(|input| input.size_bytes).sum()
    }
}

/// Every merge that is due, the one for which the most segments wait first; a segment is in at most one. `skip` holds segments that
/// must not be inputs (damaged ones).
///
/// - Per level of a day: merged when together they make a full segment, when they are `many`, or when `some` of them
///   have waited; outputs are one level higher.
/// - A settled day: all that are not full, the smallest that fit together first, as long as the next is not more than twice
///   what was gathered: a row is copied a number of times that grows with the logarithm of its day's size only.
/// - Cost: O(n log n) for n segments.
pub(crate) fn plan(segments: &[Arc<SegmentMeta>], now: UnixNanos, policy: &Policy, skip: &HashSet<Path>) -> Vec<Merge> {
    let mut days: BTreeMap<i32, Vec<Arc<SegmentMeta>>> = BTreeMap::new();
    let is_open = |segment: &&Arc<SegmentMeta>| {
        segment.size_bytes < policy.full_bytes && segment.n_rows < policy.full_rows && !skip.contains(&segment.path)
    };
    for segment in segments.iter().filter(is_open) {
        days.entry(segment.day).or_default().push(Arc::clone(segment));
    }
    let mut due: Vec<Merge> = days.into_iter().filter_map(|(day, open)| plan_day(day, open, now, policy)).collect();
    due.sort_by_key(|merge| std::cmp::Reverse((merge.n_waiting, merge.day)));
    due
}

fn plan_day(day: i32, mut open: Vec<Arc<SegmentMeta>>, now: UnixNanos, policy: &Policy) -> Option<Merge> {
    open.sort_by(|a, b| (a.created, &a.path).cmp(&(b.created, &b.path)));
    for level in 0..=LEVEL_MAX {
        let same: Vec<_> = open.iter().filter(|segment| segment.level == level).cloned().collect();
        let Some(oldest) = same.first() else { continue };
        let total: u64 = same.iter().map(|segment| segment.size_bytes).sum();
        let has_waited = oldest.created.0.saturating_add(policy.wait_nanos) <= now.0;
        let is_due = (total >= policy.full_bytes && same.len() >= policy.some)
            || same.len() >= policy.many
            || (same.len() >= policy.some && level == 0 && has_waited);
        if is_due {
            return merge(day, (level + 1).min(LEVEL_MAX), same, policy);
        }
    }
    let end = (i64::from(day) + 1).saturating_mul(UnixNanos::DAY);
    let is_settled = end.saturating_add(policy.settled_nanos) <= now.0;
    let is_quiet = open.last().is_none_or(|newest| newest.created.0.saturating_add(policy.wait_nanos) <= now.0);
    if !is_settled || !is_quiet {
        return None;
    }
    open.sort_by(|a, b| (a.size_bytes, &a.path).cmp(&(b.size_bytes, &b.path)));
    // A tiny one that fits nothing must not keep the larger ones apart.
    let fits = |pair: &[Arc<SegmentMeta>]| pair[1].size_bytes <= pair[0].size_bytes.saturating_mul(2);
    let first = open.windows(2).position(fits)?;
    open.drain(..first);
    let mut gathered = 0u64;
    let n = open.iter().take_while(|segment| {
        let fits = gathered == 0 || segment.size_bytes <= gathered.saturating_mul(2);
        gathered += segment.size_bytes;
        fits
    });
    let n = n.count();
    open.truncate(n);
    merge(day, LEVEL_MAX, open, policy)
}

/// As many as one merge takes; `None` when that is less than two.
fn merge(day: i32, level: u8, mut inputs: Vec<Arc<SegmentMeta>>, policy: &Policy) -> Option<Merge> {
    let n_waiting = inputs.len();
    let mut gathered = 0u64;
    let n = inputs.iter().take(policy.inputs_max).take_while(|segment| {
        let fits = gathered < policy.full_bytes.saturating_mul(2);
        gathered += segment.size_bytes;
        fits
    });
    let n = n.count();
    inputs.truncate(n);
    inputs.sort_by(|a, b| (a.created, &a.path).cmp(&(b.created, &b.path)));
    (inputs.len() >= 2).then_some(Merge { day, level, inputs, n_waiting })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::TimeRange;
    use proptest::prelude::*;

    const TODAY: i32 = 20_777;
    const NOON: i64 = TODAY as i64 * UnixNanos::DAY + UnixNanos::DAY / 2;
    const MINUTE: i64 = 60 * UnixNanos::SECOND;

    /// A segment of so many MiB, made some minutes before noon.
    fn segment(name: &str, day: i32, level: u8, mib: u64, minutes_old: i64) -> Arc<SegmentMeta> {
        Arc::new(SegmentMeta {
            path: Path::from(name),
            size_bytes: mib << 20,
            n_rows: mib * 16_000,
            day,
            level,
            created: UnixNanos(NOON - minutes_old * MINUTE),
            crc32c: None,
            time_range: TimeRange::ALL,
            service_range: None,
        })
    }

    fn names(segments: &[Arc<SegmentMeta>], now: i64) -> Vec<(u8, Vec<String>)> {
        let merges = plan(segments, UnixNanos(now), &Policy::default(), &HashSet::new());
        let name = |input: &Arc<SegmentMeta>| input.path.to_string();
        merges.iter().map(|merge| (merge.level, merge.inputs.iter().map(name).collect())).collect()
    }

    #[test]
    fn few_fresh_segments_wait() {
        let fresh = [segment("a", TODAY, 0, 8, 3), segment("b", TODAY, 0, 8, 2), segment("c", TODAY, 0, 8, 1)];
        assert_eq!(names(&fresh, NOON), []);
        // A day later they are what their day has.
        assert_eq!(names(&fresh, NOON + UnixNanos::DAY), [(2, vec!["a".into(), "b".into(), "c".into()])]);
    }

    #[test]
    fn what_makes_a_full_segment_is_merged_at_once() {
        let fresh: Vec<_> = (0..9).map(|n| segment(&n.to_string(), TODAY, 0, 16, 9 - n)).collect();
        let merges = names(&fresh, NOON);
        assert_eq!(merges.len(), 1);
        assert_eq!((merges[0].0, merges[0].1.len()), (1, 9));
    }

    #[test]
    fn some_that_waited_are_merged() {
        let fresh: Vec<_> = (0..4).map(|n| segment(&n.to_string(), TODAY, 0, 1, 11 - n)).collect();
        assert_eq!(names(&fresh, NOON).len(), 1);
        assert_eq!(names(&fresh[1..], NOON), []);
    }

    #[test]
    fn full_segments_and_large_ones_of_old_days_rest() {
        let old = TODAY - 3;
        let segments = [segment("full", old, 2, 200, 4000), segment("large", old, 2, 100, 4000)];
        assert_eq!(names(&segments, NOON), []);
        let late = [segments.as_slice(), &[segment("late", old, 0, 1, 100)]].concat();
        assert_eq!(names(&late, NOON), [], "one late segment does not move a large one");
        let later = [late.as_slice(), &[segment("later", old, 0, 1, 90)]].concat();
        assert_eq!(names(&later, NOON), [(2, vec!["late".into(), "later".into()])]);
    }

    /// One late span's segment once kept a whole day in pieces.
    #[test]
    fn a_tiny_segment_does_not_keep_others_apart() {
        let old = TODAY - 3;
        let day: Vec<_> = (0..5).map(|n| segment(&n.to_string(), old, 1, 20, 4000 - n)).collect();
        let all = [day.as_slice(), &[segment("tiny", old, 0, 1, 100)]].concat();
        assert_eq!(names(&all, NOON), [(2, (0..5).map(|n| n.to_string()).collect())]);
    }

    /// With little memory every merge takes 4: where 40 wait comes before where 16 do, whatever the day, and all count.
    #[test]
    fn where_more_wait_comes_first() {
        let policy = Policy { inputs_max: 4, ..Policy::default() };
        let day = |day: i32, n: i64| (0..n).map(move |n| segment(&format!("{day}-{n}"), day, 0, 1, 60 - n));
        let segments: Vec<_> = day(TODAY, 16).chain(day(TODAY - 1, 40)).collect();
        let merges = plan(&segments, UnixNanos(NOON), &policy, &HashSet::new());
        let facts: Vec<_> = merges.iter().map(|merge| (merge.day, merge.inputs.len(), merge.n_waiting)).collect();
        assert_eq!(facts, [(TODAY - 1, 4, 40), (TODAY, 4, 16)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

        /// Whatever is there: no segment is in two merges, none comes from another day or is full, outputs are
        /// higher, and doing what is planned ends.
        #[test]
        fn plans_are_sound_and_come_to_rest(
            facts in proptest::collection::vec((0i32..3, 0u8..3, 0u64..160, 0i64..3000), 0..80),
        ) {
            let policy = Policy::default();
            let now = UnixNanos(NOON + 2 * UnixNanos::DAY);
            let mut segments: Vec<_> = facts
                .iter()
                .enumerate()
                .map(|(n, (day, level, mib, age))| segment(&n.to_string(), TODAY - day, *level, *mib, *age))
                .collect();
            let mut n_steps = 0;
            loop {
                let merges = plan(&segments, now, &policy, &HashSet::new());
                let mut seen = HashSet::new();
                for merge in &merges {
                    prop_assert!(merge.inputs.len() >= 2 && merge.inputs.len() <= policy.inputs_max);
                    prop_assert!(merge.inputs.len() <= merge.n_waiting);
                    for input in &merge.inputs {
                        prop_assert!(seen.insert(input.path.clone()), "twice: {}", input.path);
                        prop_assert!(input.day == merge.day && input.size_bytes < policy.full_bytes);
                        prop_assert!(input.level < merge.level || merge.level == LEVEL_MAX);
                    }
                }
                let Some(merge) = merges.into_iter().next() else { break };
                segments.retain(|segment| !merge.inputs.contains(segment));
                n_steps += 1;
                let mut output = SegmentMeta::clone(&segment(&format!("out-{n_steps}"), merge.day, merge.level, 0, 100));
                output.size_bytes = merge.bytes();
                output.n_rows = merge.inputs.iter().map(|input| input.n_rows).sum();
                segments.push(Arc::new(output));
                prop_assert!(n_steps <= facts.len(), "a merge makes segments fewer");
            }
        }

        /// What must be left alone is.
        #[test]
        fn skipped_segments_are_no_inputs(n in 2usize..40, skipped in 0usize..40) {
            let segments: Vec<_> = (0..n).map(|n| segment(&n.to_string(), TODAY, 0, 1, 60)).collect();
            let skip = HashSet::from([Path::from(skipped.to_string())]);
            for merge in plan(&segments, UnixNanos(NOON), &Policy::default(), &skip) {
                prop_assert!(merge.inputs.iter().all(|input| !skip.contains(&input.path)));
            }
        }
    }
}
