//! Believable number points.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum};
use prost::Message as _;

use super::requests::{Draft, EncodedRequest, What};
use super::spans::{int, resource, scope, text};
use super::wire;

/// Points of one metric in a request.
const POINTS_PER_METRIC: usize = 25;

/// `n_requests` requests of `n_points` number points each (a multiple of 50): half of them doubles of gauges,
/// half integers of monotonic sums; 25 series a metric with 4 attributes each; about 150 bytes a point. Every
/// request brings the next point of the same series of its service instance.
pub fn encode(n_requests: usize, n_points: usize) -> Vec<EncodedRequest> {
    (0..n_requests).map(|index| encode_one(index, n_points)).collect()
}

fn encode_one(index: usize, n_points: usize) -> EncodedRequest {
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource(index)),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope()),
                metrics: (0..n_points / POINTS_PER_METRIC).map(metric).collect(),
                schema_url: "https://opentelemetry.io/schemas/1.37.0".into(),
            }],
            schema_url: String::new(),
        }],
    };
    let mut draft = Draft::new(request.encode_to_vec());
    for (number, value, what) in [(5, 4, What::Double), (7, 6, What::Int)] {
        for place in wire::descend(draft.bytes(), &[1, 2, 2, number, 1]) {
            draft.patch(wire::field(draft.bytes(), place.clone(), 3), What::Start { before_now: 0 });
            draft.patch(wire::field(draft.bytes(), place, value), what);
        }
    }
    draft.finish(n_points)
}

fn metric(number: usize) -> Metric {
    let is_gauge = number.is_multiple_of(2);
    let value = if is_gauge { Value::AsDouble(1.5) } else { Value::AsInt(1) };
    let data_points = (0..POINTS_PER_METRIC).map(|series| point(series, value)).collect();
    let data = if is_gauge {
        Data::Gauge(Gauge { data_points })
    } else {
        Data::Sum(Sum { data_points, aggregation_temporality: 2, is_monotonic: true })
    };
    Metric {
        name: format!("http.server.{}.{number:02}", if is_gauge { "queue.length" } else { "requests" }),
        description: "What the server has to do, by route".into(),
        unit: "{request}".into(),
        metadata: vec![],
        data: Some(data),
    }
}

fn point(series: usize, value: Value) -> NumberDataPoint {
    NumberDataPoint {
        attributes: vec![
            text("http.request.method", ["GET", "POST", "PUT", "DELETE", "PATCH"][series % 5]),
            text("http.route", ["/api/orders", "/api/cart", "/api/payments", "/api/search", "/login"][series / 5 % 5]),
            int("http.response.status_code", 200),
            text("url.scheme", "https"),
        ],
        start_time_unix_nano: 1_790_000_000_000_000_000,
        time_unix_nano: 1,
        value: Some(value),
        ..Default::default()
    }
}
