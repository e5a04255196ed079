//! Looking up an id in many segments.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::StreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;

use super::format::{Head, Section, head_bytes};
use super::ranges::RowRanges;
use super::{By, IndexBuilder, Key};
use crate::error::{Error, Result};
use crate::paths;
use crate::segment::SegmentScan;
use crate::snapshot::SegmentMeta;
use crate::table::Table;

/// Segments looked at at the same time: on a disk one read after the other is as good, on a bucket each takes a while.
const LOOK_UPS_AT_ONCE: usize = 16;
/// Rows read at once when an index is built again.
const BUILD_BATCH_ROWS: usize = 8 << 10;
/// A filter up to this size is read whole and kept, whatever the cache holds.
const SMALL_FILTER_BYTES: u64 = 16 << 10;
/// When the cache is full, only every so manieth filter pushes an older one out: a round over more filters than fit
/// would otherwise read every one of them whole, each time.
const ADMIT_EVERY: u64 = 16;

/// Rows of one segment that may carry an id.
#[derive(Clone, Debug)]
pub struct SegmentRows {
    /// The segment.
    pub segment: Arc<SegmentMeta>,
    /// Candidates: every row that carries the id is among them, and hardly any other. Whoever reads them compares
    /// whole ids. `None` when the index could not be used: then any row may carry it.
    pub rows: Option<RowRanges>,
}

/// Index files of a data directory.
#[derive(Debug)]
pub(crate) struct Indexes {
    store: Arc<dyn ObjectStore>,
    cache_bytes_max: usize,
    cache: Mutex<Cache>,
}

/// What was read of index files, oldest out first.
#[derive(Debug, Default)]
struct Cache {
    heads: HashMap<Path, Arc<Head>>,
    filters: HashMap<(Path, By), Bytes>,
    order: VecDeque<Cached>,
    bytes: usize,
    n_refused: u64,
}

#[derive(Clone, Debug, PartialEq)]
enum Cached {
    Head(Path),
    Filter(Path, By),
}

impl Indexes {
    /// Keeps at most `cache_bytes_max` bytes of index files in memory.
    pub(crate) fn new(store: Arc<dyn ObjectStore>, cache_bytes_max: usize) -> Self {
        Self { store, cache_bytes_max, cache: Mutex::default() }
    }

    /// Segments that may hold rows with the id, with their candidate rows, in the order of `segments`; those that
    /// certainly do not are left out.
    ///
    /// Cost: nothing for a segment whose filter is in memory and says no; else one or two small reads. Building a
    /// missing index reads a few columns of its segment.
    pub(crate) async fn locate(
        self: &Arc<Self>,
        table: &'static Table,
        segments: &[Arc<SegmentMeta>],
        by: By,
        id: &[u8],
    ) -> Vec<SegmentRows> {
        let key = Key::of(id);
        let open: Vec<Arc<SegmentMeta>> = {
            let cache = self.cache();
            let is_open = |segment: &&Arc<SegmentMeta>| cache.may_hold(&segment.path, by, key);
            segments.iter().filter(is_open).cloned().collect()
        };
        let looking = open.into_iter().map(|segment| {
            let indexes = Arc::clone(self);
            async move {
                let rows = match indexes.rows(table, &segment, by, key).await {
                    Ok(rows) => Some(rows),
                    Err(error) => {
                        tracing::warn!(segment = %segment.path, %error, "the index cannot be used; all rows are read");
                        None
                    }
                };
                let is_candidate = rows.as_ref().is_none_or(|rows| !rows.is_empty());
                is_candidate.then_some(SegmentRows { segment, rows })
            }
        });
        futures::stream::iter(looking).buffered(LOOK_UPS_AT_ONCE).filter_map(std::future::ready).collect().await
    }

    async fn rows(&self, table: &'static Table, segment: &Arc<SegmentMeta>, by: By, key: Key) -> Result<RowRanges> {
        match self.read(table, segment, by, key).await {
            Ok(Some(rows)) => return Ok(rows),
            Ok(None) => tracing::debug!(segment = %segment.path, "its index is missing or damaged: built again"),
            Err(error) => tracing::debug!(segment = %segment.path, %error, "its index cannot be read: built again"),
        }
        self.forget([&segment.path]);
        let (store, of) = (Arc::clone(&self.store), Arc::clone(segment));
        let building = tokio::task::spawn_blocking(move || build(&store, &Handle::current(), table, &of));
        building.await.map_err(|source| object_store::Error::JoinError { source })??;
        let rebuilt = self.read(table, segment, by, key).await?;
        rebuilt.ok_or_else(|| Error::Damaged {
            path: PathBuf::from(paths::index(&segment.path).as_ref()),
            detail: "it was just written and is damaged".to_owned(),
        })
    }

    /// From the index file; `None` when it is missing or damaged.
    async fn read(&self, table: &'static Table, segment: &SegmentMeta, by: By, key: Key) -> Result<Option<RowRanges>> {
        let path = paths::index(&segment.path);
        let known = self.cache().heads.get(&segment.path).cloned();
        let head = match known {
            Some(head) => head,
            None => {
                let Some(bytes) = self.part(&path, 0..head_bytes(By::of(table).count())).await? else {
                    return Ok(None);
                };
                let Some(head) = Head::parse(&bytes, segment.n_rows) else { return Ok(None) };
                self.remember_head(&segment.path, head)
            }
        };
        let Some(section) = head.section(by.code()) else { return Ok(None) };
        if section.is_empty() {
            return Ok(Some(RowRanges::default()));
        }
        match self.may_hold(&path, &segment.path, section, by, key).await? {
            None => return Ok(None),
            Some(false) => return Ok(Some(RowRanges::default())),
            Some(true) => {}
        }
        let Some(entry) = self.part(&path, section.entry_range(key)).await? else { return Ok(None) };
        let Some(range) = Section::bucket_range(&entry) else { return Ok(None) };
        // A damaged length must not become an allocation.
        if range.end - range.start > segment.n_rows.saturating_mul(24) {
            return Ok(None);
        }
        let bucket = if range.is_empty() { Bytes::new() } else { self.part(&path, range).await?.unwrap_or_default() };
        Ok(section.rows(&entry, &bucket, key))
    }

    /// What the filter says; `None` when it is damaged.
    async fn may_hold(
        &self,
        index: &Path,
        segment: &Path,
        section: &Section,
        by: By,
        key: Key,
    ) -> Result<Option<bool>> {
        let known = self.cache().filters.get(&(segment.clone(), by)).cloned();
        if let Some(filter) = known {
            return Ok(section.may_hold(&filter, key));
        }
        let range = section.filter_range();
        if self.has_room(range.end - range.start) {
            let Some(filter) = self.part(index, range).await? else { return Ok(None) };
            let answer = section.may_hold(&filter, key);
            if answer.is_some() {
                self.remember_filter(segment, by, filter);
            }
            return Ok(answer);
        }
        let block = self.part(index, section.filter_block_range(key)).await?;
        Ok(block.and_then(|block| section.may_hold_block(&block, key)))
    }

    /// Part of an index file; `None` when the file or the part is not there.
    async fn part(&self, index: &Path, range: Range<u64>) -> Result<Option<Bytes>> {
        let length = range.end - range.start;
        match self.store.get_ranges(index, &[range]).await {
            Ok(parts) => Ok(parts.into_iter().next().filter(|part| part.len() as u64 == length)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Drops what is known of segments that are gone, or whose index is made anew.
    pub(crate) fn forget<'a>(&self, segments: impl IntoIterator<Item = &'a Path>) {
        let mut cache = self.cache();
        for path in segments {
            let n_before = cache.order.len();
            cache.remove(&Cached::Head(path.clone()));
            By::ALL.into_iter().for_each(|by| cache.remove(&Cached::Filter(path.clone(), by)));
            if cache.heads.len() + cache.filters.len() < n_before {
                cache.order.retain(|entry| !matches!(entry, Cached::Head(of) | Cached::Filter(of, _) if of == path));
            }
        }
    }

    fn remember_head(&self, path: &Path, head: Head) -> Arc<Head> {
        let head = Arc::new(head);
        let mut cache = self.cache();
        let bytes = entry_bytes(path) + head.bytes();
        if cache.heads.insert(path.clone(), Arc::clone(&head)).is_none() {
            cache.admit(Cached::Head(path.clone()), bytes, self.cache_bytes_max);
        }
        head
    }

    fn remember_filter(&self, path: &Path, by: By, filter: Bytes) {
        let mut cache = self.cache();
        let bytes = entry_bytes(path) + filter.len();
        if cache.filters.insert((path.clone(), by), filter).is_none() {
            cache.admit(Cached::Filter(path.clone(), by), bytes, self.cache_bytes_max);
        }
    }

    /// Whether a filter of this size should be read whole and kept.
    fn has_room(&self, bytes: u64) -> bool {
        if bytes <= SMALL_FILTER_BYTES {
            return true;
        }
        let mut cache = self.cache();
        if cache.bytes as u64 + bytes <= self.cache_bytes_max as u64 {
            return true;
        }
        cache.n_refused += 1;
        bytes <= self.cache_bytes_max as u64 && cache.n_refused.is_multiple_of(ADMIT_EVERY)
    }

    /// Held for map accesses, never across reads.
    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    /// False when what is in memory says that no row has the key.
    fn may_hold(&self, path: &Path, by: By, key: Key) -> bool {
        let Some(section) = self.heads.get(path).and_then(|head| head.section(by.code())) else { return true };
        if section.is_empty() {
            return false;
        }
        let filter = self.filters.get(&(path.clone(), by));
        filter.and_then(|filter| section.may_hold(filter, key)).unwrap_or(true)
    }

    fn admit(&mut self, entry: Cached, bytes: usize, bytes_max: usize) {
        self.order.push_back(entry);
        self.bytes += bytes;
        while self.bytes > bytes_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, entry: &Cached) {
        let bytes = match entry {
            Cached::Head(path) => self.heads.remove(path).map(|head| entry_bytes(path) + head.bytes()),
            Cached::Filter(path, by) => {
                self.filters.remove(&(path.clone(), *by)).map(|filter| entry_bytes(path) + filter.len())
            }
        };
        self.bytes -= bytes.unwrap_or_default();
    }
}

/// Makes the index of a segment from the segment. Blocking; reads the indexed columns.
///
/// # Errors
/// When the segment cannot be read, or the index not written.
pub(crate) fn build(
    store: &Arc<dyn ObjectStore>,
    runtime: &Handle,
    table: &'static Table,
    segment: &SegmentMeta,
) -> Result<()> {
    let Some(mut index) = IndexBuilder::new(table) else { return Ok(()) };
    let columns = By::of(table).filter_map(|by| Some(table.column(by.column())?.0)).collect();
    let mut reader = SegmentScan::open(store, runtime, table, segment, columns, BUILD_BATCH_ROWS)?;
    while let Some(rows) = reader.next()? {
        index.add(&rows);
    }
    let bytes = index.finish().ok_or_else(|| Error::Damaged {
        path: PathBuf::from(segment.path.as_ref()),
        detail: "it has more rows than an index can name".to_owned(),
    })?;
    runtime.block_on(store.put(&paths::index(&segment.path), bytes.into()))?;
    Ok(())
}

/// What an entry takes beside its content: its path twice, and the maps.
fn entry_bytes(path: &Path) -> usize {
    2 * path.as_ref().len() + 128
}
