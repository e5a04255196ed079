//! The files of the page, out of the binary: compressed once, cached by name, under a strict policy.
//!
//! Every path that is not a file and does not look like one is answered with `index.html`, because the page has
//! routes of its own. Nothing of a request ever becomes a path on disk: names are looked up in a table (S15).

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri};

include!(concat!(env!("OUT_DIR"), "/page_files.rs"));

/// One embedded file.
#[derive(Debug)]
pub(crate) struct File {
    /// As requested: `/index.html`.
    path: &'static str,
    content_type: &'static str,
    /// Tells versions apart.
    tag: &'static str,
    /// Other bytes would have another name.
    is_immutable: bool,
    plain: &'static [u8],
    gzip: Option<&'static [u8]>,
    brotli: Option<&'static [u8]>,
}

/// Headers of every answer of the page and, unless it says otherwise, of the API (S10).
const GUARDS: [(HeaderName, HeaderValue); 5] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// Paths that belong to an API: a mistake there is answered as data, never with the page.
const API: &[&str] = &["/api/", "/v1/", "/healthz", "/readyz", "/metrics"];

/// Answers everything that no route of the API has taken.
pub(crate) async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path();
    let file = FILES.iter().find(|file| file.path == path);
    if file.is_none() && (is_api(path) || is_file_name(path)) {
        return problem(StatusCode::NOT_FOUND, "no-such-route", format!("nothing is served at {path}"));
    }
    if method != Method::GET && method != Method::HEAD {
        let mut answer = problem(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            format!("{path} takes GET and HEAD; telemetry is sent to the OTLP ports"),
        );
        answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    match file.or_else(|| FILES.iter().find(|file| file.path == "/index.html")) {
        Some(file) => file.answer(&method, &headers),
        None => problem(StatusCode::NOT_FOUND, "no-such-route", "the page is not part of this binary".to_owned()),
    }
}

/// Answers `/metrics` with the page when a browser goes there: a scraper, `curl` and `?format=text` get the collector's own
/// metrics, as everywhere.
pub(crate) async fn or_own_metrics(request: Request, next: Next) -> Response {
    let wants_text = request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "format=text"));
    let wants_page = request.headers().get_all(header::ACCEPT).iter().any(|accept| {
        accept.to_str().is_ok_and(|accept| accept.split(',').any(|one| one.trim().starts_with("text/html")))
    });
    if request.uri().path() == "/metrics" && wants_page && !wants_text {
        return serve(request.method().clone(), Uri::from_static("/index.html"), request.headers().clone()).await;
    }
    next.run(request).await
}

/// Adds the guarding headers to an answer that has none, and forbids keeping data.
pub(crate) async fn guard(mut answer: Response) -> Response {
    for (name, value) in GUARDS {
        answer.headers_mut().entry(name).or_insert(value);
    }
    answer.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}

impl File {
    fn answer(&self, method: &Method, asked: &HeaderMap) -> Response {
        let (bytes, encoding) = self.encoded(asked);
        let mut answer = Response::new(Body::empty());
        let headers = answer.headers_mut();
        let keep = if self.is_immutable { "public, max-age=31536000, immutable" } else { "no-cache" };
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
        headers.insert(header::ETAG, HeaderValue::from_static(self.tag));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if asked.get_all(header::IF_NONE_MATCH).iter().any(|tags| tags.as_bytes() == b"*" || names(tags, self.tag)) {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            return answer;
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        if let Some(encoding) = encoding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        if method != Method::HEAD {
            *answer.body_mut() = Body::from(bytes);
        }
        answer
    }

    /// The smallest form the peer takes.
    fn encoded(&self, asked: &HeaderMap) -> (&'static [u8], Option<&'static str>) {
        match (self.brotli, self.gzip) {
            (Some(bytes), _) if accepts(asked, "br") => (bytes, Some("br")),
            (_, Some(bytes)) if accepts(asked, "gzip") => (bytes, Some("gzip")),
            _ => (self.plain, None),
        }
    }
}

/// True when `Accept-Encoding` names the encoding, or `*`, with a weight above 0.
fn accepts(asked: &HeaderMap, encoding: &str) -> bool {
    let weights: Vec<(String, bool)> = asked
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|item| {
            let (name, weight) = item.split_once(';').unwrap_or((item, "q=1"));
            let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.trim().parse::<f32>().ok());
            (name.trim().to_ascii_lowercase(), weight.is_none_or(|weight| weight > 0.0))
        })
        .collect();
    let said = |wanted: &str| weights.iter().find(|(name, _)| name == wanted).map(|(_, taken)| *taken);
    said(encoding).or_else(|| said("*")).unwrap_or(false)
}

/// True when a list of entity tags holds this one; weak and strong are the same here.
fn names(tags: &HeaderValue, tag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    tags.to_str().is_ok_and(|tags| tags.split(',').any(|other| bare(other) == bare(tag)))
}

fn is_api(path: &str) -> bool {
    API.iter().any(|prefix| path.starts_with(prefix) || path == prefix.trim_end_matches('/'))
}

/// True for `/favicon.ico`; false for `/explore` and `/services/cart.v2`: files stand at the top.
fn is_file_name(path: &str) -> bool {
    !path.trim_start_matches('/').contains('/') && path.contains('.')
}

/// An RFC 9457 problem.
fn problem(status: StatusCode, kind: &str, detail: String) -> Response {
    let title = status.canonical_reason().unwrap_or_default().to_owned();
    let problem = api::Problem { kind: kind.to_owned(), title, status: status.as_u16(), detail, position: None };
    (status, [(header::CONTENT_TYPE, "application/problem+json")], axum::Json(problem)).into_response()
}

#[cfg(test)]
mod tests;
