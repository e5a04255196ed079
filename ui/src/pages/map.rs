//! The service map: who talks to whom, as graph, matrix and table. All three hold the same numbers.
//!
//! URL: `/map`, `view` (`matrix`, `table`), `kinds`, `measure`, `sel` (a node, or `source>target`), `focus=1`
//! (only the selection's neighbours), `vs=0` (not compared with the range before).
//!
//! | file            | draws                                              |
//! |-----------------|----------------------------------------------------|
//! | `graph.rs`      | cards, pipes and the lines between them            |
//! | `lists.rs`      | the table of edges, and the matrix                 |
//! | `details.rs`    | what stands beside: the selection in figures       |
//! | `over_time.rs`  | the selected edge over time                        |
//! | `partitions.rs` | how long messages wait in each partition           |

mod details;
mod graph;
mod lists;
mod over_time;
mod partitions;

use std::sync::Arc;

use api::{MapAnswer, Problem};
use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_location, use_navigate};

use self::details::details;
use self::graph::Graph;
use self::lists::{matrix, table};
use self::over_time::OverTime;
use self::partitions::Partitions;
use crate::app::{Shared, now_nanos, shared, there};
use crate::asking::ask_newest;
use crate::client;
use crate::components::keys::on_key;
use crate::components::states::{EmptyState, ErrorBox, LoadingBar, Skeleton};
use crate::view::journey::facts::{Family, label};
use crate::view::map::{Kinds, Measure, shown_edges, slow_nanos, slower};
use crate::view::url::{self, RangeText};
use crate::view::{clock, format};

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
    let asking = ask_newest(
        move || Some(range.get()),
        |range| async move { client::map(&range, before(&range).as_deref()).await },
        move |answer| {
            if let Ok(answer) = &answer {
                let services = answer.nodes.iter().filter(|node| node.kind == "service");
                shared.see_services(services.map(|node| node.label.as_str()));
            }
            found.set(Some(answer.map(Arc::new)));
        },
    );
    let loading = asking.loading;
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
                asking.again();
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
                let retry = asking.retry();
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
            <a class="btn s primary" href=there("/explore")>"Go to Explore"</a>
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
    // The selection alone: another measure or view asks nothing again.
    let selected = Memo::new(move |_| state.with(|state| state.selected.clone()));
    let asked = (OverTime::new(&answer, selected), Partitions::new(&answer, selected));
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
                    {move || details(&side, &state.get(), asked, change, state, shared)}
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

fn is_slow(edge: &api::MapEdge) -> bool {
    slower(edge).is_some_and(|times| times >= 2.0)
        && slow_nanos(edge, &edge.now).is_some_and(|nanos| nanos > 10_000_000)
}
