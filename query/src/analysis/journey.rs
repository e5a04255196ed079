//! A journey: one business request, its origin trace and every trace it caused.
//!
//! | file         | knows                                                                      |
//! |--------------|----------------------------------------------------------------------------|
//! | `members.rs` | which traces belong to it: up to the origin, down to the effects           |
//! | `scene.rs`   | its spans with parents, children, corrected times                          |
//! | `steps.rs`   | what happened, cause before effect, and between whom                       |
//!
//! Facts the fixtures settle where the text leaves room: the rule that leaves out consumers of foreign
//! messages holds for joined members only, never for the origin itself (fixture 03); an input from outside
//! counts once per pair of traces.

mod members;
mod scene;
mod steps;

pub use members::{Member, origin};
pub use scene::{Place, Scene};
pub use steps::{Lane, Step, StepKind};

use hashbrown::HashMap;
use model::{SpanId, TraceId, UnixNanos};

use super::Analysis;
use super::critical_path::{Segment, SegmentKind, Ways, response_path, settled_path};
use super::hops::Hop;
use super::joins::{Confidence, JoinKind, Poll};
use super::node::Node;
use super::skew::{Skew, skew};
use super::thresholds::Bounds;

/// A trace counts as complete this long after its last span; later spans simply change the answer.
pub const SETTLE_NANOS: i64 = 30 * UnixNanos::SECOND;

/// Why something was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CutReason {
    /// Traces too many joins away.
    Depth,
    /// More traces than are followed.
    Members,
    /// More deliveries of one send than are followed.
    Deliveries,
    /// Traces too long before or after the origin.
    Time,
    /// More spans than are looked at.
    Spans,
}

impl CutReason {
    /// The word used in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Depth => "depth",
            Self::Members => "members",
            Self::Deliveries => "deliveries",
            Self::Time => "time",
            Self::Spans => "spans",
        }
    }
}

/// Something that was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Why.
    pub reason: CutReason,
    /// How many traces, deliveries or spans.
    pub left_out: usize,
}

/// A hop inside a journey, with shifted times.
#[derive(Clone, Debug)]
pub struct JourneyHop {
    /// The hop; its lag is by shifted times.
    pub hop: Hop,
    /// The delivery.
    pub consumer: Place,
    /// The producer, when it is in the journey.
    pub send: Option<Place>,
    /// The failed delivery before, when it is in the journey.
    pub prev: Option<Place>,
}

/// A batch handled as one span, only partly ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared {
    /// The delivery.
    pub span: Place,
    /// Messages of this journey.
    pub ours: usize,
    /// All messages.
    pub total: usize,
}

/// One business request over all its traces.
#[derive(Clone, Debug)]
pub struct Journey {
    /// Trace it starts in; also its id.
    pub origin: TraceId,
    /// Operation of the main root.
    pub name: String,
    /// Origin first, then in the order they were found.
    pub members: Vec<Member>,
    /// Its spans.
    pub scene: Scene,
    /// Clocks.
    pub skew: Skew,
    /// Calls of its spans, as positions in [`Analysis::calls`].
    pub calls: Vec<usize>,
    /// Hops into its spans.
    pub hops: Vec<JourneyHop>,
    /// Status look-ups of its calls, as positions in [`Analysis::calls`].
    pub polls: Vec<Poll>,
    /// What held up the answer.
    pub response: Vec<Segment>,
    /// What held up the last effect.
    pub settled: Vec<Segment>,
    /// Duration of the main root.
    pub response_nanos: i64,
    /// Origin start to the end of the settled path.
    pub settled_nanos: i64,
    /// Nodes in order of first appearance.
    pub lanes: Vec<Lane>,
    /// What happened, cause before effect.
    pub steps: Vec<Step>,
    /// Joins that lead into members from outside.
    pub other_inputs: usize,
    /// Consumer spans whose messages belong to other journeys; left out with what they caused. Positions in
    /// the whole set.
    pub excluded: Vec<usize>,
    /// Batches that are only partly ours.
    pub shared: Vec<Shared>,
    /// What was left out because of a bound.
    pub cuts: Vec<Cut>,
    /// Lowest confidence of its joins.
    pub confidence: Confidence,
    /// Causes of an ambiguous seed; asking with a span picks one.
    pub candidates: Vec<TraceId>,
    /// Oddities, for people.
    pub warnings: Vec<String>,
}

impl Journey {
    /// Nanoseconds on the settled path in queues and before redelivery.
    pub fn wait_nanos(&self) -> i64 {
        let waits = self.settled.iter().filter(|s| matches!(s.kind, SegmentKind::Queue | SegmentKind::Backoff));
        waits.map(Segment::nanos).sum()
    }

    /// Where the time of a segment went: the queue of a wait for a message, the peer of a call that has no
    /// server span, else the span's own service.
    pub fn node_of(&self, analysis: &Analysis, segment: &Segment) -> Node {
        let span = self.scene.spans[segment.span];
        let messages = &analysis.messages;
        let delivery = messages.delivery_of.get(&span).map(|at| &messages.deliveries[*at]);
        match (segment.kind, delivery, analysis.call_started_by(span)) {
            (SegmentKind::Queue | SegmentKind::Backoff, Some(delivery), _) => delivery.queue.clone(),
            (SegmentKind::Remote, _, Some(call)) => analysis.calls[call].target.clone(),
            _ => Node::service(&analysis.graph.spans[span].service),
        }
    }

    /// Nothing more is expected at this moment.
    pub fn is_complete(&self, now: UnixNanos) -> bool {
        self.last_end().is_none_or(|end| now.0.saturating_sub(end) >= SETTLE_NANOS)
    }

    /// Shifted end of the last span.
    pub fn last_end(&self) -> Option<i64> {
        self.scene.end.iter().copied().max()
    }
}

/// The journey that holds a trace; `None` when the trace is not in the set. With `span`, that span's cause
/// is followed when the trace has several.
///
/// Cost: O(n log n) for its spans, whatever their depth.
pub fn journey(analysis: &Analysis, seed: TraceId, span: Option<SpanId>, bounds: &Bounds) -> Option<Journey> {
    if analysis.graph.trace(seed).is_empty() {
        return None;
    }
    let members = members::members(analysis, seed, span, bounds);
    let (mut scene, foreign, span_cuts) = Scene::new(analysis, &members, bounds);
    let skew = skew(analysis, &scene, bounds.shift_max_nanos);
    scene.apply(skew.shifts.clone());
    let hops = hops_of(analysis, &scene);
    let calls = calls_of(analysis, &scene);
    let polls = polls_of(analysis, &scene);
    let is_poll = (0..scene.len()).map(|at| analysis.is_poll_delivery(scene.spans[at])).collect();
    let ways = Ways::new(&scene, &hops, &poll_roots(analysis, &scene, &polls), is_poll);
    let response = if scene.is_empty() { Vec::new() } else { response_path(analysis, &scene, scene.root) };
    let settled = settled_path(analysis, &scene, &ways);
    let (start, response_nanos) = match scene.len() {
        0 => (0, 0),
        _ => (scene.start[scene.root], scene.duration(scene.root)),
    };
    let settled_nanos = settled.last().map_or(response_nanos, |last| last.end - start);
    let (lanes, steps) = steps::steps(analysis, &scene, &calls, &hops, &polls, &settled);
    let shared = foreign
        .shared
        .iter()
        .filter_map(|(span, ours, total)| Some(Shared { span: scene.place(*span)?, ours: *ours, total: *total }));
    let name = scene.spans.get(scene.root).map_or_else(String::new, |root| {
        let known = &analysis.graph.spans[*root];
        if known.class.op.is_empty() { known.span.name.clone() } else { known.class.op.to_string() }
    });
    let mut warnings = analysis.graph.warnings.clone();
    warnings.extend(skew.warnings.iter().cloned());
    Some(Journey {
        origin: members.list[0].trace,
        name,
        shared: shared.collect(),
        members: members.list,
        skew,
        calls,
        hops,
        polls,
        response,
        settled,
        response_nanos,
        settled_nanos,
        lanes,
        steps,
        other_inputs: members.other_inputs,
        excluded: foreign.excluded,
        cuts: members.cuts.into_iter().chain(span_cuts).collect(),
        confidence: members.confidence,
        candidates: members.candidates,
        warnings,
        scene,
    })
}

/// Hops into the spans of the scene, by the order of their deliveries, with lags by shifted times.
fn hops_of(analysis: &Analysis, scene: &Scene) -> Vec<JourneyHop> {
    let messages = &analysis.messages;
    let deliveries =
        scene.spans.iter().enumerate().filter_map(|(at, span)| Some((at, *messages.delivery_of.get(span)?)));
    let mut hops = Vec::new();
    for (consumer, delivery) in deliveries {
        for hop in messages.hops_into(delivery) {
            let send = hop.send.and_then(|send| scene.place(send));
            let prev = hop.prev.and_then(|prev| scene.place(messages.hops[prev].consumer));
            let mut hop = hop.clone();
            if let Some(since) = prev.or(send).map(|place| scene.end[place]) {
                let is_poll = messages.deliveries[delivery].is_poll;
                let received = if is_poll { scene.end[consumer] } else { scene.start[consumer] };
                hop.lag = (received - since).max(0);
                hop.is_overlap = received < since;
            }
            hops.push(JourneyHop { hop, consumer, send, prev });
        }
    }
    hops
}

fn calls_of(analysis: &Analysis, scene: &Scene) -> Vec<usize> {
    let mut calls: Vec<usize> = scene.spans.iter().filter_map(|span| analysis.call_started_by(*span)).collect();
    calls.sort_by_key(|call| {
        let call = &analysis.calls[*call];
        (scene.place(call.span()).map_or(call.start, |at| scene.start[at]), call.span())
    });
    calls
}

fn polls_of(analysis: &Analysis, scene: &Scene) -> Vec<Poll> {
    let inside = |call: usize| scene.place(analysis.calls[call].span()).is_some();
    let mut polls: Vec<Poll> =
        analysis.polls.iter().copied().filter(|poll| inside(poll.accepted) && inside(poll.poll)).collect();
    polls.sort_by_key(|poll| (analysis.calls[poll.poll].start, poll.poll));
    polls
}

/// Roots of traces joined by a poll, each with the span of the accepted call.
fn poll_roots(analysis: &Analysis, scene: &Scene, polls: &[Poll]) -> Vec<(Place, Place)> {
    let mut roots: HashMap<Place, Place> = HashMap::new();
    for poll in polls {
        let place = |call: usize| scene.place(analysis.calls[call].span());
        let (Some(mut root), Some(accepted)) = (place(poll.poll), place(poll.accepted)) else { continue };
        while let Some(parent) = scene.parent[root] {
            root = parent;
        }
        if root != scene.root
            && analysis.graph.trace_of(scene.spans[root]) != analysis.graph.trace_of(scene.spans[accepted])
        {
            roots.entry(root).or_insert(accepted);
        }
    }
    let mut roots: Vec<_> = roots.into_iter().collect();
    roots.sort_unstable();
    roots
}

/// The joins used between members, for drawing: cause trace, effect trace, kind; cycles included.
pub fn joins_inside(analysis: &Analysis, journey: &Journey) -> Vec<(TraceId, TraceId, JoinKind)> {
    let inside = |trace| journey.members.iter().any(|member| member.trace == trace);
    let mut joins: Vec<_> = journey
        .members
        .iter()
        .flat_map(|member| analysis.effects(member.trace))
        .filter(|join| inside(join.to))
        .map(|join| (join.from, join.to, join.kind))
        .collect();
    joins.sort_unstable();
    joins.dedup();
    joins
}
