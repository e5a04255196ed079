//! Filters, histogram, facets, "what differs" and the live stream agree with what was sent, from the write buffer and
//! from segments.

use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use serde_json::{Value as Json, json};

use crate::harness::fixtures::now_nanos;
use crate::harness::otlp::Client;
use crate::harness::{Collector, Request, Server, Transport, generate, wait_for};

/// Requests of the shop; every fifth is slow, fails, and comes from another region.
const REQUESTS: u64 = 500;

/// Two spans of a request: the answer of the shop, and the database it asked.
fn spans_of(n: u64) -> [Span; 2] {
    let is_slow = n.is_multiple_of(5);
    let start = now_nanos() - 60_000_000_000 + n * 100_000_000;
    let trace_id = u128::from(n) << 64 | 0x5ea;
    let mut root = generate::span(trace_id, 2 * n, "GET /cart");
    root.start_time_unix_nano = start;
    root.end_time_unix_nano = start + if is_slow { 3_000_000_000 } else { 20_000_000 };
    root.attributes.push(generate::attribute("region", if is_slow { "eu" } else { "us" }));
    if is_slow {
        root.status = Some(Status { code: 2, message: "deadline".to_owned() });
        root.events.push(Event {
            name: "exception".to_owned(),
            time_unix_nano: start + 1,
            attributes: vec![generate::attribute("exception.message", "timeout of the cart")],
            ..Event::default()
        });
    }
    let mut query = generate::span(trace_id, 2 * n + 1, "SELECT cart");
    query.parent_span_id = (2 * n).to_be_bytes().to_vec();
    query.kind = 3;
    (query.start_time_unix_nano, query.end_time_unix_nano) = (start + 1_000, start + 2_000_000);
    [root, query]
}

async fn ask(server: &Server, path: &str, params: &[(&str, &str)]) -> (u16, Json) {
    let encode = |text: &str| -> String { text.bytes().map(|byte| format!("%{byte:02X}")).collect() };
    let params: Vec<_> = params.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let answer = reqwest::get(server.api(&format!("{path}?{}", params.join("&")))).await.expect("an answer");
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON"))
}

async fn differs(server: &Server, request: &Json) -> (u16, Json) {
    let client = reqwest::Client::new();
    let answer =
        client.post(server.api("/api/search/differs")).body(request.to_string()).send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON"))
}

async fn flushed(server: &Server) {
    wait_for("the buffer to become segments", Duration::from_secs(240), async || {
        let (_, status) = ask(server, "/api/status", &[]).await;
        (status["storage"]["buffer_rows"] == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_was_sent_is_found_and_counted() {
    let server = Collector::with_fast_flush().start();
    let spans: Vec<Span> = (1..=REQUESTS).flat_map(spans_of).collect();
    Client::new(&server).send_all(Transport::Grpc, &Request::Traces(generate::request("shop", spans))).await;
    let slow = REQUESTS / 5;
    for place in ["buffer", "segments"] {
        for (q, n_spans) in [
            ("", 2 * REQUESTS),
            ("status=error", slow),
            ("span.region=eu or name=~^SELECT", slow + REQUESTS),
            ("not (span.region=eu or name=~^SELECT)", REQUESTS - slow),
            ("duration>=1s event.exception.message~CART", slow),
            ("region!=*", 0),
            ("span.region!=*", REQUESTS),
            ("parent_id!=* http.method=GET", REQUESTS),
            ("service!=shop", 0),
        ] {
            if q == "region!=*" {
                let (status, problem) = ask(&server, "/api/search/facets", &[("q", q)]).await;
                assert_eq!((status, &problem["position"]), (400, &json!(0)), "{problem}");
                continue;
            }
            let (status, drawn) = ask(&server, "/api/search/histogram", &[("unit", "spans"), ("q", q)]).await;
            assert_eq!((status, drawn["count"].as_u64()), (200, Some(n_spans)), "{q} in {place}: {drawn}");
            let (_, facets) = ask(&server, "/api/search/facets", &[("unit", "spans"), ("q", q), ("keys", "*")]).await;
            assert_eq!(facets["count"].as_u64(), Some(n_spans), "{q} in {place}");
        }
        let (_, drawn) = ask(&server, "/api/search/histogram", &[("q", "status=error"), ("dots", "2000")]).await;
        assert_eq!(drawn["dots"].as_array().map(Vec::len), usize::try_from(slow).ok(), "{place}");
        let request = json!({ "unit": "traces", "brush": { "min_nanos": 1_000_000_000u64 } });
        let (status, answer) = differs(&server, &request).await;
        assert_eq!(
            (status, answer["selected"].as_u64(), answer["outside"].as_u64()),
            (200, Some(slow), Some(REQUESTS - slow))
        );
        let keys: Vec<&str> =
            answer["attributes"].as_array().expect("attributes").iter().filter_map(|a| a["key"].as_str()).collect();
        assert!(keys.contains(&"region") && keys.contains(&"status") && !keys.contains(&"url.path"), "{keys:?}");

        // Every hit once, over all pages, in the same order each time.
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let params = [("q", "span.region=us"), ("limit", "90"), ("sort", "slowest"), ("cursor", cursor.as_str())];
            let (status, page) = ask(&server, "/api/search", &params).await;
            assert_eq!(status, 200, "{page}");
            let ids = page["items"].as_array().expect("items").iter();
            seen.extend(ids.map(|item| item["trace_id"].as_str().expect("an id").to_owned()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => break,
            }
        }
        let n_seen = seen.len() as u64;
        seen.sort();
        seen.dedup();
        assert_eq!((n_seen, seen.len() as u64), (REQUESTS - slow, REQUESTS - slow), "{place}");
        flushed(&server).await;
    }
}

/// A stream tells what comes after it was opened, and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_stream_tells_what_comes() {
    let server = Server::start();
    let client = Client::new(&server);
    let old = generate::request("shop", vec![generate::span(1, 1, "old")]);
    client.send_all(Transport::HttpProtobuf, &Request::Traces(old)).await;
    let mut stream =
        reqwest::get(server.api("/api/live?unit=spans&q=service%3Dshop%20not%20name%3Dskip")).await.expect("an answer");
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let first = stream.chunk().await.expect("a chunk").expect("not the end");
    assert!(first.starts_with(b"retry:"), "{first:?}");
    let spans = (0..300).map(|n| generate::span(7, 1_000 + n, if n % 2 == 0 { "new" } else { "skip" })).collect();
    client.send_all(Transport::Grpc, &Request::Traces(generate::request("shop", spans))).await;
    let mut text = String::new();
    let (mut listed, mut left_out) = (0, 0);
    while listed + left_out < 150 {
        let chunk =
            tokio::time::timeout(Duration::from_secs(60), stream.chunk()).await.expect("in time").expect("a chunk");
        text.push_str(std::str::from_utf8(&chunk.expect("not the end")).expect("text"));
        while let Some((event, rest)) = text.split_once("\n\n") {
            if let Some(data) = event.strip_prefix("event: items\ndata: ") {
                let items: api::LiveItems = serde_json::from_str(data).expect("items");
                assert!(!items.gap && items.skipped == 0, "{items:?}");
                for item in &items.items {
                    let api::SearchItem::Span(item) = item else { panic!("{item:?}") };
                    assert_eq!(item.name, "new");
                }
                listed += items.items.len();
                left_out += usize::try_from(items.left_out).expect("small");
            }
            text = rest.to_owned();
        }
    }
    assert_eq!(listed + left_out, 150, "each hit is listed or counted once");
    drop(stream);
    // A stream that is open does not keep the collector from stopping.
    let open = reqwest::get(server.api("/api/live")).await.expect("an answer");
    let (status, stopped) = server.stop(Duration::from_secs(120));
    assert!(status.success(), "{status}");
    let said = std::fs::read_to_string(stopped.data().with_file_name("stderr.txt")).expect("beside the data");
    assert!(!said.contains("cut connections"), "the stream ended by itself: {said}");
    drop(open);
}

/// Whatever is wrong with a question is answered with 400 and, for filters, the place.
#[tokio::test]
async fn wrong_questions_are_explained() {
    let mut server = Server::start();
    for (q, position) in [
        ("service=", 8),
        ("service=a or", 10),
        ("(service=a", 0),
        ("service=a)", 9),
        ("colour=red", 0),
        ("duration>5", 9),
        ("name=~a(b", 7),
        ("name=~(((((a{100}){100}){100}){100}){100})", 6),
        ("order.id>x", 9),
        ("trace_id=xyz", 9),
        ("kind=dog", 5),
        ("é colour=1", 3),
        ("journey:wait>1s", 0),
        ("not", 0),
        ("\"open", 0),
    ] {
        for path in ["/api/search", "/api/search/histogram", "/api/search/facets", "/api/live"] {
            let (status, problem) = ask(&server, path, &[("q", q)]).await;
            assert_eq!((status, &problem["position"]), (400, &json!(position)), "{path} {q}: {problem}");
        }
        let (status, problem) = differs(&server, &json!({ "q": q, "brush": {} })).await;
        assert_eq!((status, &problem["position"]), (400, &json!(position)), "{q}: {problem}");
    }
    let long = "x".repeat(5_000);
    for (path, name, value) in [
        ("/api/search", "cursor", "AAAA"),
        ("/api/search", "cursor", "e30"),
        ("/api/search", "cursor", "%00"),
        ("/api/search", "from", "yesterday"),
        ("/api/search", "limit", "1000000"),
        ("/api/search", "sort", "errors"),
        ("/api/search", "q", long.as_str()),
        ("/api/search/histogram", "columns", "100000"),
        ("/api/search/histogram", "plot", "wait"),
        ("/api/search/facets", "limit", "-1"),
        ("/api/live", "unit", "dogs"),
    ] {
        let (status, problem) = ask(&server, path, &[(name, value)]).await;
        assert_eq!(status, 400, "{path} {name}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{problem}");
    }
    server.assert_alive();
}
