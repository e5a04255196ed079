//! Pauses between the attempts of one call, as the server found them.
//!
//! A caller that sleeps before it tries again leaves no span: the time would look like its own work. Each pause becomes a row before the
//! attempt it led to. Many attempts without spans below them are one row of the list (`× 12`), and stay that.

use std::collections::HashMap;

use api::{SpanRef, Timeline};
use model::{SpanId, TraceId};

use crate::view::span_tree::FOLD_MIN;

/// Names of the findings that tell the attempts of one call.
const OF_ATTEMPTS: [&str; 2] = ["retried", "retry_storm"];

/// What the server found, as far as rows are made of it. The answer's own type holds more than a list of rows needs.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Found {
    /// Its name.
    pub(crate) id: String,
    /// The spans it rests on.
    pub(crate) evidence: Vec<SpanRef>,
}

/// Nobody worked between two attempts of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pause {
    /// Number of the attempt that came after, from 2.
    pub(crate) attempt: usize,
    /// The attempt before, and the one after.
    pub(crate) between: [(TraceId, SpanId); 2],
    /// From the end of the one to the start of the other, in nanoseconds after the start of their trace.
    pub(super) from: u64,
    pub(super) to: u64,
}

/// The pause before each span that is another attempt, by part and position in it.
pub(super) fn pauses(
    parts: &[Timeline],
    places: &HashMap<(TraceId, SpanId), (usize, usize)>,
    findings: &[Found],
) -> HashMap<(usize, usize), Pause> {
    let mut found = HashMap::new();
    for finding in findings.iter().filter(|finding| OF_ATTEMPTS.contains(&finding.id.as_str())) {
        // Attempts have one caller; retries inside of retries have several, each with runs of its own.
        let mut runs: HashMap<(usize, i32), Vec<usize>> = HashMap::new();
        for span in &finding.evidence {
            if let Some((part, index)) = places.get(&(span.trace_id, span.span_id)) {
                let parent = parts[*part].spans.parent.get(*index).copied().unwrap_or(-1);
                runs.entry((*part, parent)).or_default().push(*index);
            }
        }
        for ((part, parent), mut run) in runs {
            let spans = &parts[part].spans;
            let start = |index: usize| spans.start_nanos.get(index).copied().unwrap_or_default();
            run.sort_by_key(|index| (start(*index), *index));
            run.dedup();
            let is_leaf = |index: &usize| spans.parent.get(index + 1) != Some(&(*index as i32));
            if parent < 0 || (run.len() >= FOLD_MIN && run.iter().all(is_leaf)) {
                continue;
            }
            for (at, pair) in run.windows(2).enumerate() {
                let from =
                    start(pair[0]).saturating_add(spans.duration_nanos.get(pair[0]).copied().unwrap_or_default());
                let to = start(pair[1]);
                if from < to {
                    let between = [pair[0], pair[1]].map(|index| (parts[part].trace_id, spans.span_id[index]));
                    found.insert((part, pair[1]), Pause { attempt: at + 2, between, from, to });
                }
            }
        }
    }
    found
}
