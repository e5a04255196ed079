//! Which colour slot a service has.
//!
//! Eight slots, given in first-seen order and kept: a service has one colour in every view of this
//! browser. The ninth and later ones use a slot again and get a notched swatch. The name always stands
//! beside the colour, so nobody has to tell slots apart.

use std::collections::HashMap;

/// Slots of the palette, `--svc-1` to `--svc-8`.
const SLOTS: usize = 8;
/// Services remembered at most; later ones share the slot their name hashes to.
const REMEMBERED_MAX: usize = 512;

/// Services in first-seen order.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServiceColors {
    order: Vec<String>,
    index: HashMap<String, usize>,
}

impl ServiceColors {
    /// From what [`ServiceColors::to_text`] wrote.
    pub(crate) fn from_text(text: &str) -> Self {
        let mut colors = Self::default();
        for name in text.split('\n').filter(|name| !name.is_empty()) {
            colors.see(name);
        }
        colors
    }

    /// One service per line, first seen first.
    pub(crate) fn to_text(&self) -> String {
        self.order.join("\n")
    }

    /// Remembers a service; true when it is new.
    pub(crate) fn see(&mut self, service: &str) -> bool {
        if service.is_empty() || self.order.len() >= REMEMBERED_MAX || self.index.contains_key(service) {
            return false;
        }
        // A line break cannot be kept in the text form; it is still a name like any other on the page.
        self.index.insert(service.to_owned(), self.order.len());
        self.order.push(service.replace('\n', " "));
        true
    }

    /// Slot 1 to 8, or 0 (no colour) for a nameless service.
    pub(crate) fn slot(&self, service: &str) -> u8 {
        match self.index.get(service) {
            Some(index) => (index % SLOTS) as u8 + 1,
            None if service.is_empty() => 0,
            None => {
                (service.bytes().fold(7usize, |hash, byte| hash.wrapping_mul(31) ^ usize::from(byte)) % SLOTS) as u8 + 1
            }
        }
    }

    /// Class names of the slot: `c3`, or `c3 n2` when the slot is used again.
    pub(crate) fn class(&self, service: &str) -> String {
        let slot = self.slot(service);
        let again = self.index.get(service).is_some_and(|index| *index >= SLOTS);
        format!("c{slot}{}", if again { " n2" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_seen_first_coloured() {
        let mut colors = ServiceColors::default();
        for index in 0..10 {
            assert!(colors.see(&format!("svc-{index}")));
        }
        assert!(!colors.see("svc-0"));
        assert_eq!((colors.slot("svc-0"), colors.slot("svc-7")), (1, 8));
        assert_eq!(colors.class("svc-8"), "c1 n2");
        assert_eq!(colors.slot(""), 0);
    }

    /// A reload of the page keeps every colour.
    #[test]
    fn colours_survive_being_stored() {
        let mut colors = ServiceColors::default();
        colors.see("cart");
        colors.see("web shop");
        let again = ServiceColors::from_text(&colors.to_text());
        assert_eq!(again.slot("web shop"), colors.slot("web shop"));
        assert_eq!(again.slot("cart"), 1);
    }

    #[test]
    fn a_flood_of_services_ends_somewhere() {
        let mut colors = ServiceColors::default();
        for index in 0..2_000 {
            colors.see(&index.to_string());
        }
        assert_eq!(colors.order.len(), REMEMBERED_MAX);
        assert!((1..=8).contains(&colors.slot("1999")));
    }
}
