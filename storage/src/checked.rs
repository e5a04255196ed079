//! An object store whose bytes are proven before anybody sees them.
//!
//! | object                     | must be                                                                                |
//! |----------------------------|----------------------------------------------------------------------------------------|
//! | a segment                  | what the table log says (size and CRC32C), block by block: `blocks.rs`                 |
//! | a file of a table log      | what its copy says: `log_copy.rs`. A wrong one is answered from the copy, and written again |
//! | an index, a WAL file, notes | these carry their own checksums, or are no truth; passed through                        |
//!
//! Whoever reads through it (queries, merges, people's tools) sees right bytes or an error, never wrong ones. Reads of a
//! segment are widened to whole blocks of 16 KiB, and CRC32C takes a tenth of a millisecond per MiB, as processors have
//! an instruction for it. Segments that the log says no checksum of (of older releases, and of other writers) pass as they are.
//!
//! The sums of a segment's blocks lie beside it (`_sum/`). They are a cache, never the truth: with damaged or missing ones
//! the whole file is read once and compared with the log. The same goes for copies of a table log: either side is enough.
//!
//! What does not match is remembered ([`Checked::suspects`]), so that whoever looks for the damage looks there first.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
    UploadPart,
};

use crate::paths;
use crate::snapshot::SegmentMeta;

pub(crate) mod blocks;
pub(crate) mod log_copy;

pub(crate) use blocks::{BlockSums, Summing};
pub(crate) use log_copy::{Settled, Step, is_hint};

/// Memory for sums of blocks: those of 64 GiB of segments.
const SUMS_BYTES_MAX: usize = 16 << 20;

/// Segments that are remembered as perhaps damaged.
const SUSPECTS_MAX: usize = 1024;

/// Bytes that are not what was written.
#[derive(Debug, thiserror::Error)]
#[error("{path} is damaged: {detail}")]
struct Mismatch {
    path: Path,
    detail: String,
}

fn mismatch(path: &Path, detail: String) -> Error {
    Error::Generic { store: "Checked", source: Box::new(Mismatch { path: path.clone(), detail }) }
}

/// What is wrong, when an error says that bytes were read and are wrong; `None` when they could not be read.
pub(crate) fn damage(error: &Error) -> Option<String> {
    let Error::Generic { source, .. } = error else { return None };
    source.downcast_ref::<Mismatch>().map(|mismatch| mismatch.detail.clone())
}

/// A store over another one. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    inner: Arc<dyn ObjectStore>,
    known: Arc<Mutex<Known>>,
    /// One file at a time is read whole to make its sums anew.
    making: Arc<tokio::sync::Mutex<()>>,
    /// False for someone who only looks: nothing is repaired then.
    may_write: bool,
}

/// What the table logs say, and what was read of sums, oldest out first.
#[derive(Debug, Default)]
struct Known {
    segments: HashMap<Path, Expected>,
    sums: HashMap<Path, Arc<BlockSums>>,
    order: VecDeque<Path>,
    bytes: usize,
    /// Segments that did not match, or were not there, when they were read.
    suspects: HashSet<Path>,
}

/// What a table log says about a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Expected {
    size: u64,
    whole: u32,
}

impl Expected {
    fn is(&self, sums: &BlockSums) -> bool {
        sums.size() == self.size && sums.whole() == self.whole
    }
}

impl Checked {
    /// Over a store whose bytes may be wrong. With `may_write`, damaged files of table logs and lost sums are written again.
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, may_write: bool) -> Self {
        Self { inner, known: Arc::default(), making: Arc::default(), may_write }
    }

    /// From here on these are proven when they are read.
    pub(crate) fn expect<'a>(&self, segments: impl IntoIterator<Item = &'a Arc<SegmentMeta>>) {
        let mut known = self.known();
        for segment in segments {
            if let Some(whole) = segment.crc32c {
                known.segments.insert(segment.path.clone(), Expected { size: segment.size_bytes, whole });
            }
        }
    }

    /// Restores what was lost of a table's log, as far as opening it needs it; nothing for someone who only looks.
    ///
    /// # Errors
    /// What the store said: the log must not be opened.
    pub(crate) async fn settle_log(&self, table: &Path) -> Result<Settled> {
        if self.may_write { log_copy::settle(&*self.inner, table).await } else { Ok(Settled::default()) }
    }

    /// Does what [`Self::settle_log`] left.
    pub(crate) async fn settle_later(&self, table: &Path, steps: Vec<Step>) -> Settled {
        log_copy::settle_later(&*self.inner, table, steps).await
    }

    /// Segments whose bytes were not what the table log says, or that were not there, when somebody read them.
    pub(crate) fn suspects(&self) -> HashSet<Path> {
        self.known().suspects.clone()
    }

    /// Its damage is known, or there is none.
    pub(crate) fn clear(&self, segment: &Path) {
        self.known().suspects.remove(segment);
    }

    /// Remembers a segment whose reading failed for what it is.
    fn noted<T>(&self, segment: &Path, read: Result<T>) -> Result<T> {
        if let Err(error) = &read
            && (damage(error).is_some() || matches!(error, Error::NotFound { .. }))
        {
            let mut known = self.known();
            // One that was removed while it was read is missing rightly, and nobody would take it out again.
            if known.suspects.len() < SUSPECTS_MAX && known.segments.contains_key(segment) {
                known.suspects.insert(segment.clone());
            }
        }
        read
    }

    /// Held for map accesses, never across reads.
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expected(&self, location: &Path) -> Option<Expected> {
        self.known().segments.get(location).copied()
    }

    /// Sums of a segment's blocks, as the table log knows them.
    async fn sums(&self, segment: &Path, expected: Expected) -> Result<Arc<BlockSums>> {
        let cached = || self.known().sums.get(segment).filter(|sums| expected.is(sums)).cloned();
        if let Some(sums) = cached() {
            return Ok(sums);
        }
        let path = paths::sums(segment);
        let read = async { self.inner.get(&path).await?.bytes().await };
        let written = match read.await {
            Ok(bytes) => BlockSums::decode(&bytes),
            Err(Error::NotFound { .. }) => None,
            // They are not the data: what cannot be read is as good as lost.
            Err(error) => {
                tracing::warn!(%segment, %error, "its checksums cannot be read");
                None
            }
        };
        if let Some(sums) = written.filter(|sums| expected.is(sums)) {
            return Ok(self.known().remember(segment, sums));
        }
        let _making = self.making.lock().await;
        if let Some(sums) = cached() {
            return Ok(sums);
        }
        tracing::debug!(%segment, "its checksums are missing or damaged: made again from the whole file");
        let mut summing = Summing::default();
        let mut stream = self.inner.get(segment).await?.into_stream();
        while let Some(bytes) = stream.try_next().await? {
            summing.add(&bytes);
        }
        let sums = summing.finish();
        if !expected.is(&sums) {
            let detail = format!(
                "{} bytes with checksum {:08x} instead of {} with {:08x}",
                sums.size(),
                sums.whole(),
                expected.size,
                expected.whole
            );
            return Err(mismatch(segment, detail));
        }
        if self.may_write
            && let Err(error) = self.inner.put(&path, sums.encode().into()).await
        {
            tracing::warn!(%segment, %error, "its checksums could not be written; the next start reads the whole file again");
        }
        Ok(self.known().remember(segment, sums))
    }

    /// Parts of a segment, proven.
    async fn parts(&self, segment: &Path, expected: Expected, parts: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let sums = self.sums(segment, expected).await?;
        let covering = sums.covering(parts);
        let read = self.inner.get_ranges(segment, &covering).await?;
        for (blocks, bytes) in covering.iter().zip(&read) {
            prove(segment, &sums, blocks, bytes)?;
        }
        let part = |part: &Range<u64>| {
            if part.start >= part.end {
                return Ok(Bytes::new());
            }
            let at = covering.partition_point(|blocks| blocks.end < part.end);
            let (blocks, bytes) = covering.get(at).zip(read.get(at)).ok_or_else(|| beyond(segment, part))?;
            let (start, end) = (part.start.checked_sub(blocks.start), part.end.checked_sub(blocks.start));
            let range = start.zip(end).filter(|(_, end)| *end <= bytes.len() as u64);
            let (start, end) = range.ok_or_else(|| beyond(segment, part))?;
            Ok(bytes.slice(start as usize..end as usize))
        };
        parts.iter().map(part).collect()
    }

    async fn get_segment(&self, segment: &Path, expected: Expected, options: GetOptions) -> Result<GetResult> {
        let wanted = match &options.range {
            None => 0..expected.size,
            Some(GetRange::Bounded(range)) => range.start..range.end.min(expected.size),
            Some(GetRange::Offset(start)) => *start..expected.size,
            Some(GetRange::Suffix(n)) => expected.size.saturating_sub(*n)..expected.size,
        };
        let sums = self.sums(segment, expected).await?;
        let Some(blocks) = sums.covering(std::slice::from_ref(&wanted)).pop() else {
            return self.inner.get_opts(segment, options).await;
        };
        let widened = GetOptions { range: Some(GetRange::Bounded(blocks.clone())), ..options };
        let result = self.inner.get_opts(segment, widened).await?;
        if result.meta.size != expected.size {
            return Err(mismatch(segment, format!("{} bytes instead of {}", result.meta.size, expected.size)));
        }
        let (meta, attributes) = (result.meta.clone(), result.attributes.clone());
        let bytes = result.bytes().await?;
        prove(segment, &sums, &blocks, &bytes)?;
        let bytes = bytes.slice((wanted.start - blocks.start) as usize..(wanted.end - blocks.start) as usize);
        Ok(answer(bytes, wanted, meta, attributes))
    }

    /// A file of a table log, as its copy says it is. Either of both is enough.
    async fn get_log(&self, file: &Path, copy: &Path, options: GetOptions) -> Result<GetResult> {
        let range = options.range.clone();
        let whole = GetOptions { range: None, ..options };
        let reading = async |path: &Path, options: GetOptions| {
            let found = self.inner.get_opts(path, options).await?;
            let (meta, attributes) = (found.meta.clone(), found.attributes.clone());
            Ok::<_, Error>((meta, attributes, found.bytes().await?))
        };
        let (found, copied) = futures::join!(reading(file, whole), reading(copy, GetOptions::default()));
        let right = match &copied {
            Ok((.., bytes)) => log_copy::decode(bytes).map(|right| bytes.slice_ref(right)),
            Err(_) => None,
        };
        let (mut meta, attributes, bytes) = match (found, right) {
            (Ok(found), Some(right)) if found.2 == right => found,
            (Ok(_), Some(_)) | (Err(Error::Generic { .. } | Error::JoinError { .. }), _) if is_hint(file) => {
                let source = "it is not what its copy says, or cannot be read".into();
                return Err(Error::NotFound { path: file.to_string(), source });
            }
            (Ok((meta, attributes, _)), Some(right)) => {
                tracing::error!(%file, "a file of a table log is damaged: its copy is used");
                self.put_again(file, right.clone()).await;
                (meta, attributes, right)
            }
            (Err(error @ (Error::Generic { .. } | Error::JoinError { .. })), Some(right)) => {
                tracing::error!(%file, %error, "a file of a table log cannot be read: its copy is used");
                self.put_again(file, right.clone()).await;
                let meta = copied.map(|(meta, ..)| ObjectMeta { location: file.clone(), e_tag: None, ..meta })?;
                (meta, object_store::Attributes::new(), right)
            }
            (Ok(found), None) => {
                let is_plausible = log_copy::is_plausible(file.as_ref(), &found.2);
                match copied {
                    // Damaged.
                    Ok(_) if self.may_write && is_plausible => {
                        tracing::warn!(%copy, "the copy of a file of a table log is damaged: it is replaced");
                        write_copy(&*self.inner, copy, &found.2).await;
                    }
                    // Without a copy it was written by others, or by a release without copies: a start makes one.
                    Ok(_) | Err(Error::NotFound { .. }) => {}
                    // The copy may be whole: it is neither replaced by what nobody has proven, nor given up.
                    Err(error) if is_plausible => {
                        tracing::warn!(%copy, %error, "the copy of a file of a table log cannot be read");
                    }
                    Err(error) => return Err(error),
                }
                found
            }
            (Err(error), _) => return Err(error),
        };
        meta.size = bytes.len() as u64;
        let range = match range {
            None => 0..meta.size,
            Some(range) => range
                .as_range(meta.size)
                .map_err(|source| Error::Generic { store: "Checked", source: source.into() })?,
        };
        Ok(answer(bytes.slice(range.start as usize..range.end as usize), range, meta, attributes))
    }

    async fn put_again(&self, file: &Path, bytes: Bytes) {
        if self.may_write
            && let Err(error) = self.inner.put(file, bytes.into()).await
        {
            tracing::warn!(%file, %error, "it could not be written again");
        }
    }
}

impl Known {
    fn remember(&mut self, segment: &Path, sums: BlockSums) -> Arc<BlockSums> {
        let sums = Arc::new(sums);
        self.bytes += sums.bytes();
        match self.sums.insert(segment.clone(), Arc::clone(&sums)) {
            Some(old) => self.bytes -= old.bytes(),
            None => self.order.push_back(segment.clone()),
        }
        while self.bytes > SUMS_BYTES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.bytes -= self.sums.remove(&oldest).map_or(0, |sums| sums.bytes());
        }
        sums
    }

    fn forget(&mut self, segment: &Path) {
        self.suspects.remove(segment);
        if self.segments.remove(segment).is_some()
            && let Some(sums) = self.sums.remove(segment)
        {
            self.bytes -= sums.bytes();
            self.order.retain(|other| other != segment);
        }
    }
}

fn prove(segment: &Path, sums: &BlockSums, blocks: &Range<u64>, bytes: &Bytes) -> Result<()> {
    if bytes.len() as u64 != blocks.end - blocks.start {
        return Err(mismatch(segment, format!("{} bytes at {} instead of {}", bytes.len(), blocks.start, sums.size())));
    }
    match sums.first_wrong(blocks.start, bytes) {
        None => Ok(()),
        Some(at) => Err(mismatch(segment, format!("the checksum of the block at byte {at} is wrong"))),
    }
}

fn beyond(segment: &Path, part: &Range<u64>) -> Error {
    let text = format!("{segment}: bytes {} to {} are not all there", part.start, part.end);
    Error::Generic { store: "Checked", source: text.into() }
}

fn answer(bytes: Bytes, range: Range<u64>, meta: ObjectMeta, attributes: object_store::Attributes) -> GetResult {
    let payload = GetResultPayload::Stream(futures::stream::once(std::future::ready(Ok(bytes))).boxed());
    GetResult { payload, meta, range, attributes }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checked({})", self.inner)
    }
}

#[async_trait::async_trait]
impl ObjectStore for Checked {
    /// What goes to a table log is there twice when this returns.
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let Some(copy) = log_copy::copy_of(location) else {
            return self.inner.put_opts(location, payload, options).await;
        };
        let bytes = Bytes::from(payload.clone());
        let put = self.inner.put_opts(location, payload, options).await?;
        write_copy(&*self.inner, &copy, &bytes).await;
        Ok(put)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.inner.put_multipart_opts(location, options).await?;
        let Some(copy) = log_copy::copy_of(location) else { return Ok(upload) };
        Ok(Box::new(CopiedUpload { upload, inner: Arc::clone(&self.inner), copy, bytes: Vec::new() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.head {
            return self.inner.get_opts(location, options).await;
        }
        if let Some(copy) = log_copy::copy_of(location) {
            return self.get_log(location, &copy, options).await;
        }
        match self.expected(location) {
            Some(expected) => self.noted(location, self.get_segment(location, expected, options).await),
            None => self.inner.get_opts(location, options).await,
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        if let Some(copy) = log_copy::copy_of(location) {
            let bytes = self.get_log(location, &copy, GetOptions::default()).await?.bytes().await?;
            let part = |range: &Range<u64>| {
                let is_there = range.start <= range.end && range.end <= bytes.len() as u64;
                if is_there {
                    Ok(bytes.slice(range.start as usize..range.end as usize))
                } else {
                    Err(beyond(location, range))
                }
            };
            return ranges.iter().map(part).collect();
        }
        match self.expected(location) {
            Some(expected) => self.noted(location, self.parts(location, expected, ranges).await),
            None => self.inner.get_ranges(location, ranges).await,
        }
    }

    /// The copy goes first: a file of a log without one is copied again, a copy alone would be restored.
    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let prepared = locations.then(move |location| {
            let store = store.clone();
            async move {
                let location = location?;
                if let Some(copy) = log_copy::copy_of(&location) {
                    match store.inner.delete(&copy).await {
                        Ok(()) | Err(Error::NotFound { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                store.known().forget(&location);
                Ok(location)
            }
        });
        self.inner.delete_stream(prepared.boxed())
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

/// The file itself is durable: without its copy it is as safe as any file, until the next start makes one.
async fn write_copy(store: &dyn ObjectStore, copy: &Path, bytes: &[u8]) {
    if let Err(error) = store.put(copy, log_copy::encode(bytes).into()).await {
        tracing::warn!(%copy, %error, "the copy of a file of a table log could not be written");
    }
}

/// A large file of a table log on its way, kept in memory for its copy: checkpoints take some hundred bytes per segment.
#[derive(Debug)]
struct CopiedUpload {
    upload: Box<dyn MultipartUpload>,
    inner: Arc<dyn ObjectStore>,
    copy: Path,
    bytes: Vec<u8>,
}

#[async_trait::async_trait]
impl MultipartUpload for CopiedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        data.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.upload.put_part(data).boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let put = self.upload.complete().await?;
        write_copy(&*self.inner, &self.copy, &self.bytes).await;
        Ok(put)
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}

#[cfg(test)]
mod tests;
