//! One WAL file being written.

use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;

use super::payload::Encoded;
use super::record::{FILE_HEAD_BYTES, FileHeader, VERSION};
use super::store::{WalSink, WalStore};
use crate::table::TABLES;

/// A WAL file that takes records. After a failed write or sync it must not be used again: what the system
/// kept of the unsynced bytes is unknown, and a second sync could report success without them (D5).
#[derive(Debug)]
pub(crate) struct WalFile {
    store: Arc<dyn WalStore>,
    sink: Box<dyn WalSink>,
    salt: u64,
    first_sequence: u64,
    next_sequence: u64,
    /// Head and schemas, as long as they are not written.
    head: Vec<u8>,
    /// Bytes that are durable.
    len: u64,
    /// It was closed in order, or is full: it takes no more records.
    is_ended: bool,
}

/// Bytes before the first append of a file of this release: head and schemas.
pub(crate) fn opening_bytes() -> u64 {
    FILE_HEAD_BYTES as u64 + TABLES.iter().map(|table| Encoded::schema(table).len()).sum::<u64>()
}

impl WalFile {
    /// Makes a new file with all schemas. In a directory it is durable under its name; in a store of whole objects
    /// nothing is there before the first records come.
    ///
    /// # Errors
    /// What the system said; nothing is left behind if the system allows it.
    pub(crate) fn create(store: &Arc<dyn WalStore>, first_sequence: u64, salt: u64) -> io::Result<Self> {
        let sink = store.create(first_sequence)?;
        let store = Arc::clone(store);
        let mut head = FileHeader { version: VERSION, salt, first_sequence }.to_head().to_vec();
        let mut next_sequence = first_sequence;
        for (table, place) in TABLES.iter().zip(0..) {
            head.extend_from_slice(Encoded::schema(table).seal(next_sequence, salt, place));
            next_sequence += 1;
        }
        let is_one_group = store.is_one_group_per_file();
        let mut file = Self { store, sink, salt, first_sequence, next_sequence, head, len: 0, is_ended: false };
        if !is_one_group && let Err(error) = file.write(&[]) {
            file.sink.abandon(0);
            return Err(error);
        }
        Ok(file)
    }

    /// Writes records and makes them durable: one write and one sync, or one object. Their sequences follow each
    /// other. Gives the bytes by which the file grew.
    ///
    /// # Errors
    /// What the system said; the file must be given up.
    pub(crate) fn append<'a>(&mut self, records: impl Iterator<Item = &'a mut Encoded>) -> io::Result<u64> {
        let (mut sequence, salt) = (self.next_sequence, self.salt);
        let mut sealed: Vec<&[u8]> = Vec::new();
        for (record, place) in records.zip(0..) {
            sealed.push(record.seal(sequence, salt, place));
            sequence += 1;
        }
        let mut end = Encoded::end();
        if self.store.is_one_group_per_file() {
            // Objects are made whole: whoever finds the end mark knows that nothing before it can be torn.
            sealed.push(end.seal(sequence, salt, 0));
            sequence += 1;
            self.is_ended = true;
        }
        let n_bytes = self.write(&sealed)?;
        self.next_sequence = sequence;
        Ok(n_bytes)
    }

    fn write(&mut self, parts: &[&[u8]]) -> io::Result<u64> {
        let head = std::mem::take(&mut self.head);
        let all = std::iter::once(head.as_slice()).chain(parts.iter().copied());
        let mut slices: Vec<IoSlice<'_>> = all.filter(|part| !part.is_empty()).map(IoSlice::new).collect();
        let n_bytes = slices.iter().map(|part| part.len() as u64).sum();
        self.sink.append(&mut slices)?;
        self.len += n_bytes;
        Ok(n_bytes)
    }

    /// Marks the file as closed in order, so that later damage is not mistaken for a torn tail.
    pub(crate) fn end(mut self) -> io::Result<()> {
        if self.is_ended || self.len == 0 {
            return Ok(());
        }
        let mut end = Encoded::end();
        let end = end.seal(self.next_sequence, self.salt, 0).to_vec();
        self.write(&[&end]).map(drop)
    }

    /// Cuts off what was not synced, as far as the system still allows it.
    pub(crate) fn abandon(mut self) {
        self.sink.abandon(self.len);
    }

    /// From here on the disk refuses.
    #[cfg(test)]
    pub(crate) fn break_disk(&mut self) {
        #[derive(Debug)]
        struct Broken;
        impl WalSink for Broken {
            fn append(&mut self, _: &mut [IoSlice<'_>]) -> io::Result<()> {
                Err(io::Error::other("broken by a test"))
            }
            fn abandon(&mut self, _: u64) {}
        }
        self.sink = Box::new(Broken);
    }

    /// Bytes that are durable.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// It takes no more records.
    pub(crate) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// The sequence of the next record.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// No record in it has a smaller sequence.
    pub(crate) fn first_sequence(&self) -> u64 {
        self.first_sequence
    }

    /// Its name, for people.
    pub(crate) fn name(&self) -> PathBuf {
        self.store.name(self.first_sequence)
    }
}
