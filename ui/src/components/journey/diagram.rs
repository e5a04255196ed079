//! Swimlanes: who worked when, what waited where, and the one line that held everything up.

use std::sync::Arc;

use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;

use super::minimap::MiniMap;
use super::{Scene, Tour, node_class};
use crate::app::{Shared, shared};
use crate::components::draw::{self, Shape};
use crate::view::format;
use crate::view::journey::facts::Family;
use crate::view::journey::hops::Verdict;
use crate::view::journey::lanes::LaneChoice;
use crate::view::journey::layout::{Align, Layout, Shape as Box};
use crate::view::journey::picture::{ArrowKind, Picture, Tone};
use crate::view::journey::scale::Scale;

/// Where time begins, in pixels: left of it stand the names.
const LEFT: f64 = 166.0;
/// Free space at the right.
const RIGHT: f64 = 12.0;
/// Free space before the first moment.
const LEAD: f64 = 8.0;
/// Height of the ruler.
const RULER: f64 = 26.0;
/// Letters of a lane's name that fit.
const NAME_LETTERS: usize = 19;
const MONO_LETTERS: usize = 17;

/// Everything needed to draw.
struct Drawn {
    scene: Arc<Scene>,
    scale: Scale,
    layout: Layout,
    width: f64,
}

/// Minimap, ruler and lanes.
#[component]
pub(crate) fn Diagram(
    /// The journey.
    tour: Tour,
    /// Opens a span in the waterfall.
    open_span: Callback<usize>,
) -> impl IntoView {
    let shared = shared();
    let host = NodeRef::<html::Div>::new();
    let width = RwSignal::new(0.0_f64);
    Effect::new(move |_| {
        let Some(host) = host.get() else { return };
        let measured = host.clone();
        let measure = move || width.set(f64::from(measured.client_width()));
        measure();
        let on_resize = Closure::<dyn FnMut()>::new(measure);
        if let Ok(observer) = web_sys::ResizeObserver::new(on_resize.as_ref().unchecked_ref()) {
            observer.observe(&host);
            let keep = StoredValue::new_local(Some((observer, on_resize)));
            on_cleanup(move || {
                keep.update_value(|kept| {
                    if let Some((observer, _)) = kept.take() {
                        observer.disconnect();
                    }
                });
            });
        }
    });
    // Changes with everything it draws: comparing would cost more than drawing.
    let drawn = Memo::new_with_compare(
        move |_| {
            let (scene, wide) = (tour.scene.get(), width.get().max(480.0));
            let opened = tour.opened.get();
            let folds: Vec<(usize, f64, f64)> = if tour.fold.get() {
                let all = scene.quiet.iter().enumerate().filter(|(at, _)| !opened.contains(at));
                all.map(|(at, (from, to))| (at, *from, *to)).collect()
            } else {
                Vec::new()
            };
            let scale = Scale::new(tour.shown(), &folds, LEFT + LEAD, wide - LEFT - LEAD - RIGHT);
            let shown = tour.lanes.with(|choice| choice.shown(&scene.picture, &scene.lane_nodes()));
            let layout = Layout::new(&scene.picture, &scale, &shown);
            Arc::new(Drawn { scene, scale, layout, width: wide })
        },
        |_, _| true,
    );
    // What the pointer is on.
    let number = |event: &web_sys::MouseEvent, name: &str| {
        let target = event.target()?.dyn_into::<web_sys::Element>().ok()?;
        target.closest(&format!("[{name}]")).ok()??.get_attribute(name)?.parse::<usize>().ok()
    };
    let click = move |event: web_sys::MouseEvent| {
        if let Some(fold) = number(&event, "data-fold") {
            tour.opened.update(|opened| opened.push(fold));
        } else if let Some(hop) = number(&event, "data-hop") {
            tour.choose(Some(hop));
        }
    };
    let open = move |event: web_sys::MouseEvent| {
        if let Some(span) = number(&event, "data-span") {
            open_span.run(span);
        }
    };
    let wheel = move |event: web_sys::WheelEvent| {
        if event.ctrl_key()
            && let Some(host) = host.get_untracked()
        {
            event.prevent_default();
            let x = f64::from(event.client_x()) - host.get_bounding_client_rect().left();
            let around = drawn.with_untracked(|drawn| drawn.scale.moment(x));
            tour.zoom(around, (event.delta_y() / 300.0).exp());
        }
    };
    let (ruler_node, lanes_node) = (NodeRef::<leptos::svg::Svg>::new(), NodeRef::<leptos::svg::Svg>::new());
    let (track_node, ring_node) = (NodeRef::<leptos::svg::G>::new(), NodeRef::<leptos::svg::G>::new());
    let (ground_node, heads_node) = (NodeRef::<leptos::svg::G>::new(), NodeRef::<leptos::svg::G>::new());
    Effect::new(move |_| {
        let drawn = drawn.get();
        let (Some(ruler_node), Some(lanes_node)) = (ruler_node.get(), lanes_node.get()) else { return };
        let (Some(ground), Some(heads_node)) = (ground_node.get(), heads_node.get()) else { return };
        let (width, height) = (format!("{}", drawn.width), format!("{:.1}", drawn.layout.height.max(40.0)));
        let _ = ruler_node.set_attribute("width", &width);
        let _ = lanes_node.set_attribute("width", &width);
        let _ = lanes_node.set_attribute("height", &height);
        let _ = lanes_node.set_attribute("aria-label", &summary(&drawn.scene));
        draw::replace(&ruler_node, ruler(&drawn));
        draw::replace(&ground, lanes(shared, &drawn, tour.aligned.get_untracked()));
        draw::replace(&heads_node, over(&drawn));
    });
    Effect::new(move |_| {
        let (drawn, is_on) = (drawn.get(), tour.track.get());
        if let Some(node) = track_node.get() {
            draw::replace(&node, if is_on { track(&drawn.layout) } else { Vec::new() });
        }
    });
    Effect::new(move |_| {
        let (drawn, hop) = (drawn.get(), tour.hop.get());
        if let Some(node) = ring_node.get() {
            draw::replace(&node, hop.map(|hop| ring(&drawn, hop)).unwrap_or_default());
        }
    });
    view! {
        <div class="jdiagram" node_ref=host on:click=click on:dblclick=open on:wheel=wheel>
            <MiniMap tour left=LEFT + LEAD right=Signal::derive(move || width.get().max(480.0) - RIGHT)/>
            <svg class="jruler" node_ref=ruler_node height=RULER aria-hidden="true"></svg>
            <div class="jlanes" tabindex="0" role="group" aria-label="Journey diagram">
                <svg class="jy" node_ref=lanes_node role="img">
                    <defs>
                        {pattern("wait")} {pattern("wait-hot")} {pattern("wait-bad")}
                        <filter id="glow" x="-5%" y="-20%" width="110%" height="140%"><feGaussianBlur stdDeviation="3"/></filter>
                    </defs>
                    <g node_ref=ground_node></g>
                    <g node_ref=ring_node></g>
                    <g class="track" node_ref=track_node></g>
                    <g node_ref=heads_node></g>
                </svg>
                {move || {
                    let away = drawn.with(|drawn| drawn.layout.hidden);
                    let hidden = tour.n_hidden();
                    let folded = away.saturating_sub(hidden);
                    let more = move |n: usize, why: &str, show: fn(&mut LaneChoice)| (n > 0).then(|| view! {
                        <button class="btn s quiet jmore" on:click=move |_| tour.lanes.update(show)>
                            {format!("+ {} {why}", format::counted(n as u64, "lane"))}
                        </button>
                    });
                    view! {
                        {more(folded, "off the critical path", |choice| choice.all = true)}
                        {more(hidden, "hidden", LaneChoice::show_hidden)}
                    }
                }}
            </div>
        </div>
    }
}

/// Hatching: what waits.
pub(crate) fn pattern(id: &'static str) -> impl IntoView {
    view! {
        <pattern id=id width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
            <rect class="a" width="5" height="5"/>
            <rect class="b" width="1.4" height="5"/>
        </pattern>
    }
}

fn ruler(drawn: &Drawn) -> Vec<Shape> {
    let ticks = drawn.scale.ticks(84.0).into_iter().map(|mark| draw::text("", mark.x + 3.0, 16.0, &mark.label));
    let folds = drawn.scale.pieces().iter().filter(|piece| piece.fold.is_some()).map(|piece| {
        let middle = f64::midpoint(piece.left, piece.right);
        draw::path("zig", &format!("M{:.1},13h6l3,-5 6,10 3,-5h8", middle - 13.0))
    });
    let edge = draw::path("edge", &format!("M0,{}H{}M{},0V{RULER}", RULER - 0.5, drawn.width, LEFT - 0.5));
    ticks.chain(folds).chain([edge]).collect()
}

/// Everything under the track.
fn lanes(shared: Shared, drawn: &Drawn, aligned: bool) -> Vec<Shape> {
    let (scene, layout, width) = (&drawn.scene, &drawn.layout, drawn.width);
    let (facts, picture, height) = (&scene.facts, &scene.picture, layout.height.max(40.0));
    let mut shapes = Vec::new();
    for shape in &layout.lanes {
        let lane = &picture.lanes[shape.lane];
        let name = facts.label(lane.node);
        let middle = shape.y + (shape.height / 2.0).min(24.0);
        let is_broker = lane.family == Family::Broker;
        let (swatch, rounded, letters) = match lane.family {
            Family::Service => ("sq", "2", NAME_LETTERS),
            Family::Broker => ("sq broker", "0", MONO_LETTERS),
            _ => ("sq ext", "2", NAME_LETTERS),
        };
        let class = if is_broker { "name mono" } else { "name" };
        let group = draw::svg("g")
            .set("class", &format!("lane {}", node_class(shared, facts, lane.node)))
            .title(&format!("{name}\n{}", lane.note))
            .with(draw::rect("ground", 0.0, shape.y, width, shape.height))
            .with(draw::path("top", &format!("M0,{:.1}H{width}", shape.y + 0.5)))
            .with(draw::rect(swatch, 14.0, middle - 5.5, 9.0, 9.0).set("rx", rounded))
            .with(draw::text(class, 31.0, middle - 0.5, &short(name, letters)))
            .with(draw::text("note", 31.0, middle + 12.5, &short(&lane.note, 23)));
        if lane.shift != 0 {
            let verb = if aligned { "moved" } else { "clock" };
            let x = 31.0 + lane.note.chars().count().min(23) as f64 * 5.2 + 6.0;
            group.add(draw::text("skew", x, middle + 12.5, &format!("{verb} {}", format::signed_duration(lane.shift))));
        }
        shapes.push(group);
    }
    for (piece, fold) in drawn.scale.pieces().iter().filter_map(|piece| Some((piece, piece.fold?))) {
        let text = format::duration((piece.to - piece.from).max(0.0) as u64);
        let middle = f64::midpoint(piece.left, piece.right);
        let wide = text.chars().count() as f64 * 5.6 + 10.0;
        let edges = format!("M{:.1},0V{height}M{:.1},0V{height}", piece.left + 0.5, piece.right - 0.5);
        shapes.push(
            draw::svg("g")
                .set("class", "fold")
                .mark("data-fold", Some(fold))
                .title(&format!("{text} in which nothing ran; click to unfold"))
                .with(draw::rect("ground", piece.left, 0.0, piece.right - piece.left, height))
                .with(draw::path("edges", &edges))
                .with(draw::rect("pill", middle - wide / 2.0, 2.0, wide, 14.0).set("rx", "3"))
                .with(draw::text("", middle, 12.5, &text).set("text-anchor", "middle")),
        );
    }
    let grid: String = drawn.scale.ticks(84.0).iter().map(|mark| format!("M{:.1},0V{height}", mark.x)).collect();
    shapes.push(draw::path("grid", &grid));
    shapes.push(draw::path("edge", &format!("M{},0V{height}", LEFT - 0.5)));
    for line in &layout.lines {
        let class = match (line.kind, line.failed) {
            (ArrowKind::Call, _) => "call",
            (ArrowKind::Answer, false) => "answer",
            (ArrowKind::Answer, true) => "answer bad",
            (ArrowKind::Message, false) => "msg",
            (ArrowKind::Message, true) => "msg bad",
        };
        let ((x0, y0), (x1, y1)) = (line.from, line.to);
        shapes.push(draw::path(class, &format!("M{x0:.1},{y0:.1}L{x1:.1},{y1:.1}")));
    }
    shapes.extend(layout.bars.iter().map(|shape| bar(shared, scene, shape)));
    shapes.extend(layout.marks.iter().map(|shape| mark(shared, scene, shape)));
    shapes.extend(layout.dwells.iter().map(|shape| dwell(scene, shape)));
    if let Some((x, top, foot)) = answered(drawn) {
        let group = draw::svg("g").set("class", "answered");
        let line = draw::path("", &format!("M{x:.1},{top:.1}V{foot:.1}"));
        shapes.push(group.with(line).with(draw::text("", x + 5.0, foot - 3.0, "answered")));
    }
    shapes
}

fn bar(shared: Shared, scene: &Scene, shape: &Box) -> Shape {
    let (facts, picture) = (&scene.facts, &scene.picture);
    let bar = &picture.bars[shape.of];
    let node = picture.lanes[bar.lane].node;
    let who = facts.label(node);
    let took = format::duration((bar.end - bar.start).max(0.0) as u64);
    let failed = if bar.failed { ", failed" } else { "" };
    let look = match (bar.is_outside, bar.failed) {
        (true, true) => "out bad",
        (true, false) => "out",
        (false, true) => "bad",
        (false, false) => "",
    };
    let group = draw::svg("g")
        .set("class", &format!("bar {look} {}", node_class(shared, facts, node)))
        .mark("data-hop", scene.hop_of_span.get(&bar.span).copied())
        .mark("data-span", Some(bar.span))
        .title(&format!("{}\n{who}, {took}{failed}", bar.text))
        .with(draw::rect("box", shape.x, shape.y, shape.width, shape.height).set("rx", "3"));
    if !bar.is_outside {
        group.add(draw::rect("side", shape.x, shape.y, 2.5, shape.height).set("rx", "1"));
    }
    if !shape.text.is_empty() {
        group.add(draw::text("", shape.x + 7.0, shape.y + shape.height / 2.0 + 3.8, &shape.text));
    }
    group
}

fn mark(shared: Shared, scene: &Scene, shape: &Box) -> Shape {
    let (facts, picture) = (&scene.facts, &scene.picture);
    let mark = &picture.marks[shape.of];
    let node = picture.lanes[picture.bars[mark.bar].lane].node;
    let span = &facts.spans[mark.span];
    let class = match mark.tone {
        Tone::Plain => "mark",
        Tone::Pale => "mark pale",
        Tone::Send => "mark send",
        Tone::Failed => "mark bad",
        Tone::Backoff => "mark backoff",
    };
    let took = format::duration((mark.end - mark.start).max(0.0) as u64);
    let what = if mark.tone == Tone::Backoff { "waits before the next attempt" } else { &span.name };
    let badge = if span.badge.is_empty() { String::new() } else { format!("{}, ", span.badge) };
    draw::rect(&format!("{class} {}", node_class(shared, facts, node)), shape.x, shape.y, shape.width, shape.height)
        .set("rx", "1.5")
        .mark("data-hop", scene.hop_of_span.get(&mark.span).copied())
        .mark("data-span", Some(mark.span))
        .title(&format!("{what}\n{badge}{took}"))
}

fn dwell(scene: &Scene, shape: &Box) -> Shape {
    let dwell = &scene.picture.dwells[shape.of];
    let hop = &scene.facts.hops[dwell.hop];
    let look = match (dwell.is_redelivery, scene.hot[dwell.hop]) {
        (true, _) => "dwell bad",
        (false, true) => "dwell hot",
        (false, false) => "dwell",
    };
    let queue = scene.facts.label(hop.queue);
    let wait = format::duration(hop.wait as u64);
    let whom = if hop.group.is_empty() { String::new() } else { format!(" for {}", hop.group) };
    let title = match (dwell.is_overlap, dwell.is_redelivery) {
        (true, _) => format!("{queue}\nreceived before the sender was told that the broker has it"),
        (_, true) => format!("{queue}\nwaited {wait} for attempt {} of {}", hop.attempt, hop.attempts),
        _ => format!("{queue}\nwaited {wait}{whom}"),
    };
    let group = draw::svg("g")
        .set("class", look)
        .mark("data-hop", scene.hop_of_message.get(&dwell.hop).copied())
        .mark("data-span", Some(hop.consumer))
        .title(&title)
        .with(draw::rect("box", shape.x, shape.y, shape.width, shape.height).set("rx", "2"));
    if !shape.text.is_empty() {
        let wide = shape.text.chars().count() as f64 * 5.75 + 8.0;
        let middle = shape.y + shape.height / 2.0;
        group.add(draw::rect("pill", shape.x + 6.0, middle - 7.0, wide, 14.0).set("rx", "3"));
        group.add(draw::text("", shape.x + 10.0, middle + 3.8, &shape.text));
    }
    group
}

/// Heads of arrows and texts beside things: above the track.
fn over(drawn: &Drawn) -> Vec<Shape> {
    let layout = &drawn.layout;
    let heads = layout.lines.iter().filter_map(|line| Some((line.head()?, line.failed)));
    let heads = heads.map(|(head, failed)| draw::path(if failed { "head bad" } else { "head" }, &head));
    let labels = layout.labels.iter().map(|label| {
        let anchor = if label.align == Align::End { "end" } else { "start" };
        draw::text(&format!("beside {}", label.class), label.x, label.y, &label.text).set("text-anchor", anchor)
    });
    heads.chain(labels).collect()
}

/// The critical path with its halo.
fn track(layout: &Layout) -> Vec<Shape> {
    let mut shapes = vec![
        draw::path("halo", &format!("{}{}", layout.track, layout.track_dashed)),
        draw::path("", &layout.track),
        draw::path("dashed", &layout.track_dashed),
    ];
    if let Some((first, last)) = layout.track_ends {
        let end = |class: &str, at: (f64, f64), radius: &str| {
            draw::svg("circle").set("class", class).num("cx", at.0).num("cy", at.1).set("r", radius)
        };
        shapes.push(end("first", first, "3"));
        shapes.push(end("last", last, "3.4"));
    }
    shapes
}

/// A frame around the waits of the selected message, or around what the selected call reached.
fn ring(drawn: &Drawn, hop: usize) -> Vec<Shape> {
    let (scene, layout) = (&drawn.scene, &drawn.layout);
    let Some(row) = scene.hops.get(hop) else { return Vec::new() };
    let of_message = |shape: &&Box| row.messages.contains(&scene.picture.dwells[shape.of].hop);
    let of_call = |shape: &&Box| {
        let bar = &scene.picture.bars[shape.of];
        scene.picture.lanes[bar.lane].node == row.to && row.spans.contains(&bar.span)
    };
    let shapes: Vec<&Box> = if row.is_async() {
        layout.dwells.iter().filter(of_message).collect()
    } else {
        layout.bars.iter().filter(of_call).collect()
    };
    let frame = |shape: &Box| {
        draw::rect("ring", shape.x - 2.5, shape.y - 2.5, shape.width + 5.0, shape.height + 5.0).set("rx", "4")
    };
    shapes.into_iter().take(32).map(frame).collect()
}

/// Where the caller had its answer: only worth a mark when something went on after it.
fn answered(drawn: &Drawn) -> Option<(f64, f64, f64)> {
    let facts = &drawn.scene.facts;
    if facts.settled_nanos < facts.response_nanos * 1.02 {
        return None;
    }
    let root = facts.root?;
    let bar = drawn.scene.picture.bars.get(*drawn.scene.picture.bar_of.get(root)?)?;
    let lane = drawn.layout.lanes.iter().find(|shape| shape.lane == bar.lane)?;
    let end = facts.spans[root].end;
    drawn.scale.shows(end, end).then(|| (drawn.scale.x(end), lane.y, lane.y + lane.height))
}

/// One sentence for those who do not see the picture.
fn summary(scene: &Scene) -> String {
    let Picture { lanes, .. } = &scene.picture;
    let worst = match scene.verdict {
        Verdict::Bottleneck(at) | Verdict::Longest(at) => {
            let row = &scene.hops[at];
            format!(
                " The longest hop, number {}, leads from {} to {} and took {}.",
                at + 1,
                scene.facts.label(row.from),
                scene.facts.label(row.to),
                format::duration(row.between as u64)
            )
        }
        Verdict::Nothing => String::new(),
    };
    format!(
        "Journey diagram: {} over {} lanes, {} to the last effect.{worst} The hop table below holds the same; key T leads there.",
        format::counted(scene.hops.len() as u64, "hop"),
        lanes.len(),
        format::duration(scene.facts.settled_nanos as u64),
    )
}

fn short(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    text.chars().take(letters - 1).chain(std::iter::once('…')).collect()
}
