//! The machine's file system.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use url::Url;

use super::{Disk, DiskFile, Entry, Hold, Metadata, ReadAt};

/// Parts of one call of `writev`; Linux takes 1024.
const PARTS_MAX: usize = 1024;

/// The machine's file system.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalDisk;

/// The lock of a file, held while it is open.
#[derive(Debug)]
struct LockedFile {
    _file: File,
}

impl Hold for LockedFile {}

/// A file and the length it had when it was opened.
#[derive(Debug)]
struct Opened {
    file: File,
    len: u64,
}

impl Disk for LocalDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().write(true).create_new(true).open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadAt>> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Box::new(Opened { file, len }))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        std::fs::metadata(path).map(|metadata| from_std(&metadata))
    }

    fn list_some(&self, dir: &Path, is_wanted: &dyn Fn(&str) -> bool) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !is_wanted(&name) {
                continue;
            }
            let metadata = match entry.metadata() {
                Ok(metadata) => from_std(&metadata),
                // Removed since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            entries.push(Entry { name, metadata });
        }
        Ok(entries)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        std::fs::create_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn free_bytes(&self, dir: &Path) -> Option<u64> {
        rustix::fs::statvfs(dir).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn resolve(&self, dir: &Path) -> io::Result<PathBuf> {
        std::fs::canonicalize(dir)
    }

    fn url(&self, dir: &Path) -> io::Result<Url> {
        Url::from_directory_path(dir).map_err(|()| io::Error::other(format!("{} is no URL", dir.display())))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Hold>>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(LockedFile { _file: file }))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl DiskFile for File {
    fn append(&mut self, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            let n_parts = parts.len().min(PARTS_MAX);
            match self.write_vectored(&parts[..n_parts]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n_bytes) => IoSlice::advance_slices(&mut parts, n_bytes),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

impl ReadAt for Opened {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }
}

fn from_std(metadata: &std::fs::Metadata) -> Metadata {
    Metadata { is_dir: metadata.is_dir(), bytes: metadata.len(), modified: metadata.modified().unwrap_or(UNIX_EPOCH) }
}
