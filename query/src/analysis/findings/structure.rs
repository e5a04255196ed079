//! Coupling: deep_sync_chain and cyclic_dependency.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::analysis::Analysis;
use crate::analysis::journey::Place;
use crate::analysis::node::Node;

use super::{Finding, FindingName, Number, View};

pub(super) fn find(view: &View<'_>, found: &mut Vec<Finding>) {
    deep_sync_chain(view, found);
    cyclic_dependency(view, found);
}

/// What lies above a span, gateways and mesh looked through.
#[derive(Clone, Copy, Default)]
struct Above {
    /// Nearest span that is neither gateway nor mesh.
    span: Option<Place>,
    /// Steps from service to service so far.
    steps: usize,
}

/// For each place what lies above it and above its children; a queue begins anew.
fn chains(view: &View<'_>) -> Vec<Above> {
    let scene = view.scene;
    let mut state = vec![Above::default(); scene.len()];
    for &at in &scene.top_down {
        let known = view.known(at);
        let above = match scene.parent[at].filter(|_| !view.is_delivery_below(at)) {
            Some(parent) => state[parent],
            None => Above::default(),
        };
        let is_transparent = known.is_mesh() || known.class.facets.gateway;
        state[at] = if is_transparent {
            above
        } else {
            let is_other = above.span.is_some_and(|above| view.known(above).service != known.service);
            Above { span: Some(at), steps: above.steps + usize::from(known.is_server() && is_other) }
        };
    }
    state
}

fn deep_sync_chain(view: &View<'_>, found: &mut Vec<Finding>) {
    let scene = view.scene;
    let state = chains(view);
    let rank = |at: &Place| (state[*at].steps, std::cmp::Reverse((scene.start[*at], *at)));
    let servers = (0..scene.len()).filter(|at| view.known(*at).is_server() && state[*at].span == Some(*at));
    let Some(deepest) = servers.max_by_key(rank) else { return };
    let steps = state[deepest].steps;
    if steps < view.thresholds.deep_chain_steps {
        return;
    }
    let mut chain = vec![deepest];
    let mut here = deepest;
    while let Some(parent) = scene.parent[here].filter(|_| !view.is_delivery_below(here)) {
        here = parent;
        // The server where each service of the chain begins.
        if view.known(here).is_server() && state[here].span == Some(here) {
            let last = chain[chain.len() - 1];
            if view.known(last).service == view.known(here).service {
                chain.pop();
            }
            chain.push(here);
        }
    }
    chain.reverse();
    let services = chain.iter().map(|at| view.known(*at).service.to_string()).collect();
    let spans = chain.iter().map(|at| scene.spans[*at]).collect();
    let summary = format!("{steps} services wait for each other in a row");
    found.push(
        Finding::new(FindingName::DeepSyncChain, spans, summary)
            .count("steps", steps)
            .with("services", Number::Texts(services))
            .with("high", Number::Flag(steps >= view.thresholds.deep_chain_high)),
    );
}

/// A server under a server of the same service, with another service between and no queue.
fn cyclic_dependency(view: &View<'_>, found: &mut Vec<Finding>) {
    let scene = view.scene;
    let state = chains(view);
    // Where each span's synchronous part begins, and the servers open above it by service.
    let mut open: HashMap<(Place, &str), Vec<Place>> = HashMap::new();
    let mut top: Vec<Place> = (0..scene.len()).collect();
    let mut told = BTreeSet::new();
    enum Visit {
        Enter(Place),
        Leave(Place),
    }
    let mut stack: Vec<Visit> =
        scene.top_down.iter().rev().filter(|at| scene.parent[**at].is_none()).map(|at| Visit::Enter(*at)).collect();
    while let Some(visit) = stack.pop() {
        match visit {
            Visit::Enter(at) => {
                let known = view.known(at);
                let above = scene.parent[at].filter(|_| !view.is_delivery_below(at));
                top[at] = above.map_or(at, |above| top[above]);
                if known.is_server() && !known.class.facets.gateway {
                    let servers = open.entry((top[at], &known.service)).or_default();
                    let caller = above.and_then(|above| state[above].span);
                    let is_called_by_other = caller.is_some_and(|caller| view.known(caller).service != known.service);
                    if let Some(&first) = servers.last()
                        && is_called_by_other
                    {
                        told.insert((first, at));
                    }
                    servers.push(at);
                    stack.push(Visit::Leave(at));
                }
                stack.extend(scene.children(at).iter().rev().map(|child| Visit::Enter(*child)));
            }
            Visit::Leave(at) => {
                if let Some(servers) = open.get_mut(&(top[at], &*view.known(at).service)) {
                    servers.pop();
                }
            }
        }
    }
    for (first, again) in told {
        let service = &view.known(first).service;
        let summary = format!("{service} waits for itself through another service");
        let spans = vec![scene.spans[first], scene.spans[again]];
        found.push(Finding::new(FindingName::CyclicDependency, spans, summary).text("service", service.to_string()));
    }
}

/// Services that call each other in a circle over a window: strongly connected components of the
/// synchronous edges. Evidence: the first call of each edge inside.
pub(super) fn find_cycles(analysis: &Analysis, found: &mut Vec<Finding>) {
    let mut edges: BTreeMap<(&Node, &Node), usize> = BTreeMap::new();
    for call in analysis.calls.iter().filter(|call| call.is_between_services() && call.source != call.target) {
        let first = edges.entry((&call.source, &call.target)).or_insert(call.span());
        *first = (*first).min(call.span());
    }
    let nodes: Vec<&Node> = edges.keys().flat_map(|(a, b)| [*a, *b]).collect::<BTreeSet<_>>().into_iter().collect();
    let number: HashMap<&Node, usize> = nodes.iter().enumerate().map(|(at, node)| (*node, at)).collect();
    let mut next = vec![Vec::new(); nodes.len()];
    for (source, target) in edges.keys() {
        next[number[source]].push(number[target]);
    }
    let component = components(&next);
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (node, component) in component.iter().enumerate() {
        members.entry(*component).or_default().push(node);
    }
    for members in members.into_values().filter(|members| members.len() > 1) {
        let services: Vec<String> = members.iter().map(|node| nodes[*node].label().to_owned()).collect();
        let inside = |node: &Node| members.contains(&number[node]);
        let mut spans: Vec<usize> =
            edges.iter().filter(|((a, b), _)| inside(a) && inside(b)).map(|(_, span)| *span).collect();
        spans.sort_unstable();
        let summary = format!("{} call each other in a circle", services.join(", "));
        found.push(
            Finding::new(FindingName::CyclicDependency, spans, summary).with("services", Number::Texts(services)),
        );
    }
}

/// Strongly connected components, numbered; Tarjan's algorithm without recursion.
fn components(next: &[Vec<usize>]) -> Vec<usize> {
    const NEW: usize = usize::MAX;
    let n = next.len();
    let (mut index, mut low, mut component) = (vec![NEW; n], vec![0; n], vec![NEW; n]);
    let (mut open, mut n_seen, mut n_components) = (Vec::new(), 0, 0);
    for start in 0..n {
        if index[start] != NEW {
            continue;
        }
        let mut path = vec![(start, 0)];
        while let Some(&mut (at, ref mut child)) = path.last_mut() {
            if *child == 0 && index[at] == NEW {
                index[at] = n_seen;
                low[at] = n_seen;
                n_seen += 1;
                open.push(at);
            }
            if let Some(&target) = next[at].get(*child) {
                *child += 1;
                if index[target] == NEW {
                    path.push((target, 0));
                } else if component[target] == NEW {
                    low[at] = low[at].min(index[target]);
                }
                continue;
            }
            path.pop();
            if let Some(&(parent, _)) = path.last() {
                low[parent] = low[parent].min(low[at]);
            }
            if low[at] == index[at] {
                while let Some(member) = open.pop() {
                    component[member] = n_components;
                    if member == at {
                        break;
                    }
                }
                n_components += 1;
            }
        }
    }
    component
}
