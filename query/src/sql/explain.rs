//! What is wrong with a statement, in words that help its author: names that were meant, the place of a word, types by
//! their names in SQL.

use crate::engine::read_only;
use crate::error::{Error, nearest};
use crate::functions;
use crate::tables::relation_names;

/// Adds what helps to an error about a statement; others are left as they are.
pub(crate) fn explain(sql: &str, error: Error) -> Error {
    let error = read_only::located(sql, error);
    let Error::Invalid { detail, position } = error else { return error };
    let known = [table, function, arguments, column].into_iter().find_map(|of| of(&detail));
    let (word, detail) = known.unwrap_or_else(|| (String::new(), in_words(&detail)));
    let position = position.or_else(|| place_of(sql, Some(word).filter(|word| !word.is_empty())?.as_str()));
    Error::Invalid { detail, position }
}

/// A word of the statement, and what is said about it.
type Explained = Option<(String, String)>;

fn table(detail: &str) -> Explained {
    let table = detail.strip_prefix("table '")?.strip_suffix("' not found")?;
    let table = table.rsplit('.').next().unwrap_or(table);
    let names = relation_names();
    let meant = nearest(table, names.iter().copied()).map(|name| format!("did you mean {name}? ")).unwrap_or_default();
    Some((table.to_owned(), format!("there is no table {table}; {meant}tables are: {}", names.join(", "))))
}

/// `Invalid function 'x'.\nDid you mean 'y'?`
fn function(detail: &str) -> Explained {
    let (name, meant) = detail.strip_prefix("Invalid function '")?.split_once("'.")?;
    let meant = meant.trim().trim_start_matches("Did you mean '").trim_end_matches("'?");
    let ours = functions::describe().into_iter().map(|function| function.name).collect::<Vec<_>>();
    let meant = nearest(name, ours.iter().map(String::as_str)).unwrap_or(meant);
    Some((name.to_owned(), format!("there is no function {name}; did you mean {meant}? GET /api/tables lists ours")))
}

/// `... No function matches the given name and argument types 'avg(Utf8)'. ...\n\tCandidate functions:\n\tavg(Float64)`, after what
/// reads like a bug of somebody else.
fn arguments(detail: &str) -> Explained {
    let (_, rest) = detail.split_once("No function matches the given name and argument types '")?;
    let (given, rest) = rest.split_once("'.")?;
    let (name, _) = given.split_once('(')?;
    let listed = rest.split_once("Candidate functions:").map(|(_, listed)| listed.lines()).into_iter().flatten();
    let mut known: Vec<String> = listed.map(|one| in_words(one.trim())).filter(|one| !one.is_empty()).collect();
    known.dedup();
    let is = if known.is_empty() { String::new() } else { format!("; there is {}", known.join(", ")) };
    let detail = format!("there is no {}{is}; CAST(value AS type) changes a type", in_words(given));
    Some((name.to_owned(), detail))
}

fn column(detail: &str) -> Explained {
    let column = detail.strip_prefix("there is no column ")?.split(';').next()?;
    Some((column.to_owned(), detail.to_owned()))
}

/// Types as SQL calls them, longer names first.
const TYPES: [(&str, &str); 22] = [
    ("Dictionary(Int32, Utf8)", "text"),
    ("Timestamp(ns, \"UTC\")", "timestamp"),
    ("Timestamp(ns)", "timestamp"),
    ("LargeUtf8", "text"),
    ("Utf8View", "text"),
    ("Utf8", "text"),
    ("String", "text"),
    ("UInt64", "bigint unsigned"),
    ("UInt32", "int unsigned"),
    ("Int64", "bigint"),
    ("Int32", "int"),
    ("Integer", "bigint"),
    ("Float64", "double"),
    ("Float32", "real"),
    ("Float", "double"),
    ("Boolean", "boolean"),
    ("Binary", "binary"),
    ("Decimal", "decimal"),
    ("Duration", "duration"),
    ("Interval", "interval"),
    ("Timestamp", "timestamp"),
    ("Numeric", "number"),
];

/// A message with types by their names in SQL, and without the parser's own form of the statement.
fn in_words(detail: &str) -> String {
    let parsed = detail.find(" { ").filter(|_| detail.contains("Span(Location("));
    let detail = parsed.and_then(|at| Some(detail[..at].rsplit_once(' ')?.0)).unwrap_or(detail);
    TYPES.iter().fold(detail.to_owned(), |text, (ours, name)| replaced(&text, ours, name))
}

/// Whole words only.
fn replaced(text: &str, word: &str, by: &str) -> String {
    let (mut made, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(word) {
        let (before, after) = (&rest[..at], &rest[at + word.len()..]);
        let is_whole = !is_part(before.chars().next_back()) && !is_part(after.chars().next());
        made.push_str(before);
        made.push_str(if is_whole { by } else { word });
        rest = after;
    }
    made.push_str(rest);
    made
}

fn is_part(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// Byte offset of a word in the text, any case; `None` when it does not stand there literally.
fn place_of(sql: &str, word: &str) -> Option<usize> {
    let (sql, word) = (sql.to_ascii_lowercase(), word.to_ascii_lowercase());
    sql.match_indices(&word)
        .map(|(at, _)| at)
        .find(|at| !is_part(sql[..*at].chars().next_back()) && !is_part(sql[at + word.len()..].chars().next()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_their_names_in_sql() {
        let told = |detail: &str| match explain("SELECT ABS(name), avg(name)", Error::invalid(detail)) {
            Error::Invalid { detail, position } => (detail, position),
            other => panic!("{other}"),
        };
        let bug = "Internal error: Function 'avg' failed to match any signature, errors: Error during planning: Function 'avg' \
                   requires Decimal, but received String (DataType: Utf8)..\nThis issue was likely caused by a bug in DataFusion's code. \
                   No function matches the given name and argument types 'avg(Dictionary(Int32, Utf8))'. You might need to add explicit \
                   type casts.\n\tCandidate functions:\n\tavg(Decimal)\n\tavg(Duration)\n\tavg(Float64)";
        let text = "there is no avg(text); there is avg(decimal), avg(duration), avg(double); CAST(value AS type) changes a type";
        assert_eq!(told(bug), (text.to_owned(), Some(18)));
        let none = "No function matches the given name and argument types 'abs(Utf8)'.";
        assert_eq!(told(none), ("there is no abs(text); CAST(value AS type) changes a type".to_owned(), Some(7)));
        let other = "Cannot coerce arithmetic expression Dictionary(Int32, Utf8) + Int64 to valid types";
        assert_eq!(told(other), ("Cannot coerce arithmetic expression text + bigint to valid types".to_owned(), None));
        let parsed = "Substring without for/from is not valid Substring { expr: Identifier(Span(Location(1,15))) }";
        assert_eq!(told(parsed).0, "Substring without for/from is not valid");
        assert_eq!(told("no Utf8x, no xUtf8, no Int64_").0, "no Utf8x, no xUtf8, no Int64_");
    }
}
