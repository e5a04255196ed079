//! Requests about what stands around a list of hits, and about metrics, to engine calls and back.

use std::sync::Arc;

use api::DiffersRequest;
use axum::body::Body;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderName, header};

use super::App;
use super::body::object;
use super::native::{Params, Who, json, params, tenant};
use super::problem::Refusal;
use crate::live::LiveQuestion;
use crate::metrics::{MetricQuestion, MetricsQuestion};
use crate::red::RedQuestion;
use crate::search::{DiffersQuestion, FacetsQuestion, Picture};

pub(super) async fn histogram(State(app): State<App>, who: Who, given: Params) -> Result<Response, Refusal> {
    let picture = Picture::from_params(&params(given)?, app.engine.now())?;
    json(&app.engine.histogram(&tenant(who), picture).await?)
}

pub(super) async fn facets(State(app): State<App>, who: Who, given: Params) -> Result<Response, Refusal> {
    let question = FacetsQuestion::from_params(&params(given)?, app.engine.now())?;
    json(&app.engine.facets(&tenant(who), question).await?)
}

pub(super) async fn differs(
    State(app): State<App>,
    who: Who,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let body = body.map_err(|rejection| Refusal::body(&rejection))?;
    let request: DiffersRequest = object(&body).map_err(|error| {
        Refusal::invalid(format!(
            "the body must be JSON such as {{\"unit\": \"traces\", \"from\": \"now-1h\", \"brush\": {{\"min_nanos\": \
             1000000000}}}}: {error}"
        ))
    })?;
    let question = DiffersQuestion::from_request(&request, app.engine.now())?;
    json(&app.engine.differs(&tenant(who), question).await?)
}

pub(super) async fn live(State(app): State<App>, who: Who, given: Params) -> Result<Response, Refusal> {
    let question = LiveQuestion::from_params(&params(given)?, app.engine.now())?;
    let ready = Arc::clone(&app.sources.ready);
    let events = app.engine.live(&tenant(who), question, move || ready().is_err())?;
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (HeaderName::from_static("x-accel-buffering"), "no")];
    Ok((headers, Body::from_stream(events)).into_response())
}

pub(super) async fn metrics(State(app): State<App>, who: Who, given: Params) -> Result<Response, Refusal> {
    let question = MetricsQuestion::from_params(&params(given)?, app.engine.now())?;
    json(&app.engine.metrics(&tenant(who), question).await?)
}

pub(super) async fn metric(
    State(app): State<App>,
    who: Who,
    Path(name): Path<String>,
    given: Params,
) -> Result<Response, Refusal> {
    let question = MetricQuestion::from_params(name, &params(given)?, app.engine.now())?;
    json(&app.engine.metric(&tenant(who), question).await?)
}

pub(super) async fn red(State(app): State<App>, who: Who, given: Params) -> Result<Response, Refusal> {
    let question = RedQuestion::from_params(&params(given)?, app.engine.now())?;
    json(&app.engine.red(&tenant(who), question).await?)
}
