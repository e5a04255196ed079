//! A journey's answer with positions instead of ids and offsets instead of moments: read once, drawn often.

use std::collections::HashMap;

use api::{JourneyAnswer, JourneyCall, JourneyHop};
use model::{SpanId, TraceId};

use crate::view::{format, names};

/// Who stands on a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// A service of ours.
    Service,
    /// Someone who sends no spans: a host outside, a model provider.
    Outside,
    /// A queue or topic.
    Broker,
    /// A caller that existed but was never received.
    Missing,
    /// Databases, caches, stores, name services: drawn inside their caller's lane.
    Store,
    /// Callers outside the traces: not drawn.
    Client,
}

impl Family {
    /// Of a node as the API writes it, e.g. `queue:kafka/orders`.
    pub(crate) fn of(node: &str) -> Self {
        match node.split(':').next().unwrap_or(node) {
            // A group stands for several services: `view/namespaces.rs`.
            "service" | "group" => Self::Service,
            "ext" | "genai" => Self::Outside,
            "queue" => Self::Broker,
            "unknown" => Self::Missing,
            "client" => Self::Client,
            _ => Self::Store,
        }
    }

    /// True for nodes with a lane of their own.
    pub(crate) const fn has_lane(self) -> bool {
        !matches!(self, Self::Store | Self::Client)
    }
}

/// What a person calls a node: `orders` for `queue:kafka/orders`.
pub(crate) fn label(node: &str) -> &str {
    let name = node.split_once(':').map_or(node, |(_, name)| name);
    match Family::of(node) {
        Family::Broker => name.split_once('/').map_or(name, |(_, destination)| destination),
        Family::Missing => "not received",
        _ => name,
    }
}

/// One span.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SpanFact {
    /// Member trace, by position.
    pub(crate) member: usize,
    /// Its id.
    pub(crate) id: SpanId,
    /// Parent in this list.
    pub(crate) parent: Option<usize>,
    /// It names a parent that was not received.
    pub(crate) is_orphan: bool,
    /// Node it belongs to, by position.
    pub(crate) node: usize,
    /// What it does, as short as the server could say it.
    pub(crate) name: String,
    /// Badge: `HTTP`, `Kafka`; empty when unknown.
    pub(crate) badge: String,
    /// Start after the start of the journey, as drawn.
    pub(crate) start: f64,
    /// End, as drawn.
    pub(crate) end: f64,
    /// What the server's analysis added to the sender's times.
    pub(crate) shift: i64,
    /// It failed.
    pub(crate) failed: bool,
    /// `error.type` or the type of its exception; empty when unknown.
    pub(crate) why: String,
    /// Kind as OTLP numbers it.
    pub(crate) kind: u8,
    /// Nanoseconds in which none of its children ran.
    pub(crate) own: f64,
    /// What it does among others.
    pub(crate) role: Role,
}

/// What a span does among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Handles a request or works for itself.
    Work,
    /// Asks a database or cache.
    Store,
    /// Asks somebody else.
    Client,
    /// Hands a message to a broker.
    Producer,
    /// Handles a message.
    Consumer,
}

/// A synchronous step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CallFact {
    /// Caller's span.
    pub(crate) client: Option<usize>,
    /// Callee's span.
    pub(crate) server: Option<usize>,
    /// Caller, by position in the nodes.
    pub(crate) from: usize,
    /// Callee, by position in the nodes.
    pub(crate) to: usize,
    /// `REST`, `gRPC` ...
    pub(crate) badge: String,
    /// What was asked for.
    pub(crate) op: String,
    /// Either side failed.
    pub(crate) failed: bool,
    /// Why, in a word; empty when it did not fail or nothing is known.
    pub(crate) why: String,
    /// Nanoseconds outside the server; `None` without one.
    pub(crate) network: Option<f64>,
    /// Nanoseconds, as the caller saw it.
    pub(crate) nanos: f64,
    /// A request from outside: nobody in the journey asked.
    pub(crate) is_entry: bool,
}

/// A message's way to one delivery.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HopFact {
    /// The producer's span.
    pub(crate) send: Option<usize>,
    /// The delivery's span.
    pub(crate) consumer: usize,
    /// The failed delivery before, by span.
    pub(crate) prev: Option<usize>,
    /// Where it waited, by position in the nodes.
    pub(crate) queue: usize,
    /// Where it was sent to, when that is another queue.
    pub(crate) sent_to: Option<usize>,
    /// Consumer group; empty when unknown.
    pub(crate) group: String,
    /// Badge of the broker.
    pub(crate) badge: String,
    /// Nanoseconds it waited, by corrected clocks.
    pub(crate) wait: f64,
    /// Received before the producer ended.
    pub(crate) is_overlap: bool,
    /// When the consumer had it, as drawn.
    pub(crate) received: f64,
    /// Which attempt, from 1.
    pub(crate) attempt: u32,
    /// How many there are.
    pub(crate) attempts: u32,
    /// Why it belongs to its producer, as the API says it.
    pub(crate) joined_by: String,
    /// Name of the message; empty when unknown.
    pub(crate) message: String,
}

/// Where the time of a piece of the critical path went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathKind {
    /// The span worked.
    Own,
    /// Between a client and what it called.
    Network,
    /// At a peer that sends no spans.
    Remote,
    /// A message waited.
    Queue,
    /// A failed message waited to be delivered again.
    Backoff,
    /// Nobody worked.
    Gap,
}

/// A piece of the critical path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PathFact {
    /// The span it is attributed to; for waits the one that waited to begin.
    pub(crate) span: usize,
    /// Where the time went.
    pub(crate) kind: PathKind,
    /// Who it went to, by position in the nodes.
    pub(crate) node: usize,
    /// From, as drawn.
    pub(crate) start: f64,
    /// To, as drawn.
    pub(crate) end: f64,
    /// Nanoseconds, by corrected clocks.
    pub(crate) nanos: f64,
}

/// A trace of the journey and why it is one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MemberFact {
    /// The trace.
    pub(crate) trace_id: TraceId,
    /// Spans shown.
    pub(crate) n_spans: u64,
    /// `link`, `message_id`, `poll`, `key`; empty for the first.
    pub(crate) joined_by: String,
    /// `high`, `medium`, `low`.
    pub(crate) confidence: String,
    /// The member it was joined from, by position.
    pub(crate) cause: Option<usize>,
}

/// A communication problem, or something worth knowing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FindingFact {
    /// `queue_wait`, `retried` ...
    pub(crate) id: String,
    /// `error`, `warning`, `information`.
    pub(crate) severity: String,
    /// What happened, in a sentence.
    pub(crate) summary: String,
    /// What the name means, in a sentence.
    pub(crate) help: String,
    /// Evidence.
    pub(crate) spans: Vec<usize>,
    /// The question behind it.
    pub(crate) sql: String,
}

/// One journey.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Facts {
    /// Who takes part, in order of first appearance, as the API writes them.
    pub(crate) nodes: Vec<String>,
    /// Spans, by start.
    pub(crate) spans: Vec<SpanFact>,
    /// Synchronous steps, by start.
    pub(crate) calls: Vec<CallFact>,
    /// Messages, by delivery.
    pub(crate) hops: Vec<HopFact>,
    /// What held up the last effect.
    pub(crate) settled: Vec<PathFact>,
    /// What held up the answer.
    pub(crate) response: Vec<PathFact>,
    /// Traces, origin first.
    pub(crate) members: Vec<MemberFact>,
    /// Findings, worst first.
    pub(crate) findings: Vec<FindingFact>,
    /// Nanoseconds until the caller had its answer.
    pub(crate) response_nanos: f64,
    /// Nanoseconds until the last effect.
    pub(crate) settled_nanos: f64,
    /// The first span of the journey.
    pub(crate) root: Option<usize>,
    /// First moment drawn, nanoseconds since 1970.
    pub(crate) start_unix_nano: i64,
    /// From there to the last end drawn.
    pub(crate) length: f64,
}

impl Facts {
    /// Family of a node.
    pub(crate) fn family(&self, node: usize) -> Family {
        self.nodes.get(node).map_or(Family::Client, |node| Family::of(node))
    }

    /// A node's name for people.
    pub(crate) fn label(&self, node: usize) -> &str {
        self.nodes.get(node).map_or("", |node| label(node))
    }

    /// Reads an answer. `aligned`: draw corrected times instead of the senders'.
    ///
    /// What names a span that is not in the answer is left out: a broken answer draws less but never panics.
    /// Cost: O(n) for its spans.
    pub(crate) fn read(answer: &JourneyAnswer, aligned: bool) -> Self {
        let reader = Reader::new(answer, aligned);
        let mut nodes = Nodes::new(answer.lanes.iter().map(|lane| lane.node.clone()).collect());
        let mut facts = Self {
            response_nanos: answer.response_nanos.max(0) as f64,
            settled_nanos: answer.settled_nanos.max(0) as f64,
            start_unix_nano: reader.base,
            ..Self::default()
        };
        facts.members = reader.members();
        facts.spans = reader.spans(&mut nodes);
        facts.calls = answer.calls.iter().filter_map(|call| reader.call(call, &mut nodes)).collect();
        facts.hops = answer.hops.iter().filter_map(|hop| reader.hop(hop, &mut nodes)).collect();
        facts.settled = reader.path(&answer.paths.settled, &mut nodes);
        facts.response = reader.path(&answer.paths.response, &mut nodes);
        facts.nodes = nodes.names;
        facts.findings = reader.findings();
        for call in &facts.calls {
            if let Some(client) = call.client
                && Family::of(&facts.nodes[call.to]) == Family::Store
            {
                facts.spans[client].role = Role::Store;
            }
        }
        facts.root = facts.settled.first().map(|piece| piece.span).or_else(|| {
            let first = facts.spans.iter().position(|span| span.member == 0 && span.parent.is_none());
            first.or((!facts.spans.is_empty()).then_some(0))
        });
        let last = facts.spans.iter().map(|span| span.end).fold(0.0, f64::max);
        facts.length = last.max(1.0);
        facts
    }
}

/// Looks ids up and turns moments into offsets.
struct Reader<'a> {
    answer: &'a JourneyAnswer,
    aligned: bool,
    /// First moment drawn.
    base: i64,
    spans: HashMap<(TraceId, SpanId), usize>,
    members: HashMap<TraceId, usize>,
}

impl<'a> Reader<'a> {
    fn new(answer: &'a JourneyAnswer, aligned: bool) -> Self {
        let shift = |shift: i64| if aligned { shift } else { 0 };
        let start = |span: &api::JourneySpan| moment(&span.start_unix_nano).saturating_add(shift(span.shift_nanos));
        let base = answer.spans.iter().map(start).min().unwrap_or_else(|| moment(&answer.start_unix_nano));
        let spans = answer.spans.iter().enumerate().map(|(at, span)| ((span.trace_id, span.span_id), at)).collect();
        let members = answer.members.iter().enumerate().map(|(at, member)| (member.trace_id, at)).collect();
        Self { answer, aligned, base, spans, members }
    }

    fn span(&self, trace: TraceId, span: SpanId) -> Option<usize> {
        self.spans.get(&(trace, span)).copied()
    }

    fn shift(&self, span: usize) -> i64 {
        self.answer.spans[span].shift_nanos
    }

    /// A shifted moment of this span's clock, as drawn.
    fn drawn(&self, shifted: i64, span: usize) -> f64 {
        let moment = if self.aligned { shifted } else { shifted.saturating_sub(self.shift(span)) };
        moment.saturating_sub(self.base) as f64
    }

    fn members(&self) -> Vec<MemberFact> {
        let member = |member: &api::JourneyMember| MemberFact {
            trace_id: member.trace_id,
            n_spans: member.spans,
            joined_by: member.joined_by.clone().unwrap_or_default(),
            confidence: member.confidence.clone(),
            cause: member.joined_from.and_then(|trace| self.members.get(&trace).copied()),
        };
        self.answer.members.iter().map(member).collect()
    }

    fn spans(&self, nodes: &mut Nodes) -> Vec<SpanFact> {
        let mut span = |span: &api::JourneySpan| {
            let at = self.span(span.trace_id, span.span_id).unwrap_or_default();
            let start = self.drawn(moment(&span.start_unix_nano).saturating_add(span.shift_nanos), at);
            let parent = span.shown_under.and_then(|parent| self.span(span.trace_id, parent));
            SpanFact {
                member: self.members.get(&span.trace_id).copied().unwrap_or_default(),
                id: span.span_id,
                parent: parent.filter(|parent| *parent != at),
                is_orphan: span.orphan,
                node: nodes.position(&span.node),
                name: if span.name.is_empty() { span.op.clone() } else { span.name.clone() },
                badge: names::badge(&span.protocol, &span.system),
                start,
                end: start + span.duration_nanos.max(0) as f64,
                shift: span.shift_nanos,
                failed: span.error,
                why: span.error_type.clone().unwrap_or_default(),
                kind: match span.kind.as_str() {
                    "internal" => 1,
                    "server" => 2,
                    "client" => 3,
                    "producer" => 4,
                    "consumer" => 5,
                    _ => 0,
                },
                own: span.self_nanos.max(0) as f64,
                role: match span.role.as_str() {
                    "client" => Role::Client,
                    "producer" => Role::Producer,
                    "consumer" => Role::Consumer,
                    _ => Role::Work,
                },
            }
        };
        self.answer.spans.iter().map(&mut span).collect()
    }

    fn call(&self, call: &JourneyCall, nodes: &mut Nodes) -> Option<CallFact> {
        let span = |id: Option<SpanId>| id.and_then(|id| self.span(call.trace, id));
        let (client, server) = (span(call.client_span), span(call.server_span));
        client.or(server)?;
        let status = call.status.as_deref().filter(|status| !status.is_empty() && *status != "OK");
        let error_type = client.or(server).and_then(|at| self.answer.spans[at].error_type.as_deref());
        let nanos = call.dur.max(0) as f64;
        let why = match (call.error, call.timeout) {
            (false, _) => String::new(),
            (true, true) => format!("timed out after {}", format::duration(nanos as u64)),
            (true, false) => {
                let word = status.or(error_type).unwrap_or("failed");
                format!("{word} after {}", format::duration(nanos as u64))
            }
        };
        Some(CallFact {
            client,
            server,
            from: nodes.position(&call.src),
            to: nodes.position(&call.dst),
            badge: names::badge(&call.protocol, &call.system),
            op: call.op.clone(),
            failed: call.error,
            why,
            network: call.network.map(|nanos| nanos.max(0) as f64),
            nanos,
            is_entry: call.missing.as_deref() == Some("entry"),
        })
    }

    fn hop(&self, hop: &JourneyHop, nodes: &mut Nodes) -> Option<HopFact> {
        let consumer = self.span(hop.consumer_trace_id, hop.consumer_span_id)?;
        let sent_to = hop.sent_to.as_ref().map(|node| nodes.position(node));
        let prev = hop.prev_span_id.and_then(|id| {
            // A dead-letter delivery follows one of another trace.
            self.span(hop.consumer_trace_id, id)
                .or_else(|| self.answer.members.iter().find_map(|member| self.span(member.trace_id, id)))
        });
        Some(HopFact {
            send: hop.send_span_id.and_then(|id| self.span(hop.send_trace_id, id)),
            consumer,
            prev,
            queue: nodes.position(&hop.queue),
            sent_to,
            group: hop.group.clone().unwrap_or_default(),
            badge: names::badge("messaging", &hop.system),
            wait: hop.lag_nanos.max(0) as f64,
            is_overlap: hop.overlap,
            received: self.drawn(moment(&hop.received_unix_nano), consumer),
            attempt: hop.attempt as u32,
            attempts: hop.attempts as u32,
            joined_by: hop.joined_by.clone(),
            message: hop.message.clone(),
        })
    }

    fn path(&self, path: &[api::PathSegment], nodes: &mut Nodes) -> Vec<PathFact> {
        let mut piece = |piece: &api::PathSegment| {
            let span = self.span(piece.trace_id, piece.span_id)?;
            let (start, end) = (moment(&piece.start_unix_nano), moment(&piece.end_unix_nano));
            Some(PathFact {
                span,
                kind: match piece.kind.as_str() {
                    "network" => PathKind::Network,
                    "remote" => PathKind::Remote,
                    "queue" => PathKind::Queue,
                    "backoff" => PathKind::Backoff,
                    "gap" => PathKind::Gap,
                    _ => PathKind::Own,
                },
                node: nodes.position(&piece.node),
                start: self.drawn(start, span),
                end: self.drawn(end, span),
                nanos: end.saturating_sub(start).max(0) as f64,
            })
        };
        path.iter().filter_map(&mut piece).collect()
    }

    fn findings(&self) -> Vec<FindingFact> {
        let finding = |finding: &api::JourneyFinding| FindingFact {
            id: finding.id.clone(),
            severity: finding.severity.clone(),
            summary: finding.summary.clone(),
            help: finding.help.clone(),
            spans: finding.evidence.iter().filter_map(|span| self.span(span.trace_id, span.span_id)).collect(),
            sql: finding.sql.clone(),
        };
        self.answer.findings.iter().map(finding).collect()
    }
}

/// A moment of the API; 0 for what is none.
fn moment(text: &str) -> i64 {
    text.parse().unwrap_or_default()
}

/// Nodes in order of first appearance.
struct Nodes {
    names: Vec<String>,
    known: HashMap<String, usize>,
}

impl Nodes {
    fn new(names: Vec<String>) -> Self {
        let known = names.iter().enumerate().map(|(at, node)| (node.clone(), at)).collect();
        Self { names, known }
    }

    /// The position of a node; one that has no lane in the answer is added at the end.
    fn position(&mut self, node: &str) -> usize {
        if let Some(at) = self.known.get(node) {
            return *at;
        }
        self.known.insert(node.to_owned(), self.names.len());
        self.names.push(node.to_owned());
        self.names.len() - 1
    }
}
