//! One trace: header, find box, waterfall, inspector.
//!
//! URL: `/t/:trace[/:span]`, `find` (text looked for), `x` (part of the time, `start-end` in nanoseconds).

use api::{Problem, Timeline};
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_location, use_navigate, use_params_map};
use model::{SpanId, TraceId};

use crate::app::{Shared, shared, there};
use crate::asking::{Turns, ask_newest};
use crate::client;
use crate::components::icon::{Icon, icon};
use crate::components::inspector::Inspector;
use crate::components::journey::tabs::tabs;
use crate::components::keys::{focus_field, on_key};
use crate::components::states::{EmptyState, ErrorBox, LoadingBar, Skeleton};
use crate::components::waterfall::{Model, Stage, Waterfall};
use crate::view::span_tree::Row;
use crate::view::timeline::Window;
use crate::view::{clock, find, format, url};

/// Pause in typing after which the server is asked too, in milliseconds.
const TYPING_PAUSE_MS: u32 = 250;

/// OTLP's number of the kind server.
const SERVER: u8 = 2;

/// Loads the trace of the URL and shows it.
#[component]
pub(crate) fn TracePage() -> impl IntoView {
    let shared = shared();
    let params = use_params_map();
    let asked = Memo::new(move |_| params.with(|params| params.get("trace").unwrap_or_default()));
    let found = RwSignal::new_local(None::<Result<Timeline, Problem>>);
    let asking = ask_newest(
        move || Some(asked.get()),
        |text| async move {
            match TraceId::from_hex(&text) {
                Some(trace_id) => client::timeline(trace_id).await,
                None => Err(Problem {
                    kind: "not-an-id".to_owned(),
                    title: "This is not a trace id".to_owned(),
                    detail: format!("A trace id has 32 hex digits and is not all zero; “{text}” is something else."),
                    status: 404,
                    position: None,
                }),
            }
        },
        move |answer| found.set(Some(answer)),
    );
    let retry = asking.retry();
    view! {
        <LoadingBar active=asking.loading/>
        {move || match found.get() {
            None => view! { <Skeleton rows=24/> }.into_any(),
            Some(Ok(timeline)) if timeline.spans.span_id.is_empty() => view! { <Absent text=asked.get_untracked() retry/> }.into_any(),
            Some(Ok(timeline)) => trace(timeline, shared).into_any(),
            Some(Err(problem)) if problem.status == 404 && problem.kind != "not-an-id" => {
                view! { <Absent text=asked.get_untracked() retry/> }.into_any()
            }
            Some(Err(problem)) => view! { <ErrorBox problem retry/> }.into_any(),
        }}
    }
}

/// The id is not here: how long data is kept, and where to look instead.
#[component]
pub(crate) fn Absent(text: String, retry: Callback<()>) -> impl IntoView {
    let days = RwSignal::new(None::<u32>);
    spawn_local(async move {
        if let Ok(status) = client::status().await {
            days.try_set(Some(status.storage.retention_days));
        }
    });
    view! {
        <EmptyState title="No span of this trace is stored">
            <span class="dim"><span class="mono">{text}</span></span>
            <span class="dim">
                "It may not have arrived yet, may have been left out by sampling, or be older than the data kept here"
                {move || days.get().map(|days| format!(" ({})", format::counted(days.into(), "day")))} "."
            </span>
            <div class="row">
                <button class="btn s primary" on:click=move |_| retry.run(())>"Look again"</button>
                <a class="btn s" href=there("/explore")>"Go to Explore"</a>
            </div>
        </EmptyState>
    }
}

fn trace(timeline: Timeline, shared: Shared) -> impl IntoView {
    let trace_id = timeline.trace_id;
    let start: i64 = timeline.start_unix_nano.parse().unwrap_or_default();
    let head = Head::new(&timeline, start);
    let stage = Stage::new(Model::new(timeline, shared));
    follow_url(stage, trace_id);
    on_key(move |_, key| {
        if key != "y" {
            return false;
        }
        copy_link(shared);
        true
    });
    let foot = move || {
        stage.rows.track();
        let (rows, spans) = stage.model.with_value(|model| (model.tree.n_rows(), model.tree.len()));
        format!("{}, {} open", format::counted(spans as u64, "span"), format::counted(rows as u64, "row"))
    };
    let n_spans = head.n_spans;
    view! {
        {head.view(shared, trace_id)}
        <div class="tabs">
            {tabs(|| "waterfall", trace_id, move || trace_id, n_spans)}
            <span class="grow"></span>
            <FindBox stage trace_id/>
            <button class="btn s" aria-pressed=move || stage.inspector.get().to_string() class:on=move || stage.inspector.get() on:click=move |_| stage.inspector.update(|shown| *shown = !*shown)>
                "Details"
            </button>
            <a class="btn s" href=format!("/api/traces/{trace_id}") target="_blank" rel="external noopener" title="The trace as OTLP/JSON, as it was sent">"OTLP JSON"</a>
        </div>
        <div class="split" class:wide=move || !stage.inspector.get()>
            <div class="col">
                <Waterfall stage/>
                <div class="status">
                    <span><kbd>"↑"</kbd><kbd>"↓"</kbd> "row"</span>
                    <span><kbd>"←"</kbd><kbd>"→"</kbd> "collapse, expand"</span>
                    <span><kbd>"N"</kbd><kbd>"P"</kbd> "match"</span>
                    <span><kbd>"E"</kbd> "next error"</span>
                    <span><kbd>"Z"</kbd> "zoom to span"</span>
                    <span><kbd>"Y"</kbd> "copy link"</span>
                    <span class="grow"></span>
                    <span>{foot}</span>
                </div>
            </div>
            <Show when=move || stage.inspector.get()><Inspector stage trace_id trace_start=start/></Show>
        </div>
    }
}

/// Keeps selection, find text and part of the time in step with the URL, both ways.
fn follow_url(stage: Stage, trace_id: TraceId) {
    let location = use_location();
    let params = use_params_map();
    let navigate = use_navigate();
    let duration = stage.duration_nanos();
    let parameter = |name: &str| {
        url::pairs(&location.search.get_untracked()).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    };
    if let Some(window) = parameter("x").and_then(|text| Window::read(&text, duration)) {
        stage.window.set(window);
    }
    if let Some(text) = parameter("find") {
        stage.find.set(text);
    }
    // URL to page: a link, back and forward.
    Effect::new(move |_| {
        let (trace, span) = params.with(|params| (params.get("trace"), params.get("span")));
        if trace.as_deref().and_then(TraceId::from_hex) != Some(trace_id) {
            return;
        }
        let Some(span_id) = span.as_deref().and_then(SpanId::from_hex) else { return };
        let index = stage.model.with_value(|model| model.tree.find_id(span_id));
        if let Some(index) = index
            && stage.selected.get_untracked() != Some(Row::Span(index))
        {
            stage.show_span(index);
        }
    });
    // Page to URL, once things are at rest: holding a key must not fill the history's time.
    let change = Turns::new();
    Effect::new(move |first: Option<()>| {
        let selected = stage.selected.get();
        let text = stage.find.get();
        let window = stage.window.get().text(duration);
        if first.is_none() {
            return;
        }
        let turn = change.next();
        let navigate = navigate.clone();
        spawn_local(async move {
            gloo_timers::future::TimeoutFuture::new(120).await;
            if !turn.is_newest() {
                return;
            }
            let span = match selected {
                Some(Row::Span(index)) => stage.model.with_value(|model| model.tree.spans.span_id.get(index).copied()),
                _ => None,
            };
            let Some((path, search)) = window_location() else { return };
            if !path.starts_with(&format!("/t/{trace_id}")) {
                return;
            }
            let text = Some(text.trim()).filter(|text| !text.is_empty());
            let query = url::with_parameters(&search, &[("x", window.as_deref()), ("find", text)]);
            let place = span.map_or_else(|| format!("/t/{trace_id}"), |span| format!("/t/{trace_id}/{span}"));
            let link = format!("{place}{query}");
            if link != format!("{path}{search}") {
                navigate(&link, NavigateOptions { replace: true, scroll: false, ..NavigateOptions::default() });
            }
        });
    });
}

fn window_location() -> Option<(String, String)> {
    let location = window().location();
    Some((location.pathname().ok()?, location.search().ok()?))
}

/// Copies the link to what is on the page; the URL follows the selection after a moment.
pub(crate) fn copy_link(shared: Shared) {
    set_timeout(
        move || {
            let location = window().location();
            let (origin, path) = (location.origin().unwrap_or_default(), location.pathname().unwrap_or_default());
            let search = location.search().unwrap_or_default();
            let query = url::with_parameters(&search, &[("from", None), ("to", None), ("theme", None)]);
            shared.copy(format!("{origin}{path}{query}"), "Link");
        },
        std::time::Duration::from_millis(160),
    );
}

/// Looks for a text: at once in what is on the page, after a pause in everything the server knows.
#[component]
fn FindBox(stage: Stage, trace_id: TraceId) -> impl IntoView {
    let asking = Turns::new();
    let incomplete = RwSignal::new(false);
    Effect::new(move |_| {
        let text = stage.find.get();
        let turn = asking.next();
        let local = stage.model.with_value(|model| find::matches(&model.tree, &model.services, &model.texts, &text));
        stage.model.update_value(|model| model.set_found(local.clone()));
        stage.matches.update(|count| *count += 1);
        incomplete.set(false);
        if text.trim().is_empty() {
            return;
        }
        spawn_local(async move {
            gloo_timers::future::TimeoutFuture::new(TYPING_PAUSE_MS).await;
            if !turn.is_newest() {
                return;
            }
            let answer = client::find(trace_id, text.trim()).await;
            if !turn.is_newest() {
                return;
            }
            // Without the server's part the count would look complete and not be.
            match answer {
                Ok(answer) => {
                    incomplete.set(answer.incomplete);
                    stage.model.update_value(|model| {
                        let found = find::merged(&model.tree, local, &answer.span_ids);
                        model.set_found(found);
                    });
                }
                Err(_) => incomplete.set(true),
            }
            stage.matches.update(|count| *count += 1);
        });
    });
    let count = move || {
        stage.matches.track();
        let selected = stage.selected.get().map(Row::index);
        if stage.find.with(|text| text.trim().is_empty()) {
            return String::new();
        }
        let more = if incomplete.get() { "+" } else { "" };
        stage.model.with_value(|model| {
            let at = selected.and_then(|index| model.found.binary_search(&(index as u32)).ok());
            match at {
                Some(at) => {
                    format!("{} / {}{more}", format::count(at as u64 + 1), format::count(model.found.len() as u64))
                }
                None => format!("{}{more}", format::count(model.found.len() as u64)),
            }
        })
    };
    on_key(move |_, key| {
        if key != "/" {
            return false;
        }
        focus_field("find");
        true
    });
    // Rows that are not on screen are not in the page: the browser's find cannot see them. A second press gives it.
    let handle = window_event_listener(leptos::ev::keydown, move |event| {
        let is_here = document().active_element().is_some_and(|field| field.id() == "find");
        if (event.ctrl_key() || event.meta_key()) && event.key() == "f" && !is_here {
            event.prevent_default();
            focus_field("find");
        }
    });
    on_cleanup(move || handle.remove());
    view! {
        <div class="find" role="search">
            {icon(Icon::Search, true)}
            <input
                id="find"
                class="v"
                type="text"
                autocomplete="off"
                spellcheck="false"
                aria-label="Find in this trace"
                placeholder="Find in this trace"
                title="Names, services, ids, attributes, events, status messages"
                prop:value=stage.find
                on:input=move |event| stage.find.set(event_target_value(&event))
                on:keydown=move |event| {
                    if event.key() == "Enter" {
                        event.prevent_default();
                        stage.step_match(!event.shift_key());
                    }
                }
            />
            <span class="cnt" aria-live="polite">{count}</span>
            <button aria-label="Previous match" on:click=move |_| stage.step_match(false)>{icon(Icon::Up, true)}</button>
            <button aria-label="Next match" on:click=move |_| stage.step_match(true)>{icon(Icon::Down, true)}</button>
        </div>
    }
}

/// What the header says.
struct Head {
    name: String,
    badge: String,
    detail: String,
    root_failed: bool,
    total: u64,
    root: Option<u64>,
    root_is_server: bool,
    n_spans: u64,
    n_services: u64,
    n_errors: u64,
    started: String,
    notes: Vec<String>,
}

impl Head {
    fn new(timeline: &Timeline, start: i64) -> Self {
        let spans = &timeline.spans;
        let text = |column: &[u32]| {
            column.first().and_then(|index| timeline.texts.get(*index as usize)).cloned().unwrap_or_default()
        };
        let is_error = |flags: &&u8| **flags & api::span_flag::ERROR != 0;
        let mut notes = timeline.warnings.clone();
        if timeline.incomplete {
            notes.push(timeline.incomplete_reason.clone().unwrap_or_else(|| {
                format!(
                    "Showing {} of {} spans",
                    format::count(spans.span_id.len() as u64),
                    format::count(timeline.spans_total)
                )
            }));
        }
        Self {
            name: text(&spans.name),
            badge: text(&spans.badge),
            detail: text(&spans.detail),
            root_failed: spans.flags.first().is_some_and(|flags| is_error(&flags)),
            total: timeline.duration_nanos,
            root: spans.duration_nanos.first().copied(),
            root_is_server: spans.kind.first() == Some(&SERVER),
            n_spans: timeline.spans_total.max(spans.span_id.len() as u64),
            n_services: timeline.services.len() as u64,
            n_errors: spans.flags.iter().filter(is_error).count() as u64,
            started: clock::day_and_time(start),
            notes,
        }
    }

    fn view(self, shared: Shared, trace_id: TraceId) -> impl IntoView {
        let id = trace_id.to_hex();
        let copied = id.clone();
        let took = if self.root_is_server { "caller answered in" } else { "the first span took" };
        let differs = self.root.filter(|root| *root != self.total);
        view! {
            <div class="thead">
                <h1>
                    {(!self.badge.is_empty()).then(|| view! { <span class="proto">{self.badge.clone()}</span> })}
                    <span class="ell" title=self.name.clone()>{self.name.clone()}</span>
                    {self.root_failed.then(|| view! { <span class="chip bad">"error"</span> })}
                    {(!self.detail.is_empty()).then(|| view! { <span class="chip" class:good=!self.root_failed class:bad=self.root_failed>{self.detail.clone()}</span> })}
                </h1>
                <div class="stitch">
                    <button class="t" title=format!("Copy the trace id {id}") on:click=move |_| shared.copy(copied.clone(), "Trace id")>
                        <b>"Trace"</b><span class="mono dim">{format::short_id(&id)}</span><span class="faint">{format::counted(self.n_spans, "span")}</span>
                        {icon(Icon::Copy, true)}
                    </button>
                </div>
                <p class="verdict">
                    <b>{format::duration(self.total)}</b>
                    {if differs.is_some() { "to the last effect" } else { "from start to end" }}
                    {differs.map(|root| view! { <span class="faint">"·"</span> <span>{took} " " <b>{format::duration(root)}</b></span> })}
                    {self.notes.into_iter().map(|note| view! { <span class="chip hot" title=note.clone()><span class="ell">{note.clone()}</span></span> }).collect_view()}
                    <span class="grow"></span>
                    <span class="faint">{format::counted(self.n_services, "service")}</span>
                    {(self.n_errors > 0).then(|| view! { <span class="bad">{format::counted(self.n_errors, "error")}</span> })}
                    <span class="faint">{self.started}</span>
                </p>
            </div>
        }
    }
}
