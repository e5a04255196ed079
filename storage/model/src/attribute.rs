//! Typed attribute values and their OTLP/JSON text.
//!
//! The text is the one form in which attribute lists are kept as text: in the `resource`, `scope`,
//! `events` and `links` columns and in metric attributes. It is exactly what OTLP/JSON calls a list of
//! `KeyValue`, so an answer can carry it unchanged and other tools can read it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value as Json, json};

/// One attribute: key and value, as sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// The key; case matters.
    pub key: String,
    /// The typed value.
    pub value: AttributeValue,
}

/// A value of OTLP's `AnyValue`. Integers stay integers, `-0.0` and NaN stay what they are.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum AttributeValue {
    /// `AnyValue` with nothing set.
    #[default]
    Empty,
    /// Text.
    String(String),
    /// A boolean.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
    /// A double; may be NaN or infinite.
    Double(f64),
    /// Bytes; base64 in JSON.
    Bytes(Vec<u8>),
    /// A list, possibly of mixed types.
    Array(Vec<Self>),
    /// A map in sent order.
    Map(Vec<Attribute>),
}

impl AttributeValue {
    /// Text inside, when it is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// A plain reading for people: text without quotes, lists and maps as ordinary JSON.
    pub fn to_display(&self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::String(text) => text.clone(),
            other => other.to_plain_json().to_string(),
        }
    }

    /// Ordinary JSON without type marks: `[1, "a"]`, `{"k": true}`. NaN and infinities become text.
    pub fn to_plain_json(&self) -> Json {
        match self {
            Self::Empty => Json::Null,
            Self::String(text) => Json::String(text.clone()),
            Self::Bool(value) => Json::Bool(*value),
            Self::Int(value) => json!(value),
            Self::Double(value) => double_to_json(*value),
            Self::Bytes(bytes) => Json::String(BASE64.encode(bytes)),
            Self::Array(values) => values.iter().map(Self::to_plain_json).collect(),
            Self::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.value.to_plain_json()))
                .collect::<Map<_, _>>()
                .into(),
        }
    }
}

/// An OTLP/JSON `AnyValue`: `{"intValue":"7"}`; 64-bit integers are text.
pub fn value_to_json(value: &AttributeValue) -> Json {
    match value {
        AttributeValue::Empty => json!({}),
        AttributeValue::String(text) => json!({ "stringValue": text }),
        AttributeValue::Bool(value) => json!({ "boolValue": value }),
        AttributeValue::Int(value) => json!({ "intValue": value.to_string() }),
        AttributeValue::Double(value) => json!({ "doubleValue": double_to_json(*value) }),
        AttributeValue::Bytes(bytes) => json!({ "bytesValue": BASE64.encode(bytes) }),
        AttributeValue::Array(values) => {
            json!({ "arrayValue": { "values": values.iter().map(value_to_json).collect::<Vec<_>>() } })
        }
        AttributeValue::Map(entries) => json!({ "kvlistValue": { "values": list_to_json(entries) } }),
    }
}

/// A list of `KeyValue` as OTLP/JSON text; `[]` when empty.
pub fn attributes_to_json(attributes: &[Attribute]) -> String {
    list_to_json(attributes).to_string()
}

/// Reads what [`attributes_to_json`] wrote. Text that is not such a list gives an empty list: rows at
/// rest were checked on entry, so this only happens to files changed by other hands.
pub fn attributes_from_json(text: &str) -> Vec<Attribute> {
    serde_json::from_str(text).map(|json: Json| list_from_json(&json)).unwrap_or_default()
}

/// Reads an OTLP/JSON `AnyValue` as written by [`value_to_json`]; anything else is `Empty`.
pub fn value_from_json(json: &Json) -> AttributeValue {
    let Some((kind, value)) = json.as_object().and_then(|object| object.iter().next()) else {
        return AttributeValue::Empty;
    };
    match (kind.as_str(), value) {
        ("stringValue", Json::String(text)) => AttributeValue::String(text.clone()),
        ("boolValue", Json::Bool(value)) => AttributeValue::Bool(*value),
        ("intValue", Json::String(text)) => text.parse().map_or(AttributeValue::Empty, AttributeValue::Int),
        ("intValue", Json::Number(number)) => number.as_i64().map_or(AttributeValue::Empty, AttributeValue::Int),
        ("doubleValue", Json::Number(number)) => number.as_f64().map_or(AttributeValue::Empty, AttributeValue::Double),
        ("doubleValue", Json::String(text)) => text.parse().map_or(AttributeValue::Empty, AttributeValue::Double),
        ("bytesValue", Json::String(text)) => BASE64.decode(text).map_or(AttributeValue::Empty, AttributeValue::Bytes),
        ("arrayValue", list) => {
            let values = list.get("values").and_then(Json::as_array);
            AttributeValue::Array(values.into_iter().flatten().map(value_from_json).collect())
        }
        ("kvlistValue", list) => AttributeValue::Map(list.get("values").map(list_from_json).unwrap_or_default()),
        _ => AttributeValue::Empty,
    }
}

fn list_to_json(attributes: &[Attribute]) -> Json {
    attributes.iter().map(|entry| json!({ "key": entry.key, "value": value_to_json(&entry.value) })).collect()
}

fn list_from_json(json: &Json) -> Vec<Attribute> {
    let entry = |entry: &Json| {
        Some(Attribute {
            key: entry.get("key")?.as_str()?.to_owned(),
            value: entry.get("value").map(value_from_json).unwrap_or_default(),
        })
    };
    json.as_array().into_iter().flatten().filter_map(entry).collect()
}

fn double_to_json(value: f64) -> Json {
    match serde_json::Number::from_f64(value) {
        Some(number) => Json::Number(number),
        None if value.is_nan() => json!("NaN"),
        None if value > 0.0 => json!("Infinity"),
        None => json!("-Infinity"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = AttributeValue> {
        let leaf = prop_oneof![
            Just(AttributeValue::Empty),
            ".*".prop_map(AttributeValue::String),
            any::<bool>().prop_map(AttributeValue::Bool),
            any::<i64>().prop_map(AttributeValue::Int),
            any::<f64>().prop_filter("NaN is not equal to itself", |v| !v.is_nan()).prop_map(AttributeValue::Double),
            proptest::collection::vec(any::<u8>(), 0..9).prop_map(AttributeValue::Bytes),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(AttributeValue::Array),
                proptest::collection::vec((".*", inner), 0..4).prop_map(|entries| {
                    AttributeValue::Map(entries.into_iter().map(|(key, value)| Attribute { key, value }).collect())
                }),
            ]
        })
    }

    proptest! {
        /// What was written is read back, type by type, bit by bit.
        #[test]
        fn text_round_trip(values in proptest::collection::vec(any_value(), 0..5)) {
            let list: Vec<_> = values.into_iter().map(|value| Attribute { key: "k".into(), value }).collect();
            prop_assert_eq!(attributes_from_json(&attributes_to_json(&list)), list);
        }
    }

    #[test]
    fn odd_doubles_survive() {
        for value in [f64::INFINITY, f64::NEG_INFINITY, -0.0] {
            let AttributeValue::Double(read) = value_from_json(&value_to_json(&AttributeValue::Double(value))) else {
                panic!("not a double");
            };
            assert_eq!(read.to_bits(), value.to_bits());
        }
    }
}
