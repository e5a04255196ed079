//! Which ids of a batch are indexed.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};

use super::format::{self, ROWS_MAX, SectionBuilder};
use super::{By, Key};
use crate::table::Table;

/// Gathers the ids of a segment while it is written: 8 bytes of memory per row and kind of id it carries.
#[derive(Debug)]
pub(crate) struct IndexBuilder {
    sections: Vec<(By, SectionBuilder)>,
    n_rows: u64,
}

impl IndexBuilder {
    /// `None` for a table that is not indexed.
    pub(crate) fn new(table: &'static Table) -> Option<Self> {
        let sections: Vec<_> = By::of(table).map(|by| (by, SectionBuilder::default())).collect();
        (!sections.is_empty()).then_some(Self { sections, n_rows: 0 })
    }

    /// Takes the next rows in file order. Columns are found by name; one that is missing holds no ids.
    pub(crate) fn add(&mut self, rows: &RecordBatch) {
        for (by, section) in &mut self.sections {
            if let Some(column) = rows.column_by_name(by.column()) {
                each_id(*by, column, |row, id| {
                    let row = self.n_rows + row as u64;
                    if row < ROWS_MAX {
                        section.add(Key::of(id), row);
                    }
                });
            }
        }
        self.n_rows += rows.num_rows() as u64;
    }

    /// The file; `None` for a segment with more rows than an index can name, which every reader then reads whole.
    pub(crate) fn finish(self) -> Option<Vec<u8>> {
        let sections = self.sections.into_iter().map(|(by, section)| (by.code(), section)).collect();
        (self.n_rows <= ROWS_MAX).then(|| format::write(self.n_rows, sections))
    }
}

/// Calls `take` with each row and each id in its column. Empty ids are none; a row can have several.
pub(super) fn each_id(by: By, column: &ArrayRef, mut take: impl FnMut(usize, &[u8])) {
    match by {
        By::Trace => {
            let Some(ids) = column.as_binary_opt::<i32>() else { return };
            ids.iter().enumerate().filter_map(|(row, id)| Some((row, id?))).for_each(|(row, id)| take(row, id));
        }
        By::LinkTarget => {
            let Some(links) = column.as_list_opt::<i32>() else { return };
            let Some(targets) = links.values().as_struct_opt().and_then(|links| links.column_by_name("trace_id"))
            else {
                return;
            };
            let Some(targets) = targets.as_binary_opt::<i32>() else { return };
            // Most spans have no links, and most batches no targets at all.
            if targets.is_empty() {
                return;
            }
            for (row, ends) in links.value_offsets().windows(2).enumerate() {
                for link in ends[0] as usize..ends[1] as usize {
                    if targets.is_valid(link) && !links.is_null(row) {
                        take(row, targets.value(link));
                    }
                }
            }
        }
        By::Message | By::Conversation => {
            let Some(ids) = column.as_string_opt::<i32>() else { return };
            if ids.null_count() == ids.len() {
                return;
            }
            let given = ids.iter().enumerate().filter_map(|(row, id)| Some((row, id?)));
            given.filter(|(_, id)| !id.is_empty()).for_each(|(row, id)| take(row, id.as_bytes()));
        }
    }
}

/// Rows of a batch that carry one of these very ids.
pub(crate) fn rows_with(by: By, column: &ArrayRef, ids: &HashSet<&[u8]>) -> Vec<u32> {
    let mut found: Vec<u32> = Vec::new();
    each_id(by, column, |row, other| {
        let row = row as u32;
        if found.last() != Some(&row) && ids.contains(other) {
            found.push(row);
        }
    });
    found
}
