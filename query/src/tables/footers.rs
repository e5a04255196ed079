//! Footers of segments, read before anybody asks for rows in them.
//!
//! Whoever looks for a trace needs the footer of each segment that has some of its rows: 3 MiB in memory for a million spans,
//! which take longer to read and decode than everything else of the look-up. Read when a segment appears, they cost little beside
//! making it. Newest segments first, up to three quarters of what the cache holds (60 million spans by default), so that what is asked for
//! has room too; those of segments that were merged or removed go.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetFileReaderFactory as _};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use model::TenantId;
use object_store::path::Path;
use storage::table::SPANS;
use storage::{Reader, SegmentMeta, Snapshot};

use crate::engine::Engine;
use crate::engine::runtime::Running;
use crate::error::{Error, Result};

/// Pause between two looks at what there is.
const TICK: Duration = Duration::from_secs(1);

/// Reads footers for as long as it lives.
#[derive(Debug)]
pub struct Footers {
    _running: Running<()>,
}

impl Engine {
    /// Begins to read footers of segments of spans as they appear, on the query threads.
    pub fn keep_footers(&self, reader: Reader) -> Footers {
        let engine = self.clone();
        let work = async move {
            let mut known = Known::default();
            loop {
                if !reader.is_replaying() {
                    let snapshots = reader.tenants().into_iter().map(|tenant| (engine.snapshot(&tenant), tenant));
                    known.look(&engine, &snapshots.collect::<Vec<_>>()).await;
                }
                tokio::time::sleep(TICK).await;
            }
        };
        Footers { _running: self.spawn(work) }
    }
}

/// What was read, and the memory that it takes.
#[derive(Debug, Default)]
struct Known(HashMap<(TenantId, Path), usize>);

impl Known {
    /// Reads what is new, newest segments first, while there is room.
    async fn look(&mut self, engine: &Engine, snapshots: &[(Arc<Snapshot>, TenantId)]) {
        let mut live: Vec<(&Arc<Snapshot>, &TenantId, &Arc<SegmentMeta>)> = Vec::new();
        for (snapshot, tenant) in snapshots {
            let segments = snapshot.table(&SPANS).map(|entry| &entry.segments);
            live.extend(
                segments.into_iter().flat_map(|segments| segments.iter()).map(|segment| (snapshot, tenant, segment)),
            );
        }
        let names: HashSet<(&TenantId, &Path)> =
            live.iter().map(|(_, tenant, segment)| (*tenant, &segment.path)).collect();
        // What was merged or removed would push out what is asked for: flushes come every few seconds.
        let cache = engine.runtime_env().cache_manager.get_file_metadata_cache();
        for (_, path) in self.0.extract_if(|(tenant, path), _| !names.contains(&(tenant, path))).map(|(gone, _)| gone) {
            cache.remove(&path);
        }
        live.retain(|(_, tenant, segment)| !self.0.contains_key(&((*tenant).clone(), segment.path.clone())));
        live.sort_by_key(|(_, _, segment)| std::cmp::Reverse(segment.time_range.end));
        let room = usize::try_from(engine.config().metadata_cache_bytes / 4 * 3).unwrap_or(usize::MAX);
        let mut n_bytes: usize = self.0.values().sum();
        for (snapshot, tenant, segment) in live {
            if n_bytes >= room {
                return;
            }
            // Whoever asks for rows of a segment that cannot be read looks for damage, and says so.
            let n = read(engine.runtime_env(), snapshot, segment).await.unwrap_or_default();
            n_bytes += n;
            self.0.insert((tenant.clone(), segment.path.clone()), n);
            tokio::task::yield_now().await;
        }
    }
}

/// Readers of the segments of a snapshot that share the cache of footers.
pub(super) fn readers(runtime: &RuntimeEnv, snapshot: &Snapshot) -> CachedParquetFileReaderFactory {
    let cache = runtime.cache_manager.get_file_metadata_cache();
    CachedParquetFileReaderFactory::new(Arc::clone(&snapshot.store), cache)
}

/// Puts a footer with its page index into the cache; the memory that it takes.
async fn read(runtime: &RuntimeEnv, snapshot: &Snapshot, segment: &SegmentMeta) -> Result<usize> {
    let file = PartitionedFile::new(segment.path.to_string(), segment.size_bytes);
    let metrics = ExecutionPlanMetricsSet::new();
    let mut reader = readers(runtime, snapshot).create_reader(0, file, None, &metrics)?;
    let footer = reader.get_metadata(None).await;
    Ok(footer.map_err(|error| Error::from(datafusion::error::DataFusionError::from(error)))?.memory_size())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::testing::{Fixture, TestSpan, span, spans_batch, tenant};

    fn n_cached(engine: &Engine) -> usize {
        engine.runtime_env().cache_manager.get_file_metadata_cache().list_entries().len()
    }

    /// Each footer is read once, while there is room; one that is gone gives its room back.
    #[tokio::test]
    async fn footers_are_read_once_and_while_there_is_room() {
        let spans: Vec<TestSpan> = (1..=100).map(|n| span(n, n, None, "work", n as i64, 1)).collect();
        let fixture = Fixture::new(vec![spans_batch(&spans)]).await.flushed().await;
        let engine = &fixture.engine;
        let snapshots = [(engine.snapshot(&tenant()), tenant())];
        let mut known = Known::default();
        assert_eq!(n_cached(engine), 0);
        known.look(engine, &snapshots).await;
        assert_eq!((n_cached(engine), known.0.len()), (1, 1));
        assert!(known.0.values().all(|n| *n > 1_000), "{known:?}");
        let before = known.0.clone();
        known.look(engine, &snapshots).await;
        assert_eq!(known.0, before);
        known.look(engine, &[]).await;
        assert_eq!((n_cached(engine), known.0.len()), (0, 0), "the segment is gone");

        let config = Config { threads: 2, metadata_cache_bytes: 0, ..Config::default() };
        let fixture = Fixture::with_config(config, vec![spans_batch(&spans)]).await.flushed().await;
        let snapshots = [(fixture.engine.snapshot(&tenant()), tenant())];
        let mut known = Known::default();
        known.look(&fixture.engine, &snapshots).await;
        assert!(known.0.is_empty(), "there is no room");
    }
}
