//! The statement: a text field with colours behind it, and completion of tables, columns and values with their share.

use api::TablesAnswer;
use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::hooks::use_location;
use serde_json::Value as Json;

use super::request;
use crate::asking::Turns;
use crate::client;
use crate::view::sql_text::{Offer, Wanted, offers, pieces, values_statement, wanted};

/// Pause in typing after which values are asked for, in milliseconds.
const PAUSE_MS: u32 = 220;

/// The editor.
#[component]
pub(super) fn Editor(
    text: RwSignal<String>,
    tables: RwSignal<TablesAnswer>,
    run: Callback<()>,
    save: Callback<()>,
    earlier: Callback<()>,
) -> impl IntoView {
    let search = use_location().search;
    let field = NodeRef::<html::Textarea>::new();
    let back = NodeRef::<html::Pre>::new();
    let offered = RwSignal::new(Vec::<Offer>::new());
    let chosen = RwSignal::new(0usize);
    // Line and column of the word that is completed.
    let place = RwSignal::new((0usize, 0usize));
    let what = StoredValue::new(None::<Wanted>);
    let asking = Turns::new();

    let cursor = move || -> Option<usize> {
        let field = field.get_untracked()?;
        let units = field.selection_start().ok().flatten()? as usize;
        // The browser counts UTF-16 units.
        let value = field.value();
        let mut left = units;
        for (at, letter) in value.char_indices() {
            if left == 0 {
                return Some(at);
            }
            left = left.saturating_sub(letter.len_utf16());
        }
        Some(value.len())
    };
    let look = move |explicit: bool| {
        let turn = asking.next();
        let sql = text.get_untracked();
        let Some(at) = cursor() else { return };
        let found = wanted(&sql, at);
        what.set_value(found.clone());
        let Some(found) = found else { return offered.set(Vec::new()) };
        let typed = match &found {
            Wanted::Table(typed) | Wanted::Name(typed) | Wanted::Value(_, typed, _) => typed.clone(),
        };
        let head = sql.get(..at.saturating_sub(typed.len())).unwrap_or_default();
        let line = head.matches('\n').count();
        let column = head.rsplit('\n').next().unwrap_or_default().chars().count();
        place.set((line, column));
        chosen.set(0);
        if let Wanted::Value(name, typed, _) = &found {
            offered.set(Vec::new());
            let Some(statement) = tables.with_untracked(|all| values_statement(name, typed, &sql, &all.tables)) else {
                return;
            };
            let search = search.get_untracked();
            spawn_local(async move {
                gloo_timers::future::TimeoutFuture::new(PAUSE_MS).await;
                if !turn.is_newest() {
                    return;
                }
                let Ok(answer) = client::sql(&request(&statement, &search, 8)).await else { return };
                if !turn.is_newest() {
                    return;
                }
                let count = |value: Option<&Json>| {
                    value.and_then(|value| value.as_f64().or_else(|| value.as_str()?.parse().ok())).unwrap_or(0.0)
                };
                let values = answer.rows.iter().filter_map(|row| {
                    let share = count(row.get(1)) / count(row.get(2)).max(1.0) * 100.0;
                    Some((format!("'{}'", row.first()?.as_str()?.replace('\'', "''")), format!("{share:.0} % of rows")))
                });
                offered.set(values.collect());
            });
            return;
        }
        if typed.is_empty() && !explicit && !matches!(found, Wanted::Table(_)) {
            return offered.set(Vec::new());
        }
        let functions: Vec<String> =
            tables.with_untracked(|all| all.functions.iter().map(|function| function.name.clone()).collect());
        offered.set(tables.with_untracked(|all| offers(&found, &sql, &all.tables, &functions)));
    };
    let take = move |at: usize| {
        let (Some((offer, _)), Some(wanted), Some(end)) =
            (offered.with_untracked(|all| all.get(at).cloned()), what.get_value(), cursor())
        else {
            return;
        };
        let typed = match &wanted {
            Wanted::Table(typed) | Wanted::Name(typed) => typed.len(),
            Wanted::Value(_, typed, quoted) => typed.len() + usize::from(*quoted),
        };
        let sql = text.get_untracked();
        let begin = end.saturating_sub(typed);
        let (Some(head), Some(tail)) = (sql.get(..begin), sql.get(end..)) else { return };
        let next = format!("{head}{offer}{tail}");
        let position = format!("{head}{offer}").encode_utf16().count() as u32;
        text.set(next);
        offered.set(Vec::new());
        request_animation_frame(move || {
            if let Some(field) = field.try_get_untracked().flatten() {
                let _ = field.focus();
                let _ = field.set_selection_range(position, position);
            }
        });
    };
    let keydown = move |event: web_sys::KeyboardEvent| {
        let control = event.ctrl_key() || event.meta_key();
        let count = offered.with_untracked(Vec::len);
        match event.key().as_str() {
            "Enter" if control => run.run(()),
            "s" if control => save.run(()),
            " " if control => look(true),
            "ArrowUp" if event.alt_key() => earlier.run(()),
            "ArrowDown" if count > 0 => chosen.update(|at| *at = (*at + 1) % count),
            "ArrowUp" if count > 0 => chosen.update(|at| *at = (*at + count - 1) % count),
            "Enter" | "Tab" if count > 0 && !event.shift_key() => take(chosen.get_untracked()),
            "Escape" if count > 0 => offered.set(Vec::new()),
            _ => return,
        }
        event.prevent_default();
        event.stop_propagation();
    };
    let colours = move || {
        text.with(|sql| {
            pieces(sql)
                .into_iter()
                .map(|(piece, text)| view! { <span class=piece.class()>{text.to_owned()}</span> })
                .collect_view()
        })
    };
    let numbers = move || {
        text.with(|sql| (1..=sql.split('\n').count()).map(|line| line.to_string()).collect::<Vec<_>>().join("\n"))
    };
    let top = RwSignal::new(0);
    let scroll = move |_| {
        if let (Some(field), Some(back)) = (field.get_untracked(), back.get_untracked()) {
            back.set_scroll_top(field.scroll_top());
            back.set_scroll_left(field.scroll_left());
            top.set(field.scroll_top());
        }
    };
    let active = move || offered.with(|all| !all.is_empty()).then(|| format!("offer-{}", chosen.get()));
    view! {
        <div class="editor">
            <pre class="lines" aria-hidden="true" style:top=move || format!("{}px", -top.get())>{numbers}</pre>
            <pre class="back" aria-hidden="true" node_ref=back>{colours}"\n"</pre>
            <textarea
                node_ref=field
                aria-label="SQL statement"
                role="combobox"
                aria-autocomplete="list"
                aria-expanded=move || offered.with(|all| !all.is_empty()).to_string()
                aria-controls="offers"
                aria-activedescendant=active
                spellcheck="false"
                autocapitalize="off"
                wrap="off"
                prop:value=text
                on:input=move |event| { text.set(event_target_value(&event)); look(false); }
                on:keydown=keydown
                on:scroll=scroll
                on:blur=move |_| offered.set(Vec::new())
            ></textarea>
            <div
                class="offers sql-offers"
                id="offers"
                role="listbox"
                aria-label="Completions"
                hidden=move || offered.with(Vec::is_empty)
                style:left=move || format!("calc(48px + {}ch)", place.get().1)
                style:top=move || format!("{}px", (place.get().0 + 1) * 20 + 14 - top.get() as usize)
            >
                {move || offered.get().into_iter().enumerate().map(|(at, (name, help))| view! {
                    <div role="option" id=format!("offer-{at}") class:on=move || chosen.get() == at aria-selected=move || (chosen.get() == at).to_string()
                        on:mousedown=move |event| { event.prevent_default(); take(at); }>
                        <span class="mono ell">{name}</span><span class="faint">{help}</span>
                    </div>
                }).collect_view()}
            </div>
        </div>
    }
}
