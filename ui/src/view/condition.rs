//! The filter text as conditions that can be shown, added and removed.
//!
//! The server alone judges the filter (its language: `query/src/search/filter.rs`); the page only needs to
//! see where one condition ends and the next begins. Text it does not understand stays as it was typed.

/// A piece of the filter: `key`, `operator`, `value` as written; a bare word has no operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    /// Left of the operator, or the whole text when there is none.
    pub(crate) key: String,
    /// `=`, `!=`, `>=` ...; empty for a bare word.
    pub(crate) operator: String,
    /// Right of the operator, without its quotes.
    pub(crate) value: String,
    /// The piece as it stands in the filter.
    pub(crate) text: String,
}

/// Longest first, so that `>=` is not read as `>`.
const OPERATORS: [&str; 10] = ["!=~", "=~", "!=", "!~", ">=", "<=", "=", "~", ">", "<"];

/// The conditions of a filter, in order; the word AND between them is none. A filter with OR, NOT or brackets is
/// one piece: its parts mean nothing alone.
pub(crate) fn conditions(filter: &str) -> Vec<Condition> {
    let found = pieces(filter);
    if found.len() > 1 && found.iter().any(is_joint) {
        let text = filter.trim().to_owned();
        return vec![Condition { key: text.clone(), operator: String::new(), value: String::new(), text }];
    }
    found
}

/// True for a word that joins conditions, and for a bracket.
fn is_joint(piece: &Condition) -> bool {
    let word = piece.text.as_str();
    let is_word = piece.operator.is_empty() && !word.starts_with('"');
    (is_word && matches!(word.to_ascii_lowercase().as_str(), "or" | "not" | "||" | "!"))
        || piece.key.starts_with('(')
        || (is_word && word.contains(['(', ')']))
        || (!piece.operator.is_empty() && piece.text.ends_with(')') && !piece.text.ends_with("\")"))
}

fn pieces(filter: &str) -> Vec<Condition> {
    let mut found = Vec::new();
    let mut rest = filter.trim_start();
    while !rest.is_empty() {
        let (condition, length) = first(rest);
        rest = rest[length..].trim_start();
        if !(condition.operator.is_empty() && matches!(condition.text.as_str(), "AND" | "and" | "&&")) {
            found.push(condition);
        }
    }
    found
}

/// The condition at the start of a text without leading space, and its length: a quoted text, or a word with,
/// maybe behind spaces, an operator and a value.
fn first(text: &str) -> (Condition, usize) {
    let is_word = |letter: char| !letter.is_whitespace() && !"=!~<>\"".contains(letter);
    let key = match quoted_length(text) {
        Some(length) => &text[..length],
        None => &text[..text.find(|letter| !is_word(letter)).unwrap_or(text.len())],
    };
    let behind = text[key.len()..].trim_start();
    let operator = OPERATORS.iter().copied().find(|operator| behind.starts_with(operator));
    let Some(operator) = operator.filter(|_| !key.is_empty() && !key.starts_with('"')) else {
        // A bare word; what is no word either is taken up to the next space.
        let length = if key.is_empty() { text.find(char::is_whitespace).unwrap_or(text.len()) } else { key.len() };
        let word = text[..length].to_owned();
        return (Condition { key: word.clone(), operator: String::new(), value: String::new(), text: word }, length);
    };
    let value = behind[operator.len()..].trim_start();
    let length = quoted_length(value).unwrap_or_else(|| value.find(char::is_whitespace).unwrap_or(value.len()));
    let end = text.len() - value.len() + length;
    let condition = Condition {
        key: key.to_owned(),
        operator: operator.to_owned(),
        value: unquoted(&value[..length]),
        text: text[..end].trim_end().to_owned(),
    };
    (condition, end)
}

/// Length of the quoted text at the start, with its quotes; all of it when the quote is never closed.
fn quoted_length(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('"')?;
    let mut escaped = false;
    for (index, letter) in inner.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(index + 2),
            _ => {}
        }
    }
    Some(text.len())
}

/// The field that means this attribute: one without a dot, or that looks like a prefix, is said to be the span's.
pub(crate) fn attribute_field(key: &str) -> String {
    let is_plain = key.contains('.') && !key.starts_with("span.") && !key.starts_with("resource.");
    if is_plain { key.to_owned() } else { format!("span.{key}") }
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut plain = String::with_capacity(inner.len());
    let mut escaped = false;
    for letter in inner.chars() {
        if letter == '\\' && !escaped {
            escaped = true;
        } else {
            plain.push(letter);
            escaped = false;
        }
    }
    plain
}

/// Writes one condition; the value is quoted when it would not be read as one piece.
pub(crate) fn write(key: &str, operator: &str, value: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-/:@".contains(letter);
    if !value.is_empty() && value.chars().all(is_plain) {
        format!("{key}{operator}{value}")
    } else {
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
        format!("{key}{operator}\"{escaped}\"")
    }
}

/// The filter with one more condition; unchanged when it is there already.
pub(crate) fn with(filter: &str, text: &str) -> String {
    if conditions(filter).iter().any(|condition| condition.text == text) {
        return filter.trim().to_owned();
    }
    let filter = filter.trim();
    let is_whole = conditions(filter).len() == 1 && pieces(filter).len() > 1;
    if is_whole { format!("({filter}) {text}") } else { format!("{filter} {text}").trim().to_owned() }
}

/// The filter without the conditions for which `drop` is true.
pub(crate) fn without(filter: &str, drop: impl Fn(&Condition) -> bool) -> String {
    let kept: Vec<String> =
        conditions(filter).into_iter().filter(|condition| !drop(condition)).map(|condition| condition.text).collect();
    kept.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(filter: &str, expected: &[(&str, &str, &str)]) {
        let found = conditions(filter);
        let found: Vec<_> = found.iter().map(|c| (c.key.as_str(), c.operator.as_str(), c.value.as_str())).collect();
        assert_eq!(found, expected, "{filter}");
    }

    #[test]
    fn conditions_end_at_spaces_outside_quotes() {
        check(
            "service=checkout  duration>=100ms name~\"GET /a b\" timeout",
            &[
                ("service", "=", "checkout"),
                ("duration", ">=", "100ms"),
                ("name", "~", "GET /a b"),
                ("timeout", "", ""),
            ],
        );
        check("a!=\"x \\\" y\"", &[("a", "!=", "x \" y")]);
        check("\"a=b c\" d", &[("\"a=b c\"", "", ""), ("d", "", "")]);
        check("name~\"open", &[("name", "~", "\"open")]);
        check("  ", &[]);
    }

    /// Spaces around an operator and AND between conditions are the server's language too.
    #[test]
    fn loose_spelling_is_understood() {
        check("duration >= 100ms AND kind= server", &[("duration", ">=", "100ms"), ("kind", "=", "server")]);
        check("service=", &[("service", "=", "")]);
        check("=x y", &[("=x", "", ""), ("y", "", "")]);
        assert_eq!(without("a.b=1 AND c.d=2", |condition| condition.key == "a.b"), "c.d=2");
    }

    #[test]
    fn attributes_without_a_dot_are_the_spans() {
        assert_eq!(attribute_field("http.route"), "http.route");
        assert_eq!(attribute_field("tenant"), "span.tenant");
        assert_eq!(attribute_field("span.kind"), "span.span.kind");
    }

    /// What OR, NOT and brackets hold together is not taken apart.
    #[test]
    fn joined_conditions_are_one_piece() {
        for filter in ["a=1 or b=2", "not a=1", "(a=1 b=2) c=3", "a=1 AND (b=2 OR c=3)"] {
            assert_eq!(conditions(filter).len(), 1, "{filter}");
            assert_eq!(with(filter, "d=4"), format!("({filter}) d=4"));
        }
        check("name=~\"^(GET|PUT)\" a!=~x", &[("name", "=~", "^(GET|PUT)"), ("a", "!=~", "x")]);
    }

    #[test]
    fn adding_twice_is_adding_once() {
        assert_eq!(with("a=1", "a=1"), "a=1");
        assert_eq!(with("", "a=1"), "a=1");
    }

    proptest::proptest! {
        /// Any text is cut without loss of anything but spaces and ANDs, and never panics.
        #[test]
        fn any_text_is_cut(text in "[a-z=~<>!\" \\\\é.]{0,40}") {
            let shown: String = conditions(&text).iter().map(|condition| condition.text.clone()).collect();
            let plain = |text: &str| text.chars().filter(|letter| !letter.is_whitespace()).collect::<String>();
            if !text.contains("and") {
                proptest::prop_assert_eq!(plain(&shown), plain(&text));
            }
        }

        /// Whatever is written is read back as one condition with that value.
        #[test]
        fn written_conditions_are_read_again(value in ".{0,30}") {
            let found = conditions(&write("key", "=", &value));
            proptest::prop_assert_eq!(found.len(), 1);
            proptest::prop_assert_eq!(&found[0].value, &value);
        }
    }
}
