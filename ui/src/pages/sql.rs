//! SQL: one read-only statement over everything that was received.
//!
//! The statement is in the URL (`sql`), so a link shows the same. Keys: `Ctrl Enter` runs.

use api::{Problem, SqlAnswer, SqlRequest, TableInfo};
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_location, use_navigate};
use serde_json::Value as Json;

use crate::client;
use crate::components::states::{ErrorBox, LoadingBar};
use crate::view::format;
use crate::view::url::{self, RangeText};

/// What the page starts with.
const FIRST: &str = "SELECT service_name, count(*) AS spans, max(duration_nanos) / 1e6 AS slowest_ms\nFROM spans\nWHERE start_time >= $from AND start_time < $to\nGROUP BY service_name\nORDER BY spans DESC";
/// Rows asked for.
const ROWS: usize = 1_000;

/// Editor above, answer below, tables at the side.
#[component]
pub(crate) fn SqlPage() -> impl IntoView {
    let search = use_location().search;
    let navigate = use_navigate();
    let in_url =
        Memo::new(move |_| url::pairs(&search.get()).into_iter().find(|(key, _)| key == "sql").map(|(_, sql)| sql));
    let text = RwSignal::new(in_url.get_untracked().unwrap_or_else(|| FIRST.to_owned()));
    let answer = RwSignal::new(None::<Result<SqlAnswer, Problem>>);
    let ran = RwSignal::new(String::new());
    let loading = RwSignal::new(false);
    let tables = RwSignal::new(Vec::<TableInfo>::new());
    spawn_local(async move {
        if let Ok(answer) = client::tables().await {
            tables.try_set(answer.tables);
        }
    });
    let question = StoredValue::new(0u32);
    let execute = move |sql: String| {
        let number = question.get_value().wrapping_add(1);
        question.set_value(number);
        loading.set(true);
        let range = RangeText::read(&search.get_untracked());
        // The server refuses parameters that the statement does not name.
        let named = |name: &str, value: String| sql.contains(name).then_some(Json::String(value));
        let request = SqlRequest {
            from: named("$from", range.from),
            to: named("$to", range.to),
            sql: sql.clone(),
            limit: Some(ROWS),
            ..SqlRequest::default()
        };
        spawn_local(async move {
            let found = client::sql(&request).await;
            if question.try_get_value() == Some(number) {
                loading.set(false);
                ran.set(sql);
                answer.set(Some(found));
            }
        });
    };
    // A link with a statement runs it; so do back and forward.
    Effect::new(move |_| {
        if let Some(sql) = in_url.get() {
            text.set(sql.clone());
            execute(sql);
        }
    });
    let run = Callback::new(move |()| {
        let sql = text.get_untracked();
        if in_url.get_untracked().as_deref() == Some(&sql) {
            execute(sql);
        } else {
            let link = format!("/sql{}", url::with_parameters(&search.get_untracked(), &[("sql", Some(&sql))]));
            navigate(&link, NavigateOptions { scroll: false, ..NavigateOptions::default() });
        }
    });
    view! {
        <div class="sql">
            <aside class="facets" aria-label="Tables">
                {move || tables.get().into_iter().map(|table| view! {
                    <details class="tbl">
                        <summary><span class="mono">{table.name.clone()}</span><span class="grow"></span><span class="faint">{table.rows.map(format::short_count)}</span></summary>
                        <p class="faint">{table.help.clone()}</p>
                        <ul>
                            {table.columns.into_iter().map(|column| view! {
                                <li title=column.help.clone()><span class="mono ell">{column.name.clone()}</span><span class="grow"></span><span class="faint">{column.data_type.clone()}</span></li>
                            }).collect_view()}
                        </ul>
                    </details>
                }).collect_view()}
            </aside>
            <div class="col">
                <div class="editor">
                    <textarea
                        class="mono"
                        aria-label="SQL statement"
                        spellcheck="false"
                        prop:value=text
                        on:input=move |event| text.set(event_target_value(&event))
                        on:keydown=move |event| {
                            if event.key() == "Enter" && (event.ctrl_key() || event.meta_key()) {
                                event.prevent_default();
                                run.run(());
                            }
                        }
                    ></textarea>
                    <div class="row">
                        <button class="btn s primary" on:click=move |_| run.run(())>"Run"</button>
                        <kbd>"Ctrl Enter"</kbd>
                        <span class="faint"><span class="mono">"$from"</span>" and "<span class="mono">"$to"</span>" are the time range above"</span>
                        <span class="grow"></span>
                        <Show when=move || { answer.with(Option::is_some) && text.get() != ran.get() }><span class="chip hot">"edited since this run"</span></Show>
                    </div>
                </div>
                <div class="lst">
                    <LoadingBar active=loading/>
                    {move || match answer.get() {
                        None => view! { <p class="hint faint">"The answer stands here. One statement, read-only."</p> }.into_any(),
                        Some(Err(problem)) => {
                            let retry = Callback::new(move |()| execute(text.get_untracked()));
                            view! { <ErrorBox problem query=ran.get_untracked() retry/> }.into_any()
                        }
                        Some(Ok(found)) => table(found, loading).into_any(),
                    }}
                </div>
                <div class="status">
                    {move || match answer.get() {
                        Some(Ok(found)) => {
                            let cut = if found.incomplete { format!(" · incomplete: {}", found.incomplete_reason.unwrap_or_default()) } else { String::new() };
                            let line = format!(
                                "{} · read {} rows, {}, in {} ms{cut}",
                                format::counted(found.rows.len() as u64, "row"),
                                format::count(found.rows_read),
                                format::bytes(found.bytes_read),
                                found.elapsed_ms.round()
                            );
                            view! { <span>{line}</span> }.into_any()
                        }
                        _ => ().into_any(),
                    }}
                </div>
            </div>
        </div>
    }
}

fn table(found: SqlAnswer, loading: RwSignal<bool>) -> impl IntoView {
    // Integers of 64 bits travel as text, so the type decides.
    let is_number = |name: &str| {
        ["int", "double", "float", "real", "decimal"].iter().any(|word| name.to_lowercase().contains(word))
    };
    let numeric: Vec<bool> = found.columns.iter().map(|column| is_number(&column.data_type)).collect();
    let class = |index: usize| if numeric.get(index).copied().unwrap_or(false) { "num" } else { "" };
    let head = found.columns.iter().enumerate().map(|(index, column)| {
        view! { <th class=class(index) title=column.data_type.clone()>{column.name.clone()}</th> }
    });
    let rows = found.rows.iter().map(|row| {
        let cells = row.iter().enumerate().map(|(index, value)| {
            let text = match value {
                Json::Null => String::new(),
                Json::String(text) => text.clone(),
                other => other.to_string(),
            };
            let class = if value.is_null() { "faint" } else { class(index) };
            view! { <td class=class title=text.clone()>{if value.is_null() { "null".to_owned() } else { text.clone() }}</td> }
        });
        view! { <tr>{cells.collect_view()}</tr> }
    });
    view! {
        <table class="answer" class:old=loading>
            <caption class="sr">"Answer"</caption>
            <thead><tr>{head.collect_view()}</tr></thead>
            <tbody>{rows.collect_view()}</tbody>
        </table>
    }
}
