//! The map without a drawing: its edges as a table, and who calls whom as a matrix.

use std::sync::Arc;

use api::MapAnswer;
use leptos::prelude::*;

use super::{State, class_of, edge_key, is_slow};
use crate::app::Shared;
use crate::view::format::{self, rate};
use crate::view::journey::facts::label;
use crate::view::map::{NODES_MAX, edge_label, errors, is_bad, shown_edges, slower};
use crate::view::names;

/// An edge a row, the busiest first.
pub(super) fn table(
    answer: &Arc<MapAnswer>,
    state: Memo<State>,
    change: Callback<State>,
    shared: Shared,
) -> impl IntoView + use<> {
    let mut shown: Vec<usize> = shown_edges(answer, state.get().kinds);
    shown.sort_by_key(|at| std::cmp::Reverse(answer.edges[*at].now.calls));
    let duration =
        |nanos: Option<i64>| nanos.map_or_else(|| "–".to_owned(), |nanos| format::duration(nanos.max(0) as u64));
    let rows = shown.into_iter().take(1_000).map(|at| {
        let edge = &answer.edges[at];
        let key = edge_key(edge);
        let chosen = key.clone();
        let bad = is_bad(&edge.now);
        view! {
            <tr aria-selected=move || state.with(|state| state.selected.as_deref() == Some(key.as_str())).to_string()
                on:click=move |_| change.run(State { selected: Some(chosen.clone()), ..state.get_untracked() })>
                <td><span class=format!("svc {}", class_of(shared, &edge.source))>{label(&edge.source).to_owned()}</span></td>
                <td><span class=format!("svc {}", class_of(shared, &edge.target))>{label(&edge.target).to_owned()}</span></td>
                <td><span class="proto" class:async=edge.style == "async">{names::badge(&edge.protocol, &edge.system)}</span></td>
                <td class="num">{rate(edge.now.per_minute)}</td>
                <td class="num" class:bad=bad>{errors(&edge.now)}</td>
                <td class="num dim">{duration(edge.now.p50_nanos)}</td>
                <td class="num semi">{duration(edge.now.p95_nanos)}</td>
                <td class="num" class:hot=is_slow(edge)>{duration(edge.now.lag_p95_nanos)}</td>
                <td class="num dim">{slower(edge).map_or_else(|| "–".to_owned(), format::factor)}</td>
                <td class="faint">{edge.changes.join(", ")}</td>
            </tr>
        }
    });
    view! {
        <div class="lst" tabindex="0">
            <table>
                <caption class="sr">"Edges of the service map"</caption>
                <thead><tr><th>"From"</th><th>"To"</th><th>"Via"</th><th class="num" aria-sort="descending">"Rate"</th><th class="num">"Errors"</th><th class="num">"p50"</th><th class="num">"p95"</th><th class="num">"Wait p95"</th><th class="num">"× before"</th><th>"Changes"</th></tr></thead>
                <tbody>{rows.collect_view()}</tbody>
            </table>
        </div>
    }
}

/// Rows call columns.
pub(super) fn matrix(answer: &Arc<MapAnswer>, state: Memo<State>, change: Callback<State>) -> impl IntoView + use<> {
    let now = state.get();
    let shown: Vec<usize> = shown_edges(answer, now.kinds);
    let ends = |of: fn(&api::MapEdge) -> &String| {
        let mut all: Vec<String> = shown.iter().map(|at| of(&answer.edges[*at]).clone()).collect();
        all.sort_unstable();
        all.dedup();
        all.truncate(NODES_MAX);
        all
    };
    let (sources, targets) = (ends(|edge| &edge.source), ends(|edge| &edge.target));
    let head =
        targets.iter().map(|target| view! { <th class="num" title=target.clone()>{label(target).to_owned()}</th> });
    let rows = sources.iter().map(|source| {
        let cells = targets.iter().map(|target| {
            let edge = shown.iter().map(|at| &answer.edges[*at]).find(|edge| edge.source == *source && edge.target == *target);
            match edge {
                Some(edge) => {
                    let key = edge_key(edge);
                    let look = if is_bad(&edge.now) { "bad" } else if is_slow(edge) { "hot" } else { "" };
                    view! { <td class="num"><button class=look on:click=move |_| change.run(State { selected: Some(key.clone()), ..state.get_untracked() })>{edge_label(edge, now.measure)}</button></td> }.into_any()
                }
                None => view! { <td></td> }.into_any(),
            }
        });
        view! { <tr><th scope="row" title=source.clone()>{label(source).to_owned()}</th>{cells.collect_view()}</tr> }
    });
    view! {
        <div class="lst matrix" tabindex="0">
            <table>
                <caption class="sr">"Who calls whom: rows call columns"</caption>
                <thead><tr><th>"From \\ to"</th>{head.collect_view()}</tr></thead>
                <tbody>{rows.collect_view()}</tbody>
            </table>
        </div>
    }
}
