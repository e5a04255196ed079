//! The scenarios of `tests/fixtures/journeys` against their hand-written expectations.
//!
//! Each is run as sent, shuffled, re-batched and with spans sent twice; the answers must be the same.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use model::{SpanId, TraceId};
use serde_json::Value as Json;

use super::otlp;
use crate::analysis::compare::by_family;
use crate::analysis::critical_path::Segment;
use crate::analysis::edges::{Edge, EdgeKey, edges};
use crate::analysis::findings::{Finding, Number, findings, window_findings};
use crate::analysis::graph::SpanIndex;
use crate::analysis::journey::{Journey, journey};
use crate::analysis::span::{Resource, Span};
use crate::analysis::statistics::Distribution;
use crate::analysis::thresholds::{Bounds, Thresholds};
use crate::analysis::{Analysis, Options, analyze};

/// A scenario, its expectations, and what the analysis made of it.
pub(super) struct Scenario {
    /// Fixture and arrangement.
    pub(super) name: String,
    pub(super) expected: Json,
    pub(super) analysis: Analysis,
    labels: HashMap<(TraceId, SpanId), String>,
}

impl Scenario {
    pub(super) fn label(&self, span: SpanIndex) -> String {
        let span = &self.analysis.graph.spans[span].span;
        self.label_of((span.trace_id, span.span_id))
    }

    fn trace(&self, name: &str) -> TraceId {
        self.expected["traces"][name].as_str().and_then(TraceId::from_hex).expect("a trace of the fixture")
    }

    fn trace_name(&self, trace: TraceId) -> String {
        let traces = self.expected["traces"].as_object().expect("traces");
        let hex = trace.to_hex();
        traces.iter().find(|(_, id)| **id == hex).map_or(hex.clone(), |(name, _)| name.clone())
    }

    fn label_of(&self, id: (TraceId, SpanId)) -> String {
        self.labels.get(&id).cloned().unwrap_or_else(|| "?".into())
    }
}

/// Runs `check` on every fixture in every arrangement of its spans.
fn each(check: impl Fn(&Scenario)) {
    let folder = format!("{}/../tests/fixtures/journeys", env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .expect("fixtures are in tests/fixtures/journeys")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".otlp.json").map(str::to_owned))
        .collect();
    names.sort();
    assert!(names.len() >= 12, "fixtures are missing: {names:?}");
    for name in names {
        let read = |kind: &str| std::fs::read_to_string(format!("{folder}/{name}.{kind}.json")).expect("readable");
        let spans = otlp::read(&read("otlp"));
        let expected: Json = serde_json::from_str(&read("expected")).expect("JSON");
        for (arrangement, spans) in arrangements(&spans) {
            check(&scenario(format!("{name} {arrangement}"), spans, expected.clone()));
        }
    }
}

fn scenario(name: String, spans: Vec<Span>, expected: Json) -> Scenario {
    let labels = expected["labels"].as_object().expect("labels").iter().map(|(label, at)| {
        let trace = TraceId::from_hex(at["trace_id"].as_str().expect("trace id")).expect("trace id");
        let span = SpanId::from_hex(at["span_id"].as_str().expect("span id")).expect("span id");
        ((trace, span), label.clone())
    });
    let labels = labels.collect();
    let analysis = analyze(spans, &Options::default());
    Scenario { name, expected, analysis, labels }
}

/// As sent, backwards, shuffled, each span in a batch of its own, and every third span twice.
fn arrangements(spans: &[Span]) -> Vec<(&'static str, Vec<Span>)> {
    let backwards: Vec<_> = spans.iter().rev().cloned().collect();
    let n = spans.len();
    let shuffled: Vec<_> = (0..n).map(|at| spans[(at * 7919 + 13) % n].clone()).collect();
    let alone = |span: &Span| Span { resource: Arc::new(Resource::clone(&span.resource)), ..span.clone() };
    let rebatched: Vec<_> = backwards.iter().map(alone).collect();
    let twice: Vec<_> = backwards.iter().step_by(3).chain(spans).cloned().collect();
    let mut all =
        vec![("as sent", spans.to_vec()), ("backwards", backwards), ("re-batched", rebatched), ("twice", twice)];
    all.push(("shuffled", shuffled));
    all
}

/// Style, protocol, system and role of every span.
#[test]
fn every_span_has_its_class() {
    each(|scenario| {
        let expected = scenario.expected["classification"].as_object().expect("classification");
        assert_eq!(expected.len(), scenario.analysis.graph.spans.len());
        for (at, known) in scenario.analysis.graph.spans.iter().enumerate() {
            let label = scenario.label(at);
            let class = &known.class;
            let found = serde_json::json!({
                "style": class.style.as_str(), "protocol": class.protocol.as_str(),
                "system": class.system, "role": class.role.as_str(),
            });
            assert_eq!(found, expected[&label], "{label} in {}", scenario.name);
        }
    });
}

/// `src -> dst | protocol/system | calls | errors`.
///
/// Fixture 14 carries single spans of a service `legacy` for their class alone; its edge list leaves them
/// out, and so does this comparison.
#[test]
fn edges_match() {
    each(|scenario| {
        let edges: BTreeMap<EdgeKey, Edge> =
            edges(&scenario.analysis.graph, &scenario.analysis.calls, &scenario.analysis.messages);
        let mut found: Vec<String> = edges
            .iter()
            .filter(|(key, _)| key.source.label() != "legacy" && key.target.label() != "legacy")
            .map(|(key, edge)| {
                let EdgeKey { source, target, protocol, system } = key;
                format!("{source} -> {target} | {protocol}/{system} | {} | {}", edge.calls, edge.errors)
            })
            .collect();
        found.sort();
        assert_eq!(found, sorted_texts(&scenario.expected["edges"]), "{}", scenario.name);
    });
}

/// `producer -> consumer | joined by | lag ms | attempt/attempts`.
#[test]
fn hops_match() {
    each(|scenario| {
        let mut found: Vec<String> = scenario
            .analysis
            .messages
            .hops
            .iter()
            .map(|hop| {
                format!(
                    "{} -> {} | {} | lag {} | {}/{}",
                    hop.send.map_or_else(|| "?".into(), |send| scenario.label(send)),
                    scenario.label(hop.consumer),
                    hop.joined_by.as_str(),
                    hop.lag / 1_000_000,
                    hop.attempt,
                    hop.attempts
                )
            })
            .collect();
        found.sort();
        assert_eq!(found, sorted_texts(&scenario.expected["hops"]), "{}", scenario.name);
    });
}

/// Runs `check` on every journey of every fixture.
fn each_journey(check: impl Fn(&Scenario, &Journey, &Json)) {
    each(|scenario| {
        for expected in scenario.expected["journeys"].as_array().expect("journeys") {
            let seed = scenario.trace(expected["seed"].as_str().expect("seed"));
            let journey = journey(&scenario.analysis, seed, None, &Bounds::default()).expect("the seed is known");
            check(scenario, &journey, expected);
        }
    });
}

/// Origin, traces in order, inputs from outside, what is left out.
#[test]
fn members_match() {
    each_journey(|scenario, journey, expected| {
        let names: Vec<_> = journey.members.iter().map(|member| scenario.trace_name(member.trace)).collect();
        let found = serde_json::json!({
            "origin": scenario.trace_name(journey.origin), "traces": names, "other_inputs": journey.other_inputs,
            "excluded": journey.excluded.iter().map(|span| scenario.label(*span)).collect::<Vec<_>>(),
        });
        for (member, value) in found.as_object().expect("an object") {
            assert_eq!(*value, expected[member], "{member} of {} in {}", expected["seed"], scenario.name);
        }
        assert!(journey.cuts.is_empty() && journey.warnings.is_empty(), "{:?}", journey.warnings);
    });
}

/// `span kind from-to` in milliseconds; both paths, and how long they are. Segments touch and add up.
#[test]
fn paths_match() {
    each_journey(|scenario, journey, expected| {
        let base: i64 = scenario.expected["base_unix_nano"].as_str().and_then(|base| base.parse().ok()).expect("base");
        let text = |segment: &Segment| {
            let ms = |at: i64| (at - base) as f64 / 1e6;
            let span = scenario.label(journey.scene.spans[segment.span]);
            format!("{span} {} {}-{}", segment.kind, ms(segment.start), ms(segment.end))
        };
        let ms = |nanos: i64| Json::from(nanos / 1_000_000);
        for (member, path, nanos) in [
            ("response", &journey.response, journey.response_nanos),
            ("settled", &journey.settled, journey.settled_nanos),
        ] {
            let place = format!("{member} of {} in {}", expected["seed"], scenario.name);
            if let Some(expected) = expected[format!("{member}_path")].as_array() {
                let found: Vec<Json> = path.iter().map(|segment| text(segment).into()).collect();
                assert_eq!(found, *expected, "{place}");
            }
            if !expected[format!("{member}_ms")].is_null() {
                assert_eq!(ms(nanos), expected[format!("{member}_ms")], "{place}");
            }
            assert!(path.windows(2).all(|pair| pair[0].end == pair[1].start), "{place}");
            assert_eq!(path.iter().map(Segment::nanos).sum::<i64>(), nanos, "{place}");
        }
    });
}

/// Id, evidence in order, and every number the expectation names.
#[test]
fn findings_match() {
    each_journey(|scenario, journey, expected| {
        let found = findings(&scenario.analysis, journey, &Thresholds::default(), &[]);
        same_findings(scenario, &found, &expected["findings"], &format!("{} in {}", expected["seed"], scenario.name));
    });
}

/// Findings over all journeys of a fixture.
#[test]
fn window_findings_match() {
    each(|scenario| {
        let found = window_findings(&scenario.analysis, &Thresholds::default());
        same_findings(scenario, &found, &scenario.expected["window_findings"], &scenario.name);
    });
}

/// Families side by side, where a fixture says how they compare.
#[test]
fn comparison_matches() {
    each(|scenario| {
        let rows = by_family(&scenario.analysis);
        for (name, expected) in scenario.expected["comparison"].as_object().into_iter().flatten() {
            let (_, row) =
                rows.iter().find(|(family, _)| family.protocol.as_str() == name).expect("the family is there");
            let p50 = |values: &Distribution| Json::from(values.percentile(0.5).unwrap_or_default() / 1_000_000);
            for (key, value) in expected.as_object().expect("an object") {
                let found = match key.as_str() {
                    "calls" => row.calls.into(),
                    "errors" => row.errors.into(),
                    "sends" => row.sends.into(),
                    "deliveries" => row.deliveries.into(),
                    "p50_ms" => p50(&row.durations),
                    "send_p50_ms" => p50(&row.send_durations),
                    "lag_p50_ms" => p50(&row.lags),
                    "end_to_end_p50_ms" => p50(&row.end_to_end),
                    other => panic!("unknown member {other}"),
                };
                assert_eq!(found, *value, "{key} of {name} in {}", scenario.name);
            }
        }
    });
}

fn same_findings(scenario: &Scenario, found: &[Finding], expected: &Json, place: &str) {
    let expected = expected.as_array().cloned().unwrap_or_default();
    let name = |finding: &Finding| {
        let spans: Vec<_> = finding.spans.iter().map(|span| scenario.label(*span)).collect();
        format!("{} {spans:?}", finding.name)
    };
    let expected_name = |finding: &Json| {
        let spans: Vec<_> = finding["evidence"].as_array().expect("evidence").iter().collect();
        let spans: Vec<_> = spans.iter().map(|span| span.as_str().expect("a label")).collect();
        format!("{} {spans:?}", finding["id"].as_str().expect("id"))
    };
    let mut names: Vec<_> = found.iter().map(name).collect();
    let mut expected_names: Vec<_> = expected.iter().map(expected_name).collect();
    names.sort();
    expected_names.sort();
    assert_eq!(names, expected_names, "{place}");
    for wanted in &expected {
        let found = found.iter().find(|found| name(found) == expected_name(wanted)).expect("names are equal");
        for (key, value) in wanted.as_object().expect("an object") {
            if key != "id" && key != "evidence" {
                assert_eq!(number(found, key), *value, "{key} of {} in {place}", found.name);
            }
        }
    }
}

/// A number as the expectations write it: milliseconds, shares with two digits.
fn number(finding: &Finding, key: &str) -> Json {
    let (name, is_ms) = match key.strip_suffix("_ms") {
        Some(name) => (format!("{name}_nanos"), true),
        None => (key.to_owned(), false),
    };
    match finding.numbers.get(name.as_str()) {
        Some(Number::Nanos(nanos)) if is_ms => Json::from(nanos / 1_000_000),
        Some(Number::Share(share)) => Json::from((share * 100.0).round() / 100.0),
        Some(number) => number.to_json(),
        None => Json::Null,
    }
}

fn sorted_texts(json: &Json) -> Vec<String> {
    let mut texts: Vec<String> =
        json.as_array().expect("a list").iter().map(|text| text.as_str().expect("text").to_owned()).collect();
    texts.sort();
    texts
}
