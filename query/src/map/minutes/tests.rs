//! Packing, and half hours that are remembered, against sums that are read.

use std::sync::Arc;

use super::*;
use crate::analysis::statistics::ZERO_BUCKET;
use crate::digest::columns::{Progress, minute_parts, progress};
use crate::digest::rollup::{Counts, Parts, SumKey, Sums};
use crate::testing::{Fixture, tenant};
use proptest::prelude::*;
use storage::{Batch, Snapshot};

proptest! {
    /// Packing and adding is adding: any numbers, buckets in any order, the bucket of zero.
    #[test]
    fn packed_figures_add_up_to_the_same(
        numbers in prop::array::uniform5(any::<i64>()),
        buckets in prop::collection::vec((prop_oneof![Just(ZERO_BUCKET), -900_i32..1_500], -3_i64..5_000_000_000), 0..40),
    ) {
        let mut figures = Figures { numbers, durations: buckets };
        let packed = figures.pack();
        let mut again = Figures::default();
        again.add_packed(&packed);
        prop_assert_eq!(again, figures);
    }
}

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

type Given = BTreeMap<Edge, Vec<(i64, Figures)>>;

/// As they are read, without memory.
async fn read_all(session: &Session, by: By, range: TimeRange, span_nanos: i64) -> Given {
    let rows = within("time", range).and(services());
    let found = read_up_to(session, rows, by, span_nanos, SUMS_MAX).await.expect("sums").expect("few");
    let mut given = Given::new();
    for ((span, edge), totals) in found {
        let mut figures = Figures::of(&totals);
        figures.ascend();
        given.entry(edge).or_default().push((span, figures));
    }
    given
}

async fn ask(minutes: &Minutes, session: &Session, by: By, range: TimeRange, span_nanos: i64) -> Option<Given> {
    let (none, mut given) = (BySpan::new(), Given::new());
    let each = |edge: &Edge, spans| drop(given.insert(edge.clone(), spans));
    let is_given = minutes
        .by_span((&tenant(), &Environment::ALL), session, by, (range, span_nanos), &none, each)
        .await
        .expect("an answer");
    is_given.then_some(given)
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
                let expected = read_all(&session, by, range, step * MINUTE).await;
                let given = ask(&remembered, &session, by, range, step * MINUTE).await.expect("it fits");
                assert_eq!(given, expected, "{from} to {to} by {step}, batch {number}");
            }
        }
    }
    let old = Snapshot::of(vec![batch(&early, 3, 1), up_to(1)]);
    let session = fixture.engine.session(Arc::new(old)).expect("a session");
    let range = minutes(first, first + 10);
    assert!(ask(&remembered, &session, By::Target, range, MINUTE).await.is_none(), "from before what is remembered");
}

/// Whatever is packed comes back, and figures in order stay as they are.
#[test]
fn figures_come_back() {
    let buckets = [(-7, -1), (-6, 63), (-1, 64), (0, 1), (1, i64::MAX), (900, 8_191), (i32::MAX, i64::MIN)];
    let figures = Figures { numbers: [5, -3, 0, i64::MAX, i64::MIN], durations: buckets.to_vec() };
    let mut found = Figures::default();
    found.add_packed(&figures.clone().pack());
    assert_eq!(found, figures);
    let mut mixed = Figures { durations: vec![(3, 1), (1, 2), (3, -1), (2, 0), (1, 4)], ..Figures::default() };
    mixed.ascend();
    assert_eq!(mixed.durations, [(1, 6)]);
    let mut with_nothing = Figures { durations: vec![(1, 2), (2, 0), (3, 1)], ..Figures::default() };
    with_nothing.ascend();
    assert_eq!(with_nothing.durations, [(1, 2), (3, 1)]);
}
