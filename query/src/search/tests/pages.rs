//! Pages: whole, in order, and steady while spans arrive.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use api::{SearchAnswer, SearchItem};
use model::{SpanId, TraceId};

use super::{expect, names, search, shop};
use crate::config::Config;
use crate::testing::{Fixture, TestSpan, span, spans_batch, trace_id};

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
                SearchItem::Journey(_) => panic!("nobody asked for journeys"),
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

/// A round reads no more rows than an answer may have, and does not take that for the end: no trace is missed.
#[tokio::test]
async fn short_rounds_miss_no_trace() {
    let spans: Vec<TestSpan> =
        (1..=100u64).map(|n| span(n, n, None, "root", n as i64 * 10, n as i64 % 7 + 1)).collect();
    let config = Config { threads: 2, rows_max: 9, ..Config::default() };
    let fixture = Fixture::with_config(config, vec![spans_batch(&spans)]).await;
    for sort in ["newest", "slowest"] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        for _ in 0..100 {
            let page = search(&fixture, &format!("sort={sort}&limit=70&cursor={cursor}")).await.expect("a page");
            let of_trace = |item: &SearchItem| match item {
                SearchItem::Trace(item) => item.trace_id,
                other => panic!("{other:?}"),
            };
            // A few rounds of nine spans are fewer than a page asks for, which it says.
            assert_eq!(page.incomplete, page.next_cursor.is_some(), "{sort}: {page:?}");
            let reason = page.incomplete_reason.as_deref().unwrap_or("narrow the time range");
            assert!(reason.contains("narrow the time range"), "{reason}");
            seen.extend(page.items.iter().map(of_trace));
            match page.next_cursor {
                Some(next) => cursor = next,
                None => break,
            }
        }
        seen.sort();
        assert_eq!(seen, (1..=100).map(trace_id).collect::<Vec<_>>(), "{sort}");
    }
}

/// Numbers without a pattern, the same for each seed.
fn random(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below.max(1)
    }
}

/// Traces that overlap however they like: of one to six spans, some of them half a minute after the start, a few that last
/// for minutes.
fn overlapping(seed: u64, traces: std::ops::Range<u64>) -> Vec<TestSpan> {
    let mut random = random(seed);
    let mut spans = Vec::new();
    for trace in traces {
        let start = random(60_000) as i64 - 400_000;
        let last = [50, 3_000, 30_000, 200_000][random(10) as usize / 3];
        for n in 0..1 + random(6) {
            let offset = if n == 0 { 0 } else { random(last) as i64 };
            let name = if random(4) == 0 { "late" } else { "work" };
            let service = if random(3) == 0 { "web" } else { "shop" };
            let (id, parent) = (trace * 10 + n, (n > 0).then_some(trace * 10));
            spans.push(TestSpan { service, ..span(trace, id, parent, name, start + offset, 1 + random(500) as i64) });
        }
    }
    spans
}

/// Starts and ids of traces in which a span matches, newest first, told by looking at all of them.
fn newest_of(spans: &[TestSpan], is_match: impl Fn(&TestSpan) -> bool) -> Vec<TraceId> {
    let matching: BTreeSet<u64> = spans.iter().filter(|span| is_match(span)).map(|span| span.trace).collect();
    let mut starts: BTreeMap<u64, i64> = BTreeMap::new();
    for span in spans.iter().filter(|span| matching.contains(&span.trace)) {
        let known = starts.entry(span.trace).or_insert(i64::MAX);
        *known = span.start.min(*known);
    }
    let mut order: Vec<_> = starts.into_iter().map(|(trace, start)| (Reverse(start), trace_id(trace))).collect();
    order.sort();
    order.into_iter().map(|(_, trace)| trace).collect()
}

/// Ids of the hits of every page; `between` is called after each.
async fn walk(fixture: &Fixture, params: &str, between: impl AsyncFn(usize)) -> Vec<(TraceId, Option<SpanId>)> {
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    for number in 0..400 {
        let page = search(fixture, &format!("{params}&cursor={cursor}")).await;
        let page = expect(&page, params);
        assert!(!page.incomplete, "{params}: {:?}", page.incomplete_reason);
        seen.extend(page.items.iter().map(|item| match item {
            SearchItem::Trace(item) => (item.trace_id, None),
            SearchItem::Span(item) => (item.trace_id, Some(item.span_id)),
            SearchItem::Journey(item) => (TraceId::from_hex(&item.id).expect("an id"), None),
        }));
        between(number).await;
        match &page.next_cursor {
            Some(next) => cursor.clone_from(next),
            None => return seen,
        }
    }
    panic!("{params}: too many pages");
}

/// However traces overlap, the pages are those that one has who looks at everything: whole, in order, each trace once. There
/// are so many that spans around them are passed over, and traces longer than that.
#[tokio::test]
async fn the_newest_traces_are_exactly_those() {
    let is_any: fn(&TestSpan) -> bool = |_| true;
    let is_web: fn(&TestSpan) -> bool = |span| span.service == "web";
    let is_late_web: fn(&TestSpan) -> bool = |span| span.service == "web" && span.name == "late";
    // Of 150 rows an answer, several rounds.
    for (seed, rows_max) in [(1, 100_000), (2, 150), (3, 150)] {
        let spans = overlapping(seed, 1_000..1_200);
        let config = Config { threads: 2, rows_max, ..Config::default() };
        let (first, second) = spans.split_at(spans.len() / 2);
        let fixture = Fixture::with_config(config, vec![spans_batch(first)]).await.flushed().await;
        fixture.append(spans_batch(second)).await;
        for (q, is_match) in [("", is_any), ("service=web", is_web), ("service=web name=late", is_late_web)] {
            let expected = newest_of(&spans, is_match);
            assert!(expected.len() > 40, "{}", expected.len());
            for limit in [20, 200] {
                let params = format!("q={q}&limit={limit}&from=now-1h&to=now");
                let seen = walk(&fixture, &params, async |_| {}).await;
                let seen: Vec<TraceId> = seen.into_iter().map(|(trace, _)| trace).collect();
                assert_eq!(seen, expected, "seed {seed}, {q}, {limit} a page");
            }
        }
    }
}

/// Who turns pages while spans arrive sees everything that was there when he began, once each and in order; of what comes
/// meanwhile, each thing at most once.
#[tokio::test]
async fn pages_are_whole_and_steady_while_spans_arrive() {
    for seed in 1..=2 {
        for (unit, sort) in [
            ("traces", "newest"),
            ("traces", "slowest"),
            ("spans", "newest"),
            ("spans", "slowest"),
            ("journeys", "newest"),
        ] {
            let before = overlapping(seed, 1_000..1_060);
            let fixture = Fixture::mixed(&before).await;
            let params = format!("unit={unit}&sort={sort}&limit=9&q=service=web&from=now-1h&to=now");
            let alone = walk(&fixture, &params, async |_| {}).await;
            assert!(alone.len() > 20, "{}", alone.len());
            let among = walk(&fixture, &params, async |number| {
                let first = 2_000 + 50 * number as u64;
                fixture.append(spans_batch(&overlapping(seed + number as u64, first..first + 5))).await;
            });
            let among = among.await;
            let what = format!("seed {seed}, {unit}, {sort}");
            let once: BTreeSet<_> = among.iter().collect();
            assert_eq!(once.len(), among.len(), "{what}: nothing stands twice");
            let known: BTreeSet<_> = alone.iter().collect();
            let mut still: Vec<_> = among.iter().filter(|hit| known.contains(hit)).copied().collect();
            let mut alone = alone.clone();
            if (unit, sort) == ("traces", "slowest") {
                // Inside of a page they stand by the duration of the whole trace.
                still.sort_unstable();
                alone.sort_unstable();
            }
            assert_eq!(still, alone, "{what}: all that was there, in the same order");
        }
    }
}

/// A page of traces in one request: ids, whether it is incomplete, why, and whether there is another.
async fn page_of(fixture: &Fixture, params: &str) -> (Vec<TraceId>, Option<String>, bool) {
    let page = search(fixture, params).await;
    let page = expect(&page, params);
    let id = |item: &SearchItem| match item {
        SearchItem::Trace(item) => item.trace_id,
        other => panic!("{other:?}"),
    };
    assert_eq!(page.incomplete, page.incomplete_reason.is_some());
    (page.items.iter().map(id).collect(), page.incomplete_reason.clone(), page.next_cursor.is_some())
}

/// ```text
///   late    ||||||||||||||||      1,000 traces, one each 2 ms: more than six rounds of 150 read
///   work  |               |       three seconds before each of them: behind every floor
/// ```
/// No trace can be told to be the newest. The page is the best guess, says so, and leads nowhere.
#[tokio::test]
async fn a_search_that_was_cut_still_shows_something() {
    let spans: Vec<TestSpan> = (1..=1_000u64)
        .flat_map(|n| {
            let late = -2 * n as i64;
            [span(n, 2 * n, None, "work", late - 3_000, 3_000), span(n, 2 * n + 1, Some(2 * n), "late", late, 1)]
        })
        .collect();
    let config = Config { threads: 2, rows_max: 150, ..Config::default() };
    let fixture = Fixture::with_config(config, vec![spans_batch(&spans)]).await;
    let (ids, reason, has_next) = page_of(&fixture, "q=name=late&limit=20&from=now-1h&to=now").await;
    assert_eq!(ids, (1..=20).map(trace_id).collect::<Vec<_>>());
    let reason = reason.expect("it was cut");
    assert!(reason.contains("900 matching traces") && reason.contains("no next page"), "{reason}");
    assert!(!has_next);
}

/// ```text
///   100 traces   ========================================   a span every second each
///   30 traces     -  -  -  -  -  -  -  -  -  -  -  -  -     one span each
/// ```
/// Six rounds of 300 spans are 18 seconds of the long ones. They are read once, and all short ones are found behind them.
#[tokio::test]
async fn long_traces_do_not_hide_short_ones() {
    let mut spans = Vec::new();
    for trace in 1..=100u64 {
        let span_of = |second: u64| {
            let (id, parent) = (trace * 100 + second, (second > 1).then_some(trace * 100 + 1));
            span(trace, id, parent, "steady", 1_000 * second as i64 - 61_000 + trace as i64, 10)
        };
        spans.extend((1..=60).map(span_of));
    }
    for trace in 201..=230u64 {
        spans.push(span(trace, trace, None, "short", -60_000 + 2_000 * (trace as i64 - 201) + 500, 10));
    }
    let config = Config { threads: 2, rows_max: 300, ..Config::default() };
    let fixture = Fixture::with_config(config, vec![spans_batch(&spans)]).await.flushed().await;
    for limit in [20, 30, 130] {
        let expected = newest_of(&spans, |_| true);
        let (ids, reason, has_next) = page_of(&fixture, &format!("limit={limit}&from=now-1h&to=now")).await;
        assert_eq!((ids.as_slice(), reason, has_next), (&expected[..limit], None, limit < 130));
    }
}

/// Traces that receive further spans while somebody turns pages may move; all others stand where they stood, once each.
#[tokio::test]
async fn traces_at_rest_are_steady_while_others_grow() {
    for (sort, seed) in [("newest", 1), ("newest", 2), ("slowest", 1), ("slowest", 2)] {
        let before = overlapping(seed, 1_000..1_060);
        let fixture = Fixture::mixed(&before).await;
        let params = format!("sort={sort}&limit=9&q=service=web&from=now-1h&to=now");
        let grows = |trace: u64| trace.is_multiple_of(3);
        let growing: BTreeSet<TraceId> = (1_000..1_060).filter(|trace| grows(*trace)).map(trace_id).collect();
        let at_rest = |seen: Vec<(TraceId, Option<SpanId>)>| -> Vec<TraceId> {
            seen.into_iter().map(|(trace, _)| trace).filter(|trace| !growing.contains(trace)).collect()
        };
        let mut alone = at_rest(walk(&fixture, &params, async |_| {}).await);
        let among = walk(&fixture, &params, async |number| {
            // Earlier and later than what is known of them, shorter and longer: in every way that moves them.
            let mut random = random(seed + number as u64);
            let more = (1_000..1_060).filter(|trace| grows(*trace)).map(|trace| {
                let id = 10_000_000 + 1_000 * trace + number as u64;
                let (start, duration) = (random(600_000) as i64 - 600_000, 1 + random(2_000) as i64);
                TestSpan { service: "web", ..span(trace, id, Some(trace * 10), "more", start, duration) }
            });
            fixture.append(spans_batch(&more.collect::<Vec<_>>())).await;
        });
        let mut among = at_rest(among.await);
        assert!(alone.len() > 20, "{}", alone.len());
        if sort == "slowest" {
            // Inside of a page they stand by the duration of the whole trace.
            alone.sort_unstable();
            among.sort_unstable();
        }
        assert_eq!(among, alone, "{sort}, seed {seed}");
    }
}
