//! gRPC and HTTP connections that send bytes as they are and time each answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::requests::{Coding, EncodedRequest, unframed};
use super::unix_nanos;

/// So many compressed requests are made before the clock starts.
const COMPRESSED_REQUESTS: u64 = 256;

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Number points.
    Metrics,
    /// Log records.
    Logs,
}

/// How it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with protobuf bodies.
    Http,
}

/// When the senders stop.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After this time.
    Elapsed(Duration),
    /// After this many requests in all.
    Sent(u64),
}

/// A run of senders.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where to, as host and port.
    pub address: String,
    /// What.
    pub signal: Signal,
    /// How.
    pub transport: Transport,
    /// How compressed.
    pub coding: Coding,
    /// Connections at once; each waits for its answer before the next request.
    pub connections: usize,
    /// Requests are due at fixed moments, so many a second, and the time waited for a free connection counts;
    /// `None`: as fast as they are acknowledged.
    pub per_second: Option<u64>,
    /// When it ends.
    pub until: Until,
    /// Serial of the first request; a multiple of 8 for spans.
    pub first_serial: u64,
    /// The requests of `Until::Sent` are of so long a time, which ends now: the first of them began so long ago.
    pub spread: Duration,
}

impl Plan {
    /// Spans over gRPC, not compressed, 8 connections, as fast as acknowledged.
    pub fn new(address: &str, until: Until) -> Self {
        Self {
            address: address.to_owned(),
            signal: Signal::Traces,
            transport: Transport::Grpc,
            coding: Coding::None,
            connections: 8,
            per_second: None,
            until,
            first_serial: 0,
            spread: Duration::ZERO,
        }
    }

    /// The moment that a request tells of, in nanoseconds, when `sent` others went before it.
    fn moment(&self, sent: u64) -> u64 {
        let ago = match self.until {
            Until::Sent(n) => self.spread.as_nanos() as u64 / n.max(1) * (n - sent),
            Until::Elapsed(_) => 0,
        };
        unix_nanos() - ago
    }

    fn path(&self) -> &'static str {
        match (self.transport, self.signal) {
            (Transport::Grpc, Signal::Traces) => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            (Transport::Grpc, Signal::Metrics) => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            (Transport::Grpc, Signal::Logs) => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            (Transport::Http, Signal::Traces) => "/v1/traces",
            (Transport::Http, Signal::Metrics) => "/v1/metrics",
            (Transport::Http, Signal::Logs) => "/v1/logs",
        }
    }
}

/// What a run of senders saw.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Spans, points or records the collector acknowledged.
    pub accepted: u64,
    /// Requests it asked to send again; each was.
    pub retried: u64,
    /// Bytes of acknowledged bodies.
    pub body_bytes: u64,
    /// Milliseconds from the first byte sent (or due, when paced) to the answer, sorted.
    pub ack_ms: Vec<f64>,
    /// Length of the run.
    pub elapsed: Duration,
    /// Serials of the acknowledged requests.
    pub serials: Vec<u64>,
}

impl Outcome {
    /// Items acknowledged per second.
    pub fn rate(&self) -> f64 {
        self.accepted as f64 / self.elapsed.as_secs_f64()
    }

    /// Takes another run into account.
    pub fn add(&mut self, other: Self) {
        self.elapsed += other.elapsed;
        self.accepted += other.accepted;
        self.retried += other.retried;
        self.body_bytes += other.body_bytes;
        self.ack_ms.extend(other.ack_ms);
        self.serials.extend(other.serials);
    }
}

/// What all connections of a run share.
struct Run {
    plan: Plan,
    requests: Arc<[EncodedRequest]>,
    /// Compressed requests; empty when none are wanted.
    compressed: Vec<Bytes>,
    next_serial: AtomicU64,
    begin: Instant,
}

/// Sends as planned, and tells what became of it.
pub async fn send(plan: &Plan, requests: &Arc<[EncodedRequest]>) -> Outcome {
    let compressed = (0..COMPRESSED_REQUESTS).filter(|_| plan.coding != Coding::None).map(|number| {
        let serial = plan.first_serial + number;
        request_of(requests, serial).framed_compressed(serial, unix_nanos(), plan.coding)
    });
    let run = Arc::new(Run {
        compressed: compressed.collect(),
        plan: plan.clone(),
        requests: Arc::clone(requests),
        next_serial: AtomicU64::new(plan.first_serial),
        begin: Instant::now(),
    });
    let tasks: Vec<_> = (0..plan.connections).map(|_| tokio::spawn(send_one(Arc::clone(&run)))).collect();
    let mut all = Outcome::default();
    for task in tasks {
        all.add(task.await.expect("a sender does not panic"));
    }
    all.elapsed = run.begin.elapsed();
    all.ack_ms.sort_by(f64::total_cmp);
    all
}

fn request_of(requests: &[EncodedRequest], serial: u64) -> &EncodedRequest {
    &requests[serial as usize % requests.len()]
}

async fn send_one(run: Arc<Run>) -> Outcome {
    let plan = &run.plan;
    let mut connection = Connection::open(plan).await;
    let mut outcome = Outcome::default();
    loop {
        let serial = run.next_serial.fetch_add(1, Ordering::Relaxed);
        let sent = serial - plan.first_serial;
        let is_over = match plan.until {
            Until::Elapsed(limit) => run.begin.elapsed() >= limit,
            Until::Sent(limit) => sent >= limit,
        };
        if is_over {
            return outcome;
        }
        let request = request_of(&run.requests, serial);
        let due = plan.per_second.map(|rate| run.begin + Duration::from_nanos(sent * 1_000_000_000 / rate));
        if let Some(due) = due {
            tokio::time::sleep_until(due.into()).await;
        }
        let bytes = match run.compressed.get(sent as usize % run.compressed.len().max(1)) {
            Some(bytes) => bytes.clone(),
            None => request.framed(serial, plan.moment(sent)),
        };
        let begin = due.unwrap_or_else(Instant::now);
        while let Err(refusal) = connection.export(plan, bytes.clone()).await {
            assert!(refusal.is_retryable, "the collector refused a valid request: {}", refusal.text);
            outcome.retried += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        outcome.ack_ms.push(begin.elapsed().as_secs_f64() * 1e3);
        outcome.accepted += request.n_items as u64;
        outcome.body_bytes += bytes.len() as u64;
        outcome.serials.push(serial);
    }
}

/// Why a request was not taken.
struct Refusal {
    is_retryable: bool,
    text: String,
}

enum Connection {
    Grpc(http2::SendRequest<Full<Bytes>>),
    Http(http1::SendRequest<Full<Bytes>>),
}

impl Connection {
    async fn open(plan: &Plan) -> Self {
        let stream = TcpStream::connect(&plan.address).await.expect("the collector is listening");
        stream.set_nodelay(true).expect("a fresh socket");
        let io = TokioIo::new(stream);
        match plan.transport {
            Transport::Grpc => {
                let (sender, connection) =
                    http2::handshake(TokioExecutor::new(), io).await.expect("the collector speaks HTTP/2");
                tokio::spawn(connection);
                Self::Grpc(sender)
            }
            Transport::Http => {
                let (sender, connection) = http1::handshake(io).await.expect("the collector speaks HTTP/1.1");
                tokio::spawn(connection);
                Self::Http(sender)
            }
        }
    }

    async fn export(&mut self, plan: &Plan, framed: Bytes) -> Result<(), Refusal> {
        let broke = "the collector keeps the connection";
        let request = Request::post(format!("http://{}{}", plan.address, plan.path()));
        match self {
            Self::Grpc(sender) => {
                let request = request.header("content-type", "application/grpc").header("te", "trailers");
                let request = match plan.coding {
                    Coding::None => request,
                    Coding::Gzip => request.header("grpc-encoding", "gzip"),
                    Coding::Zstd => request.header("grpc-encoding", "zstd"),
                };
                let request = request.body(Full::new(framed)).expect("a valid request");
                sender.ready().await.expect(broke);
                let answer = sender.send_request(request).await.expect(broke);
                let head = answer.headers().clone();
                let body = answer.into_body().collect().await.expect(broke);
                let trailers = body.trailers().cloned().unwrap_or_default();
                grpc_answer(&head, &trailers, &body.to_bytes())
            }
            Self::Http(sender) => {
                let request = request.header("content-type", "application/x-protobuf").header("host", &plan.address);
                let request = match plan.coding {
                    Coding::None => request,
                    Coding::Gzip => request.header("content-encoding", "gzip"),
                    Coding::Zstd => request.header("content-encoding", "zstd"),
                };
                let request = request.body(Full::new(unframed(&framed))).expect("a valid request");
                sender.ready().await.expect(broke);
                let answer = sender.send_request(request).await.expect(broke);
                let status = answer.status();
                let body = answer.into_body().collect().await.expect(broke).to_bytes();
                if status == 200 {
                    check_empty(&body);
                    return Ok(());
                }
                let is_retryable = matches!(status.as_u16(), 429 | 502 | 503 | 504);
                Err(Refusal { is_retryable, text: format!("{status}: {}", String::from_utf8_lossy(&body)) })
            }
        }
    }
}

/// The status stands in the trailers, or in the head when there is no body.
fn grpc_answer(head: &HeaderMap, trailers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
    let get = |name: &str| {
        let value = trailers.get(name).or_else(|| head.get(name));
        value.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let code = get("grpc-status");
    if code == "0" {
        check_empty(body.get(5..).unwrap_or_default());
        return Ok(());
    }
    // Unavailable and resource exhausted.
    let is_retryable = matches!(code.as_str(), "14" | "8");
    Err(Refusal { is_retryable, text: format!("status {code}: {}", get("grpc-message")) })
}

fn check_empty(body: &[u8]) {
    assert!(body.is_empty(), "part of a valid request was rejected: {}", String::from_utf8_lossy(body));
}
