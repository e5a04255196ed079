//! Views of Explore that are kept on the server beside the queries: a statement whose second comment is the address of the view.
//!
//! ```text
//! -- Slow orders
//! -- view /explore?q=journey:wait%3E1s&sort=slowest
//! SELECT ...                                           the same rows as SQL, where SQL can say them
//! ```
//!
//! In the SQL console it is a statement like any other.

use api::SavedQuery;

/// Before the address.
const MARK: &str = "-- view ";
/// Longest title, in letters.
const TITLE_MAX: usize = 60;

/// A view as the server keeps it; `link` is its address, `sql` its rows.
pub(crate) fn text(title: &str, link: &str, sql: Option<&str>) -> String {
    let title: String = title.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(TITLE_MAX).collect();
    let rows = sql.unwrap_or("-- its filter cannot be said in SQL");
    format!("-- {title}\n{MARK}{link}\n{rows}")
}

/// The address of a kept view; `None` for any other statement. It never leads out of Explore.
pub(crate) fn link(query: &SavedQuery) -> Option<&str> {
    let link = query.sql.lines().take(3).find_map(|line| line.strip_prefix(MARK))?.trim();
    let rest = link.strip_prefix("/explore")?;
    (rest.is_empty() || rest.starts_with('?')).then_some(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(sql: &str) -> SavedQuery {
        SavedQuery { sql: sql.to_owned(), ..SavedQuery::default() }
    }

    #[test]
    fn a_view_comes_back() {
        let sql = text(" Slow\n orders ", "/explore?sort=slowest", Some("SELECT 1"));
        assert_eq!(sql, "-- Slow orders\n-- view /explore?sort=slowest\nSELECT 1");
        assert_eq!(link(&kept(&sql)), Some("/explore?sort=slowest"));
        assert!(text("a", "/explore", None).ends_with("cannot be said in SQL"));
    }

    /// Whatever somebody kept: a link of a view stays inside Explore.
    #[test]
    fn other_statements_are_no_views() {
        for sql in [
            "SELECT 1",
            "-- view",
            "-- view //evil.example/explore",
            "-- view /explorer?x",
            "-- view javascript:alert(1)",
            "-- view /sql",
            "",
        ] {
            assert_eq!(link(&kept(sql)), None, "{sql}");
        }
    }
}
