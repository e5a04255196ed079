//! The spans of one journey with family relations and corrected times of their own.
//!
//! Positions in a scene are called `Place`, to keep them apart from the positions in the whole set.

use hashbrown::{HashMap, HashSet};
use model::{SpanId, SpanKind, TraceId};

use crate::analysis::Analysis;
use crate::analysis::classify::Role;
use crate::analysis::graph::{Children, Known, SpanIndex};
use crate::analysis::thresholds::Bounds;

use super::members::Members;
use super::{Cut, CutReason};

/// Position of a span in a [`Scene`].
pub type Place = usize;

/// The spans of one journey.
#[derive(Clone, Debug)]
pub struct Scene {
    /// Positions in the whole set, ascending.
    pub spans: Vec<SpanIndex>,
    /// Parent inside the scene; an orphan whose parent was local hangs under the span that encloses it.
    pub parent: Vec<Option<Place>>,
    /// `parent` was found by times, not by id.
    pub is_adopted: Vec<bool>,
    /// Start, shifted, nanoseconds.
    pub start: Vec<i64>,
    /// End, shifted, never before `start`.
    pub end: Vec<i64>,
    /// What was added to the sender's times.
    pub shift: Vec<i64>,
    /// Every place after its parent.
    pub top_down: Vec<Place>,
    /// The first span of the origin without a parent, else its first orphan.
    pub root: Place,
    children: Children,
}

/// Consumer spans left out of a member, or only partly ours.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Foreign {
    /// All their messages belong to other journeys.
    pub(crate) excluded: Vec<SpanIndex>,
    /// Some do: span, messages of ours, all messages.
    pub(crate) shared: Vec<(SpanIndex, usize, usize)>,
}

impl Scene {
    /// Picks the spans of the members; cut at the bounds, earliest first.
    pub(crate) fn new(analysis: &Analysis, members: &Members, bounds: &Bounds) -> (Self, Foreign, Vec<Cut>) {
        let graph = &analysis.graph;
        let foreign = foreign(analysis, members);
        let mut is_out: HashSet<SpanIndex> = foreign.excluded.iter().copied().collect();
        let (mut spans, mut n_beyond, mut cuts) = (Vec::new(), 0, Vec::new());
        for member in &members.list {
            for at in graph.trace(member.trace) {
                if is_beyond_fanout(analysis, at, bounds) && is_out.insert(at) {
                    n_beyond += 1;
                }
            }
        }
        let mut pending: Vec<SpanIndex> = is_out.iter().copied().collect();
        while let Some(at) = pending.pop() {
            pending.extend(graph.children(at).iter().filter(|child| is_out.insert(**child)));
        }
        let mut n_left = 0;
        for at in members.list.iter().flat_map(|member| graph.trace(member.trace)) {
            if is_out.contains(&at) {
                continue;
            }
            if spans.len() < bounds.spans_max { spans.push(at) } else { n_left += 1 }
        }
        for (reason, left_out) in [(CutReason::Deliveries, n_beyond), (CutReason::Spans, n_left)] {
            if left_out > 0 {
                cuts.push(Cut { reason, left_out });
            }
        }
        spans.sort_unstable();
        (Self::relate(analysis, spans, members.list[0].trace), foreign, cuts)
    }

    fn relate(analysis: &Analysis, spans: Vec<SpanIndex>, origin: TraceId) -> Self {
        let graph = &analysis.graph;
        let place = |at: SpanIndex| spans.binary_search(&at).ok();
        let mut parent: Vec<_> = spans.iter().map(|at| graph.parent[*at].and_then(place)).collect();
        let is_adopted = adopt(analysis, &spans, &mut parent);
        let children = Children::of(&parent);
        let mut top_down: Vec<Place> = (0..spans.len()).filter(|at| parent[*at].is_none()).collect();
        let mut next = 0;
        while let Some(&at) = top_down.get(next) {
            top_down.extend_from_slice(children.get(at));
            next += 1;
        }
        let rank = |at: &Place| {
            let known = &graph.spans[spans[*at]];
            (known.span.parent_span_id.is_some(), known.start(), known.span.span_id)
        };
        let of_origin = |at: &Place| parent[*at].is_none() && graph.trace_of(spans[*at]) == origin;
        let root = (0..spans.len()).filter(of_origin).min_by_key(rank).unwrap_or(0);
        let start: Vec<_> = spans.iter().map(|at| graph.spans[*at].start()).collect();
        let end = spans.iter().map(|at| graph.spans[*at].end()).collect();
        let shift = vec![0; spans.len()];
        Self { spans, parent, is_adopted, start, end, shift, top_down, root, children }
    }

    /// Number of spans.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// True for a scene without spans.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The span at a place.
    pub fn known<'a>(&self, analysis: &'a Analysis, at: Place) -> &'a Known {
        &analysis.graph.spans[self.spans[at]]
    }

    /// Where a span of the set stands here.
    pub fn place(&self, span: SpanIndex) -> Option<Place> {
        self.spans.binary_search(&span).ok()
    }

    /// Children, adopted ones included.
    pub fn children(&self, of: Place) -> &[Place] {
        self.children.get(of)
    }

    /// Shifted nanoseconds from start to end.
    pub fn duration(&self, at: Place) -> i64 {
        self.end[at] - self.start[at]
    }

    /// Adds the shift of each span's process to its times.
    pub(crate) fn apply(&mut self, shifts: Vec<i64>) {
        for (at, shift) in shifts.iter().enumerate() {
            self.start[at] = self.start[at].saturating_add(*shift);
            self.end[at] = self.end[at].saturating_add(*shift);
        }
        self.shift = shifts;
    }
}

/// Deliveries in joined members whose messages come (partly) from outside.
fn foreign(analysis: &Analysis, members: &Members) -> Foreign {
    let inside: HashMap<TraceId, usize> = members.list.iter().map(|member| (member.trace, member.depth)).collect();
    let mut foreign = Foreign::default();
    for member in members.list.iter().filter(|member| member.depth > 0) {
        for at in analysis.graph.trace(member.trace) {
            let Some(&delivery) = analysis.messages.delivery_of.get(&at) else { continue };
            let hops = analysis.messages.hops_into(delivery);
            let ours = hops.iter().filter(|hop| inside.contains_key(&hop.context.0)).count();
            match (ours, hops.len()) {
                (_, 0) => {}
                (0, _) => foreign.excluded.push(at),
                (ours, total) if ours < total => foreign.shared.push((at, ours, total)),
                _ => {}
            }
        }
    }
    foreign
}

/// A delivery of a message that was delivered more often than anybody can look at.
fn is_beyond_fanout(analysis: &Analysis, at: SpanIndex, bounds: &Bounds) -> bool {
    let Some(&delivery) = analysis.messages.delivery_of.get(&at) else { return false };
    let first = analysis.messages.hops.partition_point(|hop| hop.delivery < delivery);
    let after = analysis.messages.hops.partition_point(|hop| hop.delivery <= delivery);
    first < after && (first..after).all(|hop| analysis.hop_rank[hop] >= bounds.deliveries_per_send_max)
}

/// Hangs orphans whose parent was in the same process under the smallest span of that process that
/// encloses them. Returns who was adopted.
///
/// Cost: O(n log n): one sweep over starts with a minimum over ends per process.
fn adopt(analysis: &Analysis, spans: &[SpanIndex], parent: &mut [Option<Place>]) -> Vec<bool> {
    let graph = &analysis.graph;
    let mut is_adopted = vec![false; spans.len()];
    let is_local_orphan = |at: Place| {
        let known = &graph.spans[spans[at]];
        let is_remote_by_kind =
            known.span.kind == SpanKind::Server || known.class.role == Role::Consumer || known.is_mesh();
        known.span.parent_span_id.is_some()
            && graph.is_orphan[spans[at]]
            && !known.span.parent_is_remote().unwrap_or(is_remote_by_kind)
    };
    let orphans: Vec<Place> = (0..spans.len()).filter(|at| parent[*at].is_none() && is_local_orphan(*at)).collect();
    if orphans.is_empty() {
        return is_adopted;
    }
    let mut processes: HashMap<(TraceId, &str), Vec<Place>> = HashMap::new();
    for (at, span) in spans.iter().enumerate() {
        let known = &graph.spans[*span];
        processes.entry((known.span.trace_id, &known.process)).or_default().push(at);
    }
    let mut trees = Trees::new(parent);
    let mut done: HashSet<(TraceId, &str)> = HashSet::new();
    for &orphan in &orphans {
        let known = &graph.spans[spans[orphan]];
        let process = (known.span.trace_id, &*known.process);
        if !done.insert(process) {
            continue;
        }
        let Some(here) = processes.get(&process) else { continue };
        for (child, found) in smallest_enclosing(analysis, spans, here) {
            if parent[child].is_none() && is_local_orphan(child) && trees.unite(child, found) {
                is_adopted[child] = true;
                parent[child] = Some(found);
            }
        }
    }
    is_adopted
}

/// For each span of one process the smallest other span that encloses it.
fn smallest_enclosing(analysis: &Analysis, spans: &[SpanIndex], here: &[Place]) -> Vec<(Place, Place)> {
    let times = |at: Place| {
        let known = &analysis.graph.spans[spans[at]];
        (known.start(), known.end(), known.span.span_id)
    };
    let mut by_start = here.to_vec();
    // A longer span that starts together with a shorter one comes first: it may enclose it.
    by_start.sort_by_key(|at| {
        let (start, end, id) = times(*at);
        (start, std::cmp::Reverse(end), id)
    });
    let mut ends: Vec<i64> = here.iter().map(|at| times(*at).1).collect();
    ends.sort_unstable();
    ends.dedup();
    let mut shortest = SuffixMinimum::new(ends.len());
    let mut found = Vec::new();
    for at in by_start {
        let (start, end, id) = times(at);
        let rank = ends.partition_point(|one| *one < end);
        if let Some((_, _, around)) = shortest.from(rank) {
            found.push((at, around));
        }
        shortest.add(rank, (end - start, id, at));
    }
    found
}

/// Least value at or after a rank (a Fenwick tree turned around).
struct SuffixMinimum(Vec<Option<(i64, SpanId, Place)>>);

impl SuffixMinimum {
    fn new(n: usize) -> Self {
        Self(vec![None; n + 1])
    }

    fn add(&mut self, rank: usize, value: (i64, SpanId, Place)) {
        let mut at = self.0.len() - 1 - rank;
        while at < self.0.len() {
            if self.0[at].is_none_or(|best| value < best) {
                self.0[at] = Some(value);
            }
            at += at & at.wrapping_neg();
        }
    }

    fn from(&self, rank: usize) -> Option<(i64, SpanId, Place)> {
        let mut at = self.0.len() - 1 - rank;
        let mut best = None;
        while at > 0 {
            best = [best, self.0[at]].into_iter().flatten().min();
            at -= at & at.wrapping_neg();
        }
        best
    }
}

/// Which spans already hang together, so that adoption never closes a circle.
struct Trees(Vec<Place>);

impl Trees {
    fn new(parent: &[Option<Place>]) -> Self {
        Self(parent.iter().enumerate().map(|(at, parent)| parent.unwrap_or(at)).collect())
    }

    fn root(&mut self, mut at: Place) -> Place {
        while self.0[at] != at {
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    /// Hangs `child`, the top of its tree, under `parent`; false when they are one tree already.
    fn unite(&mut self, child: Place, parent: Place) -> bool {
        let (top, other) = (self.root(child), self.root(parent));
        if top == other {
            return false;
        }
        self.0[top] = other;
        true
    }
}
