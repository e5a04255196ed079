//! The find box of the waterfall: names, services and ids at once, everything else by the server.

use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::asking::Turns;
use crate::client;
use crate::components::icon::{Icon, icon};
use crate::components::keys::{focus_field, on_key};
use crate::components::waterfall::Stage;
use crate::view::span_tree::Row;
use crate::view::{find, format};

/// Pause in typing after which the server is asked too, in milliseconds.
const TYPING_PAUSE_MS: u32 = 250;

/// Looks for a text: at once in what is on the page, after a pause in everything the server knows.
#[component]
pub(super) fn FindBox(stage: Stage) -> impl IntoView {
    let asking = Turns::new();
    let incomplete = RwSignal::new(false);
    Effect::new(move |_| {
        let text = stage.find.get();
        let turn = asking.next();
        let local = stage.model.with_value(|model| find::matches(&model.tree, &model.services, &model.texts, &text));
        stage.model.update_value(|model| model.set_found(local.clone()));
        stage.found();
        incomplete.set(false);
        if text.trim().is_empty() {
            return;
        }
        let traces = stage.model.with_value(|model| model.traces.clone());
        spawn_local(async move {
            gloo_timers::future::TimeoutFuture::new(TYPING_PAUSE_MS).await;
            if !turn.is_newest() {
                return;
            }
            let (mut ids, mut is_whole) = (Vec::new(), true);
            for trace in traces {
                let answer = client::find(trace, text.trim()).await;
                if !turn.is_newest() {
                    return;
                }
                // Without the server's part the count would look complete and not be.
                match answer {
                    Ok(answer) => {
                        is_whole &= !answer.incomplete;
                        ids.extend(answer.span_ids);
                    }
                    Err(_) => is_whole = false,
                }
            }
            incomplete.set(!is_whole);
            stage.model.update_value(|model| {
                let found = find::merged(&model.tree, local, &ids);
                model.set_found(found);
            });
            stage.found();
        });
    });
    let count = move || {
        stage.matches.track();
        let selected = stage.selected.get().map(Row::index);
        if stage.find.with(|text| text.trim().is_empty()) {
            return String::new();
        }
        let more = if incomplete.get() { "+" } else { "" };
        stage.model.with_value(|model| {
            let at = selected.and_then(|index| model.found.binary_search(&(index as u32)).ok());
            match at {
                Some(at) => {
                    format!("{} / {}{more}", format::count(at as u64 + 1), format::count(model.found.len() as u64))
                }
                None => format!("{}{more}", format::count(model.found.len() as u64)),
            }
        })
    };
    on_key(move |_, key| {
        if key != "/" {
            return false;
        }
        focus_field("find");
        true
    });
    // Rows that are not on screen are not in the page: the browser's find cannot see them. A second press gives it.
    let handle = window_event_listener(leptos::ev::keydown, move |event| {
        let is_here = document().active_element().is_some_and(|field| field.id() == "find");
        if (event.ctrl_key() || event.meta_key()) && event.key() == "f" && !is_here {
            event.prevent_default();
            focus_field("find");
        }
    });
    on_cleanup(move || handle.remove());
    view! {
        <div class="find" role="search">
            {icon(Icon::Search, true)}
            <input
                id="find"
                class="v"
                type="text"
                autocomplete="off"
                spellcheck="false"
                aria-label="Find in this trace"
                placeholder="Find in this trace"
                title="Names, services, ids, attributes, events, status messages"
                prop:value=stage.find
                on:input=move |event| stage.find.set(event_target_value(&event))
                on:keydown=move |event| {
                    if event.key() == "Enter" {
                        event.prevent_default();
                        stage.step_match(!event.shift_key());
                    }
                }
            />
            <span class="cnt" aria-live="polite">{count}</span>
            <button aria-label="Previous match" on:click=move |_| stage.step_match(false)>{icon(Icon::Up, true)}</button>
            <button aria-label="Next match" on:click=move |_| stage.step_match(true)>{icon(Icon::Down, true)}</button>
        </div>
    }
}
