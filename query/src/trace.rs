//! One trace: rows by id, put together as a tree, shown as a timeline, in detail or as OTLP.
//!
//! | file          | knows                                                                     |
//! |---------------|---------------------------------------------------------------------------|
//! | `load.rs`     | rows of a trace out of a snapshot                                         |
//! | `row.rs`      | the few columns of a span that a list or waterfall needs                  |
//! | `badge.rs`    | protocol badge and short detail of a span: pure                           |
//! | `assemble.rs` | rows to a tree in drawing order, whatever their parents say: pure         |
//! | `timeline.rs` | `GET /api/traces/{id}/timeline`: pure                                     |
//! | `span.rs`     | a whole span as it was sent, from a row: pure                             |
//! | `plain.rs`    | spans as analysis sees them, from rows: pure                              |
//! | `otlp.rs`     | spans to OTLP, JSON and protobuf by the same walk: pure                   |
//! | `detail.rs`   | `GET /api/traces/{id}/spans/{span}`: attributes, links both ways, logs    |
//! | `find.rs`     | `GET /api/traces/{id}/find`: pure                                         |

pub(crate) mod assemble;
pub(crate) mod badge;
mod detail;
mod find;
mod load;
pub(crate) mod otlp;
pub(crate) mod plain;
pub(crate) mod row;
mod span;
#[cfg(test)]
mod tests;
mod timeline;

pub(crate) use load::{literal, moment};
pub(crate) use span::{AttributeColumns, linked_traces};

use api::{FindAnswer, SpanDetail, Timeline};
use model::{SpanId, TenantId, TraceId};

use crate::engine::Engine;
use crate::error::{Error, Result};

/// A trace as OTLP.
#[derive(Debug)]
pub struct TraceDocument {
    /// JSON text or protobuf, as asked.
    pub body: Vec<u8>,
    /// Why spans are missing; `None` when all stored spans are there.
    pub incomplete_reason: Option<String>,
}

/// An encoding of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// OTLP/JSON.
    Json,
    /// OTLP protobuf (`TracesData`).
    Protobuf,
}

impl Engine {
    /// The trace as it was sent.
    ///
    /// # Errors
    /// [`Error::NotFound`] when no span of it is stored.
    pub async fn trace(&self, tenant: &TenantId, trace_id: TraceId, encoding: Encoding) -> Result<TraceDocument> {
        self.run(tenant, move |session| async move {
            let loaded = load::whole(&session, trace_id).await?;
            let spans = span::distinct(loaded.spans);
            let body = match encoding {
                Encoding::Json => otlp::to_json(&spans),
                Encoding::Protobuf => otlp::to_protobuf(&spans),
            };
            Ok(TraceDocument { body, incomplete_reason: loaded.incomplete.1 })
        })
        .await
    }

    /// What the waterfall needs to draw its rows.
    ///
    /// # Errors
    /// [`Error::NotFound`] when no span of it is stored.
    pub async fn timeline(&self, tenant: &TenantId, trace_id: TraceId) -> Result<Timeline> {
        self.run(tenant, move |session| async move {
            let loaded = load::light(&session, trace_id).await?;
            Ok(timeline::timeline(trace_id, &loaded))
        })
        .await
    }

    /// Everything about one span.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the span is not stored.
    pub async fn span(&self, tenant: &TenantId, trace_id: TraceId, span_id: SpanId) -> Result<SpanDetail> {
        self.run(tenant, move |session| async move { detail::detail(&session, trace_id, span_id).await }).await
    }

    /// Spans of a trace that hold a text, any case.
    ///
    /// # Errors
    /// [`Error::NotFound`] when no span of the trace is stored.
    pub async fn find(&self, tenant: &TenantId, trace_id: TraceId, text: String) -> Result<FindAnswer> {
        self.run(tenant, move |session| async move {
            let loaded = load::whole(&session, trace_id).await?;
            let spans = span::distinct(loaded.spans);
            Ok(FindAnswer { incomplete: loaded.incomplete.0, ..find::find(&spans, &text) })
        })
        .await
    }
}

pub(crate) fn not_stored(trace_id: TraceId) -> Error {
    Error::NotFound(format!(
        "trace {trace_id} is not stored: it may not have arrived yet, its retention may have ended, or the id belongs \
         to another collector"
    ))
}
