//! Silences: make one by matchers with an end, see them, end them.

use api::{Problem, SilenceAnswer, SilenceMatcher, SilenceRequest};
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::hooks::use_location;

use super::Desk;
use crate::app::{Shared, now_nanos, remember, remembered, shared};
use crate::client;
use crate::components::icon::{Icon, icon};
use crate::components::states::{ErrorBox, LoadingBar, Skeleton};
use crate::view::alerts::matchers::{matchers_text, read_matchers};
use crate::view::{clock, format, url};

/// Who makes silences in this browser.
const NAME_KEY: &str = "hodoscope.name";
/// How long, as the server reads it and as the page says it.
const ENDS: [(&str, &str); 5] =
    [("now+1h", "1 h"), ("now+4h", "4 h"), ("now+12h", "12 h"), ("now+1d", "1 d"), ("now+1w", "1 w")];

/// Makes a silence without asking further; says what became of it.
pub(super) fn mute(desk: Desk, shared: Shared, matchers: Vec<SilenceMatcher>, ends: &'static str) {
    let request = SilenceRequest {
        matchers,
        ends_at: Some(ends.to_owned()),
        created_by: remembered(NAME_KEY).unwrap_or_default(),
        comment: "muted from the page".to_owned(),
        ..SilenceRequest::default()
    };
    spawn_local(async move {
        match client::silence(&request).await {
            Ok(made) => shared.say(format!("Muted until {}", short(&made.ends_at))),
            Err(problem) => shared.say(problem.detail),
        }
        desk.reload.try_update(|round| *round = round.wrapping_add(1));
    });
}

/// The moment as a person reads it: hours today, the day too otherwise.
fn short(moment: &str) -> String {
    let now = now_nanos();
    match clock::parse(moment, now) {
        Some(at) if (at - now).abs() < 86_400_000_000_000 => {
            clock::time_of_day(at).get(..5).unwrap_or_default().to_owned()
        }
        Some(at) => clock::day_and_time(at).rsplit_once(':').map(|(minutes, _)| minutes.to_owned()).unwrap_or_default(),
        None => moment.to_owned(),
    }
}

/// The form above, the list below.
#[component]
pub(super) fn Silences(desk: Desk) -> impl IntoView {
    let shared = shared();
    let search = use_location().search;
    let wanted = Memo::new(move |_| {
        url::pairs(&search.get()).into_iter().find(|(key, _)| key == "match").map(|(_, value)| value)
    });
    let text = RwSignal::new(String::new());
    Effect::new(move |_| {
        if let Some(wanted) = wanted.get() {
            text.set(wanted);
        }
    });
    let (ends, comment) = (RwSignal::new("now+1h".to_owned()), RwSignal::new(String::new()));
    let name = RwSignal::new(remembered(NAME_KEY).unwrap_or_default());
    let found = RwSignal::new(None::<Result<Vec<SilenceAnswer>, Problem>>);
    let (loading, failed) = (RwSignal::new(true), RwSignal::new(None::<String>));
    let load = move || {
        loading.set(true);
        spawn_local(async move {
            let answer = client::silences().await.map(|answer| answer.silences);
            loading.try_set(false);
            found.try_set(Some(answer));
        });
    };
    load();
    let after = move || {
        load();
        desk.reload.update(|round| *round = round.wrapping_add(1));
    };
    let read = Memo::new(move |_| read_matchers(&text.get()));
    let wrong = move || if text.with(|text| text.trim().is_empty()) { None } else { read.get().err() };
    // Patterns are the server's to judge; without them the page can say what would be held back now.
    let holds = move || {
        let matchers = read.get().ok()?;
        if matchers.iter().any(|matcher| matcher.is_regex) {
            return None;
        }
        desk.rows.with(|rows| {
            let alerts = rows.iter().flat_map(|row| &row.alerts);
            let fits = |matcher: &SilenceMatcher, value: Option<&String>| {
                (value.map_or("", String::as_str) == matcher.value) == matcher.is_equal
            };
            let count = alerts
                .filter(|alert| matchers.iter().all(|matcher| fits(matcher, alert.labels.get(&matcher.name))))
                .count();
            Some(format!("holds back {} of those that stand now", format::counted(count as u64, "alert")))
        })
    };
    let submit = move |event: web_sys::SubmitEvent| {
        event.prevent_default();
        let matchers = match read.get_untracked() {
            Ok(matchers) => matchers,
            Err(why) => return failed.set(Some(why)),
        };
        remember(NAME_KEY, &name.get_untracked());
        let request = SilenceRequest {
            matchers,
            starts_at: None,
            ends_at: Some(ends.get_untracked()),
            created_by: name.get_untracked(),
            comment: comment.get_untracked(),
        };
        spawn_local(async move {
            match client::silence(&request).await {
                Ok(made) => {
                    failed.try_set(None);
                    text.try_set(String::new());
                    desk.go.run((None, vec![("match", None)]));
                    shared.say(format!("Silent until {}", short(&made.ends_at)));
                    after();
                }
                Err(problem) => {
                    failed.try_set(Some(problem.detail));
                }
            }
        });
    };
    let end = Callback::new(move |id: String| {
        spawn_local(async move {
            match client::end_silence(&id).await {
                Ok(_) => after(),
                Err(problem) => shared.say(problem.detail),
            }
        });
    });
    let preset = move |value: &'static str, title: &'static str| {
        view! { <button type="button" aria-pressed=move || (ends.get() == value).to_string() on:click=move |_| ends.set(value.to_owned())>{title}</button> }
    };
    view! {
        <aside class="insp" aria-label="Silences">
            <LoadingBar active=loading/>
            <section>
                <div class="row"><h2 class="big grow">"Silences"</h2><button class="btn s quiet" aria-label="Close" title="Close (Esc)" on:click=move |_| desk.close()>{icon(Icon::Close, false)}</button></div>
                <form class="al-form" on:submit=submit>
                    <label><span>"Alerts with"</span><input id="matchers" class="mono" type="text" spellcheck="false" autocomplete="off" placeholder="alertname=\"Errors\" service=~\"shop.*\"" prop:value=text on:input=move |event| text.set(event_target_value(&event))/></label>
                    <p class="n" class:bad=move || wrong().is_some() class:faint=move || wrong().is_none()>{move || wrong().or_else(holds).unwrap_or_else(|| "all must hold; =, !=, =~ and !~ as in Alertmanager".to_owned())}</p>
                    <div class="row"><span class="faint n">"for"</span><div class="seg" role="group" aria-label="How long">{ENDS.map(|(value, title)| preset(value, title)).into_iter().collect_view()}</div>
                        <label class="sr" for="silence-ends">"Until"</label>
                        <input id="silence-ends" class="mono until" type="text" spellcheck="false" title="now+2h or 2026-11-20T18:00:00Z" prop:value=ends on:input=move |event| ends.set(event_target_value(&event))/></div>
                    <label><span>"Why"</span><input type="text" prop:value=comment on:input=move |event| comment.set(event_target_value(&event))/></label>
                    <label><span>"Who"</span><input type="text" autocomplete="name" prop:value=name on:input=move |event| name.set(event_target_value(&event))/></label>
                    {move || failed.get().map(|why| view! { <p class="bad n wraps" role="alert">{why}</p> })}
                    <div class="row"><button class="btn s primary" type="submit" disabled=move || read.get().is_err()>"Silence"</button></div>
                </form>
            </section>
            <div class="scroll" tabindex="0" class:old=loading>
                {move || match found.get() {
                    None => view! { <Skeleton rows=4/> }.into_any(),
                    Some(Err(problem)) => view! { <ErrorBox problem retry=Callback::new(move |()| load())/> }.into_any(),
                    Some(Ok(all)) if all.is_empty() => view! { <p class="hint faint">"Nothing is silenced."</p> }.into_any(),
                    Some(Ok(all)) => view! { <ul class="silences">{all.into_iter().map(|silence| one(silence, end)).collect_view()}</ul> }.into_any(),
                }}
            </div>
        </aside>
    }
}

fn one(silence: SilenceAnswer, end: Callback<String>) -> impl IntoView {
    let is_over = silence.state == "expired";
    let who = if silence.created_by.is_empty() { "somebody".to_owned() } else { silence.created_by.clone() };
    let text = matchers_text(&silence.matchers);
    let when = match silence.state.as_str() {
        "expired" => format!("ended {}", short(&silence.ends_at)),
        "pending" => format!("from {} to {}", short(&silence.starts_at), short(&silence.ends_at)),
        _ => format!("until {}", short(&silence.ends_at)),
    };
    let id = silence.id.clone();
    view! {
        <li class:over=is_over>
            <div class="row">
                <span class="s dim"><i class=if is_over { "st ok" } else { "st muted" }></i>{silence.state.clone()}</span>
                <span class="faint n">{when}</span>
                <span class="grow"></span>
                {(!is_over).then(|| view! { <button class="btn s" on:click=move |_| end.run(id.clone())>"End now"</button> })}
            </div>
            <p class="mono wraps">{text}</p>
            <p class="faint n wraps">{if silence.comment.is_empty() { format!("by {who}") } else { format!("{} · by {who}", silence.comment) }}</p>
        </li>
    }
}
