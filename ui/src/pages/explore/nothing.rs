//! An empty list: why, and the next step.

use api::StatusAnswer;
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::client;
use crate::components::onboarding::{Onboarding, is_without_spans};
use crate::components::states::{EmptyState, Skeleton};
use crate::view::url::{ExploreState, RangeText, Unit};
use crate::view::{condition, format};

/// Conditions tried to find the one that leaves nothing.
const CONDITIONS_TRIED_MAX: usize = 6;

/// Why there is nothing: nothing was ever received, or which condition leaves nothing.
#[component]
pub(super) fn Nothing(
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
            let Ok(answer) = client::search(&without, 100, None, &client::Calls::default()).await else { return };
            let n_found = answer.items.len() as u64;
            if n_found > 0 {
                let noun = asked.unit.name().trim_end_matches('s');
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
        let noun = state.unit.name();
        let culprit = culprit.get();
        let settling = state.unit == Unit::Journeys;
        let traces = ExploreState { unit: Unit::Traces, ..state.clone() };
        let wide = state.range.from == "now-24h" || state.range.from == "now-7d";
        let title =
            if state.filter.is_empty() { format!("No {noun} in this time range") } else { format!("No {noun} match") };
        view! {
            <EmptyState title>
                {settling.then(|| view! {
                    <span class="dim">"A journey stands here half a minute after its last span, when all its traces are joined."</span>
                    <a class="btn s" href=traces.link()>"Show traces, which are there at once"</a>
                })}
                {match culprit {
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

/// Asks every two seconds until the first trace is there, then shows it. Ends with the component.
async fn wait_for_the_first(
    alive: StoredValue<()>,
    state: Memo<ExploreState>,
    reload: RwSignal<u32>,
    go: Callback<ExploreState>,
) {
    let anything = ExploreState {
        unit: Unit::Traces,
        range: RangeText { from: "now-7d".to_owned(), to: "now".to_owned() },
        ..ExploreState::default()
    };
    loop {
        gloo_timers::future::TimeoutFuture::new(2_000).await;
        if alive.try_get_value().is_none() {
            return;
        }
        let Ok(answer) = client::search(&anything, 1, None, &client::Calls::default()).await else { continue };
        if alive.try_get_value().is_none() {
            return;
        }
        if answer.items.is_empty() {
            continue;
        }
        // Shown where it would be hidden: by a filter, or because it is older than the range.
        let Some(state) = state.try_get_untracked() else { return };
        if state.filter.is_empty() && state.unit != Unit::Journeys {
            reload.update(|count| *count += 1);
        } else {
            go.run(ExploreState { unit: Unit::Traces, filter: String::new(), ..state });
        }
        return;
    }
}
