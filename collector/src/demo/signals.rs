//! Logs and metrics that belong to the spans of a journey, so that every signal is alive.
//!
//! Logs: one record per answered request or handled message. Metrics, cumulative since the demo began: how
//! long requests took (a histogram whose exemplars lead to traces), how many there were (a sum), how much
//! memory each service takes (a gauge).

use std::collections::BTreeMap;

use model::semconv::key;
use model::{SpanKind, StatusCode, Temporality};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
    exemplar, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use rand::Rng as _;
use rand::rngs::StdRng;

/// Bounds of the conventions for durations of requests, in seconds.
const BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Exemplars kept per point between two exports.
const EXEMPLARS_MAX: usize = 4;
/// Severities of the records.
const INFO: i32 = 9;
const ERROR: i32 = 17;
const SCOPE: &str = "hodoscope.demo";

/// What the services of the shop have counted.
#[derive(Debug)]
pub(super) struct Shop {
    started_unix_nanos: u64,
    services: BTreeMap<String, Service>,
}

#[derive(Debug)]
struct Service {
    resource: Resource,
    memory_bytes: f64,
    /// By what was asked for: bounded by the routes of the scenarios.
    requests: BTreeMap<Request, Counted>,
}

/// What was asked for, and how it went.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Request {
    is_message: bool,
    name: String,
    is_error: bool,
}

#[derive(Debug, Default)]
struct Counted {
    buckets: [u64; BOUNDS.len() + 1],
    sum_seconds: f64,
    exemplars: Vec<Exemplar>,
}

impl Shop {
    pub(super) fn new(started_unix_nanos: u64) -> Self {
        Self { started_unix_nanos, services: BTreeMap::new() }
    }

    /// Counts the requests of some journeys and gives the log records they leave.
    pub(super) fn observe(&mut self, request: &ExportTraceServiceRequest) -> ExportLogsServiceRequest {
        let mut logs = ExportLogsServiceRequest::default();
        for resource_spans in &request.resource_spans {
            let resource = resource_spans.resource.clone().unwrap_or_default();
            let spans = resource_spans.scope_spans.iter().flat_map(|scope| &scope.spans);
            let handled: Vec<&Span> = spans.filter(|span| is_handled(span)).collect();
            let name = resource.attributes.iter().find(|attribute| attribute.key == key::SERVICE_NAME);
            let service = self.services.entry(name.map(text).unwrap_or_default()).or_insert_with(|| Service {
                resource: resource.clone(),
                memory_bytes: 180e6,
                requests: BTreeMap::new(),
            });
            handled.iter().for_each(|span| service.count(span));
            let log_records: Vec<LogRecord> = handled.into_iter().map(log_record).collect();
            if !log_records.is_empty() {
                let scope_logs = vec![ScopeLogs { scope: Some(scope()), log_records, ..ScopeLogs::default() }];
                let resource = Some(resource);
                logs.resource_logs.push(ResourceLogs { resource, scope_logs, ..ResourceLogs::default() });
            }
        }
        logs
    }

    /// Everything counted so far.
    pub(super) fn metrics(&mut self, now_unix_nanos: u64, rng: &mut StdRng) -> ExportMetricsServiceRequest {
        let started = self.started_unix_nanos;
        let resource_metrics = self.services.values_mut().map(|service| {
            let metrics = service.metrics(started, now_unix_nanos, rng);
            let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() }];
            ResourceMetrics { resource: Some(service.resource.clone()), scope_metrics, ..ResourceMetrics::default() }
        });
        ExportMetricsServiceRequest { resource_metrics: resource_metrics.collect() }
    }
}

impl Service {
    fn count(&mut self, span: &Span) {
        let request = Request {
            is_message: span.kind == SpanKind::Consumer.code(),
            name: span.name.clone(),
            is_error: is_error(span),
        };
        let counted = self.requests.entry(request).or_default();
        let seconds = duration_nanos(span) as f64 / 1e9;
        counted.buckets[BOUNDS.partition_point(|bound| *bound < seconds)] += 1;
        counted.sum_seconds += seconds;
        if counted.exemplars.len() < EXEMPLARS_MAX {
            counted.exemplars.push(Exemplar {
                time_unix_nano: span.end_time_unix_nano,
                trace_id: span.trace_id.clone(),
                span_id: span.span_id.clone(),
                value: Some(exemplar::Value::AsDouble(seconds)),
                ..Exemplar::default()
            });
        }
    }

    fn metrics(&mut self, started: u64, now: u64, rng: &mut StdRng) -> Vec<Metric> {
        self.memory_bytes = (self.memory_bytes * rng.random_range(0.97..1.035)).clamp(90e6, 900e6);
        let memory = NumberDataPoint {
            time_unix_nano: now,
            value: Some(number_data_point::Value::AsInt(self.memory_bytes as i64)),
            ..NumberDataPoint::default()
        };
        let mut metrics = vec![Metric {
            name: "process.memory.usage".to_owned(),
            description: "Physical memory in use.".to_owned(),
            unit: "By".to_owned(),
            data: Some(Data::Gauge(Gauge { data_points: vec![memory] })),
            ..Metric::default()
        }];
        let (mut served, mut processed, mut totals) = (Vec::new(), Vec::new(), Vec::new());
        for (request, counted) in &mut self.requests {
            let attributes = request.attributes();
            let count = counted.buckets.iter().sum();
            totals.push(NumberDataPoint {
                attributes: attributes.clone(),
                start_time_unix_nano: started,
                time_unix_nano: now,
                value: Some(number_data_point::Value::AsInt(count as i64)),
                ..NumberDataPoint::default()
            });
            let histogram = if request.is_message { &mut processed } else { &mut served };
            histogram.push(HistogramDataPoint {
                attributes,
                start_time_unix_nano: started,
                time_unix_nano: now,
                count,
                sum: Some(counted.sum_seconds),
                bucket_counts: counted.buckets.to_vec(),
                explicit_bounds: BOUNDS.to_vec(),
                exemplars: std::mem::take(&mut counted.exemplars),
                ..HistogramDataPoint::default()
            });
        }
        let sum =
            Sum { data_points: totals, aggregation_temporality: Temporality::Cumulative.code(), is_monotonic: true };
        metrics.push(Metric {
            name: "shop.requests".to_owned(),
            description: "Requests answered and messages handled.".to_owned(),
            unit: "{request}".to_owned(),
            data: Some(Data::Sum(sum)),
            ..Metric::default()
        });
        for (name, data_points) in [("http.server.request.duration", served), ("messaging.process.duration", processed)]
        {
            if !data_points.is_empty() {
                let aggregation_temporality = Temporality::Cumulative.code();
                metrics.push(Metric {
                    name: name.to_owned(),
                    description: "How long it took.".to_owned(),
                    unit: "s".to_owned(),
                    data: Some(Data::Histogram(Histogram { data_points, aggregation_temporality })),
                    ..Metric::default()
                });
            }
        }
        metrics
    }
}

impl Request {
    fn attributes(&self) -> Vec<KeyValue> {
        let operation = if self.is_message { key::MESSAGING_OPERATION } else { key::HTTP_ROUTE };
        let mut attributes = vec![attribute(operation, &self.name)];
        if self.is_error {
            attributes.push(attribute(key::ERROR_TYPE, "error"));
        }
        attributes
    }
}

/// Data points of a request.
pub(super) fn n_points(request: &ExportMetricsServiceRequest) -> u64 {
    let metrics = request.resource_metrics.iter().flat_map(|r| &r.scope_metrics).flat_map(|s| &s.metrics);
    let count = |metric: &Metric| match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        _ => 0,
    };
    metrics.map(count).sum::<usize>() as u64
}

/// Log records of a request.
pub(super) fn n_records(request: &ExportLogsServiceRequest) -> u64 {
    request.resource_logs.iter().flat_map(|r| &r.scope_logs).map(|s| s.log_records.len()).sum::<usize>() as u64
}

fn log_record(span: &Span) -> LogRecord {
    let millis = duration_nanos(span) as f64 / 1e6;
    let (severity_number, severity_text, body) = if is_error(span) {
        let why = span.status.as_ref().map(|status| status.message.as_str()).filter(|message| !message.is_empty());
        (ERROR, "ERROR", format!("{} failed after {millis:.1} ms: {}", span.name, why.unwrap_or("no reason given")))
    } else {
        (INFO, "INFO", format!("{} done in {millis:.1} ms", span.name))
    };
    LogRecord {
        time_unix_nano: span.end_time_unix_nano,
        observed_time_unix_nano: span.end_time_unix_nano,
        severity_number,
        severity_text: severity_text.to_owned(),
        body: Some(AnyValue { value: Some(Value::StringValue(body)) }),
        trace_id: span.trace_id.clone(),
        span_id: span.span_id.clone(),
        flags: 1,
        ..LogRecord::default()
    }
}

/// True for spans that answer a request or handle a message.
fn is_handled(span: &Span) -> bool {
    span.kind == SpanKind::Server.code() || span.kind == SpanKind::Consumer.code()
}

fn is_error(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error.code())
}

const fn duration_nanos(span: &Span) -> u64 {
    span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano)
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: SCOPE.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn text(attribute: &KeyValue) -> String {
    match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        _ => String::new(),
    }
}
