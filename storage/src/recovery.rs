//! Replay: puts the records of old WAL files back into the buffer, behind an ingest that is already open.
//!
//! Runs on a thread of its own and reads one record at a time. Rows that a table log already covers are
//! skipped, so replaying twice is replaying once. A damaged record is counted and its file kept for people;
//! everything else in that file is recovered. Recovery deletes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use model::TenantId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::buffer;
use crate::error::{Error, Result};
use crate::flush::Logs;
use crate::paths::Paths;
use crate::published::Published;
use crate::table::{TABLES, Table};
use crate::table_log::TableLog;
use crate::wal::payload::{Schemas, decode_append};
use crate::wal::record::{FILE_HEAD_BYTES, RECORD_HEADER_BYTES, RecordKind, VERSION};
use crate::wal::{Found, WalReader};
use crate::writer::{Command, OldFile, TableRows};

/// Table logs opened at the same time.
const LOGS_AT_ONCE: usize = 8;

/// What lies in the WAL directory at open.
#[derive(Debug, Default)]
pub(crate) struct OldWal {
    /// Files in sequence order.
    pub files: Vec<OldFile>,
    /// Larger than any sequence in them.
    pub next_sequence: u64,
}

/// Lists old files without reading their records: cheap, whatever their size.
///
/// A file of n bytes holds fewer than n / 32 records, which bounds its last sequence; so does the first one of
/// the next file.
///
/// # Errors
/// [`Error::Open`] for a file of a newer release, before anything was touched.
pub(crate) fn look(paths: &Paths) -> Result<OldWal> {
    let refuse = |detail: String| Error::Open { path: paths.root().to_owned(), detail };
    let io = |error: std::io::Error| refuse(format!("cannot read its WAL: {error}"));
    let mut found: Vec<(u64, PathBuf, u64)> = Vec::new();
    for entry in std::fs::read_dir(paths.wal_dir()).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        let Some(first) = name.to_str().and_then(Paths::parse_wal_file) else { continue };
        found.push((first, entry.path(), entry.metadata().map_err(io)?.len()));
    }
    found.sort();
    let mut old = OldWal { files: Vec::with_capacity(found.len()), next_sequence: 1 };
    for (first, path, bytes) in found {
        if let Some(reader) = WalReader::open(&path).map_err(io)?
            && reader.header().version > VERSION
        {
            let detail = format!(
                "{} has WAL version {}, this release knows up to {VERSION}; run the newer release that wrote it",
                path.display(),
                reader.header().version
            );
            return Err(refuse(detail));
        }
        let last_sequence = first + bytes.saturating_sub(FILE_HEAD_BYTES as u64) / RECORD_HEADER_BYTES as u64;
        // The bound of a long file reaches far beyond the first sequence of the file after it. It must not: new
        // records would get sequences that count as flushed, and their files would go before their rows are safe.
        if let Some(before) = old.files.last_mut() {
            before.last_sequence = before.last_sequence.min(first.saturating_sub(1));
        }
        old.next_sequence = last_sequence + 1;
        old.files.push(OldFile { path, bytes, last_sequence, is_damaged: false });
    }
    Ok(old)
}

/// Opens the table logs of every tenant.
///
/// # Errors
/// [`Error::TableLog`] when one cannot be read.
pub(crate) async fn open_logs(paths: &Paths, writer: &str) -> Result<Logs> {
    let refuse =
        |error: std::io::Error| Error::Open { path: paths.root().to_owned(), detail: format!("cannot list: {error}") };
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(paths.tenants_dir()) {
        Ok(entries) => entries.collect::<std::io::Result<Vec<_>>>().map_err(refuse)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(refuse(error)),
    };
    for entry in entries {
        let Some(tenant) = entry.file_name().to_str().and_then(TenantId::new) else { continue };
        for table in TABLES.iter().copied().filter(|table| paths.table_dir(&tenant, table).is_dir()) {
            found.push((tenant.clone(), table));
        }
    }
    let logs = futures::stream::iter(found).map(async |(tenant, table): (TenantId, &'static Table)| {
        let log = TableLog::open(paths, &tenant, table, writer).await?;
        remove_temporaries(&paths.table_dir(&tenant, table));
        Ok::<_, Error>(((tenant, table.index()), log))
    });
    logs.buffer_unordered(LOGS_AT_ONCE).try_collect().await
}

/// Files that a crash left half-written; their names say so.
fn remove_temporaries(table_dir: &Path) {
    let Ok(entries) = std::fs::read_dir(table_dir) else { return };
    let dirs = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    let files = dirs.filter_map(|dir| std::fs::read_dir(dir).ok()).flat_map(|entries| entries.flatten());
    for path in files.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|ext| ext == "tmp")) {
        let _ = std::fs::remove_file(path);
    }
}

/// Replays old files in order and hands their rows to the writer.
#[derive(Debug)]
pub(crate) struct Replay {
    pub published: Arc<Published>,
    pub commands: mpsc::Sender<Command>,
    pub stop: CancellationToken,
    pub files: Vec<OldFile>,
}

impl Replay {
    /// Runs to the end, or until told to stop. `is_covered` says whether a table log holds the tenant's rows
    /// of a record already.
    pub(crate) fn run(mut self, is_covered: &dyn Fn(&TenantId, &'static Table, u64) -> bool) {
        let mut unreadable = 0;
        for file in &mut self.files {
            let step = ReplayFile { published: &self.published, commands: &self.commands, stop: &self.stop };
            match step.run(&file.path, is_covered) {
                Ok(is_whole) => file.is_damaged = !is_whole,
                Err(error) => {
                    tracing::error!(path = %file.path.display(), %error, "a WAL file cannot be read; it is kept");
                    unreadable += 1;
                    file.is_damaged = true;
                }
            }
            if self.stop.is_cancelled() {
                return;
            }
        }
        let n_damaged = self.files.iter().filter(|file| file.is_damaged).count();
        let incomplete = (n_damaged > 0).then(|| {
            Arc::new(format!(
                "{n_damaged} WAL files were damaged ({unreadable} cannot be read): {} records were lost; see quarantine/",
                self.published.counters.damaged_records.get()
            ))
        });
        // The writer makes the rows visible first; it takes commands in order.
        if self.commands.blocking_send(Command::ReplayEnded { files: self.files, incomplete }).is_ok() {
            tracing::info!(
                records = self.published.counters.replayed_records.get(),
                rows = self.published.counters.replayed_rows.get(),
                "old WAL files were replayed"
            );
        }
    }
}

struct ReplayFile<'a> {
    published: &'a Published,
    commands: &'a mpsc::Sender<Command>,
    stop: &'a CancellationToken,
}

impl ReplayFile<'_> {
    /// True when the file was whole (or torn at its end, as a crash leaves it).
    fn run(&self, path: &Path, is_covered: &dyn Fn(&TenantId, &'static Table, u64) -> bool) -> std::io::Result<bool> {
        let counters = &self.published.counters;
        let Some(mut reader) = WalReader::open(path)? else {
            // A crash while the file was made leaves a short head and nothing else.
            let len = std::fs::metadata(path)?.len();
            let is_torn = len < (FILE_HEAD_BYTES + RECORD_HEADER_BYTES) as u64;
            if is_torn {
                counters.torn_tails.add(1);
            } else {
                tracing::error!(path = %path.display(), "the head of a WAL file is damaged: its records cannot be read");
                counters.damaged_records.add(1);
                counters.damaged_bytes.add(len);
            }
            return Ok(is_torn);
        };
        let mut schemas = Schemas::new();
        let mut is_whole = true;
        while let Some(found) = reader.next()? {
            if self.stop.is_cancelled() {
                return Ok(is_whole);
            }
            match found {
                Found::TornTail { bytes } => {
                    counters.torn_tails.add(1);
                    tracing::info!(path = %path.display(), bytes, "a WAL file ends in the middle of a record, as after a crash");
                }
                Found::Damage { records, bytes } => {
                    is_whole = false;
                    counters.damaged_records.add(records);
                    counters.damaged_bytes.add(bytes);
                    tracing::error!(path = %path.display(), records, bytes, "a WAL file is damaged: records were lost");
                }
                Found::Record { kind: RecordKind::End, .. } => {}
                Found::Record { kind: RecordKind::Schema, payload, .. } => {
                    if let Err(error) = schemas.add(&payload) {
                        tracing::warn!(path = %path.display(), error, "a schema record cannot be read");
                    }
                }
                Found::Record { kind: RecordKind::Append, sequence, payload } => {
                    let wanted = |tenant: &TenantId, table| !is_covered(tenant, table, sequence);
                    match decode_append(&payload, &schemas, wanted) {
                        Ok((tenant, batches)) => {
                            let rows = batches.into_iter().filter_map(|decoded| {
                                let batch = decoded.batch;
                                let rows = buffer::rows(batch.records().clone(), batch.time_range(), decoded.bytes)?;
                                Some((batch.table(), rows))
                            });
                            self.hand_over(tenant, rows.collect(), sequence);
                        }
                        Err(error) => {
                            is_whole = false;
                            counters.damaged_records.add(1);
                            counters.damaged_bytes.add(payload.len() as u64);
                            tracing::error!(path = %path.display(), sequence, error, "a WAL record cannot be read");
                        }
                    }
                }
            }
        }
        Ok(is_whole)
    }

    /// Gives the rows to the writer; waits while the buffer holds enough of them.
    fn hand_over(&self, tenant: TenantId, rows: Vec<TableRows>, sequence: u64) {
        if rows.is_empty() {
            return;
        }
        let n_rows: usize = rows.iter().map(|(_, rows)| rows.records.num_rows()).sum();
        let n_bytes: u64 = rows.iter().map(|(_, rows)| rows.bytes).sum();
        let limit = self.published.config.buffer_bytes_max.saturating_mul(2);
        while self.published.replayed_bytes.load(Ordering::Acquire) > limit && !self.stop.is_cancelled() {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.published.replayed_bytes.fetch_add(n_bytes, Ordering::AcqRel);
        self.published.counters.replayed_records.add(1);
        self.published.counters.replayed_rows.add(n_rows as u64);
        let _ = self.commands.blocking_send(Command::Replayed { tenant, rows, sequence });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A long file before a short one: fresh records once got sequences that the long file's bound counted as
    /// flushed, and a file of acknowledged rows was removed before they were in a segment.
    #[test]
    fn d2_bounds_of_old_files_stay_below_new_sequences() {
        let dir = tempfile::TempDir::new().expect("a folder");
        let paths = Paths::new(dir.path());
        std::fs::create_dir_all(paths.wal_dir()).expect("a folder");
        for (first, bytes) in [(100, 64 << 10), (500, 10), (501, 0)] {
            std::fs::write(paths.wal_file(first), vec![0; bytes]).expect("a file");
        }
        let old = look(&paths).expect("nothing newer is there");
        let bounds: Vec<u64> = old.files.iter().map(|file| file.last_sequence).collect();
        assert_eq!((bounds, old.next_sequence), (vec![499, 500, 501], 502));
    }
}
