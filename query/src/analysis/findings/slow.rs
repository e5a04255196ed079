//! Where the time of the answer went: slowest_hop, gateway_overhead, discovery_on_path, slow_consistency.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::analysis::classify::{Protocol, Role};
use crate::analysis::graph::SpanIndex;
use crate::analysis::journey::Place;

use super::{Finding, FindingName, View, ms};

pub(super) fn find(view: &View<'_>, found: &mut Vec<Finding>) {
    slowest_hop(view, found);
    gateway_overhead(view, found);
    discovery_on_path(view, found);
    slow_consistency(view, found);
}

fn slowest_hop(view: &View<'_>, found: &mut Vec<Finding>) {
    let polls: HashSet<SpanIndex> = (view.journey.polls.iter())
        .flat_map(|poll| [view.call(poll.poll).client, view.call(poll.poll).server])
        .flatten()
        .collect();
    let mut nanos: BTreeMap<Place, i64> = BTreeMap::new();
    for segment in &view.journey.response {
        if !view.known(segment.span).is_receive() && !polls.contains(&view.scene.spans[segment.span]) {
            *nanos.entry(segment.span).or_default() += segment.nanos();
        }
    }
    let rank = |(at, nanos): &(&Place, &i64)| (**nanos, std::cmp::Reverse((view.scene.start[**at], **at)));
    let Some((&slowest, &nanos)) = nanos.iter().max_by_key(rank) else { return };
    let share = nanos as f64 / view.journey.response_nanos.max(1) as f64;
    if nanos >= view.thresholds.slowest_hop_nanos && share >= view.thresholds.slowest_hop_share {
        let known = view.known(slowest);
        let summary = format!(
            "{} of {} held up the answer for {} of {}",
            known.class.op,
            known.service,
            ms(nanos),
            ms(view.journey.response_nanos)
        );
        found.push(
            Finding::new(FindingName::SlowestHop, vec![view.scene.spans[slowest]], summary)
                .nanos("nanos", nanos)
                .share("share", share),
        );
    }
}

fn gateway_overhead(view: &View<'_>, found: &mut Vec<Finding>) {
    let mut upstream: HashMap<SpanIndex, Vec<(i64, i64)>> = HashMap::new();
    for &at in &view.journey.calls {
        let call = view.call(at);
        if let (Some(entry), Some(place)) = (call.entry, view.place(call.span())) {
            upstream.entry(entry).or_default().push((view.scene.start[place], view.scene.end[place]));
        }
    }
    for at in 0..view.scene.len() {
        if view.known(at).class.role != Role::Gateway {
            continue;
        }
        let Some(calls) = upstream.get_mut(&view.scene.spans[at]) else { continue };
        let duration = view.scene.duration(at);
        let own = duration - covered(calls, view.scene.start[at], view.scene.end[at]);
        let share = own as f64 / duration.max(1) as f64;
        if own >= view.thresholds.gateway_nanos && share >= view.thresholds.gateway_share {
            let summary = format!("{} itself took {} of {}", view.known(at).service, ms(own), ms(duration));
            found.push(
                Finding::new(FindingName::GatewayOverhead, vec![view.scene.spans[at]], summary)
                    .nanos("own_nanos", own)
                    .share("share", share),
            );
        }
    }
}

/// Length of the union of intervals inside `from..until`.
fn covered(intervals: &mut [(i64, i64)], from: i64, until: i64) -> i64 {
    intervals.sort_unstable();
    let (mut sum, mut reached) = (0, from);
    for &mut (start, end) in intervals {
        let (start, end) = (start.max(reached), end.min(until));
        if start < end {
            sum += end - start;
            reached = end;
        }
    }
    sum
}

/// Look-ups on the response path that a call of the same parent waited for.
fn discovery_on_path(view: &View<'_>, found: &mut Vec<Finding>) {
    let is_lookup = |protocol: Protocol| matches!(protocol, Protocol::Discovery | Protocol::Dns);
    let mut last_call: HashMap<SpanIndex, i64> = HashMap::new();
    for &at in &view.journey.calls {
        let call = view.call(at);
        if let (Some(parent), false) = (call.parent, is_lookup(call.protocol)) {
            let last = last_call.entry(parent).or_insert(call.start);
            *last = (*last).max(call.start);
        }
    }
    let (mut nanos, mut spans) = (0, Vec::new());
    for segment in &view.journey.response {
        let span = view.scene.spans[segment.span];
        let Some(call) = view.analysis.call_started_by(span).map(|call| view.call(call)) else { continue };
        let is_used = call.parent.and_then(|parent| last_call.get(&parent)).is_some_and(|last| *last >= call.end);
        if is_lookup(call.protocol) && is_used {
            nanos += segment.nanos();
            if !spans.contains(&segment.span) {
                spans.push(segment.span);
            }
        }
    }
    let share = nanos as f64 / view.journey.response_nanos.max(1) as f64;
    if nanos >= view.thresholds.discovery_nanos && share >= view.thresholds.discovery_share {
        let summary = format!("looking up addresses took {} of the answer", ms(nanos));
        found.push(
            Finding::new(FindingName::DiscoveryOnPath, view.by_start(spans), summary)
                .nanos("nanos", nanos)
                .share("share", share),
        );
    }
}

fn slow_consistency(view: &View<'_>, found: &mut Vec<Finding>) {
    let late = view.journey.settled_nanos - view.journey.response_nanos;
    if late > view.thresholds.consistency_nanos {
        let summary = format!("the last effect came {} after the answer", ms(late));
        found.push(
            Finding::new(FindingName::SlowConsistency, vec![view.scene.spans[view.scene.root]], summary)
                .nanos("late_nanos", late),
        );
    }
}
