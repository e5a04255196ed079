//! The Table tab: every span of the journey, sortable, groupable, as CSV.

use leptos::prelude::*;

use super::{Tour, node_class};
use crate::app::shared;
use crate::components::download::download;
use crate::components::keys::{is_control, on_key};
use crate::components::virtual_table::{VirtualTable, sort_head};
use crate::view::format;
use crate::view::journey::listing::{Group, Key, Line, csv, lines};

/// The table of spans or of groups of them.
#[component]
pub(crate) fn TableTab(
    /// The journey.
    tour: Tour,
    /// Opens a span in the waterfall.
    open_span: Callback<usize>,
) -> impl IntoView {
    let shared = shared();
    let order = tour.order;
    let rows = Memo::new(move |_| {
        let (group, key, descending) = order.get();
        lines(&tour.scene.get().facts, group, key, descending, &tour.find.get())
    });
    let selected = RwSignal::new(None::<usize>);
    let open = move |at: usize| {
        if let Some(span) = rows.with_untracked(|rows| rows.get(at).map(|line| line.slowest)) {
            open_span.run(span);
        }
    };
    on_key(move |event, key| {
        let count = rows.with_untracked(Vec::len);
        match (key, selected.get_untracked()) {
            ("j" | "ArrowDown", at) if count > 0 => selected.set(Some(at.map_or(0, |at| (at + 1).min(count - 1)))),
            ("k" | "ArrowUp", at) if count > 0 => selected.set(Some(at.map_or(0, |at| at.saturating_sub(1)))),
            ("Enter", Some(at)) if !is_control(event) => open(at),
            _ => return false,
        }
        true
    });
    let head = move |key: Key, name: &'static str, is_number: bool| {
        let now = Signal::derive(move || {
            let (_, by, descending) = order.get();
            (by == key).then_some(descending)
        });
        let sort = Callback::new(move |()| {
            order.update(|(_, by, descending)| {
                *descending = if *by == key { !*descending } else { !matches!(key, Key::Start | Key::Name) };
                *by = key;
            });
            selected.set(None);
        });
        sort_head(name, is_number, now, sort)
    };
    let group = move |group: Group, name: &'static str| {
        view! {
            <button aria-pressed=move || (order.get().0 == group).to_string() on:click=move |_| {
                order.update(|order| order.0 = group);
                selected.set(None);
            }>{name}</button>
        }
    };
    let save = move |_| {
        let scene = tour.scene.get_untracked();
        let text = rows.with_untracked(|rows| csv(&scene.facts, rows));
        if !download(&format!("journey-{}.csv", tour.answer().id), "text/csv", &text) {
            shared.say("The browser did not allow saving");
        }
    };
    let row = Callback::new(move |at: usize| {
        let Some(line) = rows.with(|rows| rows.get(at).cloned()) else { return ().into_any() };
        let (is_group, scene) = (order.get_untracked().0 != Group::Span, tour.scene.get_untracked());
        let share = format::percent((line.share / 1e3) as u64, (scene.facts.settled_nanos / 1e3) as u64);
        let Line { node, name, badge, start, count, total, own, p95, errors, why, share: on_path, .. } = line;
        let result = match (errors, is_group) {
            (0, _) => "ok".to_owned(),
            (_, true) => format::count(errors),
            (_, false) if why.is_empty() => "error".to_owned(),
            (_, false) => why,
        };
        view! {
            <tr
                id=format!("line-{at}")
                aria-selected=move || (selected.get() == Some(at)).to_string()
                aria-rowindex=(at + 2).to_string()
                on:click=move |_| selected.set(Some(at))
                on:dblclick=move |_| open(at)
            >
                <td><span class=format!("svc {}", node_class(shared, &scene.facts, node))>{scene.facts.label(node).to_owned()}</span></td>
                <td class="what"><button class="name" title=name.clone() on:click=move |event| { event.stop_propagation(); open(at); }>{name.clone()}</button>
                    {(!badge.is_empty()).then(|| view! { <span class="proto">{badge.clone()}</span> })}
                </td>
                <td class="num dim">{format::signed_duration(start as i64)}</td>
                {is_group.then(|| view! { <td class="num dim">{format::count(count)}</td> })}
                <td class="num semi">{format::duration(total as u64)}</td>
                <td class="num dim">{format::duration(own as u64)}</td>
                {is_group.then(|| view! { <td class="num dim">{format::duration(p95 as u64)}</td> })}
                <td class="num" class:faint=on_path <= 0.0>{share}</td>
                <td class="result" class:bad=errors != 0>{result}</td>
            </tr>
        }
        .into_any()
    });
    let table = move || {
        let is_group = order.with(|order| order.0 != Group::Span);
        view! {
            <VirtualTable id="lines" caption="Spans of the journey" columns=9 count=Signal::derive(move || rows.with(Vec::len)) selected row>
                <tr>
                    {head(Key::Name, "Service", false)}
                    <th>"Name"</th>
                    {head(Key::Start, "Starts at", true)}
                    {is_group.then(|| head(Key::Count, "Spans", true))}
                    {head(Key::Total, if is_group { "Total" } else { "Duration" }, true)}
                    {head(Key::Own, "Self", true)}
                    {is_group.then(|| head(Key::P95, "p95", true))}
                    {head(Key::Share, "Critical path", true)}
                    {head(Key::Errors, if is_group { "Errors" } else { "Result" }, false)}
                </tr>
            </VirtualTable>
        }
    };
    let is_group = Memo::new(move |_| order.with(|order| order.0 != Group::Span));
    view! {
        <div class="tb">
            <div class="seg" role="group" aria-label="A row is">{Group::ALL.map(|(is, _, name)| group(is, name))}</div>
            <span class="faint n">{move || format::counted(rows.with(Vec::len) as u64, "row")}</span>
            <span class="grow"></span>
            <button class="btn s" on:click=save>"CSV"</button>
        </div>
        {move || { let _ = is_group.get(); untrack(table) }}
        {move || rows.with(Vec::is_empty).then(|| view! { <p class="hint faint">"No span holds this text in its name or service. The waterfall looks into attributes too."</p> })}
        <div class="status">
            <span><kbd>"J"</kbd><kbd>"K"</kbd> "row"</span>
            <span><kbd>"Enter"</kbd> "open in the waterfall"</span>
            <span><kbd>"/"</kbd> "find"</span>
            <span class="grow"></span>
            <span>"Opening a group opens its slowest span"</span>
        </div>
    }
}
