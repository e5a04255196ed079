//! The SQL behind the numbers of pages: statements over the range and the environment of the page (`$env`, null for all) that list or
//! add up what a number rests on.
//!
//! What is said about edges and nodes of the service map is read where the map reads it, in the sums per minute: counts add up to
//! what the page shows; percentiles of minutes do not, so that the lowest and the highest of them stand on both sides of it.
//!
//! What Explore counts is said in `behind/hits.rs`.
//!
//! A number whose rows cannot be said exactly in SQL has no statement: `None`, and the page shows no link.

pub(crate) mod hits;

use super::clock::rfc3339;

/// A text as SQL writes it.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Rate, errors and durations of requests.
const REQUESTS: &str = "count(*) AS spans,\n       sum(CASE WHEN kind IN (2, 5) THEN 1 ELSE 0 END) AS requests,\n       sum(CASE WHEN kind IN (2, 5) AND error THEN 1 ELSE 0 END) AS errors,\n       approx_percentile_cont(CASE WHEN kind IN (2, 5) THEN duration_nanos END, 0.5) / 1e6 AS p50_ms,\n       approx_percentile_cont(CASE WHEN kind IN (2, 5) THEN duration_nanos END, 0.95) / 1e6 AS p95_ms";
/// Of calls.
const CALLS: &str = "count(*) AS calls,\n       sum(CASE WHEN error THEN 1 ELSE 0 END) AS errors,\n       approx_percentile_cont(dur, 0.5) / 1e6 AS p50_ms,\n       approx_percentile_cont(dur, 0.95) / 1e6 AS p95_ms";
/// Of deliveries.
const WAITS: &str = "count(*) AS deliveries,\n       sum(CASE WHEN error THEN 1 ELSE 0 END) AS errors,\n       approx_percentile_cont(lag, 0.5) / 1e6 AS p50_wait_ms,\n       approx_percentile_cont(lag, 0.95) / 1e6 AS p95_wait_ms";
/// Spans of the range and environment of the page.
const SPANS: &str = "start_time >= $from AND start_time < $to AND ($env IS NULL OR deployment_environment = $env)";
/// Journeys of them.
const JOURNEYS: &str = "time >= $from AND time < $to AND ($env IS NULL OR environment = $env)";

/// When each version of a service was first seen, as nanoseconds since 1970.
pub(crate) fn deploys(service: &str) -> String {
    format!(
        "-- Versions by their first span\nSELECT service_version, CAST(min(start_time) AS BIGINT) AS first_seen\nFROM spans\nWHERE start_time >= $from AND start_time < $to AND service_name = {} AND service_version IS NOT NULL\nGROUP BY 1\nORDER BY 2",
        quoted(service)
    )
}

/// Requests of each service.
pub(crate) fn services() -> String {
    format!(
        "-- Requests by service\nSELECT service_name, {REQUESTS}\nFROM spans\nWHERE {SPANS}\nGROUP BY 1\nORDER BY requests DESC"
    )
}

/// Which namespace the spans of each service say, the most frequent first.
pub(crate) fn namespaces() -> String {
    format!(
        "-- Services by namespace\nSELECT service_name, coalesce(service_namespace, k8s_namespace) AS namespace, count(*) AS spans\nFROM spans\nWHERE {SPANS}\nGROUP BY 1, 2\nORDER BY spans DESC"
    )
}

/// Requests of one service by operation.
pub(crate) fn operations(service: &str) -> String {
    format!(
        "-- Requests by operation\nSELECT name, kind, {REQUESTS}\nFROM spans\nWHERE {SPANS} AND service_name = {}\nGROUP BY 1, 2\nORDER BY requests DESC",
        quoted(service)
    )
}

/// Requests of one service by version.
pub(crate) fn versions(service: &str) -> String {
    format!(
        "-- Requests by version\nSELECT service_version, min(start_time) AS first_span, max(start_time) AS last_span, {REQUESTS}\nFROM spans\nWHERE {SPANS} AND service_name = {}\nGROUP BY 1\nORDER BY last_span DESC",
        quoted(service)
    )
}

/// Requests of one service by operation, in one version and in another.
pub(crate) fn between_versions(service: &str, version: &str, other: &str) -> String {
    let side = |version: &str, name: &str| {
        let is = format!("service_version = {}", quoted(version));
        format!(
            "count(CASE WHEN {is} THEN 1 END) AS requests{name},\n       count(CASE WHEN {is} AND error THEN 1 END) AS errors{name},\n       approx_percentile_cont(CASE WHEN {is} THEN duration_nanos END, 0.95) / 1e6 AS p95_ms{name}"
        )
    };
    format!(
        "-- Two versions, operation by operation\nSELECT name, {},\n       {}\nFROM spans\nWHERE {SPANS} AND service_name = {} AND kind IN (2, 5)\n  AND service_version IN ({}, {})\nGROUP BY name\nORDER BY count(*) DESC, name\nLIMIT 100",
        side(version, ""),
        side(other, "_other"),
        quoted(service),
        quoted(version),
        quoted(other),
    )
}

/// Spans of a service by the values of an attribute.
pub(crate) fn group_by(service: &str, key: &str, is_resource: bool) -> String {
    let value = format!("{}({})", if is_resource { "resource_attr" } else { "attr" }, quoted(key));
    format!(
        "-- By one attribute\nSELECT {value} AS value, {REQUESTS}\nFROM spans\nWHERE {SPANS} AND service_name = {}\nGROUP BY 1\nORDER BY spans DESC\nLIMIT 100",
        quoted(service)
    )
}

/// Requests of one service by running copy.
pub(crate) fn instances(service: &str) -> String {
    format!(
        "-- Requests by instance\nSELECT coalesce(service_instance_id, host_name) AS instance, max(host_name) AS host, max(service_version) AS version, max(start_time) AS last_span, {REQUESTS}\nFROM spans\nWHERE {SPANS} AND service_name = {} AND coalesce(service_instance_id, host_name) IS NOT NULL\nGROUP BY 1\nORDER BY requests DESC, last_span DESC\nLIMIT 50",
        quoted(service)
    )
}

/// What an edge adds up over the range.
const EDGES: &str = "sum(count) AS calls, sum(errors) AS errors,\n       min(p95) / 1e6 AS p95_ms_best_minute, max(p95) / 1e6 AS p95_ms_worst_minute,\n       min(lag_p95) / 1e6 AS wait_p95_ms_best_minute, max(lag_p95) / 1e6 AS wait_p95_ms_worst_minute";
/// Whole minutes of the environment, as the map counts them: the first one is all of the minute in which the range begins.
const MINUTES: &str = "time >= time_bucket('1m', $from) AND time < $to AND ($env IS NULL OR environment = $env)";

/// Calls, messages and deliveries into a service, or out of it.
pub(crate) fn neighbours(service: &str, is_into: bool) -> String {
    let (own, other) = if is_into { ("dst", "src") } else { ("src", "dst") };
    let node = quoted(&format!("service:{service}"));
    format!(
        "-- What goes {}\nSELECT {other}, protocol, system, {EDGES}\nFROM edge_minutes\nWHERE {MINUTES} AND {own} = {node}\nGROUP BY 1, 2, 3\nORDER BY calls DESC",
        if is_into { "into it" } else { "out of it" }
    )
}

/// What an edge of the service map adds up, minute by minute: calls, messages sent to a queue, messages that went from one queue
/// into another, or deliveries out of one.
pub(crate) fn edge(source: &str, target: &str, protocol: &str, system: &str) -> String {
    let (wait, calls) = match (source.starts_with("queue:"), target.starts_with("queue:")) {
        (true, true) => ("", "messages"),
        (true, false) => (", lag_p50 / 1e6 AS wait_p50_ms, lag_p95 / 1e6 AS wait_p95_ms", "deliveries"),
        (false, true) => ("", "messages"),
        (false, false) => ("", "calls"),
    };
    format!(
        "-- One edge of the map\nSELECT time, op, count AS {calls}, errors, p50 / 1e6 AS p50_ms, p95 / 1e6 AS p95_ms{wait}\nFROM edge_minutes\nWHERE {MINUTES} AND src = {} AND dst = {} AND protocol = {} AND system = {}\nORDER BY time, op",
        quoted(source),
        quoted(target),
        quoted(protocol),
        quoted(system)
    )
}

/// An edge of the service map over time, in steps of so many minutes: moment, how many, failed, the worst p95 of a minute and
/// operation, the same of the wait.
pub(crate) fn edge_over_time(edge: &api::MapEdge, step_minutes: i64) -> String {
    format!(
        "-- One edge of the map over time\nSELECT time_bucket('{step_minutes}m', time) AS moment, sum(count) AS n, sum(errors) AS errors, max(p95) AS p95, max(lag_p95) AS wait_p95\nFROM edge_minutes\nWHERE {MINUTES} AND src = {} AND dst = {} AND protocol = {} AND system = {}\nGROUP BY 1\nORDER BY 1",
        quoted(&edge.source),
        quoted(&edge.target),
        quoted(&edge.protocol),
        quoted(&edge.system)
    )
}

/// How long messages of a queue waited, by partition: consumer, partition, how many, failed, p95 and newest wait. The partition stands on
/// the span of the consumer, or of who sent it. With `consumer`, a node, of that one only.
pub(crate) fn partitions(queue: &str, consumer: Option<&str>) -> String {
    let one = consumer.map_or_else(String::new, |consumer| format!(" AND h.dst = {}", quoted(consumer)));
    // Messages may have been sent before the range, and handled after it.
    let near = "start_time BETWEEN $from - INTERVAL '1 hour' AND $to";
    let partition = "coalesce(c.messaging_partition, p.messaging_partition)";
    format!(
        "-- Wait by partition\nSELECT h.dst AS consumer, {partition} AS part, count(*) AS deliveries,\n       sum(CASE WHEN h.error THEN 1 ELSE 0 END) AS errors, approx_percentile_cont(h.lag, 0.95) AS p95, last_value(h.lag ORDER BY h.time) AS newest\nFROM hops AS h\nLEFT JOIN spans AS c ON c.trace_id = h.trace AND c.span_id = h.consumer_span AND c.messaging_partition IS NOT NULL AND c.{near}\nLEFT JOIN spans AS p ON p.trace_id = h.send_trace AND p.span_id = h.send_span AND p.messaging_partition IS NOT NULL AND p.{near}\nWHERE h.time >= $from AND h.time < $to AND ($env IS NULL OR h.environment = $env) AND h.queue = {}{one} AND {partition} IS NOT NULL\nGROUP BY 1, 2\nORDER BY p95 DESC",
        quoted(queue)
    )
}

/// What a node of the service map adds up: all that goes into it.
pub(crate) fn node(node: &str) -> String {
    format!(
        "-- What goes into it\nSELECT src, protocol, system, op, {EDGES}\nFROM edge_minutes\nWHERE {MINUTES} AND dst = {}\nGROUP BY 1, 2, 3, 4\nORDER BY calls DESC",
        quoted(node)
    )
}

/// Every edge of the service map, the slowest minute first.
pub(crate) fn edges() -> String {
    format!(
        "-- Edges of the map\nSELECT src, dst, protocol, system, {EDGES}\nFROM edge_minutes\nWHERE {MINUTES}\nGROUP BY 1, 2, 3, 4\nORDER BY greatest(coalesce(p95_ms_worst_minute, 0), coalesce(wait_p95_ms_worst_minute, 0)) DESC"
    )
}

/// Environments by the journeys that began in them, wherever the page looks.
pub(crate) fn environments() -> String {
    "-- Environments\nSELECT environment, count(*) AS journeys\nFROM journeys\nWHERE time >= $from AND time < $to AND environment IS NOT NULL\nGROUP BY 1\nORDER BY journeys DESC\nLIMIT 50".to_owned()
}

/// How many journeys began in the range.
pub(crate) fn count_journeys() -> String {
    format!("SELECT count(*) AS journeys\nFROM journeys\nWHERE {JOURNEYS}")
}

/// The journeys that took longest.
pub(crate) fn slowest_journeys() -> String {
    format!(
        "-- Slowest journeys\nSELECT time, service, name, settled / 1e6 AS settled_ms, response / 1e6 AS response_ms, wait / 1e6 AS wait_ms, error, worst_finding, hex(journey) AS journey\nFROM journeys\nWHERE {JOURNEYS}\nORDER BY settled DESC\nLIMIT 50"
    )
}

/// Around a journey: rows of its own begin within an hour of it, by whichever clock they were timed.
const AROUND_NANOS: i64 = 3_600_000_000_000;
const MINUTE_NANOS: i64 = 60_000_000_000;
/// What is usual is looked for in the day before.
const DAY_NANOS: i64 = 24 * AROUND_NANOS;

/// Rows that begin in a range of nanoseconds since 1970.
fn between(from: i64, to: i64) -> String {
    format!("time >= {} AND time < {}", quoted(&rfc3339(from)), quoted(&rfc3339(to)))
}

/// Calls and messages of a journey that began at `start` (nanoseconds since 1970) and took so long.
pub(crate) fn hops_of(journey: &str, start: i64, nanos: i64) -> String {
    let rows = format!(
        "WHERE journey = {} AND {}",
        quoted(journey),
        between(start.saturating_sub(AROUND_NANOS), start.saturating_add(nanos).saturating_add(AROUND_NANOS))
    );
    format!(
        "-- Calls and messages of one journey\nSELECT 'call' AS what, time, src, dst, op, dur / 1e6 AS ms, NULL AS wait_ms, error\nFROM calls\n{rows}\nUNION ALL\nSELECT 'message', time, src, dst, queue, (finished - received) / 1e6, lag / 1e6, error\nFROM hops\n{rows}\nORDER BY time"
    )
}

/// The way of each of these journeys to its last effect, in pieces that began between two moments.
pub(crate) fn pieces_of(journeys: &[&str], from: i64, to: i64) -> String {
    let ids = journeys.iter().map(|id| quoted(id)).collect::<Vec<_>>().join(", ");
    format!(
        "-- Where the time of these journeys went\nSELECT hex(journey) AS journey, kind, node, start, \"end\"\nFROM segments\nWHERE path = 'settled' AND {}\n  AND journey IN ({ids})\nORDER BY journey, start",
        between(from, to)
    )
}

/// The journeys of which what is usual for one is the median: those of the same entry and name in the day before it. `start` is when
/// it began, in nanoseconds since 1970.
pub(crate) fn usual_journeys(entry: &str, name: &str, start: i64) -> String {
    format!(
        "-- What is usual: the day before it\nSELECT count(*) AS journeys, approx_percentile_cont(settled, 0.5) / 1e6 AS settled_ms,\n       approx_percentile_cont(response, 0.5) / 1e6 AS response_ms, approx_percentile_cont(wait, 0.5) / 1e6 AS wait_ms\nFROM journeys\nWHERE {}\n  AND service = {} AND name = {}",
        between(start.saturating_sub(DAY_NANOS), start),
        quoted(entry.strip_prefix("service:").unwrap_or(entry)),
        quoted(name)
    )
}

/// Hops like one: calls of one operation, or deliveries to one group, of the day before it. What is usual is the median of the same day.
#[derive(Clone, Debug, Default)]
pub(crate) struct Like {
    /// Who, as a node.
    pub(crate) from: String,
    /// Whom, as a node.
    pub(crate) to: String,
    /// The queue between.
    pub(crate) queue: Option<String>,
    /// Consumer group.
    pub(crate) group: String,
    /// What was asked for.
    pub(crate) op: String,
    /// When the journey began, in nanoseconds since 1970.
    pub(crate) before: i64,
}

impl Like {
    /// Table, column of nanoseconds, and the rows.
    fn parts(&self) -> (&'static str, &'static str, String) {
        // The minute in which it began holds the hop itself.
        let end = self.before.div_euclid(MINUTE_NANOS).saturating_mul(MINUTE_NANOS);
        let day = between(self.before.saturating_sub(DAY_NANOS), end);
        match &self.queue {
            Some(queue) => (
                "hops",
                "lag",
                format!(
                    "{day} AND queue = {} AND dst = {} AND coalesce(grp, '') = {}",
                    quoted(queue),
                    quoted(&self.to),
                    quoted(&self.group)
                ),
            ),
            None => (
                "calls",
                "dur",
                format!(
                    "{day} AND src = {} AND dst = {} AND op = {}",
                    quoted(&self.from),
                    quoted(&self.to),
                    quoted(&self.op)
                ),
            ),
        }
    }

    /// Their rate, errors and durations by the hour; what is usual is the median.
    pub(crate) fn by_hour(&self) -> String {
        let (table, _, rows) = self.parts();
        let (what, figures) = if table == "hops" { ("Waits", WAITS) } else { ("Calls", CALLS) };
        format!(
            "-- {what} like this one, the day before it\nSELECT time_bucket('1h', time) AS hour, {figures}\nFROM {table}\nWHERE {rows}\nGROUP BY 1\nORDER BY 1"
        )
    }

    /// How many took how long.
    pub(crate) fn spread(&self) -> String {
        let (table, nanos, rows) = self.parts();
        format!(
            "SELECT duration_bucket({nanos}) AS nanos, count(*) AS hops\nFROM {table}\nWHERE {rows}\nGROUP BY 1\nORDER BY 1"
        )
    }
}

/// Where the time of a journey went: the pieces of its critical path.
pub(crate) fn critical_path(journey: &str) -> String {
    format!("-- Where the time went\nSELECT *\nFROM critical_path({})", quoted(journey))
}

/// The spans of a trace.
pub(crate) fn spans(trace: &str) -> String {
    format!(
        "-- Spans of one trace\nSELECT depth, service, name, kind, start_time, duration_nanos / 1e6 AS ms, self_nanos / 1e6 AS self_ms, error_type, span_id, parent_span_id\nFROM trace({})\nORDER BY start_time",
        quoted(trace)
    )
}

#[cfg(test)]
mod tests {
    use api::AttributePlace;

    use super::super::url::Unit;
    use super::*;

    /// Names are text, whatever stands in them.
    #[test]
    fn names_cannot_leave_their_quotes() {
        let name = "it's'; DROP TABLE spans --";
        for sql in [
            operations(name),
            versions(name),
            instances(name),
            between_versions(name, name, name),
            group_by(name, name, true),
            neighbours(name, true),
            edge(name, "queue:a", name, name),
            node(name),
            partitions(name, Some(name)),
            hops_of(name, 0, 1),
            usual_journeys(name, name, 0),
            hits::facet(Unit::Spans, "", AttributePlace::Span, name).unwrap_or_default(),
            Like { queue: Some(name.to_owned()), to: name.to_owned(), group: name.to_owned(), ..Like::default() }
                .by_hour(),
            Like { from: name.to_owned(), to: name.to_owned(), op: name.to_owned(), ..Like::default() }.spread(),
        ] {
            let outside: String = sql.replace("''", "").split('\'').step_by(2).collect();
            assert!(!outside.contains("DROP"), "{sql}");
        }
    }

    /// The histogram of a hop is of the day that its usual is the median of.
    #[test]
    fn hops_like_one_are_of_the_day_before_it() {
        let before = super::super::clock::parse("2026-11-21T10:00:30.5Z", 0).expect("a moment");
        let sql = Like { before, op: "GET /a".to_owned(), ..Like::default() }.spread();
        assert!(sql.contains("time >= '2026-11-20T10:00:30.500Z' AND time < '2026-11-21T10:00:00.000Z'"), "{sql}");
    }

    /// Edges and nodes are read where the map reads them: sends, routes and deliveries are edges like calls.
    #[test]
    fn edges_are_read_where_the_map_reads_them() {
        for (source, target, counted) in [
            ("queue:kafka/a", "service:b", "AS deliveries"),
            ("service:a", "queue:kafka/a", "AS messages"),
            ("queue:sns/a", "queue:sqs/b", "AS messages"),
            ("service:a", "service:b", "AS calls"),
        ] {
            let sql = edge(source, target, "p", "s");
            assert!(sql.contains("FROM edge_minutes") && sql.contains(counted), "{sql}");
            assert!(sql.contains(&format!("src = '{source}' AND dst = '{target}' AND protocol = 'p'")), "{sql}");
        }
        assert!(node("queue:kafka/a").contains("dst = 'queue:kafka/a'"));
        assert!(neighbours("a", true).contains("SELECT src") && neighbours("a", true).contains("dst = 'service:a'"));
        assert!(neighbours("a", false).contains("SELECT dst") && neighbours("a", false).contains("src = 'service:a'"));
    }
}
