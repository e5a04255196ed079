//! Believable spans.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::requests::{Draft, EncodedRequest, SPANS_PER_TRACE, What};
use super::wire;

/// `n_requests` requests (a multiple of 8) of `n_spans` spans each: 10 attributes a span (most of them
/// conventional), 8 on the resource, 2 % of the spans with an exception event, 2 % with a link, 1 % failed;
/// about 490 bytes a span. A trace has one span in each of 8 requests, and each request is of one service.
pub fn encode(n_requests: usize, n_spans: usize) -> Vec<EncodedRequest> {
    assert!(n_requests.is_multiple_of(SPANS_PER_TRACE as usize), "a trace would have two roots");
    let mut random = StdRng::seed_from_u64(7);
    (0..n_requests).map(|index| encode_one(index, n_spans, &mut random)).collect()
}

fn encode_one(index: usize, n_spans: usize, random: &mut StdRng) -> EncodedRequest {
    let has_parent = !index.is_multiple_of(SPANS_PER_TRACE as usize);
    let (spans, durations): (Vec<Span>, Vec<u64>) =
        (0..n_spans).map(|position| span(position, has_parent, random)).unzip();
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource(index)),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope()),
                spans,
                schema_url: "https://opentelemetry.io/schemas/1.37.0".into(),
            }],
            schema_url: String::new(),
        }],
    };
    let mut draft = Draft::new(request.encode_to_vec());
    for (item, (place, duration)) in wire::descend(draft.bytes(), &[1, 2, 2]).into_iter().zip(durations).enumerate() {
        draft.item(item);
        let field = |draft: &Draft, number| wire::field(draft.bytes(), place.clone(), number);
        draft.patch(field(&draft, 1), What::TraceId);
        draft.patch(field(&draft, 2), What::SpanId);
        draft.patch(field(&draft, 4), What::ParentId);
        draft.patch(field(&draft, 7), What::Start { before_now: duration + 1_000_000 });
        draft.patch(field(&draft, 8), What::After { nanos: duration });
        draft.patch_attributes(place.clone(), 9);
        for event in wire::fields(draft.bytes(), place.clone(), 11) {
            draft.patch(wire::field(draft.bytes(), event, 1), What::After { nanos: duration / 2 });
        }
        for link in wire::fields(draft.bytes(), place.clone(), 13) {
            draft.patch(wire::field(draft.bytes(), link.clone(), 1), What::Random);
            draft.patch(wire::field(draft.bytes(), link, 2), What::Random);
        }
    }
    draft.finish(n_spans)
}

fn span(position: usize, has_parent: bool, random: &mut StdRng) -> (Span, u64) {
    const ROUTES: [&str; 12] = [
        "/api/orders",
        "/api/orders/{id}",
        "/api/cart",
        "/api/cart/{id}/items",
        "/api/payments",
        "/api/users/{id}",
        "/api/search",
        "/api/stock/{sku}",
        "/api/recommendations",
        "/api/shipping/quote",
        "/login",
        "/healthz",
    ];
    let route = ROUTES[random.random_range(0..ROUTES.len())];
    let duration = (random.random::<f64>().powi(4) * 2e9) as u64 + 100_000;
    let is_error = random.random_range(0..100) == 0;
    let attributes = vec![
        text("http.request.method", ["GET", "POST", "PUT"][random.random_range(0..3)]),
        text("http.route", route),
        text("url.path", &route.replace("{id}", "######").replace("{sku}", "sku-####")),
        int("http.response.status_code", if is_error { 503 } else { 200 }),
        text("server.address", "shop.example"),
        int("server.port", 8080),
        text("user.id", "user-1#####"),
        text("network.peer.address", "10.1##.1##.1##"),
        text("order.id", "ord-~~~~~~~~~~~~~~~~"),
        int("thread.id", random.random_range(1..64)),
    ];
    let rare = random.random_range(0..100);
    let span = Span {
        trace_id: vec![1; 16],
        span_id: vec![1; 8],
        parent_span_id: if has_parent { vec![1; 8] } else { vec![] },
        flags: 0x101,
        name: format!("GET {route}"),
        kind: 1 + (position % 3) as i32,
        start_time_unix_nano: 1,
        end_time_unix_nano: 1,
        attributes,
        events: if rare < 2 { vec![exception()] } else { vec![] },
        links: if rare >= 98 { vec![link()] } else { vec![] },
        status: is_error.then(|| Status { code: 2, message: "upstream unavailable".into() }),
        ..Default::default()
    };
    (span, duration)
}

fn exception() -> Event {
    Event {
        time_unix_nano: 1,
        name: "exception".into(),
        attributes: vec![
            text("exception.type", "java.net.SocketTimeoutException"),
            text("exception.message", "Read timed out after 2000 ms"),
            text("exception.stacktrace", &"\tat com.example.shop.Client.call(Client.java:117)\n".repeat(8)),
        ],
        dropped_attributes_count: 0,
    }
}

fn link() -> Link {
    Link { trace_id: vec![1; 16], span_id: vec![1; 8], ..Default::default() }
}

/// The resource of the `index`-th request: 24 services with a few instances each.
pub fn resource(index: usize) -> Resource {
    let service = format!("service-{:02}", index % 24);
    let attributes = vec![
        text("service.name", &service),
        text("service.version", "4.31.0"),
        text("service.instance.id", &format!("{service}-{}", index % 6)),
        text("deployment.environment.name", "production"),
        text("host.name", &format!("ip-10-4-18-{}", index % 40)),
        text("k8s.pod.name", &format!("{service}-6d9f7-{:05x}", index % 97)),
        text("k8s.namespace.name", "shop"),
        text("telemetry.sdk.language", "java"),
    ];
    Resource { attributes, ..Default::default() }
}

pub fn scope() -> InstrumentationScope {
    InstrumentationScope { name: "io.opentelemetry.http".into(), version: "2.9.0".into(), ..Default::default() }
}

pub fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

pub fn int(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}
