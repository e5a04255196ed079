//! What is asked of storage while a journey is gathered: whole traces, single spans, and who may be joined to them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::prelude::ident;
use model::semconv::key;
use model::{SpanId, SpanKind, TraceId};
use storage::table::SPANS;

use super::{CAUSES_MAX, Gatherer, Leads, is_location};
use crate::analysis::Analysis;
use crate::analysis::journey::CutReason;
use crate::error::Result;
use crate::rows::{Bytes, Ints, Texts, column_of};
use crate::tables::Located;
use crate::trace::{AttributeColumns, linked_ids, literal, moment, plain};

/// Rows read when looking for those that link to a level or handled its messages.
const FOUND_MAX: u64 = 20_000;
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
        let columns: Vec<&str> = plain::column_names().collect();
        let room = (self.bounds.spans_max + 1).saturating_sub(self.spans.len()).max(1);
        let wanted = self.session.derived.stored.of_traces(&SPANS, &traces, &columns).await?;
        let mut collected = self.session.collect_trace_plan(wanted, room as u64).await?;
        if collected.cut.is_some() {
            // Larger than the bound: the earliest spans are the useful ones.
            let ids = traces.iter().map(|trace| literal(trace.as_bytes())).collect();
            let frame = self.session.table(&SPANS)?.filter(ident("trace_id").in_list(ids, false))?;
            let by_start = vec![ident("start_time").sort(true, false), ident("span_id").sort(true, false)];
            let wanted = frame.clone().select(plain::columns())?.sort(by_start)?.limit(0, Some(room))?;
            collected = self.session.collect_trace(wanted, room as u64).await?;
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
    pub(super) async fn accepted_before(&self, analysis: &Analysis, tops: &BTreeSet<TraceId>) -> Result<Vec<TraceId>> {
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
    pub(super) async fn kafka_producers(&self, analysis: &Analysis, tops: &BTreeSet<TraceId>) -> Result<Vec<TraceId>> {
        let graph = &analysis.graph;
        let mut offsets: BTreeSet<i64> = BTreeSet::new();
        let (mut from, mut until) = (i64::MAX, i64::MIN);
        for at in tops.iter().flat_map(|top| graph.trace(*top)) {
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
        if offsets.is_empty() || offsets.len() > OFFSETS_MAX * tops.len() {
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

    /// Traces with a span that links to one of `targets` or carries one of the messages, with the start of the
    /// earliest such span.
    pub(super) async fn find(&mut self, targets: &[TraceId], leads: &Leads) -> Result<BTreeMap<TraceId, i64>> {
        let messages: Vec<String> = leads.messages.iter().take(self.messages_max).cloned().collect();
        if leads.messages.len() > self.messages_max {
            self.reason(format!("{} message ids were not looked up", leads.messages.len() - self.messages_max));
        }
        let mut found = BTreeMap::new();
        let Some(located) = Located::find(self.session.snapshot.as_ref(), targets, &messages).await else {
            return Ok(found);
        };
        let message_column = column_of(key::MESSAGING_MESSAGE_ID);
        let columns = ["trace_id", "start_time", "links", message_column];
        let plan = self.session.derived.stored.located(located, &columns).await?;
        let collected = self.session.collect_plan(plan, FOUND_MAX).await?;
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
    pub(super) async fn pollers(&mut self, leads: &Leads) -> Result<Vec<(TraceId, i64)>> {
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
