//! The Journey tab as plain values.
//!
//! ```text
//! answer ─ facts ─ picture ─ layout (scale) ─ shapes in pixels
//!             ├ hops ─ usual ─ verdict
//!             ├ breakdown
//!             └ flame, listing
//! ```
//!
//! | file           | knows                                                          |
//! |----------------|----------------------------------------------------------------|
//! | `cut.rs`       | joins that the reader does not believe                         |
//! | `facts.rs`     | the answer with positions for ids and offsets for moments      |
//! | `picture.rs`   | lanes, bars, waits, arrows, track: in time                     |
//! | `scale.rs`     | time to pixels, quiet stretches folded                         |
//! | `layout.rs`    | the picture in pixels                                          |
//! | `lanes.rs`     | which lanes the reader sees, and in which order                |
//! | `hops.rs`      | rows of the hop table, each against its usual                  |
//! | `breakdown.rs` | where the time went; adds up to the whole                      |
//! | `looked_at.rs` | what is said where no finding stands                           |
//! | `spread.rs`    | how long hops like one took                                    |
//! | `not_sent.rs`  | what is missing because nobody sent it, and what would bring it |
//! | `flame.rs`     | spans merged by service and name                               |
//! | `listing.rs`   | spans as a table, one by one or added up                       |
//!
//! What is slow, wrong or usual is the server's judgement; here it is only given a place.

pub(crate) mod breakdown;
pub(crate) mod cut;
pub(crate) mod facts;
pub(crate) mod flame;
pub(crate) mod hops;
pub(crate) mod lanes;
pub(crate) mod layout;
pub(crate) mod listing;
pub(crate) mod looked_at;
pub(crate) mod not_sent;
pub(crate) mod picture;
pub(crate) mod scale;
pub(crate) mod spread;

#[cfg(test)]
mod tests;
