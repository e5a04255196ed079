//! The box at the top: one field for everything. What fits a text is offered below it; `Enter` does the first.
//!
//! It knows pages and actions at once. Services and queues (of the map), metrics, saved queries and rules are asked for when the
//! field gets the focus, at most every half minute for one range of time; what cannot be asked is named at the foot of the list.

use api::Problem;
use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_location, use_navigate};

use super::icon::{Icon, icon};
use super::token_bar::leave_fields;
use crate::app::{Shared, cross, shared};
use crate::asking::Turns;
use crate::client::{self, Named};
use crate::view::command::{Act, Offer, fixed, offers, place};
use crate::view::journey::facts::label;
use crate::view::url::{self, RangeText};

/// Answers are asked again after so many milliseconds.
const STALE_MS: f64 = 30_000.0;
/// Metrics asked for.
const METRICS: usize = 1_000;

/// What the server knows, by source: offers, or that it could not be asked.
type Known = Vec<(&'static str, Result<Vec<Offer>, ()>)>;

/// The field with its offers. `share` copies a link to the view.
#[component]
pub(crate) fn CommandBox(share: fn(Shared)) -> impl IntoView {
    let shared = shared();
    let search = use_location().search;
    let navigate = use_navigate();
    let field = NodeRef::<html::Input>::new();
    let text = RwSignal::new(String::new());
    let (open, chosen) = (RwSignal::new(false), RwSignal::new(None::<(&'static str, String)>));
    let known = RwSignal::new(Known::new());
    let asked = StoredValue::new(None::<(f64, RangeText)>);
    let turns = Turns::new();
    let ask = move || {
        let (now, range) = (js_sys::Date::now(), RangeText::read(&search.get_untracked()));
        let is_fresh =
            asked.with_value(|asked| asked.as_ref().is_some_and(|(time, of)| now - time < STALE_MS && *of == range));
        if is_fresh {
            return;
        }
        asked.set_value(Some((now, range.clone())));
        let turn = turns.next();
        let answered = move |source: &'static str, answer: Result<Vec<Offer>, ()>| {
            // What was asked of another range of time is not there any more.
            if !turn.is_newest() {
                return;
            }
            known.update(|known| {
                known.retain(|(other, _)| *other != source);
                known.push((source, answer));
                known.sort_by_key(|(source, _)| *source);
            });
        };
        spawn_local(async move {
            let all = |answer: Result<Vec<Named>, Problem>, one: fn(&Named) -> Option<Offer>| match answer {
                Ok(named) => Ok(named.iter().filter_map(one).collect()),
                // Alerts may be switched off.
                Err(problem) if problem.status == 404 => Ok(Vec::new()),
                Err(_) => Err(()),
            };
            answered("services", all(client::node_names(&range).await, node));
            answered("saved queries", all(client::query_names().await, query));
            answered("rules", all(client::rule_names().await, rule));
            answered("metrics", all(client::metric_names(&range, METRICS).await, metric));
        });
    };
    let shown = Memo::new(move |_| {
        if !open.get() {
            return Vec::new();
        }
        let carried = url::shared(&search.get());
        let mut all = fixed();
        known.with(|known| all.extend(known.iter().filter_map(|(_, offers)| offers.as_ref().ok()).flatten().cloned()));
        text.with(|text| offers(&all, text, &carried))
    });
    let chosen_at = Memo::new(move |_| shown.with(|shown| chosen.with(|chosen| place(shown, chosen.as_ref()))));
    let unknown = move || {
        let missing: Vec<&str> =
            known.with(|known| known.iter().filter(|(_, offers)| offers.is_err()).map(|(source, _)| *source).collect());
        (!missing.is_empty()).then(|| format!("without {}: the server did not answer", missing.join(", ")))
    };
    let act = Callback::new(move |offer: Offer| {
        text.set(String::new());
        open.set(false);
        leave_fields();
        match offer.act {
            Act::Go(link) => {
                if !cross(&link) {
                    navigate(&link, NavigateOptions::default());
                }
            }
            Act::Theme => shared.switch_theme(),
            Act::Share => share(shared),
            Act::Keys => shared.keys_open.set(true),
        }
    });
    let keydown = move |event: web_sys::KeyboardEvent| {
        let count = shown.with_untracked(Vec::len);
        match event.key().as_str() {
            "ArrowDown" | "ArrowUp" if count > 0 => {
                open.set(true);
                let by = if event.key() == "ArrowDown" { 1 } else { count - 1 };
                let at = (chosen_at.get_untracked() + by) % count;
                chosen.set(shown.with_untracked(|shown| shown.get(at).map(|offer| (offer.kind, offer.name.clone()))));
            }
            "ArrowDown" => open.set(true),
            "Enter" => {
                // What was typed last counts, also before the list was drawn.
                open.set(true);
                let offer = shown.with_untracked(|shown| shown.get(chosen_at.get_untracked()).cloned());
                if let Some(offer) = offer {
                    act.run(offer);
                }
            }
            "Escape" => open.set(false),
            _ => return,
        }
        if event.key() != "Escape" {
            event.prevent_default();
        }
    };
    let option = move |(at, offer): (usize, Offer)| {
        let (done, is_mono) = (offer.clone(), matches!(offer.kind, "trace" | "span" | "search" | "queue" | "metric"));
        view! {
            <div role="option" id=format!("offer-{at}") class:on=move || chosen_at.get() == at aria-selected=move || (chosen_at.get() == at).to_string()
                on:mousedown=move |event| { event.prevent_default(); act.run(done.clone()); }>
                <span class="ell" class:mono=is_mono title=offer.name.clone()>{offer.name.clone()}</span>
                <span class="faint">{offer.kind}</span>
            </div>
        }
    };
    view! {
        <form class="search" role="search" on:submit=|event| event.prevent_default()>
            {icon(Icon::Search, true)}
            <input
                node_ref=field
                id="search"
                class="grow"
                type="text"
                autocomplete="off"
                spellcheck="false"
                role="combobox"
                aria-label="Go to a page, service, queue, metric, query or trace ID"
                aria-expanded=move || open.get().to_string()
                aria-controls="search-offers"
                aria-activedescendant=move || open.get().then(|| format!("offer-{}", chosen_at.get()))
                placeholder="Go anywhere, or paste a trace ID"
                prop:value=text
                on:input=move |event| {
                    text.set(event_target_value(&event));
                    chosen.set(None);
                    open.set(true);
                    ask();
                }
                on:focus=move |_| {
                    chosen.set(None);
                    open.set(true);
                    ask();
                }
                on:blur=move |_| open.set(false)
                on:keydown=keydown
            />
            <kbd>"Ctrl K"</kbd>
            <Show when=move || open.get()>
                <div class="offers command" id="search-offers" role="listbox" aria-label="What fits">
                    {move || shown.get().into_iter().enumerate().map(option).collect_view()}
                </div>
                {move || unknown().map(|missing| view! { <p class="command-foot faint" role="status">{missing}</p> })}
            </Show>
        </form>
    }
}

/// A segment of a path.
fn segment(name: &str) -> String {
    url::encode(name).replace('+', "%20")
}

/// Services lead to their page, queues to the map.
fn node(named: &Named) -> Option<Offer> {
    match (named.kind.as_deref()?, named.label.as_deref()?, named.node.as_deref()?) {
        ("service", name, _) => Some(Offer::go("service", name, format!("/services/{}", segment(name)))),
        ("queue", _, node) => {
            let link = url::query_string([("sel", node), ("focus", "1")]);
            Some(Offer::go("queue", label(node), format!("/map{link}")))
        }
        _ => None,
    }
}

fn query(named: &Named) -> Option<Offer> {
    Some(Offer::go("query", named.title.clone()?, format!("/sql/{}", named.id.as_ref()?)))
}

/// Recording rules find nothing and have no page.
fn rule(named: &Named) -> Option<Offer> {
    let name = named.name.clone().filter(|_| named.kind.as_deref() == Some("alerting"))?;
    let link = format!("/alerts/{}", segment(&name));
    Some(Offer::go("rule", name, link))
}

fn metric(named: &Named) -> Option<Offer> {
    // A metric without a unit is another one than the same name with one.
    let all = [("m", &named.name), ("kind", &named.kind), ("unit", &named.unit)];
    let asked = all.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?)));
    Some(Offer::go("metric", named.name.clone()?, format!("/metrics{}", url::query_string(asked))))
}
