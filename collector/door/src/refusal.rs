//! What a peer hears that may not pass, in the words of its transport.
//!
//! | door       | no key, a wrong or an old one                         | a key without the scope                 |
//! |------------|-------------------------------------------------------|-----------------------------------------|
//! | gRPC       | status 16 `UNAUTHENTICATED`                           | status 7 `PERMISSION_DENIED`            |
//! | OTLP/HTTP  | 401 with a `google.rpc.Status`, protobuf or JSON      | 403, the same                           |
//! | the desk   | 401 problem document; browsers that go to an address there ask for a password | 403 problem document |
//!
//! None of them is worth another attempt, and senders that follow OTLP make none. Who showed something wrong too often (S17) hears
//! status 8 `RESOURCE_EXHAUSTED` or 429 instead; who names another machine (S11), status 7 or 403.
//!
//! Only who wants to see a page (`Accept: text/html`) is told that a password would do. What a page asks for by itself is not: the
//! browser would ask for one over the page that signs in. `Sec-Fetch-Mode` says the same, but beyond loopback browsers leave it out
//! without TLS.

use axum::body::Body;
use axum::response::Response;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, StatusCode};
use model::Scope;

use crate::config::Listener;

/// When to come back after too many attempts: the longest hint that senders follow (A12).
const RETRY_SECONDS: u16 = 5;

/// Why a request does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// No key, or none that is known.
    Unknown,
    /// A key without this scope.
    Forbidden(Scope),
    /// A key that is not known, and too often so.
    TooOften,
    /// Another site wants something changed, or perhaps so.
    Forged,
    /// The request names another machine.
    OtherHost,
}

impl Refused {
    const fn status(self) -> StatusCode {
        match self {
            Self::Unknown => StatusCode::UNAUTHORIZED,
            Self::TooOften => StatusCode::TOO_MANY_REQUESTS,
            Self::Forbidden(_) | Self::Forged | Self::OtherHost => StatusCode::FORBIDDEN,
        }
    }

    /// As gRPC numbers it.
    const fn code(self) -> u8 {
        match self {
            Self::Unknown => 16,
            Self::TooOften => 8,
            Self::Forbidden(_) | Self::Forged | Self::OtherHost => 7,
        }
    }

    fn detail(self) -> String {
        match self {
            Self::Unknown => {
                "send a valid key as Authorization: Bearer KEY; `hodoscope keys create` makes one".to_owned()
            }
            Self::Forbidden(scope) => format!("this key lacks the scope {}", scope.as_str()),
            Self::TooOften => "too many attempts from this address with a wrong key; wait a minute".to_owned(),
            Self::Forged => {
                "what a browser changes must come from this page; Origin or Sec-Fetch-Site says otherwise, or nothing"
                    .to_owned()
            }
            Self::OtherHost => {
                "no such host here: say localhost, list the name in door.hosts, or use keys (door.keys_file)".to_owned()
            }
        }
    }
}

/// The answer.
pub(crate) fn refuse(listener: Listener, headers: &HeaderMap, refused: Refused) -> Response {
    let (code, detail) = (refused.code(), refused.detail());
    let mut answer = match listener {
        Listener::OtlpGrpc => {
            let mut answer = shaped(StatusCode::OK, "application/grpc", Body::empty());
            let message: String = detail.chars().map(|c| if c == '%' { ' ' } else { c }).collect();
            let head = answer.headers_mut();
            head.insert(HeaderName::from_static("grpc-status"), HeaderValue::from(u16::from(code)));
            if let Ok(message) = HeaderValue::from_str(&message) {
                head.insert(HeaderName::from_static("grpc-message"), message);
            }
            return answer;
        }
        Listener::OtlpHttp => {
            let asked = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
            if asked.starts_with("application/json") {
                let body = serde_json::json!({"code": code, "message": detail}).to_string();
                shaped(refused.status(), "application/json", Body::from(body))
            } else {
                shaped(refused.status(), "application/x-protobuf", Body::from(rpc_status(code, &detail)))
            }
        }
        Listener::Http => {
            let (kind, title) = match refused {
                Refused::Unknown => ("unauthenticated", "A key is needed"),
                Refused::Forbidden(_) => ("forbidden", "The key does not allow this"),
                Refused::TooOften => ("too_many_attempts", "Too many attempts"),
                Refused::Forged => ("forbidden", "Not from another site"),
                Refused::OtherHost => ("forbidden", "This name is not served"),
            };
            let status = refused.status().as_u16();
            let body =
                serde_json::json!({"type": kind, "title": title, "status": status, "detail": detail}).to_string();
            shaped(refused.status(), "application/problem+json", Body::from(body))
        }
    };
    if refused == Refused::TooOften {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
    }
    if refused == Refused::Unknown {
        let head = answer.headers_mut();
        head.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"hodoscope\""));
        if listener == Listener::Http && is_at_address_bar(headers) {
            head.append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"hodoscope\", charset=\"UTF-8\""));
        }
    }
    answer
}

/// True when somebody at the address bar of a browser asks, not a page or a program.
fn is_at_address_bar(headers: &HeaderMap) -> bool {
    let wants_a_page = headers.get_all(ACCEPT).iter().any(|value| {
        let types = value.to_str().unwrap_or_default().split(',');
        types.filter_map(|one| one.split(';').next()).any(|essence| essence.trim().eq_ignore_ascii_case("text/html"))
    });
    wants_a_page && headers.get("sec-fetch-mode").is_none_or(|mode| mode == "navigate")
}

pub(crate) fn shaped(status: StatusCode, content_type: &'static str, body: Body) -> Response {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer.headers_mut().insert(http::header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// `google.rpc.Status` with code and message, as protobuf: field 1 a varint, field 2 a text shorter than 128 bytes.
fn rpc_status(code: u8, message: &str) -> Vec<u8> {
    let message = message.get(..127).unwrap_or(message);
    let mut bytes = vec![0x08, code, 0x12, u8::try_from(message.len()).unwrap_or(127)];
    bytes.extend_from_slice(message.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_speak_the_language_of_their_door() {
        let json: HeaderMap = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))].into_iter().collect();
        let none = HeaderMap::new();
        let shape = |listener, headers: &HeaderMap, refused| {
            let answer = refuse(listener, headers, refused);
            let kind = answer.headers()[CONTENT_TYPE].to_str().expect("text").to_owned();
            (answer.status().as_u16(), kind, answer.headers().get_all(WWW_AUTHENTICATE).iter().count())
        };
        let unknown = Refused::Unknown;
        assert_eq!(shape(Listener::OtlpGrpc, &none, unknown), (200, "application/grpc".to_owned(), 0));
        assert_eq!(shape(Listener::OtlpHttp, &none, unknown), (401, "application/x-protobuf".to_owned(), 1));
        assert_eq!(shape(Listener::OtlpHttp, &json, unknown), (401, "application/json".to_owned(), 1));
        assert_eq!(shape(Listener::Http, &none, unknown), (401, "application/problem+json".to_owned(), 1));
        let lacking = Refused::Forbidden(Scope::Admin);
        assert_eq!(shape(Listener::Http, &none, lacking), (403, "application/problem+json".to_owned(), 0));
        assert_eq!(shape(Listener::Http, &none, Refused::TooOften), (429, "application/problem+json".to_owned(), 0));
        assert_eq!(shape(Listener::OtlpHttp, &json, Refused::OtherHost), (403, "application/json".to_owned(), 0));
        for refused in [unknown, lacking, Refused::Forged, Refused::TooOften, Refused::OtherHost] {
            assert!(refused.detail().len() < 128, "one byte holds its length");
        }
        assert_eq!(rpc_status(16, "ab"), [0x08, 16, 0x12, 2, b'a', b'b']);
    }

    /// A password is asked for at the address bar and never over the page, also where browsers do not say who asks (no TLS, not
    /// loopback).
    #[test]
    fn passwords_are_asked_for_at_the_address_bar() {
        let chromium = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";
        let asks = |headers: &[(&'static str, &'static str)]| {
            let headers = headers
                .iter()
                .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
            refuse(Listener::Http, &headers, Refused::Unknown).headers().get_all(WWW_AUTHENTICATE).iter().count() == 2
        };
        for headers in [
            &[("accept", chromium)][..],
            &[("accept", "application/xml;q=0.1, TEXT/HTML;q=0.5")],
            &[("accept", chromium), ("sec-fetch-mode", "navigate")],
        ] {
            assert!(asks(headers), "{headers:?}");
        }
        for headers in [
            &[][..],
            &[("accept", "*/*")],
            &[("accept", "application/json")],
            &[("accept", "text/event-stream")],
            &[("accept", "text/plain")],
            &[("accept", "application/json; x=text/html")],
            &[("sec-fetch-mode", "navigate")],
            &[("accept", chromium), ("sec-fetch-mode", "cors")],
        ] {
            assert!(!asks(headers), "{headers:?}");
        }
    }
}
