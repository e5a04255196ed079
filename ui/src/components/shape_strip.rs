//! The picture of a trace in a table row: which service worked when, on one scale for all rows in view.

use api::{JourneyItem, TraceItem};
use leptos::prelude::*;

use crate::app::Shared;

/// Width of the strip in pixels; the slowest trace in view fills it.
const WIDTH: f64 = 230.0;
/// Height of the strip, of a bar, and from bar to bar.
const HEIGHT: f64 = 20.0;
const BAR: f64 = 2.5;
const PITCH: f64 = 3.0;

/// Draws the bars of one trace; `scale_nanos` is the duration that fills the width. A longer trace is drawn
/// to its own length, with a broken line under it.
pub(crate) fn shape_strip(shared: Shared, item: &TraceItem, scale_nanos: u64) -> impl IntoView + use<> {
    let is_cut = item.duration_nanos > scale_nanos;
    let scale = WIDTH / (scale_nanos.max(item.duration_nanos).max(1) as f64);
    let n_rows = f64::from(item.shape.iter().map(|bar| bar.row).max().unwrap_or(0)) + 1.0;
    let pitch = PITCH.min((HEIGHT - 2.0 - BAR) / (n_rows - 1.0).max(1.0));
    let top = ((HEIGHT - BAR - pitch * (n_rows - 1.0)) / 2.0).min(4.0);
    let bars: Vec<_> = item
        .shape
        .iter()
        .map(|bar| {
            let service = item.services.get(bar.service as usize).map_or("", |share| share.name.as_str());
            let class = if bar.error { "err".to_owned() } else { shared.color_class(service) };
            let x = (bar.offset_nanos as f64 * scale).min(WIDTH - 1.5);
            let width = (bar.duration_nanos as f64 * scale).clamp(1.5, (WIDTH - x).max(1.5));
            let y = top + f64::from(bar.row) * pitch;
            view! { <rect class=class x=format!("{x:.1}") y=format!("{y:.1}") width=format!("{width:.1}") height=BAR rx="1"/> }
        })
        .collect();
    let broken = is_cut.then(|| view! { <path class="cut" d="M0 19.5h230"/> });
    let title = if is_cut { "Longer than the others: drawn to its own length" } else { "" };
    view! { <span title=title><svg class="strip" width=WIDTH height=HEIGHT aria-hidden="true">{bars}{broken}</svg></span> }
}

/// Three lengths of one journey, true to scale: to the answer (solid), waited in brokers (hatched), to the last effect
/// (line). Where between them the waits lie is not known to the list.
pub(crate) fn journey_strip(shared: Shared, item: &JourneyItem, scale_nanos: u64) -> impl IntoView + use<> {
    let longest = item.settled_nanos.max(item.response_nanos);
    let is_cut = longest > scale_nanos;
    let scale = WIDTH / (scale_nanos.max(longest).max(1) as f64);
    let length = |nanos: u64| format!("{:.1}px", (nanos as f64 * scale).max(1.5));
    let color = if item.error { "err".to_owned() } else { shared.color_class(&item.service) };
    let waits = item.wait_nanos > 0;
    let hot = item.wait_nanos.saturating_mul(4) >= item.settled_nanos.max(1);
    view! {
        <span class="lengths" class:cut=is_cut aria-hidden="true">
            <i class=format!("own {color}") style:width=length(item.response_nanos)></i>
            {waits.then(|| view! { <i class=if hot { "hatch hot" } else { "hatch" } style:width=length(item.wait_nanos)></i> })}
            <i class="whole" style:width=length(item.settled_nanos)></i>
        </span>
    }
}
