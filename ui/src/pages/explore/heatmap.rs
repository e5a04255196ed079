//! Hits over time and duration: cells on one canvas, few hits as dots, failures along the foot; a rectangle drawn in
//! it selects.

use std::sync::Arc;

use api::HistogramAnswer;
use leptos::html;
use leptos::prelude::*;

use super::deploys::Deploys;
use crate::app::shared;
use crate::components::keys::on_key;
use crate::components::waterfall::sharp_context;
use crate::view::heatmap::{FOOT, LEFT, Plane, RIGHT, SHADES, TOP, shade};
use crate::view::url::{Brush, ExploreState};
use crate::view::{clock, format};

/// Height in pixels.
const HEIGHT: f64 = 236.0;
/// Height of the highest mark of failures.
const MARK: f64 = 16.0;

/// The picture of the whole answer.
#[component]
pub(super) fn Heatmap(
    state: Memo<ExploreState>,
    answer: RwSignal<Option<Arc<HistogramAnswer>>>,
    old: Signal<bool>,
    go: Callback<ExploreState>,
) -> impl IntoView {
    let shared = shared();
    let canvas = NodeRef::<html::Canvas>::new();
    let host = NodeRef::<html::Div>::new();
    let width = RwSignal::new(0.0_f64);
    let measure = move || {
        // A frame later the reader may be on another page.
        if let Some(host) = host.try_get_untracked().flatten() {
            width.try_set(f64::from(host.client_width()));
        }
    };
    Effect::new(move |_| {
        host.track();
        state.track();
        request_animation_frame(measure);
    });
    let handle = window_event_listener(leptos::ev::resize, move |_| measure());
    on_cleanup(move || handle.remove());
    let plane = Memo::new(move |_| {
        let answer = answer.get()?;
        let nanos = |text: &str| text.parse::<i64>().unwrap_or_default();
        let (from, to) = (nanos(&answer.from_unix_nano), nanos(&answer.to_unix_nano));
        (width.get() > 0.0).then(|| Plane::new(width.get(), HEIGHT, from, to, &answer.edges_nanos))
    });
    Effect::new(move |_| {
        let (Some(canvas), Some(plane), Some(answer)) = (canvas.get(), plane.get(), answer.get()) else { return };
        shared.theme.track();
        request_animation_frame(move || draw(&canvas, &plane, &answer));
    });

    // The rectangle that is being drawn: from, to.
    let drag = RwSignal::new(None::<((f64, f64), (f64, f64))>);
    let place = move |event: &web_sys::PointerEvent| {
        let frame = host.get_untracked().map(|host| host.get_bounding_client_rect());
        let (left, top) = frame.map_or((0.0, 0.0), |frame| (frame.left(), frame.top()));
        let (x, y) = (f64::from(event.client_x()) - left, f64::from(event.client_y()) - top);
        (x.clamp(LEFT, width.get_untracked() - RIGHT), y.clamp(TOP, HEIGHT - FOOT))
    };
    let select = move |brush: Option<Brush>| {
        let state = state.get_untracked();
        if state.brush != brush {
            go.run(ExploreState { brush, ..state });
        }
    };
    let down = move |event: web_sys::PointerEvent| {
        if event.button() == 0 {
            let at = place(&event);
            drag.set(Some((at, at)));
            if let Some(host) = host.get_untracked() {
                let _ = host.set_pointer_capture(event.pointer_id());
            }
        }
    };
    let moved = move |event: web_sys::PointerEvent| {
        if let Some((from, _)) = drag.get_untracked() {
            drag.set(Some((from, place(&event))));
        }
    };
    let up = move |_| {
        let Some((from, to)) = drag.get_untracked() else { return };
        drag.set(None);
        select(plane.get_untracked().and_then(|plane| plane.brush(from, to)));
    };
    let shown = move || {
        let plane = plane.get()?;
        match drag.get() {
            Some((from, to)) => plane.brush(from, to),
            None => state.get().brush,
        }
        .map(|brush| (plane, brush))
    };
    // B draws a selection over the slowest quarter and the latest third; arrows move it, with Shift its corner.
    on_key(move |event, key| {
        let Some(plane) = plane.get_untracked() else { return false };
        let brush = state.get_untracked().brush;
        let is_here = document().active_element().is_some_and(|field| field.id() == "heatmap");
        match (key, brush) {
            ("b", _) => {
                if let Some(host) = host.get_untracked() {
                    let _ = host.focus();
                }
                if brush.is_none() {
                    let (right, high) = (plane.width - RIGHT, HEIGHT - FOOT - TOP);
                    select(plane.brush((right - (right - LEFT) / 3.0, TOP + high / 3.0), (right, TOP)));
                }
            }
            ("Escape", Some(_)) => select(None),
            ("ArrowLeft" | "ArrowRight" | "ArrowUp" | "ArrowDown", Some(brush)) if is_here => {
                let (right, above) = match key {
                    "ArrowLeft" => (-1.0, 0.0),
                    "ArrowRight" => (1.0, 0.0),
                    "ArrowUp" => (0.0, 1.0),
                    _ => (0.0, -1.0),
                };
                select(Some(plane.nudged(&brush, right, above, event.shift_key())));
            }
            _ => return false,
        }
        true
    });
    let summary = move || {
        answer.get().map_or_else(String::new, |answer| {
            format!(
                "{} {} over time and duration, {} failed. B selects a part, arrow keys move it, with Shift its corner. The table below holds the same.",
                format::count(answer.count),
                state.get().unit.name(),
                format::count(answer.errors)
            )
        })
    };
    let most = move || {
        answer
            .get()
            .filter(|answer| answer.dots.is_empty())
            .map(|answer| answer.cells.iter().map(|cell| cell.count).max().unwrap_or(0))
    };
    let hint = RwSignal::new(None::<(f64, f64, String)>);
    let hover = move |event: &web_sys::PointerEvent| {
        let (x, y) = place(event);
        let text =
            plane.get_untracked().zip(answer.get_untracked()).and_then(|(plane, answer)| under(&plane, &answer, x, y));
        hint.set(text.map(|text| (x, y, text)));
    };
    view! {
        <div
            class="hm"
            class:old=old
            id="heatmap"
            node_ref=host
            tabindex="0"
            role="img"
            aria-label=summary
            on:pointerdown=down
            on:pointermove=move |event| { moved(event.clone()); hover(&event); }
            on:pointerleave=move |_| hint.set(None)
            on:pointerup=up
        >
            <canvas node_ref=canvas></canvas>
            <Deploys state plane/>
            {move || shown().map(|(plane, brush)| {
                let (left, top, wide, high) = plane.place(&brush);
                let label = format!("{} to {}", clock::time_of_day(brush.from).get(..5).unwrap_or_default().to_owned(), clock::time_of_day(brush.to).get(..5).unwrap_or_default());
                view! {
                    <div class="brush" style:left=format!("{left:.1}px") style:top=format!("{top:.1}px") style:width=format!("{wide:.1}px") style:height=format!("{high:.1}px")>
                        <span class="tag">{label}", "{durations(&brush)}</span>
                    </div>
                }
            })}
            {move || hint.get().filter(|_| drag.get().is_none()).map(|(x, y, text)| {
                let right = x > width.get() * 0.7;
                let left = if right { "auto".to_owned() } else { format!("{:.0}px", x + 12.0) };
                let far = if right { format!("{:.0}px", width.get() - x + 12.0) } else { "auto".to_owned() };
                view! { <span class="tip" style:left=left style:right=far style:top=format!("{:.0}px", (y - 26.0).max(2.0))>{text}</span> }
            })}
            {move || most().map(|most| view! {
                <div class="shades" aria-hidden="true">
                    {(0..SHADES).map(|at| view! { <i class=format!("h{at}")></i> }).collect_view()}
                    <span>"1 to "{format::short_count(most)}" per cell"</span> <i class="e"></i> <span>"errors"</span>
                </div>
            })}
        </div>
    }
}

/// `≥ 1.6 s`, `1.6 s to 4.2 s`.
pub(super) fn durations(brush: &Brush) -> String {
    match (brush.least, brush.most) {
        (0, u64::MAX) => "any duration".to_owned(),
        (least, u64::MAX) => format!("≥ {}", format::duration(least)),
        (0, most) => format!("< {}", format::duration(most)),
        (least, most) => format!("{} to {}", format::duration(least), format::duration(most)),
    }
}

/// What the cell under the pointer holds.
fn under(plane: &Plane, answer: &HistogramAnswer, x: f64, y: f64) -> Option<String> {
    let column = (plane.moment(x).saturating_sub(plane.from)) as u64 / answer.step_nanos.max(1);
    let nanos = plane.nanos(y);
    let row = answer.edges_nanos.partition_point(|edge| *edge <= nanos).checked_sub(1)? as u32;
    let cell = answer.cells.iter().find(|cell| u64::from(cell.column) == column && cell.row == row)?;
    let (low, high) = (answer.edges_nanos.get(row as usize)?, answer.edges_nanos.get(row as usize + 1)?);
    let failed = if cell.errors > 0 { format!(", {} failed", format::count(cell.errors)) } else { String::new() };
    let at = plane.from.saturating_add((column * answer.step_nanos) as i64);
    Some(format!(
        "{}{failed}: {}, {} to {}",
        format::count(cell.count),
        clock::time_of_day(at).get(..8)?,
        format::duration(*low),
        format::duration(*high)
    ))
}

fn draw(canvas: &web_sys::HtmlCanvasElement, plane: &Plane, answer: &HistogramAnswer) {
    let Some(context) = sharp_context(canvas, plane.width, plane.height) else { return };
    let Some(style) = document().document_element().and_then(|root| window().get_computed_style(&root).ok().flatten())
    else {
        return;
    };
    let color = |name: &str| style.get_property_value(name).unwrap_or_default();
    let (line, faint, bad) = (color("--line-1"), color("--fg-3"), color("--err"));
    let right = plane.width - RIGHT;
    context.set_font(&format!("10.5px {}", color("--font-ui")));
    context.set_text_align("right");
    let mut last = f64::INFINITY;
    for (y, label) in plane.durations() {
        if last - y < 18.0 {
            continue;
        }
        last = y;
        context.set_fill_style_str(&line);
        context.fill_rect(LEFT, y.round(), right - LEFT, 1.0);
        context.set_fill_style_str(&faint);
        let _ = context.fill_text(&label, LEFT - 8.0, y + 4.0);
    }
    context.set_fill_style_str(&faint);
    let moments = plane.moments();
    for (at, (x, label)) in moments.iter().enumerate() {
        context.set_text_align(if at == 0 {
            "left"
        } else if at + 1 == moments.len() {
            "right"
        } else {
            "center"
        });
        let _ = context.fill_text(label, *x, plane.height - 6.0);
    }
    let step = (right - LEFT) / answer.times.len().max(1) as f64;
    if answer.dots.is_empty() {
        let most = answer.cells.iter().map(|cell| cell.count).max().unwrap_or(1);
        // One pass a shade: setting a colour costs more than drawing a cell.
        for at in 0..SHADES {
            context.set_fill_style_str(&color(&format!("--heat-{at}")));
            for cell in answer.cells.iter().filter(|cell| shade(cell.count, most) == at) {
                let edge = |row: u32| answer.edges_nanos.get(row as usize).map(|edge| plane.y(*edge as f64));
                let (Some(foot), Some(top)) = (edge(cell.row), edge(cell.row + 1)) else { continue };
                let x = LEFT + f64::from(cell.column) * step;
                context.fill_rect(x, top, (step - 0.7).max(1.0), (foot - top - 0.7).max(1.0));
            }
        }
    } else {
        let (fine, failed) = (color("--heat-4"), bad.clone());
        for (is_bad, fill) in [(false, fine), (true, failed)] {
            context.set_fill_style_str(&fill);
            for dot in answer.dots.iter().filter(|dot| dot.error == is_bad) {
                let x = plane.x(dot.start_unix_nano.parse().unwrap_or_default());
                let y = plane.y(dot.nanos as f64);
                // Failures differ in shape too.
                let (wide, high) = if is_bad { (2.0, 7.0) } else { (3.0, 3.0) };
                context.fill_rect(x - wide / 2.0, y - high / 2.0, wide, high);
            }
        }
    }
    let most = answer.times.iter().map(|time| time.errors).max().unwrap_or(0);
    context.set_fill_style_str(&bad);
    for (at, time) in answer.times.iter().enumerate().filter(|(_, time)| time.errors > 0) {
        let high = (time.errors as f64 / most as f64 * MARK).max(2.0);
        context.fill_rect(LEFT + at as f64 * step, plane.height - FOOT - high, (step - 0.8).max(1.0), high);
    }
}
