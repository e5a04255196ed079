//! The whole journey in true scale, never folded: drag to zoom, double-click to reset.

use leptos::html;
use leptos::prelude::*;

use super::Tour;
use crate::app::shared;
use crate::components::draw;
use crate::view::journey::facts::Family;
use crate::view::journey::layout::{MiniBar, mini};

/// Height in pixels.
const HEIGHT: f64 = 44.0;
/// Pixels the pointer must move before a press is a drag.
const DRAG_MIN: f64 = 4.0;

/// Draws the journey and lets the reader choose a part of it. `left` and `right` are the edges of time in pixels.
#[component]
pub(crate) fn MiniMap(tour: Tour, left: f64, #[prop(into)] right: Signal<f64>) -> impl IntoView {
    let shared = shared();
    let frame = NodeRef::<html::Div>::new();
    let drag = RwSignal::new(None::<(f64, f64)>);
    let width = move || (right.get() - left).max(1.0);
    let moment = move |event: &web_sys::PointerEvent| {
        let from = frame.get_untracked().map_or(0.0, |frame| frame.get_bounding_client_rect().left());
        let place = (f64::from(event.client_x()) - from) / untrack(width);
        place.clamp(0.0, 1.0) * tour.length()
    };
    let down = move |event: web_sys::PointerEvent| {
        if event.button() == 0 {
            let at = moment(&event);
            drag.set(Some((at, at)));
            if let Some(frame) = frame.get_untracked() {
                let _ = frame.set_pointer_capture(event.pointer_id());
            }
        }
    };
    let moved = move |event: web_sys::PointerEvent| {
        if let Some((from, _)) = drag.get_untracked() {
            drag.set(Some((from, moment(&event))));
        }
    };
    let up = move |_| {
        let Some((from, to)) = drag.get_untracked() else { return };
        drag.set(None);
        let pixels = (to - from).abs() / tour.length() * untrack(width);
        if pixels >= DRAG_MIN {
            tour.show(from.min(to), from.max(to));
        } else if let Some(window) = tour.window.get_untracked() {
            // A click brings that moment to the middle.
            tour.show(to - window.length() / 2.0, to + window.length() / 2.0);
        }
    };
    let percent = move |moment: f64| format!("{:.3}%", (moment / tour.length()).clamp(0.0, 1.0) * 100.0);
    let bars = NodeRef::<leptos::svg::Svg>::new();
    Effect::new(move |_| {
        let (scene, wide) = (tour.scene.get(), width());
        let Some(node) = bars.get() else { return };
        let _ = node.set_attribute("width", &format!("{wide:.0}"));
        let bar = |bar: MiniBar| {
            let lane = &scene.picture.lanes[bar.lane];
            let class = match (bar.hop, bar.failed, lane.family) {
                (Some(_), true, _) => "w bad".to_owned(),
                (Some(hop), false, _) if scene.hot[hop] => "w hot".to_owned(),
                (Some(_), false, _) => "w".to_owned(),
                (None, true, _) => "err".to_owned(),
                (None, false, Family::Service) => shared.color_class(scene.facts.label(lane.node)),
                _ => "out".to_owned(),
            };
            draw::rect(&class, bar.x, bar.y, bar.width, if bar.hop.is_some() { 4.0 } else { 3.0 })
        };
        draw::replace(&node, mini(&scene.picture, scene.facts.length, 0.0, wide, HEIGHT - 2.0).into_iter().map(bar));
    });
    view! {
        <div class="jmini">
            <div class="mini-name"><b>"True scale"</b><span>"drag to zoom"</span></div>
            <div
                class="mini-frame"
                node_ref=frame
                style:left=format!("{left}px")
                style:width=move || format!("{}px", width())
                role="img"
                aria-label="The whole journey in true scale; drag to choose a part"
                on:pointerdown=down
                on:pointermove=moved
                on:pointerup=up
                on:dblclick=move |_| tour.window.set(None)
            >
                <svg node_ref=bars height=HEIGHT - 2.0 aria-hidden="true"></svg>
                {move || {
                    let window = tour.shown();
                    view! {
                        <i class="shade" style:left="0" style:width=percent(window.start)></i>
                        <i class="shade" style:left=percent(window.end) style:right="0"></i>
                        <i class="grip" style:left=percent(window.start)></i>
                        <i class="grip" style:left=percent(window.end)></i>
                    }
                }}
                {move || tour.moment.get().map(|moment| view! { <i class="moment-mark" style:left=percent(moment)></i> })}
                {move || drag.get().map(|(from, to)| view! {
                    <i class="drag" style:left=percent(from.min(to)) style:width=percent((to - from).abs())></i>
                })}
            </div>
        </div>
    }
}
