//! REST, gRPC and messaging compared from real data, by family and by edge.
//!
//! Durations are what the caller perceived: the client span's for calls, the send's for messages, and
//! separately the lag in the broker and the time from the producer's end to the consumer's end. Calls
//! without a client span (entries, lost callers) have no such time and are not counted.
//!
//! Rows with fewer than [`ENOUGH`] calls are marked: show them without percentiles.

use std::collections::{BTreeMap, BTreeSet};

use super::Analysis;
use super::calls::Call;
use super::classify::{Protocol, Style};
use super::edges::{EdgeKey, call_key, message_key, send_key};
use super::node::Node;
use super::statistics::Distribution;

/// Fewer calls or messages than this make percentiles meaningless.
pub const ENOUGH: u64 = 30;

/// What is put side by side.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Family {
    /// Protocol.
    pub protocol: Protocol,
    /// For messaging and web sockets the product; empty for the others.
    pub system: String,
}

/// One row of the comparison. Nanoseconds and bytes.
#[derive(Clone, Debug)]
pub struct Row {
    /// Does the caller wait?
    pub style: Style,
    /// Calls with a client span.
    pub calls: u64,
    /// Messages handed to a broker.
    pub sends: u64,
    /// Messages that reached a consumer.
    pub deliveries: u64,
    /// Calls, sends and deliveries that failed.
    pub errors: u64,
    /// Client durations of calls.
    pub durations: Distribution,
    /// Durations of sends.
    pub send_durations: Distribution,
    /// Wait in the broker, for deliveries whose producer is known.
    pub lags: Distribution,
    /// Producer's end to consumer's end.
    pub end_to_end: Distribution,
    /// Nanoseconds of paired calls outside the server.
    pub network_nanos: i64,
    /// Nanoseconds of paired calls.
    pub paired_nanos: i64,
    /// Request sizes.
    pub request_bytes: Distribution,
    /// Answer sizes.
    pub response_bytes: Distribution,
    /// Message body sizes.
    pub body_bytes: Distribution,
    /// Captured formats and how often.
    pub content_types: BTreeMap<String, u64>,
    /// Faults of the callee, or of the send.
    pub callee_faults: u64,
    /// Of these: the caller's own work became a fault too.
    pub caller_faults: u64,
    /// Consumers of each queue.
    pub consumers: BTreeMap<Node, BTreeSet<(String, Option<String>)>>,
    /// Nodes on the way at most, brokers and proxies counted.
    pub moving_parts: usize,
}

impl Row {
    fn new(style: Style) -> Self {
        Self {
            style,
            calls: 0,
            sends: 0,
            deliveries: 0,
            errors: 0,
            durations: Distribution::default(),
            send_durations: Distribution::default(),
            lags: Distribution::default(),
            end_to_end: Distribution::default(),
            network_nanos: 0,
            paired_nanos: 0,
            request_bytes: Distribution::default(),
            response_bytes: Distribution::default(),
            body_bytes: Distribution::default(),
            content_types: BTreeMap::new(),
            callee_faults: 0,
            caller_faults: 0,
            consumers: BTreeMap::new(),
            moving_parts: 2,
        }
    }

    /// Calls, or the larger of sends and deliveries.
    pub fn count(&self) -> u64 {
        self.calls.max(self.sends).max(self.deliveries)
    }

    /// Too few to show percentiles.
    pub fn has_too_few(&self) -> bool {
        self.count() < ENOUGH
    }

    /// Calls or messages per minute in a window of this length.
    pub fn per_minute(&self, window_nanos: i64) -> f64 {
        self.count() as f64 * 60e9 / window_nanos.max(1) as f64
    }

    /// Share of the perceived time spent outside the server; `None` without paired calls.
    pub fn network_share(&self) -> Option<f64> {
        (self.paired_nanos > 0).then(|| self.network_nanos as f64 / self.paired_nanos as f64)
    }

    /// Share of failed calls, sends and deliveries.
    pub fn error_share(&self) -> f64 {
        let n = self.calls + self.sends + self.deliveries;
        if n == 0 { 0.0 } else { self.errors as f64 / n as f64 }
    }

    /// Share of the callee's faults that became the caller's; 0 for a queue unless the send fails.
    pub fn failure_coupling(&self) -> f64 {
        if self.callee_faults == 0 { 0.0 } else { self.caller_faults as f64 / self.callee_faults as f64 }
    }

    /// Consumers (service and group) per destination on average; `None` when nothing was delivered.
    pub fn fan_out(&self) -> Option<f64> {
        let consumers: usize = self.consumers.values().map(BTreeSet::len).sum();
        (!self.consumers.is_empty()).then(|| consumers as f64 / self.consumers.len() as f64)
    }

    /// The most frequent captured format.
    pub fn content_type(&self) -> Option<&str> {
        let most = self.content_types.iter().max_by_key(|(name, count)| (**count, std::cmp::Reverse(*name)));
        most.map(|(name, _)| name.as_str())
    }
}

/// Can a person read what goes over the wire? gRPC and binary bodies: no; `None` when nothing tells.
pub fn is_human_readable(protocol: Protocol, content_type: Option<&str>) -> Option<bool> {
    if protocol == Protocol::Grpc {
        return Some(false);
    }
    let format = content_type?.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| format.contains(word));
    if has(&["json", "xml", "text/", "yaml", "form-urlencoded", "graphql"]) {
        Some(true)
    } else if has(&["protobuf", "grpc", "octet-stream", "avro", "thrift", "msgpack", "cbor"]) {
        Some(false)
    } else {
        None
    }
}

/// Rows by family: http, graphql, grpc, rpc, websocket, and messaging by system. Databases and the like are
/// in the map, not here.
pub fn by_family(analysis: &Analysis) -> BTreeMap<Family, Row> {
    let is_compared = |protocol: Protocol| {
        matches!(
            protocol,
            Protocol::Http
                | Protocol::Graphql
                | Protocol::Grpc
                | Protocol::Rpc
                | Protocol::Websocket
                | Protocol::Messaging
        )
    };
    let mut rows = BTreeMap::new();
    collect(analysis, &mut rows, |key| {
        let system = match key.protocol {
            Protocol::Messaging | Protocol::Websocket => key.system.clone(),
            _ => String::new(),
        };
        is_compared(key.protocol).then_some(Family { protocol: key.protocol, system })
    });
    rows
}

/// Rows by edge.
pub fn by_edge(analysis: &Analysis) -> BTreeMap<EdgeKey, Row> {
    let mut rows = BTreeMap::new();
    collect(analysis, &mut rows, |key| Some(key.clone()));
    rows
}

fn collect<K: Ord>(analysis: &Analysis, rows: &mut BTreeMap<K, Row>, key: impl Fn(&EdgeKey) -> Option<K>) {
    let graph = &analysis.graph;
    let is_fault_of_entry = |span: usize| graph.spans[graph.entry[span]].is_fault;
    for call in analysis.calls.iter().filter(|call| call.client.is_some()) {
        if let Some(key) = key(&call_key(call)) {
            add_call(analysis, rows.entry(key).or_insert_with(|| Row::new(call.style)), call);
        }
    }
    for send in &analysis.messages.sends {
        let Some(key) = key(&send_key(graph, send)) else { continue };
        let row = rows.entry(key).or_insert_with(|| Row::new(Style::Async));
        let known = &graph.spans[send.span];
        row.sends += send.messages;
        row.moving_parts = row.moving_parts.max(3);
        row.errors += u64::from(known.is_error);
        row.send_durations.add(known.duration());
        row.callee_faults += u64::from(known.is_fault);
        row.caller_faults += u64::from(known.is_fault && is_fault_of_entry(send.span));
        if let Some(bytes) = known.facts.message.as_ref().and_then(|message| message.body_bytes) {
            row.body_bytes.add(bytes);
        }
    }
    for (at, delivery) in analysis.messages.deliveries.iter().enumerate() {
        let known = &graph.spans[delivery.span];
        let service = Node::service(&known.service);
        let Some(key) = key(&message_key(&delivery.queue, service, &known.class.system)) else { continue };
        let row = rows.entry(key).or_insert_with(|| Row::new(Style::Async));
        row.deliveries += 1;
        row.errors += u64::from(known.is_error);
        row.moving_parts = row.moving_parts.max(3);
        let consumer = (known.service.to_string(), delivery.group.clone());
        row.consumers.entry(delivery.queue.clone()).or_default().insert(consumer);
        for hop in analysis.messages.hops_into(at) {
            let Some(send) = hop.send else { continue };
            row.lags.add(hop.lag);
            row.end_to_end.add((known.end() - graph.spans[send].end()).max(0));
            let is_routed = graph.spans[send].class.destination != known.class.destination;
            row.moving_parts = row.moving_parts.max(3 + usize::from(is_routed));
        }
    }
}

fn add_call(analysis: &Analysis, row: &mut Row, call: &Call) {
    row.calls += 1;
    row.errors += u64::from(call.is_error);
    row.durations.add(call.duration());
    if let Some(network) = call.network_nanos {
        row.network_nanos = row.network_nanos.saturating_add(network.max(0));
        row.paired_nanos = row.paired_nanos.saturating_add(call.duration());
    }
    if let Some(bytes) = call.request_bytes {
        row.request_bytes.add(bytes);
    }
    if let Some(bytes) = call.response_bytes {
        row.response_bytes.add(bytes);
    }
    let format = [call.client, call.server].into_iter().flatten();
    if let Some(format) = format.filter_map(|span| analysis.graph.spans[span].facts.content_type.as_ref()).next() {
        *row.content_types.entry(format.clone()).or_default() += 1;
    }
    row.callee_faults += u64::from(call.is_fault);
    let is_entry_fault = call.entry.is_some_and(|entry| analysis.graph.spans[entry].is_fault);
    row.caller_faults += u64::from(call.is_fault && is_entry_fault);
    row.moving_parts = row.moving_parts.max(2 + usize::from(call.is_through_mesh));
}
