//! Which attribute goes to a column and which to the list; see docs/formats/attributes.md.

use std::sync::OnceLock;

use hashbrown::HashMap;
use model::attribute_order::OrderWriter;
use model::semconv::{self, On};
use opentelemetry_proto::tonic::common::v1::KeyValue;

use super::columns::{Entries, Labels, Named, Promoted, Slot};

/// The promoted column of a key, by today's name or one it replaces.
pub(super) fn slot(on: On, key: &str) -> Option<Slot> {
    static SLOTS: OnceLock<[HashMap<&'static str, Slot>; 2]> = OnceLock::new();
    let slots = SLOTS.get_or_init(|| [On::Resource, On::Item].map(slots_by_key));
    slots[on as usize].get(key).copied()
}

fn slots_by_key(on: On) -> HashMap<&'static str, Slot> {
    let named = semconv::promoted(on).enumerate().flat_map(|(index, convention)| {
        let slot = Slot { index, value: convention.value };
        convention.replaces.iter().chain([&convention.key]).map(move |key| (*key, slot))
    });
    named.collect()
}

/// Attributes of items: promoted columns, the list of the others, and how they interleave.
#[derive(Debug)]
pub(super) struct ItemAttributes {
    promoted: Option<Promoted>,
    list: Entries,
    order: Labels,
    order_writer: OrderWriter,
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
        }
    }

    /// The attributes of row `row`, which are distinct by key.
    pub(super) fn push(&mut self, row: usize, attributes: &[KeyValue]) {
        let mut filled = 0u64;
        for attribute in attributes {
            if let Some(promoted) = &mut self.promoted
                && let Some(slot) = slot(On::Item, &attribute.key)
                && filled & (1 << slot.index) == 0
                && let Some(value) = attribute.value.as_ref().and_then(|value| value.value.as_ref())
                && promoted.put(slot, row, value)
            {
                filled |= 1 << slot.index;
                self.order_writer.column(&attribute.key);
            } else {
                self.list.push(&attribute.key, attribute.value.as_ref());
                self.order_writer.listed();
            }
        }
        self.list.end_row();
        self.order_writer.finish(|text| self.order.push_option(text));
    }

    /// The columns.
    pub(super) fn finish(self, n_rows: usize) -> Vec<Named> {
        let mut columns = vec![("attributes", self.list.finish()), ("attribute_order", self.order.finish())];
        columns.extend(self.promoted.into_iter().flat_map(|promoted| promoted.finish(n_rows)));
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `filled` has a bit for each promoted column.
    #[test]
    fn promoted_columns_fit_the_mask() {
        assert!(semconv::promoted(On::Item).count() <= 64);
    }

    #[test]
    fn old_and_new_names_share_a_slot() {
        let index = |key| slot(On::Item, key).map(|slot| slot.index);
        assert_eq!(index("http.method"), index("http.request.method"));
        assert!(index("http.method").is_some() && index("order.id").is_none());
        assert!(slot(On::Item, "service.version").is_none() && slot(On::Resource, "service.version").is_some());
    }
}
