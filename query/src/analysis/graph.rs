//! A set of spans made ready: duplicates dropped, classified, in one order, with parents and children.
//!
//! Whatever order, batching and repetition the spans arrived in, the graph is the same: spans are sorted
//! by trace, start and span id, and indices into that order are what the other files speak of.
//!
//! - A span id that came twice with different content keeps the copy that ends last; a warning counts them.
//! - A parent chain that runs in a circle is cut at its earliest span; a warning counts the circles.
//! - Mesh spans are transparent: `real_parent` looks through them.
//!
//! Cost: O(n log n), no recursion.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;
use model::{SpanId, SpanKind, TraceId};

use super::classify::{Class, Operation, Role, Style, classify};
use super::errors::{is_error, is_fault};
use super::facts::{Facts, is_waiting_client};
use super::read::Attributes;
use super::service::Sender;
use super::span::{Resource, Span};
use super::systems::is_gateway_name;

/// Latest moment times are read as (year 2116): differences of two times always fit 64 bits.
const TIME_MAX: i64 = 1 << 62;
/// Longest a span is believed to last, about 417 days.
pub const DURATION_MAX: i64 = 1 << 55;

/// Position of a span in [`Graph::spans`].
pub type SpanIndex = usize;

/// A span and what was found out about it.
#[derive(Clone, Debug)]
pub struct Known {
    /// The span as sent.
    pub span: Span,
    /// What it is.
    pub class: Class,
    /// Further details.
    pub facts: Facts,
    /// Its service.
    pub service: Arc<str>,
    /// Its process: spans with the same text share a clock.
    pub process: Arc<str>,
    /// `service.version`.
    pub version: Option<Arc<str>>,
    /// `service.namespace`, else the Kubernetes namespace.
    pub namespace: Option<Arc<str>>,
    /// `deployment.environment.name`.
    pub environment: Option<Arc<str>>,
    /// It failed.
    pub is_error: bool,
    /// It failed and was not merely refused.
    pub is_fault: bool,
    /// Spans of the source it stands for, from the sampling threshold.
    pub weight: f64,
}

impl Known {
    /// Start by the sender's clock, nanoseconds since 1970; garbage clocks read as 1970 or 2116.
    pub fn start(&self) -> i64 {
        self.span.start.0.clamp(0, TIME_MAX)
    }

    /// End by the sender's clock, never before the start and at most [`DURATION_MAX`] after it.
    pub fn end(&self) -> i64 {
        self.span.end.0.clamp(self.start(), self.start() + DURATION_MAX)
    }

    /// Nanoseconds from start to end.
    pub fn duration(&self) -> i64 {
        self.end() - self.start()
    }

    /// A sidecar span, transparent.
    pub fn is_mesh(&self) -> bool {
        self.class.facets.mesh
    }

    /// A server span that is no sidecar.
    pub fn is_server(&self) -> bool {
        self.span.kind == SpanKind::Server && !self.is_mesh()
    }

    /// Sends messages, or makes what another span sends.
    pub fn is_producer(&self) -> bool {
        self.class.role == Role::Producer
    }

    /// Handles messages.
    pub fn is_process(&self) -> bool {
        self.class.messaging == Some(Operation::Process)
    }

    /// Asks the broker for messages.
    pub fn is_receive(&self) -> bool {
        self.class.messaging == Some(Operation::Receive)
    }

    /// A client whose caller waits.
    pub fn is_waiting_client(&self) -> bool {
        is_waiting_client(self.span.kind, &self.class)
    }

    /// A client for the critical path: its time is in the network or at the peer.
    pub fn is_sync_client(&self) -> bool {
        self.span.kind == SpanKind::Client && (self.class.style != Style::Async || self.is_waiting_client())
    }
}

/// Spans with their family relations; indices are [`SpanIndex`].
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Sorted by trace, start, span id.
    pub spans: Vec<Known>,
    /// Where each trace stands in `spans`, sorted by trace id.
    pub traces: Vec<(TraceId, Range<SpanIndex>)>,
    /// Parent inside the set; `None` for roots, orphans and cut circles.
    pub parent: Vec<Option<SpanIndex>>,
    /// A parent was named and is not in the set.
    pub is_orphan: Vec<bool>,
    /// Nearest ancestor that is no mesh span.
    pub real_parent: Vec<Option<SpanIndex>>,
    /// Nearest server, consumer or first span of the same service, itself included.
    pub entry: Vec<SpanIndex>,
    /// Every span after its parent.
    pub top_down: Vec<SpanIndex>,
    /// Children in the order of `spans`.
    children: Children,
    by_id: HashMap<(TraceId, SpanId), SpanIndex>,
    /// What looked odd, for people.
    pub warnings: Vec<String>,
}

/// By resource and service: the process, and whether the service's name says gateway.
type Processes = HashMap<(*const Resource, Arc<str>), (Arc<str>, bool)>;

/// Lists of children of all spans in one allocation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Children {
    first: Vec<usize>,
    list: Vec<usize>,
}

impl Children {
    /// From each one's parent; children keep their order.
    pub(crate) fn of(parent: &[Option<usize>]) -> Self {
        let mut first = vec![0; parent.len() + 2];
        for parent in parent.iter().flatten() {
            first[parent + 2] += 1;
        }
        for at in 2..first.len() {
            first[at] += first[at - 1];
        }
        let mut list = vec![0; parent.iter().flatten().count()];
        for (child, parent) in parent.iter().enumerate() {
            if let Some(parent) = parent {
                list[first[parent + 1]] = child;
                first[parent + 1] += 1;
            }
        }
        Self { first, list }
    }

    /// Children of one.
    pub(crate) fn get(&self, of: usize) -> &[usize] {
        &self.list[self.first[of]..self.first[of + 1]]
    }
}

impl Graph {
    /// Makes spans ready. The order of `spans` does not matter. `jms_brokers` says which JMS broker
    /// addresses are really `activemq` or `ibmmq`.
    pub fn new(mut spans: Vec<Span>, jms_brokers: &BTreeMap<String, String>) -> Self {
        let mut warnings = Vec::new();
        spans.sort_by_cached_key(|span| (span.trace_id, span.span_id));
        let n_collisions = drop_copies(&mut spans);
        if n_collisions > 0 {
            warnings.push(format!(
                "{n_collisions} spans share their id with another span; the copy that ends last is kept"
            ));
        }
        spans.sort_by_cached_key(|span| (span.trace_id, span.start, span.span_id));
        let mut senders: HashMap<*const Resource, Sender> = HashMap::new();
        let mut processes = Processes::new();
        let mut spans: Vec<Known> = spans.into_iter().map(|span| know(span, &mut senders, &mut processes)).collect();
        if !jms_brokers.is_empty() {
            for known in spans.iter_mut().filter(|known| known.class.system == "jms") {
                if let Some(system) = known.facts.host.as_ref().and_then(|host| jms_brokers.get(host)) {
                    known.class.system = system.clone().into();
                }
            }
        }
        let is_odd = |known: &&Known| known.start() != known.span.start.0 || known.end() != known.span.end.0;
        let n_odd = spans.iter().filter(is_odd).count();
        if n_odd > 0 {
            warnings
                .push(format!("{n_odd} spans have impossible times: they end before they start, or in another age"));
        }
        Self::relate(spans, warnings)
    }

    fn relate(spans: Vec<Known>, mut warnings: Vec<String>) -> Self {
        let by_id: HashMap<_, _> =
            spans.iter().enumerate().map(|(at, known)| ((known.span.trace_id, known.span.span_id), at)).collect();
        let named_parent = |known: &Known| {
            known.span.parent_span_id.and_then(|parent| by_id.get(&(known.span.trace_id, parent)).copied())
        };
        let mut parent: Vec<_> = spans.iter().map(named_parent).collect();
        let is_orphan: Vec<_> = (spans.iter().zip(&parent))
            .map(|(known, parent)| known.span.parent_span_id.is_some() && parent.is_none())
            .collect();
        let n_circles = cut_circles(&mut parent);
        if n_circles > 0 {
            warnings.push(format!("{n_circles} chains of parents run in a circle; each is cut at its earliest span"));
        }
        let children = Children::of(&parent);
        let mut top_down: Vec<_> = (0..spans.len()).filter(|at| parent[*at].is_none()).collect();
        let mut next = 0;
        while let Some(&at) = top_down.get(next) {
            top_down.extend_from_slice(children.get(at));
            next += 1;
        }
        let mut real_parent = vec![None; spans.len()];
        let mut entry: Vec<_> = (0..spans.len()).collect();
        for &at in &top_down {
            real_parent[at] =
                parent[at].and_then(|parent| if spans[parent].is_mesh() { real_parent[parent] } else { Some(parent) });
            let is_entry = spans[at].is_server() || spans[at].class.role == Role::Consumer;
            let above = if spans[at].is_mesh() { parent[at] } else { real_parent[at] };
            if let Some(above) = above.filter(|above| !is_entry && spans[*above].service == spans[at].service) {
                entry[at] = entry[above];
            }
        }
        let mut traces: Vec<(TraceId, Range<SpanIndex>)> = Vec::new();
        for (at, known) in spans.iter().enumerate() {
            match traces.last_mut() {
                Some((trace, range)) if *trace == known.span.trace_id => range.end = at + 1,
                _ => traces.push((known.span.trace_id, at..at + 1)),
            }
        }
        Self { spans, traces, parent, is_orphan, real_parent, entry, top_down, children, by_id, warnings }
    }

    /// Children of a span, by start and span id.
    pub fn children(&self, of: SpanIndex) -> &[SpanIndex] {
        self.children.get(of)
    }

    /// The span with this id.
    pub fn find(&self, trace: TraceId, span: SpanId) -> Option<SpanIndex> {
        self.by_id.get(&(trace, span)).copied()
    }

    /// The spans of a trace; empty when it is not in the set.
    pub fn trace(&self, trace: TraceId) -> Range<SpanIndex> {
        match self.traces.binary_search_by_key(&trace, |(trace, _)| *trace) {
            Ok(at) => self.traces[at].1.clone(),
            Err(_) => 0..0,
        }
    }

    /// Trace of a span.
    pub fn trace_of(&self, span: SpanIndex) -> TraceId {
        self.spans[span].span.trace_id
    }
}

/// Keeps one span of each id; `spans` is sorted by id. Returns how many had copies with other content.
fn drop_copies(spans: &mut Vec<Span>) -> usize {
    let mut n_collisions = 0;
    let mut kept: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans.drain(..) {
        match kept.last_mut() {
            Some(last) if (last.trace_id, last.span_id) == (span.trace_id, span.span_id) => {
                if *last != span {
                    n_collisions += 1;
                    if prefer(&span, last) == Ordering::Greater {
                        *last = span;
                    }
                }
            }
            _ => kept.push(span),
        }
    }
    *spans = kept;
    n_collisions
}

/// Which of two different spans with one id is kept: the later end, then whatever decides without
/// looking at the order of arrival.
fn prefer(left: &Span, right: &Span) -> Ordering {
    let key = |span: &Span| (span.end, span.start, span.attributes.len(), span.events.len(), span.links.len());
    key(left).cmp(&key(right)).then_with(|| format!("{left:?}").cmp(&format!("{right:?}")))
}

fn know(span: Span, senders: &mut HashMap<*const Resource, Sender>, processes: &mut Processes) -> Known {
    let resource = Arc::as_ptr(&span.resource);
    let sender = senders.entry(resource).or_insert_with(|| Sender::read(&Attributes::new(&span.resource.attributes)));
    let attributes = Attributes::new(&span.attributes);
    let service = sender.service(&attributes);
    let (process, is_gateway) = processes
        .entry((resource, Arc::clone(&service)))
        .or_insert_with(|| (sender.process(&service), is_gateway_name(&service)));
    let class = classify(&span, &attributes, *is_gateway, sender.is_faas);
    let facts = Facts::read(&span, &attributes, &class);
    let is_error = is_error(span.status, span.kind, &facts);
    Known {
        is_fault: is_fault(is_error, &class, &facts),
        is_error,
        process: Arc::clone(process),
        version: sender.version.clone(),
        namespace: sender.namespace.clone(),
        environment: sender.environment.clone(),
        weight: span.weight(),
        service,
        class,
        facts,
        span,
    }
}

/// Cuts every circle of parents at its earliest span (lowest index). Returns how many there were.
fn cut_circles(parent: &mut [Option<usize>]) -> usize {
    const NEW: u32 = 0;
    let mut seen_in = vec![NEW; parent.len()];
    let mut n_circles = 0;
    let mut round = NEW;
    for start in 0..parent.len() {
        round += 1;
        let mut at = Some(start);
        while let Some(here) = at.filter(|here| seen_in[*here] == NEW) {
            seen_in[here] = round;
            at = parent[here];
        }
        if let Some(meeting) = at.filter(|here| seen_in[*here] == round) {
            let mut earliest = meeting;
            let mut here = parent[meeting];
            while let Some(next) = here.filter(|next| *next != meeting) {
                earliest = earliest.min(next);
                here = parent[next];
            }
            parent[earliest] = None;
            n_circles += 1;
        }
    }
    n_circles
}
