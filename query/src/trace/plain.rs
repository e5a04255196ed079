//! Rows of spans as analysis sees them: plain values, only the columns it looks at.
//!
//! Resources are shared: spans with the same resource text hold the same [`Resource`], which the analysis reads
//! once.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::logical_expr::Expr;
use datafusion::prelude::ident;
use hashbrown::HashMap;
use model::semconv::{self, On};
use model::{SpanId, SpanKind, StatusCode, TraceId, UnixNanos};
use storage::table::SPANS;

use super::span::{AttributeColumns, read_events, read_links};
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
}

impl Reader {
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
                attributes: attributes.get(row),
                events: events.map(|lists| events_of(lists, row)).unwrap_or_default(),
                links: links.map(|lists| links_of(lists, row)).unwrap_or_default(),
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

fn events_of(lists: &arrow::array::ListArray, row: usize) -> Vec<Event> {
    let event = |event: super::span::Event| Event {
        time: UnixNanos(event.time),
        name: event.name,
        attributes: event.attributes,
    };
    read_events(lists, row).into_iter().map(event).collect()
}

fn links_of(lists: &arrow::array::ListArray, row: usize) -> Vec<Link> {
    let link = |link: super::span::Link| {
        Some(Link {
            trace_id: TraceId::from_bytes(&link.trace_id)?,
            span_id: SpanId::from_bytes(&link.span_id)?,
            attributes: link.attributes,
        })
    };
    read_links(lists, row).into_iter().filter_map(link).collect()
}
