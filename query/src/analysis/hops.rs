//! Hops: the way of a message from the span that sent it to the spans that handled it.
//!
//! ```text
//! order      send |==|
//!                    .......... lag .........
//! mailer                                     process |=====|  attempt 1, failed
//!                                                          .... backoff ....
//! mailer                                                                    process |==|  attempt 2
//! ```
//!
//! One delivered message is counted once, whatever mixture of receive and process spans an agent emits:
//! a receive span is a delivery only when nothing processes its messages.
//!
//! Where the specification leaves room: the messages of a batch send share one creation context, so their
//! deliveries are told apart by message id or partition and offset; deliveries of a batch that carry
//! neither are taken for different messages, never for attempts of one. A receive span that says it got no
//! message (`messaging.batch.message_count` = 0) is no delivery.

use std::collections::BTreeMap;

use hashbrown::{HashMap, HashSet};
use model::semconv::key;
use model::{SpanId, TraceId, UnixNanos};

use super::classify::Operation;
use super::graph::{Graph, SpanIndex};
use super::node::Node;
use super::read::{Attributes, slot};
use super::systems;

/// More messages than this in one batch are not believed.
const BATCH_MAX: i64 = 1_000_000;

/// Why a delivery belongs to a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JoinedBy {
    /// The producer is its parent.
    Parent,
    /// The producer is the target of a link.
    Link,
    /// Both.
    Both,
    /// The message id, or partition and offset, are the same.
    MessageId,
}

impl JoinedBy {
    /// The word used in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Parent => "parent",
            Self::Link => "link",
            Self::Both => "both",
            Self::MessageId => "message_id",
        }
    }
}

/// One message (or batch) handed to a broker.
#[derive(Clone, Debug)]
pub struct Send {
    /// The producer span.
    pub span: SpanIndex,
    /// Where to.
    pub queue: Node,
    /// Messages sent.
    pub messages: u64,
}

/// One message (or batch) handled by a consumer.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The process or receive span.
    pub span: SpanIndex,
    /// Where from.
    pub queue: Node,
    /// Consumer group.
    pub group: Option<String>,
    /// When the consumer had the message, by its own clock.
    pub received: i64,
    /// `received` is the end of the span: it was waiting for messages.
    pub is_poll: bool,
    /// Creation contexts; none when nothing tells where the message came from.
    pub n_contexts: usize,
}

/// One message's way to one delivery.
#[derive(Clone, Debug)]
pub struct Hop {
    /// Trace and span id of the producer, received or not.
    pub context: (TraceId, SpanId),
    /// The producer span, when it was received.
    pub send: Option<SpanIndex>,
    /// The delivery, as a position in [`Messages::deliveries`].
    pub delivery: usize,
    /// The delivery's span.
    pub consumer: SpanIndex,
    /// Why they belong together.
    pub joined_by: JoinedBy,
    /// Which delivery of the message to this service, group and queue this is, from 1.
    pub attempt: usize,
    /// How many there are.
    pub attempts: usize,
    /// The delivery that failed before and made the broker deliver again, as a position in the hops.
    pub prev: Option<usize>,
    /// Nanoseconds from the end of `prev` or the producer until received, at least 0; 0 when neither is known.
    pub lag: i64,
    /// Received before the producer ended: asynchronous sends end when the broker acknowledges.
    pub is_overlap: bool,
    /// Wait by the broker's own clock, nanoseconds.
    pub broker_wait: Option<i64>,
    /// Names the message among those with the same context; empty when the context is enough.
    pub message: String,
}

/// Everything sent and delivered in a set of spans.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    /// In the order of their spans.
    pub sends: Vec<Send>,
    /// In the order of their spans.
    pub deliveries: Vec<Delivery>,
    /// In the order of their deliveries, then of their contexts.
    pub hops: Vec<Hop>,
    /// Delivery of each span, if it is one.
    pub delivery_of: HashMap<SpanIndex, usize>,
    /// Sends of which a message was delivered.
    handled: HashSet<SpanIndex>,
}

impl Messages {
    /// Hops that end in this delivery; they stand together.
    pub fn hops_into(&self, delivery: usize) -> &[Hop] {
        let first = self.hops.partition_point(|hop| hop.delivery < delivery);
        let after = self.hops.partition_point(|hop| hop.delivery <= delivery);
        &self.hops[first..after]
    }

    /// True when the span is a delivery.
    pub fn is_delivery(&self, span: SpanIndex) -> bool {
        self.delivery_of.contains_key(&span)
    }
}

/// Names of the messages of a trace of which the other end is not in the set: sent and handled by nobody, or handled and
/// sent by nobody. In the order of their spans; as [`super::joins::Leads`] names them.
pub fn loose_ends(graph: &Graph, messages: &Messages, trace: TraceId) -> Vec<String> {
    let spans = graph.trace(trace);
    let sends = {
        let first = messages.sends.partition_point(|send| send.span < spans.start);
        let after = messages.sends.partition_point(|send| send.span < spans.end);
        &messages.sends[first..after]
    };
    let deliveries = {
        let first = messages.deliveries.partition_point(|delivery| delivery.span < spans.start);
        let after = messages.deliveries.partition_point(|delivery| delivery.span < spans.end);
        &messages.deliveries[first..after]
    };
    if sends.is_empty() && deliveries.is_empty() {
        return Vec::new();
    }
    let unsent = deliveries.iter().filter(|delivery| delivery.n_contexts == 0).map(|delivery| delivery.span);
    let unhandled = sends.iter().map(|send| send.span).filter(|send| !messages.handled.contains(send));
    let mut ends: Vec<SpanIndex> = unsent.chain(unhandled).collect();
    ends.sort_unstable();
    let names = ends.into_iter().flat_map(|span| names_of(graph, span)).flatten();
    let names = names.map(|name| match name {
        MessageName::Id(id) => id.to_owned(),
        MessageName::Place(_, partition, offset) => format!("{partition}@{offset}"),
    });
    names.collect()
}

/// Finds sends, deliveries and hops.
///
/// Cost: O(n log n) for spans and links together.
pub fn messages(graph: &Graph) -> Messages {
    let sends = find_sends(graph);
    let mut messages = Messages { sends, ..Messages::default() };
    let ids = MessageIds::new(graph, &messages.sends);
    let batches: HashMap<SpanIndex, u64> = messages.sends.iter().map(|send| (send.span, send.messages)).collect();
    for span in find_deliveries(graph) {
        let contexts = contexts_of(graph, span);
        let contexts = if contexts.is_empty() { ids.find(graph, span).into_iter().collect() } else { contexts };
        let delivery = delivery(graph, span, &contexts);
        let at = messages.deliveries.len();
        for context in contexts {
            messages.hops.push(first_hop(graph, &delivery, at, &context, &batches));
        }
        messages.delivery_of.insert(span, at);
        messages.deliveries.push(delivery);
    }
    messages.handled = messages.hops.iter().filter_map(|hop| hop.send).collect();
    count_attempts(graph, &mut messages);
    messages
}

fn queue_of(graph: &Graph, span: SpanIndex) -> Option<Node> {
    let class = &graph.spans[span].class;
    class.destination.as_deref().map(|name| Node::queue(&class.system, name))
}

fn unnamed_queue(graph: &Graph, span: SpanIndex) -> Node {
    Node::queue(&graph.spans[span].class.system, "unknown")
}

/// Producer spans, except a client send that only carries messages made by create spans.
fn find_sends(graph: &Graph) -> Vec<Send> {
    let is_create = |link: &super::span::Link| {
        graph
            .find(link.trace_id, link.span_id)
            .is_some_and(|target| graph.spans[target].class.messaging == Some(Operation::Create))
    };
    let sends = graph.spans.iter().enumerate().filter(|(_, known)| {
        known.is_producer() && !(known.span.kind == model::SpanKind::Client && known.span.links.iter().any(is_create))
    });
    let to_send = |(span, known): (SpanIndex, &super::graph::Known)| Send {
        span,
        queue: queue_of(graph, span).unwrap_or_else(|| unnamed_queue(graph, span)),
        messages: known
            .facts
            .message
            .as_ref()
            .and_then(|message| message.batch_count)
            .map_or(1, |n| n.clamp(1, BATCH_MAX) as u64),
    };
    sends.map(to_send).collect()
}

/// Process spans, and receive spans whose messages nobody processes.
fn find_deliveries(graph: &Graph) -> Vec<SpanIndex> {
    let mut has_process_below = vec![false; graph.spans.len()];
    let mut processed: HashSet<(&str, (TraceId, SpanId))> = HashSet::new();
    for (at, known) in graph.spans.iter().enumerate().filter(|(_, known)| known.is_process()) {
        for link in &known.span.links {
            processed.insert((&known.service, (link.trace_id, link.span_id)));
        }
        // Upwards inside the service: a message sent on below a receive span is another message.
        let mut above = graph.parent[at];
        while let Some(here) = above.filter(|here| !has_process_below[*here]) {
            if graph.spans[here].is_producer() || graph.spans[here].service != known.service {
                break;
            }
            has_process_below[here] = true;
            above = graph.parent[here];
        }
        if let Some(parent) = graph.parent[at].filter(|parent| graph.spans[*parent].is_producer()) {
            let id = &graph.spans[parent].span;
            processed.insert((&known.service, (id.trace_id, id.span_id)));
        }
    }
    let is_delivery = |at: &SpanIndex| {
        let known = &graph.spans[*at];
        if known.is_process() {
            return true;
        }
        let count = known.facts.message.as_ref().and_then(|message| message.batch_count);
        if !known.is_receive() || has_process_below[*at] || count == Some(0) {
            return false;
        }
        let contexts = contexts_of(graph, *at);
        contexts.is_empty() || !contexts.iter().all(|context| processed.contains(&(&*known.service, context.id)))
    };
    (0..graph.spans.len()).filter(is_delivery).collect()
}

/// One creation context of a delivery.
struct Context {
    id: (TraceId, SpanId),
    joined_by: JoinedBy,
    /// Message id on the link.
    message: Option<String>,
}

/// The parent if it is a producer, and all link targets but the span's own receive span; by id.
fn contexts_of(graph: &Graph, at: SpanIndex) -> Vec<Context> {
    let known = &graph.spans[at];
    let producer = graph.parent[at].filter(|parent| graph.spans[*parent].is_producer());
    if known.span.links.is_empty() {
        let context = |parent: SpanIndex| {
            let span = &graph.spans[parent].span;
            Context { id: (span.trace_id, span.span_id), joined_by: JoinedBy::Parent, message: None }
        };
        return producer.map(context).into_iter().collect();
    }
    let mut contexts: BTreeMap<(TraceId, SpanId), Context> = BTreeMap::new();
    for link in &known.span.links {
        let id = (link.trace_id, link.span_id);
        let target = graph.find(link.trace_id, link.span_id);
        let is_own = id == (known.span.trace_id, known.span.span_id)
            || Some(link.span_id) == known.span.parent_span_id
                && link.trace_id == known.span.trace_id
                && target.is_none_or(|target| !graph.spans[target].is_producer())
            || target
                .is_some_and(|target| graph.spans[target].is_receive() && graph.spans[target].service == known.service);
        if !is_own {
            let message = Attributes::new(&link.attributes).string(slot!(key::MESSAGING_MESSAGE_ID));
            contexts.entry(id).or_insert(Context { id, joined_by: JoinedBy::Link, message });
        }
    }
    if let Some(parent) = producer {
        let span = &graph.spans[parent].span;
        let id = (span.trace_id, span.span_id);
        contexts.entry(id).and_modify(|context| context.joined_by = JoinedBy::Both).or_insert(Context {
            id,
            joined_by: JoinedBy::Parent,
            message: None,
        });
    }
    contexts.into_values().collect()
}

fn delivery(graph: &Graph, span: SpanIndex, contexts: &[Context]) -> Delivery {
    let known = &graph.spans[span];
    let is_poll = known.is_receive()
        && contexts.iter().any(|context| matches!(context.joined_by, JoinedBy::Link | JoinedBy::MessageId));
    let sent_to = || {
        let sender = contexts.iter().find_map(|context| graph.find(context.id.0, context.id.1))?;
        queue_of(graph, sender)
    };
    Delivery {
        span,
        queue: queue_of(graph, span).or_else(sent_to).unwrap_or_else(|| unnamed_queue(graph, span)),
        group: known.facts.message.as_ref().and_then(|message| message.group.clone()),
        received: if is_poll { known.end() } else { known.start() },
        is_poll,
        n_contexts: contexts.len(),
    }
}

fn first_hop(
    graph: &Graph,
    delivery: &Delivery,
    at: usize,
    context: &Context,
    batches: &HashMap<SpanIndex, u64>,
) -> Hop {
    let send = graph.find(context.id.0, context.id.1);
    let message = graph.spans[delivery.span].facts.message.as_deref();
    let is_batch = send.and_then(|send| batches.get(&send)).is_some_and(|messages| *messages > 1);
    let own_id = || {
        let message = message?;
        let place = || Some(format!("{}@{}", message.partition.as_deref()?, message.offset?));
        context.message.clone().or_else(|| message.id.clone()).or_else(place)
    };
    let name = if is_batch { own_id().unwrap_or_else(|| format!("#{at}")) } else { String::new() };
    Hop {
        context: context.id,
        send,
        delivery: at,
        consumer: delivery.span,
        joined_by: context.joined_by,
        attempt: 1,
        attempts: 1,
        prev: None,
        lag: 0,
        is_overlap: false,
        broker_wait: message.and_then(|message| message.broker_wait_ms).map(|ms| ms.saturating_mul(1_000_000)),
        message: name,
    }
}

/// Producers by what their messages are called.
struct MessageIds<'a> {
    /// By system and id, or by topic, partition and offset; sorted by start.
    by_name: HashMap<(&'a str, MessageName<'a>), Vec<SpanIndex>>,
}

#[derive(PartialEq, Eq, Hash)]
enum MessageName<'a> {
    Id(&'a str),
    Place(&'a str, &'a str, i64),
}

impl<'a> MessageIds<'a> {
    fn new(graph: &'a Graph, sends: &[Send]) -> Self {
        let mut by_name: HashMap<_, Vec<SpanIndex>> = HashMap::new();
        for send in sends {
            for name in names_of(graph, send.span).into_iter().flatten() {
                by_name.entry((graph.spans[send.span].class.system.as_ref(), name)).or_default().push(send.span);
            }
        }
        for spans in by_name.values_mut() {
            spans.sort_by_key(|span| (graph.spans[*span].start(), *span));
        }
        Self { by_name }
    }

    /// The one producer with the same name that started at most 1 s after and 24 h before; `None` when
    /// there is none or more than one.
    fn find(&self, graph: &'a Graph, consumer: SpanIndex) -> Option<Context> {
        let start = graph.spans[consumer].start();
        let (from, until) = (start.saturating_sub(UnixNanos::DAY), start.saturating_add(UnixNanos::SECOND));
        for name in names_of(graph, consumer).into_iter().flatten() {
            let system = graph.spans[consumer].class.system.as_ref();
            let Some(spans) = self.by_name.get(&(system, name)) else { continue };
            let first = spans.partition_point(|span| graph.spans[*span].start() < from);
            let after = spans.partition_point(|span| graph.spans[*span].start() <= until);
            if let [producer] = spans[first..after] {
                let span = &graph.spans[producer].span;
                return Some(Context {
                    id: (span.trace_id, span.span_id),
                    joined_by: JoinedBy::MessageId,
                    message: None,
                });
            }
        }
        None
    }
}

/// Names strong enough to join by: an id of at least 8 characters that is no plain number, and for Kafka
/// the place in the log.
fn names_of(graph: &Graph, span: SpanIndex) -> [Option<MessageName<'_>>; 2] {
    let class = &graph.spans[span].class;
    let Some(message) = graph.spans[span].facts.message.as_deref() else { return [None, None] };
    let id = message.id.as_deref().filter(|id| is_strong_id(id));
    let place = match (class.destination.as_deref(), message.partition.as_deref(), message.offset) {
        (Some(topic), Some(partition), Some(offset)) if class.system == "kafka" => {
            Some(MessageName::Place(topic, partition, offset))
        }
        _ => None,
    };
    [id.map(MessageName::Id), place]
}

/// True for a message id that can join: at least 8 characters and no plain number.
pub fn is_strong_id(id: &str) -> bool {
    id.len() >= 8 && !id.bytes().all(|b| b.is_ascii_digit())
}

/// Numbers the attempts of each message, finds what made the broker deliver again, and measures the lag.
fn count_attempts(graph: &Graph, messages: &mut Messages) {
    let Messages { deliveries, hops, .. } = messages;
    // All deliveries of one message stand together, by start.
    let mut order: Vec<usize> = (0..hops.len()).collect();
    let start = |hop: &Hop| (graph.spans[hop.consumer].start(), graph.spans[hop.consumer].span.span_id, hop.consumer);
    order.sort_by(|a, b| {
        let (a, b) = (&hops[*a], &hops[*b]);
        (a.context, &a.message).cmp(&(b.context, &b.message)).then_with(|| start(a).cmp(&start(b)))
    });
    let is_same = |a: &usize, b: &usize| hops[*a].context == hops[*b].context && hops[*a].message == hops[*b].message;
    let groups: Vec<Vec<usize>> = order.chunk_by(is_same).map(<[usize]>::to_vec).collect();
    for group in groups {
        // Consumers that share a key compete for the message; others get their own copy.
        let mut n_attempts: HashMap<(&str, Option<&str>, &Node), usize> = HashMap::new();
        let mut failed_here: HashMap<(&str, &Node), usize> = HashMap::new();
        // The last two failures with different queues, so that "any other queue" needs no search.
        let mut failed_last: [Option<usize>; 2] = [None, None];
        let queue = |hop: usize| &deliveries[hops[hop].delivery].queue;
        let mut found: Vec<(usize, Option<usize>)> = Vec::with_capacity(group.len());
        for &at in &group {
            let delivery = &deliveries[hops[at].delivery];
            let service = &*graph.spans[hops[at].consumer].service;
            let key = (service, delivery.group.as_deref(), &delivery.queue);
            let attempt = n_attempts.entry(key).or_default();
            *attempt += 1;
            let own = failed_here.get(&(service, &delivery.queue)).copied();
            let other = || failed_last.into_iter().flatten().find(|failed| queue(*failed) != &delivery.queue);
            let prev = own.or_else(|| systems::is_dead_letter(delivery.queue.label()).then(other).flatten());
            found.push((*attempt, prev));
            if graph.spans[hops[at].consumer].is_error {
                failed_here.insert((service, &delivery.queue), at);
                if failed_last[0].is_none_or(|last| queue(last) != &delivery.queue) {
                    failed_last[1] = failed_last[0];
                }
                failed_last[0] = Some(at);
            }
        }
        let totals: Vec<usize> = group
            .iter()
            .map(|at| {
                let delivery = &deliveries[hops[*at].delivery];
                let service = &*graph.spans[hops[*at].consumer].service;
                n_attempts.get(&(service, delivery.group.as_deref(), &delivery.queue)).copied().unwrap_or(1)
            })
            .collect();
        for ((at, (attempt, prev)), attempts) in group.into_iter().zip(found).zip(totals) {
            hops[at].attempt = attempt;
            hops[at].attempts = attempts;
            hops[at].prev = prev;
        }
    }
    let time = |span: SpanIndex| graph.spans[span].end();
    for at in 0..hops.len() {
        let received = deliveries[hops[at].delivery].received;
        let since = hops[at].prev.map(|prev| time(hops[prev].consumer)).or_else(|| hops[at].send.map(time));
        if let Some(since) = since {
            hops[at].lag = (received - since).max(0);
            hops[at].is_overlap = received < since;
        }
    }
}
