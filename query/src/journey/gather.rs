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
//! Cost: per level one look-up in the indexes and one scan of the rows they name. Traces are loaded whole, one scan
//! for all of a level.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::prelude::ident;
use model::semconv::{self, key, prefix};
use model::{SpanId, SpanKind, TraceId};
use storage::table::SPANS;

use crate::analysis::hops::is_strong_id;
use crate::analysis::journey::{Cut, CutReason, origin};
use crate::analysis::span::Span;
use crate::analysis::thresholds::Bounds;
use crate::analysis::{Analysis, Options, analyze};
use crate::engine::session::Session;
use crate::error::Result;
use crate::rows::{Bytes, Ints, Texts, column_of};
use crate::tables::Located;
use crate::trace::{AttributeColumns, linked_ids, literal, moment, plain};

/// Causes of one trace that are looked at: a batch can have hundreds, and each is a look-up.
const CAUSES_MAX: usize = 256;
/// Message ids of one level that are looked up.
const MESSAGES_MAX: usize = 512;
/// Rows read when looking for those that link to a level or handled its messages.
const FOUND_MAX: u64 = 20_000;
/// Status addresses looked up.
const POLLS_MAX: usize = 16;
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
    let mut gatherer = Gatherer::new(session, bounds, options);
    gatherer.load(&[seed]).await?;
    if !gatherer.spans.is_empty() {
        let origin = gatherer.climb(seed, span).await?;
        gatherer.descend(origin).await?;
    }
    Ok(gatherer.finish())
}

/// Loads one trace and nothing around it.
///
/// # Errors
/// What went wrong while reading.
pub(crate) async fn alone(session: &Session, trace: TraceId, bounds: &Bounds, options: &Options) -> Result<Gathered> {
    let mut gatherer = Gatherer::new(session, bounds, options);
    gatherer.load(&[trace]).await?;
    Ok(gatherer.finish())
}

struct Gatherer<'a> {
    session: &'a Session,
    bounds: &'a Bounds,
    options: &'a Options,
    reader: plain::Reader,
    spans: Vec<Span>,
    /// Traces that were loaded whole, stored or not.
    whole: HashSet<TraceId>,
    /// Spans that were looked up one by one.
    single: HashSet<(TraceId, SpanId)>,
    left_out: BTreeMap<CutReason, usize>,
    reasons: Vec<String>,
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
            spans: Vec::new(),
            whole: HashSet::new(),
            single: HashSet::new(),
            left_out: BTreeMap::new(),
            reasons: Vec::new(),
        }
    }

    fn finish(self) -> Gathered {
        let cuts = self.left_out.into_iter().map(|(reason, left_out)| Cut { reason, left_out });
        Gathered { spans: self.spans, cuts: cuts.collect(), reasons: self.reasons }
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

    /// Loads whole traces, as many spans as there is room for, earliest first.
    async fn load(&mut self, traces: &[TraceId]) -> Result<()> {
        let traces: Vec<TraceId> = traces.iter().copied().filter(|trace| self.whole.insert(*trace)).collect();
        if traces.is_empty() {
            return Ok(());
        }
        // Spans that were looked up one by one come again with the rest of their trace.
        if !self.single.is_empty() {
            self.spans.retain(|span| !traces.contains(&span.trace_id));
        }
        let ids = traces.iter().map(|trace| literal(trace.as_bytes())).collect();
        let frame = self.session.table(&SPANS)?.filter(ident("trace_id").in_list(ids, false))?;
        let wanted = frame.clone().select(plain::columns())?;
        let room = (self.bounds.spans_max + 1).saturating_sub(self.spans.len()).max(1);
        let mut collected = self.session.collect_trace(wanted.clone(), room as u64).await?;
        if collected.cut.is_some() {
            // Larger than the bound: the earliest spans are the useful ones.
            let by_start = vec![ident("start_time").sort(true, false), ident("span_id").sort(true, false)];
            collected = self.session.collect_trace(wanted.sort(by_start)?.limit(0, Some(room))?, room as u64).await?;
            let n_loaded: usize = collected.batches.iter().map(arrow::array::RecordBatch::num_rows).sum();
            let n_stored = frame.count().await?;
            self.leave_out(CutReason::Spans, n_stored.saturating_sub(n_loaded));
        }
        for batch in &collected.batches {
            let spans = self.reader.read(batch);
            self.spans.extend(spans);
        }
        Ok(())
    }

    /// Loads single spans: enough to know that they exist.
    async fn load_single(&mut self, ids: &[(TraceId, SpanId)]) -> Result<()> {
        let wanted: Vec<_> = ids.iter().copied().filter(|id| self.single.insert(*id)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let traces: BTreeSet<TraceId> = wanted.iter().map(|(trace, _)| *trace).collect();
        let traces = traces.iter().map(|trace| literal(trace.as_bytes())).collect();
        let spans: BTreeSet<SpanId> = wanted.iter().map(|(_, span)| *span).collect();
        let spans = spans.iter().map(|span| literal(span.as_bytes())).collect();
        let filter = ident("trace_id").in_list(traces, false).and(ident("span_id").in_list(spans, false));
        let frame = self.session.table(&SPANS)?.filter(filter)?.select(plain::columns())?;
        let collected = self.session.collect_trace(frame, 4 * CAUSES_MAX as u64).await?;
        for batch in &collected.batches {
            let spans = self.reader.read(batch);
            self.spans.extend(spans.into_iter().filter(|span| !self.whole.contains(&span.trace_id)));
        }
        Ok(())
    }

    /// Up from the seed while there is exactly one stored cause; gives the origin, whole.
    async fn climb(&mut self, seed: TraceId, span: Option<SpanId>) -> Result<TraceId> {
        let mut looked_up: HashSet<TraceId> = HashSet::new();
        let mut top = seed;
        for _ in 0..CLIMB_MAX {
            let analysis = self.analyze(|_| true);
            top = origin(&analysis, seed, span).0;
            if !self.whole.contains(&top) {
                self.load(&[top]).await?;
                continue;
            }
            let causes: BTreeSet<(TraceId, SpanId)> = analysis
                .causes(top)
                .filter_map(|join| Some(analysis.messages.hops[join.hop?].context))
                .filter(|id| !self.whole.contains(&id.0) && !self.single.contains(id))
                .collect();
            let traces: BTreeSet<TraceId> = causes.iter().map(|(trace, _)| *trace).collect();
            if traces.len() == 1 {
                self.load(&traces.into_iter().collect::<Vec<_>>()).await?;
            } else if !traces.is_empty() {
                let causes: Vec<_> = causes.into_iter().collect();
                if causes.len() > CAUSES_MAX {
                    self.reason(format!("{} messages came from elsewhere; {CAUSES_MAX} were looked at", causes.len()));
                }
                self.single.extend(causes.iter().skip(CAUSES_MAX));
                self.load_single(&causes[..causes.len().min(CAUSES_MAX)]).await?;
            } else if looked_up.insert(top) {
                let more = self.causes_without_context(&analysis, top).await?;
                if more.is_empty() {
                    return Ok(top);
                }
                self.load(&more).await?;
            } else {
                return Ok(top);
            }
        }
        Ok(top)
    }

    /// Causes that no trace context tells: producers of the messages `trace` handled, calls whose status address
    /// it looked at.
    async fn causes_without_context(&mut self, analysis: &Analysis, trace: TraceId) -> Result<Vec<TraceId>> {
        let graph = &analysis.graph;
        let mut leads = Leads::default();
        for at in graph.trace(trace) {
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
        found.extend(self.accepted_before(analysis, trace).await?);
        found.extend(self.kafka_producers(analysis, trace).await?);
        found.retain(|trace| !self.whole.contains(trace));
        found.truncate(self.bounds.members_max);
        Ok(found)
    }

    /// Traces with a call answered 202 that gave one of the addresses `trace` begins by looking at.
    async fn accepted_before(&self, analysis: &Analysis, trace: TraceId) -> Result<Vec<TraceId>> {
        let graph = &analysis.graph;
        let mut paths: BTreeMap<&str, i64> = BTreeMap::new();
        let mut services: BTreeSet<&str> = BTreeSet::new();
        for at in graph.trace(trace).filter(|at| graph.parent[*at].is_none()) {
            let known = &graph.spans[at];
            let path = known.facts.path.as_deref().filter(|path| names_a_thing(path));
            if let (Some("GET"), Some(path)) = (known.facts.method.as_deref(), path) {
                paths.insert(path, known.start());
                services.insert(&known.service);
                services.extend(graph.children(at).iter().map(|child| &*graph.spans[*child].service));
            }
        }
        let Some(latest) = paths.values().max() else { return Ok(Vec::new()) };
        let services = services.into_iter().map(|name| Expr::Literal(ScalarValue::from(name), None)).collect();
        let filter = ident("start_time")
            .between(moment(latest.saturating_sub(self.bounds.before_nanos)), moment(*latest))
            .and(ident("service_name").in_list(services, false))
            .and(ident(column_of(key::HTTP_STATUS)).eq(Expr::Literal(ScalarValue::from(202_i64), None)));
        let columns: Vec<Expr> = ["trace_id", "attributes", "attribute_order"].into_iter().map(ident).collect();
        let frame = self.session.table(&SPANS)?.filter(filter)?.select(columns)?;
        let collected = self.session.collect(frame, FOUND_MAX).await?;
        let mut found = BTreeSet::new();
        for batch in &collected.batches {
            let (traces, attributes) = (Bytes::of(batch, "trace_id"), AttributeColumns::of(batch));
            for row in 0..batch.num_rows() {
                let location = attributes.get(row).into_iter().find(|entry| is_location(&entry.key));
                let location = location.map(|entry| entry.value.to_display());
                let is_wanted = location.is_some_and(|location| paths.keys().any(|path| location.contains(*path)));
                found.extend(traces.get(row).and_then(TraceId::from_bytes).filter(|_| is_wanted));
            }
        }
        Ok(found.into_iter().collect())
    }

    /// Producers of Kafka records that only their place in the log names.
    async fn kafka_producers(&self, analysis: &Analysis, trace: TraceId) -> Result<Vec<TraceId>> {
        let graph = &analysis.graph;
        let mut offsets: BTreeSet<i64> = BTreeSet::new();
        let (mut from, mut until) = (i64::MAX, i64::MIN);
        for at in graph.trace(trace) {
            let known = &graph.spans[at];
            let delivery = analysis.messages.delivery_of.get(&at).map(|at| &analysis.messages.deliveries[*at]);
            let message = known.facts.message.as_deref().filter(|message| message.partition.is_some());
            if delivery.is_some_and(|delivery| delivery.n_contexts == 0)
                && known.class.system == "kafka"
                && let Some(offset) = message.and_then(|message| message.offset)
            {
                offsets.insert(offset);
                (from, until) = (from.min(known.start()), until.max(known.start()));
            }
        }
        if offsets.is_empty() || offsets.len() > POLLS_MAX {
            return Ok(Vec::new());
        }
        let offsets = offsets.into_iter().map(|offset| Expr::Literal(ScalarValue::from(offset), None)).collect();
        let filter = ident("start_time")
            .between(moment(from.saturating_sub(self.bounds.before_nanos)), moment(until))
            .and(ident(column_of(key::MESSAGING_OFFSET)).in_list(offsets, false))
            .and(ident("kind").eq(Expr::Literal(ScalarValue::from(SpanKind::Producer.code()), None)));
        let frame = self.session.table(&SPANS)?.filter(filter)?.select(vec![ident("trace_id")])?;
        let collected = self.session.collect(frame, FOUND_MAX).await?;
        Ok(trace_ids(&collected.batches).into_iter().collect())
    }

    /// Down from the origin, level by level.
    async fn descend(&mut self, origin: TraceId) -> Result<()> {
        let start = self.spans.iter().filter(|span| span.trace_id == origin).map(|span| span.start.0).min();
        let start = start.unwrap_or_default();
        let window = start.saturating_sub(self.bounds.before_nanos)..=start.saturating_add(self.bounds.after_nanos);
        let mut members: HashSet<TraceId> = HashSet::from([origin]);
        let mut level = vec![origin];
        for depth in 1.. {
            let analysis = self.analyze(|span| level.contains(&span.trace_id));
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
            self.load(&level).await?;
            if level.is_empty() || self.spans.len() > self.bounds.spans_max {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Traces with a span that links to one of `targets` or carries one of the messages, with the start of the
    /// earliest such span.
    async fn find(&mut self, targets: &[TraceId], leads: &Leads) -> Result<BTreeMap<TraceId, i64>> {
        let messages: Vec<String> = leads.messages.iter().take(MESSAGES_MAX).cloned().collect();
        if leads.messages.len() > MESSAGES_MAX {
            self.reason(format!("{} message ids were not looked up", leads.messages.len() - MESSAGES_MAX));
        }
        let mut found = BTreeMap::new();
        let Some(located) = Located::find(self.session.snapshot.as_ref(), targets, &messages).await else {
            return Ok(found);
        };
        let message_column = column_of(key::MESSAGING_MESSAGE_ID);
        let columns: Vec<Expr> =
            ["trace_id", "start_time", "kind", "links", message_column].into_iter().map(ident).collect();
        let frame = self.session.located(located)?.select(columns)?;
        let collected = self.session.collect(frame, FOUND_MAX).await?;
        if collected.cut.is_some() {
            self.reason(format!("more than {FOUND_MAX} spans link to this journey; not all were looked at"));
        }
        let targets: HashSet<TraceId> = targets.iter().copied().collect();
        for batch in &collected.batches {
            let (traces, starts) = (Bytes::of(batch, "trace_id"), Ints::of(batch, "start_time"));
            let ids = Texts::of(batch, message_column);
            let links = linked_ids(batch);
            for row in 0..batch.num_rows() {
                let Some(trace) = traces.get(row).and_then(TraceId::from_bytes) else { continue };
                let is_linked = links(row).any(|(target, _)| target != trace && targets.contains(&target));
                let has_message = || ids.get(row).is_some_and(|id| leads.messages.contains(id));
                if is_linked || has_message() {
                    let start = starts.int(row);
                    found
                        .entry(trace)
                        .and_modify(|earliest: &mut i64| *earliest = start.min(*earliest))
                        .or_insert(start);
                }
            }
        }
        Ok(found)
    }

    /// Traces that look at one of the status addresses, with the start of the earliest look.
    async fn pollers(&mut self, leads: &Leads) -> Result<Vec<(TraceId, i64)>> {
        let Some(earliest) = leads.polls.values().min() else { return Ok(Vec::new()) };
        if leads.polls.len() > POLLS_MAX {
            self.reason(format!("{} status addresses were not looked up", leads.polls.len() - POLLS_MAX));
        }
        let text = |text: &str| Expr::Literal(ScalarValue::from(text), None);
        let (path, url) = (column_of(key::URL_PATH), column_of(key::URL_FULL));
        let paths: Vec<&str> = leads.polls.keys().take(POLLS_MAX).map(String::as_str).collect();
        let is_path = ident(path).in_list(paths.iter().map(|path| text(path)).collect(), false);
        let in_url = paths.iter().map(|path| ident(url).like(text(&format!("%{}%", escaped(path)))));
        let wanted = in_url.fold(is_path, Expr::or);
        let until = earliest.saturating_add(self.bounds.after_nanos);
        let filter = ident("start_time").between(moment(*earliest), moment(until)).and(wanted);
        let frame = self.session.table(&SPANS)?.filter(filter)?.select(vec![ident("trace_id"), ident("start_time")])?;
        let collected = self.session.collect(frame, FOUND_MAX).await?;
        let mut found: BTreeMap<TraceId, i64> = BTreeMap::new();
        for batch in &collected.batches {
            let (traces, starts) = (Bytes::of(batch, "trace_id"), Ints::of(batch, "start_time"));
            for row in 0..batch.num_rows() {
                let Some(trace) = traces.get(row).and_then(TraceId::from_bytes) else { continue };
                let start = starts.int(row);
                found.entry(trace).and_modify(|earliest| *earliest = start.min(*earliest)).or_insert(start);
            }
        }
        Ok(found.into_iter().collect())
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

/// A path that holds an id: addresses of results do, those of lists and forms do not.
fn names_a_thing(path: &str) -> bool {
    crate::analysis::systems::template(path) != path
}

/// A text that LIKE takes as it is.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

fn trace_ids(batches: &[arrow::array::RecordBatch]) -> BTreeSet<TraceId> {
    let mut found = BTreeSet::new();
    for batch in batches {
        let traces = Bytes::of(batch, "trace_id");
        found.extend((0..batch.num_rows()).filter_map(|row| TraceId::from_bytes(traces.get(row)?)));
    }
    found
}
