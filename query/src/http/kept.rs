//! Requests about what readers keep.

use api::{ColorsRequest, QueryRequest};
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use serde::de::DeserializeOwned;

use super::App;
use super::body::object;
use super::native::{Who, json, tenant};
use super::problem::Refusal;

fn read<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>, such_as: &str) -> Result<T, Refusal> {
    let body = body.map_err(|rejection| Refusal::body(&rejection))?;
    object(&body).map_err(|error| Refusal::invalid(format!("the body must be JSON such as {such_as}: {error}")))
}

pub(super) async fn colors(State(app): State<App>, who: Who) -> Result<Response, Refusal> {
    json(&app.sources.kept.colors(&tenant(who)).await?)
}

pub(super) async fn see_colors(
    State(app): State<App>,
    who: Who,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let request: ColorsRequest = read(body, "{\"services\": [\"order\", \"cart\"]}")?;
    // Every reader looks at the same colours: choosing them is no reading.
    if !request.pinned.is_empty() {
        return Err(Refusal::invalid("colours are chosen by hand with PUT /api/colors"));
    }
    json(&app.sources.kept.see(&tenant(who), request).await?)
}

pub(super) async fn pin_colors(
    State(app): State<App>,
    who: Who,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let request: ColorsRequest = read(body, "{\"pinned\": {\"order\": 3}}")?;
    json(&app.sources.kept.see(&tenant(who), request).await?)
}

pub(super) async fn queries(State(app): State<App>, who: Who) -> Result<Response, Refusal> {
    json(&app.sources.kept.queries(&tenant(who)).await?)
}

pub(super) async fn keep_query(
    State(app): State<App>,
    who: Who,
    Path(id): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let request: QueryRequest = read(body, "{\"title\": \"Errors\", \"sql\": \"SELECT 1\"}")?;
    json(&app.sources.kept.keep_query(&tenant(who), &id, request).await?)
}

pub(super) async fn delete_query(
    State(app): State<App>,
    who: Who,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    app.sources.kept.delete_query(&tenant(who), &id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
