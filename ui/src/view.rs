//! What a page shows, as plain values: layouts, texts and URLs without a browser.
//!
//! | file            | knows                                                              |
//! |-----------------|--------------------------------------------------------------------|
//! | `format.rs`     | durations, counts, bytes, ids as people read them                  |
//! | `clock.rs`      | moments and time ranges: UTC text out, absolute and relative in    |
//! | `url.rs`        | the state of each page as a query string and back                  |
//! | `condition.rs`  | the filter text as conditions that can be added and removed        |
//! | `jump.rs`       | what a text in the search box asks for                             |
//! | `command.rs`    | what the command box offers for a text                              |
//! | `color.rs`      | which colour slot a service has                                    |
//! | `columns.rs`    | columns of the table of Explore                                     |
//! | `span_tree.rs`  | spans in columns; which rows are open, folded, visible             |
//! | `timeline.rs`   | time to pixels, ruler ticks, zoom                                  |
//! | `environment.rs` | the environment that the reader looks at                           |
//! | `find.rs`       | matches of a text in names, services and ids                       |
//! | `alerts.rs`     | rules by how urgent they are, their last day, silences as text      |
//! | `attributes.rs` | attributes grouped by namespace, and as JSON                       |
//! | `saved_view.rs` | views of Explore that the server keeps                             |
//! | `scope.rs`      | the range of time and the environment that a page asks about     |
//! | `shape.rs`      | the scale of the pictures in a list                                |
//! | `behind.rs`     | the SQL behind the numbers of pages                                |
//! | `kept.rs`       | names of statements kept on the server                             |
//! | `journey.rs`    | the Journey tab: lanes, waits, critical path, hops, breakdown       |
//! | `heat.rs`       | a histogram over time as cells                                      |
//! | `heatmap.rs`    | time and duration to pixels and back                                |
//! | `map.rs`        | the service map in layers                                          |
//! | `metric.rs`     | one metric over time as text                                        |
//! | `partitions.rs` | waits of a queue by partition                                      |
//! | `plot.rs`       | lines over time as paths                                            |
//! | `namespaces.rs` | services by namespace, and the map of them                          |
//! | `names.rs`      | names of protocols and products as people write them               |
//! | `trend.rs`      | what went over an edge of the map, step by step                     |
//! | `stitched.rs`   | several traces of a journey as one list of spans                    |
//! | `sql_text.rs`   | SQL in pieces, and what may be completed                            |
//! | `snippets.rs`   | how to point an SDK at this server                                 |
//!
//! Nothing here touches the browser, so all of it is tested natively.

pub(crate) mod alerts;
pub(crate) mod attributes;
pub(crate) mod behind;
pub(crate) mod clock;
pub(crate) mod color;
pub(crate) mod columns;
pub(crate) mod command;
pub(crate) mod condition;
pub(crate) mod environment;
pub(crate) mod find;
pub(crate) mod format;
pub(crate) mod heat;
pub(crate) mod heatmap;
pub(crate) mod journey;
pub(crate) mod jump;
pub(crate) mod kept;
pub(crate) mod map;
pub(crate) mod metric;
pub(crate) mod names;
pub(crate) mod namespaces;
pub(crate) mod partitions;
pub(crate) mod plot;
pub(crate) mod saved_view;
pub(crate) mod scope;
pub(crate) mod shape;
pub(crate) mod snippets;
pub(crate) mod span_tree;
pub(crate) mod sql_text;
pub(crate) mod stitched;
pub(crate) mod timeline;
pub(crate) mod trend;
pub(crate) mod url;
