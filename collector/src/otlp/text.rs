//! Attributes, resources and scopes as OTLP/JSON text, written straight from the messages.
//!
//! The form is that of `model::attributes_to_json`, which a test holds it to: integers are text, NaN and
//! infinities are text, bytes are base64, members that have their default are left out.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

/// `[{"key":…,"value":…},…]`.
pub(super) fn write_attributes(out: &mut String, attributes: &[KeyValue]) {
    write_list(out, attributes, write_attribute);
}

/// `{"key":…,"value":…}`.
pub(super) fn write_attribute(out: &mut String, attribute: &KeyValue) {
    out.push_str(r#"{"key":"#);
    write_text(out, &attribute.key);
    out.push_str(r#","value":"#);
    write_value(out, attribute.value.as_ref().and_then(|value| value.value.as_ref()));
    out.push('}');
}

/// An `AnyValue`. Nesting was bounded by sanitizing.
pub(super) fn write_value(out: &mut String, value: Option<&Value>) {
    match value {
        None | Some(Value::StringValueStrindex(_)) => out.push_str("{}"),
        Some(Value::StringValue(text)) => {
            out.push_str(r#"{"stringValue":"#);
            write_text(out, text);
            out.push('}');
        }
        Some(Value::BoolValue(value)) => {
            let _ = write!(out, r#"{{"boolValue":{value}}}"#);
        }
        Some(Value::IntValue(value)) => {
            let _ = write!(out, r#"{{"intValue":"{value}"}}"#);
        }
        Some(Value::DoubleValue(value)) => {
            out.push_str(r#"{"doubleValue":"#);
            write_double(out, *value);
            out.push('}');
        }
        Some(Value::BytesValue(bytes)) => {
            out.push_str(r#"{"bytesValue":""#);
            BASE64.encode_string(bytes, out);
            out.push_str(r#""}"#);
        }
        Some(Value::ArrayValue(list)) => {
            out.push_str(r#"{"arrayValue":{"values":"#);
            write_list(out, &list.values, |out, value| write_value(out, value.value.as_ref()));
            out.push_str("}}");
        }
        Some(Value::KvlistValue(map)) => {
            out.push_str(r#"{"kvlistValue":{"values":"#);
            write_attributes(out, &map.values);
            out.push_str("}}");
        }
    }
}

/// A whole resource; `{}` for one that says nothing.
pub(super) fn write_resource(out: &mut String, resource: Option<&Resource>) {
    let mut members = Members::begin(out);
    if let Some(resource) = resource {
        members.attributes(&resource.attributes);
        members.count("droppedAttributesCount", resource.dropped_attributes_count);
        if !resource.entity_refs.is_empty() {
            let out = members.name("entityRefs");
            write_list(out, &resource.entity_refs, |out, entity| {
                let mut members = Members::begin(out);
                members.text("schemaUrl", &entity.schema_url);
                members.text("type", &entity.r#type);
                members.texts("idKeys", &entity.id_keys);
                members.texts("descriptionKeys", &entity.description_keys);
                members.end();
            });
        }
    }
    members.end();
}

/// A whole scope; `{}` for one that says nothing.
pub(super) fn write_scope(out: &mut String, scope: Option<&InstrumentationScope>) {
    let mut members = Members::begin(out);
    if let Some(scope) = scope {
        members.text("name", &scope.name);
        members.text("version", &scope.version);
        members.attributes(&scope.attributes);
        members.count("droppedAttributesCount", scope.dropped_attributes_count);
    }
    members.end();
}

/// An object whose members are left out when they have their default.
struct Members<'a> {
    out: &'a mut String,
    is_first: bool,
}

impl<'a> Members<'a> {
    fn begin(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, is_first: true }
    }

    fn name(&mut self, name: &str) -> &mut String {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(',');
        }
        write_text(self.out, name);
        self.out.push(':');
        self.out
    }

    fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            write_text(self.name(name), text);
        }
    }

    fn texts(&mut self, name: &str, texts: &[String]) {
        if !texts.is_empty() {
            write_list(self.name(name), texts, |out, text| write_text(out, text));
        }
    }

    fn count(&mut self, name: &str, count: u32) {
        if count > 0 {
            let _ = write!(self.name(name), "{count}");
        }
    }

    fn attributes(&mut self, attributes: &[KeyValue]) {
        if !attributes.is_empty() {
            write_attributes(self.name("attributes"), attributes);
        }
    }

    fn end(self) {
        self.out.push('}');
    }
}

fn write_list<T>(out: &mut String, items: &[T], mut write: impl FnMut(&mut String, &T)) {
    out.push('[');
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(']');
}

fn write_double(out: &mut String, value: f64) {
    if value.is_finite() {
        let _ = write!(out, "{value:?}");
    } else if value.is_nan() {
        out.push_str(r#""NaN""#);
    } else {
        out.push_str(if value > 0.0 { r#""Infinity""# } else { r#""-Infinity""# });
    }
}

/// A JSON string; only what must be escaped is.
fn write_text(out: &mut String, text: &str) {
    out.push('"');
    let mut plain_from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[plain_from..at]);
        plain_from = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ => {
                let _ = write!(out, "\\u{byte:04x}");
            }
        }
    }
    out.push_str(&text[plain_from..]);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use model::{Attribute, AttributeValue, attributes_from_json};
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValueList};
    use proptest::prelude::*;

    use super::*;

    fn to_otlp(value: &AttributeValue) -> AnyValue {
        let value = match value {
            AttributeValue::Empty => None,
            AttributeValue::String(text) => Some(Value::StringValue(text.clone())),
            AttributeValue::Bool(value) => Some(Value::BoolValue(*value)),
            AttributeValue::Int(value) => Some(Value::IntValue(*value)),
            AttributeValue::Double(value) => Some(Value::DoubleValue(*value)),
            AttributeValue::Bytes(bytes) => Some(Value::BytesValue(bytes.clone())),
            AttributeValue::Array(values) => {
                Some(Value::ArrayValue(ArrayValue { values: values.iter().map(to_otlp).collect() }))
            }
            AttributeValue::Map(entries) => Some(Value::KvlistValue(KeyValueList { values: list_to_otlp(entries) })),
        };
        AnyValue { value }
    }

    fn list_to_otlp(list: &[Attribute]) -> Vec<KeyValue> {
        let entry = |entry: &Attribute| KeyValue {
            key: entry.key.clone(),
            value: Some(to_otlp(&entry.value)),
            ..KeyValue::default()
        };
        list.iter().map(entry).collect()
    }

    fn any_value() -> impl Strategy<Value = AttributeValue> {
        let leaf = prop_oneof![
            Just(AttributeValue::Empty),
            "(?s).*".prop_map(AttributeValue::String),
            any::<bool>().prop_map(AttributeValue::Bool),
            any::<i64>().prop_map(AttributeValue::Int),
            any::<f64>().prop_filter("NaN is not equal to itself", |v| !v.is_nan()).prop_map(AttributeValue::Double),
            proptest::collection::vec(any::<u8>(), 0..9).prop_map(AttributeValue::Bytes),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(AttributeValue::Array),
                proptest::collection::vec(("(?s).*", inner), 0..4).prop_map(|entries| {
                    AttributeValue::Map(entries.into_iter().map(|(key, value)| Attribute { key, value }).collect())
                }),
            ]
        })
    }

    proptest! {
        /// What is written here is what `model` reads, control characters and odd doubles included.
        #[test]
        fn model_reads_what_is_written(list in proptest::collection::vec(("(?s).*", any_value()), 0..5)) {
            let list: Vec<_> = list.into_iter().map(|(key, value)| Attribute { key, value }).collect();
            let mut text = String::new();
            write_attributes(&mut text, &list_to_otlp(&list));
            prop_assert_eq!(attributes_from_json(&text), list);
        }
    }

    /// Members with their default are left out.
    #[test]
    fn empty_messages_are_empty_objects() {
        let mut text = String::new();
        write_resource(&mut text, Some(&Resource::default()));
        write_scope(&mut text, Some(&InstrumentationScope { version: "1".into(), ..Default::default() }));
        assert_eq!(text, r#"{}{"version":"1"}"#);
    }
}
