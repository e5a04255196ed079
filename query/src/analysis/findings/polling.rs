//! async_http_polling: a result asked for again and again at its status address.

use std::collections::BTreeMap;

use super::{Finding, FindingName, Severity, View, ms};

pub(super) fn find(view: &View<'_>, found: &mut Vec<Finding>) {
    let mut polls: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for poll in &view.journey.polls {
        polls.entry(poll.accepted).or_default().push(poll.poll);
    }
    for (accepted, calls) in polls.into_iter().filter(|(_, calls)| calls.len() >= view.thresholds.polls) {
        let starts: Vec<i64> = calls.iter().map(|call| view.call(*call).start).collect();
        let interval = (starts[starts.len() - 1] - starts[0]) / (starts.len() as i64 - 1).max(1);
        let mut spans = vec![view.call(accepted).span()];
        spans.extend(view.spans_of(&calls));
        let summary = format!(
            "the result of {} was asked for {} times, every {}",
            view.call(accepted).op,
            calls.len(),
            ms(interval)
        );
        let mut finding = Finding::new(FindingName::AsyncHttpPolling, spans, summary)
            .count("polls", calls.len())
            .nanos("interval_nanos", interval);
        if calls.len() >= view.thresholds.polls_warn || interval < view.thresholds.poll_interval_nanos {
            finding.severity = Severity::Warning;
        }
        found.push(finding);
    }
}
