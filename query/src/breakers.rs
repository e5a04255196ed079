//! Circuit breakers that metrics show open: there is no convention for spans, but Resilience4j says the state of each
//! breaker as a gauge, one series per state.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::prelude::ident;
use model::{TimeRange, UnixNanos};
use storage::table::NUMBER_POINTS;

use crate::analysis::findings::OpenBreaker;
use crate::digest::stored::{Stored, within};
use crate::error::Result;
use crate::functions::json_attributes;
use crate::rows::{Ints, Texts};

/// Gauges that are 1 while a breaker is in the state that their attribute `state` names.
const METRICS: [&str; 2] = ["resilience4j.circuitbreaker.state", "resilience4j_circuitbreaker_state"];
/// A gauge speaks for the time until the next is due: exporters send one a minute unless told otherwise.
const SPEAKS_NANOS: i64 = 60 * UnixNanos::SECOND;
/// Points looked at for one question: a thousand breakers for an hour.
const POINTS_MAX: usize = 100_000;

/// Breakers that were open at some moment of a range, by service, name and time. Empty when no such metric is stored.
///
/// # Errors
/// What went wrong while reading.
pub(crate) async fn open_breakers(stored: &Stored, range: TimeRange) -> Result<Vec<OpenBreaker>> {
    if stored.snapshot.table(&NUMBER_POINTS).is_none() {
        return Ok(Vec::new());
    }
    let around =
        TimeRange::new(UnixNanos(range.start.0.saturating_sub(SPEAKS_NANOS)), UnixNanos(range.end.0.saturating_add(1)));
    let names = METRICS.map(|name| Expr::Literal(ScalarValue::from(name), None)).to_vec();
    let is_set = ident("value_double")
        .gt(Expr::Literal(ScalarValue::from(0.0), None))
        .or(ident("value_int").gt(Expr::Literal(ScalarValue::from(0_i64), None)));
    let wanted = ident("metric_name").in_list(names, false).and(within("time", around)).and(is_set);
    let columns = ["service_name", "time", "attributes"].map(ident).to_vec();
    let frame = stored.table(&NUMBER_POINTS)?.filter(wanted)?.select(columns)?;
    let mut opened: BTreeMap<(String, String), Vec<i64>> = BTreeMap::new();
    let mut n_points = 0;
    stored
        .fold(frame, |batch| {
            let (services, texts) = (Texts::of(batch, "service_name"), Texts::of(batch, "attributes"));
            let times = Ints::of(batch, "time");
            for row in 0..batch.num_rows() {
                let attributes = json_attributes(texts.text(row));
                let text = |key: &str| attributes.iter().find(|one| one.key == key).map(|one| one.value.to_display());
                if text("state")
                    .is_some_and(|state| matches!(state.to_ascii_lowercase().as_str(), "open" | "forced_open"))
                {
                    let breaker = (services.text(row).to_owned(), text("name").unwrap_or_default());
                    opened.entry(breaker).or_default().push(times.int(row));
                }
            }
            n_points += batch.num_rows();
            if n_points > POINTS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .await?;
    Ok(opened.into_iter().flat_map(|((service, name), times)| spells(&service, &name, times)).collect())
}

/// Moments at which a breaker was seen open, as times during which it was.
fn spells(service: &str, name: &str, mut moments: Vec<i64>) -> Vec<OpenBreaker> {
    moments.sort_unstable();
    let is_same = |before: &i64, after: &i64| after - before <= SPEAKS_NANOS;
    let spell = |moments: &[i64]| OpenBreaker {
        service: service.to_owned(),
        name: name.to_owned(),
        from: moments[0],
        until: moments[moments.len() - 1].saturating_add(SPEAKS_NANOS),
    };
    moments.chunk_by(is_same).map(spell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points a minute apart are one spell; a missing minute ends it.
    #[test]
    fn moments_become_spells() {
        let minute = SPEAKS_NANOS;
        let found = spells("shop", "pay", vec![5 * minute, 0, minute]);
        let times: Vec<_> = found.iter().map(|breaker| (breaker.from, breaker.until)).collect();
        assert_eq!(times, [(0, 2 * minute), (5 * minute, 6 * minute)]);
        assert!(spells("shop", "pay", Vec::new()).is_empty());
    }
}
