//! OTLP messages to rows: the only place where protobuf fields meet column names. Pure.
//!
//! | file              | knows                                                                        |
//! |-------------------|------------------------------------------------------------------------------|
//! | `spans.rs`        | one span to one row                                                          |
//! | `logs.rs`         | one log record to one row                                                    |
//! | `metrics.rs`      | one data point to one row, exemplars to rows of their own                    |
//! | `origin.rs`       | resource and scope: computed once, filled into all their rows                |
//! | `attributes.rs`   | which attribute goes to a column and which to the list                       |
//! | `text.rs`         | attributes, resources and scopes as OTLP/JSON text                           |
//! | `series.rs`       | the stable number of a series                                                |
//! | `columns.rs`      | column builders: labels, sparse columns, lists                               |
//! | `json.rs` `json/` | OTLP/JSON to the same messages that protobuf gives                           |
//!
//! A mapping takes a decoded request, sanitizes item by item, and gives batches plus an
//! [`Outcome`](crate::outcome::Outcome). A large request becomes several batches, so that none is larger than a WAL record may be.

mod attributes;
mod columns;
pub(crate) mod json;
pub(crate) mod logs;
pub(crate) mod metrics;
mod origin;
mod series;
pub(crate) mod spans;
mod text;

/// A batch is closed at this many rows or, for items of a large request, encoded bytes.
const BATCH_ROWS_MAX: usize = 32 << 10;
const BATCH_BYTES_MAX: usize = 8 << 20;
