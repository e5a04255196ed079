//! Rows back to messages: the inverse of the mapping, written independently of it from the meaning of the
//! columns. Only for tests; the query room has its own.

use arrow::array::{
    Array, BinaryArray, BooleanArray, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
    StructArray,
};
use arrow::datatypes::DataType;
use model::attribute_order;
use model::semconv::Convention;
use model::{Attribute, AttributeValue, attributes_from_json, value_from_json};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, Sum, Summary, SummaryDataPoint, exemplar, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use prost::Message as _;
use serde_json::Value as Json;
use storage::Batch;

/// An item with where it came from.
pub(super) type From<T> = (Resource, String, InstrumentationScope, String, T);

/// One row.
struct Row<'a> {
    records: &'a RecordBatch,
    at: usize,
}

impl Row<'_> {
    fn column(&self, name: &str) -> arrow::array::ArrayRef {
        self.records.column_by_name(name).unwrap_or_else(|| panic!("no column {name}")).slice(self.at, 1)
    }

    fn text(&self, name: &str) -> Option<String> {
        let plain = arrow::compute::cast(&self.column(name), &DataType::Utf8).expect("text");
        let plain = plain.as_any().downcast_ref::<StringArray>().expect("text");
        plain.is_valid(0).then(|| plain.value(0).to_owned())
    }

    fn some_text(&self, name: &str) -> String {
        self.text(name).unwrap_or_default()
    }

    fn int(&self, name: &str) -> Option<i64> {
        let column = self.column(name);
        let column = column.as_any().downcast_ref::<Int64Array>().expect("Int64");
        column.is_valid(0).then(|| column.value(0))
    }

    fn long(&self, name: &str) -> i64 {
        self.int(name).unwrap_or_else(|| panic!("{name} is null"))
    }

    fn short(&self, name: &str) -> i32 {
        self.column(name).as_any().downcast_ref::<Int32Array>().expect("Int32").value(0)
    }

    fn double(&self, name: &str) -> Option<f64> {
        let column = self.column(name);
        let column = column.as_any().downcast_ref::<Float64Array>().expect("Float64");
        column.is_valid(0).then(|| column.value(0))
    }

    fn bool(&self, name: &str) -> bool {
        self.column(name).as_any().downcast_ref::<BooleanArray>().expect("Boolean").value(0)
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        let column = self.column(name);
        let column = column.as_any().downcast_ref::<BinaryArray>().expect("Binary");
        if column.is_valid(0) { column.value(0).to_vec() } else { Vec::new() }
    }

    fn list(&self, name: &str) -> arrow::array::ArrayRef {
        self.column(name).as_any().downcast_ref::<ListArray>().expect("a list").value(0)
    }

    fn doubles(&self, name: &str) -> Vec<f64> {
        self.list(name).as_any().downcast_ref::<Float64Array>().expect("doubles").values().to_vec()
    }

    fn counts(&self, name: &str) -> Vec<u64> {
        let list = self.list(name);
        list.as_any().downcast_ref::<Int64Array>().expect("ints").values().iter().map(|n| n.cast_unsigned()).collect()
    }

    /// The items of a list of structs, each as a row of its own.
    fn items(&self, name: &str) -> RecordBatch {
        RecordBatch::from(self.list(name).as_any().downcast_ref::<StructArray>().expect("structs"))
    }

    fn origin<T>(&self, item: T) -> From<T> {
        let resource: Json = serde_json::from_str(&self.some_text("resource")).expect("JSON");
        let scope: Json = serde_json::from_str(&self.some_text("scope")).expect("JSON");
        let count = |json: &Json| json["droppedAttributesCount"].as_u64().unwrap_or(0) as u32;
        let text = |json: &Json| json.as_str().unwrap_or_default().to_owned();
        let texts = |json: &Json| json.as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
        let entity_refs = resource["entityRefs"].as_array().into_iter().flatten();
        let entity_refs = entity_refs.map(|entity| opentelemetry_proto::tonic::common::v1::EntityRef {
            schema_url: text(&entity["schemaUrl"]),
            r#type: text(&entity["type"]),
            id_keys: texts(&entity["idKeys"]),
            description_keys: texts(&entity["descriptionKeys"]),
        });
        assert_eq!(self.some_text("scope_name"), text(&scope["name"]));
        (
            Resource {
                attributes: list_to_otlp(attributes_from_json(&resource["attributes"].to_string())),
                dropped_attributes_count: count(&resource),
                entity_refs: entity_refs.collect(),
            },
            self.some_text("resource_schema_url"),
            InstrumentationScope {
                name: text(&scope["name"]),
                version: text(&scope["version"]),
                attributes: list_to_otlp(attributes_from_json(&scope["attributes"].to_string())),
                dropped_attributes_count: count(&scope),
            },
            self.some_text("scope_schema_url"),
            item,
        )
    }

    /// Columns and list together, in sent order.
    fn attributes(&self) -> Vec<KeyValue> {
        let list = self.items("attributes");
        let entry = |at| {
            let entry = Row { records: &list, at };
            let value = if let Some(text) = entry.text("str") {
                AttributeValue::String(text)
            } else if let Some(int) = entry.int("int") {
                AttributeValue::Int(int)
            } else if let Some(double) = entry.double("double") {
                AttributeValue::Double(double)
            } else if entry.column("bool").is_valid(0) {
                AttributeValue::Bool(entry.bool("bool"))
            } else if entry.column("bytes").is_valid(0) {
                AttributeValue::Bytes(entry.bytes("bytes"))
            } else if let Some(text) = entry.text("json") {
                value_from_json(&serde_json::from_str(&text).expect("JSON"))
            } else {
                AttributeValue::Empty
            };
            Attribute { key: entry.some_text("key"), value }
        };
        let column = |convention: &'static Convention| {
            let name = convention.column?;
            match self.column(name).data_type() {
                DataType::Int64 => self.int(name).map(AttributeValue::Int),
                _ => self.text(name).map(AttributeValue::String),
            }
        };
        let list = (0..list.num_rows()).map(entry).collect::<Vec<_>>();
        list_to_otlp(attribute_order::restore(self.text("attribute_order").as_deref(), column, list))
    }
}

fn rows(batch: &Batch) -> impl Iterator<Item = Row<'_>> {
    (0..batch.n_rows()).map(|at| Row { records: batch.records(), at })
}

/// Every span of the batches.
pub(super) fn spans(batches: &[Batch]) -> Vec<From<Span>> {
    batches.iter().flat_map(rows).map(|row| row.origin(span(&row))).collect()
}

fn span(row: &Row<'_>) -> Span {
    let (start, duration) = (row.long("start_time"), row.long("duration_nanos"));
    let events = row.items("events");
    let links = row.items("links");
    let event = |at| {
        let row = Row { records: &events, at };
        Event {
            time_unix_nano: row.long("time").cast_unsigned(),
            name: row.some_text("name"),
            attributes: list_to_otlp(attributes_from_json(&row.some_text("attributes"))),
            dropped_attributes_count: row.long("dropped_attributes_count") as u32,
        }
    };
    let link = |at| {
        let row = Row { records: &links, at };
        Link {
            trace_id: row.bytes("trace_id"),
            span_id: row.bytes("span_id"),
            trace_state: row.some_text("trace_state"),
            attributes: list_to_otlp(attributes_from_json(&row.some_text("attributes"))),
            dropped_attributes_count: row.long("dropped_attributes_count") as u32,
            flags: row.long("flags") as u32,
        }
    };
    assert_eq!(
        (row.short("event_count"), row.short("link_count")),
        (events.num_rows() as i32, links.num_rows() as i32)
    );
    Span {
        trace_id: row.bytes("trace_id"),
        span_id: row.bytes("span_id"),
        trace_state: row.some_text("trace_state"),
        parent_span_id: row.bytes("parent_span_id"),
        flags: row.long("flags") as u32,
        name: row.some_text("name"),
        kind: row.short("kind"),
        start_time_unix_nano: row.int("sent_start_time").unwrap_or(start).cast_unsigned(),
        end_time_unix_nano: row.int("sent_end_time").unwrap_or(start.wrapping_add(duration)).cast_unsigned(),
        attributes: row.attributes(),
        dropped_attributes_count: row.long("dropped_attributes_count") as u32,
        events: (0..events.num_rows()).map(event).collect(),
        dropped_events_count: row.long("dropped_events_count") as u32,
        links: (0..links.num_rows()).map(link).collect(),
        dropped_links_count: row.long("dropped_links_count") as u32,
        status: row.text("status_message").map(|message| Status { message, code: row.short("status_code") }),
    }
}

/// Every log record of the batches.
pub(super) fn logs(batches: &[Batch]) -> Vec<From<LogRecord>> {
    batches.iter().flat_map(rows).map(|row| row.origin(log(&row))).collect()
}

fn log(row: &Row<'_>) -> LogRecord {
    let body = match (row.text("body"), row.text("body_json")) {
        (Some(text), None) => Some(AnyValue { value: Some(Value::StringValue(text)) }),
        (None, Some(text)) => Some(value_to_otlp(value_from_json(&serde_json::from_str(&text).expect("JSON")))),
        (None, None) => None,
        (Some(_), Some(_)) => panic!("a body is text or something else"),
    };
    LogRecord {
        time_unix_nano: row.int("sent_time").unwrap_or_else(|| row.long("time")).cast_unsigned(),
        observed_time_unix_nano: row.long("observed_time").cast_unsigned(),
        severity_number: row.short("severity_number"),
        severity_text: row.some_text("severity_text"),
        body,
        attributes: row.attributes(),
        dropped_attributes_count: row.long("dropped_attributes_count") as u32,
        flags: row.long("flags") as u32,
        trace_id: row.bytes("trace_id"),
        span_id: row.bytes("span_id"),
        event_name: row.some_text("event_name"),
    }
}

/// Every data point of the batches as a metric with this one point, sorted.
pub(super) fn points(batches: &[Batch]) -> Vec<String> {
    let exemplars: Vec<(i64, i64, Exemplar)> = batches
        .iter()
        .filter(|batch| batch.table().name == "exemplars")
        .flat_map(rows)
        .map(|row| exemplar(&row))
        .collect();
    let tables = batches.iter().filter(|batch| batch.table().name != "exemplars");
    let metric = |batch: &'static str, row: Row<'_>| format!("{:?}", row.origin(metric(batch, &row, &exemplars)));
    sorted(tables.flat_map(|batch| rows(batch).map(|row| metric(batch.table().name, row))).collect())
}

fn exemplar(row: &Row<'_>) -> (i64, i64, Exemplar) {
    let value = match (row.double("value_double"), row.int("value_int")) {
        (Some(double), None) => Some(exemplar::Value::AsDouble(double)),
        (None, Some(int)) => Some(exemplar::Value::AsInt(int)),
        _ => None,
    };
    let exemplar = Exemplar {
        filtered_attributes: list_to_otlp(attributes_from_json(&row.some_text("attributes"))),
        time_unix_nano: row.int("sent_time").unwrap_or_else(|| row.long("time")).cast_unsigned(),
        span_id: row.bytes("span_id"),
        trace_id: row.bytes("trace_id"),
        value,
    };
    (row.long("series_id"), row.long("point_time"), exemplar)
}

fn metric(table: &str, row: &Row<'_>, exemplars: &[(i64, i64, Exemplar)]) -> Metric {
    let attributes = list_to_otlp(attributes_from_json(&row.some_text("attributes")));
    let (start_time_unix_nano, time_unix_nano) =
        (row.long("start_time").cast_unsigned(), row.long("time").cast_unsigned());
    let flags = row.long("flags") as u32;
    let own = |(series_id, point_time, _): &&(i64, i64, Exemplar)| {
        (*series_id, *point_time) == (row.long("series_id"), row.long("time"))
    };
    let exemplars: Vec<Exemplar> = exemplars.iter().filter(own).map(|(.., exemplar)| exemplar.clone()).collect();
    let data = match table {
        "number_points" => {
            let value = match (row.double("value_double"), row.int("value_int")) {
                (Some(double), None) => Some(number_data_point::Value::AsDouble(double)),
                (None, Some(int)) => Some(number_data_point::Value::AsInt(int)),
                _ => None,
            };
            let data_points =
                vec![NumberDataPoint { attributes, start_time_unix_nano, time_unix_nano, exemplars, flags, value }];
            match row.short("metric_kind") {
                1 => Data::Gauge(Gauge { data_points }),
                _ => Data::Sum(Sum {
                    data_points,
                    aggregation_temporality: row.short("temporality"),
                    is_monotonic: row.bool("is_monotonic"),
                }),
            }
        }
        "histogram_points" => Data::Histogram(Histogram {
            data_points: vec![HistogramDataPoint {
                attributes,
                start_time_unix_nano,
                time_unix_nano,
                count: row.long("count").cast_unsigned(),
                sum: row.double("sum"),
                bucket_counts: row.counts("bucket_counts"),
                explicit_bounds: row.doubles("bounds"),
                exemplars,
                flags,
                min: row.double("min"),
                max: row.double("max"),
            }],
            aggregation_temporality: row.short("temporality"),
        }),
        "exp_histogram_points" => {
            let side = |name: &str| Buckets {
                offset: row.short(&format!("{name}_offset")),
                bucket_counts: row.counts(&format!("{name}_counts")),
            };
            Data::ExponentialHistogram(ExponentialHistogram {
                data_points: vec![ExponentialHistogramDataPoint {
                    attributes,
                    start_time_unix_nano,
                    time_unix_nano,
                    count: row.long("count").cast_unsigned(),
                    sum: row.double("sum"),
                    scale: row.short("scale"),
                    zero_count: row.long("zero_count").cast_unsigned(),
                    positive: row.bool("has_positive").then(|| side("positive")),
                    negative: row.bool("has_negative").then(|| side("negative")),
                    flags,
                    exemplars,
                    min: row.double("min"),
                    max: row.double("max"),
                    zero_threshold: row.double("zero_threshold").expect("always"),
                }],
                aggregation_temporality: row.short("temporality"),
            })
        }
        "summary_points" => {
            let quantiles = row.doubles("quantiles").into_iter().zip(row.doubles("quantile_values"));
            Data::Summary(Summary {
                data_points: vec![SummaryDataPoint {
                    attributes,
                    start_time_unix_nano,
                    time_unix_nano,
                    count: row.long("count").cast_unsigned(),
                    sum: row.double("sum").expect("always"),
                    quantile_values: quantiles.map(|(quantile, value)| ValueAtQuantile { quantile, value }).collect(),
                    flags,
                }],
            })
        }
        other => panic!("no points in {other}"),
    };
    Metric {
        name: row.some_text("metric_name"),
        description: row.some_text("metric_description"),
        unit: row.some_text("metric_unit"),
        metadata: list_to_otlp(attributes_from_json(&row.some_text("metric_metadata"))),
        data: Some(data),
    }
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

/// The spans of a request, as they must read back.
pub(super) fn sent_spans(protobuf: &[u8]) -> Vec<From<Span>> {
    let request = ExportTraceServiceRequest::decode(protobuf).expect("valid");
    let mut items = Vec::new();
    for resource in request.resource_spans {
        for scope in resource.scope_spans {
            items.extend(scope.spans.into_iter().map(|span| {
                let of = resource.resource.clone().unwrap_or_default();
                (
                    of,
                    resource.schema_url.clone(),
                    scope.scope.clone().unwrap_or_default(),
                    scope.schema_url.clone(),
                    span,
                )
            }));
        }
    }
    items
}

/// The log records of a request.
pub(super) fn sent_logs(protobuf: &[u8]) -> Vec<From<LogRecord>> {
    let request = ExportLogsServiceRequest::decode(protobuf).expect("valid");
    let mut items = Vec::new();
    for resource in request.resource_logs {
        for scope in resource.scope_logs {
            items.extend(scope.log_records.into_iter().map(|mut record| {
                // All zero means the same as empty.
                for id in [&mut record.trace_id, &mut record.span_id] {
                    if id.iter().all(|byte| *byte == 0) {
                        id.clear();
                    }
                }
                let of = resource.resource.clone().unwrap_or_default();
                (
                    of,
                    resource.schema_url.clone(),
                    scope.scope.clone().unwrap_or_default(),
                    scope.schema_url.clone(),
                    record,
                )
            }));
        }
    }
    items
}

/// The data points of a request, each as a metric with this one point, sorted.
pub(super) fn sent_points(protobuf: &[u8]) -> Vec<String> {
    let request = ExportMetricsServiceRequest::decode(protobuf).expect("valid");
    let mut lines = Vec::new();
    for resource in request.resource_metrics {
        for scope in resource.scope_metrics {
            for metric in scope.metrics {
                for data in single_points(metric.data.clone().expect("data")) {
                    let of = resource.resource.clone().unwrap_or_default();
                    let metric = Metric { data: Some(data), ..metric.clone() };
                    let scope_of = scope.scope.clone().unwrap_or_default();
                    lines.push(format!(
                        "{:?}",
                        (of, resource.schema_url.clone(), scope_of, scope.schema_url.clone(), metric)
                    ));
                }
            }
        }
    }
    sorted(lines)
}

fn single_points(data: Data) -> Vec<Data> {
    match data {
        Data::Gauge(gauge) => {
            gauge.data_points.into_iter().map(|point| Data::Gauge(Gauge { data_points: vec![point] })).collect()
        }
        Data::Sum(sum) => {
            let (aggregation_temporality, is_monotonic) = (sum.aggregation_temporality, sum.is_monotonic);
            let one = |point| Data::Sum(Sum { data_points: vec![point], aggregation_temporality, is_monotonic });
            sum.data_points.into_iter().map(one).collect()
        }
        Data::Histogram(histogram) => {
            let aggregation_temporality = histogram.aggregation_temporality;
            let one = |point| Data::Histogram(Histogram { data_points: vec![point], aggregation_temporality });
            histogram.data_points.into_iter().map(one).collect()
        }
        Data::ExponentialHistogram(histogram) => {
            let aggregation_temporality = histogram.aggregation_temporality;
            let one = |point| {
                Data::ExponentialHistogram(ExponentialHistogram { data_points: vec![point], aggregation_temporality })
            };
            histogram.data_points.into_iter().map(one).collect()
        }
        Data::Summary(summary) => {
            summary.data_points.into_iter().map(|point| Data::Summary(Summary { data_points: vec![point] })).collect()
        }
    }
}

pub(super) fn list_to_otlp(list: Vec<Attribute>) -> Vec<KeyValue> {
    let entry =
        |entry: Attribute| KeyValue { key: entry.key, value: Some(value_to_otlp(entry.value)), ..KeyValue::default() };
    list.into_iter().map(entry).collect()
}

pub(super) fn value_to_otlp(value: AttributeValue) -> AnyValue {
    let value = match value {
        AttributeValue::Empty => None,
        AttributeValue::String(text) => Some(Value::StringValue(text)),
        AttributeValue::Bool(value) => Some(Value::BoolValue(value)),
        AttributeValue::Int(value) => Some(Value::IntValue(value)),
        AttributeValue::Double(value) => Some(Value::DoubleValue(value)),
        AttributeValue::Bytes(bytes) => Some(Value::BytesValue(bytes)),
        AttributeValue::Array(values) => {
            Some(Value::ArrayValue(ArrayValue { values: values.into_iter().map(value_to_otlp).collect() }))
        }
        AttributeValue::Map(entries) => Some(Value::KvlistValue(KeyValueList { values: list_to_otlp(entries) })),
    };
    AnyValue { value }
}
