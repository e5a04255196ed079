//! A whole span as it was sent, put together from a row's columns and lists.

use arrow::array::{Array, AsArray, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch, StructArray};
use arrow::datatypes::{Float64Type, Int64Type};
use hashbrown::HashMap;
use model::semconv::{self, Convention, On, ValueKind};
use model::{
    Attribute, AttributeValue, Repairs, SpanId, TraceId, attribute_order, attributes_from_json, value_from_json,
};
use storage::table::SPANS;

use crate::analysis::read::is_asked_for;
use crate::rows::{Bytes, Ints, Texts};

/// Keys of a span that are kept for the analysis besides those it asks for: SDKs send 128 attributes at most, unless told
/// otherwise.
const KEYS_MAX: usize = 128;
/// Longest text that is kept for the analysis.
const VALUE_BYTES_MAX: usize = 4 << 10;

/// A span as it was sent, with what the house knows about it.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) parent: Option<SpanId>,
    pub(crate) trace_state: String,
    pub(crate) flags: u32,
    pub(crate) name: String,
    pub(crate) kind: i32,
    /// Start and end as sent; the bits of unsigned 64-bit integers.
    pub(crate) sent_start: i64,
    pub(crate) sent_end: i64,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) dropped_attributes: i64,
    pub(crate) events: Vec<Event>,
    pub(crate) dropped_events: i64,
    pub(crate) links: Vec<Link>,
    pub(crate) dropped_links: i64,
    pub(crate) status_code: i32,
    pub(crate) status_message: String,
    /// The resource as OTLP/JSON.
    pub(crate) resource: String,
    pub(crate) resource_schema_url: String,
    /// The scope as OTLP/JSON.
    pub(crate) scope: String,
    pub(crate) scope_schema_url: String,
    pub(crate) service: String,
    /// Start and duration after repairs.
    pub(crate) start: i64,
    pub(crate) duration: i64,
    pub(crate) repairs: Repairs,
    /// Further rows of the same id with other content.
    pub(crate) same_id: u32,
}

/// A moment inside a span.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) time: i64,
    pub(crate) name: String,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) dropped_attributes: i64,
}

/// A pointer to another span.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) trace_id: Vec<u8>,
    pub(crate) span_id: Vec<u8>,
    pub(crate) trace_state: String,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) dropped_attributes: i64,
    pub(crate) flags: u32,
}

impl Span {
    /// Everything its sender said, as text: equal for a span that was sent twice. Repairs and arrival do not
    /// count. Text, because NaN equals itself there and -0.0 is not 0.0.
    fn content(&self) -> String {
        let Self { repairs: _, same_id: _, .. } = self;
        format!("{:?}", Self { repairs: Repairs::NONE, same_id: 0, ..self.clone() })
    }
}

/// Collapses spans that were sent twice (V14); those of one id with other content all stay and are counted.
///
/// Out: by start, then id; equal ids in the order in which they came.
pub(crate) fn distinct(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by_key(|span| (span.start, span.span_id));
    let mut rows_of: HashMap<SpanId, Vec<usize>> = HashMap::with_capacity(spans.len());
    for (row, span) in spans.iter().enumerate() {
        rows_of.entry(span.span_id).or_default().push(row);
    }
    let mut is_repeated = vec![false; spans.len()];
    for rows in rows_of.into_values().filter(|rows| rows.len() > 1) {
        let mut seen = std::collections::HashSet::new();
        for row in &rows {
            is_repeated[*row] = !seen.insert(spans[*row].content());
        }
        let others = u32::try_from(seen.len() - 1).unwrap_or(u32::MAX);
        rows.iter().for_each(|row| spans[*row].same_id = others);
    }
    let mut repeated = is_repeated.into_iter();
    spans.retain(|_| !repeated.next().unwrap_or(false));
    spans
}

/// Spans of a batch with every column of the table. A row without valid ids is passed over.
pub(crate) fn read(batch: &RecordBatch) -> Vec<Span> {
    let bytes = |name| Bytes::of(batch, name);
    let texts = |name| Texts::of(batch, name);
    let ints = |name| Ints::of(batch, name);
    let (trace_id, span_id, parent) = (bytes("trace_id"), bytes("span_id"), bytes("parent_span_id"));
    let (trace_state, flags, name, kind) = (texts("trace_state"), ints("flags"), texts("name"), ints("kind"));
    let (start, duration) = (ints("start_time"), ints("duration_nanos"));
    let (sent_start, sent_end) = (ints("sent_start_time"), ints("sent_end_time"));
    let (dropped_attributes, dropped_events, dropped_links) =
        (ints("dropped_attributes_count"), ints("dropped_events_count"), ints("dropped_links_count"));
    let (status_code, status_message) = (ints("status_code"), texts("status_message"));
    let (resource, resource_schema_url) = (texts("resource"), texts("resource_schema_url"));
    let (scope, scope_schema_url) = (texts("scope"), texts("scope_schema_url"));
    let (service, repairs) = (texts("service_name"), ints("repairs"));
    let attributes = AttributeColumns::of(batch);
    let events = batch.column_by_name("events").and_then(|column| column.as_list_opt::<i32>());
    let links = batch.column_by_name("links").and_then(|column| column.as_list_opt::<i32>());

    let row = |row: usize| {
        let (start, duration) = (start.int(row), duration.int(row));
        let sent_start = sent_start.get(row).unwrap_or(start);
        Some(Span {
            trace_id: TraceId::from_bytes(trace_id.get(row)?)?,
            span_id: SpanId::from_bytes(span_id.get(row)?)?,
            parent: parent.get(row).and_then(SpanId::from_bytes),
            trace_state: trace_state.text(row).to_owned(),
            flags: u32::try_from(flags.int(row)).unwrap_or_default(),
            name: name.text(row).to_owned(),
            kind: kind.int32(row),
            sent_start,
            sent_end: sent_end.get(row).unwrap_or_else(|| start.wrapping_add(duration)),
            attributes: attributes.get(row),
            dropped_attributes: dropped_attributes.int(row),
            events: events.map(|lists| read_events(lists, row)).unwrap_or_default(),
            dropped_events: dropped_events.int(row),
            links: links.map(|lists| read_links(lists, row)).unwrap_or_default(),
            dropped_links: dropped_links.int(row),
            status_code: status_code.int32(row),
            status_message: status_message.text(row).to_owned(),
            resource: resource.text(row).to_owned(),
            resource_schema_url: resource_schema_url.text(row).to_owned(),
            scope: scope.text(row).to_owned(),
            scope_schema_url: scope_schema_url.text(row).to_owned(),
            service: service.text(row).to_owned(),
            start,
            duration: duration.max(0),
            repairs: Repairs::from_bits(repairs.int32(row)),
            same_id: 0,
        })
    };
    (0..batch.num_rows()).filter_map(row).collect()
}

pub(super) fn read_events(lists: &ListArray, row: usize) -> Vec<Event> {
    let Some(entries) = entries(lists, row) else { return Vec::new() };
    let member = |name: &str| entries.column_by_name(name);
    let (times, dropped) =
        (member("time").map(Ints::from_array), member("dropped_attributes_count").map(Ints::from_array));
    let (names, attributes) = (member("name").map(Texts::from_array), member("attributes").map(Texts::from_array));
    let text =
        |column: &Option<Texts>, row| column.as_ref().map(|column| column.text(row).to_owned()).unwrap_or_default();
    let int = |column: &Option<Ints>, row| column.as_ref().map(|column| column.int(row)).unwrap_or_default();
    (0..entries.len())
        .map(|row| Event {
            time: int(&times, row),
            name: text(&names, row),
            attributes: attributes_from_json(&text(&attributes, row)),
            dropped_attributes: int(&dropped, row),
        })
        .collect()
}

pub(super) fn read_links(lists: &ListArray, row: usize) -> Vec<Link> {
    let Some(entries) = entries(lists, row) else { return Vec::new() };
    let member = |name: &str| entries.column_by_name(name);
    let id = |name: &str, row: usize| {
        let ids = member(name).and_then(|column| column.as_binary_opt::<i32>());
        ids.map(|ids| ids.value(row).to_vec()).unwrap_or_default()
    };
    let (states, attributes) =
        (member("trace_state").map(Texts::from_array), member("attributes").map(Texts::from_array));
    let (dropped, flags) =
        (member("dropped_attributes_count").map(Ints::from_array), member("flags").map(Ints::from_array));
    let text =
        |column: &Option<Texts>, row| column.as_ref().map(|column| column.text(row).to_owned()).unwrap_or_default();
    let int = |column: &Option<Ints>, row| column.as_ref().map(|column| column.int(row)).unwrap_or_default();
    (0..entries.len())
        .map(|row| Link {
            trace_id: id("trace_id", row),
            span_id: id("span_id", row),
            trace_state: text(&states, row),
            attributes: attributes_from_json(&text(&attributes, row)),
            dropped_attributes: int(&dropped, row),
            flags: u32::try_from(int(&flags, row)).unwrap_or_default(),
        })
        .collect()
}

/// Traces that the links of each row of a batch with the column `links` point to; of a link no more is looked at.
pub(crate) fn linked_traces(batch: &RecordBatch) -> impl Fn(usize) -> std::vec::IntoIter<TraceId> {
    let lists = batch.column_by_name("links").and_then(|column| column.as_list_opt::<i32>()).cloned();
    move |row| {
        let links = lists.as_ref().and_then(|lists| entries(lists, row)).map(|entries| {
            let traces = entries.column_by_name("trace_id").and_then(|column| column.as_binary_opt::<i32>());
            traces.into_iter().flatten().flatten().filter_map(TraceId::from_bytes).collect::<Vec<_>>()
        });
        links.unwrap_or_default().into_iter()
    }
}

/// The structs of one row's list, without copying.
fn entries(lists: &ListArray, row: usize) -> Option<StructArray> {
    if lists.is_null(row) {
        return None;
    }
    let offsets = lists.value_offsets();
    let (start, end) = (offsets[row] as usize, offsets[row + 1] as usize);
    (end > start).then(|| lists.values().slice(start, end - start).as_struct_opt().cloned()).flatten()
}

/// Columns and list that together hold the attributes of a span or log record.
#[derive(Debug)]
pub(crate) struct AttributeColumns<'a> {
    order: Texts,
    lists: Option<&'a ListArray>,
    promoted: HashMap<&'static str, Promoted>,
}

#[derive(Debug)]
enum Promoted {
    Text(Texts),
    Int(Ints),
}

impl<'a> AttributeColumns<'a> {
    pub(crate) fn of(batch: &'a RecordBatch) -> Self {
        let column = |convention: &'static Convention| {
            let name = convention.column.filter(|name| batch.column_by_name(name).is_some())?;
            let column = match convention.value {
                ValueKind::Label | ValueKind::Text => Promoted::Text(Texts::of(batch, name)),
                ValueKind::Int => Promoted::Int(Ints::of(batch, name)),
            };
            Some((convention.key, column))
        };
        Self {
            order: Texts::of(batch, "attribute_order"),
            lists: batch.column_by_name("attributes").and_then(|column| column.as_list_opt::<i32>()),
            promoted: semconv::promoted(On::Item).filter_map(column).collect(),
        }
    }

    /// The attributes of a row in sent order, under the names they were sent with.
    pub(crate) fn get(&self, row: usize) -> Vec<Attribute> {
        self.restored(row, listed)
    }

    /// As [`Self::get`]; of those that the analysis never asks for only the keys, and not more than [`KEYS_MAX`] of them.
    pub(super) fn lean(&self, row: usize) -> Vec<Attribute> {
        let mut attributes = self.restored(row, listed_lean);
        attributes.iter_mut().for_each(|attribute| shorten(&mut attribute.value));
        attributes
    }

    fn restored(&self, row: usize, listed: impl Fn(&StructArray) -> Vec<Attribute>) -> Vec<Attribute> {
        let column = |convention: &'static Convention| match self.promoted.get(convention.key)? {
            Promoted::Text(texts) => texts.get(row).map(|text| AttributeValue::String(text.to_owned())),
            Promoted::Int(ints) => ints.get(row).map(AttributeValue::Int),
        };
        let list = self.lists.and_then(|lists| entries(lists, row)).map(|entries| listed(&entries)).unwrap_or_default();
        attribute_order::restore(self.order.get(row), column, list)
    }
}

/// The entries of a typed attribute list.
fn listed(entries: &StructArray) -> Vec<Attribute> {
    listed_where(entries, usize::MAX, |_| true)
}

/// The same without the values that the analysis never asks for. A key that is too long, or one too many, is left out.
fn listed_lean(entries: &StructArray) -> Vec<Attribute> {
    listed_where(entries, KEYS_MAX, is_asked_for)
}

/// The entries of a typed attribute list: those with a value that is wanted, and so many keys of others.
fn listed_where(entries: &StructArray, others_max: usize, is_wanted: impl Fn(&str) -> bool) -> Vec<Attribute> {
    let member = |name: &str| entries.column_by_name(name);
    let texts = |name: &str| member(name).map_or(Texts::Missing, Texts::from_array);
    let (keys, text, json) = (texts("key"), texts("str"), texts("json"));
    let ints: Option<&Int64Array> = member("int").and_then(|column| column.as_primitive_opt::<Int64Type>());
    let doubles: Option<&Float64Array> = member("double").and_then(|column| column.as_primitive_opt::<Float64Type>());
    let bools: Option<&BooleanArray> = member("bool").and_then(|column| column.as_boolean_opt());
    let bytes = member("bytes").and_then(|column| column.as_binary_opt::<i32>());
    let value = |row: usize| {
        if let Some(text) = text.get(row) {
            AttributeValue::String(text.to_owned())
        } else if let Some(ints) = ints.filter(|ints| ints.is_valid(row)) {
            AttributeValue::Int(ints.value(row))
        } else if let Some(doubles) = doubles.filter(|doubles| doubles.is_valid(row)) {
            AttributeValue::Double(doubles.value(row))
        } else if let Some(bools) = bools.filter(|bools| bools.is_valid(row)) {
            AttributeValue::Bool(bools.value(row))
        } else if let Some(bytes) = bytes.filter(|bytes| bytes.is_valid(row)) {
            AttributeValue::Bytes(bytes.value(row).to_vec())
        } else {
            json.get(row)
                .and_then(|text| serde_json::from_str(text).ok())
                .map(|json| value_from_json(&json))
                .unwrap_or_default()
        }
    };
    let mut n_others = 0;
    (0..entries.len())
        .filter_map(|row| {
            let key = keys.text(row);
            if is_wanted(key) {
                return Some(Attribute { key: key.to_owned(), value: value(row) });
            }
            n_others += 1;
            let is_kept = n_others <= others_max && key.len() <= VALUE_BYTES_MAX;
            is_kept.then(|| Attribute { key: key.to_owned(), value: AttributeValue::Empty })
        })
        .collect()
}

/// Attributes of an event or a link as far as the analysis asks for them.
pub(super) fn lean(attributes: &mut Vec<Attribute>) {
    attributes.retain(|attribute| is_asked_for(&attribute.key));
    attributes.iter_mut().for_each(|attribute| shorten(&mut attribute.value));
    attributes.shrink_to_fit();
}

/// Cuts what is longer than anything that is read from a value: of a statement its first words, of a list its first entry.
fn shorten(value: &mut AttributeValue) {
    match value {
        AttributeValue::String(text) if text.len() > VALUE_BYTES_MAX => {
            text.truncate(text.floor_char_boundary(VALUE_BYTES_MAX));
            text.shrink_to_fit();
        }
        AttributeValue::Array(values) => {
            values.truncate(1);
            values.iter_mut().for_each(shorten);
        }
        AttributeValue::Bytes(_) | AttributeValue::Map(_) => *value = AttributeValue::Empty,
        _ => {}
    }
}

/// The columns to select for [`read`]: all of the table.
pub(crate) fn columns() -> Vec<datafusion::logical_expr::Expr> {
    column_names().map(datafusion::prelude::ident).collect()
}

/// Their names.
pub(crate) fn column_names() -> impl Iterator<Item = &'static str> {
    SPANS.columns().iter().map(|column| column.name)
}
