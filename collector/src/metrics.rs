//! What the collector counts about itself: one list of names, labels from closed sets.

use std::sync::atomic::{AtomicU64, Ordering};

use model::{ErrorKind, Repairs};

use crate::error::Error;
use crate::outcome::{OddForm, Outcome, Reason, Signal};

/// A metric of ours. Names follow OpenMetrics: a counter's samples end in `_total`.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// Name without suffix.
    pub name: &'static str,
    /// One line for people.
    pub help: &'static str,
    /// Counters only grow; everything else is a gauge.
    pub is_counter: bool,
}

const fn counter(name: &'static str, help: &'static str) -> Family {
    Family { name, help, is_counter: true }
}

/// Items taken.
pub const ACCEPTED: Family = counter("otlp_accepted_items", "Spans, data points and log records stored.");
/// Items refused.
pub const REJECTED: Family =
    counter("otlp_rejected_items", "Items refused while others of their request were kept, or all of them.");
/// Items mended.
pub const REPAIRED: Family = counter("otlp_repaired_items", "Items stored with a repair; see the column repairs.");
/// Odd forms of OTLP/JSON.
pub const ODD_FORMS: Family =
    counter("otlp_json_odd_forms", "Members of OTLP/JSON read in a form that the specification writes otherwise.");
/// Requests answered.
pub const REQUESTS: Family = counter("otlp_requests", "Requests answered, by transport and answer.");
/// Bytes received.
pub const WIRE_BYTES: Family = counter("otlp_received_bytes", "Bytes of request bodies as they came.");
/// Bytes in flight.
pub const IN_FLIGHT_BYTES: Family = Family {
    name: "otlp_in_flight_bytes",
    help: "Bytes of requests being taken, as they came and decompressed.",
    is_counter: false,
};

/// Own spans that were left out.
pub const OWN_SPANS_DROPPED: Family =
    counter("own_spans_dropped", "Spans of the collector's own traces that were not stored.");

/// Every metric of the collector.
pub const FAMILIES: &[&Family] =
    &[&ACCEPTED, &REJECTED, &REPAIRED, &ODD_FORMS, &REQUESTS, &WIRE_BYTES, &IN_FLIGHT_BYTES, &OWN_SPANS_DROPPED];

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// gRPC.
    Grpc,
    /// HTTP with protobuf.
    HttpProtobuf,
    /// HTTP with JSON.
    HttpJson,
}

impl Transport {
    /// Every transport, in order of its counter.
    pub const ALL: [Self; 3] = [Self::Grpc, Self::HttpProtobuf, Self::HttpJson];

    /// The word used in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http_protobuf",
            Self::HttpJson => "http_json",
        }
    }
}

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// All stored.
    Ok,
    /// Some items refused, or stored with a warning.
    Partial,
    /// Refused: fix it.
    Invalid,
    /// Refused: nothing there, or not in this form.
    Unsupported,
    /// Refused: over a size limit.
    TooLarge,
    /// Refused: come back later.
    Overloaded,
    /// Refused: the tenant sent more than it may.
    OverBudget,
    /// Refused: our bug.
    Internal,
}

impl Answer {
    /// Every answer, in order of its counter.
    pub const ALL: [Self; 8] = [
        Self::Ok,
        Self::Partial,
        Self::Invalid,
        Self::Unsupported,
        Self::TooLarge,
        Self::Overloaded,
        Self::OverBudget,
        Self::Internal,
    ];

    /// The word used in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Partial => "partial",
            Self::Invalid => "invalid",
            Self::Unsupported => "unsupported",
            Self::TooLarge => "too_large",
            Self::Overloaded => "overloaded",
            Self::OverBudget => "over_budget",
            Self::Internal => "internal",
        }
    }

    fn of(result: Result<&Outcome, &Error>, signal: Signal) -> Self {
        match result {
            Ok(outcome) if outcome.message(signal).is_empty() => Self::Ok,
            Ok(_) => Self::Partial,
            Err(
                Error::UnsupportedMedia { .. }
                | Error::UnsupportedCoding { .. }
                | Error::NotFound { .. }
                | Error::MethodNotAllowed { .. },
            ) => Self::Unsupported,
            Err(error) => match error.kind() {
                ErrorKind::TooLarge => Self::TooLarge,
                ErrorKind::OverBudget => Self::OverBudget,
                ErrorKind::Overloaded | ErrorKind::Timeout => Self::Overloaded,
                ErrorKind::Damaged | ErrorKind::Internal => Self::Internal,
                _ => Self::Invalid,
            },
        }
    }
}

/// The counters. Shared by everything that answers requests.
#[derive(Debug, Default)]
pub struct Metrics {
    accepted: [AtomicU64; Signal::ALL.len()],
    rejected: [[AtomicU64; Reason::ALL.len()]; Signal::ALL.len()],
    repaired: [[AtomicU64; Repairs::NAMED.len()]; Signal::ALL.len()],
    odd_forms: [AtomicU64; OddForm::ALL.len()],
    requests: [[AtomicU64; Answer::ALL.len()]; Transport::ALL.len()],
    wire_bytes: [AtomicU64; Signal::ALL.len()],
    pub(crate) in_flight_bytes: AtomicU64,
    pub(crate) own_spans_dropped: AtomicU64,
}

/// The counters at one moment. Members with a count of zero are left out, except in `accepted`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Items taken.
    pub accepted: Vec<(Signal, u64)>,
    /// Items refused.
    pub rejected: Vec<(Signal, Reason, u64)>,
    /// Items mended, by name of the repair.
    pub repaired: Vec<(Signal, &'static str, u64)>,
    /// Odd forms of OTLP/JSON.
    pub odd_forms: Vec<(OddForm, u64)>,
    /// Requests answered.
    pub requests: Vec<(Transport, Answer, u64)>,
    /// Bytes received.
    pub wire_bytes: Vec<(Signal, u64)>,
    /// Bytes being taken.
    pub in_flight_bytes: u64,
    /// Spans of own traces that were not stored.
    pub own_spans_dropped: u64,
}

/// One value of a family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Whose value it is.
    pub family: &'static Family,
    /// Label names and values.
    pub labels: Vec<(&'static str, &'static str)>,
    /// The value.
    pub value: u64,
}

impl Metrics {
    /// Counts items whose fate is settled: stored, or refused for good.
    pub(crate) fn count_outcome(&self, signal: Signal, outcome: &Outcome) {
        let row = signal as usize;
        self.accepted[row].fetch_add(outcome.accepted(), Ordering::Relaxed);
        for (reason, n) in outcome.rejected() {
            self.rejected[row][reason as usize].fetch_add(n, Ordering::Relaxed);
        }
        for (name, n) in outcome.repaired() {
            if let Some(index) = Repairs::NAMED.iter().position(|(other, _)| *other == name) {
                self.repaired[row][index].fetch_add(n, Ordering::Relaxed);
            }
        }
        for (form, n) in outcome.odd_forms() {
            self.odd_forms[form as usize].fetch_add(n, Ordering::Relaxed);
        }
    }

    /// Counts an answer.
    pub(crate) fn count_answer(&self, transport: Transport, signal: Signal, result: Result<&Outcome, &Error>) {
        self.requests[transport as usize][Answer::of(result, signal) as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a body.
    pub(crate) fn count_wire_bytes(&self, signal: Signal, n_bytes: u64) {
        self.wire_bytes[signal as usize].fetch_add(n_bytes, Ordering::Relaxed);
    }

    /// The counters at this moment.
    pub fn snapshot(&self) -> Snapshot {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let mut snapshot = Snapshot {
            in_flight_bytes: read(&self.in_flight_bytes),
            own_spans_dropped: read(&self.own_spans_dropped),
            ..Snapshot::default()
        };
        for signal in Signal::ALL {
            let row = signal as usize;
            snapshot.accepted.push((signal, read(&self.accepted[row])));
            snapshot.wire_bytes.push((signal, read(&self.wire_bytes[row])));
            let rejected = Reason::ALL.iter().zip(&self.rejected[row]).map(|(reason, n)| (signal, *reason, read(n)));
            snapshot.rejected.extend(rejected.filter(|(.., n)| *n > 0));
            let repaired =
                Repairs::NAMED.iter().zip(&self.repaired[row]).map(|((name, _), n)| (signal, *name, read(n)));
            snapshot.repaired.extend(repaired.filter(|(.., n)| *n > 0));
        }
        let odd_forms = OddForm::ALL.iter().zip(&self.odd_forms).map(|(form, n)| (*form, read(n)));
        snapshot.odd_forms.extend(odd_forms.filter(|(_, n)| *n > 0));
        for transport in Transport::ALL {
            let row = Answer::ALL.iter().zip(&self.requests[transport as usize]);
            let answers = row.map(|(answer, n)| (transport, *answer, read(n)));
            snapshot.requests.extend(answers.filter(|(.., n)| *n > 0));
        }
        snapshot
    }
}

impl Snapshot {
    /// The same as samples of [`FAMILIES`], grouped by family in that order.
    pub fn samples(&self) -> Vec<Sample> {
        let sample =
            |family, labels: &[(&'static str, &'static str)], value| Sample { family, labels: labels.to_vec(), value };
        let mut samples = Vec::new();
        samples.extend(self.accepted.iter().map(|(s, n)| sample(&ACCEPTED, &[("signal", s.as_str())], *n)));
        samples.extend(self.rejected.iter().map(|(signal, reason, n)| {
            sample(&REJECTED, &[("signal", signal.as_str()), ("reason", reason.as_str())], *n)
        }));
        samples.extend(
            self.repaired
                .iter()
                .map(|(signal, repair, n)| sample(&REPAIRED, &[("signal", signal.as_str()), ("repair", repair)], *n)),
        );
        samples.extend(self.odd_forms.iter().map(|(form, n)| sample(&ODD_FORMS, &[("form", form.as_str())], *n)));
        samples.extend(self.requests.iter().map(|(transport, answer, n)| {
            sample(&REQUESTS, &[("transport", transport.as_str()), ("answer", answer.as_str())], *n)
        }));
        samples.extend(self.wire_bytes.iter().map(|(s, n)| sample(&WIRE_BYTES, &[("signal", s.as_str())], *n)));
        samples.push(sample(&IN_FLIGHT_BYTES, &[], self.in_flight_bytes));
        samples.push(sample(&OWN_SPANS_DROPPED, &[], self.own_spans_dropped));
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A15: a refusal is counted by signal and reason, whatever the sender does with the answer.
    #[test]
    fn a15_rejections_are_counted() {
        let metrics = Metrics::default();
        let mut outcome = Outcome::default();
        outcome.keep(Repairs::PARENT);
        outcome.reject(Reason::TooOld);
        metrics.count_outcome(Signal::Traces, &outcome);
        metrics.count_outcome(Signal::Traces, &outcome);
        let snapshot = metrics.snapshot();
        assert_eq!(snapshot.rejected, [(Signal::Traces, Reason::TooOld, 2)]);
        assert_eq!(snapshot.repaired, [(Signal::Traces, "parent", 2)]);
        assert!(snapshot.accepted.contains(&(Signal::Traces, 2)));
        let samples = snapshot.samples();
        let rejected = samples.iter().find(|sample| sample.family == &REJECTED).expect("a sample");
        assert_eq!(rejected.labels, [("signal", "traces"), ("reason", "too_old")]);
        assert!(samples.iter().all(|sample| FAMILIES.contains(&sample.family)));
    }
}
