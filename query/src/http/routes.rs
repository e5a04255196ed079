//! THE table of routes with method, scope and one line each.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, delete, get, post, put};
use http::{HeaderValue, Method, StatusCode, Uri, header};
use tower::ServiceBuilder;
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use model::Scope;

use super::problem::Refusal;
use super::{App, alerts, explore, kept, native, openapi, slow};

/// One route.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    /// What the door asks of a caller when there are keys.
    pub(super) scope: Scope,
    pub(super) help: &'static str,
    /// `None` for what the door answers itself: it knows who is asking.
    handler: Option<MethodRouter<App>>,
}

/// Below this Arrow Flight SQL is answered; each of its calls reads telemetry.
const FLIGHT: &str = "/arrow.flight.protocol.FlightService/";

/// Largest request body, in bytes: a statement of 64 KiB, its escapes and parameters.
const BODY_BYTES_MAX: usize = 512 << 10;

/// Every route.
pub(super) fn routes() -> Vec<Route> {
    let read = |method, path, help, handler| Route { method, path, scope: Scope::Read, help, handler: Some(handler) };
    let admin = |method, path, help, handler| Route { method, path, scope: Scope::Admin, help, handler: Some(handler) };
    let open = |path, help, handler| {
        let handler = Some(handler);
        Route { method: Method::GET, path, scope: Scope::Open, help, handler }
    };
    let door = |method, path, help| Route { method, path, scope: Scope::Open, help, handler: None };
    vec![
        read(Method::POST, "/api/sql", "one read-only SQL statement", post(native::sql)),
        read(Method::GET, "/api/tables", "tables, views and functions of SQL", get(native::tables)),
        read(Method::GET, "/api/openapi.json", "this API as an OpenAPI document", get(openapi::openapi)),
        read(Method::GET, "/api/search", "journeys, traces or spans by a filter text", get(native::search)),
        read(Method::GET, "/api/search/histogram", "hits over time and duration", get(explore::histogram)),
        read(Method::GET, "/api/search/facets", "attributes of the hits, with counts", get(explore::facets)),
        read(Method::POST, "/api/search/differs", "what differs in a selection", post(explore::differs)),
        read(Method::GET, "/api/live", "server-sent events: hits as they come in", get(explore::live)),
        read(Method::GET, "/api/services", "services in a time range", get(native::services)),
        read(Method::GET, "/api/services/{name}", "one service in a time range", get(native::service)),
        read(Method::GET, "/api/metrics", "metrics with a point in a time range", get(explore::metrics)),
        read(Method::GET, "/api/metrics/{name}", "one metric over time, with exemplars", get(explore::metric)),
        read(Method::GET, "/api/red", "rate, errors and durations over time", get(explore::red)),
        read(Method::GET, "/api/map", "who talks to whom in a time range", get(native::map)),
        read(Method::GET, "/api/findings", "what only many journeys together show", get(native::findings)),
        read(Method::GET, "/api/compare", "two journeys, or one against the usual", get(native::compare)),
        read(Method::GET, "/api/compare/styles", "REST, gRPC and messaging side by side", get(native::styles)),
        read(Method::GET, "/api/traces/{trace_id}", "a trace as OTLP, JSON or protobuf", get(native::trace)),
        read(Method::GET, "/api/traces/{trace_id}/timeline", "what a waterfall needs", get(native::timeline)),
        read(Method::GET, "/api/traces/{trace_id}/spans/{span_id}", "everything about one span", get(native::span)),
        read(Method::GET, "/api/traces/{trace_id}/find", "spans of a trace that hold a text", get(native::find)),
        read(Method::GET, "/api/journeys/{trace_id}", "the journey that holds a trace", get(native::journey)),
        read(Method::GET, "/api/erasures", "what is erased and not rewritten yet", get(native::erasures)),
        admin(Method::POST, "/api/erasures", "erase a trace, or rows with an attribute", post(native::erase)),
        read(Method::GET, "/api/v1/rules", "alert rules as Prometheus answers them", get(alerts::prometheus_rules)),
        read(Method::GET, "/api/v1/alerts", "alerts as Prometheus answers them", get(alerts::prometheus_alerts)),
        read(Method::GET, "/api/alert-rules", "every rule in force, with how it fares", get(alerts::list_rules)),
        read(Method::GET, "/api/alert-rules/proposed", "rules proposed from data seen", get(alerts::proposed)),
        admin(Method::POST, "/api/alert-rules/proposed/{id}", "keep a proposed rule as it is", post(alerts::accept)),
        read(Method::POST, "/api/alert-rules/preview", "what a rule would have done", post(alerts::preview)),
        read(Method::GET, "/api/alert-rules/{name}", "a rule kept by the API", get(alerts::get_rule)),
        admin(Method::PUT, "/api/alert-rules/{name}", "check a rule and keep it", put(alerts::put_rule)),
        admin(Method::DELETE, "/api/alert-rules/{name}", "delete a kept rule", delete(alerts::delete_rule)),
        read(Method::GET, "/api/alerts", "what is pending or firing, and who is told", get(alerts::list_alerts)),
        read(Method::GET, "/api/alerts/history", "past transitions of alerts", get(alerts::history)),
        read(Method::GET, "/api/silences", "silences", get(alerts::list_silences)),
        admin(Method::POST, "/api/silences", "hold back alerts by their labels", post(alerts::silence)),
        admin(Method::DELETE, "/api/silences/{id}", "end a silence", delete(alerts::end_silence)),
        read(Method::GET, "/api/colors", "colours of services", get(kept::colors)),
        read(Method::POST, "/api/colors", "give services their colours", post(kept::see_colors)),
        admin(Method::PUT, "/api/colors", "choose colours of services by hand", put(kept::pin_colors)),
        read(Method::GET, "/api/queries", "saved queries", get(kept::queries)),
        admin(Method::PUT, "/api/queries/{name}", "keep a query", put(kept::keep_query)),
        admin(Method::DELETE, "/api/queries/{name}", "delete a saved query", delete(kept::delete_query)),
        read(Method::GET, "/api/status", "state of the collector", get(native::status)),
        door(Method::GET, "/api/session", "whom the browser speaks for"),
        door(Method::POST, "/api/session", "sign in: a cookie for a key"),
        door(Method::DELETE, "/api/session", "sign out"),
        open("/healthz", "the process lives", get(native::healthz)),
        open("/readyz", "requests are welcome", get(native::readyz)),
        open("/metrics", "own metrics as OpenMetrics text", get(native::metrics)),
    ]
}

pub(super) fn router(app: App) -> Router {
    let flight = crate::flight::service(&app.engine);
    let mut router = Router::new();
    for route in routes() {
        if let Some(handler) = route.handler {
            router = router.route(route.path, handler);
        }
    }
    let no_store = SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let nosniff =
        SetResponseHeaderLayer::overriding(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let layers = ServiceBuilder::new()
        .layer(no_store)
        .layer(nosniff)
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(axum::middleware::from_fn_with_state(app.clone(), slow::note));
    router
        .route_service(&format!("{FLIGHT}{{*method}}"), flight)
        .route("/api", any(unknown))
        .route("/api/{*rest}", any(unknown))
        .method_not_allowed_fallback(wrong_method)
        .layer(layers)
        .with_state(app)
}

async fn unknown(uri: Uri) -> Refusal {
    let detail = format!("there is no {}; GET /api/openapi.json says what there is", uri.path());
    Refusal::new(StatusCode::NOT_FOUND, "not-found", "No such route", detail)
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    let mut allowed: Vec<Route> = routes().into_iter().filter(|route| fits(route.path, uri.path())).collect();
    // A path that stands in the table as it is goes before one with a name in its place.
    if allowed.iter().any(|route| route.path == uri.path()) {
        allowed.retain(|route| route.path == uri.path());
    }
    let mut names: Vec<&str> = allowed.iter().map(|route| route.method.as_str()).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    let names = names.join(", ");
    let detail = format!("{} takes {names}, not {method}", uri.path());
    let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Wrong method", detail);
    let mut response = refusal.into_response();
    if let Ok(allow) = HeaderValue::from_str(&names) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

/// True when a path has the form of a route.
fn fits(route: &str, path: &str) -> bool {
    let (route, path): (Vec<_>, Vec<_>) = (route.split('/').collect(), path.split('/').collect());
    route.len() == path.len() && route.iter().zip(&path).all(|(part, given)| part.starts_with('{') || part == given)
}

/// What a request needs. The path is the one that is routed, byte by byte: nothing is decoded (S4). Whatever has no route but lies
/// below `/api` or is Flight SQL needs what reading needs; everything else is the page, which holds no telemetry.
pub fn scope(method: &Method, path: &str) -> Scope {
    static ROUTES: LazyLock<Vec<(Method, &str, Scope)>> =
        LazyLock::new(|| routes().into_iter().map(|route| (route.method, route.path, route.scope)).collect());
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let fitting = ROUTES.iter().filter(|(_, route, _)| fits(route, path));
    let of_method = fitting.clone().filter(|(of, _, _)| of == method).map(|(_, _, scope)| *scope).max();
    let of_path = || fitting.map(|(_, _, scope)| *scope).max();
    let is_api = path == "/api" || path.starts_with("/api/") || path.starts_with(FLIGHT);
    of_method.or_else(of_path).unwrap_or(if is_api { Scope::Read } else { Scope::Open })
}

/// A bug in one request is that request's problem only.
fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a request handler panicked");
    Refusal::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "An error of the server",
        "the request hit a bug; the log holds the details",
    )
    .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every route says what it is for, data is for those who may, changes are for admins, and no route stands twice.
    #[test]
    fn the_table_is_consistent() {
        let routes = routes();
        for (index, route) in routes.iter().enumerate() {
            assert!(!route.help.is_empty(), "{}", route.path);
            let is_told = route.path.starts_with("/api") && route.path != "/api/session";
            assert_eq!(route.scope != Scope::Open, is_told, "{}", route.path);
            let is_other = |other: &Route| (&other.method, other.path) != (&route.method, route.path);
            assert!(routes[..index].iter().all(is_other), "{}", route.path);
        }
        assert_eq!(scope(&Method::HEAD, "/api/tables"), Scope::Read);
        assert_eq!(scope(&Method::PUT, "/api/alert-rules/x"), Scope::Admin);
        assert_eq!(scope(&Method::PATCH, "/api/alert-rules/x"), Scope::Admin);
        assert_eq!(scope(&Method::GET, "/api//tables"), Scope::Read);
        assert_eq!(scope(&Method::POST, "/arrow.flight.protocol.FlightService/DoGet"), Scope::Read);
        assert_eq!(scope(&Method::GET, "/apix"), Scope::Open);
        assert_eq!(scope(&Method::GET, "/healthz"), Scope::Open);
        assert!(fits("/api/traces/{trace_id}/find", "/api/traces/abc/find"));
        assert!(!fits("/api/traces/{trace_id}", "/api/traces/abc/find"));
    }
}
