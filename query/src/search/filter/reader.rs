//! Text to a tree. Recursion is bounded by [`DEPTH_MAX`]; every error points at the place.

use regex::RegexBuilder;

use super::fields::NAMED;
use super::{
    CONDITIONS_MAX, Condition, DEPTH_MAX, Field, Filter, Op, Place, REGEX_BYTES_MAX, TEXT_BYTES_MAX, Takes, Value,
    is_word,
};
use crate::error::{Error, Result, nearest};
use crate::times::parse_duration;

/// Memory of a compiled regular expression, in bytes.
const REGEX_MEMORY_MAX: usize = 1 << 20;

/// Reads a filter text; `None` for empty text, which every span matches.
///
/// # Errors
/// [`Error::Invalid`] with the byte offset of what is wrong.
pub(crate) fn parse(text: &str) -> Result<Option<Filter>> {
    if text.len() > TEXT_BYTES_MAX {
        let mut at = TEXT_BYTES_MAX;
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        return Err(Error::invalid_at(at, format!("the filter is longer than {TEXT_BYTES_MAX} bytes")));
    }
    let mut reader = Reader { text, at: 0, n_conditions: 0 };
    reader.skip_space();
    if reader.rest().is_empty() {
        return Ok(None);
    }
    let filter = reader.any(0)?;
    if reader.rest().starts_with(')') {
        return Err(Error::invalid_at(reader.at, "this bracket was never opened"));
    }
    Ok(Some(filter))
}

/// A compiled regular expression; case matters unless it says `(?i)`.
///
/// # Errors
/// What is wrong with it, and where in the pattern when that is known.
pub(crate) fn regex(pattern: &str) -> std::result::Result<regex::Regex, (usize, String)> {
    if pattern.len() > REGEX_BYTES_MAX {
        return Err((0, format!("the regular expression is longer than {REGEX_BYTES_MAX} bytes")));
    }
    let built = RegexBuilder::new(pattern).size_limit(REGEX_MEMORY_MAX).nest_limit(50).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => (0, "the regular expression is too large; repeat less".to_owned()),
        other => {
            // The library draws the pattern with a mark under the place; the last line says what is wrong.
            let drawn = other.to_string();
            let mark = drawn.lines().find(|line| line.trim_start().starts_with('^'));
            let column = mark.map_or(0, |line| line.chars().take_while(|c| *c != '^').count().saturating_sub(4));
            let at = pattern.char_indices().nth(column).map_or(pattern.len(), |(at, _)| at);
            let at = if pattern.contains('\n') { 0 } else { at };
            let reason = drawn.lines().last().unwrap_or_default().trim_start_matches("error: ");
            (at, format!("the regular expression is not valid: {reason}"))
        }
    })
}

/// A word between conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Joint {
    And,
    Or,
    Not,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    n_conditions: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// The joint that stands here, with its length. A word of these letters in front of an operator is a field.
    fn joint(&self) -> Option<(Joint, usize)> {
        let rest = self.rest();
        if let Some(after) = rest.strip_prefix('!') {
            return (!after.starts_with(['=', '~'])).then_some((Joint::Not, 1));
        }
        let len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let joint = match &rest[..len] {
            "AND" | "and" | "&&" => Joint::And,
            "OR" | "or" | "||" => Joint::Or,
            "NOT" | "not" => Joint::Not,
            _ => return None,
        };
        Some((joint, len))
    }

    fn any(&mut self, depth: usize) -> Result<Filter> {
        let mut parts = vec![self.all(depth)?];
        while let Some((Joint::Or, len)) = self.joint() {
            let or_at = self.at;
            self.at += len;
            self.skip_space();
            if self.is_end() {
                return Err(Error::invalid_at(or_at, "or needs a condition behind it"));
            }
            parts.push(self.all(depth)?);
        }
        Filter::any(parts).ok_or_else(|| Error::Internal("a filter without parts".to_owned()))
    }

    fn all(&mut self, depth: usize) -> Result<Filter> {
        let mut parts = vec![self.one(depth)?];
        loop {
            self.skip_space();
            match self.joint() {
                Some((Joint::Or, _)) => break,
                Some((Joint::And, len)) => {
                    let and_at = self.at;
                    self.at += len;
                    self.skip_space();
                    if self.is_end() {
                        return Err(Error::invalid_at(and_at, "and needs a condition behind it"));
                    }
                }
                _ if self.is_end() => break,
                _ => {}
            }
            parts.push(self.one(depth)?);
        }
        Filter::all(parts).ok_or_else(|| Error::Internal("a filter without parts".to_owned()))
    }

    fn is_end(&self) -> bool {
        self.rest().is_empty() || self.rest().starts_with(')')
    }

    fn one(&mut self, depth: usize) -> Result<Filter> {
        let start = self.at;
        let deeper = || {
            if depth == DEPTH_MAX {
                return Err(Error::invalid_at(
                    start,
                    format!("more than {DEPTH_MAX} levels of brackets and negations"),
                ));
            }
            Ok(depth + 1)
        };
        match self.joint() {
            Some((Joint::Not, len)) => {
                let depth = deeper()?;
                self.at += len;
                self.skip_space();
                if self.is_end() {
                    return Err(Error::invalid_at(start, "not needs a condition behind it"));
                }
                return Ok(Filter::Not(Box::new(self.one(depth)?)));
            }
            Some((Joint::And | Joint::Or, _)) => {
                return Err(Error::invalid_at(
                    start,
                    "and, or stand between two conditions; quote \"and\" to look for the word",
                ));
            }
            None => {}
        }
        if self.rest().starts_with('(') {
            let depth = deeper()?;
            self.at += 1;
            self.skip_space();
            if self.is_end() {
                return Err(Error::invalid_at(start, "these brackets hold no condition"));
            }
            let inner = self.any(depth)?;
            self.skip_space();
            if !self.rest().starts_with(')') {
                return Err(Error::invalid_at(start, "this bracket is never closed"));
            }
            self.at += 1;
            return Ok(inner);
        }
        if self.n_conditions == CONDITIONS_MAX {
            return Err(Error::invalid_at(start, format!("more than {CONDITIONS_MAX} conditions")));
        }
        self.n_conditions += 1;
        self.condition().map(Filter::Is)
    }

    fn condition(&mut self) -> Result<Condition> {
        let start = self.at;
        let says = |field, op, value: String| Condition {
            field,
            op,
            value: Value::Text(value),
            field_at: start,
            value_at: start,
        };
        if self.rest().starts_with('"') {
            let value = self.quoted()?;
            return Ok(says(Field::Named(super::Member::Name), Op::Contains, value));
        }
        let word_len = self.rest().find(|c| !is_word(c)).unwrap_or(self.rest().len());
        let word = &self.rest()[..word_len];
        self.at += word_len;
        // A key with odd letters stands in quotes: span."a key".
        let place = Place::ALL.into_iter().find(|place| word.strip_suffix('.') == Some(place.word()));
        let odd_key = match place {
            Some(place) if self.rest().starts_with('"') => {
                let quote_at = self.at;
                let key = self.quoted()?;
                if key.is_empty() {
                    return Err(Error::invalid_at(quote_at, "an attribute has a key of at least one letter"));
                }
                Some(Field::At(place, key))
            }
            _ => None,
        };
        // Spaces around the operator are allowed.
        let after_word = self.at;
        self.skip_space();
        let Some((spelled, op)) = Op::SPELLED.into_iter().find(|(spelled, _)| self.rest().starts_with(spelled)) else {
            self.at = after_word;
            if let Some(field) = odd_key {
                return Err(Error::invalid_at(after_word, format!("{field} needs an operator behind it, such as =")));
            }
            if word.is_empty() {
                let wrong = self.rest().chars().next().unwrap_or(' ');
                let detail = format!(
                    "'{wrong}' is not part of a filter; write conditions such as service=checkout duration>=100ms"
                );
                return Err(Error::invalid_at(start, detail));
            }
            let is_trace_id = word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
            let (member, op) =
                if is_trace_id { (super::Member::TraceId, Op::Eq) } else { (super::Member::Name, Op::Contains) };
            return Ok(says(Field::Named(member), op, word.to_owned()));
        };
        if word.is_empty() {
            return Err(Error::invalid_at(
                start,
                format!("{spelled} needs a field before it, such as service{spelled}checkout"),
            ));
        }
        let field = match odd_key {
            Some(field) => field,
            None => field(word, start)?,
        };
        self.at += spelled.len();
        self.skip_space();
        let value_at = self.at;
        let value = if self.rest().starts_with('"') {
            Value::Text(self.quoted()?)
        } else {
            match self.plain() {
                "" => return Err(Error::invalid_at(value_at, format!("{field}{spelled} needs a value behind it"))),
                "*" => Value::Anything,
                text => Value::Text(text.to_owned()),
            }
        };
        let condition = Condition { field, op, value, field_at: start, value_at };
        check(&condition)?;
        Ok(condition)
    }

    /// A value without quotes: until a space, or a bracket that was not opened in it.
    fn plain(&mut self) -> &'a str {
        let rest = self.rest();
        let mut depth = 0usize;
        let is_end = |c: char| {
            match c {
                '(' => depth += 1,
                ')' if depth == 0 => return true,
                ')' => depth -= 1,
                _ => {}
            }
            c.is_whitespace()
        };
        let len = rest.find(is_end).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    /// A quoted text, at its opening quote.
    fn quoted(&mut self) -> Result<String> {
        let start = self.at;
        let mut value = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((offset, c)) = chars.next() {
            match c {
                '"' => {
                    self.at = start + offset + 1;
                    return Ok(value);
                }
                '\\' => match chars.next() {
                    Some((_, escaped)) => value.push(escaped),
                    None => break,
                },
                other => value.push(other),
            }
        }
        Err(Error::invalid_at(start, "this quote is never closed"))
    }
}

/// The field that a word names.
///
/// # Errors
/// [`Error::Invalid`] at `position`, with the field that was probably meant.
pub(crate) fn field(word: &str, position: usize) -> Result<Field> {
    if let Some(field) = Field::named(word) {
        return Ok(field);
    }
    for place in Place::ALL {
        let key = word.strip_prefix(place.word()).and_then(|rest| rest.strip_prefix('.'));
        if let Some(key) = key.filter(|key| !key.is_empty()) {
            return Ok(Field::At(place, key.to_owned()));
        }
    }
    if word.contains('.') && !word.starts_with('.') && !word.ends_with('.') {
        return Ok(Field::Anywhere(word.to_owned()));
    }
    let names = || NAMED.iter().map(|(name, ..)| *name);
    let meant = nearest(word, names()).map(|name| format!("; did you mean {name}?")).unwrap_or_default();
    let plain: Vec<&str> = names().filter(|name| !name.contains(':')).collect();
    let detail = format!(
        "there is no field {word}{meant} Fields are {}; an attribute without a dot is written span.{word}",
        plain.join(", ")
    );
    Err(Error::invalid_at(position, detail))
}

/// Whether the operator and the value fit the field.
fn check(condition: &Condition) -> Result<()> {
    let Condition { field, op, value, .. } = condition;
    let wrong = |detail: String| Err(Error::invalid_at(condition.value_at, detail));
    if *value == Value::Anything {
        return match op {
            Op::Eq | Op::NotEq => Ok(()),
            _ => wrong(format!("* stands for any value and takes = or !=; write {field}=* or quote it")),
        };
    }
    let text = value.text();
    match field.takes() {
        Takes::Text if op.is_order() => wrong(format!("{field} is text and takes = != ~ !~ =~ !=~")),
        Takes::Words(words) => {
            if !matches!(op, Op::Eq | Op::NotEq) {
                return wrong(format!("{field} takes = and !="));
            }
            if !words.contains(&text) && text.parse::<i32>().is_err() {
                return wrong(format!("{field} is one of {}", words.join(", ")));
            }
            Ok(())
        }
        Takes::Duration => {
            if !(op.is_order() || matches!(op, Op::Eq | Op::NotEq)) {
                return wrong(format!("{field} takes = != > >= < <="));
            }
            match parse_duration(text) {
                Some(_) => Ok(()),
                None => wrong(format!("a duration has a unit: ns, us, ms, s, m or h, as in {field}>=100ms")),
            }
        }
        Takes::Count => {
            if !(op.is_order() || matches!(op, Op::Eq | Op::NotEq)) {
                return wrong(format!("{field} takes = != > >= < <="));
            }
            if text.parse::<i32>().is_err() { wrong(format!("{field} is a whole number")) } else { Ok(()) }
        }
        Takes::TraceId | Takes::SpanId => {
            let digits = if field.takes() == Takes::TraceId { 32 } else { 16 };
            if !matches!(op, Op::Eq | Op::NotEq) {
                return wrong(format!("{field} takes = and !="));
            }
            let is_hex = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !is_hex || text.bytes().all(|byte| byte == b'0') {
                return wrong(format!("this id has {digits} hex digits and is not all zero"));
            }
            Ok(())
        }
        Takes::Attribute if op.is_order() && number(text).is_none() => wrong(format!(
            "{field}{} compares numbers, with or without a size such as 10KiB; {text} is none",
            op.spelled()
        )),
        Takes::Text | Takes::Attribute => match op {
            Op::Matches | Op::NotMatches => regex(text).map(|_| ()).map_err(|(at, detail)| {
                // In quotes, places shift by the quote and by escapes before it.
                Error::invalid_at(condition.value_at + if text.contains(['\\', '"', ' ']) { 0 } else { at }, detail)
            }),
            _ => Ok(()),
        },
    }
}

/// A number, with or without a size: `17`, `-2.5`, `10KiB`, `1.5MB`.
pub(crate) fn number(text: &str) -> Option<f64> {
    const SIZES: [(&str, f64); 9] = [
        ("KiB", 1024.0),
        ("MiB", 1_048_576.0),
        ("GiB", 1_073_741_824.0),
        ("TiB", 1_099_511_627_776.0),
        ("KB", 1e3),
        ("kB", 1e3),
        ("MB", 1e6),
        ("GB", 1e9),
        ("TB", 1e12),
    ];
    let sized = SIZES.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, *size)));
    let (digits, size) = sized.or_else(|| Some((text.strip_suffix('B')?, 1.0))).unwrap_or((text, 1.0));
    let number: f64 = digits.parse().ok()?;
    number.is_finite().then_some(number * size)
}
