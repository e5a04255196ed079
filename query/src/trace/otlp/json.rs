//! A writer of OTLP/JSON.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{Field, Writer};

/// Writes one JSON object; members in the order of the calls.
#[derive(Debug, Default)]
pub(super) struct JsonWriter {
    text: String,
    /// A member stands before the next one.
    has_member: bool,
}

impl JsonWriter {
    /// The object.
    pub(super) fn finish(self) -> Vec<u8> {
        format!("{{{}}}", self.text).into_bytes()
    }

    fn name(&mut self, field: Field) {
        if std::mem::replace(&mut self.has_member, true) {
            self.text.push(',');
        }
        let _ = write!(self.text, "\"{}\":", field.name);
    }

    fn quoted(&mut self, value: &str) {
        match serde_json::to_string(value) {
            Ok(quoted) => self.text.push_str(&quoted),
            Err(_) => self.text.push_str("\"\""), // text is always JSON; nothing to lose here
        }
    }

    fn object(&mut self, body: impl FnOnce(&mut Self)) {
        self.text.push('{');
        self.has_member = false;
        body(self);
        self.has_member = true;
        self.text.push('}');
    }
}

impl Writer for JsonWriter {
    fn text(&mut self, field: Field, value: &str) {
        self.name(field);
        self.quoted(value);
    }

    fn id(&mut self, field: Field, value: &[u8]) {
        self.name(field);
        self.text.push('"');
        for byte in value {
            let _ = write!(self.text, "{byte:02x}");
        }
        self.text.push('"');
    }

    fn bytes(&mut self, field: Field, value: &[u8]) {
        self.name(field);
        let _ = write!(self.text, "\"{}\"", BASE64.encode(value));
    }

    fn boolean(&mut self, field: Field, value: bool) {
        self.name(field);
        let _ = write!(self.text, "{value}");
    }

    fn double(&mut self, field: Field, value: f64) {
        self.name(field);
        let _ = write!(self.text, "{}", model::AttributeValue::Double(value).to_plain_json());
    }

    fn int64(&mut self, field: Field, value: i64) {
        self.name(field);
        let _ = write!(self.text, "\"{value}\"");
    }

    fn fixed64(&mut self, field: Field, value: u64) {
        self.name(field);
        let _ = write!(self.text, "\"{value}\"");
    }

    fn fixed32(&mut self, field: Field, value: u32) {
        self.name(field);
        let _ = write!(self.text, "{value}");
    }

    fn uint32(&mut self, field: Field, value: u32) {
        self.fixed32(field, value);
    }

    fn number(&mut self, field: Field, value: i32) {
        self.name(field);
        let _ = write!(self.text, "{value}");
    }

    fn message(&mut self, field: Field, body: &mut dyn FnMut(&mut Self)) {
        self.name(field);
        self.object(|writer| body(writer));
    }

    fn messages(&mut self, field: Field, n: usize, body: &mut dyn FnMut(&mut Self, usize)) {
        if n == 0 {
            return;
        }
        self.name(field);
        self.text.push('[');
        for index in 0..n {
            if index > 0 {
                self.text.push(',');
            }
            self.object(|writer| body(writer, index));
        }
        self.text.push(']');
    }

    fn texts(&mut self, field: Field, values: &[&str]) {
        if values.is_empty() {
            return;
        }
        self.name(field);
        self.text.push('[');
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            self.quoted(value);
        }
        self.text.push(']');
    }
}
