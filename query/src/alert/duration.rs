//! Durations as Prometheus writes them: `1h30m`, `15s`, `500ms`, `0`.

use std::fmt::Write as _;

const MS: i64 = 1_000_000;
const UNITS: &[(&str, i64)] = &[
    ("y", 365 * 86_400_000 * MS),
    ("w", 7 * 86_400_000 * MS),
    ("d", 86_400_000 * MS),
    ("h", 3_600_000 * MS),
    ("m", 60_000 * MS),
    ("s", 1_000 * MS),
    ("ms", MS),
];

/// Nanoseconds of a duration.
///
/// # Errors
/// One sentence: units go from large to small, each at most once.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} is not a duration such as 30s, 5m or 1h30m");
    if text == "0" {
        return Ok(0);
    }
    let (mut rest, mut nanos, mut smallest) = (text, 0_i64, 0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|at| *at > 0).ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let place =
            UNITS.iter().position(|(name, _)| *name == unit).filter(|place| *place >= smallest).ok_or_else(wrong)?;
        let number: i64 = number.parse().map_err(|_| wrong())?;
        nanos = number.checked_mul(UNITS[place].1).and_then(|more| nanos.checked_add(more)).ok_or_else(wrong)?;
        (rest, smallest) = (after, place + 1);
    }
    if text.is_empty() { Err(wrong()) } else { Ok(nanos) }
}

/// As [`parse`] reads it, down to milliseconds.
pub(crate) fn format(nanos: i64) -> String {
    if nanos < MS {
        return "0s".to_owned();
    }
    let (mut text, mut left) = (String::new(), nanos);
    for (unit, size) in UNITS {
        if left >= *size {
            let _ = write!(text, "{}{unit}", left / size);
            left %= size;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_those_of_prometheus() {
        for (text, seconds) in
            [("0", 0), ("15s", 15), ("1h30m", 5_400), ("2d", 172_800), ("1w1d", 691_200), ("1y", 31_536_000)]
        {
            assert_eq!(parse(text), Ok(seconds * 1_000 * MS), "{text}");
        }
        assert_eq!(parse("500ms"), Ok(500 * MS));
        for text in ["", "5", "m", "5x", "30m1h", "1s1s", "-1s", "1.5h", "99999999999y", " 5m"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn written_durations_are_read_again(ms in 1_i64..10_i64.pow(12)) {
            prop_assert_eq!(parse(&format(ms * MS)), Ok(ms * MS));
        }

        #[test]
        fn no_text_panics(text in ".{0,20}") {
            let _ = parse(&text);
        }
    }
}
