//! Keys that stand twice in one list (V9): the last value wins, in the last one's place.

use hashbrown::HashSet;
use model::Repairs;
use opentelemetry_proto::tonic::common::v1::KeyValue;

/// Lists up to this length are compared pair by pair, which needs no memory.
const PAIRWISE_MAX: usize = 24;

/// Removes all but the last entry of each key.
pub(super) fn last_wins(list: &mut Vec<KeyValue>) -> Repairs {
    let has_duplicates = if list.len() <= PAIRWISE_MAX {
        list.iter().enumerate().any(|(i, entry)| list[i + 1..].iter().any(|later| later.key == entry.key))
    } else {
        let mut keys = HashSet::with_capacity(list.len());
        !list.iter().all(|entry| keys.insert(entry.key.as_str()))
    };
    if !has_duplicates {
        return Repairs::NONE;
    }
    let mut later = HashSet::with_capacity(list.len());
    let mut keep: Vec<bool> = list.iter().rev().map(|entry| later.insert(entry.key.clone())).collect();
    list.retain(|_| keep.pop().unwrap_or(true));
    Repairs::DUPLICATE_KEY
}
