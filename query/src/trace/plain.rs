//! Rows of spans as analysis sees them: plain values, only the columns it looks at.
//!
//! Resources are shared: spans with the same resource text hold the same [`Resource`], which the analysis reads
//! once.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::logical_expr::Expr;
use datafusion::prelude::ident;
use hashbrown::HashMap;
use model::semconv::{self, On, key};
use model::{SpanId, SpanKind, StatusCode, TraceId, UnixNanos};
use storage::table::SPANS;

use super::span::{AttributeColumns, lean, read_events, read_links};
use crate::analysis::span::{Event, Link, Resource, Span};
use crate::functions::json_attributes;
use crate::rows::{Bytes, Ints, Texts};

/// Own columns that [`Reader::read`] looks at; attributes with a column of their own are looked at too.
const OWN: &[&str] = &[
    "trace_id",
    "span_id",
    "parent_span_id",
    "name",
    "kind",
    "start_time",
    "duration_nanos",
    "status_code",
    "flags",
    "trace_state",
    "attributes",
    "attribute_order",
    "events",
    "links",
    "resource",
    "scope_name",
    "scope_schema_url",
];

/// Names of the columns that [`Reader::read`] looks at.
pub(crate) fn column_names() -> impl Iterator<Item = &'static str> {
    let promoted = semconv::promoted(On::Item).filter_map(|convention| convention.column);
    OWN.iter().copied().chain(promoted.filter(|column| SPANS.column(column).is_some()))
}

/// The columns to select for [`Reader::read`].
pub(crate) fn columns() -> Vec<Expr> {
    column_names().map(ident).collect()
}

/// Reads spans and remembers the resources it has met.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    resources: HashMap<String, Arc<Resource>>,
    is_lean: bool,
}

impl Reader {
    /// A reader for those that hold many spans and hand them to nothing but the analysis: of attributes that it never asks for
    /// only the keys are read, of texts the first 4 KiB, of lists the first entry. So a span takes less than what was sent,
    /// whatever was sent.
    pub(crate) fn lean() -> Self {
        Self { is_lean: true, ..Self::default() }
    }

    /// Spans of a batch that has [`columns`], with times after repairs. A row without valid ids is passed over, and
    /// so is a link without: storage never holds one.
    pub(crate) fn read(&mut self, batch: &RecordBatch) -> Vec<Span> {
        let bytes = |name| Bytes::of(batch, name);
        let texts = |name| Texts::of(batch, name);
        let ints = |name| Ints::of(batch, name);
        let (trace_id, span_id, parent) = (bytes("trace_id"), bytes("span_id"), bytes("parent_span_id"));
        let (name, kind, status) = (texts("name"), ints("kind"), ints("status_code"));
        let (start, duration) = (ints("start_time"), ints("duration_nanos"));
        let (flags, trace_state) = (ints("flags"), texts("trace_state"));
        let (resource, scope, schema_url) = (texts("resource"), texts("scope_name"), texts("scope_schema_url"));
        let attributes = AttributeColumns::of(batch);
        let list = |name| batch.column_by_name(name).and_then(arrow::array::AsArray::as_list_opt::<i32>);
        let (events, links) = (list("events"), list("links"));
        let is_lean = self.is_lean;

        let mut row = |row: usize| {
            let start = start.int(row);
            Some(Span {
                trace_id: TraceId::from_bytes(trace_id.get(row)?)?,
                span_id: SpanId::from_bytes(span_id.get(row)?)?,
                parent_span_id: parent.get(row).and_then(SpanId::from_bytes),
                name: name.text(row).to_owned(),
                kind: SpanKind::from_code(kind.int32(row)).unwrap_or(SpanKind::Unspecified),
                start: UnixNanos(start),
                end: UnixNanos(start.saturating_add(duration.int(row).max(0))),
                status: StatusCode::from_code(status.int32(row)).unwrap_or(StatusCode::Unset),
                flags: u32::try_from(flags.int(row)).unwrap_or_default(),
                trace_state: trace_state.text(row).to_owned(),
                attributes: if is_lean { attributes.lean(row) } else { attributes.get(row) },
                events: events.map(|lists| events_of(lists, row, is_lean)).unwrap_or_default(),
                links: links.map(|lists| links_of(lists, row, is_lean)).unwrap_or_default(),
                resource: self.resource(resource.text(row)),
                scope: scope.text(row).to_owned(),
                schema_url: schema_url.text(row).to_owned(),
            })
        };
        (0..batch.num_rows()).filter_map(&mut row).collect()
    }

    fn resource(&mut self, text: &str) -> Arc<Resource> {
        if let Some(known) = self.resources.get(text) {
            return Arc::clone(known);
        }
        let resource = Arc::new(Resource { attributes: json_attributes(text) });
        self.resources.insert(text.to_owned(), Arc::clone(&resource));
        resource
    }
}

fn events_of(lists: &arrow::array::ListArray, row: usize, is_lean: bool) -> Vec<Event> {
    let event = |mut event: super::span::Event| {
        if is_lean {
            // The type of an exception is all that is asked for.
            event.attributes.retain(|attribute| attribute.key == key::EXCEPTION_TYPE);
            lean(&mut event.attributes);
        }
        Event { time: UnixNanos(event.time), name: event.name, attributes: event.attributes }
    };
    let events = read_events(lists, row).into_iter().map(event);
    events.filter(|event| !is_lean || !event.attributes.is_empty()).collect()
}

fn links_of(lists: &arrow::array::ListArray, row: usize, is_lean: bool) -> Vec<Link> {
    let link = |mut link: super::span::Link| {
        if is_lean {
            lean(&mut link.attributes);
        }
        Some(Link {
            trace_id: TraceId::from_bytes(&link.trace_id)?,
            span_id: SpanId::from_bytes(&link.span_id)?,
            attributes: link.attributes,
        })
    };
    read_links(lists, row).into_iter().filter_map(link).collect()
}

#[cfg(test)]
mod tests {
    use model::{Attribute, AttributeValue};

    use super::*;
    use crate::testing::{TestSpan, span, spans_batch};

    fn text(text: &str) -> AttributeValue {
        AttributeValue::String(text.to_owned())
    }

    /// What the analysis asks for stays, shortened; of the rest some keys. A thousand long values of nobody's take nothing.
    #[test]
    fn a_lean_span_is_small_whatever_was_sent() {
        let names: Vec<&'static str> = (0..1_000).map(|n| &*format!("mine.{n}").leak()).collect();
        let mut attributes: Vec<_> = names.iter().map(|name| (*name, text(&"x".repeat(100)))).collect();
        attributes.push(("http.response.header.location", text("/jobs/7")));
        let sent = TestSpan {
            columns: vec![("db_query_text", text(&"ä".repeat(10_000))), ("http_status_code", AttributeValue::Int(202))],
            order: Some("db.query.text,http.response.status_code,*1001"),
            attributes,
            links: vec![(9, 1)],
            ..span(1, 1, None, "work", 0, 1)
        };
        let batch = spans_batch(&[sent]);
        let whole = Reader::default().read(batch.records()).remove(0);
        let lean = Reader::lean().read(batch.records()).remove(0);
        assert_eq!(whole.attributes.len(), 1_003);
        let value = |key: &str| lean.attributes.iter().find(|entry| entry.key == key).map(|entry| &entry.value);
        assert_eq!(value("http.response.status_code"), Some(&AttributeValue::Int(202)));
        assert_eq!(
            value("http.response.header.location"),
            Some(&text("/jobs/7")),
            "also behind the last key that is kept"
        );
        assert_eq!(value("db.query.text"), Some(&text(&"ä".repeat(2 << 10))));
        let others = lean.attributes.iter().filter(|entry| entry.key.starts_with("mine."));
        let others: Vec<&Attribute> = others.collect();
        assert_eq!(others.len(), 128);
        assert!(others.iter().all(|entry| entry.value == AttributeValue::Empty));
        assert_eq!((lean.links.len(), &lean.name, lean.start), (1, &whole.name, whole.start));
    }
}
