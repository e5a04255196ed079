//! V1 to V23: what odd values become, as far as the answer tells it. Whether they are stored as promised only a test that can read them
//! back sees (`tests/conformance/values.rs`).

use serde_json::{Value as Json, json};

use super::super::case::{Case, Expect, Signal};
use super::super::make::{
    KINDS, attribute, good, ids, log, metric, now, number, point, request, request_of, span, text, with_attributes,
};

/// Texts that have hurt others.
const PAYLOADS: [&str; 8] = [
    "\u{0}\u{1}\u{1b}[31m\u{7f}",
    "\u{202e}gnp.exe\u{2066}",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "'; DROP TABLE spans; --",
    "../../../../etc/passwd",
    "${jndi:ldap://example.invalid/a}",
    "%s%n{}{0}\r\nSet-Cookie: a=b",
    "\u{fffd}\u{feff}\u{10ffff}\u{1f600}",
];

pub(super) fn add(cases: &mut Vec<Case>) {
    spans(cases);
    logs(cases);
    points(cases);
    for signal in Signal::ALL {
        attributes(cases, signal);
    }
}

/// A span that is sent beside a good one.
fn beside(rule: &'static str, name: impl Into<String>, odd: Json, expect: Expect) -> Case {
    Case::new(rule, name, Signal::Traces, &request(Signal::Traces, vec![good(Signal::Traces), odd]), expect)
}

fn spans(cases: &mut Vec<Case>) {
    let (trace_id, span_id) = ids();
    for (name, id) in [
        ("missing", Json::Null),
        ("empty", json!("")),
        ("all zero", json!("0".repeat(32))),
        ("too short", json!(&trace_id[..30])),
        ("too long", json!(format!("{trace_id}00"))),
    ] {
        let mut odd = span(json!({ "traceId": id }));
        if id.is_null() {
            odd.as_object_mut().expect("an object").remove("traceId");
        }
        cases.push(beside("V1", format!("the trace id is {name}"), odd, Expect::Partial(1)));
    }
    for (name, id) in [
        ("empty", String::new()),
        ("all zero", "0".repeat(16)),
        ("too short", span_id[..8].to_owned()),
        ("too long", format!("{span_id}00")),
    ] {
        let odd = span(json!({ "spanId": id }));
        cases.push(beside("V1", format!("the span id is {name}"), odd, Expect::Partial(1)));
    }
    for (name, parent) in [
        ("too short", "aabb"),
        ("too long", "00112233445566778899"),
        ("all zero", "0000000000000000"),
        ("itself", &span_id),
    ] {
        let odd = span(json!({ "spanId": span_id, "parentSpanId": parent }));
        cases.push(beside("V2", format!("the parent is {name}"), odd, Expect::Kept));
    }
    for (name, link) in [
        ("without ids", json!({})),
        ("with zero ids", json!({ "traceId": "0".repeat(32), "spanId": "0".repeat(16) })),
        ("with short ids", json!({ "traceId": "aa", "spanId": "bb" })),
        ("that is good", json!({ "traceId": trace_id, "spanId": span_id })),
    ] {
        cases.push(beside("V3", format!("a link {name}"), span(json!({ "links": [link] })), Expect::Kept));
    }
    let moment = |nanos: u64| nanos.to_string();
    let now = now();
    const DAY: u64 = 86_400 * 1_000_000_000;
    for (rule, name, start, end, expect) in [
        ("V5", "the end is before the start", now, now - 1_000_000, Expect::Kept),
        ("V6", "the start is missing", 0, now, Expect::Kept),
        ("V6", "the end is missing", now, 0, Expect::Kept),
        ("V6", "two days ahead", now + 2 * DAY, now + 2 * DAY, Expect::Kept),
        ("V6", "in 1970", 1, 2, Expect::Partial(1)),
    ] {
        let odd = span(json!({ "startTimeUnixNano": moment(start), "endTimeUnixNano": moment(end) }));
        cases.push(beside(rule, name, odd, expect));
    }
    cases.push(beside("V7", "an empty name", span(json!({ "name": "" })), Expect::Kept));
    for kind in [-1, 6, 99, i32::MAX] {
        cases.push(beside("V8", format!("kind {kind}"), span(json!({ "kind": kind })), Expect::Kept));
        let odd = span(json!({ "status": { "code": kind } }));
        cases.push(beside("V8", format!("status {kind}"), odd, Expect::Kept));
    }
    for (n, expect) in [(1024, Expect::Kept), (1025, Expect::Warned)] {
        let list = |item: &dyn Fn(usize) -> Json| (0..n).map(item).collect::<Vec<_>>();
        let event = list(&|_| json!({ "name": "e", "timeUnixNano": now.to_string() }));
        let link = list(&|_| json!({ "traceId": trace_id, "spanId": span_id }));
        let attributes = list(&|i| attribute(&format!("k{i}"), text("v")));
        cases.push(beside("V11", format!("{n} events"), span(json!({ "events": event })), expect));
        cases.push(beside("V11", format!("{n} links"), span(json!({ "links": link })), expect));
        cases.push(beside("V11", format!("{n} attributes"), span(json!({ "attributes": attributes })), expect));
    }
    let heavy: Vec<Json> = (0..20).map(|i| attribute(&format!("k{i}"), text(&"x".repeat(60_000)))).collect();
    cases.push(beside("V12", "more than 1 MiB", span(json!({ "attributes": heavy })), Expect::Partial(1)));
    let twin = span(json!({}));
    let twins = request(Signal::Traces, vec![twin.clone(), twin.clone()]);
    cases.push(Case::new("V14", "the same span twice", Signal::Traces, &twins, Expect::Kept));
    let mut other = twin.clone();
    other["name"] = json!("another");
    let twins = request(Signal::Traces, vec![twin, other]);
    cases.push(Case::new("V14", "two spans of one id", Signal::Traces, &twins, Expect::Kept));
    let (parent, child) = (span(json!({})), span(json!({})));
    let mut child = child;
    (child["traceId"], child["parentSpanId"]) = (parent["traceId"].clone(), parent["spanId"].clone());
    let turned = request(Signal::Traces, vec![child, parent]);
    cases.push(Case::new("V15", "the child before its parent", Signal::Traces, &turned, Expect::Kept));
}

fn logs(cases: &mut Vec<Case>) {
    for (name, trace_id, span_id) in [
        ("no ids", "", ""),
        ("zero ids", "00000000000000000000000000000000", "0000000000000000"),
        ("short ids", "aabb", "cc"),
        ("a trace id and no span id", "5b8efff798038103d269b633813fc60c", ""),
    ] {
        let odd = log(json!({ "traceId": trace_id, "spanId": span_id }));
        cases.push(Case::new("V4", name, Signal::Logs, &request(Signal::Logs, vec![odd]), Expect::Kept));
    }
    for (name, body) in [
        ("a map", json!({ "kvlistValue": { "values": [attribute("a", text("b"))] } })),
        ("bytes", json!({ "bytesValue": "AAEC/w==" })),
        ("a number", json!({ "doubleValue": 0.1 })),
        ("empty", json!({})),
    ] {
        let odd = log(json!({ "body": body }));
        cases.push(Case::new(
            "V21",
            format!("the body is {name}"),
            Signal::Logs,
            &request(Signal::Logs, vec![odd]),
            Expect::Kept,
        ));
    }
    let observed = log(json!({ "timeUnixNano": "0" }));
    cases.push(Case::new(
        "V6",
        "only the observed time",
        Signal::Logs,
        &request(Signal::Logs, vec![observed]),
        Expect::Kept,
    ));
}

/// A metric that is sent beside a good one.
fn metric_beside(rule: &'static str, name: impl Into<String>, odd: Json, expect: Expect) -> Case {
    Case::new(rule, name, Signal::Metrics, &request(Signal::Metrics, vec![good(Signal::Metrics), odd]), expect)
}

fn points(cases: &mut Vec<Case>) {
    for (kind, has_temporality) in KINDS {
        let with = |edit: Json| metric(kind, vec![point(kind, edit)]);
        let odd = with(json!({ "timeUnixNano": "0" }));
        cases.push(metric_beside("V16", format!("a {kind} without a time"), odd, Expect::Partial(1)));
        cases.push(metric_beside(
            "V20",
            format!("a {kind} with no recorded value"),
            with(json!({ "flags": 1 })),
            Expect::Kept,
        ));
        if has_temporality {
            for (temporality, rule, expect) in
                [(0, "V17", Expect::Partial(1)), (1, "V18", Expect::Kept), (2, "V18", Expect::Kept)]
            {
                let mut odd = with(json!({ "startTimeUnixNano": (now() - 1_000_000_000).to_string() }));
                odd[kind]["aggregationTemporality"] = json!(temporality);
                cases.push(metric_beside(rule, format!("a {kind} of temporality {temporality}"), odd, expect));
            }
        }
    }
    let strings = |n: usize| vec!["0"; n];
    for (name, edit, expect) in [
        ("two bounds for two counts", json!({ "explicitBounds": [1.0, 2.0] }), Expect::Partial(1)),
        (
            "bounds that fall",
            json!({ "bucketCounts": ["1", "1", "1"], "explicitBounds": [2.0, 1.0] }),
            Expect::Partial(1),
        ),
        ("equal bounds", json!({ "bucketCounts": ["1", "1", "1"], "explicitBounds": [1.0, 1.0] }), Expect::Partial(1)),
        ("a bound that is no number", json!({ "explicitBounds": ["NaN"] }), Expect::Partial(1)),
        ("no buckets", json!({ "bucketCounts": [], "explicitBounds": [] }), Expect::Kept),
        ("counts that do not add up", json!({ "count": "9" }), Expect::Kept),
    ] {
        cases.push(metric_beside("V19", name, metric("histogram", vec![point("histogram", edit)]), expect));
    }
    for (name, edit, expect) in [
        ("scale -21", json!({ "scale": -21 }), Expect::Partial(1)),
        ("scale 21", json!({ "scale": 21 }), Expect::Partial(1)),
        ("scale -20", json!({ "scale": -20 }), Expect::Kept),
        ("scale 20", json!({ "scale": 20 }), Expect::Kept),
        ("1,024 buckets", json!({ "positive": { "bucketCounts": strings(1024) } }), Expect::Kept),
        ("1,025 buckets", json!({ "positive": { "bucketCounts": strings(1025) } }), Expect::Partial(1)),
        ("1,025 negative buckets", json!({ "negative": { "bucketCounts": strings(1025) } }), Expect::Partial(1)),
    ] {
        let odd = metric("exponentialHistogram", vec![point("exponentialHistogram", edit)]);
        cases.push(metric_beside("V19", name, odd, expect));
    }
    for kind in ["gauge", "sum"] {
        let mut odd = number(json!({}));
        odd.as_object_mut().expect("an object").remove("asInt");
        cases.push(metric_beside(
            "V20",
            format!("a {kind} without a value"),
            metric(kind, vec![odd]),
            Expect::Partial(1),
        ));
    }
    for value in [
        json!("NaN"),
        json!("Infinity"),
        json!("-Infinity"),
        json!(-0.0),
        json!(5e-324),
        json!(1.797_693_134_862_315_7e308),
    ] {
        let mut odd = number(json!({ "asDouble": value }));
        odd.as_object_mut().expect("an object").remove("asInt");
        cases.push(metric_beside("V21", format!("the point is {value}"), metric("gauge", vec![odd]), Expect::Kept));
    }
    for value in ["9223372036854775807", "-9223372036854775808"] {
        let odd = metric("gauge", vec![number(json!({ "asInt": value }))]);
        cases.push(metric_beside("V21", format!("the point is {value}"), odd, Expect::Kept));
    }
    let odd = metric("summary", vec![point("summary", json!({ "count": "18446744073709551615" }))]);
    cases.push(metric_beside("V21", "a count above the largest signed number", odd, Expect::Kept));
    for (name, exemplar) in [
        ("with short ids", json!({ "traceId": "aa", "spanId": "bb", "asInt": "1", "timeUnixNano": now().to_string() })),
        ("without ids", json!({ "asDouble": 1.5, "timeUnixNano": now().to_string() })),
    ] {
        let odd = metric("gauge", vec![number(json!({ "exemplars": [exemplar] }))]);
        cases.push(metric_beside("V3", format!("an exemplar {name}"), odd, Expect::Kept));
    }
}

/// What concerns attributes of any signal, on items and on resources.
fn attributes(cases: &mut Vec<Case>, signal: Signal) {
    let mut both = |rule: &'static str, name: &str, list: Json, expect: Expect| {
        let on_item = request(signal, vec![with_attributes(signal, list.clone())]);
        cases.push(Case::new(rule, format!("{name}, on the item"), signal, &on_item, expect));
        let on_resource = request_of(signal, json!({ "attributes": list }), vec![good(signal)]);
        cases.push(Case::new(rule, format!("{name}, on the resource"), signal, &on_resource, expect));
    };
    both("V7", "no service name", json!([]), Expect::Kept);
    both("V7", "an empty service name", json!([attribute("service.name", text(""))]), Expect::Kept);
    both(
        "V7",
        "a number as service name",
        json!([attribute("service.name", json!({ "intValue": "7" }))]),
        Expect::Kept,
    );
    both("V9", "a key twice", json!([attribute("a", text("1")), attribute("a", text("2"))]), Expect::Kept);
    both("V10", "a text of 64 KiB", json!([attribute("a", text(&"x".repeat(65_536)))]), Expect::Kept);
    both("V10", "a text over 64 KiB", json!([attribute("a", text(&"x".repeat(65_537)))]), Expect::Warned);
    both(
        "V10",
        "a cut inside a character",
        json!([attribute("a", text(&format!("x{}", "\u{1f600}".repeat(16_384))))]),
        Expect::Warned,
    );
    both("V10", "a key of 1 KiB", json!([attribute(&"k".repeat(1024), text("v"))]), Expect::Kept);
    both("V10", "a key over 1 KiB", json!([attribute(&"k".repeat(1025), text("v"))]), Expect::Warned);
    for (name, value) in [
        ("NaN", json!({ "doubleValue": "NaN" })),
        ("infinite", json!({ "doubleValue": "-Infinity" })),
        ("the smallest integer", json!({ "intValue": "-9223372036854775808" })),
        ("bytes", json!({ "bytesValue": "AAEC/w==" })),
        ("empty", json!({})),
        (
            "a mixed list",
            json!({ "arrayValue": { "values": [text("a"), { "intValue": "1" }, { "boolValue": true }, {}] } }),
        ),
    ] {
        both("V21", &format!("a value that is {name}"), json!([attribute("a", value)]), Expect::Kept);
    }
    both("V22", "a key that was a text before", json!([attribute("typed", json!({ "intValue": "1" }))]), Expect::Kept);
    for payload in PAYLOADS {
        let list = json!([attribute(payload, text(payload)), attribute("a", text(payload))]);
        both("V23", &format!("{payload:?}"), list, Expect::Kept);
    }
}
