//! The journey of the analysis as the API writes it: pure.

use std::collections::HashMap;

use api::{
    ClockShift, JourneyAnswer, JourneyCall, JourneyEdge, JourneyEvent, JourneyFinding, JourneyHop, JourneyLane,
    JourneyMember, JourneyPaths, JourneySpan, JourneyStep, PathSegment, SharedBatch, SpanRef, Truncated, TruncatedPart,
};
use model::{SpanId, TraceId, UnixNanos};

use super::Found;
use crate::analysis::calls::{Call, Missing};
use crate::analysis::critical_path::{Segment, self_nanos};
use crate::analysis::edges::edges_where;
use crate::analysis::findings::{Finding, Scope};
use crate::analysis::graph::SpanIndex;
use crate::analysis::journey::{self, Cut, CutReason, Journey, Place, Step};
use crate::analysis::node::Node;
use crate::analysis::{Analysis, joins};

/// Events and links shown of one span; the span's own page has all.
const EVENTS_MAX: usize = 32;
const LINKS_MAX: usize = 32;

/// The whole answer. `stored` says why storage may not hold everything.
pub(super) fn answer(found: &Found, stored: Option<String>, now: UnixNanos) -> JourneyAnswer {
    let Found { analysis, journey, findings, cuts, reasons } = found;
    let view = View { analysis, journey };
    let scene = &journey.scene;
    let truncated = truncated(journey.cuts.iter().chain(cuts));
    let cut = truncated.as_ref().map(|cut| format!("bounds of journeys left out {}: {}", cut.left_out, cut.reason));
    let why: Vec<String> = stored.into_iter().chain(reasons.iter().cloned()).chain(cut).collect();
    let (start, end) = match scene.is_empty() {
        true => (0, 0),
        false => (scene.start[scene.root], journey.last_end().unwrap_or_default()),
    };
    JourneyAnswer {
        id: journey.origin,
        origin: journey.origin,
        name: journey.name.clone(),
        start_unix_nano: start.to_string(),
        end_unix_nano: end.to_string(),
        members: view.members(),
        response_nanos: journey.response_nanos,
        settled_nanos: journey.settled_nanos,
        wait_nanos: journey.wait_nanos(),
        other_inputs: journey.other_inputs as u64,
        excluded: journey.excluded.iter().map(|span| view.span_id(*span)).collect(),
        shared: view.shared(),
        truncated,
        confidence: journey.confidence.as_str().to_owned(),
        candidates: journey.candidates.clone(),
        settled: journey.is_complete(now),
        orphans: scene.spans.iter().filter(|span| analysis.graph.is_orphan[**span]).count() as u64,
        clocks: view.clocks(),
        lanes: journey.lanes.iter().map(|lane| lane_of(&lane.node)).collect(),
        steps: journey.steps.iter().map(|step| view.step(step)).collect(),
        paths: JourneyPaths { response: view.path(&journey.response), settled: view.path(&journey.settled) },
        calls: journey.calls.iter().map(|call| view.call(&analysis.calls[*call])).collect(),
        hops: journey.hops.iter().map(|hop| view.hop(hop)).collect(),
        edges: view.edges(),
        findings: findings.iter().map(|finding| finding_answer(analysis, finding)).collect(),
        spans: view.spans(),
        warnings: journey.warnings.clone(),
        incomplete: !why.is_empty(),
        incomplete_reason: (!why.is_empty()).then(|| why.join("; ")),
        elapsed_ms: 0.0,
    }
}

/// Every bound that left something out, each once.
fn truncated<'a>(cuts: impl Iterator<Item = &'a Cut>) -> Option<Truncated> {
    let mut parts: std::collections::BTreeMap<CutReason, usize> = Default::default();
    for cut in cuts.filter(|cut| cut.left_out > 0) {
        *parts.entry(cut.reason).or_default() += cut.left_out;
    }
    let reasons: Vec<&str> = parts.keys().map(|reason| reason.as_str()).collect();
    (!parts.is_empty()).then(|| Truncated {
        reason: reasons.join(", "),
        left_out: parts.values().sum::<usize>() as u64,
        cuts: parts
            .iter()
            .map(|(reason, n)| TruncatedPart { reason: reason.as_str().to_owned(), left_out: *n as u64 })
            .collect(),
    })
}

fn lane_of(node: &Node) -> JourneyLane {
    JourneyLane { node: node.as_str().to_owned(), label: node.label().to_owned(), kind: node.family().to_owned() }
}

/// Why a call is only half there.
pub(crate) const fn missing_word(missing: Missing) -> Option<&'static str> {
    match missing {
        Missing::Nothing => None,
        Missing::Server => Some("server"),
        Missing::Client => Some("client"),
        Missing::Caller => Some("caller"),
        Missing::Entry => Some("entry"),
    }
}

/// A journey and the set it is part of.
struct View<'a> {
    analysis: &'a Analysis,
    journey: &'a Journey,
}

impl View<'_> {
    fn span_id(&self, span: SpanIndex) -> SpanId {
        self.analysis.graph.spans[span].span.span_id
    }

    fn span_ref(&self, span: SpanIndex) -> SpanRef {
        SpanRef { trace_id: self.analysis.graph.trace_of(span), span_id: self.span_id(span) }
    }

    fn at(&self, place: Place) -> SpanRef {
        self.span_ref(self.journey.scene.spans[place])
    }

    fn service(&self, span: SpanIndex) -> Node {
        Node::service(&self.analysis.graph.spans[span].service)
    }

    /// Start and end of a span, shifted when it is part of the journey.
    fn times(&self, span: SpanIndex) -> (i64, i64) {
        match self.journey.scene.place(span) {
            Some(at) => (self.journey.scene.start[at], self.journey.scene.end[at]),
            None => (self.analysis.graph.spans[span].start(), self.analysis.graph.spans[span].end()),
        }
    }

    fn members(&self) -> Vec<JourneyMember> {
        let (graph, scene) = (&self.analysis.graph, &self.journey.scene);
        let joined = journey::joins_inside(self.analysis, self.journey);
        let mut places: HashMap<TraceId, Vec<Place>> = HashMap::new();
        for (place, span) in scene.spans.iter().enumerate() {
            places.entry(graph.trace_of(*span)).or_default().push(place);
        }
        let depth: HashMap<TraceId, usize> =
            self.journey.members.iter().map(|member| (member.trace, member.depth)).collect();
        let member = |member: &journey::Member| {
            let places = places.get(&member.trace).map(Vec::as_slice).unwrap_or_default();
            let first = places.iter().min_by_key(|at| (scene.parent[**at].is_some(), scene.start[**at], **at));
            let known = first.map(|at| scene.known(self.analysis, *at));
            let from = joined.iter().find(|(from, to, kind)| {
                *to == member.trace
                    && Some(*kind) == member.joined_by
                    && depth.get(from).is_some_and(|depth| depth + 1 == member.depth)
            });
            JourneyMember {
                trace_id: member.trace,
                depth: u32::try_from(member.depth).unwrap_or(u32::MAX),
                joined_by: member.joined_by.map(|kind| kind.as_str().to_owned()),
                confidence: member
                    .joined_by
                    .map_or(joins::Confidence::High, joins::JoinKind::confidence)
                    .as_str()
                    .to_owned(),
                joined_from: from.map(|(from, ..)| *from),
                service: known.map(|known| known.service.to_string()).unwrap_or_default(),
                name: known.map(|known| operation(&known.class.op, &known.span.name)).unwrap_or_default(),
                spans: places.len() as u64,
                start_unix_nano: places.iter().map(|at| scene.start[*at]).min().unwrap_or_default().to_string(),
                end_unix_nano: places.iter().map(|at| scene.end[*at]).max().unwrap_or_default().to_string(),
            }
        };
        self.journey.members.iter().map(member).collect()
    }

    fn shared(&self) -> Vec<SharedBatch> {
        let batch = |shared: &journey::Shared| {
            let SpanRef { trace_id, span_id } = self.at(shared.span);
            SharedBatch { trace_id, span_id, ours: shared.ours as u64, total: shared.total as u64 }
        };
        self.journey.shared.iter().map(batch).collect()
    }

    fn clocks(&self) -> Vec<ClockShift> {
        let scene = &self.journey.scene;
        let mut spans: HashMap<&str, (&str, u64)> = HashMap::new();
        for at in 0..scene.len() {
            let known = scene.known(self.analysis, at);
            spans.entry(&known.process).or_insert((&known.service, 0)).1 += 1;
        }
        let clock = |(process, shift): (&String, &i64)| {
            let (service, n) = spans.get(process.as_str()).copied().unwrap_or_default();
            ClockShift { process: process.clone(), service: service.to_owned(), shift_nanos: *shift, spans: n }
        };
        self.journey.skew.processes.iter().map(clock).collect()
    }

    fn step(&self, step: &Step) -> JourneyStep {
        JourneyStep {
            seq: step.seq as u64,
            at: step.at.to_string(),
            from: step.from.to_string(),
            to: step.to.to_string(),
            kind: step.kind.as_str().to_owned(),
            protocol: step.protocol.as_str().to_owned(),
            system: step.system.to_string(),
            label: step.label.to_string(),
            spans: step.spans.iter().map(|place| self.at(*place).span_id).collect(),
            error: step.is_error,
            lag: step.lag,
            attempt: step.attempt.map(|attempt| attempt as u64),
            critical: step.is_critical,
            shifted: step.is_shifted,
        }
    }

    fn path(&self, path: &[Segment]) -> Vec<PathSegment> {
        let segment = |segment: &Segment| {
            let SpanRef { trace_id, span_id } = self.at(segment.span);
            PathSegment {
                trace_id,
                span_id,
                node: self.journey.node_of(self.analysis, segment).to_string(),
                kind: segment.kind.as_str().to_owned(),
                start_unix_nano: segment.start.to_string(),
                end_unix_nano: segment.end.to_string(),
            }
        };
        path.iter().map(segment).collect()
    }

    fn call(&self, call: &Call) -> JourneyCall {
        let id = |span: Option<SpanIndex>| span.map(|span| self.span_id(span));
        let text = |text: &Option<std::sync::Arc<str>>| text.as_deref().map(str::to_owned);
        let (start, end) = self.times(call.span());
        JourneyCall {
            trace: self.analysis.graph.trace_of(call.span()),
            client_span: id(call.client),
            server_span: id(call.server),
            entry_span: id(call.entry),
            parent_span: id(call.parent),
            src: call.source.to_string(),
            dst: call.target.to_string(),
            style: call.style.as_str().to_owned(),
            protocol: call.protocol.as_str().to_owned(),
            system: call.system.to_string(),
            op: call.op.to_string(),
            start: start.to_string(),
            end: end.to_string(),
            dur: call.duration(),
            srv_end: call.server.map(|server| self.times(server).1.to_string()),
            srv_dur: call.server_nanos,
            network: call.network_nanos,
            error: call.is_error,
            fault: call.is_fault,
            timeout: call.is_timeout,
            status: call.status.clone(),
            resend: call.resend_count,
            attempts: call.attempts as u64,
            scheme: call.scheme.clone(),
            secure: call.is_secure,
            client_ver: text(&call.client_version),
            server_ver: text(&call.server_version),
            contract_fail: call.is_contract_failure,
            flags: call.proxy_flags.clone(),
            request_bytes: call.request_bytes,
            response_bytes: call.response_bytes,
            missing: missing_word(call.missing).map(str::to_owned),
            inferred: call.is_inferred,
        }
    }

    fn hop(&self, hop: &journey::JourneyHop) -> JourneyHop {
        let (graph, messages, scene) = (&self.analysis.graph, &self.analysis.messages, &self.journey.scene);
        let delivery = &messages.deliveries[hop.hop.delivery];
        let consumer = scene.known(self.analysis, hop.consumer);
        let SpanRef { trace_id: consumer_trace_id, span_id: consumer_span_id } = self.at(hop.consumer);
        let sender = hop.hop.send.map(|send| &graph.spans[send]);
        let sent_to = sender
            .and_then(|sender| Some(Node::queue(&sender.class.system, sender.class.destination.as_deref()?)))
            .filter(|queue| *queue != delivery.queue);
        let received = if delivery.is_poll { scene.end[hop.consumer] } else { scene.start[hop.consumer] };
        JourneyHop {
            send_trace_id: hop.hop.context.0,
            send_span_id: hop.send.map(|send| self.at(send).span_id),
            consumer_trace_id,
            consumer_span_id,
            source: hop.hop.send.map(|send| self.service(send).to_string()),
            target: self.service(hop.hop.consumer).to_string(),
            queue: delivery.queue.to_string(),
            sent_to: sent_to.map(|queue| queue.to_string()),
            system: consumer.class.system.to_string(),
            group: delivery.group.clone(),
            message: hop.hop.message.clone(),
            joined_by: hop.hop.joined_by.as_str().to_owned(),
            sent_unix_nano: hop.hop.send.map(|send| self.times(send).1.to_string()),
            received_unix_nano: received.to_string(),
            finished_unix_nano: scene.end[hop.consumer].to_string(),
            lag_nanos: hop.hop.lag,
            overlap: hop.hop.is_overlap,
            broker_wait_nanos: hop.hop.broker_wait,
            attempt: hop.hop.attempt as u64,
            attempts: hop.hop.attempts as u64,
            prev_span_id: hop.prev.map(|prev| self.at(prev).span_id),
            error: consumer.is_error,
            producer_ver: sender.and_then(|sender| sender.version.as_deref()).map(str::to_owned),
        }
    }

    fn edges(&self) -> Vec<JourneyEdge> {
        let is_inside = |span: SpanIndex| self.journey.scene.place(span).is_some();
        let edges = edges_where(&self.analysis.graph, &self.analysis.calls, &self.analysis.messages, is_inside);
        let edge = |(key, edge): (crate::analysis::edges::EdgeKey, crate::analysis::edges::Edge)| JourneyEdge {
            source: key.source.to_string(),
            target: key.target.to_string(),
            style: edge.style.as_str().to_owned(),
            protocol: key.protocol.as_str().to_owned(),
            system: key.system,
            calls: edge.calls,
            errors: edge.errors,
        };
        edges.into_iter().map(edge).collect()
    }

    fn spans(&self) -> Vec<JourneySpan> {
        let (graph, scene) = (&self.analysis.graph, &self.journey.scene);
        let mut on_path = vec![(false, false); scene.len()];
        self.journey.response.iter().for_each(|segment| on_path[segment.span].0 = true);
        self.journey.settled.iter().for_each(|segment| on_path[segment.span].1 = true);
        // Places of a trace stand together, by start.
        let ranges = self.journey.members.iter().map(|member| {
            let trace = graph.trace(member.trace);
            scene.spans.partition_point(|span| *span < trace.start)
                ..scene.spans.partition_point(|span| *span < trace.end)
        });
        ranges.flatten().map(|at| self.span(at, on_path[at])).collect()
    }

    fn span(&self, at: Place, (on_response_path, on_settled_path): (bool, bool)) -> JourneySpan {
        let (graph, scene) = (&self.analysis.graph, &self.journey.scene);
        let known = scene.known(self.analysis, at);
        let (span, class) = (&known.span, &known.class);
        let event = |event: &crate::analysis::span::Event| JourneyEvent {
            time_unix_nano: event.time.0.to_string(),
            name: event.name.clone(),
        };
        let link = |link: &crate::analysis::span::Link| SpanRef { trace_id: link.trace_id, span_id: link.span_id };
        let more = span.events.len().saturating_sub(EVENTS_MAX) + span.links.len().saturating_sub(LINKS_MAX);
        JourneySpan {
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent_span_id: span.parent_span_id,
            shown_under: scene.parent[at].map(|parent| self.at(parent).span_id),
            orphan: graph.is_orphan[scene.spans[at]],
            name: span.name.clone(),
            kind: span.kind.as_str().to_owned(),
            service: known.service.to_string(),
            node: Node::service(&known.service).to_string(),
            start_unix_nano: known.start().to_string(),
            duration_nanos: known.duration(),
            self_nanos: self_nanos(self.analysis, scene, at),
            shift_nanos: scene.shift[at],
            status: span.status.as_str().to_owned(),
            error: known.is_error,
            fault: known.is_fault,
            error_type: known.facts.error_type.clone(),
            style: class.style.as_str().to_owned(),
            protocol: class.protocol.as_str().to_owned(),
            system: class.system.to_string(),
            role: class.role.as_str().to_owned(),
            op: class.op.to_string(),
            destination: class.destination.as_deref().map(str::to_owned),
            version: known.version.as_deref().map(str::to_owned),
            on_response_path,
            on_settled_path,
            events: span.events.iter().take(EVENTS_MAX).map(event).collect(),
            links: span.links.iter().take(LINKS_MAX).map(link).collect(),
            more: more as u64,
        }
    }
}

/// A finding as the API writes it; its spans are positions in `analysis`.
pub(crate) fn finding_answer(analysis: &Analysis, finding: &Finding) -> JourneyFinding {
    let span_ref = |span: &SpanIndex| SpanRef {
        trace_id: analysis.graph.trace_of(*span),
        span_id: analysis.graph.spans[*span].span.span_id,
    };
    let evidence: Vec<SpanRef> = finding.spans.iter().map(span_ref).collect();
    let scope = match finding.scope {
        Scope::Journey => "journey",
        Scope::Window => "window",
    };
    JourneyFinding {
        id: finding.name.as_str().to_owned(),
        severity: finding.severity.as_str().to_owned(),
        scope: scope.to_owned(),
        summary: finding.summary.clone(),
        help: finding.name.help().to_owned(),
        spans: evidence.iter().map(|span| span.span_id).collect(),
        evidence,
        numbers: finding.numbers.iter().map(|(key, number)| ((*key).to_owned(), number.to_json())).collect(),
        sql: finding.sql().to_owned(),
    }
}

fn operation(op: &str, name: &str) -> String {
    if op.is_empty() { name.to_owned() } else { op.to_owned() }
}
