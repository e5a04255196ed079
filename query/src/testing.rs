//! A real storage in a folder of its own, for tests: a few fields per span, everything else as the collector would say.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BinaryBuilder, BooleanBuilder, Float64Builder, Int32Array, Int64Array, Int64Builder,
    ListArray, StringArray, StringBuilder, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields};
use model::{Attribute, AttributeValue, SpanId, TenantId, TraceId, UnixNanos, attributes_to_json, value_to_json};
use storage::table::{Column, Kind, LOGS, SPANS, attributes_fields, events_fields, links_fields};
use storage::{Batch, Clock, Storage};
use tempfile::TempDir;

use crate::config::Config;
use crate::engine::Engine;

/// 2026-01-15T10:00:00Z, the time of every test.
pub(crate) const NOW: UnixNanos = UnixNanos(1_768_471_200_000_000_000);

/// A millisecond.
pub(crate) const MS: i64 = 1_000_000;

#[derive(Debug)]
pub(crate) struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> UnixNanos {
        NOW
    }
}

/// A span of a test.
#[derive(Clone, Debug)]
pub(crate) struct TestSpan {
    pub(crate) trace: u64,
    pub(crate) id: u64,
    pub(crate) parent: Option<u64>,
    pub(crate) service: &'static str,
    pub(crate) name: &'static str,
    pub(crate) kind: i32,
    pub(crate) status: i32,
    /// After [`NOW`] minus one minute.
    pub(crate) start: i64,
    pub(crate) duration: i64,
    pub(crate) sent_start: Option<i64>,
    pub(crate) sent_end: Option<i64>,
    /// Promoted columns: name and value.
    pub(crate) columns: Vec<(&'static str, AttributeValue)>,
    pub(crate) order: Option<&'static str>,
    pub(crate) attributes: Vec<(&'static str, AttributeValue)>,
    pub(crate) events: Vec<(i64, &'static str)>,
    pub(crate) links: Vec<(u64, u64)>,
    pub(crate) resource: Vec<(&'static str, &'static str)>,
}

/// A span with the least said about it.
pub(crate) fn span(trace: u64, id: u64, parent: Option<u64>, name: &'static str, start_ms: i64, ms: i64) -> TestSpan {
    TestSpan {
        trace,
        id,
        parent,
        service: "shop",
        name,
        kind: 1,
        status: 0,
        start: start_ms * MS,
        duration: ms * MS,
        sent_start: None,
        sent_end: None,
        columns: Vec::new(),
        order: None,
        attributes: Vec::new(),
        events: Vec::new(),
        links: Vec::new(),
        resource: Vec::new(),
    }
}

/// Small numbers read well; from 1,000 on ids look random, as real ones do.
pub(crate) fn trace_id(n: u64) -> TraceId {
    let high = if n < 1_000 { 0 } else { mixed(n) };
    TraceId::from_hex(&format!("{high:016x}{n:016x}")).expect("not zero")
}

pub(crate) fn span_id(n: u64) -> SpanId {
    let id = if n < 1_000 { n } else { mixed(n) };
    SpanId::from_hex(&format!("{id:016x}")).expect("not zero")
}

/// Another number for each number, without a pattern (Fibonacci hashing, twice).
const fn mixed(n: u64) -> u64 {
    let n = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (n ^ n >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// Moment of a test span, nanoseconds since 1970.
pub(crate) fn at(start: i64) -> i64 {
    NOW.0 - 60 * UnixNanos::SECOND + start
}

pub(crate) fn attribute_list<K: AsRef<str>>(rows: &[Vec<(K, AttributeValue)>]) -> ArrayRef {
    let (mut keys, mut texts, mut ints, mut doubles) =
        (StringBuilder::new(), StringBuilder::new(), Int64Builder::new(), Float64Builder::new());
    let (mut bools, mut bytes, mut json) = (BooleanBuilder::new(), BinaryBuilder::new(), StringBuilder::new());
    for (key, value) in rows.iter().flatten() {
        keys.append_value(key.as_ref());
        texts.append_option(value.as_str());
        ints.append_option(if let AttributeValue::Int(value) = value { Some(*value) } else { None });
        doubles.append_option(if let AttributeValue::Double(value) = value { Some(*value) } else { None });
        bools.append_option(if let AttributeValue::Bool(value) = value { Some(*value) } else { None });
        bytes.append_option(if let AttributeValue::Bytes(value) = value { Some(value.as_slice()) } else { None });
        let is_nested = matches!(value, AttributeValue::Array(_) | AttributeValue::Map(_));
        json.append_option(is_nested.then(|| value_to_json(value).to_string()));
    }
    let columns: Vec<ArrayRef> = vec![
        Arc::new(keys.finish()),
        Arc::new(texts.finish()),
        Arc::new(ints.finish()),
        Arc::new(doubles.finish()),
        Arc::new(bools.finish()),
        Arc::new(bytes.finish()),
        Arc::new(json.finish()),
    ];
    list(attributes_fields(), columns, rows.iter().map(Vec::len))
}

pub(crate) fn list(fields: Fields, columns: Vec<ArrayRef>, lengths: impl Iterator<Item = usize>) -> ArrayRef {
    let entries = StructArray::new(fields.clone(), columns, None);
    let item = Arc::new(Field::new("element", DataType::Struct(fields), false));
    Arc::new(ListArray::new(item, OffsetBuffer::from_lengths(lengths), Arc::new(entries), None))
}

pub(crate) fn labels(values: Vec<Option<String>>) -> ArrayRef {
    let texts: ArrayRef = Arc::new(StringArray::from(values));
    cast(&texts, &Kind::Label.arrow()).expect("text is dictionary-coded")
}

/// A batch of spans.
pub(crate) fn spans_batch(spans: &[TestSpan]) -> Batch {
    let ids = |values: Vec<Option<Vec<u8>>>| -> ArrayRef {
        Arc::new(values.iter().map(|v| v.as_deref()).collect::<BinaryArray>())
    };
    let ints = |value: &dyn Fn(&TestSpan) -> Option<i64>| -> ArrayRef {
        Arc::new(spans.iter().map(value).collect::<Int64Array>())
    };
    let shorts = |value: &dyn Fn(&TestSpan) -> i32| -> ArrayRef {
        Arc::new(spans.iter().map(|span| Some(value(span))).collect::<Int32Array>())
    };
    let texts = |value: &dyn Fn(&TestSpan) -> Option<String>| labels(spans.iter().map(value).collect());
    let lists: Vec<_> = spans.iter().map(|span| span.attributes.clone()).collect();

    let events: Vec<_> = spans.iter().flat_map(|span| &span.events).collect();
    let event_columns: Vec<ArrayRef> = vec![
        Arc::new(events.iter().map(|(time, _)| Some(at(*time))).collect::<Int64Array>()),
        Arc::new(events.iter().map(|(_, name)| Some(*name)).collect::<StringArray>()),
        Arc::new(
            events
                .iter()
                .map(|_| Some("[{\"key\":\"exception.message\",\"value\":{\"stringValue\":\"boom\"}}]"))
                .collect::<StringArray>(),
        ),
        Arc::new(events.iter().map(|_| Some(0)).collect::<Int64Array>()),
    ];
    let links: Vec<_> = spans.iter().flat_map(|span| &span.links).collect();
    let link_columns: Vec<ArrayRef> = vec![
        Arc::new(links.iter().map(|(trace, _)| Some(trace_id(*trace).as_bytes().to_vec())).collect::<BinaryArray>()),
        Arc::new(links.iter().map(|(_, span)| Some(span_id(*span).as_bytes().to_vec())).collect::<BinaryArray>()),
        Arc::new(links.iter().map(|_| Some("")).collect::<StringArray>()),
        Arc::new(links.iter().map(|_| Some("[]")).collect::<StringArray>()),
        Arc::new(links.iter().map(|_| Some(0)).collect::<Int64Array>()),
        Arc::new(links.iter().map(|_| Some(1)).collect::<Int64Array>()),
    ];
    let resource = |span: &TestSpan| {
        let mut list =
            vec![Attribute { key: "service.name".into(), value: AttributeValue::String(span.service.into()) }];
        list.extend(
            span.resource
                .iter()
                .map(|(key, value)| Attribute { key: (*key).into(), value: AttributeValue::String((*value).into()) }),
        );
        format!("{{\"attributes\":{}}}", attributes_to_json(&list))
    };
    let mut columns: Vec<(&'static str, ArrayRef)> = vec![
        ("trace_id", ids(spans.iter().map(|span| Some(trace_id(span.trace).as_bytes().to_vec())).collect())),
        ("span_id", ids(spans.iter().map(|span| Some(span_id(span.id).as_bytes().to_vec())).collect())),
        (
            "parent_span_id",
            ids(spans.iter().map(|span| span.parent.map(|id| span_id(id).as_bytes().to_vec())).collect()),
        ),
        ("name", texts(&|span| Some(span.name.to_owned()))),
        ("service_name", texts(&|span| Some(span.service.to_owned()))),
        ("kind", shorts(&|span| span.kind)),
        ("start_time", ints(&|span| Some(at(span.start)))),
        ("duration_nanos", ints(&|span| Some(span.duration))),
        ("sent_start_time", ints(&|span| span.sent_start)),
        ("sent_end_time", ints(&|span| span.sent_end)),
        ("arrival_time", ints(&|span| Some(at(span.start + span.duration)))),
        ("status_code", shorts(&|span| span.status)),
        ("flags", ints(&|_| Some(257))),
        ("dropped_attributes_count", ints(&|_| Some(0))),
        ("dropped_events_count", ints(&|_| Some(0))),
        ("dropped_links_count", ints(&|_| Some(0))),
        ("event_count", shorts(&|span| span.events.len() as i32)),
        ("link_count", shorts(&|span| span.links.len() as i32)),
        ("attributes", attribute_list(&lists)),
        ("attribute_order", texts(&|span| span.order.map(str::to_owned))),
        ("events", list(events_fields(), event_columns, spans.iter().map(|span| span.events.len()))),
        ("links", list(links_fields(), link_columns, spans.iter().map(|span| span.links.len()))),
        ("resource", cast(&texts(&|span| Some(resource(span))), &Kind::Json.arrow()).expect("text")),
        ("scope_name", texts(&|_| Some("tests".to_owned()))),
        ("scope", texts(&|_| Some("{\"name\":\"tests\",\"version\":\"1\"}".to_owned()))),
        ("repairs", shorts(&|_| 0)),
    ];
    for Column { name, kind, .. } in SPANS.columns() {
        let value =
            |span: &TestSpan| span.columns.iter().find(|(column, _)| column == name).map(|(_, value)| value.clone());
        if !spans.iter().any(|span| value(span).is_some()) {
            continue;
        }
        let int = |span: &TestSpan| if let Some(AttributeValue::Int(value)) = value(span) { Some(value) } else { None };
        let text = |span: &TestSpan| value(span).map(|value| value.to_display());
        let column = match kind {
            Kind::Int64 => ints(&int),
            Kind::Text => Arc::new(spans.iter().map(text).collect::<StringArray>()),
            _ => texts(&text),
        };
        columns.push((name, column));
    }
    Batch::from_columns(&SPANS, spans.len(), columns).expect("a batch of spans")
}

/// A log record of a span.
pub(crate) fn logs_batch(trace: u64, span: u64, time: i64, body: &str) -> Batch {
    let one = |value: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![value])) };
    let label = |value: &str| labels(vec![Some(value.to_owned())]);
    let columns: Vec<(&'static str, ArrayRef)> = vec![
        ("time", one(at(time))),
        ("observed_time", one(0)),
        ("arrival_time", one(at(time))),
        ("service_name", label("shop")),
        ("severity_number", Arc::new(Int32Array::from(vec![17]))),
        ("body", Arc::new(StringArray::from(vec![body]))),
        ("trace_id", Arc::new(BinaryArray::from(vec![&trace_id(trace).as_bytes()[..]]))),
        ("span_id", Arc::new(BinaryArray::from(vec![&span_id(span).as_bytes()[..]]))),
        ("flags", one(0)),
        ("dropped_attributes_count", one(0)),
        ("attributes", attribute_list(&[vec![("logger", AttributeValue::String("cart".into()))]])),
        ("resource", label("{}")),
        ("scope_name", label("")),
        ("scope", label("{}")),
        ("repairs", Arc::new(Int32Array::from(vec![0]))),
    ];
    Batch::from_columns(&LOGS, 1, columns).expect("a batch of logs")
}

/// A storage of its own with an engine over it.
#[derive(Debug)]
pub(crate) struct Fixture {
    pub(crate) engine: Engine,
    pub(crate) storage: Storage,
    data: TempDir,
}

impl Fixture {
    /// A storage that holds the batches in its write buffer.
    pub(crate) async fn new(batches: Vec<Batch>) -> Self {
        Self::with_config(Config { threads: 2, ..Config::default() }, batches).await
    }

    pub(crate) async fn with_config(config: Config, batches: Vec<Batch>) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let storage = Storage::open(storage_config(&data), Arc::new(FixedClock)).await.expect("a storage");
        for batch in batches {
            storage.appender().append(&tenant(), vec![batch]).await.expect("accepted");
        }
        let engine = Engine::new(config, storage.reader(), Arc::new(FixedClock)).expect("an engine");
        Self { engine, storage, data }
    }

    /// The same rows, in segments.
    pub(crate) async fn flushed(self) -> Self {
        let Self { engine, storage, data } = self;
        storage.close().await.expect("closed");
        let storage = Storage::open(storage_config(&data), Arc::new(FixedClock)).await.expect("a storage");
        let engine = Engine::new(engine.config().clone(), storage.reader(), Arc::new(FixedClock)).expect("an engine");
        Self { engine, storage, data }
    }

    /// Adds rows to the write buffer.
    pub(crate) async fn append(&self, batch: Batch) {
        self.storage.appender().append(&tenant(), vec![batch]).await.expect("accepted");
    }

    /// Half of the spans in segments, the other half in the buffer.
    pub(crate) async fn mixed(spans: &[TestSpan]) -> Self {
        let (first, second) = spans.split_at(spans.len() / 2);
        let fixture = Self::new(vec![spans_batch(first)]).await.flushed().await;
        fixture.append(spans_batch(second)).await;
        fixture
    }
}

fn storage_config(data: &TempDir) -> storage::Config {
    storage::Config { data: data.path().to_owned(), ..storage::Config::default() }
}

/// The tenant of every test.
pub(crate) fn tenant() -> TenantId {
    TenantId::default_tenant()
}
