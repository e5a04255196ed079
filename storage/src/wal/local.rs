//! WAL files in a directory.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::store::{WalEntry, WalSink, WalStore};
use crate::disk::{Disk, DiskFile, ReadAt};
use crate::paths;

/// `_wal/` and `quarantine/` of a data directory; both must exist.
#[derive(Debug)]
pub(crate) struct LocalWal {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    quarantine: PathBuf,
}

impl LocalWal {
    /// The WAL of the data directory `root`.
    pub(crate) fn new(disk: Arc<dyn Disk>, root: &Path) -> Self {
        Self { disk, dir: root.join(paths::WAL_DIR), quarantine: root.join(paths::QUARANTINE_DIR) }
    }
}

impl WalStore for LocalWal {
    fn list(&self) -> io::Result<Vec<WalEntry>> {
        let listed = self.disk.list(&self.dir)?.into_iter().filter_map(|entry| {
            let first_sequence = paths::parse_wal_file(&entry.name)?;
            Some(WalEntry { first_sequence, bytes: entry.metadata.bytes })
        });
        let mut files: Vec<WalEntry> = listed.collect();
        files.sort_by_key(|file| file.first_sequence);
        Ok(files)
    }

    fn create(&self, first_sequence: u64) -> io::Result<Box<dyn WalSink>> {
        let path = self.name(first_sequence);
        let file = self.disk.create(&path)?;
        Ok(Box::new(LocalWalFile { disk: Arc::clone(&self.disk), file, path, dir: self.dir.clone(), is_named: false }))
    }

    fn open(&self, first_sequence: u64) -> io::Result<Box<dyn ReadAt>> {
        self.disk.open(&self.name(first_sequence))
    }

    fn remove(&self, first_sequence: u64) -> io::Result<()> {
        self.disk.remove(&self.name(first_sequence))
    }

    fn quarantine(&self, first_sequence: u64) -> io::Result<()> {
        self.disk.rename(&self.name(first_sequence), &self.quarantine.join(paths::wal_file(first_sequence)))
    }

    fn settle(&self) {
        for dir in [&self.dir, &self.quarantine] {
            let _ = self.disk.sync_dir(dir);
        }
    }

    fn is_one_group_per_file(&self) -> bool {
        false
    }

    fn name(&self, first_sequence: u64) -> PathBuf {
        self.dir.join(paths::wal_file(first_sequence))
    }
}

/// One file in the directory.
#[derive(Debug)]
struct LocalWalFile {
    disk: Arc<dyn Disk>,
    file: Box<dyn DiskFile>,
    path: PathBuf,
    dir: PathBuf,
    /// Its name is durable.
    is_named: bool,
}

impl WalSink for LocalWalFile {
    fn append(&mut self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        self.file.append(parts)?;
        self.file.sync()?;
        if !self.is_named {
            self.disk.sync_dir(&self.dir)?;
            self.is_named = true;
        }
        Ok(())
    }

    fn abandon(&mut self, length: u64) {
        if length == 0 {
            // It never held a row.
            let _ = self.disk.remove(&self.path);
        } else {
            let _ = self.file.truncate(length);
        }
    }
}
