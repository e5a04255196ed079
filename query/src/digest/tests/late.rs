//! Late traces: many are looked at together, what does not fit is halved, and nothing is late for a reason that is none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use model::{Attribute, AttributeValue, SpanId, SpanKind, TraceId};

use super::super::catch_up::waiting;
use super::world::{SECOND, World, difference, fixtures};
use crate::analysis::span::{Link, Span};
use crate::testing::tenant;

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

/// Hundreds of messages that nobody has taken do not crowd out the deliveries that wait for their sender.
#[tokio::test]
async fn each_kind_of_waiting_has_its_room() {
    let (_, spans) = fixtures().into_iter().find(|(name, _)| name.starts_with("03")).expect("it is there");
    let effects: Vec<Span> = spans.into_iter().filter(|span| !span.links.is_empty()).collect();
    let text = |key: &str, text: String| Attribute { key: key.to_owned(), value: AttributeValue::String(text) };
    let sends: Vec<Span> = (0..10)
        .map(|number| {
            let mut send = effects[0].clone();
            send.trace_id = TraceId::from_bytes(&[7; 16]).expect("an id");
            send.span_id = SpanId::from_bytes(&[number + 1; 8]).expect("an id");
            (send.parent_span_id, send.kind, send.links) = (None, SpanKind::Producer, Vec::new());
            send.attributes = vec![
                text("messaging.system", "rabbitmq".to_owned()),
                text("messaging.operation.type", "send".to_owned()),
                text("messaging.destination.name", "orders".to_owned()),
                text("messaging.message.id", format!("4f0c2e1b-8f6d-4f33-9d0a-00000000000{number}")),
            ];
            send
        })
        .collect();
    let mut world = World::new().await;
    world.arrive(&[effects, sends].concat()).await;
    world.pass(200 * SECOND).await;
    let stored = world.task.stored(&tenant()).expect("storage");
    let all = waiting(&stored, i64::MIN, 1_000).await.expect("rows");
    assert!(all.ends.len() > 1 && all.awaited.len() > 1, "{all:?}");
    let some = waiting(&stored, i64::MIN, 3).await.expect("rows");
    assert_eq!((some.ends.len(), some.awaited.len()), (1, 1));
}

/// What late traces link to is read whole or for fewer of them: two that link to a hundred spans each are looked at one by one
/// where 120 fit.
#[tokio::test]
async fn links_that_do_not_fit_are_read_for_fewer() {
    let (_, fixture) = fixtures().swap_remove(0);
    let plain = |trace: u8, span: u8, links: &[u8]| {
        let mut plain = fixture[0].clone();
        plain.trace_id = TraceId::from_bytes(&[trace; 16]).expect("an id");
        plain.span_id = SpanId::from_bytes(&[span; 8]).expect("an id");
        (plain.parent_span_id, plain.kind) = (None, SpanKind::Internal);
        (plain.attributes, plain.events) = (Vec::new(), Vec::new());
        let link = |to: &u8| Link {
            trace_id: TraceId::from_bytes(&[*to; 16]).expect("an id"),
            span_id: SpanId::from_bytes(&[1; 8]).expect("an id"),
            attributes: Vec::new(),
        };
        plain.links = links.iter().map(link).collect();
        plain
    };
    let targets = [1, 2].into_iter().flat_map(|trace| (1..=100).map(move |span| (trace, span)));
    let targets: Vec<Span> = targets.map(|(trace, span)| plain(trace, span, &[])).collect();
    let early = [plain(11, 1, &[1]), plain(12, 1, &[2])];
    let late = [plain(11, 2, &[]), plain(12, 2, &[])];
    let mut reference = World::new().await;
    reference.arrive(&[&targets[..], &early, &late].concat()).await;
    reference.pass(200 * SECOND).await;
    for (spans_max, n_batches) in [(20_000, 1), (120, 2)] {
        let mut world = World::new().await;
        world.task.bounds.spans_max = spans_max;
        world.arrive(&targets).await;
        world.pass(200 * SECOND).await;
        world.arrive(&early).await;
        world.pass(200 * SECOND).await;
        let before = world.task.figures.batches.load(Ordering::Relaxed);
        world.arrive(&late).await;
        world.pass(200 * SECOND).await;
        assert_eq!(world.task.figures.batches.load(Ordering::Relaxed) - before, n_batches, "{spans_max} spans");
        difference(&format!("{spans_max} spans"), &world.relations().await, &reference.relations().await);
    }
}
