//! Which attribute goes to a column and which to the list; see docs/formats/attributes.md.

use hashbrown::HashMap;
use model::attribute_order::OrderWriter;
use model::semconv::On;

use super::columns::{Labels, Named};
use super::entries::Entries;
use super::keys::Keys;
use super::message::KeyValue;
use super::promoted::Promoted;

/// Shapes of rows that are remembered, and attributes of such a row: half a megabyte, whatever is sent.
const SHAPES_MAX: usize = 1024;
const SHAPE_ATTRIBUTES_MAX: usize = 64;

/// Attributes of items: promoted columns, the list of the others, and how they interleave.
#[derive(Debug)]
pub(super) struct ItemAttributes {
    promoted: Option<Promoted>,
    list: Entries,
    order: Labels,
    order_writer: OrderWriter,
    /// The row at hand: for each attribute its key, and whether it went to a column.
    shape: Vec<u64>,
    /// The row before, and its code in `order`: rows of one shape have the same order.
    last: (Vec<u64>, i32),
    /// Codes of shapes of the batch; those beyond [`SHAPES_MAX`] are worked out again each time.
    shapes: HashMap<Vec<u64>, i32>,
}

impl ItemAttributes {
    /// For a table that has promoted columns for items.
    pub(super) fn promoting() -> Self {
        Self { promoted: Some(Promoted::new(On::Item)), ..Self::listing() }
    }

    /// For a table that keeps all attributes of items in the list.
    pub(super) fn listing() -> Self {
        Self {
            promoted: None,
            list: Entries::default(),
            order: Labels::default(),
            order_writer: OrderWriter::default(),
            shape: Vec::new(),
            last: (Vec::new(), 0),
            shapes: HashMap::new(),
        }
    }

    /// The attributes of row `row`, which are distinct by key and whose keys are numbered.
    pub(super) fn push(&mut self, row: usize, attributes: &[KeyValue<'_>], keys: &Keys) {
        let Some(promoted) = &mut self.promoted else {
            attributes.iter().for_each(|attribute| self.list.push(attribute.key, &attribute.value));
            self.list.end_row();
            return;
        };
        let mut filled = 0u64;
        self.shape.clear();
        for attribute in attributes {
            let slot = keys.promotion(On::Item, attribute.key_id).map(|promotion| promotion.slot);
            let is_column = slot.is_some_and(|slot| {
                let bit = 1 << slot.index;
                let fits = filled & bit == 0 && promoted.put(slot, row, &attribute.value);
                filled |= if fits { bit } else { 0 };
                fits
            });
            if !is_column {
                self.list.push(attribute.key, &attribute.value);
            }
            self.shape.push(u64::from(attribute.key_id) << 1 | u64::from(is_column));
        }
        self.list.end_row();
        if filled == 0 {
            self.order.fill_null(row + 1);
        } else if self.last.0 == self.shape {
            self.order.push_code(self.last.1);
        } else {
            self.push_order(attributes, keys);
        }
    }

    /// The order of a row that has another shape than the one before.
    fn push_order(&mut self, attributes: &[KeyValue<'_>], keys: &Keys) {
        let code = if let Some(code) = self.shapes.get(&self.shape) {
            self.order.push_code(*code);
            *code
        } else {
            for (attribute, part) in attributes.iter().zip(&self.shape) {
                match keys.promotion(On::Item, attribute.key_id) {
                    Some(promotion) if part & 1 == 1 => self.order_writer.column(promotion.name),
                    _ => self.order_writer.listed(),
                }
            }
            let order = &mut self.order;
            let code = self.order_writer.finish(|text| order.push(text.unwrap_or_default().as_bytes()));
            if self.shapes.len() < SHAPES_MAX && self.shape.len() <= SHAPE_ATTRIBUTES_MAX {
                self.shapes.insert(self.shape.clone(), code);
            }
            code
        };
        self.last.1 = code;
        std::mem::swap(&mut self.last.0, &mut self.shape);
    }

    /// The columns; the builders begin again.
    pub(super) fn finish(&mut self, n_rows: usize, into: &mut Vec<Named>) {
        into.push(("attributes", self.list.finish()));
        if let Some(promoted) = &mut self.promoted {
            into.extend(self.order.finish().map(|order| ("attribute_order", order)));
            into.extend(promoted.finish(n_rows));
        }
        self.last.0.clear();
        self.shapes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `filled` has a bit for each promoted column.
    #[test]
    fn promoted_columns_fit_the_mask() {
        assert!(model::semconv::promoted(On::Item).count() <= 64);
        assert!(model::semconv::promoted(On::Resource).count() <= 64);
    }
}
