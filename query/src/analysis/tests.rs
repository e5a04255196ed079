//! Tests of the whole: fixtures with hand-written expectations, drawings, laws.
//!
//! | file               | holds                                                                  |
//! |--------------------|------------------------------------------------------------------------|
//! | `otlp.rs`          | reads the fixtures                                                     |
//! | `draw.rs`          | reads drawings                                                         |
//! | `fixtures.rs`      | tests/fixtures/journeys                                                |
//! | `classes.rs`       | one drawing or table per row of classification                         |
//! | `messages.rs`      | attempts, batches, message names                                       |
//! | `paths.rs`         | critical paths and clock skew, the worked examples among them          |
//! | `maps.rs`          | comparison and map                                                     |
//! | `scenarios.rs`     | findings, joins and partial data that no fixture covers                |
//! | `laws.rs`          | properties over random and hostile graphs                              |

mod classes;
pub(crate) mod draw;
mod fixtures;
mod laws;
mod maps;
mod messages;
pub(crate) mod otlp;
mod paths;
mod scenarios;
