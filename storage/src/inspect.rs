//! Looking into a place from outside, for people: `hodoscope storage verify`, `ls`, `export`, `rebuild-index`, `compact`.
//!
//! Looking needs no lock and touches nothing, so it works while a collector runs: files that come and go meanwhile are
//! no problems. Building indexes and merging needs the right to write, as the collector does: in a directory they are refused
//! while one runs, and a bucket they take over from it, so the one who asks must say that this is meant.

mod answers;

use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use model::TenantId;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Handle;

use crate::config::Config;
use crate::disk::Hold;
use crate::error::{Error, Result};
use crate::examine::{Fault, read_whole};
use crate::paths;
use crate::place::{self, Owned, Place};
use crate::recovery;
use crate::segment::column_bytes;
use crate::snapshot::SegmentMeta;
use crate::table::Table;
use crate::table_log::TableLog;
use crate::wal::payload::{Schemas, decode_append};
use crate::wal::record::RecordKind;
use crate::wal::{Found, WalReader};
use crate::{Storage, SystemClock};

pub use answers::{
    ColumnListing, Compacted, DayListing, Export, Exported, Files, Listing, Problem, Rebuilt, TableListing,
    Verification,
};

/// Pause between looks whether the WAL was replayed.
const REPLAY_LOOK_PAUSE: Duration = Duration::from_millis(20);

/// A place that is looked at.
#[derive(Debug)]
pub struct Inspector {
    place: Place,
    /// `None` when it only looks.
    hold: Option<Arc<dyn Hold>>,
}

impl Inspector {
    /// Looks only: no lock, nothing is touched.
    ///
    /// # Errors
    /// [`Error::Open`] with what to do.
    pub async fn look(config: &Config) -> Result<Self> {
        let config = config.clone();
        let path = config.data.clone();
        let network = Handle::current();
        let opening = tokio::task::spawn_blocking(move || place::look(&config, &network));
        let place = opening.await.unwrap_or_else(|error| Err(Error::Open { path, detail: error.to_string() }))?;
        Ok(Self { place, hold: None })
    }

    /// With the right to write. A bucket is taken over from a collector that runs, when `take_over` says so.
    ///
    /// # Errors
    /// [`Error::InUse`] while a collector runs, [`Error::Open`] with what to do.
    pub async fn own(config: &Config, take_over: bool) -> Result<Self> {
        may_take(config, take_over)?;
        // An empty place is made by a collector, not by looking at it.
        drop(Self::look(config).await?);
        let config = config.clone();
        let path = config.data.clone();
        let network = Handle::current();
        let opening = tokio::task::spawn_blocking(move || place::open(&config, &network));
        let Owned { place, hold } =
            opening.await.unwrap_or_else(|error| Err(Error::Open { path, detail: error.to_string() }))?;
        Ok(Self { place, hold: Some(hold) })
    }

    /// What lies there, by the table logs; with `columns` also by the footers of all segments.
    ///
    /// # Errors
    /// When a table log, or a footer, cannot be read.
    pub async fn list(&self, columns: bool) -> Result<Listing> {
        let wal = self.wal_entries().await?;
        let quarantine: Vec<_> = self.place.store.list(Some(&paths::quarantine())).try_collect().await?;
        let mut listing = Listing {
            data: self.place.name.display().to_string(),
            writer: self.place.writer.clone(),
            wal: Files { files: wal.len() as u64, bytes: wal.iter().map(|file| file.bytes).sum() },
            quarantine: Files { files: quarantine.len() as u64, bytes: quarantine.iter().map(|file| file.size).sum() },
            tables: Vec::new(),
        };
        for (tenant, table) in self.tables().await? {
            let log = TableLog::open(&self.place, &tenant, table).await?;
            let mut days: BTreeMap<i32, DayListing> = BTreeMap::new();
            for segment in log.segments.iter() {
                let day = days.entry(segment.day).or_insert_with(|| DayListing {
                    day: paths::date(segment.day),
                    segments: 0,
                    rows: 0,
                    bytes: 0,
                });
                day.segments += 1;
                day.rows += segment.n_rows;
                day.bytes += segment.size_bytes;
            }
            let days: Vec<DayListing> = days.into_values().collect();
            listing.tables.push(TableListing {
                tenant: tenant.to_string(),
                table: table.name.to_owned(),
                version: log.version,
                segments: days.iter().map(|day| day.segments).sum(),
                rows: days.iter().map(|day| day.rows).sum(),
                bytes: days.iter().map(|day| day.bytes).sum(),
                days,
                columns: if columns { self.list_columns(&log.segments).await? } else { Vec::new() },
                index_bytes: if columns { self.index_bytes(&log.segments).await? } else { 0 },
            });
        }
        Ok(listing)
    }

    async fn list_columns(&self, segments: &Arc<[Arc<SegmentMeta>]>) -> Result<Vec<ColumnListing>> {
        let (store, runtime, segments) = (Arc::clone(&self.place.store), Handle::current(), Arc::clone(segments));
        let reading = tokio::task::spawn_blocking(move || -> Result<Vec<ColumnListing>> {
            let mut all: BTreeMap<String, (u64, u64)> = BTreeMap::new();
            for segment in segments.iter() {
                let columns = column_bytes(&store, &runtime, segment)?;
                let in_columns: u64 = columns.iter().map(|(_, bytes, _)| bytes).sum();
                let rest = segment.size_bytes.saturating_sub(in_columns);
                for (name, bytes, encoded) in columns.into_iter().chain([("(footers)".to_owned(), rest, rest)]) {
                    let sums = all.entry(name).or_default();
                    *sums = (sums.0 + bytes, sums.1 + encoded);
                }
            }
            let listed =
                all.into_iter().map(|(column, (bytes, encoded_bytes))| ColumnListing { column, bytes, encoded_bytes });
            let mut listed: Vec<_> = listed.collect();
            listed.sort_by_key(|column| std::cmp::Reverse(column.bytes));
            Ok(listed)
        });
        let failed =
            |error: tokio::task::JoinError| Error::Open { path: self.place.name.clone(), detail: error.to_string() };
        reading.await.unwrap_or_else(|error| Err(failed(error)))
    }

    async fn index_bytes(&self, segments: &[Arc<SegmentMeta>]) -> Result<u64> {
        let mut bytes = 0;
        for segment in segments {
            match self.place.store.head(&paths::index(&segment.path)).await {
                Ok(found) => bytes += found.size,
                // It is built when it is asked for.
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(bytes)
    }

    /// Reads everything: WAL records with their checksums, table logs, every row of every segment, every index.
    ///
    /// # Errors
    /// When the place cannot be listed; damage is in the answer.
    pub async fn verify(&self) -> Result<Verification> {
        let mut seen = Verification::default();
        self.verify_wal(&mut seen).await?;
        let quarantine = self.list_quarantine().await?;
        for path in quarantine {
            let detail = "it was damaged and is kept for people; remove it when its rows are restored or given up";
            seen.problems.push(Problem { path, detail: detail.to_owned() });
        }
        for (tenant, table) in self.tables().await? {
            seen.tables += 1;
            let log = match TableLog::open(&self.place, &tenant, table).await {
                Ok(log) => log,
                Err(error) => {
                    let path = paths::table_log(&paths::table(&tenant, table)).to_string();
                    seen.problems.push(Problem { path, detail: error.to_string() });
                    continue;
                }
            };
            for segment in log.segments.iter() {
                self.verify_segment(&mut seen, &tenant, table, segment).await?;
            }
        }
        Ok(seen)
    }

    async fn verify_segment(
        &self,
        seen: &mut Verification,
        tenant: &TenantId,
        table: &'static Table,
        segment: &Arc<SegmentMeta>,
    ) -> Result<()> {
        let read = self.read_segment(table, segment).await;
        let index = match read {
            Ok(index) => index,
            // Compaction and retention go on while we read.
            Err(Fault::Missing) if !self.is_alive(tenant, table, &segment.path).await? => return Ok(()),
            Err(fault) => {
                seen.segments += 1;
                let detail = format!("{fault}; {} rows", segment.n_rows);
                seen.problems.push(Problem { path: segment.path.to_string(), detail });
                return Ok(());
            }
        };
        seen.segments += 1;
        seen.rows += segment.n_rows;
        seen.bytes += segment.size_bytes;
        let Some(wanted) = index else { return Ok(()) };
        match self.read_object(&paths::index(&segment.path)).await? {
            Some(found) if found == wanted => seen.indexes += 1,
            // Head and version: another release writes other bytes.
            Some(found) if found.get(..12) == wanted.get(..12) => {
                let path = paths::index(&segment.path).to_string();
                let detail = "it does not hold what its segment holds; run `hodoscope storage rebuild-index`";
                seen.problems.push(Problem { path, detail: detail.to_owned() });
            }
            _ => seen.indexes_to_build += 1,
        }
        Ok(())
    }

    async fn verify_wal(&self, seen: &mut Verification) -> Result<()> {
        let wal = Arc::clone(&self.place.wal);
        let name = self.place.name.clone();
        let reading = tokio::task::spawn_blocking(move || -> std::io::Result<Verification> {
            let mut seen = Verification::default();
            for entry in wal.list()? {
                let path = wal.name(entry.first_sequence);
                match read_wal_file(&*wal, entry.first_sequence, &mut seen) {
                    Ok(()) => {}
                    // Its rows went to segments meanwhile.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => seen
                        .problems
                        .push(Problem { path: path.display().to_string(), detail: format!("cannot be read: {error}") }),
                }
            }
            Ok(seen)
        });
        let read = reading.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        let read = read.map_err(|error| Error::Open { path: name, detail: format!("cannot read its WAL: {error}") })?;
        *seen = read;
        Ok(())
    }

    /// Copies the live segments of a table into a directory: plain Parquet files, by day.
    ///
    /// # Errors
    /// When a segment cannot be read or a file not written; files that exist are never overwritten.
    pub async fn export(&self, export: &Export) -> Result<Exported> {
        let log = TableLog::open(&self.place, &export.tenant, export.table).await?;
        let mut exported = Exported::default();
        let wanted = |segment: &&Arc<SegmentMeta>| {
            segment.time_range.start < export.range.end && export.range.start < segment.time_range.end
        };
        for segment in log.segments.iter().filter(wanted) {
            let name = segment.path.filename().unwrap_or_default();
            let path = export.to.join(format!("{}-{}-{name}", export.table.name, paths::date(segment.day)));
            let bytes = self.place.store.get(&segment.path).await?.bytes().await?;
            write_new(path, bytes).await?;
            exported.files += 1;
            exported.rows += segment.n_rows;
            exported.bytes += segment.size_bytes;
        }
        Ok(exported)
    }

    /// Builds the indexes that are missing or wrong.
    ///
    /// # Errors
    /// [`Error::Open`] without the right to write, and when the place cannot be read or written.
    pub async fn rebuild_index(&self) -> Result<Rebuilt> {
        if self.hold.is_none() {
            let detail = "building indexes needs the right to write".to_owned();
            return Err(Error::Open { path: self.place.name.clone(), detail });
        }
        let mut rebuilt = Rebuilt::default();
        for (tenant, table) in self.tables().await? {
            let log = TableLog::open(&self.place, &tenant, table).await?;
            for segment in log.segments.iter() {
                match self.read_segment(table, segment).await {
                    Ok(None) => {}
                    Ok(Some(wanted)) => {
                        let path = paths::index(&segment.path);
                        if self.read_object(&path).await?.is_some_and(|found| found == wanted) {
                            rebuilt.kept += 1;
                        } else {
                            self.place.store.put(&path, wanted.into()).await?;
                            rebuilt.built += 1;
                        }
                    }
                    Err(fault) => {
                        rebuilt.problems.push(Problem { path: segment.path.to_string(), detail: fault.to_string() });
                    }
                }
            }
        }
        Ok(rebuilt)
    }

    /// Opens the place as a collector does, puts what the WAL holds into segments, and merges everything that can be
    /// merged, however short it has waited. Nothing expires. Files that were replaced stay for `vacuum_grace_s`. A bucket
    /// is taken over from a collector that runs, when `take_over` says so.
    ///
    /// # Errors
    /// [`Error::InUse`] while a collector runs, [`Error::Open`] with what to do, and what closing said.
    pub async fn compact(config: &Config, take_over: bool) -> Result<Compacted> {
        may_take(config, take_over)?;
        // An empty place is made by a collector.
        drop(Self::look(config).await?);
        let open = async |config: Config| {
            let storage = Storage::open(config, Arc::new(SystemClock)).await?;
            while storage.reader().status().replaying {
                tokio::time::sleep(REPLAY_LOOK_PAUSE).await;
            }
            Ok::<_, Error>(storage)
        };
        open(Config { compaction: false, ..config.clone() }).await?.close().await?;
        let for_ever = u32::MAX;
        let storage = open(Config {
            retention_days: for_ever,
            retention_days_traces: for_ever,
            retention_days_logs: for_ever,
            retention_days_metrics: for_ever,
            retention_table_bytes_max: 0,
            retention_table_bytes_max_traces: 0,
            retention_table_bytes_max_logs: 0,
            retention_table_bytes_max_metrics: 0,
            ..config.clone()
        })
        .await?;
        let before = storage.reader().status();
        let maintainer = storage.maintainer();
        maintainer.compact().await;
        maintainer.look_around().await;
        let after = storage.reader().status();
        storage.close().await?;
        let mut problems: Vec<Problem> = Vec::new();
        let mut tell = |detail: String| problems.push(Problem { path: config.data.display().to_string(), detail });
        if let Some(why) = after.maintenance.merges_waiting {
            tell(why);
        }
        if after.counts.merge_failures > 0 {
            tell(format!("{} merges failed; the log says why", after.counts.merge_failures));
        }
        Ok(Compacted {
            segments: [before.segments, after.segments],
            bytes: [before.segment_bytes, after.segment_bytes],
            rows: after.segment_rows,
            merges: after.counts.merges,
            merged_rows: after.counts.merged_rows,
            written_bytes: after.counts.merge_written_bytes,
            vacuumed_files: after.counts.vacuumed_files,
            problems,
        })
    }

    async fn tables(&self) -> Result<Vec<(TenantId, &'static Table)>> {
        let mut tables = recovery::tables(&self.place).await?;
        tables.sort_by(|a, b| a.0.as_str().cmp(b.0.as_str()).then_with(|| a.1.index().cmp(&b.1.index())));
        Ok(tables)
    }

    async fn wal_entries(&self) -> Result<Vec<crate::wal::store::WalEntry>> {
        let wal = Arc::clone(&self.place.wal);
        let listing = tokio::task::spawn_blocking(move || wal.list()).await;
        let listed = listing.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        listed.map_err(|error| Error::Open {
            path: self.place.name.clone(),
            detail: format!("cannot list its WAL: {error}"),
        })
    }

    /// WAL files and notes; of a table that was set aside, its directory only.
    async fn list_quarantine(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for dir in [paths::quarantine(), paths::damaged_segments()] {
            let listed = self.place.store.list_with_delimiter(Some(&dir)).await?;
            found.extend(listed.objects.into_iter().map(|object| object.location.to_string()));
        }
        let tables = self.place.store.list_with_delimiter(Some(&paths::damaged_tables())).await?;
        found.extend(tables.common_prefixes.into_iter().map(|table| table.to_string()));
        Ok(found)
    }

    async fn read_segment(&self, table: &'static Table, segment: &Arc<SegmentMeta>) -> Result<Option<Vec<u8>>, Fault> {
        let (store, segment, runtime) = (Arc::clone(&self.place.store), Arc::clone(segment), Handle::current());
        let reading = tokio::task::spawn_blocking(move || read_whole(&store, &runtime, table, &segment));
        reading.await.unwrap_or_else(|error| Err(Fault::Unreadable(error.to_string())))
    }

    async fn read_object(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        match self.place.store.get(path).await {
            Ok(found) => Ok(Some(found.bytes().await?.to_vec())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn is_alive(&self, tenant: &TenantId, table: &'static Table, segment: &Path) -> Result<bool> {
        let log = TableLog::open(&self.place, tenant, table).await?;
        Ok(log.segments.iter().any(|other| other.path == *segment))
    }
}

/// A bucket has no lock that a process holds: whoever opens it to write becomes its writer.
fn may_take(config: &Config, take_over: bool) -> Result<()> {
    if take_over || !config.is_bucket() {
        return Ok(());
    }
    let detail =
        "a collector that runs on this bucket would lose the right to write, and end; stop it first, then repeat \
                  with --take-over"
            .to_owned();
    Err(Error::Open { path: config.data.clone(), detail })
}

fn read_wal_file(wal: &dyn crate::wal::WalStore, first_sequence: u64, seen: &mut Verification) -> std::io::Result<()> {
    let path = wal.name(first_sequence).display().to_string();
    let file = wal.open(first_sequence)?;
    let is_short = file.len() < (crate::wal::record::FILE_HEAD_BYTES + crate::wal::record::RECORD_HEADER_BYTES) as u64;
    seen.wal_files += 1;
    let Some(mut reader) = WalReader::open(file)? else {
        if is_short {
            seen.torn_tails += 1;
        } else {
            seen.problems.push(Problem { path, detail: "its head is damaged: no record can be read".to_owned() });
        }
        return Ok(());
    };
    let mut schemas = Schemas::new();
    while let Some(found) = reader.next()? {
        let problem = match found {
            Found::Record { kind: RecordKind::Append, sequence, payload } => {
                seen.wal_records += 1;
                decode_append(&payload, &schemas, |_, _| true).err().map(|error| format!("record {sequence}: {error}"))
            }
            Found::Record { kind: RecordKind::Schema, payload, .. } => {
                schemas.add(&payload).err().map(|error| format!("a schema cannot be read: {error}"))
            }
            Found::Record { kind: RecordKind::End, .. } => None,
            Found::Damage { records, bytes } => Some(format!("{records} records in {bytes} bytes are lost")),
            Found::TornTail { .. } => {
                seen.torn_tails += 1;
                None
            }
        };
        seen.problems.extend(problem.map(|detail| Problem { path: path.clone(), detail }));
    }
    Ok(())
}

async fn write_new(path: PathBuf, bytes: bytes::Bytes) -> Result<()> {
    use std::io::Write as _;
    let writing = move || -> std::io::Result<()> {
        std::fs::create_dir_all(path.parent().unwrap_or(FilePath::new(".")))?;
        let mut file = std::fs::File::create_new(&path)
            .map_err(|error| std::io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        file.write_all(&bytes)?;
        file.sync_all()
    };
    let written = tokio::task::spawn_blocking(writing).await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    written.map_err(|source| Error::Write { path: "the export".into(), source })
}
