//! What does each stage between the bytes of a request and rows in a segment cost?
//!
//! In one process and without a network, each stage on top of the one before, with the same requests (512 spans
//! of 490 B, none sent twice):
//!
//! | stage          | what runs                                                    | expected, CPU us per span     |
//! |----------------|--------------------------------------------------------------|-------------------------------|
//! | decode         | bytes to batches, then dropped                               | 0.7 walker + 0.3 columns      |
//! | + WAL          | encode a record, write, sync, buffer; nothing reaches a segment | + IPC copy of 400 B 0.1, zstd 0.3, write 0.1 |
//! | + flush        | the usual write buffer: sort, copy, Parquet, index, commit   | + 0.6 sort and copy, 1.6 Parquet |
//!
//! The same for number points. Baseline in the same run: prost decoding into structs.
//! `BENCH_MILLION_SPANS` (1) sets the load of each stage.

#![expect(clippy::print_stdout, reason = "a bench prints its results")]
#![allow(clippy::disallowed_methods, reason = "a bench runs in the world's time")]

#[allow(dead_code, unreachable_pub, reason = "each bench uses the part it needs")]
mod load;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use collector::{Encoding, Signal, to_batches};
use model::{TenantId, UnixNanos};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use storage::{Appender, Storage, SystemClock};

use load::requests::EncodedRequest;
use load::{own_cpu_seconds, points, setting, spans, unix_nanos};

/// As in the collector.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Requests being worked on at a time.
const AT_ONCE: usize = 8;
/// Items of one round of the WAL's stage: what the write buffer usually holds.
const ROUND_ITEMS: u64 = 160_000;

#[tokio::main]
async fn main() {
    let n_items = setting("BENCH_MILLION_SPANS", 1) * 1_000_000;
    println!("{:<28} {:>10} {:>8}", "", "items/s", "CPU s/M");
    run("spans", Signal::Traces, spans::encode(96, 512).into(), n_items, |bytes| {
        std::hint::black_box(ExportTraceServiceRequest::decode(bytes).expect("encoded above"));
    })
    .await;
    run("points", Signal::Metrics, points::encode(96, 1000).into(), n_items, |bytes| {
        std::hint::black_box(ExportMetricsServiceRequest::decode(bytes).expect("encoded above"));
    })
    .await;
}

async fn run(
    items: &str,
    signal: Signal,
    requests: Arc<[EncodedRequest]>,
    n_items: u64,
    prost: impl Fn(Bytes) + Copy + Send + Sync + 'static,
) {
    let load = Load { requests, n_items };
    let wanted = std::env::var("BENCH_ONLY").unwrap_or_default();
    let is_wanted = |stage: &str| format!("{items}, {stage}").contains(&wanted);
    let sender = load.work(|bytes| async { drop(bytes) }).await;
    println!("{items}, {:<20} {:>10.0} {:>8.2}  taken off below", "sender alone", sender.rate, sender.cpu);
    let show = |stage: &str, cost: Cost| {
        println!("{items}, {stage:<20} {:>10.0} {:>8.2}", cost.rate, cost.cpu - sender.cpu);
    };
    if is_wanted("prost") {
        show("prost (baseline)", load.work(move |bytes| async move { prost(bytes) }).await);
    }
    if is_wanted("decode") {
        let decode = move |bytes: Bytes| async move {
            std::hint::black_box(batches(signal, &bytes));
        };
        show("decode", load.work(decode).await);
    }
    if is_wanted("WAL") {
        let (mut cpu, mut wal_bytes, mut seconds) = (0.0, 0, 0.0);
        // In rounds, with a folder of its own each: a buffer that only grows would measure fresh memory.
        let round = Load { requests: Arc::clone(&load.requests), n_items: ROUND_ITEMS };
        let n_rounds = n_items.div_ceil(ROUND_ITEMS);
        for _ in 0..n_rounds {
            let data = tempfile::tempdir().expect("a temporary folder");
            let endless = storage::Config {
                data: data.path().to_owned(),
                buffer_bytes_max: 1 << 40,
                buffer_age_max_s: 3600,
                ..storage::Config::default()
            };
            let storage = Storage::open(endless, Arc::new(SystemClock)).await.expect("a fresh folder");
            let appender = storage.appender();
            let cost = round.work(move |bytes| append(appender.clone(), signal, bytes)).await;
            cpu += cost.cpu / n_rounds as f64;
            seconds += ROUND_ITEMS as f64 / cost.rate;
            wal_bytes += storage.reader().status().wal_bytes;
        }
        let n_items = (n_rounds * ROUND_ITEMS) as f64;
        show("+ WAL", Cost { rate: n_items / seconds, cpu });
        println!("{items}, {:<20} {:>10.1} bytes an item", "  in the WAL", wal_bytes as f64 / n_items);
    }
    if is_wanted("flush") {
        let data = tempfile::tempdir().expect("a temporary folder");
        let usual = storage::Config { data: data.path().to_owned(), ..storage::Config::default() };
        let storage = Storage::open(usual, Arc::new(SystemClock)).await.expect("a fresh folder");
        let appender = storage.appender();
        let (begin, cpu) = (Instant::now(), own_cpu_seconds());
        load.work(move |bytes| append(appender.clone(), signal, bytes)).await;
        storage.close().await.expect("everything can be written");
        let millions = n_items as f64 / 1e6;
        show(
            "+ flush",
            Cost { rate: n_items as f64 / begin.elapsed().as_secs_f64(), cpu: (own_cpu_seconds() - cpu) / millions },
        );
        let bytes = load::server::folder_bytes(data.path());
        println!("{items}, {:<20} {:>10.1} bytes an item", "  at rest", bytes as f64 / n_items as f64);
    }
}

struct Load {
    requests: Arc<[EncodedRequest]>,
    n_items: u64,
}

struct Cost {
    /// Items per second.
    rate: f64,
    /// CPU seconds per million items.
    cpu: f64,
}

impl Load {
    /// Lets a few tasks work on requests until all items are through.
    async fn work<F, Done>(&self, one: F) -> Cost
    where
        F: Fn(Bytes) -> Done + Clone + Send + 'static,
        Done: Future<Output = ()> + Send,
    {
        let n_requests = self.n_items / self.requests[0].n_items as u64;
        let next = Arc::new(AtomicU64::new(0));
        let (begin, cpu) = (Instant::now(), own_cpu_seconds());
        let tasks: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let (requests, next, one) = (Arc::clone(&self.requests), Arc::clone(&next), one.clone());
                tokio::spawn(async move {
                    loop {
                        let serial = next.fetch_add(1, Ordering::Relaxed);
                        if serial >= n_requests {
                            return;
                        }
                        one(requests[serial as usize % requests.len()].message(serial, unix_nanos())).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no stage panics");
        }
        let millions = self.n_items as f64 / 1e6;
        Cost { rate: self.n_items as f64 / begin.elapsed().as_secs_f64(), cpu: (own_cpu_seconds() - cpu) / millions }
    }
}

fn batches(signal: Signal, bytes: &[u8]) -> Vec<storage::Batch> {
    let now = UnixNanos(unix_nanos() as i64);
    let (batches, outcome) = to_batches(signal, Encoding::Protobuf, bytes, now, UnixNanos(0)).expect("a valid request");
    assert_eq!(outcome.rejected_total(), 0, "every item is valid");
    batches
}

async fn append(appender: Appender, signal: Signal, bytes: Bytes) {
    let tenant = TenantId::default_tenant();
    loop {
        match appender.append(&tenant, batches(signal, &bytes)).await {
            Ok(()) => return,
            // The flush is behind.
            Err(storage::Error::Full { .. }) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            Err(error) => panic!("{error}"),
        }
    }
}
