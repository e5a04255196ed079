//! Segments: immutable Parquet files with rows of one table and one UTC day.
//!
//! | file        | knows                                                              |
//! |-------------|--------------------------------------------------------------------|
//! | `order.rs`  | which row goes where: by day, then by the table's sort order; pure |
//! | `gather.rs` | rows of many batches in a given order, a row group at a time       |
//! | `layout.rs` | encodings and statistics by kind of column                         |
//! | `writer.rs` | a generation of the buffer into files, durable under their names   |
//! | `scan.rs`   | rows of a segment through the object store                         |
//! | `stats.rs`  | what the table log says about a file without opening it            |

mod gather;
mod layout;
mod order;
mod scan;
pub(crate) mod stats;
mod writer;

pub(crate) use gather::{Run, gather_runs};
pub(crate) use layout::Shape;
pub(crate) use order::sorted;
pub(crate) use scan::{SegmentScan, column_bytes};
pub(crate) use writer::{InFlight, SegmentWriter, Target, Written, remove, write};

#[cfg(test)]
mod tests;
