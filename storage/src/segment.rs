//! Segments: immutable Parquet files with rows of one table and one UTC day.
//!
//! | file        | knows                                                              |
//! |-------------|--------------------------------------------------------------------|
//! | `order.rs`  | which row goes where: by day, then by the table's sort order; pure |
//! | `gather.rs` | rows of many batches in a given order, a row group at a time       |
//! | `layout.rs` | encodings, statistics and bloom filters by kind of column          |
//! | `reader.rs` | reading a segment from its object store                            |
//! | `writer.rs` | a generation of the buffer into files, durable under their names   |
//! | `stats.rs`  | what the table log says about a file without opening it            |

mod gather;
mod layout;
mod order;
mod reader;
pub(crate) mod stats;
mod writer;

pub(crate) use reader::SegmentReader;
pub(crate) use writer::{Target, Written, remove, write};

#[cfg(test)]
mod tests;
