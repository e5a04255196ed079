//! Queries kept on the server, and a few to begin with.

use api::{Problem, QueryRequest, SavedQuery};
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::app::{Shared, shared};
use crate::client;
use crate::components::icon::{Icon, icon};

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
}

impl Saved {
    /// Asks the server.
    pub(super) fn load() -> Self {
        let saved = Self { all: RwSignal::new(None) };
        saved.ask();
        saved
    }

    fn ask(self) {
        spawn_local(async move {
            let answer = client::queries().await.map(|answer| answer.queries);
            self.all.try_set(Some(answer));
        });
    }

    /// The statement of a name; `None` while they are on their way, too.
    pub(super) fn named(self, id: &str) -> Option<String> {
        let all = self.all.read();
        let all = all.as_ref()?.as_ref().ok()?;
        all.iter().find(|query| query.id == id).map(|query| query.sql.clone())
    }

    /// Keeps a statement under its title, then goes on with its name.
    pub(super) fn keep(self, shared: Shared, sql: String, then: impl FnOnce(String) + 'static) {
        let title = title(&sql);
        let id = slug(&title);
        spawn_local(async move {
            match client::keep_query(&id, &QueryRequest { title, sql }).await {
                Ok(kept) => {
                    shared.say(format!("Saved as {}", kept.title));
                    self.ask();
                    then(kept.id);
                }
                Err(problem) => shared.say(problem.detail),
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

/// A statement's first comment, else its beginning.
fn title(sql: &str) -> String {
    let first = sql.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("empty");
    first.trim_start_matches("--").trim().chars().take(60).collect()
}

/// A title as a name in addresses; the same title is the same name.
fn slug(title: &str) -> String {
    let mut name = String::new();
    for letter in title.to_lowercase().chars() {
        if letter.is_ascii_alphanumeric() {
            name.push(letter);
        } else if !name.ends_with('-') && !name.is_empty() {
            name.push('-');
        }
    }
    let name = name.trim_end_matches('-');
    if name.is_empty() { "query".to_owned() } else { name.to_owned() }
}

/// The list at the side.
#[component]
pub(super) fn SavedList(saved: Saved, pick: Callback<String>) -> impl IntoView {
    let shared = shared();
    let list = move || {
        match saved.all.get() {
        None => ().into_any(),
        Some(Err(problem)) => view! { <p class="faint side-p">{problem.detail}</p> }.into_any(),
        Some(Ok(all)) if all.is_empty() => view! { <p class="faint side-p">"Ctrl S keeps a statement on the server; a first line like -- name names it."</p> }.into_any(),
        Some(Ok(all)) => {
            let one = |query: SavedQuery| {
                let link = format!("/sql/{}", query.id);
                let id = query.id.clone();
                view! {
                    <li>
                        <a class="ell" href=link title=query.sql>{query.title.clone()}</a>
                        <button class="x" aria-label=format!("Forget {}", query.title) on:click=move |_| saved.forget(shared, id.clone())>{icon(Icon::Close, true)}</button>
                    </li>
                }
            };
            view! { <ul class="saved">{all.into_iter().map(one).collect_view()}</ul> }.into_any()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_become_names() {
        assert_eq!(title("\n -- Wait by group \nSELECT 1"), "Wait by group");
        assert_eq!([slug("Wait, by group!"), slug("SELECT 1"), slug("–")], ["wait-by-group", "select-1", "query"]);
    }
}
