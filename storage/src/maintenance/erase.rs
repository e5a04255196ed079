//! Rewrites what is erased, and takes marks away that nothing needs any more.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use model::TenantId;
use object_store::path::Path;

use super::{BACKLOG_MAX, LOOK_ROWS, Maintenance, may_be_in_a_file};
use crate::compaction::plan::Merge;
use crate::erasure::{self, Erasures};
use crate::error::{Error, Result};
use crate::index::By;
use crate::segment::SegmentScan;
use crate::snapshot::SegmentMeta;
use crate::table::{TABLES, Table};

/// What is known about the erasures of a tenant.
#[derive(Debug, Default)]
pub(super) struct Erasing {
    /// Their names, and how far each has come.
    seen: HashMap<String, Mark>,
    /// Segments that hold no row of any of them.
    clean: HashSet<Path>,
}

/// How far an erasure has come.
#[derive(Debug)]
struct Mark {
    /// First seen here.
    since: Instant,
    /// Once its hold was over: the last record that was accepted by then. Rows up to it were promised to be erased, wherever they are.
    until: Option<u64>,
}

impl Maintenance {
    /// Rewrites what is erased, a segment at a time; a mark goes when nothing holds its rows, and not before
    /// `erasure_hold_s`: what was computed from them before may still be on its way, and what came meanwhile in the buffer.
    pub(super) fn erase(&mut self) -> Result<()> {
        let tenants = self.published.erasing_tenants();
        self.erasing.retain(|tenant, _| tenants.contains(tenant));
        for tenant in tenants {
            let erasures = self.published.erasures(&tenant);
            let names: Vec<String> = erasures.list().map(|erasure| erasure.id.clone()).collect();
            if !self.published.is_flushed_since(&names) {
                continue;
            }
            let erasing = self.erasing.entry(tenant.clone()).or_default();
            if names.iter().any(|name| !erasing.seen.contains_key(name)) {
                erasing.clean.clear();
            }
            erasing.seen.retain(|name, _| names.contains(name));
            for name in &names {
                erasing.seen.entry(name.clone()).or_insert_with(|| Mark { since: Instant::now(), until: None });
            }
            let hold = Duration::from_secs(self.published.config.erasure_hold_s);
            // Known before the rewrite, which then sees their rows in segments.
            let mut done: Vec<String> = Vec::new();
            for (name, mark) in &mut erasing.seen {
                match mark.until {
                    Some(until) if self.published.is_flushed_to(until) => done.push(name.clone()),
                    None if mark.since.elapsed() >= hold => {
                        mark.until = Some(self.published.accepted_sequence.load(Ordering::Acquire));
                    }
                    _ => {}
                }
            }
            if !self.rewrite(&tenant, &erasures)? {
                continue;
            }
            if done.is_empty() {
                continue;
            }
            for name in &done {
                self.runtime.block_on(erasure::remove(&*self.published.place.store, &tenant, name))?;
            }
            self.published.change_erasures(&tenant, |list| list.retain(|erasure| !done.contains(&erasure.id)));
            tracing::info!(%tenant, erasures = done.len(), "what was erased is in no segment any more");
        }
        Ok(())
    }

    /// Rewrites the segments of a tenant that hold erased rows. False when some cannot be read: their rows could come
    /// back when the files are restored, so the marks stay until they are, or until the segments expire.
    fn rewrite(&mut self, tenant: &TenantId, erasures: &Erasures) -> Result<bool> {
        loop {
            let skip = self.left_alone();
            let (next, n_skipped) = self.next_unclean(tenant, &skip);
            let Some((table, segment)) = next else { return Ok(n_skipped == 0) };
            if self.is_ending() {
                return Err(Error::Closed);
            }
            let (day, level) = (segment.day, segment.level);
            let rewritten = match self.holds_erased(table, &segment, erasures) {
                Ok(true) => {
                    let rewrite = Merge { day, level, inputs: vec![Arc::clone(&segment)], n_waiting: 1 };
                    self.merge(tenant, table, &rewrite, BACKLOG_MAX)
                }
                Ok(false) => {
                    if let Some(erasing) = self.erasing.get_mut(tenant) {
                        erasing.clean.insert(segment.path.clone());
                    }
                    Ok(())
                }
                Err(error) => Err(error),
            };
            if let Err(error) = rewritten {
                if may_be_in_a_file(&error) {
                    self.examine(table, std::slice::from_ref(&segment));
                }
                if !self.left_alone().contains(&segment.path) {
                    return Err(error);
                }
            }
        }
    }

    /// A live segment that nobody has looked at for the marks at hand, and how many had to be skipped.
    fn next_unclean(
        &self,
        tenant: &TenantId,
        skip: &HashSet<Path>,
    ) -> (Option<(&'static Table, Arc<SegmentMeta>)>, usize) {
        let (Some(erasing), Some(view)) = (self.erasing.get(tenant), self.published.view(tenant)) else {
            return (None, 0);
        };
        let live = TABLES.iter().copied().flat_map(|table| {
            let segments = view.tables[table.index()].segments.iter();
            segments.map(move |segment| (table, Arc::clone(segment)))
        });
        let (skipped, readable): (Vec<_>, Vec<_>) = live.partition(|(_, segment)| skip.contains(&segment.path));
        (readable.into_iter().find(|(_, segment)| !erasing.clean.contains(&segment.path)), skipped.len())
    }

    fn holds_erased(&self, table: &'static Table, segment: &Arc<SegmentMeta>, erasures: &Erasures) -> Result<bool> {
        let columns = erasures.columns(table);
        if columns.is_empty() {
            return Ok(false);
        }
        // Whole traces: mostly the index can say no. Derived rows name traces in further columns.
        if let (Some(traces), Some(_), false) = (erasures.traces(), table.column(By::Trace.column()), table.is_derived)
        {
            let segments = [Arc::clone(segment)];
            let mut may_hold = false;
            for trace in traces {
                let locating = self.published.indexes.locate(table, &segments, By::Trace, trace.as_bytes());
                may_hold |= !self.runtime.block_on(locating).is_empty();
            }
            if !may_hold {
                return Ok(false);
            }
        }
        let (store, runtime) = (&self.published.place.store, self.runtime.handle());
        let looking = std::panic::AssertUnwindSafe(|| {
            let mut scan = SegmentScan::open(store, runtime, table, segment, columns, LOOK_ROWS)?;
            while let Some(rows) = scan.next()? {
                if erasures.visible(&rows).is_some() {
                    return Ok(true);
                }
            }
            Ok(false)
        });
        // A damaged file can make a decoder panic (arrow-rs#9742): a failure like any other.
        std::panic::catch_unwind(looking).unwrap_or_else(|_| {
            let (path, detail) = (segment.path.to_string().into(), "the decoder panicked".to_owned());
            Err(Error::Damaged { path, detail })
        })
    }
}
