//! One exchange with an OTLP endpoint over each transport, byte by byte as the case wants it, and what came back in one shape.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use serde_json::Value as Json;
use tokio::net::TcpStream;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a request travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    Grpc,
    HttpProtobuf,
    HttpJson,
}

impl Transport {
    pub const ALL: [Self; 3] = [Self::Grpc, Self::HttpProtobuf, Self::HttpJson];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
            Self::HttpJson => "http/json",
        }
    }

    /// The media type of its requests and answers.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Grpc => "application/grpc",
            Self::HttpProtobuf => "application/x-protobuf",
            Self::HttpJson => "application/json",
        }
    }
}

/// Where to send.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// `host:port` of OTLP over gRPC, in clear.
    pub grpc: String,
    /// `host:port` of OTLP over HTTP, in clear.
    pub http: String,
    /// Added to every request, such as `authorization`.
    pub headers: Vec<(String, String)>,
}

/// A request, ready to be written.
#[derive(Clone, Debug)]
pub struct Sent {
    pub method: Method,
    pub path: String,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Vec<u8>,
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Of HTTP; 200 for every answer over gRPC.
    pub status: u16,
    /// Of gRPC; over HTTP the code inside a `Status`, 0 for a success.
    pub code: i32,
    pub rejected: i64,
    pub message: String,
    /// When to come back: `Retry-After`, or `RetryInfo` in the details.
    pub retry_seconds: Option<i64>,
    /// gRPC: the trailer that Python reads says the same.
    pub has_bare_retry_info: bool,
    pub content_type: String,
    pub headers: HeaderMap,
    pub body_bytes: usize,
    /// Why the body is not what it should be.
    pub unreadable: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Export {
    #[prost(message, optional, tag = "1")]
    partial: Option<Partial>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Partial {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    message: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<Delay>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
}

/// Sends a request and reads its answer.
///
/// # Errors
/// When there is none: nobody listens, the connection ends, or it takes longer than a minute.
pub async fn exchange(target: &Target, transport: Transport, sent: Sent) -> Result<Heard, String> {
    let work = async {
        match transport {
            Transport::Grpc => grpc(target, sent).await,
            Transport::HttpProtobuf | Transport::HttpJson => http(target, transport, sent).await,
        }
    };
    tokio::time::timeout(PATIENCE, work).await.map_err(|_| format!("no answer in {} s", PATIENCE.as_secs()))?
}

fn request(target: &Target, sent: Sent, uri: String) -> Result<Request<Full<Bytes>>, String> {
    let mut request = Request::builder().method(sent.method).uri(uri);
    for (name, value) in sent.headers {
        request = request.header(name, value);
    }
    for (name, value) in &target.headers {
        request = request.header(name, value);
    }
    request.body(Full::new(Bytes::from(sent.body))).map_err(|error| error.to_string())
}

async fn http(target: &Target, transport: Transport, mut sent: Sent) -> Result<Heard, String> {
    let socket = TcpStream::connect(&target.http).await.map_err(|error| format!("{}: {error}", target.http))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    let host = HeaderValue::from_str(&target.http).map_err(|error| error.to_string())?;
    sent.headers.push((hyper::header::HOST, host));
    let uri = sent.path.clone();
    let answer = sender.send_request(request(target, sent, uri)?).await.map_err(|error| error.to_string())?;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
    connection.abort();
    let mut heard = Heard {
        status: head.status.as_u16(),
        content_type: text(&head.headers, "content-type"),
        body_bytes: body.len(),
        retry_seconds: text(&head.headers, "retry-after").parse().ok(),
        headers: head.headers,
        ..Heard::default()
    };
    let is_json = match heard.content_type.as_str() {
        "application/json" => true,
        "application/x-protobuf" => false,
        _ => transport == Transport::HttpJson,
    };
    if is_json {
        read_json(&mut heard, &body)
    } else {
        read_protobuf(&mut heard, &body)
    }
    Ok(heard)
}

async fn grpc(target: &Target, mut sent: Sent) -> Result<Heard, String> {
    let socket = TcpStream::connect(&target.grpc).await.map_err(|error| format!("{}: {error}", target.grpc))?;
    let _ = socket.set_nodelay(true);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(socket))
            .await
            .map_err(|error| error.to_string())?;
    let connection = tokio::spawn(connection);
    sent.headers.push((HeaderName::from_static("te"), HeaderValue::from_static("trailers")));
    let uri = format!("http://{}{}", target.grpc, sent.path);
    let answer = sender.send_request(request(target, sent, uri)?).await.map_err(|error| error.to_string())?;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?;
    connection.abort();
    let trailers = body.trailers().cloned().unwrap_or_default();
    let body = body.to_bytes();
    let of = |name: &str| {
        Some(text(&trailers, name)).filter(|value| !value.is_empty()).unwrap_or_else(|| text(&head.headers, name))
    };
    let mut heard = Heard {
        status: head.status.as_u16(),
        content_type: text(&head.headers, "content-type"),
        body_bytes: body.len(),
        headers: head.headers.clone(),
        ..Heard::default()
    };
    match of("grpc-status").parse() {
        Ok(code) => heard.code = code,
        Err(_) => heard.unreadable = Some("there is no grpc-status".to_owned()),
    }
    if heard.code == 0 {
        match body.split_first_chunk::<5>() {
            Some((prefix, message)) if prefix[0] == 0 => read_success(&mut heard, message),
            _ => heard.unreadable = Some("the answer is no frame".to_owned()),
        }
    } else {
        heard.message = percent_decoded(&of("grpc-message"));
        let details = decoded(&of("grpc-status-details-bin"));
        if let Ok(status) = Status::decode(&details[..]) {
            heard.retry_seconds = retry_seconds(&status);
        }
        let bare = RetryInfo::decode(&decoded(&of("google.rpc.retryinfo-bin"))[..]).ok();
        heard.has_bare_retry_info = bare.and_then(|info| info.delay).map(|delay| delay.seconds) == heard.retry_seconds;
    }
    Ok(heard)
}

fn read_protobuf(heard: &mut Heard, body: &[u8]) {
    if heard.status == 200 {
        return read_success(heard, body);
    }
    match Status::decode(body) {
        Ok(status) => (heard.code, heard.message) = (status.code, status.message),
        Err(error) => heard.unreadable = Some(format!("the body is no Status: {error}")),
    }
}

fn read_success(heard: &mut Heard, message: &[u8]) {
    match Export::decode(message) {
        Ok(export) => {
            let partial = export.partial.unwrap_or_default();
            (heard.rejected, heard.message) = (partial.rejected, partial.message);
        }
        Err(error) => heard.unreadable = Some(format!("the body is no export response: {error}")),
    }
}

fn read_json(heard: &mut Heard, body: &[u8]) {
    let Ok(Json::Object(answer)) = serde_json::from_slice::<Json>(body) else {
        heard.unreadable = Some(format!("the body is no JSON object: {:?}", String::from_utf8_lossy(body)));
        return;
    };
    let said = |json: &Json| json.as_str().unwrap_or_default().to_owned();
    if heard.status == 200 {
        let partial = &answer.get("partialSuccess").cloned().unwrap_or_default();
        let rejected = ["rejectedSpans", "rejectedDataPoints", "rejectedLogRecords"].map(|name| &partial[name]);
        let number = |json: &Json| json.as_i64().or_else(|| json.as_str()?.parse().ok());
        heard.rejected = rejected.into_iter().find_map(number).unwrap_or_default();
        heard.message = said(&partial["errorMessage"]);
    } else {
        heard.message = answer.get("message").map(said).unwrap_or_default();
        match answer.get("code").and_then(Json::as_i64) {
            Some(code) => heard.code = code as i32,
            None => heard.unreadable = Some("the body is no Status: it has no code".to_owned()),
        }
    }
}

fn retry_seconds(status: &Status) -> Option<i64> {
    let info = status.details.iter().find(|detail| detail.type_url.ends_with("google.rpc.RetryInfo"))?;
    Some(RetryInfo::decode(&info.value[..]).ok()?.delay?.seconds)
}

fn text(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

fn decoded(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::STANDARD_NO_PAD;
    engine.decode(text.trim_end_matches('=')).unwrap_or_default()
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = after.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match escaped.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
