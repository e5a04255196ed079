//! Telemetry: what is decoded agrees with prost and with itself, whatever the bytes are.

use std::io::Write as _;

use collector::{Encoding, Error, RedactionConfig, Signal, to_batches};
use model::UnixNanos;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;

/// 2026-01-15T10:00:00Z.
const NOW: UnixNanos = UnixNanos(1_768_471_200_000_000_000);

pub fn traces_protobuf(body: &[u8]) {
    protobuf(Signal::Traces, body, ExportTraceServiceRequest::decode(body).map(drop));
}

pub fn metrics_protobuf(body: &[u8]) {
    protobuf(Signal::Metrics, body, ExportMetricsServiceRequest::decode(body).map(drop));
}

pub fn logs_protobuf(body: &[u8]) {
    protobuf(Signal::Logs, body, ExportLogsServiceRequest::decode(body).map(drop));
}

pub fn traces_json(body: &[u8]) {
    json(Signal::Traces, body);
}

pub fn metrics_json(body: &[u8]) {
    json(Signal::Metrics, body);
}

pub fn logs_json(body: &[u8]) {
    json(Signal::Logs, body);
}

/// Taken is what prost takes; the only difference is text that is not UTF-8, which is mended (J13).
fn protobuf(signal: Signal, body: &[u8], theirs: Result<(), prost::DecodeError>) {
    match (take(signal, Encoding::Protobuf, body), theirs) {
        (Ok(()), Err(theirs)) => assert!(theirs.to_string().contains("UTF-8"), "taken, but prost says {theirs}"),
        (Err(ours), Ok(())) => panic!("prost takes it, we say {ours}"),
        _ => {}
    }
}

/// Taken is nothing but JSON (J9).
fn json(signal: Signal, body: &[u8]) {
    if take(signal, Encoding::Json, body).is_ok() && !body.is_empty() {
        let theirs = serde_json::from_slice::<&serde_json::value::RawValue>(body);
        assert!(theirs.is_ok() || std::str::from_utf8(body).is_err(), "taken, but it is no JSON: {theirs:?}");
    }
}

/// Whatever is taken stands in rows: one per item that was counted as kept.
fn take(signal: Signal, encoding: Encoding, body: &[u8]) -> Result<(), Error> {
    let (batches, outcome) = to_batches(signal, encoding, body, NOW, UnixNanos(0))?;
    let items = batches.iter().filter(|batch| batch.table().name != "exemplars");
    assert_eq!(items.map(storage::Batch::n_rows).sum::<usize>() as u64, outcome.accepted());
    Ok(())
}

/// Largest plain body that is asked for, in bytes.
const PLAIN_BYTES_MAX: u64 = 1 << 20;

/// The first byte chooses the coding and what is done with the rest: inflated as it is, or deflated before.
pub fn compression(input: &[u8]) {
    let Some((choice, rest)) = input.split_first() else { return };
    let coding = ["gzip", "zstd", "deflate", "identity"][usize::from(choice % 4)];
    let plain = collector::fuzz::plain(coding, rest, PLAIN_BYTES_MAX);
    if let Ok(plain) = &plain {
        assert!(plain.len() as u64 <= PLAIN_BYTES_MAX + rest.len() as u64, "{coding}: over the limit");
    }
    if choice & 0x80 != 0 {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let written = encoder.write_all(rest).and_then(|()| encoder.finish());
        let zipped = written.expect("memory takes everything");
        let back = collector::fuzz::plain("gzip", &zipped, PLAIN_BYTES_MAX);
        assert!(matches!(back, Ok(back) if back == rest), "what was compressed comes back");
    }
}

/// Lines up to an empty one are rules: `k` keys, `v` values, `!` kept keys; a key and a value follow. What a rule means
/// does not come out.
pub fn redaction(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (rules, rest) = text.split_once("\n\n").unwrap_or(("", &text));
    let (key, value) = rest.split_once('\n').unwrap_or(("password", rest));
    let list = |mark: char| rules.lines().filter_map(|line| line.strip_prefix(mark)).map(str::to_owned).collect();
    let config = RedactionConfig {
        mask_keys: list('k'),
        mask_values: list('v'),
        drop_keys: list('d'),
        keep_keys: list('!'),
        ..RedactionConfig::default()
    };
    let attribute = serde_json::json!([{ "key": key, "value": { "stringValue": value } }]);
    let body = serde_json::json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [{
        "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "x",
        "startTimeUnixNano": "1768471199000000000", "endTimeUnixNano": "1768471199500000000", "attributes": attribute,
    }] }] }] });
    let body = body.to_string();
    let taken = collector::fuzz::to_batches_redacted(
        &config,
        Signal::Traces,
        Encoding::Json,
        body.as_bytes(),
        (NOW, UnixNanos(0)),
    );
    let Some(taken) = taken else { return };
    let (batches, _) = taken.expect("a valid request");
    // A rule that is the key itself, letter by letter, leaves nothing of its value.
    let is_plain = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_named = config.mask_keys.iter().chain(&config.drop_keys).any(|pattern| pattern == key);
    if is_plain && is_named && config.keep_keys.is_empty() && value.len() >= 12 && value.is_ascii() {
        let rows = format!("{:?}", batches.iter().map(storage::Batch::records).collect::<Vec<_>>());
        let shown = format!("{value:?}");
        assert!(!rows.contains(shown.trim_matches('"')), "{key}={value} came through {config:?}");
    }
}
