//! Nobody gets in who does not belong: keys, their scopes and tenants, at every door.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value as Json;

use crate::harness::otlp::{Client, Refused};
use crate::harness::{Collector, Request, Server, Transport, fixtures, generate, wait_for};

const PATIENCE: Duration = Duration::from_secs(120);

/// Runs `hodoscope keys`; what it says, or why it does not.
fn keys(folder: &Path, args: &[&str]) -> Result<String, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hodoscope"));
    command.arg("keys").args(args).arg("--keys-file").arg(folder.join("keys.json"));
    let output = command.output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn key(folder: &Path, scope: &str, tenant: &str) -> String {
    keys(folder, &["create", "--name", "a test", "--scope", scope, "--tenant", tenant]).expect("a key")
}

fn collector(folder: &Path) -> Collector {
    // The matrix of routes fails on purpose more often than an address may.
    let config = format!(
        "[door]\nfailed_attempts_per_minute = 0\nkeys_file = {:?}\n",
        folder.join("keys.json").display().to_string()
    );
    Collector { config, ..Collector::default() }
}

async fn ask(server: &Server, method: &str, path: &str, authorization: Option<&str>) -> (u16, Json) {
    let mut request = reqwest::Client::new().request(method.parse().expect("a method"), server.api(path));
    if let Some(value) = authorization {
        request = request.header("authorization", value);
    }
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    // A stream has no end; nobody needs what an admitted peer is told.
    if !matches!(status, 401 | 403) {
        return (status, Json::Null);
    }
    assert_eq!(response.headers()["content-type"], "application/problem+json", "{method} {path}");
    assert_eq!(response.headers().contains_key("www-authenticate"), status == 401, "{method} {path}");
    (status, serde_json::from_slice(&response.bytes().await.expect("a body")).expect("JSON"))
}

async fn sql(server: &Server, key: &str, text: &str) -> Json {
    let body = serde_json::json!({"sql": text}).to_string();
    let request = reqwest::Client::new().post(server.api("/api/sql")).header("content-type", "application/json");
    let response = request.bearer_auth(key).body(body).send().await.expect("an answer");
    let text = response.text().await.expect("a body");
    serde_json::from_str::<Json>(&text).expect("JSON")["rows"].clone()
}

/// S2, S4, S21: every route of the API against every kind of key. What a key may not is refused before anything else is looked at.
#[tokio::test]
async fn s4_every_route_asks_for_its_scope() {
    let folder = tempfile::tempdir().expect("a folder");
    let roles = [
        ("ingest", format!("Bearer {}", key(folder.path(), "ingest", "default"))),
        ("read", format!("Bearer {}", key(folder.path(), "read", "default"))),
        ("admin", format!("Bearer {}", key(folder.path(), "admin", "default"))),
        ("nobody", "Bearer hod_00000000_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned()),
        ("odd", "Basic ???".to_owned()),
    ];
    let expired =
        keys(folder.path(), &["create", "--name", "old", "--scope", "admin", "--tenant", "default", "--days", "0"]);
    let expired = format!("Bearer {}", expired.expect("a key"));
    let server = collector(folder.path()).start();
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md")).expect("the page");
    let routes: Vec<(String, String)> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`')?.0.split_once(' '))
        .map(|(method, path)| (method.to_owned(), path.replace(['{', '}'], "")))
        .collect();
    assert!(routes.len() >= 30, "{routes:?}");
    let is_change = |method: &str, path: &str| match method {
        "GET" => false,
        "POST" => ["/api/erasures", "/api/silences", "/api/alert-rules/proposed/id"].contains(&path),
        _ => true,
    };
    let mut n_asked = 0;
    for (method, path) in &routes {
        let is_open = !path.starts_with("/api") || path == "/api/session";
        let expected = |role: &str| match role {
            _ if is_open => true,
            "admin" => true,
            "read" => !is_change(method, path),
            _ => false,
        };
        for (role, authorization) in &roles {
            let (status, body) = ask(&server, method, path, Some(authorization)).await;
            let is_known = matches!(*role, "ingest" | "read" | "admin");
            match expected(role) {
                true => assert!(!matches!(status, 401 | 403), "{role} {method} {path}: {status}"),
                false => assert_eq!(status, if is_known { 403 } else { 401 }, "{role} {method} {path}: {body}"),
            }
            n_asked += 1;
        }
        for (who, authorization) in [("nobody", None), ("an old key", Some(expired.as_str()))] {
            let (status, body) = ask(&server, method, path, authorization).await;
            assert_eq!(status == 401, !is_open, "{who} {method} {path}: {status} {body}");
        }
    }
    assert!(n_asked >= 150, "{n_asked}");
    // The page itself holds no telemetry; other spellings of a path lead nowhere else.
    assert_eq!(ask(&server, "GET", "/", None).await.0, 200);
    for path in
        ["/api", "/api/none", "/api/tables/", "/api//tables", "/api/%74ables", "/api/x/../tables", "/api/tables?key=1"]
    {
        assert_eq!(ask(&server, "GET", path, None).await.0, 401, "{path}");
    }
}

/// Senders hear 401 and 403 in the words of their transport, and with the right key everything is taken.
#[tokio::test]
async fn senders_need_a_key_on_every_transport() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ingest, read) = (key(folder.path(), "ingest", "default"), key(folder.path(), "read", "default"));
    let server = collector(folder.path()).start();
    let trace = |number| Request::Traces(generate::request("shop", vec![generate::span(number, 1, "GET /")]));
    for (number, transport) in [Transport::Grpc, Transport::HttpProtobuf, Transport::HttpJson].into_iter().enumerate() {
        let is_grpc = matches!(transport, Transport::Grpc);
        let request = trace(u128::from(fixtures::now_nanos()) + number as u128);
        for (client, code, word) in [
            (Client::new(&server), if is_grpc { 16 } else { 401 }, "Authorization: Bearer KEY"),
            (Client::new(&server).with_key(&read), if is_grpc { 7 } else { 403 }, "lacks the scope ingest"),
        ] {
            match client.send(transport, &request).await {
                Err(Refused { code: found, message }) => {
                    assert_eq!(found, code, "{transport:?}: {message}");
                    assert!(message.contains(word), "{transport:?}: {message}");
                }
                Ok(taken) => panic!("{transport:?} without a key took {taken:?}"),
            }
        }
        Client::new(&server).with_key(&ingest).send_all(transport, &request).await;
    }
    assert_eq!(sql(&server, &read, "SELECT count(*) FROM spans").await, serde_json::json!([["3"]]));
}

/// S5, S6: the tenant comes from the key. Two tenants send the same trace ids and see their own spans only.
#[tokio::test]
async fn s6_tenants_see_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let server_of = collector(folder.path());
    let tenants = ["red", "blue"]
        .map(|tenant| (tenant, key(folder.path(), "ingest", tenant), key(folder.path(), "read", tenant)));
    let server = server_of.start();
    let trace = u128::from(fixtures::now_nanos());
    for (tenant, ingest, _) in &tenants {
        let request = Request::Traces(generate::request(tenant, vec![generate::span(trace, 1, tenant)]));
        Client::new(&server).with_key(ingest).send_all(Transport::Grpc, &request).await;
    }
    for (tenant, _, read) in &tenants {
        let found = sql(&server, read, "SELECT service_name, name FROM spans").await;
        assert_eq!(found, serde_json::json!([[tenant, tenant]]));
        let url = server.api(&format!("/api/traces/{trace:032x}"));
        let request = reqwest::Client::new().get(url).bearer_auth(read).header("x-scope-orgid", "red");
        let body = request.send().await.expect("an answer").text().await.expect("a body");
        let other = if *tenant == "red" { "blue" } else { "red" };
        assert!(body.contains(tenant) && !body.contains(other), "{tenant}: {body}");
    }
    let default = key(folder.path(), "read", "default");
    wait_for("the new key to count", PATIENCE, || async {
        (sql(&server, &default, "SELECT count(*) FROM spans").await == serde_json::json!([["0"]])).then_some(())
    })
    .await;
}

/// S20: figures of the whole collector are for admins; whoever reads learns how fresh and how old data is.
#[tokio::test]
async fn s20_status_is_reduced_for_readers() {
    let folder = tempfile::tempdir().expect("a folder");
    let (read, admin) = (key(folder.path(), "read", "default"), key(folder.path(), "admin", "default"));
    let server = collector(folder.path()).start();
    let status = async |key: &str| -> Json {
        let request = reqwest::Client::new().get(server.api("/api/status")).bearer_auth(key);
        let text = request.send().await.expect("an answer").text().await.expect("a body");
        serde_json::from_str(&text).expect("JSON")
    };
    let (reduced, whole) = (status(&read).await, status(&admin).await);
    assert_eq!((&reduced["is_reduced"], &whole["is_reduced"]), (&Json::Bool(true), &Json::Bool(false)));
    for (member, inside) in [("storage", "data"), ("limits", "query_rows")] {
        assert_ne!(reduced[member][inside], whole[member][inside], "{member}.{inside}");
    }
    for (member, inside) in [("storage", "retention_days"), ("digest", "is_on")] {
        assert_eq!(reduced[member][inside], whole[member][inside], "{member}.{inside}");
    }
    assert_eq!(reduced["ingest"]["accepted"], serde_json::json!({}));
    assert_eq!(reduced["version"], whole["version"]);
}

/// A key that is revoked is refused within seconds, without a restart; the list never shows a key.
#[tokio::test]
async fn revoked_keys_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let read = key(folder.path(), "read", "default");
    let server = collector(folder.path()).start();
    let header = format!("Bearer {read}");
    assert_eq!(ask(&server, "GET", "/api/tables", Some(&header)).await.0, 200);
    let browser = reqwest::Client::new().get(server.api("/api/tables")).basic_auth("anybody", Some(&read));
    assert_eq!(browser.send().await.expect("an answer").status().as_u16(), 200, "a browser's password");
    let id = read.split('_').nth(1).expect("an id").to_owned();
    let list = keys(folder.path(), &["list"]).expect("a list");
    assert!(list.contains(&id) && list.contains("never") && !list.contains(&read), "{list}");
    assert!(keys(folder.path(), &["revoke", &id]).expect("revoked").contains(&id));
    wait_for("the key to be refused", PATIENCE, || async {
        (ask(&server, "GET", "/api/tables", Some(&header)).await.0 == 401).then_some(())
    })
    .await;
    // A file that breaks later changes nothing.
    let kept = key(folder.path(), "read", "default");
    let header = format!("Bearer {kept}");
    wait_for("the new key to count", PATIENCE, || async {
        (ask(&server, "GET", "/api/tables", Some(&header)).await.0 == 200).then_some(())
    })
    .await;
    std::fs::write(folder.path().join("keys.json"), "not JSON").expect("written");
    wait_for("the file to be seen", PATIENCE, || async {
        server.stderr().contains("those before stay in force").then_some(())
    })
    .await;
    assert_eq!(ask(&server, "GET", "/api/tables", Some(&header)).await.0, 200);
    assert!(!server.stderr().contains(&kept), "no key is logged");
    for (args, told) in [
        (&["revoke", "0"][..], "holds no keys"),
        (&["create", "--name", "x", "--scope", "write"], "there is no scope \"write\""),
        (&["create", "--name", "x", "--scope", "read", "--tenant", "../x"], "a tenant name has"),
    ] {
        let error = keys(folder.path(), args).expect_err("refused");
        assert!(error.contains(told), "{error}");
    }
}

/// S14: the log is JSON, line by line, whatever is asked; no secret of a head, of an address or of a payload is in it, not even at its most
/// talkative.
#[tokio::test]
async fn s14_logs_hold_no_secrets() {
    let folder = tempfile::tempdir().expect("a folder");
    let (admin, ingest) = (key(folder.path(), "admin", "default"), key(folder.path(), "ingest", "default"));
    let env = [("HODOSCOPE_LOG", "trace"), ("HODOSCOPE_LOG_FORMAT", "json")];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let server = Collector { env, ..collector(folder.path()) }.start();
    let client = reqwest::Client::new();
    let canary = |n: u32| format!("canary{n}canary");
    let statement = serde_json::json!({ "sql": format!("SELECT '{}'", canary(1)) }).to_string();
    for shown in [admin.as_str(), &canary(2)] {
        for (method, address) in [
            ("GET", server.api("/api/status")),
            ("GET", server.api(&format!("/api/traces/{}?token={}", canary(3), canary(4)))),
            ("POST", server.api("/api/sql")),
            ("GET", server.api("/odd%0a%1b[31mline")),
            ("POST", format!("http://{}/v1/traces", server.otlp_http)),
        ] {
            let request = client.request(method.parse().expect("a method"), address).bearer_auth(shown);
            let request = request.header("cookie", format!("hodoscope={}", canary(5)));
            let request = request.header("content-type", "application/json").body(statement.clone());
            request.send().await.expect("an answer");
        }
    }
    let secret = canary(6).repeat(100);
    for body in [format!("{{\"resourceSpans\": [{{\"{secret}"), format!("{{\"resourceSpans\": \"{secret}\"}}"), secret]
    {
        let url = format!("http://{}/v1/traces", server.otlp_http);
        let request = client.post(url).bearer_auth(&ingest).header("content-type", "application/json").body(body);
        assert_eq!(request.send().await.expect("an answer").status().as_u16(), 400);
    }
    // Whole lines: it goes on talking, and the last one may be half written.
    let said = server.stderr();
    let said = said.rsplit_once('\n').map_or("", |(lines, _)| lines);
    assert!(said.lines().count() > 3, "it is talkative: {said}");
    for line in said.lines() {
        assert!(serde_json::from_str::<Json>(line).is_ok_and(|line| line.is_object()), "no JSON: {line}");
    }
    for hidden in [&admin, &ingest, &canary(2), &canary(5), &canary(6).repeat(20)] {
        let line = said.lines().find(|line| line.contains(hidden.as_str()));
        assert!(line.is_none(), "{hidden} is in the log: {line:?}");
    }
}

/// The demo sends with a key, and says what to do without one.
#[tokio::test]
async fn the_demo_takes_a_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ingest, read) = (key(folder.path(), "ingest", "default"), key(folder.path(), "read", "default"));
    let server = collector(folder.path()).start();
    let demo = |key: Option<&str>| {
        let log = std::fs::File::create(folder.path().join("demo.log")).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_hodoscope"));
        command.args(["demo", "--rate", "20", "--endpoint", &format!("http://{}", server.otlp_grpc)]);
        command.env_remove("HODOSCOPE_KEY").envs(key.map(|key| ("HODOSCOPE_KEY", key)));
        crate::demo::Guard(command.stdout(log).stderr(std::process::Stdio::null()).spawn().expect("it runs"))
    };
    let without = demo(None);
    wait_for("the demo to say what is missing", PATIENCE, || async {
        let said = std::fs::read_to_string(folder.path().join("demo.log")).unwrap_or_default();
        said.contains("hodoscope keys create").then_some(())
    })
    .await;
    drop(without);
    assert_eq!(sql(&server, &read, "SELECT count(*) FROM spans").await, serde_json::json!([["0"]]));
    let with = demo(Some(&ingest));
    wait_for("spans of the demo", PATIENCE, || async {
        (sql(&server, &read, "SELECT count(*) FROM spans").await != serde_json::json!([["0"]])).then_some(())
    })
    .await;
    drop(with);
    let said = std::fs::read_to_string(folder.path().join("demo.log")).expect("a log");
    assert!(!said.contains(&ingest), "the key is never printed: {said}");
}

/// S11: a browser that another site leads here changes nothing, with keys and without.
#[tokio::test]
async fn s11_other_sites_change_nothing() {
    let server = Server::start();
    let post = |name: &'static str, value: &'static str| {
        let request = reqwest::Client::new().post(server.api("/api/silences")).header(name, value);
        let request = request.header("content-type", "application/json").body("{}");
        async move { request.send().await.expect("an answer").status().as_u16() }
    };
    assert_eq!(post("origin", "http://evil.example").await, 403);
    assert_eq!(post("sec-fetch-site", "cross-site").await, 403);
    assert_eq!(post("sec-fetch-site", "same-origin").await, 400, "the body is what is wrong");
}

/// S11: the page signs in with a key and asks with a cookie from then on; what it is told are the types of the API.
#[tokio::test]
async fn s11_the_page_signs_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let read = key(folder.path(), "read", "blue");
    let server = collector(folder.path()).start();
    let client = reqwest::Client::new();
    let session = async |cookie: &str| -> api::SessionAnswer {
        let request = client.get(server.api("/api/session")).header("cookie", cookie);
        let answer = request.send().await.expect("an answer");
        assert!(answer.headers().contains_key("content-security-policy"), "guarded like all others");
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["cache-control"]),
            (200, &"no-store".parse().expect(""))
        );
        serde_json::from_str(&answer.text().await.expect("a body")).expect("the API's type")
    };
    assert_eq!(session("").await, api::SessionAnswer { needs_key: true, ..api::SessionAnswer::default() });
    for path in ["/", "/explore"] {
        assert_eq!(client.get(server.api(path)).send().await.expect("an answer").status().as_u16(), 200, "{path}");
    }
    // What a page fetches is not answered with the browser's own question for a password.
    let fetched =
        client.get(server.api("/api/tables")).header("sec-fetch-mode", "cors").send().await.expect("an answer");
    let asked: Vec<_> = fetched.headers().get_all("www-authenticate").iter().collect();
    assert!(fetched.status().as_u16() == 401 && asked == ["Bearer realm=\"hodoscope\""], "{asked:?}");
    let body = serde_json::to_string(&api::SessionRequest { key: read.clone() }).expect("JSON");
    let sign_in = client.post(server.api("/api/session")).header("content-type", "application/json").body(body);
    let answer = sign_in.header("sec-fetch-site", "same-origin").send().await.expect("an answer");
    let told = answer.headers()["set-cookie"].to_str().expect("text").to_owned();
    let cookie = told.split(';').next().expect("a cookie");
    let expected = api::SessionAnswer {
        signed_in: true,
        needs_key: true,
        scope: Some("read".to_owned()),
        tenant: Some("blue".to_owned()),
    };
    assert_eq!((answer.status().as_u16(), session(cookie).await), (204, expected));
    let sql = |site: Option<&'static str>| {
        let request = client.post(server.api("/api/sql")).header("content-type", "application/json");
        let request = request.header("cookie", cookie).body("{\"sql\": \"SELECT 1\"}");
        let request = site.into_iter().fold(request, |request, site| request.header("sec-fetch-site", site));
        async move { request.send().await.expect("an answer").status().as_u16() }
    };
    assert_eq!((sql(Some("same-origin")).await, sql(None).await, sql(Some("cross-site")).await), (200, 403, 403));
    let sign_out = client.delete(server.api("/api/session")).header("cookie", cookie);
    let answer = sign_out.header("sec-fetch-site", "same-origin").send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), sql(Some("same-origin")).await), (204, 401));
    let id = cookie.split('=').nth(1).expect("an id");
    assert!(!server.stderr().contains(id) && !server.stderr().contains(&read), "S14: neither is logged");
}
