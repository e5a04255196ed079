//! The table of rules.

use leptos::prelude::*;

use super::Desk;
use crate::app::now_nanos;
use crate::view::alerts::day::{CELLS, Cell, Day};
use crate::view::alerts::{Row, State};
use crate::view::{clock, format};

/// Width of a cell of the last day, in pixels.
const CELL: f64 = 2.44;

/// A rule a row.
#[component]
pub(super) fn List(desk: Desk, shown: Memo<Vec<Row>>, row: Memo<Option<Row>>) -> impl IntoView {
    let one = move |rule: Row| {
        let (key, picked) = (rule.key.clone(), rule.key.clone());
        let is_selected = move || row.with(|row| row.as_ref().is_some_and(|row| row.key == key)).to_string();
        let day = desk.day(&rule);
        let about = rule.about();
        let wait = match rule.rule.for_seconds {
            0.0 => "at once".to_owned(),
            seconds => format::duration((seconds * 1e9) as u64),
        };
        view! {
            <tr aria-selected=is_selected on:click=move |_| desk.go.run((Some(picked.clone()), vec![("show", None), ("sql", None), ("match", None)]))>
                <td>{state(rule.state)}</td>
                <td class="what2"><span class="nm ell">{rule.rule.name.clone()}</span><span class="ab ell" title=about.clone()>{about.clone()}</span></td>
                <td>{now(&rule)}</td>
                <td>{strip(&day)}</td>
                <td class="dim">{wait}</td>
                <td class="dim ell">{place(&rule)}</td>
            </tr>
        }
    };
    view! {
        <table class="al">
            <caption class="sr">"Alert rules, the most urgent first"</caption>
            <thead>
                <tr>
                    <th class="w-state">"State"</th>
                    <th>"Rule"</th>
                    <th class="w-now">"Now"</th>
                    <th class="w-day">"Last 24 h"</th>
                    <th class="w-for">"For"</th>
                    <th class="w-place">"Kept in"</th>
                </tr>
            </thead>
            <tbody>{move || shown.get().into_iter().map(one).collect_view()}</tbody>
        </table>
    }
}

/// Shape, word and colour.
pub(super) fn state(state: State) -> impl IntoView {
    view! { <span class=format!("s {}", state.tone())><i class=format!("st {}", state.name())></i>{state.word()}</span> }
}

/// Where a rule is kept, in a word or two.
pub(super) fn place(row: &Row) -> String {
    match row.rule.file.as_str() {
        "api" => "this server".to_owned(),
        "built-in" => "built in".to_owned(),
        file => file.rsplit('/').next().unwrap_or(file).to_owned(),
    }
}

/// The worst value and how many alerts there are, or what keeps it from looking.
fn now(row: &Row) -> AnyView {
    match (row.worst(), row.state) {
        (Some(worst), state) => {
            let count = row.alerts.len();
            let since = row.since.map(|since| format::duration((now_nanos() - since).max(0) as u64)).unwrap_or_default();
            let others = if count > 1 { format!("worst of {count}, ") } else { String::new() };
            view! { <b class=format!("semi {}", state.tone())>{format::number(worst)}</b> <span class="ab">{format!("{others}for {since}")}</span> }.into_any()
        }
        (None, State::Failing) => view! { <span class="bad ell err-line" title=row.rule.last_error.clone()>{row.rule.last_error.clone().unwrap_or_default()}</span> }.into_any(),
        (None, State::Unknown) => view! { <span class="faint">"runs soon"</span> }.into_any(),
        (None, _) => view! { <span class="faint">"nothing found"</span> }.into_any(),
    }
}

/// The last day: low and grey where no alert is known (the rule may not have run), an empty line where the past was not
/// answered, higher and in colour where an alert is.
fn strip(day: &Day) -> impl IntoView + use<> {
    let cells = &day.cells;
    let count = |wanted: Cell| cells.iter().filter(|cell| **cell == wanted).count();
    let minutes = |cells: usize| format::duration(cells as u64 * 900_000_000_000);
    let known = match (day.known_from, count(Cell::Unknown)) {
        (None, _) => String::new(),
        (Some(_), CELLS) => "the last day is unknown".to_owned(),
        (Some(at), _) => format!(", unknown before {}", clock::day_and_time(at)),
    };
    let summary = match (count(Cell::Firing), count(Cell::Pending)) {
        (0, 0) if count(Cell::Unknown) == CELLS => known,
        (0, 0) => format!("no alert in the last day{known}"),
        (firing, pending) => {
            format!(
                "in quarters of an hour of the last day: {} firing, {} pending{known}",
                minutes(firing),
                minutes(pending)
            )
        }
    };
    let path = |wanted: Cell, height: f64| {
        let bars = cells.iter().enumerate().filter(|(_, cell)| **cell == wanted);
        bars.map(|(at, _)| format!("M{:.2},18v-{height}h1.9v{height}z", at as f64 * CELL)).collect::<String>()
    };
    let (quiet, pending, firing) = (path(Cell::Quiet, 5.0), path(Cell::Pending, 13.0), path(Cell::Firing, 18.0));
    let unknown = path(Cell::Unknown, 1.0);
    view! {
        <svg class="day" width="236" height="19" role="img" aria-label=summary.clone()>
            <title>{summary.clone()}</title>
            <path class="quiet" d=unknown/><path class="quiet" d=quiet/><path class="pending" d=pending/><path class="firing" d=firing/>
        </svg>
    }
}
