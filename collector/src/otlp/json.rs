//! OTLP/JSON to the same messages that protobuf gives.
//!
//! | file          | knows                                                                          |
//! |---------------|--------------------------------------------------------------------------------|
//! | `reader.rs`   | JSON itself: one value after the other, with the path to where we are           |
//! | `scalars.rs`  | the forms in which OTLP writes numbers, ids, bytes and enums                    |
//! | `messages.rs` | the members of each message, one line per member                               |
//!
//! Written by hand on purpose: derived decoders of the generated types drop or refuse what real senders
//! write (J16). Unknown members are skipped, `null` is "absent", the last of two equal members wins.

mod messages;
mod reader;
mod scalars;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;

use crate::outcome::Outcome;

pub(crate) use reader::JsonError;
use reader::Reader;

/// A request with spans; odd forms are counted in `outcome`.
pub(crate) fn traces(body: &[u8], outcome: &mut Outcome) -> Result<ExportTraceServiceRequest, JsonError> {
    document(body, outcome, messages::traces)
}

/// A request with data points; odd forms are counted in `outcome`.
pub(crate) fn metrics(body: &[u8], outcome: &mut Outcome) -> Result<ExportMetricsServiceRequest, JsonError> {
    document(body, outcome, messages::metrics)
}

/// A request with log records; odd forms are counted in `outcome`.
pub(crate) fn logs(body: &[u8], outcome: &mut Outcome) -> Result<ExportLogsServiceRequest, JsonError> {
    document(body, outcome, messages::logs)
}

fn document<T>(
    body: &[u8],
    outcome: &mut Outcome,
    message: impl FnOnce(&mut Reader<'_>) -> Result<T, JsonError>,
) -> Result<T, JsonError> {
    let mut reader = Reader::new(body, outcome)?;
    let request = message(&mut reader)?;
    reader.end()?;
    Ok(request)
}
