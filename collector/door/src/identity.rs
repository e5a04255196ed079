//! Who is asking, and may they: decided before a byte of the body is read, put into each request's extensions.
//!
//! Without keys there is one tenant, and whoever reaches the door is it. With keys (`door.keys_file`) or tokens (`door.jwt_keys`) every
//! request carries one: `Authorization: Bearer KEY`, or, for browsers and old tools, `Basic` with the key as the password. The path that is checked is
//! the path that is routed, byte by byte: nothing is decoded in between (S4).
//!
//! A browser sends a password it knows along with whatever another site makes it ask, so what changes something and says it
//! comes from another site is refused (S11). Without keys on loopback, other names than this machine's are refused (`hosts.rs`).

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
use crate::keys::{Holder, KeyRing};
use crate::refusal::{Refused, refuse};
use crate::tokens::Tokens;

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
}

/// The address at the other end of a connection, in the extensions of its requests.
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
        Ok(Self { keys, tokens, attempts: Arc::new(Attempts::new(config.failed_attempts_per_minute)) })
    }

    /// True when requests need a key or a token.
    pub const fn is_guarded(&self) -> bool {
        self.keys.is_some() || self.tokens.is_some()
    }

    fn recognize(&self, text: &str) -> Option<Holder> {
        let by_key = self.keys.as_ref().and_then(|keys| keys.recognize(text));
        by_key.or_else(|| self.tokens.as_ref()?.recognize(text))
    }

    fn admit(&self, request: &Request, wanted: Scope) -> Result<Identity, Refused> {
        let everybody = |is_admin| Identity { tenant: TenantId::default_tenant(), is_admin };
        if !self.is_guarded() {
            return Ok(everybody(true));
        }
        let holder = key_of(request.headers()).and_then(|text| self.recognize(&text));
        match holder {
            Some(holder) if holder.may(wanted) => {
                Ok(Identity { is_admin: holder.may(Scope::Admin), tenant: holder.tenant })
            }
            _ if wanted == Scope::Open => Ok(everybody(false)),
            Some(_) => Err(Refused::Forbidden(wanted)),
            None => {
                let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
                let may_go_on = peer.is_none_or(|peer| self.attempts.count(peer, Instant::now()));
                Err(if may_go_on { Refused::Unknown } else { Refused::TooOften })
            }
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
        Listener::Http if is_forged(&request) => Err(Refused::Forged),
        _ => guard.access.admit(&request, wanted),
    };
    match admitted {
        Ok(identity) => {
            request.extensions_mut().insert(identity);
            next.run(request).await
        }
        Err(refused) => {
            tracing::debug!(door = guard.listener.setting(), path = request.uri().path(), ?refused, "refused");
            refuse(guard.listener, request.headers(), refused)
        }
    }
}

/// The key in a request's head.
fn key_of(headers: &HeaderMap) -> Option<String> {
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

/// True when a browser says that another site wants something changed.
fn is_forged(request: &Request) -> bool {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return false;
    }
    let text = |name: header::HeaderName| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
    // Modern browsers say it in one word. Older ones give the origin, which a proxy that renames the host makes look foreign.
    match text(header::HeaderName::from_static("sec-fetch-site")) {
        Some(site) => !matches!(site, "same-origin" | "none"),
        None => {
            let host = text(header::HOST).or_else(|| request.uri().authority().map(|authority| authority.as_str()));
            text(header::ORIGIN)
                .is_some_and(|origin| origin.split_once("://").is_none_or(|(_, of_origin)| Some(of_origin) != host))
        }
    }
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

    /// S11: what another site makes a browser send changes nothing.
    #[test]
    fn s11_forged_requests_are_seen() {
        let request = |method: &str, headers: &[(&str, &str)]| {
            let mut request = Request::builder().method(method).uri("/api/silences").header("host", "h:4319");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            request.body(axum::body::Body::empty()).expect("a request")
        };
        for headers in [
            &[("origin", "http://evil.example")][..],
            &[("origin", "http://h:4318")],
            &[("origin", "null")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
        ] {
            assert!(is_forged(&request("POST", headers)), "{headers:?}");
            assert!(!is_forged(&request("GET", headers)), "{headers:?}");
        }
        for headers in [
            &[][..],
            &[("origin", "http://h:4319")],
            &[("origin", "https://h.example"), ("sec-fetch-site", "same-origin")],
        ] {
            assert!(!is_forged(&request("DELETE", headers)), "{headers:?}");
        }
    }
}
