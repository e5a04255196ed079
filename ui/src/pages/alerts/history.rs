//! Past transitions of the time range, and who is told.

use api::{AlertHistoryAnswer, AlertTransition, Problem};
use leptos::prelude::*;
use leptos_router::hooks::use_location;

use super::Desk;
use crate::app::there;
use crate::asking::ask_newest;
use crate::client;
use crate::components::icon::{Icon, icon};
use crate::components::states::{ErrorBox, LoadingBar, Skeleton};
use crate::view::alerts::{Row, State, examples, is_of, own_labels};
use crate::view::url::RangeText;
use crate::view::{clock, format};

/// Transitions drawn at most.
const DRAWN_MAX: usize = 300;

/// All transitions of the range of the page.
#[component]
pub(super) fn History(desk: Desk) -> impl IntoView {
    let search = use_location().search;
    let found = RwSignal::new(None::<Result<AlertHistoryAnswer, Problem>>);
    let range = Memo::new(move |_| RangeText::read(&search.get()));
    let asking = ask_newest(
        move || Some(range.get()),
        |range| async move { client::alert_history(&range.from, &range.to, None).await },
        move |answer| found.set(Some(answer)),
    );
    let targets = move || {
        desk.known.with(|known| {
            let Some(Ok(known)) = known else { return None };
            if known.alerts.targets.is_empty() {
                return Some(view! { <p class="faint n">"Nobody is told: query.alert_managers and query.alert_webhooks name no target."</p> }.into_any());
            }
            let one = |target: &api::AlertTarget| {
                let fares = match &target.last_error {
                    Some(why) => format!("{} waiting for {}: {why}", target.waiting, format::duration((target.waiting_seconds * 1e9) as u64)),
                    None => format!("{} delivered, {} waiting", format::count(target.delivered), target.waiting),
                };
                let is_bad = target.last_error.is_some();
                view! { <dt class="ell" title=target.url.clone()>{target.url.clone()}</dt><dd class:bad=is_bad title=fares.clone()>{fares.clone()}</dd> }
            };
            Some(view! { <dl class="kv">{known.alerts.targets.iter().map(one).collect_view()}</dl> }.into_any())
        })
    };
    view! {
        <aside class="insp" aria-label="History of alerts">
            <LoadingBar active=asking.loading/>
            <section>
                <div class="row"><h2 class="big grow">"History"</h2><button class="btn s quiet" aria-label="Close" title="Close (Esc)" on:click=move |_| desk.close()>{icon(Icon::Close, false)}</button></div>
                <p class="faint n">"In the time range above. The table "<span class="mono">"alerts"</span>" in SQL holds all of it."</p>
            </section>
            <section><h3 class="h">"Who is told"</h3>{targets}</section>
            <div class="scroll" tabindex="0" class:old=asking.loading>
                {move || match found.get() {
                    None => view! { <Skeleton rows=8/> }.into_any(),
                    Some(Err(problem)) => {
                        let retry = asking.retry();
                        view! { <ErrorBox problem retry/> }.into_any()
                    }
                    Some(Ok(answer)) if answer.transitions.is_empty() => view! { <p class="hint faint">"No alert changed its state in this time."</p> }.into_any(),
                    Some(Ok(answer)) => {
                        let more = answer.incomplete || answer.transitions.len() > DRAWN_MAX;
                        let rows = desk.rows.get_untracked();
                        view! {
                            <div class="hs-box">{transitions(&answer.transitions, &rows, true)}</div>
                            {more.then(|| view! { <p class="hint faint">"There are more: choose a shorter range, or ask the table in SQL."</p> })}
                        }.into_any()
                    }
                }}
            </div>
        </aside>
    }
}

/// Transitions, newest first: when, what, with the journey that shows it.
pub(super) fn transitions(all: &[AlertTransition], rows: &[Row], is_named: bool) -> impl IntoView + use<> {
    let one = |(at, transition): (usize, &AlertTransition)| {
        let state = match transition.state.as_str() {
            "firing" if transition.silenced => State::Muted,
            "firing" => State::Firing,
            "pending" => State::Pending,
            _ => State::Ok,
        };
        let time: i64 = transition.time_unix_nano.parse().unwrap_or(0);
        let rule = rows.iter().find(|row| is_of(row, transition));
        let own = rule.map(|row| own_labels(&transition.labels, &row.rule)).unwrap_or_default();
        let own = own.into_iter().map(|(_, value)| value).collect::<Vec<_>>().join(" ");
        let name = transition.labels.get("alertname").cloned().unwrap_or_default();
        // How long it had been like before: the transition before of the same alert.
        let before = all[at + 1..].iter().find(|other| other.labels == transition.labels);
        let lasted = before
            .map(|before| time - before.time_unix_nano.parse::<i64>().unwrap_or(time))
            .filter(|lasted| *lasted > 0);
        let what = match (state, transition.reason.as_str()) {
            (State::Ok, "removed") => "Over, the rule is gone".to_owned(),
            (State::Ok, _) => match lasted {
                Some(lasted) => format!("Over after {} of {}", format::duration(lasted as u64), transition.before),
                None => format!("Over, was {}", transition.before),
            },
            (State::Muted, _) => format!("Firing, muted, value {}", format::number(transition.value)),
            (state, "again") => format!("Still {}, value {}", state.name(), format::number(transition.value)),
            (state, _) => format!("{}, value {}", state.word(), format::number(transition.value)),
        };
        let text = if is_named && own.is_empty() {
            format!("{name}: {what}")
        } else if is_named {
            format!("{name} {own}: {what}")
        } else if own.is_empty() {
            what
        } else {
            format!("{what} · {own}")
        };
        let journey = examples(&transition.annotations).into_iter().next();
        let day = clock::day_and_time(time);
        let short = day.get(..day.len().saturating_sub(4)).unwrap_or(&day).to_owned();
        view! {
            <span class="mono faint">{short}</span>
            <span><i class=format!("st {}", state.name())></i></span>
            <span class="dim ell" title=text.clone()>{text.clone()}</span>
            <span>{journey.map(|id| view! { <a class="acc" href=there(format!("/j/{id}")) aria-label=format!("Journey {id}")>"journey"</a> })}</span>
        }
    };
    let drawn = all.iter().take(DRAWN_MAX).enumerate().map(one).collect_view();
    view! { <div class="hs">{drawn}</div> }
}
