//! Where WAL files are: a narrow interface over a directory or a bucket.
//!
//! A file is named by the first sequence it may hold. Two kinds of stores fit:
//!
//! | kind      | a file                                  | one group commit                                     |
//! |-----------|-----------------------------------------|------------------------------------------------------|
//! | directory | grows, is synced, ends at a size        | [`WalSink::append`]: one `writev`, one `fdatasync`   |
//! | bucket    | one object, made whole and never grown  | [`WalStore::create`] (no request) and one `append`: one PUT of head, schemas, records and end mark |
//!
//! [`WalStore::is_one_group_per_file`] says which; [`super::WalFile`] frames the bytes for both.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::time::Duration;

use crate::disk::ReadAt;

/// The WAL files of one place. Calls block; they come from the writer's, the flusher's and the replay's thread.
///
/// The writer's thread is inside a runtime: an implementation that needs one must hand its work to another runtime
/// and wait for it, never `block_on`.
pub(crate) trait WalStore: Debug + Send + Sync + 'static {
    /// Files that are there, by first sequence.
    fn list(&self) -> io::Result<Vec<WalEntry>>;

    /// The name for the next file: a sequence that is free, and not smaller than `at_least`.
    ///
    /// # Errors
    /// What the store said.
    fn first_sequence(&self, at_least: u64) -> io::Result<u64> {
        Ok(at_least)
    }

    /// The longest that an append of so many bytes may take; zero where nobody knows.
    fn patience(&self, _bytes: u64) -> Duration {
        Duration::ZERO
    }

    /// A fresh file. Nothing needs to be visible before the first [`WalSink::append`] returned.
    ///
    /// # Errors
    /// `AlreadyExists` when a file has that name: another writer has taken over, or a bug.
    fn create(&self, first_sequence: u64) -> io::Result<Box<dyn WalSink>>;

    /// A file to read.
    fn open(&self, first_sequence: u64) -> io::Result<Box<dyn ReadAt>>;

    /// Removes a file whose rows are all in segments.
    fn remove(&self, first_sequence: u64) -> io::Result<()>;

    /// Moves a damaged file to where people find it.
    fn quarantine(&self, first_sequence: u64) -> io::Result<()>;

    /// Makes removals and moves durable. Nothing depends on it: what comes back is replayed to nothing.
    fn settle(&self);

    /// Every file takes one [`WalSink::append`] only.
    fn is_one_group_per_file(&self) -> bool;

    /// The name of a file, for people.
    fn name(&self, first_sequence: u64) -> PathBuf;
}

/// A file being written. After an error it is never used again: what was kept of it is unknown (D5).
pub(crate) trait WalSink: Debug + Send {
    /// Appends the parts and makes everything durable, name included; then returns.
    fn append(&mut self, parts: &mut [IoSlice<'_>]) -> io::Result<()>;

    /// Cuts off what was appended after `length` bytes, as far as that is still possible.
    fn abandon(&mut self, length: u64);
}

/// A file that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WalEntry {
    /// No record in it has a smaller sequence. Its name.
    pub first_sequence: u64,
    /// Its length.
    pub bytes: u64,
}
