//! Values nested deeper than anybody reads (J12), and references into profiles (J14).

use model::Repairs;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;

/// Levels of an `AnyValue`: a plain value is one, a list of plain values two.
pub(crate) const NESTING_MAX: u32 = 32;

/// Empties what lies deeper than [`NESTING_MAX`]; `dropped` grows by one if there was anything.
pub(super) fn value(value: &mut AnyValue, dropped: &mut u32) -> Repairs {
    // Plain values, which is nearly all of them, leave here.
    if !matches!(value.value, Some(Value::ArrayValue(_) | Value::KvlistValue(_) | Value::StringValueStrindex(_))) {
        return Repairs::NONE;
    }
    if empty_below(value, 1) {
        *dropped = dropped.saturating_add(1);
        return Repairs::NESTING;
    }
    Repairs::NONE
}

/// True when something was emptied. The depth is counted here: how deep a decoder goes is its own affair.
fn empty_below(value: &mut AnyValue, level: u32) -> bool {
    if level > NESTING_MAX {
        return value.value.take().is_some();
    }
    match &mut value.value {
        Some(Value::ArrayValue(list)) => {
            list.values.iter_mut().fold(false, |any, value| empty_below(value, level + 1) | any)
        }
        Some(Value::KvlistValue(map)) => map
            .values
            .iter_mut()
            .filter_map(|entry| entry.value.as_mut())
            .fold(false, |any, value| empty_below(value, level + 1) | any),
        // J14: points into a table of profiles that this request does not have.
        Some(Value::StringValueStrindex(_)) => {
            value.value = None;
            false
        }
        _ => false,
    }
}
