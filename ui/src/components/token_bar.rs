//! The filter as conditions: each can be edited and removed, a new one is typed behind them.

use leptos::prelude::*;
use wasm_bindgen::JsCast;

use super::icon::{Icon, icon};
use super::keys::on_key;
use crate::view::condition::{self, Condition};

/// Beginnings of conditions offered while typing, and what they ask.
const STARTS: [(&str, &str); 9] = [
    ("service=", "spans of one service"),
    ("status=error", "spans that failed"),
    ("name~\"\"", "name holds a text"),
    ("name=\"\"", "name is exactly"),
    ("kind=server", "one span kind"),
    ("duration>=100ms", "at least this long"),
    ("duration<10ms", "shorter than"),
    ("http.response.status_code>=500", "an attribute, compared"),
    ("messaging.destination.name=", "an attribute"),
];

/// Edits the filter text; `change` gets the whole new filter.
#[component]
pub(crate) fn TokenBar(
    /// The filter as the URL has it.
    #[prop(into)]
    filter: Signal<String>,
    /// Names of services, offered behind `service=`.
    #[prop(into)]
    services: Signal<Vec<String>>,
    /// Called with the new filter.
    change: Callback<String>,
) -> impl IntoView {
    let typed = RwSignal::new(String::new());
    let focused = RwSignal::new(false);
    // Offers go away once a condition was added, and come back with the next letter.
    let offering = RwSignal::new(false);
    let chosen = RwSignal::new(None::<usize>);
    let field = NodeRef::<leptos::html::Input>::new();
    on_key(move |_, key| key == "/" && { field.get_untracked().is_some_and(|field| field.focus().is_ok()) });

    let offers = Memo::new(move |_| {
        let typed = typed.get();
        let typed = typed.trim();
        let from_services = services.get().into_iter().map(|name| (condition::write("service", "=", &name), "service"));
        let all = STARTS.iter().map(|(text, help)| ((*text).to_owned(), *help)).chain(from_services);
        all.filter(|(text, _)| text.to_lowercase().contains(&typed.to_lowercase()) && text != typed)
            .take(10)
            .collect::<Vec<_>>()
    });
    let add = move |text: &str| {
        if text.trim().is_empty() {
            return;
        }
        let old = filter.get_untracked();
        let new =
            condition::conditions(text).iter().fold(old, |filter, condition| condition::with(&filter, &condition.text));
        typed.set(String::new());
        chosen.set(None);
        offering.set(false);
        change.run(new);
    };
    // A start that still wants a value goes into the field, a whole condition into the filter.
    let take = move |text: String| {
        if text.ends_with('=') || text.ends_with("\"\"") {
            typed.set(text.trim_end_matches('"').to_owned() + if text.ends_with('"') { "\"" } else { "" });
            chosen.set(None);
            if let Some(field) = field.get_untracked() {
                let _ = field.focus();
            }
        } else {
            add(&text);
        }
    };
    let keydown = move |event: web_sys::KeyboardEvent| match event.key().as_str() {
        "Enter" => {
            event.prevent_default();
            match chosen
                .get_untracked()
                .filter(|_| offering.get_untracked())
                .and_then(|at| offers.with_untracked(|offers| offers.get(at).cloned()))
            {
                Some((text, _)) => take(text),
                None => add(&closed(&typed.get_untracked())),
            }
        }
        "ArrowDown" | "ArrowUp" => {
            event.prevent_default();
            offering.set(true);
            let count = offers.with_untracked(Vec::len);
            let forward = event.key() == "ArrowDown";
            chosen.update(|at| {
                *at = match (*at, forward) {
                    _ if count == 0 => None,
                    (None, true) => Some(0),
                    (None, false) => Some(count - 1),
                    (Some(at), true) => Some((at + 1) % count),
                    (Some(at), false) => at.checked_sub(1),
                }
            });
        }
        "Backspace" if typed.with_untracked(String::is_empty) => {
            let filter = filter.get_untracked();
            if let Some(last) = condition::conditions(&filter).pop() {
                event.prevent_default();
                typed.set(last.text.clone());
                let end = filter.trim_end().len() - last.text.len();
                change.run(filter[..end].trim().to_owned());
            }
        }
        _ => {}
    };
    let edit = move |condition: Condition| {
        typed.set(condition.text.clone());
        change.run(condition::without(&filter.get_untracked(), |other| *other == condition));
        if let Some(field) = field.get_untracked() {
            let _ = field.focus();
        }
    };
    let token = move |condition: Condition| {
        let (shown, dropped) = (condition.clone(), condition.clone());
        view! {
            <span class="tok">
                <button class="txt" title="Edit this condition" on:click=move |_| edit(condition.clone())>
                    <i>{shown.key.clone()}</i>
                    {(!shown.operator.is_empty()).then(|| view! { <span>{format!(" {} {}", shown.operator, shown.value)}</span> })}
                </button>
                <button
                    class="x"
                    aria-label=format!("Remove {}", shown.text)
                    on:click=move |_| change.run(condition::without(&filter.get_untracked(), |other| *other == dropped))
                >
                    {icon(Icon::Close, true)}
                </button>
            </span>
        }
    };
    view! {
        <div class="qb" class:focus=move || focused.get()>
            {icon(Icon::Filter, true)}
            {move || condition::conditions(&filter.get()).into_iter().map(token).collect_view()}
            <input
                node_ref=field
                id="filter"
                class="grow"
                type="text"
                autocomplete="off"
                spellcheck="false"
                role="combobox"
                aria-label="Add a condition"
                aria-expanded=move || (focused.get() && offering.get()).to_string()
                aria-controls="offers"
                placeholder="add a condition"
                prop:value=typed
                on:input=move |event| {
                    typed.set(event_target_value(&event));
                    chosen.set(None);
                    offering.set(true);
                }
                on:focus=move |_| {
                    focused.set(true);
                    offering.set(true);
                }
                on:blur=move |_| focused.set(false)
                on:keydown=keydown
            />
            <Show when=move || focused.get() && offering.get() && !offers.with(Vec::is_empty)>
                <div class="offers" id="offers" role="listbox">
                    {move || {
                        offers
                            .get()
                            .into_iter()
                            .enumerate()
                            .map(|(index, (text, help))| {
                                let taken = text.clone();
                                view! {
                                    <div
                                        role="option"
                                        class:on=move || chosen.get() == Some(index)
                                        aria-selected=move || (chosen.get() == Some(index)).to_string()
                                        on:mousedown=move |event| {
                                            event.prevent_default();
                                            take(taken.clone());
                                        }
                                    >
                                        <span class="mono">{text}</span>
                                        <span class="faint">{help}</span>
                                    </div>
                                }
                            })
                            .collect_view()
                    }}
                    <div class="ft"><kbd>"↓"</kbd>" take "<kbd>"Enter"</kbd>" add "<kbd>"⌫"</kbd>" edit the last"</div>
                </div>
            </Show>
            <Show when=move || !filter.with(String::is_empty)>
                <button class="btn s quiet" on:click=move |_| change.run(String::new())>"Clear"</button>
            </Show>
        </div>
    }
}

/// Closes an open quote: `name~"GET` means `name~"GET"`.
fn closed(text: &str) -> String {
    if text.matches('"').count() % 2 == 1 { format!("{text}\"") } else { text.to_owned() }
}

/// Moves the focus from a field back to the page, so that letters are keys again.
pub(crate) fn leave_fields() {
    if let Some(element) =
        document().active_element().and_then(|element| element.dyn_into::<web_sys::HtmlElement>().ok())
    {
        let _ = element.blur();
    }
}
