//! Searches over real segments and buffer.

use std::collections::BTreeMap;

use api::{SearchAnswer, SearchItem};
use model::{AttributeValue, UnixNanos};

use super::Question;
use crate::Error;
use crate::testing::{Fixture, NOW, TestSpan, span, spans_batch, tenant, trace_id};

async fn search(fixture: &Fixture, params: &str) -> Result<SearchAnswer, Error> {
    let pair = |pair: &str| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let params: BTreeMap<String, String> = params.split('&').filter_map(pair).collect();
    fixture.engine.search(&tenant(), Question::from_params(&params, NOW)?).await
}

/// Names of hits in order.
fn names(answer: &SearchAnswer) -> Vec<&str> {
    answer
        .items
        .iter()
        .map(|item| match item {
            SearchItem::Trace(item) => item.name.as_str(),
            SearchItem::Span(item) => item.name.as_str(),
        })
        .collect()
}

fn shop() -> Vec<TestSpan> {
    let text = |value: &str| AttributeValue::String(value.to_owned());
    vec![
        TestSpan {
            kind: 2,
            service: "web",
            columns: vec![("http_route", text("/cart")), ("http_status_code", AttributeValue::Int(503))],
            ..span(1, 1, None, "GET /cart", 0, 900)
        },
        TestSpan {
            kind: 3,
            status: 2,
            attributes: vec![("order.id", AttributeValue::Int(7))],
            ..span(1, 2, Some(1), "charge", 100, 500)
        },
        TestSpan {
            kind: 2,
            service: "web",
            resource: vec![("host.name", "a"), ("team", "x")],
            ..span(2, 3, None, "GET /home", 2_000, 5)
        },
        span(3, 4, None, "cron_100%", 4_000, 700),
    ]
}

#[track_caller]
fn expect<'a>(answer: &'a Result<SearchAnswer, Error>, params: &str) -> &'a SearchAnswer {
    answer.as_ref().unwrap_or_else(|error| panic!("{params}: {error}"))
}

#[tokio::test]
async fn conditions_choose() {
    let fixture = Fixture::mixed(&shop()).await;
    for (q, expected) in [
        ("", vec!["cron_100%", "charge", "GET /home", "GET /cart"]),
        ("service=web", vec!["GET /home", "GET /cart"]),
        ("service!=web", vec!["cron_100%", "charge"]),
        ("name~\"get /\"", vec!["GET /home", "GET /cart"]),
        ("100%", vec!["cron_100%"]),
        ("name~_____100%", vec![]),
        ("kind=client", vec!["charge"]),
        ("status=error", vec!["charge"]),
        ("status!=error duration>=700ms", vec!["cron_100%", "GET /cart"]),
        ("http.route=/cart", vec!["GET /cart"]),
        ("http.status_code>=500", vec!["GET /cart"]),
        ("http.response.status_code=503", vec!["GET /cart"]),
        ("span.order.id=7", vec!["charge"]),
        ("order.id>6 AND order.id<8", vec!["charge"]),
        ("order.id!=7 service=web", vec!["GET /home", "GET /cart"]),
        ("resource.team=x", vec!["GET /home"]),
        ("host.name=a", vec!["GET /home"]),
        ("resource.host.name!=a", vec!["cron_100%", "charge", "GET /cart"]),
    ] {
        let params = format!("unit=spans&q={q}");
        let answer = search(&fixture, &params).await;
        let mut found = names(expect(&answer, q));
        let mut expected = expected;
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{q}");
    }
}

#[tokio::test]
async fn spans_stand_in_order_and_page_by_page() {
    let fixture = Fixture::mixed(&shop()).await;
    let newest = search(&fixture, "unit=spans").await;
    assert_eq!(names(expect(&newest, "")), ["cron_100%", "GET /home", "charge", "GET /cart"]);
    for sort in ["newest", "slowest"] {
        let whole = search(&fixture, &format!("unit=spans&sort={sort}")).await.expect("an answer");
        let (mut pages, mut cursor) = (Vec::new(), String::new());
        loop {
            let page =
                search(&fixture, &format!("unit=spans&sort={sort}&limit=1&cursor={cursor}")).await.expect("a page");
            pages.extend(page.items);
            match page.next_cursor {
                Some(next) => cursor = next,
                None => break,
            }
        }
        assert_eq!(pages, whole.items, "{sort}");
    }
}

/// Every trace stands on exactly one page, in the order of one big page, also when traces overlap.
#[tokio::test]
async fn traces_stand_in_order_and_page_by_page() {
    let mut spans = Vec::new();
    for trace in 1..=40u64 {
        // Later traces start later; every fifth has a span long after its start.
        spans.push(span(trace, trace * 10, None, "root", trace as i64 * 10, 5 + (trace as i64 * 7) % 31));
        spans.push(span(
            trace,
            trace * 10 + 1,
            Some(trace * 10),
            "late",
            trace as i64 * 10 + if trace % 5 == 0 { 333 } else { 1 },
            1,
        ));
    }
    let fixture = Fixture::mixed(&spans).await;
    let ids = |answer: &SearchAnswer| -> Vec<_> {
        answer
            .items
            .iter()
            .map(|item| match item {
                SearchItem::Trace(item) => item.trace_id,
                SearchItem::Span(item) => item.trace_id,
            })
            .collect()
    };
    let whole = search(&fixture, "limit=200").await.expect("an answer");
    assert_eq!(ids(&whole), (1..=40).rev().map(trace_id).collect::<Vec<_>>());
    assert_eq!((whole.next_cursor, whole.incomplete), (None, false));
    for sort in ["newest", "slowest"] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        for _ in 0..100 {
            let page = search(&fixture, &format!("sort={sort}&limit=7&cursor={cursor}")).await.expect("a page");
            seen.extend(ids(&page));
            match page.next_cursor {
                Some(next) => cursor = next,
                None => break,
            }
        }
        if sort == "newest" {
            assert_eq!(seen, (1..=40).rev().map(trace_id).collect::<Vec<_>>());
        }
        seen.sort();
        assert_eq!(seen, (1..=40).map(trace_id).collect::<Vec<_>>(), "{sort}");
    }
}

#[tokio::test]
async fn a_trace_is_summed_up() {
    let fixture = Fixture::mixed(&shop()).await;
    let answer = search(&fixture, "q=status=error").await.expect("an answer");
    let [SearchItem::Trace(item)] = answer.items.as_slice() else { panic!("{:?}", answer.items) };
    assert_eq!((item.service.as_str(), item.name.as_str(), item.has_root), ("web", "GET /cart", true));
    assert_eq!((item.spans, item.errors, item.result.as_str()), (2, 1, "503"));
    assert_eq!(
        item.services.iter().map(|share| (share.name.as_str(), share.errors)).collect::<Vec<_>>(),
        [("web", 0), ("shop", 1)]
    );
    assert_eq!(
        item.shape.iter().map(|bar| (bar.service, bar.row, bar.error)).collect::<Vec<_>>(),
        [(0, 0, false), (1, 1, true)]
    );
    let again = search(&fixture, "q=status=error").await.expect("an answer");
    assert_eq!(again.items, answer.items);
}

/// Whoever names a trace finds it, whenever it was; everybody else looks at the last hour.
#[tokio::test]
async fn ranges() {
    let old = TestSpan { start: -5 * 3_600 * UnixNanos::SECOND, ..span(9, 1, None, "old", 0, 1) };
    let fixture = Fixture::new(vec![spans_batch(&[old])]).await;
    assert!(search(&fixture, "").await.expect("an answer").items.is_empty());
    assert_eq!(search(&fixture, "from=now-6h").await.expect("an answer").items.len(), 1);
    assert_eq!(search(&fixture, &format!("q={}", trace_id(9))).await.expect("an answer").items.len(), 1);
    assert!(search(&fixture, &format!("q={}", trace_id(8))).await.expect("an answer").items.is_empty());
}

#[tokio::test]
async fn mistakes_are_explained() {
    let fixture = Fixture::new(vec![spans_batch(&shop())]).await;
    for params in [
        "unit=dogs",
        "sort=best",
        "limit=0",
        "limit=201",
        "cursor=x",
        "from=never",
        "q=kind=dog",
        "q=duration>5",
        "q=order.id>x",
        "q=service>a",
    ] {
        assert!(matches!(search(&fixture, params).await, Err(Error::Invalid { .. })), "{params}");
    }
    let page = search(&fixture, "unit=spans&limit=1").await.expect("a page");
    let other = format!("unit=spans&limit=1&q=service=web&cursor={}", page.next_cursor.expect("more"));
    assert!(search(&fixture, &other).await.expect_err("another search").to_string().contains("another search"));
}
