//! Columns of attributes that have one: most rows leave them empty, and nulls are only written when a value comes.

use model::semconv::{self, On, ValueKind};

use super::columns::{Bytes, Ints, Labels, Named};
use super::message::Value;

/// Where a promoted attribute goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// Which of the promoted columns.
    pub(crate) index: usize,
    /// Type of its values.
    pub(crate) value: ValueKind,
}

/// One promoted column.
#[derive(Debug)]
enum PromotedColumn {
    Label(Labels),
    Text(Bytes),
    Int(Ints),
}

/// The promoted columns of one side, in the order of the table of conventions. Columns without any value
/// are not built at all.
#[derive(Debug)]
pub(crate) struct Promoted {
    columns: Vec<(&'static str, PromotedColumn)>,
}

impl Promoted {
    pub(crate) fn new(on: On) -> Self {
        let column = |convention: &'static semconv::Convention| {
            let column = match convention.value {
                ValueKind::Label => PromotedColumn::Label(Labels::default()),
                ValueKind::Text => PromotedColumn::Text(Bytes::default()),
                ValueKind::Int => PromotedColumn::Int(Ints::default()),
            };
            (convention.column.unwrap_or_default(), column)
        };
        Self { columns: semconv::promoted(on).map(column).collect() }
    }

    /// Puts a value into row `row`, which no earlier call may have passed. False when the value is not of
    /// the column's type: it belongs into the list.
    #[inline]
    pub(crate) fn put(&mut self, slot: Slot, row: usize, value: &Value<'_>) -> bool {
        match (self.columns.get_mut(slot.index), value) {
            (Some((_, PromotedColumn::Label(labels))), Value::Text(text)) => {
                labels.fill_null(row);
                labels.push(text);
                true
            }
            (Some((_, PromotedColumn::Text(texts))), Value::Text(text)) => {
                texts.fill_null(row);
                texts.push(text);
                true
            }
            (Some((_, PromotedColumn::Int(numbers))), Value::Int(number)) => {
                numbers.fill_null(row);
                numbers.push(*number);
                true
            }
            _ => false,
        }
    }

    /// Rows from `from_row` up to `n_rows` hold `value`, which is of the column's type.
    pub(crate) fn fill(&mut self, slot: Slot, from_row: usize, n_rows: usize, value: &Value<'_>) {
        if !self.put(slot, from_row, value) {
            return;
        }
        match (self.columns.get_mut(slot.index), value) {
            (Some((_, PromotedColumn::Label(labels))), Value::Text(text)) => labels.fill(text, n_rows),
            _ => {
                for row in from_row + 1..n_rows {
                    self.put(slot, row, value);
                }
            }
        }
    }

    /// The columns that hold anything, each with `n_rows` rows; the builders begin again.
    pub(crate) fn finish(&mut self, n_rows: usize) -> impl Iterator<Item = Named> {
        self.columns.iter_mut().filter_map(move |(name, column)| {
            let array = match column {
                PromotedColumn::Label(labels) if labels.len() > 0 => {
                    labels.fill_null(n_rows);
                    labels.finish()?
                }
                PromotedColumn::Text(texts) if texts.len() > 0 => {
                    texts.fill_null(n_rows);
                    texts.finish_texts()
                }
                PromotedColumn::Int(numbers) if numbers.len() > 0 => {
                    numbers.fill_null(n_rows);
                    numbers.finish()
                }
                _ => return None,
            };
            Some((*name, array))
        })
    }
}
