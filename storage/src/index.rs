//! Trace index: which rows of a segment may belong to a trace. A cache beside the segment, never the truth.
//!
//! Rows of one trace are scattered over a segment, because it is sorted by service and time. Without an index a
//! reader has to look at every row group; with it, at the few pages that hold the trace.
//!
//! | file         | knows                                                                     |
//! |--------------|---------------------------------------------------------------------------|
//! | `format.rs`  | bytes of a `.tix` file; see docs/formats/tix.md                           |
//! | `ranges.rs`  | [`RowRanges`], the answer                                                 |
//! | `lookup.rs`  | looking up a trace in many segments; a bounded cache of the files' tops   |
//!
//! An index file is written in the same pass as its segment. One that is missing or damaged is built again from
//! the segment when it is first asked for.

mod format;
mod lookup;
mod ranges;

pub(crate) use format::IndexBuilder;
pub(crate) use lookup::TraceIndexes;
pub use lookup::TraceRows;
pub use ranges::RowRanges;

/// The column that is indexed, in every table that has it.
pub(crate) const INDEXED_COLUMN: &str = "trace_id";

/// The first 8 bytes of a trace id, as a number. Others may share it: whoever reads the rows compares whole ids.
pub(crate) fn prefix(trace_id: &[u8]) -> Option<u64> {
    trace_id.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes))
}
