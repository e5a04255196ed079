//! Every error as a problem document (RFC 9457) that says what to do.

use api::Problem;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use model::ErrorKind;

use crate::error::Error;

/// Media type of problems.
const MEDIA_TYPE: &str = "application/problem+json";

/// An error on its way out.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) Problem);

impl Refusal {
    pub(super) fn new(status: StatusCode, kind: &str, title: &str, detail: impl Into<String>) -> Self {
        Self(Problem {
            kind: kind.to_owned(),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            position: None,
        })
    }

    /// A body that could not be read, most often because it is too large.
    pub(super) fn body(rejection: &axum::extract::rejection::BytesRejection) -> Self {
        Self::new(rejection.status(), "too-large", "The request is too large", rejection.body_text())
    }

    /// A request that is wrong in itself.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid-request", "The request is not valid", detail)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let (kind, title) = match (error.kind(), &error) {
            (ErrorKind::Invalid, Error::Invalid { position: Some(_), .. }) => {
                ("invalid-query", "The query is not valid")
            }
            (ErrorKind::Invalid, _) => ("invalid-request", "The request is not valid"),
            (ErrorKind::NotFound, _) => ("not-found", "Not stored here"),
            (ErrorKind::TooLarge, _) => ("too-large", "The question or its answer is too large"),
            (ErrorKind::Timeout, _) => ("timeout", "The query took too long"),
            (ErrorKind::Overloaded | ErrorKind::OverBudget, _) => ("busy", "Too many queries"),
            (ErrorKind::Damaged, _) => ("damaged", "Stored data could not be read"),
            _ => ("internal", "An error of the server"),
        };
        if matches!(error.kind(), ErrorKind::Internal | ErrorKind::Damaged) {
            tracing::error!(%error, "a request failed");
        }
        let position = match &error {
            Error::Invalid { position, .. } => *position,
            _ => None,
        };
        Self(Problem {
            kind: kind.to_owned(),
            title: title.to_owned(),
            status: error.kind().http_status(),
            detail: error.to_string(),
            position,
        })
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (status, Body::from(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
