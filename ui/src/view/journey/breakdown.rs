//! Where the time of a journey went: every piece of the critical path in exactly one line, so the lines add up.

use super::facts::{Facts, Family, PathKind, Role};
use super::picture::{Picture, Tone};

/// A kind of time, in the order of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// In queues and topics.
    Broker,
    /// Before another attempt of a call or message.
    Backoff,
    /// Attempts that had to be repeated.
    FailedAttempts,
    /// At hosts that send no spans.
    External,
    /// In services.
    Work,
    /// In databases, caches, stores, name services.
    Store,
    /// On the wire, and handing messages to brokers.
    Network,
    /// Nobody worked.
    Gap,
}

impl Kind {
    /// All, in order.
    pub(crate) const ALL: [Self; 8] = [
        Self::Broker,
        Self::Backoff,
        Self::FailedAttempts,
        Self::External,
        Self::Work,
        Self::Store,
        Self::Network,
        Self::Gap,
    ];

    /// What the list says.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Broker => "Waiting in brokers",
            Self::Backoff => "Retry back-off, redelivery",
            Self::FailedAttempts => "Attempts that failed",
            Self::External => "External calls",
            Self::Work => "Service work",
            Self::Store => "Databases, caches",
            Self::Network => "Network, publishing",
            Self::Gap => "Nobody worked",
        }
    }

    /// Class names of its swatch.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Broker => "hatch hot",
            Self::Backoff => "hatch bad",
            Self::FailedAttempts => "k-bad",
            Self::External => "k-ext",
            Self::Work => "k-work",
            Self::Store => "k-store",
            Self::Network => "k-net",
            Self::Gap => "k-gap",
        }
    }
}

/// Nanoseconds of each kind that occurs, in order. Their sum is the length of the settled path.
pub(crate) fn breakdown(facts: &Facts, picture: &Picture) -> Vec<(Kind, f64)> {
    let mut sums = [0.0; Kind::ALL.len()];
    let repeated = repeated(facts);
    let mut add = |kind: Kind, nanos: f64| sums[kind as usize] += nanos;
    for piece in &facts.settled {
        let span = &facts.spans[piece.span];
        let kind = match piece.kind {
            PathKind::Queue => Kind::Broker,
            PathKind::Backoff => Kind::Backoff,
            PathKind::Gap => Kind::Gap,
            _ if is_under(facts, piece.span, &repeated) => Kind::FailedAttempts,
            PathKind::Remote => match facts.family(piece.node) {
                Family::Outside => Kind::External,
                Family::Store => Kind::Store,
                _ => Kind::Network,
            },
            PathKind::Network => Kind::Network,
            PathKind::Own if span.role == Role::Producer => Kind::Network,
            PathKind::Own if span.role == Role::Store => Kind::Store,
            PathKind::Own => Kind::Work,
        };
        // What the caller slept between two attempts is part of its own time.
        let slept = if kind == Kind::Work { slept(picture, piece.span, piece.start, piece.end) } else { 0.0 };
        let slept = slept.min(piece.nanos);
        add(Kind::Backoff, slept);
        add(kind, piece.nanos - slept);
    }
    Kind::ALL.into_iter().map(|kind| (kind, sums[kind as usize])).filter(|(_, nanos)| *nanos > 0.0).collect()
}

fn slept(picture: &Picture, span: usize, start: f64, end: f64) -> f64 {
    let bar = picture.bar_of[span];
    let waits = picture.marks.iter().filter(|mark| mark.tone == Tone::Backoff && mark.bar == bar);
    waits.map(|mark| (mark.end.min(end) - mark.start.max(start)).max(0.0)).sum()
}

/// Spans that failed and were tried again, as the server found them.
fn repeated(facts: &Facts) -> Vec<bool> {
    let mut repeated = vec![false; facts.spans.len()];
    for prev in facts.hops.iter().filter_map(|hop| hop.prev) {
        repeated[prev] = true;
    }
    for finding in facts.findings.iter().filter(|finding| matches!(finding.id.as_str(), "retried" | "retry_storm")) {
        let last = finding.spans.iter().map(|span| facts.spans[*span].start).fold(f64::MIN, f64::max);
        for span in finding.spans.iter().filter(|span| facts.spans[**span].start < last) {
            repeated[*span] |= facts.spans[*span].failed;
        }
    }
    repeated
}

fn is_under(facts: &Facts, span: usize, marked: &[bool]) -> bool {
    let mut above = Some(span);
    for _ in 0..facts.spans.len() {
        match above {
            Some(at) if marked[at] => return true,
            // What another service did about a message is not part of the attempt that sent it.
            Some(at) if facts.spans[at].role == Role::Consumer => return false,
            Some(at) => above = facts.spans[at].parent,
            None => return false,
        }
    }
    false
}
