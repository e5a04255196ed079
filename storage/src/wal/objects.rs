//! WAL files as objects of a bucket: one PUT per group commit, one writer per prefix.
//!
//! An object is made whole with "create, never replace", and its name is the one after the newest:
//!
//! ```text
//! _wal/00000000000000065536.wal   opening of the first process      (names are multiples of 65,536: the sequences of an
//! _wal/00000000000000131072.wal   a group commit                     object never reach the next name)
//! _wal/00000000000000196608.wal   a group commit
//! _wal/00000000000000262144.wal   opening of the second process
//! ```
//!
//! **Why nobody else can write (D9).** A process begins by creating an *opening*, an object without rows, at the name
//! after the newest one. Its predecessor, paused or cut off, would use exactly this name for its next group, because it
//! never leaves a name out and has one PUT under way at a time. So either its group came first (then the newcomer sees
//! it in its next listing, and replays it), or the opening did: then its PUT is refused, it was not acknowledged, and it
//! knows that it was taken over. For this the newest object is never removed, and neither are the newest
//! [`OPENINGS_KEPT`] openings: a process would have to sleep through as many starts of others to find its name free.
//!
//! **Why nothing acknowledged is lost (D2).** Answered is only who is in an object whose PUT the store confirmed. Objects
//! go only after the commit that covers them. There are no gaps to reason about: one PUT at a time.
//!
//! **When an answer is lost**, the PUT is tried again with the same bytes. If the store then says "exists", the object is
//! read: our salt means that it was stored. When the patience ends first, the senders are told to try again, and the
//! object may still appear: before the name is used again it is looked at, and a leftover of ours is overwritten by an
//! empty one, so that rows whose senders were refused do not come back (unless we crash before that: then they do, as
//! after any lost answer).

use std::collections::{BTreeSet, HashMap};
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use tokio::runtime::Handle;

use super::payload::Encoded;
use super::record::{FILE_HEAD_BYTES, FileHeader, VERSION};
use super::store::{WalEntry, WalSink, WalStore};
use crate::bucket::Ownership;
use crate::disk::ReadAt;
use crate::paths;

/// Between two names.
const STRIDE: u64 = 1 << 16;
/// Openings of this and former processes that stay.
const OPENINGS_KEPT: usize = 64;
/// A group's PUT is given up after this time, plus [`PER_MIB`] of its size: two of them and a queue fit into the time
/// that an append may take. In tests a busy machine must not look like a slow store.
const PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 6000 } else { 1500 });
/// More patience for larger groups.
const PER_MIB: Duration = Duration::from_millis(40);
/// A look at an object's head is given up after this time.
const LOOK_PATIENCE: Duration = Duration::from_millis(400);
/// Pause after a first failed attempt; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(300);
/// Time to create the opening, and times to find its name taken by a predecessor that is still writing.
const TAKE_PATIENCE: Duration = Duration::from_secs(10);
const TAKE_ATTEMPTS: usize = 50;
/// Replay reads ahead: objects, and bytes in memory.
const AHEAD_OBJECTS: usize = 16;
const AHEAD_BYTES: u64 = 32 << 20;

/// The WAL of a prefix that this process has taken.
#[derive(Debug)]
pub(crate) struct ObjectWal {
    shared: Arc<Shared>,
    runtime: Handle,
}

/// What the PUT under way needs.
#[derive(Debug)]
struct Shared {
    /// Tries once.
    puts: Arc<dyn ObjectStore>,
    /// Tries often.
    store: Arc<dyn ObjectStore>,
    ownership: Arc<Ownership>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Name of the newest object.
    newest: u64,
    /// Salts of PUTs at the name after it whose end is not known.
    unresolved: Vec<u64>,
    /// First objects of processes.
    openings: BTreeSet<u64>,
    /// What the last listing found.
    entries: Vec<WalEntry>,
    /// Objects that are being read before they are asked for.
    ahead: HashMap<u64, (u64, Receiver<io::Result<Bytes>>)>,
    /// Objects whose rows are all in segments.
    covered: BTreeSet<u64>,
}

/// How a PUT ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placed {
    /// The object is there, with our bytes.
    Stored,
    /// There is an earlier object of ours.
    Leftover,
    /// There is an object of somebody else.
    Foreign,
}

impl ObjectWal {
    /// Refuses a WAL of a newer release, by its newest object. Touches nothing.
    ///
    /// # Errors
    /// What the store or the object said.
    pub(crate) async fn check_version(store: &Arc<dyn ObjectStore>, dir: &Path) -> io::Result<()> {
        let Some(newest) = list(store, dir).await?.last().copied() else { return Ok(()) };
        match head(store, &path(newest.first_sequence)).await? {
            Some(head) if head.version > VERSION => Err(io::Error::other(format!(
                "its WAL has version {}, this release knows up to {VERSION}; run the newer release that wrote it",
                head.version
            ))),
            _ => Ok(()),
        }
    }

    /// For someone who only looks: lists and reads objects. What would write is refused, as `ownership` was never there.
    pub(crate) fn look(store: Arc<dyn ObjectStore>, runtime: Handle, ownership: Arc<Ownership>) -> Self {
        let shared = Shared { puts: Arc::clone(&store), store, ownership, state: Mutex::default() };
        Self { shared: Arc::new(shared), runtime }
    }

    /// Takes the WAL: from here on no other process can add to it.
    ///
    /// # Errors
    /// What the store said.
    pub(crate) async fn take(
        puts: Arc<dyn ObjectStore>,
        store: Arc<dyn ObjectStore>,
        runtime: Handle,
        ownership: Arc<Ownership>,
    ) -> io::Result<Self> {
        let dir = Path::from(paths::WAL_DIR);
        let shared = Shared { puts, store, ownership, state: Mutex::default() };
        let salt = new_salt();
        let deadline = Instant::now() + TAKE_PATIENCE;
        for _ in 0..TAKE_ATTEMPTS {
            let newest = list(&shared.store, &dir).await?.last().map_or(0, |entry| entry.first_sequence);
            let next = newest / STRIDE * STRIDE + STRIDE;
            // An answer that was lost may have left an opening of ours behind; it is a good one.
            let placed = shared.place(next, &opening(next, salt).into(), salt, &[], deadline).await?;
            if placed == Placed::Stored {
                shared.ownership.set_opening(next);
                {
                    let mut state = shared.state();
                    state.newest = next;
                    state.openings.insert(next);
                }
                return Ok(Self { shared: Arc::new(shared), runtime });
            }
        }
        Err(io::Error::other("another process keeps writing to it; stop that one first"))
    }

    /// Runs work on the network's runtime and waits for it. The caller's thread may be inside another runtime, but must
    /// not be one of this runtime's.
    fn wait<T: Send + 'static>(&self, work: impl Future<Output = io::Result<T>> + Send + 'static) -> io::Result<T> {
        receive(&self.begin(work))
    }

    fn begin<T: Send + 'static>(
        &self,
        work: impl Future<Output = io::Result<T>> + Send + 'static,
    ) -> Receiver<io::Result<T>> {
        let (tell, told) = sync_channel(1);
        drop(self.runtime.spawn(async move {
            let _ = tell.try_send(work.await);
        }));
        told
    }

    fn begin_read(&self, first_sequence: u64) -> Receiver<io::Result<Bytes>> {
        let store = Arc::clone(&self.shared.store);
        self.begin(async move {
            let object = store.get(&path(first_sequence)).await.map_err(to_io)?;
            object.bytes().await.map_err(to_io)
        })
    }
}

/// The answer of work on the runtime.
fn receive<T>(told: &Receiver<io::Result<T>>) -> io::Result<T> {
    told.recv().unwrap_or_else(|_| Err(io::Error::other("the network's threads have ended")))
}

impl Shared {
    /// Held for a moment, never across a request.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates an object, trying until the deadline. `leftovers` are salts of earlier objects of ours.
    ///
    /// # Errors
    /// What the store said last: it may have taken the object nevertheless.
    async fn place(
        &self,
        name: u64,
        payload: &PutPayload,
        salt: u64,
        leftovers: &[u64],
        deadline: Instant,
    ) -> io::Result<Placed> {
        let path = path(name);
        let mut pause = PAUSE_MIN;
        for attempt in 0_u32.. {
            let left = deadline.saturating_duration_since(Instant::now());
            let put = self.puts.put_opts(&path, payload.clone(), PutMode::Create.into());
            let error = match tokio::time::timeout(left, put).await {
                Ok(Ok(_)) => return Ok(Placed::Stored),
                Ok(Err(object_store::Error::AlreadyExists { source, .. })) => match self.head(&path).await {
                    Ok(Some(head)) if head.salt == salt => return Ok(Placed::Stored),
                    Ok(Some(head)) if leftovers.contains(&head.salt) => return Ok(Placed::Leftover),
                    Ok(_) => return Ok(Placed::Foreign),
                    // Two requests for one name at the same time can both be refused (409).
                    Err(error) if error.kind() == io::ErrorKind::NotFound => io::Error::other(source.to_string()),
                    Err(error) => error,
                },
                Ok(Err(error)) => to_io(error),
                Err(_) => return Err(too_slow()),
            };
            // Jitter, so that many writers do not come back at the same moment: from half the pause to all of it.
            let share = 50 + salt.rotate_left(attempt.wrapping_mul(7)) % 50;
            let jittered = pause.mul_f64(share as f64 / 100.0);
            if Instant::now() + jittered >= deadline || error.kind() == io::ErrorKind::PermissionDenied {
                return Err(error);
            }
            tracing::debug!(%path, %error, "a WAL object could not be stored; trying again");
            tokio::time::sleep(jittered).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Ok(Placed::Foreign)
    }

    /// The head of an object, soon or not at all.
    async fn head(&self, path: &Path) -> io::Result<Option<FileHeader>> {
        tokio::time::timeout(LOOK_PATIENCE, head(&self.puts, path)).await.map_err(|_| too_slow())?
    }

    /// Stores one group under the name after the newest.
    async fn append(&self, name: u64, payload: PutPayload, salt: u64) -> io::Result<()> {
        self.ownership.check().map_err(io::Error::other)?;
        let leftovers = self.state().unresolved.clone();
        let deadline = Instant::now() + patience(payload.content_length() as u64);
        match self.place(name, &payload, salt, &leftovers, deadline).await {
            Ok(Placed::Stored) => {
                self.is_stored(name);
                Ok(())
            }
            Ok(Placed::Leftover) => {
                self.clear(name).await?;
                Err(io::Error::other("a request that was given up came through after all; its rows were not kept"))
            }
            Ok(Placed::Foreign) => {
                self.ownership.lose("another process has taken over its WAL".to_owned());
                Err(io::Error::other("another process has taken over; this one writes nothing more"))
            }
            Err(error) => {
                self.state().unresolved.push(salt);
                Err(error)
            }
        }
    }

    /// The name is used.
    fn is_stored(&self, name: u64) {
        let mut state = self.state();
        state.newest = name;
        state.unresolved.clear();
    }

    /// Overwrites a leftover of ours by an object without rows: its senders were refused.
    async fn clear(&self, name: u64) -> io::Result<()> {
        let payload = PutPayload::from(tombstone(name, new_salt()));
        let path = path(name);
        let put = self.puts.put(&path, payload);
        tokio::time::timeout(PATIENCE, put).await.map_err(|_| too_slow())?.map_err(to_io)?;
        self.is_stored(name);
        self.state().covered.insert(name);
        Ok(())
    }

    /// The name for the next group: the one after the newest, once it is known to be free of leftovers.
    async fn next_name(&self, at_least: u64) -> io::Result<u64> {
        let (next, unresolved) = {
            let state = self.state();
            (state.newest + STRIDE, state.unresolved.clone())
        };
        if !unresolved.is_empty() {
            match self.head(&path(next)).await {
                Ok(Some(head)) if unresolved.contains(&head.salt) => {
                    self.clear(next).await?;
                    return Ok(next + STRIDE);
                }
                // Somebody else's: the PUT will say so.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        if at_least <= next {
            return Ok(next);
        }
        // Somebody removed the WAL by hand, and the tables are ahead of it. Rows below their position would count as
        // covered: go on behind it, with a new opening.
        let behind = at_least.div_ceil(STRIDE) * STRIDE;
        let salt = new_salt();
        let deadline = Instant::now() + TAKE_PATIENCE;
        if self.place(behind, &opening(behind, salt).into(), salt, &[], deadline).await? != Placed::Stored {
            self.ownership.lose("another process has taken over its WAL".to_owned());
            return Err(io::Error::other("another process has taken over; this one writes nothing more"));
        }
        self.ownership.set_opening(behind);
        self.is_stored(behind);
        self.state().openings.insert(behind);
        self.ownership.claim().await.map_err(to_io)?;
        Ok(behind + STRIDE)
    }
}

impl WalStore for ObjectWal {
    fn list(&self) -> io::Result<Vec<WalEntry>> {
        let store = Arc::clone(&self.shared.store);
        let entries = self.wait(async move { list(&store, &Path::from(paths::WAL_DIR)).await })?;
        let n_opening = opening(0, 0).len() as u64;
        let mut state = self.shared.state();
        state
            .openings
            .extend(entries.iter().filter(|entry| entry.bytes == n_opening).map(|entry| entry.first_sequence));
        state.entries.clone_from(&entries);
        Ok(entries)
    }

    fn first_sequence(&self, at_least: u64) -> io::Result<u64> {
        let shared = Arc::clone(&self.shared);
        self.wait(async move { shared.next_name(at_least).await })
    }

    fn patience(&self, bytes: u64) -> Duration {
        patience(bytes) + LOOK_PATIENCE
    }

    fn create(&self, first_sequence: u64) -> io::Result<Box<dyn WalSink>> {
        Ok(Box::new(ObjectFile {
            shared: Arc::clone(&self.shared),
            runtime: self.runtime.clone(),
            name: first_sequence,
            is_done: false,
        }))
    }

    fn open(&self, first_sequence: u64) -> io::Result<Box<dyn ReadAt>> {
        let told = {
            let mut state = self.shared.state();
            let known = state.ahead.remove(&first_sequence);
            let place = state.entries.partition_point(|entry| entry.first_sequence <= first_sequence);
            let next: Vec<WalEntry> = state.entries[place..].iter().take(AHEAD_OBJECTS).copied().collect();
            let mut n_bytes: u64 = state.ahead.values().map(|(bytes, _)| bytes).sum();
            for entry in next {
                n_bytes += entry.bytes;
                if n_bytes > AHEAD_BYTES || state.ahead.contains_key(&entry.first_sequence) {
                    continue;
                }
                let reading = self.begin_read(entry.first_sequence);
                state.ahead.insert(entry.first_sequence, (entry.bytes, reading));
            }
            known.map_or_else(|| self.begin_read(first_sequence), |(_, told)| told)
        };
        Ok(Box::new(ObjectBytes(receive(&told)?)))
    }

    /// Remembers only: [`Self::settle`] removes many with one request.
    fn remove(&self, first_sequence: u64) -> io::Result<()> {
        self.shared.state().covered.insert(first_sequence);
        Ok(())
    }

    fn quarantine(&self, first_sequence: u64) -> io::Result<()> {
        let store = Arc::clone(&self.shared.store);
        let to = Path::from(format!("{}/{}", paths::QUARANTINE_DIR, paths::wal_file(first_sequence)));
        self.wait(async move { store.copy(&path(first_sequence), &to).await.map_err(to_io) })?;
        self.remove(first_sequence)
    }

    fn settle(&self) {
        let names: Vec<u64> = {
            let mut state = self.shared.state();
            // The newest object and the newest openings keep others from using a name twice.
            let (newest, mut kept) = (state.newest, BTreeSet::new());
            kept.extend(state.openings.iter().rev().take(OPENINGS_KEPT));
            kept.insert(newest);
            let covered = std::mem::take(&mut state.covered);
            let (stay, go): (BTreeSet<u64>, BTreeSet<u64>) = covered.into_iter().partition(|name| kept.contains(name));
            state.covered = stay;
            state.openings.retain(|name| !go.contains(name));
            go.into_iter().collect()
        };
        if names.is_empty() {
            return;
        }
        let (store, again) = (Arc::clone(&self.shared.store), names.clone());
        let removed = self.wait(async move {
            let paths = futures::stream::iter(names.into_iter().map(|name| Ok(path(name)))).boxed();
            store.delete_stream(paths).try_for_each(async |_| Ok(())).await.map_err(to_io)
        });
        if let Err(error) = removed {
            tracing::warn!(%error, "covered WAL objects could not be removed; tried again after the next flush");
            self.shared.state().covered.extend(again);
        }
    }

    fn is_one_group_per_file(&self) -> bool {
        true
    }

    fn name(&self, first_sequence: u64) -> PathBuf {
        PathBuf::from(format!("{}/{}", self.shared.ownership.place(), path(first_sequence)))
    }
}

/// One group on its way.
#[derive(Debug)]
struct ObjectFile {
    shared: Arc<Shared>,
    runtime: Handle,
    name: u64,
    is_done: bool,
}

impl WalSink for ObjectFile {
    fn append(&mut self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        if std::mem::replace(&mut self.is_done, true) {
            return Err(io::Error::other("an object takes one group"));
        }
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let head = bytes.first_chunk().and_then(FileHeader::from_head);
        let head = head.ok_or_else(|| io::Error::other("a WAL object begins with a head"))?;
        let (shared, name) = (Arc::clone(&self.shared), self.name);
        let (tell, told) = sync_channel(1);
        drop(self.runtime.spawn(async move {
            let _ = tell.try_send(shared.append(name, bytes.into(), head.salt).await);
        }));
        receive(&told)
    }

    /// What was given up is looked for before its name is used again.
    fn abandon(&mut self, _: u64) {}
}

/// An object in memory.
#[derive(Debug)]
struct ObjectBytes(Bytes);

impl ReadAt for ObjectBytes {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let found = self.0.get(from..from.saturating_add(bytes.len()));
        bytes.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

fn path(first_sequence: u64) -> Path {
    Path::from(format!("{}/{}", paths::WAL_DIR, paths::wal_file(first_sequence)))
}

/// How long a PUT of so many bytes may take, with all its attempts.
fn patience(bytes: u64) -> Duration {
    PATIENCE + PER_MIB * u32::try_from(bytes >> 20).unwrap_or(u32::MAX)
}

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the store did not answer in time")
}

fn new_salt() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}

/// The first object of a process: head and end mark, and by its length known in a listing.
fn opening(first_sequence: u64, salt: u64) -> Vec<u8> {
    let mut bytes = FileHeader { version: VERSION, salt, first_sequence }.to_head().to_vec();
    bytes.extend_from_slice(Encoded::end().seal(first_sequence, salt, 0));
    bytes
}

/// What stands where a group was given up: longer than an opening, because openings stay and this may go.
fn tombstone(first_sequence: u64, salt: u64) -> Vec<u8> {
    let mut bytes = opening(first_sequence, salt);
    bytes.extend_from_slice(Encoded::end().seal(first_sequence + 1, salt, 0));
    bytes
}

/// All objects of the WAL, by name.
async fn list(store: &Arc<dyn ObjectStore>, dir: &Path) -> io::Result<Vec<WalEntry>> {
    let listed = store.list(Some(dir)).try_filter_map(async |object| {
        let first_sequence = object.location.filename().and_then(paths::parse_wal_file);
        Ok(first_sequence.map(|first_sequence| WalEntry { first_sequence, bytes: object.size }))
    });
    let mut entries: Vec<WalEntry> = listed.try_collect().await.map_err(to_io)?;
    entries.sort_by_key(|entry| entry.first_sequence);
    Ok(entries)
}

/// The head of an object; `None` when it is damaged.
async fn head(store: &Arc<dyn ObjectStore>, path: &Path) -> io::Result<Option<FileHeader>> {
    let options = GetOptions { range: Some((0..FILE_HEAD_BYTES as u64).into()), ..GetOptions::default() };
    let bytes = store.get_opts(path, options).await.map_err(to_io)?.bytes().await.map_err(to_io)?;
    Ok(bytes.first_chunk().and_then(FileHeader::from_head))
}

/// The error with its causes in its text, and a kind that tells what a new attempt is worth.
fn to_io(error: object_store::Error) -> io::Error {
    use object_store::Error as E;
    let kind = match &error {
        E::NotFound { .. } => io::ErrorKind::NotFound,
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => io::ErrorKind::PermissionDenied,
        E::AlreadyExists { .. } => io::ErrorKind::AlreadyExists,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}
