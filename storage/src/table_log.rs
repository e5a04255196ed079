//! Which segments of a table are alive: a Delta transaction log per table and tenant.
//!
//! Delta is used as a log only: we write the Parquet files, plan the scans and compact ourselves. Every commit
//! carries `txn(writer, sequence)`: rows of WAL records up to that sequence are in segments. That is what makes
//! a row visible exactly once, and replay a no-op for what is covered. See docs/decisions/06-delta-log.md.
//!
//! A commit that removes files (compaction, retention, erasure) carries `txn("maintenance", n)`: without it deltalake
//! lets two compactions of the same files both win, and every row would be there twice.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{DataType as Arrow, Field};
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties, TableReference};
use deltalake_core::kernel::{
    Action, Add, ArrayType, DataType, LogicalFileView, PrimitiveType, Remove, StructField, StructType, Transaction,
};
use deltalake_core::logstore::{StorageConfig, default_logstore};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::{DeltaTable, checkpoints};
use futures::TryStreamExt;
use model::{TenantId, UnixNanos};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::bucket::Ownership;
use crate::checked::Checked;
use crate::error::{Error, Result};
use crate::paths::{self, PARTITION_COLUMN, date, parse_date};
use crate::place::Place;
use crate::segment::{Written, stats};
use crate::snapshot::SegmentMeta;
use crate::table::Table;

/// Commits between two checkpoints; opening a table reads at most so many commits.
const CHECKPOINT_COMMITS: i64 = 100;
/// Commits that a log keeps for readers that follow it one by one, and for a day at most. At a hundred thousand spans a second
/// there are fifty thousand a day, and every commit looks through the names of all.
const KEPT_COMMITS: i64 = 2_000;
/// Times a commit is tried again when another process was faster.
const COMMIT_RETRIES: usize = 50;
/// Times a process from which this one takes over may be faster.
const FENCE_ATTEMPTS: usize = 10;

/// Tag of a segment in its commit: CRC32C of the file, eight hexadecimal digits.
const CHECKSUM_TAG: &str = "hodoscope.crc32c";

/// Application id of every commit that removes files. Two such commits never both win.
const MAINTENANCE: &str = "maintenance";

/// Why files are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The same rows in other files.
    Compaction,
    /// Rows are gone: too old, too many, or erased.
    Removal,
}

/// Log of one table of one tenant. Only one task may hold it.
#[derive(Debug)]
pub(crate) struct TableLog {
    pub table: &'static Table,
    /// Name of this process's data in `txn`.
    writer: String,
    prefix: Path,
    delta: DeltaTable,
    /// -1 before the first commit.
    pub version: i64,
    /// Segments alive in `version`.
    pub segments: Arc<[Arc<SegmentMeta>]>,
    /// Rows of WAL records up to this sequence are in segments.
    pub covered: u64,
    /// When the log was begun; the end of time while it was not, or when it does not say.
    pub begun: UnixNanos,
    /// The state in memory may be behind the disk: a commit failed half-way.
    is_stale: bool,
    /// Position of the last append that was begun, made or not.
    attempted: u64,
    /// Asked before each commit, where another process can take over.
    ownership: Option<Arc<Ownership>>,
    /// Told what segments must be.
    checked: Checked,
}

impl TableLog {
    /// Opens the table's log; an empty one when the table was never written.
    ///
    /// # Errors
    /// [`Error::TableLog`] when it exists and cannot be read.
    pub(crate) async fn open(place: &Place, tenant: &TenantId, table: &'static Table) -> Result<Self> {
        let (url, store) = place.table(tenant, table)?;
        let log_store = default_logstore(store, Arc::clone(&place.root_store), &url, &StorageConfig::default());
        let prefix = paths::table(tenant, table);
        let mut log = Self {
            table,
            writer: place.writer.clone(),
            prefix: prefix.clone(),
            delta: DeltaTable::new(log_store),
            version: -1,
            segments: Arc::from([]),
            covered: 0,
            begun: UnixNanos(i64::MAX),
            is_stale: false,
            attempted: 0,
            ownership: place.ownership.clone(),
            checked: place.checked.clone(),
        };
        if has_commits(place, &paths::table_log(&prefix)).await? {
            log.load().await?;
        }
        Ok(log)
    }

    /// Reads the newest version.
    async fn load(&mut self) -> Result<()> {
        let table = self.table;
        let failed = |error: deltalake_core::DeltaTableError| log_error(table, &error);
        self.delta.load().await.map_err(failed)?;
        let log_store = self.delta.log_store();
        let state = self.delta.snapshot().map_err(failed)?;
        let covered = state.transaction_version(log_store.as_ref(), &self.writer).await.map_err(failed)?;
        let files = state.snapshot().file_views(log_store.as_ref(), None);
        // A segment keeps its one meta: who still holds it tells vacuum that it is being read.
        let known: HashMap<&Path, &Arc<SegmentMeta>> =
            self.segments.iter().map(|segment| (&segment.path, segment)).collect();
        let segments = files
            .map_ok(|file| {
                let day = file.partition_values_map().get(PARTITION_COLUMN).cloned().flatten();
                let day = day.as_deref().and_then(parse_date).unwrap_or_default();
                let path = Path::from(format!("{}/{}", self.prefix, file.path()));
                let size = u64::try_from(file.size()).unwrap_or_default();
                if let Some(known) = known.get(&path) {
                    return Arc::clone(known);
                }
                let json = file.stats().unwrap_or_default();
                let (created, level) = paths::parse_segment(&path);
                let crc32c = tagged_checksum(&file);
                Arc::new(stats::read_meta(table, path.clone(), size, crc32c, day, &json).unwrap_or(SegmentMeta {
                    path,
                    size_bytes: size,
                    n_rows: 0,
                    day,
                    level,
                    created,
                    crc32c,
                    time_range: model::TimeRange::ALL,
                    service_range: None,
                }))
            })
            .try_collect::<Vec<_>>()
            .await
            .map_err(failed)?;
        self.version = i64::try_from(state.version()).unwrap_or(i64::MAX);
        let begun_ms = state.metadata().created_time().unwrap_or(i64::MAX);
        self.begun = UnixNanos(begun_ms.saturating_mul(UnixNanos::SECOND / 1000));
        self.covered = covered.and_then(|covered| u64::try_from(covered).ok()).unwrap_or_default();
        self.checked.expect(&segments);
        self.segments = segments.into();
        self.is_stale = false;
        Ok(())
    }

    /// Makes new segments part of the table, with the WAL position they cover, in one commit. Does nothing when
    /// the log covers that position already: an earlier attempt was committed although it was reported as failed.
    /// Returns whether these segments are part of the table now.
    ///
    /// # Errors
    /// [`Error::TableLog`]; the segments may or may not be part of the table, the next call finds out.
    pub(crate) async fn append(&mut self, files: &[Written], sequence: u64, now: UnixNanos) -> Result<bool> {
        if let Some(ownership) = &self.ownership {
            ownership.verify().await?;
        }
        if self.is_stale {
            let known = self.covered;
            self.load().await?;
            self.refuse_strange_commits(known)?;
        }
        if self.covered >= sequence {
            return Ok(false);
        }
        let table = self.table;
        self.begin().await?;
        self.add_missing_columns().await?;
        let now_ms = now.0.div_euclid(UnixNanos::SECOND / 1000);
        let actions = files.iter().map(|file| Action::Add(add(file, now_ms))).collect();
        let properties = CommitProperties::default()
            .with_create_checkpoint(false)
            .with_cleanup_expired_logs(Some(false))
            .with_max_retries(COMMIT_RETRIES)
            .with_application_transaction(Transaction::new(&self.writer, i64::try_from(sequence).unwrap_or(i64::MAX)));
        let operation = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: Some(vec![PARTITION_COLUMN.to_owned()]),
            predicate: None,
        };
        self.is_stale = true;
        self.attempted = sequence;
        let state = self.delta.snapshot().map_err(|error| log_error(table, &error))?;
        let commit = CommitBuilder::from(properties).with_actions(actions).build(
            Some(state as &dyn TableReference),
            self.delta.log_store(),
            operation,
        );
        let commit = commit.await.map_err(|error| log_error(table, &error))?;
        self.version = i64::try_from(commit.version()).unwrap_or(i64::MAX);
        self.delta.state = Some(commit.snapshot());
        self.checked.expect(files.iter().map(|file| &file.meta));
        self.segments = self.segments.iter().cloned().chain(files.iter().map(|file| Arc::clone(&file.meta))).collect();
        self.covered = sequence;
        self.is_stale = false;
        Ok(true)
    }

    /// Makes the log, when there is none yet. Comes before the first segment: what is older than its log belongs to another
    /// one, which was lost.
    ///
    /// # Errors
    /// [`Error::TableLog`].
    pub(crate) async fn begin(&mut self) -> Result<()> {
        if self.is_stale && self.version < 0 {
            // An earlier attempt may have been made although it was reported as failed.
            match self.load().await {
                Ok(()) => return Ok(()),
                Err(error) => tracing::debug!(table = self.table.name, %error, "there is no log yet"),
            }
        }
        if self.version >= 0 {
            return Ok(());
        }
        if let Some(ownership) = &self.ownership {
            ownership.verify().await?;
        }
        self.create(delta_fields(self.table)?).await?;
        self.load().await
    }

    /// Makes sure that a process from which this one took over cannot commit any more: whatever it prepared is refused,
    /// because a commit that carries the same marks came in between. Does nothing where there is a lock.
    ///
    /// # Errors
    /// [`Error::TableLog`].
    pub(crate) async fn fence(&mut self) -> Result<()> {
        let table = self.table;
        if self.ownership.is_none() || self.version < 0 {
            return Ok(());
        }
        for _ in 0..FENCE_ATTEMPTS {
            let covered = i64::try_from(self.covered).unwrap_or(i64::MAX);
            let properties = CommitProperties::default()
                .with_create_checkpoint(false)
                .with_cleanup_expired_logs(Some(false))
                .with_max_retries(0)
                .with_application_transaction(Transaction::new(&self.writer, covered))
                .with_application_transaction(Transaction::new(MAINTENANCE, self.version));
            let state = self.delta.snapshot().map_err(|error| log_error(table, &error))?;
            let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
            let commit = CommitBuilder::from(properties).build(
                Some(state as &dyn TableReference),
                self.delta.log_store(),
                operation,
            );
            match commit.await {
                Ok(_) => return self.load().await,
                // It was faster this once.
                Err(error) => tracing::info!(table = table.name, %error, "a commit came in between; looking again"),
            }
            self.load().await?;
        }
        Err(Error::TableLog {
            table: table.name,
            detail: "another process keeps committing to it; stop that one".to_owned(),
        })
    }

    /// A position that neither the log nor an append of ours had means that a process from which this one took over has
    /// committed after all. Its rows are in our buffer too: a new start sorts them out.
    fn refuse_strange_commits(&self, known: u64) -> Result<()> {
        let is_ours = self.covered == known || self.covered == self.attempted;
        let Some(ownership) = self.ownership.as_ref().filter(|_| !is_ours) else { return Ok(()) };
        ownership.lose(format!("{} holds a commit of a former writer", self.table.name));
        ownership.check()
    }

    /// Replaces segments by others in one commit. Gives false, and changes nothing, when one of `removed` is not part of
    /// the table any more: then the plan is outdated.
    ///
    /// # Errors
    /// [`Error::TableLog`]; when it cannot be read whether the commit was made after all, the table is as one of both.
    pub(crate) async fn replace(
        &mut self,
        removed: &[Path],
        added: &[Written],
        change: Change,
        now: UnixNanos,
    ) -> Result<bool> {
        if let Some(ownership) = &self.ownership {
            ownership.verify().await?;
        }
        if self.is_stale {
            let known = self.covered;
            self.load().await?;
            self.refuse_strange_commits(known)?;
        }
        let gone: HashSet<&Path> = removed.iter().collect();
        let old: Vec<&Arc<SegmentMeta>> = self.segments.iter().filter(|segment| gone.contains(&segment.path)).collect();
        if old.len() != gone.len() {
            return Ok(false);
        }
        let table = self.table;
        let now_ms = now.0.div_euclid(UnixNanos::SECOND / 1000);
        let data_change = change == Change::Removal;
        let removes = old.iter().map(|segment| Action::Remove(remove(&self.prefix, segment, data_change, now_ms)));
        let adds = added.iter().map(|file| Action::Add(Add { data_change, ..add(file, now_ms) }));
        let actions: Vec<Action> = removes.chain(adds).collect();
        let mark = Transaction::new(MAINTENANCE, self.version.saturating_add(1));
        let properties = CommitProperties::default()
            .with_create_checkpoint(false)
            .with_cleanup_expired_logs(Some(false))
            .with_max_retries(COMMIT_RETRIES)
            .with_application_transaction(mark);
        // Without a predicate concurrent appends are no conflict; the mark is what conflicts with other removals.
        let operation = match change {
            Change::Compaction => DeltaOperation::Optimize { predicate: None, target_size: 0 },
            Change::Removal => DeltaOperation::Delete { predicate: None },
        };
        self.is_stale = true;
        let state = self.delta.snapshot().map_err(|error| log_error(table, &error))?;
        let commit = CommitBuilder::from(properties).with_actions(actions).build(
            Some(state as &dyn TableReference),
            self.delta.log_store(),
            operation,
        );
        match commit.await {
            Ok(commit) => {
                self.version = i64::try_from(commit.version()).unwrap_or(i64::MAX);
                self.delta.state = Some(commit.snapshot());
                self.checked.expect(added.iter().map(|file| &file.meta));
                let kept = self.segments.iter().filter(|segment| !gone.contains(&segment.path)).cloned();
                self.segments = kept.chain(added.iter().map(|file| Arc::clone(&file.meta))).collect();
                self.is_stale = false;
                Ok(true)
            }
            Err(error) => {
                // It may have been made although it was reported as failed.
                let error = log_error(table, &error);
                self.load().await?;
                let has = |path: &Path| self.segments.iter().any(|segment| segment.path == *path);
                let is_done = !removed.iter().any(has) && added.iter().all(|file| has(&file.meta.path));
                if is_done { Ok(true) } else { Err(error) }
            }
        }
    }

    /// True when the log should be made short again.
    pub(crate) fn wants_checkpoint(&self) -> bool {
        self.version > 0 && self.version % CHECKPOINT_COMMITS == 0
    }

    /// Writes the whole state beside the commits, and forgets commits that are older than the log's retention or than
    /// [`KEPT_COMMITS`] others.
    ///
    /// # Errors
    /// [`Error::TableLog`]; nothing depends on it.
    pub(crate) async fn checkpoint(&self) -> Result<()> {
        self.checkpoint_keeping(KEPT_COMMITS).await
    }

    async fn checkpoint_keeping(&self, kept_commits: i64) -> Result<()> {
        let failed = |error: deltalake_core::DeltaTableError| log_error(self.table, &error);
        checkpoints::create_checkpoint(&self.delta, None).await.map_err(failed)?;
        checkpoints::cleanup_metadata(&self.delta, None).await.map_err(failed)?;
        let Ok(oldest_kept) = u64::try_from(self.version - kept_commits) else { return Ok(()) };
        let log_store = self.delta.log_store();
        let commit = log_store.log_path().clone().join(format!("{oldest_kept:020}.json"));
        match log_store.object_store(None).head(&commit).await {
            Ok(found) => {
                let made = found.last_modified.timestamp_millis();
                let version = u64::try_from(self.version).unwrap_or_default();
                checkpoints::cleanup_expired_logs_for(version, log_store.as_ref(), made, None).await.map_err(failed)?;
                Ok(())
            }
            // Older than the log's retention.
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Says columns to the log that came with this release, so that other readers see them.
    async fn add_missing_columns(&mut self) -> Result<()> {
        let table = self.table;
        let schema = self.delta.snapshot().map_err(|error| log_error(table, &error))?.schema();
        let missing: Vec<StructField> =
            delta_fields(table)?.into_iter().filter(|field| schema.field(field.name()).is_none()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        self.is_stale = true;
        let properties = CommitProperties::default().with_create_checkpoint(false);
        let adding = self.delta.clone().add_columns().with_fields(missing).with_commit_properties(properties);
        self.delta = adding.await.map_err(|error| log_error(table, &error))?;
        self.is_stale = false;
        Ok(())
    }

    async fn create(&mut self, columns: Vec<StructField>) -> Result<()> {
        let table = self.table;
        let date = StructField::nullable(PARTITION_COLUMN, DataType::Primitive(PrimitiveType::Date));
        let settings = [
            ("delta.checkpointInterval", CHECKPOINT_COMMITS.to_string()),
            ("delta.enableExpiredLogCleanup", "false".to_owned()),
            ("delta.logRetentionDuration", "interval 1 days".to_owned()),
            // Files that were removed are named in checkpoints for so long; vacuum goes by its own rules.
            ("delta.deletedFileRetentionDuration", "interval 1 days".to_owned()),
            ("delta.dataSkippingStatsColumns", stats::columns(table).join(",")),
        ];
        self.is_stale = true;
        let created = CreateBuilder::new()
            .with_log_store(self.delta.log_store())
            .with_table_name(table.name)
            .with_comment(table.help)
            .with_columns(columns.into_iter().chain([date]))
            .with_partition_columns([PARTITION_COLUMN])
            .with_configuration(settings.map(|(key, value)| (key, Some(value))))
            .await;
        self.delta = created.map_err(|error| log_error(table, &error))?;
        self.is_stale = false;
        Ok(())
    }
}

/// True when something was ever committed there.
async fn has_commits(place: &Place, log: &Path) -> Result<bool> {
    let mut objects = place.store.list(Some(log));
    while let Some(object) = objects.try_next().await? {
        let name = object.location.filename().unwrap_or_default();
        if name.ends_with(".json") || name.ends_with(".parquet") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// CRC32C of a file; `None` when its commit does not say.
fn tagged_checksum(file: &LogicalFileView) -> Option<u32> {
    #[expect(deprecated, reason = "there is no other way to a file's tags")]
    let tags = file.add_action().tags?;
    u32::from_str_radix(tags.get(CHECKSUM_TAG)?.as_deref()?, 16).ok()
}

fn add(file: &Written, now_ms: i64) -> Add {
    Add {
        path: file.path_in_table.clone(),
        partition_values: HashMap::from([(PARTITION_COLUMN.to_owned(), Some(date(file.meta.day)))]),
        size: i64::try_from(file.meta.size_bytes).unwrap_or(i64::MAX),
        modification_time: now_ms,
        data_change: true,
        stats: Some(file.stats.clone()),
        tags: file.meta.crc32c.map(|sum| HashMap::from([(CHECKSUM_TAG.to_owned(), Some(format!("{sum:08x}")))])),
        ..Add::default()
    }
}

fn remove(prefix: &Path, segment: &SegmentMeta, data_change: bool, now_ms: i64) -> Remove {
    let path = segment.path.as_ref();
    let in_table = path.strip_prefix(prefix.as_ref()).map_or(path, |rest| rest.trim_start_matches('/'));
    Remove {
        path: in_table.to_owned(),
        data_change,
        deletion_timestamp: Some(now_ms),
        extended_file_metadata: Some(true),
        partition_values: Some(HashMap::from([(PARTITION_COLUMN.to_owned(), Some(date(segment.day)))])),
        size: i64::try_from(segment.size_bytes).ok(),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
    }
}

fn delta_fields(table: &'static Table) -> Result<Vec<StructField>> {
    let fields = table.schema().fields().iter().map(|field| delta_field(field)).collect::<Result<Vec<_>, _>>();
    fields.map_err(|detail| Error::TableLog { table: table.name, detail })
}

/// A column in Delta's words: dictionaries are plain strings there.
fn delta_field(field: &Field) -> Result<StructField, String> {
    Ok(StructField::new(field.name(), delta_type(field.data_type())?, field.is_nullable()))
}

fn delta_type(arrow: &Arrow) -> Result<DataType, String> {
    Ok(match arrow {
        Arrow::Binary => DataType::Primitive(PrimitiveType::Binary),
        Arrow::Utf8 => DataType::Primitive(PrimitiveType::String),
        Arrow::Int64 => DataType::Primitive(PrimitiveType::Long),
        Arrow::Int32 => DataType::Primitive(PrimitiveType::Integer),
        Arrow::Float64 => DataType::Primitive(PrimitiveType::Double),
        Arrow::Boolean => DataType::Primitive(PrimitiveType::Boolean),
        Arrow::Dictionary(_, value) => delta_type(value)?,
        Arrow::List(item) => ArrayType::new(delta_type(item.data_type())?, item.is_nullable()).into(),
        Arrow::Struct(fields) => {
            let fields = fields.iter().map(|field| delta_field(field)).collect::<Result<Vec<_>, _>>()?;
            StructType::try_new(fields).map_err(|error| error.to_string())?.into()
        }
        other => return Err(format!("{other} is not a type at rest")),
    })
}

fn log_error(table: &'static Table, error: &deltalake_core::DeltaTableError) -> Error {
    Error::TableLog { table: table.name, detail: error.to_string() }
}

#[cfg(test)]
mod tests;
