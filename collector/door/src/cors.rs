//! Pages of other origins that may send telemetry (T17): SDKs in browsers, over OTLP/HTTP.
//!
//! Off unless `door.cors_origins` lists origins. Then a browser's question whether it may send (a preflight) is answered here, before
//! anybody is asked for a key: browsers show none with it. What is sent afterwards is judged like any other request, and its answer says
//! that the page may read it, refusals included.
//!
//! | listed                       | which pages                                                          | with credentials |
//! |------------------------------|----------------------------------------------------------------------|------------------|
//! | `https://shop.example`       | of this origin                                                       | yes              |
//! | `https://*.shop.example`     | of every name in place of the star, which never spans a dot          | yes              |
//! | `*`                          | all                                                                  | never            |
//!
//! Compared is what browsers say: `https://Shop.example:443` is listed as `https://shop.example`.
//!
//! Credentials mean that the browser may send along what it knows. Cookies of ours are not taken on these ports (`sessions.rs`); browsers
//! send `navigator.sendBeacon`, which SDKs use, in this mode only. On the desk there is no such list: its page is its own origin.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN, VARY,
};
use http::{Method, StatusCode};

use crate::config::{Config, Listener};

/// Longest list of headers that a preflight may ask for.
const HEADERS_BYTES_MAX: usize = 1024;

/// Which pages, and for how long a browser remembers that.
#[derive(Clone, Debug)]
struct Cors {
    origins: Arc<[String]>,
    max_age_s: u64,
}

/// Lets pages of the listed origins send to these routes.
pub(crate) fn allowing(routes: Router, config: &Config, listener: Listener) -> Router {
    if listener != Listener::OtlpHttp || config.cors_origins.is_empty() {
        return routes;
    }
    let origins = config.cors_origins.iter().filter_map(|listed| canonical(listed)).collect();
    routes.layer(from_fn_with_state(Cors { origins, max_age_s: config.cors_max_age_s }, answer))
}

async fn answer(State(cors): State<Cors>, request: Request, next: Next) -> Response {
    let allowed = cors.allowed(request.headers());
    let is_preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut answer = match &allowed {
        Some(_) if is_preflight => cors.preflight(request.headers()),
        _ => next.run(request).await,
    };
    let head = answer.headers_mut();
    // The same question from another page has another answer.
    head.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = allowed {
        if origin != "*" {
            head.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        head.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        head.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Retry-After"));
    }
    answer
}

impl Cors {
    /// What a page that may send is told it is: its origin, or `*` where all may.
    fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let mut said = headers.get_all(ORIGIN).iter();
        let (origin, None) = (said.next()?, said.next()) else { return None };
        let text = origin.to_str().ok()?;
        if self.origins.iter().any(|listed| listed != "*" && is_like(listed, text)) {
            return Some(origin.clone());
        }
        self.origins.iter().any(|listed| listed == "*").then(|| HeaderValue::from_static("*"))
    }

    /// Yes: `POST`, with the headers that were asked for. What they hold is judged when they come.
    fn preflight(&self, headers: &HeaderMap) -> Response {
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::NO_CONTENT;
        let head = answer.headers_mut();
        head.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
        head.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(self.max_age_s));
        let asked = headers.get(ACCESS_CONTROL_REQUEST_HEADERS).filter(|asked| asked.len() <= HEADERS_BYTES_MAX);
        if let Some(asked) = asked {
            head.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
        for name in [ACCESS_CONTROL_REQUEST_METHOD, ACCESS_CONTROL_REQUEST_HEADERS] {
            head.append(VARY, name.into());
        }
        answer
    }
}

/// True when an origin is the listed one, in lower case, or has something without dots in place of its star.
fn is_like(listed: &str, origin: &str) -> bool {
    let origin = origin.to_ascii_lowercase();
    match listed.split_once('*') {
        None => listed == origin,
        Some((before, after)) => {
            origin.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)).is_some_and(|name| {
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            })
        }
    }
}

/// What is listed in the words of browsers: lower case, no port that the scheme has anyway, addresses in their one form. `None` for what is
/// no origin.
fn canonical(listed: &str) -> Option<String> {
    if listed == "*" {
        return Some(listed.to_owned());
    }
    let origin = url::Url::parse(listed).ok().filter(|_| is_origin(listed))?.origin();
    origin.is_tuple().then(|| origin.ascii_serialization())
}

/// True for what can be listed: `*`, or scheme and host, with a port or without, and one star at most, inside a name of the host.
pub(crate) fn is_origin(listed: &str) -> bool {
    let Some((scheme, authority)) = listed.split_once("://") else { return listed == "*" };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse::<u16>().is_ok()),
        _ => (authority, true),
    };
    let is_address =
        host.starts_with('[') && host.ends_with(']') && host[1..host.len() - 1].parse::<std::net::Ipv6Addr>().is_ok();
    let is_name = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_*".contains(&byte))
    };
    let has_name = is_address || host.split('.').all(is_name);
    // A star in place of the last name would be as good as all of them.
    let last = host.rsplit('.').next().unwrap_or_default();
    let stars = listed.matches('*').count();
    let is_web = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let is_like_one = is_web && port && has_name && stars <= 1 && !last.contains('*');
    // What looks like an address and is none is no host either.
    is_like_one && url::Url::parse(listed).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t17_origins_are_exact_or_have_a_star_in_a_name() {
        for (listed, origin) in [
            ("https://shop.example", "https://shop.example"),
            ("https://shop.example", "HTTPS://Shop.Example"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("https://*.shop.example", "https://www.shop.example"),
            ("https://app-*.shop.example:8443", "https://app-7.shop.example:8443"),
            ("https://shop.example:443", "https://shop.example"),
            ("http://shop.example:80", "http://shop.example"),
            ("https://*.shop.example:0443", "https://www.shop.example"),
            ("HTTPS://Shop.Example", "https://shop.example"),
            ("http://[0:0:0:0:0:0:0:1]:4711", "http://[::1]:4711"),
            ("http://[FD00::0007]", "http://[fd00::7]"),
            ("http://[::ffff:127.0.0.1]", "http://[::ffff:7f00:1]"),
            ("http://127.0.0.001", "http://127.0.0.1"),
        ] {
            let canonical = canonical(listed).expect("an origin");
            assert!(is_origin(listed) && is_like(&canonical, origin), "{listed} {origin}");
        }
        for (listed, origin) in [
            ("https://shop.example", "http://shop.example"),
            ("https://shop.example", "https://shop.example:8443"),
            ("https://shop.example:80", "https://shop.example"),
            ("https://shop.example", "https://shop.example.evil.example"),
            ("https://*.shop.example", "https://shop.example"),
            ("https://*.shop.example", "https://.shop.example"),
            ("https://*.shop.example", "https://a.b.shop.example"),
            ("https://*.shop.example", "https://evil.example/.shop.example"),
            ("https://*.shop.example", "https://evil@x.shop.example"),
            ("https://*.shop.example", "null"),
        ] {
            let canonical = canonical(listed).expect("an origin");
            assert!(is_origin(listed) && !is_like(&canonical, origin), "{listed} {origin}");
        }
        for listed in ["*", "http://[::1]:80", "http://127.0.0.1"] {
            assert!(is_origin(listed), "{listed}");
        }
        for listed in [
            "",
            "null",
            "shop.example",
            "https://",
            "https://shop.example/",
            "https://shop.example/path",
            "ftp://shop.example",
            "https://*",
            "https://shop.*",
            "https://*.*.example",
            "https://shop.example:*",
            "https://shop.example:99999",
            "http://127.0.0.256",
            "http://1.2.3.4.5",
            "https://user@shop.example",
            "**",
        ] {
            assert!(!is_origin(listed), "{listed}");
        }
    }
}
