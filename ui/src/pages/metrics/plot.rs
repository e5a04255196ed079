//! One plot: what is asked of a metric, then the answer, or why there is none.

use std::sync::Arc;

use api::{MetricAnswer, Problem};
use leptos::prelude::*;
use leptos_router::hooks::use_location;

use super::chart::{chart, head};
use super::{Board, name_of};
use crate::app::shared;
use crate::asking::ask_newest;
use crate::client;
use crate::components::icon::{Icon, icon};
use crate::components::states::{EmptyState, ErrorBox, LoadingBar, Skeleton};
use crate::view::metric::Asked;
use crate::view::{environment, format};

/// What can be chosen: the same until the metric is another one, also when an answer fails.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Choices {
    functions: Vec<String>,
    /// The one that the answer is of, when nobody chose.
    function: String,
    /// Field, and how it is shown.
    fields: Vec<(String, String)>,
}

impl Choices {
    fn of(answer: &MetricAnswer) -> Self {
        let field = |attribute: &api::MetricAttribute| {
            (attribute.field.clone(), format!("{} ({})", attribute.field, attribute.n_values))
        };
        Self {
            functions: answer.functions.clone(),
            function: answer.function.clone(),
            fields: answer.attributes.iter().map(field).collect(),
        }
    }
}

/// A plot by its number.
#[component]
pub(super) fn Plot(
    /// Which one.
    at: usize,
    /// What the plots share.
    board: Board,
) -> impl IntoView {
    let shared = shared();
    let search = use_location().search;
    let asked = Memo::new(move |_| board.asked(at));
    let found = RwSignal::new(None::<Result<Arc<MetricAnswer>, Problem>>);
    let choices = RwSignal::new(Choices::default());
    let asking = ask_newest(
        move || {
            board.reload.track();
            let (range, asked) = (board.range.get(), asked.get());
            // What can be asked of one metric is not what can be asked of another.
            found.update(|found| {
                let is_other = |name: &str| asked.as_ref().is_none_or(|asked| asked.name != name);
                if matches!(found, Some(Ok(answer)) if is_other(&answer.name)) {
                    *found = None;
                    choices.set(Choices::default());
                }
            });
            let mut asked = asked?;
            if let Some(env) = environment::of(&search.get()) {
                asked.filter = environment::with(&asked.filter, &env);
            }
            Some((range, asked))
        },
        |(range, asked)| async move { client::metric(&asked.name, &range, &asked.question()).await },
        move |answer| {
            if let Ok(answer) = &answer {
                choices.set(Choices::of(answer));
            }
            found.set(Some(answer.map(Arc::new)));
        },
    );
    let change = move |to: &dyn Fn(&mut Asked)| {
        if let Some(mut asked) = asked.get_untracked() {
            to(&mut asked);
            board.ask(at, asked);
        }
    };
    let everything = move |_| change(&|asked| asked.filter.clear());
    let body = move || match found.get() {
        None => view! { <Skeleton rows=8/> }.into_any(),
        Some(Err(problem)) => {
            let filter = asked.with_untracked(|asked| asked.as_ref().map(|asked| asked.filter.clone()));
            view! { <ErrorBox problem query=filter.unwrap_or_default() retry=asking.retry()/> }.into_any()
        }
        Some(Ok(answer)) if answer.n_series == 0 => {
            let filter =
                asked.with_untracked(|asked| asked.as_ref().map(|asked| asked.filter.clone())).unwrap_or_default();
            view! {
                <EmptyState title="No series of this metric fits">
                    <span class="dim">{if filter.is_empty() { format!("{} has no point in this time range.", answer.name) } else { format!("{filter} leaves nothing of {}.", answer.name) }}</span>
                    {(!filter.is_empty()).then(|| view! { <button class="btn s primary" on:click=everything>"Without this filter"</button> })}
                </EmptyState>
            }
            .into_any()
        }
        Some(Ok(answer)) => {
            let n_plots = board.plots.with(Vec::len);
            view! { <div class:old=asking.loading>{chart(&answer, at, n_plots > 1, shared, &search.get_untracked())}</div> }.into_any()
        }
    };
    let title = move || {
        found.with(|found| match found {
            Some(Ok(answer)) => head(answer, &search.get_untracked()).into_any(),
            _ => view! { <h2 class="mono">{asked.get().map(|asked| asked.name)}</h2> <span class="grow"></span> }
                .into_any(),
        })
    };
    let is_one_of_many = move || board.plots.with(|plots| plots.len() > 1);
    let is_current = move || is_one_of_many() && board.at.get() == at;
    let make_current = move |_| board.go.run((board.plots.get_untracked(), at, true));
    view! {
        <section class="metric" class:on=is_current>
            <LoadingBar active=asking.loading/>
            <div class="home-head">
                {title}
                <Show when=is_one_of_many>
                    <button class="btn s" aria-pressed=move || is_current().to_string() title="The list at the left changes this plot" on:click=make_current>"From the list"</button>
                    <button class="btn s quiet" aria-label=move || format!("Remove the plot of {}", asked.get().map(|asked| asked.name).unwrap_or_default()) title="Remove this plot" on:click=move |_| board.remove(at)>{icon(Icon::Close, true)}</button>
                </Show>
            </div>
            {move || found.with(|found| match found {
                Some(Ok(answer)) if !answer.description.is_empty() => Some(view! { <p class="faint hint-line about-metric">{answer.description.clone()}</p> }),
                _ => None,
            })}
            <div class="row plot-bar">
                {move || {
                    let (choices, now) = (choices.get(), asked.get().unwrap_or_default());
                    let function = if now.function.is_empty() { choices.function } else { now.function };
                    let mut functions: Vec<(String, String)> = choices.functions.into_iter().map(|name| (name.clone(), name)).collect();
                    if functions.iter().all(|(name, _)| *name != function) {
                        functions.push((function.clone(), function.clone()));
                    }
                    let mut fields = vec![(String::new(), "nothing".to_owned())];
                    fields.extend(choices.fields);
                    fields.push(("*".to_owned(), "each series".to_owned()));
                    if fields.iter().all(|(field, _)| *field != now.by) {
                        fields.push((now.by.clone(), now.by.clone()));
                    }
                    view! {
                        {select("show", functions, function, move |value| change(&|asked| asked.show(value.clone())))}
                        {select("group by", fields, now.by, move |value| change(&|asked| asked.group(value.clone())))}
                    }
                }}
                <label class="pick grow"><span class="faint">"filter"</span><input id=name_of("metric-filter", at) class="mono" type="text" spellcheck="false" placeholder="service=order resource.host.name=a*"
                    prop:value=move || asked.get().map(|asked| asked.filter).unwrap_or_default()
                    on:change=move |event| { let value = event_target_value(&event); change(&|asked| asked.filter.clone_from(&value)); }/></label>
                {move || found.with(|found| match found {
                    Some(Ok(answer)) => Some(view! { <span class="faint n">{format!("{} from {} series, {} points read in {} ms", format::counted(answer.series.len() as u64, if answer.function == "heatmap" { "bucket" } else { "line" }), answer.n_series, format::count(answer.rows_read), answer.elapsed_ms.round())}</span> }),
                    _ => None,
                })}
            </div>
            {body}
        </section>
    }
}

fn select(
    title: &'static str,
    options: Vec<(String, String)>,
    now: String,
    change: impl Fn(String) + 'static,
) -> impl IntoView {
    let all = options
        .into_iter()
        .map(|(value, shown)| view! { <option value=value.clone() selected=value == now>{shown}</option> });
    view! { <label class="pick"><span class="faint">{title}</span><select on:change=move |event| change(event_target_value(&event))>{all.collect_view()}</select></label> }
}
