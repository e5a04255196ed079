//! Metrics: what there is, one of them over time, the journeys behind its measurements.
//!
//! URL: `m` (name), `kind`, `unit` (which of the name), `q` (filter), `by` (field, `*` for each series), `fn`, `find` (words).
//! Keys: `J K` metric, `/` find one, `T` the table, `R` look again. Picking a metric and finding one replace the address; what is
//! asked of it goes into the history.
//!
//! | file       | draws                                                              |
//! |------------|--------------------------------------------------------------------|
//! | `chart.rs` | lines with gaps, exemplars as dots; the table that says the same   |

mod chart;

use api::{MetricAnswer, MetricItem, MetricsAnswer, Problem};
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_location, use_navigate};

use self::chart::chart;
use crate::app::shared;
use crate::client;
use crate::components::icon::{Icon, icon};
use crate::components::keys::{focus_element, focus_field, on_key};
use crate::components::states::{EmptyState, ErrorBox, LoadingBar, Skeleton};
use crate::view::format;
use crate::view::url::{self, RangeText};

/// Metrics listed at once.
const LISTED: usize = 500;

/// Which metric, and how it is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) unit: String,
    pub(super) filter: String,
    pub(super) by: String,
    pub(super) function: String,
}

impl Asked {
    fn read(search: &str) -> Self {
        let mut asked = Self::default();
        for (key, value) in url::pairs(search) {
            match key.as_str() {
                "m" => asked.name = value,
                "kind" => asked.kind = value,
                "unit" => asked.unit = value,
                "q" => asked.filter = value,
                "by" => asked.by = value,
                "fn" => asked.function = value,
                _ => {}
            }
        }
        asked
    }

    /// Parameters of the API besides the range.
    pub(super) fn question(&self) -> Vec<(&str, &str)> {
        let all = [
            ("kind", &self.kind),
            ("unit", &self.unit),
            ("q", &self.filter),
            ("by", &self.by),
            ("function", &self.function),
        ];
        all.into_iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| (key, value.as_str())).collect()
    }
}

/// The list at the left, one metric at the right.
#[component]
pub(crate) fn MetricsPage() -> impl IntoView {
    let shared = shared();
    let search = use_location().search;
    let navigate = use_navigate();
    let range = Memo::new(move |_| RangeText::read(&search.get()));
    let asked = Memo::new(move |_| Asked::read(&search.get()));
    let words = Memo::new(move |_| {
        url::pairs(&search.get()).into_iter().find(|(key, _)| key == "find").map(|(_, value)| value).unwrap_or_default()
    });
    let change = Callback::new(move |changes: Vec<(&'static str, Option<String>)>| {
        let changes: Vec<(&str, Option<&str>)> =
            changes.iter().map(|(key, value)| (*key, value.as_deref().filter(|value| !value.is_empty()))).collect();
        let replace = changes.iter().all(|(key, _)| *key == "find");
        let link = format!("/metrics{}", url::with_parameters(&search.get_untracked(), &changes));
        navigate(&link, NavigateOptions { replace, scroll: false, ..NavigateOptions::default() });
    });
    let (loading, reload) = (RwSignal::new(true), RwSignal::new(0u32));
    let listed = RwSignal::new(None::<Result<MetricsAnswer, Problem>>);
    let question = StoredValue::new(0u32);
    Effect::new(move |_| {
        let range = range.get();
        reload.track();
        let number = question.get_value().wrapping_add(1);
        question.set_value(number);
        loading.set(true);
        spawn_local(async move {
            let answer = client::metrics(&range, LISTED).await;
            if question.try_get_value() == Some(number) {
                loading.set(false);
                if let Ok(answer) = &answer {
                    shared.see_services(
                        answer.metrics.iter().flat_map(|metric| metric.services.iter().map(String::as_str)),
                    );
                }
                listed.set(Some(answer));
            }
        });
    });
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
    // Without a choice the first of the list is shown.
    let metric = Memo::new(move |_| {
        let asked = asked.get();
        if !asked.name.is_empty() {
            return Some(asked);
        }
        shown.with(|shown| {
            shown.first().map(|first| Asked {
                name: first.name.clone(),
                kind: first.kind.clone(),
                unit: first.unit.clone(),
                ..asked
            })
        })
    });
    let found = RwSignal::new(None::<Result<MetricAnswer, Problem>>);
    let asking = RwSignal::new(false);
    let answer_question = StoredValue::new(0u32);
    Effect::new(move |_| {
        let (range, metric) = (range.get(), metric.get());
        reload.track();
        let number = answer_question.get_value().wrapping_add(1);
        answer_question.set_value(number);
        let Some(metric) = metric else { return found.set(None) };
        asking.set(true);
        spawn_local(async move {
            let answer = client::metric(&metric.name, &range, &metric.question()).await;
            if answer_question.try_get_value() == Some(number) {
                asking.set(false);
                found.set(Some(answer));
            }
        });
    });
    let pick = Callback::new(move |metric: MetricItem| {
        change.run(vec![
            ("m", Some(metric.name)),
            ("kind", Some(metric.kind)),
            ("unit", Some(metric.unit)),
            ("by", None),
            ("fn", None),
            ("q", None),
        ]);
    });
    let is_it = move |item: &MetricItem| {
        metric.with(|metric| {
            metric.as_ref().is_some_and(|metric| {
                metric.name == item.name
                    && (metric.kind.is_empty() || metric.kind == item.kind)
                    && (metric.unit.is_empty() || metric.unit == item.unit)
            })
        })
    };
    on_key(move |_, key| {
        let by: isize = match key {
            "j" => 1,
            "k" => -1,
            "t" => {
                focus_element("metric-table");
                return true;
            }
            "/" => {
                focus_field("filter");
                return true;
            }
            "r" => {
                reload.update(|count| *count += 1);
                return true;
            }
            _ => return false,
        };
        let next = shown.with_untracked(|shown| {
            let at = shown.iter().position(is_it).map_or(0, |at| at.saturating_add_signed(by));
            shown.get(at.min(shown.len().saturating_sub(1))).cloned()
        });
        if let Some(next) = next {
            pick.run(next);
        }
        true
    });
    let one = move |item: MetricItem| {
        let (picked, same) = (item.clone(), item.clone());
        let title = format!(
            "{} · {} series, {} points from {}",
            item.description,
            item.series,
            item.points,
            item.services.join(", ")
        );
        view! {
            <li><button aria-current=move || is_it(&same).then_some("true") title=title on:click=move |_| pick.run(picked.clone())>
                <span class="mono ell">{item.name.clone()}</span>
                <span class="faint n">{item.kind.replace('_', " ")}{(!item.unit.is_empty()).then(|| format!(" · {}", item.unit))}</span>
            </button></li>
        }
    };
    let retry = Callback::new(move |()| reload.update(|count| *count += 1));
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
    let body = move || {
        match found.get() {
        None if listed.with(|listed| matches!(listed, Some(Ok(answer)) if answer.metrics.is_empty())) => view! {
            <EmptyState title="No metric has a point in this time range">
                <span class="dim">"SDKs send metrics once a minute when OTEL_METRICS_EXPORTER=otlp; the address is the same as for traces."</span>
                <span class="dim">"Or choose a longer range above."</span>
            </EmptyState>
        }
        .into_any(),
        None => view! { <Skeleton rows=8/> }.into_any(),
        Some(Err(problem)) => {
            let filter = asked.with_untracked(|asked| asked.filter.clone());
            view! { <ErrorBox problem query=filter retry/> }.into_any()
        }
        Some(Ok(answer)) if answer.n_series == 0 => {
            let filter = asked.with_untracked(|asked| asked.filter.clone());
            let everything = move |_| change.run(vec![("q", None)]);
            view! {
                <EmptyState title="No series of this metric fits">
                    <span class="dim">{if filter.is_empty() { format!("{} has no point in this time range.", answer.name) } else { format!("{filter} leaves nothing of {}.", answer.name) }}</span>
                    {(!filter.is_empty()).then(|| view! { <button class="btn s primary" on:click=everything>"Without this filter"</button> })}
                </EmptyState>
            }
            .into_any()
        }
        Some(Ok(answer)) => view! { <div class:old=asking>{chart(&answer, &asked.get_untracked(), change, shared, &search.get_untracked())}</div> }.into_any(),
    }
    };
    view! {
        <div class="sql">
            <aside class="facets" aria-label="Metrics">
                <label class="find metric-find">{icon(Icon::Search, true)}<input id="filter" type="text" spellcheck="false" autocomplete="off" aria-label="Find a metric" placeholder="Find a metric" prop:value=words on:input=move |event| change.run(vec![("find", Some(event_target_value(&event)))])/></label>
                {list}
                {move || listed.with(|listed| match listed {
                    Some(Ok(answer)) => answer.incomplete_reason.clone().or_else(|| answer.next_cursor.as_ref().map(|_| format!("The first {LISTED} by name; choose a shorter range to see others."))).map(|note| view! { <p class="faint side-p">{note}</p> }),
                    _ => None,
                })}
            </aside>
            <div class="col">
                <div class="lst" tabindex="0" role="region" aria-label="Metric over time">
                    <LoadingBar active=Signal::derive(move || loading.get() || asking.get())/>
                    {body}
                </div>
                <div class="status">
                    <span><kbd>"J"</kbd><kbd>"K"</kbd> "metric"</span><span><kbd>"/"</kbd> "find"</span><span><kbd>"T"</kbd> "table"</span>
                    <span class="grow"></span>
                    {move || found.with(|found| match found {
                        Some(Ok(answer)) => Some(format!("{} from {} series, read {} points in {} ms", format::counted(answer.series.len() as u64, "line"), answer.n_series, format::count(answer.rows_read), answer.elapsed_ms.round())),
                        _ => None,
                    })}
                </div>
            </div>
        </div>
    }
}
