//! Where the time went, the selected hop, what the server found, how the traces join.

use std::sync::Arc;

use api::{AttributeText, SpanDetail, SqlRequest};
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::hooks::use_location;
use model::TraceId;

use super::{Scene, Tour, node_class};
use crate::app::{Shared, shared};
use crate::client;
use crate::components::icon::{Icon, icon};
use crate::components::states::behind;
use crate::view::attributes;
use crate::view::behind as sql;
use crate::view::format;
use crate::view::journey::cut::{cuts, with_cut};
use crate::view::journey::facts::FindingFact;
use crate::view::journey::hops::Hop;
use crate::view::journey::looked_at::looked_at;
use crate::view::journey::not_sent::not_sent;
use crate::view::journey::spread::Spread;
use crate::view::url;

/// Groups of attributes that tell something about a hop.
const TOLD: [&str; 6] = ["messaging", "rpc", "http", "server", "url", "error"];
/// Lines of such attributes.
const LINES_MAX: usize = 8;
/// Buckets of a histogram asked for.
const SPREAD_ROWS: usize = 300;
/// Milliseconds a selection rests before its histogram is asked for.
const SPREAD_PAUSE_MS: u32 = 250;
/// Findings shown at once.
const FINDINGS_MAX: usize = 6;

/// The side panel of the Journey tab.
#[component]
pub(crate) fn JourneyInspector(
    /// The journey.
    tour: Tour,
    /// Opens a span in the waterfall.
    open_span: Callback<usize>,
) -> impl IntoView {
    let shared = shared();
    view! {
        <aside class="insp" aria-label="Journey details">
            <div class="scroll" tabindex="0">
                {move || went(&tour.scene.get(), tour.answer().id.to_string())}
                {move || {
                    let scene = tour.scene.get();
                    let hop = tour.hop.get().filter(|at| *at < scene.hops.len());
                    hop.map(|at| selected(tour, shared, scene, at, open_span))
                }}
                {move || findings(tour, &tour.scene.get(), tour.hop.get())}
                {gaps(tour)}
                {move || joins(tour, &tour.scene.get())}
            </div>
        </aside>
    }
}

/// The breakdown: a bar of parts and their list.
fn went(scene: &Arc<Scene>, journey: String) -> impl IntoView + use<> {
    let total = scene.facts.settled_nanos;
    let parts = scene.breakdown.clone();
    let most = parts.iter().map(|(_, nanos)| *nanos).fold(0.0, f64::max);
    let bar = parts.iter().map(|(kind, nanos)| {
        view! { <i class=kind.class() style:flex-grow=format!("{:.4}", nanos / total.max(1.0) * 100.0)></i> }
    });
    let lines = parts.iter().map(|(kind, nanos)| {
        let is_most = *nanos == most;
        view! {
            <span><i class=format!("k {}", kind.class())></i></span>
            <span class:semi=is_most>{kind.name()}</span>
            <span class="num" class:semi=is_most class:hot=is_most && kind.class() == "hatch hot">{format::duration(*nanos as u64)}</span>
            <span class="num faint">{format::percent((*nanos / 1e3) as u64, (total / 1e3) as u64)}</span>
        }
    });
    view! {
        <section>
            <div class="row top"><h2 class="h">"Where " {format::duration(total as u64)} " went"</h2><span class="grow"></span><span class="faint n">"on the critical path"</span> {behind(&sql::critical_path(&journey))}</div>
            <div class="stack" aria-hidden="true">{bar.collect_view()}</div>
            <div class="bd">{lines.collect_view()}</div>
        </section>
    }
}

fn selected(tour: Tour, shared: Shared, scene: Arc<Scene>, at: usize, open_span: Callback<usize>) -> impl IntoView {
    let facts = &scene.facts;
    let row = &scene.hops[at];
    let name = |node: usize| {
        view! { <span class=format!("svc {}", node_class(shared, facts, node))>{facts.label(node).to_owned()}</span> }
    };
    let shows = row.spans[0];
    let message = row.messages.first().map(|message| &facts.hops[*message]);
    let is_slow = row.factor().is_some_and(|factor| factor >= 3.0);
    let took = match (row.is_async(), row.tries > 1) {
        (true, _) if row.group.is_empty() => "in the queue",
        (true, _) => "waiting for its group",
        (false, true) => "with all attempts",
        (false, false) => "the whole call",
    };
    let usual = match (row.usual, tour.has_usual()) {
        (Some(usual), _) => format!("usually {}", format::duration(usual as u64)),
        (None, true) => "seen too rarely for a usual".to_owned(),
        (None, false) => String::new(),
    };
    let mut lines: Vec<(&'static str, String)> = Vec::new();
    let mut add = |name: &'static str, value: String| {
        if !value.is_empty() {
            lines.push((name, value));
        }
    };
    add("Operation", if row.is_async() { String::new() } else { row.op.clone() });
    let between = match (row.is_async(), row.tries > 1) {
        (true, false) => "",
        (true, true) => "With all attempts",
        (false, _) => "Between the two",
    };
    add(between, if between.is_empty() { String::new() } else { format::duration(row.between as u64) });
    add("Consumer group", row.group.clone());
    if let Some(message) = message {
        let sent_to = message.sent_to.filter(|queue| *queue != message.queue);
        add("Sent to", sent_to.map(|queue| facts.label(queue).to_owned()).unwrap_or_default());
        let why = match message.joined_by.as_str() {
            "parent" => "the producer is its parent",
            "link" => "a link names the producer",
            "both" => "parent and link",
            "message_id" => "same message id, no link",
            _ => "",
        };
        add("Joined by", why.to_owned());
    }
    add("Attempts", if row.tries > 1 { row.tries.to_string() } else { String::new() });
    add(
        if row.is_async() { "Deliveries" } else { "Similar calls" },
        if row.times > 1 { format::count(row.times.into()) } else { String::new() },
    );
    add("Failed with", row.why.clone());
    let node = |at: usize| facts.nodes.get(at).cloned().unwrap_or_default();
    let like = sql::Like {
        from: node(row.from),
        to: node(row.to),
        queue: row.queue.map(node),
        group: row.group.clone(),
        op: row.op.clone(),
        before: tour.answer().start_unix_nano.parse().unwrap_or_default(),
    };
    let sql = like.by_hour();
    // A row of several calls took as long as all of them together: among single calls it would stand in a wrong place.
    let spread = row.is_single().then(|| spread_of(&like, row));
    let skew: Vec<i64> = row.spans.iter().map(|span| facts.spans[*span].shift).collect();
    if skew.iter().any(|shift| *shift != skew[0]) {
        let most = skew.iter().copied().max_by_key(|shift| shift.abs()).unwrap_or_default();
        add("Clocks disagree by", format::signed_duration(most));
    }
    // What the spans say about it comes from the server once the selection rests.
    let detail = RwSignal::new(None::<SpanDetail>);
    let (trace, span) =
        (facts.members.get(facts.spans[shows].member).map(|member| member.trace_id), facts.spans[shows].id);
    if let Some(trace) = trace {
        spawn_local(async move {
            gloo_timers::future::TimeoutFuture::new(60).await;
            if detail.try_get_untracked().is_some()
                && let Ok(found) = client::span(trace, span).await
            {
                detail.try_set(Some(found));
            }
        });
    }
    let told = move || {
        let found = detail.get()?;
        let groups = attributes::grouped(&found.attributes);
        let told = groups.into_iter().filter(|group| TOLD.contains(&group.name.as_str()));
        let lines: Vec<(String, AttributeText)> = told.flat_map(|group| group.attributes).take(LINES_MAX).collect();
        let lines = lines.into_iter().map(|(name, attribute)| {
            view! { <dt title=attribute.key>{name}</dt> <dd class="mono" title=attribute.value.clone()>{attribute.value.clone()}</dd> }
        });
        Some(view! { <dl class="kv told">{lines.collect_view()}</dl> })
    };
    view! {
        <section class="sel">
            <div class="row top"><h2 class="h">{format!("Selected hop {}", at + 1)}</h2><span class="grow"></span>
                <span class="proto" class:async=row.is_async()>{row.badge.clone()}</span>
            </div>
            <div class="way">
                {name(row.from)} <span class="faint">"→"</span>
                {row.queue.map(|queue| view! { {name(queue)} <span class="faint">"→"</span> })}
                {name(row.to)}
            </div>
            <div class="row took">
                <span class="big" class:hot=is_slow class:bad=!is_slow && !row.why.is_empty()>{format::duration(row.took as u64)}</span>
                <span class="dim">{took}</span>
                <span class="grow"></span>
                <span class="faint n">{usual}</span>
            </div>
            {spread}
            <dl class="kv">{lines.into_iter().map(|(name, value)| view! { <dt>{name}</dt> <dd title=value.clone()>{value.clone()}</dd> }).collect_view()}</dl>
            {told}
            <div class="row acts-row">
                <button class="btn s" on:click=move |_| open_span.run(shows)>"Open in waterfall"</button>
                <span class="grow"></span>
                {behind(&sql)}
            </div>
        </section>
    }
}

/// Hops like this one as a histogram, once the selection rests; nothing while they are too few, or cannot be asked for.
fn spread_of(like: &sql::Like, row: &Hop) -> impl IntoView + use<> {
    let found = RwSignal::new(None::<Spread>);
    let request = SqlRequest { sql: like.spread(), limit: Some(SPREAD_ROWS), ..SqlRequest::default() };
    let (took, hot) = (row.took, row.usual.map(|usual| usual * 3.0));
    let is_wait = row.is_async();
    spawn_local(async move {
        gloo_timers::future::TimeoutFuture::new(SPREAD_PAUSE_MS).await;
        if found.try_get_untracked().is_none() {
            return;
        }
        let Ok(answer) = client::sql(&request).await else { return };
        let number = |value: &serde_json::Value| value.as_f64().or_else(|| value.as_str()?.parse().ok());
        let bucket = |row: &Vec<serde_json::Value>| Some((number(row.first()?)?, number(row.get(1)?)? as u64));
        let buckets: Vec<(f64, u64)> = answer.rows.iter().filter_map(bucket).collect();
        found.try_set(Spread::new(&buckets, took, hot));
    });
    move || {
        let spread = found.get()?;
        let wide = 300.0 / spread.bars.len() as f64;
        let path = |from: usize, to: usize| {
            let bars = spread
                .bars
                .iter()
                .enumerate()
                .skip(from)
                .take(to.saturating_sub(from))
                .filter(|(_, high)| **high > 0.0);
            bars.map(|(at, high)| {
                let high = (high * 38.0).max(2.0);
                format!("M{:.1},{:.1}h{:.1}v{high:.1}h-{:.1}z", at as f64 * wide, 42.0 - high, wide - 1.0, wide - 1.0)
            })
            .collect::<String>()
        };
        let (count, ends) = (format::counted(spread.total, if is_wait { "wait" } else { "call" }), spread.ends);
        let summary = format!(
            "{count} like this one in the 24 hours before it, from {} to {}; this one took {}",
            format::duration(ends.0 as u64),
            format::duration(ends.1 as u64),
            format::duration(took as u64)
        );
        Some(view! {
            <div class="spread">
                <svg viewBox="0 0 300 44" width="300" height="44" role="img" aria-label=summary>
                    <path class="usual" d=path(0, spread.hot)/><path class="slow" d=path(spread.hot, spread.bars.len())/>
                    <path class="here" d=format!("M{:.1},2V42", (spread.place * 300.0).clamp(1.0, 299.0))/>
                </svg>
                <div class="row faint"><span>{if spread.has_shorter { "≤ " } else { "" }}{format::duration(ends.0 as u64)}</span><span class="grow"></span><span>{count}" in the 24 h before"</span><span class="grow"></span><span>{format::duration(ends.1 as u64)}</span></div>
            </div>
        })
    }
}

/// What the server found: first what rests on the selected hop.
fn findings(tour: Tour, scene: &Arc<Scene>, hop: Option<usize>) -> impl IntoView + use<> {
    let spans: Vec<usize> = hop.and_then(|at| scene.hops.get(at)).map(|row| row.spans.clone()).unwrap_or_default();
    let mut all: Vec<&FindingFact> = scene.facts.findings.iter().collect();
    all.sort_by_key(|finding| !finding.spans.iter().any(|span| spans.contains(span)));
    let left = all.len().saturating_sub(FINDINGS_MAX);
    let carried = url::shared(&use_location().search.get_untracked());
    let rows = all.into_iter().take(FINDINGS_MAX).map(|finding| {
        let class = match finding.severity.as_str() {
            "error" => "chip bad",
            "warning" => "chip hot",
            _ => "chip line",
        };
        let here = finding.spans.iter().find_map(|span| scene.hop_of_span.get(span)).copied();
        let sql = (!finding.sql.is_empty())
            .then(|| format!("/sql{}", url::with_parameters(&carried, &[("sql", Some(&finding.sql))])));
        view! {
            <div class="finding">
                <div class="row"><span class=class title=finding.help.clone()>{finding.id.replace('_', " ")}</span></div>
                <p>{finding.summary.clone()}</p>
                <div class="row acc">
                    {here.map(|at| view! { <button on:click=move |_| tour.choose(Some(at))>{format!("Hop {}", at + 1)}</button> })}
                    {sql.map(|sql| view! { <a href=sql>"Find its like in SQL"</a> })}
                </div>
            </div>
        }
    });
    let none = scene.facts.findings.is_empty().then(|| looked_at(&tour.answer()));
    view! {
        <section>
            <h2 class="h top">"What this suggests"</h2>
            {rows.collect_view()}
            {none.map(|text| view! { <p class="faint">{text}</p> })}
            {(left > 0).then(|| view! { <p class="faint">{format!("and {} more", format::counted(left as u64, "finding"))}</p> })}
        </section>
    }
}

/// What nobody sent, with the setting that would bring it.
fn gaps(tour: Tour) -> impl IntoView {
    let all = not_sent(&tour.answer());
    if all.is_empty() {
        return ().into_any();
    }
    let rows = all
        .into_iter()
        .map(|gap| view! { <div class="finding"><p>{gap.what}</p> <p class="faint">{gap.how}</p></div> });
    view! { <section><h2 class="h top">"What is not here"</h2>{rows.collect_view()}</section> }.into_any()
}

/// Letters of member traces: A, B, ... Z, then numbers.
pub(crate) fn letter(member: usize) -> String {
    u8::try_from(member)
        .ok()
        .filter(|at| *at < 26)
        .map_or_else(|| (member + 1).to_string(), |at| char::from(b'A' + at).to_string())
}

/// Why a trace belongs to the journey, in words; how sure that is.
pub(crate) fn evidence(joined_by: &str, confidence: &str) -> (&'static str, &'static str) {
    let why = match joined_by {
        "link" => "span link on the consumer",
        "message_id" => "same message id, no link",
        "poll" => "asks for the result of an accepted call",
        "key" => "same key in both",
        _ => "joined",
    };
    let sure = match confidence {
        "high" => "certain",
        "medium" => "inferred",
        _ => "a guess",
    };
    (why, sure)
}

fn joins(tour: Tour, scene: &Arc<Scene>) -> impl IntoView + use<> {
    let members = &scene.facts.members;
    let answer = tour.answer();
    let search = use_location().search;
    // The journey may stand at the address of any of its traces, and the one in the address cannot be cut off: the first one,
    // which nobody doubts, can be joined to nothing.
    let path = format!("/j/{}", answer.id);
    let rows = members.iter().enumerate().skip(1).take(15).map(|(at, member)| {
        let (why, sure) = evidence(&member.joined_by, &member.confidence);
        let from = member.cause.map(letter).unwrap_or_default();
        // Certain ones are what the sender said; nobody has to believe a guess.
        let trace = member.trace_id;
        let cut = (sure != "certain").then(|| {
            let path = path.clone();
            let link = move || format!("{path}{}", with_cut(&search.get(), trace, true));
            let label = format!("Cut off trace {}", letter(at));
            view! { <a class="acc" href=link aria-label=label title="Show the journey without this trace and what came of it">"Cut"</a> }
        });
        view! {
            <span class="mono dim">{format!("{from}→{}", letter(at))}</span>
            <span>{why}</span>
            <span class=if sure == "certain" { "good" } else { "dim" }>{sure}</span>
            <span>{cut}</span>
        }
    });
    // What is cut off by the address and stands here all the same was not cut off.
    let is_gone = |trace: &TraceId| members.iter().all(|member| member.trace_id != *trace);
    let gone = cuts(&search.get_untracked()).into_iter().filter(is_gone).map(|trace| {
        let path = path.clone();
        let link = move || format!("{path}{}", with_cut(&search.get(), trace, false));
        let short = format::short_id(&trace.to_hex());
        view! { <p class="faint note">"You cut off trace " <span class="mono">{short}</span> ". " <a class="acc" href=link>"Join it again"</a></p> }
    });
    let gone = gone.collect_view();
    let mut notes: Vec<String> = Vec::new();
    if answer.other_inputs > 0 {
        notes.push(format!(
            "{} from other journeys lead into these traces.",
            format::counted(answer.other_inputs, "join")
        ));
    }
    if !answer.excluded.is_empty() {
        let count = format::counted(answer.excluded.len() as u64, "consumer span");
        notes.push(format!("{count} left out: they handled messages of other journeys."));
    }
    for shared in &answer.shared {
        notes.push(format!("One batch is only partly ours: {} of {} messages.", shared.ours, shared.total));
    }
    let alone = members.len() < 2;
    view! {
        <section>
            <h2 class="h top">"How the traces join"</h2>
            <div class="joins">{rows.collect_view()}</div>
            {gone}
            {(members.len() > 16).then(|| view! { <p class="faint">{format!("and {} more", members.len() - 16)}</p> })}
            {alone.then(|| view! { <p class="faint">"One trace. Other traces join when their consumer spans link to the producer, or carry the same message id."</p> })}
            {notes.into_iter().map(|note| view! { <p class="faint note">{note}</p> }).collect_view()}
        </section>
    }
}

/// The raw evidence can be copied: ids of the joined traces.
pub(crate) fn copy_ids(shared: Shared, scene: &Scene) -> impl IntoView + use<> {
    let ids: Vec<String> = scene.facts.members.iter().map(|member| member.trace_id.to_hex()).collect();
    view! {
        <button class="btn s quiet" title="Copy the trace ids" aria-label="Copy the trace ids" on:click=move |_| shared.copy(ids.join("\n"), "Trace ids")>
            {icon(Icon::Copy, true)}
        </button>
    }
}
