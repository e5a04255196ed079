//! The spans of a journey out of a snapshot: the seed's trace, up to the origin, then down level by level.
//!
//! ```text
//!   seed ── up ──▶ its one cause ──▶ ... ──▶ origin         who is linked to, whose message it handled
//!   origin ── down ──▶ who links to it, who handled its messages, who polled its results ──▶ ...
//! ```
//!
//! Finds more rather than fewer traces than the analysis will take as members: what is and what is not a join is
//! decided there, once, over everything that was loaded. Here a trace that might belong is loaded, within the
//! bounds; what a bound left out is counted.
//!
//! What links alone join is found first by reading links only, and loaded together; what messages, status addresses and
//! everything else say comes after, over what is there.
//!
//! Many seeds are gathered together, a step of all of them at a time: [`gather_all`] asks storage as often for five hundred
//! traces as [`gather`] does for one.
//!
//! Cost: per level one look-up in the indexes and one read of the rows they name. Traces are loaded whole, one read
//! for all of a level. What is asked stands in `ask.rs`.

mod ask;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use model::semconv::{self, key, prefix};
use model::{SpanId, SpanKind, TraceId};

use crate::analysis::hops::is_strong_id;
use crate::analysis::journey::{Cut, CutReason, origin};
use crate::analysis::span::Span;
use crate::analysis::thresholds::Bounds;
use crate::analysis::{Analysis, Options, analyze};
use crate::engine::session::{Session, TRACE_BYTES_MAX};
use crate::error::Result;
use crate::trace::plain;

/// Causes of one trace that are looked at: a batch can have hundreds, and each is a look-up.
const CAUSES_MAX: usize = 256;
/// Message ids of one level that are looked up, and for each of many seeds.
const MESSAGES_MAX: usize = 512;
const MESSAGES_PER_SEED: usize = 16;
/// Rows that are read at once for the digest, which works beside everything else.
const LEAN_BYTES_MAX: u64 = 32 << 20;
/// Steps upwards; chains of single causes are longer only by accident.
const CLIMB_MAX: usize = 64;

/// Spans of a journey and of what stands around it.
#[derive(Debug)]
pub(crate) struct Gathered {
    /// Every span that might belong; more than the journey's.
    pub(crate) spans: Vec<Span>,
    /// What was never loaded.
    pub(crate) cuts: Vec<Cut>,
    /// Why something may be missing that no bound of journeys explains.
    pub(crate) reasons: Vec<String>,
}

/// Loads what the journey of `seed` may need.
///
/// No spans when the seed is not stored.
///
/// # Errors
/// What went wrong while reading.
pub(crate) async fn gather(
    session: &Session,
    seed: TraceId,
    span: Option<SpanId>,
    bounds: &Bounds,
    options: &Options,
) -> Result<Gathered> {
    Gatherer::new(session, bounds, options).around(seed, span).await
}

/// The same for who hands the spans to the analysis and nobody else: as [`plain::Reader::lean`] reads them. Of a trace that takes
/// more than 32 MiB as rows some spans, and not the earliest.
///
/// # Errors
/// What went wrong while reading.
pub(crate) async fn gather_lean(
    session: &Session,
    seed: TraceId,
    bounds: &Bounds,
    options: &Options,
) -> Result<Vec<Span>> {
    Ok(Gatherer::new(session, bounds, options).lean().around(seed, None).await?.spans)
}

/// Loads what the journeys of some traces may need, as [`gather_lean`] does. `None` when that does not fit into the bounds of one journey, so
/// many spans together and so many members for each; then fewer seeds may.
///
/// # Errors
/// What went wrong while reading.
pub(crate) async fn gather_all(
    session: &Session,
    seeds: &BTreeSet<TraceId>,
    bounds: &Bounds,
    options: &Options,
) -> Result<Option<Vec<Span>>> {
    let n_seeds = seeds.len().max(1);
    let bounds = Bounds { members_max: bounds.members_max.saturating_mul(n_seeds), ..bounds.clone() };
    let mut gatherer = Gatherer::new(session, &bounds, options).lean();
    gatherer.messages_max = MESSAGES_MAX.max(MESSAGES_PER_SEED.saturating_mul(n_seeds));
    gatherer.load(seeds.iter().copied()).await?;
    if !gatherer.is_cut() {
        let origins = gatherer.climb(seeds.iter().map(|seed| (*seed, None)).collect()).await?;
        if !gatherer.is_cut() {
            gatherer.descend(origins).await?;
        }
    }
    Ok((!gatherer.is_cut()).then_some(gatherer.spans))
}

/// Loads one trace and nothing around it.
///
/// # Errors
/// What went wrong while reading.
pub(crate) async fn alone(session: &Session, trace: TraceId, bounds: &Bounds, options: &Options) -> Result<Gathered> {
    let mut gatherer = Gatherer::new(session, bounds, options);
    gatherer.load([trace]).await?;
    Ok(gatherer.finish())
}

struct Gatherer<'a> {
    session: &'a Session,
    bounds: &'a Bounds,
    options: &'a Options,
    reader: plain::Reader,
    /// Memory that rows may take before they are read.
    bytes_max: u64,
    is_lean: bool,
    spans: Vec<Span>,
    /// Traces that were loaded whole, stored or not.
    whole: HashSet<TraceId>,
    /// Spans that were looked up one by one.
    single: HashSet<(TraceId, SpanId)>,
    left_out: BTreeMap<CutReason, usize>,
    /// Why something may be missing that more room would have let in.
    reasons: Vec<String>,
    /// Why something may be missing, however few traces are gathered together.
    unasked: Vec<String>,
    /// Message ids of one level that are looked up.
    messages_max: usize,
    /// Traces that link to a trace, of those that were asked about, each with the start of a span that does.
    linked_by: HashMap<TraceId, Vec<(TraceId, i64)>>,
}

/// What a level of traces leads to.
#[derive(Default)]
struct Leads {
    messages: BTreeSet<String>,
    /// Paths of status addresses, with the earliest moment they were given.
    polls: BTreeMap<String, i64>,
}

impl<'a> Gatherer<'a> {
    fn new(session: &'a Session, bounds: &'a Bounds, options: &'a Options) -> Self {
        Self {
            session,
            bounds,
            options,
            reader: plain::Reader::default(),
            bytes_max: TRACE_BYTES_MAX,
            is_lean: false,
            spans: Vec::new(),
            whole: HashSet::new(),
            single: HashSet::new(),
            left_out: BTreeMap::new(),
            reasons: Vec::new(),
            unasked: Vec::new(),
            messages_max: MESSAGES_MAX,
            linked_by: HashMap::new(),
        }
    }

    /// Reads what the analysis asks for and no more.
    fn lean(mut self) -> Self {
        (self.reader, self.bytes_max, self.is_lean) = (plain::Reader::lean(), LEAN_BYTES_MAX, true);
        self
    }

    /// The journey of `seed`.
    async fn around(mut self, seed: TraceId, span: Option<SpanId>) -> Result<Gathered> {
        let linked = self.linked(seed).await?;
        self.load_together(&linked).await?;
        self.load([seed]).await?;
        if !self.spans.is_empty() {
            let origins = self.climb(vec![(seed, span)]).await?;
            self.descend(origins).await?;
        }
        Ok(self.finish())
    }

    /// Traces that links alone join to the seed, up to what has no single cause and then down, itself among them. Only ids
    /// and links are read, two columns of sixty: most journeys are loaded with one read after that.
    async fn linked(&mut self, seed: TraceId) -> Result<BTreeSet<TraceId>> {
        let (mut found, mut top) = (BTreeSet::from([seed]), seed);
        for _ in 0..CLIMB_MAX {
            let Some(targets) = self.linked_from(top).await? else { return Ok(found) };
            match targets.first() {
                Some(target) if targets.len() == 1 && found.insert(*target) => top = *target,
                _ => break,
            }
        }
        let mut level = vec![top];
        for _ in 0..self.bounds.depth_max {
            self.ask_who_links_to(&level).await?;
            let next = level.iter().filter_map(|trace| self.linked_by.get(trace)).flatten().map(|(trace, _)| *trace);
            let next: BTreeSet<TraceId> = next.filter(|trace| !found.contains(trace)).collect();
            if next.is_empty() || found.len() + next.len() > self.bounds.members_max {
                break;
            }
            found.extend(&next);
            level = next.into_iter().collect();
        }
        Ok(found)
    }

    fn finish(self) -> Gathered {
        let cuts = self.left_out.into_iter().map(|(reason, left_out)| Cut { reason, left_out });
        let reasons = self.reasons.into_iter().chain(self.unasked).collect();
        Gathered { spans: self.spans, cuts: cuts.collect(), reasons }
    }

    fn leave_out(&mut self, reason: CutReason, n: usize) {
        if n > 0 {
            *self.left_out.entry(reason).or_default() += n;
        }
    }

    fn reason(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.reasons.contains(&text) {
            self.reasons.push(text);
        }
    }

    fn unasked(&mut self, text: String) {
        if !self.unasked.contains(&text) {
            self.unasked.push(text);
        }
    }

    /// Something was left out that more room would have let in.
    fn is_cut(&self) -> bool {
        self.spans.len() > self.bounds.spans_max
            || !self.reasons.is_empty()
            || self.left_out.keys().any(|reason| matches!(reason, CutReason::Spans | CutReason::Members))
    }

    /// Up from each seed while there is exactly one stored cause; gives the origins, whole.
    async fn climb(&mut self, seeds: Vec<(TraceId, Option<SpanId>)>) -> Result<BTreeSet<TraceId>> {
        let (mut origins, mut asked) = (BTreeSet::new(), BTreeSet::new());
        let is_one = seeds.len() == 1;
        let mut climbing = seeds;
        for _ in 0..CLIMB_MAX {
            let analysis = self.analyze(|_| true);
            let (mut wanted, mut singles, mut asking) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
            climbing.retain(|(seed, span)| {
                let top = origin(&analysis, *seed, *span).0;
                if !self.whole.contains(&top) {
                    wanted.insert(top);
                    return true;
                }
                let causes: BTreeSet<(TraceId, SpanId)> = analysis
                    .causes(top)
                    .filter_map(|join| Some(analysis.messages.hops[join.hop?].context))
                    .filter(|id| !self.whole.contains(&id.0) && !self.single.contains(id))
                    .collect();
                let traces: BTreeSet<TraceId> = causes.iter().map(|(trace, _)| *trace).collect();
                match traces.len() {
                    0 if asked.contains(&top) => {
                        origins.insert(top);
                        return false;
                    }
                    0 => asking.extend([top]),
                    1 => wanted.extend(traces),
                    _ => singles.push(causes),
                }
                true
            });
            if climbing.is_empty() {
                return Ok(origins);
            }
            let more = self.causes_without_context(&analysis, &asking).await?;
            drop(analysis);
            if wanted.is_empty() && singles.is_empty() && more.is_empty() {
                origins.extend(asking);
                return Ok(origins);
            }
            asked.extend(asking);
            for causes in singles {
                if causes.len() > CAUSES_MAX {
                    self.reason(format!("{} messages came from elsewhere; {CAUSES_MAX} were looked at", causes.len()));
                }
                self.single.extend(causes.iter().skip(CAUSES_MAX));
                self.load_single(&causes.into_iter().take(CAUSES_MAX).collect()).await?;
            }
            self.load(wanted.into_iter().chain(more)).await?;
            if !is_one && self.is_cut() {
                break;
            }
        }
        let analysis = self.analyze(|_| true);
        origins.extend(climbing.iter().map(|(seed, span)| origin(&analysis, *seed, *span).0));
        Ok(origins)
    }

    /// Causes that no trace context tells: producers of the messages that `tops` handled, calls whose status address
    /// they looked at.
    async fn causes_without_context(&mut self, analysis: &Analysis, tops: &BTreeSet<TraceId>) -> Result<Vec<TraceId>> {
        if tops.is_empty() {
            return Ok(Vec::new());
        }
        let graph = &analysis.graph;
        let mut leads = Leads::default();
        for at in tops.iter().flat_map(|top| graph.trace(*top)) {
            let known = &graph.spans[at];
            let delivery = analysis.messages.delivery_of.get(&at).map(|at| &analysis.messages.deliveries[*at]);
            let message = known.facts.message.as_deref();
            if delivery.is_some_and(|delivery| delivery.n_contexts == 0)
                && let Some(id) = message.and_then(|message| message.id.as_deref()).filter(|id| is_strong_id(id))
            {
                leads.messages.insert(id.to_owned());
            }
        }
        let mut found: Vec<TraceId> = self.find(&[], &leads).await?.into_keys().collect();
        found.extend(self.accepted_before(analysis, tops).await?);
        found.extend(self.kafka_producers(analysis, tops).await?);
        found.retain(|trace| !self.whole.contains(trace));
        found.truncate(self.bounds.members_max);
        Ok(found)
    }

    /// Down from the origins, level by level.
    async fn descend(&mut self, origins: BTreeSet<TraceId>) -> Result<()> {
        let starts = || self.spans.iter().filter(|span| origins.contains(&span.trace_id)).map(|span| span.start.0);
        let (first, last) = (starts().min().unwrap_or_default(), starts().max().unwrap_or_default());
        // Of many origins a window around all; the analysis measures from each.
        let last = if origins.len() > 1 { last } else { first };
        let window = first.saturating_sub(self.bounds.before_nanos)..=last.saturating_add(self.bounds.after_nanos);
        let mut members: HashSet<TraceId> = origins.iter().copied().collect();
        let mut level: Vec<TraceId> = origins.into_iter().collect();
        for depth in 1.. {
            let here: HashSet<TraceId> = level.iter().copied().collect();
            let analysis = self.analyze(|span| here.contains(&span.trace_id));
            let leads = leads(&analysis);
            drop(analysis);
            let mut found = self.find(&level, &leads).await?;
            for (trace, start) in self.pollers(&leads).await? {
                found.entry(trace).and_modify(|earliest| *earliest = start.min(*earliest)).or_insert(start);
            }
            found.retain(|trace, _| !members.contains(trace));
            let n_found = found.len();
            found.retain(|_, start| window.contains(start));
            self.leave_out(CutReason::Time, n_found - found.len());
            if found.is_empty() {
                return Ok(());
            }
            if depth > self.bounds.depth_max {
                self.leave_out(CutReason::Depth, found.len());
                return Ok(());
            }
            let mut next: Vec<(i64, TraceId)> = found.into_iter().map(|(trace, start)| (start, trace)).collect();
            next.sort_unstable();
            let room = self.bounds.members_max.saturating_sub(members.len());
            self.leave_out(CutReason::Members, next.len().saturating_sub(room));
            next.truncate(room);
            level = next.into_iter().map(|(_, trace)| trace).collect();
            members.extend(&level);
            self.load(level.iter().copied()).await?;
            if level.is_empty() || self.spans.len() > self.bounds.spans_max {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The communications of the loaded spans that `wanted` picks, as far as they can join traces.
    fn analyze(&self, wanted: impl Fn(&Span) -> bool) -> Analysis {
        let picked = || self.spans.iter().filter(|span| wanted(span));
        // Status addresses join by both ends of calls, which takes every span.
        let has_address = picked().any(|span| span.attributes.iter().any(|entry| is_location(&entry.key)));
        let targets: HashSet<(TraceId, SpanId)> =
            picked().flat_map(|span| &span.links).map(|link| (link.trace_id, link.span_id)).collect();
        let roots: HashSet<(TraceId, SpanId)> =
            picked().filter(|span| span.parent_span_id.is_none()).map(|span| (span.trace_id, span.span_id)).collect();
        let is_of_use = |span: &&Span| {
            has_address
                || span.parent_span_id.is_none_or(|parent| roots.contains(&(span.trace_id, parent)))
                || !span.links.is_empty()
                || matches!(span.kind, SpanKind::Producer | SpanKind::Consumer)
                || targets.contains(&(span.trace_id, span.span_id))
                || span.attributes.iter().any(|entry| is_messaging(&entry.key))
        };
        analyze(picked().filter(is_of_use).cloned().collect(), self.options)
    }
}

/// What leads from a level of traces to others, besides links.
fn leads(analysis: &Analysis) -> Leads {
    let graph = &analysis.graph;
    let mut leads = Leads::default();
    for send in &analysis.messages.sends {
        let message = graph.spans[send.span].facts.message.as_deref();
        let id = message.and_then(|message| message.id.as_deref()).filter(|id| is_strong_id(id));
        leads.messages.extend(id.map(str::to_owned));
    }
    for call in &analysis.calls {
        let sides = || [call.client, call.server].into_iter().flatten().map(|span| &graph.spans[span].facts);
        if sides().any(|facts| facts.http_status == Some(202))
            && let Some(location) = sides().find_map(|facts| facts.location.clone())
        {
            leads.polls.entry(location).and_modify(|from| *from = call.start.min(*from)).or_insert(call.start);
        }
    }
    leads
}

fn is_location(name: &str) -> bool {
    semconv::find(key::HTTP_LOCATION)
        .is_some_and(|convention| convention.key == name || convention.fallbacks.contains(&name))
}

fn is_messaging(name: &str) -> bool {
    [prefix::MESSAGING, prefix::NSERVICEBUS].iter().any(|prefix| name.starts_with(prefix))
}
