//! Names of statements that are kept on the server: what one is called, and which one is replaced.

use api::SavedQuery;

/// Longest title, in letters.
const TITLE_MAX: usize = 60;

/// The name somebody gave: a comment that stands first.
fn named(sql: &str) -> Option<String> {
    let first = sql.lines().map(str::trim).find(|line| !line.is_empty())?;
    let title: String = first.strip_prefix("--")?.trim_start_matches('-').trim().chars().take(TITLE_MAX).collect();
    (!title.is_empty()).then_some(title)
}

/// A statement's first comment, else its beginning.
pub(crate) fn title(sql: &str) -> String {
    let first = || sql.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("empty");
    named(sql).unwrap_or_else(|| first().chars().take(TITLE_MAX).collect())
}

/// A title as a name in addresses.
fn slug(title: &str) -> String {
    let mut name = String::new();
    for letter in title.to_lowercase().chars() {
        if letter.is_ascii_alphanumeric() {
            name.push(letter);
        } else if !name.ends_with('-') && !name.is_empty() {
            name.push('-');
        }
    }
    let name = name.trim_end_matches('-');
    if name.is_empty() { "query".to_owned() } else { name.to_owned() }
}

/// The name under which a statement is kept.
///
/// - It replaces the one that somebody gave the same name (`-- like this`), or the same statement.
/// - Without a name, or with the name it had, it replaces the one that is open.
/// - Else it gets a name that is free: the beginnings of statements are alike, and nobody loses theirs.
pub(crate) fn name(sql: &str, open: Option<&str>, known: &[SavedQuery]) -> String {
    name_of(sql, open, known, |_| true)
}

/// The same, for what replaces only what `is_like` it; other names are taken.
pub(crate) fn name_of(
    sql: &str,
    open: Option<&str>,
    known: &[SavedQuery],
    is_like: impl Fn(&SavedQuery) -> bool,
) -> String {
    let given = named(sql);
    let is_same = |query: &&SavedQuery| match &given {
        Some(given) => named(&query.sql).as_ref() == Some(given),
        None => query.sql == sql,
    };
    let open = open.and_then(|id| known.iter().find(|query| query.id == id));
    // Two may bear the same name: the open one is meant.
    let replaced = match (open, &given) {
        (Some(open), Some(_)) if is_same(&open) => Some(open),
        (Some(open), None) => Some(open),
        _ => known.iter().find(|query| is_same(query) && is_like(query)),
    };
    if let Some(replaced) = replaced {
        return replaced.id.clone();
    }
    let first = slug(&title(sql));
    let is_free = |name: &String| known.iter().all(|query| query.id != *name);
    let others = (2..=known.len() + 2).map(|number| format!("{first}-{number}"));
    std::iter::once(first.clone()).chain(others).find(is_free).unwrap_or(first)
}

/// What is known with one kept, by title.
pub(crate) fn with(mut known: Vec<SavedQuery>, kept: SavedQuery) -> Vec<SavedQuery> {
    known.retain(|query| query.id != kept.id);
    known.push(kept);
    known.sort_by(|a, b| (&a.title, &a.id).cmp(&(&b.title, &b.id)));
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(all: &[(&str, &str)]) -> Vec<SavedQuery> {
        let one =
            |(id, sql): &(&str, &str)| SavedQuery { id: (*id).to_owned(), title: title(sql), sql: (*sql).to_owned() };
        all.iter().map(one).collect()
    }

    #[test]
    fn titles_become_names() {
        assert_eq!(title("\n -- Wait by group \nSELECT 1"), "Wait by group");
        assert_eq!([slug("Wait, by group!"), slug("SELECT 1"), slug("–")], ["wait-by-group", "select-1", "query"]);
        assert_eq!([title("--\nSELECT 1"), title("")], ["--", "empty"]);
    }

    /// Two people whose statements begin alike do not overwrite each other.
    #[test]
    fn statements_that_begin_alike_are_kept_apart() {
        let known = kept(&[("select", "SELECT\n1"), ("select-2", "SELECT\n2")]);
        assert_eq!(name("SELECT\n3", None, &known), "select-3");
        assert_eq!(name("SELECT\n2", None, &known), "select-2", "the same statement is kept already");
        assert_eq!(name("SELECT\n3", Some("select"), &known), "select", "the open one is meant");
        assert_eq!(name("–", None, &kept(&[("query", "ß")])), "query-2");
    }

    /// A name that somebody gave is the statement's own.
    #[test]
    fn a_given_name_replaces_its_own_only() {
        let known = kept(&[
            ("waits", "-- Waits\nSELECT 1"),
            ("waits-2", "-- Waits!\nSELECT 2"),
            ("other", "-- Other\nSELECT 3"),
        ]);
        assert_eq!(name("-- Waits\nSELECT 9", None, &known), "waits");
        assert_eq!(name("-- Waits!\nSELECT 9", None, &known), "waits-2");
        assert_eq!(name("-- Waits?\nSELECT 9", None, &known), "waits-3");
        // Another name makes another query; what was open stays as it is.
        assert_eq!(name("-- Lags\nSELECT 9", Some("other"), &known), "lags");
        assert_eq!(name("-- Other\nSELECT 9", Some("other"), &known), "other");
        // The open one may have been forgotten by somebody else.
        assert_eq!(name("SELECT 9", Some("gone"), &known), "select-9");
    }

    /// A view of Explore never takes the place of a query that bears its name.
    #[test]
    fn one_kind_never_replaces_another() {
        let known = kept(&[("orders", "-- Orders\nSELECT 1"), ("orders-2", "-- Orders\n-- view /explore")]);
        let is_view = |query: &SavedQuery| query.sql.contains("-- view");
        assert_eq!(name_of("-- Orders\n-- view /explore?x", None, &known, is_view), "orders-2");
        assert_eq!(name_of("-- Orders\n-- view /explore?x", None, &known[..1], is_view), "orders-2");
    }

    /// The list holds what was kept at once, so that its address shows it and not what stood there.
    #[test]
    fn what_was_kept_replaces_what_stood_there() {
        let known = kept(&[("b", "-- B\nold"), ("c", "-- C\n1")]);
        let all = with(known, kept(&[("b", "-- B\nnew")]).remove(0));
        assert_eq!(all.iter().map(|query| query.sql.as_str()).collect::<Vec<_>>(), ["-- B\nnew", "-- C\n1"]);
    }
}
