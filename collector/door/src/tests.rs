//! A door is opened on loopback and spoken to over real sockets.

mod peers;
mod sessions;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use model::{Identity, Scope, TenantId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

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
    let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&begun), Arc::clone(&go));
    let handler = async move || {
        tell.notify_one();
        wait.notified().await;
        "done"
    };
    let patient = Config { close_timeout_s: 60, ..config() };
    let door = open(&patient, Listener::Http, Router::new().route("/slow", get(handler))).await.expect("a free port");
    let address = door.local_addr();
    let slow = tokio::spawn(async move { reqwest::get(format!("http://{address}/slow")).await });
    tokio::time::timeout(Duration::from_secs(60), begun.notified()).await.expect("the request is under way");
    // The door begins to close before the request may go on.
    tokio::join!(door.close(), async { go.notify_one() });
    let answer = slow.await.expect("no panic").expect("answered");
    assert_eq!(answer.text().await.expect("body"), "done");
    assert!(TcpStream::connect(address).await.is_err(), "the socket is closed");
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

/// T17: listed pages are told that they may send, before anybody is asked for a key, and may read what they are answered; others hear nothing
/// of it, and so does everybody where nothing is listed and on the desk.
#[tokio::test]
async fn t17_listed_pages_may_send() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys_file = folder.path().join("keys.json");
    let tenant = TenantId::new("shop").expect("a tenant");
    let new = NewKey { name: "test".to_owned(), tenant, scopes: vec![Scope::Read], valid_for: None };
    let (_, key) = create_key(&keys_file, &new).expect("made");
    let listing = |origins: &[&str]| Config {
        keys_file: keys_file.display().to_string(),
        cors_origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
        cors_max_age_s: 60,
        ..config()
    };
    let (shop, evil) = ("https://shop.example", "https://evil.example");
    let client = reqwest::Client::new();
    for (listener, origins, page, allowed) in [
        (Listener::OtlpHttp, &[shop][..], shop, Some((shop, true))),
        (Listener::OtlpHttp, &[shop], evil, None),
        (Listener::OtlpHttp, &["https://*.example", "*"], shop, Some((shop, true))),
        (Listener::OtlpHttp, &["*"], evil, Some(("*", false))),
        (Listener::OtlpHttp, &[], shop, None),
        (Listener::Http, &[shop], shop, None),
        (Listener::OtlpGrpc, &[shop], shop, None),
    ] {
        let about = format!("{listener:?} {origins:?} {page}");
        let door = open(&listing(origins), listener, routes()).await.expect("a free port");
        let url = format!("http://{}/who", door.local_addr());
        let heard = |answer: &reqwest::Response| {
            let text = |name: &str| answer.headers().get(name).map(|value| value.to_str().expect("text").to_owned());
            let credentials = text("access-control-allow-credentials").is_some();
            text("access-control-allow-origin").map(|origin| (origin, credentials))
        };
        let expected = allowed.map(|(origin, credentials)| (origin.to_owned(), credentials));
        let preflight = client.request(reqwest::Method::OPTIONS, &url).header("origin", page);
        let preflight = preflight
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type")
            .send()
            .await
            .expect("an answer");
        assert_eq!(heard(&preflight), expected, "{about}");
        assert_eq!(preflight.status().as_u16() == 204, expected.is_some(), "{about}: {}", preflight.status());
        if expected.is_some() {
            for (name, value) in [
                ("access-control-allow-methods", "POST"),
                ("access-control-allow-headers", "authorization,content-type"),
                ("access-control-max-age", "60"),
            ] {
                assert_eq!(preflight.headers()[name], value, "{about}");
            }
            assert!(preflight.headers().get_all("vary").iter().any(|value| value == "Origin"), "{about}");
        }
        let taken = client.get(&url).header("origin", page).bearer_auth(&key).send().await.expect("an answer");
        assert_eq!((taken.status().as_u16(), heard(&taken)), (200, expected.clone()), "{about}");
        if listener == Listener::OtlpHttp {
            let refused = client.get(&url).header("origin", page).send().await.expect("an answer");
            assert_eq!((refused.status().as_u16(), heard(&refused)), (401, expected), "{about}");
            let plain = client.request(reqwest::Method::OPTIONS, &url).header("origin", page).send().await;
            assert_eq!(plain.expect("an answer").status().as_u16(), 401, "{about}: no preflight");
        }
        door.close().await;
    }
    for odd in ["null", "https://shop.example/", "https://*"] {
        assert!(listing(&[odd]).validate().expect_err(odd).contains("cors_origins"), "{odd}");
    }
}

/// T18: who may not pass hears so before a byte of the body has come, on every door and over both versions of HTTP.
#[tokio::test]
async fn t18_refusals_do_not_wait_for_the_body() {
    let folder = tempfile::tempdir().expect("a folder");
    let keys_file = folder.path().join("keys.json");
    let tenant = TenantId::new("shop").expect("a tenant");
    let new = NewKey { name: "test".to_owned(), tenant, scopes: vec![Scope::Read], valid_for: None };
    create_key(&keys_file, &new).expect("made");
    let guarded = Config { keys_file: keys_file.display().to_string(), ..config() };
    for (listener, expected) in
        [(Listener::Http, "HTTP/1.1 401"), (Listener::OtlpHttp, "HTTP/1.1 401"), (Listener::OtlpGrpc, "HTTP/1.1 200")]
    {
        let door = open(&guarded, listener, routes()).await.expect("a free port");
        let mut peer = TcpStream::connect(door.local_addr()).await.expect("connects");
        let head = b"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000\r\nauthorization: Bearer hod_x\r\n\r\n";
        peer.write_all(head).await.expect("written");
        let mut heard = vec![0; 12];
        let read = tokio::time::timeout(Duration::from_secs(60), peer.read_exact(&mut heard)).await;
        read.expect("it does not wait").expect("an answer");
        assert_eq!(String::from_utf8_lossy(&heard), expected, "{listener:?}");
        door.close().await;
    }
}

/// S17: behind a listed proxy each client has attempts of its own; what others say of themselves counts for nothing.
#[tokio::test]
async fn s17_clients_behind_a_proxy_are_told_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys.json");
    let tenant = TenantId::new("shop").expect("a tenant");
    let new = NewKey { name: "test".to_owned(), tenant, scopes: vec![Scope::Read], valid_for: None };
    create_key(&path, &new).expect("made");
    for (proxies, told_apart) in [(vec!["127.0.0.0/8".to_owned()], true), (Vec::new(), false)] {
        let keys_file = path.display().to_string();
        let limited = Config { keys_file, failed_attempts_per_minute: 1, trusted_proxies: proxies, ..config() };
        let door = open(&limited, Listener::Http, routes()).await.expect("a free port");
        let url = format!("http://{}/who", door.local_addr());
        let client = reqwest::Client::new();
        let ask = async |from: usize| {
            let request =
                client.get(&url).bearer_auth("hod_wrong").header("x-forwarded-for", format!("203.0.113.{from}"));
            request.send().await.expect("answer").status().as_u16()
        };
        let mut heard = Vec::new();
        for from in 0..20 {
            heard.push(ask(from).await);
        }
        assert_eq!(heard.iter().all(|status| *status == 401), told_apart, "{heard:?}");
        door.close().await;
    }
    assert!(Config { trusted_proxies: vec!["proxy".to_owned()], ..config() }.validate().is_err());
}
