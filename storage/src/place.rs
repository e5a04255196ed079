//! Where the data lives: a directory today, a bucket by the same fields.
//!
//! Everything but the WAL goes through one object store, with paths from `paths.rs`; the WAL has an interface of its
//! own, because a directory can be appended to and synced and a bucket cannot.

use std::path::PathBuf;
use std::sync::Arc;

use model::TenantId;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use tokio::runtime::Handle;
use url::Url;

use crate::bucket::{self, Ownership};
use crate::checked::Checked;
use crate::config::Config;
use crate::directory;
use crate::disk::{Disk, Hold, LocalDisk, create_dir_durably};
use crate::error::{Error, Result};
use crate::paths;
use crate::table::Table;
use crate::wal::WalStore;

/// An opened place. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Its name for people: what `--data` says.
    pub name: PathBuf,
    /// Name of this process's data in the table logs.
    pub writer: String,
    /// Objects by their paths from `paths.rs`, proven when they are read.
    pub store: Arc<dyn ObjectStore>,
    /// The same store, to be told what the table logs say.
    pub checked: Checked,
    /// The store that `url` is a path in; `store` is a prefix of it.
    pub root_store: Arc<dyn ObjectStore>,
    /// Where `store` begins, for table logs. Ends with a slash.
    pub url: Url,
    /// WAL files.
    pub wal: Arc<dyn WalStore>,
    /// The disk below and a directory on it; `None` where there is no end of space.
    pub disk: Option<(Arc<dyn Disk>, PathBuf)>,
    /// Whether this process is still the writer; `None` where a lock says so once and for all.
    pub ownership: Option<Arc<Ownership>>,
}

/// A place that this process may write to, as long as it keeps `hold`.
#[derive(Debug)]
pub(crate) struct Owned {
    pub place: Place,
    /// The right to write; whoever still writes keeps it.
    pub hold: Arc<dyn Hold>,
}

/// Opens or makes the place that `config` names. `network` does the work of a bucket.
///
/// # Errors
/// [`Error::InUse`] or [`Error::Open`] with what to do.
pub(crate) fn open(config: &Config, network: &Handle) -> Result<Owned> {
    if config.is_bucket() {
        return bucket::open(config, network);
    }
    directory::open(Arc::new(LocalDisk), &config.data)
}

/// The place that `config` names, to be looked at: nothing is locked, taken over or touched. `network` as for [`open`].
///
/// # Errors
/// [`Error::Open`] with what to do.
pub(crate) fn look(config: &Config, network: &Handle) -> Result<Place> {
    if config.is_bucket() {
        return bucket::look(config, network);
    }
    directory::look(Arc::new(LocalDisk), &config.data)
}

impl Place {
    /// Where a table of a tenant begins, for its log; and its objects, by paths inside the table.
    ///
    /// # Errors
    /// [`Error::Open`] when the path is no URL.
    pub(crate) fn table(&self, tenant: &TenantId, table: &Table) -> Result<(Url, Arc<dyn ObjectStore>)> {
        let path = paths::table(tenant, table);
        let refuse = |detail: String| Error::Open { path: self.name.clone(), detail };
        let url = self.url.join(&format!("{path}/")).map_err(|error| refuse(error.to_string()))?;
        Ok((url, Arc::new(PrefixStore::new(Arc::clone(&self.store), path))))
    }

    /// A place of the same name in memory, empty: what is put there can be opened without asking the disk.
    ///
    /// # Errors
    /// [`Error::Open`] when the path is no URL.
    pub(crate) fn in_memory(&self) -> Result<Self> {
        let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let begin = Path::from_url_path(self.url.path())
            .map_err(|error| Error::Open { path: self.name.clone(), detail: error.to_string() })?;
        let below: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(Arc::clone(&memory), begin));
        let checked = Checked::new(Arc::clone(&below), false);
        Ok(Self { store: below, checked, root_store: memory, ownership: None, ..self.clone() })
    }

    /// Bytes that can still be written; `None` when unknown or without end.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        let (disk, dir) = self.disk.as_ref()?;
        disk.free_bytes(dir)
    }

    /// Makes the names that can be seen in a directory durable: whoever made them may have ended before it synced them. Does
    /// nothing where there is no disk, or no such directory.
    ///
    /// # Errors
    /// What the disk said: what is seen there may go.
    pub(crate) async fn settle_names(&self, dir: &Path) -> std::io::Result<()> {
        let Some((disk, root)) = self.disk.clone() else { return Ok(()) };
        let dir = root.join(dir.as_ref());
        let syncing = tokio::task::spawn_blocking(move || match disk.sync_dir(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            synced => synced,
        });
        syncing.await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
    }

    /// Moves a table away, as it is, so that a new one can begin in its stead.
    ///
    /// # Errors
    /// What the disk said; where there is no disk, that this cannot be done.
    pub(crate) fn set_aside(&self, table: &Path, to: &Path) -> std::io::Result<()> {
        let Some((disk, root)) = &self.disk else {
            return Err(std::io::Error::other("a bucket cannot move it; restore it or move it yourself"));
        };
        let (from, to) = (root.join(table.as_ref()), root.join(to.as_ref()));
        let dir_of = |path: &std::path::Path| path.parent().map_or_else(|| root.clone(), std::path::Path::to_owned);
        create_dir_durably(&**disk, &dir_of(&to))?;
        disk.rename(&from, &to)?;
        disk.sync_dir(&dir_of(&to))?;
        disk.sync_dir(&dir_of(&from))
    }
}
