//! System: what came in, what was refused, where it lies, which limits hold.

use std::collections::BTreeMap;

use api::{Problem, StatusAnswer};
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::client;
use crate::components::states::{ErrorBox, Skeleton};
use crate::view::{clock, format};

/// Seconds between two looks.
const PERIOD_MS: u32 = 5_000;

/// Figures of the collector, looked at again every five seconds.
#[component]
pub(crate) fn SystemPage() -> impl IntoView {
    let found = RwSignal::new(None::<Result<StatusAnswer, Problem>>);
    let look = move || spawn_local(async move { found.try_set(Some(client::status().await)).map_or((), drop) });
    look();
    if let Ok(timer) = set_interval_with_handle(look, std::time::Duration::from_millis(PERIOD_MS.into())) {
        on_cleanup(move || timer.clear());
    }
    view! {
        <div class="page">
            {move || match found.get() {
                None => view! { <Skeleton rows=8/> }.into_any(),
                Some(Err(problem)) => view! { <ErrorBox problem retry=Callback::new(move |()| look())/> }.into_any(),
                Some(Ok(status)) => report(status).into_any(),
            }}
        </div>
    }
}

fn report(status: StatusAnswer) -> impl IntoView {
    let storage = status.storage;
    let limits = status.limits;
    let started = clock::rfc3339(status.started_unix_nano.parse().unwrap_or_default());
    let collector = [
        ("Version", status.version),
        ("Running since", started),
        ("OTLP/gRPC", status.otlp_grpc),
        ("OTLP/HTTP", status.otlp_http),
        ("Acknowledged means", if status.durability == "sync" { "on disk".to_owned() } else { status.durability }),
    ];
    let kept = [
        ("Data", storage.data),
        (
            "Segments",
            format!(
                "{} · {} rows · {}",
                format::count(storage.segments),
                format::count(storage.segment_rows),
                format::bytes(storage.segment_bytes)
            ),
        ),
        (
            "Write buffer",
            format!("{} rows · {}", format::count(storage.buffer_rows), format::bytes(storage.buffer_bytes)),
        ),
        ("WAL files", format::bytes(storage.wal_bytes)),
        ("Waiting for the WAL", format::bytes(storage.append_queue_bytes)),
        ("Free on disk", storage.disk_free_bytes.map_or_else(|| "unknown".to_owned(), format::bytes)),
        ("Kept for", format::counted(storage.retention_days.into(), "day")),
    ];
    let in_force = [
        ("OTLP request", format::bytes(limits.otlp_request_bytes)),
        ("SQL time", format!("{} s", limits.query_seconds)),
        ("SQL memory", format::bytes(limits.query_memory_bytes)),
        ("SQL rows", format::count(limits.query_rows)),
    ];
    view! {
        {storage.refusing.map(|why| view! { <div class="notice bad" role="alert"><b>"Data is refused at the moment: "</b>{why}</div> })}
        {storage.replaying.then(|| view! { <div class="notice" role="status">"Old WAL files are still being read; answers may lack the last minutes before the restart."</div> })}
        <div class="cards">
            {card("Collector", collector)}
            {card("Storage", kept)}
            {counts("Accepted", status.ingest.accepted, false)}
            {counts("Refused", status.ingest.rejected, true)}
            {counts("Mended on entry", status.ingest.repaired, false)}
            {counts("Requests answered", status.ingest.requests, false)}
            {card("Limits", in_force)}
        </div>
    }
}

fn card<const N: usize>(title: &'static str, lines: [(&'static str, String); N]) -> impl IntoView {
    let lines =
        lines.into_iter().map(|(name, value)| view! { <dt>{name}</dt> <dd title=value.clone()>{value.clone()}</dd> });
    view! { <section class="card"><h2 class="h">{title}</h2><dl class="kv">{lines.collect_view()}</dl></section> }
}

fn counts(title: &'static str, numbers: BTreeMap<String, u64>, is_bad: bool) -> impl IntoView {
    let none = numbers.is_empty();
    let lines = numbers.into_iter().map(|(name, number)| {
        let bad = is_bad && number > 0;
        view! { <dt>{name}</dt> <dd class:bad=bad>{format::count(number)}</dd> }
    });
    view! {
        <section class="card">
            <h2 class="h">{title}</h2>
            <dl class="kv">{lines.collect_view()}</dl>
            {none.then(|| view! { <p class="faint">"nothing since the start"</p> })}
        </section>
    }
}
