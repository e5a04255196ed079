//! Reading a segment whole, to know whether it is what it should be.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;

use crate::checked;
use crate::error::Error;
use crate::index::IndexBuilder;
use crate::published::Published;
use crate::segment::SegmentScan;
use crate::snapshot::{SegmentMeta, Snapshot};
use crate::table::Table;

/// Rows that are decoded at once.
const BATCH_ROWS: usize = 8192;
/// Bytes that are compared at once.
const STEP_BYTES: usize = 4 << 20;
/// One examination for a failed query ends after this time; what is left is looked at by the next one.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is wrong with a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The file is not there.
    Missing,
    /// Its bytes are not what was written.
    Damaged(String),
    /// The store or the disk did not give the bytes; they may be fine.
    Unreadable(String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("the file is missing"),
            Self::Damaged(detail) => write!(f, "damaged: {detail}"),
            Self::Unreadable(detail) => write!(f, "cannot be read: {detail}"),
        }
    }
}

/// Compares every byte of a segment with its checksum, reads every row, and gives what its index should hold. Blocking; contains panics of the decoder.
///
/// # Errors
/// What is wrong.
pub(crate) fn read_whole(
    store: &Arc<dyn ObjectStore>,
    runtime: &Handle,
    table: &'static Table,
    segment: &SegmentMeta,
) -> Result<Option<Vec<u8>>, Fault> {
    let found = runtime.block_on(store.head(&segment.path)).map_err(|error| unreadable(&error))?;
    if found.size != segment.size_bytes {
        return Err(Fault::Damaged(format!("{} bytes instead of {}", found.size, segment.size_bytes)));
    }
    if segment.crc32c.is_some() {
        // Every byte, also those that hold no rows.
        for start in (0..segment.size_bytes).step_by(STEP_BYTES) {
            let part = start..(start + STEP_BYTES as u64).min(segment.size_bytes);
            runtime.block_on(store.get_ranges(&segment.path, &[part])).map_err(|error| unreadable(&error))?;
        }
    }
    let reading = AssertUnwindSafe(|| -> Result<(u64, Option<Vec<u8>>), Error> {
        let mut index = IndexBuilder::new(table);
        let columns = (0..table.columns().len()).collect();
        let mut scan = SegmentScan::open(store, runtime, table, segment, columns, BATCH_ROWS)?;
        let mut n_rows = 0;
        while let Some(rows) = scan.next()? {
            n_rows += rows.num_rows() as u64;
            if let Some(index) = &mut index {
                index.add(&rows);
            }
        }
        Ok((n_rows, index.and_then(IndexBuilder::finish)))
    });
    match std::panic::catch_unwind(reading) {
        Ok(Ok((n_rows, index))) if n_rows == segment.n_rows => Ok(index),
        Ok(Ok((n_rows, _))) => Err(Fault::Damaged(format!("{n_rows} rows instead of {}", segment.n_rows))),
        Ok(Err(error)) => Err(classify(&error)),
        Err(_) => Err(Fault::Damaged("its decoder panicked".to_owned())),
    }
}

/// Unreadable when the store did not give the bytes: nothing is known about them then. A disk that fails once and not
/// again must not cost the segment.
fn classify(error: &Error) -> Fault {
    match error {
        Error::ObjectStore(error) => unreadable(error),
        error => Fault::Damaged(error.to_string()),
    }
}

fn unreadable(error: &object_store::Error) -> Fault {
    match error {
        object_store::Error::NotFound { .. } => Fault::Missing,
        error => checked::damage(error).map_or_else(|| Fault::Unreadable(error.to_string()), Fault::Damaged),
    }
}

/// Where the search for damage stands. One search at a time: it reads whole segments.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// The last segment that was read whole; the next search goes on behind it.
    pub after: tokio::sync::Mutex<Option<Path>>,
    /// Walks over segments that nobody suspects so far.
    pub n_walks: AtomicU64,
}

/// Looks for damage among the segments of a snapshot whose reading failed, for 20 s at most. Damaged ones are left out of
/// later snapshots. Gives how many segments of this snapshot later ones leave out.
///
/// Those that did not match their checksums when they were read come first, and mostly that is all. Only when none of them
/// is damaged (files of older releases have no checksums) the others are read one by one, from where the last search
/// stopped; one such walk serves all who waited for it.
///
/// A search goes on to its end when nobody waits for it any more: a query that runs out of time must not undo it.
pub(crate) async fn find_damage(published: &Arc<Published>, snapshot: &Snapshot) -> u64 {
    find_damage_within(published, snapshot, PATIENCE).await
}

/// As [`find_damage`]; one segment at least is read.
pub(crate) async fn find_damage_within(published: &Arc<Published>, snapshot: &Snapshot, patience: Duration) -> u64 {
    let tables = snapshot.tables.iter();
    let pinned = tables.flat_map(|table| table.segments.iter().map(|segment| (table.table, Arc::clone(segment))));
    let n_walks = published.search.n_walks.load(Ordering::Acquire);
    let searching = tokio::spawn(search(Arc::clone(published), pinned.collect(), n_walks, patience));
    searching.await.unwrap_or_else(|error| {
        tracing::error!(%error, "the search for a damaged segment ended early");
        0
    })
}

/// Searches among these segments; `n_walks` is the number of walks when it was asked for.
async fn search(published: Arc<Published>, pinned: Vec<Candidate>, n_walks: u64, patience: Duration) -> u64 {
    let search = &published.search;
    let mut after = search.after.lock().await;
    let until = Instant::now() + patience;
    // A merge, or another query, may have been faster: then too a new snapshot is without them.
    let n_known = || {
        let known = published.damage.known();
        pinned.iter().filter(|(_, segment)| known.holds(&segment.path)).count() as u64
    };
    let live = live_segments(&published);
    // Segments that compaction or retention took away meanwhile are missing rightly.
    let candidates: Vec<Candidate> =
        pinned.iter().filter(|(_, segment)| live.contains(&segment.path)).cloned().collect();
    let suspects = published.place.checked.suspects();
    let suspected = candidates.iter().filter(|(_, segment)| suspects.contains(&segment.path)).cloned().collect();
    look(&published, suspected, until).await;
    if n_known() > 0 || search.n_walks.load(Ordering::Acquire) != n_walks {
        return n_known();
    }
    search.n_walks.fetch_add(1, Ordering::AcqRel);
    let ordered = from_behind(candidates, after.as_ref());
    let n_candidates = ordered.len();
    let (n_read, last) = look(&published, ordered, until).await;
    if n_read < n_candidates {
        tracing::warn!("looking for a damaged segment takes too long; the next failed query goes on");
    }
    *after = last;
    n_known()
}

/// A segment that may be damaged.
type Candidate = (&'static Table, Arc<SegmentMeta>);

/// By path, beginning behind `after`.
fn from_behind(mut candidates: Vec<Candidate>, after: Option<&Path>) -> Vec<Candidate> {
    candidates.sort_by(|(_, a), (_, b)| a.path.cmp(&b.path));
    let start = after.map_or(0, |after| candidates.partition_point(|(_, segment)| segment.path <= *after));
    candidates.rotate_left(start);
    candidates
}

/// Reads segments whole until then, one at least; damaged ones are remembered. Gives how many were read and the
/// last of them.
async fn look(published: &Arc<Published>, candidates: Vec<Candidate>, until: Instant) -> (usize, Option<Path>) {
    let (store, runtime) = (Arc::clone(&published.place.store), Handle::current());
    let known = published.damage.known();
    let looking = tokio::task::spawn_blocking(move || {
        let (mut n_read, mut last, mut found) = (0, None, Vec::new());
        let mut fine = Vec::new();
        for (table, segment) in candidates {
            if n_read > 0 && Instant::now() > until {
                break;
            }
            n_read += 1;
            last = Some(segment.path.clone());
            if known.holds(&segment.path) {
                continue;
            }
            match read_whole(&store, &runtime, table, &segment) {
                Ok(_) => fine.push(segment.path.clone()),
                Err(fault @ (Fault::Missing | Fault::Damaged(_))) => found.push((segment, fault.to_string())),
                Err(Fault::Unreadable(error)) => {
                    tracing::error!(segment = %segment.path, error, "a segment cannot be read at the moment");
                }
            }
        }
        (n_read, last, found, fine)
    });
    let (n_read, last, found, fine) = looking.await.unwrap_or_default();
    let live = live_segments(published);
    for (segment, detail) in found {
        if live.contains(&segment.path) {
            let is_new = published.damage.add(&segment, detail).await;
            published.counters.damaged_segments.add(u64::from(is_new));
        }
        published.place.checked.clear(&segment.path);
    }
    fine.iter().for_each(|path| published.place.checked.clear(path));
    (n_read, last)
}

/// Paths of all segments that are alive now.
fn live_segments(published: &Published) -> HashSet<Path> {
    let views: Vec<_> = published.tenants().values().map(|cell| cell.load_full()).collect();
    let segments = views.iter().flat_map(|view| &view.tables).flat_map(|table| table.segments.iter());
    segments.map(|segment| segment.path.clone()).collect()
}
