//! The API as a client sees it, without sockets.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use futures::StreamExt as _;
use http::{Request, Response, StatusCode, header};
use serde_json::{Value as Json, json};
use tower::ServiceExt as _;

use super::{Sources, router};
use crate::testing::{Fixture, TestSpan, span, spans_batch, trace_id};

async fn open() -> (Fixture, Router) {
    open_as(Err("replaying".to_owned())).await
}

async fn open_as(ready: Result<(), String>) -> (Fixture, Router) {
    let spans = [TestSpan { kind: 2, ..span(1, 1, None, "GET /", 0, 10) }, span(1, 2, Some(1), "work", 1, 2)];
    let fixture = Fixture::new(vec![spans_batch(&spans)]).await;
    let sources = Sources {
        status: Arc::new(|| api::StatusAnswer { version: "test".to_owned(), ..api::StatusAnswer::default() }),
        metrics: Arc::new(|| "# EOF\n".to_owned()),
        ready: Arc::new(move || ready.clone()),
        maintainer: fixture.storage.maintainer(),
        alerts: None,
        kept: Arc::new(crate::Kept::new(fixture.storage.documents())),
    };
    let router = router(&fixture.engine, sources);
    (fixture, router)
}

async fn ask(router: &Router, method: &str, path: &str, accept: &str, body: &str) -> (Response<()>, Vec<u8>) {
    let request = Request::builder().method(method).uri(path).header(header::ACCEPT, accept);
    let request = request.body(Body::from(body.to_owned())).expect("a request");
    let (parts, body) = router.clone().oneshot(request).await.expect("an answer").into_parts();
    let body = to_bytes(body, usize::MAX).await.expect("a body").to_vec();
    (Response::from_parts(parts, ()), body)
}

fn header_of<'a>(response: &'a Response<()>, name: &str) -> &'a str {
    response.headers().get(name).map(|value| value.to_str().expect("text")).unwrap_or_default()
}

#[tokio::test]
async fn every_answer_has_its_type_and_headers() {
    let (_fixture, router) = open().await;
    let id = trace_id(1);
    for (method, path, accept, body, media_type) in [
        ("POST", "/api/sql".to_owned(), "*/*", "{\"sql\":\"SELECT 1\"}", "application/json"),
        ("POST", "/api/sql".to_owned(), "text/csv", "{\"sql\":\"SELECT 1\"}", "text/csv"),
        ("POST", "/api/sql".to_owned(), "application/x-ndjson", "{\"sql\":\"SELECT 1\"}", "application/x-ndjson"),
        (
            "POST",
            "/api/sql".to_owned(),
            "application/vnd.apache.arrow.stream",
            "{\"sql\":\"SELECT 1\"}",
            "application/vnd.apache.arrow.stream",
        ),
        ("GET", "/api/tables".to_owned(), "", "", "application/json"),
        ("GET", "/api/search?unit=spans".to_owned(), "", "", "application/json"),
        ("GET", "/api/search/histogram?dots=9".to_owned(), "", "", "application/json"),
        ("GET", "/api/search/facets?keys=*".to_owned(), "", "", "application/json"),
        ("POST", "/api/search/differs".to_owned(), "", "{\"brush\":{\"max_nanos\":9}}", "application/json"),
        ("GET", "/api/services".to_owned(), "", "", "application/json"),
        ("GET", "/api/status".to_owned(), "", "", "application/json"),
        ("GET", format!("/api/traces/{id}"), "application/json", "", "application/json"),
        ("GET", format!("/api/traces/{id}"), "application/x-protobuf", "", "application/x-protobuf"),
        ("GET", "/api/traces/1".to_owned(), "", "", "application/json"),
        ("GET", format!("/api/traces/{id}/timeline"), "", "", "application/json"),
        ("GET", format!("/api/traces/{id}/spans/0000000000000002"), "", "", "application/json"),
        ("GET", format!("/api/traces/{id}/find?q=work"), "", "", "application/json"),
        ("GET", "/healthz".to_owned(), "", "", "text/plain"),
        ("GET", "/metrics".to_owned(), "", "", "application/openmetrics-text"),
    ] {
        let (response, body) = ask(&router, method, &path, accept, body).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}: {}", String::from_utf8_lossy(&body));
        assert!(header_of(&response, "content-type").starts_with(media_type), "{path}");
        assert_eq!(header_of(&response, "cache-control"), "no-store", "{path}");
        assert_eq!(header_of(&response, "x-content-type-options"), "nosniff", "{path}");
        assert!(!body.is_empty(), "{path}");
    }
}

#[tokio::test]
async fn every_mistake_is_a_problem() {
    let (_fixture, router) = open().await;
    for (method, path, body, status) in [
        ("GET", "/api/nothing", "", 404),
        ("GET", "/api", "", 404),
        ("GET", "/api/sql", "", 405),
        ("DELETE", "/api/services", "", 405),
        ("POST", "/api/sql", "SELECT 1", 400),
        ("POST", "/api/sql", "{\"sql\":\"SELECT 1\",\"colour\":1}", 400),
        ("POST", "/api/sql", "{\"sql\":\"DROP TABLE spans\"}", 400),
        ("POST", "/api/sql", "{\"sql\":\"SELECT * FROM nothing\"}", 400),
        ("GET", "/api/traces/xyz", "", 400),
        ("GET", "/api/traces/00000000000000000000000000000000", "", 400),
        ("GET", "/api/traces/00000000000000000000000000000009", "", 404),
        ("GET", "/api/traces/1/spans/77", "", 404),
        ("GET", "/api/search?q=colour=red", "", 400),
        ("GET", "/api/search/histogram?rows=1", "", 400),
        ("GET", "/api/search/facets?q=a=b", "", 400),
        ("POST", "/api/search/differs", "{}", 400),
        ("POST", "/api/sql", " [\"SELECT 1\"]", 400),
        ("PUT", "/api/colors", "[]", 400),
        ("POST", "/api/search/differs", "{\"brush\":{\"max_nanos\":0}}", 400),
        ("GET", "/api/services?from=never", "", 400),
        ("GET", "/readyz", "", 503),
    ] {
        let (response, body) = ask(&router, method, path, "", body).await;
        assert_eq!(response.status().as_u16(), status, "{path}");
        assert_eq!(header_of(&response, "content-type"), "application/problem+json", "{path}");
        let problem: Json = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(problem["status"], json!(status), "{path}");
        assert!(
            problem["type"].is_string() && problem["detail"].as_str().is_some_and(|text| text.len() > 5),
            "{problem}"
        );
        if status == 405 {
            assert!(!header_of(&response, "allow").is_empty(), "{path}");
        }
    }
    let large = format!("{{\"sql\":\"{}\"}}", "x".repeat(1 << 20));
    assert_eq!(ask(&router, "POST", "/api/sql", "", &large).await.0.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let (_, body) = ask(&router, "GET", "/api/search?q=service=web%20colour=red", "", "").await;
    let problem: Json = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(problem["position"], json!(12));
}

/// A path that stands in the table is not mixed up with one that has a name in its place.
#[tokio::test]
async fn wrong_methods_are_told_the_right_ones() {
    let (_fixture, router) = open().await;
    for (path, allowed) in [
        ("/api/alert-rules/preview", "POST"),
        ("/api/alert-rules/proposed", "GET, HEAD"),
        ("/api/alert-rules/mine", "GET, PUT, DELETE, HEAD"),
    ] {
        let (response, _) = ask(&router, "PATCH", path, "", "").await;
        assert_eq!((response.status().as_u16(), header_of(&response, "allow")), (405, allowed), "{path}");
    }
}

/// Paths outside the API are left to the page.
#[tokio::test]
async fn other_paths_fall_through() {
    let (_fixture, router) = open().await;
    let router = router.fallback(|| async { "page" });
    assert_eq!(ask(&router, "GET", "/trace/abc", "", "").await.1, b"page");
    assert_eq!(ask(&router, "GET", "/", "", "").await.1, b"page");
}

#[tokio::test]
async fn services_are_counted() {
    let (_fixture, router) = open().await;
    let (_, body) = ask(&router, "GET", "/api/services", "", "").await;
    let answer: Json = serde_json::from_slice(&body).expect("JSON");
    let expected = json!([{"name": "shop", "spans": 2, "requests": 1, "errors": 0, "p50_nanos": 10_000_000, "p95_nanos": 10_000_000}]);
    assert_eq!(answer["services"], expected);
}

/// What is erased is gone from SQL, trace and search at once, wherever it is kept; nonsense erases nothing.
#[tokio::test]
async fn erased_rows_are_shown_nowhere() {
    let (fixture, router) = open().await;
    fixture.append(spans_batch(&[span(7, 71, None, "late", 5, 1), span(8, 81, None, "other", 6, 1)])).await;
    let count = async |of: &str| {
        let sql = json!({ "sql": format!("SELECT count(*), count(hex(span_id)) FROM {of}") }).to_string();
        let (_, body) = ask(&router, "POST", "/api/sql", "*/*", &sql).await;
        let answer: Json = serde_json::from_slice(&body).expect("JSON");
        answer["rows"][0].clone()
    };
    assert_eq!(count("spans").await, json!(["4", "4"]));
    let (answer, body) =
        ask(&router, "POST", "/api/erasures", "*/*", &json!({ "trace_id": trace_id(7).to_hex() }).to_string()).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED, "{}", String::from_utf8_lossy(&body));
    assert_eq!(count("spans").await, json!(["3", "3"]));
    assert_eq!(count("spans WHERE name = 'late'").await, json!(["0", "0"]));
    let (answer, _) = ask(&router, "GET", &format!("/api/traces/{}", trace_id(7)), "*/*", "").await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    let (_, body) = ask(&router, "GET", "/api/search?unit=spans&q=name=late&from=0&to=now", "*/*", "").await;
    assert!(!String::from_utf8_lossy(&body).contains("late\""), "{}", String::from_utf8_lossy(&body));

    let service = json!({ "attribute": { "key": "service.name", "value": "shop" } }).to_string();
    let (answer, _) = ask(&router, "POST", "/api/erasures", "*/*", &service).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    assert_eq!(count("spans").await, json!(["0", "0"]));
    let (_, body) = ask(&router, "GET", "/api/erasures", "*/*", "").await;
    let listed: Json = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(listed["erasures"][1]["attribute"]["value"], "shop");
    for wrong in ["", "{}", "{\"trace_id\":\"x\"}", "{\"trace\":1}", "{\"attribute\":{\"key\":\"\",\"value\":\"\"}}"] {
        let (answer, _) = ask(&router, "POST", "/api/erasures", "*/*", wrong).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{wrong}");
    }
}

/// Spans come as events once they are visible; what does not match does not come; the stream ends when the process does.
#[tokio::test]
async fn live_streams_tell_what_comes() {
    let (fixture, router) = open_as(Ok(())).await;
    let request = Request::builder().uri("/api/live?unit=spans&q=name=wanted").body(Body::empty()).expect("a request");
    let response = router.clone().oneshot(request).await.expect("an answer");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    fixture.append(spans_batch(&[span(21, 211, None, "wanted", 5, 1), span(21, 212, None, "other", 5, 1)])).await;
    let mut events = response.into_body().into_data_stream();
    let mut text = String::new();
    while !text.contains("event: figures") || !text.contains("event: items") {
        let chunk = tokio::time::timeout(std::time::Duration::from_secs(60), events.next()).await.expect("in time");
        text.push_str(std::str::from_utf8(&chunk.expect("an event").expect("no error")).expect("text"));
    }
    let items = text.lines().skip_while(|line| *line != "event: items").nth(1).expect("data");
    let items: api::LiveItems = serde_json::from_str(items.strip_prefix("data: ").expect("data")).expect("items");
    assert_eq!((items.items.len(), items.left_out, items.skipped, items.gap), (1, 0, 0, false));
    let api::SearchItem::Span(item) = &items.items[0] else { panic!("{items:?}") };
    assert_eq!((item.name.as_str(), item.trace_id), ("wanted", trace_id(21)));

    let mut streams = Vec::new();
    for _ in 0..31 {
        let request = Request::builder().uri("/api/live?unit=traces").body(Body::empty()).expect("a request");
        let response = router.clone().oneshot(request).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        streams.push(response);
    }
    assert_eq!(ask(&router, "GET", "/api/live", "", "").await.0.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(streams);
    drop(events);
    for wrong in ["unit=dogs", "q=a=b"] {
        assert_eq!(
            ask(&router, "GET", &format!("/api/live?{wrong}"), "", "").await.0.status(),
            StatusCode::BAD_REQUEST
        );
    }

    let (_fixture, stopping) = open().await;
    let (response, body) = ask(&stopping, "GET", "/api/live", "", "").await;
    assert_eq!((response.status(), body.as_slice()), (StatusCode::OK, b"retry: 2000\n\n".as_slice()), "it ended");
}

/// The document describes this API: each way to ask that it tells leads to a route, with the form it says.
#[tokio::test]
async fn the_api_describes_itself() {
    let (_fixture, router) = open().await;
    let (response, body) = ask(&router, "GET", "/api/openapi.json", "", "").await;
    assert_eq!((response.status(), header_of(&response, "content-type")), (StatusCode::OK, "application/json"));
    let document: Json = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().expect("paths");
    assert!(paths.len() > 35, "{}", paths.len());
    for (path, operations) in paths {
        let asked = path.replace("{trace_id}", &trace_id(1).to_string()).replace("{span_id}", "0000000000000002");
        let asked = asked.replace("{name}", "shop").replace("{id}", "1");
        for (method, operation) in operations.as_object().expect("operations") {
            if path == "/api/live" || path == "/api/session" {
                continue; // the one never ends, the other is answered by the door
            }
            let (response, body) = ask(&router, &method.to_uppercase(), &asked, "", "").await;
            let text = String::from_utf8_lossy(&body);
            assert!(!text.contains("No such route") && response.status() != 405, "{method} {path}: {text}");
            if response.status() == 200 && method == "get" && path != "/api/live" {
                let said = operation["responses"]["200"]["content"].as_object().expect("a form");
                let form = header_of(&response, "content-type").split(';').next().unwrap_or_default();
                assert!(said.contains_key(form), "{method} {path} answers {form}: {said:?}");
            }
        }
    }
}
