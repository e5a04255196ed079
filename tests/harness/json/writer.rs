//! Messages to OTLP/JSON: a member that is null is left out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, SummaryDataPoint, exemplar, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use serde_json::{Map, Value as Json, json};

use crate::harness::Request;

/// Writes a request with integers of 64 bits as text, ids as lower-case hex, and without defaults.
pub fn from_request(request: &Request) -> Json {
    match request {
        Request::Traces(request) => object([("resourceSpans", many(&request.resource_spans, from_resource_spans))]),
        Request::Metrics(request) => {
            object([("resourceMetrics", many(&request.resource_metrics, from_resource_metrics))])
        }
        Request::Logs(request) => object([("resourceLogs", many(&request.resource_logs, from_resource_logs))]),
    }
}

fn object<const N: usize>(members: [(&str, Json); N]) -> Json {
    let members = members.into_iter().filter(|(_, value)| !value.is_null());
    Json::Object(members.map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>())
}

fn many<T>(items: &[T], write: impl Fn(&T) -> Json) -> Json {
    if items.is_empty() { Json::Null } else { items.iter().map(write).collect() }
}

fn from_text(text: &str) -> Json {
    if text.is_empty() { Json::Null } else { json!(text) }
}

fn from_unsigned(number: u64) -> Json {
    if number == 0 { Json::Null } else { json!(number.to_string()) }
}

fn from_small(number: impl Into<i64>) -> Json {
    match number.into() {
        0 => Json::Null,
        number => json!(number),
    }
}

fn from_double(number: f64) -> Json {
    match serde_json::Number::from_f64(number) {
        Some(number) => Json::Number(number),
        None if number.is_nan() => json!("NaN"),
        None if number > 0.0 => json!("Infinity"),
        None => json!("-Infinity"),
    }
}

fn from_bytes(bytes: &[u8]) -> Json {
    from_text(&crate::harness::canonical::hex(bytes))
}

fn from_any(value: &AnyValue) -> Json {
    match &value.value {
        None | Some(Any::StringValueStrindex(_)) => json!({}),
        Some(Any::StringValue(text)) => json!({ "stringValue": text }),
        Some(Any::BoolValue(value)) => json!({ "boolValue": value }),
        Some(Any::IntValue(value)) => json!({ "intValue": value.to_string() }),
        Some(Any::DoubleValue(value)) => json!({ "doubleValue": from_double(*value) }),
        Some(Any::BytesValue(bytes)) => json!({ "bytesValue": BASE64.encode(bytes) }),
        Some(Any::ArrayValue(array)) => {
            json!({ "arrayValue": { "values": array.values.iter().map(from_any).collect::<Vec<_>>() } })
        }
        Some(Any::KvlistValue(entries)) => {
            json!({ "kvlistValue": { "values": entries.values.iter().map(from_attribute).collect::<Vec<_>>() } })
        }
    }
}

fn from_attribute(attribute: &KeyValue) -> Json {
    json!({ "key": attribute.key, "value": attribute.value.as_ref().map_or_else(|| json!({}), from_any) })
}

/// A resource as OTLP/JSON; `{}` when nothing is set.
pub fn from_resource(resource: Option<&Resource>) -> Json {
    resource.map_or_else(
        || json!({}),
        |resource| {
            object([
                ("attributes", many(&resource.attributes, from_attribute)),
                ("droppedAttributesCount", from_small(resource.dropped_attributes_count)),
            ])
        },
    )
}

/// A scope as OTLP/JSON; `{}` when nothing is set.
pub fn from_scope(scope: Option<&InstrumentationScope>) -> Json {
    scope.map_or_else(
        || json!({}),
        |scope| {
            object([
                ("name", from_text(&scope.name)),
                ("version", from_text(&scope.version)),
                ("attributes", many(&scope.attributes, from_attribute)),
                ("droppedAttributesCount", from_small(scope.dropped_attributes_count)),
            ])
        },
    )
}

fn from_resource_spans(group: &ResourceSpans) -> Json {
    let from_scope_spans = |group: &ScopeSpans| {
        object([
            ("scope", from_scope(group.scope.as_ref())),
            ("spans", many(&group.spans, from_span)),
            ("schemaUrl", from_text(&group.schema_url)),
        ])
    };
    object([
        ("resource", from_resource(group.resource.as_ref())),
        ("scopeSpans", many(&group.scope_spans, from_scope_spans)),
        ("schemaUrl", from_text(&group.schema_url)),
    ])
}

/// A span as OTLP/JSON.
pub fn from_span(span: &Span) -> Json {
    let from_event = |event: &Event| {
        object([
            ("timeUnixNano", from_unsigned(event.time_unix_nano)),
            ("name", from_text(&event.name)),
            ("attributes", many(&event.attributes, from_attribute)),
            ("droppedAttributesCount", from_small(event.dropped_attributes_count)),
        ])
    };
    let from_link = |link: &Link| {
        object([
            ("traceId", from_bytes(&link.trace_id)),
            ("spanId", from_bytes(&link.span_id)),
            ("traceState", from_text(&link.trace_state)),
            ("attributes", many(&link.attributes, from_attribute)),
            ("droppedAttributesCount", from_small(link.dropped_attributes_count)),
            ("flags", from_small(link.flags)),
        ])
    };
    let from_status =
        |status: &Status| object([("message", from_text(&status.message)), ("code", from_small(status.code))]);
    object([
        ("traceId", from_bytes(&span.trace_id)),
        ("spanId", from_bytes(&span.span_id)),
        ("traceState", from_text(&span.trace_state)),
        ("parentSpanId", from_bytes(&span.parent_span_id)),
        ("flags", from_small(span.flags)),
        ("name", from_text(&span.name)),
        ("kind", from_small(span.kind)),
        ("startTimeUnixNano", from_unsigned(span.start_time_unix_nano)),
        ("endTimeUnixNano", from_unsigned(span.end_time_unix_nano)),
        ("attributes", many(&span.attributes, from_attribute)),
        ("droppedAttributesCount", from_small(span.dropped_attributes_count)),
        ("events", many(&span.events, from_event)),
        ("droppedEventsCount", from_small(span.dropped_events_count)),
        ("links", many(&span.links, from_link)),
        ("droppedLinksCount", from_small(span.dropped_links_count)),
        ("status", span.status.as_ref().map_or(Json::Null, from_status)),
    ])
}

fn from_resource_logs(group: &ResourceLogs) -> Json {
    let from_record = |record: &LogRecord| {
        object([
            ("timeUnixNano", from_unsigned(record.time_unix_nano)),
            ("observedTimeUnixNano", from_unsigned(record.observed_time_unix_nano)),
            ("severityNumber", from_small(record.severity_number)),
            ("severityText", from_text(&record.severity_text)),
            ("body", record.body.as_ref().map_or(Json::Null, from_any)),
            ("attributes", many(&record.attributes, from_attribute)),
            ("droppedAttributesCount", from_small(record.dropped_attributes_count)),
            ("flags", from_small(record.flags)),
            ("traceId", from_bytes(&record.trace_id)),
            ("spanId", from_bytes(&record.span_id)),
            ("eventName", from_text(&record.event_name)),
        ])
    };
    let from_scope_logs = |group: &ScopeLogs| {
        object([
            ("scope", from_scope(group.scope.as_ref())),
            ("logRecords", many(&group.log_records, from_record)),
            ("schemaUrl", from_text(&group.schema_url)),
        ])
    };
    object([
        ("resource", from_resource(group.resource.as_ref())),
        ("scopeLogs", many(&group.scope_logs, from_scope_logs)),
        ("schemaUrl", from_text(&group.schema_url)),
    ])
}

fn from_resource_metrics(group: &ResourceMetrics) -> Json {
    let from_scope_metrics = |group: &ScopeMetrics| {
        object([
            ("scope", from_scope(group.scope.as_ref())),
            ("metrics", many(&group.metrics, from_metric)),
            ("schemaUrl", from_text(&group.schema_url)),
        ])
    };
    object([
        ("resource", from_resource(group.resource.as_ref())),
        ("scopeMetrics", many(&group.scope_metrics, from_scope_metrics)),
        ("schemaUrl", from_text(&group.schema_url)),
    ])
}

fn from_metric(metric: &Metric) -> Json {
    let mut json = object([
        ("name", from_text(&metric.name)),
        ("description", from_text(&metric.description)),
        ("unit", from_text(&metric.unit)),
        ("metadata", many(&metric.metadata, from_attribute)),
    ]);
    let (name, data) = match &metric.data {
        None => return json,
        Some(Data::Gauge(gauge)) => ("gauge", object([("dataPoints", many(&gauge.data_points, from_number_point))])),
        Some(Data::Sum(sum)) => (
            "sum",
            object([
                ("dataPoints", many(&sum.data_points, from_number_point)),
                ("aggregationTemporality", from_small(sum.aggregation_temporality)),
                ("isMonotonic", json!(sum.is_monotonic)),
            ]),
        ),
        Some(Data::Histogram(histogram)) => (
            "histogram",
            object([
                ("dataPoints", many(&histogram.data_points, from_histogram_point)),
                ("aggregationTemporality", from_small(histogram.aggregation_temporality)),
            ]),
        ),
        Some(Data::ExponentialHistogram(histogram)) => (
            "exponentialHistogram",
            object([
                ("dataPoints", many(&histogram.data_points, from_exponential_point)),
                ("aggregationTemporality", from_small(histogram.aggregation_temporality)),
            ]),
        ),
        Some(Data::Summary(summary)) => {
            ("summary", object([("dataPoints", many(&summary.data_points, from_summary_point))]))
        }
    };
    json[name] = data;
    json
}

fn from_number_point(point: &NumberDataPoint) -> Json {
    let (as_double, as_int) = match point.value {
        Some(number_data_point::Value::AsDouble(value)) => (from_double(value), Json::Null),
        Some(number_data_point::Value::AsInt(value)) => (Json::Null, json!(value.to_string())),
        None => (Json::Null, Json::Null),
    };
    object([
        ("attributes", many(&point.attributes, from_attribute)),
        ("startTimeUnixNano", from_unsigned(point.start_time_unix_nano)),
        ("timeUnixNano", from_unsigned(point.time_unix_nano)),
        ("exemplars", many(&point.exemplars, from_exemplar)),
        ("flags", from_small(point.flags)),
        ("asDouble", as_double),
        ("asInt", as_int),
    ])
}

fn counts(counts: &[u64]) -> Json {
    many(counts, |count| json!(count.to_string()))
}

fn optional(value: Option<f64>) -> Json {
    value.map_or(Json::Null, from_double)
}

fn from_histogram_point(point: &HistogramDataPoint) -> Json {
    object([
        ("attributes", many(&point.attributes, from_attribute)),
        ("startTimeUnixNano", from_unsigned(point.start_time_unix_nano)),
        ("timeUnixNano", from_unsigned(point.time_unix_nano)),
        ("count", from_unsigned(point.count)),
        ("sum", optional(point.sum)),
        ("bucketCounts", counts(&point.bucket_counts)),
        ("explicitBounds", many(&point.explicit_bounds, |bound| from_double(*bound))),
        ("exemplars", many(&point.exemplars, from_exemplar)),
        ("flags", from_small(point.flags)),
        ("min", optional(point.min)),
        ("max", optional(point.max)),
    ])
}

fn from_exponential_point(point: &ExponentialHistogramDataPoint) -> Json {
    let buckets = |side: &Option<Buckets>| {
        side.as_ref().map_or(Json::Null, |side| {
            object([("offset", from_small(side.offset)), ("bucketCounts", counts(&side.bucket_counts))])
        })
    };
    object([
        ("attributes", many(&point.attributes, from_attribute)),
        ("startTimeUnixNano", from_unsigned(point.start_time_unix_nano)),
        ("timeUnixNano", from_unsigned(point.time_unix_nano)),
        ("count", from_unsigned(point.count)),
        ("sum", optional(point.sum)),
        ("scale", from_small(point.scale)),
        ("zeroCount", from_unsigned(point.zero_count)),
        ("positive", buckets(&point.positive)),
        ("negative", buckets(&point.negative)),
        ("flags", from_small(point.flags)),
        ("exemplars", many(&point.exemplars, from_exemplar)),
        ("min", optional(point.min)),
        ("max", optional(point.max)),
        ("zeroThreshold", from_double(point.zero_threshold)),
    ])
}

fn from_summary_point(point: &SummaryDataPoint) -> Json {
    let from_quantile = |value: &ValueAtQuantile| {
        object([("quantile", from_double(value.quantile)), ("value", from_double(value.value))])
    };
    object([
        ("attributes", many(&point.attributes, from_attribute)),
        ("startTimeUnixNano", from_unsigned(point.start_time_unix_nano)),
        ("timeUnixNano", from_unsigned(point.time_unix_nano)),
        ("count", from_unsigned(point.count)),
        ("sum", from_double(point.sum)),
        ("quantileValues", many(&point.quantile_values, from_quantile)),
        ("flags", from_small(point.flags)),
    ])
}

fn from_exemplar(exemplar: &Exemplar) -> Json {
    let (as_double, as_int) = match exemplar.value {
        Some(exemplar::Value::AsDouble(value)) => (from_double(value), Json::Null),
        Some(exemplar::Value::AsInt(value)) => (Json::Null, json!(value.to_string())),
        None => (Json::Null, Json::Null),
    };
    object([
        ("filteredAttributes", many(&exemplar.filtered_attributes, from_attribute)),
        ("timeUnixNano", from_unsigned(exemplar.time_unix_nano)),
        ("spanId", from_bytes(&exemplar.span_id)),
        ("traceId", from_bytes(&exemplar.trace_id)),
        ("asDouble", as_double),
        ("asInt", as_int),
    ])
}
