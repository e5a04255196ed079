//! Requests of the native API to engine calls and back.

use std::collections::BTreeMap;

use api::{ErasureAnswer, ErasureAttribute, ErasureRequest, ErasuresAnswer, SqlRequest};
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Path, Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body::Frame;
use http_body_util::StreamBody;
use model::{Identity, SpanId, TenantId, TimeRange, TraceId};
use serde::Serialize;
use storage::{Erase, Erasure};

use super::App;
use super::body::object;
use super::problem::Refusal;
use super::slow::Asked;
use crate::compare::{By, Other, missing};
use crate::error::{Error, Result};
use crate::map::environment::Environment;
use crate::map::parse_vs;
use crate::sql::body::Piece;
use crate::sql::{Format, SqlBody};
use crate::times::parse_range;
use crate::trace::Encoding;

/// Whose data it is: decided by the door, everybody's default without one.
pub(super) type Who = Option<Extension<Identity>>;

/// Parameters behind the question mark.
pub(super) type Params = std::result::Result<Query<BTreeMap<String, String>>, QueryRejection>;

/// Says in a header what formats without room for it cannot.
const INCOMPLETE: HeaderName = HeaderName::from_static("x-incomplete");

/// How much more of a journey than its bounds allow by themselves a reader may ask for.
const WIDER_MAX: usize = 8;

/// Traces that a reader cuts off a journey.
const CUTS_MAX: usize = 64;

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

pub(super) fn tenant(who: Who) -> TenantId {
    who.map_or_else(TenantId::default_tenant, |Extension(identity)| identity.tenant)
}

pub(super) fn params(params: Params) -> Result<BTreeMap<String, String>, Refusal> {
    params.map(|Query(params)| params).map_err(|rejection| Refusal::invalid(rejection.body_text()))
}

pub(super) fn json(answer: &impl Serialize) -> Result<Response, Refusal> {
    let body = serde_json::to_vec(answer).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(typed(JSON, body))
}

fn typed(media_type: &'static str, body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, media_type)], body).into_response()
}

/// The first of `offered` that the request accepts; the first one when it does not say or accepts none of
/// them: an answer in another form helps more than a refusal.
fn accepted(headers: &HeaderMap, offered: &[&'static str]) -> &'static str {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let wanted: Vec<&str> = accept
        .flat_map(|value| value.split(','))
        .map(|part| part.split(';').next().unwrap_or_default().trim())
        .collect();
    let is_offered = |wanted: &&str| offered.iter().copied().find(|media_type| media_type.eq_ignore_ascii_case(wanted));
    wanted.iter().find_map(is_offered).unwrap_or(offered[0])
}

fn with_reason(mut response: Response, reason: Option<&str>) -> Response {
    if let Some(value) = reason.and_then(|reason| HeaderValue::from_str(reason).ok()) {
        response.headers_mut().insert(INCOMPLETE, value);
    }
    response
}

/// Reads a trace id; leading zeros may be missing, as other tools drop them.
fn trace_id(text: &str) -> Result<TraceId, Refusal> {
    let padded = if text.is_empty() { String::new() } else { format!("{text:0>32}") };
    TraceId::from_hex(&padded).ok_or_else(|| {
        Refusal::invalid(
            "a trace id has up to 32 hex digits and is not all zero, such as 4bf92f3577b34da6a3ce929d0e0e4736",
        )
    })
}

fn span_id(text: &str) -> Result<SpanId, Refusal> {
    let padded = if text.is_empty() { String::new() } else { format!("{text:0>16}") };
    SpanId::from_hex(&padded).ok_or_else(|| {
        Refusal::invalid("a span id has up to 16 hex digits and is not all zero, such as 00f067aa0ba902b7")
    })
}

pub(super) async fn sql(
    State(app): State<App>,
    who: Who,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Response, Refusal> {
    const CSV: &str = "text/csv";
    const NDJSON: &str = "application/x-ndjson";
    const ARROW: &str = "application/vnd.apache.arrow.stream";
    let body = body.map_err(|rejection| Refusal::body(&rejection))?;
    let request: SqlRequest = object(&body).map_err(|error| {
        Refusal::invalid(format!("the body must be JSON such as {{\"sql\": \"SELECT 1\"}}: {error}"))
    })?;
    let (media_type, format) = match accepted(&headers, &[JSON, CSV, NDJSON, ARROW]) {
        CSV => ("text/csv; charset=utf-8; header=present", Format::Csv),
        NDJSON => (NDJSON, Format::Ndjson),
        ARROW => (ARROW, Format::Arrow),
        _ => (JSON, Format::Json),
    };
    let asked = Asked(request.sql.clone());
    let mut response = match app.engine.sql(&tenant(who), request, format).await {
        Ok(body) => streamed(media_type, body),
        Err(error) => Refusal::from(error).into_response(),
    };
    response.extensions_mut().insert(asked);
    Ok(response)
}

/// An answer that is read while it is made. Why rows are missing stands in a header when it is known in time, in a
/// trailer otherwise; JSON says it itself.
fn streamed(media_type: &'static str, body: SqlBody) -> Response {
    let SqlBody { head, incomplete_reason, rest } = body;
    let Some(rest) = rest else {
        return with_reason(typed(media_type, head.to_vec()), incomplete_reason.as_deref());
    };
    let head = stream::once(std::future::ready(Ok(Frame::data(head))));
    let rest = stream::unfold(Some(rest), |rest| async {
        let mut rest = rest?;
        let broken = |error: Error| Err(std::io::Error::other(error));
        match rest.pieces.recv().await {
            Some(Ok(Piece::Bytes(bytes))) => Some((Ok(Frame::data(bytes)), Some(rest))),
            Some(Ok(Piece::End(reason))) => {
                let value = HeaderValue::from_str(&reason?).ok()?;
                Some((Ok(Frame::trailers(HeaderMap::from_iter([(INCOMPLETE, value)]))), None))
            }
            Some(Err(error)) => Some((broken(error), None)),
            // It ended without saying so: half an answer is none.
            None => Some((broken(Error::Internal("the query ended without an answer".to_owned())), None)),
        }
    });
    let mut response = Response::new(Body::new(StreamBody::new(head.chain(rest))));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(header::TRAILER, HeaderValue::from_static("x-incomplete"));
    response
}

pub(super) async fn tables(State(app): State<App>, who: Who) -> Result<Response, Refusal> {
    json(&app.engine.tables(&tenant(who)).await?)
}

pub(super) async fn search(State(app): State<App>, who: Who, given: Params) -> Result<Response, Refusal> {
    let question = crate::search::Question::from_params(&params(given)?, app.engine.now())?;
    json(&app.engine.search(&tenant(who), question).await?)
}

pub(super) async fn services(State(app): State<App>, who: Who, given: Params) -> Result<Response, Refusal> {
    let given = params(given)?;
    json(&app.engine.services(&tenant(who), range(&given, &app)?, Environment::from_params(&given)).await?)
}

pub(super) async fn service(
    State(app): State<App>,
    who: Who,
    Path(name): Path<String>,
    given: Params,
) -> Result<Response, Refusal> {
    let given = params(given)?;
    json(&app.engine.service(&tenant(who), name, range(&given, &app)?, Environment::from_params(&given)).await?)
}

pub(super) async fn map(State(app): State<App>, who: Who, given: Params) -> Result<Response, Refusal> {
    let given = params(given)?;
    let range = range(&given, &app)?;
    let vs = given.get("vs").filter(|text| !text.trim().is_empty());
    let vs = vs.map(|text| parse_vs(text.trim(), range, app.engine.now())).transpose()?;
    json(&app.engine.map(&tenant(who), range, vs, Environment::from_params(&given)).await?)
}

pub(super) async fn findings(State(app): State<App>, who: Who, given: Params) -> Result<Response, Refusal> {
    let given = params(given)?;
    json(&app.engine.findings(&tenant(who), range(&given, &app)?, Environment::from_params(&given)).await?)
}

pub(super) async fn compare(State(app): State<App>, who: Who, given: Params) -> Result<Response, Refusal> {
    let given = params(given)?;
    let text = |name: &str| given.get(name).map(|text| text.trim()).filter(|text| !text.is_empty());
    let a = trace_id(text("a").ok_or_else(|| missing("a"))?)?;
    let b = match text("b").ok_or_else(|| missing("b"))? {
        "usual" => Other::Usual,
        id => Other::Journey(trace_id(id)?),
    };
    json(&app.engine.compare(&tenant(who), a, b).await?)
}

pub(super) async fn styles(State(app): State<App>, who: Who, given: Params) -> Result<Response, Refusal> {
    let given = params(given)?;
    let by = match given.get("by").map(|text| text.trim()) {
        None | Some("" | "family") => By::Family,
        Some("edge") => By::Edge,
        Some(_) => return Err(Refusal::invalid("by is family or edge")),
    };
    json(&app.engine.styles(&tenant(who), range(&given, &app)?, Environment::from_params(&given), by).await?)
}

/// The range that `from` and `to` name; the last hour by default.
fn range(given: &BTreeMap<String, String>, app: &App) -> Result<TimeRange> {
    let text = |name: &str| given.get(name).map(String::as_str);
    parse_range(text("from"), text("to"), app.engine.now())
}

pub(super) async fn trace(
    State(app): State<App>,
    who: Who,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let media_type = accepted(&headers, &[JSON, PROTOBUF, "application/protobuf"]);
    let encoding = if media_type == JSON { Encoding::Json } else { Encoding::Protobuf };
    let document = app.engine.trace(&tenant(who), trace_id(&id)?, encoding).await?;
    let media_type = if encoding == Encoding::Json { JSON } else { PROTOBUF };
    let mut response = with_reason(typed(media_type, document.body), document.incomplete_reason.as_deref());
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

pub(super) async fn timeline(State(app): State<App>, who: Who, Path(id): Path<String>) -> Result<Response, Refusal> {
    json(&app.engine.timeline(&tenant(who), trace_id(&id)?).await?)
}

pub(super) async fn span(
    State(app): State<App>,
    who: Who,
    Path((trace, span)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    json(&app.engine.span(&tenant(who), trace_id(&trace)?, span_id(&span)?).await?)
}

pub(super) async fn find(
    State(app): State<App>,
    who: Who,
    Path(id): Path<String>,
    given: Params,
) -> Result<Response, Refusal> {
    let text = params(given)?.remove("q").unwrap_or_default();
    json(&app.engine.find(&tenant(who), trace_id(&id)?, text).await?)
}

pub(super) async fn journey(
    State(app): State<App>,
    who: Who,
    Path(id): Path<String>,
    given: Params,
) -> Result<Response, Refusal> {
    let mut given = params(given)?;
    let span = given.remove("span").filter(|text| !text.is_empty());
    let span = span.map(|text| span_id(&text)).transpose()?;
    let cut = given.remove("cut").unwrap_or_default();
    let cut = cut.split(',').filter(|text| !text.is_empty()).map(trace_id).collect::<Result<Vec<_>, _>>()?;
    if cut.len() > CUTS_MAX {
        return Err(Refusal::invalid(format!("at most {CUTS_MAX} traces are cut off")));
    }
    let wider = given.remove("wider").map_or(Some(1), |text| text.parse().ok());
    let Some(wider) = wider.filter(|wider| (1..=WIDER_MAX).contains(wider)) else {
        return Err(Refusal::invalid(format!("wider is a number from 1 to {WIDER_MAX}")));
    };
    json(&app.engine.journey(&tenant(who), trace_id(&id)?, span, &cut, wider).await?)
}

pub(super) async fn erase(
    State(app): State<App>,
    who: Who,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<Response, Refusal> {
    let body = body.map_err(|rejection| Refusal::body(&rejection))?;
    let request: ErasureRequest = object(&body).map_err(|error| {
        Refusal::invalid(format!(
            "the body must be JSON such as {{\"trace_id\": \"4bf92f3577b34da6a3ce929d0e0e4736\"}} or \
             {{\"attribute\": {{\"key\": \"user.id\", \"value\": \"17\"}}}}: {error}"
        ))
    })?;
    let erase = match (request.trace_id, request.attribute) {
        (Some(id), None) => Erase::trace(trace_id(&id)?),
        (None, Some(attribute)) => Erase::Attribute { key: attribute.key, value: attribute.value },
        _ => return Err(Refusal::invalid("give either trace_id or attribute")),
    };
    erase.validate().map_err(Refusal::invalid)?;
    let erased = app.sources.maintainer.erase(&tenant(who), erase).await.map_err(|error| {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "not-stored", "Nothing was erased", error.to_string())
    })?;
    let mut response = json(&erasure(erased))?;
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

pub(super) async fn erasures(State(app): State<App>, who: Who) -> Result<Response, Refusal> {
    let erasures = app.sources.maintainer.erasures(&tenant(who)).into_iter().map(erasure).collect();
    json(&ErasuresAnswer { erasures })
}

fn erasure(erasure: Erasure) -> ErasureAnswer {
    let (trace_id, attribute) = match erasure.erase {
        Erase::Trace(id) => (Some(id), None),
        Erase::Attribute { key, value } => (None, Some(ErasureAttribute { key, value })),
    };
    ErasureAnswer { id: erasure.id, asked_unix_nano: erasure.asked_unix_nano.to_string(), trace_id, attribute }
}

/// S20: what concerns the whole collector, other tenants included, is for admins.
pub(super) async fn status(State(app): State<App>, who: Who) -> Result<Response, Refusal> {
    let mut status = (app.sources.status)();
    if who.as_ref().is_some_and(|Extension(identity)| !identity.is_admin) {
        return json(&status.reduced());
    }
    status.queries.slow = app.slow.of(&tenant(who));
    json(&status)
}

pub(super) async fn healthz() -> Response {
    typed("text/plain; charset=utf-8", b"ok\n".to_vec())
}

pub(super) async fn readyz(State(app): State<App>) -> Result<Response, Refusal> {
    match (app.sources.ready)() {
        Ok(()) => Ok(typed("text/plain; charset=utf-8", b"ready\n".to_vec())),
        Err(reason) => Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", "Not ready", reason)),
    }
}

pub(super) async fn metrics(State(app): State<App>) -> Response {
    typed("application/openmetrics-text; version=1.0.0; charset=utf-8", (app.sources.metrics)().into_bytes())
}
