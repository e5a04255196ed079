//! An answer on its way: the first bytes are made before anything is said, the rest while it is read.
//!
//! ```text
//!   head   until 256 KiB or the end      a mistake or a limit is still a problem document
//!   rest   pieces of 1,024 rows           at most 4 of them wait for a slow reader
//!   end    what it cost, why rows lack    JSON: members behind the rows; other forms: header or trailer x-incomplete
//! ```
//!
//! What goes wrong in the rest breaks the connection off, so that nobody takes half an answer for a whole one. When
//! the reader goes away the work ends, and its place and memory are free.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use bytes::Bytes;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::encode::{Encoder, Format, Tail};
use crate::engine::Engine;
use crate::engine::runtime::{GivenUp, Running};
use crate::engine::session::{Session, cost, incomplete, sliced_bytes};
use crate::error::{Error, Result};

/// Bytes that are made before the answer begins.
const HEAD_BYTES: usize = 256 << 10;
/// Rows of a piece.
const PIECE_ROWS: usize = 1_024;
/// Pieces that wait for the reader.
const PIECES_MAX: usize = 4;

/// An answer that is being read.
pub struct SqlBody {
    /// The first bytes; all of them when there is no rest.
    pub(crate) head: Bytes,
    /// Why rows are missing, when that is known already.
    pub(crate) incomplete_reason: Option<String>,
    pub(crate) rest: Option<Rest>,
}

impl std::fmt::Debug for SqlBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlBody").field("head", &self.head.len()).finish_non_exhaustive()
    }
}

/// What follows. Dropping it ends the work, and so does the time limit, whether it is read or not.
pub(crate) struct Rest {
    pub(crate) pieces: mpsc::Receiver<Result<Piece>>,
    _work: Running<()>,
}

/// A part of the rest.
#[derive(Debug)]
pub(crate) enum Piece {
    Bytes(Bytes),
    /// The last one: why rows are missing.
    End(Option<String>),
}

/// Rows that are still to come.
pub(super) struct Pending {
    session: Session,
    plan: Arc<dyn ExecutionPlan>,
    stream: SendableRecordBatchStream,
    encoder: Encoder,
    /// Rows read and not written yet.
    batch: Option<RecordBatch>,
    rows_left: u64,
    rows_max: u64,
    bytes_left: u64,
    cut: Option<String>,
    started: Instant,
    given_up: GivenUp,
}

/// The beginning of an answer.
pub(super) struct Head {
    bytes: Vec<u8>,
    /// `Err`: everything is there, with the reason why rows are missing.
    pending: std::result::Result<Box<Pending>, Option<String>>,
}

impl Pending {
    /// Starts a plan.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) async fn start(
        session: Session,
        plan: Arc<dyn ExecutionPlan>,
        format: Format,
        rows_max: u64,
        started: Instant,
    ) -> Result<Head> {
        let rows_max = rows_max.min(session.config.rows_max);
        let stream = execute_stream(Arc::clone(&plan), session.context.task_ctx())?;
        let (encoder, mut bytes) = Encoder::begin(format, plan.schema())?;
        let bytes_left = session.config.result_bytes_max;
        let mut pending = Self {
            session,
            plan,
            stream,
            encoder,
            batch: None,
            rows_left: rows_max,
            rows_max,
            bytes_left,
            cut: None,
            started,
            given_up: GivenUp::of_this_work(),
        };
        while bytes.len() < HEAD_BYTES {
            match pending.piece().await? {
                Some(piece) => bytes.extend(piece),
                None => {
                    let (end, reason) = pending.end()?;
                    bytes.extend(end);
                    return Ok(Head { bytes, pending: Err(reason) });
                }
            }
        }
        Ok(Head { bytes, pending: Ok(Box::new(pending)) })
    }

    /// The next bytes; `None` after the last row.
    async fn piece(&mut self) -> Result<Option<Vec<u8>>> {
        let batch = loop {
            if self.cut.is_some() {
                return Ok(None);
            }
            match self.batch.take() {
                Some(batch) => break batch,
                None => match self.stream.next().await {
                    None => return Ok(None),
                    Some(batch) => self.batch = self.within_limits(batch?),
                },
            }
        };
        let n = batch.num_rows().min(PIECE_ROWS);
        if n < batch.num_rows() {
            self.batch = Some(batch.slice(n, batch.num_rows() - n));
        }
        self.encoder.rows(&batch.slice(0, n)).map(Some)
    }

    /// The rows of a batch that may still be shown.
    fn within_limits(&mut self, batch: RecordBatch) -> Option<RecordBatch> {
        let n_bytes = sliced_bytes(&batch);
        if n_bytes > self.bytes_left {
            let (shown, limit) = (self.rows_max - self.rows_left, self.session.config.result_bytes_max);
            self.cut = Some(format!("the answer was cut at {shown} rows because it is larger than {limit} bytes"));
            return None;
        }
        self.bytes_left -= n_bytes;
        let n_rows = batch.num_rows() as u64;
        if n_rows <= self.rows_left {
            self.rows_left -= n_rows;
            return (n_rows > 0).then_some(batch);
        }
        let left = usize::try_from(std::mem::take(&mut self.rows_left)).unwrap_or(usize::MAX);
        let max = self.rows_max;
        let cut = format!("the answer was cut at {max} rows; add a LIMIT or narrow the question");
        if left == 0 {
            self.cut = Some(cut);
            return None;
        }
        // The rows that fit are shown first; the next batch would be the cut.
        self.session.note(cut);
        self.stream = Box::pin(datafusion::physical_plan::EmptyRecordBatchStream::new(self.plan.schema()));
        Some(batch.slice(0, left))
    }

    /// The last bytes, and why rows are missing.
    fn end(mut self) -> Result<(Vec<u8>, Option<String>)> {
        let session = &self.session;
        let reasons = self.cut.take().into_iter().chain(session.derived.reason());
        let reason = session.noted(reasons.reduce(|a, b| format!("{a}; {b}")).as_deref());
        let (_, reason) = incomplete(&session.snapshot, reason);
        let cost = cost(&self.plan);
        let tail = Tail {
            elapsed_ms: self.started.elapsed().as_secs_f64() * 1e3,
            rows_read: cost.rows_read,
            bytes_read: cost.bytes_read,
            incomplete_reason: reason.clone(),
        };
        Ok((self.encoder.end(&tail)?, reason))
    }

    /// Writes everything that is left. Its place among the running queries is free when that is done or the time is
    /// over, also when the reader has stopped reading.
    async fn run(mut self, tell: mpsc::Sender<Result<Piece>>, deadline: Duration, place: OwnedSemaphorePermit) {
        let (seconds, given_up) = (self.session.config.seconds_max, self.given_up.clone());
        let work = async {
            let _place = place;
            while let Some(bytes) = self.piece().await? {
                if tell.send(Ok(Piece::Bytes(bytes.into()))).await.is_err() {
                    return Ok(());
                }
            }
            let (bytes, reason) = self.end()?;
            if tell.send(Ok(Piece::Bytes(bytes.into()))).await.is_ok() {
                // Nobody reads on: nothing is lost.
                let _ = tell.send(Ok(Piece::End(reason))).await;
            }
            Ok(())
        };
        let ended = tokio::time::timeout(deadline, work).await.unwrap_or(Err(Error::Timeout { seconds }));
        given_up.give_up();
        // Who went away is told nothing.
        if let Err(error) = ended
            && !tell.is_closed()
        {
            tracing::warn!(%error, "an answer was broken off");
            let _ = tell.send(Err(error)).await;
        }
    }
}

impl Head {
    /// The answer, with the rest under way.
    pub(super) fn into_body(self, engine: &Engine, place: OwnedSemaphorePermit) -> SqlBody {
        let Self { bytes, pending } = self;
        let head = bytes.into();
        match pending {
            Err(incomplete_reason) => SqlBody { head, incomplete_reason, rest: None },
            Ok(pending) => {
                let limit = Duration::from_secs(pending.session.config.seconds_max);
                let deadline = limit.saturating_sub(pending.started.elapsed());
                let (tell, pieces) = mpsc::channel(PIECES_MAX);
                let work = engine.go_on(pending.given_up.clone(), pending.run(tell, deadline, place));
                SqlBody { head, incomplete_reason: None, rest: Some(Rest { pieces, _work: work }) }
            }
        }
    }
}

impl SqlBody {
    /// Everything, as one piece, and why rows are missing.
    ///
    /// # Errors
    /// What went wrong on the way.
    pub async fn collect(self) -> Result<(Vec<u8>, Option<String>)> {
        let (mut all, mut reason) = (self.head.to_vec(), self.incomplete_reason);
        if let Some(mut rest) = self.rest {
            while let Some(piece) = rest.pieces.recv().await {
                match piece? {
                    Piece::Bytes(bytes) => all.extend_from_slice(&bytes),
                    Piece::End(why) => reason = why,
                }
            }
        }
        Ok((all, reason))
    }
}
