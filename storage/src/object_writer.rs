//! An object written as a stream of bytes, from a thread that may block.
//!
//! Small objects are one put; larger ones go up in parts. Nobody sees an object before [`ObjectWriter::finish`], and
//! one that was not finished leaves nothing behind (a process that dies leaves a temporary file, or an upload that
//! the bucket's life cycle removes).

use std::io::{self, Write};
use std::sync::Arc;

use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;

use crate::checked::{BlockSums, Summing};

/// Bytes of a part. Buckets take 10,000 parts of at least 5 MiB: objects of 48 GiB.
const PART_BYTES: usize = 5 << 20;
/// Room for what comes at once beyond a part, so that its memory is not taken twice.
const PART_ROOM_BYTES: usize = 64 << 10;

/// An object on its way. Memory: one part.
#[derive(Debug)]
pub(crate) struct ObjectWriter {
    store: Arc<dyn ObjectStore>,
    path: Path,
    runtime: Handle,
    part: Vec<u8>,
    upload: Option<Box<dyn MultipartUpload>>,
    sums: Summing,
}

impl ObjectWriter {
    /// Begins; asks nothing of the store yet. `runtime` runs the store's work; the caller's thread must not be one of
    /// its workers.
    pub(crate) fn new(store: &Arc<dyn ObjectStore>, path: Path, runtime: Handle) -> Self {
        Self { store: Arc::clone(store), path, runtime, part: Vec::new(), upload: None, sums: Summing::default() }
    }

    /// Makes the object whole, visible and durable. Gives its size and checksums.
    ///
    /// # Errors
    /// What the store said; there is no object then.
    pub(crate) fn finish(mut self) -> object_store::Result<BlockSums> {
        let sums = std::mem::take(&mut self.sums).finish();
        if self.upload.is_none() {
            let payload = std::mem::take(&mut self.part).into();
            self.runtime.clone().block_on(self.store.put(&self.path, payload))?;
            return Ok(sums);
        }
        if !self.part.is_empty() {
            self.send_part()?;
        }
        if let Some(upload) = &mut self.upload {
            self.runtime.block_on(upload.complete())?;
        }
        self.upload = None;
        Ok(sums)
    }

    fn send_part(&mut self) -> object_store::Result<()> {
        let part = std::mem::take(&mut self.part);
        if self.upload.is_none() {
            self.upload = Some(self.runtime.block_on(self.store.put_multipart(&self.path))?);
        }
        match &mut self.upload {
            Some(upload) => self.runtime.block_on(upload.put_part(part.into())),
            None => Ok(()),
        }
    }
}

impl Write for ObjectWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.part.capacity() == 0 && self.upload.is_some() {
            self.part.reserve_exact(PART_BYTES + PART_ROOM_BYTES);
        }
        self.part.extend_from_slice(bytes);
        self.sums.add(bytes);
        if self.part.len() >= PART_BYTES {
            self.send_part().map_err(io::Error::other)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for ObjectWriter {
    fn drop(&mut self) {
        if let Some(mut upload) = self.upload.take() {
            let _ = self.runtime.block_on(upload.abort());
        }
    }
}
