//! Metrics: what there is, up to four of them over time, the journeys behind their measurements.
//!
//! URL: `m` (name), `kind`, `unit` (which of the name), `q` (filter), `by` (field, `*` for each series), `fn`; of the second plot
//! `m2`, `kind2` ...; `at` (the plot that the list changes), `find` (words). Keys: `J K` metric, `/` find one, `T` the table, `R` look
//! again. Picking a metric and finding one replace the address; what is asked of it, and plots that come and go, stand in the history.
//!
//! | file       | draws                                                              |
//! |------------|--------------------------------------------------------------------|
//! | `plot.rs`  | one plot: what is asked, the answer or why there is none            |
//! | `chart.rs` | lines with gaps, exemplars as dots; the table that says the same   |

mod chart;
mod plot;

use api::{MetricItem, MetricsAnswer, Problem};
use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_location, use_navigate};

use self::plot::Plot;
use crate::app::shared;
use crate::asking::ask_newest;
use crate::client;
use crate::components::icon::{Icon, icon};
use crate::components::keys::{focus_element, focus_field, on_key};
use crate::components::states::{EmptyState, ErrorBox, LoadingBar, Skeleton};
use crate::view::metric::{Asked, PLOTS_MAX, place_after, plots, with_plots};
use crate::view::url::{self, RangeText};

/// Metrics listed at once.
const LISTED: usize = 500;

/// What the plots of the page share. Copied freely: it holds handles.
#[derive(Clone, Copy)]
pub(super) struct Board {
    /// What the URL asks for; at least one.
    plots: Memo<Vec<Asked>>,
    /// The plot that the list changes.
    at: Memo<usize>,
    range: Memo<RangeText>,
    /// The first metric of the list, which a plot without a name is of.
    first: Memo<Option<MetricItem>>,
    /// Grows when all is asked again.
    reload: RwSignal<u32>,
    /// Writes plots into the URL: these, the one that the list changes, whether the address is replaced.
    go: Callback<(Vec<Asked>, usize, bool)>,
}

impl Board {
    /// What a plot is of: the one without a name of the first metric that there is.
    fn asked(self, plot: usize) -> Option<Asked> {
        let asked = self.plots.with(|plots| plots.get(plot).cloned())?;
        if !asked.name.is_empty() {
            return Some(asked);
        }
        let first = self.first.get()?;
        Some(Asked { name: first.name, kind: Some(first.kind), unit: Some(first.unit), ..asked })
    }

    /// Asks a plot for something else. What it shows is said with it, so that the address shows the same when other metrics come.
    fn ask(self, plot: usize, asked: Asked) {
        let mut all = self.plots.get_untracked();
        if let Some(old) = all.get_mut(plot) {
            *old = asked;
            self.go.run((all, plot, false));
        }
    }

    /// Shows a metric of the list in the plot that the list changes.
    fn pick(self, metric: MetricItem) {
        let mut all = self.plots.get_untracked();
        let at = self.at.get_untracked();
        if let Some(old) = all.get_mut(at) {
            *old = of(metric);
            self.go.run((all, at, true));
        }
    }

    /// Shows a metric of the list in a plot of its own.
    fn add(self, metric: MetricItem) {
        let mut all: Vec<Asked> =
            (0..self.plots.with_untracked(Vec::len)).filter_map(|plot| untrack(|| self.asked(plot))).collect();
        all.truncate(PLOTS_MAX - 1);
        all.push(of(metric));
        let at = all.len() - 1;
        self.go.run((all, at, false));
    }

    /// Takes a plot away; the last one stays, and the list goes on changing the plot that it changed.
    fn remove(self, plot: usize) {
        let mut all = self.plots.get_untracked();
        if all.len() > 1 && plot < all.len() {
            all.remove(plot);
            let at = place_after(self.at.get_untracked(), plot, all.len());
            self.go.run((all, at, false));
        }
    }
}

fn of(metric: MetricItem) -> Asked {
    Asked { name: metric.name, kind: Some(metric.kind), unit: Some(metric.unit), ..Asked::default() }
}

/// Name of an element of a plot; that of the first has no number.
pub(super) fn name_of(name: &str, plot: usize) -> String {
    if plot == 0 { name.to_owned() } else { format!("{name}-{}", plot + 1) }
}

/// The list at the left, plots at the right.
#[component]
pub(crate) fn MetricsPage() -> impl IntoView {
    let shared = shared();
    let search = use_location().search;
    let navigate = use_navigate();
    let parameter = move |name: &'static str| {
        url::pairs(&search.get()).into_iter().find(|(key, _)| key == name).map(|(_, value)| value).unwrap_or_default()
    };
    let range = Memo::new(move |_| RangeText::read(&search.get()));
    let words = Memo::new(move |_| parameter("find"));
    let asked = Memo::new(move |_| plots(&search.get()));
    let at = Memo::new(move |_| {
        let at = parameter("at").parse::<usize>().unwrap_or(1).saturating_sub(1);
        at.min(asked.with(Vec::len).saturating_sub(1))
    });
    let to = Callback::new(move |(query, replace): (String, bool)| {
        let link = format!("/metrics{query}");
        navigate(&link, NavigateOptions { replace, scroll: false, ..NavigateOptions::default() });
    });
    let go = Callback::new(move |(plots, at, replace): (Vec<Asked>, usize, bool)| {
        let query = with_plots(&search.get_untracked(), &plots);
        let at = (at > 0).then(|| (at + 1).to_string());
        to.run((url::with_parameters(&query, &[("at", at.as_deref())]), replace));
    });
    let find = move |text: String| {
        let text = Some(text.as_str()).filter(|text| !text.is_empty());
        to.run((url::with_parameters(&search.get_untracked(), &[("find", text)]), true));
    };
    let reload = RwSignal::new(0u32);
    let listed = RwSignal::new(None::<Result<MetricsAnswer, Problem>>);
    let asking = ask_newest(
        move || {
            reload.track();
            Some(range.get())
        },
        |range| async move { client::metrics(&range, LISTED).await },
        move |answer: Result<MetricsAnswer, Problem>| {
            if let Ok(answer) = &answer {
                let services = answer.metrics.iter().flat_map(|metric| metric.services.iter().map(String::as_str));
                shared.see_services(services);
            }
            listed.set(Some(answer));
        },
    );
    let shown = Memo::new(move |_| {
        let words = words.get().to_lowercase();
        listed.with(|listed| match listed {
            Some(Ok(answer)) => {
                let fits = |metric: &&MetricItem| {
                    words.split_whitespace().all(|word| {
                        metric.name.to_lowercase().contains(word)
                            || metric.unit.to_lowercase() == word
                            || metric.description.to_lowercase().contains(word)
                    })
                };
                answer.metrics.iter().filter(fits).cloned().collect::<Vec<_>>()
            }
            _ => Vec::new(),
        })
    });
    let first = Memo::new(move |_| shown.with(|shown| shown.first().cloned()));
    let board = Board { plots: asked, at, range, first, reload, go };
    let is_it = move |item: &MetricItem| {
        board.asked(at.get()).is_some_and(|asked| asked.is(&item.name, &item.kind, &item.unit))
    };
    on_key(move |_, key| {
        let by: isize = match key {
            "j" => 1,
            "k" => -1,
            "t" => {
                let table = name_of("metric-table", at.get_untracked());
                // Among several plots the table waits to be opened.
                let shut =
                    document().get_element_by_id(&table).and_then(|table| table.closest("details").ok().flatten());
                if let Some(shut) = shut {
                    let _ = shut.set_attribute("open", "");
                }
                focus_element(&table);
                return true;
            }
            "/" => {
                focus_field("filter");
                return true;
            }
            "r" => {
                reload.update(|count| *count = count.wrapping_add(1));
                return true;
            }
            _ => return false,
        };
        let next = shown.with_untracked(|shown| {
            let at = shown.iter().position(|item| untrack(|| is_it(item))).map_or(0, |at| at.saturating_add_signed(by));
            shown.get(at.min(shown.len().saturating_sub(1))).cloned()
        });
        if let Some(next) = next {
            board.pick(next);
        }
        true
    });
    let one = move |item: MetricItem| {
        let (picked, added, same) = (item.clone(), item.clone(), item.clone());
        let title = format!(
            "{} · {} series, {} points from {}",
            item.description,
            item.series,
            item.points,
            item.services.join(", ")
        );
        let is_full = move || asked.with(Vec::len) >= PLOTS_MAX;
        view! {
            <li>
                <button class="pick-metric" aria-current=move || is_it(&same).then_some("true") title=title on:click=move |_| board.pick(picked.clone())>
                    <span class="mono ell">{item.name.clone()}</span>
                    <span class="faint n ell">{item.kind.replace('_', " ")}{(!item.unit.is_empty()).then(|| format!(" · {}", item.unit))}</span>
                </button>
                <button class="add-metric" aria-label=format!("Add a plot of {}", item.name) title="Add a plot of it" disabled=is_full on:click=move |_| board.add(added.clone())>{icon(Icon::Plus, true)}</button>
            </li>
        }
    };
    let retry = Callback::new(move |()| reload.update(|count| *count = count.wrapping_add(1)));
    let list = move || {
        let failed = listed.with(|listed| match listed {
            None => Some(None),
            Some(Err(problem)) => Some(Some(problem.clone())),
            Some(Ok(_)) => None,
        });
        match failed {
            Some(None) => view! { <Skeleton rows=10/> }.into_any(),
            Some(Some(problem)) => view! { <ErrorBox problem retry/> }.into_any(),
            None if shown.with(Vec::is_empty) => {
                view! { <p class="faint side-p">"No metric of this name has a point in the time range."</p> }.into_any()
            }
            None => view! { <ul class="metrics">{shown.get().into_iter().map(one).collect_view()}</ul> }.into_any(),
        }
    };
    let n_plots = Memo::new(move |_| asked.with(Vec::len));
    // Why there is no plot: nothing was asked for by name, and nothing can stand in for it.
    let nothing = Memo::new(move |_| {
        let is_named = asked.with(|asked| asked.len() > 1 || !asked[0].name.is_empty());
        let is_empty = listed.with(|listed| match listed {
            Some(Ok(answer)) => Some(answer.metrics.is_empty()),
            _ => None,
        });
        is_empty.filter(|is_empty| !is_named && (*is_empty || shown.with(Vec::is_empty)))
    });
    let body = move || {
        match nothing.get() {
        Some(true) => view! {
            <EmptyState title="No metric has a point in this time range">
                <span class="dim">"SDKs send metrics once a minute when OTEL_METRICS_EXPORTER=otlp; the address is the same as for traces."</span>
                <span class="dim">"Or choose a longer range above."</span>
            </EmptyState>
        }
        .into_any(),
        Some(false) => view! {
            <EmptyState title="No metric fits these words">
                <span class="dim">{move || format!("{} is not in the name, unit or description of any metric with a point in this time range.", words.get())}</span>
                <button class="btn s primary" on:click=move |_| find(String::new())>"Show all metrics"</button>
            </EmptyState>
        }
        .into_any(),
        None => view! { <For each=move || 0..n_plots.get() key=|at| *at let:at><Plot at board/></For> }.into_any(),
    }
    };
    view! {
        <div class="sql">
            <aside class="facets" aria-label="Metrics">
                <label class="find metric-find">{icon(Icon::Search, true)}<input id="filter" type="text" spellcheck="false" autocomplete="off" aria-label="Find a metric" placeholder="Find a metric" prop:value=words on:input=move |event| find(event_target_value(&event))/></label>
                {list}
                {move || listed.with(|listed| match listed {
                    Some(Ok(answer)) => answer.incomplete_reason.clone().or_else(|| answer.next_cursor.as_ref().map(|_| format!("The first {LISTED} by name; choose a shorter range to see others."))).map(|note| view! { <p class="faint side-p">{note}</p> }),
                    _ => None,
                })}
            </aside>
            <div class="col">
                <div class="lst" tabindex="0" role="region" aria-label="Metrics over time">
                    <LoadingBar active=asking.loading/>
                    {body}
                </div>
                <div class="status">
                    <span><kbd>"J"</kbd><kbd>"K"</kbd> "metric"</span><span><kbd>"/"</kbd> "find"</span><span><kbd>"T"</kbd> "table"</span>
                    <span class="grow"></span>
                    <span>{move || format!("up to {PLOTS_MAX} plots, one time")}</span>
                </div>
            </div>
        </div>
    }
}
