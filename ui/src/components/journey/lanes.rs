//! A list of all lanes, to hide them and to move them: the diagram has no room for buttons, and a picture no keys.

use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;

use super::{Tour, node_class};
use crate::app::shared;
use crate::components::icon::{Icon, icon};

/// The button, and below it the list.
#[component]
pub(crate) fn LanePanel(tour: Tour) -> impl IntoView {
    let open = RwSignal::new(false);
    let button = NodeRef::<html::Button>::new();
    let close = move || {
        open.set(false);
        if let Some(button) = button.get_untracked() {
            let _ = button.focus();
        }
    };
    view! {
        <div class="lanes-of" on:keydown=move |event| {
            if event.key() == "Escape" && open.get_untracked() {
                event.stop_propagation();
                close();
            }
        }>
            <button class="btn s" node_ref=button aria-expanded=move || open.get().to_string() title="Which lanes are drawn, and in which order" on:click=move |_| open.update(|open| *open = !*open)>"Lanes"</button>
            <Show when=move || open.get()>
                <div class="ground" on:click=move |_| open.set(false)></div>
                <div class="menu" role="region" aria-label="Lanes">{move || list(tour)}</div>
            </Show>
        </div>
    }
}

fn list(tour: Tour) -> impl IntoView {
    let shared = shared();
    let scene = tour.scene.get();
    let choice = tour.lanes.get();
    let order = choice.order(&scene.lane_nodes());
    let lines = order.into_iter().map(|at| {
        let node = scene.picture.lanes[at].node;
        let name = scene.facts.label(node).to_owned();
        let id = scene.facts.nodes[node].clone();
        let is_hidden = choice.hides(&id);
        let hide = {
            let id = id.clone();
            move |_| tour.lanes.update(|choice| choice.hide(&id, !is_hidden))
        };
        let step = move |down: bool| {
            let (id, image) = (id.clone(), if down { Icon::Down } else { Icon::Up });
            let way = if down { "down" } else { "up" };
            let place = format!("lane-{at}-{way}");
            let label = format!("Move {} {way}", scene_label(tour, at));
            let go = {
                let place = place.clone();
                move |_| {
                    let scene = tour.scene.get_untracked();
                    tour.lanes.update(|choice| choice.step(&scene.lane_nodes(), &id, down));
                    keep_focus(place.clone());
                }
            };
            view! { <button class="x" id=place aria-label=label on:click=go>{icon(image, true)}</button> }
        };
        let place = format!("lane-{at}");
        let again = place.clone();
        view! {
            <li>
                <label class="ell">
                    <input type="checkbox" id=place prop:checked=!is_hidden on:change=hide on:click=move |_| keep_focus(again.clone())/>
                    <span class=format!("svc {}", node_class(shared, &scene.facts, node))>{name}</span>
                </label>
                {step.clone()(false)}
                {step(true)}
            </li>
        }
    });
    view! { <ul>{lines.collect_view()}</ul> }
}

fn scene_label(tour: Tour, lane: usize) -> String {
    tour.scene.with_untracked(|scene| scene.facts.label(scene.picture.lanes[lane].node).to_owned())
}

/// The list is made again: the key that was pressed is pressed in the new one.
fn keep_focus(id: String) {
    request_animation_frame(move || {
        let place = document().get_element_by_id(&id).and_then(|place| place.dyn_into::<web_sys::HtmlElement>().ok());
        if let Some(place) = place {
            let _ = place.focus();
        }
    });
}
