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

/// [`failed`] over the columns of `spans`, in SQL.
macro_rules! failed_sql {
    () => {
        "CASE WHEN status_code IN (1, 2) THEN status_code = 2 \
              WHEN error_type IS NOT NULL THEN true \
              WHEN rpc_status_code IS NOT NULL OR grpc_status_code IS NOT NULL THEN CASE kind \
                   WHEN 3 THEN upper(trim(coalesce(rpc_status_code, CAST(grpc_status_code AS VARCHAR)))) NOT IN ('0', 'OK') \
                   WHEN 2 THEN upper(trim(coalesce(rpc_status_code, CAST(grpc_status_code AS VARCHAR)))) IN \
                        ('2', 'UNKNOWN', '4', 'DEADLINE_EXCEEDED', '12', 'UNIMPLEMENTED', '13', 'INTERNAL', '14', 'UNAVAILABLE', \
                         '15', 'DATA_LOSS') \
                   ELSE false END \
              WHEN kind = 3 THEN coalesce(http_status_code >= 400, false) \
              WHEN kind = 2 THEN coalesce(http_status_code >= 500, false) \
              ELSE false END"
    };
}
pub(crate) use failed_sql;

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
///
/// The column `error` of `spans` says the same in SQL; an attribute `error=true` alone is beyond it, because it lies among
/// all others.
pub fn is_error(status: StatusCode, kind: SpanKind, facts: &Facts) -> bool {
    failed(status, kind, facts.has_error_mark, facts.rpc_status.as_deref(), facts.http_status)
}

/// The same of what columns say. An RPC status, as its upper-case name, decides whatever HTTP status carried it.
pub(crate) fn failed(
    status: StatusCode,
    kind: SpanKind,
    has_mark: bool,
    rpc_status: Option<&str>,
    http_status: Option<i64>,
) -> bool {
    match (status, kind, rpc_status, http_status) {
        (StatusCode::Ok, ..) => false,
        (StatusCode::Error, ..) => true,
        _ if has_mark => true,
        (_, SpanKind::Client, Some(status), _) => status != "OK",
        (_, SpanKind::Server, Some(status), _) => GRPC_SERVER_ERRORS.contains(&status),
        (_, SpanKind::Client, None, Some(status)) => status >= 400,
        (_, SpanKind::Server, None, Some(status)) => status >= 500,
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
