//! Rows of one segment, by number.

use std::ops::Range;

/// Rows of one segment, numbered in file order from 0 over all row groups: ranges that are sorted, not empty,
/// and neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowRanges(Vec<Range<u64>>);

impl RowRanges {
    /// From row numbers in any order.
    pub(crate) fn from_rows(mut rows: Vec<u32>) -> Self {
        rows.sort_unstable();
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for row in rows.into_iter().map(u64::from) {
            match ranges.last_mut() {
                Some(last) if row < last.end => {}
                Some(last) if row == last.end => last.end = row + 1,
                _ => ranges.push(row..row + 1),
            }
        }
        Self(ranges)
    }

    /// The ranges.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.0
    }

    /// How many rows these are.
    pub fn n_rows(&self) -> u64 {
        self.0.iter().map(|range| range.end - range.start).sum()
    }

    /// True without any row.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Cuts the ranges at row group borders: for each group in turn its ranges, counted from the group's first
    /// row; empty where nothing in the group is wanted. `group_rows` are the row counts of the file's groups.
    pub fn per_row_group(&self, group_rows: &[u64]) -> Vec<Vec<Range<u64>>> {
        let mut start = 0;
        let cut = |rows: &u64| {
            let (first, end) = (start, start + rows);
            start = end;
            let inside = |range: &Range<u64>| range.start.max(first)..range.end.min(end);
            let ranges = self.0.iter().map(inside).filter(|range| range.start < range.end);
            ranges.map(|range| range.start - first..range.end - first).collect()
        };
        group_rows.iter().map(cut).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_join_and_groups_cut() {
        let rows = RowRanges::from_rows(vec![9, 3, 4, 5, 20, 4]);
        assert_eq!(rows.ranges(), [3..6, 9..10, 20..21]);
        assert_eq!(rows.n_rows(), 5);
        let groups = rows.per_row_group(&[5, 10, 5, 3]);
        assert_eq!(groups.concat(), [3..5, 0..1, 4..5, 0..1]);
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2, 0, 1]);
    }
}
