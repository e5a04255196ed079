//! Answers questions about snapshots.
//!
//! | file           | knows                                                                    |
//! |----------------|--------------------------------------------------------------------------|
//! | `runtime.rs`   | threads of their own for query plans                                     |
//! | `session.rs`   | DataFusion over one snapshot: settings, catalog, limits on answers       |
//! | `prepared.rs`  | a statement that is asked again and again, optimized once                |
//! | `read_only.rs` | what a statement may be                                                  |
//! | `growth.rs`    | expressions that make values much longer than what is stored             |
//! | `windows.rs`   | window functions that would never end                                    |
//! | `group_texts.rs` | groups by labels, as DataFusion is quickest at them                    |
//! | `label_groups.rs` | their first half, by codes in place of texts                          |
//! | `parted_groups.rs` | groups by ids and texts of many values, in parts that fit into the cache |
//! | `pauses.rs`    | where plans can be cancelled and others have their turn                  |
//! | `stoppable.rs` | joins that nobody waits for end with an error                            |
//!
//! Every question takes one snapshot and sees each row exactly once, whatever the writer does meanwhile.
//! It runs on the query threads under four limits: places (`concurrent_max`, others wait), memory of all
//! queries together, time, and the size of its answer. When the caller goes away, the work stops.

mod group_texts;
pub(crate) mod growth;
mod label_groups;
mod parted_groups;
mod pauses;
pub(crate) mod prepared;
pub(crate) mod read_only;
pub(crate) mod runtime;
pub(crate) mod session;
mod stoppable;
mod windows;

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use model::TenantId;
use storage::table::Table;
use storage::{Clock, Follower, Reader, Snapshot};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Config;
use crate::digest::on_demand::Computed;
use crate::error::{Error, Result};
use crate::map::minutes::Minutes;
use crate::map::remembered::Remembered;
use runtime::{CpuRuntime, GivenUp, Running};
use session::{Session, Shared};

/// Gives the newest snapshot of a tenant.
type Snapshots = dyn Fn(&TenantId) -> Arc<Snapshot> + Send + Sync;
/// Looks for damaged segments in a snapshot, so that the next one is without them; gives how many there were.
type FindDamage = dyn Fn(Arc<Snapshot>) -> BoxFuture<'static, u64> + Send + Sync;

/// Hands out rows of a table as they become visible.
type Follow = dyn Fn(&'static Table) -> Follower + Send + Sync;

/// Live streams at the same time.
pub(crate) const LIVE_MAX: usize = 32;

/// What several questions of one tenant see: the snapshot of the first of them, and what was computed over it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    snapshot: Arc<OnceLock<Arc<Snapshot>>>,
    computed: Computed,
    /// Of small questions, which share one.
    small: Option<Arc<OnceLock<Session>>>,
}

impl View {
    /// For questions that are small and many: each has one thread, and they share a session.
    pub(crate) fn of_small_questions() -> Self {
        Self { small: Some(Arc::default()), ..Self::default() }
    }

    fn session(&self, inner: &Inner, snapshot: Arc<Snapshot>) -> Result<Session> {
        let now = inner.clock.now();
        let Some(small) = &self.small else { return inner.shared.session(snapshot, now) };
        if let Some(session) = small.get() {
            return Ok(session.clone());
        }
        let session = inner.shared.small_session(snapshot, self.computed.clone(), now)?;
        Ok(small.get_or_init(|| session).clone())
    }

    /// The same kind of view, of whatever snapshot comes next.
    fn afresh(&self) -> Self {
        if self.small.is_some() { Self::of_small_questions() } else { Self::default() }
    }
}

/// Answers questions about snapshots. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Shared,
    snapshots: Box<Snapshots>,
    find_damage: Box<FindDamage>,
    follow: Box<Follow>,
    clock: Arc<dyn Clock>,
    cpu: CpuRuntime,
    live: Arc<Semaphore>,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    remembered: Remembered,
    minutes: Minutes,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("config", self.config()).finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts the query threads.
    ///
    /// # Errors
    /// When the configuration cannot work or the system gives no threads.
    pub fn new(config: Config, reader: Reader, clock: Arc<dyn Clock>) -> Result<Self> {
        let examiner = reader.clone();
        let find_damage = move |snapshot: Arc<Snapshot>| {
            let examiner = examiner.clone();
            async move { examiner.find_damage(&snapshot).await }.boxed()
        };
        let follower = reader.clone();
        Self::start(
            config,
            Box::new(move |tenant| reader.snapshot(tenant)),
            Box::new(find_damage),
            Box::new(move |table| follower.follow(table)),
            clock,
        )
    }

    /// An engine over one snapshot that never changes, for rehearsing rules.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(crate) fn over(snapshot: Snapshot, clock: Arc<dyn Clock>) -> Result<Self> {
        let snapshot = Arc::new(snapshot);
        let snapshots = move |_: &TenantId| Arc::clone(&snapshot);
        let undamaged = |_: Arc<Snapshot>| async { 0 }.boxed();
        Self::start(Config::default(), Box::new(snapshots), Box::new(undamaged), Box::new(Follower::of_nothing), clock)
    }

    fn start(
        config: Config,
        snapshots: Box<Snapshots>,
        find_damage: Box<FindDamage>,
        follow: Box<Follow>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        config.validate().map_err(Error::invalid)?;
        let inner = Inner {
            cpu: CpuRuntime::start(config.threads)?,
            places: Arc::new(Semaphore::new(config.concurrent_max)),
            waiting: AtomicUsize::new(0),
            remembered: Remembered::default(),
            minutes: Minutes::default(),
            shared: Shared::new(Arc::new(config))?,
            snapshots,
            find_damage,
            follow,
            live: Arc::new(Semaphore::new(LIVE_MAX)),
            clock,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Sums of the service map that were asked for before.
    pub(crate) fn remembered(&self) -> &Remembered {
        &self.inner.remembered
    }

    /// Sums of services per minute that were asked for before.
    pub(crate) fn minutes(&self) -> &Minutes {
        &self.inner.minutes
    }

    /// The settings in force.
    pub fn config(&self) -> &Config {
        &self.inner.shared.config
    }

    /// What is being asked at the moment.
    pub fn load(&self) -> api::QueryStatus {
        let running = self.config().concurrent_max.saturating_sub(self.inner.places.available_permits());
        api::QueryStatus {
            running: running as u64,
            waiting: self.inner.waiting.load(Ordering::Relaxed) as u64,
            slow: Vec::new(),
            memory_bytes: self.inner.shared.memory_bytes(),
        }
    }

    /// What all sessions share: memory, caches, temporary files.
    pub(crate) fn runtime_env(&self) -> &datafusion::execution::runtime_env::RuntimeEnv {
        self.inner.shared.runtime_env()
    }

    /// The time of day, for readers of relative times.
    pub(crate) fn now(&self) -> model::UnixNanos {
        self.inner.clock.now()
    }

    /// A session over a snapshot, for work of our own that waits for no place and has no limit of time.
    ///
    /// # Errors
    /// When DataFusion refuses our catalog: a bug.
    pub(crate) fn session(&self, snapshot: Arc<Snapshot>) -> Result<Session> {
        self.inner.shared.session(snapshot, self.inner.clock.now())
    }

    /// The newest snapshot of a tenant.
    pub(crate) fn snapshot(&self, tenant: &TenantId) -> Arc<Snapshot> {
        (self.inner.snapshots)(tenant)
    }

    /// Rows of a table as they become visible.
    pub(crate) fn follow(&self, table: &'static Table) -> Follower {
        (self.inner.follow)(table)
    }

    /// A place for a live stream; `None` when all are taken.
    pub(crate) fn live_place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.inner.live).try_acquire_owned().ok()
    }

    /// Runs work on the query threads until it ends or the answer is dropped.
    pub(crate) fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Running<T> {
        self.inner.cpu.spawn(work)
    }

    /// As [`Self::spawn`], for the rest of work that has begun elsewhere.
    pub(crate) fn go_on<T: Send + 'static>(
        &self,
        given_up: GivenUp,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Running<T> {
        self.inner.cpu.go_on(given_up, work)
    }

    /// Runs `work` with a session over the newest snapshot, on the query threads and within the limits.
    ///
    /// When stored data cannot be read, or a decoder panics over it, the segments are examined: damaged ones are left
    /// out of later snapshots, and `work` runs once more over such a one, whose answers say `incomplete` (D7).
    ///
    /// # Errors
    /// [`Error::Busy`] and [`Error::Timeout`] from the limits, else what `work` answers.
    pub(crate) async fn run<T, Work, Answer>(&self, tenant: &TenantId, work: Work) -> Result<T>
    where
        T: Send + 'static,
        Work: FnOnce(Session) -> Answer + Clone + Send + 'static,
        Answer: Future<Output = Result<T>> + Send + 'static,
    {
        self.run_keeping(tenant, work).await.map(|(answer, _)| answer)
    }

    /// As [`Self::run`], and gives the place among the running queries too: work goes on as long as it is kept.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(crate) async fn run_keeping<T, Work, Answer>(
        &self,
        tenant: &TenantId,
        work: Work,
    ) -> Result<(T, OwnedSemaphorePermit)>
    where
        T: Send + 'static,
        Work: FnOnce(Session) -> Answer + Clone + Send + 'static,
        Answer: Future<Output = Result<T>> + Send + 'static,
    {
        let seconds = self.config().seconds_max;
        let answer = async {
            let place = self.place().await?;
            Ok((self.run_together(tenant, View::default(), work).await?, place))
        };
        tokio::time::timeout(Duration::from_secs(seconds), answer).await.unwrap_or(Err(Error::Timeout { seconds }))
    }

    /// As [`Self::run`], for work that has places of its own and that sees the same as other questions with this view.
    ///
    /// # Errors
    /// [`Error::Timeout`] from the limits, else what `work` answers.
    pub(crate) async fn run_together<T, Work, Answer>(&self, tenant: &TenantId, view: View, work: Work) -> Result<T>
    where
        T: Send + 'static,
        Work: FnOnce(Session) -> Answer + Clone + Send + 'static,
        Answer: Future<Output = Result<T>> + Send + 'static,
    {
        let seconds = self.config().seconds_max;
        let answer = async {
            let inner = Arc::clone(&self.inner);
            let tenant = tenant.clone();
            let running = self.inner.cpu.spawn(async move {
                let snapshot = Arc::clone(view.snapshot.get_or_init(|| (inner.snapshots)(&tenant)));
                let session = view.session(&inner, Arc::clone(&snapshot))?;
                let again = work.clone();
                let failed = match AssertUnwindSafe(work(session)).catch_unwind().await {
                    Ok(Err(error @ Error::Damaged(_))) => error,
                    Ok(answer) => {
                        if answer.is_err() {
                            GivenUp::of_this_work().give_up();
                        }
                        return answer;
                    }
                    Err(_) => Error::Internal("the query ended without an answer; the log says why".to_owned()),
                };
                tracing::error!(error = %failed, "a query could not read stored data: looking for damaged segments");
                if (inner.find_damage)(snapshot).await == 0 {
                    return Err(failed);
                }
                let session = view.afresh().session(&inner, (inner.snapshots)(&tenant))?;
                again(session).await
            });
            running.await?
        };
        tokio::time::timeout(Duration::from_secs(seconds), answer).await.unwrap_or(Err(Error::Timeout { seconds }))
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.inner.places).try_acquire_owned() {
            return Ok(place);
        }
        let waiting = Waiting::new(&self.inner.waiting);
        if waiting.before >= self.config().waiting_max {
            return Err(Error::Busy { waiting: waiting.before });
        }
        Arc::clone(&self.inner.places)
            .acquire_owned()
            .await
            .map_err(|_| Error::Internal("the engine has stopped".to_owned()))
    }
}

/// Counts one waiting query for as long as it lives.
struct Waiting<'a> {
    count: &'a AtomicUsize,
    before: usize,
}

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        Self { count, before: count.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}
