//! The few things storage asks of a disk, so that tests can stand in for it.
//!
//! | file         | knows                                                                      |
//! |--------------|----------------------------------------------------------------------------|
//! | `local.rs`   | the machine's file system                                                  |
//! | `simulated.rs` | for tests: a disk in memory that forgets at a crash what was not synced  |
//!
//! What is durable when: bytes after [`DiskFile::sync`]; a name (made, renamed, linked, removed) after
//! [`Disk::sync_dir`] of its directory. The simulated disk of the tests forgets everything else at a crash.
//! Not here: objects ([`crate::durable_local`]) and the WAL ([`crate::wal`]), which stand on it.

mod local;
#[cfg(test)]
pub(crate) mod simulated;

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use url::Url;

pub(crate) use local::LocalDisk;

/// Files and directories. Every call blocks.
pub(crate) trait Disk: Debug + Send + Sync + 'static {
    /// A new, empty file.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// A file to read.
    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadAt>>;
    /// What is there.
    ///
    /// # Errors
    /// `NotFound` when nothing is.
    fn metadata(&self, path: &Path) -> io::Result<Metadata>;
    /// Everything in a directory, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.list_some(dir, &|_| true)
    }
    /// What `is_wanted` says of by its name; of everything else no more is found out than the name.
    fn list_some(&self, dir: &Path, is_wanted: &dyn Fn(&str) -> bool) -> io::Result<Vec<Entry>>;
    /// Makes one directory.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Gives a file another name; a file that had that name is gone.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes that can still be written; `None` when unknown.
    fn free_bytes(&self, dir: &Path) -> Option<u64>;
    /// The one path of a directory that exists, whatever links lead to it.
    fn resolve(&self, dir: &Path) -> io::Result<PathBuf>;
    /// A directory's one path as URL, ending with a slash; for table logs.
    fn url(&self, dir: &Path) -> io::Result<Url>;
    /// Takes the lock file for this process, making it when needed; `None` when another process has it.
    /// The lock goes with the value, or with the process.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Hold>>>;
}

/// A file being written from its start to its end.
pub(crate) trait DiskFile: Debug + Send {
    /// Appends all parts, in one call of the system where it takes them.
    fn append(&mut self, parts: &mut [IoSlice<'_>]) -> io::Result<()>;
    /// Makes everything appended so far durable.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

/// Something of a known length, to be read anywhere.
pub(crate) trait ReadAt: Debug + Send + Sync {
    /// Its length.
    fn len(&self) -> u64;
    /// Fills `bytes` from this offset on.
    ///
    /// # Errors
    /// `UnexpectedEof` past the end.
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
}

/// A right that this process has as long as the value lives.
pub(crate) trait Hold: Debug + Send + Sync {}

/// What is known about a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metadata {
    /// It is a directory.
    pub is_dir: bool,
    /// Length of a file.
    pub bytes: u64,
    /// When it was last written.
    pub modified: SystemTime,
}

/// One name in a directory.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The name alone; names that are not UTF-8 are none of ours and come with replacement characters.
    pub name: String,
    /// What is known about it.
    pub metadata: Metadata,
}

/// What happens to a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placing {
    /// It is replaced.
    Replace,
    /// It stays, and the write fails with `AlreadyExists`.
    Create,
}

/// How names of files end that are not whole yet; a start removes what a crash left of them.
pub(crate) const TEMPORARY: &str = ".tmp";

/// A whole file.
pub(crate) fn read(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let mut bytes = vec![0; usize::try_from(file.len()).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Makes a directory and its missing parents; durable when this returns. One that is there may have been made by somebody whose
/// sync has failed, or is still to come: it is synced again.
///
/// # Errors
/// `InvalidInput` for a relative path: the name of its first directory would stay in doubt.
pub(crate) fn create_dir_durably(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    if !dir.is_absolute() {
        let text = format!("{} is no absolute path", dir.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let mut missing = Vec::new();
    for dir in dir.ancestors() {
        match disk.metadata(dir) {
            Ok(found) if found.is_dir => {
                match dir.parent().map_or(Ok(()), |parent| disk.sync_dir(parent)) {
                    // A directory of somebody else's, above the data directory.
                    Err(error) if is_closed_to_us(&error) => {}
                    synced => synced?,
                }
                break;
            }
            Ok(_) => return Err(io::Error::new(io::ErrorKind::NotADirectory, format!("{} is a file", dir.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(dir),
            Err(error) => return Err(error),
        }
    }
    for dir in missing.into_iter().rev() {
        match disk.create_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        // Each new directory is an entry of its parent.
        if let Some(parent) = dir.parent() {
            disk.sync_dir(parent)?;
        }
    }
    Ok(())
}

/// Directories that this user may not read, and file systems without syncs of directories.
fn is_closed_to_us(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | InvalidInput | Unsupported)
}

/// Writes a whole file under its name, or nothing: staged, synced, renamed or linked, directory synced. The directory must
/// be there.
pub(crate) fn write_durably(disk: &dyn Disk, path: &Path, parts: &[&[u8]], placing: Placing) -> io::Result<()> {
    let staged = staging_name(path);
    let result = stage(disk, &staged, parts).and_then(|()| place(disk, &staged, path, placing));
    if result.is_err() {
        let _ = disk.remove(&staged);
    }
    result
}

/// Gives a staged and synced file its name, durably.
pub(crate) fn place(disk: &dyn Disk, staged: &Path, path: &Path, placing: Placing) -> io::Result<()> {
    match placing {
        Placing::Replace => disk.rename(staged, path)?,
        Placing::Create => {
            disk.link(staged, path)?;
            let _ = disk.remove(staged);
        }
    }
    path.parent().map_or(Ok(()), |dir| disk.sync_dir(dir))
}

fn stage(disk: &dyn Disk, staged: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = disk.create(staged)?;
    let mut parts: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    file.append(&mut parts)?;
    file.sync()
}

/// A name beside `path` that nobody else uses.
pub(crate) fn staging_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}{TEMPORARY}", uuid::Uuid::new_v4().simple()));
    PathBuf::from(name)
}
