//! Two journeys step by step: pure.
//!
//! A step is a call or a message. Steps are matched by kind, ends, protocol, operation and, among equal ones, order.

use std::collections::{BTreeMap, BTreeSet};

use api::{CompareAnswer, CompareAttribute, ComparePart, CompareSide, CompareStep, CompareTimes};
use model::Attribute;

use super::usual::Usual;
use crate::analysis::graph::Known;
use crate::journey::Found;

/// Attributes in an answer.
const ATTRIBUTES_MAX: usize = 200;

/// What a step is; equal ones are told apart by their order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct StepKey {
    pub(super) is_message: bool,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) protocol: String,
    pub(super) system: String,
    /// Operation of a call, queue of a message.
    pub(super) op: String,
}

/// Steps of a journey by start, each with its order among equal ones, from 1.
pub(super) fn steps(found: &Found) -> Vec<(StepKey, u64, CompareTimes)> {
    let (analysis, journey) = (&found.analysis, &found.journey);
    let (graph, scene) = (&analysis.graph, &journey.scene);
    let start = found.start();
    let mut steps: Vec<(i64, StepKey, CompareTimes)> = Vec::new();
    for call in journey.calls.iter().map(|call| &analysis.calls[*call]) {
        let at = scene.place(call.span()).map_or(call.start, |place| scene.start[place]);
        let key = StepKey {
            is_message: false,
            from: call.source.to_string(),
            to: call.target.to_string(),
            protocol: call.protocol.as_str().to_owned(),
            system: call.system.to_string(),
            op: call.op.to_string(),
        };
        let times = CompareTimes {
            span_id: Some(graph.spans[call.span()].span.span_id),
            offset_nanos: Some(at - start),
            duration_nanos: call.duration(),
            lag_nanos: None,
            error: call.is_error,
            n: None,
        };
        steps.push((at, key, times));
    }
    for hop in &journey.hops {
        let consumer = scene.known(analysis, hop.consumer);
        let delivery = &analysis.messages.deliveries[hop.hop.delivery];
        let sender = hop.hop.send.map(|send| format!("service:{}", graph.spans[send].service));
        let key = StepKey {
            is_message: true,
            from: sender.unwrap_or_else(|| "unknown".to_owned()),
            to: format!("service:{}", consumer.service),
            protocol: consumer.class.protocol.as_str().to_owned(),
            system: consumer.class.system.to_string(),
            op: delivery.queue.to_string(),
        };
        let at = scene.start[hop.consumer];
        let times = CompareTimes {
            span_id: Some(consumer.span.span_id),
            offset_nanos: Some(at - start),
            duration_nanos: scene.duration(hop.consumer),
            lag_nanos: Some(hop.hop.lag),
            error: consumer.is_error,
            n: None,
        };
        steps.push((at, key, times));
    }
    steps.sort_by(|a, b| (a.0, &a.1, a.2.span_id).cmp(&(b.0, &b.1, b.2.span_id)));
    let mut orders: BTreeMap<StepKey, u64> = BTreeMap::new();
    let numbered = steps.into_iter().map(|(_, key, times)| {
        let order = orders.entry(key.clone()).or_default();
        *order += 1;
        (key, *order, times)
    });
    numbered.collect()
}

fn step(key: StepKey, order: u64, a: Option<CompareTimes>, b: Option<CompareTimes>) -> CompareStep {
    let whole = |times: &CompareTimes| times.duration_nanos.saturating_add(times.lag_nanos.unwrap_or_default());
    let difference_nanos = a.as_ref().zip(b.as_ref()).map(|(a, b)| whole(a).saturating_sub(whole(b)));
    CompareStep {
        kind: if key.is_message { "message" } else { "call" }.to_owned(),
        from: key.from,
        to: key.to,
        protocol: key.protocol,
        system: key.system,
        op: key.op,
        order,
        a,
        b,
        difference_nanos,
    }
}

/// Two journeys side by side.
pub(super) fn compare(a: &Found, b: &Found) -> CompareAnswer {
    let mut others: BTreeMap<(StepKey, u64), CompareTimes> =
        steps(b).into_iter().map(|(key, order, times)| ((key, order), times)).collect();
    let mut all: Vec<CompareStep> = steps(a)
        .into_iter()
        .map(|(key, order, times)| {
            let other = others.remove(&(key.clone(), order));
            step(key, order, Some(times), other)
        })
        .collect();
    let mut only_b: Vec<_> = others.into_iter().collect();
    only_b.sort_by(|(a_key, a), (b_key, b)| (a.offset_nanos, a_key).cmp(&(b.offset_nanos, b_key)));
    all.extend(only_b.into_iter().map(|((key, order), times)| step(key, order, None, Some(times))));

    let (path_a, path_b) = (path(a), path(b));
    let parts: BTreeSet<&(String, &str)> = path_a.keys().chain(path_b.keys()).collect();
    let part = |key: &(String, &str)| ComparePart {
        node: key.0.clone(),
        kind: key.1.to_owned(),
        a_nanos: Some(path_a.get(key).copied().unwrap_or_default()),
        b_nanos: Some(path_b.get(key).copied().unwrap_or_default()),
    };
    let names = |found: &Found| -> BTreeSet<&str> { found.findings.iter().map(|one| one.name.as_str()).collect() };
    let only =
        |own: &BTreeSet<&str>, other: &BTreeSet<&str>| own.difference(other).map(|one| (*one).to_owned()).collect();
    let (names_a, names_b) = (names(a), names(b));
    CompareAnswer {
        a: side(a),
        b: side(b),
        steps: all,
        path: parts.into_iter().map(part).collect(),
        attributes: attributes(a, b),
        findings_only_a: only(&names_a, &names_b),
        findings_only_b: only(&names_b, &names_a),
        incomplete: false,
        incomplete_reason: None,
        elapsed_ms: 0.0,
    }
}

/// A journey against what its steps usually take.
pub(super) fn against_usual(a: &Found, usual: &Usual) -> CompareAnswer {
    let with_usual = |(key, order, times): (StepKey, u64, CompareTimes)| {
        let other = usual.steps.get(&key).cloned();
        step(key, order, Some(times), other)
    };
    let part = |((node, kind), nanos): ((String, &str), i64)| ComparePart {
        node,
        kind: kind.to_owned(),
        a_nanos: Some(nanos),
        b_nanos: None,
    };
    CompareAnswer {
        a: side(a),
        b: usual.side.clone(),
        steps: steps(a).into_iter().map(with_usual).collect(),
        path: path(a).into_iter().map(part).collect(),
        attributes: Vec::new(),
        findings_only_a: a
            .findings
            .iter()
            .map(|one| one.name.as_str().to_owned())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
        findings_only_b: Vec::new(),
        incomplete: false,
        incomplete_reason: None,
        elapsed_ms: 0.0,
    }
}

fn side(found: &Found) -> CompareSide {
    let (analysis, journey) = (&found.analysis, &found.journey);
    let scene = &journey.scene;
    let errors = scene.spans.iter().filter(|span| analysis.graph.spans[**span].is_error).count();
    CompareSide {
        kind: "journey".to_owned(),
        id: Some(journey.origin),
        name: journey.name.clone(),
        entry: found.entry(),
        start_unix_nano: found.start().to_string(),
        response_nanos: Some(journey.response_nanos),
        settled_nanos: Some(journey.settled_nanos),
        wait_nanos: Some(journey.wait_nanos()),
        n: scene.len() as u64,
        errors: errors as u64,
        basis: None,
    }
}

/// Nanoseconds of the settled path by node and kind.
fn path(found: &Found) -> BTreeMap<(String, &'static str), i64> {
    let mut sums: BTreeMap<(String, &'static str), i64> = BTreeMap::new();
    for segment in &found.journey.settled {
        let node = found.journey.node_of(&found.analysis, segment).to_string();
        *sums.entry((node, segment.kind.as_str())).or_default() += segment.nanos();
    }
    sums
}

/// Attributes of the first resource of each service, and of the root, that differ.
fn attributes(a: &Found, b: &Found) -> Vec<CompareAttribute> {
    let (first_a, first_b) = (first_spans(a), first_spans(b));
    let mut differing = Vec::new();
    for (service, known_a) in &first_a {
        if let Some(known_b) = first_b.get(service) {
            let lists = (&known_a.span.resource.attributes, &known_b.span.resource.attributes);
            differ(&format!("service:{service}"), lists.0, lists.1, &mut differing);
        }
    }
    if let (Some(root_a), Some(root_b)) = (root(a), root(b)) {
        differ(&a.entry(), &root_a.span.attributes, &root_b.span.attributes, &mut differing);
    }
    differing.truncate(ATTRIBUTES_MAX);
    differing
}

fn root(found: &Found) -> Option<&Known> {
    let scene = &found.journey.scene;
    (!scene.is_empty()).then(|| scene.known(&found.analysis, scene.root))
}

/// The earliest span of each service.
fn first_spans(found: &Found) -> BTreeMap<&str, &Known> {
    let scene = &found.journey.scene;
    let mut first: BTreeMap<&str, (i64, &Known)> = BTreeMap::new();
    for at in 0..scene.len() {
        let known = scene.known(&found.analysis, at);
        let entry = first.entry(&known.service).or_insert((scene.start[at], known));
        if scene.start[at] < entry.0 {
            *entry = (scene.start[at], known);
        }
    }
    first.into_iter().map(|(service, (_, known))| (service, known)).collect()
}

fn differ(node: &str, a: &[Attribute], b: &[Attribute], differing: &mut Vec<CompareAttribute>) {
    let texts = |list: &[Attribute]| -> BTreeMap<String, String> {
        list.iter().map(|entry| (entry.key.clone(), entry.value.to_display())).collect()
    };
    let (a, b) = (texts(a), texts(b));
    let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    for key in keys.into_iter().filter(|key| a.get(*key) != b.get(*key)) {
        differing.push(CompareAttribute {
            node: node.to_owned(),
            key: key.clone(),
            a: a.get(key).cloned(),
            b: b.get(key).cloned(),
        });
    }
}
