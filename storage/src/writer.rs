//! The only task that changes anything: WAL, write buffer and what is published.
//!
//! It runs on a thread of its own, so that a slow disk delays nobody but those who wait for it. One round:
//!
//! 1. take every append that waits (they gathered while the last sync ran),
//! 2. write their records, sync **once**,
//! 3. put the rows into the buffer and publish: new snapshots see them,
//! 4. answer all.
//!
//! A failed write or sync is final for its WAL file (D5): all who waited are refused, the file is left alone,
//! and the next append tries a fresh file first. Nothing is accepted until one works.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::TenantId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::buffer::{TableView, TenantView};
use crate::directory::Directory;
use crate::error::{Error, Result};
use crate::published::{Published, Reservation};
use crate::snapshot::BufferedRows;
use crate::table::Table;
use crate::wal::{Encoded, WalFile};

/// Bytes of records written under one sync; more waits for the next.
const GROUP_BYTES_MAX: u64 = 16 << 20;
/// Appends served by one sync.
const GROUP_APPENDS_MAX: usize = 1024;
/// Pause between attempts to open a fresh WAL file after a failure.
const PROBE_PAUSE: Duration = Duration::from_millis(200);

/// Rows of one table on their way into the buffer.
pub(crate) type TableRows = (&'static Table, Arc<BufferedRows>);

/// One append on its way.
#[derive(Debug)]
pub(crate) struct Append {
    pub tenant: TenantId,
    pub record: Encoded,
    pub rows: Vec<TableRows>,
    pub reservation: Reservation,
    pub reply: oneshot::Sender<Result<()>>,
}

/// Everything else the writer is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Rows of an old record.
    Replayed { tenant: TenantId, rows: Vec<TableRows>, sequence: u64 },
    /// Every old record was given; these files hold them.
    ReplayEnded {
        /// The files read.
        files: Vec<OldFile>,
        /// What snapshots say from now on, when rows were lost.
        incomplete: Option<Arc<String>>,
    },
    /// Take no more appends, make everything durable, and end.
    Close { reply: oneshot::Sender<Result<()>> },
}

/// A WAL file that is no longer written.
#[derive(Clone, Debug)]
pub(crate) struct OldFile {
    pub path: PathBuf,
    pub bytes: u64,
    /// No record in it has a larger sequence.
    pub last_sequence: u64,
    /// It goes to quarantine instead of away.
    pub is_damaged: bool,
}

/// The writer's own state.
#[derive(Debug)]
pub(crate) struct Writer {
    published: Arc<Published>,
    directory: Directory,
    appends: mpsc::Receiver<Append>,
    commands: mpsc::Receiver<Command>,
    stop: CancellationToken,
    /// `None` after a failure, until a fresh file works.
    wal: Option<WalFile>,
    /// First sequence of the next WAL file, when there is none now.
    next_sequence: u64,
    next_probe: Instant,
    last_sync: Instant,
    old_files: Vec<OldFile>,
}

impl Writer {
    /// Opens the first WAL file.
    ///
    /// # Errors
    /// [`Error::Write`] when it cannot be made.
    pub(crate) fn open(
        published: Arc<Published>,
        directory: Directory,
        next_sequence: u64,
        appends: mpsc::Receiver<Append>,
        commands: mpsc::Receiver<Command>,
        stop: CancellationToken,
    ) -> Result<Self> {
        let now = Instant::now();
        let mut writer = Self {
            published,
            directory,
            appends,
            commands,
            stop,
            wal: None,
            next_sequence,
            next_probe: now,
            last_sync: now,
            old_files: Vec::new(),
        };
        writer.open_file()?;
        Ok(writer)
    }

    /// Works until told to close or everybody has gone.
    pub(crate) async fn run(mut self) {
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Some(command) = self.commands.recv() => match command {
                    Command::Close { reply } => {
                        let _ = reply.send(self.close());
                        return;
                    }
                    command => self.handle(command),
                },
                append = self.appends.recv() => match append {
                    Some(append) => {
                        let group = self.gather(append).await;
                        self.commit(group);
                    }
                    None => break,
                },
            }
        }
        self.published.is_closed.store(true, Ordering::Release);
        self.refuse_waiting();
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Replayed { tenant, rows, sequence: _ } => {
                self.publish_rows([(tenant, rows)], |view| &mut view.replayed);
            }
            Command::ReplayEnded { files, incomplete } => {
                self.old_files.extend(files);
                self.end_replay();
                self.published.incomplete.store(incomplete);
            }
            Command::Close { .. } => {}
        }
    }

    /// The appends that will share a sync. Under load syncs keep `group_commit_ms` distance, so that more
    /// appends share one; a lone append after a pause goes at once.
    async fn gather(&mut self, first: Append) -> Vec<Append> {
        let mut bytes = first.record.len();
        let mut group = vec![first];
        let deadline = self.last_sync + Duration::from_millis(self.published.config.group_commit_ms);
        while bytes < GROUP_BYTES_MAX && group.len() < GROUP_APPENDS_MAX {
            let next = match self.appends.try_recv() {
                Ok(append) => Some(append),
                Err(_) => tokio::time::timeout_at(deadline, self.appends.recv()).await.ok().flatten(),
            };
            let Some(append) = next else { break };
            bytes += append.record.len();
            group.push(append);
        }
        group
    }

    /// One round: durable, visible, answered.
    fn commit(&mut self, mut group: Vec<Append>) {
        // Whoever has given up was told that nothing was written.
        group.retain(|append| !append.reply.is_closed());
        if group.is_empty() {
            return;
        }
        match self.write_group(&mut group) {
            Ok(()) => {
                let counters = &self.published.counters;
                counters.appended_records.add(group.len() as u64);
                let n_rows = group.iter().flat_map(|append| &append.rows).map(|(_, rows)| rows.records.num_rows());
                counters.appended_rows.add(n_rows.sum::<usize>() as u64);
                let mut replies = Vec::with_capacity(group.len());
                let mut rows = Vec::with_capacity(group.len());
                let mut reservations = Vec::with_capacity(group.len());
                for append in group {
                    rows.push((append.tenant, append.rows));
                    replies.push(append.reply);
                    reservations.push(append.reservation);
                }
                self.publish_rows(rows, |view| &mut view.fresh);
                for reply in replies {
                    let _ = reply.send(Ok(()));
                }
            }
            Err((path, error)) => {
                for append in group {
                    let source = std::io::Error::new(error.kind(), error.to_string());
                    self.published.counters.refused_appends.add(1);
                    let _ = append.reply.send(Err(Error::Write { path: path.clone(), source }));
                }
            }
        }
    }

    fn write_group(&mut self, group: &mut [Append]) -> Result<(), (PathBuf, std::io::Error)> {
        self.ensure_file()?;
        let Some(wal) = self.wal.as_mut() else { return Ok(()) };
        let before = wal.len();
        let written = group.iter_mut().try_for_each(|append| wal.write(&mut append.record).map(|_| ()));
        let result = written.and_then(|()| wal.sync());
        self.last_sync = Instant::now();
        if let Err(error) = result {
            return Err(self.give_up_file(error));
        }
        let n_bytes = wal.len() - before;
        self.published.counters.wal_syncs.add(1);
        self.published.counters.wal_written_bytes.add(n_bytes);
        self.published.wal_bytes.fetch_add(n_bytes, Ordering::AcqRel);
        Ok(())
    }

    /// A file that can take records: the one at hand unless it is full, or a fresh one.
    fn ensure_file(&mut self) -> Result<(), (PathBuf, std::io::Error)> {
        let is_full = self.wal.as_ref().is_some_and(|wal| wal.len() >= self.published.config.wal_file_bytes);
        if is_full {
            self.end_file();
        }
        if self.wal.is_some() {
            return Ok(());
        }
        if self.published.refusing.load().is_some() && Instant::now() < self.next_probe {
            let text = self.published.refusing.load().as_deref().cloned().unwrap_or_default();
            return Err((self.directory.paths.wal_dir(), std::io::Error::other(text)));
        }
        self.open_file().map_err(|error| match error {
            Error::Write { path, source } => (path, source),
            other => (self.directory.paths.wal_dir(), std::io::Error::other(other.to_string())),
        })
    }

    fn open_file(&mut self) -> Result<()> {
        let path = self.directory.paths.wal_file(self.next_sequence);
        let salt = uuid::Uuid::new_v4().as_u64_pair().0;
        match WalFile::create(path.clone(), self.next_sequence, salt) {
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

    /// Closes the file at hand in order; the next record opens a fresh one.
    fn end_file(&mut self) {
        let Some(wal) = self.wal.take() else { return };
        self.remember(&wal);
        let path = wal.path().to_owned();
        if let Err(error) = wal.end() {
            // Every record in it is synced; only the end mark is missing, and that is allowed.
            tracing::warn!(path = %path.display(), %error, "a WAL file was closed without its end mark");
        }
    }

    /// D5: the file is never used again.
    fn give_up_file(&mut self, error: std::io::Error) -> (PathBuf, std::io::Error) {
        let Some(wal) = self.wal.take() else { return (self.directory.paths.wal_dir(), error) };
        self.remember(&wal);
        let path = wal.path().to_owned();
        wal.abandon();
        self.published.counters.wal_failures.add(1);
        self.refuse(&path, &error);
        (path, error)
    }

    fn remember(&mut self, wal: &WalFile) {
        // The end mark takes a sequence too.
        self.next_sequence = wal.next_sequence() + 1;
        self.old_files.push(OldFile {
            path: wal.path().to_owned(),
            bytes: wal.len(),
            last_sequence: wal.next_sequence(),
            is_damaged: false,
        });
    }

    fn refuse(&mut self, path: &std::path::Path, error: &std::io::Error) {
        self.next_probe = Instant::now() + PROBE_PAUSE;
        let text = format!("cannot write {}: {error}", path.display());
        if self.published.refusing.swap(Some(Arc::new(text))).is_none() {
            tracing::error!(path = %path.display(), %error, "writes are refused until a fresh WAL file can be written");
        }
    }

    /// Puts rows into one of the lists of their tables and publishes each tenant once.
    fn publish_rows(
        &self,
        groups: impl IntoIterator<Item = (TenantId, Vec<TableRows>)>,
        list: impl Fn(&mut TableView) -> &mut crate::buffer::RowList,
    ) {
        let mut views: HashMap<TenantId, TenantView> = HashMap::new();
        let (mut n_rows, mut n_bytes) = (0, 0);
        for (tenant, rows) in groups {
            let view = views.entry(tenant).or_insert_with_key(|tenant| self.view(tenant));
            for (table, rows) in rows {
                n_rows += rows.records.num_rows() as u64;
                n_bytes += rows.bytes;
                let table_view = &mut view.tables[table.index()];
                // The first change copies pointers; further ones of this round change the copy.
                if Arc::get_mut(table_view).is_none() {
                    *table_view = Arc::new(table_view.change());
                }
                if let Some(changed) = Arc::get_mut(table_view) {
                    list(changed).push(rows);
                }
            }
        }
        self.published.buffer_rows.fetch_add(n_rows, Ordering::AcqRel);
        self.published.buffer_bytes.fetch_add(n_bytes, Ordering::AcqRel);
        for (tenant, view) in views {
            self.published.publish(&tenant, view);
        }
        self.published.announce();
    }

    fn view(&self, tenant: &TenantId) -> TenantView {
        self.published.view(tenant).map_or_else(TenantView::new, |view| TenantView::clone(&view))
    }

    /// Rows of old files and new rows become one list.
    fn end_replay(&mut self) {
        for (tenant, cell) in self.published.tenants().iter() {
            let mut view = TenantView::clone(&cell.load());
            for table in view.tables.iter_mut().filter(|table| !table.replayed.is_empty()) {
                let mut changed = table.change();
                let fresh = std::mem::take(&mut changed.fresh);
                changed.fresh = std::mem::take(&mut changed.replayed);
                changed.fresh.append(&fresh);
                *table = Arc::new(changed);
            }
            self.published.publish(tenant, view);
        }
        self.published.replayed_bytes.store(0, Ordering::Release);
        self.published.is_replaying.store(false, Ordering::Release);
        self.published.announce();
    }

    /// Serves what still waits, then ends the WAL file.
    fn close(&mut self) -> Result<()> {
        self.published.is_closed.store(true, Ordering::Release);
        self.appends.close();
        let mut group = Vec::new();
        while let Ok(append) = self.appends.try_recv() {
            group.push(append);
        }
        self.commit(group);
        self.end_file();
        Ok(())
    }

    fn refuse_waiting(&mut self) {
        self.appends.close();
        while let Ok(append) = self.appends.try_recv() {
            let _ = append.reply.send(Err(Error::Closed));
        }
    }
}
