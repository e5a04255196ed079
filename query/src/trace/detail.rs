//! `GET /api/traces/{id}/spans/{span}`: everything about one span.
//!
//! Links are followed both ways. Forward, the linked spans are read by id. Backward, the spans that carry a
//! link are searched in a window around the trace, because nothing at rest leads from a span to those that
//! point to it.

use std::collections::HashMap;

use api::{AttributeText, EventText, LinkText, LogText, SpanDetail};
use datafusion::logical_expr::Expr;
use datafusion::prelude::ident;
use model::{Attribute, AttributeValue, SpanId, SpanKind, StatusCode, TraceId, UnixNanos, attributes_from_json};
use storage::table::{LOGS, SPANS};

use super::assemble::{self, assemble};
use super::load::{self, literal, moment};
use super::row::{self, SpanRow};
use super::span::{self, AttributeColumns, Span};
use crate::engine::session::Session;
use crate::error::{Error, Result};
use crate::functions::json_attributes;
use crate::rows::{Bytes, Ints, Texts};

/// Log records in an answer.
const LOGS_MAX: usize = 200;
/// Links followed in each direction.
const LINKS_MAX: usize = 100;
/// How long before and after the trace spans that point to it are searched.
const LINKED_BEFORE_NANOS: i64 = 3_600 * UnixNanos::SECOND;
const LINKED_AFTER_NANOS: i64 = UnixNanos::DAY;
/// How long before and after the span its log records are searched.
const LOGS_AROUND_NANOS: i64 = 3_600 * UnixNanos::SECOND;

/// # Errors
/// Not found when the span is not stored.
pub(super) async fn detail(session: &Session, trace_id: TraceId, span_id: SpanId) -> Result<SpanDetail> {
    let loaded = load::light(session, trace_id).await?;
    let Some(row) = loaded.rows.iter().find(|row| row.span_id == span_id) else {
        return Err(Error::NotFound(format!("trace {trace_id} is stored, span {span_id} is not part of it")));
    };
    let spans = span::distinct(whole_span(session, trace_id, span_id).await?);
    let Some(span) = spans.first() else { return Err(super::not_stored(trace_id)) };

    let links = forward(session, span).await?;
    let linked_from = backward(session, span).await?;
    let logs = logs(session, span).await?;
    let dropped = span.dropped_attributes + span.dropped_events + span.dropped_links;
    let mut events: Vec<EventText> = span.events.iter().map(event_text).collect();
    events.sort_by_key(|event| event.time_unix_nano.parse::<i64>().unwrap_or_default());
    Ok(SpanDetail {
        trace_id,
        span_id,
        parent_span_id: span.parent,
        service: span.service.clone(),
        name: span.name.clone(),
        badge: row.badge.clone(),
        kind: SpanKind::word(span.kind).to_owned(),
        status: StatusCode::word(span.status_code).to_owned(),
        status_message: span.status_message.clone(),
        start_unix_nano: span.start.to_string(),
        duration_nanos: span.duration.unsigned_abs(),
        self_nanos: self_nanos(&loaded.rows, row),
        scope: scope_text(&span.scope),
        trace_state: span.trace_state.clone(),
        flags: span.flags,
        attributes: texts(&span.attributes),
        resource: texts(&json_attributes(&span.resource)),
        events,
        links,
        linked_from,
        logs,
        dropped: u64::try_from(dropped).unwrap_or_default(),
        repairs: span.repairs.names().map(str::to_owned).collect(),
        same_id: span.same_id,
    })
}

async fn whole_span(session: &Session, trace_id: TraceId, span_id: SpanId) -> Result<Vec<Span>> {
    let wanted =
        ident("trace_id").eq(literal(trace_id.as_bytes())).and(ident("span_id").eq(literal(span_id.as_bytes())));
    let frame = session.table(&SPANS)?.filter(wanted)?.select(span::columns())?;
    let collected = session.collect_trace(frame, 100).await?;
    Ok(collected.batches.iter().flat_map(span::read).collect())
}

/// Time of a span in which none of its children ran.
fn self_nanos(rows: &[SpanRow], own: &SpanRow) -> u64 {
    let links: Vec<_> =
        rows.iter().map(|row| assemble::Link { id: row.span_id, parent: row.parent, start: row.start }).collect();
    let nodes = assemble(&links);
    let is_own = |index: usize| std::ptr::eq(&raw const rows[nodes[index].row], own);
    let children = nodes.iter().filter(|node| node.parent.is_some_and(is_own)).map(|node| &rows[node.row]);
    // Rows stand by start in the tree among siblings, so one pass merges what overlaps.
    let (mut covered, mut until) = (0u64, own.start);
    for child in children {
        let (start, end) = (child.start.max(until), child.end().min(own.end()));
        if end > start {
            covered += end.abs_diff(start);
            until = end;
        }
    }
    own.duration.unsigned_abs().saturating_sub(covered)
}

/// Spans this one points to.
async fn forward(session: &Session, span: &Span) -> Result<Vec<LinkText>> {
    let ids: Vec<(TraceId, SpanId)> = span
        .links
        .iter()
        .take(LINKS_MAX)
        .filter_map(|link| Some((TraceId::from_bytes(&link.trace_id)?, SpanId::from_bytes(&link.span_id)?)))
        .collect();
    let found = by_ids(session, &ids).await?;
    let links = span.links.iter().take(LINKS_MAX).filter_map(|link| {
        let (trace_id, span_id) = (TraceId::from_bytes(&link.trace_id)?, SpanId::from_bytes(&link.span_id)?);
        let other = found.get(&(trace_id, span_id));
        Some(link_text(trace_id, span_id, other, span, texts(&link.attributes)))
    });
    Ok(links.collect())
}

/// Spans that point to this one.
async fn backward(session: &Session, span: &Span) -> Result<Vec<LinkText>> {
    let from = span.start.saturating_sub(LINKED_BEFORE_NANOS);
    let to = span.start.saturating_add(span.duration).saturating_add(LINKED_AFTER_NANOS);
    let wanted = ident("span_start_time")
        .between(moment(from), moment(to))
        .and(ident("linked_span_id").eq(literal(span.span_id.as_bytes())))
        .and(ident("linked_trace_id").eq(literal(span.trace_id.as_bytes())));
    let by_start = vec![ident("span_start_time").sort(true, false), ident("span_id").sort(true, false)];
    let frame = session
        .context
        .table("links")
        .await?
        .filter(wanted)?
        .select(["trace_id", "span_id", "attributes", "span_start_time"].map(ident).to_vec())?
        .sort(by_start)?
        .limit(0, Some(LINKS_MAX))?;
    let collected = session.collect(frame, LINKS_MAX as u64).await?;
    let mut pointing: Vec<(TraceId, SpanId, Vec<AttributeText>)> = Vec::new();
    for batch in &collected.batches {
        let (trace_ids, span_ids) = (Bytes::of(batch, "trace_id"), Bytes::of(batch, "span_id"));
        let attributes = Texts::of(batch, "attributes");
        pointing.extend((0..batch.num_rows()).filter_map(|row| {
            let trace_id = TraceId::from_bytes(trace_ids.get(row)?)?;
            let span_id = SpanId::from_bytes(span_ids.get(row)?)?;
            Some((trace_id, span_id, texts(&attributes_from_json(attributes.text(row)))))
        }));
    }
    let ids: Vec<_> = pointing.iter().map(|(trace_id, span_id, _)| (*trace_id, *span_id)).collect();
    let found = by_ids(session, &ids).await?;
    let link = |(trace_id, span_id, attributes)| {
        link_text(trace_id, span_id, found.get(&(trace_id, span_id)), span, attributes)
    };
    Ok(pointing.into_iter().map(link).collect())
}

/// Stored spans with these ids.
async fn by_ids(session: &Session, ids: &[(TraceId, SpanId)]) -> Result<HashMap<(TraceId, SpanId), SpanRow>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let mut traces: Vec<Expr> = ids.iter().map(|(trace_id, _)| literal(trace_id.as_bytes())).collect();
    traces.dedup();
    let spans = ids.iter().map(|(_, span_id)| literal(span_id.as_bytes())).collect();
    let wanted = ident("trace_id").in_list(traces, false).and(ident("span_id").in_list(spans, false));
    let frame = session.table(&SPANS)?.filter(wanted)?.select(row::columns())?;
    let collected = session.collect(frame, 10_000).await?;
    let rows = collected.batches.iter().flat_map(row::read);
    Ok(rows.map(|row| ((row.trace_id, row.span_id), row)).collect())
}

fn link_text(
    trace_id: TraceId,
    span_id: SpanId,
    other: Option<&SpanRow>,
    own: &Span,
    attributes: Vec<AttributeText>,
) -> LinkText {
    // The wait lies between the end of the earlier span and the start of the later one.
    let own_end = own.start.saturating_add(own.duration);
    let wait = |other: &SpanRow| {
        if other.start <= own.start {
            own.start.saturating_sub(other.end())
        } else {
            other.start.saturating_sub(own_end)
        }
    };
    LinkText {
        trace_id,
        span_id,
        is_stored: other.is_some(),
        service: other.map(|row| row.service.clone()).unwrap_or_default(),
        name: other.map(|row| row.name.clone()).unwrap_or_default(),
        start_unix_nano: other.map(|row| row.start.to_string()).unwrap_or_default(),
        wait_nanos: other.map(wait),
        attributes,
    }
}

/// Log records of the span by time.
async fn logs(session: &Session, span: &Span) -> Result<Vec<LogText>> {
    let from = span.start.saturating_sub(LOGS_AROUND_NANOS);
    let to = span.start.saturating_add(span.duration).saturating_add(LOGS_AROUND_NANOS);
    let wanted = ident("time")
        .between(moment(from), moment(to))
        .and(ident("trace_id").eq(literal(span.trace_id.as_bytes())))
        .and(ident("span_id").eq(literal(span.span_id.as_bytes())));
    let frame =
        session.table(&LOGS)?.filter(wanted)?.sort(vec![ident("time").sort(true, false)])?.limit(0, Some(LOGS_MAX))?;
    let collected = session.collect(frame, LOGS_MAX as u64).await?;
    let mut logs = Vec::new();
    for batch in &collected.batches {
        let (times, severities) = (Ints::of(batch, "time"), Ints::of(batch, "severity_number"));
        let (bodies, body_values) = (Texts::of(batch, "body"), Texts::of(batch, "body_json"));
        let attributes = AttributeColumns::of(batch);
        logs.extend((0..batch.num_rows()).map(|row| LogText {
            time_unix_nano: times.int(row).to_string(),
            level: level(severities.int32(row)).to_owned(),
            body: bodies.get(row).map_or_else(|| plain(body_values.text(row)), str::to_owned),
            attributes: texts(&attributes.get(row)),
        }));
    }
    Ok(logs)
}

/// An OTLP/JSON value as people read it.
fn plain(json: &str) -> String {
    let value = serde_json::from_str(json).map(|json| model::value_from_json(&json)).unwrap_or_default();
    value.to_display()
}

/// A severity number as a word; empty when not said.
fn level(severity: i32) -> &'static str {
    match severity {
        1..=4 => "trace",
        5..=8 => "debug",
        9..=12 => "info",
        13..=16 => "warn",
        17..=20 => "error",
        21..=24 => "fatal",
        _ => "",
    }
}

fn event_text(event: &span::Event) -> EventText {
    EventText { time_unix_nano: event.time.to_string(), name: event.name.clone(), attributes: texts(&event.attributes) }
}

/// Name and version of a scope in OTLP/JSON.
fn scope_text(json: &str) -> String {
    let scope: serde_json::Value = serde_json::from_str(json).unwrap_or_default();
    let member = |name: &str| scope.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
    format!("{} {}", member("name"), member("version")).trim().to_owned()
}

/// Attributes to be read by people.
fn texts(attributes: &[Attribute]) -> Vec<AttributeText> {
    let text = |entry: &Attribute| AttributeText {
        key: entry.key.clone(),
        value_type: type_word(&entry.value).to_owned(),
        value: entry.value.to_display(),
    };
    attributes.iter().map(text).collect()
}

const fn type_word(value: &AttributeValue) -> &'static str {
    match value {
        AttributeValue::Empty => "empty",
        AttributeValue::String(_) => "string",
        AttributeValue::Bool(_) => "bool",
        AttributeValue::Int(_) => "int",
        AttributeValue::Double(_) => "double",
        AttributeValue::Bytes(_) => "bytes",
        AttributeValue::Array(_) => "array",
        AttributeValue::Map(_) => "map",
    }
}
