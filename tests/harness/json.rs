//! OTLP/JSON to messages and back.
//!
//! Written for the tests alone and from the specification, so that a mistake in the collector's own reader
//! or writer cannot hide behind the same mistake here. Reads what fixtures and answers hold; panics on the rest.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use serde_json::{Map, Value as Json, json};

use super::Request;

/// Reads a request; its top-level member says which signal it is.
pub fn to_request(json: &Json) -> Request {
    if json.get("resourceMetrics").is_some() {
        Request::Metrics(ExportMetricsServiceRequest {
            resource_metrics: list(json, "resourceMetrics", resource_metrics),
        })
    } else if json.get("resourceLogs").is_some() {
        Request::Logs(ExportLogsServiceRequest { resource_logs: list(json, "resourceLogs", resource_logs) })
    } else {
        Request::Traces(ExportTraceServiceRequest { resource_spans: list(json, "resourceSpans", resource_spans) })
    }
}

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

/// An integer written as number or text.
pub fn integer(json: &Json) -> i64 {
    json.as_i64().or_else(|| json.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{json} is not an integer"))
}

// ---- reading

fn list<T>(json: &Json, key: &str, read: impl Fn(&Json) -> T) -> Vec<T> {
    json.get(key).and_then(Json::as_array).into_iter().flatten().map(read).collect()
}

fn text(json: &Json, key: &str) -> String {
    json.get(key).and_then(Json::as_str).unwrap_or_default().to_owned()
}

fn unsigned(json: &Json, key: &str) -> u64 {
    json.get(key).map(to_unsigned).unwrap_or_default()
}

fn to_unsigned(json: &Json) -> u64 {
    json.as_u64().or_else(|| json.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{json} is not unsigned"))
}

fn small(json: &Json, key: &str) -> u32 {
    u32::try_from(unsigned(json, key)).expect("32 bits")
}

fn signed(json: &Json, key: &str) -> i32 {
    json.get(key).map_or(0, |value| i32::try_from(integer(value)).expect("32 bits"))
}

fn double(json: &Json) -> f64 {
    let of_text = || match json.as_str()? {
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        other => other.parse().ok(),
    };
    json.as_f64().or_else(of_text).unwrap_or_else(|| panic!("{json} is not a double"))
}

fn bytes_of_hex(json: &Json, key: &str) -> Vec<u8> {
    let digits = text(json, key);
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex");
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn any(json: &Json) -> AnyValue {
    let Some((kind, value)) = json.as_object().and_then(|object| object.iter().next()) else {
        return AnyValue::default();
    };
    let value = match kind.as_str() {
        "stringValue" => Any::StringValue(value.as_str().expect("text").to_owned()),
        "boolValue" => Any::BoolValue(value.as_bool().expect("a boolean")),
        "intValue" => Any::IntValue(integer(value)),
        "doubleValue" => Any::DoubleValue(double(value)),
        "bytesValue" => Any::BytesValue(BASE64.decode(value.as_str().expect("text")).expect("base64")),
        "arrayValue" => Any::ArrayValue(ArrayValue { values: list(value, "values", any) }),
        "kvlistValue" => Any::KvlistValue(KeyValueList { values: list(value, "values", attribute) }),
        other => panic!("{other} is not a value of AnyValue"),
    };
    AnyValue { value: Some(value) }
}

fn attribute(json: &Json) -> KeyValue {
    KeyValue { key: text(json, "key"), value: json.get("value").map(any), ..Default::default() }
}

fn resource(json: &Json) -> Option<Resource> {
    json.get("resource").map(|json| Resource {
        attributes: list(json, "attributes", attribute),
        dropped_attributes_count: small(json, "droppedAttributesCount"),
        ..Default::default()
    })
}

fn scope(json: &Json) -> Option<InstrumentationScope> {
    json.get("scope").map(|json| InstrumentationScope {
        name: text(json, "name"),
        version: text(json, "version"),
        attributes: list(json, "attributes", attribute),
        dropped_attributes_count: small(json, "droppedAttributesCount"),
    })
}

fn resource_spans(json: &Json) -> ResourceSpans {
    let scope_spans = |json: &Json| ScopeSpans {
        scope: scope(json),
        spans: list(json, "spans", span),
        schema_url: text(json, "schemaUrl"),
    };
    ResourceSpans {
        resource: resource(json),
        scope_spans: list(json, "scopeSpans", scope_spans),
        schema_url: text(json, "schemaUrl"),
    }
}

fn span(json: &Json) -> Span {
    let event = |json: &Json| Event {
        time_unix_nano: unsigned(json, "timeUnixNano"),
        name: text(json, "name"),
        attributes: list(json, "attributes", attribute),
        dropped_attributes_count: small(json, "droppedAttributesCount"),
    };
    let link = |json: &Json| Link {
        trace_id: bytes_of_hex(json, "traceId"),
        span_id: bytes_of_hex(json, "spanId"),
        trace_state: text(json, "traceState"),
        attributes: list(json, "attributes", attribute),
        dropped_attributes_count: small(json, "droppedAttributesCount"),
        flags: small(json, "flags"),
    };
    Span {
        trace_id: bytes_of_hex(json, "traceId"),
        span_id: bytes_of_hex(json, "spanId"),
        trace_state: text(json, "traceState"),
        parent_span_id: bytes_of_hex(json, "parentSpanId"),
        flags: small(json, "flags"),
        name: text(json, "name"),
        kind: signed(json, "kind"),
        start_time_unix_nano: unsigned(json, "startTimeUnixNano"),
        end_time_unix_nano: unsigned(json, "endTimeUnixNano"),
        attributes: list(json, "attributes", attribute),
        dropped_attributes_count: small(json, "droppedAttributesCount"),
        events: list(json, "events", event),
        dropped_events_count: small(json, "droppedEventsCount"),
        links: list(json, "links", link),
        dropped_links_count: small(json, "droppedLinksCount"),
        status: json
            .get("status")
            .map(|status| Status { message: text(status, "message"), code: signed(status, "code") }),
    }
}

fn resource_logs(json: &Json) -> ResourceLogs {
    let record = |json: &Json| LogRecord {
        time_unix_nano: unsigned(json, "timeUnixNano"),
        observed_time_unix_nano: unsigned(json, "observedTimeUnixNano"),
        severity_number: signed(json, "severityNumber"),
        severity_text: text(json, "severityText"),
        body: json.get("body").map(any),
        attributes: list(json, "attributes", attribute),
        dropped_attributes_count: small(json, "droppedAttributesCount"),
        flags: small(json, "flags"),
        trace_id: bytes_of_hex(json, "traceId"),
        span_id: bytes_of_hex(json, "spanId"),
        event_name: text(json, "eventName"),
    };
    let scope_logs = |json: &Json| ScopeLogs {
        scope: scope(json),
        log_records: list(json, "logRecords", record),
        schema_url: text(json, "schemaUrl"),
    };
    ResourceLogs {
        resource: resource(json),
        scope_logs: list(json, "scopeLogs", scope_logs),
        schema_url: text(json, "schemaUrl"),
    }
}

fn resource_metrics(json: &Json) -> ResourceMetrics {
    let scope_metrics = |json: &Json| ScopeMetrics {
        scope: scope(json),
        metrics: list(json, "metrics", metric),
        schema_url: text(json, "schemaUrl"),
    };
    ResourceMetrics {
        resource: resource(json),
        scope_metrics: list(json, "scopeMetrics", scope_metrics),
        schema_url: text(json, "schemaUrl"),
    }
}

fn metric(json: &Json) -> Metric {
    let temporality = |json: &Json| signed(json, "aggregationTemporality");
    let data = if let Some(json) = json.get("gauge") {
        Some(Data::Gauge(Gauge { data_points: list(json, "dataPoints", number_point) }))
    } else if let Some(json) = json.get("sum") {
        Some(Data::Sum(Sum {
            data_points: list(json, "dataPoints", number_point),
            aggregation_temporality: temporality(json),
            is_monotonic: json.get("isMonotonic").and_then(Json::as_bool).unwrap_or_default(),
        }))
    } else if let Some(json) = json.get("histogram") {
        Some(Data::Histogram(Histogram {
            data_points: list(json, "dataPoints", histogram_point),
            aggregation_temporality: temporality(json),
        }))
    } else if let Some(json) = json.get("exponentialHistogram") {
        Some(Data::ExponentialHistogram(ExponentialHistogram {
            data_points: list(json, "dataPoints", exponential_point),
            aggregation_temporality: temporality(json),
        }))
    } else {
        json.get("summary").map(|json| Data::Summary(Summary { data_points: list(json, "dataPoints", summary_point) }))
    };
    Metric {
        name: text(json, "name"),
        description: text(json, "description"),
        unit: text(json, "unit"),
        metadata: list(json, "metadata", attribute),
        data,
    }
}

fn number_point(json: &Json) -> NumberDataPoint {
    let of_double = json.get("asDouble").map(|value| number_data_point::Value::AsDouble(double(value)));
    let of_int = json.get("asInt").map(|value| number_data_point::Value::AsInt(integer(value)));
    NumberDataPoint {
        attributes: list(json, "attributes", attribute),
        start_time_unix_nano: unsigned(json, "startTimeUnixNano"),
        time_unix_nano: unsigned(json, "timeUnixNano"),
        exemplars: list(json, "exemplars", exemplar_of),
        flags: small(json, "flags"),
        value: of_double.or(of_int),
    }
}

fn histogram_point(json: &Json) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes: list(json, "attributes", attribute),
        start_time_unix_nano: unsigned(json, "startTimeUnixNano"),
        time_unix_nano: unsigned(json, "timeUnixNano"),
        count: unsigned(json, "count"),
        sum: json.get("sum").map(double),
        bucket_counts: list(json, "bucketCounts", to_unsigned),
        explicit_bounds: list(json, "explicitBounds", double),
        exemplars: list(json, "exemplars", exemplar_of),
        flags: small(json, "flags"),
        min: json.get("min").map(double),
        max: json.get("max").map(double),
    }
}

fn exponential_point(json: &Json) -> ExponentialHistogramDataPoint {
    let buckets = |json: &Json| Buckets {
        offset: signed(json, "offset"),
        bucket_counts: list(json, "bucketCounts", to_unsigned),
    };
    ExponentialHistogramDataPoint {
        attributes: list(json, "attributes", attribute),
        start_time_unix_nano: unsigned(json, "startTimeUnixNano"),
        time_unix_nano: unsigned(json, "timeUnixNano"),
        count: unsigned(json, "count"),
        sum: json.get("sum").map(double),
        scale: signed(json, "scale"),
        zero_count: unsigned(json, "zeroCount"),
        positive: json.get("positive").map(buckets),
        negative: json.get("negative").map(buckets),
        flags: small(json, "flags"),
        exemplars: list(json, "exemplars", exemplar_of),
        min: json.get("min").map(double),
        max: json.get("max").map(double),
        zero_threshold: json.get("zeroThreshold").map(double).unwrap_or_default(),
    }
}

fn summary_point(json: &Json) -> SummaryDataPoint {
    let quantile = |json: &Json| ValueAtQuantile {
        quantile: json.get("quantile").map(double).unwrap_or_default(),
        value: json.get("value").map(double).unwrap_or_default(),
    };
    SummaryDataPoint {
        attributes: list(json, "attributes", attribute),
        start_time_unix_nano: unsigned(json, "startTimeUnixNano"),
        time_unix_nano: unsigned(json, "timeUnixNano"),
        count: unsigned(json, "count"),
        sum: json.get("sum").map(double).unwrap_or_default(),
        quantile_values: list(json, "quantileValues", quantile),
        flags: small(json, "flags"),
    }
}

fn exemplar_of(json: &Json) -> Exemplar {
    let of_double = json.get("asDouble").map(|value| exemplar::Value::AsDouble(double(value)));
    let of_int = json.get("asInt").map(|value| exemplar::Value::AsInt(integer(value)));
    Exemplar {
        filtered_attributes: list(json, "filteredAttributes", attribute),
        time_unix_nano: unsigned(json, "timeUnixNano"),
        span_id: bytes_of_hex(json, "spanId"),
        trace_id: bytes_of_hex(json, "traceId"),
        value: of_double.or(of_int),
    }
}

// ---- writing: a member that is null is left out

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
    from_text(&super::canonical::hex(bytes))
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

/// A message written as JSON reads as the same message, but for defaults that were said needlessly.
#[test]
fn round_trip() {
    for fixture in super::fixtures::requests() {
        let written = from_request(&fixture.request);
        assert_eq!(from_request(&to_request(&written)), written, "{}", fixture.name);
        if let (Request::Traces(sent), Request::Traces(read)) = (&fixture.request, to_request(&written)) {
            super::canonical::assert_same(&fixture.name, sent, &read);
        }
    }
}
