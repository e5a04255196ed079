//! The choice of an environment, where journeys of the range name any.

use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_location, use_navigate};

use crate::asking::ask_newest;
use crate::client;
use crate::view::scope::Scope;
use crate::view::url::{self, RangeText};
use crate::view::{behind, environment};

/// Writes the choice into the address, where everything on the page reads it.
#[component]
pub(crate) fn Environments() -> impl IntoView {
    let location = use_location();
    let (path, search) = (location.pathname, location.search);
    let navigate = use_navigate();
    let chosen = Memo::new(move |_| environment::of(&search.get()));
    let range = Memo::new(move |_| RangeText::read(&search.get()));
    let found = RwSignal::new(Vec::<String>::new());
    ask_newest(
        move || Some(range.get()),
        |range| async move { client::sql(&Scope { range, env: None }.statement(behind::environments())).await },
        move |answer| {
            // Without an answer nothing can be chosen: what the page itself asks for says why.
            let rows = answer.map(|answer| answer.rows).unwrap_or_default();
            found.set(rows.iter().filter_map(|row| row.first()?.as_str().map(str::to_owned)).collect());
        },
    );
    let choose = Callback::new(move |name: String| {
        let env = Some(name.as_str()).filter(|name| !name.is_empty());
        let query = url::with_parameters(&search.get_untracked(), &[("env", env)]);
        let link = format!("{}{query}", path.get_untracked());
        navigate(&link, NavigateOptions { scroll: false, ..NavigateOptions::default() });
    });
    move || {
        let (chosen, mut names) = (chosen.get(), found.get());
        names.extend(chosen.clone().filter(|name| !names.contains(name)));
        let is_all = chosen.is_none();
        let option = move |name: String| {
            let is_chosen = chosen.as_ref() == Some(&name);
            view! { <option value=name.clone() selected=is_chosen>{name.clone()}</option> }
        };
        (!names.is_empty()).then(|| {
            view! {
                <label class="faint n">"environment "
                    <select on:change=move |event| choose.run(event_target_value(&event))>
                        <option value="" selected=is_all>"all"</option>
                        {names.into_iter().map(option).collect_view()}
                    </select>
                </label>
            }
        })
    }
}

/// Said where nothing is found: other environments may have something.
#[component]
pub(crate) fn Elsewhere() -> impl IntoView {
    let location = use_location();
    let (path, search) = (location.pathname, location.search);
    move || {
        let env = environment::of(&search.get())?;
        let all = format!("{}{}", path.get(), url::with_parameters(&search.get(), &[("env", None)]));
        Some(view! {
            <span class="dim">"Only the environment " <span class="mono">{env}</span> " is looked at."</span>
            <a class="btn s" href=all>"All environments"</a>
        })
    }
}
