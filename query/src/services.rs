//! `GET /api/services`: services seen in a time range, with rate, errors and durations of their requests.

use api::{ServiceItem, ServicesAnswer};
use model::{TenantId, TimeRange};

use crate::engine::Engine;
use crate::engine::session::incomplete;
use crate::error::Result;
use crate::rows::{Ints, Texts};

/// Services in an answer; a store with more has service names made of ids.
const SERVICES_MAX: u64 = 10_000;

/// Server and consumer spans are requests that a service took.
const SQL: &str = "\
    SELECT service_name, count(*) AS spans, \
           sum(CASE WHEN kind IN (2, 5) THEN 1 ELSE 0 END) AS requests, \
           sum(CASE WHEN kind IN (2, 5) AND status_code = 2 THEN 1 ELSE 0 END) AS errors, \
           arrow_cast(approx_percentile_cont(CASE WHEN kind IN (2, 5) THEN duration_nanos END, 0.5), 'Int64') AS p50, \
           arrow_cast(approx_percentile_cont(CASE WHEN kind IN (2, 5) THEN duration_nanos END, 0.95), 'Int64') AS p95 \
    FROM raw.spans WHERE start_time >= $from AND start_time < $to \
    GROUP BY service_name ORDER BY service_name";

impl Engine {
    /// Services of which a span starts in `range`, by name.
    ///
    /// # Errors
    /// The limits of the configuration.
    pub async fn services(&self, tenant: &TenantId, range: TimeRange) -> Result<ServicesAnswer> {
        self.run(tenant, move |session| async move {
            let frame = session.query(SQL, range).await?;
            let collected = session.collect(frame, SERVICES_MAX).await?;
            let mut services = Vec::new();
            for batch in &collected.batches {
                let names = Texts::of(batch, "service_name");
                let ints = |name| Ints::of(batch, name);
                let (spans, requests, errors) = (ints("spans"), ints("requests"), ints("errors"));
                let (p50, p95) = (ints("p50"), ints("p95"));
                services.extend((0..batch.num_rows()).map(|row| ServiceItem {
                    name: names.text(row).to_owned(),
                    spans: spans.int(row).unsigned_abs(),
                    requests: requests.int(row).unsigned_abs(),
                    errors: errors.int(row).unsigned_abs(),
                    p50_nanos: p50.get(row).map(i64::unsigned_abs),
                    p95_nanos: p95.get(row).map(i64::unsigned_abs),
                }));
            }
            let (incomplete, incomplete_reason) = incomplete(&session.snapshot, collected.cut);
            Ok(ServicesAnswer { services, incomplete, incomplete_reason })
        })
        .await
    }
}
