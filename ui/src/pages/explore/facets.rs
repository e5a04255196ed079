//! What stands around the list: facets at the side, figures and switches above.

use api::ServiceItem;
use leptos::prelude::*;

use crate::app::{now_nanos, shared};
use crate::components::icon::{Icon, icon};
use crate::view::url::{ExploreState, Sort, Unit};
use crate::view::{clock, condition, format};

/// Services shown before "more".
const FIRST: usize = 14;

/// Status and services to filter by; counts are of the whole range, not of the loaded rows.
#[component]
pub(super) fn Facets(
    state: Memo<ExploreState>,
    services: RwSignal<Vec<ServiceItem>>,
    go: Callback<ExploreState>,
) -> impl IntoView {
    let shared = shared();
    let all = RwSignal::new(false);
    let toggle = move |key: &'static str, value: String| {
        let state = state.get_untracked();
        go.run(ExploreState { filter: condition::toggled(&state.filter, key, &value), ..state });
    };
    let is_on = move |key: &'static str, value: &str| condition::has(&state.get().filter, key, value);
    view! {
        <aside class="facets" aria-label="Filters">
            <section class="fc">
                <h3>"Status"</h3>
                <ul>
                    {["error", "ok", "unset"]
                        .into_iter()
                        .map(|status| {
                            view! {
                                <li class:on=move || is_on("status", status)>
                                    <label>
                                        <input type="checkbox" prop:checked=move || is_on("status", status) on:change=move |_| toggle("status", status.to_owned())/>
                                        <span class="ell grow">{status}</span>
                                    </label>
                                </li>
                            }
                        })
                        .collect_view()}
                </ul>
            </section>
            <section class="fc">
                <h3>"Service" <span class="grow"></span> <span class="faint">"spans"</span></h3>
                <ul>
                    {move || {
                        let services = services.get();
                        let most = services.iter().map(|service| service.spans).max().unwrap_or(1).max(1);
                        let shown = if all.get() { services.len() } else { FIRST };
                        services
                            .into_iter()
                            .take(shown)
                            .map(|service| {
                                let class = format!("ell grow svc {}", shared.color_class(&service.name));
                                let width = format!("{}%", (service.spans as f64 / most as f64 * 100.0).max(1.0));
                                let is_bad = service.errors > 0 && service.errors.saturating_mul(100) >= service.requests;
                                let count = format!("{} spans, {} errors", format::count(service.spans), format::count(service.errors));
                                let (name, checked, clicked) = (service.name.clone(), service.name.clone(), service.name.clone());
                                view! {
                                    <li class:on=move || is_on("service", &name) title=format!("{}: {count}", service.name)>
                                        <label>
                                            <input
                                                type="checkbox"
                                                prop:checked=move || is_on("service", &checked)
                                                on:change=move |_| toggle("service", clicked.clone())
                                            />
                                            <span class=class><span class="ell">{service.name.clone()}</span></span>
                                        </label>
                                        <i style:width=width></i>
                                        <span class="n" class:bad=is_bad>{format::short_count(service.spans)}</span>
                                    </li>
                                }
                            })
                            .collect_view()
                    }}
                </ul>
                <Show when=move || { services.with(Vec::len) > FIRST }>
                    <button class="more" on:click=move |_| all.update(|all| *all = !*all)>
                        {move || if all.get() { "fewer".to_owned() } else { format!("{} more", services.with(Vec::len) - FIRST) }}
                    </button>
                </Show>
            </section>
        </aside>
    }
}

/// Figures of the range, of one service when the filter names one, and the switches of the list.
#[component]
pub(super) fn Figures(
    state: Memo<ExploreState>,
    services: RwSignal<Vec<ServiceItem>>,
    go: Callback<ExploreState>,
    reload: RwSignal<u32>,
) -> impl IntoView {
    let figures = move || {
        let filter = state.get().filter;
        let services = services.get();
        let one = services.iter().find(|service| condition::has(&filter, "service", &service.name));
        let counted: Vec<&ServiceItem> = one.map_or_else(|| services.iter().collect(), |one| vec![one]);
        let sum = |of: fn(&ServiceItem) -> u64| counted.iter().map(|service| of(service)).sum::<u64>();
        let (spans, requests, errors) = (sum(|s| s.spans), sum(|s| s.requests), sum(|s| s.errors));
        let now = now_nanos();
        let range = state.get().range;
        let seconds =
            clock::parse(&range.from, now).zip(clock::parse(&range.to, now)).map(|(from, to)| (to - from) as f64 / 1e9);
        let rate = seconds.filter(|seconds| *seconds >= 1.0).map(|seconds| {
            let rate = requests as f64 / seconds;
            let rate = if rate >= 10.0 { format::short_count(rate.round() as u64) } else { format!("{rate:.1}") };
            format!("{rate} /s")
        });
        let is_bad = errors > 0 && errors.saturating_mul(100) >= requests;
        let one_duration = |nanos: Option<u64>| nanos.map(format::duration);
        view! {
            <div><span>{one.map_or("Spans", |_| "Spans of the service")}</span><b>{format::count(spans)}</b><em></em></div>
            <div><span>"Requests"</span><b>{format::count(requests)}</b><em>{rate}</em></div>
            <div><span>"Errors"</span><b class:bad=is_bad>{format::percent(errors, requests)}</b><em></em></div>
            {one.and_then(|one| one_duration(one.p50_nanos)).map(|p50| view! { <div><span>"p50"</span><b>{p50}</b><em></em></div> })}
            {one.and_then(|one| one_duration(one.p95_nanos)).map(|p95| view! { <div><span>"p95"</span><b>{p95}</b><em></em></div> })}
        }
    };
    let unit = move |unit: Unit, name: &'static str| {
        view! {
            <button
                aria-pressed=move || (state.get().unit == unit).to_string()
                on:click=move |_| go.run(ExploreState { unit, ..state.get_untracked() })
            >
                {name}
            </button>
        }
    };
    let sort = move |sort: Sort, name: &'static str| {
        view! {
            <button
                aria-pressed=move || (state.get().sort == sort).to_string()
                on:click=move |_| go.run(ExploreState { sort, ..state.get_untracked() })
            >
                {name}
            </button>
        }
    };
    view! {
        <div class="kp">
            {figures}
            <span class="grow"></span>
            <span class="seg" role="group" aria-label="Rows are">{unit(Unit::Traces, "Traces")}{unit(Unit::Spans, "Spans")}</span>
            <span class="seg" role="group" aria-label="Order">{sort(Sort::Newest, "Newest")}{sort(Sort::Slowest, "Slowest")}</span>
            <button class="btn s" aria-label="Look again" title="Look again (R)" on:click=move |_| reload.update(|count| *count += 1)>{icon(Icon::Again, false)}</button>
        </div>
    }
}
