//! Ways in for the fuzz targets (`tests/fuzz/`) to parts that otherwise only a whole request reaches. No other use.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use model::UnixNanos;
use storage::Batch;

use crate::budget::Budget;
use crate::config::RedactionConfig;
use crate::error::Result;
use crate::ingest::{Bounds, Encoding, Making, to_batches_by};
use crate::metrics::Metrics;
use crate::outcome::{Outcome, Signal};
use crate::receiver::compression::{Coding, Plain};

/// The plain bytes of a body whose `Content-Encoding` says `coding`.
///
/// # Errors
/// As for a request.
pub fn plain(coding: &str, body: &[u8], limit_bytes: u64) -> Result<Vec<u8>> {
    static METRICS: OnceLock<Arc<Metrics>> = OnceLock::new();
    let coding = Coding::parse(Some(coding))?;
    let metrics = Arc::clone(METRICS.get_or_init(Arc::default));
    let reservation = Budget::new(metrics, limit_bytes.saturating_mul(2)).reserve();
    let body = Bytes::copy_from_slice(body);
    Plain::of(coding, &body, limit_bytes, &reservation).map(|plain| plain.as_bytes().to_vec())
}

/// As [`crate::to_batches`], with rules of redaction as the settings give them; `None` when these cannot work.
pub fn to_batches_redacted(
    rules: &RedactionConfig,
    signal: Signal,
    encoding: Encoding,
    body: &[u8],
    (now, oldest): (UnixNanos, UnixNanos),
) -> Option<Result<(Vec<Batch>, Outcome)>> {
    let making = Making { now, oldest, redaction: rules.load().ok()?, bounds: Bounds::default() };
    Some(to_batches_by(signal, encoding, body, making))
}
