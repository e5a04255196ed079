//! The threads that decode what is large or compressed: one per processor, and large requests one after the other.
//!
//! ```text
//!   up to 2 MiB as it comes ─▶ turn (one per processor) ─▶ inflate, at most 2 MiB ─▶ decode ─▶ batches
//!                                                             │ it is more: what was inflated is thrown away; at this rate too large
//!                                                             │ for us: the rest is only counted, and a bomb is refused here
//!   larger as it comes ─▶ lane of large ones, one at a time ◀─┘
//!                            └─▶ turn ─▶ inflate ─▶ decode ─▶ batches
//! ```
//!
//! Whoever waits for the lane has no turn and holds its body as it came and nothing else, so large requests hold up no small ones, and what
//! many of them would become waits outside. A compressed one pays for that with 2 MiB that are inflated twice: some milliseconds.
//!
//! Why not any blocking thread: an allocator keeps what a thread has freed for this thread. Spread over dozens of them, what one burst
//! left behind was several times what its requests held, and stayed for as long as the threads did. Here it is bounded by the number
//! of processors; and a thread that has decoded something large ends after it, which gives back what it kept, and another one takes its
//! place (50 microseconds, beside tens of milliseconds of work).
//!
//! Why one at a time: decoded, a request takes a multiple of its bytes, and nobody knows which before it is decoded. Small ones are bounded
//! by their size; of large ones at most one is being decoded, whatever comes.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::{Error, Result};

/// Plain bodies above this size are large: what stays of them in a thread is worth giving back, and of them one is decoded at a time.
/// Batches of senders are a tenth of it.
pub(crate) const LARGE_BYTES_MIN: usize = 2 << 20;

/// What a job has become, and whether the thread keeps so much after it that it should end.
pub(crate) struct Done<T> {
    pub(crate) made: T,
    pub(crate) is_worn: bool,
}

/// Work for one of the threads; true when the thread should end after it.
type Job = Box<dyn FnOnce() -> bool + Send>;

/// The threads, and whose turn it is. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Decoders {
    jobs: SyncSender<Job>,
    turns: Arc<Semaphore>,
    lane: Arc<Semaphore>,
}

impl Decoders {
    /// Starts `n_threads`.
    ///
    /// # Errors
    /// The system gives no threads.
    pub(crate) fn start(n_threads: usize) -> std::io::Result<Self> {
        // Whoever sends has a turn, and there are no more turns than this: nobody waits here.
        let (jobs, waiting) = sync_channel(n_threads);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..n_threads {
            spawn(Arc::clone(&waiting))?;
        }
        Ok(Self { jobs, turns: Arc::new(Semaphore::new(n_threads)), lane: Arc::new(Semaphore::new(1)) })
    }

    /// Waits until no other large request is in the lane; to be kept while this one is decoded. To be asked for before a turn, never
    /// with one.
    ///
    /// # Errors
    /// [`Error::Closing`], which does not happen: the lane is never closed.
    pub(crate) async fn enter_lane(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.lane).acquire_owned().await.map_err(|_| Error::Closing)
    }

    /// Runs `work` on one of the threads when it is its turn. Turns end with the work, not with the waiting for it: whoever waited too
    /// long leaves behind what has begun, and what has not begun is left undone. So no more jobs wait than there are threads.
    ///
    /// # Errors
    /// [`Error::Bug`] when `work` panics, or there are no threads any more.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Done<T> + Send + 'static) -> Result<T> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Error::Closing)?;
        let (tell, told) = oneshot::channel();
        let job = Box::new(move || {
            if tell.is_closed() {
                return false;
            }
            let Done { made, is_worn } = work();
            drop(turn);
            // Nobody may wait for it any more.
            let _ = tell.send(made);
            is_worn
        });
        self.jobs.try_send(job).map_err(|_| Error::Bug)?;
        told.await.map_err(|_| Error::Bug)
    }
}

fn spawn(waiting: Arc<Mutex<Receiver<Job>>>) -> std::io::Result<()> {
    std::thread::Builder::new().name("decode".to_owned()).spawn(move || work(&waiting)).map(drop)
}

/// Takes jobs until there is nobody left who could give one, or something large was done.
fn work(waiting: &Arc<Mutex<Receiver<Job>>>) {
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        // A panic ends its request (the answer's sender is dropped), not the thread.
        let is_worn = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).unwrap_or(true);
        // Without another thread this one goes on.
        if is_worn && spawn(Arc::clone(waiting)).is_ok() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn done<T>(made: T, is_worn: bool) -> Done<T> {
        Done { made, is_worn }
    }

    /// Small work stays on as many threads as there are; after something large there is a fresh one; a panic is the end of one request.
    #[tokio::test]
    async fn threads_are_few_and_fresh_after_large_work() {
        let decoders = Decoders::start(1).expect("threads");
        let here = || done(std::thread::current().id(), false);
        let first = decoders.run(here).await.expect("done");
        for _ in 0..20 {
            assert_eq!(decoders.run(here).await.expect("done"), first);
        }
        decoders.run(|| done((), true)).await.expect("done");
        let second = decoders.run(here).await.expect("done");
        assert_ne!(second, first);
        let panicked = decoders.run(|| -> Done<()> { panic!("on purpose") }).await;
        assert!(matches!(panicked, Err(Error::Bug)));
        decoders.run(here).await.expect("life goes on");
    }

    /// What nobody waits for any more is not begun.
    #[tokio::test]
    async fn work_that_nobody_waits_for_is_left_undone() {
        // One thread and two turns, as if it had still to come back from the work before; and room for as many jobs as there are turns.
        let (jobs, waiting) = sync_channel(2);
        spawn(Arc::new(Mutex::new(waiting))).expect("a thread");
        let decoders = Decoders { jobs, turns: Arc::new(Semaphore::new(2)), lane: Arc::new(Semaphore::new(1)) };
        let ((tell, begun), (go, wait)) = (sync_channel(1), sync_channel(1));
        let work = move || done((tell.send(()).is_ok(), wait.recv().is_ok()), false);
        let mut first = Box::pin(decoders.run(work));
        assert!(futures::poll!(&mut first).is_pending());
        begun.recv().expect("it has begun");
        let n_done = Arc::new(AtomicUsize::new(0));
        let abandoned = Arc::clone(&n_done);
        let mut second = Box::pin(decoders.run(move || done(abandoned.fetch_add(1, Ordering::SeqCst), false)));
        assert!(futures::poll!(&mut second).is_pending());
        drop(second);
        go.send(()).expect("the first one waits for it");
        assert_eq!(first.await.expect("done"), (true, true));
        decoders.run(|| done((), false)).await.expect("done");
        assert_eq!(n_done.load(Ordering::SeqCst), 0);
    }

    /// Never more at once than there are threads, and of large ones never more than one.
    #[tokio::test]
    async fn large_ones_go_one_after_the_other() {
        let decoders = Decoders::start(4).expect("threads");
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let all = (0..40).map(|_| {
            let (decoders, now, most) = (&decoders, Arc::clone(&now), Arc::clone(&most));
            async move {
                let _alone = decoders.enter_lane().await.expect("open");
                let work = move || {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    now.fetch_sub(1, Ordering::SeqCst);
                    done(std::thread::current().id(), true)
                };
                decoders.run(work).await
            }
        });
        let threads: HashSet<_> =
            futures::future::join_all(all).await.into_iter().map(|id| id.expect("done")).collect();
        assert_eq!(most.load(Ordering::SeqCst), 1);
        assert_eq!(threads.len(), 40, "each ended after its work");
    }
}
