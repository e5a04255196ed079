//! OTLP/JSON to messages.

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
use serde_json::Value as Json;

use crate::harness::Request;

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
