//! Metrics of every kind over time: rates over resets and of either temporality, levels, quantiles, gaps, staleness marks,
//! exemplars that lead to journeys; and nonsense questions.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::exemplar::Value as ExemplarValue;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint,
};
use serde_json::{Value as Json, json};

use crate::harness::fixtures::now_nanos;
use crate::harness::otlp::Client;
use crate::harness::{Collector, Request, Server, Transport, generate, sql, wait_for};

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const DELTA: i32 = 1;
const CUMULATIVE: i32 = 2;
const MARK: u32 = 1;

/// A whole minute, eleven minutes ago: the begin of the ten steps of every question here.
fn begin() -> u64 {
    now_nanos() / MINUTE * MINUTE - 11 * MINUTE
}

fn metrics(service: &str, host: &str, metrics: Vec<Metric>) -> Request {
    let mut resource = generate::service(service);
    resource.attributes.push(generate::attribute("host.name", host));
    Request::Metrics(ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }],
            ..ResourceMetrics::default()
        }],
    })
}

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    let (name, unit, description) = (name.to_owned(), unit.to_owned(), format!("what {name} is"));
    Metric { name, unit, description, data: Some(data), ..Metric::default() }
}

fn number(begin: u64, start: u64, time: u64, value: Value, attributes: &[KeyValue]) -> NumberDataPoint {
    NumberDataPoint {
        start_time_unix_nano: if start == 0 { 0 } else { begin + start },
        time_unix_nano: begin + time,
        value: Some(value),
        attributes: attributes.to_vec(),
        ..NumberDataPoint::default()
    }
}

fn sum(temporality: i32, is_monotonic: bool, data_points: Vec<NumberDataPoint>) -> Data {
    Data::Sum(Sum { data_points, aggregation_temporality: temporality, is_monotonic })
}

async fn get(server: &Server, path: &str) -> (u16, Json) {
    let answer = reqwest::get(server.api(path)).await.expect("an answer");
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON"))
}

/// One metric over the ten minutes, a value per minute.
async fn draw(server: &Server, begin: u64, name: &str, more: &str) -> Json {
    let to = begin + 10 * MINUTE;
    let (status, answer) = get(server, &format!("/api/metrics/{name}?from={begin}&to={to}&step=1m&{more}")).await;
    assert_eq!(status, 200, "{name} {more}: {answer}");
    assert_eq!(answer["steps"], 10, "{answer}");
    assert_eq!(answer["from_unix_nano"], begin.to_string());
    answer
}

/// The values of the only group.
async fn values(server: &Server, begin: u64, name: &str, more: &str) -> Json {
    let answer = draw(server, begin, name, more).await;
    assert_eq!(answer["series"].as_array().map(Vec::len), Some(1), "{name} {more}: {answer}");
    answer["series"][0]["values"].clone()
}

/// Counters of both temporalities, with a reset, a pause, a mark and a repeat.
fn counters(begin: u64) -> Vec<Request> {
    let ok = [generate::attribute("outcome", "ok"), generate::attribute("http.route", "/cart")];
    let bad = [generate::attribute("outcome", "bad"), generate::attribute("http.route", "/cart")];
    let point = |start: i64, time: u64, value: i64, attributes: &[KeyValue]| {
        let mut point = number(begin, 1, time * SECOND, Value::AsInt(value), attributes);
        point.start_time_unix_nano = begin.checked_add_signed(start * 1_000_000_000).expect("after 1970");
        point
    };
    // Since an hour ago; once a minute, at half past. It begins anew at 3:10 and has counted 20 at 3:30.
    let mut marked = point(-3_600, 330, 0, &bad);
    (marked.value, marked.flags) = (None, MARK);
    let cumulative = vec![
        point(-3_600, 30, 1_000, &ok),
        point(-3_600, 90, 1_060, &ok),
        point(-3_600, 150, 1_120, &ok),
        point(190, 210, 20, &ok),
        // Nothing for three minutes, then what came in them.
        point(190, 390, 200, &ok),
        point(-3_600, 30, 10, &bad),
        point(-3_600, 90, 16, &bad),
        marked,
    ];
    // The same request twice: a sender that did not hear the answer.
    let delta =
        vec![point(0, 60, 30, &ok), point(60, 120, 90, &ok), point(60, 120, 90, &ok), point(120, 150, 15, &bad)];
    let up_down =
        vec![point(-60, 30, 5, &ok), point(-60, 90, 2, &ok), point(-60, 30, 1, &bad), point(-60, 90, 7, &bad)];
    vec![
        metrics("shop", "a1", vec![metric("requests", "{request}", sum(CUMULATIVE, true, cumulative))]),
        metrics("shop", "a1", vec![metric("jobs", "{job}", sum(DELTA, true, delta))]),
        metrics("shop", "a1", vec![metric("connections", "{connection}", sum(CUMULATIVE, false, up_down))]),
    ]
}

fn gauges(begin: u64) -> Vec<Request> {
    let gauge = |points: &[(u64, f64)]| {
        let points = points.iter().map(|(time, value)| number(begin, 0, time * SECOND, Value::AsDouble(*value), &[]));
        Data::Gauge(Gauge { data_points: points.collect() })
    };
    let mut gone = number(begin, 0, 130 * SECOND, Value::AsDouble(0.0), &[]);
    (gone.value, gone.flags) = (None, MARK);
    let marked =
        Data::Gauge(Gauge { data_points: vec![number(begin, 0, 125 * SECOND, Value::AsDouble(9.0), &[]), gone] });
    vec![
        metrics(
            "shop",
            "a1",
            vec![metric("heat", "Cel", gauge(&[(5, 20.0), (50, 24.0), (70, 30.0), (400, f64::NAN)]))],
        ),
        metrics("shop", "b2", vec![metric("heat", "Cel", gauge(&[(10, 40.0), (75, 50.0)]))]),
        metrics("shop", "b2", vec![metric("heat", "Cel", marked)]),
        // The same name as something else altogether.
        metrics(
            "stock",
            "c3",
            vec![metric("heat", "Cel", sum(DELTA, true, vec![number(begin, 1, SECOND, Value::AsInt(1), &[])]))],
        ),
    ]
}

const TRACE: u128 = 0x7ace_0000_0000_0000_0000_0000_0000_0001;

fn distributions(begin: u64) -> Vec<Request> {
    let exemplar = |time: u64, value: f64| Exemplar {
        time_unix_nano: begin + time * SECOND,
        trace_id: TRACE.to_be_bytes().to_vec(),
        span_id: 5u64.to_be_bytes().to_vec(),
        value: Some(ExemplarValue::AsDouble(value)),
        filtered_attributes: vec![generate::attribute("user.id", "17")],
    };
    let histogram = |start: u64, time: u64, counts: &[u64], total: f64, bounds: &[f64]| HistogramDataPoint {
        start_time_unix_nano: begin + start * SECOND,
        time_unix_nano: begin + time * SECOND,
        count: counts.iter().sum(),
        sum: Some(total),
        bucket_counts: counts.to_vec(),
        explicit_bounds: bounds.to_vec(),
        ..HistogramDataPoint::default()
    };
    let of =
        |temporality, data_points| Data::Histogram(Histogram { data_points, aggregation_temporality: temporality });
    let mut second = histogram(1, 90, &[10, 20, 10, 0], 160.0, &[1.0, 5.0, 10.0]);
    second.exemplars = vec![exemplar(80, 9.5), exemplar(85, 0.5)];
    let cumulative = of(CUMULATIVE, vec![histogram(1, 30, &[10, 10, 0, 0], 40.0, &[1.0, 5.0, 10.0]), second]);
    // Other bounds; together they have 5 and 10 in common.
    let mut other = histogram(60, 100, &[30, 30], 300.0, &[5.0]);
    other.min = Some(0.25);
    let delta = of(DELTA, vec![other]);
    let exponential = |start: u64, time: u64, scale: i32, offset: i32, counts: &[u64]| ExponentialHistogramDataPoint {
        start_time_unix_nano: begin + start * SECOND,
        time_unix_nano: begin + time * SECOND,
        count: counts.iter().sum::<u64>() + 1,
        sum: Some(50.0),
        scale,
        zero_count: 1,
        positive: Some(Buckets { offset, bucket_counts: counts.to_vec() }),
        ..ExponentialHistogramDataPoint::default()
    };
    let exponential = Data::ExponentialHistogram(ExponentialHistogram {
        // (1, 2], (2, 4], (4, 8] by four, four and three; then in steps of 1.41 two of each.
        data_points: vec![exponential(0, 30, 0, 0, &[4, 4, 3]), exponential(30, 50, 1, 0, &[2, 2, 2, 2])],
        aggregation_temporality: DELTA,
    });
    let quantile = |quantile, value| ValueAtQuantile { quantile, value };
    let summary = |time: u64, count: u64, sum: f64, p99: f64| SummaryDataPoint {
        start_time_unix_nano: begin - 3_600 * SECOND,
        time_unix_nano: begin + time * SECOND,
        count,
        sum,
        quantile_values: vec![quantile(0.5, 1.5), quantile(0.99, p99)],
        ..SummaryDataPoint::default()
    };
    let summary =
        Data::Summary(Summary { data_points: vec![summary(30, 100, 50.0, 7.0), summary(90, 160, 80.0, 8.0)] });
    vec![
        metrics("shop", "a1", vec![metric("wait", "s", cumulative)]),
        metrics("shop", "b2", vec![metric("wait", "s", delta)]),
        metrics("shop", "a1", vec![metric("size", "By", exponential)]),
        metrics("shop", "a1", vec![metric("pause", "ms", summary)]),
    ]
}

async fn flushed(server: &Server) {
    wait_for("the buffer to become segments", Duration::from_secs(240), async || {
        let (_, status) = get(server, "/api/status").await;
        (status["storage"]["buffer_rows"] == 0).then_some(())
    })
    .await;
}

async fn start(requests: Vec<Request>) -> Server {
    let server = Collector::with_fast_flush().start();
    let client = Client::new(&server);
    for request in &requests {
        client.send_all(Transport::Grpc, request).await;
    }
    server
}

/// Counters grow over resets and pauses, whatever their temporality; where nothing came there is no value.
#[tokio::test]
async fn counters_grow() {
    let begin = begin();
    let server = start(counters(begin)).await;
    let none = || Json::Null;
    for place in ["buffer", "segments"] {
        // Before 0:30 nothing is known. Anew at 3:10: 20 in 20 s. Then 180 in three minutes, seen at 6:30.
        let values_of =
            async |more: &str| values(&server, begin, "requests", &format!("{more}&q=point.outcome%3Dok")).await;
        let increase = json!([none(), 60.0, 60.0, 20.0, none(), none(), 180.0, none(), none(), none()]);
        assert_eq!(values_of("function=increase").await, increase, "{place}");
        let rate = json!([none(), 1.0, 1.0, 1.0, none(), none(), 1.0, none(), none(), none()]);
        assert_eq!(values_of("").await, rate, "{place}");
        let level = json!([1_000.0, 1_060.0, 1_120.0, 20.0, none(), none(), 200.0, none(), none(), none()]);
        assert_eq!(values_of("function=last").await, level, "{place}");

        let answer = draw(&server, begin, "requests", "by=point.outcome").await;
        assert_eq!(
            (&answer["function"], &answer["across"], &answer["resets"]),
            (&json!("rate"), &json!("sum"), &json!(1))
        );
        assert_eq!((&answer["n_series"], &answer["incomplete"]), (&json!(2), &json!(false)), "{answer}");
        let labels: Vec<&Json> =
            answer["series"].as_array().expect("groups").iter().map(|one| &one["labels"]).collect();
        assert_eq!(labels, [&json!({ "point.outcome": "ok" }), &json!({ "point.outcome": "bad" })]);
        assert_eq!(answer["series"][1]["values"][1], 0.1, "{answer}");
        let fields: Vec<&str> = answer["attributes"]
            .as_array()
            .expect("attributes")
            .iter()
            .filter_map(|one| one["field"].as_str())
            .collect();
        assert_eq!(fields, ["service", "http.route", "point.outcome", "host.name"], "{answer}");

        // Sent twice, counted once.
        let jobs = values(&server, begin, "jobs", "function=increase").await;
        assert_eq!(
            jobs,
            json!([none(), 30.0, 105.0, none(), none(), none(), none(), none(), none(), none()]),
            "{place}"
        );
        let jobs = values(&server, begin, "jobs", "").await;
        assert_eq!((&jobs[1], &jobs[2]), (&json!(0.5), &json!(2.0)), "1.5 a second, and 0.5 of the other series");

        // What rises and falls is a level, and has no resets.
        let connections = values(&server, begin, "connections", "").await;
        assert_eq!((&connections[0], &connections[1]), (&json!(6.0), &json!(9.0)));
        let change = values(&server, begin, "connections", "function=increase").await;
        assert_eq!((&change[0], &change[1]), (&json!(6.0), &json!(3.0)), "it began a minute before");
        flushed(&server).await;
    }
}

/// Levels as they were: no line is drawn through a gap, a mark ends a series, NaN is no number.
#[tokio::test]
async fn gauges_are_levels() {
    let begin = begin();
    let server = start(gauges(begin)).await;
    let none = || Json::Null;
    for place in ["buffer", "segments"] {
        let of = async |more: &str| values(&server, begin, "heat", &format!("kind=gauge&{more}")).await;
        let rest = [none(), none(), none(), none(), none(), none(), none(), none()];
        let with = |first: f64, second: f64| json!([&[json!(first), json!(second)][..], &rest[..]].concat());
        assert_eq!(of("").await, with(32.0, 40.0), "{place}: the mean of the last values; the mark ends one");
        assert_eq!(of("across=sum").await, with(64.0, 80.0), "{place}");
        assert_eq!(of("function=max").await[0], 40.0);
        assert_eq!(of("function=min").await[0], 20.0);
        assert_eq!(of("function=count").await[0], 3.0);
        assert_eq!(of("function=avg&across=max&q=host.name%3Da1").await[0], 22.0);
        let one = draw(&server, begin, "heat", "kind=gauge&by=*").await;
        let labels: Vec<&Json> = one["series"].as_array().expect("two").iter().map(|one| &one["labels"]).collect();
        assert_eq!(
            labels,
            [&json!({"service": "shop", "host.name": "b2"}), &json!({"service": "shop", "host.name": "a1"})]
        );

        // Two metrics have this name.
        let (status, problem) = get(&server, &format!("/api/metrics/heat?from={begin}")).await;
        assert_eq!(status, 400, "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|text| text.contains("kind=sum")), "{problem}");
        flushed(&server).await;
    }
}

/// Histograms of both kinds are put together over bounds, scales and temporalities; an exemplar leads to its journey.
#[tokio::test]
async fn distributions_have_quantiles() {
    let begin = begin();
    let server = start(distributions(begin)).await;
    let mut span = generate::span(TRACE, 5, "GET /cart");
    (span.start_time_unix_nano, span.end_time_unix_nano) = (begin + 70 * SECOND, begin + 80 * SECOND);
    let spans = Request::Traces(generate::request("shop", vec![span]));
    Client::new(&server).send_all(Transport::HttpProtobuf, &spans).await;
    for place in ["buffer", "segments"] {
        // a1 in the second minute: 0, 10, 10, 0 more up to 1, 5, 10; b2: 30 up to 5 and 30 above. Common bound 5: 40 and 40.
        let answer = draw(&server, begin, "wait", "quantile=0.25,0.5&exemplars=10").await;
        let of = |index: usize| (&answer["series"][index]["quantile"], &answer["series"][index]["values"][1]);
        let quantiles = [of(0), of(1)];
        assert!(quantiles.contains(&(&json!(0.25), &json!(2.5))), "{place}: {answer}");
        assert!(quantiles.contains(&(&json!(0.5), &json!(5.0))), "{place}: {answer}");
        // The first point says that it began inside of the range: its first minute counts.
        let first = values(&server, begin, "wait", "function=p50&q=host.name%3Da1").await;
        assert_eq!((&first[0], &first[1]), (&json!(1.0), &json!(5.0)), "{place}");
        let count = values(&server, begin, "wait", "function=increase").await;
        assert_eq!((&count[0], &count[1], &count[2]), (&json!(20.0), &json!(80.0), &Json::Null), "{place}");
        // Buckets on the bounds that both have: up to 5, and above.
        let heat = draw(&server, begin, "wait", "function=heatmap").await;
        let of = |index: usize| (&heat["series"][index]["band"], &heat["series"][index]["values"][1]);
        assert_eq!(of(0), (&json!({"from": null, "to": 5.0}), &json!(40.0)), "{place}: {heat}");
        assert_eq!(of(1), (&json!({"from": 5.0, "to": null}), &json!(40.0)), "{place}: {heat}");
        assert_eq!(heat["series"].as_array().map(Vec::len), Some(2), "{heat}");
        let mean = values(&server, begin, "wait", "function=avg").await;
        assert_eq!((&mean[0], &mean[1]), (&json!(2.0), &json!(5.25)), "{place}");
        assert_eq!(values(&server, begin, "wait", "function=min&q=host.name%3Db2").await[1], 0.25);
        let odd = draw(&server, begin, "wait", "function=min").await;
        assert_eq!(odd["incomplete"], true, "the smallest since its start is none of a step: {odd}");

        let exemplars = answer["exemplars"].as_array().expect("exemplars");
        let seen: Vec<f64> = exemplars.iter().filter_map(|exemplar| exemplar["value"].as_f64()).collect();
        assert_eq!(seen, [9.5], "the largest of each step: {answer}");
        assert_eq!(exemplars[0]["attributes"], json!({ "user.id": "17" }));
        let trace = exemplars[0]["trace_id"].as_str().expect("an id");
        let (status, journey) = get(&server, &format!("/api/journeys/{trace}")).await;
        assert_eq!((status, &journey["spans"][0]["span_id"]), (200, &exemplars[0]["span_id"]), "{journey}");
        let all = draw(&server, begin, "wait", "exemplars=1000").await;
        assert_eq!(all["exemplars"].as_array().map(Vec::len), Some(2), "{all}");

        // Scale 0 and 1 meet on 0: 8, 8 and 3 of 21 up to 2, 4 and 8, and two at zero.
        let size = draw(&server, begin, "size", "quantile=0,1").await;
        let of = |index: usize| (&size["series"][index]["quantile"], &size["series"][index]["values"][0]);
        assert!([of(0), of(1)].contains(&(&json!(0.0), &json!(0.0))), "{place}: {size}");
        assert!([of(0), of(1)].contains(&(&json!(1.0), &json!(8.0))), "{place}: {size}");
        assert_eq!(values(&server, begin, "size", "function=increase").await[0], 21.0);
        let p = |rank: f64| 2f64.powf(1.0 + (rank - 10.0) / 8.0);
        let median = values(&server, begin, "size", "function=p50").await[0].as_f64().expect("a value");
        assert!((median - p(10.5)).abs() < 1e-9, "{median}");

        // Senders' quantiles stand as they are.
        let pause = draw(&server, begin, "pause", "by=*&quantile=0.99").await;
        assert_eq!((&pause["series"][0]["values"][0], &pause["series"][0]["values"][1]), (&json!(7.0), &json!(8.0)));
        assert_eq!(values(&server, begin, "pause", "function=avg").await[1], 0.5);
        assert_eq!(values(&server, begin, "pause", "").await[1], 1.0);
        flushed(&server).await;
    }
}

/// What there is: names, kinds, units, who sends them, page by page; and the same points in SQL.
#[tokio::test]
async fn metrics_are_listed() {
    let begin = begin();
    let server = start([counters(begin), gauges(begin), distributions(begin)].concat()).await;
    for place in ["buffer", "segments"] {
        let (status, list) = get(&server, "/api/metrics").await;
        assert_eq!((status, &list["incomplete"], &list["next_cursor"]), (200, &json!(false), &Json::Null), "{list}");
        let of = |item: &Json| {
            let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
            format!("{} {} {} {} {}", text("name"), text("kind"), text("temporality"), item["series"], item["points"])
        };
        let items: Vec<String> = list["metrics"].as_array().expect("metrics").iter().map(of).collect();
        let expected = [
            "connections sum cumulative 2 4",
            "heat gauge  2 8",
            "heat sum delta 1 1",
            "jobs sum delta 2 4",
            "pause summary  1 2",
            "requests sum cumulative 2 8",
            "size exponential_histogram delta 1 2",
            "wait histogram mixed 2 3",
        ];
        assert_eq!(items, expected, "{place}");
        assert_eq!(list["metrics"][5]["unit"], "{request}");
        assert_eq!(list["metrics"][5]["description"], "what requests is");
        assert_eq!(list["metrics"][5]["is_monotonic"], true);
        assert_eq!(list["metrics"][5]["services"], json!(["shop"]));

        // Page by page, and by filters.
        let (mut names, mut cursor) = (Vec::new(), String::new());
        loop {
            let (status, page) = get(&server, &format!("/api/metrics?limit=3&cursor={cursor}")).await;
            assert_eq!(status, 200, "{page}");
            names.extend(page["metrics"].as_array().expect("metrics").iter().map(of));
            match page["next_cursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => break,
            }
        }
        assert_eq!(names, expected, "{place}");
        for (query, n) in [
            ("q=heat", 2),
            ("q=HEAT%20service%3Dstock", 1),
            ("q=host.name%3Db2", 2),
            ("q=point.outcome%3Dbad", 3),
            ("q=http.route%3D~%5E/c", 3),
            ("kind=histogram", 1),
            ("q=nothing.like%3Dthis", 0),
        ] {
            let (_, page) = get(&server, &format!("/api/metrics?{query}")).await;
            assert_eq!(page["metrics"].as_array().map(Vec::len), Some(n), "{query} in {place}: {page}");
        }
        let kinds =
            sql::query(&server, "SELECT kind, count(*) AS n FROM metric_points GROUP BY kind ORDER BY kind").await;
        let kinds = kinds.to_texts();
        let expected =
            [["exponential_histogram", "2"], ["gauge", "8"], ["histogram", "3"], ["sum", "17"], ["summary", "2"]];
        assert_eq!(kinds, expected.map(|row| row.map(str::to_owned).to_vec()), "{place}");
        let marks = "SELECT count(*) FROM metric_points WHERE is_stale AND value IS NULL";
        assert_eq!(sql::number(&server, marks).await, 2, "{place}");
        flushed(&server).await;
    }
}

/// Questions that make no sense are answered with what would.
#[tokio::test]
async fn nonsense_is_answered() {
    let begin = begin();
    let server = start([counters(begin), distributions(begin)].concat()).await;
    for (path, status, says) in [
        ("/api/metrics?q=duration%3E1s", 400, "metrics have no duration"),
        ("/api/metrics?q=(", 400, "brackets"),
        ("/api/metrics?limit=0", 400, "limit is a number"),
        ("/api/metrics?cursor=rubbish", 400, "cursor"),
        ("/api/metrics?kind=counter", 400, "kind is gauge"),
        ("/api/metrics?from=later", 400, "is not a time"),
        ("/api/metrics/request", 404, "did you mean requests?"),
        ("/api/metrics/requests?kind=gauge", 400, "kind=sum"),
        ("/api/metrics/requests?unit=s", 400, "unit={request}"),
        ("/api/metrics/requests?function=median", 400, "function is one of"),
        ("/api/metrics/requests?function=p95", 400, "has no quantile"),
        ("/api/metrics/requests?step=1ms", 400, "the shortest for this range is"),
        ("/api/metrics/requests?step=soon", 400, "step is a duration"),
        ("/api/metrics/requests?by=duration", 400, "points have no duration"),
        ("/api/metrics/requests?by=colour", 400, "there is no field colour"),
        ("/api/metrics/requests?q=point.x%3D~(", 400, "regular expression"),
        ("/api/metrics/wait?across=sum", 400, "put together"),
        ("/api/metrics/wait?quantile=2", 400, "from 0 to 1"),
        ("/api/metrics/pause?quantile=0.5", 400, "by=*"),
        ("/api/metrics/wait?limit=100000", 400, "limit is a number"),
        ("/api/search?q=point.x%3D1", 400, "/api/metrics"),
    ] {
        let (answered, problem) = get(&server, path).await;
        assert_eq!(answered, status, "{path}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|text| text.contains(says)), "{path}: {problem}");
    }
    let (_, problem) = get(&server, "/api/metrics/requests?q=service%3Dshop%20point.x%3E%3Dmany").await;
    assert_eq!(problem["position"], 22, "{problem}");
    // No series at all is an answer; so is one group of many.
    let empty = draw(&server, begin, "requests", "q=service%3Dnobody").await;
    assert_eq!((&empty["series"], &empty["n_series"]), (&json!([]), &json!(0)));
    let cut = draw(&server, begin, "requests", "by=*&limit=1").await;
    assert_eq!((&cut["n_groups"], &cut["incomplete"]), (&json!(2), &json!(true)), "{cut}");
    let long = get(&server, "/api/metrics/requests?from=0&to=now").await;
    assert_eq!(long.0, 200, "{}", long.1);
}

/// Rate, errors and durations per step add up to what the map says of the whole range.
#[tokio::test]
async fn red_agrees_with_the_map() {
    let server = Server::start();
    let begin = begin();
    let mut spans = Vec::new();
    for n in 1..=40u64 {
        let mut span = generate::span(u128::from(n) << 64 | 9, n, if n % 4 == 0 { "GET /slow" } else { "GET /fast" });
        // Ten a minute; each fourth takes a second, each eighth fails.
        span.start_time_unix_nano = begin + n.div_ceil(10) * MINUTE + n * 1_000_000;
        span.end_time_unix_nano = span.start_time_unix_nano + if n % 4 == 0 { SECOND } else { 10_000_000 };
        if n % 8 == 0 {
            span.status = Some(opentelemetry_proto::tonic::trace::v1::Status { code: 2, message: String::new() });
        }
        spans.push(span);
    }
    Client::new(&server).send_all(Transport::Grpc, &Request::Traces(generate::request("shop", spans))).await;
    let range = format!("from={begin}&to={}", begin + 10 * MINUTE);
    let (_, map) = get(&server, &format!("/api/map?{range}")).await;
    let (status, services) = get(&server, &format!("/api/red?{range}&step=1m")).await;
    assert_eq!((status, &services["n_series"], &services["steps"]), (200, &json!(1), &json!(10)), "{services}");
    let shop = &services["series"][0];
    assert_eq!((&shop["target"], &shop["calls"]), (&json!("service:shop"), &json!([0, 10, 10, 10, 10, 0, 0, 0, 0, 0])));
    assert_eq!(shop["errors"], json!([0, 1, 1, 1, 2, 0, 0, 0, 0, 0]), "{services}");
    assert_eq!(shop["p95_nanos"][0], Json::Null);
    let p95 = shop["p95_nanos"][1].as_f64().expect("nanoseconds");
    assert!((p95 / 1e9 - 1.0).abs() < 0.011, "{p95}");
    let node = map["nodes"].as_array().expect("nodes").iter().find(|node| node["node"] == "service:shop");
    let now = &node.unwrap_or_else(|| panic!("the service is on the map: {map}"))["now"];
    for figure in ["calls", "errors", "p50_nanos", "p95_nanos"] {
        assert_eq!(shop["total"][figure], now[figure], "{figure}");
    }
    let (_, operations) = get(&server, &format!("/api/red?{range}&by=operation&node=shop")).await;
    let names: Vec<&Json> = operations["series"].as_array().expect("two").iter().map(|one| &one["operation"]).collect();
    assert_eq!(names.len(), 1, "both are GET of one route: {operations}");
    let (_, edges) = get(&server, &format!("/api/red?{range}&by=edge&step=5m")).await;
    assert_eq!(edges["series"].as_array().map(Vec::len), map["edges"].as_array().map(Vec::len), "{edges}");
    for (query, says) in [
        ("by=colour", "by is service"),
        ("step=90s", "whole minutes"),
        ("step=1m&from=now-90d", "the shortest for this range is"),
        ("limit=0", "limit is a number"),
    ] {
        let (status, problem) = get(&server, &format!("/api/red?{query}")).await;
        assert_eq!(status, 400, "{query}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|text| text.contains(says)), "{query}: {problem}");
    }
}
