//! S16: what must not be kept is in no column of any table, whichever way it came.

use std::sync::Arc;

use arrow::util::display::array_value_to_string;
use model::{Repairs, UnixNanos};
use serde_json::{Value as Json, json};
use storage::Batch;

use super::world::*;
use crate::ingest::{Bounds, Making, to_batches_by};
use crate::sanitize::redaction::Redaction;
use crate::{Encoding, Outcome, RedactionConfig, Signal};

/// Stands in a value that must not be kept.
const CANARY: &str = "canary-3f9a1c02";

fn secret(key: &str) -> Json {
    json!({ "key": key, "value": { "stringValue": CANARY } })
}

/// Every cell as text.
fn all_text(batches: &[Batch]) -> String {
    let mut text = String::new();
    for batch in batches {
        for (n, column) in batch.records().columns().iter().enumerate() {
            let name = batch.records().schema().field(n).name().clone();
            for row in 0..column.len() {
                text += &format!("{name}={}\n", array_value_to_string(column, row).expect("printable"));
            }
        }
    }
    text
}

/// Reads a request by these rules over both encodings, which give the same rows.
#[track_caller]
fn redact(config: &RedactionConfig, signal: Signal, request: &Json) -> (String, Outcome) {
    let rules: Arc<Redaction> = config.load().expect("rules");
    let read = |encoding, body: &[u8]| {
        let redaction = Arc::clone(&rules);
        let making = Making { now: NOW, oldest: UnixNanos(0), redaction, bounds: Bounds::default() };
        to_batches_by(signal, encoding, body, making).expect("readable")
    };
    let json = request.to_string();
    let (batches, outcome) = read(Encoding::Json, json.as_bytes());
    let (others, _) = read(Encoding::Protobuf, &to_protobuf(signal, json.as_bytes()));
    assert_eq!(all_text(&batches), all_text(&others), "JSON and protobuf give the same rows");
    (all_text(&batches), outcome)
}

/// A request of a signal with a secret in every place that has attributes, and in nested maps.
fn full_of_secrets(signal: Signal) -> Json {
    let nested = json!({ "key": "payload", "value": { "kvlistValue": { "values": [
        { "key": "inner", "value": { "arrayValue": { "values": [{ "kvlistValue": { "values": [secret("user.password")] } }] } } },
    ] } } });
    let everywhere = json!([secret("http.request.header.authorization"), secret("db.password"), nested]);
    let mut request = match signal {
        Signal::Traces => traces(&[span(json!({
            "attributes": everywhere,
            "events": [{ "name": "e", "timeUnixNano": "1", "attributes": everywhere }],
            "links": [{ "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b175", "attributes": everywhere }],
        }))]),
        Signal::Logs => logs(&[log(json!({
            "attributes": everywhere,
            "body": { "kvlistValue": { "values": [secret("Set-Cookie")] } },
        }))]),
        Signal::Metrics => metrics(&[json!({ "name": "m", "metadata": everywhere, "gauge": { "dataPoints": [{
            "timeUnixNano": NOW.0.to_string(),
            "asInt": "1",
            "attributes": everywhere,
            "exemplars": [{ "timeUnixNano": NOW.0.to_string(), "asInt": "1", "filteredAttributes": everywhere }],
        }] } })]),
    };
    let (resources, scopes) = match signal {
        Signal::Traces => ("resourceSpans", "scopeSpans"),
        Signal::Logs => ("resourceLogs", "scopeLogs"),
        Signal::Metrics => ("resourceMetrics", "scopeMetrics"),
    };
    request[resources][0]["resource"]["attributes"] = everywhere.clone();
    request[resources][0][scopes][0]["scope"] = json!({ "name": "s", "attributes": everywhere });
    request
}

#[test]
fn s16_secrets_are_in_no_column() {
    for signal in Signal::ALL {
        let (text, outcome) = redact(&RedactionConfig::default(), signal, &full_of_secrets(signal));
        assert!(!text.contains(CANARY), "{signal:?}: {text}");
        assert!(text.contains("[redacted]") && text.contains("db.password"), "the key stays: {text}");
        assert!(text.contains(&format!("repairs={}", Repairs::REDACTED.bits())), "{text}");
        assert!(outcome.repaired().any(|(name, n)| name == "redacted" && n == 1), "{outcome:?}");
        assert_eq!(outcome.message(signal), "", "the sender did nothing wrong");
    }
}

/// Without rules everything is kept as it was sent, and nothing is counted.
#[test]
fn s16_no_rules_keep_everything() {
    let none = RedactionConfig { mask_keys: Vec::new(), ..RedactionConfig::default() };
    for signal in Signal::ALL {
        let (text, outcome) = redact(&none, signal, &full_of_secrets(signal));
        assert!(text.contains(CANARY) && !text.contains("[redacted]"), "{text}");
        assert_eq!(outcome.repaired().count(), 0);
    }
}

/// What is dropped is counted as dropped; what is hashed is the same for the same value and key, and tells nothing.
#[test]
fn s16_dropped_and_hashed() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key");
    std::fs::write(&file, "a key of the hash, long enough\n").expect("written");
    let list = |word: &str| vec![word.to_owned()];
    let config = RedactionConfig {
        drop_keys: list("*password*"),
        hash_keys: list("user.id"),
        hash_key_file: file.display().to_string(),
        ..RedactionConfig::default()
    };
    let user = |id: &str| {
        let attributes = json!([{ "key": "user.id", "value": { "stringValue": id } }, secret("db.password")]);
        redact(&config, Signal::Traces, &traces(&[span(json!({ "attributes": attributes }))])).0
    };
    let hash = |text: &str| {
        let at = text.find("hmac-sha256:").unwrap_or_else(|| panic!("no hash in {text}"));
        text[at..at + 28].to_owned()
    };
    let (first, again, other) = (user("anna"), user("anna"), user("boris"));
    assert_eq!(hash(&first), hash(&again));
    assert_ne!(hash(&first), hash(&other));
    assert!(!first.contains("anna") && !first.contains("db.password") && !first.contains(CANARY), "{first}");
    assert!(first.contains("dropped_attributes_count=1"), "{first}");
    std::fs::write(&file, "another key of the hash").expect("written");
    assert_ne!(hash(&user("anna")), hash(&first), "another key, another hash");
}

/// Rules about values look wherever something can be written freely, also at bytes that are text.
#[test]
fn s16_values_are_found_in_free_texts() {
    use base64::Engine as _;
    let bytes = |text: &[u8]| json!({ "bytesValue": base64::engine::general_purpose::STANDARD.encode(text) });
    let mask = RedactionConfig { mask_values: vec![CANARY.to_owned()], ..RedactionConfig::default() };
    let drop = RedactionConfig { drop_values: vec![CANARY.to_owned()], ..RedactionConfig::default() };
    let said = format!("before {CANARY} after");
    let nested = json!({ "kvlistValue": { "values": [{ "key": "inner", "value": bytes(said.as_bytes()) }] } });
    let attributes =
        json!([{ "key": "payload", "value": bytes(said.as_bytes()) }, { "key": "nested", "value": nested }]);
    let now = NOW.0.to_string();
    let requests = [
        (
            Signal::Traces,
            traces(&[span(json!({
                "name": said,
                "attributes": attributes,
                "events": [{ "name": said, "timeUnixNano": "1", "attributes": attributes }],
                "status": { "code": 2, "message": said },
            }))]),
        ),
        (
            Signal::Logs,
            logs(&[log(json!({ "severityText": said, "eventName": said, "body": nested, "attributes": attributes }))]),
        ),
        (
            Signal::Metrics,
            metrics(&[json!({
                "name": "m", "description": said, "metadata": attributes,
                "gauge": { "dataPoints": [{ "timeUnixNano": now, "asInt": "1", "attributes": attributes }] },
            })]),
        ),
    ];
    let encoded = base64::engine::general_purpose::STANDARD.encode(&said);
    for (signal, request) in &requests {
        for config in [&mask, &drop] {
            let (found, outcome) = redact(config, *signal, request);
            assert!(!found.contains(CANARY) && !found.contains(&encoded[..12]), "{signal:?}: {found}");
            assert!(outcome.repaired().any(|(name, n)| name == "redacted" && n == 1), "{outcome:?}");
        }
    }
    // What is not UTF-8 is kept as it is.
    let odd = traces(&[span(json!({ "attributes": [{ "key": "raw", "value": bytes(b"\xff\xfe") }] }))]);
    assert_eq!(redact(&mask, Signal::Traces, &odd).1.repaired().count(), 0);
}

/// Rules about values find them in attributes, bodies, and messages of a status; what stands around them stays.
#[test]
fn s16_values_are_found_in_texts() {
    let config = RedactionConfig {
        mask_values: vec![r"(?i)bearer\s+\S+".to_owned(), r"\b\d{4}([ -]?)\d{4}[ -]?\d{4}[ -]?\d{4}\b".to_owned()],
        drop_values: vec!["-----BEGIN [A-Z ]*PRIVATE KEY-----".to_owned()],
        ..RedactionConfig::default()
    };
    let text = |text: &str| json!({ "stringValue": text });
    let request = traces(&[span(json!({
        "status": { "code": 2, "message": "card 4111 1111 1111 1111 was refused" },
        "attributes": [
            { "key": "note", "value": text("sent Bearer abc.def to é") },
            { "key": "pem", "value": text("-----BEGIN RSA PRIVATE KEY-----\nMII") },
            { "key": "plain", "value": text("nothing here") },
        ],
    }))]);
    let (found, outcome) = redact(&config, Signal::Traces, &request);
    assert!(found.contains("card [redacted] was refused") && found.contains("sent [redacted] to é"), "{found}");
    assert!(!found.contains("PRIVATE KEY") && found.contains("nothing here"), "{found}");
    assert!(outcome.repaired().any(|(name, n)| name == "redacted" && n == 1), "{outcome:?}");
    let (found, _) = redact(&config, Signal::Logs, &logs(&[log(json!({ "body": text("Authorization: bearer xyz") }))]));
    assert!(found.contains("Authorization: [redacted]") && !found.contains("xyz"), "{found}");
}
