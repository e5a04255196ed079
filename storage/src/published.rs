//! What the writer publishes and everybody else reads, without locks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use model::TenantId;
use tokio::sync::watch;

use crate::buffer::TenantView;
use crate::clock::Clock;
use crate::config::Config;
use crate::follow::{Follower, Queue};
use crate::index::Indexes;
use crate::metrics::Counters;
use crate::place::Place;
use crate::snapshot::Snapshot;
use crate::table::Table;

/// State shared by the handles and the tasks of storage. Views are stored by the writer only.
#[derive(Debug)]
pub(crate) struct Published {
    pub config: Config,
    /// For what other readers of the table logs see; nothing here depends on the time of day.
    pub clock: Arc<dyn Clock>,
    pub place: Place,
    pub indexes: Arc<Indexes>,
    tenants: ArcSwap<HashMap<TenantId, Arc<ArcSwap<TenantView>>>>,
    /// Why snapshots may miss rows.
    pub incomplete: ArcSwapOption<String>,
    /// Why writes are refused.
    pub refusing: ArcSwapOption<String>,
    /// No more appends are taken.
    pub is_closed: AtomicBool,
    /// Old WAL files are being replayed.
    pub is_replaying: AtomicBool,
    /// Bytes of appends between `append` and the buffer.
    pub queue_bytes: AtomicU64,
    /// Bytes of rows in no segment yet.
    pub buffer_bytes: AtomicU64,
    /// Rows in no segment yet.
    pub buffer_rows: AtomicU64,
    /// Bytes of those that came by replay and are not being written to segments yet.
    pub replayed_bytes: AtomicU64,
    /// Bytes of WAL files on disk.
    pub wal_bytes: AtomicU64,
    pub counters: Counters,
    /// Who wants to be handed rows as they become visible.
    follower: ArcSwapOption<Queue>,
    version: watch::Sender<u64>,
}

impl Published {
    pub(crate) fn new(config: Config, clock: Arc<dyn Clock>, place: Place) -> Self {
        Self {
            indexes: Arc::new(Indexes::new(Arc::clone(&place.store), config.index_cache_bytes_max as usize)),
            config,
            clock,
            place,
            tenants: ArcSwap::default(),
            incomplete: ArcSwapOption::empty(),
            refusing: ArcSwapOption::empty(),
            is_closed: AtomicBool::new(false),
            is_replaying: AtomicBool::new(false),
            queue_bytes: AtomicU64::new(0),
            buffer_bytes: AtomicU64::new(0),
            buffer_rows: AtomicU64::new(0),
            replayed_bytes: AtomicU64::new(0),
            wal_bytes: AtomicU64::new(0),
            counters: Counters::default(),
            follower: ArcSwapOption::empty(),
            version: watch::Sender::new(0),
        }
    }

    /// All tenants that have or had rows.
    pub(crate) fn tenants(&self) -> Arc<HashMap<TenantId, Arc<ArcSwap<TenantView>>>> {
        self.tenants.load_full()
    }

    /// The tenant's view; `None` when it never had rows.
    pub(crate) fn view(&self, tenant: &TenantId) -> Option<Arc<TenantView>> {
        self.tenants.load().get(tenant).map(|cell| cell.load_full())
    }

    /// Replaces the tenant's view: from here on, new snapshots see it. Called by the writer only.
    pub(crate) fn publish(&self, tenant: &TenantId, view: TenantView) {
        let view = Arc::new(view);
        if let Some(cell) = self.tenants.load().get(tenant) {
            cell.store(view);
            return;
        }
        let mut tenants = HashMap::clone(&self.tenants.load());
        tenants.insert(tenant.clone(), Arc::new(ArcSwap::new(view)));
        self.tenants.store(Arc::new(tenants));
    }

    /// Tells those who watch that something was published.
    pub(crate) fn announce(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    pub(crate) fn follow(&self, table: &'static Table) -> Follower {
        let queue = Arc::new(Queue::new(table));
        self.follower.store(Some(Arc::clone(&queue)));
        Follower::new(queue, self.watch())
    }

    /// Whoever follows; `None` when nobody does.
    pub(crate) fn follower(&self) -> Option<Arc<Queue>> {
        self.follower.load_full()
    }

    pub(crate) fn snapshot(&self, tenant: &TenantId) -> Snapshot {
        // First whether rows may be missing, then the rows: the other way round, a replay that ends in
        // between would let a view without its rows look whole.
        let incomplete = self.incomplete.load().as_deref().cloned();
        let tables = self
            .view(tenant)
            .map(|view| view.tables.iter().filter_map(|table| table.snapshot(&self.indexes)).collect());
        Snapshot { tables: tables.unwrap_or_default(), store: Arc::clone(&self.place.store), incomplete }
    }
}

/// Bytes held in the append queue, given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    published: Arc<Published>,
    bytes: u64,
}

impl Reservation {
    /// Takes room for `bytes`, or says how much is used.
    pub(crate) fn take(published: &Arc<Published>, bytes: u64) -> Result<Self, u64> {
        let limit = published.config.append_queue_bytes_max;
        let take = |used: u64| {
            // A single append larger than the queue may pass alone.
            (used == 0 || used.saturating_add(bytes) <= limit).then(|| used.saturating_add(bytes))
        };
        published.queue_bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, take)?;
        Ok(Self { published: Arc::clone(published), bytes })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.published.queue_bytes.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}
