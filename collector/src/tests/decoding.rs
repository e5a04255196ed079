//! J1-J16: what a body may look like. More about protobuf in `wire.rs`, where prost is the judge.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use serde_json::{Value as Json, json};

use super::world::*;
use crate::otlp::structs;
use crate::sanitize::nesting::NESTING_MAX;
use crate::{Encoding, Outcome, Signal, to_batches};

/// The only span of a document.
#[track_caller]
fn read_span(members: &str) -> Result<Span, String> {
    let text = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{members}}}]}}]}}]}}"#);
    let mut outcome = Outcome::default();
    let request = structs::traces_from_json(text.as_bytes(), &mut outcome).map_err(|error| error.to_string())?;
    Ok(request.resource_spans[0].scope_spans[0].spans[0].clone())
}

/// A span with these members in JSON is this span.
#[track_caller]
fn check_span(members: &str, expected: Span) {
    assert_eq!(read_span(members), Ok(expected), "{members}");
}

/// A span with these members in JSON is refused, and the message names the place.
#[track_caller]
fn check_wrong(members: &str, member: &str) {
    let error = read_span(members).expect_err(members);
    assert!(error.starts_with(&format!("resourceSpans[0].scopeSpans[0].spans[0].{member}: expected")), "{error}");
}

#[track_caller]
fn read_value(value: &str) -> Result<Option<Value>, String> {
    let span = read_span(&format!(r#""attributes":[{{"key":"k","value":{value}}}]"#))?;
    Ok(span.attributes[0].value.clone().and_then(|value| value.value))
}

fn rows_of(protobuf: &[u8]) -> usize {
    let taken = to_batches(Signal::Traces, Encoding::Protobuf, protobuf, NOW, model::UnixNanos(0)).expect("readable");
    taken.0.iter().map(storage::Batch::n_rows).sum()
}

/// Unknown members of any shape and unknown fields of any wire type, groups included, are skipped.
#[test]
fn j1_unknown_fields_are_skipped() {
    let odd = r#""new":{"a":[1,{"b":null}],"c":"\u00e4"},"name":"n","more":[[],{}],"x":-1.5e3,"y":false"#;
    check_span(odd, Span { name: "n".into(), ..Span::default() });
    let mut body = to_protobuf(Signal::Traces, good(Signal::Traces).to_string().as_bytes());
    let n_rows = rows_of(&body);
    // Fields 100: varint, 64 bits, bytes, group, 32 bits.
    body.extend([0xa0, 6, 1, 0xa1, 6, 1, 2, 3, 4, 5, 6, 7, 8, 0xa2, 6, 2, 9, 9]);
    body.extend([0xa3, 6, 0x08, 1, 0xa4, 6, 0xa5, 6, 1, 2, 3, 4]);
    assert_eq!((n_rows, rows_of(&body)), (1, 1));
}

/// Ids are hex of any case; what is no id makes that id invalid and nothing else.
#[test]
fn j2_ids_are_hex() {
    check_span(
        r#""spanId":"EEE19b7ec3c1b174""#,
        Span { span_id: vec![0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x74], ..Span::default() },
    );
    for odd in ["7uGbfsPBsXQ=", "zzzzzzzz", "eee19b7ec3c1b17", "\u{e4}"] {
        let span = read_span(&format!(r#""spanId":"{odd}","name":"n""#)).expect("decoding goes on");
        assert!(model::SpanId::from_bytes(&span.span_id).is_none() && span.name == "n", "{odd}");
    }
    assert!(read_span(r#""spanId":7"#).expect("decoding goes on").span_id.len() == 1);
}

/// base64 of either alphabet, with or without padding.
#[test]
fn j3_bytes_are_base64() {
    for text in ["-_8=", "+/8=", "-_8", "+/8"] {
        let value = read_value(&format!(r#"{{"bytesValue":"{text}"}}"#));
        assert_eq!(value, Ok(Some(Value::BytesValue(vec![0xfb, 0xff]))), "{text}");
    }
    assert!(read_value(r#"{"bytesValue":"!"}"#).expect_err("no base64").contains("expected base64"));
}

/// Integers as numbers or text, with a zero fraction or an exponent; out of range is refused.
#[test]
fn j4_integers_are_numbers_or_text() {
    for text in ["1700", r#""1700""#, "1.7e3", r#""1.7E3""#, "1700.0", "17e2"] {
        check_span(&format!(r#""startTimeUnixNano":{text}"#), Span { start_time_unix_nano: 1700, ..Span::default() });
        check_span(&format!(r#""flags":{text}"#), Span { flags: 1700, ..Span::default() });
        assert_eq!(read_value(&format!(r#"{{"intValue":{text}}}"#)), Ok(Some(Value::IntValue(1700))), "{text}");
    }
    check_span(r#""endTimeUnixNano":"18446744073709551615""#, Span { end_time_unix_nano: u64::MAX, ..Span::default() });
    check_span(r#""endTimeUnixNano":18446744073709551615"#, Span { end_time_unix_nano: u64::MAX, ..Span::default() });
    assert_eq!(read_value(r#"{"intValue":-9223372036854775808}"#), Ok(Some(Value::IntValue(i64::MIN))));
    for wrong in [
        "-1",
        "18446744073709551616",
        "1.5",
        r#""""#,
        r#""abc""#,
        r#""0x10""#,
        r#"" 1""#,
        "1e30",
        "true",
        "{}",
        "+1",
        "01",
    ] {
        check_wrong(&format!(r#""startTimeUnixNano":{wrong}"#), "startTimeUnixNano");
    }
    check_wrong(r#""flags":4294967296"#, "flags");
}

/// Doubles as numbers or text, and the three that JSON does not have.
#[test]
fn j5_doubles() {
    let read = |text: &str| match read_value(&format!(r#"{{"doubleValue":{text}}}"#)) {
        Ok(Some(Value::DoubleValue(value))) => value,
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(read("1"), 1.0);
    assert_eq!(read("-2.5e-3"), -0.0025);
    assert_eq!(read(r#""0.1""#), 0.1);
    assert_eq!(read("-0.0").to_bits(), (-0.0f64).to_bits());
    assert_eq!(read(r#""Infinity""#), f64::INFINITY);
    assert_eq!(read(r#""-Infinity""#), f64::NEG_INFINITY);
    assert!(read(r#""NaN""#).is_nan());
    for wrong in [r#""inf""#, r#""nan""#, "1e999", r#""1,5""#, "NaN", "true"] {
        assert!(read_value(&format!(r#"{{"doubleValue":{wrong}}}"#)).is_err(), "{wrong}");
    }
}

/// Enums are numbers, unknown ones are kept; known names are read and counted, unknown names refused.
#[test]
fn j6_enums() {
    check_span(r#""kind":3"#, Span { kind: 3, ..Span::default() });
    check_span(r#""kind":99"#, Span { kind: 99, ..Span::default() });
    check_span(r#""kind":"SPAN_KIND_CONSUMER""#, Span { kind: 5, ..Span::default() });
    check_wrong(r#""kind":"SPAN_KIND_NEW""#, "kind");
    let (_, outcome) = map(Signal::Traces, &traces(&[span(json!({ "kind": "SPAN_KIND_CLIENT" }))]));
    assert_eq!(outcome.odd_forms().map(|(form, n)| (form.as_str(), n)).collect::<Vec<_>>(), [("enum_name", 1)]);
}

/// snake_case is read and counted: silently dropping it would lose data.
#[test]
fn j7_snake_case_is_read() {
    let request = json!({ "resource_spans": [{ "scope_spans": [{ "spans": [
        { "trace_id": "5b8efff798038103d269b633813fc60c", "span_id": "eee19b7ec3c1b174", "no_such_member": 1,
          "start_time_unix_nano": NOW.0, "end_time_unix_nano": NOW.0 }
    ] }] }] });
    let (batches, outcome) = map(Signal::Traces, &request);
    assert_eq!(batches[0].n_rows(), 1);
    assert_eq!(outcome.odd_forms().map(|(form, n)| (form.as_str(), n)).collect::<Vec<_>>(), [("snake_case", 6)]);
}

/// `null` is absent, everywhere.
#[test]
fn j8_null_is_absent() {
    check_span(
        r#""traceId":null,"name":null,"kind":null,"startTimeUnixNano":null,"attributes":null,"events":null,
           "status":null,"flags":null,"droppedLinksCount":null"#,
        Span::default(),
    );
    assert_eq!(read_value("null"), Ok(None));
    assert_eq!(read_value(r#"{"stringValue":null}"#), Ok(None));
    assert_eq!(read_value(r#"{"arrayValue":null,"intValue":"1"}"#), Ok(Some(Value::IntValue(1))));
    let request = structs::traces_from_json(br#"{"resourceSpans":null}"#, &mut Outcome::default());
    assert_eq!(request, Ok(ExportTraceServiceRequest::default()));
}

/// The last of two equal members wins; only white space may follow the document.
#[test]
fn j9_duplicates_and_trailing_bytes() {
    check_span(r#""name":"a","name":"b""#, Span { name: "b".into(), ..Span::default() });
    check_span(r#""attributes":[{"key":"a"}],"attributes":[]"#, Span::default());
    let read = |text: &str| structs::traces_from_json(text.as_bytes(), &mut Outcome::default());
    assert!(read(" {} \n").is_ok());
    for wrong in ["{}x", "{}{}", "{},", "[]", "null", "", "{", "{\"a\":1,}", "{'a':1}", "{\"a\" 1}", "{\"a\":01}"] {
        assert!(read(wrong).is_err(), "{wrong:?}");
    }
    let error = read("").expect_err("nothing");
    assert!(error.to_string().contains("expected a JSON object, found the end of the document"), "{error}");
}

/// Packed and unpacked numbers, fields in any order, singular messages in pieces are merged.
#[test]
fn j10_protobuf_freedom() {
    // ResourceMetrics { scope_metrics { metrics { histogram { data_points {..} } } } }, bucket counts unpacked then packed.
    let wrap = |field: u8, body: &[u8]| [&[field << 3 | 2, body.len() as u8][..], body].concat();
    let unpacked = [0x31, 1, 0, 0, 0, 0, 0, 0, 0];
    let packed = wrap(6, &[2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    let point = [&packed[..], &unpacked[..], &wrap(7, &[0; 16])[..]].concat();
    let body = wrap(1, &wrap(2, &wrap(2, &wrap(9, &wrap(1, &point)))));
    let request = ExportMetricsServiceRequest::decode(&body[..]).expect("readable");
    let Some(Data::Histogram(histogram)) = &request.resource_metrics[0].scope_metrics[0].metrics[0].data else {
        panic!("a histogram")
    };
    assert_eq!(histogram.data_points[0].bucket_counts, [2, 3, 1]);
    // Status { message } and Status { code } of one span, before its ids.
    let pieces = [wrap(15, &wrap(2, b"why")), wrap(15, &[0x18, 2]), wrap(1, &[1; 16]), wrap(2, &[2; 8])].concat();
    let body = wrap(1, &wrap(2, &wrap(2, &pieces)));
    let (batches, _) =
        to_batches(Signal::Traces, Encoding::Protobuf, &body, NOW, model::UnixNanos(0)).expect("readable");
    assert_eq!(cell(batches[0].records(), "status_message", 0), "why");
    assert_eq!(cell(batches[0].records(), "status_code", 0), "2");
}

/// The members that were replaced years ago are unknown.
#[test]
fn j11_deprecated_members_are_unknown() {
    let old = json!({ "resourceSpans": [{ "instrumentationLibrarySpans": [{ "spans": [span(json!({}))] }] }] });
    let (batches, outcome) = map(Signal::Traces, &old);
    assert!(batches.is_empty() && outcome.accepted() == 0);
}

/// A value that is a list in a list ..., `levels` deep.
fn nested_list(levels: u32) -> AnyValue {
    let mut value = AnyValue { value: Some(Value::IntValue(1)) };
    for _ in 1..levels {
        value = AnyValue { value: Some(Value::ArrayValue(ArrayValue { values: vec![value] })) };
    }
    value
}

fn nested_map(levels: u32) -> AnyValue {
    let mut value = AnyValue { value: Some(Value::IntValue(1)) };
    for _ in 1..levels {
        let entry = KeyValue { key: "k".into(), value: Some(value), ..KeyValue::default() };
        value = AnyValue { value: Some(Value::KvlistValue(KeyValueList { values: vec![entry] })) };
    }
    value
}

fn span_with(value: AnyValue) -> Vec<u8> {
    let entry = KeyValue { key: "deep".into(), value: Some(value), ..KeyValue::default() };
    let span = Span {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        start_time_unix_nano: NOW.0 as u64,
        end_time_unix_nano: NOW.0 as u64,
        attributes: vec![entry],
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

/// 32 levels are kept, deeper ones emptied and counted; beyond the decoder's limit the request is refused.
/// No depth ends the process.
#[tokio::test]
async fn j12_nesting_is_bounded() {
    let world = World::new().await;
    for (value, dropped, message) in [
        (nested_list(NESTING_MAX), "0", ""),
        (nested_map(NESTING_MAX - 1), "0", ""),
        (nested_list(NESTING_MAX + 1), "1", "kept with changes: 1 nesting"),
    ] {
        let body = span_with(value);
        let (batches, outcome) =
            to_batches(Signal::Traces, Encoding::Protobuf, &body, NOW, model::UnixNanos(0)).expect("readable");
        assert_eq!(cell(batches[0].records(), "dropped_attributes_count", 0), dropped);
        assert_eq!(outcome.message(Signal::Traces), message);
        for wire in [Wire::Grpc, Wire::Protobuf] {
            let answer = world.send_protobuf(wire, Signal::Traces, body.clone()).await;
            assert_eq!((answer.http_status, answer.message.as_str()), (200, message));
        }
    }
    // A map takes three messages per level, so the decoder's own limit comes first.
    let answer = world.send_protobuf(Wire::Grpc, Signal::Traces, span_with(nested_map(NESTING_MAX + 1))).await;
    assert_eq!((answer.http_status, answer.code), (400, 3));
    assert!(answer.message.contains("cannot decode the request: recursion limit reached"), "{}", answer.message);
    // Written by hand, because building such values would overflow our own stack.
    for levels in [100, 10_000, 200_000] {
        let mut body = Vec::new();
        for _ in 0..levels {
            let mut outer = vec![0x0a];
            prost::encoding::encode_varint(body.len() as u64, &mut outer);
            let mut any = vec![0x2a];
            prost::encoding::encode_varint((outer.len() + body.len()) as u64, &mut any);
            any.extend(outer);
            if levels > 1000 {
                // Lengths no longer matter: the decoder must stop long before.
                body.splice(0..0, [0x2a, 0xff, 0xff, 0x7f, 0x0a, 0xff, 0xff, 0x7f]);
            } else {
                body.splice(0..0, any);
            }
            if body.len() > 1_000_000 {
                break;
            }
        }
        let mut attribute = vec![0x12];
        prost::encoding::encode_varint(body.len() as u64, &mut attribute);
        attribute.extend(&body);
        let mut framed = attribute;
        for field in [9u8, 2, 2, 1] {
            let mut outer = vec![field << 3 | 2];
            prost::encoding::encode_varint(framed.len() as u64, &mut outer);
            outer.extend(&framed);
            framed = outer;
        }
        for wire in [Wire::Grpc, Wire::Protobuf] {
            let answer = world.send_protobuf(wire, Signal::Traces, framed.clone()).await;
            assert_eq!((answer.http_status, answer.code), (400, 3), "{levels} levels: {}", answer.message);
        }
        let json = format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"attributes":[{{"key":"k","value":{}}}]}}]}}]}}]}}"#,
            r#"{"arrayValue":{"values":["#.repeat(levels)
        );
        let reply = world.post(Signal::Traces, &[("content-type", "application/json")], json).await;
        assert_eq!(reply.status, 400, "{levels} levels");
        let unknown = format!(r#"{{"new":{}"#, "[".repeat(levels));
        let reply = world.post(Signal::Traces, &[("content-type", "application/json")], unknown).await;
        assert_eq!(reply.status, 400, "{levels} levels");
    }
}

/// Text that is not UTF-8 is mended and said so; nothing else of the batch changes. JSON has no such strings: half
/// a surrogate pair becomes U+FFFD.
#[tokio::test]
async fn j13_invalid_utf8() {
    let request = traces(&[
        span(json!({ "name": "GET", "attributes": [attribute("kay", json!({ "stringValue": "bad!" }))] })),
        span(json!({ "name": "other", "spanId": "eee19b7ec3c1b175" })),
    ]);
    let mut body = to_protobuf(Signal::Traces, request.to_string().as_bytes());
    for (text, at, odd) in [("GET", 1, 0xff), ("kay", 0, 0xc3), ("bad!", 3, 0x80)] {
        let found = body.windows(text.len()).position(|bytes| bytes == text.as_bytes()).expect("it is there");
        body[found + at] = odd;
    }
    let (batches, outcome) =
        to_batches(Signal::Traces, Encoding::Protobuf, &body, NOW, model::UnixNanos(0)).expect("readable");
    let rows = batches[0].records();
    assert_eq!((cell(rows, "name", 0), cell(rows, "name", 1)), ("G\u{fffd}T".to_owned(), "other".to_owned()));
    let attributes = cell(rows, "attributes", 0);
    assert!(attributes.contains("key: \u{fffd}ay") && attributes.contains("str: bad\u{fffd}"), "{attributes}");
    let flag = model::Repairs::INVALID_UTF8.bits().to_string();
    assert_eq!((cell(rows, "repairs", 0), cell(rows, "repairs", 1)), (flag, "0".to_owned()));
    assert_eq!(outcome.repaired().collect::<Vec<_>>(), [("invalid_utf8", 1)]);
    let world = World::new().await;
    for wire in [Wire::Grpc, Wire::Protobuf] {
        let answer = world.send_protobuf(wire, Signal::Traces, body.clone()).await;
        assert_eq!((answer.http_status, answer.rejected), (200, 0));
        assert_eq!(answer.message, "kept with changes: 1 invalid_utf8");
    }
    check_span(r#""name":"a\ud800b""#, Span { name: "a\u{fffd}b".into(), ..Span::default() });
    check_span(r#""name":"\ud83d\ude00\u0041\/\n""#, Span { name: "\u{1f600}A/\n".into(), ..Span::default() });
}

/// References into the tables of profiles are absent.
#[test]
fn j14_profile_references_are_absent() {
    let body = span_with(AnyValue { value: Some(Value::StringValueStrindex(7)) });
    let (batches, outcome) =
        to_batches(Signal::Traces, Encoding::Protobuf, &body, NOW, model::UnixNanos(0)).expect("readable");
    assert_eq!(outcome.message(Signal::Traces), "");
    assert!(cell(batches[0].records(), "attributes", 0).contains("key: deep, str: , int: "));
}

/// The same request over every wire gives the same rows. (`map` compares JSON and protobuf for every other
/// test, too.)
#[tokio::test]
async fn j15_every_wire_gives_the_same_rows() {
    let request = traces(&[span(json!({
        "attributes": [attribute("http.request.method", json!({ "stringValue": "GET" })), attribute("n", json!({ "intValue": "7" }))],
        "links": [{ "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b175", "flags": 1 }],
        "events": [{ "timeUnixNano": "1", "name": "e", "attributes": [attribute("x", json!({ "doubleValue": "NaN" }))] }],
        "status": { "code": 2, "message": "why" }, "traceState": "a=b", "flags": 257,
    }))]);
    let (batches, _) = map(Signal::Traces, &request);
    let mut stored = Vec::new();
    for wire in Wire::ALL {
        let world = World::new().await;
        assert_eq!(world.send(wire, Signal::Traces, &request).await.http_status, 200);
        let snapshot = world.storage.reader().snapshot(&model::TenantId::default_tenant());
        stored.push(snapshot.table(&storage::table::SPANS).expect("rows").buffer[0].records.clone());
    }
    for records in stored {
        for column in batches[0].table().columns() {
            assert_eq!(cell(&records, column.name, 0), cell(batches[0].records(), column.name, 0), "{}", column.name);
        }
    }
}

/// What derived decoders are known to drop: data under a `oneof` member written after others, with plain
/// numbers (as the Node SDK writes them).
#[test]
fn j16_json_is_read_by_hand() {
    let request = json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [{
        "histogram": { "aggregationTemporality": 2, "dataPoints": [{ "count": 3, "sum": 1.5, "bucketCounts": [1, "2"],
            "explicitBounds": [0.5], "timeUnixNano": NOW.0, "exemplars": [{ "asInt": 1, "timeUnixNano": 0 }] }] },
        "name": "m", "unit": "s"
    }] }] }] });
    let (batches, outcome) = map(Signal::Metrics, &request);
    assert_eq!(outcome.accepted(), 1);
    let names: Vec<_> = batches.iter().map(|batch| batch.table().name).collect();
    assert_eq!(names, ["histogram_points", "exemplars"]);
    assert_eq!(cell(batches[0].records(), "bucket_counts", 0), "[1, 2]");
    assert_eq!(cell(batches[0].records(), "metric_name", 0), "m");
}

/// serde_json and our reader agree on what is JSON, and on the text inside.
#[test]
fn reader_agrees_with_serde_json() {
    use proptest::prelude::*;
    let document = r#"[\{\}\[\]",:0-9eE+\-. \\u"ntfabl\n\t]{0,24}"#;
    proptest!(ProptestConfig::with_cases(4000), |(text in document)| {
        let wrapped = format!(r#"{{"unknown":{text}}}"#);
        let ours = structs::traces_from_json(wrapped.as_bytes(), &mut Outcome::default()).is_ok();
        let theirs = serde_json::from_str::<Json>(&wrapped);
        // Half surrogates are mended here and refused there; doubles too large for f64 are no concern of a skipped member.
        let excused = theirs.as_ref().is_err_and(|error| {
            let why = error.to_string();
            why.contains("surrogate") || why.contains("hex escape") || why.contains("out of range")
        });
        prop_assert!(ours == theirs.is_ok() || excused, "{wrapped}: ours {ours}, theirs {theirs:?}");
    });
    proptest!(|(name in "(?s).*")| {
        let member = format!(r#""name":{}"#, serde_json::to_string(&name).expect("text"));
        prop_assert_eq!(read_span(&member).map(|span| span.name), Ok(name));
    });
}
