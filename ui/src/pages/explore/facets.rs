//! What stands around the list: facets at the side, figures and switches above.

use std::sync::Arc;

use api::{Facet, FacetValue, FacetsAnswer, HistogramAnswer};
use leptos::prelude::*;

use super::live::News;
use crate::app::{Shared, shared};
use crate::components::icon::{Icon, icon};
use crate::components::states::{behind, behind_as};
use crate::view::behind::hits as sql;
use crate::view::url::{ExploreState, Plot, Sort, Unit};
use crate::view::{condition, format};

/// Values shown of a facet before "more".
const FIRST: usize = 7;

/// Headings of facets; others stand under their key.
const HEADINGS: [(&str, &str); 12] = [
    ("journey:status", "Status"),
    ("journey:queue", "Crosses broker"),
    ("journey:service", "Entry service"),
    ("journey:name", "Entry"),
    ("journey:protocol", "Protocol"),
    ("journey:result", "Result"),
    ("journey:finding", "Finding"),
    ("status", "Status"),
    ("service", "Service"),
    ("name", "Name"),
    ("kind", "Kind"),
    ("exception", "Exception"),
];

/// What the hits have in common, to filter by; counts are of all hits, not of the loaded rows.
#[component]
pub(super) fn Facets(
    state: Memo<ExploreState>,
    facets: RwSignal<Option<FacetsAnswer>>,
    every: RwSignal<bool>,
    go: Callback<ExploreState>,
) -> impl IntoView {
    let shared = shared();
    let opened = RwSignal::new(Vec::<String>::new());
    let lists = move || {
        let answer = facets.get()?;
        let unit = state.with(|state| state.unit);
        let shown = answer
            .facets
            .into_iter()
            .filter(|facet| facet.count > 0)
            .map(move |facet| one(facet, unit, state, opened, go, shared));
        Some(shown.collect_view())
    };
    view! {
        <aside class="facets" aria-label="Filters">
            {lists}
            {move || facets.with(Option::is_some).then(|| view! {
                <div class="fc">
                    <button class="btn s" aria-pressed=move || every.get().to_string() class:on=move || every.get() on:click=move |_| every.update(|every| *every = !*every)>"Any attribute"</button>
                </div>
            })}
        </aside>
    }
}

fn one(
    facet: Facet,
    unit: Unit,
    state: Memo<ExploreState>,
    opened: RwSignal<Vec<String>>,
    go: Callback<ExploreState>,
    shared: Shared,
) -> impl IntoView {
    let heading = match HEADINGS.iter().find(|(key, _)| *key == facet.key) {
        Some((_, "Service")) if unit == Unit::Journeys => "Touches service".to_owned(),
        Some((_, heading)) => (*heading).to_owned(),
        None => facet.key.clone(),
    };
    let is_service = matches!(facet.key.as_str(), "service" | "journey:service");
    let is_queue = facet.key == "journey:queue";
    let most = facet.values.iter().map(|value| value.count).max().unwrap_or(1).max(1);
    let key = facet.key.clone();
    let is_open = opened.with(|opened| opened.contains(&key));
    let (count, many, distinct) = (facet.values.len(), facet.many, facet.distinct);
    let title = facet.key.clone();
    let sql = state.with(|state| sql::facet(unit, &state.filter, facet.place, &facet.key));
    let rows = facet.values.into_iter().take(if is_open { count } else { FIRST }).map(move |value| {
        let color = if is_service { format!("svc {}", shared.color_class(&value.value)) } else { String::new() };
        line(value, &color, is_queue, most, state, go)
    });
    let toggle = move |_| {
        opened.update(|opened| match opened.iter().position(|open| *open == key) {
            Some(at) => {
                opened.remove(at);
            }
            None => opened.push(key.clone()),
        });
    };
    view! {
        <section class="fc">
            <h3 title=title><span class="ell">{heading}</span> <span class="grow"></span> {sql.map(|sql| behind(&sql))}</h3>
            <ul>{rows.collect_view()}</ul>
            {many.then(|| view! { <p class="faint n">{format!("{} values and more: too many to list", format::count(distinct))}</p> })}
            {(count > FIRST).then(|| view! { <button class="more" on:click=toggle>{if is_open { "fewer".to_owned() } else { format!("{} more", count - FIRST) }}</button> })}
        </section>
    }
}

fn line(
    value: FacetValue,
    color: &str,
    is_mono: bool,
    most: u64,
    state: Memo<ExploreState>,
    go: Callback<ExploreState>,
) -> impl IntoView + use<> {
    let FacetValue { value, count, filter } = value;
    let width = format!("{}%", (count as f64 / most as f64 * 100.0).max(1.0));
    let bad = value == "error";
    // `queue:kafka/orders` is read as `orders`.
    let shown = if is_mono { crate::view::journey::facts::label(&value).to_owned() } else { value.clone() };
    let shown = if shown.is_empty() { "(empty)".to_owned() } else { shown };
    let fixed = filter.is_none();
    let filter = Arc::new(filter.unwrap_or_default());
    let is_on = {
        let filter = Arc::clone(&filter);
        move || {
            state.with(|state| condition::conditions(&state.filter).iter().any(|condition| condition.text == *filter))
        }
    };
    let toggle = move |_| {
        let now = state.get_untracked();
        let has = condition::conditions(&now.filter).iter().any(|condition| condition.text == *filter);
        let next = if has {
            condition::without(&now.filter, |condition| condition.text == *filter)
        } else {
            condition::with(&now.filter, &filter)
        };
        go.run(ExploreState { filter: next, ..now });
    };
    let checked = is_on.clone();
    let class = format!("ell grow {color}{}", if is_mono { " mono" } else { "" });
    view! {
        <li class:on=is_on title=format!("{value}: {}", format::count(count))>
            <label>
                <input type="checkbox" disabled=fixed prop:checked=checked on:change=toggle/>
                <span class=class><span class="ell">{shown}</span></span>
            </label>
            <i style:width=width></i>
            <span class="n" class:bad=bad>{format::short_count(count)}</span>
        </li>
    }
}

/// Figures of all hits and the switches of the view.
#[component]
pub(super) fn Figures(
    state: Memo<ExploreState>,
    answer: RwSignal<Option<Arc<HistogramAnswer>>>,
    news: RwSignal<News>,
    go: Callback<ExploreState>,
    reload: RwSignal<u32>,
) -> impl IntoView {
    let figures = move || {
        let answer = answer.get()?;
        let unit = state.with(|state| state.unit);
        let noun = match unit {
            Unit::Journeys => "Journeys",
            Unit::Traces => "Traces",
            Unit::Spans => "Spans",
        };
        let nanos = |text: &str| text.parse::<i64>().unwrap_or_default();
        let seconds = (nanos(&answer.to_unix_nano).saturating_sub(nanos(&answer.from_unix_nano)) as f64 / 1e9).max(1.0);
        let per_second = match news.with(|news| news.figures.as_ref().map(|figures| figures.hits_per_second)) {
            Some(now) => format!("{} now", format::rate(now * 60.0)),
            None => format::rate(answer.count as f64 / seconds * 60.0),
        };
        let is_bad = answer.errors > 0 && answer.errors.saturating_mul(100) >= answer.count;
        let one = |name: &'static str, value: Option<u64>| {
            value.map(|value| view! { <div><span>{name}</span><b>{format::duration(value)}</b><em></em></div> })
        };
        Some(view! {
            <div><span>{noun}</span><b>{format::count(answer.count)}</b><em>{per_second}</em></div>
            <div><span>"Errors"</span><b class:bad=is_bad>{format::percent(answer.errors, answer.count)}</b><em></em></div>
            {one("p50", answer.p50_nanos)} {one("p95", answer.p95_nanos)} {one("p99", answer.p99_nanos)}
            {state.with(|state| sql::hits(state.unit, state.plot, &state.filter)).map(|sql| behind(&sql))}
            {state.with(|state| sql::picture(state.unit, state.plot, &state.filter)).map(|sql| behind_as(&sql, "by minute", "The picture below, by minute and duration, as SQL"))}
        })
    };
    let unit = move |unit: Unit, name: &'static str| {
        view! {
            <button aria-pressed=move || (state.get().unit == unit).to_string() on:click=move |_| {
                let now = state.get_untracked();
                let sort = if now.sort == Sort::Errors && unit == Unit::Spans { Sort::Newest } else { now.sort };
                go.run(ExploreState { unit, sort, brush: None, columns: String::new(), ..now });
            }>
                {name}
            </button>
        }
    };
    let plot = move |(plot, _, name, _): (Plot, &'static str, &'static str, &'static str)| {
        view! {
            <button aria-pressed=move || (state.get().plot == plot).to_string() on:click=move |_| go.run(ExploreState { plot, brush: None, ..state.get_untracked() })>
                {name}
            </button>
        }
    };
    let live = move || state.with(|state| state.live);
    view! {
        <div class="kp">
            {figures}
            <span class="grow"></span>
            {move || (state.with(|state| state.unit) == Unit::Journeys).then(|| view! {
                <span class="seg" role="group" aria-label="Plot">{Plot::ALL.map(plot)}</span>
            })}
            <span class="seg" role="group" aria-label="Rows are">{unit(Unit::Journeys, "Journeys")}{unit(Unit::Traces, "Traces")}{unit(Unit::Spans, "Spans")}</span>
            <button class="btn s" class:on=live aria-pressed=move || live().to_string() title="New hits come by themselves (L)" on:click=move |_| go.run(toggled(state))>
                <i class="live" class:idle=move || !live()></i>"Live"
            </button>
            <button class="btn s" aria-label="Look again" title="Look again (R)" on:click=move |_| reload.update(|count| *count += 1)>{icon(Icon::Again, false)}</button>
        </div>
    }
}

/// The view with live switched over; live always ends now.
pub(super) fn toggled(state: Memo<ExploreState>) -> ExploreState {
    let now = state.get_untracked();
    ExploreState { live: !now.live, ..now }
}
