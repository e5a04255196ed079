//! Explore: traces or spans that match a filter, as a table.
//!
//! Everything shown is in the URL (`unit`, `q`, `sort`, `from`, `to`), so a link restores it.
//! Keys: `J` `K` row, `Enter` open, `/` filter.
//!
//! | file         | draws                                              |
//! |--------------|----------------------------------------------------|
//! | `facets.rs`  | facets at the side, figures and switches above     |
//! | `rows.rs`    | the table                                          |
//! | `nothing.rs` | an empty list: why, and how to send the first span |

mod facets;
mod nothing;
mod rows;

use api::{Problem, SearchAnswer, SearchItem, ServiceItem};
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_location, use_navigate};

use self::facets::{Facets, Figures};
use self::rows::Rows;
use crate::app::shared;
use crate::client;
use crate::components::keys::{is_control, on_key};
use crate::components::states::{ErrorBox, LoadingBar};
use crate::components::token_bar::TokenBar;
use crate::view::format;
use crate::view::url::{self, ExploreState};

/// Rows kept on the page at most; beyond, the filter should say more.
const ROWS_MAX: usize = 2_000;

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
    let services = RwSignal::new(Vec::<ServiceItem>::new());

    // Answers to an older question are thrown away.
    let question = StoredValue::new(0u32);
    let load = move |cursor: Option<String>| {
        let asked = state.get_untracked();
        let number = question.get_value().wrapping_add(1);
        question.set_value(number);
        loading.set(true);
        stale.set(cursor.is_none());
        spawn_local(async move {
            let answer = client::search(&asked, client::PAGE_ROWS, cursor.as_deref()).await;
            if question.try_get_value() != Some(number) {
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
    Effect::new(move |_| {
        state.track();
        reload.track();
        selected.set(None);
        load(None);
    });
    let range = Memo::new(move |_| state.get().range);
    Effect::new(move |_| {
        let range = range.get();
        reload.track();
        spawn_local(async move {
            if let Ok(mut answer) = client::services(&range).await {
                answer.services.sort_by(|a, b| b.spans.cmp(&a.spans).then_with(|| a.name.cmp(&b.name)));
                shared.see_services(answer.services.iter().map(|service| service.name.as_str()));
                services.try_set(answer.services);
            }
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
    let open = Callback::new(move |position: usize| {
        if let Some(link) =
            found.with_untracked(|found| found.items.get(position).map(|item| link(item, &search.get_untracked())))
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
            "Enter" if !is_control(event) => match selected.get_untracked() {
                Some(at) => open.run(at),
                None => return false,
            },
            _ => return false,
        }
        true
    });

    let filter = Signal::derive(move || state.get().filter);
    let names = Signal::derive(move || services.get().into_iter().map(|service| service.name).collect::<Vec<_>>());
    view! {
        <div class="q"><TokenBar filter services=names change=set_filter/></div>
        <div class="ex">
            <Facets state services go/>
            <div class="col">
                <Figures state services go reload/>
                <div class="lst" on:scroll=move |event| near_end(&event).then(more).unwrap_or_default()>
                    <LoadingBar active=loading/>
                    {move || {
                        let Some(problem) = found.with(|found| found.problem.clone()) else {
                            return view! { <Rows found stale state selected open reload set_filter go/> }.into_any();
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
                    <span><kbd>"R"</kbd> "look again"</span>
                    <span><kbd>"?"</kbd> "all keys"</span>
                    <span class="grow"></span>
                    {move || found.with(|found| foot(found).map(|foot| view! { <span>{foot}</span> }))}
                </div>
            </div>
        </div>
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
        SearchItem::Journey(item) => item.services.iter().map(String::as_str).collect(),
    }
}

fn link(item: &SearchItem, search: &str) -> String {
    let carried = url::shared(search);
    match item {
        // One service has no way between services: its waterfall says more.
        SearchItem::Trace(item) if item.services.len() < 2 => format!("/t/{}{carried}", item.trace_id),
        SearchItem::Trace(item) => format!("/j/{}{carried}", item.trace_id),
        SearchItem::Span(item) => format!("/t/{}/{}{carried}", item.trace_id, item.span_id),
        SearchItem::Journey(item) => format!("/j/{}{carried}", item.id),
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
