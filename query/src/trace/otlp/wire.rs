//! A writer of protobuf: tags, varints, lengths.
//!
//! A nested message is written behind a gap for its length, which is then closed up: lengths are short, so
//! the bytes of a message move once per level.

use super::{Field, Writer};

/// Writes the fields of one message.
#[derive(Debug, Default)]
pub(super) struct WireWriter {
    bytes: Vec<u8>,
}

/// Wire types of the protobuf encoding.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH: u32 = 2;
const FIXED32: u32 = 5;

impl WireWriter {
    /// The message.
    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    fn tag(&mut self, field: Field, wire_type: u32) {
        self.varint(u64::from(field.number << 3 | wire_type));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn sized(&mut self, field: Field, value: &[u8]) {
        self.tag(field, LENGTH);
        self.varint(value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    fn nested(&mut self, field: Field, body: impl FnOnce(&mut Self)) {
        self.tag(field, LENGTH);
        let start = self.bytes.len();
        body(self);
        let length = self.bytes.len() - start;
        let mut prefix = Self::default();
        prefix.varint(length as u64);
        self.bytes.splice(start..start, prefix.bytes);
    }
}

impl Writer for WireWriter {
    fn text(&mut self, field: Field, value: &str) {
        self.sized(field, value.as_bytes());
    }

    fn id(&mut self, field: Field, value: &[u8]) {
        self.sized(field, value);
    }

    fn bytes(&mut self, field: Field, value: &[u8]) {
        self.sized(field, value);
    }

    fn boolean(&mut self, field: Field, value: bool) {
        self.tag(field, VARINT);
        self.varint(u64::from(value));
    }

    fn double(&mut self, field: Field, value: f64) {
        self.tag(field, FIXED64);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn int64(&mut self, field: Field, value: i64) {
        self.tag(field, VARINT);
        self.varint(value as u64);
    }

    fn fixed64(&mut self, field: Field, value: u64) {
        self.tag(field, FIXED64);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn fixed32(&mut self, field: Field, value: u32) {
        self.tag(field, FIXED32);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn uint32(&mut self, field: Field, value: u32) {
        self.tag(field, VARINT);
        self.varint(u64::from(value));
    }

    /// Negative enums take ten bytes: they are sign-extended on the wire.
    fn number(&mut self, field: Field, value: i32) {
        self.tag(field, VARINT);
        self.varint(i64::from(value) as u64);
    }

    fn message(&mut self, field: Field, body: &mut dyn FnMut(&mut Self)) {
        self.nested(field, |writer| body(writer));
    }

    fn messages(&mut self, field: Field, n: usize, body: &mut dyn FnMut(&mut Self, usize)) {
        for index in 0..n {
            self.nested(field, |writer| body(writer, index));
        }
    }

    fn texts(&mut self, field: Field, values: &[&str]) {
        values.iter().for_each(|value| self.sized(field, value.as_bytes()));
    }
}
