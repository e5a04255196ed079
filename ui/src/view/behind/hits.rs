//! The SQL behind Explore: its hits, their picture, their facets, and a rule that fires on them.
//!
//! The filter is written as SQL only where both mean the same; what cannot be said exactly has no statement (`None`).

use api::AttributePlace;
use model::semconv::{self, On};

use super::super::condition::{Condition, conditions};
use super::super::url::{Plot, Sort, Unit};
use super::quoted;

/// The rows that Explore counts: table, condition, and what there is about one row.
struct Counted {
    /// `FROM` and `WHERE`.
    rows: String,
    /// The column of what is plotted, in nanoseconds.
    nanos: &'static str,
    /// When it began.
    time: &'static str,
    /// It failed.
    is_error: &'static str,
}

/// `None` when a condition of the filter is none of those that are written here: then SQL would find others.
fn counted(unit: Unit, plot: Plot, filter: &str) -> Option<Counted> {
    let one = if unit == Unit::Journeys { of_journey } else { of_span };
    let mut wanted = String::new();
    for part in &conditions(filter) {
        if has_bracket(&part.text) {
            return None;
        }
        wanted.push_str("\n  AND ");
        wanted.push_str(&one(part)?);
    }
    const SPANS: &str = "start_time >= $from AND start_time < $to";
    const RANGE: &str = "time >= $from AND time < $to";
    let spans =
        |rows: String| Counted { rows, nanos: "duration_nanos", time: "start_time", is_error: "status_code = 2" };
    Some(match unit {
        Unit::Journeys => Counted {
            rows: format!("FROM journeys\nWHERE {RANGE}{wanted}"),
            nanos: match plot {
                Plot::LastEffect => "settled",
                Plot::Answer => "response",
                Plot::Wait => "wait",
            },
            time: "time",
            is_error: "error",
        },
        Unit::Spans => spans(format!("FROM spans\nWHERE {SPANS}{wanted}")),
        Unit::Traces if wanted.is_empty() => spans(format!("FROM spans\nWHERE {SPANS} AND parent_span_id IS NULL")),
        // A trace is told by its root; any of its spans may be what was looked for.
        Unit::Traces => spans(format!(
            "FROM spans\nWHERE {SPANS} AND parent_span_id IS NULL AND trace_id IN (\n  SELECT trace_id\n  FROM spans\n  WHERE {SPANS}{})",
            wanted.replace('\n', "\n  ")
        )),
    })
}

/// A bracket outside of quotes: conditions that belong together.
fn has_bracket(text: &str) -> bool {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.chars().any(|letter| {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = is_quoted,
            '"' => is_quoted = !is_quoted,
            '(' | ')' => return !is_quoted,
            _ => {}
        }
        false
    })
}

/// What Explore says about its hits: how many, how many failed, how long they took; `None` when SQL would say something else.
pub(crate) fn hits(unit: Unit, plot: Plot, filter: &str) -> Option<String> {
    let Counted { rows, nanos, is_error, .. } = counted(unit, plot, filter)?;
    let noun = unit.name();
    Some(format!(
        "-- Figures of these {noun}\nSELECT count(*) AS {noun}, sum(CASE WHEN {is_error} THEN 1 ELSE 0 END) AS failed,\n       approx_percentile_cont({nanos}, 0.5) / 1e6 AS p50_ms,\n       approx_percentile_cont({nanos}, 0.95) / 1e6 AS p95_ms,\n       approx_percentile_cont({nanos}, 0.99) / 1e6 AS p99_ms\n{rows}"
    ))
}

/// The list of Explore: the rows themselves, as it orders them; `None` as for [`hits`], and for traces by what their spans add up to.
pub(crate) fn rows(unit: Unit, plot: Plot, filter: &str, sort: Sort) -> Option<String> {
    let Counted { rows, time, .. } = counted(unit, plot, filter)?;
    let columns = match unit {
        Unit::Journeys => {
            "time, service, name, settled / 1e6 AS settled_ms, response / 1e6 AS response_ms, wait / 1e6 AS wait_ms, error, worst_finding, hex(journey) AS journey"
        }
        Unit::Traces | Unit::Spans => {
            "start_time, service_name, name, kind, duration_nanos / 1e6 AS ms, status_code, hex(trace_id) AS trace, hex(span_id) AS span"
        }
    };
    let order = match (unit, sort) {
        (_, Sort::Newest) | (Unit::Spans, Sort::Errors) => time,
        (Unit::Journeys, Sort::Slowest) => "settled",
        (Unit::Journeys, Sort::Errors) => "errors",
        (Unit::Spans, Sort::Slowest) => "duration_nanos",
        // Failed spans and time to the last end are those of a whole trace, which this statement does not read.
        (Unit::Traces, Sort::Slowest | Sort::Errors) => return None,
    };
    Some(format!("-- These {}\nSELECT {columns}\n{rows}\nORDER BY {order} DESC\nLIMIT 200", unit.name()))
}

/// The picture of Explore: hits by minute and duration; `None` as for [`hits`].
pub(crate) fn picture(unit: Unit, plot: Plot, filter: &str) -> Option<String> {
    let Counted { rows, nanos, time, is_error } = counted(unit, plot, filter)?;
    let noun = unit.name();
    Some(format!(
        "-- These {noun} over time and duration\nSELECT time_bucket('1m', {time}) AS minute, duration_bucket({nanos}) AS nanos,\n       count(*) AS {noun}, sum(CASE WHEN {is_error} THEN 1 ELSE 0 END) AS failed\n{rows}\nGROUP BY 1, 2\nORDER BY 1, 2"
    ))
}

/// A statement that finds something while hits take as long as the selected ones: the condition of an alert rule; `None` as for
/// [`hits`].
pub(crate) fn alert_on(unit: Unit, plot: Plot, filter: &str, least: u64, most: u64) -> Option<String> {
    let Counted { rows, nanos, .. } = counted(unit, plot, filter)?;
    let least = if least > 0 { format!("\n  AND {nanos} >= {least}") } else { String::new() };
    let most = if most < u64::MAX { format!("\n  AND {nanos} < {most}") } else { String::new() };
    Some(format!("SELECT count(*) AS value\n{rows}{least}{most}\nHAVING count(*) > 0"))
}

/// How often each value of an attribute stands on the hits of Explore; `None` as for [`hits`], and for what journeys hold lists of.
pub(crate) fn facet(unit: Unit, filter: &str, place: AttributePlace, key: &str) -> Option<String> {
    let Counted { rows, .. } = counted(unit, Plot::Answer, filter)?;
    // Facets count a promoted attribute in its column, as it is of the type of the conventions.
    let column = semconv::find(key).filter(|_| place != AttributePlace::Field).and_then(|convention| convention.column);
    let value = match (place, unit) {
        (AttributePlace::Span | AttributePlace::Resource, _) if column.is_some() => {
            column.unwrap_or_default().to_owned()
        }
        (AttributePlace::Span, _) => format!("attr({})", quoted(key)),
        (AttributePlace::Resource, _) => format!("resource_attr({})", quoted(key)),
        (AttributePlace::Field, Unit::Journeys) => match key {
            "journey:status" => "CASE WHEN error THEN 'error' ELSE 'ok' END",
            "journey:service" => "service",
            "journey:name" => "name",
            "journey:protocol" => "protocol",
            "journey:result" => "status",
            "journey:finding" => "worst_finding",
            _ => return None,
        }
        .to_owned(),
        (AttributePlace::Field, Unit::Spans | Unit::Traces) => match key {
            "status" => "status(status_code)",
            "service" => "service_name",
            "name" => "name",
            "kind" => "span_kind(kind)",
            "exception" => "exception_type",
            _ => return None,
        }
        .to_owned(),
    };
    let noun = unit.name();
    Some(format!(
        "-- These {noun} by one attribute\nSELECT {value} AS value, count(*) AS {noun}\n{rows}\n  AND {value} IS NOT NULL\nGROUP BY 1\nORDER BY 2 DESC, 1"
    ))
}

/// A comparison of a text; a value that may be a pattern is left to the filter. What is missing is not equal.
fn compared(column: &str, condition: &Condition) -> Option<String> {
    let value = quoted(&condition.value);
    match condition.operator.as_str() {
        _ if condition.value == "*" && !condition.text.ends_with('"') => None,
        "=" => Some(format!("{column} = {value}")),
        "!=" => Some(format!("{column} IS DISTINCT FROM {value}")),
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
        "!=" => Some(format!("{column} IS DISTINCT FROM {at}")),
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
                let on_span = compared(&format!("attr({})", quoted(key)), condition)?;
                // What the conventions put on spans is looked for there alone; all else may stand on the resource, too.
                if semconv::find(key).is_some_and(|convention| convention.on == On::Item) {
                    return Some(on_span);
                }
                let on_resource = compared(&format!("resource_attr({})", quoted(key)), condition)?;
                let joint = if condition.operator == "!=" { "AND" } else { "OR" };
                Some(format!("({on_span} {joint} {on_resource})"))
            }
        },
    }
}

fn of_journey(condition: &Condition) -> Option<String> {
    match condition.key.strip_prefix("journey:")? {
        "name" => compared("name", condition),
        "service" => compared("service", condition),
        "protocol" => compared("protocol", condition),
        "result" => compared("status", condition),
        "finding" => compared("worst_finding", condition),
        "status" => match (condition.operator.as_str(), condition.value.as_str()) {
            ("=", "error") | ("!=", "ok") => Some("error".to_owned()),
            ("=", "ok") | ("!=", "error") => Some("NOT error".to_owned()),
            _ => None,
        },
        // Nodes have no letters that JSON writes in another way; what has is left to the filter.
        "queue" if condition.operator == "=" && condition.value != "*" && !condition.value.contains(['"', '\\']) => {
            Some(format!("strpos(queues, {}) > 0", quoted(&format!("\"{}\"", condition.value))))
        }
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
            let sql = picture(unit, Plot::LastEffect, filter)?;
            Some(sql.split_once("< $to")?.1.split_once("\nGROUP")?.0.replace("\n  AND ", " & "))
        };
        let spans = |filter: &str| wanted(Unit::Spans, filter);
        assert_eq!(spans("").as_deref(), Some(""));
        assert_eq!(spans("service=order status=error").as_deref(), Some(" & service_name = 'order' & status_code = 2"));
        assert_eq!(
            spans("duration>=100ms kind!=client").as_deref(),
            Some(" & duration_nanos >= 100000000 & kind IS DISTINCT FROM 3")
        );
        assert_eq!(spans("name~\"it's\"").as_deref(), Some(" & name ILIKE '%it''s%'"));
        assert_eq!(spans("http.route=/a").as_deref(), Some(" & attr('http.route') = '/a'"));
        assert_eq!(
            spans("shop.tier=a").as_deref(),
            Some(" & (attr('shop.tier') = 'a' OR resource_attr('shop.tier') = 'a')")
        );
        assert_eq!(
            spans("shop.tier!=a").as_deref(),
            Some(" & (attr('shop.tier') IS DISTINCT FROM 'a' AND resource_attr('shop.tier') IS DISTINCT FROM 'a')")
        );
        assert_eq!(spans("name=\"f(x)\"").as_deref(), Some(" & name = 'f(x)'"), "a bracket in quotes is text");
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
        assert_eq!(
            journeys("journey:status!=ok journey:queue=queue:kafka/a_b").as_deref(),
            Some(" & error & strpos(queues, '\"queue:kafka/a_b\"') > 0")
        );
        assert_eq!(journeys("service=order"), None, "a span's condition is another question");
    }

    /// What stands in brackets belongs together, also when nothing else is there: it is left to the filter.
    #[test]
    fn brackets_are_left_to_the_filter() {
        for filter in
            ["(service=order)", "(service.name=a)", "(a.b=1", "a.b=1)", "(a.b=1 c.d=2)", "service=order (a.b=1)"]
        {
            for unit in [Unit::Spans, Unit::Traces] {
                assert_eq!(hits(unit, Plot::LastEffect, filter), None, "{filter}");
            }
        }
        assert_eq!(hits(Unit::Journeys, Plot::Wait, "(journey:name=a)"), None);
    }

    /// The statement counts what Explore counts: the plotted value of journeys and whether their root failed, roots of traces.
    #[test]
    fn figures_are_of_what_is_plotted() {
        for (plot, column) in [(Plot::LastEffect, "settled"), (Plot::Answer, "response"), (Plot::Wait, "wait")] {
            let sql = hits(Unit::Journeys, plot, "").expect("no filter is always said");
            assert!(sql.contains(&format!("approx_percentile_cont({column}, 0.95)")), "{sql}");
            assert!(sql.contains("CASE WHEN error THEN"), "{sql}");
            let sql = picture(Unit::Journeys, plot, "").expect("no filter is always said");
            assert!(sql.contains(&format!("duration_bucket({column})")), "{sql}");
        }
        let all = hits(Unit::Traces, Plot::LastEffect, "").expect("no filter is always said");
        assert!(all.ends_with("AND parent_span_id IS NULL"), "{all}");
        let some = hits(Unit::Traces, Plot::LastEffect, "service=a kind=client").expect("both are columns");
        let (roots, matching) =
            some.split_once("AND parent_span_id IS NULL AND trace_id IN (").expect("roots of matches");
        assert!(roots.contains("count(*) AS traces") && !roots.contains("service_name"), "{some}");
        assert!(matching.contains("service_name = 'a'") && matching.contains("kind = 3"), "{some}");
    }

    /// A selection becomes a condition: as long as the hits in it took.
    #[test]
    fn a_selection_becomes_a_condition() {
        let sql = alert_on(Unit::Journeys, Plot::Wait, "journey:name=a", 5_000, u64::MAX).expect("columns");
        assert!(
            sql.starts_with("SELECT count(*) AS value\nFROM journeys")
                && sql.ends_with("AND wait >= 5000\nHAVING count(*) > 0"),
            "{sql}"
        );
        let sql = alert_on(Unit::Spans, Plot::Answer, "", 0, 9).expect("columns");
        assert!(sql.contains("AND duration_nanos < 9\n") && !sql.contains(">= 0"), "{sql}");
        assert_eq!(alert_on(Unit::Spans, Plot::Answer, "a or b", 0, 9), None);
    }

    /// The list as a statement: the same rows, the same order, whatever is plotted; what SQL cannot say has none.
    #[test]
    fn the_list_is_a_statement() {
        let sql = rows(Unit::Journeys, Plot::Wait, "journey:name=a", Sort::Slowest).expect("a column");
        assert!(sql.contains("AND name = 'a'") && sql.ends_with("ORDER BY settled DESC\nLIMIT 200"), "{sql}");
        let sql = rows(Unit::Journeys, Plot::Wait, "", Sort::Errors).expect("no filter is always said");
        assert!(sql.ends_with("ORDER BY errors DESC\nLIMIT 200"), "{sql}");
        assert!(rows(Unit::Traces, Plot::Wait, "", Sort::Newest).is_some());
        assert_eq!(rows(Unit::Traces, Plot::Wait, "", Sort::Slowest), None);
        let sql = rows(Unit::Spans, Plot::Wait, "", Sort::Newest).expect("no filter is always said");
        assert!(sql.contains("FROM spans") && sql.contains("ORDER BY start_time DESC"), "{sql}");
        assert_eq!(rows(Unit::Spans, Plot::Wait, "a or b", Sort::Newest), None);
    }

    /// A facet counts the same rows by its value; a list in a journey has none.
    #[test]
    fn facets_count_the_hits() {
        let sql = facet(Unit::Spans, "service=a", AttributePlace::Field, "status").expect("a column");
        assert!(sql.contains("SELECT status(status_code) AS value, count(*) AS spans\nFROM spans"), "{sql}");
        assert!(sql.contains("AND service_name = 'a'"), "{sql}");
        let sql = facet(Unit::Traces, "", AttributePlace::Resource, "it's").expect("an attribute");
        assert!(sql.contains("resource_attr('it''s') IS NOT NULL") && sql.contains("parent_span_id IS NULL"), "{sql}");
        let sql = facet(Unit::Spans, "", AttributePlace::Span, "http.route").expect("a column of its own");
        assert!(sql.contains("SELECT http_route AS value"), "{sql}");
        assert_eq!(facet(Unit::Journeys, "", AttributePlace::Field, "journey:queue"), None);
        assert_eq!(facet(Unit::Spans, "a or b", AttributePlace::Field, "status"), None);
    }
}
