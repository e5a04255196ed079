//! One span in full: timing, links both ways, attributes, resource, events, logs.

use api::{AttributeText, LinkText, Problem, SpanDetail};
use leptos::prelude::*;
use leptos_router::hooks::use_location;
use model::{SpanId, TraceId};

use super::icon::{Icon, icon};
use super::states::{ErrorBox, LoadingBar, Skeleton, behind};
use super::waterfall::Stage;
use crate::app::{shared, there};
use crate::asking::ask_newest_after;
use crate::client;
use crate::view::behind as sql;
use crate::view::span_tree::Row;
use crate::view::stitched::Pause;
use crate::view::url::{self, ExploreState, RangeText};
use crate::view::{attributes, condition, format};

/// Waits that are longer than this are drawn hot.
const HOT_WAIT_NANOS: i64 = 1_000_000_000;

/// Details of the selected row.
#[component]
pub(crate) fn Inspector(
    /// What is on the page.
    stage: Stage,
    /// Its start, nanoseconds since 1970.
    trace_start: i64,
) -> impl IntoView {
    let detail = RwSignal::new(None::<Result<SpanDetail, Problem>>);
    let as_json = RwSignal::new(false);
    // Holding a key must not ask for every span on the way.
    let asking = ask_newest_after(
        40,
        move || {
            let Some(Row::Span(index)) = stage.selected.get() else { return None };
            stage.model.with_value(|model| {
                let span = model.tree.spans.span_id.get(index).filter(|_| !model.tree.is_between(index))?;
                Some((model.trace(index)?, *span))
            })
        },
        move |(trace, span)| async move { client::span(trace, span).await },
        move |answer| detail.set(Some(answer)),
    );
    let loading = asking.loading;
    view! {
        <aside class="insp" class:idle=move || stage.selected.get().is_none() aria-label="Span details">
            <LoadingBar active=loading/>
            {move || match stage.selected.get() {
                None => view! { <p class="hint faint">"Select a span to see everything it carries."</p> }.into_any(),
                Some(Row::Fold(first)) => view! { <FoldSummary stage first/> }.into_any(),
                Some(Row::Span(index)) if stage.model.with_value(|model| model.tree.is_between(index)) => {
                    match stage.model.with_value(|model| model.pauses.get(&index).copied()) {
                        Some(pause) => view! { <BetweenTries stage index pause/> }.into_any(),
                        None => view! { <BetweenTraces stage index/> }.into_any(),
                    }
                }
                Some(Row::Span(_)) => match detail.get() {
                    None => view! { <Skeleton rows=10/> }.into_any(),
                    Some(Err(problem)) => view! { <ErrorBox problem retry=asking.retry()/> }.into_any(),
                    Some(Ok(span)) => view! { <Detail span trace_start as_json loading/> }.into_any(),
                },
            }}
        </aside>
    }
}

/// Many similar spans at once.
#[component]
fn FoldSummary(stage: Stage, first: usize) -> impl IntoView {
    let facts = stage.model.with_value(|model| {
        let tree = &model.tree;
        let (sum, shortest, longest) = tree.fold_durations(first);
        let (start, end) = tree.extent(Row::Fold(first));
        let errors = tree.row_errors(Row::Fold(first)) as u64;
        (
            model.service(first).to_owned(),
            model.text(tree.spans.name[first]).to_owned(),
            tree.fold_size(first) as u64,
            sum,
            shortest,
            longest,
            end - start,
            errors,
        )
    });
    let (service, name, size, sum, shortest, longest, spread, errors) = facts;
    let (shared, called) = (shared(), service.clone());
    let is_open = move || {
        stage.rows.track();
        stage.model.with_value(|model| model.tree.is_open(Row::Fold(first)))
    };
    view! {
        <section>
            <div class="row top"><span class=move || format!("svc med {}", shared.color_class(&called))>{service}</span></div>
            <h2>{format!("{name} × {}", format::count(size))}</h2>
            <div class="facts">
                <div><span>"Sum"</span><b>{format::duration(sum)}</b></div>
                <div><span>"Shortest"</span><b>{format::duration(shortest)}</b></div>
                <div><span>"Longest"</span><b>{format::duration(longest)}</b></div>
                <div><span>"Spread over"</span><b>{format::duration(spread)}</b></div>
            </div>
        </section>
        <section>
            <p class="dim">
                {format!("{} similar spans in a row, from the same parent", format::count(size))}
                {(errors > 0).then(|| format!(", {} of them failed", format::count(errors)))}
                "."
            </p>
            <button class="btn s spaced" on:click=move |_| { stage.set_open(Row::Fold(first), !is_open()); }>
                {move || if is_open() { "Fold them" } else { "Show them" }}
            </button>
        </section>
    }
}

/// A message between two traces: how long it waited, who sent it, who had it, how that is known.
#[component]
fn BetweenTraces(stage: Stage, index: usize) -> impl IntoView {
    let search = use_location().search;
    let crossing = stage.model.with_value(|model| model.crossings.get(&index).cloned()).unwrap_or_default();
    let hot = crossing.is_again || i64::try_from(crossing.waited).is_ok_and(|waited| waited >= HOT_WAIT_NANOS);
    let evidence = match crossing.joined_by.as_str() {
        "link" => "A span link joins the two traces.",
        "both" => "A span link and the parent join the two traces.",
        "parent" => "The parent joins the two traces.",
        "message_id" => "The two traces are joined by the id of the message: inferred, not told.",
        _ => "The two traces are joined.",
    };
    let end = |title, end| side(search, title, end);
    view! {
        <section>
            <div class="row top"><span class="svc broker mono">{crossing.queue}</span></div>
            <h2>"A message between two traces"</h2>
            <div class="facts"><div><span>"Waited"</span><b class:hot=hot>{format::duration(crossing.waited)}</b></div></div>
            <p class="why dim">{crossing.about}</p>
        </section>
        <section>
            <dl class="kv">{end("Sent by span", crossing.sender)} {end("Received by", crossing.receiver)}</dl>
            <p class="note faint">{evidence}</p>
        </section>
    }
}

/// A line with a link to one of the two spans that something stands between.
fn side(search: Memo<String>, title: &'static str, end: Option<(TraceId, SpanId)>) -> impl IntoView {
    let row = match end {
        None => view! { <span class="faint">"not received"</span> }.into_any(),
        Some((trace, span)) => {
            let link = move || format!("/t/{trace}/{span}{}", url::carry("", &search.get()));
            view! { <a class="acc mono" href=link>{span.to_hex()}</a> }.into_any()
        }
    };
    view! { <dt>{title}</dt> <dd>{row}</dd> }
}

/// A pause between two attempts of one call.
#[component]
fn BetweenTries(stage: Stage, index: usize, pause: Pause) -> impl IntoView {
    let search = use_location().search;
    let (start, end) = stage.model.with_value(|model| model.tree.extent(Row::Span(index)));
    let [before, after] = pause.between;
    view! {
        <section>
            <h2>{format!("Back-off before try {}", pause.attempt)}</h2>
            <div class="facts"><div><span>"Waited"</span><b class="bad">{format::duration(end - start)}</b></div></div>
            <p class="why dim">"An attempt of the call had ended and the next had not begun: the caller waited."</p>
        </section>
        <section>
            <dl class="kv">{side(search, "Attempt before", Some(before))} {side(search, "Attempt after", Some(after))}</dl>
        </section>
    }
}

#[component]
fn Detail(span: SpanDetail, trace_start: i64, as_json: RwSignal<bool>, loading: RwSignal<bool>) -> impl IntoView {
    let shared = shared();
    shared.see_services([span.service.as_str()]);
    let failed = span.status == "error";
    let start: i64 = span.start_unix_nano.parse().unwrap_or_default();
    let is_async = matches!(span.kind.as_str(), "producer" | "consumer");
    let n_moments = span.events.len() + span.logs.len();
    let id = span.span_id.to_hex();
    let copied = id.clone();
    let all_json = attributes::json(&span.attributes);
    let notes = notes(&span);
    let resource: Vec<_> = span.resource.iter().map(|attribute| (attribute.key.clone(), attribute.clone())).collect();
    view! {
        <div class="scroll" class:old=loading>
            <section>
                <div class="row top">
                    <span class=format!("svc med {}", shared.color_class(&span.service))>{span.service.clone()}</span>
                    <span class="grow"></span>
                    {(!span.badge.is_empty()).then(|| view! { <span class="proto" class:async=is_async>{span.badge.clone()}</span> })}
                    <span class="chip line">{span.kind.clone()}</span>
                </div>
                <h2>{span.name.clone()}</h2>
                <div class="facts">
                    <div><span>"Duration"</span><b>{format::duration(span.duration_nanos)}</b></div>
                    <div><span>"Self"</span><b>{format::duration(span.self_nanos)}</b></div>
                    <div><span>"Starts at"</span><b>{format::signed_duration(start.saturating_sub(trace_start))}</b></div>
                    <div><span>"Status"</span><b class:bad=failed>{span.status.clone()}</b></div>
                </div>
                {(!span.status_message.is_empty()).then(|| view! { <p class="why" class:bad=failed>{span.status_message.clone()}</p> })}
                <div class="row ids">
                    <span class="faint">"span"</span>
                    <button class="mono id" title="Copy the span id" on:click=move |_| shared.copy(copied.clone(), "Span id")>{id.clone()}</button>
                    {(!span.scope.is_empty()).then(|| view! { <span class="faint ell" title=span.scope.clone()>{span.scope.clone()}</span> })}
                    <span class="grow"></span>
                    {behind(&sql::spans(&span.trace_id.to_hex()))}
                </div>
                {notes.into_iter().map(|note| view! { <p class="note faint">{note}</p> }).collect_view()}
            </section>
            {links("Came from", &span.links, shared)}
            {links("Picked up by", &span.linked_from, shared)}
            <section class="at">
                <div class="row top">
                    <span class="h">"Attributes"</span>
                    <span class="faint n">{span.attributes.len()}</span>
                    <span class="grow"></span>
                    <div class="seg" role="group" aria-label="Show attributes">
                        <button aria-pressed=move || (!as_json.get()).to_string() on:click=move |_| as_json.set(false)>"Grouped"</button>
                        <button aria-pressed=move || as_json.get().to_string() on:click=move |_| as_json.set(true)>"JSON"</button>
                    </div>
                </div>
                {
                    let (attributes, service) = (span.attributes.clone(), span.service.clone());
                    move || {
                        if as_json.get() {
                            let text = all_json.clone();
                            view! {
                                <pre class="json">{all_json.clone()}</pre>
                                <button class="btn s" on:click=move |_| shared.copy(text.clone(), "JSON")>{icon(Icon::Copy, false)} "Copy"</button>
                            }.into_any()
                        } else if attributes.is_empty() {
                            view! { <p class="faint">"none"</p> }.into_any()
                        } else {
                            attributes::grouped(&attributes)
                                .into_iter()
                                .map(|group| view! { <div class="g">{group.name}</div> <Pairs attributes=group.attributes service=service.clone() is_resource=false/> })
                                .collect_view()
                                .into_any()
                        }
                    }
                }
                <div class="g">"resource"</div>
                <Pairs attributes=resource service=span.service.clone() is_resource=true/>
            </section>
            {(n_moments > 0).then(|| view! { <Moments span=span.clone() trace_start/> })}
        </div>
    }
}

/// Things to know about a span that are no attribute of it.
fn notes(span: &SpanDetail) -> Vec<String> {
    let mut notes = Vec::new();
    if !span.repairs.is_empty() {
        notes.push(format!("Mended on entry: {}", span.repairs.join(", ")));
    }
    if span.dropped > 0 {
        notes.push(format!("The sender left out {} attributes, events or links", format::count(span.dropped)));
    }
    if span.same_id > 0 {
        notes.push(format!(
            "{} with the same id and different content",
            format::counted(span.same_id.into(), "further span")
        ));
    }
    if !span.trace_state.is_empty() {
        notes.push(format!("Trace state: {}", span.trace_state));
    }
    notes
}

/// Spans at the other end of links; a click goes there.
fn links(title: &'static str, links: &[LinkText], shared: crate::app::Shared) -> impl IntoView + use<> {
    if links.is_empty() {
        return ().into_any();
    }
    shared.see_services(links.iter().map(|link| link.service.as_str()));
    let carried = url::shared(&use_location().search.get_untracked());
    let count = format!("{title} {}", format::counted(links.len() as u64, "span"));
    let rows = links.iter().map(|link| {
        let href = format!("/t/{}/{}{carried}", link.trace_id, link.span_id);
        if !link.is_stored {
            return view! {
                <a class="lkrow" href=format!("/t/{}{carried}", link.trace_id) title="Open the trace it names">
                    <span class="svc ext faint">"not received"</span>
                    <span class="grow"></span>
                    <span class="mono faint">{format::short_id(&link.trace_id.to_hex())}</span>
                </a>
            }
            .into_any();
        }
        let wait = link.wait_nanos;
        let hot = wait.is_some_and(|wait| wait >= HOT_WAIT_NANOS);
        let text = match wait {
            Some(wait) if wait >= 0 => format::signed_duration(wait),
            Some(_) => "≤ 0, overlaps".to_owned(),
            None => String::new(),
        };
        view! {
            <a class="lkrow" href=href title=format!("{} in trace {}", link.name, link.trace_id)>
                <span class="hatch sw" class:hot=hot></span>
                <span class=format!("svc {}", shared.color_class(&link.service))>{link.service.clone()}</span>
                <span class="ell grow faint">{link.name.clone()}</span>
                <b class:hot=hot>{text}</b>
            </a>
        }
        .into_any()
    });
    view! { <section class="links-box"><div class="h">{count}</div>{rows.collect_view()}</section> }.into_any()
}

/// Keys and values; a value can be copied, taken into a filter, or be one group of many. Without `service` they are no span's own.
#[component]
fn Pairs(attributes: Vec<(String, AttributeText)>, service: String, is_resource: bool) -> impl IntoView {
    let shared = shared();
    let search = use_location().search;
    let filter_link = move |key: &str, operator: &str, value: &str| {
        let filter = condition::write(&condition::attribute_field(key), operator, value);
        ExploreState { filter, range: RangeText::read(&search.get_untracked()), ..ExploreState::default() }.link()
    };
    let row = move |(shown, attribute): (String, AttributeText)| {
        let AttributeText { key, value_type, value } = attribute;
        let is_simple = matches!(value_type.as_str(), "string" | "int" | "double" | "bool");
        let wrapped = RwSignal::new(false);
        let copied = value.clone();
        let text = match value_type.as_str() {
            "empty" => view! { <span class="faint">"empty"</span> }.into_any(),
            _ if attributes::is_link(&value) => {
                view! { <a href=value.clone() rel="external noopener noreferrer" target="_blank">{value.clone()}</a> }
                    .into_any()
            }
            _ => value.clone().into_any(),
        };
        let actions = (is_simple && !is_resource).then(|| {
            view! {
                <a class="btn s" href=filter_link(&key, "=", &value) title="Traces with this value">"= only"</a>
                <a class="btn s" href=filter_link(&key, "!=", &value) title="Traces without this value">"≠ not"</a>
            }
        });
        let group = (is_simple && !service.is_empty()).then(|| {
            let sql = sql::group_by(&service, &key, is_resource);
            let link = there(format!("/sql{}", url::query_string([("sql", sql.as_str())])));
            view! { <a class="btn s" href=link title="Spans of this service by the values of this attribute">"Group by"</a> }
        });
        view! {
            <dt title=key.clone()>{shown}</dt>
            <dd class:wrap=move || wrapped.get() title=value_type>
                <span class="val" on:click=move |_| wrapped.update(|wrapped| *wrapped = !*wrapped)>{text}</span>
                <span class="acts">
                    {actions} {group}
                    <button class="btn s" on:click=move |_| shared.copy(copied.clone(), "Value")>"Copy"</button>
                </span>
            </dd>
        }
    };
    view! { <dl>{attributes.into_iter().map(row).collect_view()}</dl> }
}

/// Events and logs by time, each with its attributes to unfold.
#[component]
fn Moments(span: SpanDetail, trace_start: i64) -> impl IntoView {
    let nanos = |text: &str| text.parse::<i64>().unwrap_or_default();
    let mut all: Vec<(i64, String, String, Vec<AttributeText>)> = span
        .events
        .into_iter()
        .map(|event| (nanos(&event.time_unix_nano), "event".to_owned(), event.name, event.attributes))
        .chain(span.logs.into_iter().map(|log| {
            let level = if log.level.is_empty() { "log".to_owned() } else { log.level };
            (nanos(&log.time_unix_nano), level, log.body, log.attributes)
        }))
        .collect();
    all.sort_by_key(|(time, ..)| *time);
    let count = all.len();
    let row = move |(time, level, text, attributes): (i64, String, String, Vec<AttributeText>)| {
        let bad = matches!(level.as_str(), "error" | "fatal") || text == "exception";
        let pairs: Vec<_> = attributes.into_iter().map(|attribute| (attribute.key.clone(), attribute)).collect();
        let head = view! {
            <span class="mono faint">{format::signed_duration(time.saturating_sub(trace_start))}</span>
            <span class:bad=bad class:faint=!bad>{level}</span>
            <span class="ell" class:bad=bad title=text.clone()>{text.clone()}</span>
        };
        if pairs.is_empty() {
            view! { <div class="moment">{head}</div> }.into_any()
        } else {
            view! { <details open=bad><summary class="moment">{head}</summary><Pairs attributes=pairs service=String::new() is_resource=true/></details> }.into_any()
        }
    };
    view! {
        <section class="at moments">
            <div class="row top"><span class="h">"Events and logs"</span><span class="faint n">{count}</span></div>
            {all.into_iter().map(row).collect_view()}
        </section>
    }
}
