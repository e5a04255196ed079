//! `duration_ms(nanos)` and `format_duration(nanos)`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;

use super::unary::unary;

/// `duration_ms(bigint) -> double`.
pub(super) fn duration_ms() -> Arc<ScalarUDF> {
    unary("duration_ms", DataType::Int64, DataType::Float64, |array| {
        let nanos = array.as_primitive::<Int64Type>();
        let millis: Float64Array = nanos.unary(|nanos| nanos as f64 / 1e6);
        Ok(Arc::new(millis) as ArrayRef)
    })
}

/// `format_duration(bigint) -> text`.
pub(super) fn format_duration_function() -> Arc<ScalarUDF> {
    unary("format_duration", DataType::Int64, DataType::Utf8, |array| -> Result<ArrayRef> {
        let nanos = array.as_primitive::<Int64Type>();
        Ok(Arc::new(nanos.iter().map(|nanos| nanos.map(format_duration)).collect::<StringArray>()))
    })
}

/// Nanoseconds for people: at most three digits that matter, minutes and hours in two parts.
pub(super) fn format_duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let seconds = nanos / 1_000_000_000;
    let text = match nanos {
        0..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => scaled(nanos, 1_000, "us"),
        1_000_000..1_000_000_000 => scaled(nanos, 1_000_000, "ms"),
        1_000_000_000..60_000_000_000 => scaled(nanos, 1_000_000_000, "s"),
        _ if seconds < 3_600 => format!("{} m {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} m", seconds / 3_600, seconds % 3_600 / 60),
    };
    format!("{sign}{text}")
}

fn scaled(nanos: u64, unit: u64, name: &str) -> String {
    let value = nanos as f64 / unit as f64;
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    let text = format!("{value:.digits$}");
    let text = if digits > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} {name}")
}

#[cfg(test)]
mod tests {
    use super::format_duration;

    #[test]
    fn durations_read_well() {
        for (nanos, text) in [
            (0, "0 ns"),
            (870, "870 ns"),
            (12_300_000, "12.3 ms"),
            (1_500, "1.5 us"),
            (250_000_000, "250 ms"),
            (3_000_000_000, "3 s"),
            (64_000_000_000, "1 m 4 s"),
            (7_380_000_000_000, "2 h 3 m"),
            (-1_000_000, "-1 ms"),
        ] {
            assert_eq!(format_duration(nanos), text);
        }
        assert!(format_duration(i64::MIN).starts_with('-'));
    }
}
