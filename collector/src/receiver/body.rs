//! Reading a body within its limits.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;

use crate::budget::Reservation;
use crate::error::{Error, Result};
use crate::ingest::Ingest;

/// Room that is made at once for a body that says how long it is; more grows with what really comes.
const FORESEEN_BYTES_MAX: u64 = 1 << 20;

/// How long the rest of a refused body is read and thrown away.
const DISCARD_WITHIN: Duration = Duration::from_secs(5);

/// Reads the whole body; each piece is reserved before the next one is read. `foresee` tells from the first piece how
/// long the body says it is.
///
/// # Errors
/// [`Error::TooLarge`] as soon as it is over the limit, [`Error::Busy`] when too much is in flight,
/// [`Error::Body`] when it stops coming.
pub(super) async fn read(
    ingest: &Ingest,
    mut body: Body,
    limit_bytes: u64,
    foresee: impl Fn(&[u8]) -> Option<u64>,
) -> Result<(Bytes, Reservation)> {
    let mut reservation = ingest.budget.reserve();
    let body = &mut body;
    let read_all = async {
        let (mut first, mut all, mut n_bytes) = (Bytes::new(), BytesMut::new(), 0u64);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Error::Body { detail: error.to_string() })?;
            let Ok(piece) = frame.into_data() else { continue };
            n_bytes += piece.len() as u64;
            if n_bytes > limit_bytes {
                drop(std::mem::take(&mut all));
                discard(body, limit_bytes).await;
                return Err(Error::TooLarge { limit_bytes, stage: "as sent" });
            }
            if let Err(busy) = reservation.grow(piece.len() as u64) {
                drop((piece, std::mem::take(&mut first), std::mem::take(&mut all)));
                // Given back at once: of many that come together each would otherwise hold a part, and none would be taken.
                drop(std::mem::replace(&mut reservation, ingest.budget.reserve()));
                discard(body, limit_bytes).await;
                return Err(busy);
            }
            if first.is_empty() && all.is_empty() {
                first = piece;
            } else {
                if all.is_empty() {
                    let foreseen = foresee(&first).unwrap_or_default().min(limit_bytes).min(FORESEEN_BYTES_MAX);
                    all.reserve(foreseen as usize);
                }
                all.extend_from_slice(&std::mem::take(&mut first));
                all.extend_from_slice(&piece);
            }
        }
        Ok(if all.is_empty() { first } else { all.freeze() })
    };
    let timeout = ingest.config.body_timeout();
    let late = |_| Error::Body { detail: format!("not within {} s", timeout.as_secs()) };
    let body = tokio::time::timeout(timeout, read_all).await.map_err(late)??;
    Ok((body, reservation))
}

/// Reads and throws away the rest of a body that was refused, up to twice the limit: a peer over HTTP/1.1 only
/// reads its answer when it could send everything, and one a little over the limit must learn why it is refused.
pub(super) async fn discard(body: impl http_body_util::BodyExt<Data = Bytes> + Unpin, limit_bytes: u64) {
    let mut body = body;
    let mut left = limit_bytes.saturating_mul(2);
    let read_all = async {
        while let Some(Ok(frame)) = body.frame().await {
            let n_bytes = frame.data_ref().map_or(0, |piece| piece.len() as u64);
            left = left.saturating_sub(n_bytes);
            if left == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(DISCARD_WITHIN, read_all).await;
}
