//! Late traces: many are looked at together, what does not fit is halved, and nothing is late for a reason that is none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use model::{SpanId, TraceId};

use super::world::{SECOND, World, difference, fixtures};
use crate::analysis::span::Span;

/// The same spans as another request: every trace has another id.
fn another(spans: &[Span], number: u8) -> Vec<Span> {
    let other = |trace: TraceId| {
        let mut bytes = *trace.as_bytes();
        bytes[3] ^= number;
        TraceId::from_bytes(&bytes).expect("an id")
    };
    let mut spans = spans.to_vec();
    for span in &mut spans {
        span.trace_id = other(span.trace_id);
        span.links.iter_mut().for_each(|link| link.trace_id = other(link.trace_id));
    }
    spans
}

/// Forty requests over several traces, and the last span of each trace by itself.
fn requests() -> (Vec<Span>, Vec<Span>) {
    let (_, spans) = fixtures().into_iter().find(|(name, _)| name.starts_with("02")).expect("it is there");
    let all: Vec<Span> = (0..40).flat_map(|number| another(&spans, number)).collect();
    let mut newest: BTreeMap<TraceId, (i64, SpanId)> = BTreeMap::new();
    for span in &all {
        let known = newest.entry(span.trace_id).or_insert((i64::MIN, span.span_id));
        *known = (*known).max((span.start.0, span.span_id));
    }
    all.into_iter().partition(|span| newest[&span.trace_id].1 != span.span_id)
}

fn traces(spans: &[Span]) -> BTreeSet<TraceId> {
    spans.iter().map(|span| span.trace_id).collect()
}

/// Late spans of eighty and more traces: as few batches as for one, and the relations as if nothing had been late. The same
/// when only a few journeys fit into one look.
#[tokio::test]
async fn many_late_traces_are_one_batch() {
    let (early, late) = requests();
    let n_late = traces(&late).intersection(&traces(&early)).count() as u64;
    assert!(n_late >= 40, "{n_late}");
    let mut reference = World::new().await;
    reference.arrive(&[early.clone(), late.clone()].concat()).await;
    reference.pass(200 * SECOND).await;
    let expected = reference.relations().await;
    for spans_max in [20_000, 120] {
        let mut world = World::new().await;
        world.task.bounds.spans_max = spans_max;
        world.arrive(&early).await;
        world.pass(200 * SECOND).await;
        let before = world.task.figures.batches.load(Ordering::Relaxed);
        world.arrive(&late).await;
        world.pass(200 * SECOND).await;
        let figures = &world.task.figures;
        let n_batches = figures.batches.load(Ordering::Relaxed) - before;
        assert!(figures.late.load(Ordering::Relaxed) >= n_late);
        if spans_max == 120 {
            assert!((2..n_late).contains(&n_batches), "{n_batches} batches: more than a few journeys do not fit");
        } else {
            assert_eq!(n_batches, 1);
        }
        difference(&format!("{spans_max} spans at once"), &world.relations().await, &expected);
    }
}

/// Consumers of messages whose sender was never seen are not late because another one names the same trace; when the sender
/// comes, all of them are corrected.
#[tokio::test]
async fn a_cause_never_seen_makes_nobody_late() {
    let (_, spans) = fixtures().into_iter().find(|(name, _)| name.starts_with("03")).expect("it is there");
    let causes: BTreeSet<TraceId> = spans.iter().flat_map(|span| &span.links).map(|link| link.trace_id).collect();
    let (cause, effects): (Vec<Span>, Vec<Span>) =
        spans.into_iter().partition(|span| span.links.is_empty() && causes.contains(&span.trace_id));
    let cause_traces = traces(&cause);
    assert!(!cause.is_empty() && traces(&effects).is_disjoint(&cause_traces), "senders have traces of their own");
    let mut reference = World::new().await;
    reference.arrive(&[cause.clone(), effects.clone()].concat()).await;
    reference.pass(200 * SECOND).await;
    let mut world = World::new().await;
    let mut one_by_one: BTreeMap<TraceId, Vec<Span>> = BTreeMap::new();
    effects.into_iter().for_each(|span| one_by_one.entry(span.trace_id).or_default().push(span));
    assert!(one_by_one.len() > 1, "several consumers");
    for spans in one_by_one.values() {
        world.arrive(spans).await;
        world.pass(100 * SECOND).await;
    }
    assert_eq!(world.task.figures.late.load(Ordering::Relaxed), 0, "nothing at rest was touched");
    world.arrive(&cause).await;
    world.pass(200 * SECOND).await;
    difference("corrected", &world.relations().await, &reference.relations().await);
}
