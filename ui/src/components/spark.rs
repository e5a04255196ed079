//! Small lines over time: one series without axes, and a plot of several with them; bars of what has no order in time.

use leptos::prelude::*;

use crate::view::plot::{Frame, Series, path};

/// A line with a tinted ground; gaps where nothing was measured.
pub(crate) fn spark(values: &[Option<f64>], width: f64, height: f64, tone: &'static str) -> impl IntoView + use<> {
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let frame =
        Frame { left: 0.0, top: 2.0, width, height: height - 3.0, least: 0.0, most: most.max(1e-9), is_log: false };
    let (line, ground) = (path(values, &frame), crate::view::plot::ground(values, &frame));
    view! {
        <svg class=format!("spark {tone}") viewBox=format!("0 0 {width} {height}") preserveAspectRatio="none" aria-hidden="true">
            <path class="ground" d=ground/>
            <path class="line" d=line/>
        </svg>
    }
}

/// One bar for each name, in the given order, from the least (or nothing) to its value.
pub(crate) fn bar_plot(
    bars: &[(String, String, f64)],
    number: fn(f64) -> String,
    width: f64,
    summary: String,
) -> impl IntoView + use<> {
    const ROW: f64 = 22.0;
    const LEFT: f64 = 232.0;
    let room = (width - LEFT - 90.0).max(60.0);
    let (least, most) =
        bars.iter().fold((0.0_f64, 0.0_f64), |(least, most), (.., value)| (least.min(*value), most.max(*value)));
    let place = |value: f64| LEFT + (value - least) / (most - least).max(1e-9) * room;
    let rows: Vec<_> = bars
        .iter()
        .enumerate()
        .map(|(at, (name, class, value))| {
            let y = 8.0 + at as f64 * ROW;
            let (from, to) = (place(value.min(0.0)), place(value.max(0.0)));
            let cut: String = if name.chars().count() > 32 { name.chars().take(31).chain(['…']).collect() } else { name.clone() };
            view! {
                <text class="name" x=LEFT - 10.0 y=format!("{:.1}", y + 12.0) text-anchor="end">{cut}<title>{name.clone()}</title></text>
                <rect class=format!("bar {class}") x=format!("{from:.1}") y=format!("{:.1}", y + 3.0) width=format!("{:.1}", (to - from).max(1.5)) height="11" rx="2"/>
                <text x=format!("{:.1}", to + 8.0) y=format!("{:.1}", y + 12.0)>{number(*value)}</text>
            }
        })
        .collect();
    let height = 16.0 + bars.len() as f64 * ROW;
    view! { <svg class="plot" width=format!("{width:.0}") height=format!("{height:.0}") role="img" aria-label=summary>{rows}</svg> }
}

/// Up to eight series with labels at the right, durations or numbers at the left, moments or positions below.
pub(crate) fn line_plot(
    series: &[Series],
    marks: &[(f64, String)],
    number: fn(f64) -> String,
    width: f64,
    height: f64,
    summary: String,
) -> impl IntoView + use<> {
    let frame = Frame::around(series, width, height);
    let lines: Vec<_> = series
        .iter()
        .map(|series| {
            let class = format!("line {}", series.class);
            view! { <path class=class d=path(&series.values, &frame)/> }
        })
        .collect();
    let grid: Vec<_> = frame
        .marks()
        .into_iter()
        .map(|value| {
            let y = frame.y(value);
            view! {
                <path class="grid" d=format!("M{:.1},{y:.1}H{:.1}", frame.left, frame.left + frame.width)/>
                <text x=format!("{:.1}", frame.left - 8.0) y=format!("{:.1}", y + 3.5) text-anchor="end">{number(value)}</text>
            }
        })
        .collect();
    let foot: Vec<_> = marks
        .iter()
        .map(|(place, text)| {
            let x = frame.left + place * frame.width;
            view! { <text x=format!("{x:.1}") y=format!("{:.1}", height - 6.0) text-anchor="middle">{text.clone()}</text> }
        })
        .collect();
    let mut last = f64::NEG_INFINITY;
    let mut ends: Vec<(f64, &Series, f64)> = series
        .iter()
        .filter_map(|series| series.values.iter().rev().flatten().next().map(|value| (frame.y(*value), series, *value)))
        .collect();
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let names: Vec<_> = ends
        .into_iter()
        .map(|(y, series, value)| {
            last = y.max(last + 14.0);
            let cut: String = series.name.chars().take(18).collect();
            view! { <text class=format!("name {}", series.class) x=format!("{:.1}", frame.left + frame.width + 8.0) y=format!("{:.1}", last + 3.5)>{cut}" "{number(value)}<title>{series.name.clone()}</title></text> }
        })
        .collect();
    view! { <svg class="plot" width=format!("{width:.0}") height=format!("{height:.0}") role="img" aria-label=summary>{grid}{foot}{lines}{names}</svg> }
}
