//! Numbers as Go prints them, and sizes for people as Prometheus writes them.

/// `%v` of a double: the shortest text that is read back the same.
pub(super) fn go_float(value: f64) -> String {
    if let Some(text) = special(value) {
        return text;
    }
    let exponent = exponent_of(value);
    if value != 0.0 && !(-4..21).contains(&exponent) { scientific(&format!("{value:e}")) } else { format!("{value}") }
}

/// `%e` with the shortest mantissa, as Prometheus writes values of alerts: `1e+00`.
pub(crate) fn go_scientific(value: f64) -> String {
    special(value).unwrap_or_else(|| scientific(&format!("{value:e}")))
}

/// `%.{digits}g`.
pub(super) fn general(value: f64, digits: usize) -> String {
    if let Some(text) = special(value) {
        return text;
    }
    let digits = digits.clamp(1, 17);
    let rounded = format!("{value:.*e}", digits - 1);
    let exponent: i32 = rounded.rsplit_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or_default();
    let without_zeros = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if exponent < -4 || exponent >= i32::try_from(digits).unwrap_or(i32::MAX) {
        let (mantissa, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
        return scientific(&format!("{}e{exponent}", without_zeros(mantissa)));
    }
    let decimals = usize::try_from(i32::try_from(digits).unwrap_or(17) - 1 - exponent).unwrap_or_default();
    without_zeros(&format!("{value:.decimals$}"))
}

/// `NaN`, `+Inf`, `-Inf`.
pub(super) fn special(value: f64) -> Option<String> {
    match value {
        value if value.is_nan() => Some("NaN".to_owned()),
        value if value.is_infinite() => Some(if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()),
        _ => None,
    }
}

/// Rust's `1e7` with Go's two digits and sign: `1e+07`.
pub(super) fn scientific(text: &str) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, digits) = match exponent.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', exponent),
    };
    format!("{mantissa}e{sign}{digits:0>2}")
}

fn exponent_of(value: f64) -> i32 {
    format!("{value:e}").rsplit_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or_default()
}

/// 1234567 is `1.235M`.
pub(super) fn humanize(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return general(value, 4);
    }
    let (mut value, mut prefix) = (value, "");
    if value.abs() >= 1.0 {
        for next in ["k", "M", "G", "T", "P", "E", "Z", "Y"] {
            if value.abs() < 1_000.0 {
                break;
            }
            (value, prefix) = (value / 1_000.0, next);
        }
    } else {
        for next in ["m", "u", "n", "p", "f", "a", "z", "y"] {
            if value.abs() >= 1.0 {
                break;
            }
            (value, prefix) = (value * 1_000.0, next);
        }
    }
    format!("{}{prefix}", general(value, 4))
}

/// 1048576 is `1Mi`.
pub(super) fn humanize1024(value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() {
        return general(value, 4);
    }
    let (mut value, mut prefix) = (value, "");
    for next in ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"] {
        if value.abs() < 1_024.0 {
            break;
        }
        (value, prefix) = (value / 1_024.0, next);
    }
    format!("{}{prefix}", general(value, 4))
}

/// Seconds as `1d 2h 3m 4s`, `1.5s`, `20ms`.
pub(super) fn humanize_duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return general(seconds, 4);
    }
    if seconds == 0.0 {
        return "0s".to_owned();
    }
    if seconds.abs() < 1.0 {
        let (mut value, mut prefix) = (seconds, "");
        for next in ["m", "u", "n", "p", "f", "a", "z", "y"] {
            if value.abs() >= 1.0 {
                break;
            }
            (value, prefix) = (value * 1_000.0, next);
        }
        return format!("{}{prefix}s", general(value, 4));
    }
    let (sign, value) = if seconds < 0.0 { ("-", -seconds) } else { ("", seconds) };
    let whole = value as u64;
    let (s, m, h, d) = (whole % 60, whole / 60 % 60, whole / 3_600 % 24, whole / 86_400);
    match (d, h, m) {
        (1.., _, _) => format!("{sign}{d}d {h}h {m}m {s}s"),
        (_, 1.., _) => format!("{sign}{h}h {m}m {s}s"),
        (_, _, 1..) => format!("{sign}{m}m {s}s"),
        _ => format!("{sign}{}s", general(value, 4)),
    }
}

/// Unix seconds as Go prints a moment in UTC.
pub(super) fn humanize_timestamp(seconds: f64) -> Result<String, String> {
    if !seconds.is_finite() {
        return Ok(general(seconds, 4));
    }
    let nanos = (seconds * 1e9) as i128;
    let moment = time::OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .map_err(|_| format!("{} is no moment in unix seconds", go_float(seconds)))?;
    let (hour, minute, second) = moment.to_hms();
    let fraction = match moment.nanosecond() {
        0 => String::new(),
        nanos => format!(".{nanos:09}").trim_end_matches('0').to_owned(),
    };
    Ok(format!(
        "{:04}-{:02}-{:02} {hour:02}:{minute:02}:{second:02}{fraction} +0000 UTC",
        moment.year(),
        u8::from(moment.month()),
        moment.day()
    ))
}
