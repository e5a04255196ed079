//! Clock skew: how far each process's clock has to be shifted so that causes come before effects.
//!
//! ```text
//! client   |--------------------|              0 .. 100      parent
//! server                  |-------|          160 .. 240      child, its clock is ahead
//!          allowed offsets: -160 ..= -140, so -150:  10 .. 90
//! ```
//!
//! Stored times are never changed; a journey shows the shift beside them.
//!
//! For each pair of processes in parent-child relation every pair of spans allows an interval of offsets:
//! `[P.start - C.start, P.end - C.end]` when the child is not longer than its parent, else (and when the
//! parent did not wait) only the lower bound. The intervals are intersected. Zero inside: no shift. Else
//! the middle; only a lower bound: that; empty: the median of the middles, and the pair is inconsistent.
//! Offsets spread breadth first from the main root's process, then from those of other roots.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::Analysis;
use super::classify::Role;
use super::journey::{Place, Scene};
use super::statistics::nearest_rank;

/// What was found out about the clocks of a journey.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Skew {
    /// Nanoseconds to add to each span's times, by place.
    pub shifts: Vec<i64>,
    /// Processes with a shift, in order of their text, with the shift.
    pub processes: BTreeMap<String, i64>,
    /// For people: inconsistent pairs, shifts not believed.
    pub warnings: Vec<String>,
}

/// Offsets one pair of spans allows: from, and to if there is an upper bound.
type Interval = (i64, Option<i64>);

/// Finds the shift of every process of a scene. Shifts beyond `shift_max_nanos` are dropped.
///
/// Cost: O(n log n).
pub fn skew(analysis: &Analysis, scene: &Scene, shift_max_nanos: i64) -> Skew {
    let mut number: HashMap<&str, usize> = HashMap::new();
    let mut names: Vec<&str> = Vec::new();
    let process: Vec<usize> = (0..scene.len())
        .map(|at| {
            let name = &*scene.known(analysis, at).process;
            *number.entry(name).or_insert_with(|| {
                names.push(name);
                names.len() - 1
            })
        })
        .collect();
    let mut pairs: BTreeMap<(usize, usize), Vec<Interval>> = BTreeMap::new();
    for (child, parent) in scene.parent.iter().enumerate() {
        if let Some(parent) = parent.filter(|parent| process[*parent] != process[child]) {
            pairs.entry((process[parent], process[child])).or_default().push(allowed(analysis, scene, parent, child));
        }
    }
    let mut warnings = Vec::new();
    let offsets = spread(scene, &process, names.len(), &pairs, |parent, child| {
        warnings.push(format!("clocks of {} and {} contradict each other", names[parent], names[child]));
    });
    let believed = |number: usize| offsets[number].filter(|offset| offset.abs() <= shift_max_nanos).unwrap_or(0);
    let processes: BTreeMap<String, i64> = (0..names.len())
        .map(|number| (names[number].to_owned(), believed(number)))
        .filter(|(_, shift)| *shift != 0)
        .collect();
    for (name, offset) in names.iter().zip(&offsets) {
        if offset.is_some_and(|offset| offset.abs() > shift_max_nanos) {
            warnings.push(format!("the clock of {name} is too far off to be corrected"));
        }
    }
    warnings.sort();
    Skew { shifts: process.iter().map(|number| believed(*number)).collect(), processes, warnings }
}

fn allowed(analysis: &Analysis, scene: &Scene, parent: Place, child: Place) -> Interval {
    let is_async =
        scene.known(analysis, parent).is_producer() || scene.known(analysis, child).class.role == Role::Consumer;
    let from = scene.start[parent].saturating_sub(scene.start[child]);
    let fits = scene.duration(child) <= scene.duration(parent) && !is_async;
    (from, fits.then(|| scene.end[parent].saturating_sub(scene.end[child])))
}

/// Breadth first over processes; `None` for those no root reaches.
fn spread(
    scene: &Scene,
    process: &[usize],
    n_processes: usize,
    pairs: &BTreeMap<(usize, usize), Vec<Interval>>,
    mut contradiction: impl FnMut(usize, usize),
) -> Vec<Option<i64>> {
    let mut offsets: Vec<Option<i64>> = vec![None; n_processes];
    let other_roots = scene.top_down.iter().copied().filter(|at| scene.parent[*at].is_none());
    let mut roots: Vec<Place> = other_roots.filter(|at| *at != scene.root).collect();
    roots.sort_by_key(|at| (scene.start[*at], *at));
    for root in [scene.root].into_iter().filter(|root| *root < scene.len()).chain(roots) {
        if offsets[process[root]].is_some() {
            continue;
        }
        offsets[process[root]] = Some(0);
        let mut queue = vec![process[root]];
        let mut next = 0;
        while let Some(&parent) = queue.get(next) {
            next += 1;
            let base = offsets[parent].unwrap_or(0);
            for (&(_, child), intervals) in pairs.range((parent, 0)..(parent + 1, 0)) {
                if offsets[child].is_none() {
                    let (offset, is_consistent) = offset(intervals, base);
                    if !is_consistent {
                        contradiction(parent, child);
                    }
                    offsets[child] = Some(offset);
                    queue.push(child);
                }
            }
        }
    }
    offsets
}

/// The child process's offset when its parent's is `base`, and whether all pairs agree.
fn offset(intervals: &[Interval], base: i64) -> (i64, bool) {
    let from = intervals.iter().map(|(from, _)| *from).max().unwrap_or(0);
    let to = intervals.iter().filter_map(|(_, to)| *to).min();
    let middle = |from: i64, to: i64| from.midpoint(to);
    let holds = |value: i64| from <= value && to.is_none_or(|to| value <= to);
    match to {
        Some(to) if to < from => {
            let mut middles: Vec<i64> =
                intervals.iter().filter_map(|(from, to)| to.map(|to| middle(*from, to))).collect();
            middles.sort_unstable();
            (base.saturating_add(nearest_rank(&middles, 0.5).unwrap_or(0)), false)
        }
        // The clocks of parent and child agree; or the child's agrees with the root's.
        _ if holds(0) => (base, true),
        _ if holds(base.saturating_neg()) => (0, true),
        Some(to) => (base.saturating_add(middle(from, to)), true),
        None => (base.saturating_add(from), true),
    }
}
