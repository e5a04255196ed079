//! Numbers as people read them.
//!
//! Durations have three significant digits and the largest unit that keeps them above 1 (ns, µs, ms, s,
//! min, h). Thousands are parted by a narrow space and units by a whole one; neither breaks.

/// Parts thousands from each other.
const NARROW: char = '\u{202f}';
/// Parts a number from its unit.
const GAP: char = '\u{a0}';

/// Units of time and their length in nanoseconds, shortest first.
const UNITS: [(&str, f64); 6] = [("ns", 1.0), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("min", 60e9), ("h", 3_600e9)];

/// `3.21 s`, `412 ms`, `9 µs`, `1.5 min`; zero is `0`.
pub(crate) fn duration(nanos: u64) -> String {
    if nanos == 0 {
        return "0".to_owned();
    }
    let nanos = nanos as f64;
    let mut unit = UNITS.iter().rposition(|(_, size)| nanos >= *size).unwrap_or(0);
    // 999.6 µs rounds to 1000 µs, which is 1 ms.
    if let Some((_, next)) = UNITS.get(unit + 1)
        && rounded(nanos / UNITS[unit].1) * UNITS[unit].1 >= *next
    {
        unit += 1;
    }
    let (name, size) = UNITS[unit];
    let value = rounded(nanos / size);
    let text = if value >= 1000.0 { count(value as u64) } else { plain(value) };
    format!("{text}{GAP}{name}")
}

/// A duration with its sign, as waits and offsets have one: `+1.94 s`, `-12 ms`, `+0`.
pub(crate) fn signed_duration(nanos: i64) -> String {
    let sign = if nanos < 0 { '−' } else { '+' };
    format!("{sign}{}", duration(nanos.unsigned_abs()))
}

/// How many times: `0.9`, `2.6`, `51`, `1 200`.
pub(crate) fn factor(times: f64) -> String {
    if times < 10.0 { format!("{times:.1}") } else { count(times.round() as u64) }
}

/// Rounds to three significant digits.
fn rounded(value: f64) -> f64 {
    if value >= 100.0 {
        value.round()
    } else if value >= 10.0 {
        (value * 10.0).round() / 10.0
    } else {
        (value * 100.0).round() / 100.0
    }
}

/// Without zeros behind the point: `9`, `9.5`, `9.05`.
fn plain(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `604 812`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + 8);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(NARROW);
        }
        text.push(digit);
    }
    text
}

/// Short enough for a facet: `9 556`, `76.1 k`, `605 k`, `1.2 M`.
pub(crate) fn short_count(number: u64) -> String {
    const STEPS: [(f64, char); 3] = [(1e9, 'G'), (1e6, 'M'), (1e3, 'k')];
    if number < 10_000 {
        return count(number);
    }
    for (size, letter) in STEPS {
        let value = rounded(number as f64 / size);
        if value >= 1.0 {
            return format!("{}{GAP}{letter}", plain(value));
        }
    }
    count(number)
}

/// A number of any size with three significant digits: `0.0421`, `41`, `2.1 k`, `-3.5`; `–` for none.
pub(crate) fn number(value: f64) -> String {
    const STEPS: [(f64, &str); 5] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k"), (1.0, "")];
    let size = value.abs();
    if !value.is_finite() {
        return "–".to_owned();
    }
    let sign = if value < 0.0 { "−" } else { "" };
    if let Some((step, letter)) = STEPS.into_iter().find(|(step, _)| size >= *step) {
        let divisor = if letter == "k" { 1e3 } else { step };
        let value = rounded(size / divisor);
        let text = if value >= 1000.0 { count(value as u64) } else { plain(value) };
        return if letter.is_empty() { format!("{sign}{text}") } else { format!("{sign}{text}{GAP}{letter}") };
    }
    if size < 1e-6 {
        return if size == 0.0 { "0".to_owned() } else { format!("{sign}{size:.2e}") };
    }
    let digits = (2.0 - size.log10().floor()).clamp(2.0, 9.0) as usize;
    let text = format!("{size:.digits$}");
    format!("{sign}{}", text.trim_end_matches('0').trim_end_matches('.'))
}

/// `1 span`, `40 spans`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// `1.58 %` of a whole; zero without a whole.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    let share = if whole == 0 { 0.0 } else { part as f64 / whole as f64 * 100.0 };
    let text = if part > 0 && share < 0.01 { "< 0.01".to_owned() } else { plain(rounded(share)) };
    format!("{text}{GAP}%")
}

/// How often: `168 /s`, `3.2 /min`, `1.2 /h`, `0.4 /d`. Only what never came is zero.
pub(crate) fn rate(per_minute: f64) -> String {
    // Less than this of a unit would be rounded to "0.0": the next longer one tells more.
    const LEAST: f64 = 0.095;
    let (value, unit) = match per_minute {
        often if often >= 60.0 => (often / 60.0, "s"),
        some if some >= LEAST || some <= 0.0 => (some, "min"),
        rare if rare * 60.0 >= LEAST => (rare * 60.0, "h"),
        seldom if seldom * 1_440.0 >= LEAST => (seldom * 1_440.0, "d"),
        _ => return format!("< 0.1{GAP}/d"),
    };
    let text = match value {
        many if many >= 10_000.0 => short_count(many.round() as u64),
        many if many >= 100.0 => format!("{many:.0}"),
        few => format!("{few:.1}").trim_end_matches(".0").to_owned(),
    };
    format!("{text}{GAP}/{unit}")
}

/// `3.2 MiB`.
pub(crate) fn bytes(number: u64) -> String {
    const STEPS: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    for (size, unit) in STEPS {
        if number >= size {
            return format!("{}{GAP}{unit}", plain(rounded(number as f64 / size as f64)));
        }
    }
    format!("{number}{GAP}B")
}

/// An id cut in the middle: `7f3ac91e…40aa`. Shorter texts stay whole.
pub(crate) fn short_id(id: &str) -> String {
    match (id.get(..8), id.get(id.len().saturating_sub(4)..)) {
        (Some(head), Some(tail)) if id.len() > 16 => format!("{head}…{tail}"),
        _ => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let all = [0.0, 1.0, 41.256, 999.9, 1234.0, 21_540.0, 2.1e6, -3.5, 0.04213, 1.5e-7, f64::NAN].map(number);
        let plain = all.map(|text| text.replace([NARROW, GAP], " "));
        assert_eq!(plain, ["0", "1", "41.3", "1 000", "1 234", "21.5 k", "2.1 M", "−3.5", "0.0421", "1.50e-7", "–"]);
    }

    #[track_caller]
    fn check(nanos: u64, text: &str) {
        assert_eq!(duration(nanos).replace([NARROW, GAP], " "), text, "{nanos} ns");
    }

    #[test]
    fn durations_have_three_digits_and_a_fitting_unit() {
        check(0, "0");
        check(7, "7 ns");
        check(1_234, "1.23 µs");
        check(9_000_000, "9 ms");
        check(57_040_000, "57 ms");
        check(412_345_678, "412 ms");
        check(3_214_000_000, "3.21 s");
        check(59_960_000_000, "1 min");
        check(90_000_000_000, "1.5 min");
        check(7_200_000_000_000, "2 h");
        check(8_640_000_000_000_000, "2 400 h");
    }

    /// Rounding up never leaves `1000` of the smaller unit.
    #[test]
    fn rounding_steps_to_the_next_unit() {
        check(999_600, "1 ms");
        check(999_400, "999 µs");
        check(999_999_999, "1 s");
    }

    /// What is rare is told by a longer time: "0" would say that there was nothing.
    #[test]
    fn only_nothing_is_a_rate_of_zero() {
        let rates =
            [12_345.0, 6e7, 5.0, 0.5, 0.02, 0.001, 0.000_1, 0.000_01, 0.0].map(|rare| rate(rare).replace(GAP, " "));
        let wanted = ["206 /s", "1 M /s", "5 /min", "0.5 /min", "1.2 /h", "1.4 /d", "0.1 /d", "< 0.1 /d", "0 /min"];
        assert_eq!(rates, wanted);
        // Wherever one unit gives way to the next: never a zero.
        for power in 0..120 {
            let text = rate(1e5 * 0.8_f64.powi(power));
            assert!(!text.starts_with("0 ") && !text.starts_with("0\u{a0}") && !text.starts_with("0.0"), "{text}");
        }
    }

    #[test]
    fn counts_part_thousands() {
        assert_eq!(count(604_812).replace([NARROW, GAP], " "), "604 812");
        assert_eq!(count(12), "12");
        assert_eq!(short_count(9_556).replace([NARROW, GAP], " "), "9 556");
        assert_eq!(short_count(76_120).replace([NARROW, GAP], " "), "76.1 k");
        assert_eq!(short_count(1_204_000).replace([NARROW, GAP], " "), "1.2 M");
    }

    #[test]
    fn shares_and_sizes() {
        assert_eq!(percent(1, 1_000_000).replace([NARROW, GAP], " "), "< 0.01 %");
        assert_eq!(percent(0, 0).replace([NARROW, GAP], " "), "0 %");
        assert_eq!(bytes(3_355_443).replace([NARROW, GAP], " "), "3.2 MiB");
        assert_eq!(signed_duration(-12_000_000).replace([NARROW, GAP], " "), "−12 ms");
    }

    #[test]
    fn ids_are_cut_in_the_middle() {
        assert_eq!(short_id("7f3ac91e000000000000000000e140aa"), "7f3ac91e…40aa");
        assert_eq!(short_id("7f3ac91e00000001"), "7f3ac91e00000001");
    }
}
