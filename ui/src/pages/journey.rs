//! One journey: header, tabs, and the Journey tab itself.
//!
//! URL: `/j/:trace`, `tab` (`flame`, `table`, `logs`), `hop` (from 1), `x` (part of the time, `start-end` in nanoseconds), `cp=0` (no critical
//! path), `fold=0` (waits unfolded), `skew=1` (clocks aligned), `lanes` (order, hidden), `cause` (span that
//! picks the cause of an ambiguous seed), `wider` (times as many traces and spans as usual), `cut` (traces whose join the reader does not believe), `find` (text looked for), `group` and `sort` (of the Table tab).

use std::sync::Arc;

use api::{JourneyAnswer, Problem};
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_location, use_navigate, use_params_map};
use model::{SpanId, TraceId};

use super::trace::{Absent, copy_link, load_more};
use crate::app::{Shared, shared, there};
use crate::asking::{Turns, ask_newest};
use crate::client;
use crate::components::icon::{Icon, icon};
use crate::components::journey::diagram::{Diagram, pattern};
use crate::components::journey::flame::FlameTab;
use crate::components::journey::hop_table::HopTable;
use crate::components::journey::inspector::{JourneyInspector, copy_ids, evidence, letter};
use crate::components::journey::lanes::LanePanel;
use crate::components::journey::minimap::MiniMap;
use crate::components::journey::moments::MomentsTab;
use crate::components::journey::table::TableTab;
use crate::components::journey::tabs::{known, tabs};
use crate::components::journey::{Scene, Tour, node_class};
use crate::components::keys::{focus_field, is_control, on_key};
use crate::components::states::{ErrorBox, LoadingBar, Skeleton};
use crate::view::journey::cut::{cuts, wider};
use crate::view::journey::hops::Verdict;
use crate::view::journey::lanes::LaneChoice;
use crate::view::journey::listing::{Group, Key};
use crate::view::{clock, format, url};

/// Loads the journey of the URL and shows it.
#[component]
pub(crate) fn JourneyPage() -> impl IntoView {
    let shared = shared();
    let params = use_params_map();
    let search = use_location().search;
    let asked = Memo::new(move |_| {
        let cause = parameter(&search.get(), "cause").and_then(|span| SpanId::from_hex(&span));
        let cut = parameter(&search.get(), "cut").unwrap_or_default();
        (params.with(|params| params.get("journey").unwrap_or_default()), cause, cut, wider(&search.get()))
    });
    let found = RwSignal::new(None::<Result<Arc<JourneyAnswer>, Problem>>);
    let asking = ask_newest(
        move || Some(asked.get()),
        |(text, cause, cut, wider)| async move {
            match TraceId::from_hex(&text) {
                Some(trace_id) => client::journey(trace_id, cause, &cut, wider).await,
                None => Err(Problem {
                    kind: "not-an-id".to_owned(),
                    title: "This is not a trace id".to_owned(),
                    detail: format!(
                        "A journey is named by a trace id: 32 hex digits, not all zero. “{text}” is something else."
                    ),
                    status: 404,
                    position: None,
                }),
            }
        },
        move |answer| found.set(Some(answer.map(Arc::new))),
    );
    let retry = asking.retry();
    view! {
        <LoadingBar active=asking.loading/>
        {move || match found.get() {
            None => view! { <Skeleton rows=24/> }.into_any(),
            Some(Ok(answer)) if answer.spans.is_empty() => view! { <Absent text=asked.get_untracked().0 retry/> }.into_any(),
            Some(Ok(answer)) => journey(answer, shared, retry).into_any(),
            Some(Err(problem)) if problem.status == 404 && problem.kind != "not-an-id" => {
                view! { <Absent text=asked.get_untracked().0 retry/> }.into_any()
            }
            Some(Err(problem)) => view! { <ErrorBox problem retry/> }.into_any(),
        }}
    }
}

fn parameter(search: &str, name: &str) -> Option<String> {
    url::pairs(search).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

fn journey(answer: Arc<JourneyAnswer>, shared: Shared, retry: Callback<()>) -> impl IntoView {
    shared.see_services(answer.lanes.iter().filter(|lane| lane.kind == "service").map(|lane| lane.label.as_str()));
    let search = use_location().search;
    let id = answer.id;
    let first = search.get_untracked();
    let tour = Tour::new(answer, parameter(&first, "skew").as_deref() == Some("1"));
    restore(tour, &first);
    follow(tour);
    spawn_local(async move {
        // What is usual comes when it is there; without it nothing is claimed.
        if let Ok(usual) = client::compare(id, "usual").await
            && tour.hop.try_get_untracked().is_some()
        {
            tour.set_usual(usual);
        }
    });
    let navigate = use_navigate();
    let open_span = Callback::new(move |span: usize| {
        let scene = tour.scene.get_untracked();
        let span = &scene.facts.spans[span];
        if let Some(member) = scene.facts.members.get(span.member) {
            let carried = url::shared(&search.get_untracked());
            navigate(&format!("/t/{}/{}{carried}", member.trace_id, span.id), NavigateOptions::default());
        }
    });
    let tab = Memo::new(move |_| known(&parameter(&search.get(), "tab").unwrap_or_default()));
    use_keys(tour, shared, tab, open_span);
    let has_lanes = tour.scene.with_untracked(|scene| scene.has_lanes());
    let scene = tour.scene.get_untracked();
    let spans = scene.facts.spans.len() as u64;
    let origin = move || {
        let scene = tour.scene.get();
        scene.facts.members.first().map(|member| member.trace_id).unwrap_or(id)
    };
    let to_waterfall = move || format!("/t/{}{}", origin(), url::shared(&search.get()));
    let has_skew = tour.answer().clocks.iter().any(|clock| clock.shift_nanos != 0);
    view! {
        {head(tour, shared, retry)}
        <div class="tabs">
            {tabs(move || tab.get(), id, origin, spans)}
            <span class="grow"></span>
            {move || (tab.get() != "journey").then(|| find_box(tour))}
            {has_skew.then(|| toggle("Align clocks", Icon::Clock, tour.aligned, "Draw corrected times instead of the senders'"))}
            {move || (tab.get() == "journey").then(|| view! {
                <LanePanel tour/>
                {toggle("Critical path", Icon::Track, tour.track, "What held up the last effect (C)")}
                {toggle("Fold waits", Icon::Fold, tour.fold, "Stretches in which nothing ran take little room (F)")}
            })}
            <a class="btn s" href=there(format!("/compare?a={id}&b=usual"))>{icon(Icon::Compare, false)} "Compare"</a>
        </div>
        <div class="split" class:wide=move || !tour.inspector.get()>
            <div class="col jcol">
                {move || match tab.get() {
                    "flame" => view! { <FlameTab tour open_span/> }.into_any(),
                    "table" => view! { <TableTab tour open_span/> }.into_any(),
                    "logs" => view! { <TrueScale tour/> <MomentsTab tour open_span/> }.into_any(),
                    _ => lanes(tour, has_lanes, to_waterfall, open_span).into_any(),
                }}
            </div>
            <Show when=move || tour.inspector.get()><JourneyInspector tour open_span/></Show>
        </div>
    }
}

/// The Journey tab: lanes and their twin, the hop table.
fn lanes(
    tour: Tour,
    has_lanes: bool,
    to_waterfall: impl Fn() -> String + Copy + Send + Sync + 'static,
    open_span: Callback<usize>,
) -> impl IntoView {
    let clocks = move || {
        let answer = tour.answer();
        let moved = answer.clocks.iter().filter(|clock| clock.shift_nanos != 0).count() as u64;
        match (moved, tour.aligned.get()) {
            (0, _) => "Clock skew: raw times, none needed correcting".to_owned(),
            (moved, false) => format!("Clock skew: raw times; {} disagree", format::counted(moved, "clock")),
            (moved, true) => format!("Clock skew: {} aligned", format::counted(moved, "clock")),
        }
    };
    view! {
        {if has_lanes {
            view! { <Diagram tour open_span/> }.into_any()
        } else {
            view! {
                <div class="notice">"One service took part, so there is nothing to draw between services. "
                    <a class="acc" href=to_waterfall>"The waterfall"</a>
                    " shows what it did. Lanes appear when spans of kind client, server, producer or consumer carry the context from service to service."
                </div>
            }.into_any()
        }}
        <HopTable tour/>
        <div class="status">
            <span><kbd>"J"</kbd><kbd>"K"</kbd> "next, previous hop"</span>
            <span><kbd>"W"</kbd><kbd>"S"</kbd> "zoom"</span>
            <span><kbd>"A"</kbd><kbd>"D"</kbd> "pan"</span>
            <span><kbd>"["</kbd><kbd>"]"</kbd> "follow the message"</span>
            <span><kbd>"C"</kbd> "critical path"</span>
            <span><kbd>"T"</kbd> "table"</span>
            <span class="grow"></span>
            <span>{clocks}</span>
        </div>
    }
}

/// The whole journey in true scale, for tabs without lanes.
#[component]
fn TrueScale(tour: Tour) -> impl IntoView {
    let host = NodeRef::<leptos::html::Div>::new();
    let width = RwSignal::new(0.0_f64);
    let measure = move || {
        // A frame later the reader may be on another page.
        if let Some(host) = host.try_get_untracked().flatten() {
            width.try_set(f64::from(host.client_width()));
        }
    };
    Effect::new(move |_| {
        host.track();
        tour.inspector.track();
        request_animation_frame(measure);
    });
    let handle = window_event_listener(leptos::ev::resize, move |_| measure());
    on_cleanup(move || handle.remove());
    let hatching = view! { <svg class="jy defs" aria-hidden="true"><defs>{pattern("wait")} {pattern("wait-hot")} {pattern("wait-bad")}</defs></svg> };
    view! { <div class="scale" node_ref=host>{hatching}<MiniMap tour left=174.0 right=Signal::derive(move || width.get().max(480.0) - 12.0)/></div> }
}

/// Looks for a text in names and services.
fn find_box(tour: Tour) -> impl IntoView {
    view! {
        <div class="find" role="search">
            {icon(Icon::Search, true)}
            <input id="find" type="text" autocomplete="off" spellcheck="false" aria-label="Find in this journey" placeholder="Find in this journey"
                prop:value=tour.find on:input=move |event| tour.find.set(event_target_value(&event))/>
        </div>
    }
}

fn toggle(name: &'static str, image: Icon, on: RwSignal<bool>, title: &'static str) -> impl IntoView {
    view! {
        <button class="btn s" class:on=move || on.get() aria-pressed=move || on.get().to_string() title=title on:click=move |_| on.update(|on| *on = !*on)>
            {icon(image, false)} {name}
        </button>
    }
}

/// Reads the view out of the URL.
fn restore(tour: Tour, search: &str) {
    let is_off = |name: &str| parameter(search, name).as_deref() == Some("0");
    tour.track.set(!is_off("cp"));
    tour.fold.set(!is_off("fold"));
    tour.lanes.set(LaneChoice::read(&parameter(search, "lanes").unwrap_or_default()));
    tour.inspector.set(!is_off("panel"));
    if let Some((from, to)) = parameter(search, "x").and_then(|text| {
        let (from, to) = text.split_once('-')?;
        Some((from.parse::<u64>().ok()?, to.parse::<u64>().ok()?))
    }) && from < to
    {
        tour.show(from as f64, to as f64);
    }
    tour.find.set(parameter(search, "find").unwrap_or_default());
    let group = parameter(search, "group").and_then(|name| Group::ALL.into_iter().find(|(_, known, _)| *known == name));
    let sort = parameter(search, "sort").unwrap_or_default();
    let key = Key::ALL.into_iter().find(|(_, known)| *known == sort.trim_start_matches('-'));
    tour.order.set((
        group.map(|(group, ..)| group).unwrap_or_default(),
        key.map(|(key, _)| key).unwrap_or_default(),
        sort.starts_with('-'),
    ));
    let hop = parameter(search, "hop").and_then(|hop| hop.parse::<usize>().ok());
    let hop = hop.and_then(|hop| hop.checked_sub(1));
    let hop = hop.filter(|hop| tour.scene.with_untracked(|scene| *hop < scene.hops.len()));
    if hop.is_some() {
        tour.choose(hop);
    }
}

/// Keeps the URL in step with the view, once things are at rest.
fn follow(tour: Tour) {
    let navigate = use_navigate();
    let change = Turns::new();
    Effect::new(move |first: Option<()>| {
        let hop = tour.hop.get().map(|hop| (hop + 1).to_string());
        let shown = tour.window.get().map(|window| format!("{:.0}-{:.0}", window.start, window.end));
        let off = |on: bool| (!on).then_some("0");
        let (track, fold, panel) = (off(tour.track.get()), off(tour.fold.get()), off(tour.inspector.get()));
        let skew = tour.aligned.get().then_some("1");
        let lanes = tour.lanes.read().text();
        let find = Some(tour.find.get().trim().to_owned()).filter(|text| !text.is_empty());
        let (group, key, descending) = tour.order.get();
        let group = Group::ALL
            .into_iter()
            .find(|(known, ..)| *known == group && group != Group::default())
            .map(|(_, name, _)| name);
        let key = Key::ALL.into_iter().find(|(known, _)| *known == key).map(|(_, name)| name).unwrap_or_default();
        let sort = (key != "start" || descending).then(|| format!("{}{key}", if descending { "-" } else { "" }));
        if first.is_none() {
            return;
        }
        let turn = change.next();
        let navigate = navigate.clone();
        spawn_local(async move {
            gloo_timers::future::TimeoutFuture::new(120).await;
            let location = window().location();
            let (path, search) = (location.pathname().unwrap_or_default(), location.search().unwrap_or_default());
            if !turn.is_newest() || !path.starts_with("/j/") {
                return;
            }
            let changes = [
                ("hop", hop.as_deref()),
                ("x", shown.as_deref()),
                ("cp", track),
                ("fold", fold),
                ("skew", skew),
                ("lanes", lanes.as_deref()),
                ("panel", panel),
                ("find", find.as_deref()),
                ("group", group),
                ("sort", sort.as_deref()),
            ];
            let link = format!("{path}{}", url::with_parameters(&search, &changes));
            if link != format!("{path}{search}") {
                navigate(&link, NavigateOptions { replace: true, scroll: false, ..NavigateOptions::default() });
            }
        });
    });
}

fn use_keys(tour: Tour, shared: Shared, tab: Memo<&'static str>, open_span: Callback<usize>) {
    let handle = window_event_listener(leptos::ev::keydown, move |event| {
        let is_here = document().active_element().is_some_and(|field| field.id() == "find");
        if (event.ctrl_key() || event.meta_key()) && event.key() == "f" && !is_here && tab.get_untracked() != "journey"
        {
            event.prevent_default();
            focus_field("find");
        }
    });
    on_cleanup(move || handle.remove());
    on_key(move |event, key| {
        match key {
            "." => tour.inspector.update(|shown| *shown = !*shown),
            "y" => copy_link(shared),
            "/" if tab.get_untracked() != "journey" => focus_field("find"),
            _ if tab.get_untracked() == "journey" => return diagram_key(tour, open_span, event, key),
            _ => return false,
        }
        true
    });
}

fn diagram_key(tour: Tour, open_span: Callback<usize>, event: &web_sys::KeyboardEvent, key: &str) -> bool {
    {
        let middle = || {
            let window = untrack(|| tour.shown());
            f64::midpoint(window.start, window.end)
        };
        match key {
            "j" | "ArrowDown" => tour.step(true),
            "k" | "ArrowUp" => tour.step(false),
            "[" => tour.follow(true),
            "]" => tour.follow(false),
            "c" => tour.track.update(|on| *on = !*on),
            "f" => {
                tour.opened.set(Vec::new());
                tour.fold.update(|on| *on = !*on);
            }
            "o" => tour.window.set(None),
            "z" => tour.zoom_to_hop(),
            "t" => focus_table(),
            "Enter" if !is_control(event) => {
                let scene = tour.scene.get_untracked();
                let span = tour.hop.get_untracked().and_then(|at| scene.hops.get(at)).map(|row| row.spans[0]);
                match span {
                    Some(span) => open_span.run(span),
                    None => return false,
                }
            }
            _ => match event.code().as_str() {
                "KeyW" => tour.zoom(middle(), 0.6),
                "KeyS" => tour.zoom(middle(), 1.0 / 0.6),
                "KeyA" => tour.pan(-0.25),
                "KeyD" => tour.pan(0.25),
                _ => return false,
            },
        }
    }
    true
}

fn focus_table() {
    let table = document().get_element_by_id("hops");
    if let Some(table) = table.and_then(|table| wasm_bindgen::JsCast::dyn_into::<web_sys::HtmlElement>(table).ok()) {
        let _ = table.focus();
    }
}

fn head(tour: Tour, shared: Shared, retry: Callback<()>) -> impl IntoView {
    let answer = tour.answer();
    let scene = tour.scene.get_untracked();
    let facts = &scene.facts;
    let root = facts.root.map(|root| &facts.spans[root]);
    let entry = facts.calls.iter().find(|call| call.is_entry && call.server == facts.root);
    let badge = root.map(|root| root.badge.clone()).unwrap_or_default();
    let failed = root.is_some_and(|root| root.failed);
    let status = answer
        .calls
        .iter()
        .find(|call| call.missing.as_deref() == Some("entry") && entry.is_some())
        .and_then(|call| call.status.clone())
        .filter(|status| !status.is_empty());
    let services = facts.nodes.iter().filter(|node| node.starts_with("service:")).count() as u64;
    let brokers = facts.nodes.iter().filter(|node| node.starts_with("queue:")).count() as u64;
    let errors = facts.spans.iter().filter(|span| span.failed).count() as u64;
    let carried = url::shared(&use_location().search.get_untracked());
    let members = facts.members.iter().take(6).enumerate().map(|(at, member)| {
        let id = member.trace_id.to_hex();
        let (why, sure) = evidence(&member.joined_by, &member.confidence);
        let join = (at > 0).then(|| {
            let title = format!("{}→{}: {why}, {sure}", member.cause.map(letter).unwrap_or_default(), letter(at));
            view! { <i class="lk" class:inf=sure != "certain" title=title></i> }
        });
        view! {
            {join}
            <a class="t" href=format!("/t/{id}{carried}") title=format!("Trace {id}")>
                <b>{letter(at)}</b><span class="mono dim">{id[..8].to_owned()}</span>
                <span class="faint">{if at == 0 { format::counted(member.n_spans, "span") } else { format::count(member.n_spans) }}</span>
            </a>
        }
    });
    let others = facts.members.len().saturating_sub(6);
    let mut notes: Vec<String> = Vec::new();
    if let Some(truncated) = &answer.truncated {
        notes.push(format!(
            "Not everything is shown: {} left out ({})",
            format::count(truncated.left_out),
            truncated.reason
        ));
    }
    if answer.incomplete {
        notes
            .push(answer.incomplete_reason.clone().unwrap_or_else(|| "The answer does not hold everything".to_owned()));
    }
    if answer.orphans > 0 {
        notes.push(format!("{} not received", format::counted(answer.orphans, "parent span")));
    }
    let search = use_location().search.get_untracked();
    let cut = cuts(&search).len() as u64;
    if cut > 0 {
        notes.push(format!("Without {} that you cut off", format::counted(cut, "trace")));
    }
    if answer.candidates.len() > 1 {
        notes.push(format!("Several causes: {}", format::counted(answer.candidates.len() as u64, "trace")));
    }
    let candidates = answer.candidates.iter().take(4).map(|trace| {
        view! { <a class="acc" href=format!("/j/{trace}{carried}")>{format::short_id(&trace.to_hex())}</a> }
    });
    let more = answer.truncated.as_ref().and_then(|_| load_more(&search, format!("/j/{}", answer.id)));
    let is_open = !answer.settled;
    let start: i64 = answer.start_unix_nano.parse().unwrap_or_default();
    let (settled, response) = (facts.settled_nanos as u64, facts.response_nanos as u64);
    view! {
        <div class="thead">
            <h1>
                {(!badge.is_empty()).then(|| view! { <span class="proto">{badge}</span> })}
                <span class="ell" title=answer.name.clone()>{answer.name.clone()}</span>
                {status.map(|status| view! { <span class="chip" class:good=!failed class:bad=failed>{status}</span> })}
                {failed.then(|| view! { <span class="chip bad">"error"</span> })}
            </h1>
            <div class="stitch" aria-label="Traces stitched into this journey">
                {members.collect_view()}
                {(others > 0).then(|| view! { <span class="faint more-members">{format!("+ {others}")}</span> })}
                {copy_ids(shared, &scene)}
            </div>
            <p class="verdict">
                <b>{format::duration(settled)}</b>
                {if settled > response { "to the last effect" } else { "until the caller had its answer" }}
                {(settled > response).then(|| view! { <span class="faint">"·"</span> <span>"caller answered in " <b>{format::duration(response)}</b></span> })}
                <span class="faint">"·"</span>
                {move || verdict(tour, shared)}
                {notes.into_iter().map(|note| view! { <span class="chip hot" title=note.clone()><span class="ell">{note.clone()}</span></span> }).collect_view()}
                {more}
                {candidates.collect_view()}
                {is_open.then(|| view! { <button class="chip acc" title="Spans may still arrive" on:click=move |_| retry.run(())>"still settling, look again"</button> })}
                <span class="grow"></span>
                <span class="faint">{format!("{}, {}", format::counted(services, "service"), format::counted(brokers, "broker"))}</span>
                {(errors > 0).then(|| view! { <span class="bad">{format::counted(errors, "error")}</span> })}
                <span class="faint">{clock::day_and_time(start)}</span>
            </p>
        </div>
    }
}

/// What held it up most, in a sentence.
fn verdict(tour: Tour, shared: Shared) -> impl IntoView {
    let scene: Arc<Scene> = tour.scene.get();
    let (at, is_bottleneck) = match scene.verdict {
        Verdict::Bottleneck(at) => (at, true),
        Verdict::Longest(at) => (at, false),
        Verdict::Nothing => return view! { <span class="dim">"no single bottleneck"</span> }.into_any(),
    };
    let row = &scene.hops[at];
    let facts = &scene.facts;
    let title = match row.usual {
        Some(usual) => format!(
            "{} here, usually {}: {} more, of {} in all",
            format::duration(row.took as u64),
            format::duration(usual as u64),
            format::duration((row.took - usual).max(0.0) as u64),
            format::duration(facts.settled_nanos as u64)
        ),
        None => "The longest hop on the critical path; what is usual is not known yet".to_owned(),
    };
    let name = |node: usize| {
        let is_broker = node_class(shared, facts, node).starts_with("broker");
        view! { <b class:mono=is_broker>{facts.label(node).to_owned()}</b> }
    };
    let nanos = if is_bottleneck { row.took } else { row.between };
    let usual = row
        .usual
        .zip(row.factor())
        .map(|(usual, factor)| format!(", {}× the usual {}", format::factor(factor), format::duration(usual as u64)));
    let what = match row.queue {
        Some(queue) if row.tries > 1 => {
            view! { " in " {name(queue)} " until " {name(row.to)} " took it, " {format!("{} attempts", row.tries)} }
                .into_any()
        }
        Some(queue) => {
            view! { " in " {row.badge.clone()} " " {name(queue)} " before " {name(row.to)} " took it" }.into_any()
        }
        None => view! { " from " {name(row.from)} " to " {name(row.to)} }.into_any(),
    };
    view! {
        <button class="chip" class:hot=is_bottleneck class:line=!is_bottleneck title=title on:click=move |_| tour.choose(Some(at))>
            {if is_bottleneck { "Bottleneck" } else { "Longest" }}
        </button>
        <span class="sentence"><b>{format::duration(nanos as u64)}</b> {what} {usual}</span>
    }
    .into_any()
}
