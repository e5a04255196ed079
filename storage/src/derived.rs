//! The write side of the digest and of alert rules: rows of derived tables, all of one batch or none.
//!
//! Recording rules also write points of numbers, which are metrics like those that are sent.
//!
//! They take the way of any append (one WAL record, one sync, then visible), so a batch of the digest is atomic
//! and survives a crash like telemetry does. Nothing else can be written through this handle. Rows about a trace that was
//! erased meanwhile are left out.

use arrow::compute::filter_record_batch;
use model::TenantId;

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::{Appender, only};

/// Writes derived tables. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DerivedWriter(Appender);

impl DerivedWriter {
    pub(crate) const fn new(appender: Appender) -> Self {
        Self(appender)
    }

    /// Makes the batches durable as one record: all of them or none. Returns after the sync; the rows are then
    /// visible to every new snapshot, together. Waits as long as the disk takes: the answer is never in doubt.
    ///
    /// # Errors
    /// [`Error::BatchMismatch`] for rows of a table that is not derived; otherwise as [`Appender::append`].
    pub async fn append(&self, tenant: &TenantId, batches: Vec<Batch>) -> Result<()> {
        only(&batches, true)?;
        let batches = self.without_erased(tenant, batches)?;
        let answer = self.0.send(tenant, batches).await?;
        answer.await.unwrap_or(Err(Error::Closed))
    }

    /// Rows about what was erased after they were begun are not written.
    fn without_erased(&self, tenant: &TenantId, batches: Vec<Batch>) -> Result<Vec<Batch>> {
        let erasures = self.0.published.erasures(tenant);
        let kept = batches.into_iter().map(|batch| match erasures.visible(batch.records()) {
            None => Ok(batch),
            Some(visible) => Batch::new(batch.table(), filter_record_batch(batch.records(), &visible)?),
        });
        kept.collect()
    }
}
