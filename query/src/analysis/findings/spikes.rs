//! traffic_spike: far more calls in a minute than in the minutes before, and slower ones.

use std::collections::BTreeMap;

use crate::analysis::thresholds::Thresholds;

use super::{Finding, FindingName, Scope};

/// One minute of one edge, as the map keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct MinuteOfEdge {
    /// Minutes since 1970.
    pub minute: i64,
    /// The edge, as text.
    pub edge: String,
    /// Calls in this minute.
    pub calls: u64,
    /// 95th percentile of their durations, nanoseconds.
    pub p95: i64,
    /// 95th percentile of the wait in the queue this edge leads to, nanoseconds; `None` for calls.
    pub lag_p95: Option<i64>,
}

/// Minutes with at least 3 times the median rate and twice the median p95 of the 12 minutes before; minutes
/// without calls count as zero calls. When a queue's wait grew in the same minute it is named as absorbing
/// the spike. The minutes may come in any order.
pub fn traffic_spikes(minutes: &[MinuteOfEdge], thresholds: &Thresholds) -> Vec<Finding> {
    let mut edges: BTreeMap<&str, BTreeMap<i64, &MinuteOfEdge>> = BTreeMap::new();
    for minute in minutes {
        edges.entry(&minute.edge).or_default().insert(minute.minute, minute);
    }
    let look_back = thresholds.spike_minutes as i64;
    let mut found = Vec::new();
    for (edge, minutes) in &edges {
        for (&at, minute) in minutes {
            // Nothing is known about the time before the edge was first seen.
            if minutes.keys().next().is_none_or(|first| at - first < look_back) {
                continue;
            }
            let before: Vec<_> = minutes.range(at - look_back..at).map(|(_, minute)| *minute).collect();
            let mut rates: Vec<i64> = before.iter().map(|minute| minute.calls as i64).collect();
            rates.resize(thresholds.spike_minutes, 0);
            let rate = median(rates);
            let usual_p95 = median(before.iter().map(|minute| minute.p95).collect());
            let is_spike = rate > 0
                && minute.calls as f64 >= thresholds.spike_rate_times * rate as f64
                && minute.p95 as f64 >= thresholds.spike_p95_times * usual_p95 as f64;
            if !is_spike {
                continue;
            }
            let summary = format!("{edge}: {} calls in a minute instead of {rate}", minute.calls);
            let mut finding = Finding::new(FindingName::TrafficSpike, Vec::new(), summary)
                .text("edge", *edge)
                .nanos("minute_unix_nano", at.saturating_mul(60_000_000_000))
                .count("calls", minute.calls as usize)
                .count("usual_calls", rate as usize)
                .nanos("p95_nanos", minute.p95)
                .nanos("usual_p95_nanos", usual_p95);
            if let Some(queue) = absorbing_queue(&edges, at, thresholds) {
                finding = finding.text("absorbed_by", queue);
            }
            finding.scope = Scope::Window;
            found.push(finding);
        }
    }
    found
}

/// The edge from a queue whose wait grew most in this minute, at least to twice its median.
fn absorbing_queue<'a>(
    edges: &BTreeMap<&'a str, BTreeMap<i64, &MinuteOfEdge>>,
    at: i64,
    thresholds: &Thresholds,
) -> Option<&'a str> {
    let grown = edges.iter().filter_map(|(edge, minutes)| {
        let lag = minutes.get(&at)?.lag_p95?;
        let look_back = thresholds.spike_minutes as i64;
        let before = minutes.range(at - look_back..at).filter_map(|(_, minute)| minute.lag_p95);
        let usual = median(before.collect());
        (lag as f64 >= thresholds.spike_p95_times * usual.max(1) as f64).then_some((lag - usual, *edge))
    });
    grown.max().map(|(_, edge)| edge)
}

fn median(mut values: Vec<i64>) -> i64 {
    values.sort_unstable();
    crate::analysis::statistics::nearest_rank(&values, 0.5).unwrap_or(0)
}
