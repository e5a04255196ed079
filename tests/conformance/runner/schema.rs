//! OTLP/JSON to protobuf by a table of its messages.
//!
//! Written for the conformance cases alone, from `opentelemetry-proto` 1.9, so that a mistake in a collector's own tables cannot hide
//! behind the same mistake here. Takes canonical OTLP/JSON; anything else is a mistake of the case.

use base64::Engine as _;
use serde_json::Value as Json;

/// How a field stands on the wire.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    Hex,
    Base64,
    Bool,
    Varint,
    ZigZag,
    Fixed32,
    Fixed64,
    Double,
    Packed(&'static Self),
    Message(&'static str),
}

use Kind::{Base64, Bool, Double, Fixed32, Fixed64, Hex, Message, Packed, Text, Varint, ZigZag};

type Field = (&'static str, u32, Kind);

const NUMBER: &[Field] = &[
    ("attributes", 7, Message("KeyValue")),
    ("startTimeUnixNano", 2, Fixed64),
    ("timeUnixNano", 3, Fixed64),
    ("asDouble", 4, Double),
    ("asInt", 6, Fixed64),
    ("exemplars", 5, Message("Exemplar")),
    ("flags", 8, Varint),
];

/// Fields of each message. The messages of one signal that differ in names only are one.
const MESSAGES: &[(&str, &[Field])] = &[
    (
        "Request",
        &[
            ("resourceSpans", 1, Message("ResourceItems")),
            ("resourceMetrics", 1, Message("ResourceItems")),
            ("resourceLogs", 1, Message("ResourceItems")),
        ],
    ),
    (
        "ResourceItems",
        &[
            ("resource", 1, Message("Resource")),
            ("scopeSpans", 2, Message("ScopeItems")),
            ("scopeMetrics", 2, Message("ScopeItems")),
            ("scopeLogs", 2, Message("ScopeItems")),
            ("schemaUrl", 3, Text),
        ],
    ),
    (
        "ScopeItems",
        &[
            ("scope", 1, Message("Scope")),
            ("spans", 2, Message("Span")),
            ("metrics", 2, Message("Metric")),
            ("logRecords", 2, Message("LogRecord")),
            ("schemaUrl", 3, Text),
        ],
    ),
    ("Resource", &[("attributes", 1, Message("KeyValue")), ("droppedAttributesCount", 2, Varint)]),
    (
        "Scope",
        &[
            ("name", 1, Text),
            ("version", 2, Text),
            ("attributes", 3, Message("KeyValue")),
            ("droppedAttributesCount", 4, Varint),
        ],
    ),
    ("KeyValue", &[("key", 1, Text), ("value", 2, Message("AnyValue"))]),
    (
        "AnyValue",
        &[
            ("stringValue", 1, Text),
            ("boolValue", 2, Bool),
            ("intValue", 3, Varint),
            ("doubleValue", 4, Double),
            ("arrayValue", 5, Message("ArrayValue")),
            ("kvlistValue", 6, Message("KeyValueList")),
            ("bytesValue", 7, Base64),
        ],
    ),
    ("ArrayValue", &[("values", 1, Message("AnyValue"))]),
    ("KeyValueList", &[("values", 1, Message("KeyValue"))]),
    (
        "Span",
        &[
            ("traceId", 1, Hex),
            ("spanId", 2, Hex),
            ("traceState", 3, Text),
            ("parentSpanId", 4, Hex),
            ("name", 5, Text),
            ("kind", 6, Varint),
            ("startTimeUnixNano", 7, Fixed64),
            ("endTimeUnixNano", 8, Fixed64),
            ("attributes", 9, Message("KeyValue")),
            ("droppedAttributesCount", 10, Varint),
            ("events", 11, Message("Event")),
            ("droppedEventsCount", 12, Varint),
            ("links", 13, Message("Link")),
            ("droppedLinksCount", 14, Varint),
            ("status", 15, Message("Status")),
            ("flags", 16, Fixed32),
        ],
    ),
    (
        "Event",
        &[
            ("timeUnixNano", 1, Fixed64),
            ("name", 2, Text),
            ("attributes", 3, Message("KeyValue")),
            ("droppedAttributesCount", 4, Varint),
        ],
    ),
    (
        "Link",
        &[
            ("traceId", 1, Hex),
            ("spanId", 2, Hex),
            ("traceState", 3, Text),
            ("attributes", 4, Message("KeyValue")),
            ("droppedAttributesCount", 5, Varint),
            ("flags", 6, Fixed32),
        ],
    ),
    ("Status", &[("message", 2, Text), ("code", 3, Varint)]),
    (
        "LogRecord",
        &[
            ("timeUnixNano", 1, Fixed64),
            ("observedTimeUnixNano", 11, Fixed64),
            ("severityNumber", 2, Varint),
            ("severityText", 3, Text),
            ("body", 5, Message("AnyValue")),
            ("attributes", 6, Message("KeyValue")),
            ("droppedAttributesCount", 7, Varint),
            ("flags", 8, Fixed32),
            ("traceId", 9, Hex),
            ("spanId", 10, Hex),
            ("eventName", 12, Text),
        ],
    ),
    (
        "Metric",
        &[
            ("name", 1, Text),
            ("description", 2, Text),
            ("unit", 3, Text),
            ("gauge", 5, Message("Gauge")),
            ("sum", 7, Message("Sum")),
            ("histogram", 9, Message("Histogram")),
            ("exponentialHistogram", 10, Message("ExponentialHistogram")),
            ("summary", 11, Message("Summary")),
            ("metadata", 12, Message("KeyValue")),
        ],
    ),
    ("Gauge", &[("dataPoints", 1, Message("NumberPoint"))]),
    (
        "Sum",
        &[("dataPoints", 1, Message("NumberPoint")), ("aggregationTemporality", 2, Varint), ("isMonotonic", 3, Bool)],
    ),
    ("Histogram", &[("dataPoints", 1, Message("HistogramPoint")), ("aggregationTemporality", 2, Varint)]),
    ("ExponentialHistogram", &[("dataPoints", 1, Message("ExponentialPoint")), ("aggregationTemporality", 2, Varint)]),
    ("Summary", &[("dataPoints", 1, Message("SummaryPoint"))]),
    ("NumberPoint", NUMBER),
    (
        "HistogramPoint",
        &[
            ("attributes", 9, Message("KeyValue")),
            ("startTimeUnixNano", 2, Fixed64),
            ("timeUnixNano", 3, Fixed64),
            ("count", 4, Fixed64),
            ("sum", 5, Double),
            ("bucketCounts", 6, Packed(&Fixed64)),
            ("explicitBounds", 7, Packed(&Double)),
            ("exemplars", 8, Message("Exemplar")),
            ("flags", 10, Varint),
            ("min", 11, Double),
            ("max", 12, Double),
        ],
    ),
    (
        "ExponentialPoint",
        &[
            ("attributes", 1, Message("KeyValue")),
            ("startTimeUnixNano", 2, Fixed64),
            ("timeUnixNano", 3, Fixed64),
            ("count", 4, Fixed64),
            ("sum", 5, Double),
            ("scale", 6, ZigZag),
            ("zeroCount", 7, Fixed64),
            ("positive", 8, Message("Buckets")),
            ("negative", 9, Message("Buckets")),
            ("flags", 10, Varint),
            ("exemplars", 11, Message("Exemplar")),
            ("min", 12, Double),
            ("max", 13, Double),
            ("zeroThreshold", 14, Double),
        ],
    ),
    ("Buckets", &[("offset", 1, ZigZag), ("bucketCounts", 2, Packed(&Varint))]),
    (
        "SummaryPoint",
        &[
            ("attributes", 7, Message("KeyValue")),
            ("startTimeUnixNano", 2, Fixed64),
            ("timeUnixNano", 3, Fixed64),
            ("count", 4, Fixed64),
            ("sum", 5, Double),
            ("quantileValues", 6, Message("Quantile")),
            ("flags", 8, Varint),
        ],
    ),
    ("Quantile", &[("quantile", 1, Double), ("value", 2, Double)]),
    (
        "Exemplar",
        &[
            ("filteredAttributes", 7, Message("KeyValue")),
            ("timeUnixNano", 2, Fixed64),
            ("asDouble", 3, Double),
            ("asInt", 6, Fixed64),
            ("spanId", 4, Hex),
            ("traceId", 5, Hex),
        ],
    ),
];

/// A request as protobuf.
pub fn to_protobuf(request: &Json) -> Vec<u8> {
    message("Request", request)
}

/// A message of the table as protobuf.
///
/// # Panics
/// When a member is not in the table: a mistake of the case.
pub fn message(name: &str, json: &Json) -> Vec<u8> {
    let (_, fields) = MESSAGES.iter().find(|(of, _)| *of == name).unwrap_or_else(|| panic!("no message {name}"));
    let members = json.as_object().unwrap_or_else(|| panic!("{name} is an object, not {json}"));
    let mut out = Vec::new();
    for (member, value) in members {
        let field = fields.iter().find(|(of, ..)| of == member);
        let (_, number, kind) = field.unwrap_or_else(|| panic!("{name} has no member {member}"));
        match (kind, value) {
            (Packed(item), Json::Array(items)) => {
                let mut packed = Vec::new();
                items.iter().for_each(|value| scalar(&mut packed, item, value));
                framed(&mut out, *number, &packed);
            }
            (kind, Json::Array(items)) => items.iter().for_each(|value| one(&mut out, *number, kind, value)),
            (kind, value) => one(&mut out, *number, kind, value),
        }
    }
    out
}

/// A field of bytes.
pub fn framed(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    varint(out, u64::from(number << 3 | 2));
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A number of seven bits a byte.
pub fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn one(out: &mut Vec<u8>, number: u32, kind: &Kind, value: &Json) {
    let text = || value.as_str().unwrap_or_else(|| panic!("a text, not {value}"));
    match kind {
        Text => framed(out, number, text().as_bytes()),
        Hex => framed(out, number, &unhex(text())),
        Base64 => framed(out, number, &base64::engine::general_purpose::STANDARD.decode(text()).expect("base64")),
        Message(name) => framed(out, number, &message(name, value)),
        Fixed64 | Double => {
            varint(out, u64::from(number << 3 | 1));
            scalar(out, kind, value);
        }
        Fixed32 => {
            varint(out, u64::from(number << 3 | 5));
            scalar(out, kind, value);
        }
        Bool | Varint | ZigZag | Packed(_) => {
            varint(out, u64::from(number << 3));
            scalar(out, kind, value);
        }
    }
}

fn scalar(out: &mut Vec<u8>, kind: &Kind, value: &Json) {
    match kind {
        Bool => out.push(u8::from(value.as_bool().expect("true or false"))),
        Varint => varint(out, integer(value) as u64),
        ZigZag => {
            let number = integer(value) as i64;
            varint(out, ((number << 1) ^ (number >> 63)) as u64);
        }
        Fixed32 => out.extend((integer(value) as u32).to_le_bytes()),
        Fixed64 => out.extend((integer(value) as u64).to_le_bytes()),
        Double => {
            let number = value.as_f64().or_else(|| match value.as_str() {
                Some("Infinity") => Some(f64::INFINITY),
                Some("-Infinity") => Some(f64::NEG_INFINITY),
                Some("NaN") => Some(f64::NAN),
                _ => None,
            });
            out.extend(number.unwrap_or_else(|| panic!("a number, not {value}")).to_le_bytes());
        }
        Text | Hex | Base64 | Packed(_) | Message(_) => panic!("{kind:?} is no number"),
    }
}

/// A whole number, or the text of one, of 64 bits with or without a sign.
fn integer(value: &Json) -> i128 {
    let number = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
    number.or_else(|| value.as_str()?.parse().ok()).unwrap_or_else(|| panic!("a whole number, not {value}"))
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap_or_else(|_| panic!("{text:?} is not hex"));
    (0..text.len()).step_by(2).map(digit).collect()
}
