//! SQL reads and nothing else: more than 200 ways out of the sandbox are refused or bounded with a message that helps,
//! work stops when its reader goes away, and long answers come in pieces (S7, S8, F19, F20).

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::harness::otlp::Client;
use crate::harness::{Collector, Request, Server, Transport, generate, sql, wait_for, whole_machine};

/// Statements that are no queries, or queries of something else than our tables.
fn escapes() -> BTreeSet<String> {
    let mut all: BTreeSet<String> = BTreeSet::new();
    let mut add = |text: String| {
        all.insert(text);
    };
    for path in [
        "/etc/passwd",
        "file:///etc/passwd",
        "../data",
        "x.csv",
        "x.parquet",
        "x.json",
        "x.avro",
        "x.arrow",
        "s3://bucket/x.parquet",
        "gs://bucket/x.parquet",
        "http://127.0.0.1:4319/metrics",
        "https://example.com/x.csv",
        "hodoscope://segments/",
        "/proc/self/environ",
        "memory:///x",
    ] {
        add(format!("SELECT * FROM '{path}'"));
        add(format!("SELECT * FROM \"{path}\""));
        add(format!("SELECT (SELECT count(*) FROM '{path}')"));
        add(format!("COPY spans TO '{path}'"));
        add(format!("CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '{path}'"));
    }
    for function in [
        "read_csv",
        "read_parquet",
        "read_json",
        "read_text",
        "read_blob",
        "parquet_scan",
        "parquet_metadata",
        "delta_scan",
        "iceberg_scan",
        "glob",
        "getenv",
        "pg_read_file",
        "pg_ls_dir",
        "pg_sleep",
        "sleep",
        "set_config",
        "current_setting",
        "load_extension",
        "system",
        "shell",
        "exec",
        "url_table",
        "http_get",
        "metadata_cache",
        "statistics_cache",
        "lo_import",
        "dblink",
        "repeat",
        "lpad",
        "rpad",
        "array_repeat",
        "list_repeat",
        "array_resize",
        "list_resize",
    ] {
        add(format!("SELECT {function}('x', 2000000000)"));
        add(format!("SELECT * FROM {function}('/etc/passwd')"));
    }
    for object in [
        "TABLE x (a INT)",
        "TABLE x AS SELECT 1",
        "OR REPLACE TABLE spans AS SELECT 1",
        "TEMPORARY TABLE x AS SELECT 1",
        "VIEW x AS SELECT 1",
        "OR REPLACE VIEW spans AS SELECT 1",
        "MATERIALIZED VIEW x AS SELECT 1",
        "SCHEMA x",
        "DATABASE x",
        "INDEX x ON spans (name)",
        "FUNCTION x() RETURNS INT LANGUAGE SQL AS 'SELECT 1'",
        "ROLE x",
        "USER x",
        "SEQUENCE x",
        "EXTENSION x",
        "SECRET x",
        "UNBOUNDED EXTERNAL TABLE x STORED AS CSV LOCATION 'x'",
    ] {
        add(format!("CREATE {object}"));
    }
    for object in [
        "TABLE spans",
        "TABLE IF EXISTS spans",
        "VIEW traces",
        "SCHEMA public CASCADE",
        "DATABASE hodoscope",
        "FUNCTION attr",
        "INDEX x",
    ] {
        add(format!("DROP {object}"));
    }
    for setting in [
        "datafusion.execution.batch_size",
        "datafusion.catalog.information_schema",
        "datafusion.execution.enable_recursive_ctes",
    ] {
        add(format!("SET {setting} = true"));
        add(format!("SET LOCAL {setting} TO true"));
        add(format!("RESET {setting}"));
        add(format!("SHOW {setting}"));
    }
    for statement in [
        "SHOW ALL",
        "SHOW TABLES",
        "SHOW COLUMNS FROM spans",
        "SHOW FUNCTIONS",
        "SHOW CREATE TABLE spans",
        "DESCRIBE spans",
        "DESC spans",
        "INSERT INTO spans VALUES (1)",
        "INSERT OVERWRITE spans SELECT 1",
        "UPDATE spans SET name = 'x'",
        "DELETE FROM spans",
        "DELETE FROM spans WHERE 1 = 1",
        "TRUNCATE TABLE spans",
        "TRUNCATE spans",
        "REPLACE INTO spans VALUES (1)",
        "MERGE INTO spans USING spans AS s ON true WHEN MATCHED THEN DELETE",
        "ALTER TABLE spans DROP COLUMN name",
        "ALTER TABLE spans RENAME TO x",
        "ALTER SESSION SET x = 1",
        "BEGIN",
        "START TRANSACTION",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT x",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "DEALLOCATE p",
        "GRANT ALL ON spans TO x",
        "REVOKE ALL ON spans FROM x",
        "CALL x()",
        "USE x",
        "ATTACH 'x.db' AS x",
        "DETACH x",
        "PRAGMA x",
        "VACUUM",
        "ANALYZE spans",
        "ANALYZE TABLE spans COMPUTE STATISTICS",
        "LISTEN x",
        "NOTIFY x",
        "KILL 1",
        "CACHE TABLE x AS SELECT 1",
        "LOAD 'x'",
        "INSTALL httpfs",
        "DECLARE c CURSOR FOR SELECT 1",
        "FETCH NEXT FROM c",
        "CLOSE c",
        "LOCK TABLES spans WRITE",
        "UNLOAD (SELECT 1) TO 's3://b/x'",
        "EXPORT DATA OPTIONS() AS SELECT 1",
        "COPY (SELECT 1) TO 'x.csv' STORED AS CSV",
        "COPY spans FROM STDIN",
        "COPY spans FROM '/etc/passwd'",
        "DO $$ SELECT 1 $$",
        "COMMENT ON TABLE spans IS 'x'",
        "EXPLAIN ANALYZE SELECT 1",
        "EXPLAIN ANALYZE VERBOSE SELECT * FROM spans",
        "explain analyze select 1",
        "EXPLAIN EXPLAIN ANALYZE SELECT 1",
        "EXPLAIN (ANALYZE) SELECT 1",
        "EXPLAIN DELETE FROM spans",
        "EXPLAIN INSERT INTO spans VALUES (1)",
        "EXPLAIN COPY spans TO 'x'",
        "EXPLAIN CREATE TABLE x AS SELECT 1",
        "SELECT 1; DROP TABLE spans",
        "SELECT 1; SELECT 2",
        "SELECT 1;;SELECT 2",
        "/* x */ DROP TABLE spans",
        "-- x\nDROP TABLE spans",
        "; DELETE FROM spans",
        "SELECT * INTO x FROM spans",
        "SELECT * FROM spans FOR UPDATE",
        "WITH x AS (DELETE FROM spans RETURNING *) SELECT * FROM x",
        "WITH x AS (INSERT INTO spans VALUES (1)) SELECT 1",
        "WITH x AS (SELECT 1) DELETE FROM spans",
        "SELECT * FROM (DELETE FROM spans)",
        "SELECT (DROP TABLE spans)",
        "TABLE spans; DROP TABLE spans",
        "(DELETE FROM spans)",
        "WITH RECURSIVE x AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM x) SELECT sum(n) FROM x",
        "WITH RECURSIVE x AS (SELECT 1 AS n UNION SELECT n FROM x) SELECT * FROM x",
        "SELECT * FROM nothing",
        "SELECT nothing FROM spans",
        "SELECT $missing",
        "SELECT 'open",
        "SELECT \"open",
        "SELECT (1",
        "",
        " ",
        ";",
        "\u{0}",
        "🦀",
    ] {
        add(statement.to_owned());
    }
    for name in ["tables", "views", "columns", "schemata", "df_settings", "routines", "parameters"] {
        add(format!("SELECT * FROM information_schema.{name}"));
        add(format!("SELECT * FROM hodoscope.information_schema.{name}"));
    }
    for name in [
        "pg_catalog.pg_tables",
        "system.runtime",
        "datafusion.public.x",
        "mysql.user",
        "sqlite_master",
        "duckdb_settings",
    ] {
        add(format!("SELECT * FROM {name}"));
    }
    let chain = |part: &str, join: &str, n: usize| vec![part; n].join(join);
    for text in [
        format!("SELECT 1 WHERE {}", chain("1=1", " OR ", 10_000)),
        format!("SELECT 1 WHERE {}", chain("1=1", " AND ", 10_000)),
        format!("SELECT {}", chain("1", "+", 10_000)),
        format!("SELECT {}", chain("'a'", "||", 10_000)),
        format!("SELECT {}", chain("1", "=", 5_000)),
        format!("SELECT {}1", "- ".repeat(10_000)),
        format!("SELECT {}true", "NOT ".repeat(10_000)),
        format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000)),
        format!("SELECT {}1{}", "[".repeat(10_000), "]".repeat(10_000)),
        format!("SELECT {}1{}", "abs(".repeat(5_000), ")".repeat(5_000)),
        format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(3_000), " END".repeat(3_000)),
        format!("{}SELECT 1{}", "SELECT * FROM (".repeat(2_000), ")".repeat(2_000)),
        chain("SELECT 1", " UNION ALL ", 4_000),
        chain("SELECT 1", " INTERSECT ", 4_000),
        format!("SELECT 1 FROM {}", chain("spans", " JOIN ", 5_000)),
        format!("SELECT 1 FROM spans {}", "CROSS JOIN spans ".repeat(3_000)),
        format!("SELECT {}", chain("x.", "", 20_000)),
        format!("SELECT a{}", "::int".repeat(10_000)),
        format!("SELECT a{} FROM spans", "[1]".repeat(10_000)),
        format!("SELECT '{}'", "x".repeat(70_000)),
        format!("SELECT {}", "9".repeat(70_000)),
        format!("SELECT 1 -- {}", "x".repeat(400_000)),
        format!("SELECT 1 WHERE 1 IN ({})", chain("1", ",", 40_000)),
        format!("SELECT regexp_like(name, '{}') FROM spans", "(a{1000}){1000}".repeat(3)),
        format!("WITH {} SELECT 1", (0..5_000).map(|n| format!("x{n} AS (SELECT 1)")).collect::<Vec<_>>().join(", ")),
        (0..30).fold("SELECT name AS a FROM spans".to_owned(), |inner, _| format!("SELECT a || a AS a FROM ({inner})")),
        (0..30).fold("SELECT name AS a FROM spans".to_owned(), |inner, _| format!("SELECT [a, a] AS a FROM ({inner})")),
        format!("SELECT replace(replace(name, 'a', '{0}'), 'x', '{0}') FROM spans", "x".repeat(10_000)),
    ] {
        add(text);
    }
    all
}

/// S7: each attempt is refused with a message; afterwards the collector lives and its data is as it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s7_nothing_gets_out_of_the_sandbox() {
    // None of them is to end by the clock, on a busy machine either.
    let config = "[query]\nseconds_max = 600\n".to_owned();
    let mut server = Collector { config, ..Collector::default() }.start();
    let sent = generate::request("shop", vec![generate::span(7, 1, "alpha")]);
    Client::new(&server).send_all(Transport::Grpc, &Request::Traces(sent)).await;
    let escapes = escapes();
    assert!(escapes.len() >= 200, "{}", escapes.len());
    let mut answered = Vec::new();
    for attempt in &escapes {
        let shown: String = attempt.chars().take(80).collect();
        let begun = Instant::now();
        let (status, body) = sql::ask(&server, attempt).await;
        assert!(begun.elapsed() < Duration::from_secs(120), "{shown} took {:?}", begun.elapsed());
        if status == 200 {
            answered.push(shown);
            continue;
        }
        assert!((400..500).contains(&status), "{shown}: {status} {body}");
        let problem: Json = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{shown}: {error}: {body}"));
        assert!(
            problem["detail"].as_str().is_some_and(|detail| detail.len() > 5 && detail.len() < 4_000),
            "{shown}: {problem}"
        );
    }
    assert!(answered.is_empty(), "{} attempts were answered: {answered:#?}", answered.len());
    server.assert_alive();
    assert_eq!(sql::number(&server, "SELECT count(*) FROM spans").await, 1);
    println!("sql: {} attempts to get out, none succeeded", escapes.len());
}

/// CPU seconds of the process so far.
fn cpu_seconds(server: &Server) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).expect("Linux, alive");
    let after_name = stat.rsplit_once(')').expect("a name").1;
    after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().expect("ticks") / 100.0).sum()
}

async fn queries(server: &Server) -> api::QueryStatus {
    let answer = reqwest::get(server.api("/api/status")).await.expect("an answer");
    let status: api::StatusAnswer = serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("a status");
    status.queries
}

/// Waits until no question runs and none holds memory; says how long that took since its reader had gone.
async fn given_back(server: &Server, what: &str, gone: Instant) {
    let after = wait_for("place and memory of a question to be given back", Duration::from_secs(180), async || {
        let load = queries(server).await;
        (load.running + load.waiting + load.memory_bytes == 0).then(|| gone.elapsed())
    });
    println!("sql: place and memory of {what} were given back {:?} after its reader had gone", after.await);
}

/// F20: work stops when its reader goes away, whatever it is doing, and leaves no temporary files: within 500 ms of a
/// release build (`HODOSCOPE_TEST_BINARY`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f20_work_stops_when_its_reader_goes_away() {
    let temporary = tempfile::tempdir().expect("a folder");
    let env = vec![("TMPDIR".to_owned(), temporary.path().display().to_string())];
    let config = "[query]\nthreads = 2\nmemory_bytes_max = 134217728\n".to_owned();
    let mut server = Collector { config, env, ..Collector::default() }.start();
    // A query asks whether it may go on every 128 batches: a debug build takes longer for those. What counts is what it burns on its two
    // threads: how long that takes is a matter of what else the machine does.
    let is_release = std::env::var_os("HODOSCOPE_TEST_BINARY").is_some();
    let limit = if is_release { 1.0 } else { 16.0 };
    let many = "generate_series(1, 1000000000)";
    for (what, text) in [
        ("scan", format!("SELECT count(*) FROM {many}")),
        (
            "sort",
            format!("SELECT max(v) FROM (SELECT value * 7919 % 1000003 AS v FROM {many} ORDER BY 1 LIMIT 900000000)"),
        ),
        ("group", format!("SELECT max(n) FROM (SELECT value % 5000000, count(*) AS n FROM {many} GROUP BY 1)")),
        (
            "join",
            format!("SELECT count(*) FROM generate_series(1, 3000000) a JOIN {many} b ON a.value = b.value % 3000000"),
        ),
        (
            "cross join",
            format!("SELECT count(*) FROM generate_series(1, 30000) a, {many} b WHERE a.value * b.value % 7 = 3"),
        ),
        (
            "a join without pairs",
            "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b WHERE a.value + b.value < 0"
                .to_owned(),
        ),
        ("rows", format!("SELECT value, value * 2 FROM {many}")),
    ] {
        let request = reqwest::Client::new().post(server.api("/api/sql")).body(json!({ "sql": text }).to_string());
        // The future is dropped after this time, and the connection with it.
        let gone = tokio::time::timeout(Duration::from_millis(700), async {
            let answer = request.send().await.expect("an answer");
            answer.bytes().await
        });
        if let Ok(answer) = gone.await {
            assert!(what == "rows", "{what} was answered: {answer:?}");
            continue;
        }
        // Until a quarter of a second passes in which next to nothing is burnt.
        let (gone, burnt) = (Instant::now(), cpu_seconds(&server));
        let stopped = loop {
            let (before, since) = (cpu_seconds(&server), gone.elapsed());
            tokio::time::sleep(Duration::from_millis(250)).await;
            if cpu_seconds(&server) - before < 0.06 {
                break since;
            }
            let more = before - burnt;
            assert!(more < limit, "{what} has burnt {more:.1} s in {since:?} after its reader has gone");
            assert!(!is_release || since < Duration::from_millis(500), "{what} still works after {since:?}");
        };
        println!("sql: {what} stopped {stopped:?} after its reader had gone");
        given_back(&server, what, gone).await;
        let more = cpu_seconds(&server) - burnt;
        assert!(more < limit, "{what} has burnt {more:.1} s after its reader has gone");
    }
    // While its reader does not read, a question keeps its place; the place is free as soon as the reader has gone.
    let columns: Vec<String> = (0..12).map(|n| format!("value * 1000003 + {n} AS column_{n}")).collect();
    let text = json!({ "sql": format!("SELECT {} FROM {many}", columns.join(", ")) }).to_string();
    let request = reqwest::Client::new().post(server.api("/api/sql")).body(text);
    let answer = request.header("accept", "application/x-ndjson").send().await.expect("an answer");
    let load = queries(&server).await;
    assert!(load.running >= 1, "{load:?}");
    let gone = Instant::now();
    drop(answer);
    given_back(&server, "an answer that nobody reads", gone).await;
    server.assert_alive();
    // The last thread to let go of a file removes it.
    wait_for("temporary files to be gone", Duration::from_secs(60), async || {
        let mut folders = std::fs::read_dir(temporary.path()).expect("a folder").flatten();
        let is_empty = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().next().is_none();
        folders.all(|folder| is_empty(&folder.path())).then_some(())
    })
    .await;
}

/// F19, S8: eight hostile queries at a time, each within memory, disk and time of its own: spans are taken meanwhile, the next question is answered, the process lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f19_hostile_queries_do_not_stop_the_intake() {
    let _machine = whole_machine().await;
    let config = "[query]\nseconds_max = 5\nmemory_bytes_max = 134217728\nspill_bytes_max = 67108864\n".to_owned();
    let mut server = Collector { config, ..Collector::default() }.start();
    let ask = |n: u64| {
        let text = match n % 4 {
            0 => "SELECT value FROM generate_series(1, 1000000000) ORDER BY value % 1000003 DESC LIMIT 1000000",
            1 => "SELECT count(DISTINCT value) FROM generate_series(1, 1000000000)",
            2 => {
                "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b WHERE a.value % 3 = b.value % 5"
            }
            _ => "SELECT array_agg(value) FROM generate_series(1, 1000000000)",
        };
        let url = server.api("/api/sql");
        tokio::spawn(async move {
            let request = reqwest::Client::new().post(url).body(json!({ "sql": text }).to_string());
            request.send().await.map(|answer| answer.status().as_u16()).unwrap_or_default()
        })
    };
    let hostile: Vec<_> = (0..8).map(ask).collect();
    let client = Client::new(&server);
    let mut slowest = Duration::ZERO;
    for round in 1..=60u64 {
        let sent = generate::request("shop", vec![generate::span(u128::from(round) << 64 | 7, round, "alpha")]);
        let begun = Instant::now();
        client.send_all(Transport::Grpc, &Request::Traces(sent)).await;
        slowest = slowest.max(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for query in hostile {
        let status = query.await.expect("no panic");
        assert!((400..=504).contains(&status) && status != 500, "{status}");
    }
    server.assert_alive();
    // The threads of the last one may need a moment to see that it has ended.
    let begun = Instant::now();
    while sql::ask(&server, "SELECT 1").await.0 != 200 {
        assert!(begun.elapsed() < Duration::from_secs(180), "no question is answered any more");
    }
    assert_eq!(sql::number(&server, "SELECT count(*) FROM spans").await, 60);
    // Whoever looks after it sees which ones they were.
    let slow = queries(&server).await.slow;
    let is_one = |one: &api::SlowQuestion| one.question.contains("generate_series(1, 1000000000)") && one.status >= 400;
    assert!(slow.iter().any(|one| is_one(one) && one.elapsed_ms > 1_000.0), "{slow:?}");
    println!("sql: with 8 hostile queries, the slowest of 60 requests took {slowest:?}");
}

/// Long answers come in pieces, are whole in every form, and say when they were cut.
#[tokio::test]
async fn long_answers_come_in_pieces() {
    let server = Server::start();
    let text = "SELECT value, 'some text of a row' AS text FROM generate_series(1, 150000)";
    for (accept, n_rows) in [
        ("application/json", 100_000),
        ("application/x-ndjson", 100_000),
        ("text/csv", 100_001),
        ("application/vnd.apache.arrow.stream", 0),
    ] {
        let request = reqwest::Client::new().post(server.api("/api/sql")).header("accept", accept);
        let mut answer = request.body(json!({ "sql": text }).to_string()).send().await.expect("an answer");
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["trailer"].as_bytes()),
            (200, b"x-incomplete".as_slice())
        );
        let (mut body, mut n_chunks) = (Vec::new(), 0);
        while let Some(chunk) = answer.chunk().await.expect("a whole answer") {
            body.extend_from_slice(&chunk);
            n_chunks += 1;
        }
        assert!(n_chunks > 3, "{accept}: {n_chunks} chunks");
        match accept {
            "application/json" => {
                let answer: api::SqlAnswer = serde_json::from_slice(&body).expect("a document");
                assert_eq!((answer.rows.len(), answer.incomplete), (n_rows, true));
                assert!(answer.incomplete_reason.is_some_and(|reason| reason.contains("100000 rows")));
            }
            "application/vnd.apache.arrow.stream" => {
                assert!(body.ends_with(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]), "its end is marked")
            }
            _ => assert_eq!(body.iter().filter(|byte| **byte == b'\n').count(), n_rows, "{accept}"),
        }
    }
    // What goes wrong after the first rows breaks the answer off: nobody takes half of it for the whole.
    let late = "SELECT 10 / (50000 - value), 'some text of a row' FROM generate_series(1, 90000)";
    let request = reqwest::Client::new().post(server.api("/api/sql")).header("accept", "text/csv");
    let answer = request.body(json!({ "sql": late }).to_string()).send().await.expect("an answer");
    if answer.status().is_success() {
        assert!(answer.bytes().await.is_err(), "the answer was broken off");
    }
}
