//! Which files nobody needs any more. Pure: what is there, what is named and what time it is are arguments.
//!
//! A file may go when no version of its table names it, nobody here is writing it, no snapshot of this process
//! reads it, and that has been so for a grace period by the steady clock, for readers outside. A file that is about to be
//! committed is noted as in flight before its first byte is written, so it is never taken for a left-over.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use object_store::path::Path;

use crate::paths;
use crate::snapshot::SegmentMeta;

/// What was seen so far.
#[derive(Debug, Default)]
pub(crate) struct Vacuum {
    /// Files that no version names, and since when, by the steady clock.
    unnamed: HashMap<Path, Duration>,
    /// Segments that were replaced or dropped by this process: alive as long as a snapshot has them.
    replaced: HashMap<Path, Weak<SegmentMeta>>,
}

impl Vacuum {
    /// Notes segments that are no longer part of their table.
    pub(crate) fn replaced<'a>(&mut self, segments: impl IntoIterator<Item = &'a Arc<SegmentMeta>>) {
        self.replaced.extend(segments.into_iter().map(|segment| (segment.path.clone(), Arc::downgrade(segment))));
    }

    /// Files of one table to remove now. `listed` are its segments with what belongs to them on disk, taken before `in_flight` and
    /// `named` were looked at.
    pub(crate) fn due(
        &mut self,
        table: &Path,
        listed: &[Path],
        in_flight: &HashSet<Path>,
        named: &HashSet<Path>,
        steady: Duration,
        grace: Duration,
    ) -> Vec<Path> {
        let needed: HashSet<Path> = named.iter().chain(in_flight).flat_map(paths::with_companions).collect();
        let left_over: HashSet<&Path> = listed.iter().filter(|file| !needed.contains(*file)).collect();
        self.unnamed.retain(|file, _| !file.prefix_matches(table) || left_over.contains(file));
        self.replaced.retain(|_, segment| segment.strong_count() > 0);
        let being_read: HashSet<Path> = self.replaced.keys().flat_map(paths::with_companions).collect();
        let mut due: Vec<Path> = Vec::new();
        for file in left_over {
            let since = *self.unnamed.entry(file.clone()).or_insert(steady);
            if steady.saturating_sub(since) >= grace && !being_read.contains(file) {
                due.push(file.clone());
            }
        }
        due.sort();
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{TimeRange, UnixNanos};

    const TABLE: &str = "tenants/t/spans";

    fn path(name: &str) -> Path {
        Path::from(format!("{TABLE}/date=2026-11-20/{name}.parquet"))
    }

    fn names(due: &[Path]) -> Vec<&str> {
        due.iter().filter_map(|path| path.filename()).collect()
    }

    /// Only what nobody names, writes or reads goes, with its index, and only after the grace period.
    #[test]
    fn only_what_nobody_needs_goes() {
        let meta = Arc::new(SegmentMeta {
            path: path("old"),
            size_bytes: 1,
            n_rows: 1,
            day: 0,
            level: 0,
            created: UnixNanos(0),
            crc32c: None,
            time_range: TimeRange::ALL,
            service_range: None,
        });
        let mut vacuum = Vacuum::default();
        vacuum.replaced([&meta]);
        let all = ["named", "writing", "old", "orphan"].map(path);
        let listed: Vec<Path> = all.iter().flat_map(|path| [path.clone(), paths::index(path)]).collect();
        let (in_flight, named) = (HashSet::from([path("writing")]), HashSet::from([path("named")]));
        let grace = Duration::from_secs(300);
        let mut due = |second: u64, in_flight: &HashSet<Path>, named: &HashSet<Path>| {
            let due = vacuum.due(&Path::from(TABLE), &listed, in_flight, named, Duration::from_secs(second), grace);
            names(&due).iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()
        };
        assert!(due(10, &in_flight, &named).is_empty());
        assert!(due(309, &in_flight, &named).is_empty());
        assert_eq!(due(310, &in_flight, &named), ["orphan.tix", "orphan.parquet"], "the old one is still read");
        drop(meta);
        assert_eq!(due(311, &in_flight, &named), ["old.tix", "orphan.tix", "old.parquet", "orphan.parquet"]);
        // Committed between listing and look: named now, and later dropped; the clock starts anew.
        assert_eq!(due(312, &HashSet::new(), &HashSet::from([path("writing"), path("old")])).len(), 2);
        assert_eq!(due(320, &in_flight, &named), ["orphan.tix", "orphan.parquet"]);
    }
}
