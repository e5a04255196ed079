//! gRPC connections that send bytes as they are and time each answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Buf as _, BufMut as _, Bytes};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::requests::EncodedRequest;

/// What a run of senders saw.
#[derive(Default)]
pub struct Outcome {
    /// Spans the collector acknowledged.
    pub accepted_spans: u64,
    /// Requests it asked to send again; each was.
    pub retried: u64,
    /// Milliseconds from the first byte sent (or due, when paced) to the answer, sorted.
    pub ack_ms: Vec<f64>,
    /// Length of the run.
    pub elapsed: Duration,
    /// Serials of the acknowledged requests.
    pub serials: Vec<u64>,
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.accepted_spans += other.accepted_spans;
        self.retried += other.retried;
        self.ack_ms.extend(other.ack_ms);
        self.serials.extend(other.serials);
    }
}

/// When the senders stop.
#[derive(Clone, Copy)]
pub enum Until {
    /// After this time.
    Elapsed(Duration),
    /// After this many requests in all.
    Sent(u64),
}

/// Sends over `connections` connections at once, each waiting for its answer before the next request; with
/// `per_second`, requests are due at fixed moments and the time waited for a free connection counts.
pub async fn send(
    address: &str,
    requests: &[EncodedRequest],
    connections: usize,
    per_second: Option<u64>,
    until: Until,
    first_serial: u64,
) -> Outcome {
    let serial = Arc::new(AtomicU64::new(first_serial));
    let begin = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|connection| {
            let share = requests.iter().skip(connection).step_by(connections).cloned().collect();
            let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("address is a valid authority");
            tokio::spawn(send_one(endpoint, share, per_second, until, Arc::clone(&serial), first_serial, begin))
        })
        .collect();
    let mut all = Outcome::default();
    for task in tasks {
        all.add(task.await.expect("a sender does not panic"));
    }
    all.elapsed = begin.elapsed();
    all.ack_ms.sort_by(f64::total_cmp);
    all
}

async fn send_one(
    endpoint: Endpoint,
    mut requests: Vec<EncodedRequest>,
    per_second: Option<u64>,
    until: Until,
    serial: Arc<AtomicU64>,
    first_serial: u64,
    begin: Instant,
) -> Outcome {
    let channel = endpoint.connect().await.expect("the collector is listening");
    let mut client = tonic::client::Grpc::new(channel);
    let mut outcome = Outcome::default();
    let n_requests = requests.len();
    for turn in 0.. {
        let number = serial.fetch_add(1, Ordering::Relaxed);
        let sent = number - first_serial;
        let is_over = match until {
            Until::Elapsed(limit) => begin.elapsed() >= limit,
            Until::Sent(limit) => sent >= limit,
        };
        if is_over {
            break;
        }
        let due =
            per_second.map_or_else(Instant::now, |rate| begin + Duration::from_nanos(sent * 1_000_000_000 / rate));
        tokio::time::sleep_until(due.into()).await;
        let request = &mut requests[turn % n_requests];
        let (bytes, n_spans) = (request.with_serial(number), request.n_spans);
        while let Err(status) = export(&mut client, bytes.clone()).await {
            assert!(is_retryable(&status), "the collector refused a valid request: {status}");
            outcome.retried += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        outcome.ack_ms.push(due.elapsed().as_secs_f64() * 1e3);
        outcome.accepted_spans += n_spans as u64;
        outcome.serials.push(number);
    }
    outcome
}

fn is_retryable(status: &Status) -> bool {
    matches!(status.code(), tonic::Code::Unavailable | tonic::Code::ResourceExhausted)
}

async fn export(client: &mut tonic::client::Grpc<Channel>, bytes: Bytes) -> Result<(), Status> {
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let answer = client.unary(Request::new(bytes), http::uri::PathAndQuery::from_static(path), Raw).await?;
    assert!(answer.get_ref().is_empty(), "part of a valid request was rejected: {:?}", answer.get_ref());
    Ok(())
}

/// A codec that passes bytes on.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}
