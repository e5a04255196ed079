//! Spans made one by one, for benches whose question depends on how they hang together.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Link;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;

use super::spans::{scope, text};

/// Kinds as OTLP numbers them.
pub const SERVER: i32 = 2;
/// Asks another service.
pub const CLIENT: i32 = 3;
/// Hands a message to a broker.
pub const PRODUCER: i32 = 4;
/// Handles a message.
pub const CONSUMER: i32 = 5;

const MS: u64 = 1_000_000;

/// Spans of services, by service.
#[derive(Default)]
pub struct Made {
    services: std::collections::BTreeMap<String, Vec<Span>>,
    /// Spans so far.
    pub n_spans: usize,
}

/// A trace that is being made: spans get numbers from 1.
pub struct Trace {
    /// Its id.
    pub id: [u8; 16],
    start: u64,
    last: u64,
}

impl Trace {
    /// A trace that starts at a moment (nanoseconds since 1970).
    pub fn new(number: u64, start: u64) -> Self {
        Self { id: trace_id(number), start, last: 0 }
    }

    /// Adds a span from `at` to `at + took` milliseconds; gives its number.
    pub fn add(
        &mut self,
        made: &mut Made,
        service: &str,
        (kind, parent): (i32, u64),
        (at, took): (u64, u64),
        (name, attributes): (&str, Vec<KeyValue>),
    ) -> u64 {
        self.last += 1;
        let id = |number: u64| if number == 0 { Vec::new() } else { number.to_be_bytes().to_vec() };
        let span = Span {
            trace_id: self.id.to_vec(),
            span_id: id(self.last),
            parent_span_id: id(parent),
            flags: 0x101,
            name: name.to_owned(),
            kind,
            start_time_unix_nano: self.start + at * MS,
            end_time_unix_nano: self.start + (at + took) * MS,
            attributes,
            ..Default::default()
        };
        made.n_spans += 1;
        match made.services.get_mut(service) {
            Some(spans) => spans.push(span),
            None => drop(made.services.insert(service.to_owned(), vec![span])),
        }
        self.last
    }
}

impl Made {
    /// Gives the newest span of a service a link.
    pub fn link(&mut self, service: &str, trace_id: [u8; 16], span: u64) {
        let spans = self.services.get_mut(service).expect("it has a span");
        let link = Link { trace_id: trace_id.to_vec(), span_id: span.to_be_bytes().to_vec(), ..Default::default() };
        spans.last_mut().expect("it has a span").links.push(link);
    }

    /// One request with everything so far; empty afterwards.
    pub fn take_request(&mut self) -> Vec<u8> {
        self.n_spans = 0;
        let resource_spans = std::mem::take(&mut self.services).into_iter().map(|(service, spans)| {
            let attributes = vec![
                text("service.name", &service),
                text("service.version", "4.31.0"),
                text("service.instance.id", &format!("{service}-1")),
                text("deployment.environment.name", "production"),
            ];
            ResourceSpans {
                resource: Some(Resource { attributes, ..Default::default() }),
                scope_spans: vec![ScopeSpans { scope: Some(scope()), spans, ..Default::default() }],
                ..Default::default()
            }
        });
        ExportTraceServiceRequest { resource_spans: resource_spans.collect() }.encode_to_vec()
    }
}

/// Ids spread like random ones, and never like those of the generated load.
pub fn trace_id(number: u64) -> [u8; 16] {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    id[8..].copy_from_slice(&(number ^ 0x5EED_5EED_0000_0000).wrapping_mul(0xD134_2543_DE82_EF95).to_be_bytes());
    id
}

/// As in addresses.
pub fn hex(id: [u8; 16]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sends a request over OTLP/HTTP until it is taken.
pub async fn send(client: &reqwest::Client, otlp_http: &str, request: Vec<u8>) {
    loop {
        let post = client.post(format!("http://{otlp_http}/v1/traces"));
        let post = post.header("content-type", "application/x-protobuf").body(request.clone());
        let status = post.send().await.expect("the collector answers").status();
        if status == 200 {
            return;
        }
        assert!(matches!(status.as_u16(), 429 | 503), "a valid request was refused: {status}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

/// Waits until the digest has looked at everything; gives its state then, or after `seconds`.
pub async fn at_rest(http: &str, seconds: u64) -> api::DigestStatus {
    let begun = std::time::Instant::now();
    loop {
        let answer = reqwest::get(format!("http://{http}/api/status")).await.expect("an answer");
        let status: api::StatusAnswer =
            serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("a status");
        let is_over = begun.elapsed().as_secs() > seconds;
        if is_over || (status.digest.open_spans == 0 && !status.digest.catching_up && status.digest.spans > 0) {
            return status.digest;
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
}
