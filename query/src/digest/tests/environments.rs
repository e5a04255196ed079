//! The same services in two environments, and once in none: each is told as if it were alone, and all of them together.

use std::collections::BTreeMap;

use api::RedAnswer;
use model::semconv::key;
use model::{Attribute, AttributeValue};

use super::*;
use crate::analysis::span::Resource;
use crate::red::RedQuestion;

const RANGE: TimeRange = TimeRange::new(UnixNanos(BEGIN - 3_600 * SECOND), UnixNanos(BEGIN + 3_600 * SECOND));

/// The first fixture with other ids, in an environment.
fn copy(number: u8, environment: Option<&str>) -> Vec<Span> {
    let other = |trace: TraceId| {
        let mut bytes = *trace.as_bytes();
        bytes[0] ^= number;
        TraceId::from_bytes(&bytes).expect("an id")
    };
    let (_, mut spans) = fixtures().swap_remove(0);
    for span in &mut spans {
        span.trace_id = other(span.trace_id);
        span.links.iter_mut().for_each(|link| link.trace_id = other(link.trace_id));
        let mut attributes = span.resource.attributes.clone();
        attributes.extend(environment.map(|name| Attribute {
            key: key::DEPLOYMENT_ENVIRONMENT.to_owned(),
            value: AttributeValue::String(name.to_owned()),
        }));
        span.resource = Arc::new(Resource { attributes });
    }
    spans
}

/// Calls and failures by edge of the map, requests by service of `/api/red`, and spans of `/api/services`.
async fn told(world: &World, environment: &Environment) -> BTreeMap<String, (u64, u64)> {
    let engine = &world.task.engine;
    let map = engine.map(&tenant(), RANGE, None, environment.clone()).await.expect("a map");
    let of_edge = |edge: &api::MapEdge| {
        let name = format!("{} {} {} {}", edge.source, edge.target, edge.protocol, edge.system);
        (name, (edge.now.calls, edge.now.errors))
    };
    let mut all: BTreeMap<_, _> = map.edges.iter().map(of_edge).collect();
    for by in ["service", "operation", "edge"] {
        let red: RedAnswer = engine.red(&tenant(), question(by, environment)).await.expect("an answer");
        let of_series = |series: &api::RedSeries| {
            let name = format!("{by} {} {} {} {}", series.source, series.target, series.protocol, series.operation);
            (name, (series.total.calls, series.total.errors))
        };
        all.extend(red.series.iter().map(of_series));
    }
    let services = engine.services(&tenant(), RANGE, environment.clone()).await.expect("services").services;
    all.extend(services.into_iter().map(|service| (service.name, (service.spans, service.errors))));
    all
}

fn question(by: &str, environment: &Environment) -> RedQuestion {
    let moment = |moment: UnixNanos| (moment.0 / SECOND).to_string();
    let (_, env) = environment.value();
    let params = [("from", moment(RANGE.start)), ("to", moment(RANGE.end)), ("step", "1h".to_owned())];
    let env = env.try_as_str().flatten().unwrap_or_default().to_owned();
    let params = params.into_iter().chain([("by", by.to_owned()), ("env", env)]);
    RedQuestion::from_params(&params.map(|(name, value)| (name.to_owned(), value)).collect(), RANGE.end).expect("valid")
}

#[tokio::test]
async fn environments_are_told_apart() {
    let copies = [copy(1, Some("eu")), copy(2, Some("us")), copy(3, Some("us")), copy(4, None)];
    let mut alone = World::new().await;
    alone.arrive(&copies[0]).await;
    let one = told(&alone, &Environment::ALL).await;
    assert!(one.len() > 10 && one.values().any(|(calls, _)| *calls > 1), "{one:?}");
    let times = |n: u64| -> BTreeMap<String, (u64, u64)> {
        one.iter().map(|(name, (calls, errors))| (name.clone(), (n * calls, n * errors))).collect()
    };
    let [eu, us, nowhere] = ["eu", "us", "nowhere"].map(Environment::named);

    let mut world = World::new().await;
    world.arrive(&copies[0]).await;
    world.arrive(&copies[1]).await;
    // On demand, at rest, remembered and corrected by what came later.
    for (late, n_us, n_all) in [(None, 1, 2), (Some(&copies[2]), 2, 3), (Some(&copies[3]), 2, 4)] {
        if let Some(late) = late {
            world.arrive(late).await;
        }
        for _ in 0..2 {
            assert_eq!(told(&world, &eu).await, times(1));
            assert_eq!(told(&world, &us).await, times(n_us));
            assert_eq!(told(&world, &nowhere).await, BTreeMap::new());
            assert_eq!(told(&world, &Environment::ALL).await, times(n_all));
            world.pass(200 * SECOND).await;
        }
    }

    let service = async |environment: &Environment| {
        let answer = world.task.engine.service(&tenant(), "shop".to_owned(), RANGE, environment.clone()).await;
        answer.map(|answer| answer.total.spans)
    };
    let n_spans = copies[0].len() as u64;
    assert_eq!(service(&us).await.expect("a service"), 2 * n_spans);
    assert_eq!(service(&Environment::ALL).await.expect("a service"), 4 * n_spans);
    assert!(service(&nowhere).await.is_err());
    for relation in ["journeys", "calls", "hops", "edge_minutes"] {
        let sql = format!("SELECT environment, count(*) FROM {relation} GROUP BY 1 ORDER BY 1 NULLS LAST");
        let rows = world.sql(&sql).await;
        let counts: Vec<u64> =
            rows.iter().map(|row| row[1].as_str().and_then(|n| n.parse().ok()).expect("n")).collect();
        let names: Vec<_> = rows.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(names, [Some("eu"), Some("us"), None], "{relation}");
        // Both traces of one environment share their sums.
        let in_us = if relation == "edge_minutes" { counts[0] } else { 2 * counts[0] };
        assert_eq!((counts[1], counts[2]), (in_us, counts[0]), "{relation}");
    }
    let pushed = world.sql("SELECT sum(count) FROM edge_minutes WHERE environment IS NULL").await;
    let all = world.sql("SELECT sum(count) FROM edge_minutes").await;
    let number = |rows: &[Vec<serde_json::Value>]| rows[0][0].as_str().and_then(|n| n.parse::<u64>().ok()).expect("n");
    assert_eq!(4 * number(&pushed), number(&all));
}

/// Sums from before environments were kept are taken away as they stand.
#[test]
fn old_sums_have_no_environment() {
    let old = r#"[[{"minute":29474520,"src":"client","dst":"service:shop","protocol":"http","system":"http","op":"GET /"},[1,0,0,0,0],{},{},{}]]"#;
    let parts = Parts::from_text(old).expect("sums");
    assert!(parts.0.keys().all(|key| key.environment.is_empty() && key.minute == 29_474_520));
    assert_eq!(Parts::from_text(&parts.to_text()), Some(parts));
}
