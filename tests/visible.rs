//! What was acknowledged is seen by the very next question, by SQL and by trace id, also while the buffer is being
//! written to segments.

use std::time::{Duration, Instant};

use crate::harness::otlp::Client;
use crate::harness::{Collector, Request, Transport, generate, sql, wait_for};

/// Requests; with a buffer age of one second several flushes happen meanwhile.
const ROUNDS: u64 = 200;

#[tokio::test]
async fn the_next_question_sees_what_was_acknowledged() {
    let server = Collector::with_fast_flush().start();
    let client = Client::new(&server);
    let begun = Instant::now();
    for round in 1..=ROUNDS {
        let transport = if round % 2 == 0 { Transport::Grpc } else { Transport::HttpProtobuf };
        let trace_id = u128::from(round) << 64 | 0xa11;
        let spans =
            vec![generate::span(trace_id, 2 * round, "first"), generate::span(trace_id, 2 * round + 1, "second")];
        client.send_all(transport, &Request::Traces(generate::request("visible", spans))).await;

        // Whole tables are asked, so that a row that is in two places or in none would show.
        let count = sql::number(&server, "SELECT count(*) FROM spans").await;
        assert_eq!(count, i64::try_from(2 * round).expect("small"), "rows after request {round} over {transport:?}");
        let text = format!("SELECT count(*) FROM spans WHERE trace_id = X'{trace_id:032x}'");
        assert_eq!(sql::number(&server, &text).await, 2, "spans of trace {round}");
        let answer = reqwest::get(server.api(&format!("/api/traces/{trace_id:032x}"))).await.expect("an answer");
        assert_eq!(answer.status(), 200, "trace {round} by id");
        let body = answer.text().await.expect("a body");
        assert!(body.contains("first") && body.contains("second"), "trace {round} is whole: {body}");
    }
    // The first flush is on its way since a second after the first request; a slow disk may not have it yet.
    wait_for("segments that were begun meanwhile", Duration::from_secs(60), async || {
        let answer = reqwest::get(server.api("/api/status")).await.expect("an answer").bytes().await.expect("a body");
        let status: api::StatusAnswer = serde_json::from_slice(&answer).expect("a status");
        (status.storage.segments > 0).then_some(())
    })
    .await;
    println!("visible: {ROUNDS} requests, each seen by the next 3 questions, in {:?}", begun.elapsed());
}
