//! Who is asking, and may they: decided before a byte of the body is read, put into each request's extensions.
//!
//! Without keys there is one tenant, and whoever reaches the door is it. With keys (`door.keys_file`) or tokens (`door.jwt_keys`) every
//! request shows one. The path that is checked is the path that is routed, byte by byte: nothing is decoded in between (S4).
//!
//! | shown as                            | where            | by                                                               |
//! |-------------------------------------|------------------|------------------------------------------------------------------|
//! | `Authorization: Bearer KEY`         | every door       | senders, `curl`, proxies                                         |
//! | `Authorization: Basic`, password KEY | every door      | old tools                                                        |
//! | a cookie (`sessions.rs`)            | the desk         | the page                                                         |
//!
//! `Authorization` counts before a cookie. Only what is shown and wrong counts as a failed attempt (S17), wherever it is shown: who shows
//! nothing is told what to show, as often as it asks. What needs nothing is answered also to who shows something wrong, but for
//! `/api/session`, which would go on telling whether a key is right.
//!
//! A browser sends a cookie or a password it knows along with whatever another site makes it ask. So what changes something and says it
//! comes from another site is refused; with a cookie it must say that it comes from this one, and not look like a form (S11). Without keys on
//! loopback, other names than this machine's are refused (`hosts.rs`).

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method, header};
use model::{Identity, Scope, TenantId};
use tokio::time::Instant;

use crate::attempts::Attempts;
use crate::config::{Config, Listener};
use crate::error::{Error, Result};
use crate::hosts::Hosts;
use crate::keys::{Holder, KeyRing, hash_of, now_unix_s};
use crate::refusal::{Refused, refuse};
use crate::sessions::{self, Known, Proof, Sessions};
use crate::tokens::{Tokens, Verified};

/// What a request needs, by its method and path.
#[derive(Clone, Copy, Debug)]
pub enum Needs {
    /// Every request the same.
    All(Scope),
    /// As a table of routes says.
    ByRoute(fn(&Method, &str) -> Scope),
}

impl Needs {
    fn of(self, method: &Method, path: &str) -> Scope {
        match self {
            Self::All(scope) => scope,
            Self::ByRoute(scope) => scope(method, path),
        }
    }
}

/// Who may pass: everybody, or holders of keys and tokens.
#[derive(Clone, Debug)]
pub struct Access {
    keys: Option<Arc<KeyRing>>,
    tokens: Option<Arc<Tokens>>,
    attempts: Arc<Attempts>,
    sessions: Arc<Sessions>,
}

/// What a request shows of who sends it.
enum Shown {
    Nothing,
    /// Something that opens nothing.
    Wrong,
    Key(Holder),
    Cookie(Holder),
}

/// The address a request comes from, in its extensions: the other end of the connection, or what a listed proxy says (`proxies.rs`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl Access {
    /// Reads the keys, and those of tokens, when there are any, and goes on reading them when they change.
    ///
    /// # Errors
    /// [`Error::Keys`] when the file cannot be used.
    pub fn load(config: &Config) -> Result<Self> {
        let keys = match config.keys_file.as_str() {
            "" => None,
            path => Some(KeyRing::watch(path.as_ref()).map_err(Error::Keys)?),
        };
        let tokens = Tokens::watch(config).map_err(Error::Keys)?;
        let attempts = Arc::new(Attempts::new(config.failed_attempts_per_minute));
        let sessions = Arc::new(Sessions::new(config.session_lasting(), !config.tls_cert.is_empty()));
        Ok(Self { keys, tokens, attempts, sessions })
    }

    /// True when requests need a key or a token.
    pub const fn is_guarded(&self) -> bool {
        self.keys.is_some() || self.tokens.is_some()
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Who holds a key or a token, and what a session could be founded on.
    pub(crate) fn recognize(&self, text: &str) -> Option<(Holder, Proof)> {
        let by_key = || {
            let hash = hash_of(text)?;
            Some((self.keys.as_ref()?.holder(&hash)?, Proof::Key(hash)))
        };
        let by_token = || {
            let verified = self.tokens.as_ref()?.recognize(text)?;
            Some((verified.holder.clone(), Proof::Token(verified)))
        };
        by_key().or_else(by_token)
    }

    /// Who has signed in with the browser that asks. A key that is gone by now opens nothing any more, and neither does a token whose
    /// signer's key is.
    fn signed_in(&self, headers: &HeaderMap) -> Option<Holder> {
        match self.sessions.shown(headers, Instant::now())? {
            Proof::Key(hash) => self.keys.as_ref()?.holder(&hash),
            Proof::Token(Verified { holder, until_unix_s, signer, .. }) => {
                let is_in_force = now_unix_s() < until_unix_s && self.tokens.as_ref()?.trusts(&signer);
                is_in_force.then_some(holder)
            }
        }
    }

    /// What a wrong key or token is answered with; it counts as an attempt of its address.
    pub(crate) fn count_wrong(&self, peer: Option<Peer>, now: Instant) -> Refused {
        let may_go_on = peer.is_none_or(|peer| self.attempts.count(peer.0, now));
        if may_go_on { Refused::Unknown } else { Refused::TooOften }
    }

    fn shown(&self, request: &Request, listener: Listener) -> Shown {
        if request.headers().contains_key(header::AUTHORIZATION) {
            let holder = key_of(request.headers()).and_then(|text| self.recognize(&text));
            return holder.map_or(Shown::Wrong, |(holder, _)| Shown::Key(holder));
        }
        let takes_cookies = listener == Listener::Http && comes_from(request) != From::Elsewhere;
        let holder = if takes_cookies { self.signed_in(request.headers()) } else { None };
        // A session that is over is nothing anybody would try: it is asked to sign in again.
        holder.map_or(Shown::Nothing, Shown::Cookie)
    }

    /// Lets a request pass as somebody, or not. What is known of a holder is for the routes of sessions.
    fn admit(&self, request: &Request, wanted: Scope, listener: Listener) -> Result<(Identity, Known), Refused> {
        let everybody = |is_admin| (Identity { tenant: TenantId::default_tenant(), is_admin }, Known(None));
        if !self.is_guarded() {
            return Ok(everybody(true));
        }
        let shown = self.shown(request, listener);
        match shown {
            Shown::Cookie(_) if is_change(request) && (comes_from(request) != From::Here || is_form(request)) => {
                Err(Refused::Forged)
            }
            Shown::Key(holder) | Shown::Cookie(holder) if holder.may(wanted) => {
                let identity = Identity { is_admin: holder.may(Scope::Admin), tenant: holder.tenant.clone() };
                Ok((identity, Known(Some(holder))))
            }
            Shown::Wrong => {
                let refused = self.count_wrong(request.extensions().get().copied(), Instant::now());
                let is_harmless = refused == Refused::Unknown || request.uri().path() != sessions::PATH;
                if wanted == Scope::Open && is_harmless { Ok(everybody(false)) } else { Err(refused) }
            }
            _ if wanted == Scope::Open => Ok(everybody(false)),
            Shown::Key(_) | Shown::Cookie(_) => Err(Refused::Forbidden(wanted)),
            Shown::Nothing => Err(Refused::Unknown),
        }
    }
}

#[derive(Clone)]
struct Guard {
    access: Access,
    needs: Needs,
    listener: Listener,
    /// Names that are taken; `None` for all.
    hosts: Option<Arc<Hosts>>,
}

/// Lets every request carry the identity of its peer, and ends those that may not pass.
pub(crate) fn identified(
    routes: Router,
    listener: Listener,
    access: Access,
    needs: Needs,
    hosts: Option<Hosts>,
) -> Router {
    let hosts = hosts.map(Arc::new);
    routes.layer(from_fn_with_state(Guard { access, needs, listener, hosts }, guard))
}

async fn guard(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let wanted = guard.needs.of(request.method(), request.uri().path());
    let admitted = match guard.listener {
        _ if guard.hosts.as_ref().is_some_and(|hosts| !hosts.take(&request)) => Err(Refused::OtherHost),
        Listener::Http if is_change(&request) && comes_from(&request) == From::Elsewhere => Err(Refused::Forged),
        listener => guard.access.admit(&request, wanted, listener),
    };
    match admitted {
        Ok((identity, known)) => {
            request.extensions_mut().insert(identity);
            request.extensions_mut().insert(known);
            next.run(request).await
        }
        Err(refused) => {
            tracing::debug!(door = guard.listener.setting(), path = request.uri().path(), ?refused, "refused");
            refuse(guard.listener, request.headers(), refused)
        }
    }
}

/// The key in a request's head.
pub(crate) fn key_of(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    decoded.split_once(':').map(|(_, password)| password.to_owned())
}

/// Which site made a browser ask, as far as it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Here,
    Elsewhere,
    /// It does not say: no browser, an old one, or somebody at its address bar.
    Nowhere,
}

fn comes_from(request: &Request) -> From {
    let text = |name: header::HeaderName| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
    // Modern browsers say it in one word. Older ones give the origin, which a proxy that renames the host makes look foreign.
    match text(header::HeaderName::from_static("sec-fetch-site")) {
        Some("same-origin") => From::Here,
        Some("none") => From::Nowhere,
        Some(_) => From::Elsewhere,
        None => {
            let host = text(header::HOST).or_else(|| request.uri().authority().map(|authority| authority.as_str()));
            match text(header::ORIGIN).map(|origin| origin.split_once("://")) {
                None => From::Nowhere,
                Some(Some((_, of_origin))) if Some(of_origin) == host => From::Here,
                Some(_) => From::Elsewhere,
            }
        }
    }
}

fn is_change(request: &Request) -> bool {
    !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS)
}

/// True for the types of content that a form of any site can send without asking first.
fn is_form(request: &Request) -> bool {
    const FORMS: [&str; 3] = ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded"];
    request.headers().get_all(header::CONTENT_TYPE).iter().any(|value| {
        let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
        FORMS.iter().any(|form| form.eq_ignore_ascii_case(essence))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stand_in_the_head() {
        let key = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().expect("a value"));
            key_of(&headers)
        };
        assert_eq!(key("Bearer hod_1"), Some("hod_1".to_owned()));
        assert_eq!(key("bearer  hod_1 "), Some("hod_1".to_owned()));
        // "anybody:hod_1"
        assert_eq!(key("Basic YW55Ym9keTpob2RfMQ=="), Some("hod_1".to_owned()));
        for wrong in ["hod_1", "Basic x", "Digest hod_1", "Basic aG9kXzE="] {
            assert_eq!(key(wrong), None, "{wrong}");
        }
        assert_eq!(key_of(&HeaderMap::new()), None);
    }

    /// S11: where a request comes from, as browsers of all ages say it.
    #[test]
    fn s11_browsers_say_where_requests_come_from() {
        let from = |headers: &[(&str, &str)]| {
            let mut request = Request::builder().method("POST").uri("/api/silences").header("host", "h:4319");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            comes_from(&request.body(axum::body::Body::empty()).expect("a request"))
        };
        for headers in [
            &[("origin", "http://evil.example")][..],
            &[("origin", "http://h:4318")],
            &[("origin", "null")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("origin", "http://h:4319"), ("sec-fetch-site", "cross-site")],
        ] {
            assert_eq!(from(headers), From::Elsewhere, "{headers:?}");
        }
        for headers in
            [&[("origin", "http://h:4319")][..], &[("origin", "https://h.example"), ("sec-fetch-site", "same-origin")]]
        {
            assert_eq!(from(headers), From::Here, "{headers:?}");
        }
        for headers in [&[][..], &[("sec-fetch-site", "none")]] {
            assert_eq!(from(headers), From::Nowhere, "{headers:?}");
        }
    }
}
