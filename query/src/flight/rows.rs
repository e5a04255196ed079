//! Rows of a statement as they are made, within the limits of the configuration.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use api::SqlRequest;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::physical_plan::execute_stream;
use futures::{Stream, StreamExt as _};
use model::TenantId;
use tokio::sync::mpsc;

use crate::engine::Engine;
use crate::engine::runtime::Running;
use crate::engine::session::sliced_bytes;
use crate::error::{Error, Result};
use crate::sql::{explain, planned};
use crate::tables::relation_schemas;

/// Batches that wait for the reader.
const BATCHES_MAX: usize = 4;

/// Rows on their way. Dropping them ends the work, and so does the time limit, whether they are read or not.
pub(crate) struct Rows {
    pub(super) schema: SchemaRef,
    batches: mpsc::Receiver<Result<RecordBatch>>,
    _work: Running<()>,
}

impl Stream for Rows {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.batches.poll_recv(context)
    }
}

impl Engine {
    /// The columns of a statement; nothing is read.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) async fn sql_schema(&self, tenant: &TenantId, request: SqlRequest) -> Result<SchemaRef> {
        self.run(tenant, move |session| async move {
            let plan = planned(&session, &request).await.map_err(|error| explain(&request.sql, error))?;
            Ok(plan.schema())
        })
        .await
    }

    /// Every relation: name, kind, columns.
    ///
    /// # Errors
    /// When a view cannot be planned: a bug.
    pub(super) async fn relations(&self, tenant: &TenantId) -> Result<Vec<(&'static str, &'static str, SchemaRef)>> {
        self.run(tenant, |session| async move { Ok(relation_schemas(session.public.as_ref()).await?) }).await
    }

    /// The rows of a statement.
    ///
    /// # Errors
    /// What is wrong with it. What goes wrong later, a limit too, stands among the rows as the last of them.
    pub(crate) async fn rows(&self, tenant: &TenantId, request: SqlRequest) -> Result<Rows> {
        let started = Instant::now();
        let begun = self.run_keeping(tenant, move |session| async move {
            let plan = planned(&session, &request).await.map_err(|error| explain(&request.sql, error))?;
            let stream = execute_stream(Arc::clone(&plan), session.context.task_ctx())?;
            Ok((plan.schema(), session, stream))
        });
        let ((schema, session, mut stream), place) = begun.await?;
        let (tell, batches) = mpsc::channel(BATCHES_MAX);
        let config = Arc::clone(&session.config);
        let seconds = config.seconds_max;
        let left = Duration::from_secs(seconds).saturating_sub(started.elapsed());
        let work = self.spawn(async move {
            let work = async {
                let (mut n_rows, mut n_bytes) = (0, 0);
                while let Some(batch) = stream.next().await {
                    let batch = batch?;
                    n_rows += batch.num_rows() as u64;
                    n_bytes += sliced_bytes(&batch);
                    if n_rows > config.rows_max || n_bytes > config.result_bytes_max {
                        return Err(Error::TooLarge(format!(
                            "the answer has more than {} rows or {} bytes; add a LIMIT or narrow the question",
                            config.rows_max, config.result_bytes_max
                        )));
                    }
                    if tell.send(Ok(batch)).await.is_err() {
                        return Ok(());
                    }
                }
                // Flight has no place to say so beside the rows: an answer that lacks some is none.
                if let Some(reason) = session.snapshot.incomplete.clone() {
                    return Err(Error::Damaged(reason));
                }
                match session.noted(session.derived.reason().as_deref()) {
                    Some(reason) => Err(Error::TooLarge(format!(
                        "rows are missing: {reason}. /api/sql gives those that are there, and says the same"
                    ))),
                    None => Ok(()),
                }
            };
            let ended = tokio::time::timeout(left, work).await.unwrap_or(Err(Error::Timeout { seconds }));
            // A reader that has stopped reading keeps nothing but this task.
            drop((stream, session, place));
            if let Err(error) = ended {
                // A reader that has gone does not want to know.
                let _ = tell.send(Err(error)).await;
            }
        });
        Ok(Rows { schema, batches, _work: work })
    }
}
