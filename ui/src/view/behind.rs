//! The SQL behind the numbers of pages: statements over the range of the page that list or add up what a number rests on.
//!
//! Sums per minute that a page shows are within a minute of what these find: they look at single calls and deliveries.

/// A text as SQL writes it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Rate, errors and durations of requests.
const REQUESTS: &str = "count(*) AS spans,\n       sum(CASE WHEN kind IN (2, 5) THEN 1 ELSE 0 END) AS requests,\n       sum(CASE WHEN kind IN (2, 5) AND status_code = 2 THEN 1 ELSE 0 END) AS errors,\n       approx_percentile_cont(CASE WHEN kind IN (2, 5) THEN duration_nanos END, 0.5) / 1e6 AS p50_ms,\n       approx_percentile_cont(CASE WHEN kind IN (2, 5) THEN duration_nanos END, 0.95) / 1e6 AS p95_ms";
/// Of calls.
const CALLS: &str = "count(*) AS calls,\n       sum(CASE WHEN error THEN 1 ELSE 0 END) AS errors,\n       approx_percentile_cont(dur, 0.5) / 1e6 AS p50_ms,\n       approx_percentile_cont(dur, 0.95) / 1e6 AS p95_ms";
/// Of deliveries.
const WAITS: &str = "count(*) AS deliveries,\n       sum(CASE WHEN error THEN 1 ELSE 0 END) AS errors,\n       approx_percentile_cont(lag, 0.5) / 1e6 AS p50_wait_ms,\n       approx_percentile_cont(lag, 0.95) / 1e6 AS p95_wait_ms";
const RANGE: &str = "time >= $from AND time < $to";

/// Requests of each service.
pub(crate) fn services() -> String {
    format!(
        "-- Requests by service\nSELECT service_name, {REQUESTS}\nFROM spans\nWHERE start_time >= $from AND start_time < $to\nGROUP BY 1\nORDER BY requests DESC"
    )
}

/// Requests of one service by operation.
pub(crate) fn operations(service: &str) -> String {
    format!(
        "-- Requests by operation\nSELECT name, kind, {REQUESTS}\nFROM spans\nWHERE start_time >= $from AND start_time < $to AND service_name = {}\nGROUP BY 1, 2\nORDER BY requests DESC",
        quoted(service)
    )
}

/// Requests of one service by version.
pub(crate) fn versions(service: &str) -> String {
    format!(
        "-- Requests by version\nSELECT service_version, min(start_time) AS first_span, max(start_time) AS last_span, {REQUESTS}\nFROM spans\nWHERE start_time >= $from AND start_time < $to AND service_name = {}\nGROUP BY 1\nORDER BY last_span DESC",
        quoted(service)
    )
}

/// Calls into a service, or out of it.
pub(crate) fn neighbours(service: &str, is_into: bool) -> String {
    let (own, other) = if is_into { ("dst", "src") } else { ("src", "dst") };
    let node = quoted(&format!("service:{service}"));
    format!(
        "-- Calls {}\nSELECT {other}, protocol, {CALLS}\nFROM calls\nWHERE {RANGE} AND {own} = {node}\nGROUP BY 1, 2\nORDER BY calls DESC",
        if is_into { "into it" } else { "out of it" }
    )
}

/// What an edge of the service map adds up: calls, messages sent to a queue, or deliveries out of it.
pub(crate) fn edge(source: &str, target: &str) -> String {
    let is_queue = |node: &str| node.starts_with("queue:");
    let (table, part, figures, from, to) = match (is_queue(source), is_queue(target)) {
        (true, _) => ("hops", "coalesce(grp, '') AS consumers", WAITS, "queue", "dst"),
        (false, true) => ("hops", "op", WAITS, "src", "coalesce(sent_queue, queue)"),
        (false, false) => ("calls", "op", CALLS, "src", "dst"),
    };
    format!(
        "-- One edge of the map\nSELECT time_bucket('1m', time) AS minute, {part}, {figures}\nFROM {table}\nWHERE {RANGE} AND {from} = {} AND {to} = {}\nGROUP BY 1, 2\nORDER BY 1",
        quoted(source),
        quoted(target)
    )
}

/// What a node of the service map adds up.
pub(crate) fn node(node: &str) -> String {
    match node.strip_prefix("service:") {
        Some(service) => operations(service),
        None if node.starts_with("queue:") => format!(
            "-- Deliveries out of a queue\nSELECT dst, coalesce(grp, '') AS consumers, {WAITS}\nFROM hops\nWHERE {RANGE} AND queue = {}\nGROUP BY 1, 2\nORDER BY deliveries DESC",
            quoted(node)
        ),
        None => format!(
            "-- Calls to it\nSELECT src, op, {CALLS}\nFROM calls\nWHERE {RANGE} AND dst = {}\nGROUP BY 1, 2\nORDER BY calls DESC",
            quoted(node)
        ),
    }
}

/// Hops like one: calls of one operation, or deliveries to one group. What is usual is the median of the day before.
pub(crate) fn like_hop(from: &str, to: &str, queue: Option<&str>, group: &str, op: &str) -> String {
    let day = "time >= now() - INTERVAL '24 hours'";
    match queue {
        Some(queue) => format!(
            "-- Waits like this one, a day\nSELECT time_bucket('1h', time) AS hour, {WAITS}\nFROM hops\nWHERE {day} AND queue = {} AND dst = {} AND coalesce(grp, '') = {}\nGROUP BY 1\nORDER BY 1",
            quoted(queue),
            quoted(to),
            quoted(group)
        ),
        None => format!(
            "-- Calls like this one, a day\nSELECT time_bucket('1h', time) AS hour, {CALLS}\nFROM calls\nWHERE {day} AND src = {} AND dst = {} AND op = {}\nGROUP BY 1\nORDER BY 1",
            quoted(from),
            quoted(to),
            quoted(op)
        ),
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
    use super::*;

    /// Names are text, whatever stands in them.
    #[test]
    fn names_cannot_leave_their_quotes() {
        let name = "it's'; DROP TABLE spans --";
        for sql in [
            operations(name),
            versions(name),
            neighbours(name, true),
            edge(name, "queue:a"),
            node(name),
            like_hop(name, name, Some(name), name, name),
        ] {
            let outside: String = sql.replace("''", "").split('\'').step_by(2).collect();
            assert!(!outside.contains("DROP"), "{sql}");
        }
    }

    /// An edge with a queue is about waits, one without about calls.
    #[test]
    fn edges_are_read_where_they_stand() {
        assert!(
            edge("queue:kafka/a", "service:b").contains("FROM hops")
                && edge("queue:kafka/a", "service:b").contains("queue = 'queue:kafka/a' AND dst = 'service:b'")
        );
        assert!(edge("service:a", "queue:kafka/a").contains("src = 'service:a'"));
        assert!(edge("service:a", "service:b").contains("FROM calls"));
    }
}
