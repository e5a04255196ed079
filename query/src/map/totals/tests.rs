//! Sums over rows at rest, and histograms.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::analysis::statistics::{Sketch, ZERO_BUCKET, nearest_rank};
use crate::digest::columns::minute_parts;
use crate::digest::rollup::{Parts, SumKey};
use crate::testing::Fixture;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::ExecutionPlanProperties as _;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt as _;

/// Two parts with the same seven sums each are seven sums, with two threads as with one.
#[tokio::test]
async fn the_bound_counts_each_sum_once() {
    let mut parts = Parts::default();
    for edge in 0..7 {
        let text = |text: &str| text.to_owned();
        let dst = format!("service:{edge}");
        let (protocol, system, op) = (text("http"), text(""), text("GET /"));
        let key = SumKey { minute: 29_000_000, src: text("client"), dst, protocol, system, op, ..SumKey::default() };
        parts.add_sums(&key, &Sums { count: 2, ..Sums::default() });
    }
    let batch = |number| minute_parts(&parts, number).expect("rows").expect("some");
    let snapshot = Arc::new(storage::Snapshot::of(vec![batch(1), batch(2)]));
    let fixture = Fixture::new(Vec::new()).await;
    let session = fixture.engine.session(snapshot).expect("a session");
    let plan = plan(&session, lit(true), By::Edge, Of::Figures).await.expect("a plan");
    assert_eq!(plan.output_partitioning().partition_count(), 2, "both threads have some");
    let read = async |sums_max| read_up_to(&session, lit(true), By::Edge, MINUTE, sums_max).await.expect("sums");
    assert_eq!(read(6).await, None);
    let sums = read(7).await.expect("they fit");
    assert!(sums.len() == 7 && sums.values().all(|totals| totals.count == 4), "{sums:?}");
}

/// Threads that hold too many sums together stop, and one goes on where they are: no batch is taken twice.
#[tokio::test]
async fn nothing_is_read_twice() {
    let mut parts = Parts::default();
    for edge in 0..7 {
        let [src, protocol, system, op] = ["client", "http", "", "GET /"].map(str::to_owned);
        let key = SumKey {
            minute: 29_000_000,
            src,
            dst: format!("service:{edge}"),
            protocol,
            system,
            op,
            ..SumKey::default()
        };
        parts.add_sums(&key, &Sums { count: 1, ..Sums::default() });
    }
    let rows = minute_parts(&parts, 1).expect("rows").expect("some").records().clone();
    let n_taken = Arc::new(AtomicUsize::new(0));
    let streams = || -> Vec<SendableRecordBatchStream> {
        let stream = |_| {
            let (rows, schema, n_taken) = (rows.clone(), rows.schema(), Arc::clone(&n_taken));
            let batches = futures::stream::iter(0..5).map(move |_| {
                n_taken.fetch_add(1, Ordering::Relaxed);
                Ok(rows.clone())
            });
            Box::pin(RecordBatchStreamAdapter::new(schema, batches)) as SendableRecordBatchStream
        };
        (0..3).map(stream).collect()
    };
    let count = |adding: Adding| adding.finish().values().map(|sums| sums.count).collect::<Vec<_>>();
    // Three threads with seven sums each are 21, in truth 7.
    for sums_max in [7, 8, 14, 20, 21] {
        n_taken.store(0, Ordering::Relaxed);
        let all = add_up(streams(), By::Target, MINUTE, Bounds { sums_max, only: None })
            .await
            .expect("sums")
            .expect("they fit");
        assert_eq!((count(all), n_taken.load(Ordering::Relaxed)), (vec![15; 7], 15), "{sums_max} sums at most");
    }
    n_taken.store(0, Ordering::Relaxed);
    assert!(add_up(streams(), By::Target, MINUTE, Bounds { sums_max: 6, only: None }).await.expect("sums").is_none());
    assert!(n_taken.load(Ordering::Relaxed) <= 3, "the first batch says it");
}

/// Sums of a service are those of its edges added up, and are read without the columns that only edges have.
#[tokio::test]
async fn sums_take_the_columns_they_need() {
    let mut parts = Parts::default();
    for edge in 0..7 {
        let text = |text: &str| text.to_owned();
        let dst = format!("service:{}", edge % 2);
        let (protocol, system, op) = (text(["http", "grpc"][edge % 2]), text("x"), format!("GET /{}", edge % 3));
        let key = SumKey {
            minute: 29_000_000,
            src: format!("service:{edge}"),
            dst,
            protocol,
            system,
            op,
            ..SumKey::default()
        };
        let histogram = |n: i32| {
            let mut counts = Counts::default();
            counts.add_one(600 + n, 2);
            counts
        };
        let (durations, networks, lags) = (histogram(edge as i32), histogram(50), histogram(60));
        parts.add_sums(&key, &Sums { count: 2, durations, networks, lags, ..Sums::default() });
    }
    let batch = minute_parts(&parts, 1).expect("rows").expect("some");
    let fixture = Fixture::new(Vec::new()).await;
    let session = fixture.engine.session(Arc::new(storage::Snapshot::of(vec![batch]))).expect("a session");
    let read = async |by| read_up_to(&session, lit(true), by, MINUTE, 100).await.expect("sums").expect("they fit");
    let operations = read(By::Operation).await;
    assert_eq!(operations.len(), 7);
    for (by, columns) in [(By::Edge, 19), (By::Operation, 20), (By::Target, 14), (By::TargetOperation, 16)] {
        let histograms = if by.has_waits() { 3 } else { 1 };
        for (of, columns) in
            [(Of::Everything, columns), (Of::Figures, columns - 6), (Of::Counts, columns - 6 - histograms)]
        {
            let plan = plan(&session, lit(true), by, of).await.expect("a plan");
            assert_eq!(plan.schema().fields().len(), columns, "{by:?}, {of:?}");
        }
        let mut expected = BySpan::new();
        for ((span, edge), sums) in &operations {
            let Edge { source, target, protocol, system, op } = edge;
            let mut sums = sums.clone();
            if !by.has_waits() {
                (sums.networks, sums.lags) = (Histogram::default(), Histogram::default());
            }
            let key = Edge::new(by.key([source, target, protocol, system, op]));
            expected.entry((*span, key)).or_default().add(&sums);
        }
        let mut calls = BTreeMap::<Edge, i64>::new();
        expected.iter().for_each(|((_, edge), sums)| *calls.entry(edge.clone()).or_default() += sums.count);
        assert_eq!(count_up_to(&session, lit(true), by, 7).await.expect("sums"), Some(calls), "{by:?}");
        let counts = |sums: &BySpan| -> Vec<_> {
            let counts = |histogram: &Histogram| histogram.buckets().collect::<Vec<_>>();
            let one = |totals: &Totals| (totals.count, [&totals.durations, &totals.networks, &totals.lags].map(counts));
            sums.iter().map(|(key, totals)| (key.clone(), one(totals))).collect()
        };
        assert_eq!(counts(&read(by).await), counts(&expected), "{by:?}");
    }
}

/// Whatever the order of the buckets, and whatever is taken away again, the percentiles are those of the rest.
#[test]
fn a_histogram_adds_and_takes_away() {
    let mut histogram = Histogram::default();
    for (bucket, count) in [(700, 3), (650, 1), (900, 2), (i64::from(ZERO_BUCKET), 4), (900, -2), (100, 1)] {
        histogram.add_one(bucket, count);
    }
    let expected = Sketch::from_buckets([(ZERO_BUCKET, 4), (100, 1), (650, 1), (700, 3)]);
    let percentiles = |histogram: &Histogram| histogram.percentiles([0.1, 0.5, 0.6, 0.9]);
    assert_eq!(percentiles(&histogram), Some([0.1, 0.5, 0.6, 0.9].map(|q| expected.percentile(q))));
    let mut sum = Histogram::default();
    sum.add_one(2_000, 1);
    sum.add(&histogram);
    sum.add_one(2_000, -1);
    assert_eq!(sum.buckets().collect::<Vec<_>>(), [(i64::from(ZERO_BUCKET), 4), (100, 1), (650, 1), (700, 3)]);
    assert_eq!(percentiles(&sum), percentiles(&histogram));
    assert_eq!(percentiles(&Histogram::default()), None);
}

/// Percentiles of sums at rest, put together over edges, minutes and batches, are those of all values within 1 %.
#[tokio::test]
async fn percentiles_at_rest_are_within_one_percent() {
    let mut state = 7_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let (mut values, mut batches) = (Vec::new(), Vec::new());
    for number in 1..=4 {
        let mut parts = Parts::default();
        for edge in 0..6 {
            let mut sketch = Sketch::default();
            for _ in 0..500 {
                // From 50 us to 14 minutes, most of them short.
                let value = (50_000.0 * (24.0 * random() * random()).exp2()) as i64;
                values.push(value);
                sketch.add(value);
            }
            let mut durations = Counts::default();
            sketch.buckets().for_each(|(bucket, count)| durations.add_one(bucket, count as i64));
            let [dst, protocol, system, op] = ["service:shop", "http", "", "GET /"].map(str::to_owned);
            let key = SumKey {
                minute: 29_000_000 + edge % 3,
                src: format!("service:{edge}"),
                dst,
                protocol,
                system,
                op,
                ..SumKey::default()
            };
            parts.add_sums(&key, &Sums { count: 500, durations, ..Sums::default() });
        }
        batches.push(minute_parts(&parts, number).expect("rows").expect("some"));
    }
    let fixture = Fixture::new(Vec::new()).await;
    let session = fixture.engine.session(Arc::new(storage::Snapshot::of(batches))).expect("a session");
    let sums = read_up_to(&session, lit(true), By::Target, i64::MAX, 1).await.expect("sums").expect("they fit");
    let [totals] = sums.values().collect::<Vec<_>>()[..] else { panic!("one service: {sums:?}") };
    assert_eq!(totals.count, 12_000);
    values.sort_unstable();
    for q in [0.01, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0] {
        let (exact, found) = (
            nearest_rank(&values, q).expect("values") as f64,
            totals.durations.percentiles([q]).expect("values")[0] as f64,
        );
        assert!((found / exact - 1.0).abs() <= 0.01, "p{q}: {found} instead of {exact}");
    }
}
