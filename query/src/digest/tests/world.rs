//! A digest that only moves when told to, and what a reader sees of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use api::SqlRequest;
use arrow::array::{ArrayRef, BinaryArray, Int32Array, Int64Array, StringArray};
use model::semconv::{self, On, ValueKind};
use model::{Attribute, AttributeValue, UnixNanos, attributes_to_json};
use serde_json::Value as Json;
use storage::table::SPANS;
use storage::{Batch, Clock, Storage};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::super::desk::Desk;
use super::super::run::{Figures, Task};
use crate::analysis::otlp_fixture;
use crate::analysis::span::Span;
use crate::analysis::thresholds::Bounds;
use crate::config::Config;
use crate::engine::Engine;
use crate::testing::{attribute_list, labels, list, tenant};

pub(super) const SECOND: i64 = UnixNanos::SECOND;
/// When the first span arrives.
pub(super) const BEGIN: i64 = 1_768_471_200 * SECOND;

#[derive(Debug)]
pub(super) struct MovedClock(AtomicI64);

impl Clock for MovedClock {
    fn now(&self) -> UnixNanos {
        UnixNanos(self.0.load(Ordering::Relaxed))
    }
}

/// Spans as the collector stores them, all arrived at one moment.
pub(super) fn stored(spans: &[Span], arrival: i64) -> Batch {
    let ids = |of: &dyn Fn(&Span) -> Option<Vec<u8>>| -> ArrayRef {
        let bytes: Vec<_> = spans.iter().map(of).collect();
        Arc::new(bytes.iter().map(Option::as_deref).collect::<BinaryArray>())
    };
    let ints =
        |of: &dyn Fn(&Span) -> Option<i64>| -> ArrayRef { Arc::new(spans.iter().map(of).collect::<Int64Array>()) };
    let shorts =
        |of: &dyn Fn(&Span) -> i32| -> ArrayRef { Arc::new(spans.iter().map(|s| Some(of(s))).collect::<Int32Array>()) };
    let texts = |of: &dyn Fn(&Span) -> Option<String>| labels(spans.iter().map(of).collect());
    let json = |attributes: &[Attribute]| attributes_to_json(attributes);

    // Attributes with a column of their own go there.
    let mut promoted: Vec<(&'static str, ArrayRef)> = Vec::new();
    let mut moved: Vec<&'static str> = Vec::new();
    for convention in semconv::promoted(On::Item) {
        let Some(column) = convention.column.filter(|column| SPANS.column(column).is_some()) else { continue };
        let value = |span: &Span| {
            let found = span.attributes.iter().find(|attribute| attribute.key == convention.key)?;
            Some(found.value.clone())
        };
        let fits = |value: &AttributeValue| match convention.value {
            ValueKind::Int => matches!(value, AttributeValue::Int(_)),
            ValueKind::Label | ValueKind::Text => matches!(value, AttributeValue::String(_)),
        };
        let values: Vec<_> = spans.iter().map(value).collect();
        if values.iter().flatten().count() == 0 || !values.iter().flatten().all(fits) {
            continue;
        }
        let text = |value: &Option<AttributeValue>| value.as_ref().and_then(|value| value.as_str().map(str::to_owned));
        let array: ArrayRef = match convention.value {
            ValueKind::Int => Arc::new(
                values
                    .iter()
                    .map(|value| if let Some(AttributeValue::Int(value)) = value { Some(*value) } else { None })
                    .collect::<Int64Array>(),
            ),
            ValueKind::Label => labels(values.iter().map(text).collect()),
            ValueKind::Text => Arc::new(values.iter().map(text).collect::<StringArray>()),
        };
        promoted.push((column, array));
        moved.push(convention.key);
    }
    let left: Vec<Vec<(String, AttributeValue)>> = spans
        .iter()
        .map(|span| {
            let kept = span.attributes.iter().filter(|attribute| !moved.contains(&attribute.key.as_str()));
            kept.map(|attribute| (attribute.key.clone(), attribute.value.clone())).collect()
        })
        .collect();

    let events: Vec<_> = spans.iter().flat_map(|span| &span.events).collect();
    let event_columns: Vec<ArrayRef> = vec![
        Arc::new(events.iter().map(|event| Some(event.time.0)).collect::<Int64Array>()),
        Arc::new(events.iter().map(|event| Some(event.name.clone())).collect::<StringArray>()),
        Arc::new(events.iter().map(|event| Some(json(&event.attributes))).collect::<StringArray>()),
        Arc::new(events.iter().map(|_| Some(0)).collect::<Int64Array>()),
    ];
    let links: Vec<_> = spans.iter().flat_map(|span| &span.links).collect();
    let link_columns: Vec<ArrayRef> = vec![
        Arc::new(links.iter().map(|link| Some(link.trace_id.as_bytes().to_vec())).collect::<BinaryArray>()),
        Arc::new(links.iter().map(|link| Some(link.span_id.as_bytes().to_vec())).collect::<BinaryArray>()),
        Arc::new(links.iter().map(|_| Some("")).collect::<StringArray>()),
        Arc::new(links.iter().map(|link| Some(json(&link.attributes))).collect::<StringArray>()),
        Arc::new(links.iter().map(|_| Some(0)).collect::<Int64Array>()),
        Arc::new(links.iter().map(|_| Some(0)).collect::<Int64Array>()),
    ];
    let mut columns: Vec<(&'static str, ArrayRef)> = vec![
        ("trace_id", ids(&|span| Some(span.trace_id.as_bytes().to_vec()))),
        ("span_id", ids(&|span| Some(span.span_id.as_bytes().to_vec()))),
        ("parent_span_id", ids(&|span| span.parent_span_id.map(|id| id.as_bytes().to_vec()))),
        ("name", texts(&|span| Some(span.name.clone()))),
        ("service_name", texts(&|_| Some("shop".to_owned()))),
        ("kind", shorts(&|span| span.kind.code())),
        ("start_time", ints(&|span| Some(span.start.0))),
        ("duration_nanos", ints(&|span| Some(span.end.0 - span.start.0))),
        ("arrival_time", ints(&|_| Some(arrival))),
        ("status_code", shorts(&|span| span.status.code())),
        ("trace_state", texts(&|span| Some(span.trace_state.clone()))),
        ("flags", ints(&|span| Some(i64::from(span.flags)))),
        ("dropped_attributes_count", ints(&|_| Some(0))),
        ("dropped_events_count", ints(&|_| Some(0))),
        ("dropped_links_count", ints(&|_| Some(0))),
        ("event_count", shorts(&|span| span.events.len() as i32)),
        ("link_count", shorts(&|span| span.links.len() as i32)),
        ("attributes", attribute_list(&left)),
        ("events", list(storage::table::events_fields(), event_columns, spans.iter().map(|span| span.events.len()))),
        ("links", list(storage::table::links_fields(), link_columns, spans.iter().map(|span| span.links.len()))),
        ("resource", texts(&|span| Some(format!("{{\"attributes\":{}}}", json(&span.resource.attributes))))),
        ("scope_name", texts(&|span| Some(span.scope.clone()))),
        ("scope", texts(&|_| Some("{}".to_owned()))),
        ("repairs", shorts(&|_| 0)),
    ];
    // Which attributes stand in columns, in sent order, then the others.
    let order = |span: &Span| {
        let moved: Vec<&str> =
            span.attributes.iter().map(|attribute| attribute.key.as_str()).filter(|key| moved.contains(key)).collect();
        (!moved.is_empty()).then(|| format!("{},*", moved.join(",")))
    };
    columns.push(("attribute_order", texts(&order)));
    let environment = |span: &Span| {
        let is_it = |attribute: &&Attribute| attribute.key == semconv::key::DEPLOYMENT_ENVIRONMENT;
        span.resource.attributes.iter().find(is_it).and_then(|attribute| attribute.value.as_str().map(str::to_owned))
    };
    columns.push(("deployment_environment", texts(&environment)));
    columns.extend(promoted);
    Batch::from_columns(&SPANS, spans.len(), columns).expect("a batch of spans")
}

/// Storage, engine and digest that only move when told to.
pub(super) struct World {
    pub(super) clock: Arc<MovedClock>,
    pub(super) storage: Storage,
    pub(super) task: Task,
    pub(super) desk: Desk,
    pub(super) _data: TempDir,
}

impl World {
    pub(super) async fn new() -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(MovedClock(AtomicI64::new(BEGIN)));
        let config = storage::Config { data: data.path().to_owned(), ..storage::Config::default() };
        let storage = Storage::open(config, Arc::<MovedClock>::clone(&clock)).await.expect("a storage");
        let config = Config { threads: 1, ..Config::default() };
        let engine = Engine::new(config, storage.reader(), Arc::<MovedClock>::clone(&clock)).expect("an engine");
        let task = Task {
            engine,
            reader: storage.reader(),
            writer: storage.derived_writer(),
            stop: CancellationToken::new(),
            figures: Arc::new(Figures::default()),
            memory_bytes_max: 64 << 20,
            settle_nanos: 30 * SECOND,
            bounds: Bounds::default(),
        };
        let desk = task.catch_up(&tenant()).await.expect("nothing is there yet");
        Self { clock, storage, task, desk, _data: data }
    }

    /// Spans arrive; the digest is handed them.
    pub(super) async fn arrive(&mut self, spans: &[Span]) {
        let batch = stored(spans, self.clock.now().0);
        let records = batch.records().clone();
        self.storage.appender().append(&tenant(), vec![batch]).await.expect("accepted");
        self.desk.read(&records);
        self.desk.taken_until = self.clock.now().0;
    }

    /// Time passes, and the digest looks at what has settled.
    pub(super) async fn pass(&mut self, nanos: i64) {
        self.clock.0.fetch_add(nanos, Ordering::Relaxed);
        while self.task.step(&mut self.desk, self.clock.now().0, 64 << 20).await.expect("a batch") {}
    }

    /// Everything in memory is lost.
    pub(super) async fn restart(&mut self) {
        self.desk = self.task.catch_up(&tenant()).await.expect("it finds its place");
    }

    pub(super) async fn sql(&self, sql: &str) -> Vec<Vec<Json>> {
        let request = SqlRequest { sql: sql.to_owned(), ..SqlRequest::default() };
        let body = self.task.engine.sql(&tenant(), request, crate::Format::Json).await;
        let body = body.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let (document, _) = body.collect().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let answer: api::SqlAnswer = serde_json::from_slice(&document).expect("JSON");
        assert!(!answer.incomplete, "{sql}: {:?}", answer.incomplete_reason);
        answer
            .rows
            .iter()
            .map(|row| serde_json::to_value(row).expect("JSON"))
            .map(|row| row.as_array().cloned().expect("a row"))
            .collect()
    }

    /// All relations as sorted text, without what counts looks.
    pub(super) async fn relations(&self) -> BTreeMap<&'static str, Vec<String>> {
        let mut relations = BTreeMap::new();
        for table in [
            &storage::table::CALLS,
            &storage::table::HOPS,
            &storage::table::SEGMENTS,
            &storage::table::JOURNEYS,
            &storage::table::FINDINGS,
        ] {
            let columns: Vec<String> = table
                .columns()
                .iter()
                .filter(|column| !matches!(column.name, "revision" | "early"))
                .map(|column| format!("\"{}\"", column.name))
                .collect();
            let rows = self.sql(&format!("SELECT {} FROM {}", columns.join(", "), table.name)).await;
            relations.insert(table.name, sorted(&rows));
        }
        // Exemplars and moments are not taken away by corrections.
        let sums = "SELECT time, src, dst, protocol, system, op, count, errors, faults, p50, p95, p99, network_p50, lag_p95, \
                    request_bytes, response_bytes, environment FROM edge_minutes";
        relations.insert("edge_minutes", sorted(&self.sql(sums).await));
        relations
    }

    pub(super) async fn at_rest(&self) -> String {
        let rows = self.sql("SELECT count(DISTINCT trace_id) FROM digest_traces").await;
        rows[0][0].as_str().unwrap_or_default().to_owned()
    }
}

pub(super) fn sorted(rows: &[Vec<Json>]) -> Vec<String> {
    let mut rows: Vec<String> = rows.iter().map(|row| Json::Array(row.clone()).to_string()).collect();
    rows.sort();
    rows
}

pub(super) fn fixtures() -> Vec<(String, Vec<Span>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/journeys");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("the fixtures").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".otlp.json") {
            let text = std::fs::read_to_string(entry.path()).expect("a fixture");
            found.push((name, otlp_fixture(&text)));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(found.len() >= 12, "{} fixtures", found.len());
    found
}

pub(super) fn difference(
    name: &str,
    told: &BTreeMap<&'static str, Vec<String>>,
    expected: &BTreeMap<&'static str, Vec<String>>,
) {
    for (relation, rows) in expected {
        let missing: Vec<_> = rows.iter().filter(|row| !told[relation].contains(row)).collect();
        let extra: Vec<_> = told[relation].iter().filter(|row| !rows.contains(row)).collect();
        assert!(
            missing.is_empty() && extra.is_empty() && told[relation].len() == rows.len(),
            "{name}: {relation}: {} rows instead of {}\nmissing {missing:#?}\nextra {extra:#?}",
            told[relation].len(),
            rows.len()
        );
    }
}
