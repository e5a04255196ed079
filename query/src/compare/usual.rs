//! What is usual for a journey's steps: medians over the day before it.
//!
//! Calls and handling of messages come from the sums per edge, operation and minute, waits in brokers from the same
//! sums, the totals from the summaries of journeys with the same entry and name.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use api::{CompareSide, CompareTimes};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::prelude::ident;
use model::{TimeRange, UnixNanos};

use super::sides::{StepKey, steps};
use crate::engine::session::Session;
use crate::error::Result;
use crate::journey::Found;
use crate::map::environment::Environment;
use crate::map::totals::{By, MINUTE, Totals, totals};
use crate::map::whole_minutes;
use crate::rows::Ints;

/// Medians of a range.
#[derive(Debug)]
pub(super) struct Usual {
    pub(super) side: CompareSide,
    pub(super) steps: HashMap<StepKey, CompareTimes>,
}

const TOTALS: &str = "\
    SELECT count(*) AS n, sum(CASE WHEN error THEN 1 ELSE 0 END) AS errors, \
           arrow_cast(approx_percentile_cont(response, 0.5), 'Int64') AS response, \
           arrow_cast(approx_percentile_cont(settled, 0.5), 'Int64') AS settled, \
           arrow_cast(approx_percentile_cont(wait, 0.5), 'Int64') AS wait \
    FROM journeys WHERE \"time\" >= $from AND \"time\" < $to AND service = $service AND name = $name";

/// Medians for the steps of a journey over `range`.
///
/// # Errors
/// What went wrong while reading.
pub(super) async fn usual(session: &Session, found: &Found, range: TimeRange) -> Result<Usual> {
    let entry = found.entry();
    let service = entry.strip_prefix("service:").unwrap_or(&entry);
    let text = |text: &str| ScalarValue::from(text);
    let params = vec![("service", text(service)), ("name", text(&found.journey.name))];
    let frame = session.query_with(TOTALS, range, params).await?;
    let collected = session.collect(frame, 1).await?;
    let first = collected.batches.iter().find(|batch| batch.num_rows() > 0);
    let number = |name: &str| first.and_then(|batch| Ints::of(batch, name).get(0));
    let count = |name: &str| number(name).unwrap_or_default().unsigned_abs();

    // Sums of the edges that the journey uses, all minutes together.
    let wanted: BTreeSet<StepKey> = steps(found).into_iter().map(|(key, ..)| key).collect();
    let sources = wanted.iter().map(|key| if key.is_message { &key.op } else { &key.from });
    let ends = |names: BTreeSet<&String>| -> Vec<Expr> {
        names.into_iter().map(|name| Expr::Literal(ScalarValue::from(name.as_str()), None)).collect()
    };
    let filter = ident("src")
        .in_list(ends(sources.collect()), false)
        .and(ident("dst").in_list(ends(wanted.iter().map(|key| &key.to).collect()), false));
    // The minute in which the journey begins holds the journey itself.
    let end = UnixNanos(range.end.0.div_euclid(MINUTE).saturating_mul(MINUTE).max(range.start.0));
    let minutes = whole_minutes(TimeRange::new(range.start, end));
    let mut sums: BTreeMap<(String, String, String, String), Totals> = BTreeMap::new();
    let mut of_queue: BTreeMap<(String, String), Totals> = BTreeMap::new();
    for (edge, part) in totals(session, minutes, By::Operation, &Environment::ALL, Some(filter)).await? {
        of_queue.entry((edge.source.clone(), edge.target.clone())).or_default().add(&part);
        sums.entry((edge.source, edge.target, edge.protocol, edge.op)).or_default().add(&part);
    }
    let times = |key: StepKey| {
        let sums = match key.is_message {
            true => of_queue.get(&(key.op.clone(), key.to.clone())),
            false => sums.get(&(key.from.clone(), key.to.clone(), key.protocol.clone(), key.op.clone())),
        };
        let sums = sums.filter(|sums| sums.count > 0)?;
        let [durations, lags] = [&sums.durations, &sums.lags].map(|histogram| histogram.percentiles([0.5]));
        let times = CompareTimes {
            span_id: None,
            offset_nanos: None,
            duration_nanos: durations.map_or(0, |[median]| median),
            lag_nanos: lags.map(|[median]| median),
            error: 2 * sums.errors > sums.count,
            n: Some(sums.count.unsigned_abs()),
        };
        Some((key, times))
    };
    let n = count("n");
    let side = CompareSide {
        kind: "usual".to_owned(),
        id: None,
        name: found.journey.name.clone(),
        entry: entry.clone(),
        start_unix_nano: String::new(),
        response_nanos: number("response"),
        settled_nanos: number("settled"),
        wait_nanos: number("wait"),
        n,
        errors: count("errors"),
        basis: Some(format!(
            "medians of the 24 hours before this journey: {n} journeys with the same entry and name, steps from the sums of \
             their edges per minute, within 1 %"
        )),
    };
    Ok(Usual { side, steps: wanted.into_iter().filter_map(times).collect() })
}
