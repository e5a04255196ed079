//! From spans to communications, journeys, critical paths and findings: pure functions over plain values.
//!
//! No IO, no clock, no async, no `Result`: odd data gives warnings. Results do not depend on the order in
//! which spans arrived, on how they were batched, or on spans sent twice.
//!
//! ```text
//! Vec<Span> ─ Graph ─ calls ─┬─ edges ─ map over time, comparison
//!                    └ hops ─┤
//!                            └─ Journey ─ skew ─ critical paths ─ findings
//! ```
//!
//! | file               | knows                                                                   |
//! |--------------------|-------------------------------------------------------------------------|
//! | `span.rs`          | the input                                                               |
//! | `read.rs`          | one attribute by its new or older names, whatever its type              |
//! | `systems.rs`       | names of brokers, databases, destinations, paths                        |
//! | `service.rs`       | service and process of a span                                           |
//! | `classify.rs`      | style, protocol, system, role, operation, facets: rows R1-R12, F1-F3    |
//! | `facts.rs`         | the other details of a span that later steps need                       |
//! | `errors.rs`        | error and fault                                                         |
//! | `graph.rs`         | the set of spans: order, copies, parents, children                      |
//! | `node.rs`          | ends of edges                                                           |
//! | `calls.rs`         | synchronous steps                                                       |
//! | `hops.rs`          | messages: sends, deliveries, attempts, lag                              |
//! | `edges.rs`         | calls and hops added up                                                 |
//! | `statistics.rs`    | percentiles, exact and as a sketch                                      |

pub mod calls;
pub mod classify;
pub mod edges;
pub mod errors;
pub mod facts;
pub mod graph;
pub mod hops;
pub mod node;
mod read;
mod service;
pub mod span;
pub mod statistics;
pub mod systems;

#[cfg(test)]
mod tests;
