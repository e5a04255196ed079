//! Attempts: retried, retry_storm, and work nobody waited for (deadline_wasted).

use std::collections::{HashMap, HashSet};

use crate::analysis::graph::SpanIndex;

use super::{Finding, FindingName, Number, View, ms};

pub(super) fn find(view: &View<'_>, found: &mut Vec<Finding>) {
    let nested = nested_retries(view, found);
    for (at, run) in view.runs.iter().enumerate() {
        if nested.contains(&at) || view.is_solved_challenge(run) {
            continue;
        }
        let is_storm = run.len() >= view.thresholds.retry_storm_attempts;
        let name = if is_storm { FindingName::RetryStorm } else { FindingName::Retried };
        found.push(attempts(view, name, run.len(), run));
    }
    for at in 0..view.scene.len() {
        if view.known(at).facts.has_proxy_flag("URX") {
            let summary = format!("{} used up all its retries", view.known(at).service);
            let span = view.scene.spans[at];
            found.push(Finding::new(FindingName::RetryStorm, vec![span], summary).text("kind", "proxy_flag"));
        }
    }
    deadline_wasted(view, found);
}

fn attempts(view: &View<'_>, name: FindingName, n: usize, run: &[usize]) -> Finding {
    let (first, last) = (view.call(run[0]), view.call(run[run.len() - 1]));
    let outcome = if last.is_error { "and failed" } else { "and then worked" };
    let summary = format!("{} to {} was tried {n} times {outcome}", first.op, first.target);
    Finding::new(name, view.spans_of(run), summary)
        .count("attempts", n)
        .with("failed", Number::Flag(last.is_error))
        .text("dst", first.target.as_str())
        .text("op", &*first.op)
}

/// Retries inside retries: a run whose attempts each made the callee try several times. Returns the runs
/// that are told here.
fn nested_retries(view: &View<'_>, found: &mut Vec<Finding>) -> HashSet<usize> {
    let mut inside: HashMap<SpanIndex, Vec<usize>> = HashMap::new();
    for (at, run) in view.runs.iter().enumerate() {
        if let Some(entry) = view.call(run[0]).entry {
            inside.entry(entry).or_default().push(at);
        }
    }
    let mut told = HashSet::new();
    for (at, run) in view.runs.iter().enumerate() {
        let servers = run.iter().filter_map(|call| view.call(*call).server);
        let inner: Vec<usize> = servers.filter_map(|server| inside.get(&server)).flatten().copied().collect();
        let most = inner.iter().map(|inner| view.runs[*inner].len()).max().unwrap_or(1);
        let product = run.len() * most;
        if most < 2 || product < view.thresholds.retry_storm_product {
            continue;
        }
        let mut calls = run.clone();
        calls.extend(inner.iter().flat_map(|inner| view.runs[*inner].iter().copied()));
        let mut finding = attempts(view, FindingName::RetryStorm, product, run).count("levels", 2);
        finding.spans = view.spans_of(&calls);
        finding.summary = format!("retries at two levels: {} times {most} attempts", run.len());
        found.push(finding);
        told.insert(at);
        told.extend(inner);
    }
    told
}

/// The callee went on after its caller gave up.
fn deadline_wasted(view: &View<'_>, found: &mut Vec<Finding>) {
    for &at in &view.journey.calls {
        let call = view.call(at);
        let places = |span: Option<SpanIndex>| span.and_then(|span| view.place(span));
        let (Some(client), Some(server)) = (places(call.client), places(call.server)) else { continue };
        let wasted = view.scene.end[server] - view.scene.end[client];
        if call.is_timeout && wasted > view.thresholds.wasted_nanos {
            let summary = format!("{} worked {} longer than {} waited", call.target, ms(wasted), call.source);
            let spans = vec![view.scene.spans[client], view.scene.spans[server]];
            found.push(Finding::new(FindingName::DeadlineWasted, spans, summary).nanos("wasted_nanos", wasted));
        }
    }
}
