//! Writes sealed generations of the buffer to segments and commits them, on a thread of its own.
//!
//! A generation is everything accepted up to one WAL sequence. Its tables are written one after the other, and
//! each is published as soon as it is committed. A failure (a full disk, say) keeps the rows where they are, in
//! the WAL and in the buffer, and is tried again with growing pauses; what was committed is not written twice.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use model::TenantId;
use object_store::path::Path;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::disk::Hold;
use crate::error::{Error, Result};
use crate::paths;
use crate::published::Published;
use crate::segment::{self, Target, Written};
use crate::snapshot::BufferedRows;
use crate::table::Table;
use crate::table_log::{Change, TableLog};
use crate::writer::{Command, Fate, OldFile};

/// First pause after a failed attempt; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// Longest pause between attempts: space that was freed is noticed after at most so long.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Logs by tenant and position of the table.
pub(crate) type Logs = HashMap<(TenantId, usize), TableLog>;

/// What the writer asks for.
#[derive(Debug)]
pub(crate) enum Job {
    /// Write these rows; they are all the unwritten ones up to `sequence`.
    Flush { tables: Vec<SealedTable>, sequence: u64 },
    /// These WAL files are covered by durable commits.
    Remove { files: Vec<OldFile> },
    /// Replace segments by others; from maintenance, one at a time.
    Replace(Replacement),
}

/// Segments that take the place of others.
#[derive(Debug)]
pub(crate) struct Replacement {
    pub tenant: TenantId,
    pub table: &'static Table,
    pub removed: Vec<Path>,
    pub added: Vec<Written>,
    pub change: Change,
    /// True when it is done; false when one of `removed` is not part of the table any more.
    pub reply: SyncSender<Result<bool>>,
}

/// Rows of one table in a sealed generation.
#[derive(Debug)]
pub(crate) struct SealedTable {
    pub tenant: TenantId,
    pub table: &'static Table,
    pub rows: Vec<Arc<BufferedRows>>,
}

/// The flushing thread's state.
#[derive(Debug)]
pub(crate) struct Flusher {
    pub published: Arc<Published>,
    pub logs: Logs,
    /// The table whose rows are being written, and the sequence that its commit will cover.
    pub at_hand: Option<(TenantId, &'static Table, u64)>,
    /// Segments of the table at hand whose commit was reported as failed.
    pub doubtful: Vec<Written>,
    pub jobs: Receiver<Job>,
    /// Taken from `jobs` while something else was waited for.
    pub waiting: VecDeque<Job>,
    /// For the table logs, which are async.
    pub runtime: Runtime,
    pub commands: mpsc::Sender<Command>,
    pub stop: CancellationToken,
    /// Held until nothing is written any more.
    pub hold: Arc<dyn Hold>,
}

impl Flusher {
    /// Works until the writer has gone.
    pub(crate) fn run(mut self) {
        while let Some(job) = self.waiting.pop_front().or_else(|| self.jobs.recv().ok()) {
            match job {
                Job::Flush { .. } if self.stop.is_cancelled() => {}
                Job::Flush { tables, sequence } => {
                    let is_whole = self.flush(tables, sequence);
                    let _ = self.commands.blocking_send(Command::FlushEnded { sequence, is_whole });
                }
                Job::Remove { files } => self.remove(&files),
                Job::Replace(replacement) => self.replace(replacement),
            }
        }
        tracing::debug!(hold = ?self.hold, "the flusher ends");
    }

    /// True when every table was committed; false when told to stop before that.
    fn flush(&mut self, tables: Vec<SealedTable>, sequence: u64) -> bool {
        let started = Instant::now();
        let mut pause = PAUSE_MIN;
        for sealed in tables {
            self.at_hand = Some((sealed.tenant.clone(), sealed.table, sequence));
            loop {
                match self.attempt(&sealed, sequence) {
                    Ok(()) => break,
                    Err(error) => {
                        self.published.counters.flush_failures.add(1);
                        tracing::error!(
                            tenant = %sealed.tenant, table = sealed.table.name, %error,
                            "segments cannot be written; the rows stay in the WAL and in the buffer"
                        );
                        let _ = self.commands.blocking_send(Command::FlushFailed { error });
                        // Someone who closes does not want to wait for a disk that is full.
                        if self.published.is_closed.load(Ordering::Acquire) || !self.wait(pause) {
                            return false;
                        }
                        pause = (pause * 2).min(PAUSE_MAX);
                    }
                }
            }
            if self.stop.is_cancelled() {
                return false;
            }
        }
        self.at_hand = None;
        self.published.counters.flushes.add(1);
        tracing::debug!(sequence, elapsed_ms = started.elapsed().as_millis() as u64, "a generation was flushed");
        true
    }

    /// Waits; false when told to stop or when storage is closing. Replacements are made meanwhile: on a full disk they
    /// may be what gives space back.
    fn wait(&mut self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        while Instant::now() < until {
            if self.stop.is_cancelled() || self.published.is_closed.load(Ordering::Acquire) {
                return !self.stop.is_cancelled();
            }
            match self.jobs.recv_timeout(Duration::from_millis(10)) {
                Ok(Job::Replace(replacement)) => self.replace(replacement),
                Ok(other) => self.waiting.push_back(other),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        true
    }

    /// Commits a replacement and has it published.
    fn replace(&mut self, replacement: Replacement) {
        let Replacement { tenant, table, removed, added, change, reply } = replacement;
        let replaced = self.open_log(&tenant, table).and_then(|()| {
            let Some(log) = self.logs.get_mut(&(tenant.clone(), table.index())) else { return Ok(None) };
            let now = self.published.clock.now();
            let is_done = self.runtime.block_on(log.replace(&removed, &added, change, now))?;
            Ok(is_done.then(|| (log.version, Arc::clone(&log.segments), log.covered)))
        });
        let answer = replaced.map(|replaced| match replaced {
            None => false,
            Some((version, segments, covered)) => {
                // A commit of the flush at hand that was reported as failed may have been made after all: its segments are
                // among these, so its rows must leave the buffer with the same step.
                let is_flushed = self.at_hand.as_ref().is_some_and(|(flushed, flushed_table, sequence)| {
                    *flushed == tenant && *flushed_table == table && covered >= *sequence
                });
                let owner = tenant.clone();
                let command = if is_flushed {
                    Command::Flushed { tenant: owner, table, version, segments }
                } else {
                    Command::Replaced { tenant: owner, table, version, segments }
                };
                let _ = self.commands.blocking_send(command);
                self.shorten_log(&tenant, table);
                true
            }
        });
        let _ = reply.send(answer);
    }

    fn open_log(&mut self, tenant: &TenantId, table: &'static Table) -> Result<()> {
        let key = (tenant.clone(), table.index());
        if !self.logs.contains_key(&key) {
            let log = self.runtime.block_on(TableLog::open(&self.published.place, tenant, table))?;
            self.logs.insert(key, log);
        }
        Ok(())
    }

    fn shorten_log(&self, tenant: &TenantId, table: &'static Table) {
        if let Some(log) = self.logs.get(&(tenant.clone(), table.index()))
            && log.wants_checkpoint()
            && let Err(error) = self.runtime.block_on(log.checkpoint())
        {
            tracing::warn!(table = table.name, %error, "the table log could not be shortened; it works as it is");
        }
    }

    /// One attempt. A panic in an encoder is a failure like any other: the rows stay, and people are told.
    fn attempt(&mut self, sealed: &SealedTable, sequence: u64) -> Result<()> {
        let attempt = std::panic::AssertUnwindSafe(|| self.flush_table(sealed, sequence));
        std::panic::catch_unwind(attempt).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let detail = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(Error::TableLog { table: sealed.table.name, detail: detail.unwrap_or_else(|| "panicked".to_owned()) })
        })
    }

    fn flush_table(&mut self, sealed: &SealedTable, sequence: u64) -> Result<()> {
        let SealedTable { tenant, table, rows } = sealed;
        self.open_log(tenant, table)?;
        let Some(log) = self.logs.get_mut(&(tenant.clone(), table.index())) else { return Ok(()) };
        self.runtime.block_on(log.begin())?;
        let target = Target {
            store: Arc::clone(&self.published.place.store),
            table: paths::table(tenant, table),
            runtime: self.runtime.handle().clone(),
            in_flight: self.published.in_flight.clone(),
        };
        let files = segment::write(&target, table, rows, self.published.config.retention_days)?;
        let written = || files.iter().map(|file| file.meta.path.clone());
        let now = self.published.clock.now();
        match self.runtime.block_on(log.append(&files, sequence, now)) {
            // What earlier attempts wrote is not part of the table.
            Ok(true) => segment::remove(&target, self.doubtful.drain(..).map(|file| file.meta.path.clone())),
            // An earlier attempt was committed after all, and these files are not part of the table.
            Ok(false) => {
                self.doubtful.clear();
                segment::remove(&target, written());
            }
            // Found out before anything was committed.
            Err(error @ Error::TakenOver { .. }) => {
                segment::remove(&target, written());
                return Err(error);
            }
            Err(error) => {
                // They may be part of the table: the next attempt finds out.
                self.doubtful.extend(files);
                return Err(error);
            }
        }
        self.published.counters.flushed_segments.add(files.len() as u64);
        self.published.counters.flushed_rows.add(files.iter().map(|file| file.meta.n_rows).sum());
        let flushed = Command::Flushed {
            tenant: tenant.clone(),
            table,
            version: log.version,
            segments: Arc::clone(&log.segments),
        };
        let _ = self.commands.blocking_send(flushed);
        self.shorten_log(tenant, table);
        Ok(())
    }

    /// Covered WAL files leave the disk; damaged ones go to quarantine for people.
    fn remove(&self, files: &[OldFile]) {
        let wal = &self.published.place.wal;
        for file in files {
            let result = match file.fate {
                Fate::Remove => wal.remove(file.first_sequence),
                Fate::Quarantine => wal.quarantine(file.first_sequence),
                Fate::Stay => continue,
            };
            match result {
                Ok(()) => {
                    self.published.wal_bytes.fetch_sub(file.bytes, Ordering::AcqRel);
                }
                Err(error) => {
                    let path = wal.name(file.first_sequence);
                    tracing::warn!(path = %path.display(), %error, "a covered WAL file cannot be moved away");
                }
            }
        }
        wal.settle();
    }
}
