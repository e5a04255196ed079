//! One span to one row of the table `spans`, one line per column.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::array::builder::{BinaryBuilder, Int32Builder, Int64Builder, StringBuilder};
use model::Repairs;
use model::semconv::key;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use prost::Message as _;
use storage::Batch;
use storage::table::{SPANS, events_fields, links_fields};

use super::attributes::ItemAttributes;
use super::columns::{Labels, Structs, batch, fill_ints};
use super::origin::{Origin, OriginColumns};
use super::{BATCH_BYTES_MAX, BATCH_ROWS_MAX, text};
use crate::outcome::Outcome;
use crate::sanitize::{self, Rules, SpanTimes};

/// Name of the event that tells of an exception.
const EXCEPTION_EVENT: &str = "exception";

/// Sanitizes and maps a request; refused spans are counted in `outcome`.
pub(crate) fn batches(
    request: ExportTraceServiceRequest,
    rules: &Rules,
    outcome: &mut Outcome,
) -> storage::Result<Vec<Batch>> {
    let mut batches = Vec::new();
    let mut rows = SpanRows::new();
    for resource_spans in request.resource_spans {
        let mut origin = Origin::new(resource_spans.resource, resource_spans.schema_url);
        for scope_spans in resource_spans.scope_spans {
            origin.set_scope(scope_spans.scope, scope_spans.schema_url);
            for mut span in scope_spans.spans {
                match sanitize::span(&mut span, rules) {
                    Ok((times, repairs)) => {
                        let repairs = repairs | origin.repairs();
                        outcome.keep(repairs);
                        rows.push(&span, &times, repairs);
                        rows.bytes += if rules.is_small { 0 } else { span.encoded_len() };
                    }
                    Err(reason) => outcome.reject(reason),
                }
                if rows.is_full() {
                    rows.origin.fill(&origin, rows.n_rows);
                    batches.push(std::mem::replace(&mut rows, SpanRows::new()).finish(rules)?);
                }
            }
            rows.origin.fill(&origin, rows.n_rows);
        }
    }
    if rows.n_rows > 0 {
        batches.push(rows.finish(rules)?);
    }
    Ok(batches)
}

/// Columns under construction.
#[derive(Debug)]
struct SpanRows {
    n_rows: usize,
    bytes: usize,
    trace_id: BinaryBuilder,
    span_id: BinaryBuilder,
    parent_span_id: BinaryBuilder,
    name: Labels,
    kind: Int32Builder,
    start_time: Int64Builder,
    duration_nanos: Int64Builder,
    sent_start_time: Int64Builder,
    sent_end_time: Int64Builder,
    status_code: Int32Builder,
    status_message: Labels,
    exception_type: Labels,
    trace_state: Labels,
    flags: Int64Builder,
    dropped_attributes_count: Int64Builder,
    dropped_events_count: Int64Builder,
    dropped_links_count: Int64Builder,
    event_count: Int32Builder,
    link_count: Int32Builder,
    attributes: ItemAttributes,
    events: EventItems,
    links: LinkItems,
    repairs: Int32Builder,
    origin: OriginColumns,
}

impl SpanRows {
    fn new() -> Self {
        Self {
            n_rows: 0,
            bytes: 0,
            trace_id: BinaryBuilder::new(),
            span_id: BinaryBuilder::new(),
            parent_span_id: BinaryBuilder::new(),
            name: Labels::default(),
            kind: Int32Builder::new(),
            start_time: Int64Builder::new(),
            duration_nanos: Int64Builder::new(),
            sent_start_time: Int64Builder::new(),
            sent_end_time: Int64Builder::new(),
            status_code: Int32Builder::new(),
            status_message: Labels::default(),
            exception_type: Labels::default(),
            trace_state: Labels::default(),
            flags: Int64Builder::new(),
            dropped_attributes_count: Int64Builder::new(),
            dropped_events_count: Int64Builder::new(),
            dropped_links_count: Int64Builder::new(),
            event_count: Int32Builder::new(),
            link_count: Int32Builder::new(),
            attributes: ItemAttributes::promoting(),
            events: EventItems::default(),
            links: LinkItems::default(),
            repairs: Int32Builder::new(),
            origin: OriginColumns::default(),
        }
    }

    const fn is_full(&self) -> bool {
        self.n_rows >= BATCH_ROWS_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    fn push(&mut self, span: &Span, times: &SpanTimes, repairs: Repairs) {
        self.trace_id.append_value(&span.trace_id);
        self.span_id.append_value(&span.span_id);
        self.parent_span_id.append_option((!span.parent_span_id.is_empty()).then_some(&span.parent_span_id));
        self.name.push(&span.name);
        self.kind.append_value(span.kind);
        self.start_time.append_value(times.start);
        self.duration_nanos.append_value(times.duration_nanos);
        self.sent_start_time.append_option(times.sent_start);
        self.sent_end_time.append_option(times.sent_end);
        self.status_code.append_value(span.status.as_ref().map_or(0, |status| status.code));
        self.status_message.push_option(span.status.as_ref().map(|status| status.message.as_str()));
        self.exception_type.push_option(exception_type(&span.events));
        self.trace_state.push_non_empty(&span.trace_state);
        self.flags.append_value(i64::from(span.flags));
        self.dropped_attributes_count.append_value(i64::from(span.dropped_attributes_count));
        self.dropped_events_count.append_value(i64::from(span.dropped_events_count));
        self.dropped_links_count.append_value(i64::from(span.dropped_links_count));
        self.event_count.append_value(span.events.len() as i32);
        self.link_count.append_value(span.links.len() as i32);
        self.attributes.push(self.n_rows, &span.attributes);
        self.events.push(&span.events);
        self.links.push(&span.links);
        self.repairs.append_value(repairs.bits());
        self.n_rows += 1;
    }

    fn finish(mut self, rules: &Rules) -> storage::Result<Batch> {
        let mut arrival_time = Int64Builder::new();
        fill_ints(&mut arrival_time, rules.now.0, self.n_rows);
        let mut columns: Vec<(&'static str, ArrayRef)> = vec![
            ("trace_id", Arc::new(self.trace_id.finish())),
            ("span_id", Arc::new(self.span_id.finish())),
            ("parent_span_id", Arc::new(self.parent_span_id.finish())),
            ("name", self.name.finish()),
            ("kind", Arc::new(self.kind.finish())),
            ("start_time", Arc::new(self.start_time.finish())),
            ("duration_nanos", Arc::new(self.duration_nanos.finish())),
            ("sent_start_time", Arc::new(self.sent_start_time.finish())),
            ("sent_end_time", Arc::new(self.sent_end_time.finish())),
            ("arrival_time", Arc::new(arrival_time.finish())),
            ("status_code", Arc::new(self.status_code.finish())),
            ("status_message", self.status_message.finish()),
            ("exception_type", self.exception_type.finish()),
            ("trace_state", self.trace_state.finish()),
            ("flags", Arc::new(self.flags.finish())),
            ("dropped_attributes_count", Arc::new(self.dropped_attributes_count.finish())),
            ("dropped_events_count", Arc::new(self.dropped_events_count.finish())),
            ("dropped_links_count", Arc::new(self.dropped_links_count.finish())),
            ("event_count", Arc::new(self.event_count.finish())),
            ("link_count", Arc::new(self.link_count.finish())),
            ("events", self.events.finish()),
            ("links", self.links.finish()),
            ("repairs", Arc::new(self.repairs.finish())),
        ];
        columns.extend(self.attributes.finish(self.n_rows));
        columns.extend(self.origin.finish(self.n_rows));
        batch(&SPANS, self.n_rows, columns)
    }
}

/// Class of the first exception among the events.
fn exception_type(events: &[Event]) -> Option<&str> {
    let event = events.iter().find(|event| event.name == EXCEPTION_EVENT)?;
    let attribute = event.attributes.iter().find(|attribute| attribute.key == key::EXCEPTION_TYPE)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(name) => Some(name),
        _ => None,
    }
}

/// The list column of events.
#[derive(Debug, Default)]
struct EventItems {
    rows: Structs,
    time: Int64Builder,
    name: StringBuilder,
    attributes: StringBuilder,
    dropped_attributes_count: Int64Builder,
    scratch: String,
}

impl EventItems {
    fn push(&mut self, events: &[Event]) {
        for event in events {
            self.scratch.clear();
            text::write_attributes(&mut self.scratch, &event.attributes);
            self.time.append_value(event.time_unix_nano.cast_signed());
            self.name.append_value(&event.name);
            self.attributes.append_value(&self.scratch);
            self.dropped_attributes_count.append_value(i64::from(event.dropped_attributes_count));
        }
        self.rows.end_row(self.time.values_slice().len());
    }

    fn finish(mut self) -> ArrayRef {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.time.finish()),
            Arc::new(self.name.finish()),
            Arc::new(self.attributes.finish()),
            Arc::new(self.dropped_attributes_count.finish()),
        ];
        self.rows.finish(events_fields(), columns)
    }
}

/// The list column of links.
#[derive(Debug, Default)]
struct LinkItems {
    rows: Structs,
    trace_id: BinaryBuilder,
    span_id: BinaryBuilder,
    trace_state: StringBuilder,
    attributes: StringBuilder,
    dropped_attributes_count: Int64Builder,
    flags: Int64Builder,
    scratch: String,
}

impl LinkItems {
    fn push(&mut self, links: &[Link]) {
        for link in links {
            self.scratch.clear();
            text::write_attributes(&mut self.scratch, &link.attributes);
            self.trace_id.append_value(&link.trace_id);
            self.span_id.append_value(&link.span_id);
            self.trace_state.append_value(&link.trace_state);
            self.attributes.append_value(&self.scratch);
            self.dropped_attributes_count.append_value(i64::from(link.dropped_attributes_count));
            self.flags.append_value(i64::from(link.flags));
        }
        self.rows.end_row(self.flags.values_slice().len());
    }

    fn finish(mut self) -> ArrayRef {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.trace_id.finish()),
            Arc::new(self.span_id.finish()),
            Arc::new(self.trace_state.finish()),
            Arc::new(self.attributes.finish()),
            Arc::new(self.dropped_attributes_count.finish()),
            Arc::new(self.flags.finish()),
        ];
        self.rows.finish(links_fields(), columns)
    }
}
