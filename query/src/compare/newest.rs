//! The newest spans of a range, as many as one answer may look at.

use datafusion::prelude::ident;
use model::{TimeRange, UnixNanos};
use storage::table::SPANS;

use crate::analysis::span::Span;
use crate::engine::session::Session;
use crate::error::Result;
use crate::map::environment::Environment;
use crate::rows::Ints;
use crate::trace::{moment, plain};

/// Spans looked at for one answer.
const SPANS_MAX: u64 = 50_000;

/// Spans of the end of a range.
pub(crate) struct Newest {
    pub(crate) spans: Vec<Span>,
    /// What they are all spans of.
    pub(crate) looked_at: TimeRange,
    /// Why that is not the whole range.
    pub(crate) reason: Option<String>,
}

/// Those of an environment in whole seconds from the end of the range backwards, as long as their spans are few enough.
///
/// # Errors
/// What went wrong while reading.
pub(crate) async fn newest_spans(session: &Session, range: TimeRange, environment: &Environment) -> Result<Newest> {
    let (looked_at, is_all) = newest(session, range, environment).await?;
    let within =
        ident("start_time").gt_eq(moment(looked_at.start.0)).and(ident("start_time").lt(moment(looked_at.end.0)));
    let frame = session.table(&SPANS)?.filter(environment.spans(within))?.select(plain::columns())?;
    let collected = session.collect_trace(frame, SPANS_MAX).await?;
    let mut reader = plain::Reader::default();
    let spans = collected.batches.iter().flat_map(|batch| reader.read(batch)).collect();
    let part = (!is_all).then(|| format!("computed from the newest spans of the range, at most {SPANS_MAX}"));
    let reasons: Vec<String> = part.into_iter().chain(collected.cut).collect();
    Ok(Newest { spans, looked_at, reason: (!reasons.is_empty()).then(|| reasons.join("; ")) })
}

/// The end of the range with no more spans than are looked at, and whether it is the whole range.
async fn newest(session: &Session, range: TimeRange, environment: &Environment) -> Result<(TimeRange, bool)> {
    const SQL: &str = "SELECT arrow_cast(start_time, 'Int64') / 1000000000 AS second, count(*) AS spans FROM raw.spans \
                       WHERE start_time >= $from AND start_time < $to";
    let sql = format!("{SQL}{} GROUP BY second ORDER BY second DESC", environment.sql());
    let frame = session.query_with(&sql, range, vec![environment.value()]).await?;
    let collected = session.collect(frame, session.config.rows_max).await?;
    let (mut n_spans, mut start) = (0, range.end.0);
    for batch in &collected.batches {
        let (seconds, spans) = (Ints::of(batch, "second"), Ints::of(batch, "spans"));
        for row in 0..batch.num_rows() {
            n_spans += spans.int(row).unsigned_abs();
            if n_spans > SPANS_MAX {
                return Ok((TimeRange::new(UnixNanos(start.max(range.start.0)), range.end), false));
            }
            start = seconds.int(row).saturating_mul(UnixNanos::SECOND);
        }
    }
    Ok((range, collected.cut.is_none()))
}
