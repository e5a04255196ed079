//! Local disk as an object store whose writes survive a power cut.
//!
//! `object_store`'s own `LocalFileSystem` never syncs: after a power cut, the newest commit of a table log may
//! be an empty file. Here every object is staged, synced, then linked or renamed, and its directory is synced.
//! Files that are staged are no objects: they are not listed.
//!
//! A sync of a directory can fail after the name was made, and then everybody sees a name that a power cut may take away. So a
//! directory is taken as made only after its parent was synced by this process, and what lies in a directory whose sync
//! failed, or is still to come, is listed only after another one. What a former process left in doubt, a start settles: that of table logs in
//! [`crate::recovery`], that of erasures in [`crate::Storage::open`].

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

/// What this process knows about the names on its disk. One for all who write there: a name that one of them could not make
/// durable is in doubt for all.
#[derive(Debug, Default)]
struct Names {
    /// Directories that a power cut leaves.
    durable: Mutex<HashSet<PathBuf>>,
    doubts: Mutex<Doubts>,
}

/// Directories that may hold names which a power cut takes away.
#[derive(Debug, Default)]
struct Doubts {
    dirs: HashMap<PathBuf, Doubt>,
    /// Syncs of directories that failed so far.
    n_failed: u64,
}

/// Why a directory is in doubt.
#[derive(Debug, Default)]
struct Doubt {
    /// Names that are being made there; each can be seen before it is durable.
    n_placing: usize,
    /// The last failure, by its number: a sync that began before it settles nothing.
    failed: Option<u64>,
}

fn lock<T>(known: &Mutex<T>) -> MutexGuard<'_, T> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Gives a file its name by `place`, which ends with a sync of the directory. From before the name can be seen until that
    /// sync has succeeded the directory is in doubt.
    fn placing<T>(&self, path: &FilePath, place: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let Some(dir) = path.parent() else { return place() };
        lock(&self.doubts).dirs.entry(dir.to_owned()).or_default().n_placing += 1;
        let placed = place();
        let mut doubts = lock(&self.doubts);
        let has_failed = placed.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::AlreadyExists);
        doubts.n_failed += u64::from(has_failed);
        let n_failed = doubts.n_failed;
        doubts.change(dir, |doubt| {
            doubt.n_placing = doubt.n_placing.saturating_sub(1);
            doubt.failed = if has_failed { Some(n_failed) } else { doubt.failed };
        });
        placed
    }

    /// Makes what was seen in a directory durable.
    fn settle(&self, disk: &dyn Disk, dir: &FilePath) -> io::Result<()> {
        let Some(failed) = lock(&self.doubts).dirs.get(dir).map(|doubt| doubt.failed) else { return Ok(()) };
        match disk.sync_dir(dir) {
            // It was moved away with everything.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            synced => synced?,
        }
        lock(&self.doubts).change(dir, |doubt| {
            // One that failed meanwhile may have come too late for this sync.
            doubt.failed = doubt.failed.filter(|last| Some(*last) != failed);
        });
        Ok(())
    }

    /// The directory's entries that are wanted by their names, all durable. One that does not exist has none.
    fn list(
        &self,
        disk: &dyn Disk,
        dir: &FilePath,
        is_wanted: &dyn Fn(&str) -> bool,
    ) -> io::Result<Vec<crate::disk::Entry>> {
        let found = match disk.list_some(dir, is_wanted) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            listed => listed?,
        };
        // Behind the listing: a name may come while one looks.
        self.settle(disk, dir)?;
        Ok(found)
    }
}

impl Doubts {
    /// Changes what is known about a directory, and forgets it when nothing is left to doubt.
    fn change(&mut self, dir: &FilePath, change: impl FnOnce(&mut Doubt)) {
        let Some(doubt) = self.dirs.get_mut(dir) else { return };
        change(doubt);
        if doubt.n_placing == 0 && doubt.failed.is_none() {
            self.dirs.remove(dir);
        }
    }
}

impl DurableLocal {
    /// Paths are relative to `root`, which must be absolute.
    pub(crate) fn new(disk: Arc<dyn Disk>, root: &FilePath) -> Self {
        Self { disk, root: root.to_owned(), names: Arc::default() }
    }

    /// The same disk with another root. What one of both knows about names, the other knows too.
    pub(crate) fn at(&self, root: &FilePath) -> Self {
        Self { root: root.to_owned(), ..self.clone() }
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

    /// Objects below a prefix, sorted; with `after` only those behind it, and names before it cost next to nothing: a commit
    /// looks for the commits behind the last one, and there are thousands before that.
    async fn walk(&self, prefix: Option<Path>, after: Option<Path>) -> Result<Vec<ObjectMeta>> {
        let prefix = prefix.unwrap_or_default();
        let (location, names) = (prefix.clone(), Arc::clone(&self.names));
        self.blocking(&location, move |disk, dir| {
            let mut found = Vec::new();
            let mut dirs = vec![(prefix, dir.to_owned())];
            while let Some((prefix, dir)) = dirs.pop() {
                // Behind `after`, or a directory that may hold such.
                let is_wanted = |name: &str| {
                    let Some(after) = &after else { return true };
                    let below =
                        if prefix.as_ref().is_empty() { format!("{name}/") } else { format!("{prefix}/{name}/") };
                    below.as_str() > after.as_ref() || after.as_ref().starts_with(&below)
                };
                for entry in names.list(disk, &dir, &is_wanted)? {
                    // Names that are no objects' names are none of ours.
                    let Ok(location) = Path::parse(format!("{prefix}/{}", entry.name)) else { continue };
                    if entry.metadata.is_dir {
                        dirs.push((location, dir.join(&entry.name)));
                    } else if !entry.name.ends_with(TEMPORARY) {
                        found.push(object_meta(location, entry.metadata));
                    }
                }
            }
            found.retain(|meta: &ObjectMeta| after.as_ref().is_none_or(|after| meta.location > *after));
            found.sort_by(|a, b| a.location.cmp(&b.location));
            Ok(found)
        })
        .await
    }

    fn listing(&self, prefix: Option<&Path>, after: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix, after) = (self.clone(), prefix.cloned(), after.cloned());
        let walking = async move { store.walk(prefix, after).await };
        let found = walking.into_stream().map_ok(|found| futures::stream::iter(found.into_iter().map(Ok)));
        found.try_flatten().boxed()
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
            names.placing(path, || write_durably(disk, path, &parts, placing))
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
        self.listing(prefix, None)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listing(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.cloned().unwrap_or_default();
        let (location, names) = (prefix.clone(), Arc::clone(&self.names));
        self.blocking(&location, move |disk, dir| {
            let mut result = ListResult { common_prefixes: Vec::new(), objects: Vec::new() };
            for entry in names.list(disk, dir, &|_| true)? {
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
            let placed = names.placing(&to, || place(disk, &staged, &to, placing));
            placed.inspect_err(|_| drop(disk.remove(&staged)))
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
            let placing = || names.placing(&path, || place(&*disk, &staged, &path, Placing::Replace));
            file.sync().and_then(|()| placing()).map_err(|error| {
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
    use crate::disk::simulated::{Call, Moment, SimulatedDisk};
    use object_store::ObjectStoreExt;
    use tokio::runtime::Handle;

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

    async fn list(store: &DurableLocal) -> Result<Vec<ObjectMeta>> {
        store.list(Some(&Path::from("tenants"))).try_collect().await
    }

    /// F8: a listing settles a doubt, and at that very moment another name is made whose sync fails: its doubt is not settled
    /// with the first one.
    #[tokio::test]
    async fn f08_a_doubt_that_comes_while_another_is_settled_stays() {
        survives("_erasures", async |store, disk| {
            let first = store.put(&Path::from("tenants/shop/_erasures/first.json"), "1".into()).await;
            first.expect_err("the sync of its directory fails");
            let (other, failing, runtime) = (store.clone(), disk.clone(), Handle::current());
            disk.interleave(Moment::AfterSync, "_erasures", move || {
                failing.refuse_calls(Call::SyncDir, "_erasures", 1);
                let put = runtime.block_on(other.put(&Path::from(OBJECT), "a".into()));
                put.expect_err("the sync of its directory fails");
            });
            list(store).await.expect("the disk works");
            assert_eq!(list(store).await.expect("the disk works").len(), 2, "both are seen, so both stay");
        })
        .await;
    }

    /// F8: who lists a directory between the moment when a name is made and its sync sees it, and the sync fails then.
    #[tokio::test]
    async fn f08_a_name_that_is_seen_before_its_sync_stays() {
        for seed in 0..40 {
            let disk = SimulatedDisk::new(seed);
            let store = DurableLocal::new(Arc::new(disk.clone()), FilePath::new("/data"));
            store.put(&Path::from("tenants/shop/_erasures/first.json"), "1".into()).await.expect("the disk works");
            let (other, failing, runtime) = (store.at(FilePath::new("/")), disk.clone(), Handle::current());
            disk.interleave(Moment::BeforeSync, "_erasures", move || {
                let listed = other.list(Some(&Path::from("data/tenants"))).try_collect::<Vec<_>>();
                assert_eq!(runtime.block_on(listed).expect("the disk works").len(), 2);
                failing.refuse_calls(Call::SyncDir, "_erasures", 1);
            });
            store.put(&Path::from(OBJECT), "a".into()).await.expect_err("the sync of its directory fails");
            disk.crash();
            let store = DurableLocal::new(Arc::new(disk.restart()), FilePath::new("/data"));
            assert_eq!(list(&store).await.expect("the disk works").len(), 2, "seed {seed}");
        }
    }

    /// What is behind a name is what a list of everything has behind it, wherever the name lies.
    #[tokio::test]
    async fn a_list_can_begin_behind_a_name() {
        let store = DurableLocal::new(Arc::new(SimulatedDisk::new(1)), FilePath::new("/data"));
        for name in ["a/1", "a/2", "a/2/x", "a.b/1", "a0/1", "b", "c/d/e/1", "c/d/e/2"] {
            let _ = store.put(&Path::from(name), name.into()).await;
        }
        let names = |found: Vec<ObjectMeta>| found.into_iter().map(|meta| meta.location).collect::<Vec<_>>();
        for prefix in [None, Some(Path::from("c/d")), Some(Path::from("a"))] {
            let all = names(store.list(prefix.as_ref()).try_collect().await.expect("readable"));
            assert!(!all.is_empty());
            for offset in ["", "a", "a/1", "a/1/z", "a/2", "a0", "b", "c/d", "c/d/e/1", "c/d/e/15", "d"] {
                let offset = Path::from(offset);
                let found = store.list_with_offset(prefix.as_ref(), &offset).try_collect().await.expect("readable");
                let expected: Vec<Path> = all.iter().filter(|path| **path > offset).cloned().collect();
                assert_eq!(names(found), expected, "below {prefix:?} behind {offset}");
            }
        }
    }

    /// A directory in which everything went well is not synced again by those who look, and nothing is remembered of it.
    #[tokio::test]
    async fn nothing_is_left_of_a_doubt_that_was_settled() {
        let disk = SimulatedDisk::new(1);
        let store = DurableLocal::new(Arc::new(disk.clone()), FilePath::new("/data"));
        disk.refuse_calls(Call::SyncDir, "_erasures", 1);
        store.put(&Path::from(OBJECT), "a".into()).await.expect_err("the sync of its directory fails");
        assert_eq!(lock(&store.names.doubts).dirs.len(), 1);
        list(&store).await.expect("the disk works");
        store.put(&Path::from("tenants/shop/_erasures/b.json"), "b".into()).await.expect("the disk works");
        assert_eq!(lock(&store.names.doubts).dirs.len(), 0);
        disk.refuse_calls(Call::SyncDir, "", u32::MAX);
        assert_eq!(list(&store).await.expect("nothing is synced").len(), 2);
    }
}
