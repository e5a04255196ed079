//! Keys, values, lists and spans larger than we keep (V10-V12).

use model::Repairs;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

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
pub(super) fn count<T>(list: &mut Vec<T>, dropped: &mut u32) -> Repairs {
    let n_over = list.len().saturating_sub(ITEMS_MAX);
    if n_over == 0 {
        return Repairs::NONE;
    }
    list.truncate(ITEMS_MAX);
    *dropped = dropped.saturating_add(u32::try_from(n_over).unwrap_or(u32::MAX));
    Repairs::TRUNCATED
}

/// V11 for events and links.
pub(super) fn span_lists(span: &mut Span) -> Repairs {
    count(&mut span.events, &mut span.dropped_events_count) | count(&mut span.links, &mut span.dropped_links_count)
}

/// V10: key and value are cut.
pub(super) fn entry(entry: &mut KeyValue) -> Repairs {
    let is_cut = cut_text(&mut entry.key, KEY_BYTES_MAX) | entry.value.as_mut().is_some_and(cut_value);
    if is_cut { Repairs::TRUNCATED } else { Repairs::NONE }
}

/// V12.
pub(super) fn whole_span(span: &Span) -> Result<(), Reason> {
    if span.encoded_len() > SPAN_BYTES_MAX { Err(Reason::SpanTooLarge) } else { Ok(()) }
}

/// Cuts texts, bytes and keys inside; nesting was bounded before. True when something was cut.
fn cut_value(value: &mut AnyValue) -> bool {
    match &mut value.value {
        Some(Value::StringValue(text)) => cut_text(text, VALUE_BYTES_MAX),
        Some(Value::BytesValue(bytes)) => {
            let is_over = bytes.len() > VALUE_BYTES_MAX;
            bytes.truncate(VALUE_BYTES_MAX);
            is_over
        }
        Some(Value::ArrayValue(list)) => list.values.iter_mut().fold(false, |any, value| cut_value(value) | any),
        Some(Value::KvlistValue(map)) => map.values.iter_mut().fold(false, |any, entry| {
            cut_text(&mut entry.key, KEY_BYTES_MAX) | entry.value.as_mut().is_some_and(cut_value) | any
        }),
        _ => false,
    }
}

fn cut_text(text: &mut String, bytes_max: usize) -> bool {
    if text.len() <= bytes_max {
        return false;
    }
    text.truncate(text.floor_char_boundary(bytes_max));
    true
}
