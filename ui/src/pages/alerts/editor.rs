//! A rule as text: what it would have done in the last days, keeping it, rules proposed from what was seen.

use api::{AlertRuleAnswer, PreviewAlert, PreviewAnswer, PreviewRequest, Problem, ProposedRule};
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::hooks::use_location;

use super::Desk;
use crate::app::{now_nanos, shared, there};
use crate::asking::Turns;
use crate::client;
use crate::components::icon::{Icon, icon};
use crate::components::states::{ErrorBox, LoadingBar, Skeleton};
use crate::view::alerts::draft::{BLANK, RANGE_MINUTES, draft, id_of};
use crate::view::alerts::examples;
use crate::view::{clock, format, url};

/// Ranges of a preview.
const RANGES: [(&str, &str); 3] = [("now-1h", "1 h"), ("now-1d", "24 h"), ("now-7d", "7 d")];
/// Alerts of a preview drawn one by one.
const LISTED_MAX: usize = 30;

/// The editor for a rule, or for a new one.
#[component]
pub(super) fn Editor(desk: Desk, rule: Option<AlertRuleAnswer>) -> impl IntoView {
    let shared = shared();
    let location = use_location();
    let from_query =
        url::pairs(&location.search.get_untracked()).into_iter().find(|(key, _)| key == "sql").map(|(_, sql)| sql);
    let is_new = rule.is_none();
    let kept_id = rule.as_ref().and_then(|rule| rule.id.clone());
    let first = match (&rule, from_query) {
        (Some(rule), _) => rule.text.clone().unwrap_or_default(),
        (None, Some(sql)) if sql.starts_with("alert:") => sql,
        (None, Some(sql)) => draft(&sql, &[], None, RANGE_MINUTES),
        (None, None) => BLANK.to_owned(),
    };
    let origin = rule.as_ref().filter(|rule| rule.file != "api").map(|rule| match rule.file.as_str() {
        "built-in" => "This rule is built in. What you keep here becomes a rule of its own beside it.".to_owned(),
        file => format!(
            "This rule stands in {file}: change it there. What you keep here becomes a rule of its own beside it."
        ),
    });
    let text = RwSignal::new(first);
    let id = RwSignal::new(kept_id.clone());
    // Until somebody writes a name, it follows the text.
    let name = move || id.get().or_else(|| text.with(|text| id_of(text))).unwrap_or_default();
    let range = RwSignal::new("now-7d");
    let answer = RwSignal::new(None::<Result<PreviewAnswer, Problem>>);
    let (loading, saving) = (RwSignal::new(false), RwSignal::new(None::<Problem>));
    let question = Turns::new();
    let preview = move || {
        let turn = question.next();
        loading.set(true);
        let request =
            PreviewRequest { rule: text.get_untracked(), from: Some(range.get_untracked().to_owned()), to: None };
        spawn_local(async move {
            let found = client::preview_rule(&request).await;
            if turn.is_newest() {
                loading.set(false);
                answer.set(Some(found));
            }
        });
    };
    let reload = move || desk.reload.update(|round| *round = round.wrapping_add(1));
    let keep = Callback::new(move |(id, rule): (String, String)| {
        spawn_local(async move {
            match client::keep_rule(&id, &rule).await {
                Ok(_) => {
                    saving.try_set(None);
                    shared.say("Kept; it is evaluated from now on");
                    reload();
                    let wanted = id_of(&rule);
                    desk.go.run((wanted, vec![("show", None), ("sql", None), ("match", None), ("state", None)]));
                }
                Err(problem) => {
                    saving.try_set(Some(problem));
                }
            }
        });
    });
    let delete = kept_id.map(|id| {
        let sure = RwSignal::new(false);
        let remove = move |_| {
            if !sure.get_untracked() {
                return sure.set(true);
            }
            let id = id.clone();
            spawn_local(async move {
                match client::delete_rule(&id).await {
                    Ok(()) => {
                        shared.say("Deleted");
                        reload();
                        desk.close();
                    }
                    Err(problem) => {
                        saving.try_set(Some(problem));
                    }
                }
            });
        };
        view! { <button class="btn s" class:bad=sure on:click=remove>{move || if sure.get() { "Really delete" } else { "Delete" }}</button> }
    });
    let keydown = move |event: web_sys::KeyboardEvent| {
        if event.key() == "Enter" && (event.ctrl_key() || event.meta_key()) {
            event.prevent_default();
            preview();
        }
    };
    let preset = move |value: &'static str, title: &'static str| {
        view! { <button aria-pressed=move || (range.get() == value).to_string() on:click=move |_| { range.set(value); preview(); }>{title}</button> }
    };
    let title = match &rule {
        None => "New rule".to_owned(),
        Some(rule) => format!("Edit {}", rule.name),
    };
    view! {
        <aside class="insp al-editor" aria-label="Rule editor">
            <LoadingBar active=loading/>
            <section>
                <div class="row"><h2 class="big grow ell">{title}</h2><button class="btn s quiet" aria-label="Close" title="Close (Esc)" on:click=move |_| desk.close()>{icon(Icon::Close, false)}</button></div>
                {origin.map(|origin| view! { <p class="faint n">{origin}</p> })}
            </section>
            <div class="scroll" tabindex="0">
                <section>
                    <label class="sr" for="rule-text">"The rule, as YAML"</label>
                    <textarea id="rule-text" class="mono rule-text" spellcheck="false" rows="20" wrap="off" prop:value=text on:keydown=keydown
                        on:input=move |event| text.set(event_target_value(&event))></textarea>
                    <p class="faint n">"Each row of the query is an alert: "<span class="mono">"value"</span>" its number, "<span class="mono">"trace_id"</span>" an example, every other column a label. "<span class="mono">"$from"</span>" and "<span class="mono">"$to"</span>" bound the time."</p>
                    <div class="row al-keep">
                        <button class="btn s" on:click=move |_| preview()>"Preview"</button><kbd>"Ctrl Enter"</kbd>
                        <div class="seg" role="group" aria-label="Range of the preview">{RANGES.map(|(value, title)| preset(value, title)).into_iter().collect_view()}</div>
                        <span class="grow"></span>
                        {delete}
                        <label class="faint n" for="rule-id">"keep as"</label>
                        <input id="rule-id" class="mono" type="text" spellcheck="false" prop:value=name readonly=!is_new && id.with_untracked(Option::is_some) on:input=move |event| id.set(Some(event_target_value(&event)))/>
                        <button class="btn s primary" disabled=move || name().is_empty() on:click=move |_| keep.run((name(), text.get_untracked()))>"Keep"</button>
                    </div>
                    {move || saving.get().map(|problem| view! { <p class="bad n wraps" role="alert">{problem.title}": "{problem.detail}</p> })}
                </section>
                <div role="status" aria-live="polite" class:old=loading>
                    {move || answer.get().map(|answer| match answer {
                        Err(problem) => view! { <ErrorBox problem retry=Callback::new(move |()| preview())/> }.into_any(),
                        Ok(answer) => would_have(&answer, range.get_untracked()).into_any(),
                    })}
                </div>
                {is_new.then(|| view! { <Proposed text keep/> })}
            </div>
        </aside>
    }
}

/// What it would have done.
fn would_have(answer: &PreviewAnswer, range: &str) -> impl IntoView + use<> {
    let now = now_nanos();
    let lasted = |alert: &PreviewAlert| {
        let end = alert.resolved_unix_nano.as_ref().and_then(|at| at.parse::<i64>().ok()).unwrap_or(now);
        (end - alert.fired_unix_nano.parse::<i64>().unwrap_or(end)).max(0) as u64
    };
    let whole: u64 = answer.alerts.iter().map(lasted).sum();
    let title = RANGES.into_iter().find(|(value, _)| *value == range).map_or(range, |(_, title)| title);
    let verdict = match answer.fired {
        0 => format!("Would not have fired in the last {title}"),
        fired => format!("Would have fired {} in the last {title}, {}", times(fired), format::duration(whole)),
    };
    let step = format::duration((answer.step_seconds * 1e9) as u64);
    let looks = format!("{}, one every {step}", format::counted(answer.evaluations, "evaluation"));
    let reason = answer.incomplete_reason.clone();
    let from = clock::parse(range, now).unwrap_or(now);
    let place = move |at: i64| ((at - from) as f64 / (now - from).max(1) as f64 * 100.0).clamp(0.0, 100.0);
    let bars = answer.alerts.iter().take(300).map(|alert| {
        let begin: i64 = alert.fired_unix_nano.parse().unwrap_or(now);
        let left = place(begin);
        let width = (place(begin.saturating_add_unsigned(lasted(alert))) - left).max(0.3);
        view! { <i style:left=format!("{left:.2}%") style:width=format!("{width:.2}%")></i> }
    });
    let one = |alert: &PreviewAlert| {
        let begin: i64 = alert.fired_unix_nano.parse().unwrap_or(0);
        let labels = alert
            .labels
            .iter()
            .filter(|(name, _)| *name != "alertname")
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join(" ");
        let day = clock::day_and_time(begin);
        let link = examples(&alert.annotations)
            .into_iter()
            .next()
            .map(|id| view! { <a class="acc" href=there(format!("/j/{id}"))>"journey"</a> });
        view! {
            <span class="mono faint">{day.get(..day.len().saturating_sub(4)).unwrap_or(&day).to_owned()}</span>
            <span><i class="st firing"></i></span>
            <span class="dim ell" title=labels.clone()>{format!("{} for {} {labels}", format::number(alert.value), format::duration(lasted(alert)))}</span>
            <span>{link}</span>
        }
    };
    let list = answer.alerts.iter().take(LISTED_MAX).map(one).collect_view();
    view! {
        <section class="verdict-box">
            <p><b>{verdict}</b> <span class="faint n">{looks}</span></p>
            {reason.map(|reason| view! { <p class="hot n">{reason}</p> })}
            <div class="fired" aria-hidden="true">{bars.collect_view()}</div>
            <div class="hs">{list}</div>
        </section>
    }
}

fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        count => format!("{} times", format::count(count)),
    }
}

/// Rules that the server proposes: one click keeps one.
#[component]
fn Proposed(text: RwSignal<String>, keep: Callback<(String, String)>) -> impl IntoView {
    let found = RwSignal::new(None::<Result<Vec<ProposedRule>, Problem>>);
    let load = move || {
        spawn_local(async move {
            let answer = client::proposed_rules().await.map(|answer| answer.rules);
            found.try_set(Some(answer));
        });
    };
    load();
    let one = move |rule: ProposedRule| {
        let (written, kept, id) = (rule.rule.clone(), rule.rule, rule.id);
        view! {
            <li>
                <div class="row"><b class="med">{rule.title}</b><span class="grow"></span>
                    <button class="btn s quiet" on:click=move |_| text.set(written.clone())>"Show"</button>
                    <button class="btn s" on:click=move |_| keep.run((id.clone(), kept.clone()))>"Accept"</button></div>
                <p class="faint n">{rule.why}</p>
            </li>
        }
    };
    view! {
        <section>
            <h3 class="h">"Proposed from the data of the last day"</h3>
            {move || match found.get() {
                None => view! { <Skeleton rows=4/> }.into_any(),
                Some(Err(problem)) => view! { <ErrorBox problem retry=Callback::new(move |()| load())/> }.into_any(),
                Some(Ok(rules)) if rules.is_empty() => view! { <p class="faint n">"Nothing to propose: there is too little data yet, or everything proposed is kept."</p> }.into_any(),
                Some(Ok(rules)) => view! { <ul class="proposed">{rules.into_iter().map(one).collect_view()}</ul> }.into_any(),
            }}
        </section>
    }
}
