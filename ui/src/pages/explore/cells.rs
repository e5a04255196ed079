//! The cells of a row: one thing that is known of a hit each.

use api::SearchItem;
use leptos::prelude::*;

use super::link;
use crate::app::Shared;
use crate::components::shape_strip::{journey_shape, shape_strip};
use crate::view::columns::{Column, Tells};
use crate::view::shape::Pieces;
use crate::view::{clock, format};

/// What the cells of all rows need.
#[derive(Clone)]
pub(super) struct Ground {
    pub(super) shared: Shared,
    /// What the address says, of which links carry a part.
    pub(super) search: String,
    /// Nanoseconds that a whole shape stands for.
    pub(super) scale: u64,
    /// Times say their day.
    pub(super) dated: bool,
    pub(super) ways: RwSignal<Pieces>,
}

/// A number or a word; most cells are one.
fn plain(class: &'static str, text: String) -> AnyView {
    view! { <td class=class>{text}</td> }.into_any()
}

fn service(ground: &Ground, name: &str) -> AnyView {
    view! { <span class=format!("svc {}", ground.shared.color_class(name))>{name.to_owned()}</span> }.into_any()
}

/// What it is: a link with the service before the name and what stands out behind it.
fn what(ground: &Ground, item: &SearchItem, of: &str, name: &str, chip: Option<(&'static str, String)>) -> AnyView {
    let href = link(item, &ground.search);
    let chip = chip.map(|(class, text)| view! { <span class=class>{text}</span> });
    let of = (!of.is_empty()).then(|| service(ground, of));
    view! { <td class="what"><a href=href>{of} <span class="name">{name.to_owned()}</span> {chip}</a></td> }.into_any()
}

fn result(said: &str, failed: bool, is_bad: bool) -> AnyView {
    let text = match (said, failed) {
        ("", true) => "error",
        ("", false) => "ok",
        (said, _) => said,
    };
    plain(if is_bad { "result bad" } else { "result" }, text.to_owned())
}

fn errors(count: u64) -> AnyView {
    plain(if count > 0 { "num bad" } else { "num faint" }, format::count(count))
}

/// Several names, of which the cell has room for some.
fn several(names: &[String]) -> AnyView {
    let all = names.join(", ");
    view! { <td class="of dim" title=all.clone()>{all.clone()}</td> }.into_any()
}

fn id(text: &str) -> AnyView {
    view! { <td class="mono faint" title=text.to_owned()>{format::short_id(text)}</td> }.into_any()
}

/// One thing about one hit.
pub(super) fn cell(ground: &Ground, column: &Column, item: &SearchItem) -> AnyView {
    let (shared, scale) = (ground.shared, ground.scale);
    let proto = |badge: &String| (!badge.is_empty()).then(|| ("proto", badge.clone()));
    let when = |text: &str| {
        let nanos = text.parse().unwrap_or_default();
        plain("mono dim", if ground.dated { clock::day_and_time(nanos) } else { clock::time_of_day(nanos) })
    };
    match (item, column.tells) {
        (SearchItem::Journey(item), Tells::When) => when(&item.start_unix_nano),
        (SearchItem::Trace(item), Tells::When) => when(&item.start_unix_nano),
        (SearchItem::Span(item), Tells::When) => when(&item.start_unix_nano),
        (SearchItem::Journey(journey), Tells::What) => {
            let class = if journey.worst_severity == "error" { "chip bad" } else { "chip hot" };
            let is_finding = matches!(journey.worst_severity.as_str(), "error" | "warning");
            let finding = is_finding.then(|| (class, journey.worst_finding.replace('_', " ")));
            what(ground, item, &journey.service, &journey.name, finding.filter(|(_, text)| !text.is_empty()))
        }
        (SearchItem::Trace(trace), Tells::What) => {
            let missing = (!trace.has_root).then(|| ("chip hot", "root missing".to_owned()));
            what(ground, item, &trace.service, &trace.name, missing.or_else(|| proto(&trace.badge)))
        }
        (SearchItem::Span(span), Tells::What) => what(ground, item, "", &span.name, proto(&span.badge)),
        (SearchItem::Journey(item), Tells::Shape) => {
            let title = format!("{}; {}", item.services.join(", "), item.queues.join(", "));
            view! { <td title=title>{journey_shape(shared, item, scale, ground.ways)}</td> }.into_any()
        }
        (SearchItem::Trace(item), Tells::Shape) => view! { <td>{shape_strip(shared, item, scale)}</td> }.into_any(),
        (SearchItem::Journey(item), Tells::Duration) => plain("num semi", format::duration(item.settled_nanos)),
        (SearchItem::Trace(item), Tells::Duration) => plain("num semi", format::duration(item.duration_nanos)),
        (SearchItem::Span(item), Tells::Duration) => plain("num semi", format::duration(item.duration_nanos)),
        (SearchItem::Journey(item), Tells::Answer) => plain("num dim", format::duration(item.response_nanos)),
        (SearchItem::Journey(item), Tells::Wait) => {
            let waits = item.wait_nanos.saturating_mul(4) >= item.settled_nanos.max(1) && item.wait_nanos > 10_000_000;
            let text = if item.hops == 0 { "–".to_owned() } else { format::duration(item.wait_nanos) };
            plain(if waits { "num hot semi" } else { "num dim" }, text)
        }
        (SearchItem::Journey(item), Tells::Messages) => plain("num dim", format::count(item.hops)),
        (SearchItem::Journey(item), Tells::Spans) => plain("num dim", format::count(item.spans)),
        (SearchItem::Trace(item), Tells::Spans) => plain("num dim", format::count(item.spans)),
        (SearchItem::Journey(item), Tells::Services) => several(&item.services),
        (SearchItem::Trace(item), Tells::Services) => {
            let listed = item.services.iter().map(|share| share.name.as_str()).collect::<Vec<_>>().join(", ");
            view! { <td class="num dim" title=listed>{format::count(item.services.len() as u64)}</td> }.into_any()
        }
        (SearchItem::Journey(item), Tells::Queues) => several(&item.queues),
        (SearchItem::Journey(item), Tells::Errors) => errors(item.errors),
        (SearchItem::Trace(item), Tells::Errors) => errors(item.errors),
        (SearchItem::Journey(item), Tells::Result) => {
            result(&item.result, item.error, item.error || is_failure(&item.result))
        }
        (SearchItem::Trace(item), Tells::Result) => {
            let failed = item.errors > 0;
            result(&item.result, failed, is_failure(&item.result) || (item.result.is_empty() && failed))
        }
        (SearchItem::Span(item), Tells::Result) => {
            let is_bad = item.status == "error";
            plain(if is_bad { "result bad" } else { "result" }, item.status.clone())
        }
        (SearchItem::Span(item), Tells::Service) => {
            view! { <td class="of" title=item.service.clone()>{service(ground, &item.service)}</td> }.into_any()
        }
        (SearchItem::Span(item), Tells::Kind) => plain("dim", item.kind.clone()),
        (SearchItem::Journey(item), Tells::Id) => id(&item.id),
        (SearchItem::Trace(item), Tells::Id) => id(&item.trace_id.to_hex()),
        (SearchItem::Span(item), Tells::Id) => id(&item.trace_id.to_hex()),
        // A column of another unit.
        _ => plain("", String::new()),
    }
}

/// A status of 500 and up, or the name of an error.
fn is_failure(result: &str) -> bool {
    match result.parse::<u16>() {
        Ok(status) => status >= 500,
        Err(_) => !result.is_empty() && !result.eq_ignore_ascii_case("ok"),
    }
}
