//! The digest: settled journeys and their parts at rest, so that pages, maps and alerts read summaries.
//!
//! | file           | knows                                                                        |
//! |----------------|------------------------------------------------------------------------------|
//! | `settled.rs`   | which traces are open, which are at rest at a moment: pure                   |
//! | `recent.rs`    | what was looked at lately and what it leads to: pure                         |
//! | `desk.rs`      | what is known about one tenant                                               |
//! | `packed.rs`    | spans of open traces in few bytes: pure                                      |
//! | `look.rs`      | what an analysis says about some traces, by owner: pure                      |
//! | `rollup.rs`    | sums per minute that add up and can be taken away: pure                      |
//! | `columns.rs`   | a look as rows of the derived tables: pure                                   |
//! | `stored.rs`    | what is read from a snapshot                                                 |
//! | `on_demand.rs` | the same relations for traces that are not at rest yet                       |
//! | `run.rs`       | the task: follows the writer, tenant by tenant                               |
//! | `catch_up.rs`  | where it begins                                                              |
//! | `batch.rs`     | one batch of traces that are at rest                                         |
//! | `again.rs`     | late traces, many at once                                                    |
//!
//! A trace settles 30 s after its last span. It is then analysed together with all traces it may be joined to, and its
//! calls, hops, journey, paths, findings and sums per minute are written as one record, together with how far the
//! digest has come: exactly once, whenever the process ends. Late spans make a trace settle again: its rows are
//! written with a higher revision, which hides the older ones, and its sums are corrected by what changed.
//!
//! See docs/decisions/18-digest.md.

mod again;
mod batch;
mod catch_up;
pub(crate) mod columns;
pub(crate) mod desk;
pub(crate) mod look;
pub(crate) mod on_demand;
pub(crate) mod packed;
pub(crate) mod recent;
pub(crate) mod rollup;
pub(crate) mod run;
pub(crate) mod settled;
pub(crate) mod stored;
#[cfg(test)]
mod tests;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use api::DigestStatus;
use futures::FutureExt as _;
use storage::{DerivedWriter, Reader};
use tokio_util::sync::CancellationToken;

use crate::analysis::thresholds::Bounds;
use crate::engine::Engine;
use crate::error::{Error, Result};
use run::{Figures, Task};

/// The running digest. Dropping it ends it without waiting; nothing is lost by that.
#[derive(Debug)]
pub struct Digest {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
    figures: Figured,
}

/// Figures of a digest, running or ended. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Figured(Arc<Figures>, bool);

impl Engine {
    /// Starts the digest on a thread of its own; when the settings say no, one that does nothing.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start_digest(&self, reader: Reader, writer: DerivedWriter) -> Result<Digest> {
        let (stop, is_on) = (CancellationToken::new(), self.config().digest);
        let figures = Figured(Arc::new(Figures::default()), is_on);
        let mut thread = None;
        if is_on {
            let task = Task {
                engine: self.clone(),
                reader,
                writer,
                stop: stop.clone(),
                figures: Arc::clone(&figures.0),
                settle_nanos: i64::try_from(self.config().digest_settle_seconds)
                    .unwrap_or(i64::MAX)
                    .saturating_mul(model::UnixNanos::SECOND)
                    .min(run::SETTLE_NANOS_MAX),
                memory_bytes_max: usize::try_from(self.config().digest_memory_bytes_max).unwrap_or(usize::MAX),
                bounds: Bounds::default(),
            };
            let refuse = |error: std::io::Error| Error::Internal(format!("cannot start the digest: {error}"));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(refuse)?;
            let builder = std::thread::Builder::new().name("digest".to_owned()).stack_size(STACK_BYTES);
            let ended = stop.clone();
            let work = move || {
                storage::let_ingest_go_first();
                runtime.block_on(keep_running(task, ended));
            };
            thread = Some(builder.spawn(work).map_err(refuse)?);
        }
        Ok(Digest { stop, thread, figures })
    }
}

/// Runs the task until told to stop, wherever it is then: a batch that was begun is written or not, and the next start
/// finds out. A panic is a bug in an analysis; the digest begins anew after a pause, and is seen to be behind.
async fn keep_running(task: Task, stop: CancellationToken) {
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            ended = AssertUnwindSafe(task.run()).catch_unwind() => match ended {
                Ok(()) => return,
                Err(_) => {
                    task.figures.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::error!("the digest panicked; it begins anew in a minute");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PANIC_PAUSE) => {}
        }
    }
}

/// Pause after a panic.
const PANIC_PAUSE: Duration = Duration::from_secs(60);
/// Planning recurses, as on the query threads.
const STACK_BYTES: usize = 16 << 20;

impl Digest {
    /// Its figures, also after it has ended.
    pub fn figures(&self) -> Figured {
        self.figures.clone()
    }

    /// Ends after the batch at hand. What is open is read again at the next start.
    pub async fn close(mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic was logged by the thread itself.
            let _ = tokio::task::spawn_blocking(move || drop(thread.join())).await;
        }
    }
}

impl Drop for Digest {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Figured {
    /// How far the digest is, and what it has done since the start.
    pub fn status(&self) -> DigestStatus {
        let Self(figures, is_on) = self;
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        DigestStatus {
            is_on: *is_on,
            catching_up: figures.is_catching_up.load(Ordering::Relaxed),
            behind_seconds: read(&figures.behind_ms) as f64 / 1e3,
            open_traces: read(&figures.open_traces),
            open_spans: read(&figures.open_spans),
            memory_bytes: read(&figures.memory_bytes),
            at_rest_until_unix_nano: read(&figures.arrival_low).to_string(),
            batches: read(&figures.batches),
            traces: read(&figures.traces),
            spans: read(&figures.spans),
            late_traces: read(&figures.late),
            early_traces: read(&figures.early),
            unchecked_traces: read(&figures.unchecked),
            left_out_spans: read(&figures.left_out),
            gaps: read(&figures.gaps),
            failures: read(&figures.failures),
        }
    }
}
