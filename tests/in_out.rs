//! What was sent comes out again, field by field, whatever transport it took: through the trace API and through SQL,
//! from the write buffer and from segments.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Exemplar, Metric, exemplar, number_data_point};
use prost::Message as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value as Json, json};

use crate::harness::fixtures::{Fixture, requests};
use crate::harness::otlp::Client;
use crate::harness::{Collector, Request, Server, Transport, canonical, generate, json as otlp_json, sql, wait_for};

/// Sends every fixture and expects each to be taken whole.
async fn send_everything(server: &Server, transport: Transport, fixtures: &[Fixture]) {
    let client = Client::new(server);
    for fixture in fixtures {
        let answer = client.send(transport, &fixture.request).await;
        let accepted = answer.unwrap_or_else(|refused| panic!("{} over {transport:?}: {refused:?}", fixture.name));
        assert_eq!(accepted.rejected, 0, "{} over {transport:?}: {}", fixture.name, accepted.message);
    }
}

/// Every span of the fixtures in one request.
fn all_spans(fixtures: &[Fixture]) -> ExportTraceServiceRequest {
    let groups = fixtures.iter().filter_map(|fixture| match &fixture.request {
        Request::Traces(request) => Some(request.resource_spans.clone()),
        _ => None,
    });
    ExportTraceServiceRequest { resource_spans: groups.flatten().collect() }
}

async fn trace_as(server: &Server, trace_id: &str, accept: &str) -> ExportTraceServiceRequest {
    let url = server.api(&format!("/api/traces/{trace_id}"));
    let response = reqwest::Client::new().get(url).header("accept", accept).send().await.expect("an answer");
    assert_eq!(response.status(), 200, "{trace_id} as {accept}");
    assert_eq!(response.headers()["content-type"], accept, "{trace_id}");
    let body = response.bytes().await.expect("a body");
    if accept == "application/x-protobuf" {
        return ExportTraceServiceRequest::decode(body).expect("OTLP");
    }
    match otlp_json::to_request(&serde_json::from_slice(&body).expect("JSON")) {
        Request::Traces(request) => request,
        other => panic!("{other:?}"),
    }
}

async fn traces_come_out_as_sent(transport: Transport) {
    let server = Collector::with_fast_flush().start();
    let fixtures = requests();
    send_everything(&server, transport, &fixtures).await;
    let traces = canonical::by_trace(&all_spans(&fixtures));
    assert!(traces.len() > 50, "the fixtures were found");
    for place in ["buffer", "segments"] {
        for (trace_id, sent) in &traces {
            for accept in ["application/json", "application/x-protobuf"] {
                let got = trace_as(&server, trace_id, accept).await;
                canonical::assert_same(&format!("{trace_id} from {place} as {accept}"), sent, &got);
            }
        }
        flushed(&server).await;
    }
}

/// Waits until the write buffer is empty: every row stands in a segment.
async fn flushed(server: &Server) {
    wait_for("the buffer to become segments", Duration::from_secs(240), async || {
        let answer = reqwest::get(server.api("/api/status")).await.expect("an answer").bytes().await.expect("a body");
        let status: api::StatusAnswer = serde_json::from_slice(&answer).expect("a status");
        (status.storage.buffer_rows == 0 && status.storage.segments > 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn traces_come_out_as_sent_over_grpc() {
    traces_come_out_as_sent(Transport::Grpc).await;
}

#[tokio::test]
async fn traces_come_out_as_sent_over_http_protobuf() {
    traces_come_out_as_sent(Transport::HttpProtobuf).await;
}

#[tokio::test]
async fn traces_come_out_as_sent_over_http_json() {
    traces_come_out_as_sent(Transport::HttpJson).await;
}

/// Tables that hold what senders sent.
const TAKEN: [&str; 7] =
    ["spans", "logs", "number_points", "histogram_points", "exp_histogram_points", "summary_points", "exemplars"];

/// J15: the same logical request stores the same rows over gRPC, HTTP/protobuf and HTTP/JSON. Only the moment of
/// arrival may differ.
#[tokio::test]
async fn transports_store_the_same_rows() {
    let fixtures = requests();
    let mut stored: Vec<BTreeMap<String, Vec<Vec<String>>>> = Vec::new();
    for transport in Transport::ALL {
        let server = Server::start();
        send_everything(&server, transport, &fixtures).await;
        let tables = reqwest::get(server.api("/api/tables")).await.expect("an answer").bytes().await.expect("a body");
        let tables: api::TablesAnswer = serde_json::from_slice(&tables).expect("tables");
        let mut rows = BTreeMap::new();
        // Tables that analysis derives from these come later, in their own time.
        for table in tables.tables.iter().filter(|table| TAKEN.contains(&table.name.as_str())) {
            let columns = table.columns.iter().map(|column| column.name.as_str());
            let columns: Vec<_> = columns.filter(|name| *name != "arrival_time").collect();
            let all = sql::query(&server, &format!("SELECT {} FROM {}", columns.join(", "), table.name)).await;
            let mut texts = all.to_texts();
            texts.sort();
            rows.insert(table.name.clone(), texts);
        }
        stored.push(rows);
    }
    for table in TAKEN.iter().copied().filter(|table| *table != "exemplars") {
        assert!(!stored[0][table].is_empty(), "{table} holds rows");
    }
    for (other, transport) in stored.iter().zip(Transport::ALL).skip(1) {
        for (table, rows) in other {
            assert_eq!(stored[0][table].len(), rows.len(), "{table}: rows over gRPC and {transport:?}");
            let different = stored[0][table].iter().zip(rows).find(|(grpc, other)| grpc != other);
            assert_eq!(different, None, "{table}: a row over gRPC and {transport:?}");
        }
    }
}

/// Whatever a span may hold comes out again, over each transport: unknown kinds, wrong and mixed types, nested values,
/// odd numbers and odd texts (V8, V21, V22, V23).
#[tokio::test]
async fn odd_spans_come_out_as_sent() {
    let server = Collector::with_fast_flush().start();
    let client = Client::new(&server);
    let mut sent = BTreeMap::new();
    for seed in 1..=60 {
        let transport = Transport::ALL[usize::try_from(seed % 3).expect("small")];
        let trace_id = u128::from(seed) << 64 | 0x0dd;
        let request = generate::odd_request(&mut StdRng::seed_from_u64(seed), trace_id);
        client.send_all(transport, &Request::Traces(request.clone())).await;
        sent.insert(trace_id, (transport, request));
    }
    for place in ["buffer", "segments"] {
        for (trace_id, (transport, sent)) in &sent {
            for accept in ["application/json", "application/x-protobuf"] {
                let got = trace_as(&server, &format!("{trace_id:032x}"), accept).await;
                let what = format!("seed {} over {transport:?} from {place} as {accept}", trace_id >> 64);
                canonical::assert_same(&what, sent, &got);
            }
        }
        flushed(&server).await;
    }
}

// ---- through SQL

/// One text for equal values, however JSON spells them: 64-bit integers may be text or numbers, a JSON column is
/// compared as JSON.
fn shown(value: &Json) -> String {
    match value {
        Json::Null => "null".to_owned(),
        Json::String(text) if text.starts_with(['[', '{']) => {
            serde_json::from_str(text).map_or_else(|_| text.clone(), |json: Json| sorted(&json))
        }
        Json::String(text) => text.clone(),
        Json::Number(number) if !number.is_f64() => number.to_string(),
        Json::Number(number) => number.as_f64().expect("a double").to_string(),
        Json::Array(_) | Json::Object(_) => sorted(value),
        Json::Bool(value) => value.to_string(),
    }
}

/// JSON with members in the order of their keys and numbers as text.
fn sorted(json: &Json) -> String {
    match json {
        Json::Array(items) => format!("[{}]", items.iter().map(sorted).collect::<Vec<_>>().join(",")),
        Json::Object(members) => {
            let members: BTreeMap<_, _> = members.iter().collect();
            let members = members.iter().map(|(key, value)| format!("{key}:{}", sorted(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Json::String(text) => text.clone(),
        Json::Number(number) if number.is_f64() => number.as_f64().expect("a double").to_string(),
        other => other.to_string(),
    }
}

/// Compares the rows of a table with what was sent, both as texts in any order.
async fn compare(server: &Server, table: &str, columns: &[&str], sent: Vec<Vec<Json>>) {
    // Moments are timestamps in SQL; as integers they can be compared to the nanosecond.
    let is_moment = |column: &str| column == "time" || column.ends_with("_time");
    let nanos = |column: &&str| format!("arrow_cast({column}, 'Int64') AS {column}");
    let selected = columns.iter().map(|column| if is_moment(column) { nanos(column) } else { (*column).to_owned() });
    let text = format!("SELECT {} FROM {table}", selected.collect::<Vec<_>>().join(", "));
    let rows = sql::query(server, &text).await;
    let mut stored: Vec<Vec<String>> =
        (0..rows.len()).map(|row| columns.iter().map(|column| shown(rows.get(row, column))).collect()).collect();
    let mut sent: Vec<Vec<String>> = sent.iter().map(|row| row.iter().map(shown).collect()).collect();
    stored.sort();
    sent.sort();
    assert!(!sent.is_empty(), "{table}: something was sent");
    let different = sent.iter().zip(&stored).find(|(sent, stored)| sent != stored);
    if let Some((sent, stored)) = different {
        let cells = columns.iter().zip(sent.iter().zip(stored)).filter(|(_, (sent, stored))| sent != stored);
        panic!("{table}: sent and stored differ in {:#?}\nrow sent: {sent:?}", cells.collect::<Vec<_>>());
    }
    assert_eq!(sent.len(), stored.len(), "{table}: rows sent and stored");
}

fn attributes_json(attributes: &[KeyValue]) -> Json {
    let one = |attribute: &KeyValue| {
        let value = attribute.value.clone().unwrap_or_default();
        json!({ "key": attribute.key, "value": any_json(&value) })
    };
    attributes.iter().map(one).collect()
}

fn any_json(value: &AnyValue) -> Json {
    // The writer of the harness, through the smallest message that holds a value.
    let resource = opentelemetry_proto::tonic::resource::v1::Resource {
        attributes: vec![KeyValue { key: String::new(), value: Some(value.clone()), ..Default::default() }],
        ..Default::default()
    };
    otlp_json::from_resource(Some(&resource))["attributes"][0]["value"].clone()
}

fn optional_text(text: &str) -> Json {
    if text.is_empty() { Json::Null } else { json!(text) }
}

fn id(bytes: &[u8]) -> Json {
    optional_text(&canonical::hex(bytes))
}

/// Every field of a span is a column, an event or a link.
#[tokio::test]
async fn sql_holds_every_field_of_a_span() {
    let server = Server::start();
    let fixtures = requests();
    send_everything(&server, Transport::Grpc, &fixtures).await;
    let mut sent = Vec::new();
    let (mut events, mut links) = (Vec::new(), Vec::new());
    for group in &all_spans(&fixtures).resource_spans {
        for (scope, span) in
            group.scope_spans.iter().flat_map(|scope| scope.spans.iter().map(move |span| (scope, span)))
        {
            let status = span.status.clone().unwrap_or_default();
            let end = span.end_time_unix_nano.max(span.start_time_unix_nano);
            let trace_state = optional_text(&span.trace_state);
            sent.push(vec![
                id(&span.trace_id),
                id(&span.span_id),
                id(&span.parent_span_id),
                json!(span.name),
                json!(span.kind),
                json!(span.start_time_unix_nano),
                json!(end - span.start_time_unix_nano),
                json!(status.code),
                // A status that was sent has a message, if an empty one.
                span.status.as_ref().map_or(Json::Null, |status| json!(status.message)),
                trace_state,
                json!(span.flags),
                json!(span.dropped_attributes_count),
                json!(span.dropped_events_count),
                json!(span.dropped_links_count),
                json!(span.events.len()),
                json!(span.links.len()),
                json!(scope.scope.clone().unwrap_or_default().name),
                optional_text(&group.schema_url),
                optional_text(&scope.schema_url),
                otlp_json::from_resource(group.resource.as_ref()),
            ]);
            for event in &span.events {
                let attributes = attributes_json(&event.attributes);
                events.push(vec![id(&span.span_id), json!(event.name), json!(event.time_unix_nano), attributes]);
            }
            for link in &span.links {
                links.push(vec![id(&span.span_id), id(&link.trace_id), id(&link.span_id)]);
            }
        }
    }
    let columns = [
        "trace_id",
        "span_id",
        "parent_span_id",
        "name",
        "kind",
        "start_time",
        "duration_nanos",
        "status_code",
        "status_message",
        "trace_state",
        "flags",
        "dropped_attributes_count",
        "dropped_events_count",
        "dropped_links_count",
        "event_count",
        "link_count",
        "scope_name",
        "resource_schema_url",
        "scope_schema_url",
        "resource",
    ];
    compare(&server, "spans", &columns, sent).await;
    compare(&server, "events", &["span_id", "name", "time", "attributes"], events).await;
    compare(&server, "links", &["span_id", "linked_trace_id", "linked_span_id"], links).await;
}

/// A value as people read it.
fn display(value: &AnyValue) -> Option<String> {
    match value.value.as_ref()? {
        Any::StringValue(text) => Some(text.clone()),
        Any::BoolValue(value) => Some(value.to_string()),
        Any::IntValue(value) => Some(value.to_string()),
        Any::DoubleValue(value) => Some(value.to_string()),
        // Lists, maps and bytes are read with functions of their own.
        _ => None,
    }
}

/// `attr('key')` finds every attribute of every span by the key that was sent, column or not.
#[tokio::test]
async fn attr_finds_every_attribute() {
    let server = Server::start();
    let fixtures = requests();
    send_everything(&server, Transport::HttpProtobuf, &fixtures).await;
    let mut by_key: BTreeMap<String, BTreeMap<(String, String), String>> = BTreeMap::new();
    for group in &all_spans(&fixtures).resource_spans {
        for span in group.scope_spans.iter().flat_map(|scope| &scope.spans) {
            let place = (canonical::hex(&span.trace_id), canonical::hex(&span.span_id));
            for attribute in &span.attributes {
                let text = display(&attribute.value.clone().unwrap_or_default());
                if let (Some(text), false) = (text, has_alias(&span.attributes, &attribute.key)) {
                    by_key.entry(attribute.key.clone()).or_default().insert(place.clone(), text);
                }
            }
        }
    }
    assert!(by_key.len() > 50, "the fixtures hold many keys");
    for (key, sent) in &by_key {
        let quoted = key.replace('\'', "''");
        let text = format!("SELECT trace_id, span_id, CAST(attr('{quoted}') AS VARCHAR) AS value FROM spans");
        let rows = sql::query(&server, &text).await;
        // Some fixtures use the example ids of the specification: a place may hold several spans.
        let mut found: BTreeMap<_, Vec<&Json>> = BTreeMap::new();
        for row in 0..rows.len() {
            let place = (rows.text(row, "trace_id").to_owned(), rows.text(row, "span_id").to_owned());
            found.entry(place).or_default().push(rows.get(row, "value"));
        }
        for (place, text) in sent {
            let got = &found[place];
            assert!(
                got.iter().any(|got| same_value(got, text)),
                "attr('{key}') of {place:?}: sent {text}, got {got:?}"
            );
        }
    }
}

/// A span that was sent with the old and the new name of one attribute answers with the new one.
fn has_alias(attributes: &[KeyValue], key: &str) -> bool {
    let names = |convention: &&model::semconv::Convention| convention.key == key || convention.replaces.contains(&key);
    let family: BTreeSet<&str> = model::semconv::CONVENTIONS
        .iter()
        .filter(names)
        .flat_map(|convention| std::iter::once(convention.key).chain(convention.replaces.iter().copied()))
        .collect();
    attributes.iter().any(|attribute| attribute.key != key && family.contains(attribute.key.as_str()))
}

/// Text is equal, or both read as the same double.
fn same_value(got: &Json, sent: &str) -> bool {
    let Some(got) = got.as_str() else { return false };
    got == sent || matches!((got.parse::<f64>(), sent.parse::<f64>()), (Ok(got), Ok(sent)) if got == sent)
}

/// Every field of a log record is a column.
#[tokio::test]
async fn sql_holds_every_field_of_a_log_record() {
    let server = Server::start();
    let fixtures = requests();
    send_everything(&server, Transport::HttpJson, &fixtures).await;
    let mut sent = Vec::new();
    for fixture in &fixtures {
        let Request::Logs(request) = &fixture.request else { continue };
        for group in &request.resource_logs {
            for record in group.scope_logs.iter().flat_map(|scope| &scope.log_records) {
                let body = record.body.clone().unwrap_or_default();
                let (text, json) = match &body.value {
                    Some(Any::StringValue(text)) => (json!(text), Json::Null),
                    None => (Json::Null, Json::Null),
                    Some(_) => (Json::Null, any_json(&body)),
                };
                let time = [record.time_unix_nano, record.observed_time_unix_nano].into_iter().find(|time| *time != 0);
                sent.push(vec![
                    json!(time.expect("the fixtures say when")),
                    json!(record.observed_time_unix_nano),
                    json!(record.severity_number),
                    optional_text(&record.severity_text),
                    text,
                    json,
                    optional_text(&record.event_name),
                    id(&record.trace_id),
                    id(&record.span_id),
                    json!(record.flags),
                    otlp_json::from_resource(group.resource.as_ref()),
                ]);
            }
        }
    }
    let columns = [
        "time",
        "observed_time",
        "severity_number",
        "severity_text",
        "body",
        "body_json",
        "event_name",
        "trace_id",
        "span_id",
        "flags",
        "resource",
    ];
    compare(&server, "logs", &columns, sent).await;
}

/// Every kind of metric point, with its series and its exemplars.
#[tokio::test]
async fn sql_holds_every_metric_point() {
    let server = Server::start();
    let fixtures = requests();
    send_everything(&server, Transport::Grpc, &fixtures).await;
    let mut sent = Points::default();
    for fixture in &fixtures {
        let Request::Metrics(request) = &fixture.request else { continue };
        let scopes = request.resource_metrics.iter().flat_map(|group| &group.scope_metrics);
        scopes.flat_map(|group| &group.metrics).for_each(|metric| sent.add(metric));
    }
    let series = ["metric_name", "metric_unit", "metric_description", "attributes", "start_time", "time", "flags"];
    let columns = |own: &[&'static str]| [series.as_slice(), own].concat();
    let own = ["metric_kind", "temporality", "is_monotonic", "value_double", "value_int"];
    compare(&server, "number_points", &columns(&own), sent.numbers).await;
    let own = ["temporality", "count", "sum", "min", "max", "bounds", "bucket_counts"];
    compare(&server, "histogram_points", &columns(&own), sent.histograms).await;
    let own = [
        "temporality",
        "count",
        "sum",
        "min",
        "max",
        "scale",
        "zero_count",
        "zero_threshold",
        "positive_offset",
        "positive_counts",
        "negative_offset",
        "negative_counts",
    ];
    compare(&server, "exp_histogram_points", &columns(&own), sent.exponential).await;
    let own = ["count", "sum", "quantiles", "quantile_values"];
    compare(&server, "summary_points", &columns(&own), sent.summaries).await;
    let own = ["metric_name", "point_time", "time", "trace_id", "span_id", "value_double", "value_int", "attributes"];
    compare(&server, "exemplars", &own, sent.exemplars).await;
}

/// Rows that the sent points must become.
#[derive(Default)]
struct Points {
    numbers: Vec<Vec<Json>>,
    histograms: Vec<Vec<Json>>,
    exponential: Vec<Vec<Json>>,
    summaries: Vec<Vec<Json>>,
    exemplars: Vec<Vec<Json>>,
}

impl Points {
    fn add(&mut self, metric: &Metric) {
        let series = |attributes: &[KeyValue], start: u64, time: u64, flags: u32| {
            vec![
                json!(metric.name),
                json!(metric.unit),
                json!(metric.description),
                attributes_json(attributes),
                json!(start),
                json!(time),
                json!(flags),
            ]
        };
        macro_rules! row {
            ($point:ident, $($value:expr),* $(,)?) => {{
                let mut row = series(&$point.attributes, $point.start_time_unix_nano, $point.time_unix_nano, $point.flags);
                row.extend([$(json!($value)),*]);
                row
            }};
        }
        let data = metric.data.as_ref().expect("the fixtures' metrics have data");
        let (numbers, kind, temporality, is_monotonic) = match data {
            Data::Gauge(gauge) => (gauge.data_points.as_slice(), 1, 0, false),
            Data::Sum(sum) => (sum.data_points.as_slice(), 2, sum.aggregation_temporality, sum.is_monotonic),
            _ => (&[][..], 0, 0, false),
        };
        for point in numbers {
            let (as_double, as_int) = match point.value {
                Some(number_data_point::Value::AsDouble(value)) => (Some(value), None),
                Some(number_data_point::Value::AsInt(value)) => (None, Some(value)),
                None => (None, None),
            };
            self.numbers.push(row!(point, kind, temporality, is_monotonic, as_double, as_int));
            self.add_exemplars(metric, point.time_unix_nano, &point.exemplars);
        }
        match data {
            Data::Histogram(histogram) => {
                for point in &histogram.data_points {
                    let (bounds, counts) = (&point.explicit_bounds, &point.bucket_counts);
                    self.histograms.push(row!(
                        point,
                        histogram.aggregation_temporality,
                        point.count,
                        point.sum,
                        point.min,
                        point.max,
                        bounds,
                        counts
                    ));
                    self.add_exemplars(metric, point.time_unix_nano, &point.exemplars);
                }
            }
            Data::ExponentialHistogram(histogram) => {
                for point in &histogram.data_points {
                    let (positive, negative) = (point.positive.clone(), point.negative.clone());
                    let (positive, negative) = (positive.unwrap_or_default(), negative.unwrap_or_default());
                    self.exponential.push(row!(
                        point,
                        histogram.aggregation_temporality,
                        point.count,
                        point.sum,
                        point.min,
                        point.max,
                        point.scale,
                        point.zero_count,
                        point.zero_threshold,
                        positive.offset,
                        positive.bucket_counts,
                        negative.offset,
                        negative.bucket_counts
                    ));
                    self.add_exemplars(metric, point.time_unix_nano, &point.exemplars);
                }
            }
            Data::Summary(summary) => {
                for point in &summary.data_points {
                    let quantiles: Vec<_> = point.quantile_values.iter().map(|value| value.quantile).collect();
                    let values: Vec<_> = point.quantile_values.iter().map(|value| value.value).collect();
                    self.summaries.push(row!(point, point.count, point.sum, quantiles, values));
                }
            }
            Data::Gauge(_) | Data::Sum(_) => {}
        }
    }

    fn add_exemplars(&mut self, metric: &Metric, point_time: u64, exemplars: &[Exemplar]) {
        for exemplar in exemplars {
            let (as_double, as_int) = match exemplar.value {
                Some(exemplar::Value::AsDouble(value)) => (Some(value), None),
                Some(exemplar::Value::AsInt(value)) => (None, Some(value)),
                None => (None, None),
            };
            self.exemplars.push(vec![
                json!(metric.name),
                json!(point_time),
                json!(exemplar.time_unix_nano),
                id(&exemplar.trace_id),
                id(&exemplar.span_id),
                json!(as_double),
                json!(as_int),
                attributes_json(&exemplar.filtered_attributes),
            ]);
        }
    }
}
