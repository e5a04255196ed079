//! Requests as they come over the wire, and answers in the peer's own words.
//!
//! | file             | knows                                                                     |
//! |------------------|---------------------------------------------------------------------------|
//! | `http.rs`        | OTLP/HTTP: paths, media types, answers                                    |
//! | `grpc.rs`        | OTLP/gRPC: framing, trailers, answers                                     |
//! | `body.rs`        | reading a body within its limits                                          |
//! | `compression.rs` | gzip, zstd, deflate: streamed, stopped at the limit                       |
//! | `status.rs`      | `google.rpc.Status` in protobuf and JSON, hints when to come back         |
//!
//! gRPC's framing is read here and not by a library, so that both transports share one decompression with
//! one limit, and every refusal has the status that OTLP asks for (T7, T8, T11, T12).

mod body;
pub(crate) mod compression;
pub(crate) mod grpc;
pub(crate) mod http;
mod status;

use std::panic::AssertUnwindSafe;

use axum::extract::Request;
use futures::FutureExt as _;
use model::{Identity, TenantId};

use crate::error::{Error, Result};
use crate::outcome::Outcome;

/// The tenant decided by the door.
///
/// # Errors
/// [`Error::Bug`] when nobody decided: the routes are not behind a door.
fn tenant(request: &Request) -> Result<TenantId> {
    match request.extensions().get::<Identity>() {
        Some(identity) => Ok(identity.tenant.clone()),
        None => {
            tracing::error!("a request has no identity: the routes do not stand behind a door");
            Err(Error::Bug)
        }
    }
}

/// A10: a panic on the way is answered like any other refusal.
async fn guarded(work: impl Future<Output = Result<Outcome>>) -> Result<Outcome> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!("taking a request panicked");
        Err(Error::Bug)
    })
}

/// What the tests need to read answers.
#[cfg(test)]
pub(crate) mod test_status {
    use prost::Message as _;

    pub(crate) use super::status::Status;

    /// The hint inside a status.
    pub(crate) fn retry_seconds(status: &Status) -> Option<i64> {
        let detail = status.details.iter().find(|detail| detail.type_url.ends_with("google.rpc.RetryInfo"))?;
        Some(super::status::RetryInfo::decode(&detail.value[..]).ok()?.retry_delay?.seconds)
    }
}
