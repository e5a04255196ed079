//! Attribute keys as numbers: each distinct key is looked at once, after that a number stands for it.
//!
//! Senders repeat the same keys in the same order. [`Keys`] remembers which key followed which, so that nearly
//! every key is recognized by one comparison, without hashing. The number then tells which promoted column the
//! key has, whether it stood in the list before (V9), and whether its value must not be kept (S16).

use std::hash::BuildHasher as _;
use std::sync::{Arc, OnceLock};

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use model::semconv::{self, On};

use super::message::KeyValue;
use super::promoted::Slot;
use super::short::is_same;
use crate::sanitize::redaction::{Action, Redaction};

/// Number of a key, valid until [`Keys::trim`].
pub(crate) type KeyId = u32;

/// Keys remembered from request to request. More are forgotten when their request is done.
const KEYS_MAX: usize = 4096;
const KEY_BYTES_MAX: usize = 256 << 10;

/// A promoted column and the name by which a sender fills it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promotion {
    pub(crate) slot: Slot,
    pub(crate) name: &'static str,
}

/// The promoted column of a key, by today's name or one it replaces.
fn promotion(on: On, key: &[u8]) -> Option<Promotion> {
    static PROMOTIONS: OnceLock<[HashMap<&'static [u8], Promotion>; 2]> = OnceLock::new();
    let promotions = PROMOTIONS.get_or_init(|| [On::Resource, On::Item].map(promotions_by_key));
    promotions.get(on as usize)?.get(key).copied()
}

fn promotions_by_key(on: On) -> HashMap<&'static [u8], Promotion> {
    let named = semconv::promoted(on).enumerate().flat_map(|(index, convention)| {
        let slot = Slot { index, value: convention.value };
        let names = convention.replaces.iter().chain([&convention.key]);
        names.map(move |name| (name.as_bytes(), Promotion { slot, name }))
    });
    named.collect()
}

/// What is known of a key.
#[derive(Debug)]
struct Key {
    /// Where its text ends in [`Keys::texts`]; it begins where the one before it ends.
    text_end: usize,
    /// Its columns on resources and items.
    promotions: [Option<Promotion>; 2],
    /// What becomes of its values.
    action: Option<Action>,
    /// The key that followed it last.
    next: KeyId,
    /// The list in which it stood last.
    list: u64,
}

/// Every key seen lately.
#[derive(Debug)]
pub(crate) struct Keys {
    keys: Vec<Key>,
    texts: Vec<u8>,
    by_text: HashTable<KeyId>,
    hasher: DefaultHashBuilder,
    /// The key with which the last list began.
    first: KeyId,
    /// Number of the list at hand.
    list: u64,
    redaction: Arc<Redaction>,
}

/// What was noticed while a list was numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numbered {
    /// One of the keys stands in it twice.
    pub(crate) has_duplicates: bool,
    /// The value of one of the keys must not be kept.
    pub(crate) has_redacted: bool,
}

impl Default for Keys {
    fn default() -> Self {
        Self::new(Arc::clone(Redaction::standard()))
    }
}

impl Keys {
    fn new(redaction: Arc<Redaction>) -> Self {
        Self {
            redaction,
            keys: Vec::new(),
            texts: Vec::new(),
            by_text: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            first: 0,
            list: 0,
        }
    }

    /// From now on these rules say what must not be kept. Numbers given under others are void.
    pub(crate) fn redact_by(&mut self, redaction: &Arc<Redaction>) {
        if !Arc::ptr_eq(&self.redaction, redaction) {
            *self = Self::new(Arc::clone(redaction));
        }
    }

    /// The rules that say what must not be kept.
    pub(crate) fn redaction(&self) -> &Redaction {
        &self.redaction
    }

    /// What becomes of the values of a key.
    pub(crate) fn action(&self, id: KeyId) -> Option<Action> {
        self.keys.get(id as usize).and_then(|key| key.action)
    }

    /// What becomes of the values of a key that has no number, such as one in a nested map. It is remembered like all others as long
    /// as there is room.
    pub(crate) fn action_of(&mut self, text: &[u8]) -> Option<Action> {
        let hash = self.hasher.hash_one(text);
        let Self { keys, texts, by_text, redaction, .. } = self;
        if let Some(id) = by_text.find(hash, |id| text_at(keys, texts, *id) == Some(text)) {
            return keys.get(*id as usize).and_then(|key| key.action);
        }
        if keys.len() >= KEYS_MAX || texts.len() + text.len() > KEY_BYTES_MAX {
            return redaction.of_key(text);
        }
        let id = self.find(text);
        self.action(id)
    }

    /// Numbers the keys of a list.
    pub(crate) fn number(&mut self, list: &mut [KeyValue<'_>]) -> Numbered {
        self.list += 1;
        let (mut has_duplicates, mut has_redacted) = (false, false);
        let mut before: Option<KeyId> = None;
        for entry in list {
            let expected = before.and_then(|id| self.keys.get(id as usize)).map_or(self.first, |key| key.next);
            let id = if self.text(expected).is_some_and(|text| is_same(text, entry.key)) {
                expected
            } else {
                let id = self.find(entry.key);
                match before.and_then(|id| self.keys.get_mut(id as usize)) {
                    Some(key) => key.next = id,
                    None => self.first = id,
                }
                id
            };
            if let Some(key) = self.keys.get_mut(id as usize) {
                has_duplicates |= key.list == self.list;
                has_redacted |= key.action.is_some();
                key.list = self.list;
            }
            entry.key_id = id;
            before = Some(id);
        }
        Numbered { has_duplicates, has_redacted }
    }

    /// The column that this key fills, if any.
    pub(crate) fn promotion(&self, on: On, id: KeyId) -> Option<Promotion> {
        self.keys.get(id as usize).and_then(|key| key.promotions[on as usize])
    }

    /// Forgets keys when there are very many. Numbers given before are void then.
    pub(crate) fn trim(&mut self) {
        if self.keys.len() > KEYS_MAX || self.texts.len() > KEY_BYTES_MAX {
            *self = Self::new(Arc::clone(&self.redaction));
        }
    }

    fn text(&self, id: KeyId) -> Option<&[u8]> {
        text_at(&self.keys, &self.texts, id)
    }

    fn find(&mut self, text: &[u8]) -> KeyId {
        let Self { keys, texts, by_text, hasher, redaction, .. } = self;
        let hash = hasher.hash_one(text);
        if let Some(id) = by_text.find(hash, |id| text_at(keys, texts, *id) == Some(text)) {
            return *id;
        }
        let id = keys.len() as KeyId;
        texts.extend_from_slice(text);
        keys.push(Key {
            text_end: texts.len(),
            promotions: [promotion(On::Resource, text), promotion(On::Item, text)],
            action: redaction.of_key(text),
            next: 0,
            list: 0,
        });
        by_text.insert_unique(hash, id, |id| hasher.hash_one(text_at(keys, texts, *id).unwrap_or_default()));
        id
    }
}

fn text_at<'a>(keys: &[Key], texts: &'a [u8], id: KeyId) -> Option<&'a [u8]> {
    let id = id as usize;
    let end = keys.get(id)?.text_end;
    let start = id.checked_sub(1).and_then(|before| keys.get(before)).map_or(0, |key| key.text_end);
    texts.get(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(keys: &mut Keys, list: &[&'static str]) -> (Vec<KeyId>, bool) {
        let mut list: Vec<_> = list.iter().map(|key| KeyValue { key: key.as_bytes(), ..KeyValue::default() }).collect();
        let has_duplicates = keys.number(&mut list).has_duplicates;
        (list.iter().map(|entry| entry.key_id).collect(), has_duplicates)
    }

    /// A key has one number in any order and after any other key; a second one in the same list is seen.
    #[test]
    fn a_key_has_one_number() {
        let mut keys = Keys::default();
        assert_eq!(number(&mut keys, &["a", "b", "c"]), (vec![0, 1, 2], false));
        assert_eq!(number(&mut keys, &["a", "b", "c"]), (vec![0, 1, 2], false));
        assert_eq!(number(&mut keys, &["c", "a", "", "b"]), (vec![2, 0, 3, 1], false));
        assert_eq!(number(&mut keys, &["b", "c", "b"]), (vec![1, 2, 1], true));
        assert_eq!(number(&mut keys, &["b", "c"]), (vec![1, 2], false));
    }

    /// Nested keys are remembered without disturbing the order of lists, and not without end.
    #[test]
    fn nested_keys_are_remembered_while_there_is_room() {
        let mut keys = Keys::default();
        assert_eq!(number(&mut keys, &["a", "b"]), (vec![0, 1], false));
        assert_eq!(keys.action_of(b"user.password"), Some(Action::Mask));
        assert_eq!((keys.action_of(b"user.password"), keys.action_of(b"b")), (Some(Action::Mask), None));
        assert_eq!(number(&mut keys, &["a", "b", "user.password"]), (vec![0, 1, 2], false));
        for n in 0..2 * KEYS_MAX {
            assert_eq!(keys.action_of(format!("token.{n}.secret").as_bytes()), Some(Action::Mask));
        }
        assert_eq!(keys.keys.len(), KEYS_MAX);
    }

    #[test]
    fn old_and_new_names_share_a_slot() {
        let index = |key: &str| promotion(On::Item, key.as_bytes()).map(|promotion| promotion.slot.index);
        assert_eq!(index("http.method"), index("http.request.method"));
        assert!(index("http.method").is_some() && index("order.id").is_none());
        let on = |on| promotion(on, b"service.version").is_some();
        assert!(!on(On::Item) && on(On::Resource));
    }
}
