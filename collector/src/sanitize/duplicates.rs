//! Keys that stand twice in one list (V9): the last value wins, in the last one's place.

use hashbrown::HashSet;

use crate::otlp::message::Attributes;

/// Removes all but the last entry of each key. Their numbers are known by now.
#[cold]
pub(super) fn last_wins(list: &mut Attributes<'_>) {
    let mut later = HashSet::with_capacity(list.len());
    let mut keep: Vec<bool> = list.iter().rev().map(|entry| later.insert(entry.key_id)).collect();
    list.retain(|_| keep.pop().unwrap_or(true));
}
