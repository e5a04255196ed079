//! Spans drawn as text. One character is one millisecond, indentation is parenthood.
//!
//! ```text
//! order.srv @order server GET:/orders 200 |====================
//!   charge  client http.request.method=POST |  ========!
//! ```
//!
//! Before the bar: a label (also the span's name), then words in any order:
//!
//! | word                             | means                                                           |
//! |----------------------------------|-----------------------------------------------------------------|
//! | `@order`                         | service; inherited from the parent                              |
//! | `@order/2`                       | and its instance                                                |
//! | `server` `client` `internal` `producer` `consumer` `receive` | kind; `receive` is a consumer that polls |
//! | `GET:/path`, `200`               | HTTP method and path, status                                    |
//! | `grpc:shop.Pay/Charge`, `OK`     | RPC method, status (any word of capitals)                       |
//! | `sql:orders`, `redis`            | database, cache                                                 |
//! | `kafka:orders`, `rabbitmq:jobs`  | messaging system and destination                                |
//! | `host:api.example`               | server address                                                  |
//! | `v:1.2`                          | service version                                                 |
//! | `<-label`                        | a link to another span                                          |
//! | `trace:two`                      | trace; a root without it is in trace `one`                      |
//! | `lost`, `lost:local`             | its (remote or local) parent was never received                 |
//! | `throws:Type`                    | an exception event                                              |
//! | `key=value`                      | any attribute; whole numbers become integers                    |
//!
//! After the bar `=` is time, `|` alone a moment; a `!` at its end makes the status an error.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Attribute, AttributeValue, SpanId, SpanKind, StatusCode, TraceId, UnixNanos};

use crate::analysis::span::{Event, Link, Resource, Span};

pub(super) const MS: i64 = 1_000_000;
/// When drawings begin.
pub(super) const BASE: i64 = 1_768_471_200_000 * MS;

/// The spans of a drawing at one millisecond a character.
pub(crate) fn draw(drawing: &str) -> Vec<Span> {
    draw_at(1, drawing)
}

/// The spans of a drawing at `scale` milliseconds a character.
pub(crate) fn draw_at(scale: i64, drawing: &str) -> Vec<Span> {
    let mut open: Vec<(usize, Span)> = Vec::new();
    let mut drawn: Vec<(Span, Vec<String>)> = Vec::new();
    for line in drawing.lines().filter(|line| !line.trim().is_empty()) {
        let indent = line.len() - line.trim_start().len();
        while open.last().is_some_and(|(outer, _)| *outer >= indent) {
            open.pop();
        }
        let (span, links) = read_line(line, scale, drawn.len(), open.last().map(|(_, parent)| parent));
        open.push((indent, span.clone()));
        drawn.push((span, links));
    }
    let ids: HashMap<String, (TraceId, SpanId)> =
        drawn.iter().map(|(span, _)| (span.name.clone(), (span.trace_id, span.span_id))).collect();
    let link = |label: &String| {
        // A label nobody drew is a span nobody received.
        let (trace_id, span_id) = ids.get(label).copied().unwrap_or((trace_id(label), span_id(9_999)));
        Link { trace_id, span_id, attributes: Vec::new() }
    };
    drawn.into_iter().map(|(span, links)| Span { links: links.iter().map(link).collect(), ..span }).collect()
}

fn read_line(line: &str, scale: i64, number: usize, parent: Option<&Span>) -> (Span, Vec<String>) {
    let (words, axis) = line.split_once('|').expect("a bar begins the time axis");
    let mut words = words.split_whitespace();
    let name = words.next().expect("a label").to_owned();
    let bar = axis.trim_end();
    let is_error = bar.ends_with('!');
    let bar = bar.trim_end_matches('!');
    let start = bar.chars().position(|letter| letter != ' ').unwrap_or(0) as i64;
    let end = start + bar.chars().filter(|letter| *letter == '=').count() as i64;
    let mut span = Span {
        trace_id: parent.map_or_else(|| trace_id("one"), |parent| parent.trace_id),
        span_id: span_id(number as u64 + 1),
        parent_span_id: parent.map(|parent| parent.span_id),
        name,
        kind: SpanKind::Internal,
        start: UnixNanos(BASE + start * scale * MS),
        end: UnixNanos(BASE + end * scale * MS),
        status: if is_error { StatusCode::Error } else { StatusCode::Unset },
        flags: 0x101,
        trace_state: String::new(),
        attributes: Vec::new(),
        events: Vec::new(),
        links: Vec::new(),
        resource: parent.map_or_else(|| resource("shop", None, None), |parent| Arc::clone(&parent.resource)),
        scope: String::new(),
        schema_url: String::new(),
    };
    let mut links = Vec::new();
    for word in words {
        read_word(word, &mut span, &mut links);
    }
    (span, links)
}

fn read_word(word: &str, span: &mut Span, links: &mut Vec<String>) {
    let mut set = |key: &str, value: &str| span.attributes.push(attribute(key, value));
    if let Some((key, value)) = word.split_once('=') {
        set(key, value);
    } else if let Some(service) = word.strip_prefix('@') {
        let (service, instance) = service.split_once('/').map_or((service, None), |(s, i)| (s, Some(i)));
        span.resource = resource(service, instance, None);
    } else if let Some(label) = word.strip_prefix("<-") {
        links.push(label.to_owned());
    } else if let Some((family, rest)) = word.split_once(':') {
        match family {
            "GET" | "POST" | "PUT" => {
                set("http.request.method", family);
                set("url.path", rest);
            }
            "grpc" => {
                set("rpc.system.name", "grpc");
                set("rpc.method", rest);
            }
            "sql" => {
                set("db.system.name", "postgresql");
                set("db.namespace", rest);
                set("db.query.summary", "SELECT");
            }
            "host" => set("server.address", rest),
            "trace" => span.trace_id = trace_id(rest),
            "lost" => span.parent_span_id = Some(span_id(8_888)),
            "throws" => span.events.push(Event {
                time: span.end,
                name: "exception".into(),
                attributes: vec![attribute("exception.type", rest)],
            }),
            "v" => {
                let mut attributes = span.resource.attributes.clone();
                attributes.push(attribute("service.version", rest));
                span.resource = Arc::new(Resource { attributes });
            }
            _ => {
                set("messaging.system", family);
                set("messaging.destination.name", rest);
            }
        }
    } else {
        match word {
            "server" => span.kind = SpanKind::Server,
            "client" => span.kind = SpanKind::Client,
            "internal" => span.kind = SpanKind::Internal,
            "producer" => span.kind = SpanKind::Producer,
            "consumer" => span.kind = SpanKind::Consumer,
            "receive" => {
                set("messaging.operation.type", "receive");
                span.kind = SpanKind::Consumer;
            }
            "redis" => {
                set("db.system.name", "redis");
                set("db.operation.name", "GET");
                set("server.address", "redis");
            }
            "lost" => {
                span.parent_span_id = Some(span_id(8_888));
                span.flags = 0x301;
            }
            _ if word.parse::<i64>().is_ok() => set("http.response.status_code", word),
            _ => set("rpc.response.status_code", word),
        }
    }
}

/// Text, or an integer when it reads as one.
pub(super) fn attribute(key: &str, value: &str) -> Attribute {
    let value = value.parse().map_or_else(|_| AttributeValue::String(value.into()), AttributeValue::Int);
    Attribute { key: key.into(), value }
}

pub(super) fn resource(service: &str, instance: Option<&str>, version: Option<&str>) -> Arc<Resource> {
    let pairs = [("service.name", Some(service)), ("service.instance.id", instance), ("service.version", version)];
    let text = |(key, value): (&str, Option<&str>)| {
        Some(Attribute { key: key.into(), value: AttributeValue::String(value?.into()) })
    };
    Arc::new(Resource { attributes: pairs.into_iter().filter_map(text).collect() })
}

/// The trace called so in a drawing.
pub(crate) fn trace_id(name: &str) -> TraceId {
    let mut bytes = [0x11; 16];
    for (byte, letter) in bytes.iter_mut().zip(name.bytes()) {
        *byte = letter;
    }
    TraceId::from_bytes(&bytes).expect("not zero")
}

pub(super) fn span_id(number: u64) -> SpanId {
    SpanId::from_bytes(&number.to_be_bytes()).expect("numbers begin at 1")
}
