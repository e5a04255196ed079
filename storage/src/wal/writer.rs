//! One WAL file being written.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::payload::Encoded;
use super::record::{FILE_HEAD_BYTES, FileHeader, VERSION};
use crate::paths::sync_dir;
use crate::table::TABLES;

/// A WAL file that takes records. After a failed write or sync it must not be used again: what the system
/// kept of the unsynced bytes is unknown, and a second sync could report success without them (D5).
#[derive(Debug)]
pub(crate) struct WalFile {
    file: File,
    path: PathBuf,
    salt: u64,
    next_sequence: u64,
    /// Bytes written, synced or not.
    len: u64,
    /// Bytes known to be durable.
    synced_len: u64,
}

impl WalFile {
    /// Makes a new file with all schemas, durable under its name.
    ///
    /// # Errors
    /// What the system said; nothing is left behind if the system allows it.
    pub(crate) fn create(path: PathBuf, first_sequence: u64, salt: u64) -> std::io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        let mut wal = Self { file, path, salt, next_sequence: first_sequence, len: 0, synced_len: 0 };
        match wal.write_head(first_sequence) {
            Ok(()) => Ok(wal),
            Err(error) => {
                // It never held a row.
                let _ = std::fs::remove_file(&wal.path);
                Err(error)
            }
        }
    }

    fn write_head(&mut self, first_sequence: u64) -> std::io::Result<()> {
        let header = FileHeader { version: VERSION, salt: self.salt, first_sequence };
        self.file.write_all(&header.to_head())?;
        self.len = FILE_HEAD_BYTES as u64;
        for table in TABLES {
            self.write(&mut Encoded::schema(table))?;
        }
        self.file.sync_all()?;
        self.synced_len = self.len;
        self.path.parent().map_or(Ok(()), sync_dir)
    }

    /// Writes a record and gives its sequence. Not durable before [`Self::sync`].
    pub(crate) fn write(&mut self, record: &mut Encoded) -> std::io::Result<u64> {
        let sequence = self.next_sequence;
        let bytes = record.seal(sequence, self.salt);
        self.file.write_all(bytes)?;
        self.len += bytes.len() as u64;
        self.next_sequence += 1;
        Ok(sequence)
    }

    /// Makes everything written so far durable.
    pub(crate) fn sync(&mut self) -> std::io::Result<()> {
        self.file.sync_data()?;
        self.synced_len = self.len;
        Ok(())
    }

    /// Marks the file as closed in order, so that later damage is not mistaken for a torn tail.
    pub(crate) fn end(mut self) -> std::io::Result<()> {
        self.write(&mut Encoded::end())?;
        self.sync()
    }

    /// Cuts off what was not synced, as far as the system still allows it.
    pub(crate) fn abandon(self) {
        let _ = self.file.set_len(self.synced_len);
    }

    /// From here on the disk refuses.
    #[cfg(test)]
    pub(crate) fn break_disk(&mut self) {
        self.file = File::open(&self.path).expect("it can be read, not written");
    }

    /// Bytes written.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The sequence of the next record.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
