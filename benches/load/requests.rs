//! Believable trace requests as bytes, given fresh ids for each send.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// Spans of one trace in the generated load.
pub const SPANS_PER_TRACE: usize = 8;

/// A request as bytes, and where its ids stand in them.
#[derive(Clone)]
pub struct EncodedRequest {
    bytes: Vec<u8>,
    /// Offset of each span's trace id.
    trace_ids: Vec<usize>,
    /// Spans in it.
    pub n_spans: usize,
}

impl EncodedRequest {
    /// The bytes with trace ids that no other `serial` gets. Spans of one trace keep a common id.
    pub fn with_serial(&mut self, serial: u64) -> bytes::Bytes {
        for (span, offset) in self.trace_ids.iter().enumerate() {
            let id = trace_id(serial, span);
            self.bytes[*offset..offset + 16].copy_from_slice(&id);
        }
        bytes::Bytes::copy_from_slice(&self.bytes)
    }
}

/// The trace id of the `span`-th span in the request with this serial.
pub fn trace_id(serial: u64, span: usize) -> [u8; 16] {
    let trace = (span / SPANS_PER_TRACE) as u64;
    // Mixed, so that ids are spread like random ones.
    let high = (serial << 16 | trace).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let low = (serial.rotate_left(32) ^ trace).wrapping_mul(0xD1B5_4A32_D192_ED03) | 1;
    let mut id = [0; 16];
    id[..8].copy_from_slice(&high.to_be_bytes());
    id[8..].copy_from_slice(&low.to_be_bytes());
    id
}

/// `n_requests` requests of `n_spans` spans each: 10 attributes a span (most of them conventional), 8 on
/// the resource, 2 % of the spans with an exception event, 2 % with a link, 1 % failed; about 490 bytes a
/// span. Times lie in the 60 s before `now`.
pub fn encode(n_requests: usize, n_spans: usize, now_unix_nano: u64) -> Vec<EncodedRequest> {
    let mut random = StdRng::seed_from_u64(7);
    (0..n_requests).map(|index| encode_one(index, n_spans, now_unix_nano, &mut random)).collect()
}

fn encode_one(index: usize, n_spans: usize, now: u64, random: &mut StdRng) -> EncodedRequest {
    let service = format!("service-{:02}", index % 24);
    let spans: Vec<Span> = (0..n_spans).map(|position| span(position, now, random)).collect();
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes: resource_attributes(&service, index), ..Default::default() }),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "io.opentelemetry.http".into(),
                    version: "2.9.0".into(),
                    ..Default::default()
                }),
                spans,
                schema_url: "https://opentelemetry.io/schemas/1.37.0".into(),
            }],
            schema_url: String::new(),
        }],
    };
    let bytes = request.encode_to_vec();
    EncodedRequest { trace_ids: find_trace_ids(&bytes, n_spans), bytes, n_spans }
}

/// Marks that stand in the place of trace ids until a request is sent.
fn mark(position: usize) -> [u8; 16] {
    let mut id = *b"\xfa\xceMARKmark\x00\x00\x00\x00\xfe\xed";
    id[10..14].copy_from_slice(&(position as u32).to_be_bytes());
    id
}

fn find_trace_ids(bytes: &[u8], n_spans: usize) -> Vec<usize> {
    let mut from = 0;
    (0..n_spans)
        .map(|position| {
            let mark = mark(position);
            let found = bytes[from..].windows(16).position(|window| window == mark).expect("each mark was encoded");
            from += found + 16;
            from - 16
        })
        .collect()
}

fn span(position: usize, now: u64, random: &mut StdRng) -> Span {
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
    let start = now - random.random_range(1_000_000_000..60_000_000_000);
    let duration = (random.random::<f64>().powi(4) * 2e9) as u64 + 100_000;
    let is_error = random.random_range(0..100) == 0;
    let attributes = vec![
        text("http.request.method", ["GET", "POST", "PUT"][random.random_range(0..3)]),
        text("http.route", route),
        text("url.path", &route.replace("{id}", &random.random_range(0..1_000_000u32).to_string())),
        int("http.response.status_code", if is_error { 503 } else { 200 }),
        text("server.address", "shop.example"),
        int("server.port", 8080),
        text("user.id", &format!("user-{}", random.random_range(0..200_000))),
        text(
            "network.peer.address",
            &format!("10.{}.{}.{}", random.random::<u8>(), random.random::<u8>(), random.random::<u8>()),
        ),
        text("order.id", &format!("ord-{:016x}", random.random::<u64>())),
        int("thread.id", random.random_range(1..64)),
    ];
    let rare = random.random_range(0..100);
    Span {
        trace_id: mark(position).to_vec(),
        span_id: random.random::<[u8; 8]>().to_vec(),
        parent_span_id: if position.is_multiple_of(SPANS_PER_TRACE) {
            vec![]
        } else {
            random.random::<[u8; 8]>().to_vec()
        },
        flags: 0x101,
        name: format!("GET {route}"),
        kind: 1 + (position % 3) as i32,
        start_time_unix_nano: start,
        end_time_unix_nano: start + duration,
        attributes,
        events: if rare < 2 { vec![exception(start + duration / 2)] } else { vec![] },
        links: if rare >= 98 { vec![link(random)] } else { vec![] },
        status: is_error.then(|| Status { code: 2, message: "upstream unavailable".into() }),
        ..Default::default()
    }
}

fn exception(time: u64) -> Event {
    Event {
        time_unix_nano: time,
        name: "exception".into(),
        attributes: vec![
            text("exception.type", "java.net.SocketTimeoutException"),
            text("exception.message", "Read timed out after 2000 ms"),
            text("exception.stacktrace", &"\tat com.example.shop.Client.call(Client.java:117)\n".repeat(8)),
        ],
        dropped_attributes_count: 0,
    }
}

fn link(random: &mut StdRng) -> Link {
    Link {
        trace_id: random.random::<[u8; 16]>().to_vec(),
        span_id: random.random::<[u8; 8]>().to_vec(),
        ..Default::default()
    }
}

fn resource_attributes(service: &str, index: usize) -> Vec<KeyValue> {
    vec![
        text("service.name", service),
        text("service.version", "4.31.0"),
        text("service.instance.id", &format!("{service}-{}", index % 6)),
        text("deployment.environment.name", "production"),
        text("host.name", &format!("ip-10-4-18-{}", index % 40)),
        text("k8s.pod.name", &format!("{service}-6d9f7-{:05x}", index % 97)),
        text("k8s.namespace.name", "shop"),
        text("telemetry.sdk.language", "java"),
    ]
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn int(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}
