//! A door is opened on loopback and spoken to over real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use model::{Identity, Scope, TenantId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{Access, Config, Door, Error, Listener, Needs, NewKey, Result, create_key};

fn config() -> Config {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    Config { otlp_grpc: free, otlp_http: free, http: free, close_timeout_s: 2, ..Config::default() }
}

/// A door for everybody.
async fn open(config: &Config, listener: Listener, routes: Router) -> Result<Door> {
    crate::open(config, listener, routes, &Access::load(config)?, Needs::All(Scope::Read)).await
}

fn routes() -> Router {
    Router::new()
        .route("/who", get(|Extension(who): Extension<Identity>| async move { who.tenant.to_string() }))
        .route("/panic", get(panics))
        .route(
            "/slow",
            get(|| async {
                tokio::time::sleep(Duration::from_millis(300)).await;
                "done"
            }),
        )
}

async fn panics() -> &'static str {
    panic!("on purpose")
}

/// T1: the defaults are the ports everybody knows, on loopback.
#[test]
fn t1_defaults_are_loopback() {
    let config = Config::default();
    assert_eq!(config.otlp_grpc.to_string(), "127.0.0.1:4317");
    assert_eq!(config.otlp_http.to_string(), "127.0.0.1:4318");
    assert_eq!(config.http.to_string(), "127.0.0.1:4319");
}

/// Every request carries its identity; T3: HTTP/1.1 and HTTP/2 with prior knowledge on one socket.
#[tokio::test]
async fn t3_http1_and_h2_on_one_socket() {
    let door = open(&config(), Listener::Http, routes()).await.expect("a free port");
    let answer = reqwest::get(format!("http://{}/who", door.local_addr())).await.expect("answer");
    assert_eq!(answer.text().await.expect("body"), "default");

    let mut h2 = TcpStream::connect(door.local_addr()).await.expect("connects");
    h2.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("preface and empty SETTINGS");
    let mut frame = [0; 9];
    h2.read_exact(&mut frame).await.expect("a frame");
    assert_eq!(frame[3], 4, "the server answers with its SETTINGS");
    drop(h2);
    door.close().await;
}

/// A10: a panic is answered with 500, the same connection goes on.
#[tokio::test]
async fn a10_panic_is_answered() {
    let door = open(&config(), Listener::Http, routes()).await.expect("a free port");
    let client = reqwest::Client::new();
    let answer = client.get(format!("http://{}/panic", door.local_addr())).send().await.expect("answer");
    assert_eq!(answer.status().as_u16(), 500);
    let answer = client.get(format!("http://{}/who", door.local_addr())).send().await.expect("answer");
    assert_eq!(answer.status().as_u16(), 200);
    door.close().await;
}

/// A port in use is told with the address and the setting.
#[tokio::test]
async fn port_in_use_names_the_setting() {
    let first = open(&config(), Listener::OtlpHttp, routes()).await.expect("a free port");
    let taken = Config { otlp_http: first.local_addr(), ..config() };
    let error = open(&taken, Listener::OtlpHttp, routes()).await.expect_err("taken");
    let text = error.to_string();
    assert!(matches!(error, Error::InUse { .. }), "{text}");
    assert!(text.contains(&first.local_addr().to_string()) && text.contains("--otlp-http"), "{text}");
    first.close().await;
}

/// S1: beyond loopback only when somebody says so.
#[tokio::test]
async fn s1_beyond_loopback_needs_consent() {
    let open_to_all = Config { http: SocketAddr::from(([0, 0, 0, 0], 0)), ..config() };
    let error = open(&open_to_all, Listener::Http, routes()).await.expect_err("refused");
    assert!(error.to_string().contains("allow_insecure"), "{error}");
    let door = open(&Config { allow_insecure: true, ..open_to_all }, Listener::Http, routes()).await.expect("allowed");
    door.close().await;
}

/// S1, S5: with keys an address beyond loopback is served, and the key says whose data it is.
#[tokio::test]
async fn s1_keys_allow_addresses_beyond_loopback() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.json");
    let keys_file = path.display().to_string();
    let guarded = Config { http: SocketAddr::from(([0, 0, 0, 0], 0)), keys_file, ..config() };
    assert!(matches!(open(&guarded, Listener::Http, routes()).await, Err(Error::Keys(_))), "the file must be there");
    let tenant = TenantId::new("shop").expect("a tenant");
    let new = NewKey { name: "test".to_owned(), tenant, scopes: vec![Scope::Read], valid_for: None };
    let (_, key) = create_key(&path, &new).expect("made");
    let door = open(&guarded, Listener::Http, routes()).await.expect("allowed");
    let url = format!("http://127.0.0.1:{}/who", door.local_addr().port());
    let client = reqwest::Client::new();
    assert_eq!(client.get(&url).send().await.expect("answer").status().as_u16(), 401);
    let answer = client.get(&url).bearer_auth(&key).send().await.expect("answer");
    assert_eq!(answer.text().await.expect("body"), "shop");
    door.close().await;
}

/// A request that is under way when the door closes is answered; newcomers are refused.
#[tokio::test]
async fn close_lets_requests_finish() {
    let door = open(&config(), Listener::Http, routes()).await.expect("a free port");
    let address = door.local_addr();
    let slow = tokio::spawn(async move { reqwest::get(format!("http://{address}/slow")).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    door.close().await;
    let answer = slow.await.expect("no panic").expect("answered");
    assert_eq!(answer.text().await.expect("body"), "done");
    assert!(TcpStream::connect(address).await.is_err(), "the socket is closed");
}

/// T15: a connection that never speaks is closed, and does not keep the door from closing.
#[tokio::test]
async fn t15_silent_connections_are_closed() {
    let door =
        open(&Config { first_byte_timeout_s: 1, ..config() }, Listener::Http, routes()).await.expect("a free port");
    let mut silent = TcpStream::connect(door.local_addr()).await.expect("connects");
    let read = tokio::time::timeout(Duration::from_secs(5), silent.read(&mut [0; 8])).await;
    assert_eq!(read.expect("closed in time").expect("no error"), 0);
    door.close().await;
}

/// T16: over the limit, connections wait and are served when another one leaves.
#[tokio::test]
async fn t16_connections_over_the_limit_wait() {
    let door = open(&Config { connections_max: 1, ..config() }, Listener::Http, routes()).await.expect("a free port");
    let ask = b"GET /who HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut first = TcpStream::connect(door.local_addr()).await.expect("connects");
    first.write_all(ask).await.expect("written");
    let n = first.read(&mut [0; 512]).await.expect("answered");
    assert!(n > 0, "the first connection is served");
    let mut second = TcpStream::connect(door.local_addr()).await.expect("waits in the backlog");
    second.write_all(ask).await.expect("written");
    let mut buffer = [0; 512];
    assert!(tokio::time::timeout(Duration::from_millis(200), second.read(&mut buffer)).await.is_err(), "waits");
    drop(first);
    let n =
        tokio::time::timeout(Duration::from_secs(5), second.read(&mut buffer)).await.expect("served").expect("read");
    assert!(buffer[..n].starts_with(b"HTTP/1.1 200"));
    drop(second);
    door.close().await;
}

/// What comes back until the other side ends the connection.
async fn rest(socket: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), socket.read_to_end(&mut all)).await;
    // A reset is an end, too.
    let _ = read.expect("the connection ends");
    all
}

/// T15: half a preface of HTTP/2, half a head of HTTP/1.1 and a connection without requests all end.
#[tokio::test]
async fn t15_half_sent_beginnings_are_ended() {
    let patience = Config { first_byte_timeout_s: 1, ..config() };
    let door = open(&patience, Listener::Http, routes()).await.expect("a free port");
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for begun in [&b"P"[..], &preface[..23], b"GET /who HTTP/1.1\r\nhost: localhost\r\n"] {
        let mut socket = TcpStream::connect(door.local_addr()).await.expect("connects");
        socket.write_all(begun).await.expect("written");
        assert!(!rest(&mut socket).await.starts_with(b"HTTP/1.1 200"), "{begun:?}");
    }
    door.close().await;
    let patience = Config { idle_timeout_s: 1, ..config() };
    let door = open(&patience, Listener::Http, routes()).await.expect("a free port");
    let mut idle = TcpStream::connect(door.local_addr()).await.expect("connects");
    idle.write_all(preface).await.expect("written");
    let frames = rest(&mut idle).await;
    assert!(frames.windows(9).any(|head| head[3] == 7), "it is told to go (GOAWAY): {frames:?}");
    door.close().await;
}

/// T15: a body that comes slower than 1 KiB/s ends its connection without an answer; others do not notice.
#[tokio::test]
async fn t15_a_slow_body_ends_its_connection() {
    let patience = Config { first_byte_timeout_s: 1, ..config() };
    let taking = Router::new()
        .route("/take", axum::routing::post(|body: axum::body::Bytes| async move { body.len().to_string() }));
    let door = open(&patience, Listener::Http, taking.clone()).await.expect("a free port");
    let mut slow = TcpStream::connect(door.local_addr()).await.expect("connects");
    slow.write_all(b"POST /take HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nabc").await.expect("written");
    assert_eq!(rest(&mut slow).await, b"", "it ends without an answer");
    door.close().await;
    let door = open(&config(), Listener::Http, taking).await.expect("a free port");
    let answer = reqwest::Client::new().post(format!("http://{}/take", door.local_addr())).body(vec![0; 100_000]);
    assert_eq!(answer.send().await.expect("answer").text().await.expect("body"), "100000");
    door.close().await;
}

/// S11: on loopback without keys only names of this machine are served, over every version of HTTP; with keys all are.
#[tokio::test]
async fn s11_other_names_are_refused_on_loopback() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys_file = folder.path().join("keys.json");
    let tenant = TenantId::new("shop").expect("a tenant");
    let new = NewKey { name: "test".to_owned(), tenant, scopes: vec![Scope::Read], valid_for: None };
    let (_, key) = create_key(&keys_file, &new).expect("made");
    let listed = Config { hosts: vec!["traces.example".to_owned()], ..config() };
    let guarded = Config { keys_file: keys_file.display().to_string(), ..config() };
    for (config, host, expected) in [
        (config(), "localhost", 200),
        (config(), "evil.example", 403),
        (config(), "traces.example:4319", 403),
        (listed, "traces.example:4319", 200),
        (guarded, "evil.example", 200),
    ] {
        for listener in [Listener::Http, Listener::OtlpHttp] {
            let door = open(&config, listener, routes()).await.expect("a free port");
            let ask = reqwest::Client::new().get(format!("http://{}/who", door.local_addr())).header("host", host);
            let answer = ask.header("x-forwarded-host", "localhost").bearer_auth(&key).send().await.expect("answer");
            assert_eq!(answer.status().as_u16(), expected, "{host} {listener:?}");
            if expected == 403 && listener == Listener::Http {
                assert!(answer.text().await.expect("body").contains("door.hosts"), "it says what to do");
            }
            door.close().await;
        }
    }
}

/// S17: an address that fails too often hears so; a valid key from the same address goes on.
#[tokio::test]
async fn s17_failed_attempts_are_limited() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.json");
    let tenant = TenantId::new("shop").expect("a tenant");
    let new = NewKey { name: "test".to_owned(), tenant, scopes: vec![Scope::Read], valid_for: None };
    let (_, key) = create_key(&path, &new).expect("made");
    let keys_file = path.display().to_string();
    let limited = Config { keys_file, failed_attempts_per_minute: 3, ..config() };
    let door = open(&limited, Listener::Http, routes()).await.expect("a free port");
    let url = format!("http://{}/who", door.local_addr());
    let client = reqwest::Client::new();
    let mut heard = Vec::new();
    for _ in 0..8 {
        let answer = client.get(&url).bearer_auth("hod_wrong").send().await.expect("answer");
        heard.push((answer.status().as_u16(), answer.headers().contains_key("retry-after")));
    }
    assert_eq!(heard[..3], [(401, false); 3]);
    assert!(heard[3..].contains(&(429, true)), "{heard:?}");
    // Who shows nothing is told what to show, as often as it asks: others behind its address may be just about to sign in.
    for _ in 0..8 {
        let answer = client.get(&url).send().await.expect("answer");
        assert_eq!((answer.status().as_u16(), answer.headers().contains_key("www-authenticate")), (401, true));
    }
    let answer = client.get(&url).bearer_auth(&key).send().await.expect("answer");
    assert_eq!(answer.text().await.expect("body"), "shop");
    door.close().await;
}

/// A guarded desk with the routes of sessions, and keys of three scopes.
struct Desk {
    door: Door,
    keys: [String; 3],
    path: std::path::PathBuf,
    client: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Desk {
    async fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.json");
        let tenant = TenantId::new("shop").expect("a tenant");
        let keys = [Scope::Ingest, Scope::Read, Scope::Admin].map(|scope| {
            let new = NewKey { name: "test".to_owned(), tenant: tenant.clone(), scopes: vec![scope], valid_for: None };
            create_key(&path, &new).expect("made").1
        });
        let config = Config { keys_file: path.display().to_string(), failed_attempts_per_minute: 5, ..config() };
        let access = Access::load(&config).expect("keys");
        let routes = Router::new()
            .route("/api/who", get(|Extension(who): Extension<Identity>| async move { who.tenant.to_string() }))
            .route("/api/change", axum::routing::post(|| async { "changed" }))
            .route("/", get(|| async { "the page" }))
            .merge(crate::session_routes(&config, &access));
        let needs = Needs::ByRoute(|_, path| match path {
            "/api/who" => Scope::Read,
            "/api/change" => Scope::Admin,
            _ => Scope::Open,
        });
        let door = crate::open(&config, Listener::Http, routes, &access, needs).await.expect("a free port");
        Self { door, keys, path, client: reqwest::Client::new(), _folder: folder }
    }

    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = method.parse().expect("a method");
        self.client.request(method, format!("http://{}{path}", self.door.local_addr()))
    }

    /// Signs in as a browser does; the cookie it keeps, and the attributes it is told.
    async fn sign_in(&self, key: &str) -> Result<(String, String), u16> {
        let body = serde_json::json!({ "key": key }).to_string();
        let request = self.request("POST", "/api/session").header("content-type", "application/json").body(body);
        let answer = request.header("sec-fetch-site", "same-origin").send().await.expect("an answer");
        let status = answer.status().as_u16();
        let told = answer.headers().get("set-cookie").map(|value| value.to_str().expect("text").to_owned());
        match told {
            Some(told) if status == 204 => {
                let (cookie, attributes) = told.split_once("; ").expect("attributes");
                Ok((cookie.to_owned(), attributes.to_owned()))
            }
            _ => Err(status),
        }
    }

    async fn session(&self, cookie: &str) -> serde_json::Value {
        let answer = self.request("GET", "/api/session").header("cookie", cookie).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200);
        serde_json::from_str(&answer.text().await.expect("a body")).expect("JSON")
    }

    /// Asks for something with a cookie and further headers.
    async fn ask(&self, method: &str, path: &str, cookie: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = self.request(method, path).header("cookie", cookie);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.expect("an answer").status().as_u16()
    }
}

/// S11: one signs in with a key, is who the key is, and signs out; the page itself needs nothing.
#[tokio::test]
async fn s11_a_cookie_stands_for_a_key() {
    let desk = Desk::open().await;
    let [ingest, read, admin] = &desk.keys;
    let nobody = serde_json::json!({ "signed_in": false, "needs_key": true, "scope": null, "tenant": null });
    assert_eq!(desk.session("").await, nobody);
    assert_eq!(desk.ask("GET", "/", "", &[]).await, 200);
    assert_eq!(desk.ask("GET", "/api/who", "", &[]).await, 401);
    let (cookie, attributes) = desk.sign_in(read).await.expect("signed in");
    assert_eq!(attributes, "Path=/; Max-Age=43200; HttpOnly; SameSite=Strict");
    assert!(!cookie.contains(&read[12..]), "nothing of the key");
    let reader = serde_json::json!({ "signed_in": true, "needs_key": true, "scope": "read", "tenant": "shop" });
    assert_eq!(desk.session(&cookie).await, reader);
    assert_eq!(desk.ask("GET", "/api/who", &cookie, &[]).await, 200);
    assert_eq!(
        desk.ask("POST", "/api/change", &cookie, &[("sec-fetch-site", "same-origin")]).await,
        403,
        "not an admin"
    );
    let again = desk.sign_in(&format!(" {admin}\n")).await.expect("signed in").0;
    assert_ne!(again, cookie);
    assert_eq!(desk.session(&again).await["scope"], "admin");
    assert_eq!(desk.sign_in(ingest).await, Err(403), "nothing could be read with it");
    let here = [("sec-fetch-site", "same-origin")];
    assert_eq!(desk.ask("DELETE", "/api/session", &again, &here).await, 204);
    assert_eq!(desk.session(&again).await, nobody);
    assert_eq!(desk.session(&cookie).await, reader, "another session");
    desk.door.close().await;
}

/// S11: a cookie changes nothing unless the browser says that this page asks; other sites do not even read.
#[tokio::test]
async fn s11_cookies_count_for_this_page_only() {
    let desk = Desk::open().await;
    let (cookie, _) = desk.sign_in(&desk.keys[2]).await.expect("signed in");
    let here = format!("http://{}", desk.door.local_addr());
    let json = ("content-type", "application/json");
    for (headers, expected) in [
        (&[("sec-fetch-site", "same-origin"), json][..], 200),
        (&[("origin", here.as_str()), json], 200),
        (&[("sec-fetch-site", "same-origin")], 200),
        (&[json], 403),
        (&[("sec-fetch-site", "none")], 403),
        (&[("sec-fetch-site", "same-site"), json], 403),
        (&[("sec-fetch-site", "cross-site"), json], 403),
        (&[("origin", "http://evil.example"), json], 403),
        (&[("origin", "null"), json], 403),
        (&[("origin", here.as_str()), ("content-type", "text/plain; charset=utf-8")], 403),
        (&[("origin", here.as_str()), ("content-type", "application/x-www-form-urlencoded")], 403),
    ] {
        assert_eq!(desk.ask("POST", "/api/change", &cookie, headers).await, expected, "{headers:?}");
    }
    for (site, expected) in [("same-origin", 200), ("none", 200), ("same-site", 401), ("cross-site", 401)] {
        assert_eq!(desk.ask("GET", "/api/who", &cookie, &[("sec-fetch-site", site)]).await, expected, "{site}");
    }
    assert_eq!(desk.ask("DELETE", "/api/session", &cookie, &[]).await, 403, "another site signs nobody out");
    // What is shown in the head counts before the cookie.
    assert_eq!(desk.ask("GET", "/api/who", &cookie, &[("authorization", "Bearer hod_wrong")]).await, 401);
    let reader = format!("Bearer {}", desk.keys[1]);
    assert_eq!(desk.ask("POST", "/api/change", &cookie, &[("authorization", &reader), json]).await, 403);
    desk.door.close().await;
    // Senders have no cookies.
    let config = Config { keys_file: desk.path.display().to_string(), ..config() };
    let access = Access::load(&config).expect("keys");
    let routes = routes().merge(crate::session_routes(&config, &access));
    let intake = crate::open(
        &config,
        Listener::OtlpHttp,
        routes,
        &access,
        Needs::ByRoute(|_, path| match path {
            "/api/session" => Scope::Open,
            _ => Scope::Read,
        }),
    );
    let desk = Desk { door: intake.await.expect("a free port"), ..desk };
    let (cookie, _) = desk.sign_in(&desk.keys[1]).await.expect("signed in");
    assert_eq!(desk.ask("GET", "/who", &cookie, &[]).await, 401);
    desk.door.close().await;
}

/// S11, S17: wrong keys count as attempts, other mistakes are told; a session ends with its key.
#[tokio::test]
async fn s11_signing_in_can_fail() {
    let desk = Desk::open().await;
    let (cookie, _) = desk.sign_in(&desk.keys[1]).await.expect("signed in");
    for (body, content_type, expected) in [
        ("{\"key\":\"x\"}", "text/plain", 415),
        ("{\"key\":\"x\"}", "", 415),
        ("not JSON", "application/json", 400),
        ("{}", "application/json; charset=utf-8", 400),
        ("{\"key\":\"x\",\"more\":1}", "application/json", 400),
        (&" ".repeat(20_000), "application/json", 413),
    ] {
        let request = desk.request("POST", "/api/session").header("content-type", content_type).body(body.to_owned());
        assert_eq!(request.send().await.expect("an answer").status().as_u16(), expected, "{body:.20} {content_type}");
    }
    assert_eq!(
        desk.request("PUT", "/api/session").send().await.expect("an answer").headers()["allow"],
        "GET, HEAD, POST, DELETE"
    );
    let mut heard = Vec::new();
    for _ in 0..8 {
        heard.push(desk.sign_in("hod_wrong").await.expect_err("refused"));
    }
    assert!(heard[..5] == [401; 5] && heard[5..].contains(&429), "{heard:?}");
    assert!(desk.sign_in(&desk.keys[1]).await.is_ok(), "a valid key signs in all the same");
    let elsewhere = desk.request("POST", "/api/session").header("sec-fetch-site", "cross-site").send().await;
    assert_eq!(elsewhere.expect("an answer").status().as_u16(), 403);
    // A key that is revoked takes its sessions along.
    let id = desk.keys[1].split('_').nth(1).expect("an id");
    crate::revoke_key(&desk.path, id).expect("revoked");
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    while desk.session(&cookie).await["signed_in"] != false {
        assert!(tokio::time::Instant::now() < until, "the session never ended");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(desk.ask("GET", "/api/who", &cookie, &[]).await, 401);
    desk.door.close().await;
    // Where nobody has to sign in, everybody is.
    let config = config();
    let access = Access::load(&config).expect("nothing to load");
    let door =
        crate::open(&config, Listener::Http, crate::session_routes(&config, &access), &access, Needs::All(Scope::Open));
    let desk = Desk { door: door.await.expect("a free port"), ..desk };
    let everybody = serde_json::json!({ "signed_in": true, "needs_key": false, "scope": "admin", "tenant": "default" });
    assert_eq!(desk.session("").await, everybody);
    assert_eq!(desk.sign_in("x").await, Err(400));
    desk.door.close().await;
}
