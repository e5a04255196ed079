//! Rows of sorted inputs in order, as runs: "these rows of that batch, then those of another one".
//!
//! Flushes follow each other in time, so within one service and name the rows of one input mostly come before those
//! of the next: runs are long, and copying them costs little more than copying whole batches.

use std::cmp::Ordering;
use std::collections::VecDeque;

use arrow::array::{Array, AsArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type};

use crate::error::Result;
use crate::segment::Run;
use crate::table::Table;

/// Where rows come from: batches, each sorted, and sorted among each other.
pub(crate) trait Source {
    /// The next rows, at least one; `None` at the end.
    ///
    /// # Errors
    /// When they cannot be read.
    fn next(&mut self) -> Result<Option<RecordBatch>>;
}

/// Merges sorted sources.
pub(crate) struct Merger<S> {
    table: &'static Table,
    sources: Vec<S>,
    /// Sources that have rows left, by their next row.
    order: VecDeque<Cursor>,
}

/// The batch of a source and the position in it.
struct Cursor {
    source: usize,
    rows: RecordBatch,
    keys: Vec<Keys>,
    /// The next row.
    row: usize,
    /// The batch's number among those of the group at hand; `None` before the first run of it.
    batch: Option<usize>,
}

/// A column of the sort order.
enum Keys {
    Labels(Int32Array, StringArray),
    Numbers(Int64Array),
}

impl<S: Source> Merger<S> {
    /// Reads the first rows of each source.
    ///
    /// # Errors
    /// When a source cannot be read.
    pub(crate) fn new(table: &'static Table, sources: Vec<S>) -> Result<Self> {
        let mut merger = Self { table, sources, order: VecDeque::new() };
        for source in 0..merger.sources.len() {
            merger.load(source)?;
        }
        Ok(merger)
    }

    /// The next rows in order: batches and runs of their rows, together at most `n_rows_max` rows; no runs at the end.
    ///
    /// # Errors
    /// When a source cannot be read.
    pub(crate) fn next_group(&mut self, n_rows_max: usize) -> Result<(Vec<RecordBatch>, Vec<Run>)> {
        let (mut batches, mut runs): (Vec<RecordBatch>, Vec<Run>) = (Vec::new(), Vec::new());
        let mut n_rows = 0;
        self.order.iter_mut().for_each(|cursor| cursor.batch = None);
        while n_rows < n_rows_max
            && let Some(mut first) = self.order.pop_front()
        {
            let end = match self.order.front() {
                Some(second) => first.end_before(second),
                None => first.rows.num_rows(),
            };
            let end = end.min(first.row + (n_rows_max - n_rows));
            let batch = *first.batch.get_or_insert_with(|| {
                batches.push(first.rows.clone());
                batches.len() - 1
            });
            runs.push(Run { batch, start: first.row, end });
            n_rows += end - first.row;
            first.row = end;
            if first.row < first.rows.num_rows() {
                self.insert(first);
            } else {
                self.load(first.source)?;
            }
        }
        Ok((batches, runs))
    }

    /// Where the rows came from.
    pub(crate) fn sources(&self) -> &[S] {
        &self.sources
    }

    /// Takes the next batch of a source.
    fn load(&mut self, source: usize) -> Result<()> {
        let Some(rows) = self.sources[source].next()? else { return Ok(()) };
        let keys = self.table.sort.iter().filter_map(|name| {
            let column = rows.column_by_name(name)?;
            match column.data_type() {
                DataType::Int64 => Some(Keys::Numbers(column.as_primitive::<Int64Type>().clone())),
                DataType::Dictionary(..) => {
                    let labels = column.as_dictionary::<Int32Type>();
                    Some(Keys::Labels(labels.keys().clone(), labels.values().as_string::<i32>().clone()))
                }
                // Other kinds do not stand in a sort order.
                _ => None,
            }
        });
        let keys = keys.collect();
        self.insert(Cursor { source, rows, keys, row: 0, batch: None });
        Ok(())
    }

    fn insert(&mut self, cursor: Cursor) {
        let at = self.order.partition_point(|other| other.compare(other.row, &cursor, cursor.row).is_lt());
        self.order.insert(at, cursor);
    }
}

impl Cursor {
    /// Equal rows stand in the order of their sources.
    fn compare(&self, row: usize, other: &Self, other_row: usize) -> Ordering {
        let columns = self.keys.iter().zip(&other.keys);
        let mut orders = columns.map(|(a, b)| a.compare(row, b, other_row));
        orders.find(|order| order.is_ne()).unwrap_or_else(|| self.source.cmp(&other.source))
    }

    /// The end of the rows from here on that come before the next row of another source; at least one does.
    fn end_before(&self, other: &Self) -> usize {
        let n_rows = self.rows.num_rows();
        let is_before = |row: usize| self.compare(row, other, other.row).is_lt();
        // Steps that double find the neighbourhood, halving finds the row.
        let (mut low, mut step) = (self.row, 1);
        while low + step < n_rows && is_before(low + step) {
            low += step;
            step *= 2;
        }
        let mut high = (low + step).min(n_rows);
        while low + 1 < high {
            let middle = low.midpoint(high);
            if is_before(middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        low + 1
    }
}

impl Keys {
    /// Nulls first.
    fn compare(&self, row: usize, other: &Self, other_row: usize) -> Ordering {
        match (self, other) {
            (Self::Numbers(a), Self::Numbers(b)) => {
                let value = |array: &Int64Array, row| array.is_valid(row).then(|| array.value(row));
                value(a, row).cmp(&value(b, other_row))
            }
            (Self::Labels(a, texts), Self::Labels(b, other_texts)) => {
                fn text<'a>(keys: &Int32Array, texts: &'a StringArray, row: usize) -> Option<&'a str> {
                    keys.is_valid(row).then(|| texts.value(keys.value(row) as usize))
                }
                text(a, texts, row).cmp(&text(b, other_texts, other_row))
            }
            // One table, one type per column.
            _ => Ordering::Equal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::gather_runs;
    use crate::table::SPANS;
    use crate::tests::rows::{DAY_START, span_ids, spans_at};
    use proptest::prelude::*;

    struct Batches(VecDeque<RecordBatch>);

    impl Source for Batches {
        fn next(&mut self) -> Result<Option<RecordBatch>> {
            Ok(self.0.pop_front())
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

        /// Every row of every source comes once, in order, in groups of the wanted size.
        #[test]
        fn merging_sorts_and_loses_nothing(
            sizes in proptest::collection::vec((0u64..60, 0i64..200), 1..6),
            batch_rows in 1usize..20,
            group_rows in 1usize..50,
        ) {
            let mut next = 0;
            let sources: Vec<Batches> = sizes.iter().map(|(n, offset_ms)| {
                next += n;
                let start = DAY_START + offset_ms * 1_000_000 - (next - n) as i64 * 1_000_000;
                let batch = spans_at(next - n..next, start);
                let sorted = crate::segment::sorted(&SPANS, &[batch.records()]).expect("small");
                let starts = (0..sorted.num_rows()).step_by(batch_rows);
                Batches(starts.map(|at| sorted.slice(at, batch_rows.min(sorted.num_rows() - at))).collect())
            }).collect();
            let mut merger = Merger::new(&SPANS, sources).expect("readable");
            let mut groups = Vec::new();
            loop {
                let (batches, runs) = merger.next_group(group_rows).expect("readable");
                if runs.is_empty() {
                    break;
                }
                let group = gather_runs(&SPANS.schema(), &batches, &runs).expect("small");
                prop_assert!(group.num_rows() <= group_rows);
                groups.push(group);
            }
            let is_full = |group: &RecordBatch| group.num_rows() == group_rows;
            prop_assert!(groups.iter().rev().skip(1).all(is_full));
            let mut ids: Vec<u64> = groups.iter().flat_map(span_ids).collect();
            ids.sort_unstable();
            prop_assert_eq!(ids, (0..next).collect::<Vec<_>>());
            let mut before: Option<(String, i64)> = None;
            for group in &groups {
                let service = arrow::compute::cast(
                    group.column_by_name("service_name").expect("spans"), &DataType::Utf8,
                ).expect("labels are text");
                let time = group.column_by_name("start_time").expect("spans").as_primitive::<Int64Type>();
                for row in 0..group.num_rows() {
                    let key = (service.as_string::<i32>().value(row).to_owned(), time.value(row));
                    prop_assert!(before.as_ref().is_none_or(|before| *before <= key));
                    before = Some(key);
                }
            }
        }
    }
}
