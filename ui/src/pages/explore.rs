//! Explore: journeys, traces or spans that match a filter, over time and duration and as a table.
//!
//! Everything shown is in the URL (`unit`, `q`, `sort`, `cols`, `plot`, `brush`, `live`, `from`, `to`), so a link restores it.
//! Keys: `J` `K` row, `Enter` open, `X` mark, `C` compare two, `/` filter, `B` brush, `L` live.
//!
//! | file         | draws                                              |
//! |--------------|----------------------------------------------------|
//! | `facets.rs`  | facets at the side, figures and switches above     |
//! | `heatmap.rs` | hits over time and duration, with a selection      |
//! | `deploys.rs` | marks in it: new versions of one service           |
//! | `differs.rs` | what differs between the selection and the rest    |
//! | `live.rs`    | listens to new hits                                |
//! | `rows.rs`    | the table                                          |
//! | `cells.rs`   | what stands in its columns                         |
//! | `chosen.rs`  | which columns it has                               |
//! | `views.rs`   | the same question as SQL, and views that are kept  |
//! | `stop.rs`    | questions that take long, and giving them up       |
//! | `nothing.rs` | an empty list: why, and how to send the first span |

mod cells;
mod chosen;
mod deploys;
mod differs;
mod facets;
mod heatmap;
mod live;
mod nothing;
mod rows;
mod stop;
mod views;

use std::sync::Arc;

use api::{FacetsAnswer, HistogramAnswer, Problem, SearchAnswer, SearchItem};
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_location, use_navigate};

use self::chosen::Columns;
use self::differs::Differs;
use self::facets::{Facets, Figures, toggled};
use self::heatmap::Heatmap;
use self::live::News;
use self::rows::Rows;
use self::stop::{Part, Running, Slow};
use self::views::{Language, Views};
use crate::app::cross;
use crate::app::shared;
use crate::asking::{Turns, ask_newest, by_the_clock};
use crate::client;
use crate::components::keys::{focus_element, is_control, on_key};
use crate::components::states::{ErrorBox, LoadingBar};
use crate::components::token_bar::TokenBar;
use crate::view::format;
use crate::view::url::{self, ExploreState};

/// Rows kept on the page at most; beyond, the filter should say more.
const ROWS_MAX: usize = 2_000;

/// Columns and rows of the heatmap.
const COLUMNS: usize = 120;
const LEVELS: usize = 34;

/// What was loaded for the present view.
#[derive(Clone, Default)]
struct Found {
    items: Vec<SearchItem>,
    next_cursor: Option<String>,
    /// Figures of the last answer.
    answer: SearchAnswer,
    problem: Option<Problem>,
    /// The view these rows belong to.
    state: Option<ExploreState>,
}

/// The list of traces or spans.
#[component]
pub(crate) fn ExplorePage() -> impl IntoView {
    let shared = shared();
    let search = use_location().search;
    let navigate = use_navigate();
    let state = Memo::new(move |_| ExploreState::read(&search.get()));
    let found = RwSignal::new(Found::default());
    let loading = RwSignal::new(true);
    // Rows of an older question, shown until the answer is there.
    let stale = RwSignal::new(false);
    let reload = RwSignal::new(0u32);
    let selected = RwSignal::new(None::<usize>);
    let answer = RwSignal::new(None::<Arc<HistogramAnswer>>);
    let facets = RwSignal::new(None::<FacetsAnswer>);
    let every = RwSignal::new(false);
    let news = RwSignal::new(News::default());
    // Rows marked for comparing: at most two.
    let marked = RwSignal::new(Vec::<String>::new());

    // Answers to an older question are thrown away.
    let question = Turns::new();
    let running = Running::new();
    let load = move |cursor: Option<String>| {
        let asked = state.get_untracked();
        let turn = question.next();
        loading.set(true);
        stale.set(cursor.is_none());
        let calls = running.begin(Part::List);
        spawn_local(async move {
            let answer = client::search(&asked, client::PAGE_ROWS, cursor.as_deref(), &calls).await;
            if !turn.is_newest() {
                return;
            }
            loading.set(false);
            stale.set(false);
            match answer {
                Ok(mut answer) => {
                    let items = std::mem::take(&mut answer.items);
                    shared.see_services(items.iter().flat_map(names));
                    found.update(|found| {
                        if cursor.is_none() {
                            found.items.clear();
                        }
                        found.items.extend(items);
                        found.next_cursor = answer.next_cursor.take().filter(|_| found.items.len() < ROWS_MAX);
                        found.problem = None;
                        found.state = Some(asked);
                        found.answer = answer;
                    });
                }
                Err(problem) => found.update(|found| {
                    found.problem = Some(problem);
                    found.state = Some(asked);
                }),
            }
        });
    };
    // What is listed (read, not only tracked: a memo nobody reads is never computed): a selection or another plot changes the picture, not the rows.
    let listed = Memo::new(move |_| {
        let state = state.get();
        (state.unit, state.filter, state.sort, state.range)
    });
    Effect::new(move |_| {
        let _ = listed.get();
        reload.track();
        selected.set(None);
        marked.set(Vec::new());
        news.update(|news| (news.items, news.count, news.is_cut) = (Vec::new(), 0, false));
        load(None);
    });
    let pictured = Memo::new(move |_| {
        let state = state.get();
        (state.unit, state.filter, state.plot, state.range)
    });
    // What the picture is of: looking again at the same by the clock does not make it pale, and does not take it away.
    let drawn = RwSignal::new(None);
    let picture = ask_newest(
        move || {
            reload.track();
            Some((pictured.get(), state.get_untracked()))
        },
        move |(of, asked)| {
            let calls = running.begin(Part::Picture);
            async move { (of, client::histogram(&asked, COLUMNS, LEVELS, &calls).await) }
        },
        move |(of, found)| {
            // Its problem is the list's too, and stands there.
            if found.is_ok() || drawn.with_untracked(|drawn| drawn.as_ref() != Some(&of)) {
                answer.set(found.ok().map(Arc::new));
            }
            drawn.set(Some(of));
        },
    );
    let redrawing = Signal::derive(move || {
        picture.loading.get() && drawn.with(|drawn| pictured.with(|of| drawn.as_ref() != Some(of)))
    });
    let counted = Memo::new(move |_| {
        let state = state.get();
        (state.unit, state.filter, state.range)
    });
    ask_newest(
        move || {
            let _ = counted.get();
            reload.track();
            Some((state.get_untracked(), if every.get() { "*" } else { "" }))
        },
        move |(asked, keys)| {
            let calls = running.begin(Part::Facets);
            async move { client::facets(&asked, keys, &calls).await }
        },
        move |found| {
            let Ok(found) = found else { return };
            let services = found.facets.iter().filter(|facet| facet.key == "service").flat_map(|facet| &facet.values);
            shared.see_services(services.map(|value| value.value.as_str()));
            facets.set(Some(found));
        },
    );
    live::listen(state, news);
    // New hits go to the top of the list when nobody is using it; else they wait behind the pill.
    let pointer = RwSignal::new(false);
    let list = NodeRef::<leptos::html::Div>::new();
    let take = move || {
        let taken = news.try_update(|news| {
            (std::mem::take(&mut news.items), std::mem::take(&mut news.count), std::mem::take(&mut news.is_cut))
        });
        let Some((items, count, is_cut)) = taken else { return };
        if count == 0 {
            return;
        }
        if is_cut || state.with_untracked(|state| state.sort != url::Sort::Newest) {
            reload.update(|count| *count += 1);
            return;
        }
        shared.see_services(items.iter().flat_map(names));
        selected.update(|at| *at = at.map(|at| at + items.len()));
        found.update(|found| {
            found.items.retain(|old| !items.iter().any(|new| id(new) == id(old)));
            found.items.splice(0..0, items);
            found.items.truncate(ROWS_MAX);
        });
    };
    let in_use = move || {
        pointer.get_untracked()
            || selected.get_untracked().is_some()
            || list.get_untracked().is_some_and(|list| list.scroll_top() > 0)
    };
    Effect::new(move |_| {
        if news.with(|news| news.count > 0) && !in_use() {
            take();
        }
    });
    // A live picture moves on: every ten seconds while the view is live.
    by_the_clock(std::time::Duration::from_secs(10), move || {
        if state.try_with_untracked(|state| state.live) == Some(true) && drag_free() {
            picture.again();
        }
    });
    let stop = Callback::new(move |seconds: u32| {
        running.give_up();
        question.overtake();
        loading.set(false);
        stale.set(false);
        found.update(|found| {
            found.problem = Some(stop::stopped(seconds));
            found.state = Some(state.get_untracked());
        });
    });
    let more = move || {
        if !loading.get_untracked()
            && let Some(cursor) = found.with_untracked(|found| found.next_cursor.clone())
        {
            load(Some(cursor));
        }
    };

    let go = {
        let navigate = navigate.clone();
        Callback::new(move |state: ExploreState| {
            navigate(&state.link(), NavigateOptions { scroll: false, ..NavigateOptions::default() });
        })
    };
    let set_filter = Callback::new(move |filter: String| go.run(ExploreState { filter, ..state.get_untracked() }));
    let compare = {
        let navigate = navigate.clone();
        move |marked: &[String]| {
            let link = url::carry(&format!("/compare?a={}&b={}", marked[0], marked[1]), &search.get_untracked());
            if !cross(&link) {
                navigate(&link, NavigateOptions::default());
            }
        }
    };
    let compare_marked = compare.clone();
    let open = Callback::new(move |position: usize| {
        if let Some(link) =
            found.with_untracked(|found| found.items.get(position).map(|item| link(item, &search.get_untracked())))
            && !cross(&link)
        {
            navigate(&link, NavigateOptions::default());
        }
    });
    on_key(move |event, key| {
        let count = found.with_untracked(|found| found.items.len());
        match key {
            "j" | "k" | "ArrowDown" | "ArrowUp" if count > 0 => {
                let down = matches!(key, "j" | "ArrowDown");
                let next = match (selected.get_untracked(), down) {
                    (None, _) => 0,
                    (Some(at), true) => (at + 1).min(count - 1),
                    (Some(at), false) => at.saturating_sub(1),
                };
                if next + 5 >= count {
                    more();
                }
                selected.set(Some(next));
                scroll_to_row(next);
            }
            "r" => reload.update(|count| *count += 1),
            "l" => go.run(toggled(state)),
            "d" if state.with_untracked(|state| state.brush.is_some()) => focus_element("differs"),
            "x" => {
                let id =
                    selected.get_untracked().and_then(|at| found.with_untracked(|found| found.items.get(at).map(id)));
                let Some(id) = id else { return false };
                marked.update(|marked| match marked.iter().position(|other| *other == id) {
                    Some(at) => {
                        marked.remove(at);
                    }
                    None => {
                        marked.push(id);
                        if marked.len() > 2 {
                            marked.remove(0);
                        }
                    }
                });
            }
            "c" if marked.with_untracked(|marked| marked.len() == 2) => compare(&marked.get_untracked()),
            "Enter" if !is_control(event) => match selected.get_untracked() {
                Some(at) => open.run(at),
                None => return false,
            },
            _ => return false,
        }
        true
    });

    let filter = Signal::derive(move || state.get().filter);
    let names = Signal::derive(move || {
        let facets = facets.read();
        let services = facets.iter().flat_map(|answer| &answer.facets).filter(|facet| facet.key == "service");
        services.flat_map(|facet| &facet.values).map(|value| value.value.clone()).collect::<Vec<_>>()
    });
    let has_brush = move || state.with(|state| state.brush.is_some());
    view! {
        <div class="q"><TokenBar filter services=names change=set_filter/> <Language state/> <Columns state go/> <Views state/></div>
        <div class="ex" class:three=has_brush>
            <Facets state facets every go/>
            <div class="col">
                <Figures state answer news go reload/>
                <Show when=move || answer.with(|answer| answer.as_ref().is_some_and(|answer| answer.count > 0))>
                    <Heatmap state answer old=redrawing go/>
                </Show>
                <div
                    class="lst"
                    node_ref=list
                    on:scroll=move |event| near_end(&event).then(more).unwrap_or_default()
                    on:pointerenter=move |_| pointer.set(true)
                    on:pointerleave=move |_| pointer.set(false)
                >
                    {move || {
                        let waiting = news.with(|news| news.count);
                        (waiting > 0).then(|| view! {
                            <button class="pill" on:click=move |_| {
                                selected.set(None);
                                if let Some(list) = list.get_untracked() {
                                    list.set_scroll_top(0);
                                }
                                take();
                            }>{format!("{} new", format::count(waiting))}</button>
                        })
                    }}
                    <LoadingBar active=loading/>
                    <Slow loading stop/>
                    {move || {
                        let Some(problem) = found.with(|found| found.problem.clone()) else {
                            return view! { <Rows found stale state selected marked open reload set_filter go answer/> }.into_any();
                        };
                        let query = state.get_untracked().filter;
                        let retry = Callback::new(move |()| reload.update(|count| *count += 1));
                        view! { <ErrorBox problem query retry/> }.into_any()
                    }}
                    <Show when=move || found.with(|found| found.next_cursor.is_some() && found.problem.is_none())>
                        <div class="more">
                            <button class="btn s" disabled=loading on:click=move |_| more()>
                                {move || if loading.get() { "Loading …" } else { "Load more" }}
                            </button>
                        </div>
                    </Show>
                </div>
                <div class="status">
                    <span><kbd>"/"</kbd> "edit filter"</span>
                    <span><kbd>"J"</kbd><kbd>"K"</kbd> "row"</span>
                    <span><kbd>"Enter"</kbd> "open"</span>
                    <span><kbd>"X"</kbd> "mark two to compare"</span>
                    <span><kbd>"B"</kbd> "select in the picture"</span>
                    <span><kbd>"D"</kbd> "what differs"</span>
                    <span><kbd>"L"</kbd> "live"</span>
                    <span><kbd>"?"</kbd> "all keys"</span>
                    <span class="grow"></span>
                    {move || {
                        let marked = marked.get();
                        let compare = compare_marked.clone();
                        match marked.len() {
                            0 => ().into_any(),
                            1 => view! { <span class="acc">"1 marked, mark another"</span> }.into_any(),
                            _ => view! { <button class="btn s" on:click=move |_| compare(&marked)>"Compare the two " <kbd>"C"</kbd></button> }.into_any(),
                        }
                    }}
                    {move || news.with(|news| news.refusal.clone()).map(|refusal| view! { <span class="hot ell" title=refusal.detail.clone()>{format!("no live hits: {}", refusal.title)}</span> })}
                    {move || news.with(|news| news.is_broken && news.refusal.is_none()).then(|| view! { <span class="hot">"the stream of new hits broke off; trying again"</span> })}
                    {move || found.with(|found| foot(found).map(|foot| view! { <span>{foot}</span> }))}
                </div>
            </div>
            <Show when=has_brush><Differs state go/></Show>
        </div>
    }
}

/// True while nobody draws a selection: the picture must not move under the pointer.
fn drag_free() -> bool {
    document().query_selector(".hm:hover").ok().flatten().is_none()
}

/// What tells a hit from others.
fn id(item: &SearchItem) -> String {
    match item {
        SearchItem::Journey(item) => item.id.clone(),
        SearchItem::Trace(item) => item.trace_id.to_hex(),
        SearchItem::Span(item) => format!("{}{}", item.trace_id, item.span_id),
    }
}

/// What the last answer cost, and whether it holds everything.
fn foot(found: &Found) -> Option<String> {
    found.state.as_ref().filter(|_| found.problem.is_none())?;
    let answer = &found.answer;
    let shown = format::counted(found.items.len() as u64, "row");
    let read = format!(
        "read {} rows in {} of {} segments, {} ms",
        format::count(answer.rows_read),
        format::count(answer.segments_read),
        format::count(answer.segments_total),
        answer.elapsed_ms.round()
    );
    let cut = match (&answer.incomplete_reason, answer.incomplete) {
        (Some(reason), _) => format!(" · incomplete: {reason}"),
        (None, true) => " · incomplete".to_owned(),
        _ => String::new(),
    };
    Some(format!("{shown} · {read}{cut}"))
}

/// Services of a hit, in the order of its picture.
fn names(item: &SearchItem) -> Vec<&str> {
    match item {
        SearchItem::Trace(item) => std::iter::once(item.service.as_str())
            .chain(item.services.iter().map(|share| share.name.as_str()))
            .collect(),
        SearchItem::Span(item) => vec![item.service.as_str()],
        SearchItem::Journey(item) => {
            std::iter::once(item.service.as_str()).chain(item.services.iter().map(String::as_str)).collect()
        }
    }
}

fn link(item: &SearchItem, search: &str) -> String {
    let carried = url::shared(search);
    match item {
        // One service has no way between services: its waterfall says more.
        SearchItem::Trace(item) if item.services.len() < 2 => format!("/t/{}{carried}", item.trace_id),
        SearchItem::Trace(item) => format!("/j/{}{carried}", item.trace_id),
        SearchItem::Journey(item) if item.services.len() < 2 && item.traces < 2 => format!("/t/{}{carried}", item.id),
        SearchItem::Journey(item) => format!("/j/{}{carried}", item.id),
        SearchItem::Span(item) => format!("/t/{}/{}{carried}", item.trace_id, item.span_id),
    }
}

fn near_end(event: &web_sys::Event) -> bool {
    let list = event.target().and_then(|target| wasm_bindgen::JsCast::dyn_into::<web_sys::Element>(target).ok());
    list.is_some_and(|list| list.scroll_top() + list.client_height() + 400 > list.scroll_height())
}

fn scroll_to_row(position: usize) {
    request_animation_frame(move || {
        if let Some(row) = document().get_element_by_id(&format!("row-{position}")) {
            let options = web_sys::ScrollIntoViewOptions::new();
            options.set_block(web_sys::ScrollLogicalPosition::Nearest);
            row.scroll_into_view_with_scroll_into_view_options(&options);
        }
    });
}
