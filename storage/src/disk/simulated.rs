//! A disk in memory that forgets as real ones do; for tests.
//!
//! It is stricter than the file systems we know:
//!
//! | at a crash                                   | what is left                                                      |
//! |----------------------------------------------|-------------------------------------------------------------------|
//! | bytes that were synced                       | all of them                                                       |
//! | bytes that were not                          | sector by sector (512 bytes) there or not, in any order           |
//! | names that were synced with their directory  | as they were                                                      |
//! | names that were not (made, linked, renamed, removed) | each step there or not, whatever came later               |
//!
//! A failed sync is final: what it should have written is lost at the next crash, although later syncs report
//! success and readers see the bytes until then.
//!
//! A crash happens at a chosen number of changing calls. From then on every call of this process fails; the next
//! process begins with [`SimulatedDisk::restart`]. Same seed, same calls: same outcome.

mod world;

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use url::Url;

use super::{Disk, DiskFile, Entry, Hold, Metadata, ReadAt};
use world::{Change, Inode, Interlude, Node, Refusal, World};

/// What goes wrong besides the crash; each a probability per call.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Faults {
    /// A write fails after a part of it.
    pub write: f64,
    /// A sync of a file or directory fails.
    pub sync: f64,
    /// A read fails.
    pub read: f64,
    /// A sync takes this long.
    pub sync_delay: Duration,
    /// Bytes that fit; 0: no end.
    pub capacity: u64,
    /// What is free is not what fits, as with a quota: nobody knows before a write fails.
    pub is_quota: bool,
}

/// Calls that can be chosen to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Open,
    List,
    Create,
    SyncDir,
}

/// When something else comes in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Before a sync of a directory.
    BeforeSync,
    /// After one that has succeeded, before its caller hears of it.
    AfterSync,
}

/// One process's view of the disk.
#[derive(Clone, Debug)]
pub(crate) struct SimulatedDisk {
    world: Arc<Mutex<World>>,
    /// Which process this is; older ones are dead.
    process: u64,
}

impl SimulatedDisk {
    /// An empty disk with a root directory.
    pub(crate) fn new(seed: u64) -> Self {
        let root = BTreeMap::from([(PathBuf::from("/"), Node::Dir)]);
        let world = World {
            rng: StdRng::seed_from_u64(seed),
            process: 1,
            n_calls: 0,
            crash_at: None,
            is_crashed: false,
            is_paused: false,
            faults: Faults::default(),
            refusals: Vec::new(),
            interludes: Vec::new(),
            lock: None,
            inodes: BTreeMap::new(),
            next_inode: 1,
            names: root.clone(),
            durable_names: root,
            pending: Vec::new(),
            trace: Vec::new(),
        };
        Self { world: Arc::new(Mutex::new(world)), process: 1 }
    }

    /// The next process: after a crash with what the crash left, after an orderly end with everything.
    pub(crate) fn restart(&self) -> Self {
        let mut world = self.world();
        if world.is_crashed {
            world.lose_what_was_not_synced();
        }
        world.process += 1;
        world.n_calls = 0;
        world.crash_at = None;
        world.is_crashed = false;
        world.is_paused = false;
        world.lock = None;
        world.faults = Faults::default();
        world.refusals.clear();
        world.interludes.clear();
        let process = world.process;
        world.note(format!("---- process {process}"));
        drop(world);
        Self { world: Arc::clone(&self.world), process }
    }

    /// Crashes after so many changing calls from now on.
    pub(crate) fn crash_after(&self, n_calls: u64) {
        let mut world = self.world();
        world.crash_at = Some(world.n_calls + n_calls);
    }

    /// Crashes now.
    pub(crate) fn crash(&self) {
        let mut world = self.world();
        world.is_crashed = true;
        world.note("crash".to_owned());
    }

    /// Calls count towards the crash, or not.
    pub(crate) fn pause(&self, is_paused: bool) {
        self.world().is_paused = is_paused;
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.world().faults = faults;
    }

    /// Calls fail of which `is_refused` says so, until the next restart.
    pub(crate) fn refuse(&self, is_refused: impl FnMut(Call, &Path) -> bool + Send + 'static) {
        self.world().refusals.push(Refusal(Box::new(is_refused)));
    }

    /// The next `times` readings of files fail whose path holds `part`.
    pub(crate) fn refuse_reads(&self, part: &str, times: u32) {
        self.refuse_calls(Call::Open, part, times);
    }

    /// The next `times` calls of a kind fail whose path holds `part`.
    pub(crate) fn refuse_calls(&self, refused: Call, part: &str, times: u32) {
        let (part, mut left) = (part.to_owned(), times);
        self.refuse(move |call, path| {
            let is_refused = call == refused && left > 0 && path.to_string_lossy().contains(&part);
            left -= u32::from(is_refused);
            is_refused
        });
    }

    /// Runs `act` once, in the middle of the next call with a sync of a directory whose path holds `part`.
    pub(crate) fn interleave(&self, moment: Moment, part: &str, act: impl FnOnce() + Send + 'static) {
        self.world().interludes.push(Interlude { moment, part: part.to_owned(), act: Box::new(act) });
    }

    fn interlude(&self, moment: Moment, dir: &Path) {
        let mut world = self.world();
        let is_next = |next: &Interlude| next.moment == moment && dir.to_string_lossy().contains(&next.part);
        let Some(at) = world.interludes.iter().position(is_next) else { return };
        let interlude = world.interludes.remove(at);
        // It makes calls of its own.
        drop(world);
        (interlude.act)();
    }

    pub(crate) fn is_crashed(&self) -> bool {
        self.world().is_crashed
    }

    /// The last calls, for people.
    pub(crate) fn trace(&self) -> String {
        self.world().trace.join("\n")
    }

    /// All files with their content as readers see it.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let world = self.world();
        let files = world.names.iter().filter_map(|(path, node)| match node {
            Node::File(inode) => Some((path.clone(), world.inodes.get(inode)?.live.clone())),
            Node::Dir => None,
        });
        files.collect()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The world, for a call that changes nothing.
    fn reading(&self) -> io::Result<MutexGuard<'_, World>> {
        let world = self.world();
        if world.is_crashed || world.process != self.process {
            return Err(io::Error::other("the machine is off"));
        }
        Ok(world)
    }

    /// The world, for a call that changes something; this may be the moment of the crash.
    fn changing(&self, what: impl FnOnce() -> String) -> io::Result<MutexGuard<'_, World>> {
        let mut world = self.reading()?;
        if !world.is_paused {
            world.n_calls += 1;
            if world.crash_at.is_some_and(|at| world.n_calls > at) {
                world.is_crashed = true;
                let n_calls = world.n_calls;
                world.note(format!("crash at call {n_calls}, before {}", what()));
                return Err(io::Error::other("the machine goes off"));
            }
        }
        let what = what();
        world.note(what);
        Ok(world)
    }
}

impl Disk for SimulatedDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut world = self.changing(|| format!("create {}", path.display()))?;
        world.parent_exists(path)?;
        if world.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let write = world.faults.write;
        if world.fails(write) || world.refuses(Call::Create, path) {
            return Err(io::Error::other("injected: create"));
        }
        let inode = world.next_inode;
        world.next_inode += 1;
        world.inodes.insert(inode, Inode { modified: inode, ..Inode::default() });
        world.change(Change::Set(path.to_owned(), Node::File(inode)));
        Ok(Box::new(SimulatedFile { disk: self.clone(), inode, path: path.to_owned() }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadAt>> {
        let mut world = self.reading()?;
        let read = world.faults.read;
        if world.fails(read) || world.refuses(Call::Open, path) {
            return Err(io::Error::other("injected: open"));
        }
        match world.names.get(path) {
            Some(Node::File(inode)) => {
                let bytes = world.inodes.get(inode).map(|inode| inode.live.clone()).unwrap_or_default();
                Ok(Box::new(SimulatedRead { disk: self.clone(), bytes }))
            }
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let world = self.reading()?;
        let node = world.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(world.metadata(*node))
    }

    fn list_some(&self, dir: &Path, is_wanted: &dyn Fn(&str) -> bool) -> io::Result<Vec<Entry>> {
        let mut world = self.reading()?;
        if world.refuses(Call::List, dir) {
            return Err(io::Error::other("injected: list"));
        }
        match world.names.get(dir) {
            Some(Node::Dir) => {}
            Some(Node::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        let inside = world.names.range(dir.to_owned()..).take_while(|(path, _)| path.starts_with(dir));
        let entries = inside.filter(|(path, _)| path.parent() == Some(dir)).map(|(path, node)| Entry {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            metadata: world.metadata(*node),
        });
        Ok(entries.filter(|entry| is_wanted(&entry.name)).collect())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut world = self.changing(|| format!("mkdir {}", dir.display()))?;
        world.parent_exists(dir)?;
        if world.names.contains_key(dir) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        world.change(Change::Set(dir.to_owned(), Node::Dir));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.changing(|| format!("rename {} {}", from.display(), to.display()))?;
        world.parent_exists(to)?;
        let node = *world.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        world.change(Change::Rename(from.to_owned(), to.to_owned(), node));
        world.collect();
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.changing(|| format!("link {} {}", from.display(), to.display()))?;
        world.parent_exists(to)?;
        let node = *world.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        if world.names.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        world.change(Change::Set(to.to_owned(), node));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.changing(|| format!("remove {}", path.display()))?;
        match world.names.get(path) {
            Some(Node::File(_)) => {}
            Some(Node::Dir) => return Err(io::ErrorKind::IsADirectory.into()),
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        world.change(Change::Remove(path.to_owned()));
        world.collect();
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.interlude(Moment::BeforeSync, dir);
        let mut world = self.changing(|| format!("sync {}/", dir.display()))?;
        if world.names.get(dir) != Some(&Node::Dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let sync = world.faults.sync;
        if world.fails(sync) || world.refuses(Call::SyncDir, dir) {
            return Err(io::Error::other("injected: sync of a directory"));
        }
        let (durable, pending) = std::mem::take(&mut world.pending).into_iter().partition(|change| change.touches(dir));
        world.pending = pending;
        let durable: Vec<Change> = durable;
        for change in durable {
            change.apply(&mut world.durable_names);
        }
        drop(world);
        self.interlude(Moment::AfterSync, dir);
        Ok(())
    }

    fn free_bytes(&self, _: &Path) -> Option<u64> {
        let world = self.reading().ok()?;
        let Faults { capacity, is_quota, .. } = world.faults;
        Some(if capacity == 0 || is_quota { 1 << 40 } else { capacity.saturating_sub(world.used()) })
    }

    fn resolve(&self, dir: &Path) -> io::Result<PathBuf> {
        Ok(dir.to_owned())
    }

    fn url(&self, dir: &Path) -> io::Result<Url> {
        // Not `file`: Delta's reader would look for it on the real disk.
        Url::parse(&format!("memory://{}/", dir.display())).map_err(io::Error::other)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Hold>>> {
        if self.metadata(path).is_err() {
            let mut world = self.changing(|| format!("create {}", path.display()))?;
            world.parent_exists(path)?;
            let inode = world.next_inode;
            world.next_inode += 1;
            world.inodes.insert(inode, Inode::default());
            world.change(Change::Set(path.to_owned(), Node::File(inode)));
        }
        let mut world = self.reading()?;
        if world.lock.is_some() {
            return Ok(None);
        }
        world.lock = Some(self.process);
        Ok(Some(Box::new(SimulatedLock { disk: self.clone() })))
    }
}

impl World {
    fn metadata(&self, node: Node) -> Metadata {
        match node {
            Node::Dir => Metadata { is_dir: true, bytes: 0, modified: UNIX_EPOCH },
            Node::File(inode) => {
                let inode = self.inodes.get(&inode);
                let modified: SystemTime = UNIX_EPOCH + Duration::from_secs(inode.map_or(0, |inode| inode.modified));
                Metadata { is_dir: false, bytes: inode.map_or(0, |inode| inode.live.len() as u64), modified }
            }
        }
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    inode: u64,
    path: PathBuf,
}

impl DiskFile for SimulatedFile {
    fn append(&mut self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let what = || format!("append {} bytes to {}", bytes.len(), self.path.display());
        let mut world = match self.disk.changing(what) {
            Ok(world) => world,
            Err(error) => {
                // The crash comes in the middle of the write.
                let mut world = self.disk.world();
                if world.process == self.disk.process && world.is_crashed {
                    let n = world.rng.random_range(0..=bytes.len());
                    if let Some(inode) = world.inodes.get_mut(&self.inode) {
                        inode.live.extend_from_slice(&bytes[..n]);
                    }
                }
                return Err(error);
            }
        };
        let (write, capacity) = (world.faults.write, world.faults.capacity);
        let used = if capacity > 0 { world.used() } else { 0 };
        let room = if capacity > 0 { capacity.saturating_sub(used) } else { u64::MAX };
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let (n, result) = if world.fails(write) {
            (world.rng.random_range(0..=bytes.len()), Err(io::Error::other("injected: write")))
        } else if bytes.len() > room {
            (room, Err(io::ErrorKind::StorageFull.into()))
        } else {
            (bytes.len(), Ok(()))
        };
        if let Some(inode) = world.inodes.get_mut(&self.inode) {
            inode.live.extend_from_slice(&bytes[..n]);
        }
        result
    }

    fn sync(&mut self) -> io::Result<()> {
        let delay = self.disk.world().faults.sync_delay;
        if !delay.is_zero() {
            std::thread::sleep(delay);
        }
        let mut world = self.disk.changing(|| format!("sync {}", self.path.display()))?;
        let sync = world.faults.sync;
        let has_failed = world.fails(sync);
        let Some(inode) = world.inodes.get_mut(&self.inode) else { return Ok(()) };
        if has_failed {
            inode.is_poisoned = true;
            return Err(io::Error::other("injected: sync"));
        }
        if !inode.is_poisoned {
            inode.synced = inode.live.clone();
        }
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut world = self.disk.changing(|| format!("truncate {} to {length}", self.path.display()))?;
        if let Some(inode) = world.inodes.get_mut(&self.inode) {
            inode.live.truncate(usize::try_from(length).map_err(io::Error::other)?);
        }
        Ok(())
    }
}

#[derive(Debug)]
struct SimulatedRead {
    disk: SimulatedDisk,
    bytes: Vec<u8>,
}

impl ReadAt for SimulatedRead {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let mut world = self.disk.reading()?;
        let read = world.faults.read;
        if world.fails(read) {
            return Err(io::Error::other("injected: read"));
        }
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let found = self.bytes.get(start..).and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

#[derive(Debug)]
struct SimulatedLock {
    disk: SimulatedDisk,
}

impl Hold for SimulatedLock {}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        let mut world = self.disk.world();
        if world.lock == Some(self.disk.process) {
            world.lock = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Placing, create_dir_durably, read, write_durably};

    /// What the doubles promise: synced bytes and names stay, whatever the seed; others come and go.
    #[test]
    fn a_crash_keeps_what_was_synced() {
        let (mut n_torn, mut n_lost) = (0, 0);
        for seed in 0..200 {
            let disk = SimulatedDisk::new(seed);
            create_dir_durably(&disk, Path::new("/data/a")).expect("room");
            write_durably(&disk, Path::new("/data/a/whole"), &[&[7; 3000]], Placing::Create).expect("room");
            let mut file = disk.create(Path::new("/data/a/growing")).expect("room");
            file.append(&mut [IoSlice::new(&[1; 1000])]).expect("room");
            file.sync().expect("works");
            disk.sync_dir(Path::new("/data/a")).expect("works");
            file.append(&mut [IoSlice::new(&[2; 3000])]).expect("room");
            drop(disk.create(Path::new("/data/a/unsynced")).expect("room"));
            disk.crash();
            file.sync().expect_err("the machine is off");
            let disk = disk.restart();
            assert_eq!(read(&disk, Path::new("/data/a/whole")).expect("kept"), [7; 3000]);
            let growing = read(&disk, Path::new("/data/a/growing")).expect("kept");
            assert_eq!(growing[..1000], [1; 1000]);
            n_torn += u32::from(growing.contains(&0));
            n_lost += u32::from(disk.metadata(Path::new("/data/a/unsynced")).is_err());
        }
        assert!((20..180).contains(&n_torn) && (20..180).contains(&n_lost), "{n_torn} torn, {n_lost} lost");
    }
}
