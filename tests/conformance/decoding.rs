//! J1 to J12: what OTLP/JSON and protobuf may look like.

use serde_json::{Value as Json, json};

use super::{given_back, post_spans, post_text, request_json, span_json, stored};
use crate::harness::otlp::Client;
use crate::harness::{Request, Server, Transport, generate, raw, sql};

/// Unknown members and fields are skipped in any position.
#[tokio::test]
async fn j1_unknown_members_are_skipped() {
    let server = Server::start();
    let mut request = request_json(&[span_json(1, json!({ "future": { "deep": [1, { "x": null }] } }))]);
    request["alsoUnknown"] = json!([1, 2]);
    request["resourceSpans"][0]["resource"]["entityThing"] = json!("x");
    let (status, answer) = post_text(&server, "traces", request.to_string()).await;
    assert_eq!((status, answer), (200, json!({})));
    assert_eq!(stored(&server, 1, "name").await, "span 1");

    // Field 99 as varint, as bytes, and as a group, in front of and behind a known field.
    let known = Request::Traces(generate::request("rules", vec![generate::span(2, 2, "span 2")])).encode();
    let mut message = vec![0x98, 0x06, 0x05, 0x9b, 0x06, 0x08, 0x01, 0x9c, 0x06];
    message.extend(&known);
    message.extend([0x9a, 0x06, 0x02, 0xff, 0xfe]);
    raw::export(&server, "traces", message).await.expect("unknown fields are fine");
    assert_eq!(stored(&server, 2, "name").await, "span 2");
}

/// Ids are hex of any case.
#[tokio::test]
async fn j2_ids_are_hex_of_any_case() {
    let server = Server::start();
    let ids = json!({ "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B174" });
    post_spans(&server, &[span_json(1, ids)]).await;
    let rows = sql::query(&server, "SELECT trace_id, span_id FROM spans").await;
    assert_eq!(rows.to_texts(), [["5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"]]);
    // Base64, as a careless encoder writes it, is no id: the span is refused, the other one kept.
    let spans = [span_json(2, json!({ "traceId": "W47/95gDgQPSabYzgT/GDA==" })), span_json(3, json!({}))];
    let (status, answer) = post_text(&server, "traces", request_json(&spans).to_string()).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(crate::harness::json::integer(&answer["partialSuccess"]["rejectedSpans"]), 1, "{answer}");
}

fn attributes(value: Json) -> Json {
    json!({ "attributes": [{ "key": "a", "value": value }] })
}

/// Other bytes are base64 of either alphabet, padded or not.
#[tokio::test]
async fn j3_bytes_are_base64_of_either_alphabet() {
    let server = Server::start();
    for (number, text) in (1..).zip(["+/+/AA==", "-_-_AA==", "+/+/AA", "-_-_AA"]) {
        post_spans(&server, &[span_json(number, attributes(json!({ "bytesValue": text })))]).await;
        let given = given_back(&server, number).await;
        assert_eq!(given["attributes"][0]["value"], json!({ "bytesValue": "+/+/AA==" }), "{text}");
    }
}

/// Integers are numbers or text, also with an exponent or `.0`; out of range is refused.
#[tokio::test]
async fn j4_integers_are_numbers_or_text() {
    let server = Server::start();
    for (number, text) in (1..).zip(["1200", "\"1200\"", "1.2e3", "1200.0", "\"1200.0\"", "\"1.2e3\""]) {
        let value: Json = serde_json::from_str(text).expect("JSON");
        post_spans(&server, &[span_json(number, attributes(json!({ "intValue": value })))]).await;
        let given = given_back(&server, number).await;
        assert_eq!(given["attributes"][0]["value"], json!({ "intValue": "1200" }), "{text}");
    }
    let edges = [i64::MIN, i64::MAX];
    for (number, edge) in (20..).zip(edges) {
        post_spans(&server, &[span_json(number, attributes(json!({ "intValue": edge })))]).await;
        let given = given_back(&server, number).await;
        assert_eq!(given["attributes"][0]["value"], json!({ "intValue": edge.to_string() }));
    }
    for text in ["9223372036854775808", "\"9223372036854775808\"", "1.5", "\"seven\"", "1e40"] {
        let value: Json = serde_json::from_str(text).expect("JSON");
        let span = span_json(30, attributes(json!({ "intValue": value })));
        let (status, answer) = post_text(&server, "traces", request_json(&[span]).to_string()).await;
        assert_eq!(status, 400, "{text}: {answer}");
    }
    let (status, answer) =
        post_text(&server, "traces", request_json(&[span_json(31, json!({ "flags": 4_294_967_296_u64 }))]).to_string())
            .await;
    assert_eq!(status, 400, "33 bits of flags: {answer}");
}

/// Doubles are numbers, text, or the three words.
#[tokio::test]
async fn j5_doubles_are_numbers_text_or_words() {
    let server = Server::start();
    let cases = [
        ("1.5", json!(1.5)),
        ("\"1.5\"", json!(1.5)),
        ("\"NaN\"", json!("NaN")),
        ("\"Infinity\"", json!("Infinity")),
        ("\"-Infinity\"", json!("-Infinity")),
        ("7", json!(7.0)),
        ("-0.0", json!(-0.0)),
    ];
    for (number, (text, expected)) in (1..).zip(cases) {
        let value: Json = serde_json::from_str(text).expect("JSON");
        post_spans(&server, &[span_json(number, attributes(json!({ "doubleValue": value })))]).await;
        let given = given_back(&server, number).await;
        let given = &given["attributes"][0]["value"]["doubleValue"];
        let is_same = *given == expected || (given.is_number() && given.as_f64() == expected.as_f64());
        assert!(is_same, "{text}: {given}");
    }
}

/// Enums are integers; known names are taken, unknown integers kept, unknown names refused.
#[tokio::test]
async fn j6_enums_are_integers() {
    let server = Server::start();
    post_spans(
        &server,
        &[span_json(1, json!({ "kind": "SPAN_KIND_SERVER", "status": { "code": "STATUS_CODE_ERROR" } }))],
    )
    .await;
    assert_eq!(given_back(&server, 1).await["kind"], json!(2));
    assert_eq!(given_back(&server, 1).await["status"]["code"], json!(2));
    post_spans(&server, &[span_json(2, json!({ "kind": 77 }))]).await;
    assert_eq!(given_back(&server, 2).await["kind"], json!(77));
    let span = span_json(3, json!({ "kind": "SPAN_KIND_COW" }));
    let (status, answer) = post_text(&server, "traces", request_json(&[span]).to_string()).await;
    assert_eq!(status, 400, "{answer}");
    let metrics = reqwest::get(server.api("/metrics")).await.expect("an answer").text().await.expect("text");
    let counted = metrics.lines().any(|line| line.contains("enum_name") && line.ends_with(" 2"));
    assert!(counted, "counted as not canonical: {metrics}");
}

/// Members may be named in snake_case.
#[tokio::test]
async fn j7_snake_case_is_understood() {
    let server = Server::start();
    let text = request_json(&[span_json(1, json!({ "parentSpanId": "00000000000000aa" }))]).to_string();
    let text = [
        ("resourceSpans", "resource_spans"),
        ("scopeSpans", "scope_spans"),
        ("traceId", "trace_id"),
        ("spanId", "span_id"),
        ("parentSpanId", "parent_span_id"),
        ("startTimeUnixNano", "start_time_unix_nano"),
        ("endTimeUnixNano", "end_time_unix_nano"),
        ("stringValue", "string_value"),
    ]
    .into_iter()
    .fold(text, |text, (camel, snake)| text.replace(&format!("\"{camel}\""), &format!("\"{snake}\"")));
    assert!(!text.contains("Span"), "{text}");
    let (status, answer) = post_text(&server, "traces", text).await;
    assert_eq!((status, answer), (200, json!({})));
    assert_eq!(stored(&server, 1, "parent_span_id").await, "00000000000000aa");
    assert_eq!(stored(&server, 1, "service_name").await, "rules");
}

/// `null` means that the member is not there.
#[tokio::test]
async fn j8_null_is_absent() {
    let server = Server::start();
    let nulls = json!({
        "parentSpanId": null, "kind": null, "attributes": null, "events": null, "links": null, "status": null,
        "traceState": null, "flags": null, "droppedEventsCount": null,
    });
    let mut request = request_json(&[span_json(1, nulls)]);
    request["resourceSpans"][0]["schemaUrl"] = Json::Null;
    request["resourceSpans"][0]["scopeSpans"][0]["scope"] = Json::Null;
    let (status, answer) = post_text(&server, "traces", request.to_string()).await;
    assert_eq!((status, answer), (200, json!({})));
    assert_eq!(stored(&server, 1, "parent_span_id").await, Json::Null);
    let (status, answer) = post_text(&server, "traces", "{\"resourceSpans\": null}").await;
    assert_eq!((status, answer), (200, json!({})));
}

/// Of members of one name the last one wins; only white space may follow the value.
#[tokio::test]
async fn j9_the_last_member_wins() {
    let server = Server::start();
    let text = request_json(&[span_json(1, json!({}))]).to_string();
    let twice = text.replace("\"name\":\"span 1\"", "\"name\":\"first\",\"name\":\"last\"");
    assert_ne!(text, twice);
    let (status, answer) = post_text(&server, "traces", format!("{twice} \n\t ")).await;
    assert_eq!((status, answer), (200, json!({})));
    assert_eq!(stored(&server, 1, "name").await, "last");
    let (status, answer) = post_text(&server, "traces", format!("{twice}x")).await;
    assert_eq!(status, 400, "{answer}");
}

/// Repeated numbers packed or not, fields in any order, a message in parts.
#[tokio::test]
async fn j10_any_form_of_protobuf() {
    fn field(number: u8, wire: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | wire];
        if wire == 2 {
            bytes.push(u8::try_from(content.len()).expect("short"));
        }
        bytes.extend(content);
        bytes
    }
    let server = Server::start();
    let now = crate::harness::fixtures::now_nanos().to_le_bytes();
    // A histogram point: count before time, two bucket counts unpacked and one packed.
    let point = [
        field(4, 1, &6_u64.to_le_bytes()),
        field(6, 1, &1_u64.to_le_bytes()),
        field(6, 1, &2_u64.to_le_bytes()),
        field(6, 2, &3_u64.to_le_bytes()),
        field(7, 1, &1.0_f64.to_le_bytes()),
        field(7, 2, &2.0_f64.to_le_bytes()),
        field(3, 1, &now),
    ]
    .concat();
    // The histogram in two parts: temporality, then the point.
    let metric = [field(9, 2, &field(2, 0, &[2])), field(9, 2, &field(1, 2, &point)), field(1, 2, b"parts")].concat();
    let message = field(1, 2, &field(2, 2, &field(2, 2, &metric)));
    raw::export(&server, "metrics", message).await.expect("valid protobuf");
    let text = "SELECT metric_name, count, bucket_counts, bounds, temporality FROM histogram_points";
    let rows = sql::query(&server, text).await;
    let counts: Vec<_> =
        rows.get(0, "bucket_counts").as_array().expect("a list").iter().map(crate::harness::json::integer).collect();
    assert_eq!((rows.text(0, "metric_name"), rows.int(0, "count"), counts), ("parts", 6, vec![1, 2, 3]));
    assert_eq!(rows.int(0, "temporality"), 2);
}

/// The names of 2021 are unknown members.
#[tokio::test]
async fn j11_instrumentation_library_is_unknown() {
    let server = Server::start();
    let text =
        request_json(&[span_json(1, json!({}))]).to_string().replace("scopeSpans", "instrumentationLibrarySpans");
    let (status, answer) = post_text(&server, "traces", text).await;
    assert_eq!((status, answer), (200, json!({})));
    assert_eq!(sql::number(&server, "SELECT count(*) FROM spans").await, 0);
}

fn nested(levels: usize) -> String {
    let open = "{\"arrayValue\":{\"values\":[".repeat(levels);
    format!("{open}{{\"intValue\":\"7\"}}{}", "]}}".repeat(levels))
}

/// Values nested too deep are emptied and said so; what no decoder should follow is refused; nothing ends the process.
#[tokio::test]
async fn j12_nesting_ends_somewhere() {
    let mut server = Server::start();
    let with = |number: u64, value: String| {
        let marked = request_json(&[span_json(number, attributes(json!("HERE")))]).to_string();
        marked.replace("\"HERE\"", &value)
    };
    let (status, answer) = post_text(&server, "traces", with(1, nested(20))).await;
    assert_eq!((status, answer), (200, json!({})), "20 levels");
    assert!(given_back(&server, 1).await.to_string().contains("\"7\""), "kept whole");
    let (status, answer) = post_text(&server, "traces", with(2, nested(36))).await;
    assert_eq!(status, 200, "36 levels: {answer}");
    assert!(answer["partialSuccess"]["errorMessage"].is_string(), "A4: {answer}");
    assert_eq!(stored(&server, 2, "dropped_attributes_count").await, "1", "counted");
    for levels in [1_000, 10_000, 200_000] {
        let (status, answer) = post_text(&server, "traces", with(3, nested(levels))).await;
        assert_eq!(status, 400, "{levels} levels: {answer}");
        let refused = raw::export(&server, "traces", nested_protobuf(levels)).await.expect_err("too deep");
        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{levels} levels over gRPC: {refused:?}");
    }
    server.assert_alive();
    let good = Request::Traces(generate::request("rules", vec![generate::span(4, 4, "good")]));
    Client::new(&server).send_all(Transport::Grpc, &good).await;
}

/// An attribute nested this deep, as protobuf.
fn nested_protobuf(levels: usize) -> Vec<u8> {
    fn wrap(tag: u8, inner: Vec<u8>) -> Vec<u8> {
        let mut bytes = vec![tag << 3 | 2];
        let mut length = inner.len();
        while length >= 0x80 {
            bytes.push(u8::try_from(length & 0x7f).expect("7 bits") | 0x80);
            length >>= 7;
        }
        bytes.push(u8::try_from(length).expect("7 bits"));
        bytes.extend(inner);
        bytes
    }
    // From the inside out; written backwards would be linear, but copying is quick enough below a megabyte.
    let mut value = vec![0x18, 0x07];
    for _ in 0..levels.min(20_000) {
        value = wrap(5, wrap(1, value));
    }
    let attribute = [wrap(1, b"a".to_vec()), wrap(2, value)].concat();
    let ids = [wrap(1, vec![1; 16]), wrap(2, vec![1; 8])].concat();
    let span = [ids, wrap(9, attribute)].concat();
    wrap(1, wrap(2, wrap(2, span)))
}
