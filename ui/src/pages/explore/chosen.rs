//! Which columns the table has: a list to tick.

use leptos::prelude::*;

use crate::view::columns;
use crate::view::url::ExploreState;

/// The button, and below it the list.
#[component]
pub(super) fn Columns(state: Memo<ExploreState>, go: Callback<ExploreState>) -> impl IntoView {
    let open = RwSignal::new(false);
    let list = move || {
        let unit = state.with(|state| state.unit);
        let line = |column: &'static columns::Column| {
            let is_on = move || {
                let shown = state.with(|state| columns::shown(state.unit, &state.columns));
                shown.into_iter().any(|shown| shown.name == column.name)
            };
            let toggle = move |_| {
                let now = state.get_untracked();
                go.run(ExploreState { columns: columns::toggled(now.unit, &now.columns, column.name), ..now });
            };
            view! { <li><label><input type="checkbox" prop:checked=is_on on:change=toggle/>{column.title}</label></li> }
        };
        columns::all(unit).iter().map(line).collect_view()
    };
    view! {
        <div class="lanes-of" on:keydown=move |event| {
            if event.key() == "Escape" && open.get_untracked() {
                event.stop_propagation();
                open.set(false);
            }
        }>
            <button class="btn" aria-expanded=move || open.get().to_string() on:click=move |_| open.update(|open| *open = !*open)>"Columns"</button>
            <Show when=move || open.get()>
                <div class="ground" on:click=move |_| open.set(false)></div>
                <ul class="menu" aria-label="Columns">{list}</ul>
            </Show>
        </div>
    }
}
