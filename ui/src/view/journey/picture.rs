//! The journey diagram before it has a size: lanes, bars, waits, arrows and the track, in time.
//!
//! | thing  | is                                                                                          |
//! |--------|---------------------------------------------------------------------------------------------|
//! | lane   | a service, a host outside, or a broker; in order of first touch                              |
//! | row    | a lane has as many as things overlap in it; a broker has one set per consumer group          |
//! | bar    | the span with which a service takes a request or message, or a call to somebody without spans |
//! | mark   | another span of the same service, under its bar                                              |
//! | dwell  | a message waiting, from publish to receive; redelivery waits in the error colour              |
//! | arrow  | a call, its answer, a message in or out                                                       |
//! | track  | the critical path                                                                             |

use std::collections::HashMap;

use super::facts::{Facts, Family, PathKind, Role};
use crate::view::format;

/// Rows of one lane at most; what overlaps more stands on the last one.
const ROWS_MAX: usize = 6;
/// Arrows into one bar at most.
const ARROWS_INTO_BAR_MAX: usize = 8;

/// One line of the diagram.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lane {
    /// Who, by position in the facts' nodes.
    pub(crate) node: usize,
    /// What kind of node.
    pub(crate) family: Family,
    /// Second line of text.
    pub(crate) note: String,
    /// Rows.
    pub(crate) rows: usize,
    /// Some bar has marks under it.
    pub(crate) has_marks: bool,
    /// The track touches it.
    pub(crate) is_critical: bool,
    /// What the clocks of its spans were corrected by, when any was.
    pub(crate) shift: i64,
    /// Consumer groups of a broker: first row, name.
    pub(crate) groups: Vec<(usize, String)>,
}

/// Something that stands on a row from a moment to another.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bar {
    /// Lane, by position in the picture.
    pub(crate) lane: usize,
    /// Row in the lane.
    pub(crate) row: usize,
    /// From.
    pub(crate) start: f64,
    /// To.
    pub(crate) end: f64,
    /// Text in it.
    pub(crate) text: String,
    /// It failed.
    pub(crate) failed: bool,
    /// Its span; for a call to somebody without spans, the client's.
    pub(crate) span: usize,
    /// Drawn from a client span.
    pub(crate) is_outside: bool,
}

/// How a mark looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Tone {
    /// Work of its own, or a database.
    Plain,
    /// Waits for somebody who has a lane.
    Pale,
    /// Hands over a message.
    Send,
    /// Failed.
    Failed,
    /// Waits before it tries again.
    Backoff,
}

/// A span under a bar.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mark {
    /// The bar.
    pub(crate) bar: usize,
    /// From.
    pub(crate) start: f64,
    /// To.
    pub(crate) end: f64,
    /// Look.
    pub(crate) tone: Tone,
    /// Its span.
    pub(crate) span: usize,
}

/// A message waiting.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dwell {
    /// Lane, by position in the picture.
    pub(crate) lane: usize,
    /// Row in the lane.
    pub(crate) row: usize,
    /// From.
    pub(crate) start: f64,
    /// To; not before `start`.
    pub(crate) end: f64,
    /// Nanoseconds by corrected clocks.
    pub(crate) wait: f64,
    /// Received before the producer ended.
    pub(crate) is_overlap: bool,
    /// It waits because an attempt failed.
    pub(crate) is_redelivery: bool,
    /// Position in the facts' hops.
    pub(crate) hop: usize,
}

/// Where an arrow begins or ends, or the track turns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Anchor {
    /// A bar, by position.
    Bar(usize),
    /// A dwell, by position.
    Dwell(usize),
    /// A row of a lane without anything on it.
    Row(usize, usize),
}

/// What an arrow says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ArrowKind {
    /// A request: solid, with a head.
    Call,
    /// Its answer: fine dots.
    Answer,
    /// A message: dashed, with a head.
    Message,
}

/// From one lane to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Arrow {
    /// What it says.
    pub(crate) kind: ArrowKind,
    /// From where and when.
    pub(crate) from: (Anchor, f64),
    /// To where and when.
    pub(crate) to: (Anchor, f64),
    /// It failed.
    pub(crate) failed: bool,
}

/// A piece of the track. Pieces follow each other; between two that stand apart a line leads over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stretch {
    /// Along what.
    pub(crate) anchor: Anchor,
    /// From.
    pub(crate) start: f64,
    /// To.
    pub(crate) end: f64,
    /// A message led here: the line over to it is dashed.
    pub(crate) is_async: bool,
    /// Nobody worked: the stretch itself is dashed.
    pub(crate) is_gap: bool,
}

/// The diagram without a size.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Picture {
    /// Top to bottom.
    pub(crate) lanes: Vec<Lane>,
    /// By start.
    pub(crate) bars: Vec<Bar>,
    /// By span.
    pub(crate) marks: Vec<Mark>,
    /// By hop.
    pub(crate) dwells: Vec<Dwell>,
    /// Under the bars.
    pub(crate) arrows: Vec<Arrow>,
    /// Incoming lines left out, by bar.
    pub(crate) more_into: Vec<(usize, usize)>,
    /// The critical path.
    pub(crate) track: Vec<Stretch>,
    /// Bar of each span.
    pub(crate) bar_of: Vec<usize>,
    /// Bar of the call each client span stands for, when it went outside.
    pub(crate) outside_of: HashMap<usize, usize>,
    /// Dwell of each hop that has one.
    pub(crate) dwell_of: HashMap<usize, usize>,
}

impl Picture {
    /// Lays out everything but pixels.
    pub(crate) fn new(facts: &Facts) -> Self {
        let mut picture = Self::default();
        let lane_of = picture.add_lanes(facts);
        picture.add_bars(facts, &lane_of);
        picture.add_marks(facts);
        picture.add_backoffs(facts);
        picture.add_dwells(facts, &lane_of);
        picture.set_rows();
        picture.add_calls(facts, &lane_of);
        picture.add_messages(facts, &lane_of);
        picture.add_track(facts);
        picture.add_notes(facts);
        picture
    }

    /// The second line of each lane: what it speaks, or why it has no spans.
    fn add_notes(&mut self, facts: &Facts) {
        for lane in 0..self.lanes.len() {
            let node = self.lanes[lane].node;
            let own = || facts.spans.iter().filter(move |span| span.node == node);
            let mut words: Vec<String> = Vec::new();
            let mut add = |word: &str| {
                if !word.is_empty() && words.len() < 3 && !words.iter().any(|known| known == word) {
                    words.push(word.to_owned());
                }
            };
            match self.lanes[lane].family {
                Family::Service => {
                    let bars = self.bars.iter().filter(|bar| bar.lane == lane);
                    for span in bars.map(|bar| &facts.spans[bar.span]) {
                        add(if span.role == Role::Consumer { "consumer" } else { &span.badge });
                    }
                    if words.is_empty() {
                        words.push(format::counted(own().count() as u64, "span"));
                    }
                }
                Family::Broker => {
                    facts.hops.iter().filter(|hop| hop.queue == node).for_each(|hop| add(&hop.badge));
                    facts.hops.iter().filter(|hop| hop.sent_to == Some(node)).for_each(|hop| add(&hop.badge));
                    let consumers = self.lanes[lane].groups.len() as u64;
                    if consumers > 1 {
                        words.push(format::counted(consumers, "consumer"));
                    }
                }
                Family::Missing => words.push("its spans never came".to_owned()),
                _ => words.push("not instrumented".to_owned()),
            }
            self.lanes[lane].note = words.join(" · ");
        }
    }

    fn add_lanes(&mut self, facts: &Facts) -> HashMap<usize, usize> {
        let mut lane_of = HashMap::new();
        for node in 0..facts.nodes.len() {
            let family = facts.family(node);
            if family.has_lane() {
                lane_of.insert(node, self.lanes.len());
                self.lanes.push(Lane {
                    node,
                    family,
                    note: String::new(),
                    rows: 1,
                    has_marks: false,
                    is_critical: false,
                    shift: 0,
                    groups: Vec::new(),
                });
            }
        }
        lane_of
    }

    fn add_bars(&mut self, facts: &Facts, lane_of: &HashMap<usize, usize>) {
        let mut order: Vec<usize> = (0..facts.spans.len()).collect();
        order.sort_by(|a, b| facts.spans[*a].start.total_cmp(&facts.spans[*b].start).then(a.cmp(b)));
        let mut own: Vec<Option<usize>> = vec![None; facts.spans.len()];
        for &at in &order {
            let span = &facts.spans[at];
            if let Some(lane) = lane_of.get(&span.node).copied().filter(|_| is_entry(facts, at)) {
                own[at] = Some(self.bars.len());
                let lane_data = &mut self.lanes[lane];
                if span.shift.abs() > lane_data.shift.abs() {
                    lane_data.shift = span.shift;
                }
                self.bars.push(Bar {
                    lane,
                    row: 0,
                    start: span.start,
                    end: span.end.max(span.start),
                    text: span.name.clone(),
                    failed: span.failed,
                    span: at,
                    is_outside: false,
                });
            }
        }
        // Every other span belongs to the bar above it. Parents may come later in a broken answer: bounded walk.
        self.bar_of = (0..facts.spans.len())
            .map(|at| {
                let mut above = Some(at);
                for _ in 0..facts.spans.len() {
                    match above {
                        Some(span) if own[span].is_some() => return own[span].unwrap_or(usize::MAX),
                        Some(span) => above = facts.spans[span].parent,
                        None => break,
                    }
                }
                usize::MAX
            })
            .collect();
        for call in &facts.calls {
            let (Some(client), None) = (call.client, call.server) else { continue };
            let Some(&lane) = lane_of.get(&call.to) else { continue };
            let span = &facts.spans[client];
            let text = match (call.why.is_empty(), call.op.is_empty()) {
                (false, _) => call.why.clone(),
                (true, false) => call.op.clone(),
                (true, true) => span.name.clone(),
            };
            self.outside_of.insert(client, self.bars.len());
            self.bars.push(Bar {
                lane,
                row: 0,
                start: span.start,
                end: span.end.max(span.start),
                text,
                failed: call.failed,
                span: client,
                is_outside: true,
            });
        }
    }

    fn add_marks(&mut self, facts: &Facts) {
        for (at, span) in facts.spans.iter().enumerate() {
            let bar = self.bar_of[at];
            let Some(above) = self.bars.get(bar).filter(|above| above.span != at) else { continue };
            let goes_out = facts.spans.get(at).is_some_and(|span| span.role == Role::Client);
            let tone = match (span.failed, span.role) {
                (true, _) => Tone::Failed,
                (false, Role::Producer) => Tone::Send,
                (false, Role::Client) if goes_out => Tone::Pale,
                _ => Tone::Plain,
            };
            self.lanes[above.lane].has_marks = true;
            self.marks.push(Mark { bar, start: span.start, end: span.end.max(span.start), tone, span: at });
        }
        // What is pale lies under what is not.
        self.marks.sort_by_key(|mark| mark.tone != Tone::Pale);
    }

    /// Waits between the attempts of a call: what the server found to be one call tried again.
    fn add_backoffs(&mut self, facts: &Facts) {
        let runs = facts.findings.iter().filter(|finding| finding.id == "retried" || finding.id == "retry_storm");
        for run in runs {
            let mut tries: Vec<usize> = run.spans.clone();
            tries.sort_by(|a, b| facts.spans[*a].start.total_cmp(&facts.spans[*b].start));
            for pair in tries.windows(2) {
                let (before, after) = (&facts.spans[pair[0]], &facts.spans[pair[1]]);
                let bar = self.bar_of[pair[1]];
                if before.end < after.start && bar == self.bar_of[pair[0]] && bar < self.bars.len() {
                    let (start, end) = (before.end, after.start);
                    self.marks.push(Mark { bar, start, end, tone: Tone::Backoff, span: pair[1] });
                }
            }
        }
    }

    fn add_dwells(&mut self, facts: &Facts, lane_of: &HashMap<usize, usize>) {
        for (at, hop) in facts.hops.iter().enumerate() {
            let Some(&lane) = lane_of.get(&hop.queue) else { continue };
            let since = hop.prev.or(hop.send).map_or(hop.received, |span| facts.spans[span].end);
            self.dwell_of.insert(at, self.dwells.len());
            self.dwells.push(Dwell {
                lane,
                row: 0,
                start: since.min(hop.received),
                end: hop.received,
                wait: hop.wait,
                is_overlap: hop.is_overlap,
                is_redelivery: hop.prev.is_some(),
                hop: at,
            });
        }
        // One set of rows per consumer and group, in order of first receive.
        for lane in 0..self.lanes.len() {
            let mut sets: Vec<(usize, &str, Vec<usize>)> = Vec::new();
            for (at, dwell) in self.dwells.iter().enumerate().filter(|(_, dwell)| dwell.lane == lane) {
                let hop = &facts.hops[dwell.hop];
                let key = (facts.spans[hop.consumer].node, hop.group.as_str());
                match sets.iter_mut().find(|set| (set.0, set.1) == key) {
                    Some(set) => set.2.push(at),
                    None => sets.push((key.0, key.1, vec![at])),
                }
            }
            let mut first = 0;
            let n_sets = sets.len();
            for (node, group, mut members) in sets {
                members.sort_by(|a, b| self.dwells[*a].start.total_cmp(&self.dwells[*b].start));
                let rows_left = if n_sets > ROWS_MAX { 1 } else { (ROWS_MAX / n_sets).max(1) };
                let times: Vec<_> = members.iter().map(|at| (self.dwells[*at].start, self.dwells[*at].end)).collect();
                let (rows, used) = pack(&times, rows_left);
                for (at, row) in members.iter().zip(rows) {
                    self.dwells[*at].row = first + row;
                }
                let name = if group.is_empty() && n_sets > 1 { facts.label(node) } else { group };
                self.lanes[lane].groups.push((first, name.to_owned()));
                first += used;
            }
            if first > 0 {
                self.lanes[lane].rows = first;
            }
        }
    }

    /// Puts what overlaps in a lane on rows of their own.
    fn set_rows(&mut self) {
        for lane in 0..self.lanes.len() {
            if self.lanes[lane].family == Family::Broker {
                continue;
            }
            let mut members: Vec<usize> = (0..self.bars.len()).filter(|at| self.bars[*at].lane == lane).collect();
            members.sort_by(|a, b| self.bars[*a].start.total_cmp(&self.bars[*b].start).then(a.cmp(b)));
            let times: Vec<_> = members.iter().map(|at| (self.bars[*at].start, self.bars[*at].end)).collect();
            let (rows, used) = pack(&times, ROWS_MAX);
            for (at, row) in members.iter().zip(rows) {
                self.bars[*at].row = row;
            }
            self.lanes[lane].rows = used.max(1);
        }
    }

    fn add_calls(&mut self, facts: &Facts, lane_of: &HashMap<usize, usize>) {
        for call in &facts.calls {
            let from = match (call.client, call.server) {
                (Some(client), _) => self.bar_anchor(client),
                // The caller's own span is missing: the line starts at the parent, or at the lane of the lost.
                (None, Some(server)) => facts.spans[server]
                    .parent
                    .and_then(|parent| self.bar_anchor(parent))
                    .or_else(|| lane_of.get(&call.from).map(|lane| Anchor::Row(*lane, 0))),
                (None, None) => None,
            };
            let (to, start, end) = match (call.server, call.client) {
                (Some(server), _) => {
                    let span = &facts.spans[server];
                    (self.bar_anchor(server), span.start, span.end)
                }
                (None, Some(client)) => {
                    let span = &facts.spans[client];
                    (self.outside_of.get(&client).map(|bar| Anchor::Bar(*bar)), span.start, span.end)
                }
                (None, None) => continue,
            };
            let (Some(from), Some(to)) = (from, to) else { continue };
            if from == to {
                continue;
            }
            let (left, right) = call.client.map_or((start, end), |client| {
                let span = &facts.spans[client];
                (span.start, span.end)
            });
            let failed = call.failed;
            self.arrows.push(Arrow { kind: ArrowKind::Answer, from: (to, end), to: (from, right), failed });
            self.arrows.push(Arrow { kind: ArrowKind::Call, from: (from, left), to: (to, start), failed: false });
        }
    }

    fn add_messages(&mut self, facts: &Facts, lane_of: &HashMap<usize, usize>) {
        let mut into: HashMap<usize, usize> = HashMap::new();
        for (at, hop) in facts.hops.iter().enumerate() {
            let Some(&dwell) = self.dwell_of.get(&at) else { continue };
            let (start, end) = (self.dwells[dwell].start, self.dwells[dwell].end);
            let mut push = |from, to, failed| self.arrows.push(Arrow { kind: ArrowKind::Message, from, to, failed });
            let source = hop.prev.or(hop.send).and_then(|span| {
                let bar = self.bar_of[span];
                (bar < self.bars.len()).then_some((span, Anchor::Bar(bar)))
            });
            if let Some((span, source)) = source {
                let left = if hop.prev.is_some() { start } else { facts.spans[span].start.min(start) };
                let sent_to = hop.sent_to.filter(|_| hop.prev.is_none()).and_then(|queue| lane_of.get(&queue));
                match sent_to {
                    Some(&lane) => {
                        push((source, left), (Anchor::Row(lane, 0), start), false);
                        push((Anchor::Row(lane, 0), start), (Anchor::Dwell(dwell), start), false);
                    }
                    None => push((source, left), (Anchor::Dwell(dwell), start), hop.prev.is_some()),
                }
            }
            let bar = self.bar_of[hop.consumer];
            if bar < self.bars.len() {
                let n = into.entry(bar).or_default();
                *n += 1;
                if *n <= ARROWS_INTO_BAR_MAX {
                    push((Anchor::Dwell(dwell), end), (Anchor::Bar(bar), end), false);
                }
            }
        }
        self.more_into = into
            .into_iter()
            .filter(|(_, count)| *count > ARROWS_INTO_BAR_MAX)
            .map(|(bar, count)| (bar, count - ARROWS_INTO_BAR_MAX))
            .collect();
        self.more_into.sort_unstable();
        // One line for many messages that start and end alike.
        let mut seen: Vec<Arrow> = Vec::with_capacity(self.arrows.len());
        let mut keys = std::collections::HashSet::new();
        for arrow in self.arrows.drain(..) {
            let key = format!("{:?}", (arrow.kind, arrow.from, arrow.to));
            if keys.insert(key) {
                seen.push(arrow);
            }
        }
        self.arrows = seen;
    }

    fn add_track(&mut self, facts: &Facts) {
        for piece in &facts.settled {
            let (mut start, mut end) = (piece.start, piece.end);
            let hop = || facts.hops.iter().position(|hop| hop.consumer == piece.span);
            let anchor = match piece.kind {
                PathKind::Queue | PathKind::Backoff => {
                    hop().and_then(|hop| self.dwell_of.get(&hop)).map(|dwell| Anchor::Dwell(*dwell))
                }
                PathKind::Remote => self.outside_of.get(&piece.span).map(|bar| Anchor::Bar(*bar)),
                // Time on the way is the line that leads from one to the other.
                PathKind::Network if facts.spans[piece.span].role == Role::Client => continue,
                _ => None,
            };
            let Some(anchor) = anchor.or_else(|| self.bar_anchor(piece.span)) else { continue };
            let is_wait = matches!(piece.kind, PathKind::Queue | PathKind::Backoff);
            if let Anchor::Dwell(dwell) = anchor {
                // Two clocks took part: the wait is drawn where it stands.
                (start, end) = (self.dwells[dwell].start, self.dwells[dwell].end);
            }
            let after_wait = self.track.last().is_some_and(|last| matches!(last.anchor, Anchor::Dwell(_)));
            let lane = match anchor {
                Anchor::Bar(bar) => self.bars[bar].lane,
                Anchor::Dwell(dwell) => self.dwells[dwell].lane,
                Anchor::Row(lane, _) => lane,
            };
            self.lanes[lane].is_critical = true;
            match self.track.last_mut() {
                Some(last) if last.anchor == anchor && last.is_gap == (piece.kind == PathKind::Gap) => last.end = end,
                _ => self.track.push(Stretch {
                    anchor,
                    start,
                    end,
                    is_async: is_wait || after_wait,
                    is_gap: piece.kind == PathKind::Gap,
                }),
            }
        }
    }

    fn bar_anchor(&self, span: usize) -> Option<Anchor> {
        self.bar_of.get(span).filter(|bar| **bar < self.bars.len()).map(|bar| Anchor::Bar(*bar))
    }

    /// Everything that runs, for finding the quiet stretches. Waits do not run.
    pub(crate) fn busy(&self) -> Vec<(f64, f64)> {
        self.bars.iter().map(|bar| (bar.start, bar.end)).collect()
    }
}

/// True for a span with which a service takes over: it has a bar of its own.
fn is_entry(facts: &Facts, at: usize) -> bool {
    let span = &facts.spans[at];
    span.role == Role::Consumer || span.parent.is_none_or(|parent| facts.spans[parent].node != span.node)
}

/// Rows for intervals in order of start, at most `rows_max`; what does not fit stands on the last one.
/// Answers the row of each and how many rows are used.
fn pack(times: &[(f64, f64)], rows_max: usize) -> (Vec<usize>, usize) {
    let mut ends: Vec<f64> = Vec::new();
    let rows = times
        .iter()
        .map(|(start, end)| {
            let free = ends.iter().position(|until| until <= start);
            let row = free.unwrap_or_else(|| ends.len().min(rows_max - 1));
            match ends.get_mut(row) {
                Some(until) => *until = until.max(*end),
                None => ends.push(*end),
            }
            row
        })
        .collect();
    (rows, ends.len())
}
