//! Records of an old WAL file in order; damage is stepped over and counted.
//!
//! | what is found                                         | what it is                                      |
//! |-------------------------------------------------------|-------------------------------------------------|
//! | a record that stops early, nothing valid after it      | torn tail of a crash: never acknowledged        |
//! | an unreadable stretch, then a valid record             | damage: counted in records (by the gap in the sequence) and bytes |
//! | the same with a zeroed sector in it, all lost records and those after it being of the last group of the file | torn tail: a power cut during the one sync of that group, which was never acknowledged |
//! | a whole header, but a payload that fails its checksum  | the same, without a search                      |
//!
//! Memory: one record and a window of 64 KiB, whatever the file's size.

use arrow::buffer::{Buffer, MutableBuffer};

use super::payload::decompress;
use super::record::{ALIGNMENT, FILE_HEAD_BYTES, FileHeader, RECORD_HEADER_BYTES, RecordHeader, RecordKind};
use crate::disk::ReadAt;

/// One step through a file.
#[derive(Debug)]
pub(crate) enum Found {
    /// A whole record.
    Record {
        /// Its number.
        sequence: u64,
        /// What it is.
        kind: RecordKind,
        /// What it holds.
        payload: Buffer,
    },
    /// A stretch that cannot be read, with valid records after it.
    Damage {
        /// Records lost in it, by the gap in the sequence.
        records: u64,
        /// Its length.
        bytes: u64,
    },
    /// The file ends in the middle of a record.
    TornTail {
        /// Bytes after the last whole record.
        bytes: u64,
    },
}

/// Walks through one file.
#[derive(Debug)]
pub(crate) struct WalReader {
    file: Box<dyn ReadAt>,
    len: u64,
    header: FileHeader,
    at: u64,
    expected_sequence: u64,
    /// Start of an unreadable stretch whose end is not known yet.
    damage_from: Option<u64>,
    /// The record found behind a damaged stretch, to be given next.
    pending: Option<Found>,
    /// Lost records of the group that is being read: torn if it is the file's last one, damaged if not.
    suspect: Option<Suspect>,
    /// The end mark was seen.
    is_ended: bool,
}

/// An unreadable stretch inside a group.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    /// Sequence of the group's first record.
    group: u64,
    records: u64,
    bytes: u64,
}

/// What a disk writes at once; a sector that was not written reads as zeros.
const SECTOR_BYTES: u64 = 512;
const WINDOW_BYTES: usize = 64 << 10;

impl WalReader {
    /// Begins to read a file; `None` when it has no whole header, so that nothing in it was ever acknowledged
    /// or nothing in it can be trusted.
    pub(crate) fn open(file: Box<dyn ReadAt>) -> std::io::Result<Option<Self>> {
        let len = file.len();
        if len < FILE_HEAD_BYTES as u64 {
            return Ok(None);
        }
        let mut bytes = [0; FILE_HEAD_BYTES];
        file.read_exact_at(&mut bytes, 0)?;
        let Some(header) = FileHeader::from_head(&bytes) else { return Ok(None) };
        let at = FILE_HEAD_BYTES as u64;
        let expected_sequence = header.first_sequence;
        Ok(Some(Self {
            file,
            len,
            header,
            at,
            expected_sequence,
            damage_from: None,
            pending: None,
            suspect: None,
            is_ended: false,
        }))
    }

    pub(crate) fn header(&self) -> FileHeader {
        self.header
    }

    /// The next step; `None` at the end of the file.
    ///
    /// # Errors
    /// What the system said when reading.
    pub(crate) fn next(&mut self) -> std::io::Result<Option<Found>> {
        if let Some(found) = self.pending.take() {
            return Ok(Some(found));
        }
        loop {
            let Some(header) = self.header_at(self.at)? else {
                if self.at >= self.len {
                    return Ok(self.tail());
                }
                let from = *self.damage_from.get_or_insert(self.at);
                match self.find_header(self.at + ALIGNMENT as u64)? {
                    Some(at) => self.at = at,
                    None => {
                        self.damage_from = Some(from);
                        self.at = self.len;
                        return Ok(self.tail());
                    }
                }
                continue;
            };
            let start = self.at;
            let end = start + RECORD_HEADER_BYTES as u64 + u64::from(header.length);
            let payload = if end <= self.len { self.payload(start, header)? } else { None };
            let Some(payload) = payload else {
                self.damage_from.get_or_insert(start);
                // The header is whole, so its length can be trusted as far as the file goes.
                self.at = end.min(self.len);
                continue;
            };
            self.at = end;
            self.is_ended = header.kind == RecordKind::End;
            let expected = std::mem::replace(&mut self.expected_sequence, header.sequence.saturating_add(1));
            let group = header.sequence.saturating_sub(u64::from(header.place));
            // A later group was begun, so this one had been synced.
            let mut lost = self.suspect.take_if(|suspect| suspect.group < group);
            if let Some(from) = self.damage_from.take() {
                let found = Suspect { group, records: header.sequence.saturating_sub(expected), bytes: start - from };
                if found.records > 0 && expected >= group && self.has_zeroed_sector(from, start)? {
                    let before = self.suspect.get_or_insert(Suspect { group, records: 0, bytes: 0 });
                    before.records += found.records;
                    before.bytes += found.bytes;
                } else {
                    let before = lost.get_or_insert(Suspect { group, records: 0, bytes: 0 });
                    before.records += found.records;
                    before.bytes += found.bytes;
                }
            }
            let record = Found::Record { sequence: header.sequence, kind: header.kind, payload };
            let Some(lost) = lost else { return Ok(Some(record)) };
            self.pending = Some(record);
            return Ok(Some(Found::Damage { records: lost.records, bytes: lost.bytes }));
        }
    }

    /// What the end of the file means, once.
    fn tail(&mut self) -> Option<Found> {
        let suspect = self.suspect.take().map(|suspect| suspect.bytes);
        let rest = self.damage_from.take().map(|from| self.len - from);
        let bytes = suspect.unwrap_or_default() + rest.unwrap_or_default();
        if suspect.is_none() && rest.is_none() {
            return None;
        }
        Some(if self.is_ended { Found::Damage { records: 0, bytes } } else { Found::TornTail { bytes } })
    }

    /// True when a sector, or the part of one that lies in the stretch, was never written.
    fn has_zeroed_sector(&self, from: u64, end: u64) -> std::io::Result<bool> {
        let mut at = from;
        let mut bytes = [0; SECTOR_BYTES as usize];
        while at < end {
            let next = (at / SECTOR_BYTES + 1) * SECTOR_BYTES;
            let part = &mut bytes[..(next.min(end) - at) as usize];
            self.file.read_exact_at(part, at)?;
            if part.iter().all(|byte| *byte == 0) {
                return Ok(true);
            }
            at = next;
        }
        Ok(false)
    }

    /// A whole header at this offset whose sequence is not in the past.
    fn header_at(&self, at: u64) -> std::io::Result<Option<RecordHeader>> {
        if at + RECORD_HEADER_BYTES as u64 > self.len {
            return Ok(None);
        }
        let mut bytes = [0; RECORD_HEADER_BYTES];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(self.parse(&bytes))
    }

    fn parse(&self, bytes: &[u8; RECORD_HEADER_BYTES]) -> Option<RecordHeader> {
        RecordHeader::from_bytes(bytes, self.header.salt).filter(|header| header.sequence >= self.expected_sequence)
    }

    fn payload(&self, start: u64, header: RecordHeader) -> std::io::Result<Option<Buffer>> {
        let mut payload = MutableBuffer::from_len_zeroed(header.length as usize);
        self.file.read_exact_at(payload.as_slice_mut(), start + RECORD_HEADER_BYTES as u64)?;
        if crc32c::crc32c(payload.as_slice()) != header.payload_crc {
            return Ok(None);
        }
        Ok(match header.plain_length as usize {
            0 => Some(payload.into()),
            plain_length => decompress(payload.as_slice(), plain_length),
        })
    }

    /// Offset of the next whole header at or after `from`; headers stand at multiples of 8.
    fn find_header(&self, from: u64) -> std::io::Result<Option<u64>> {
        let mut window = vec![0; WINDOW_BYTES];
        let mut base = from;
        while base + RECORD_HEADER_BYTES as u64 <= self.len {
            let n_bytes = WINDOW_BYTES.min(usize::try_from(self.len - base).unwrap_or(WINDOW_BYTES));
            self.file.read_exact_at(&mut window[..n_bytes], base)?;
            let mut offset = 0;
            while offset + RECORD_HEADER_BYTES <= n_bytes {
                let bytes = window[offset..offset + RECORD_HEADER_BYTES].try_into().expect("the header's length");
                if self.parse(bytes).is_some() {
                    return Ok(Some(base + offset as u64));
                }
                offset += ALIGNMENT;
            }
            base += offset as u64;
        }
        Ok(None)
    }
}

/// True when neither copy of a file's header was ever written.
pub(crate) fn is_unwritten_head(file: &dyn ReadAt) -> std::io::Result<bool> {
    let mut bytes = [0; FILE_HEAD_BYTES];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes.iter().all(|byte| *byte == 0))
}
