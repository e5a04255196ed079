//! What differs between the selected part of the heatmap and everything else.

use api::{DiffersAnswer, DiffersAttribute, DiffersRequest, DiffersValue, Problem};
use leptos::prelude::*;

use crate::app::{now_nanos, there};
use crate::asking::ask_newest_after;
use crate::client;
use crate::components::icon::{Icon, icon};
use crate::components::states::{ErrorBox, LoadingBar, Skeleton};
use crate::view::alerts::draft::{draft, range_minutes};
use crate::view::behind::hits as sql;
use crate::view::url::{self, Brush, ExploreState, RangeText, Unit};
use crate::view::{clock, condition, format};

/// The panel beside the list; only there with a selection.
#[component]
pub(super) fn Differs(state: Memo<ExploreState>, go: Callback<ExploreState>) -> impl IntoView {
    let found = RwSignal::new(None::<Result<DiffersAnswer, Problem>>);
    let reload = RwSignal::new(0u32);
    let asked = Memo::new(move |_| {
        let state = state.get();
        // What the list is sorted by and whether it is live does not change the question.
        state.brush.map(|brush| (brush, state.unit, state.plot, state.filter, state.range))
    });
    // Moving the selection by key must not ask for every step.
    let asking = ask_newest_after(
        60,
        move || {
            reload.track();
            let (brush, unit, plot, filter, range) = asked.get()?;
            Some(DiffersRequest {
                unit: Some(unit.name().to_owned()),
                q: Some(filter).filter(|filter| !filter.is_empty()),
                from: Some(range.from),
                to: Some(range.to),
                plot: (unit == Unit::Journeys).then(|| plot.name().to_owned()),
                brush: api::Brush {
                    from: Some(clock::rfc3339(brush.from)),
                    to: Some(clock::rfc3339(brush.to)),
                    min_nanos: Some(brush.least).filter(|nanos| *nanos > 0),
                    max_nanos: Some(brush.most).filter(|nanos| *nanos < u64::MAX),
                    error: None,
                },
                limit: None,
            })
        },
        |request| async move { client::differs(&request).await },
        move |answer| found.set(Some(answer)),
    );
    let loading = asking.loading;
    let close = move |_| go.run(ExploreState { brush: None, ..state.get_untracked() });
    let keep = move |_| {
        let now = state.get_untracked();
        if let Some(brush) = now.brush {
            go.run(kept(now, &brush));
        }
    };
    view! {
        <aside class="insp differs" aria-label="What differs">
            <LoadingBar active=loading/>
            <section>
                <div class="row"><h2 class="h">"What differs"</h2><span class="grow"></span>
                    <button class="btn s quiet" aria-label="Drop the selection" title="Drop the selection (Esc)" on:click=close>{icon(Icon::Close, false)}</button>
                </div>
                {move || match &*found.read() {
                    Some(Ok(answer)) => Some(view! {
                        <p class="dim n" class:old=loading><b class="acc">{format::count(answer.selected)}" selected"</b>" against "{format::count(answer.outside)}" others"</p>
                    }),
                    _ => None,
                }}
            </section>
            <div class="scroll" id="differs" class:old=loading tabindex="0" role="region" aria-label="Attributes that differ">
                {move || match found.get() {
                    None => view! { <Skeleton rows=8/> }.into_any(),
                    Some(Err(problem)) => {
                        let retry = Callback::new(move |()| reload.update(|count| *count += 1));
                        view! { <ErrorBox problem retry/> }.into_any()
                    }
                    Some(Ok(answer)) => ranked(&answer, state, go).into_any(),
                }}
            </div>
            <section class="acts">
                <button class="btn s primary" on:click=keep>"Keep selected only"</button>
                {move || {
                    let now = state.get();
                    let filter = excluded(&now)?;
                    Some(view! { <button class="btn s" title="Everything but hits that take so long" on:click=move |_| go.run(ExploreState { filter: filter.clone(), brush: None, ..state.get_untracked() })>"Exclude"</button> })
                }}
                {move || {
                    let state = state.get();
                    let brush = state.brush?;
                    let sql = sql::alert_on(state.unit, state.plot, &state.filter, brush.least, brush.most)?;
                    // Looking back less far than they take, it would never find one.
                    let rule = draft(&sql, &[], None, range_minutes(brush.least, brush.most)?);
                    let link = format!("/alerts{}", url::query_string([("show", "new"), ("sql", rule.as_str())]));
                    Some(view! { <a class="btn s" href=there(link) title="A rule that fires while there are such">"Alert on this"</a> })
                }}
            </section>
        </aside>
    }
}

/// The view of the selected part alone: its time and its durations become the question.
fn kept(state: ExploreState, brush: &Brush) -> ExploreState {
    let field = state.plot.field(state.unit);
    // Beside what the filter says about the field already: dropping that would let others in.
    let mut filter = state.filter.clone();
    if brush.least > 0 {
        filter = condition::with(&filter, &format!("{field}>={}ns", brush.least));
    }
    if brush.most < u64::MAX {
        filter = condition::with(&filter, &format!("{field}<{}ns", brush.most));
    }
    let range = RangeText {
        from: clock::rfc3339(brush.from),
        to: clock::rfc3339(brush.to.min(now_nanos().max(brush.from + 1))),
    };
    ExploreState { filter, range, brush: None, live: false, ..state }
}

/// The filter without hits that take as long as the selected ones; `None` when they lie between others, which no conditions say.
fn excluded(state: &ExploreState) -> Option<String> {
    let (brush, field) = (state.brush?, state.plot.field(state.unit));
    let condition = match (brush.least, brush.most) {
        (0, u64::MAX) => return None,
        (least, u64::MAX) => format!("{field}<{least}ns"),
        (0, most) => format!("{field}>={most}ns"),
        _ => return None,
    };
    Some(condition::with(&state.filter, &condition))
}

fn ranked(answer: &DiffersAnswer, state: Memo<ExploreState>, go: Callback<ExploreState>) -> impl IntoView + use<> {
    if answer.selected == 0 {
        return view! { <p class="hint faint">"Nothing is in the selection. Draw it over cells, or move it with the arrow keys."</p> }.into_any();
    }
    let few = answer.too_few;
    let note = answer.incomplete_reason.clone();
    let none = answer.attributes.iter().all(|attribute| attribute.gap < 0.01);
    let all = answer
        .attributes
        .clone()
        .into_iter()
        .filter(|attribute| attribute.gap >= 0.01)
        .map(move |attribute| one(attribute, state, go));
    view! {
        {few.then(|| view! { <p class="notice">"Fewer than 20 are selected: shares say little."</p> })}
        {note.map(|note| view! { <p class="notice">{note}</p> })}
        {none.then(|| view! { <p class="hint faint">"Selected and others do not differ in any attribute that was sent."</p> })}
        {all.collect_view()}
    }
    .into_any()
}

fn one(attribute: DiffersAttribute, state: Memo<ExploreState>, go: Callback<ExploreState>) -> impl IntoView {
    let points = format!("{:.0} pt", attribute.gap * 100.0);
    let large = attribute.gap >= 0.25;
    let many = attribute.many;
    view! {
        <div class="df">
            <div class="row"><b class="med mono ell" title=attribute.key.clone()>{attribute.key.clone()}</b><span class="grow"></span><span class="chip" class:acc=large>{points}</span></div>
            {attribute.values.into_iter().take(3).map(move |value| bars(value, state, go)).collect_view()}
            {many.then(|| view! { <p class="faint n">"has too many values to compare one by one"</p> })}
        </div>
    }
}

fn bars(value: DiffersValue, state: Memo<ExploreState>, go: Callback<ExploreState>) -> impl IntoView {
    let name = value.value.clone().unwrap_or_else(|| "not there".to_owned());
    let more = value.selected_share > value.outside_share;
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let width = |share: f64| format!("{:.1}%", (share * 100.0).max(0.8));
    let title = format!(
        "{name}: {} of the selected, {} of the others. Click keeps only these, Alt and click leaves them out.",
        percent(value.selected_share),
        percent(value.outside_share)
    );
    let (keep, drop) = (value.filter, value.filter_out);
    let fixed = keep.is_none();
    let take = move |event: web_sys::MouseEvent| {
        let wanted = if event.alt_key() { drop.clone() } else { keep.clone() };
        if let Some(wanted) = wanted {
            let now = state.get_untracked();
            go.run(ExploreState { filter: condition::with(&now.filter, &wanted), ..now });
        }
    };
    view! {
        <button class="v" title=title disabled=fixed on:click=take>
            <span class="ell dim" class:faint=value.value.is_none()>{name}</span>
            <span class="b"><i style:width=width(value.selected_share)></i><i style:width=width(value.outside_share)></i></span>
            <span class="num" class:acc=more class:semi=more class:faint=!more>{percent(value.selected_share)}</span>
            <span class="num faint">{percent(value.outside_share)}</span>
        </button>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(filter: &str, least: u64, most: u64) -> (ExploreState, Brush) {
        let brush = Brush { from: 1_000_000_000, to: 2_000_000_000, least, most };
        let state = ExploreState {
            unit: Unit::Spans,
            filter: filter.to_owned(),
            brush: Some(brush),
            ..ExploreState::default()
        };
        (state, brush)
    }

    /// Leaving some hits out lets none in that the filter kept out before.
    #[test]
    fn a_selection_only_narrows() {
        let (now, _) = state("duration<1s service=a", 5, u64::MAX);
        assert_eq!(excluded(&now).as_deref(), Some("duration<1s service=a duration<5ns"));
        assert_eq!(excluded(&state("duration<1s", 5, 9).0), None, "between others");
        assert_eq!(excluded(&state("a or b", 0, 9).0).as_deref(), Some("(a or b) duration>=9ns"));
    }
}
