//! How long messages waited in each partition of the selected queue, or on the selected way out of one.

use std::sync::Arc;

use api::{MapAnswer, Problem};
use leptos::prelude::*;
use model::semconv::key;

use super::class_of;
use super::over_time::{PAUSE_MS, over_range};
use crate::app::Shared;
use crate::asking::ask_newest_after;
use crate::client;
use crate::components::states::behind;
use crate::view::behind as sql;
use crate::view::format;
use crate::view::journey::facts::label;
use crate::view::partitions::{Partition, partitions};

/// Partitions asked for, the slowest first: enough to know what is usual among them.
const ASKED_MAX: usize = 1_000;
/// Rows shown of them.
const ROWS_MAX: usize = 24;

type Found = Result<Vec<Partition>, Problem>;

/// The partitions of the selection, asked for whenever it changes.
#[derive(Clone, Copy)]
pub(super) struct Partitions {
    selected: Memo<Option<String>>,
    /// What they are of, and they.
    found: RwSignal<Option<(String, Found)>>,
}

/// The queue of a selection, and its consumer when that is selected too; `None` for what has no partitions.
fn of(answer: &MapAnswer, selected: &str) -> Option<(String, Option<String>)> {
    if selected.starts_with("queue:") && answer.nodes.iter().any(|node| node.node == selected) {
        return Some((selected.to_owned(), None));
    }
    let edge = answer.edges.iter().find(|edge| super::edge_key(edge) == selected)?;
    let is_delivery = edge.source.starts_with("queue:") && edge.target.starts_with("service:");
    is_delivery.then(|| (edge.source.clone(), Some(edge.target.clone())))
}

impl Partitions {
    /// Asks for whatever is selected.
    pub(super) fn new(answer: &Arc<MapAnswer>, env: Option<String>, selected: Memo<Option<String>>) -> Self {
        let found = RwSignal::new(None);
        let answer = Arc::clone(answer);
        ask_newest_after(
            PAUSE_MS,
            move || {
                let selected = selected.get()?;
                let (queue, consumer) = of(&answer, &selected)?;
                let sql = sql::partitions(&queue, consumer.as_deref());
                Some((selected, over_range(&answer, env.clone(), sql, ASKED_MAX)))
            },
            |(selected, request)| async move { (selected, client::sql(&request).await) },
            move |(selected, answer)| found.set(Some((selected, answer.map(|answer| partitions(&answer.rows))))),
        );
        Self { selected, found }
    }

    /// The table; nothing for what has no partitions, and until the answer is there.
    pub(super) fn view(self, answer: &Arc<MapAnswer>, shared: Shared) -> impl IntoView + use<> {
        let answer = Arc::clone(answer);
        move || {
            let selected = self.selected.get()?;
            let (queue, consumer) = of(&answer, &selected)?;
            let (_, found) = self.found.get().filter(|(of, _)| *of == selected)?;
            let head = view! { <div class="row top"><h3 class="h">"Lag by partition"</h3><span class="grow"></span> {behind(&sql::partitions(&queue, consumer.as_deref()))}</div> };
            let body = match found {
                Err(problem) => view! { <p class="faint">{format!("Not known: {}", problem.title)}</p> }.into_any(),
                Ok(all) if all.is_empty() => view! {
                    <p class="faint">"No consumer says which partition its messages came from. Its spans say so with the attribute " <span class="mono">{key::MESSAGING_PARTITION}</span> "."</p>
                }.into_any(),
                Ok(all) => table(&all, consumer.is_none(), shared).into_any(),
            };
            Some(view! { <div class="partitions">{head} {body}</div> })
        }
    }
}

fn table(all: &[Partition], with_consumer: bool, shared: Shared) -> impl IntoView + use<> {
    let more = all.len().saturating_sub(ROWS_MAX);
    let longest = all.iter().map(|one| one.wait_p95).fold(1.0, f64::max);
    let rows: Vec<_> = all
        .iter()
        .take(ROWS_MAX)
        .map(|one| {
            let width = format!("{:.1}%", (one.wait_p95 / longest * 100.0).max(1.0));
            let nanos = |nanos: f64| format::duration(nanos.max(0.0) as u64);
            let consumer = with_consumer.then(|| {
                view! { <td><span class=format!("svc {}", class_of(shared, &one.consumer))><span class="ell">{label(&one.consumer).to_owned()}</span></span></td> }
            });
            let bad = one.errors > 0 && one.errors.saturating_mul(100) >= one.deliveries;
            view! {
                <tr>
                    {consumer}
                    <td class="mono">{one.name.clone()}</td>
                    <td class="num dim">{format::count(one.deliveries)}</td>
                    <td class="num" class:bad=bad>{format::percent(one.errors, one.deliveries)}</td>
                    <td class="num semi" class:hot=one.is_slow>{nanos(one.wait_p95)} {one.is_slow.then_some(" slow")}<i class="hatch" class:hot=one.is_slow style:width=width></i></td>
                    <td class="num dim">{nanos(one.newest)}</td>
                </tr>
            }
        })
        .collect();
    view! {
        <table class="lags">
            <caption class="sr">"Wait of messages by partition, the longest first"</caption>
            <thead><tr>{with_consumer.then(|| view! { <th>"Consumer"</th> })}<th>"Partition"</th><th class="num">"Messages"</th><th class="num">"Errors"</th><th class="num">"p95 wait"</th><th class="num">"Newest"</th></tr></thead>
            <tbody>{rows}</tbody>
        </table>
        {(more > 0).then(|| view! { <p class="faint n">{format!("+ {more} that wait less")}</p> })}
    }
}
