//! Recorded requests, moved in time so that the newest moment is a minute before now: retention would refuse
//! the years 2018 and 2026 otherwise.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::Exemplar;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message as _;

use super::{Request, json};

/// A recorded request.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// File name.
    pub name: String,
    /// What it holds, as recorded or moved.
    pub request: Request,
}

/// Nanoseconds since 1970.
pub fn now_nanos() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since_1970.as_nanos()).expect("before 2554")
}

/// The journeys: requests that cross services and brokers.
pub fn journeys() -> Vec<Fixture> {
    read("journeys", |name| name.ends_with(".otlp.json"))
}

/// One journey by the first part of its file name.
pub fn journey(prefix: &str) -> Fixture {
    journeys().into_iter().find(|fixture| fixture.name.starts_with(prefix)).expect("a journey of this name")
}

/// What an analysis must find in a journey.
pub fn expected(prefix: &str) -> serde_json::Value {
    let name = journey(prefix).name.replace(".otlp.json", ".expected.json");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/journeys").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

/// Requests made up to hold every field, recorded from real SDKs, the examples of the specification, and small variants
/// of logs.
pub fn captured() -> Vec<Fixture> {
    let is_request = |name: &str| name.ends_with(".json") || name.ends_with(".binpb");
    ["made", "data/captured-sdk", "data/otlp-proto-examples", "data/hyperdx-otlp"]
        .into_iter()
        .flat_map(|folder| read(folder, is_request))
        .collect()
}

/// All of them.
pub fn requests() -> Vec<Fixture> {
    journeys().into_iter().chain(captured()).collect()
}

fn read(folder: &str, wanted: impl Fn(&str) -> bool) -> Vec<Fixture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a folder that can be read").path()).collect();
    paths.sort();
    let name_of = |path: &Path| path.file_name().expect("a file").to_string_lossy().into_owned();
    paths.retain(|path| wanted(&name_of(path)));
    assert!(!paths.is_empty(), "no fixtures in {}", folder.display());
    paths
        .iter()
        .map(|path| {
            let bytes = std::fs::read(path).expect("a file that can be read");
            let name = name_of(path);
            let request = if name.ends_with(".binpb") { decode(&name, &bytes) } else { parse(&name, &bytes) };
            Fixture { name, request: to_now(request) }
        })
        .collect()
}

fn decode(name: &str, bytes: &[u8]) -> Request {
    let why = "a recorded request";
    if name.contains("traces") {
        Request::Traces(ExportTraceServiceRequest::decode(bytes).expect(why))
    } else if name.contains("metrics") {
        Request::Metrics(ExportMetricsServiceRequest::decode(bytes).expect(why))
    } else {
        Request::Logs(ExportLogsServiceRequest::decode(bytes).expect(why))
    }
}

fn parse(name: &str, bytes: &[u8]) -> Request {
    json::to_request(&serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{name}: {error}")))
}

/// The same request with every moment moved by one distance, so that the newest is a minute before now.
/// Moments that were not said (0) stay so.
pub fn to_now(request: Request) -> Request {
    to_moment(request, now_nanos() - 60_000_000_000)
}

/// As [`to_now`], with the newest moment at `target`, nanoseconds since 1970.
pub fn to_moment(mut request: Request, target: u64) -> Request {
    let mut newest = 0;
    for_each_moment(&mut request, &mut |moment| newest = newest.max(*moment));
    for_each_moment(&mut request, &mut |moment| {
        if *moment != 0 {
            *moment = target - (newest - *moment);
        }
    });
    request
}

fn for_each_moment(request: &mut Request, visit: &mut impl FnMut(&mut u64)) {
    match request {
        Request::Traces(request) => {
            let scopes = request.resource_spans.iter_mut().flat_map(|group| &mut group.scope_spans);
            for span in scopes.flat_map(|group| &mut group.spans) {
                visit(&mut span.start_time_unix_nano);
                visit(&mut span.end_time_unix_nano);
                span.events.iter_mut().for_each(|event| visit(&mut event.time_unix_nano));
            }
        }
        Request::Logs(request) => {
            let scopes = request.resource_logs.iter_mut().flat_map(|group| &mut group.scope_logs);
            for record in scopes.flat_map(|group| &mut group.log_records) {
                visit(&mut record.time_unix_nano);
                visit(&mut record.observed_time_unix_nano);
            }
        }
        Request::Metrics(request) => {
            let scopes = request.resource_metrics.iter_mut().flat_map(|group| &mut group.scope_metrics);
            for metric in scopes.flat_map(|group| &mut group.metrics) {
                for_each_point_moment(metric.data.as_mut(), visit);
            }
        }
    }
}

fn for_each_point_moment(data: Option<&mut Data>, visit: &mut impl FnMut(&mut u64)) {
    fn exemplars(exemplars: &mut [Exemplar], visit: &mut impl FnMut(&mut u64)) {
        exemplars.iter_mut().for_each(|exemplar| visit(&mut exemplar.time_unix_nano));
    }
    macro_rules! points {
        ($data:expr $(, $exemplars:ident)?) => {
            for point in &mut $data.data_points {
                visit(&mut point.start_time_unix_nano);
                visit(&mut point.time_unix_nano);
                $(exemplars(&mut point.$exemplars, visit);)?
            }
        };
    }
    match data {
        Some(Data::Gauge(data)) => points!(data, exemplars),
        Some(Data::Sum(data)) => points!(data, exemplars),
        Some(Data::Histogram(data)) => points!(data, exemplars),
        Some(Data::ExponentialHistogram(data)) => points!(data, exemplars),
        Some(Data::Summary(data)) => points!(data),
        None => {}
    }
}
