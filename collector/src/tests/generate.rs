//! Random requests of every shape that the protocol allows, as protobuf and as OTLP/JSON.
//!
//! A request is a tree of fields made from [`Schema`]s, which are written here a second time on purpose: nothing
//! is shared with the decoders under test. The same tree is written in two encodings, so that rows can be
//! compared, and in odd forms that protobuf allows: any order, pieces to be merged, packed or not, unknown fields,
//! groups, varints longer than needed, text that is not UTF-8.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use model::semconv::CONVENTIONS;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};

use super::world::NOW;
use crate::Signal;

/// How the value of a field is written.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Key,
    Id(usize),
    Bytes,
    Varint32,
    Enum,
    Sint32,
    Bool,
    Int64,
    Fixed32,
    Fixed64,
    Time,
    Sfixed64,
    Double,
    Count,
    Message(&'static Schema),
}

/// How often a field stands in a message.
#[derive(Clone, Copy, PartialEq)]
enum Times {
    Once,
    OneOf,
    Many,
}

/// Number, name in JSON, how it is written, how often.
type Field = (u32, &'static str, Kind, Times);

struct Schema(&'static [Field]);

use Kind::*;
use Times::*;

static ANY: Schema = Schema(&[
    (1, "stringValue", Text, OneOf),
    (2, "boolValue", Bool, OneOf),
    (3, "intValue", Int64, OneOf),
    (4, "doubleValue", Double, OneOf),
    (5, "arrayValue", Message(&LIST), OneOf),
    (6, "kvlistValue", Message(&MAP), OneOf),
    (7, "bytesValue", Bytes, OneOf),
]);
static LIST: Schema = Schema(&[(1, "values", Message(&ANY), Many)]);
static MAP: Schema = Schema(&[(1, "values", Message(&ENTRY), Many)]);
static ENTRY: Schema = Schema(&[(1, "key", Key, Once), (2, "value", Message(&ANY), Once)]);
static RESOURCE: Schema = Schema(&[
    (1, "attributes", Message(&ENTRY), Many),
    (2, "droppedAttributesCount", Varint32, Once),
    (3, "entityRefs", Message(&ENTITY), Many),
]);
static ENTITY: Schema = Schema(&[
    (1, "schemaUrl", Text, Once),
    (2, "type", Text, Once),
    (3, "idKeys", Text, Many),
    (4, "descriptionKeys", Text, Many),
]);
static SCOPE: Schema = Schema(&[
    (1, "name", Text, Once),
    (2, "version", Text, Once),
    (3, "attributes", Message(&ENTRY), Many),
    (4, "droppedAttributesCount", Varint32, Once),
]);

static TRACES: Schema = Schema(&[(1, "resourceSpans", Message(&RESOURCE_SPANS), Many)]);
static RESOURCE_SPANS: Schema = Schema(&[
    (1, "resource", Message(&RESOURCE), Once),
    (2, "scopeSpans", Message(&SCOPE_SPANS), Many),
    (3, "schemaUrl", Text, Once),
]);
static SCOPE_SPANS: Schema =
    Schema(&[(1, "scope", Message(&SCOPE), Once), (2, "spans", Message(&SPAN), Many), (3, "schemaUrl", Text, Once)]);
static SPAN: Schema = Schema(&[
    (1, "traceId", Id(16), Once),
    (2, "spanId", Id(8), Once),
    (3, "traceState", Text, Once),
    (4, "parentSpanId", Id(8), Once),
    (5, "name", Text, Once),
    (6, "kind", Enum, Once),
    (7, "startTimeUnixNano", Time, Once),
    (8, "endTimeUnixNano", Time, Once),
    (9, "attributes", Message(&ENTRY), Many),
    (10, "droppedAttributesCount", Varint32, Once),
    (11, "events", Message(&EVENT), Many),
    (12, "droppedEventsCount", Varint32, Once),
    (13, "links", Message(&LINK), Many),
    (14, "droppedLinksCount", Varint32, Once),
    (15, "status", Message(&STATUS), Once),
    (16, "flags", Fixed32, Once),
]);
static EVENT: Schema = Schema(&[
    (1, "timeUnixNano", Time, Once),
    (2, "name", Text, Once),
    (3, "attributes", Message(&ENTRY), Many),
    (4, "droppedAttributesCount", Varint32, Once),
]);
static LINK: Schema = Schema(&[
    (1, "traceId", Id(16), Once),
    (2, "spanId", Id(8), Once),
    (3, "traceState", Text, Once),
    (4, "attributes", Message(&ENTRY), Many),
    (5, "droppedAttributesCount", Varint32, Once),
    (6, "flags", Fixed32, Once),
]);
static STATUS: Schema = Schema(&[(2, "message", Text, Once), (3, "code", Enum, Once)]);

static LOGS: Schema = Schema(&[(1, "resourceLogs", Message(&RESOURCE_LOGS), Many)]);
static RESOURCE_LOGS: Schema = Schema(&[
    (1, "resource", Message(&RESOURCE), Once),
    (2, "scopeLogs", Message(&SCOPE_LOGS), Many),
    (3, "schemaUrl", Text, Once),
]);
static SCOPE_LOGS: Schema = Schema(&[
    (1, "scope", Message(&SCOPE), Once),
    (2, "logRecords", Message(&LOG), Many),
    (3, "schemaUrl", Text, Once),
]);
static LOG: Schema = Schema(&[
    (1, "timeUnixNano", Time, Once),
    (2, "severityNumber", Enum, Once),
    (3, "severityText", Text, Once),
    (5, "body", Message(&ANY), Once),
    (6, "attributes", Message(&ENTRY), Many),
    (7, "droppedAttributesCount", Varint32, Once),
    (8, "flags", Fixed32, Once),
    (9, "traceId", Id(16), Once),
    (10, "spanId", Id(8), Once),
    (11, "observedTimeUnixNano", Time, Once),
    (12, "eventName", Text, Once),
]);

static METRICS: Schema = Schema(&[(1, "resourceMetrics", Message(&RESOURCE_METRICS), Many)]);
static RESOURCE_METRICS: Schema = Schema(&[
    (1, "resource", Message(&RESOURCE), Once),
    (2, "scopeMetrics", Message(&SCOPE_METRICS), Many),
    (3, "schemaUrl", Text, Once),
]);
static SCOPE_METRICS: Schema = Schema(&[
    (1, "scope", Message(&SCOPE), Once),
    (2, "metrics", Message(&METRIC), Many),
    (3, "schemaUrl", Text, Once),
]);
static METRIC: Schema = Schema(&[
    (1, "name", Text, Once),
    (2, "description", Text, Once),
    (3, "unit", Text, Once),
    (5, "gauge", Message(&GAUGE), OneOf),
    (7, "sum", Message(&SUM), OneOf),
    (9, "histogram", Message(&HISTOGRAM), OneOf),
    (10, "exponentialHistogram", Message(&EXPONENTIAL), OneOf),
    (11, "summary", Message(&SUMMARY), OneOf),
    (12, "metadata", Message(&ENTRY), Many),
]);
static GAUGE: Schema = Schema(&[(1, "dataPoints", Message(&NUMBER), Many)]);
static SUM: Schema = Schema(&[
    (1, "dataPoints", Message(&NUMBER), Many),
    (2, "aggregationTemporality", Enum, Once),
    (3, "isMonotonic", Bool, Once),
]);
static HISTOGRAM: Schema =
    Schema(&[(1, "dataPoints", Message(&HISTOGRAM_POINT), Many), (2, "aggregationTemporality", Enum, Once)]);
static EXPONENTIAL: Schema =
    Schema(&[(1, "dataPoints", Message(&EXPONENTIAL_POINT), Many), (2, "aggregationTemporality", Enum, Once)]);
static SUMMARY: Schema = Schema(&[(1, "dataPoints", Message(&SUMMARY_POINT), Many)]);
static NUMBER: Schema = Schema(&[
    (2, "startTimeUnixNano", Time, Once),
    (3, "timeUnixNano", Time, Once),
    (4, "asDouble", Double, OneOf),
    (5, "exemplars", Message(&EXEMPLAR), Many),
    (6, "asInt", Sfixed64, OneOf),
    (7, "attributes", Message(&ENTRY), Many),
    (8, "flags", Varint32, Once),
]);
static HISTOGRAM_POINT: Schema = Schema(&[
    (2, "startTimeUnixNano", Time, Once),
    (3, "timeUnixNano", Time, Once),
    (4, "count", Fixed64, Once),
    (5, "sum", Double, Once),
    (6, "bucketCounts", Fixed64, Many),
    (7, "explicitBounds", Double, Many),
    (8, "exemplars", Message(&EXEMPLAR), Many),
    (9, "attributes", Message(&ENTRY), Many),
    (10, "flags", Varint32, Once),
    (11, "min", Double, Once),
    (12, "max", Double, Once),
]);
static EXPONENTIAL_POINT: Schema = Schema(&[
    (1, "attributes", Message(&ENTRY), Many),
    (2, "startTimeUnixNano", Time, Once),
    (3, "timeUnixNano", Time, Once),
    (4, "count", Fixed64, Once),
    (5, "sum", Double, Once),
    (6, "scale", Sint32, Once),
    (7, "zeroCount", Fixed64, Once),
    (8, "positive", Message(&BUCKETS), Once),
    (9, "negative", Message(&BUCKETS), Once),
    (10, "flags", Varint32, Once),
    (11, "exemplars", Message(&EXEMPLAR), Many),
    (12, "min", Double, Once),
    (13, "max", Double, Once),
    (14, "zeroThreshold", Double, Once),
]);
static BUCKETS: Schema = Schema(&[(1, "offset", Sint32, Once), (2, "bucketCounts", Count, Many)]);
static SUMMARY_POINT: Schema = Schema(&[
    (2, "startTimeUnixNano", Time, Once),
    (3, "timeUnixNano", Time, Once),
    (4, "count", Fixed64, Once),
    (5, "sum", Double, Once),
    (6, "quantileValues", Message(&QUANTILE), Many),
    (7, "attributes", Message(&ENTRY), Many),
    (8, "flags", Varint32, Once),
]);
static QUANTILE: Schema = Schema(&[(1, "quantile", Double, Once), (2, "value", Double, Once)]);
static EXEMPLAR: Schema = Schema(&[
    (2, "timeUnixNano", Time, Once),
    (3, "asDouble", Double, OneOf),
    (4, "spanId", Id(8), Once),
    (5, "traceId", Id(16), Once),
    (6, "asInt", Sfixed64, OneOf),
    (7, "filteredAttributes", Message(&ENTRY), Many),
]);

/// A value before it is written.
enum Tree {
    Number(u64),
    Bytes(Vec<u8>),
    Message(Vec<(Field, Self)>),
}

/// A random request of a signal.
pub(super) struct Generated {
    fields: Vec<(Field, Tree)>,
    /// Odd forms are chosen from this.
    seed: u64,
}

/// What a request may hold.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Style {
    /// What has one meaning in every encoding.
    Plain,
    /// Whatever protobuf can say: pieces, several members of one `oneof`, text that is not UTF-8.
    Wild,
}

/// A request from a seed; the same seed gives the same request.
pub(super) fn request(signal: Signal, seed: u64, style: Style) -> Generated {
    let schema = match signal {
        Signal::Traces => &TRACES,
        Signal::Metrics => &METRICS,
        Signal::Logs => &LOGS,
    };
    let mut rng = StdRng::seed_from_u64(seed);
    Generated { fields: message(schema, &mut rng, style, 0), seed }
}

fn message(schema: &'static Schema, rng: &mut StdRng, style: Style, depth: u32) -> Vec<(Field, Tree)> {
    let mut fields = Vec::new();
    let one_of: Vec<&Field> = schema.0.iter().filter(|field| field.3 == OneOf).collect();
    for field in schema.0 {
        let is_envelope = depth < 3 || field.1 == "dataPoints";
        let n = match field.3 {
            Once if style == Style::Wild && rng.random_ratio(1, 12) => 2,
            Once => usize::from(rng.random_ratio(4, 5)),
            OneOf if style == Style::Wild => usize::from(rng.random_ratio(1, 4)),
            OneOf => 0,
            Many if is_envelope => rng.random_range(1..=3),
            // Deep trees end somewhere.
            Many => rng.random_range(0..=if depth > 12 { 0 } else { 3 }),
        };
        fields.extend((0..n).map(|_| (*field, value(field.2, rng, style, depth))));
    }
    if style == Style::Plain
        && let Some(field) = one_of.choose(rng)
        && rng.random_ratio(11, 12)
    {
        fields.push((**field, value(field.2, rng, style, depth)));
    }
    fields
}

fn value(kind: Kind, rng: &mut StdRng, style: Style, depth: u32) -> Tree {
    const NUMBERS: [u64; 8] = [0, 1, 2, 127, 128, 300, u32::MAX as u64, 7];
    match kind {
        Text => Tree::Bytes(text(rng, style)),
        Key => Tree::Bytes(key(rng, style)),
        Id(n) => Tree::Bytes(match rng.random_range(0..12) {
            0 => vec![0; n],
            1 => Vec::new(),
            2 => vec![7; n - 1],
            _ => (0..n).map(|_| rng.random()).collect(),
        }),
        Bytes => Tree::Bytes((0..rng.random_range(0..6)).map(|_| rng.random()).collect()),
        Varint32 => Tree::Number(*NUMBERS.choose(rng).expect("some")),
        Enum => Tree::Number(*[0u64, 1, 2, 2, 3, 9, u64::MAX].choose(rng).expect("some")),
        Sint32 => Tree::Number(u64::from(rng.random_range(0..60u32))),
        Bool => Tree::Number(u64::from(rng.random::<bool>())),
        Int64 => Tree::Number(if rng.random() { rng.random() } else { rng.random_range(0..200) }),
        Fixed32 => Tree::Number(u64::from(rng.random::<u32>())),
        Count => Tree::Number(rng.random_range(0..1000)),
        Fixed64 => Tree::Number(rng.random_range(0..9)),
        Sfixed64 => Tree::Number(rng.random()),
        Time => Tree::Number(match rng.random_range(0..10) {
            0 => 0,
            1 => rng.random(),
            _ => (NOW.0 - rng.random_range(0..1_000_000_000_000)).unsigned_abs(),
        }),
        Double => {
            let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, 1.0, 2.5];
            let double = if rng.random() { *odd.choose(rng).expect("some") } else { rng.random::<f64>() * 1e6 };
            Tree::Number(double.to_bits())
        }
        Message(schema) => Tree::Message(message(schema, rng, style, depth + 1)),
    }
}

fn text(rng: &mut StdRng, style: Style) -> Vec<u8> {
    const TEXTS: [&str; 9] = [
        "",
        "a",
        "GET /orders",
        "exception",
        "\u{e4}\u{1f600}",
        "\u{0}\n\"\\\t\u{7f}",
        "upstream unavailable",
        "x",
        "</b>",
    ];
    let mut text = TEXTS.choose(rng).expect("some").as_bytes().to_vec();
    if style == Style::Wild && rng.random_ratio(1, 40) {
        text.extend([b'x', 0xff, 0xc3]);
    }
    text
}

fn key(rng: &mut StdRng, style: Style) -> Vec<u8> {
    match rng.random_range(0..4) {
        0 => text(rng, style),
        1 => b"order.id".to_vec(),
        2 => b"exception.type".to_vec(),
        _ => CONVENTIONS.choose(rng).expect("some").key.as_bytes().to_vec(),
    }
}

impl Generated {
    /// In protobuf, in some odd form. `is_mended`: with U+FFFD in place of what is not UTF-8.
    pub(super) fn to_protobuf(&self, is_mended: bool) -> Vec<u8> {
        let mut rng = StdRng::seed_from_u64(self.seed ^ 0x0dd);
        write_message(&self.fields, &mut rng, is_mended)
    }

    /// As OTLP/JSON, members in any order.
    pub(super) fn to_json(&self) -> String {
        let mut rng = StdRng::seed_from_u64(self.seed ^ 0x150);
        json_message(&self.fields, &mut rng)
    }
}

fn write_message(fields: &[(Field, Tree)], rng: &mut StdRng, is_mended: bool) -> Vec<u8> {
    let mut order: Vec<&(Field, Tree)> = fields.iter().collect();
    // Only fields of different numbers may change places.
    if rng.random() {
        let mut numbers: Vec<u32> = order.iter().map(|((number, ..), _)| *number).collect();
        numbers.shuffle(rng);
        order.sort_by_key(|((number, ..), _)| numbers.iter().position(|other| other == number));
    }
    let mut out = Vec::new();
    let mut rest = order.as_slice();
    while let [((number, _, kind, times), value), more @ ..] = rest {
        rest = more;
        if rng.random_ratio(1, 30) {
            write_unknown(&mut out, rng, 0);
        }
        let is_packable = *times == Many && matches!(kind, Fixed64 | Double | Count);
        if is_packable && rng.random() {
            let same = |(field, _): &&&(Field, Tree)| field.0 == *number;
            let n_more = if rng.random() { rest.iter().take_while(same).count() } else { 0 };
            let (taken, later) = rest.split_at(n_more);
            rest = later;
            let mut packed = scalar(*kind, value, rng);
            taken.iter().for_each(|(_, value)| packed.extend(scalar(*kind, value, rng)));
            write_bytes(&mut out, *number, &packed, rng);
            continue;
        }
        match value {
            Tree::Message(inner) => {
                let inner = write_message(inner, rng, is_mended);
                write_bytes(&mut out, *number, &inner, rng);
            }
            Tree::Bytes(bytes) => {
                let lossy = String::from_utf8_lossy(bytes);
                let is_text = matches!(kind, Text | Key);
                write_bytes(&mut out, *number, if is_mended && is_text { lossy.as_bytes() } else { bytes }, rng);
            }
            Tree::Number(_) => {
                let wire = match kind {
                    Fixed64 | Time | Sfixed64 | Double => 1,
                    Fixed32 => 5,
                    _ => 0,
                };
                write_varint(&mut out, u64::from(number << 3 | wire), rng);
                out.extend(scalar(*kind, value, rng));
            }
        }
    }
    out
}

fn scalar(kind: Kind, value: &Tree, rng: &mut StdRng) -> Vec<u8> {
    let Tree::Number(number) = value else { panic!("a number") };
    match kind {
        Fixed64 | Time | Sfixed64 | Double => number.to_le_bytes().to_vec(),
        Fixed32 => (*number as u32).to_le_bytes().to_vec(),
        _ => {
            let mut out = Vec::new();
            write_varint(&mut out, *number, rng);
            out
        }
    }
}

fn write_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8], rng: &mut StdRng) {
    write_varint(out, u64::from(number << 3 | 2), rng);
    write_varint(out, bytes.len() as u64, rng);
    out.extend(bytes);
}

/// Now and then longer than it need be. Draws the same from `rng` for any value.
fn write_varint(out: &mut Vec<u8>, value: u64, rng: &mut StdRng) {
    let is_long = rng.random_ratio(1, 40);
    prost::encoding::encode_varint(value, out);
    if is_long && value < 1 << 50 {
        let last = out.last_mut().expect("a varint has a byte");
        *last |= 0x80;
        out.push(0);
    }
}

/// A field nobody knows, of any wire type.
fn write_unknown(out: &mut Vec<u8>, rng: &mut StdRng, depth: u32) {
    let number: u64 = *[17u64, 99, 1000, 1 << 28].choose(rng).expect("some");
    let wire = rng.random_range(0..if depth < 3 { 5 } else { 3 });
    match wire {
        0 => {
            write_varint(out, number << 3, rng);
            write_varint(out, rng.random(), rng);
        }
        1 => {
            write_varint(out, number << 3 | 1, rng);
            out.extend([0xff; 8]);
        }
        2 => {
            write_varint(out, number << 3 | 2, rng);
            out.extend([3, 0xff, 0, 0x80]);
        }
        3 => {
            write_varint(out, number << 3 | 5, rng);
            out.extend([0xee; 4]);
        }
        _ => {
            write_varint(out, number << 3 | 3, rng);
            write_unknown(out, rng, depth + 1);
            write_varint(out, number << 3 | 4, rng);
        }
    }
}

fn json_message(fields: &[(Field, Tree)], rng: &mut StdRng) -> String {
    let mut names: Vec<&Field> = Vec::new();
    for (field, _) in fields {
        if !names.iter().any(|other| other.0 == field.0) {
            names.push(field);
        }
    }
    names.shuffle(rng);
    let mut members: Vec<String> = Vec::new();
    for field in names {
        let mut values = fields.iter().filter(|(other, _)| other.0 == field.0).map(|(_, value)| value);
        let value = if field.3 == Many {
            let items: Vec<_> = values.map(|value| json_value(field.2, value, rng)).collect();
            format!("[{}]", items.join(", "))
        } else {
            json_value(field.2, values.next_back().expect("it stands there"), rng)
        };
        members.push(format!("\"{}\":{value}", field.1));
    }
    if rng.random_ratio(1, 20) {
        members.push(r#""new":[{"a":"]}\"","b":[null,1.5e3]}]"#.to_owned());
    }
    format!("{{{}}}", members.join(","))
}

fn json_value(kind: Kind, value: &Tree, rng: &mut StdRng) -> String {
    match (kind, value) {
        (Message(_), Tree::Message(fields)) => json_message(fields, rng),
        (Text | Key, Tree::Bytes(bytes)) => {
            serde_json::to_string(&String::from_utf8_lossy(bytes)).expect("text is JSON")
        }
        (Id(_), Tree::Bytes(bytes)) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            format!("\"{hex}\"")
        }
        (Bytes, Tree::Bytes(bytes)) => format!("\"{}\"", BASE64.encode(bytes)),
        (Bool, Tree::Number(number)) => (*number != 0).to_string(),
        (Double, Tree::Number(bits)) => match f64::from_bits(*bits) {
            double if double.is_nan() => "\"NaN\"".to_owned(),
            double if double.is_infinite() => if double > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" }.to_owned(),
            double => format!("{double:?}"),
        },
        (Enum, Tree::Number(number)) => (*number as i32).to_string(),
        (Varint32 | Fixed32, Tree::Number(number)) => (*number as u32).to_string(),
        (Sint32, Tree::Number(number)) => {
            let number = *number as u32;
            ((number >> 1).cast_signed() ^ -((number & 1).cast_signed())).to_string()
        }
        (Int64 | Sfixed64, Tree::Number(number)) => quoted(&number.cast_signed().to_string(), rng),
        (_, Tree::Number(number)) => quoted(&number.to_string(), rng),
        _ => panic!("the tree has the shape of its schema"),
    }
}

fn quoted(number: &str, rng: &mut StdRng) -> String {
    if rng.random() { format!("\"{number}\"") } else { number.to_owned() }
}
