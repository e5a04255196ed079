//! Rows of the hop table: every step between two services, with its waits and attempts.
//!
//! A hop is a call, or publish + wait + receive. Attempts of one call or message are one row; so are similar calls
//! that the server found to be one pattern. Calls to databases and caches are no hops: they stay with their caller.

use std::collections::{HashMap, HashSet};

use api::{CompareAnswer, CompareStep};

use super::facts::{Facts, Family};

/// Part of the journey a hop must take to be its bottleneck.
const BOTTLENECK_SHARE: f64 = 0.25;
/// How many times its usual it must have taken.
const BOTTLENECK_FACTOR: f64 = 3.0;

/// Where the time of a part went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// On the wire: client minus server.
    Wire,
    /// At a peer that sends no spans.
    Remote,
    /// An attempt that failed.
    Failed,
    /// Before the next attempt.
    Backoff,
    /// In a broker.
    Wait,
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hop {
    /// Who, by position in the nodes.
    pub(crate) from: usize,
    /// Whom, by position in the nodes.
    pub(crate) to: usize,
    /// The broker between, by position in the nodes.
    pub(crate) queue: Option<usize>,
    /// Consumer group; empty when unknown.
    pub(crate) group: String,
    /// `HTTP`, `Kafka` ...
    pub(crate) badge: String,
    /// What was asked for.
    pub(crate) op: String,
    /// Time between the two, in order.
    pub(crate) parts: Vec<(Part, f64)>,
    /// Sum of the parts.
    pub(crate) between: f64,
    /// What is compared with the usual: the whole call as its caller saw it, or the first wait.
    pub(crate) took: f64,
    /// Attempts.
    pub(crate) tries: u32,
    /// Similar calls in this row.
    pub(crate) times: u32,
    /// Why an attempt failed, in a word; empty when none did.
    pub(crate) why: String,
    /// Its spans; the first one shows it.
    pub(crate) spans: Vec<usize>,
    /// Its messages, by position in the facts' hops.
    pub(crate) messages: Vec<usize>,
    /// When it began.
    pub(crate) start: f64,
    /// When it was over.
    pub(crate) end: f64,
    /// On the critical path.
    pub(crate) is_critical: bool,
    /// The same hop usually, when the server knows.
    pub(crate) usual: Option<f64>,
}

impl Hop {
    /// True for messages.
    pub(crate) const fn is_async(&self) -> bool {
        self.queue.is_some()
    }

    /// True when what it took is the time of one call or one wait, as the server counts them: not of several calls or attempts
    /// together.
    pub(crate) const fn is_single(&self) -> bool {
        self.times == 1 && (self.is_async() || self.tries == 1)
    }

    /// How many times its usual it took.
    pub(crate) fn factor(&self) -> Option<f64> {
        self.usual.filter(|usual| *usual > 0.0).map(|usual| self.took / usual)
    }

    fn excess(&self) -> f64 {
        self.usual.map_or(0.0, |usual| self.took - usual)
    }
}

/// All hops by start.
pub(crate) fn hops(facts: &Facts) -> Vec<Hop> {
    let critical: HashSet<usize> = facts.settled.iter().map(|piece| piece.span).collect();
    let mut rows = calls(facts);
    rows.extend(messages(facts));
    for row in &mut rows {
        row.is_critical = row.spans.iter().any(|span| critical.contains(span));
        row.between = row.parts.iter().map(|(_, nanos)| nanos).sum();
    }
    rows.sort_by(|a, b| a.start.total_cmp(&b.start).then(a.spans.cmp(&b.spans)));
    rows
}

/// Calls between nodes that have lanes; runs of attempts and similar calls as one row each.
fn calls(facts: &Facts) -> Vec<Hop> {
    // Which calls the server took for one: by span, the number of the finding.
    let mut together: HashMap<usize, usize> = HashMap::new();
    for (number, finding) in facts.findings.iter().enumerate() {
        if matches!(finding.id.as_str(), "retried" | "retry_storm" | "chatty_calls") {
            finding.spans.iter().for_each(|span| {
                together.entry(*span).or_insert(number);
            });
        }
    }
    let mut rows: Vec<Hop> = Vec::new();
    let mut row_of: HashMap<(usize, usize, usize, &str), usize> = HashMap::new();
    for call in &facts.calls {
        let (from, to) = (facts.family(call.from), facts.family(call.to));
        if call.is_entry || !from.has_lane() || !to.has_lane() || call.from == call.to {
            continue;
        }
        let Some(span) = call.client.or(call.server) else { continue };
        let part = match (call.failed && call.server.is_none(), call.network) {
            (true, _) => (Part::Failed, call.nanos),
            (false, Some(network)) => (Part::Wire, network),
            (false, None) => (Part::Remote, if to == Family::Outside { call.nanos } else { 0.0 }),
        };
        let (start, end) = (facts.spans[span].start, facts.spans[span].end);
        let spans: Vec<usize> = [call.client, call.server].into_iter().flatten().collect();
        let number = spans.iter().find_map(|span| together.get(span)).copied();
        let key = number.map(|number| (number, call.from, call.to, call.op.as_str()));
        if let Some(row) = key.and_then(|key| row_of.get(&key)).and_then(|at| rows.get_mut(*at)) {
            let is_retry = number.is_some_and(|number| facts.findings[number].id != "chatty_calls");
            if is_retry {
                if start > row.end {
                    row.parts.push((Part::Backoff, start - row.end));
                }
                row.parts.push(part);
                row.tries += 1;
            } else {
                row.times += 1;
                row.parts[0].1 += part.1;
            }
            row.took += call.nanos;
            row.end = row.end.max(end);
            row.spans.extend(spans);
            if row.why.is_empty() {
                row.why.clone_from(&call.why);
            }
            continue;
        }
        if let Some(key) = key {
            row_of.insert(key, rows.len());
        }
        rows.push(Hop {
            from: call.from,
            to: call.to,
            queue: None,
            group: String::new(),
            badge: call.badge.clone(),
            op: call.op.clone(),
            parts: vec![part],
            between: 0.0,
            took: call.nanos,
            tries: 1,
            times: 1,
            why: call.why.clone(),
            spans,
            messages: Vec::new(),
            start,
            end,
            is_critical: false,
            usual: None,
        });
    }
    rows
}

/// Deliveries; attempts of one message by one consumer as one row.
fn messages(facts: &Facts) -> Vec<Hop> {
    let mut order: Vec<usize> = (0..facts.hops.len()).collect();
    order.sort_by(|a, b| facts.hops[*a].received.total_cmp(&facts.hops[*b].received).then(a.cmp(b)));
    let mut rows: Vec<Hop> = Vec::new();
    let mut row_of: HashMap<(Option<usize>, usize, usize, &str, &str), usize> = HashMap::new();
    for at in order {
        let hop = &facts.hops[at];
        let consumer = &facts.spans[hop.consumer];
        let key = (hop.send, consumer.node, hop.queue, hop.group.as_str(), hop.message.as_str());
        let known = row_of.get(&key).copied().filter(|_| hop.attempt > 1 && hop.send.is_some());
        if let Some(row) = known.and_then(|at| rows.get_mut(at)) {
            if let Some(before) = hop.prev.map(|prev| &facts.spans[prev]) {
                // The attempt before is part of the way now.
                row.parts.push((Part::Failed, before.end - before.start));
                row.parts.push((Part::Backoff, hop.wait));
                row.tries += 1;
            } else {
                // Nothing failed before: another copy, which waited beside the others and not after them.
                row.parts[0].1 = row.parts[0].1.max(hop.wait);
                row.took = row.took.max(hop.wait);
                row.times += 1;
            }
            row.end = row.end.max(hop.received);
            row.spans.push(hop.consumer);
            row.messages.push(at);
            if row.why.is_empty() {
                row.why = failure(facts, hop.prev);
            }
            continue;
        }
        row_of.insert(key, rows.len());
        let send = hop.send.map(|send| &facts.spans[send]);
        let is_dead_letter = hop.prev.is_some();
        rows.push(Hop {
            from: send.map_or(hop.queue, |send| send.node),
            to: consumer.node,
            queue: Some(hop.queue),
            group: hop.group.clone(),
            badge: hop.badge.clone(),
            op: facts.label(hop.queue).to_owned(),
            parts: vec![(if is_dead_letter { Part::Backoff } else { Part::Wait }, hop.wait)],
            between: 0.0,
            took: hop.wait,
            tries: hop.attempt.max(1),
            times: 1,
            why: if consumer.failed && hop.attempts > 1 { failure(facts, Some(hop.consumer)) } else { String::new() },
            spans: std::iter::once(hop.consumer).chain(hop.send).collect(),
            messages: vec![at],
            start: hop.prev.map_or_else(|| send.map_or(hop.received, |send| send.end), |prev| facts.spans[prev].end),
            end: hop.received,
            is_critical: false,
            usual: None,
        });
    }
    rows
}

fn failure(facts: &Facts, span: Option<usize>) -> String {
    span.map(|span| &facts.spans[span])
        .filter(|span| span.failed)
        .map_or_else(String::new, |span| if span.why.is_empty() { "failed".to_owned() } else { span.why.clone() })
}

/// Writes into each hop what it usually takes. A comparison with another journey is no usual.
pub(crate) fn set_usual(rows: &mut [Hop], facts: &Facts, answer: &CompareAnswer) {
    let by_span: HashMap<_, &CompareStep> =
        answer.steps.iter().filter_map(|step| Some((step.a.as_ref()?.span_id?, step))).collect();
    for row in rows.iter_mut().filter(|row| row.times == 1) {
        let step = row.spans.iter().find_map(|span| by_span.get(&facts.spans[*span].id));
        let usual = step.and_then(|step| step.b.as_ref());
        row.usual = usual.map(|usual| match row.is_async() {
            true => usual.lag_nanos.unwrap_or(usual.duration_nanos).max(0) as f64,
            false => usual.duration_nanos.max(0) as f64,
        });
    }
}

/// What held the journey up most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// This hop: it took much longer than usual.
    Bottleneck(usize),
    /// No usual is known; this hop took the most of the critical path.
    Longest(usize),
    /// No hop stands out.
    Nothing,
}

/// Judges the hops by the rule of the page: on the critical path, at least a quarter of the journey, at least
/// three times its usual. A call is not blamed for a hop inside it that explains half of its delay.
pub(crate) fn verdict(rows: &[Hop], length: f64) -> Verdict {
    let critical = || rows.iter().enumerate().filter(|(_, row)| row.is_critical);
    let explains = |inner: &Hop, outer: &Hop| {
        inner.start >= outer.start && inner.end <= outer.end && inner.excess() >= 0.5 * outer.excess()
    };
    let suspect = critical()
        .filter(|(at, row)| {
            row.took >= BOTTLENECK_SHARE * length
                && row.factor().is_some_and(|factor| factor >= BOTTLENECK_FACTOR)
                && !critical().any(|(other, inner)| other != *at && !row.is_async() && explains(inner, row))
        })
        .max_by(|a, b| a.1.excess().total_cmp(&b.1.excess()));
    if let Some((at, _)) = suspect {
        return Verdict::Bottleneck(at);
    }
    if rows.iter().any(|row| row.usual.is_some()) {
        return Verdict::Nothing;
    }
    let longest = critical()
        .filter(|(_, row)| row.between >= BOTTLENECK_SHARE * length)
        .max_by(|a, b| a.1.between.total_cmp(&b.1.between));
    longest.map_or(Verdict::Nothing, |(at, _)| Verdict::Longest(at))
}

/// Messages that waited too long: much longer than usual, or found so by the server. By position in the facts' hops.
pub(crate) fn hot_messages(rows: &[Hop], facts: &Facts, verdict: Verdict) -> Vec<bool> {
    let mut hot = vec![false; facts.hops.len()];
    for (at, row) in rows.iter().enumerate().filter(|(_, row)| row.is_async()) {
        let is_slow = row.factor().is_some_and(|factor| factor >= BOTTLENECK_FACTOR && row.excess() > 10e6);
        if is_slow || matches!(verdict, Verdict::Bottleneck(worst) | Verdict::Longest(worst) if worst == at) {
            row.messages.iter().for_each(|message| hot[*message] = true);
        }
    }
    let found = facts.findings.iter().filter(|finding| finding.id == "queue_wait").flat_map(|finding| &finding.spans);
    let slow: HashSet<usize> = found.copied().collect();
    for (at, hop) in facts.hops.iter().enumerate() {
        hot[at] |= slow.contains(&hop.consumer);
    }
    hot
}

/// The hop that stands first when a journey opens: the bottleneck, else the longest on the path, else the longest.
pub(crate) fn first_selected(rows: &[Hop], length: f64) -> Option<usize> {
    match verdict(rows, length) {
        Verdict::Bottleneck(at) | Verdict::Longest(at) => Some(at),
        Verdict::Nothing => {
            let by_time = |(_, a): &(usize, &Hop), (_, b): &(usize, &Hop)| {
                (a.is_critical, a.between).partial_cmp(&(b.is_critical, b.between)).unwrap_or(std::cmp::Ordering::Equal)
            };
            rows.iter().enumerate().max_by(by_time).map(|(at, _)| at)
        }
    }
}

/// The hop a message came from (`back`), or went on to: following it up or down its way.
pub(crate) fn follow(rows: &[Hop], facts: &Facts, at: usize, back: bool) -> Option<usize> {
    let row = rows.get(at)?;
    let candidates = rows.iter().enumerate().filter(|(other, _)| *other != at);
    if back {
        // The latest hop into the node this one starts at.
        let before = candidates.filter(|(_, other)| other.to == row.from && other.start <= row.start);
        before.max_by(|a, b| a.1.start.total_cmp(&b.1.start)).map(|(at, _)| at)
    } else {
        let after = candidates.filter(|(_, other)| other.from == row.to && other.start >= row.start);
        let is_message = |other: &Hop| other.queue.is_some_and(|queue| facts.family(queue) == Family::Broker);
        after
            .min_by(|a, b| (!is_message(a.1)).cmp(&!is_message(b.1)).then(a.1.start.total_cmp(&b.1.start)))
            .map(|(at, _)| at)
    }
}
