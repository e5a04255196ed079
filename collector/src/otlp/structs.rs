//! Messages as the generated structs of opentelemetry-proto.
//!
//! Not on the way of telemetry: the demo builds its requests from recorded OTLP/JSON and sends them as any client
//! would, and tests compare what the walker reads with what prost decodes.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValueKind;
use opentelemetry_proto::tonic::common::v1::{self as common, AnyValue, InstrumentationScope, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{self as logs, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{self as metrics, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1 as resource;
use opentelemetry_proto::tonic::trace::v1::{self as trace, ResourceSpans, ScopeSpans};

use super::json::{self, JsonError};
use super::message::{
    Arena, Attributes, Buckets, Data, Exemplar, ExponentialHistogramPoint, HistogramPoint, LogRecord, Logs, Metric,
    Metrics, Number, NumberPoint, Resource, Scope, Sink, Span, SummaryPoint, Text, Traces, Value,
};
use crate::outcome::Outcome;
use model::Repairs;

/// A request with spans from OTLP/JSON; odd forms are counted in `outcome`.
pub(crate) fn traces_from_json(body: &[u8], outcome: &mut Outcome) -> Result<ExportTraceServiceRequest, JsonError> {
    let mut request = ExportTraceServiceRequest::default();
    json::read(body, outcome, &mut Arena::default(), &mut request).map(|()| request)
}

/// A request with data points from OTLP/JSON.
#[cfg(test)]
pub(crate) fn metrics_from_json(body: &[u8], outcome: &mut Outcome) -> Result<ExportMetricsServiceRequest, JsonError> {
    let mut request = ExportMetricsServiceRequest::default();
    json::read(body, outcome, &mut Arena::default(), &mut request).map(|()| request)
}

/// A request with log records from OTLP/JSON.
#[cfg(test)]
pub(crate) fn logs_from_json(body: &[u8], outcome: &mut Outcome) -> Result<ExportLogsServiceRequest, JsonError> {
    let mut request = ExportLogsServiceRequest::default();
    json::read(body, outcome, &mut Arena::default(), &mut request).map(|()| request)
}

/// Declares how a request gathers its resources, their scopes and their items.
macro_rules! gathers {
    ($signal:ident, $request:ident.$resources:ident: $resource:ident.$scopes:ident: $scope:ident.$items:ident: $item:ident by $convert:ident) => {
        impl Sink<$signal> for $request {
            fn resource(&mut self, resource: Option<Resource<'_>>, schema_url: Text<'_>, _: Repairs) {
                let resource = resource.as_ref().map(to_resource);
                self.$resources.push($resource { resource, schema_url: text(schema_url), ..Default::default() });
            }

            fn scope(&mut self, scope: Option<Scope<'_>>, schema_url: Text<'_>, _: Repairs) {
                let scope =
                    $scope { scope: scope.as_ref().map(to_scope), schema_url: text(schema_url), ..Default::default() };
                self.$resources.last_mut().expect("a scope follows its resource").$scopes.push(scope);
            }

            fn item(&mut self, item: &mut $item<'_>, _: Repairs) {
                let scopes = &mut self.$resources.last_mut().expect("an item follows its resource").$scopes;
                scopes.last_mut().expect("an item follows its scope").$items.push($convert(item));
            }
        }
    };
}

gathers!(Traces, ExportTraceServiceRequest.resource_spans: ResourceSpans.scope_spans: ScopeSpans.spans: Span by to_span);
gathers!(Metrics, ExportMetricsServiceRequest.resource_metrics: ResourceMetrics.scope_metrics: ScopeMetrics.metrics: Metric by to_metric);
gathers!(Logs, ExportLogsServiceRequest.resource_logs: ResourceLogs.scope_logs: ScopeLogs.log_records: LogRecord by to_log);

fn text(text: Text<'_>) -> String {
    String::from_utf8_lossy(text).into_owned()
}

fn texts(list: &[Text<'_>]) -> Vec<String> {
    list.iter().map(|one| text(one)).collect()
}

fn to_resource(message: &Resource<'_>) -> resource::Resource {
    let entity = |entity: &super::message::EntityRef<'_>| common::EntityRef {
        schema_url: text(entity.schema_url),
        r#type: text(entity.kind),
        id_keys: texts(&entity.id_keys),
        description_keys: texts(&entity.description_keys),
    };
    resource::Resource {
        attributes: attributes(&message.attributes),
        dropped_attributes_count: message.dropped_attributes_count,
        entity_refs: message.entity_refs.iter().map(entity).collect(),
    }
}

fn to_scope(message: &Scope<'_>) -> InstrumentationScope {
    InstrumentationScope {
        name: text(message.name),
        version: text(message.version),
        attributes: attributes(&message.attributes),
        dropped_attributes_count: message.dropped_attributes_count,
    }
}

fn attributes(list: &Attributes<'_>) -> Vec<common::KeyValue> {
    let attribute = |attribute: &super::message::KeyValue<'_>| common::KeyValue {
        key: text(attribute.key),
        value: Some(any_value(&attribute.value)).filter(|value| value.value.is_some()),
        ..Default::default()
    };
    list.iter().map(attribute).collect()
}

fn any_value(value: &Value<'_>) -> AnyValue {
    let value = match value {
        Value::Empty => None,
        Value::Text(value) => Some(AnyValueKind::StringValue(text(value))),
        Value::Bool(value) => Some(AnyValueKind::BoolValue(*value)),
        Value::Int(value) => Some(AnyValueKind::IntValue(*value)),
        Value::Double(value) => Some(AnyValueKind::DoubleValue(*value)),
        Value::Bytes(value) => Some(AnyValueKind::BytesValue(value.to_vec())),
        Value::List(list) => {
            Some(AnyValueKind::ArrayValue(common::ArrayValue { values: list.iter().map(any_value).collect() }))
        }
        Value::Map(map) => Some(AnyValueKind::KvlistValue(KeyValueList { values: attributes(map) })),
    };
    AnyValue { value }
}

fn to_span(message: &Span<'_>) -> trace::Span {
    let event = |event: &super::message::Event<'_>| trace::span::Event {
        time_unix_nano: event.time,
        name: text(event.name),
        attributes: attributes(&event.attributes),
        dropped_attributes_count: event.dropped_attributes_count,
    };
    let link = |link: &super::message::Link<'_>| trace::span::Link {
        trace_id: link.trace_id.to_vec(),
        span_id: link.span_id.to_vec(),
        trace_state: text(link.trace_state),
        attributes: attributes(&link.attributes),
        dropped_attributes_count: link.dropped_attributes_count,
        flags: link.flags,
    };
    let status =
        |status: &super::message::Status<'_>| trace::Status { message: text(status.message), code: status.code };
    trace::Span {
        trace_id: message.trace_id.to_vec(),
        span_id: message.span_id.to_vec(),
        trace_state: text(message.trace_state),
        parent_span_id: message.parent_span_id.to_vec(),
        flags: message.flags,
        name: text(message.name),
        kind: message.kind,
        start_time_unix_nano: message.start_time,
        end_time_unix_nano: message.end_time,
        attributes: attributes(&message.attributes),
        dropped_attributes_count: message.dropped_attributes_count,
        events: message.events.iter().map(event).collect(),
        dropped_events_count: message.dropped_events_count,
        links: message.links.iter().map(link).collect(),
        dropped_links_count: message.dropped_links_count,
        status: message.status.as_ref().map(status),
    }
}

fn to_log(message: &LogRecord<'_>) -> logs::LogRecord {
    logs::LogRecord {
        time_unix_nano: message.time,
        observed_time_unix_nano: message.observed_time,
        severity_number: message.severity_number,
        severity_text: text(message.severity_text),
        body: message.body.as_ref().map(any_value),
        attributes: attributes(&message.attributes),
        dropped_attributes_count: message.dropped_attributes_count,
        flags: message.flags,
        trace_id: message.trace_id.to_vec(),
        span_id: message.span_id.to_vec(),
        event_name: text(message.event_name),
    }
}

fn to_metric(message: &Metric<'_>) -> metrics::Metric {
    use metrics::metric::Data as To;
    let data = |data: &Data<'_>| match data {
        Data::Gauge(gauge) => {
            To::Gauge(metrics::Gauge { data_points: gauge.points.iter().map(number_point).collect() })
        }
        Data::Sum(sum) => To::Sum(metrics::Sum {
            data_points: sum.points.iter().map(number_point).collect(),
            aggregation_temporality: sum.temporality,
            is_monotonic: sum.is_monotonic,
        }),
        Data::Histogram(histogram) => To::Histogram(metrics::Histogram {
            data_points: histogram.points.iter().map(histogram_point).collect(),
            aggregation_temporality: histogram.temporality,
        }),
        Data::ExponentialHistogram(histogram) => To::ExponentialHistogram(metrics::ExponentialHistogram {
            data_points: histogram.points.iter().map(exponential_histogram_point).collect(),
            aggregation_temporality: histogram.temporality,
        }),
        Data::Summary(summary) => {
            To::Summary(metrics::Summary { data_points: summary.points.iter().map(summary_point).collect() })
        }
    };
    metrics::Metric {
        name: text(message.name),
        description: text(message.description),
        unit: text(message.unit),
        metadata: attributes(&message.metadata),
        data: message.data.as_ref().map(data),
    }
}

fn number_point(point: &NumberPoint<'_>) -> metrics::NumberDataPoint {
    use metrics::number_data_point::Value as To;
    metrics::NumberDataPoint {
        attributes: attributes(&point.attributes),
        start_time_unix_nano: point.start_time,
        time_unix_nano: point.time,
        exemplars: point.exemplars.iter().map(exemplar).collect(),
        flags: point.flags,
        value: point.value.map(|value| match value {
            Number::Double(value) => To::AsDouble(value),
            Number::Int(value) => To::AsInt(value),
        }),
    }
}

fn histogram_point(point: &HistogramPoint<'_>) -> metrics::HistogramDataPoint {
    metrics::HistogramDataPoint {
        attributes: attributes(&point.attributes),
        start_time_unix_nano: point.start_time,
        time_unix_nano: point.time,
        count: point.count,
        sum: point.sum,
        bucket_counts: point.bucket_counts.to_vec(),
        explicit_bounds: point.bounds.to_vec(),
        exemplars: point.exemplars.iter().map(exemplar).collect(),
        flags: point.flags,
        min: point.min,
        max: point.max,
    }
}

fn exponential_histogram_point(point: &ExponentialHistogramPoint<'_>) -> metrics::ExponentialHistogramDataPoint {
    let buckets = |buckets: &Buckets<'_>| metrics::exponential_histogram_data_point::Buckets {
        offset: buckets.offset,
        bucket_counts: buckets.counts.to_vec(),
    };
    metrics::ExponentialHistogramDataPoint {
        attributes: attributes(&point.attributes),
        start_time_unix_nano: point.start_time,
        time_unix_nano: point.time,
        count: point.count,
        sum: point.sum,
        scale: point.scale,
        zero_count: point.zero_count,
        positive: point.positive.as_ref().map(buckets),
        negative: point.negative.as_ref().map(buckets),
        flags: point.flags,
        exemplars: point.exemplars.iter().map(exemplar).collect(),
        min: point.min,
        max: point.max,
        zero_threshold: point.zero_threshold,
    }
}

fn summary_point(point: &SummaryPoint<'_>) -> metrics::SummaryDataPoint {
    let quantile = |quantile: &super::message::Quantile| metrics::summary_data_point::ValueAtQuantile {
        quantile: quantile.quantile,
        value: quantile.value,
    };
    metrics::SummaryDataPoint {
        attributes: attributes(&point.attributes),
        start_time_unix_nano: point.start_time,
        time_unix_nano: point.time,
        count: point.count,
        sum: point.sum,
        quantile_values: point.quantiles.iter().map(quantile).collect(),
        flags: point.flags,
    }
}

fn exemplar(message: &Exemplar<'_>) -> metrics::Exemplar {
    use metrics::exemplar::Value as To;
    metrics::Exemplar {
        filtered_attributes: attributes(&message.attributes),
        time_unix_nano: message.time,
        span_id: message.span_id.to_vec(),
        trace_id: message.trace_id.to_vec(),
        value: message.value.map(|value| match value {
            Number::Double(value) => To::AsDouble(value),
            Number::Int(value) => To::AsInt(value),
        }),
    }
}
