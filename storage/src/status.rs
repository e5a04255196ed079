//! Figures about storage.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::UnixNanos;

use crate::metrics::Counts;
use crate::snapshot::SegmentMeta;

/// Figures about storage for `/api/status` and `/metrics`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Bytes waiting to be written to the WAL.
    pub append_queue_bytes: u64,
    /// Bytes and rows in the write buffer.
    pub buffer_bytes: u64,
    /// Rows in the write buffer.
    pub buffer_rows: u64,
    /// Bytes in WAL files.
    pub wal_bytes: u64,
    /// Live segments over all tables and tenants.
    pub segments: u64,
    /// Bytes of live segments.
    pub segment_bytes: u64,
    /// Rows of live segments.
    pub segment_rows: u64,
    /// Free bytes on the disk of the data directory; `None` when unknown.
    pub disk_free_bytes: Option<u64>,
    /// Whole days until the disk is full at the pace of the busiest of the last days, and at most the days that rows are kept: then as much
    /// goes as comes. `None` before there is a pace, and where free space is unknown.
    pub disk_days_left: Option<u32>,
    /// Why writes are refused at the moment; `None` when they are taken.
    pub refusing: Option<String>,
    /// Old WAL files still being replayed.
    pub replaying: bool,
    /// Live segments by level: as flushed, merged once, merged twice or more.
    pub segments_by_level: [u64; 3],
    /// What maintenance does.
    pub maintenance: MaintenanceStatus,
    /// Counters since the process started.
    pub counts: Counts,
}

/// Figures about compaction, retention, erasure and vacuum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaintenanceStatus {
    /// Segments that wait for merges that are due now.
    pub merge_backlog_segments: u64,
    /// Why nothing is merged although it is due; `None` when merges go on.
    pub merges_waiting: Option<String>,
    /// When the last merge was committed.
    pub last_merge: Option<UnixNanos>,
    /// When retention last looked.
    pub last_retention: Option<UnixNanos>,
    /// When vacuum last looked.
    pub last_vacuum: Option<UnixNanos>,
    /// Erasures that are hidden and not rewritten yet.
    pub erasures: u64,
}

/// Days that count for the pace, without the one that is not over.
const PACE_DAYS: i32 = 7;
/// On the first day its part must be at least so long to say anything.
const PACE_NANOS_MIN: i64 = UnixNanos::DAY / 24;

/// See [`Status::disk_days_left`].
pub(crate) fn days_left(
    segments: &[&Arc<SegmentMeta>],
    free_bytes: Option<u64>,
    retention_days: u32,
    now: UnixNanos,
) -> Option<u32> {
    let mut by_day: BTreeMap<i32, u64> = BTreeMap::new();
    for segment in segments {
        *by_day.entry(segment.day).or_default() += segment.size_bytes;
    }
    let today = now.day();
    let busiest = by_day.range(today.saturating_sub(PACE_DAYS)..today).map(|(_, bytes)| *bytes).max();
    let first_day = || {
        let begun = segments.iter().filter(|one| one.day == today).map(|one| one.time_range.start).min()?;
        let nanos = now.0.saturating_sub(begun.0);
        let bytes = by_day.get(&today).copied()?;
        (nanos >= PACE_NANOS_MIN).then(|| (bytes as f64 * UnixNanos::DAY as f64 / nanos as f64) as u64)
    };
    let per_day = busiest.or_else(first_day).filter(|bytes| *bytes > 0)?;
    let kept: u64 = by_day.values().sum();
    let room = kept.saturating_add(free_bytes?);
    if per_day.saturating_mul(retention_days.into()) <= room {
        return Some(retention_days);
    }
    Some(u32::try_from(free_bytes? / per_day).unwrap_or(u32::MAX).min(retention_days))
}

#[cfg(test)]
mod tests {
    use model::TimeRange;
    use object_store::path::Path;

    use super::*;

    fn segment(day: i32, begins: i64, size_bytes: u64) -> Arc<SegmentMeta> {
        Arc::new(SegmentMeta {
            path: Path::from("a"),
            size_bytes,
            n_rows: 1,
            day,
            level: 0,
            created: UnixNanos(0),
            crc32c: None,
            time_range: TimeRange::new(UnixNanos(begins), UnixNanos(begins + 1)),
            service_range: None,
        })
    }

    #[test]
    fn the_busiest_day_tells_how_long_the_disk_lasts() {
        let now = UnixNanos(100 * UnixNanos::DAY + UnixNanos::DAY / 2);
        let at = |days: i64| days * UnixNanos::DAY;
        let all = [segment(60, at(60), 900), segment(98, at(98), 10), segment(99, at(99), 30), segment(99, at(99), 20)];
        let all: Vec<_> = all.iter().collect();
        assert_eq!(days_left(&all, Some(149), 30, now), Some(2), "50 bytes a day, but for the one long ago");
        assert_eq!(days_left(&all, Some(2_000), 30, now), Some(30), "as much goes as comes");
        assert_eq!(days_left(&all, None, 30, now), None);
        assert_eq!(days_left(&[], Some(1), 30, now), None);
        // Only today: twelve hours of it.
        let first = [segment(100, at(100), 50)];
        let first: Vec<_> = first.iter().collect();
        assert_eq!(days_left(&first, Some(250), 30, now), Some(2));
        assert_eq!(days_left(&first, Some(250), 30, UnixNanos(at(100) + UnixNanos::SECOND)), None, "too soon to say");
    }
}
