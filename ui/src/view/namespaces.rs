//! Services by the namespace they say they belong to: too many to be looked at one by one.
//!
//! A namespace is what most spans of a service say (`service.namespace`, else that of Kubernetes). On the map all services of one become a
//! node `group:NAME`; what passes between them is inside of it and not drawn.

use std::collections::{BTreeMap, HashMap};

use api::{MapAnswer, MapEdge, MapFigures, MapNode};
use serde_json::Value as Json;

/// Before the name of a namespace, where other nodes say `service:`.
const GROUP: &str = "group:";

/// The namespace of each service that says one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Namespaces(HashMap<String, String>);

impl Namespaces {
    /// Rows of service, namespace and spans, those with the most spans first.
    pub(crate) fn read(rows: &[Vec<Json>]) -> Self {
        let mut found = HashMap::new();
        for row in rows {
            if let (Some(Json::String(service)), Some(Json::String(space))) = (row.first(), row.get(1)) {
                found.entry(service.clone()).or_insert_with(|| space.clone());
            }
        }
        Self(found)
    }

    /// Of a service.
    pub(crate) fn of(&self, service: &str) -> Option<&str> {
        self.0.get(service).map(String::as_str)
    }

    /// There are several: one node for everything would tell nothing.
    pub(crate) fn are_several(&self) -> bool {
        let mut all = self.0.values();
        let first = all.next();
        all.any(|other| Some(other) != first)
    }

    /// The node that stands for a node of the map.
    fn node(&self, node: &str) -> String {
        let space = node.strip_prefix("service:").and_then(|service| self.of(service));
        space.map_or_else(|| node.to_owned(), |space| format!("{GROUP}{space}"))
    }

    /// True for what a node of the grouped map stands for, and for a node itself.
    pub(crate) fn is_in(&self, node: &str, group: &str) -> bool {
        node == group || (is_group(group) && self.node(node) == group)
    }

    /// The map with a node for each namespace. Counts add up; of percentiles, which do not, the largest stands.
    pub(crate) fn grouped(&self, answer: &MapAnswer) -> MapAnswer {
        let mut nodes: BTreeMap<String, MapNode> = BTreeMap::new();
        for node in &answer.nodes {
            let name = self.node(&node.node);
            match nodes.get_mut(&name) {
                Some(known) => {
                    add(&mut known.now, &node.now);
                    add_before(&mut known.before, node.before.as_ref());
                }
                None if name == node.node => drop(nodes.insert(name, node.clone())),
                None => {
                    let label = name[GROUP.len()..].to_owned();
                    nodes.insert(name.clone(), MapNode { node: name, label, ..node.clone() });
                }
            }
        }
        let mut edges: BTreeMap<(String, String, String), MapEdge> = BTreeMap::new();
        for edge in &answer.edges {
            let (source, target) = (self.node(&edge.source), self.node(&edge.target));
            if source == target && is_group(&source) {
                continue;
            }
            match edges.get_mut(&(source.clone(), target.clone(), edge.style.clone())) {
                Some(known) => {
                    if edge.now.p95_nanos > known.now.p95_nanos {
                        known.slowest_journey = edge.slowest_journey;
                    }
                    known.failed_journey = known.failed_journey.or(edge.failed_journey);
                    add(&mut known.now, &edge.now);
                    add_before(&mut known.before, edge.before.as_ref());
                }
                None => {
                    let key = (source.clone(), target.clone(), edge.style.clone());
                    edges.insert(key, MapEdge { source, target, ..edge.clone() });
                }
            }
        }
        let (nodes, edges) = (nodes.into_values().collect(), edges.into_values().collect());
        MapAnswer { nodes, edges, incomplete_reason: answer.incomplete_reason.clone(), ..MapAnswer::default() }
    }
}

/// A node that stands for others.
pub(crate) fn is_group(node: &str) -> bool {
    node.starts_with(GROUP)
}

fn add(to: &mut MapFigures, more: &MapFigures) {
    to.calls += more.calls;
    to.errors += more.errors;
    to.faults += more.faults;
    to.per_minute += more.per_minute;
    to.request_bytes += more.request_bytes;
    to.response_bytes += more.response_bytes;
    for (known, other) in [
        (&mut to.p50_nanos, more.p50_nanos),
        (&mut to.p95_nanos, more.p95_nanos),
        (&mut to.p99_nanos, more.p99_nanos),
        (&mut to.lag_p50_nanos, more.lag_p50_nanos),
        (&mut to.lag_p95_nanos, more.lag_p95_nanos),
        (&mut to.network_p50_nanos, more.network_p50_nanos),
    ] {
        *known = (*known).max(other);
    }
}

fn add_before(to: &mut Option<MapFigures>, more: Option<&MapFigures>) {
    match (to, more) {
        (Some(known), Some(more)) => add(known, more),
        (to, Some(more)) => *to = Some(more.clone()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spaces() -> Namespaces {
        let row = |service: &str, space: Json| vec![json!(service), space, json!("9")];
        Namespaces::read(&[
            row("a", json!("shop")),
            row("b", json!("shop")),
            row("a", json!("old")),
            row("c", Json::Null),
            row("d", json!("mail")),
        ])
    }

    fn edge(source: &str, target: &str, calls: u64, p95: i64) -> MapEdge {
        let now = MapFigures { calls, p95_nanos: Some(p95), ..MapFigures::default() };
        let name = |node: &str| format!("service:{node}");
        MapEdge { source: name(source), target: name(target), now, ..MapEdge::default() }
    }

    /// Counts of edges between two namespaces add up, the slowest percentile stands; what is inside of one is not drawn.
    #[test]
    fn services_of_a_namespace_are_one_node() {
        let nodes = ["a", "b", "c", "d"].map(|name| MapNode {
            node: format!("service:{name}"),
            now: MapFigures { calls: 10, ..MapFigures::default() },
            ..MapNode::default()
        });
        let edges = vec![edge("a", "d", 3, 5), edge("b", "d", 4, 9), edge("a", "b", 7, 1), edge("c", "c", 1, 1)];
        let answer = MapAnswer { nodes: nodes.to_vec(), edges, ..MapAnswer::default() };
        let grouped = spaces().grouped(&answer);
        let nodes: Vec<_> = grouped.nodes.iter().map(|node| (node.node.as_str(), node.now.calls)).collect();
        assert_eq!(nodes, [("group:mail", 10), ("group:shop", 20), ("service:c", 10)]);
        let edges: Vec<_> = grouped
            .edges
            .iter()
            .map(|edge| (edge.source.as_str(), edge.target.as_str(), edge.now.calls, edge.now.p95_nanos))
            .collect();
        assert_eq!(edges, [("group:shop", "group:mail", 7, Some(9)), ("service:c", "service:c", 1, Some(1))]);
    }

    #[test]
    fn a_group_stands_for_its_services() {
        let spaces = spaces();
        assert_eq!((spaces.of("a"), spaces.of("c")), (Some("shop"), None));
        assert!(spaces.is_in("service:a", "group:shop") && spaces.is_in("service:a", "service:a"));
        assert!(spaces.are_several() && !Namespaces::default().are_several());
        assert!(!spaces.is_in("service:d", "group:shop") && !spaces.is_in("service:c", "service:a"));
    }
}
