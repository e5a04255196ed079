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

mod file;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use model::TenantId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::buffer::{RowList, TableView, TenantView};
use crate::disk::Hold;
use crate::error::{Error, Result};
use crate::flush::{Job, SealedTable};
use crate::published::{Published, Reservation};
use crate::snapshot::{BufferedRows, SegmentMeta};
use crate::table::Table;
use crate::wal::{Encoded, WalFile};

/// Bytes of records written under one sync; more waits for the next.
const GROUP_BYTES_MAX: u64 = 16 << 20;
/// Appends served by one sync.
const GROUP_APPENDS_MAX: usize = 1024;

/// Rows of one table on their way into the buffer.
pub(crate) type TableRows = (&'static Table, Arc<BufferedRows>);

/// One append on its way.
#[derive(Debug)]
pub(crate) struct Append {
    pub tenant: TenantId,
    pub record: Encoded,
    pub rows: Vec<TableRows>,
    pub reservation: Reservation,
    /// Whoever waits is told by then that nothing was written.
    pub deadline: Instant,
    pub reply: oneshot::Sender<Result<()>>,
}

/// Everything else the writer is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Rows of an old record.
    Replayed { tenant: TenantId, rows: Vec<TableRows>, sequence: u64 },
    /// A table of the sealed generation is committed: from here on its rows are read from these segments.
    Flushed { tenant: TenantId, table: &'static Table, version: i64, segments: Arc<[Arc<SegmentMeta>]> },
    /// Segments were replaced by others; the buffer has nothing to do with it.
    Replaced { tenant: TenantId, table: &'static Table, version: i64, segments: Arc<[Arc<SegmentMeta>]> },
    /// An attempt to write the sealed generation failed; another follows unless storage is closing.
    FlushFailed { error: Error },
    /// The sealed generation is in segments, or was given up because storage is closing.
    FlushEnded { sequence: u64, is_whole: bool },
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
    /// No record in it has a smaller sequence. Its name.
    pub first_sequence: u64,
    pub bytes: u64,
    /// No record in it has a larger sequence.
    pub last_sequence: u64,
    /// What happens to it when its rows are in segments.
    pub fate: Fate,
}

/// What happens to a WAL file whose rows are in segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes.
    Remove,
    /// It is damaged: it goes to quarantine.
    Quarantine,
    /// It could not be read: it stays, for the next start.
    Stay,
}

/// The writer's own state.
#[derive(Debug)]
pub(crate) struct Writer {
    published: Arc<Published>,
    /// Held as long as the writer lives.
    _hold: Arc<dyn Hold>,
    appends: mpsc::Receiver<Append>,
    commands: mpsc::Receiver<Command>,
    stop: CancellationToken,
    /// `None` after a failure, until a fresh file works.
    wal: Option<WalFile>,
    /// First sequence of the next WAL file, when there is none now.
    next_sequence: u64,
    next_probe: Instant,
    /// When the first of an unbroken row of failures was, a full disk apart.
    refusing_since: Option<Instant>,
    last_sync: Instant,
    /// Files whose rows are not all in segments yet, in sequence order.
    old_files: Vec<OldFile>,
    jobs: SyncSender<Job>,
    /// A generation is being written to segments.
    is_flushing: bool,
    /// Rows of records up to this sequence are in segments, all tables and tenants.
    flushed_sequence: u64,
    /// When the oldest row of the fresh lists came; `None` while they are empty.
    fresh_since: Option<Instant>,
    /// Bytes in the fresh lists.
    fresh_bytes: u64,
    /// Bytes in the replayed lists.
    replayed_bytes: u64,
    /// Sequence of the newest replayed record.
    replayed_sequence: u64,
    closing: Option<Closing>,
}

/// Someone waits for the end.
#[derive(Debug)]
struct Closing {
    reply: oneshot::Sender<Result<()>>,
    error: Option<Error>,
}

impl Writer {
    /// Opens the first WAL file.
    ///
    /// # Errors
    /// [`Error::Write`] when it cannot be made.
    pub(crate) fn open(
        published: Arc<Published>,
        hold: Arc<dyn Hold>,
        next_sequence: u64,
        appends: mpsc::Receiver<Append>,
        commands: mpsc::Receiver<Command>,
        jobs: SyncSender<Job>,
        stop: CancellationToken,
    ) -> Result<Self> {
        let now = Instant::now();
        let mut writer = Self {
            published,
            _hold: hold,
            appends,
            commands,
            stop,
            wal: None,
            next_sequence,
            next_probe: now,
            refusing_since: None,
            last_sync: now,
            old_files: Vec::new(),
            jobs,
            is_flushing: false,
            flushed_sequence: 0,
            fresh_since: None,
            fresh_bytes: 0,
            replayed_bytes: 0,
            replayed_sequence: 0,
            closing: None,
        };
        writer.open_file()?;
        Ok(writer)
    }

    /// Works until told to close or everybody has gone.
    pub(crate) async fn run(mut self) {
        loop {
            self.seal_if_due();
            if self.is_at_rest() {
                break;
            }
            let due = self.seal_due();
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Some(command) = self.commands.recv() => self.handle(command),
                append = self.appends.recv(), if self.closing.is_none() => match append {
                    Some(append) => {
                        let group = self.gather(append).await;
                        self.commit(group);
                    }
                    None => break,
                },
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
        self.published.is_closed.store(true, Ordering::Release);
        self.refuse_waiting();
        if let Some(closing) = self.closing.take() {
            self.end_file();
            // Nothing is left to replay: an orderly end leaves no WAL behind.
            if closing.error.is_none() && self.fresh_since.is_none() && !self.is_replaying() {
                self.flushed_sequence = self.next_sequence;
            }
            self.remove_covered();
            let _ = closing.reply.send(closing.error.map_or(Ok(()), Err));
        }
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Replayed { tenant, rows, sequence } => {
                self.replayed_sequence = self.replayed_sequence.max(sequence);
                self.replayed_bytes += rows.iter().map(|(_, rows)| rows.bytes).sum::<u64>();
                self.publish_rows([(tenant, rows)], |view| &mut view.replayed);
            }
            Command::ReplayEnded { files, incomplete } => self.end_replay(files, incomplete),
            Command::Flushed { tenant, table, version, segments } => {
                let mut view = self.view(&tenant);
                let mut changed = view.tables[table.index()].change();
                self.published.buffer_bytes.fetch_sub(changed.sealed.bytes(), Ordering::AcqRel);
                self.published.buffer_rows.fetch_sub(changed.sealed.n_rows(), Ordering::AcqRel);
                changed.sealed = RowList::default();
                changed.version = version;
                changed.segments = segments;
                view.tables[table.index()] = Arc::new(changed);
                self.published.publish(&tenant, view);
                self.published.announce();
            }
            Command::Replaced { tenant, table, version, segments } => {
                let mut view = self.view(&tenant);
                let mut changed = view.tables[table.index()].change();
                changed.version = version;
                changed.segments = segments;
                view.tables[table.index()] = Arc::new(changed);
                self.published.publish(&tenant, view);
                self.published.announce();
            }
            Command::FlushFailed { error } => {
                if let Some(closing) = &mut self.closing {
                    closing.error.get_or_insert(error);
                }
            }
            Command::FlushEnded { sequence, is_whole } => {
                self.is_flushing = false;
                if is_whole {
                    self.flushed_sequence = self.flushed_sequence.max(sequence);
                    self.published.flushed_sequence.store(self.flushed_sequence, Ordering::Release);
                    self.remove_covered();
                } else if let Some(closing) = &mut self.closing {
                    closing.error.get_or_insert(Error::Closed);
                }
            }
            Command::Close { reply } => {
                self.published.is_closed.store(true, Ordering::Release);
                self.appends.close();
                let mut group = Vec::new();
                while let Ok(append) = self.appends.try_recv() {
                    group.push(append);
                }
                self.commit(group);
                self.closing = Some(Closing { reply, error: None });
            }
        }
    }

    fn is_replaying(&self) -> bool {
        self.published.is_replaying.load(Ordering::Acquire)
    }

    /// Storage is closing, and what could be written is written. A replay that is not finished goes on after
    /// the next start.
    fn is_at_rest(&self) -> bool {
        let Some(closing) = &self.closing else { return false };
        !self.is_flushing && (closing.error.is_some() || self.fresh_since.is_none() || self.is_replaying())
    }

    /// When the fresh rows are old enough to be written; `None` when that does not depend on time.
    fn seal_due(&self) -> Option<Instant> {
        let is_waiting = !self.is_flushing && !self.is_replaying();
        let age = Duration::from_secs(self.published.config.buffer_age_max_s);
        self.fresh_since.filter(|_| is_waiting).map(|since| since + age)
    }

    /// Hands a generation to the flusher when it is large or old enough. One at a time: until it is done, the
    /// next one grows, up to the limit where appends are refused.
    ///
    /// While replay runs only replayed rows are sealed: a commit covers every record up to its sequence, and
    /// records of old files have smaller sequences than all fresh ones.
    fn seal_if_due(&mut self) {
        if self.is_flushing || self.closing.as_ref().is_some_and(|closing| closing.error.is_some()) {
            return;
        }
        let bytes_max = self.published.config.buffer_bytes_max;
        if self.is_replaying() {
            if self.replayed_bytes >= bytes_max {
                self.seal(self.replayed_sequence, |view| std::mem::take(&mut view.replayed));
                let bytes = std::mem::take(&mut self.replayed_bytes);
                self.published.replayed_bytes.fetch_sub(bytes, Ordering::AcqRel);
            }
            return;
        }
        let is_old = self.seal_due().is_some_and(|due| due <= Instant::now());
        let is_last = self.closing.is_some() && self.fresh_since.is_some();
        if self.fresh_bytes >= bytes_max || is_old || is_last {
            // The file ends with the generation, so that it can go as soon as that is in segments.
            self.end_file();
            self.seal(self.next_sequence - 1, |view| std::mem::take(&mut view.fresh));
            self.fresh_bytes = 0;
            self.fresh_since = None;
        }
    }

    fn seal(&mut self, sequence: u64, take: impl Fn(&mut TableView) -> RowList) {
        let mut tables = Vec::new();
        for (tenant, cell) in self.published.tenants().iter() {
            let mut view = TenantView::clone(&cell.load());
            let n_before = tables.len();
            for table in &mut view.tables {
                let mut changed = table.change();
                let rows = take(&mut changed);
                if rows.is_empty() {
                    continue;
                }
                let sealed =
                    SealedTable { tenant: tenant.clone(), table: changed.table, rows: rows.iter().cloned().collect() };
                tables.push(sealed);
                changed.sealed.append(&rows);
                *table = Arc::new(changed);
            }
            if tables.len() > n_before {
                self.published.publish(tenant, view);
            }
        }
        // The flusher takes one generation at a time and its queue is longer than that.
        self.is_flushing = self.jobs.try_send(Job::Flush { tables, sequence }).is_ok();
    }

    /// Lets go of WAL files whose rows are all in segments.
    fn remove_covered(&mut self) {
        let (covered, kept) = std::mem::take(&mut self.old_files)
            .into_iter()
            .partition(|file| file.last_sequence <= self.flushed_sequence);
        self.old_files = kept;
        let covered: Vec<OldFile> = covered;
        let covered: Vec<OldFile> = covered.into_iter().filter(|file| file.fate != Fate::Stay).collect();
        if covered.is_empty() {
            return;
        }
        if let Err(TrySendError::Full(Job::Remove { files })) = self.jobs.try_send(Job::Remove { files: covered }) {
            // Next time.
            self.old_files.splice(..0, files);
        }
    }

    /// The appends that will share a sync. Under load syncs keep `group_commit_ms` distance, so that more
    /// appends share one; a lone append after a pause goes at once.
    async fn gather(&mut self, first: Append) -> Vec<Append> {
        let mut bytes = first.record.len();
        let mut group = vec![first];
        let deadline = self.last_sync + self.commit_distance();
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

    /// Shortest time between two syncs: from the end of one where they are cheap, from its beginning where they are
    /// paid for.
    fn commit_distance(&self) -> Duration {
        let config = &self.published.config;
        let is_bucket = self.published.place.wal.is_one_group_per_file();
        Duration::from_millis(if is_bucket { config.bucket_commit_ms } else { config.group_commit_ms })
    }

    /// One round: durable, visible, answered.
    fn commit(&mut self, mut group: Vec<Append>) {
        // Whoever has given up was told that nothing was written.
        group.retain(|append| !append.reply.is_closed());
        if group.is_empty() {
            return;
        }
        let opened = self.ensure_file();
        let mut group = self.without_late(group);
        if group.is_empty() {
            return;
        }
        match opened.and_then(|()| self.write_group(&mut group)) {
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
                self.fresh_since.get_or_insert_with(Instant::now);
                let followers = self.published.followers();
                let followed: Vec<_> = followers.iter().map(|queue| queue.wanted(&rows)).collect();
                let n_bytes = self.publish_rows(rows, |view| &mut view.fresh);
                // After publishing: what a follower is handed stands in every later snapshot.
                followers.iter().zip(followed).for_each(|(queue, rows)| queue.push(rows));
                self.fresh_bytes = self.fresh_bytes.saturating_add_signed(n_bytes);
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

    /// Refuses appends that could be given up while they are being written: they would be stored, and sent again.
    fn without_late(&self, group: Vec<Append>) -> Vec<Append> {
        let patience = self.published.place.wal.patience(group.iter().map(|append| append.record.len()).sum());
        let latest = Instant::now() + patience;
        let (late, group): (Vec<_>, Vec<_>) = group.into_iter().partition(|append| append.deadline < latest);
        for append in late {
            let source =
                std::io::Error::new(std::io::ErrorKind::TimedOut, "the store was too slow for those before it");
            self.published.counters.refused_appends.add(1);
            let _ = append.reply.send(Err(Error::Write { path: self.next_file_name(), source }));
        }
        group
    }

    fn write_group(&mut self, group: &mut [Append]) -> Result<(), (PathBuf, std::io::Error)> {
        let Some(wal) = self.wal.as_mut() else { return Ok(()) };
        let began = Instant::now();
        let result = wal.append(group.iter_mut().map(|append| &mut append.record));
        self.last_sync = if self.published.place.wal.is_one_group_per_file() { began } else { Instant::now() };
        let n_bytes = match result {
            Ok(n_bytes) => n_bytes,
            Err(error) => return Err(self.give_up_file(error)),
        };
        self.published.accepted_sequence.store(wal.next_sequence() - 1, Ordering::Release);
        self.refusing_since = None;
        self.published.counters.wal_syncs.add(1);
        self.published.counters.wal_written_bytes.add(n_bytes);
        self.published.wal_bytes.fetch_add(n_bytes, Ordering::AcqRel);
        Ok(())
    }

    /// Puts rows into one of the lists of their tables and publishes each tenant once. Gives the bytes by which
    /// the buffer grew: fewer than the rows bring, or even less than nothing, when small batches were merged.
    fn publish_rows(
        &self,
        groups: impl IntoIterator<Item = (TenantId, Vec<TableRows>)>,
        list: impl Fn(&mut TableView) -> &mut RowList,
    ) -> i64 {
        let mut views: HashMap<TenantId, TenantView> = HashMap::new();
        let mut n_rows = 0;
        // Merging small batches can make a list smaller.
        let mut n_bytes: i64 = 0;
        for (tenant, rows) in groups {
            let view = views.entry(tenant).or_insert_with_key(|tenant| self.view(tenant));
            for (table, rows) in rows {
                n_rows += rows.records.num_rows() as u64;
                let table_view = &mut view.tables[table.index()];
                // The first change copies pointers; further ones of this round change the copy.
                if Arc::get_mut(table_view).is_none() {
                    *table_view = Arc::new(table_view.change());
                }
                if let Some(changed) = Arc::get_mut(table_view) {
                    let list = list(changed);
                    let before = list.bytes();
                    list.push(rows);
                    n_bytes += list.bytes() as i64 - before as i64;
                }
            }
        }
        self.published.buffer_rows.fetch_add(n_rows, Ordering::AcqRel);
        // Two's complement: adding the bits of a negative number subtracts.
        self.published.buffer_bytes.fetch_add(n_bytes as u64, Ordering::AcqRel);
        for (tenant, view) in views {
            self.published.publish(&tenant, view);
        }
        self.published.announce();
        n_bytes
    }

    fn view(&self, tenant: &TenantId) -> TenantView {
        self.published.view(tenant).map_or_else(TenantView::new, |view| TenantView::clone(&view))
    }

    /// Rows of old files and new rows become one list.
    fn end_replay(&mut self, files: Vec<OldFile>, incomplete: Option<Arc<String>>) {
        let mut n_rows = 0;
        for (tenant, cell) in self.published.tenants().iter() {
            let mut view = TenantView::clone(&cell.load());
            for table in view.tables.iter_mut().filter(|table| !table.replayed.is_empty()) {
                let mut changed = table.change();
                n_rows += changed.replayed.n_rows();
                let fresh = std::mem::take(&mut changed.fresh);
                changed.fresh = std::mem::take(&mut changed.replayed);
                changed.fresh.append(&fresh);
                *table = Arc::new(changed);
            }
            self.published.publish(tenant, view);
        }
        let last_sequence = files.iter().map(|file| file.last_sequence).max().unwrap_or_default();
        self.old_files.splice(..0, files);
        if n_rows > 0 {
            self.fresh_since.get_or_insert_with(Instant::now);
            self.fresh_bytes += self.replayed_bytes;
        } else if !self.is_flushing {
            // Everything in the old files is in segments.
            self.flushed_sequence = self.flushed_sequence.max(last_sequence);
            self.remove_covered();
        }
        self.replayed_bytes = 0;
        self.published.replayed_bytes.store(0, Ordering::Release);
        // Who sees that replay has ended sees whole snapshots.
        self.published.incomplete.store(incomplete);
        self.published.is_replaying.store(false, Ordering::Release);
        self.published.announce();
    }

    fn refuse_waiting(&mut self) {
        self.appends.close();
        while let Ok(append) = self.appends.try_recv() {
            let _ = append.reply.send(Err(Error::Closed));
        }
    }
}

#[cfg(test)]
mod tests;
