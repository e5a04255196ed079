//! Requests that need no repair, of any content, for property tests.

use model::semconv::CONVENTIONS;
use model::{Attribute, AttributeValue};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::prelude::*;
use prost::Message as _;

use super::read::{list_to_otlp, value_to_otlp};
use super::world::NOW;

fn any_value() -> impl Strategy<Value = AttributeValue> {
    let leaf = prop_oneof![
        Just(AttributeValue::Empty),
        "(?s).{0,12}".prop_map(AttributeValue::String),
        any::<bool>().prop_map(AttributeValue::Bool),
        any::<i64>().prop_map(AttributeValue::Int),
        any::<f64>().prop_filter("NaN is not equal to itself", |v| !v.is_nan()).prop_map(AttributeValue::Double),
        proptest::collection::vec(any::<u8>(), 0..9).prop_map(AttributeValue::Bytes),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(AttributeValue::Array),
            proptest::collection::btree_map("[a-z]{0,3}", inner, 0..3).prop_map(|entries| {
                AttributeValue::Map(entries.into_iter().map(|(key, value)| Attribute { key, value }).collect())
            }),
        ]
    })
}

/// Distinct keys in any order, many of them of the conventions, with values of any type.
fn any_attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let known: Vec<&'static str> = CONVENTIONS
        .iter()
        .flat_map(|convention| convention.replaces.iter().chain([&convention.key]))
        .copied()
        .collect();
    let key = prop_oneof![proptest::sample::select(known).prop_map(str::to_owned), "(?s).{0,6}"];
    let entries = proptest::collection::hash_map(key, any_value(), 0..8);
    entries.prop_map(|entries| list_to_otlp(entries.into_iter().map(|(key, value)| Attribute { key, value }).collect()))
}

fn any_id(n_bytes: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(1u8.., n_bytes)
}

prop_compose! {
    fn any_resource()(attributes in any_attributes(), dropped_attributes_count: u32) -> Resource {
        Resource { attributes, dropped_attributes_count, entity_refs: Vec::new() }
    }
}

prop_compose! {
    fn any_scope()(name in ".{0,6}", version in ".{0,3}", attributes in any_attributes(), dropped_attributes_count: u32)
        -> InstrumentationScope
    {
        InstrumentationScope { name, version, attributes, dropped_attributes_count }
    }
}

prop_compose! {
    fn any_event()(time_unix_nano: u64, name in ".{0,6}", attributes in any_attributes(), dropped_attributes_count: u32)
        -> Event
    {
        Event { time_unix_nano, name, attributes, dropped_attributes_count }
    }
}

prop_compose! {
    fn any_link()(trace_id in any_id(16), span_id in any_id(8), trace_state in ".{0,4}", attributes in any_attributes(),
        dropped_attributes_count: u32, flags: u32) -> Link
    {
        Link { trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags }
    }
}

prop_compose! {
    /// Times are odd on purpose: zero, backwards and far ahead are kept beside what is believed.
    fn any_span()(
        ids in (any_id(16), any_id(8), prop_oneof![Just(Vec::new()), any_id(8)]),
        texts in (".{0,6}", "(?s).{0,9}"),
        numbers in any::<(u32, i32, u32, u32, u32)>(),
        times in prop::array::uniform2(prop_oneof![Just(0u64), Just(NOW.0 as u64), any::<u64>()]),
        attributes in any_attributes(),
        events in proptest::collection::vec(any_event(), 0..3),
        links in proptest::collection::vec(any_link(), 0..3),
        status in proptest::option::of((".{0,6}", any::<i32>())),
    ) -> Span {
        let parent_span_id = if ids.2 == ids.1 { Vec::new() } else { ids.2 };
        Span {
            trace_id: ids.0,
            span_id: ids.1,
            trace_state: texts.0,
            parent_span_id,
            flags: numbers.0,
            name: texts.1,
            kind: numbers.1,
            start_time_unix_nano: times[0],
            end_time_unix_nano: times[1],
            attributes,
            dropped_attributes_count: numbers.2,
            events,
            dropped_events_count: numbers.3,
            links,
            dropped_links_count: numbers.4,
            status: status.map(|(message, code)| Status { message, code }),
        }
    }
}

prop_compose! {
    /// An encoded request with spans.
    pub(super) fn any_traces()(
        resources in proptest::collection::vec(
            (any_resource(), ".{0,3}", proptest::collection::vec(
                (any_scope(), ".{0,3}", proptest::collection::vec(any_span(), 0..4)), 0..3)), 0..3)
    ) -> Vec<u8> {
        let resource_spans = resources.into_iter().map(|(resource, schema_url, scopes)| ResourceSpans {
            resource: Some(resource),
            schema_url,
            scope_spans: scopes.into_iter().map(|(scope, schema_url, spans)| ScopeSpans {
                scope: Some(scope), spans, schema_url,
            }).collect(),
        });
        ExportTraceServiceRequest { resource_spans: resource_spans.collect() }.encode_to_vec()
    }
}

prop_compose! {
    fn any_log()(
        ids in prop_oneof![Just((Vec::new(), Vec::new())), (any_id(16), any_id(8))],
        texts in (".{0,6}", ".{0,6}"),
        numbers in any::<(i32, u32, u32)>(),
        times in prop::array::uniform2(prop_oneof![Just(0u64), Just(NOW.0 as u64), any::<u64>()]),
        attributes in any_attributes(),
        body in proptest::option::of(any_value()),
    ) -> LogRecord {
        LogRecord {
            time_unix_nano: times[0],
            observed_time_unix_nano: times[1],
            severity_number: numbers.0,
            severity_text: texts.0,
            body: body.map(value_to_otlp),
            attributes,
            dropped_attributes_count: numbers.1,
            flags: numbers.2,
            trace_id: ids.0,
            span_id: ids.1,
            event_name: texts.1,
        }
    }
}

prop_compose! {
    /// An encoded request with log records.
    pub(super) fn any_logs()(
        resource in any_resource(), scope in any_scope(), records in proptest::collection::vec(any_log(), 0..6)
    ) -> Vec<u8> {
        let scope_logs = vec![ScopeLogs { scope: Some(scope), log_records: records, schema_url: "s".into() }];
        let resource_logs = vec![ResourceLogs { resource: Some(resource), scope_logs, schema_url: "r".into() }];
        ExportLogsServiceRequest { resource_logs }.encode_to_vec()
    }
}
