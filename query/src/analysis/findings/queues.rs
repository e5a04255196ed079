//! Messages: queue_wait, redelivery, poison_message, fanout_amplification.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use model::{SpanId, TraceId};

use crate::analysis::critical_path::{Segment, SegmentKind};
use crate::analysis::graph::SpanIndex;
use crate::analysis::journey::{JourneyHop, Place};
use crate::analysis::node::Node;
use crate::analysis::systems::is_dead_letter;

use super::{Finding, FindingName, View, ms};

pub(super) fn find(view: &View<'_>, found: &mut Vec<Finding>) {
    queue_wait(view, found);
    redeliveries(view, found);
    fanout_amplification(view, found);
}

/// The queue a hop ended in.
fn queue<'a>(view: &View<'a>, hop: &JourneyHop) -> &'a Node {
    &view.analysis.messages.deliveries[hop.hop.delivery].queue
}

fn queue_wait(view: &View<'_>, found: &mut Vec<Finding>) {
    let thresholds = view.thresholds;
    let mut slow: BTreeMap<(&Node, &str), Vec<&JourneyHop>> = BTreeMap::new();
    for hop in &view.journey.hops {
        let processing = match view.analysis.messages.deliveries[hop.hop.delivery].is_poll {
            true => 0,
            false => view.scene.duration(hop.consumer),
        };
        let is_first = hop.hop.attempt == 1 && hop.hop.prev.is_none() && hop.hop.send.is_some();
        if is_first
            && hop.hop.lag >= thresholds.queue_lag_nanos
            && hop.hop.lag >= thresholds.queue_lag_times.saturating_mul(processing)
        {
            slow.entry((queue(view, hop), &view.known(hop.consumer).service)).or_default().push(hop);
        }
    }
    let mut told: HashSet<SpanIndex> = HashSet::new();
    for ((queue, service), hops) in slow {
        let spans = view.by_start(hops.iter().map(|hop| hop.consumer).collect::<BTreeSet<_>>().into_iter().collect());
        let lag = hops.iter().map(|hop| hop.hop.lag).max().unwrap_or(0);
        told.extend(&spans);
        let summary = format!("messages waited up to {} in {} for {service}", ms(lag), queue.label());
        found.push(
            Finding::new(FindingName::QueueWait, spans, summary)
                .text("kind", "lag")
                .nanos("lag_nanos", lag)
                .count("deliveries", hops.len()),
        );
    }
    let waits: Vec<&Segment> = view.journey.settled.iter().filter(|s| s.kind == SegmentKind::Queue).collect();
    let waited: i64 = waits.iter().map(|segment| segment.nanos()).sum();
    let share = waited as f64 / view.journey.settled_nanos.max(1) as f64;
    let spans = view.by_start(waits.iter().map(|segment| segment.span).collect());
    if waited >= thresholds.queue_lag_nanos
        && share >= thresholds.queue_share
        && !spans.iter().all(|span| told.contains(span))
    {
        let summary =
            format!("{} of {} until the last effect passed in queues", ms(waited), ms(view.journey.settled_nanos));
        found.push(
            Finding::new(FindingName::QueueWait, spans, summary)
                .text("kind", "path")
                .nanos("wait_nanos", waited)
                .share("share", share),
        );
    }
}

/// One message, as far as contexts and ids can tell.
type MessageKey<'a> = ((TraceId, SpanId), &'a str);

fn redeliveries(view: &View<'_>, found: &mut Vec<Finding>) {
    let mut dead_lettered: HashSet<MessageKey<'_>> = HashSet::new();
    let mut groups: BTreeMap<(MessageKey<'_>, &str, Option<&str>, &Node), Vec<Place>> = BTreeMap::new();
    for hop in &view.journey.hops {
        let message = (hop.hop.context, hop.hop.message.as_str());
        let delivery = &view.analysis.messages.deliveries[hop.hop.delivery];
        if is_dead_letter(delivery.queue.label()) {
            dead_lettered.insert(message);
        }
        let service = &*view.known(hop.consumer).service;
        groups.entry((message, service, delivery.group.as_deref(), &delivery.queue)).or_default().push(hop.consumer);
    }
    for ((message, service, _, queue), mut places) in groups {
        places.sort_by_key(|at| (view.scene.start[*at], view.known(*at).span.span_id));
        let reached_end = dead_lettered.contains(&message) && !is_dead_letter(queue.label());
        judge(view, service, queue, places, reached_end, found);
    }
    // Deliveries of unknown origin can still say how often they were delivered.
    let messages = &view.analysis.messages;
    for at in 0..view.scene.len() {
        let delivery = messages.delivery_of.get(&view.scene.spans[at]).map(|at| &messages.deliveries[*at]);
        if let Some(delivery) = delivery.filter(|delivery| delivery.n_contexts == 0) {
            judge(view, &view.known(at).service, &delivery.queue, vec![at], false, found);
        }
    }
}

/// Deliveries of one message to one consumer, by start.
fn judge(
    view: &View<'_>,
    service: &str,
    queue: &Node,
    places: Vec<Place>,
    reached_end: bool,
    found: &mut Vec<Finding>,
) {
    let has_failed = |at: &Place| view.known(*at).is_error;
    let counted = |at: &Place| view.known(*at).facts.message.as_ref().and_then(|message| message.delivery_count);
    let n_counted = places.iter().filter_map(counted).max().unwrap_or(0).max(0) as usize;
    let Some((last, before)) = places.split_last() else { return };
    let poison_at = view.thresholds.poison_attempts;
    let all_failed = places.iter().all(has_failed);
    let is_poison =
        all_failed && places.len() >= poison_at || has_failed(last) && (n_counted >= poison_at || reached_end);
    let name = if is_poison {
        FindingName::PoisonMessage
    } else if before.iter().any(has_failed) || n_counted >= poison_at {
        FindingName::Redelivery
    } else {
        return;
    };
    let attempts = places.len().max(n_counted);
    let outcome = if is_poison { "never handled" } else { "delivered again" };
    let summary = format!("a message of {} was {outcome} by {service} in {attempts} attempts", queue.label());
    found.push(Finding::new(name, view.by_start(places), summary).count("attempts", attempts));
}

fn fanout_amplification(view: &View<'_>, found: &mut Vec<Finding>) {
    let thresholds = view.thresholds;
    let consumers: HashSet<Place> =
        view.journey.hops.iter().filter(|hop| hop.send.is_some()).map(|hop| hop.consumer).collect();
    if let Some(first) = consumers.iter().map(|at| view.scene.start[*at]).min() {
        let sends = view.analysis.messages.sends.iter();
        let places: Vec<(Place, u64)> =
            sends.filter_map(|send| Some((view.place(send.span)?, send.messages))).collect();
        let sends: Vec<(Place, u64)> = places.into_iter().filter(|(at, _)| view.scene.start[*at] < first).collect();
        let n_messages: u64 = sends.iter().map(|(_, messages)| messages).sum();
        let per_message = consumers.len() as f64 / n_messages.max(1) as f64;
        if consumers.len() >= thresholds.fanout_deliveries && per_message >= thresholds.fanout_deliveries as f64 {
            let messages = if n_messages == 1 { "message" } else { "messages" };
            let summary = format!("{n_messages} {messages} led to {} deliveries", consumers.len());
            found.push(
                Finding::new(
                    FindingName::FanoutAmplification,
                    view.by_start(sends.iter().map(|(at, _)| *at).collect()),
                    summary,
                )
                .text("kind", "deliveries")
                .count("deliveries", consumers.len())
                .count("messages", n_messages as usize),
            );
        }
    }
    let mut calls: HashMap<SpanIndex, usize> = HashMap::new();
    for entry in view.journey.calls.iter().filter_map(|call| view.call(*call).entry) {
        *calls.entry(entry).or_default() += 1;
    }
    let mut wide: Vec<_> = calls.into_iter().filter(|(_, n)| *n >= thresholds.fanout_calls).collect();
    wide.sort_unstable();
    for (entry, n) in wide {
        let service = &view.analysis.graph.spans[entry].service;
        let summary = format!("one request made {service} call {n} times");
        found.push(
            Finding::new(FindingName::FanoutAmplification, vec![entry], summary)
                .text("kind", "calls")
                .count("calls", n),
        );
    }
}
