//! The page: answers of the public HTTP API, laid out in the browser.
//!
//! | place         | knows                                                                  |
//! |---------------|------------------------------------------------------------------------|
//! | `bin/`        | the programs the page is made of, see [`trail`], [`desk`], [`watch`]    |
//! | `app.rs`      | routes, and what all pages share: theme, service colours, messages     |
//! | `asking.rs`   | questions of which only the newest answer counts                       |
//! | `client.rs`   | the only place that talks HTTP                                         |
//! | `pages/`      | one file a page                                                        |
//! | `components/` | parts that render                                                      |
//! | `view/`       | layouts, texts and URLs as plain values; tested without a browser      |
//!
//! `build.sh` turns this into `dist/`: a static shell that draws the frame at once, and this program as
//! wasm beside it. There is no private door: whatever a page shows, `curl` can get. Telemetry reaches the
//! page as text nodes only, styles through the style object only, so that the strictest content policy fits.

// Components own their properties: Leptos hands them over by value.
#![allow(clippy::needless_pass_by_value)]
// The component macro writes its functions as `pub`.
#![allow(unreachable_pub)]
#![recursion_limit = "256"]

mod app;
mod asking;
mod client;
mod components;
mod pages;
mod view;

/// The pages of one request: journeys, traces, comparisons. One of the programs; a browser loads the one its
/// address asks for (`boot.js` chooses) and changes over by loading the address again.
pub fn trail() {
    app::start(app::trail_routes);
}

/// The pages that list and add up: Home, Explore, map.
pub fn desk() {
    app::start(app::desk_routes);
}

/// The pages that watch and ask freely: services, metrics, SQL, alerts, system; and comparing two journeys.
pub fn watch() {
    app::start(app::watch_routes);
}
