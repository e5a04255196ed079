//! The stable number of a series: the same for every point of one series, on every machine, for ever.
//!
//! The exact parts and their encoding are a format of ours: docs/formats/attributes.md.

use std::ops::Range;

use super::message::{KeyValue, Resource, Scope, Text};
use super::text;

/// FNV-1a, 64 bits: small, streaming and easy to compute elsewhere. A prefix that many series share is
/// hashed once and copied.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeriesHash(u64);

const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

impl SeriesHash {
    /// Parts of the metric itself.
    pub(super) fn of_metric(name: Text<'_>, unit: Text<'_>, kind: i32, temporality: i32, is_monotonic: bool) -> Self {
        let mut hash = Self(OFFSET_BASIS);
        hash.text(name);
        hash.text(unit);
        for number in [kind, temporality, i32::from(is_monotonic)] {
            hash.number(i64::from(number));
        }
        hash
    }

    /// ... of its origin.
    pub(super) fn origin(mut self, origin: &OriginParts) -> Self {
        self.bytes(&origin.resource);
        self.bytes(&origin.scope);
        self
    }

    /// ... and of the point.
    pub(super) fn point(mut self, attributes: &AttributesText) -> i64 {
        attributes.hash_into(&mut self);
        self.0.cast_signed()
    }
}

/// Takes the bytes that make up a series.
trait Parts {
    fn bytes(&mut self, bytes: &[u8]);

    fn text(&mut self, text: Text<'_>) {
        self.number(text.len() as i64);
        self.bytes(text);
    }

    fn number(&mut self, number: i64) {
        self.bytes(&number.to_le_bytes());
    }
}

impl Parts for SeriesHash {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }
}

impl Parts for Vec<u8> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// The bytes by which resource and scope enter the number, written once for all their metrics.
#[derive(Debug, Default)]
pub(super) struct OriginParts {
    resource: Vec<u8>,
    scope: Vec<u8>,
    scratch: AttributesText,
}

impl OriginParts {
    /// Goes on to a resource that was sanitized.
    pub(super) fn set_resource(&mut self, resource: Option<&Resource<'_>>) {
        self.resource.clear();
        self.scratch.write(resource.map_or(&[], |resource| &resource.attributes));
        self.scratch.hash_into(&mut self.resource);
    }

    /// Goes on to a scope that was sanitized.
    pub(super) fn set_scope(&mut self, scope: Option<&Scope<'_>>) {
        self.scope.clear();
        self.scope.text(scope.map_or(&[], |scope| scope.name));
        self.scope.text(scope.map_or(&[], |scope| scope.version));
        self.scratch.write(scope.map_or(&[], |scope| &scope.attributes));
        self.scratch.hash_into(&mut self.scope);
    }
}

/// Attributes as text, as they stand in a row, and the same sorted, as they enter the number.
#[derive(Debug, Default)]
pub(super) struct AttributesText {
    text: Vec<u8>,
    /// Where each attribute stands in `text`, in the order of their bytes.
    sorted: Vec<Range<usize>>,
}

impl AttributesText {
    /// Goes on to other attributes.
    pub(super) fn write(&mut self, attributes: &[KeyValue<'_>]) {
        let Self { text, sorted } = self;
        text.clear();
        sorted.clear();
        text.push(b'[');
        for attribute in attributes {
            if !sorted.is_empty() {
                text.push(b',');
            }
            let start = text.len();
            text::write_attribute(text, attribute);
            sorted.push(start..text.len());
        }
        text.push(b']');
        sorted.sort_unstable_by(|a, b| text.get(a.clone()).cmp(&text.get(b.clone())));
    }

    /// `[{"key":…,"value":…},…]`, in sent order.
    pub(super) fn text(&self) -> Text<'_> {
        &self.text
    }

    fn hash_into(&self, parts: &mut impl Parts) {
        parts.number(self.sorted.len() as i64);
        for range in &self.sorted {
            parts.text(self.text.get(range.clone()).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::message::Value;

    fn attribute(key: &'static str, value: i64) -> KeyValue<'static> {
        KeyValue { key: key.as_bytes(), value: Value::Int(value), ..KeyValue::default() }
    }

    fn hash(temporality: i32, attributes: &[KeyValue<'_>]) -> i64 {
        let mut origin = OriginParts::default();
        origin.set_resource(None);
        origin.set_scope(None);
        let mut text = AttributesText::default();
        text.write(attributes);
        SeriesHash::of_metric(b"m", b"s", 2, temporality, true).origin(&origin).point(&text)
    }

    /// The order of attributes does not matter, their values do.
    #[test]
    fn order_does_not_matter() {
        assert_eq!(hash(2, &[attribute("a", 1), attribute("b", 2)]), hash(2, &[attribute("b", 2), attribute("a", 1)]));
        assert_ne!(hash(2, &[attribute("a", 1)]), hash(2, &[attribute("a", 2)]));
        assert_ne!(hash(2, &[]), hash(1, &[]));
    }

    /// Rows at rest hold this number: it must never change. Computed by another program from the description
    /// in docs/formats/attributes.md.
    #[test]
    fn the_number_is_a_format() {
        assert_eq!(hash(2, &[attribute("a", 1)]), EXPECTED);
    }

    const EXPECTED: i64 = 7_301_854_443_289_204_389;
}
