//! What readers keep on the server: colours of services and queries, the same for every reader and after a restart.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::harness::Server;

async fn ask(server: &Server, method: reqwest::Method, path: &str, body: &Json) -> (u16, Json) {
    let request = reqwest::Client::new().request(method, server.api(path));
    let request = request.header("content-type", "application/json").body(body.to_string());
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    let text = answer.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or(Json::Null))
}

async fn get(server: &Server, path: &str) -> Json {
    let answer = reqwest::get(server.api(path)).await.expect("an answer");
    serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON")
}

/// Two readers who see services in different orders see the same colours, also tomorrow.
#[tokio::test]
async fn services_have_one_colour_for_every_reader() {
    let server = Server::start();
    let (post, put) = (reqwest::Method::POST, reqwest::Method::PUT);
    ask(&server, post.clone(), "/api/colors", &json!({"services": ["order", "cart"]})).await;
    let (_, second) = ask(&server, post.clone(), "/api/colors", &json!({"services": ["cart", "mail", "order"]})).await;
    assert_eq!(second["services"], json!(["order", "cart", "mail"]));
    let (status, _) = ask(&server, post.clone(), "/api/colors", &json!({"pinned": {"cart": 7}})).await;
    assert_eq!(status, 400, "whoever only looks does not choose colours for all");
    let (_, chosen) = ask(&server, put.clone(), "/api/colors", &json!({"pinned": {"cart": 7}})).await;
    assert_eq!(chosen["pinned"], json!({"cart": 7}));
    let (status, problem) = ask(&server, put, "/api/colors", &json!({"pinned": {"cart": 9}})).await;
    assert_eq!(status, 400, "{problem}");
    let (_, stopped) = server.stop(Duration::from_secs(60));
    let server = stopped.start();
    assert_eq!(get(&server, "/api/colors").await, chosen);
}

/// A query is kept, replaced, listed by title and deleted; it survives a restart.
#[tokio::test]
async fn queries_are_kept_by_name() {
    let server = Server::start();
    let (put, delete) = (reqwest::Method::PUT, reqwest::Method::DELETE);
    let query = |title: &str, sql: &str| json!({"title": title, "sql": sql});
    let (status, kept) = ask(&server, put.clone(), "/api/queries/slow", &query("Slow", "SELECT 1")).await;
    assert_eq!((status, kept), (200, json!({"id": "slow", "title": "Slow", "sql": "SELECT 1"})));
    ask(&server, put.clone(), "/api/queries/slow", &query("", "SELECT 2")).await;
    ask(&server, put.clone(), "/api/queries/b", &query("About", "SELECT 3")).await;
    for (name, wrong) in
        [(".hidden", query("", "SELECT 1")), ("empty", query("", " ")), ("odd", json!({"sq": "SELECT 1"}))]
    {
        let (status, problem) = ask(&server, put.clone(), &format!("/api/queries/{name}"), &wrong).await;
        assert_eq!(status, 400, "{name}: {problem}");
    }
    let (_, stopped) = server.stop(Duration::from_secs(60));
    let server = stopped.start();
    let all = get(&server, "/api/queries").await;
    let names: Vec<_> =
        all["queries"].as_array().expect("a list").iter().map(|one| (&one["title"], &one["sql"])).collect();
    assert_eq!(json!(names), json!([["About", "SELECT 3"], ["slow", "SELECT 2"]]));
    assert_eq!(ask(&server, delete.clone(), "/api/queries/slow", &Json::Null).await.0, 204);
    assert_eq!(ask(&server, delete, "/api/queries/slow", &Json::Null).await.0, 404);
}
