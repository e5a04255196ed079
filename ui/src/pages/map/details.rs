//! What stands beside the map: the selected node or edge in figures, the slowest edges.

use std::sync::Arc;

use api::{MapAnswer, MapEdge, MapFigures};
use leptos::prelude::*;
use leptos_router::hooks::use_location;

use super::over_time::OverTime;
use super::partitions::Partitions;
use super::{Groups, State, class_of, edge_key, is_slow};
use crate::app::Shared;
use crate::components::states::behind;
use crate::view::behind as sql;
use crate::view::format::rate;
use crate::view::journey::facts::{Family, label};
use crate::view::map::{errors, is_bad, shown_edges, slow_nanos, slower};
use crate::view::namespaces::is_group;
use crate::view::scope::Scope;
use crate::view::url;
use crate::view::{condition, format, names};

fn figures(now: &MapFigures, before: Option<&MapFigures>, is_delivery: bool) -> Vec<(&'static str, String, String)> {
    let duration =
        |nanos: Option<i64>| nanos.map_or_else(|| "–".to_owned(), |nanos| format::duration(nanos.max(0) as u64));
    let was = |text: Option<String>| text.map(|text| format!("before {text}")).unwrap_or_default();
    let mut lines = vec![
        ("Rate", rate(now.per_minute), was(before.map(|before| rate(before.per_minute)))),
        ("Errors", errors(now), was(before.map(errors))),
        ("p50", duration(now.p50_nanos), was(before.map(|before| duration(before.p50_nanos)))),
        ("p95", duration(now.p95_nanos), was(before.map(|before| duration(before.p95_nanos)))),
        ("p99", duration(now.p99_nanos), was(before.map(|before| duration(before.p99_nanos)))),
    ];
    if is_delivery {
        lines.push(("Wait p50", duration(now.lag_p50_nanos), was(before.map(|before| duration(before.lag_p50_nanos)))));
        lines.push(("Wait p95", duration(now.lag_p95_nanos), was(before.map(|before| duration(before.lag_p95_nanos)))));
    } else if now.network_p50_nanos.is_some() {
        lines.push(("On the wire, p50", duration(now.network_p50_nanos), String::new()));
    }
    lines
}

/// The selection, or how to select; below it the slowest edges. What is asked for by itself is handed in: it must not be asked for again
/// because another part of the view changed.
pub(super) fn details(
    answer: &Arc<MapAnswer>,
    groups: Option<&Groups>,
    now: &State,
    (over_time, partitions): (OverTime, Partitions),
    change: Callback<State>,
    state: Memo<State>,
    shared: Shared,
) -> impl IntoView + use<> {
    let selected = now.selected.clone().unwrap_or_default();
    let carried = url::shared(&use_location().search.get_untracked());
    let scope = Scope::read(&carried);
    let all = [Some(answer), groups.map(|groups| &groups.answer)];
    let edge = all.iter().flatten().flat_map(|answer| &answer.edges).find(|edge| edge_key(edge) == selected);
    let node = all.iter().flatten().flat_map(|answer| &answer.nodes).find(|node| node.node == selected);
    let lines = match (edge, node) {
        (Some(edge), _) => figures(&edge.now, edge.before.as_ref(), edge.source.starts_with("queue:")),
        (None, Some(node)) => figures(&node.now, node.before.as_ref(), false),
        (None, None) => Vec::new(),
    };
    let name =
        |node: &str| view! { <span class=format!("svc {}", class_of(shared, node))>{label(node).to_owned()}</span> };
    let head = match (edge, node) {
        (Some(edge), _) => view! {
            <div class="row top"><h2 class="h">{if edge.style == "async" { "Async edge" } else { "Sync edge" }}</h2><span class="grow"></span>
                <span class="proto" class:async=edge.style == "async">{names::badge(&edge.protocol, &edge.system)}</span></div>
            <div class="way">{name(&edge.source)} <span class="faint">"→"</span> {name(&edge.target)}</div>
        }.into_any(),
        (None, Some(node)) => view! { <div class="row top"><h2 class="h">{if is_group(&node.node) { "Namespace" } else { "Node" }}</h2></div> <div class="way">{name(&node.node)}</div> }.into_any(),
        (None, None) => view! { <p class="faint">"Select a node or an edge to see its figures."</p> }.into_any(),
    };
    let service = node.map(|node| node.node.as_str()).or(edge.map(|edge| edge.target.as_str()));
    let service = service
        .filter(|node| Family::of(node) == Family::Service && !is_group(node))
        .map(|node| label(node).to_owned());
    let explore = service.as_ref().map(|service| scope.explore(&condition::write("service", "=", service)).link());
    let slowest = edge.and_then(|edge| edge.slowest_journey).map(|id| format!("/j/{id}{carried}"));
    let failed = edge.and_then(|edge| edge.failed_journey).map(|id| format!("/j/{id}{carried}"));
    let sql = match (edge, node) {
        (Some(edge), _) if is_group(&edge.source) || is_group(&edge.target) => None,
        (None, Some(node)) if is_group(&node.node) => None,
        (Some(edge), _) => Some(sql::edge(&edge.source, &edge.target, &edge.protocol, &edge.system)),
        (None, Some(node)) => Some(sql::node(&node.node)),
        (None, None) => None,
    };
    let mut worst: Vec<&MapEdge> = shown_edges(answer, now.kinds).into_iter().map(|at| &answer.edges[at]).collect();
    worst.sort_by_key(|edge| std::cmp::Reverse(slow_nanos(edge, &edge.now)));
    let rows = worst.into_iter().take(14).map(|edge| {
        let key = edge_key(edge);
        let (slow, times) = (slow_nanos(edge, &edge.now), slower(edge));
        let look = match (is_bad(&edge.now), is_slow(edge)) {
            (true, _) => "num semi bad",
            (_, true) => "num semi hot",
            _ => "num semi",
        };
        view! {
            <button class="w" on:click=move |_| change.run(State { selected: Some(key.clone()), ..state.get_untracked() })>
                <span class="ell row">{name(&edge.source)} <span class="faint">"→"</span> {name(&edge.target)}</span>
                <span class=look>{slow.map_or_else(|| "–".to_owned(), |nanos| format::duration(nanos.max(0) as u64))}</span>
                <span class="num faint">{times.map(|times| format!("{}×", format::factor(times)))}</span>
            </button>
        }
    });
    view! {
        <section class="sel">
            {head}
            <dl class="kv fig">{lines.into_iter().map(|(name, value, before)| view! { <dt>{name}</dt> <dd><b>{value}</b> " " <span class="faint">{before}</span></dd> }).collect_view()}</dl>
            {over_time.view(answer)}
            {partitions.view(answer, shared)}
            <div class="row acts-row">
                {slowest.map(|link| view! { <a class="btn s primary" href=link>"Slowest journey"</a> })}
                {failed.map(|link| view! { <a class="btn s" href=link>"One that failed"</a> })}
                {explore.map(|link| view! { <a class="btn s" href=link>"Its traces"</a> })}
                <span class="grow"></span>
                {sql.map(|sql| behind(&sql))}
            </div>
        </section>
        <section>
            <div class="row top"><h2 class="h">"Edges, slowest first"</h2><span class="grow"></span> {behind(&sql::edges())}</div>
            {rows.collect_view()}
        </section>
    }
}
