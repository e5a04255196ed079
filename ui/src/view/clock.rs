//! Moments and ranges of time, in UTC.
//!
//! A range in the URL is two texts as the API takes them: `now-1h` and `now`, or RFC 3339. The page never
//! rewrites what a reader typed; it only reads it to say which hours those are.
//!
//! Civil dates: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".

const SECOND: i64 = 1_000_000_000;
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Ranges offered as presets: the text of `from`, and what the button says.
pub(crate) const PRESETS: [(&str, &str); 6] = [
    ("now-5m", "5 min"),
    ("now-15m", "15 min"),
    ("now-1h", "1 h"),
    ("now-6h", "6 h"),
    ("now-24h", "24 h"),
    ("now-7d", "7 d"),
];

/// Year, month (1 to 12), day of a day counted from 1970-01-01.
fn civil(day: i64) -> (i64, u32, u32) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month as u32, day_of_month)
}

/// The inverse of [`civil`].
fn day_number(year: i64, month: u32, day: u32) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// `14:41:07.229`.
pub(crate) fn time_of_day(nanos: i64) -> String {
    let milliseconds = nanos.rem_euclid(86_400 * SECOND) / 1_000_000;
    let (seconds, milliseconds) = (milliseconds / 1000, milliseconds % 1000);
    format!("{:02}:{:02}:{:02}.{milliseconds:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// `20 Nov 14:41:07.229`.
pub(crate) fn day_and_time(nanos: i64) -> String {
    let (_, month, day) = civil(nanos.div_euclid(86_400 * SECOND));
    format!("{day} {} {}", MONTHS[month as usize - 1], time_of_day(nanos))
}

/// The ends of an axis: `14:41` and `15:41`; with their days when they are of more than one.
pub(crate) fn ends(from: i64, to: i64) -> [String; 2] {
    let day = |nanos: i64| nanos.div_euclid(86_400 * SECOND);
    let is_one_day = day(from) == day(to.saturating_sub(1).max(from));
    [from, to].map(|nanos| {
        let text = if is_one_day { time_of_day(nanos) } else { day_and_time(nanos) };
        // Without seconds.
        text.rsplit_once(':').map_or(text.clone(), |(minutes, _)| minutes.to_owned())
    })
}

/// `2026-11-20T14:41:07.229Z`, to the millisecond.
pub(crate) fn rfc3339(nanos: i64) -> String {
    let (year, month, day) = civil(nanos.div_euclid(86_400 * SECOND));
    format!("{year:04}-{month:02}-{day:02}T{}Z", time_of_day(nanos))
}

/// Reads `now`, `now-15m`, RFC 3339 (also with a space, without seconds or zone: then UTC), and unix
/// seconds, milliseconds, microseconds or nanoseconds, told apart by size. `None` for anything else.
pub(crate) fn parse(text: &str, now: i64) -> Option<i64> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix("now") {
        return relative(rest, now);
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return unix(text.parse().ok()?);
    }
    calendar(text)
}

fn relative(rest: &str, now: i64) -> Option<i64> {
    if rest.is_empty() {
        return Some(now);
    }
    let (sign, rest) = match rest.as_bytes()[0] {
        b'-' => (-1, &rest[1..]),
        b'+' => (1, &rest[1..]),
        _ => return None,
    };
    let unit = rest.find(|letter: char| !letter.is_ascii_digit())?;
    let amount: i64 = rest[..unit].parse().ok()?;
    let seconds = match &rest[unit..] {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return None,
    };
    now.checked_add(amount.checked_mul(seconds)?.checked_mul(SECOND)?.checked_mul(sign)?)
}

fn unix(number: i64) -> Option<i64> {
    let scale = match number.max(1).ilog10() {
        0..=10 => SECOND,
        11..=13 => 1_000_000,
        14..=16 => 1_000,
        _ => 1,
    };
    number.checked_mul(scale)
}

fn calendar(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let at = |index: usize| text.as_bytes().get(index).copied();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    if at(4) != Some(b'-') || at(7) != Some(b'-') || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let mut nanos = day_number(year, month as u32, day as u32).checked_mul(86_400 * SECOND)?;
    if text.len() == 10 {
        return Some(nanos);
    }
    if !matches!(at(10)?, b'T' | b't' | b' ') || at(13) != Some(b':') {
        return None;
    }
    nanos += (number(11..13)? * 3600 + number(14..16)? * 60) * SECOND;
    let mut rest = text.get(16..)?;
    if rest.starts_with(':') {
        nanos += number(17..19)? * SECOND;
        rest = text.get(19..)?;
    }
    if let Some(fraction) = rest.strip_prefix('.') {
        let length = fraction.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(fraction.len());
        let digits: String = fraction[..length].chars().chain("000000000".chars()).take(9).collect();
        nanos += digits.parse::<i64>().ok()?;
        rest = &fraction[length..];
    }
    match rest {
        "" | "Z" | "z" | " UTC" => Some(nanos),
        zone if zone.len() == 6 && zone.is_ascii() && &zone[3..4] == ":" => {
            let minutes = zone[1..3].parse::<i64>().ok()? * 60 + zone[4..6].parse::<i64>().ok()?;
            match &zone[..1] {
                "+" => nanos.checked_sub(minutes * 60 * SECOND),
                "-" => nanos.checked_add(minutes * 60 * SECOND),
                _ => None,
            }
        }
        _ => None,
    }
}

/// `30m` as the presets write it: `30 min`. What has several units stays.
fn spelled(length: &str) -> String {
    let at = length.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(length.len());
    let (number, unit) = length.split_at(at);
    match unit {
        _ if number.is_empty() => length.to_owned(),
        "m" => format!("{number} min"),
        "s" | "h" | "d" => format!("{number} {unit}"),
        _ => length.to_owned(),
    }
}

/// What the time button says: the name of the range, and the hours it means now.
pub(crate) fn range_label(from: &str, to: &str, now: i64) -> (String, String) {
    let name = match PRESETS.iter().find(|(preset, _)| *preset == from) {
        Some((_, label)) if to == "now" => format!("Last {label}"),
        _ if to == "now" && from.starts_with("now-") => format!("Last {}", spelled(&from[4..])),
        _ => "From – to".to_owned(),
    };
    let (Some(start), Some(end)) = (parse(from, now), parse(to, now)) else {
        return (name, format!("{from} – {to}"));
    };
    let day = |nanos: i64| nanos.div_euclid(86_400 * SECOND);
    let minute = |nanos: i64| time_of_day(nanos)[..5].to_owned();
    let dated = |nanos: i64| {
        let text = day_and_time(nanos);
        text[..text.len() - 7].to_owned()
    };
    let hours = if end - start > 86_400 * SECOND || day(start) != day(end) {
        format!("{} – {} UTC", dated(start), dated(end))
    } else if day(start) != day(now) {
        format!("{} – {} UTC", dated(start), minute(end))
    } else {
        format!("{} – {} UTC", minute(start), minute(end))
    };
    (name, hours)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_185_667_229_000_000; // 2026-11-20T14:41:07.229Z

    #[test]
    fn moments_are_written_in_utc() {
        assert_eq!(rfc3339(NOW), "2026-11-20T14:41:07.229Z");
        assert_eq!(day_and_time(NOW), "20 Nov 14:41:07.229");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(951_782_400 * SECOND), "2000-02-29T00:00:00.000Z");
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(parse(text, NOW).map(rfc3339).as_deref(), Some(expected), "{text}");
    }

    #[test]
    fn all_ways_to_say_a_moment() {
        check("now", "2026-11-20T14:41:07.229Z");
        check("now-1h", "2026-11-20T13:41:07.229Z");
        check("now-7d", "2026-11-13T14:41:07.229Z");
        check("2026-11-20T14:41:07.229Z", "2026-11-20T14:41:07.229Z");
        check("2026-11-20 14:41", "2026-11-20T14:41:00.000Z");
        check("2026-11-20", "2026-11-20T00:00:00.000Z");
        check("2026-11-20T14:41:07+02:00", "2026-11-20T12:41:07.000Z");
        check("1795185667", "2026-11-20T14:41:07.000Z");
        check("1795185667229", "2026-11-20T14:41:07.229Z");
        check("1795185667229000000", "2026-11-20T14:41:07.229Z");
    }

    #[test]
    fn other_texts_are_no_moment() {
        for text in
            ["", "yesterday", "now-", "now-1y", "2026-13-01", "2026-11-20T", "now-99999999999999999999h", "é026-11-20"]
        {
            assert_eq!(parse(text, NOW), None, "{text}");
        }
    }

    #[test]
    fn the_button_names_range_and_hours() {
        let label = |from, to| range_label(from, to, NOW);
        assert_eq!(label("now-1h", "now"), ("Last 1 h".into(), "13:41 – 14:41 UTC".into()));
        assert_eq!(
            ["now-30m", "now-2d", "now-1h30m"].map(|from| label(from, "now").0),
            ["Last 30 min", "Last 2 d", "Last 1h30m"]
        );
        assert_eq!(label("now-24h", "now").1, "19 Nov 14:41 – 20 Nov 14:41 UTC");
        assert_eq!(label("2026-11-20T10:00:00Z", "2026-11-20T11:00:00Z").0, "From – to");
        assert_eq!(label("2026-01-02T10:00:00Z", "2026-01-02T11:00:00Z").1, "2 Jan 10:00 – 11:00 UTC");
    }

    proptest::proptest! {
        /// Every moment of five centuries survives being written and read again, to the millisecond.
        #[test]
        fn written_moments_are_read_again(milliseconds in -5_000_000_000_000i64..8_000_000_000_000) {
            let nanos = milliseconds * 1_000_000;
            if (0..=9999).contains(&civil(nanos.div_euclid(86_400 * SECOND)).0) {
                proptest::prop_assert_eq!(parse(&rfc3339(nanos), NOW), Some(nanos));
            }
        }

        /// No text makes it panic.
        #[test]
        fn any_text_is_answered(text in ".{0,40}") {
            let _ = parse(&text, NOW);
            let _ = range_label(&text, "now", NOW);
        }
    }

    #[test]
    fn an_axis_names_its_days() {
        let at = |text: &str| parse(text, 0).expect("a moment");
        assert_eq!(ends(at("2026-11-20T14:41:07Z"), at("2026-11-20T15:41:07Z")), ["14:41", "15:41"]);
        assert_eq!(ends(at("2026-11-20T00:00:00Z"), at("2026-11-21T00:00:00Z")), ["00:00", "00:00"]);
        assert_eq!(ends(at("2026-11-20T23:50:00Z"), at("2026-11-21T00:10:00Z")), ["20 Nov 23:50", "21 Nov 00:10"]);
    }
}
