//! Whether this process is still the one writer of a prefix.
//!
//! The WAL decides (`wal/objects.rs`): every process begins with an object of its own in it, its *opening*, and the
//! process with the newest opening is the writer. The object `LOCK` only tells the others quickly: it names the
//! opening of the newest process, is read before every commit of a table log, and every few seconds. A `LOCK` with an
//! older opening than ours is a late write of a process that has lost, and means nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::disk::Hold;
use crate::error::{Error, Result};

/// Between two looks at the lock when nothing is written.
const LOOK_PAUSE: Duration = Duration::from_secs(5);

/// What stands in the lock object.
#[derive(Debug, Serialize, Deserialize)]
struct Lock {
    /// First sequence of the owner's opening.
    opening: u64,
}

/// The right to write to a prefix, as far as is known.
#[derive(Debug)]
pub(crate) struct Ownership {
    /// The prefix, for people.
    place: String,
    store: Arc<dyn ObjectStore>,
    path: Path,
    /// First sequence of this process's opening; 0 before it has one.
    opening: AtomicU64,
    /// Why it is lost.
    lost: watch::Sender<Option<String>>,
}

/// Looks at the lock from time to time; stops when dropped.
#[derive(Debug)]
pub(crate) struct Watch(JoinHandle<()>);

impl Hold for Watch {}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Ownership {
    pub(crate) fn new(place: &str, store: Arc<dyn ObjectStore>, path: Path) -> Self {
        Self { place: place.to_owned(), store, path, opening: AtomicU64::new(0), lost: watch::Sender::new(None) }
    }

    /// For someone who only looks: everything that would write is refused.
    pub(crate) fn none(place: &str, store: Arc<dyn ObjectStore>, path: Path) -> Self {
        let lost = watch::Sender::new(Some("this process only looks".to_owned()));
        Self { place: place.to_owned(), store, path, opening: AtomicU64::new(0), lost }
    }

    /// The prefix, for people.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// The WAL has taken this process's opening.
    pub(crate) fn set_opening(&self, sequence: u64) {
        self.opening.store(sequence, Ordering::Release);
    }

    /// Writes the lock.
    ///
    /// # Errors
    /// What the store said.
    pub(crate) async fn claim(&self) -> object_store::Result<()> {
        let lock = Lock { opening: self.opening.load(Ordering::Acquire) };
        let bytes = serde_json::to_vec(&lock)
            .map_err(|source| object_store::Error::Generic { store: "LOCK", source: Box::new(source) })?;
        self.store.put(&self.path, bytes.into()).await.map(drop)
    }

    /// Asks the store whether somebody else has taken over.
    ///
    /// # Errors
    /// [`Error::TakenOver`] when so, from then on always; what the store said when it did not answer.
    pub(crate) async fn verify(&self) -> Result<()> {
        self.check()?;
        let bytes = self.store.get(&self.path).await?.bytes().await?;
        if let Ok(lock) = serde_json::from_slice::<Lock>(&bytes)
            && lock.opening > self.opening.load(Ordering::Acquire)
        {
            self.lose("another process has opened it since".to_owned());
        }
        self.check()
    }

    /// What is known without asking.
    ///
    /// # Errors
    /// [`Error::TakenOver`].
    pub(crate) fn check(&self) -> Result<()> {
        match &*self.lost.borrow() {
            None => Ok(()),
            Some(detail) => Err(Error::TakenOver { place: self.place.clone(), detail: detail.clone() }),
        }
    }

    /// From here on nothing is written any more.
    pub(crate) fn lose(&self, detail: String) {
        self.lost.send_if_modified(|lost| {
            let is_news = lost.is_none();
            if is_news {
                tracing::error!(
                    place = self.place,
                    detail,
                    "this process is no longer the writer: it writes nothing more"
                );
                *lost = Some(detail);
            }
            is_news
        });
    }

    /// Waits until it is lost; says why.
    pub(crate) async fn lost(&self) -> String {
        let mut lost = self.lost.subscribe();
        loop {
            let detail = lost.borrow_and_update().clone();
            if let Some(detail) = detail {
                return detail;
            }
            if lost.changed().await.is_err() {
                // The sender lives in `self`.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Looks from time to time, for a process that writes nothing.
    pub(crate) fn watch(self: &Arc<Self>, runtime: &Handle) -> Watch {
        let ownership = Arc::clone(self);
        Watch(runtime.spawn(async move {
            while ownership.check().is_ok() {
                tokio::time::sleep(LOOK_PAUSE).await;
                // A store that does not answer says nothing about the owner.
                let _ = ownership.verify().await;
            }
        }))
    }
}
