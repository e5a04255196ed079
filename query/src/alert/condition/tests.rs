//! What is kept of a condition answers as the condition itself, at every moment and over every snapshot.

use super::*;
use crate::analysis::findings::FindingName;
use crate::testing::{Fixture, NOW, TestSpan, span, spans_batch, tenant};

fn sql(text: &str) -> Condition {
    Condition::Sql(Sql { text: text.to_owned(), line: 1, range_nanos: 60 * UnixNanos::SECOND })
}

/// A span a second for a minute before [`NOW`], every third one failed.
fn minute(service: &'static str) -> Vec<TestSpan> {
    let span = |n: u64| TestSpan {
        service,
        status: if n.is_multiple_of(3) { 2 } else { 0 },
        ..span(n + 1, n + 1, None, "work", n as i64 * 1_000, 5 + n as i64)
    };
    (0..60).map(span).collect()
}

async fn ask_at(fixture: &Fixture, condition: &Condition, kept: &KeptPlan, seconds: i64) -> Result<Vec<Sample>> {
    let (condition, kept, at) = (condition.clone(), kept.clone(), NOW - seconds * UnixNanos::SECOND);
    fixture.engine.run(&tenant(), move |session| async move { ask(&session, &condition, &kept, at, 100).await }).await
}

fn is_kept(kept: &KeptPlan) -> bool {
    matches!(kept.0.get(), Some(Some(_)))
}

#[tokio::test]
async fn kept_plans_answer_as_new_ones() {
    let conditions = [
        "SELECT service_name, count(*) AS value, max(trace_id) AS trace_id FROM spans WHERE start_time >= $from AND \
         start_time < $to AND status_code = 2 GROUP BY 1",
        "SELECT service_name, count(*) AS value FROM spans WHERE start_time >= $to - INTERVAL '20 seconds' AND start_time < $to \
         GROUP BY 1 HAVING count(*) > 3",
        "SELECT name AS operation, max(duration_nanos) / 1e6 AS value FROM spans s WHERE s.start_time BETWEEN $from AND $to AND \
         EXISTS (SELECT 1 FROM spans t WHERE t.trace_id = s.trace_id AND t.start_time >= $from) GROUP BY name",
        "WITH slow AS (SELECT * FROM spans WHERE duration_nanos > 20000000 AND start_time >= $from) \
         SELECT $from AS since, count(*) AS value FROM slow WHERE start_time < $to GROUP BY 1",
        "SELECT service_name, spans AS value FROM traces WHERE start_time >= $to - INTERVAL '1 second' AND start_time < $to",
        "SELECT src, dst, CAST(sum(count) AS DOUBLE) AS value FROM edge_minutes WHERE time >= $from AND time < $to GROUP BY 1, 2",
        "SELECT count(*) AS value FROM journeys WHERE time >= $from AND time < $to",
        "SELECT (SELECT count(*) FROM spans WHERE start_time < $to) - count(*) AS value FROM spans WHERE start_time < $from",
    ];
    let fixture = Fixture::mixed(&minute("shop")).await;
    let kept: Vec<(Condition, KeptPlan)> = conditions.iter().map(|text| (sql(text), KeptPlan::default())).collect();
    for seconds in [0, 0, 17, 40, 3_600] {
        for (condition, kept) in &kept {
            let fresh = ask_at(&fixture, condition, &KeptPlan::default(), seconds).await;
            let again = ask_at(&fixture, condition, kept, seconds).await;
            assert_eq!(again.expect("kept"), fresh.expect("fresh"), "{condition:?} {seconds} s ago");
            assert!(is_kept(kept), "{condition:?}");
        }
    }
    // Rows that came later are seen.
    fixture.append(spans_batch(&minute("late"))).await;
    let (condition, kept) = &kept[0];
    let late = ask_at(&fixture, condition, kept, 0).await.expect("an answer");
    assert!(late.iter().any(|sample| sample.labels["service_name"] == "late"), "{late:?}");
}

#[tokio::test]
async fn findings_are_kept_too() {
    let fixture = Fixture::mixed(&minute("shop")).await;
    let finding = Finding {
        id: FindingName::RetryStorm,
        service: Some("shop".to_owned()),
        op: None,
        queue: Some("orders".to_owned()),
        at_least: 1,
        within_nanos: 60 * UnixNanos::SECOND,
        by: vec![By::Service],
    };
    let (condition, kept) = (Condition::Finding(finding), KeptPlan::default());
    for seconds in [0, 30] {
        assert_eq!(ask_at(&fixture, &condition, &kept, seconds).await.expect("an answer"), Vec::new());
    }
    assert!(is_kept(&kept));
}

/// A condition that asks for the time is planned each time.
#[tokio::test]
async fn what_depends_on_the_time_is_not_kept() {
    let fixture = Fixture::mixed(&minute("shop")).await;
    let condition = sql(
        "SELECT count(*) AS value FROM spans WHERE start_time >= now() - INTERVAL '10 seconds' AND start_time < now()",
    );
    let kept = KeptPlan::default();
    for (seconds, expected) in [(0, 10.0), (55, 5.0)] {
        let samples = ask_at(&fixture, &condition, &kept, seconds).await.expect("an answer");
        assert_eq!(samples.iter().map(|sample| sample.value).collect::<Vec<_>>(), [expected]);
    }
    assert!(!is_kept(&kept));
}

/// What is wrong is said each time, in the same words.
#[tokio::test]
async fn errors_stay_errors() {
    let fixture = Fixture::mixed(&minute("shop")).await;
    for text in [
        "SELECT count(*) AS value FROM spans WHERE start_time < $until",
        "SELECT count(*) AS value FROM nothing",
        "SELECT service_name, status_code, 1 AS value FROM spans WHERE start_time >= $from",
        "SELECT count(*) FROM spans WHERE start_time < $to",
    ] {
        let (condition, kept) = (sql(text), KeptPlan::default());
        let first = ask_at(&fixture, &condition, &kept, 0).await.expect_err(text).to_string();
        let second = ask_at(&fixture, &condition, &kept, 0).await.expect_err(text).to_string();
        assert_eq!(first, second);
    }
}
