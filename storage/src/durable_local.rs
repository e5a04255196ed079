//! Local disk as an object store whose writes survive a power cut.
//!
//! `object_store`'s own `LocalFileSystem` never syncs: after a power cut, the newest commit of a table log may
//! be an empty file. Here every object is staged, synced, then linked or renamed, and its directory is synced.
//! Files that are staged are no objects: they are not listed.
//!
//! A sync of a directory can fail after the name was made, and then everybody sees a name that a power cut may take away. So a
//! directory is taken as made only after its parent was synced by this process, and what lies in a directory whose sync
//! failed is listed only after another one.

use std::collections::HashSet;
use std::fmt;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use crate::disk::{
    Disk, DiskFile, Metadata, Placing, TEMPORARY, create_dir_durably, place, staging_name, write_durably,
};

/// Bytes per step of an object that is read whole.
const CHUNK_BYTES: u64 = 4 << 20;
/// Removals at the same time.
const REMOVALS_AT_ONCE: usize = 8;
/// Directories that are remembered as durable: some megabytes of names. Others are synced again, which costs little.
const DIRS_MAX: usize = 50_000;

/// Files of a disk as objects, durable when a call returns.
#[derive(Clone, Debug)]
pub(crate) struct DurableLocal {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    names: Arc<Names>,
}

/// What this process knows about the names it made.
#[derive(Debug, Default)]
struct Names {
    /// Directories that a power cut leaves.
    durable: Mutex<HashSet<PathBuf>>,
    /// Directories whose last sync failed: they may hold names that a power cut takes away.
    doubtful: Mutex<HashSet<PathBuf>>,
}

fn lock(dirs: &Mutex<HashSet<PathBuf>>) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
    dirs.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Names {
    /// Makes the directory of a file and its missing parents, durably.
    fn make_dir_of(&self, disk: &dyn Disk, path: &FilePath) -> io::Result<()> {
        let dir = path.parent().unwrap_or(path);
        if lock(&self.durable).contains(dir) && disk.metadata(dir).is_ok_and(|found| found.is_dir) {
            return Ok(());
        }
        lock(&self.durable).remove(dir);
        create_dir_durably(disk, dir)?;
        let mut durable = lock(&self.durable);
        if durable.len() >= DIRS_MAX {
            durable.clear();
        }
        durable.insert(dir.to_owned());
        Ok(())
    }

    /// Remembers the directory of a file when its name may have been made, and not durably.
    fn noted<T>(&self, path: &FilePath, placed: io::Result<T>) -> io::Result<T> {
        if let (Err(error), Some(dir)) = (&placed, path.parent())
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            lock(&self.doubtful).insert(dir.to_owned());
        }
        placed
    }

    /// Makes what can be seen in a directory durable.
    fn settle(&self, disk: &dyn Disk, dir: &FilePath) -> io::Result<()> {
        if lock(&self.doubtful).contains(dir) {
            match disk.sync_dir(dir) {
                // It was moved away with everything.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                synced => synced?,
            }
            lock(&self.doubtful).remove(dir);
        }
        Ok(())
    }

    /// The directory's entries, all durable. One that does not exist has none.
    fn list(&self, disk: &dyn Disk, dir: &FilePath) -> io::Result<Vec<crate::disk::Entry>> {
        self.settle(disk, dir)?;
        match disk.list(dir) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(Vec::new())
            }
            listed => listed,
        }
    }
}

impl DurableLocal {
    /// Paths are relative to `root`, which must be absolute.
    pub(crate) fn new(disk: Arc<dyn Disk>, root: &FilePath) -> Self {
        Self { disk, root: root.to_owned(), names: Arc::default() }
    }

    fn to_file(&self, location: &Path) -> PathBuf {
        self.root.join(location.as_ref())
    }

    /// Runs `work` where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        location: &Path,
        work: impl FnOnce(&dyn Disk, &FilePath) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (disk, path) = (Arc::clone(&self.disk), self.to_file(location));
        let working = tokio::task::spawn_blocking(move || work(&*disk, &path).map_err(|error| explain(&path, error)));
        working.await.unwrap_or_else(|source| Err(Error::JoinError { source }))
    }

    /// Objects below a prefix, sorted.
    async fn walk(&self, prefix: Option<Path>) -> Result<Vec<ObjectMeta>> {
        let prefix = prefix.unwrap_or_default();
        let (location, names) = (prefix.clone(), Arc::clone(&self.names));
        self.blocking(&location, move |disk, dir| {
            let mut found = Vec::new();
            let mut dirs = vec![(prefix, dir.to_owned())];
            while let Some((prefix, dir)) = dirs.pop() {
                for entry in names.list(disk, &dir)? {
                    // Names that are no objects' names are none of ours.
                    let Ok(location) = Path::parse(format!("{prefix}/{}", entry.name)) else { continue };
                    if entry.metadata.is_dir {
                        dirs.push((location, dir.join(&entry.name)));
                    } else if !entry.name.ends_with(TEMPORARY) {
                        found.push(object_meta(location, entry.metadata));
                    }
                }
            }
            found.sort_by(|a, b| a.location.cmp(&b.location));
            Ok(found)
        })
        .await
    }
}

impl fmt::Display for DurableLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DurableLocal({})", self.root.display())
    }
}

fn object_meta(location: Path, metadata: Metadata) -> ObjectMeta {
    let since_1970 = metadata.modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    ObjectMeta {
        location,
        last_modified: metadata.modified.into(),
        size: metadata.bytes,
        e_tag: Some(format!("{:x}-{:x}", since_1970.as_nanos(), metadata.bytes)),
        version: None,
    }
}

fn explain(path: &FilePath, source: io::Error) -> Error {
    let path = path.display().to_string();
    match source.kind() {
        io::ErrorKind::NotFound => Error::NotFound { path, source: Box::new(source) },
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: Box::new(source) },
        _ => {
            let source = io::Error::new(source.kind(), format!("{path}: {source}"));
            Error::Generic { store: "DurableLocal", source: Box::new(source) }
        }
    }
}

fn read_range(file: &dyn crate::disk::ReadAt, range: &Range<u64>) -> io::Result<Bytes> {
    let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
    if range.end > file.len() {
        let text = format!("bytes {} to {} of {}", range.start, range.end, file.len());
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
    }
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes.into())
}

#[async_trait::async_trait]
impl ObjectStore for DurableLocal {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let placing = match opts.mode {
            PutMode::Overwrite => Placing::Replace,
            PutMode::Create => Placing::Create,
            PutMode::Update(_) => {
                return Err(Error::NotImplemented {
                    operation: "replacing one version of an object".to_owned(),
                    implementer: "DurableLocal".to_owned(),
                });
            }
        };
        let names = Arc::clone(&self.names);
        self.blocking(location, move |disk, path| {
            let parts: Vec<&[u8]> = payload.iter().map(AsRef::as_ref).collect();
            names.make_dir_of(disk, path)?;
            names.noted(path, write_durably(disk, path, &parts, placing))
        })
        .await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let path = self.to_file(location);
        let staged = staging_name(&path);
        let (to_make, names) = (staged.clone(), Arc::clone(&self.names));
        let file = self
            .blocking(location, move |disk, path| {
                names.make_dir_of(disk, path)?;
                disk.create(&to_make)
            })
            .await?;
        let (disk, names) = (Arc::clone(&self.disk), Arc::clone(&self.names));
        Ok(Box::new(DurableUpload { disk, names, file: Some(file), staged, path }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let wanted = location.clone();
        let (file, meta) = self
            .blocking(location, move |disk, path| {
                let metadata = disk.metadata(path)?;
                if metadata.is_dir {
                    return Err(io::Error::new(io::ErrorKind::NotFound, "it is a directory"));
                }
                let meta = object_meta(wanted, metadata);
                Ok((if options.head { None } else { Some(disk.open(path)?) }, (meta, options)))
            })
            .await?;
        let (mut meta, options) = meta;
        options.check_preconditions(&meta)?;
        let Some(file) = file else {
            let payload = GetResultPayload::Stream(futures::stream::empty().boxed());
            return Ok(GetResult { payload, range: 0..0, meta, attributes: Default::default() });
        };
        meta.size = file.len();
        let range = match &options.range {
            Some(range) => range
                .as_range(meta.size)
                .map_err(|source| Error::Generic { store: "DurableLocal", source: Box::new(source) })?,
            None => 0..meta.size,
        };
        let file: Arc<dyn crate::disk::ReadAt> = file.into();
        let path = self.to_file(location);
        let end = range.end;
        let chunks = futures::stream::try_unfold(range.start, move |at| {
            let (file, path) = (Arc::clone(&file), path.clone());
            async move {
                if at >= end {
                    return Ok(None);
                }
                let next = (at + CHUNK_BYTES).min(end);
                let read = move || read_range(&*file, &(at..next)).map_err(|error| explain(&path, error));
                let read = tokio::task::spawn_blocking(read).await;
                let bytes = read.unwrap_or_else(|source| Err(Error::JoinError { source }))?;
                Ok(Some((bytes, next)))
            }
        });
        Ok(GetResult { payload: GetResultPayload::Stream(chunks.boxed()), range, meta, attributes: Default::default() })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let ranges = ranges.to_vec();
        self.blocking(location, move |disk, path| {
            let file = disk.open(path)?;
            ranges.iter().map(|range| read_range(&*file, range)).collect()
        })
        .await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let removals = locations.map(move |location| {
            let store = store.clone();
            async move {
                let location = location?;
                store.blocking(&location, |disk, path| disk.remove(path)).await?;
                Ok(location)
            }
        });
        removals.buffered(REMOVALS_AT_ONCE).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        let walking = async move { store.walk(prefix).await };
        let found = walking.into_stream().map_ok(|found| futures::stream::iter(found.into_iter().map(Ok)));
        found.try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.cloned().unwrap_or_default();
        let (location, names) = (prefix.clone(), Arc::clone(&self.names));
        self.blocking(&location, move |disk, dir| {
            let mut result = ListResult { common_prefixes: Vec::new(), objects: Vec::new() };
            for entry in names.list(disk, dir)? {
                let Ok(location) = Path::parse(format!("{prefix}/{}", entry.name)) else { continue };
                if entry.metadata.is_dir {
                    result.common_prefixes.push(location);
                } else if !entry.name.ends_with(TEMPORARY) {
                    result.objects.push(object_meta(location, entry.metadata));
                }
            }
            result.common_prefixes.sort();
            result.objects.sort_by(|a, b| a.location.cmp(&b.location));
            Ok(result)
        })
        .await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let placing = match options.mode {
            CopyMode::Overwrite => Placing::Replace,
            CopyMode::Create => Placing::Create,
        };
        let (to, names) = (self.to_file(to), Arc::clone(&self.names));
        self.blocking(from, move |disk, from| {
            names.make_dir_of(disk, &to)?;
            // Objects never change, so that a second name is as good as a copy.
            let staged = staging_name(&to);
            disk.link(from, &staged)?;
            let placed = place(disk, &staged, &to, placing).inspect_err(|_| drop(disk.remove(&staged)));
            names.noted(&to, placed)
        })
        .await
    }
}

/// An object written in parts; nobody sees it before it is complete and durable.
#[derive(Debug)]
struct DurableUpload {
    disk: Arc<dyn Disk>,
    names: Arc<Names>,
    /// `None` when complete or given up.
    file: Option<Box<dyn DiskFile>>,
    staged: PathBuf,
    path: PathBuf,
}

#[async_trait::async_trait]
impl MultipartUpload for DurableUpload {
    /// Writes at once, in the order of the calls: into the system's cache, which takes milliseconds.
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let mut parts: Vec<IoSlice<'_>> = data.iter().map(|part| IoSlice::new(part)).collect();
        let written = match &mut self.file {
            Some(file) => file.append(&mut parts),
            None => Err(io::Error::other("the upload has ended")),
        };
        futures::future::ready(written.map_err(|error| explain(&self.path, error))).boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let file = self.file.take();
        let (disk, names) = (Arc::clone(&self.disk), Arc::clone(&self.names));
        let (staged, path) = (self.staged.clone(), self.path.clone());
        let completing = tokio::task::spawn_blocking(move || {
            let mut file = file.ok_or_else(|| explain(&path, io::Error::other("the upload has ended")))?;
            let placed = file.sync().and_then(|()| place(&*disk, &staged, &path, Placing::Replace));
            names.noted(&path, placed).map_err(|error| {
                let _ = disk.remove(&staged);
                explain(&path, error)
            })
        });
        completing.await.unwrap_or_else(|source| Err(Error::JoinError { source }))?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        self.give_up();
        Ok(())
    }
}

impl DurableUpload {
    fn give_up(&mut self) {
        if self.file.take().is_some() {
            let _ = self.disk.remove(&self.staged);
        }
    }
}

impl Drop for DurableUpload {
    fn drop(&mut self) {
        self.give_up();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::simulated::{Call, SimulatedDisk};
    use object_store::ObjectStoreExt;

    const OBJECT: &str = "tenants/shop/_erasures/a.json";

    /// A power cut that may take away whatever was not synced, in many worlds.
    async fn survives(refused: &str, act: impl AsyncFn(&DurableLocal, &SimulatedDisk)) {
        for seed in 0..40 {
            let disk = SimulatedDisk::new(seed);
            let store = DurableLocal::new(Arc::new(disk.clone()), FilePath::new("/data"));
            disk.refuse_calls(Call::SyncDir, refused, 1);
            act(&store, &disk).await;
            disk.crash();
            let store = DurableLocal::new(Arc::new(disk.restart()), FilePath::new("/data"));
            let bytes = store.get(&Path::from(OBJECT)).await.expect("it was durable").bytes().await.expect("readable");
            assert_eq!(bytes, "a", "seed {seed}, {refused}");
        }
    }

    /// F8: a directory was made, and its name could not be synced. Whoever finds it there must not believe that it stays:
    /// the mark of an erasure, and once a segment, would be gone after a power cut (seed 60,017 of the simulation).
    #[tokio::test]
    async fn f08_a_directory_whose_sync_failed_is_synced_again() {
        for refused in ["/", "/data", "/data/tenants", "/data/tenants/shop"] {
            survives(refused, async |store, _| {
                let put = async || store.put(&Path::from(OBJECT), "a".into()).await;
                put().await.expect_err("the sync of a directory fails");
                put().await.expect("the disk works again");
            })
            .await;
        }
    }

    /// F8: a commit got its name, and the sync of its directory failed. The next look finds it made, so it must stay made.
    #[tokio::test]
    async fn f08_what_is_listed_stays() {
        survives("_erasures", async |store, disk| {
            let put = store.put_opts(&Path::from(OBJECT), "a".into(), PutMode::Create.into()).await;
            put.expect_err("the sync of its directory fails");
            disk.refuse_calls(Call::SyncDir, "_erasures", 1);
            let list = async || store.list(Some(&Path::from("tenants"))).try_collect::<Vec<_>>().await;
            list().await.expect_err("it may go");
            assert_eq!(list().await.expect("the disk works again").len(), 1);
        })
        .await;
    }
}
