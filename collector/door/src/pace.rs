//! How long a connection may keep us waiting (T14, T15).
//!
//! | the peer                                                     | is waited for                | then                                    |
//! |--------------------------------------------------------------|------------------------------|-----------------------------------------|
//! | has not sent its first head (HTTP/1.1) or preface (HTTP/2)   | `first_byte_timeout`, from accept | the connection ends                |
//! | has no request open                                          | `idle_timeout`               | it is told to go, and ends              |
//! | sends a body slower than 1 KiB/s                             | `first_byte_timeout` in all  | HTTP/1.1: the connection ends; HTTP/2: the request |
//! | takes nothing of what is sent to it (the socket is full)     | `idle_timeout`               | the connection ends                     |
//!
//! A connection ends without an answer: senders try again then, which they do not after 408. Over HTTP/2 other requests may be
//! under way on the same connection, so a slow body ends its own only.
//!
//! [`Paced`] is the socket's half and sees bytes, [`Coming`] and [`Going`] are bodies of requests and answers, and
//! [`Pace::watch`] decides. Nothing is allocated per byte, and a body that is here already costs no timer.

use std::io::{Error, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

/// What HTTP/2 begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The slowest that a body may come.
const BYTES_PER_S_MIN: u64 = 1 << 10;
/// Writes up to this size are pings and acknowledgements of HTTP/2, which keep no connection alive.
const SIGN_OF_LIFE_BYTES: usize = 64;
/// How much of the preface has been seen when there is another protocol.
const IS_HTTP1: usize = usize::MAX;
/// No moment.
const NEVER: u64 = u64::MAX;

/// Patience with a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) first_head: Duration,
    pub(crate) idle: Duration,
}

/// What a connection has done so far. Moments are milliseconds since it was accepted.
#[derive(Debug)]
pub(crate) struct Pace {
    patience: Patience,
    accepted: Instant,
    /// Bytes of HTTP/2's preface that have come, or [`IS_HTTP1`].
    preface: AtomicUsize,
    requests: AtomicU64,
    open: AtomicUsize,
    /// When a request or an answer last moved.
    moved_ms: AtomicU64,
    /// Since when the socket takes nothing.
    full_since_ms: AtomicU64,
    /// A body was too slow over HTTP/1.1.
    slow: CancellationToken,
}

/// What is to be done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Ends at once.
    Cut(&'static str),
    /// Is told to go.
    Close,
}

impl Pace {
    pub(crate) fn new(patience: Patience, accepted: Instant) -> Arc<Self> {
        Arc::new(Self {
            patience,
            accepted,
            preface: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            moved_ms: AtomicU64::new(0),
            full_since_ms: AtomicU64::new(NEVER),
            slow: CancellationToken::new(),
        })
    }

    fn now_ms(&self) -> u64 {
        self.accepted.elapsed().as_millis() as u64
    }

    /// A request's head is here; it is open until what is given back is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Open {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    /// Ends when the connection has kept us waiting too long.
    pub(crate) async fn watch(&self) -> Verdict {
        loop {
            let wait = match self.judge(self.now_ms()) {
                Ok(wait) => wait,
                Err(verdict) => return verdict,
            };
            tokio::select! {
                () = self.slow.cancelled() => return Verdict::Cut("a body came too slowly"),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// What is to be done, or when to look again.
    fn judge(&self, now_ms: u64) -> std::result::Result<Duration, Verdict> {
        let (first_head, idle) = (self.patience.first_head.as_millis() as u64, self.patience.idle.as_millis() as u64);
        let has_spoken =
            self.requests.load(Ordering::Relaxed) > 0 || self.preface.load(Ordering::Relaxed) == PREFACE.len();
        let full_since_ms = self.full_since_ms.load(Ordering::Relaxed);
        let is_open = self.open.load(Ordering::Relaxed) > 0;
        let (until_ms, verdict) = if !has_spoken {
            (first_head, Verdict::Cut("its first request did not come"))
        } else if full_since_ms != NEVER {
            (full_since_ms.saturating_add(idle), Verdict::Cut("it did not read its answers"))
        } else if is_open {
            (now_ms.saturating_add(idle), Verdict::Close)
        } else {
            (self.moved_ms.load(Ordering::Relaxed).saturating_add(idle), Verdict::Close)
        };
        // A socket may fill, and the last request end, at any moment until then: half of the patience is the finest that matters.
        let wait_ms = until_ms.saturating_sub(now_ms);
        if wait_ms == 0 { Err(verdict) } else { Ok(Duration::from_millis(wait_ms.min(idle / 2 + 1))) }
    }

    fn move_on(&self) {
        self.moved_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    /// Looks at the first bytes: whether they are HTTP/2's.
    fn look(&self, bytes: &[u8]) {
        let seen = self.preface.load(Ordering::Relaxed);
        if let Some(rest) = PREFACE.get(seen..).filter(|rest| !rest.is_empty()) {
            let n = rest.len().min(bytes.len());
            self.preface.store(if rest[..n] == bytes[..n] { seen + n } else { IS_HTTP1 }, Ordering::Relaxed);
        }
    }

    fn wrote(&self, outcome: &Poll<Result<usize>>) {
        match outcome {
            Poll::Pending => self.is_full(),
            Poll::Ready(outcome) => {
                self.full_since_ms.store(NEVER, Ordering::Relaxed);
                if outcome.as_ref().is_ok_and(|n| *n > SIGN_OF_LIFE_BYTES) {
                    self.move_on();
                }
            }
        }
    }

    /// TLS keeps what the socket does not take and is done with a write; that its reader has caught up shows when it is flushed.
    fn flushed(&self, outcome: &Poll<Result<()>>) {
        match outcome {
            Poll::Pending => self.is_full(),
            Poll::Ready(_) => self.full_since_ms.store(NEVER, Ordering::Relaxed),
        }
    }

    fn is_full(&self) {
        let _ = self.full_since_ms.compare_exchange(NEVER, self.now_ms(), Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// A request that is not answered to its end.
#[derive(Debug)]
pub(crate) struct Open(Arc<Pace>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.move_on();
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A socket that is watched.
#[derive(Debug)]
pub(crate) struct Paced<S> {
    pub(crate) socket: S,
    pub(crate) pace: Arc<Pace>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = into.filled().len();
        let outcome = ready!(Pin::new(&mut self.socket).poll_read(context, into));
        self.pace.look(&into.filled()[before..]);
        Poll::Ready(outcome)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.pace.wrote(&outcome);
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write_vectored(context, pieces);
        self.pace.wrote(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let outcome = Pin::new(&mut self.socket).poll_flush(context);
        self.pace.flushed(&outcome);
        outcome
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

/// The body of a request, while it comes.
#[derive(Debug)]
pub(crate) struct Coming {
    body: Incoming,
    pace: Arc<Pace>,
    /// What else is on its connection: a slow body then ends only itself.
    is_shared: bool,
    n_bytes: u64,
    /// What was waited for so far, and since when we wait now. Time that we do not read is not the peer's.
    waited: Duration,
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Coming {
    pub(crate) fn new(body: Incoming, pace: Arc<Pace>, is_shared: bool) -> Self {
        Self { body, pace, is_shared, n_bytes: 0, waited: Duration::ZERO, since: None, timer: None }
    }

    /// How long we would wait in all for what has come.
    fn patience(&self) -> Duration {
        self.pace.patience.first_head + Duration::from_millis(self.n_bytes.saturating_mul(1000) / BYTES_PER_S_MIN)
    }

    /// Ready when the body is too slow.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let since = *self.since.get_or_insert(now);
        let patience = self.patience();
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        while timer.as_mut().poll(context).is_ready() {
            let waited = self.waited + now.saturating_duration_since(since);
            if waited >= patience {
                return Poll::Ready(());
            }
            timer.as_mut().reset(now + (patience - waited));
        }
        Poll::Pending
    }
}

impl HttpBody for Coming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(frame) => {
                if let Some(since) = this.since.take() {
                    this.waited += since.elapsed();
                }
                if let Some(Ok(frame)) = &frame {
                    this.n_bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Error::other)))
            }
            Poll::Pending if this.poll_late(context).is_pending() => Poll::Pending,
            Poll::Pending if this.is_shared => {
                let late = format!("it came slower than {BYTES_PER_S_MIN} bytes a second");
                Poll::Ready(Some(Err(Error::other(late))))
            }
            Poll::Pending => {
                this.pace.slow.cancel();
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer: its request is open until it is dropped.
#[derive(Debug)]
pub(crate) struct Going {
    body: Body,
    _open: Open,
}

impl Going {
    pub(crate) const fn new(body: Body, open: Open) -> Self {
        Self { body, _open: open }
    }
}

impl HttpBody for Going {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace() -> Arc<Pace> {
        let patience = Patience { first_head: Duration::from_secs(10), idle: Duration::from_secs(75) };
        Pace::new(patience, Instant::now())
    }

    /// T15: the first head or preface counts from accept; half a preface is none.
    #[test]
    fn t15_first_head_is_waited_for_from_accept() {
        let cut = Err(Verdict::Cut("its first request did not come"));
        for begun in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", b"GET / HTTP/1.1\r\n", b"PRIX"] {
            let pace = pace();
            begun.chunks(3).for_each(|bytes| pace.look(bytes));
            assert!(pace.judge(9_999).is_ok(), "{begun:?}");
            assert_eq!(pace.judge(10_000), cut, "{begun:?}");
        }
        let pace = pace();
        PREFACE.chunks(5).for_each(|bytes| pace.look(bytes));
        pace.look(b"PRI and whatever comes then");
        assert!(pace.judge(74_999).is_ok());
        assert_eq!(pace.judge(75_000), Err(Verdict::Close), "no request ever");
    }

    /// A connection with a request is not idle, however long it takes; pings are no sign of life, answers are.
    #[test]
    fn t15_idle_begins_with_the_end_of_the_last_request() {
        let pace = pace();
        let open = pace.begin();
        assert!(pace.judge(1_000_000).is_ok());
        drop(open);
        // However long the machine took to get here.
        pace.moved_ms.store(0, Ordering::Relaxed);
        assert!(pace.judge(74_000).is_ok());
        assert_eq!(pace.judge(76_000), Err(Verdict::Close));
        pace.moved_ms.store(50_000, Ordering::Relaxed);
        pace.wrote(&Poll::Ready(Ok(17)));
        assert_eq!(pace.judge(125_000), Err(Verdict::Close));
    }

    /// A peer that takes nothing of its answer is not waited for, though the request is open.
    #[test]
    fn stalled_readers_are_cut() {
        let pace = pace();
        let _open = pace.begin();
        pace.wrote(&Poll::Pending);
        let since = pace.full_since_ms.load(Ordering::Relaxed);
        assert!(pace.judge(since + 74_999).is_ok());
        assert_eq!(pace.judge(since + 75_000), Err(Verdict::Cut("it did not read its answers")));
        pace.wrote(&Poll::Ready(Ok(1)));
        assert!(pace.judge(since + 75_000).is_ok());
    }

    /// A socket that holds back what it was given (as TLS does) until it is told that its peer reads again.
    #[derive(Debug, Default)]
    struct Holding {
        is_full: bool,
    }

    impl AsyncWrite for Holding {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
            if self.is_full { Poll::Pending } else { Poll::Ready(Ok(())) }
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// A reader over TLS that falls behind and catches up is not cut later, however quiet the answer is until then.
    #[test]
    fn readers_that_caught_up_are_not_cut() {
        let pace = pace();
        let _open = pace.begin();
        let mut socket = Paced { socket: Holding { is_full: true }, pace: Arc::clone(&pace) };
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut socket).poll_write(&mut context, &[0; 100]).is_ready());
        assert!(Pin::new(&mut socket).poll_flush(&mut context).is_pending());
        let since = pace.full_since_ms.load(Ordering::Relaxed);
        assert_eq!(pace.judge(since + 75_000), Err(Verdict::Cut("it did not read its answers")));
        socket.socket.is_full = false;
        assert!(Pin::new(&mut socket).poll_flush(&mut context).is_ready());
        assert!(pace.judge(since + 1_000_000).is_ok());
    }
}
