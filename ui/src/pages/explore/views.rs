//! Beside the filter: the same question as SQL, and views that the server keeps.

use api::{Problem, QueryRequest, SavedQuery};
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::hooks::use_location;

use crate::app::{Shared, shared, there};
use crate::client;
use crate::components::icon::{Icon, icon};
use crate::components::keys::on_key;
use crate::view::behind::hits as sql;
use crate::view::url::{self, ExploreState};
use crate::view::{kept, saved_view};

/// Filters or SQL.
#[component]
pub(super) fn Language(state: Memo<ExploreState>) -> impl IntoView {
    let statement =
        Memo::new(move |_| state.with(|state| sql::rows(state.unit, state.plot, &state.filter, state.sort)));
    view! {
        <span class="seg lang" role="group" aria-label="Ask with">
            <button aria-pressed="true">"Filters"</button>
            {move || match statement.get() {
                Some(sql) => {
                    let link = there(format!("/sql{}", url::query_string([("sql", sql.as_str())])));
                    view! { <a class="seg-link" href=link title="The same rows as a statement, to go on from">"SQL"</a> }.into_any()
                }
                None => view! { <button disabled=true title="SQL would show other rows: a part of the filter has no column, or the order is one of whole traces">"SQL"</button> }.into_any(),
            }}
        </span>
    }
}

/// Views kept on the server: open one, keep this one, forget one.
#[component]
pub(super) fn Views(state: Memo<ExploreState>) -> impl IntoView {
    let shared = shared();
    let search = use_location().search;
    let open = RwSignal::new(false);
    let name = RwSignal::new(String::new());
    let all = RwSignal::new(None::<Result<Vec<SavedQuery>, Problem>>);
    let field = NodeRef::<leptos::html::Input>::new();
    let button = NodeRef::<leptos::html::Button>::new();
    let load = move || {
        spawn_local(async move {
            let answer = client::queries().await.map(|answer| answer.queries);
            all.try_set(Some(answer));
        });
    };
    let toggle = move |_| {
        open.update(|open| *open = !*open);
        if open.get_untracked() {
            load();
            request_animation_frame(move || {
                if let Some(field) = field.try_get_untracked().flatten() {
                    let _ = field.focus();
                }
            });
        }
    };
    let close = move || {
        open.set(false);
        if let Some(button) = button.get_untracked() {
            let _ = button.focus();
        }
    };
    on_key(move |_, key| {
        key == "Escape" && open.get_untracked() && {
            close();
            true
        }
    });
    let keep = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        let title = name.get_untracked().trim().to_owned();
        if title.is_empty() {
            return;
        }
        keep_view(title, &state.get_untracked(), shared, move || {
            name.try_set(String::new());
            load();
        });
    };
    let forget = move |id: String| {
        spawn_local(async move {
            if let Err(problem) = client::delete_query(&id).await {
                shared.say(problem.title);
            }
            load();
        });
    };
    let one = move |query: &SavedQuery| {
        let link = saved_view::link(query)?.to_owned();
        let (id, title) = (query.id.clone(), query.title.clone());
        let label = format!("Forget {title}");
        let href = move || url::carry(&link, &search.get());
        Some(view! {
            <li>
                <a class="ell" href=href title=title.clone() on:click=move |_| open.set(false)>{title.clone()}</a>
                <button class="x" aria-label=label on:click=move |_| forget(id.clone())>{icon(Icon::Close, true)}</button>
            </li>
        })
    };
    let list = move || match &*all.read() {
        None => view! { <p class="faint">"…"</p> }.into_any(),
        Some(Err(problem)) => view! { <p class="faint">{format!("Not known: {}", problem.title)}</p> }.into_any(),
        Some(Ok(queries)) => {
            let views: Vec<_> = queries.iter().filter_map(one).collect();
            if views.is_empty() {
                view! { <p class="faint">"None is kept yet. They stand on the server, for all who may read."</p> }
                    .into_any()
            } else {
                view! { <ul class="saved">{views}</ul> }.into_any()
            }
        }
    };
    view! {
        <div class="views" on:keydown=move |event| {
            if event.key() == "Escape" {
                event.stop_propagation();
                close();
            }
        }>
            <button class="btn" node_ref=button aria-expanded=move || open.get().to_string() aria-controls="views" on:click=toggle title="Views kept on the server">"Saved views"</button>
            <Show when=move || open.get()>
                <div class="menu" id="views" role="region" aria-label="Saved views">
                    <form class="row" on:submit=keep>
                        <input node_ref=field aria-label="Name of this view" placeholder="Name of this view" autocomplete="off" maxlength="60" prop:value=name on:input=move |event| name.set(event_target_value(&event))/>
                        <button class="btn s primary" disabled=move || name.with(|name| name.trim().is_empty())>"Save"</button>
                    </form>
                    {list}
                </div>
            </Show>
        </div>
    }
}

/// Keeps a view under its title; another view of the same title is replaced, never a query of the console.
fn keep_view(title: String, state: &ExploreState, shared: Shared, then: impl FnOnce() + 'static) {
    let state = ExploreState { brush: None, live: false, theme: None, ..state.clone() };
    let rows = sql::rows(state.unit, state.plot, &state.filter, state.sort);
    let sql = saved_view::text(&title, &state.link(), rows.as_deref());
    spawn_local(async move {
        let known = match client::queries().await {
            Ok(answer) => answer.queries,
            Err(problem) => return shared.say(problem.title),
        };
        let id = kept::name_of(&sql, None, &known, |query| saved_view::link(query).is_some());
        match client::keep_query(&id, &QueryRequest { title, sql }).await {
            Ok(_) => {
                shared.say("View saved");
                then();
            }
            Err(problem) => shared.say(format!("Not saved: {}", problem.title)),
        }
    });
}
