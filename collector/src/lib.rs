//! OTLP in, batches out.
//!
//! The only room that has seen protobuf: past it, there are only batches. A request goes through it in a
//! straight line:
//!
//! ```text
//! receiver ─▶ decompress ─▶ decode ─▶ sanitize ─▶ columns ─▶ Appender::append ─▶ answer
//! ```
//!
//! | file                        | knows                                                              |
//! |-----------------------------|--------------------------------------------------------------------|
//! | `receiver.rs` `receiver/`   | OTLP over HTTP and gRPC: reading, answering, refusing               |
//! | `ingest.rs`                 | one request from its body to its answer                            |
//! | `decoders.rs`               | the threads that decode                                            |
//! | `otlp.rs` `otlp/`           | protobuf and OTLP/JSON to rows                                     |
//! | `sanitize.rs` `sanitize/`   | repairs on entry, one per file                                     |
//! | `outcome.rs`                | what became of each item, and how to say it                        |
//! | `admission.rs`              | what a tenant may send: rates and series                           |
//! | `budget.rs`                 | bytes in flight                                                    |
//! | `metrics.rs`                | what is counted about all this                                     |
//! | `own_traces.rs`             | traces of the collector itself                                     |
//! | `config.rs` `error.rs`      | settings; why a whole request was refused                          |
//! | `fuzz.rs`                   | ways in for fuzzing, and for nothing else                          |
//! | `demo.rs` `demo/`           | a made-up shop that sends telemetry, as any client would           |
//!
//! It offers routes and never sees a socket: that is the door's.

mod admission;
mod budget;
mod config;
mod decoders;
pub mod demo;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod ingest;
pub mod metrics;
mod otlp;
pub mod outcome;
mod own_traces;
mod receiver;
mod sanitize;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use storage::{Appender, Clock};

pub use config::{Config, RedactionConfig};
pub use error::{Error, Result};
pub use ingest::{Encoding, to_batches};
pub use metrics::Metrics;
pub use outcome::{Outcome, Reason, Signal};
pub use own_traces::OwnTracesTask;

/// Takes telemetry and hands it to storage. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Collector {
    ingest: Arc<ingest::Ingest>,
    own_traces: Option<own_traces::OwnTraces>,
}

impl Collector {
    /// A collector that appends to `appender` and refuses rows older than `retention`.
    ///
    /// # Errors
    /// One sentence for the person who wrote the configuration: a file that it names cannot be used.
    pub fn new(
        config: Config,
        retention: Duration,
        appender: Appender,
        clock: Arc<dyn Clock>,
    ) -> std::result::Result<Self, String> {
        Ok(Self { ingest: Arc::new(ingest::Ingest::new(config, retention, appender, clock)?), own_traces: None })
    }

    /// From now on keeps traces of its own, of requests to routes that go through [`Collector::traced`], if the settings say so. What it
    /// gives is to be closed before storage.
    pub fn start_own_traces(&mut self) -> OwnTracesTask {
        let (own, task) = own_traces::start(&self.ingest);
        self.own_traces = own;
        task
    }

    /// Routes, of this room or another, whose requests own traces are about.
    pub fn traced(&self, routes: Router) -> Router {
        own_traces::over(self.own_traces.as_ref(), routes)
    }

    /// Routes of OTLP/HTTP. They stand behind a door, which says who is asking.
    pub fn http_routes(&self) -> Router {
        self.traced(receiver::http::routes(&self.ingest))
    }

    /// Routes of OTLP/gRPC. They stand behind a door, which says who is asking.
    pub fn grpc_routes(&self) -> Router {
        self.traced(receiver::grpc::routes(&self.ingest))
    }

    /// What was counted so far.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.ingest.metrics)
    }

    /// Series of metrics that are active, of all tenants.
    pub fn active_series(&self) -> u64 {
        self.ingest.active_series()
    }

    /// From now on every new request is asked to come back later; those that are here finish.
    pub fn close(&self) {
        self.ingest.close();
    }
}

#[cfg(test)]
mod tests;
