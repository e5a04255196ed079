//! How the selected edge went through the range: rate, errors, durations and waits, once the selection rests.

use std::sync::Arc;

use api::{MapAnswer, SqlRequest};
use leptos::prelude::*;

use super::edge_key;
use crate::asking::ask_newest_after;
use crate::client;
use crate::components::spark::spark;
use crate::view::behind as sql;
use crate::view::clock;
use crate::view::format::{self, rate};
use crate::view::scope::Scope;
use crate::view::trend::{self, Trend};
use crate::view::url::RangeText;

/// Milliseconds a selection rests before anything more is asked about it.
pub(super) const PAUSE_MS: u32 = 150;
/// Rows of an answer.
const ROWS_MAX: usize = 200;

/// The lines of the selected edge, asked for whenever the selection changes, and only then.
#[derive(Clone, Copy)]
pub(super) struct OverTime {
    selected: Memo<Option<String>>,
    /// What they are of, and they.
    found: RwSignal<Option<(String, Trend)>>,
}

/// First and last moment of the map, in nanoseconds since 1970.
fn range(answer: &MapAnswer) -> (i64, i64) {
    let nanos = |text: &str| text.parse::<i64>().unwrap_or_default();
    (nanos(&answer.from_unix_nano), nanos(&answer.to_unix_nano))
}

/// A statement over the range of the map, and the environment that it is of.
pub(super) fn over_range(answer: &MapAnswer, env: Option<String>, sql: String, rows: usize) -> SqlRequest {
    let (from, to) = range(answer);
    let range = RangeText { from: clock::rfc3339(from), to: clock::rfc3339(to) };
    SqlRequest { limit: Some(rows), ..Scope { range, env }.statement(sql) }
}

impl OverTime {
    /// Asks for whatever edge is selected.
    pub(super) fn new(answer: &Arc<MapAnswer>, env: Option<String>, selected: Memo<Option<String>>) -> Self {
        let found = RwSignal::new(None);
        let (from, to) = range(answer);
        let answer = Arc::clone(answer);
        ask_newest_after(
            PAUSE_MS,
            move || {
                let selected = selected.get()?;
                let edge = answer.edges.iter().find(|edge| edge_key(edge) == selected)?;
                let sql = sql::edge_over_time(edge, trend::step_minutes(from, to));
                Some((selected, over_range(&answer, env.clone(), sql, ROWS_MAX)))
            },
            |(selected, request)| async move { (selected, client::sql(&request).await) },
            move |(selected, answer)| {
                if let Ok(answer) = answer {
                    found.set(Some((selected, Trend::new(&answer.rows, from, to))));
                }
            },
        );
        Self { selected, found }
    }

    /// The lines; nothing until they are there.
    pub(super) fn view(self, answer: &MapAnswer) -> impl IntoView + use<> {
        let (from, to) = range(answer);
        move || {
            let selected = self.selected.get()?;
            let (_, trend) = self.found.get().filter(|(of, _)| *of == selected)?;
            let most = |line: &[Option<f64>]| line.iter().flatten().copied().fold(0.0, f64::max);
            let line = |title: &'static str, most: String, values: &[Option<f64>], tone: &'static str| {
                view! { <div class="trend"><span>{title}</span><span class="faint n">{format!("up to {most}")}</span>{spark(values, 300.0, 34.0, tone)}</div> }
            };
            let (rates, failed) = (most(&trend.per_minute), most(&trend.failed));
            let duration = |line: &[Option<f64>]| format::duration(most(line).max(0.0) as u64);
            let [first, last] = clock::ends(from, to);
            Some(view! {
                <div class="trends">
                    {line("Rate", rate(rates), &trend.per_minute, "")}
                    {(failed > 0.0).then(|| line("Errors", format::percent((failed * 1e4) as u64, 10_000), &trend.failed, "bad"))}
                    {Trend::has(&trend.wait_p95).then(|| line("Wait, p95", duration(&trend.wait_p95), &trend.wait_p95, "hot"))}
                    {(!Trend::has(&trend.wait_p95) && Trend::has(&trend.p95)).then(|| line("p95", duration(&trend.p95), &trend.p95, ""))}
                    <div class="row faint n"><span>{first}</span><span class="grow"></span><span>{last}</span></div>
                </div>
            })
        }
    }
}
