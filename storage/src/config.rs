//! Settings of storage: plain values with a unit and both directions of the trade.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bucket::Address;
use crate::table::Table;

/// Settings of storage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Directory that holds everything; or `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX`.
    pub data: PathBuf,
    /// Shortest time between two syncs, in milliseconds: an append that comes earlier waits for others, so that
    /// one sync serves all; one that comes after a pause is synced at once.
    /// Larger: fewer syncs, later acknowledgements. 0: sync as soon as the disk is free.
    pub group_commit_ms: u64,
    /// The same for a bucket, where a sync is a PUT: shortest time between the beginnings of two of them, in
    /// milliseconds. Larger: fewer requests to pay for, later acknowledgements.
    pub bucket_commit_ms: u64,
    /// A WAL file is closed at this size, in bytes. Larger: fewer files, longer replay.
    pub wal_file_bytes: u64,
    /// The largest WAL record, in bytes before compression; at most 1 GiB. A request of 64 MiB can become twice as
    /// large in Arrow, and must not be refused for that.
    pub wal_record_bytes_max: u64,
    /// Bytes that may wait in the append queue before appends are refused. A single append may always wait alone.
    pub append_queue_bytes_max: u64,
    /// The write buffer of all tables is written to segments at this size, in bytes.
    /// Larger: fewer and better sorted segments, more memory and a longer replay. Appends are refused at three
    /// times this (one part being written, one filling, one for a late flush): 192 MiB, which leaves the rest of
    /// 512 MiB to requests being decoded and to one row group being encoded.
    pub buffer_bytes_max: u64,
    /// The write buffer is also written to segments at this age, in seconds. Smaller: other readers of the tables see rows sooner, and many more small
    /// segments when little comes in. Nothing is at risk meanwhile: the WAL holds the rows.
    pub buffer_age_max_s: u64,
    /// Memory for filters and heads of index files, in bytes. A filter takes about 1.3 bytes per trace in a segment and
    /// saves a read per segment and look-up; what does not fit is read piece by piece. 64 MiB hold 50 million traces.
    pub index_cache_bytes_max: u64,
    /// Refuse to start when WAL records or a table log are damaged, instead of setting them aside and saying
    /// `incomplete`. The whole WAL is then read before ingest opens.
    pub strict_recovery: bool,
    /// The process ends with code 75 when no WAL file could be written for so many seconds, so that whoever watches
    /// it can act; a full disk is waited for without end. 0: never.
    pub give_up_after_s: u64,
    /// How long data is kept, in days; older rows are refused on entry (V6). Whole days are dropped, a day after the
    /// last of their rows got too old.
    pub retention_days: u32,
    /// Days for spans and what is derived from them, if not `retention_days`. 0: as `retention_days`.
    pub retention_days_traces: u32,
    /// Days for log records, if not `retention_days`. 0: as `retention_days`.
    pub retention_days_logs: u32,
    /// Days for metric points and exemplars, if not `retention_days`. 0: as `retention_days`.
    pub retention_days_metrics: u32,
    /// Bytes that one table of one tenant may have in segments; the oldest go first, whatever their age. 0: no limit.
    pub retention_table_bytes_max: u64,
    /// Bytes for each table of spans and of what is derived from them, if not `retention_table_bytes_max`. 0: as that.
    pub retention_table_bytes_max_traces: u64,
    /// Bytes for the table of log records, if not `retention_table_bytes_max`. 0: as that.
    pub retention_table_bytes_max_logs: u64,
    /// Bytes for each table of metric points and exemplars, if not `retention_table_bytes_max`. 0: as that.
    pub retention_table_bytes_max_metrics: u64,
    /// Small segments are merged into large, sorted ones in the background. False: only rows that are erased are
    /// rewritten, and queries get slower with every flush.
    pub compaction: bool,
    /// How long small segments wait for others before they are merged, in seconds. Smaller: fewer segments, and rows are
    /// copied more often.
    pub compaction_wait_s: u64,
    /// Memory of a merge, in bytes. Larger: more segments at once, so that rows are copied less often. 32 MiB: 4 segments
    /// at once, and a row is copied twice until its segment is full; 80 MiB: 16 segments, and once.
    pub compaction_memory_bytes_max: u64,
    /// Free bytes on the disk that merges leave to ingest. A merge needs as much space as its segments take; it is not
    /// begun, or given up, when less than this would be left.
    pub disk_reserve_bytes: u64,
    /// How long rows that were erased stay hidden at least, in seconds, although their segments are rewritten within
    /// minutes: what the digest computed from them before may still arrive. Rows like them that arrive meanwhile are
    /// erased too. Larger than the time that traces take to settle.
    pub erasure_hold_s: u64,
    /// How often retention and the removal of files that are no longer needed look around, in seconds.
    pub maintenance_every_s: u64,
    /// How long a segment stays on disk after it was replaced or dropped, in seconds: programs that read the tables
    /// themselves may have it open. Queries here are always waited for.
    pub vacuum_grace_s: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("hodoscope-data"),
            group_commit_ms: 2,
            bucket_commit_ms: 200,
            wal_file_bytes: 128 << 20,
            wal_record_bytes_max: 192 << 20,
            append_queue_bytes_max: 64 << 20,
            buffer_bytes_max: 64 << 20,
            buffer_age_max_s: 120,
            index_cache_bytes_max: 64 << 20,
            strict_recovery: false,
            give_up_after_s: 60,
            retention_days: 30,
            retention_days_traces: 0,
            retention_days_logs: 0,
            retention_days_metrics: 0,
            retention_table_bytes_max: 0,
            retention_table_bytes_max_traces: 0,
            retention_table_bytes_max_logs: 0,
            retention_table_bytes_max_metrics: 0,
            compaction: true,
            compaction_wait_s: 600,
            compaction_memory_bytes_max: 32 << 20,
            disk_reserve_bytes: 512 << 20,
            erasure_hold_s: 600,
            maintenance_every_s: 60,
            vacuum_grace_s: 300,
        }
    }
}

impl Config {
    /// How old a row may be.
    pub fn retention(&self) -> Duration {
        Duration::from_secs(u64::from(self.retention_days) * 86_400)
    }

    /// Whether `data` is a bucket, or something else that is written as a URL.
    pub fn is_bucket(&self) -> bool {
        self.data.to_str().is_some_and(|data| data.contains("://"))
    }

    /// How many days rows of a table are kept.
    pub(crate) fn days(&self, table: &Table) -> u32 {
        let own = match Signal::of(table) {
            Signal::Traces => self.retention_days_traces,
            Signal::Logs => self.retention_days_logs,
            Signal::Metrics => self.retention_days_metrics,
        };
        if own == 0 { self.retention_days } else { own }
    }

    /// How many bytes of a table are kept; 0: as many as there are.
    pub(crate) fn bytes_max(&self, table: &Table) -> u64 {
        let own = match Signal::of(table) {
            Signal::Traces => self.retention_table_bytes_max_traces,
            Signal::Logs => self.retention_table_bytes_max_logs,
            Signal::Metrics => self.retention_table_bytes_max_metrics,
        };
        if own == 0 { self.retention_table_bytes_max } else { own }
    }

    /// Names the first setting that cannot work.
    ///
    /// # Errors
    /// One sentence for the person who wrote the configuration.
    pub fn validate(&self) -> Result<(), String> {
        let positive = [
            ("wal_file_bytes", self.wal_file_bytes),
            ("wal_record_bytes_max", self.wal_record_bytes_max),
            ("append_queue_bytes_max", self.append_queue_bytes_max),
            ("buffer_bytes_max", self.buffer_bytes_max),
            ("buffer_age_max_s", self.buffer_age_max_s),
            ("retention_days", u64::from(self.retention_days)),
            ("compaction_memory_bytes_max", self.compaction_memory_bytes_max),
            ("maintenance_every_s", self.maintenance_every_s),
        ];
        match positive.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(format!("storage.{name} must be greater than 0")),
            None if self.wal_record_bytes_max > 1 << 30 => {
                Err("storage.wal_record_bytes_max must be at most 1073741824 (1 GiB)".to_owned())
            }
            None if self.data.as_os_str().is_empty() => Err("storage.data must name a directory".to_owned()),
            None if self.is_bucket() => {
                let text = self.data.to_str().ok_or("storage.data must be UTF-8 when it is a URL")?;
                Address::parse(text).map(drop).map_err(|error| format!("storage.data: {error}"))
            }
            None => Ok(()),
        }
    }
}

/// What a table's rows came as, or were made from.
enum Signal {
    Traces,
    Logs,
    Metrics,
}

impl Signal {
    fn of(table: &Table) -> Self {
        match table.name {
            "logs" => Self::Logs,
            "number_points" | "histogram_points" | "exp_histogram_points" | "summary_points" | "exemplars" => {
                Self::Metrics
            }
            _ => Self::Traces,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{HOPS, LOGS, NUMBER_POINTS, SPANS};

    /// Each signal may have limits of its own, and has the common ones otherwise.
    #[test]
    fn what_is_kept_is_set_per_signal() {
        let config = Config {
            retention_days: 30,
            retention_days_logs: 7,
            retention_table_bytes_max: 1000,
            retention_table_bytes_max_metrics: 50,
            retention_table_bytes_max_traces: 4000,
            ..Config::default()
        };
        let kept = [&SPANS, &HOPS, &LOGS, &NUMBER_POINTS].map(|table| (config.days(table), config.bytes_max(table)));
        assert_eq!(kept, [(30, 4000), (30, 4000), (7, 1000), (30, 50)]);
    }
}
