//! Explore: traces or spans that match a filter, as a table.
//!
//! Everything shown is in the URL (`unit`, `q`, `sort`, `from`, `to`), so a link restores it.
//! Keys: `J` `K` row, `Enter` open, `/` filter.

use api::{Problem, SearchAnswer, SearchItem, ServiceItem, StatusAnswer};
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_location, use_navigate};

use crate::app::{now_nanos, shared};
use crate::client;
use crate::components::icon::{Icon, icon};
use crate::components::keys::on_key;
use crate::components::shape_strip::shape_strip;
use crate::components::states::{EmptyState, ErrorBox, LoadingBar, Skeleton};
use crate::components::token_bar::{TokenBar, leave_fields};
use crate::view::condition;
use crate::view::shape::common_scale;
use crate::view::snippets::snippets;
use crate::view::url::{self, ExploreState, RangeText, Sort, Unit};
use crate::view::{clock, format};

/// Rows kept on the page at most; beyond, the filter should say more.
const ROWS_MAX: usize = 2_000;
/// Conditions tried to find the one that leaves nothing.
const CONDITIONS_TRIED_MAX: usize = 6;

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
        spawn_local(async move {
            let answer = client::search(&asked, client::PAGE_ROWS, cursor.as_deref()).await;
            if question.try_get_value() != Some(number) {
                return;
            }
            loading.set(false);
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
                <Figures state services go/>
                <div class="lst" on:scroll=move |event| near_end(&event).then(more).unwrap_or_default()>
                    <LoadingBar active=loading/>
                    {move || {
                        let Some(problem) = found.with(|found| found.problem.clone()) else {
                            return view! { <Rows found loading state selected open reload set_filter go/> }.into_any();
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
    found.state.as_ref()?;
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
    }
}

fn link(item: &SearchItem, search: &str) -> String {
    let carried = url::shared(search);
    match item {
        SearchItem::Trace(item) => format!("/t/{}{carried}", item.trace_id),
        SearchItem::Span(item) => format!("/t/{}/{}{carried}", item.trace_id, item.span_id),
    }
}

/// True when Enter belongs to a button or link that has the focus.
fn is_control(event: &web_sys::KeyboardEvent) -> bool {
    let target = event.target().and_then(|target| wasm_bindgen::JsCast::dyn_into::<web_sys::Element>(target).ok());
    target.is_some_and(|target| matches!(target.tag_name().as_str(), "BUTTON" | "A" | "SUMMARY"))
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

/// Status and services to filter by; counts are of the whole range, not of the loaded rows.
#[component]
fn Facets(
    state: Memo<ExploreState>,
    services: RwSignal<Vec<ServiceItem>>,
    go: Callback<ExploreState>,
) -> impl IntoView {
    let shared = shared();
    let all = RwSignal::new(false);
    let toggle = move |key: &'static str, value: String| {
        let state = state.get_untracked();
        go.run(ExploreState { filter: condition::toggled(&state.filter, key, &value), ..state });
    };
    let is_on = move |key: &'static str, value: &str| condition::has(&state.get().filter, key, value);
    const FIRST: usize = 14;
    view! {
        <aside class="facets" aria-label="Filters">
            <section class="fc">
                <h3>"Status"</h3>
                <ul>
                    {["error", "ok", "unset"]
                        .into_iter()
                        .map(|status| {
                            view! {
                                <li class:on=move || is_on("status", status)>
                                    <label>
                                        <input type="checkbox" prop:checked=move || is_on("status", status) on:change=move |_| toggle("status", status.to_owned())/>
                                        <span class="ell grow">{status}</span>
                                    </label>
                                </li>
                            }
                        })
                        .collect_view()}
                </ul>
            </section>
            <section class="fc">
                <h3>"Service" <span class="grow"></span> <span class="faint">"spans"</span></h3>
                <ul>
                    {move || {
                        let services = services.get();
                        let most = services.iter().map(|service| service.spans).max().unwrap_or(1).max(1);
                        let shown = if all.get() { services.len() } else { FIRST };
                        services
                            .into_iter()
                            .take(shown)
                            .map(|service| {
                                let class = format!("ell grow svc {}", shared.color_class(&service.name));
                                let width = format!("{}%", (service.spans as f64 / most as f64 * 100.0).max(1.0));
                                let is_bad = service.errors > 0 && service.errors.saturating_mul(100) >= service.requests;
                                let count = format!("{} spans, {} errors", format::count(service.spans), format::count(service.errors));
                                let (name, checked, clicked) = (service.name.clone(), service.name.clone(), service.name.clone());
                                view! {
                                    <li class:on=move || is_on("service", &name) title=format!("{}: {count}", service.name)>
                                        <label>
                                            <input
                                                type="checkbox"
                                                prop:checked=move || is_on("service", &checked)
                                                on:change=move |_| toggle("service", clicked.clone())
                                            />
                                            <span class=class><span class="ell">{service.name.clone()}</span></span>
                                        </label>
                                        <i style:width=width></i>
                                        <span class="n" class:bad=is_bad>{format::short_count(service.spans)}</span>
                                    </li>
                                }
                            })
                            .collect_view()
                    }}
                </ul>
                <Show when=move || { services.with(Vec::len) > FIRST }>
                    <button class="more" on:click=move |_| all.update(|all| *all = !*all)>
                        {move || if all.get() { "fewer".to_owned() } else { format!("{} more", services.with(Vec::len) - FIRST) }}
                    </button>
                </Show>
            </section>
        </aside>
    }
}

/// Figures of the range, of one service when the filter names one, and the switches of the list.
#[component]
fn Figures(
    state: Memo<ExploreState>,
    services: RwSignal<Vec<ServiceItem>>,
    go: Callback<ExploreState>,
) -> impl IntoView {
    let figures = move || {
        let filter = state.get().filter;
        let services = services.get();
        let one = services.iter().find(|service| condition::has(&filter, "service", &service.name));
        let counted: Vec<&ServiceItem> = one.map_or_else(|| services.iter().collect(), |one| vec![one]);
        let sum = |of: fn(&ServiceItem) -> u64| counted.iter().map(|service| of(service)).sum::<u64>();
        let (spans, requests, errors) = (sum(|s| s.spans), sum(|s| s.requests), sum(|s| s.errors));
        let now = now_nanos();
        let range = state.get().range;
        let seconds =
            clock::parse(&range.from, now).zip(clock::parse(&range.to, now)).map(|(from, to)| (to - from) as f64 / 1e9);
        let rate = seconds.filter(|seconds| *seconds >= 1.0).map(|seconds| {
            let rate = requests as f64 / seconds;
            let rate = if rate >= 10.0 { format::short_count(rate.round() as u64) } else { format!("{rate:.1}") };
            format!("{rate} /s")
        });
        let is_bad = errors > 0 && errors.saturating_mul(100) >= requests;
        let one_duration = |nanos: Option<u64>| nanos.map(format::duration);
        view! {
            <div><span>{one.map_or("Spans", |_| "Spans of the service")}</span><b>{format::count(spans)}</b><em></em></div>
            <div><span>"Requests"</span><b>{format::count(requests)}</b><em>{rate}</em></div>
            <div><span>"Errors"</span><b class:bad=is_bad>{format::percent(errors, requests)}</b><em></em></div>
            {one.and_then(|one| one_duration(one.p50_nanos)).map(|p50| view! { <div><span>"p50"</span><b>{p50}</b><em></em></div> })}
            {one.and_then(|one| one_duration(one.p95_nanos)).map(|p95| view! { <div><span>"p95"</span><b>{p95}</b><em></em></div> })}
        }
    };
    let unit = move |unit: Unit, name: &'static str| {
        view! {
            <button
                aria-pressed=move || (state.get().unit == unit).to_string()
                on:click=move |_| go.run(ExploreState { unit, ..state.get_untracked() })
            >
                {name}
            </button>
        }
    };
    let sort = move |sort: Sort, name: &'static str| {
        view! {
            <button
                aria-pressed=move || (state.get().sort == sort).to_string()
                on:click=move |_| go.run(ExploreState { sort, ..state.get_untracked() })
            >
                {name}
            </button>
        }
    };
    view! {
        <div class="kp">
            {figures}
            <span class="grow"></span>
            <span class="seg" role="group" aria-label="Rows are">{unit(Unit::Traces, "Traces")}{unit(Unit::Spans, "Spans")}</span>
            <span class="seg" role="group" aria-label="Order">{sort(Sort::Newest, "Newest")}{sort(Sort::Slowest, "Slowest")}</span>
        </div>
    }
}

/// The table, or why it is empty.
#[component]
fn Rows(
    found: RwSignal<Found>,
    loading: RwSignal<bool>,
    state: Memo<ExploreState>,
    selected: RwSignal<Option<usize>>,
    open: Callback<usize>,
    reload: RwSignal<u32>,
    set_filter: Callback<String>,
    go: Callback<ExploreState>,
) -> impl IntoView {
    let shared = shared();
    let face = Memo::new(move |_| {
        found.with(|found| match (&found.state, found.items.first()) {
            (None, _) => Face::First,
            (Some(_), None) => Face::Empty,
            (Some(_), Some(SearchItem::Trace(_))) => Face::Traces,
            (Some(_), Some(SearchItem::Span(_))) => Face::Spans,
        })
    });
    let scale = Memo::new(move |_| {
        let duration = |item: &SearchItem| if let SearchItem::Trace(item) = item { item.duration_nanos } else { 0 };
        found.with(|found| common_scale(&mut found.items.iter().map(duration).collect::<Vec<_>>()))
    });
    // The scale is part of the key: rows are drawn again when a slower trace arrives.
    let rows = move || {
        let scale = scale.get();
        let dated = range_is_long(&state.get_untracked().range);
        found.with(|found| {
            found.items.iter().cloned().enumerate().map(|(at, item)| (at, scale, dated, item)).collect::<Vec<_>>()
        })
    };
    let key = |(at, scale, _, item): &(usize, u64, bool, SearchItem)| match item {
        SearchItem::Trace(item) => (*at, *scale, item.trace_id.to_hex(), item.spans),
        SearchItem::Span(item) => (*at, 0, item.span_id.to_hex(), 0),
    };
    let sorted = move |sort: Sort, name: &'static str| {
        if state.get().sort == sort { format!("{name} ↓") } else { name.to_owned() }
    };
    let aria = move |sort: Sort| (state.get().sort == sort).then_some("descending");
    let table = move |unit: Unit| {
        view! {
            <table class:old=loading>
                <caption class="sr">{if unit == Unit::Traces { "Traces" } else { "Spans" }}</caption>
                <thead>
                    {if unit == Unit::Traces {
                        view! {
                            <tr>
                                <th class="when" aria-sort=move || aria(Sort::Newest)>{move || sorted(Sort::Newest, "Started")}</th>
                                <th>"Trace"</th>
                                <th class="shape">"Shape"</th>
                                <th class="num" aria-sort=move || aria(Sort::Slowest)>{move || sorted(Sort::Slowest, "Duration")}</th>
                                <th class="num">"Spans"</th>
                                <th class="num">"Services"</th>
                                <th class="num">"Errors"</th>
                                <th class="result">"Result"</th>
                            </tr>
                        }.into_any()
                    } else {
                        view! {
                            <tr>
                                <th class="when" aria-sort=move || aria(Sort::Newest)>{move || sorted(Sort::Newest, "Started")}</th>
                                <th>"Span"</th>
                                <th>"Service"</th>
                                <th>"Kind"</th>
                                <th class="num" aria-sort=move || aria(Sort::Slowest)>{move || sorted(Sort::Slowest, "Duration")}</th>
                                <th class="result">"Status"</th>
                                <th>"Trace ID"</th>
                            </tr>
                        }.into_any()
                    }}
                </thead>
                <tbody>
                    <For each=rows key=key let((at, scale, dated, item))>
                        <tr
                            id=format!("row-{at}")
                            aria-selected=move || (selected.get() == Some(at)).to_string()
                            on:click=move |event| {
                                // A click on the row opens it; on its link the router does.
                                selected.set(Some(at));
                                if !event.default_prevented() {
                                    leave_fields();
                                    open.run(at);
                                }
                            }
                        >
                            {cells(shared, item, scale, dated, &state.get_untracked())}
                        </tr>
                    </For>
                </tbody>
            </table>
        }
    };
    move || match face.get() {
        Face::First => view! { <Skeleton rows=18/> }.into_any(),
        Face::Empty => view! { <Nothing state reload set_filter go/> }.into_any(),
        Face::Traces => table(Unit::Traces).into_any(),
        Face::Spans => table(Unit::Spans).into_any(),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Face {
    First,
    Empty,
    Traces,
    Spans,
}

fn range_is_long(range: &RangeText) -> bool {
    let now = now_nanos();
    match (clock::parse(&range.from, now), clock::parse(&range.to, now)) {
        (Some(from), Some(to)) => to - from > model::UnixNanos::DAY / 2 || from < now - model::UnixNanos::DAY,
        _ => true,
    }
}

fn cells(
    shared: crate::app::Shared,
    item: SearchItem,
    scale: u64,
    dated: bool,
    state: &ExploreState,
) -> impl IntoView + use<> {
    let when = |text: &str| {
        let nanos = text.parse().unwrap_or_default();
        if dated { clock::day_and_time(nanos) } else { clock::time_of_day(nanos) }
    };
    let search = url::query_string([("from", state.range.from.as_str()), ("to", state.range.to.as_str())]);
    let search = if state.range == RangeText::default() { String::new() } else { search };
    let href = link(&item, &search);
    match item {
        SearchItem::Trace(item) => {
            let is_bad = item.errors > 0;
            let result = match (item.result.is_empty(), is_bad) {
                (false, _) => item.result.clone(),
                (true, true) => "error".to_owned(),
                (true, false) => "ok".to_owned(),
            };
            let failed = is_failure(&item.result) || (item.result.is_empty() && is_bad);
            let n_services = item.services.len() as u64;
            let listed = item.services.iter().map(|share| share.name.as_str()).collect::<Vec<_>>().join(", ");
            view! {
                <td class="mono dim">{when(&item.start_unix_nano)}</td>
                <td class="what">
                    <a href=href>
                        <span class=format!("svc {}", shared.color_class(&item.service))>{item.service.clone()}</span>
                        <span class="name">{item.name.clone()}</span>
                        {(!item.badge.is_empty()).then(|| view! { <span class="proto">{item.badge.clone()}</span> })}
                        {(!item.has_root).then(|| view! { <span class="chip hot" title="The first span of this trace has not arrived">"root missing"</span> })}
                    </a>
                </td>
                <td>{shape_strip(shared, &item, scale)}</td>
                <td class="num semi">{format::duration(item.duration_nanos)}</td>
                <td class="num dim">{format::count(item.spans)}</td>
                <td class="num dim" title=listed>{format::count(n_services)}</td>
                <td class="num" class:bad=is_bad class:faint=!is_bad>{format::count(item.errors)}</td>
                <td class="result" class:bad=failed>{result}</td>
            }
            .into_any()
        }
        SearchItem::Span(item) => {
            let failed = item.status == "error";
            view! {
                <td class="mono dim">{when(&item.start_unix_nano)}</td>
                <td class="what">
                    <a href=href>
                        <span class="name">{item.name.clone()}</span>
                        {(!item.badge.is_empty()).then(|| view! { <span class="proto">{item.badge.clone()}</span> })}
                    </a>
                </td>
                <td><span class=format!("svc {}", shared.color_class(&item.service))>{item.service.clone()}</span></td>
                <td class="dim">{item.kind.clone()}</td>
                <td class="num semi">{format::duration(item.duration_nanos)}</td>
                <td class="result" class:bad=failed>{item.status.clone()}</td>
                <td class="mono faint" title=item.trace_id.to_hex()>{format::short_id(&item.trace_id.to_hex())}</td>
            }
            .into_any()
        }
    }
}

/// A status of 500 and up, or the name of an error.
fn is_failure(result: &str) -> bool {
    match result.parse::<u16>() {
        Ok(status) => status >= 500,
        Err(_) => !result.is_empty() && !result.eq_ignore_ascii_case("ok"),
    }
}

/// Why there is nothing: nothing was ever received, or which condition leaves nothing.
#[component]
fn Nothing(
    state: Memo<ExploreState>,
    reload: RwSignal<u32>,
    set_filter: Callback<String>,
    go: Callback<ExploreState>,
) -> impl IntoView {
    let status = RwSignal::new(None::<StatusAnswer>);
    // The condition that leaves nothing, and what is there without it.
    let culprit = RwSignal::new(None::<(condition::Condition, String)>);
    let alive = StoredValue::new(());
    let asked = state.get_untracked();
    spawn_local(async move {
        let Ok(answer) = client::status().await else { return };
        let is_fresh = is_without_spans(&answer);
        if status.try_set(Some(answer)).is_some() {
            return;
        }
        if is_fresh {
            wait_for_the_first(alive, state, reload, go).await;
            return;
        }
        for suspect in condition::conditions(&asked.filter).into_iter().rev().take(CONDITIONS_TRIED_MAX) {
            let without =
                ExploreState { filter: condition::without(&asked.filter, |other| *other == suspect), ..asked.clone() };
            let Ok(answer) = client::search(&without, 100, None).await else { return };
            let n_found = answer.items.len() as u64;
            if n_found > 0 {
                let noun = if asked.unit == Unit::Traces { "trace" } else { "span" };
                let more = if answer.next_cursor.is_some() { "more than " } else { "" };
                culprit.try_set(Some((suspect, format!("{more}{}", format::counted(n_found, noun)))));
                return;
            }
        }
    });
    let widen = move || {
        let state = state.get_untracked();
        go.run(ExploreState { range: RangeText { from: "now-24h".to_owned(), to: "now".to_owned() }, ..state });
    };
    move || {
        let Some(status) = status.get() else { return view! { <Skeleton rows=18/> }.into_any() };
        if is_without_spans(&status) {
            return view! { <Onboarding status/> }.into_any();
        }
        let state = state.get();
        let noun = if state.unit == Unit::Traces { "traces" } else { "spans" };
        let wide = state.range.from == "now-24h" || state.range.from == "now-7d";
        let title =
            if state.filter.is_empty() { format!("No {noun} in this time range") } else { format!("No {noun} match") };
        view! {
            <EmptyState title>
                {match culprit.get() {
                    Some((suspect, left)) => {
                        let dropped = suspect.clone();
                        view! {
                            <span class="dim">"With " <span class="tok2">{suspect.text.clone()}</span> " none remain, without it " {left} "."</span>
                            <div class="row">
                                <button class="btn s primary" on:click=move |_| set_filter.run(condition::without(&state.filter, |other| *other == dropped))>
                                    "Remove it"
                                </button>
                                {(!wide).then(|| view! { <button class="btn s" on:click=move |_| widen()>"Widen to 24 h"</button> })}
                            </div>
                        }.into_any()
                    }
                    None => {
                        view! {
                            <span class="dim">
                                {if state.filter.is_empty() {
                                    format!("The server keeps {} days.", status.storage.retention_days)
                                } else {
                                    "No single condition is to blame: remove some, or look at a longer time.".to_owned()
                                }}
                            </span>
                            <div class="row">
                                {(!wide).then(|| view! { <button class="btn s primary" on:click=move |_| widen()>"Widen to 24 h"</button> })}
                                {(!state.filter.is_empty()).then(|| view! { <button class="btn s" on:click=move |_| set_filter.run(String::new())>"Clear the filter"</button> })}
                                <button class="btn s quiet" on:click=move |_| reload.update(|count| *count += 1)>"Look again"</button>
                            </div>
                        }.into_any()
                    }
                }}
            </EmptyState>
        }.into_any()
    }
}

fn is_without_spans(status: &StatusAnswer) -> bool {
    let received: u64 = status.ingest.accepted.get("traces").copied().unwrap_or(0);
    received == 0 && status.storage.buffer_rows == 0 && status.storage.segment_rows == 0
}

/// Asks every two seconds until the first trace is there, then shows it. Ends with the component.
async fn wait_for_the_first(
    alive: StoredValue<()>,
    state: Memo<ExploreState>,
    reload: RwSignal<u32>,
    go: Callback<ExploreState>,
) {
    let anything = ExploreState {
        range: RangeText { from: "now-7d".to_owned(), to: "now".to_owned() },
        ..ExploreState::default()
    };
    loop {
        gloo_timers::future::TimeoutFuture::new(2_000).await;
        if alive.try_get_value().is_none() {
            return;
        }
        let Ok(answer) = client::search(&anything, 1, None).await else { continue };
        if alive.try_get_value().is_none() {
            return;
        }
        if answer.items.is_empty() {
            continue;
        }
        // Shown where it would be hidden: by a filter, or because it is older than the range.
        let Some(state) = state.try_get_untracked() else { return };
        if state.filter.is_empty() {
            reload.update(|count| *count += 1);
        } else {
            go.run(ExploreState { filter: String::new(), ..state });
        }
        return;
    }
}

/// Nothing was ever received: how to send, and a line that turns into the first trace by itself.
#[component]
fn Onboarding(status: StatusAnswer) -> impl IntoView {
    let shared = shared();
    let random = |bytes: usize| -> String {
        (0..bytes).map(|_| format!("{:02x}", (js_sys::Math::random() * 255.0) as u8 + 1)).collect()
    };
    let all = snippets(&status.otlp_grpc, &status.otlp_http, &random(16), &random(8), now_nanos());
    view! {
        <div class="onboard">
            <svg width="64" height="40" viewBox="0 0 64 40" aria-hidden="true">
                <g class="posts"><path d="M14 4v32M32 4v32M50 4v32"/></g>
                <path class="track" d="M4 33C16 31 20 22 32 20S46 16 60 8"/>
            </svg>
            <b>"Waiting for the first span"</b>
            <p class="dim" role="status"><i class="live"></i>"Listening on " <span class="mono">{status.otlp_grpc.clone()}</span> " (gRPC) and " <span class="mono">{status.otlp_http.clone()}</span> " (HTTP). This page turns into the list as soon as a trace arrives."</p>
            <div class="snippets">
                {all.into_iter()
                    .map(|snippet| {
                        let text = snippet.text.clone();
                        view! {
                            <section class="card">
                                <div class="row">
                                    <span class="h grow">{snippet.title}</span>
                                    <button class="btn s" on:click=move |_| shared.copy(text.clone(), "Snippet")>{icon(Icon::Copy, false)} "Copy"</button>
                                </div>
                                <pre>{snippet.text.clone()}</pre>
                            </section>
                        }
                    })
                    .collect_view()}
            </div>
        </div>
    }
}
