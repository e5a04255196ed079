//! `GET /api/live?unit=journeys|traces|spans&q=`: server-sent events.
//!
//! | event     | data           | when                                                        |
//! |-----------|----------------|-------------------------------------------------------------|
//! | `items`   | [`LiveItems`]  | something matched since the last one; at most 4 per second  |
//! | `figures` | [`LiveFigures`] | once a second                                              |
//!
//! A stream holds what becomes visible after it was opened; what was there before is found by `GET /api/search`.

use serde::{Deserialize, Serialize};

use crate::SearchItem;

/// Hits since the last event of this kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LiveItems {
    /// The newest of them, newest first. With `unit=traces` an item is told from its root span alone: its counts grow
    /// in the list, not here.
    pub items: Vec<SearchItem>,
    /// Hits that are not among `items` because there were too many.
    pub left_out: u64,
    /// Rows that nobody looked at because they came faster than they could be compared, or the stream was read too
    /// slowly. 0: every row was compared.
    pub skipped: u64,
    /// Rows were lost to this stream before they could be counted: reload the list.
    pub gap: bool,
}

/// How fast rows come in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LiveFigures {
    /// When, by the collector's clock.
    pub at_unix_nano: String,
    /// Rows of the unit's table that became visible in the last second: spans, or settled journeys.
    pub rows_per_second: f64,
    /// Hits in the last second, those that were left out included.
    pub hits_per_second: f64,
    /// Rows that nobody looked at since the stream was opened.
    pub skipped: u64,
}
