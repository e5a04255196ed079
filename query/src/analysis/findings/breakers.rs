//! Circuit breakers: there is no convention, so exceptions, proxy flags and metrics are the evidence.

use crate::analysis::graph::SpanIndex;

use super::{Finding, FindingName, View, ms};

/// A breaker that a metric showed open.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenBreaker {
    /// Service the breaker belongs to.
    pub service: String,
    /// Name of the breaker.
    pub name: String,
    /// Open from here (nanoseconds since 1970).
    pub from: i64,
    /// Until here.
    pub until: i64,
}

pub(super) fn find(view: &View<'_>, breakers: &[OpenBreaker], found: &mut Vec<Finding>) {
    let scene = view.scene;
    // An exception travels upwards: the deepest span that shows it is where the call was refused.
    let mut is_above = vec![false; scene.len()];
    for &at in scene.top_down.iter().rev() {
        if let Some(parent) = scene.parent[at] {
            is_above[parent] |= is_above[at] || view.known(at).facts.is_circuit_open;
        }
    }
    let mut refusing: Vec<&str> = Vec::new();
    for at in (0..scene.len()).filter(|at| view.known(*at).facts.is_circuit_open && !is_above[*at]) {
        let known = view.known(at);
        refusing.push(&known.service);
        let span = scene.spans[at];
        let summary = format!("a circuit breaker of {} refused {}", known.service, known.span.name);
        found.push(Finding::new(FindingName::CircuitOpen, vec![span], summary).text("kind", "span"));
        let entry = view.place(view.analysis.graph.entry[span]).filter(|entry| *entry != at);
        if let Some(pause) = entry.map(|entry| scene.end[entry] - scene.end[at])
            && (0..=view.thresholds.fail_fast_nanos).contains(&pause)
        {
            let summary = format!("{} answered {} after its breaker refused", known.service, ms(pause));
            found.push(Finding::new(FindingName::FailFast, vec![span], summary).nanos("pause_nanos", pause));
        }
    }
    for breaker in breakers.iter().filter(|breaker| !refusing.contains(&breaker.service.as_str())) {
        if let Some(span) = failed_entry(view, breaker) {
            let summary = format!("the breaker {} of {} was open", breaker.name, breaker.service);
            found.push(
                Finding::new(FindingName::CircuitOpen, vec![span], summary)
                    .text("kind", "metric")
                    .text("breaker", breaker.name.as_str()),
            );
        }
    }
}

/// The first span of the service that answered while the breaker was open and failed.
fn failed_entry(view: &View<'_>, breaker: &OpenBreaker) -> Option<SpanIndex> {
    let scene = view.scene;
    let is_hit = |at: &usize| {
        let known = view.known(*at);
        *known.service == *breaker.service
            && known.is_error
            && view.analysis.graph.entry[scene.spans[*at]] == scene.spans[*at]
            && (breaker.from..=breaker.until).contains(&known.start())
    };
    (0..scene.len()).filter(is_hit).min_by_key(|at| (scene.start[*at], *at)).map(|at| scene.spans[at])
}
