//! Several traces of one journey as one list of spans: each root with its subtree, in the order in which they began; where a message led
//! from one trace into another, a row of its own stands before the root it led to.
//!
//! ```text
//! POST /orders            ======                  trace A
//!   publish orders             =
//! Kafka orders, waited 3 s      ///////////       a crossing
//! process orders                           ===    trace B
//! ```
//!
//! Times are the senders' own: a crossing lasts from the end of the span that sent to the start of the one that received.

#[cfg(test)]
mod tests;
mod tries;

use std::collections::HashMap;

use api::{JourneyHop, PathSegment, Timeline, TimelineSpans};
use model::{SpanId, TraceId};

pub(crate) use self::tries::{Found as Finding, Pause};

use super::journey::facts::label;
use super::{format, names};

/// Kind of a row that is no span but a message between two traces; OTLP's own kinds end at 5.
pub(crate) const CROSSING: u8 = 200;
/// Kind of a row that is no span but a pause between two attempts of a call.
pub(crate) const PAUSE: u8 = 201;
/// Rows of messages before one root; one that reads a batch of a thousand in a thousand spans is one tree.
const CROSSINGS_MAX: usize = 16;
/// No service: a crossing has none.
const NOBODY: u32 = u32::MAX;

/// Traces as one list.
#[derive(Clone, Debug)]
pub(crate) struct Stitched {
    /// Spans and crossings in columns; its id is that of the trace that was asked for.
    pub(crate) timeline: Timeline,
    /// The traces; empty ones, too.
    pub(crate) traces: Vec<TraceId>,
    /// Position in `traces` of each row.
    pub(crate) trace_of: Vec<u8>,
    /// What a crossing tells, by its position in the columns.
    pub(crate) crossings: HashMap<usize, Crossing>,
    /// Pauses between attempts, by their position in the columns.
    pub(crate) pauses: HashMap<usize, Pause>,
}

/// A message on its way from one trace into another.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Crossing {
    /// The queue.
    pub(crate) queue: String,
    /// Product and consumer group, attempt.
    pub(crate) about: String,
    /// How long it waited, by the clocks as the journey corrects them.
    pub(crate) waited: u64,
    /// A delivery failed before this one.
    pub(crate) is_again: bool,
    /// Messages without a row of their own: more to the same span, or to spans beyond the first [`CROSSINGS_MAX`].
    pub(crate) others: usize,
    /// Why the traces belong together.
    pub(crate) joined_by: String,
    /// Span and trace that sent it.
    pub(crate) sender: Option<(TraceId, SpanId)>,
    /// Those that received it.
    pub(crate) receiver: Option<(TraceId, SpanId)>,
}

impl Stitched {
    /// One trace.
    pub(crate) fn alone(timeline: Timeline) -> Self {
        let traces = vec![timeline.trace_id];
        let trace_of = vec![0; timeline.spans.span_id.len()];
        Self { trace_of, crossings: HashMap::new(), pauses: HashMap::new(), traces, timeline }
    }

    /// All of `parts`, which are traces of one journey; at most 256. `asked` is the one that was asked for.
    ///
    /// A part that is cut short makes the whole incomplete. Cost: one pass over the spans, and a sort of roots.
    pub(crate) fn new(asked: TraceId, parts: Vec<Timeline>, hops: &[JourneyHop], findings: &[Finding]) -> Self {
        let nanos = |text: &str| text.parse::<i64>().unwrap_or_default();
        let starts: Vec<i64> = parts.iter().map(|part| nanos(&part.start_unix_nano)).collect();
        let start = starts.iter().copied().min().unwrap_or_default();
        let ends = parts.iter().zip(&starts).map(|(part, start)| start.saturating_add_unsigned(part.duration_nanos));
        let end = ends.max().unwrap_or(start);
        let mut places = HashMap::new();
        let mut roots: Vec<Root> = Vec::new();
        for (part, timeline) in parts.iter().enumerate() {
            for (index, id) in timeline.spans.span_id.iter().enumerate() {
                places.entry((timeline.trace_id, *id)).or_insert((part, index));
                match (timeline.spans.parent.get(index), roots.last_mut()) {
                    (Some(0..), Some(root)) if root.part == part => root.end = index + 1,
                    _ => {
                        let offset = timeline.spans.start_nanos.get(index).copied().unwrap_or_default();
                        let begins = starts[part].saturating_add_unsigned(offset);
                        roots.push(Root { part, first: index, end: index + 1, begins });
                    }
                }
            }
        }
        roots.sort_by_key(|root| root.begins);
        let mut all = Self {
            timeline: Timeline {
                trace_id: asked,
                start_unix_nano: start.to_string(),
                duration_nanos: end.saturating_sub(start).unsigned_abs(),
                services: Vec::new(),
                texts: vec![String::new()],
                spans: TimelineSpans::default(),
                spans_total: parts.iter().map(|part| part.spans_total).sum(),
                warnings: parts.iter().flat_map(|part| part.warnings.iter().cloned()).collect(),
                incomplete: parts.iter().any(|part| part.incomplete),
                incomplete_reason: parts.iter().find_map(|part| part.incomplete_reason.clone()),
            },
            traces: parts.iter().map(|part| part.trace_id).collect(),
            trace_of: Vec::new(),
            crossings: HashMap::new(),
            pauses: HashMap::new(),
        };
        let pauses = tries::pauses(&parts, &places, findings);
        let found = Found { parts: &parts, starts: &starts, places };
        let mut into: HashMap<(usize, usize), Vec<&JourneyHop>> = HashMap::new();
        for hop in hops.iter().filter(|hop| hop.send_trace_id != hop.consumer_trace_id || hop.prev_span_id.is_some()) {
            if let Some(place) = found.places.get(&(hop.consumer_trace_id, hop.consumer_span_id)) {
                into.entry(*place).or_default().push(hop);
            }
        }
        let mut words = Words::default();
        for root in &roots {
            let receivers = || (root.first..root.end).filter_map(|index| into.get(&(root.part, index)));
            let beyond: usize = receivers().skip(CROSSINGS_MAX).map(Vec::len).sum();
            for (at, messages) in receivers().take(CROSSINGS_MAX).enumerate() {
                let others = messages.len() - 1 + if at + 1 == CROSSINGS_MAX { beyond } else { 0 };
                all.add_crossing(messages[0], others, &found, root.part, &mut words);
            }
            all.add(
                &parts[root.part],
                root,
                starts[root.part].saturating_sub(start).unsigned_abs(),
                &pauses,
                &mut words,
            );
        }
        all
    }

    /// The spans of a root, in a list that begins `offset` before them.
    fn add(
        &mut self,
        part: &Timeline,
        root: &Root,
        offset: u64,
        pauses: &HashMap<(usize, usize), Pause>,
        words: &mut Words,
    ) {
        let spans = &part.spans;
        // Where each span stands: pauses before it move it down.
        let mut rows: Vec<i32> = Vec::with_capacity(root.end - root.first);
        let text = |column: &[u32], index: usize| {
            let at = column.get(index).copied().unwrap_or_default();
            part.texts.get(at as usize).map_or("", String::as_str)
        };
        for index in root.first..root.end {
            let parent = spans.parent.get(index).copied().unwrap_or(-1);
            let above = usize::try_from(parent).ok().and_then(|parent| rows.get(parent.checked_sub(root.first)?));
            let parent = above.copied().unwrap_or(-1);
            let depth = spans.depth.get(index).copied().unwrap_or_default();
            if let Some(pause) = pauses.get(&(root.part, index)) {
                self.add_pause(pause, parent, depth, offset, root.part, words);
            }
            rows.push(self.timeline.spans.span_id.len() as i32);
            let service = spans.service.get(index).and_then(|at| part.services.get(*at as usize));
            let to = &mut self.timeline.spans;
            to.span_id.push(spans.span_id[index]);
            to.parent.push(parent);
            to.depth.push(depth);
            to.start_nanos.push(spans.start_nanos.get(index).copied().unwrap_or_default().saturating_add(offset));
            to.duration_nanos.push(spans.duration_nanos.get(index).copied().unwrap_or_default());
            to.service.push(match service {
                Some(service) => Words::place(&mut words.services, &mut self.timeline.services, service),
                None => NOBODY,
            });
            for (column, from) in
                [(&mut to.name, &spans.name), (&mut to.badge, &spans.badge), (&mut to.detail, &spans.detail)]
            {
                column.push(Words::place(&mut words.texts, &mut self.timeline.texts, text(from, index)));
            }
            to.kind.push(spans.kind.get(index).copied().unwrap_or_default());
            to.flags.push(spans.flags.get(index).copied().unwrap_or_default());
            self.trace_of.push(root.part as u8);
        }
    }

    /// A row before an attempt, for the time in which nobody worked on the call.
    fn add_pause(&mut self, pause: &Pause, parent: i32, depth: u32, offset: u64, part: usize, words: &mut Words) {
        let to = &mut self.timeline.spans;
        self.pauses.insert(to.span_id.len(), *pause);
        to.span_id.push(pause.between[1].1);
        to.parent.push(parent);
        to.depth.push(depth);
        to.start_nanos.push(pause.from.saturating_add(offset));
        to.duration_nanos.push(pause.to - pause.from);
        to.service.push(NOBODY);
        let name = format!("back-off before try {}", pause.attempt);
        for (column, text) in [(&mut to.name, name.as_str()), (&mut to.badge, ""), (&mut to.detail, "")] {
            column.push(Words::place(&mut words.texts, &mut self.timeline.texts, text));
        }
        to.kind.push(PAUSE);
        to.flags.push(0);
        self.trace_of.push(part as u8);
    }

    /// A row for a message to a span, which stands for so many others.
    fn add_crossing(&mut self, hop: &JourneyHop, others: usize, found: &Found<'_>, part: usize, words: &mut Words) {
        let Found { parts, starts, places } = found;
        let sender = hop.send_span_id.map(|span| (hop.send_trace_id, span));
        let receiver = (hop.consumer_trace_id, hop.consumer_span_id);
        // After a failed delivery it waits from there.
        let left = hop
            .prev_span_id
            .map(|span| (hop.consumer_trace_id, span))
            .filter(|left| places.contains_key(left))
            .or(sender);
        let at = |(part, index): (usize, usize), ended: bool| {
            let spans = &parts[part].spans;
            let start = spans.start_nanos.get(index).copied().unwrap_or_default();
            let took = if ended { spans.duration_nanos.get(index).copied().unwrap_or_default() } else { 0 };
            starts[part].saturating_add_unsigned(start).saturating_add_unsigned(took)
        };
        let received = places.get(&receiver).map_or(0, |place| at(*place, false));
        let sent = left.and_then(|left| places.get(&left)).map_or(received, |place| at(*place, true)).min(received);
        let base: i64 = self.timeline.start_unix_nano.parse().unwrap_or_default();
        let group = hop.group.as_deref().filter(|group| !group.is_empty());
        let mut about = names::spelled(&hop.system);
        if let Some(group) = group {
            about.push_str(&format!(", group {group}"));
        }
        if hop.attempt > 1 {
            about.push_str(&format!(", delivery {} of {}", hop.attempt, hop.attempts));
        }
        if others > 0 {
            about.push_str(&format!(", and {}", format::counted(others as u64, "more message")));
        }
        let crossing = Crossing {
            queue: label(&hop.queue).to_owned(),
            about,
            waited: hop.lag_nanos.max(0).unsigned_abs(),
            is_again: hop.attempt > 1,
            others,
            joined_by: hop.joined_by.clone(),
            sender,
            receiver: Some(receiver),
        };
        let letter = u8::try_from(part).ok().filter(|at| *at < 26);
        let badge = letter.map_or_else(|| "next trace".to_owned(), |at| format!("trace {}", char::from(b'A' + at)));
        let to = &mut self.timeline.spans;
        self.crossings.insert(to.span_id.len(), crossing.clone());
        to.span_id.push(hop.consumer_span_id);
        to.parent.push(-1);
        to.depth.push(0);
        to.start_nanos.push(sent.saturating_sub(base).max(0).unsigned_abs());
        to.duration_nanos.push(received.saturating_sub(sent).max(0).unsigned_abs());
        to.service.push(NOBODY);
        for (column, text) in
            [(&mut to.name, &crossing.queue), (&mut to.badge, &badge), (&mut to.detail, &crossing.about)]
        {
            column.push(Words::place(&mut words.texts, &mut self.timeline.texts, text));
        }
        to.kind.push(CROSSING);
        to.flags.push(0);
        self.trace_of.push(part as u8);
    }
}

/// Where the critical path runs: pieces of each row, in nanoseconds after `start` (since 1970). `segments` are of the journey; what is of
/// no row here is left out. `trace` tells the trace of a row.
pub(crate) fn path(
    start: i64,
    spans: &TimelineSpans,
    trace: impl Fn(usize) -> Option<TraceId>,
    segments: &[PathSegment],
) -> HashMap<usize, Vec<(u64, u64)>> {
    let mut rows: HashMap<(TraceId, SpanId, bool), usize> = HashMap::new();
    for (index, (id, kind)) in spans.span_id.iter().zip(&spans.kind).enumerate() {
        if let Some(trace) = trace(index).filter(|_| *kind != PAUSE) {
            rows.entry((trace, *id, *kind == CROSSING)).or_insert(index);
        }
    }
    let mut all: HashMap<usize, Vec<(u64, u64)>> = HashMap::new();
    for piece in segments {
        let offset = |text: &str| text.parse::<i64>().unwrap_or_default().saturating_sub(start).max(0).unsigned_abs();
        let (from, to) = (offset(&piece.start_unix_nano), offset(&piece.end_unix_nano));
        let is_wait = matches!(piece.kind.as_str(), "queue" | "backoff");
        let row = rows.get(&(piece.trace_id, piece.span_id, is_wait));
        if let Some(row) = row.filter(|_| from < to) {
            all.entry(*row).or_default().push((from, to));
        }
    }
    all
}

/// The traces as they came, when each began, and where each span is.
struct Found<'a> {
    parts: &'a [Timeline],
    starts: &'a [i64],
    /// Part and position in it.
    places: HashMap<(TraceId, SpanId), (usize, usize)>,
}

/// A root with its subtree: a range of one part.
struct Root {
    part: usize,
    first: usize,
    end: usize,
    begins: i64,
}

/// Which texts and services are there already.
#[derive(Default)]
struct Words {
    texts: HashMap<String, u32>,
    services: HashMap<String, u32>,
}

impl Words {
    fn place(known: &mut HashMap<String, u32>, all: &mut Vec<String>, text: &str) -> u32 {
        if let Some(at) = known.get(text) {
            return *at;
        }
        let at = all.iter().take(1).position(|first| first == text).unwrap_or_else(|| {
            all.push(text.to_owned());
            all.len() - 1
        });
        known.insert(text.to_owned(), at as u32);
        at as u32
    }
}
