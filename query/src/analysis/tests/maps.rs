//! The map by the minute and the comparison of protocols.

use model::UnixNanos;

use super::draw::{BASE, MS, draw, draw_at};
use crate::analysis::classify::{Protocol, Style};
use crate::analysis::compare::{by_edge, by_family, is_human_readable};
use crate::analysis::map::{Change, Line, differences, is_closed, line, map, minutes, minutes_of_edges, nodes};
use crate::analysis::span::Span;
use crate::analysis::{Analysis, Options, analyze};

const ORDER: &str = "
    A @shop server GET:/orders 200                                        |====================
      C client POST:/charge host:pay http.response.header.content-type=application/json 503   | ==========!
        S @pay server POST:/charge 503                                    |  ======!
      P producer kafka:orders messaging.message.body.size=100             |             =
        K @mail consumer kafka:orders messaging.consumer.group.name=a     |                  ==
        L @stats consumer kafka:orders                                    |                    ==!
    ";

fn analysis(spans: Vec<Span>) -> Analysis {
    analyze(spans, &Options::default())
}

/// Each edge and operation of the minute, with calls, errors and faults.
#[test]
fn one_minute() {
    let minutes = minutes(&analysis(draw(ORDER)), |trace| trace);
    let found: Vec<_> = minutes
        .iter()
        .map(|(key, minute)| {
            let (from, to) = (&key.edge.source, &key.edge.target);
            format!("{from} -> {to} {} {}/{}/{}", key.op, minute.count, minute.errors, minute.faults)
        })
        .collect();
    assert_eq!(
        found,
        [
            "client -> service:shop GET /orders 1/0/0",
            "queue:kafka/orders -> service:mail process 1/0/0",
            "queue:kafka/orders -> service:stats process 1/1/1",
            "service:shop -> queue:kafka/orders send 1/0/0",
            "service:shop -> service:pay POST /charge 1/1/1",
        ]
    );
    assert!(minutes.keys().all(|key| key.minute == BASE / (60_000 * MS)));
    let charge = minutes.values().find(|minute| minute.network.count() == 1).expect("the paired call");
    assert_eq!(charge.failed.map(|(start, _)| start), Some(BASE + MS));
    assert_eq!(charge.slowest.map(|(nanos, _)| nanos), Some(10 * MS));
}

/// Adding up halves is adding up the whole, and a node's figures are those of its incoming edges.
#[test]
fn minutes_merge() {
    let first = minutes(&analysis(draw(ORDER)), |trace| trace);
    let mut later = draw(ORDER);
    later.iter_mut().for_each(|span| {
        span.start = span.start + 90_000 * MS;
        span.end = span.end + 90_000 * MS;
    });
    let second = minutes(&analysis(later), |trace| trace);
    assert!(first.keys().all(|key| !second.contains_key(key)), "another minute");
    let both = map(first.iter().chain(&second));
    let swapped = map(second.iter().chain(&first));
    assert_eq!(both, swapped);
    assert!(both.values().all(|minute| minute.count == 2));
    let nodes = nodes(&both);
    let pay = nodes.iter().find(|(node, _)| node.label() == "pay").expect("a node").1;
    assert_eq!((pay.count, pay.errors), (2, 2));
    assert_eq!(nodes.iter().find(|(node, _)| node.as_str() == "client").expect("a node").1.count, 0);
}

/// What appeared, vanished, and changed twofold between two ranges.
#[test]
fn ranges_differ() {
    let of = |drawing: &str| map(&minutes(&analysis(draw(drawing)), |trace| trace));
    let changes = |before: &str, after: &str| -> Vec<String> {
        let text =
            |(key, change): &(crate::analysis::edges::EdgeKey, Change)| format!("{} {change}", key.target.label());
        differences(&of(before), &of(after)).iter().map(text).collect()
    };
    let calm = "A @shop server GET:/ 200 |====";
    assert!(changes(calm, calm).is_empty());
    assert_eq!(changes(calm, "A @shop server GET:/ 200 |========="), ["shop p95"]);
    assert!(changes(calm, "A @shop server GET:/ 200 |=======").is_empty());
    assert_eq!(changes(calm, "A @shop server GET:/ 500 |===="), ["shop errors"]);
    assert_eq!(changes(calm, "B @pay server GET:/ 200 |===="), ["pay appeared", "shop vanished"]);
}

/// A minute takes late spans for ten minutes after its end.
#[test]
fn minutes_close() {
    let now = |seconds: i64| UnixNanos(seconds * UnixNanos::SECOND);
    assert!(!is_closed(0, now(659)) && is_closed(0, now(660)));
}

#[test]
fn edges_are_drawn_by_kind() {
    assert_eq!(line(Protocol::Http, Style::Sync), Line::Solid);
    assert_eq!(line(Protocol::Messaging, Style::Async), Line::Dashed);
    assert_eq!(line(Protocol::Dns, Style::Sync), Line::Dotted);
    assert_eq!(line(Protocol::Route, Style::Async), Line::Thin);
}

/// The map feeds the search for spikes: operations of an edge together, waits only for deliveries.
#[test]
fn minutes_feed_spikes() {
    let drawing = format!("{ORDER}\n    B @shop server GET:/other trace:two |==");
    let edges = minutes_of_edges(&minutes(&analysis(draw(&drawing)), |trace| trace));
    let entry = edges.iter().find(|edge| edge.edge == "client -> service:shop").expect("the entry");
    assert_eq!((entry.calls, entry.lag_p95), (2, None));
    let queue = edges.iter().find(|edge| edge.edge == "queue:kafka/orders -> service:mail").expect("the queue");
    assert!(queue.lag_p95.is_some_and(|lag| (lag - 4 * MS).abs() < MS / 10), "{queue:?}");
}

/// Calls and messages side by side: coupling, network share, formats, fan-out, moving parts.
#[test]
fn families_side_by_side() {
    let analysis = analysis(draw_at(10, ORDER));
    let families = by_family(&analysis);
    let row = |protocol| families.iter().find(|(family, _)| family.protocol == protocol).expect("a row").1;
    let http = row(Protocol::Http);
    assert_eq!((http.calls, http.errors, http.moving_parts), (1, 1, 2));
    assert_eq!(http.network_share(), Some(0.4));
    assert_eq!(http.failure_coupling(), 0.0, "the shop answered all the same");
    assert_eq!(http.content_type(), Some("application/json"));
    let kafka = row(Protocol::Messaging);
    assert_eq!((kafka.sends, kafka.deliveries, kafka.errors, kafka.moving_parts), (1, 2, 1, 3));
    assert_eq!((kafka.fan_out(), kafka.failure_coupling()), (Some(2.0), 0.0));
    assert_eq!(kafka.body_bytes.percentile(0.5), Some(100));
    assert_eq!(kafka.end_to_end.percentiles([0.5, 1.0]), Some([60 * MS, 80 * MS]));
    assert!(kafka.has_too_few());
    assert_eq!(by_edge(&analysis).len(), 4, "the entry has no caller to ask");
    let failed = draw(&ORDER.replace("GET:/orders 200", "GET:/orders 502"));
    let families = by_family(&analyze(failed, &Options::default()));
    let http = families.iter().find(|(family, _)| family.protocol == Protocol::Http).expect("a row").1;
    assert_eq!(http.failure_coupling(), 1.0);
}

#[test]
fn readable_formats() {
    assert_eq!(is_human_readable(Protocol::Http, Some("application/json; charset=utf-8")), Some(true));
    assert_eq!(is_human_readable(Protocol::Http, Some("application/x-protobuf")), Some(false));
    assert_eq!(is_human_readable(Protocol::Grpc, None), Some(false));
    assert_eq!(is_human_readable(Protocol::Messaging, None), None);
}
