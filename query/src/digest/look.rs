//! A look at a set of traces: what the analysis finds in them, as rows of the derived tables. Pure.
//!
//! A look has *owners*, the traces whose rows are written, and may hold other spans that stand around them. Every row
//! belongs to one owner: calls to the trace of their first span, hops to the consumer's, and a journey with its paths
//! and findings to its origin trace. So rows of one owner can be replaced without touching those of others.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use model::{SpanId, TimeRange, TraceId, UnixNanos};
use serde::{Deserialize, Serialize};

use super::rollup::Parts;
use crate::analysis::Analysis;
use crate::analysis::calls::Call;
use crate::analysis::critical_path::Segment;
use crate::analysis::findings::{Finding, OpenBreaker, findings};
use crate::analysis::hops::{Hop, loose_ends};
use crate::analysis::joins::addresses_given;
use crate::analysis::journey::{Journey, journey, origin};
use crate::analysis::map::minutes_of_traces;
use crate::analysis::thresholds::{Bounds, Thresholds};

/// Loose ends of one trace that are kept.
const AWAITED_MAX: usize = 64;

/// Something in a trace that joins it to another one, which may come after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LooseEnd {
    /// Name of a message of which the other end is not known.
    Message(String),
    /// Status address it was given.
    Address(String),
}

/// An owner of rows and what is known about it from outside its spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// How often it will have been looked at.
    pub(crate) revision: i32,
    /// Arrival of its newest span that is counted, nanoseconds since 1970.
    pub(crate) arrival_max: i64,
    /// It had not settled yet.
    pub(crate) early: bool,
}

/// What findings rest on besides spans.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a> {
    pub(crate) thresholds: &'a Thresholds,
    pub(crate) breakers: &'a [OpenBreaker],
}

/// One trace of a look.
#[derive(Clone, Debug)]
pub(crate) struct TraceRow {
    pub(crate) trace: TraceId,
    pub(crate) journey: TraceId,
    pub(crate) owner: Owner,
    pub(crate) spans: usize,
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// What it adds to the sums per minute.
    pub(crate) parts: Parts,
    /// What may join it to a trace that is not known.
    pub(crate) awaits: Vec<LooseEnd>,
}

/// A journey with its findings and who owns them.
#[derive(Debug)]
pub(crate) struct JourneyRow {
    pub(crate) owner: Owner,
    pub(crate) journey: Journey,
    pub(crate) findings: Vec<Finding>,
}

/// Everything found, by owner.
#[derive(Debug)]
pub(crate) struct Look<'a> {
    pub(crate) analysis: &'a Analysis,
    /// By trace id.
    pub(crate) traces: Vec<TraceRow>,
    /// Calls of owners.
    pub(crate) calls: Vec<(&'a Call, TraceId)>,
    /// Hops into owners.
    pub(crate) hops: Vec<(&'a Hop, TraceId)>,
    /// Journeys of which the origin is an owner.
    pub(crate) journeys: Vec<JourneyRow>,
    journey_of: HashMap<TraceId, TraceId>,
    owners: BTreeMap<TraceId, Owner>,
}

impl<'a> Look<'a> {
    /// Looks at the owners among the traces of `analysis`; owners without spans have no rows.
    ///
    /// Cost: linear in the spans of the owners' journeys.
    pub(crate) fn new(analysis: &'a Analysis, owners: &BTreeMap<TraceId, Owner>, told: &Told<'_>) -> Self {
        let graph = &analysis.graph;
        let bounds = Bounds::default();
        let journey_of: HashMap<TraceId, TraceId> =
            graph.traces.iter().map(|(trace, _)| (*trace, origin(analysis, *trace, None).0)).collect();
        let owner_of = |trace: TraceId| owners.contains_key(&trace).then_some(trace);
        let calls = analysis.calls.iter().filter_map(|call| Some((call, owner_of(graph.trace_of(call.span()))?)));
        let hops = analysis.messages.hops.iter().filter_map(|hop| Some((hop, owner_of(graph.trace_of(hop.consumer))?)));
        let (calls, hops) = (calls.collect(), hops.collect());
        let mut journeys = Vec::new();
        let mut traces = Vec::new();
        let home = |trace: TraceId| journey_of.get(&trace).copied().unwrap_or(trace);
        let mut minutes = minutes_of_traces(analysis, home);
        for (trace, range) in &graph.traces {
            let Some(owner) = owners.get(trace) else { continue };
            if home(*trace) == *trace
                && let Some(journey) = journey(analysis, *trace, None, &bounds)
                && !journey.scene.is_empty()
            {
                let findings = findings(analysis, &journey, told.thresholds, told.breakers);
                journeys.push(JourneyRow { owner: *owner, journey, findings });
            }
            let spans = &graph.spans[range.clone()];
            traces.push(TraceRow {
                trace: *trace,
                journey: home(*trace),
                owner: *owner,
                spans: spans.len(),
                start: spans.iter().map(crate::analysis::graph::Known::start).min().unwrap_or_default(),
                end: spans.iter().map(crate::analysis::graph::Known::end).max().unwrap_or_default(),
                awaits: {
                    let messages = loose_ends(graph, &analysis.messages, *trace).into_iter().map(LooseEnd::Message);
                    let addresses = addresses_given(graph, &analysis.calls, *trace).into_iter().map(LooseEnd::Address);
                    messages.chain(addresses).take(AWAITED_MAX).collect()
                },
                parts: minutes.remove(trace).map(|minutes| Parts::of(&minutes)).unwrap_or_default(),
            });
        }
        Self { analysis, traces, calls, hops, journeys, journey_of, owners: owners.clone() }
    }

    /// Origin of a trace's journey.
    pub(crate) fn journey_of(&self, trace: TraceId) -> TraceId {
        self.journey_of.get(&trace).copied().unwrap_or(trace)
    }

    /// Revision of an owner.
    pub(crate) fn revision(&self, trace: TraceId) -> i32 {
        self.owners.get(&trace).map_or(1, |owner| owner.revision)
    }

    /// Id of a span of the set.
    pub(crate) fn span_id(&self, at: usize) -> SpanId {
        self.analysis.graph.spans[at].span.span_id
    }

    /// Names one message among all: its creating span, and which of that span's messages when it made several. A
    /// batch whose messages cannot be told apart has one name per delivery.
    pub(crate) fn message(&self, hop: &Hop) -> String {
        let (trace, span) = hop.context;
        let name = format!("{}-{}", trace.to_hex(), span.to_hex());
        match hop.message.as_str() {
            "" => name,
            apart if apart.starts_with('#') => format!("{name}-{}", self.span_id(hop.consumer).to_hex()),
            apart => format!("{name}-{apart}"),
        }
    }
}

/// From the first start to the last end of a set of spans.
pub(crate) fn extent(analysis: &Analysis) -> TimeRange {
    let spans = &analysis.graph.spans;
    let start = spans.iter().map(|known| known.start()).min().unwrap_or_default();
    let end = spans.iter().map(|known| known.end()).max().unwrap_or_default();
    TimeRange::new(UnixNanos(start), UnixNanos(end.max(start)))
}

impl JourneyRow {
    /// Services and queues it touches, each by name.
    pub(crate) fn touched(&self, analysis: &Analysis) -> (BTreeSet<String>, BTreeSet<String>) {
        let spans = self.journey.scene.spans.iter().map(|span| &analysis.graph.spans[*span]);
        let services = spans.map(|known| known.service.to_string()).collect();
        let messages = &analysis.messages;
        let mut queues: BTreeSet<String> = BTreeSet::new();
        for span in &self.journey.scene.spans {
            if let Some(delivery) = messages.delivery_of.get(span) {
                queues.insert(messages.deliveries[*delivery].queue.to_string());
            }
            if let Ok(send) = messages.sends.binary_search_by_key(span, |send| send.span) {
                queues.insert(messages.sends[send].queue.to_string());
            }
        }
        (services, queues)
    }

    /// Spans that failed.
    pub(crate) fn errors(&self, analysis: &Analysis) -> usize {
        self.journey.scene.spans.iter().filter(|span| analysis.graph.spans[**span].is_error).count()
    }

    /// Pieces of both paths.
    pub(crate) fn segments(&self) -> impl Iterator<Item = (&'static str, &Segment)> {
        let response = self.journey.response.iter().map(|segment| ("response", segment));
        response.chain(self.journey.settled.iter().map(|segment| ("settled", segment)))
    }
}
