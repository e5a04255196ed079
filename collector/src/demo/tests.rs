//! The shop is believable: copies tell the same story, and a collector takes all of it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use model::UnixNanos;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use super::*;
use crate::{Encoding, Signal, to_batches};

const END: u64 = 1_768_478_400_000_000_000;

fn copy(scenario: &Scenario, seed: u64) -> ExportTraceServiceRequest {
    let resource_spans = journey::fresh(scenario, END, &mut StdRng::seed_from_u64(seed));
    ExportTraceServiceRequest { resource_spans }
}

/// Who is whose parent, and who points where, by position instead of by id.
fn shape(request: &ExportTraceServiceRequest) -> Vec<(Option<usize>, usize, Vec<Option<usize>>)> {
    let all: Vec<&Span> = journey::spans(request).collect();
    let position = |trace_id: &[u8], span_id: &[u8]| {
        all.iter().position(|span| span.trace_id == trace_id && span.span_id == span_id)
    };
    let first_of_trace = |trace_id: &[u8]| all.iter().position(|span| span.trace_id == trace_id);
    all.iter()
        .map(|span| {
            let links = span.links.iter().map(|link| position(&link.trace_id, &link.span_id)).collect();
            let parent = position(&span.trace_id, &span.parent_span_id);
            (parent, first_of_trace(&span.trace_id).expect("itself"), links)
        })
        .collect()
}

/// Every copy has the recorded shape, ends now, and keeps the order of all moments.
#[test]
fn copies_tell_the_same_story() {
    for scenario in scenarios::all().expect("readable") {
        let fresh = copy(&scenario, 7);
        assert_eq!(shape(&fresh), shape(&scenario.request), "{}", scenario.name);
        let times = |request| -> Vec<u64> {
            journey::spans(request)
                .flat_map(|span: &Span| [span.start_time_unix_nano, span.end_time_unix_nano])
                .collect()
        };
        let (recorded, new) = (times(&scenario.request), times(&fresh));
        let last = *new.iter().max().expect("spans");
        assert!((END - 10..=END).contains(&last), "{}: ends at {last}", scenario.name);
        for (a, b) in (0..recorded.len()).flat_map(|a| (0..a).map(move |b| (a, b))) {
            if recorded[a] <= recorded[b] {
                assert!(new[a] <= new[b], "{}: the order of times changed", scenario.name);
            }
        }
    }
}

/// No two copies share an id, and names of orders and messages differ, too.
#[test]
fn copies_share_nothing() {
    for scenario in scenarios::all().expect("readable") {
        let (first, second) = (copy(&scenario, 1), copy(&scenario, 2));
        let ids = |request| -> HashSet<Vec<u8>> {
            journey::spans(request).flat_map(|span: &Span| [span.trace_id.clone(), span.span_id.clone()]).collect()
        };
        assert!(ids(&first).is_disjoint(&ids(&second)), "{}", scenario.name);
        let texts = |request| -> Vec<String> {
            let attributes = journey::spans(request).flat_map(|span: &Span| &span.attributes);
            let value = attributes.filter_map(|a| a.value.as_ref()?.value.as_ref());
            value
                .filter_map(|value| if let Value::StringValue(text) = value { Some(text.clone()) } else { None })
                .collect()
        };
        for unique in scenario.unique {
            assert!(
                texts(&scenario.request).iter().any(|text| text.contains(unique)),
                "{unique} is not in {}",
                scenario.name
            );
            assert!(!texts(&first).iter().any(|text| text.contains(unique)), "{unique} is still in {}", scenario.name);
        }
    }
}

/// What the demo sends is taken as it is: nothing refused, nothing mended but what the stories are about.
#[test]
fn everything_is_accepted() {
    let (now, oldest) = (UnixNanos(END as i64), UnixNanos(0));
    let mut shop = Shop::new(END - 60_000_000_000);
    for scenario in scenarios::all().expect("readable") {
        let request = copy(&scenario, 3);
        let logs = shop.observe(&request);
        let (_, outcome) =
            to_batches(Signal::Traces, Encoding::Protobuf, &request.encode_to_vec(), now, oldest).expect("taken");
        assert_eq!(outcome.rejected_total(), 0, "{}: {}", scenario.name, outcome.message(Signal::Traces));
        let (_, outcome) =
            to_batches(Signal::Logs, Encoding::Protobuf, &logs.encode_to_vec(), now, oldest).expect("taken");
        assert_eq!(outcome.rejected_total(), 0);
    }
    let metrics = shop.metrics(END, &mut StdRng::seed_from_u64(1));
    assert!(signals::n_points(&metrics) > 20);
    let (batches, outcome) =
        to_batches(Signal::Metrics, Encoding::Protobuf, &metrics.encode_to_vec(), now, oldest).expect("taken");
    assert_eq!((outcome.rejected_total(), outcome.accepted()), (0, signals::n_points(&metrics)));
    let tables: HashMap<_, _> = batches.iter().map(|batch| (batch.table().name, batch.n_rows())).collect();
    assert!(
        ["number_points", "histogram_points", "exemplars"].iter().all(|name| tables.contains_key(name)),
        "{tables:?}"
    );
}

/// Over a real socket: the first batch is there at once, with every signal, and a stop ends it.
#[tokio::test]
async fn sends_until_stopped() {
    let world = crate::tests::World::new().await;
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = socket.local_addr().expect("bound");
    let stop = CancellationToken::new();
    let server = tonic::transport::Server::builder()
        .add_routes(tonic::service::Routes::from(world.grpc_routes()))
        .serve_with_incoming_shutdown(
            tonic::transport::server::TcpIncoming::from(socket),
            stop.clone().cancelled_owned(),
        );
    let server = tokio::spawn(server);
    let config = DemoConfig { endpoint: format!("http://{address}"), rate: 20.0, seed: Some(1), key: None };
    let demo = tokio::spawn(run(config, stop.clone(), |_| {}));
    let started = std::time::Instant::now();
    let tables = [&storage::table::SPANS, &storage::table::LOGS, &storage::table::NUMBER_POINTS];
    while tables.iter().any(|table| world.rows(table) == 0) {
        assert!(started.elapsed() < Duration::from_secs(120), "nothing came");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.cancel();
    demo.await.expect("no panic").expect("ends well");
    server.await.expect("no panic").expect("ends well");
}

/// A collector that is not there is said, with what to do, and tried again.
#[tokio::test]
async fn a_missing_collector_is_said() {
    let said = Arc::new(Mutex::new(Vec::<String>::new()));
    let (stop, lines) = (CancellationToken::new(), Arc::clone(&said));
    let config = DemoConfig { endpoint: "http://127.0.0.1:9".to_owned(), ..DemoConfig::default() };
    let demo = tokio::spawn(run(config, stop.clone(), move |line| lines.lock().expect("lines").push(line.to_owned())));
    let started = std::time::Instant::now();
    let told = |line: &String| line.contains("http://127.0.0.1:9") && line.contains("is the collector running?");
    while !said.lock().expect("lines").iter().any(told) {
        assert!(started.elapsed() < Duration::from_secs(60), "not said: {:?}", said.lock().expect("lines"));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.cancel();
    demo.await.expect("no panic").expect("ends well");
}

#[tokio::test]
async fn settings_that_cannot_work_are_told() {
    for rate in [0.0, -1.0, f64::NAN, 1e9] {
        let config = DemoConfig { rate, ..DemoConfig::default() };
        assert!(matches!(run(config, CancellationToken::new(), |_| {}).await, Err(DemoError::Rate { .. })));
    }
    for endpoint in ["not an address", "localhost", "127.0.0.1:4317", "http://127.0.0.1"] {
        let config = DemoConfig { endpoint: endpoint.to_owned(), ..DemoConfig::default() };
        let error = run(config, CancellationToken::new(), |_| {}).await.expect_err("refused");
        assert!(error.to_string().contains("http://127.0.0.1:4317"), "{error}");
    }
}

/// What happens at first is what happens later: a page that compares with the past finds nothing unusual in it.
#[test]
fn the_past_tells_the_same_stories_as_often() {
    let scenarios = scenarios::all().expect("the recorded journeys can be read");
    let past = backlog(&scenarios);
    let total: u32 = scenarios.iter().map(|scenario| scenario.weight).sum();
    for (index, scenario) in scenarios.iter().enumerate() {
        let wanted = f64::from(scenario.weight) / f64::from(total) * past.len() as f64;
        let happened = past.iter().filter(|(picked, _)| *picked == index).count();
        assert!(happened >= 1, "{} is not there", scenario.name);
        assert!((happened as f64 - wanted).abs() < 1.5, "{}: {happened}, not about {wanted:.1}", scenario.name);
    }
    assert!(past.windows(2).all(|pair| pair[0].1 < pair[1].1), "spread over time, newest first");
}
