//! Laws: what must hold for any set of spans, however odd.

use std::sync::Arc;
use std::time::Instant;

use model::{SpanKind, StatusCode, UnixNanos};
use proptest::prelude::*;

use super::draw::{BASE, MS, attribute, resource, span_id, trace_id};
use crate::analysis::critical_path::Segment;
use crate::analysis::edges::edges;
use crate::analysis::findings::{findings, window_findings};
use crate::analysis::journey::{CutReason, Journey, journey};
use crate::analysis::span::{Link, Resource, Span};
use crate::analysis::thresholds::{Bounds, Thresholds};
use crate::analysis::{Analysis, Options, analyze, compare, map};

const KINDS: [SpanKind; 5] =
    [SpanKind::Internal, SpanKind::Server, SpanKind::Client, SpanKind::Producer, SpanKind::Consumer];

/// A span by numbers: trace, id, parent, kind, start, duration, service, links, failed.
type Numbers = (u64, u64, Option<u64>, usize, i64, i64, usize, Vec<(u64, u64)>, bool);

fn span(numbers: &Numbers, resources: &[Arc<Resource>]) -> Span {
    let (trace, id, parent, kind, start, duration, service, links, failed) = numbers;
    let kind = KINDS[kind % KINDS.len()];
    let mut attributes = match kind {
        SpanKind::Client | SpanKind::Server => {
            vec![attribute("http.request.method", "GET"), attribute("url.path", "/x")]
        }
        SpanKind::Producer | SpanKind::Consumer => {
            vec![attribute("messaging.system", "kafka"), attribute("messaging.destination.name", "orders")]
        }
        _ => Vec::new(),
    };
    if kind == SpanKind::Consumer && id % 3 == 0 {
        attributes.push(attribute("messaging.operation.type", "receive"));
    }
    Span {
        trace_id: trace_id(&format!("t{trace}")),
        span_id: span_id(*id),
        parent_span_id: parent.map(span_id),
        name: format!("s{id}"),
        kind,
        start: UnixNanos(BASE + start * MS),
        end: UnixNanos(BASE + (start + duration) * MS),
        status: if *failed { StatusCode::Error } else { StatusCode::Unset },
        flags: if id % 2 == 0 { 0x101 } else { 0x301 },
        trace_state: String::new(),
        attributes,
        events: Vec::new(),
        links: links
            .iter()
            .map(|(trace, id)| Link {
                trace_id: trace_id(&format!("t{trace}")),
                span_id: span_id(*id),
                attributes: Vec::new(),
            })
            .collect(),
        resource: Arc::clone(&resources[service % resources.len()]),
        scope: String::new(),
        schema_url: String::new(),
    }
}

fn resources() -> Vec<Arc<Resource>> {
    ["order", "payment", "api-gateway", "mailer"].map(|service| resource(service, Some("1"), None)).into()
}

/// Any graph at all: circles, self-links, unknown parents, colliding ids, times that make no sense.
fn any_spans() -> impl Strategy<Value = Vec<Span>> {
    let id = 1_u64..14;
    let links = prop::collection::vec((0_u64..4, id.clone()), 0..3);
    let numbers = (
        0_u64..4,
        id.clone(),
        prop::option::of(id),
        0_usize..5,
        -50_i64..50,
        -2_i64..80,
        0_usize..4,
        links,
        any::<bool>(),
    );
    prop::collection::vec(numbers, 1..40).prop_map(|all| {
        let resources = resources();
        all.iter().map(|numbers| span(numbers, &resources)).collect()
    })
}

/// Everything the analysis says, as text: equal texts are equal answers.
fn everything(spans: Vec<Span>) -> String {
    let analysis = analyze(spans, &Options { join_by_keys: true, ..Options::default() });
    let thresholds = Thresholds { queue_lag_nanos: MS, chatty_calls: 2, ..Thresholds::default() };
    let mut text = format!("{:?}\n", edges(&analysis.graph, &analysis.calls, &analysis.messages));
    text += &format!("{:?}\n{:?}\n", analysis.messages.hops, analysis.joins);
    text += &format!("{:?}\n", map::minutes(&analysis, |trace| trace));
    text += &format!("{:?}\n{:?}\n", compare::by_family(&analysis), window_findings(&analysis, &thresholds));
    for (trace, _) in &analysis.graph.traces {
        let journey = journey(&analysis, *trace, None, &Bounds::default()).expect("a known trace");
        text += &format!("{:?}\n", findings(&analysis, &journey, &thresholds, &[]));
        text += &format!("{:?}\n{:?}\n{:?}\n", journey.response, journey.settled, journey.steps);
        text += &format!("{:?}\n{:?}\n{:?}\n", journey.members, journey.excluded, journey.skew);
    }
    text
}

/// Segments touch, never overlap, and cover what they say they cover.
fn check_paths(journey: &Journey) {
    for (path, nanos) in [(&journey.response, journey.response_nanos), (&journey.settled, journey.settled_nanos)] {
        assert!(path.windows(2).all(|pair| pair[0].end == pair[1].start), "{path:?}");
        assert!(path.iter().all(|segment| segment.start < segment.end), "{path:?}");
        assert_eq!(path.iter().map(Segment::nanos).sum::<i64>(), nanos, "{path:?}");
        let starts_at_root = path.first().is_none_or(|first| first.start == journey.scene.start[journey.scene.root]);
        assert!(starts_at_root, "{path:?}");
    }
    assert!(journey.settled_nanos >= journey.response_nanos);
    let seqs: Vec<usize> = journey.steps.iter().map(|step| step.seq).collect();
    assert!(seqs.iter().copied().eq(1..=seqs.len()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever comes in, both paths of every journey are contiguous and add up.
    #[test]
    fn paths_add_up(spans in any_spans()) {
        let analysis = analyze(spans, &Options::default());
        for (trace, _) in &analysis.graph.traces {
            check_paths(&journey(&analysis, *trace, None, &Bounds::default()).expect("a known trace"));
        }
    }

    /// Order of arrival, batches of their own and spans sent twice change nothing at all.
    #[test]
    fn arrival_changes_nothing(spans in any_spans(), seed in any::<u64>()) {
        let expected = everything(spans.clone());
        let mut other = spans.clone();
        let mut state = seed;
        for at in (1..other.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            other.swap(at, (state >> 33) as usize % (at + 1));
        }
        let again: Vec<Span> = other.iter().step_by(2).cloned().collect();
        other.extend(again);
        for span in &mut other {
            span.resource = Arc::new(Resource::clone(&span.resource));
        }
        prop_assert_eq!(everything(other), expected);
    }
}

fn chain(n: u64, kind: impl Fn(u64) -> usize) -> Vec<Span> {
    let resources = resources();
    let numbers = |at: u64| {
        let parent = (at > 1).then(|| at - 1);
        let left = (n - at) as i64;
        (0, at, parent, kind(at), at as i64, 2 * left + 1, (at / 2 % 2) as usize, Vec::new(), at == n)
    };
    (1..=n).map(|at| span(&numbers(at), &resources)).collect()
}

fn wide(n: u64) -> Vec<Span> {
    let resources = resources();
    let child = |at: u64| (0, at, Some(1), (at % 3) as usize, at as i64, 1, 0, Vec::new(), at.is_multiple_of(7));
    let root = (0, 1, None, 1, 0, n as i64 + 10, 0, Vec::new(), false);
    std::iter::once(root).chain((2..=n).map(child)).map(|numbers| span(&numbers, &resources)).collect()
}

fn all_of(spans: Vec<Span>, bounds: &Bounds) -> (Analysis, Journey) {
    let analysis = analyze(spans, &Options::default());
    let journey = journey(&analysis, trace_id("t0"), None, bounds).expect("a known trace");
    let _ = findings(&analysis, &journey, &Thresholds::default(), &[]);
    (analysis, journey)
}

/// A trace a hundred thousand levels deep, and one with a hundred thousand children: no recursion, no
/// quadratic step. The stack of a test thread is 2 MiB.
#[test]
fn huge_traces_are_no_problem() {
    let bounds = Bounds { spans_max: usize::MAX, ..Bounds::default() };
    let shapes: [fn(u64) -> Vec<Span>; 3] = [|n| chain(n, |at| 1 + (at % 2) as usize), |n| chain(n, |_| 0), wide];
    for shape in shapes {
        let timed = |n: u64| {
            let spans = shape(n);
            let started = Instant::now();
            let (_, journey) = all_of(spans, &bounds);
            check_paths(&journey);
            assert_eq!(journey.scene.len() as u64, n);
            started.elapsed()
        };
        let (small, large) = (timed(10_000), timed(100_000));
        // A quadratic step takes a hundred times as long, however busy the machine is.
        assert!(large.as_secs() < 60 || large < 40 * small, "{large:?}, and {small:?} for a tenth");
    }
}

/// The bound on spans keeps the earliest ones, and says how many it left out.
#[test]
fn too_many_spans_are_cut_and_counted() {
    let (_, journey) = all_of(wide(25_000), &Bounds::default());
    assert_eq!(journey.scene.len(), 20_000);
    assert_eq!(
        journey.cuts.iter().map(|cut| (cut.reason, cut.left_out)).collect::<Vec<_>>(),
        [(CutReason::Spans, 5_000)]
    );
    check_paths(&journey);
}

/// Producers in trace 0, one consumer trace each; `n_links` of them point to the one before.
fn fan(n: u64) -> Vec<Span> {
    let resources = resources();
    let mut spans = vec![span(&(0, 1, None, 3, 0, 1, 0, Vec::new(), false), &resources)];
    for at in 1..=n {
        spans.push(span(&(at, 1_000 + 3 * at + 1, None, 4, at as i64, 1, 3, vec![(0, 1)], false), &resources));
    }
    spans
}

/// 300 consumers of one message: 63 traces are followed, the others counted.
#[test]
fn too_many_members_are_cut_and_counted() {
    let (_, journey) = all_of(fan(300), &Bounds::default());
    assert_eq!(journey.members.len(), 64);
    let left: usize = journey.cuts.iter().map(|cut| cut.left_out).sum();
    assert_eq!((left, journey.cuts[0].reason), (300 - 63, CutReason::Members));
    let few = Bounds { deliveries_per_send_max: 10, ..Bounds::default() };
    let (_, journey) = all_of(fan(300), &few);
    assert_eq!((journey.members.len(), journey.cuts[0].reason), (11, CutReason::Deliveries));
    assert_eq!(journey.cuts[0].left_out, 290);
}

/// A chain of joins longer than eight, and one that leads back: both end.
#[test]
fn joins_end() {
    let resources = resources();
    let consumer = |at: u64, from: u64| {
        let consumer = (at, 10 * at + 2, None, 4, 10 * at as i64, 5, 3, vec![(from, 10 * from + 5)], false);
        let producer = (at, 10 * at + 5, Some(10 * at + 2), 3, 10 * at as i64 + 1, 1, 3, Vec::new(), false);
        [span(&consumer, &resources), span(&producer, &resources)]
    };
    let mut spans = vec![span(&(0, 5, None, 3, 0, 1, 0, Vec::new(), false), &resources)];
    spans.extend((1..=12).flat_map(|at| consumer(at, at - 1)));
    let (_, journey) = all_of(spans, &Bounds::default());
    assert_eq!((journey.members.len(), journey.cuts[0].reason), (9, CutReason::Depth));
    let circle: Vec<Span> = (0..3).flat_map(|at| consumer(at, (at + 2) % 3)).collect();
    let (_, journey) = all_of(circle, &Bounds::default());
    assert_eq!((journey.members.len(), journey.cuts.len()), (3, 0));
    check_paths(&journey);
}

/// A batch with 500 links, some to itself, some twice, most to spans nobody received.
#[test]
fn batches_of_five_hundred_links() {
    let resources = resources();
    let links: Vec<(u64, u64)> = (0..500).map(|at| (at % 120, 1 + at % 9)).collect();
    let mut spans = vec![span(&(0, 1, None, 3, 0, 1, 0, Vec::new(), false), &resources)];
    spans.push(span(&(7, 4, Some(4), 4, 5, 5, 3, links, false), &resources));
    let (analysis, journey) = all_of(spans, &Bounds::default());
    assert_eq!(journey.members.len(), 2);
    assert_eq!(journey.shared.len(), 1, "one of its messages is ours, the others are not");
    assert!(analysis.messages.hops.len() < 500);
    check_paths(&journey);
}

/// Members long before or after the origin are another story.
#[test]
fn members_are_near_in_time() {
    let mut spans = fan(2);
    spans[1].start = spans[1].start + 25 * 3_600_000 * MS;
    spans[1].end = spans[1].start + MS;
    let (_, journey) = all_of(spans, &Bounds::default());
    assert_eq!((journey.members.len(), journey.cuts[0].reason), (2, CutReason::Time));
}

/// Times at the edge of 64 bits neither panic nor break the sums.
#[test]
fn garbage_clocks_do_not_panic() {
    let mut spans = chain(6, |at| (at % 5) as usize);
    spans[1].start = UnixNanos(i64::MIN);
    spans[2].end = UnixNanos(i64::MAX);
    spans[3].start = UnixNanos(i64::MAX);
    spans[4].end = UnixNanos(i64::MIN);
    let analysis = analyze(spans, &Options::default());
    let journey = journey(&analysis, trace_id("t0"), None, &Bounds::default()).expect("a known trace");
    let _ = findings(&analysis, &journey, &Thresholds::default(), &[]);
    let _ = map::minutes(&analysis, |trace| trace);
}

/// Nothing in, nothing out.
#[test]
fn empty_set() {
    let analysis = analyze(Vec::new(), &Options::default());
    assert!(journey(&analysis, trace_id("t0"), None, &Bounds::default()).is_none());
    assert!(window_findings(&analysis, &Thresholds::default()).is_empty());
}
