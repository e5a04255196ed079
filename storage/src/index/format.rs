//! Bytes of a `.tix` file, little-endian.
//!
//! ```text
//! head     magic "HDSCPTIX" 8 | version u32 | crc u32 | n_rows u64 | n_blocks u32 | 0 u32                32 bytes
//! top      per block: first prefix u64 | offset u64 | length u32 | crc u32                               24 bytes
//! blocks   groups, sorted by prefix: prefix u64 | n u32 | n row numbers u32, sorted
//! ```
//!
//! `crc` of the head is the CRC-32C of the rest of the head and the top. A block is about 4 KiB; a prefix never
//! spans two blocks. About 6 bytes per row when a trace has ten rows in the segment.

use arrow::array::{Array, ArrayRef, AsArray};

use super::prefix;
use super::ranges::RowRanges;

/// Version written by this release. Another one is built anew: the index is only a cache.
const VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"HDSCPTIX";
/// Bytes of the head.
pub(crate) const HEAD_BYTES: usize = 32;
/// Bytes of one entry of the top.
pub(crate) const TOP_ENTRY_BYTES: usize = 24;
/// A block is closed when it has so many bytes.
const BLOCK_BYTES: usize = 4096;

/// Gathers the ids of a segment while it is written.
#[derive(Debug, Default)]
pub(crate) struct IndexBuilder {
    /// Prefix and row number, in file order.
    rows: Vec<(u64, u32)>,
    n_rows: u32,
}

impl IndexBuilder {
    /// Takes the ids of the next rows; rows without one are counted only.
    pub(crate) fn add(&mut self, ids: &ArrayRef) {
        let Some(ids) = ids.as_binary_opt::<i32>() else { return };
        let numbered = ids.iter().zip(self.n_rows..);
        self.rows.extend(numbered.filter_map(|(id, row)| Some((prefix(id?)?, row))));
        self.n_rows += ids.len() as u32;
    }

    /// The file.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.rows.sort_unstable();
        let mut blocks: Vec<u8> = Vec::with_capacity(self.rows.len() * 6);
        let mut top: Vec<(u64, usize, usize)> = Vec::new();
        let mut block_start = 0;
        let mut first = None;
        for group in self.rows.chunk_by(|a, b| a.0 == b.0) {
            let first_prefix = *first.get_or_insert(group[0].0);
            blocks.extend_from_slice(&group[0].0.to_le_bytes());
            blocks.extend_from_slice(&(group.len() as u32).to_le_bytes());
            group.iter().for_each(|(_, row)| blocks.extend_from_slice(&row.to_le_bytes()));
            if blocks.len() - block_start >= BLOCK_BYTES {
                top.push((first_prefix, block_start, blocks.len()));
                block_start = blocks.len();
                first = None;
            }
        }
        if let Some(first_prefix) = first {
            top.push((first_prefix, block_start, blocks.len()));
        }
        let blocks_at = HEAD_BYTES + top.len() * TOP_ENTRY_BYTES;
        let mut bytes = Vec::with_capacity(blocks_at + blocks.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&u64::from(self.n_rows).to_le_bytes());
        bytes.extend_from_slice(&(top.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        for (first_prefix, start, end) in top {
            bytes.extend_from_slice(&first_prefix.to_le_bytes());
            bytes.extend_from_slice(&((blocks_at + start) as u64).to_le_bytes());
            bytes.extend_from_slice(&((end - start) as u32).to_le_bytes());
            bytes.extend_from_slice(&crc32c::crc32c(&blocks[start..end]).to_le_bytes());
        }
        let crc = crc32c::crc32c(&bytes[16..]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes.extend_from_slice(&blocks);
        bytes
    }
}

/// Bytes of the top after a head; `None` when it is no head of this release, or of a segment with other rows.
pub(crate) fn top_bytes(head: &[u8; HEAD_BYTES], n_rows: u64) -> Option<usize> {
    let is_ours = &head[..8] == MAGIC && u32_at(head, 8) == VERSION && u64_at(head, 16) == n_rows;
    is_ours.then(|| u32_at(head, 24) as usize * TOP_ENTRY_BYTES)
}

/// Where each block is and what it starts with.
#[derive(Debug)]
pub(crate) struct Top {
    entries: Vec<TopEntry>,
}

/// One block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TopEntry {
    first_prefix: u64,
    pub offset: u64,
    pub length: u32,
    crc: u32,
}

impl Top {
    /// `None` when damaged.
    pub(crate) fn parse(head: &[u8; HEAD_BYTES], top: &[u8]) -> Option<Self> {
        if u32_at(head, 12) != crc32c::crc32c_append(crc32c::crc32c(&head[16..]), top) {
            return None;
        }
        let entry = |bytes: &[u8]| TopEntry {
            first_prefix: u64_at(bytes, 0),
            offset: u64_at(bytes, 8),
            length: u32_at(bytes, 16),
            crc: u32_at(bytes, 20),
        };
        Some(Self { entries: top.chunks_exact(TOP_ENTRY_BYTES).map(entry).collect() })
    }

    /// The block that would hold a prefix.
    pub(crate) fn block(&self, prefix: u64) -> Option<TopEntry> {
        let after = self.entries.partition_point(|entry| entry.first_prefix <= prefix);
        after.checked_sub(1).map(|index| self.entries[index])
    }

    /// Memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.len() * TOP_ENTRY_BYTES
    }
}

impl TopEntry {
    /// Rows with this prefix; `None` when the block is damaged.
    pub(crate) fn rows(&self, block: &[u8], prefix: u64) -> Option<RowRanges> {
        if crc32c::crc32c(block) != self.crc {
            return None;
        }
        let mut rest = block;
        while rest.len() >= 12 {
            let (group_prefix, n) = (u64_at(rest, 0), u32_at(rest, 8) as usize);
            let rows = rest.get(12..12 + n * 4)?;
            if group_prefix == prefix {
                return Some(RowRanges::from_rows(rows.chunks_exact(4).map(|row| u32_at(row, 0)).collect()));
            }
            if group_prefix > prefix {
                break;
            }
            rest = &rest[12 + n * 4..];
        }
        Some(RowRanges::default())
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
