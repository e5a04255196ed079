//! `GET /api/services` and `/api/services/{name}`: services seen in a time range, with rate, errors and durations of
//! their requests; one of them with operations, neighbours and versions.

use std::collections::BTreeMap;
use std::time::Instant;

use api::{
    ServiceAnswer, ServiceDependency, ServiceItem, ServiceOperation, ServicePoint, ServiceVersion, ServicesAnswer,
};
use arrow::array::RecordBatch;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::prelude::ident;
use model::semconv::key;
use model::{SpanKind, TenantId, TimeRange, UnixNanos};

use crate::analysis::errors::failed_sql;
use crate::analysis::node::Node;
use crate::engine::Engine;
use crate::engine::session::{Session, incomplete};
use crate::error::{Error, Result};
use crate::map::environment::Environment;
use crate::map::totals::{By, Edge, Totals, totals};
use crate::map::{figures, style_of, whole_minutes};
use crate::rows::{Ints, Texts, column_of};

/// Services in an answer; a store with more has service names made of ids.
const SERVICES_MAX: u64 = 10_000;

/// Server and consumer spans are requests that a service took.
const SQL: &str = concat!(
    "SELECT service_name, count(*) AS spans, \
           sum(CASE WHEN kind IN (2, 5) THEN 1 ELSE 0 END) AS requests, \
           sum(CASE WHEN kind IN (2, 5) AND ",
    failed_sql!(),
    " THEN 1 ELSE 0 END) AS errors, \
           arrow_cast(approx_percentile_cont(CASE WHEN kind IN (2, 5) THEN duration_nanos END, 0.5), 'Int64') AS p50, \
           arrow_cast(approx_percentile_cont(CASE WHEN kind IN (2, 5) THEN duration_nanos END, 0.95), 'Int64') AS p95 \
    FROM raw.spans WHERE start_time >= $from AND start_time < $to"
);

impl Engine {
    /// Services of which a span of an environment starts in `range`, by name.
    ///
    /// # Errors
    /// The limits of the configuration.
    pub async fn services(
        &self,
        tenant: &TenantId,
        range: TimeRange,
        environment: Environment,
    ) -> Result<ServicesAnswer> {
        self.run(tenant, move |session| async move {
            let sql = format!("{SQL}{} GROUP BY service_name ORDER BY service_name", environment.sql());
            let frame = session.query_with(&sql, range, vec![environment.value()]).await?;
            let collected = session.collect(frame, SERVICES_MAX).await?;
            let mut services = Vec::new();
            for batch in &collected.batches {
                let names = Texts::of(batch, "service_name");
                let ints = |name| Ints::of(batch, name);
                let (spans, requests, errors) = (ints("spans"), ints("requests"), ints("errors"));
                let (p50, p95) = (ints("p50"), ints("p95"));
                services.extend((0..batch.num_rows()).map(|row| ServiceItem {
                    name: names.text(row).to_owned(),
                    spans: spans.int(row).unsigned_abs(),
                    requests: requests.int(row).unsigned_abs(),
                    errors: errors.int(row).unsigned_abs(),
                    p50_nanos: p50.get(row).map(i64::unsigned_abs),
                    p95_nanos: p95.get(row).map(i64::unsigned_abs),
                }));
            }
            let (incomplete, incomplete_reason) = incomplete(&session.snapshot, collected.cut);
            Ok(ServicesAnswer { services, incomplete, incomplete_reason })
        })
        .await
    }
}

/// Points of a curve over time, at most.
const POINTS_MAX: i64 = 120;
/// Operations and versions in an answer.
const PARTS_MAX: u64 = 500;

/// Spans of one service, grouped by the expressions `part` and `part_kind`; `further` are further conditions.
fn requests_by(part: &str, part_kind: &str, order: &str, further: &str) -> String {
    let duration = "CASE WHEN kind IN (2, 5) THEN duration_nanos END";
    let failed = failed_sql!();
    format!(
        "SELECT part, part_kind, count(*) AS spans, \
                sum(CASE WHEN kind IN (2, 5) THEN 1 ELSE 0 END) AS requests, \
                sum(CASE WHEN kind IN (2, 5) AND {failed} THEN 1 ELSE 0 END) AS errors, \
                min(start_time) AS first_time, max(start_time) AS last_time, \
                arrow_cast(approx_percentile_cont({duration}, 0.5), 'Int64') AS p50, \
                arrow_cast(approx_percentile_cont({duration}, 0.95), 'Int64') AS p95, \
                arrow_cast(approx_percentile_cont({duration}, 0.99), 'Int64') AS p99 \
         FROM (SELECT {part} AS part, {part_kind} AS part_kind, kind, status_code, error_type, rpc_status_code, grpc_status_code, \
                      http_status_code, duration_nanos, start_time FROM raw.spans \
               WHERE start_time >= $from AND start_time < $to AND service_name = $service{further}) \
         GROUP BY part, part_kind ORDER BY {order}"
    )
}

/// One group of requests.
struct Group {
    text: String,
    number: i64,
    kind: i32,
    spans: u64,
    requests: u64,
    errors: u64,
    first: i64,
    last: i64,
    percentiles: [Option<u64>; 3],
}

fn groups(batches: &[RecordBatch]) -> Vec<Group> {
    let mut found = Vec::new();
    for batch in batches {
        let ints = |name| Ints::of(batch, name);
        let (texts, numbers, kinds) = (Texts::of(batch, "part"), ints("part"), ints("part_kind"));
        let (spans, requests, errors) = (ints("spans"), ints("requests"), ints("errors"));
        let (first, last) = (ints("first_time"), ints("last_time"));
        let percentiles = ["p50", "p95", "p99"].map(ints);
        found.extend((0..batch.num_rows()).map(|row| Group {
            text: texts.text(row).to_owned(),
            number: numbers.int(row),
            kind: kinds.int32(row),
            spans: spans.int(row).unsigned_abs(),
            requests: requests.int(row).unsigned_abs(),
            errors: errors.int(row).unsigned_abs(),
            first: first.int(row),
            last: last.int(row),
            percentiles: percentiles.each_ref().map(|ints| ints.get(row).map(i64::unsigned_abs)),
        }));
    }
    found
}

/// The length of a point: one of these, so that curves of neighbouring ranges fit together.
fn step_nanos(range: TimeRange) -> i64 {
    const SECONDS: [i64; 12] = [1, 5, 15, 60, 300, 900, 3_600, 3 * 3_600, 6 * 3_600, 86_400, 7 * 86_400, 28 * 86_400];
    let length = range.end.0.saturating_sub(range.start.0);
    let fits = |seconds: &&i64| length / (**seconds * UnixNanos::SECOND) <= POINTS_MAX;
    SECONDS.iter().find(fits).copied().unwrap_or(365 * 86_400) * UnixNanos::SECOND
}

impl Engine {
    /// One service in a range and environment.
    ///
    /// # Errors
    /// [`Error::NotFound`] when no span of it starts there.
    pub async fn service(
        &self,
        tenant: &TenantId,
        name: String,
        range: TimeRange,
        environment: Environment,
    ) -> Result<ServiceAnswer> {
        let started = Instant::now();
        let work = move |session| async move { service(&session, name, range, &environment).await };
        let answer = self.run(tenant, work).await?;
        Ok(ServiceAnswer { elapsed_ms: started.elapsed().as_secs_f64() * 1e3, ..answer })
    }
}

async fn service(
    session: &Session,
    name: String,
    range: TimeRange,
    environment: &Environment,
) -> Result<ServiceAnswer> {
    let mut cut = None;
    let step_nanos = step_nanos(range);
    let step = format!("arrow_cast(start_time, 'Int64') / {step_nanos}");
    let version = column_of(key::SERVICE_VERSION);
    let mut parts = Vec::new();
    for (part, part_kind, order) in [
        ("0", "0", "part"),
        (step.as_str(), "0", "part"),
        ("name", "kind", "requests DESC, part, part_kind"),
        (version, "0", "first_time, part"),
    ] {
        let service = ScalarValue::from(name.as_str());
        let text = requests_by(part, part_kind, order, &environment.sql());
        let frame = session.query_with(&text, range, vec![("service", service), environment.value()]).await?;
        let collected = session.collect(frame, PARTS_MAX).await?;
        cut = cut.or(collected.cut);
        parts.push(groups(&collected.batches));
    }
    let [total, points, operations, versions] =
        <[Vec<Group>; 4]>::try_from(parts).map_err(|_| Error::Internal("four parts were asked for".to_owned()))?;
    let Some(total) = total.first().filter(|total| total.spans > 0) else {
        return Err(Error::NotFound(format!(
            "no span of the service {name} starts in this range and environment; GET /api/services lists those that have some"
        )));
    };
    let minutes = whole_minutes(range);
    let own = Node::service(&name);
    let is_own = |end: &str| ident(end).eq(Expr::Literal(ScalarValue::from(own.as_str()), None));
    let edges = totals(session, minutes, By::Edge, environment, Some(is_own("src").or(is_own("dst")))).await?;
    let neighbours = |is_neighbour: &dyn Fn(&Edge) -> Option<String>| {
        let mut found: BTreeMap<(String, &Edge), &Totals> = BTreeMap::new();
        for (edge, totals) in &edges {
            if let Some(node) = is_neighbour(edge) {
                found.insert((node, edge), totals);
            }
        }
        let mut list: Vec<ServiceDependency> = found
            .into_iter()
            .map(|((node, edge), totals)| ServiceDependency {
                node,
                style: style_of(edge).as_str().to_owned(),
                protocol: edge.protocol.clone(),
                system: edge.system.clone(),
                figures: figures(totals, minutes),
            })
            .collect();
        list.sort_by(|a, b| b.figures.calls.cmp(&a.figures.calls).then_with(|| a.node.cmp(&b.node)));
        list
    };
    let reasons: Vec<String> = cut.into_iter().chain(session.derived.reason()).collect();
    let (incomplete, incomplete_reason) =
        incomplete(&session.snapshot, (!reasons.is_empty()).then(|| reasons.join("; ")));
    Ok(ServiceAnswer {
        total: ServiceItem {
            name: name.clone(),
            spans: total.spans,
            requests: total.requests,
            errors: total.errors,
            p50_nanos: total.percentiles[0],
            p95_nanos: total.percentiles[1],
        },
        from_unix_nano: range.start.0.to_string(),
        to_unix_nano: range.end.0.to_string(),
        step_nanos,
        points: points.iter().filter(|group| group.requests > 0).map(|group| point(group, step_nanos)).collect(),
        operations: operations.iter().filter(|group| group.requests > 0).map(operation).collect(),
        upstream: neighbours(&|edge| (edge.target == own.as_str()).then(|| edge.source.clone())),
        downstream: neighbours(&|edge| (edge.source == own.as_str()).then(|| edge.target.clone())),
        versions: versions.iter().map(version_of).collect(),
        name,
        incomplete,
        incomplete_reason,
        elapsed_ms: 0.0,
    })
}

fn point(group: &Group, step_nanos: i64) -> ServicePoint {
    let [p50_nanos, p95_nanos, p99_nanos] = group.percentiles;
    ServicePoint {
        start_unix_nano: group.number.saturating_mul(step_nanos).to_string(),
        requests: group.requests,
        errors: group.errors,
        p50_nanos,
        p95_nanos,
        p99_nanos,
    }
}

fn operation(group: &Group) -> ServiceOperation {
    let [p50_nanos, p95_nanos, p99_nanos] = group.percentiles;
    ServiceOperation {
        name: group.text.clone(),
        kind: SpanKind::word(group.kind).to_owned(),
        requests: group.requests,
        errors: group.errors,
        p50_nanos,
        p95_nanos,
        p99_nanos,
    }
}

fn version_of(group: &Group) -> ServiceVersion {
    ServiceVersion {
        version: group.text.clone(),
        first_seen_unix_nano: group.first.to_string(),
        last_seen_unix_nano: group.last.to_string(),
        spans: group.spans,
        requests: group.requests,
        errors: group.errors,
        p95_nanos: group.percentiles[1],
    }
}

#[cfg(test)]
mod tests {
    use model::{AttributeValue, StatusCode};

    use super::*;
    use crate::analysis::errors::failed;
    use crate::analysis::systems::grpc_status;
    use crate::testing::{Fixture, NOW, TestSpan, span, tenant};
    use crate::trace::row;

    /// Kind, status, what else it says, and its name, which says it too.
    fn cases() -> Vec<(SpanKind, StatusCode, &'static str, AttributeValue)> {
        let text = |value: &str| AttributeValue::String(value.to_owned());
        let said = [
            ("url_path", text("/")),
            ("error_type", text("Timeout")),
            ("http_status_code", AttributeValue::Int(200)),
            ("http_status_code", AttributeValue::Int(404)),
            ("http_status_code", AttributeValue::Int(500)),
            ("rpc_status_code", text("OK")),
            ("rpc_status_code", text(" not_found")),
            ("rpc_status_code", text("13")),
            ("rpc_status_code", text("UNAVAILABLE")),
            ("grpc_status_code", AttributeValue::Int(0)),
            ("grpc_status_code", AttributeValue::Int(2)),
            ("grpc_status_code", AttributeValue::Int(5)),
        ];
        let mut cases = Vec::new();
        for kind in SpanKind::ALL {
            for status in StatusCode::ALL {
                cases.extend(said.iter().map(|(column, value)| (*kind, *status, *column, value.clone())));
            }
        }
        cases
    }

    /// Journeys, the map, waterfalls, services and SQL must not tell different numbers of errors.
    #[tokio::test]
    async fn what_failed_is_the_same_everywhere() {
        let cases = cases();
        let spans: Vec<TestSpan> = (1..)
            .zip(&cases)
            .map(|(n, (kind, status, column, value))| TestSpan {
                kind: kind.code(),
                status: status.code(),
                columns: vec![(column, value.clone())],
                ..span(n, n, None, "work", n as i64, 3)
            })
            .collect();
        let expected: Vec<bool> = cases
            .iter()
            .map(|(kind, status, column, value)| {
                let rpc = match (*column, value) {
                    ("rpc_status_code", AttributeValue::String(text)) => Some(grpc_status(text)),
                    ("grpc_status_code", AttributeValue::Int(number)) => Some(grpc_status(&number.to_string())),
                    _ => None,
                };
                let http = match value {
                    AttributeValue::Int(number) if *column == "http_status_code" => Some(*number),
                    _ => None,
                };
                failed(*status, *kind, *column == "error_type", rpc.as_deref(), http)
            })
            .collect();
        let fixture = Fixture::mixed(&spans).await;
        let session = fixture.engine.session(fixture.engine.snapshot(&tenant())).expect("a session");
        let collect = async |sql: &str| session.context.sql(sql).await.expect(sql).collect().await.expect(sql);

        let mut failed_in_sql = Vec::new();
        for batch in collect("SELECT error FROM spans ORDER BY span_id").await {
            let column = arrow::array::AsArray::as_boolean(batch.column(0));
            failed_in_sql.extend(column.iter().map(|error| error.expect("never null")));
        }
        assert_eq!(failed_in_sql, expected);

        let columns: Vec<&str> = row::column_names().collect();
        let batches = collect(&format!("SELECT {} FROM spans ORDER BY span_id", columns.join(", "))).await;
        let failed_rows: Vec<bool> = batches.iter().flat_map(row::read).map(|row| row.is_error).collect();
        assert_eq!(failed_rows, expected);

        let range = TimeRange { start: UnixNanos(NOW.0 - 600 * UnixNanos::SECOND), end: NOW };
        let services = fixture.engine.services(&tenant(), range, Environment::ALL).await.expect("services");
        let is_request = |kind: SpanKind| matches!(kind, SpanKind::Server | SpanKind::Consumer);
        let errors = cases.iter().zip(&expected).filter(|((kind, ..), failed)| is_request(*kind) && **failed).count();
        assert_eq!(services.services.iter().map(|service| service.errors).sum::<u64>(), errors as u64);
        let name = services.services[0].name.clone();
        let service = fixture.engine.service(&tenant(), name, range, Environment::ALL).await.expect("a service");
        assert_eq!(service.total.errors, errors as u64);
    }
}
