//! Many small calls where one would do, and calls in a row that might run side by side.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::analysis::classify::Protocol;
use crate::analysis::graph::SpanIndex;

use super::{Finding, FindingName, View, ms};

pub(super) fn find(view: &View<'_>, found: &mut Vec<Finding>) {
    let chatty = chatty_calls(view, found);
    sequential_calls(view, &chatty, found);
}

/// N+1: the same call of one entry again and again. Returns the calls that are part of it.
fn chatty_calls(view: &View<'_>, found: &mut Vec<Finding>) -> HashSet<usize> {
    let thresholds = view.thresholds;
    let polls: HashSet<usize> = view.journey.polls.iter().map(|poll| poll.poll).collect();
    let mut chatty = HashSet::new();
    for ((_, target, op), group) in &view.groups {
        let calls: Vec<usize> =
            group.iter().copied().filter(|call| !view.run_of.contains_key(call) && !polls.contains(call)).collect();
        let n_errors = calls.iter().filter(|call| view.call(**call).is_error).count();
        let in_sequence = calls.windows(2).filter(|pair| view.call(pair[1]).start >= view.call(pair[0]).end).count();
        if calls.len() < thresholds.chatty_calls
            || in_sequence < thresholds.chatty_in_sequence
            || n_errors as f64 > thresholds.chatty_error_share * calls.len() as f64
        {
            continue;
        }
        let total = total(calls.iter().map(|call| view.call(*call).duration()));
        let summary = format!("{} calls of {op} to {target}, {} together", calls.len(), ms(total));
        found.push(
            Finding::new(FindingName::ChattyCalls, view.spans_of(&calls), summary)
                .count("calls", calls.len())
                .nanos("total_nanos", total)
                .text("dst", target.as_str())
                .text("op", *op),
        );
        chatty.extend(calls);
    }
    chatty
}

/// The longest chain of sibling calls of different targets with next to nothing between them.
fn sequential_calls(view: &View<'_>, chatty: &HashSet<usize>, found: &mut Vec<Finding>) {
    let is_candidate = |at: &usize| {
        let call = view.call(*at);
        let is_lookup = matches!(call.protocol, Protocol::Db | Protocol::Cache | Protocol::Dns | Protocol::Discovery);
        call.client.is_some() && !is_lookup && !call.is_error && !view.run_of.contains_key(at) && !chatty.contains(at)
    };
    let mut siblings: BTreeMap<SpanIndex, Vec<usize>> = BTreeMap::new();
    for &at in view.journey.calls.iter().filter(|at| is_candidate(at)) {
        if let Some(parent) = view.call(at).parent {
            siblings.entry(parent).or_default().push(at);
        }
    }
    for (parent, calls) in siblings {
        let Some(place) = view.place(parent) else { continue };
        let duration = view.scene.duration(place);
        let share = (duration as f64 * view.thresholds.sequential_gap_share) as i64;
        let chain = longest_chain(view, &calls, view.thresholds.sequential_gap_nanos.max(share));
        let targets: BTreeSet<_> = chain.iter().map(|call| &view.call(*call).target).collect();
        let durations = chain.iter().map(|call| view.call(*call).duration());
        let saving = total(durations.clone()) - durations.max().unwrap_or(0);
        if targets.len() >= 2
            && saving >= view.thresholds.sequential_saving_nanos
            && saving as f64 >= view.thresholds.sequential_saving_share * duration as f64
        {
            let summary = format!(
                "{} calls in a row, candidates for running side by side: up to {} less",
                chain.len(),
                ms(saving)
            );
            found.push(
                Finding::new(FindingName::SequentialCalls, view.spans_of(&chain), summary)
                    .count("calls", chain.len())
                    .nanos("saving_nanos", saving),
            );
        }
    }
}

/// A sum that never wraps around, whatever clocks say.
fn total(durations: impl Iterator<Item = i64>) -> i64 {
    durations.fold(0, i64::saturating_add)
}

/// Calls (sorted by start) that follow each other within `gap`, with the most time together.
fn longest_chain(view: &View<'_>, calls: &[usize], gap: i64) -> Vec<usize> {
    /// How many ends before a start are compared; more happen only in calls that overlap heavily.
    const LOOK_BACK: usize = 64;
    // By end: time of the best chain that ends there, and its last call's position.
    let mut by_end: BTreeMap<(i64, usize), i64> = BTreeMap::new();
    let mut before: Vec<Option<usize>> = vec![None; calls.len()];
    let mut best: Option<(i64, usize)> = None;
    for (at, call) in calls.iter().enumerate() {
        let call = view.call(*call);
        let from = (call.start.saturating_sub(gap), 0);
        let reachable = by_end.range(from..=(call.start, usize::MAX)).rev().take(LOOK_BACK);
        let link = reachable.max_by_key(|((_, last), sum)| (**sum, std::cmp::Reverse(*last)));
        let (sum, last) = link.map_or((0, None), |((_, last), sum)| (*sum, Some(*last)));
        before[at] = last;
        let sum = sum.saturating_add(call.duration());
        by_end.insert((call.end, at), sum);
        if best.is_none_or(|(most, _)| sum > most) {
            best = Some((sum, at));
        }
    }
    let mut chain = Vec::new();
    let mut at = best.map(|(_, at)| at);
    while let Some(here) = at {
        chain.push(calls[here]);
        at = before[here];
    }
    chain.reverse();
    chain
}
