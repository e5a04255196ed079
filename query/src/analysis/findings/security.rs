//! Refused and unprotected: rate_limited, auth_failure, insecure_transport.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use model::UnixNanos;

use crate::analysis::calls::Call;
use crate::analysis::classify::Protocol;
use crate::analysis::graph::Known;
use crate::analysis::journey::Place;
use crate::analysis::node::Node;

use super::{Finding, FindingName, Number, View};

pub(super) fn find(view: &View<'_>, found: &mut Vec<Finding>) {
    rate_limited(view, found);
    auth_failure(view, found);
    insecure_transport(view, found);
}

/// Groups places that hang together as parent and child: one refusal seen from several sides.
fn connected(view: &View<'_>, places: impl Iterator<Item = Place>) -> Vec<Vec<Place>> {
    let places: HashSet<Place> = places.collect();
    let mut group_of: HashMap<Place, Place> = HashMap::new();
    let mut groups: BTreeMap<Place, Vec<Place>> = BTreeMap::new();
    for at in view.scene.top_down.iter().filter(|at| places.contains(at)) {
        let above = view.scene.parent[*at].and_then(|parent| group_of.get(&parent).copied());
        let group = above.unwrap_or(*at);
        group_of.insert(*at, group);
        groups.entry(group).or_default().push(*at);
    }
    groups.into_values().collect()
}

fn rate_limited(view: &View<'_>, found: &mut Vec<Finding>) {
    let is_limited = |known: &Known| {
        known.facts.http_status == Some(429)
            || known.facts.rpc_status.as_deref() == Some("RESOURCE_EXHAUSTED")
            || known.facts.has_proxy_flag("RL")
            || known.facts.has_proxy_flag("RLSE")
    };
    for group in connected(view, (0..view.scene.len()).filter(|at| is_limited(view.known(*at)))) {
        let is_early = group.iter().any(|at| retried_too_early(view, *at));
        let summary = match is_early {
            true => "a limit refused the request, and it was sent again before it was allowed".to_owned(),
            false => "a limit refused the request".to_owned(),
        };
        found.push(
            Finding::new(FindingName::RateLimited, view.by_start(group), summary)
                .with("early_retry", Number::Flag(is_early)),
        );
    }
}

/// The next attempt began before `retry-after` had passed.
fn retried_too_early(view: &View<'_>, at: Place) -> bool {
    let call = view.analysis.call_started_by(view.scene.spans[at]);
    let next = call.and_then(|call| {
        let (run, position) = view.run_of.get(&call)?;
        view.runs[*run].get(position + 1).map(|next| (view.call(call), view.call(*next)))
    });
    let Some((refused, next)) = next else { return false };
    let wait = [refused.client, refused.server]
        .into_iter()
        .flatten()
        .find_map(|span| view.analysis.graph.spans[span].facts.retry_after_seconds);
    wait.is_some_and(|seconds| next.start - refused.end < seconds.saturating_mul(UnixNanos::SECOND))
}

fn auth_failure(view: &View<'_>, found: &mut Vec<Finding>) {
    let is_refused = |known: &Known| {
        matches!(known.facts.http_status, Some(401 | 403))
            || matches!(known.facts.rpc_status.as_deref(), Some("UNAUTHENTICATED" | "PERMISSION_DENIED"))
            || known.facts.has_proxy_flag("UAEX")
    };
    // A 401 that the next attempt answered is a challenge.
    let mut solved: HashSet<usize> = HashSet::new();
    for run in view.runs.iter().filter(|run| view.is_solved_challenge(run)) {
        solved.extend([view.call(run[0]).client, view.call(run[0]).server].into_iter().flatten());
    }
    let refused =
        (0..view.scene.len()).filter(|at| is_refused(view.known(*at)) && !solved.contains(&view.scene.spans[*at]));
    for group in connected(view, refused) {
        let last = view.known(group[group.len() - 1]);
        let status = last.facts.status_text().or_else(|| last.facts.proxy_flags.clone()).unwrap_or_default();
        let summary = format!("{} refused the request for who sent it: {status}", last.service);
        found.push(Finding::new(FindingName::AuthFailure, view.by_start(group), summary).text("status", status));
    }
}

fn insecure_transport(view: &View<'_>, found: &mut Vec<Finding>) {
    let mut edges: BTreeMap<(&Node, &Node), Vec<usize>> = BTreeMap::new();
    for call in view.journey.calls.iter().map(|call| view.call(*call)) {
        if is_clear_text(view, call)
            && let Some(client) = call.client
        {
            edges.entry((&call.source, &call.target)).or_default().push(client);
        }
    }
    for ((source, target), spans) in edges {
        let summary = format!("{source} calls {target} in clear text");
        found.push(Finding::new(FindingName::InsecureTransport, spans, summary).text("dst", target.as_str()));
    }
}

/// The scheme says so, the host is another machine, and nothing else protects the way.
fn is_clear_text(view: &View<'_>, call: &Call) -> bool {
    let host = call.client.and_then(|client| view.analysis.graph.spans[client].facts.host.as_deref());
    call.is_secure == Some(false)
        && !matches!(call.protocol, Protocol::Discovery | Protocol::Dns)
        && host.is_some_and(|host| !is_loopback(host))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost") || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}
