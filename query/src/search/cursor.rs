//! Where a page of a search ended: opaque text for the caller, the place in the order for us.

use std::hash::{DefaultHasher, Hash, Hasher};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use model::{SpanId, TimeRange, TraceId, UnixNanos};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The last hit of a page. The time range is kept, so that "the last hour" means the same hour on each page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// Which search it belongs to.
    search: u64,
    /// The range of the search.
    from: i64,
    to: i64,
    /// Start of the last hit, or of the trace.
    pub(super) start: i64,
    /// Duration of the last hit, or of its longest matching span; only for slowest.
    pub(super) duration: i64,
    pub(super) trace_id: TraceId,
    /// Only for spans.
    pub(super) span_id: Option<SpanId>,
    /// Newest traces: matching spans after this moment belong to traces of earlier pages.
    pub(super) resume: i64,
}

impl Cursor {
    pub(super) fn new(search: u64, range: TimeRange, start: i64, trace_id: TraceId) -> Self {
        let (from, to) = (range.start.0, range.end.0);
        Self { search, from, to, start, duration: 0, trace_id, span_id: None, resume: to }
    }

    pub(super) const fn range(&self) -> TimeRange {
        TimeRange::new(UnixNanos(self.from), UnixNanos(self.to))
    }

    pub(super) fn to_text(&self) -> String {
        BASE64.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// # Errors
    /// When the text is not a cursor of this search.
    pub(super) fn from_text(text: &str, search: u64) -> Result<Self> {
        let read = BASE64.decode(text).ok().and_then(|json| serde_json::from_slice::<Self>(&json).ok());
        match read {
            Some(cursor) if cursor.search == search => Ok(cursor),
            Some(_) => {
                Err(Error::invalid("the cursor belongs to another search; leave it out to start at the first page"))
            }
            None => Err(Error::invalid("the cursor cannot be read; pass next_cursor of the page before, unchanged")),
        }
    }
}

/// A number that tells searches apart.
pub(super) fn identity(parts: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}
