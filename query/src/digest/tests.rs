//! The digest as a reader notices it: whatever order, batching, repetition, delay or restart, the relations say the
//! same as one analysis of everything.

mod environments;
mod findings;
mod late;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{TimeRange, TraceId, UnixNanos};

use super::rollup::Parts;
use crate::analysis::span::Span;
use crate::engine::Engine;
use crate::map::environment::Environment;
use crate::testing::tenant;
use world::{BEGIN, MovedClock, SECOND, World, difference, fixtures};

/// What is computed on demand, what is at rest, and both together half-way are the same.
#[tokio::test]
async fn at_rest_is_what_was_told_on_demand() {
    for (name, spans) in fixtures() {
        let mut world = World::new().await;
        world.arrive(&spans).await;
        let on_demand = world.relations().await;
        assert!(!on_demand["calls"].is_empty() && !on_demand["journeys"].is_empty(), "{name}");
        world.pass(29 * SECOND).await;
        assert_eq!(world.at_rest().await, "0", "{name}: nothing has settled");
        world.pass(90 * SECOND).await;
        let traces: std::collections::BTreeSet<TraceId> = spans.iter().map(|span| span.trace_id).collect();
        assert_eq!(world.at_rest().await, traces.len().to_string(), "{name}: all has settled");
        difference(&name, &world.relations().await, &on_demand);
        world.restart().await;
        world.pass(90 * SECOND).await;
        difference(&name, &world.relations().await, &on_demand);
    }
}

/// Any order, any batches, spans sent twice, spans that come late, restarts at any point: the same relations.
#[tokio::test]
async fn arrival_makes_no_difference() {
    let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
    // Xorshift: any sequence does, as long as a failure comes again.
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for (name, spans) in fixtures() {
        let mut reference = World::new().await;
        reference.arrive(&spans).await;
        let expected = reference.relations().await;
        for round in 0..2 {
            let mut world = World::new().await;
            let mut order = spans.clone();
            for at in (1..order.len()).rev() {
                order.swap(at, random(at as u64 + 1) as usize);
            }
            let twice: Vec<Span> = order.iter().filter(|_| random(8) == 0).cloned().collect();
            order.extend(twice);
            let mut history = Vec::new();
            while !order.is_empty() {
                let n = (random(order.len() as u64) as usize + 1).min(order.len());
                let batch: Vec<Span> = order.drain(..n).collect();
                world.arrive(&batch).await;
                // Joins by status address are remembered for a while only, and in memory.
                let by_address = name.starts_with("06");
                let seconds = [0, 1, 20, 45, 100][random(if by_address { 3 } else { 5 }) as usize];
                world.pass(seconds * SECOND + 1).await;
                history.push(format!("{n} spans, {seconds} s"));
                if random(3) == 0 && !by_address {
                    world.restart().await;
                    history.push("restart".to_owned());
                }
            }
            world.pass(200 * SECOND).await;
            difference(&format!("{name}, round {round}: {history:?}"), &world.relations().await, &expected);
        }
    }
}

/// A consumer whose sender is heard of only after it came to rest, and after a restart: the delivery is corrected,
/// whether a link or the name of the message joins them. So is a sender whose consumer comes then, and an accepted call
/// whose status address is looked at then.
#[tokio::test]
async fn causes_and_effects_may_come_after_a_restart() {
    let mut n_joined = 0;
    for (name, spans) in fixtures() {
        let mut traces: BTreeMap<TraceId, (i64, Vec<Span>)> = BTreeMap::new();
        for span in &spans {
            let (start, of_trace) = traces.entry(span.trace_id).or_insert((i64::MAX, Vec::new()));
            *start = span.start.0.min(*start);
            of_trace.push(span.clone());
        }
        let mut order: Vec<(i64, Vec<Span>)> = traces.into_values().collect();
        order.sort_by_key(|(start, _)| *start);
        n_joined += order.len() - 1;
        let mut reference = World::new().await;
        reference.arrive(&spans).await;
        let expected = reference.relations().await;
        for direction in ["effects after causes", "causes after effects"] {
            // Whoever looks at addresses is not remembered: most are none.
            if name.starts_with("06") && direction == "causes after effects" {
                continue;
            }
            let mut world = World::new().await;
            for (_, spans) in &order {
                world.arrive(spans).await;
                world.pass(100 * SECOND).await;
                world.restart().await;
            }
            world.pass(200 * SECOND).await;
            difference(&format!("{name}, {direction}"), &world.relations().await, &expected);
            order.reverse();
        }
    }
    assert!(n_joined > 3, "some scenarios have several traces");
}

/// The map says the same on demand, half-way and at rest, from memory and read anew: nothing is counted twice, and late
/// spans correct what is remembered.
#[tokio::test]
async fn the_map_is_the_same_wherever_its_sums_come_from() {
    let range = TimeRange::new(UnixNanos(BEGIN - 3_600 * SECOND), UnixNanos(BEGIN + 3_600 * SECOND));
    for (name, spans) in fixtures() {
        let mut reference = World::new().await;
        reference.arrive(&spans).await;
        let expected = edges(&reference.task.engine, range).await;
        assert!(!expected.is_empty(), "{name}");
        reference.pass(200 * SECOND).await;
        assert_eq!(edges(&reference.task.engine, range).await, expected, "{name} at rest");

        let mut world = World::new().await;
        let (early, late) = spans.split_at(spans.len() / 2);
        world.arrive(early).await;
        world.pass(200 * SECOND).await;
        assert!(!edges(&world.task.engine, range).await.is_empty(), "{name} is remembered half");
        world.arrive(late).await;
        world.pass(200 * SECOND).await;
        let remembering = edges(&world.task.engine, range).await;
        let anew = Engine::new(
            world.task.engine.config().clone(),
            world.storage.reader(),
            Arc::<MovedClock>::clone(&world.clock),
        );
        assert_eq!(remembering, edges(&anew.expect("an engine"), range).await, "{name} read anew");
        // Exemplars and moments are not taken away by corrections.
        let figures = |edges: &[api::MapEdge]| -> Vec<String> {
            let figures =
                |edge: &api::MapEdge| format!("{} {} {} {:?}", edge.source, edge.target, edge.protocol, edge.now);
            edges.iter().map(figures).collect()
        };
        assert_eq!(figures(&remembering), figures(&expected), "{name} corrected");
        // The ends of a range that are no half hours are read as they stand.
        let inner = TimeRange::new(UnixNanos(BEGIN - 2_460 * SECOND), UnixNanos(BEGIN + 2_460 * SECOND));
        assert_eq!(figures(&edges(&world.task.engine, inner).await).len(), figures(&expected).len(), "{name}, ends");
    }
}

async fn edges(engine: &Engine, range: TimeRange) -> Vec<api::MapEdge> {
    let answer = engine.map(&tenant(), range, None, Environment::ALL).await.expect("a map");
    assert!(!answer.incomplete, "{:?}", answer.incomplete_reason);
    // Rates are per minute of the range.
    let without_rate = |mut edge: api::MapEdge| {
        edge.now.per_minute = 0.0;
        edge
    };
    answer.edges.into_iter().map(without_rate).collect()
}

/// Sums read in pieces are the sums, and each minute lies in one piece.
#[tokio::test]
async fn sums_come_in_pieces() {
    let mut world = World::new().await;
    world.arrive(&findings::spike()).await;
    world.pass(200 * SECOND).await;
    let session = world.task.engine.session(world.task.reader.snapshot(&tenant())).expect("a session");
    let stored = &session.derived.stored;
    let (whole, _) = stored.parts(TimeRange::ALL, &[]).await.expect("sums");
    let pieces = stored.pieces(TimeRange::ALL, &[], 3).await.expect("pieces");
    assert!((4..=13).contains(&pieces.len()), "13 minutes: {pieces:?}");
    let mut sum = Parts::default();
    for piece in &pieces {
        let (parts, _) = stored.parts(*piece, &[]).await.expect("sums");
        assert!(parts.0.len() <= 3, "{piece:?}");
        parts.0.iter().for_each(|(key, _)| assert!(!sum.0.contains_key(key), "{key:?} twice"));
        sum.add(&parts);
    }
    assert_eq!(sum, whole);
    let count = world.sql("SELECT count(*), sum(count) FROM edge_minutes WHERE dst = 'service:shop'").await;
    let none = world.sql("SELECT count(*) FROM edge_minutes WHERE dst = 'service:nobody'").await;
    assert_eq!((count[0].clone(), none[0].clone()), (vec!["13".into(), "32".into()], vec!["0".into()]));
}

/// A range of time asks for no more than what lies in it, and says the same as a filter over everything.
#[tokio::test]
async fn a_range_is_a_filter() {
    let mut world = World::new().await;
    let (_, spans) = fixtures().swap_remove(0);
    world.arrive(&spans).await;
    for settled in [false, true] {
        let all = world.sql("SELECT time, op FROM calls ORDER BY time, op").await;
        let moment = all[all.len() / 2][0].as_str().expect("a moment").to_owned();
        let ranged = world.sql(&format!("SELECT time, op FROM calls WHERE time >= '{moment}' ORDER BY time, op")).await;
        let expected: Vec<_> = all.iter().filter(|row| row[0].as_str() >= Some(&*moment)).cloned().collect();
        assert_eq!(ranged, expected, "settled: {settled}");
        assert!(ranged.len() < all.len() && !ranged.is_empty());
        let count = world.sql("SELECT count(*) FROM calls").await;
        assert_eq!(count[0][0].as_str(), Some(&*all.len().to_string()));
        world.pass(100 * SECOND).await;
    }
}
