//! The filter text as conditions that can be shown, added and removed.
//!
//! The server alone knows the language (`query/api/src/search.rs`); the page only needs to see where one
//! condition ends and the next begins: at white space outside quotes and brackets. Text it does not understand stays as
//! it was typed and is judged by the server.

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
const OPERATORS: [&str; 9] = ["!~", "!=", ">=", "<=", "=~", "~", "=", ">", "<"];

/// The conditions of a filter, in order.
pub(crate) fn conditions(filter: &str) -> Vec<Condition> {
    pieces(filter).map(condition).collect()
}

fn pieces(filter: &str) -> impl Iterator<Item = &str> {
    let mut rest = filter;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        if rest.is_empty() {
            return None;
        }
        let (mut quoted, mut escaped, mut depth) = (false, false, 0u32);
        let end = rest
            .char_indices()
            .find(|(_, letter)| {
                match letter {
                    _ if escaped => escaped = false,
                    '\\' if quoted => escaped = true,
                    '"' => quoted = !quoted,
                    '(' if !quoted => depth += 1,
                    ')' if !quoted => depth = depth.saturating_sub(1),
                    _ => {}
                }
                letter.is_whitespace() && !quoted && depth == 0
            })
            .map_or(rest.len(), |(index, _)| index);
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}

fn condition(text: &str) -> Condition {
    let found = text.char_indices().take_while(|(_, letter)| *letter != '"').find_map(|(index, _)| {
        OPERATORS.iter().find(|operator| text[index..].starts_with(**operator)).map(|operator| (index, *operator))
    });
    let (key, operator, value) = match found {
        Some((index, operator)) if index > 0 => (&text[..index], operator, &text[index + operator.len()..]),
        _ => (text, "", ""),
    };
    Condition { key: key.to_owned(), operator: operator.to_owned(), value: unquoted(value), text: text.to_owned() }
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
    if pieces(filter).any(|piece| piece == text) {
        return filter.trim().to_owned();
    }
    format!("{} {text}", filter.trim()).trim().to_owned()
}

/// The filter without the conditions for which `drop` is true.
pub(crate) fn without(filter: &str, drop: impl Fn(&Condition) -> bool) -> String {
    let kept: Vec<String> =
        conditions(filter).into_iter().filter(|condition| !drop(condition)).map(|condition| condition.text).collect();
    kept.join(" ")
}

/// Switches `key=value` on or off. Other `=` conditions on the same key make room: a span has one service.
pub(crate) fn toggled(filter: &str, key: &str, value: &str) -> String {
    let is_key = |condition: &Condition| condition.key == key && condition.operator == "=";
    if has(filter, key, value) {
        without(filter, |condition| is_key(condition) && condition.value == value)
    } else {
        with(&without(filter, is_key), &write(key, "=", value))
    }
}

/// True when the filter holds `key=value`.
pub(crate) fn has(filter: &str, key: &str, value: &str) -> bool {
    conditions(filter)
        .iter()
        .any(|condition| condition.key == key && condition.operator == "=" && condition.value == value)
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
        check("\"a=b c\"", &[("\"a=b c\"", "", "")]);
        check("name~\"open", &[("name", "~", "\"open")]);
        check("  ", &[]);
    }

    /// One click puts a service in, another takes it out, a third service replaces it.
    #[test]
    fn toggling_keeps_the_rest() {
        let filter = toggled("status=error", "service", "order svc");
        assert_eq!(filter, "status=error service=\"order svc\"");
        assert_eq!(toggled(&filter, "service", "cart"), "status=error service=cart");
        assert_eq!(toggled(&filter, "service", "order svc"), "status=error");
    }

    #[test]
    fn adding_twice_is_adding_once() {
        assert_eq!(with("a=1", "a=1"), "a=1");
        assert_eq!(with("", "a=1"), "a=1");
    }

    proptest::proptest! {
        /// Whatever is written is read back as one condition with that value.
        #[test]
        fn written_conditions_are_read_again(value in ".{0,30}") {
            let found = conditions(&write("key", "=", &value));
            proptest::prop_assert_eq!(found.len(), 1);
            proptest::prop_assert_eq!(&found[0].value, &value);
        }
    }
}
