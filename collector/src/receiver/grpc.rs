//! OTLP/gRPC: framing, trailers, answers.
//!
//! A unary call is one frame there and one frame back:
//!
//! ```text
//! 0          1                    5
//! ┌──────────┬────────────────────┬───────────────
//! │ 1 if     │ length of message, │ message
//! │ compressed│ 4 bytes big endian │
//! └──────────┴────────────────────┴───────────────
//! ```
//!
//! A refusal has no frame: its status stands in the headers, details included.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::any;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::{BodyExt as _, Full};

use tonic::metadata::{MetadataMap, MetadataValue};

use super::compression::{ACCEPTED, Coding};
use super::http::{success_protobuf, wrong_port};
use super::status::{Refusal, cut};
use super::{body, guarded, tenant};
use crate::error::{Error, Result};
use crate::ingest::{self, Encoding, Ingest};
use crate::metrics::Transport;
use crate::outcome::{Outcome, Signal};

/// Bytes before a message.
const PREFIX_BYTES: usize = 5;
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Where the Python exporter looks for the hint; Go and Rust read it from the status' details (A13).
const RETRY_INFO: &str = "google.rpc.retryinfo-bin";

/// Paths of the export methods.
const METHODS: [(Signal, &str); 3] = [
    (Signal::Traces, "/opentelemetry.proto.collector.trace.v1.TraceService/Export"),
    (Signal::Metrics, "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"),
    (Signal::Logs, "/opentelemetry.proto.collector.logs.v1.LogsService/Export"),
];

/// The routes of OTLP/gRPC.
pub(crate) fn routes(ingest: &Arc<Ingest>) -> Router {
    services(Router::new(), ingest).fallback(async |request: Request| {
        if is_grpc(request.headers()) { unknown_method(&request) } else { wrong_port(&request) }
    })
}

/// Adds the export methods to a router.
pub(super) fn services(mut router: Router, ingest: &Arc<Ingest>) -> Router {
    for (signal, path) in METHODS {
        let ingest = Arc::clone(ingest);
        router = router.route(path, any(move |request: Request| export(Arc::clone(&ingest), signal, request)));
    }
    router
}

/// True when a peer speaks gRPC.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = value.split(';').next().unwrap_or("").trim();
    ["application/grpc", "application/grpc+proto"].iter().any(|name| essence.eq_ignore_ascii_case(name))
}

/// T6, T19: there is no such service or method.
pub(super) fn unknown_method(request: &Request) -> Response {
    let detail = format!(
        "method {} does not exist: traces, metrics and logs are taken by their Export methods",
        cut(request.uri().path().to_owned())
    );
    refuse(&Error::NotFound { detail })
}

/// One export call.
async fn export(ingest: Arc<Ingest>, signal: Signal, request: Request) -> Response {
    if !is_grpc(request.headers()) || request.method() != Method::POST {
        return wrong_port(&request);
    }
    let result = guarded(take(&ingest, signal, request)).await;
    ingest.metrics.count_answer(Transport::Grpc, signal, result.as_ref());
    match result {
        Ok(outcome) => succeed(&success_protobuf(signal, &outcome)),
        Err(error) => {
            tracing::debug!(signal = signal.as_str(), transport = "grpc", %error, "request refused");
            refuse(&error)
        }
    }
}

async fn take(ingest: &Arc<Ingest>, signal: Signal, request: Request) -> Result<Outcome> {
    let tenant = tenant(&request)?;
    ingest.admit(&tenant)?;
    let unreadable = |_| Error::UnsupportedCoding { coding: "unreadable".to_owned() };
    let coding = request.headers().get(GRPC_ENCODING).map(HeaderValue::to_str).transpose().map_err(unreadable)?;
    let coding = Coding::parse(coding)?;
    let limit_bytes = ingest.config.request_bytes_max;
    let framed_limit = limit_bytes.saturating_add(PREFIX_BYTES as u64);
    let foresee = |first: &[u8]| {
        let (_, length) = first.first_chunk::<PREFIX_BYTES>()?.split_first_chunk::<1>()?;
        Some(u64::from(u32::from_be_bytes(length.try_into().ok()?)) + PREFIX_BYTES as u64)
    };
    let read = body::read(ingest, request.into_body(), framed_limit, foresee).await;
    // The person who reads it set a limit on messages, not on frames.
    let (framed, reservation) = read.map_err(|error| match error {
        Error::TooLarge { stage, .. } => Error::TooLarge { limit_bytes, stage },
        error => error,
    })?;
    let (is_compressed, body) = unframe(&framed, limit_bytes)?;
    let coding = match (is_compressed, coding) {
        (false, _) => Coding::Identity,
        (true, Coding::Identity) => {
            return Err(Error::undecodable("the frame is compressed, but grpc-encoding is not said"));
        }
        (true, coding) => coding,
    };
    ingest.take(ingest::Request { signal, tenant, encoding: Encoding::Protobuf, coding, body, reservation }).await
}

/// The message of a unary call, and whether it is compressed.
fn unframe(framed: &Bytes, limit_bytes: u64) -> Result<(bool, Bytes)> {
    let Some((prefix, rest)) = framed.split_first_chunk::<PREFIX_BYTES>() else {
        return Err(Error::undecodable("the call has no message"));
    };
    let [flag, length @ ..] = *prefix;
    let length = u64::from(u32::from_be_bytes(length));
    if length > limit_bytes {
        return Err(Error::TooLarge { limit_bytes, stage: "as sent" });
    }
    if flag > 1 {
        return Err(Error::undecodable(format!("a frame begins with 0 or 1, not {flag}")));
    }
    if rest.len() as u64 != length {
        return Err(Error::undecodable(format!("the frame says {length} bytes, {} came", rest.len())));
    }
    Ok((flag == 1, framed.slice(PREFIX_BYTES..)))
}

fn succeed(message: &[u8]) -> Response {
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
    let body = Full::new(frame.freeze()).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn refuse(error: &Error) -> Response {
    let refusal = Refusal::of(error);
    let details = Bytes::from(refusal.body(Encoding::Protobuf));
    let mut metadata = MetadataMap::new();
    if let Some(retry_info) = refusal.retry_info() {
        metadata.insert_bin(RETRY_INFO, MetadataValue::from_bytes(&retry_info));
    }
    let status = tonic::Status::with_details_and_metadata(refusal.code, refusal.message, details, metadata);
    let mut response = status.into_http::<Body>();
    if matches!(error, Error::UnsupportedCoding { .. }) {
        response.headers_mut().insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
    }
    response
}
