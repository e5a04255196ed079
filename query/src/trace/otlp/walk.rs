//! Which field of which message holds what: `TracesData` of OTLP 1.x.
//!
//! Source: opentelemetry-proto, `trace/v1/trace.proto`, `common/v1/common.proto`, `resource/v1/resource.proto`.

use std::collections::HashMap;

use model::{Attribute, AttributeValue, attributes_from_json};
use serde_json::Value as Json;

use super::super::span::{Event, Link, Span};
use super::{Field, Writer, field};

/// `TracesData`: spans grouped by resource and scope, groups by first appearance.
pub(super) fn traces_data<W: Writer>(writer: &mut W, spans: &[Span]) {
    let resources =
        groups(spans.iter().enumerate().map(|(row, span)| (row, (&span.resource, &span.resource_schema_url))));
    writer.messages(field(1, "resourceSpans"), resources.len(), &mut |writer, index| {
        let rows = &resources[index];
        let first = &spans[rows[0]];
        resource(writer, &first.resource);
        let scopes = groups(rows.iter().map(|row| (*row, (&spans[*row].scope, &spans[*row].scope_schema_url))));
        writer.messages(field(2, "scopeSpans"), scopes.len(), &mut |writer, index| {
            let rows = &scopes[index];
            let first = &spans[rows[0]];
            scope(writer, &first.scope);
            writer.messages(field(2, "spans"), rows.len(), &mut |writer, index| span(writer, &spans[rows[index]]));
            text(writer, field(3, "schemaUrl"), &first.scope_schema_url);
        });
        text(writer, field(3, "schemaUrl"), &first.resource_schema_url);
    });
}

/// Rows of equal keys together, by first appearance; no group is empty.
fn groups<K: std::hash::Hash + Eq>(rows: impl Iterator<Item = (usize, K)>) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut group_of: HashMap<K, usize> = HashMap::new();
    for (row, key) in rows {
        let group = *group_of.entry(key).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(row);
    }
    groups
}

/// `Resource`, from its OTLP/JSON; left out when it was not sent.
fn resource<W: Writer>(writer: &mut W, json: &str) {
    let Some(resource) = serde_json::from_str::<Json>(json).ok().filter(Json::is_object) else { return };
    writer.message(field(1, "resource"), &mut |writer| {
        attributes(writer, field(1, "attributes"), &members(&resource));
        count(writer, field(2, "droppedAttributesCount"), json_count(&resource));
        let entities = resource.get("entityRefs").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        writer.messages(field(3, "entityRefs"), entities.len(), &mut |writer, index| {
            let entity = &entities[index];
            let texts = |name: &str| -> Vec<&str> {
                entity.get(name).and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect()
            };
            text(writer, field(1, "schemaUrl"), json_text(entity, "schemaUrl"));
            text(writer, field(2, "type"), json_text(entity, "type"));
            writer.texts(field(3, "idKeys"), &texts("idKeys"));
            writer.texts(field(4, "descriptionKeys"), &texts("descriptionKeys"));
        });
    });
}

/// `InstrumentationScope`, from its OTLP/JSON; left out when it was not sent.
fn scope<W: Writer>(writer: &mut W, json: &str) {
    let Some(scope) = serde_json::from_str::<Json>(json).ok().filter(Json::is_object) else { return };
    writer.message(field(1, "scope"), &mut |writer| {
        text(writer, field(1, "name"), json_text(&scope, "name"));
        text(writer, field(2, "version"), json_text(&scope, "version"));
        attributes(writer, field(3, "attributes"), &members(&scope));
        count(writer, field(4, "droppedAttributesCount"), json_count(&scope));
    });
}

fn members(object: &Json) -> Vec<Attribute> {
    object.get("attributes").map(|list| attributes_from_json(&list.to_string())).unwrap_or_default()
}

fn json_text<'a>(object: &'a Json, name: &str) -> &'a str {
    object.get(name).and_then(Json::as_str).unwrap_or_default()
}

fn json_count(object: &Json) -> i64 {
    let count = object.get("droppedAttributesCount");
    count.and_then(|n| n.as_i64().or_else(|| n.as_str()?.parse().ok())).unwrap_or_default()
}

fn span<W: Writer>(writer: &mut W, span: &Span) {
    writer.id(field(1, "traceId"), span.trace_id.as_bytes());
    writer.id(field(2, "spanId"), span.span_id.as_bytes());
    text(writer, field(3, "traceState"), &span.trace_state);
    if let Some(parent) = &span.parent {
        writer.id(field(4, "parentSpanId"), parent.as_bytes());
    }
    if span.flags != 0 {
        writer.fixed32(field(16, "flags"), span.flags);
    }
    writer.text(field(5, "name"), &span.name);
    writer.number(field(6, "kind"), span.kind);
    writer.fixed64(field(7, "startTimeUnixNano"), span.sent_start as u64);
    writer.fixed64(field(8, "endTimeUnixNano"), span.sent_end as u64);
    attributes(writer, field(9, "attributes"), &span.attributes);
    count(writer, field(10, "droppedAttributesCount"), span.dropped_attributes);
    writer.messages(field(11, "events"), span.events.len(), &mut |writer, index| event(writer, &span.events[index]));
    count(writer, field(12, "droppedEventsCount"), span.dropped_events);
    writer.messages(field(13, "links"), span.links.len(), &mut |writer, index| link(writer, &span.links[index]));
    count(writer, field(14, "droppedLinksCount"), span.dropped_links);
    if span.status_code != 0 || !span.status_message.is_empty() {
        writer.message(field(15, "status"), &mut |writer| {
            text(writer, field(2, "message"), &span.status_message);
            if span.status_code != 0 {
                writer.number(field(3, "code"), span.status_code);
            }
        });
    }
}

fn event<W: Writer>(writer: &mut W, event: &Event) {
    writer.fixed64(field(1, "timeUnixNano"), event.time as u64);
    text(writer, field(2, "name"), &event.name);
    attributes(writer, field(3, "attributes"), &event.attributes);
    count(writer, field(4, "droppedAttributesCount"), event.dropped_attributes);
}

fn link<W: Writer>(writer: &mut W, link: &Link) {
    writer.id(field(1, "traceId"), &link.trace_id);
    writer.id(field(2, "spanId"), &link.span_id);
    text(writer, field(3, "traceState"), &link.trace_state);
    attributes(writer, field(4, "attributes"), &link.attributes);
    count(writer, field(5, "droppedAttributesCount"), link.dropped_attributes);
    if link.flags != 0 {
        writer.fixed32(field(6, "flags"), link.flags);
    }
}

fn text<W: Writer>(writer: &mut W, field: Field, value: &str) {
    if !value.is_empty() {
        writer.text(field, value);
    }
}

fn count<W: Writer>(writer: &mut W, field: Field, value: i64) {
    if value != 0 {
        writer.uint32(field, u32::try_from(value).unwrap_or(u32::MAX));
    }
}

/// A list of `KeyValue`.
fn attributes<W: Writer>(writer: &mut W, list: Field, attributes: &[Attribute]) {
    writer.messages(list, attributes.len(), &mut |writer, index| {
        let Attribute { key, value: sent } = &attributes[index];
        writer.text(field(1, "key"), key);
        writer.message(field(2, "value"), &mut |writer| value(writer, sent));
    });
}

/// `AnyValue`. Recursion ends: values nest at most 32 levels (J12).
fn value<W: Writer>(writer: &mut W, sent: &AttributeValue) {
    match sent {
        AttributeValue::Empty => {}
        AttributeValue::String(text) => writer.text(field(1, "stringValue"), text),
        AttributeValue::Bool(value) => writer.boolean(field(2, "boolValue"), *value),
        AttributeValue::Int(value) => writer.int64(field(3, "intValue"), *value),
        AttributeValue::Double(value) => writer.double(field(4, "doubleValue"), *value),
        AttributeValue::Array(values) => writer.message(field(5, "arrayValue"), &mut |writer| {
            writer.messages(field(1, "values"), values.len(), &mut |writer, index| value(writer, &values[index]));
        }),
        AttributeValue::Map(entries) => writer.message(field(6, "kvlistValue"), &mut |writer| {
            attributes(writer, field(1, "values"), entries);
        }),
        AttributeValue::Bytes(bytes) => writer.bytes(field(7, "bytesValue"), bytes),
    }
}
