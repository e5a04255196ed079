//! SQL as text: pieces for colours, and what may be completed at the cursor. The server alone judges statements.

use api::TableInfo;

/// What a piece of SQL is, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// `SELECT`.
    Keyword,
    /// A word before `(`.
    Function,
    /// `'text'`.
    Text,
    /// `12.5`.
    Number,
    /// `-- said by people`.
    Comment,
    /// `$from`.
    Parameter,
    /// Anything else.
    Plain,
}

impl Piece {
    /// Its class name.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Keyword => "kw",
            Self::Function => "fn",
            Self::Text => "str",
            Self::Number => "num",
            Self::Comment => "com",
            Self::Parameter => "par",
            Self::Plain => "",
        }
    }
}

/// Words of the language.
const KEYWORDS: &[&str] = &[
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "CROSS",
    "DESC",
    "DISTINCT",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FILTER",
    "FIRST",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "ILIKE",
    "IN",
    "INNER",
    "INTERSECT",
    "INTERVAL",
    "IS",
    "JOIN",
    "LAST",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "RIGHT",
    "SELECT",
    "THEN",
    "TRUE",
    "UNION",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WITH",
];

/// What the page knows and statements may ask for.
const PARAMETERS: [(&str, &str); 3] =
    [("$from", "begin of the range"), ("$to", "end of the range"), ("$env", "environment, or NULL")];

/// Cuts a statement into pieces; together they are the statement.
pub(crate) fn pieces(sql: &str) -> Vec<(Piece, &str)> {
    let mut found: Vec<(Piece, &str)> = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let word = |allowed: fn(char) -> bool, from: usize| {
            rest[from..].find(|letter| !allowed(letter)).map_or(rest.len(), |end| from + end)
        };
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        let (piece, end) = match first {
            '\'' => (Piece::Text, closing(rest, '\'')),
            '"' => (Piece::Plain, closing(rest, '"')),
            '-' if rest.starts_with("--") => (Piece::Comment, rest.find('\n').unwrap_or(rest.len())),
            '$' => (Piece::Parameter, word(is_word, 1)),
            digit if digit.is_ascii_digit() => {
                (Piece::Number, word(|letter| letter.is_ascii_alphanumeric() || letter == '.', 1))
            }
            letter if is_word(letter) => {
                let end = word(is_word, letter.len_utf8());
                let is_keyword = KEYWORDS.binary_search(&rest[..end].to_ascii_uppercase().as_str()).is_ok();
                let piece = match is_keyword {
                    true => Piece::Keyword,
                    false if rest[end..].starts_with('(') => Piece::Function,
                    false => Piece::Plain,
                };
                (piece, end)
            }
            other => (Piece::Plain, other.len_utf8()),
        };
        let (text, behind) = rest.split_at(end);
        found.push((piece, text));
        rest = behind;
    }
    found
}

/// The end of a quoted text, its quotes included; the whole text when it is never closed.
fn closing(text: &str, quote: char) -> usize {
    text.char_indices().skip(1).find(|(_, letter)| *letter == quote).map_or(text.len(), |(at, _)| at + 1)
}

/// What can stand at the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A name that begins so; tables only.
    Table(String),
    /// A column, function, keyword or parameter that begins so.
    Name(String),
    /// A value of this column that begins so; the quote was typed when true.
    Value(String, String, bool),
}

/// What may be completed before `cursor`, a byte position; `None` inside comments and at the end of words like `FROM`.
pub(crate) fn wanted(sql: &str, cursor: usize) -> Option<Wanted> {
    let before = sql.get(..cursor)?;
    let all = pieces(before);
    let (last, text) = *all.last()?;
    let significant: Vec<&str> = all.iter().map(|(_, text)| *text).filter(|text| !text.trim().is_empty()).collect();
    let value_of = |back: usize| {
        let operator = *significant.len().checked_sub(back).and_then(|at| significant.get(at))?;
        let column = *significant.len().checked_sub(back + 1).and_then(|at| significant.get(at))?;
        let is_column = column.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
        (matches!(operator, "=" | "<>") && is_column).then(|| column.to_owned())
    };
    match last {
        Piece::Comment | Piece::Number => None,
        Piece::Parameter => Some(Wanted::Name(text.to_owned())),
        Piece::Text if text.len() > 1 && text.ends_with('\'') => None,
        Piece::Text => value_of(2).map(|column| Wanted::Value(column, text.trim_start_matches('\'').to_owned(), true)),
        _ if text == "=" || text.trim().is_empty() && significant.last() == Some(&"=") => {
            value_of(1).map(|column| Wanted::Value(column, String::new(), false))
        }
        _ => {
            let is_name = text.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
            let typed = if is_name { text.to_owned() } else { String::new() };
            let at = significant.len().checked_sub(if is_name { 2 } else { 1 });
            let before =
                at.and_then(|at| significant.get(at)).map(|word| word.to_ascii_uppercase()).unwrap_or_default();
            match (before.as_str(), typed.is_empty()) {
                ("FROM" | "JOIN", _) => Some(Wanted::Table(typed)),
                (_, true) => None,
                _ => Some(Wanted::Name(typed)),
            }
        }
    }
}

/// Tables that the statement names.
pub(crate) fn named_tables<'a>(sql: &str, tables: &'a [TableInfo]) -> Vec<&'a TableInfo> {
    let words: Vec<&str> =
        pieces(sql).into_iter().filter(|(piece, _)| *piece == Piece::Plain).map(|(_, text)| text).collect();
    tables.iter().filter(|table| words.iter().any(|word| word.eq_ignore_ascii_case(&table.name))).collect()
}

/// An offer: text to put in, and what it is.
pub(crate) type Offer = (String, String);

/// Names that begin with what was typed, at most twelve: tables, or columns of the named tables, functions, keywords.
pub(crate) fn offers(wanted: &Wanted, sql: &str, tables: &[TableInfo], functions: &[String]) -> Vec<Offer> {
    let begins = |name: &str, typed: &str| {
        name.len() > typed.len() && name.get(..typed.len()).is_some_and(|head| head.eq_ignore_ascii_case(typed))
    };
    let mut found: Vec<Offer> = Vec::new();
    match wanted {
        Wanted::Table(typed) => {
            found.extend(
                tables
                    .iter()
                    .filter(|table| begins(&table.name, typed))
                    .map(|table| (table.name.clone(), table.kind.clone())),
            );
        }
        Wanted::Name(typed) => {
            let named = named_tables(sql, tables);
            let from: Vec<&TableInfo> = if named.is_empty() { tables.iter().collect() } else { named };
            for column in from.iter().flat_map(|table| &table.columns) {
                if begins(&column.name, typed) && !found.iter().any(|(name, _)| *name == column.name) {
                    found.push((column.name.clone(), column.data_type.clone()));
                }
            }
            found.extend(
                functions
                    .iter()
                    .filter(|name| begins(name, typed))
                    .map(|name| (format!("{name}("), "function".to_owned())),
            );
            found.extend(
                tables
                    .iter()
                    .filter(|table| begins(&table.name, typed))
                    .map(|table| (table.name.clone(), table.kind.clone())),
            );
            found.extend(
                PARAMETERS
                    .iter()
                    .filter(|(name, _)| begins(name, typed))
                    .map(|(name, what)| ((*name).to_owned(), (*what).to_owned())),
            );
            if typed.len() > 1 {
                found.extend(
                    KEYWORDS
                        .iter()
                        .filter(|word| begins(word, typed))
                        .map(|word| ((*word).to_owned(), "keyword".to_owned())),
                );
            }
        }
        Wanted::Value(..) => {}
    }
    found.truncate(12);
    found
}

/// The statement that counts the values of a column, most frequent first; `None` when no named table has it.
pub(crate) fn values_statement(column: &str, typed: &str, sql: &str, tables: &[TableInfo]) -> Option<String> {
    let named = named_tables(sql, tables);
    let table = named
        .iter()
        .find(|table| table.columns.iter().any(|known| known.name == column && known.data_type == "text"))?;
    let time = ["start_time", "time"].into_iter().find(|time| table.columns.iter().any(|known| known.name == *time));
    let range = time.map(|time| format!("{time} >= $from AND {time} < $to AND ")).unwrap_or_default();
    let begins = typed.replace('\'', "''").replace(['%', '_'], "");
    let name = &table.name;
    Some(format!(
        "SELECT {column}, count(*) AS n, sum(count(*)) OVER () AS total FROM {name} WHERE {range}{column} ILIKE '{begins}%' GROUP BY {column} ORDER BY n DESC LIMIT 8"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> Vec<TableInfo> {
        let column = |name: &str| api::ColumnInfo {
            name: name.to_owned(),
            data_type: "text".to_owned(),
            ..api::ColumnInfo::default()
        };
        vec![TableInfo {
            name: "hops".to_owned(),
            kind: "table".to_owned(),
            columns: vec![column("time"), column("grp"), column("queue")],
            ..TableInfo::default()
        }]
    }

    #[test]
    fn keywords_are_sorted_for_the_search() {
        assert!(KEYWORDS.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn a_statement_is_cut_without_loss() {
        let sql = "-- why\nSELECT count(*) FROM spans WHERE name = 'it''s é' AND x > 1.5 AND t < $to";
        let cut = pieces(sql);
        assert_eq!(cut.iter().map(|(_, text)| *text).collect::<String>(), sql);
        let of =
            |wanted: Piece| cut.iter().filter(|(piece, _)| *piece == wanted).map(|(_, text)| *text).collect::<Vec<_>>();
        assert_eq!(of(Piece::Keyword), ["SELECT", "FROM", "WHERE", "AND", "AND"]);
        assert_eq!(of(Piece::Function), ["count"]);
        assert_eq!(of(Piece::Parameter), ["$to"]);
        assert_eq!(of(Piece::Comment), ["-- why"]);
    }

    #[test]
    fn the_cursor_says_what_is_wanted() {
        let at_end = |sql: &str| wanted(sql, sql.len());
        assert_eq!(at_end("SELECT * FROM ho"), Some(Wanted::Table("ho".to_owned())));
        assert_eq!(at_end("SELECT * FROM "), Some(Wanted::Table(String::new())));
        assert_eq!(at_end("SELECT gr"), Some(Wanted::Name("gr".to_owned())));
        assert_eq!(
            at_end("SELECT * FROM hops WHERE grp = 'inv"),
            Some(Wanted::Value("grp".to_owned(), "inv".to_owned(), true))
        );
        assert_eq!(
            at_end("SELECT * FROM hops WHERE grp = "),
            Some(Wanted::Value("grp".to_owned(), String::new(), false))
        );
        assert_eq!(at_end("SELECT * FROM hops WHERE $e"), Some(Wanted::Name("$e".to_owned())));
        assert_eq!(at_end("SELECT 'done'"), None);
        assert_eq!(at_end("-- FROM "), None);
        assert_eq!(at_end(""), None);
    }

    #[test]
    fn offers_come_from_what_the_statement_names() {
        let tables = tables();
        let wanted = Wanted::Name("gr".to_owned());
        assert_eq!(offers(&wanted, "SELECT gr FROM hops", &tables, &[])[0].0, "grp");
        assert_eq!(offers(&Wanted::Name("$e".to_owned()), "", &tables, &[])[0].0, "$env");
        assert_eq!(offers(&Wanted::Name("$".to_owned()), "", &tables, &[]).len(), PARAMETERS.len());
        let statement =
            values_statement("grp", "o'b%", "SELECT 1 FROM hops WHERE grp = 'o''b%'", &tables).expect("a table has it");
        assert!(statement.contains("grp ILIKE 'o''b%'"), "{statement}");
        assert_eq!(values_statement("nothing", "", "SELECT 1 FROM hops", &tables), None);
    }

    proptest::proptest! {
        /// Any text is cut without loss and never panics, whatever the cursor.
        #[test]
        fn any_text_is_cut(sql in "[a-zA-Z0-9 '\"$=\\-\\n(),é.]{0,60}", cursor in 0usize..70) {
            proptest::prop_assert_eq!(pieces(&sql).iter().map(|(_, text)| *text).collect::<String>(), sql.clone());
            let _ = wanted(&sql, cursor);
        }
    }
}
