//! How far a fault reached: cascading_failure up to the entry, contained_failure absorbed on the way.

use std::collections::{BTreeMap, HashSet};

use crate::analysis::journey::Place;

use super::{Finding, FindingName, Number, View};

pub(super) fn find(view: &View<'_>, found: &mut Vec<Finding>) {
    cascading_failure(view, found);
    contained_failure(view, found);
}

/// From a faulty span down the faulty children that ended last, to the one that has none.
fn blame(view: &View<'_>, from: Place) -> Vec<Place> {
    let mut chain = vec![from];
    let mut here = from;
    loop {
        let faulty = view.scene.children(here).iter().copied();
        let faulty = faulty.filter(|child| view.known(*child).is_fault && !view.is_delivery_below(*child));
        match faulty.max_by_key(|child| (view.scene.end[*child], std::cmp::Reverse(*child))) {
            Some(child) => {
                chain.push(child);
                here = child;
            }
            None => return chain,
        }
    }
}

fn cascading_failure(view: &View<'_>, found: &mut Vec<Finding>) {
    let is_start = |at: &Place| {
        view.known(*at).is_fault
            && (view.scene.parent[*at].is_none() || view.analysis.messages.is_delivery(view.scene.spans[*at]))
    };
    for start in (0..view.scene.len()).filter(is_start) {
        let chain = blame(view, start);
        let mut services: Vec<String> = Vec::new();
        let mut seen = HashSet::new();
        for at in &chain {
            let known = view.known(*at);
            if !known.is_mesh() && seen.insert(&known.service) {
                services.push(known.service.to_string());
            }
        }
        if services.len() >= view.thresholds.cascade_services {
            let cause = view.scene.spans[chain[chain.len() - 1]];
            let summary = format!("a fault at {} reached {}", services[services.len() - 1], services[0]);
            found.push(
                Finding::new(FindingName::CascadingFailure, vec![cause], summary)
                    .with("services", Number::Texts(services)),
            );
        }
    }
}

fn contained_failure(view: &View<'_>, found: &mut Vec<Finding>) {
    let scene = view.scene;
    if view.known(scene.root).is_fault {
        return;
    }
    // Top of the own work: a root, or the consumer that began it.
    let mut top: Vec<Place> = (0..scene.len()).collect();
    for &at in &scene.top_down {
        if let Some(parent) = scene.parent[at].filter(|_| !view.is_delivery_below(at)) {
            top[at] = top[parent];
        }
    }
    // Of several attempts that all failed the last is told.
    let mut told: BTreeMap<(Place, &str, &str), Place> = BTreeMap::new();
    for (at, &top) in top.iter().enumerate() {
        let known = view.known(at);
        let Some(parent) = scene.parent[at].filter(|_| known.is_fault && !view.is_delivery_below(at)) else { continue };
        if view.known(parent).is_fault || view.known(top).is_fault || is_repaired(view, at, parent) {
            continue;
        }
        let last = told.entry((parent, &known.service, &known.class.op)).or_insert(at);
        if (scene.end[at], at) > (scene.end[*last], *last) {
            *last = at;
        }
    }
    for ((parent, ..), at) in told {
        let chain = blame(view, at);
        let cause = view.scene.spans[chain[chain.len() - 1]];
        let service = &view.known(parent).service;
        let summary = format!("a fault of {} was absorbed by {service}", view.known(at).span.name);
        found.push(
            Finding::new(FindingName::ContainedFailure, vec![cause], summary).text("absorbed_by", service.to_string()),
        );
    }
}

/// A later attempt worked: of the run the call is in, or inside the one client span of all attempts.
fn is_repaired(view: &View<'_>, at: Place, parent: Place) -> bool {
    let call_of = |place: Place| view.analysis.call_started_by(view.scene.spans[place]);
    let in_run = call_of(at)
        .and_then(|call| view.run_of.get(&call))
        .is_some_and(|(run, position)| view.runs[*run][position + 1..].iter().any(|later| !view.call(*later).is_fault));
    in_run || call_of(parent).is_some_and(|call| view.call(call).attempts > 1)
}
