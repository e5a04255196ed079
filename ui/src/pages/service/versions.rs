//! Versions of a service, and what its operations do in one of them against another.
//!
//! URL: `version`, and `vs` for the other one. With one of them alone the other is the version before it.

use api::{Problem, ServiceAnswer, ServiceVersion, SqlAnswer};
use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::use_navigate;
use model::semconv::key;
use serde_json::Value as Json;

use crate::asking::ask_newest;
use crate::client;
use crate::components::states::behind;
use crate::view::behind as sql;
use crate::view::scope::Scope;
use crate::view::url::{self, ExploreState, Unit};
use crate::view::{clock, condition, format};

/// Fewer requests than this say nothing about how long they take.
const REQUESTS_MIN: u64 = 20;

/// All versions by age, and the difference between two that the URL names.
#[component]
pub(super) fn Versions(
    answer: std::sync::Arc<ServiceAnswer>,
    /// Where the page is, and its search.
    path: String,
    search: Memo<String>,
    scope: Scope,
) -> impl IntoView {
    let view = ExploreState { unit: Unit::Traces, ..scope.explore(&condition::write("service", "=", &answer.name)) };
    let nanos = |text: &str| text.parse::<i64>().unwrap_or_default();
    let rows = answer.versions.iter().enumerate().map(|(at, version)| {
        let before = at.checked_sub(1).and_then(|before| answer.versions.get(before));
        let slower = before.and_then(|before| slower(version, before));
        let only = condition::write(key::SERVICE_VERSION, "=", &version.version);
        let link = ExploreState { filter: condition::with(&view.filter, &only), ..view.clone() };
        let bad = version.errors > 0 && version.errors.saturating_mul(100) >= version.requests;
        let name = match version.version.is_empty() {
            true => view! { "not said" }.into_any(),
            false => view! { <a href=link.link() title="Its traces">{version.version.clone()}</a> }.into_any(),
        };
        view! {
            <tr>
                <td class="mono">{name}</td>
                <td class="mono dim">{clock::day_and_time(nanos(&version.first_seen_unix_nano))}</td>
                <td class="mono dim">{clock::day_and_time(nanos(&version.last_seen_unix_nano))}</td>
                <td class="num">{format::count(version.requests)}</td>
                <td class="num" class:bad=bad>{format::percent(version.errors, version.requests)}</td>
                <td class="num semi">{version.p95_nanos.map_or_else(|| "–".to_owned(), format::duration)}</td>
                <td class="num" class:hot=slower.is_some_and(|times| times >= 1.5)>{times(slower)}</td>
            </tr>
        }
    });
    let named: Vec<String> =
        answer.versions.iter().map(|version| version.version.clone()).filter(|name| !name.is_empty()).collect();
    let chosen = {
        let named = named.clone();
        Memo::new(move |_| {
            let search = search.get();
            pair(&named, &super::parameter(&search, "version"), &super::parameter(&search, "vs"))
        })
    };
    view! {
        <section aria-label="Versions">
            <div class="home-head">
                <h2>"Versions"</h2>
                {(named.len() > 1).then(|| choices(named.clone(), chosen, path, search))}
                <span class="grow"></span> {behind(&sql::versions(&answer.name))}
            </div>
            <table>
                <caption class="sr">"Versions"</caption>
                <thead><tr><th>"Version"</th><th>"First span"</th><th>"Last span"</th><th class="num">"Requests"</th><th class="num">"Errors"</th><th class="num">"p95"</th><th class="num" title="p95 against the version before">"× before"</th></tr></thead>
                <tbody>{rows.collect_view()}</tbody>
            </table>
            {named.is_empty().then(|| view! { <p class="hint faint">"The service does not say its version: set the resource attribute service.version (OTEL_RESOURCE_ATTRIBUTES=service.version=1.2.3)."</p> })}
            {difference(answer.name.clone(), chosen, scope)}
        </section>
    }
}

/// The two versions that are compared, of those that there are; `None` when the URL names none of them.
fn pair(named: &[String], version: &str, vs: &str) -> Option<(String, String)> {
    let place = |name: &str| named.iter().position(|known| known == name);
    let (version, vs) = match (place(version), place(vs)) {
        (Some(version), Some(vs)) => (version, vs),
        (Some(version), None) => (version, version.checked_sub(1).unwrap_or(1)),
        (None, Some(vs)) => (vs + 1, vs),
        (None, None) => return None,
    };
    let name = |at: usize| named.get(at).cloned();
    (version != vs).then_some(())?;
    Some((name(version)?, name(vs)?))
}

/// Which version is held against which.
fn choices(
    named: Vec<String>,
    chosen: Memo<Option<(String, String)>>,
    path: String,
    search: Memo<String>,
) -> impl IntoView {
    let navigate = use_navigate();
    let go = Callback::new(move |changes: Vec<(&'static str, Option<String>)>| {
        let changes: Vec<_> = changes.iter().map(|(name, value)| (*name, value.as_deref())).collect();
        let to = format!("{path}{}", url::with_parameters(&search.get_untracked(), &changes));
        navigate(&to, NavigateOptions { scroll: false, ..NavigateOptions::default() });
    });
    let select = |title: &'static str, parameter: &'static str, of: fn((String, String)) -> String| {
        let value = move || chosen.get().map(of).unwrap_or_default();
        let options = named.clone().into_iter().map(|name| {
            let shown = name.clone();
            view! { <option value=name.clone() selected=move || value() == name>{shown}</option> }
        });
        let change = move |event| {
            let picked = event_target_value(&event);
            let mut changes = vec![(parameter, Some(picked).filter(|name| !name.is_empty()))];
            if changes[0].1.is_none() {
                changes = vec![("version", None), ("vs", None)];
            }
            go.run(changes);
        };
        view! {
            <label class="pick"><span class="faint">{title}</span><select on:change=change>
                <option value="" selected=move || chosen.with(Option::is_none)>"–"</option>
                {options.collect_view()}
            </select></label>
        }
    };
    view! { {select("Difference of", "version", |pair| pair.0)} {select("to", "vs", |pair| pair.1)} }
}

/// What the operations do in both.
fn difference(service: String, chosen: Memo<Option<(String, String)>>, scope: Scope) -> impl IntoView {
    let found = RwSignal::new(None::<((String, String), Result<SqlAnswer, Problem>)>);
    let statement = {
        let service = service.clone();
        move |pair: &(String, String)| sql::between_versions(&service, &pair.0, &pair.1)
    };
    let asked = statement.clone();
    ask_newest(
        move || chosen.get().map(|pair| (scope.statement(asked(&pair)), pair)),
        |(request, pair)| async move {
            let answer = client::sql(&request).await;
            (pair, answer)
        },
        move |answer| found.set(Some(answer)),
    );
    move || {
        let pair = chosen.get()?;
        let body = match found.get().filter(|(of, _)| *of == pair) {
            None => view! { <p class="hint faint">"…"</p> }.into_any(),
            Some((_, Err(problem))) => {
                view! { <p class="hint faint">{format!("Not known: {}. {}", problem.title, problem.detail)}</p> }
                    .into_any()
            }
            Some((_, Ok(answer))) => table(&pair, &answer).into_any(),
        };
        Some(view! {
            <div class="home-head"><h2>{format!("{} against {}", pair.0, pair.1)}</h2> <span class="faint">"operation by operation"</span> <span class="grow"></span> {behind(&statement(&pair))}</div>
            {body}
        })
    }
}

/// What the statement says of an operation in one version.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Side {
    requests: u64,
    errors: u64,
    p95_nanos: Option<u64>,
}

impl Side {
    /// Three columns from `at` on.
    fn read(row: &[Json], at: usize) -> Self {
        let number = |at: usize| row.get(at).and_then(|value| value.as_f64().or_else(|| value.as_str()?.parse().ok()));
        Self {
            requests: number(at).unwrap_or_default() as u64,
            errors: number(at + 1).unwrap_or_default() as u64,
            p95_nanos: number(at + 2).map(|ms| (ms * 1e6) as u64),
        }
    }

    fn as_version(self) -> ServiceVersion {
        let Self { requests, errors, p95_nanos } = self;
        ServiceVersion { requests, errors, p95_nanos, ..ServiceVersion::default() }
    }
}

fn table(pair: &(String, String), answer: &SqlAnswer) -> impl IntoView + use<> {
    let rows = answer.rows.iter().map(|row| {
        let name = row.first().and_then(Json::as_str).unwrap_or_default().to_owned();
        let [now, then] = [1, 4].map(|at| Side::read(row, at));
        let slower = slower(&now.as_version(), &then.as_version());
        let cells = |side: Side| {
            let bad = side.errors > 0 && side.errors.saturating_mul(100) >= side.requests;
            view! {
                <td class="num">{some(side.requests > 0, || format::count(side.requests))}</td>
                <td class="num" class:bad=bad>{some(side.requests > 0, || format::percent(side.errors, side.requests))}</td>
                <td class="num semi">{side.p95_nanos.map_or_else(|| "–".to_owned(), format::duration)}</td>
            }
        };
        view! {
            <tr>
                <td class="what"><span class="name">{name}</span></td>
                {cells(now)} {cells(then)}
                <td class="num" class:hot=slower.is_some_and(|times| times >= 1.5)>{times(slower)}</td>
            </tr>
        }
    });
    let heads = [&pair.0, &pair.1].map(|name| {
        let title = |what: &str| format!("{what} of {name}");
        view! { <th class="num" title=title("Requests")>{name.clone()}</th><th class="num" title=title("Errors")>"Errors"</th><th class="num" title=title("95th percentile")>"p95"</th> }
    });
    view! {
        <table>
            <caption class="sr">"Operations in two versions"</caption>
            <thead><tr><th>"Operation"</th>{heads.into_iter().collect_view()}<th class="num" title="p95 of the first against the second">"×"</th></tr></thead>
            <tbody>{rows.collect_view()}</tbody>
        </table>
        {answer.rows.is_empty().then(|| view! { <p class="hint faint">"Neither took a request in this range."</p> })}
    }
}

/// A figure, or a dash where there is nothing to count.
fn some(is_there: bool, figure: impl FnOnce() -> String) -> String {
    if is_there { figure() } else { "–".to_owned() }
}

fn times(slower: Option<f64>) -> String {
    slower.map_or_else(|| "–".to_owned(), |times| format!("{} ×", format::factor(times)))
}

/// How many times slower than another version; `None` when one of them took too few requests to say.
fn slower(version: &ServiceVersion, before: &ServiceVersion) -> Option<f64> {
    if version.requests.min(before.requests) < REQUESTS_MIN {
        return None;
    }
    let (now, then) = (version.p95_nanos?, before.p95_nanos?);
    (then > 0).then(|| now as f64 / then as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Few requests say nothing about a version.
    #[test]
    fn versions_are_compared_when_both_are_used() {
        let version = |requests, p95_nanos| ServiceVersion { requests, p95_nanos, ..ServiceVersion::default() };
        assert_eq!(slower(&version(20, Some(30)), &version(50, Some(10))), Some(3.0));
        assert_eq!(slower(&version(19, Some(30)), &version(50, Some(10))), None);
        assert_eq!(slower(&version(20, None), &version(50, Some(10))), None);
        assert_eq!(slower(&version(20, Some(1)), &version(50, Some(0))), None);
    }

    /// One version alone is held against the one before it; the first against the next; what there is not against nothing.
    #[test]
    fn the_other_version_is_the_one_before() {
        let named = ["1.0", "1.1", "2.0"].map(str::to_owned);
        let pair = |version, vs| pair(&named, version, vs).map(|(version, vs)| format!("{version} {vs}"));
        assert_eq!(pair("2.0", "1.0").as_deref(), Some("2.0 1.0"));
        assert_eq!(pair("2.0", "").as_deref(), Some("2.0 1.1"));
        assert_eq!(pair("1.0", "").as_deref(), Some("1.0 1.1"));
        assert_eq!(pair("", "1.0").as_deref(), Some("1.1 1.0"));
        assert_eq!(pair("", "2.0"), None);
        assert_eq!(pair("1.1", "1.1"), None);
        assert_eq!(pair("3.0", ""), None);
        assert_eq!(super::pair(&named[..1], "1.0", ""), None);
    }

    /// Numbers come as numbers, and those of 64 bits as text.
    #[test]
    fn rows_are_read() {
        let row = [Json::from("GET /"), "12".into(), 1.into(), 2.5.into(), Json::Null, 0.into(), Json::Null];
        assert_eq!(Side::read(&row, 1), Side { requests: 12, errors: 1, p95_nanos: Some(2_500_000) });
        assert_eq!(Side::read(&row, 4), Side::default());
    }
}
