//! A view under its short name: `/v/:short` leads to the address that the server keeps.
//!
//! Views saved in Explore have the name they were given; addresses too long to be handed on have one made of their text.

use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::hooks::{use_location, use_params_map};

use crate::app::there;
use crate::client;
use crate::components::states::{EmptyState, ErrorBox, Skeleton};
use crate::view::{saved_view, url};

/// Looks the name up and goes there.
#[component]
pub(crate) fn ShortPage() -> impl IntoView {
    let params = use_params_map();
    let search = use_location().search;
    let asked = move || params.with(|params| params.get("short").unwrap_or_default());
    let missing = RwSignal::new(None);
    let look = move || {
        let name = asked();
        spawn_local(async move {
            let found = client::queries().await.map(|answer| {
                let query = answer.queries.into_iter().find(|query| query.id == name)?;
                saved_view::link(&query).or_else(|| saved_view::handed_on(&query)).map(ToOwned::to_owned)
            });
            match found {
                // In place of this address: back leads to where the reader was before.
                Ok(Some(link)) => drop(window().location().replace(&url::carry(&link, &search.get_untracked()))),
                Ok(None) => drop(missing.try_set(Some(None))),
                Err(problem) => drop(missing.try_set(Some(Some(problem)))),
            }
        });
    };
    Effect::new(move |_| look());
    let retry = Callback::new(move |()| look());
    move || match missing.get() {
        None => view! { <Skeleton rows=6/> }.into_any(),
        Some(Some(problem)) => view! { <ErrorBox problem retry/> }.into_any(),
        Some(None) => view! {
            <EmptyState title="No view of this name is kept here">
                <span class="mono dim">{asked()}</span>
                <span class="dim">"Somebody may have deleted it, or it is kept on another server."</span>
                <a class="btn s primary" href=there("/explore")>"Go to Explore"</a>
            </EmptyState>
        }
        .into_any(),
    }
}
