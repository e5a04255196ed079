//! Traces in one canonical order and form, so that equal content is equal text.
//!
//! OTLP leaves free how spans are grouped: one resource may stand once or ten times. Here every span is one entry,
//! named by its resource and scope, in the order of ids. All else (order of attributes, of events, of links) was
//! sent on purpose and stays.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Status;
use serde_json::json;

use super::json;

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One text per span: its ids, and everything that was said about it. Equal spans keep their number.
pub fn spans(request: &ExportTraceServiceRequest) -> Vec<(String, String)> {
    let mut spans = Vec::new();
    for resource_spans in &request.resource_spans {
        for scope_spans in &resource_spans.scope_spans {
            for span in &scope_spans.spans {
                // A status in which nothing is said is no status.
                let mut span = span.clone();
                span.status = span.status.filter(|status| *status != Status::default());
                let whole = json!({
                    "resource": json::from_resource(resource_spans.resource.as_ref()),
                    "resourceSchemaUrl": resource_spans.schema_url,
                    "scope": json::from_scope(scope_spans.scope.as_ref()),
                    "scopeSchemaUrl": scope_spans.schema_url,
                    "span": json::from_span(&span),
                });
                let id = format!("{} {}", hex(&span.trace_id), hex(&span.span_id));
                spans.push((id, format!("{whole:#}")));
            }
        }
    }
    spans.sort();
    spans
}

/// Splits a request into one request per trace id, in the order of ids.
pub fn by_trace(request: &ExportTraceServiceRequest) -> BTreeMap<String, ExportTraceServiceRequest> {
    let mut traces: BTreeMap<String, ExportTraceServiceRequest> = BTreeMap::new();
    for resource_spans in &request.resource_spans {
        for scope_spans in &resource_spans.scope_spans {
            for span in &scope_spans.spans {
                let mut scope_spans = scope_spans.clone();
                scope_spans.spans = vec![span.clone()];
                let mut resource_spans = resource_spans.clone();
                resource_spans.scope_spans = vec![scope_spans];
                traces.entry(hex(&span.trace_id)).or_default().resource_spans.push(resource_spans);
            }
        }
    }
    traces
}

/// Fails with the first line that differs.
#[track_caller]
pub fn assert_same(what: &str, sent: &ExportTraceServiceRequest, got: &ExportTraceServiceRequest) {
    let (sent, got) = (spans(sent), spans(got));
    let ids = |spans: &[(String, String)]| spans.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&sent), ids(&got), "{what}: ids sent and got");
    for ((id, sent), (_, got)) in sent.iter().zip(&got) {
        let lines = sent.lines().zip(got.lines()).find(|(sent, got)| sent != got);
        assert!(sent == got, "{what}: span {id} differs at {lines:?}\n--- sent\n{sent}\n--- got\n{got}");
    }
}
