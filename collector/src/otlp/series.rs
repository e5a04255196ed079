//! The stable number of a series: the same for every point of one series, on every machine, for ever.
//!
//! The exact parts and their encoding are a format of ours: docs/formats/attributes.md.

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};

use super::text;

/// FNV-1a, 64 bits: small, streaming and easy to compute elsewhere. A prefix that many series share is
/// hashed once and copied.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeriesHash(u64);

const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

impl SeriesHash {
    /// Parts of the metric itself.
    pub(super) fn of_metric(name: &str, unit: &str, kind: i32, temporality: i32, is_monotonic: bool) -> Self {
        let mut hash = Self(OFFSET_BASIS);
        hash.text(name);
        hash.text(unit);
        for number in [kind, temporality, i32::from(is_monotonic)] {
            hash.number(i64::from(number));
        }
        hash
    }

    /// ... of its origin.
    pub(super) fn origin(mut self, resource: &[KeyValue], scope: Option<&InstrumentationScope>) -> Self {
        self.attributes(resource);
        self.text(scope.map_or("", |scope| &scope.name));
        self.text(scope.map_or("", |scope| &scope.version));
        self.attributes(scope.map_or(&[], |scope| &scope.attributes));
        self
    }

    /// ... and of the point.
    pub(super) fn point(mut self, attributes: &[KeyValue]) -> i64 {
        self.attributes(attributes);
        self.0.cast_signed()
    }

    fn attributes(&mut self, attributes: &[KeyValue]) {
        let mut texts: Vec<String> = Vec::with_capacity(attributes.len());
        for attribute in attributes {
            let mut text = String::new();
            text::write_attribute(&mut text, attribute);
            texts.push(text);
        }
        texts.sort_unstable();
        self.number(texts.len() as i64);
        for text in &texts {
            self.text(text);
        }
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as i64);
        self.bytes(text.as_bytes());
    }

    fn number(&mut self, number: i64) {
        self.bytes(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::AnyValue;
    use opentelemetry_proto::tonic::common::v1::any_value::Value;

    use super::*;

    fn attribute(key: &str, value: i64) -> KeyValue {
        KeyValue {
            key: key.into(),
            value: Some(AnyValue { value: Some(Value::IntValue(value)) }),
            ..Default::default()
        }
    }

    fn hash(attributes: &[KeyValue]) -> i64 {
        SeriesHash::of_metric("m", "s", 2, 2, true).origin(&[], None).point(attributes)
    }

    /// The order of attributes does not matter, their values do.
    #[test]
    fn order_does_not_matter() {
        assert_eq!(hash(&[attribute("a", 1), attribute("b", 2)]), hash(&[attribute("b", 2), attribute("a", 1)]));
        assert_ne!(hash(&[attribute("a", 1)]), hash(&[attribute("a", 2)]));
        assert_ne!(hash(&[]), SeriesHash::of_metric("m", "s", 2, 1, true).origin(&[], None).point(&[]));
    }

    /// Rows at rest hold this number: it must never change. Computed by another program from the description
    /// in docs/formats/attributes.md.
    #[test]
    fn the_number_is_a_format() {
        assert_eq!(hash(&[attribute("a", 1)]), EXPECTED);
    }

    const EXPECTED: i64 = 7_301_854_443_289_204_389;
}
