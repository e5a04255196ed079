//! Where the public keys of tokens come from: a JWK Set, in a file or at an address.
//!
//! | `door.jwt_keys`            | is looked at                                                             | when that fails                   |
//! |----------------------------|--------------------------------------------------------------------------|-----------------------------------|
//! | a path                     | at the start, then every two seconds whether it has changed              | the start fails; later the keys before stay |
//! | `https://...`              | after the start, every ten minutes, and when a token names an unknown key, at most once a minute | the keys before stay; again after 10 s |
//! | `http://` and loopback     | the same; other addresses are refused: whoever sits on the way could let anybody in | the same |
//!
//! A start does not wait for another machine, which may itself wait for us: until the keys are here, tokens are refused and API keys are
//! taken. What is fetched is at most 1 MiB, comes within ten seconds, and from the address that the settings name: no redirect is
//! followed, no proxy of the environment asked. The address is written by whoever runs the collector and nearly always lies inside, so
//! the rules about inside addresses for targets of alerts (S12) do not apply.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use reqwest::Url;
use serde_json::Value as Json;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::tokens::{Tokens, Verifier, verifier};
use crate::watch::{LOOK, Watched};

/// Largest set, and keys in it.
const SET_BYTES_MAX: usize = 1 << 20;
const KEYS_MAX: usize = 100;
/// How long a connection, and all of it, may take.
const CONNECT: Duration = Duration::from_secs(5);
const FETCH: Duration = Duration::from_secs(10);

/// Where a set is.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    File(PathBuf),
    Address(Url),
}

/// How often an address is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pauses {
    /// While everything is well.
    pub(crate) refresh: Duration,
    /// At least, when tokens name unknown keys.
    pub(crate) unknown: Duration,
    /// After a failure.
    pub(crate) failed: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { refresh: Duration::from_secs(600), unknown: Duration::from_secs(60), failed: Duration::from_secs(10) }
    }
}

impl Source {
    /// Reads the setting.
    ///
    /// # Errors
    /// One sentence for the person who wrote the configuration.
    pub(crate) fn parse(setting: &str) -> Result<Self, String> {
        if !setting.contains("://") {
            return Ok(Self::File(PathBuf::from(setting)));
        }
        let wrong =
            |why: &str| format!("door.jwt_keys is a file or an address such as https://login.example/jwks.json: {why}");
        let url = Url::parse(setting).map_err(|error| wrong(&error.to_string()))?;
        let is_loopback = match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        match url.scheme() {
            "https" => Ok(Self::Address(url)),
            "http" if is_loopback => Ok(Self::Address(url)),
            "http" => {
                Err(wrong("without TLS whoever sits on the way could let anybody in, so http is for loopback only"))
            }
            other => Err(wrong(&format!("{other} is neither"))),
        }
    }

    /// The keys there are at once, and a task that keeps them fresh as long as they are needed.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub(crate) fn watch(
        self,
        make: impl FnOnce(Vec<Verifier>) -> Tokens,
        pauses: Pauses,
    ) -> Result<Arc<Tokens>, String> {
        match self {
            Self::File(path) => {
                let watched = Watched::new(vec![path.clone()]);
                let tokens = Arc::new(make(read(&path)?));
                tokio::spawn(reread(Arc::downgrade(&tokens), path, watched));
                Ok(tokens)
            }
            Self::Address(url) => {
                let client = reqwest::Client::builder()
                    .redirect(reqwest::redirect::Policy::none())
                    .no_proxy()
                    .connect_timeout(CONNECT)
                    .timeout(FETCH)
                    .build()
                    .map_err(|error| format!("the keys of tokens cannot be fetched: {error}"))?;
                let tokens = Arc::new(make(Vec::new()));
                let unknown = Arc::clone(&tokens.unknown);
                tokio::spawn(refetch(Arc::downgrade(&tokens), unknown, client, url, pauses));
                Ok(tokens)
            }
        }
    }
}

async fn reread(tokens: Weak<Tokens>, path: PathBuf, mut watched: Watched) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(tokens) = tokens.upgrade() else { return };
        match watched.look(|| read(&path)) {
            Some((Ok(verifiers), _)) => {
                tracing::info!(keys = verifiers.len(), "the keys of tokens were read again");
                tokens.put(verifiers);
            }
            Some((Err(error), true)) => {
                tracing::error!(error, "the keys of tokens cannot be read again; those before stay in force");
            }
            Some((Err(_), false)) | None => {}
        }
    }
}

/// Asks the address until nobody needs the keys any more. A failure is told once, until it is another one or over.
async fn refetch(tokens: Weak<Tokens>, unknown: Arc<Notify>, client: reqwest::Client, url: Url, pauses: Pauses) {
    let mut told = None;
    loop {
        let fetched = fetch(&client, &url).await;
        let asked = Instant::now();
        let Some(tokens) = tokens.upgrade() else { return };
        let (soonest, latest) = match fetched {
            Ok(verifiers) => {
                let n = verifiers.len();
                if tokens.put(verifiers) || told.take().is_some() {
                    tracing::info!(keys = n, url = %shown(&url), "the keys of tokens were fetched");
                }
                (pauses.unknown, pauses.refresh)
            }
            Err(error) => {
                if told.as_ref() != Some(&error) {
                    tracing::error!(error, url = %shown(&url), "the keys of tokens cannot be fetched; those before stay in force, and it is tried again");
                    told = Some(error);
                }
                (pauses.failed, pauses.failed)
            }
        };
        drop(tokens);
        tokio::time::sleep_until(asked + soonest).await;
        tokio::select! {
            () = unknown.notified() => {}
            () = tokio::time::sleep_until(asked + latest) => {}
        }
    }
}

/// An address without what may be secret in it.
fn shown(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

/// The keys at an address.
async fn fetch(client: &reqwest::Client, url: &Url) -> Result<Vec<Verifier>, String> {
    let request = client.get(url.clone()).header("accept", "application/jwk-set+json, application/json");
    let mut answer = request.send().await.map_err(|error| told(&error))?;
    if !answer.status().is_success() {
        return Err(format!("it answers {}", answer.status()));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| told(&error))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > SET_BYTES_MAX {
            return Err(format!("it answers more than {SET_BYTES_MAX} bytes"));
        }
    }
    keys(&bytes).map_err(|why| format!("its answer {why}"))
}

/// The innermost reason of a failed request: the outer ones repeat the address.
fn told(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", FETCH.as_secs());
    }
    let mut reason: &dyn std::error::Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}

/// The keys in a file.
pub(crate) fn read(path: &Path) -> Result<Vec<Verifier>, String> {
    let shown = path.display();
    let told = |error: std::io::Error| {
        format!("the keys of tokens in {shown} cannot be read: {error} (setting door.jwt_keys)")
    };
    if std::fs::metadata(path).map_err(told)?.len() > SET_BYTES_MAX as u64 {
        return Err(format!(
            "{shown} is larger than {SET_BYTES_MAX} bytes: it should hold a JWK Set (setting door.jwt_keys)"
        ));
    }
    keys(&std::fs::read(path).map_err(told)?).map_err(|why| format!("{shown} {why}"))
}

/// The keys of a JWK Set that can verify. Others (for encryption, of other algorithms) may stand beside them.
pub(crate) fn keys(text: &[u8]) -> Result<Vec<Verifier>, String> {
    let set: Json = serde_json::from_slice(text).map_err(|error| format!("is no JSON: {error}"))?;
    let keys =
        set.get("keys").and_then(Json::as_array).ok_or_else(|| "is no JWK Set: it has no list \"keys\"".to_owned())?;
    let verifiers: Vec<Verifier> = keys.iter().take(KEYS_MAX).filter_map(verifier).collect();
    if verifiers.is_empty() {
        return Err("holds no key for RS256 (2,048 bits or more), ES256 or EdDSA".to_owned());
    }
    Ok(verifiers)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::response::{IntoResponse as _, Response};

    use super::*;
    use crate::config::Config;
    use crate::tokens::tests::{Signer, lasting};

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn sources_are_files_and_guarded_addresses() {
        assert!(matches!(Source::parse("/etc/jwks.json"), Ok(Source::File(_))));
        for address in
            ["https://login.example/jwks", "http://127.0.0.1:1/jwks", "http://localhost/x", "http://[::1]:8080/"]
        {
            assert!(matches!(Source::parse(address), Ok(Source::Address(_))), "{address}");
        }
        for (address, told) in [
            ("http://login.example/jwks", "whoever sits on the way"),
            ("http://localhost.example/jwks", "loopback only"),
            ("http://10.0.0.1/jwks", "loopback only"),
            ("file:///etc/jwks.json", "neither"),
            ("https://", "door.jwt_keys"),
        ] {
            let error = Source::parse(address).expect_err(address);
            assert!(error.contains(told), "{error}");
        }
        let url = Url::parse("https://user:secret@login.example/jwks?token=secret").expect("a URL");
        assert_eq!(shown(&url), "https://login.example/jwks");
    }

    /// What following a redirect counts as.
    const STRAYED: u32 = 1_000_000;

    /// What an address answers, and how often it was asked.
    #[derive(Clone)]
    struct Issuer {
        answer: Arc<Mutex<(u16, String)>>,
        n_asked: Arc<Mutex<u32>>,
        url: String,
    }

    impl Issuer {
        async fn start() -> Self {
            let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let url = format!("http://{}/jwks", socket.local_addr().expect("an address"));
            let issuer = Self { answer: Arc::new(Mutex::new((503, String::new()))), n_asked: Arc::default(), url };
            let asked = issuer.clone();
            let handler = move || {
                *asked.n_asked.lock().expect("whole") += 1;
                let (status, body) = asked.answer.lock().expect("whole").clone();
                let status = http::StatusCode::from_u16(status).expect("a status");
                std::future::ready::<Response>((status, [("location", "/elsewhere")], body).into_response())
            };
            let strayed = issuer.clone();
            let elsewhere = move || {
                *strayed.n_asked.lock().expect("whole") += STRAYED;
                std::future::ready("{}")
            };
            let routes = axum::Router::new()
                .route("/jwks", axum::routing::get(handler))
                .route("/elsewhere", axum::routing::get(elsewhere));
            tokio::spawn(async move { axum::serve(socket, routes).await });
            issuer
        }

        fn answers(&self, status: u16, body: &impl ToString) {
            *self.answer.lock().expect("whole") = (status, body.to_string());
        }

        fn n_asked(&self) -> u32 {
            *self.n_asked.lock().expect("whole")
        }

        fn tokens(&self, pauses: Pauses) -> Arc<Tokens> {
            let config = Config {
                jwt_keys: self.url.clone(),
                jwt_issuer: "https://login.example".to_owned(),
                jwt_audience: "hodoscope".to_owned(),
                ..Config::default()
            };
            assert_eq!(config.validate(), Ok(()));
            Tokens::watch_paced(&config, pauses).expect("an address").expect("tokens")
        }
    }

    async fn until(what: &str, is: impl Fn() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is() {
            assert!(Instant::now() < end, "never: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    const LONG: Duration = Duration::from_secs(3600);
    const SHORT: Duration = Duration::from_millis(20);

    /// S2: keys come from an address that may be down when we start; what it says then or later that is no set changes nothing.
    #[tokio::test]
    async fn s2_keys_are_fetched_and_kept() {
        let (issuer, signer) = (Issuer::start().await, Signer::new());
        let tokens = issuer.tokens(Pauses { refresh: SHORT, unknown: SHORT, failed: SHORT });
        let token = signer.lasting_token();
        until("it was asked", || issuer.n_asked() > 0).await;
        assert!(tokens.recognize(&token).is_none(), "no keys yet");
        issuer.answers(200, &signer.set());
        until("the keys are here", || tokens.recognize(&token).is_some()).await;
        let large = format!("{{\"keys\": [], \"x\": \"{}\"}}", "x".repeat(SET_BYTES_MAX));
        for (status, body) in [
            (500, String::new()),
            (302, String::new()),
            (200, "no JSON".to_owned()),
            (200, "{\"keys\":[]}".to_owned()),
            (200, large),
        ] {
            issuer.answers(status, &body);
            let n_before = issuer.n_asked();
            until("it was asked twice more", || issuer.n_asked() >= n_before + 2).await;
            assert!(tokens.recognize(&token).is_some(), "{status}: the keys before stay");
        }
        // A signer who is gone from the set is gone here.
        issuer.answers(200, &Signer::new().set());
        until("the old keys are gone", || tokens.recognize(&token).is_none()).await;
        assert!(issuer.n_asked() < STRAYED, "a redirect was followed");
    }

    /// S2: a token that names an unknown key has the keys fetched again, many of them once.
    #[tokio::test]
    async fn s2_unknown_keys_are_asked_for() {
        let (issuer, signer, next) = (Issuer::start().await, Signer::new(), Signer::named("next"));
        issuer.answers(200, &signer.set());
        let tokens = issuer.tokens(Pauses { refresh: LONG, unknown: SHORT, failed: SHORT });
        until("the keys are here", || tokens.recognize(&signer.lasting_token()).is_some()).await;
        issuer.answers(200, &next.set());
        until("the next keys are here", || tokens.recognize(&next.lasting_token()).is_some()).await;
        // From now on the set is fresh; unknown keys are refused without asking more often than the pause allows.
        let rare = issuer.tokens(Pauses { refresh: LONG, unknown: LONG, failed: SHORT });
        until("the keys are here", || rare.recognize(&next.lasting_token()).is_some()).await;
        let n_before = issuer.n_asked();
        drop(tokens);
        for n in 0..1000 {
            assert!(rare.recognize(&next.token_of(&format!("unknown-{n}"), &lasting("read"))).is_none());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(issuer.n_asked() <= n_before + 1, "{} then {}", n_before, issuer.n_asked());
    }
}
