//! A span as analysis sees it: plain values, whoever stored or sent it.
//!
//! Whoever fills it drops links without valid ids. Nothing else is checked here: odd times, unknown
//! kinds and duplicate ids are answered by the analysis with warnings.

use std::sync::Arc;

use model::{Attribute, SpanId, SpanKind, StatusCode, TraceId, UnixNanos};

/// One timed piece of work.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Trace it belongs to.
    pub trace_id: TraceId,
    /// Its id inside the trace.
    pub span_id: SpanId,
    /// The span that caused it; `None` for a root.
    pub parent_span_id: Option<SpanId>,
    /// Operation name as sent.
    pub name: String,
    /// Side of the communication.
    pub kind: SpanKind,
    /// Start by the sender's clock.
    pub start: UnixNanos,
    /// End by the sender's clock; a value before `start` is read as `start`.
    pub end: UnixNanos,
    /// Sender's judgement.
    pub status: StatusCode,
    /// OTLP span flags: bit 8 remoteness known, bit 9 parent is remote.
    pub flags: u32,
    /// W3C trace state; `ot=th:` in it carries the sampling threshold.
    pub trace_state: String,
    /// Attributes as sent.
    pub attributes: Vec<Attribute>,
    /// Moments inside.
    pub events: Vec<Event>,
    /// Pointers to other spans.
    pub links: Vec<Link>,
    /// Who sent it; shared by the spans of one resource.
    pub resource: Arc<Resource>,
    /// Name of the instrumentation library.
    pub scope: String,
    /// Schema URL of the scope, empty when not sent.
    pub schema_url: String,
}

/// Who sent a span.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    /// Attributes as sent.
    pub attributes: Vec<Attribute>,
}

/// A moment inside a span.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When.
    pub time: UnixNanos,
    /// What, e.g. `exception`.
    pub name: String,
    /// Attributes as sent.
    pub attributes: Vec<Attribute>,
}

/// A pointer to another span, possibly of another trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// Trace of the span pointed to.
    pub trace_id: TraceId,
    /// The span pointed to.
    pub span_id: SpanId,
    /// Attributes as sent; in batches they describe one message.
    pub attributes: Vec<Attribute>,
}

impl Span {
    /// What the flags say about the parent: `Some(true)` remote, `Some(false)` local, `None` not said.
    pub fn parent_is_remote(&self) -> Option<bool> {
        (self.flags & 0x100 != 0).then_some(self.flags & 0x200 != 0)
    }

    /// How many spans of the source this one stands for: `1 / (1 - T / 2^56)` when it was sampled with
    /// the threshold `ot=th:T`, else 1. An unreadable threshold counts as none.
    ///
    /// Source: OpenTelemetry specification, "TraceState: Probability Sampling".
    pub fn weight(&self) -> f64 {
        let threshold = self
            .trace_state
            .split(',')
            .find_map(|entry| entry.trim().strip_prefix("ot="))
            .and_then(|ot| ot.split(';').find_map(|pair| pair.strip_prefix("th:")));
        let Some(digits) = threshold.filter(|text| (1..=14).contains(&text.len())) else { return 1.0 };
        // Trailing zeros are left out on the wire: "8" means 0x80000000000000.
        match u64::from_str_radix(digits, 16) {
            Ok(value) => {
                let rejected = (value << (4 * (14 - digits.len()))) as f64 / (1_u64 << 56) as f64;
                1.0 / (1.0 - rejected)
            }
            Err(_) => 1.0,
        }
    }
}
