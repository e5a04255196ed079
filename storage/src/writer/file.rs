//! The WAL file at hand: opened, ended, and given up after a failure (D5).

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::{Fate, OldFile, Writer};
use crate::error::{Error, Result};
use crate::wal::WalFile;

/// Pause between attempts to open a fresh WAL file after a failure.
pub(super) const PROBE_PAUSE: Duration = Duration::from_millis(200);

impl Writer {
    /// A file that can take records: the one at hand unless it is full, or a fresh one.
    pub(super) fn ensure_file(&mut self) -> Result<(), (PathBuf, std::io::Error)> {
        let is_full =
            self.wal.as_ref().is_some_and(|wal| wal.is_ended() || wal.len() >= self.published.config.wal_file_bytes);
        if is_full {
            self.end_file();
        }
        if self.wal.is_some() {
            return Ok(());
        }
        if self.published.refusing.load().is_some() && Instant::now() < self.next_probe {
            let text = self.published.refusing.load().as_deref().cloned().unwrap_or_default();
            return Err((self.next_file_name(), std::io::Error::other(text)));
        }
        self.open_file().map_err(|error| match error {
            Error::Write { path, source } => (path, source),
            other => (self.next_file_name(), std::io::Error::other(other.to_string())),
        })
    }

    pub(super) fn open_file(&mut self) -> Result<()> {
        let path = self.next_file_name();
        match self.published.place.wal.first_sequence(self.next_sequence) {
            Ok(first_sequence) => self.next_sequence = first_sequence,
            Err(source) => {
                self.refuse(&path, &source);
                return Err(Error::Write { path, source });
            }
        }
        let path = self.next_file_name();
        let salt = uuid::Uuid::new_v4().as_u64_pair().0;
        match WalFile::create(&self.published.place.wal, self.next_sequence, salt) {
            Ok(wal) => {
                self.published.wal_bytes.fetch_add(wal.len(), Ordering::AcqRel);
                self.next_sequence = wal.next_sequence();
                self.wal = Some(wal);
                if self.published.refusing.swap(None).is_some() {
                    tracing::info!("writes are taken again");
                }
                Ok(())
            }
            Err(source) => {
                self.refuse(&path, &source);
                Err(Error::Write { path, source })
            }
        }
    }

    /// Name of a file that begins with the next record.
    pub(super) fn next_file_name(&self) -> PathBuf {
        self.published.place.wal.name(self.next_sequence)
    }

    /// Closes the file at hand in order; the next record opens a fresh one.
    pub(super) fn end_file(&mut self) {
        let Some(wal) = self.wal.take() else { return };
        self.remember(&wal);
        let path = wal.name();
        if let Err(error) = wal.end() {
            // Every record in it is synced; only the end mark is missing, and that is allowed.
            tracing::warn!(path = %path.display(), %error, "a WAL file was closed without its end mark");
        }
    }

    /// D5: the file is never used again.
    pub(super) fn give_up_file(&mut self, error: std::io::Error) -> (PathBuf, std::io::Error) {
        let Some(wal) = self.wal.take() else { return (self.next_file_name(), error) };
        self.remember(&wal);
        let path = wal.name();
        wal.abandon();
        self.published.counters.wal_failures.add(1);
        self.refuse(&path, &error);
        (path, error)
    }

    fn remember(&mut self, wal: &WalFile) {
        if wal.len() == 0 {
            // A file of a store of whole objects that never got a record: there is no such object, its name is free.
            self.next_sequence = wal.first_sequence();
            return;
        }
        // The end mark takes a sequence too.
        self.next_sequence = wal.next_sequence() + 1;
        self.old_files.push(OldFile {
            first_sequence: wal.first_sequence(),
            bytes: wal.len(),
            last_sequence: wal.next_sequence(),
            fate: Fate::Remove,
        });
    }

    fn refuse(&mut self, path: &std::path::Path, error: &std::io::Error) {
        let is_full = matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
        let since = if is_full {
            // Space comes back without a restart.
            self.refusing_since = None;
            Instant::now()
        } else {
            *self.refusing_since.get_or_insert_with(Instant::now)
        };
        let limit = Duration::from_secs(self.published.config.give_up_after_s);
        if !limit.is_zero() && since.elapsed() >= limit {
            let text = format!("no WAL file could be written for {} s: {}: {error}", limit.as_secs(), path.display());
            self.published.failure.send_replace(Some(text));
        }
        self.next_probe = Instant::now() + PROBE_PAUSE;
        let text = format!("cannot write {}: {error}", path.display());
        if self.published.refusing.swap(Some(Arc::new(text))).is_none() {
            tracing::error!(path = %path.display(), %error, "writes are refused until a fresh WAL file can be written");
        }
    }
}
