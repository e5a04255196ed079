//! A request is followed over all its traces: the scenarios of `tests/fixtures/journeys`, sent as real OTLP to the real
//! executable, against what people wrote down about them.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use api::{JourneyAnswer, JourneyFinding, PathSegment, SpanRef};
use serde_json::{Value as Json, json};

use crate::harness::otlp::Client;
use crate::harness::{Collector, Request, Server, Transport, fixtures, generate, sql};

/// A scenario with its expectations, moved to now.
struct Scenario {
    name: String,
    request: Request,
    expected: Json,
    /// What was added to every moment.
    moved_nanos: i64,
    labels: HashMap<(String, String), String>,
}

impl Scenario {
    fn trace(&self, name: &str) -> &str {
        self.expected["traces"][name].as_str().expect("a trace of the fixture")
    }

    fn label(&self, span: SpanRef) -> String {
        self.labels.get(&(span.trace_id.to_hex(), span.span_id.to_hex())).cloned().unwrap_or_else(|| "?".to_owned())
    }

    fn trace_name(&self, id: &str) -> String {
        let traces = self.expected["traces"].as_object().expect("traces");
        traces.iter().find(|(_, hex)| **hex == id).map_or(id.to_owned(), |(name, _)| name.clone())
    }
}

fn first_start(request: &Request) -> i64 {
    let Request::Traces(request) = request else { panic!("a scenario holds spans") };
    let span = &request.resource_spans[0].scope_spans[0].spans[0];
    i64::try_from(span.start_time_unix_nano).expect("before 2262")
}

fn scenarios() -> Vec<Scenario> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journeys");
    let read = |name: &str| -> Json {
        serde_json::from_slice(&std::fs::read(folder.join(name)).expect("a fixture")).expect("JSON")
    };
    let scenario = |fixture: fixtures::Fixture| {
        let expected = read(&fixture.name.replace(".otlp.json", ".expected.json"));
        let sent = read(&fixture.name);
        let sent = &sent["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["startTimeUnixNano"];
        let sent: i64 = sent.as_str().expect("text").parse().expect("nanoseconds");
        let id = |at: &Json, key: &str| at[key].as_str().expect("an id").to_owned();
        let labels = expected["labels"].as_object().expect("labels").iter();
        let labels = labels.map(|(label, at)| ((id(at, "trace_id"), id(at, "span_id")), label.clone())).collect();
        let moved_nanos = first_start(&fixture.request) - sent;
        Scenario { name: fixture.name, request: fixture.request, expected, moved_nanos, labels }
    };
    let scenarios: Vec<_> = fixtures::journeys().into_iter().map(scenario).collect();
    assert!(scenarios.len() >= 12, "fixtures are missing");
    scenarios
}

/// Answers status and body.
async fn get(server: &Server, path: &str) -> (u16, Json) {
    let response = reqwest::get(server.api(path)).await.expect("an answer");
    let status = response.status().as_u16();
    let body = response.bytes().await.expect("a body");
    (status, serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{path}: {error}")))
}

async fn journey(server: &Server, trace: &str) -> JourneyAnswer {
    let (status, body) = get(server, &format!("/api/journeys/{trace}")).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_value(body.clone()).unwrap_or_else(|error| panic!("{error} in {body}"))
}

/// Every scenario stands in one store beside all others, first in the write buffer, then in segments, then half in each.
#[tokio::test]
async fn every_scenario_is_followed_as_expected() {
    let server = Collector { config: "[storage]\nbuffer_age_max_s = 600\n".to_owned(), ..Collector::default() }.start();
    let scenarios = scenarios();
    let client = Client::new(&server);
    for scenario in &scenarios {
        client.send_all(Transport::Grpc, &scenario.request).await;
    }
    check_all(&server, &scenarios, "in the buffer").await;

    let (_, stopped) = server.stop(Duration::from_secs(60));
    let server = stopped.start();
    check_all(&server, &scenarios, "in segments").await;

    // Everything once more: the same spans in segments and in the buffer.
    let client = Client::new(&server);
    for scenario in &scenarios {
        client.send_all(Transport::HttpProtobuf, &scenario.request).await;
    }
    check_all(&server, &scenarios, "in both").await;
}

async fn check_all(server: &Server, scenarios: &[Scenario], place: &str) {
    for scenario in scenarios {
        for expected in scenario.expected["journeys"].as_array().expect("journeys") {
            let seed = expected["seed"].as_str().expect("a seed");
            let answer = journey(server, scenario.trace(seed)).await;
            check(scenario, expected, &answer, &format!("{seed} of {} {place}", scenario.name));
        }
    }
}

/// Members, paths and findings of one journey; what the spans are; and that the parts fit together.
fn check(scenario: &Scenario, expected: &Json, answer: &JourneyAnswer, place: &str) {
    let excluded: Vec<String> = answer
        .excluded
        .iter()
        .map(|id| {
            let found = scenario.labels.iter().find(|((_, span), _)| *span == id.to_hex());
            found.map_or_else(|| "?".to_owned(), |(_, label)| label.clone())
        })
        .collect();
    let members: Vec<_> = answer.members.iter().map(|member| scenario.trace_name(&member.trace_id.to_hex())).collect();
    let found = json!({
        "origin": scenario.trace_name(&answer.origin.to_hex()), "traces": members,
        "other_inputs": answer.other_inputs, "excluded": excluded,
    });
    for (member, value) in found.as_object().expect("an object") {
        assert_eq!(*value, expected[member], "{member} of {place}");
    }
    assert_eq!(answer.truncated, None, "{place}");
    assert!(!answer.incomplete, "{place}: {:?}", answer.incomplete_reason);

    for (name, path, nanos) in [
        ("response", &answer.paths.response, answer.response_nanos),
        ("settled", &answer.paths.settled, answer.settled_nanos),
    ] {
        if let Some(expected) = expected[format!("{name}_path")].as_array() {
            let found: Vec<Json> = path.iter().map(|segment| segment_text(scenario, segment).into()).collect();
            assert_eq!(found, *expected, "{name} path of {place}");
        }
        if !expected[format!("{name}_ms")].is_null() {
            assert_eq!(Json::from(nanos / 1_000_000), expected[format!("{name}_ms")], "{name} of {place}");
        }
        let pairs = path.windows(2);
        assert!(pairs.into_iter().all(|pair| pair[0].end_unix_nano == pair[1].start_unix_nano), "{name} of {place}");
        let sum: i64 = path.iter().map(|segment| at(&segment.end_unix_nano) - at(&segment.start_unix_nano)).sum();
        assert_eq!(sum, nanos, "{name} of {place} adds up");
    }
    check_findings(scenario, expected, &answer.findings, place);
    check_spans(scenario, answer, place);
}

fn at(nanos: &str) -> i64 {
    nanos.parse().expect("nanoseconds as text")
}

/// `span kind from-to` in milliseconds after the fixture's base.
fn segment_text(scenario: &Scenario, segment: &PathSegment) -> String {
    let base = at(scenario.expected["base_unix_nano"].as_str().expect("base")) + scenario.moved_nanos;
    let ms = |moment: &str| (at(moment) - base) as f64 / 1e6;
    let span = scenario.label(SpanRef { trace_id: segment.trace_id, span_id: segment.span_id });
    format!("{span} {} {}-{}", segment.kind, ms(&segment.start_unix_nano), ms(&segment.end_unix_nano))
}

fn check_findings(scenario: &Scenario, expected: &Json, found: &[JourneyFinding], place: &str) {
    let name = |finding: &JourneyFinding| {
        let spans: Vec<_> = finding.evidence.iter().map(|span| scenario.label(*span)).collect();
        format!("{} {spans:?}", finding.id)
    };
    let expected_name = |finding: &Json| {
        let spans: Vec<_> =
            finding["evidence"].as_array().expect("evidence").iter().map(|span| span.as_str().expect("text")).collect();
        format!("{} {spans:?}", finding["id"].as_str().expect("id"))
    };
    let wanted = expected["findings"].as_array().expect("findings");
    let (mut names, mut wanted_names): (Vec<_>, Vec<_>) =
        (found.iter().map(name).collect(), wanted.iter().map(expected_name).collect());
    names.sort();
    wanted_names.sort();
    assert_eq!(names, wanted_names, "findings of {place}");
    for wanted in wanted {
        let found = found.iter().find(|found| name(found) == expected_name(wanted)).expect("names are equal");
        assert!(!found.sql.is_empty() && !found.summary.is_empty() && !found.help.is_empty(), "{found:?}");
        for (key, value) in wanted.as_object().expect("an object") {
            if key != "id" && key != "evidence" {
                assert_eq!(number(found, key), *value, "{key} of {} in {place}", found.id);
            }
        }
    }
}

/// A number as the expectations write it: milliseconds, shares with two digits.
fn number(finding: &JourneyFinding, key: &str) -> Json {
    if let Some(name) = key.strip_suffix("_ms")
        && let Some(nanos) = finding.numbers.get(&format!("{name}_nanos"))
    {
        return Json::from(nanos.as_i64().expect("nanoseconds") / 1_000_000);
    }
    match finding.numbers.get(key) {
        Some(Json::Number(number)) if number.is_f64() => {
            Json::from((number.as_f64().expect("a double") * 100.0).round() / 100.0)
        }
        Some(other) => other.clone(),
        None => Json::Null,
    }
}

/// Every span of the members that is not excluded stands there once, classified as expected; every id that is named
/// elsewhere is one of them.
fn check_spans(scenario: &Scenario, answer: &JourneyAnswer, place: &str) {
    let mut ids = std::collections::HashSet::new();
    for span in &answer.spans {
        assert!(ids.insert((span.trace_id, span.span_id)), "{} stands twice in {place}", span.name);
        let label = scenario.label(SpanRef { trace_id: span.trace_id, span_id: span.span_id });
        let found = json!({
            "style": span.style, "protocol": span.protocol, "system": span.system, "role": span.role,
        });
        assert_eq!(found, scenario.expected["classification"][&label], "{label} of {place}");
        let parent = span.shown_under.map(|parent| (span.trace_id, parent));
        assert!(parent.is_none_or(|parent| answer.spans.iter().any(|one| (one.trace_id, one.span_id) == parent)));
    }
    let lanes: Vec<&str> = answer.lanes.iter().map(|lane| lane.node.as_str()).collect();
    for (seq, step) in answer.steps.iter().enumerate() {
        assert_eq!(step.seq, seq as u64 + 1, "{place}");
        assert!(lanes.contains(&step.from.as_str()) && lanes.contains(&step.to.as_str()), "{place}: {step:?}");
    }
    for hop in &answer.hops {
        assert!(ids.contains(&(hop.consumer_trace_id, hop.consumer_span_id)), "{place}: {hop:?}");
        assert!(hop.send_span_id.is_none_or(|send| ids.contains(&(hop.send_trace_id, send))), "{place}: {hop:?}");
    }
    for call in &answer.calls {
        let span = call.client_span.or(call.server_span).expect("a call has a span");
        assert!(ids.contains(&(call.trace, span)), "{place}: {call:?}");
    }
}

/// Edges and hops of the scenarios whose one journey holds every span.
#[tokio::test]
async fn edges_and_hops_are_those_of_the_journey() {
    let server = Server::start();
    let client = Client::new(&server);
    let mut n_checked = 0;
    for scenario in scenarios() {
        client.send_all(Transport::HttpJson, &scenario.request).await;
        let [expected] = &scenario.expected["journeys"].as_array().expect("journeys")[..] else { continue };
        let answer = journey(&server, scenario.trace(expected["seed"].as_str().expect("a seed"))).await;
        if answer.spans.len() != scenario.labels.len() {
            continue;
        }
        n_checked += 1;
        let mut edges: Vec<String> = answer
            .edges
            .iter()
            .map(|edge| {
                let (from, to) = (&edge.source, &edge.target);
                format!("{from} -> {to} | {}/{} | {} | {}", edge.protocol, edge.system, edge.calls, edge.errors)
            })
            .collect();
        edges.sort();
        assert_eq!(json!(edges), sorted(&scenario.expected["edges"]), "edges of {}", scenario.name);
        let mut hops: Vec<String> = answer
            .hops
            .iter()
            .map(|hop| {
                let send = hop.send_span_id.map(|span_id| SpanRef { trace_id: hop.send_trace_id, span_id });
                let consumer = SpanRef { trace_id: hop.consumer_trace_id, span_id: hop.consumer_span_id };
                format!(
                    "{} -> {} | {} | lag {} | {}/{}",
                    send.map_or_else(|| "?".to_owned(), |send| scenario.label(send)),
                    scenario.label(consumer),
                    hop.joined_by,
                    hop.lag_nanos / 1_000_000,
                    hop.attempt,
                    hop.attempts
                )
            })
            .collect();
        hops.sort();
        assert_eq!(json!(hops), sorted(&scenario.expected["hops"]), "hops of {}", scenario.name);
    }
    assert!(n_checked >= 4, "only {n_checked} scenarios are one journey");
}

fn sorted(list: &Json) -> Json {
    let mut texts: Vec<&str> =
        list.as_array().expect("a list").iter().map(|text| text.as_str().expect("text")).collect();
    texts.sort_unstable();
    json!(texts)
}

/// Ids that are none, ids that are not stored, spans that are none.
#[tokio::test]
async fn mistakes_are_problems() {
    let server = Server::start();
    let client = Client::new(&server);
    client
        .send_all(Transport::Grpc, &Request::Traces(generate::request("shop", vec![generate::span(0xabc, 1, "root")])))
        .await;
    for (path, status) in [
        ("/api/journeys/xyz", 400),
        ("/api/journeys/0", 400),
        ("/api/journeys/abc?span=zz", 400),
        ("/api/journeys/abc?span=0", 400),
        ("/api/journeys/4bf92f3577b34da6a3ce929d0e0e47360", 400),
        ("/api/journeys/77", 404),
        ("/api/journeys/abc", 200),
        ("/api/journeys/abc?span=1", 200),
        ("/api/journeys/abc?span=2", 200),
        ("/api/journeys/abc?span=", 200),
    ] {
        let (found, body) = get(&server, path).await;
        assert_eq!(found, status, "{path}: {body}");
        assert!(status == 200 || body["detail"].as_str().is_some_and(|detail| detail.len() > 20), "{path}: {body}");
    }
}

/// The same journey in SQL: its spans as a tree, its steps, its paths, which add up to what the API says.
#[tokio::test]
async fn table_functions_answer_what_the_api_answers() {
    let server = Server::start();
    let client = Client::new(&server);
    let scenario = scenarios().into_iter().find(|scenario| scenario.name.starts_with("01")).expect("a checkout");
    client.send_all(Transport::Grpc, &scenario.request).await;
    let seed = scenario.trace(scenario.expected["journeys"][0]["seed"].as_str().expect("a seed"));
    let answer = journey(&server, seed).await;
    let origin = answer.origin.to_hex();

    let rows = sql::query(&server, &format!("SELECT * FROM trace('{origin}')")).await;
    let of_origin = answer.spans.iter().filter(|span| span.trace_id == answer.origin).count();
    assert_eq!(rows.len(), of_origin);
    assert_eq!((rows.int(0, "depth"), rows.int(0, "offset_nanos")), (0, 0));
    assert_eq!(rows.int(0, "duration_nanos"), answer.response_nanos);

    let rows = sql::query(&server, &format!("SELECT * FROM journey('{seed}')")).await;
    assert_eq!(rows.len(), answer.steps.len());
    for (row, step) in answer.steps.iter().enumerate() {
        assert_eq!((rows.text(row, "kind"), rows.text(row, "src")), (step.kind.as_str(), step.from.as_str()));
        assert_eq!((rows.text(row, "dst"), rows.text(row, "label")), (step.to.as_str(), step.label.as_str()));
    }

    for (path, nanos) in [("response", answer.response_nanos), ("settled", answer.settled_nanos)] {
        let text = format!("SELECT sum(\"end\" - start) FROM critical_path('{seed}') WHERE path = '{path}'");
        assert_eq!(sql::number(&server, &text).await, nanos, "{path}");
    }
    let text = format!(
        "SELECT s.name FROM critical_path('{seed}') p JOIN spans s ON s.trace_id = p.trace AND s.span_id = p.span \
         WHERE path = 'settled' AND p.kind = 'queue'"
    );
    assert!(sql::query(&server, &text).await.len() >= 1, "functions join with tables");

    assert_eq!(sql::number(&server, "SELECT count(*) FROM journey('77')").await, 0, "nothing is stored there");
    for wrong in ["trace('xyz')", "journey()", "critical_path(7)", "journey('1', '2')", "trace('')"] {
        let (status, body) = sql::ask(&server, &format!("SELECT * FROM {wrong}")).await;
        assert_eq!(status, 400, "{wrong}: {body}");
        assert!(body.contains("trace id") || body.contains("takes one"), "{wrong}: {body}");
    }
    let (_, tables) = get(&server, "/api/tables").await;
    let names: Vec<&str> =
        tables["functions"].as_array().expect("functions").iter().filter_map(|one| one["name"].as_str()).collect();
    for name in ["trace", "journey", "critical_path"] {
        assert!(names.contains(&name), "{names:?}");
    }
}

/// The map of the last hour holds the edges of the scenario, once, whether or not its traces are at rest; each service
/// knows its neighbours; journeys are compared with each other and with the usual.
#[tokio::test]
async fn map_services_and_comparisons_agree_with_the_scenario() {
    let server = Server::start();
    let client = Client::new(&server);
    let scenario = scenarios().into_iter().find(|scenario| scenario.name.starts_with("01")).expect("a checkout");
    client.send_all(Transport::Grpc, &scenario.request).await;

    let (status, map) = get(&server, "/api/map?vs=previous").await;
    assert_eq!(status, 200, "{map}");
    let map: api::MapAnswer = serde_json::from_value(map).expect("a map");
    assert!(!map.incomplete, "{:?}", map.incomplete_reason);
    let mut edges: Vec<String> = map
        .edges
        .iter()
        .map(|edge| {
            let (from, to, now) = (&edge.source, &edge.target, &edge.now);
            format!("{from} -> {to} | {}/{} | {} | {}", edge.protocol, edge.system, now.calls, now.errors)
        })
        .collect();
    edges.sort();
    assert_eq!(json!(edges), sorted(&scenario.expected["edges"]));
    for edge in &map.edges {
        assert_eq!(edge.changes, ["appeared"], "{edge:?}");
        assert!(edge.before.is_none() && edge.slowest_journey.is_some(), "{edge:?}");
        let line = if edge.protocol == "route" {
            "thin"
        } else if edge.style == "async" {
            "dashed"
        } else {
            "solid"
        };
        assert_eq!(edge.line, line, "{edge:?}");
    }
    for node in &map.nodes {
        let incoming = map.edges.iter().filter(|edge| edge.target == node.node);
        assert_eq!(node.now.calls, incoming.map(|edge| edge.now.calls).sum::<u64>(), "{node:?}");
    }

    for node in map.nodes.iter().filter(|node| node.kind == "service") {
        let (status, answer) = get(&server, &format!("/api/services/{}", node.label)).await;
        assert_eq!(status, 200, "{answer}");
        let answer: api::ServiceAnswer = serde_json::from_value(answer).expect("a service");
        let n_into = map.edges.iter().filter(|edge| edge.target == node.node).count();
        let n_out = map.edges.iter().filter(|edge| edge.source == node.node).count();
        assert_eq!((answer.upstream.len(), answer.downstream.len()), (n_into, n_out), "{}", node.node);
        assert_eq!(answer.points.iter().map(|point| point.requests).sum::<u64>(), answer.total.requests);
        assert_eq!(answer.operations.iter().map(|one| one.requests).sum::<u64>(), answer.total.requests);
        assert_eq!(answer.versions.iter().map(|version| version.spans).sum::<u64>(), answer.total.spans);
    }

    let seed = scenario.trace(scenario.expected["journeys"][0]["seed"].as_str().expect("a seed"));
    let (status, same) = get(&server, &format!("/api/compare?a={seed}&b={seed}")).await;
    assert_eq!(status, 200, "{same}");
    let same: api::CompareAnswer = serde_json::from_value(same).expect("a comparison");
    let journey = journey(&server, seed).await;
    assert_eq!(same.steps.len(), journey.calls.len() + journey.hops.len());
    assert!(same.steps.iter().all(|step| step.difference_nanos == Some(0)), "{:?}", same.steps);
    assert_eq!(same.path.iter().filter_map(|part| part.a_nanos).sum::<i64>(), journey.settled_nanos);
    assert!(same.attributes.is_empty() && same.findings_only_a.is_empty() && same.findings_only_b.is_empty());

    let (status, usual) = get(&server, &format!("/api/compare?a={seed}&b=usual")).await;
    assert_eq!(status, 200, "{usual}");
    let usual: api::CompareAnswer = serde_json::from_value(usual).expect("a comparison");
    assert_eq!((usual.b.kind.as_str(), usual.b.n), ("usual", 0), "nothing went before");
    assert!(usual.b.basis.is_some() && usual.steps.len() == same.steps.len());

    let (status, styles) = get(&server, "/api/compare/styles").await;
    assert_eq!(status, 200, "{styles}");
    let styles: api::StylesAnswer = serde_json::from_value(styles).expect("styles");
    for (name, expected) in scenario.expected["comparison"].as_object().expect("a comparison") {
        let row = styles.rows.iter().find(|row| row.protocol == *name).expect("a family");
        for (key, found) in [("calls", row.calls), ("sends", row.sends), ("deliveries", row.deliveries)] {
            assert!(expected[key].is_null() || expected[key] == json!(found), "{key} of {name}: {row:?}");
        }
        assert!(row.p50_nanos.is_none() || !row.too_few, "{row:?}");
    }

    for (path, status) in [
        ("/api/compare", 400),
        ("/api/compare?a=zz&b=usual", 400),
        ("/api/compare?a=77&b=usual", 404),
        ("/api/compare/styles?by=colour", 400),
        ("/api/map?vs=never", 400),
        ("/api/map?from=never", 400),
        ("/api/services/nothing", 404),
        ("/api/compare/styles?by=edge", 200),
    ] {
        let (found, body) = get(&server, path).await;
        assert_eq!(found, status, "{path}: {body}");
    }
}

/// The SQL of every finding of a scenario runs as it stands, and among its rows is the journey, or a span, that the
/// finding was told about.
#[tokio::test]
async fn the_sql_of_findings_finds_their_like() {
    let server = Server::start();
    let client = Client::new(&server);
    let mut findings: Vec<(String, JourneyFinding)> = Vec::new();
    for scenario in scenarios() {
        client.send_all(Transport::Grpc, &scenario.request).await;
        for expected in scenario.expected["journeys"].as_array().expect("journeys") {
            let seed = scenario.trace(expected["seed"].as_str().expect("a seed")).to_owned();
            let answer = journey(&server, &seed).await;
            findings.extend(answer.findings.into_iter().map(|finding| (answer.origin.to_hex(), finding)));
        }
    }
    let mut told: HashMap<String, Vec<String>> = HashMap::new();
    let mut wrong = Vec::new();
    for (origin, finding) in &findings {
        if !told.contains_key(&finding.id) {
            let (status, body) = sql::ask(&server, &finding.sql).await;
            assert_eq!(status, 200, "{}: {} answered {body}", finding.id, finding.sql);
            let answer: Json = serde_json::from_str(&body).expect("rows");
            assert_eq!(answer["incomplete"], json!(false), "{}: {body}", finding.id);
            let rows = answer["rows"].as_array().expect("rows").iter().map(Json::to_string).collect();
            told.insert(finding.id.clone(), rows);
        }
        let names = |row: &String| {
            let is_evidence =
                |span: &SpanRef| row.contains(&span.trace_id.to_hex()) && row.contains(&span.span_id.to_hex());
            row.contains(origin.as_str()) || finding.evidence.iter().any(is_evidence)
        };
        let rows = &told[&finding.id];
        if !rows.iter().any(names) {
            wrong.push(format!("{} of {origin} is not among {} rows of {}", finding.id, rows.len(), finding.sql));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let mut names: Vec<&String> = told.keys().collect();
    names.sort();
    println!("findings whose SQL was asked: {names:?}");
    assert!(told.len() >= 18, "scenarios show many findings: {names:?}");
}

/// A join that the reader does not believe is cut: the trace and what came only through it are gone, the rest is whole.
#[tokio::test]
async fn a_doubtful_join_can_be_cut() {
    let server = Server::start();
    let client = Client::new(&server);
    let scenarios = scenarios();
    let scenario = scenarios.iter().find(|scenario| scenario.name.starts_with("04_")).expect("joined by message id");
    client.send_all(Transport::Grpc, &scenario.request).await;
    let seed = scenario.expected["journeys"][0]["seed"].as_str().expect("a seed");
    let whole = journey(&server, scenario.trace(seed)).await;
    let doubtful = whole.members.iter().find(|member| member.confidence != "high").expect("an inferred join").trace_id;
    let less = journey(&server, &format!("{}?cut={doubtful}", whole.id)).await;
    assert!(less.members.len() < whole.members.len(), "{:?}", less.members);
    assert!(less.members.iter().all(
        |member| member.trace_id != doubtful && whole.members.iter().any(|known| known.trace_id == member.trace_id)
    ));
    let kept: u64 = less.members.iter().map(|member| member.spans).sum();
    assert_eq!(less.spans.len() as u64, kept, "spans are those of the members");
    assert!(!less.spans.is_empty() && less.settled_nanos <= whole.settled_nanos);
    let all = journey(&server, &format!("{}?cut={}", whole.id, whole.id)).await;
    assert_eq!(all.members.len(), whole.members.len(), "the journey asked for cannot be cut off itself");
    let (status, problem) = get(&server, &format!("/api/journeys/{}?cut=nonsense", whole.id)).await;
    assert_eq!(status, 400, "{problem}");
}
