//! What is remembered for each tenant and environment, in one bound for all of them: those who were asked for longest ago are forgotten.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of all owners; one alone may take what its own bound allows.
const BYTES_MAX: usize = 96 << 20;
/// Owners, also of nothing: whoever asks names the environment, and may make names up.
const OWNERS_MAX: usize = 1_000;

/// What is remembered, by owner. Cheap to clone.
#[derive(Debug)]
pub(super) struct Owners<K, T>(Arc<Mutex<All<K, T>>>);

#[derive(Debug)]
struct All<K, T> {
    /// With the turn in which each asked last.
    by_owner: HashMap<K, (u64, Arc<Own<T>>)>,
    turn: u64,
}

/// What is remembered of one owner; whoever reads more waits for whoever reads already.
#[derive(Debug, Default)]
pub(super) struct Own<T> {
    pub(super) kept: tokio::sync::Mutex<T>,
    bytes: AtomicUsize,
}

impl<T> Own<T> {
    /// Says how many bytes it takes from now on.
    pub(super) fn takes(&self, bytes: usize) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl<K, T> Clone for Owners<K, T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, T> Default for Owners<K, T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(All { by_owner: HashMap::new(), turn: 0 })))
    }
}

impl<K: Clone + Eq + Hash, T: Default> Owners<K, T> {
    /// What is remembered of an owner; others make room until all are within the bound.
    pub(super) fn of(&self, owner: K) -> Arc<Own<T>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.turn += 1;
        let turn = all.turn;
        let (asked, own) = all.by_owner.entry(owner).or_default();
        *asked = turn;
        let own = Arc::clone(own);
        let mut bytes: usize = all.by_owner.values().map(|(_, own)| own.bytes()).sum();
        while bytes > BYTES_MAX || all.by_owner.len() > OWNERS_MAX {
            // This one asked last, so it comes last and stays.
            let oldest =
                all.by_owner.iter().filter(|(_, (asked, _))| *asked != turn).min_by_key(|(_, (asked, _))| *asked);
            let Some(oldest) = oldest.map(|(owner, _)| owner.clone()) else { break };
            bytes -= all.by_owner.remove(&oldest).map_or(0, |(_, own)| own.bytes());
        }
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked_longest_ago_is_forgotten() {
        let owners: Owners<&str, u32> = Owners::default();
        for (number, name) in ["a", "b", "c"].into_iter().enumerate() {
            let own = owners.of(name);
            *own.kept.try_lock().expect("nobody else asks") = number as u32 + 1;
            own.takes(BYTES_MAX / 3);
        }
        let kept = |name| *owners.of(name).kept.try_lock().expect("nobody else asks");
        assert_eq!((kept("a"), kept("c")), (1, 3), "they are within the bound");
        owners.of("c").takes(BYTES_MAX / 3 + 2);
        assert_eq!((kept("a"), kept("c"), kept("b")), (1, 3, 0), "b asked longest ago");
        owners.of("a").takes(2 * BYTES_MAX);
        assert_eq!((kept("a"), kept("c")), (1, 0), "one alone may be larger");
    }

    /// Names that nobody has anything of pile up no more than others.
    #[test]
    fn made_up_owners_are_forgotten() {
        let owners: Owners<usize, u32> = Owners::default();
        for number in 0..3 * OWNERS_MAX {
            *owners.of(number).kept.try_lock().expect("nobody else asks") = 1;
            *owners.of(0).kept.try_lock().expect("nobody else asks") = 2;
        }
        let n_known = owners.0.lock().expect("no panic").by_owner.len();
        assert!(n_known <= OWNERS_MAX, "{n_known}");
        assert_eq!(*owners.of(0).kept.try_lock().expect("nobody else asks"), 2, "who asks stays");
    }
}
