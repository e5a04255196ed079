//! Spans to OTLP, JSON and protobuf by the same walk.
//!
//! | file       | knows                                                              |
//! |------------|--------------------------------------------------------------------|
//! | `walk.rs`  | which field of which message holds what: `TracesData` of OTLP 1.x  |
//! | `json.rs`  | a writer of OTLP/JSON: hex ids, 64-bit integers as text            |
//! | `wire.rs`  | a writer of protobuf: tags, varints, lengths                       |
//!
//! Fields that hold the protocol's default are left out, as the protocol does; times, kinds and names of spans
//! always stand in JSON, because readers expect them there.

mod json;
mod walk;
mod wire;

use super::span::Span;

/// `TracesData` as JSON text.
pub(crate) fn to_json(spans: &[Span]) -> Vec<u8> {
    let mut writer = json::JsonWriter::default();
    walk::traces_data(&mut writer, spans);
    writer.finish()
}

/// `TracesData` as protobuf.
pub(crate) fn to_protobuf(spans: &[Span]) -> Vec<u8> {
    let mut writer = wire::WireWriter::default();
    walk::traces_data(&mut writer, spans);
    writer.finish()
}

/// A field: number on the wire, name in JSON.
#[derive(Clone, Copy, Debug)]
struct Field {
    number: u32,
    name: &'static str,
}

const fn field(number: u32, name: &'static str) -> Field {
    Field { number, name }
}

/// Writes the fields of one message after the other. Each method writes what it is given, defaults too.
trait Writer {
    fn text(&mut self, field: Field, value: &str);
    /// An id: hex in JSON.
    fn id(&mut self, field: Field, value: &[u8]);
    /// Bytes: base64 in JSON.
    fn bytes(&mut self, field: Field, value: &[u8]);
    fn boolean(&mut self, field: Field, value: bool);
    fn double(&mut self, field: Field, value: f64);
    /// `int64`: text in JSON.
    fn int64(&mut self, field: Field, value: i64);
    /// `fixed64`: text in JSON.
    fn fixed64(&mut self, field: Field, value: u64);
    /// `fixed32`: a number in JSON.
    fn fixed32(&mut self, field: Field, value: u32);
    /// `uint32` or an enum: a number in JSON.
    fn uint32(&mut self, field: Field, value: u32);
    /// An enum, known or not.
    fn number(&mut self, field: Field, value: i32);
    /// One message.
    fn message(&mut self, field: Field, body: &mut dyn FnMut(&mut Self));
    /// A list of messages; nothing when it is empty.
    fn messages(&mut self, field: Field, n: usize, body: &mut dyn FnMut(&mut Self, usize));
    /// A list of texts; nothing when it is empty.
    fn texts(&mut self, field: Field, values: &[&str]);
}
