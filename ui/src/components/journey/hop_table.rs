//! Hops in order, each against its usual: everything the diagram shows, as a table.

use leptos::html;
use leptos::prelude::*;

use super::{Scene, Tour, node_class};
use crate::app::{Shared, shared};
use crate::view::format;
use crate::view::journey::hops::{Hop, Part};

/// Height of a row in pixels.
const ROW: f64 = 28.0;
/// Width of the longest bar in pixels.
const BAR: f64 = 216.0;
/// Rows kept beyond what is visible.
const SPARE: usize = 10;

/// The table; only rows on screen are nodes.
#[component]
pub(crate) fn HopTable(
    /// The journey.
    tour: Tour,
) -> impl IntoView {
    let shared = shared();
    let list = NodeRef::<html::Div>::new();
    let top = RwSignal::new(0.0_f64);
    let measured = move || list.get().map_or(400.0, |list| f64::from(list.client_height()).max(120.0));
    // The selected row comes into view.
    Effect::new(move |_| {
        let (Some(at), Some(list)) = (tour.hop.get(), list.get()) else { return };
        let (y, height) = (at as f64 * ROW, f64::from(list.client_height()) - ROW);
        let now = f64::from(list.scroll_top());
        if y < now {
            list.set_scroll_top(y as i32);
        } else if y + ROW > now + height {
            list.set_scroll_top((y + ROW - height) as i32);
        }
    });
    let body = move || {
        let scene = tour.scene.get();
        let count = scene.hops.len();
        let first = ((top.get() / ROW) as usize).saturating_sub(SPARE).min(count);
        let last = (first + (measured() / ROW) as usize + 2 * SPARE + 1).min(count);
        let longest = scene.hops.iter().map(|row| row.between).fold(1.0, f64::max);
        let rows = (first..last).map(|at| row(tour, shared, &scene, at, longest)).collect_view();
        let (above, below) = (first as f64 * ROW, (count - last) as f64 * ROW);
        view! {
            {(above > 0.0).then(|| view! { <tr class="spacer" aria-hidden="true"><td colspan="9" style:height=format!("{above}px")></td></tr> })}
            {rows}
            {(below > 0.0).then(|| view! { <tr class="spacer" aria-hidden="true"><td colspan="9" style:height=format!("{below}px")></td></tr> })}
        }
    };
    view! {
        <div class="lst jhops" id="hops" tabindex="0" node_ref=list on:scroll=move |_| {
            if let Some(list) = list.get_untracked() {
                top.set(f64::from(list.scroll_top()));
            }
        }>
            <table aria-rowcount=move || (tour.scene.with(|scene| scene.hops.len()) + 1).to_string()>
                <caption class="sr">"Hops in order: how long each took, as its caller saw it or as the message waited, against the usual; bars show the time between the two services"</caption>
                <thead>
                    <tr>
                        <th class="no">"Hop"</th>
                        <th>"From"</th>
                        <th>"To"</th>
                        <th>"Via"</th>
                        <th class="between" title="Time between the two: network, queue, attempts that failed">"On the wire or in the queue " <span class="faint">"(√ scale)"</span></th>
                        <th class="num" title="The whole call as its caller saw it; of a message its wait">"This"</th>
                        <th class="num" title="Median of the same: whole calls, or waits">"Usual p50"</th>
                        <th class="num" title="How many times its usual it took">"×"</th>
                        <th>"Tries"</th>
                    </tr>
                </thead>
                <tbody>{body}</tbody>
            </table>
            {move || tour.scene.with(|scene| scene.hops.is_empty()).then(|| view! {
                <p class="hint faint">"No service called another one and no message was sent: there are no hops. Spans of kind client, server, producer or consumer would make them."</p>
            })}
        </div>
    }
}

fn row(tour: Tour, shared: Shared, scene: &Scene, at: usize, longest: f64) -> impl IntoView + use<> {
    let (facts, row) = (&scene.facts, &scene.hops[at]);
    let is_slow = row.factor().is_some_and(|factor| factor >= 3.0) && row.took - row.usual.unwrap_or_default() > 5e6;
    let usual = row.usual.map_or_else(|| "–".to_owned(), |usual| format::duration(usual as u64));
    let factor = row.factor().map_or_else(|| "–".to_owned(), format::factor);
    let tries = match (row.times, row.tries, row.why.is_empty()) {
        (n @ 2.., _, _) => {
            format!("{} {}", format::count(n.into()), if row.is_async() { "deliveries" } else { "calls" })
        }
        (_, tries, true) => tries.to_string(),
        (_, tries, false) => format!("{tries}, {}", row.why),
    };
    let failed = !row.why.is_empty();
    view! {
        <tr
            id=format!("hop-{}", at + 1)
            aria-selected=move || (tour.hop.get() == Some(at)).to_string()
            aria-rowindex=(at + 2).to_string()
            on:click=move |_| tour.choose(Some(at))
        >
            <td class="faint no">{at + 1}</td>
            <td><span class=format!("svc {}", node_class(shared, facts, row.from))>{facts.label(row.from).to_owned()}</span></td>
            <td><span class=format!("svc {}", node_class(shared, facts, row.to))>{facts.label(row.to).to_owned()}</span></td>
            <td><span class="proto" class:async=row.is_async()>{row.badge.clone()}</span></td>
            <td class="between" title=between(row)><div class="parts">{parts(row, longest, is_slow, shared, scene)}</div></td>
            <td class="num semi" class:hot=is_slow title=whole(row)>{format::duration(row.took as u64)}</td>
            <td class="num dim">{usual}</td>
            <td class="num" class:hot=is_slow class:semi=is_slow class:dim=!is_slow>{factor}</td>
            <td class="tries" class:bad=failed class:faint=!failed title=row.why.clone()>{tries}</td>
        </tr>
    }
}

/// What the number of a row is.
fn whole(row: &Hop) -> &'static str {
    match (row.is_async(), row.tries > 1, row.times > 1) {
        (true, _, true) => "How long the slowest of these copies of a message waited",
        (true, ..) => "How long the message waited for its first attempt",
        (false, _, true) => "All these calls together, as their caller saw them",
        (false, true, _) => "The whole call with all attempts, as its caller saw it",
        (false, false, false) => "The whole call, as its caller saw it",
    }
}

/// What the bar of a row is.
fn between(row: &Hop) -> String {
    format!("Between the two: {}", format::duration(row.between as u64))
}

/// The parts of a hop side by side; the row's width is the square root of its time.
pub(super) fn parts(row: &Hop, longest: f64, is_slow: bool, shared: Shared, scene: &Scene) -> impl IntoView + use<> {
    let wide = (row.between / longest).sqrt() * BAR;
    let total = row.between.max(1.0);
    let color = node_class(shared, &scene.facts, row.from);
    let part = |(part, nanos): &(Part, f64)| {
        let class = match part {
            Part::Wire => format!("wire {color}"),
            Part::Remote => "remote".to_owned(),
            Part::Failed => "failed".to_owned(),
            Part::Backoff => "hatch bad".to_owned(),
            Part::Wait if is_slow => "hatch hot".to_owned(),
            Part::Wait => "hatch".to_owned(),
        };
        let width = (nanos / total * wide).max(2.0);
        view! { <i class=class style:width=format!("{width:.1}px")></i> }
    };
    row.parts.iter().take(24).map(part).collect_view()
}
