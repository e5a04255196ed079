//! One service: rate, errors and durations over time, what it is asked to do, who it talks to, its versions; beside
//! them, each asked for by itself (`service/beside.rs`), its running copies and alerts about it.
//!
//! URL: `/services/:name`, `tab` (one part alone), `op` (the operation whose charts stand above), `version` and `vs` (two versions
//! that are compared, `service/versions.rs`).

mod beside;
mod versions;

use std::sync::Arc;

use api::{Problem, ServiceAnswer, ServiceDependency};
use leptos::prelude::*;
use leptos_router::hooks::{use_location, use_params_map};

use self::beside::{Alerts, Instances};
use self::versions::Versions;
use super::home::steps;
use crate::app::{Shared, shared, there};
use crate::asking::ask_newest;
use crate::client::{self, Operation};
use crate::components::environments::Elsewhere;
use crate::components::spark::spark;
use crate::components::states::{EmptyState, ErrorBox, LoadingBar, Skeleton, behind};
use crate::view::behind as sql;
use crate::view::journey::facts::{Family, label};
use crate::view::scope::Scope;
use crate::view::url::{self, ExploreState, Sort, Unit};
use crate::view::{condition, format, names};

/// Loads the service of the URL and shows it.
#[component]
pub(crate) fn ServicePage() -> impl IntoView {
    let shared = shared();
    let params = use_params_map();
    let search = use_location().search;
    let asked =
        Memo::new(move |_| (params.with(|params| params.get("name").unwrap_or_default()), Scope::read(&search.get())));
    let found = RwSignal::new(None::<Result<Arc<ServiceAnswer>, Problem>>);
    let asking = ask_newest(
        move || Some(asked.get()),
        |(name, scope)| async move {
            let answer = client::service(&name, &scope).await;
            (name, answer)
        },
        move |(name, answer)| {
            shared.see_services([name.as_str()]);
            found.set(Some(answer.map(Arc::new)));
        },
    );
    let loading = asking.loading;
    view! {
        <div class="page">
            <LoadingBar active=loading/>
            {move || match found.get() {
                None => view! { <Skeleton rows=12/> }.into_any(),
                Some(Err(problem)) if problem.status == 404 => view! {
                    <EmptyState title="This service sent no span in this time range">
                        <span class="mono dim">{asked.get_untracked().0}</span>
                        <span class="dim">"Choose a longer range above."</span>
                        <Elsewhere/>
                        <a class="btn s primary" href=there("/services")>"All services"</a>
                    </EmptyState>
                }.into_any(),
                Some(Err(problem)) => view! { <ErrorBox problem retry=asking.retry()/> }.into_any(),
                Some(Ok(answer)) => whole(&answer, asked.get_untracked().1, search, shared).into_any(),
            }}
        </div>
    }
}

/// Parts of the page, with what the URL and the tab say.
const TABS: [(&str, &str); 7] = [
    ("", "All"),
    ("operations", "Operations"),
    ("dependencies", "Dependencies"),
    ("topics", "Topics"),
    ("versions", "Versions"),
    ("instances", "Instances"),
    ("alerts", "Alerts"),
];

fn parameter(search: &str, name: &str) -> String {
    url::pairs(search).into_iter().find(|(key, _)| key == name).map(|(_, value)| value).unwrap_or_default()
}

fn whole(answer: &Arc<ServiceAnswer>, scope: Scope, search: Memo<String>, shared: Shared) -> impl IntoView + use<> {
    let tab = Memo::new(move |_| {
        let asked = parameter(&search.get(), "tab");
        TABS.into_iter().find(|(tab, _)| *tab == asked).map(|(tab, _)| tab).unwrap_or_default()
    });
    let op = Memo::new(move |_| parameter(&search.get(), "op"));
    let path = format!("/services/{}", url::encode(&answer.name).replace('+', "%20"));
    // A part that is not shown keeps what it was answered.
    let hides = move |part: &'static str| move || !matches!(tab.get(), "") && tab.get() != part;
    let tabs = TABS.map(|(part, title)| {
        let path = path.clone();
        let link = move || {
            format!(
                "{path}{}",
                url::with_parameters(&search.get(), &[("tab", Some(part).filter(|part| !part.is_empty()))])
            )
        };
        view! { <a class="tab" href=link aria-current=move || (tab.get() == part).then_some("page")>{title}</a> }
    });
    let nanos = |text: &str| text.parse::<i64>().unwrap_or_default();
    let seconds = ((nanos(&answer.to_unix_nano) - nanos(&answer.from_unix_nano)) as f64 / 1e9).max(1.0);
    let per_minute = |requests: u64| format::rate(requests as f64 / seconds * 60.0);
    let total = &answer.total;
    let bad = total.errors > 0 && total.errors.saturating_mul(100) >= total.requests;
    let duration = |nanos: Option<u64>| nanos.map_or_else(|| "–".to_owned(), format::duration);
    let view = scope.explore(&condition::write("service", "=", &answer.name));
    let slowest = ExploreState { sort: Sort::Slowest, ..view.clone() }.link();
    let failed =
        ExploreState { filter: condition::with(&view.filter, "status=error"), unit: Unit::Traces, ..view.clone() }
            .link();
    let charts = [
        ("Rate", per_minute(total.requests), steps(answer, |point| Some(point.requests as f64)), ""),
        (
            "Errors",
            format::percent(total.errors, total.requests),
            steps(answer, |point| Some(point.errors as f64)),
            if bad { "bad" } else { "" },
        ),
        ("p95", duration(total.p95_nanos), steps(answer, |point| point.p95_nanos.map(|nanos| nanos as f64)), ""),
    ]
    .map(|(name, value, values, tone)| chart(name, value, &values, tone));
    let operations = answer.operations.iter().map(|operation| {
        let bad = operation.errors > 0 && operation.errors.saturating_mul(100) >= operation.requests;
        let link = ExploreState {
            unit: Unit::Spans,
            filter: condition::with(&view.filter, &condition::write("name", "=", &operation.name)),
            sort: Sort::Slowest,
            ..view.clone()
        };
        let (name, path) = (operation.name.clone(), path.clone());
        let chosen = {
            let name = name.clone();
            move || format!("{path}{}", url::with_parameters(&search.get(), &[("op", Some(&name))]))
        };
        let is_chosen = move || op.with(|op| *op == name);
        view! {
            <tr class:sel=is_chosen>
                <td class="what"><a href=chosen title="Its charts"><span class="name">{operation.name.clone()}</span></a></td>
                <td class="dim">{operation.kind.clone()}</td>
                <td class="num">{per_minute(operation.requests)}</td>
                <td class="num" class:bad=bad>{format::percent(operation.errors, operation.requests)}</td>
                <td class="num dim">{duration(operation.p50_nanos)}</td>
                <td class="num semi">{duration(operation.p95_nanos)}</td>
                <td class="num dim">{duration(operation.p99_nanos)}</td>
                <td class="links"><a href=link.link()>"slowest"</a></td>
            </tr>
        }
    });
    view! {
        <div class="home-head big-head">
            <h1 class=format!("svc {}", shared.color_class(&answer.name))>{answer.name.clone()}</h1>
            <span class="faint">{format::counted(total.spans, "span")}</span>
            <span class="grow"></span>
            <a class="btn s" href=slowest>"Slow journeys"</a>
            <a class="btn s" href=failed>"Failed traces"</a>
            <a class="btn s" href=there(format!("/map?sel={}&focus=1", url::encode(&format!("service:{}", answer.name))))>"On the map"</a>
        </div>
        {answer.incomplete_reason.clone().map(|why| view! { <p class="notice">{why}</p> })}
        {operation_charts(&answer.name, op, search, scope.clone())}
        <div class="charts" hidden=move || op.with(|op| !op.is_empty())>{charts}</div>
        <nav class="tabs" aria-label="Parts">{tabs.into_iter().collect_view()}</nav>
        <section aria-label="Operations" hidden=hides("operations")>
            <div class="home-head"><h2>"What it is asked to do"</h2> <span class="grow"></span> {behind(&sql::operations(&answer.name))}</div>
            <table>
                <caption class="sr">"Operations"</caption>
                <thead><tr><th>"Operation"</th><th>"Kind"</th><th class="num">"Rate"</th><th class="num">"Errors"</th><th class="num">"p50"</th><th class="num">"p95"</th><th class="num">"p99"</th><th>"Spans"</th></tr></thead>
                <tbody>{operations.collect_view()}</tbody>
            </table>
            {answer.operations.is_empty().then(|| view! { <p class="hint faint">"Nobody asked it for anything: it sent no span of kind server or consumer."</p> })}
        </section>
        <div class="home-lists" hidden=hides("dependencies")>
            {neighbours(&sql::neighbours(&answer.name, true), "Who calls it", "No caller was seen. Callers appear when their client spans carry the context to this service.", &answer.upstream, shared)}
            {neighbours(&sql::neighbours(&answer.name, false), "What it calls", "It calls nobody, as far as its spans tell.", &answer.downstream, shared)}
        </div>
        <div hidden=hides("topics")>{topics(answer)}</div>
        <div hidden=hides("versions")><Versions answer=Arc::clone(answer) path=path.clone() search scope=scope.clone()/></div>
        <div hidden=hides("instances")><Instances name=answer.name.clone() scope/></div>
        <div hidden=hides("alerts")><Alerts name=answer.name.clone()/></div>
    }
}

/// Charts of the operation that the URL names, as its callers perceive it.
fn operation_charts(service: &str, op: Memo<String>, search: Memo<String>, scope: Scope) -> impl IntoView + use<> {
    let found = RwSignal::new(None::<(String, Result<Option<Box<Operation>>, Problem>)>);
    let service = service.to_owned();
    let path = format!("/services/{}", url::encode(&service).replace('+', "%20"));
    ask_newest(
        move || Some(op.get()).filter(|op| !op.is_empty()).map(|op| (service.clone(), op, scope.clone())),
        |(service, op, scope)| async move {
            let answer = client::operation(&service, &op, &scope).await;
            (op, answer)
        },
        move |answer| found.set(Some(answer)),
    );
    move || {
        let op = op.get();
        if op.is_empty() {
            return None;
        }
        let path = path.clone();
        let back = move || format!("{path}{}", url::with_parameters(&search.get(), &[("op", None)]));
        let body = match found.get().filter(|(of, _)| *of == op) {
            None => view! { <Skeleton rows=3/> }.into_any(),
            Some((_, Err(problem))) => {
                view! { <p class="hint faint">{format!("Not known: {}", problem.title)}</p> }.into_any()
            }
            Some((_, Ok(None))) => {
                view! { <p class="hint faint">"Nobody called it in this range, as far as settled journeys tell."</p> }
                    .into_any()
            }
            Some((_, Ok(Some(one)))) => {
                let counts = |counts: &[u64]| counts.iter().map(|count| Some(*count as f64)).collect::<Vec<_>>();
                let p95 = one.p95_nanos.iter().map(|nanos| nanos.map(|nanos| nanos as f64)).collect();
                let said =
                    one.total.p95_nanos.map_or_else(|| "–".to_owned(), |nanos| format::duration(nanos.unsigned_abs()));
                let all = [
                    ("Rate", format::rate(one.total.per_minute), counts(&one.calls)),
                    ("Errors", format::percent(one.total.errors, one.total.calls), counts(&one.errors)),
                    ("p95", said, p95),
                ];
                let all = all.map(|(name, value, values)| chart(name, value, &values, ""));
                view! { <div class="charts">{all.into_iter().collect_view()}</div> }.into_any()
            }
        };
        Some(view! {
            <div class="home-head"><h2>{op}</h2> <span class="faint">"as its callers perceive it"</span> <span class="grow"></span> <a class="acc" href=back>"All operations"</a></div>
            {body}
        })
    }
}

fn chart(name: &'static str, value: String, values: &[Option<f64>], tone: &'static str) -> AnyView {
    view! { <section class="card chart"><div class="row"><h2 class="h">{name}</h2><span class="grow"></span><b class:bad=tone == "bad">{value}</b></div>{spark(values, 400.0, 64.0, tone)}</section> }.into_any()
}

/// Queues and topics that the service reads and writes: how much, and how long messages wait for it.
fn topics(answer: &ServiceAnswer) -> Option<impl IntoView + use<>> {
    let is_queue = |one: &&ServiceDependency| Family::of(&one.node) == Family::Broker;
    let read = answer.upstream.iter().filter(is_queue).map(|one| (true, one));
    let all: Vec<_> = read.chain(answer.downstream.iter().filter(is_queue).map(|one| (false, one))).collect();
    if all.is_empty() {
        return None;
    }
    let wait =
        |nanos: Option<i64>| nanos.map_or_else(|| "–".to_owned(), |nanos| format::duration(nanos.unsigned_abs()));
    let rows = all.into_iter().map(|(reads, one)| {
        let figures = &one.figures;
        let bad = figures.errors > 0 && figures.errors.saturating_mul(100) >= figures.calls;
        let map = format!("/map?sel={}&focus=1", url::encode(&one.node));
        view! {
            <tr>
                <td><a href=there(map) title="On the map, with its partitions"><span class="svc broker mono">{label(&one.node).to_owned()}</span></a></td>
                <td><span class="proto async">{names::badge(&one.protocol, &one.system)}</span></td>
                <td>{if reads { "reads" } else { "writes" }}</td>
                <td class="num">{format::rate(figures.per_minute)}</td>
                <td class="num" class:bad=bad>{format::percent(figures.errors, figures.calls)}</td>
                <td class="num dim">{wait(figures.lag_p50_nanos)}</td>
                <td class="num semi">{wait(figures.lag_p95_nanos)}</td>
            </tr>
        }
    });
    Some(view! {
        <section aria-label="Topics">
            <div class="home-head"><h2>"Topics and queues"</h2></div>
            <table>
                <caption class="sr">"Topics and queues that the service reads and writes"</caption>
                <thead><tr><th>"Topic"</th><th>"Via"</th><th>"The service"</th><th class="num">"Messages"</th><th class="num">"Errors"</th><th class="num" title="How long messages waited for it">"p50 wait"</th><th class="num">"p95 wait"</th></tr></thead>
                <tbody>{rows.collect_view()}</tbody>
            </table>
        </section>
    })
}

fn neighbours(
    sql: &str,
    title: &'static str,
    none: &'static str,
    all: &[ServiceDependency],
    shared: Shared,
) -> impl IntoView + use<> {
    let is_empty = all.is_empty();
    let rows: Vec<_> = all
        .iter()
        .map(|neighbour| {
            let is_async = neighbour.style == "async";
            let figures = &neighbour.figures;
            let name = label(&neighbour.node).to_owned();
            let shown = match Family::of(&neighbour.node) {
                Family::Service => {
                    let link = super::home::service_link(&name, "");
                    view! { <a href=there(link)><span class=format!("svc {}", shared.color_class(&name))>{name.clone()}</span></a> }.into_any()
                }
                Family::Broker => view! { <span class="svc broker mono">{name}</span> }.into_any(),
                _ => view! { <span class="svc ext">{name}</span> }.into_any(),
            };
            let bad = figures.errors > 0 && figures.errors.saturating_mul(100) >= figures.calls;
            let slow = figures.p95_nanos.or(figures.lag_p95_nanos).map_or_else(|| "–".to_owned(), |nanos| format::duration(nanos.unsigned_abs()));
            let wait = figures.lag_p95_nanos.map_or_else(|| "–".to_owned(), |nanos| format::duration(nanos.unsigned_abs()));
            view! {
                <tr>
                    <td>{shown}</td>
                    <td><span class="proto" class:async=is_async>{names::badge(&neighbour.protocol, &neighbour.system)}</span></td>
                    <td class="num">{format::rate(figures.per_minute)}</td>
                    <td class="num" class:bad=bad>{format::percent(figures.errors, figures.calls)}</td>
                    <td class="num semi">{slow}</td>
                    <td class="num dim">{wait}</td>
                </tr>
            }
        })
        .collect();
    view! {
        <section aria-label=title>
            <div class="home-head"><h2>{title}</h2> <span class="grow"></span> {behind(sql)}</div>
            <table>
                <caption class="sr">{title}</caption>
                <thead><tr><th>"Who"</th><th>"Via"</th><th class="num">"Rate"</th><th class="num">"Errors"</th><th class="num">"p95"</th><th class="num">"p95 wait"</th></tr></thead>
                <tbody>{rows}</tbody>
            </table>
            {is_empty.then(|| view! { <p class="hint faint">{none}</p> })}
        </section>
    }
}
