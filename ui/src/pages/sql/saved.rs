//! Queries kept in this browser, and a few to begin with.

use leptos::prelude::*;

use crate::app::{remember, remembered};
use crate::components::icon::{Icon, icon};

/// Where they are kept.
const KEY: &str = "hodoscope.queries";
/// Queries kept at most.
const SAVED_MAX: usize = 100;

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

/// The kept statements, newest last.
#[derive(Clone, Copy)]
pub(super) struct Saved(RwSignal<Vec<String>>);

impl Saved {
    /// What this browser remembers.
    pub(super) fn load() -> Self {
        let kept = remembered(KEY).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        Self(RwSignal::new(kept))
    }

    /// Keeps a statement; one that is there already goes to the end.
    pub(super) fn add(self, sql: &str) {
        self.change(|kept| {
            kept.retain(|other| other != sql);
            kept.push(sql.to_owned());
            if kept.len() > SAVED_MAX {
                kept.remove(0);
            }
        });
    }

    fn change(self, change: impl FnOnce(&mut Vec<String>)) {
        self.0.update(change);
        self.0.with_untracked(|kept| remember(KEY, &serde_json::to_string(kept).unwrap_or_default()));
    }
}

/// A statement's first comment, else its beginning.
fn title(sql: &str) -> String {
    let first = sql.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("empty");
    first.trim_start_matches("--").trim().chars().take(60).collect()
}

/// The list at the side.
#[component]
pub(super) fn SavedList(saved: Saved, pick: Callback<String>) -> impl IntoView {
    view! {
        <h2 class="h side-h">"Saved in this browser"</h2>
        {move || saved.0.with(Vec::is_empty).then(|| view! { <p class="faint side-p">"Ctrl S keeps a statement here; a first line like -- name names it."</p> })}
        <ul class="saved">
            {move || saved.0.get().into_iter().rev().map(|sql| {
                let (name, picked, dropped) = (title(&sql), sql.clone(), sql);
                view! {
                    <li>
                        <button class="ell" title=picked.clone() on:click=move |_| pick.run(picked.clone())>{name.clone()}</button>
                        <button class="x" aria-label=format!("Forget {name}") on:click=move |_| saved.change(|kept| kept.retain(|other| *other != dropped))>{icon(Icon::Close, true)}</button>
                    </li>
                }
            }).collect_view()}
        </ul>
        <h2 class="h side-h">"To begin with"</h2>
        <ul class="saved">
            {STARTERS.map(|(name, sql)| view! { <li><button class="ell" title=sql on:click=move |_| pick.run(format!("-- {name}\n{sql}"))>{name}</button></li> })}
        </ul>
    }
}
