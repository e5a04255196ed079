//! The Flame tab: spans merged by service and name. Click selects, Shift and click makes the root, arrow keys walk.

use std::sync::Arc;

use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;

use super::{Tour, node_class};
use crate::app::shared;
use crate::components::draw::{self, Shape};
use crate::components::keys::on_key;
use crate::view::format;
use crate::view::journey::facts::Facts;
use crate::view::journey::flame::{Flame, Frame, Slab, Width};

/// Height of a level in pixels.
const LEVEL: f64 = 22.0;
/// Frames narrower than this are left out, in pixels.
const NARROWEST: f64 = 1.0;
/// Frames drawn at most.
const DRAWN_MAX: usize = 2_000;
/// Width of a letter, for cutting labels, in pixels.
const LETTER: f64 = 6.2;

/// The flame with the figures of the selected frame above it.
#[component]
pub(crate) fn FlameTab(
    /// The journey.
    tour: Tour,
    /// Opens a span in the waterfall.
    open_span: Callback<usize>,
) -> impl IntoView {
    let shared = shared();
    let flame = Memo::new(move |_| Arc::new(Flame::new(&tour.scene.get().facts)));
    let measure = RwSignal::new(Width::Total);
    let root = RwSignal::new(None::<usize>);
    let selected = RwSignal::new(None::<usize>);
    let host = NodeRef::<html::Div>::new();
    let drawing = NodeRef::<leptos::svg::Svg>::new();
    let room = RwSignal::new(0.0_f64);
    let look = move || {
        if let Some(host) = host.try_get_untracked().flatten() {
            room.try_set(f64::from(host.client_width()) - 2.0);
        }
    };
    Effect::new(move |_| {
        host.track();
        tour.inspector.track();
        request_animation_frame(look);
    });
    let handle = window_event_listener(leptos::ev::resize, move |_| look());
    on_cleanup(move || handle.remove());
    let left_out = RwSignal::new(0u64);
    Effect::new(move |_| {
        let (flame, scene, room, Some(node)) = (flame.get(), tour.scene.get(), room.get(), drawing.get()) else {
            return;
        };
        if room <= 0.0 {
            return;
        }
        let needle = tour.find.get().trim().to_lowercase();
        let slabs = flame.layout(root.get(), measure.get(), room, NARROWEST);
        left_out.set(slabs.len().saturating_sub(DRAWN_MAX) as u64);
        let deepest = slabs.iter().map(|slab| slab.depth).max().unwrap_or_default();
        let _ = node.set_attribute("width", &format!("{room:.0}"));
        let _ = node.set_attribute("height", &format!("{:.0}", (deepest + 1) as f64 * LEVEL + 4.0));
        let selected = selected.get();
        let shapes = slabs.iter().take(DRAWN_MAX).map(|slab| {
            let frame = &flame.frames[slab.frame];
            let class = node_class(shared, &scene.facts, frame.node);
            let is_found = !needle.is_empty()
                && (frame.name.to_lowercase().contains(&needle)
                    || scene.facts.label(frame.node).to_lowercase().contains(&needle));
            draw_slab(&scene.facts, frame, slab, &class, selected == Some(slab.frame), is_found, !needle.is_empty())
        });
        draw::replace(&node, shapes);
    });
    let hit = move |event: &web_sys::MouseEvent| {
        let target = event.target()?.dyn_into::<web_sys::Element>().ok()?;
        target.closest("[data-frame]").ok()??.get_attribute("data-frame")?.parse::<usize>().ok()
    };
    let click = move |event: web_sys::MouseEvent| {
        let Some(frame) = hit(&event) else { return };
        selected.set(Some(frame));
        if event.shift_key() {
            root.set(Some(frame));
        }
    };
    let slowest = move |frame: &Frame| {
        let scene = tour.scene.get_untracked();
        let length = |span: usize| scene.facts.spans[span].end - scene.facts.spans[span].start;
        frame.spans.iter().copied().max_by(|a, b| length(*a).total_cmp(&length(*b)))
    };
    on_key(move |event, key| {
        let flame = flame.get_untracked();
        match (key, selected.get_untracked()) {
            ("ArrowUp" | "ArrowDown" | "ArrowLeft" | "ArrowRight", None) => selected.set(flame.roots.first().copied()),
            ("ArrowUp" | "ArrowDown" | "ArrowLeft" | "ArrowRight", Some(at)) => {
                if let Some(next) = flame.step(at, key) {
                    selected.set(Some(next));
                }
            }
            ("Enter", Some(at)) if event.shift_key() => root.set(Some(at)),
            ("Enter", Some(at)) if !crate::components::keys::is_control(event) => {
                if let Some(span) = slowest(&flame.frames[at]) {
                    open_span.run(span);
                }
            }
            ("Escape" | "o", _) if root.get_untracked().is_some() => root.set(None),
            _ => return false,
        }
        true
    });
    let about = move || {
        let (flame, scene) = (flame.get(), tour.scene.get());
        let facts = &scene.facts;
        let Some(frame) = selected.get().and_then(|at| flame.frames.get(at)) else {
            let whole = format!(
                "{} in {}",
                format::counted(facts.spans.len() as u64, "span"),
                format::counted(flame.frames.len() as u64, "frame")
            );
            return view! { <span class="faint">{whole}". Select a frame for its figures."</span> }.into_any();
        };
        let share: f64 =
            facts.settled.iter().filter(|piece| frame.spans.contains(&piece.span)).map(|piece| piece.nanos).sum();
        let share = format::percent((share / 1e3) as u64, (facts.settled_nanos / 1e3) as u64);
        let span = slowest(frame);
        view! {
            <span class=format!("svc {}", node_class(shared, facts, frame.node))>{facts.label(frame.node).to_owned()}</span>
            <b class="ell">{frame.name.clone()}</b>
            <span class="dim">{format::counted(frame.spans.len() as u64, "span")}</span>
            <span class="dim">"total " <b>{format::duration(frame.total as u64)}</b></span>
            <span class="dim">"self " <b>{format::duration(frame.own as u64)}</b></span>
            <span class="dim">"critical path " <b>{share}</b></span>
            {(frame.errors > 0).then(|| view! { <span class="bad">{format::counted(frame.errors, "error")}</span> })}
            {span.map(|span| view! { <button class="btn s" on:click=move |_| open_span.run(span)>"Open the slowest"</button> })}
        }
        .into_any()
    };
    let width = move |is: Width, name: &'static str, title: &'static str| {
        view! { <button title=title aria-pressed=move || (measure.get() == is).to_string() on:click=move |_| measure.set(is)>{name}</button> }
    };
    view! {
        <div class="tb">
            <div class="seg" role="group" aria-label="Width shows">
                {width(Width::Total, "Total", "From start to end, with the deliveries it caused")}
                {width(Width::Own, "Self", "Time in which no child ran, added up")}
            </div>
            <div class="row about" aria-live="polite">{about}</div>
            <span class="grow"></span>
            {move || root.get().map(|_| view! { <button class="btn s" on:click=move |_| root.set(None)>"Whole journey"</button> })}
        </div>
        <div
            class="flame"
            node_ref=host
            tabindex="0"
            role="img"
            aria-label="Spans merged by service and name; arrow keys walk, the figures of the selected frame stand above. The table tab, grouped by operation, holds the same."
            on:click=click
        >
            <svg class="jy" node_ref=drawing aria-hidden="true"></svg>
        </div>
        {move || (left_out.get() > 0).then(|| view! { <p class="notice">{format!("{} narrow frames are not drawn: make a part the root, or use the table.", format::count(left_out.get()))}</p> })}
        <div class="status">
            <span><kbd>"↑"</kbd><kbd>"↓"</kbd><kbd>"←"</kbd><kbd>"→"</kbd> "walk"</span>
            <span><kbd>"Enter"</kbd> "open the slowest span"</span>
            <span><kbd>"Shift"</kbd> "+ click, " <kbd>"Shift Enter"</kbd> "make it the root"</span>
            <span><kbd>"Esc"</kbd> "whole journey"</span>
        </div>
    }
}

fn draw_slab(
    facts: &Facts,
    frame: &Frame,
    slab: &Slab,
    color: &str,
    is_selected: bool,
    is_found: bool,
    is_finding: bool,
) -> Shape {
    let flags =
        [(is_selected, " sel"), (is_found, " found"), (is_finding && !is_found, " pale"), (frame.errors > 0, " bad")];
    let mut class = format!("bar slab {color}");
    flags.iter().filter(|(on, _)| *on).for_each(|(_, name)| class.push_str(name));
    let y = slab.depth as f64 * LEVEL + 2.0;
    let width = (slab.width - 1.0).max(1.0);
    let title = format!(
        "{}, {}: {}, total {}, self {}",
        frame.name,
        facts.label(frame.node),
        format::counted(frame.spans.len() as u64, "span"),
        format::duration(frame.total as u64),
        format::duration(frame.own as u64)
    );
    let shape = draw::svg("g")
        .set("class", &class)
        .set("data-frame", &slab.frame.to_string())
        .with(draw::rect("box", slab.x + 0.5, y, width, LEVEL - 3.0).set("rx", "2"))
        .title(&title);
    let letters = ((width - 8.0) / LETTER) as usize;
    let long = frame.name.chars().count();
    if letters >= long {
        shape.with(draw::text("label", slab.x + 5.0, y + 13.0, &frame.name))
    } else if letters >= 4 {
        let cut: String = frame.name.chars().take(letters - 1).collect();
        shape.with(draw::text("label", slab.x + 5.0, y + 13.0, &format!("{cut}…")))
    } else {
        shape
    }
}
