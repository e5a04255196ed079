//! contract_drift: a new version of a callee, or of a producer, no longer agrees with the other side.
//!
//! Versions of one edge and operation are looked at in the order of their first call, each against the one
//! before. Besides failures, changes of shape are told as information: routes and attribute keys that
//! appear or vanish, another schema URL, a median size that changed by half.

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::Analysis;
use crate::analysis::graph::SpanIndex;
use crate::analysis::node::Node;
use crate::analysis::statistics::nearest_rank;
use crate::analysis::thresholds::Thresholds;

use model::semconv::{self, Role};

use super::{Finding, FindingName, Number, Severity};

/// One call or delivery on an edge, by the version that may have changed.
struct Sample<'a> {
    at: i64,
    version: &'a str,
    failed: bool,
    /// Span that shows it.
    span: SpanIndex,
    /// The span whose shape belongs to the version.
    shape: SpanIndex,
    bytes: Option<i64>,
}

type EdgeOp<'a> = (&'a Node, Node, &'a str);

pub(super) fn find(analysis: &Analysis, thresholds: &Thresholds, found: &mut Vec<Finding>) {
    let samples = samples(analysis);
    for ((source, target, op), samples) in &samples {
        let edge = format!("{source} -> {target}");
        for (old, new) in versions(samples, thresholds) {
            failures(&edge, op, &old, &new, thresholds, found);
            shape(analysis, &edge, op, &old, &new, thresholds, found);
        }
    }
    routes(analysis, thresholds, found);
}

fn samples(analysis: &Analysis) -> BTreeMap<EdgeOp<'_>, Vec<Sample<'_>>> {
    let graph = &analysis.graph;
    let mut samples: BTreeMap<EdgeOp<'_>, Vec<Sample<'_>>> = BTreeMap::new();
    for call in &analysis.calls {
        if let (Some(version), Some(server)) = (call.server_version.as_deref(), call.server)
            && call.source.family() == "service"
        {
            samples.entry((&call.source, call.target.clone(), &call.op)).or_default().push(Sample {
                at: call.start,
                version,
                failed: call.is_contract_failure,
                span: call.span(),
                shape: server,
                bytes: call.response_bytes,
            });
        }
    }
    for (at, delivery) in analysis.messages.deliveries.iter().enumerate() {
        let consumer = &graph.spans[delivery.span];
        let sends = analysis.messages.hops_into(at).iter().filter_map(|hop| hop.send);
        let mut versions = sends.filter_map(|send| Some((send, graph.spans[send].version.as_deref()?)));
        // A batch of several versions blames none of them.
        let Some((send, version)) = versions.next() else { continue };
        if versions.any(|(_, other)| other != version) {
            continue;
        }
        let key = (&delivery.queue, Node::service(&consumer.service), &*consumer.class.op);
        samples.entry(key).or_default().push(Sample {
            at: delivery.received,
            version,
            failed: consumer.is_error && consumer.facts.is_contract_failure,
            span: delivery.span,
            shape: send,
            bytes: graph.spans[send].facts.message.as_ref().and_then(|message| message.body_bytes),
        });
    }
    samples.values_mut().for_each(|samples| samples.sort_by_key(|sample| (sample.at, sample.span)));
    samples
}

/// Consecutive versions with enough samples, old and new.
fn versions<'s, 'a>(
    samples: &'s [Sample<'a>],
    thresholds: &Thresholds,
) -> Vec<(Vec<&'s Sample<'a>>, Vec<&'s Sample<'a>>)> {
    let mut order: Vec<Vec<&Sample<'a>>> = Vec::new();
    for sample in samples {
        match order.iter_mut().find(|known| known[0].version == sample.version) {
            Some(known) => known.push(sample),
            None => order.push(vec![sample]),
        }
    }
    order.retain(|samples| samples.len() >= thresholds.drift_calls);
    order.windows(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}

fn finding(edge: &str, op: &str, old: &str, new: &str, spans: Vec<SpanIndex>, summary: String) -> Finding {
    Finding::new(FindingName::ContractDrift, spans, summary)
        .text("edge", edge)
        .text("op", op)
        .text("old", old)
        .text("new", new)
}

fn failures(
    edge: &str,
    op: &str,
    old: &[&Sample<'_>],
    new: &[&Sample<'_>],
    thresholds: &Thresholds,
    found: &mut Vec<Finding>,
) {
    let failed = |samples: &[&Sample<'_>]| samples.iter().filter(|sample| sample.failed).count();
    let share = |samples: &[&Sample<'_>]| failed(samples) as f64 / samples.len() as f64;
    if share(old) <= thresholds.drift_old_share
        && failed(new) >= thresholds.drift_failures
        && share(new) >= thresholds.drift_new_share
    {
        let spans = new.iter().filter(|sample| sample.failed).map(|sample| sample.span).collect();
        let summary =
            format!("{} of {} with version {} break the format of {op}", failed(new), new.len(), new[0].version);
        found.push(
            finding(edge, op, old[0].version, new[0].version, spans, summary)
                .text("kind", "failures")
                .count("failures", failed(new))
                .count("calls", new.len()),
        );
    }
}

/// Attribute keys, schema URL and median size; information only.
fn shape(
    analysis: &Analysis,
    edge: &str,
    op: &str,
    old: &[&Sample<'_>],
    new: &[&Sample<'_>],
    thresholds: &Thresholds,
    found: &mut Vec<Finding>,
) {
    let (from, to) = (old[0].version, new[0].version);
    let mut tell = |kind: &'static str, summary: String, names: Vec<String>| {
        let mut finding = finding(edge, op, from, to, new.iter().map(|sample| sample.span).collect(), summary);
        finding.severity = Severity::Information;
        found.push(finding.text("kind", kind).with("names", Number::Texts(names)));
    };
    let keys = |samples: &[&Sample<'_>]| {
        let of = |sample: &&Sample<'_>| -> BTreeSet<&str> {
            let attributes = analysis.graph.spans[sample.shape].span.attributes.iter();
            attributes.map(|attribute| attribute.key.as_str()).filter(|key| is_shape(key)).collect()
        };
        let all: Vec<BTreeSet<&str>> = samples.iter().map(of).collect();
        let any: BTreeSet<&str> = all.iter().flatten().copied().collect();
        let every: BTreeSet<&str> =
            any.iter().copied().filter(|key| all.iter().all(|keys| keys.contains(key))).collect();
        (any, every)
    };
    let ((old_any, old_every), (new_any, new_every)) = (keys(old), keys(new));
    let changed: Vec<String> = new_every
        .difference(&old_any)
        .map(|key| format!("+{key}"))
        .chain(old_every.difference(&new_any).map(|key| format!("-{key}")))
        .collect();
    if !changed.is_empty() {
        tell("attributes", format!("{op}: other attributes with version {to}"), changed);
    }
    let schemas = |samples: &[&Sample<'_>]| -> BTreeSet<&str> {
        samples.iter().map(|sample| analysis.graph.spans[sample.shape].span.schema_url.as_str()).collect()
    };
    let (old_schema, new_schema) = (schemas(old), schemas(new));
    if old_schema.is_disjoint(&new_schema) {
        let names = new_schema.iter().map(|schema| (*schema).to_owned()).collect();
        tell("schema_url", format!("{op}: another schema with version {to}"), names);
    }
    let median = |samples: &[&Sample<'_>]| {
        let mut bytes: Vec<i64> = samples.iter().filter_map(|sample| sample.bytes).collect();
        bytes.sort_unstable();
        nearest_rank(&bytes, 0.5).filter(|_| bytes.len() >= thresholds.drift_calls)
    };
    if let (Some(was), Some(is)) = (median(old), median(new))
        && (is - was).abs() as f64 >= thresholds.drift_size_change * was.max(1) as f64
    {
        tell(
            "size",
            format!("{op}: {is} bytes instead of {was} with version {to}"),
            vec![was.to_string(), is.to_string()],
        );
    }
}

/// Keys that tell how a call went, not how it looks.
fn is_shape(key: &str) -> bool {
    semconv::find(key).is_none_or(|convention| convention.role != Role::Outcome)
}

/// Operations of a callee that appear or vanish with a version.
fn routes(analysis: &Analysis, thresholds: &Thresholds, found: &mut Vec<Finding>) {
    struct Version<'a> {
        name: &'a str,
        ops: BTreeSet<&'a str>,
        spans: Vec<SpanIndex>,
    }
    let mut targets: BTreeMap<&Node, Vec<(i64, &str, &str, SpanIndex)>> = BTreeMap::new();
    for call in &analysis.calls {
        if let (Some(version), Some(server)) = (call.server_version.as_deref(), call.server) {
            targets.entry(&call.target).or_default().push((call.start, version, &call.op, server));
        }
    }
    for (target, mut calls) in targets {
        calls.sort_unstable();
        let mut versions: Vec<Version<'_>> = Vec::new();
        for (_, name, op, span) in calls {
            let at = versions.iter().position(|version| version.name == name).unwrap_or_else(|| {
                versions.push(Version { name, ops: BTreeSet::new(), spans: Vec::new() });
                versions.len() - 1
            });
            versions[at].ops.insert(op);
            versions[at].spans.push(span);
        }
        versions.retain(|version| version.spans.len() >= thresholds.drift_calls);
        for pair in versions.windows(2) {
            let (old, new) = (&pair[0], &pair[1]);
            let appeared = new.ops.difference(&old.ops).map(|op| format!("+{op}"));
            let changed: Vec<String> =
                appeared.chain(old.ops.difference(&new.ops).map(|op| format!("-{op}"))).collect();
            if changed.is_empty() {
                continue;
            }
            let summary = format!("{target}: other operations with version {}", new.name);
            let mut finding = finding(target.as_str(), "", old.name, new.name, new.spans.clone(), summary);
            finding.severity = Severity::Information;
            found.push(finding.text("kind", "routes").with("names", Number::Texts(changed)));
        }
    }
}
