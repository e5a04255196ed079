//! What counts as an error, and which errors are faults.
//!
//! An *error* is what went wrong from the span's own point of view. A *fault* is an error that is not a
//! refusal: the callee answered "no" on purpose to a 404 or PERMISSION_DENIED, and nothing is broken.
//!
//! Source: semantic conventions 1.44, HTTP and gRPC span status rules.

use model::{SpanKind, StatusCode};

use super::classify::{Class, Protocol};
use super::facts::Facts;

const GRPC_SERVER_ERRORS: &[&str] =
    &["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];

const GRPC_REFUSALS: &[&str] = &[
    "CANCELLED",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "FAILED_PRECONDITION",
    "OUT_OF_RANGE",
    "UNAUTHENTICATED",
    "RESOURCE_EXHAUSTED",
];

/// True when the span failed: by its status, else by an error attribute, else by its protocol's rule
/// (HTTP: client from 400, server from 500; gRPC: client any but OK, server six of them).
pub fn is_error(status: StatusCode, kind: SpanKind, class: &Class, facts: &Facts) -> bool {
    match status {
        StatusCode::Ok => return false,
        StatusCode::Error => return true,
        StatusCode::Unset => {}
    }
    if facts.has_error_mark {
        return true;
    }
    if let Some(status) = grpc_status(class, facts) {
        return match kind {
            SpanKind::Client => status != "OK",
            SpanKind::Server => GRPC_SERVER_ERRORS.contains(&status),
            _ => false,
        };
    }
    match (kind, facts.http_status) {
        (SpanKind::Client, Some(status)) => status >= 400,
        (SpanKind::Server, Some(status)) => status >= 500,
        _ => false,
    }
}

/// True when an error is no mere refusal.
pub fn is_fault(is_error: bool, class: &Class, facts: &Facts) -> bool {
    if !is_error {
        return false;
    }
    if let Some(status) = grpc_status(class, facts) {
        return !GRPC_REFUSALS.contains(&status);
    }
    !facts.http_status.is_some_and(|status| (400..500).contains(&status) && status != 408)
}

/// An RPC status decides for RPC spans, whatever HTTP status carried it.
fn grpc_status<'a>(class: &Class, facts: &'a Facts) -> Option<&'a str> {
    matches!(class.protocol, Protocol::Grpc | Protocol::Rpc).then_some(facts.rpc_status.as_deref()).flatten()
}
