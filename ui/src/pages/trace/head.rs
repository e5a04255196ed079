//! The header of a trace, or of the traces of a journey: what it was, how long it took, which traces there are.

use leptos::prelude::*;
use leptos_router::hooks::use_location;
use model::TraceId;

use crate::app::Shared;
use crate::components::icon::{Icon, icon};
use crate::components::journey::inspector::letter;
use crate::view::stitched::{CROSSING, Stitched};
use crate::view::{clock, format, url};

/// OTLP's number of the kind server.
const SERVER: u8 = 2;
/// Traces named in the header.
const TRACES_MAX: usize = 4;

/// What the header says.
pub(super) struct Head {
    name: String,
    badge: String,
    detail: String,
    root_failed: bool,
    total: u64,
    root: Option<u64>,
    root_is_server: bool,
    pub(super) n_spans: u64,
    traces: Vec<(TraceId, u64)>,
    n_services: u64,
    n_errors: u64,
    started: String,
    pub(super) notes: Vec<String>,
}

impl Head {
    /// Of what is shown, which began at `start` (nanoseconds since 1970).
    pub(super) fn new(stitched: &Stitched, start: i64) -> Self {
        let timeline = &stitched.timeline;
        let spans = &timeline.spans;
        let of_trace = |at: usize| {
            let rows = stitched.trace_of.iter().zip(&spans.kind);
            rows.filter(|(trace, kind)| usize::from(**trace) == at && **kind < CROSSING).count() as u64
        };
        // A message may stand before the first span, and is no span.
        let root = spans.kind.iter().position(|kind| *kind < CROSSING).unwrap_or_default();
        let text = |column: &[u32]| {
            column.get(root).and_then(|index| timeline.texts.get(*index as usize)).cloned().unwrap_or_default()
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
            root_failed: spans.flags.get(root).is_some_and(|flags| is_error(&flags)),
            total: timeline.duration_nanos,
            root: spans.duration_nanos.get(root).copied(),
            root_is_server: spans.kind.get(root) == Some(&SERVER),
            n_spans: timeline.spans_total.max((spans.kind.iter().filter(|kind| **kind < CROSSING).count()) as u64),
            traces: stitched.traces.iter().enumerate().map(|(at, trace)| (*trace, of_trace(at))).collect(),
            n_services: timeline.services.len() as u64,
            n_errors: spans.flags.iter().filter(is_error).count() as u64,
            started: clock::day_and_time(start),
            notes,
        }
    }

    /// The header; `trace_id` is what was asked for, and `go` leads to the trace at a position of those on the page.
    pub(super) fn view(self, shared: Shared, trace_id: TraceId, go: Callback<usize>) -> impl IntoView {
        let id = trace_id.to_hex();
        let copied = id.clone();
        let took = if self.root_is_server { "caller answered in" } else { "the first span took" };
        let differs = self.root.filter(|root| *root != self.total);
        let search = use_location().search;
        let whole = self.n_spans;
        let stitch = if self.traces.len() < 2 {
            view! {
                <button class="t" title=format!("Copy the trace id {id}") on:click=move |_| shared.copy(copied.clone(), "Trace id")>
                    <b>"Trace"</b><span class="mono dim">{format::short_id(&id)}</span><span class="faint">{format::counted(whole, "span")}</span>
                    {icon(Icon::Copy, true)}
                </button>
            }
            .into_any()
        } else {
            let more = self.traces.len().saturating_sub(TRACES_MAX);
            let chips = self.traces.iter().take(TRACES_MAX).enumerate().map(|(at, (trace, n_spans))| {
                let (trace, n_spans) = (*trace, *n_spans);
                let link = move || format!("/t/{trace}{}", url::shared(&search.get()));
                let show = move |event: web_sys::MouseEvent| {
                    // With a key held it is opened elsewhere.
                    if !(event.ctrl_key() || event.meta_key() || event.shift_key()) {
                        event.prevent_default();
                        go.run(at);
                    }
                };
                view! {
                    {(at > 0).then(|| view! { <i class="join" aria-hidden="true"></i> })}
                    <a class="t" href=link on:click=show title=format!("Trace {trace}, {}", format::counted(n_spans, "span"))>
                        <b>{letter(at)}</b><span class="mono dim">{format::short_id(&trace.to_hex())}</span><span class="faint">{format::count(n_spans)}</span>
                    </a>
                }
            });
            view! { {chips.collect_view()} {(more > 0).then(|| view! { <span class="faint n">{format!("+ {more}")}</span> })} }.into_any()
        };
        view! {
            <div class="thead">
                <h1>
                    {(!self.badge.is_empty()).then(|| view! { <span class="proto">{self.badge.clone()}</span> })}
                    <span class="ell" title=self.name.clone()>{self.name.clone()}</span>
                    {self.root_failed.then(|| view! { <span class="chip bad">"error"</span> })}
                    {(!self.detail.is_empty()).then(|| view! { <span class="chip" class:good=!self.root_failed class:bad=self.root_failed>{self.detail.clone()}</span> })}
                </h1>
                <div class="stitch">{stitch}</div>
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
