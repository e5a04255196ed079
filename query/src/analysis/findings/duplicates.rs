//! duplicate_processing: the same work done twice, both times with success.
//!
//! | kind                  | evidence                                                               |
//! |-----------------------|------------------------------------------------------------------------|
//! | `message`             | one message handled without error twice by one service and group       |
//! | `retry_after_timeout` | a call that timed out at the caller, succeeded at the callee, and was   |
//! |                       | made again with success                                                |
//! | `idempotency_key`     | one idempotency key that succeeded twice at one operation              |

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::graph::SpanIndex;
use crate::analysis::journey::Place;
use crate::analysis::systems::is_dead_letter;

use super::{Finding, FindingName, View};

pub(super) fn find(view: &View<'_>, found: &mut Vec<Finding>) {
    messages(view, found);
    retries_after_timeout(view, found);
    idempotency_keys(view, found);
}

fn finding(kind: &'static str, spans: Vec<SpanIndex>, summary: String) -> Finding {
    Finding::new(FindingName::DuplicateProcessing, spans, summary).text("kind", kind)
}

fn messages(view: &View<'_>, found: &mut Vec<Finding>) {
    let mut handled: BTreeMap<_, BTreeSet<Place>> = BTreeMap::new();
    for hop in &view.journey.hops {
        let delivery = &view.analysis.messages.deliveries[hop.hop.delivery];
        let known = view.known(hop.consumer);
        if !known.is_error && !is_dead_letter(delivery.queue.label()) {
            let key = (hop.hop.context, hop.hop.message.as_str(), &*known.service, delivery.group.as_deref());
            handled.entry(key).or_default().insert(hop.consumer);
        }
    }
    for ((.., service, _), places) in handled.into_iter().filter(|(_, places)| places.len() >= 2) {
        let summary = format!("{service} handled one message {} times with success", places.len());
        found.push(finding("message", view.by_start(places.into_iter().collect()), summary));
    }
}

fn retries_after_timeout(view: &View<'_>, found: &mut Vec<Finding>) {
    for group in view.groups.values() {
        // Of each timed-out success the next success is its double.
        let mut waiting: Option<SpanIndex> = None;
        for call in group.iter().map(|call| view.call(*call)) {
            let succeeded = call.server.filter(|server| !view.analysis.graph.spans[*server].is_error);
            match (call.is_timeout, succeeded, waiting) {
                (true, Some(server), None) => waiting = Some(server),
                (false, Some(server), Some(first)) if !call.is_error => {
                    let summary = format!(
                        "{} of {} succeeded twice: the caller gave up on the first and tried again",
                        call.op, call.target
                    );
                    found.push(finding("retry_after_timeout", vec![first, server], summary));
                    waiting = None;
                }
                _ => {}
            }
        }
    }
}

fn idempotency_keys(view: &View<'_>, found: &mut Vec<Finding>) {
    let mut succeeded: BTreeMap<(&str, &str, &str), Vec<Place>> = BTreeMap::new();
    for at in 0..view.scene.len() {
        let known = view.known(at);
        if let Some(key) = known.facts.idempotency_key.as_deref()
            && known.is_server()
            && !known.is_error
        {
            succeeded.entry((key, &known.service, &known.class.op)).or_default().push(at);
        }
    }
    for ((_, service, op), places) in succeeded.into_iter().filter(|(_, places)| places.len() >= 2) {
        let summary = format!("{service} carried out {op} {} times for one idempotency key", places.len());
        found.push(finding("idempotency_key", view.by_start(places), summary));
    }
}
