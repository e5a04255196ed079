//! What is asked of storage while journeys are gathered, and what is said when a bound cuts it.

use std::collections::BTreeSet;

use model::{AttributeValue, TraceId, UnixNanos};

use super::{Gathered, gather, gather_all};
use crate::analysis::thresholds::Bounds;
use crate::config::Config;
use crate::testing::{Fixture, MS, TestSpan, span, spans_batch, tenant, trace_id};

const SECOND_MS: i64 = UnixNanos::SECOND / MS;

fn text(text: &str) -> AttributeValue {
    AttributeValue::String(text.to_owned())
}

/// A call that is answered with the address of its result.
fn accepted(trace: u64, start_ms: i64, address: &'static str) -> TestSpan {
    TestSpan {
        kind: 2,
        columns: vec![
            ("http_request_method", text("POST")),
            ("http_status_code", AttributeValue::Int(202)),
            ("url_path", text("/reports")),
        ],
        order: Some("http.request.method,http.response.status_code,url.path,*"),
        attributes: vec![("http.response.header.location", text(address))],
        ..span(trace, trace * 10, None, "POST /reports", start_ms, 5)
    }
}

/// A look at an address.
fn look(trace: u64, start_ms: i64, address: &'static str) -> TestSpan {
    TestSpan {
        kind: 2,
        columns: vec![("http_request_method", text("GET")), ("url_path", text(address))],
        order: Some("http.request.method,url.path,*"),
        ..span(trace, trace * 10, None, "GET /reports/jobs/{id}", start_ms, 5)
    }
}

/// A Kafka record that is sent, or handled without the context of its sender.
fn record(trace: u64, id: u64, is_sent: bool, offset: i64) -> TestSpan {
    TestSpan {
        kind: if is_sent { 4 } else { 5 },
        columns: vec![
            ("messaging_system", text("kafka")),
            ("messaging_operation", text(if is_sent { "send" } else { "process" })),
            ("messaging_destination", text("orders")),
            ("messaging_partition", text("0")),
            ("messaging_offset", AttributeValue::Int(offset)),
        ],
        order: Some(
            "messaging.system,messaging.operation.type,messaging.destination.name,messaging.destination.partition.id,\
             messaging.kafka.offset,*",
        ),
        ..span(trace, id, None, "orders", if is_sent { 0 } else { 100 } + offset, 1)
    }
}

async fn gathered(rows_max: u64, spans: &[TestSpan], seed: u64) -> Gathered {
    let config = Config { threads: 2, rows_max, ..Config::default() };
    let fixture = Fixture::with_config(config, vec![spans_batch(spans)]).await;
    let session = fixture.engine.session(fixture.engine.snapshot(&tenant())).expect("a session");
    let (bounds, options) = (Bounds::default(), session.config.options());
    gather(&session, trace_id(seed), None, &bounds, &options).await.expect("it is gathered")
}

fn traces(gathered: &Gathered) -> BTreeSet<TraceId> {
    gathered.spans.iter().map(|span| span.trace_id).collect()
}

#[track_caller]
fn says(gathered: &Gathered, words: &str) {
    assert!(gathered.reasons.iter().any(|reason| reason.contains(words)), "{:?}", gathered.reasons);
}

/// Who gave an address, who looks at it, and who sent a record are looked for among so many rows; when there are more, the
/// journey says that it may miss some.
#[tokio::test]
async fn a_cut_is_said() {
    let address = "/reports/jobs/7f3a9c21";
    let polled =
        [accepted(1, 0, address), accepted(2, 10, "/reports/jobs/8b1d"), look(3, 500, address), look(4, 900, address)];
    let whole = gathered(1_000, &polled, 3).await;
    assert_eq!((traces(&whole), &whole.reasons), (BTreeSet::from([1, 3, 4].map(trace_id)), &Vec::new()));
    says(&gathered(1, &polled, 3).await, "status addresses before");
    says(&gathered(1, &polled, 1).await, "look at these status addresses");

    let records = [record(1, 1, true, 7), record(2, 2, true, 7), record(3, 3, false, 7)];
    let whole = gathered(1_000, &records, 3).await;
    assert!(whole.reasons.is_empty() && traces(&whole).contains(&trace_id(1)), "{whole:?}");
    says(&gathered(1, &records, 3).await, "Kafka records have this offset");
}

/// The first records of a long batch are looked up, and that the others are not is said; of two batches together as of each.
#[tokio::test]
async fn a_long_batch_is_looked_up_as_far_as_it_goes() {
    let mut spans: Vec<TestSpan> = (0..20).map(|offset| record(1, 100 + offset, true, offset as i64)).collect();
    spans.extend((0..20).map(|offset| record(2, 200 + offset, false, offset as i64)));
    spans.push(record(3, 300, true, 40));
    spans.push(record(4, 400, false, 40));
    let whole = gathered(1_000, &spans, 2).await;
    assert!(traces(&whole).contains(&trace_id(1)), "{whole:?}");
    says(&whole, "4 Kafka records");

    let fixture = Fixture::new(vec![spans_batch(&spans)]).await;
    let session = fixture.engine.session(fixture.engine.snapshot(&tenant())).expect("a session");
    let seeds = BTreeSet::from([2, 4].map(trace_id));
    let together = gather_all(&session, &seeds, &Bounds::default(), &session.config.options()).await;
    let together = together.expect("rows").expect("less of them together would not be asked more");
    let found: BTreeSet<TraceId> = together.iter().map(|span| span.trace_id).collect();
    assert_eq!(found, BTreeSet::from([1, 2, 3, 4].map(trace_id)));
}

/// Two calls more than the longest wait apart, each with its looks: those of the later one are found too.
#[tokio::test]
async fn looks_are_found_however_far_apart_the_calls_are() {
    let bounds = Bounds { after_nanos: 100 * UnixNanos::SECOND, ..Bounds::default() };
    let (first, second) = ("/reports/jobs/7f3a9c21", "/reports/jobs/8b1d77aa");
    let later = -1_000 * SECOND_MS;
    let earlier = later - 300 * SECOND_MS;
    let spans = [
        accepted(1, earlier, first),
        look(2, earlier + 1_000, first),
        accepted(3, later, second),
        look(4, later + 1_000, second),
    ];
    let fixture = Fixture::new(vec![spans_batch(&spans)]).await;
    let session = fixture.engine.session(fixture.engine.snapshot(&tenant())).expect("a session");
    let seeds = BTreeSet::from([1, 3].map(trace_id));
    let together = gather_all(&session, &seeds, &bounds, &session.config.options()).await.expect("rows");
    let found: BTreeSet<TraceId> = together.expect("they fit").iter().map(|span| span.trace_id).collect();
    assert_eq!(found, BTreeSet::from([1, 2, 3, 4].map(trace_id)));
}
