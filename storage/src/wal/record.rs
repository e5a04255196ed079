//! Framing of WAL files and records: little-endian, every part a multiple of 8 bytes long.
//!
//! ```text
//! file    header 40 | 0 to byte 512 | the same header again 40                                          552 bytes
//! header  magic "HDSCPWAL" 8 | version u32 | 0 u32 | salt u64 | first sequence u64 | 0 u32 | crc u32      40 bytes
//! record  magic u32 | length u32 | sequence u64 | kind u8, place u24 | payload crc u32 | plain length u32 | crc u32   32 bytes
//!         payload, `length` bytes: as it is when the plain length is 0, else zstd
//! ```
//!
//! The CRC-32C of a record header is taken over the file's salt and the header, and the header holds the
//! CRC of the payload. So a record of another file, left over on reused blocks, never counts as valid, and
//! a reader can step over a damaged payload as long as its header is whole. The place of a record in its group
//! tells a reader what was synced together: damage in the last group of a file is what a power cut leaves. Without the salt nothing could be
//! read, so the file header stands twice, in two sectors.

/// Version of files written by this release.
pub(crate) const VERSION: u32 = 1;
/// Bytes before the first record: the file header in two copies.
pub(crate) const FILE_HEAD_BYTES: usize = 552;
/// Where the two copies stand.
const COPIES_AT: [usize; 2] = [0, 512];
/// Bytes of one copy.
const FILE_HEADER_BYTES: usize = 40;
/// Bytes of a record header.
pub(crate) const RECORD_HEADER_BYTES: usize = 32;
/// All parts start at a multiple of this.
pub(crate) const ALIGNMENT: usize = 8;

/// Largest place in a group: it has three bytes.
const PLACE_MAX: u32 = (1 << 24) - 1;
const FILE_MAGIC: &[u8; 8] = b"HDSCPWAL";
const RECORD_MAGIC: u32 = u32::from_le_bytes(*b"rec\x1e");

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordKind {
    /// The Arrow schema of a table, for the batches of this file.
    Schema,
    /// One append.
    Append,
    /// The file was closed in order: nothing follows.
    End,
}

/// Head of a WAL file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    /// Format version.
    pub version: u32,
    /// Random per file.
    pub salt: u64,
    /// No record has a smaller sequence.
    pub first_sequence: u64,
}

/// Head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    /// Bytes of the payload.
    pub length: u32,
    /// Grows by one from record to record of a file.
    pub sequence: u64,
    /// What the payload is.
    pub kind: RecordKind,
    /// Records before it that were written and synced together with it; at most [`PLACE_MAX`].
    pub place: u32,
    /// CRC-32C of the payload as it stands in the file.
    pub payload_crc: u32,
    /// Bytes of the payload before compression; 0 when it is not compressed.
    pub plain_length: u32,
}

impl FileHeader {
    /// Everything before the first record.
    pub(crate) fn to_head(self) -> [u8; FILE_HEAD_BYTES] {
        let mut bytes = [0; FILE_HEADER_BYTES];
        bytes[..8].copy_from_slice(FILE_MAGIC);
        bytes[8..12].copy_from_slice(&self.version.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.salt.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_sequence.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..36]);
        bytes[36..].copy_from_slice(&crc.to_le_bytes());
        let mut head = [0; FILE_HEAD_BYTES];
        for at in COPIES_AT {
            head[at..at + FILE_HEADER_BYTES].copy_from_slice(&bytes);
        }
        head
    }

    /// `None` when neither copy is whole.
    pub(crate) fn from_head(head: &[u8; FILE_HEAD_BYTES]) -> Option<Self> {
        COPIES_AT.into_iter().find_map(|at| Self::from_bytes(&head[at..at + FILE_HEADER_BYTES]))
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if &bytes[..8] != FILE_MAGIC || u32_at(bytes, 36) != crc32c::crc32c(&bytes[..36]) {
            return None;
        }
        Some(Self { version: u32_at(bytes, 8), salt: u64_at(bytes, 16), first_sequence: u64_at(bytes, 24) })
    }
}

impl RecordHeader {
    pub(crate) fn to_bytes(self, salt: u64) -> [u8; RECORD_HEADER_BYTES] {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        bytes[..4].copy_from_slice(&RECORD_MAGIC.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.length.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[16] = match self.kind {
            RecordKind::Schema => 1,
            RecordKind::Append => 2,
            RecordKind::End => 3,
        };
        bytes[17..20].copy_from_slice(&self.place.min(PLACE_MAX).to_le_bytes()[..3]);
        bytes[20..24].copy_from_slice(&self.payload_crc.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.plain_length.to_le_bytes());
        let crc = header_crc(salt, &bytes);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` when the bytes are not a whole record header of the file with this salt.
    pub(crate) fn from_bytes(bytes: &[u8; RECORD_HEADER_BYTES], salt: u64) -> Option<Self> {
        if u32_at(bytes, 0) != RECORD_MAGIC || u32_at(bytes, 28) != header_crc(salt, bytes) {
            return None;
        }
        let kind = match bytes[16] {
            1 => RecordKind::Schema,
            2 => RecordKind::Append,
            3 => RecordKind::End,
            _ => return None,
        };
        Some(Self {
            length: u32_at(bytes, 4),
            sequence: u64_at(bytes, 8),
            kind,
            place: u32::from_le_bytes([bytes[17], bytes[18], bytes[19], 0]),
            payload_crc: u32_at(bytes, 20),
            plain_length: u32_at(bytes, 24),
        })
    }
}

fn header_crc(salt: u64, header: &[u8; RECORD_HEADER_BYTES]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), &header[..28])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_and_any_flipped_bit_is_noticed() {
        let file = FileHeader { version: 1, salt: 77, first_sequence: 9 };
        let mut head = file.to_head();
        head[..512].fill(0xff);
        assert_eq!(FileHeader::from_head(&head), Some(file), "the second copy");
        let record = RecordHeader {
            length: 64,
            sequence: 10,
            kind: RecordKind::Append,
            place: 3,
            payload_crc: 5,
            plain_length: 90,
        };
        let bytes = record.to_bytes(77);
        assert_eq!(RecordHeader::from_bytes(&bytes, 77), Some(record));
        assert_eq!(RecordHeader::from_bytes(&bytes, 78), None, "a record of another file");
        for bit in 0..RECORD_HEADER_BYTES * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(RecordHeader::from_bytes(&damaged, 77), None, "bit {bit}");
        }
    }
}
