//! Threads of their own for query plans, so that ingest and health never wait behind a query; on a busy machine they go first.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::error::{Error, Result};

/// Bytes of stack per thread: planning a deep expression recurses, more so without optimisation.
const STACK_BYTES: usize = 16 << 20;

/// A runtime that only runs query plans.
#[derive(Debug)]
pub(crate) struct CpuRuntime {
    /// `None` only while being dropped.
    runtime: Option<Runtime>,
}

impl CpuRuntime {
    /// Starts `threads` threads; 0 takes one per core.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub(crate) fn start(threads: usize) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(n_threads(threads))
            .thread_name("query")
            .on_thread_start(storage::let_ingest_go_first)
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .map_err(|error| Error::Internal(format!("cannot start threads for queries: {error}")))?;
        Ok(Self { runtime: Some(runtime) })
    }

    /// Runs `work` on these threads. Dropping the answer stops the work at its next pause.
    pub(crate) fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Running<T> {
        self.go_on(GivenUp::default(), work)
    }

    /// As [`Self::spawn`], for the rest of some work: what looks whether that was given up sees it of this too.
    pub(crate) fn go_on<T: Send + 'static>(
        &self,
        given_up: GivenUp,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Running<T> {
        let runtime = self.runtime.as_ref().expect("the runtime is taken only in drop");
        let answer = runtime.spawn(GIVEN_UP.scope(given_up.clone(), work));
        Running { answer, given_up }
    }
}

impl Drop for CpuRuntime {
    /// Does not wait: a runtime may not be joined from inside another one.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Threads for a setting where 0 means one per core.
pub(crate) fn n_threads(setting: usize) -> usize {
    match setting {
        0 => std::thread::available_parallelism().map_or(2, usize::from),
        n => n,
    }
}

/// Whether nobody waits for some work any more: for what cannot pause.
#[derive(Clone, Debug, Default)]
pub(crate) struct GivenUp(Arc<AtomicBool>);

tokio::task_local! {
    static GIVEN_UP: GivenUp;
}

impl GivenUp {
    /// That of the work which this is part of; tasks that it has spawned know it not.
    pub(crate) fn of_this_work() -> Self {
        GIVEN_UP.try_with(Self::clone).unwrap_or_default()
    }

    pub(crate) fn is_true(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Tasks that the work has spawned may still be under way when it ends.
    pub(crate) fn give_up(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Work under way on the query threads; ends with it when dropped.
#[derive(Debug)]
pub(crate) struct Running<T> {
    answer: JoinHandle<T>,
    given_up: GivenUp,
}

impl<T> Future for Running<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(context).map_err(|error| {
            tracing::error!(%error, "a query ended without an answer");
            Error::Internal("the query ended without an answer; the log says why".to_owned())
        })
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        // The rest of what has ended may be under way elsewhere.
        if !self.answer.is_finished() {
            self.given_up.give_up();
            self.answer.abort();
        }
    }
}
