//! System: what came in, what was refused, where it lies, how far journeys are at rest, which limits hold, and from
//! SQL over the range: how messages were joined, which SDKs send.

use std::collections::BTreeMap;

use api::{Problem, SlowQuestion, SqlAnswer, SqlRequest, StatusAnswer};
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::hooks::use_location;
use serde_json::Value as Json;

use crate::asking::by_the_clock;
use crate::client;
use crate::components::states::{ErrorBox, Skeleton};
use crate::view::url::{self, RangeText};
use crate::view::{clock, format};

/// Seconds between two looks.
const PERIOD_MS: u32 = 5_000;
/// How messages were joined to what sent them.
const JOINS: &str = "SELECT joined_by, count(*) AS messages FROM hops WHERE time >= $from AND time < $to GROUP BY joined_by ORDER BY messages DESC";
/// Deliveries seen: each is joined or not.
const DELIVERIES: &str =
    "SELECT count(*) AS spans FROM spans WHERE start_time >= $from AND start_time < $to AND kind = 5";
/// What sends.
const SDKS: &str = "SELECT coalesce(telemetry_sdk_language, 'not said') AS language, coalesce(resource_attr('telemetry.sdk.name'), '') AS sdk, coalesce(resource_attr('telemetry.sdk.version'), '') AS version, coalesce(scope_schema_url, '') AS conventions, count(DISTINCT service_name) AS services, count(*) AS spans FROM spans WHERE start_time >= $from AND start_time < $to GROUP BY 1, 2, 3, 4 ORDER BY spans DESC";

/// Figures of the collector, looked at again every five seconds.
#[component]
pub(crate) fn SystemPage() -> impl IntoView {
    let found = RwSignal::new(None::<Result<StatusAnswer, Problem>>);
    let look = move || spawn_local(async move { found.try_set(Some(client::status().await)).map_or((), drop) });
    look();
    by_the_clock(std::time::Duration::from_millis(PERIOD_MS.into()), look);
    let search = use_location().search;
    let asked = RwSignal::new([const { None::<Result<SqlAnswer, Problem>> }; 3]);
    Effect::new(move |_| {
        let range = RangeText::read(&search.get());
        spawn_local(async move {
            for (at, sql) in [JOINS, DELIVERIES, SDKS].into_iter().enumerate() {
                let request = SqlRequest {
                    sql: sql.to_owned(),
                    from: Some(Json::String(range.from.clone())),
                    to: Some(Json::String(range.to.clone())),
                    limit: Some(40),
                    ..SqlRequest::default()
                };
                let answer = client::sql(&request).await;
                asked.try_update(|asked| asked[at] = Some(answer));
            }
        });
    });
    view! {
        <div class="page">
            {move || match found.get() {
                None => view! { <Skeleton rows=8/> }.into_any(),
                Some(Err(problem)) => view! { <ErrorBox problem retry=Callback::new(move |()| look())/> }.into_any(),
                Some(Ok(status)) => report(status).into_any(),
            }}
            <div class="cards">
                {move || joins(&asked.get(), &search.get())}
                {move || sdks(&asked.get()[2], &search.get())}
            </div>
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
        ("Disk lasts", lasts(storage.disk_days_left, storage.retention_days)),
        ("Kept for", format::counted(storage.retention_days.into(), "day")),
        ("As flushed, merged once, more", storage.segments_by_level.map(format::count).join(" · ")),
    ];
    let care = storage.maintenance;
    let moment = |text: Option<String>| {
        text.map_or_else(|| "not yet".to_owned(), |text| clock::day_and_time(text.parse().unwrap_or_default()))
    };
    let upkeep = [
        ("Due for merging", format::counted(care.merge_backlog_segments, "segment")),
        ("Waiting because", care.merges_waiting.unwrap_or_else(|| "nothing waits".to_owned())),
        ("Merges", format::count(care.merges)),
        ("Merges refused (disk full)", format::count(care.merges_refused)),
        ("Last merge", moment(care.last_merge_unix_nano)),
        ("Last look at retention", moment(care.last_retention_unix_nano)),
        ("Expired", format::counted(care.expired_segments, "segment")),
        ("Files removed", format::count(care.vacuumed_files)),
        ("Erasures not rewritten yet", format::count(care.erasures)),
        ("Rows erased on request", format::count(care.erased_rows)),
    ];
    let digest = status.digest;
    let behind =
        if digest.behind_seconds > 0.0 { format!("{:.0} s", digest.behind_seconds) } else { "in time".to_owned() };
    let at_rest = match digest.at_rest_until_unix_nano.parse::<i64>() {
        Ok(nanos) if nanos > 0 => clock::day_and_time(nanos),
        _ => "nothing yet".to_owned(),
    };
    let settled = [
        ("Switched on", if digest.is_on { "yes" } else { "no: set digest = true" }.to_owned()),
        ("Behind", if digest.catching_up { format!("{behind}, catching up") } else { behind }),
        ("At rest until", at_rest),
        (
            "Open traces",
            format!(
                "{} · {} spans · {}",
                format::count(digest.open_traces),
                format::count(digest.open_spans),
                format::bytes(digest.memory_bytes)
            ),
        ),
        ("Looked at", format!("{} traces · {} spans", format::count(digest.traces), format::count(digest.spans))),
        ("Again, because spans came late", format::count(digest.late_traces)),
        ("Before they had settled", format::count(digest.early_traces)),
        ("Taken for new without a look", format::count(digest.unchecked_traces)),
        ("Spans left out of too large traces", format::count(digest.left_out_spans)),
        ("Read again from storage", format::count(digest.gaps)),
        ("Attempts that failed", format::count(digest.failures)),
    ];
    let redacted = status.ingest.repaired.iter().filter(|(name, _)| name.ends_with("/redacted")).map(|(_, n)| n).sum();
    let in_force = [
        ("OTLP request", format::bytes(limits.otlp_request_bytes)),
        ("OTLP requests at once", format::bytes(limits.otlp_in_flight_bytes)),
        ("A tenant's bytes", per_second(limits.tenant_bytes_per_second, format::bytes)),
        ("A tenant's items", per_second(limits.tenant_items_per_second, format::count)),
        (
            "A tenant's active series",
            if limits.tenant_series == 0 { "any number".to_owned() } else { format::count(limits.tenant_series) },
        ),
        ("SQL time", format!("{} s", limits.query_seconds)),
        ("SQL memory", format::bytes(limits.query_memory_bytes)),
        ("SQL rows", format::count(limits.query_rows)),
    ];
    view! {
        {storage.refusing.map(|why| view! { <div class="notice bad" role="alert"><b>"Data is refused at the moment: "</b>{why}</div> })}
        {storage.replaying.then(|| view! { <div class="notice" role="status">"Old WAL files are still being read; answers may lack the last minutes before the restart."</div> })}
        {status.is_reduced.then(|| view! { <div class="notice" role="status">"This key may read. Figures of the whole collector need a key with the scope admin."</div> })}
        <div class="cards">
            {card("Collector", collector)}
            {(!status.is_reduced).then(|| view! {
                {card("Storage", kept)}
                {card("Journeys at rest", settled)}
                {card("Upkeep", upkeep)}
                {counts("Accepted", status.ingest.accepted, false)}
                {counts("Refused", status.ingest.rejected, true)}
                {counts("Mended on entry", status.ingest.repaired, false)}
                {counts("Requests answered", status.ingest.requests, false)}
                {card("Limits", in_force)}
                {redaction(redacted, status.ingest.redaction)}
                {slow_questions(status.queries.slow)}
            })}
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

/// How long the disk lasts at this pace.
fn lasts(days: Option<u32>, retention_days: u32) -> String {
    match days {
        None => "not known yet".to_owned(),
        Some(days) if days >= retention_days => "longer than data is kept".to_owned(),
        Some(0) => "less than a day".to_owned(),
        Some(days) => format::counted(days.into(), "day"),
    }
}

/// Questions that took more than a second.
fn slow_questions(all: Vec<SlowQuestion>) -> impl IntoView {
    let none = all.is_empty();
    let lines = all.into_iter().map(|one| {
        let nanos = (one.elapsed_ms * 1e6) as u64;
        let ended = if one.status < 400 { String::new() } else { format!(" (ended with {})", one.status) };
        let at = clock::day_and_time(one.asked_unix_nano.parse().unwrap_or_default());
        let question = one.question.split_whitespace().collect::<Vec<_>>().join(" ");
        let has_failed = one.status >= 400;
        view! {
            <dt class:bad=has_failed title=at>{format!("{}{ended}", format::duration(nanos))}</dt>
            <dd class="mono" title=one.question.clone()>{question}</dd>
        }
    });
    view! {
        <section class="card">
            <h2 class="h">"Slow questions"</h2>
            <dl class="kv">{lines.collect_view()}</dl>
            {none.then(|| view! { <p class="faint">"none took more than a second since the start"</p> })}
        </section>
    }
}

/// A rate, 0 being none.
fn per_second(rate: u64, format: fn(u64) -> String) -> String {
    if rate == 0 { "any number".to_owned() } else { format!("{} a second", format(rate)) }
}

/// What is not kept as it was sent: how often, and by which rules.
fn redaction(items: u64, rules: Vec<String>) -> impl IntoView {
    let n_rules = format::counted(rules.len() as u64, "rule");
    let shown = if rules.is_empty() { "everything is kept as it was sent".to_owned() } else { rules.join(", ") };
    view! {
        <section class="card">
            <h2 class="h">"Redaction"</h2>
            <dl class="kv"><dt>"Items redacted"</dt> <dd>{format::count(items)}</dd> <dt>"In force"</dt> <dd>{n_rules}</dd></dl>
            <p class="faint">{shown}</p>
        </section>
    }
}

/// Rows of an answer as text; what went wrong instead.
fn rows(answer: &Option<Result<SqlAnswer, Problem>>) -> Result<Vec<Vec<String>>, String> {
    match answer {
        None => Err("asking …".to_owned()),
        Some(Err(problem)) => Err(format!("{}: {}", problem.title, problem.detail)),
        Some(Ok(answer)) => {
            let text = |value: &Json| {
                value
                    .as_str()
                    .map_or_else(|| if value.is_null() { String::new() } else { value.to_string() }, str::to_owned)
            };
            Ok(answer.rows.iter().map(|row| row.iter().map(text).collect()).collect())
        }
    }
}

/// A link to the statement behind a card.
fn behind(sql: &str, search: &str) -> String {
    format!("/sql{}", url::with_parameters(&url::shared(search), &[("sql", Some(sql))]))
}

fn joins(asked: &[Option<Result<SqlAnswer, Problem>>; 3], search: &str) -> impl IntoView + use<> {
    let link = behind(JOINS, search);
    let body = match (rows(&asked[0]), rows(&asked[1])) {
        (Err(why), _) | (_, Err(why)) => view! { <p class="faint">{why}</p> }.into_any(),
        (Ok(joined), Ok(spans)) => {
            let number = |text: Option<&String>| text.and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
            let deliveries = number(spans.first().and_then(|row| row.first()));
            let all: u64 = joined.iter().map(|row| number(row.get(1))).sum();
            let lines = joined.iter().map(|row| {
                let why = match row.first().map(String::as_str).unwrap_or_default() {
                    "parent" => "The producer is the parent",
                    "link" => "A link names the producer",
                    "both" => "Parent and link",
                    "message_id" => "Same message id, no link",
                    _ => "Otherwise",
                };
                view! { <dt>{why}</dt> <dd>{format!("{} · {}", format::count(number(row.get(1))), format::percent(number(row.get(1)), all))}</dd> }
            });
            let missing = deliveries.saturating_sub(all);
            view! {
                <dl class="kv">
                    {lines.collect_view()}
                    <dt>"Joined to nothing"</dt> <dd class:hot=missing != 0>{format!("{} of {} consumer spans", format::count(missing), format::count(deliveries))}</dd>
                </dl>
                {(missing > 0).then(|| view! { <p class="faint">"A consumer span is joined by its parent, by a link to the producer, or by messaging.message.id on both sides. The last half minute is not counted yet."</p> })}
                {(deliveries == 0).then(|| view! { <p class="faint">"No span of kind consumer in this range."</p> })}
            }
            .into_any()
        }
    };
    view! { <section class="card"><div class="row"><h2 class="h">"Messages joined to their producers"</h2><span class="grow"></span><a class="acc n" href=link>"SQL"</a></div>{body}</section> }
}

fn sdks(answer: &Option<Result<SqlAnswer, Problem>>, search: &str) -> impl IntoView + use<> {
    let link = behind(SDKS, search);
    let body = match rows(answer) {
        Err(why) => view! { <p class="faint">{why}</p> }.into_any(),
        Ok(rows) if rows.is_empty() => view! { <p class="faint">"No span in this range."</p> }.into_any(),
        Ok(rows) => {
            let lines = rows.into_iter().map(|row| {
                let cell = |at: usize| row.get(at).cloned().unwrap_or_default();
                let sdk = format!("{} {} {}", cell(0), cell(1), cell(2));
                let conventions = cell(3).rsplit('/').next().unwrap_or_default().to_owned();
                let spans = cell(5).parse::<u64>().unwrap_or_default();
                view! {
                    <tr>
                        <td>{sdk}</td>
                        <td class="dim">{if conventions.is_empty() { "not said".to_owned() } else { conventions }}</td>
                        <td class="num">{cell(4)}</td>
                        <td class="num dim">{format::short_count(spans)}</td>
                    </tr>
                }
            });
            view! {
                <table>
                    <caption class="sr">"SDKs that send"</caption>
                    <thead><tr><th>"SDK"</th><th>"Conventions"</th><th class="num">"Services"</th><th class="num">"Spans"</th></tr></thead>
                    <tbody>{lines.collect_view()}</tbody>
                </table>
            }
            .into_any()
        }
    };
    view! { <section class="card wide"><div class="row"><h2 class="h">"SDKs and conventions seen"</h2><span class="grow"></span><a class="acc n" href=link>"SQL"</a></div>{body}</section> }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_lasts_in_words() {
        let said = [None, Some(0), Some(1), Some(12), Some(30)].map(|days| lasts(days, 30));
        assert_eq!(said, ["not known yet", "less than a day", "1 day", "12 days", "longer than data is kept"]);
    }
}
