//! Snapshot in, answer out: SQL, traces, search, journeys, HTTP.
//!
//! | file           | knows                                                                  |
//! |----------------|------------------------------------------------------------------------|
//! | `engine.rs`    | one question over one snapshot, on threads of its own, within limits   |
//! | `tables.rs`    | everything that can be named in a FROM clause                          |
//! | `functions.rs` | SQL functions of our own                                               |
//! | `sql.rs`       | a read-only statement and its answer in four encodings                 |
//! | `trace.rs`     | rows by id, tree, timeline, detail, OTLP                               |
//! | `search.rs`    | filter text, newest or slowest, pages                                  |
//! | `flight.rs`    | the same statements through Arrow Flight SQL                            |
//! | `live.rs`      | rows that match, as they become visible                                 |
//! | `analysis.rs`  | what a span is, who called whom: pure                                  |
//! | `digest.rs`    | settled journeys and their parts at rest                               |
//! | `journey.rs`   | a request over all its traces                                          |
//! | `compare.rs`   | two journeys, one against the usual, ways of communicating             |
//! | `map.rs`       | who talks to whom in a time range, and what changed                    |
//! | `metrics.rs`   | which metrics there are, and one of them over time                     |
//! | `red.rs`       | rate, errors and durations over time, from roll-ups                     |
//! | `services.rs`  | services in a time range, and one of them                              |
//! | `alert.rs`     | rules, their states, and who is told                                   |
//! | `times.rs`     | moments in requests                                                    |
//! | `http.rs`      | the table of routes, problems, answers                                 |
//! | `fuzz.rs`      | ways in for fuzzing, and for nothing else                              |
//!
//! The only room that has seen DataFusion; its types do not leave. Telemetry is never written from here.

mod alert;
pub mod analysis;
mod breakers;
mod compare;
mod config;
mod digest;
mod engine;
mod error;
mod findings;
mod flight;
mod functions;
#[doc(hidden)]
pub mod fuzz;
pub mod http;
mod journey;
mod kept;
mod live;
mod map;
mod metrics;
mod red;
mod rows;
mod search;
mod services;
mod sql;
mod tables;
#[cfg(test)]
mod testing;
mod times;
mod trace;

pub use alert::{Alerting, Alerts, Report, check_rules, test_rules};
pub use compare::{By, Other};
pub use config::Config;
pub use digest::{Digest, Figured};
pub use engine::Engine;
pub use error::{Error, Result};
pub use kept::Kept;
pub use live::{Live, LiveQuestion};
pub use metrics::{MetricQuestion, MetricsQuestion};
pub use red::RedQuestion;
pub use search::{DiffersQuestion, FacetsQuestion, Picture, Question};
pub use sql::{Format, SqlBody};
pub use tables::footers::Footers;
pub use trace::{Encoding, TraceDocument};
