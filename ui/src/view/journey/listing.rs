//! The spans of a journey as a table: one by one, or added up by operation or service.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt::Write as _;

use super::facts::Facts;
use crate::view::format;

/// What one row stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Group {
    /// A span.
    #[default]
    Span,
    /// All spans of one service and name.
    Operation,
    /// All spans of one service.
    Service,
}

impl Group {
    /// All, with their names in the URL and on the page.
    pub(crate) const ALL: [(Self, &str, &str); 3] = [
        (Self::Span, "span", "Spans"),
        (Self::Operation, "operation", "Operations"),
        (Self::Service, "service", "Services"),
    ];
}

/// What rows are ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Key {
    /// When the first began.
    #[default]
    Start,
    /// Service, then name.
    Name,
    /// How many.
    Count,
    /// Time from start to end.
    Total,
    /// Time in which no child ran.
    Own,
    /// 95th percentile.
    P95,
    /// Time on the critical path.
    Share,
    /// Failures.
    Errors,
}

impl Key {
    /// All, with their names in the URL.
    pub(crate) const ALL: [(Self, &str); 8] = [
        (Self::Start, "start"),
        (Self::Name, "name"),
        (Self::Count, "count"),
        (Self::Total, "total"),
        (Self::Own, "self"),
        (Self::P95, "p95"),
        (Self::Share, "share"),
        (Self::Errors, "errors"),
    ];
}

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    /// Whose, by position in the nodes.
    pub(crate) node: usize,
    /// What it does; the number of operations for a service.
    pub(crate) name: String,
    /// Badge of the first.
    pub(crate) badge: String,
    /// The slowest of its spans.
    pub(crate) slowest: usize,
    /// Start of the first after the journey's start, in nanoseconds.
    pub(crate) start: f64,
    /// Spans.
    pub(crate) count: u64,
    /// Nanoseconds from start to end, summed.
    pub(crate) total: f64,
    /// Nanoseconds in which no child ran, summed.
    pub(crate) own: f64,
    /// 95th percentile of the durations.
    pub(crate) p95: f64,
    /// Nanoseconds on the critical path.
    pub(crate) share: f64,
    /// Spans that failed.
    pub(crate) errors: u64,
    /// Why the first of them failed; empty when none did.
    pub(crate) why: String,
}

/// The rows that hold `needle` in name or service, in order. Cost: O(n log n) for the spans.
pub(crate) fn lines(facts: &Facts, group: Group, key: Key, descending: bool, needle: &str) -> Vec<Line> {
    let needle = needle.trim().to_lowercase();
    let mut share = vec![0.0; facts.spans.len()];
    for piece in &facts.settled {
        share[piece.span] += piece.nanos;
    }
    let mut places: HashMap<(usize, &str, usize), usize> = HashMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (at, span) in facts.spans.iter().enumerate() {
        let key = match group {
            Group::Span => (0, "", at),
            Group::Operation => (span.node, span.name.as_str(), 0),
            Group::Service => (span.node, "", 0),
        };
        let place = *places.entry(key).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[place].push(at);
    }
    let mut lines: Vec<Line> = groups
        .into_iter()
        .map(|spans| line(facts, group, &spans, &share))
        .filter(|line| {
            needle.is_empty()
                || line.name.to_lowercase().contains(&needle)
                || facts.label(line.node).to_lowercase().contains(&needle)
        })
        .collect();
    let name = |line: &Line| (facts.label(line.node).to_lowercase(), line.name.to_lowercase());
    lines.sort_by(|a, b| {
        let order = match key {
            Key::Start => a.start.total_cmp(&b.start),
            Key::Name => name(a).cmp(&name(b)),
            Key::Count => a.count.cmp(&b.count),
            Key::Total => a.total.total_cmp(&b.total),
            Key::Own => a.own.total_cmp(&b.own),
            Key::P95 => a.p95.total_cmp(&b.p95),
            Key::Share => a.share.total_cmp(&b.share),
            Key::Errors => a.errors.cmp(&b.errors),
        };
        if descending && order != Ordering::Equal { order.reverse() } else { order }
    });
    lines
}

fn line(facts: &Facts, group: Group, spans: &[usize], share: &[f64]) -> Line {
    let length = |at: usize| facts.spans[at].end - facts.spans[at].start;
    let mut lengths: Vec<f64> = spans.iter().map(|at| length(*at)).collect();
    lengths.sort_unstable_by(f64::total_cmp);
    let rank = (lengths.len() * 95).div_ceil(100).saturating_sub(1);
    let slowest = spans.iter().copied().max_by(|a, b| length(*a).total_cmp(&length(*b))).unwrap_or_default();
    let first = &facts.spans[spans.first().copied().unwrap_or_default()];
    let failed = spans.iter().map(|at| &facts.spans[*at]).filter(|span| span.failed);
    Line {
        node: first.node,
        name: match group {
            Group::Service => {
                let names: std::collections::HashSet<&str> =
                    spans.iter().map(|at| facts.spans[*at].name.as_str()).collect();
                format::counted(names.len() as u64, "operation")
            }
            _ => first.name.clone(),
        },
        badge: first.badge.clone(),
        slowest,
        start: spans.iter().map(|at| facts.spans[*at].start).fold(f64::INFINITY, f64::min),
        count: spans.len() as u64,
        total: lengths.iter().sum(),
        own: spans.iter().map(|at| facts.spans[*at].own).sum(),
        p95: lengths.get(rank).copied().unwrap_or_default(),
        share: spans.iter().map(|at| share[*at]).sum(),
        errors: failed.clone().count() as u64,
        why: failed.map(|span| span.why.clone()).next().unwrap_or_default(),
    }
}

/// The rows as CSV (RFC 4180); durations in nanoseconds. A field that a spreadsheet would run gets a quote in front.
pub(crate) fn csv(facts: &Facts, lines: &[Line]) -> String {
    let mut text =
        "service,name,start_nanos,spans,total_nanos,self_nanos,p95_nanos,critical_path_nanos,errors,slowest_span\r\n"
            .to_owned();
    for line in lines {
        let _ = write!(
            text,
            "{},{},{:.0},{},{:.0},{:.0},{:.0},{:.0},{},{}\r\n",
            field(facts.label(line.node)),
            field(&line.name),
            line.start,
            line.count,
            line.total,
            line.own,
            line.p95,
            line.share,
            line.errors,
            facts.spans[line.slowest].id
        );
    }
    text
}

/// One field of CSV.
pub(crate) fn field(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}
