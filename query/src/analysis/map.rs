//! The service map over time: what went over each edge, minute by minute.
//!
//! ```text
//! (minute, source, target, protocol, system, op, environment) → count, errors, faults, sketches, bytes, exemplars
//! ```
//!
//! Every value merges, in any order: hours and days are sums of minutes, and the map of any range is a
//! group-by. A node is active in a range if any of its edges is; its RED figures are the sum of its incoming
//! edges, entries included.
//!
//! The rim decides when: a call waits [`CALL_WAIT_NANOS`] for its other half, a hop [`HOP_WAIT_NANOS`];
//! a minute takes late spans for [`LATE_NANOS`], after that they are only counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{TraceId, UnixNanos};

use super::Analysis;
use super::calls::Missing;
use super::classify::{Protocol, Style};
use super::edges::{EdgeKey, call_key, message_key, send_key};
use super::findings::MinuteOfEdge;
use super::graph::SpanIndex;
use super::node::Node;
use super::statistics::Sketch;
use super::words::words;

/// How long a call waits for its other half before it is kept as virtual.
pub const CALL_WAIT_NANOS: i64 = 10 * UnixNanos::SECOND;
/// How long a delivery waits for its producer.
pub const HOP_WAIT_NANOS: i64 = 60 * UnixNanos::SECOND;
/// How long after its end a minute is still corrected.
pub const LATE_NANOS: i64 = 600 * UnixNanos::SECOND;

const MINUTE: i64 = 60 * UnixNanos::SECOND;

/// One edge and operation in one minute, in one environment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MinuteKey {
    /// Minutes since 1970, of the call's start.
    pub minute: i64,
    /// The edge.
    pub edge: EdgeKey,
    /// What was asked for.
    pub op: Arc<str>,
    /// Where it runs, such as production: of a call as its server says, of a message as who handles it; empty when nobody says.
    pub environment: Arc<str>,
}

/// A journey to look at: how long (or when), and its trace.
type Exemplar = (i64, TraceId);

/// What went over it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Minute {
    /// Calls, messages or deliveries.
    pub count: u64,
    /// Those that failed.
    pub errors: u64,
    /// Those that failed and were not merely refused.
    pub faults: u64,
    /// Perceived nanoseconds.
    pub durations: Sketch,
    /// Nanoseconds outside the server.
    pub network: Sketch,
    /// Nanoseconds in the broker.
    pub lags: Sketch,
    /// Bytes of requests and messages.
    pub request_bytes: u64,
    /// Bytes of answers.
    pub response_bytes: u64,
    /// Earliest start, nanoseconds since 1970; `None` when nothing was counted.
    pub first_seen: Option<i64>,
    /// Latest start.
    pub last_seen: Option<i64>,
    /// Duration and trace of the slowest.
    pub slowest: Option<Exemplar>,
    /// Start and trace of the first that failed.
    pub failed: Option<Exemplar>,
}

impl Minute {
    /// Adds what another part of the same edge saw.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.errors += other.errors;
        self.faults += other.faults;
        self.durations.merge(&other.durations);
        self.network.merge(&other.network);
        self.lags.merge(&other.lags);
        self.request_bytes = self.request_bytes.saturating_add(other.request_bytes);
        self.response_bytes = self.response_bytes.saturating_add(other.response_bytes);
        self.first_seen = [self.first_seen, other.first_seen].into_iter().flatten().min();
        self.last_seen = self.last_seen.max(other.last_seen);
        self.slowest = self.slowest.max(other.slowest);
        self.failed = [self.failed, other.failed].into_iter().flatten().min();
    }
}

impl Minute {
    /// Negative sizes are none.
    fn add_bytes(&mut self, request: Option<i64>, response: Option<i64>) {
        let add = |sum: u64, bytes: Option<i64>| sum.saturating_add(bytes.unwrap_or(0).max(0) as u64);
        self.request_bytes = add(self.request_bytes, request);
        self.response_bytes = add(self.response_bytes, response);
    }
}

/// One thing that went over an edge.
struct Passage {
    key: EdgeKey,
    op: Arc<str>,
    environment: Arc<str>,
    start: i64,
    nanos: i64,
    count: u64,
    is_error: bool,
    is_fault: bool,
    trace: TraceId,
    journey: TraceId,
}

/// Minutes by the trace they belong to.
pub type ByTrace = BTreeMap<TraceId, BTreeMap<MinuteKey, Minute>>;

/// The minutes of everything in a set of spans. `journey_of` names the journey of a trace, for exemplars.
///
/// Add the spans of each trace once: counts of the same call in two sets add up.
pub fn minutes(analysis: &Analysis, journey_of: impl Fn(TraceId) -> TraceId) -> BTreeMap<MinuteKey, Minute> {
    let mut minutes: BTreeMap<MinuteKey, Minute> = BTreeMap::new();
    for (key, minute) in minutes_of_traces(analysis, journey_of).into_values().flatten() {
        minutes.entry(key).or_default().merge(&minute);
    }
    minutes
}

/// The same by trace: what each adds to the sums. A call belongs to the trace of its first span, a delivery to the
/// consumer's, a send to the producer's.
pub fn minutes_of_traces(analysis: &Analysis, journey_of: impl Fn(TraceId) -> TraceId) -> ByTrace {
    let graph = &analysis.graph;
    let mut minutes = BTreeMap::new();
    let nowhere: Arc<str> = Arc::from("");
    let said = |environment: Option<&Arc<str>>| Arc::clone(environment.unwrap_or(&nowhere));
    let environment = |span: SpanIndex| said(graph.spans[span].environment.as_ref());
    for call in &analysis.calls {
        let passage = Passage {
            key: call_key(call),
            op: Arc::clone(&call.op),
            environment: said(call.environment(graph)),
            start: call.start,
            nanos: call.duration(),
            count: 1,
            is_error: call.is_error,
            is_fault: call.is_fault,
            trace: graph.trace_of(call.span()),
            journey: journey_of(graph.trace_of(call.span())),
        };
        let minute = pass(&mut minutes, passage);
        if let Some(network) = call.network_nanos.filter(|_| call.missing == Missing::Nothing) {
            minute.network.add(network);
        }
        minute.add_bytes(call.request_bytes, call.response_bytes);
    }
    for send in &analysis.messages.sends {
        let known = &graph.spans[send.span];
        let passage = Passage {
            key: send_key(graph, send),
            op: Arc::clone(&known.class.op),
            environment: environment(send.span),
            start: known.start(),
            nanos: known.duration(),
            count: send.messages,
            is_error: known.is_error,
            is_fault: known.is_fault,
            trace: known.span.trace_id,
            journey: journey_of(known.span.trace_id),
        };
        let bytes = known.facts.message.as_ref().and_then(|message| message.body_bytes);
        pass(&mut minutes, passage).add_bytes(bytes, None);
    }
    let mut routed = std::collections::HashSet::new();
    for (at, delivery) in analysis.messages.deliveries.iter().enumerate() {
        let known = &graph.spans[delivery.span];
        let passage = |key: EdgeKey, nanos: i64| Passage {
            key,
            op: Arc::clone(&known.class.op),
            environment: environment(delivery.span),
            start: delivery.received,
            nanos,
            count: 1,
            is_error: known.is_error,
            is_fault: known.is_fault,
            trace: known.span.trace_id,
            journey: journey_of(known.span.trace_id),
        };
        let key = message_key(&delivery.queue, Node::service(&known.service), &known.class.system);
        let hops = analysis.messages.hops_into(at);
        let minute = pass(&mut minutes, passage(key, known.duration()));
        hops.iter().filter(|hop| hop.send.is_some()).for_each(|hop| minute.lags.add(hop.lag));
        for hop in hops {
            let sent = hop.send.map(|send| &graph.spans[send].class);
            let Some((class, name)) = sent.and_then(|class| Some((class, class.destination.as_deref()?))) else {
                continue;
            };
            let sent_to = Node::queue(&class.system, name);
            if sent_to != delivery.queue && routed.insert((hop.context, &hop.message, &delivery.queue)) {
                let key = message_key(&sent_to, delivery.queue.clone(), &known.class.system);
                let route = Passage {
                    is_error: false,
                    is_fault: false,
                    ..passage(EdgeKey { protocol: Protocol::Route, ..key }, 0)
                };
                pass(&mut minutes, route);
            }
        }
    }
    minutes
}

fn pass(minutes: &mut ByTrace, passage: Passage) -> &mut Minute {
    let Passage { key, op, environment, start, nanos, count, is_error, is_fault, trace, journey } = passage;
    let key = MinuteKey { minute: start.div_euclid(MINUTE), edge: key, op, environment };
    let minute = minutes.entry(trace).or_default().entry(key).or_default();
    minute.count += count;
    minute.errors += if is_error { count } else { 0 };
    minute.faults += if is_fault { count } else { 0 };
    minute.durations.add(nanos);
    minute.first_seen = Some(minute.first_seen.map_or(start, |first| first.min(start)));
    minute.last_seen = minute.last_seen.max(Some(start));
    minute.slowest = minute.slowest.max(Some((nanos, journey)));
    if is_error {
        minute.failed = [minute.failed, Some((start, journey))].into_iter().flatten().min();
    }
    minute
}

/// True when a minute no longer takes spans at this moment: they are counted as late instead.
pub fn is_closed(minute: i64, now: UnixNanos) -> bool {
    now.0 >= minute.saturating_add(1).saturating_mul(MINUTE).saturating_add(LATE_NANOS)
}

/// The map of some minutes: edges with all operations together.
pub fn map<'a>(minutes: impl IntoIterator<Item = (&'a MinuteKey, &'a Minute)>) -> BTreeMap<EdgeKey, Minute> {
    let mut edges: BTreeMap<EdgeKey, Minute> = BTreeMap::new();
    for (key, minute) in minutes {
        edges.entry(key.edge.clone()).or_default().merge(minute);
    }
    edges
}

/// RED figures of every node: the sum of its incoming edges; a node without any has an empty sum.
pub fn nodes(edges: &BTreeMap<EdgeKey, Minute>) -> BTreeMap<Node, Minute> {
    let mut nodes: BTreeMap<Node, Minute> = BTreeMap::new();
    for (key, minute) in edges {
        nodes.entry(key.source.clone()).or_default();
        nodes.entry(key.target.clone()).or_default().merge(minute);
    }
    nodes
}

/// Minutes as [`traffic_spikes`](super::findings::traffic_spikes) wants them: edges with all operations
/// together.
pub fn minutes_of_edges(minutes: &BTreeMap<MinuteKey, Minute>) -> Vec<MinuteOfEdge> {
    let mut edges: BTreeMap<(i64, &EdgeKey), Minute> = BTreeMap::new();
    for (key, minute) in minutes {
        edges.entry((key.minute, &key.edge)).or_default().merge(minute);
    }
    let of_edge = |((minute, key), sums): ((i64, &EdgeKey), Minute)| MinuteOfEdge {
        minute,
        edge: format!("{} -> {}", key.source, key.target),
        calls: sums.count,
        p95: sums.durations.percentile(0.95),
        lag_p95: (sums.lags.count() > 0).then(|| sums.lags.percentile(0.95)),
    };
    edges.into_iter().map(of_edge).collect()
}

words! {
    /// How an edge is drawn.
    Line {
        Solid "solid" "The caller waits.",
        Dashed "dashed" "Over a queue.",
        Dotted "dotted" "Looking up addresses.",
        Thin "thin" "From one queue into another.",
    }
}

/// How an edge of this protocol and style is drawn.
pub fn line(protocol: Protocol, style: Style) -> Line {
    match (protocol, style) {
        (Protocol::Route, _) => Line::Thin,
        (Protocol::Discovery | Protocol::Dns, _) => Line::Dotted,
        (_, Style::Async) => Line::Dashed,
        _ => Line::Solid,
    }
}

words! {
    /// How an edge differs between two ranges.
    Change {
        Appeared "appeared" "Only in the later range.",
        Vanished "vanished" "Only in the earlier range.",
        Errors "errors" "The share of errors changed at least twofold.",
        Slower "p95" "The 95th percentile changed at least twofold.",
    }
}

/// What is compared of an edge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// Calls, messages or deliveries.
    pub count: u64,
    /// Those that failed.
    pub errors: u64,
    /// 95th percentile; `None` when nothing was measured.
    pub p95: Option<i64>,
}

/// What changed between two ranges: appeared, vanished, or error rate or p95 by a factor of two.
pub fn changes(before: Option<Figures>, after: Option<Figures>) -> Vec<Change> {
    let is_twofold = |was: f64, is: f64| was != is && was.max(is) >= 2.0 * was.min(is);
    let share = |figures: Figures| figures.errors as f64 / figures.count.max(1) as f64;
    let (was, is) = match (before, after) {
        (None, None) => return Vec::new(),
        (None, Some(_)) => return vec![Change::Appeared],
        (Some(_), None) => return vec![Change::Vanished],
        (Some(was), Some(is)) => (was, is),
    };
    let p95 = |figures: Figures| figures.p95.unwrap_or_default() as f64;
    let has = [(Change::Errors, is_twofold(share(was), share(is))), (Change::Slower, is_twofold(p95(was), p95(is)))];
    has.into_iter().filter(|(_, has)| *has).map(|(change, _)| change).collect()
}

/// Edges that appeared, vanished, or changed their error rate or p95 by a factor of two.
pub fn differences(before: &BTreeMap<EdgeKey, Minute>, after: &BTreeMap<EdgeKey, Minute>) -> Vec<(EdgeKey, Change)> {
    let figures = |minute: &Minute| Figures {
        count: minute.count,
        errors: minute.errors,
        p95: Some(minute.durations.percentile(0.95)),
    };
    let mut found = Vec::new();
    for key in before.keys().chain(after.keys().filter(|key| !before.contains_key(key))) {
        let changes = changes(before.get(key).map(figures), after.get(key).map(figures));
        found.extend(changes.into_iter().map(|change| (key.clone(), change)));
    }
    found.sort();
    found
}
