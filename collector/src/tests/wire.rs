//! The walker against prost, and the two encodings against each other, over random requests, odd forms of
//! protobuf, damage and garbage. Seeds are fixed: a failure names the one to run again.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use storage::Batch;

use super::generate::{self, Style};
use super::world::*;
use crate::otlp::message::Arena;
use crate::otlp::wire;
use crate::{Encoding, Outcome, Signal, to_batches};

/// What the walker reads, as text; an error as its message.
fn walked(signal: Signal, body: &[u8]) -> Result<String, String> {
    let mut arena = Arena::default();
    match signal {
        Signal::Traces => {
            let mut request = ExportTraceServiceRequest::default();
            wire::walk(body, &mut arena, &mut request).map(|()| shown(&request))
        }
        Signal::Metrics => {
            let mut request = ExportMetricsServiceRequest::default();
            wire::walk(body, &mut arena, &mut request).map(|()| shown(&request))
        }
        Signal::Logs => {
            let mut request = ExportLogsServiceRequest::default();
            wire::walk(body, &mut arena, &mut request).map(|()| shown(&request))
        }
    }
    .map_err(|error| error.to_string())
}

/// What prost decodes, as the same text.
fn decoded(signal: Signal, body: &[u8]) -> Result<String, String> {
    match signal {
        Signal::Traces => ExportTraceServiceRequest::decode(body).map(|request| shown(&request)),
        Signal::Metrics => ExportMetricsServiceRequest::decode(body).map(|request| shown(&request)),
        Signal::Logs => ExportLogsServiceRequest::decode(body).map(|request| shown(&request)),
    }
    .map_err(|error| error.to_string())
}

/// A request as text, without what rows do not tell apart: references into profiles are absent (J14), and an
/// attribute with an empty value is one without a value.
fn shown(request: &impl std::fmt::Debug) -> String {
    let text = format!("{request:?}");
    let text = without_number(&text, "key_strindex: ", "", "key_strindex: 0");
    let text = without_number(&text, "Some(StringValueStrindex(", "))", "None");
    text.replace("value: Some(AnyValue { value: None })", "value: None")
}

/// `text` with `instead` for every number between `before` and `after`.
fn without_number(text: &str, before: &str, after: &str, instead: &str) -> String {
    let mut parts = text.split(before);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c == '-' || c.is_ascii_digit());
        out.push_str(instead);
        out.push_str(rest.strip_prefix(after).unwrap_or(rest));
    }
    out
}

/// True when prost refuses only what rule J13 asks to mend.
fn is_utf8_error(error: &str) -> bool {
    error.contains("UTF-8")
}

/// Walker and prost agree about a body: the same request, or both refuse it. The only difference: text that is
/// not UTF-8 is mended, not refused (J13); then nothing is compared.
#[track_caller]
fn agree(signal: Signal, body: &[u8], about: &str) {
    match (walked(signal, body), decoded(signal, body)) {
        (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs, "{about}"),
        (Err(_), Err(_)) => {}
        (_, Err(theirs)) if is_utf8_error(&theirs) => {}
        (ours, theirs) => panic!("{about}: ours {ours:?}, theirs {theirs:?}"),
    }
}

/// Everything that protobuf can say is read as prost reads it: any order, pieces, unknown fields, packed or not.
/// J13: what is not UTF-8 is read as if the sender had mended it.
#[test]
fn walker_reads_what_prost_reads() {
    for signal in Signal::ALL {
        for seed in 0..150 {
            let request = generate::request(signal, seed, Style::Wild);
            let mended = decoded(signal, &request.to_protobuf(true));
            assert!(mended.is_ok(), "{signal:?} {seed}: {mended:?}");
            assert_eq!(walked(signal, &request.to_protobuf(false)), mended, "{signal:?} {seed}");
        }
    }
}

/// J15: the same request as protobuf and as JSON gives the same rows and the same answer, whatever is wrong with
/// its items.
#[test]
fn encodings_give_the_same_rows() {
    let oldest = NOW - RETENTION.as_nanos() as i64;
    let (mut n_kept, mut n_rejected) = (0, 0);
    for signal in Signal::ALL {
        for seed in 0..150 {
            let request = generate::request(signal, seed, Style::Plain);
            let take = |encoding, body: &[u8]| {
                to_batches(signal, encoding, body, NOW, oldest)
                    .unwrap_or_else(|error| panic!("{signal:?} {seed}: {error}"))
            };
            let json = request.to_json();
            let (from_json, json_outcome) = take(Encoding::Json, json.as_bytes());
            let (from_protobuf, outcome) = take(Encoding::Protobuf, &request.to_protobuf(false));
            let records = |batches: &[Batch]| batches.iter().map(|batch| batch.records().clone()).collect::<Vec<_>>();
            let (json_rows, rows) = (records(&from_json), records(&from_protobuf));
            assert_eq!(format!("{json_rows:?}"), format!("{rows:?}"), "{signal:?} {seed}: {json}");
            assert_eq!(json_outcome, outcome, "{signal:?} {seed}");
            n_kept += outcome.accepted();
            n_rejected += outcome.rejected_total();
        }
    }
    assert!(n_kept > 1000 && n_rejected > 100, "{n_kept} kept, {n_rejected} rejected: both were tried");
}

/// A request cut at any byte is answered as prost answers it.
#[test]
fn cut_requests_are_refused_as_prost_refuses_them() {
    for signal in Signal::ALL {
        for seed in 0..4 {
            let body = generate::request(signal, seed, Style::Plain).to_protobuf(false);
            let step = (body.len() / 400).max(1);
            for end in (0..body.len()).step_by(step) {
                agree(signal, &body[..end], &format!("{signal:?} {seed} cut at {end}"));
            }
        }
    }
}

/// Bytes changed, inserted, removed and moved: never a panic, and prost's judgement each time. About ten seconds;
/// `HODOSCOPE_REQUESTS` sets how many requests are damaged, in 40 ways each.
#[test]
fn damaged_requests_are_judged_as_prost_judges_them() {
    let told = std::env::var("HODOSCOPE_REQUESTS").ok().and_then(|text| text.parse().ok());
    for signal in Signal::ALL {
        for seed in 0..told.unwrap_or(40) {
            let body = generate::request(signal, seed, Style::Wild).to_protobuf(false);
            let mut rng = StdRng::seed_from_u64(seed);
            for round in 0..40 {
                let damaged = damage(&body, &mut rng);
                agree(signal, &damaged, &format!("{signal:?} {seed} round {round}"));
                rows_match_their_count(signal, &damaged);
            }
        }
    }
}

/// Garbage is answered as prost answers it.
#[test]
fn garbage_is_judged_as_prost_judges_it() {
    let mut rng = StdRng::seed_from_u64(3);
    for _ in 0..4000 {
        // Few distinct bytes, so that it looks like messages in messages now and then.
        let length = rng.random_range(0..40);
        let bytes: Vec<u8> =
            (0..length).map(|_| if rng.random() { rng.random_range(0..24) } else { rng.random() }).collect();
        for signal in Signal::ALL {
            agree(signal, &bytes, &format!("{bytes:?}"));
        }
    }
}

fn damage(body: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = body.to_vec();
    for _ in 0..rng.random_range(1..4) {
        if bytes.is_empty() {
            break;
        }
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..6) {
            0 => bytes[at] = rng.random(),
            1 => bytes[at] ^= 1 << rng.random_range(0..8),
            2 => bytes[at] = bytes[at].wrapping_add(1),
            3 => bytes.insert(at, rng.random_range(0..130)),
            4 => _ = bytes.remove(at),
            _ => {
                let end = (at + rng.random_range(1..30)).min(bytes.len());
                let piece: Vec<u8> = bytes[at..end].to_vec();
                let to = rng.random_range(0..=bytes.len());
                bytes.splice(to..to, piece);
            }
        }
    }
    bytes
}

/// Whatever is taken stands in rows: one per item that was counted as kept.
#[track_caller]
fn rows_match_their_count(signal: Signal, body: &[u8]) {
    if let Ok((batches, outcome)) = to_batches(signal, Encoding::Protobuf, body, NOW, model::UnixNanos(0)) {
        let items = batches.iter().filter(|batch| batch.table().name != "exemplars");
        assert_eq!(items.map(Batch::n_rows).sum::<usize>() as u64, outcome.accepted());
    }
}

/// The builders of a thread are used again: what one request leaves, even one refused halfway, does not show in
/// the next.
#[test]
fn requests_do_not_see_each_other() {
    let taken = |signal, body: &[u8]| to_batches(signal, Encoding::Protobuf, body, NOW, model::UnixNanos(0));
    let text = |taken: crate::Result<(Vec<Batch>, Outcome)>| taken.map(|taken| format!("{taken:?}")).expect("valid");
    for signal in Signal::ALL {
        let body = generate::request(signal, 1, Style::Plain).to_protobuf(false);
        // A thread that has taken nothing yet.
        let fresh = std::thread::scope(|scope| scope.spawn(|| text(taken(signal, &body))).join()).expect("no panic");
        for seed in 2..20 {
            let other = generate::request(signal, seed, Style::Wild).to_protobuf(false);
            text(taken(signal, &other));
            assert!(taken(signal, &other[..other.len() - 1]).is_err(), "{signal:?} {seed}: cut");
            assert_eq!(text(taken(signal, &body)), fresh, "{signal:?} after {seed}");
        }
    }
}
