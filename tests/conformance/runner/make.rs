//! Messages of cases: good ones, and good ones with something changed.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value as Json, json};

use super::case::Signal;

/// Now, unix nanoseconds.
pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_nanos() as u64
}

/// Ids that no other item has.
pub fn ids() -> (String, String) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    (format!("{:016x}{number:016x}", now() | 1), format!("{:016x}", (now() << 8) ^ number | 1))
}

/// A message with the members of `edit` in place of its own.
fn edited(mut message: Json, edit: &Json) -> Json {
    for (name, value) in edit.as_object().into_iter().flatten() {
        message[name] = value.clone();
    }
    message
}

pub fn attribute(key: &str, value: Json) -> Json {
    json!({ "key": key, "value": value })
}

pub fn text(value: &str) -> Json {
    json!({ "stringValue": value })
}

pub fn span(edit: Json) -> Json {
    let (trace_id, span_id) = ids();
    let now = now();
    let span = json!({
        "traceId": trace_id, "spanId": span_id, "name": "GET /cart", "kind": 2,
        "startTimeUnixNano": (now - 5_000_000).to_string(), "endTimeUnixNano": now.to_string(),
        "attributes": [attribute("http.request.method", text("GET"))],
    });
    edited(span, &edit)
}

pub fn log(edit: Json) -> Json {
    let now = now().to_string();
    edited(
        json!({ "timeUnixNano": now, "observedTimeUnixNano": now, "severityNumber": 9, "body": text("a line") }),
        &edit,
    )
}

/// A point of a gauge or sum.
pub fn number(edit: Json) -> Json {
    edited(json!({ "timeUnixNano": now().to_string(), "asInt": "7" }), &edit)
}

pub fn histogram(edit: Json) -> Json {
    let point = json!({
        "timeUnixNano": now().to_string(), "count": "3", "sum": 6.5, "bucketCounts": ["1", "2"], "explicitBounds": [2.0],
    });
    edited(point, &edit)
}

pub fn exponential(edit: Json) -> Json {
    let point = json!({
        "timeUnixNano": now().to_string(), "count": "3", "sum": 6.5, "scale": 2, "zeroCount": "1",
        "positive": { "offset": 1, "bucketCounts": ["1", "1"] },
    });
    edited(point, &edit)
}

pub fn summary(edit: Json) -> Json {
    let point = json!({
        "timeUnixNano": now().to_string(), "count": "3", "sum": 6.5, "quantileValues": [{ "quantile": 0.5, "value": 2.0 }],
    });
    edited(point, &edit)
}

/// Kinds of metrics: name of the member, whether it has a temporality.
pub const KINDS: [(&str, bool); 5] =
    [("gauge", false), ("sum", true), ("histogram", true), ("exponentialHistogram", true), ("summary", false)];

/// A good point of a kind, changed.
pub fn point(kind: &str, edit: Json) -> Json {
    match kind {
        "histogram" => histogram(edit),
        "exponentialHistogram" => exponential(edit),
        "summary" => summary(edit),
        _ => number(edit),
    }
}

/// A metric of a kind with these points.
pub fn metric(kind: &str, points: Vec<Json>) -> Json {
    let mut data = json!({ "dataPoints": points });
    if KINDS.contains(&(kind, true)) {
        data["aggregationTemporality"] = json!(2);
    }
    json!({ "name": format!("conformance.{kind}"), "unit": "1", kind: data })
}

/// An item of a signal with these attributes.
pub fn with_attributes(signal: Signal, attributes: Json) -> Json {
    match signal {
        Signal::Traces => span(json!({ "attributes": attributes })),
        Signal::Logs => log(json!({ "attributes": attributes })),
        Signal::Metrics => metric("gauge", vec![number(json!({ "attributes": attributes }))]),
    }
}

pub fn good(signal: Signal) -> Json {
    with_attributes(signal, json!([attribute("a", text("b"))]))
}

/// Names of a signal's members.
pub const fn members(signal: Signal) -> [&'static str; 3] {
    match signal {
        Signal::Traces => ["resourceSpans", "scopeSpans", "spans"],
        Signal::Metrics => ["resourceMetrics", "scopeMetrics", "metrics"],
        Signal::Logs => ["resourceLogs", "scopeLogs", "logRecords"],
    }
}

/// A request of one resource and one scope.
pub fn request(signal: Signal, items: Vec<Json>) -> Json {
    request_of(signal, json!({ "attributes": [attribute("service.name", text("conformance"))] }), items)
}

pub fn request_of(signal: Signal, resource: Json, items: Vec<Json>) -> Json {
    let [resources, scopes, list] = members(signal);
    json!({ resources: [{ "resource": resource, scopes: [{ "scope": { "name": "conformance" }, list: items }] }] })
}

/// An `AnyValue` of so many levels.
pub fn nested(levels: usize) -> Json {
    (1..levels).fold(json!({ "intValue": "7" }), |value, _| json!({ "arrayValue": { "values": [value] } }))
}
