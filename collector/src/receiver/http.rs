//! OTLP/HTTP: paths, media types, answers.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::response::Response;
use axum::routing::post;
use http::header::{ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use model::TenantId;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsPartialSuccess, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use prost::Message as _;
use serde_json::{Value as Json, json};

use super::compression::{self, Coding};
use super::status::{Refusal, cut};
use super::{body, grpc, guarded, tenant};
use crate::error::{Error, Result};
use crate::ingest::{self, Encoding, Ingest};
use crate::metrics::Transport;
use crate::outcome::{Outcome, Signal};

/// The routes of OTLP/HTTP. gRPC is served on them too, told apart by its paths.
pub(crate) fn routes(ingest: &Arc<Ingest>) -> Router {
    let paths = [
        (Signal::Traces, ingest.config.traces_path.clone()),
        (Signal::Metrics, ingest.config.metrics_path.clone()),
        (Signal::Logs, ingest.config.logs_path.clone()),
    ];
    let known = paths.iter().map(|(_, path)| path.as_str()).collect::<Vec<_>>().join(", ");
    let mut router = Router::new();
    for (signal, path) in paths {
        let ingest = Arc::clone(ingest);
        router = router.route(&path, post(move |request: Request| export(Arc::clone(&ingest), signal, request)));
    }
    grpc::services(router, ingest)
        .method_not_allowed_fallback(async |request: Request| {
            let error = Error::MethodNotAllowed { method: request.method().to_string() };
            refuse(&error, reply_encoding(request.headers()))
        })
        .fallback(async move |request: Request| {
            if grpc::is_grpc(request.headers()) {
                return grpc::unknown_method(&request);
            }
            let detail = format!("nothing is taken at {}: send to {known}", cut(request.uri().path().to_owned()));
            refuse(&Error::NotFound { detail }, reply_encoding(request.headers()))
        })
}

/// One export request.
async fn export(ingest: Arc<Ingest>, signal: Signal, request: Request) -> Response {
    let encoding = reply_encoding(request.headers());
    let transport = match encoding {
        Encoding::Protobuf => Transport::HttpProtobuf,
        Encoding::Json => Transport::HttpJson,
    };
    let result = guarded(take(&ingest, signal, request)).await;
    ingest.metrics.count_answer(transport, signal, result.as_ref());
    match result {
        Ok(outcome) => answer(StatusCode::OK, encoding, success(signal, &outcome, encoding)),
        Err(error) => {
            tracing::debug!(signal = signal.as_str(), transport = transport.as_str(), %error, "request refused");
            refuse(&error, encoding)
        }
    }
}

async fn take(ingest: &Arc<Ingest>, signal: Signal, request: Request) -> Result<Outcome> {
    let limit_bytes = ingest.config.request_bytes_max;
    match accept_head(ingest, &request, limit_bytes) {
        Ok((encoding, coding, tenant)) => {
            let body = request.into_body();
            let length = HttpBody::size_hint(&body).exact();
            let (body, reservation) = body::read(ingest, body, limit_bytes, |_| length).await?;
            ingest.take(ingest::Request { signal, tenant, encoding, coding, body, reservation }).await
        }
        Err(error) => {
            body::discard(request.into_body(), limit_bytes).await;
            Err(error)
        }
    }
}

/// All that can be decided before a byte of the body is read.
fn accept_head(ingest: &Ingest, request: &Request, limit_bytes: u64) -> Result<(Encoding, Coding, TenantId)> {
    let tenant = tenant(request)?;
    ingest.admit(&tenant)?;
    let headers = request.headers();
    let (encoding, coding) = (encoding(headers)?, coding(headers)?);
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|bytes| bytes > limit_bytes) {
        return Err(Error::TooLarge { limit_bytes, stage: "as sent" });
    }
    Ok((encoding, coding, tenant))
}

/// T4: the media type, any case and with any parameters.
fn encoding(headers: &HeaderMap) -> Result<Encoding> {
    let unsupported = |detail: &str| Error::UnsupportedMedia { detail: detail.to_owned() };
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let value = values.next().ok_or_else(|| unsupported("the content type is missing"))?;
    if values.next().is_some() {
        return Err(unsupported("there are several content types"));
    }
    let text = value.to_str().map_err(|_| unsupported("the content type is not readable"))?;
    media_type(text).ok_or_else(|| unsupported(&format!("content type {:?} is not supported", cut(text.to_owned()))))
}

fn media_type(text: &str) -> Option<Encoding> {
    let essence = text.split(';').next()?.trim();
    if essence.eq_ignore_ascii_case("application/json") {
        Some(Encoding::Json)
    } else if ["application/x-protobuf", "application/protobuf"].iter().any(|name| essence.eq_ignore_ascii_case(name)) {
        Some(Encoding::Protobuf)
    } else {
        None
    }
}

/// T5: the answer is written like the request; JSON when we cannot tell.
fn reply_encoding(headers: &HeaderMap) -> Encoding {
    encoding(headers).unwrap_or(Encoding::Json)
}

/// T7: one coding at most.
fn coding(headers: &HeaderMap) -> Result<Coding> {
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    let value = values.next();
    if values.next().is_some() {
        return Err(Error::UnsupportedCoding { coding: "several".to_owned() });
    }
    let unreadable = |_| Error::UnsupportedCoding { coding: "unreadable".to_owned() };
    Coding::parse(value.map(HeaderValue::to_str).transpose().map_err(unreadable)?)
}

/// The export response of a signal; empty when there is nothing to say (A1).
fn success(signal: Signal, outcome: &Outcome, encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => success_protobuf(signal, outcome),
        Encoding::Json => success_json(signal, outcome).to_string().into_bytes(),
    }
}

/// The export response of a signal in protobuf.
pub(super) fn success_protobuf(signal: Signal, outcome: &Outcome) -> Vec<u8> {
    let error_message = cut(outcome.message(signal));
    if error_message.is_empty() {
        return Vec::new();
    }
    let rejected = rejected(outcome);
    match signal {
        Signal::Traces => {
            let partial = ExportTracePartialSuccess { rejected_spans: rejected, error_message };
            ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec()
        }
        Signal::Metrics => {
            let partial = ExportMetricsPartialSuccess { rejected_data_points: rejected, error_message };
            ExportMetricsServiceResponse { partial_success: Some(partial) }.encode_to_vec()
        }
        Signal::Logs => {
            let partial = ExportLogsPartialSuccess { rejected_log_records: rejected, error_message };
            ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec()
        }
    }
}

fn success_json(signal: Signal, outcome: &Outcome) -> Json {
    let error_message = cut(outcome.message(signal));
    if error_message.is_empty() {
        return json!({});
    }
    let member = match signal {
        Signal::Traces => "rejectedSpans",
        Signal::Metrics => "rejectedDataPoints",
        Signal::Logs => "rejectedLogRecords",
    };
    let mut partial = json!({ "errorMessage": error_message });
    if outcome.rejected_total() > 0 {
        partial[member] = json!(rejected(outcome).to_string());
    }
    json!({ "partialSuccess": partial })
}

fn rejected(outcome: &Outcome) -> i64 {
    i64::try_from(outcome.rejected_total()).unwrap_or(i64::MAX)
}

/// A11: a refusal is a `Status` in the request's own encoding.
fn refuse(error: &Error, encoding: Encoding) -> Response {
    let refusal = Refusal::of(error);
    let mut response = answer(error.http_status(), encoding, refusal.body(encoding));
    let mut head = |name: HeaderName, value: HeaderValue| response.headers_mut().insert(name, value);
    if let Some(seconds) = refusal.retry_seconds {
        head(RETRY_AFTER, HeaderValue::from(seconds));
    }
    match error {
        Error::MethodNotAllowed { .. } => _ = head(ALLOW, HeaderValue::from_static("POST")),
        Error::UnsupportedCoding { .. } => {
            head(ACCEPT_ENCODING, HeaderValue::from_static(compression::ACCEPTED));
        }
        _ => {}
    }
    response
}

fn answer(status: StatusCode, encoding: Encoding, body: Vec<u8>) -> Response {
    let content_type = match encoding {
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Json => "application/json",
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// What a peer hears that speaks HTTP to the port of gRPC.
pub(super) fn wrong_port(request: &Request) -> Response {
    let detail = "this port takes OTLP over gRPC: OTLP over HTTP has a port of its own (4318 by default)".to_owned();
    refuse(&Error::NotFound { detail }, reply_encoding(request.headers()))
}
