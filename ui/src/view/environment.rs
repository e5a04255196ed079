//! The environment that the reader looks at: `env` of the address, on every page.
//!
//! In Explore it is a condition like any other, seen and taken out like any other; in the address it stands by itself, so that it goes
//! along to other pages. A filter with OR keeps it as a part of its text.

use std::collections::BTreeMap;

use model::semconv::key;
use serde_json::Value as Json;

use super::sql_text::{Piece, pieces};
use super::{behind, condition, url};

/// What the address says.
pub(crate) fn of(search: &str) -> Option<String> {
    let found = url::pairs(search).into_iter().find(|(key, _)| key == "env");
    found.map(|(_, env)| env).filter(|env| !env.is_empty())
}

/// A filter that leaves only this environment.
pub(crate) fn with(filter: &str, env: &str) -> String {
    condition::with(filter, &condition::write(key::DEPLOYMENT_ENVIRONMENT, "=", env))
}

/// The filter without its environment, and that.
pub(crate) fn taken_out(filter: &str) -> (String, Option<String>) {
    let is_env = |one: &condition::Condition| {
        let name = one.key.strip_prefix("resource.").unwrap_or(&one.key);
        name == key::DEPLOYMENT_ENVIRONMENT && one.operator == "="
    };
    let mut found = condition::conditions(filter).into_iter().filter(is_env);
    match (found.next(), found.next()) {
        (Some(one), None) => (condition::without(filter, is_env), Some(one.value)),
        // None, or two that contradict each other: the text says what is meant.
        _ => (filter.to_owned(), None),
    }
}

/// What stands for `$env` in a statement of ours; nothing when it does not name it, because the server refuses that.
pub(crate) fn params(sql: &str, env: Option<String>) -> BTreeMap<String, Json> {
    let env = sql.contains("$env").then(|| env.map_or(Json::Null, Json::String));
    env.map(|env| ("env".to_owned(), env)).into_iter().collect()
}

/// A statement with the environment in place of `$env`, for places where nobody looks at one: rules.
pub(crate) fn written_out(sql: &str, search: &str) -> String {
    let env = of(search).map_or_else(|| "NULL".to_owned(), |env| behind::quoted(&env));
    pieces(sql)
        .into_iter()
        .map(|(piece, text)| if (piece, text) == (Piece::Parameter, "$env") { &env } else { text })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_name_the_environment_itself() {
        let sql = "SELECT '$env' AS text FROM spans WHERE $env IS NULL OR deployment_environment = $env -- $env";
        let kept = |env: &str| {
            format!("SELECT '$env' AS text FROM spans WHERE {env} IS NULL OR deployment_environment = {env} -- $env")
        };
        assert_eq!(written_out(sql, "?env=o%27hare"), kept("'o''hare'"));
        assert_eq!(written_out(sql, ""), kept("NULL"));
    }

    #[test]
    fn an_environment_goes_into_the_filter_and_out_again() {
        let name = key::DEPLOYMENT_ENVIRONMENT;
        assert_eq!(of("?q=a&env=eu%20west"), Some("eu west".to_owned()));
        assert_eq!(of("?env="), None);
        let filter = with("service=order", "eu west");
        assert_eq!(filter, format!("service=order {name}=\"eu west\""));
        assert_eq!(taken_out(&filter), ("service=order".to_owned(), Some("eu west".to_owned())));
        assert_eq!(taken_out(&format!("resource.{name}=a")), (String::new(), Some("a".to_owned())));
        for whole in [format!("a=1 or {name}=b"), format!("{name}=a {name}=b"), format!("{name}!=a"), String::new()] {
            assert_eq!(taken_out(&whole), (whole, None));
        }
    }
}
