//! Which traces are one journey: up to the origin, then down to everything it caused.
//!
//! Upwards only while there is exactly one cause, and only from the seed: a batch consumer belongs to each
//! of its producers' journeys without gluing those together.

use std::collections::BTreeSet;

use hashbrown::{HashMap, HashSet};
use model::{SpanId, TraceId};

use crate::analysis::Analysis;
use crate::analysis::joins::{Confidence, Join, JoinKind};
use crate::analysis::thresholds::Bounds;

use super::{Cut, CutReason};

/// One trace of a journey.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// The trace.
    pub trace: TraceId,
    /// Joins between it and the origin.
    pub depth: usize,
    /// Why it belongs here; `None` for the origin.
    pub joined_by: Option<JoinKind>,
}

/// The traces of a journey.
#[derive(Clone, Debug)]
pub(crate) struct Members {
    /// Origin first, then in the order they were found.
    pub(crate) list: Vec<Member>,
    /// Causes of an ambiguous seed.
    pub(crate) candidates: Vec<TraceId>,
    /// Pairs of an outside trace and a member it leads into.
    pub(crate) other_inputs: usize,
    /// The lowest confidence of the joins used.
    pub(crate) confidence: Confidence,
    /// What was left out.
    pub(crate) cuts: Vec<Cut>,
}

/// Finds origin and members for a trace of the set.
pub(crate) fn members(analysis: &Analysis, seed: TraceId, span: Option<SpanId>, bounds: &Bounds) -> Members {
    let (origin, candidates) = origin(analysis, seed, span);
    let (list, used, cuts) = expand(analysis, origin, bounds);
    let inside: HashSet<TraceId> = list.iter().map(|member| member.trace).collect();
    let outside: BTreeSet<_> = list
        .iter()
        .flat_map(|member| analysis.causes(member.trace))
        .filter(|join| !inside.contains(&join.from))
        .map(|join| (join.from, join.to))
        .collect();
    let confidence = used.iter().map(|kind| kind.confidence()).min().unwrap_or(Confidence::High);
    Members { list, candidates, other_inputs: outside.len(), confidence, cuts }
}

/// Climbs while exactly one known trace is the cause. Several: the trace is its own origin and they are
/// candidates, unless `span` picks the cause that leads to it.
pub fn origin(analysis: &Analysis, seed: TraceId, span: Option<SpanId>) -> (TraceId, Vec<TraceId>) {
    let graph = &analysis.graph;
    let known_causes = |trace: TraceId, wanted: &dyn Fn(&Join) -> bool| -> BTreeSet<TraceId> {
        let causes = analysis.causes(trace).filter(|join| !graph.trace(join.from).is_empty() && wanted(join));
        causes.map(|join| join.from).collect()
    };
    let mut visited = HashSet::<TraceId>::from([seed]);
    let mut here = seed;
    loop {
        let mut causes = known_causes(here, &|_| true);
        if causes.len() > 1
            && here == seed
            && let Some(picked) = span.and_then(|span| graph.find(seed, span))
        {
            // The span itself, or the nearest delivery above it.
            let mut above = vec![picked];
            while let Some(parent) = above.last().and_then(|last| graph.parent[*last]) {
                above.push(parent);
            }
            let above: HashSet<_> = above.into_iter().collect();
            causes = known_causes(here, &|join| above.contains(&join.span));
        }
        let mut list = causes.into_iter();
        match (list.next(), list.next()) {
            (Some(cause), None) if visited.insert(cause) => here = cause,
            (Some(_), None) | (None, _) => return (here, Vec::new()),
            (Some(first), Some(second)) => return (here, [first, second].into_iter().chain(list).collect()),
        }
    }
}

/// Breadth first along the joins, within the bounds.
fn expand(analysis: &Analysis, origin: TraceId, bounds: &Bounds) -> (Vec<Member>, Vec<JoinKind>, Vec<Cut>) {
    let graph = &analysis.graph;
    let first_start = |trace: TraceId| graph.trace(trace).next().map_or(0, |first| graph.spans[first].start());
    let origin_start = first_start(origin);
    let mut list = vec![Member { trace: origin, depth: 0, joined_by: None }];
    let mut depth: HashMap<TraceId, usize> = HashMap::from([(origin, 0)]);
    let mut used = Vec::new();
    let mut left_out: HashMap<TraceId, CutReason> = HashMap::new();
    let mut next = 0;
    while let Some(member) = list.get(next).cloned() {
        next += 1;
        for join in analysis.effects(member.trace) {
            if depth.contains_key(&join.to) {
                continue;
            }
            let start = graph.spans[join.span].start();
            let reason = if member.depth + 1 > bounds.depth_max {
                Some(CutReason::Depth)
            } else if list.len() >= bounds.members_max {
                Some(CutReason::Members)
            } else if join.hop.is_some_and(|hop| analysis.hop_rank[hop] >= bounds.deliveries_per_send_max) {
                Some(CutReason::Deliveries)
            } else if start < origin_start.saturating_sub(bounds.before_nanos)
                || start > origin_start.saturating_add(bounds.after_nanos)
            {
                Some(CutReason::Time)
            } else {
                None
            };
            if let Some(reason) = reason {
                left_out.entry(join.to).or_insert(reason);
                continue;
            }
            left_out.remove(&join.to);
            depth.insert(join.to, member.depth + 1);
            used.push(join.kind);
            list.push(Member { trace: join.to, depth: member.depth + 1, joined_by: Some(join.kind) });
        }
    }
    let mut cuts: Vec<Cut> = Vec::new();
    for reason in [CutReason::Depth, CutReason::Members, CutReason::Deliveries, CutReason::Time] {
        let n = left_out.values().filter(|left| **left == reason).count();
        if n > 0 {
            cuts.push(Cut { reason, left_out: n });
        }
    }
    (list, used, cuts)
}
