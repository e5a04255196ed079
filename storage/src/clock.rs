//! The time of day as an argument, so that tests decide what time it is.

use std::fmt::Debug;
use std::time::{SystemTime, UNIX_EPOCH};

use model::UnixNanos;

/// Tells the time of day. Never used for timeouts: those count monotonic time.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Now.
    fn now(&self) -> UnixNanos;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "everybody else asks this clock")]
    fn now(&self) -> UnixNanos {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixNanos(i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX))
    }
}
