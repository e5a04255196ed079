//! Believable log records.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use prost::Message as _;

use super::requests::{Draft, EncodedRequest, What};
use super::spans::{int, resource, scope, text};
use super::wire;

/// `n_requests` requests of `n_records` log records each: a sentence with two numbers in it, 4 attributes,
/// and every other record of a span; about 270 bytes a record.
pub fn encode(n_requests: usize, n_records: usize) -> Vec<EncodedRequest> {
    (0..n_requests).map(|index| encode_one(index, n_records)).collect()
}

fn encode_one(index: usize, n_records: usize) -> EncodedRequest {
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource(index)),
            scope_logs: vec![ScopeLogs {
                scope: Some(scope()),
                log_records: (0..n_records).map(record).collect(),
                schema_url: "https://opentelemetry.io/schemas/1.37.0".into(),
            }],
            schema_url: String::new(),
        }],
    };
    let mut draft = Draft::new(request.encode_to_vec());
    for (item, place) in wire::descend(draft.bytes(), &[1, 2, 2]).into_iter().enumerate() {
        draft.item(item);
        let field = |draft: &Draft, number| wire::field(draft.bytes(), place.clone(), number);
        draft.patch(field(&draft, 1), What::Start { before_now: 1_000_000 });
        draft.patch(field(&draft, 11), What::After { nanos: 20_000 });
        draft.patch(field(&draft, 9), What::TraceId);
        draft.patch(field(&draft, 10), What::SpanId);
        let body = field(&draft, 5).expect("every record has a body");
        draft.patch_text(wire::field(draft.bytes(), body, 1).expect("every body is text"));
        draft.patch_attributes(place.clone(), 6);
    }
    draft.finish(n_records)
}

fn record(position: usize) -> LogRecord {
    const BODIES: [&str; 4] = [
        "order ord-~~~~~~~~~~~~ accepted in ### ms",
        "cache miss for key user:1#####, loaded in ## ms",
        "payment of ##.## EUR authorised, reference ~~~~~~~~",
        "retrying request to stock service, attempt #, waited ### ms",
    ];
    let in_span = position.is_multiple_of(2);
    LogRecord {
        time_unix_nano: 1,
        observed_time_unix_nano: 1,
        severity_number: if position.is_multiple_of(16) { 17 } else { 9 },
        severity_text: if position.is_multiple_of(16) { "ERROR" } else { "INFO" }.into(),
        body: Some(AnyValue { value: Some(Value::StringValue(BODIES[position % 4].into())) }),
        attributes: vec![
            text("code.function.name", "com.example.shop.Orders.accept"),
            int("thread.id", 17),
            text("log.logger", "com.example.shop.Orders"),
            text("user.id", "user-1#####"),
        ],
        trace_id: if in_span { vec![1; 16] } else { vec![] },
        span_id: if in_span { vec![1; 8] } else { vec![] },
        flags: 1,
        ..Default::default()
    }
}
