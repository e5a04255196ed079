//! Services of the time range: requests, errors, durations.

use api::{Problem, ServiceItem};
use leptos::prelude::*;
use leptos_router::hooks::use_location;

use crate::app::{shared, there};
use crate::asking::ask_newest;
use crate::client;
use crate::components::environments::{Elsewhere, Environments};
use crate::components::states::{EmptyState, ErrorBox, LoadingBar, Skeleton, behind};
use crate::view::behind as sql;
use crate::view::scope::Scope;
use crate::view::url::{ExploreState, Sort};
use crate::view::{condition, format};

/// One row a service; a click shows its traces.
#[component]
pub(crate) fn ServicesPage() -> impl IntoView {
    let shared = shared();
    let search = use_location().search;
    let scope = Memo::new(move |_| Scope::read(&search.get()));
    let found = RwSignal::new(None::<Result<Vec<ServiceItem>, Problem>>);
    let asking = ask_newest(
        move || Some(scope.get()),
        |scope| async move { client::services(&scope).await },
        move |answer| {
            found.set(Some(answer.map(|mut answer| {
                answer.services.sort_by(|a, b| b.requests.cmp(&a.requests).then_with(|| a.name.cmp(&b.name)));
                shared.see_services(answer.services.iter().map(|service| service.name.as_str()));
                answer.services
            })));
        },
    );
    let loading = asking.loading;
    let row = move |service: ServiceItem| {
        let view = scope.get_untracked().explore(&condition::write("service", "=", &service.name));
        let traces = view.link();
        let failed = ExploreState { filter: condition::with(&view.filter, "status=error"), ..view.clone() }.link();
        let slowest = ExploreState { sort: Sort::Slowest, ..view }.link();
        let is_bad = service.errors > 0 && service.errors.saturating_mul(100) >= service.requests.max(1);
        let duration = |nanos: Option<u64>| nanos.map_or_else(|| "–".to_owned(), format::duration);
        view! {
            <tr>
                <td><a href=traces><span class=format!("svc {}", shared.color_class(&service.name))>{service.name.clone()}</span></a></td>
                <td class="num dim">{format::count(service.spans)}</td>
                <td class="num">{format::count(service.requests)}</td>
                <td class="num" class:bad=is_bad>{format::count(service.errors)}</td>
                <td class="num" class:bad=is_bad>{format::percent(service.errors, service.requests)}</td>
                <td class="num dim">{duration(service.p50_nanos)}</td>
                <td class="num semi">{duration(service.p95_nanos)}</td>
                <td class="links"><a href=slowest>"slowest"</a> <a href=failed>"failed"</a></td>
            </tr>
        }
    };
    view! {
        <div class="page">
            <LoadingBar active=loading/>
            {move || match found.get() {
                None => view! { <Skeleton rows=12/> }.into_any(),
                Some(Err(problem)) => view! { <ErrorBox problem retry=asking.retry()/> }.into_any(),
                Some(Ok(services)) if services.is_empty() => view! {
                    <EmptyState title="No service sent a span in this time range">
                        <span class="dim">"Choose a longer range above, or see in Explore how to send data."</span>
                        <Elsewhere/>
                        <a class="btn s primary" href=there("/explore")>"Go to Explore"</a>
                    </EmptyState>
                }.into_any(),
                Some(Ok(services)) => view! {
                    <div class="home-head"><h2>"Services"</h2> <span class="faint">{format::count(services.len() as u64)}</span> <span class="grow"></span> <Environments/> {behind(&sql::services())}</div>
                    <table class:old=loading>
                        <caption class="sr">"Services"</caption>
                        <thead>
                            <tr>
                                <th>"Service"</th>
                                <th class="num">"Spans"</th>
                                <th class="num" aria-sort="descending">"Requests ↓"</th>
                                <th class="num">"Errors"</th>
                                <th class="num">"Error share"</th>
                                <th class="num">"p50"</th>
                                <th class="num">"p95"</th>
                                <th>"Traces"</th>
                            </tr>
                        </thead>
                        <tbody>{services.into_iter().map(row).collect_view()}</tbody>
                    </table>
                }.into_any(),
            }}
        </div>
    }
}
