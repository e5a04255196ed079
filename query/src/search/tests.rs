//! Searches over real segments and buffer.

mod pages;

use std::collections::BTreeMap;

use api::{SearchAnswer, SearchItem};
use datafusion::physical_plan::displayable;
use model::{AttributeValue, UnixNanos};

use super::{DiffersQuestion, FacetsQuestion, Picture, Question, Scope};
use crate::Error;
use crate::engine::session::Session;
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
            SearchItem::Journey(item) => item.name.as_str(),
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
            events: vec![(120, "exception")],
            ..span(1, 2, Some(1), "charge", 100, 500)
        },
        TestSpan {
            kind: 2,
            service: "web",
            resource: vec![("host.name", "a"), ("team", "x")],
            ..span(2, 3, None, "GET /home", 2_000, 5)
        },
        TestSpan { links: vec![(9, 5)], ..span(3, 4, None, "cron_100%", 4_000, 700) },
    ]
}

#[track_caller]
fn expect<'a>(answer: &'a Result<SearchAnswer, Error>, params: &str) -> &'a SearchAnswer {
    answer.as_ref().unwrap_or_else(|error| panic!("{params}: {error}"))
}

/// A condition on the attribute list is tried while a segment is decoded, before its other columns are.
#[tokio::test]
async fn attributes_are_compared_while_decoding() {
    let fixture = Fixture::new(vec![spans_batch(&shop())]).await.flushed().await;
    let question = |session: Session| async move {
        let scope = Scope::read(&|name| (name == "q").then_some("order.id=7"), NOW)?;
        let plan = session.plan(scope.matching(&session)?.logical_plan()).await?;
        Ok(displayable(plan.as_ref()).indent(false).to_string())
    };
    let plan = fixture.engine.run(&tenant(), question).await.expect("a plan");
    let scan = plan.lines().find(|line| line.contains("DataSourceExec")).expect("a scan");
    assert!(scan.contains("holds("), "{plan}");
    assert!(!plan.contains("FilterExec"), "{plan}");
}

/// Of row groups in which a text stands nowhere, keys and other values are not read; also when the attribute may stand on the
/// resource.
#[tokio::test]
async fn attributes_that_nobody_has_cost_one_leaf() {
    let fixture = Fixture::new(vec![spans_batch(&slow_and_fast())]).await.flushed().await;
    let bytes = async |q: &str| {
        let params = BTreeMap::from([("q".to_owned(), q.to_owned()), ("unit".to_owned(), "spans".to_owned())]);
        let question = Question::from_params(&params, NOW).expect("a question");
        let page = |session: Session| async move { super::spans::page(&session, &question).await };
        let page = fixture.engine.run(&tenant(), page).await.expect("a page");
        (page.items.len(), page.cost.bytes_read)
    };
    // Footers are read once.
    bytes("span.order.id=none").await;
    for (equals, matches) in [("span.order.id=none", "span.order.id=~none"), ("order.id=none", "order.id=~none")] {
        let (equals, matches) = (bytes(equals).await, bytes(matches).await);
        assert_eq!((equals.0, matches.0), (0, 0));
        assert!(0 < equals.1 && equals.1 < matches.1, "{equals:?}, {matches:?}");
    }
    assert_eq!(bytes("order.id=150").await.0, 1);
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
        ("service=web or status=error", vec!["GET /home", "GET /cart", "charge"]),
        ("(service=web or status=error) not http.route=/cart", vec!["GET /home", "charge"]),
        ("not (service=web or status=error)", vec!["cron_100%"]),
        ("not order.id=7", vec!["cron_100%", "GET /home", "GET /cart"]),
        ("name=~\"^GET /[ch]\"", vec!["GET /home", "GET /cart"]),
        ("name!=~^GET", vec!["cron_100%", "charge"]),
        ("http.route=~c.rt", vec!["GET /cart"]),
        ("http.route=*", vec!["GET /cart"]),
        ("http.route!=* service=shop", vec!["cron_100%", "charge"]),
        ("resource.host.name=*", vec!["GET /home"]),
        ("parent_id!=*", vec!["cron_100%", "GET /home", "GET /cart"]),
        ("parent_id=0000000000000001", vec!["charge"]),
        ("event:name=exception", vec!["charge"]),
        ("event:name=~exc", vec!["charge"]),
        ("event.exception.message~BOO", vec!["charge"]),
        ("event.exception.message!=boom", vec!["cron_100%", "GET /home", "GET /cart"]),
        ("events>0", vec!["charge"]),
        ("link:trace_id=00000000000000000000000000000009 links=1", vec!["cron_100%"]),
        ("link:span_id!=0000000000000005 name~c", vec!["charge", "GET /cart"]),
        ("scope:name=tests duration<10ms", vec!["GET /home"]),
        ("order.id>=0.005KB", vec!["charge"]),
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
async fn a_trace_is_summed_up() {
    let fixture = Fixture::mixed(&shop()).await;
    let answer = search(&fixture, "q=status=error").await.expect("an answer");
    let [SearchItem::Trace(item)] = answer.items.as_slice() else { panic!("{:?}", answer.items) };
    assert_eq!((item.service.as_str(), item.name.as_str(), item.has_root), ("web", "GET /cart", true));
    // The root says 503 and no status.
    assert_eq!((item.spans, item.errors, item.result.as_str()), (2, 2, "503"));
    assert_eq!(
        item.services.iter().map(|share| (share.name.as_str(), share.errors)).collect::<Vec<_>>(),
        [("web", 1), ("shop", 1)]
    );
    assert_eq!(
        item.shape.iter().map(|bar| (bar.service, bar.row, bar.error)).collect::<Vec<_>>(),
        [(0, 0, true), (1, 1, true)]
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
        "q=name=~(",
        "q=journey:duration>1s",
        "unit=journeys&q=not (journey:duration>1s or service=web)",
    ] {
        assert!(matches!(search(&fixture, params).await, Err(Error::Invalid { .. })), "{params}");
    }
    let page = search(&fixture, "unit=spans&limit=1").await.expect("a page");
    let other = format!("unit=spans&limit=1&q=service=web&cursor={}", page.next_cursor.expect("more"));
    assert!(search(&fixture, &other).await.expect_err("another search").to_string().contains("another search"));
}

fn parameters(params: &str) -> BTreeMap<String, String> {
    let pair = |pair: &str| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    params.split('&').filter_map(pair).collect()
}

/// 300 requests, one in three of them slow: the slow ones come from another version, region and customer.
fn slow_and_fast() -> Vec<TestSpan> {
    let text = |value: &str| AttributeValue::String(value.to_owned());
    let request = |n: u64| {
        let is_slow = n.is_multiple_of(3);
        let root = TestSpan {
            service: "web",
            kind: 2,
            status: if n.is_multiple_of(6) { 2 } else { 0 },
            columns: vec![
                ("http_route", text("/cart")),
                ("service_version", text(if is_slow { "2.0" } else { "1.9" })),
            ],
            attributes: vec![
                ("order.id", AttributeValue::Int(n as i64)),
                ("region", text(if is_slow { "eu" } else { "us" })),
                ("even", AttributeValue::Bool(n.is_multiple_of(2))),
            ],
            resource: vec![("service.version", if is_slow { "2.0" } else { "1.9" }), ("team", "shop")],
            ..span(n, n * 10, None, "GET /cart", n as i64 * 100, if is_slow { 2_000 } else { 10 })
        };
        [root, span(n, n * 10 + 1, Some(n * 10), "query", n as i64 * 100 + 1, 5)]
    };
    (1..=300).flat_map(request).collect()
}

#[tokio::test]
async fn items_stand_in_time_and_duration() {
    let fixture = Fixture::mixed(&slow_and_fast()).await;
    let histogram =
        async |params: &str| fixture.engine.histogram(&tenant(), Picture::from_params(&parameters(params), NOW)?).await;
    let drawn = histogram("unit=spans&from=now-1m&to=now").await.expect("a picture");
    assert_eq!((drawn.count, drawn.errors, drawn.times.len()), (600, 50, 60));
    assert_eq!(drawn.cells.iter().map(|cell| cell.count).sum::<u64>(), 600);
    assert_eq!(drawn.times.iter().map(|time| time.errors).sum::<u64>(), 50);
    let (low, high) = (drawn.edges_nanos[0], *drawn.edges_nanos.last().expect("edges"));
    assert!(low <= 5_000_000 && high > 2_000_000_000, "{:?}", drawn.edges_nanos);
    assert!(drawn.edges_nanos.len() <= 25 && drawn.edges_nanos.windows(2).all(|pair| pair[0] < pair[1]));
    let close = |nanos: Option<u64>, wanted: f64| (nanos.expect("a percentile") as f64 / wanted - 1.0).abs() < 0.02;
    assert!(close(drawn.p50_nanos, 5e6) && close(drawn.p99_nanos, 2e9), "{drawn:?}");
    assert!(drawn.dots.is_empty());

    // Of a trace the root counts, whichever of its spans matches.
    let traces =
        histogram("unit=traces&q=name=query&from=now-1m&to=now&dots=300&columns=7&rows=4").await.expect("a picture");
    assert_eq!((traces.count, traces.times.len(), traces.dots.len()), (300, 7, 300));
    assert!(traces.edges_nanos.len() <= 5);
    assert!(traces.dots.windows(2).all(|pair| pair[0].start_unix_nano <= pair[1].start_unix_nano));
    assert!(traces.dots.iter().all(|dot| dot.nanos == 2_000_000_000 || dot.nanos == 10_000_000));
    let few = histogram("unit=traces&from=now-1m&to=now&dots=299").await.expect("a picture");
    assert!(few.dots.is_empty(), "more than asked for");
    let none = histogram("unit=traces&q=name=nothing").await.expect("a picture");
    assert_eq!((none.count, none.p50_nanos, none.cells.len()), (0, None, 0));
    let one = histogram(&format!("unit=traces&q={}&dots=5", trace_id(7))).await.expect("a picture");
    assert_eq!((one.count, one.dots.len()), (1, 1), "whenever it was");
    for wrong in ["columns=0", "rows=1000", "dots=-1", "plot=wait", "plot=x&unit=journeys", "unit=dogs", "q=colour=red"]
    {
        assert!(matches!(histogram(wrong).await, Err(Error::Invalid { .. })), "{wrong}");
    }
}

#[tokio::test]
async fn facets_are_counted() {
    let fixture = Fixture::mixed(&slow_and_fast()).await;
    let facets = async |params: &str| {
        fixture.engine.facets(&tenant(), FacetsQuestion::from_params(&parameters(params), NOW)?).await
    };
    let shown = |answer: &api::FacetsAnswer| -> Vec<String> {
        let value = |value: &api::FacetValue| format!("{} {}", value.value, value.count);
        let facet = |facet: &api::Facet| {
            format!("{}: {}", facet.key, facet.values.iter().map(value).collect::<Vec<_>>().join(", "))
        };
        answer.facets.iter().map(facet).collect()
    };
    let usual = facets("unit=spans").await.expect("facets");
    assert_eq!(
        shown(&usual),
        [
            "status: unset 550, error 50",
            "service: shop 300, web 300",
            "name: GET /cart 300, query 300",
            "kind: internal 300, server 300",
            "http.route: /cart 300",
            "service.version: 1.9 200, 2.0 100",
        ]
    );
    let some =
        facets("unit=spans&q=service=web&keys=region,span.even,resource.team,http.method,order.id&limit=1").await;
    let some = some.expect("facets");
    assert_eq!(shown(&some), ["even: false 150", "order.id: 1 1", "region: us 200", "team: shop 300"]);
    let region = some.facets.iter().find(|facet| facet.key == "region").expect("a region");
    assert_eq!((region.count, region.distinct, region.many), (300, 2, false));
    let filter = region.values[0].filter.clone().expect("a condition");
    let again = facets(&format!("unit=spans&q={filter}")).await.expect("the condition is read");
    assert_eq!(again.count, region.values[0].count);

    let all = facets("unit=traces&keys=*").await.expect("facets");
    assert_eq!(all.count, 300);
    let keys: Vec<&str> = all.facets.iter().map(|facet| facet.key.as_str()).collect();
    for key in ["region", "even", "order.id", "team", "http.route", "service.version"] {
        assert!(keys.contains(&key), "{keys:?}");
    }
    assert!(all.facets.windows(2).all(|pair| pair[0].count >= pair[1].count));
    for wrong in ["limit=0", "limit=x", "unit=journeys&keys=region", "q=duration>5"] {
        assert!(matches!(facets(wrong).await, Err(Error::Invalid { .. })), "{wrong}");
    }
}

/// Without a condition rows are counted without a statement: as with one that every span fulfils.
#[tokio::test]
async fn both_ways_count_the_same() {
    let fixture = Fixture::mixed(&slow_and_fast()).await;
    for range in ["", "&from=now-1m&to=now", "&from=now-50s&to=now-40s", "&from=now-2d&to=now-1d"] {
        let facets = async |condition: &str| {
            let params = parameters(&format!("unit=spans&keys=*&limit=1000{range}{condition}"));
            let question = FacetsQuestion::from_params(&params, NOW).expect("a question");
            let answer = fixture.engine.facets(&tenant(), question).await.expect("facets");
            (answer.count, answer.facets)
        };
        let walked = facets("").await;
        assert_eq!(walked, facets("&q=duration>=0ns").await, "{range}");
        assert_eq!(walked.0 > 0, !range.contains("2d"), "{range}");
    }
    let differs = async |condition: &str| {
        let request = serde_json::json!({ "unit": "spans", "q": condition, "brush": { "error": true } });
        let request = serde_json::from_value(request).expect("a request");
        let question = DiffersQuestion::from_request(&request, NOW).expect("a question");
        let answer = fixture.engine.differs(&tenant(), question).await.expect("an answer");
        (answer.selected, answer.outside, answer.attributes)
    };
    let walked = differs("").await;
    assert_eq!((walked.0, walked.1), (50, 550));
    assert_eq!(walked, differs("duration>=0ns").await);
}

/// Whatever is different about the slow requests stands first; what is the same everywhere does not stand there.
#[tokio::test]
async fn what_differs_is_ranked() {
    let fixture = Fixture::mixed(&slow_and_fast()).await;
    let differs = async |request: serde_json::Value| {
        let request = serde_json::from_value(request).expect("a request");
        fixture.engine.differs(&tenant(), DiffersQuestion::from_request(&request, NOW)?).await
    };
    let slow = serde_json::json!({ "unit": "traces", "brush": { "min_nanos": 1_000_000_000u64 } });
    let answer = differs(slow.clone()).await.expect("an answer");
    assert_eq!((answer.selected, answer.outside, answer.too_few), (100, 200, false));
    let ranked: Vec<(&str, f64)> =
        answer.attributes.iter().map(|attribute| (attribute.key.as_str(), attribute.gap)).collect();
    assert_eq!(ranked[..2], [("region", 1.0), ("service.version", 1.0)]);
    let region = &answer.attributes[0].values;
    let value = region.iter().find(|value| value.value.as_deref() == Some("eu")).expect("eu");
    assert_eq!((value.selected, value.outside, value.selected_share, value.outside_share), (100, 0, 1.0, 0.0));
    assert_eq!(value.filter.as_deref(), Some("span.region=eu"));
    assert_eq!(value.filter_out.as_deref(), Some("span.region!=eu"));
    assert!(ranked.iter().all(|(key, _)| *key != "team" && *key != "http.route"), "{ranked:?}");
    let mut again = differs(slow).await.expect("an answer");
    again.elapsed_ms = answer.elapsed_ms;
    assert_eq!(again, answer, "the same question, the same answer");

    let failed = differs(serde_json::json!({ "unit": "spans", "q": "service=web", "brush": { "error": true } })).await;
    let failed = failed.expect("an answer");
    assert_eq!((failed.selected, failed.outside), (50, 250));
    assert_eq!(failed.attributes[0].key, "status");
    for wrong in [
        serde_json::json!({ "brush": { "min_nanos": 5, "max_nanos": 5 } }),
        serde_json::json!({ "brush": { "from": "never" } }),
        serde_json::json!({ "brush": {}, "limit": 0 }),
        serde_json::json!({ "brush": {}, "q": "a=b" }),
        serde_json::json!({ "brush": {}, "plot": "wait" }),
    ] {
        assert!(matches!(differs(wrong.clone()).await, Err(Error::Invalid { .. })), "{wrong}");
    }
}

/// Journeys that no digest has looked at yet are told from their spans.
#[tokio::test]
async fn journeys_are_listed() {
    let fixture = Fixture::mixed(&slow_and_fast()).await;
    let whole = search(&fixture, "unit=journeys&limit=200&from=now-1m&to=now").await.expect("journeys");
    assert_eq!(whole.items.len(), 200);
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    for _ in 0..10 {
        let params = format!("unit=journeys&sort=slowest&limit=70&from=now-1m&to=now&cursor={cursor}");
        let page = search(&fixture, &params).await.expect("a page");
        seen.extend(page.items.iter().map(|item| match item {
            SearchItem::Journey(item) => (item.settled_nanos, item.id.clone()),
            other => panic!("{other:?}"),
        }));
        match page.next_cursor {
            Some(next) => cursor = next,
            None => break,
        }
    }
    assert_eq!(seen.len(), 300);
    assert!(seen.windows(2).all(|pair| pair[0].0 >= pair[1].0), "slowest first");
    let some = search(&fixture, "unit=journeys&q=span.region=eu&limit=200&from=now-1m&to=now").await.expect("journeys");
    assert_eq!(some.items.len(), 100);
    let picture =
        Picture::from_params(&parameters("unit=journeys&q=name=query&from=now-1m&to=now"), NOW).expect("a question");
    assert_eq!(fixture.engine.histogram(&tenant(), picture).await.expect("a picture").count, 300);
    let question =
        FacetsQuestion::from_params(&parameters("unit=journeys&from=now-1m&to=now"), NOW).expect("a question");
    let facets = fixture.engine.facets(&tenant(), question).await.expect("facets");
    let service = facets.facets.iter().find(|facet| facet.key == "service").expect("services");
    assert_eq!(
        service.values.iter().map(|value| (value.value.as_str(), value.count)).collect::<Vec<_>>(),
        [("shop", 300), ("web", 300)]
    );
}
