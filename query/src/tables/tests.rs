//! What a query does not read, seen by the bytes it reads.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use api::{SqlAnswer, SqlRequest};
use arrow::array::RecordBatch;
use datafusion::physical_plan::ExecutionPlanProperties as _;
use datafusion::prelude::{ident, lit};
use model::TimeRange;
use storage::table::SPANS;

use crate::rows::Bytes;
use crate::testing::{Fixture, TestSpan, span, spans_batch, tenant, trace_id};

/// 20,000 spans of one service, a millisecond apart, ten to a trace, in one segment.
async fn long_run() -> Fixture {
    run_of(20_000).await
}

async fn run_of(n_spans: u64) -> Fixture {
    let span = |n: u64| TestSpan { service: "web", ..span(n / 10 + 1_001, n + 1_000, None, "work", n as i64, 1) };
    let spans: Vec<TestSpan> = (0..n_spans).map(span).collect();
    Fixture::new(vec![spans_batch(&spans)]).await.flushed().await
}

async fn ask(fixture: &Fixture, sql: &str) -> SqlAnswer {
    let request = SqlRequest { sql: sql.to_owned(), ..SqlRequest::default() };
    let body = fixture.engine.sql(&tenant(), request, crate::Format::Json).await.expect(sql);
    serde_json::from_slice(&body.collect().await.expect(sql).0).expect("JSON")
}

/// Moments are timestamps in SQL and integers at rest; pages are skipped all the same.
#[tokio::test]
async fn moments_prune_pages() {
    let fixture = long_run().await;
    let all = ask(&fixture, "SELECT max(hex(span_id)) FROM spans").await;
    let late =
        ask(&fixture, "SELECT max(hex(span_id)), count(*) FROM spans WHERE start_time >= '2026-01-15T09:59:19.9Z'")
            .await;
    assert_eq!(late.rows[0][1], "100");
    assert!(late.bytes_read * 2 < all.bytes_read, "{} of {} bytes", late.bytes_read, all.bytes_read);
    let none =
        ask(&fixture, "SELECT max(hex(span_id)) FROM spans WHERE start_time < now() - interval '400 days'").await;
    assert_eq!(none.rows[0][0], serde_json::Value::Null);
}

/// One large segment is read by all threads, a part of it each, and every row once; what must not be cut is left alone.
#[tokio::test]
async fn one_segment_keeps_all_threads_busy() {
    // Two row groups.
    let fixture = run_of(40_000).await;
    let session = fixture.engine.session(fixture.engine.snapshot(&tenant())).expect("a session");
    let frame = session.table(&SPANS).and_then(|frame| Ok(frame.filter(ident("duration_nanos").gt(lit(5_i64)))?));
    let frame = frame.and_then(|frame| Ok(frame.select(vec![ident("span_id"), ident("duration_nanos")])?));
    let plan = session.plan(frame.expect("a frame").logical_plan()).await.expect("a plan");
    assert_eq!(plan.output_partitioning().partition_count(), 1, "as it is planned");
    let spread = session.spread(Arc::clone(&plan)).expect("a plan");
    assert_eq!(spread.output_partitioning().partition_count(), 2);
    let each = |ids: &mut Vec<Vec<u8>>, batch: RecordBatch| {
        let spans = Bytes::of(&batch, "span_id");
        ids.extend((0..batch.num_rows()).filter_map(|row| Some(spans.get(row)?.to_vec())));
        Ok(ControlFlow::Continue(()))
    };
    let (parts, cost) = session.fold_parts(plan, Vec::new, each).await.expect("rows");
    // Which part reads which rows is not said: one that is early takes over what another has not begun.
    let ids: BTreeSet<Vec<u8>> = parts.iter().flatten().cloned().collect();
    assert_eq!((parts.len(), ids.len(), parts.iter().map(Vec::len).sum::<usize>()), (2, 40_000, 40_000));
    assert_eq!(cost.rows_read, 40_000);
    let counted = session.query("SELECT count(DISTINCT name) FROM spans", TimeRange::ALL).await.expect("a frame");
    let counted = session.plan(counted.logical_plan()).await.expect("a plan");
    let same = session.spread(Arc::clone(&counted)).expect("a plan");
    assert!(Arc::ptr_eq(&counted, &same), "an aggregate is left alone");
}

/// The trace index leads to the rows of a trace; the others are not decoded.
#[tokio::test]
async fn traces_are_found_by_index() {
    let fixture = long_run().await;
    let all = ask(&fixture, "SELECT count(hex(span_id)) FROM spans WHERE trace_id <> '00'").await;
    for sql in [
        format!("SELECT count(hex(span_id)) FROM spans WHERE trace_id = '{}'", trace_id(1_077)),
        format!("SELECT count(hex(span_id)) FROM spans WHERE trace_id IN ('{}', '00')", trace_id(1_077)),
    ] {
        let one = ask(&fixture, &sql).await;
        assert_eq!(one.rows[0][0], "10", "{sql}");
        assert_eq!(one.rows_read, 10, "{sql}");
        assert!(one.bytes_read < all.bytes_read, "{sql}: {} of {} bytes", one.bytes_read, all.bytes_read);
    }
    let two = format!("SELECT count(*) FROM spans WHERE trace_id IN ('{}', '{}')", trace_id(1_001), trace_id(3_000));
    assert_eq!(ask(&fixture, &two).await.rows[0][0], "20");
    let absent = format!("SELECT count(*) FROM spans WHERE trace_id = '{}'", trace_id(5_000));
    let absent = ask(&fixture, &absent).await;
    assert_eq!((absent.rows[0][0].as_str(), absent.bytes_read), (Some("0"), 0));
}

/// Counting needs no rows: segments know how many they hold.
#[tokio::test]
async fn counts_are_known() {
    let fixture = long_run().await;
    fixture.append(spans_batch(&[span(1, 1, None, "x", 0, 1)])).await;
    let count = ask(&fixture, "SELECT count(*) FROM spans").await;
    assert_eq!((count.rows[0][0].as_str(), count.bytes_read), (Some("20001"), 0));
}

/// The figures of an answer count the rows of the write buffer as well as those of segments.
#[tokio::test]
async fn buffered_rows_count_as_read() {
    let fixture = Fixture::new(vec![spans_batch(&[span(1, 1, None, "x", 0, 1), span(1, 2, Some(1), "y", 0, 1)])]).await;
    let answer = ask(&fixture, "SELECT name FROM spans WHERE name = 'x'").await;
    assert_eq!((answer.rows.len(), answer.rows_read), (1, 2));
}

/// Six segments: services a, b and c, each yesterday and today; trace 1 in one of them only. Nothing in the buffer.
async fn six_segments() -> Fixture {
    const DAY: i64 = 86_400_000;
    let mut fixture = Fixture::new(Vec::new()).await;
    for (index, service) in ["a", "b", "c", "a", "b", "c"].into_iter().enumerate() {
        let day = if index < 3 { -DAY } else { 0 };
        let trace = if index == 4 { 1 } else { 2_000 + index as u64 };
        let spans: Vec<TestSpan> = (0..50)
            .map(|n| TestSpan {
                service,
                kind: 2,
                ..span(trace, 10_000 * (index as u64 + 1) + n, None, "work", day + n as i64, 1 + n as i64 % 7)
            })
            .collect();
        fixture.append(spans_batch(&spans)).await;
        fixture = fixture.flushed().await;
    }
    fixture
}

/// The physical plan of a statement, and how many segments it names.
async fn explained(fixture: &Fixture, sql: &str) -> (String, usize) {
    let answer = ask(fixture, &format!("EXPLAIN {sql}")).await;
    let physical = answer.rows.iter().find(|row| row[0] == "physical_plan").expect("a physical plan");
    let plan = physical[1].as_str().expect("text").to_owned();
    // A file stands in as many groups as it has parts that are read.
    let files: BTreeSet<&str> = plan
        .split(|c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']' | '{' | '}'))
        .map(|word| word.split(':').next().unwrap_or_default())
        .filter(|word| word.ends_with(".parquet"))
        .collect();
    (plan.clone(), files.len())
}

/// Plans stay as they are: a question reads the segments that it must, and no others.
#[tokio::test]
async fn plans_name_the_segments_that_are_read() {
    let fixture = six_segments().await;
    let today = "start_time >= '2026-01-15T00:00:00Z'";
    for (sql, n_files) in [
        ("SELECT * FROM spans".to_owned(), 6),
        (format!("SELECT name FROM spans WHERE {today}"), 3),
        ("SELECT name FROM spans WHERE service_name = 'b'".to_owned(), 2),
        (format!("SELECT name FROM spans WHERE service_name = 'b' AND {today}"), 1),
        (format!("SELECT name FROM spans WHERE (service_name = 'b' OR service_name = 'c') AND {today}"), 2),
        (
            "SELECT name FROM spans WHERE service_name IN ('b', 'x') AND NOT (start_time < '2026-01-15T00:00:00Z')"
                .to_owned(),
            1,
        ),
        (
            "SELECT name FROM spans WHERE start_time < timestamp '2026-01-15T09:00:00Z' - interval '12 hours'"
                .to_owned(),
            3,
        ),
        (format!("SELECT name FROM spans WHERE trace_id = '{}'", trace_id(1).to_hex()), 1),
        (format!("SELECT name FROM traces WHERE {today}"), 3),
        (format!("SELECT count(*) FROM traces WHERE {today} AND duration_nanos > 5"), 3),
        (format!("SELECT * FROM traces WHERE trace_id = '{}'", trace_id(1).to_hex()), 1),
        ("SELECT * FROM traces".to_owned(), 6),
        ("SELECT count(*) FROM events WHERE span_start_time >= '2026-01-15T00:00:00Z'".to_owned(), 3),
    ] {
        let (plan, found) = explained(&fixture, &sql).await;
        assert_eq!(found, n_files, "{sql}\n{plan}");
    }
    // The first of an order: a heap of as many rows, whose bound skips what cannot be among them while it runs.
    let (plan, _) = explained(&fixture, "SELECT name, start_time FROM spans ORDER BY start_time DESC LIMIT 20").await;
    assert!(plan.contains("TopK(fetch=20)"), "{plan}");
    assert!(plan.contains("DynamicFilter"), "the scan learns the bound: {plan}");
    let (plan, _) = explained(&fixture, &format!("SELECT name FROM spans WHERE service_name = 'b' AND {today}")).await;
    for needed in ["service_name", "predicate=", "pruning_predicate="] {
        assert!(plan.contains(needed), "{needed} in {plan}");
    }
    assert!(!plan.contains("attributes"), "only the columns that are needed: {plan}");
}

/// The view of traces gives the same rows whether or not a range narrows what is read.
#[tokio::test]
async fn pruned_traces_are_the_same_traces() {
    let fixture = six_segments().await;
    let columns = "hex(trace_id), service_name, spans, errors, duration_nanos, start_time";
    let all = ask(&fixture, &format!("SELECT {columns} FROM traces ORDER BY 1")).await;
    assert_eq!(all.rows.len(), 6);
    let from = "start_time >= '2026-01-15T00:00:00Z'";
    let today = ask(&fixture, &format!("SELECT {columns} FROM traces WHERE {from} ORDER BY 1")).await;
    let expected: Vec<_> =
        all.rows.iter().filter(|row| row[5].as_str().is_some_and(|start| start >= "2026-01-15")).cloned().collect();
    assert_eq!((today.rows.len(), &today.rows), (3, &expected));
    let count = ask(&fixture, &format!("SELECT count(*) FROM traces WHERE {from}")).await;
    assert_eq!(count.rows[0][0], "3");
    assert_eq!(ask(&fixture, "SELECT count(*) FROM traces").await.rows[0][0], "6");
}
