//! Moments in requests: RFC 3339, unix seconds / milliseconds / microseconds / nanoseconds, `now-15m`.

use model::{TimeRange, UnixNanos};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::{Error, Result};

/// How far back a question looks that does not say.
pub(crate) const DEFAULT_RANGE_NANOS: i64 = 3_600 * UnixNanos::SECOND;

/// Reads a moment.
///
/// - `now`, `now-15m`, `now+1h`: units `ns us ms s m h d w`.
/// - digits: unix time; seconds below 10^11, then milliseconds below 10^14, microseconds below 10^17, else
///   nanoseconds. Seconds may have a fraction.
/// - anything else: RFC 3339, such as `2026-01-15T10:00:00Z`; a date alone is its midnight in UTC.
///
/// # Errors
/// One sentence that lists the forms.
pub(crate) fn parse_moment(text: &str, now: UnixNanos) -> Result<UnixNanos> {
    let text = text.trim();
    let wrong = || {
        Error::invalid(format!(
            "'{}' is not a time; write 2026-01-15T10:00:00Z, unix seconds, ms, us or ns, or now-15m",
            text.chars().take(64).collect::<String>()
        ))
    };
    if let Some(rest) = text.strip_prefix("now") {
        return match rest.trim() {
            "" => Ok(now),
            rest => {
                let (sign, amount) = match rest.strip_prefix('-') {
                    Some(amount) => (-1, amount),
                    None => (1, rest.strip_prefix(['+', ' ']).ok_or_else(wrong)?),
                };
                let nanos = parse_duration(amount.trim()).ok_or_else(wrong)?;
                Ok(now + sign * nanos)
            }
        };
    }
    if text.starts_with(|first: char| first.is_ascii_digit() || first == '-')
        && text[1..].bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return unix(text).ok_or_else(wrong);
    }
    let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.replace(' ', "T") };
    let moment = OffsetDateTime::parse(&full, &Rfc3339).map_err(|_| wrong())?;
    i64::try_from(moment.unix_timestamp_nanos()).map(UnixNanos).map_err(|_| wrong())
}

fn unix(text: &str) -> Option<UnixNanos> {
    if text.contains('.') {
        let seconds: f64 = text.parse().ok()?;
        return (seconds.abs() < 9e9).then_some(UnixNanos((seconds * 1e9) as i64));
    }
    let value: i64 = text.parse().ok()?;
    let unit = match value.unsigned_abs() {
        0..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    value.checked_mul(unit).map(UnixNanos)
}

/// Reads `100ms`, `1.5s`, `2h`; `None` when it is something else. A number alone has no unit and is refused.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(split);
    let unit = match unit {
        "ns" => 1.0,
        "us" | "µs" | "μs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" | "min" => 60e9,
        "h" => 3_600e9,
        "d" => 86_400e9,
        "w" => 604_800e9,
        _ => return None,
    };
    let nanos = number.parse::<f64>().ok()? * unit;
    (nanos < i64::MAX as f64).then_some(nanos.round() as i64)
}

/// The range of a question: the last hour when nothing is said.
///
/// # Errors
/// When a moment cannot be read or the range is empty.
pub(crate) fn parse_range(from: Option<&str>, to: Option<&str>, now: UnixNanos) -> Result<TimeRange> {
    let given = |text: Option<&str>| {
        text.filter(|text| !text.trim().is_empty()).map(|text| parse_moment(text, now)).transpose()
    };
    let end = given(to)?;
    // Spans may start a little after "now" by their sender's clock; without `to` they are wanted.
    let end = end.unwrap_or(now + 60 * UnixNanos::SECOND);
    let start = given(from)?.unwrap_or(end.min(now) - DEFAULT_RANGE_NANOS);
    if start >= end {
        return Err(Error::invalid("the time range is empty: from must be before to"));
    }
    Ok(TimeRange::new(start, end))
}

/// RFC 3339 in UTC with nanoseconds.
pub(crate) fn format_moment(nanos: i64) -> String {
    let Ok(moment) = OffsetDateTime::from_unix_timestamp_nanos(i128::from(nanos)) else { return nanos.to_string() };
    let (hour, minute, second) = moment.to_hms();
    format!(
        "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{:09}Z",
        moment.year(),
        u8::from(moment.month()),
        moment.day(),
        moment.nanosecond()
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: UnixNanos = UnixNanos(1_768_471_200_000_000_000); // 2026-01-15T10:00:00Z

    #[track_caller]
    fn check(text: &str, nanos: i64) {
        assert_eq!(parse_moment(text, NOW).expect(text), UnixNanos(nanos), "{text}");
    }

    #[test]
    fn every_form_is_read() {
        check("2026-01-15T10:00:00Z", NOW.0);
        check("2026-01-15T11:00:00+01:00", NOW.0);
        check("2026-01-15T10:00:00.000000001Z", NOW.0 + 1);
        check("2026-01-15", NOW.0 - 36_000 * UnixNanos::SECOND);
        check("1768471200", NOW.0);
        check("1768471200.5", NOW.0 + 500_000_000);
        check("1768471200000", NOW.0);
        check("1768471200000000", NOW.0);
        check("1768471200000000000", NOW.0);
        check("now", NOW.0);
        check("now-15m", NOW.0 - 900 * UnixNanos::SECOND);
        check("now - 1.5h", NOW.0 - 5_400 * UnixNanos::SECOND);
        check("now+1s", NOW.0 + UnixNanos::SECOND);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "yesterday", "now-15", "nowish", "2026-13-01", "1..2", "-", "99999999999999999999999"] {
            assert!(parse_moment(text, NOW).is_err(), "{text}");
        }
        assert!(parse_range(Some("now"), Some("now-1h"), NOW).is_err());
    }

    #[test]
    fn moments_are_written_with_nanoseconds() {
        assert_eq!(format_moment(NOW.0 + 7), "2026-01-15T10:00:00.000000007Z");
        assert_eq!(format_moment(-1), "1969-12-31T23:59:59.999999999Z");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = parse_moment(&text, NOW);
            let _ = parse_duration(&text);
        }

        #[test]
        fn written_moments_are_read_again(nanos in any::<i64>()) {
            prop_assert_eq!(parse_moment(&format_moment(nanos), NOW).expect("own form"), UnixNanos(nanos));
        }
    }
}
