//! The members of each message, one line per member.
//!
//! A message that stands twice under one name is replaced by the later one, as any other member (J9).

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram,
    HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint,
    exemplar, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use super::reader::{JsonError, Reader};

type Read<T> = Result<T, JsonError>;

/// Declares how a message is read: `"member" => field = how`.
///
/// `how` is a function from the reader to the value; `optional(f)`, `list(f)` and `one_of(wrap, f)` say how
/// the value stands in the field. An absent (`null`) member leaves a `one_of` as it was.
macro_rules! message {
    ($name:ident -> $message:ident { $($member:literal => $field:ident = $how:tt $(($($inner:expr),+))?,)* }) => {
        pub(super) fn $name(r: &mut Reader<'_>) -> Read<$message> {
            let mut message = $message::default();
            r.object(|r, member| {
                match member {
                    $($member => message!(@read r, message.$field, $how $(($($inner),+))?),)*
                    _ => return r.unknown(),
                }
                Ok(true)
            })?;
            Ok(message)
        }
    };
    (@read $r:ident, $field:expr, optional($read:expr)) => {
        $field = if $r.take_null() { None } else { Some($read($r)?) }
    };
    (@read $r:ident, $field:expr, list($read:expr)) => { $field = list($r, $read)? };
    (@read $r:ident, $field:expr, one_of($wrap:expr, $read:expr)) => {
        if !$r.take_null() {
            $field = Some($wrap($read($r)?));
        }
    };
    (@read $r:ident, $field:expr, $how:ident) => { $field = $how($r)? };
}

fn list<T>(r: &mut Reader<'_>, read: impl Fn(&mut Reader<'_>) -> Read<T>) -> Read<Vec<T>> {
    let mut items = Vec::new();
    r.array(|r| {
        items.push(read(r)?);
        Ok(())
    })?;
    Ok(items)
}

fn text(r: &mut Reader<'_>) -> Read<String> {
    r.text()
}

fn u64(r: &mut Reader<'_>) -> Read<u64> {
    r.u64()
}

fn i64(r: &mut Reader<'_>) -> Read<i64> {
    r.i64()
}

fn u32(r: &mut Reader<'_>) -> Read<u32> {
    r.u32()
}

fn i32(r: &mut Reader<'_>) -> Read<i32> {
    r.i32()
}

fn double(r: &mut Reader<'_>) -> Read<f64> {
    r.double()
}

fn bool(r: &mut Reader<'_>) -> Read<bool> {
    r.bool()
}

fn id(r: &mut Reader<'_>) -> Read<Vec<u8>> {
    r.id()
}

fn base64(r: &mut Reader<'_>) -> Read<Vec<u8>> {
    r.base64()
}

fn optional_double(r: &mut Reader<'_>) -> Read<Option<f64>> {
    r.optional_double()
}

fn span_kind(r: &mut Reader<'_>) -> Read<i32> {
    r.enumeration(|name| SpanKind::from_str_name(name).map(|known| known as i32))
}

fn status_code(r: &mut Reader<'_>) -> Read<i32> {
    r.enumeration(|name| StatusCode::from_str_name(name).map(|known| known as i32))
}

fn severity_number(r: &mut Reader<'_>) -> Read<i32> {
    r.enumeration(|name| SeverityNumber::from_str_name(name).map(|known| known as i32))
}

fn temporality(r: &mut Reader<'_>) -> Read<i32> {
    r.enumeration(|name| AggregationTemporality::from_str_name(name).map(|known| known as i32))
}

// --- envelopes ---

message!(traces -> ExportTraceServiceRequest {
    "resourceSpans" => resource_spans = list(resource_spans),
});

message!(resource_spans -> ResourceSpans {
    "resource" => resource = optional(resource),
    "scopeSpans" => scope_spans = list(scope_spans),
    "schemaUrl" => schema_url = text,
});

message!(scope_spans -> ScopeSpans {
    "scope" => scope = optional(scope),
    "spans" => spans = list(span),
    "schemaUrl" => schema_url = text,
});

message!(metrics -> ExportMetricsServiceRequest {
    "resourceMetrics" => resource_metrics = list(resource_metrics),
});

message!(resource_metrics -> ResourceMetrics {
    "resource" => resource = optional(resource),
    "scopeMetrics" => scope_metrics = list(scope_metrics),
    "schemaUrl" => schema_url = text,
});

message!(scope_metrics -> ScopeMetrics {
    "scope" => scope = optional(scope),
    "metrics" => metrics = list(metric),
    "schemaUrl" => schema_url = text,
});

message!(logs -> ExportLogsServiceRequest {
    "resourceLogs" => resource_logs = list(resource_logs),
});

message!(resource_logs -> ResourceLogs {
    "resource" => resource = optional(resource),
    "scopeLogs" => scope_logs = list(scope_logs),
    "schemaUrl" => schema_url = text,
});

message!(scope_logs -> ScopeLogs {
    "scope" => scope = optional(scope),
    "logRecords" => log_records = list(log_record),
    "schemaUrl" => schema_url = text,
});

// --- common ---

message!(resource -> Resource {
    "attributes" => attributes = list(key_value),
    "droppedAttributesCount" => dropped_attributes_count = u32,
    "entityRefs" => entity_refs = list(entity_ref),
});

message!(entity_ref -> EntityRef {
    "schemaUrl" => schema_url = text,
    "type" => r#type = text,
    "idKeys" => id_keys = list(text),
    "descriptionKeys" => description_keys = list(text),
});

message!(scope -> InstrumentationScope {
    "name" => name = text,
    "version" => version = text,
    "attributes" => attributes = list(key_value),
    "droppedAttributesCount" => dropped_attributes_count = u32,
});

message!(key_value -> KeyValue {
    "key" => key = text,
    "value" => value = optional(any_value),
});

message!(any_value -> AnyValue {
    "stringValue" => value = one_of(Value::StringValue, text),
    "boolValue" => value = one_of(Value::BoolValue, bool),
    "intValue" => value = one_of(Value::IntValue, i64),
    "doubleValue" => value = one_of(Value::DoubleValue, double),
    "arrayValue" => value = one_of(Value::ArrayValue, array_value),
    "kvlistValue" => value = one_of(Value::KvlistValue, key_value_list),
    "bytesValue" => value = one_of(Value::BytesValue, base64),
});

message!(array_value -> ArrayValue {
    "values" => values = list(any_value),
});

message!(key_value_list -> KeyValueList {
    "values" => values = list(key_value),
});

// --- traces ---

message!(span -> Span {
    "traceId" => trace_id = id,
    "spanId" => span_id = id,
    "traceState" => trace_state = text,
    "parentSpanId" => parent_span_id = id,
    "flags" => flags = u32,
    "name" => name = text,
    "kind" => kind = span_kind,
    "startTimeUnixNano" => start_time_unix_nano = u64,
    "endTimeUnixNano" => end_time_unix_nano = u64,
    "attributes" => attributes = list(key_value),
    "droppedAttributesCount" => dropped_attributes_count = u32,
    "events" => events = list(event),
    "droppedEventsCount" => dropped_events_count = u32,
    "links" => links = list(link),
    "droppedLinksCount" => dropped_links_count = u32,
    "status" => status = optional(status),
});

message!(event -> Event {
    "timeUnixNano" => time_unix_nano = u64,
    "name" => name = text,
    "attributes" => attributes = list(key_value),
    "droppedAttributesCount" => dropped_attributes_count = u32,
});

message!(link -> Link {
    "traceId" => trace_id = id,
    "spanId" => span_id = id,
    "traceState" => trace_state = text,
    "attributes" => attributes = list(key_value),
    "droppedAttributesCount" => dropped_attributes_count = u32,
    "flags" => flags = u32,
});

message!(status -> Status {
    "message" => message = text,
    "code" => code = status_code,
});

// --- logs ---

message!(log_record -> LogRecord {
    "timeUnixNano" => time_unix_nano = u64,
    "observedTimeUnixNano" => observed_time_unix_nano = u64,
    "severityNumber" => severity_number = severity_number,
    "severityText" => severity_text = text,
    "body" => body = optional(any_value),
    "attributes" => attributes = list(key_value),
    "droppedAttributesCount" => dropped_attributes_count = u32,
    "flags" => flags = u32,
    "traceId" => trace_id = id,
    "spanId" => span_id = id,
    "eventName" => event_name = text,
});

// --- metrics ---

message!(metric -> Metric {
    "name" => name = text,
    "description" => description = text,
    "unit" => unit = text,
    "metadata" => metadata = list(key_value),
    "gauge" => data = one_of(Data::Gauge, gauge),
    "sum" => data = one_of(Data::Sum, sum),
    "histogram" => data = one_of(Data::Histogram, histogram),
    "exponentialHistogram" => data = one_of(Data::ExponentialHistogram, exponential_histogram),
    "summary" => data = one_of(Data::Summary, summary),
});

message!(gauge -> Gauge {
    "dataPoints" => data_points = list(number_point),
});

message!(sum -> Sum {
    "dataPoints" => data_points = list(number_point),
    "aggregationTemporality" => aggregation_temporality = temporality,
    "isMonotonic" => is_monotonic = bool,
});

message!(histogram -> Histogram {
    "dataPoints" => data_points = list(histogram_point),
    "aggregationTemporality" => aggregation_temporality = temporality,
});

message!(exponential_histogram -> ExponentialHistogram {
    "dataPoints" => data_points = list(exponential_histogram_point),
    "aggregationTemporality" => aggregation_temporality = temporality,
});

message!(summary -> Summary {
    "dataPoints" => data_points = list(summary_point),
});

message!(number_point -> NumberDataPoint {
    "attributes" => attributes = list(key_value),
    "startTimeUnixNano" => start_time_unix_nano = u64,
    "timeUnixNano" => time_unix_nano = u64,
    "asDouble" => value = one_of(number_data_point::Value::AsDouble, double),
    "asInt" => value = one_of(number_data_point::Value::AsInt, i64),
    "exemplars" => exemplars = list(exemplar),
    "flags" => flags = u32,
});

message!(histogram_point -> HistogramDataPoint {
    "attributes" => attributes = list(key_value),
    "startTimeUnixNano" => start_time_unix_nano = u64,
    "timeUnixNano" => time_unix_nano = u64,
    "count" => count = u64,
    "sum" => sum = optional_double,
    "min" => min = optional_double,
    "max" => max = optional_double,
    "bucketCounts" => bucket_counts = list(u64),
    "explicitBounds" => explicit_bounds = list(double),
    "exemplars" => exemplars = list(exemplar),
    "flags" => flags = u32,
});

message!(exponential_histogram_point -> ExponentialHistogramDataPoint {
    "attributes" => attributes = list(key_value),
    "startTimeUnixNano" => start_time_unix_nano = u64,
    "timeUnixNano" => time_unix_nano = u64,
    "count" => count = u64,
    "sum" => sum = optional_double,
    "min" => min = optional_double,
    "max" => max = optional_double,
    "scale" => scale = i32,
    "zeroCount" => zero_count = u64,
    "zeroThreshold" => zero_threshold = double,
    "positive" => positive = optional(buckets),
    "negative" => negative = optional(buckets),
    "exemplars" => exemplars = list(exemplar),
    "flags" => flags = u32,
});

message!(buckets -> Buckets {
    "offset" => offset = i32,
    "bucketCounts" => bucket_counts = list(u64),
});

message!(summary_point -> SummaryDataPoint {
    "attributes" => attributes = list(key_value),
    "startTimeUnixNano" => start_time_unix_nano = u64,
    "timeUnixNano" => time_unix_nano = u64,
    "count" => count = u64,
    "sum" => sum = double,
    "quantileValues" => quantile_values = list(value_at_quantile),
    "flags" => flags = u32,
});

message!(value_at_quantile -> ValueAtQuantile {
    "quantile" => quantile = double,
    "value" => value = double,
});

message!(exemplar -> Exemplar {
    "filteredAttributes" => filtered_attributes = list(key_value),
    "timeUnixNano" => time_unix_nano = u64,
    "asDouble" => value = one_of(exemplar::Value::AsDouble, double),
    "asInt" => value = one_of(exemplar::Value::AsInt, i64),
    "spanId" => span_id = id,
    "traceId" => trace_id = id,
});
