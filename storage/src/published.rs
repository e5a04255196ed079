//! What the writer publishes and everybody else reads, without locks.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use model::TenantId;
use tokio::sync::watch;

use crate::buffer::TenantView;
use crate::clock::Clock;
use crate::config::Config;
use crate::damage::Damage;
use crate::erasure::{Erasure, Erasures};
use crate::examine::Search;
use crate::follow::{Follower, Queue};
use crate::index::Indexes;
use crate::maintenance::Upkeep;
use crate::metrics::Counters;
use crate::place::Place;
use crate::segment::InFlight;
use crate::snapshot::{SegmentMeta, Snapshot, TableSnapshot};
use crate::table::Table;

/// State shared by the handles and the tasks of storage. Views are stored by the writer only.
#[derive(Debug)]
pub(crate) struct Published {
    pub config: Config,
    /// For what other readers of the table logs see; nothing here depends on the time of day.
    pub clock: Arc<dyn Clock>,
    pub place: Place,
    pub indexes: Arc<Indexes>,
    pub damage: Damage,
    /// Where the search for more of it stands.
    pub search: Search,
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
    /// The last record that was written to the WAL; at first, the last one that may be in old files.
    pub accepted_sequence: AtomicU64,
    /// Rows of records up to this one are in segments.
    pub flushed_sequence: AtomicU64,
    pub counters: Counters,
    /// Segments that are written and not committed yet.
    pub in_flight: InFlight,
    /// What maintenance says about itself.
    pub upkeep: Upkeep,
    erasures: ArcSwap<HashMap<TenantId, Erasures>>,
    /// Held while erasures change: for each, the last record that may hold its rows.
    erasing: Mutex<HashMap<String, u64>>,
    /// Who wants to be handed rows as they become visible.
    followers: ArcSwap<Vec<Arc<Queue>>>,
    /// Why this process cannot write any more; `None` while there is hope.
    pub failure: watch::Sender<Option<String>>,
    version: watch::Sender<u64>,
}

impl Published {
    pub(crate) fn new(config: Config, clock: Arc<dyn Clock>, place: Place, damage: Damage) -> Self {
        Self {
            indexes: Arc::new(Indexes::new(Arc::clone(&place.store), config.index_cache_bytes_max as usize)),
            config,
            clock,
            place,
            damage,
            search: Search::default(),
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
            accepted_sequence: AtomicU64::new(0),
            flushed_sequence: AtomicU64::new(0),
            counters: Counters::default(),
            in_flight: InFlight::default(),
            upkeep: Upkeep::default(),
            erasures: ArcSwap::default(),
            erasing: Mutex::default(),
            followers: ArcSwap::default(),
            failure: watch::Sender::new(None),
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

    /// What the tenant has erased and storage still holds.
    pub(crate) fn erasures(&self, tenant: &TenantId) -> Erasures {
        self.erasures.load().get(tenant).cloned().unwrap_or_default()
    }

    /// Tenants with erasures.
    pub(crate) fn erasing_tenants(&self) -> Vec<TenantId> {
        self.erasures.load().keys().cloned().collect()
    }

    /// Changes what a tenant has erased: from here on, new snapshots go by it.
    pub(crate) fn change_erasures(&self, tenant: &TenantId, change: impl FnOnce(&mut Vec<Erasure>)) {
        let mut until = self.erasing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = HashMap::clone(&self.erasures.load());
        let mut list: Vec<Erasure> = self.erasures(tenant).list().cloned().collect();
        change(&mut list);
        if list.is_empty() {
            all.remove(tenant);
        } else {
            all.insert(tenant.clone(), Erasures::new(list));
        }
        self.erasures.store(Arc::new(all));
        // Rows that came before the mark was seen are in records up to this one.
        let accepted = self.accepted_sequence.load(Ordering::Acquire);
        let live: HashSet<String> =
            self.erasures.load().values().flat_map(|marks| marks.list().map(|mark| mark.id.clone())).collect();
        until.retain(|id, _| live.contains(id));
        for id in live {
            until.entry(id).or_insert(accepted);
        }
        drop(until);
        self.announce();
    }

    /// Whether every row that was accepted before these erasures is in a segment.
    pub(crate) fn is_flushed_since(&self, erasures: &[String]) -> bool {
        if self.is_replaying.load(Ordering::Acquire) {
            return false;
        }
        let until = self.erasing.lock().unwrap_or_else(PoisonError::into_inner);
        let last = erasures.iter().filter_map(|id| until.get(id)).max().copied().unwrap_or_default();
        self.is_flushed_to(last)
    }

    /// Whether the rows of all records up to this one are in segments.
    pub(crate) fn is_flushed_to(&self, sequence: u64) -> bool {
        self.buffer_rows.load(Ordering::Acquire) == 0 || self.flushed_sequence.load(Ordering::Acquire) >= sequence
    }

    /// Tells those who watch that something was published.
    pub(crate) fn announce(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    pub(crate) fn follow(&self, table: &'static Table) -> Follower {
        let queue = Arc::new(Queue::new(table, self.config.buffer_bytes_max));
        self.followers.rcu(|followers| {
            let live = followers.iter().filter(|queue| !queue.is_closed());
            live.chain([&queue]).map(Arc::clone).collect::<Vec<_>>()
        });
        Follower::new(queue, self.watch())
    }

    /// Whoever follows, and some that have gone.
    pub(crate) fn followers(&self) -> Arc<Vec<Arc<Queue>>> {
        self.followers.load_full()
    }

    pub(crate) fn snapshot(&self, tenant: &TenantId) -> Snapshot {
        // First whether rows may be missing, then the rows: the other way round, a replay that ends in
        // between would let a view without its rows look whole.
        let replay = self.incomplete.load().as_deref().cloned();
        let damage = self.damage.known();
        // First what is hidden, then the rows: a mark goes only after the rows without it were published.
        let erasures = self.erasures(tenant);
        let tables = self
            .view(tenant)
            .map(|view| view.tables.iter().filter_map(|table| table.snapshot(&self.indexes, &erasures)).collect());
        let mut tables: Vec<TableSnapshot> = tables.unwrap_or_default();
        let (mut n_damaged, mut n_missing) = (0, 0);
        if !damage.has_no_segments() {
            for table in &mut tables {
                let is_damaged = |segment: &&Arc<SegmentMeta>| damage.holds(&segment.path);
                let (damaged, whole): (Vec<_>, Vec<_>) = table.segments.iter().partition(is_damaged);
                n_damaged += damaged.len();
                n_missing += damaged.iter().map(|segment| segment.n_rows).sum::<u64>();
                table.segments = whole.into_iter().cloned().collect();
            }
        }
        let reasons: Vec<String> = replay.into_iter().chain(damage.reason(tenant, n_damaged, n_missing)).collect();
        let incomplete = (!reasons.is_empty()).then(|| reasons.join("; "));
        Snapshot { tables, store: Arc::clone(&self.place.store), incomplete }
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
