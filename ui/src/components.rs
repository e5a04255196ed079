//! Parts that render.
//!
//! | file              | draws                                                            |
//! |-------------------|------------------------------------------------------------------|
//! | `command_box.rs`  | the box at the top: everything by name or id                     |
//! | `frame.rs`        | rail, top bar, key sheet, messages                               |
//! | `time_range.rs`   | the range of time: presets, absolute, pasted                     |
//! | `download.rs`     | saves a file made on the page                                    |
//! | `environments.rs` | the choice of an environment                                     |
//! | `draw.rs`         | SVG nodes for drawings of many shapes                            |
//! | `icon.rs`         | line icons                                                       |
//! | `keys.rs`         | single-letter keys, ignored while typing                         |
//! | `states.rs`       | loading, empty and error faces                                   |
//! | `onboarding.rs`   | how to send the first span                                       |
//! | `spark.rs`        | lines over time                                                  |
//! | `sign_in.rs`      | asks for a key; signs out                                        |
//! | `shape_strip.rs`  | the true-scale picture of a trace in a table row                 |
//! | `token_bar.rs`    | the filter as conditions                                         |
//! | `virtual_table.rs`| a long table of which only rows on screen are nodes              |
//! | `waterfall.rs`    | virtual rows of a trace with minimap, ruler and match marks      |
//! | `journey.rs`      | one journey: swimlanes, hop table, inspector                     |
//! | `inspector.rs`    | one span in full                                                 |

pub(crate) mod command_box;
pub(crate) mod download;
pub(crate) mod draw;
pub(crate) mod environments;
pub(crate) mod frame;
pub(crate) mod icon;
pub(crate) mod inspector;
pub(crate) mod journey;
pub(crate) mod keys;
pub(crate) mod onboarding;
pub(crate) mod shape_strip;
pub(crate) mod sign_in;
pub(crate) mod spark;
pub(crate) mod states;
pub(crate) mod time_range;
pub(crate) mod token_bar;
pub(crate) mod virtual_table;
pub(crate) mod waterfall;
