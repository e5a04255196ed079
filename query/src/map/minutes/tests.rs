//! Packing, and half hours that are remembered, against sums that are read.

use std::sync::Arc;

use super::*;
use crate::digest::columns::{Progress, minute_parts, progress};
use crate::digest::rollup::{Counts, Parts, SumKey, Sums};
use crate::testing::{Fixture, tenant};
use api::MapFigures;
use model::UnixNanos;
use storage::{Batch, Snapshot};

/// Sums of three services in minutes of two days, as the digest writes them in one batch.
fn parts(minutes: &[i64], calls: i64) -> Parts {
    let mut parts = Parts::default();
    for (n, minute) in minutes.iter().enumerate() {
        for edge in 0..6 {
            let [src, protocol, system] = ["client", "http", ""].map(str::to_owned);
            let dst = if edge == 5 { "db:orders".to_owned() } else { format!("service:{}", edge % 3) };
            let key = SumKey {
                minute: *minute,
                src,
                dst,
                protocol,
                system,
                op: format!("GET /{}", edge % 2),
                ..SumKey::default()
            };
            let mut durations = Counts::default();
            durations.add_one(600 + n as i32 + edge, calls);
            durations.add_one(650, 1);
            parts.add_sums(&key, &Sums { count: calls + 1, errors: 1, durations, ..Sums::default() });
        }
    }
    parts
}

/// The digest has written so many batches.
fn up_to(number: i64) -> Batch {
    progress(Progress { time: number, batch: number, ..Progress::default() }).expect("rows").expect("some")
}

/// Points, and the sums of all of them.
type Given = BTreeMap<Edge, (Vec<(i64, Point)>, MapFigures)>;

fn given(series: Series) -> (Vec<(i64, Point)>, MapFigures) {
    (series.points, crate::map::figures(&series.total, TimeRange::new(UnixNanos(0), UnixNanos(MINUTE))))
}

/// As they are read, without memory.
async fn read_all(session: &Session, by: By, (range, span_nanos): (TimeRange, i64), more: &BySpan) -> Given {
    let rows = within("time", range).and(services());
    let mut found = read_up_to(session, rows, by, span_nanos, SUMS_MAX).await.expect("sums").expect("few");
    for (key, totals) in more {
        found.entry(key.clone()).or_default().add(totals);
    }
    let mut series: BTreeMap<Edge, Series> = BTreeMap::new();
    for ((span, edge), totals) in found {
        series.entry(edge).or_default().add(span, &totals);
    }
    series.into_iter().map(|(edge, series)| (edge, given(series))).collect()
}

async fn ask(minutes: &Minutes, session: &Session, by: By, spans: (TimeRange, i64), more: &BySpan) -> Option<Given> {
    let mut all = Given::new();
    let each = |edge: &Edge, series| drop(all.insert(edge.clone(), given(series)));
    let is_given =
        minutes.by_span((&tenant(), &Environment::ALL), session, by, spans, more, each).await.expect("an answer");
    is_given.then_some(all)
}

/// What is not at rest in the first, third and last span of a range: of a service that is known, and of one that is not.
fn not_at_rest(by: By, range: TimeRange, span_nanos: i64) -> BySpan {
    let [first, last] = [range.start.0, range.end.0 - 1].map(|time| time.div_euclid(span_nanos));
    let mut more = BySpan::new();
    for span in [first, first + 2, last].into_iter().filter(|span| *span <= last) {
        for service in ["service:1", "service:9"] {
            let protocol = if by == By::Target { "" } else { "http" };
            let op = if by == By::Target { "" } else { "GET /1" };
            let [target, protocol, op] = [service, protocol, op].map(str::to_owned);
            let mut totals = Totals { count: 2, faults: 1, ..Totals::default() };
            totals.durations.add_one(690, 2);
            more.insert((span, Edge { target, protocol, op, ..Edge::default() }), totals);
        }
    }
    more
}

/// What is remembered is what would be read: for ranges that touch and overlap, any step, more batches meanwhile, and rows from
/// before the ones that are known.
#[tokio::test]
async fn what_is_remembered_is_what_is_read() {
    let fixture = Fixture::new(Vec::new()).await;
    let first = 29_000_000;
    let batch =
        |minutes: &[i64], calls, number| minute_parts(&parts(minutes, calls), number).expect("rows").expect("some");
    let early: Vec<i64> = (0..200).map(|n| first + n * 7).collect();
    let stages = [
        vec![batch(&early, 3, 1)],
        vec![batch(&early, 3, 1), batch(&[first + 7, first + 9, first + 3_000], 5, 2)],
        vec![batch(&early, 3, 1), batch(&[first + 7, first + 9, first + 3_000], 5, 2), batch(&[first - 40], 1, 3)],
    ];
    let remembered = Minutes::default();
    for (number, rows) in (1..).zip(stages) {
        let mut rows = rows;
        rows.push(up_to(number));
        let session = fixture.engine.session(Arc::new(Snapshot::of(rows))).expect("a session");
        for by in [By::Target, By::TargetOperation] {
            for (from, to, step) in [(0, 300, 1), (100, 1_500, 30), (-100, 4_000, 60), (13, 14, 1), (5, 700, 7)] {
                let range = minutes(first + from, first + to);
                let spans = (range, step * MINUTE);
                for more in [BySpan::new(), not_at_rest(by, range, step * MINUTE)] {
                    let expected = read_all(&session, by, spans, &more).await;
                    let given = ask(&remembered, &session, by, spans, &more).await.expect("it fits");
                    assert_eq!(given, expected, "{from} to {to} by {step}, batch {number}");
                }
            }
        }
    }
    let old = Snapshot::of(vec![batch(&early, 3, 1), up_to(1)]);
    let session = fixture.engine.session(Arc::new(old)).expect("a session");
    let range = minutes(first, first + 10);
    let given = ask(&remembered, &session, By::Target, (range, MINUTE), &BySpan::new()).await;
    assert!(given.is_none(), "from before what is remembered");
}
