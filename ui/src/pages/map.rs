//! The service map: who talks to whom, as graph, matrix and table. All three hold the same numbers.
//!
//! URL: `/map`, `view` (`matrix`, `table`), `kinds`, `measure`, `sel` (a node, or `source>target`), `focus=1`
//! (only the selection's neighbours), `group` (`namespace`; `0`: never; else with more than 60 nodes), `vs` (compared with the range so long before, `1d` or `7d`; `0`: with none; else with the one right before).
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
use wasm_bindgen::JsCast as _;

use self::details::details;
use self::graph::Graph;
use self::lists::{matrix, table};
use self::over_time::OverTime;
use self::partitions::Partitions;
use crate::app::{Shared, now_nanos, shared, there};
use crate::asking::ask_newest;
use crate::client;
use crate::components::environments::{Elsewhere, Environments};
use crate::components::keys::on_key;
use crate::components::states::{EmptyState, ErrorBox, LoadingBar, Skeleton};
use crate::view::journey::facts::{Family, label};
use crate::view::map::{Kinds, Measure, NODES_MAX, shown_edges, slow_nanos, slower};
use crate::view::namespaces::{Namespaces, is_group};
use crate::view::scope::Scope;
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
    against: Against,
    group: String,
}

/// What the range is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Against {
    /// The range of the same length right before.
    #[default]
    Before,
    /// The same a day before.
    Day,
    /// The same a week before.
    Week,
    /// Nothing.
    None,
}

impl Against {
    /// All, with what the URL and the list call them.
    const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::Before, "", "the range before"),
        (Self::Day, "1d", "a day before"),
        (Self::Week, "7d", "a week before"),
        (Self::None, "0", "nothing"),
    ];

    fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|(_, known, _)| *known == name).map(|(against, ..)| against).unwrap_or_default()
    }

    fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(against, ..)| *against == self).map(|(_, name, _)| name).unwrap_or_default()
    }

    /// As the API calls it: where the other range begins.
    fn start(self, range: &RangeText) -> Option<String> {
        const DAY: i64 = 86_400_000_000_000;
        let earlier = |nanos: i64| Some(clock::rfc3339(clock::parse(&range.from, now_nanos())?.checked_sub(nanos)?));
        match self {
            Self::Before => Some("previous".to_owned()),
            Self::Day => earlier(DAY),
            Self::Week => earlier(7 * DAY),
            Self::None => None,
        }
    }
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
                "group" => state.group = value,
                "vs" => state.against = Against::named(&value),
                _ => {}
            }
        }
        state
    }

    /// Services stand together by namespace: asked for, or too many to be drawn one by one.
    fn is_grouped(&self, answer: &MapAnswer) -> bool {
        match self.group.as_str() {
            "namespace" => true,
            "0" => false,
            _ => self.kinds.n_nodes(answer) > NODES_MAX,
        }
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
            ("group", Some(self.group.as_str()).filter(|group| !group.is_empty())),
            ("vs", Some(self.against.name()).filter(|name| !name.is_empty())),
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
    let scope = Memo::new(move |_| Scope::read(&search.get()));
    let state = Memo::new(move |_| State::read(&search.get()));
    let found = RwSignal::new(None::<Result<Arc<MapAnswer>, Problem>>);
    let against = Memo::new(move |_| state.with(|state| state.against));
    let asking = ask_newest(
        move || Some((scope.get(), against.get())),
        |(scope, against)| async move { client::map(&scope, against.start(&scope.range).as_deref()).await },
        move |answer| {
            if let Ok(answer) = &answer {
                let services = answer.nodes.iter().filter(|node| node.kind == "service");
                shared.see_services(services.map(|node| node.label.as_str()));
            }
            found.set(Some(answer.map(Arc::new)));
        },
    );
    let loading = asking.loading;
    // Namespaces are asked for where they are drawn.
    let wants = Memo::new(move |_| {
        let (found, state) = (found.read(), state.read());
        found.as_ref().and_then(|found| found.as_ref().ok()).is_some_and(|answer| state.is_grouped(answer))
    });
    let spaces = RwSignal::new(None::<Arc<Namespaces>>);
    ask_newest(
        move || wants.get().then(|| scope.get()),
        |scope| async move { client::namespaces(&scope).await },
        move |answer| spaces.set(Some(Arc::new(answer.unwrap_or_default()))),
    );
    let grouped = Memo::new_with_compare(
        move |_| {
            let (found, spaces) = (found.read(), spaces.get().filter(|_| wants.get())?);
            let answer = found.as_ref()?.as_ref().ok()?;
            // Nobody asked for it: only where it helps.
            let is_asked = state.with(|state| !state.group.is_empty());
            (is_asked || spaces.are_several()).then_some(())?;
            Some(Groups { answer: Arc::new(spaces.grouped(answer)), spaces })
        },
        |_, _| true,
    );
    let change = Callback::new(move |state: State| {
        let link = format!("/map{}", state.query(&search.get_untracked()));
        navigate(&link, NavigateOptions { replace: true, scroll: false, ..NavigateOptions::default() });
    });
    on_key(move |event, key| {
        let mut next = state.get_untracked();
        match key {
            "t" => next.view = if next.view == "table" { String::new() } else { "table".to_owned() },
            "f" if next.selected.is_some() => next.focus = !next.focus,
            "Escape" if next.selected.is_some() => (next.selected, next.focus) = (None, false),
            "ArrowLeft" | "ArrowRight" | "ArrowUp" | "ArrowDown" if next.view.is_empty() && !is_beside(event) => {
                let selected = next.selected.as_deref();
                let groups = grouped.get_untracked().filter(|_| !next.focus);
                let found = found.with_untracked(|found| match (found, groups) {
                    (_, Some(groups)) => {
                        along(&groups.answer, &shown_edges(&groups.answer, next.kinds), selected?, key)
                    }
                    (Some(Ok(answer)), None) => along(answer, &shown_edges(answer, next.kinds), selected?, key),
                    _ => None,
                });
                let Some(found) = found else { return false };
                next.selected = Some(found);
            }
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
        <Tools state grouped change/>
        {move || match found.get() {
            None => view! { <Skeleton rows=12/> }.into_any(),
            Some(Err(problem)) => {
                let retry = asking.retry();
                view! { <ErrorBox problem retry/> }.into_any()
            }
            Some(Ok(answer)) if answer.edges.is_empty() => nothing(&answer).into_any(),
            Some(Ok(answer)) => whole(answer, scope.get_untracked().env, grouped, state, change, shared).into_any(),
        }}
    }
}

/// True for a key in the panel beside the graph, where arrows scroll.
fn is_beside(event: &web_sys::KeyboardEvent) -> bool {
    let target = event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok());
    target.is_some_and(|target| target.closest("aside").is_ok_and(|aside| aside.is_some()))
}

/// What an arrow leads to: right and left go along edges, from a node over its busiest edge to the next one; up and down go to the other
/// edges of the same node.
fn along(answer: &MapAnswer, shown: &[usize], selected: &str, key: &str) -> Option<String> {
    let edges = || shown.iter().filter_map(|at| answer.edges.get(*at));
    let busiest = |at: &dyn Fn(&api::MapEdge) -> bool| {
        edges().filter(|edge| at(edge)).max_by_key(|edge| edge.now.calls).map(edge_key)
    };
    match (selected.split_once('>'), key) {
        (None, "ArrowRight") => busiest(&|edge| edge.source == selected),
        (None, "ArrowLeft") => busiest(&|edge| edge.target == selected),
        (None, _) => None,
        (Some((_, target)), "ArrowRight") => Some(target.to_owned()),
        (Some((source, _)), "ArrowLeft") => Some(source.to_owned()),
        (Some((source, _)), _) => {
            let keys: Vec<String> = edges().filter(|edge| edge.source == source).map(edge_key).collect();
            let at = keys.iter().position(|key| key == selected)?;
            let next = if key == "ArrowDown" { at + 1 } else { at + keys.len() - 1 };
            keys.into_iter().cycle().nth(next)
        }
    }
}

fn nothing(answer: &MapAnswer) -> impl IntoView + use<> {
    let services = answer.nodes.len() as u64;
    view! {
        <EmptyState title="Nobody talked to anybody in this time range">
            <span class="dim">
                {if services > 0 { format!("{} sent spans, but no call or message between them was seen. ", format::counted(services, "service")) } else { String::new() }}
                "Edges are made of spans of kind client and server, producer and consumer, whose context travels with the request."
            </span>
            <Elsewhere/>
            <a class="btn s primary" href=there("/explore")>"Go to Explore"</a>
        </EmptyState>
    }
}

#[component]
fn Tools(state: Memo<State>, grouped: Memo<Option<Groups>>, change: Callback<State>) -> impl IntoView {
    let is_grouped = move || grouped.read().is_some() || state.with(|state| state.group == "namespace");
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
            <button class="btn s" class:on=is_grouped aria-pressed=move || is_grouped().to_string() title="Services of one namespace are one node of the graph" on:click=move |_| {
                let group = if untrack(is_grouped) { "0" } else { "namespace" };
                change.run(State { group: group.to_owned(), ..state.get_untracked() });
            }>"By namespace"</button>
            <span class="sepv"></span>
            <span class="faint n">"Edges show"</span>
            <div class="seg" role="group" aria-label="Edges show">
                {Measure::ALL.map(|(measure, _, name)| view! {
                    <button aria-pressed=move || state.with(|state| state.measure == measure).to_string() on:click=move |_| {
                        change.run(State { measure, ..state.get_untracked() });
                    }>{name}</button>
                })}
            </div>
            <label class="faint n">"against "
                <select prop:value=move || state.with(|state| state.against.name()) on:change=move |event| {
                    change.run(State { against: Against::named(&event_target_value(&event)), ..state.get_untracked() });
                }>
                    {Against::ALL.map(|(against, name, title)| view! {
                        <option value=name selected=move || state.with(|state| state.against == against)>{title}</option>
                    })}
                </select>
            </label>
            <Environments/>
        </div>
    }
}

/// The map of namespaces, and which services they stand for.
#[derive(Clone)]
struct Groups {
    answer: Arc<MapAnswer>,
    spaces: Arc<Namespaces>,
}

fn whole(
    answer: Arc<MapAnswer>,
    env: Option<String>,
    grouped: Memo<Option<Groups>>,
    state: Memo<State>,
    change: Callback<State>,
    shared: Shared,
) -> impl IntoView {
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
    let asked = (OverTime::new(&answer, env.clone(), selected), Partitions::new(&answer, env, selected));
    let (main, side) = (Arc::clone(&answer), answer);
    view! {
        <div class="split">
            <div class="col">
                {move || match state.with(|state| state.view.clone()).as_str() {
                    "table" => table(&main, state, change, shared).into_any(),
                    "matrix" => matrix(&main, state, change).into_any(),
                    _ => view! { <Graph answer=Arc::clone(&main) grouped state change/> }.into_any(),
                }}
                <div class="status">
                    <span><kbd>"Tab"</kbd> "next node"</span>
                    <span><kbd>"Enter"</kbd> "select"</span>
                    <span><kbd>"←"</kbd><kbd>"→"</kbd> "along an edge"</span>
                    <span><kbd>"↑"</kbd><kbd>"↓"</kbd> "another edge"</span>
                    <span><kbd>"F"</kbd> "only its neighbours"</span>
                    <span><kbd>"T"</kbd> "table"</span>
                    <span class="grow"></span>
                    <span>{foot}</span>
                </div>
            </div>
            <aside class="insp" aria-label="Map details">
                <div class="scroll" tabindex="0">
                    {move || details(&side, grouped.get().as_ref(), &state.get(), asked, change, state, shared)}
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
        Family::Service if is_group(node) => "ext".to_owned(),
        Family::Service => shared.color_class(label(node)),
        Family::Broker => "broker mono".to_owned(),
        _ => "ext".to_owned(),
    }
}

fn is_slow(edge: &api::MapEdge) -> bool {
    slower(edge).is_some_and(|times| times >= 2.0)
        && slow_nanos(edge, &edge.now).is_some_and(|nanos| nanos > 10_000_000)
}

#[cfg(test)]
mod tests {
    use api::{MapEdge, MapFigures};

    use super::*;

    fn edge(source: &str, target: &str, calls: u64) -> MapEdge {
        let now = MapFigures { calls, ..MapFigures::default() };
        MapEdge { source: source.to_owned(), target: target.to_owned(), now, ..MapEdge::default() }
    }

    /// The busiest way first, its end next, and around the ways out of one node; where no way goes, nothing is selected.
    #[test]
    fn arrows_go_along_edges() {
        let edges = vec![edge("a", "b", 1), edge("a", "c", 5), edge("b", "c", 2)];
        let answer = MapAnswer { edges, ..MapAnswer::default() };
        let go = |selected: &str, key: &str| along(&answer, &[0, 1, 2], selected, key);
        assert_eq!(go("a", "ArrowRight").as_deref(), Some("a>c"));
        assert_eq!(go("a>c", "ArrowRight").as_deref(), Some("c"));
        assert_eq!(go("c", "ArrowLeft").as_deref(), Some("a>c"));
        assert_eq!(go("a>c", "ArrowDown").as_deref(), Some("a>b"));
        assert_eq!(go("a>b", "ArrowUp").as_deref(), Some("a>c"));
        assert_eq!([go("c", "ArrowRight"), go("a", "ArrowUp"), go("x>y", "ArrowUp")], [None, None, None]);
        assert_eq!(along(&answer, &[0], "c", "ArrowLeft"), None, "not shown");
    }

    /// What the URL says comes back as it was.
    #[test]
    fn the_view_is_a_url() {
        let state = State {
            against: Against::Week,
            group: "namespace".to_owned(),
            focus: true,
            selected: Some("a>b".to_owned()),
            ..State::default()
        };
        let query = state.query("?from=now-1d");
        assert!(query.contains("vs=7d"), "{query}");
        assert_eq!(State::read(&query), state);
        assert_eq!(State::read("?vs=nonsense").against, Against::Before);
    }
}
