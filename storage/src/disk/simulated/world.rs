//! What is on the simulated disk, what of it is durable, and what a crash leaves.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use rand::Rng;
use rand::rngs::StdRng;

use super::{Call, Faults, Moment};

/// What a disk writes at once.
const SECTOR: usize = 512;
/// Calls that are remembered for people.
const TRACE_MAX: usize = 400;

#[derive(Debug)]
pub(super) struct World {
    pub(super) rng: StdRng,
    pub(super) process: u64,
    /// Changing calls so far in this process.
    pub(super) n_calls: u64,
    pub(super) crash_at: Option<u64>,
    pub(super) is_crashed: bool,
    pub(super) is_paused: bool,
    pub(super) faults: Faults,
    /// Calls that are chosen to fail.
    pub(super) refusals: Vec<Refusal>,
    /// What is to come in between.
    pub(super) interludes: Vec<Interlude>,
    pub(super) lock: Option<u64>,
    pub(super) inodes: BTreeMap<u64, Inode>,
    pub(super) next_inode: u64,
    pub(super) names: BTreeMap<PathBuf, Node>,
    pub(super) durable_names: BTreeMap<PathBuf, Node>,
    /// Changes of names that no sync has made durable, oldest first.
    pub(super) pending: Vec<Change>,
    pub(super) trace: Vec<String>,
}

/// Whether a call fails.
type IsRefused = dyn FnMut(Call, &Path) -> bool + Send;

/// Says of a call whether it fails.
pub(super) struct Refusal(pub(super) Box<IsRefused>);

impl std::fmt::Debug for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Refusal")
    }
}

/// Something that happens in the middle of a call.
pub(super) struct Interlude {
    pub(super) moment: Moment,
    /// Part of the path that the call is about.
    pub(super) part: String,
    pub(super) act: Box<dyn FnOnce() + Send>,
}

impl std::fmt::Debug for Interlude {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Interlude({:?} {})", self.moment, self.part)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Node {
    Dir,
    File(u64),
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Set(PathBuf, Node),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf, Node),
}

impl Change {
    pub(super) fn touches(&self, dir: &Path) -> bool {
        match self {
            Self::Set(path, _) | Self::Remove(path) => path.parent() == Some(dir),
            Self::Rename(from, to, _) => from.parent() == Some(dir) || to.parent() == Some(dir),
        }
    }

    pub(super) fn apply(self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Self::Set(path, node) => drop(names.insert(path, node)),
            Self::Remove(path) => drop(names.remove(&path)),
            Self::Rename(from, to, node) => {
                names.remove(&from);
                names.insert(to, node);
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    /// What readers see.
    pub(super) live: Vec<u8>,
    /// What a crash keeps for sure.
    pub(super) synced: Vec<u8>,
    /// A sync failed: syncs do nothing any more, though they say they do.
    pub(super) is_poisoned: bool,
    pub(super) modified: u64,
}

impl World {
    /// True when this call was chosen to fail.
    pub(super) fn refuses(&mut self, call: Call, path: &Path) -> bool {
        self.refusals.iter_mut().any(|refusal| (refusal.0)(call, path))
    }

    pub(super) fn note(&mut self, line: String) {
        if self.trace.len() >= TRACE_MAX {
            self.trace.drain(..TRACE_MAX / 4);
        }
        self.trace.push(line);
    }

    pub(super) fn fails(&mut self, probability: f64) -> bool {
        probability > 0.0 && !self.is_paused && self.rng.random_bool(probability)
    }

    pub(super) fn change(&mut self, change: Change) {
        change.clone().apply(&mut self.names);
        self.pending.push(change);
    }

    pub(super) fn parent_exists(&self, path: &Path) -> io::Result<()> {
        match path.parent().and_then(|parent| self.names.get(parent)) {
            Some(Node::Dir) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn used(&self) -> u64 {
        self.inodes.values().map(|inode| inode.live.len() as u64).sum()
    }

    /// Forgets files without a name.
    pub(super) fn collect(&mut self) {
        let named: Vec<u64> = self
            .names
            .values()
            .chain(self.durable_names.values())
            .chain(self.pending.iter().filter_map(|change| match change {
                Change::Set(_, node) | Change::Rename(_, _, node) => Some(node),
                Change::Remove(_) => None,
            }))
            .filter_map(|node| if let Node::File(inode) = node { Some(*inode) } else { None })
            .collect();
        self.inodes.retain(|inode, _| named.contains(inode));
    }

    pub(super) fn lose_what_was_not_synced(&mut self) {
        // Some crashes keep everything, some nothing, most a part.
        let keep = [0.0, 1.0, 0.5, 0.9][self.rng.random_range(0..4)];
        for change in std::mem::take(&mut self.pending) {
            if self.rng.random_bool(keep) {
                change.apply(&mut self.durable_names);
            }
        }
        // What lies in a directory that is lost, is lost.
        let names = std::mem::take(&mut self.durable_names);
        for (path, node) in names {
            let is_rooted = path.parent().is_none_or(|parent| self.durable_names.get(parent) == Some(&Node::Dir));
            if is_rooted {
                self.durable_names.insert(path, node);
            }
        }
        self.names = self.durable_names.clone();
        self.collect();
        let keep = [0.0, 1.0, 0.5, 0.9][self.rng.random_range(0..4)];
        let rng = &mut self.rng;
        for inode in self.inodes.values_mut().filter(|inode| inode.live != inode.synced || inode.is_poisoned) {
            let (short, long) = (inode.live.len().min(inode.synced.len()), inode.live.len().max(inode.synced.len()));
            let length = match rng.random_range(0..3) {
                0 => inode.synced.len(),
                1 => inode.live.len(),
                _ => rng.random_range(short..=long),
            };
            let mut left = vec![0; length];
            for start in (0..length).step_by(SECTOR) {
                let end = (start + SECTOR).min(length);
                let is_new = rng.random_bool(keep);
                for (at, byte) in (start..end).zip(&mut left[start..end]) {
                    let old = inode.synced.get(at).copied();
                    let new = inode.live.get(at).copied();
                    *byte = if is_new { new.or(old) } else { old }.unwrap_or_default();
                }
            }
            // Appending and cutting never change bytes that were synced and not cut.
            left[..short.min(length)].copy_from_slice(&inode.synced[..short.min(length)]);
            *inode = Inode { live: left.clone(), synced: left, is_poisoned: false, modified: inode.modified };
        }
    }
}
