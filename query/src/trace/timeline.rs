//! `GET /api/traces/{id}/timeline`: structure first and in columns, from rows and nothing else.

use std::collections::HashMap;

use api::{Timeline, TimelineSpans, span_flag};
use model::TraceId;

use super::assemble::{Link, Mark, assemble};
use super::load::Light;
use super::row::SpanRow;

/// The waterfall's columns. Cost: O(n log n) for n spans.
pub(super) fn timeline(trace_id: TraceId, loaded: &Light) -> Timeline {
    let rows = &loaded.rows;
    let links: Vec<Link> =
        rows.iter().map(|row| Link { id: row.span_id, parent: row.parent, start: row.start }).collect();
    let nodes = assemble(&links);
    let start = rows.iter().map(|row| row.start).min().unwrap_or_default();
    let end = rows.iter().map(SpanRow::end).max().unwrap_or_default();

    let mut services = Interner::default();
    for row in rows {
        services.index(&row.service); // rows stand by start: first appearance first
    }
    let mut texts = Interner::default();
    texts.index("");
    let mut spans = TimelineSpans::default();
    for node in &nodes {
        let row = &rows[node.row];
        spans.span_id.push(row.span_id);
        spans.parent.push(node.parent.and_then(|parent| i32::try_from(parent).ok()).unwrap_or(-1));
        spans.depth.push(node.depth);
        spans.start_nanos.push(row.start.abs_diff(start));
        spans.duration_nanos.push(row.duration.unsigned_abs());
        spans.service.push(services.index(&row.service));
        spans.name.push(texts.index(&row.name));
        spans.badge.push(texts.index(&row.badge));
        spans.detail.push(texts.index(&row.detail));
        spans.kind.push(u8::try_from(row.kind).unwrap_or_default());
        let flags = [
            (row.is_error, span_flag::ERROR),
            (row.events > 0, span_flag::EVENTS),
            (row.links > 0, span_flag::LINKS),
            (node.mark == Mark::Orphan, span_flag::ORPHAN),
            (loaded.twice.contains(&row.span_id), span_flag::ID_TWICE),
            (!row.repairs.is_empty(), span_flag::REPAIRED),
        ];
        spans.flags.push(flags.iter().filter(|(is_set, _)| *is_set).fold(0, |bits, (_, bit)| bits | bit));
    }
    Timeline {
        trace_id,
        start_unix_nano: start.to_string(),
        duration_nanos: end.abs_diff(start),
        services: services.texts,
        texts: texts.texts,
        warnings: warnings(
            loaded,
            &nodes
                .iter()
                .map(|node| (node.mark, node.parent.map(|parent| nodes[parent].row), node.row))
                .collect::<Vec<_>>(),
        ),
        spans,
        spans_total: loaded.total,
        incomplete: loaded.incomplete.0,
        incomplete_reason: loaded.incomplete.1.clone(),
    }
}

/// What to know about the trace, each as one sentence; `places` are mark, parent's row and own row.
fn warnings(loaded: &Light, places: &[(Mark, Option<usize>, usize)]) -> Vec<String> {
    let rows = &loaded.rows;
    let n_orphans = places.iter().filter(|(mark, _, _)| *mark == Mark::Orphan).count();
    let n_cycles = places.iter().filter(|(mark, _, _)| *mark == Mark::Cycle).count();
    let starts_early = |(_, parent, row): &&(Mark, Option<usize>, usize)| {
        parent.is_some_and(|parent| rows[*row].start < rows[parent].start)
    };
    let n_early = places.iter().filter(starts_early).count();
    let n_repaired = rows.iter().filter(|row| !row.repairs.is_empty()).count();
    let plural = |n: usize| if n == 1 { "span" } else { "spans" };
    [
        (n_orphans, format!("{n_orphans} {} name a parent that is not stored", plural(n_orphans))),
        (n_cycles, format!("{n_cycles} {} are their own ancestors; the tree was cut there", plural(n_cycles))),
        (n_early, format!("{n_early} {} start before their parent: clocks disagree", plural(n_early))),
        (loaded.twice.len(), format!("{} span ids stand for different spans", loaded.twice.len())),
        (n_repaired, format!("{n_repaired} {} were mended on entry", plural(n_repaired))),
    ]
    .into_iter()
    .filter(|(n, _)| *n > 0)
    .map(|(_, text)| text)
    .collect()
}

/// Distinct texts by first appearance.
#[derive(Debug, Default)]
struct Interner {
    texts: Vec<String>,
    index_of: HashMap<String, u32>,
}

impl Interner {
    fn index(&mut self, text: &str) -> u32 {
        if let Some(index) = self.index_of.get(text) {
            return *index;
        }
        let index = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push(text.to_owned());
        self.index_of.insert(text.to_owned(), index);
        index
    }
}
