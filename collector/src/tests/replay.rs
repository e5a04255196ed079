//! What real senders and the specification's own examples send is taken whole, and every field of a message
//! can be read back from its row.

use std::path::PathBuf;

use model::UnixNanos;
use proptest::prelude::*;
use serde_json::Value as Json;

use super::world::*;
use super::{any, read};
use crate::{Encoding, Outcome, Signal, to_batches};

fn fixtures(folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    let is_request = |path: &PathBuf| {
        let name = path.to_string_lossy();
        name.ends_with(".binpb") || (name.ends_with(".json") && !name.ends_with(".expected.json"))
    };
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).expect("readable");
        (path, bytes)
    };
    paths.into_iter().filter(is_request).map(read).collect()
}

/// What a file holds, from its members or its name.
fn signal_of(path: &std::path::Path, bytes: &[u8]) -> Signal {
    if let Ok(json) = serde_json::from_slice::<Json>(bytes) {
        return match json.as_object().expect("an object") {
            members if members.contains_key("resourceSpans") => Signal::Traces,
            members if members.contains_key("resourceMetrics") => Signal::Metrics,
            _ => Signal::Logs,
        };
    }
    let name = path.to_string_lossy();
    let named = Signal::ALL.into_iter().find(|signal| name.contains(&format!(".{}.", signal.as_str())));
    named.expect("the name says the signal")
}

/// Everything in every recorded request is taken, and reads back as it was sent.
#[test]
fn recorded_requests_are_taken_whole() {
    let mut n_items = 0;
    for folder in ["journeys", "data/captured-sdk", "data/otlp-proto-examples", "data/hyperdx-otlp"] {
        let files = fixtures(folder);
        assert!(!files.is_empty(), "{folder} is empty");
        for (path, bytes) in files {
            let signal = signal_of(&path, &bytes);
            let encoding =
                if path.extension().is_some_and(|name| name == "json") { Encoding::Json } else { Encoding::Protobuf };
            let (batches, outcome) = to_batches(signal, encoding, &bytes, NOW, UnixNanos(0))
                .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert_eq!(outcome.rejected_total(), 0, "{}: {}", path.display(), outcome.message(signal));
            assert!(outcome.accepted() > 0, "{}: nothing in it", path.display());
            n_items += outcome.accepted();
            let protobuf = if encoding == Encoding::Json { to_protobuf(signal, &bytes) } else { bytes };
            match signal {
                Signal::Traces => assert_eq!(read::spans(&batches), read::sent_spans(&protobuf), "{}", path.display()),
                Signal::Logs => assert_eq!(read::logs(&batches), read::sent_logs(&protobuf), "{}", path.display()),
                Signal::Metrics => {
                    assert_eq!(read::points(&batches), read::sent_points(&protobuf), "{}", path.display())
                }
            }
        }
    }
    assert!(n_items > 500, "{n_items} items");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Any span that needs no repair reads back as it was sent, over both encodings' rows.
    #[test]
    fn spans_read_back(request in any::any_traces()) {
        let (batches, outcome) = taken(Signal::Traces, &request);
        prop_assert_eq!(outcome.rejected_total(), 0);
        prop_assert_eq!(read::spans(&batches), read::sent_spans(&request));
    }

    /// So does any log record.
    #[test]
    fn logs_read_back(request in any::any_logs()) {
        let (batches, outcome) = taken(Signal::Logs, &request);
        prop_assert_eq!(outcome.rejected_total(), 0);
        prop_assert_eq!(read::logs(&batches), read::sent_logs(&request));
    }

    /// Bytes of any kind are answered, never a panic.
    #[test]
    fn garbage_is_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for signal in Signal::ALL {
            for encoding in [Encoding::Protobuf, Encoding::Json] {
                let _ = to_batches(signal, encoding, &bytes, NOW, UnixNanos(0));
            }
        }
    }

    /// A valid request with a few wrong bytes is answered, and what is counted as kept stands in rows.
    #[test]
    fn damaged_requests_are_answered(
        request in any::any_traces(),
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = request;
        for (index, byte) in damage {
            if !bytes.is_empty() {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
        }
        if let Ok((batches, outcome)) = to_batches(Signal::Traces, Encoding::Protobuf, &bytes, NOW, UnixNanos(0)) {
            let n_rows: usize = batches.iter().map(storage::Batch::n_rows).sum();
            prop_assert_eq!(n_rows as u64, outcome.accepted());
        }
    }
}

fn taken(signal: Signal, request: &[u8]) -> (Vec<storage::Batch>, Outcome) {
    to_batches(signal, Encoding::Protobuf, request, NOW, UnixNanos(0)).expect("a valid request")
}

/// Rows of small requests take little memory: they wait in the write buffer by the thousand.
#[test]
fn small_batches_are_small() {
    for (n_spans, bytes_max) in [(1, 40_000), (10, 50_000), (500, 500_000)] {
        let spans: Vec<Json> =
            (1..=n_spans).map(|i| span(serde_json::json!({ "spanId": format!("{i:016x}") }))).collect();
        let (batches, _) = map(Signal::Traces, &traces(&spans));
        assert!(batches[0].bytes() < bytes_max, "{} bytes for {n_spans} spans", batches[0].bytes());
    }
}
