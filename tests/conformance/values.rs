//! V1 to V23: what odd values become. V1 is told in `bad_input.rs`, V8 and V21 to V23 also in `in_out.rs`.

use serde_json::{Value as Json, json};

use super::{given_back, post_spans, post_text, request_json, span_json, stored};
use crate::harness::fixtures::now_nanos;
use crate::harness::{Server, json, sql};

const HOUR: u64 = 3_600_000_000_000;

/// Repairs of a stored span, by the bits of `model::Repairs`.
async fn repairs(server: &Server, number: u64) -> Vec<&'static str> {
    let bits = json::integer(&stored(server, number, "repairs").await);
    model::Repairs::from_bits(i32::try_from(bits).expect("32 bits")).names().collect()
}

/// A parent of wrong length, or the span itself, is no parent: cleared and flagged.
#[tokio::test]
async fn v2_an_impossible_parent_is_cleared() {
    let server = Server::start();
    let spans = [
        span_json(1, json!({ "parentSpanId": "0000000000000001" })),
        span_json(2, json!({ "parentSpanId": "abcd" })),
        span_json(3, json!({ "parentSpanId": "00000000000000aa" })),
    ];
    post_spans(&server, &spans).await;
    for number in [1, 2] {
        assert_eq!(stored(&server, number, "parent_span_id").await, Json::Null);
        assert_eq!(repairs(&server, number).await, ["parent"]);
    }
    assert_eq!(stored(&server, 3, "parent_span_id").await, "00000000000000aa");
    assert!(repairs(&server, 3).await.is_empty());
}

/// A link to nowhere is left out and counted.
#[tokio::test]
async fn v3_a_link_without_ids_is_dropped() {
    let server = Server::start();
    let good = json!({ "traceId": "000000000000000000000000000000aa", "spanId": "00000000000000aa" });
    let links = json!({ "links": [{ "traceId": "", "spanId": "00000000000000aa" }, good], "droppedLinksCount": 2 });
    post_spans(&server, &[span_json(1, links)]).await;
    assert_eq!(json::integer(&stored(&server, 1, "link_count").await), 1);
    assert_eq!(json::integer(&stored(&server, 1, "dropped_links_count").await), 3);
    assert_eq!(repairs(&server, 1).await, ["link_ids"]);
}

fn logs_json(records: Json) -> String {
    let resource = json!({ "attributes": [{ "key": "service.name", "value": { "stringValue": "rules" } }] });
    json!({ "resourceLogs": [{ "resource": resource, "scopeLogs": [{ "logRecords": records }] }] }).to_string()
}

/// A log record with invalid ids is kept, tied to no trace.
#[tokio::test]
async fn v4_a_log_record_with_bad_ids_is_kept() {
    let server = Server::start();
    let now = now_nanos().to_string();
    let record = json!([{ "timeUnixNano": now, "body": { "stringValue": "kept" }, "traceId": "abcd", "spanId": "00" }]);
    let (status, answer) = post_text(&server, "logs", logs_json(record)).await;
    assert_eq!((status, answer), (200, json!({})));
    let rows = sql::query(&server, "SELECT body, trace_id, span_id FROM logs").await;
    assert_eq!(rows.to_texts(), [["kept", "null", "null"]]);
}

/// A span that ended before it began keeps its moments and lasts 0.
#[tokio::test]
async fn v5_an_end_before_the_start_lasts_0() {
    let server = Server::start();
    let now = now_nanos();
    let times = json!({ "startTimeUnixNano": now.to_string(), "endTimeUnixNano": (now - 1_000).to_string() });
    post_spans(&server, &[span_json(1, times)]).await;
    assert_eq!(json::integer(&stored(&server, 1, "duration_nanos").await), 0);
    assert_eq!(repairs(&server, 1).await, ["negative_duration"]);
    let given = given_back(&server, 1).await;
    assert_eq!(given["startTimeUnixNano"], json!(now.to_string()));
    assert_eq!(given["endTimeUnixNano"], json!((now - 1_000).to_string()));
}

/// A missing moment is taken from the other one, the far future is kept and flagged, what is too old is refused.
#[tokio::test]
async fn v6_moments_that_cannot_be() {
    let server = Server::start();
    let now = now_nanos();
    post_spans(&server, &[span_json(1, json!({ "startTimeUnixNano": "0" }))]).await;
    assert_eq!(repairs(&server, 1).await, ["no_timestamp"]);
    assert_eq!(json::integer(&stored(&server, 1, "duration_nanos").await), 0);
    assert!(given_back(&server, 1).await["startTimeUnixNano"].as_str().is_none_or(|time| time == "0"), "as sent");

    let future = now + 48 * HOUR;
    let times = json!({ "startTimeUnixNano": future.to_string(), "endTimeUnixNano": (future + 5).to_string() });
    post_spans(&server, &[span_json(2, times)]).await;
    assert_eq!(repairs(&server, 2).await, ["clock_skew"]);
    assert_eq!(given_back(&server, 2).await["startTimeUnixNano"], json!(future.to_string()));

    let old = now - 365 * 24 * HOUR;
    let times = json!({ "startTimeUnixNano": old.to_string(), "endTimeUnixNano": (old + 5).to_string() });
    let request = request_json(&[span_json(3, times), span_json(4, json!({}))]);
    let (status, answer) = post_text(&server, "traces", request.to_string()).await;
    assert_eq!(status, 200);
    assert_eq!(json::integer(&answer["partialSuccess"]["rejectedSpans"]), 1, "{answer}");
    assert!(answer["partialSuccess"]["errorMessage"].as_str().is_some_and(|text| text.contains("too_old")), "{answer}");
    assert_eq!(sql::number(&server, "SELECT count(*) FROM spans").await, 3);
}

/// An empty name and a service that was not said are kept as sent and shown as unknown.
#[tokio::test]
async fn v7_names_that_were_not_said() {
    let server = Server::start();
    for (number, resource) in (1..).zip([
        json!({}),
        json!({ "attributes": [{ "key": "service.name", "value": { "stringValue": "" } }] }),
        json!({ "attributes": [{ "key": "service.name", "value": { "intValue": "7" } }] }),
    ]) {
        let mut request = request_json(&[span_json(number, json!({ "name": "" }))]);
        request["resourceSpans"][0]["resource"] = resource.clone();
        let (status, answer) = post_text(&server, "traces", request.to_string()).await;
        assert_eq!((status, answer), (200, json!({})));
        assert_eq!(stored(&server, number, "service_name").await, "unknown_service", "{resource}");
        assert_eq!(stored(&server, number, "name").await, "", "the stored name is untouched");
    }
}

/// A key that stands twice: the last value wins, flagged.
#[tokio::test]
async fn v9_the_last_of_two_keys_wins() {
    let server = Server::start();
    let twice = json!({ "attributes": [
        { "key": "a", "value": { "stringValue": "first" } }, { "key": "b", "value": { "boolValue": true } },
        { "key": "a", "value": { "stringValue": "last" } },
    ] });
    post_spans(&server, &[span_json(1, twice)]).await;
    assert_eq!(stored(&server, 1, "attr('a')").await, "last");
    assert_eq!(repairs(&server, 1).await, ["duplicate_key"]);
    assert_eq!(given_back(&server, 1).await["attributes"].as_array().map(Vec::len), Some(2));
}

/// Long values and keys are cut on a character boundary, and the sender is told.
#[tokio::test]
async fn v10_long_values_are_cut() {
    let server = Server::start();
    // Three bytes a character: 64 KiB is no multiple of it.
    let long = "梨".repeat(30_000);
    let attributes = json!({ "attributes": [{ "key": "long", "value": { "stringValue": long } }] });
    let (status, answer) = post_text(&server, "traces", request_json(&[span_json(1, attributes)]).to_string()).await;
    assert_eq!(status, 200);
    assert!(
        answer["partialSuccess"]["errorMessage"].as_str().is_some_and(|text| text.contains("truncated")),
        "{answer}"
    );
    assert_eq!(json::integer(answer["partialSuccess"].get("rejectedSpans").unwrap_or(&json!(0))), 0, "{answer}");
    let kept = stored(&server, 1, "attr('long')").await;
    let kept = kept.as_str().expect("text");
    assert!(kept.len() <= 65_536 && kept.len() > 65_000 && kept.chars().all(|c| c == '梨'), "{} bytes", kept.len());
    assert_eq!(json::integer(&stored(&server, 1, "dropped_attributes_count").await), 0);
    assert_eq!(repairs(&server, 1).await, ["truncated"]);
}

/// Of too many attributes, events and links the first are kept and the rest counted.
#[tokio::test]
async fn v11_too_many_are_counted() {
    let server = Server::start();
    let attributes: Vec<_> =
        (0..1_030).map(|n| json!({ "key": format!("k{n}"), "value": { "intValue": n } })).collect();
    let events: Vec<_> = (0..1_026).map(|n| json!({ "name": format!("e{n}") })).collect();
    let link = json!({ "traceId": "000000000000000000000000000000aa", "spanId": "00000000000000aa" });
    let many = json!({ "attributes": attributes, "events": events, "links": vec![link; 1_025] });
    let (status, answer) = post_text(&server, "traces", request_json(&[span_json(1, many)]).to_string()).await;
    assert_eq!(status, 200);
    assert!(answer["partialSuccess"]["errorMessage"].is_string(), "A4: {answer}");
    let counts =
        ["dropped_attributes_count", "dropped_events_count", "dropped_links_count", "event_count", "link_count"];
    for (column, expected) in counts.into_iter().zip([6, 2, 1, 1_024, 1_024]) {
        assert_eq!(json::integer(&stored(&server, 1, column).await), expected, "{column}");
    }
}

/// A span above 1 MiB is refused, its neighbour kept.
#[tokio::test]
async fn v12_a_span_above_1_mib_is_refused() {
    let server = Server::start();
    let value = "x".repeat(60_000);
    let attributes: Vec<_> =
        (0..20).map(|n| json!({ "key": format!("k{n}"), "value": { "stringValue": value } })).collect();
    let spans = [span_json(1, json!({ "attributes": attributes })), span_json(2, json!({}))];
    let (status, answer) = post_text(&server, "traces", request_json(&spans).to_string()).await;
    assert_eq!(status, 200);
    assert_eq!(json::integer(&answer["partialSuccess"]["rejectedSpans"]), 1, "{answer}");
    assert!(answer.to_string().contains("span_too_large"), "{answer}");
    assert_eq!(sql::number(&server, "SELECT count(*) FROM spans").await, 1);
}

/// The same span twice is shown once; the same ids with another content are both shown.
#[tokio::test]
async fn v14_a_repeated_span_is_shown_once() {
    let server = Server::start();
    let span = span_json(1, json!({}));
    post_spans(&server, std::slice::from_ref(&span)).await;
    post_spans(&server, std::slice::from_ref(&span)).await;
    let count = async |path: &str| {
        let answer = reqwest::get(server.api(path)).await.expect("an answer");
        let timeline: api::Timeline =
            serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("a timeline");
        timeline.spans.span_id.len()
    };
    let path = format!("/api/traces/{:032x}/timeline", 1);
    assert_eq!(count(&path).await, 1, "collapsed");
    let mut other = span.clone();
    other["name"] = json!("another");
    post_spans(&server, &[other]).await;
    assert_eq!(count(&path).await, 2, "both are shown");
}

fn metric_json(data: &Json) -> String {
    let mut metric = json!({ "name": "m" });
    if let Json::Object(members) = data.clone() {
        members.into_iter().for_each(|(key, value)| metric[key] = value);
    }
    json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [metric] }] }] }).to_string()
}

/// V16 to V20: points that say nothing or contradict themselves are refused with a reason.
#[tokio::test]
async fn v16_to_v20_points_that_cannot_be() {
    let server = Server::start();
    let now = now_nanos().to_string();
    let histogram = |counts: Json, bounds: Json| {
        json!({ "histogram": { "aggregationTemporality": 2, "dataPoints": [
            { "timeUnixNano": now, "count": "3", "bucketCounts": counts, "explicitBounds": bounds },
        ] } })
    };
    let exponential = |scale: i64, n: usize| {
        json!({ "exponentialHistogram": { "aggregationTemporality": 2, "dataPoints": [
            { "timeUnixNano": now, "count": n.to_string(), "scale": scale, "positive": { "bucketCounts": vec!["1"; n] } },
        ] } })
    };
    let cases = [
        ("no_timestamp", json!({ "gauge": { "dataPoints": [{ "asInt": "1" }] } })),
        ("no_temporality", json!({ "sum": { "dataPoints": [{ "timeUnixNano": now, "asInt": "1" }] } })),
        ("no_value", json!({ "gauge": { "dataPoints": [{ "timeUnixNano": now }] } })),
        ("bad_histogram", histogram(json!(["1", "2"]), json!([1.0, 2.0]))),
        ("bad_histogram", histogram(json!(["1", "1", "1"]), json!([2.0, 1.0]))),
        ("bad_histogram", histogram(json!(["1", "1", "1"]), json!([1.0, "NaN"]))),
        ("bad_histogram", exponential(21, 1)),
        ("bad_histogram", exponential(0, 1_025)),
    ];
    for (reason, data) in cases {
        let (status, answer) = post_text(&server, "metrics", metric_json(&data)).await;
        assert_eq!(status, 400, "{reason}: {data}: {answer}");
        assert!(answer["message"].as_str().is_some_and(|text| text.contains(reason)), "{reason}: {answer}");
    }
    let good = [
        // A staleness mark has no value (V20); a count that does not add up is kept with a flag (V19).
        json!({ "gauge": { "dataPoints": [{ "timeUnixNano": now, "flags": 1 }] } }),
        histogram(json!(["1", "1", "5"]), json!([1.0, 2.0])),
        histogram(json!([]), json!([])),
        // Delta and cumulative side by side (V18), and a metric without points (A2).
        json!({ "sum": { "aggregationTemporality": 1, "dataPoints": [{ "timeUnixNano": now, "asInt": "1" }] } }),
        json!({ "sum": { "aggregationTemporality": 2, "dataPoints": [{ "timeUnixNano": now, "asInt": "1" }] } }),
        json!({ "sum": { "aggregationTemporality": 2 } }),
    ];
    for data in good {
        let (status, answer) = post_text(&server, "metrics", metric_json(&data)).await;
        assert_eq!((status, &answer), (200, &json!({})), "{data}");
    }
    assert_eq!(sql::number(&server, "SELECT count(*) FROM number_points").await, 3);
    assert_eq!(sql::number(&server, "SELECT count(*) FROM number_points WHERE flags = 1").await, 1);
    let temporalities =
        sql::query(&server, "SELECT temporality FROM number_points WHERE metric_kind = 2 ORDER BY 1").await;
    assert_eq!(temporalities.to_texts(), [["1"], ["2"]]);
    assert_eq!(sql::number(&server, "SELECT count(*) FROM histogram_points WHERE repairs <> 0").await, 1);
}

/// V21: counters above the largest signed integer keep every bit.
#[tokio::test]
async fn v21_large_counts_keep_every_bit() {
    let server = Server::start();
    let data = json!({ "histogram": { "aggregationTemporality": 2, "dataPoints": [{
        "timeUnixNano": now_nanos().to_string(), "count": u64::MAX.to_string(), "bucketCounts": [u64::MAX.to_string()],
        "sum": "Infinity",
    }] } });
    let (status, answer) = post_text(&server, "metrics", metric_json(&data)).await;
    assert_eq!((status, answer), (200, json!({})));
    let rows = sql::query(&server, "SELECT count FROM histogram_points").await;
    assert_eq!(u64::from_ne_bytes(rows.int(0, "count").to_ne_bytes()), u64::MAX, "the same bits");
}

/// V22: one attribute with two types: both readable, by either type.
#[tokio::test]
async fn v22_one_attribute_of_two_types() {
    let server = Server::start();
    let with = |number, value: Json| {
        span_json(number, json!({ "attributes": [{ "key": "http.response.status_code", "value": value }] }))
    };
    post_spans(&server, &[with(1, json!({ "intValue": "503" })), with(2, json!({ "stringValue": "503" }))]).await;
    let text = "SELECT count(*) FROM spans WHERE attr('http.response.status_code') = '503'";
    assert_eq!(sql::number(&server, text).await, 2, "as text");
    let text = "SELECT count(*) FROM spans WHERE attr_number('http.response.status_code') > 500";
    assert_eq!(sql::number(&server, text).await, 1, "as a number: text is no number");
}
