//! What is asked of storage while a journey is gathered: whole traces, single spans, and who may be joined to them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::ControlFlow;

use arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::prelude::ident;
use model::semconv::key;
use model::{SpanId, SpanKind, TraceId};
use storage::table::SPANS;

use super::{CAUSES_MAX, Gatherer, Leads, is_location};
use crate::analysis::Analysis;
use crate::analysis::journey::CutReason;
use crate::engine::session::sliced_bytes;
use crate::error::Result;
use crate::rows::{Bytes, Ints, Texts, column_of};
use crate::tables::Located;
use crate::tables::direct::Room;
use crate::trace::{AttributeColumns, linked_traces, literal, moment, plain};

/// Rows read when looking for those that link to a level or handled its messages.
const FOUND_MAX: usize = 20_000;
/// Of the links of a span only where they lead.
const LINKED_TRACES: &str = "links.trace_id";
/// Status addresses looked up.
const POLLS_MAX: usize = 16;
/// Places in a log looked up for one trace.
const OFFSETS_MAX: usize = 16;

impl Gatherer<'_> {
    /// Loads whole traces, as many spans as there is room for, earliest first.
    pub(super) async fn load(&mut self, traces: impl IntoIterator<Item = TraceId>) -> Result<()> {
        let traces: BTreeSet<TraceId> = traces.into_iter().filter(|trace| self.whole.insert(*trace)).collect();
        if traces.is_empty() {
            return Ok(());
        }
        // Spans that were looked up one by one come again with the rest of their trace.
        if !self.single.is_empty() {
            self.spans.retain(|span| !traces.contains(&span.trace_id));
        }
        let room = (self.bounds.spans_max + 1).saturating_sub(self.spans.len()).max(1);
        let batches = match self.rows_of(&traces, room).await? {
            Some(batches) => batches,
            None if self.is_lean => return self.load_some(&traces, room).await,
            None => self.load_by_statement(&traces, room).await?,
        };
        self.add(&batches);
        Ok(())
    }

    /// Spans of traces as they come, while they fit.
    async fn load_some(&mut self, traces: &BTreeSet<TraceId>, room: usize) -> Result<()> {
        let ids = traces.iter().map(|trace| literal(trace.as_bytes())).collect();
        let frame = self.session.table(&SPANS)?.filter(ident("trace_id").in_list(ids, false))?;
        let plan = self.session.plan(frame.select(plain::columns())?.logical_plan()).await?;
        let (mut n_bytes, mut is_cut) = (0, false);
        let (reader, spans, bytes_max) = (&mut self.reader, &mut self.spans, self.bytes_max);
        let spans_max = spans.len() + room;
        let each = |batch: RecordBatch| {
            n_bytes += sliced_bytes(&batch);
            is_cut = n_bytes > bytes_max || spans.len() + batch.num_rows() > spans_max;
            if is_cut {
                return Ok(ControlFlow::Break(()));
            }
            spans.extend(reader.read(&batch));
            Ok(ControlFlow::Continue(()))
        };
        self.session.fold(plan, each).await?;
        self.leave_out(CutReason::Spans, usize::from(is_cut));
        Ok(())
    }

    /// Loads traces that probably belong to one journey, if all fit.
    pub(super) async fn load_together(&mut self, traces: &BTreeSet<TraceId>) -> Result<()> {
        let room = self.bounds.spans_max.saturating_sub(self.spans.len());
        if let Some(batches) = self.rows_of(traces, room).await? {
            self.whole.extend(traces);
            self.add(&batches);
        }
        Ok(())
    }

    fn add(&mut self, batches: &[RecordBatch]) {
        for batch in batches {
            let spans = self.reader.read(batch);
            self.spans.extend(spans);
        }
    }

    async fn rows_of(&self, traces: &BTreeSet<TraceId>, rows: usize) -> Result<Option<Vec<RecordBatch>>> {
        let columns: Vec<&'static str> = plain::column_names().collect();
        self.session.derived.stored.rows_of(&SPANS, traces, &columns, Room { rows, bytes: self.bytes_max }).await
    }

    /// Whole traces, the earliest spans first when there are too many.
    async fn load_by_statement(&mut self, traces: &BTreeSet<TraceId>, room: usize) -> Result<Vec<RecordBatch>> {
        let ids = traces.iter().map(|trace| literal(trace.as_bytes())).collect();
        let frame = self.session.table(&SPANS)?.filter(ident("trace_id").in_list(ids, false))?;
        let wanted = frame.clone().select(plain::columns())?;
        let collected = self.session.collect_trace(wanted.clone(), room as u64).await?;
        if collected.cut.is_none() {
            return Ok(collected.batches);
        }
        // Larger than the bound: the earliest spans are the useful ones.
        let by_start = vec![ident("start_time").sort(true, false), ident("span_id").sort(true, false)];
        let collected = self.session.collect_trace(wanted.sort(by_start)?.limit(0, Some(room))?, room as u64).await?;
        let n_loaded: usize = collected.batches.iter().map(RecordBatch::num_rows).sum();
        let n_stored = frame.count().await?;
        self.leave_out(CutReason::Spans, n_stored.saturating_sub(n_loaded));
        Ok(collected.batches)
    }

    /// Loads single spans: enough to know that they exist.
    pub(super) async fn load_single(&mut self, ids: &BTreeSet<(TraceId, SpanId)>) -> Result<()> {
        let wanted: HashSet<_> = ids.iter().copied().filter(|id| self.single.insert(*id)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let traces: BTreeSet<TraceId> = wanted.iter().map(|(trace, _)| *trace).collect();
        let traces = traces.iter().map(|trace| literal(trace.as_bytes())).collect();
        let spans: BTreeSet<SpanId> = wanted.iter().map(|(_, span)| *span).collect();
        let spans = spans.iter().map(|span| literal(span.as_bytes())).collect();
        let filter = ident("trace_id").in_list(traces, false).and(ident("span_id").in_list(spans, false));
        let frame = self.session.table(&SPANS)?.filter(filter)?.select(plain::columns())?;
        let rows_max = wanted.len().max(CAUSES_MAX) * 4;
        let collected = self.session.collect_trace(frame, rows_max as u64).await?;
        for batch in &collected.batches {
            let spans = self.reader.read(batch);
            self.spans.extend(spans.into_iter().filter(|span| !self.whole.contains(&span.trace_id)));
        }
        Ok(())
    }

    /// Traces with a call answered 202 that gave one of the addresses that `tops` begin by looking at.
    pub(super) async fn accepted_before(
        &mut self,
        analysis: &Analysis,
        tops: &BTreeSet<TraceId>,
    ) -> Result<Vec<TraceId>> {
        let graph = &analysis.graph;
        let mut paths: BTreeMap<&str, i64> = BTreeMap::new();
        let mut services: BTreeSet<&str> = BTreeSet::new();
        let mut latest = i64::MIN;
        for at in tops.iter().flat_map(|top| graph.trace(*top)).filter(|at| graph.parent[*at].is_none()) {
            let known = &graph.spans[at];
            let path = known.facts.path.as_deref().filter(|path| names_a_thing(path));
            if let (Some("GET"), Some(path)) = (known.facts.method.as_deref(), path) {
                let start = known.start();
                paths.entry(path).and_modify(|earliest| *earliest = start.min(*earliest)).or_insert(start);
                latest = latest.max(start);
                services.insert(&known.service);
                services.extend(graph.children(at).iter().map(|child| &*graph.spans[*child].service));
            }
        }
        let Some(earliest) = paths.values().min() else { return Ok(Vec::new()) };
        let services = services.into_iter().map(|name| Expr::Literal(ScalarValue::from(name), None)).collect();
        let filter = ident("start_time")
            .between(moment(earliest.saturating_sub(self.bounds.before_nanos)), moment(latest))
            .and(ident("service_name").in_list(services, false))
            .and(ident(column_of(key::HTTP_STATUS)).eq(Expr::Literal(ScalarValue::from(202_i64), None)));
        let columns: Vec<Expr> = ["trace_id", "attributes", "attribute_order"].into_iter().map(ident).collect();
        let frame = self.session.table(&SPANS)?.filter(filter)?.select(columns)?;
        let collected = self.session.collect(frame, FOUND_MAX as u64).await?;
        if collected.cut.is_some() {
            self.reason(
                "the services gave more status addresses before than are looked at; the call that gave this one may be missing",
            );
        }
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
    pub(super) async fn kafka_producers(
        &mut self,
        analysis: &Analysis,
        tops: &BTreeSet<TraceId>,
    ) -> Result<Vec<TraceId>> {
        let graph = &analysis.graph;
        let (mut offsets, mut n_unasked) = (BTreeSet::new(), 0);
        let (mut from, mut until) = (i64::MAX, i64::MIN);
        for top in tops {
            let mut of_top: BTreeSet<(i64, i64)> = BTreeSet::new();
            for at in graph.trace(*top) {
                let known = &graph.spans[at];
                let delivery = analysis.messages.delivery_of.get(&at).map(|at| &analysis.messages.deliveries[*at]);
                let message = known.facts.message.as_deref().filter(|message| message.partition.is_some());
                if delivery.is_some_and(|delivery| delivery.n_contexts == 0)
                    && known.class.system == "kafka"
                    && let Some(offset) = message.and_then(|message| message.offset)
                {
                    of_top.insert((known.start(), offset));
                }
            }
            // The same for one trace as for many: fewer of them together would not be asked either.
            n_unasked += of_top.len().saturating_sub(OFFSETS_MAX);
            for (start, offset) in of_top.into_iter().take(OFFSETS_MAX) {
                offsets.insert(offset);
                (from, until) = (from.min(start), until.max(start));
            }
        }
        if n_unasked > 0 {
            self.unasked(format!("the producers of {n_unasked} Kafka records were not looked up"));
        }
        if offsets.is_empty() {
            return Ok(Vec::new());
        }
        let offsets = offsets.into_iter().map(|offset| Expr::Literal(ScalarValue::from(offset), None)).collect();
        let filter = ident("start_time")
            .between(moment(from.saturating_sub(self.bounds.before_nanos)), moment(until))
            .and(ident(column_of(key::MESSAGING_OFFSET)).in_list(offsets, false))
            .and(ident("kind").eq(Expr::Literal(ScalarValue::from(SpanKind::Producer.code()), None)));
        let frame = self.session.table(&SPANS)?.filter(filter)?.select(vec![ident("trace_id")])?;
        let collected = self.session.collect(frame, FOUND_MAX as u64).await?;
        if collected.cut.is_some() {
            self.reason("more Kafka records have this offset than are looked at; their producer may be missing");
        }
        Ok(trace_ids(&collected.batches).into_iter().collect())
    }

    /// Traces with a span that links to one of `targets` or carries one of the messages, with the start of the
    /// earliest such span.
    pub(super) async fn find(&mut self, targets: &[TraceId], leads: &Leads) -> Result<BTreeMap<TraceId, i64>> {
        let mut found = BTreeMap::new();
        self.ask_who_links_to(targets).await?;
        for (trace, start) in targets.iter().filter_map(|target| self.linked_by.get(target)).flatten() {
            earliest(&mut found, *trace, *start);
        }
        let messages: Vec<String> = leads.messages.iter().take(self.messages_max).cloned().collect();
        if leads.messages.len() > self.messages_max {
            self.reason(format!("{} message ids were not looked up", leads.messages.len() - self.messages_max));
        }
        if messages.is_empty() {
            return Ok(found);
        }
        let message_column = column_of(key::MESSAGING_MESSAGE_ID);
        for batch in &self.located(&[], &messages, &["trace_id", "start_time", message_column]).await? {
            let (traces, starts) = (Bytes::of(batch, "trace_id"), Ints::of(batch, "start_time"));
            let ids = Texts::of(batch, message_column);
            for row in 0..batch.num_rows() {
                let Some(trace) = traces.get(row).and_then(TraceId::from_bytes) else { continue };
                if ids.get(row).is_some_and(|id| leads.messages.contains(id)) {
                    earliest(&mut found, trace, starts.int(row));
                }
            }
        }
        Ok(found)
    }

    /// Remembers which traces link to these, each with the start of a span that does.
    pub(super) async fn ask_who_links_to(&mut self, targets: &[TraceId]) -> Result<()> {
        let is_new = |target: &TraceId| !self.linked_by.contains_key(target);
        let new: BTreeSet<TraceId> = targets.iter().copied().filter(is_new).collect();
        if new.is_empty() {
            return Ok(());
        }
        self.linked_by.extend(new.iter().map(|target| (*target, Vec::new())));
        let wanted: Vec<TraceId> = new.iter().copied().collect();
        for batch in &self.located(&wanted, &[], &["trace_id", "start_time", LINKED_TRACES]).await? {
            let (traces, starts) = (Bytes::of(batch, "trace_id"), Ints::of(batch, "start_time"));
            let links = linked_traces(batch);
            for row in 0..batch.num_rows() {
                let Some(trace) = traces.get(row).and_then(TraceId::from_bytes) else { continue };
                for target in links(row).filter(|target| *target != trace) {
                    if let Some(known) = self.linked_by.get_mut(&target).filter(|_| new.contains(&target)) {
                        known.push((trace, starts.int(row)));
                    }
                }
            }
        }
        Ok(())
    }

    /// Traces that spans of one link to, without itself; `None` when they are too many to be looked at.
    pub(super) async fn linked_from(&self, trace: TraceId) -> Result<Option<BTreeSet<TraceId>>> {
        let room = Room { rows: self.bounds.spans_max, bytes: self.bytes_max };
        let (seed, columns) = (BTreeSet::from([trace]), ["trace_id", LINKED_TRACES]);
        let batches = self.session.derived.stored.rows_of(&SPANS, &seed, &columns, room).await?;
        Ok(batches.map(|batches| {
            let links = |batch| {
                let links = linked_traces(batch);
                (0..batch.num_rows()).flat_map(links).collect::<Vec<_>>()
            };
            batches.iter().flat_map(links).filter(|target| *target != trace).collect()
        }))
    }

    /// Spans that link to one of the targets or carry one of the messages, up to a bound; others may be among them.
    async fn located(
        &mut self,
        targets: &[TraceId],
        messages: &[String],
        columns: &[&'static str],
    ) -> Result<Vec<RecordBatch>> {
        let Some(located) = Located::find(self.session.snapshot.as_ref(), targets, messages).await else {
            return Ok(Vec::new());
        };
        let stored = &self.session.derived.stored;
        let room = Room { rows: FOUND_MAX, bytes: self.session.config.result_bytes_max };
        if let Some(batches) = stored.located_rows(&located, columns, room).await? {
            return Ok(batches);
        }
        let columns: Vec<Expr> =
            columns.iter().map(|column| ident(column.split('.').next().unwrap_or(column))).collect();
        let collected = self.session.collect(stored.located(located)?.select(columns)?, FOUND_MAX as u64).await?;
        if collected.cut.is_some() {
            self.reason(format!("more than {FOUND_MAX} spans link to this journey; not all were looked at"));
        }
        Ok(collected.batches)
    }

    /// Traces that look at one of the status addresses, with the start of the earliest look.
    pub(super) async fn pollers(&mut self, leads: &Leads) -> Result<Vec<(TraceId, i64)>> {
        let moments = || leads.polls.values().copied();
        let (Some(earliest), Some(latest)) = (moments().min(), moments().max()) else { return Ok(Vec::new()) };
        if leads.polls.len() > POLLS_MAX {
            self.reason(format!("{} status addresses were not looked up", leads.polls.len() - POLLS_MAX));
        }
        let text = |text: &str| Expr::Literal(ScalarValue::from(text), None);
        let (path, url) = (column_of(key::URL_PATH), column_of(key::URL_FULL));
        let paths: Vec<&str> = leads.polls.keys().take(POLLS_MAX).map(String::as_str).collect();
        let is_path = ident(path).in_list(paths.iter().map(|path| text(path)).collect(), false);
        let in_url = paths.iter().map(|path| ident(url).like(text(&format!("%{}%", escaped(path)))));
        let wanted = in_url.fold(is_path, Expr::or);
        let until = latest.saturating_add(self.bounds.after_nanos);
        let filter = ident("start_time").between(moment(earliest), moment(until)).and(wanted);
        let frame = self.session.table(&SPANS)?.filter(filter)?.select(vec![ident("trace_id"), ident("start_time")])?;
        let collected = self.session.collect(frame, FOUND_MAX as u64).await?;
        if collected.cut.is_some() {
            self.reason("more calls look at these status addresses than are looked at; not all of them are here");
        }
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
}

fn earliest(found: &mut BTreeMap<TraceId, i64>, trace: TraceId, start: i64) {
    found.entry(trace).and_modify(|earliest| *earliest = start.min(*earliest)).or_insert(start);
}

/// A path that holds an id: addresses of results do, those of lists and forms do not.
fn names_a_thing(path: &str) -> bool {
    crate::analysis::systems::template(path) != path
}

/// A text that LIKE takes as it is.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

fn trace_ids(batches: &[RecordBatch]) -> BTreeSet<TraceId> {
    let mut found = BTreeSet::new();
    for batch in batches {
        let traces = Bytes::of(batch, "trace_id");
        found.extend((0..batch.num_rows()).filter_map(|row| TraceId::from_bytes(traces.get(row)?)));
    }
    found
}
