//! V1-V23: what values may look like, and what becomes of odd ones.

use arrow::array::RecordBatch;
use model::Repairs;
use serde_json::{Value as Json, json};

use super::world::*;
use crate::sanitize::sizes::{ITEMS_MAX, KEY_BYTES_MAX, SPAN_BYTES_MAX, VALUE_BYTES_MAX};
use crate::{Outcome, Signal};

const HOUR: i64 = 3600 * 1_000_000_000;

/// The row of a span, and the names of its repairs.
#[track_caller]
fn row(edit: Json) -> (RecordBatch, Vec<&'static str>) {
    let (batches, outcome) = map(Signal::Traces, &traces(&[span(edit)]));
    assert_eq!(outcome.rejected_total(), 0, "{}", outcome.message(Signal::Traces));
    first_row(&batches[0])
}

fn first_row(batch: &storage::Batch) -> (RecordBatch, Vec<&'static str>) {
    let records = batch.records().clone();
    let bits = cell(&records, "repairs", 0).parse().expect("bits");
    (records, Repairs::from_bits(bits).names().collect())
}

/// What a span is refused for.
#[track_caller]
fn refusal(edit: Json) -> &'static str {
    reason(Signal::Traces, &traces(&[span(json!({})), span(edit)]))
}

#[track_caller]
fn reason(signal: Signal, request: &Json) -> &'static str {
    let (_, outcome) = map(signal, request);
    let rejected: Vec<_> = outcome.rejected().collect();
    assert_eq!(rejected.len(), 1, "one reason: {rejected:?}");
    assert_eq!(rejected[0].1, 1, "one item");
    rejected[0].0.as_str()
}

#[track_caller]
fn log_row(edit: Json) -> (RecordBatch, Vec<&'static str>) {
    let (batches, _) = map(Signal::Logs, &logs(&[log(edit)]));
    first_row(&batches[0])
}

fn strings(n: usize) -> Vec<Json> {
    (0..n).map(|i| attribute(&format!("k{i}"), json!({ "stringValue": "v" }))).collect()
}

fn message(edit: Json) -> String {
    map(Signal::Traces, &traces(&[span(edit)])).1.message(Signal::Traces)
}

/// Ids that are missing, zero or of wrong length refuse that span and no other.
#[tokio::test]
async fn v1_invalid_ids_refuse_the_span() {
    for id in ["", "00000000000000000000000000000000", "5b8efff7", "5b8efff798038103d269b633813fc60c00"] {
        assert_eq!(refusal(json!({ "traceId": id })), "invalid_trace_id");
    }
    for id in ["", "0000000000000000", "eee19b7e", "eee19b7ec3c1b17400"] {
        assert_eq!(refusal(json!({ "spanId": id })), "invalid_span_id");
    }
    let world = World::new().await;
    for wire in Wire::ALL {
        let request = traces(&[span(json!({})), span(json!({ "traceId": null }))]);
        let answer = world.send(wire, Signal::Traces, &request).await;
        assert_eq!((answer.http_status, answer.rejected), (200, 1), "{wire:?}");
    }
}

/// A parent of wrong length, or the span itself, is cleared; eight zero bytes mean "none".
#[test]
fn v2_odd_parents_are_cleared() {
    for parent in ["eee19b7e", "eee19b7ec3c1b174", "no hex"] {
        let (records, repairs) = row(json!({ "parentSpanId": parent }));
        assert_eq!((cell(&records, "parent_span_id", 0).as_str(), &repairs[..]), ("", &["parent"][..]), "{parent}");
    }
    for (parent, kept) in [("0000000000000000", ""), ("", ""), ("eee19b7ec3c1b175", "eee19b7ec3c1b175")] {
        let (records, repairs) = row(json!({ "parentSpanId": parent }));
        assert_eq!((cell(&records, "parent_span_id", 0).as_str(), repairs.len()), (kept, 0), "{parent}");
    }
}

/// Links that point nowhere are dropped and counted; exemplars keep their value and lose their ids.
#[test]
fn v3_odd_links_and_exemplars() {
    let good = json!({ "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b175" });
    let (records, repairs) =
        row(json!({ "links": [good, { "traceId": "00", "spanId": "eee19b7ec3c1b175" }, {}], "droppedLinksCount": 5 }));
    assert_eq!((cell(&records, "link_count", 0), cell(&records, "dropped_links_count", 0)), ("1".into(), "7".into()));
    assert_eq!(repairs, ["link_ids"]);
    let exemplar = json!({ "asDouble": 1.5, "traceId": "00", "spanId": "eee19b7ec3c1b175" });
    let request = metrics(&[
        json!({ "name": "m", "gauge": { "dataPoints": [point(json!({ "asInt": 1, "exemplars": [exemplar] }))] } }),
    ]);
    let (batches, outcome) = map(Signal::Metrics, &request);
    let (records, repairs) = first_row(&batches[1]);
    assert_eq!((cell(&records, "value_double", 0).as_str(), &repairs[..]), ("1.5", &["link_ids"][..]));
    assert_eq!((cell(&records, "trace_id", 0), cell(&records, "span_id", 0)), (String::new(), String::new()));
    assert_eq!(outcome.repaired().collect::<Vec<_>>(), [("link_ids", 1)]);
}

/// A log record with odd ids is kept without them.
#[test]
fn v4_odd_ids_of_logs() {
    let (records, repairs) = log_row(json!({ "traceId": "5b8e", "spanId": "eee19b7ec3c1b175" }));
    assert_eq!((cell(&records, "trace_id", 0), cell(&records, "span_id", 0)), (String::new(), String::new()));
    assert_eq!(repairs, ["log_ids"]);
    let (records, repairs) =
        log_row(json!({ "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b175" }));
    assert_eq!(cell(&records, "span_id", 0), "eee19b7ec3c1b175");
    assert!(repairs.is_empty());
}

/// A span that ends before it begins has duration 0 and says so; what was sent is kept.
#[test]
fn v5_negative_duration() {
    let (start, end) = (NOW.0 - 1_000, NOW.0 - 2_000);
    let (records, repairs) = row(json!({ "startTimeUnixNano": start.to_string(), "endTimeUnixNano": end.to_string() }));
    assert_eq!(cell(&records, "start_time", 0), start.to_string());
    assert_eq!(cell(&records, "duration_nanos", 0), "0");
    assert_eq!(cell(&records, "sent_end_time", 0), end.to_string());
    assert_eq!(cell(&records, "sent_start_time", 0), "");
    assert_eq!(repairs, ["negative_duration"]);
}

/// Start and end as sent; then start_time, duration, sent_start_time, sent_end_time as stored, and the repairs.
#[track_caller]
fn check_times(start: u64, end: u64, stored: [Option<i64>; 4], repairs: &[&str]) {
    let (records, found) = row(json!({ "startTimeUnixNano": start.to_string(), "endTimeUnixNano": end.to_string() }));
    let columns = ["start_time", "duration_nanos", "sent_start_time", "sent_end_time"];
    assert_eq!(columns.map(|column| cell(&records, column, 0).parse().ok()), stored, "{start} to {end}");
    assert_eq!(found, repairs, "{start} to {end}");
}

/// A zero takes the other moment, the future is filed by arrival, what is past retention is refused.
#[test]
fn v6_odd_times() {
    let now = NOW.0;
    let at = |nanos: i64| nanos as u64;
    check_times(at(now - 9), at(now - 2), [Some(now - 9), Some(7), None, None], &[]);
    check_times(0, at(now), [Some(now), Some(0), Some(0), None], &["no_timestamp"]);
    check_times(at(now), 0, [Some(now), Some(0), None, Some(0)], &["no_timestamp"]);
    check_times(0, 0, [Some(now), Some(0), Some(0), Some(0)], &["no_timestamp"]);
    check_times(at(now + 23 * HOUR), at(now + 23 * HOUR + 5), [Some(now + 23 * HOUR), Some(5), None, None], &[]);
    let ahead = now + 25 * HOUR;
    check_times(at(ahead), at(ahead + 5), [Some(now), Some(5), Some(ahead), Some(ahead + 5)], &["clock_skew"]);
    check_times(at(now), at(ahead), [Some(now), Some(25 * HOUR), None, None], &["clock_skew"]);
    check_times(u64::MAX, u64::MAX, [Some(now), Some(0), Some(-1), Some(-1)], &["clock_skew"]);
    check_times(at(now - 5), u64::MAX, [Some(now - 5), Some(i64::MAX), None, Some(-1)], &["clock_skew"]);
    let old = (now - 31 * 24 * HOUR).to_string();
    assert_eq!(refusal(json!({ "startTimeUnixNano": old, "endTimeUnixNano": old })), "too_old");
    assert_eq!(refusal(json!({ "startTimeUnixNano": 0, "endTimeUnixNano": old })), "too_old");

    let (records, repairs) = log_row(json!({ "timeUnixNano": 0, "observedTimeUnixNano": (now - 5).to_string() }));
    assert_eq!((cell(&records, "time", 0), cell(&records, "sent_time", 0)), ((now - 5).to_string(), "0".into()));
    assert!(repairs.is_empty());
    let (records, repairs) = log_row(json!({ "timeUnixNano": 0 }));
    assert_eq!((cell(&records, "time", 0), &repairs[..]), (now.to_string(), &["no_timestamp"][..]));
    let (records, repairs) = log_row(json!({ "timeUnixNano": ahead.to_string() }));
    assert_eq!((cell(&records, "time", 0), cell(&records, "sent_time", 0)), (now.to_string(), ahead.to_string()));
    assert_eq!(repairs, ["clock_skew"]);
    assert_eq!(reason(Signal::Logs, &logs(&[log(json!({ "timeUnixNano": old }))])), "too_old");
}

/// An empty name is kept as it is; a service that is not named as text is `unknown_service`.
#[test]
fn v7_missing_names() {
    let (records, repairs) = row(json!({ "name": "" }));
    assert_eq!((cell(&records, "name", 0).as_str(), repairs.len()), ("", 0));
    for value in [json!({}), json!({ "stringValue": "" }), json!({ "intValue": 7 }), json!(null)] {
        let mut request = traces(&[span(json!({}))]);
        request["resourceSpans"][0]["resource"]["attributes"] = json!([attribute("service.name", value.clone())]);
        let (batches, _) = map(Signal::Traces, &request);
        assert_eq!(cell(batches[0].records(), "service_name", 0), "unknown_service", "{value}");
        assert!(cell(batches[0].records(), "resource", 0).contains("service.name"), "the resource keeps what was sent");
    }
    let request = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [span(json!({}))] }] }] });
    let (batches, _) = map(Signal::Traces, &request);
    assert_eq!(cell(batches[0].records(), "service_name", 0), "unknown_service");
    assert_eq!(cell(batches[0].records(), "resource", 0), "{}");
}

/// Numbers of the future are kept.
#[test]
fn v8_unknown_kind_and_status() {
    let (records, repairs) = row(json!({ "kind": 77, "status": { "code": -3 } }));
    assert_eq!((cell(&records, "kind", 0), cell(&records, "status_code", 0)), ("77".into(), "-3".into()));
    assert!(repairs.is_empty());
}

/// The last value of a key wins, in short lists and long ones, on every kind of item.
#[test]
fn v9_last_duplicate_wins() {
    for n_others in [0, 100] {
        let mut attributes = strings(n_others);
        attributes.extend((1..=3).map(|i| attribute("twice", json!({ "intValue": i }))));
        let (records, repairs) = row(json!({ "attributes": attributes }));
        let list = cell(&records, "attributes", 0);
        assert_eq!(list.matches("twice").count(), 1);
        assert!(list.contains("key: twice, str: , int: 3"), "{list}");
        assert_eq!(
            (cell(&records, "dropped_attributes_count", 0).as_str(), &repairs[..]),
            ("0", &["duplicate_key"][..])
        );
    }
    let twice = json!([
        attribute("service.name", json!({ "stringValue": "a" })),
        attribute("service.name", json!({ "stringValue": "b" }))
    ]);
    let mut request = traces(&[span(json!({})), span(json!({}))]);
    request["resourceSpans"][0]["resource"]["attributes"] = twice;
    let (batches, outcome) = map(Signal::Traces, &request);
    assert_eq!(cell(batches[0].records(), "service_name", 1), "b");
    assert_eq!(
        outcome.repaired().collect::<Vec<_>>(),
        [("duplicate_key", 2)],
        "a resource's repair concerns all its rows"
    );
}

/// Long values and keys are cut between characters; the sender is told.
#[test]
fn v10_long_values_are_cut() {
    let long = "\u{e4}".repeat(VALUE_BYTES_MAX);
    let key = format!("x{}", "\u{e4}".repeat(KEY_BYTES_MAX));
    let edit = json!({ "attributes": [attribute("text", json!({ "stringValue": long })), attribute(&key, json!({ "intValue": 1 }))] });
    let (records, repairs) = row(edit.clone());
    let list = cell(&records, "attributes", 0);
    assert_eq!(list.matches('\u{e4}').count(), VALUE_BYTES_MAX / 2 + (KEY_BYTES_MAX - 1) / 2);
    assert_eq!((cell(&records, "dropped_attributes_count", 0).as_str(), &repairs[..]), ("0", &["truncated"][..]));
    assert_eq!(message(edit), "kept with changes: 1 truncated");
    for value in [
        json!({ "arrayValue": { "values": [{ "stringValue": "q".repeat(VALUE_BYTES_MAX + 1) }] } }),
        json!({ "kvlistValue": { "values": [attribute("z", json!({ "stringValue": "q".repeat(VALUE_BYTES_MAX + 1) }))] } }),
    ] {
        let (records, repairs) = row(json!({ "attributes": [attribute("in", value)] }));
        assert_eq!(cell(&records, "attributes", 0).matches('q').count(), VALUE_BYTES_MAX);
        assert_eq!(repairs, ["truncated"]);
    }
    let (_, repairs) =
        row(json!({ "attributes": [attribute("text", json!({ "stringValue": "x".repeat(VALUE_BYTES_MAX) }))] }));
    assert!(repairs.is_empty(), "exactly at the limit is fine");
}

/// The first 1,024 attributes, events and links are kept, the others counted; the sender is told.
#[test]
fn v11_long_lists_are_cut() {
    let link = json!({ "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b175" });
    let edit = json!({
        "attributes": strings(ITEMS_MAX + 3), "droppedAttributesCount": 10,
        "events": vec![json!({ "name": "e" }); ITEMS_MAX + 2],
        "links": vec![link; ITEMS_MAX + 1],
    });
    let (records, repairs) = row(edit.clone());
    for (column, expected) in [
        ("dropped_attributes_count", 13),
        ("dropped_events_count", 2),
        ("dropped_links_count", 1),
        ("event_count", ITEMS_MAX),
        ("link_count", ITEMS_MAX),
    ] {
        assert_eq!(cell(&records, column, 0), expected.to_string(), "{column}");
    }
    assert_eq!(cell(&records, "attributes", 0).matches("key: ").count(), ITEMS_MAX);
    assert_eq!(repairs, ["truncated"]);
    assert_eq!(message(edit), "kept with changes: 1 truncated");
}

/// A span over 1 MiB after all cuts is refused, the others are kept.
#[test]
fn v12_huge_spans_are_refused() {
    let n = SPAN_BYTES_MAX / VALUE_BYTES_MAX;
    let values = |n| -> Vec<Json> {
        (0..n).map(|i| attribute(&format!("k{i}"), json!({ "stringValue": "x".repeat(VALUE_BYTES_MAX) }))).collect()
    };
    assert_eq!(refusal(json!({ "attributes": values(n + 1) })), "span_too_large");
    let (_, repairs) = row(json!({ "attributes": values(n - 1) }));
    assert!(repairs.is_empty());
}

/// A large trace is taken like any other, in several batches that each fit the log.
#[test]
fn v13_large_traces_are_taken() {
    const N_SPANS: u64 = 33_000;
    let many: Vec<Json> = (1..=N_SPANS).map(|i| span(json!({ "spanId": format!("{i:016x}") }))).collect();
    let (batches, outcome) = map(Signal::Traces, &traces(&many));
    assert_eq!((outcome.accepted(), outcome.message(Signal::Traces)), (N_SPANS, String::new()));
    assert_eq!(batches.iter().map(storage::Batch::n_rows).sum::<usize>() as u64, N_SPANS);
    assert!(batches.len() > 1 && batches.iter().all(|batch| batch.bytes() < 32 << 20));
}

/// Duplicates, with equal and with different content, are stored as often as they come.
#[test]
fn v14_duplicates_are_stored() {
    let (batches, outcome) =
        map(Signal::Traces, &traces(&[span(json!({})), span(json!({})), span(json!({ "name": "other" }))]));
    assert_eq!((batches[0].n_rows(), outcome.accepted()), (3, 3));
}

/// Spans come in any order, hours apart; each is filed by its own time.
#[test]
fn v15_any_order_of_spans() {
    let at = |hours: i64| (NOW.0 - hours * HOUR).to_string();
    let late = |hours| span(json!({ "startTimeUnixNano": at(hours), "endTimeUnixNano": at(hours) }));
    let (batches, outcome) = map(Signal::Traces, &traces(&[late(1), late(50), late(3)]));
    assert_eq!(outcome.accepted(), 3);
    assert_eq!([0, 1, 2].map(|row| cell(batches[0].records(), "start_time", row)), [at(1), at(50), at(3)]);
}

fn gauge(point: Json) -> Json {
    metrics(&[json!({ "name": "m", "gauge": { "dataPoints": [point] } })])
}

fn sum(temporality: Json, point: Json) -> Json {
    metrics(&[json!({ "name": "m", "sum": { "aggregationTemporality": temporality, "dataPoints": [point] } })])
}

fn histogram(edit: Json) -> Json {
    let points = [point(edit)];
    metrics(&[json!({ "name": "m", "histogram": { "aggregationTemporality": 2, "dataPoints": points } })])
}

fn exponential(edit: Json) -> Json {
    let points = [point(edit)];
    metrics(&[json!({ "name": "m", "exponentialHistogram": { "aggregationTemporality": 1, "dataPoints": points } })])
}

fn reason_of_point(request: &Json) -> &'static str {
    reason(Signal::Metrics, request)
}

fn kept(request: &Json) -> (RecordBatch, Vec<&'static str>) {
    let (batches, outcome) = map(Signal::Metrics, request);
    assert_eq!((outcome.accepted(), outcome.rejected_total()), (1, 0), "{request}");
    first_row(&batches[0])
}

/// A point without a moment belongs nowhere.
#[test]
fn v16_points_need_a_time() {
    assert_eq!(reason_of_point(&gauge(json!({ "asInt": 1 }))), "no_timestamp");
    assert_eq!(reason_of_point(&gauge(json!({ "asInt": 1, "timeUnixNano": u64::MAX.to_string() }))), "bad_timestamp");
    assert_eq!(reason_of_point(&gauge(json!({ "asInt": 1, "timeUnixNano": "5" }))), "too_old");
    let ahead = (NOW.0 + 25 * HOUR).to_string();
    let (records, repairs) = kept(&gauge(json!({ "asInt": 1, "timeUnixNano": ahead })));
    assert_eq!((cell(&records, "time", 0), &repairs[..]), (ahead, &["clock_skew"][..]));
}

/// Sums and histograms need a temporality; numbers of the future are kept.
#[test]
fn v17_temporality_is_needed() {
    assert_eq!(reason_of_point(&sum(json!(0), point(json!({ "asInt": 1 })))), "no_temporality");
    assert_eq!(reason_of_point(&sum(json!(null), point(json!({ "asInt": 1 })))), "no_temporality");
    kept(&sum(json!(9), point(json!({ "asInt": 1 }))));
    let mut request = histogram(json!({}));
    request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["histogram"]["aggregationTemporality"] = json!(0);
    assert_eq!(reason_of_point(&request), "no_temporality");
}

/// Delta and cumulative are stored as sent, as different series.
#[test]
fn v18_both_temporalities_are_kept() {
    let (delta, _) = kept(&sum(json!(1), point(json!({ "asInt": 1, "startTimeUnixNano": "5" }))));
    let (cumulative, _) = kept(&sum(json!(2), point(json!({ "asInt": 1 }))));
    assert_eq!((cell(&delta, "temporality", 0), cell(&cumulative, "temporality", 0)), ("1".into(), "2".into()));
    assert_eq!(cell(&delta, "start_time", 0), "5");
    assert_ne!(cell(&delta, "series_id", 0), cell(&cumulative, "series_id", 0));
}

/// Buckets and bounds that do not fit together are refused; counts that do not add up are flagged.
#[test]
fn v19_histograms_must_fit_together() {
    for (bounds, counts) in [
        (json!([1.0]), json!([1])),
        (json!([1.0]), json!([1, 2, 3])),
        (json!([1.0]), json!([])),
        (json!([2.0, 1.0]), json!([1, 2, 3])),
        (json!([1.0, 1.0]), json!([1, 2, 3])),
        (json!(["NaN"]), json!([1, 2])),
        (json!([1.0, "NaN"]), json!([1, 2, 3])),
    ] {
        let request = histogram(json!({ "explicitBounds": bounds, "bucketCounts": counts }));
        assert_eq!(reason_of_point(&request), "bad_histogram", "{bounds} {counts}");
    }
    for (edit, repairs) in [
        (json!({ "count": 3, "explicitBounds": [1.0], "bucketCounts": [1, 2] }), vec![]),
        (json!({ "count": 4, "explicitBounds": [1.0], "bucketCounts": [1, 2] }), vec!["count_mismatch"]),
        (json!({ "count": 4, "bucketCounts": [4] }), vec![]),
        (json!({ "count": 4, "sum": 2.0 }), vec![]),
        (json!({ "count": 1, "explicitBounds": ["-Infinity", "Infinity"], "bucketCounts": [0, 1, 0] }), vec![]),
        (json!({ "count": 1, "explicitBounds": [1], "bucketCounts": [u64::MAX, u64::MAX] }), vec!["count_mismatch"]),
    ] {
        assert_eq!(kept(&histogram(edit.clone())).1, repairs, "{edit}");
    }
    for edit in [
        json!({ "scale": 21 }),
        json!({ "scale": -21 }),
        json!({ "positive": { "bucketCounts": vec![0; 1025] } }),
        json!({ "negative": { "bucketCounts": vec![0; 1025] } }),
    ] {
        assert_eq!(reason_of_point(&exponential(edit)), "bad_histogram");
    }
    let fits = json!({ "scale": 20, "count": 6, "zeroCount": 1, "positive": { "offset": -4, "bucketCounts": [2] }, "negative": { "bucketCounts": [3] } });
    let (records, repairs) = kept(&exponential(fits));
    assert!(repairs.is_empty());
    assert_eq!((cell(&records, "positive_offset", 0), cell(&records, "has_negative", 0)), ("-4".into(), "true".into()));
    assert_eq!(kept(&exponential(json!({ "count": 6 }))).1, ["count_mismatch"]);
}

/// A point without value is refused, unless it says that there is none: a staleness mark.
#[test]
fn v20_points_need_a_value() {
    assert_eq!(reason_of_point(&gauge(point(json!({})))), "no_value");
    let (records, repairs) = kept(&gauge(point(json!({ "flags": 1 }))));
    assert_eq!((cell(&records, "flags", 0).as_str(), cell(&records, "value_int", 0).as_str()), ("1", ""));
    assert!(repairs.is_empty());
    let (batches, outcome) =
        map(Signal::Metrics, &metrics(&[json!({ "name": "m" }), json!({ "name": "n", "gauge": {} })]));
    assert!(batches.is_empty() && outcome == Outcome::default());
}

/// Odd numbers keep their bits.
#[test]
fn v21_odd_numbers_are_kept() {
    for (text, bits) in
        [("NaN", f64::NAN), ("Infinity", f64::INFINITY), ("-Infinity", f64::NEG_INFINITY), ("-0.0", -0.0)]
    {
        let (batches, _) = map(Signal::Metrics, &gauge(point(json!({ "asDouble": text }))));
        let (index, _) = batches[0].table().column("value_double").expect("a column");
        let column = batches[0].records().column(index);
        let values = column.as_any().downcast_ref::<arrow::array::Float64Array>().expect("doubles");
        assert_eq!(values.value(0).to_bits(), bits.to_bits(), "{text}");
    }
    let (records, _) =
        kept(&histogram(json!({ "count": u64::MAX.to_string(), "bucketCounts": [u64::MAX.to_string()] })));
    assert_eq!((cell(&records, "count", 0), cell(&records, "bucket_counts", 0)), ("-1".into(), "[-1]".into()));
    let (records, _) = row(
        json!({ "attributes": [attribute("x", json!({ "doubleValue": "NaN" }))], "flags": u32::MAX, "droppedEventsCount": u32::MAX }),
    );
    assert!(cell(&records, "attributes", 0).contains("double: NaN"));
    assert_eq!(
        (cell(&records, "flags", 0), cell(&records, "dropped_events_count", 0)),
        (u32::MAX.to_string(), u32::MAX.to_string())
    );
}

/// One key with two types, promoted or not: both rows keep what they were sent.
#[test]
fn v22_one_key_with_two_types() {
    let with = |value: Json| {
        span(json!({ "attributes": [attribute("http.status_code", value.clone()), attribute("own", value)] }))
    };
    let (batches, outcome) =
        map(Signal::Traces, &traces(&[with(json!({ "intValue": 200 })), with(json!({ "stringValue": "200" }))]));
    assert_eq!(outcome.message(Signal::Traces), "");
    let records = batches[0].records();
    assert_eq!([0, 1].map(|row| cell(records, "http_status_code", row)), ["200", ""]);
    assert_eq!([0, 1].map(|row| cell(records, "attribute_order", row)), ["http.status_code,*", ""]);
    assert!(cell(records, "attributes", 1).contains("key: http.status_code, str: 200"));
}

/// Whatever a text holds is stored byte for byte.
#[test]
fn v23_texts_are_kept_byte_for_byte() {
    let nasty =
        "\u{0}\u{1}\u{7f}\u{202e}<script>alert(1)</script>'; DROP TABLE spans;--/../../etc\u{feff}\u{10ffff}\r\n\t\"\\";
    let event = json!({ "name": nasty, "attributes": [attribute(nasty, json!({ "stringValue": nasty }))] });
    let (records, repairs) = row(json!({
        "name": nasty, "traceState": nasty, "status": { "message": nasty }, "events": [event],
        "attributes": [attribute(nasty, json!({ "stringValue": nasty })), attribute("http.route", json!({ "stringValue": nasty }))],
    }));
    assert!(repairs.is_empty());
    for column in ["name", "trace_state", "status_message", "http_route"] {
        assert_eq!(cell(&records, column, 0), nasty, "{column}");
    }
    assert_eq!(cell(&records, "attributes", 0).matches(nasty).count(), 2);
    let events = cell(&records, "events", 0);
    let from = events.find("[{\"key\"").expect("attributes as JSON");
    let text = &events[from..=events.rfind(']').expect("end").min(events.rfind("}]").expect("end") + 1)];
    let read = model::attributes_from_json(text.split(", dropped_attributes_count").next().expect("text"));
    assert_eq!((read[0].key.as_str(), read[0].value.as_str()), (nasty, Some(nasty)));
}
