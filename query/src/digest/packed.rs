//! Spans of open traces, packed: about 200 bytes where the plain values take 1.5 kB.
//!
//! ```text
//! span   id 8 | parent 0 or 1+8 | start, duration, flags varint | kind, status u8 | name, trace state, scope, schema
//!        word | resource number | attributes | events | links
//! word   varint n: 0 then length and bytes, else the n-th text of the shared list
//! ```
//!
//! Keys, names and values that repeat stand once in a list shared by all open traces. Both lists are bounded: what
//! does not fit stands in full. Nothing packed leaves the process, so the format has no versions.

use std::sync::Arc;

use hashbrown::HashMap;
use model::{Attribute, AttributeValue, SpanId, SpanKind, StatusCode, TraceId, UnixNanos};

use crate::analysis::span::{Event, Link, Resource, Span};

/// Texts in the shared list.
const WORDS_MAX: usize = 1 << 16;
/// Longer values are not shared.
const WORD_BYTES_MAX: usize = 64;
/// Lists inside values are followed so deep; what lies deeper reads as empty.
const DEPTH_MAX: u32 = 32;

/// Texts and resources that packed spans share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    word_of: HashMap<Arc<str>, u64>,
    words: Vec<Arc<str>>,
    resource_of: HashMap<usize, u64>,
    resources: Vec<Arc<Resource>>,
}

impl Shared {
    /// Resources held. The caller starts anew when they are too many.
    pub(crate) fn n_resources(&self) -> usize {
        self.resources.len()
    }

    fn resource(&mut self, resource: &Arc<Resource>) -> u64 {
        let resources = &mut self.resources;
        // The address is a name for as long as the list holds the resource.
        *self.resource_of.entry(Arc::as_ptr(resource) as usize).or_insert_with(|| {
            resources.push(Arc::clone(resource));
            resources.len() as u64 - 1
        })
    }

    /// Packs a span of a known trace.
    pub(crate) fn pack(&mut self, span: &Span, out: &mut Vec<u8>) {
        out.extend_from_slice(span.span_id.as_bytes());
        match &span.parent_span_id {
            Some(parent) => {
                out.push(1);
                out.extend_from_slice(parent.as_bytes());
            }
            None => out.push(0),
        }
        put_signed(out, span.start.0);
        put_signed(out, span.end.0.wrapping_sub(span.start.0));
        put(out, u64::from(span.flags));
        out.push(span.kind.code() as u8);
        out.push(span.status.code() as u8);
        for text in [&span.name, &span.trace_state, &span.scope, &span.schema_url] {
            self.word(out, text);
        }
        let resource = self.resource(&span.resource);
        put(out, resource);
        self.attributes(out, &span.attributes);
        put(out, span.events.len() as u64);
        for event in &span.events {
            put_signed(out, event.time.0);
            self.word(out, &event.name);
            self.attributes(out, &event.attributes);
        }
        put(out, span.links.len() as u64);
        for link in &span.links {
            out.extend_from_slice(link.trace_id.as_bytes());
            out.extend_from_slice(link.span_id.as_bytes());
            self.attributes(out, &link.attributes);
        }
    }

    fn word(&mut self, out: &mut Vec<u8>, text: &str) {
        if let Some(known) = self.word_of.get(text) {
            return put(out, *known);
        }
        // Ids, addresses and amounts do not repeat, and they have digits.
        let repeats = text.len() <= WORD_BYTES_MAX && !text.bytes().any(|b| b.is_ascii_digit());
        if repeats && self.words.len() < WORDS_MAX {
            let word: Arc<str> = text.into();
            self.words.push(Arc::clone(&word));
            self.word_of.insert(word, self.words.len() as u64);
            return put(out, self.words.len() as u64);
        }
        out.push(0);
        put(out, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
    }

    fn attributes(&mut self, out: &mut Vec<u8>, attributes: &[Attribute]) {
        put(out, attributes.len() as u64);
        for attribute in attributes {
            self.word(out, &attribute.key);
            self.value(out, &attribute.value, 0);
        }
    }

    fn value(&mut self, out: &mut Vec<u8>, value: &AttributeValue, depth: u32) {
        match value {
            AttributeValue::String(text) => {
                out.push(1);
                self.word(out, text);
            }
            AttributeValue::Int(number) => {
                out.push(2);
                put_signed(out, *number);
            }
            AttributeValue::Double(number) => {
                out.push(3);
                out.extend_from_slice(&number.to_le_bytes());
            }
            AttributeValue::Bool(flag) => out.push(if *flag { 5 } else { 4 }),
            AttributeValue::Bytes(bytes) => {
                out.push(6);
                put(out, bytes.len() as u64);
                out.extend_from_slice(bytes);
            }
            AttributeValue::Array(values) if depth < DEPTH_MAX => {
                out.push(7);
                put(out, values.len() as u64);
                values.iter().for_each(|value| self.value(out, value, depth + 1));
            }
            AttributeValue::Map(entries) if depth < DEPTH_MAX => {
                out.push(8);
                put(out, entries.len() as u64);
                for entry in entries {
                    self.word(out, &entry.key);
                    self.value(out, &entry.value, depth + 1);
                }
            }
            AttributeValue::Empty | AttributeValue::Array(_) | AttributeValue::Map(_) => out.push(0),
        }
    }

    /// Unpacks the spans of a trace, in the order in which they were packed, up to so many.
    pub(crate) fn unpack(&self, trace_id: TraceId, bytes: &[u8], spans_max: usize) -> Vec<Span> {
        let mut reader = Unpack { shared: self, bytes };
        let mut spans = Vec::new();
        while !reader.bytes.is_empty() && spans.len() < spans_max {
            // Only what was packed here is read: an end in the middle is where the caller cut.
            let Some(span) = reader.span(trace_id) else { break };
            spans.push(span);
        }
        spans
    }
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, ((value << 1) ^ (value >> 63)) as u64);
}

struct Unpack<'a> {
    shared: &'a Shared,
    bytes: &'a [u8],
}

impl<'a> Unpack<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    fn number(&mut self) -> Option<u64> {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(value);
            }
            shift += 7;
        }
    }

    fn signed(&mut self) -> Option<i64> {
        let value = self.number()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    fn word(&mut self) -> Option<String> {
        match self.number()? {
            0 => {
                let length = usize::try_from(self.number()?).ok()?;
                std::str::from_utf8(self.take(length)?).ok().map(str::to_owned)
            }
            n => self.shared.words.get(usize::try_from(n).ok()? - 1).map(|word| word.to_string()),
        }
    }

    fn span(&mut self, trace_id: TraceId) -> Option<Span> {
        let span_id = SpanId::from_bytes(self.take(SpanId::BYTES)?)?;
        let parent_span_id = if self.byte()? == 1 { SpanId::from_bytes(self.take(SpanId::BYTES)?) } else { None };
        let start = self.signed()?;
        let end = start.wrapping_add(self.signed()?);
        let flags = u32::try_from(self.number()?).ok()?;
        let kind = SpanKind::from_code(i32::from(self.byte()?)).unwrap_or(SpanKind::Unspecified);
        let status = StatusCode::from_code(i32::from(self.byte()?)).unwrap_or(StatusCode::Unset);
        let (name, trace_state, scope, schema_url) = (self.word()?, self.word()?, self.word()?, self.word()?);
        let resource = Arc::clone(self.shared.resources.get(usize::try_from(self.number()?).ok()?)?);
        let attributes = self.attributes()?;
        let events = (0..self.number()?).map(|_| {
            Some(Event { time: UnixNanos(self.signed()?), name: self.word()?, attributes: self.attributes()? })
        });
        let events = events.collect::<Option<_>>()?;
        let links = (0..self.number()?).map(|_| {
            Some(Link {
                trace_id: TraceId::from_bytes(self.take(TraceId::BYTES)?)?,
                span_id: SpanId::from_bytes(self.take(SpanId::BYTES)?)?,
                attributes: self.attributes()?,
            })
        });
        let links = links.collect::<Option<_>>()?;
        let (start, end) = (UnixNanos(start), UnixNanos(end));
        Some(Span {
            trace_id,
            span_id,
            parent_span_id,
            name,
            kind,
            start,
            end,
            status,
            flags,
            trace_state,
            attributes,
            events,
            links,
            resource,
            scope,
            schema_url,
        })
    }

    fn attributes(&mut self) -> Option<Vec<Attribute>> {
        (0..self.number()?).map(|_| Some(Attribute { key: self.word()?, value: self.value()? })).collect()
    }

    fn value(&mut self) -> Option<AttributeValue> {
        Some(match self.byte()? {
            1 => AttributeValue::String(self.word()?),
            2 => AttributeValue::Int(self.signed()?),
            3 => AttributeValue::Double(f64::from_le_bytes(self.take(8)?.try_into().ok()?)),
            4 => AttributeValue::Bool(false),
            5 => AttributeValue::Bool(true),
            6 => {
                let length = usize::try_from(self.number()?).ok()?;
                AttributeValue::Bytes(self.take(length)?.to_vec())
            }
            7 => AttributeValue::Array((0..self.number()?).map(|_| self.value()).collect::<Option<_>>()?),
            8 => AttributeValue::Map(self.attributes()?),
            _ => AttributeValue::Empty,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was packed comes back: values of every type, texts that repeat and that do not.
    #[test]
    fn spans_come_back_as_they_were() {
        let trace_id = TraceId::from_bytes(&[7; 16]).expect("an id");
        let id = |n: u8| SpanId::from_bytes(&[n; 8]).expect("an id");
        let attribute = |key: &str, value| Attribute { key: key.to_owned(), value };
        let attributes = vec![
            attribute("http.request.method", AttributeValue::String("GET".into())),
            attribute("url.path", AttributeValue::String("/orders/1234567890".into())),
            attribute("n", AttributeValue::Int(-5)),
            attribute("big", AttributeValue::Int(i64::MIN)),
            attribute("share", AttributeValue::Double(0.25)),
            attribute("yes", AttributeValue::Bool(true)),
            attribute("raw", AttributeValue::Bytes(vec![0, 255])),
            attribute("none", AttributeValue::Empty),
            attribute("list", AttributeValue::Array(vec![AttributeValue::Int(1), AttributeValue::Bool(false)])),
            attribute("map", AttributeValue::Map(vec![attribute("a", AttributeValue::Int(1))])),
        ];
        let span = Span {
            trace_id,
            span_id: id(1),
            parent_span_id: Some(id(2)),
            name: "GET /orders/{id}".into(),
            kind: SpanKind::Client,
            start: UnixNanos(1_700_000_000_000_000_001),
            end: UnixNanos(-3),
            status: StatusCode::Error,
            flags: 0x301,
            trace_state: "ot=th:8".into(),
            attributes: attributes.clone(),
            events: vec![Event { time: UnixNanos(5), name: "exception".into(), attributes: attributes.clone() }],
            links: vec![Link { trace_id, span_id: id(9), attributes }],
            resource: Arc::new(Resource::default()),
            scope: "tests".into(),
            schema_url: String::new(),
        };
        let root = Span { span_id: id(3), parent_span_id: None, ..span.clone() };
        let (mut shared, mut bytes) = (Shared::default(), Vec::new());
        shared.pack(&span, &mut bytes);
        let first = bytes.len();
        shared.pack(&root, &mut bytes);
        assert!(bytes.len() - first < first, "texts that repeat stand once");
        assert_eq!(shared.unpack(trace_id, &bytes, 9), vec![span.clone(), root]);
        assert_eq!(shared.unpack(trace_id, &bytes[..bytes.len() - 1], 9), vec![span.clone()], "cut in the middle");
        assert_eq!(shared.unpack(trace_id, &bytes, 1), vec![span]);
    }
}
