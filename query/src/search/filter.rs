//! The filter language of the search box and the URL: text to a tree and back. Pure; docs/search.md is for people.
//!
//! ```text
//!   filter    = all { "or" all }
//!   all       = one { ["and"] one }
//!   one       = "not" one | "(" filter ")" | condition
//!   condition = field operator value | word | "quoted words"
//!   operator  = "=" "!=" "~" "!~" "=~" "!=~" ">" ">=" "<" "<="
//!   field     = name | place ":" name | place "." key          span resource event link scope point journey
//! ```
//!
//! | file        | knows                                         |
//! |-------------|-----------------------------------------------|
//! | `reader.rs` | text to tree; every error has a position      |
//! | `fields.rs` | THE table of fields and what each takes       |
//!
//! Written text is read again as the same tree (`Display`), so filters can be stored, changed and shown.

mod fields;
mod reader;
#[cfg(test)]
mod tests;

use std::fmt;

pub(crate) use fields::{Field, Member, Place, Takes};
pub(crate) use reader::{field, number, parse, regex};

/// Longest filter, in bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 4 << 10;
/// Most conditions.
pub(crate) const CONDITIONS_MAX: usize = 50;
/// Deepest brackets and negations.
pub(crate) const DEPTH_MAX: usize = 20;
/// Longest regular expression, in bytes.
pub(crate) const REGEX_BYTES_MAX: usize = 1_000;

/// What a span must be. `All` and `Any` have at least two parts, none of their own kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Is(Condition),
}

impl Filter {
    /// All of the parts; `None` without parts.
    pub(crate) fn all(parts: Vec<Self>) -> Option<Self> {
        let inner = |part| if let Self::All(inner) = part { inner } else { vec![part] };
        let mut flat: Vec<Self> = parts.into_iter().flat_map(inner).collect();
        if flat.len() < 2 { flat.pop() } else { Some(Self::All(flat)) }
    }

    /// One of the parts at least; `None` without parts.
    pub(crate) fn any(parts: Vec<Self>) -> Option<Self> {
        let inner = |part| if let Self::Any(inner) = part { inner } else { vec![part] };
        let mut flat: Vec<Self> = parts.into_iter().flat_map(inner).collect();
        if flat.len() < 2 { flat.pop() } else { Some(Self::Any(flat)) }
    }

    /// Parts that must all hold.
    pub(crate) fn conjuncts(&self) -> &[Self] {
        match self {
            Self::All(parts) => parts,
            other => std::slice::from_ref(other),
        }
    }

    /// Every condition in it.
    pub(crate) fn conditions(&self) -> Vec<&Condition> {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::conditions).collect(),
            Self::Not(part) => part.conditions(),
            Self::Is(condition) => vec![condition],
        }
    }
}

/// One condition.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    pub(crate) field: Field,
    pub(crate) op: Op,
    pub(crate) value: Value,
    /// Byte offset of the field in the text.
    pub(crate) field_at: usize,
    /// Byte offset of the value in the text.
    pub(crate) value_at: usize,
}

impl PartialEq for Condition {
    /// Where it stood in a text does not matter.
    fn eq(&self, other: &Self) -> bool {
        (&self.field, self.op, &self.value) == (&other.field, other.op, &other.value)
    }
}

impl Eq for Condition {}

/// What stands behind an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Text, a number, a word: the field says what it must be.
    Text(String),
    /// `*`: any value.
    Anything,
}

impl Value {
    /// The text; empty for `*`, which only asks whether there is a value.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Anything => "",
        }
    }
}

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    Eq,
    NotEq,
    Contains,
    NotContains,
    Matches,
    NotMatches,
    Gt,
    GtEq,
    Lt,
    LtEq,
}

impl Op {
    /// Longest first, so that `>=` is not read as `>`.
    pub(crate) const SPELLED: [(&'static str, Self); 10] = [
        ("!=~", Self::NotMatches),
        ("=~", Self::Matches),
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

    /// Holds where the value is missing.
    pub(crate) const fn is_negative(self) -> bool {
        matches!(self, Self::NotEq | Self::NotContains | Self::NotMatches)
    }

    /// Compares numbers.
    pub(crate) const fn is_order(self) -> bool {
        matches!(self, Self::Gt | Self::GtEq | Self::Lt | Self::LtEq)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(parts) => {
                for (index, part) in parts.iter().enumerate() {
                    let space = if index == 0 { "" } else { " " };
                    match part {
                        Self::Any(_) => write!(f, "{space}({part})")?,
                        part => write!(f, "{space}{part}")?,
                    }
                }
                Ok(())
            }
            Self::Any(parts) => {
                for (index, part) in parts.iter().enumerate() {
                    write!(f, "{}{part}", if index == 0 { "" } else { " or " })?;
                }
                Ok(())
            }
            Self::Not(part) => match &**part {
                Self::All(_) | Self::Any(_) => write!(f, "not ({part})"),
                part => write!(f, "not {part}"),
            },
            Self::Is(condition) => condition.fmt(f),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = match &self.value {
            Value::Anything => "*".to_owned(),
            Value::Text(text) => quoted(text),
        };
        write!(f, "{}{}{value}", self.field, self.op.spelled())
    }
}

/// True for letters of a field, or of a word that stands alone.
pub(crate) const fn is_word(c: char) -> bool {
    !c.is_whitespace() && !matches!(c, '=' | '!' | '~' | '<' | '>' | '"' | '(' | ')')
}

/// A text in quotes.
fn in_quotes(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A value as it is written behind an operator: in quotes when it needs them.
pub(crate) fn quoted(value: &str) -> String {
    if !value.is_empty() && value != "*" && value.chars().all(|c| is_word(c) && c != '\\') {
        value.to_owned()
    } else {
        in_quotes(value)
    }
}

/// An attribute as it is written before an operator.
pub(crate) fn attribute(place: &str, key: &str) -> String {
    if !key.is_empty() && key.chars().all(is_word) {
        format!("{place}.{key}")
    } else {
        format!("{place}.{}", in_quotes(key))
    }
}

/// Whether a field of an item can be written in a filter.
pub(crate) fn is_field(name: &str) -> bool {
    fields::NAMED.iter().any(|(known, ..)| *known == name)
}
