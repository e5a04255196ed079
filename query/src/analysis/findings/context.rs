//! Where the trace itself is broken: broken_context and clock_skew.
//!
//! | kind                      | evidence                                                          |
//! |---------------------------|-------------------------------------------------------------------|
//! | `orphan`                  | a server or consumer span whose parent was never received         |
//! | `message_without_context` | a delivery joined to its producer only by the message's name      |
//! | `uncorrelated_consumer`   | a delivery that nothing leads to                                  |
//! | `lost_http`               | an entry call inside the time of a call without server to the same |
//! |                           | address and path                                                  |

use std::collections::BTreeMap;

use crate::analysis::classify::Role;
use crate::analysis::graph::SpanIndex;
use crate::analysis::hops::JoinedBy;
use crate::analysis::journey::Place;

use super::{Finding, FindingName, View, ms};

pub(super) fn find(view: &View<'_>, found: &mut Vec<Finding>) {
    broken_context(view, found);
    clock_skew(view, found);
}

fn broken_context(view: &View<'_>, found: &mut Vec<Finding>) {
    let graph = &view.analysis.graph;
    let mut tell = |kind: &'static str, spans: Vec<SpanIndex>, summary: String| {
        found.push(Finding::new(FindingName::BrokenContext, spans, summary).text("kind", kind));
    };
    for (at, &span) in view.scene.spans.iter().enumerate() {
        let known = view.known(at);
        if graph.is_orphan[span] && (known.is_server() || known.class.role == Role::Consumer) {
            tell("orphan", vec![span], format!("the caller of {} was never received", known.service));
            continue;
        }
        let messages = &view.analysis.messages;
        let delivery = messages.delivery_of.get(&span).map(|at| &messages.deliveries[*at]);
        if let Some(delivery) = delivery.filter(|delivery| delivery.n_contexts == 0) {
            let summary = format!("nothing says where the message of {} came from", delivery.queue.label());
            tell("uncorrelated_consumer", vec![span], summary);
        }
    }
    for hop in view.journey.hops.iter().filter(|hop| hop.hop.joined_by == JoinedBy::MessageId) {
        let service = &view.known(hop.consumer).service;
        let summary = format!("only the message id leads from its producer to {service}");
        tell("message_without_context", vec![hop.hop.consumer], summary);
    }
    for (client, server) in view.analysis.lost_contexts_of(&view.scene.spans) {
        let (caller, callee) = (&graph.spans[client].service, &graph.spans[server].service);
        tell("lost_http", vec![client, server], format!("trace context was lost between {caller} and {callee}"));
    }
}

fn clock_skew(view: &View<'_>, found: &mut Vec<Finding>) {
    let scene = view.scene;
    let mut first: BTreeMap<&str, Place> = BTreeMap::new();
    let rank = |at: Place| {
        let known = view.known(at);
        (!(known.is_server() || known.class.role == Role::Consumer), scene.start[at], at)
    };
    for at in (0..scene.len()).filter(|at| scene.shift[*at].abs() > view.thresholds.skew_nanos) {
        let best = first.entry(&view.known(at).process).or_insert(at);
        if rank(at) < rank(*best) {
            *best = at;
        }
    }
    for at in first.into_values() {
        let shift = scene.shift[at];
        let direction = if shift < 0 { "ahead" } else { "behind" };
        let summary = format!("the clock of {} is {} {direction}", view.known(at).service, ms(shift.abs()));
        found.push(Finding::new(FindingName::ClockSkew, vec![scene.spans[at]], summary).nanos("offset_nanos", shift));
    }
}
