//! Ways in for the fuzz targets (`tests/fuzz/`) to what is read back from a disk. No other use.
//!
//! Checksums keep damage away from the readers behind them, and would keep a fuzzer away as well: so there is a way in as
//! a disk gives the bytes, and one where the checksums are right whatever the bytes are.

use std::io;

use arrow::buffer::Buffer;
use object_store::path::Path;

use crate::checked::{blocks::BlockSums, log_copy};
use crate::disk::ReadAt;
use crate::index::{Key, format};
use crate::paths;
use crate::segment::stats::read_meta;
use crate::table::TABLES;
use crate::wal::payload::{Schemas, decode_append};
use crate::wal::record::{FileHeader, RecordHeader, RecordKind};
use crate::wal::{Found, WalReader};

/// A file in memory.
#[derive(Debug)]
struct Memory(Vec<u8>);

impl ReadAt for Memory {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.checked_add(bytes.len()).filter(|end| *end <= self.0.len());
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(&self.0[start..end]);
        Ok(())
    }
}

/// What a WAL file held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WalHeld {
    /// Whole records.
    pub records: usize,
    /// Rows of those that are appends.
    pub rows: usize,
    /// Stretches that could not be read, the tail included.
    pub damaged: usize,
}

/// Replays a WAL file as recovery does; `None` when it is none.
///
/// # Panics
/// When the reader goes on for longer than the file could hold records.
pub fn replay_wal(file: Vec<u8>) -> Option<WalHeld> {
    let steps_max = file.len() / 8 + 4;
    let mut reader = WalReader::open(Box::new(Memory(file))).ok()??;
    let (mut schemas, mut held) = (Schemas::new(), WalHeld::default());
    for step in 0.. {
        assert!(step <= steps_max, "the reader does not end");
        match reader.next() {
            Ok(Some(Found::Record { kind, payload, .. })) => {
                held.records += 1;
                match kind {
                    RecordKind::Schema => drop(schemas.add(&payload)),
                    RecordKind::Append => held.rows += rows(&payload, &schemas),
                    RecordKind::End => {}
                }
            }
            Ok(Some(Found::Damage { .. } | Found::TornTail { .. })) => held.damaged += 1,
            Ok(None) | Err(_) => break,
        }
    }
    Some(held)
}

fn rows(payload: &Buffer, schemas: &Schemas) -> usize {
    let Ok((_, batches)) = decode_append(payload, schemas, |_, _| true) else { return 0 };
    batches.iter().map(|decoded| decoded.batch.n_rows()).sum()
}

/// Begins a WAL file whose checksums are right; its records go behind it with [`wal_record`].
pub fn wal_head(salt: u64, first_sequence: u64) -> Vec<u8> {
    FileHeader { version: 1, salt, first_sequence }.to_head().to_vec()
}

/// A record with these bytes and right checksums; `kind` 1 is a schema, 2 an append, everything else the end mark.
pub fn wal_record(salt: u64, kind: u8, sequence: u64, place: u32, plain_length: u32, payload: &[u8]) -> Vec<u8> {
    let kind = match kind {
        1 => RecordKind::Schema,
        2 => RecordKind::Append,
        _ => RecordKind::End,
    };
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let payload_crc = crc32c::crc32c(payload);
    let header = RecordHeader { length, sequence, kind, place, payload_crc, plain_length };
    let mut record = header.to_bytes(salt).to_vec();
    record.extend_from_slice(payload);
    record
}

/// Looks an id up in the bytes of an index file of a segment with `n_rows` rows; `None` for damage.
pub fn look_up(file: &[u8], n_rows: u64, kind: u32, id: &[u8]) -> Option<usize> {
    let at =
        |range: std::ops::Range<u64>| file.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?);
    let head = format::Head::parse(file, n_rows)?;
    let (section, key) = (head.section(kind)?, Key::of(id));
    if section.is_empty() {
        return Some(0);
    }
    let may_hold = section.may_hold_block(at(section.filter_block_range(key))?, key)?;
    if let Some(filter) = at(section.filter_range()) {
        assert_eq!(section.may_hold(filter, key), Some(may_hold), "the whole filter and its block agree");
    }
    if !may_hold {
        return Some(0);
    }
    let entry = at(section.entry_range(key))?;
    let bucket = at(format::Section::bucket_range(entry)?)?;
    Some(section.rows(entry, bucket, key)?.ranges().len())
}

/// An index file whose head is right but says what `sections` says, 32 bytes each, and goes on with `rest`.
pub fn index_file(n_rows: u64, sections: &[u8], rest: &[u8]) -> Vec<u8> {
    format::with_right_head(n_rows, sections, rest)
}

/// Rows that a bucket with a right checksum gives for an id; `None` for damage.
pub fn bucket_rows(bucket: &[u8], id: &[u8]) -> Option<usize> {
    Some(format::rows_of_bucket(bucket, Key::of(id))?.ranges().len())
}

/// Reads what stands beside segments: the copy of a commit, its lines, checksums of blocks, statistics of a file, names.
pub fn table_log(name: &str, bytes: &[u8]) {
    if let Some(file) = log_copy::decode(bytes) {
        assert_eq!(log_copy::encode(file), bytes, "a copy is written as it was read");
    }
    log_copy::is_plausible(name, bytes);
    log_copy::copy_of(&Path::from(name));
    if let Some(sums) = BlockSums::decode(bytes) {
        assert_eq!(sums.encode(), bytes, "sums are written as they were read");
    }
    if let Ok(json) = std::str::from_utf8(bytes) {
        for table in TABLES {
            read_meta(table, Path::from(name), bytes.len() as u64, None, 0, json);
        }
        paths::parse_date(json);
    }
    paths::parse_wal_file(name);
    paths::parse_segment(&Path::from(name));
    paths::parse_damaged_segment(&Path::from(name));
}
