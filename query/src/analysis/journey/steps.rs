//! Steps and lanes: what happened, cause before effect, and between whom.
//!
//! Steps are a topological order of causes, with ties by shifted start, depth and span id. So a clock that
//! could not be corrected never shows an effect before its cause.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use model::{SpanId, SpanKind};

use crate::analysis::Analysis;
use crate::analysis::classify::{Protocol, Role};
use crate::analysis::critical_path::Segment;
use crate::analysis::graph::Children;
use crate::analysis::joins::Poll;
use crate::analysis::node::Node;
use crate::analysis::words::words;

use super::{JourneyHop, Place, Scene};

words! {
    /// What happened in a step.
    StepKind {
        Call "call" "A request went out.",
        Return "return" "Its answer came back.",
        Send "send" "A message was handed to a broker.",
        Deliver "deliver" "A message reached a consumer.",
        Poll "poll" "Somebody looked whether a result was there.",
        Internal "internal" "Work inside a service.",
    }
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Step {
    /// Position in the journey, from 1.
    pub seq: usize,
    /// Shifted nanoseconds since 1970.
    pub at: i64,
    /// Where from.
    pub from: Node,
    /// Where to.
    pub to: Node,
    /// What.
    pub kind: StepKind,
    /// Family.
    pub protocol: Protocol,
    /// Product.
    pub system: Cow<'static, str>,
    /// Operation, or name of the span.
    pub label: Arc<str>,
    /// Spans that show it.
    pub spans: Vec<Place>,
    /// It failed.
    pub is_error: bool,
    /// Nanoseconds in the broker, for deliveries.
    pub lag: Option<i64>,
    /// Attempt, for deliveries.
    pub attempt: Option<usize>,
    /// One of its spans is on the settled path.
    pub is_critical: bool,
    /// One of its spans has corrected times.
    pub is_shifted: bool,
}

/// One line of the drawing.
#[derive(Clone, Debug, PartialEq)]
pub struct Lane {
    /// Who.
    pub node: Node,
}

/// A step that is not placed yet.
struct Draft {
    step: Step,
    /// The step that has to come before.
    after: Option<usize>,
    depth: usize,
    id: SpanId,
}

/// Lanes in order of first appearance, steps in order.
pub(super) fn steps(
    analysis: &Analysis,
    scene: &Scene,
    calls: &[usize],
    hops: &[JourneyHop],
    polls: &[Poll],
    settled: &[Segment],
) -> (Vec<Lane>, Vec<Step>) {
    let drafts = Drafting::new(analysis, scene, calls, hops, polls, settled).drafts();
    let steps = in_order(drafts);
    let mut seen = HashSet::new();
    let mut lanes: Vec<Lane> = steps
        .iter()
        .flat_map(|step| [&step.from, &step.to])
        .filter(|node| seen.insert((*node).clone()))
        .map(|node| Lane { node: node.clone() })
        .collect();
    if lanes.is_empty() && !scene.is_empty() {
        lanes.push(Lane { node: Node::service(&scene.known(analysis, scene.root).service) });
    }
    (lanes, steps)
}

struct Drafting<'a> {
    analysis: &'a Analysis,
    scene: &'a Scene,
    is_critical: Vec<bool>,
    /// Call by the place of the span that starts it.
    calls: Vec<Option<usize>>,
    hops: Vec<Option<&'a JourneyHop>>,
    polls: HashMap<usize, usize>,
    drafts: Vec<Draft>,
    /// The step that led to each span.
    begun_by: Vec<Option<usize>>,
    returned_by: HashMap<usize, usize>,
}

impl<'a> Drafting<'a> {
    fn new(
        analysis: &'a Analysis,
        scene: &'a Scene,
        calls: &[usize],
        hops: &'a [JourneyHop],
        polls: &[Poll],
        settled: &[Segment],
    ) -> Self {
        let mut call_at = vec![None; scene.len()];
        for &call in calls {
            if let Some(at) = scene.place(analysis.calls[call].span()) {
                call_at[at] = Some(call);
            }
        }
        let mut first_hop: Vec<Option<&JourneyHop>> = vec![None; scene.len()];
        for hop in hops {
            // Of several contexts the one we know; then the first.
            let best = first_hop[hop.consumer].get_or_insert(hop);
            if best.send.is_none() && hop.send.is_some() {
                *best = hop;
            }
        }
        let mut is_critical = vec![false; scene.len()];
        settled.iter().for_each(|segment| is_critical[segment.span] = true);
        Self {
            analysis,
            scene,
            is_critical,
            calls: call_at,
            hops: first_hop,
            polls: polls.iter().map(|poll| (poll.poll, poll.accepted)).collect(),
            drafts: Vec::new(),
            begun_by: vec![None; scene.len()],
            returned_by: HashMap::new(),
        }
    }

    fn drafts(mut self) -> Vec<Draft> {
        let mut depth = vec![0; self.scene.len()];
        for &at in &self.scene.top_down {
            if let Some(parent) = self.scene.parent[at] {
                depth[at] = depth[parent] + 1;
                self.begun_by[at] = self.begun_by[parent];
            }
            self.draft(at, depth[at]);
        }
        // Causes in other trees are known only now.
        for (consumer, hop) in self.hops.iter().enumerate().filter_map(|(at, hop)| Some((at, (*hop)?))) {
            let cause = hop.prev.or(hop.send).and_then(|place| self.begun_by[place]);
            if let (Some(step), Some(cause)) = (self.begun_by[consumer], cause) {
                self.drafts[step].after = Some(cause);
            }
        }
        for (poll, accepted) in &self.polls {
            let place = self.scene.place(self.analysis.calls[*poll].span());
            let step = place.and_then(|place| self.begun_by[place]);
            if let (Some(step), Some(cause)) = (step, self.returned_by.get(accepted))
                && self.drafts[step].after.is_none()
            {
                self.drafts[step].after = Some(*cause);
            }
        }
        self.drafts
    }

    fn draft(&mut self, at: Place, depth: usize) {
        let known = self.scene.known(self.analysis, at);
        let service = || Node::service(&known.service);
        if let Some(call) = self.calls[at] {
            self.draft_call(at, depth, call);
        } else if known.is_producer() {
            let queue = self.queue(at);
            self.push(at, depth, StepKind::Send, (service(), queue), self.scene.start[at], vec![at]);
        } else if self.analysis.messages.is_delivery(self.scene.spans[at]) {
            self.draft_delivery(at, depth);
        } else if known.span.kind == SpanKind::Internal && known.class.role == Role::Internal {
            self.push(at, depth, StepKind::Internal, (service(), service()), self.scene.start[at], vec![at]);
        }
    }

    fn draft_call(&mut self, at: Place, depth: usize, call: usize) {
        let kind = if self.polls.contains_key(&call) { StepKind::Poll } else { StepKind::Call };
        let found = &self.analysis.calls[call];
        let server = found.server.and_then(|server| self.scene.place(server)).filter(|server| *server != at);
        let spans: Vec<Place> = [at].into_iter().chain(server).collect();
        let ends = (found.source.clone(), found.target.clone());
        let first = self.push(at, depth, kind, ends.clone(), self.scene.start[at], spans.clone());
        let last = self.push(at, depth, StepKind::Return, (ends.1, ends.0), self.scene.end[at], spans);
        for step in [first, last] {
            let draft = &mut self.drafts[step].step;
            draft.is_error = found.is_error;
            draft.protocol = found.protocol;
            draft.system.clone_from(&found.system);
            draft.label = Arc::clone(&found.op);
        }
        self.drafts[last].after = Some(first);
        self.begun_by[at] = Some(first);
        self.returned_by.insert(call, last);
    }

    fn draft_delivery(&mut self, at: Place, depth: usize) {
        let messages = &self.analysis.messages;
        let delivery = messages.delivery_of.get(&self.scene.spans[at]).map(|at| &messages.deliveries[*at]);
        let Some(delivery) = delivery else { return };
        let when = if delivery.is_poll { self.scene.end[at] } else { self.scene.start[at] };
        let service = Node::service(&self.scene.known(self.analysis, at).service);
        let step = self.push(at, depth, StepKind::Deliver, (delivery.queue.clone(), service), when, vec![at]);
        if let Some(hop) = self.hops[at] {
            self.drafts[step].step.lag = Some(hop.hop.lag);
            self.drafts[step].step.attempt = Some(hop.hop.attempt);
        }
    }

    fn queue(&self, at: Place) -> Node {
        let class = &self.scene.known(self.analysis, at).class;
        Node::queue(&class.system, class.destination.as_deref().unwrap_or("unknown"))
    }

    fn push(
        &mut self,
        at: Place,
        depth: usize,
        kind: StepKind,
        ends: (Node, Node),
        when: i64,
        spans: Vec<Place>,
    ) -> usize {
        let known = self.scene.known(self.analysis, at);
        let label =
            if kind == StepKind::Internal { known.span.name.as_str().into() } else { Arc::clone(&known.class.op) };
        let step = Step {
            seq: 0,
            at: when,
            from: ends.0,
            to: ends.1,
            kind,
            protocol: known.class.protocol,
            system: known.class.system.clone(),
            label,
            is_error: known.is_error,
            lag: None,
            attempt: None,
            is_critical: spans.iter().any(|span| self.is_critical[*span]),
            is_shifted: spans.iter().any(|span| self.scene.shift[*span] != 0),
            spans,
        };
        let after = self.begun_by[at];
        self.drafts.push(Draft { step, after, depth, id: known.span.span_id });
        let number = self.drafts.len() - 1;
        self.begun_by[at] = Some(number);
        number
    }
}

/// Topological order; what hangs in a circle of causes comes last, by time.
fn in_order(drafts: Vec<Draft>) -> Vec<Step> {
    let after: Vec<Option<usize>> =
        drafts.iter().enumerate().map(|(at, draft)| draft.after.filter(|cause| *cause != at)).collect();
    let followers = Children::of(&after);
    let key = |at: usize| (drafts[at].step.at, drafts[at].depth, drafts[at].id, drafts[at].step.kind, at);
    let mut ready: BinaryHeap<_> =
        (0..drafts.len()).filter(|at| after[*at].is_none()).map(|at| Reverse(key(at))).collect();
    let mut order = Vec::with_capacity(drafts.len());
    let mut is_placed = vec![false; drafts.len()];
    while let Some(Reverse((.., at))) = ready.pop() {
        order.push(at);
        is_placed[at] = true;
        ready.extend(followers.get(at).iter().map(|follower| Reverse(key(*follower))));
    }
    let mut rest: Vec<usize> = (0..drafts.len()).filter(|at| !is_placed[*at]).collect();
    rest.sort_by_key(|at| key(*at));
    order.extend(rest);
    let mut drafts: Vec<Option<Draft>> = drafts.into_iter().map(Some).collect();
    let placed = order.into_iter().filter_map(|at| drafts[at].take());
    placed.enumerate().map(|(at, draft)| Step { seq: at + 1, ..draft.step }).collect()
}
