//! The table: one row a journey, a trace or a span.

use std::sync::Arc;

use api::{HistogramAnswer, SearchItem};
use leptos::prelude::*;
use leptos_router::hooks::use_location;

use super::Found;
use super::cells::{Ground, cell};
use super::nothing::Nothing;
use crate::app::{now_nanos, shared};
use crate::components::shape_strip::pieces_of;
use crate::components::states::Skeleton;
use crate::components::token_bar::leave_fields;
use crate::view::clock;
use crate::view::columns::{self, Column, Tells};
use crate::view::shape::common_scale;
use crate::view::url::{ExploreState, RangeText, Unit};

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
    let search = use_location().search;
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
    let cols = Memo::new(move |_| state.with(|state| columns::shown(state.unit, &state.columns)));
    let head = move |unit: Unit, column: &'static Column| {
        let title = (column.tells == Tells::Shape).then_some("To scale: the entry until its answer; below it other services that it waited for; below them, hatched, waits in brokers and between attempts");
        let Some(sort) = column.sort(unit) else {
            return view! { <th class=column.class title=title>{column.title}</th> }.into_any();
        };
        let is_now = move || state.with(|state| state.sort == sort);
        view! {
            <th class=column.class aria-sort=move || is_now().then_some("descending")>
                <button class="sort" on:click=move |_| go.run(ExploreState { sort, ..state.get_untracked() })>{column.title} {move || is_now().then_some(" ↓")}</button>
            </th>
        }
        .into_any()
    };
    let table = move |unit: Unit| {
        let name = match unit {
            Unit::Journeys => "Journeys",
            Unit::Traces => "Traces",
            Unit::Spans => "Spans",
        };
        view! {
            <table class:old=stale>
                <caption class="sr">{name}</caption>
                <thead><tr>{move || cols.get().into_iter().map(|column| head(unit, column)).collect_view()}</tr></thead>
                <tbody>
                    <For each=rows key=key let((at, scale, dated, item))>
                        {let id = super::id(&item);
                        let ground = Ground { shared, search: search.get_untracked(), scale, dated, ways };
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
                            {move || cols.get().into_iter().map(|column| cell(&ground, column, &item)).collect_view()}
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
