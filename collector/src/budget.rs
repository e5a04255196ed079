//! Bytes in flight: bounded before they are decoded, given back when the request is answered.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::error::{Error, Result};
use crate::metrics::Metrics;

/// The bytes that all requests together may hold.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    metrics: Arc<Metrics>,
    limit_bytes: u64,
}

/// Bytes of one request; given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Budget,
    bytes: u64,
}

impl Budget {
    pub(crate) const fn new(metrics: Arc<Metrics>, limit_bytes: u64) -> Self {
        Self { metrics, limit_bytes }
    }

    /// An empty reservation.
    pub(crate) fn reserve(&self) -> Reservation {
        Reservation { budget: self.clone(), bytes: 0 }
    }
}

impl Reservation {
    /// Takes `bytes` more.
    ///
    /// # Errors
    /// [`Error::Busy`] when the budget is used up: the sender is asked to come back.
    pub(crate) fn grow(&mut self, bytes: u64) -> Result<()> {
        let limit_bytes = self.budget.limit_bytes;
        let in_flight = &self.budget.metrics.in_flight_bytes;
        let before = in_flight.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > limit_bytes {
            in_flight.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Error::Busy { limit_bytes });
        }
        self.bytes += bytes;
        Ok(())
    }

    /// An empty one of the same budget.
    pub(crate) fn another(&self) -> Self {
        self.budget.reserve()
    }

    /// From now on holds what `other` held, too.
    pub(crate) fn join(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.metrics.in_flight_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was reserved is given back, and what does not fit is refused without being counted.
    #[test]
    fn bytes_come_back() {
        let metrics = Arc::new(Metrics::default());
        let budget = Budget::new(Arc::clone(&metrics), 100);
        let (mut first, mut second) = (budget.reserve(), budget.reserve());
        assert!(first.grow(60).is_ok());
        assert!(matches!(second.grow(60), Err(Error::Busy { limit_bytes: 100 })));
        assert!(second.grow(40).is_ok());
        assert_eq!(metrics.snapshot().in_flight_bytes, 100);
        let mut both = first.another();
        both.join(first);
        both.join(second);
        assert_eq!(metrics.snapshot().in_flight_bytes, 100);
        drop(both);
        assert_eq!(metrics.snapshot().in_flight_bytes, 0);
    }
}
