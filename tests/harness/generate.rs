//! Made-up requests of any size.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngCore as _};

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
/// and each hundredth span failed. Ended `seconds_ago`.
pub fn big_trace(trace_id: u128, n_spans: u64, seconds_ago: u64) -> ExportTraceServiceRequest {
    const SERVICES: u64 = 12;
    const LASTS_NANOS: u64 = 10_000_000_000;
    let end = now_nanos() - seconds_ago * 1_000_000_000;
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

/// Texts that something, somewhere, may take for more than text.
const TEXTS: &[&str] = &[
    "",
    "GET /orders",
    "äpfel 梨 🍐",
    "<b onmouseover=alert(1)>bold</b>",
    "'; DROP TABLE spans; --",
    "../../etc/passwd",
    "line\nbreak\ttab",
    "\u{0}\u{1}\u{7f}",
    "\u{202e}evol",
    "\u{feff}mark",
    "\\\"quoted\\\"",
    "null",
    "NaN",
    "-0",
    "{}",
    "[1]",
    " ",
];

/// Keys: some have a column, some are old names, some are nobody's.
const KEYS: &[&str] = &[
    "http.request.method",
    "http.response.status_code",
    "server.address",
    "server.port",
    "url.path",
    "http.method",
    "db.system.name",
    "messaging.system",
    "messaging.destination.name",
    "user.id",
    "order.id",
    "a",
    "a.b",
    "a.b.c",
    "Ä",
    "with space",
    "with'quote",
    "http.route",
    "error.type",
    "rpc.method",
    "exception.type",
    "thread.id",
    "x\ny",
];

/// A request of one trace in which every field may be anything that needs no repair: unknown kinds and codes, attributes
/// of wrong and mixed types, nested values, odd numbers, odd texts. The same `random` gives the same request.
pub fn odd_request(random: &mut StdRng, trace_id: u128) -> ExportTraceServiceRequest {
    let groups = random.random_range(1..4);
    let resource_spans = (0..groups)
        .map(|_| ResourceSpans {
            resource: random.random_bool(0.9).then(|| Resource {
                attributes: odd_attributes(random, &["service.name", "service.version", "host.name", "zone", "a.b"]),
                dropped_attributes_count: *[0, 0, 3].choose(random).expect("not empty"),
                entity_refs: Vec::new(),
            }),
            scope_spans: (0..random.random_range(1..3))
                .map(|_| ScopeSpans {
                    scope: random.random_bool(0.8).then(|| InstrumentationScope {
                        name: odd_text(random),
                        version: odd_text(random),
                        attributes: odd_attributes(random, &["s", "http.route"]),
                        dropped_attributes_count: *[0, 0, 1].choose(random).expect("not empty"),
                    }),
                    spans: (0..random.random_range(1..5)).map(|_| odd_span(random, trace_id)).collect(),
                    schema_url: odd_text(random),
                })
                .collect(),
            schema_url: odd_text(random),
        })
        .collect();
    ExportTraceServiceRequest { resource_spans }
}

fn odd_text(random: &mut StdRng) -> String {
    (*TEXTS.choose(random).expect("not empty")).to_owned()
}

fn odd_id<const N: usize>(random: &mut StdRng) -> Vec<u8> {
    let mut id = [0; N];
    random.fill_bytes(&mut id);
    id[0] |= 1;
    id.to_vec()
}

fn odd_span(random: &mut StdRng, trace_id: u128) -> Span {
    let start = now_nanos() - random.random_range(60_000_000_000..3_600_000_000_000);
    let event = |random: &mut StdRng| Event {
        time_unix_nano: if random.random_bool(0.2) { 0 } else { start + random.random_range(0..1_000_000) },
        name: odd_text(random),
        attributes: odd_attributes(random, KEYS),
        dropped_attributes_count: random.random_range(0..3),
    };
    let link = |random: &mut StdRng| Link {
        trace_id: odd_id::<16>(random),
        span_id: odd_id::<8>(random),
        trace_state: odd_text(random),
        attributes: odd_attributes(random, KEYS),
        dropped_attributes_count: random.random_range(0..3),
        flags: random.random(),
    };
    Span {
        trace_id: trace_id.to_be_bytes().to_vec(),
        span_id: odd_id::<8>(random),
        trace_state: odd_text(random),
        parent_span_id: if random.random_bool(0.3) { Vec::new() } else { odd_id::<8>(random) },
        flags: random.random(),
        name: odd_text(random),
        kind: random.random_range(0..8),
        start_time_unix_nano: start,
        end_time_unix_nano: start + random.random_range(0..5_000_000_000),
        attributes: odd_attributes(random, KEYS),
        dropped_attributes_count: random.random(),
        events: (0..random.random_range(0..3)).map(|_| event(random)).collect(),
        dropped_events_count: random.random(),
        links: (0..random.random_range(0..3)).map(|_| link(random)).collect(),
        dropped_links_count: random.random(),
        status: random.random_bool(0.5).then(|| Status { message: odd_text(random), code: random.random_range(0..5) }),
    }
}

/// Distinct keys of the list, each with some value, in any order.
fn odd_attributes(random: &mut StdRng, keys: &[&str]) -> Vec<KeyValue> {
    let n = random.random_range(0..=keys.len().min(8));
    let keys: Vec<_> = keys.choose_multiple(random, n).collect();
    keys.into_iter()
        .map(|key| KeyValue { key: (*key).to_owned(), value: Some(odd_value(random, 3)), ..Default::default() })
        .collect()
}

fn odd_value(random: &mut StdRng, levels: u32) -> AnyValue {
    let value = match random.random_range(0..if levels == 0 { 7 } else { 9 }) {
        0 => None,
        1 | 2 => Some(Any::StringValue(odd_text(random))),
        3 => Some(Any::BoolValue(random.random())),
        4 => Some(Any::IntValue(*[0, -1, 200, i64::MAX, i64::MIN].choose(random).expect("not empty"))),
        5 => {
            let odd = [0.0, -0.0, 0.1, 1e300, f64::MIN_POSITIVE, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 3.0];
            Some(Any::DoubleValue(*odd.choose(random).expect("not empty")))
        }
        6 => Some(Any::BytesValue(vec![0, 255, 7, 128][..random.random_range(0..=4)].to_vec())),
        7 => {
            let values = (0..random.random_range(0..3)).map(|_| odd_value(random, levels - 1)).collect();
            Some(Any::ArrayValue(ArrayValue { values }))
        }
        _ => {
            let entry = |(n, key): (usize, &&str)| KeyValue {
                key: format!("{key}{n}"),
                value: Some(odd_value(random, levels - 1)),
                ..Default::default()
            };
            let values = KEYS[..2].iter().enumerate().map(entry).collect();
            Some(Any::KvlistValue(KeyValueList { values }))
        }
    };
    AnyValue { value }
}
