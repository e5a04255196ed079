//! A small reader of OTLP/JSON for fixtures: just enough, and it panics on anything else.

use std::sync::Arc;

use model::{Attribute, SpanId, SpanKind, StatusCode, TraceId, UnixNanos, attributes_from_json};
use serde_json::Value as Json;

use crate::analysis::span::{Event, Link, Resource, Span};

/// Every span of an export request.
pub(crate) fn read(text: &str) -> Vec<Span> {
    let json: Json = serde_json::from_str(text).expect("fixture is JSON");
    let mut spans = Vec::new();
    for resource_spans in list(&json, "resourceSpans") {
        let resource = Arc::new(Resource { attributes: attributes(&resource_spans["resource"]) });
        for scope_spans in list(resource_spans, "scopeSpans") {
            for span in list(scope_spans, "spans") {
                spans.push(span_of(span, &resource, &scope_spans["scope"]["name"]));
            }
        }
    }
    spans
}

fn span_of(json: &Json, resource: &Arc<Resource>, scope: &Json) -> Span {
    let code = |json: &Json| json.as_i64().unwrap_or(0) as i32;
    Span {
        trace_id: TraceId::from_hex(text(&json["traceId"])).expect("trace id"),
        span_id: SpanId::from_hex(text(&json["spanId"])).expect("span id"),
        parent_span_id: SpanId::from_hex(text(&json["parentSpanId"])),
        name: text(&json["name"]).to_owned(),
        kind: SpanKind::from_code(code(&json["kind"])).expect("kind"),
        start: time(&json["startTimeUnixNano"]),
        end: time(&json["endTimeUnixNano"]),
        status: StatusCode::from_code(code(&json["status"]["code"])).expect("status"),
        flags: code(&json["flags"]) as u32,
        trace_state: text(&json["traceState"]).to_owned(),
        attributes: attributes(json),
        events: list(json, "events")
            .map(|event| Event {
                time: time(&event["timeUnixNano"]),
                name: text(&event["name"]).to_owned(),
                attributes: attributes(event),
            })
            .collect(),
        links: list(json, "links")
            .map(|link| Link {
                trace_id: TraceId::from_hex(text(&link["traceId"])).expect("trace id of a link"),
                span_id: SpanId::from_hex(text(&link["spanId"])).expect("span id of a link"),
                attributes: attributes(link),
            })
            .collect(),
        resource: Arc::clone(resource),
        scope: text(scope).to_owned(),
        schema_url: String::new(),
    }
}

fn list<'a>(json: &'a Json, member: &str) -> impl Iterator<Item = &'a Json> {
    json[member].as_array().into_iter().flatten()
}

fn attributes(json: &Json) -> Vec<Attribute> {
    attributes_from_json(&json["attributes"].to_string())
}

fn text(json: &Json) -> &str {
    json.as_str().unwrap_or_default()
}

fn time(json: &Json) -> UnixNanos {
    UnixNanos(text(json).parse().unwrap_or(0))
}
