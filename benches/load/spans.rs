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

use super::requests::{self, Draft, EncodedRequest, SPANS_PER_OWN_TRACE, SPANS_PER_TRACE, What};
use super::wire;

/// What the spans of a load are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// A trace has one span in each of 8 requests, and each request is of one service: no id but that of a trace comes twice, and
    /// never in one service. Durations up to two seconds.
    Scattered,
    /// What spec/ENGINE.md section 6 measured its 64 to 66 bytes on, as far as it says: 98 requests of 512 spans; of 12 kinds of
    /// attributes, 8 of which have a column, each span has 10; 8 more on the resource. A trace is three spans of one service, each the
    /// child of the one before: a look-up by id found three rows in one row group there, and ids took 8.6 + 8.0 + 5.5 bytes.
    /// Durations are such that 14 of 786,000 last longer than 45 ms. What the values of the other attributes were it does not say.
    Engine,
}

impl Load {
    /// That `BENCH_SPANS` names: `engine`, else scattered ones.
    pub fn asked() -> Self {
        match std::env::var("BENCH_SPANS") {
            Ok(name) if name == "engine" => Self::Engine,
            Ok(name) => panic!("BENCH_SPANS is engine or not set, not {name:?}"),
            Err(_) => Self::Scattered,
        }
    }

    /// Requests of 512 spans each.
    pub fn encode(self) -> Vec<EncodedRequest> {
        let n_requests = match self {
            Self::Scattered => 96,
            Self::Engine => 98,
        };
        let mut random = StdRng::seed_from_u64(7);
        (0..n_requests).map(|index| encode_one(self, index, 512, &mut random)).collect()
    }

    /// The trace id of the `item`-th span in the request with this serial.
    pub fn trace_id(self, serial: u64, item: usize) -> [u8; 16] {
        match self {
            Self::Scattered => requests::trace_id(serial, item),
            Self::Engine => requests::own_trace_id(serial, item),
        }
    }

    /// Whether the span at a place has a parent.
    fn has_parent(self, request: usize, position: usize) -> bool {
        match self {
            Self::Scattered => !request.is_multiple_of(SPANS_PER_TRACE as usize),
            Self::Engine => !position.is_multiple_of(SPANS_PER_OWN_TRACE),
        }
    }

    /// Nanoseconds.
    fn duration(self, random: &mut StdRng) -> u64 {
        let share: f64 = random.random();
        match self {
            Self::Scattered => (share.powi(4) * 2e9) as u64 + 100_000,
            // Exponential with a mean of 4.1 ms.
            Self::Engine => (-share.max(1e-9).ln() * 4.1e6) as u64 + 1_000,
        }
    }
}

/// `n_requests` requests (a multiple of 8) of `n_spans` spans each: 10 attributes a span (most of them
/// conventional), 8 on the resource, 2 % of the spans with an exception event, 2 % with a link, 1 % failed;
/// about 490 bytes a span. A trace has one span in each of 8 requests, and each request is of one service.
pub fn encode(n_requests: usize, n_spans: usize) -> Vec<EncodedRequest> {
    assert!(n_requests.is_multiple_of(SPANS_PER_TRACE as usize), "a trace would have two roots");
    let mut random = StdRng::seed_from_u64(7);
    (0..n_requests).map(|index| encode_one(Load::Scattered, index, n_spans, &mut random)).collect()
}

fn encode_one(load: Load, index: usize, n_spans: usize, random: &mut StdRng) -> EncodedRequest {
    let (spans, durations): (Vec<Span>, Vec<u64>) =
        (0..n_spans).map(|position| span(load, position, load.has_parent(index, position), random)).unzip();
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
    let (trace, parent) = match load {
        Load::Scattered => (What::TraceId, What::ParentId),
        Load::Engine => (What::OwnTraceId, What::BeforeId),
    };
    let mut draft = Draft::new(request.encode_to_vec());
    for (item, (place, duration)) in wire::descend(draft.bytes(), &[1, 2, 2]).into_iter().zip(durations).enumerate() {
        draft.item(item);
        let field = |draft: &Draft, number| wire::field(draft.bytes(), place.clone(), number);
        draft.patch(field(&draft, 1), trace);
        draft.patch(field(&draft, 2), What::SpanId);
        draft.patch(field(&draft, 4), parent);
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

fn span(load: Load, position: usize, has_parent: bool, random: &mut StdRng) -> (Span, u64) {
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
    let duration = load.duration(random);
    let is_error = random.random_range(0..100) == 0;
    let mut attributes = vec![
        text("http.request.method", ["GET", "POST", "PUT"][random.random_range(0..3)]),
        text("http.route", route),
        text("url.path", &route.replace("{id}", "######").replace("{sku}", "sku-####")),
        int("http.response.status_code", if is_error { 503 } else { 200 }),
        text("server.address", "shop.example"),
        int("server.port", 8080),
        text("user.id", "user-1#####"),
        text(if load == Load::Engine { "client.address" } else { "network.peer.address" }, "10.1##.1##.1##"),
        text("order.id", "ord-~~~~~~~~~~~~~~~~"),
        int("thread.id", random.random_range(1..64)),
    ];
    if load == Load::Engine {
        attributes.push(text("session.id", "~~~~~~~~~~~~~~~~"));
        attributes.push(int("http.request.body.size", random.random_range(100..20_000)));
        for _ in 0..2 {
            attributes.remove(random.random_range(0..attributes.len()));
        }
    }
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
