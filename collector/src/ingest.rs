//! One request from its body to its answer: decompress, decode, sanitize, map, append.
//!
//! The centre is a plain function, [`to_batches`]. Around it stand the limits: bytes in flight, one decoding
//! per processor, and a deadline for the answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use model::{TenantId, UnixNanos};
use storage::{Appender, Batch, Clock};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::admission::Admission;
use crate::budget::{Budget, Reservation};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::metrics::Metrics;
use crate::otlp;
use crate::outcome::{Outcome, Signal};
use crate::receiver::compression::{Coding, with_plain};
use crate::sanitize::Rules;
use crate::sanitize::redaction::Redaction;
use crate::sanitize::sizes::SPAN_BYTES_MAX;

/// Plain bodies up to this size are decoded where they arrive: 1,000 spans, half a millisecond. Handing them to
/// another thread and back costs more than that under load. Larger and compressed ones go to a blocking thread, so
/// that no connection waits for another one's decoding.
const INLINE_BYTES_MAX: usize = 512 << 10;
/// Batches are appended together up to this size: one WAL record holds at most 64 MiB.
const APPEND_BYTES_MAX: u64 = 32 << 20;

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
    decoders: Arc<Semaphore>,
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
            decoders: Arc::new(Semaphore::new(n_decoders)),
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
        // At once, so that what is under way counts; items are known later, and count when they are kept.
        self.admission.count_bytes(&tenant, n_bytes, Instant::now());
        let within = self.config.answer_within();
        let work = async {
            let (batches, outcome) = self.decode(request).await?;
            let n_items = outcome.accepted() + outcome.rejected_total();
            if outcome.is_all_rejected() {
                self.admission.count_items(&tenant, n_items, Instant::now());
                self.metrics.count_outcome(signal, &outcome);
                return Err(Error::AllRejected { message: outcome.message(signal) });
            }
            self.admission.count_series(&tenant, &batches, Instant::now())?;
            for batches in together(batches) {
                self.appender.append(&tenant, batches).await?;
            }
            self.admission.count_items(&tenant, n_items, Instant::now());
            self.metrics.count_outcome(signal, &outcome);
            Ok(outcome)
        };
        let slow = |_| Error::Slow { waited_ms: self.config.answer_within_ms };
        let taken = tokio::time::timeout(within, work).await.unwrap_or_else(|late| Err(slow(late)));
        if taken.as_ref().is_err_and(Error::is_ours) {
            self.admission.give_back_bytes(&tenant, n_bytes, Instant::now());
        }
        taken
    }

    /// Decodes on this thread or a blocking one, whichever hurts less.
    async fn decode(self: &Arc<Self>, request: Request) -> Result<(Vec<Batch>, Outcome)> {
        let now = self.clock.now();
        let oldest = now - i64::try_from(self.retention.as_nanos()).unwrap_or(i64::MAX);
        let limit_bytes = self.config.request_bytes_max;
        let redaction = Arc::clone(&self.redaction);
        if request.coding == Coding::Identity && request.body.len() <= INLINE_BYTES_MAX {
            return decode_guarded(request, (now, oldest), limit_bytes, &redaction);
        }
        // The turn ends with the work, not with the waiting for it: whoever waited too long leaves the work behind.
        let turn = Arc::clone(&self.decoders).acquire_owned().await.map_err(|_| Error::Closing)?;
        let decoding = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            decode_guarded(request, (now, oldest), limit_bytes, &redaction)
        });
        decoding.await.map_err(|_| Error::Bug)?
    }
}

/// A10: a panic in decoding is the end of one request, not of the process.
fn decode_guarded(
    request: Request,
    (now, oldest): (UnixNanos, UnixNanos),
    limit_bytes: u64,
    redaction: &Arc<Redaction>,
) -> Result<(Vec<Batch>, Outcome)> {
    let work = AssertUnwindSafe(move || {
        let Request { signal, encoding, coding, body, mut reservation, .. } = request;
        with_plain(coding, &body, limit_bytes, &mut reservation, |plain| {
            to_redacted_batches(signal, encoding, plain, (now, oldest), redaction)
        })
    });
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
    to_redacted_batches(signal, encoding, body, (now, oldest), Redaction::standard())
}

/// The same, with the rules of the settings.
pub(crate) fn to_redacted_batches(
    signal: Signal,
    encoding: Encoding,
    body: &[u8],
    (now, oldest): (UnixNanos, UnixNanos),
    redaction: &Arc<Redaction>,
) -> Result<(Vec<Batch>, Outcome)> {
    // Text that is not UTF-8 may grow to three times its size when it is mended.
    let is_small = body.len() <= SPAN_BYTES_MAX / 3;
    let rules = Rules { now, oldest, is_small };
    let mut outcome = Outcome::default();
    let batches = otlp::batches(signal, encoding, body, &rules, redaction, &mut outcome)?;
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
