//! Values nested deeper than anybody reads (J12).

use model::Repairs;

use crate::otlp::message::Value;

/// Levels of an `AnyValue`: a plain value is one, a list of plain values two.
pub(crate) const NESTING_MAX: u32 = 32;

/// Empties what lies deeper than [`NESTING_MAX`]; `dropped` grows by one if there was anything.
#[inline]
pub(super) fn value(value: &mut Value<'_>, dropped: &mut u32) -> Repairs {
    // Plain values, which is nearly all of them, leave here.
    if !matches!(value, Value::List(_) | Value::Map(_)) {
        return Repairs::NONE;
    }
    if empty_below(value, 1) {
        *dropped = dropped.saturating_add(1);
        return Repairs::NESTING;
    }
    Repairs::NONE
}

/// True when something was emptied. The depth is counted here: how deep a decoder goes is its own affair.
fn empty_below(value: &mut Value<'_>, level: u32) -> bool {
    if level > NESTING_MAX {
        return !matches!(std::mem::take(value), Value::Empty);
    }
    match value {
        Value::List(list) => list.iter_mut().fold(false, |any, value| empty_below(value, level + 1) | any),
        Value::Map(map) => map.iter_mut().fold(false, |any, entry| empty_below(&mut entry.value, level + 1) | any),
        _ => false,
    }
}
