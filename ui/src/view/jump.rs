//! What a text in the search box asks for.

use model::{SpanId, TraceId};

use super::condition;

/// Where the search box leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Jump {
    /// To a trace, and to a span in it when one was named.
    Trace(TraceId, Option<SpanId>),
    /// To Explore with this filter, rows are spans.
    Filter(String),
}

/// Reads a trace id, a span id, a W3C `traceparent`, `trace/span` as in our URLs, a filter, or free text. `None` when empty.
///
/// Ids are taken in any case, with dashes or a `0x` in front, out of quotes: as logs print them. Text
/// that holds an operator is a filter already; any other text is looked for in span names.
pub(crate) fn jump(text: &str) -> Option<Jump> {
    let text = text.trim().trim_matches(['"', '\'', '`']).trim();
    if text.is_empty() {
        return None;
    }
    let path = text.rsplit_once("/t/").map_or(text, |(_, path)| path);
    let path = path.split(['?', '#']).next().unwrap_or(path);
    let mut parts = path.split('/');
    if let (Some(trace), span) = (parts.next().and_then(trace_id), parts.next()) {
        return Some(Jump::Trace(trace, span.and_then(SpanId::from_hex)));
    }
    if let [_, trace, span, _] = text.split('-').collect::<Vec<_>>()[..]
        && let (Some(trace), Some(span)) = (TraceId::from_hex(trace), SpanId::from_hex(span))
    {
        return Some(Jump::Trace(trace, Some(span)));
    }
    if let Some(span) = SpanId::from_hex(text) {
        return Some(Jump::Filter(condition::write("span_id", "=", &span.to_hex())));
    }
    if condition::conditions(text).iter().any(|condition| !condition.operator.is_empty()) {
        return Some(Jump::Filter(text.to_owned()));
    }
    Some(Jump::Filter(condition::write("name", "~", text)))
}

fn trace_id(text: &str) -> Option<TraceId> {
    let text = text.strip_prefix("0x").unwrap_or(text);
    TraceId::from_hex(text).or_else(|| TraceId::from_hex(&text.replace('-', "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "5b8efff798038103d269b633813fc60c";
    const SPAN: &str = "eee19b7ec3c1b174";

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let found = match jump(text) {
            Some(Jump::Trace(trace, Some(span))) => Some(format!("trace {trace} span {span}")),
            Some(Jump::Trace(trace, None)) => Some(format!("trace {trace}")),
            Some(Jump::Filter(filter)) => Some(filter),
            None => None,
        };
        assert_eq!(found.as_deref(), expected, "{text}");
    }

    #[test]
    fn ids_are_taken_as_logs_print_them() {
        let trace = format!("trace {TRACE}");
        let both = format!("trace {TRACE} span {SPAN}");
        check(TRACE, Some(&trace));
        check(&format!(" \"{}\" ", TRACE.to_uppercase()), Some(&trace));
        check(&format!("0x{TRACE}"), Some(&trace));
        check("5b8efff7-9803-8103-d269-b633813fc60c", Some(&trace));
        check(&format!("00-{TRACE}-{SPAN}-01"), Some(&both));
        check(&format!("{TRACE}/{SPAN}"), Some(&both));
        check(&format!("http://127.0.0.1:4319/t/{TRACE}/{SPAN}?x=1-2"), Some(&both));
    }

    #[test]
    fn the_rest_is_a_filter() {
        check("service=cart status=error", Some("service=cart status=error"));
        check("POST /v1/orders", Some("name~\"POST /v1/orders\""));
        check(SPAN, Some(&format!("span_id={SPAN}")));
        check("   ", None);
    }
}
