//! `GET /api/map?from=&to=&vs=&env=`: the service map of a time range, and what changed against an earlier one.
//!
//! | file        | knows                                                     |
//! |-------------|-----------------------------------------------------------|
//! | `totals.rs` | sums of edges over a range                                |
//! | `remembered.rs` | sums of minutes and half hours that were asked for before |
//! | `packed.rs` | the same sums in few bytes |
//! | `minutes.rs` | sums of services per minute that were asked for before, for `/api/red` |
//! | `owners.rs` | what is remembered for each tenant, in one bound for all |
//! | `environment.rs` | one environment, or all |

pub(crate) mod environment;
pub(crate) mod minutes;
mod owners;
mod packed;
pub(crate) mod remembered;
pub(crate) mod totals;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use api::{MapAnswer, MapEdge, MapFigures, MapNode};
use model::{TenantId, TimeRange, UnixNanos};

use crate::analysis::classify::{Protocol, Style};
use crate::analysis::map::{Figures, changes, line};
use crate::analysis::node::kind_and_label;
use crate::engine::Engine;
use crate::engine::session::incomplete;
use crate::error::{Error, Result};
use crate::times::parse_moment;
use environment::Environment;
use totals::{Edge, MINUTE, Totals};

/// Edges in an answer; a store with more has node names made of ids.
const EDGES_MAX: usize = 10_000;

/// The same range, widened to whole minutes.
pub(crate) fn whole_minutes(range: TimeRange) -> TimeRange {
    let start = range.start.0.div_euclid(MINUTE).saturating_mul(MINUTE);
    let end = range.end.0.saturating_add(MINUTE - 1).div_euclid(MINUTE).saturating_mul(MINUTE);
    TimeRange::new(UnixNanos(start), UnixNanos(end.max(start)))
}

/// The range that `vs` names: `previous` for the one right before, else a moment at which a range of the same length
/// begins.
///
/// # Errors
/// [`Error::Invalid`] for anything else.
pub(crate) fn parse_vs(vs: &str, range: TimeRange, now: UnixNanos) -> Result<TimeRange> {
    let length = range.end.0.saturating_sub(range.start.0);
    let start = match vs {
        "previous" => UnixNanos(range.start.0.saturating_sub(length)),
        text => parse_moment(text, now).map_err(|_| {
            Error::invalid("vs is previous, or when the range compared with begins: now-1d, 2026-01-15T10:00:00Z")
        })?,
    };
    Ok(TimeRange::new(start, UnixNanos(start.0.saturating_add(length))))
}

/// Figures of an edge or node over a range.
pub(crate) fn figures(totals: &Totals, range: TimeRange) -> MapFigures {
    let count = |n: i64| u64::try_from(n).unwrap_or_default();
    let minutes = (range.end.0.saturating_sub(range.start.0)) as f64 / MINUTE as f64;
    let durations = totals.durations.percentiles([0.5, 0.95, 0.99]);
    let lags = totals.lags.percentiles([0.5, 0.95]);
    MapFigures {
        calls: count(totals.count),
        errors: count(totals.errors),
        faults: count(totals.faults),
        per_minute: if minutes > 0.0 { count(totals.count) as f64 / minutes } else { 0.0 },
        p50_nanos: durations.map(|[p50, ..]| p50),
        p95_nanos: durations.map(|[_, p95, _]| p95),
        p99_nanos: durations.map(|[.., p99]| p99),
        lag_p50_nanos: lags.map(|[p50, _]| p50),
        lag_p95_nanos: lags.map(|[_, p95]| p95),
        network_p50_nanos: totals.networks.percentiles([0.5]).map(|[p50]| p50),
        request_bytes: count(totals.request_bytes),
        response_bytes: count(totals.response_bytes),
    }
}

/// Does the caller wait? Roll-ups do not say, but everything to or from a queue is asynchronous.
pub(crate) fn style_of(edge: &Edge) -> Style {
    let is_queue = [&edge.source, &edge.target].iter().any(|node| kind_and_label(node).0 == "queue");
    let is_async = [Protocol::Messaging, Protocol::Route, Protocol::Websocket]
        .iter()
        .any(|protocol| protocol.as_str() == edge.protocol);
    if is_queue || is_async { Style::Async } else { Style::Sync }
}

fn figures_to_compare(figures: Option<&MapFigures>) -> Option<Figures> {
    let figures = figures?;
    Some(Figures { count: figures.calls, errors: figures.errors, p95: figures.p95_nanos })
}

/// Nodes and edges of sums. `before` holds the sums of the earlier range.
fn map(
    now: &BTreeMap<Edge, Totals>,
    range: TimeRange,
    before: Option<(&BTreeMap<Edge, Totals>, TimeRange)>,
) -> (Vec<MapNode>, Vec<MapEdge>) {
    let keys: BTreeSet<&Edge> =
        now.keys().chain(before.iter().flat_map(|(before, _)| before.keys())).take(2 * EDGES_MAX).collect();
    let edge = |key: &Edge| {
        let is = now.get(key).map(|totals| figures(totals, range));
        let was = before.and_then(|(before, range)| Some(figures(before.get(key)?, range)));
        let style = style_of(key);
        let changes = match before {
            Some(_) => changes(figures_to_compare(was.as_ref()), figures_to_compare(is.as_ref())),
            None => Vec::new(),
        };
        let totals = now.get(key);
        let moment = |moment: Option<i64>| moment.map(|moment| moment.to_string());
        MapEdge {
            source: key.source.clone(),
            target: key.target.clone(),
            style: style.as_str().to_owned(),
            protocol: key.protocol.clone(),
            system: key.system.clone(),
            line: line(Protocol::from_word(&key.protocol).unwrap_or(Protocol::Unknown), style).as_str().to_owned(),
            now: is.unwrap_or_default(),
            before: was,
            changes: changes.iter().map(|change| change.as_str().to_owned()).collect(),
            first_seen_unix_nano: moment(totals.and_then(|totals| totals.first_seen)),
            last_seen_unix_nano: moment(totals.and_then(|totals| totals.last_seen)),
            slowest_journey: totals.and_then(|totals| totals.slowest).map(|(_, journey)| journey),
            failed_journey: totals.and_then(|totals| totals.failed).map(|(_, journey)| journey),
        }
    };
    let edges: Vec<MapEdge> = keys.iter().take(EDGES_MAX).map(|key| edge(key)).collect();
    let nodes_now = nodes(now);
    let nodes_before = before.map(|(before, range)| (nodes(before), range));
    let names: BTreeSet<&str> = edges.iter().flat_map(|edge| [edge.source.as_str(), edge.target.as_str()]).collect();
    let node = |name: &str| {
        let (kind, label) = kind_and_label(name);
        MapNode {
            node: name.to_owned(),
            label: label.to_owned(),
            kind: kind.to_owned(),
            now: nodes_now.get(name).map(|totals| figures(totals, range)).unwrap_or_default(),
            before: nodes_before.as_ref().and_then(|(nodes, range)| Some(figures(nodes.get(name)?, *range))),
        }
    };
    (names.into_iter().map(node).collect(), edges)
}

/// What went into each node, and those that only ask, with nothing.
fn nodes(edges: &BTreeMap<Edge, Totals>) -> BTreeMap<&str, Totals> {
    let mut nodes: BTreeMap<&str, Totals> = BTreeMap::new();
    for (edge, totals) in edges {
        nodes.entry(&edge.source).or_default();
        nodes.entry(&edge.target).or_default().add(totals);
    }
    nodes
}

impl Engine {
    /// The service map of a range, and of another one to compare with.
    ///
    /// # Errors
    /// The limits of the configuration.
    pub async fn map(
        &self,
        tenant: &TenantId,
        range: TimeRange,
        vs: Option<TimeRange>,
        environment: Environment,
    ) -> Result<MapAnswer> {
        let started = Instant::now();
        let (range, vs) = (whole_minutes(range), vs.map(whole_minutes));
        let (remembered, own) = (self.remembered().clone(), (tenant.clone(), environment));
        let answer = self.run(tenant, move |session| async move {
            let now = remembered.totals(&own, &session, range).await?;
            let before = match vs {
                Some(range) => Some((remembered.totals(&own, &session, range).await?, range)),
                None => None,
            };
            let (nodes, edges) = map(&now, range, before.as_ref().map(|(before, range)| (before, *range)));
            let cut = (now.len() > EDGES_MAX).then(|| format!("only {EDGES_MAX} edges are shown"));
            let reasons: Vec<String> = cut.into_iter().chain(session.derived.reason()).collect();
            let (incomplete, incomplete_reason) =
                incomplete(&session.snapshot, (!reasons.is_empty()).then(|| reasons.join("; ")));
            Ok(MapAnswer {
                from_unix_nano: range.start.0.to_string(),
                to_unix_nano: range.end.0.to_string(),
                vs_from_unix_nano: vs.map(|range| range.start.0.to_string()),
                vs_to_unix_nano: vs.map(|range| range.end.0.to_string()),
                nodes,
                edges,
                incomplete,
                incomplete_reason,
                elapsed_ms: 0.0,
            })
        });
        let answer = answer.await?;
        Ok(MapAnswer { elapsed_ms: started.elapsed().as_secs_f64() * 1e3, ..answer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(source: &str, target: &str, protocol: &str) -> Edge {
        Edge { source: source.to_owned(), target: target.to_owned(), protocol: protocol.to_owned(), ..Edge::default() }
    }

    fn calls(count: i64, errors: i64) -> Totals {
        Totals { count, errors, ..Totals::default() }
    }

    /// Nodes are the sum of what comes in; edges that vanished stay, with nothing in the range.
    #[test]
    fn a_map_compares_two_ranges() {
        let range = TimeRange::new(UnixNanos(0), UnixNanos(2 * MINUTE));
        let now = BTreeMap::from([
            (edge("client", "service:shop", "http"), calls(10, 1)),
            (edge("service:shop", "queue:kafka/orders", "messaging"), calls(4, 0)),
        ]);
        let before = BTreeMap::from([
            (edge("client", "service:shop", "http"), calls(10, 4)),
            (edge("service:shop", "dns", "dns"), calls(3, 0)),
        ]);
        let (nodes, edges) = map(&now, range, Some((&before, range)));
        let shown: Vec<String> = edges
            .iter()
            .map(|edge| format!("{} {} {} {} {:?}", edge.source, edge.target, edge.line, edge.now.calls, edge.changes))
            .collect();
        assert_eq!(
            shown,
            [
                "client service:shop solid 10 [\"errors\"]",
                "service:shop dns dotted 0 [\"vanished\"]",
                "service:shop queue:kafka/orders dashed 4 [\"appeared\"]"
            ]
        );
        let shop = nodes.iter().find(|node| node.node == "service:shop").expect("a node");
        assert_eq!((shop.now.calls, shop.now.per_minute, shop.kind.as_str()), (10, 5.0, "service"));
        assert!(map(&now, range, None).1.iter().all(|edge| edge.changes.is_empty()));
    }

    #[test]
    fn vs_is_a_moment_or_the_range_before() {
        let range = TimeRange::new(UnixNanos(100), UnixNanos(160));
        let previous = parse_vs("previous", range, UnixNanos(1_000)).expect("a range");
        assert_eq!(previous, TimeRange::new(UnixNanos(40), UnixNanos(100)));
        assert!(parse_vs("yesterday", range, UnixNanos(1_000)).is_err());
        let minutes = whole_minutes(TimeRange::new(UnixNanos(1), UnixNanos(MINUTE + 1)));
        assert_eq!(minutes, TimeRange::new(UnixNanos(0), UnixNanos(2 * MINUTE)));
    }
}
