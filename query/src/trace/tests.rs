//! Traces over real segments and buffer: what was sent comes back, and the page gets its columns.

use api::span_flag;
use model::{Attribute, AttributeValue, SpanId};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message as _;
use serde_json::{Value as Json, json};

use crate::Error;
use crate::testing::{Fixture, MS, TestSpan, at, logs_batch, span, span_id, spans_batch, tenant, trace_id};
use crate::trace::Encoding;

fn text(value: &str) -> AttributeValue {
    AttributeValue::String(value.to_owned())
}

/// One span with everything that is easily lost.
fn odd() -> TestSpan {
    let nested = AttributeValue::Array(vec![
        AttributeValue::Int(i64::MIN),
        AttributeValue::Empty,
        AttributeValue::Map(vec![Attribute { key: "deep".into(), value: text("ü\"\n") }]),
    ]);
    TestSpan {
        kind: 42,
        status: 2,
        duration: 0,
        sent_start: Some(0),
        sent_end: Some(-1),
        columns: vec![("http_route", text("/a")), ("http_status_code", AttributeValue::Int(500))],
        order: Some("*,http.route,*2,http.status_code"),
        attributes: vec![
            ("first", AttributeValue::Double(f64::NAN)),
            ("empty", AttributeValue::Empty),
            ("bytes", AttributeValue::Bytes(vec![0, 255])),
            ("nested", nested),
            ("yes", AttributeValue::Bool(true)),
            ("zero", AttributeValue::Double(-0.0)),
        ],
        events: vec![(5, "exception"), (3, "earlier")],
        links: vec![(9, 10)],
        resource: vec![("host.name", "a")],
        ..span(7, 1, None, "odd", 0, 1)
    }
}

#[tokio::test]
async fn json_holds_what_was_sent() {
    let fixture = Fixture::new(vec![spans_batch(&[odd()])]).await.flushed().await;
    let document = fixture.engine.trace(&tenant(), trace_id(7), Encoding::Json).await.expect("stored");
    let json: Json = serde_json::from_slice(&document.body).expect("JSON");
    let group = &json["resourceSpans"][0];
    assert_eq!(group["resource"]["attributes"][1], json!({"key": "host.name", "value": {"stringValue": "a"}}));
    assert_eq!(group["scopeSpans"][0]["scope"], json!({"name": "tests", "version": "1"}));
    let span = &group["scopeSpans"][0]["spans"][0];
    assert_eq!(span["traceId"], json!(trace_id(7).to_hex()));
    assert_eq!((&span["kind"], &span["flags"]), (&json!(42), &json!(257)));
    assert_eq!((&span["startTimeUnixNano"], &span["endTimeUnixNano"]), (&json!("0"), &json!("18446744073709551615")));
    assert_eq!(span["status"], json!({"code": 2}));
    assert_eq!(span.get("parentSpanId"), None);
    assert_eq!(
        span["attributes"],
        json!([
            {"key": "first", "value": {"doubleValue": "NaN"}},
            {"key": "http.route", "value": {"stringValue": "/a"}},
            {"key": "empty", "value": {}},
            {"key": "bytes", "value": {"bytesValue": "AP8="}},
            {"key": "http.status_code", "value": {"intValue": "500"}},
            {"key": "nested", "value": {"arrayValue": {"values": [
                {"intValue": "-9223372036854775808"}, {},
                {"kvlistValue": {"values": [{"key": "deep", "value": {"stringValue": "ü\"\n"}}]}}]}}},
            {"key": "yes", "value": {"boolValue": true}},
            {"key": "zero", "value": {"doubleValue": -0.0}},
        ])
    );
    let names: Vec<&Json> = span["events"].as_array().expect("events").iter().map(|event| &event["name"]).collect();
    assert_eq!(names, ["exception", "earlier"], "sent order");
    assert_eq!(span["links"][0]["spanId"], json!(span_id(10).to_hex()));
}

/// The protobuf answer is read by the protocol's own types and says the same.
#[tokio::test]
async fn protobuf_holds_what_was_sent() {
    let other = TestSpan { service: "other", ..span(7, 2, Some(1), "child", 1, 1) };
    let fixture = Fixture::new(vec![spans_batch(&[odd(), other])]).await;
    let document = fixture.engine.trace(&tenant(), trace_id(7), Encoding::Protobuf).await.expect("stored");
    let data = TracesData::decode(document.body.as_slice()).expect("OTLP");
    assert_eq!(data.resource_spans.len(), 2, "one group per resource");
    let group = &data.resource_spans[0];
    assert_eq!(group.resource.as_ref().expect("sent").attributes[1].key, "host.name");
    let span = &group.scope_spans[0].spans[0];
    assert_eq!(
        (span.trace_id.as_slice(), span.span_id.as_slice()),
        (&trace_id(7).as_bytes()[..], &span_id(1).as_bytes()[..])
    );
    assert_eq!((span.kind, span.flags, span.start_time_unix_nano, span.end_time_unix_nano), (42, 257, 0, u64::MAX));
    assert_eq!(span.status.as_ref().expect("sent").code, 2);
    let keys: Vec<&str> = span.attributes.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(keys, ["first", "http.route", "empty", "bytes", "http.status_code", "nested", "yes", "zero"]);
    let value = |index: usize| span.attributes[index].value.as_ref().expect("a value").value.clone();
    assert!(matches!(value(0), Some(Value::DoubleValue(nan)) if nan.is_nan()));
    assert_eq!(value(2), None);
    assert_eq!(value(3), Some(Value::BytesValue(vec![0, 255])));
    assert_eq!(value(4), Some(Value::IntValue(500)));
    let Some(Value::ArrayValue(nested)) = value(5) else { panic!("not a list") };
    assert_eq!(nested.values[0].value, Some(Value::IntValue(i64::MIN)));
    assert_eq!(nested.values[1].value, None);
    let Some(Value::KvlistValue(map)) = &nested.values[2].value else { panic!("not a map") };
    let deep = AnyValue { value: Some(Value::StringValue("ü\"\n".into())) };
    assert_eq!(map.values, [KeyValue { key: "deep".into(), value: Some(deep), ..KeyValue::default() }]);
    assert!(matches!(value(7), Some(Value::DoubleValue(zero)) if zero.to_bits() == (-0.0f64).to_bits()));
    assert_eq!((span.events.len(), span.events[0].time_unix_nano), (2, at(5) as u64));
    assert_eq!((span.links.len(), span.links[0].flags), (1, 1));
    let child = &data.resource_spans[1].scope_spans[0].spans[0];
    assert_eq!(child.parent_span_id, span_id(1).as_bytes());
}

#[tokio::test]
async fn absent_ids_are_said() {
    let fixture = Fixture::mixed(&[span(1, 1, None, "a", 0, 1), span(1, 2, None, "b", 0, 1)]).await;
    for outcome in [
        fixture.engine.trace(&tenant(), trace_id(5), Encoding::Json).await.map(|_| ()),
        fixture.engine.timeline(&tenant(), trace_id(5)).await.map(|_| ()),
        fixture.engine.find(&tenant(), trace_id(5), "x".into()).await.map(|_| ()),
        fixture.engine.span(&tenant(), trace_id(1), span_id(9)).await.map(|_| ()),
    ] {
        assert!(matches!(outcome, Err(Error::NotFound(_))), "{outcome:?}");
    }
}

/// Retries are collapsed; the same id with other content is shown twice and flagged (V14).
#[tokio::test]
async fn repeated_spans_collapse() {
    let first = span(1, 1, None, "a", 0, 10);
    let changed = TestSpan { attributes: vec![("try", AttributeValue::Int(2))], ..span(1, 2, Some(1), "b", 1, 5) };
    let fixture = Fixture::mixed(&[first.clone(), span(1, 2, Some(1), "b", 1, 5), first, changed]).await;
    let timeline = fixture.engine.timeline(&tenant(), trace_id(1)).await.expect("stored");
    assert_eq!(timeline.spans.span_id, [span_id(1), span_id(2), span_id(2)]);
    let twice: Vec<bool> = timeline.spans.flags.iter().map(|flags| flags & span_flag::ID_TWICE != 0).collect();
    assert_eq!(twice, [false, true, true]);
    assert_eq!(timeline.spans_total, 3);
    let detail = fixture.engine.span(&tenant(), trace_id(1), span_id(2)).await.expect("stored");
    assert_eq!(detail.same_id, 1);
    let document = fixture.engine.trace(&tenant(), trace_id(1), Encoding::Protobuf).await.expect("stored");
    let data = TracesData::decode(document.body.as_slice()).expect("OTLP");
    assert_eq!(data.resource_spans[0].scope_spans[0].spans.len(), 3);
}

#[tokio::test]
async fn the_timeline_stands() {
    let spans = [
        TestSpan { kind: 2, service: "web", ..span(1, 1, None, "GET /cart", 10, 100) },
        TestSpan {
            kind: 3,
            status: 2,
            columns: vec![("db_system", text("postgresql")), ("db_operation", text("SELECT"))],
            events: vec![(1, "x")],
            ..span(1, 3, Some(1), "stock", 40, 20)
        },
        TestSpan { links: vec![(2, 1)], ..span(1, 2, Some(1), "pay", 20, 10) },
        span(1, 4, Some(99), "lost", 5, 1),
    ];
    let fixture = Fixture::mixed(&spans).await;
    let timeline = fixture.engine.timeline(&tenant(), trace_id(1)).await.expect("stored");
    let names: Vec<&str> = timeline.spans.name.iter().map(|name| timeline.texts[*name as usize].as_str()).collect();
    assert_eq!(names, ["lost", "GET /cart", "pay", "stock"]);
    assert_eq!(timeline.spans.parent, [-1, -1, 1, 1]);
    assert_eq!(timeline.spans.depth, [0, 0, 1, 1]);
    assert_eq!(timeline.spans.start_nanos, [0, 5 * MS as u64, 15 * MS as u64, 35 * MS as u64]);
    assert_eq!((timeline.start_unix_nano.clone(), timeline.duration_nanos), (at(5 * MS).to_string(), 105 * MS as u64));
    assert_eq!(timeline.services, ["shop", "web"]);
    let word = |index: u32| timeline.texts[index as usize].as_str();
    assert_eq!((word(timeline.spans.badge[3]), word(timeline.spans.detail[3])), ("PostgreSQL", "SELECT"));
    assert_eq!(timeline.spans.flags, [span_flag::ORPHAN, 0, span_flag::LINKS, span_flag::ERROR | span_flag::EVENTS]);
    assert_eq!(timeline.warnings, ["1 span name a parent that is not stored"]);
    assert_eq!(timeline.texts[0], "");
}

/// Links lead both ways, also between segments and buffer; children are taken off the own time.
#[tokio::test]
async fn details_stand() {
    let spans = [
        TestSpan {
            kind: 4,
            attributes: vec![("order.id", AttributeValue::Int(7))],
            ..span(1, 1, None, "send", 0, 100)
        },
        span(1, 2, Some(1), "a", 10, 30),
        span(1, 3, Some(1), "b", 20, 40),
        TestSpan { kind: 5, links: vec![(1, 1), (8, 8)], ..span(2, 4, None, "receive", 250, 5) },
    ];
    let fixture = Fixture::mixed(&spans).await;
    fixture.append(logs_batch(1, 1, 50 * MS, "charged")).await;
    let send = fixture.engine.span(&tenant(), trace_id(1), span_id(1)).await.expect("stored");
    assert_eq!((send.kind.as_str(), send.self_nanos), ("producer", 50 * MS as u64));
    assert_eq!((send.attributes[0].key.as_str(), send.attributes[0].value_type.as_str()), ("order.id", "int"));
    assert_eq!((send.logs.len(), send.logs[0].body.as_str(), send.logs[0].level.as_str()), (1, "charged", "error"));
    assert_eq!(send.logs[0].attributes[0].value, "cart");
    assert_eq!((send.linked_from.len(), send.linked_from[0].name.as_str()), (1, "receive"));
    assert_eq!(send.linked_from[0].wait_nanos, Some(150 * MS));
    let receive = fixture.engine.span(&tenant(), trace_id(2), span_id(4)).await.expect("stored");
    assert_eq!(receive.links.iter().map(|link| link.is_stored).collect::<Vec<_>>(), [true, false]);
    assert_eq!((receive.links[0].name.as_str(), receive.links[0].wait_nanos), ("send", Some(150 * MS)));
    assert_eq!(receive.scope, "tests 1");
    let tenant = tenant();
    let found = |text: &str| fixture.engine.find(&tenant, trace_id(1), text.to_owned());
    assert_eq!(found("ORDER.id").await.expect("stored").span_ids, [span_id(1)]);
    assert_eq!(found("zzz").await.expect("stored").span_ids, Vec::<SpanId>::new());
}
