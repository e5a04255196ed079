//! What cannot be read: left out of every snapshot, said by every answer, and remembered over restarts.
//!
//! ```text
//! quarantine/<sequence>.wal                 WAL files with damaged records; what could be read of them is stored
//! quarantine/segments/<segment>.json        a note per damaged segment; the file itself stays where it is
//! quarantine/tables/<tenant>.<table>.<id>/  a table whose log could not be read, as it was
//! ```
//!
//! Answers say `incomplete` as long as something lies there, for segments as long as they are part of their table: what
//! has expired is not missed. Whoever has restored or given up the data removes it, and the next start is whole again.
//! Nothing is ever deleted from there by us.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use model::TenantId;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::paths;
use crate::snapshot::SegmentMeta;
use crate::table::Table;

/// Known damage of one place.
#[derive(Debug)]
pub(crate) struct Damage {
    store: Arc<dyn ObjectStore>,
    known: ArcSwap<Known>,
    /// Held while `known` is replaced.
    changing: Mutex<()>,
}

/// What is known at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Damaged segments and what is wrong with them.
    segments: HashMap<Path, Note>,
    /// Tables that were set aside: tenant and name.
    tables: Vec<(String, String)>,
    /// Files of the WAL with damaged records.
    n_wal_files: usize,
}

/// What stands in the note of a segment.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Note {
    segment: String,
    rows: u64,
    detail: String,
}

impl Damage {
    /// Reads what earlier processes noted.
    ///
    /// # Errors
    /// When the place cannot be read.
    pub(crate) async fn load(store: &Arc<dyn ObjectStore>) -> Result<Self> {
        let mut known = Known::default();
        let files = store.list_with_delimiter(Some(&paths::quarantine())).await?;
        known.n_wal_files = files
            .objects
            .iter()
            .filter(|file| file.location.filename().and_then(paths::parse_wal_file).is_some())
            .count();
        for file in store.list_with_delimiter(Some(&paths::damaged_segments())).await?.objects {
            let read = async { store.get(&file.location).await?.bytes().await };
            let note = read.await.ok().and_then(|bytes| serde_json::from_slice::<Note>(&bytes).ok());
            // A note that cannot be read is still a sign that something was wrong: its name says with what.
            let unread = || {
                let segment = paths::parse_damaged_segment(&file.location)?;
                tracing::warn!(note = %file.location, "a note about a damaged segment cannot be read");
                Some(Note { segment: segment.to_string(), rows: 0, detail: "its note cannot be read".to_owned() })
            };
            if let Some(note) = note.or_else(unread) {
                known.segments.insert(Path::from(note.segment.as_str()), note);
            }
        }
        for table in store.list_with_delimiter(Some(&paths::damaged_tables())).await?.common_prefixes {
            let mut parts = table.filename().unwrap_or_default().split('.');
            if let (Some(tenant), Some(name)) = (parts.next(), parts.next()) {
                known.tables.push((tenant.to_owned(), name.to_owned()));
            }
        }
        Ok(Self { store: Arc::clone(store), known: ArcSwap::from_pointee(known), changing: Mutex::new(()) })
    }

    /// What is known now.
    pub(crate) fn known(&self) -> Arc<Known> {
        self.known.load_full()
    }

    /// Leaves a segment out of snapshots from now on, also after a restart. False when it was known.
    pub(crate) async fn add(&self, segment: &SegmentMeta, detail: String) -> bool {
        let note = Note { segment: segment.path.to_string(), rows: segment.n_rows, detail };
        if !self.remember(segment, note.clone()) {
            return false;
        }
        tracing::error!(segment = %segment.path, rows = segment.n_rows, detail = note.detail, "a segment is damaged: its rows are missing");
        let bytes = serde_json::to_vec_pretty(&note).unwrap_or_default();
        if let Err(error) = self.store.put(&paths::damaged_segment(&segment.path), bytes.into()).await {
            tracing::warn!(segment = %segment.path, %error, "the damage could not be noted; it is found again after a restart");
        }
        true
    }

    fn remember(&self, segment: &SegmentMeta, note: Note) -> bool {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = Known::clone(&self.known.load());
        let is_new = known.segments.insert(segment.path.clone(), note).is_none();
        self.known.store(Arc::new(known));
        is_new
    }
}

impl Known {
    /// True when a snapshot may leave this segment out.
    pub(crate) fn holds(&self, segment: &Path) -> bool {
        self.segments.contains_key(segment)
    }

    /// Damaged segments.
    pub(crate) fn segments(&self) -> HashSet<Path> {
        self.segments.keys().cloned().collect()
    }

    /// True when no segment needs to be looked up.
    pub(crate) fn has_no_segments(&self) -> bool {
        self.segments.is_empty()
    }

    /// Why answers to this tenant may miss rows, when so many damaged segments with so many rows are left out of them.
    pub(crate) fn reason(&self, tenant: &TenantId, n_segments: usize, n_rows: u64) -> Option<String> {
        let mut reasons = Vec::new();
        if self.n_wal_files > 0 {
            reasons.push(format!("{} damaged WAL files are in quarantine/", self.n_wal_files));
        }
        if n_segments > 0 {
            reasons.push(format!(
                "{n_segments} damaged segments with {n_rows} rows are left out; see quarantine/segments/"
            ));
        }
        let tables = self.tables.iter().filter(|(owner, _)| owner == tenant.as_str());
        let tables: Vec<&str> = tables.map(|(_, name)| name.as_str()).collect();
        if !tables.is_empty() {
            reasons.push(format!("earlier rows of {} were set aside; see quarantine/tables/", tables.join(", ")));
        }
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

/// Where a table that cannot be read goes.
pub(crate) fn table_set_aside(tenant: &TenantId, table: &Table) -> Path {
    Path::from(format!("{}/{tenant}.{}.{}", paths::damaged_tables(), table.name, uuid::Uuid::now_v7().simple()))
}
