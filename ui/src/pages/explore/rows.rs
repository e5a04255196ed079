//! The table: one row a journey, a trace or a span.

use std::sync::Arc;

use api::{HistogramAnswer, SearchItem};
use leptos::prelude::*;

use super::nothing::Nothing;
use super::{Found, link};
use crate::app::{Shared, now_nanos, shared};
use crate::components::shape_strip::{journey_shape, pieces_of, shape_strip};
use crate::components::states::Skeleton;
use crate::components::token_bar::leave_fields;
use crate::view::shape::{Pieces, common_scale};
use crate::view::url::{self, ExploreState, RangeText, Sort, Unit};
use crate::view::{clock, format};

/// The table, or why it is empty.
#[component]
pub(super) fn Rows(
    found: RwSignal<Found>,
    stale: RwSignal<bool>,
    state: Memo<ExploreState>,
    selected: RwSignal<Option<usize>>,
    marked: RwSignal<Vec<String>>,
    open: Callback<usize>,
    reload: RwSignal<u32>,
    set_filter: Callback<String>,
    go: Callback<ExploreState>,
    answer: RwSignal<Option<Arc<HistogramAnswer>>>,
) -> impl IntoView {
    let shared = shared();
    let ways = pieces_of(
        move || found.with(|found| found.items.clone()),
        move || answer.with(|answer| answer.as_ref().map(|answer| answer.count)),
    );
    let face = Memo::new(move |_| {
        found.with(|found| match (&found.state, found.items.first()) {
            (None, _) => Face::First,
            (Some(_), None) => Face::Empty,
            (Some(_), Some(SearchItem::Journey(_))) => Face::Journeys,
            (Some(_), Some(SearchItem::Trace(_))) => Face::Traces,
            (Some(_), Some(SearchItem::Span(_))) => Face::Spans,
        })
    });
    let scale = Memo::new(move |_| {
        let duration = |item: &SearchItem| match item {
            SearchItem::Journey(item) => item.settled_nanos.max(item.response_nanos),
            SearchItem::Trace(item) => item.duration_nanos,
            SearchItem::Span(_) => 0,
        };
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
        SearchItem::Journey(item) => (*at, *scale, item.id.clone(), item.spans),
        SearchItem::Trace(item) => (*at, *scale, item.trace_id.to_hex(), item.spans),
        SearchItem::Span(item) => (*at, 0, item.span_id.to_hex(), 0),
    };
    let sorted = move |sort: Sort, name: &'static str| {
        if state.get().sort == sort { format!("{name} ↓") } else { name.to_owned() }
    };
    let aria = move |sort: Sort| (state.get().sort == sort).then_some("descending");
    let head = move |sort: Sort, class: &'static str, name: &'static str| {
        view! {
            <th class=class aria-sort=move || aria(sort)>
                <button class="sort" on:click=move |_| go.run(ExploreState { sort, ..state.get_untracked() })>{move || sorted(sort, name)}</button>
            </th>
        }
    };
    let table = move |unit: Unit| {
        view! {
            <table class:old=stale>
                <caption class="sr">{match unit { Unit::Journeys => "Journeys", Unit::Traces => "Traces", Unit::Spans => "Spans" }}</caption>
                <thead>
                    {if unit == Unit::Journeys {
                        view! {
                            <tr>
                                {head(Sort::Newest, "when", "Started")}
                                <th>"Journey"</th>
                                <th class="shape" title="To scale: the entry until its answer; below it other services that it waited for; below them, hatched, waits in brokers and between attempts">"Shape"</th>
                                {head(Sort::Slowest, "num", "To last effect")}
                                <th class="num">"To answer"</th>
                                <th class="num">"Broker wait"</th>
                                <th class="num">"Spans"</th>
                                {head(Sort::Errors, "num", "Errors")}
                                <th class="result">"Result"</th>
                            </tr>
                        }.into_any()
                    } else if unit == Unit::Traces {
                        view! {
                            <tr>
                                {head(Sort::Newest, "when", "Started")}
                                <th>"Trace"</th>
                                <th class="shape">"Shape"</th>
                                {head(Sort::Slowest, "num", "Duration")}
                                <th class="num">"Spans"</th>
                                <th class="num">"Services"</th>
                                <th class="num">"Errors"</th>
                                <th class="result">"Result"</th>
                            </tr>
                        }.into_any()
                    } else {
                        view! {
                            <tr>
                                {head(Sort::Newest, "when", "Started")}
                                <th>"Span"</th>
                                <th>"Service"</th>
                                <th>"Kind"</th>
                                {head(Sort::Slowest, "num", "Duration")}
                                <th class="result">"Status"</th>
                                <th>"Trace ID"</th>
                            </tr>
                        }.into_any()
                    }}
                </thead>
                <tbody>
                    <For each=rows key=key let((at, scale, dated, item))>
                        {let id = super::id(&item);
                        view! { <tr
                            class:marked=move || marked.with(|marked| marked.contains(&id))
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
                            {cells(shared, item, scale, dated, &state.get_untracked(), ways)}
                        </tr> }}
                    </For>
                </tbody>
            </table>
        }
    };
    move || match face.get() {
        Face::First => view! { <Skeleton rows=18/> }.into_any(),
        Face::Empty => view! { <Nothing state reload set_filter go/> }.into_any(),
        Face::Journeys => table(Unit::Journeys).into_any(),
        Face::Traces => table(Unit::Traces).into_any(),
        Face::Spans => table(Unit::Spans).into_any(),
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Face {
    First,
    Empty,
    Journeys,
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
    shared: Shared,
    item: SearchItem,
    scale: u64,
    dated: bool,
    state: &ExploreState,
    ways: RwSignal<Pieces>,
) -> impl IntoView + use<> {
    let when = |text: &str| {
        let nanos = text.parse().unwrap_or_default();
        if dated { clock::day_and_time(nanos) } else { clock::time_of_day(nanos) }
    };
    let search = url::query_string([("from", state.range.from.as_str()), ("to", state.range.to.as_str())]);
    let search = if state.range == RangeText::default() { String::new() } else { search };
    let href = link(&item, &search);
    match item {
        SearchItem::Journey(item) => {
            let failed = item.error || is_failure(&item.result);
            let result = match (item.result.is_empty(), item.error) {
                (false, _) => item.result.clone(),
                (true, true) => "error".to_owned(),
                (true, false) => "ok".to_owned(),
            };
            let finding = match item.worst_severity.as_str() {
                "error" | "warning" => item.worst_finding.replace('_', " "),
                _ => String::new(),
            };
            let class = if item.worst_severity == "error" { "chip bad" } else { "chip hot" };
            let waits = item.wait_nanos.saturating_mul(4) >= item.settled_nanos.max(1) && item.wait_nanos > 10_000_000;
            view! {
                <td class="mono dim">{when(&item.start_unix_nano)}</td>
                <td class="what">
                    <a href=href>
                        <span class=format!("svc {}", shared.color_class(&item.service))>{item.service.clone()}</span>
                        <span class="name">{item.name.clone()}</span>
                        {(!finding.is_empty()).then(|| view! { <span class=class>{finding}</span> })}
                    </a>
                </td>
                <td title=format!("{}; {}", item.services.join(", "), item.queues.join(", "))>{journey_shape(shared, &item, scale, ways)}</td>
                <td class="num semi">{format::duration(item.settled_nanos)}</td>
                <td class="num dim">{format::duration(item.response_nanos)}</td>
                <td class="num" class:hot=waits class:semi=waits class:dim=!waits>{if item.hops == 0 { "–".to_owned() } else { format::duration(item.wait_nanos) }}</td>
                <td class="num dim">{format::count(item.spans)}</td>
                <td class="num" class:bad=item.errors != 0 class:faint=item.errors == 0>{format::count(item.errors)}</td>
                <td class="result" class:bad=failed>{result}</td>
            }
            .into_any()
        }
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
                <td class="of" title=item.service.clone()>
                    <span class=format!("svc {}", shared.color_class(&item.service))>{item.service.clone()}</span>
                </td>
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
