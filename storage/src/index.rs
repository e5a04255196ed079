//! Index of a segment: which of its rows may carry an id. A cache beside the segment, never the truth.
//!
//! Rows of one trace are scattered over a segment, because it is sorted by service, name and time. Without an index
//! a reader has to look at every row group; with it, at the few pages that hold the trace. The same goes for the other
//! ways in which traces are joined: who links to this trace, and who carries this message.
//!
//! | file         | knows                                                                     |
//! |--------------|---------------------------------------------------------------------------|
//! | `format.rs`  | bytes of a `.tix` file; see docs/formats/tix.md                           |
//! | `build.rs`   | which ids of a batch are indexed                                          |
//! | `ranges.rs`  | [`RowRanges`], the answer                                                 |
//! | `lookup.rs`  | looking up an id in many segments; a bounded cache of heads and filters   |
//!
//! An index file is written in the same pass as its segment. One that is missing or damaged is built again from
//! the segment when it is first asked for.

mod build;
pub(crate) mod format;
mod lookup;
mod ranges;

pub(crate) use build::{IndexBuilder, rows_with};
pub(crate) use lookup::Indexes;
pub use lookup::SegmentRows;
pub use ranges::RowRanges;

use crate::table::Table;

/// What rows are found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum By {
    /// Rows of a trace.
    Trace,
    /// Rows that link to a trace.
    LinkTarget,
    /// Rows that carry a message.
    Message,
    /// Rows that carry a message of a conversation.
    Conversation,
}

impl By {
    /// Every kind, in the order of the sections of a file.
    pub(crate) const ALL: [Self; 4] = [Self::Trace, Self::LinkTarget, Self::Message, Self::Conversation];

    /// The kinds that a table is indexed by; empty for a table without an index.
    pub(crate) fn of(table: &'static Table) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|by| table.column(by.column()).is_some())
    }

    /// The column that holds the id, in every table that has it.
    pub(crate) const fn column(self) -> &'static str {
        match self {
            Self::Trace => "trace_id",
            Self::LinkTarget => "links",
            Self::Message => "messaging_message_id",
            Self::Conversation => "messaging_conversation_id",
        }
    }

    /// Its number in files.
    const fn code(self) -> u32 {
        match self {
            Self::Trace => 1,
            Self::LinkTarget => 2,
            Self::Message => 3,
            Self::Conversation => 4,
        }
    }
}

/// What stands for an id in an index: 40 bits of its hash. Other ids may share it, so whoever reads the rows compares
/// whole ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(u64);

impl Key {
    const BITS: u32 = 40;

    /// The hash is XXH64 with seed 0.
    pub(crate) fn of(id: &[u8]) -> Self {
        Self(twox_hash::XxHash64::oneshot(0, id) >> (64 - Self::BITS))
    }
}
