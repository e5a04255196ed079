//! Queries kept on the server, and a few to begin with.

use api::{Problem, QueryRequest, SavedQuery};
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::hooks::use_location;

use crate::app::{Shared, shared};
use crate::asking::Turns;
use crate::client;
use crate::components::icon::{Icon, icon};
use crate::view::url;
use crate::view::{kept, saved_view};

/// Names and statements to begin with.
const STARTERS: [(&str, &str); 6] = [
    (
        "Wait by consumer group",
        "SELECT date_trunc('minute', time) AS minute, coalesce(grp, dst) AS consumers,\n       count(*) AS messages, approx_percentile_cont(lag, 0.95) / 1e6 AS p95_ms\nFROM hops\nWHERE time >= $from AND time < $to\nGROUP BY 1, 2\nORDER BY 1",
    ),
    (
        "Slowest calls, by version",
        "SELECT src, dst, server_ver AS version, count(*) AS calls,\n       approx_percentile_cont(dur, 0.95) / 1e6 AS p95_ms\nFROM calls\nWHERE time >= $from AND time < $to\nGROUP BY 1, 2, 3\nORDER BY p95_ms DESC\nLIMIT 50",
    ),
    (
        "Deliveries that were repeated",
        "SELECT queue, dst, max(attempt) AS attempts, count(*) AS deliveries, sum(CASE WHEN error THEN 1 ELSE 0 END) AS failed\nFROM hops\nWHERE time >= $from AND time < $to AND attempts > 1\nGROUP BY 1, 2\nORDER BY deliveries DESC",
    ),
    (
        "Joins without a link",
        "SELECT queue, src, dst, count(*) AS messages\nFROM hops\nWHERE time >= $from AND time < $to AND joined_by = 'message_id'\nGROUP BY 1, 2, 3\nORDER BY messages DESC",
    ),
    (
        "Findings by name",
        "SELECT name, severity, count(*) AS journeys\nFROM findings\nWHERE time >= $from AND time < $to\nGROUP BY 1, 2\nORDER BY journeys DESC",
    ),
    (
        "Errors by service and type",
        "SELECT service_name, error_type, count(*) AS spans\nFROM spans\nWHERE start_time >= $from AND start_time < $to AND status_code = 2\nGROUP BY 1, 2\nORDER BY spans DESC",
    ),
];

/// The kept statements, by title.
#[derive(Clone, Copy)]
pub(super) struct Saved {
    all: RwSignal<Option<Result<Vec<SavedQuery>, Problem>>>,
    turns: Turns,
}

impl Saved {
    /// Asks the server.
    pub(super) fn load() -> Self {
        let saved = Self { all: RwSignal::new(None), turns: Turns::new() };
        saved.ask();
        saved
    }

    fn ask(self) {
        let turn = self.turns.next();
        spawn_local(async move {
            let answer = client::queries().await.map(|answer| answer.queries);
            if turn.is_newest() {
                self.all.set(Some(answer));
            }
        });
    }

    /// The statement of a name; `None` while they are on their way, too.
    pub(super) fn named(self, id: &str) -> Option<String> {
        let all = self.all.read();
        let all = all.as_ref()?.as_ref().ok()?;
        all.iter().find(|query| query.id == id).map(|query| query.sql.clone())
    }

    /// Keeps a statement, then goes on with its name: that of `open`, or another one; see [`kept::name`]. What is kept is asked for
    /// first, so that what others have saved since is not lost.
    pub(super) fn keep(self, shared: Shared, sql: String, open: Option<String>, then: impl FnOnce(String) + 'static) {
        spawn_local(async move {
            let known = match client::queries().await {
                Ok(answer) => answer.queries,
                Err(problem) => return shared.say(format!("Not saved. {}", problem.detail)),
            };
            let id = kept::name(&sql, open.as_deref(), &known);
            match client::keep_query(&id, &QueryRequest { title: kept::title(&sql), sql }).await {
                Ok(kept) => {
                    shared.say(format!("Saved as {}", kept.title));
                    let id = kept.id.clone();
                    // Before its address is gone to: what stands there under this name may be older. Only what is kept makes older
                    // answers old: the list is not left without one when it could not be kept.
                    if self.turns.overtake() {
                        self.all.set(Some(Ok(kept::with(known, kept))));
                        then(id);
                    }
                }
                Err(problem) => shared.say(format!("Not saved. {}", problem.detail)),
            }
        });
    }

    fn forget(self, shared: Shared, id: String) {
        spawn_local(async move {
            if let Err(problem) = client::delete_query(&id).await {
                shared.say(problem.detail);
            }
            self.ask();
        });
    }
}

/// The list at the side.
#[component]
pub(super) fn SavedList(saved: Saved, pick: Callback<String>) -> impl IntoView {
    let shared = shared();
    let search = use_location().search;
    let list = move || {
        match saved.all.get() {
        None => ().into_any(),
        Some(Err(problem)) => view! { <p class="faint side-p">{problem.detail}</p> }.into_any(),
        Some(Ok(all)) if all.is_empty() => view! { <p class="faint side-p">"Ctrl S keeps a statement on the server; a first line like -- name names it."</p> }.into_any(),
        Some(Ok(all)) => {
            let one = |query: SavedQuery| {
                let link = format!("/sql/{}", query.id);
                let link = move || url::carry(&link, &search.get());
                let id = query.id.clone();
                view! {
                    <li>
                        <a class="ell" href=link title=query.sql>{query.title.clone()}</a>
                        <button class="x" aria-label=format!("Forget {}", query.title) on:click=move |_| saved.forget(shared, id.clone())>{icon(Icon::Close, true)}</button>
                    </li>
                }
            };
            // Addresses that were handed on are no statements.
            let all = all.into_iter().filter(|query| saved_view::handed_on(query).is_none());
            view! { <ul class="saved">{all.map(one).collect_view()}</ul> }.into_any()
        }
    }
    };
    view! {
        <h2 class="h side-h">"Saved"</h2>
        {list}
        <h2 class="h side-h">"To begin with"</h2>
        <ul class="saved">
            {STARTERS.map(|(name, sql)| view! { <li><button class="ell" title=sql on:click=move |_| pick.run(format!("-- {name}\n{sql}"))>{name}</button></li> })}
        </ul>
    }
}
