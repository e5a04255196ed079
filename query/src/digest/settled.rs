//! Traces that are still open, and which of them are at rest at a given moment. Pure: time is an argument.
//!
//! ```text
//!   spans arrive ──▶ open trace ── 30 s without a span ──▶ settled ── its group too ──▶ a batch for the analysis
//!                        ▲                                                  │
//!                        └───────────────── late spans ─────────────────────┘ (a new revision)
//! ```
//!
//! Traces that may belong to one journey form a *group*: they share a lead, which is a link, the name of a message or
//! a status address. A group is handed out together, so that one analysis sees all of it. It waits for its last trace
//! for a bounded time; so does a trace for one it links to that was never seen.
//!
//! A trace at rest is looked at again together with one that settles later when that one links to it, is linked to by it,
//! or carries a message or status address of it. Two deliveries of a message whose sender was never seen belong together
//! when one may be another attempt of the other: same service and queue, or a dead letter. That both name a trace that
//! was never seen is no reason.
//!
//! Memory is bounded: when the packed spans are too many, the groups that have been quiet for longest are handed out
//! early and marked so.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};

use hashbrown::{HashMap, HashSet};
use model::semconv::key;
use model::{TraceId, UnixNanos};

use super::look::LooseEnd;
use super::packed::Shared;
use super::recent::Recent;
use crate::analysis::joins::Leads;
use crate::analysis::span::{Link, Span};
use crate::analysis::systems::is_dead_letter;

/// A trace that goes on for so long is looked at as it is; what comes later is late.
pub(crate) const OPEN_NANOS_MAX: i64 = 600 * UnixNanos::SECOND;
/// Leads shared by more traces than this say nothing.
const TRACES_PER_LEAD_MAX: usize = 64;
/// Traces handed out together.
const GROUP_TRACES_MAX: usize = 256;
/// Resources kept before everything is handed out and the list begins anew.
const RESOURCES_MAX: usize = 20_000;
/// Memory of an open trace besides its packed spans, in bytes: table entry, leads, their index.
const TRACE_BYTES: usize = 400;
/// Spans that are handed out at once, about 100 MB for the analysis. What a trace has beyond is not looked at; its journey shows
/// [`Bounds::spans_max`](crate::analysis::thresholds::Bounds) of them anyway.
const TRACE_SPANS_MAX: usize = 100_000;
/// The same in bytes as they are packed: as plain values they may take eight times as much.
const TRACE_PACKED_MAX: usize = 8 << 20;
/// Spans that are put back at once.
const PIECE_SPANS: usize = 1_000;
/// Room for one more packed span.
const SPAN_BYTES: usize = 256;
/// A trace that is open.
#[derive(Clone, Debug, Default)]
struct Open {
    packed: Vec<u8>,
    n_spans: usize,
    arrival_min: i64,
    arrival_max: i64,
    start_min: i64,
    /// What it shares with others: names of messages, status addresses, traces it links to.
    leads: Vec<u64>,
    /// Traces of other ids it links to.
    links: Vec<TraceId>,
    /// Messages from there.
    deliveries: Vec<Linked>,
    has_root: bool,
}

/// A delivery that names the context of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Linked {
    /// Trace of the context.
    cause: TraceId,
    /// Context, service and queue.
    attempt: u64,
    /// Context, anywhere.
    context: u64,
    /// Context, in a dead letter queue.
    dead_letter: u64,
    is_dead_letter: bool,
}

/// A trace handed out.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) trace: TraceId,
    pub(crate) spans: Vec<Span>,
    pub(crate) arrival_max: i64,
    /// Arrival of its earliest span among these.
    pub(crate) arrival_min: i64,
    /// It had not settled.
    pub(crate) early: bool,
    /// It was looked at before: these are late spans.
    pub(crate) is_known: bool,
    /// Whether it was looked at before is not remembered, and its spans look as if it was.
    pub(crate) is_doubtful: bool,
    /// Traces it links to, and those looked at lately that it may be joined to.
    pub(crate) links: Vec<TraceId>,
    /// Spans that are not among these because there are too many.
    pub(crate) n_left_out: usize,
    leads: Vec<u64>,
    deliveries: Vec<Linked>,
}

/// All open traces of a tenant.
#[derive(Debug, Default)]
pub(crate) struct OpenTraces {
    traces: HashMap<TraceId, Open>,
    by_lead: HashMap<u64, Vec<TraceId>>,
    /// Status addresses given lately: only who asks for one of these leads anywhere.
    accepted: HashSet<u64>,
    shared: Shared,
    recent: Recent,
    packed_bytes: usize,
    n_spans: usize,
    hasher: RandomState,
    /// A trace settles so long after its last span.
    settle_nanos: i64,
}

impl OpenTraces {
    /// `now` is when remembering begins; a trace settles `settle_nanos` after its last span. Twice as long after it, a
    /// settled trace no longer waits for others of its group, nor for one it links to.
    pub(crate) fn new(now: i64, settle_nanos: i64) -> Self {
        Self { recent: Recent::new(now), settle_nanos, ..Self::default() }
    }

    /// Spans of open traces.
    pub(crate) fn n_spans(&self) -> usize {
        self.n_spans
    }

    /// Spans of an open trace.
    pub(crate) fn n_spans_of(&self, trace: TraceId) -> usize {
        self.traces.get(&trace).map_or(0, |open| open.n_spans)
    }

    /// Open traces.
    pub(crate) fn n_traces(&self) -> usize {
        self.traces.len()
    }

    /// Memory it takes, estimated.
    pub(crate) fn bytes(&self) -> usize {
        self.packed_bytes + self.traces.len() * TRACE_BYTES + self.recent.bytes()
    }

    /// Arrival of the earliest span of an open trace; `None` when none is open.
    pub(crate) fn arrival_min(&self) -> Option<i64> {
        self.traces.values().map(|open| open.arrival_min).min()
    }

    /// Takes spans with the moments of their arrival.
    pub(crate) fn add(&mut self, spans: &[(Span, i64)]) {
        let leads: Vec<Leads> = spans.iter().map(|(span, _)| Leads::of(span)).collect();
        for accepted in leads.iter().filter_map(|leads| leads.accepted.as_deref()) {
            self.accept(self.hasher.hash_one(("poll", accepted)));
        }
        for ((span, arrival), leads) in spans.iter().zip(leads) {
            self.add_one(span, *arrival, &leads);
        }
    }

    fn add_one(&mut self, span: &Span, arrival: i64, leads: &Leads) {
        let open = self.traces.entry(span.trace_id).or_insert_with(|| Open {
            arrival_min: i64::MAX,
            arrival_max: i64::MIN,
            start_min: i64::MAX,
            ..Open::default()
        });
        let before = open.packed.capacity();
        if before - open.packed.len() < SPAN_BYTES {
            // By a quarter instead of twice as much: there are many of them, and they are most of the memory.
            open.packed.reserve_exact(SPAN_BYTES.max(open.packed.len() / 4));
        }
        self.shared.pack(span, &mut open.packed);
        self.packed_bytes += open.packed.capacity() - before;
        self.n_spans += 1;
        open.n_spans += 1;
        open.arrival_min = open.arrival_min.min(arrival);
        open.arrival_max = open.arrival_max.max(arrival);
        open.start_min = open.start_min.min(span.start.0);
        open.has_root |= span.parent_span_id.is_none();
        let hash = |lead: (&str, &str)| self.hasher.hash_one(lead);
        let mut found: Vec<u64> = leads.messages.iter().map(|message| hash(("message", message))).collect();
        found.extend(leads.accepted.as_deref().map(|path| hash(("poll", path))));
        found.extend(
            leads.asked.as_deref().map(|path| hash(("poll", path))).filter(|lead| self.accepted.contains(lead)),
        );
        let service = || span.resource.attributes.iter().find(|attribute| attribute.key == key::SERVICE_NAME);
        let service = leads.queue.as_ref().and_then(|_| Some(service()?.value.to_display())).unwrap_or_default();
        for link in span.links.iter().filter(|link| link.trace_id != span.trace_id) {
            if !open.links.contains(&link.trace_id) {
                open.links.push(link.trace_id);
                found.push(self.hasher.hash_one(link.trace_id));
            }
            if let Some(queue) = &leads.queue {
                let linked = linked(&self.hasher, link, &service, queue);
                if !open.deliveries.contains(&linked) {
                    open.deliveries.push(linked);
                }
            }
        }
        for lead in found {
            if !open.leads.contains(&lead) {
                open.leads.push(lead);
                self.by_lead.entry(lead).or_default().push(span.trace_id);
            }
        }
    }

    fn is_settled(&self, open: &Open, now: i64) -> bool {
        now.saturating_sub(open.arrival_max) >= self.settle_nanos
            || now.saturating_sub(open.arrival_min) >= OPEN_NANOS_MAX
    }

    /// Nothing more has to be waited for, whatever its group does.
    fn is_impatient(&self, open: &Open, now: i64) -> bool {
        let wait = 2 * self.settle_nanos;
        now.saturating_sub(open.arrival_max) >= self.settle_nanos + wait
            || now.saturating_sub(open.arrival_min) >= OPEN_NANOS_MAX + wait
    }

    /// Waits for a trace it links to that was never seen.
    fn is_waiting(&self, open: &Open, now: i64) -> bool {
        now.saturating_sub(open.arrival_max) < 2 * self.settle_nanos
            && open.links.iter().any(|link| !self.is_open(*link) && !self.is_remembered(*link))
    }

    /// Open traces that may belong together with this one, itself first.
    fn group(&self, trace: TraceId) -> Vec<TraceId> {
        let (mut group, mut seen) = (vec![trace], HashSet::<TraceId>::from([trace]));
        let mut next = 0;
        while let Some(here) = group.get(next).copied() {
            next += 1;
            let Some(open) = self.traces.get(&here) else { continue };
            let own = self.hasher.hash_one(here);
            let linked = open.links.iter().copied();
            let leading = open.leads.iter().chain([&own]).filter_map(|lead| self.by_lead.get(lead));
            let sharing = leading.filter(|traces| traces.len() <= TRACES_PER_LEAD_MAX).flatten().copied();
            for other in linked.chain(sharing) {
                if group.len() >= GROUP_TRACES_MAX {
                    return group;
                }
                if self.traces.contains_key(&other) && seen.insert(other) {
                    group.push(other);
                }
            }
        }
        group
    }

    /// Whole groups that are at rest at this moment, quietest first, up to about `spans_max` spans (at least one
    /// group). With `bytes_max`, groups are handed out early until the rest takes less memory.
    ///
    /// Out: traces by id. Empty when nothing has settled.
    pub(crate) fn settled(&self, now: i64, spans_max: usize, bytes_max: usize) -> BTreeSet<TraceId> {
        let is_short = self.bytes() > bytes_max || self.shared.n_resources() > RESOURCES_MAX;
        let mut order: Vec<(i64, TraceId)> = self
            .traces
            .iter()
            .filter(|(_, open)| is_short || self.is_settled(open, now))
            .map(|(trace, open)| (open.arrival_max, *trace))
            .collect();
        // All that are handed out early are ready, and each has a span: more than so many are not needed.
        if is_short && order.len() > spans_max {
            order.select_nth_unstable(spans_max);
            order.truncate(spans_max);
        }
        order.sort_unstable();
        let (mut chosen, mut looked_at, mut n_spans) = (BTreeSet::new(), HashSet::new(), 0);
        for (_, trace) in order {
            if n_spans >= spans_max {
                break;
            }
            if !looked_at.insert(trace) {
                continue;
            }
            let group = self.group(trace);
            let opens = || group.iter().filter_map(|trace| self.traces.get(trace));
            let is_ready = is_short
                || opens().all(|open| self.is_settled(open, now) && !self.is_waiting(open, now))
                || opens().any(|open| self.is_impatient(open, now));
            looked_at.extend(group.iter().copied());
            if is_ready {
                n_spans += opens().map(|open| open.n_spans).sum::<usize>();
                // Those that still go on stay, unless memory is short.
                let ready = group
                    .iter()
                    .filter(|trace| is_short || self.traces.get(*trace).is_some_and(|open| self.is_settled(open, now)));
                chosen.extend(ready.copied());
            }
        }
        chosen
    }

    /// Hands out those of some traces that fit into memory together as plain values, at least one. The others stay open: their turn
    /// comes next.
    pub(crate) fn take_some(&mut self, chosen: &BTreeSet<TraceId>, now: i64) -> Vec<Taken> {
        let (mut taken, mut n_spans, mut n_packed): (Vec<Taken>, usize, usize) = (Vec::new(), 0, 0);
        for trace in chosen {
            let Some(open) = self.traces.get(trace) else { continue };
            let (spans, packed) = (n_spans + open.n_spans, n_packed + open.packed.len());
            if !taken.is_empty() && (spans > TRACE_SPANS_MAX || packed > TRACE_PACKED_MAX) {
                continue;
            }
            (n_spans, n_packed) = (spans, packed);
            taken.extend(self.take(*trace, now));
        }
        taken
    }

    /// Hands a trace out; it is no longer open. `now` says whether that is early.
    pub(crate) fn take(&mut self, trace: TraceId, now: i64) -> Option<Taken> {
        let open = self.traces.remove(&trace)?;
        for lead in &open.leads {
            if let Some(traces) = self.by_lead.get_mut(lead) {
                traces.retain(|other| *other != trace);
                if traces.is_empty() {
                    self.by_lead.remove(lead);
                }
            }
        }
        self.packed_bytes -= open.packed.capacity();
        self.n_spans -= open.n_spans;
        let links = self.links_of(trace, &open);
        let is_known = self.is_remembered(trace);
        let packed = &open.packed[..open.packed.len().min(TRACE_PACKED_MAX)];
        let spans = self.shared.unpack(trace, packed, TRACE_SPANS_MAX);
        let n_left_out = open.n_spans - spans.len();
        let is_whole = || {
            let ids: HashSet<_> = spans.iter().map(|span| span.span_id).collect();
            open.has_root && spans.iter().all(|span| span.parent_span_id.is_none_or(|parent| ids.contains(&parent)))
        };
        let is_doubtful = !is_known && (open.start_min < self.recent.since || !is_whole());
        if self.traces.is_empty() {
            self.shared = Shared::default();
        }
        Some(Taken {
            trace,
            early: now.saturating_sub(open.arrival_max) < self.settle_nanos,
            arrival_max: open.arrival_max,
            arrival_min: open.arrival_min,
            is_known,
            is_doubtful,
            links,
            leads: open.leads,
            deliveries: open.deliveries,
            spans,
            n_left_out,
        })
    }

    /// Traces it links to, and those looked at lately that it may be joined to.
    fn links_of(&self, trace: TraceId, open: &Open) -> Vec<TraceId> {
        // Those that link to the same trace are joined through that one, and to nobody while it was never seen.
        let siblings: HashSet<u64> = open.links.iter().map(|link| self.hasher.hash_one(link)).collect();
        let own = self.hasher.hash_one(trace);
        let mut leads: Vec<u64> = open.leads.iter().copied().filter(|lead| !siblings.contains(lead)).collect();
        leads.push(own);
        for linked in open.deliveries.iter().filter(|linked| !self.is_seen(linked.cause)) {
            leads.extend([linked.attempt, if linked.is_dead_letter { linked.context } else { linked.dead_letter }]);
        }
        let others = leads.into_iter().filter_map(|lead| self.recent.leads_to(lead));
        let mut links = open.links.clone();
        links.extend(others.filter(|other| *other != trace && !self.is_open(*other)));
        links
    }

    fn is_seen(&self, trace: TraceId) -> bool {
        self.is_open(trace) || self.is_remembered(trace)
    }

    /// Puts back what was handed out: it could not be written.
    pub(crate) fn put_back(&mut self, taken: &[Taken]) {
        for trace in taken {
            // In pieces: a trace may be large, and all of it is in memory once already.
            for piece in trace.spans.chunks(PIECE_SPANS) {
                let spans: Vec<_> = piece.iter().map(|span| (span.clone(), trace.arrival_max)).collect();
                self.add(&spans);
            }
            if let Some(open) = self.traces.get_mut(&trace.trace) {
                open.arrival_min = open.arrival_min.min(trace.arrival_min);
            }
        }
    }

    /// Remembers that a trace at rest waits for one it links to: when that comes, both are looked at again.
    pub(crate) fn remember_awaited(&mut self, cause: TraceId, by: TraceId) {
        self.recent.remember_lead(self.hasher.hash_one(cause), by);
    }

    /// The same for the other end of a message, and for whoever looks at a status address.
    pub(crate) fn remember_loose_end(&mut self, end: &LooseEnd, by: TraceId) {
        let lead = match end {
            LooseEnd::Message(name) => self.hasher.hash_one(("message", name.as_str())),
            LooseEnd::Address(path) => {
                let lead = self.hasher.hash_one(("poll", path.as_str()));
                self.accept(lead);
                lead
            }
        };
        self.recent.remember_lead(lead, by);
    }

    /// Remembers that a status address was given.
    fn accept(&mut self, lead: u64) {
        if self.accepted.len() >= RESOURCES_MAX {
            self.accepted.clear();
        }
        self.accepted.insert(lead);
    }

    /// Remembers what traces that were looked at lead to. Themselves are remembered already.
    pub(crate) fn remember_leads(&mut self, taken: &[Taken]) {
        for taken in taken {
            let links: HashMap<u64, TraceId> =
                taken.links.iter().map(|link| (self.hasher.hash_one(link), *link)).collect();
            for lead in &taken.leads {
                // Whoever links to a trace that was seen is found by it.
                if links.get(lead).is_none_or(|link| !self.is_remembered(*link)) {
                    self.recent.remember_lead(*lead, taken.trace);
                }
            }
            for linked in &taken.deliveries {
                if self.recent.contains(linked.cause) {
                    continue;
                }
                self.recent.remember_lead(linked.attempt, taken.trace);
                self.recent.remember_lead(linked.context, taken.trace);
                if linked.is_dead_letter {
                    self.recent.remember_lead(linked.dead_letter, taken.trace);
                }
            }
        }
    }

    /// Remembers a trace as looked at, at this moment.
    pub(crate) fn remember(&mut self, trace: TraceId, now: i64) {
        self.recent.remember(trace, now);
    }

    /// The trace was looked at lately.
    pub(crate) fn is_remembered(&self, trace: TraceId) -> bool {
        self.recent.contains(trace)
    }

    /// The trace is open.
    pub(crate) fn is_open(&self, trace: TraceId) -> bool {
        self.traces.contains_key(&trace)
    }
}

/// A delivery of the message that `link` names.
fn linked(hasher: &RandomState, link: &Link, service: &str, queue: &str) -> Linked {
    let context = (link.trace_id, link.span_id);
    Linked {
        cause: link.trace_id,
        attempt: hasher.hash_one((context, service, queue)),
        context: hasher.hash_one((context, "anywhere")),
        dead_letter: hasher.hash_one((context, "dead letter")),
        is_dead_letter: is_dead_letter(queue),
    }
}
