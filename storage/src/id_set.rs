//! Ids of traces that rows are compared with: many rows, and any number of ids.

use std::array::from_fn;

use arrow::array::{Array, BinaryArray};
use model::TraceId;

/// Up to so many ids are compared one after another.
const FEW: usize = 4;
/// Bits of the filter: 8 KiB, which stay in the nearest cache.
const FILTER_BITS: usize = 1 << 16;

/// Some ids. Their last bits are random, whoever made them, and serve as a hash.
#[derive(Debug)]
pub(crate) struct IdSet {
    /// In order.
    ids: Vec<u128>,
    /// Of every id the bit that its low 16 bits number; empty for few ids.
    filter: Vec<u64>,
}

impl IdSet {
    pub(crate) fn new(traces: &[TraceId]) -> Self {
        let mut ids: Vec<u128> = traces.iter().map(|trace| u128::from_be_bytes(*trace.as_bytes())).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut filter = Vec::new();
        if ids.len() > FEW {
            filter = vec![0; FILTER_BITS / 64];
            for id in &ids {
                let (word, bit) = place(*id);
                filter[word] |= bit;
            }
        }
        Self { ids, filter }
    }

    fn contains(&self, id: u128) -> bool {
        if self.filter.is_empty() {
            return self.ids.contains(&id);
        }
        let (word, bit) = place(id);
        self.filter[word] & bit != 0 && self.ids.binary_search(&id).is_ok()
    }

    /// Rows of a column whose id is in the set.
    pub(crate) fn rows(&self, column: &BinaryArray) -> Vec<u32> {
        const BYTES: usize = TraceId::BYTES;
        let offsets = column.value_offsets();
        let is_dense = column.null_count() == 0 && offsets.windows(2).all(|pair| pair[1] - pair[0] == BYTES as i32);
        if is_dense {
            // All ids in one stretch: compared as numbers, without looking at offsets.
            let start = offsets.first().map_or(0, |first| *first as usize);
            let (all, _) = column.value_data()[start..].as_chunks::<BYTES>();
            let rows = all[..column.len()].iter().zip(0..);
            return rows.filter(|(id, _)| self.contains(u128::from_be_bytes(**id))).map(|(_, row)| row).collect();
        }
        let is_wanted = |id: &[u8]| id.len() == BYTES && self.contains(u128::from_be_bytes(from_fn(|at| id[at])));
        column.iter().zip(0..).filter(|(id, _)| id.is_some_and(is_wanted)).map(|(_, row)| row).collect()
    }
}

/// Word and bit of the filter.
const fn place(id: u128) -> (usize, u64) {
    let low = id as usize % FILTER_BITS;
    (low / 64, 1 << (low % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Few and many ids, dense columns and such with nulls and ids of other lengths: always the rows that a plain search finds.
    #[test]
    fn the_rows_of_a_set_are_found() {
        let id = |n: usize| TraceId::from_bytes(&[(n % 251) as u8 + 1; TraceId::BYTES]).expect("an id");
        let dense: Vec<Option<Vec<u8>>> = (0..1_000).map(|row| Some(id(row * 7).as_bytes().to_vec())).collect();
        let odd: Vec<Option<Vec<u8>>> = (0..1_000)
            .map(|row| match row % 5 {
                0 => None,
                1 => Some(vec![1; row % 20]),
                _ => Some(id(row).as_bytes().to_vec()),
            })
            .collect();
        for rows in [dense, odd] {
            let column: BinaryArray = rows.iter().map(Option::as_deref).collect();
            let column = column.slice(3, 990);
            for n in [0, 1, FEW, FEW + 1, 200] {
                let wanted: Vec<TraceId> = (0..n).map(|at| id(at * 3)).collect();
                let is_wanted = |row: &u32| {
                    let found = rows[*row as usize + 3].as_deref();
                    wanted.iter().any(|id| found == Some(id.as_bytes()))
                };
                let expected: Vec<u32> = (0..990).filter(is_wanted).collect();
                assert_eq!(IdSet::new(&wanted).rows(&column), expected, "{n} ids");
                assert_eq!(expected.is_empty(), n == 0);
            }
        }
    }
}
