//! Threads of their own for query plans, so that ingest and health never wait behind a query; on a busy machine they go first.

use std::future::Future;
use std::pin::Pin;
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
        let runtime = self.runtime.as_ref().expect("the runtime is taken only in drop");
        Running(runtime.spawn(work))
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

/// Work under way on the query threads; ends with it when dropped.
#[derive(Debug)]
pub(crate) struct Running<T>(JoinHandle<T>);

impl<T> Future for Running<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map_err(|error| {
            tracing::error!(%error, "a query ended without an answer");
            Error::Internal("the query ended without an answer; the log says why".to_owned())
        })
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
