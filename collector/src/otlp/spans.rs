//! One span to one row of the table `spans`, one line per column.

use arrow::array::ArrayRef;
use model::Repairs;
use model::semconv::key;
use storage::Batch;
use storage::table::{SPANS, events_item, links_item};

use super::attributes::ItemAttributes;
use super::columns::{Bytes, Ints, Labels, Lists, Named, ShortInts};
use super::keys::Keys;
use super::message::{Event, Link, Span, Text, Traces, Value};
use super::origin::{Origin, OriginColumns};
use super::sink::{From, Rows};
use super::{BATCH_BYTES_MAX, BATCH_ROWS_MAX, Request, text};
use crate::outcome::Reason;
use crate::sanitize::{self, Rules, SpanTimes, sizes};

/// Name of the event that tells of an exception.
const EXCEPTION_EVENT: Text<'static> = b"exception";

/// Columns under construction; used again for the next batch.
#[derive(Debug)]
pub(crate) struct SpanRows {
    n_rows: usize,
    bytes: usize,
    trace_id: Bytes,
    span_id: Bytes,
    parent_span_id: Bytes,
    name: Labels,
    kind: ShortInts,
    start_time: Ints,
    duration_nanos: Ints,
    sent_start_time: Ints,
    sent_end_time: Ints,
    arrival_time: Ints,
    status_code: ShortInts,
    status_message: Labels,
    exception_type: Labels,
    trace_state: Labels,
    flags: Ints,
    dropped_attributes_count: Ints,
    dropped_events_count: Ints,
    dropped_links_count: Ints,
    event_count: ShortInts,
    link_count: ShortInts,
    attributes: ItemAttributes,
    events: EventItems,
    links: LinkItems,
    repairs: ShortInts,
    origin: OriginColumns,
}

impl Default for SpanRows {
    fn default() -> Self {
        Self {
            n_rows: 0,
            bytes: 0,
            trace_id: Bytes::default(),
            span_id: Bytes::default(),
            parent_span_id: Bytes::default(),
            name: Labels::default(),
            kind: ShortInts::default(),
            start_time: Ints::default(),
            duration_nanos: Ints::default(),
            sent_start_time: Ints::default(),
            sent_end_time: Ints::default(),
            arrival_time: Ints::default(),
            status_code: ShortInts::default(),
            status_message: Labels::default(),
            exception_type: Labels::default(),
            trace_state: Labels::default(),
            flags: Ints::default(),
            dropped_attributes_count: Ints::default(),
            dropped_events_count: Ints::default(),
            dropped_links_count: Ints::default(),
            event_count: ShortInts::default(),
            link_count: ShortInts::default(),
            attributes: ItemAttributes::promoting(),
            events: EventItems::default(),
            links: LinkItems::default(),
            repairs: ShortInts::default(),
            origin: OriginColumns::default(),
        }
    }
}

impl Rows<Traces> for SpanRows {
    fn take(
        &mut self,
        span: &mut Span<'_>,
        repairs: Repairs,
        from: &From,
        keys: &mut Keys,
        rules: &Rules,
        mut count: impl FnMut(Result<Repairs, Reason>),
    ) {
        count(sanitize::span(span, keys, rules).map(|(times, mended)| {
            let repairs = repairs | mended | from.origin.repairs();
            self.push(span, &times, repairs, keys);
            self.bytes += if rules.is_small { 0 } else { sizes::span_bytes(span) };
            repairs
        }));
    }

    fn fill_origin(&mut self, origin: &Origin) {
        self.origin.fill(origin, self.n_rows);
    }

    fn is_full(&self) -> bool {
        self.n_rows >= BATCH_ROWS_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    fn finish(&mut self, request: &mut Request<'_>) {
        if self.n_rows > 0 {
            request.push(self.batch(request.rules));
        }
    }
}

impl SpanRows {
    fn push(&mut self, span: &Span<'_>, times: &SpanTimes, repairs: Repairs, keys: &Keys) {
        self.trace_id.push_id::<16>(span.trace_id);
        self.span_id.push_id::<8>(span.span_id);
        self.parent_span_id.push_non_empty(span.parent_span_id);
        self.name.push(span.name);
        self.kind.push(span.kind);
        self.start_time.push(times.start);
        self.duration_nanos.push(times.duration_nanos);
        self.sent_start_time.push_option(times.sent_start);
        self.sent_end_time.push_option(times.sent_end);
        self.status_code.push(span.status.as_ref().map_or(0, |status| status.code));
        self.status_message.push_option(span.status.as_ref().map(|status| status.message));
        self.exception_type.push_option(exception_type(&span.events));
        self.trace_state.push_non_empty(span.trace_state);
        self.flags.push(i64::from(span.flags));
        self.dropped_attributes_count.push(i64::from(span.dropped_attributes_count));
        self.dropped_events_count.push(i64::from(span.dropped_events_count));
        self.dropped_links_count.push(i64::from(span.dropped_links_count));
        self.event_count.push(span.events.len() as i32);
        self.link_count.push(span.links.len() as i32);
        self.attributes.push(self.n_rows, &span.attributes, keys);
        self.events.push(&span.events);
        self.links.push(&span.links);
        self.repairs.push(repairs.bits());
        self.n_rows += 1;
    }

    fn batch(&mut self, rules: &Rules) -> storage::Result<Batch> {
        let n_rows = std::mem::take(&mut self.n_rows);
        self.bytes = 0;
        self.arrival_time.fill(rules.now.0, n_rows);
        let mut columns: Vec<Named> = vec![
            ("trace_id", self.trace_id.finish_bytes()),
            ("span_id", self.span_id.finish_bytes()),
            ("name", self.name.finish_all()),
            ("kind", self.kind.finish()),
            ("start_time", self.start_time.finish()),
            ("duration_nanos", self.duration_nanos.finish()),
            ("arrival_time", self.arrival_time.finish()),
            ("status_code", self.status_code.finish()),
            ("flags", self.flags.finish()),
            ("dropped_attributes_count", self.dropped_attributes_count.finish()),
            ("dropped_events_count", self.dropped_events_count.finish()),
            ("dropped_links_count", self.dropped_links_count.finish()),
            ("event_count", self.event_count.finish()),
            ("link_count", self.link_count.finish()),
            ("events", self.events.finish()),
            ("links", self.links.finish()),
            ("repairs", self.repairs.finish()),
        ];
        columns.extend(self.parent_span_id.finish_some_bytes().map(|column| ("parent_span_id", column)));
        columns.extend(self.sent_start_time.finish_some().map(|column| ("sent_start_time", column)));
        columns.extend(self.sent_end_time.finish_some().map(|column| ("sent_end_time", column)));
        columns.extend(self.status_message.finish().map(|column| ("status_message", column)));
        columns.extend(self.exception_type.finish().map(|column| ("exception_type", column)));
        columns.extend(self.trace_state.finish().map(|column| ("trace_state", column)));
        self.attributes.finish(n_rows, &mut columns);
        self.origin.finish(n_rows, &mut columns);
        Batch::from_columns(&SPANS, n_rows, columns)
    }
}

/// Class of the first exception among the events.
fn exception_type<'a>(events: &[Event<'a>]) -> Option<Text<'a>> {
    let event = events.iter().find(|event| event.name == EXCEPTION_EVENT)?;
    match event.attributes.iter().find(|attribute| attribute.key == key::EXCEPTION_TYPE.as_bytes())?.value {
        Value::Text(name) => Some(name),
        _ => None,
    }
}

/// The list column of events.
#[derive(Debug, Default)]
struct EventItems {
    rows: Lists,
    time: Ints,
    name: Bytes,
    attributes: Bytes,
    dropped_attributes_count: Ints,
}

impl EventItems {
    fn push(&mut self, events: &[Event<'_>]) {
        for event in events {
            self.time.push(event.time.cast_signed());
            self.name.push(event.name);
            self.attributes.push_written(|out| text::write_attributes(out, &event.attributes));
            self.dropped_attributes_count.push(i64::from(event.dropped_attributes_count));
        }
        self.rows.end_row(self.time.len());
    }

    fn finish(&mut self) -> ArrayRef {
        let columns: Vec<ArrayRef> = vec![
            self.time.finish(),
            self.name.finish_texts(),
            self.attributes.finish_texts(),
            self.dropped_attributes_count.finish(),
        ];
        self.rows.finish_structs(events_item(), columns)
    }
}

/// The list column of links.
#[derive(Debug, Default)]
struct LinkItems {
    rows: Lists,
    trace_id: Bytes,
    span_id: Bytes,
    trace_state: Bytes,
    attributes: Bytes,
    dropped_attributes_count: Ints,
    flags: Ints,
}

impl LinkItems {
    fn push(&mut self, links: &[Link<'_>]) {
        for link in links {
            self.trace_id.push(link.trace_id);
            self.span_id.push(link.span_id);
            self.trace_state.push(link.trace_state);
            self.attributes.push_written(|out| text::write_attributes(out, &link.attributes));
            self.dropped_attributes_count.push(i64::from(link.dropped_attributes_count));
            self.flags.push(i64::from(link.flags));
        }
        self.rows.end_row(self.flags.len());
    }

    fn finish(&mut self) -> ArrayRef {
        let columns: Vec<ArrayRef> = vec![
            self.trace_id.finish_bytes(),
            self.span_id.finish_bytes(),
            self.trace_state.finish_texts(),
            self.attributes.finish_texts(),
            self.dropped_attributes_count.finish(),
            self.flags.finish(),
        ];
        self.rows.finish_structs(links_item(), columns)
    }
}
