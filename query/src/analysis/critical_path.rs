//! Critical paths: which spans held up the answer, and which held up the last effect.
//!
//! ```text
//! A  |----------------------|     0 .. 100     response path:
//! B     |------|                 10 .. 40      A 0-10, B 10-40, C 40-90, A 90-100
//! C            |----------|      40 .. 90
//! ```
//!
//! Walks backwards from the end: the time after the last blocking child to finish belongs to the span
//! itself, then the walk goes on inside that child. A child that provably did not hold up its parent (it
//! ends later than the parent, by more than 1 ms or 1 %) is not on the path: fire and forget.
//!
//! The settled path goes on over queues: from the last span to end anywhere in the journey back to the
//! origin, with the wait in queues, before redelivery and between polls as segments of their own.
//!
//! Law: segments touch, never overlap, and cover the whole interval, so they add up.
//!
//! No recursion: traces a hundred thousand levels deep exist. Cost: O(n log n).
//! Compared to Jaeger UI (last child that ended *strictly* before, server under client never cut) and
//! CRISP (Zhang et al., USENIX ATC 2022; overlap of 1 % allowed): see the specification of journeys.

use model::SpanKind;

use super::Analysis;
use super::classify::Role;
use super::journey::{JourneyHop, Place, Scene};
use super::words::words;

const MS: i64 = 1_000_000;

words! {
    /// Where the time of a segment went.
    SegmentKind {
        Own "self" "The span worked, or waited for something that sends no spans.",
        Network "network" "Between a client span and what it called.",
        Remote "remote" "At a peer that sends no spans.",
        Queue "queue" "A message waited in a broker.",
        Backoff "backoff" "A failed message waited to be delivered again.",
        Gap "gap" "Nobody worked: between polls, or before something started late.",
    }
}

/// A piece of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The span it is attributed to; for waits the one that waited to begin.
    pub span: Place,
    /// Where the time went.
    pub kind: SegmentKind,
    /// Shifted nanoseconds.
    pub start: i64,
    /// Shifted nanoseconds.
    pub end: i64,
}

impl Segment {
    /// Nanoseconds.
    pub fn nanos(&self) -> i64 {
        self.end - self.start
    }
}

/// How far a child may outlive its parent, or overlap its successor, and still count as waited for.
fn tolerance(scene: &Scene, parent: Place) -> i64 {
    MS.min(scene.duration(parent) / 100)
}

/// True when the parent could not end before the child did.
pub fn blocks(analysis: &Analysis, scene: &Scene, child: Place, parent: Place) -> bool {
    let (below, above) = (scene.known(analysis, child), scene.known(analysis, parent));
    if below.class.role == Role::Consumer && above.is_producer() {
        return false;
    }
    let (start, end) = (scene.start[child], scene.end[child]);
    if start >= end || start >= scene.end[parent] || end <= scene.start[parent] {
        return false;
    }
    let gave_up = below.span.kind == SpanKind::Server && above.span.kind == SpanKind::Client;
    gave_up || end <= scene.end[parent].saturating_add(tolerance(scene, parent))
}

/// The path of one span: its own time and that of the children it waited for, by start.
pub fn response_path(analysis: &Analysis, scene: &Scene, root: Place) -> Vec<Segment> {
    let mut walk = Walk { analysis, scene, backwards: Vec::new() };
    walk.path(root, scene.start[root], scene.end[root]);
    walk.finish(i64::MIN)
}

/// Self time: duration minus the union of the intervals of children that are no deliveries.
pub fn self_nanos(analysis: &Analysis, scene: &Scene, span: Place) -> i64 {
    let mut covered = 0;
    let mut until = scene.start[span];
    let mut children: Vec<(i64, i64)> = scene
        .children(span)
        .iter()
        .filter(|child| scene.known(analysis, **child).class.role != Role::Consumer)
        .map(|child| (scene.start[*child].max(scene.start[span]), scene.end[*child].min(scene.end[span])))
        .collect();
    children.sort_unstable();
    for (start, end) in children {
        let from = start.max(until);
        if from < end {
            covered += end - from;
            until = end;
        }
    }
    scene.duration(span) - covered
}

struct Walk<'a> {
    analysis: &'a Analysis,
    scene: &'a Scene,
    /// Latest first.
    backwards: Vec<Segment>,
}

/// One span being walked: what is left of it and of its children.
struct Frame {
    span: Place,
    from: i64,
    until: i64,
    /// Blocking children cut to the interval: latest end last, so that the next one is popped.
    children: Vec<(i64, i64, Place)>,
}

impl Walk<'_> {
    /// Emits the segments of `span` inside `from..until`, latest first.
    fn path(&mut self, span: Place, from: i64, until: i64) {
        if from >= until {
            return;
        }
        let mut stack = vec![self.frame(span, from, until)];
        while let Some(frame) = stack.last_mut() {
            let reach = frame.until.saturating_add(tolerance(self.scene, frame.span));
            let mut chosen = None;
            // What does not fit now never will: `until` only moves towards the start.
            while let Some((start, end, child)) = frame.children.pop() {
                if end <= reach && start < frame.until {
                    chosen = Some((start, end.min(frame.until), child));
                    break;
                }
            }
            let (own, own_kind) = (frame.span, kind_of(self.analysis, self.scene, frame.span));
            match chosen {
                Some((start, end, child)) => {
                    let until = std::mem::replace(&mut frame.until, start);
                    emit(&mut self.backwards, own, own_kind, end, until);
                    let below = self.frame(child, start, end);
                    stack.push(below);
                }
                None => {
                    emit(&mut self.backwards, own, own_kind, frame.from, frame.until);
                    stack.pop();
                }
            }
        }
    }

    fn frame(&self, span: Place, from: i64, until: i64) -> Frame {
        let scene = self.scene;
        let cut = until.min(scene.end[span]);
        let mut children: Vec<(i64, i64, Place)> = scene
            .children(span)
            .iter()
            .filter(|child| blocks(self.analysis, scene, **child, span))
            .map(|child| (scene.start[*child].max(from), scene.end[*child].min(cut), *child))
            .filter(|(start, end, _)| start < end)
            .collect();
        // Popped from the back: latest end, then earliest start, then lowest span id.
        let id = |at: Place| scene.known(self.analysis, at).span.span_id;
        children.sort_by(|a, b| (a.1, b.0, id(b.2)).cmp(&(b.1, a.0, id(a.2))));
        Frame { span, from, until, children }
    }

    /// Segments by start, none before `from`.
    fn finish(mut self, from: i64) -> Vec<Segment> {
        self.backwards.reverse();
        self.backwards.retain_mut(|segment| {
            segment.start = segment.start.max(from);
            segment.start < segment.end
        });
        self.backwards
    }
}

fn emit(out: &mut Vec<Segment>, span: Place, kind: SegmentKind, start: i64, end: i64) {
    if start < end {
        out.push(Segment { span, kind, start, end });
    }
}

fn kind_of(analysis: &Analysis, scene: &Scene, span: Place) -> SegmentKind {
    if !scene.known(analysis, span).is_sync_client() {
        return SegmentKind::Own;
    }
    let is_answer =
        |child: &Place| matches!(scene.known(analysis, *child).span.kind, SpanKind::Server | SpanKind::Client);
    if scene.children(span).iter().any(is_answer) { SegmentKind::Network } else { SegmentKind::Remote }
}

/// Ways that lead across traces: who a span waited for before it could begin.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ways {
    /// Of each place: the one before it and the kind of wait between them; `None` for roots.
    before: Vec<Option<(Place, SegmentKind)>>,
    /// The delivery was polling: nothing of it counts as work.
    is_poll: Vec<bool>,
}

impl Ways {
    /// From parents, hops of the journey and accepted calls of poll roots.
    pub(crate) fn new(scene: &Scene, hops: &[JourneyHop], poll_roots: &[(Place, Place)], is_poll: Vec<bool>) -> Self {
        let mut before: Vec<_> =
            scene.parent.iter().map(|parent| parent.map(|parent| (parent, SegmentKind::Gap))).collect();
        for &(root, accepted) in poll_roots {
            before[root] = Some((accepted, SegmentKind::Gap));
        }
        // A failed delivery outranks a producer; of several the one that ends last.
        let mut best: Vec<Option<(bool, i64, Place)>> = vec![None; scene.len()];
        for hop in hops {
            let consumer = hop.consumer;
            let candidates = [hop.prev.map(|prev| (true, prev)), hop.send.map(|send| (false, send))];
            for (is_prev, place) in candidates.into_iter().flatten() {
                let candidate = (is_prev, scene.end[place], place);
                if best[consumer].is_none_or(|best| candidate > best) {
                    best[consumer] = Some(candidate);
                }
            }
        }
        for (consumer, best) in best.into_iter().enumerate() {
            if let Some((is_prev, _, place)) = best {
                let kind = if is_prev { SegmentKind::Backoff } else { SegmentKind::Queue };
                before[consumer] = Some((place, kind));
            }
        }
        Self { before, is_poll }
    }

    /// Which places lead back to the root. Circles lead nowhere.
    fn reach(&self, root: Place) -> Vec<bool> {
        #[derive(Clone, Copy, PartialEq)]
        enum Seen {
            No,
            Now,
            Yes(bool),
        }
        let mut seen = vec![Seen::No; self.before.len()];
        let mut way = Vec::new();
        for start in 0..seen.len() {
            let mut at = start;
            let answer = loop {
                match seen[at] {
                    Seen::Yes(answer) => break answer,
                    Seen::Now => break false,
                    Seen::No if at == root => {
                        way.push(at);
                        break true;
                    }
                    Seen::No => {
                        seen[at] = Seen::Now;
                        way.push(at);
                        match self.before[at] {
                            Some((before, _)) => at = before,
                            None => break false,
                        }
                    }
                }
            };
            way.drain(..).for_each(|at| seen[at] = Seen::Yes(answer));
        }
        seen.into_iter().map(|seen| seen == Seen::Yes(true)).collect()
    }
}

/// The path from the origin's start to the last effect of the journey.
///
/// Starts at the span with the latest end among those that do not block their parent and lead back to the
/// root (ties: earlier start, then higher id).
pub(crate) fn settled_path(analysis: &Analysis, scene: &Scene, ways: &Ways) -> Vec<Segment> {
    let root = scene.root;
    let leads_back = ways.reach(root);
    let is_anchor =
        |at: &Place| leads_back[*at] && scene.parent[*at].is_none_or(|parent| !blocks(analysis, scene, *at, parent));
    let rank = |at: &Place| {
        (scene.end[*at], std::cmp::Reverse(scene.start[*at]), scene.known(analysis, *at).span.span_id, *at)
    };
    let Some(anchor) = (0..scene.len()).filter(is_anchor).max_by_key(rank) else { return Vec::new() };
    let floor = |at: Place| if ways.is_poll[at] && at != root { scene.end[at] } else { scene.start[at] };
    let mut walk = Walk { analysis, scene, backwards: Vec::new() };
    walk.path(anchor, floor(anchor), scene.end[anchor]);
    let (mut here, mut until) = (anchor, floor(anchor));
    while here != root {
        let Some((before, wait)) = ways.before[here] else { break };
        emit(&mut walk.backwards, here, wait, scene.end[before], until);
        walk.path(before, floor(before), until.min(scene.end[before]));
        until = until.min(floor(before));
        here = before;
    }
    walk.finish(scene.start[root])
}
