//! The whole trace in true scale: drag to zoom, double-click to reset.
//!
//! The spans are drawn once a trace, size and theme; the part on screen is shown by two shades over them.

use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;

use super::Stage;
use crate::app::Shared;
use crate::view::timeline::Window;

/// Height in pixels.
const HEIGHT: f64 = 44.0;
/// Pixels the pointer must move before a press is a drag.
const DRAG_MIN: f64 = 4.0;

/// Colours of the canvas, read from the style: slots 1 to 8, then no slot, then error.
pub(super) fn palette() -> Vec<String> {
    let Some(style) = document().document_element().and_then(|root| window().get_computed_style(&root).ok().flatten())
    else {
        return vec![String::new(); 10];
    };
    let value = |name: &str| style.get_property_value(name).unwrap_or_default().trim().to_owned();
    (1..=8).map(|slot| value(&format!("--svc-{slot}"))).chain([value("--fg-3"), value("--err")]).collect()
}

/// Makes a canvas as sharp as the screen and gives its context, cleared.
pub(crate) fn sharp_context(
    canvas: &web_sys::HtmlCanvasElement,
    width: f64,
    height: f64,
) -> Option<web_sys::CanvasRenderingContext2d> {
    let ratio = window().device_pixel_ratio().max(1.0);
    canvas.set_width((width * ratio) as u32);
    canvas.set_height((height * ratio) as u32);
    let context = canvas.get_context("2d").ok().flatten()?.dyn_into::<web_sys::CanvasRenderingContext2d>().ok()?;
    context.scale(ratio, ratio).ok()?;
    Some(context)
}

/// Draws the trace and lets the reader choose a part of it.
#[component]
pub(super) fn MiniMap(stage: Stage, shared: Shared) -> impl IntoView {
    let canvas = NodeRef::<html::Canvas>::new();
    let frame = NodeRef::<html::Div>::new();
    let width = RwSignal::new(0.0);
    let measure = move || {
        if let Some(frame) = frame.try_get_untracked().flatten() {
            width.try_set(f64::from(frame.client_width()));
        }
    };
    let handle = window_event_listener(leptos::ev::resize, move |_| measure());
    on_cleanup(move || handle.remove());
    Effect::new(move |_| {
        stage.inspector.track();
        frame.track();
        request_animation_frame(measure);
    });
    Effect::new(move |_| {
        let (Some(canvas), width) = (canvas.get(), width.get()) else { return };
        shared.theme.track();
        stage.colors.track();
        // The theme reaches the style before the next frame.
        request_animation_frame(move || draw(stage, &canvas, width));
    });

    // Place of the pointer between the edges, and the drag that is going on.
    let drag = RwSignal::new(None::<(f64, f64)>);
    let place = move |event: &web_sys::PointerEvent| {
        let left = frame.get_untracked().map_or(0.0, |frame| frame.get_bounding_client_rect().left());
        ((f64::from(event.client_x()) - left) / width.get_untracked().max(1.0)).clamp(0.0, 1.0)
    };
    let down = move |event: web_sys::PointerEvent| {
        if event.button() == 0 {
            let at = place(&event);
            drag.set(Some((at, at)));
            if let Some(frame) = frame.get_untracked() {
                let _ = frame.set_pointer_capture(event.pointer_id());
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
        let duration = stage.duration_nanos();
        let whole = Window::whole(duration);
        if (to - from).abs() * width.get_untracked() >= DRAG_MIN {
            stage.window.set(Window::part(whole.moment(from), whole.moment(to), duration));
        } else if stage.window.get_untracked() != whole {
            // A click brings that moment to the middle.
            let length = stage.window.get_untracked().length();
            let middle = whole.moment(to);
            stage.window.set(Window::part(middle - length / 2.0, middle + length / 2.0, duration));
        }
    };
    let edges = move || {
        let window = stage.window.get();
        let whole = Window::whole(stage.duration_nanos());
        (whole.place(window.start).clamp(0.0, 1.0), whole.place(window.end).clamp(0.0, 1.0))
    };
    let percent = |part: f64| format!("{:.3}%", part * 100.0);
    view! {
        <div class="mini">
            <div class="mini-name"><b>"True scale"</b><span>"drag to zoom, double-click to reset"</span></div>
            <div
                class="mini-frame"
                node_ref=frame
                role="img"
                aria-label="The whole trace in true scale"
                on:pointerdown=down
                on:pointermove=moved
                on:pointerup=up
                on:dblclick=move |_| stage.zoom_out()
            >
                <canvas node_ref=canvas></canvas>
                <i class="shade" style:left="0" style:width=move || percent(edges().0)></i>
                <i class="shade" style:left=move || percent(edges().1) style:right="0"></i>
                <i class="grip" style:left=move || percent(edges().0)></i>
                <i class="grip" style:left=move || percent(edges().1)></i>
                {move || drag.get().map(|(from, to)| view! {
                    <i class="drag" style:left=percent(from.min(to)) style:width=percent((to - from).abs())></i>
                })}
            </div>
        </div>
    }
}

fn draw(stage: Stage, canvas: &web_sys::HtmlCanvasElement, width: f64) {
    if width <= 0.0 || stage.model.try_with_value(|_| ()).is_none() {
        return;
    }
    let Some(context) = sharp_context(canvas, width, HEIGHT) else { return };
    let palette = palette();
    stage.model.with_value(|model| {
        let (tree, whole) = (&model.tree, Window::whole(model.duration_nanos));
        let n_spans = tree.len().max(1) as f64;
        let pitch = ((HEIGHT - 8.0) / n_spans).min(3.0);
        let bar = (pitch * 0.8).clamp(1.0, 2.2);
        let top = (HEIGHT - pitch * n_spans) / 2.0;
        // One pass a colour: setting a colour costs more than drawing a bar. Errors last, on top.
        for (color, fill) in palette.iter().enumerate() {
            context.set_fill_style_str(fill);
            for index in 0..tree.len() {
                let slot = model.slots.get(tree.spans.service[index] as usize).copied().unwrap_or(0);
                let own = match (tree.is_error(index), slot) {
                    (true, _) => 9,
                    (false, 0) => 8,
                    (false, slot) => usize::from(slot) - 1,
                };
                if own == color {
                    let x = whole.place(tree.spans.start_nanos[index] as f64) * width;
                    let length = tree.spans.duration_nanos[index] as f64 / whole.length() * width;
                    context.fill_rect(x, top + index as f64 * pitch, length.max(1.5), bar);
                }
            }
        }
    });
}
