//! The Logs & events tab: everything that was said during the journey, by time.
//!
//! Events come with the journey's answer; log records are asked for with SQL, as anyone could.

use std::collections::HashMap;
use std::sync::Arc;

use api::{Problem, SqlRequest};
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde_json::Value as Json;

use super::{Tour, node_class};
use crate::app::shared;
use crate::client;
use crate::components::keys::{is_control, on_key};
use crate::components::states::ErrorBox;
use crate::components::virtual_table::VirtualTable;
use crate::view::{clock, format};

/// Log records asked for at most.
const LOGS_MAX: usize = 2_000;
/// Traces whose logs are asked for at most: an automatic journey has no more.
const TRACES_MAX: usize = 16;
/// Logs may carry another clock than spans: so long before and after the journey they are looked for.
const MARGIN_NANOS: i64 = 600_000_000_000;

/// Something said at a moment.
#[derive(Clone, Debug, PartialEq)]
struct Moment {
    /// Nanoseconds after the start of the journey, as drawn.
    at: f64,
    /// `event`, or the level of a log record.
    level: String,
    text: String,
    span: Option<usize>,
    service: String,
}

/// The list.
#[component]
pub(crate) fn MomentsTab(
    /// The journey.
    tour: Tour,
    /// Opens a span in the waterfall.
    open_span: Callback<usize>,
) -> impl IntoView {
    let shared = shared();
    let logs = RwSignal::new(None::<Result<Vec<Vec<Json>>, Problem>>);
    let reload = RwSignal::new(0u32);
    Effect::new(move |_| {
        reload.track();
        let request = logs_of(tour);
        spawn_local(async move {
            let answer = client::sql(&request).await.map(|answer| answer.rows);
            logs.try_set(Some(answer));
        });
    });
    let only_hop = RwSignal::new(false);
    let all = Memo::new(move |_| {
        let scene = tour.scene.get();
        let mut all = events(tour, &scene);
        if let Some(Ok(rows)) = &*logs.read() {
            all.extend(rows.iter().filter_map(|row| record(&scene, row)));
        }
        all.sort_by(|a, b| a.at.total_cmp(&b.at));
        Arc::new(all)
    });
    let rows = Memo::new(move |_| {
        let needle = tour.find.get().trim().to_lowercase();
        let scene = tour.scene.get();
        let spans =
            tour.hop.get().filter(|_| only_hop.get()).and_then(|at| scene.hops.get(at)).map(|hop| hop.spans.clone());
        let fits = |moment: &&Moment| {
            spans.as_ref().is_none_or(|spans| moment.span.is_some_and(|span| spans.contains(&span)))
                && (needle.is_empty()
                    || moment.text.to_lowercase().contains(&needle)
                    || moment.service.to_lowercase().contains(&needle))
        };
        all.with(|all| Arc::new(all.iter().filter(fits).cloned().collect::<Vec<_>>()))
    });
    let selected = RwSignal::new(None::<usize>);
    let choose = move |at: Option<usize>| {
        selected.set(at);
        tour.moment.set(at.and_then(|at| rows.with_untracked(|rows| rows.get(at).map(|moment| moment.at))));
    };
    let open = move |at: usize| {
        if let Some(span) = rows.with_untracked(|rows| rows.get(at).and_then(|moment| moment.span)) {
            open_span.run(span);
        }
    };
    on_cleanup(move || {
        tour.moment.try_set(None);
    });
    on_key(move |event, key| {
        let count = rows.with_untracked(|rows| rows.len());
        match (key, selected.get_untracked()) {
            ("j" | "ArrowDown", at) if count > 0 => choose(Some(at.map_or(0, |at| (at + 1).min(count - 1)))),
            ("k" | "ArrowUp", at) if count > 0 => choose(Some(at.map_or(0, |at| at.saturating_sub(1)))),
            ("Enter", Some(at)) if !is_control(event) => open(at),
            _ => return false,
        }
        true
    });
    let row = Callback::new(move |at: usize| {
        let Some(moment) = rows.with(|rows| rows.get(at).cloned()) else { return ().into_any() };
        let scene = tour.scene.get_untracked();
        let class = match moment.span {
            Some(span) => node_class(shared, &scene.facts, scene.facts.spans[span].node),
            None => shared.color_class(&moment.service),
        };
        let bad = matches!(moment.level.as_str(), "error" | "fatal") || moment.text.starts_with("exception");
        let name = moment.span.map(|span| scene.facts.spans[span].name.clone()).unwrap_or_default();
        let time = clock::time_of_day(scene.facts.start_unix_nano.saturating_add(moment.at as i64));
        let is_known = moment.span.is_some();
        view! {
            <tr
                id=format!("moment-{at}")
                aria-selected=move || (selected.get() == Some(at)).to_string()
                aria-rowindex=(at + 2).to_string()
                on:click=move |_| choose(Some(at))
                on:mouseenter=move |_| tour.moment.set(Some(moment.at))
            >
                <td class="mono dim" title=time>{format::signed_duration(moment.at as i64)}</td>
                <td class:bad=bad class:faint=!bad>{moment.level.clone()}</td>
                <td><span class=format!("svc {class}")>{moment.service.clone()}</span></td>
                <td class="said" class:bad=bad title=moment.text.clone()>{moment.text.clone()}</td>
                <td class="what">{is_known.then(|| view! { <button class="name dim" title="Open the span in the waterfall" on:click=move |event| { event.stop_propagation(); open(at); }>{name.clone()}</button> })}</td>
            </tr>
        }
        .into_any()
    });
    let note = move || {
        match &*logs.read() {
        None => view! { <span class="faint n">"asking for log records …"</span> }.into_any(),
        Some(Ok(rows)) if rows.len() >= LOGS_MAX => {
            view! { <span class="hot n">{format!("the first {} log records; more are in SQL", format::count(LOGS_MAX as u64))}</span> }.into_any()
        }
        Some(Ok(rows)) if rows.is_empty() => {
            view! { <span class="faint n" title="A log record belongs to a span when it carries its trace id: OpenTelemetry's log bridges add it, or put trace_id and span_id on the record.">"no log record carries the ids of these traces"</span> }.into_any()
        }
        Some(Ok(rows)) => view! { <span class="faint n">{format::counted(rows.len() as u64, "log record")}</span> }.into_any(),
        Some(Err(problem)) => {
            let retry = Callback::new(move |()| reload.update(|count| *count += 1));
            view! { <ErrorBox problem=problem.clone() retry/> }.into_any()
        }
    }
    };
    let hop_name = move || tour.hop.get().map(|at| format!("Only hop {}", at + 1));
    view! {
        <div class="tb">
            <span class="faint n">{move || format::counted(rows.with(|rows| rows.len()) as u64, "entry").replace("entrys", "entries")}</span>
            {note}
            <span class="grow"></span>
            {move || hop_name().map(|name| view! {
                <button class="btn s" class:on=move || only_hop.get() aria-pressed=move || only_hop.get().to_string() on:click=move |_| only_hop.update(|on| *on = !*on)>{name}</button>
            })}
        </div>
        <div class="col" on:mouseleave=move |_| choose(selected.get_untracked())>
            <VirtualTable id="moments" caption="Logs and events of the journey" columns=5 count=Signal::derive(move || rows.with(|rows| rows.len())) selected row>
                <tr><th class="when">"At"</th><th class="level">"Level"</th><th>"Service"</th><th>"What"</th><th>"Span"</th></tr>
            </VirtualTable>
            {move || (rows.with(|rows| rows.is_empty()) && logs.read().is_some()).then(|| view! {
                <p class="hint faint">"Nothing was said here. Span events (exceptions, for example) and log records that carry a trace id stand in this list."</p>
            })}
        </div>
        <div class="status">
            <span><kbd>"J"</kbd><kbd>"K"</kbd> "entry"</span>
            <span><kbd>"Enter"</kbd> "open its span"</span>
            <span class="grow"></span>
            <span>"The moment under the pointer is marked in the true-scale picture above"</span>
        </div>
    }
}

/// Asks for the log records of all traces of the journey.
fn logs_of(tour: Tour) -> SqlRequest {
    let scene = tour.scene.get_untracked();
    let facts = &scene.facts;
    let ids: Vec<String> =
        facts.members.iter().take(TRACES_MAX).map(|member| format!("trace_id = '{}'", member.trace_id)).collect();
    let end = facts.start_unix_nano.saturating_add(facts.length as i64);
    SqlRequest {
        sql: format!(
            "SELECT arrow_cast(time, 'Int64') AS at, severity_number, severity_text, body, body_json, service_name, \
             span_id FROM logs WHERE ({}) AND time >= $from AND time < $to ORDER BY time",
            ids.join(" OR ")
        ),
        from: Some(Json::String(clock::rfc3339(facts.start_unix_nano.saturating_sub(MARGIN_NANOS)))),
        to: Some(Json::String(clock::rfc3339(end.saturating_add(MARGIN_NANOS)))),
        limit: Some(LOGS_MAX),
        ..SqlRequest::default()
    }
}

fn events(tour: Tour, scene: &super::Scene) -> Vec<Moment> {
    let answer = tour.answer();
    let facts = &scene.facts;
    let mut all = Vec::new();
    // Facts keep the order of the answer.
    for (at, span) in answer.spans.iter().enumerate().take(facts.spans.len()) {
        let began: i64 = span.start_unix_nano.parse().unwrap_or_default();
        for event in &span.events {
            let moment: i64 = event.time_unix_nano.parse().unwrap_or_default();
            all.push(Moment {
                at: facts.spans[at].start + moment.saturating_sub(began) as f64,
                level: "event".to_owned(),
                text: event.name.clone(),
                span: Some(at),
                service: facts.label(facts.spans[at].node).to_owned(),
            });
        }
        if span.more > 0 {
            all.push(Moment {
                at: facts.spans[at].end,
                level: "event".to_owned(),
                text: format!("{} more of this span: its details hold them", format::count(span.more)),
                span: Some(at),
                service: facts.label(facts.spans[at].node).to_owned(),
            });
        }
    }
    all
}

fn record(scene: &super::Scene, row: &[Json]) -> Option<Moment> {
    let text = |at: usize| row.get(at).and_then(Json::as_str).unwrap_or_default();
    let facts = &scene.facts;
    let moment: i64 = text(0).parse().ok()?;
    let number = row.get(1).and_then(Json::as_i64).unwrap_or_default();
    let level = match number {
        1..=4 => "trace",
        5..=8 => "debug",
        9..=12 => "info",
        13..=16 => "warn",
        17..=20 => "error",
        21..=24 => "fatal",
        _ if text(2).is_empty() => "log",
        _ => text(2),
    };
    let span = model::SpanId::from_hex(text(6)).and_then(|id| scene.span_of(id));
    Some(Moment {
        at: moment.saturating_sub(facts.start_unix_nano) as f64,
        level: level.chars().take(12).collect(),
        text: if text(3).is_empty() { text(4).to_owned() } else { text(3).to_owned() },
        span,
        service: text(5).to_owned(),
    })
}

/// Spans by id.
pub(super) fn by_id(facts: &crate::view::journey::facts::Facts) -> HashMap<model::SpanId, usize> {
    facts.spans.iter().enumerate().map(|(at, span)| (span.id, at)).collect()
}
