//! A1-A15, A17: what is answered. (A16 wants a disk that takes its time: `tests/faults.rs` of the whole.)

use futures::FutureExt as _;
use serde_json::{Value as Json, json};
use storage::table::{LOGS, NUMBER_POINTS, SPANS};

use super::world::*;
use crate::metrics::{Answer as Counted, Transport};
use crate::{Config, Encoding, Reason, Signal};

/// All stored: nothing to say. Protobuf is empty, JSON is `{}`.
#[tokio::test]
async fn a1_all_stored() {
    let world = World::new().await;
    for signal in Signal::ALL {
        for wire in Wire::ALL {
            let answer = world.send(wire, signal, &good(signal)).await;
            assert_eq!(answer, Answer { http_status: 200, ..Answer::default() }, "{signal:?} over {wire:?}");
        }
        let json = [("content-type", "application/json")];
        assert_eq!(&world.post(signal, &json, good(signal).to_string()).await.body[..], b"{}");
    }
    assert_eq!((world.rows(&SPANS), world.rows(&LOGS), world.rows(&NUMBER_POINTS)), (4, 4, 4));
}

/// Empty requests, envelopes and metrics are fine.
#[tokio::test]
async fn a2_empty_requests_are_fine() {
    let world = World::new().await;
    let empty = [
        (Signal::Traces, json!({})),
        (Signal::Traces, json!({ "resourceSpans": [] })),
        (Signal::Traces, json!({ "resourceSpans": [{}] })),
        (Signal::Traces, json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [] }] }] })),
        (Signal::Logs, json!({ "resourceLogs": [{ "scopeLogs": [{}] }] })),
        (Signal::Metrics, json!({ "resourceMetrics": [{ "scopeMetrics": [{ "metrics": [{ "name": "m" }] }] }] })),
        (Signal::Metrics, metrics(&[json!({ "name": "m", "gauge": {} })])),
    ];
    for (signal, request) in &empty {
        for wire in Wire::ALL {
            let answer = world.send(wire, *signal, request).await;
            assert_eq!(answer, Answer { http_status: 200, ..Answer::default() }, "{request} over {wire:?}");
        }
    }
    assert_eq!(world.post(Signal::Traces, &[("content-type", "application/x-protobuf")], "").await.status, 200);
}

/// Some items refused: the others are stored, the answer counts and names.
#[tokio::test]
async fn a3_partial_success() {
    let world = World::new().await;
    let request = traces(&[span(json!({})), span(json!({ "traceId": "00" })), span(json!({ "spanId": "" }))]);
    for wire in Wire::ALL {
        let answer = world.send(wire, Signal::Traces, &request).await;
        assert_eq!((answer.http_status, answer.code, answer.rejected, answer.retry_seconds), (200, 0, 2, None));
        assert!(answer.message.contains("1 invalid_trace_id") && answer.message.contains("1 invalid_span_id"));
    }
    assert_eq!(world.rows(&SPANS), 3);
}

/// All stored, with a warning: nothing rejected and a message.
#[tokio::test]
async fn a4_warning() {
    let world = World::new().await;
    let long = "x".repeat(70_000);
    let request = traces(&[span(json!({ "attributes": [attribute("a", json!({ "stringValue": long }))] }))]);
    for wire in Wire::ALL {
        let answer = world.send(wire, Signal::Traces, &request).await;
        assert_eq!((answer.http_status, answer.rejected), (200, 0));
        assert_eq!(answer.message, "kept with changes: 1 truncated");
    }
}

/// Nothing could be kept, or nothing could be read: 400, and no hint to retry.
#[tokio::test]
async fn a5_nothing_kept_or_readable() {
    let world = World::new().await;
    let request = traces(&[span(json!({ "traceId": "" }))]);
    for wire in Wire::ALL {
        let answer = world.send(wire, Signal::Traces, &request).await;
        assert_eq!((answer.http_status, answer.code, answer.retry_seconds), (400, 3, None), "{wire:?}");
        assert!(answer.message.contains("1 of 1 spans rejected: 1 invalid_trace_id"), "{}", answer.message);
    }
    for (name, body) in
        [("application/json", "[1]"), ("application/json", ""), ("application/x-protobuf", "\u{7f}\u{7f}")]
    {
        assert_eq!(world.post(Signal::Traces, &[("content-type", name)], body).await.status, 400, "{body:?}");
    }
    assert_eq!(world.rows(&SPANS), 0);
}

/// Over a limit: 413 without a hint. (More in T10.)
#[tokio::test]
async fn a6_too_large_is_final() {
    let world = World::with(Config { request_bytes_max: 100, ..Config::default() }).await;
    for wire in Wire::ALL {
        let answer = world.send(wire, Signal::Traces, &good(Signal::Traces)).await;
        assert_eq!((answer.http_status, answer.code, answer.retry_seconds), (413, 8, None), "{wire:?}");
    }
}

/// A7, S17: a tenant over its rate is asked to come back, on every wire, before its body is read; the hint is long enough and short
/// enough, and gRPC says it twice.
#[tokio::test]
async fn a7_over_rate_is_429() {
    for (edit, word) in [
        (Config { tenant_bytes_per_s: 1, tenant_burst_s: 1, ..Config::default() }, "1 bytes per second"),
        (Config { tenant_items_per_s: 1, tenant_burst_s: 1, ..Config::default() }, "1 items per second"),
    ] {
        let world = World::with(edit).await;
        let many = traces(&(0..50).map(|_| span(json!({}))).collect::<Vec<_>>());
        let first = world.send(Wire::Grpc, Signal::Traces, &many).await;
        assert_eq!(first.http_status, 200, "a burst is taken: {}", first.message);
        for wire in Wire::ALL {
            let answer = world.send(wire, Signal::Traces, &good(Signal::Traces)).await;
            assert_eq!((answer.http_status, answer.code, answer.retry_seconds), (429, 8, Some(5)), "{wire:?}");
            assert!(answer.message.contains(word), "{}", answer.message);
        }
        let unread = world.post(Signal::Traces, &[("content-type", "application/json")], "no JSON").await;
        assert_eq!(unread.status, 429, "before the body is read");
        assert_eq!(world.rows(&SPANS), 50);
        let requests = world.collector.metrics().snapshot().requests;
        assert!(requests.contains(&(Transport::Grpc, Counted::OverBudget, 1)), "{requests:?}");
    }
}

/// A7, F17: series beyond the budget are refused as a whole request; series that are known go on.
#[tokio::test]
async fn a7_too_many_series_are_429() {
    let world = World::with(Config { tenant_series_max: 20, ..Config::default() }).await;
    let of = |numbers: std::ops::Range<u32>| {
        let points: Vec<Json> = numbers
            .map(|n| {
                point(json!({ "asInt": "1", "attributes": [attribute("n", json!({ "intValue": n.to_string() }))] }))
            })
            .collect();
        metrics(&[json!({ "name": "m", "gauge": { "dataPoints": points } })])
    };
    for wire in Wire::ALL {
        assert_eq!(world.send(wire, Signal::Metrics, &of(0..20)).await.http_status, 200, "{wire:?}");
        let answer = world.send(wire, Signal::Metrics, &of(19..22)).await;
        assert_eq!((answer.http_status, answer.code, answer.retry_seconds), (429, 8, Some(5)), "{wire:?}");
        assert!(answer.message.contains("20 active series"), "{}", answer.message);
    }
    assert_eq!(world.collector.active_series(), 20);
    assert_eq!(world.rows(&NUMBER_POINTS), 60, "nothing of what was refused");
    assert_eq!(
        world.send(Wire::Grpc, Signal::Traces, &good(Signal::Traces)).await.http_status,
        200,
        "spans are no series"
    );
}

/// No room, or closing: come back later.
#[tokio::test]
async fn a8_overload_and_closing_are_retryable() {
    let busy = World::with(Config { in_flight_bytes_max: 10, request_bytes_max: 1000, ..Config::default() }).await;
    let closing = World::new().await;
    closing.collector.close();
    for (world, word) in [(&busy, "busy"), (&closing, "shutting down")] {
        for wire in Wire::ALL {
            let answer = world.send(wire, Signal::Traces, &good(Signal::Traces)).await;
            assert_eq!((answer.http_status, answer.code), (503, 14), "{wire:?}");
            assert!(answer.message.contains(word), "{}", answer.message);
            assert!(answer.retry_seconds.is_some_and(|seconds| (1..=5).contains(&seconds)));
        }
    }
}

/// A body that is refused because too much is in flight gives back what it held, while the rest of it still comes: others fit again.
#[tokio::test]
async fn a8_refused_bodies_hold_nothing() {
    let world = World::with(Config { in_flight_bytes_max: 1000, request_bytes_max: 1000, ..Config::default() }).await;
    let (send, pieces) = tokio::sync::mpsc::channel::<bytes::Bytes>(4);
    let stream = futures::stream::unfold(pieces, |mut pieces| async move {
        let piece = pieces.recv().await?;
        Some((Ok::<_, std::io::Error>(piece), pieces))
    });
    let mut held = world.collector.ingest.budget.reserve();
    held.grow(500).expect("it fits");
    let headers = [("content-type", "application/json")];
    let refused = world.post(Signal::Traces, &headers, axum::body::Body::from_stream(stream));
    let others = async {
        for _ in 0..2 {
            send.send(vec![b' '; 300].into()).await.expect("it is read");
        }
        // Twice 300 bytes do not fit beside 500.
        while send.capacity() < 4 || world.collector.metrics().snapshot().in_flight_bytes != 500 {
            tokio::task::yield_now().await;
        }
        assert!(!send.is_closed(), "the rest of the body is still read");
        let answer = world.send(Wire::Json, Signal::Traces, &json!({})).await;
        assert_eq!(answer.http_status, 200, "{}", answer.message);
        drop(send);
    };
    let (refused, ()) = tokio::join!(refused, others);
    assert_eq!(refused.status, 503);
}

/// S17: what storage did not take is not paid for: a tenant that tries again hears 503 again, not that it sent too much.
#[tokio::test]
async fn s17_what_storage_refused_is_not_paid_for() {
    let limits = Config { tenant_bytes_per_s: 1, tenant_items_per_s: 1, tenant_burst_s: 1, ..Config::default() };
    let mut world = World::with(limits).await;
    let storage = std::mem::replace(&mut world.storage, World::new().await.storage);
    storage.close().await.expect("closes");
    for wire in [Wire::ALL, Wire::ALL].concat() {
        let answer = world.send(wire, Signal::Traces, &good(Signal::Traces)).await;
        assert_eq!(answer.http_status, 503, "{wire:?}: {}", answer.message);
    }
}

/// S17: who goes away before the answer pays for the items all the same: they may be stored.
#[tokio::test]
async fn s17_who_goes_away_pays_for_items() {
    let world = World::with(Config { tenant_items_per_s: 1, tenant_burst_s: 1, ..Config::default() }).await;
    let many = traces(&(0..50).map(|_| span(json!({}))).collect::<Vec<_>>());
    // Goes as far as it can without waiting: until storage was asked.
    let _ = world.send(Wire::Json, Signal::Traces, &many).now_or_never();
    let answer = world.send(Wire::Json, Signal::Traces, &good(Signal::Traces)).await;
    assert_eq!(answer.http_status, 429, "{}", answer.message);
}

/// A storage that does not take it (closed here) is "come back later", and nothing is counted as accepted.
#[tokio::test]
async fn a9_storage_errors_are_retryable() {
    let mut world = World::new().await;
    let storage = std::mem::replace(&mut world.storage, World::new().await.storage);
    storage.close().await.expect("closes");
    for wire in Wire::ALL {
        let answer = world.send(wire, Signal::Traces, &good(Signal::Traces)).await;
        assert_eq!((answer.http_status, answer.code), (503, 14), "{wire:?}: {}", answer.message);
        assert!(answer.retry_seconds.is_some());
    }
    assert!(world.collector.metrics().snapshot().accepted.iter().all(|(_, n)| *n == 0));
}

/// A bug in one request is its own 500. Without a door nobody said who is asking, which is such a bug.
#[tokio::test]
async fn a10_bugs_are_500() {
    use tower::ServiceExt as _;
    let world = World::new().await;
    let headers = [("content-type", "application/json")];
    let request = post("/v1/traces", &headers, good(Signal::Traces).to_string());
    let response = world.collector.http_routes().oneshot(request).await.expect("infallible");
    assert_eq!(response.status().as_u16(), 500);
    assert_eq!(world.send(Wire::Json, Signal::Traces, &good(Signal::Traces)).await.http_status, 200, "life goes on");
}

/// Every refusal is a Status in the request's own encoding, also where no handler was reached.
#[tokio::test]
async fn a11_refusals_are_status_messages() {
    let world = World::with(Config { request_bytes_max: 1000, ..Config::default() }).await;
    for (name, encoding) in [("application/json", Encoding::Json), ("application/x-protobuf", Encoding::Protobuf)] {
        let headers = [("content-type", name)];
        let gzip = [("content-type", name), ("content-encoding", "gzip")];
        let brotli = [("content-type", name), ("content-encoding", "br")];
        let large = "x".repeat(1001);
        for (path, headers, body, status) in [
            ("/v1/traces", &headers[..], "\u{7f}", 400),
            ("/v1/traces", &gzip[..], "plain", 400),
            ("/v1/traces", &brotli[..], "x", 415),
            ("/v1/traces", &headers[..], large.as_str(), 413),
            ("/nowhere", &headers[..], "", 404),
        ] {
            let reply = world.http(post(path, headers, body.to_owned())).await;
            let answer = http_answer(Signal::Traces, encoding, &reply);
            assert_eq!((reply.status, reply.header("content-type")), (status, name));
            assert!(answer.code != 0 && !answer.message.is_empty(), "{answer:?}");
        }
    }
}

/// Whole seconds from 1 to 5, not always the same.
#[tokio::test]
async fn a12_hints_are_short_and_jittered() {
    let world = World::new().await;
    world.collector.close();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..60 {
        let answer = world.send(Wire::Protobuf, Signal::Logs, &good(Signal::Logs)).await;
        seen.insert(answer.retry_seconds.expect("a hint"));
    }
    assert!(seen.len() > 1 && seen.iter().all(|seconds| (1..=5).contains(seconds)), "{seen:?}");
}

/// gRPC says the hint twice, and both say the same.
#[tokio::test]
async fn a13_grpc_hints_are_sent_twice() {
    let world = World::new().await;
    world.collector.close();
    let body = to_protobuf(Signal::Traces, good(Signal::Traces).to_string().as_bytes());
    let reply = world.call(Signal::Traces, &[], frame(false, &body)).await;
    let in_details = grpc_answer(Signal::Traces, &reply).retry_seconds.expect("in the details");
    let metadata = tonic::metadata::MetadataMap::from_headers(reply.headers.clone());
    let bare = metadata.get_bin("google.rpc.retryinfo-bin").expect("as a trailer").to_bytes().expect("bytes");
    // RetryInfo { retry_delay = 1: Duration { seconds = 1 } }
    assert_eq!(bare.as_ref(), [0x0a, 2, 0x08, in_details as u8]);
}

/// What is answered with success is visible at once, and what was refused never is.
#[tokio::test]
async fn a14_success_means_stored() {
    let world = World::new().await;
    for n_sent in 1..=5 {
        assert_eq!(world.send(Wire::Grpc, Signal::Traces, &good(Signal::Traces)).await.http_status, 200);
        assert_eq!(world.rows(&SPANS), n_sent);
    }
}

/// Every rejection is counted by signal and reason, whatever the sender does with the answer; so is every
/// answer, by transport.
#[tokio::test]
async fn a15_rejections_and_answers_are_counted() {
    let world = World::new().await;
    let request = traces(&[span(json!({})), span(json!({ "traceId": "00" }))]);
    for wire in Wire::ALL {
        world.send(wire, Signal::Traces, &request).await;
        world.send(wire, Signal::Traces, &good(Signal::Traces)).await;
    }
    world.send(Wire::Json, Signal::Traces, &traces(&[span(json!({ "traceId": "00" }))])).await;
    let snapshot = world.collector.metrics().snapshot();
    assert_eq!(snapshot.rejected, [(Signal::Traces, Reason::InvalidTraceId, 4)]);
    assert!(snapshot.accepted.contains(&(Signal::Traces, 6)));
    for transport in Transport::ALL {
        assert!(snapshot.requests.contains(&(transport, Counted::Ok, 1)), "{transport:?}");
        assert!(snapshot.requests.contains(&(transport, Counted::Partial, 1)), "{transport:?}");
    }
    assert!(snapshot.requests.contains(&(Transport::HttpJson, Counted::Invalid, 1)));
}

/// The answer is not waited for longer than the deadline.
#[tokio::test]
async fn a17_answers_within_the_deadline() {
    let world = World::with(Config { answer_within_ms: 1, ..Config::default() }).await;
    let many: Vec<Json> = (0..20_000).map(|_| span(json!({}))).collect();
    let started = std::time::Instant::now();
    let answer = world.send(Wire::Json, Signal::Traces, &traces(&many)).await;
    assert_eq!((answer.http_status, answer.code), (503, 14), "{}", answer.message);
    assert!(answer.message.contains("1 ms"), "{} after {:?}", answer.message, started.elapsed());
}
