//! Local disk as an object store whose writes survive a power cut.
//!
//! `object_store`'s own `LocalFileSystem` never syncs: after a power cut, the newest commit of a table log may
//! be an empty file. Here every object is staged, synced, then linked or renamed, and its directory is synced.
//! Everything else is delegated.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

use crate::paths::sync_dir;

/// Local files, durable when a call returns.
#[derive(Clone, Debug)]
pub(crate) struct DurableLocal {
    files: Arc<LocalFileSystem>,
}

impl DurableLocal {
    /// Paths are relative to `root`.
    ///
    /// # Errors
    /// When `root` is not a directory.
    pub(crate) fn new(root: &FilePath) -> Result<Self> {
        Ok(Self { files: Arc::new(LocalFileSystem::new_with_prefix(root)?) })
    }

    /// Paths are relative to the root of the file system.
    pub(crate) fn of_machine() -> Self {
        Self { files: Arc::new(LocalFileSystem::new()) }
    }

    fn to_file(&self, location: &Path) -> Result<PathBuf> {
        self.files.path_to_filesystem(location)
    }
}

impl fmt::Display for DurableLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Durable{}", self.files)
    }
}

/// Makes a directory and its missing parents; durable when this returns.
pub(crate) fn create_dir_durably(dir: &FilePath) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let missing: Vec<&FilePath> = dir.ancestors().take_while(|dir| !dir.is_dir()).collect();
    std::fs::create_dir_all(dir)?;
    // Each new directory is an entry of its parent.
    missing.into_iter().filter_map(FilePath::parent).try_for_each(sync_dir)
}

/// Writes a whole file under its name, or nothing: staged, synced, renamed, directory synced.
pub(crate) fn write_durably(path: &FilePath, parts: &[&[u8]], mode: Placing) -> io::Result<()> {
    let dir = path.parent().ok_or_else(|| io::Error::other("the path has no directory"))?;
    create_dir_durably(dir)?;
    let staged = staging_name(path);
    let result = stage(&staged, parts).and_then(|()| match mode {
        Placing::Replace => std::fs::rename(&staged, path),
        Placing::Create => std::fs::hard_link(&staged, path),
    });
    if result.is_err() || mode == Placing::Create {
        let _ = std::fs::remove_file(&staged);
    }
    result?;
    sync_dir(dir)
}

/// What happens to a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placing {
    /// It is replaced.
    Replace,
    /// It stays, and the write fails with `AlreadyExists`.
    Create,
}

fn stage(staged: &FilePath, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(staged)?;
    parts.iter().try_for_each(|part| file.write_all(part))?;
    file.sync_all()
}

fn staging_name(path: &FilePath) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", uuid::Uuid::new_v4().simple()));
    PathBuf::from(name)
}

fn generic(source: io::Error) -> Error {
    Error::Generic { store: "DurableLocal", source: Box::new(source) }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|source| Err(Error::JoinError { source }))
}

/// Syncs a finished object and its directory.
fn sync_object(path: &FilePath) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(generic)?;
    path.parent().map_or(Ok(()), sync_dir).map_err(generic)
}

#[async_trait::async_trait]
impl ObjectStore for DurableLocal {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let placing = match opts.mode {
            PutMode::Overwrite => Placing::Replace,
            PutMode::Create => Placing::Create,
            PutMode::Update(_) => return self.files.put_opts(location, payload, opts).await,
        };
        let path = self.to_file(location)?;
        blocking(move || {
            let parts: Vec<&[u8]> = payload.iter().map(AsRef::as_ref).collect();
            match write_durably(&path, &parts, placing) {
                Ok(()) => Ok(PutResult { e_tag: None, version: None }),
                Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {
                    Err(Error::AlreadyExists { path: path.display().to_string(), source: Box::new(source) })
                }
                Err(source) => Err(generic(source)),
            }
        })
        .await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let path = self.to_file(location)?;
        if let Some(dir) = path.parent() {
            create_dir_durably(dir).map_err(generic)?;
        }
        let upload = self.files.put_multipart_opts(location, opts).await?;
        Ok(Box::new(DurableUpload { upload, path }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[std::ops::Range<u64>]) -> Result<Vec<bytes::Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.files.copy_opts(from, to, options).await?;
        let path = self.to_file(to)?;
        blocking(move || sync_object(&path)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.files.rename_opts(from, to, options).await?;
        let path = self.to_file(to)?;
        blocking(move || sync_object(&path)).await
    }
}

/// An upload in parts that syncs when complete.
#[derive(Debug)]
struct DurableUpload {
    upload: Box<dyn MultipartUpload>,
    path: PathBuf,
}

#[async_trait::async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.upload.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.upload.complete().await?;
        let path = self.path.clone();
        blocking(move || sync_object(&path)).await?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}
