//! What a query does not read, seen by the bytes it reads.

use api::{SqlAnswer, SqlRequest};

use crate::testing::{Fixture, TestSpan, span, spans_batch, tenant, trace_id};

/// 20,000 spans of one service, a millisecond apart, ten to a trace, in one segment.
async fn long_run() -> Fixture {
    let span = |n: u64| TestSpan { service: "web", ..span(n / 10 + 1_001, n + 1_000, None, "work", n as i64, 1) };
    let spans: Vec<TestSpan> = (0..20_000).map(span).collect();
    Fixture::new(vec![spans_batch(&spans)]).await.flushed().await
}

async fn ask(fixture: &Fixture, sql: &str) -> SqlAnswer {
    let request = SqlRequest { sql: sql.to_owned(), ..SqlRequest::default() };
    fixture.engine.sql(&tenant(), request).await.expect(sql).to_answer().expect("an answer")
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
