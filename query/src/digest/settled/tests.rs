//! When traces are handed out, together with which, and how much of them.

use super::*;
use crate::analysis::span::Resource;
use model::{Attribute, AttributeValue, SpanId, SpanKind, StatusCode};
use std::sync::Arc;

const SECOND: i64 = UnixNanos::SECOND;

fn trace(n: u8) -> TraceId {
    TraceId::from_bytes(&[n; 16]).expect("an id")
}

/// A span of a trace that links to others and carries a message id, if any.
fn span(of: u8, id: u8, parent: Option<u8>, links: &[u8], message: Option<&str>) -> Span {
    let span_id = |n: u8| SpanId::from_bytes(&[n; 8]).expect("an id");
    let attribute = |text: &str| Attribute {
        key: "messaging.message.id".to_owned(),
        value: AttributeValue::String(text.to_owned()),
    };
    let link = |n: &u8| Link { trace_id: trace(*n), span_id: span_id(1), attributes: Vec::new() };
    Span {
        trace_id: trace(of),
        span_id: span_id(id),
        parent_span_id: parent.map(span_id),
        name: "work".to_owned(),
        kind: SpanKind::Internal,
        start: UnixNanos(SECOND),
        end: UnixNanos(2 * SECOND),
        status: StatusCode::Unset,
        flags: 0,
        trace_state: String::new(),
        attributes: message.map(attribute).into_iter().collect(),
        events: Vec::new(),
        links: links.iter().map(link).collect(),
        resource: Arc::new(Resource::default()),
        scope: String::new(),
        schema_url: String::new(),
    }
}

/// Traces by number that are handed out at a second.
fn settled(open: &OpenTraces, second: i64) -> Vec<u8> {
    open.settled(second * SECOND, 1_000, usize::MAX).into_iter().map(|trace| trace.as_bytes()[0]).collect()
}

fn arrive(open: &mut OpenTraces, second: i64, spans: &[Span]) {
    let spans: Vec<_> = spans.iter().map(|span| (span.clone(), second * SECOND)).collect();
    open.add(&spans);
}

#[test]
fn a_trace_settles_30_s_after_its_last_span() {
    let mut open = OpenTraces::new(0, 30 * SECOND);
    arrive(&mut open, 0, &[span(1, 1, None, &[], None)]);
    arrive(&mut open, 20, &[span(1, 2, Some(1), &[], None)]);
    assert_eq!(settled(&open, 49), Vec::<u8>::new());
    assert_eq!(settled(&open, 50), [1]);
    let taken = open.take(trace(1), 50 * SECOND).expect("it is open");
    assert_eq!((taken.spans.len(), taken.early, taken.is_known, taken.is_doubtful), (2, false, false, false));
    assert_eq!((open.n_traces(), open.n_spans(), open.arrival_min()), (0, 0, None));
}

#[test]
fn joined_traces_are_handed_out_together() {
    let mut open = OpenTraces::new(0, 30 * SECOND);
    arrive(&mut open, 0, &[span(1, 1, None, &[], None), span(9, 1, None, &[], None)]);
    arrive(&mut open, 10, &[span(2, 1, None, &[1], None), span(3, 1, None, &[], Some("message-7"))]);
    arrive(&mut open, 20, &[span(4, 1, None, &[], Some("message-7"))]);
    assert_eq!(settled(&open, 30), [9], "1 waits for 2, which links to it");
    assert_eq!(settled(&open, 40), [1, 2, 9]);
    assert_eq!(settled(&open, 50), [1, 2, 3, 4, 9], "3 and 4 carry one message");
}

#[test]
fn waiting_has_an_end() {
    let mut open = OpenTraces::new(0, 30 * SECOND);
    arrive(&mut open, 0, &[span(1, 1, None, &[7], None)]);
    assert_eq!(settled(&open, 59), Vec::<u8>::new(), "the trace it links to may still come");
    assert_eq!(settled(&open, 60), [1]);
    arrive(&mut open, 0, &[span(2, 1, None, &[], None), span(3, 1, None, &[2], None)]);
    for second in (0..600).step_by(20) {
        arrive(&mut open, second, &[span(2, 2, Some(1), &[], None)]);
    }
    assert_eq!(settled(&open, 90), [1, 3], "3 has waited long enough for 2");
    assert_eq!(settled(&open, 600), [1, 2, 3], "2 never ends, and is looked at as it is");
}

#[test]
fn what_was_looked_at_is_known_again() {
    let mut open = OpenTraces::new(0, 30 * SECOND);
    arrive(&mut open, 0, &[span(1, 1, None, &[], None)]);
    drop(open.take(trace(1), 30 * SECOND));
    open.remember(trace(1), 30 * SECOND);
    arrive(&mut open, 40, &[span(1, 2, Some(1), &[], None), span(2, 2, Some(1), &[], None)]);
    let [late, orphan] = [1, 2].map(|n| open.take(trace(n), 80 * SECOND).expect("it is open"));
    assert!(late.is_known && !late.is_doubtful);
    assert!(!orphan.is_known && orphan.is_doubtful, "its parent may have been looked at long ago");
}

/// ```text
///   1 ──▶ 9 (never seen) ◀── 2        told apart: no reason to look at 1 again with 2
///         9 ◀── mailer, orders ── 3   and the same delivered again to mailer ── 4: an attempt of one message
///         9 ◀── mailer, orders.dlq ── 5: where messages end that nobody could handle
/// ```
#[test]
fn a_trace_never_seen_joins_attempts_only() {
    let mut open = OpenTraces::new(0, 30 * SECOND);
    let mut look = |of: u8, queue: Option<&str>| {
        let mut one = span(of, 1, None, &[9], None);
        let destination = |queue: &str| Attribute {
            key: "messaging.destination.name".to_owned(),
            value: AttributeValue::String(queue.to_owned()),
        };
        one.attributes = queue.map(destination).into_iter().collect();
        arrive(&mut open, 0, &[one]);
        let taken = open.take(trace(of), 90 * SECOND).expect("it is open");
        open.remember(taken.trace, 90 * SECOND);
        open.remember_leads(std::slice::from_ref(&taken));
        taken.links.iter().map(|link| link.as_bytes()[0]).collect::<Vec<_>>()
    };
    assert_eq!(look(1, None), [9]);
    assert_eq!(look(2, None), [9]);
    assert_eq!(look(3, Some("orders")), [9]);
    assert_eq!(look(4, Some("orders")), [9, 3]);
    assert_eq!(look(5, Some("orders.dlq")), [9, 4], "the last that had the message");
    assert_eq!(look(6, Some("stock")), [9, 5], "it may have failed before");
    arrive(&mut open, 60, &[span(9, 1, None, &[], None)]);
    let cause = open.take(trace(9), 120 * SECOND).expect("it is open");
    assert_eq!(cause.links, [trace(6)], "one of those that wait for it leads to all");
}

/// What was handed out and could not be written is handed out again with everything it leads to.
#[test]
fn a_second_try_knows_as_much() {
    let mut open = OpenTraces::new(0, 30 * SECOND);
    arrive(&mut open, 0, &[span(1, 1, None, &[], Some("message-7"))]);
    let first = open.take(trace(1), 30 * SECOND).expect("it is open");
    open.remember(trace(1), 30 * SECOND);
    open.remember_leads(&[first]);
    arrive(&mut open, 40, &[span(2, 1, None, &[], Some("message-7"))]);
    for _ in 0..2 {
        let taken = open.take(trace(2), 90 * SECOND).expect("it is open");
        assert_eq!(taken.links, [trace(1)]);
        open.put_back(&[taken]);
    }
}

/// Whatever a group or a trace has, plain values are held of so many spans.
#[test]
fn large_traces_are_handed_out_in_parts() {
    let mut open = OpenTraces::new(0, 30 * SECOND);
    for (of, n_spans) in [(1, TRACE_SPANS_MAX / 2), (2, 7), (3, TRACE_SPANS_MAX / 2), (4, TRACE_SPANS_MAX + 5)] {
        let spans: Vec<Span> = (0..n_spans).map(|_| span(of, 1, None, &[], None)).collect();
        arrive(&mut open, 0, &spans);
    }
    let mut hand_out = || {
        let chosen = open.settled(30 * SECOND, 4 * TRACE_SPANS_MAX, usize::MAX);
        let taken = open.take_some(&chosen, 30 * SECOND);
        let told = taken.iter().map(|taken| (taken.trace.as_bytes()[0], taken.spans.len(), taken.n_left_out));
        told.collect::<Vec<_>>()
    };
    let half = TRACE_SPANS_MAX / 2;
    assert_eq!(hand_out(), [(1, half, 0), (2, 7, 0)]);
    assert_eq!(hand_out(), [(3, half, 0)]);
    assert_eq!(hand_out(), [(4, TRACE_SPANS_MAX, 5)]);
    assert_eq!(open.bytes(), OpenTraces::new(0, 30 * SECOND).bytes(), "nothing is left of them");
    let mut long = span(5, 1, None, &[], Some(&"x".repeat(TRACE_PACKED_MAX / 4)));
    long.scope = "y".repeat(TRACE_PACKED_MAX / 4);
    arrive(&mut open, 0, &[long.clone(), long.clone(), long]);
    let taken = open.take(trace(5), 30 * SECOND).expect("it is open");
    assert_eq!((taken.spans.len(), taken.n_left_out), (1, 2), "two of them take a little more than there is room for");
}

#[test]
fn memory_is_bounded() {
    let mut open = OpenTraces::new(0, 30 * SECOND);
    for n in 1..=200 {
        arrive(&mut open, i64::from(n), &[span(n, 1, None, &[], None)]);
    }
    let early = open.settled(200 * SECOND, 10, 1);
    assert_eq!(early.iter().map(|trace| trace.as_bytes()[0]).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    let mut last = OpenTraces::new(0, 30 * SECOND);
    arrive(&mut last, 0, &[span(1, 1, None, &[], None)]);
    assert_eq!(last.settled(SECOND, 10, 1).len(), 1, "even what has just come");
    assert!(last.take(trace(1), SECOND).expect("it is open").early);
}
