//! Signing in at the desk with a browser: what a cookie stands for, and when it ends.

use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use model::{Identity, Scope, TenantId};

use super::{config, routes};
use crate::tokens::tests::Signer;
use crate::{Access, Config, Door, Listener, Needs, NewKey, create_key};

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
        let config = Config { keys_file: path.display().to_string(), ..config() };
        Self::guarded_by(config, keys, path, folder).await
    }

    /// One whose people sign in with tokens. The signer's keys stand in the file at its path.
    async fn of_tokens(set: &serde_json::Value) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("jwks.json");
        std::fs::write(&path, set.to_string()).expect("written");
        let config = Config {
            jwt_keys: path.display().to_string(),
            jwt_issuer: "https://login.example".to_owned(),
            jwt_audience: "hodoscope".to_owned(),
            ..config()
        };
        Self::guarded_by(config, Default::default(), path, folder).await
    }

    async fn guarded_by(
        config: Config,
        keys: [String; 3],
        path: std::path::PathBuf,
        folder: tempfile::TempDir,
    ) -> Self {
        let config = Config { failed_attempts_per_minute: 5, ..config };
        let access = Access::load(&config).expect("keys");
        let routes = Router::new()
            .route("/api/who", get(|Extension(who): Extension<Identity>| async move { who.tenant.to_string() }))
            .route("/api/change", axum::routing::post(|| async { "changed" }))
            .route("/", get(|| async { "the page" }))
            .merge(crate::session_routes(&access));
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
    let routes = routes().merge(crate::session_routes(&access));
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
    let door = crate::open(&config, Listener::Http, crate::session_routes(&access), &access, Needs::All(Scope::Open));
    let desk = Desk { door: door.await.expect("a free port"), ..desk };
    let everybody = serde_json::json!({ "signed_in": true, "needs_key": false, "scope": "admin", "tenant": "default" });
    assert_eq!(desk.session("").await, everybody);
    assert_eq!(desk.sign_in("x").await, Err(400));
    desk.door.close().await;
}

/// S2, S11: a session that is founded on a token ends when the key that signed the token is taken away, long before the token's own end;
/// other keys may come and go.
#[tokio::test]
async fn s11_sessions_of_tokens_end_with_the_key_of_their_signer() {
    let (signer, next) = (Signer::new(), Signer::named("next"));
    let together = |signers: &[&Signer]| {
        let keys = signers.iter().flat_map(|signer| signer.set()["keys"].as_array().cloned().expect("a list"));
        serde_json::json!({ "keys": keys.collect::<Vec<_>>() })
    };
    let desk = Desk::of_tokens(&together(&[&signer])).await;
    let (cookie, _) = desk.sign_in(&signer.lasting_token()).await.expect("signed in");
    let put = |signers: &[&Signer]| std::fs::write(&desk.path, together(signers).to_string()).expect("written");
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    put(&[&signer, &next]);
    let other = loop {
        assert!(tokio::time::Instant::now() < until, "the second key never counted");
        match desk.sign_in(&next.lasting_token()).await {
            Ok((cookie, _)) => break cookie,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    };
    assert_eq!(desk.ask("GET", "/api/who", &cookie, &[]).await, 200, "its key is still there");
    put(&[&next]);
    while desk.ask("GET", "/api/who", &cookie, &[]).await != 401 {
        assert!(tokio::time::Instant::now() < until, "the session never ended");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(desk.session(&cookie).await["signed_in"], false);
    assert_eq!(desk.ask("GET", "/api/who", &other, &[]).await, 200, "the other one goes on");
    desk.door.close().await;
}

/// S17: a wrong key counts also where none is needed. There one is served all the same, but not told any more whether a key is right.
#[tokio::test]
async fn s17_wrong_keys_on_open_routes_are_counted() {
    let desk = Desk::open().await;
    let get = async |path: &str, key: &str| {
        desk.request("GET", path).bearer_auth(key).send().await.expect("an answer").status().as_u16()
    };
    let mut heard = Vec::new();
    for _ in 0..20 {
        heard.push(get("/api/session", "hod_wrong").await);
    }
    assert!(heard[..5] == [200; 5] && heard[5..].contains(&429), "{heard:?}");
    assert_eq!(get("/", "hod_wrong").await, 200, "the page is everybody's");
    assert_eq!(get("/api/session", &desk.keys[1]).await, 200, "a right key is never refused");
    assert_eq!(desk.ask("GET", "/api/session", "", &[]).await, 200, "nor is who shows nothing");
    desk.door.close().await;
}
