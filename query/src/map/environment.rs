//! Which environment is asked for: one, or all of them together.

use std::collections::BTreeMap;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{ident, lit};
use model::semconv::key;

use crate::digest::rollup::SumKey;
use crate::rows::column_of;

/// One environment, such as production, or all.
///
/// Spans that name none, and sums from before it was kept with them, are in "all" only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Environment(Option<String>);

impl Environment {
    /// All of them together.
    pub const ALL: Self = Self(None);

    /// Only this one.
    #[cfg(test)]
    pub(crate) fn named(name: &str) -> Self {
        Self(Some(name.to_owned()))
    }

    /// Reads `env` of a request; all when it is missing or empty.
    #[must_use]
    pub fn from_params(params: &BTreeMap<String, String>) -> Self {
        Self(params.get("env").filter(|text| !text.is_empty()).cloned())
    }

    /// Leaves its sums of those that `filter` picks.
    pub(crate) fn sums(&self, filter: Expr) -> Expr {
        self.is("environment", filter)
    }

    /// Leaves its spans of those that `filter` picks.
    pub(crate) fn spans(&self, filter: Expr) -> Expr {
        self.is(column_of(key::DEPLOYMENT_ENVIRONMENT), filter)
    }

    fn is(&self, column: &str, filter: Expr) -> Expr {
        match &self.0 {
            Some(name) => filter.and(ident(column).eq(lit(name.as_str()))),
            None => filter,
        }
    }

    /// The same as a condition in SQL, to follow others; `$env` is to be [`Self::value`].
    pub(crate) fn sql(&self) -> String {
        match &self.0 {
            Some(_) => format!(" AND {} = $env", column_of(key::DEPLOYMENT_ENVIRONMENT)),
            None => String::new(),
        }
    }

    /// What stands for `$env`.
    pub(crate) fn value(&self) -> (&'static str, ScalarValue) {
        ("env", ScalarValue::Utf8(self.0.clone()))
    }

    /// Are these sums of it?
    pub(crate) fn takes(&self, key: &SumKey) -> bool {
        self.0.as_ref().is_none_or(|name| *name == key.environment)
    }
}
