//! From spans to communications, journeys, critical paths and findings: pure functions over plain values.
//!
//! No IO, no clock, no async, no `Result`: odd data gives warnings. Results do not depend on the order in
//! which spans arrived, on how they were batched, or on spans sent twice.
//!
//! ```text
//! Vec<Span> ─ Graph ─ calls ─┬─ edges ─ map over time, comparison
//!                    └ hops ─┤
//!                            └─ Journey ─ skew ─ critical paths ─ findings
//! ```
//!
//! | file               | knows                                                                   |
//! |--------------------|-------------------------------------------------------------------------|
//! | `span.rs`          | the input                                                               |
//! | `read.rs`          | one attribute by its new or older names, whatever its type              |
//! | `systems.rs`       | names of brokers, databases, destinations, paths                        |
//! | `service.rs`       | service and process of a span                                           |
//! | `classify.rs`      | style, protocol, system, role, operation, facets: rows R1-R12, F1-F3    |
//! | `facts.rs`         | the other details of a span that later steps need                       |
//! | `errors.rs`        | error and fault                                                         |
//! | `graph.rs`         | the set of spans: order, copies, parents, children                      |
//! | `node.rs`          | ends of edges                                                           |
//! | `calls.rs`         | synchronous steps                                                       |
//! | `hops.rs`          | messages: sends, deliveries, attempts, lag                              |
//! | `edges.rs`         | calls and hops added up                                                 |
//! | `joins.rs`         | why two traces belong together                                          |
//! | `journey.rs`       | one request over all its traces, its lanes and steps                    |
//! | `skew.rs`          | clocks                                                                  |
//! | `critical_path.rs` | what held up the answer, and the last effect                            |
//! | `words.rs`         | enums that know how they are written                                    |
//! | `findings.rs`      | communication problems by name, with their evidence                     |
//! | `compare.rs`       | REST, gRPC and messaging side by side                                   |
//! | `map.rs`           | edges minute by minute                                                  |
//! | `thresholds.rs`    | every number a judgement rests on                                       |
//! | `statistics.rs`    | percentiles, exact and as a sketch                                      |

pub mod calls;
pub mod classify;
pub mod compare;
pub mod critical_path;
pub mod edges;
pub mod errors;
pub mod facts;
pub mod findings;
pub mod graph;
pub mod hops;
pub mod joins;
pub mod journey;
pub mod map;
pub mod node;
pub(crate) mod read;
mod service;
pub mod skew;
pub mod span;
pub mod statistics;
pub mod systems;
pub mod thresholds;
mod words;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::draw::{draw, draw_at, trace_id as drawn_trace};
#[cfg(test)]
pub(crate) use tests::otlp::read as otlp_fixture;

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use model::TraceId;

use calls::{Aliases, Call};
use graph::{Graph, SpanIndex};
use hops::Messages;
use joins::{Join, Poll};
use span::Span;

/// What the operator knows and spans do not say.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Hosts that are known to be a service of ours.
    pub aliases: Aliases,
    /// JMS broker addresses that are really `activemq` or `ibmmq`.
    pub jms_brokers: BTreeMap<String, String>,
    /// Join traces by equal conversation and request ids too.
    pub join_by_keys: bool,
}

/// A set of spans and every communication found in it. Positions in these lists are what journeys and
/// findings speak of.
#[derive(Clone, Debug, Default)]
pub struct Analysis {
    /// The spans.
    pub graph: Graph,
    /// Synchronous steps, in the order of their spans.
    pub calls: Vec<Call>,
    /// Sends, deliveries, hops.
    pub messages: Messages,
    /// Looks at status addresses.
    pub polls: Vec<Poll>,
    /// Joins between traces, by the start of the joined span.
    pub joins: Vec<Join>,
    /// Of each hop: how many deliveries of the same send began before.
    pub hop_rank: Vec<usize>,
    /// Calls without a server and the entry calls that are probably theirs: client span, server span.
    pub lost_contexts: Vec<(SpanIndex, SpanIndex)>,
    causes: HashMap<TraceId, Vec<usize>>,
    effects: HashMap<TraceId, Vec<usize>>,
    call_of_span: HashMap<SpanIndex, usize>,
    /// Of either span of a lost context: its positions.
    lost_of_span: HashMap<SpanIndex, Vec<usize>>,
}

/// Finds every communication in a set of spans, whatever their order.
///
/// Cost: O(n log n), below 5 µs a span.
pub fn analyze(spans: Vec<Span>, options: &Options) -> Analysis {
    let graph = Graph::new(spans, &options.jms_brokers);
    let calls = calls::calls(&graph, &options.aliases);
    let messages = hops::messages(&graph);
    let polls = joins::polls(&graph, &calls);
    let joins = joins::joins(&graph, &calls, &messages, &polls, options.join_by_keys);
    let (mut causes, mut effects): (HashMap<_, Vec<_>>, HashMap<_, Vec<_>>) = Default::default();
    for (at, join) in joins.iter().enumerate() {
        causes.entry(join.to).or_default().push(at);
        effects.entry(join.from).or_default().push(at);
    }
    let call_of_span = calls.iter().enumerate().map(|(at, call)| (call.span(), at)).collect();
    let hop_rank = hop_rank(&graph, &messages);
    let lost_contexts = calls::lost_contexts(&graph, &calls);
    let mut lost_of_span: HashMap<_, Vec<_>> = HashMap::new();
    for (at, (client, server)) in lost_contexts.iter().enumerate() {
        lost_of_span.entry(*client).or_default().push(at);
        lost_of_span.entry(*server).or_default().push(at);
    }
    Analysis {
        graph,
        calls,
        messages,
        polls,
        joins,
        hop_rank,
        lost_contexts,
        causes,
        effects,
        call_of_span,
        lost_of_span,
    }
}

impl Analysis {
    /// Joins into a trace.
    pub fn causes(&self, trace: TraceId) -> impl Iterator<Item = &Join> {
        self.causes.get(&trace).into_iter().flatten().map(|at| &self.joins[*at])
    }

    /// Joins out of a trace, by the start of the joined span.
    pub fn effects(&self, trace: TraceId) -> impl Iterator<Item = &Join> {
        self.effects.get(&trace).into_iter().flatten().map(|at| &self.joins[*at])
    }

    /// The call whose client (or, without one, whose server) this span is.
    pub fn call_started_by(&self, span: SpanIndex) -> Option<usize> {
        self.call_of_span.get(&span).copied()
    }

    /// Contexts lost at one of these spans, in their order.
    pub fn lost_contexts_of(&self, spans: &[SpanIndex]) -> impl Iterator<Item = (SpanIndex, SpanIndex)> {
        let of_spans = spans.iter().filter_map(|span| self.lost_of_span.get(span));
        let lost: BTreeSet<usize> = of_spans.flatten().copied().collect();
        lost.into_iter().map(|at| self.lost_contexts[at])
    }

    /// The span was waiting for its message: it has it at its end.
    pub fn is_poll_delivery(&self, span: SpanIndex) -> bool {
        self.messages.delivery_of.get(&span).is_some_and(|at| self.messages.deliveries[*at].is_poll)
    }
}

fn hop_rank(graph: &Graph, messages: &Messages) -> Vec<usize> {
    let mut order: Vec<usize> = (0..messages.hops.len()).collect();
    order.sort_by_key(|at| (graph.spans[messages.hops[*at].consumer].start(), messages.hops[*at].consumer, *at));
    let mut seen = HashMap::new();
    let mut ranks = vec![0; order.len()];
    for at in order {
        let n = seen.entry(messages.hops[at].context).or_insert(0);
        ranks[at] = *n;
        *n += 1;
    }
    ranks
}
