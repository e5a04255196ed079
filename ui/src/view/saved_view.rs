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
/// Before an address that was too long to be handed on.
const LONG_MARK: &str = "-- link ";
/// Pages it may lead to.
const PAGES: [&str; 11] = ["", "explore", "j", "t", "compare", "map", "services", "metrics", "sql", "alerts", "system"];
/// Letters from which on an address is kept here: mail and chat cut longer ones.
pub(crate) const LINK_MAX: usize = 1_800;
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

/// A long address as the server keeps it, and the short name it has there: the same address has the same name.
pub(crate) fn long(link: &str) -> (String, String) {
    // FNV-1a, 64 bits: only what was handed on by hand stands beside it.
    let hash = link
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let name = format!("link-{hash:016x}");
    (format!("-- {name}\n{LONG_MARK}{link}\n-- an address, kept by Share view"), name)
}

/// The address that a short name stands for; `None` for any other statement. It never leads to another server.
pub(crate) fn handed_on(query: &SavedQuery) -> Option<&str> {
    let link = query.sql.lines().take(3).find_map(|line| line.strip_prefix(LONG_MARK))?.trim();
    let first = link.strip_prefix('/')?.split(['/', '?']).next()?;
    (PAGES.contains(&first) && !link.starts_with("//")).then_some(link)
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

    /// A long address comes back by its short name; whatever somebody kept, it stays on this server.
    #[test]
    fn long_addresses_have_short_names() {
        let address = format!("/sql?sql={}", "x".repeat(3_000));
        let (sql, name) = long(&address);
        assert_eq!((handed_on(&kept(&sql)), name.len()), (Some(address.as_str()), 21));
        assert_eq!((long(&address).1, link(&kept(&sql))), (name, None));
        for sql in [
            "-- link //evil.example/",
            "-- link https://evil.example",
            "-- link /v/again",
            "-- link /\\evil",
            "SELECT 1",
        ] {
            assert_eq!(handed_on(&kept(sql)), None, "{sql}");
        }
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
