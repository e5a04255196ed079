//! What a browser asks for, and what a prying peer gets.

use super::*;

async fn get(path: &str, headers: &[(HeaderName, &str)]) -> Response {
    ask(Method::GET, path, headers).await
}

async fn ask(method: Method, path: &str, headers: &[(HeaderName, &str)]) -> Response {
    let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().expect("a header value"))).collect();
    guard(serve(method, path.parse().expect("a path"), headers).await).await
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().expect("headers are ASCII"))
}

async fn body(answer: Response) -> Vec<u8> {
    axum::body::to_bytes(answer.into_body(), usize::MAX).await.expect("the body is in memory").to_vec()
}

/// The page's own routes are answered with the page.
#[tokio::test]
async fn routes_of_the_page_are_the_page() {
    let index = body(get("/index.html", &[]).await).await;
    assert!(index.starts_with(b"<!doctype html") || index.starts_with(b"<!DOCTYPE html"));
    for path in ["/", "/explore", "/t/4bf92f3577b34da6a3ce929d0e0e4736/00f067aa0ba902b7", "/services/cart.v2"] {
        let answer = get(path, &[]).await;
        assert_eq!(
            (answer.status(), header(&answer, "content-type")),
            (StatusCode::OK, "text/html; charset=utf-8"),
            "{path}"
        );
        assert_eq!(body(answer).await, index, "{path}");
    }
}

/// `/metrics` is two things: the page for a browser, the collector's own metrics for all others.
#[tokio::test]
async fn a_browser_at_metrics_sees_the_page() {
    use tower::ServiceExt as _;
    let own = axum::routing::get(|| async { "own" });
    let routes = axum::Router::new().route("/metrics", own).layer(axum::middleware::from_fn(or_own_metrics));
    for (uri, accept, is_page) in [
        ("/metrics", "text/html,application/xhtml+xml,*/*;q=0.8", true),
        ("/metrics?m=x&from=now-1h", "text/html", true),
        ("/metrics?format=text", "text/html", false),
        ("/metrics", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5,*/*;q=0.1", false),
        ("/metrics", "*/*", false),
    ] {
        let request = Request::get(uri).header("accept", accept).body(Body::empty()).expect("a request");
        let answer = routes.clone().oneshot(request).await.expect("an answer");
        assert_eq!(body(answer).await != b"own", is_page, "{uri} {accept}");
    }
}

/// An API path that does not exist is a problem document, never a page with status 200.
#[tokio::test]
async fn api_mistakes_are_data() {
    for path in ["/api/nothing", "/api", "/v1/traces", "/favicon.ico", "/robots.txt"] {
        let answer = get(path, &[]).await;
        assert_eq!(
            (answer.status(), header(&answer, "content-type")),
            (StatusCode::NOT_FOUND, "application/problem+json"),
            "{path}"
        );
        assert_eq!(header(&answer, "cache-control"), "no-store");
    }
}

/// S15: nothing that is asked for leaves the table of files.
#[tokio::test]
async fn s15_prying_paths_find_nothing() {
    for path in [
        "/../Cargo.toml",
        "/..%2f..%2fetc%2fpasswd",
        "/%2e%2e/main.rs",
        "/csp.txt",
        "/.stamp",
        "//etc/passwd",
        "/index.html.gz",
    ] {
        let answer = get(path, &[]).await;
        let is_page = header(&answer, "content-type").starts_with("text/html");
        assert!(is_page || answer.status() == StatusCode::NOT_FOUND, "{path}");
        let text = String::from_utf8_lossy(&body(answer).await).into_owned();
        assert!(!text.contains("[workspace]") && !text.contains("root:") && !text.contains("default-src"), "{path}");
    }
}

/// S10: every answer carries the guards; nothing inline runs.
#[tokio::test]
async fn s10_answers_are_guarded() {
    for path in ["/", "/api/nothing"] {
        let answer = get(path, &[]).await;
        let policy = header(&answer, "content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"), "{policy}");
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
        assert_eq!(header(&answer, "referrer-policy"), "no-referrer");
    }
}

/// What the browser has is not sent again, and what it may send again is not kept.
#[tokio::test]
async fn known_versions_are_not_sent_again() {
    let first = get("/", &[]).await;
    let tag = header(&first, "etag").to_owned();
    assert_eq!(header(&first, "cache-control"), "no-cache");
    let again = get("/", &[(header::IF_NONE_MATCH, &tag)]).await;
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert!(body(again).await.is_empty());
    let other = get("/", &[(header::IF_NONE_MATCH, "\"another\"")]).await;
    assert_eq!(other.status(), StatusCode::OK);
    for file in FILES.iter().filter(|file| file.is_immutable) {
        assert!(header(&get(file.path, &[]).await, "cache-control").contains("immutable"), "{}", file.path);
    }
}

/// HEAD tells the length without the bytes; other methods are told where telemetry goes.
#[tokio::test]
async fn methods() {
    let head = ask(Method::HEAD, "/", &[]).await;
    assert!(header(&head, "content-length").parse::<u64>().expect("a length") > 0);
    assert!(body(head).await.is_empty());
    let post = ask(Method::POST, "/", &[]).await;
    assert_eq!((post.status(), header(&post, "allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD"));
}

/// The form a peer cannot read is never sent.
#[test]
fn encodings_are_negotiated() {
    let file = File {
        path: "/x.js",
        content_type: "text/javascript",
        tag: "\"1\"",
        is_immutable: true,
        plain: b"plain",
        gzip: Some(b"gzip"),
        brotli: Some(b"brotli"),
    };
    for (asked, sent) in [
        ("", "plain"),
        ("gzip", "gzip"),
        ("gzip, deflate, br", "brotli"),
        ("br;q=0, gzip", "gzip"),
        ("BR ; q=0.5", "brotli"),
        ("identity", "plain"),
        ("*", "brotli"),
        ("*;q=0", "plain"),
        ("gzip;q=0, *", "brotli"),
    ] {
        let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(asked))]);
        assert_eq!(file.encoded(&headers).0, sent.as_bytes(), "{asked}");
    }
}
