//! The map as a drawing: services as cards, brokers as pipes, calls and messages as lines between them.

use std::sync::Arc;

use api::MapAnswer;
use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;

use super::{Groups, State, class_of, edge_key, is_slow};
use crate::app::{Shared, shared};
use crate::components::draw::{self, Shape};
use crate::components::keys::is_control;
use crate::view::format::{self, rate};
use crate::view::journey::facts::{Family, label};
use crate::view::map::{Card, Chart, Measure, NODES_MAX, Wire, edge_label, errors, is_bad, node_line};
use crate::view::names;

/// Draws what the URL asks for; a click or `Enter` selects.
#[component]
pub(super) fn Graph(
    answer: Arc<MapAnswer>,
    grouped: Memo<Option<Groups>>,
    state: Memo<State>,
    change: Callback<State>,
) -> impl IntoView {
    let shared = shared();
    let host = NodeRef::<html::Div>::new();
    let drawing = NodeRef::<leptos::svg::Svg>::new();
    let room = RwSignal::new((0.0, 0.0));
    let measure = move || {
        // A frame later the reader may be on another page.
        if let Some(host) = host.try_get_untracked().flatten() {
            room.try_set((f64::from(host.client_width()), f64::from(host.client_height())));
        }
    };
    Effect::new(move |_| {
        host.track();
        request_animation_frame(measure);
    });
    let handle = window_event_listener(leptos::ev::resize, move |_| measure());
    on_cleanup(move || handle.remove());
    let left_out = RwSignal::new(0);
    let drawn_of = Arc::clone(&answer);
    Effect::new(move |_| {
        let (room, state, Some(node)) = (room.get(), state.get(), drawing.get()) else { return };
        if room.0 <= 0.0 {
            return;
        }
        // Neighbours of a selection are few: they stand one by one.
        let groups = grouped.get();
        let answer = groups.as_ref().filter(|_| !state.focus).map_or(&drawn_of, |groups| &groups.answer);
        let focus = state.selected.as_deref().filter(|_| state.focus);
        let focus = focus.map(|focus| focus.split('>').next().unwrap_or(focus).to_owned());
        let is_near = focus.map(|focus| {
            let spaces = groups.as_ref().map(|groups| Arc::clone(&groups.spaces)).unwrap_or_default();
            move |node: &str| spaces.is_in(node, &focus)
        });
        let is_near = is_near.as_ref().map(|is_near| is_near as &dyn Fn(&str) -> bool);
        let chart = Chart::new(answer, state.kinds, is_near, state.measure, (room.0 - 2.0, room.1 - 2.0));
        left_out.set(chart.left_out);
        let _ = node.set_attribute("width", &format!("{:.0}", chart.width));
        let _ = node.set_attribute("height", &format!("{:.0}", chart.height));
        let label = format!(
            "Service map: {} and {}. The table view holds the same; key T leads there.",
            format::counted(chart.cards.len() as u64, "node"),
            format::counted(chart.wires.len() as u64, "edge")
        );
        let _ = node.set_attribute("aria-label", &label);
        let selected = state.selected.as_deref();
        let wires = chart.wires.iter().flat_map(|wire| draw_wire(answer, wire, selected));
        let cards = chart.cards.iter().map(|card| draw_card(answer, card, selected, shared));
        let labels = chart.wires.iter().filter_map(|wire| draw_label(answer, wire, state.measure, selected));
        let pattern = ["wait", "wait-hot"].map(|id| {
            draw::svg("pattern")
                .set("id", id)
                .set("width", "5")
                .set("height", "5")
                .set("patternUnits", "userSpaceOnUse")
                .set("patternTransform", "rotate(45)")
                .with(draw::rect("a", 0.0, 0.0, 5.0, 5.0))
                .with(draw::rect("b", 0.0, 0.0, 1.4, 5.0))
        });
        let defs = draw::svg("defs");
        pattern.into_iter().for_each(|pattern| defs.add(pattern));
        draw::replace(&node, std::iter::once(defs).chain(wires).chain(cards).chain(labels));
    });
    let hit = move |target: Option<web_sys::EventTarget>| {
        let target = target?.dyn_into::<web_sys::Element>().ok()?;
        target.closest("[data-sel]").ok()??.get_attribute("data-sel")
    };
    let select = move |key: Option<String>| {
        let now = state.get_untracked();
        let selected = key.filter(|key| now.selected.as_ref() != Some(key));
        change.run(State { focus: now.focus && selected.is_some(), selected, ..now });
    };
    view! {
        <div
            class="smap"
            node_ref=host
            on:click=move |event| select(hit(event.target()))
            on:keydown=move |event| {
                if matches!(event.key().as_str(), "Enter" | " ") && !is_control(&event) {
                    event.prevent_default();
                    event.stop_propagation();
                    select(hit(event.target()));
                }
            }
        >
            <svg class="jy map" node_ref=drawing role="group"></svg>
            {move || (left_out.get() > 0).then(|| view! {
                <p class="notice">{format!("The {} busiest nodes are drawn; {} more stand in the table. Select one and press F to see its neighbours.", NODES_MAX, left_out.get())}</p>
            })}
            <ul class="legend" aria-hidden="true">
                <li><i class="solid"></i>"waits for an answer"</li>
                <li><i class="dashed"></i>"leaves a message"</li>
                <li><i class="pipe hatch"></i>"broker, filled by time waited"</li>
            </ul>
        </div>
    }
}

fn draw_wire(answer: &MapAnswer, wire: &Wire, selected: Option<&str>) -> Vec<Shape> {
    let edge = &answer.edges[wire.edge];
    let key = edge_key(edge);
    let is_selected = selected == Some(key.as_str());
    let look = match (is_bad(&edge.now), is_slow(edge)) {
        (true, _) => "bad",
        (false, true) => "hot",
        _ => "",
    };
    let style = if edge.style == "async" { "msg" } else { "call" };
    let gone = if edge.now.calls == 0 { "gone" } else { "" };
    let [a, b, c, d] = wire.curve;
    let path = format!("M{:.1},{:.1}C{:.1},{:.1} {:.1},{:.1} {:.1},{:.1}", a.0, a.1, b.0, b.1, c.0, c.1, d.0, d.1);
    let (dx, dy) = (d.0 - c.0, d.1 - c.1);
    let long = (dx * dx + dy * dy).sqrt().max(1.0);
    let (ux, uy) = (dx / long, dy / long);
    let tip = (d.0 + ux * 7.0, d.1 + uy * 7.0);
    let head = format!(
        "M{:.1},{:.1}L{:.1},{:.1}L{:.1},{:.1}z",
        tip.0,
        tip.1,
        d.0 - uy * 4.6 - ux,
        d.1 + ux * 4.6 - uy,
        d.0 + uy * 4.6 - ux,
        d.1 - ux * 4.6 - uy
    );
    let line =
        draw::path(&format!("wire {style} {look} {gone}"), &path).set("stroke-width", &format!("{:.1}", wire.width));
    let mut shapes = Vec::with_capacity(4);
    if is_selected {
        shapes.push(draw::path("under", &path));
    }
    shapes.push(line);
    shapes.push(draw::path(&format!("tip {look} {gone}"), &head));
    // A wider line that can be hit.
    shapes.push(draw::path("hit", &path).set("data-sel", &key).title(&format!(
        "{} → {}\n{}, {}, {}",
        label(&edge.source),
        label(&edge.target),
        names::badge(&edge.protocol, &edge.system),
        rate(edge.now.per_minute),
        errors(&edge.now)
    )));
    shapes
}

fn draw_label(answer: &MapAnswer, wire: &Wire, measure: Measure, selected: Option<&str>) -> Option<Shape> {
    let edge = &answer.edges[wire.edge];
    let (x, y) = wire.label?;
    let text = edge_label(edge, measure);
    let wide = text.chars().count() as f64 * 5.6 + 12.0;
    let look = match (selected == Some(edge_key(edge).as_str()), is_bad(&edge.now), is_slow(edge)) {
        (true, ..) => "tag sel",
        (_, true, _) => "tag bad",
        (.., true) => "tag hot",
        _ => "tag",
    };
    Some(
        draw::svg("g")
            .set("class", look)
            .set("data-sel", &edge_key(edge))
            .with(draw::rect("", x - wide / 2.0, y - 9.0, wide, 18.0).set("rx", "4"))
            .with(draw::text("", x, y + 4.0, &text).set("text-anchor", "middle")),
    )
}

fn draw_card(answer: &MapAnswer, card: &Card, selected: Option<&str>, shared: Shared) -> Shape {
    let node = &answer.nodes[card.node];
    let name = label(&node.node);
    let (rate, failed, p95) = node_line(node);
    let bad = is_bad(&node.now);
    let kind = match card.family {
        Family::Service => "service",
        Family::Broker => "pipe",
        _ => "outer",
    };
    let is_selected = if selected == Some(node.node.as_str()) { "sel" } else { "" };
    let cut = |letters: usize| -> String {
        if name.chars().count() <= letters {
            name.to_owned()
        } else {
            name.chars().take(letters - 1).chain(['…']).collect()
        }
    };
    let group = draw::svg("g")
        .set("class", &format!("card-node {kind} {is_selected} {}", class_of(shared, &node.node)))
        .set("data-sel", &node.node)
        .set("tabindex", "0")
        .set("role", "button")
        .set("aria-label", &format!("{name}, {rate}, {failed} failed, p95 {p95}"))
        .title(name);
    let (x, y) = (card.x, card.y);
    let frame = if bad { "frame bad" } else { "frame" };
    match card.family {
        Family::Service => {
            group.add(draw::rect(frame, x, y, card.width, card.height).set("rx", "7"));
            group.add(draw::rect("side", x + 0.5, y + 6.0, 4.0, card.height - 12.0).set("rx", "2"));
            group.add(draw::text("title", x + 14.0, y + 21.0, &cut(18)));
            let line = draw::text("line", x + 14.0, y + 39.0, &rate);
            line.add(draw::svg("tspan").set("dx", "6").set("class", if bad { "bad" } else { "quiet" }).text(&failed));
            line.add(draw::svg("tspan").set("dx", "6").text(&p95));
            group.add(line);
        }
        Family::Broker => {
            let waits = answer.edges.iter().filter(|edge| edge.source == node.node);
            let wait = waits.filter_map(|edge| edge.now.lag_p95_nanos).max();
            // A logarithmic gauge: 1 ms is empty, 10 s is full.
            let fill = wait.map_or(0.0, |nanos| ((nanos.max(1) as f64 / 1e6).log10() / 4.0).clamp(0.0, 1.0));
            let hot = wait.is_some_and(|nanos| nanos >= 1_000_000_000);
            let system =
                node.node.split_once(':').and_then(|(_, rest)| rest.split_once('/')).map_or("", |(system, _)| system);
            let waited =
                wait.map_or_else(String::new, |nanos| format!(", wait p95 {}", format::duration(nanos.max(0) as u64)));
            let half = card.height / 2.0;
            group.add(
                draw::rect(if hot { "frame hot" } else { "frame" }, x, y, card.width, card.height)
                    .set("rx", &format!("{half}")),
            );
            group.add(
                draw::rect(
                    if hot { "gauge hot" } else { "gauge" },
                    x + 14.0,
                    y + card.height - 7.0,
                    (card.width - 28.0) * fill,
                    4.0,
                )
                .set("rx", "2"),
            );
            group.add(draw::text("title mono", x + card.width / 2.0, y + 14.5, &cut(17)).set("text-anchor", "middle"));
            let line = format!("{}{waited}", names::spelled(system));
            group.add(
                draw::text(if hot { "line hot" } else { "line" }, x + card.width / 2.0, y + 26.0, &line)
                    .set("text-anchor", "middle"),
            );
        }
        _ => {
            group.add(draw::rect("frame", x, y, card.width, card.height).set("rx", "7"));
            group.add(draw::text("title", x + 10.0, y + 15.5, &cut(16)));
            group.add(draw::text("line", x + 10.0, y + 28.5, &rate));
        }
    }
    group
}
