//! Small documents that people keep here beside their telemetry: alert rules, silences, how far notifications are, colours of services, saved queries.
//!
//! Each is one object, replaced as a whole; what a call did is durable when it returns, in a directory as in a bucket, and a
//! document that was taken away stays away. They are read whole and rarely, so there are few and they are small; nothing expires them.

use bytes::Bytes;
use futures::TryStreamExt;
use model::TenantId;
use object_store::{ObjectStoreExt, PutMode, PutOptions};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::paths;
use crate::published::Published;

/// Largest document, in bytes.
const BYTES_MAX: usize = 1 << 20;
/// Most documents of one shelf that are read.
const DOCUMENTS_MAX: usize = 10_000;

/// What kind of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    /// Alert rules, by name.
    Rules,
    /// Silences, by id.
    Silences,
    /// How far each target of notifications is.
    Deliveries,
    /// When rules were last evaluated.
    Evaluations,
    /// Colours of services.
    Colors,
    /// Saved queries, by name.
    Queries,
}

impl Shelf {
    const fn folder(self) -> &'static str {
        match self {
            Self::Rules => "rules",
            Self::Silences => "silences",
            Self::Deliveries => "deliveries",
            Self::Evaluations => "evaluations",
            Self::Colors => "colors",
            Self::Queries => "queries",
        }
    }
}

/// A handle for documents. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Documents {
    published: Arc<Published>,
}

impl Documents {
    pub(crate) const fn new(published: Arc<Published>) -> Self {
        Self { published }
    }

    /// True for what a document can be called: 1 to 128 of `A-Z a-z 0-9 _ . -`, a letter or digit first.
    pub fn is_name(name: &str) -> bool {
        let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        matches!(name.len(), 1..=128)
            && name.bytes().all(is_safe)
            && name.starts_with(|first: char| first.is_ascii_alphanumeric())
    }

    /// Keeps a document under a name, instead of the one that is there.
    ///
    /// # Errors
    /// [`Error::TooLarge`] beyond 1 MiB; what the store said, for names that cannot be too.
    pub async fn put(&self, tenant: &TenantId, shelf: Shelf, name: &str, text: Vec<u8>) -> Result<()> {
        if text.len() > BYTES_MAX {
            return Err(Error::TooLarge { bytes: text.len() as u64, limit_bytes: BYTES_MAX as u64 });
        }
        let path = self.path(tenant, shelf, name)?;
        let overwrite = PutOptions { mode: PutMode::Overwrite, ..PutOptions::default() };
        self.published.place.store.put_opts(&path, Bytes::from(text).into(), overwrite).await?;
        Ok(())
    }

    /// Every document of a shelf with its name, by name.
    ///
    /// # Errors
    /// What the store said.
    pub async fn list(&self, tenant: &TenantId, shelf: Shelf) -> Result<Vec<(String, Vec<u8>)>> {
        let store = &self.published.place.store;
        let mut found: Vec<_> = store.list(Some(&paths::documents(tenant, shelf.folder()))).try_collect().await?;
        found.sort_by(|a, b| a.location.cmp(&b.location));
        let mut documents = Vec::with_capacity(found.len().min(DOCUMENTS_MAX));
        for object in found.into_iter().take(DOCUMENTS_MAX) {
            let Some(name) = object.location.filename().and_then(|name| name.strip_suffix(".json")) else { continue };
            let name = name.to_owned();
            match store.get(&object.location).await {
                Ok(object) => documents.push((name, object.bytes().await?.to_vec())),
                // Taken away since it was listed.
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(documents)
    }

    /// Takes a document away, for good when this returns: a rule that comes back after a power cut would alert again. False when there
    /// was none.
    ///
    /// # Errors
    /// What the store said: the document may be there again later.
    pub async fn delete(&self, tenant: &TenantId, shelf: Shelf, name: &str) -> Result<bool> {
        let (store, path) = (&self.published.place.store, self.path(tenant, shelf, name)?);
        // Buckets say nothing about objects that are not there.
        let removed = match store.head(&path).await {
            Ok(_) => store.delete(&path).await,
            Err(error) => Err(error),
        };
        let was_there = match removed {
            Ok(()) => true,
            Err(object_store::Error::NotFound { .. }) => false,
            Err(error) => return Err(error.into()),
        };
        // Also when there was none: the call that removed it may have failed at this very step.
        let folder = paths::documents(tenant, shelf.folder());
        let settled = self.published.place.settle_names(&folder).await;
        settled.map_err(|source| Error::Write { path: folder.as_ref().into(), source })?;
        Ok(was_there)
    }

    fn path(&self, tenant: &TenantId, shelf: Shelf, name: &str) -> Result<object_store::path::Path> {
        if Self::is_name(name) {
            return Ok(paths::document(tenant, shelf.folder(), name));
        }
        let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, format!("{name:?} cannot be a name"));
        Err(Error::Write { path: self.published.config.data.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::simulated::{Call, SimulatedDisk};
    use crate::{Config, Storage, SystemClock, directory};
    use std::path::Path;

    async fn open(folder: &Path) -> Storage {
        let config = Config { data: folder.to_owned(), ..Config::default() };
        Storage::open(config, Arc::new(SystemClock)).await.expect("the directory can be opened")
    }

    /// A storage on a disk that forgets what was not synced.
    async fn open_on(disk: &SimulatedDisk) -> Storage {
        let disk = disk.clone();
        let opening = tokio::task::spawn_blocking(move || {
            let owned = directory::open(Arc::new(disk), Path::new("/var/data"))?;
            Storage::open_at(&Config::default(), Arc::new(SystemClock), owned)
        });
        opening.await.expect("storage does not panic").expect("the directory can be opened")
    }

    /// F8: the power fails right after a rule was deleted, in many worlds; in half of them the first sync behind it failed, and the
    /// second attempt found nothing to delete.
    #[tokio::test]
    async fn f08_a_deleted_document_stays_deleted() {
        let tenant = TenantId::default_tenant();
        for seed in 0..24 {
            let disk = SimulatedDisk::new(seed);
            let storage = open_on(&disk).await;
            let documents = storage.documents();
            for name in ["kept", "deleted"] {
                documents.put(&tenant, Shelf::Rules, name, b"1".to_vec()).await.expect("kept");
            }
            let fails_first = seed % 2 == 1;
            if fails_first {
                disk.refuse_calls(Call::SyncDir, "rules", 1);
                documents.delete(&tenant, Shelf::Rules, "deleted").await.expect_err("it may come back");
            }
            let was_there = documents.delete(&tenant, Shelf::Rules, "deleted").await.expect("deleted");
            assert_eq!(was_there, !fails_first);
            disk.crash();
            drop(storage);
            let storage = open_on(&disk.restart()).await;
            let found = storage.documents().list(&tenant, Shelf::Rules).await.expect("listed");
            assert_eq!(found, [("kept".to_owned(), b"1".to_vec())], "seed {seed}");
            storage.close().await.expect("closed");
        }
    }

    /// Somebody deletes a saved query while another one's page lists them.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_vanishes_while_it_is_listed_is_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let tenant = TenantId::default_tenant();
        let storage = open(folder.path()).await;
        let documents = storage.documents();
        for n in 0..50 {
            documents.put(&tenant, Shelf::Queries, &format!("kept-{n}"), b"1".to_vec()).await.expect("kept");
        }
        let (others, their_tenant) = (documents.clone(), tenant.clone());
        let comes_and_goes = tokio::spawn(async move {
            for _ in 0..100 {
                others.put(&their_tenant, Shelf::Queries, "passing", b"2".to_vec()).await.expect("kept");
                others.delete(&their_tenant, Shelf::Queries, "passing").await.expect("deleted");
            }
        });
        while !comes_and_goes.is_finished() {
            let found = documents.list(&tenant, Shelf::Queries).await.expect("listed");
            assert!(found.len() >= 50, "{}", found.len());
        }
        comes_and_goes.await.expect("it does not panic");
        storage.close().await.expect("closed");
    }

    #[tokio::test]
    async fn documents_survive_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let tenant = TenantId::default_tenant();
        let storage = open(folder.path()).await;
        let documents = storage.documents();
        documents.put(&tenant, Shelf::Rules, "b", b"1".to_vec()).await.expect("kept");
        documents.put(&tenant, Shelf::Rules, "a.x", b"2".to_vec()).await.expect("kept");
        documents.put(&tenant, Shelf::Rules, "b", b"3".to_vec()).await.expect("replaced");
        assert_eq!(documents.list(&tenant, Shelf::Silences).await.expect("listed"), []);
        storage.close().await.expect("closed");
        let storage = open(folder.path()).await;
        let documents = storage.documents();
        let found = documents.list(&tenant, Shelf::Rules).await.expect("listed");
        assert_eq!(found, [("a.x".to_owned(), b"2".to_vec()), ("b".to_owned(), b"3".to_vec())]);
        assert!(documents.delete(&tenant, Shelf::Rules, "b").await.expect("deleted"));
        assert!(!documents.delete(&tenant, Shelf::Rules, "b").await.expect("was gone"));
        for name in ["", "../x", "a/b", ".x", "ä"] {
            assert!(documents.put(&tenant, Shelf::Rules, name, Vec::new()).await.is_err(), "{name:?}");
        }
        storage.close().await.expect("closed");
    }
}
