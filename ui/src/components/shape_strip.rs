//! The picture of a trace in a table row: which service worked when, on one scale for all rows in view.

use api::{JourneyItem, SearchItem, SqlRequest, TraceItem};
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::app::Shared;
use crate::client;
use crate::view::shape::{ASKED_MAX, PIECES_MAX, Piece, Pieces, Place, forget, keep, pieces, question};

/// Time that is looked at for the pieces of a list at most, in nanoseconds, unless all that is stored for its range is little.
const LOOKED_AT_NANOS: u64 = 600_000_000_000;
/// Journeys of which the pieces are kept; with more all that are not in the list are forgotten, and asked for again where they are seen.
const KEPT_MAX: usize = 2_000;
/// Little: so many journeys.
const FEW: u64 = 50_000;

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

/// The pieces of the journeys of a list, asked for once the list stands: they are a picture beside the numbers, and come when they
/// come. `n_journeys` says how many there are in the range; among too many those of a long time are not looked for.
pub(crate) fn pieces_of(
    items: impl Fn() -> Vec<SearchItem> + 'static,
    n_journeys: impl Fn() -> Option<u64> + 'static,
) -> RwSignal<Pieces> {
    let found = RwSignal::new(Pieces::new());
    Effect::new(move |_| {
        let (items, few) = (items(), n_journeys().is_some_and(|count| count <= FEW));
        let missing: Vec<&JourneyItem> = found.with_untracked(|found| {
            let journeys =
                items.iter().filter_map(|item| if let SearchItem::Journey(item) = item { Some(item) } else { None });
            journeys.filter(|item| !found.contains_key(&item.id)).take(ASKED_MAX).collect()
        });
        let Some((sql, nanos)) = question(&missing) else { return };
        if nanos > LOOKED_AT_NANOS && !few {
            return;
        }
        let ids: Vec<String> = missing.iter().map(|item| item.id.clone()).collect();
        // What is on its way, or has none, is not asked for again.
        found.update_untracked(|found| {
            if found.len() > KEPT_MAX {
                // Rows of the list stand there with their picture: those stay.
                keep(found, &items);
            }
            found.extend(ids.iter().map(|id| (id.clone(), Vec::new())));
        });
        spawn_local(async move {
            let request = SqlRequest { sql, limit: Some(PIECES_MAX), ..SqlRequest::default() };
            match client::sql(&request).await {
                Ok(answer) => {
                    let came = pieces(&answer.rows, answer.rows.len() >= PIECES_MAX);
                    found.try_update(|found| found.extend(came));
                }
                // Nothing was heard of them: they are asked for with the next list.
                Err(_) => {
                    found.try_update(|found| forget(found, &ids));
                }
            }
        });
    });
    found
}

/// A journey true to scale: until the answer at its entry, below it the other services that it waited for, below them hatched what it
/// waited in brokers and between attempts. Until its pieces are there, three lengths.
pub(crate) fn journey_shape(
    shared: Shared,
    item: &JourneyItem,
    scale_nanos: u64,
    known: RwSignal<Pieces>,
) -> impl IntoView + use<> {
    let item = item.clone();
    let own = Memo::new({
        let id = item.id.clone();
        move |_| known.with(|known| known.get(&id).filter(|pieces| !pieces.is_empty()).cloned())
    });
    move || match own.get() {
        Some(pieces) => journey_way(shared, &item, scale_nanos, &pieces).into_any(),
        None => journey_strip(shared, &item, scale_nanos).into_any(),
    }
}

fn journey_way(shared: Shared, item: &JourneyItem, scale_nanos: u64, pieces: &[Piece]) -> impl IntoView + use<> {
    let longest = item.settled_nanos.max(item.response_nanos);
    let scale = WIDTH / (scale_nanos.max(longest).max(1) as f64);
    let is_cut = longest > scale_nanos;
    let begin = item.start_unix_nano.parse::<i64>().unwrap_or_default();
    let length = |nanos: u64| format!("{:.1}px", (nanos as f64 * scale).max(1.5));
    let hot = item.wait_nanos.saturating_mul(4) >= item.settled_nanos.max(1);
    let color = if item.error { "err".to_owned() } else { shared.color_class(&item.service) };
    let parts: Vec<_> = pieces
        .iter()
        .filter_map(|piece| {
            let class = match &piece.place {
                // Its own line says that already.
                Place::Service(service) if *service == item.service => {
                    let is_after =
                        piece.start.saturating_sub(begin) > i64::try_from(item.response_nanos).unwrap_or(i64::MAX);
                    is_after.then(|| format!("other {}", shared.color_class(service)))?
                }
                Place::Service(service) => format!("other {}", shared.color_class(service)),
                Place::Queue if hot => "hatch hot".to_owned(),
                Place::Queue => "hatch".to_owned(),
                Place::Backoff => "hatch bad".to_owned(),
                Place::Elsewhere => return None,
            };
            let left = (piece.start.saturating_sub(begin).max(0) as f64 * scale).min(WIDTH - 1.5);
            Some(view! { <i class=class style:left=format!("{left:.1}px") style:width=length(piece.nanos)></i> })
        })
        .collect();
    view! {
        <span class="lengths way" class:cut=is_cut aria-hidden="true">
            <i class=format!("own {color}") style:width=length(item.response_nanos)></i>
            {parts}
        </span>
    }
}

/// Three lengths of one journey, true to scale: to the answer (solid), waited in brokers (hatched), to the last effect
/// (line). Where between them the waits lie is not known to the list.
fn journey_strip(shared: Shared, item: &JourneyItem, scale_nanos: u64) -> impl IntoView + use<> {
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
