//! OTLP to rows: the only place where fields of the protocol meet column names. Pure.
//!
//! ```text
//! protobuf ─▶ wire ─┐                       ┌─▶ spans
//!                   ├─▶ message ─▶ sink:  ──┼─▶ logs     columns ─▶ batches
//! OTLP/JSON ▶ json ─┘             sanitize  └─▶ metrics
//! ```
//!
//! A decoder reads one item at a time, borrowed from the body, and hands it to the sink, which sanitizes it and
//! writes it into columns. There is one sink for every encoding, so the same request gives the same rows (J15).
//!
//! | file              | knows                                                                        |
//! |-------------------|------------------------------------------------------------------------------|
//! | `message.rs`      | what a message says, borrowed from its body; what a sink is                   |
//! | `wire.rs` `wire/` | protobuf                                                                     |
//! | `json.rs` `json/` | OTLP/JSON                                                                    |
//! | `spans.rs`        | one span to one row                                                          |
//! | `logs.rs`         | one log record to one row                                                    |
//! | `metrics.rs`      | one data point to one row, exemplars to rows of their own                    |
//! | `point_rows.rs`   | those rows, one line per column                                              |
//! | `sink.rs`         | what all signals share: origin, counting, full batches                       |
//! | `origin.rs`       | resource and scope: computed once, filled into all their rows                |
//! | `keys.rs`         | attribute keys as numbers                                                    |
//! | `attributes.rs`   | which attribute goes to a column and which to the list                       |
//! | `text.rs`         | attributes, resources and scopes as OTLP/JSON text                           |
//! | `series.rs`       | the stable number of a series                                                |
//! | `columns.rs`      | column builders: numbers, texts, labels, lists                               |
//! | `promoted.rs`     | columns of attributes that have one                                          |
//! | `entries.rs`      | the list of those that have none                                             |
//! | `short.rs`        | comparing and checking short byte strings                                    |
//! | `structs.rs`      | messages as the generated structs: for the demo, and for tests as oracle     |
//!
//! A large request becomes several batches, so that none is larger than a WAL record may be.

mod attributes;
mod columns;
mod entries;
pub(crate) mod json;
pub(crate) mod keys;
mod logs;
pub(crate) mod message;
mod metrics;
mod origin;
mod point_rows;
mod promoted;
mod series;
mod short;
mod sink;
mod spans;
pub(crate) mod structs;
mod text;
pub(crate) mod wire;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use storage::Batch;
use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::ingest::{Bounds, Encoding};
use crate::outcome::{Outcome, Signal};
use crate::sanitize::Rules;
use crate::sanitize::redaction::Redaction;
use message::{Arena, Sink};
use sink::RowSink;
pub(crate) use text::write_value;

/// A batch is closed at this many rows or, for items of a large request, encoded bytes.
const BATCH_ROWS_MAX: usize = 32 << 10;
const BATCH_BYTES_MAX: usize = 8 << 20;

/// After a body larger than this the builders are given back, so that one large request does not stay in memory.
const KEPT_AFTER_BYTES_MAX: usize = 4 << 20;

/// Builders and arena of a request. Used again from request to request: what a request leaves behind is room.
#[derive(Debug, Default)]
struct Workbench {
    arena: Arena,
    keys: keys::Keys,
    spans: spans::SpanRows,
    logs: logs::LogRows,
    points: metrics::PointRows,
}

/// Workbenches that wait, the last one used on top, because its memory is still warm. Taken while a request is decoded; a request that is
/// refused halfway, or panics, does not put its own back.
///
/// Shared by all threads: decoding moves over the network's threads and whichever blocking ones are free, and one workbench left behind on
/// each of these was hundreds of megabytes after a burst of odd requests.
static WORKBENCHES: Mutex<Vec<Box<Workbench>>> = Mutex::new(Vec::new());

/// Takes a workbench that waits, or a new one.
fn take_workbench() -> Box<Workbench> {
    WORKBENCHES.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
}

/// Lets a workbench wait for the next request, if not as many wait already as there are processors to use them.
fn leave_workbench(bench: Box<Workbench>) {
    static MAX: OnceLock<usize> = OnceLock::new();
    let max = *MAX.get_or_init(|| std::thread::available_parallelism().map_or(2, usize::from));
    let mut waiting = WORKBENCHES.lock().unwrap_or_else(PoisonError::into_inner);
    if waiting.len() < max {
        waiting.push(bench);
    }
}

/// Reads a request into batches; refused items are counted in `outcome`.
///
/// # Errors
/// [`Error::Undecodable`] when the body is not such a message.
pub(crate) fn batches(
    signal: Signal,
    encoding: Encoding,
    body: &[u8],
    rules: &Rules,
    redaction: &Arc<Redaction>,
    bounds: Bounds,
    outcome: &mut Outcome,
) -> Result<Vec<Batch>> {
    let mut bench = take_workbench();
    let Workbench { arena, keys, spans, logs, points } = &mut *bench;
    keys.redact_by(redaction);
    arena.bound(bounds.bytes_max);
    points.gate = bounds.gate;
    let (mut odd_forms, mut refusal) = (Outcome::default(), None);
    let request = Request { rules, outcome, batches: Vec::new(), bytes: 0, bytes_max: bounds.bytes_max, failed: None };
    let batches = match signal {
        Signal::Traces => {
            let mut sink = RowSink::new(request, spans, keys);
            decode::<message::Traces>(encoding, body, &mut odd_forms, arena, &mut sink)?;
            sink.finish::<message::Traces>()
        }
        Signal::Metrics => {
            let mut sink = RowSink::new(request, points, keys);
            decode::<message::Metrics>(encoding, body, &mut odd_forms, arena, &mut sink)?;
            let batches = sink.finish::<message::Metrics>();
            refusal = points.gate.take().and_then(|gate| gate.refusal(Instant::now()));
            batches
        }
        Signal::Logs => {
            let mut sink = RowSink::new(request, logs, keys);
            decode::<message::Logs>(encoding, body, &mut odd_forms, arena, &mut sink)?;
            sink.finish::<message::Logs>()
        }
    }?;
    outcome.add_odd_forms(&odd_forms);
    if body.len() <= KEPT_AFTER_BYTES_MAX {
        bench.keys.trim();
        leave_workbench(bench);
    }
    refusal.map_or(Ok(batches), Err)
}

fn decode<S: message::Signal>(
    encoding: Encoding,
    body: &[u8],
    odd_forms: &mut Outcome,
    arena: &mut Arena,
    sink: &mut impl Sink<S>,
) -> Result<()> {
    let read = match encoding {
        Encoding::Protobuf => wire::walk(body, arena, sink).map_err(Error::undecodable),
        Encoding::Json => json::read(body, odd_forms, arena, sink).map_err(Error::undecodable),
    };
    read.map_err(|error| {
        if arena.was_full() {
            Error::TooLarge { limit_bytes: arena.bytes_max(), stage: "in one item when decoded" }
        } else {
            error
        }
    })
}

/// What a sink makes of the request at hand.
#[derive(Debug)]
struct Request<'r> {
    rules: &'r Rules,
    outcome: &'r mut Outcome,
    batches: Vec<Batch>,
    /// Of the batches.
    bytes: u64,
    bytes_max: u64,
    failed: Option<Error>,
}

impl Request<'_> {
    fn push(&mut self, batch: storage::Result<Batch>) {
        match batch {
            Ok(batch) => {
                self.bytes += batch.bytes();
                if self.bytes > self.bytes_max {
                    self.failed = Some(Error::TooLarge { limit_bytes: self.bytes_max, stage: "as rows" });
                }
                self.batches.push(batch);
            }
            Err(error) => self.failed = Some(error.into()),
        }
        if self.failed.is_some() {
            self.batches = Vec::new();
        }
    }

    fn finish(self) -> Result<Vec<Batch>> {
        self.failed.map_or(Ok(self.batches), Err)
    }
}
