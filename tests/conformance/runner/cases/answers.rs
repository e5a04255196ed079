//! A1 to A5: what is answered to good, empty, half good and bad requests.

use serde_json::json;

use super::super::case::{BAD, Case, Expect, Signal};
use super::super::make::{KINDS, good, log, members, metric, number, point, request, span};
use super::super::wire::Transport;

pub(super) fn add(cases: &mut Vec<Case>) {
    for signal in Signal::ALL {
        let [resources, scopes, list] = members(signal);
        cases.push(Case::new("A1", "one item", signal, &request(signal, vec![good(signal)]), Expect::Taken));
        let many = (0..100).map(|_| good(signal)).collect();
        cases.push(Case::new("A1", "a hundred items", signal, &request(signal, many), Expect::Taken));
        for (name, empty) in [
            ("an empty request", json!({})),
            ("no resources", json!({ resources: [] })),
            ("an empty resource envelope", json!({ resources: [{}] })),
            ("a resource without scopes", json!({ resources: [{ "resource": {}, scopes: [] }] })),
            ("an empty scope envelope", json!({ resources: [{ scopes: [{}] }] })),
            ("a scope without items", json!({ resources: [{ scopes: [{ "scope": {}, list: [] }] }] })),
        ] {
            cases.push(Case::new("A2", name, signal, &empty, Expect::Taken));
        }
        let bad = match signal {
            Signal::Traces => span(json!({ "traceId": "00000000000000000000000000000000" })),
            Signal::Metrics => metric("gauge", vec![number(json!({ "timeUnixNano": "0" }))]),
            Signal::Logs => log(json!({ "timeUnixNano": "1", "observedTimeUnixNano": "1" })),
        };
        let some = request(signal, vec![good(signal), bad.clone(), good(signal)]);
        cases.push(Case::new("A3", "one of three items is bad", signal, &some, Expect::Partial(1)));
        cases.push(Case::new("A5", "the only item is bad", signal, &request(signal, vec![bad.clone()]), BAD));
        cases.push(Case::new("A5", "all items are bad", signal, &request(signal, vec![bad.clone(), bad]), BAD));
        let whole = good(signal);
        let whole = request(signal, vec![whole]);
        let protobuf = super::super::schema::to_protobuf(&whole);
        let text = whole.to_string().into_bytes();
        let cut = |bytes: &[u8]| bytes[..bytes.len() - 3].to_vec();
        for (name, body) in [
            ("cut short", (cut(&protobuf), cut(&text))),
            ("no message at all", (vec![0xff; 40], b"this is no JSON".to_vec())),
            ("a length beyond the end", (vec![0x0a, 0x7f, 1], br#"{"resource"#.to_vec())),
            ("the wrong wire type", (vec![0x08, 1, 0x0b, 0x0c, 0x0d], b"[1, 2]".to_vec())),
        ] {
            cases.push(Case::bytes("A5", name, signal, body, BAD));
        }
        // Nothing at all is an empty message of protobuf, and no JSON.
        let http = Transport::HttpJson;
        cases.push(Case::bytes("A5", "an empty body is no JSON", signal, (vec![], vec![]), BAD).only(&[http]));
        let without = [Transport::Grpc, Transport::HttpProtobuf];
        let empty = Case::bytes("A2", "an empty body", signal, (vec![], vec![]), Expect::Taken);
        cases.push(empty.only(&without));
    }
    for (kind, _) in KINDS {
        let signal = Signal::Metrics;
        let without = request(signal, vec![metric(kind, vec![])]);
        cases.push(Case::new("A2", format!("a {kind} without points"), signal, &without, Expect::Taken));
        let one = request(signal, vec![metric(kind, vec![point(kind, json!({}))])]);
        cases.push(Case::new("A1", format!("a {kind}"), signal, &one, Expect::Taken));
    }
    let nothing = request(Signal::Metrics, vec![json!({ "name": "nothing" })]);
    cases.push(Case::new("A2", "a metric of no kind", Signal::Metrics, &nothing, Expect::Taken));
}
