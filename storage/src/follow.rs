//! Rows of one table handed to followers as they become visible.
//!
//! The writer never waits for the follower: what it does not take in time is dropped from the queue and the
//! follower is told that there is a gap. The rows themselves are in every snapshot; a follower that missed some
//! finds them there.

use std::sync::{Arc, Mutex, PoisonError};

use model::TenantId;
use tokio::sync::watch;

use crate::snapshot::BufferedRows;
use crate::table::Table;
use crate::writer::TableRows;

/// Bytes of rows that wait for the follower, at least and at most; between them as many as the write buffer holds, with which they are shared for
/// as long as that holds them.
const WAITING_BYTES: std::ops::RangeInclusive<u64> = 8 << 20..=64 << 20;

/// What became visible since the last look.
#[derive(Debug, Default)]
pub struct Followed {
    /// Rows in the order in which they became visible, one entry per append.
    pub rows: Vec<(TenantId, Arc<BufferedRows>)>,
    /// Rows were dropped before these because the follower came too late.
    pub has_gap: bool,
}

/// The follower's end.
#[derive(Debug)]
pub struct Follower {
    queue: Arc<Queue>,
    version: watch::Receiver<u64>,
}

/// The writer's end.
#[derive(Debug)]
pub(crate) struct Queue {
    table: &'static Table,
    bytes_max: u64,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    followed: Followed,
    bytes: u64,
    /// The follower has gone.
    is_closed: bool,
}

impl Queue {
    /// For rows of one table; `buffer_bytes_max` is when the write buffer is sealed.
    pub(crate) fn new(table: &'static Table, buffer_bytes_max: u64) -> Self {
        let bytes_max = buffer_bytes_max.clamp(*WAITING_BYTES.start(), *WAITING_BYTES.end());
        Self { table, bytes_max, waiting: Mutex::default() }
    }

    /// The follower has gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_closed
    }

    /// The rows that the follower wants.
    pub(crate) fn wanted(&self, groups: &[(TenantId, Vec<TableRows>)]) -> Vec<(TenantId, Arc<BufferedRows>)> {
        let of_group = |(tenant, tables): &(TenantId, Vec<TableRows>)| {
            let rows = tables.iter().find(|(table, _)| *table == self.table);
            rows.map(|(_, rows)| (tenant.clone(), Arc::clone(rows)))
        };
        groups.iter().filter_map(of_group).collect()
    }

    /// Hands rows over; drops all that wait when they are too many.
    pub(crate) fn push(&self, rows: Vec<(TenantId, Arc<BufferedRows>)>) {
        if rows.is_empty() {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_closed {
            return;
        }
        waiting.bytes += rows.iter().map(|(_, rows)| rows.bytes).sum::<u64>();
        waiting.followed.rows.extend(rows);
        if waiting.bytes > self.bytes_max {
            waiting.followed = Followed { rows: Vec::new(), has_gap: true };
            waiting.bytes = 0;
        }
    }
}

impl Follower {
    pub(crate) const fn new(queue: Arc<Queue>, version: watch::Receiver<u64>) -> Self {
        Self { queue, version }
    }

    /// A follower of rows that never come, for snapshots that never change.
    pub fn of_nothing(table: &'static Table) -> Self {
        Self::new(Arc::new(Queue::new(table, 0)), watch::channel(0).1)
    }

    /// Everything since the last call. Never waits.
    pub fn take(&self) -> Followed {
        let mut waiting = self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.bytes = 0;
        std::mem::take(&mut waiting.followed)
    }

    /// Returns when something was published since the last call, of whatever table. Never returns when storage
    /// has gone.
    pub async fn changed(&mut self) {
        if self.version.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut waiting = self.queue.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        *waiting = Waiting { is_closed: true, ..Waiting::default() };
    }
}
