//! Home: what fires, services by how much they changed, hops that got slower, the slowest journeys now.
//!
//! URL: `sort` (`change`, `rate`, `errors`, `slowest`), `view=table` (cards as a table), `group=namespace`. Keys: `1` to `9` open a card.

mod firing;

use std::collections::HashMap;

use api::{MapAnswer, Problem, SearchItem, ServiceAnswer, ServiceItem, StatusAnswer};
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_location, use_navigate};
use serde_json::Value as Json;

use self::firing::fires;
use crate::app::{Shared, cross, now_nanos, shared, there};
use crate::asking::{Turns, ask_newest, by_the_clock};
use crate::client;
use crate::components::environments::{Elsewhere, Environments};
use crate::components::keys::on_key;
use crate::components::onboarding::{Onboarding, is_without_spans};
use crate::components::shape_strip::{journey_shape, pieces_of};
use crate::components::spark::spark;
use crate::components::states::{EmptyState, ErrorBox, LoadingBar, Skeleton, behind};
use crate::view::behind as sql;
use crate::view::journey::facts::{Family, label};
use crate::view::map::{slow_nanos, slower};
use crate::view::namespaces::Namespaces;
use crate::view::scope::Scope;
use crate::view::shape::{Pieces, common_scale};
use crate::view::url::{self, ExploreState, RangeText, Sort};
use crate::view::{clock, format, names};

/// Cards shown; further services stand in the Services page.
const CARDS_MAX: usize = 12;
/// The same by namespace, where those with the most changes are not together.
const GROUPED_MAX: usize = 36;
/// Rows of the two lists.
const ROWS: usize = 7;
/// What is compared with: the same hours a day earlier.
const DAY_NANOS: i64 = 86_400_000_000_000;

/// One service, now and a day earlier.
#[derive(Clone, Debug, PartialEq)]
struct Card {
    now: ServiceItem,
    before: Option<ServiceItem>,
    /// 95th percentile of waits of messages on their way to it; `None` without a queue.
    wait: Option<i64>,
    /// Waits are known: the map has come.
    has_waits: bool,
    /// Its namespace, and the place of that among all, when cards stand by namespace.
    space: Option<String>,
    group: usize,
}

impl Card {
    /// How much it changed: factors of p95 and errors, larger first.
    fn change(&self) -> f64 {
        let Some(before) = &self.before else { return 0.0 };
        let factor = |now: Option<u64>, before: Option<u64>| match (now, before) {
            (Some(now), Some(before)) if now > 0 && before > 0 => (now as f64 / before as f64).ln().abs(),
            _ => 0.0,
        };
        let share = |item: &ServiceItem| item.errors as f64 / item.requests.max(1) as f64;
        factor(self.now.p95_nanos, before.p95_nanos) + (share(&self.now) - share(before)).abs() * 10.0
    }

    fn share(&self) -> f64 {
        self.now.errors as f64 / self.now.requests.max(1) as f64
    }
}

/// The start page.
#[component]
pub(crate) fn HomePage() -> impl IntoView {
    let shared = shared();
    let search = use_location().search;
    let navigate = use_navigate();
    let scope = Memo::new(move |_| Scope::read(&search.get()));
    let sort = Memo::new(move |_| parameter(&search.get(), "sort").unwrap_or_else(|| "change".to_owned()));
    let as_table = Memo::new(move |_| parameter(&search.get(), "view").as_deref() == Some("table"));
    let by_space = Memo::new(move |_| parameter(&search.get(), "group").as_deref() == Some("namespace"));
    let spaces = RwSignal::new(Namespaces::default());
    let services = RwSignal::new(None::<Result<(Vec<ServiceItem>, Vec<ServiceItem>), Problem>>);
    // What the services on the page were asked of; that of the address is ahead of it until they come.
    let listed = StoredValue::new(None::<Scope>);
    let map = RwSignal::new(None::<Result<MapAnswer, Problem>>);
    let slowest = RwSignal::new(None::<Result<Vec<SearchItem>, Problem>>);
    let status = RwSignal::new(None::<StatusAnswer>);
    // Each panel fails alone; all look again together.
    let reload = RwSignal::new(0u32);
    let asked = move || {
        reload.track();
        Some(scope.get())
    };
    let loading = ask_newest(
        asked,
        |scope| async move {
            let now = client::services(&scope).await;
            let before = match &earlier(&scope) {
                Some(earlier) => client::services(earlier).await.map(|answer| answer.services).unwrap_or_default(),
                None => Vec::new(),
            };
            (scope, now, before)
        },
        move |(of, now, before)| {
            listed.set_value(Some(of));
            services.set(Some(now.map(|answer| {
                shared.see_services(answer.services.iter().map(|service| service.name.as_str()));
                (answer.services, before)
            })));
        },
    )
    .loading;
    ask_newest(
        asked,
        |scope| async move {
            let vs = earlier(&scope).map(|earlier| earlier.range.from);
            client::map(&scope, vs.as_deref()).await
        },
        move |answer| map.set(Some(answer)),
    );
    ask_newest(
        asked,
        |scope| async move {
            let view = ExploreState { sort: Sort::Slowest, ..scope.explore("") };
            client::search(&view, ROWS, None, &client::Calls::default()).await.map(|answer| answer.items)
        },
        move |answer| slowest.set(Some(answer)),
    );
    ask_newest(
        asked,
        |_| client::status(),
        move |answer| {
            if let Ok(found) = answer {
                status.set(Some(found));
            }
        },
    );
    ask_newest(
        move || by_space.get().then(asked).flatten(),
        |scope| async move { client::namespaces(&scope).await },
        move |answer| spaces.set(answer.unwrap_or_default()),
    );
    let n_journeys = RwSignal::new(None::<u64>);
    ask_newest(
        asked,
        |scope| async move { client::sql(&scope.statement(sql::count_journeys())).await },
        move |answer| n_journeys.set(answer.ok().and_then(|answer| number(answer.rows.first()?.first()?))),
    );
    let ways = pieces_of(
        move || slowest.with(|slowest| slowest.as_ref().and_then(|found| found.clone().ok()).unwrap_or_default()),
        move || n_journeys.get(),
    );
    // Until the first span: look every two seconds.
    by_the_clock(std::time::Duration::from_secs(2), move || {
        if status.try_with_untracked(|status| status.as_ref().is_some_and(is_without_spans)) == Some(true) {
            reload.update(|count| *count += 1);
        }
    });
    let cards = Memo::new(move |_| {
        let services = services.read();
        let Some(Ok((now, before))) = &*services else { return Vec::new() };
        let before: HashMap<&str, &ServiceItem> = before.iter().map(|item| (item.name.as_str(), item)).collect();
        let map = map.read();
        let waits = map.as_ref().and_then(|answer| answer.as_ref().ok());
        let wait = |name: &str| {
            let edges = waits?.edges.iter().filter(|edge| edge.style == "async");
            edges
                .filter(|edge| Family::of(&edge.target) == Family::Service && label(&edge.target) == name)
                .filter_map(|edge| edge.now.lag_p95_nanos)
                .max()
        };
        let mut cards: Vec<Card> = now
            .iter()
            .map(|item| Card {
                now: item.clone(),
                before: before.get(item.name.as_str()).map(|item| (*item).clone()),
                wait: wait(&item.name),
                has_waits: waits.is_some(),
                space: None,
                group: 0,
            })
            .collect();
        let sort = sort.get();
        let weight = |card: &Card| match sort.as_str() {
            "rate" => card.now.requests as f64,
            "errors" => card.share(),
            "slowest" => card.now.p95_nanos.unwrap_or_default() as f64,
            _ => card.change() * 1e6 + card.share() * 1e3 + (card.now.requests as f64).ln_1p(),
        };
        cards.sort_by(|a, b| weight(b).total_cmp(&weight(a)).then_with(|| a.now.name.cmp(&b.now.name)));
        if by_space.get() {
            // A namespace stands where its first card would.
            let spaces = spaces.read();
            let mut order: Vec<Option<&str>> = Vec::new();
            for card in &mut cards {
                let space = spaces.of(&card.now.name);
                card.group = order.iter().position(|known| *known == space).unwrap_or(order.len());
                if card.group == order.len() {
                    order.push(space);
                }
                card.space = Some(space.unwrap_or("no namespace").to_owned());
            }
            cards.sort_by_key(|card| card.group);
        }
        cards
    });
    // The lines of the cards come one after the other: they are decoration, not the answer.
    let lines = RwSignal::new(HashMap::<String, ServiceAnswer>::new());
    let turns = Turns::new();
    Effect::new(move |before: Option<Option<Scope>>| {
        let before = before.flatten();
        let wanted: Vec<String> = cards.with(|cards| {
            cards
                .iter()
                .take(if by_space.get() { GROUPED_MAX } else { CARDS_MAX })
                .map(|card| card.now.name.clone())
                .collect()
        });
        let turn = turns.next();
        // That of the cards: another may be chosen already, whose services are not here yet.
        let Some(scope) = listed.get_value() else { return before };
        if before.is_some_and(|before| before != scope) {
            lines.set(HashMap::new());
        }
        let asked = scope.clone();
        spawn_local(async move {
            for name in wanted {
                if !turn.is_newest() || lines.try_with_untracked(|lines| lines.contains_key(&name)) != Some(false) {
                    continue;
                }
                if let Ok(answer) = client::service(&name, &asked).await
                    && turn.is_newest()
                {
                    lines.try_update(|lines| lines.insert(name, answer));
                }
            }
        });
        Some(scope)
    });
    let open = Callback::new(move |at: usize| {
        let name = cards.with_untracked(|cards| cards.get(at).map(|card| card.now.name.clone()));
        if let Some(name) = name {
            let link = service_link(&name, &search.get_untracked());
            if !cross(&link) {
                navigate(&link, NavigateOptions::default());
            }
        }
    });
    on_key(move |_, key| match key.parse::<usize>() {
        Ok(digit @ 1..=9) if cards.with_untracked(|cards| digit <= cards.len()) => {
            open.run(digit - 1);
            true
        }
        _ => {
            key == "r" && {
                reload.update(|count| *count += 1);
                true
            }
        }
    });
    let seconds = move || {
        let (range, now) = (scope.get().range, now_nanos());
        clock::parse(&range.from, now)
            .zip(clock::parse(&range.to, now))
            .map_or(3_600.0, |(from, to)| (to - from) as f64 / 1e9)
            .max(1.0)
    };
    let sorted = move |name: &'static str, title: &'static str| {
        let link = move || {
            format!(
                "/{}",
                url::with_parameters(&search.get(), &[("sort", Some(name).filter(|name| *name != "change"))])
            )
        };
        view! { <a class="seg-link" href=link aria-current=move || (sort.get() == name).then_some("true")>{title}</a> }
    };
    let shown = move |is: bool, title: &'static str| {
        let link = move || format!("/{}", url::with_parameters(&search.get(), &[("view", is.then_some("table"))]));
        view! { <a class="seg-link" href=link aria-current=move || (as_table.get() == is).then_some("true")>{title}</a> }
    };
    let grouped = move |is: bool, title: &'static str| {
        let link = move || format!("/{}", url::with_parameters(&search.get(), &[("group", is.then_some("namespace"))]));
        view! { <a class="seg-link" href=link aria-current=move || (by_space.get() == is).then_some("true")>{title}</a> }
    };
    let retry = Callback::new(move |()| reload.update(|count| *count += 1));
    let body = move || match &*services.read() {
        None => view! { <Skeleton rows=12/> }.into_any(),
        Some(Err(problem)) => view! { <ErrorBox problem=problem.clone() retry/> }.into_any(),
        Some(Ok((services, _))) if services.is_empty() => match status.get() {
            Some(status) if is_without_spans(&status) => view! { <Onboarding status/> }.into_any(),
            _ => view! {
                <EmptyState title="No service sent a span in this time range">
                    <span class="dim">"Choose a longer range above."</span>
                    <Elsewhere/>
                </EmptyState>
            }
            .into_any(),
        },
        Some(Ok((services, _))) => {
            let count = services.len();
            view! {
                <div class="home-head">
                    <h2>"Services"</h2> <span class="faint">{format::count(count as u64)}</span>
                    <span class="grow"></span>
                    <span class="faint n">"against the same hours yesterday"</span>
                    {behind(&sql::services())}
                    <Environments/>
                    <nav class="seg" aria-label="Order">{sorted("change", "Change")}{sorted("rate", "Rate")}{sorted("errors", "Errors")}{sorted("slowest", "Slowest")}</nav>
                    <nav class="seg" aria-label="Group">{grouped(false, "All")}{grouped(true, "By namespace")}</nav>
                    <nav class="seg" aria-label="Show as">{shown(false, "Cards")}{shown(true, "Table")}</nav>
                </div>
                {move || if as_table.get() {
                    table(&cards.get(), seconds(), &search.get(), shared).into_any()
                } else {
                    let cards = cards.get();
                    let most = if by_space.get() { GROUPED_MAX } else { CARDS_MAX };
                    let more = cards.len().saturating_sub(most);
                    let mut last = None;
                    let shown = cards.into_iter().take(most).enumerate().map(|(at, card)| {
                        let space = card.space.clone().filter(|space| last.replace(space.clone()).as_ref() != Some(space));
                        let head = space.map(|space| view! { <li class="space"><h3>{space}</h3></li> });
                        view! { {head} {one(at, card, seconds(), lines, &search.get(), shared)} }
                    });
                    view! {
                        <ul class="home-cards">{shown.collect_view()}</ul>
                        {(more > 0).then(|| view! { <p class="home-more"><a class="acc" href=there("/services")>{format!("{more} more services")}</a></p> })}
                    }.into_any()
                }}
                <div class="home-lists">
                    <section aria-label="Hops that got slower">
                        <div class="home-head"><h2>"Hops that got slower"</h2> <span class="faint">"against yesterday, else slowest"</span> <span class="grow"></span> {behind(&sql::edges())} <a class="acc" href=move || format!("/map{}", url::shared(&search.get()))>"Map"</a></div>
                        {move || match &*map.read() {
                            None => view! { <Skeleton rows=7/> }.into_any(),
                            Some(Err(problem)) => view! { <ErrorBox problem=problem.clone() retry/> }.into_any(),
                            Some(Ok(map)) => hops(map, shared).into_any(),
                        }}
                    </section>
                    <section aria-label="Slowest journeys now">
                        <div class="home-head"><h2>"Slowest journeys"</h2> <span class="grow"></span> {behind(&sql::slowest_journeys())} <a class="acc" href=move || ExploreState { sort: Sort::Slowest, ..scope.get().explore("") }.link()>"Explore"</a></div>
                        {move || match &*slowest.read() {
                            None => view! { <Skeleton rows=7/> }.into_any(),
                            Some(Err(problem)) => view! { <ErrorBox problem=problem.clone() retry/> }.into_any(),
                            Some(Ok(items)) => journeys(items, &search.get_untracked(), shared, ways).into_any(),
                        }}
                    </section>
                </div>
            }
            .into_any()
        }
    };
    let foot = move || {
        status.get().filter(|status| !status.is_reduced).map(|status| {
            let refused: u64 = status.ingest.rejected.values().sum();
            let spans = status.ingest.accepted.get("traces").copied().unwrap_or_default();
            let refused =
                if refused == 0 { "none refused".to_owned() } else { format!("{} refused", format::count(refused)) };
            let disk = status
                .storage
                .disk_free_bytes
                .map(|free| format!(", {} of disk free", format::bytes(free)))
                .unwrap_or_default();
            format!("{} spans taken since the start, {refused}{disk}", format::count(spans))
        })
    };
    view! {
        <div class="page home">
            <LoadingBar active=loading/>
            // What fires stands above everything; the rail asks for it twice a minute.
            {move || shared.firing.with(|firing| fires(firing, &search.get()))}
            {body}
        </div>
        <div class="status">
            <span><kbd>"1"</kbd>" – "<kbd>"9"</kbd> "open a card"</span>
            <span><kbd>"G"</kbd><kbd>"E"</kbd> "explore"</span>
            <span><kbd>"?"</kbd> "all keys"</span>
            <span class="grow"></span>
            <span>{foot}</span>
        </div>
    }
}

/// A count in an answer: integers of 64 bits travel as text.
fn number(value: &Json) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn parameter(search: &str, name: &str) -> Option<String> {
    url::pairs(search).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// The same hours a day earlier.
fn earlier(scope: &Scope) -> Option<Scope> {
    let now = now_nanos();
    let (from, to) = (clock::parse(&scope.range.from, now)?, clock::parse(&scope.range.to, now)?);
    let range = RangeText {
        from: clock::rfc3339(from.checked_sub(DAY_NANOS)?),
        to: clock::rfc3339(to.checked_sub(DAY_NANOS)?),
    };
    Some(Scope { range, env: scope.env.clone() })
}

/// Address of a service's page.
pub(crate) fn service_link(name: &str, search: &str) -> String {
    format!("/services/{}{}", url::encode(name).replace('+', "%20"), url::shared(search))
}

fn one(
    at: usize,
    card: Card,
    seconds: f64,
    lines: RwSignal<HashMap<String, ServiceAnswer>>,
    search: &str,
    shared: Shared,
) -> impl IntoView + use<> {
    let bad = card.now.errors > 0 && card.share() >= 0.01;
    let hot = card.wait.is_some_and(|wait| wait >= 1_000_000_000);
    let tone = if bad {
        "bad"
    } else if hot {
        "hot"
    } else {
        ""
    };
    let name = card.now.name.clone();
    let line = move || {
        lines.with(|lines| {
            let answer = lines.get(&name)?;
            let values = steps(answer, |point| Some(point.requests as f64));
            Some(spark(&values, 300.0, 38.0, tone))
        })
    };
    let p95 = card.now.p95_nanos.map_or_else(|| "–".to_owned(), format::duration);
    let wait = card.wait.map(|wait| format::duration(wait.unsigned_abs()));
    let change = card
        .before
        .as_ref()
        .and_then(|before| Some(card.now.p95_nanos? as f64 / before.p95_nanos.filter(|nanos| *nanos > 0)? as f64));
    let change = change.filter(|times| !(0.8..=1.25).contains(times)).map(|times| {
        let text = if times > 1.0 {
            format!("▲ {}×", format::factor(times))
        } else {
            format!("▼ {}×", format::factor(1.0 / times))
        };
        let hot = times >= 2.0;
        view! { <em class:hot=hot>{text}</em> }
    });
    view! {
        <li class=format!("card tone-{tone}")>
            <a href=service_link(&card.now.name, search)>
                <span class="row"><b class=format!("svc {}", shared.color_class(&card.now.name))><span class="ell">{card.now.name.clone()}</span></b><span class="grow"></span>{(at < 9).then(|| view! { <kbd>{at + 1}</kbd> })}</span>
                <span class="figures">
                    <span><i>"Rate"</i><b>{format::rate(card.now.requests as f64 / seconds * 60.0)}</b></span>
                    <span><i>"Errors"</i><b class:bad=bad>{format::percent(card.now.errors, card.now.requests)}</b></span>
                    <span><i>"p95"</i><b>{p95}</b>{change}</span>
                    <span><i>"p95 wait in"</i>{match wait { Some(wait) => view! { <b class:hot=hot>{wait}</b> }.into_any(), None => view! { <b class="faint">{if card.has_waits { "no queue" } else { "…" }}</b> }.into_any() }}</span>
                </span>
                <span class="line">{line}</span>
            </a>
        </li>
    }
}

/// Values of a service over the whole range, one a step; steps without requests are zero or nothing.
pub(crate) fn steps(answer: &ServiceAnswer, value: impl Fn(&api::ServicePoint) -> Option<f64>) -> Vec<Option<f64>> {
    let nanos = |text: &str| text.parse::<i64>().unwrap_or_default();
    let (from, to, step) = (nanos(&answer.from_unix_nano), nanos(&answer.to_unix_nano), answer.step_nanos.max(1));
    let count = usize::try_from((to - from) / step).unwrap_or_default().clamp(1, 2_000);
    let mut values: Vec<Option<f64>> = vec![None; count];
    for point in &answer.points {
        let at = usize::try_from((nanos(&point.start_unix_nano) - from) / step).unwrap_or(usize::MAX);
        if let Some(slot) = values.get_mut(at) {
            *slot = value(point);
        }
    }
    values
}

fn table(cards: &[Card], seconds: f64, search: &str, shared: Shared) -> impl IntoView + use<> {
    let rows = cards.iter().map(|card| {
        let bad = card.share() >= 0.01 && card.now.errors > 0;
        let duration = |nanos: Option<u64>| nanos.map_or_else(|| "–".to_owned(), format::duration);
        view! {
            <tr>
                <td><a href=service_link(&card.now.name, search)><span class=format!("svc {}", shared.color_class(&card.now.name))>{card.now.name.clone()}</span></a></td>
                <td class="num">{format::rate(card.now.requests as f64 / seconds * 60.0)}</td>
                <td class="num" class:bad=bad>{format::percent(card.now.errors, card.now.requests)}</td>
                <td class="num semi">{duration(card.now.p95_nanos)}</td>
                <td class="num dim">{duration(card.before.as_ref().and_then(|before| before.p95_nanos))}</td>
                <td class="num">{card.wait.map_or_else(|| "no queue".to_owned(), |wait| format::duration(wait.unsigned_abs()))}</td>
            </tr>
        }
    });
    view! {
        <table>
            <caption class="sr">"Services"</caption>
            <thead><tr><th>"Service"</th><th class="num">"Rate"</th><th class="num">"Errors"</th><th class="num">"p95"</th><th class="num">"p95 yesterday"</th><th class="num">"p95 wait in"</th></tr></thead>
            <tbody>{rows.collect_view()}</tbody>
        </table>
    }
}

fn hops(map: &MapAnswer, shared: Shared) -> impl IntoView + use<> {
    let class = |node: &str| match Family::of(node) {
        Family::Service => shared.color_class(label(node)),
        Family::Broker => "broker mono".to_owned(),
        _ => "ext".to_owned(),
    };
    let mut edges: Vec<(&api::MapEdge, f64, i64)> = map
        .edges
        .iter()
        .filter(|edge| !matches!(Family::of(&edge.target), Family::Store) && edge.protocol != "route")
        .filter_map(|edge| Some((edge, slower(edge).unwrap_or(1.0), slow_nanos(edge, &edge.now)?)))
        .collect();
    edges.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| b.2.cmp(&a.2)));
    edges.truncate(ROWS);
    let longest = edges.iter().map(|(.., nanos)| *nanos).max().unwrap_or(1).max(1) as f64;
    let none = edges.is_empty();
    let rows: Vec<_> = edges
        .into_iter()
        .map(|(edge, times, nanos)| {
            let is_async = edge.style == "async";
            let hot = times >= 2.0;
            let before = edge.before.as_ref().and_then(|before| slow_nanos(edge, before));
            let bar = format!("{:.0}px", (nanos as f64 / longest).sqrt() * 100.0);
            let bar_class = match (is_async, hot) {
                (true, true) => "hatch hot",
                (true, false) => "hatch",
                (false, true) => "solid hot",
                (false, false) => "solid",
            };
            let link = format!("/map?sel={}", url::encode(&format!("{}>{}", edge.source, edge.target)));
            view! {
                <tr>
                    <td><span class=format!("svc {}", class(&edge.source))><span class="ell">{label(&edge.source).to_owned()}</span></span></td>
                    <td><a href=there(link)><span class=format!("svc {}", class(&edge.target))><span class="ell">{label(&edge.target).to_owned()}</span></span></a></td>
                    <td><span class="proto" class:async=is_async>{names::badge(&edge.protocol, &edge.system)}</span></td>
                    <td class="num semi" class:hot=hot>{format::duration(nanos.unsigned_abs())}</td>
                    <td class="num dim">{before.map_or_else(|| "–".to_owned(), |before| format::duration(before.unsigned_abs()))}</td>
                    <td class="num" class:hot=hot class:dim=!hot>{before.map_or_else(|| "–".to_owned(), |_| format::factor(times))}</td>
                    <td class="bars"><i class=bar_class style:width=bar></i></td>
                </tr>
            }
        })
        .collect();
    view! {
        <table>
            <caption class="sr">"Hops that got slower"</caption>
            <thead><tr><th>"From"</th><th>"To"</th><th>"Via"</th><th class="num">"p95 now"</th><th class="num">"before"</th><th class="num">"×"</th><th><span class="sr">"Size"</span></th></tr></thead>
            <tbody>{rows}</tbody>
        </table>
        {none.then(|| view! { <p class="hint faint">"No call or message between services in this range. Edges are made of spans of kind client, server, producer and consumer."</p> })}
    }
}

fn journeys(items: &[SearchItem], search: &str, shared: Shared, ways: RwSignal<Pieces>) -> impl IntoView + use<> {
    let all: Vec<_> = items
        .iter()
        .filter_map(|item| if let SearchItem::Journey(item) = item { Some(item.clone()) } else { None })
        .collect();
    let scale = common_scale(&mut all.iter().map(|item| item.settled_nanos).collect::<Vec<_>>());
    let none = all.is_empty();
    let carried = url::shared(search);
    let rows: Vec<_> = all
        .into_iter()
        .map(|item| {
            let link = format!("/j/{}{carried}", item.id);
            view! {
                <tr>
                    <td class="what"><a href=link><span class=format!("svc {}", shared.color_class(&item.service))>{item.service.clone()}</span><span class="name">{item.name.clone()}</span></a></td>
                    <td>{journey_shape(shared, &item, scale, ways)}</td>
                    <td class="num semi">{format::duration(item.settled_nanos)}</td>
                    <td class="num dim">{format::duration(item.response_nanos)}</td>
                </tr>
            }
        })
        .collect();
    view! {
        <table>
            <caption class="sr">"Slowest journeys"</caption>
            <thead><tr><th>"Entry"</th><th class="shape">"Shape"</th><th class="num">"To last effect"</th><th class="num">"To answer"</th></tr></thead>
            <tbody>{rows}</tbody>
        </table>
        {none.then(|| view! { <p class="hint faint">"No journey has settled in this range: they stand here half a minute after their last span."</p> })}
    }
}
