//! Keys, values, lists and spans larger than we keep (V10-V12).

use model::Repairs;

use crate::otlp::message::{Attributes, KeyValue, List, Span, Text, Value};
use crate::outcome::Reason;

/// Bytes of a text or bytes value of an attribute.
pub(crate) const VALUE_BYTES_MAX: usize = 64 << 10;
/// Bytes of a key.
pub(crate) const KEY_BYTES_MAX: usize = 1 << 10;
/// Attributes of an item, events of a span, links of a span.
pub(crate) const ITEMS_MAX: usize = 1024;
/// Encoded bytes of a span after the other limits.
pub(crate) const SPAN_BYTES_MAX: usize = 1 << 20;

/// V11: the first attributes are kept, the rest is counted as dropped.
pub(super) fn count<T>(list: &mut List<'_, T>, dropped: &mut u32) -> Repairs {
    let n_over = list.len().saturating_sub(ITEMS_MAX);
    if n_over == 0 {
        return Repairs::NONE;
    }
    list.truncate(ITEMS_MAX);
    *dropped = dropped.saturating_add(u32::try_from(n_over).unwrap_or(u32::MAX));
    Repairs::TRUNCATED
}

/// V11 for events and links.
pub(super) fn span_lists(span: &mut Span<'_>) -> Repairs {
    count(&mut span.events, &mut span.dropped_events_count) | count(&mut span.links, &mut span.dropped_links_count)
}

/// V10: key and value are cut.
#[inline]
pub(super) fn entry(entry: &mut KeyValue<'_>) -> Repairs {
    let is_cut = cut_text(&mut entry.key, KEY_BYTES_MAX) | cut_value(&mut entry.value);
    if is_cut { Repairs::TRUNCATED } else { Repairs::NONE }
}

/// V12.
pub(super) fn whole_span(span: &Span<'_>) -> Result<(), Reason> {
    if span_bytes(span) > SPAN_BYTES_MAX { Err(Reason::SpanTooLarge) } else { Ok(()) }
}

/// Cuts texts, bytes and keys inside; nesting was bounded before. True when something was cut.
#[inline]
fn cut_value(value: &mut Value<'_>) -> bool {
    match value {
        Value::Text(text) => cut_text(text, VALUE_BYTES_MAX),
        Value::Bytes(bytes) => {
            let is_over = bytes.len() > VALUE_BYTES_MAX;
            *bytes = bytes.get(..VALUE_BYTES_MAX).unwrap_or(bytes);
            is_over
        }
        Value::List(list) => list.iter_mut().fold(false, |any, value| cut_value(value) | any),
        Value::Map(map) => map
            .iter_mut()
            .fold(false, |any, entry| cut_text(&mut entry.key, KEY_BYTES_MAX) | cut_value(&mut entry.value) | any),
        Value::Empty | Value::Bool(_) | Value::Int(_) | Value::Double(_) => false,
    }
}

/// On a character boundary: a cut never leaves half a character.
#[inline]
fn cut_text(text: &mut Text<'_>, bytes_max: usize) -> bool {
    if text.len() <= bytes_max {
        return false;
    }
    let is_inside = |at: &usize| text.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
    let end = (0..=bytes_max).rev().find(|at| !is_inside(at)).unwrap_or(0);
    *text = text.get(..end).unwrap_or_default();
    true
}

/// Bytes of a span in protobuf, however it was sent.
pub(crate) fn span_bytes(span: &Span<'_>) -> usize {
    let events = span.events.iter().map(|event| {
        9 + text(event.name) + attributes(&event.attributes) + number(event.dropped_attributes_count.into())
    });
    let links = span.links.iter().map(|link| {
        text(link.trace_id)
            + text(link.span_id)
            + text(link.trace_state)
            + attributes(&link.attributes)
            + number(link.dropped_attributes_count.into())
            + 5
    });
    let status = span.status.as_ref().map(|status| text(status.message) + number(status.code as u64));
    let texts = [span.trace_id, span.span_id, span.parent_span_id, span.trace_state, span.name];
    texts.map(text).iter().sum::<usize>()
        + number(span.kind as u64)
        + attributes(&span.attributes)
        + number(span.dropped_attributes_count.into())
        + events.map(framed).sum::<usize>()
        + number(span.dropped_events_count.into())
        + links.map(framed).sum::<usize>()
        + number(span.dropped_links_count.into())
        + status.map_or(0, framed)
        + 2 * 9
        + 6
}

/// Bytes of attributes in protobuf.
pub(crate) fn attributes(list: &Attributes<'_>) -> usize {
    list.iter().map(|entry| framed(text(entry.key) + framed(value(&entry.value)))).sum()
}

/// Bytes of a value in protobuf.
pub(crate) fn value(of: &Value<'_>) -> usize {
    match of {
        Value::Empty => 0,
        Value::Bool(_) => 2,
        Value::Int(int) => 1 + varint(int.cast_unsigned()),
        Value::Double(_) => 9,
        Value::Text(bytes) | Value::Bytes(bytes) => framed(bytes.len()),
        Value::List(list) => framed(list.iter().map(|item| framed(value(item))).sum()),
        Value::Map(map) => framed(attributes(map)),
    }
}

/// A field of bytes: key (field numbers up to 15 take one byte), length, bytes; nothing when empty.
const fn text(bytes: &[u8]) -> usize {
    if bytes.is_empty() { 0 } else { framed(bytes.len()) }
}

const fn number(value: u64) -> usize {
    if value == 0 { 0 } else { 1 + varint(value) }
}

const fn framed(n_bytes: usize) -> usize {
    1 + varint(n_bytes as u64) + n_bytes
}

const fn varint(value: u64) -> usize {
    (63 - (value | 1).leading_zeros() as usize) / 7 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cut text ends with a whole character.
    #[test]
    fn cuts_end_on_a_character() {
        for (text, bytes_max, expected) in
            [("abc", 3, "abc"), ("abc", 2, "ab"), ("a\u{e4}b", 2, "a"), ("\u{1f600}", 3, "")]
        {
            let mut cut = text.as_bytes();
            assert_eq!(cut_text(&mut cut, bytes_max), text.len() > bytes_max);
            assert_eq!(cut, expected.as_bytes(), "{text:?} cut at {bytes_max}");
        }
    }

    #[test]
    fn varints_have_the_length_they_take() {
        for shift in 0..64 {
            for value in [1u64 << shift, u64::MAX >> shift] {
                assert_eq!(varint(value), prost::encoding::encoded_len_varint(value), "{value}");
            }
        }
    }
}
