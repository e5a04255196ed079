//! Where and when a page looks: a range of time, and one environment or all.

use api::SqlRequest;
use serde_json::Value as Json;

use super::environment;
use super::url::{ExploreState, RangeText};

/// What the address of a page leaves of all data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    /// Range of time.
    pub(crate) range: RangeText,
    /// Environment; all when there is none.
    pub(crate) env: Option<String>,
}

impl Scope {
    /// From a query string.
    pub(crate) fn read(search: &str) -> Self {
        Self { range: RangeText::read(search), env: environment::of(search) }
    }

    /// Parameters of the API.
    pub(crate) fn parameters(&self) -> Vec<(&str, &str)> {
        let mut all = vec![("from", self.range.from.as_str()), ("to", self.range.to.as_str())];
        all.extend(self.env.as_deref().map(|env| ("env", env)));
        all
    }

    /// A view of Explore within it.
    pub(crate) fn explore(&self, filter: &str) -> ExploreState {
        let filter = self.env.as_ref().map_or_else(|| filter.to_owned(), |env| environment::with(filter, env));
        ExploreState { filter, range: self.range.clone(), ..ExploreState::default() }
    }

    /// A request for a statement over it.
    pub(crate) fn statement(&self, sql: String) -> SqlRequest {
        let moment = |text: &str| Some(Json::String(text.to_owned()));
        SqlRequest {
            from: moment(&self.range.from),
            to: moment(&self.range.to),
            ..SqlRequest { params: environment::params(&sql, self.env.clone()), sql, ..SqlRequest::default() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_a_page_asks_for_is_of_its_environment() {
        let one = Scope::read("?from=now-6h&env=eu&q=a");
        assert_eq!(one.parameters(), [("from", "now-6h"), ("to", "now"), ("env", "eu")]);
        assert_eq!(one.explore("service=shop").link(), "/explore?q=service%3Dshop&from=now-6h&env=eu");
        assert_eq!(one.statement("SELECT $env".to_owned()).params["env"], "eu");
        // The server refuses parameters that the statement does not name.
        assert!(one.statement("SELECT 1".to_owned()).params.is_empty());
        let all = Scope::read("");
        assert_eq!(all.parameters(), [("from", "now-1h"), ("to", "now")]);
        assert_eq!(all.explore("").link(), "/explore");
        assert_eq!(all.statement("SELECT $env".to_owned()).params["env"], Json::Null);
    }
}
