//! One metric: lines with gaps, exemplars that open journeys, the table that says the same.

use api::{MetricAnswer, MetricSeries};
use leptos::prelude::*;
use wasm_bindgen::JsCast;

use super::name_of;
use crate::app::{Shared, cross};
use crate::view::heat;
use crate::view::metric::{points_sql, series_name, unit_of, value_text};
use crate::view::plot::{Frame, Series, path};
use crate::view::{clock, format, url};

/// Lines drawn; further groups stand in the table.
const LINES_MAX: usize = 8;
/// Size of the plot in pixels.
const WIDTH: f64 = 1_080.0;
const HEIGHT: f64 = 320.0;
/// Height of one of several plots.
const LOW: f64 = 200.0;
/// Exemplars drawn and listed.
const EXEMPLARS_MAX: usize = 200;
const EXEMPLAR_ROWS: usize = 20;

/// Name and kind of the metric, with the way to its points.
pub(super) fn head(answer: &MetricAnswer, search: &str) -> impl IntoView + use<> {
    let points = url::query_string([("sql", points_sql(&answer.name, &answer.kind, &answer.unit).as_str())]);
    let points = url::carry(&format!("/sql{points}"), search);
    let resets = (answer.resets > 0).then(|| format::counted(answer.resets, "reset"));
    view! {
        <h2 class="mono">{answer.name.clone()}</h2>
        <span class="chip line">{answer.kind.replace('_', " ")}</span>
        {(!answer.unit.is_empty()).then(|| view! { <span class="chip line">{answer.unit.clone()}</span> })}
        {(!answer.temporality.is_empty()).then(|| view! { <span class="chip line">{answer.temporality.clone()}</span> })}
        {resets.map(|resets| view! { <span class="chip">{resets}</span> })}
        <span class="grow"></span>
        <a class="acc n" href=points>"Its points in SQL"</a>
    }
}

/// An answer as a picture and as a table. `is_one_of_many`: lower, and the table waits to be opened.
pub(super) fn chart(
    answer: &MetricAnswer,
    at: usize,
    is_one_of_many: bool,
    shared: Shared,
    search: &str,
) -> impl IntoView + use<> {
    let unit = unit_of(answer);
    let is_service = answer.by.len() == 1 && answer.by[0] == "service";
    // Cells are no lines; the table names their buckets.
    let is_heat = answer.function == "heatmap";
    let lines: Vec<Series> = answer
        .series
        .iter()
        .take(if is_heat { 0 } else { LINES_MAX })
        .enumerate()
        .map(|(at, series)| {
            let name = series_name(series, &answer.by);
            let class = if is_service { shared.color_class(&name) } else { format!("c{}", at + 1) };
            Series { name, class, values: series.values.clone() }
        })
        .collect();
    let more = if is_heat { 0 } else { (answer.n_groups as usize).saturating_sub(lines.len()) };
    let gaps = answer.series.iter().any(|series| series.values.iter().any(Option::is_none));
    let note = answer.incomplete_reason.clone();
    let height = if is_one_of_many { LOW } else { HEIGHT };
    let below = view! {
        {table(answer, &unit, shared, is_service, &name_of("metric-table", at))}
        {exemplars(answer, search)}
    };
    let below = if is_one_of_many {
        view! { <details class="below"><summary>"Values and exemplars"</summary>{below}</details> }.into_any()
    } else {
        below.into_any()
    };
    view! {
        {note.map(|note| view! { <p class="notice">{note}</p> })}
        {picture(answer, &lines, if is_heat { &answer.unit } else { &unit }, height, search)}
        <p class="faint hint-line">
            {(more > 0).then(|| format!("The {LINES_MAX} largest; {more} more stand in the table. "))}
            {is_heat.then_some("A column is a step, a row a bucket; the more measurements, the stronger the shade. The table counts them. ")}
            {(gaps && !is_heat).then_some("A line breaks where nothing came. ")}
            {(!answer.exemplars.is_empty()).then_some("Dots are measurements that open their journey.")}
        </p>
        {below}
    }
}

fn picture(answer: &MetricAnswer, lines: &[Series], unit: &str, height: f64, search: &str) -> impl IntoView + use<> {
    let is_heat = answer.function == "heatmap";
    let (from, to) = (nanos(&answer.from_unix_nano), nanos(&answer.to_unix_nano));
    let exemplars: Vec<(f64, f64, String)> = answer
        .exemplars
        .iter()
        .take(EXEMPLARS_MAX)
        .filter_map(|exemplar| {
            let place = (nanos(&exemplar.time_unix_nano) - from) as f64 / (to - from).max(1) as f64;
            Some((place.clamp(0.0, 1.0), exemplar.value?, exemplar.trace_id?.to_hex()))
        })
        .collect();
    // Measurements stand on the same axis as lines of the same kind; of a rate or a count they would not.
    let has_dots = !matches!(answer.function.as_str(), "rate" | "count" | "increase" | "sum");
    let mut all = lines.to_vec();
    if has_dots && !exemplars.is_empty() {
        let values = exemplars.iter().map(|(_, value, _)| Some(*value)).collect();
        all.push(Series { name: String::new(), class: String::new(), values });
    }
    if is_heat {
        all.push(Series { name: String::new(), class: String::new(), values: heat::edges(&answer.series) });
    }
    let frame = Frame::around(&all, WIDTH, height);
    let (shades, most) = if is_heat { heat::cells(&answer.series, &frame) } else { Default::default() };
    let cells: Vec<_> = shades
        .into_iter()
        .enumerate()
        .filter(|(_, path)| !path.is_empty())
        .map(|(shade, path)| view! { <path class=format!("heat-{shade}") d=path/> })
        .collect();
    let scale = is_heat.then(|| view! { <text x=format!("{:.1}", frame.left + frame.width + 8.0) y="20">{format!("strongest: {}", format::number(most))}</text> });
    let unit_owned = unit.to_owned();
    let grid: Vec<_> = frame.marks().into_iter().map(|value| {
        let y = frame.y(value);
        view! { <path class="grid" d=format!("M{:.1},{y:.1}H{:.1}", frame.left, frame.left + frame.width)/><text x=format!("{:.1}", frame.left - 8.0) y=format!("{:.1}", y + 3.5) text-anchor="end">{value_text(value, &unit_owned)}</text> }
    }).collect();
    let foot: Vec<_> = (0..=5).map(|at| {
        let place = f64::from(at) / 5.0;
        let moment = clock::time_of_day(from + ((to - from) as f64 * place) as i64);
        view! { <text x=format!("{:.1}", frame.left + place * frame.width) y=format!("{:.1}", height - 6.0) text-anchor="middle">{moment.get(..5).unwrap_or_default().to_owned()}</text> }
    }).collect();
    // A value stands for its whole step: it is drawn at the middle of it. So plots of the same time stand one above the other.
    let half = frame.width / (2.0 * answer.steps.max(1) as f64);
    let inner = Frame { left: frame.left + half, width: frame.width - 2.0 * half, ..frame };
    let drawn: Vec<_> = lines
        .iter()
        .map(|series| view! { <path class=format!("line {}", series.class) d=path(&series.values, &inner)/> })
        .collect();
    let mut last = f64::NEG_INFINITY;
    let mut ends: Vec<(f64, &Series, f64)> = lines
        .iter()
        .filter_map(|series| series.values.iter().rev().flatten().next().map(|value| (frame.y(*value), series, *value)))
        .collect();
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let names: Vec<_> = ends.into_iter().map(|(y, series, value)| {
        last = y.max(last + 14.0);
        let cut: String = series.name.chars().take(16).collect();
        view! { <text class=format!("name {}", series.class) x=format!("{:.1}", frame.left + frame.width + 8.0) y=format!("{:.1}", last + 3.5)>{cut}" "{value_text(value, unit)}<title>{series.name.clone()}</title></text> }
    }).collect();
    let dots: Vec<_> = exemplars.into_iter().filter(|_| has_dots).map(|(place, value, trace)| {
        let (x, y) = (frame.left + place * frame.width, frame.y(value));
        let title = format!("{}, open journey {}", value_text(value, unit), format::short_id(&trace));
        view! { <circle class="dot-ex" data-trace=trace cx=format!("{x:.1}") cy=format!("{y:.1}") r="3.5"><title>{title}</title></circle> }
    }).collect();
    let summary = format!(
        "{} of {} over time, {}; the table below holds the same",
        answer.function,
        answer.name,
        if is_heat {
            format::counted(answer.series.len() as u64, "bucket")
        } else {
            format::counted(lines.len() as u64, "line")
        }
    );

    // The picture is one image for those who cannot see it; the table of exemplars holds the same links.
    let search = search.to_owned();
    let open = move |event: web_sys::MouseEvent| {
        let target = event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok());
        if let Some(trace) = target.and_then(|target| target.get_attribute("data-trace")) {
            cross(&url::carry(&format!("/j/{trace}"), &search));
        }
    };
    view! {
        <div class="metric-plot" on:click=open>
            <svg class="plot" width=format!("{WIDTH:.0}") height=format!("{height:.0}") role="img" aria-label=summary>{cells}{grid}{foot}{scale}{drawn}{names}{dots}</svg>
        </div>
    }
}

fn table(answer: &MetricAnswer, unit: &str, shared: Shared, is_service: bool, id: &str) -> impl IntoView + use<> {
    let unit = unit.to_owned();
    let row = |(at, series): (usize, &MetricSeries)| {
        let known: Vec<f64> = series.values.iter().flatten().copied().collect();
        let least = known.iter().copied().reduce(f64::min);
        let most = known.iter().copied().reduce(f64::max);
        let mean = (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64);
        let cell = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| value_text(value, &unit));
        let name = series_name(series, &answer.by);
        let class = match (is_service, at < LINES_MAX) {
            (true, _) => format!("svc {}", shared.color_class(&name)),
            (false, true) if answer.function != "heatmap" => format!("svc c{}", at + 1),
            (false, _) => "svc plain".to_owned(),
        };
        let gaps = series.values.len() - known.len();
        view! {
            <tr>
                <td><span class=class>{name}</span></td>
                <td class="num semi">{cell(known.last().copied())}</td>
                <td class="num">{cell(mean)}</td>
                <td class="num dim">{cell(least)}</td>
                <td class="num dim">{cell(most)}</td>
                <td class="num dim">{format!("{gaps} of {}", series.values.len())}</td>
                <td class="num dim">{format::count(series.n_series)}</td>
            </tr>
        }
    };
    view! {
        <table class="metric-table" id=id.to_owned() tabindex="-1">
            <caption class="sr">"Groups of this metric"</caption>
            <thead><tr><th>"Group"</th><th class="num">"Last"</th><th class="num">"Mean"</th><th class="num">"Least"</th><th class="num">"Most"</th><th class="num">"Steps without data"</th><th class="num">"Series"</th></tr></thead>
            <tbody>{answer.series.iter().enumerate().map(row).collect_view()}</tbody>
        </table>
    }
}

/// The dots as rows, with the keyboard's way to the journeys.
fn exemplars(answer: &MetricAnswer, search: &str) -> impl IntoView + use<> {
    let all: Vec<_> =
        answer.exemplars.iter().filter(|exemplar| exemplar.trace_id.is_some()).take(EXEMPLAR_ROWS).cloned().collect();
    if all.is_empty() {
        return view! { <p class="faint hint-line">"No exemplars: the SDK's exemplar filter trace_based adds them to measurements made in sampled spans."</p> }.into_any();
    }
    let (unit, search) = (answer.unit.clone(), search.to_owned());
    let rows = all.into_iter().map(|exemplar| {
        let trace = exemplar.trace_id.map(|id| id.to_hex()).unwrap_or_default();
        let about = exemplar.labels.iter().chain(&exemplar.attributes).map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ");
        view! {
            <tr><td class="mono dim">{clock::day_and_time(nanos(&exemplar.time_unix_nano))}</td><td class="num">{exemplar.value.map(|value| value_text(value, &unit))}</td>
                <td><a class="acc mono" href=url::carry(&format!("/j/{trace}"), &search)>{format::short_id(&trace)}</a></td><td class="dim ell">{about}</td></tr>
        }
    });
    view! {
        <div class="home-head"><h2>"Exemplars"</h2><span class="faint n">"measurements with the journey they were made in"</span></div>
        <table><caption class="sr">"Exemplars"</caption><thead><tr><th>"Time"</th><th class="num">"Value"</th><th>"Journey"</th><th>"About"</th></tr></thead><tbody>{rows.collect_view()}</tbody></table>
    }
    .into_any()
}

fn nanos(text: &str) -> i64 {
    text.parse().unwrap_or(0)
}
