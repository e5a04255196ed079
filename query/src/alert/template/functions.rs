//! Functions of templates: one row each, with how many arguments they take.

use std::cmp::Ordering;

use regex::RegexBuilder;

use super::numbers::{
    general, go_float, humanize, humanize_duration, humanize_timestamp, humanize1024, scientific, special,
};
use super::{Fill, OUTPUT_BYTES_MAX, Value};
use crate::alert::duration;

/// Bytes that a compiled pattern may take.
const REGEX_BYTES_MAX: usize = 1 << 20;
/// Widest number or text that `printf` pads to.
const WIDTH_MAX: usize = 256;

/// A known function.
#[derive(Clone, Copy, Debug)]
pub(super) struct Function(&'static Row);

#[derive(Debug)]
struct Row {
    name: &'static str,
    least: usize,
    most: usize,
    call: fn(&[Value], &Fill<'_>) -> Result<Value, String>,
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

macro_rules! rows {
    ($($name:literal $least:literal..=$most:literal $call:expr;)*) => {
        &[$(Row { name: $name, least: $least, most: $most, call: $call },)*]
    };
}

const MANY: usize = 64;

static FUNCTIONS: &[Row] = rows! {
    "humanize" 1..=1 |given, _| Ok(Value::Text(humanize(number(&given[0])?)));
    "humanize1024" 1..=1 |given, _| Ok(Value::Text(humanize1024(number(&given[0])?)));
    "humanizeDuration" 1..=1 |given, _| Ok(Value::Text(humanize_duration(number(&given[0])?)));
    "humanizePercentage" 1..=1 |given, _| Ok(Value::Text(format!("{}%", general(number(&given[0])? * 100.0, 4))));
    "humanizeTimestamp" 1..=1 |given, _| Ok(Value::Text(humanize_timestamp(number(&given[0])?)?));
    "parseDuration" 1..=1 |given, _| Ok(Value::Number(duration::parse(&text(&given[0])?)? as f64 / 1e9));
    "title" 1..=1 |given, _| Ok(Value::Text(title(&text(&given[0])?)));
    "toUpper" 1..=1 |given, _| Ok(Value::Text(text(&given[0])?.to_uppercase()));
    "toLower" 1..=1 |given, _| Ok(Value::Text(text(&given[0])?.to_lowercase()));
    "stripPort" 1..=1 |given, _| Ok(Value::Text(strip_port(&text(&given[0])?)));
    "stripDomain" 1..=1 |given, _| Ok(Value::Text(strip_domain(&text(&given[0])?)));
    "match" 2..=2 |given, _| Ok(Value::Bool(pattern(&given[0])?.is_match(&text(&given[1])?)));
    "reReplaceAll" 3..=3 replace_all;
    "printf" 1..=64 printf;
    "print" 0..=64 |given, _| Ok(Value::Text(given.iter().map(Value::show).collect()));
    "urlquery" 1..=1 |given, _| Ok(Value::Text(url_query(&text(&given[0])?)));
    "safeHtml" 1..=1 |given, _| Ok(given[0].clone());
    "externalURL" 0..=0 |_, fill| Ok(Value::Text(fill.external_url.to_owned()));
    "index" 2..=2 index;
    "len" 1..=1 |given, _| Ok(Value::Number(length(&given[0])));
    "not" 1..=1 |given, _| Ok(Value::Bool(!given[0].is_true()));
    "and" 1..=64 |given, _| Ok(first_or_last(given, |value| !value.is_true()));
    "or" 1..=64 |given, _| Ok(first_or_last(given, Value::is_true));
    "eq" 2..=64 |given, _| Ok(Value::Bool(given[1..].iter().any(|other| compare(&given[0], other) == Some(Ordering::Equal))));
    "ne" 2..=2 |given, _| Ok(Value::Bool(compare(&given[0], &given[1]) != Some(Ordering::Equal)));
    "lt" 2..=2 |given, _| Ok(Value::Bool(ordered(given)?.is_some_and(Ordering::is_lt)));
    "le" 2..=2 |given, _| Ok(Value::Bool(ordered(given)?.is_some_and(Ordering::is_le)));
    "gt" 2..=2 |given, _| Ok(Value::Bool(ordered(given)?.is_some_and(Ordering::is_gt)));
    "ge" 2..=2 |given, _| Ok(Value::Bool(ordered(given)?.is_some_and(Ordering::is_ge)));
};

impl Function {
    pub(super) fn by_name(name: &str) -> Option<Self> {
        FUNCTIONS.iter().find(|row| row.name == name).map(Self)
    }

    /// Says that there is no such function, and which one may be meant.
    pub(super) fn unknown(name: &str) -> String {
        if matches!(
            name,
            "query" | "first" | "value" | "label" | "sortByLabel" | "strvalue" | "graphLink" | "tableLink"
        ) {
            return format!("the function {name} needs PromQL, which is not there yet");
        }
        let meant = crate::error::nearest(name, FUNCTIONS.iter().map(|row| row.name));
        let meant = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        let names: Vec<&str> = FUNCTIONS.iter().map(|row| row.name).collect();
        format!("there is no function {name}{meant} (functions: {})", names.join(", "))
    }

    /// # Errors
    /// When it does not take so many arguments.
    pub(super) fn takes(self, n_arguments: usize) -> Result<(), String> {
        let Row { name, least, most, .. } = *self.0;
        if (least..=most).contains(&n_arguments) {
            return Ok(());
        }
        let wanted = match (least, most) {
            (least, most) if least == most => format!("{least}"),
            (least, MANY) => format!("{least} or more"),
            (least, most) => format!("{least} to {most}"),
        };
        Err(format!("{name} takes {wanted} arguments, not {n_arguments}"))
    }

    pub(super) fn call(self, given: &[Value], fill: &Fill<'_>) -> Result<Value, String> {
        (self.0.call)(given, fill).map_err(|error| format!("{}: {error}", self.0.name))
    }
}

/// A number, or a text that is one.
fn number(value: &Value) -> Result<f64, String> {
    match value {
        Value::Number(number) => Ok(*number),
        Value::Text(text) => text.trim().parse().map_err(|_| format!("{text:?} is not a number")),
        Value::Bool(_) | Value::Labels(_) => Err(format!("{} is not a number", value.show())),
    }
}

fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::Text(text) => Ok(text.clone()),
        Value::Number(number) => Ok(go_float(*number)),
        Value::Bool(_) | Value::Labels(_) => Err(format!("{} is not a text", value.show())),
    }
}

fn first_or_last(given: &[Value], is_it: impl Fn(&Value) -> bool) -> Value {
    let found = given.iter().find(|value| is_it(value)).or_else(|| given.last());
    found.cloned().unwrap_or(Value::Bool(false))
}

/// `None` for values that cannot be compared.
fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.partial_cmp(b),
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// The order of two values of one type; `None` when one is NaN.
fn ordered(given: &[Value]) -> Result<Option<Ordering>, String> {
    match (&given[0], &given[1]) {
        (Value::Number(_), Value::Number(_)) | (Value::Text(_), Value::Text(_)) => Ok(compare(&given[0], &given[1])),
        (a, b) => Err(format!("{} and {} cannot be compared", a.show(), b.show())),
    }
}

fn length(value: &Value) -> f64 {
    match value {
        Value::Text(text) => text.len() as f64,
        Value::Labels(labels) => labels.len() as f64,
        Value::Number(_) | Value::Bool(_) => 0.0,
    }
}

fn index(given: &[Value], _: &Fill<'_>) -> Result<Value, String> {
    match &given[0] {
        Value::Labels(labels) => Ok(Value::Text(labels.get(&text(&given[1])?).cloned().unwrap_or_default())),
        other => Err(format!("{} has no members; write index $labels \"name\"", other.show())),
    }
}

fn pattern(value: &Value) -> Result<regex::Regex, String> {
    let made = RegexBuilder::new(&text(value)?).size_limit(REGEX_BYTES_MAX).build();
    made.map_err(|error| format!("the pattern cannot be used: {}", error.to_string().replace('\n', " ")))
}

fn replace_all(given: &[Value], _: &Fill<'_>) -> Result<Value, String> {
    let (pattern, with, within) = (pattern(&given[0])?, text(&given[1])?, text(&given[2])?);
    // Go writes $1 and ${1} as Rust does.
    let (mut out, mut after) = (String::new(), 0);
    for found in pattern.captures_iter(&within) {
        let Some(whole) = found.get(0) else { continue };
        out.push_str(&within[after..whole.start()]);
        found.expand(&with, &mut out);
        after = whole.end();
        if out.len() > OUTPUT_BYTES_MAX {
            return Err(format!("the text is longer than {OUTPUT_BYTES_MAX} bytes"));
        }
    }
    out.push_str(&within[after..]);
    Ok(Value::Text(out))
}

/// The first letter of every word large.
fn title(text: &str) -> String {
    let mut begins = true;
    let mut letters = String::with_capacity(text.len());
    for c in text.chars() {
        if begins {
            letters.extend(c.to_uppercase())
        } else {
            letters.push(c)
        }
        begins = !(c.is_alphanumeric() || c == '_' || c == '\'');
    }
    letters
}

/// `host:port` without the port.
fn strip_port(text: &str) -> String {
    match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) if port.is_empty() || port.starts_with(':') => host.to_owned(),
        _ => match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') && port.bytes().all(|byte| byte.is_ascii_digit()) => {
                host.to_owned()
            }
            _ => text.to_owned(),
        },
    }
}

/// The first name of a host; an address stays whole.
fn strip_domain(text: &str) -> String {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, format!(":{port}")),
        _ => (text, String::new()),
    };
    if host.parse::<std::net::IpAddr>().is_ok() || text.starts_with('[') {
        return text.to_owned();
    }
    format!("{}{port}", host.split('.').next().unwrap_or(host))
}

fn url_query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Go's `printf` with the verbs that alert rules use.
fn printf(given: &[Value], _: &Fill<'_>) -> Result<Value, String> {
    let form = text(&given[0])?;
    let (mut out, mut left, mut values) = (String::new(), form.as_str(), given[1..].iter());
    while let Some(at) = left.find('%') {
        out.push_str(&left[..at]);
        left = &left[at + 1..];
        let flags: String = left.chars().take_while(|c| matches!(c, '-' | '+' | ' ' | '0' | '#')).collect();
        left = &left[flags.len()..];
        let width_end = left.find(|c: char| !c.is_ascii_digit()).unwrap_or(left.len());
        let width = left[..width_end].parse::<usize>().unwrap_or(0);
        left = &left[width_end..];
        let precision = match left.strip_prefix('.') {
            None => None,
            Some(rest) => {
                let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                left = &rest[end..];
                Some(rest[..end].parse::<usize>().unwrap_or(0))
            }
        };
        if width > WIDTH_MAX || precision.is_some_and(|precision| precision > WIDTH_MAX) {
            return Err(format!("widths go up to {WIDTH_MAX}"));
        }
        let verb = left.chars().next().ok_or("a % has no verb behind it")?;
        left = &left[verb.len_utf8()..];
        if verb == '%' {
            out.push('%');
            continue;
        }
        let value = values.next().ok_or_else(|| format!("there is no value for %{verb}"))?;
        let shown = verbed(verb, value, precision, flags.contains('+'))?;
        let fill = width.saturating_sub(shown.chars().count());
        let is_number = matches!(value, Value::Number(_));
        if flags.contains('-') {
            out.push_str(&shown);
            out.extend(std::iter::repeat_n(' ', fill));
        } else if flags.contains('0') && is_number {
            let (sign, digits) = shown.split_at(usize::from(shown.starts_with(['-', '+'])));
            out.push_str(sign);
            out.extend(std::iter::repeat_n('0', fill));
            out.push_str(digits);
        } else {
            out.extend(std::iter::repeat_n(' ', fill));
            out.push_str(&shown);
        }
    }
    out.push_str(left);
    Ok(Value::Text(out))
}

fn verbed(verb: char, value: &Value, precision: Option<usize>, has_plus: bool) -> Result<String, String> {
    let signed = |value: f64, text: String| if has_plus && value >= 0.0 { format!("+{text}") } else { text };
    Ok(match verb {
        'v' | 's' => match precision {
            Some(precision) if verb == 's' => value.show().chars().take(precision).collect(),
            _ => value.show(),
        },
        'q' => format!("{:?}", value.show()),
        't' => match value {
            Value::Bool(value) => value.to_string(),
            other => return Err(format!("%t takes true or false, not {}", other.show())),
        },
        'd' => {
            let value = number(value)?;
            special(value).unwrap_or_else(|| signed(value, format!("{}", value.trunc() as i64)))
        }
        'x' => format!("{:x}", number(value)?.trunc() as i64),
        'f' | 'F' => {
            let value = number(value)?;
            let precision = precision.unwrap_or(6);
            special(value).unwrap_or_else(|| signed(value, format!("{value:.precision$}")))
        }
        'e' => {
            let value = number(value)?;
            let precision = precision.unwrap_or(6);
            special(value).unwrap_or_else(|| signed(value, scientific(&format!("{value:.precision$e}"))))
        }
        'g' => {
            let value = number(value)?;
            signed(value, precision.map_or_else(|| go_float(value), |precision| general(value, precision)))
        }
        other => return Err(format!("%{other} is not known; there are %s %q %d %v %f %e %g %x %t %%")),
    })
}
