//! What a case is: the rule it stands for, what is sent, what must come back.

use hyper::Method;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::Value as Json;

use super::schema;
use super::wire::{Heard, Sent, Transport};

/// The three kinds of telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Traces,
    Metrics,
    Logs,
}

impl Signal {
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    fn path(self, transport: Transport) -> String {
        if transport != Transport::Grpc {
            return format!("/v1/{}", self.as_str());
        }
        let (package, service) = match self {
            Self::Traces => ("trace", "TraceService"),
            Self::Metrics => ("metrics", "MetricsService"),
            Self::Logs => ("logs", "LogsService"),
        };
        format!("/opentelemetry.proto.collector.{package}.v1.{service}/Export")
    }
}

/// What must come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// All stored, and nothing to say (A1).
    Taken,
    /// All stored; a remark may be made.
    Kept,
    /// All stored, with a remark (A4).
    Warned,
    /// So many items refused, the others stored (A3).
    Partial(i64),
    /// Refused with this status over HTTP and gRPC, not worth another attempt.
    Refused(u16, i32),
}

/// A5.
pub const BAD: Expect = Expect::Refused(400, 3);
/// A6.
pub const LARGE: Expect = Expect::Refused(413, 8);
/// T4.
pub const MEDIA: Expect = Expect::Refused(415, 0);
/// T7.
pub const CODING: Expect = Expect::Refused(415, 12);
/// T6, T19.
pub const UNKNOWN: Expect = Expect::Refused(404, 12);

/// One request and its answer, over the transports that can say it.
#[derive(Clone, Debug)]
pub struct Case {
    pub rule: &'static str,
    pub name: String,
    pub signal: Signal,
    pub on: Vec<Transport>,
    pub expect: Expect,
    protobuf: Vec<u8>,
    json: Vec<u8>,
    coding: Option<Coding>,
    /// gRPC: instead of one frame with the message.
    frames: Option<Vec<u8>>,
    /// HTTP: instead of the encoding's media type.
    media: Option<Vec<&'static [u8]>>,
    method: Method,
    path: Option<[&'static str; 2]>,
}

/// What the header says, and what was done to the body.
#[derive(Clone, Copy, Debug)]
struct Coding {
    says: &'static str,
    pack: fn(&[u8]) -> Vec<u8>,
}

impl Case {
    /// The same message over every transport.
    pub fn new(rule: &'static str, name: impl Into<String>, signal: Signal, message: &Json, expect: Expect) -> Self {
        Self::bytes(rule, name, signal, (schema::to_protobuf(message), message.to_string().into_bytes()), expect)
    }

    /// A body per encoding.
    pub fn bytes(
        rule: &'static str,
        name: impl Into<String>,
        signal: Signal,
        (protobuf, json): (Vec<u8>, Vec<u8>),
        expect: Expect,
    ) -> Self {
        Self {
            rule,
            name: name.into(),
            signal,
            on: Transport::ALL.to_vec(),
            expect,
            protobuf,
            json,
            coding: None,
            frames: None,
            media: None,
            method: Method::POST,
            path: None,
        }
    }

    /// Over these transports only: the others cannot say it.
    pub fn only(mut self, on: &[Transport]) -> Self {
        self.on = on.to_vec();
        self
    }

    /// The header says `coding`, the body is what `pack` makes of it.
    pub fn coded(mut self, coding: &'static str, pack: fn(&[u8]) -> Vec<u8>) -> Self {
        self.coding = Some(Coding { says: coding, pack });
        self
    }

    pub fn frames(mut self, frames: Vec<u8>) -> Self {
        self.frames = Some(frames);
        self.only(&[Transport::Grpc])
    }

    pub fn media(mut self, media: &[&'static [u8]]) -> Self {
        self.media = Some(media.to_vec());
        self
    }

    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Another path, over HTTP and over gRPC.
    pub fn path(mut self, http: &'static str, grpc: &'static str) -> Self {
        self.path = Some([http, grpc]);
        self
    }

    /// The request as it is written.
    pub fn sent(&self, transport: Transport) -> Sent {
        let plain = if transport == Transport::HttpJson { &self.json } else { &self.protobuf };
        let mut body = self.coding.map_or_else(|| plain.clone(), |coding| (coding.pack)(plain));
        let mut headers = Vec::new();
        let coding = self.coding.map(|coding| HeaderValue::from_static(coding.says));
        let is_grpc = transport == Transport::Grpc;
        if is_grpc {
            let flag = self.coding.is_some_and(|coding| coding.says != "identity");
            body = self.frames.clone().unwrap_or_else(|| frame(u8::from(flag), &body));
            headers.push((CONTENT_TYPE, HeaderValue::from_static("application/grpc")));
            headers.extend(coding.map(|coding| (HeaderName::from_static("grpc-encoding"), coding)));
        } else {
            let usual = [transport.media_type().as_bytes()];
            let media = self.media.as_deref().unwrap_or(&usual);
            let value = |bytes: &&[u8]| HeaderValue::from_bytes(bytes).expect("a header can hold it");
            headers.extend(media.iter().map(|bytes| (CONTENT_TYPE, value(bytes))));
            headers.extend(coding.map(|coding| (CONTENT_ENCODING, coding)));
        }
        let path = self
            .path
            .map_or_else(|| self.signal.path(transport), |[http, grpc]| if is_grpc { grpc } else { http }.to_owned());
        Sent { method: self.method.clone(), path, headers, body }
    }

    /// Whether this is the answer.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn judge(&self, transport: Transport, heard: &Heard) -> Result<(), String> {
        let Heard { status, code, rejected, message, .. } = heard;
        let said = format!("HTTP {status}, code {code}, rejected {rejected}, {message:?}");
        let wrong = |why: &str| Err(format!("{why}: {said}"));
        if let Some(why) = &heard.unreadable
            && self.method != Method::HEAD
        {
            return wrong(why);
        }
        let is_grpc = transport == Transport::Grpc;
        // T5: the answer speaks the encoding of the request; JSON where it had none that is known.
        let is_odd = self.media.as_ref().is_some_and(|_| self.expect == MEDIA);
        let media_type = if is_odd { "application/json" } else { transport.media_type() };
        if heard.content_type != media_type {
            return wrong(&format!("T5: content type {:?}, not {media_type}", heard.content_type));
        }
        if heard.body_bytes >= 4 << 20 || message.len() > 1024 {
            return wrong("T13: too long an answer");
        }
        if heard.retry_seconds.is_some_and(|seconds| !(1..=5).contains(&seconds)) {
            return wrong("A12: the hint is not 1 to 5 seconds");
        }
        let succeeded = if is_grpc { *code == 0 } else { *status == 200 };
        let expected = match self.expect {
            Expect::Taken => succeeded && *rejected == 0 && message.is_empty(),
            Expect::Kept => succeeded && *rejected == 0,
            Expect::Warned => succeeded && *rejected == 0 && !message.is_empty(),
            Expect::Partial(n) => succeeded && *rejected == n && !message.is_empty(),
            Expect::Refused(of_http, of_grpc) => {
                let as_said = if is_grpc { *code == of_grpc } else { *status == of_http };
                as_said && heard.retry_seconds.is_none()
            }
        };
        if !expected {
            return wrong(&format!("expected {:?}", self.expect));
        }
        match self.expect {
            CODING => {
                let name = if is_grpc { "grpc-accept-encoding" } else { "accept-encoding" };
                let accepted = heard.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
                if !accepted.contains("gzip") {
                    return wrong(&format!("T7: {name} does not name gzip"));
                }
            }
            Expect::Refused(405, _) if heard.headers.get("allow").is_none_or(|allowed| allowed != "POST") => {
                return wrong("T6: Allow is not POST");
            }
            _ => {}
        }
        Ok(())
    }
}

/// A frame of gRPC.
pub fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
    [&[flag][..], &(message.len() as u32).to_be_bytes(), message].concat()
}
