//! The HTTP API: routes, answers, problems. Holds no query logic.
//!
//! | file         | knows                                                              |
//! |--------------|--------------------------------------------------------------------|
//! | `routes.rs`  | THE table of routes with method, scope and one line each           |
//! | `native.rs`  | requests of the native API to engine calls and back                |
//! | `alerts.rs`  | rules and alerts: Prometheus' two routes, and our own              |
//! | `openapi.rs` | the table of routes and the types of `api` as an OpenAPI document    |
//! | `kept.rs`    | colours of services, saved queries                                 |
//! | `body.rs`    | bodies of requests                                                 |
//! | `slow.rs`    | questions that took long, noted for `/api/status`                   |
//! | `problem.rs` | every error as a problem document                                  |

mod alerts;
mod body;
mod explore;
mod kept;
mod native;
mod openapi;
mod problem;
mod routes;
mod slow;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use axum::Router;

use crate::engine::Engine;

/// Gives the state of the whole collector, for `/api/status`.
pub type StatusSource = Arc<dyn Fn() -> api::StatusAnswer + Send + Sync>;

/// Gives all metrics of the process as OpenMetrics text, `# EOF` included, for `/metrics`.
pub type MetricsSource = Arc<dyn Fn() -> String + Send + Sync>;

/// Tells whether requests are welcome; why not, otherwise. For `/readyz`.
pub type ReadySource = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What the API tells about the rest of the process.
#[derive(Clone)]
pub struct Sources {
    /// For `/api/status`.
    pub status: StatusSource,
    /// For `/metrics`.
    pub metrics: MetricsSource,
    /// For `/readyz`.
    pub ready: ReadySource,
    /// For `/api/erasures`.
    pub maintainer: storage::Maintainer,
    /// For rules, alerts and silences; `None` when alerts are off.
    pub alerts: Option<crate::Alerting>,
    /// For colours of services and saved queries.
    pub kept: Arc<crate::Kept>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources").finish_non_exhaustive()
    }
}

/// What every handler holds.
#[derive(Clone, Debug)]
struct App {
    engine: Engine,
    sources: Sources,
    slow: Arc<slow::Slow>,
}

pub use routes::scope;

/// Every route of the API. Paths below `/api` that do not exist are answered with a problem; all others are
/// left to a fallback of the caller's.
pub fn router(engine: &Engine, sources: Sources) -> Router {
    routes::router(App { engine: engine.clone(), sources, slow: Arc::default() })
}
