//! Ids of wrong length or all zero (V1-V4).

use model::{Repairs, SpanId, TraceId};

use crate::otlp::message::{Exemplar, LogRecord, Span};
use crate::outcome::Reason;

/// V1: a span without valid ids cannot be found again, so it is refused.
pub(super) fn span(span: &Span<'_>) -> Result<(), Reason> {
    if !is_trace_id(span.trace_id) {
        return Err(Reason::InvalidTraceId);
    }
    if !is_span_id(span.span_id) {
        return Err(Reason::InvalidSpanId);
    }
    Ok(())
}

/// V2: a parent of wrong length, or the span itself, is cleared. Eight zero bytes mean "none".
pub(super) fn parent(span: &mut Span<'_>) -> Repairs {
    if span.parent_span_id.is_empty() {
        return Repairs::NONE;
    }
    let is_valid = is_span_id(span.parent_span_id) && span.parent_span_id != span.span_id;
    let is_none = span.parent_span_id == [0; SpanId::BYTES];
    if is_valid {
        return Repairs::NONE;
    }
    span.parent_span_id = &[];
    if is_none { Repairs::NONE } else { Repairs::PARENT }
}

/// V3: links that point nowhere are left out and counted as dropped.
pub(super) fn links(span: &mut Span<'_>) -> Repairs {
    let n_sent = span.links.len();
    if n_sent == 0 {
        return Repairs::NONE;
    }
    span.links.retain(|link| is_trace_id(link.trace_id) && is_span_id(link.span_id));
    let n_left_out = n_sent - span.links.len();
    if n_left_out == 0 {
        return Repairs::NONE;
    }
    span.dropped_links_count = span.dropped_links_count.saturating_add(u32::try_from(n_left_out).unwrap_or(u32::MAX));
    Repairs::LINK_IDS
}

/// V3: an exemplar keeps its value and loses ids that are invalid.
pub(crate) fn exemplar(exemplar: &mut Exemplar<'_>) -> Repairs {
    if pair(&mut exemplar.trace_id, &mut exemplar.span_id) { Repairs::NONE } else { Repairs::LINK_IDS }
}

/// V4: a log record with invalid ids is kept, but not tied to a trace.
pub(super) fn log(record: &mut LogRecord<'_>) -> Repairs {
    if pair(&mut record.trace_id, &mut record.span_id) { Repairs::NONE } else { Repairs::LOG_IDS }
}

/// Clears what is invalid; a span id is nothing without a valid trace id. All zero means "none". False when
/// something that was meant as an id was cleared.
fn pair(trace_id: &mut &[u8], span_id: &mut &[u8]) -> bool {
    let trace_ok = is_trace_id(trace_id) || is_none(trace_id, TraceId::BYTES);
    let span_ok = is_span_id(span_id) || is_none(span_id, SpanId::BYTES);
    if !is_trace_id(trace_id) {
        *trace_id = &[];
    }
    if !is_span_id(span_id) || !trace_ok {
        *span_id = &[];
    }
    trace_ok && span_ok
}

fn is_none(bytes: &[u8], n_bytes: usize) -> bool {
    bytes.is_empty() || (bytes.len() == n_bytes && bytes.iter().all(|byte| *byte == 0))
}

fn is_trace_id(bytes: &[u8]) -> bool {
    TraceId::from_bytes(bytes).is_some()
}

fn is_span_id(bytes: &[u8]) -> bool {
    SpanId::from_bytes(bytes).is_some()
}
