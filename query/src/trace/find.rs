//! `GET /api/traces/{id}/find?q=`: spans that hold a text.

use api::FindAnswer;
use model::{Attribute, SpanId};

use super::assemble::{Link, assemble};
use super::span::Span;

/// Ids in an answer.
const IDS_MAX: usize = 10_000;

/// Spans that hold `text` in name, service, id, attributes, events or status message, any case; in tree order.
///
/// Empty text finds nothing. Cost: linear in the text of the trace.
pub(super) fn find(spans: &[Span], text: &str) -> FindAnswer {
    let wanted = text.trim().to_lowercase();
    if wanted.is_empty() {
        return FindAnswer::default();
    }
    let links: Vec<Link> =
        spans.iter().map(|span| Link { id: span.span_id, parent: span.parent, start: span.start }).collect();
    let found = assemble(&links).into_iter().map(|node| &spans[node.row]).filter(|span| holds(span, &wanted));
    let mut span_ids: Vec<SpanId> = found.map(|span| span.span_id).take(IDS_MAX + 1).collect();
    let incomplete = span_ids.len() > IDS_MAX;
    span_ids.truncate(IDS_MAX);
    span_ids.dedup();
    FindAnswer { span_ids, incomplete }
}

fn holds(span: &Span, wanted: &str) -> bool {
    let in_text = |text: &str| text.to_lowercase().contains(wanted);
    let in_attributes =
        |list: &[Attribute]| list.iter().any(|entry| in_text(&entry.key) || in_text(&entry.value.to_display()));
    in_text(&span.name)
        || in_text(&span.service)
        || in_text(&span.status_message)
        || span.span_id.to_hex().contains(wanted)
        || in_attributes(&span.attributes)
        || span.events.iter().any(|event| in_text(&event.name) || in_attributes(&event.attributes))
}
