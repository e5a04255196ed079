//! Checksums of a file: one over everything, and one per block, so that any part can be proven.
//!
//! ```text
//! HSUM  version  block_bytes  size  whole  block sums, one per block  own sum
//! 4     u32      u32          u64   u32    u32 each                   u32       little endian, CRC32C
//! ```
//!
//! 4 bytes per 16 KiB: a segment of 128 MiB has 32 KiB of them. Pure.

use std::ops::Range;

/// Bytes of a block: a page of a column mostly lies in one or two of them.
pub(crate) const BLOCK_BYTES: u64 = 16 << 10;
/// First bytes of a file of checksums.
const MAGIC: &[u8; 4] = b"HSUM";
/// Format of the file.
const VERSION: u32 = 1;
/// Bytes before the block sums.
const HEAD_BYTES: usize = 4 + 4 + 4 + 8 + 4;
/// Bytes of a sum.
const SUM_BYTES: usize = 4;

/// What the bytes of one file must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BlockSums {
    size: u64,
    whole: u32,
    blocks: Box<[u32]>,
}

/// Sums of bytes that come one after the other.
#[derive(Debug, Default)]
pub(crate) struct Summing {
    size: u64,
    whole: u32,
    block: u32,
    blocks: Vec<u32>,
}

impl Summing {
    /// Takes the next bytes of the file.
    pub(crate) fn add(&mut self, mut bytes: &[u8]) {
        self.whole = crc32c::crc32c_append(self.whole, bytes);
        while !bytes.is_empty() {
            let room = BLOCK_BYTES - self.size % BLOCK_BYTES;
            let (now, later) = bytes.split_at(bytes.len().min(room as usize));
            self.block = crc32c::crc32c_append(self.block, now);
            self.size += now.len() as u64;
            if self.size.is_multiple_of(BLOCK_BYTES) {
                self.blocks.push(std::mem::take(&mut self.block));
            }
            bytes = later;
        }
    }

    /// All bytes came.
    pub(crate) fn finish(mut self) -> BlockSums {
        if !self.size.is_multiple_of(BLOCK_BYTES) {
            self.blocks.push(self.block);
        }
        BlockSums { size: self.size, whole: self.whole, blocks: self.blocks.into() }
    }
}

impl BlockSums {
    /// Bytes of the file.
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }

    /// CRC32C of the whole file.
    pub(crate) const fn whole(&self) -> u32 {
        self.whole
    }

    /// Memory it takes, in bytes.
    pub(crate) const fn bytes(&self) -> usize {
        HEAD_BYTES + self.blocks.len() * SUM_BYTES
    }

    /// As it is written beside the file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes() + SUM_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(BLOCK_BYTES as u32).to_le_bytes());
        bytes.extend_from_slice(&self.size.to_le_bytes());
        bytes.extend_from_slice(&self.whole.to_le_bytes());
        self.blocks.iter().for_each(|sum| bytes.extend_from_slice(&sum.to_le_bytes()));
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    /// Reads what [`Self::encode`] wrote; `None` for anything else, one wrong bit included.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (rest, own) = bytes.split_last_chunk::<SUM_BYTES>()?;
        let (head, sums) = rest.split_at_checked(HEAD_BYTES)?;
        let number = |at: usize| Some(u32::from_le_bytes(*head.get(at..)?.first_chunk()?));
        let size = u64::from_le_bytes(*head.get(12..)?.first_chunk()?);
        let (sums, odd) = sums.as_chunks::<SUM_BYTES>();
        let is_ours = head.starts_with(MAGIC)
            && number(4)? == VERSION
            && u64::from(number(8)?) == BLOCK_BYTES
            && odd.is_empty()
            && sums.len() as u64 == size.div_ceil(BLOCK_BYTES)
            && crc32c::crc32c(rest) == u32::from_le_bytes(*own);
        let blocks = sums.iter().map(|sum| u32::from_le_bytes(*sum));
        is_ours.then(|| Some(Self { size, whole: number(20)?, blocks: blocks.collect() }))?
    }

    /// Whole blocks that cover these parts, in order, neighbours joined: what has to be read to prove them.
    pub(crate) fn covering(&self, parts: &[Range<u64>]) -> Vec<Range<u64>> {
        let mut covering: Vec<Range<u64>> = parts
            .iter()
            .filter(|part| part.start < part.end)
            .map(|part| {
                let end = part.end.div_ceil(BLOCK_BYTES).saturating_mul(BLOCK_BYTES).min(self.size);
                part.start - part.start % BLOCK_BYTES..end
            })
            .collect();
        covering.sort_unstable_by_key(|blocks| (blocks.start, blocks.end));
        covering.dedup_by(|next, known| {
            let is_joined = next.start <= known.end;
            if is_joined {
                known.end = known.end.max(next.end);
            }
            is_joined
        });
        covering
    }

    /// The first byte of the first block that is not what it was; `None` when all are. `bytes` are whole blocks from
    /// `start` on.
    pub(crate) fn first_wrong(&self, start: u64, bytes: &[u8]) -> Option<u64> {
        let first = usize::try_from(start / BLOCK_BYTES).ok()?;
        let found = bytes.chunks(BLOCK_BYTES as usize).enumerate();
        let is_wrong =
            |(n, block): &(usize, &[u8])| self.blocks.get(first + n).is_none_or(|sum| *sum != crc32c::crc32c(block));
        found.into_iter().find(is_wrong).map(|(n, _)| start + n as u64 * BLOCK_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sums(bytes: &[u8], step: usize) -> BlockSums {
        let mut summing = Summing::default();
        bytes.chunks(step).for_each(|part| summing.add(part));
        summing.finish()
    }

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|n| (n * 31 % 251) as u8).collect()
    }

    proptest! {
        /// However the bytes came, the sums are the same, come back as written, and prove every part.
        #[test]
        fn any_part_can_be_proven(length in 0usize..100_000, step in 1usize..40_000, at in 0usize..100_000, n in 1u64..50_000) {
            let bytes = content(length);
            let sums = sums(&bytes, step);
            prop_assert_eq!(sums.whole(), crc32c::crc32c(&bytes));
            prop_assert_eq!(BlockSums::decode(&sums.encode()), Some(sums.clone()));
            let start = (at % length.max(1)) as u64;
            let part = start..(start + n).min(length as u64);
            for blocks in sums.covering(std::slice::from_ref(&part)) {
                prop_assert!(blocks.start <= part.start && part.end <= blocks.end);
                let mut read = bytes[blocks.start as usize..blocks.end as usize].to_vec();
                prop_assert_eq!(sums.first_wrong(blocks.start, &read), None);
                read[(part.start - blocks.start) as usize] ^= 0x10;
                let wrong = part.start - part.start % BLOCK_BYTES;
                prop_assert_eq!(sums.first_wrong(blocks.start, &read), Some(wrong));
            }
        }

        /// Parts in any order become blocks in order, each once.
        #[test]
        fn blocks_are_read_once(parts in proptest::collection::vec((0u64..200_000, 0u64..30_000), 0..12)) {
            let sums = sums(&content(200_000), 4096);
            let parts: Vec<_> = parts.into_iter().map(|(start, n)| start..(start + n).min(200_000)).collect();
            let covering = sums.covering(&parts);
            prop_assert!(covering.windows(2).all(|pair| pair[0].end < pair[1].start));
            for part in parts.iter().filter(|part| part.start < part.end) {
                prop_assert!(covering.iter().any(|blocks| blocks.start <= part.start && part.end <= blocks.end));
            }
        }
    }

    /// A flipped bit in the sums themselves is noticed: then they are made anew from the file.
    #[test]
    fn f05_damaged_sums_are_noticed() {
        let encoded = sums(&content(70_000), 70_000).encode();
        for bit in 0..encoded.len() * 8 {
            let mut damaged = encoded.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(BlockSums::decode(&damaged), None, "bit {bit}");
        }
        for length in 0..encoded.len() {
            assert_eq!(BlockSums::decode(&encoded[..length]), None, "{length} bytes");
        }
    }
}
