//! Loading, empty and error faces: never a spinner alone, always what happened and what to do.

use api::Problem;
use leptos::prelude::*;

use crate::app::{shared, there};
use crate::view::url;

/// Rows that are not there yet; shown only after 150 ms, at the height of the rows to come.
#[component]
pub(crate) fn Skeleton(
    /// Rows to draw.
    rows: usize,
) -> impl IntoView {
    view! {
        <div class="skeleton" role="status" aria-label="Loading">
            {(0..rows).map(|row| view! { <div class="skr"><i></i><i class=format!("w{}", row % 5)></i><i></i></div> }).collect_view()}
        </div>
    }
}

/// The 2-px bar over old data while new data is on its way.
#[component]
pub(crate) fn LoadingBar(
    /// True while something is on its way.
    #[prop(into)]
    active: Signal<bool>,
) -> impl IntoView {
    view! { <div class="loading-bar" class:active=active role="progressbar" aria-label="Loading" aria-hidden=move || (!active.get()).to_string()></div> }
}

/// What went wrong, and the way out.
#[component]
pub(crate) fn ErrorBox(
    /// What the server (or the client) said.
    problem: Problem,
    /// The text `problem.position` points into.
    #[prop(optional)]
    query: Option<String>,
    /// Tries again.
    retry: Callback<()>,
) -> impl IntoView {
    let shared = shared();
    let details = format!(
        "{}\n{}\n{}\nstatus {}\n{}",
        problem.title,
        problem.detail,
        problem.kind,
        problem.status,
        window().location().href().unwrap_or_default()
    );
    let place = problem.position.zip(query).map(|(position, query)| {
        let position = (0..=position.min(query.len())).rev().find(|at| query.is_char_boundary(*at)).unwrap_or(0);
        let (before, after) = query.split_at(position);
        let end = after.find(char::is_whitespace).filter(|end| *end > 0).unwrap_or(after.len());
        let (wrong, rest) = after.split_at(end);
        let wrong = if wrong.is_empty() { "⏎".to_owned() } else { wrong.to_owned() };
        view! { <pre class="where">{before.to_owned()}<u class="bad">{wrong}</u>{rest.to_owned()}</pre> }
    });
    let title = if problem.title.is_empty() { format!("HTTP {}", problem.status) } else { problem.title };
    view! {
        <div class="error-box" role="alert">
            <b class="bad">{title}</b>
            <span class="dim">{problem.detail}</span>
            {place}
            <div class="row">
                <button class="btn s" on:click=move |_| retry.run(())>"Retry"</button>
                <button class="btn s quiet" on:click=move |_| shared.copy(details.clone(), "Details")>"Copy details"</button>
            </div>
        </div>
    }
}

/// The way to the SQL behind numbers, over the range of the page.
pub(crate) fn behind(sql: &str) -> impl IntoView + use<> {
    behind_as(sql, "SQL", "What these numbers add up, as SQL")
}

/// [`behind`] where one statement is not all.
pub(crate) fn behind_as(sql: &str, name: &'static str, title: &'static str) -> impl IntoView + use<> {
    let link = format!("/sql{}", url::query_string([("sql", sql)]));
    view! { <a class="acc n behind" href=there(link) title=title>{name}</a> }
}

/// Nothing to show: why, and the next step as children.
#[component]
pub(crate) fn EmptyState(
    /// What is not there.
    #[prop(into)]
    title: String,
    /// Why, and what to do.
    children: Children,
) -> impl IntoView {
    view! { <div class="empty"><b>{title}</b>{children()}</div> }
}
