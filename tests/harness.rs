//! Starts the real collector in a folder of its own, talks to it as its users do, and always stops it.
//!
//! | file           | knows                                                                    |
//! |----------------|--------------------------------------------------------------------------|
//! | `server.rs`    | the process: start, `ready` line, kill, restart, what it said on stderr    |
//! | `otlp.rs`      | one request over gRPC, HTTP/protobuf or HTTP/JSON                         |
//! | `json.rs`      | OTLP/JSON to messages and back, written for the tests alone               |
//! | `canonical.rs` | requests in one canonical order, so that equal content is equal text      |
//! | `raw.rs`       | gRPC with bytes that need not be a message                                |
//! | `stores.rs`    | servers of S3 and other stores, and a proxy before them that makes faults   |
//! | `sql.rs`       | `POST /api/sql` and rows with typed reading                               |
//! | `fixtures.rs`  | recorded requests, moved to just before now                               |
//! | `generate.rs`  | made-up requests of any size                                              |
//! | `alerts.rs`    | a webhook that remembers, a collector that tells it                       |
//! | `way.rs`       | an address of the collector that outlives its restarts                    |
//! | `tools.rs`     | what `tests/setup.sh` installed, and what to do when it is missing        |

pub mod alerts;
pub mod canonical;
pub mod fixtures;
pub mod generate;
pub mod json;
pub mod otlp;
pub mod raw;
pub mod server;
pub mod sql;
pub mod stores;
pub mod tools;
pub mod way;

use std::future::Future;
use std::time::{Duration, Instant};

pub use otlp::{Request, Transport};
pub use server::{Collector, Server, Stopped};

/// Tests that take the whole machine for a while: one after the other.
static WHOLE_MACHINE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Waits until no other test takes the whole machine, and keeps it until the guard is dropped.
pub async fn whole_machine() -> tokio::sync::MutexGuard<'static, ()> {
    WHOLE_MACHINE.lock().await
}

/// Asks again until the answer is there.
///
/// # Panics
/// When `limit` has passed; `what` says what was waited for.
pub async fn wait_for<T, F: Future<Output = Option<T>>>(what: &str, limit: Duration, mut ask: impl FnMut() -> F) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < limit, "waited {limit:?} for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
