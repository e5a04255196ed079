//! One request from its body to its answer: decompress, decode, sanitize, map, append.
//!
//! The centre is a plain function, [`to_batches`]. Around it stand the limits: bytes in flight, from the first byte of a body to its answer;
//! one decoding per processor, and one of a large request (`decoders.rs`); what one item may become; and a deadline for the answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use model::{TenantId, UnixNanos};
use storage::{Appender, Batch, Clock};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::admission::{Admission, SeriesGate};
use crate::budget::{Budget, Reservation};
use crate::config::Config;
use crate::decoders::{Decoders, Done, LARGE_BYTES_MIN};
use crate::error::{Error, Result};
use crate::metrics::Metrics;
use crate::otlp;
use crate::outcome::{Outcome, Signal};
use crate::own_traces::step;
use crate::receiver::compression::{Coding, Plain};
use crate::sanitize::Rules;
use crate::sanitize::redaction::Redaction;
use crate::sanitize::sizes::SPAN_BYTES_MAX;

/// Plain bodies up to this size are decoded where they arrive: 1,000 spans, half a millisecond. Handing them to
/// another thread and back costs more than that under load. Larger and compressed ones go to a thread of their own, so
/// that no connection waits for another one's decoding.
const INLINE_BYTES_MAX: usize = 512 << 10;
/// Batches are appended together up to this size: one WAL record holds at most 64 MiB.
const APPEND_BYTES_MAX: u64 = 32 << 20;

/// What one item may take while it is decoded, and a request as rows, at least: `in_flight_bytes_max`, or this if it is more. With less
/// the 1,024 attributes, events and links that a span may have (V11) would be refused for what they are held in.
const DECODED_BYTES_MIN: u64 = 16 << 20;

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Protobuf.
    Protobuf,
    /// OTLP/JSON.
    Json,
}

/// A request whose body has arrived.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) signal: Signal,
    pub(crate) tenant: TenantId,
    pub(crate) encoding: Encoding,
    pub(crate) coding: Coding,
    pub(crate) body: Bytes,
    pub(crate) reservation: Reservation,
}

/// What answers requests; shared by all connections.
#[derive(Debug)]
pub(crate) struct Ingest {
    pub(crate) config: Config,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) budget: Budget,
    admission: Admission,
    retention: Duration,
    redaction: Arc<Redaction>,
    appender: Appender,
    clock: Arc<dyn Clock>,
    pub(crate) decoders: Decoders,
    is_closing: AtomicBool,
}

impl Ingest {
    /// # Errors
    /// One sentence for the person who wrote the configuration.
    pub(crate) fn new(
        config: Config,
        retention: Duration,
        appender: Appender,
        clock: Arc<dyn Clock>,
    ) -> std::result::Result<Self, String> {
        let metrics = Arc::new(Metrics::default());
        let n_decoders = std::thread::available_parallelism().map_or(2, usize::from);
        Ok(Self {
            budget: Budget::new(Arc::clone(&metrics), config.in_flight_bytes_max),
            admission: Admission::new(&config),
            redaction: config.redaction.load()?,
            config,
            metrics,
            retention,
            appender,
            clock,
            decoders: Decoders::start(n_decoders).map_err(|error| format!("no threads for decoding: {error}"))?,
            is_closing: AtomicBool::new(false),
        })
    }

    /// From now on every request is asked to come back later.
    pub(crate) fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
    }

    /// Asked before a byte of a body is read.
    ///
    /// # Errors
    /// [`Error::Closing`]; [`Error::OverRate`] while the tenant has sent more than it may.
    pub(crate) fn admit(&self, tenant: &TenantId) -> Result<()> {
        if self.is_closing.load(Ordering::Acquire) {
            return Err(Error::Closing);
        }
        self.admission.admit(tenant, Instant::now())
    }

    /// Series that are active, of all tenants.
    pub(crate) fn active_series(&self) -> u64 {
        self.admission.active_series(Instant::now())
    }

    /// Stores a request; when this returns `Ok`, what was accepted is on disk.
    ///
    /// # Errors
    /// Nothing was acknowledged; [`Error::kind`] says what the sender can do.
    pub(crate) async fn take(self: &Arc<Self>, request: Request) -> Result<Outcome> {
        let (signal, tenant, n_bytes) = (request.signal, request.tenant.clone(), request.body.len() as u64);
        self.metrics.count_wire_bytes(signal, n_bytes);
        // At once, so that what is under way counts, also when nobody waits for the answer any more. So do items, as soon as they are known.
        self.admission.count_bytes(&tenant, n_bytes, Instant::now());
        let progress = Progress::default();
        let within = self.config.answer_within();
        let work = async {
            let Decoded { batches, outcome, held: _held } = step(self, "decode", self.decode(request)).await?;
            let n_known = outcome.accepted() + outcome.rejected_total();
            self.admission.count_items(&tenant, n_known, Instant::now());
            progress.n_items.store(n_known, Ordering::Relaxed);
            if outcome.is_all_rejected() {
                self.metrics.count_outcome(signal, &outcome);
                return Err(Error::AllRejected { message: outcome.message(signal) });
            }
            self.admission.count_series(&tenant, &batches, Instant::now())?;
            progress.is_handed_over.store(true, Ordering::Relaxed);
            for batches in together(batches) {
                step(self, "append", self.appender.append(&tenant, batches)).await?;
                progress.is_partly_kept.store(true, Ordering::Relaxed);
            }
            self.metrics.count_outcome(signal, &outcome);
            Ok(outcome)
        };
        let taken = tokio::time::timeout(within, work).await;
        let taken = taken.unwrap_or(Err(Error::Slow { waited_ms: self.config.answer_within_ms }));
        if taken.as_ref().is_err_and(|error| progress.is_given_back(error)) {
            self.admission.give_back(&tenant, n_bytes, progress.n_items.into_inner(), Instant::now());
        }
        taken
    }

    /// The collector's clock.
    pub(crate) fn now(&self) -> UnixNanos {
        self.clock.now()
    }

    /// Rows of the collector's own telemetry, made like everybody's.
    ///
    /// # Errors
    /// As [`to_batches`].
    pub(crate) fn batches_of_own(&self, signal: Signal, encoding: Encoding, body: &[u8]) -> Result<Vec<Batch>> {
        let (now, redaction) = (self.now(), Arc::clone(&self.redaction));
        let making = Making { now, oldest: UnixNanos(i64::MIN), redaction, bounds: Bounds::default() };
        to_batches_by(signal, encoding, body, making).map(|(batches, _)| batches)
    }

    /// Appends them; no request, so nothing is counted as one, and no trace is made of it.
    ///
    /// # Errors
    /// What storage says.
    pub(crate) async fn append_own(&self, tenant: &TenantId, batches: Vec<Batch>) -> storage::Result<()> {
        self.appender.append(tenant, batches).await
    }

    /// Decodes on this thread or one of those for it, whichever hurts less.
    async fn decode(self: &Arc<Self>, request: Request) -> Result<Decoded> {
        let now = self.clock.now();
        let oldest = now - i64::try_from(self.retention.as_nanos()).unwrap_or(i64::MAX);
        let gate = match request.signal {
            Signal::Metrics => self.admission.series_gate(&request.tenant, Instant::now()),
            Signal::Traces | Signal::Logs => None,
        };
        let bytes_max = self.config.in_flight_bytes_max.max(DECODED_BYTES_MIN);
        let bounds = Bounds { bytes_max, gate };
        let making = Making { now, oldest, redaction: Arc::clone(&self.redaction), bounds };
        let limit_bytes = self.config.request_bytes_max;
        let n_bytes = request.body.len();
        if request.coding == Coding::Identity && n_bytes <= INLINE_BYTES_MAX {
            return decode_guarded(request, making, limit_bytes, None);
        }
        let (request, making) = if n_bytes < LARGE_BYTES_MIN {
            let small = move || Done { made: decode_small(request, making, limit_bytes), is_worn: false };
            match self.decoders.run(small).await? {
                Ok(decoded) => return decoded,
                Err(larger) => *larger,
            }
        } else {
            (request, making)
        };
        let alone = self.decoders.enter_lane().await?;
        // Whatever comes of it: it may have been inflated to the limit before it was refused.
        let large = move || Done { made: decode_guarded(request, making, limit_bytes, Some(alone)), is_worn: true };
        self.decoders.run(large).await?
    }
}

/// A decoded request, and what it holds until it is answered.
#[derive(Debug)]
struct Decoded {
    batches: Vec<Batch>,
    outcome: Outcome,
    held: (Reservation, Option<OwnedSemaphorePermit>),
}

/// What rows are made by, besides the body.
#[derive(Debug)]
pub(crate) struct Making {
    pub(crate) now: UnixNanos,
    /// Rows before this moment are refused.
    pub(crate) oldest: UnixNanos,
    pub(crate) redaction: Arc<Redaction>,
    pub(crate) bounds: Bounds,
}

/// Where decoding ends.
#[derive(Debug)]
pub(crate) struct Bounds {
    /// Bytes that one item may take while it is decoded (lists and mended texts), and all rows of a request.
    pub(crate) bytes_max: u64,
    /// Ends a request with series that its tenant cannot have.
    pub(crate) gate: Option<SeriesGate>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { bytes_max: Config::default().in_flight_bytes_max, gate: None }
    }
}

/// How far a request has come, for when it does not come to its end.
#[derive(Debug, Default)]
struct Progress {
    /// Items that the tenant has paid for.
    n_items: AtomicU64,
    /// Storage was asked to keep it.
    is_handed_over: AtomicBool,
    /// Storage has kept a part of it.
    is_partly_kept: AtomicBool,
}

impl Progress {
    /// True when a tenant gets back what a refused request took from its allowance: it is our doing, and nothing of it is kept. What storage was
    /// given and has not answered for is most likely kept, whether we lost patience or storage did.
    fn is_given_back(&self, error: &Error) -> bool {
        let is_late = match error {
            Error::Slow { .. } => true,
            Error::Storage(storage::Error::Write { source, .. }) => source.kind() == std::io::ErrorKind::TimedOut,
            _ => false,
        };
        let is_perhaps_kept = is_late && self.is_handed_over.load(Ordering::Relaxed);
        error.is_ours() && !is_perhaps_kept && !self.is_partly_kept.load(Ordering::Relaxed)
    }
}

/// Decodes a request that may be small; one that turns out to be large when it is decompressed comes back as it was.
fn decode_small(request: Request, making: Making, limit_bytes: u64) -> Result<Result<Decoded>, Box<(Request, Making)>> {
    let small_bytes_max = LARGE_BYTES_MIN as u64 - 1;
    if limit_bytes <= small_bytes_max || request.coding == Coding::Identity {
        return Ok(decode_guarded(request, making, limit_bytes, None));
    }
    let (coding, body) = (request.coding, &request.body);
    let inflate = AssertUnwindSafe(|| Ok(Plain::begin(coding, body, small_bytes_max, &request.reservation)));
    match guarded(inflate) {
        Ok(Err((Error::TooLarge { .. }, n_read))) => {
            // At this rate the whole is too large: a bomb is refused at once and takes no place in the lane. What only looks like one is not.
            let is_like_a_bomb = small_bytes_max.saturating_mul(body.len() as u64) / n_read.max(1) as u64 > limit_bytes;
            let try_out = AssertUnwindSafe(|| Plain::try_out(coding, body, limit_bytes));
            match if is_like_a_bomb { guarded(try_out) } else { Ok(()) } {
                Ok(()) => Err(Box::new((request, making))),
                Err(error) => Ok(Err(error)),
            }
        }
        Err(error) | Ok(Err((error, _))) => Ok(Err(error)),
        Ok(Ok(plain)) => Ok(guarded(AssertUnwindSafe(|| decode_plain(request, plain, making, None)))),
    }
}

/// Decompresses and decodes a request.
fn decode_guarded(
    request: Request,
    making: Making,
    limit_bytes: u64,
    alone: Option<OwnedSemaphorePermit>,
) -> Result<Decoded> {
    guarded(AssertUnwindSafe(|| {
        let plain = Plain::of(request.coding, &request.body, limit_bytes, &request.reservation)?;
        decode_plain(request, plain, making, alone)
    }))
}

fn decode_plain(
    request: Request,
    plain: Plain,
    making: Making,
    alone: Option<OwnedSemaphorePermit>,
) -> Result<Decoded> {
    let Request { signal, encoding, body, mut reservation, .. } = request;
    drop(body);
    let (batches, outcome) = to_batches_by(signal, encoding, plain.as_bytes(), making)?;
    reservation.join(plain.into_held());
    // Storage bounds what waits for it, but for what is appended in several goes.
    let is_whole = batches.iter().map(Batch::bytes).sum::<u64>() <= APPEND_BYTES_MAX;
    Ok(Decoded { batches, outcome, held: (reservation, alone.filter(|_| !is_whole)) })
}

/// A10: a panic in decoding is the end of one request, not of the process.
fn guarded<T>(work: AssertUnwindSafe<impl FnOnce() -> Result<T>>) -> Result<T> {
    catch_unwind(work).unwrap_or_else(|_| {
        tracing::error!("decoding a request panicked");
        Err(Error::Bug)
    })
}

/// Decodes, sanitizes and maps a message: the whole of the collector without its surroundings.
///
/// - `now`: the collector's clock. `oldest`: rows before this moment are refused. Redacted is what the default settings say.
/// - Out: batches of one or more tables, none of them empty, in no particular order, and what became of
///   each item. No batches when nothing was sent or nothing could be kept.
/// - Cost: see benches/README.md, `decode.rs`.
///
/// # Errors
/// [`Error::Undecodable`] when the body is not such a message; nothing of it is kept then.
pub fn to_batches(
    signal: Signal,
    encoding: Encoding,
    body: &[u8],
    now: UnixNanos,
    oldest: UnixNanos,
) -> Result<(Vec<Batch>, Outcome)> {
    let redaction = Arc::clone(Redaction::standard());
    to_batches_by(signal, encoding, body, Making { now, oldest, redaction, bounds: Bounds::default() })
}

/// The same, with the rules of the settings and within bounds.
pub(crate) fn to_batches_by(
    signal: Signal,
    encoding: Encoding,
    body: &[u8],
    making: Making,
) -> Result<(Vec<Batch>, Outcome)> {
    let Making { now, oldest, redaction, bounds } = making;
    // Text that is not UTF-8 may grow to three times its size when it is mended.
    let is_small = body.len() <= SPAN_BYTES_MAX / 3;
    let rules = Rules { now, oldest, is_small };
    let mut outcome = Outcome::default();
    let batches = otlp::batches(signal, encoding, body, &rules, &redaction, bounds, &mut outcome)?;
    Ok((batches, outcome))
}

/// Groups batches so that each group fits one WAL record. Nearly always one group.
fn together(batches: Vec<Batch>) -> Vec<Vec<Batch>> {
    let mut groups: Vec<Vec<Batch>> = Vec::new();
    let mut bytes = 0;
    for batch in batches {
        bytes += batch.bytes();
        match groups.last_mut() {
            Some(group) if bytes <= APPEND_BYTES_MAX => group.push(batch),
            _ => {
                bytes = batch.bytes();
                groups.push(vec![batch]);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S17: a tenant pays for what is kept, or most likely is, and for what is wrong with its requests.
    #[test]
    fn s17_what_storage_was_given_is_paid_for() {
        let at = |is_handed_over: bool, is_partly_kept: bool| Progress {
            n_items: AtomicU64::new(1),
            is_handed_over: is_handed_over.into(),
            is_partly_kept: is_partly_kept.into(),
        };
        let (decoding, appending, halfway) = (at(false, false), at(true, false), at(true, true));
        let write = |kind: std::io::ErrorKind| {
            Error::Storage(storage::Error::Write { path: "wal".into(), source: kind.into() })
        };
        let (slow, busy) = (Error::Slow { waited_ms: 5_000 }, Error::Busy { limit_bytes: 1 });
        assert!(decoding.is_given_back(&slow), "it waited for its turn to be decoded");
        assert!(!appending.is_given_back(&slow), "storage has it");
        assert!(!appending.is_given_back(&write(std::io::ErrorKind::TimedOut)), "storage did not hear from the disk");
        assert!(appending.is_given_back(&write(std::io::ErrorKind::StorageFull)), "the disk has not taken it");
        assert!(decoding.is_given_back(&busy) && decoding.is_given_back(&Error::Bug));
        let closed = Error::Storage(storage::Error::Closed);
        assert!(appending.is_given_back(&closed), "storage says that it has not");
        assert!(!decoding.is_given_back(&Error::OverSeries { limit: 1 }));
        assert!(!decoding.is_given_back(&Error::undecodable("odd")));
        // A part of it is kept: over the whole nothing is given back, whatever became of the rest.
        for error in [slow, closed, write(std::io::ErrorKind::StorageFull), busy, Error::Bug] {
            assert!(!halfway.is_given_back(&error), "{error}");
        }
    }
}
