//! Attributes, resources and scopes as OTLP/JSON text, written straight from the messages.
//!
//! The form is that of `model::attributes_to_json`, which a test holds it to: integers are text, NaN and
//! infinities are text, bytes are base64, members that have their default are left out.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::message::{KeyValue, Resource, Scope, Text, Value};

/// `[{"key":…,"value":…},…]`.
pub(super) fn write_attributes(out: &mut Vec<u8>, attributes: &[KeyValue<'_>]) {
    write_list(out, attributes, write_attribute);
}

/// `{"key":…,"value":…}`.
pub(super) fn write_attribute(out: &mut Vec<u8>, attribute: &KeyValue<'_>) {
    out.extend_from_slice(br#"{"key":"#);
    write_text(out, attribute.key);
    out.extend_from_slice(br#","value":"#);
    write_value(out, &attribute.value);
    out.push(b'}');
}

/// An `AnyValue`. Nesting was bounded by sanitizing.
pub(crate) fn write_value(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Empty => out.extend_from_slice(b"{}"),
        Value::Text(text) => {
            out.extend_from_slice(br#"{"stringValue":"#);
            write_text(out, text);
            out.push(b'}');
        }
        Value::Bool(value) => _ = write!(out, r#"{{"boolValue":{value}}}"#),
        Value::Int(value) => _ = write!(out, r#"{{"intValue":"{value}"}}"#),
        Value::Double(value) => {
            out.extend_from_slice(br#"{"doubleValue":"#);
            write_double(out, *value);
            out.push(b'}');
        }
        Value::Bytes(bytes) => {
            out.extend_from_slice(br#"{"bytesValue":""#);
            out.extend_from_slice(BASE64.encode(bytes).as_bytes());
            out.extend_from_slice(br#""}"#);
        }
        Value::List(list) => {
            out.extend_from_slice(br#"{"arrayValue":{"values":"#);
            write_list(out, list, write_value);
            out.extend_from_slice(b"}}");
        }
        Value::Map(map) => {
            out.extend_from_slice(br#"{"kvlistValue":{"values":"#);
            write_attributes(out, map);
            out.extend_from_slice(b"}}");
        }
    }
}

/// A whole resource; `{}` for one that says nothing.
pub(super) fn write_resource(out: &mut Vec<u8>, resource: Option<&Resource<'_>>) {
    let mut members = Members::begin(out);
    if let Some(resource) = resource {
        members.attributes(&resource.attributes);
        members.count("droppedAttributesCount", resource.dropped_attributes_count);
        if !resource.entity_refs.is_empty() {
            let out = members.name("entityRefs");
            write_list(out, &resource.entity_refs, |out, entity| {
                let mut members = Members::begin(out);
                members.text("schemaUrl", entity.schema_url);
                members.text("type", entity.kind);
                members.texts("idKeys", &entity.id_keys);
                members.texts("descriptionKeys", &entity.description_keys);
                members.end();
            });
        }
    }
    members.end();
}

/// A whole scope; `{}` for one that says nothing.
pub(super) fn write_scope(out: &mut Vec<u8>, scope: Option<&Scope<'_>>) {
    let mut members = Members::begin(out);
    if let Some(scope) = scope {
        members.text("name", scope.name);
        members.text("version", scope.version);
        members.attributes(&scope.attributes);
        members.count("droppedAttributesCount", scope.dropped_attributes_count);
    }
    members.end();
}

/// An object whose members are left out when they have their default.
struct Members<'o> {
    out: &'o mut Vec<u8>,
    is_first: bool,
}

impl<'o> Members<'o> {
    fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_first: true }
    }

    fn name(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b',');
        }
        write_text(self.out, name.as_bytes());
        self.out.push(b':');
        self.out
    }

    fn text(&mut self, name: &str, text: Text<'_>) {
        if !text.is_empty() {
            write_text(self.name(name), text);
        }
    }

    fn texts(&mut self, name: &str, texts: &[Text<'_>]) {
        if !texts.is_empty() {
            write_list(self.name(name), texts, |out, text| write_text(out, text));
        }
    }

    fn count(&mut self, name: &str, count: u32) {
        if count > 0 {
            let _ = write!(self.name(name), "{count}");
        }
    }

    fn attributes(&mut self, attributes: &[KeyValue<'_>]) {
        if !attributes.is_empty() {
            write_attributes(self.name("attributes"), attributes);
        }
    }

    fn end(self) {
        self.out.push(b'}');
    }
}

fn write_list<T>(out: &mut Vec<u8>, items: &[T], mut write: impl FnMut(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

fn write_double(out: &mut Vec<u8>, value: f64) {
    if value.is_finite() {
        let _ = write!(out, "{value:?}");
    } else if value.is_nan() {
        out.extend_from_slice(br#""NaN""#);
    } else {
        out.extend_from_slice(if value > 0.0 { br#""Infinity""# } else { br#""-Infinity""# });
    }
}

/// A JSON string; only what must be escaped is.
fn write_text(out: &mut Vec<u8>, text: Text<'_>) {
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte < 0x20 || *byte == b'"' || *byte == b'\\') {
        let (plain, odd) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, after)) = odd.split_first() else { break };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => _ = write!(out, "\\u{byte:04x}"),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use model::{Attribute, AttributeValue, attributes_from_json};
    use proptest::prelude::*;

    use super::*;
    use crate::otlp::message::{Arena, Attributes, Message as _};

    fn message<'a>(arena: &'a Arena, value: &'a AttributeValue) -> Value<'a> {
        match value {
            AttributeValue::Empty => Value::Empty,
            AttributeValue::String(text) => Value::Text(text.as_bytes()),
            AttributeValue::Bool(value) => Value::Bool(*value),
            AttributeValue::Int(value) => Value::Int(*value),
            AttributeValue::Double(value) => Value::Double(*value),
            AttributeValue::Bytes(bytes) => Value::Bytes(bytes),
            AttributeValue::Array(values) => {
                let mut list = arena.list();
                list.extend(values.iter().map(|value| message(arena, value)));
                Value::List(arena.keep(list))
            }
            AttributeValue::Map(entries) => Value::Map(arena.keep(messages(arena, entries))),
        }
    }

    fn messages<'a>(arena: &'a Arena, list: &'a [Attribute]) -> Attributes<'a> {
        let mut messages = arena.list();
        messages.extend(list.iter().map(|entry| KeyValue {
            key: entry.key.as_bytes(),
            value: message(arena, &entry.value),
            ..KeyValue::default()
        }));
        messages
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
            let (arena, mut text) = (Arena::default(), Vec::new());
            write_attributes(&mut text, &messages(&arena, &list));
            let text = String::from_utf8(text).expect("UTF-8");
            prop_assert_eq!(attributes_from_json(&text), list);
        }
    }

    /// Members with their default are left out.
    #[test]
    fn empty_messages_are_empty_objects() {
        let (arena, mut text) = (Arena::default(), Vec::new());
        write_resource(&mut text, Some(&Resource::new(&arena)));
        write_scope(&mut text, Some(&Scope { version: b"1", ..Scope::new(&arena) }));
        assert_eq!(text, br#"{}{"version":"1"}"#);
    }
}
