//! Replay: puts the records of old WAL files back into the buffer, behind an ingest that is already open.
//!
//! Runs on a thread of its own and reads one record at a time. Rows that a table log already covers are
//! skipped, so replaying twice is replaying once. A damaged record is counted and its file kept for people;
//! everything else in that file is recovered. Recovery deletes nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use model::TenantId;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::buffer;
use crate::checked::{self, Checked, Step};
use crate::damage;
use crate::error::{Error, Result};
use crate::flush::Logs;
use crate::paths;
use crate::place::Place;
use crate::published::Published;
use crate::table::Table;
use crate::table_log::TableLog;
use crate::wal::payload::{Schemas, decode_append};
use crate::wal::record::{FILE_HEAD_BYTES, RECORD_HEADER_BYTES, RecordKind, VERSION};
use crate::wal::store::WalEntry;
use crate::wal::{Found, WalReader, WalStore, is_unwritten_head, opening_bytes};
use crate::writer::{Command, Fate, OldFile, TableRows};

/// Table logs opened at the same time.
const LOGS_AT_ONCE: usize = 8;
/// Times that a log is opened which the disk does not give.
const OPEN_ATTEMPTS: u32 = 6;
/// Pause between the first of them; doubles.
const OPEN_PAUSE: Duration = Duration::from_millis(30);

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
pub(crate) fn look(place: &Place) -> Result<OldWal> {
    let refuse = |detail: String| Error::Open { path: place.name.clone(), detail };
    let io = |error: std::io::Error| refuse(format!("cannot read its WAL: {error}"));
    let found = place.wal.list().map_err(io)?;
    let mut old = OldWal { files: Vec::with_capacity(found.len()), next_sequence: 1 };
    for WalEntry { first_sequence: first, bytes } in found {
        // Objects would have to be read whole for it: whoever opens a bucket has looked at the newest one.
        if !place.wal.is_one_group_per_file()
            && let Some(reader) = place.wal.open(first).and_then(WalReader::open).map_err(io)?
            && reader.header().version > VERSION
        {
            let detail = format!(
                "{} has WAL version {}, this release knows up to {VERSION}; run the newer release that wrote it",
                place.wal.name(first).display(),
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
        old.files.push(OldFile { first_sequence: first, bytes, last_sequence, fate: Fate::Remove });
    }
    Ok(old)
}

/// What is left to do for the copies of table logs when ingest is open: tables and steps.
#[derive(Debug, Default)]
pub(crate) struct Unsettled(Vec<(Path, Vec<Step>)>);

impl Unsettled {
    /// Does it, one file at a time. Whatever fails is tried again at the next start.
    pub(crate) async fn settle(self, checked: Checked) {
        let (mut restored, mut copied) = (0, 0);
        for (table, steps) in self.0 {
            let settled = checked.settle_later(&table, steps).await;
            restored += settled.restored;
            copied += settled.copied;
        }
        if restored + copied > 0 {
            tracing::info!(restored, copied, "files of table logs and their copies are the same again");
        }
    }
}

/// Opens the table logs of every tenant; what is missing in them comes from their copies. A table whose log is proven to
/// be damaged is set aside as it is, and begins anew.
///
/// # Errors
/// [`Error::TableLog`] when one cannot be read or restored, when it cannot be set aside, or must not be (`is_strict`).
pub(crate) async fn open_logs(place: &Place, is_strict: bool) -> Result<(Logs, Unsettled)> {
    let found = tables(place).await?;
    let logs = futures::stream::iter(found).map(async |(tenant, table): (TenantId, &'static Table)| {
        let (mut log, later) = open_patiently(place, &tenant, table, is_strict).await?;
        log.fence().await?;
        Ok::<_, Error>((tenant, table, log, later))
    });
    let opened: Vec<_> = logs.buffer_unordered(LOGS_AT_ONCE).try_collect().await?;
    let (mut logs, mut unsettled) = (Logs::new(), Unsettled::default());
    for (tenant, table, log, later) in opened {
        if !later.is_empty() {
            unsettled.0.push((paths::table(&tenant, table), later));
        }
        logs.insert((tenant, table.index()), log);
    }
    Ok((logs, unsettled))
}

/// Opens a table's log with what can wait. A disk that does not give or take bytes is asked again; a hint that leads nowhere
/// is removed; a log that is proven to be damaged is set aside, unless `is_strict`.
///
/// # Errors
/// [`Error::TableLog`]: the disk does not give what is needed, or the log must not be set aside.
async fn open_patiently(
    place: &Place,
    tenant: &TenantId,
    table: &'static Table,
    is_strict: bool,
) -> Result<(TableLog, Vec<Step>)> {
    let path = paths::table(tenant, table);
    let mut pause = OPEN_PAUSE;
    for attempt in 1.. {
        let (error, verdict) = match settle_and_open(place, tenant, table).await {
            Ok(opened) => return Ok(opened),
            Err(failed) => failed,
        };
        match verdict {
            Verdict::Damaged if is_strict => return Err(error),
            Verdict::Damaged => {
                set_aside(place, tenant, table, &error)?;
                break;
            }
            _ if attempt == OPEN_ATTEMPTS => return Err(error),
            Verdict::WrongHint(hint) => {
                tracing::warn!(%hint, "it names a checkpoint that is not there: removed, readers look for themselves");
                place.store.delete(&hint).await?;
            }
            Verdict::Whole => {
                tracing::warn!(%path, %error, "a table log could not be opened, and is whole: trying again");
            }
            Verdict::Unknown => tracing::warn!(%path, %error, "a table log cannot be read or restored: trying again"),
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    Ok((TableLog::open(place, tenant, table).await?, Vec::new()))
}

/// What is wrong with a log that could not be opened.
enum Verdict {
    /// Nothing: it was the disk, or somebody was faster.
    Whole,
    /// Its hint names a checkpoint that is not there.
    WrongHint(Path),
    /// It cannot be understood, whatever the disk does.
    Damaged,
    /// The disk did not give or take what one must have to judge.
    Unknown,
}

/// Restores what opening a log needs, and opens it; gives what can be restored later.
///
/// # Errors
/// Why it is not open, and what that says about it. What could not be restored although its copy may be whole proves
/// nothing: a full disk must not cost a table.
async fn settle_and_open(
    place: &Place,
    tenant: &TenantId,
    table: &'static Table,
) -> Result<(TableLog, Vec<Step>), (Error, Verdict)> {
    let path = paths::table(tenant, table);
    let unknown = |error: object_store::Error| {
        let detail = format!("its files cannot be compared with their copies, or not be restored from them: {error}");
        (Error::TableLog { table: table.name, detail }, Verdict::Unknown)
    };
    if let Err(error) = place.settle_names(&paths::table_log(&path)).await {
        let detail = format!("the names of its commits cannot be made durable: {error}");
        return Err((Error::TableLog { table: table.name, detail }, Verdict::Unknown));
    }
    let settled = place.checked.settle_log(&path).await.map_err(unknown)?;
    if settled.is_behind {
        let detail = "its newest commit was lost, and the copy of it is damaged".to_owned();
        return Err((Error::TableLog { table: table.name, detail }, Verdict::Damaged));
    }
    let error = match open_log(place, tenant, table).await {
        Ok(log) => return Ok((log, settled.later)),
        Err(error) => error,
    };
    // Damage may lie in what usually is not needed.
    let later = place.checked.settle_later(&path, settled.later).await;
    if let Some(refused) = settled.refused.or(later.refused) {
        return Err(unknown(refused));
    }
    match judge(place, tenant, table).await {
        Ok(verdict) => Err((error, verdict)),
        Err(refused) => {
            tracing::warn!(%path, error = %refused, "a table log cannot be judged");
            Err((error, Verdict::Unknown))
        }
    }
}

/// Opens a copy of the log in memory, where no disk can fail: what cannot be opened there is damaged.
///
/// # Errors
/// What the store said; then nothing is known.
async fn judge(place: &Place, tenant: &TenantId, table: &'static Table) -> Result<Verdict> {
    let log = paths::table_log(&paths::table(tenant, table));
    let files: Vec<_> = place.store.list(Some(&log)).try_collect().await?;
    let in_memory = place.in_memory()?;
    let mut hint = None;
    for file in &files {
        let read = async { place.store.get(&file.location).await?.bytes().await };
        match read.await {
            Ok(bytes) => {
                in_memory.store.put(&file.location, bytes.into()).await?;
                if checked::is_hint(&file.location) {
                    hint = Some(file.location.clone());
                }
            }
            // A hint that is not what its copy says, or a file that was removed meanwhile.
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    match TableLog::open(&in_memory, tenant, table).await {
        Ok(log) if log.version >= 0 => return Ok(Verdict::Whole),
        Ok(_) => return Ok(if has_segments(place, tenant, table).await? { Verdict::Damaged } else { Verdict::Whole }),
        Err(_) => {}
    }
    let Some(hint) = hint else { return Ok(Verdict::Damaged) };
    in_memory.store.delete(&hint).await?;
    let without = TableLog::open(&in_memory, tenant, table).await;
    Ok(if without.is_ok_and(|log| log.version >= 0) { Verdict::WrongHint(hint) } else { Verdict::Damaged })
}

/// Opens a table's log. One that is gone, with its copies, although there are segments, is an error.
async fn open_log(place: &Place, tenant: &TenantId, table: &'static Table) -> Result<TableLog> {
    let log = TableLog::open(place, tenant, table).await?;
    if log.version >= 0 {
        return Ok(log);
    }
    if has_segments(place, tenant, table).await? {
        let detail = "it is gone, and there are segments that it named".to_owned();
        if place.disk.is_some() {
            return Err(Error::TableLog { table: table.name, detail });
        }
        // A bucket moves nothing: the segments stay where they are, as they are older than the next log.
        tracing::error!(%tenant, table = table.name, detail, "a table begins anew");
    }
    Ok(log)
}

async fn has_segments(place: &Place, tenant: &TenantId, table: &Table) -> Result<bool> {
    let mut objects = place.store.list(Some(&paths::table(tenant, table)));
    while let Some(object) = objects.try_next().await? {
        if paths::is_segment(&object.location) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn set_aside(place: &Place, tenant: &TenantId, table: &'static Table, error: &Error) -> Result<()> {
    let (from, to) = (paths::table(tenant, table), damage::table_set_aside(tenant, table));
    place.set_aside(&from, &to).map_err(|refused| Error::TableLog {
        table: table.name,
        detail: format!("{error}; it cannot be set aside: {refused}"),
    })?;
    tracing::error!(
        %tenant, table = table.name, %error, to = %to,
        "a table log is damaged: its table was set aside and begins anew"
    );
    Ok(())
}

/// Reads every WAL file before anything is opened.
///
/// # Errors
/// [`Error::Open`] when a record was lost.
pub(crate) fn insist_on_whole(place: &Place) -> Result<()> {
    let refuse = |detail: String| Error::Open { path: place.name.clone(), detail };
    let io = |error: std::io::Error| refuse(format!("cannot read its WAL: {error}"));
    for WalEntry { first_sequence, bytes } in place.wal.list().map_err(io)? {
        let name = place.wal.name(first_sequence);
        let lost = |what: String| {
            let hint = "restore it, or start without --strict-recovery to go on with what can be read";
            Err(refuse(format!("{} is damaged: {what}; {hint}", name.display())))
        };
        let Some(mut reader) = place.wal.open(first_sequence).and_then(WalReader::open).map_err(io)? else {
            if bytes > opening_bytes() {
                return lost("no record can be read".to_owned());
            }
            continue;
        };
        while let Some(found) = reader.next().map_err(io)? {
            if let Found::Damage { records, bytes } = found {
                return lost(format!("{records} records in {bytes} bytes"));
            }
        }
    }
    Ok(())
}

/// Tenants that have a directory: tables, or something that was erased before the first of them was written.
///
/// # Errors
/// [`Error::Open`] when the place cannot be listed.
pub(crate) async fn tenants(place: &Place) -> Result<Vec<TenantId>> {
    let found = place.store.list_with_delimiter(Some(&paths::tenants())).await;
    let dirs = found.map_err(|error| not_listed(place, &error))?.common_prefixes;
    Ok(dirs.iter().filter_map(|dir| TenantId::new(dir.filename()?)).collect())
}

/// Tables that tenants have, by the names of their directories.
///
/// # Errors
/// [`Error::Open`] when the place cannot be listed.
pub(crate) async fn tables(place: &Place) -> Result<Vec<(TenantId, &'static Table)>> {
    let mut found = Vec::new();
    for tenant in tenants(place).await? {
        let dir = Path::from(format!("{}/{tenant}", paths::TENANTS_DIR));
        let tables = place.store.list_with_delimiter(Some(&dir)).await.map_err(|error| not_listed(place, &error))?;
        let names = tables.common_prefixes.iter().filter_map(|table| Table::by_name(table.filename()?));
        found.extend(names.map(|table| (tenant.clone(), table)));
    }
    Ok(found)
}

fn not_listed(place: &Place, error: &object_store::Error) -> Error {
    Error::Open { path: place.name.clone(), detail: format!("cannot list its tables: {error}") }
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
            let wal = &*self.published.place.wal;
            let step = ReplayFile { wal, published: &self.published, commands: &self.commands, stop: &self.stop };
            match step.run(file.first_sequence, is_covered) {
                Ok(true) => {}
                Ok(false) => file.fate = Fate::Quarantine,
                // The process from which this one took over removed it after it was listed, as it may: its rows were
                // committed before, and the logs were read after that.
                Err(error) if wal.is_one_group_per_file() && error.kind() == std::io::ErrorKind::NotFound => {
                    tracing::info!(path = %wal.name(file.first_sequence).display(), "a former writer has removed it");
                }
                Err(error) => {
                    let path = wal.name(file.first_sequence);
                    tracing::error!(path = %path.display(), %error, "a WAL file cannot be read; it is kept");
                    unreadable += 1;
                    // Another start may have more luck.
                    file.fate = Fate::Stay;
                }
            }
            if self.stop.is_cancelled() {
                return;
            }
        }
        let n_damaged = self.files.iter().filter(|file| file.fate == Fate::Quarantine).count();
        let mut reasons = Vec::new();
        if n_damaged > 0 {
            reasons.push(format!(
                "{n_damaged} WAL files were damaged: {} records were lost; see quarantine/",
                self.published.counters.damaged_records.get()
            ));
        }
        if unreadable > 0 {
            reasons.push(format!("{unreadable} WAL files could not be read; the next start tries again"));
        }
        let incomplete = (!reasons.is_empty()).then(|| Arc::new(reasons.join("; ")));
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
    wal: &'a dyn WalStore,
    published: &'a Published,
    commands: &'a mpsc::Sender<Command>,
    stop: &'a CancellationToken,
}

impl ReplayFile<'_> {
    /// True when the file was whole (or torn at its end, as a crash leaves it).
    fn run(
        &self,
        first_sequence: u64,
        is_covered: &dyn Fn(&TenantId, &'static Table, u64) -> bool,
    ) -> std::io::Result<bool> {
        let counters = &self.published.counters;
        let path = self.wal.name(first_sequence);
        let file = self.wal.open(first_sequence)?;
        let len = file.len();
        let Some(mut reader) = WalReader::open(file)? else {
            // A crash while the file was made leaves a short or unwritten head, and no append behind it.
            let is_torn = len < (FILE_HEAD_BYTES + RECORD_HEADER_BYTES) as u64
                || (len <= opening_bytes() && is_unwritten_head(&*self.wal.open(first_sequence)?)?);
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
        let place = crate::tests::place_in(&dir);
        for (first, bytes) in [(100, 64 << 10), (500, 10), (501, 0)] {
            std::fs::write(place.wal.name(first), vec![0; bytes]).expect("a file");
        }
        let old = look(&place).expect("nothing newer is there");
        let bounds: Vec<u64> = old.files.iter().map(|file| file.last_sequence).collect();
        assert_eq!((bounds, old.next_sequence), (vec![499, 500, 501], 502));
    }
}
