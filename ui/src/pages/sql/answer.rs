//! The answer as table and plot.

use api::SqlAnswer;
use leptos::prelude::*;
use serde_json::Value as Json;

use crate::app::Shared;
use crate::components::spark::{bar_plot, line_plot};
use crate::view::format;
use crate::view::plot::Series;

/// Lines of a plot; further values of the splitting column are left out, and said.
const LINES_MAX: usize = 8;
/// Bars of a plot; further rows stand in the table.
const BARS_MAX: usize = 24;
/// Size of a plot in pixels.
const WIDTH: f64 = 1_060.0;
const HEIGHT: f64 = 190.0;

/// Integers of 64 bits travel as text, so the type decides.
pub(super) fn is_number(data_type: &str) -> bool {
    ["int", "double", "float", "real", "decimal"].iter().any(|word| data_type.to_lowercase().contains(word))
}

pub(super) fn number(value: &Json) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

fn text(value: &Json) -> String {
    match value {
        Json::Null => "null".to_owned(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Lines over the rows of the answer: `x` in the order of the answer's values, `y` a number, one line a value of `by`.
pub(super) fn plot(
    found: &SqlAnswer,
    x: Option<String>,
    y: Option<String>,
    by: Option<String>,
    chosen: Callback<(&'static str, String)>,
    shared: Shared,
) -> impl IntoView + use<> {
    let place = |name: &Option<String>| {
        name.as_ref().and_then(|name| found.columns.iter().position(|column| column.name == *name))
    };
    let numeric: Vec<usize> = (0..found.columns.len()).filter(|at| is_number(&found.columns[*at].data_type)).collect();
    let is_time = |at: &usize| {
        let kind = found.columns[*at].data_type.to_lowercase();
        kind.contains("time") || kind.contains("date") || kind.contains("moment")
    };
    let x = place(&x).or_else(|| (0..found.columns.len()).find(is_time)).unwrap_or(0);
    let y = place(&y).or_else(|| numeric.iter().copied().rfind(|at| *at != x));
    let texts: Vec<usize> = (0..found.columns.len()).filter(|at| *at != x && !numeric.contains(at)).collect();
    let by = match by.as_deref() {
        Some("-") => None,
        _ => place(&by).or_else(|| texts.first().copied()),
    };
    let choose = |name: &'static str, title: &'static str, now: Option<usize>, offered: Vec<usize>, none: bool| {
        let options = offered.into_iter().map(|at| {
            let column = found.columns[at].name.clone();
            view! { <option value=column.clone() selected=now == Some(at)>{column.clone()}</option> }
        });
        let empty = none.then(|| view! { <option value="-" selected=now.is_none()>"nothing"</option> });
        view! { <label class="pick"><span class="faint">{title}</span><select on:change=move |event| chosen.run((name, event_target_value(&event)))>{empty}{options.collect_view()}</select></label> }
    };
    let tools = view! {
        <div class="row plot-bar">
            {choose("x", "x", Some(x), (0..found.columns.len()).collect(), false)}
            {choose("y", "y", y, numeric.clone(), false)}
            {choose("by", "split by", by, texts.clone(), true)}
        </div>
    };
    let Some(y) = y else {
        return view! { {tools} <p class="hint faint">"A plot needs a column of numbers: add count(*) or an average to the statement."</p> }.into_any();
    };
    // Names stand in no order on which a line could go from one to the next.
    if !is_time(&x) && !numeric.contains(&x) {
        let is_service = found.columns[x].name.contains("service");
        let all = found.rows.iter().filter_map(|row| {
            let (name, value) = (text(row.get(x)?), number(row.get(y)?)?);
            let class = if is_service { shared.color_class(&name) } else { "c1".to_owned() };
            let part = by.filter(|by| *by != x).and_then(|by| row.get(by)).map(text);
            Some((part.map_or_else(|| name.clone(), |part| format!("{name} · {part}")), class, value))
        });
        // Rows without a number have no bar; only those beyond the last one are left out.
        let mut bars: Vec<(String, String, f64)> = all.collect();
        let left_out = bars.len().saturating_sub(BARS_MAX) as u64;
        bars.truncate(BARS_MAX);
        let summary = format!(
            "{} by {}, {}; the table below holds the same",
            found.columns[y].name,
            found.columns[x].name,
            format::counted(bars.len() as u64, "bar")
        );
        let note = (left_out > 0).then(|| view! { <p class="faint hint-line">{format!("The first {BARS_MAX} rows; {left_out} more stand in the table.")}</p> });
        return view! { {tools} {bar_plot(&bars, plain, WIDTH, summary)} {note} }.into_any();
    }
    let mut places: Vec<String> = Vec::new();
    let mut lines: Vec<(String, Vec<(usize, f64)>)> = Vec::new();
    for row in &found.rows {
        let (Some(at), Some(value)) = (row.get(x), row.get(y).and_then(number)) else { continue };
        let at = text(at);
        let at = places.iter().position(|known| *known == at).unwrap_or_else(|| {
            places.push(at);
            places.len() - 1
        });
        let name = by.and_then(|by| row.get(by)).map(text).unwrap_or_else(|| found.columns[y].name.clone());
        match lines.iter_mut().find(|(known, _)| *known == name) {
            Some((_, points)) => points.push((at, value)),
            None => lines.push((name, vec![(at, value)])),
        }
    }
    // Rows may come in any order; moments as text and numbers have one.
    let mut order: Vec<usize> = (0..places.len()).collect();
    let is_numeric = numeric.contains(&x);
    order.sort_by(|a, b| match (is_numeric, places[*a].parse::<f64>(), places[*b].parse::<f64>()) {
        (true, Ok(a), Ok(b)) => a.total_cmp(&b),
        _ => places[*a].cmp(&places[*b]),
    });
    let mut rank = vec![0; places.len()];
    order.iter().enumerate().for_each(|(at, place)| rank[*place] = at);
    let left_out = lines.len().saturating_sub(LINES_MAX) as u64;
    let is_service = by.is_some_and(|by| found.columns[by].name.contains("service"));
    let series: Vec<Series> = lines
        .into_iter()
        .take(LINES_MAX)
        .enumerate()
        .map(|(at, (name, points))| {
            let mut values = vec![None; places.len()];
            points.into_iter().for_each(|(at, value)| values[rank[at]] = Some(value));
            let class = if is_service { shared.color_class(&name) } else { format!("c{}", at + 1) };
            Series { name, class, values }
        })
        .collect();
    let count = order.len();
    let marks: Vec<(f64, String)> = (0..count)
        .step_by(count.div_ceil(6).max(1))
        .map(|at| {
            let label = &places[order[at]];
            let short = label
                .get(11..16)
                .filter(|_| label.get(10..11).is_some_and(|between| between == "T" || between == " "))
                .unwrap_or(label);
            (at as f64 / count.saturating_sub(1).max(1) as f64, short.chars().take(16).collect())
        })
        .collect();
    let summary = format!(
        "{} over {}, {}; the table below holds the same",
        found.columns[y].name,
        found.columns[x].name,
        format::counted(series.len() as u64, "line")
    );
    let note = (left_out > 0).then(|| view! { <p class="faint hint-line">{format!("The first {LINES_MAX} lines; {left_out} more stand in the table.")}</p> });
    view! { {tools} {line_plot(&series, &marks, plain, WIDTH, HEIGHT, summary)} {note} }.into_any()
}

fn plain(value: f64) -> String {
    if value != 0.0 && value.abs() < 10.0 {
        let text = format!("{value:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else if value < 0.0 {
        format!("−{}", format::short_count(value.abs().round() as u64))
    } else {
        format::short_count(value.round() as u64)
    }
}

pub(super) fn table(found: SqlAnswer, loading: RwSignal<bool>) -> impl IntoView {
    let numeric: Vec<bool> = found.columns.iter().map(|column| is_number(&column.data_type)).collect();
    let class = |index: usize| if numeric.get(index).copied().unwrap_or(false) { "num" } else { "" };
    let head = found.columns.iter().enumerate().map(|(index, column)| {
        view! { <th class=class(index) title=column.data_type.clone()>{column.name.clone()}</th> }
    });
    let rows = found.rows.iter().map(|row| {
        let cells = row.iter().enumerate().map(|(index, value)| {
            let text = match value {
                Json::Null => String::new(),
                Json::String(text) => text.clone(),
                other => other.to_string(),
            };
            let class = if value.is_null() { "faint" } else { class(index) };
            view! { <td class=class title=text.clone()>{if value.is_null() { "null".to_owned() } else { text.clone() }}</td> }
        });
        view! { <tr>{cells.collect_view()}</tr> }
    });
    view! {
        <table class="answer" class:old=loading>
            <caption class="sr">"Answer"</caption>
            <thead><tr>{head.collect_view()}</tr></thead>
            <tbody>{rows.collect_view()}</tbody>
        </table>
    }
}
