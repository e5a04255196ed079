//! J1 to J14: forms of protobuf and JSON that mean the same, and forms that mean nothing.

use serde_json::{Value as Json, json};

use super::super::case::{BAD, Case, Expect, Signal};
use super::super::make::{
    attribute, good, members, metric, nested, number, point, request, span, text, with_attributes,
};
use super::super::schema::{self, framed, varint};
use super::super::wire::Transport;

const JSON: [Transport; 1] = [Transport::HttpJson];
const PROTOBUF: [Transport; 2] = [Transport::Grpc, Transport::HttpProtobuf];

/// JSON with `from` replaced by `to`; protobuf as it was.
fn respelled(signal: Signal, message: &Json, from: &str, to: &str) -> (Vec<u8>, Vec<u8>) {
    let (_, plain) = (signal, message.to_string());
    let changed = plain.replace(from, to);
    assert_ne!(plain, changed, "{from} is not in {plain}");
    (schema::to_protobuf(message), changed.into_bytes())
}

/// A request in protobuf whose only resource, scope or item has these bytes behind its own.
fn with_tail(signal: Signal, level: usize, tail: &[u8]) -> Vec<u8> {
    let [_, _, list] = members(signal);
    let name = match signal {
        Signal::Traces => "Span",
        Signal::Metrics => "Metric",
        Signal::Logs => "LogRecord",
    };
    let _ = list;
    let mut inner = schema::message(name, &good(signal));
    // Item, scope envelope, resource envelope, request.
    for (at, number) in [(0, 2), (1, 2), (2, 1), (3, 0)] {
        if at == level {
            inner.extend_from_slice(tail);
        }
        if number > 0 {
            let mut outer = Vec::new();
            framed(&mut outer, number, &inner);
            inner = outer;
        }
    }
    inner
}

/// An unknown field of each wire type; groups have a field inside and end.
fn unknown_fields() -> Vec<u8> {
    let tag = |number: u64, wire: u64| number << 3 | wire;
    let mut bytes = Vec::new();
    varint(&mut bytes, tag(999, 0));
    varint(&mut bytes, u64::MAX);
    varint(&mut bytes, tag(998, 1));
    bytes.extend([1; 8]);
    framed(&mut bytes, 997, b"something of a later version");
    varint(&mut bytes, tag(996, 5));
    bytes.extend([1; 4]);
    varint(&mut bytes, tag(995, 3));
    varint(&mut bytes, tag(1, 0));
    bytes.push(1);
    varint(&mut bytes, tag(995, 4));
    bytes
}

pub(super) fn add(cases: &mut Vec<Case>) {
    for signal in Signal::ALL {
        unknown(cases, signal);
        spellings(cases, signal);
        nesting(cases, signal);
        texts(cases, signal);
    }
    spans(cases);
    points(cases);
}

/// J1, J11: what nobody knows is skipped wherever it stands.
fn unknown(cases: &mut Vec<Case>, signal: Signal) {
    let [resources, scopes, list] = members(signal);
    let later = json!({ "number": 1, "list": [1, [2, {}], null], "text": "\u{e9}\"", "map": { "a": { "b": [] } } });
    for (level, place) in [(0, "an item"), (1, "a scope"), (2, "a resource"), (3, "the request")] {
        let mut message = request(signal, vec![good(signal)]);
        let at = match level {
            0 => &mut message[resources][0][scopes][0][list][0],
            1 => &mut message[resources][0][scopes][0],
            2 => &mut message[resources][0],
            _ => &mut message,
        };
        at["ofALaterVersion"] = later.clone();
        let body = (with_tail(signal, level, &unknown_fields()), message.to_string().into_bytes());
        cases.push(Case::bytes("J1", format!("unknown members in {place}"), signal, body, Expect::Taken));
    }
    let message = request(signal, vec![good(signal)]);
    let old = respelled(signal, &message, &format!("\"{scopes}\""), "\"instrumentationLibraryThings\"");
    cases.push(Case::bytes("J11", "names of 2021 are unknown", signal, old, Expect::Taken));
}

/// J2, J7 to J10 for every signal.
fn spellings(cases: &mut Vec<Case>, signal: Signal) {
    let [resources, scopes, list] = members(signal);
    let message = request(signal, vec![good(signal)]);
    let snake = |name: &str| {
        let words =
            name.chars().map(|c| if c.is_uppercase() { format!("_{}", c.to_ascii_lowercase()) } else { c.to_string() });
        words.collect::<String>()
    };
    let mut text_of = message.to_string();
    for name in
        [resources, scopes, list, "timeUnixNano", "startTimeUnixNano", "stringValue", "dataPoints", "traceId", "spanId"]
    {
        text_of = text_of.replace(&format!("\"{name}\""), &format!("\"{}\"", snake(name)));
    }
    let protobuf = schema::to_protobuf(&message);
    let mut case = |rule, name: &str, json: String, expect| {
        cases.push(Case::bytes(rule, name, signal, (protobuf.clone(), json.into_bytes()), expect));
    };
    case("J7", "members in snake_case", text_of, Expect::Kept);
    let plain = message.to_string();
    let mut nulls = message.clone();
    nulls[resources][0]["schemaUrl"] = Json::Null;
    nulls[resources][0][scopes][0]["scope"] = Json::Null;
    nulls[resources][0][scopes][0][list][0]["droppedAttributesCount"] = Json::Null;
    case("J8", "members that are null", nulls.to_string(), Expect::Taken);
    case("J8", "a list that is null", json!({ resources: null }).to_string(), Expect::Taken);
    let twice = plain.replacen('{', &format!("{{\"{resources}\":[],"), 1);
    case("J9", "a member twice", twice, Expect::Kept);
    case("J9", "white space all around", format!(" \n\t\r{plain}\r\n "), Expect::Taken);
    for tail in ["x", "{}", ",", "]", "\u{0}"] {
        let body = (protobuf.clone(), format!("{plain}{tail}").into_bytes());
        cases.push(Case::bytes("J9", format!("{tail:?} behind the value"), signal, body, BAD).only(&JSON));
    }
    for (name, wrong) in [
        ("a list for an object", json!({ resources: [[]] })),
        ("a text for a list", json!({ resources: "spans" })),
        ("a number for an object", json!({ resources: [7] })),
    ] {
        let body = (Vec::new(), wrong.to_string().into_bytes());
        cases.push(Case::bytes("J8", name, signal, body, BAD).only(&JSON));
    }
    // The scope envelope before its resource, the item's fields as they come: any order is the same message.
    let item = schema::to_protobuf(&message);
    let (mut envelope, mut turned) = (item.clone(), Vec::new());
    envelope.truncate(item.len());
    turned.extend(envelope);
    cases.push(Case::bytes(
        "J10",
        "two requests in one",
        signal,
        ([turned.clone(), turned].concat(), plain.into_bytes()),
        Expect::Kept,
    ));
}

/// J12: levels of a value.
fn nesting(cases: &mut Vec<Case>, signal: Signal) {
    for (levels, expect) in [(2, Expect::Taken), (32, Expect::Taken), (33, Expect::Warned), (36, Expect::Warned)] {
        let message = request(signal, vec![with_attributes(signal, json!([attribute("deep", nested(levels))]))]);
        cases.push(Case::new("J12", format!("{levels} levels"), signal, &message, expect));
    }
    for levels in [1_000_usize, 10_000, 100_000] {
        // By hand: neither a JSON tree nor a recursive encoder should be as deep.
        let marked =
            request(signal, vec![with_attributes(signal, json!([attribute("deep", text("HERE"))]))]).to_string();
        let open = "{\"arrayValue\":{\"values\":[".repeat(levels);
        let deep = format!("{open}{{}}{}", "]}}".repeat(levels));
        let json = marked.replace("{\"stringValue\":\"HERE\"}", &deep);
        let case = Case::bytes(
            "J12",
            format!("{levels} levels"),
            signal,
            (deep_protobuf(signal, levels), json.into_bytes()),
            BAD,
        );
        cases.push(case);
    }
}

/// A request whose item has an attribute of so many levels. Lengths are found from the inside out, then written from the outside in.
fn deep_protobuf(signal: Signal, levels: usize) -> Vec<u8> {
    let size = |n: usize| {
        let mut bytes = Vec::new();
        varint(&mut bytes, n as u64);
        bytes
    };
    let mut lengths = vec![0_usize];
    for level in 0..2 * levels {
        let inner = lengths[level];
        lengths.push(1 + size(inner).len() + inner);
    }
    let mut value = Vec::new();
    for level in (0..2 * levels).rev() {
        value.push(if level % 2 == 1 { 5 << 3 | 2 } else { 1 << 3 | 2 });
        value.extend(size(lengths[level]));
    }
    let mut attribute = Vec::new();
    framed(&mut attribute, 1, b"deep");
    framed(&mut attribute, 2, &value);
    let (name, number) = match signal {
        Signal::Traces => ("Span", 9),
        Signal::Logs => ("LogRecord", 6),
        Signal::Metrics => ("Metric", 12),
    };
    let mut item = schema::message(name, &good(signal));
    framed(&mut item, number, &attribute);
    for number in [2, 2, 1] {
        let mut outer = Vec::new();
        framed(&mut outer, number, &item);
        item = outer;
    }
    item
}

/// J13: bytes that are no text.
fn texts(cases: &mut Vec<Case>, signal: Signal) {
    let message = request(signal, vec![with_attributes(signal, json!([attribute("a", text("MARK"))]))]);
    let protobuf = schema::to_protobuf(&message);
    for (name, bad) in [
        ("half a character", b"ab\xe2\x82"),
        ("bytes of Latin-1", b"\xe4\xf6\xfcx"),
        ("an overlong form", b"\xc0\xafxx"),
        ("a surrogate", b"\xed\xa0\x80x"),
    ] {
        let at = protobuf.windows(4).position(|part| part == b"MARK").expect("it is there");
        let mut mended = protobuf.clone();
        mended[at..at + 4].copy_from_slice(bad);
        cases.push(Case::bytes("J13", name, signal, (mended, Vec::new()), Expect::Warned).only(&PROTOBUF));
    }
}

/// Numbers, ids, enums and bytes in every spelling of JSON.
fn spans(cases: &mut Vec<Case>) {
    let signal = Signal::Traces;
    let mut case = |rule, name: String, edit: Json, json: Json, expect| {
        let (plain, mut changed) = (span(edit), json!({}));
        plain.clone_into(&mut changed);
        for (name, value) in json.as_object().into_iter().flatten() {
            changed[name] = value.clone();
        }
        let body = (
            schema::to_protobuf(&request(signal, vec![plain])),
            request(signal, vec![changed]).to_string().into_bytes(),
        );
        let case = Case::bytes(rule, name, signal, body, expect);
        cases.push(if expect == Expect::Kept { case } else { case.only(&JSON) });
    };
    let none = || json!({});
    case(
        "J2",
        "ids in capitals".to_owned(),
        none(),
        json!({ "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "EEE19B7EC3C1B174" }),
        Expect::Kept,
    );
    for wrong in ["not hex, but of 32 letters ......", "W47/95gDgQPSabYzgT/GDA=="] {
        case("J2", format!("trace id {wrong:?}"), none(), json!({ "traceId": wrong }), BAD);
    }
    let value = |value: Json| json!({ "attributes": [attribute("a", value)] });
    for form in ["AAEC/w==", "AAEC_w==", "AAEC/w", "AAEC_w"] {
        case(
            "J3",
            format!("bytes as {form}"),
            value(json!({ "bytesValue": "AAEC/w==" })),
            value(json!({ "bytesValue": form })),
            Expect::Kept,
        );
    }
    case("J3", "bytes that are no base64".to_owned(), none(), value(json!({ "bytesValue": "?!" })), BAD);
    for form in [json!(7), json!("7"), json!(7.0)] {
        case(
            "J4",
            format!("the integer {form}"),
            value(json!({ "intValue": "7" })),
            value(json!({ "intValue": form })),
            Expect::Kept,
        );
        case(
            "J4",
            format!("the count {form}"),
            json!({ "droppedEventsCount": 7 }),
            json!({ "droppedEventsCount": form }),
            Expect::Kept,
        );
    }
    for wrong in [json!("9223372036854775808"), json!(1.5), json!("seven"), json!(""), json!(true)] {
        case("J4", format!("the integer {wrong}"), none(), value(json!({ "intValue": wrong })), BAD);
    }
    for wrong in [json!(-1), json!("4294967296")] {
        case("J4", format!("the count {wrong}"), none(), json!({ "droppedEventsCount": wrong }), BAD);
    }
    for form in
        [json!(1.5), json!("1.5"), json!("15e-1"), json!("NaN"), json!("Infinity"), json!("-Infinity"), json!(-0.0)]
    {
        case(
            "J5",
            format!("the number {form}"),
            value(json!({ "doubleValue": 1.5 })),
            value(json!({ "doubleValue": form })),
            Expect::Kept,
        );
    }
    for wrong in [json!("fast"), json!([1.5])] {
        case("J5", format!("the number {wrong}"), none(), value(json!({ "doubleValue": wrong })), BAD);
    }
    case("J6", "a kind by name".to_owned(), json!({ "kind": 2 }), json!({ "kind": "SPAN_KIND_SERVER" }), Expect::Kept);
    case(
        "J6",
        "a status by name".to_owned(),
        json!({ "status": { "code": 2 } }),
        json!({ "status": { "code": "STATUS_CODE_ERROR" } }),
        Expect::Kept,
    );
    case("J6", "a kind that does not exist".to_owned(), json!({ "kind": 77 }), json!({ "kind": 77 }), Expect::Kept);
    case("J6", "a kind by a name that does not exist".to_owned(), none(), json!({ "kind": "SPAN_KIND_COW" }), BAD);
    for member in
        ["parentSpanId", "kind", "attributes", "events", "links", "status", "traceState", "flags", "droppedLinksCount"]
    {
        case("J8", format!("{member} is null"), none(), json!({ member: null }), Expect::Kept);
    }
    for (name, wrong) in
        [("name", json!(7)), ("attributes", json!({})), ("status", json!("ok")), ("events", json!([7]))]
    {
        case("J8", format!("{name} of the wrong type"), none(), json!({ name: wrong }), BAD);
    }
}

/// J10 in points: packed or not, in parts.
fn points(cases: &mut Vec<Case>) {
    let signal = Signal::Metrics;
    let fixed = |number: u64, value: [u8; 8]| {
        let mut bytes = Vec::new();
        varint(&mut bytes, number << 3 | 1);
        bytes.extend(value);
        bytes
    };
    let mut loose = schema::message(
        "HistogramPoint",
        &json!({ "timeUnixNano": super::super::make::now().to_string(), "count": "3" }),
    );
    for count in [1_u64, 2] {
        loose.extend(fixed(6, count.to_le_bytes()));
    }
    loose.extend(fixed(7, 2.0_f64.to_le_bytes()));
    let wrap = |number: u32, inner: &[u8]| {
        let mut outer = Vec::new();
        framed(&mut outer, number, inner);
        outer
    };
    // The histogram comes in two parts that are one: its points, then its temporality.
    let metric_bytes = [wrap(1, b"conformance.parts"), wrap(9, &wrap(1, &loose)), wrap(9, &[2 << 3, 2])].concat();
    let body = wrap(1, &wrap(2, &wrap(2, &metric_bytes)));
    let json = request(signal, vec![metric("histogram", vec![point("histogram", json!({}))])]).to_string().into_bytes();
    cases.push(Case::bytes("J10", "unpacked numbers, a message in parts", signal, (body, json), Expect::Taken));
    for (name, value) in [("asInt as a number", json!(7)), ("asInt as a text", json!("7"))] {
        let message = request(signal, vec![metric("sum", vec![number(json!({ "asInt": value }))])]);
        cases.push(Case::new("J4", name, signal, &message, Expect::Taken));
    }
    let named = respelled(
        signal,
        &request(signal, vec![metric("sum", vec![number(json!({}))])]),
        "\"aggregationTemporality\":2",
        "\"aggregationTemporality\":\"AGGREGATION_TEMPORALITY_CUMULATIVE\"",
    );
    cases.push(Case::bytes("J6", "a temporality by name", signal, named, Expect::Kept));
}
