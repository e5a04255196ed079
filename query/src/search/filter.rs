//! The filter text of a search: conditions that must all hold.
//!
//! ```text
//!   service=checkout name~"GET /" duration>=100ms http.route=/cart
//! ```
//!
//! | form                              | means                                                           |
//! |-----------------------------------|-----------------------------------------------------------------|
//! | `service`, `name`                 | text: `=` `!=` `~` (contains, any case) `!~`                    |
//! | `kind`, `status`                  | a word: `=` `!=`                                                |
//! | `duration`                        | with a unit: `=` `!=` `>` `>=` `<` `<=`                         |
//! | `trace_id`, `span_id`             | hex: `=` `!=`                                                   |
//! | `a.dotted.key`                    | attribute of the span or its resource: all operators            |
//! | `span.key`, `resource.key`        | attribute of the one or the other, dotted or not                |
//! | `word`, `"some words"`            | the name contains it; 32 hex digits: that trace                 |
//!
//! Conditions stand next to each other or with `AND` between them. Values with spaces are quoted; `\"` and
//! `\\` inside. `!=` and `!~` also hold where the attribute is missing. Pure; every error has a position.

use crate::error::{Error, Result, nearest};

/// Longest filter, in bytes.
const TEXT_BYTES_MAX: usize = 4 << 10;
/// Most conditions.
const CONDITIONS_MAX: usize = 50;

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) field: Field,
    pub(crate) op: Op,
    pub(crate) value: String,
    /// Byte offset of the value in the text.
    pub(crate) position: usize,
}

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Service,
    Name,
    Kind,
    Status,
    Duration,
    TraceId,
    SpanId,
    /// Of the span or its resource.
    Anywhere(String),
    /// Of the span.
    Span(String),
    /// Of its resource.
    Resource(String),
}

/// How it is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Eq,
    NotEq,
    Contains,
    NotContains,
    Gt,
    GtEq,
    Lt,
    LtEq,
}

impl Op {
    /// Longest first, so that `>=` is not read as `>`.
    const SPELLED: [(&'static str, Self); 8] = [
        ("!=", Self::NotEq),
        ("!~", Self::NotContains),
        (">=", Self::GtEq),
        ("<=", Self::LtEq),
        ("=", Self::Eq),
        ("~", Self::Contains),
        (">", Self::Gt),
        ("<", Self::Lt),
    ];

    /// As it is written.
    pub(crate) fn spelled(self) -> &'static str {
        Self::SPELLED.iter().find(|(_, op)| *op == self).map_or("", |(spelled, _)| spelled)
    }
}

const FIELDS: [&str; 7] = ["service", "name", "kind", "status", "duration", "trace_id", "span_id"];

/// Reads a filter text; empty text has no conditions.
///
/// # Errors
/// [`Error::Invalid`] with the byte offset of what is wrong.
pub(crate) fn parse(text: &str) -> Result<Vec<Condition>> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Error::invalid_at(TEXT_BYTES_MAX, format!("the filter is longer than {TEXT_BYTES_MAX} bytes")));
    }
    let mut reader = Reader { text, at: 0 };
    let mut conditions = Vec::new();
    let mut after_and = None;
    loop {
        reader.skip_space();
        let start = reader.at;
        if reader.rest().is_empty() {
            return match after_and {
                Some(position) => Err(Error::invalid_at(position, "AND needs a condition behind it")),
                None => Ok(conditions),
            };
        }
        if conditions.len() == CONDITIONS_MAX {
            return Err(Error::invalid_at(start, format!("more than {CONDITIONS_MAX} conditions")));
        }
        match reader.condition()? {
            Some(condition) => {
                conditions.push(condition);
                after_and = None;
            }
            None if conditions.is_empty() || after_and.is_some() => {
                return Err(Error::invalid_at(
                    start,
                    "AND stands between two conditions; quote \"and\" to look for the word",
                ));
            }
            None => after_and = Some(start),
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// A condition, or `None` for the word AND.
    fn condition(&mut self) -> Result<Option<Condition>> {
        let start = self.at;
        if self.rest().starts_with('"') {
            let value = self.quoted()?;
            return Ok(Some(Condition { field: Field::Name, op: Op::Contains, value, position: start }));
        }
        let is_word = |c: char| !c.is_whitespace() && !matches!(c, '=' | '!' | '~' | '<' | '>' | '"' | '(' | ')');
        let word_len = self.rest().find(|c| !is_word(c)).unwrap_or(self.rest().len());
        let word = &self.rest()[..word_len];
        self.at += word_len;
        // Spaces around the operator are allowed.
        let after_word = self.at;
        self.skip_space();
        let Some((spelled, op)) = Op::SPELLED.into_iter().find(|(spelled, _)| self.rest().starts_with(spelled)) else {
            self.at = after_word;
            return self.bare(start, word);
        };
        if word.is_empty() {
            return Err(Error::invalid_at(
                start,
                format!("{spelled} needs a field before it, such as service{spelled}checkout"),
            ));
        }
        let field = field(word, start)?;
        self.at += spelled.len();
        self.skip_space();
        let position = self.at;
        let value = if self.rest().starts_with('"') {
            self.quoted()?
        } else {
            let len = self.rest().find(char::is_whitespace).unwrap_or(self.rest().len());
            let value = self.rest()[..len].to_owned();
            self.at += len;
            value
        };
        if value.is_empty() && self.text[..self.at].ends_with(spelled) {
            return Err(Error::invalid_at(position, format!("{word}{spelled} needs a value behind it")));
        }
        Ok(Some(Condition { field, op, value, position }))
    }

    fn bare(&self, start: usize, word: &str) -> Result<Option<Condition>> {
        if word.is_empty() {
            let wrong = self.rest().chars().next().unwrap_or(' ');
            let detail =
                format!("'{wrong}' is not part of a filter; write conditions such as service=checkout duration>=100ms");
            return Err(Error::invalid_at(start, detail));
        }
        if matches!(word, "AND" | "and" | "&&") {
            return Ok(None);
        }
        if matches!(word, "OR" | "or" | "||" | "NOT" | "not") {
            let detail = format!("{word} is not known here: all conditions must hold; for other questions use SQL");
            return Err(Error::invalid_at(start, detail));
        }
        let is_trace_id = word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let (field, op) = if is_trace_id { (Field::TraceId, Op::Eq) } else { (Field::Name, Op::Contains) };
        Ok(Some(Condition { field, op, value: word.to_owned(), position: start }))
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

/// A value as it is written behind an operator: in quotes when it needs them.
pub(crate) fn quoted(value: &str) -> String {
    let is_plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '(' | ')' | '\\' | '=' | '!' | '~' | '<' | '>');
    if !value.is_empty() && value.chars().all(is_plain) {
        return value.to_owned();
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// An attribute as it is written before an operator; `None` when its key cannot be written.
pub(crate) fn attribute(place: &str, key: &str) -> Option<String> {
    let is_word = |c: char| !c.is_whitespace() && !matches!(c, '=' | '!' | '~' | '<' | '>' | '"' | '(' | ')');
    (!key.is_empty() && key.chars().all(is_word)).then(|| format!("{place}.{key}"))
}

/// Whether a field of an item can be written in a filter.
pub(crate) fn is_field(name: &str) -> bool {
    FIELDS.contains(&name)
}

fn field(word: &str, position: usize) -> Result<Field> {
    Ok(match word {
        "service" | "service_name" => Field::Service,
        "name" => Field::Name,
        "kind" => Field::Kind,
        "status" => Field::Status,
        "duration" => Field::Duration,
        "trace_id" | "trace" => Field::TraceId,
        "span_id" => Field::SpanId,
        other => {
            if let Some(key) = other.strip_prefix("span.").filter(|key| !key.is_empty()) {
                Field::Span(key.to_owned())
            } else if let Some(key) = other.strip_prefix("resource.").filter(|key| !key.is_empty()) {
                Field::Resource(key.to_owned())
            } else if other.contains('.') {
                Field::Anywhere(other.to_owned())
            } else {
                let meant = nearest(other, FIELDS.into_iter())
                    .map(|name| format!("; did you mean {name}?"))
                    .unwrap_or_default();
                let detail = format!(
                    "there is no field {other}{meant} Fields are {}; an attribute without a dot is written span.{other}",
                    FIELDS.join(", ")
                );
                return Err(Error::invalid_at(position, detail));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Shows conditions as `Field op value`, joined by commas.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let conditions = parse(text).expect(text);
        let shown: Vec<_> = conditions.iter().map(|c| format!("{:?}{}{}", c.field, c.op.spelled(), c.value)).collect();
        assert_eq!(shown.join(", "), expected, "{text}");
    }

    #[track_caller]
    fn refused(text: &str, at: usize) {
        match parse(text) {
            Err(Error::Invalid { position, detail }) => assert_eq!(position, Some(at), "{text}: {detail}"),
            other => panic!("{text} gave {other:?}"),
        }
    }

    #[test]
    fn every_form_is_read() {
        check("", "");
        check("service=checkout", "Service=checkout");
        check("service=checkout AND name~\"GET /\"", "Service=checkout, Name~GET /");
        check("kind=server status!=ok", "Kind=server, Status!=ok");
        check("duration >= 100ms", "Duration>=100ms");
        check("http.route=/cart", "Anywhere(\"http.route\")=/cart");
        check("resource.k8s.pod.name=x span.order.id>7", "Resource(\"k8s.pod.name\")=x, Span(\"order.id\")>7");
        check("span.customer!~\"a\\\"b\"", "Span(\"customer\")!~a\"b");
        check("checkout \"GET /\"", "Name~checkout, Name~GET /");
        check("4bf92f3577b34da6a3ce929d0e0e4736", "TraceId=4bf92f3577b34da6a3ce929d0e0e4736");
        check("status.message=\"\"", "Anywhere(\"status.message\")=");
        check("/cart/{id}", "Name~/cart/{id}");
        check("url.full=http://x/?a=b", "Anywhere(\"url.full\")=http://x/?a=b");
    }

    #[test]
    fn errors_point_at_the_place() {
        refused("service=", 8);
        refused("service=a name=\"open", 15);
        refused("service=a OR service=b", 10);
        refused("colour=red", 0);
        refused("service=a (name=b)", 10);
        refused("=x", 0);
        refused("AND service=a", 0);
        refused("service=a AND", 10);
        refused("é colour=1", 3);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,80}") {
            if let Err(Error::Invalid { position: Some(position), .. }) = parse(&text) {
                prop_assert!(text.is_char_boundary(position.min(text.len())));
            }
        }

        #[test]
        fn no_near_miss_panics(parts in proptest::collection::vec("service|name|=|!=|~|>=|\"|\\\\| |AND|a\\.b|é|\\(|x", 0..20)) {
            let _ = parse(&parts.concat());
        }
    }
}
