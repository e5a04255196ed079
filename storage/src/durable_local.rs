//! Local disk as an object store whose writes survive a power cut.
//!
//! `object_store`'s own `LocalFileSystem` never syncs: after a power cut, the newest commit of a table log may
//! be an empty file. Here every object is staged, synced, then linked or renamed, and its directory is synced.
//! Files that are staged are no objects: they are not listed.

use std::fmt;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

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

/// Files of a disk as objects, durable when a call returns.
#[derive(Clone, Debug)]
pub(crate) struct DurableLocal {
    disk: Arc<dyn Disk>,
    root: PathBuf,
}

impl DurableLocal {
    /// Paths are relative to `root`, which must be absolute.
    pub(crate) fn new(disk: Arc<dyn Disk>, root: &FilePath) -> Self {
        Self { disk, root: root.to_owned() }
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
        let location = prefix.clone();
        self.blocking(&location, move |disk, dir| {
            let mut found = Vec::new();
            let mut dirs = vec![(prefix, dir.to_owned())];
            while let Some((prefix, dir)) = dirs.pop() {
                for entry in list_dir(disk, &dir)? {
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

/// A directory that does not exist has no objects in it.
fn list_dir(disk: &dyn Disk, dir: &FilePath) -> io::Result<Vec<crate::disk::Entry>> {
    match disk.list(dir) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        listed => listed,
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
        self.blocking(location, move |disk, path| {
            let parts: Vec<&[u8]> = payload.iter().map(AsRef::as_ref).collect();
            write_durably(disk, path, &parts, placing)
        })
        .await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let path = self.to_file(location);
        let staged = staging_name(&path);
        let to_make = staged.clone();
        let file = self
            .blocking(location, move |disk, path| {
                create_dir_durably(disk, path.parent().unwrap_or(path))?;
                disk.create(&to_make)
            })
            .await?;
        Ok(Box::new(DurableUpload { disk: Arc::clone(&self.disk), file: Some(file), staged, path }))
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
        let location = prefix.clone();
        self.blocking(&location, move |disk, dir| {
            let mut result = ListResult { common_prefixes: Vec::new(), objects: Vec::new() };
            for entry in list_dir(disk, dir)? {
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
        let to = self.to_file(to);
        self.blocking(from, move |disk, from| {
            create_dir_durably(disk, to.parent().unwrap_or(&to))?;
            // Objects never change, so that a second name is as good as a copy.
            let staged = staging_name(&to);
            disk.link(from, &staged)?;
            place(disk, &staged, &to, placing).inspect_err(|_| drop(disk.remove(&staged)))
        })
        .await
    }
}

/// An object written in parts; nobody sees it before it is complete and durable.
#[derive(Debug)]
struct DurableUpload {
    disk: Arc<dyn Disk>,
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
        let (disk, staged, path) = (Arc::clone(&self.disk), self.staged.clone(), self.path.clone());
        let completing = tokio::task::spawn_blocking(move || {
            let mut file = file.ok_or_else(|| explain(&path, io::Error::other("the upload has ended")))?;
            let placed = file.sync().and_then(|()| place(&*disk, &staged, &path, Placing::Replace));
            placed.map_err(|error| {
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
