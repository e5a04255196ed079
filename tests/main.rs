//! The proof: one test binary that starts the real executable and talks to it as its users do.
//!
//! | file              | promise                                                                        |
//! |-------------------|--------------------------------------------------------------------------------|
//! | `harness.rs`      | no test: starts and kills the collector, speaks OTLP and SQL to it              |
//! | `in_out.rs`       | what was sent comes out again, field by field, whatever transport it took        |
//! | `journeys.rs`     | a request is followed over all its traces                                        |
//! | `sdks.rs`         | every item sent by a real SDK (Python, Node) is found, over every transport      |
//! | `senders.rs`      | nothing is lost on the way from SDKs (Go, Rust, Java), telemetrygen, rotel and a Collector, over restarts |
//! | `visible.rs`      | what was acknowledged is seen by the very next question                         |
//! | `crash.rs`        | what was acknowledged survives kill -9 under load                                |
//! | `digest.rs`       | settled journeys are at rest exactly once, whatever kills the collector          |
//! | `faults.rs`       | crashes at any call of the system, failing and slow disks, damaged files, long replays |
//! | `storage_command.rs` | `hodoscope storage` shows, checks, copies and mends what is stored            |
//! | `alerts.rs`       | alerts fire, are told and resolve, whatever is killed or dead                    |
//! | `alert_findings.rs` | rules over findings fire for real telemetry that holds the problem             |
//! | `starter_rules.rs` | rules are proposed from what was seen, and accepted by one request               |
//! | `bad_rules.rs`    | rules that cannot work say so and disturb no other                              |
//! | `bad_input.rs`    | bad input gets an answer that helps, and the process lives                       |
//! | `bombs.rs`        | memory stays within its budget, whatever is sent                                |
//! | `bad_start.rs`    | a start that cannot work ends with a clear message; a full disk refuses and heals |
//! | `keys.rs`         | nobody gets in without a key when there are keys, and each sees its own tenant      |
//! | `redaction.rs`    | what must not be kept is in no file and no answer                               |
//! | `tls.rs`          | every port speaks TLS, certificates are renewed under way, senders show theirs      |
//! | `supply_chain.rs` | what we are built from: licences, sources, nothing banned or doubled, no `unsafe`, the bill  |
//! | `packaging.rs`    | what is packaged starts                                                         |
//! | `sql.rs`          | SQL reads and nothing else; work stops with its reader; long answers come in pieces    |
//! | `metrics.rs`      | metrics of every kind over time, with resets, gaps, quantiles and exemplars      |
//! | `flight.rs`       | the ADBC driver for Python reads through Arrow Flight SQL                       |
//! | `search.rs`       | filters, histogram, facets, what differs and the live stream agree with what was sent |
//! | `bucket.rs`       | a bucket alone keeps what was acknowledged, whatever the store does             |
//! | `open_data.rs`    | DuckDB, delta-rs and Polars find in the live tables what our SQL finds            |
//! | `conformance.rs`  | the rules of the specification, one test per rule id                             |
//! | `browser.rs`      | a person finds a trace and reads its waterfall in a browser                      |
//! | `slow_peers.rs`   | who connects and hardly sends holds nobody up                                   |
//! | `hostile.rs`      | a hundred payloads in every field and every view run nowhere                    |
//! | `openapi.rs`      | long runs: schemathesis finds no server error and no answer that the document does not tell |
//! | `fuzz.rs`         | what the fuzzer knows and ever found does no harm any more                      |
//! | `demo.rs`         | the demo fills every page                                                       |
//! | `docs.rs`         | generated pages are fresh                                                       |
//! | `rules.rs`        | every rule of the specification is named by a test                               |
//! | `own_traces.rs`   | the collector keeps traces of itself, and none of keeping them                   |
//! | `soak.rs`         | nothing grows under a load that goes on                                         |
//! | `architecture.rs` | the walls between the rooms stand                                               |
//!
//! `tests/setup.sh` installs what the live clients need. A test whose tools are missing prints a line and
//! passes; with `HODOSCOPE_REQUIRE_ALL=1` it fails instead. `HODOSCOPE_TEST_BINARY` names another executable, such as a
//! release build; `HODOSCOPE_KILL_CYCLES` another number of kills. `HODOSCOPE_LONG=1` runs the long form of tests that
//! have one (`make test-long`).

#![allow(clippy::disallowed_methods, reason = "the tests live in the world's time and wait for it")]
#![allow(clippy::print_stdout, reason = "tests print what they measured")]
#![allow(clippy::needless_pass_by_value, reason = "json!(...) as an argument reads better without a mark")]
#![allow(unreachable_pub, reason = "the harness is a library inside this binary")]

mod alert_findings;
mod alerts;
mod architecture;
mod bad_input;
mod bad_rules;
mod bad_start;
mod bombs;
mod browser;
mod bucket;
mod conformance;
mod crash;
mod demo;
mod digest;
mod docs;
mod faults;
mod flight;
mod fuzz;
mod harness;
mod hostile;
mod in_out;
mod journeys;
mod kept;
mod keys;
mod metrics;
mod open_data;
mod openapi;
mod over_many;
mod own_traces;
mod packaging;
mod redaction;
mod rules;
mod sdks;
mod search;
mod senders;
mod slow_peers;
mod soak;
mod sql;
mod starter_rules;
mod storage_command;
mod supply_chain;
mod tls;
mod visible;
