//! Which colour slot a service has.
//!
//! Eight slots, given in first-seen order and kept by the server: a service has one colour in every view and for
//! every reader. The browser remembers them for the first moment. The ninth and later ones use a slot again and get a notched swatch. The name always stands
//! beside the colour, so nobody has to tell slots apart.

use std::collections::HashMap;

use api::ColorsAnswer;

/// Slots of the palette, `--svc-1` to `--svc-8`.
const SLOTS: usize = 8;
/// Services remembered at most; later ones share the slot their name hashes to.
const REMEMBERED_MAX: usize = 512;

/// Services in first-seen order.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServiceColors {
    order: Vec<String>,
    index: HashMap<String, usize>,
    pinned: HashMap<String, u8>,
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

    /// As the server keeps them; services that it does not know yet come behind.
    pub(crate) fn from_answer(answer: &ColorsAnswer, known: &Self) -> Self {
        let mut colors = Self::default();
        for name in answer.services.iter().chain(&known.order) {
            colors.see(name);
        }
        colors.pinned = answer.pinned.iter().map(|(name, slot)| (name.clone(), *slot)).collect();
        colors
    }

    /// True when some service of `other` looks otherwise here.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        other.order.iter().any(|name| self.class(name) != other.class(name))
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
        if let Some(slot) = self.pinned.get(service).filter(|slot| (1..=SLOTS as u8).contains(slot)) {
            return *slot;
        }
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
        let again = !self.pinned.contains_key(service) && self.index.get(service).is_some_and(|index| *index >= SLOTS);
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

    /// Whoever saw services in another order takes the server's, and keeps what only this browser has seen.
    #[test]
    fn the_server_decides() {
        let mut mine = ServiceColors::default();
        for name in ["cart", "new", "order"] {
            mine.see(name);
        }
        let answer = ColorsAnswer {
            services: ["order", "cart"].map(str::to_owned).to_vec(),
            pinned: [("new".to_owned(), 8)].into(),
        };
        let theirs = ServiceColors::from_answer(&answer, &mine);
        assert_eq!(["order", "cart", "new"].map(|name| theirs.slot(name)), [1, 2, 8]);
        assert!(theirs.differs(&mine) && !theirs.differs(&theirs.clone()));
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
