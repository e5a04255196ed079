//! Compaction: many small segments into few large ones, in the same order, while everything goes on.
//!
//! | file       | knows                                                                    |
//! |------------|--------------------------------------------------------------------------|
//! | `plan.rs`  | which segments to merge next; pure                                       |
//! | `merge.rs` | rows of sorted inputs in order, as runs; pure                            |
//! | `run.rs`   | reads the inputs, writes the outputs                                     |
//!
//! ```text
//!   level 0   one per flush             ─┐  merged when they make a full segment,
//!   level 1   what a merge gave         ─┤  or are many, or wait for long
//!   level 2   what a second merge gave   │  a full segment is never touched again
//! ```
//!
//! Inputs and outputs are sorted alike, so a merge streams: its memory is a row group per input as it is in the file, and some
//! thousand rows, however large the segments are.
//! A merge changes nothing until its commit replaces the inputs by the outputs, as one fact; whatever happens
//! before leaves files that no version names, and vacuum removes those. When merges happen: `maintenance.rs`.

pub(crate) mod merge;
pub(crate) mod plan;
pub(crate) mod run;
