//! Bytes of a `.tix` file, little-endian; docs/formats/tix.md draws them.
//!
//! ```text
//! head      magic "HDSCPTIX" 8 | version u32 | crc u32 | n_rows u64 | n_sections u32 | 0 u32            32 bytes
//! sections  kind u32 | n_filter_blocks u32 | n_buckets u32 | 0 u32 | filter_at u64 | table_at u64        32 bytes each
//! filter    blocks of 480 bits and their crc u32                                                         64 bytes each
//! table     per bucket: offset u64 | length u32 | crc u32                                                16 bytes each
//! buckets   entries sorted by key: key - key before, n, row, row - row before ... as LEB128              about 4 KiB each
//! ```
//!
//! A key is the upper 40 bits of an id's hash. Where a key's filter block and bucket stand follows from the key alone,
//! so that a look-up without anything in memory reads 64 bytes, and where the filter says "perhaps", 16 bytes and one
//! bucket more. Everything that is read carries a checksum with its own number, so that neither damage nor a hole
//! looks like "no rows".

use std::ops::Range;

use super::Key;
use super::ranges::RowRanges;

/// Version written by this release. Another one is built anew: the index is only a cache.
const VERSION: u32 = 2;
const MAGIC: &[u8; 8] = b"HDSCPTIX";
const HEAD_BYTES: usize = 32;
const SECTION_BYTES: usize = 32;
/// Sections that a head may have; more is damage.
const SECTIONS_MAX: usize = 16;
/// Bytes of a filter block with its checksum.
const FILTER_BLOCK_BYTES: usize = 64;
/// Bits of a filter block.
const FILTER_BLOCK_BITS: u64 = 480;
/// Keys for which a filter block is made: ten bits each, which lets about one in a hundred wrong keys pass.
const FILTER_BLOCK_KEYS: usize = 48;
/// Bits that a key sets in its filter block.
const FILTER_SALTS: [u32; 7] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947];
/// Bytes of one entry of the bucket table.
const TABLE_ENTRY_BYTES: usize = 16;
/// Size that buckets should have.
const BUCKET_BYTES: usize = 4096;
/// Rows a segment may have to be indexed: row numbers take 24 bits while the index is built.
pub(crate) const ROWS_MAX: u64 = 1 << ROW_BITS;
const ROW_BITS: u32 = 24;

/// Gathers the keys of one kind of id while a segment is written: 8 bytes per row that has one.
#[derive(Debug, Default)]
pub(crate) struct SectionBuilder {
    /// Key and row number in one.
    entries: Vec<u64>,
}

impl SectionBuilder {
    /// Says that a row carries a key. `row` is below [`ROWS_MAX`].
    pub(crate) fn add(&mut self, key: Key, row: u64) {
        self.entries.push(key.0 << ROW_BITS | row);
    }
}

/// The file: one section per kind of id. The rows of all sections must be below `n_rows`.
pub(crate) fn write(n_rows: u64, sections: Vec<(u32, SectionBuilder)>) -> Vec<u8> {
    let head_bytes = HEAD_BYTES + sections.len() * SECTION_BYTES;
    let n_entries: usize = sections.iter().map(|(_, section)| section.entries.len()).sum();
    let mut bytes = Vec::with_capacity(head_bytes + n_entries * 5);
    bytes.resize(head_bytes, 0);
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&n_rows.to_le_bytes());
    bytes[24..28].copy_from_slice(&(sections.len() as u32).to_le_bytes());
    for (index, (kind, SectionBuilder { mut entries })) in sections.into_iter().enumerate() {
        entries.sort_unstable();
        entries.dedup();
        let n_keys = entries.chunk_by(|a, b| a >> ROW_BITS == b >> ROW_BITS).count();
        let n_filter_blocks = n_keys.div_ceil(FILTER_BLOCK_KEYS);
        let n_buckets = (entries.len() * 3 + n_keys * 4).div_ceil(BUCKET_BYTES);
        let section = Section {
            kind,
            n_filter_blocks: n_filter_blocks as u32,
            n_buckets: n_buckets as u32,
            filter_at: bytes.len() as u64,
            table_at: (bytes.len() + n_filter_blocks * FILTER_BLOCK_BYTES) as u64,
        };
        write_filter(&mut bytes, &section, &entries);
        write_buckets(&mut bytes, &section, &entries);
        let at = HEAD_BYTES + index * SECTION_BYTES;
        bytes[at..at + SECTION_BYTES].copy_from_slice(&section.to_bytes());
    }
    let crc = crc32c::crc32c(&bytes[16..head_bytes]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn write_filter(bytes: &mut Vec<u8>, section: &Section, entries: &[u64]) {
    let start = bytes.len();
    bytes.resize(start + section.n_filter_blocks as usize * FILTER_BLOCK_BYTES, 0);
    for group in entries.chunk_by(|a, b| a >> ROW_BITS == b >> ROW_BITS) {
        let key = Key(group[0] >> ROW_BITS);
        let block = start + section.filter_block(key) as usize * FILTER_BLOCK_BYTES;
        for bit in bits(key) {
            bytes[block + bit / 8] |= 1 << (bit % 8);
        }
    }
    for (number, block) in bytes[start..].chunks_exact_mut(FILTER_BLOCK_BYTES).enumerate() {
        let crc = checksum(number as u32, &block[..FILTER_BLOCK_BYTES - 4]);
        block[FILTER_BLOCK_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
    }
}

fn write_buckets(bytes: &mut Vec<u8>, section: &Section, entries: &[u64]) {
    let table = bytes.len();
    bytes.resize(table + section.n_buckets as usize * TABLE_ENTRY_BYTES, 0);
    let mut rest = entries;
    for bucket in 0..section.n_buckets {
        let n = rest.partition_point(|entry| section.bucket(Key(entry >> ROW_BITS)) == bucket);
        let (inside, after) = rest.split_at(n);
        rest = after;
        let start = bytes.len();
        let mut key_before = 0;
        for group in inside.chunk_by(|a, b| a >> ROW_BITS == b >> ROW_BITS) {
            let key = group[0] >> ROW_BITS;
            put_number(bytes, key - key_before);
            put_number(bytes, group.len() as u64);
            key_before = key;
            let mut row_before = 0;
            for entry in group {
                let row = entry & (ROWS_MAX - 1);
                put_number(bytes, row - row_before);
                row_before = row;
            }
        }
        let crc = checksum(bucket, &bytes[start..]);
        let length = (bytes.len() - start) as u32;
        let entry = &mut bytes[table + bucket as usize * TABLE_ENTRY_BYTES..][..TABLE_ENTRY_BYTES];
        entry[..8].copy_from_slice(&(start as u64).to_le_bytes());
        entry[8..12].copy_from_slice(&length.to_le_bytes());
        entry[12..].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Bytes to read for the head of an index with so many sections.
pub(crate) const fn head_bytes(n_sections: usize) -> u64 {
    (HEAD_BYTES + n_sections * SECTION_BYTES) as u64
}

/// Where everything stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Head {
    sections: Vec<Section>,
}

impl Head {
    /// `None` when damaged, of another release, or of a segment with another number of rows.
    pub(crate) fn parse(bytes: &[u8], n_rows: u64) -> Option<Self> {
        let head = bytes.get(..HEAD_BYTES)?;
        if &head[..8] != MAGIC || u32_at(head, 8) != VERSION || u64_at(head, 16) != n_rows {
            return None;
        }
        let n_sections = u32_at(head, 24) as usize;
        let end = HEAD_BYTES + n_sections.min(SECTIONS_MAX) * SECTION_BYTES;
        if u32_at(head, 12) != crc32c::crc32c(bytes.get(16..end)?) {
            return None;
        }
        let sections: Vec<Section> = bytes[HEAD_BYTES..end].chunks_exact(SECTION_BYTES).map(Section::parse).collect();
        sections.iter().all(Section::is_possible).then_some(Self { sections })
    }

    /// The section of one kind of id; `None` when the index has none.
    pub(crate) fn section(&self, kind: u32) -> Option<&Section> {
        self.sections.iter().find(|section| section.kind == kind)
    }

    /// Memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.sections.len() * size_of::<Section>()
    }
}

/// One kind of id.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Section {
    kind: u32,
    n_filter_blocks: u32,
    n_buckets: u32,
    filter_at: u64,
    table_at: u64,
}

impl Section {
    /// No row has such an id.
    pub(crate) const fn is_empty(&self) -> bool {
        self.n_filter_blocks == 0 || self.n_buckets == 0
    }

    /// Nothing of it stands behind the end of all numbers.
    fn is_possible(&self) -> bool {
        let filter = u64::from(self.n_filter_blocks) * FILTER_BLOCK_BYTES as u64;
        let table = u64::from(self.n_buckets) * TABLE_ENTRY_BYTES as u64;
        self.filter_at.checked_add(filter).is_some() && self.table_at.checked_add(table).is_some()
    }

    /// Where the whole filter stands.
    pub(crate) const fn filter_range(&self) -> Range<u64> {
        self.filter_at..self.filter_at + self.n_filter_blocks as u64 * FILTER_BLOCK_BYTES as u64
    }

    /// Where the key's filter block stands.
    pub(crate) const fn filter_block_range(&self, key: Key) -> Range<u64> {
        let start = self.filter_at + self.filter_block(key) as u64 * FILTER_BLOCK_BYTES as u64;
        start..start + FILTER_BLOCK_BYTES as u64
    }

    /// Whether rows may have the key, by the whole filter; `None` when it is damaged.
    pub(crate) fn may_hold(&self, filter: &[u8], key: Key) -> Option<bool> {
        let start = self.filter_block(key) as usize * FILTER_BLOCK_BYTES;
        self.may_hold_block(filter.get(start..start + FILTER_BLOCK_BYTES)?, key)
    }

    /// Whether rows may have the key, by its filter block; `None` when that is damaged.
    pub(crate) fn may_hold_block(&self, block: &[u8], key: Key) -> Option<bool> {
        let (set, crc) = block.split_at_checked(FILTER_BLOCK_BYTES - 4)?;
        if crc.len() != 4 || u32_at(crc, 0) != checksum(self.filter_block(key), set) {
            return None;
        }
        Some(bits(key).all(|bit| set[bit / 8] & 1 << (bit % 8) != 0))
    }

    /// Where the key's entry of the bucket table stands.
    pub(crate) const fn entry_range(&self, key: Key) -> Range<u64> {
        let start = self.table_at + self.bucket(key) as u64 * TABLE_ENTRY_BYTES as u64;
        start..start + TABLE_ENTRY_BYTES as u64
    }

    /// Where the key's bucket stands, by its entry; `None` when that cannot be.
    pub(crate) fn bucket_range(entry: &[u8]) -> Option<Range<u64>> {
        let (offset, length) = (u64_at(entry.get(..TABLE_ENTRY_BYTES)?, 0), u32_at(entry, 8));
        Some(offset..offset.checked_add(u64::from(length))?)
    }

    /// Rows with the key; `None` when the entry or the bucket is damaged.
    pub(crate) fn rows(&self, entry: &[u8], bucket: &[u8], key: Key) -> Option<RowRanges> {
        if u32_at(entry.get(..TABLE_ENTRY_BYTES)?, 12) != checksum(self.bucket(key), bucket) {
            return None;
        }
        let (mut rest, mut found_key) = (bucket, 0_u64);
        while !rest.is_empty() {
            found_key = found_key.checked_add(take_number(&mut rest)?)?;
            let n = take_number(&mut rest)?;
            let is_wanted = found_key == key.0;
            let (mut row, mut rows) = (0_u64, Vec::new());
            for _ in 0..n {
                row = row.checked_add(take_number(&mut rest)?)?;
                if is_wanted {
                    rows.push(u32::try_from(row).ok()?);
                }
            }
            if found_key >= key.0 {
                return Some(RowRanges::from_rows(rows));
            }
        }
        Some(RowRanges::default())
    }

    const fn filter_block(&self, key: Key) -> u32 {
        // Fibonacci hashing: the upper bits depend on every bit of the key.
        let mixed = key.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        ((mixed * self.n_filter_blocks as u64) >> 32) as u32
    }

    /// Buckets are in the order of the keys.
    const fn bucket(&self, key: Key) -> u32 {
        ((key.0 * self.n_buckets as u64) >> Key::BITS) as u32
    }

    fn to_bytes(&self) -> [u8; SECTION_BYTES] {
        let mut bytes = [0; SECTION_BYTES];
        bytes[..4].copy_from_slice(&self.kind.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.n_filter_blocks.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.n_buckets.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.filter_at.to_le_bytes());
        bytes[24..].copy_from_slice(&self.table_at.to_le_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Self {
        Self {
            kind: u32_at(bytes, 0),
            n_filter_blocks: u32_at(bytes, 4),
            n_buckets: u32_at(bytes, 8),
            filter_at: u64_at(bytes, 16),
            table_at: u64_at(bytes, 24),
        }
    }
}

/// For fuzzing: a file with a right head over any sections, and anything behind it.
pub(crate) fn with_right_head(n_rows: u64, sections: &[u8], rest: &[u8]) -> Vec<u8> {
    let n_sections = (sections.len() / SECTION_BYTES).min(SECTIONS_MAX);
    let mut bytes = vec![0; HEAD_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&n_rows.to_le_bytes());
    bytes[24..28].copy_from_slice(&(n_sections as u32).to_le_bytes());
    bytes.extend_from_slice(&sections[..n_sections * SECTION_BYTES]);
    let crc = crc32c::crc32c(&bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(rest);
    bytes
}

/// For fuzzing: rows that a bucket gives whose checksum is right.
pub(crate) fn rows_of_bucket(bucket: &[u8], key: Key) -> Option<RowRanges> {
    let section = Section { kind: 1, n_filter_blocks: 1, n_buckets: 1, filter_at: 0, table_at: 0 };
    let mut entry = [0; TABLE_ENTRY_BYTES];
    entry[8..12].copy_from_slice(&(bucket.len() as u32).to_le_bytes());
    entry[12..].copy_from_slice(&checksum(0, bucket).to_le_bytes());
    section.rows(&entry, bucket, key)
}

/// The bits of a key in its filter block.
fn bits(key: Key) -> impl Iterator<Item = usize> {
    let low = key.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) as u32;
    FILTER_SALTS.iter().map(move |salt| ((u64::from(low.wrapping_mul(*salt)) * FILTER_BLOCK_BITS) >> 32) as usize)
}

/// Covers the number of a block too: another block, or zeros, do not fit.
fn checksum(number: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), bytes)
}

fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
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
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// What a reader does, on a whole file; `None` for damage.
    fn find(file: &[u8], n_rows: u64, kind: u32, key: Key) -> Option<Vec<Range<u64>>> {
        let at = |range: Range<u64>| file.get(range.start as usize..range.end as usize);
        let head = Head::parse(file, n_rows)?;
        let section = head.section(kind)?;
        if section.is_empty() {
            return Some(Vec::new());
        }
        let whole = section.may_hold(at(section.filter_range())?, key)?;
        assert_eq!(section.may_hold_block(at(section.filter_block_range(key))?, key), Some(whole));
        if !whole {
            return Some(Vec::new());
        }
        let entry = at(section.entry_range(key))?;
        let rows = section.rows(entry, at(Section::bucket_range(entry)?)?, key)?;
        Some(rows.ranges().to_vec())
    }

    fn file(rows: &[u64]) -> Vec<u8> {
        let mut section = SectionBuilder::default();
        rows.iter().zip(0..).for_each(|(id, row)| section.add(Key::of(&id.to_le_bytes()), row));
        write(rows.len() as u64, vec![(1, section), (7, SectionBuilder::default())])
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// Every row of every id is found, whatever repeats, and nothing for ids that are not there.
        #[test]
        fn every_row_is_found(ids in proptest::collection::vec(0u64..600, 0..3000)) {
            let bytes = file(&ids);
            let n_rows = ids.len() as u64;
            let mut expected: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
            ids.iter().zip(0..).for_each(|(id, row)| expected.entry(*id).or_default().push(row));
            for id in 0..700 {
                let rows = expected.remove(&id).unwrap_or_default();
                let found = find(&bytes, n_rows, 1, Key::of(&id.to_le_bytes())).expect("whole");
                prop_assert_eq!(found, RowRanges::from_rows(rows).ranges().to_vec());
            }
            prop_assert_eq!(find(&bytes, n_rows, 7, Key::of(&[1])), Some(Vec::new()));
            prop_assert_eq!(find(&bytes, n_rows + 1, 1, Key::of(&[1])), None);
        }

        /// Damage is noticed, or what it hit was not looked at: never a wrong answer.
        #[test]
        fn damage_never_hides_rows(at in 0usize..30_000, flip in 1u8.., hole: bool) {
            let ids: Vec<u64> = (0..4000).map(|n| n / 4).collect();
            let mut bytes = file(&ids);
            let at = at % bytes.len();
            if hole {
                let end = (at + 512).min(bytes.len());
                bytes[at..end].fill(0);
            } else {
                bytes[at] ^= flip;
            }
            for id in (0u64..1000).step_by(7) {
                if let Some(found) = find(&bytes, 4000, 1, Key::of(&id.to_le_bytes())) {
                    prop_assert_eq!(found.len(), 1, "id {}", id);
                    prop_assert_eq!(&found[0], &(id * 4..id * 4 + 4));
                }
            }
        }
    }

    /// Numbers that no file can hold are damage, whatever the checksums say.
    #[test]
    fn impossible_numbers_are_damage() {
        let section = |filter_at: u64, table_at: u64| {
            Section { kind: 1, n_filter_blocks: u32::MAX, n_buckets: u32::MAX, filter_at, table_at }.to_bytes()
        };
        for (filter_at, table_at, is_head) in [(0, 0, true), (u64::MAX, 0, false), (0, u64::MAX - 7, false)] {
            let bytes = with_right_head(3, &section(filter_at, table_at), &[]);
            assert_eq!(Head::parse(&bytes, 3).is_some(), is_head, "{filter_at} {table_at}");
        }
        let (mut far_key, mut far_row) = (Vec::new(), Vec::new());
        for number in [1, 1, 1, u64::MAX, 1, 1] {
            put_number(&mut far_key, number);
        }
        for number in [1, 2, 1, u64::MAX] {
            put_number(&mut far_row, number);
        }
        for bucket in [far_key, far_row] {
            assert_eq!(rows_of_bucket(&bucket, Key((1 << Key::BITS) - 1)), None, "{bucket:?}");
        }
    }

    /// The filter keeps nearly everything away, and an index is small: 10,000 traces of ten scattered rows.
    #[test]
    fn an_index_is_small_and_sharp() {
        let ids: Vec<u64> = (0..100_000).map(|row| row * 7919 % 10_000).collect();
        let bytes = file(&ids);
        assert!(bytes.len() < 100_000 * 4, "{} bytes for 100,000 rows", bytes.len());
        let head = Head::parse(&bytes, 100_000).expect("whole");
        let section = head.section(1).expect("written");
        let range = section.filter_range();
        let filter = &bytes[range.start as usize..range.end as usize];
        let n_passed = (1_000_000u64..1_100_000)
            .filter(|id| section.may_hold(filter, Key::of(&id.to_le_bytes())).expect("whole"))
            .count();
        assert!(n_passed < 2000, "{n_passed} of 100,000 unknown ids pass");
    }
}
