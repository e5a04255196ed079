//! Numbers of the rows of a batch, as runs of rows with the same one: rows are sorted by service, name and start, so that
//! most keys change seldom.

use std::ops::Range;

use arrow::buffer::NullBuffer;

/// Rows of a run, on average, from which on it is counted as a whole: what each costs is as much as some 200 rows.
const LONG_ROWS_MIN: usize = if cfg!(test) { 8 } else { 256 };
/// Rows that are compared one by one before many are at once.
const FIRST_ROWS: usize = 8;
/// Rows that are compared at once.
const PIECE_ROWS: usize = 64;

/// Runs that follow each other without gaps, from the first row on.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Runs {
    /// The row behind each.
    ends: Vec<u32>,
    numbers: Vec<u32>,
}

impl Runs {
    /// The runs of equal values, with the number that each value is given; null is a value, too.
    pub(super) fn of<T: Copy + PartialEq>(
        values: &[T],
        nulls: Option<&NullBuffer>,
        mut number: impl FnMut(Option<T>) -> u32,
    ) -> Self {
        let mut runs = Self::default();
        match nulls.filter(|nulls| nulls.null_count() > 0) {
            None => {
                let mut at = 0;
                while let Some(value) = values.get(at) {
                    at += equal_at_start(&values[at..]);
                    runs.push(number(Some(*value)), at);
                }
            }
            Some(nulls) => {
                let value = |row: usize| nulls.is_valid(row).then(|| values[row]);
                let mut at = 0;
                while at < values.len() {
                    let first = value(at);
                    at += 1;
                    while at < values.len() && value(at) == first {
                        at += 1;
                    }
                    runs.push(number(first), at);
                }
            }
        }
        runs
    }

    /// A run up to `end`; one with the number of that before it makes that longer.
    pub(super) fn push(&mut self, number: u32, end: usize) {
        let end = end as u32;
        match (self.numbers.last(), self.ends.last_mut()) {
            (Some(last), Some(last_end)) if *last == number => *last_end = end,
            _ => {
                self.numbers.push(number);
                self.ends.push(end);
            }
        }
    }

    /// The runs of pairs of numbers, with the number that each pair is given.
    pub(super) fn with(&self, other: &Self, mut number: impl FnMut(u32, u32) -> u32) -> Self {
        let mut runs = Self::default();
        let mut others = other.ends.iter().zip(&other.numbers).peekable();
        for (end, left) in self.ends.iter().zip(&self.numbers) {
            while let Some((other_end, right)) = others.peek().copied() {
                runs.push(number(*left, *right), (*end).min(*other_end) as usize);
                if other_end <= end {
                    others.next();
                }
                if other_end >= end {
                    break;
                }
            }
        }
        runs
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The number of each run.
    pub(super) fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    /// The number of a row.
    pub(super) fn at(&self, row: usize) -> u32 {
        self.numbers[self.ends.partition_point(|end| *end as usize <= row)]
    }

    /// The rows of each run.
    pub(super) fn rows(&self) -> impl Iterator<Item = Range<usize>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| start as usize..*end as usize)
    }

    /// They are long enough to be counted as wholes.
    pub(super) fn are_long(&self) -> bool {
        self.ends.last().is_some_and(|n_rows| *n_rows as usize >= LONG_ROWS_MIN * self.len())
    }

    /// The number of each row.
    pub(super) fn of_each_row(&self) -> Vec<usize> {
        let mut each = Vec::with_capacity(self.ends.last().map_or(0, |end| *end as usize));
        for (end, number) in self.ends.iter().zip(&self.numbers) {
            each.resize(*end as usize, *number as usize);
        }
        each
    }
}

/// How many values at the start are like the first: in pieces that are compared at once, when the first few are the same.
fn equal_at_start<T: Copy + PartialEq>(values: &[T]) -> usize {
    let Some(first) = values.first() else { return 0 };
    let differs = |values: &[T]| values.iter().position(|value| value != first);
    let (few, rest) = values.split_at(values.len().min(FIRST_ROWS));
    if let Some(at) = differs(few) {
        return at;
    }
    let is_same = |piece: &&[T]| piece.iter().fold(true, |same, value| same & (value == first));
    let n_same = rest.chunks(PIECE_ROWS).take_while(is_same).map(<[T]>::len).sum::<usize>();
    let left = &rest[n_same..];
    few.len() + n_same + differs(left).unwrap_or(left.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Array as _, Int64Array};

    /// Numbers are the values themselves.
    fn runs(values: &[i64]) -> Runs {
        Runs::of(values, None, |value| value.expect("no nulls") as u32)
    }

    fn plain(values: &[i64]) -> Vec<usize> {
        values.iter().map(|value| *value as usize).collect()
    }

    /// Runs of one row to a few hundred, others for another seed.
    fn values(seed: usize, n_rows: usize) -> Vec<i64> {
        let lengths = [1, 2, 1, 7, 8, 9, 1, 64, 72, 3, 300, 5].iter().cycle().skip(seed);
        let runs = lengths.enumerate().map(|(at, length)| std::iter::repeat_n((at * seed % 7) as i64, *length));
        runs.flatten().take(n_rows).collect()
    }

    #[test]
    fn rows_have_the_numbers_of_their_values() {
        for n_rows in [0, 1, 7, 8, 9, 72, 73, 1_000] {
            let (left, right) = (values(3, n_rows), values(5, n_rows));
            assert_eq!(runs(&left).of_each_row(), plain(&left));
            let both = runs(&left).with(&runs(&right), |a, b| a * 10 + b);
            let expected: Vec<i64> = left.iter().zip(&right).map(|(a, b)| a * 10 + b).collect();
            assert_eq!(both.of_each_row(), plain(&expected));
            assert_eq!(both, runs(&expected));
            assert!((0..n_rows).all(|row| i64::from(both.at(row)) == expected[row]));
            let rows: Vec<usize> = both.rows().flatten().collect();
            assert_eq!(rows, (0..n_rows).collect::<Vec<_>>());
        }
    }

    #[test]
    fn null_is_a_value() {
        let array = Int64Array::from(vec![None, None, Some(0), Some(3), None, Some(3)]);
        let runs = Runs::of(array.values(), array.nulls(), |value| value.map_or(9, |value| value as u32));
        assert_eq!(runs.of_each_row(), [9, 9, 0, 3, 9, 3]);
    }

    /// Batches without rows have no states to put together.
    #[test]
    fn long_ones_are_seen() {
        assert!(!runs(&[]).are_long());
        assert!(!runs(&[7; LONG_ROWS_MIN - 1]).are_long());
        let two = [[3; LONG_ROWS_MIN], [5; LONG_ROWS_MIN]].concat();
        assert!(runs(&two).are_long());
        assert_eq!(runs(&two).rows().collect::<Vec<_>>(), [0..LONG_ROWS_MIN, LONG_ROWS_MIN..2 * LONG_ROWS_MIN]);
        assert!(!runs(&(0..100).collect::<Vec<_>>()).are_long());
    }
}
