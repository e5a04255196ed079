//! One trace, and with it the other traces of its journey as one list: header, find box, waterfall, inspector.
//!
//! URL: `/t/:trace[/:span]`, `find` (text looked for), `x` (part of the time, `start-end` in nanoseconds), `only` (rows that are shown),
//! `root` (span whose subtree is shown alone), `shut` (spans whose children are hidden), `cp=0` (no critical path), `fold=0` (waits
//! unfolded), `alone=1` (without the other traces), `wider` (times as many of them as usual), `cut` (traces whose join the reader does not believe).
//!
//! The trace comes first and is drawn at once. When a message may lead out of it, its journey is asked for, then the other traces; the list
//! is drawn again with all of them. `head.rs` draws the header, `find_box.rs` the find box.

mod find_box;
mod head;

use api::{PathSegment, Problem, Timeline, span_flag};
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_location, use_navigate, use_params_map};
use model::{SpanId, TraceId};

use self::find_box::FindBox;
use self::head::Head;
use crate::app::{Shared, shared, there};
use crate::asking::{Turns, ask_newest};
use crate::client;
use crate::components::icon::{Icon, icon};
use crate::components::inspector::Inspector;
use crate::components::journey::tabs::tabs;
use crate::components::keys::on_key;
use crate::components::states::{EmptyState, ErrorBox, LoadingBar, Skeleton};
use crate::components::waterfall::{Model, Only, Stage, Waterfall};
use crate::view::journey::cut::{WIDER_MAX, wider};
use crate::view::span_tree::Row;
use crate::view::stitched::{self, Stitched};
use crate::view::timeline::Window;
use crate::view::{format, url};

/// Spans of all traces that are shown as one list at most.
const STITCHED_MAX: u64 = 20_000;
/// Traces of it.
const TRACES_MAX: usize = 16;
/// Spans of a trace whose critical path is asked for though no message leads out of it.
const PATH_MAX: u64 = 2_000;

/// What is on the page.
struct Shown {
    stitched: Stitched,
    /// The critical path of the journey; empty when it was not asked for.
    path: Vec<PathSegment>,
    /// Why other traces of the journey are not here.
    note: Option<String>,
    /// More of them could be asked for.
    is_cut: bool,
}

impl Shown {
    /// It holds what the trace that came first does not.
    fn is_more(&self) -> bool {
        self.stitched.traces.len() > 1 || self.note.is_some() || !self.stitched.pauses.is_empty()
    }
}

/// What the reader selected and looked for.
#[derive(Clone, Copy)]
struct Done {
    selected: RwSignal<Option<(TraceId, SpanId)>>,
    find: RwSignal<Option<String>>,
}

impl Done {
    fn forget(self) {
        self.selected.set(None);
        self.find.set(None);
    }

    /// Does it again in a list that was drawn anew, and keeps what is done there.
    fn restore(self, stage: Stage) {
        if let Some(text) = self.find.get_untracked() {
            stage.find.set(text);
        }
        let index = self
            .selected
            .get_untracked()
            .and_then(|(trace, span)| stage.model.with_value(|model| model.find(trace, span)));
        if let Some(index) = index {
            stage.show_span(index);
        }
        Effect::new(move |first: Option<()>| {
            let (selected, text) = (stage.selected.get(), stage.find.get());
            if first.is_none() {
                return;
            }
            let place = selected.filter(|row| matches!(row, Row::Span(_))).and_then(|row| {
                stage
                    .model
                    .with_value(|model| Some((model.trace(row.index())?, *model.tree.spans.span_id.get(row.index())?)))
            });
            self.selected.set(place);
            self.find.set(Some(text));
        });
    }
}

/// Loads the trace of the URL and shows it; then the other traces of its journey.
#[component]
pub(crate) fn TracePage() -> impl IntoView {
    let shared = shared();
    let params = use_params_map();
    let search = use_location().search;
    let asked = Memo::new(move |_| params.with(|params| params.get("trace").unwrap_or_default()));
    let cut = Memo::new(move |_| {
        let search = search.get();
        (parameter(&search, "cut").unwrap_or_default(), wider(&search))
    });
    let alone = Memo::new(move |_| parameter(&search.get(), "alone").as_deref() == Some("1"));
    let found = RwSignal::new_local(None::<Result<Shown, Problem>>);
    // Nothing more will come: the address means what is on the page.
    let settled = RwSignal::new(false);
    // The critical path of one trace alone, once it is known.
    let path = RwSignal::new(Vec::new());
    // What the reader did before the other traces came stays done.
    let done = Done { selected: RwSignal::new(None), find: RwSignal::new(None) };
    // Traces on the page, and those cut off.
    let here = StoredValue::new((Vec::<TraceId>::new(), (String::new(), 1)));
    let turns = Turns::new();
    let asking = ask_newest(
        move || {
            let (text, alone, cut) = (asked.get(), alone.get(), cut.get());
            // A step to another trace of the same list needs nothing from the server.
            let is_here = here.with_value(|(traces, cuts)| {
                traces.len() > 1 && *cuts == cut && TraceId::from_hex(&text).is_some_and(|id| traces.contains(&id))
            });
            (!is_here || alone).then_some((text, alone, cut))
        },
        |(text, alone, cut)| async move {
            let answer = match TraceId::from_hex(&text) {
                Some(trace_id) => client::timeline(trace_id).await,
                None => Err(Problem {
                    kind: "not-an-id".to_owned(),
                    title: "This is not a trace id".to_owned(),
                    detail: format!("A trace id has 32 hex digits and is not all zero; “{text}” is something else."),
                    status: 404,
                    position: None,
                }),
            };
            (answer, alone, cut)
        },
        move |(answer, alone, cut)| {
            let turn = turns.next();
            here.set_value((Vec::new(), cut.clone()));
            path.set(Vec::new());
            done.forget();
            let more = answer.as_ref().ok().filter(|timeline| !alone && asks_more(timeline, cut.1)).cloned();
            settled.set(more.is_none());
            found.set(Some(answer.map(|timeline| Shown {
                stitched: Stitched::alone(timeline),
                path: Vec::new(),
                note: None,
                is_cut: false,
            })));
            let Some(timeline) = more else { return };
            spawn_local(async move {
                let whole = stitch(timeline, &cut.0, cut.1).await;
                if !turn.is_newest() {
                    return;
                }
                match whole {
                    Some(shown) if shown.is_more() => {
                        here.set_value((shown.stitched.traces.clone(), cut));
                        settled.set(true);
                        found.set(Some(Ok(shown)));
                    }
                    Some(shown) => {
                        path.set(shown.path);
                        settled.set(true);
                    }
                    None => settled.set(true),
                }
            });
        },
    );
    let retry = asking.retry();
    view! {
        <LoadingBar active=asking.loading/>
        {move || match taken(found) {
            None => view! { <Skeleton rows=24/> }.into_any(),
            Some(Ok(shown)) if shown.stitched.timeline.spans.span_id.is_empty() => view! { <Absent text=asked.get_untracked() retry/> }.into_any(),
            Some(Ok(shown)) => untrack(|| trace(shown, settled, path, done, alone, shared)).into_any(),
            Some(Err(problem)) if problem.status == 404 && problem.kind != "not-an-id" => {
                view! { <Absent text=asked.get_untracked() retry/> }.into_any()
            }
            Some(Err(problem)) => view! { <ErrorBox problem retry/> }.into_any(),
        }}
    }
}

/// True when a message may lead out of the trace or into it, or its journey is a small one.
fn asks_more(timeline: &Timeline, wider: usize) -> bool {
    let spans = &timeline.spans;
    let is_messaging = spans.kind.iter().any(|kind| matches!(kind, 4 | 5))
        || spans.flags.iter().any(|flags| flags & (span_flag::LINKS | span_flag::ORPHAN) != 0);
    timeline.spans_total <= if is_messaging { STITCHED_MAX * wider as u64 } else { PATH_MAX }
}

/// The other traces of the journey of a trace. `None` when its journey cannot be told.
async fn stitch(timeline: Timeline, cut: &str, wider: usize) -> Option<Shown> {
    let asked = timeline.trace_id;
    let way = client::way(asked, cut, wider).await.ok()?;
    let path = way.paths.settled;
    let (n_traces, n_spans) = (way.members.len(), way.members.iter().map(|member| member.spans).sum::<u64>());
    if n_traces > TRACES_MAX * wider || n_spans > STITCHED_MAX * wider as u64 {
        let note = format!(
            "Its journey has {} with {}: too many for one list, so that this one stands alone",
            format::counted(n_traces as u64, "trace"),
            format::counted(n_spans, "span")
        );
        return Some(Shown { stitched: Stitched::alone(timeline), path, note: Some(note), is_cut: true });
    }
    let (mut own, mut parts, mut missing) = (Some(timeline), Vec::new(), 0_u64);
    for member in &way.members {
        if member.trace_id == asked {
            parts.extend(own.take());
        } else {
            match client::timeline(member.trace_id).await {
                Ok(part) => parts.push(part),
                Err(_) => missing += 1,
            }
        }
    }
    parts.extend(own);
    let note = (missing > 0)
        .then(|| format!("{} of its journey could not be read", format::counted(missing, "further trace")));
    // Messages inside of a trace that is alone are spans of it.
    let hops = if parts.len() > 1 { way.hops.as_slice() } else { &[] };
    let stitched = Stitched::new(asked, parts, hops, &way.findings);
    Some(Shown { stitched, path, note, is_cut: way.truncated.is_some() })
}

/// What has been found, once for each answer. It is moved to where it is drawn and not copied: of 100,000 spans a copy takes 10 MB, which a
/// page of wasm never gives back. So nothing else may have it drawn again: new colours are the business of [`Waterfall`].
fn taken(found: RwSignal<Option<Result<Shown, Problem>>, LocalStorage>) -> Option<Result<Shown, Problem>> {
    found.track();
    found.try_update_untracked(Option::take).flatten()
}

fn parameter(search: &str, name: &str) -> Option<String> {
    url::pairs(search).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
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

fn trace(
    shown: Shown,
    settled: RwSignal<bool>,
    late: RwSignal<Vec<PathSegment>>,
    done: Done,
    alone: Memo<bool>,
    shared: Shared,
) -> impl IntoView {
    let Shown { stitched, path, note, is_cut } = shown;
    let trace_id = stitched.timeline.trace_id;
    let start: i64 = stitched.timeline.start_unix_nano.parse().unwrap_or_default();
    let mut head = Head::new(&stitched, start);
    head.notes.extend(note);
    let stage = Stage::new(Model::new(stitched, shared));
    let know_path = move |segments: &[PathSegment]| {
        let path = stage
            .model
            .with_value(|model| stitched::path(start, &model.tree.spans, |index| model.trace(index), segments));
        if !path.is_empty() {
            stage.set_path(path);
        }
    };
    know_path(&path);
    Effect::new(move |_| late.with(|segments| know_path(segments)));
    let n_traces = stage.model.with_value(|model| model.traces.len());
    // Who asked for a trace in the middle of a journey sees it first.
    let first =
        stage.model.with_value(|model| (0..model.tree.len()).find(|index| model.trace(*index) == Some(trace_id)));
    if let Some(first) = first.filter(|first| *first > 0) {
        stage.wanted.set(Some((Row::Span(first), true)));
    }
    follow_url(stage, trace_id, settled);
    done.restore(stage);
    on_key(move |_, key| {
        if key != "y" {
            return false;
        }
        copy_link(shared);
        true
    });
    let foot = move || {
        stage.rows.track();
        let (rows, spans) = stage.model.with_value(|model| (model.tree.n_rows(), model.n_spans()));
        let traces =
            if n_traces > 1 { format!(" in {}", format::counted(n_traces as u64, "trace")) } else { String::new() };
        format!("{}{traces}, {} open", format::counted(spans as u64, "span"), format::counted(rows as u64, "row"))
    };
    let n_spans = head.n_spans;
    let search = use_location().search;
    let to_trace = Callback::new(move |at| {
        if let Some(first) = stage.model.with_value(|model| model.first_of(at)) {
            stage.show_span(first);
        }
    });
    view! {
        {head.view(shared, trace_id, to_trace)}
        <div class="tabs">
            {tabs(|| "waterfall", trace_id, move || trace_id, n_spans)}
            <span class="grow"></span>
            <FindBox stage/>
            <Show when=move || stage.path.with(|path| *path != 0)>
                <button class="btn s" aria-pressed=move || stage.track.get().to_string() class:on=move || stage.track.get() title="What held up the last effect (C)" on:click=move |_| stage.track.update(|on| *on = !*on)>
                    {icon(Icon::Track, false)} "Critical path"
                </button>
            </Show>
            {stage.model.with_value(|model| !model.quiet.is_empty()).then(|| view! {
                <button class="btn s" aria-pressed=move || stage.fold.get().to_string() class:on=move || stage.fold.get() title="Stretches in which nothing ran take little room (F)" on:click=move |_| stage.switch_folds()>
                    {icon(Icon::Fold, false)} "Fold waits"
                </button>
            })}
            {is_cut.then(|| load_more(&search.get_untracked(), format!("/t/{trace_id}")))}
            {(n_traces > 1 || alone.get_untracked()).then(|| {
                let link = move || format!("/t/{trace_id}{}", url::with_parameters(&search.get(), &[("alone", (!alone.get()).then_some("1")), ("x", None), ("root", None), ("shut", None)]));
                view! { <a class="btn s" class:on=move || alone.get() href=link title="Without the other traces of its journey">{move || if alone.get() { "Whole journey" } else { "This trace only" }}</a> }
            })}
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
                    <span><kbd>"R"</kbd> "as root"</span>
                    <span><kbd>"Y"</kbd> "copy link"</span>
                    <span class="grow"></span>
                    <span>{foot}</span>
                </div>
            </div>
            <Show when=move || stage.inspector.get()><Inspector stage trace_start=start/></Show>
        </div>
    }
}

/// Keeps selection, find text, rows and part of the time in step with the URL, both ways. Until all traces are there (`settled`) only
/// the selection and the find text are: moments and rows of the address are those of the whole.
fn follow_url(stage: Stage, trace_id: TraceId, settled: RwSignal<bool>) {
    let location = use_location();
    let params = use_params_map();
    let navigate = use_navigate();
    let duration = stage.duration_nanos();
    let asked = location.search.get_untracked();
    if let Some(text) = parameter(&asked, "find") {
        stage.find.set(text);
    }
    let restored = RwSignal::new(false);
    Effect::new(move |_| {
        if !settled.get() || restored.get_untracked() {
            return;
        }
        restored.set(true);
        if let Some(text) = parameter(&asked, "shut") {
            stage.shut_like(&text);
        }
        let only = parameter(&asked, "only").map(|name| Only::named(&name)).unwrap_or_default();
        let root = parameter(&asked, "root").and_then(|id| SpanId::from_hex(&id));
        let root = root.and_then(|id| stage.model.with_value(|model| model.tree.find_id(id)));
        if only != Only::All || root.is_some() {
            stage.show_only(only, root);
        }
        if parameter(&asked, "cp").as_deref() == Some("0") {
            stage.track.set(false);
        }
        if parameter(&asked, "fold").as_deref() == Some("0") {
            stage.fold.set(false);
        }
        if let Some(window) = parameter(&asked, "x").and_then(|text| Window::read(&text, duration)) {
            stage.window.set(window);
        }
    });
    // URL to page: a link, back and forward.
    Effect::new(move |_| {
        let (trace, span) = params.with(|params| (params.get("trace"), params.get("span")));
        let Some(trace) = trace.as_deref().and_then(TraceId::from_hex) else { return };
        let Some(span_id) = span.as_deref().and_then(SpanId::from_hex) else { return };
        let index = stage.model.with_value(|model| model.find(trace, span_id));
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
        stage.rows.track();
        let (only, root, track, fold) = (stage.only.get(), stage.root.get(), stage.track.get(), stage.fold.get());
        let is_whole = restored.get();
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
            let place = stage.model.with_value(|model| {
                // A crossing has no address of its own.
                let index = selected.map(Row::index).filter(|_| matches!(selected, Some(Row::Span(_))))?;
                if model.tree.is_between(index) {
                    return None;
                }
                Some((model.trace(index)?, model.tree.spans.span_id.get(index).copied()?))
            });
            let (shut, root) = stage.model.with_value(|model| {
                (model.tree.shut_text(), root.and_then(|root| model.tree.spans.span_id.get(root)).map(|id| id.to_hex()))
            });
            let Some((path, search)) = window_location() else { return };
            // Another trace, or another page, is on its way.
            let shown = path.strip_prefix("/t/").and_then(|rest| TraceId::from_hex(rest.split('/').next()?));
            let is_here = |id: TraceId| id == trace_id || stage.model.with_value(|model| model.traces.contains(&id));
            if !shown.is_some_and(is_here) {
                return;
            }
            let text = Some(text.trim()).filter(|text| !text.is_empty());
            let mut changes = vec![("find", text)];
            if is_whole {
                changes.extend([
                    ("x", window.as_deref()),
                    ("only", Some(only.name()).filter(|name| !name.is_empty())),
                    ("root", root.as_deref()),
                    ("shut", shut.as_deref()),
                    ("cp", (!track).then_some("0")),
                    ("fold", (!fold).then_some("0")),
                ]);
            }
            let query = url::with_parameters(&search, &changes);
            let place = place.map_or_else(|| format!("/t/{trace_id}"), |(trace, span)| format!("/t/{trace}/{span}"));
            let link = format!("{place}{query}");
            if link != format!("{path}{search}") {
                navigate(&link, NavigateOptions { replace: true, scroll: false, ..NavigateOptions::default() });
            }
        });
    });
}

/// A link that asks for twice as much of a journey; `None` when no more is given.
pub(crate) fn load_more(search: &str, path: String) -> Option<impl IntoView + use<>> {
    let next = Some(wider(search) * 2).filter(|next| *next <= WIDER_MAX)?;
    let query = url::with_parameters(search, &[("wider", Some(&next.to_string())), ("shut", None), ("x", None)]);
    let title = format!("{next} times as many traces and spans as are joined by themselves");
    Some(view! { <a class="btn s" href=format!("{path}{query}") title=title>"Load more"</a> })
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
