//! The SQL behind the numbers of pages: statements over the range of the page that list or add up what a number rests on.
//!
//! Sums per minute that a page shows are within a minute of what these find: they look at single calls and deliveries.

use super::condition::{Condition, conditions};
use super::url::Unit;

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

/// Hops like one: calls of one operation, or deliveries to one group, of the last day.
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
}

impl Like {
    /// Table, column of nanoseconds, and the rows.
    fn parts(&self) -> (&'static str, &'static str, String) {
        let day = "time >= now() - INTERVAL '24 hours'";
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
            "-- {what} like this one, a day\nSELECT time_bucket('1h', time) AS hour, {figures}\nFROM {table}\nWHERE {rows}\nGROUP BY 1\nORDER BY 1"
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

/// The hits of Explore per minute, with the filter in SQL; `None` when a condition is none of those that are written here.
pub(crate) fn hits(unit: Unit, filter: &str) -> Option<String> {
    let parts = conditions(filter);
    let one = if unit == Unit::Journeys { of_journey } else { of_span };
    let mut wanted = String::new();
    for part in &parts {
        wanted.push_str("\n  AND ");
        wanted.push_str(&one(part)?);
    }
    Some(match unit {
        Unit::Journeys => format!(
            "-- Journeys\nSELECT time_bucket('1m', time) AS minute, count(*) AS journeys,\n       sum(CASE WHEN errors > 0 THEN 1 ELSE 0 END) AS with_errors,\n       approx_percentile_cont(settled, 0.5) / 1e6 AS p50_ms,\n       approx_percentile_cont(settled, 0.95) / 1e6 AS p95_ms\nFROM journeys\nWHERE {RANGE}{wanted}\nGROUP BY 1\nORDER BY 1"
        ),
        Unit::Traces | Unit::Spans => {
            let counted = if unit == Unit::Traces { "count(DISTINCT trace_id) AS traces" } else { "count(*) AS spans" };
            format!(
                "-- Hits\nSELECT time_bucket('1m', start_time) AS minute, {counted},\n       sum(CASE WHEN status_code = 2 THEN 1 ELSE 0 END) AS failed_spans,\n       approx_percentile_cont(duration_nanos, 0.5) / 1e6 AS p50_ms,\n       approx_percentile_cont(duration_nanos, 0.95) / 1e6 AS p95_ms\nFROM spans\nWHERE start_time >= $from AND start_time < $to{wanted}\nGROUP BY 1\nORDER BY 1"
            )
        }
    })
}

/// A comparison of a text; a value that may be a pattern is left to the filter. What is missing is not equal.
fn compared(column: &str, condition: &Condition) -> Option<String> {
    let value = quoted(&condition.value);
    match condition.operator.as_str() {
        _ if condition.value == "*" && !condition.text.ends_with('"') => None,
        "=" => Some(format!("{column} = {value}")),
        "!=" => Some(format!("coalesce({column}, '') <> {value}")),
        "~" if !condition.value.contains(['%', '_', '\\']) => {
            Some(format!("{column} ILIKE {}", quoted(&format!("%{}%", condition.value))))
        }
        _ => None,
    }
}

/// A time with one unit, in nanoseconds.
fn nanos(text: &str) -> Option<u64> {
    let at = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
    let (number, unit) = text.split_at(at);
    let scale = match unit {
        "ns" => 1.0,
        "us" | "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3_600e9,
        "d" => 86_400e9,
        "w" => 7.0 * 86_400e9,
        _ => return None,
    };
    Some((number.parse::<f64>().ok()? * scale).round() as u64)
}

/// A comparison of a column of nanoseconds.
fn timed(column: &str, condition: &Condition) -> Option<String> {
    let operator =
        Some(condition.operator.as_str()).filter(|operator| [">", ">=", "<", "<=", "="].contains(operator))?;
    Some(format!("{column} {operator} {}", nanos(&condition.value)?))
}

/// One of a few words that are numbers in SQL.
fn numbered(column: &str, words: &[&str], condition: &Condition) -> Option<String> {
    let at = words.iter().position(|word| *word == condition.value)?;
    match condition.operator.as_str() {
        "=" => Some(format!("{column} = {at}")),
        "!=" => Some(format!("{column} <> {at}")),
        _ => None,
    }
}

fn of_span(condition: &Condition) -> Option<String> {
    match condition.key.as_str() {
        _ if condition.operator.is_empty() => None,
        "service" => compared("service_name", condition),
        "name" => compared("name", condition),
        "status_message" => compared("status_message", condition),
        "exception" => compared("exception_type", condition),
        "duration" => timed("duration_nanos", condition),
        "status" => numbered("status_code", &["unset", "ok", "error"], condition),
        "kind" => numbered("kind", &["unspecified", "internal", "server", "client", "producer", "consumer"], condition),
        key if key.contains(':') || key.contains('"') => None,
        key => match (key.strip_prefix("span."), key.strip_prefix("resource.")) {
            (Some(key), _) => compared(&format!("attr({})", quoted(key)), condition),
            (_, Some(key)) => compared(&format!("resource_attr({})", quoted(key)), condition),
            _ if ["event.", "link.", "scope.", "point."].iter().any(|place| key.starts_with(place))
                || !key.contains('.') =>
            {
                None
            }
            _ => {
                let key = quoted(key);
                compared(&format!("coalesce(attr({key}), resource_attr({key}))"), condition)
            }
        },
    }
}

fn of_journey(condition: &Condition) -> Option<String> {
    match condition.key.strip_prefix("journey:")? {
        "name" => compared("name", condition),
        "service" => compared("service", condition),
        "protocol" => compared("protocol", condition),
        "duration" => timed("settled", condition),
        "answer" => timed("response", condition),
        "wait" => timed("wait", condition),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A filter becomes SQL where both mean the same, and nothing where they would not.
    #[test]
    fn hits_keep_their_filter() {
        let wanted = |unit: Unit, filter: &str| {
            let sql = hits(unit, filter)?;
            Some(sql.split_once("< $to")?.1.split_once("\nGROUP")?.0.replace("\n  AND ", " & "))
        };
        let spans = |filter: &str| wanted(Unit::Spans, filter);
        assert_eq!(spans("").as_deref(), Some(""));
        assert_eq!(spans("service=order status=error").as_deref(), Some(" & service_name = 'order' & status_code = 2"));
        assert_eq!(
            spans("duration>=100ms kind!=client").as_deref(),
            Some(" & duration_nanos >= 100000000 & kind <> 3")
        );
        assert_eq!(spans("name~\"it's\"").as_deref(), Some(" & name ILIKE '%it''s%'"));
        assert_eq!(
            spans("http.route=/a").as_deref(),
            Some(" & coalesce(attr('http.route'), resource_attr('http.route')) = '/a'")
        );
        for other in
            ["a or b", "word", "service=~x.*", "service=*", "event.a=1", "journey:name=x", "duration>soon", "status~e"]
        {
            assert_eq!(spans(other), None, "{other}");
        }
        let journeys = |filter: &str| wanted(Unit::Journeys, filter);
        assert_eq!(
            journeys("journey:name=\"a b\" journey:wait>1s").as_deref(),
            Some(" & name = 'a b' & wait > 1000000000")
        );
        assert_eq!(journeys("service=order"), None, "a span's condition is another question");
    }

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
            Like { queue: Some(name.to_owned()), to: name.to_owned(), group: name.to_owned(), ..Like::default() }
                .by_hour(),
            Like { from: name.to_owned(), to: name.to_owned(), op: name.to_owned(), ..Like::default() }.spread(),
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
