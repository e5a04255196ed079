//! SQL: one read-only statement over everything that was received.
//!
//! URL: `/sql/:saved` (a kept statement) or `sql` (the statement), `view` (`plot`), `x`, `y`, `by` (columns of the plot). A link shows the same.
//! Keys: `Ctrl Enter` run, `Ctrl Space` complete, `Ctrl S` save, `Alt ↑` earlier run.
//!
//! | file         | draws                                                       |
//! |--------------|-------------------------------------------------------------|
//! | `editor.rs`  | the statement with colours and completion                   |
//! | `answer.rs`  | the answer as table and plot                                |
//! | `saved.rs`   | queries kept on the server, and a few to begin with         |

mod answer;
mod editor;
mod saved;

use api::{Problem, SqlAnswer, SqlRequest, TablesAnswer};
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_location, use_navigate};
use serde_json::Value as Json;

use self::answer::{plot, table};
use self::editor::Editor;
use self::saved::{Saved, SavedList};
use crate::app::shared;
use crate::asking::Turns;
use crate::client;
use crate::components::download::download;
use crate::components::states::{ErrorBox, LoadingBar};
use crate::view::alerts::draft::{Column, RANGE_MINUTES, draft};
use crate::view::sql_text::{Piece, pieces};
use crate::view::url::{self, RangeText};
use crate::view::{environment, format};

/// What the page starts with.
const FIRST: &str = "SELECT service_name, count(*) AS spans, max(duration_nanos) / 1e6 AS slowest_ms\nFROM spans\nWHERE start_time >= $from AND start_time < $to\nGROUP BY service_name\nORDER BY spans DESC";
/// Rows asked for.
const ROWS: usize = 1_000;
/// Earlier runs kept.
const HISTORY_MAX: usize = 50;

/// A request for a statement over the range and the environment of the page.
fn request(sql: &str, search: &str, limit: usize) -> SqlRequest {
    let range = RangeText::read(search);
    // The server refuses parameters that the statement does not name.
    let is_named = |name: &str| pieces(sql).contains(&(Piece::Parameter, name));
    let env = is_named("$env").then(|| environment::of(search).map_or(Json::Null, Json::String));
    SqlRequest {
        from: is_named("$from").then_some(Json::String(range.from)),
        to: is_named("$to").then_some(Json::String(range.to)),
        params: env.map(|env| ("env".to_owned(), env)).into_iter().collect(),
        sql: sql.to_owned(),
        limit: Some(limit),
    }
}

/// Editor above, answer below, tables at the side.
#[component]
pub(crate) fn SqlPage() -> impl IntoView {
    let shared = shared();
    let search = use_location().search;
    let path_now = use_location().pathname;
    let navigate = use_navigate();
    let go_alert = navigate.clone();
    let parameter = move |name: &'static str| {
        url::pairs(&search.get()).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    };
    let in_url = Memo::new(move |_| parameter("sql"));
    let text = RwSignal::new(in_url.get_untracked().unwrap_or_else(|| FIRST.to_owned()));
    let answer = RwSignal::new(None::<Result<SqlAnswer, Problem>>);
    let ran = RwSignal::new(String::new());
    let loading = RwSignal::new(false);
    let tables = RwSignal::new(TablesAnswer::default());
    let history = StoredValue::new((Vec::<String>::new(), 0usize));
    spawn_local(async move {
        if let Ok(answer) = client::tables().await {
            tables.try_set(answer);
        }
    });
    let question = Turns::new();
    let execute = move |sql: String| {
        let turn = question.next();
        loading.set(true);
        history.update_value(|(past, at)| {
            if past.last() != Some(&sql) {
                past.push(sql.clone());
            }
            if past.len() > HISTORY_MAX {
                past.remove(0);
            }
            *at = past.len();
        });
        let request = request(&sql, &search.get_untracked(), ROWS);
        spawn_local(async move {
            let found = client::sql(&request).await;
            if turn.is_newest() {
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
    let change = {
        let navigate = navigate.clone();
        move |changes: &[(&str, Option<&str>)]| {
            // A statement in the address stands for itself; without one, a kept statement stays the address.
            let is_kept = changes.iter().all(|(name, _)| *name != "sql");
            let path = if is_kept { path_now.get_untracked() } else { "/sql".to_owned() };
            let link = format!("{path}{}", url::with_parameters(&search.get_untracked(), changes));
            navigate(&link, NavigateOptions { scroll: false, ..NavigateOptions::default() });
        }
    };
    let change_sql = change.clone();
    let run = Callback::new(move |()| {
        let sql = text.get_untracked();
        if in_url.get_untracked().as_deref() == Some(&sql) {
            execute(sql);
        } else {
            change_sql(&[("sql", Some(&sql)), ("x", None), ("y", None), ("by", None)]);
        }
    });
    let earlier = Callback::new(move |()| {
        let past = history.try_update_value(|(past, at)| {
            *at = at.saturating_sub(1);
            past.get(*at).cloned()
        });
        if let Some(past) = past.flatten() {
            text.set(past);
        }
    });
    let saved = Saved::load();
    let path = use_location().pathname;
    let open = Memo::new(move |_| path.get().strip_prefix("/sql/").map(url::decode).filter(|id| !id.is_empty()));
    let go_saved = navigate.clone();
    let save = Callback::new(move |()| {
        let navigate = go_saved.clone();
        saved.keep(shared, text.get_untracked(), open.get_untracked(), move |id| {
            let link = format!("/sql/{id}{}", url::with_parameters(&search.get_untracked(), &[("sql", None)]));
            navigate(&link, NavigateOptions { scroll: false, ..NavigateOptions::default() });
        });
    });
    // A kept statement runs when it has come; the same one only once.
    let named = Memo::new(move |_| saved.named(&open.get()?));
    Effect::new(move |_| {
        if let (Some(sql), None) = (named.get(), in_url.get_untracked())
            && ran.with_untracked(|ran| *ran != sql)
        {
            text.set(sql.clone());
            execute(sql);
        }
    });
    // A rule that fires above what the value is at most now; the editor of alerts goes on from there.
    let alert = move |_| {
        let sql = environment::written_out(&ran.get_untracked(), &search.get_untracked());
        let rule = answer.with_untracked(|answer| {
            let found = answer.as_ref()?.as_ref().ok()?;
            let is = |words: &[&str], kind: &str| words.iter().any(|word| kind.to_lowercase().contains(word));
            let columns: Vec<Column<'_>> = found
                .columns
                .iter()
                .map(|column| Column {
                    name: &column.name,
                    is_number: answer::is_number(&column.data_type),
                    is_text: is(&["text", "utf8", "string", "char"], &column.data_type),
                })
                .collect();
            let at = columns.iter().rposition(|column| column.is_number)?;
            let values = found.rows.iter().filter_map(|row| row.get(at).and_then(answer::number));
            Some(draft(&sql, &columns, values.reduce(f64::max), RANGE_MINUTES))
        });
        let rule = rule.unwrap_or_else(|| draft(&sql, &[], None, RANGE_MINUTES));
        let link = format!("/alerts{}", url::query_string([("show", "new"), ("sql", rule.as_str())]));
        go_alert(&url::carry(&link, &search.get_untracked()), NavigateOptions::default());
    };
    let is_plot = move || parameter("view").as_deref() == Some("plot");
    let view_button = {
        let change = change.clone();
        move |wanted: &'static str, name: &'static str| {
            let change = change.clone();
            view! { <button aria-pressed=move || (is_plot() == (wanted == "plot")).to_string() on:click=move |_| change(&[("view", Some(wanted).filter(|view| *view == "plot"))])>{name}</button> }
        }
    };
    let chosen = Callback::new(move |(name, value): (&'static str, String)| {
        change(&[(name, Some(value.as_str()).filter(|value| !value.is_empty()))])
    });
    let explain = move |_| {
        let sql = text.get_untracked();
        text.set(if sql.trim_start().to_ascii_uppercase().starts_with("EXPLAIN") {
            sql
        } else {
            format!("EXPLAIN {sql}")
        });
        run.run(());
    };
    let export = move |kind: &'static str, accept: &'static str| {
        let sql = ran.get_untracked();
        let request = request(&sql, &search.get_untracked(), 100_000);
        spawn_local(async move {
            match client::sql_as(&request, accept).await {
                Ok(text) => {
                    if !download(&format!("answer.{kind}"), accept, &text) {
                        shared.say("The browser did not allow saving");
                    }
                }
                Err(problem) => shared.say(problem.detail),
            }
        });
    };
    let pick = Callback::new(move |sql: String| {
        text.set(sql);
        run.run(());
    });
    view! {
        <div class="sql">
            <aside class="facets" aria-label="Tables and saved queries">
                <h2 class="h side-h">"Tables"</h2>
                {move || tables.get().tables.into_iter().map(|table| view! {
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
                <SavedList saved pick/>
            </aside>
            <div class="col">
                <Editor text tables run save earlier/>
                <div class="row sql-bar">
                    <button class="btn s primary" on:click=move |_| run.run(())>"Run"</button>
                    <kbd>"Ctrl Enter"</kbd>
                    <button class="btn s" on:click=explain title="How the server would answer it">"Explain"</button>
                    <button class="btn s" on:click=move |_| save.run(()) title="Keep it on the server (Ctrl S); a first line like -- name names it, another name makes another query">"Save"</button>
                    <button class="btn s" disabled=move || !matches!(answer.get(), Some(Ok(_))) on:click=alert title="A rule that fires when the value rises above what it is now">"Alert"</button>
                    <span class="faint"><span class="mono">"$from"</span>" and "<span class="mono">"$to"</span>" are the time range above, "<span class="mono" title="NULL while all are looked at: $env IS NULL OR deployment_environment = $env">"$env"</span>" the environment"</span>
                    <span class="grow"></span>
                    <Show when=move || { answer.with(Option::is_some) && text.get() != ran.get() }><span class="chip hot">"edited since this run"</span></Show>
                    <div class="seg" role="group" aria-label="Show the answer as">{view_button("table", "Table")}{view_button("plot", "Plot and table")}</div>
                    <button class="btn s" disabled=move || !matches!(answer.get(), Some(Ok(_))) on:click=move |_| export("csv", "text/csv")>"CSV"</button>
                    <button class="btn s" disabled=move || !matches!(answer.get(), Some(Ok(_))) on:click=move |_| export("ndjson", "application/x-ndjson")>"NDJSON"</button>
                </div>
                <div class="lst">
                    <LoadingBar active=loading/>
                    {move || match answer.get() {
                        None => view! { <p class="hint faint">"The answer stands here. One statement, read-only."</p> }.into_any(),
                        Some(Err(problem)) => {
                            let retry = Callback::new(move |()| execute(text.get_untracked()));
                            view! { <ErrorBox problem query=ran.get_untracked() retry/> }.into_any()
                        }
                        Some(Ok(found)) => {
                            let picture = is_plot().then(|| plot(&found, parameter("x"), parameter("y"), parameter("by"), chosen, shared));
                            view! { {picture} {table(found, loading)} }.into_any()
                        }
                    }}
                </div>
                <div class="status">
                    <span><kbd>"Ctrl"</kbd><kbd>"Space"</kbd> "complete"</span>
                    <span><kbd>"Ctrl"</kbd><kbd>"S"</kbd> "save"</span>
                    <span><kbd>"Alt"</kbd><kbd>"↑"</kbd> "earlier run"</span>
                    <span class="grow"></span>
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
                        _ => view! { <span>"Read only; limits stand in System"</span> }.into_any(),
                    }}
                </div>
            </div>
        </div>
    }
}
