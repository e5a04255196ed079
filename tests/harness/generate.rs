//! Made-up requests of any size.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

use super::fixtures::now_nanos;

/// An attribute with a text value.
pub fn attribute(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Any::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..Default::default() }
}

/// A resource that names a service.
pub fn service(name: &str) -> Resource {
    Resource { attributes: vec![attribute("service.name", name)], ..Default::default() }
}

/// A request with one resource and one scope.
pub fn request(service_name: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope = InstrumentationScope { name: "generated".to_owned(), ..Default::default() };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(service(service_name)),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans, schema_url: String::new() }],
            schema_url: String::new(),
        }],
    }
}

/// A server span of a millisecond that ended just now. Ids must not be all zero.
pub fn span(trace_id: u128, span_id: u64, name: &str) -> Span {
    let end = now_nanos();
    Span {
        trace_id: trace_id.to_be_bytes().to_vec(),
        span_id: span_id.to_be_bytes().to_vec(),
        name: name.to_owned(),
        kind: 2,
        start_time_unix_nano: end - 1_000_000,
        end_time_unix_nano: end,
        attributes: vec![attribute("http.request.method", "GET"), attribute("url.path", "/orders/7")],
        ..Default::default()
    }
}

/// One trace of `n_spans` spans over 12 services, in one request: a tree in which every span has up to eight children
/// and each hundredth span failed. Ended a minute ago.
pub fn big_trace(trace_id: u128, n_spans: u64) -> ExportTraceServiceRequest {
    const SERVICES: u64 = 12;
    const LASTS_NANOS: u64 = 10_000_000_000;
    let end = now_nanos() - 60_000_000_000;
    let mut groups: Vec<Vec<Span>> = vec![Vec::new(); usize::try_from(SERVICES).expect("small")];
    for number in 0..n_spans {
        let offset = LASTS_NANOS / 2 * number / n_spans;
        let mut span = span(trace_id, number + 1, &format!("step {number}"));
        span.kind = if number % 2 == 0 { 2 } else { 3 };
        span.start_time_unix_nano = end - LASTS_NANOS + offset;
        span.end_time_unix_nano = end - offset;
        if number > 0 {
            span.parent_span_id = ((number - 1) / 8 + 1).to_be_bytes().to_vec();
        }
        if number % 100 == 99 {
            span.status = Some(Status { code: 2, message: "made up to fail".to_owned() });
        }
        groups[usize::try_from(number % SERVICES).expect("small")].push(span);
    }
    let groups = groups.into_iter().enumerate();
    let resource_spans = groups.flat_map(|(number, spans)| request(&format!("part-{number}"), spans).resource_spans);
    ExportTraceServiceRequest { resource_spans: resource_spans.collect() }
}
