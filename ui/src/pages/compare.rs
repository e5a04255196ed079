//! Two journeys side by side, or one against what is usual: hop by hop, the difference between them.
//!
//! URL: `/compare?a=&b=`: trace ids; `b=usual` (also without `b`) is the usual; `by` adds steps up (`reached`, `protocol`).

use api::{CompareAnswer, CompareSide, CompareStep, CompareTimes, Problem};
use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_location, use_navigate};
use model::TraceId;

use crate::app::{Shared, shared, there};
use crate::asking::ask_newest;
use crate::client;
use crate::components::keys::on_key;
use crate::components::states::{EmptyState, ErrorBox, LoadingBar, Skeleton, behind};
use crate::view::behind as sql;
use crate::view::journey::facts::{Family, label};
use crate::view::{clock, format, names, url};

/// Width of the longest difference bar to each side, in pixels.
const BAR: f64 = 90.0;

fn ids(search: &str) -> (Option<TraceId>, String) {
    let (mut a, mut b) = (None, "usual".to_owned());
    for (key, value) in url::pairs(search) {
        match key.as_str() {
            "a" => a = TraceId::from_hex(&value),
            "b" if !value.is_empty() => b = value,
            _ => {}
        }
    }
    (a, b)
}

fn parameter(search: &str, name: &str) -> String {
    url::pairs(search).into_iter().find(|(key, _)| key == name).map(|(_, value)| value).unwrap_or_default()
}

/// What a row stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum By {
    /// One step of both sides.
    #[default]
    Step,
    /// All steps that reached somebody.
    Reached,
    /// All steps over one protocol.
    Protocol,
}

impl By {
    /// All, with what the URL and the button say.
    const ALL: [(Self, &'static str, &'static str); 3] =
        [(Self::Step, "", "Step"), (Self::Reached, "reached", "Reached"), (Self::Protocol, "protocol", "Protocol")];

    fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|(_, known, _)| *known == name).map(|(by, ..)| by).unwrap_or_default()
    }

    /// Steps added up, the largest difference first; a side that lacks a step has spent no time on it. As they are for [`By::Step`].
    fn rows(self, steps: &[CompareStep]) -> Vec<CompareStep> {
        let mut rows: Vec<CompareStep> = Vec::new();
        for step in steps {
            let mut row = CompareStep { op: String::new(), order: 1, ..step.clone() };
            match self {
                Self::Step => {
                    rows.push(step.clone());
                    continue;
                }
                Self::Reached => (row.kind, row.from, row.protocol, row.system) = Default::default(),
                Self::Protocol => (row.from, row.to) = Default::default(),
            }
            let is_like = |known: &&mut CompareStep| {
                (&known.from, &known.to, &known.protocol, &known.system, &known.kind)
                    == (&row.from, &row.to, &row.protocol, &row.system, &row.kind)
            };
            match rows.iter_mut().find(is_like) {
                Some(known) => {
                    known.order += 1;
                    add(&mut known.a, row.a);
                    add(&mut known.b, row.b);
                }
                None => rows.push(row),
            }
        }
        if self != Self::Step {
            let nanos = |side: &Option<CompareTimes>| side.as_ref().map_or(0, took);
            for row in &mut rows {
                row.op = format::counted(row.order, "step");
                row.difference_nanos = Some(nanos(&row.a) - nanos(&row.b));
                row.order = 1;
            }
            rows.sort_by_key(|row| std::cmp::Reverse(row.difference_nanos.map(i64::unsigned_abs)));
        }
        rows
    }
}

fn add(to: &mut Option<CompareTimes>, more: Option<CompareTimes>) {
    match (to, more) {
        (Some(known), Some(more)) => {
            known.duration_nanos = known.duration_nanos.saturating_add(more.duration_nanos);
            known.lag_nanos = match (known.lag_nanos, more.lag_nanos) {
                (Some(a), Some(b)) => Some(a.saturating_add(b)),
                (a, b) => a.or(b),
            };
            known.error |= more.error;
        }
        (to @ None, Some(more)) => *to = Some(more),
        (_, None) => {}
    }
}

/// Loads both sides and shows them.
#[component]
pub(crate) fn ComparePage() -> impl IntoView {
    let shared = shared();
    let search = use_location().search;
    let navigate = use_navigate();
    let asked = Memo::new(move |_| ids(&search.get()));
    let by = Memo::new(move |_| By::named(&parameter(&search.get(), "by")));
    let found = RwSignal::new(None::<Result<CompareAnswer, Problem>>);
    let asking = ask_newest(
        move || {
            let (a, b) = asked.get();
            Some((a?, b))
        },
        |(a, b)| async move { client::compare(a, &b).await },
        move |answer| found.set(Some(answer)),
    );
    on_key(move |_, key| {
        let (Some(a), b) = asked.get_untracked() else { return false };
        if key != "s" || TraceId::from_hex(&b).is_none() {
            return false;
        }
        let a = a.to_hex();
        let query = url::with_parameters(&search.get_untracked(), &[("a", Some(&b)), ("b", Some(&a))]);
        navigate(&format!("/compare{query}"), NavigateOptions { scroll: false, ..NavigateOptions::default() });
        true
    });
    view! {
        <LoadingBar active=asking.loading/>
        {move || match (asked.get().0, found.get()) {
            (None, _) => view! {
                <EmptyState title="Which journeys?">
                    <span class="dim">"Open a journey and press Compare to see it against the usual, or put two trace ids into the address: " <span class="mono">"/compare?a=…&b=…"</span></span>
                    <a class="btn s primary" href=there("/explore")>"Go to Explore"</a>
                </EmptyState>
            }.into_any(),
            (_, None) => view! { <Skeleton rows=12/> }.into_any(),
            (_, Some(Err(problem))) => view! { <ErrorBox problem retry=asking.retry()/> }.into_any(),
            (_, Some(Ok(answer))) => sides(answer, by.get(), shared).into_any(),
        }}
    }
}

/// The SQL behind a side: its calls and messages, or the journeys of which the usual is the median. `other` is the side that the usual
/// belongs to.
fn sql_of(side: &CompareSide, other: &CompareSide) -> Option<String> {
    let start = |side: &CompareSide| side.start_unix_nano.parse::<i64>().ok();
    match side.id {
        Some(id) => Some(sql::hops_of(&id.to_hex(), start(side)?, side.settled_nanos.unwrap_or_default())),
        None => Some(sql::usual_journeys(&side.entry, &side.name, start(other)?)),
    }
}

fn side(title: &'static str, side: &CompareSide, other: &CompareSide, carried: &str) -> impl IntoView + use<> {
    let duration = |nanos: Option<i64>| {
        nanos.map_or_else(|| "not known".to_owned(), |nanos| format::duration(nanos.max(0) as u64))
    };
    let name = match (&side.id, side.kind.as_str()) {
        (Some(id), _) => view! { <a class="acc" href=format!("/j/{id}{carried}")>{side.name.clone()}</a> }.into_any(),
        (None, _) => view! { <span>"The usual"</span> }.into_any(),
    };
    let start = side.start_unix_nano.parse::<i64>().ok().map(clock::day_and_time);
    let basis = side.basis.clone().or(start).unwrap_or_default();
    view! {
        <section class="card">
            <div class="row"><h2 class="h">{title}</h2><span class="grow"></span> {sql_of(side, other).map(|sql| behind(&sql))}</div>
            <div class="big ell">{name}</div>
            <p class="faint">{basis}</p>
            <dl class="kv">
                <dt>"To the last effect"</dt><dd><b>{duration(side.settled_nanos)}</b></dd>
                <dt>"Caller answered"</dt><dd>{duration(side.response_nanos)}</dd>
                <dt>"In queues"</dt><dd>{duration(side.wait_nanos)}</dd>
                <dt>{if side.id.is_some() { "Spans, errors" } else { "Computed from" }}</dt>
                <dd>{if side.id.is_some() { format!("{}, {}", format::count(side.n), format::count(side.errors)) } else { format::counted(side.n, "journey") }}</dd>
            </dl>
        </section>
    }
}

/// What is compared: calls by their duration, messages by wait and handling.
fn took(times: &CompareTimes) -> i64 {
    times.duration_nanos.saturating_add(times.lag_nanos.unwrap_or_default())
}

fn sides(answer: CompareAnswer, by: By, shared: Shared) -> impl IntoView {
    let search = use_location().search;
    let carried = url::shared(&search.get_untracked());
    let steps = by.rows(&answer.steps);
    let most =
        steps.iter().filter_map(|step| step.difference_nanos).map(i64::unsigned_abs).max().unwrap_or(1).max(1) as f64;
    let rows = steps.iter().map(|step| row(step, most, shared)).collect_view();
    let switch = By::ALL.map(|(one, name, title)| {
        let link = move || {
            format!(
                "/compare{}",
                url::with_parameters(&search.get(), &[("by", Some(name).filter(|name| !name.is_empty()))])
            )
        };
        view! { <a class="seg-link" href=link aria-current=(one == by).then_some("true")>{title}</a> }
    });
    let attributes = answer.attributes.iter().take(60).map(|attribute| {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "–".to_owned());
        view! {
            <tr><td class="dim">{label(&attribute.node).to_owned()}</td><td class="mono">{attribute.key.clone()}</td><td class="mono">{text(&attribute.a)}</td><td class="mono">{text(&attribute.b)}</td></tr>
        }
    });
    let only = |title: &'static str, names: &[String]| {
        let names = names.join(", ").replace('_', " ");
        (!names.is_empty()).then(|| view! { <p><span class="chip hot">{title}</span> " " {names}</p> })
    };
    let differs = !answer.attributes.is_empty();
    view! {
        <div class="page compare">
            <div class="cards">{side("A", &answer.a, &answer.b, &carried)} {side("B", &answer.b, &answer.a, &carried)}</div>
            <div class="notes">
                {only("Only in A", &answer.findings_only_a)}
                {only("Only in B", &answer.findings_only_b)}
                {answer.incomplete_reason.clone().map(|why| view! { <p class="hot">{why}</p> })}
            </div>
            <div class="home-head"><h2>"Difference"</h2> <span class="grow"></span> <span class="faint n">"a row for each"</span> <nav class="seg" aria-label="A row for each">{switch.into_iter().collect_view()}</nav></div>
            <table>
                <caption class="sr">"Hops of both sides"</caption>
                <thead><tr><th>"From"</th><th>"To"</th><th>"Via"</th><th>"What"</th><th class="num">"A"</th><th class="diff">"A slower → · ← B slower"</th><th class="num">"B"</th><th class="num">"Difference"</th></tr></thead>
                <tbody>{rows}</tbody>
            </table>
            {differs.then(|| view! {
                <h2 class="h below">"Attributes that differ"</h2>
                <table>
                    <caption class="sr">"Attributes that differ"</caption>
                    <thead><tr><th>"Read at"</th><th>"Key"</th><th>"A"</th><th>"B"</th></tr></thead>
                    <tbody>{attributes.collect_view()}</tbody>
                </table>
            })}
        </div>
    }
}

fn row(step: &CompareStep, most: f64, shared: Shared) -> impl IntoView + use<> {
    let class = |node: &str| match Family::of(node) {
        Family::Service => shared.color_class(label(node)),
        Family::Broker => "broker mono".to_owned(),
        _ => "ext".to_owned(),
    };
    let name = |node: &str| {
        (!node.is_empty()).then(|| view! { <span class=format!("svc {}", class(node))>{label(node).to_owned()}</span> })
    };
    let text = |times: Option<&CompareTimes>| {
        times.map_or_else(|| "–".to_owned(), |times| format::duration(took(times).max(0) as u64))
    };
    let failed = |times: Option<&CompareTimes>| times.is_some_and(|times| times.error);
    let difference = step.difference_nanos;
    let wide = |nanos: i64| (nanos.unsigned_abs() as f64 / most).sqrt() * BAR;
    let (left, right) = match difference {
        Some(nanos) if nanos < 0 => (wide(nanos), 0.0),
        Some(nanos) => (0.0, wide(nanos)),
        None => (0.0, 0.0),
    };
    let said = match (difference, &step.a, &step.b) {
        (Some(nanos), ..) => format::signed_duration(nanos),
        (None, Some(_), None) => "only in A".to_owned(),
        _ => "only in B".to_owned(),
    };
    let is_worse = difference
        .is_some_and(|nanos| nanos > 0 && step.b.as_ref().is_some_and(|b| nanos > took(b) && nanos > 5_000_000));
    let is_async = step.kind == "message";
    view! {
        <tr>
            <td>{name(&step.from)}</td>
            <td>{name(&step.to)}</td>
            <td>{(!step.protocol.is_empty() || !step.system.is_empty()).then(|| view! { <span class="proto" class:async=is_async>{names::badge(&step.protocol, &step.system)}</span> })}</td>
            <td class="ell what">{step.op.clone()}{(step.order > 1).then(|| format!(" ({})", step.order))}</td>
            <td class="num semi" class:bad=failed(step.a.as_ref())>{text(step.a.as_ref())}</td>
            <td class="diff"><div class="both" aria-hidden="true"><span><i class="less" style:width=format!("{left:.1}px")></i></span><span><i class="more-time" style:width=format!("{right:.1}px")></i></span></div></td>
            <td class="num dim" class:bad=failed(step.b.as_ref())>{text(step.b.as_ref())}</td>
            <td class="num" class:hot=is_worse class:semi=is_worse>{said}</td>
        </tr>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(from: &str, to: &str, a: Option<i64>, b: Option<i64>) -> CompareStep {
        let times = |nanos: i64| CompareTimes { duration_nanos: nanos, ..CompareTimes::default() };
        CompareStep {
            kind: "call".to_owned(),
            from: from.to_owned(),
            to: to.to_owned(),
            protocol: "http".to_owned(),
            a: a.map(times),
            b: b.map(times),
            difference_nanos: a.zip(b).map(|(a, b)| a - b),
            ..CompareStep::default()
        }
    }

    /// Steps to one node add up, whoever made them; what only one side did is a difference too.
    #[test]
    fn steps_are_added_up() {
        let steps = [step("x", "a", Some(5), Some(3)), step("x", "b", Some(9), None), step("y", "a", Some(1), Some(4))];
        let show = |by: By| -> Vec<String> {
            let rows = by.rows(&steps);
            rows.iter().map(|row| format!("{}>{} {} {:?}", row.from, row.to, row.op, row.difference_nanos)).collect()
        };
        assert_eq!(show(By::Reached), [">b 1 step Some(9)", ">a 2 steps Some(-1)"]);
        assert_eq!(show(By::Protocol), ["> 3 steps Some(8)"]);
        assert_eq!(By::Step.rows(&steps), steps);
        assert_eq!((By::named("protocol"), By::named("nonsense")), (By::Protocol, By::Step));
    }
}
