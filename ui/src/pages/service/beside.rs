//! What a service's own answer does not hold: its running copies, and alerts about it. Each is asked for by itself and fails alone.

use api::{AlertAnswer, AlertTransition, Problem, SqlAnswer};
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::Value as Json;

use crate::app::{now_nanos, there};
use crate::client;
use crate::components::states::behind;
use crate::view::alerts::service_of;
use crate::view::behind as sql;
use crate::view::scope::Scope;
use crate::view::url::{self, ExploreState, Sort, Unit};
use crate::view::{clock, condition, format};

/// Past alerts shown.
const PAST_MAX: usize = 12;
/// How far back they are looked for.
const DAY_NANOS: i64 = 86_400_000_000_000;

/// Running copies with rate, errors and durations.
#[component]
pub(super) fn Instances(name: String, scope: Scope) -> impl IntoView {
    let found = RwSignal::new(None::<Result<SqlAnswer, Problem>>);
    let statement = sql::instances(&name);
    let request = scope.statement(statement.clone());
    spawn_local(async move {
        let answer = client::sql(&request).await;
        found.try_set(Some(answer));
    });
    let text = |value: Option<&Json>| match value {
        Some(Json::String(text)) => text.clone(),
        Some(Json::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    let number = |value: Option<&Json>| value.and_then(|value| value.as_f64().or_else(|| value.as_str()?.parse().ok()));
    let row = move |row: &Vec<Json>| {
        let (instance, host, version) = (text(row.first()), text(row.get(1)), text(row.get(2)));
        let seen = clock::parse(&text(row.get(3)), now_nanos()).map(clock::day_and_time).unwrap_or_default();
        let count = |at: usize| number(row.get(at)).unwrap_or_default() as u64;
        let (requests, errors) = (count(5), count(6));
        let p95 = number(row.get(8)).map_or_else(|| "–".to_owned(), |ms| format::duration((ms * 1e6) as u64));
        let bad = errors > 0 && errors.saturating_mul(100) >= requests;
        // Without an instance id the host tells copies apart.
        let field = if instance == host { "resource.host.name" } else { "resource.service.instance.id" };
        let view = ExploreState {
            unit: Unit::Spans,
            sort: Sort::Slowest,
            ..scope.explore(&condition::with(
                &condition::write("service", "=", &name),
                &condition::write(field, "=", &instance),
            ))
        };
        view! {
            <tr>
                <td class="mono"><a href=view.link()>{instance}</a></td>
                <td class="mono dim">{host}</td>
                <td class="mono dim">{version}</td>
                <td class="mono dim">{seen}</td>
                <td class="num">{format::count(requests)}</td>
                <td class="num" class:bad=bad>{format::percent(errors, requests)}</td>
                <td class="num semi">{p95}</td>
            </tr>
        }
    };
    view! {
        <section aria-label="Instances">
            <div class="home-head"><h2>"Instances"</h2> <span class="grow"></span> {behind(&statement)}</div>
            {move || match &*found.read() {
                None => view! { <p class="hint faint">"…"</p> }.into_any(),
                Some(Err(problem)) => view! { <p class="hint faint">{format!("Not known: {}. {}", problem.title, problem.detail)}</p> }.into_any(),
                Some(Ok(answer)) if answer.rows.is_empty() => view! {
                    <p class="hint faint">"The service does not say which of its copies sent a span: set the resource attribute service.instance.id (OTEL_RESOURCE_ATTRIBUTES=service.instance.id=…) or let a resource detector set host.name."</p>
                }.into_any(),
                Some(Ok(answer)) => view! {
                    <table>
                        <caption class="sr">"Instances"</caption>
                        <thead><tr><th>"Instance"</th><th>"Host"</th><th>"Version"</th><th>"Last span"</th><th class="num">"Requests"</th><th class="num">"Errors"</th><th class="num">"p95"</th></tr></thead>
                        <tbody>{answer.rows.iter().map(&row).collect_view()}</tbody>
                    </table>
                }.into_any(),
            }}
        </section>
    }
}

/// What fires or is about to, and what fired in the last day.
#[component]
pub(super) fn Alerts(name: String) -> impl IntoView {
    type Found = (Vec<AlertAnswer>, Vec<AlertTransition>);
    let found = RwSignal::new(None::<Result<Found, Problem>>);
    spawn_local(async move {
        let now = client::alerts().await;
        let past = client::alert_history(&clock::rfc3339(now_nanos() - DAY_NANOS), "now", None).await;
        let answer = now.and_then(|now| {
            let mut alerts = now.alerts;
            alerts.retain(|alert| service_of(&alert.labels) == Some(name.as_str()));
            let mut past = past?.transitions;
            past.retain(|step| {
                service_of(&step.labels) == Some(name.as_str()) && (step.state == "firing" || step.before == "firing")
            });
            past.sort_by_key(|step| std::cmp::Reverse(step.time_unix_nano.parse::<i64>().unwrap_or_default()));
            past.truncate(PAST_MAX);
            Ok((alerts, past))
        });
        found.try_set(Some(answer));
    });
    let nanos = |text: &str| text.parse::<i64>().unwrap_or_default();
    let rule =
        |labels: &std::collections::BTreeMap<String, String>| labels.get("alertname").cloned().unwrap_or_default();
    let link = |rule: &str| there(format!("/alerts/{}", url::encode(rule).replace('+', "%20")));
    let row = move |rule: String, when: i64, state: String, said: String| {
        let firing = state == "firing";
        let (href, word) = (link(&rule), if firing { "▲ firing".to_owned() } else { state });
        view! {
            <tr>
                <td><a href=href>{rule}</a></td>
                <td class:bad=firing class:dim=!firing>{word}</td>
                <td class="mono dim">{clock::day_and_time(when)}</td>
                <td class="dim ell">{said}</td>
            </tr>
        }
    };
    view! {
        <section aria-label="Alerts">
            <div class="home-head"><h2>"Alerts"</h2> <span class="faint">"now and in the last day"</span> <span class="grow"></span> <a class="acc" href=there("/alerts?show=new")>"New rule"</a></div>
            {move || match &*found.read() {
                None => view! { <p class="hint faint">"…"</p> }.into_any(),
                Some(Err(problem)) => view! { <p class="hint faint">{format!("Not known: {}", problem.title)}</p> }.into_any(),
                Some(Ok((now, past))) if now.is_empty() && past.is_empty() => view! {
                    <p class="hint faint">"No alert names this service. An alert is about a service when its rule keeps the label service_name, service, dst or src."</p>
                }.into_any(),
                Some(Ok((now, past))) => {
                    let now = now.iter().map(|alert| row(rule(&alert.labels), nanos(&alert.active_unix_nano), alert.state.clone(), if alert.silenced { "held back by a silence".to_owned() } else { format!("value {}", format::number(alert.value)) }));
                    let past = past.iter().map(|step| {
                        let state = if step.state == "firing" { "began to fire".to_owned() } else { "ended".to_owned() };
                        row(rule(&step.labels), nanos(&step.time_unix_nano), state, format!("value {}", format::number(step.value)))
                    });
                    view! {
                        <table>
                            <caption class="sr">"Alerts"</caption>
                            <thead><tr><th>"Rule"</th><th>"State"</th><th>"Since"</th><th>"Value"</th></tr></thead>
                            <tbody>{now.chain(past).collect_view()}</tbody>
                        </table>
                    }.into_any()
                }
            }}
        </section>
    }
}
