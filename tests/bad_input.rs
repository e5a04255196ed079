//! Bad input gets an answer that tells the person what to do, and the process lives.
//!
//! Each test sends something wrong, looks at status, encoding and words of the answer, and then sends something
//! right to the same process.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message as _;
use serde_json::{Value as Json, json};
use tonic::Code;

use crate::harness::otlp::Client;
use crate::harness::{Collector, Request, Server, Transport, generate, raw, sql};

/// What an error answer of an OTLP path says, whatever its encoding (A11).
#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// Sends bytes to an OTLP path and answers HTTP status and the message of the `Status`.
async fn post(server: &Server, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> (u16, String) {
    let mut request = reqwest::Client::new().post(format!("http://{}{path}", server.otlp_http)).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap_or_else(|error| panic!("{path}: no answer: {error:?}"));
    let status = response.status().as_u16();
    let content_type = response.headers().get("content-type").map(|value| value.to_str().expect("text").to_owned());
    let body = response.bytes().await.expect("a body");
    if status == 200 {
        return (status, String::new());
    }
    let message = match content_type.as_deref() {
        Some("application/x-protobuf") => Status::decode(body).expect("a Status").message,
        Some("application/json") => {
            let json: Json = serde_json::from_slice(&body).expect("JSON");
            json["message"].as_str().expect("a message").to_owned()
        }
        other => panic!("{path}: answered as {other:?}: {}", String::from_utf8_lossy(&body)),
    };
    assert!(!message.is_empty(), "{path}: status {status} without a word");
    (status, message)
}

/// The process still takes a good request and answers a good question.
async fn assert_well(server: &mut Server) {
    server.assert_alive();
    let client = Client::new(server);
    let before = sql::number(server, "SELECT count(*) FROM spans").await;
    for (span_id, transport) in (1..).zip(Transport::ALL) {
        let trace_id = u128::try_from(before).expect("a count") << 8 | u128::from(span_id);
        let request = generate::request("after bad input", vec![generate::span(trace_id, span_id, "good")]);
        client.send_all(transport, &Request::Traces(request)).await;
    }
    assert_eq!(sql::number(server, "SELECT count(*) FROM spans").await, before + 3);
}

#[track_caller]
fn assert_says(answer: &str, words: &[&str]) {
    let lower = answer.to_lowercase();
    for word in words {
        assert!(lower.contains(&word.to_lowercase()), "the answer does not say {word:?}: {answer}");
    }
}

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn garbage_bytes() {
    let mut server = Server::start();
    for signal in ["traces", "metrics", "logs"] {
        let path = format!("/v1/{signal}");
        let (status, message) = post(&server, &path, &[PROTOBUF], b"\xff\xfe garbage \x00\x01".to_vec()).await;
        assert_eq!(status, 400, "{signal} as protobuf");
        assert_says(&message, &["cannot decode"]);
        let (status, message) = post(&server, &path, &[JSON], b"{\"resourceSpans\": [".to_vec()).await;
        assert_eq!(status, 400, "{signal} as JSON");
        assert_says(&message, &["end of the document", "byte 19"]);
        let status = raw::export(&server, signal, b"\xff\xfe garbage".to_vec()).await.expect_err("garbage over gRPC");
        assert_eq!(status.code(), Code::InvalidArgument, "{signal} over gRPC: {status:?}");
        assert!(!status.message().is_empty());
    }
    // A value of the wrong type and bytes after the value.
    for text in ["{\"resourceSpans\": 7}", "{} trailing", "[]", "null", "\"text\""] {
        let (status, message) = post(&server, "/v1/traces", &[JSON], text.as_bytes().to_vec()).await;
        assert_eq!(status, 400, "{text}: {message}");
    }
    assert_well(&mut server).await;
}

#[tokio::test]
async fn wrong_content_type() {
    let mut server = Server::start();
    for content_type in ["text/plain", "application/xml", "application/grpc+custom", "nonsense"] {
        let (status, message) = post(&server, "/v1/traces", &[("content-type", content_type)], b"x".to_vec()).await;
        assert_eq!(status, 415, "{content_type}");
        assert_says(&message, &["application/x-protobuf", "application/json"]);
    }
    let (status, message) = post(&server, "/v1/traces", &[], b"x".to_vec()).await;
    assert_eq!(status, 415, "no content type");
    assert_says(&message, &["application/x-protobuf", "application/json"]);
    // Case and parameters do not matter (T4).
    let loud = ("content-type", "Application/JSON; charset=utf-8");
    assert_eq!(post(&server, "/v1/traces", &[loud], b"{}".to_vec()).await.0, 200);
    assert_well(&mut server).await;
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

#[tokio::test]
async fn truncated_and_mislabelled_compression() {
    let mut server = Server::start();
    let good = Request::Traces(generate::request("gzip", vec![generate::span(1, 1, "zipped")])).encode();
    let whole = gzip(&good);
    let encoding = ("content-encoding", "gzip");
    assert_eq!(post(&server, "/v1/traces", &[PROTOBUF, encoding], whole.clone()).await.0, 200, "whole gzip");
    let cut = whole[..whole.len() - 9].to_vec();
    let (status, message) = post(&server, "/v1/traces", &[PROTOBUF, encoding], cut).await;
    assert_eq!(status, 400, "truncated: {message}");
    assert_says(&message, &["gzip"]);
    let (status, message) = post(&server, "/v1/traces", &[PROTOBUF, encoding], good.clone()).await;
    assert_eq!(status, 400, "plain bytes labelled gzip: {message}");
    assert_says(&message, &["gzip"]);
    let mut broken = whole.clone();
    let checksum = broken.len() - 6;
    broken[checksum] ^= 0xff;
    let (status, message) = post(&server, "/v1/traces", &[PROTOBUF, encoding], broken).await;
    assert_eq!(status, 400, "wrong checksum: {message}");
    let (status, message) = post(&server, "/v1/traces", &[PROTOBUF, ("content-encoding", "br")], good).await;
    assert_eq!(status, 415, "unknown coding: {message}");
    assert_says(&message, &["gzip"]);
    assert_eq!(sql::number(&server, "SELECT count(*) FROM spans").await, 1, "only the whole one is stored");
    assert_well(&mut server).await;
}

#[tokio::test]
async fn a_body_of_65_mib() {
    // A debug build on a busy machine may take longer to inflate 64 MiB than a collector should let anybody wait.
    let config = "[collector]\nanswer_within_ms = 60000\n".to_owned();
    let mut server = Collector { config, ..Collector::default() }.start();
    let big = vec![0x0a_u8; 65 << 20];
    let (status, message) = post(&server, "/v1/traces", &[PROTOBUF], big.clone()).await;
    assert_eq!(status, 413, "65 MiB over HTTP: {message}");
    assert_says(&message, &["67108864", "smaller"]);
    // The same size once unpacked; on the wire it is small.
    let bomb = gzip(&big);
    assert!(bomb.len() < 1 << 20);
    let (status, message) = post(&server, "/v1/traces", &[PROTOBUF, ("content-encoding", "gzip")], bomb).await;
    assert_eq!(status, 413, "65 MiB unpacked: {message}");
    assert_says(&message, &["67108864", "smaller"]);
    let status = raw::export(&server, "traces", big).await.expect_err("65 MiB over gRPC");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.metadata().get_bin("google.rpc.retryinfo-bin").is_none(), "A6: no wish to try again: {status:?}");
    assert_says(status.message(), &["67108864", "smaller"]);
    assert_well(&mut server).await;
}

/// An empty message is a request without items (A2); an empty text is no JSON.
#[tokio::test]
async fn an_empty_body() {
    let mut server = Server::start();
    for signal in ["traces", "metrics", "logs"] {
        let path = format!("/v1/{signal}");
        assert_eq!(post(&server, &path, &[PROTOBUF], Vec::new()).await.0, 200, "{signal} as protobuf");
        let (status, message) = post(&server, &path, &[JSON], Vec::new()).await;
        assert_eq!(status, 400, "{signal} as JSON: {message}");
        assert_says(&message, &["JSON"]);
        assert_eq!(post(&server, &path, &[JSON], b"{}".to_vec()).await.0, 200, "{signal} as empty JSON object");
        let answer = raw::export(&server, signal, Vec::new()).await.expect("an empty message is fine");
        assert!(answer.is_empty(), "{signal}: partial_success is unset (A1): {answer:?}");
    }
    assert_well(&mut server).await;
}

#[tokio::test]
async fn an_unknown_route() {
    let mut server = Server::start();
    let (status, message) = post(&server, "/v1/spans", &[JSON], b"{}".to_vec()).await;
    assert_eq!(status, 404);
    assert_says(&message, &["/v1/traces", "/v1/metrics", "/v1/logs"]);
    let url = format!("http://{}/v1/traces", server.otlp_http);
    let answer = reqwest::get(url).await.expect("an answer");
    assert_eq!(answer.status(), 405);
    assert_eq!(answer.headers()["allow"], "POST");
    let problem = problem(&server, "/api/nonsense").await;
    assert_eq!(problem.status, 404, "{problem:?}");
    assert!(!problem.detail.is_empty(), "{problem:?}");
    assert_well(&mut server).await;
}

/// The problem document of a GET, after checking that it is one.
async fn problem(server: &Server, path: &str) -> api::Problem {
    let answer = reqwest::get(server.api(path)).await.expect("an answer");
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()["content-type"], "application/problem+json", "{path}: {status}");
    let problem: api::Problem =
        serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("a problem document");
    assert_eq!(problem.status, status, "{path}");
    problem
}

/// The problem document of a SQL statement.
async fn sql_problem(server: &Server, statement: &str) -> api::Problem {
    let (status, body) = sql::ask(server, statement).await;
    assert_ne!(status, 200, "{statement} was answered: {body}");
    let problem: api::Problem = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
    assert_eq!(problem.status, status, "{statement}");
    problem
}

#[tokio::test]
async fn sql_that_cannot_be_answered() {
    let mut server = Server::start();
    let unknown = sql_problem(&server, "SELECT * FROM span").await;
    assert_eq!(unknown.status, 400, "{unknown:?}");
    assert_says(&unknown.detail, &["span", "spans"]);
    let unknown = sql_problem(&server, "SELECT nam FROM spans").await;
    assert_eq!(unknown.status, 400, "{unknown:?}");
    assert_says(&unknown.detail, &["name"]);
    let two = sql_problem(&server, "SELECT 1; SELECT 2").await;
    assert_eq!(two.status, 400, "{two:?}");
    assert_says(&two.detail, &["one"]);
    let typo = sql_problem(&server, "SELECT count(* FROM spans").await;
    assert_eq!(typo.status, 400, "{typo:?}");
    assert!(typo.position.is_some_and(|at| (10..=20).contains(&at)), "where it is wrong: {typo:?}");
    let empty = sql_problem(&server, "").await;
    assert_eq!(empty.status, 400, "{empty:?}");
    assert_says(&empty.detail, &["SELECT"]);
    assert_well(&mut server).await;
}

#[tokio::test]
async fn sql_that_writes() {
    let mut server = Server::start();
    assert_well(&mut server).await;
    let before = sql::number(&server, "SELECT count(*) FROM spans").await;
    let statements = [
        "INSERT INTO spans SELECT * FROM spans",
        "DELETE FROM spans",
        "UPDATE spans SET name = 'x'",
        "CREATE TABLE t AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "DROP TABLE spans",
        "COPY (SELECT 1) TO '/tmp/hodoscope-was-here.csv'",
        "SET datafusion.execution.batch_size = 1",
        "EXPLAIN ANALYZE SELECT 1",
        "SELECT * FROM '/etc/passwd'",
        "TRUNCATE spans",
        "BEGIN",
        "PREPARE p AS SELECT 1",
    ];
    for statement in statements {
        let refused = sql_problem(&server, statement).await;
        assert_eq!(refused.status, 400, "{statement}: {refused:?}");
        assert!(refused.detail.len() > 10, "{statement}: {refused:?}");
    }
    let refused = sql_problem(&server, "DELETE FROM spans").await;
    assert_says(&refused.detail, &["SELECT"]);
    assert_eq!(sql::number(&server, "SELECT count(*) FROM spans").await, before, "nothing changed");
    assert!(!std::path::Path::new("/tmp/hodoscope-was-here.csv").exists());
    assert_well(&mut server).await;
}

#[tokio::test]
async fn sql_bodies_that_are_none() {
    let mut server = Server::start();
    let url = server.api("/api/sql");
    let bodies = [("", "JSON"), ("nonsense", "JSON"), ("{\"sq\": \"SELECT 1\"}", "sql"), ("{\"sql\": 7}", "sql")];
    for (body, word) in bodies {
        let request = reqwest::Client::new().post(&url).header("content-type", "application/json").body(body);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 400, "{body}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{body}");
        let problem: api::Problem =
            serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("a problem document");
        assert_says(&problem.detail, &[word]);
    }
    let answer = reqwest::get(&url).await.expect("an answer");
    assert_eq!(answer.status(), 405, "GET /api/sql");
    assert_well(&mut server).await;
}

#[tokio::test]
async fn an_id_that_does_not_exist() {
    let mut server = Server::start();
    let absent = problem(&server, "/api/traces/4bf92f3577b34da6a3ce929d0e0e4736").await;
    assert_eq!(absent.status, 404, "{absent:?}");
    assert_says(&absent.detail, &["4bf92f3577b34da6a3ce929d0e0e4736"]);
    let absent = problem(&server, "/api/traces/4bf92f3577b34da6a3ce929d0e0e4736/timeline").await;
    assert_eq!(absent.status, 404, "{absent:?}");
    // A short id is one whose leading zeros a tool has dropped.
    assert_eq!(problem(&server, "/api/traces/4bf9").await.status, 404);
    for text in ["nonsense", "00000000000000000000000000000000", "4bf92f3577b34da6a3ce929d0e0e47zz"] {
        let wrong = problem(&server, &format!("/api/traces/{text}")).await;
        assert_eq!(wrong.status, 400, "{text}: {wrong:?}");
        assert_says(&wrong.detail, &["32", "hex"]);
    }
    assert_well(&mut server).await;
}

#[tokio::test]
async fn search_parameters_that_are_wrong() {
    let mut server = Server::start();
    for query in ["unit=cows", "sort=sideways", "limit=many", "from=yesterdayish", "cursor=nonsense"] {
        let wrong = problem(&server, &format!("/api/search?{query}")).await;
        assert_eq!(wrong.status, 400, "{query}: {wrong:?}");
        let (name, value) = query.split_once('=').expect("a pair");
        let says = wrong.detail.contains(name) || wrong.detail.contains(value);
        assert!(says, "{query}: {wrong:?}");
    }
    assert_well(&mut server).await;
}

/// V1, A3, A5: items are refused one by one, counted and named; the others are kept.
#[tokio::test]
async fn items_are_refused_one_by_one() {
    let mut server = Server::start();
    let client = Client::new(&server);
    for (number, transport) in (1_u64..).zip(Transport::ALL) {
        let mut without_trace = generate::span(1, 1, "no trace id");
        without_trace.trace_id = Vec::new();
        let mut zero = generate::span(1, 1, "zero span id");
        zero.span_id = vec![0; 8];
        let mut short = generate::span(1, 1, "short span id");
        short.span_id = vec![1; 7];
        let good = generate::span(u128::from(number), number, "good");
        let spans = vec![without_trace.clone(), good, zero, short];
        let answer = client.send(transport, &Request::Traces(generate::request("items", spans))).await;
        let accepted = answer.unwrap_or_else(|refused| panic!("{transport:?}: {refused:?}"));
        assert_eq!(accepted.rejected, 3, "{transport:?}: {accepted:?}");
        assert_says(&accepted.message, &["invalid_trace_id", "invalid_span_id"]);
        let alone = Request::Traces(generate::request("items", vec![without_trace]));
        let refused = client.send(transport, &alone).await.expect_err("nothing could be kept");
        assert_eq!(refused.code, if transport == Transport::Grpc { 3 } else { 400 }, "{transport:?}: {refused:?}");
        assert_says(&refused.message, &["invalid_trace_id"]);
    }
    assert_eq!(sql::number(&server, "SELECT count(*) FROM spans WHERE service_name = 'items'").await, 3);
    let status: Json = serde_json::from_slice(
        &reqwest::get(server.api("/api/status")).await.expect("an answer").bytes().await.expect("a body"),
    )
    .expect("JSON");
    assert_eq!(status["ingest"]["rejected"]["traces/invalid_span_id"], json!(6), "A15: counted: {status}");
    assert_well(&mut server).await;
}

/// S18: whatever strangers make up (methods, paths, types, codings, tenants, names of services), no label of our own metrics says it.
#[tokio::test]
async fn s18_labels_of_own_metrics_are_closed_sets() {
    let mut server = Server::start();
    let client = reqwest::Client::new();
    for n in 0..3 {
        let word = format!("made-up-{n}");
        let methods =
            ["GET", "POST", word.as_str()].map(|name| reqwest::Method::from_bytes(name.as_bytes()).expect("a token"));
        for method in methods {
            for url in [
                format!("http://{}/v1/traces", server.otlp_http),
                format!("http://{}/v1/{word}", server.otlp_http),
                format!("http://{}/opentelemetry.proto.{word}/Export", server.otlp_grpc),
                server.api(&format!("/api/{word}")),
                server.api(&format!("/api/search?q=name={word}")),
            ] {
                let request = client.request(method.clone(), url).header("content-type", format!("application/{word}"));
                let request = request.header("content-encoding", &word).header("x-scope-orgid", &word);
                let request = request.header("user-agent", &word).body(word.clone());
                let answer = request.send().await.expect("an answer");
                assert!(answer.status().as_u16() != 500, "{}", answer.status());
            }
        }
        let request = generate::request(&word, vec![generate::span(u128::from(n + 1_u32), 1, &word)]);
        Client::new(&server).send_all(Transport::HttpProtobuf, &Request::Traces(request)).await;
    }
    let own = client.get(server.api("/metrics")).send().await.expect("an answer").text().await.expect("text");
    assert!(own.lines().count() > 50, "{own}");
    let told: Vec<&str> = own.lines().filter(|line| line.to_lowercase().contains("made-up")).collect();
    assert!(told.is_empty(), "{told:?}");
    assert_well(&mut server).await;
}
