//! Statements over spans in the buffer, as a person would write them.

use api::SqlRequest;
use model::AttributeValue;
use serde_json::{Value as Json, json};

use super::Format;
use crate::error::Error;
use crate::testing::{Fixture, TestSpan, span, spans_batch, tenant, trace_id};

fn text(value: &str) -> AttributeValue {
    AttributeValue::String(value.to_owned())
}

/// A request in two traces, one of them failed.
fn shop() -> Vec<TestSpan> {
    vec![
        TestSpan {
            kind: 2,
            service: "web",
            columns: vec![("http_route", text("/cart")), ("http_status_code", AttributeValue::Int(200))],
            order: Some("http.route,http.status_code,*"),
            attributes: vec![("order.id", AttributeValue::Int(7))],
            resource: vec![("host.name", "a")],
            ..span(1, 1, None, "GET /cart", 0, 100)
        },
        TestSpan {
            kind: 3,
            events: vec![(20, "exception")],
            links: vec![(2, 3)],
            ..span(1, 2, Some(1), "query", 10, 50)
        },
        TestSpan {
            kind: 2,
            service: "web",
            status: 2,
            // A status sent as text stands in the list, under the old name.
            attributes: vec![("http.status_code", text("teapot")), ("cart.items", AttributeValue::Double(2.5))],
            ..span(2, 3, None, "GET /pay", 1_000, 300)
        },
    ]
}

/// The shop: a span in segments, two in the buffer.
struct Shop(Fixture);

/// The whole JSON document.
async fn answer(fixture: &Fixture, request: SqlRequest) -> Result<api::SqlAnswer, Error> {
    let (document, _) = fixture.engine.sql(&tenant(), request, Format::Json).await?.collect().await?;
    Ok(serde_json::from_slice(&document).expect("the document is JSON"))
}

impl Shop {
    async fn open() -> Self {
        Self(Fixture::mixed(&shop()).await)
    }

    async fn answer(&self, sql: &str) -> Result<api::SqlAnswer, Error> {
        let request = SqlRequest { sql: sql.to_owned(), ..SqlRequest::default() };
        answer(&self.0, request).await
    }

    async fn check(&self, sql: &str, rows: Json) {
        let answer = self.answer(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(json!(answer.rows), rows, "{sql}");
    }
}

#[tokio::test]
async fn rows_read_well() {
    let shop = Shop::open().await;
    shop.check("SELECT count(*) FROM spans", json!([["3"]])).await;
    shop.check(
        "SELECT trace_id, name, start_time, end_time, kind FROM spans WHERE parent_span_id IS NULL ORDER BY start_time LIMIT 1",
        json!([[trace_id(1).to_hex(), "GET /cart", "2026-01-15T09:59:00.000000000Z", "2026-01-15T09:59:00.100000000Z", 2]]),
    )
    .await;
    shop.check(
        "SELECT CAST(NULL AS INT), true, 1.5, 'NaN'::double, [1, 2]",
        json!([[null, true, 1.5, "NaN", ["1", "2"]]]),
    )
    .await;
}

#[tokio::test]
async fn ids_compare_with_hex() {
    let shop = Shop::open().await;
    let id = trace_id(1).to_hex();
    shop.check(&format!("SELECT count(*) FROM spans WHERE trace_id = '{id}'"), json!([["2"]])).await;
    shop.check(&format!("SELECT count(*) FROM spans WHERE '{}' = trace_id", id.to_uppercase()), json!([["2"]])).await;
    shop.check(&format!("SELECT count(*) FROM spans WHERE trace_id <> '{id}'"), json!([["1"]])).await;
    shop.check(&format!("SELECT count(*) FROM spans WHERE trace_id IN ('{id}', '00')"), json!([["2"]])).await;
    shop.check(
        "SELECT hex(span_id) FROM spans WHERE trace_id NOT IN ('00') ORDER BY span_id LIMIT 1",
        json!([["0000000000000001"]]),
    )
    .await;
    let error = shop.answer("SELECT * FROM spans WHERE trace_id = 'xyz'").await.expect_err("not hex");
    assert!(error.to_string().contains("is not hex"), "{error}");
}

#[tokio::test]
async fn moments_compare() {
    let shop = Shop::open().await;
    shop.check("SELECT count(*) FROM spans WHERE start_time >= '2026-01-15T09:59:01Z'", json!([["1"]])).await;
    shop.check("SELECT count(*) FROM spans WHERE start_time < now() - interval '15 minutes'", json!([["3"]])).await;
    shop.check("SELECT count(*) FROM spans WHERE end_time > '2026-01-15T09:59:00.09Z'", json!([["2"]])).await;
    shop.check(
        "SELECT date_trunc('minute', start_time) AS m, count(*) FROM spans GROUP BY m",
        json!([["2026-01-15T09:59:00.000000000Z", "3"]]),
    )
    .await;
}

/// Attributes are found by new and old names, in columns and lists, with any type.
#[tokio::test]
async fn attributes_are_found() {
    let shop = Shop::open().await;
    shop.check(
        "SELECT attr('http.route'), attr('order.id'), attr('nothing') FROM spans WHERE span_id = '0000000000000001'",
        json!([["/cart", "7", null]]),
    )
    .await;
    shop.check("SELECT attr('http.status_code') FROM spans ORDER BY start_time", json!([["200"], [null], ["teapot"]]))
        .await;
    shop.check(
        "SELECT attr('http.response.status_code') FROM spans ORDER BY start_time",
        json!([["200"], [null], ["teapot"]]),
    )
    .await;
    shop.check("SELECT name FROM spans WHERE attr('http.route') = '/cart'", json!([["GET /cart"]])).await;
    shop.check(
        "SELECT attr('http.route') AS route, count(*) FROM spans GROUP BY attr('http.route') ORDER BY route NULLS LAST",
        json!([["/cart", "1"], [null, "2"]]),
    )
    .await;
    shop.check("SELECT attr_number('order.id') + attr_number('http.status_code') FROM spans WHERE attr('order.id') IS NOT NULL", json!([[207.0]])).await;
    shop.check("SELECT max(attr_number('cart.items')) FROM spans", json!([[2.5]])).await;
    shop.check(
        "SELECT resource_attr('host.name'), count(*) FROM spans GROUP BY 1 ORDER BY 2",
        json!([["a", "1"], [null, "2"]]),
    )
    .await;
    shop.check("SELECT resource_attr('service.name') FROM spans ORDER BY start_time LIMIT 1", json!([["web"]])).await;
    shop.check("SELECT attr(s.attributes, 'order.id') FROM spans s JOIN spans t ON s.trace_id = t.trace_id WHERE t.span_id = '0000000000000002' AND s.span_id <> t.span_id", json!([["7"]])).await;
    shop.check("SELECT attr(s.attributes, 'http.route') FROM spans s JOIN spans t ON s.trace_id = t.trace_id WHERE t.span_id = '0000000000000002' AND s.span_id <> t.span_id", json!([["/cart"]])).await;
    let error = shop
        .answer("SELECT attr('order.id') FROM spans s JOIN spans t ON s.trace_id = t.trace_id")
        .await
        .expect_err("two tables");
    assert!(error.to_string().contains("more than one table"), "{error}");
}

#[tokio::test]
async fn views_stand() {
    let shop = Shop::open().await;
    shop.check(
        "SELECT name, span_name, event_attr(attributes, 'exception.message'), time FROM events",
        json!([["exception", "query", "boom", "2026-01-15T09:59:00.000000020Z"]]),
    )
    .await;
    shop.check("SELECT attr('exception.message') FROM events", json!([["boom"]])).await;
    shop.check("SELECT hex(linked_span_id), span_name FROM links", json!([["0000000000000003", "query"]])).await;
    shop.check(
        "SELECT trace_id, service_name, name, duration_nanos, spans, errors FROM traces ORDER BY start_time",
        json!([
            [trace_id(1).to_hex(), "web", "GET /cart", "100000000", "2", "0"],
            [trace_id(2).to_hex(), "web", "GET /pay", "300000000", "1", "1"]
        ]),
    )
    .await;
    shop.check(
        "SELECT service_name, spans, requests, errors FROM services ORDER BY 1",
        json!([["shop", "1", "0", "0"], ["web", "2", "2", "1"]]),
    )
    .await;
    for empty in
        ["logs", "number_points", "metrics", "histograms", "exp_histogram_points", "summary_points", "exemplars"]
    {
        shop.check(&format!("SELECT * FROM {empty}"), json!([])).await;
    }
}

#[tokio::test]
async fn words_and_durations() {
    let shop = Shop::open().await;
    shop.check("SELECT span_kind(kind), status(status_code), format_duration(duration_nanos), duration_ms(duration_nanos) FROM spans ORDER BY start_time DESC LIMIT 1", json!([["server", "error", "300 ms", 300.0]])).await;
}

/// Labels are grouped as texts, and are what they were in every answer.
#[tokio::test]
async fn labels_are_grouped_as_texts() {
    let shop = Shop::open().await;
    let plan = shop.answer("EXPLAIN SELECT service_name, count(*) FROM spans GROUP BY 1").await.expect("a plan");
    assert!(json!(plan.rows).to_string().contains("CAST(service_name"), "{:?}", plan.rows);
    for grouped in [
        "SELECT service_name AS s, name, status_code, count(*) AS n FROM spans GROUP BY 1, 2, 3",
        "SELECT DISTINCT service_name AS s, name, status_code, 1 AS n FROM spans",
        "SELECT a.service_name AS s, b.name, b.status_code, count(*) AS n FROM spans a JOIN spans b USING (span_id) GROUP BY 1, 2, 3",
    ] {
        let sql = format!("SELECT s, name, n, arrow_typeof(s) FROM ({grouped}) WHERE s = 'web' ORDER BY s, name");
        let label = "Dictionary(Int32, Utf8)";
        shop.check(&sql, json!([["web", "GET /cart", "1", label], ["web", "GET /pay", "1", label]])).await;
    }
    let itself = "SELECT service_name, count(DISTINCT service_name) FROM spans WHERE service_name = 'web' GROUP BY 1";
    shop.check(itself, json!([["web", "1"]])).await;
    let nulls = "SELECT http_route, count(*) FROM spans GROUP BY ROLLUP (http_route) ORDER BY 2, 1";
    shop.check(nulls, json!([["/cart", "1"], [null, "2"], [null, "3"]])).await;
    let routes = "SELECT http_route, count(*) FROM spans GROUP BY 1 ORDER BY 2";
    shop.check(routes, json!([["/cart", "1"], [null, "2"]])).await;
}

/// Every example of `/api/tables` runs, and every relation is described with a line for each column.
#[tokio::test]
async fn documents_are_true() {
    let shop = Shop::open().await;
    let tables = shop.0.engine.tables(&tenant()).await.expect("tables");
    for function in &tables.functions {
        shop.answer(&function.example).await.unwrap_or_else(|error| panic!("{}: {error}", function.example));
    }
    for table in &tables.tables {
        for column in &table.columns {
            assert!(!column.help.is_empty(), "{}.{} has no help", table.name, column.name);
        }
        shop.answer(&format!("SELECT * FROM {}", table.name))
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", table.name));
    }
    let spans = tables.tables.iter().find(|table| table.name == "spans").expect("spans");
    assert_eq!((spans.kind.as_str(), spans.rows), ("table", Some(3)));
    assert!(spans.columns.iter().any(|column| column.name == "end_time" && column.data_type == "timestamp"));
}

/// Every mistake gets an answer that tells what to do and, where possible, the place.
#[tokio::test]
async fn mistakes_are_explained() {
    let shop = Shop::open().await;
    for (sql, expected, position) in [
        ("SELECT * FROM span", "did you mean spans?", Some(14)),
        ("SELECT servce_name FROM spans", "did you mean service_name?", Some(7)),
        ("SELEC 1", "Expected", Some(0)),
        ("SELECT 1; SELECT 2", "2 statements", None),
        ("DROP TABLE spans", "only queries", None),
        ("SELECT * FROM 'x.csv'", "", None),
        ("SELECT * FROM information_schema.tables", "there is no table", None),
        ("SELECT nothing(1)", "there is no function nothing", Some(7)),
        ("SELECT atr('x') FROM spans", "did you mean attr?", Some(7)),
        ("SELECT avg(name) FROM spans", "there is no avg(text); there is avg(decimal)", Some(7)),
        ("SELECT 1, date_trunc(start_time) FROM spans", "there is no date_trunc(timestamp)", Some(10)),
        ("SELECT name + 1 FROM spans", "text + bigint", None),
        ("SELECT substr(name) FROM spans", "is not valid", None),
        ("SELECT $a", "", None),
    ] {
        match shop.answer(sql).await {
            Err(Error::Invalid { detail, position: at }) => {
                assert!(detail.contains(expected), "{sql}: {detail}");
                assert!(!["Utf8", "DataFusion", "Span("].iter().any(|word| detail.contains(word)), "{sql}: {detail}");
                if position.is_some() {
                    assert_eq!(at, position, "{sql}: {detail}");
                }
            }
            other => panic!("{sql} gave {other:?}"),
        }
    }
}

/// Queries that would take the machine down are ended with an answer; the next one runs.
#[tokio::test]
async fn hostile_queries_end() {
    let config = crate::Config {
        threads: 2,
        seconds_max: 2,
        memory_bytes_max: 64 << 20,
        spill_bytes_max: 0,
        ..crate::Config::default()
    };
    let shop = Shop(Fixture::with_config(config, vec![spans_batch(&shop())]).await);
    for sql in [
        "SELECT repeat('x', 2000000000)",
        "SELECT lpad('x', 2000000000)",
        "SELECT array_repeat(1, 2000000000)",
        "SELECT range(0, 2000000000)",
        "SELECT generate_series(0, 2000000000)",
        "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b, generate_series(1, 1000) c",
        "SELECT a.value, b.value FROM generate_series(1, 100000000) a JOIN generate_series(1, 100000000) b ON a.value % 7 = b.value % 7 ORDER BY 1, 2",
        // No pair fulfils these: the joins make no batch in which anybody could ask whether to go on.
        "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b WHERE a.value + b.value < 0",
        "SELECT count(*) FROM generate_series(1, 300000) a JOIN generate_series(1, 1000000) b ON a.value % 3 = b.value % 3 AND a.value + b.value < 0",
        "SELECT value FROM generate_series(1, 1000000000) ORDER BY value DESC",
        "SELECT count(DISTINCT value) FROM generate_series(1, 1000000000)",
        "WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM x) SELECT sum(n) FROM x",
    ] {
        let started = std::time::Instant::now();
        let outcome = shop.answer(sql).await;
        assert!(outcome.is_err(), "{sql} gave an answer");
        // On a busy machine the next question may meet its own limit of two seconds; what hangs stays hanging.
        while shop.answer("SELECT count(*) FROM spans").await.ok().is_none_or(|answer| answer.rows != [["3"]]) {
            assert!(started.elapsed().as_secs() < 120, "{sql} let nobody else have a turn");
        }
    }
}

/// What would look at all rows for each row is refused; what keeps up with a frame, or is asked once, is not.
#[tokio::test]
async fn moving_frames_are_of_functions_that_move() {
    let shop = Shop::open().await;
    for function in ["median(value)", "array_agg(value)", "sum(DISTINCT value)", "approx_distinct(value)"] {
        let sql = |over: &str| format!("SELECT {function} OVER ({over}) FROM generate_series(1, 3)");
        for over in ["ORDER BY value", "ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING"] {
            let refused = shop.answer(&sql(over)).await.expect_err("refused").to_string();
            let name = function.split('(').next().expect("a name");
            assert!(refused.contains(name) && refused.contains("PARTITION BY"), "{refused}");
            let nested = format!("SELECT * FROM spans WHERE duration_nanos IN ({})", sql(over));
            assert!(shop.answer(&nested).await.is_err(), "{nested}");
        }
        assert_eq!(shop.answer(&sql("PARTITION BY value % 2")).await.expect(function).rows.len(), 3);
    }
    let moving = "SELECT value, sum(value) OVER (ORDER BY value ROWS 1 PRECEDING), count(DISTINCT value % 2) OVER (ORDER BY value), \
                  rank() OVER (ORDER BY value % 2) FROM generate_series(1, 3) ORDER BY 1";
    shop.check(moving, json!([["1", "1", "1", "2"], ["2", "3", "2", "1"], ["3", "5", "2", "2"]])).await;
}

#[tokio::test]
async fn parameters_and_limits() {
    let shop = Shop::open().await;
    let request: SqlRequest = serde_json::from_value(json!({
        "sql": "SELECT name FROM spans WHERE start_time >= $from AND start_time < $to AND service_name = $service AND trace_id = $id ORDER BY name",
        "params": {"service": "web", "id": trace_id(1).to_hex()}, "from": "now-2m", "to": "now", "limit": 1,
    }))
    .expect("a request");
    let rows = answer(&shop.0, request).await.expect("an answer");
    assert_eq!(json!(rows.rows), json!([["GET /cart"]]));
    assert!(!rows.incomplete);

    let small = crate::Config { rows_max: 2, ..crate::Config::default() };
    let small = Fixture::with_config(small, vec![spans_batch(&self::shop())]).await;
    let request = SqlRequest { sql: "SELECT * FROM spans".to_owned(), ..SqlRequest::default() };
    let rows = answer(&small, request).await.expect("an answer");
    assert_eq!((rows.rows.len(), rows.incomplete), (2, true));
    assert!(rows.incomplete_reason.expect("a reason").contains("2 rows"));
}

#[tokio::test]
async fn other_encodings() {
    let request = SqlRequest {
        sql: "SELECT name, duration_nanos, trace_id, 'a,\"b' AS x FROM spans ORDER BY start_time LIMIT 1".to_owned(),
        ..SqlRequest::default()
    };
    let shop = Shop::open().await;
    let written = async |format| {
        let body = shop.0.engine.sql(&tenant(), request.clone(), format).await.expect("an answer");
        body.collect().await.expect("a whole one").0
    };
    let csv = String::from_utf8(written(Format::Csv).await).expect("text");
    assert_eq!(csv, format!("name,duration_nanos,trace_id,x\r\nGET /cart,100000000,{},\"a,\"\"b\"\r\n", trace_id(1)));
    let lines = String::from_utf8(written(Format::Ndjson).await).expect("text");
    let line: Json = serde_json::from_str(lines.trim()).expect("JSON");
    assert_eq!(line["duration_nanos"], json!("100000000"));
    let arrow = written(Format::Arrow).await;
    let reader = arrow::ipc::reader::StreamReader::try_new(arrow.as_slice(), None).expect("a stream");
    assert_eq!(reader.map(|batch| batch.expect("a batch").num_rows()).sum::<usize>(), 1);
}

/// An answer of more than one piece is whole in every form, and says where it was cut.
#[tokio::test]
async fn long_answers_are_streamed() {
    let shop = Shop::open().await;
    let rows = |n: u64| SqlRequest {
        sql: format!("SELECT value, 'some text of a row' AS text FROM generate_series(1, {n}) ORDER BY value"),
        ..SqlRequest::default()
    };
    let whole = answer(&shop.0, rows(60_000)).await.expect("an answer");
    assert_eq!((whole.rows.len(), whole.incomplete), (60_000, false));
    assert_eq!(whole.rows[59_999][0], json!("60000"));
    let cut = answer(&shop.0, rows(100_001)).await.expect("an answer");
    assert_eq!((cut.rows.len(), cut.incomplete), (100_000, true));
    let exact = answer(&shop.0, rows(100_000)).await.expect("an answer");
    assert_eq!((exact.rows.len(), exact.incomplete), (100_000, false));
    for format in [Format::Csv, Format::Ndjson, Format::Arrow] {
        let body = shop.0.engine.sql(&tenant(), rows(150_000), format).await.expect("an answer");
        assert!(body.rest.is_some(), "{format:?} is longer than its head");
        let (bytes, reason) = body.collect().await.expect("a whole one");
        assert!(reason.is_some_and(|reason| reason.contains("100000 rows")), "{format:?}");
        let n_rows = match format {
            Format::Arrow => {
                let reader = arrow::ipc::reader::StreamReader::try_new(bytes.as_slice(), None).expect("a stream");
                reader.map(|batch| batch.expect("a batch").num_rows()).sum()
            }
            Format::Csv => bytes.iter().filter(|byte| **byte == b'\n').count() - 1,
            _ => bytes.iter().filter(|byte| **byte == b'\n').count(),
        };
        assert_eq!(n_rows, 100_000, "{format:?}");
    }
    // What goes wrong on the way breaks the answer off.
    let late = SqlRequest {
        sql: "SELECT 10 / (50000 - value), 'some text of a row' FROM generate_series(1, 90000)".to_owned(),
        ..SqlRequest::default()
    };
    let ended = async { shop.0.engine.sql(&tenant(), late, Format::Csv).await?.collect().await };
    assert!(matches!(ended.await, Err(Error::Invalid { .. })));
}

/// A reader that goes away frees its place; the next question is answered at once.
#[tokio::test]
async fn readers_that_go_away_free_their_place() {
    let config = crate::Config { threads: 2, concurrent_max: 1, waiting_max: 1, ..crate::Config::default() };
    let shop = Shop(Fixture::with_config(config, vec![spans_batch(&shop())]).await);
    for _ in 0..5 {
        let long = SqlRequest {
            sql: "SELECT value, 'some text of a row' FROM generate_series(1, 100000)".to_owned(),
            ..SqlRequest::default()
        };
        let body = shop.0.engine.sql(&tenant(), long, Format::Ndjson).await.expect("an answer");
        assert!(body.rest.is_some());
        drop(body);
        shop.check("SELECT 1", json!([["1"]])).await;
    }
}

/// A reader that stops reading and stays keeps neither place nor memory longer than a query may take.
#[tokio::test]
async fn readers_that_stand_still_lose_their_place() {
    let config =
        crate::Config { threads: 2, concurrent_max: 1, waiting_max: 1, seconds_max: 2, ..crate::Config::default() };
    let shop = Shop(Fixture::with_config(config, vec![spans_batch(&shop())]).await);
    let long = SqlRequest {
        sql: "SELECT value, 'some text of a row' FROM generate_series(1, 1000000)".to_owned(),
        ..SqlRequest::default()
    };
    let mut rows = shop.0.engine.rows(&tenant(), long.clone()).await.expect("rows");
    while shop.answer("SELECT 1").await.is_err() {}
    let body = shop.0.engine.sql(&tenant(), long, Format::Ndjson).await.expect("an answer");
    assert!(body.rest.is_some());
    while shop.answer("SELECT 1").await.is_err() {}
    // What they get when they go on says why.
    let ended = async {
        loop {
            match futures::StreamExt::next(&mut rows).await {
                Some(Ok(_)) => {}
                other => return other,
            }
        }
    };
    assert!(matches!(ended.await, Some(Err(Error::Timeout { seconds: 2 }))));
    assert!(matches!(body.collect().await, Err(Error::Timeout { seconds: 2 })));
}

/// Values that double with every level, or grow by what replaces them, are refused before they are made.
#[tokio::test]
async fn growing_values_are_refused() {
    let shop = Shop::open().await;
    let mut doubling = "SELECT name AS a FROM spans".to_owned();
    for _ in 0..14 {
        doubling = format!("SELECT a || a AS a FROM ({doubling})");
    }
    let long = "x".repeat(20_000);
    for sql in [
        doubling.clone(),
        doubling.replace("a || a", "concat(a, a)"),
        doubling.replace("a || a", "[a, a]"),
        doubling.replace("a || a", "struct(a, a)"),
        format!("SELECT replace(replace(name, 'a', '{long}'), 'x', '{long}') FROM spans"),
        format!("SELECT regexp_replace(name, '.', '{long}', 'g') FROM spans"),
        format!("SELECT count(*) FROM spans WHERE length(replace(name, 'a', '{long}')) > 1"),
        "SELECT string_agg(s, ',') FROM (SELECT service_name, string_agg(s, ',') AS s FROM (SELECT service_name, name, string_agg(name, ',') AS s FROM spans GROUP BY 1, 2) GROUP BY 1)".to_owned(),
    ] {
        let refused = shop.answer(&sql).await.expect_err(&sql);
        assert!(refused.to_string().contains("times as long"), "{sql}: {refused}");
    }
    shop.check(
        "SELECT a || a FROM (SELECT name || '-' || name AS a FROM spans ORDER BY start_time LIMIT 1)",
        json!([["GET /cart-GET /cartGET /cart-GET /cart"]]),
    )
    .await;
    shop.check("SELECT replace(service_name, 'web', 'page') FROM spans ORDER BY start_time LIMIT 1", json!([["page"]]))
        .await;
}

#[tokio::test]
async fn functions_of_ours() {
    let shop = Shop::open().await;
    shop.check(
        "SELECT time_bucket('1m', start_time), count(*) FROM spans GROUP BY 1",
        json!([["2026-01-15T09:59:00.000000000Z", "3"]]),
    )
    .await;
    shop.check("SELECT duration_bucket(duration_nanos) <= duration_nanos FROM spans LIMIT 1", json!([[true]])).await;
    let points = "(VALUES (1, 10.0), (2, 14.0), (3, 3.0), (4, 5.0)) AS p(second, value)";
    let time = "arrow_cast(second * 1000000000, 'Timestamp(ns, \"UTC\")')";
    shop.check(&format!("SELECT increase(value, {time}), rate(value, {time}) FROM {points}"), json!([[9.0, 3.0]]))
        .await;
    shop.check(&format!("SELECT increase(value, {time}) FROM {points} WHERE second = 1"), json!([[null]])).await;
    shop.check("SELECT histogram_quantile(0.5, [10, 10, 0], [1.0, 3.0])", json!([[1.0]])).await;
    shop.check("SELECT exp_histogram_quantile(1.0, 0, 0, 0, [1, 0, 1])", json!([[8.0]])).await;
    shop.check(
        "SELECT json_text('{\"a\":[1,{\"b\":\"x\"}]}', 'a[1].b'), json_number('{\"a\":\"7\"}', 'a')",
        json!([["x", 7.0]]),
    )
    .await;
    for wrong in [
        "SELECT time_bucket('5', start_time) FROM spans",
        "SELECT rate(name, start_time) FROM spans",
        "SELECT histogram_quantile(2.0, [1], [1.0])",
        "SELECT json_text('{}', name) FROM spans",
    ] {
        assert!(matches!(shop.answer(wrong).await, Err(Error::Invalid { .. })), "{wrong}");
    }
}

/// A release of DataFusion with other functions changes what can be called only when the list says so.
#[tokio::test]
async fn only_listed_functions_exist() {
    use crate::functions::allowed;
    let shop = Shop::open().await;
    let state = shop.0.engine.session(shop.0.engine.snapshot(&tenant())).expect("a session").context.state();
    for name in allowed::SCALAR {
        assert!(state.scalar_functions().contains_key(*name), "{name} has gone");
    }
    for name in allowed::AGGREGATE {
        assert!(state.aggregate_functions().contains_key(*name), "{name} has gone");
    }
    for name in allowed::WINDOW {
        assert!(state.window_functions().contains_key(*name), "{name} has gone");
    }
    let tables: std::collections::BTreeSet<&str> = state.table_functions().keys().map(String::as_str).collect();
    assert_eq!(
        tables.into_iter().collect::<Vec<_>>(),
        ["critical_path", "generate_series", "journey", "range", "trace"]
    );
    for refused in ["repeat", "lpad", "array_repeat", "list_repeat", "input_file_name", "levenshtein"] {
        assert!(!state.scalar_functions().contains_key(refused), "{refused}");
    }
}
