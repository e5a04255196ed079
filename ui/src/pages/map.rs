//! The service map: who talks to whom, as graph, matrix and table. All three hold the same numbers.
//!
//! URL: `/map`, `view` (`matrix`, `table`), `kinds`, `measure`, `sel` (a node, or `source>target`), `focus=1`
//! (only the selection's neighbours), `vs=0` (not compared with the range before).

use std::sync::Arc;

use api::{MapAnswer, MapFigures, Problem};
use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_location, use_navigate};
use wasm_bindgen::JsCast;

use crate::app::{Shared, now_nanos, shared};
use crate::client;
use crate::components::draw::{self, Shape};
use crate::components::keys::{is_control, on_key};
use crate::components::states::{EmptyState, ErrorBox, LoadingBar, Skeleton};
use crate::view::journey::facts::{Family, label};
use crate::view::map::{
    Card, Chart, Kinds, Measure, Wire, edge_label, errors, is_bad, node_line, rate, shown_edges, slow_nanos, slower,
};
use crate::view::url::{self, ExploreState, RangeText};
use crate::view::{clock, condition, format, names};

/// What the URL asks for.
#[derive(Clone, Debug, Default, PartialEq)]
struct State {
    view: String,
    kinds: Kinds,
    measure: Measure,
    selected: Option<String>,
    focus: bool,
}

impl State {
    fn read(search: &str) -> Self {
        let mut state = Self::default();
        for (key, value) in url::pairs(search) {
            match key.as_str() {
                "view" => state.view = value,
                "kinds" => state.kinds = Kinds::read(&value),
                "measure" => {
                    let known = Measure::ALL.into_iter().find(|(_, name, _)| *name == value);
                    state.measure = known.map(|(measure, ..)| measure).unwrap_or_default();
                }
                "sel" if !value.is_empty() => state.selected = Some(value),
                "focus" => state.focus = value == "1",
                _ => {}
            }
        }
        state
    }

    fn query(&self, search: &str) -> String {
        let measure = Measure::ALL.into_iter().find(|(measure, ..)| *measure == self.measure).map(|(_, name, _)| name);
        let kinds = self.kinds.text();
        let changes = [
            ("view", Some(self.view.as_str()).filter(|view| !view.is_empty())),
            ("kinds", kinds.as_deref()),
            ("measure", measure.filter(|_| self.measure != Measure::default())),
            ("sel", self.selected.as_deref()),
            ("focus", self.focus.then_some("1")),
        ];
        url::with_parameters(search, &changes)
    }
}

/// Loads the map of the range and shows it.
#[component]
pub(crate) fn MapPage() -> impl IntoView {
    let shared = shared();
    let search = use_location().search;
    let navigate = use_navigate();
    let range = Memo::new(move |_| RangeText::read(&search.get()));
    let state = Memo::new(move |_| State::read(&search.get()));
    let found = RwSignal::new(None::<Result<Arc<MapAnswer>, Problem>>);
    let loading = RwSignal::new(true);
    let reload = RwSignal::new(0u32);
    let question = StoredValue::new(0u32);
    Effect::new(move |_| {
        let range = range.get();
        reload.track();
        let number = question.get_value().wrapping_add(1);
        question.set_value(number);
        loading.set(true);
        spawn_local(async move {
            let before = before(&range);
            let answer = client::map(&range, before.as_deref()).await;
            if question.try_get_value() == Some(number) {
                loading.set(false);
                if let Ok(answer) = &answer {
                    let services = answer.nodes.iter().filter(|node| node.kind == "service");
                    shared.see_services(services.map(|node| node.label.as_str()));
                }
                found.set(Some(answer.map(Arc::new)));
            }
        });
    });
    let change = Callback::new(move |state: State| {
        let link = format!("/map{}", state.query(&search.get_untracked()));
        navigate(&link, NavigateOptions { replace: true, scroll: false, ..NavigateOptions::default() });
    });
    on_key(move |_, key| {
        let mut next = state.get_untracked();
        match key {
            "t" => next.view = if next.view == "table" { String::new() } else { "table".to_owned() },
            "f" if next.selected.is_some() => next.focus = !next.focus,
            "Escape" if next.selected.is_some() => (next.selected, next.focus) = (None, false),
            "r" => {
                reload.update(|count| *count += 1);
                return true;
            }
            _ => return false,
        }
        change.run(next);
        true
    });
    view! {
        <LoadingBar active=loading/>
        <Tools state change/>
        {move || match found.get() {
            None => view! { <Skeleton rows=12/> }.into_any(),
            Some(Err(problem)) => {
                let retry = Callback::new(move |()| reload.update(|count| *count += 1));
                view! { <ErrorBox problem retry/> }.into_any()
            }
            Some(Ok(answer)) if answer.edges.is_empty() => nothing(&answer).into_any(),
            Some(Ok(answer)) => whole(answer, state, change, shared).into_any(),
        }}
    }
}

/// The start of the range of the same length before this one.
fn before(range: &RangeText) -> Option<String> {
    let now = now_nanos();
    let (from, to) = (clock::parse(&range.from, now)?, clock::parse(&range.to, now)?);
    Some(clock::rfc3339(from.checked_sub(to.checked_sub(from)?)?))
}

fn nothing(answer: &MapAnswer) -> impl IntoView + use<> {
    let services = answer.nodes.len() as u64;
    view! {
        <EmptyState title="Nobody talked to anybody in this time range">
            <span class="dim">
                {if services > 0 { format!("{} sent spans, but no call or message between them was seen. ", format::counted(services, "service")) } else { String::new() }}
                "Edges are made of spans of kind client and server, producer and consumer, whose context travels with the request."
            </span>
            <a class="btn s primary" href="/explore">"Go to Explore"</a>
        </EmptyState>
    }
}

#[component]
fn Tools(state: Memo<State>, change: Callback<State>) -> impl IntoView {
    let views = [("", "Graph"), ("matrix", "Matrix"), ("table", "Table")];
    let edit = move |edit: fn(&mut State)| {
        let mut next = state.get_untracked();
        edit(&mut next);
        change.run(next);
    };
    let kind = move |name: &'static str, is_on: fn(&Kinds) -> bool, flip: fn(&mut State)| {
        let on = move || state.with(|state| is_on(&state.kinds));
        view! { <button class="btn s" class:on=on aria-pressed=move || on().to_string() on:click=move |_| edit(flip)>{name}</button> }
    };
    view! {
        <div class="tb">
            <div class="seg" role="group" aria-label="View">
                {views.map(|(view, name)| view! {
                    <button aria-pressed=move || state.with(|state| state.view == view).to_string() on:click=move |_| {
                        change.run(State { view: view.to_owned(), ..state.get_untracked() });
                    }>{name}</button>
                })}
            </div>
            <span class="sepv"></span>
            {kind("Sync", |kinds| kinds.sync, |state| state.kinds.sync = !state.kinds.sync)}
            {kind("Async", |kinds| kinds.messages, |state| state.kinds.messages = !state.kinds.messages)}
            {kind("Data stores", |kinds| kinds.stores, |state| state.kinds.stores = !state.kinds.stores)}
            {kind("External", |kinds| kinds.outside, |state| state.kinds.outside = !state.kinds.outside)}
            <span class="sepv"></span>
            <span class="faint n">"Edges show"</span>
            <div class="seg" role="group" aria-label="Edges show">
                {Measure::ALL.map(|(measure, _, name)| view! {
                    <button aria-pressed=move || state.with(|state| state.measure == measure).to_string() on:click=move |_| {
                        change.run(State { measure, ..state.get_untracked() });
                    }>{name}</button>
                })}
            </div>
            <span class="faint n">"against the range before"</span>
        </div>
    }
}

fn whole(answer: Arc<MapAnswer>, state: Memo<State>, change: Callback<State>, shared: Shared) -> impl IntoView {
    let foot = {
        let answer = Arc::clone(&answer);
        move || {
            let shown = shown_edges(&answer, state.get().kinds).len() as u64;
            format!(
                "{}, {} shown{}",
                format::counted(answer.nodes.len() as u64, "node"),
                format::counted(shown, "edge"),
                answer.incomplete_reason.as_ref().map(|why| format!(" · incomplete: {why}")).unwrap_or_default()
            )
        }
    };
    let (main, side) = (Arc::clone(&answer), answer);
    view! {
        <div class="split">
            <div class="col">
                {move || match state.with(|state| state.view.clone()).as_str() {
                    "table" => table(&main, state, change, shared).into_any(),
                    "matrix" => matrix(&main, state, change).into_any(),
                    _ => view! { <Graph answer=Arc::clone(&main) state change/> }.into_any(),
                }}
                <div class="status">
                    <span><kbd>"Tab"</kbd> "next node"</span>
                    <span><kbd>"Enter"</kbd> "select"</span>
                    <span><kbd>"F"</kbd> "only its neighbours"</span>
                    <span><kbd>"T"</kbd> "table"</span>
                    <span class="grow"></span>
                    <span>{foot}</span>
                </div>
            </div>
            <aside class="insp" aria-label="Map details">
                <div class="scroll" tabindex="0">
                    {move || details(&side, &state.get(), change, state, shared)}
                </div>
            </aside>
        </div>
    }
}

/// What the URL calls an edge.
fn edge_key(edge: &api::MapEdge) -> String {
    format!("{}>{}", edge.source, edge.target)
}

fn class_of(shared: Shared, node: &str) -> String {
    match Family::of(node) {
        Family::Service => shared.color_class(label(node)),
        Family::Broker => "broker mono".to_owned(),
        _ => "ext".to_owned(),
    }
}

#[component]
fn Graph(answer: Arc<MapAnswer>, state: Memo<State>, change: Callback<State>) -> impl IntoView {
    let shared = shared();
    let host = NodeRef::<html::Div>::new();
    let drawing = NodeRef::<leptos::svg::Svg>::new();
    let room = RwSignal::new((0.0, 0.0));
    let measure = move || {
        if let Some(host) = host.get_untracked() {
            room.set((f64::from(host.client_width()), f64::from(host.client_height())));
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
        let answer = &drawn_of;
        let focus = state.selected.as_deref().filter(|_| state.focus);
        let focus = focus.map(|focus| focus.split('>').next().unwrap_or(focus).to_owned());
        let chart = Chart::new(answer, state.kinds, focus.as_deref(), state.measure, (room.0 - 2.0, room.1 - 2.0));
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
                <p class="notice">{format!("The {} busiest nodes are drawn; {} more stand in the table. Select one and press F to see its neighbours.", crate::view::map::NODES_MAX, left_out.get())}</p>
            })}
            <ul class="legend" aria-hidden="true">
                <li><i class="solid"></i>"waits for an answer"</li>
                <li><i class="dashed"></i>"leaves a message"</li>
                <li><i class="pipe hatch"></i>"broker, filled by time waited"</li>
            </ul>
        </div>
    }
}

fn is_slow(edge: &api::MapEdge) -> bool {
    slower(edge).is_some_and(|times| times >= 2.0)
        && slow_nanos(edge, &edge.now).is_some_and(|nanos| nanos > 10_000_000)
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

fn figures(now: &MapFigures, before: Option<&MapFigures>, is_delivery: bool) -> Vec<(&'static str, String, String)> {
    let duration =
        |nanos: Option<i64>| nanos.map_or_else(|| "–".to_owned(), |nanos| format::duration(nanos.max(0) as u64));
    let was = |text: Option<String>| text.map(|text| format!("before {text}")).unwrap_or_default();
    let mut lines = vec![
        ("Rate", rate(now.per_minute), was(before.map(|before| rate(before.per_minute)))),
        ("Errors", errors(now), was(before.map(errors))),
        ("p50", duration(now.p50_nanos), was(before.map(|before| duration(before.p50_nanos)))),
        ("p95", duration(now.p95_nanos), was(before.map(|before| duration(before.p95_nanos)))),
        ("p99", duration(now.p99_nanos), was(before.map(|before| duration(before.p99_nanos)))),
    ];
    if is_delivery {
        lines.push(("Wait p50", duration(now.lag_p50_nanos), was(before.map(|before| duration(before.lag_p50_nanos)))));
        lines.push(("Wait p95", duration(now.lag_p95_nanos), was(before.map(|before| duration(before.lag_p95_nanos)))));
    } else if now.network_p50_nanos.is_some() {
        lines.push(("On the wire, p50", duration(now.network_p50_nanos), String::new()));
    }
    lines
}

fn details(
    answer: &Arc<MapAnswer>,
    now: &State,
    change: Callback<State>,
    state: Memo<State>,
    shared: Shared,
) -> impl IntoView + use<> {
    let selected = now.selected.clone().unwrap_or_default();
    let carried = url::shared(&use_location().search.get_untracked());
    let range = RangeText::read(&carried);
    let edge = answer.edges.iter().find(|edge| edge_key(edge) == selected);
    let node = answer.nodes.iter().find(|node| node.node == selected);
    let lines = match (edge, node) {
        (Some(edge), _) => figures(&edge.now, edge.before.as_ref(), edge.source.starts_with("queue:")),
        (None, Some(node)) => figures(&node.now, node.before.as_ref(), false),
        (None, None) => Vec::new(),
    };
    let name =
        |node: &str| view! { <span class=format!("svc {}", class_of(shared, node))>{label(node).to_owned()}</span> };
    let head = match (edge, node) {
        (Some(edge), _) => view! {
            <div class="row top"><h2 class="h">{if edge.style == "async" { "Async edge" } else { "Sync edge" }}</h2><span class="grow"></span>
                <span class="proto" class:async=edge.style == "async">{names::badge(&edge.protocol, &edge.system)}</span></div>
            <div class="way">{name(&edge.source)} <span class="faint">"→"</span> {name(&edge.target)}</div>
        }.into_any(),
        (None, Some(node)) => view! { <div class="row top"><h2 class="h">"Node"</h2></div> <div class="way">{name(&node.node)}</div> }.into_any(),
        (None, None) => view! { <p class="faint">"Select a node or an edge to see its figures."</p> }.into_any(),
    };
    let service = node.map(|node| node.node.as_str()).or(edge.map(|edge| edge.target.as_str()));
    let service = service.filter(|node| Family::of(node) == Family::Service).map(|node| label(node).to_owned());
    let explore = service.as_ref().map(|service| {
        ExploreState { filter: condition::write("service", "=", service), range, ..ExploreState::default() }.link()
    });
    let slowest = edge.and_then(|edge| edge.slowest_journey).map(|id| format!("/j/{id}{carried}"));
    let failed = edge.and_then(|edge| edge.failed_journey).map(|id| format!("/j/{id}{carried}"));
    let mut worst: Vec<&api::MapEdge> =
        shown_edges(answer, now.kinds).into_iter().map(|at| &answer.edges[at]).collect();
    worst.sort_by_key(|edge| std::cmp::Reverse(slow_nanos(edge, &edge.now)));
    let rows = worst.into_iter().take(14).map(|edge| {
        let key = edge_key(edge);
        let (slow, times) = (slow_nanos(edge, &edge.now), slower(edge));
        let look = match (is_bad(&edge.now), is_slow(edge)) {
            (true, _) => "num semi bad",
            (_, true) => "num semi hot",
            _ => "num semi",
        };
        view! {
            <button class="w" on:click=move |_| change.run(State { selected: Some(key.clone()), ..state.get_untracked() })>
                <span class="ell row">{name(&edge.source)} <span class="faint">"→"</span> {name(&edge.target)}</span>
                <span class=look>{slow.map_or_else(|| "–".to_owned(), |nanos| format::duration(nanos.max(0) as u64))}</span>
                <span class="num faint">{times.map(|times| format!("{}×", format::factor(times)))}</span>
            </button>
        }
    });
    view! {
        <section class="sel">
            {head}
            <dl class="kv fig">{lines.into_iter().map(|(name, value, before)| view! { <dt>{name}</dt> <dd><b>{value}</b> " " <span class="faint">{before}</span></dd> }).collect_view()}</dl>
            <div class="row acts-row">
                {slowest.map(|link| view! { <a class="btn s primary" href=link>"Slowest journey"</a> })}
                {failed.map(|link| view! { <a class="btn s" href=link>"One that failed"</a> })}
                {explore.map(|link| view! { <a class="btn s" href=link>"Its traces"</a> })}
            </div>
        </section>
        <section>
            <h2 class="h top">"Edges, slowest first"</h2>
            {rows.collect_view()}
        </section>
    }
}

fn table(
    answer: &Arc<MapAnswer>,
    state: Memo<State>,
    change: Callback<State>,
    shared: Shared,
) -> impl IntoView + use<> {
    let mut shown: Vec<usize> = shown_edges(answer, state.get().kinds);
    shown.sort_by_key(|at| std::cmp::Reverse(answer.edges[*at].now.calls));
    let duration =
        |nanos: Option<i64>| nanos.map_or_else(|| "–".to_owned(), |nanos| format::duration(nanos.max(0) as u64));
    let rows = shown.into_iter().take(1_000).map(|at| {
        let edge = &answer.edges[at];
        let key = edge_key(edge);
        let chosen = key.clone();
        let bad = is_bad(&edge.now);
        view! {
            <tr aria-selected=move || state.with(|state| state.selected.as_deref() == Some(key.as_str())).to_string()
                on:click=move |_| change.run(State { selected: Some(chosen.clone()), ..state.get_untracked() })>
                <td><span class=format!("svc {}", class_of(shared, &edge.source))>{label(&edge.source).to_owned()}</span></td>
                <td><span class=format!("svc {}", class_of(shared, &edge.target))>{label(&edge.target).to_owned()}</span></td>
                <td><span class="proto" class:async=edge.style == "async">{names::badge(&edge.protocol, &edge.system)}</span></td>
                <td class="num">{rate(edge.now.per_minute)}</td>
                <td class="num" class:bad=bad>{errors(&edge.now)}</td>
                <td class="num dim">{duration(edge.now.p50_nanos)}</td>
                <td class="num semi">{duration(edge.now.p95_nanos)}</td>
                <td class="num" class:hot=is_slow(edge)>{duration(edge.now.lag_p95_nanos)}</td>
                <td class="num dim">{slower(edge).map_or_else(|| "–".to_owned(), format::factor)}</td>
                <td class="faint">{edge.changes.join(", ")}</td>
            </tr>
        }
    });
    view! {
        <div class="lst" tabindex="0">
            <table>
                <caption class="sr">"Edges of the service map"</caption>
                <thead><tr><th>"From"</th><th>"To"</th><th>"Via"</th><th class="num" aria-sort="descending">"Rate"</th><th class="num">"Errors"</th><th class="num">"p50"</th><th class="num">"p95"</th><th class="num">"Wait p95"</th><th class="num">"× before"</th><th>"Changes"</th></tr></thead>
                <tbody>{rows.collect_view()}</tbody>
            </table>
        </div>
    }
}

fn matrix(answer: &Arc<MapAnswer>, state: Memo<State>, change: Callback<State>) -> impl IntoView + use<> {
    let now = state.get();
    let shown: Vec<usize> = shown_edges(answer, now.kinds);
    let ends = |of: fn(&api::MapEdge) -> &String| {
        let mut all: Vec<String> = shown.iter().map(|at| of(&answer.edges[*at]).clone()).collect();
        all.sort_unstable();
        all.dedup();
        all.truncate(crate::view::map::NODES_MAX);
        all
    };
    let (sources, targets) = (ends(|edge| &edge.source), ends(|edge| &edge.target));
    let head =
        targets.iter().map(|target| view! { <th class="num" title=target.clone()>{label(target).to_owned()}</th> });
    let rows = sources.iter().map(|source| {
        let cells = targets.iter().map(|target| {
            let edge = shown.iter().map(|at| &answer.edges[*at]).find(|edge| edge.source == *source && edge.target == *target);
            match edge {
                Some(edge) => {
                    let key = edge_key(edge);
                    let look = if is_bad(&edge.now) { "bad" } else if is_slow(edge) { "hot" } else { "" };
                    view! { <td class="num"><button class=look on:click=move |_| change.run(State { selected: Some(key.clone()), ..state.get_untracked() })>{edge_label(edge, now.measure)}</button></td> }.into_any()
                }
                None => view! { <td></td> }.into_any(),
            }
        });
        view! { <tr><th scope="row" title=source.clone()>{label(source).to_owned()}</th>{cells.collect_view()}</tr> }
    });
    view! {
        <div class="lst matrix" tabindex="0">
            <table>
                <caption class="sr">"Who calls whom: rows call columns"</caption>
                <thead><tr><th>"From \\ to"</th>{head.collect_view()}</tr></thead>
                <tbody>{rows.collect_view()}</tbody>
            </table>
        </div>
    }
}
