//! Signing in with a browser: a key is shown once, and a cookie stands for it (S11).
//!
//! ```text
//!   POST /api/session {"key": "hod_..."}  ->  Set-Cookie: hodoscope_session=43 letters; HttpOnly; SameSite=Strict; ...
//! ```
//!
//! The cookie holds 256 random bits and nothing of the key. What they stand for is kept here, in memory, under their SHA-256: so
//! signing out ends a session wherever its cookie is, and a restart ends all. A session is founded on its key: when that is revoked or
//! expires, the session ends with it. One that is founded on a token ends with the token, and when the key that signed the token is not
//! among those of the signer (`door.jwt_keys`) any more.
//!
//! | bound                     | at                     | then                              |
//! |---------------------------|------------------------|-----------------------------------|
//! | how long a session lasts  | `door.session_hours`   | one signs in again                |
//! | sessions of one key, or of one person by tokens | [`OF_ONE_MAX`] | the oldest of them ends |
//! | sessions                  | [`SESSIONS_MAX`]       | the oldest of all ends            |
//!
//! When a cookie counts is decided in `identity.rs`.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use model::{Identity, Scope};
use rand::RngCore as _;
use serde::Deserialize;
use tokio::time::Instant;

use crate::config::Listener;
use crate::identity::{Access, Peer};
use crate::keys::{Holder, sha256};
use crate::refusal::{Refused, refuse, shaped};
use crate::tokens::Verified;

/// Where one signs in and out.
pub(crate) const PATH: &str = "/api/session";
/// Name of the cookie. Under TLS it has the prefix that lets browsers take it from this host and over TLS only, and no other name
/// counts there.
const COOKIE: &str = "hodoscope_session";
const COOKIE_TLS: &str = "__Host-hodoscope_session";
/// Random bytes of a session's id, and its letters.
const ID_BYTES: usize = 32;
const ID_LETTERS: usize = 43;
/// Sessions that are open at once.
const SESSIONS_MAX: usize = 10_000;
/// Of them, those of one key, or of tokens of one person.
const OF_ONE_MAX: usize = 64;
/// Cookies of one request that are looked at.
const COOKIES_MAX: usize = 4;
/// Longest body of a request to sign in: the longest token and its JSON.
const BODY_BYTES_MAX: usize = 16 << 10;

/// What a session is founded on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// A key, by the hash that is kept of it: it is looked for at each request.
    Key([u8; 32]),
    /// A token, by what it said. It is not kept: at each request its end is looked at, and whether the key that verified it still counts.
    Token(Verified),
}

impl Proof {
    /// True for the same key, and for tokens of the same person: a person gets a new token every few minutes.
    fn is_of_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Key(one), Self::Key(other)) => one == other,
            (Self::Token(one), Self::Token(other)) => one.subject == other.subject,
            _ => false,
        }
    }
}

/// Everybody who has signed in.
#[derive(Debug)]
pub(crate) struct Sessions {
    lasting: Duration,
    has_tls: bool,
    open: Mutex<HashMap<[u8; 32], Session>>,
}

#[derive(Debug)]
struct Session {
    proof: Proof,
    until: Instant,
}

impl Sessions {
    pub(crate) fn new(lasting: Duration, has_tls: bool) -> Self {
        Self { lasting, has_tls, open: Mutex::default() }
    }

    /// Begins a session and gives its id, which is not kept.
    fn begin(&self, proof: Proof, now: Instant) -> String {
        let mut id = [0; ID_BYTES];
        rand::rng().fill_bytes(&mut id);
        let id = URL_SAFE_NO_PAD.encode(id);
        let mut open = self.open();
        let is_theirs = |session: &Session| session.proof.is_of_same(&proof);
        if open.values().filter(|session| is_theirs(session)).count() >= OF_ONE_MAX {
            end_oldest(&mut open, is_theirs);
        }
        if open.len() >= SESSIONS_MAX {
            open.retain(|_, session| now < session.until);
        }
        if open.len() >= SESSIONS_MAX {
            end_oldest(&mut open, |_| true);
        }
        open.insert(sha256(&id), Session { proof, until: now + self.lasting });
        id
    }

    /// What a session is founded on, while it lasts.
    fn proof(&self, id: &str, now: Instant) -> Option<Proof> {
        let (hash, mut open) = (sha256(id), self.open());
        let session = open.get(&hash)?;
        if now < session.until {
            return Some(session.proof.clone());
        }
        open.remove(&hash);
        None
    }

    fn end(&self, id: &str) {
        self.open().remove(&sha256(id));
    }

    fn open(&self) -> MutexGuard<'_, HashMap<[u8; 32], Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the first of a request's cookies is founded on that stands for a session.
    pub(crate) fn shown(&self, headers: &HeaderMap, now: Instant) -> Option<Proof> {
        self.ids(headers).find_map(|id| self.proof(id, now))
    }

    /// Ids in a request's cookies. With TLS the plain name does not count: anybody who can answer for this host without TLS, or owns a
    /// name beside it, can plant a cookie of that name, and with it a session of their own. Without TLS both names count, because something in
    /// front may have TLS.
    fn ids<'h>(&self, headers: &'h HeaderMap) -> impl Iterator<Item = &'h str> + use<'h> {
        let plain = if self.has_tls { COOKIE_TLS } else { COOKIE };
        let lists = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = lists.flat_map(|list| list.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let ours = pairs.filter(move |(name, id)| [COOKIE_TLS, plain].contains(name) && id.len() == ID_LETTERS);
        ours.map(|(_, id)| id).take(COOKIES_MAX)
    }
}

/// Ends the session among these that would end first anyway: all last equally long.
fn end_oldest(open: &mut HashMap<[u8; 32], Session>, among: impl Fn(&Session) -> bool) {
    let oldest = open.iter().filter(|(_, session)| among(session)).min_by_key(|(_, session)| session.until);
    if let Some(id) = oldest.map(|(id, _)| *id) {
        open.remove(&id);
    }
}

/// Who asks, as the guard before these routes has found out.
#[derive(Clone, Debug)]
pub(crate) struct Known(pub(crate) Option<Holder>);

#[derive(Clone, Debug)]
struct Desk {
    access: Access,
}

/// What is shown to sign in. Not to be printed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    key: String,
}

/// The routes below which a browser signs in and out, for the desk: `GET`, `POST` and `DELETE /api/session`.
///
/// They are answered by the door because only the door knows keys. To be served behind [`crate::open`] with the same `access`.
pub fn session_routes(access: &Access) -> Router {
    let desk = Desk { access: access.clone() };
    let methods = get(who).post(sign_in).delete(sign_out).fallback(wrong_method);
    Router::new().route(PATH, methods).with_state(desk)
}

/// Whom the browser speaks for. Always an answer, so that a page can ask before it shows anything.
async fn who(State(desk): State<Desk>, Extension(known): Extension<Known>, identity: Extension<Identity>) -> Response {
    let needs_key = desk.access.is_guarded();
    let scope = match known.0 {
        _ if !needs_key => Some(Scope::Admin),
        Some(holder) => holder.widest(),
        None => None,
    };
    let tenant = scope.is_some().then(|| identity.tenant.to_string());
    let answer = serde_json::json!({
        "signed_in": scope.is_some(), "needs_key": needs_key, "scope": scope.map(Scope::as_str), "tenant": tenant,
    });
    shaped(StatusCode::OK, "application/json", Body::from(answer.to_string()))
}

async fn sign_in(State(desk): State<Desk>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    if !desk.access.is_guarded() {
        return problem(
            StatusCode::BAD_REQUEST,
            "no_keys",
            "nobody has to sign in here: there are no keys (door.keys_file)",
        );
    }
    if !is_json(&head.headers) {
        let detail = "send {\"key\": \"...\"} with Content-Type: application/json";
        return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail);
    }
    let Ok(body) = axum::body::to_bytes(body, BODY_BYTES_MAX).await else {
        return problem(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "no key and no token is as long as that");
    };
    let Ok(asked) = serde_json::from_slice::<Asked>(&body) else {
        return problem(StatusCode::BAD_REQUEST, "invalid_body", "send {\"key\": \"...\"} and nothing else");
    };
    let now = Instant::now();
    let peer = head.extensions.get::<Peer>().copied();
    let proof = match desk.access.proof(asked.key.trim(), peer, now) {
        Ok(proof) => proof,
        Err(refused) => return refuse(Listener::Http, &head.headers, refused),
    };
    // Whoever was signed in here before is not any more.
    let sessions = desk.access.sessions();
    sessions.ids(&head.headers).for_each(|id| sessions.end(id));
    let id = sessions.begin(proof, now);
    // Behind something else that ends TLS, the page's own origin says that there is TLS.
    let from_tls = head.headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    with_cookies([cookie(sessions.has_tls || from_tls, &id, sessions.lasting.as_secs())])
}

async fn sign_out(State(desk): State<Desk>, headers: HeaderMap) -> Response {
    let sessions = desk.access.sessions();
    sessions.ids(&headers).for_each(|id| sessions.end(id));
    with_cookies([cookie(false, "", 0), cookie(true, "", 0)])
}

async fn wrong_method(method: Method) -> Response {
    let detail = format!("{PATH} takes GET, HEAD, POST, DELETE, not {method}");
    let mut answer = problem(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", &detail);
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, DELETE"));
    answer
}

/// A cookie that scripts cannot read and other sites cannot have sent. One that lasts no time is taken away.
fn cookie(is_secure: bool, id: &str, lasting_s: u64) -> String {
    let (name, secure) = if is_secure { (COOKIE_TLS, "; Secure") } else { (COOKIE, "") };
    format!("{name}={id}; Path=/; Max-Age={lasting_s}; HttpOnly; SameSite=Strict{secure}")
}

fn with_cookies<const N: usize>(cookies: [String; N]) -> Response {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for cookie in cookies {
        let value = HeaderValue::from_str(&cookie).expect("letters of base64 and of this file");
        answer.headers_mut().append(header::SET_COOKIE, value);
    }
    answer
}

fn is_json(headers: &HeaderMap) -> bool {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    said.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

fn problem(status: StatusCode, kind: &str, detail: &str) -> Response {
    let title = status.canonical_reason().unwrap_or_default();
    let body = serde_json::json!({"type": kind, "title": title, "status": status.as_u16(), "detail": detail});
    shaped(status, "application/problem+json", Body::from(body.to_string()))
}

impl Access {
    /// What a key or token that signs in proves. One that opens nothing to read is refused.
    fn proof(&self, text: &str, peer: Option<Peer>, now: Instant) -> Result<Proof, Refused> {
        match self.recognize(text) {
            Some((holder, proof)) if holder.may(Scope::Read) => Ok(proof),
            Some(_) => Err(Refused::Forbidden(Scope::Read)),
            None => Err(self.count_wrong(peer, now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions() -> Sessions {
        Sessions::new(Duration::from_secs(3600), false)
    }

    fn showing(cookies: &[&str]) -> HeaderMap {
        cookies.iter().map(|text| (header::COOKIE, text.parse().expect("a value"))).collect()
    }

    /// S11: an id is random, says nothing, counts until its end, and is not kept.
    #[test]
    fn s11_sessions_begin_and_end() {
        let (sessions, now) = (sessions(), Instant::now());
        let (first, second) = (sessions.begin(Proof::Key([1; 32]), now), sessions.begin(Proof::Key([2; 32]), now));
        assert!(first.len() == ID_LETTERS && first != second);
        assert!(!format!("{sessions:?}").contains(&first));
        let later = now + Duration::from_secs(3599);
        assert_eq!(sessions.proof(&first, later), Some(Proof::Key([1; 32])));
        assert_eq!(sessions.proof(&first.to_lowercase(), later), None);
        sessions.end(&first);
        assert_eq!(sessions.proof(&first, later), None, "signed out");
        assert_eq!(sessions.proof(&second, now + Duration::from_secs(3600)), None, "it is over");
        assert!(sessions.open().is_empty());
    }

    /// One key cannot end the sessions of others, and all together are bounded.
    #[test]
    fn s11_sessions_are_bounded() {
        let (sessions, now) = (sessions(), Instant::now());
        let at = |n: usize| now + Duration::from_millis(n as u64);
        let other = sessions.begin(Proof::Key([2; 32]), now);
        // Later than the other one, which is the oldest of all.
        let begin = |n: usize| sessions.begin(Proof::Key([1; 32]), at(n + 1));
        let ids: Vec<String> = (0..=OF_ONE_MAX).map(begin).collect();
        assert_eq!(sessions.proof(&ids[0], now), None, "the oldest of the key made room");
        assert!(sessions.proof(&ids[1], now).is_some() && sessions.proof(&other, now).is_some());
        let key = |n: usize| {
            let mut hash = [7; 32];
            hash[..8].copy_from_slice(&n.to_le_bytes());
            Proof::Key(hash)
        };
        for n in 0..SESSIONS_MAX {
            let mut open = sessions.open();
            let until = at(n + 1) + sessions.lasting;
            open.insert(sha256(n.to_string()), Session { proof: key(n), until });
        }
        let newest = sessions.begin(key(0), at(SESSIONS_MAX));
        assert!(sessions.proof(&newest, now).is_some() && sessions.proof(&other, now).is_none());
    }

    /// Every sign-in of a person shows another token, with another end: they count together all the same.
    #[test]
    fn s11_sessions_of_one_person_are_bounded() {
        let (sessions, now) = (sessions(), Instant::now());
        let token = |person: u8, until_unix_s: u64| {
            let holder = Holder::new(model::TenantId::default_tenant(), vec![Scope::Read]);
            Proof::Token(Verified { holder, until_unix_s, signer: [1; 32], subject: [person; 32] })
        };
        let other = sessions.begin(token(2, 1), now);
        let begin = |n: usize| sessions.begin(token(1, n as u64), now + Duration::from_millis(n as u64 + 1));
        let ids: Vec<String> = (0..=OF_ONE_MAX).map(begin).collect();
        assert_eq!(sessions.proof(&ids[0], now), None, "the person's oldest made room");
        assert!(ids[1..].iter().all(|id| sessions.proof(id, now).is_some()));
        assert!(sessions.proof(&other, now).is_some(), "somebody else's is older and stays");
    }

    /// Cookies of others may stand beside ours, in any header and order.
    #[test]
    fn s11_cookies_are_found() {
        let (sessions, now) = (sessions(), Instant::now());
        let id = sessions.begin(Proof::Key([1; 32]), now);
        let found = |cookies: &[&str]| sessions.shown(&showing(cookies), now).is_some();
        for cookies in [
            &[format!("{COOKIE}={id}")][..],
            &[format!("a=b; {COOKIE_TLS}={id};c=d")],
            &["x=y".to_owned(), format!("{COOKIE}={}; {COOKIE}={id}", "a".repeat(ID_LETTERS))],
        ] {
            assert!(found(&cookies.iter().map(String::as_str).collect::<Vec<_>>()), "{cookies:?}");
        }
        for cookies in [&[][..], &[id.as_str()], &[&format!("other={id}")], &[&format!("{COOKIE}={id}x")]] {
            assert!(!found(cookies), "{cookies:?}");
        }
    }

    /// With TLS only the name counts that browsers take from this host over TLS: the other one may have been planted.
    #[test]
    fn s11_under_tls_the_plain_cookie_is_not_taken() {
        let (sessions, now) = (Sessions::new(Duration::from_secs(3600), true), Instant::now());
        let id = sessions.begin(Proof::Key([1; 32]), now);
        let found = |cookie: &str| sessions.shown(&showing(&[cookie]), now).is_some();
        assert!(found(&format!("{COOKIE_TLS}={id}")));
        assert!(!found(&format!("{COOKIE}={id}")));
        // Many planted ones do not hide the right one.
        let planted = format!("{COOKIE}={}; ", "a".repeat(ID_LETTERS)).repeat(COOKIES_MAX);
        assert!(found(&format!("{planted}{COOKIE_TLS}={id}")));
    }
}
