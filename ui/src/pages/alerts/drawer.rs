//! The selected rule: what it found, its condition, what differs while it fires, its last day.

use api::{AlertAnswer, DiffersAnswer, DiffersRequest, Problem};
use leptos::prelude::*;

use super::history::transitions;
use super::list::{place, state};
use super::silences::mute;
use super::{Desk, Row};
use crate::app::{now_nanos, shared, there};
use crate::asking::ask_newest;
use crate::client;
use crate::view::alerts::day::known_from;
use crate::view::alerts::matchers::{equal, matchers_of, matchers_text};
use crate::view::alerts::{State, examples, filter_of, is_of, own_labels};
use crate::view::sql_text::pieces;
use crate::view::{clock, format, url};

/// Alerts drawn one by one.
const ALERTS_MAX: usize = 20;
/// What differs is looked for in this time before it fired.
const BEFORE_NANOS: i64 = 3_600_000_000_000;
/// Attributes shown of what differs.
const DIFFERENCES_MAX: usize = 4;

/// Everything about one rule.
#[component]
pub(super) fn Drawer(desk: Desk, row: Memo<Option<Row>>) -> impl IntoView {
    view! {
        <aside class="insp" aria-label="Selected rule">
            {move || match row.get() {
                None => view! { <p class="hint faint">"Select a rule to see what it found."</p> }.into_any(),
                Some(row) => view! {
                    {head(desk, &row)}
                    <div class="scroll" tabindex="0">
                        {found(desk, &row)}
                        {condition(&row)}
                    </div>
                }.into_any(),
            }}
            <DiffersWhile row/>
            <Past desk row/>
        </aside>
    }
}

fn head(desk: Desk, row: &Row) -> impl IntoView + use<> {
    let shared = shared();
    let since = row.since.map(|since| format::duration((now_nanos() - since).max(0) as u64));
    let word = format!("{} {}", row.state.word(), since.unwrap_or_default());
    let tone = match row.state {
        State::Firing | State::Failing => "bad",
        State::Pending => "hot",
        State::Ok => "good",
        State::Muted | State::Unknown => "",
    };
    let matchers = matchers_of(row);
    let text = matchers_text(&matchers);
    let wait = match row.rule.for_seconds {
        0.0 => "fires at once".to_owned(),
        seconds => format!("fires after {}", format::duration((seconds * 1e9) as u64)),
    };
    let every = format::duration((row.rule.interval_seconds * 1e9) as u64);
    let change = match (row.rule.file.as_str(), &row.rule.text) {
        ("api", _) => Some("Edit"),
        (_, Some(_)) => Some("Copy"),
        _ => None,
    };
    let about = row.about();
    let error = row.rule.last_error.clone().filter(|_| row.rule.health == "err");
    view! {
        <section>
            <div class="row al-acts">
                <span class=format!("chip {tone}")><i class=format!("st {}", row.state.name())></i>{word}</span>
                <span class="grow"></span>
                <button class="btn s" title="Hold back its alerts for an hour" on:click=move |_| mute(desk, shared, matchers.clone(), "now+1h")>"Mute 1 h"</button>
                <button class="btn s" on:click=move |_| desk.silence(text.clone())>"Silence…"</button>
                {change.map(|word| view! { <button class="btn s" on:click=move |_| desk.show("edit")>{word}</button> })}
            </div>
            <h2 class="al-name">{row.rule.name.clone()}</h2>
            <p class="dim n">{about}</p>
            <p class="faint n">{format!("Group {}, kept in {}, runs every {every}, {wait}", row.rule.group, place(row))}</p>
            {error.map(|error| view! { <p class="al-error bad" role="alert">"Cannot be evaluated; its alerts stay as they are: "{error}</p> })}
        </section>
    }
}

fn found(desk: Desk, row: &Row) -> impl IntoView + use<> {
    if row.alerts.is_empty() {
        return view! { <section><p class="faint n">{if row.state == State::Unknown { "It has not been evaluated yet." } else { "It finds nothing now." }}</p></section> }.into_any();
    }
    let more = row.alerts.len().saturating_sub(ALERTS_MAX);
    let one = |alert: &AlertAnswer| {
        let is_firing = alert.state == "firing";
        let shape = match (is_firing, alert.silenced) {
            (_, true) => State::Muted,
            (true, _) => State::Firing,
            (false, _) => State::Pending,
        };
        let begun: i64 = alert.fired_unix_nano.as_ref().unwrap_or(&alert.active_unix_nano).parse().unwrap_or(0);
        let lasts = format::duration((now_nanos() - begun).max(0) as u64);
        let labels = own_labels(&alert.labels, &row.rule);
        let text = matchers_text(&equal(&alert.labels));
        let ids = examples(&alert.annotations);
        let links = ids.into_iter().enumerate().map(|(at, id)| view! {
            <a class="acc" href=there(format!("/j/{id}")) title=format!("Journey {id}")>{if at == 0 { "journey".to_owned() } else { format!("{}", at + 1) }}</a>
        });
        let others = alert
            .annotations
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "trace_id" | "journey_url" | "example_journeys"));
        let texts = others.map(|(_, text)| view! { <p class="dim n wraps">{text.clone()}</p> });
        view! {
            <li>
                <div class="row">
                    {state(shape)}
                    <b class=shape.tone()>{format::number(alert.value)}</b>
                    <span class="faint n">{format!("for {lasts}")}</span>
                    <span class="grow"></span>
                    {links.collect_view()}
                    <button class="btn s quiet" on:click=move |_| desk.silence(text.clone())>"Silence"</button>
                </div>
                <div class="labels">{labels.into_iter().map(|(name, value)| view! { <span class="chip line wraps"><span class="faint">{name}</span>{value}</span> }).collect_view()}</div>
                {texts.collect_view()}
            </li>
        }
    };
    let all = row.alerts.iter().take(ALERTS_MAX).map(one).collect_view();
    view! {
        <section>
            <h3 class="h">{format::counted(row.alerts.len() as u64, "alert")}</h3>
            <ul class="found">{all}</ul>
            {(more > 0).then(|| view! { <p class="faint n">{format!("{more} more; GET /api/alerts lists all")}</p> })}
        </section>
    }
    .into_any()
}

/// The query in colours, with the way to run it.
fn condition(row: &Row) -> impl IntoView + use<> {
    let query = row.rule.query.clone();
    let is_sql = !query.starts_with("finding ") && !query.starts_with("own ");
    let is_own = row.rule.text.is_none();
    let keep = row.rule.keep_firing_seconds;
    let keeps =
        if keep > 0.0 { format!("keeps firing {}", format::duration((keep * 1e9) as u64)) } else { String::new() };
    let colours = pieces(&query)
        .into_iter()
        .map(|(piece, text)| view! { <span class=piece.class()>{text.to_owned()}</span> })
        .collect_view();
    let run = is_sql.then(|| {
        let link = format!("/sql{}", url::query_string([("sql", query.as_str())]));
        view! { <a class="acc n" href=there(link)>"Run it in SQL"</a> }
    });
    view! {
        <section class="links-box">
            <div class="row"><h3 class="h">"Condition"</h3><span class="grow"></span><span class="faint n">{keeps}</span>{run}</div>
            <pre class="cd">{colours}</pre>
            {is_own.then(|| view! { <p class="faint n">"The collector's own health. It is no telemetry, so no rule of yours can ask for it, and this one cannot be copied."</p> })}
        </section>
    }
}

/// What spans of the alert's service have since it fires that they had not in the hour before.
#[component]
fn DiffersWhile(row: Memo<Option<Row>>) -> impl IntoView {
    let found = RwSignal::new(None::<Result<DiffersAnswer, Problem>>);
    // The same alert asks once, not at every round.
    let asked = Memo::new(move |_| {
        row.with(|row| {
            let alert = row.as_ref()?.alerts.iter().find(|alert| alert.state == "firing")?;
            Some((filter_of(&alert.labels), alert.fired_unix_nano.as_ref()?.parse::<i64>().ok()?))
        })
    });
    ask_newest(
        move || {
            let asked = asked.get();
            found.set(None);
            let (filter, fired) = asked?;
            Some(DiffersRequest {
                unit: Some("spans".to_owned()),
                q: Some(filter).filter(|filter| !filter.is_empty()),
                from: Some(clock::rfc3339(fired - BEFORE_NANOS)),
                to: Some("now".to_owned()),
                brush: api::Brush { from: Some(clock::rfc3339(fired)), ..api::Brush::default() },
                ..DiffersRequest::default()
            })
        },
        |request| async move { client::differs(&request).await },
        move |answer| found.set(Some(answer)),
    );
    move || {
        let (filter, fired) = asked.get()?;
        let answer = found.get()?;
        let link = format!(
            "/explore{}",
            url::query_string([
                ("unit", "spans"),
                ("q", filter.as_str()),
                ("from", clock::rfc3339(fired - BEFORE_NANOS).as_str()),
                ("to", clock::rfc3339(now_nanos()).as_str()),
                ("brush", format!("{fired},{},0,{}", now_nanos(), u64::MAX).as_str()),
            ])
        );
        let body = match answer {
            Err(problem) => view! { <p class="faint n">{problem.detail}</p> }.into_any(),
            Ok(answer) => {
                let all = answer.attributes.into_iter().filter(|attribute| attribute.gap >= 0.05).take(DIFFERENCES_MAX);
                let lines: Vec<_> = all
                    .filter_map(|attribute| attribute.values.into_iter().next().map(|value| (attribute.key, value)))
                    .collect();
                if lines.is_empty() {
                    view! { <p class="faint n">"Nothing that was sent differs from the hour before."</p> }.into_any()
                } else {
                    let percent = |share: f64| format!("{:.0} %", share * 100.0);
                    let width = |share: f64| format!("{:.1}%", (share * 100.0).max(0.8));
                    lines.into_iter().map(|(key, value)| {
                        let text = format!("{key} = {}", value.value.as_deref().unwrap_or("not there"));
                        view! {
                            <div class="dr">
                                <span class="mono ell" title=text.clone()>{text.clone()}</span>
                                <span class="b"><i style:width=width(value.selected_share)></i><i style:width=width(value.outside_share)></i></span>
                                <span class="num"><b class="acc">{percent(value.selected_share)}</b> <span class="faint">"was "{percent(value.outside_share)}</span></span>
                            </div>
                        }
                    }).collect_view().into_any()
                }
            }
        };
        Some(view! {
            <section>
                <div class="row"><h3 class="h">"What differs while it fires"</h3><span class="grow"></span><a class="acc n" href=link>"Explore"</a></div>
                {body}
            </section>
        })
    }
}

/// The rule's own transitions of the last day.
#[component]
fn Past(desk: Desk, row: Memo<Option<Row>>) -> impl IntoView {
    move || {
        let row = row.get()?;
        let body = desk.past.with(|past| match past {
            None => view! { <p class="faint n">"Asking …"</p> }.into_any(),
            Some(Err(problem)) => view! { <p class="bad n wraps" role="alert">{format!("The past is unknown: {}", problem.detail)}</p> }.into_any(),
            Some(Ok(past)) => {
                let own: Vec<_> = past.transitions.iter().filter(|one| is_of(&row, one)).cloned().collect();
                let since = match known_from(past) {
                    Some(at) => format!("since {}; older changes are not among the newest {} of all rules", clock::day_and_time(at), past.transitions.len()),
                    None => "in the last day".to_owned(),
                };
                if own.is_empty() {
                    view! { <p class="faint n">{format!("No change {since}.")}</p> }.into_any()
                } else {
                    view! { {transitions(&own, std::slice::from_ref(&row), false)} {past.incomplete.then(|| view! { <p class="faint n">{format!("All {since}.")}</p> })} }.into_any()
                }
            }
        });
        Some(
            view! { <section class="past" tabindex="0" role="region" aria-label="History of this rule"><h3 class="h">"History"</h3>{body}</section> },
        )
    }
}
