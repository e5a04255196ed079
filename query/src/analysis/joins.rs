//! Joins: why two traces belong to one journey.
//!
//! | kind         | from → to                                                            | confidence |
//! |--------------|----------------------------------------------------------------------|------------|
//! | `link`       | a producer's trace → a trace that links to it                        | high       |
//! | `message_id` | a producer's trace → a trace that handles a message of the same name | medium     |
//! | `poll`       | a call answered 202 with a status address → the trace of a later GET | medium     |
//! | `key`        | first trace with a strong key → the others; only when enabled        | low        |

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use model::semconv::key;
use model::{SpanKind, TraceId};

use super::calls::Call;
use super::classify::path;
use super::facts::Facts;
use super::graph::{Graph, SpanIndex};
use super::hops::{JoinedBy, Messages};
use super::node::Node;
use super::read::{Attributes, slot, url_path};
use super::span::Span;

/// Values shared by more traces than this say nothing.
const TRACES_PER_KEY_MAX: usize = 50;
/// Shorter conversation ids are counters: batch sends of boto3 put "1" and "2" there.
const KEY_CHARS_MIN: usize = 16;

/// How sure a join is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// A value that happens to be equal.
    Low,
    /// An id or address meant for it.
    Medium,
    /// Trace context.
    High,
}

impl Confidence {
    /// The word used in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// Why two traces are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JoinKind {
    /// Trace context in a link.
    Link,
    /// The name of a message.
    MessageId,
    /// A status address.
    Poll,
    /// A strong key.
    Key,
}

impl JoinKind {
    /// The word used in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::MessageId => "message_id",
            Self::Poll => "poll",
            Self::Key => "key",
        }
    }

    /// How sure it is.
    pub const fn confidence(self) -> Confidence {
        match self {
            Self::Link => Confidence::High,
            Self::MessageId | Self::Poll => Confidence::Medium,
            Self::Key => Confidence::Low,
        }
    }
}

/// One reason to follow a request from trace `from` into trace `to`.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// The cause; possibly a trace that is not in the set.
    pub from: TraceId,
    /// The effect.
    pub to: TraceId,
    /// Why.
    pub kind: JoinKind,
    /// The span of `from` it starts at, when it was received.
    pub cause: Option<SpanIndex>,
    /// The span of `to` it leads to.
    pub span: SpanIndex,
    /// For joins by message: the position in [`Messages::hops`].
    pub hop: Option<usize>,
}

/// What in a single span may join its trace to others, before anything is known of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leads {
    /// Names of the message it sends or handles: id, place in the log.
    pub messages: Vec<String>,
    /// Path of the status address it was given.
    pub accepted: Option<String>,
    /// Path it asks for, when it asks with GET.
    pub asked: Option<String>,
    /// Queue of the messages that it links to; empty when it has no name. `None` when it links to none.
    pub queue: Option<String>,
}

impl Leads {
    /// Looks at the attributes of a span only; traces that share a lead need not be joined, those that do not are not
    /// (but by links).
    pub fn of(span: &Span) -> Self {
        let attributes = Attributes::new(&span.attributes);
        let mut leads = Self::default();
        if let Some(id) = attributes.string(slot!(key::MESSAGING_MESSAGE_ID)) {
            leads.messages.push(id);
        }
        let partition = attributes.string(slot!(key::MESSAGING_PARTITION));
        if let (Some(partition), Some(offset)) = (partition, attributes.int(slot!(key::MESSAGING_OFFSET))) {
            leads.messages.push(format!("{partition}@{offset}"));
        }
        leads.accepted = attributes.text(slot!(key::HTTP_LOCATION)).map(|location| url_path(&location).to_owned());
        if attributes.string(slot!(key::HTTP_METHOD)).as_deref() == Some("GET") {
            leads.asked = path(&attributes);
        }
        if !span.links.is_empty() {
            leads.queue = attributes.string(slot!(key::MESSAGING_DESTINATION));
            if leads.queue.is_none() && span.kind == SpanKind::Consumer {
                leads.queue = Some(String::new());
            }
        }
        leads
    }
}

/// A call answered 202 and a later look at its status address; positions in the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poll {
    /// The call that was accepted.
    pub accepted: usize,
    /// The GET.
    pub poll: usize,
}

/// All joins between different traces, by joined span's start, then trace.
pub fn joins(graph: &Graph, calls: &[Call], messages: &Messages, polls: &[Poll], by_keys: bool) -> Vec<Join> {
    let mut joins = Vec::new();
    for (at, hop) in messages.hops.iter().enumerate() {
        let to = graph.trace_of(hop.consumer);
        let kind = if hop.joined_by == JoinedBy::MessageId { JoinKind::MessageId } else { JoinKind::Link };
        if hop.context.0 != to {
            joins.push(Join { from: hop.context.0, to, kind, cause: hop.send, span: hop.consumer, hop: Some(at) });
        }
    }
    for poll in polls {
        let (cause, span) = (calls[poll.accepted].span(), calls[poll.poll].span());
        let (from, to) = (graph.trace_of(cause), graph.trace_of(span));
        if from != to {
            joins.push(Join { from, to, kind: JoinKind::Poll, cause: Some(cause), span, hop: None });
        }
    }
    if by_keys {
        joins.extend(joins_by_key(graph));
    }
    joins.sort_by_key(|join| (graph.spans[join.span].start(), join.to, join.span, join.from, join.kind));
    joins
}

/// Status addresses that calls of a trace were given, each once.
pub fn addresses_given(graph: &Graph, calls: &[Call], trace: TraceId) -> BTreeSet<String> {
    let spans = graph.trace(trace);
    let first = calls.partition_point(|call| call.span() < spans.start);
    let here = calls[first..].iter().take_while(|call| call.span() < spans.end);
    here.filter_map(|call| given(graph, call)).collect()
}

/// The facts of both ends of a call.
fn sides<'a>(graph: &'a Graph, call: &Call) -> impl Iterator<Item = &'a Facts> {
    [call.client, call.server].into_iter().flatten().map(|span| &graph.spans[span].facts)
}

/// The status address of a call answered 202.
fn given(graph: &Graph, call: &Call) -> Option<String> {
    let is_accepted = sides(graph, call).any(|facts| facts.http_status == Some(202));
    sides(graph, call).find_map(|facts| facts.location.clone()).filter(|_| is_accepted)
}

/// Finds the GETs that look at the status address of a call answered 202: same source, same target, same
/// path, later. Each belongs to the last such call before it.
pub fn polls(graph: &Graph, calls: &[Call]) -> Vec<Poll> {
    let mut accepted: HashMap<(&Node, &Node, String), Vec<usize>> = HashMap::new();
    for (at, call) in calls.iter().enumerate() {
        if let Some(location) = given(graph, call) {
            accepted.entry((&call.source, &call.target, location)).or_default().push(at);
        }
    }
    if accepted.is_empty() {
        return Vec::new();
    }
    for list in accepted.values_mut() {
        list.sort_by_key(|at| (calls[*at].end, calls[*at].span()));
    }
    let mut polls = Vec::new();
    for (at, call) in calls.iter().enumerate() {
        if sides(graph, call).any(|facts| facts.method.as_deref() == Some("GET"))
            && let Some(path) = sides(graph, call).find_map(|facts| facts.path.clone())
            && let Some(list) = accepted.get(&(&call.source, &call.target, path))
        {
            let before = list.partition_point(|accepted| calls[*accepted].end <= call.start);
            polls.extend(list[..before].last().map(|accepted| Poll { accepted: *accepted, poll: at }));
        }
    }
    polls
}

/// From the first trace that carries a key to each other one.
fn joins_by_key(graph: &Graph) -> Vec<Join> {
    let mut holders: BTreeMap<(&str, &str), Vec<SpanIndex>> = BTreeMap::new();
    for (at, known) in graph.spans.iter().enumerate() {
        let conversation = known.facts.message.as_deref().and_then(|message| message.conversation.as_deref());
        let conversation = conversation.filter(|id| id.len() >= KEY_CHARS_MIN);
        let keys = [("conversation", conversation), ("request", known.facts.request_id.as_deref())];
        for (name, value) in keys {
            if let Some(value) = value {
                holders.entry((name, value)).or_default().push(at);
            }
        }
    }
    let mut joins = Vec::new();
    for spans in holders.values_mut() {
        spans.sort_by_key(|at| (graph.spans[*at].start(), *at));
        let traces: BTreeSet<_> = spans.iter().map(|at| graph.trace_of(*at)).collect();
        if traces.len() > TRACES_PER_KEY_MAX {
            continue;
        }
        let (cause, mut seen) = (spans[0], BTreeSet::from([graph.trace_of(spans[0])]));
        for &span in spans.iter() {
            let to = graph.trace_of(span);
            if seen.insert(to) {
                let from = graph.trace_of(cause);
                joins.push(Join { from, to, kind: JoinKind::Key, cause: Some(cause), span, hop: None });
            }
        }
    }
    joins
}
