//! The range of time: a button that says which hours, a panel to change them.

use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_location, use_navigate};

use super::icon::{Icon, icon};
use super::keys::on_key;
use crate::app::now_nanos;
use crate::view::clock::{self, PRESETS};
use crate::view::url::{self, RangeText};

/// Shows and changes `from` and `to` of the URL.
#[component]
pub(crate) fn TimeRangeButton() -> impl IntoView {
    let location = use_location();
    let (path, search) = (location.pathname, location.search);
    let navigate = use_navigate();
    let range = Memo::new(move |_| RangeText::read(&search.get()));
    let open = RwSignal::new(false);
    let (from, to) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    // The hours move on: the label is written again each half minute.
    let clock_tick = RwSignal::new(0u32);
    if let Ok(timer) =
        set_interval_with_handle(move || clock_tick.update(|tick| *tick += 1), std::time::Duration::from_secs(30))
    {
        on_cleanup(move || timer.clear());
    }

    let label = move || {
        clock_tick.track();
        let range = range.get();
        clock::range_label(&range.from, &range.to, now_nanos())
    };
    let toggle = move |_| {
        let shown = range.get_untracked();
        from.set(shown.from);
        to.set(shown.to);
        open.update(|open| *open = !*open);
    };
    let apply = Callback::new(move |(from, to): (String, String)| {
        let default = RangeText::default();
        let changes = [
            ("from", Some(from.as_str()).filter(|from| *from != default.from)),
            ("to", Some(to.as_str()).filter(|to| *to != default.to)),
        ];
        let link = format!("{}{}", path.get_untracked(), url::with_parameters(&search.get_untracked(), &changes));
        open.set(false);
        navigate(&link, NavigateOptions { scroll: false, ..NavigateOptions::default() });
    });
    let wrong = move || {
        let now = now_nanos();
        match (clock::parse(&from.get(), now), clock::parse(&to.get(), now)) {
            (None, _) => Some("From is not a time: try now-2h or 2026-11-20 14:41"),
            (_, None) => Some("To is not a time: try now or 2026-11-20 15:41"),
            (Some(from), Some(to)) if to <= from => Some("To is not after From"),
            _ => None,
        }
    };
    on_key(move |_, key| {
        key == "Escape" && open.get_untracked() && {
            open.set(false);
            true
        }
    });

    view! {
        <div class="range">
            <button class="btn" aria-haspopup="dialog" aria-expanded=move || open.get().to_string() on:click=toggle>
                {icon(Icon::Clock, false)}
                {move || label().0}
                <span class="hours">{move || label().1}</span>
            </button>
            <Show when=move || open.get()>
                <div class="ground" on:click=move |_| open.set(false)></div>
                <form
                    class="pop"
                    role="dialog"
                    aria-label="Time range"
                    on:submit=move |event| {
                        event.prevent_default();
                        if wrong().is_none() {
                            apply.run((from.get_untracked().trim().to_owned(), to.get_untracked().trim().to_owned()));
                        }
                    }
                >
                    <div class="presets">
                        {PRESETS
                            .into_iter()
                            .map(|(preset, name)| {
                                view! {
                                    <button
                                        type="button"
                                        aria-pressed=move || (range.get().from == preset && range.get().to == "now").to_string()
                                        on:click=move |_| apply.run((preset.to_owned(), "now".to_owned()))
                                    >
                                        {name}
                                    </button>
                                }
                            })
                            .collect_view()}
                    </div>
                    <label>
                        <span>"From"</span>
                        <input class="mono" type="text" spellcheck="false" prop:value=from on:input=move |event| from.set(event_target_value(&event))/>
                    </label>
                    <label>
                        <span>"To"</span>
                        <input class="mono" type="text" spellcheck="false" prop:value=to on:input=move |event| to.set(event_target_value(&event))/>
                    </label>
                    <p class=move || if wrong().is_some() { "bad" } else { "faint" }>
                        {move || wrong().map_or_else(
                            || view! { "Paste any time: " <span class="mono">"2026-11-20 14:41"</span> ", " <span class="mono">"1795185667"</span> ", " <span class="mono">"now-2h"</span> }.into_any(),
                            |wrong| wrong.into_any(),
                        )}
                    </p>
                    <div class="row">
                        <button class="btn s primary" type="submit" disabled=move || wrong().is_some()>"Apply"</button>
                        <span class="grow"></span>
                        <span class="faint">"UTC"</span>
                    </div>
                </form>
            </Show>
        </div>
    }
}
