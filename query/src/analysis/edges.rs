//! Edges: calls and hops added up by who talks to whom, over what.
//!
//! ```text
//! service:order -> service:payment            grpc/grpc         2 calls, 1 error
//! service:order -> queue:kafka/order-created  messaging/kafka   one per message sent
//! queue:kafka/order-created -> service:mailer messaging/kafka   one per delivery
//! queue:sns/events -> queue:sqs/shipping      route/sqs         one per message that changed its queue
//! ```

use std::collections::{BTreeMap, HashSet};

use super::calls::Call;
use super::classify::{Protocol, Style};
use super::graph::{Graph, SpanIndex};
use super::hops::{Messages, Send};
use super::node::Node;
use super::statistics::Distribution;

/// Who, whom, over what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeKey {
    /// Where it starts.
    pub source: Node,
    /// Where it ends.
    pub target: Node,
    /// Family.
    pub protocol: Protocol,
    /// Product.
    pub system: String,
}

/// What went over an edge.
#[derive(Clone, Debug)]
pub struct Edge {
    /// Does the caller wait?
    pub style: Style,
    /// Calls, messages or deliveries seen.
    pub calls: u64,
    /// Those that failed.
    pub errors: u64,
    /// Those that failed and were not merely refused.
    pub faults: u64,
    /// `calls`, each counted as often as its sampling says.
    pub weight: f64,
    /// Nanoseconds: client else server for calls, the span's for sends and deliveries.
    pub durations: Distribution,
    /// Nanoseconds from sent to received, for deliveries.
    pub lags: Distribution,
    /// The same by consumer group: each group reads at its own pace. Deliveries without a group are not here.
    pub lags_by_group: BTreeMap<String, Distribution>,
    /// Some target was found by its address only.
    pub is_inferred: bool,
}

impl Default for Edge {
    fn default() -> Self {
        Self {
            style: Style::Sync,
            calls: 0,
            errors: 0,
            faults: 0,
            weight: 0.0,
            durations: Distribution::default(),
            lags: Distribution::default(),
            lags_by_group: BTreeMap::new(),
            is_inferred: false,
        }
    }
}

/// All edges of a set of calls and messages, by key.
pub fn edges(graph: &Graph, calls: &[Call], messages: &Messages) -> BTreeMap<EdgeKey, Edge> {
    edges_where(graph, calls, messages, |_| true)
}

/// The edges of those calls, sends and deliveries whose span `is_wanted`.
pub fn edges_where(
    graph: &Graph,
    calls: &[Call],
    messages: &Messages,
    is_wanted: impl Fn(SpanIndex) -> bool,
) -> BTreeMap<EdgeKey, Edge> {
    let mut edges: BTreeMap<EdgeKey, Edge> = BTreeMap::new();
    for call in calls.iter().filter(|call| is_wanted(call.span())) {
        let edge = edges.entry(call_key(call)).or_default();
        edge.style = call.style;
        edge.is_inferred |= call.is_inferred;
        edge.add(1, call.is_error, call.is_fault, call.weight, call.duration());
    }
    for send in messages.sends.iter().filter(|send| is_wanted(send.span)) {
        let known = &graph.spans[send.span];
        let edge = edges.entry(send_key(graph, send)).or_default();
        edge.style = Style::Async;
        edge.add(send.messages, known.is_error, known.is_fault, known.weight, known.duration());
    }
    let mut routed = HashSet::new();
    for (at, delivery) in messages.deliveries.iter().enumerate().filter(|(_, delivery)| is_wanted(delivery.span)) {
        let known = &graph.spans[delivery.span];
        let service = Node::service(&known.service);
        let edge = edges.entry(message_key(&delivery.queue, service, &known.class.system)).or_default();
        edge.style = Style::Async;
        edge.add(1, known.is_error, known.is_fault, known.weight, known.duration());
        let hops = messages.hops_into(at);
        for hop in hops.iter().filter(|hop| hop.send.is_some()) {
            edge.lags.add(hop.lag);
            if let Some(group) = &delivery.group {
                edge.lags_by_group.entry(group.clone()).or_default().add(hop.lag);
            }
        }
        for hop in hops {
            let class = hop.send.map(|send| &graph.spans[send].class);
            let Some((class, name)) = class.and_then(|class| Some((class, class.destination.as_deref()?))) else {
                continue;
            };
            let sent_to = Node::queue(&class.system, name);
            if sent_to != delivery.queue && routed.insert((hop.context, &hop.message, &delivery.queue)) {
                let key = message_key(&sent_to, delivery.queue.clone(), &known.class.system);
                let route = edges.entry(EdgeKey { protocol: Protocol::Route, ..key }).or_default();
                route.style = Style::Async;
                route.calls += 1;
                route.weight += known.weight;
            }
        }
    }
    edges
}

impl Edge {
    fn add(&mut self, n: u64, is_error: bool, is_fault: bool, weight: f64, nanos: i64) {
        self.calls += n;
        self.errors += if is_error { n } else { 0 };
        self.faults += if is_fault { n } else { 0 };
        self.weight += n as f64 * weight;
        self.durations.add(nanos);
    }
}

/// The edge a call belongs to.
pub fn call_key(call: &Call) -> EdgeKey {
    EdgeKey {
        source: call.source.clone(),
        target: call.target.clone(),
        protocol: call.protocol,
        system: call.system.clone().into_owned(),
    }
}

/// The edge a send belongs to.
pub fn send_key(graph: &Graph, send: &Send) -> EdgeKey {
    let known = &graph.spans[send.span];
    message_key(&Node::service(&known.service), send.queue.clone(), &known.class.system)
}

/// The edge of a delivery, or with another protocol of a route.
pub fn message_key(source: &Node, target: Node, system: &str) -> EdgeKey {
    let protocol = if super::systems::is_socket(system) { Protocol::Websocket } else { Protocol::Messaging };
    EdgeKey { source: source.clone(), target, protocol, system: system.to_owned() }
}
